"""All the mistakes that are one small change away from a right backward pass.

`edits(function)` reads the source of a textbook function (textbook.py) and changes it at one spot at a
time: a factor dropped, a term dropped or doubled, another variable, another step, a sign, a transpose,
an axis, an exchanged gate, a line left out. Each Edit can be run, and says in words what it is. The
diagnosis looks for the one whose gradients are the student's.

Source of the idea: mutation testing (DeMillo, Lipton and Sayward 1978), turned around.
"""

import ast
import copy
import inspect
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True, eq=False)
class Edit:
    line: str  # the right line
    wrong: str  # the line as changed; "" where it is left out
    equation: str  # the comment above the line: the forward equation that it undoes
    variable: str  # what the line computes
    cause: str  # a key of CAUSES
    says: str  # the change in words
    function: ast.FunctionDef  # the whole function with the change in it
    variables: tuple[str, ...] = ()  # where several lines are changed: what they compute
    rare: bool = False  # a mistake that few make: tried only when no other explains the numbers

    @cached_property
    def run(self) -> Callable:
        """The changed function; it takes the arguments of the right one."""
        return compiled(self.function)


class Change(NamedTuple):
    """One rewritten expression: how, and what was there."""

    node: ast.expr
    how: str
    what: str = ""  # the part that was dropped, doubled, replaced
    by: str = ""  # what stands there now


RARE = ("factor added", "term added", "ones", "rows")

# What a line is about, by the name that it computes.
CARRIES = {"dh", "dc", "dh_prev", "dc_prev", "dh_kept", "dc_kept"}
LOOP_VARIABLE = "t"


def untransposed(W: np.ndarray) -> np.ndarray:
    """(H, G H) -> (G H, H): each gate's block as it lies, where the transpose of each belongs."""
    H, columns = W.shape
    if columns % H:
        raise ValueError("no square blocks")
    return np.concatenate([W[:, k : k + H] for k in range(0, columns, H)], axis=0)


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 0.5 * np.tanh(0.5 * z) + 0.5


def without(dz: np.ndarray, k: int, gates: int) -> np.ndarray:
    """dz with the block of gate k set to zero."""
    H = dz.shape[1] // gates
    return np.where(np.arange(dz.shape[1]) // H == k, 0, dz)


TOOLS = {"np": np, "untransposed": untransposed, "sigmoid": sigmoid, "without": without}
GATES = {"lstm_backward": "ifog", "gru_backward": "run", "gru_before_backward": "run"}
# Lines that say the same of several gates; who makes a mistake in one often makes it in all.
FAMILIES = (("dz_i", "dz_f", "dz_o"), ("dz_r", "dz_u"), ("di", "df", "dg"))


@cache
def edits(function: Callable, sizes: tuple[tuple[str, str], ...] = ()) -> list[Edit]:
    """Every single change of a textbook function.

    sizes: letters and expressions, ("T", "len(x)"), of numbers by which a line may wrongly be multiplied
    or divided.
    """
    source = inspect.getsource(function)
    right = ast.parse(source).body[0]
    comments = equations_above(source)
    names = interchangeable(right)
    found: list[Edit] = []

    def visit(block: list[ast.stmt], rebuilt: Callable[[list[ast.stmt]], ast.FunctionDef]) -> None:
        """Collect the edits of a block; `rebuilt` makes the whole function from a changed copy of it."""
        for n, statement in enumerate(block):

            def add(new: ast.stmt | None, cause: str, says: str, rare=False, n=n, statement=statement) -> None:
                others = [ast.Pass(lineno=1, col_offset=0) if new is None else ast.fix_missing_locations(new)]
                changed = rebuilt([*block[:n], *others, *block[n + 1 :]])
                wrong = "" if new is None else ast.unparse(new).split("\n")[0]
                line = ast.unparse(statement).split("\n")[0]
                equation = comments.get(statement.lineno, "")
                found.append(Edit(line, wrong, equation, assigned(statement), cause, says, changed, (), rare))

            if isinstance(statement, ast.For):
                for change in loops(statement):
                    add(replaced(statement, "iter", change.node), change.how, change.what)
                visit(
                    statement.body,
                    lambda body, n=n, statement=statement: rebuilt(
                        [*block[:n], replaced(statement, "body", body), *block[n + 1 :]]
                    ),
                )
            elif isinstance(statement, ast.Assign) and is_equation(statement):
                variable, text = assigned(statement), ast.unparse(statement.value)
                for change in statement_changes(statement, names, sizes):
                    rare = change.how in RARE
                    add(replaced(statement, "value", change.node), *in_words(variable, change, text), rare)
                if variable in {name.id for name in ast.walk(statement.value) if isinstance(name, ast.Name)}:
                    cause = "mask ignored" if "real" in text else "missing term"
                    add(None, cause, f"the line {ast.unparse(statement)} is left out")

    visit(right.body, lambda body: replaced(right, "body", body))
    gates = GATES.get(function.__name__, "")
    for line in source.splitlines():
        # the part of one gate left out of a product with all gates
        variable, _, value = line.strip().partition(" = ")
        for dz in ("dz", "dzx", "dzh"):
            for k, letter in enumerate(gates):
                wrong = re.sub(rf"\b{dz} @|@ {dz}\b", lambda m, dz=dz, k=k: m[0].replace(dz, f"without({dz}, {k}, {len(gates)})"), value)
                if wrong != value:
                    name = variable.partition("[")[0]
                    says = f"{name} lacks the part of gate {letter}"
                    found.append(rewritten(source, [(line.strip(), f"{variable} = {wrong}")], name, "missing term", says))
    for family in FAMILIES:
        found += in_all(family, found, source)
    found += of_two_lines(source)
    return found


# Lines that are easily exchanged; what the first computes, the second should.
EXCHANGES = (("di", "dg"), ("di", "df"), ("df", "dg"), ("do", "df"), ("dr", "du"), ("dn", "du"), ("dn", "dh_prev"), ("du", "dh_prev"), ("dz_i", "dz_f"), ("dz_i", "dz_o"), ("dz_f", "dz_o"), ("dz_i", "dz_g"), ("dz_o", "dz_g"), ("dz_r", "dz_u"))  # fmt: skip


def of_two_lines(source: str) -> Iterator[Edit]:
    """Mistakes that take two lines: exchanged right-hand sides, a factor that comes too early, a cut in time."""
    lines = {}
    for line in source.splitlines():
        name, equals, value = line.strip().partition(" = ")
        if equals and name not in lines:
            lines[name] = value
    for a, b in EXCHANGES:
        if a in lines and b in lines:
            changes = [(f"{a} = {lines[a]}", f"{a} = {lines[b]}"), (f"{b} = {lines[b]}", f"{b} = {lines[a]}")]
            yield rewritten(source, changes, a, "wrong variable", f"{a} and {b} are exchanged")
            if lines[a].count(" * ") >= 2 and lines[b].count(" * ") >= 2:
                first, second = lines[a].partition(" * ")[0], lines[b].partition(" * ")[0]
                changes = [(f"{a} = {lines[a]}", f"{a} = {lines[a].replace(first, second, 1)}"), (f"{b} = {lines[b]}", f"{b} = {lines[b].replace(second, first, 1)}")]
                yield rewritten(source, changes, a, "gate order", f"{first} and {second} are exchanged between the gates")
    for name, factor, first in (("dc", "f[t]", "df"), ("dh", "u[t]", "dn")):
        if f"{name}_prev" in lines and first in lines and lines[f"{name}_prev"] == f"{name} * {factor}":
            changes = [
                (f"{first} = {lines[first]}", f"{name} = {name} * {factor}; {first} = {lines[first]}"),
                (f"{name}_prev = {name} * {factor}", f"{name}_prev = {name}"),
            ]
            yield rewritten(source, changes, name, "aliased", f"{name} is scaled by {factor} in place, before {first} is taken from it")
    for k in ("0", "1", "2", "3"):
        cuts = [
            (f"{name} = {name}_prev + {name}_kept", f"{name} = ({name}_prev + {name}_kept) * (t != {k})")
            for name in ("dh", "dc") if f"{name} = {name}_prev + {name}_kept" in source
        ]
        for changes in (cuts, cuts[:1], cuts[1:]):
            if changes:
                says = f"the gradient of the state is not handed back from step {k} to the step before"
                yield rewritten(source, changes, "dh_prev", "carry dropped", says)
    for a, b in (("dz_ru @ Wh_ru.T", "dzh_n @ Wh_n.T"),):
        if a in source and b in source:
            changes = [(f"dh_prev = dh_prev + {e}", "dh_prev = dh_prev + " + e.replace("@ ", "@ untransposed(").replace(".T", ")")) for e in (a, b)]
            yield rewritten(source, changes, "dh_prev", "transpose", "dh_prev is computed with Wh where Wh.T belongs, gate by gate")


def rewritten(source: str, lines: list[tuple[str, str]], variable: str, cause: str, says: str) -> Edit:
    """An edit of one or several lines, each given as (right, wrong)."""
    changed = source
    for right, wrong in lines:
        changed = changed.replace(right + "\n", wrong + "\n")
    variables = tuple(right.partition(" = ")[0] for right, _ in lines) if len(lines) > 1 else ()
    return Edit(lines[0][0], lines[0][1], "", variable, cause, says, ast.parse(changed).body[0], variables)


def in_all(family: tuple[str, ...], found: list[Edit], source: str) -> list[Edit]:
    """The edits that every line of a family has, made in all of them at once."""
    by_line = {name: [e for e in found if e.variable == name and not e.rare] for name in family}
    if not all(by_line.values()):
        return []
    both = []
    for edit in by_line[family[0]]:
        letter = family[0][-1]
        twins = []
        for name in family[1:]:
            other = name[-1]
            says = edit.says.replace(family[0], name).replace(f"{letter}[t]", f"{other}[t]")
            twins += [e for e in by_line[name] if e.says == says and e.cause == edit.cause][:1]
        if len(twins) == len(family) - 1:
            says = edit.says.replace(family[0], ", ".join(family[:-1]) + f" and {family[-1]}", 1)
            lines = [(e.line.replace("** ", "** "), e.wrong) for e in (edit, *twins)]
            if all(f"{right}\n" in source for right, _ in lines):
                both.append(rewritten(source, lines, family[0], edit.cause, says))
    return both


def compiled(function: ast.FunctionDef) -> Callable:
    namespace = dict(TOOLS)
    module = ast.Module([function], type_ignores=[])
    exec(compile(module, f"<{function.name}, changed>", "exec"), namespace)
    return namespace[function.name]


def recorded(function: ast.FunctionDef) -> Callable:
    """The function, but returning every assignment that it made, in order: [(name, t or None, value)].

    Its arguments are those of the function.
    """

    def with_records(block: list[ast.stmt], t: str) -> list[ast.stmt]:
        out = []
        for statement in block:
            if isinstance(statement, ast.For):
                statement = replaced(statement, "body", with_records(statement.body, statement.target.id))
            out.append(statement)
            if isinstance(statement, ast.Assign) and not isinstance(statement.targets[0], ast.Tuple):
                target = ast.unparse(statement.targets[0])
                out.append(ast.parse(f"_records.append(({assigned(statement)!r}, {t}, np.array({target})))").body[0])
        return out

    start = ast.parse("_records = []").body
    body = [*start, *with_records(function.body[:-1], "None"), ast.parse("return _records").body[0]]
    if not isinstance(function.body[-1], ast.Return):
        raise ValueError(f"{function.name} should end with a return")
    new = ast.FunctionDef(function.name, function.args, body, [], None)
    new.type_params = []
    return compiled(ast.fix_missing_locations(new))


@cache
def syntax_of(function: Callable) -> ast.FunctionDef:
    return ast.parse(inspect.getsource(function)).body[0]


def is_equation(statement: ast.Assign) -> bool:
    """Is it a line of mathematics, and not one that makes room for results or measures a size?"""
    value = ast.unparse(statement.value)
    return not isinstance(statement.targets[0], ast.Tuple) and not value.startswith(("np.zeros_like", "probs.shape"))


def assigned(statement: ast.stmt) -> str:
    """The name that a line computes; of a loop, its variable."""
    target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
    while isinstance(target, ast.Subscript):
        target = target.value
    return target.id


def equations_above(source: str) -> dict[int, str]:
    """For each line number, the last comment above it."""
    comments, last = {}, ""
    for number, line in enumerate(source.splitlines(), start=1):
        text = line.strip()
        if text.startswith("#"):
            last = text[1:].strip()
        comments[number] = last
    return comments


def interchangeable(function: ast.FunctionDef) -> dict[bool, list[str]]:
    """Names that may be mistaken for each other: those indexed with [t], and the others.

    Whether the shapes fit is found out by running the change: one that does not run is no candidate.
    """
    over_time, plain = set(), set()
    for node in ast.walk(function):
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
            over_time.add(node.value.id)
        elif isinstance(node, ast.Name) and node.id not in TOOLS:
            plain.add(node.id)
    plain |= {arg.arg for arg in function.args.args}
    over_time |= {arg.arg for arg in function.args.args if arg.arg in ("h", "c", "h_prev", "n", "u")}
    return {True: sorted(over_time), False: sorted(plain - over_time - {"range", "reversed", "len"})}


# -- the changes of one statement --------------------------------------------------------------------


def loops(statement: ast.For) -> Iterator[Change]:
    """A loop that runs in the other direction, or misses a step."""
    text = ast.unparse(statement.iter)
    if not text.startswith("reversed(range("):
        return
    inner = text[len("reversed(range(") : -2]
    yield Change(expression(f"range({inner})"), "time shift", "the loop runs forward in time, from the first step to the last")
    yield Change(expression(f"reversed(range({inner} - 1))"), "time shift", "the loop leaves out the last step")
    yield Change(expression(f"reversed(range(1, {inner}))"), "time shift", "the loop leaves out the first step")


def expression(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def statement_changes(statement: ast.Assign, names: dict[bool, list[str]], sizes) -> Iterator[Change]:
    value = statement.value
    yield from rewrites(value, names)
    text = ast.unparse(value)
    yield Change(expression(f"-({text})"), "sign")
    for factor in ("2", "0.5"):
        yield Change(expression(f"{factor} * ({text})"), "scaled", text, f"times {factor}")
    over_time = [f"{name}[t]" for name in names[True]] if LOOP_VARIABLE in names[False] else []
    for other in [*over_time, *names[False]]:
        if other != LOOP_VARIABLE:
            yield Change(expression(f"({text}) * {other}"), "factor added", other)
            if other.startswith("d"):
                yield Change(expression(f"({text}) + {other}"), "term added", other)
    # of a sum that grows from step to step, it is what is added that may be scaled
    variable = assigned(statement)
    kept, plus, added = text.partition(" + ")
    before, added = (f"{kept} + ", added) if plus and kept == variable and variable.startswith(("dW", "db")) else ("", text)
    for letter, size in sizes:
        yield Change(expression(f"{before}({added}) / ({size})"), "scaled", text, f"divided by {letter}")
        yield Change(expression(f"{before}({added}) * ({size})"), "scaled", text, f"times {letter}")
    if before:
        yield Change(expression(f"{before}2 * ({added})"), "scaled", text, "times 2")
        yield Change(expression(f"{before}0.5 * ({added})"), "scaled", text, "times 0.5")


def rewrites(node: ast.expr, names: dict[bool, list[str]]) -> Iterator[Change]:
    """Every change of an expression at one spot, whole expressions as the result."""
    yield from here(node, names)
    for field, child in ast.iter_fields(node):
        if isinstance(child, ast.expr) and not (isinstance(node, ast.Subscript) and field == "value"):
            if isinstance(node, ast.Call) and field == "func":
                # (expression).sum(...): the expression is part of the line, the method is not
                if isinstance(child, ast.Attribute):
                    for change in rewrites(child.value, names):
                        func = copy.copy(child)
                        func.value = change.node
                        yield change._replace(node=replaced(node, "func", func))
                continue
            for change in rewrites(child, names):
                yield change._replace(node=replaced(node, field, change.node))
        elif isinstance(child, list) and field == "args":
            for k, item in enumerate(child):
                for change in rewrites(item, names):
                    items = [*child[:k], change.node, *child[k + 1 :]]
                    yield change._replace(node=replaced(node, field, items))


def replaced(node: ast.AST, field: str, value) -> ast.AST:
    new = copy.copy(node)
    setattr(new, field, value)
    return new


def here(node: ast.expr, names: dict[bool, list[str]]) -> Iterator[Change]:
    """The changes of the outermost operation of an expression."""
    text = ast.unparse(node)
    if isinstance(node, ast.BinOp):
        left, right = node.left, node.right
        a, b = ast.unparse(left), ast.unparse(right)
        yield from of_an_operation(node, left, right, a, b)
    elif isinstance(node, ast.Subscript):
        if isinstance(node.value, ast.Name) and ast.unparse(node.slice) == LOOP_VARIABLE:
            name = node.value.id
            for other in names[True]:
                if other != name:
                    yield Change(expression(f"{other}[t]"), "variable", text, f"{other}[t]")
            for index in ("t - 1", f"(t + 1) % len({name})", f"min(t + 1, len({name}) - 1)", f"len({name}) - 1 - t"):
                yield Change(expression(f"{name}[{index}]"), "step", text, f"{name}[{index}]")
            for index, there in (("t - 1", "t > 0"), ("t + 1", f"t + 1 < len({name})")):
                yield Change(expression(f"({name}[{index}] if {there} else 0 * {text})"), "step", text, f"{name}[{index}]")
            yield Change(expression(f"np.roll({text}, 1, axis=0)"), "rows", text)
            yield Change(expression(f"np.roll({text}, -1, axis=0)"), "rows", text)
            yield Change(expression(f"np.tanh({text})"), "variable", text, f"tanh({text})")
    elif isinstance(node, ast.Name):
        for other in names[False]:
            if other != node.id:
                yield Change(expression(other), "variable", node.id, other)
        yield Change(expression(f"np.zeros_like({node.id})"), "zero", node.id)
        yield Change(expression(f"np.ones_like({node.id})"), "ones", node.id)
        if node.id == "scale":
            yield Change(expression("(1 / scale)"), "scaled", "scale", "1 / scale")
            for letter, size in (("S", "keys.shape[1]"), ("S", "memory.shape[1]"), ("T", "query.shape[1]"), ("B", "len(query)")):
                yield Change(expression(f"{size} ** -0.5"), "scaled", "scale", f"one over the root of {letter}")
            yield Change(expression("scale**2"), "scaled", "scale", "scale * scale: it is applied twice")
            yield Change(expression("scale**0.5"), "scaled", "scale", "the root of scale")
    elif isinstance(node, ast.Attribute) and node.attr in ("T", "mT"):
        yield Change(node.value, "transpose", text, ast.unparse(node.value))  # runs where it is square
        W = ast.unparse(node.value)
        yield Change(expression(f"untransposed({W})"), "transpose", text, W)
        yield Change(expression(f"{W}.reshape({W}.mT.shape)"), "transpose", text, f"{W} reshaped")
    elif isinstance(node, ast.Call) and text.startswith("np.concatenate(["):
        parts = node.args[0].elts
        letters = [ast.unparse(part).rsplit("_", 1)[-1] for part in parts]
        for order in itertools.permutations(range(len(parts))):
            if list(order) != sorted(order):
                shuffled = ast.List([parts[k] for k in order], ast.Load())
                new = replaced(node, "args", [shuffled, *node.args[1:]])
                yield Change(new, "order", ", ".join(letters), ", ".join(letters[k] for k in order))
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "sum":
        summed = ast.unparse(node.func.value)
        arguments = {k.arg: ast.unparse(k.value) for k in node.keywords}
        axis, keep = arguments["axis"], arguments.get("keepdims", "False")
        yield Change(expression(f"({summed}).mean(axis={axis}, keepdims={keep})"), "mean", summed)
        yield Change(node.func.value, "sum dropped", summed)
        if summed == "dweights * weights":
            yield Change(expression(f"dweights.mean(axis={axis}, keepdims={keep})"), "factor dropped", "weights")
        for k in (0, -1):
            yield Change(expression(f"np.take({summed}, [{k}], axis={axis}).sum(axis={axis}, keepdims={keep})"), "one row", summed)
        for other in ("0", "1", "2", "None", "(0, 2)", "(1, 2)"):
            if other != axis:
                yield Change(
                    expression(f"np.sum({summed}, axis={other}, keepdims={keep})"), "axis", axis, other
                )


def of_an_operation(node: ast.BinOp, left: ast.expr, right: ast.expr, a: str, b: str) -> Iterator[Change]:
    def again(op: ast.operator, left=left, right=right) -> ast.expr:
        return ast.BinOp(left, op, right)

    match node.op:
        case ast.Mult():
            yield Change(left, "factor dropped", b)
            yield Change(right, "factor dropped", a)
            # d * y * (1 - y), the derivative of the sigmoid
            if isinstance(left, ast.BinOp) and isinstance(left.op, ast.Mult) and b == f"1 - {ast.unparse(left.right)}":
                d, y = ast.unparse(left.left), ast.unparse(left.right)
                yield Change(expression(f"{d}"), "derivative", f"{y} * (1 - {y})", "1")
                yield Change(expression(f"{d} * (1 - {y}**2)"), "derivative", f"{y} * (1 - {y})", f"1 - {y}**2, that of tanh")
                yield Change(
                    expression(f"{d} * sigmoid({y}) * (1 - sigmoid({y}))"),
                    "derivative", f"{y} * (1 - {y})", f"sigmoid({y}) * (1 - sigmoid({y})): the sigmoid is applied twice",
                )
        case ast.Div():
            yield Change(left, "factor dropped", f"1 / ({b})")
            yield Change(again(ast.Mult()), "scaled", b, "multiplied, not divided")
            if b == "count":
                for other in ("len(real)", "real.size", "(real.size / len(real))"):
                    yield Change(again(ast.Div(), right=expression(other)), "count", b, {
                        "len(real)": "the number of steps T", "real.size": "T * B, padding included",
                    }.get(other, "the batch size B"))
                yield Change(again(ast.Div(), left=again(ast.Div())), "count", b, "the number of tokens, twice")
        case ast.Add():
            yield Change(left, "term dropped", b)
            yield Change(right, "term dropped", a)
            yield Change(again(ast.Sub()), "sign", b)
            yield Change(expression(f"2 * ({a}) + {b}"), "doubled", a)
            yield Change(expression(f"{a} + 2 * ({b})"), "doubled", b)
        case ast.Sub():
            yield Change(left, "term dropped", b)
            yield Change(right, "one minus" if a == "1" else "term dropped", a, b)
            yield Change(again(ast.Add()), "sign", b)
            if (a, b) == ("probs", "target"):
                yield Change(expression("(probs - target) * onehot"), "one column", "probs - target")
            if a == "1" and isinstance(right, ast.BinOp) and isinstance(right.op, ast.Pow):
                y = ast.unparse(right.left)
                yield Change(expression(f"1 - np.tanh({y})**2"), "derivative", f"1 - {y}**2", f"1 - tanh({y})**2: tanh is applied twice")
                yield Change(expression(f"{y} * (1 - {y})"), "derivative", f"1 - {y}**2", f"{y} * (1 - {y}), that of the sigmoid")
                yield Change(expression(f"1 - {y}"), "derivative", f"1 - {y}**2", f"1 - {y}")
            else:
                yield Change(again(ast.Sub(), right, left), "sign", f"{a} - {b}")
        case ast.MatMult():
            yield Change(expression(f"(({b}).mT @ ({a}).mT)"), "transpose", f"{a} @ {b}", f"({b}).T @ ({a}).T")
            if a.endswith(".mT"):  # a sum over all queries
                for which, at in (("last", "-1:"), ("first", ":1")):
                    yield Change(expression(f"({a})[..., {at}] @ ({b})[:, {at}]"), "one of many", which)
            else:
                yield Change(expression(f"({a}) @ ({b})[:, ::-1]"), "reversed", b)


# Exchanges of variables that are a known mistake: (what stands there, what belongs there).
LACKING = {
    ("dzx", "dzh"): ("missing factor", "the candidate's part lacks the factor r"),
    ("dz_n", "dzh_n"): ("missing factor", "it lacks the factor r"),
    ("h_prev", "rh"): ("missing factor", "it lacks the factor r"),
    ("dn", "dz_n"): ("wrong derivative", "the derivative of tanh, 1 - n**2, is left out"),
    ("dh", "dz"): ("wrong derivative", "the derivative of tanh, 1 - h**2, is left out"),
    ("dz_n", "drh"): ("missing factor", "the product with Wh_n is left out"),
    ("di", "dz_i"): ("wrong derivative", "the derivative of the sigmoid is left out"),
    ("df", "dz_f"): ("wrong derivative", "the derivative of the sigmoid is left out"),
    ("do", "dz_o"): ("wrong derivative", "the derivative of the sigmoid is left out"),
    ("dg", "dz_g"): ("wrong derivative", "the derivative of tanh is left out"),
    ("da", "dz"): ("wrong derivative", "the derivative of tanh is left out"),
    ("dscores", "dproducts"): ("scale", "the scale is left out"),
    ("tanh(tanh_c)", "tanh_c"): ("wrong derivative", "tanh is applied twice"),
}


# -- what a change means ---------------------------------------------------------------------------------


def in_words(variable: str, change: Change, line: str) -> tuple[str, str]:
    """(cause, sentence) for a change in the line that computes `variable`."""
    how, what, by = change.how, change.what, change.by
    name = variable
    is_weight = name.startswith(("dW", "db", "dv")) and name not in ("dvalues",)
    accumulates = line.startswith(f"{name} + ") or line.startswith(f"{name}[")
    def plain(text: str) -> str:
        return text.replace("[t]", "")

    match how:
        case "factor added":
            return "extra term", f"{name} is multiplied by {what}, which does not belong there"
        case "term added":
            return "extra term", f"{what} is added to {name}, which does not belong there"
        case "rows":
            return "axis", f"{name} uses {what} of another row of the batch"
        case "ones":
            return "missing factor", f"{name} lacks {what}: it is taken as one"
        case "sum dropped":
            if name == "taken":
                return "softmax jacobian", "only the diagonal of the softmax's Jacobian is used: the sum over all weights is left out"
            return "axis", f"the sum over {what} is left out in {name}"
        case "one of many":
            return "overwritten", f"{name} keeps the contribution of the {what} query only, where those of all queries add up"
        case "reversed":
            return "time shift", f"{name} uses {what} in the reversed order"
        case "factor dropped":
            if "real" in what and name.endswith("_kept"):
                return "carry doubled", f"the old {name[:-5]} is kept beside what the step hands back (+= in place of =)"
            if "real" in what:
                return "mask ignored", f"{name} is not masked: the factor {what} is left out"
            if what in ("keep", "1 / (1 - p)"):
                return "dropout ignored", f"{name} lacks the factor {what}"
            if what == "scale" or "count" in what:
                return "scale" if what == "scale" else "normalization", f"{name} lacks the factor {what}"
            if what.startswith("1 - ") and ("dz" in name or "tanh_c" in what):
                return "wrong derivative", f"the derivative of the activation, {what}, is left out in {name}"
            if name in ("dc_prev", "dh_prev"):
                return "carry scaled", f"{name} is handed back without the factor {what}"
            return "missing factor", f"{name} lacks the factor {what}"
        case "derivative":
            return "wrong derivative", f"in {name} the derivative {what} is taken as {by}"
        case "term dropped" | "zero":
            if what == "taken":
                return "softmax jacobian", "only the diagonal of the softmax's Jacobian is used: the term that a raised score takes from all the others is left out"
            if "kept" in what:
                return "mask ignored", f"the gradient {what} that a padded step hands on is lost"
            if is_weight and what == name and accumulates:
                return "overwritten", f"{name} is overwritten where it should be added to"
            if what.startswith(f"{name}[") and is_weight:
                return "repeated ids", "of an id that comes several times only the last gradient is kept: = stands where += belongs"
            if (what in CARRIES and name in CARRIES) or "@ Wh" in what:
                return "carry dropped", f"{name} lacks {what}, the gradient that comes from the later step"
            return "missing term", f"{name} lacks the term {what}"
        case "doubled":
            if is_weight and what == name:
                return "scale", f"{name} is doubled at every step"
            if (what in CARRIES and name in CARRIES) or "@ Wh" in what:
                return "carry doubled", f"in {name} the term {what} is added twice"
            return "doubled", f"in {name} the term {what} is added twice"
        case "sign":
            return "sign", f"the sign of {what or name} is wrong" + (f" in {name}" if what else "")
        case "scaled":
            if by.startswith("divided by B") and is_weight:
                return "batch sum", f"{name} is divided by the batch size: the mean over the batch where the sum belongs"
            if by.startswith(("divided by", "times T", "times B", "times N")) and by[-1] in "BTNS":
                return "normalization", f"{name} is {by}"
            if name in CARRIES and name.endswith("prev"):
                return "carry scaled", f"{name} is {by}"
            return "scale", f"{name} is {by}"
        case "one minus":
            cause = "scale" if by == "p" else "wrong derivative" if name.startswith("dz") else "wrong variable"
            return cause, f"{name} uses {by} where 1 - {by} belongs"
        case "one column":
            return "missing term", f"{name} is filled in the column of the target only: every other token has a gradient, too"
        case "count":
            return "normalization", f"divided by {by}, where the number of real tokens belongs"
        case "mean" if name == "taken":
            return "normalization", f"{name} is the mean of {what} where the sum belongs"
        case "mean":
            return ("batch sum" if is_weight else "axis"), f"{name} is the mean of {what} where the sum belongs"
        case "one row":
            cause = "batch sum" if is_weight else "overwritten"
            return cause, f"{name} takes only one row of {what}: the sum is forgotten"
        case "axis":
            return "axis", f"{name} sums over axis {by} where axis {what} belongs"
        case "order":
            return "gate order", f"the gates are put together in the order {by}, where {what} belongs"
        case "transpose":
            return "transpose", f"{name} is computed with {by} where {what} belongs"
        case "step":
            return "time shift", f"{name} uses {by}, of another step, where {what} belongs"
        case "variable" if name in ("dc_prev", "dh_prev"):
            return "carry scaled", f"{name}, the gradient that is handed back, uses {by} where {what} belongs"
        case "variable" if (plain(by), plain(what)) in LACKING:
            cause, lacks = LACKING[plain(by), plain(what)]
            return cause, f"{name} uses {by} where {what} belongs: {lacks}"
        case "variable":
            return "wrong variable", f"{name} uses {by} where {what} belongs"
    raise ValueError(f"no words for {how}")
