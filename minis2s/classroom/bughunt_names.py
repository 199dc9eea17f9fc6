"""The same code by other people: variables, functions and sizes renamed all through, comments included.

A name is taken apart, `dh_last` into gradient of, h, last, and put together anew from other words in another
style: `grad_final_state`. So the names of one person go together.
"""

import ast
import builtins
import functools
import io
import keyword
import re
import tokenize
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from minis2s.classroom.bughunt_stream import Stream

LONGEST = 110  # characters in a line
TAKEN = {*keyword.kwlist, *dir(builtins), "np"}
STYLES = {  # how names are put together; {} is the rest of the name
    "d": ("d{}", "d_{}", "grad_{}", "{}_grad", "g_{}"),
    "s": ("{}s", "all_{}", "{}_seq", "{}_path"),
    "0": ("{}0", "init_{}", "{}_init", "start_{}"),
    "_prev": ("{}_prev", "prev_{}", "old_{}", "{}_before"),
    "_last": ("{}_last", "last_{}", "final_{}", "{}_end"),
    "_carried": ("{}_carried", "{}_kept", "{}_past", "passed_{}"),
    "_flat": ("{}_flat", "flat_{}", "{}_2d", "{}_table"),
    "T": ("{}T", "{}_T", "{}_back"),
    "tanh_": ("tanh_{}", "{}_tanh", "squashed_{}"),
}
SUFFIXES = ("_carried", "_flat", "_prev", "_last", "T", "s", "0")
RECURRENT = [  # (words that are chosen together, what they may become)
    (("x",), [("x",), ("inp",), ("seq",), ("xs",), ("feed",)]),
    (("h",), [("h",), ("s",), ("state",), ("hid",), ("y",)]),
    (("Wx", "Wh"), [("Wx", "Wh"), ("W", "U"), ("W_in", "W_rec"), ("Wi", "Wr"), ("A", "R")]),
    (("mask",), [("mask",), ("valid",), ("alive",), ("present",)]),
    (("real",), [("real",), ("live",), ("here",), ("on",)]),
    (("t",), [("t",), ("k",), ("j",)]),
    (("dout",), [("dout",), ("upstream",), ("incoming",), ("from_above",)]),
    (("cache",), [("cache",), ("saved",), ("memo",), ("kept",)]),
    (("T", "B", "D", "H"), [
        ("T", "B", "D", "H"), ("L", "N", "D", "H"), ("steps", "batch", "width", "size"), ("T", "N", "K", "M"),
        ("n_steps", "n_rows", "n_in", "n_hid"),
    ]),
]  # fmt: skip
WORDS = {
    "rnn": [
        *RECURRENT,
        (("rnn",), [("rnn",), ("net",), ("recurrence",), ("layer",), ("elman",)]),
        (("z",), [("z",), ("pre",), ("net_in",), ("raw",)]),
        (("b",), [("b",), ("bias",), ("offset",)]),
    ],
    "lstm": [
        *RECURRENT,
        (("lstm",), [("lstm",), ("unit",), ("memory",), ("layer",), ("reader",)]),
        (("sigmoid",), [("sigmoid",), ("logistic",), ("sigm",), ("squash",)]),
        (("c",), [("c",), ("cell",), ("m",), ("mem",)]),
        (("z",), [("z",), ("pre",), ("net_in",), ("raw",)]),
        (("b",), [("b",), ("bias",), ("offset",)]),
        (("n",), [("n",), ("block",), ("q",)]),
        (("gates",), [("gates",), ("acts",), ("doors",)]),
        (("i", "f", "o", "g"), [
            ("i", "f", "o", "g"), ("gi", "gf", "go", "gc"), ("write", "keep", "read", "new"),
            ("ig", "fg", "og", "cand"), ("enter", "forget", "expose", "draft"),
        ]),
    ],
    "gru": [
        *RECURRENT,
        (("gru",), [("gru",), ("unit",), ("gated",), ("layer",), ("reader",)]),
        (("sigmoid",), [("sigmoid",), ("logistic",), ("sigm",), ("squash",)]),
        (("z",), [("z",), ("pre",), ("raw",)]),
        (("zx", "zh", "zh_n", "z_n"), [
            ("zx", "zh", "zh_n", "z_n"), ("px", "ph", "ph_n", "p_n"), ("from_x", "from_h", "from_h_n", "pre_n"),
            ("ax", "ah", "ah_c", "a_c"),
        ]),
        (("bx", "bh"), [("bx", "bh"), ("b_in", "b_rec"), ("bias_x", "bias_h"), ("c_in", "c_rec")]),
        (("r", "u", "n"), [
            ("r", "u", "n"), ("r", "z", "c"), ("reset", "update", "cand"), ("gr", "gu", "gn"),
            ("drop", "hold", "new"),
        ]),
    ],
    "attention": [
        (("attention",), [("attention",), ("attend",), ("look",), ("luong",)]),
        (("by_row",), [("by_row",), ("batch_first",), ("swap",), ("flip_axes",)]),
        (("weighted_sum_grad", "masked_softmax_grad", "dot_scores_grad"), [
            ("weighted_sum_grad", "masked_softmax_grad", "dot_scores_grad"),
            ("back_through_sum", "back_through_softmax", "back_through_scores"),
            ("mix_back", "softmax_back", "products_back"), ("undo_context", "undo_weights", "undo_scores"),
        ]),
        (("x",), [("x",), ("m",), ("array",)]),
        (("query",), [("query",), ("q",), ("state",), ("dec",)]),
        (("memory",), [("memory",), ("enc",), ("notes",), ("source",)]),
        (("keys", "values"), [("keys", "values"), ("k", "v"), ("words", "contents"), ("labels", "items")]),
        (("W",), [("W",), ("A",), ("Wq",), ("P",)]),
        (("mask",), [("mask",), ("valid",), ("alive",), ("present",)]),
        (("projected",), [("projected",), ("asked",), ("qW",), ("aimed",)]),
        (("scores",), [("scores",), ("energy",), ("match",), ("logits",)]),
        (("weights",), [("weights",), ("attn",), ("alpha",), ("shares",)]),
        (("context",), [("context",), ("ctx",), ("found",), ("mix",)]),
        (("taken",), [("taken",), ("mean",), ("common",), ("pulled",)]),
        (("e",), [("e",), ("ex",), ("powers",)]),
        (("rows",), [("rows",), ("flat",), ("stacked",)]),
        (("dout",), [("dout",), ("upstream",), ("incoming",), ("from_above",)]),
        (("cache",), [("cache",), ("saved",), ("memo",), ("kept",)]),
        (("T", "B", "S", "Q", "M"), [
            ("T", "B", "S", "Q", "M"), ("n_out", "n_rows", "n_src", "dq", "dm"), ("L", "N", "S", "Q", "K"),
            ("steps", "batch", "length", "q_size", "m_size"),
        ]),
    ],
    "cross_entropy": [
        (("cross_entropy",), [("cross_entropy",), ("token_loss",), ("nll",), ("softmax_loss",), ("ce",)]),
        (("logits",), [("logits",), ("scores",), ("raw",), ("outputs",)]),
        (("targets", "flat_targets", "of_target"), [
            ("targets", "flat_targets", "of_target"), ("labels", "flat_labels", "of_label"),
            ("gold", "columns", "at_gold"), ("wanted", "picks", "picked"),
        ]),
        (("probs", "log_probs"), [("probs", "log_probs"), ("p", "logp"), ("softmax", "log_softmax"), ("q", "log_q")]),
        (("weight",), [("weight",), ("share",), ("w",), ("part",)]),
        (("smoothing",), [("smoothing",), ("eps",), ("soft",), ("alpha",)]),
        (("surprise",), [("surprise",), ("cost",), ("losses",), ("bits",)]),
        (("loss",), [("loss",), ("total",), ("objective",), ("mean_cost",)]),
        (("reduction",), [("reduction",), ("how",), ("mode",)]),
        (("shifted",), [("shifted",), ("stable",), ("lowered",)]),
        (("rows",), [("rows",), ("index",), ("places",)]),
        (("mask",), [("mask",), ("valid",), ("alive",), ("present",)]),
        (("dout",), [("dout",), ("upstream",), ("dloss",), ("from_above",)]),
        (("cache",), [("cache",), ("saved",), ("memo",), ("kept",)]),
        (("T", "B", "V"), [("T", "B", "V"), ("L", "N", "V"), ("steps", "batch", "n_words"), ("T", "N", "K")]),
    ],
}  # fmt: skip
OPENINGS = (
    "", '"""Homework."""\n\n', '"""By hand, with NumPy alone."""\n\n',
    '"""Forward and backward, by hand.\n\nTo be checked.\n"""\n\n',
)  # fmt: skip


class Names:
    """A choice of words and styles, and what it makes of a name."""

    def __init__(self, words: dict[str, str], styles: dict[str, str]):
        self.words, self.styles = words, styles

    def __call__(self, name: str) -> str:
        """The new name; a word that is none of the code's names comes back as it is."""
        return self.made(name) or name

    def made(self, name: str) -> str:
        """The new name, "" for what is no name of the code."""
        if keyword.iskeyword(name):
            return ""  # `is`, which is not all the i
        if name in self.words:
            return self.words[name]
        for half in ("_forward", "_backward"):
            if name.removesuffix(half) in self.words and name.endswith(half):
                return self.words[name.removesuffix(half)] + half
        for before in ("d", "tanh_"):
            rest = self.made(name.removeprefix(before)) if name.startswith(before) else ""
            if rest:
                return self.styles[before].format(rest)
        for after in SUFFIXES:
            rest = self.made(name.removesuffix(after)) if name.endswith(after) else ""
            if rest:
                return self.styles[after].format(rest)
        return ""


def drawn(task: str, stream: Stream) -> Names:
    words = {}
    for old, options in WORDS[task]:
        words |= dict(zip(old, stream.choice(options), strict=True))
    return Names(words, {part: stream.choice(styles) for part, styles in STYLES.items()})


class Person(NamedTuple):
    """Who writes: in which words, under which heading, with which remarks."""

    names: Names
    opening: str
    remarks: int  # a bit for each that may be left out

    def write(self, source: str) -> str:
        """The source as this person would have written it."""
        return self.opening + renamed(shortened(source, self.remarks), self.names)


def people(task: str, sources: Sequence[str], stream: Stream) -> Iterator[Person]:
    """People who can write these sources, one after the other; the same stream gives the same ones.

    Left out is whose names collide, hide a builtin or make a line too long.
    """
    while True:
        person = Person(drawn(task, stream), stream.choice(OPENINGS), stream.below(2**16))
        if all(fit(source, person.names) for source in sources):
            if all(len(line) <= LONGEST for source in sources for line in person.write(source).split("\n")):
                yield person


def fit(source: str, names: Names) -> bool:
    """Whether the new names are as many as the old ones, and none means something already."""
    old = {*names_in(source), *names_in_prose(source)}
    new = {names(name) for name in old}
    return len(new) == len(old) and not TAKEN & {names(name) for name in names_in(source)}


@functools.cache
def names_in(source: str) -> tuple[str, ...]:
    """The names that a source binds: functions, arguments, variables."""
    found: dict[str, None] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            found[node.name] = None
        elif isinstance(node, ast.arg):
            found[node.arg] = None
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found[node.id] = None
    return tuple(name for name in found if name != "_")


@functools.cache
def tokens_of(source: str) -> tuple[tokenize.TokenInfo, ...]:
    return tuple(tokenize.generate_tokens(io.StringIO(source).readline))


def is_prose(token: tokenize.TokenInfo) -> bool:
    return token.type in (tokenize.COMMENT, tokenize.STRING) and " " in token.string


@functools.cache
def names_in_prose(source: str) -> tuple[str, ...]:
    """What comments and docstrings say of names: `h_prev`, which the code may not have."""
    found: dict[str, None] = {}
    for token in tokens_of(source):
        for line in token.string.split("\n") if is_prose(token) else ():
            in_prose(line, lambda word: found.setdefault(word, None) or word)
    return tuple(found)


def renamed(source: str, names: Names) -> str:
    """The source with new names, in code, comments and docstrings; layout and lines stay."""
    lines = source.split("\n")
    bound = set(names_in(source))
    tokens = tokens_of(source)
    for before, token in reversed(list(zip([None, *tokens], tokens, strict=False))):
        (row, start), (last, end) = token.start, token.end
        if token.type == tokenize.NAME and token.string in bound and not (before and before.string == "."):
            new = names(token.string)
        elif is_prose(token):
            new = "\n".join(in_prose(line, names) for line in token.string.split("\n"))
        else:
            continue
        lines[row - 1 : last] = (lines[row - 1][:start] + new + lines[last - 1][end:]).split("\n")
    return "\n".join(lines)


def in_prose(line: str, names: Callable[[str], str]) -> str:
    """A line of a comment or docstring: names change in equations, in lists of shapes, and between backticks."""
    word = r"(?<![\w.])[A-Za-z_]\w*"
    if " = " in line or re.match(r"\s*(Shapes:|Returns)", line):
        return re.sub(word, lambda m: names(m[0]), line)
    return re.sub(r"`[^`]*`", lambda m: re.sub(word, lambda n: names(n[0]), m[0]), line)


@functools.cache
def shortened(source: str, keep: int) -> str:
    """The source without some of the remarks in its docstrings; the bits of `keep` say which stay."""
    paragraphs = source.split("\n\n")
    kept = []
    for n, paragraph in enumerate(paragraphs):
        remark = re.match(r" {4}(Where|At step|The target distribution|The memory serves) ", paragraph)
        if not remark or keep >> n % 16 & 1:
            kept.append(paragraph)
    return "\n\n".join(kept)
