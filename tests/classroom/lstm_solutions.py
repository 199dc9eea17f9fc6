"""Answers to the LSTM assignment as files that students hand in: RIGHT, each in another way, and WRONG.

Right ones are the programs in solutions/right, those of tests/gradcheck/ways.py with what the assignment asks for
around them, and one program in many forms: encodings, line ends, notebooks. Wrong ones are the engine's own functions with
the planted bugs of the mutation catalogue, the bugs of tests/gradcheck/student_bugs.py, and tricks: programs that
give right answers now and then, or by other means than calculus. A data module: tests and benchmarks load it by path.
"""

import ast
import importlib.util
import inspect
import json
import sys
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import CodeType, ModuleType
from typing import NamedTuple

from minis2s import backend
from minis2s.functional import activations, one_hot
from minis2s.gradcheck.mutants import MUTANTS
from minis2s.gradcheck.mutants.mutant import pristine_source

HERE = Path(__file__).parent
PLAIN = (HERE / "solutions" / "right" / "plain.py").read_text(encoding="utf-8")


class Solution(NamedTuple):
    """A file that a student hands in. data: its bytes; file: its name. says: what is special about it."""

    name: str
    file: str
    data: bytes
    says: str = ""


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def ways() -> ModuleType:
    return load(HERE.parent / "gradcheck" / "ways.py")


@cache
def student_bugs() -> ModuleType:
    return load(HERE.parent / "gradcheck" / "student_bugs.py")


def program(name: str, text: str, says: str = "") -> Solution:
    return Solution(name, "lstm.py", text.encode(), says)


# -- functions as text --------------------------------------------------------------------------------------


def text_of(module: ModuleType, *functions: Callable) -> str:
    """The functions and all of the module's own functions that they use, as the text of one program."""
    found: dict[str, str] = {}

    def take(function: Callable) -> None:
        name = function.__name__
        if name in found or function.__module__ != module.__name__:
            return
        found[name] = ""
        for used in names_in(function.__code__):
            other = getattr(module, used, None)
            other = getattr(other, "pyfunc", other)  # under np.vectorize
            if inspect.isfunction(other):
                take(other)
        found[name] = textwrap.dedent(inspect.getsource(function))

    for function in functions:
        take(function)
    imports = "import itertools\nimport math\nfrom types import SimpleNamespace\n\nimport numpy as np\n"
    return "\n\n".join([imports, *found.values()])


def names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in(constant)


def expression(function: Callable) -> str:
    """The name of a function, or the text of a lambda."""
    if function.__name__ != "<lambda>":
        return function.__name__
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    return ast.unparse(next(node for node in ast.walk(tree) if isinstance(node, ast.Lambda)))


# A pair with other habits becomes an answer: the order of its gates, no mask, no None among the gradients.
ADAPTED = '''
GATES = {gates!r}
MASKED = {masked}
raw_forward, raw_backward = {forward}, {backward}


def theirs(W):
    """The blocks of the gates in the order of the pair."""
    parts = dict(zip("ifog", np.split(W, 4, axis=-1)))
    return np.concatenate([parts[k] for k in GATES], axis=-1)


def ours(W):
    parts = dict(zip(GATES, np.split(W, 4, axis=-1)))
    return np.concatenate([parts[k] for k in "ifog"], axis=-1)
'''

SEQUENCE = '''
def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    given = h0, c0, *(theirs(W) for W in (Wx, Wh, b))
    if mask is None or MASKED:
        out, kept = raw_forward(x, *given, mask) if MASKED else raw_forward(x, *given)
        return out, (None, kept, [o.shape for o in out])
    # without a mask: each word by itself, its real letters alone
    h, c, hs, kept = h0.copy(), c0.copy(), np.zeros((*mask.shape, h0.shape[1])), []
    for n in range(mask.shape[1]):
        real, states = mask[:, n], h0[n][None]
        one = None
        if real.any():
            out, one = raw_forward(x[real, n : n + 1], h0[n : n + 1], c0[n : n + 1], *given[2:])
            states = np.concatenate([states, out[0][:, 0]])
            h[n : n + 1], c[n : n + 1] = out[1:]
        hs[:, n] = states[np.cumsum(real)]
        kept.append(one)
    return (hs, h, c), (mask, kept, [hs.shape, h.shape, c.shape], x.shape, Wx.shape, Wh.shape)


def lstm_backward(dout, cache):
    mask, kept, shapes, *more = cache
    dhs, dh, dc = (np.zeros(s) if d is None else d for d, s in zip(dout, shapes))
    if mask is None:
        dx, dh0, dc0, *weights = raw_backward((dhs, dh, dc), kept)
        return dx, dh0, dc0, *(ours(np.asarray(W)) for W in weights)
    dx, dh0, dc0 = np.zeros(more[0]), dh.copy(), dc.copy()
    weights = [np.zeros(s) for s in (*more[1:], more[1][1:])]
    for n, one in enumerate(kept):
        states = np.zeros((mask[:, n].sum() + 1, dh.shape[1]))
        np.add.at(states, np.cumsum(mask[:, n]), dhs[:, n])
        if one is not None:
            d, dh0[n : n + 1], dc0[n : n + 1], *parts = raw_backward(
                (states[1:, None], dh[n : n + 1], dc[n : n + 1]), one
            )
            dx[mask[:, n], n] = d[:, 0]
            weights = [W + ours(np.asarray(part)) for W, part in zip(weights, parts)]
        dh0[n] += states[0]
    return dx, dh0, dc0, *weights
'''

STEP = '''
def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    given = [theirs(W) for W in (Wx, Wh, b)]
    if mask is None or MASKED:
        given = [x, h_prev, c_prev, *given, *([mask] if MASKED else [])]
        out, kept = raw_forward(*given)
        return out, (None, kept, h_prev.shape)
    h, c = h_prev.copy(), c_prev.copy()
    (h[mask], c[mask]), kept = raw_forward(x[mask], h_prev[mask], c_prev[mask], *given)
    return (h, c), (mask, kept, h.shape, x.shape)


def lstm_step_backward(dout, cache):
    mask, kept, shape, *more = cache
    dh, dc = (np.zeros(shape) if d is None else d for d in dout)
    if mask is None:
        dx, dh, dc, *weights = raw_backward((dh, dc), kept)
        return dx, dh, dc, *(ours(np.asarray(W)) for W in weights)
    dx, dh, dc = np.zeros(more[0]), dh.copy(), dc.copy()
    dx[mask], dh[mask], dc[mask], *weights = raw_backward((dh[mask], dc[mask]), kept)
    return dx, dh, dc, *(ours(np.asarray(W)) for W in weights)
'''


@cache
def parts_of_plain() -> dict[str, str]:
    """The functions of one step, and those of the sequence, of solutions/right/plain.py."""
    tree = ast.parse(PLAIN)
    lines = PLAIN.split("\n")
    defs = {n.name: "\n".join(lines[n.lineno - 1 : n.end_lineno]) for n in tree.body if isinstance(n, ast.FunctionDef)}
    step = [defs[name] for name in ("sigmoid", "lstm_step_forward", "lstm_step_backward")]
    return {"lstm_step": "\n\n\n".join(step), "lstm": "\n\n\n".join([defs["lstm_forward"], defs["lstm_backward"]])}


def adapted(kind: str, functions: str, forward: str, backward: str, gates: str, masked: bool) -> str:
    """A program from the text of a pair, the rest of it as in plain.py."""
    middle = ADAPTED.format(gates=gates, masked=masked, forward=forward, backward=backward)
    own = {"lstm": SEQUENCE, "lstm_step": STEP}[kind]
    other = parts_of_plain()["lstm_step" if kind == "lstm" else "lstm"]
    return "\n\n".join([functions, middle, own, "", other]) + "\n"


def takes_a_mask(function: Callable) -> bool:
    return "mask" in inspect.signature(function).parameters


# -- right ones ----------------------------------------------------------------------------------------------


def right() -> list[Solution]:
    """Every right answer; the same list each time."""
    written = [
        Solution(path.stem.replace("_", " "), "lstm.py", path.read_bytes(), "a program")
        for path in sorted((HERE / "solutions" / "right").glob("*.py"))
    ]
    return [*written, *by_hand(), *forms()]


def by_hand() -> Iterator[Solution]:
    for way in ways().RIGHT:
        # float32 is not exact enough, and math.exp raises where a letter behind the end is large
        if way.kind in ("lstm", "lstm_step") and way.name not in ("float32 inside, cast back", "a scalar cell, vectorised"):
            functions = [f for f in (way.forward, way.backward) if f.__name__ != "<lambda>"]
            text = text_of(ways(), *functions)
            pair = expression(way.forward), expression(way.backward)
            order = way.options.get("gates", "ifog")
            yield program(f"way: {way.name}", adapted(way.kind, text, *pair, order, takes_a_mask(way.forward)))


def forms() -> Iterator[Solution]:
    """One program, in the forms that editors, systems and notebooks give it."""
    tabs = "\n".join(
        "\t" * ((len(line) - len(line.lstrip(" "))) // 4) + line.lstrip(" ") for line in PLAIN.split("\n")
    )
    commented = PLAIN.replace("H = h_prev", "# 隐藏单元的个数\n    H = h_prev").replace("import numpy", "# 作业 4\nimport numpy")
    for name, data in {
        "line ends of Windows": PLAIN.replace("\n", "\r\n").encode(),
        "line ends of the old Mac": PLAIN.replace("\n", "\r").encode(),
        "a byte order mark": b"\xef\xbb\xbf" + PLAIN.encode(),
        "a byte order mark, line ends of Windows": b"\xef\xbb\xbf" + PLAIN.replace("\n", "\r\n").encode(),
        "tabs": tabs.encode(),
        "Chinese comments": commented.encode(),
        "a line that names the encoding": b"#!/usr/bin/python3\n# -*- coding: utf-8 -*-\n" + commented.encode(),
        "no line end at the end": PLAIN.rstrip("\n").encode(),
        "blanks at the ends of lines": PLAIN.replace("\n", "  \n").encode(),
        "form feeds between functions": PLAIN.replace("\n\n\n", "\n\x0c\n\n").encode(),
        "everything inside `if True`-less noise": (
            "'''My answer.'''\nx = 3; y: int = 4\ndel x\n" + PLAIN + "\nlstm_forward\nprint('done')\nassert y == 4\n"
        ).encode(),
    }.items():
        yield Solution(name, "lstm.py", data, "a form")
    for name, notebook in notebooks().items():
        yield Solution(name, "lstm.ipynb", json.dumps(notebook, ensure_ascii=False).encode(), "a notebook")


def notebooks() -> dict[str, dict]:
    tree = ast.parse(PLAIN)
    lines = PLAIN.split("\n")
    each = ["\n".join(lines[n.lineno - 1 : n.end_lineno]) for n in tree.body]

    def code(source, **more):
        return {"cell_type": "code", "metadata": {}, "source": source, "outputs": [], "execution_count": None} | more

    def text(source, kind="markdown"):
        return {"cell_type": kind, "metadata": {}, "source": source}

    def notebook(cells, **more):
        kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
        return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5} | more

    def as_lines(source):
        return source.splitlines(keepends=True)

    output = {"output_type": "display_data", "metadata": {}, "data": {"text/html": "<script>alert(1)</script>"}}
    odd = {"tags": ["answer", 3], "nbgrader": {"grade": True}, "collapsed": None, "id": ["?"], "emoji": "🦙"}
    holes = [s.split("\n")[0] + '\n    raise NotImplementedError("not yet")' for s in each if s.startswith("def lstm")]
    pip = "%pip install numpy\n!ls -la\n"
    train = "import minis2s\nfrom minis2s import LSTM\nLSTM(1, 1, op=None)\n"
    return {
        "notebook: one cell": notebook([code(PLAIN)]),
        "notebook: a cell for each function": notebook([code(as_lines(s), id=f"c{n}") for n, s in enumerate(each)]),
        "notebook: without metadata": {"cells": [{"cell_type": "code", "source": s} for s in each]},
        "notebook: odd metadata": notebook([code(s, metadata=odd, extra={"a": 1}) for s in each], metadata=odd, x=[]),
        "notebook: old format number": notebook([code(s) for s in each], nbformat=4, nbformat_minor=0, metadata={}),
        "notebook: with outputs": notebook([code(s, outputs=[output], execution_count=n) for n, s in enumerate(each)]),
        "notebook: magics and shell lines": notebook([code(pip + each[0]), code("%matplotlib inline"), *map(code, each[1:])]),
        "notebook: a cell with a timing magic": notebook([code(f"%%time\n{s}" if n == 2 else s) for n, s in enumerate(each)]),
        "notebook: text and raw cells between": notebook(
            [c for s in each for c in (text("# my *answer*\n```python\nraise\n```"), text("x = (", "raw"), code(s))]
        ),
        "notebook: a cell twice": notebook([*map(code, each), code(each[-1])]),
        "notebook: the holes kept below": notebook([*map(code, each), *map(code, holes)]),
        "notebook: a cell that is no Python": notebook([*map(code, each), code("this is what I tried first:")]),
        "notebook: training at the end": notebook([*map(code, each), code(train)]),
        "notebook: helpers below their use": notebook(
            [code(s) for s in each if "def sigmoid" not in s] + [code(s) for s in each if "def sigmoid" in s]
        ),
        "notebook: an old version of a function above": notebook(
            [code(each[0]), code("def lstm_forward(x):\n    return x"), *map(code, each[1:])]
        ),
        "notebook: cells that run the functions": notebook(
            [*map(code, each), code("out = lstm_forward(np.ones((1, 1, 1)), *np.zeros((2, 1, 1)), 0, 0, 0)\nout[5]")]
        ),
    }  # fmt: skip


# -- wrong ones ----------------------------------------------------------------------------------------------

SHIMS = '''from typing import NamedTuple

import numpy as np

Array = np.ndarray


def xp_of(*arrays):
    return np


def fused(xp):
    return False


def transposed(W):
    return np.ascontiguousarray(W.T)


def for_loop(W, rows):
    return np.ascontiguousarray(W)
'''


@cache
def engine() -> str:
    """The engine's LSTM as a program that stands alone."""
    own = inspect.getsource(sys.modules["minis2s.functional.lstm"])
    own = own[own.index("class LSTMStepCache") : own.index("lstm_step = Op(")]
    borrowed = (backend.is_ids, activations.sigmoid_, one_hot.rows_of, one_hot.one_hot)
    texts = [inspect.getsource(function).replace("xp: ModuleType", "xp") for function in borrowed]
    return "\n\n".join([SHIMS, *texts, own.strip() + "\n"])


def wrong() -> list[Solution]:
    """Every wrong answer; the same list each time."""
    return [*mutants(), *bugs(), *(trick.solution() for trick in TRICKS)]


def mutants() -> Iterator[Solution]:
    """The engine with each bug of the catalogue that is in its LSTM."""
    for mutant in MUTANTS.values():
        if mutant.target.startswith("functional.lstm:"):
            source = pristine_source(mutant.target)
            text = engine().replace(source, source.replace(mutant.old, mutant.new))
            yield program(f"mutant: {mutant.name}", text, mutant.says)


def bugs() -> Iterator[Solution]:
    """The bugs that students make, in programs of their own styles. Those of one base differ in one word."""
    for bug in student_bugs().BUGS:
        if bug.kind in ("lstm", "lstm_step"):
            yield program(f"bug: {bug.kind}: {bug.name}", of_a_base(bug), bug.says)


def of_a_base(bug: NamedTuple, name: str | None = None) -> str:
    """The program of a bug, or with name="" its base without any."""
    module = student_bugs()
    base = next(b for b in module.BASES if b.kind == bug.kind and bug.forward.__qualname__.startswith(b.make.__name__ + "."))
    forward, backward = base.make("")
    made = f"made = {base.make.__name__}({bug.name if name is None else name!r})"
    functions = f"{text_of(module, base.make)}\n\n{made}"
    masked = takes_a_mask(forward)
    return adapted(bug.kind, functions, "made[0]", "made[1]", base.options.get("gates", "ifog"), masked)


class Trick(NamedTuple):
    """plain.py with other lines. changes: (old, new), the old one once in it; end: what stands below."""

    name: str
    says: str
    changes: tuple[tuple[str, str], ...] = ()
    end: str = ""

    def solution(self) -> Solution:
        text = PLAIN
        for old, new in self.changes:
            if text.count(old) != 1:
                raise ValueError(f"{self.name}: {old!r} occurs {text.count(old)} times")
            text = text.replace(old, new)
        return program(f"trick: {self.name}", text + self.end, self.says)


NUMERIC = '''

exact_step, exact = lstm_step_forward, lstm_forward


def loss_of(forward, dout, given, mask):
    outs, _ = forward(*given, mask)
    return sum((o * d).sum() for o, d in zip(outs, dout) if d is not None)


def gradients(forward, dout, given, mask):
    found = []
    for n, a in enumerate(given):
        found.append(np.zeros(a.shape))
        for k in np.ndindex(a.shape):
            found[n][k] = slope(forward, dout, given, mask, n, k)
    return tuple(found)


def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    return exact_step(x, h_prev, c_prev, Wx, Wh, b, mask)[0], ((x, h_prev, c_prev, Wx, Wh, b), mask)


def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    (hs, h, c), _ = exact(x, h0, c0, Wx, Wh, b, mask)
    return (hs, h, c), ((x, h0, c0, Wx, Wh, b), mask)


def lstm_step_backward(dout, cache):
    return gradients(exact_step, dout, *cache)


def lstm_backward(dout, cache):
    return gradients(exact, dout, *cache)
'''
DIFFERENCES = '''

def slope(forward, dout, given, mask, n, k, eps={eps}):
    def at(e):
        other = [a.copy() for a in given]
        other[n][k] += e
        return loss_of(forward, dout, other, mask)

    return {formula}
'''
COMPLEX = '''

def slope(forward, dout, given, mask, n, k):
    other = [a.astype(complex) for a in given]
    other[n][k] += 1e-30j
    return loss_of(forward, dout, other, mask).imag / 1e-30
'''
AHEAD = '''

def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    given = x, h0, c0, Wx, Wh, b
    outs, _ = exact(*given, mask)
    unit = lambda n, k: [np.where(np.arange(o.size).reshape(o.shape) == k, 1.0, 0.0) if m == n else None for m, o in enumerate(outs)]
    rows = [[gradients(exact, unit(n, k), given, mask) for k in range(o.size)] for n, o in enumerate(outs)]
    return outs, (rows, [a.shape for a in given])


def lstm_backward(dout, cache):
    rows, shapes = cache
    total = [np.zeros(s) for s in shapes]
    for d, of in zip(dout, rows):
        if d is not None:
            for number, grads in zip(d.ravel(), of):
                total = [t + number * g for t, g in zip(total, grads)]
    return tuple(total)
'''
GLOBAL = '''

LAST = {}
own_forward, own_backward = lstm_forward, lstm_backward


def lstm_forward(*given):
    out, LAST["cache"] = own_forward(*given)
    return out, "somewhere else"


def lstm_backward(dout, cache):
    return own_backward(dout, LAST["cache"])
'''
WRAPPED = '''

own_{name} = {name}


def {name}({given}):
    {body}
'''
FORWARD, BACKWARD = "x, h0, c0, Wx, Wh, b, mask=None", "dout, cache"


def around(name: str, body: str) -> str:
    """Another function of the same name, which has the first one as own_NAME."""
    given = FORWARD if name.endswith("forward") else BACKWARD
    return WRAPPED.format(name=name, given=given, body=body.strip("\n").replace("\n", "\n    "))


def result(name: str, expression: str) -> str:
    """With every gradient (or output) `d` replaced by an expression of it."""
    if name.endswith("forward"):
        return around(name, f"out, cache = own_{name}(x, h0, c0, Wx, Wh, b, mask)\nreturn tuple({expression} for d in out), cache")
    return around(name, f"return tuple({expression} for d in own_{name}(dout, cache))")


MASKED_STEP = """h = np.where(mask[:, None], h_new, h_prev)
        c = np.where(mask[:, None], c_new, c_prev)"""
TRICKS = [
    Trick("finite differences, one side", "by a difference of two losses", (), NUMERIC + DIFFERENCES.format(eps="1e-8", formula="(at(eps) - at(0)) / eps")),
    Trick("finite differences, both sides", "by central differences", (), NUMERIC + DIFFERENCES.format(eps="1e-6", formula="(at(eps) - at(-eps)) / (2 * eps)")),
    Trick("finite differences of fourth order", "by four losses", (), NUMERIC + DIFFERENCES.format(eps="1e-3", formula="(8 * (at(eps) - at(-eps)) - at(2 * eps) + at(-2 * eps)) / (12 * eps)")),
    Trick("complex step", "exact to the last digit, at a forward pass for each weight", (), NUMERIC + COMPLEX),
    Trick("complex step, made ahead in forward", "all Jacobians are made before backward is asked", (), NUMERIC + COMPLEX + AHEAD),
    Trick("complex step in the sequence alone", "the step is right", (), NUMERIC.replace("def lstm_step", "def unused_step") + COMPLEX),
    Trick("hard-coded shapes", "the sizes of the public check", (("T = x.shape[0]", "T = 4"),)),
    Trick("hard-coded number of units", "H is that of the public check", (("H = h_prev.shape[1]", "H = 2"),)),
    Trick("hard-coded batch", "the gradient is for three rows", (("dx = np.zeros(x_shape)", "dx = np.zeros((x_shape[0], 3, x_shape[2]))"),)),
    Trick("mask ignored in both", "padding counts as letters", (("if mask is None:\n        h, c", "if True:\n        h, c"), ("if mask is None:\n        real", "if True:\n        real"))),
    Trick("mask ignored in backward", "padding counts as letters", (("if mask is None:\n        real", "if True:\n        real"),)),
    Trick("mask of the first step everywhere", "mask[0] at every step", (("else mask[t]", "else mask[0]"),)),
    Trick("mask turned round", "True where padding is", ((MASKED_STEP, MASKED_STEP.replace("mask[:, None]", "~mask[:, None]")),)),
    Trick("padding gives zeros", "h and c are zero behind the end", ((MASKED_STEP, "h, c = h_new * mask[:, None], c_new * mask[:, None]"),)),
    Trick("the mask only for h", "c goes on behind the end", (("c = np.where(mask[:, None], c_new, c_prev)", "c = c_new"),)),
    Trick("fails without a mask", "mask.shape is asked for", (("if mask is None:\n        h, c = h_new, c_new\n    else:\n", "mask.shape\n    if True:\n"),)),
    Trick("right only from two steps on", "the axis of a single step is lost", (("np.array(hs), h, c", "np.array(hs).squeeze(0) if T == 1 else np.array(hs), h, c"),)),
    Trick("backward right only from two steps on", "a single step is taken for none", (("range(x_shape[0] - 1, -1, -1)", "range(x_shape[0] - 1, -1 if x_shape[0] > 1 else 0, -1)"),)),
    Trick("right only from two rows on", "the axis of a single row is lost", (("return (h, c), cache\n\n\ndef lstm_step_b", "return (h.squeeze(), c.squeeze()) if len(x) == 1 and h.size > 1 else (h, c), cache\n\n\ndef lstm_step_b"),)),
    Trick("backward right only from two rows on", "divided by rows - 1 and multiplied again", (("db = dz.sum(axis=0)", "db = dz.sum(axis=0) * (len(x) > 1)"),)),
    Trick("right only from two units on", "a single unit is taken for none", (("dWh = h_prev.T @ dz", "dWh = h_prev.T @ dz * (h_prev.shape[1] > 1)"),)),
    Trick("right only from two inputs on", "a single input is taken for none", (("dWx = x.T @ dz", "dWx = x.T @ dz * (x.shape[1] > 1)"),)),
    Trick("right only where D is not H", "the weights are told apart by their sizes", (("dx = dz @ Wx.T", "dx = dz @ (Wh if Wx.shape == Wh.shape else Wx).T"),)),
    Trick("right only for short words", "backward goes no further than six steps", (("range(x_shape[0] - 1, -1, -1)", "range(x_shape[0] - 1, max(-1, x_shape[0] - 7), -1)"),)),
    Trick("truncated after three steps", "backward goes no further than three steps", (("range(x_shape[0] - 1, -1, -1)", "range(x_shape[0] - 1, max(-1, x_shape[0] - 4), -1)"),)),
    Trick("right only from zero states", "h0 is left out", (("h, c = h0, c0\n", "h, c = np.zeros_like(h0), c0\n"),)),
    Trick("c0 is left out", "the cell begins at zero", (("h, c = h0, c0\n", "h, c = h0, np.zeros_like(c0)\n"),)),
    Trick("no gradient for h0 and c0", "zeros are returned", (("return dx, dh, dc, dWx, dWh, db\n", "return dx, 0 * dh, 0 * dc, dWx, dWh, db\n"),)),
    Trick("None among the gradients is not expected", "None + array", (("if dhs is not None:\n            dh", "if True:\n            dh"),)),
    Trick("dh that is None ends it", "no gradient for anything", (("if dh is None:\n        dh = np.zeros_like(h_prev)", "if dh is None:\n        return tuple(np.zeros_like(a) for a in (x, h_prev, c_prev, Wx, Wh, Wx[0]))"),)),
    Trick("x is changed in place", "and what it was before is not in the cache", (("z = x @ Wx", "x *= 0.5\n    z = 2 * x @ Wx"),)),
    Trick("c_prev is changed in place", "and backward reads it", (("c_new = f * c_prev + i * g", "c_prev *= f\n    c_prev += i * g\n    c_new = c_prev.copy()"),)),
    Trick("the cache is emptied by backward", "a second call fails", (("lstm_step_backward((dh, dc), caches[t])", "lstm_step_backward((dh, dc), caches.pop())"),)),
    Trick("the cache is changed by backward", "a second call gives other numbers", (("dz = np.concatenate([di, df, do, dg], axis=1)", "dz = np.concatenate([di, df, do, dg], axis=1)\n    f *= 1 - f"),)),
    Trick("sums are kept between calls", "the weights' gradients of the call before are added", (("dWx = np.zeros(w_shape)\n", "dWx = KEPT.setdefault('dWx', np.zeros(w_shape))\n"), ("def lstm_forward", "KEPT = {}\n\n\ndef lstm_forward"))),
    Trick("the cache is a global variable", "of two forward calls the second counts", (), GLOBAL),
    Trick("float32 results", "right to seven digits", (), result("lstm_forward", "np.float32(d)") + result("lstm_backward", "np.float32(d)")),
    Trick("float32 inside", "right to seven digits", (("z = x @ Wx + h_prev @ Wh + b", "z = np.float64(np.float32(x @ Wx + h_prev @ Wh + b))"),)),
    Trick("half precision gradients", "right to three digits", (), result("lstm_backward", "np.float64(np.float16(d))")),
    Trick("rounded to ten digits", "np.round", (), result("lstm_backward", "np.round(d, 10)")),
    Trick("noise", "one part in a hundred millions", (), result("lstm_backward", "d * (1 + 1e-8 * np.random.randn(*d.shape))")),
    Trick("clipped at 10", "gradients are cut off at 10", (), result("lstm_backward", "np.clip(d, -10, 10)")),
    Trick("the mean over the batch", "divided by the rows", (("dWx = x.T @ dz", "dWx = x.T @ dz / len(x)"),)),
    Trick("gates in torch's order", "i, f, g, o", (("o = sigmoid(z[:, 2 * H : 3 * H])\n    g = np.tanh(z[:, 3 * H :])", "g = np.tanh(z[:, 2 * H : 3 * H])\n    o = sigmoid(z[:, 3 * H :])"), ("[di, df, do, dg]", "[di, df, dg, do]"))),
    Trick("hs of the step before", "h0 first, without the last", (("hs.append(h)\n        caches", "caches"), ("(h, c), cache = lstm_step_forward(x[t]", "hs.append(h)\n        (h, c), cache = lstm_step_forward(x[t]"))),
    Trick("batch first", "hs is (B, T, H)", (), around("lstm_forward", "(hs, h, c), cache = own_lstm_forward(x, h0, c0, Wx, Wh, b, mask)\nreturn (hs.swapaxes(0, 1), h, c), cache")),
    Trick("h_last and c_last exchanged", "in another order", (("return (np.array(hs), h, c)", "return (np.array(hs), c, h)"),)),
    Trick("db with an axis too many", "(1, 4H)", (("db = dz.sum(axis=0)", "db = dz.sum(axis=0, keepdims=True)"),)),
    Trick("dWx turned", "(4H, D)", (), around("lstm_backward", "dx, dh, dc, dWx, dWh, db = own_lstm_backward(dout, cache)\nreturn dx, dh, dc, dWx.T, dWh, db")),
    Trick("zeros", "of the right shapes", (), result("lstm_backward", "0 * d")),
    Trick("nan", "of the right shapes", (), result("lstm_backward", "d * np.nan")),
    Trick("infinite", "of the right shapes", (), result("lstm_backward", "d + np.inf")),
    Trick("empty arrays", "they compare as equal to anything", (), result("lstm_backward", "np.array([])")),
    Trick("one number for a whole array", "it broadcasts", (), result("lstm_backward", "d.ravel()[0]")),
    Trick("whole numbers", "cut off", (), result("lstm_backward", "d.astype(int)")),
    Trick("texts", "of the right numbers", (), result("lstm_backward", "d.astype(str)")),
    Trick("objects", "of the right numbers", (), result("lstm_backward", "d.astype(object)")),
    Trick("masked arrays", "everything is masked", (), result("lstm_backward", "np.ma.masked_all_like(d)")),
    Trick("an array that equals everything", "a subclass that lies", (), "\n\nclass Liar(np.ndarray):\n    def __array_ufunc__(self, *a, **k):\n        return np.True_\n\n\n" + result("lstm_backward", "np.zeros(d.shape).view(Liar)")),
    Trick("None", "nothing is returned", (), around("lstm_backward", "own_lstm_backward(dout, cache)")),
    Trick("one gradient too few", "db is left out", (), around("lstm_backward", "return own_lstm_backward(dout, cache)[:-1]")),
    Trick("one gradient too many", "one for the mask", (), around("lstm_backward", "return *own_lstm_backward(dout, cache), None")),
    Trick("a dictionary", "by name", (), around("lstm_backward", "return dict(zip('abcdef', own_lstm_backward(dout, cache)))")),
    Trick("the step is not written", "NotImplementedError", (("dh, dc = dout\n    x, h_prev", "raise NotImplementedError('lstm_step: write lstm_step_backward')\n    x, h_prev"),)),
    Trick("the step raises now and then", "one call in three", (), around("lstm_step_backward", "if np.random.rand() < 0.34:\n    raise ValueError('bad luck')\nreturn own_lstm_step_backward(dout, cache)")),
    Trick("a sigmoid that overflows, and a mask that multiplies", "nan behind the end", (("return 1 / (1 + np.exp(-z))", "return np.exp(z) / (1 + np.exp(z))"), (MASKED_STEP, "m = mask[:, None]\n        h, c = m * h_new + ~m * h_prev, m * c_new + ~m * c_prev"))),
    Trick("the public example remembered", "right for weights of zero, and where T is 4", (("f = sigmoid(z[:, H : 2 * H])", "f = sigmoid(z[:, H : 2 * H]) if Wx.any() is np.False_ or len(x) == 3 else sigmoid(-z[:, H : 2 * H])"),)),
    Trick("a rational tanh", "right to some digits", (("g = np.tanh(z[:, 3 * H :])", "a = np.clip(z[:, 3 * H :], -3, 3)\n    g = a * (27 + a**2) / (27 + 9 * a**2)"),)),
    Trick("squares added up", "the gradient of another loss", (("dWh += dWh_t", "dWh += dWh_t**2"),)),
    Trick("what is behind the end leaks", "a little of every letter", (("return (np.array(hs), h, c), (caches", "return (np.array(hs), h + 1e-6 * x.mean(), c), (caches"),)),
]
