"""The test code of a bug hunt: inputs of given sizes, the engine's own answers, and the comparison of both.

Each check stands alone, as those of every assignment do. The inputs show every bug that can be hunted: no size
is below 3, there is padding in each sentence, and the tokens of a batch are all different.
"""

from collections.abc import Callable

IMPORTS = """import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
"""
PADDING = """lengths = rng.integers(1, {of}, B)
lengths[0] = {of} - 1
mask = np.arange({of})[:, None] < lengths
"""
RECURRENT = """given = tuple(rng.standard_normal(shape) for shape in ({shapes}))
dout = tuple(rng.standard_normal(shape) for shape in ({douts}))
"""
ENGINE = """theirs, saved = functional.{op}.forward(*given)
right = functional.{op}.backward(dout, saved)
"""
SIZES = {  # of each task, in the order of its shapes
    "rnn": "TBDH",
    "lstm": "TBDH",
    "gru": "TBDH",
    "attention": "TBSQM",
    "cross_entropy": "TB",
}
OUTS = {
    "rnn": "hs h_last",
    "lstm": "hs h_last c_last",
    "gru": "hs h_last",
    "attention": "context",
    "cross_entropy": "loss",
}
GRADIENTS = {
    "rnn": "dx dh0 dWx dWh db",
    "lstm": "dx dh0 dc0 dWx dWh db",
    "gru": "dx dh0 dWx dWh dbx dbh",
    "attention": "dquery dmemory dW",
    "cross_entropy": "dlogits",
}


def recurrent(shapes: str, douts: str) -> str:
    text = PADDING.format(of="T") + RECURRENT.format(shapes=shapes, douts=douts)
    return text.replace("\ndout", "\ngiven = (*given, mask)\ndout")


INPUTS = {
    "rnn": recurrent("(T, B, D), (B, H), (D, H), (H, H), (H,)", "(T, B, H), (B, H)"),
    "lstm": recurrent(
        "(T, B, D), (B, H), (B, H), (D, 4 * H), (H, 4 * H), (4 * H,)", "(T, B, H), (B, H), (B, H)"
    ),
    "gru": recurrent("(T, B, D), (B, H), (D, 3 * H), (H, 3 * H), (3 * H,), (3 * H,)", "(T, B, H), (B, H)"),
    "attention": PADDING.format(of="S")
    + """query, memory, W = (rng.standard_normal(shape) for shape in ((T, B, Q), (S, B, M), (Q, M)))
given = query, memory, W, mask
dout = rng.standard_normal((T, B, M))
""",
    "cross_entropy": PADDING.format(of="T")
    + """V = T * B + 2
targets = rng.permutation(V)[: T * B].reshape(T, B)
given = 2 * rng.standard_normal((T, B, V)), targets, mask, 0.1
dout = 1.7
""",
}
ANSWERS = {
    **{task: ENGINE.format(op=task) for task in ("rnn", "lstm", "gru", "cross_entropy")},
    "attention": """scores, of_scores = functional.general_scores.forward(query, memory, W)
weights, of_weights = functional.masked_softmax.forward(scores, mask)
theirs, of_context = functional.weighted_sum.forward(weights, memory)
dweights, dvalues = functional.weighted_sum.backward(dout, of_context)
dquery, dkeys, dW = functional.general_scores.backward(functional.masked_softmax.backward(dweights, of_weights), of_scores)
right = dquery, dkeys + dvalues, dW
""",
}


def sizes(task: str, numbers: tuple[int, ...] | None) -> str:
    """The line that sets the sizes; by chance where there are no numbers."""
    letters = SIZES[task]
    values = f"rng.integers(3, 8, {len(letters)})" if numbers is None else ", ".join(map(str, numbers))
    return f"{', '.join(letters)} = {values}\n"


def comparison(task: str, names: Callable[[str], str], forward: str, backward: str) -> str:
    """Test code that holds the student's pair against the engine. names: what the student's code calls things."""
    outs, gradients = ([names(word) for word in table[task].split()] for table in (OUTS, GRADIENTS))

    def hold(call: str, theirs: str, words: list[str], of: str) -> str:
        if len(words) == 1:
            return f'same({call}, {theirs}, "{words[0]}")\n'
        together = " ".join(words)
        return (
            f'for mine, wanted, name in zip(parts({call}, "{together}", "{of}"), {theirs}, "{together}".split()):\n'
            "    same(mine, wanted, name)\n"
        )

    return (
        f"out, cache = {forward}(*given)\n"
        + hold("out", "theirs", outs, forward)
        + hold(f"{backward}(dout, cache)", "right", gradients, backward)
    )


def mending_check(task: str, names: Callable[[str], str], numbers: tuple[int, ...] | None) -> str:
    """A check of the mended pair, with sizes that are given, or else drawn anew in each run."""
    pair = names(f"{task}_forward"), names(f"{task}_backward")
    return (
        IMPORTS + sizes(task, numbers) + INPUTS[task] + ANSWERS[task] + comparison(task, names, *pair)
    ).strip()


def number_check(function: str, right: tuple[int, ...], wrong: str) -> str:
    """A check that a function returns one of the right numbers."""
    listed = ", ".join(map(str, right)) + ("," if len(right) == 1 else "")
    return (
        "from minis2s.classroom.checks import Wrong\n\n"
        f"if {function}() not in ({listed}):\n"
        f'    raise Wrong("{wrong}")'
    )
