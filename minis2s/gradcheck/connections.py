"""Between two operations of a model: what a gradient that arrives is called, and what is missing in it.

What every operation handed back is recorded. A gradient that arrives wrong differs from the true one by
something: by what one of the operations handed back (a path left out, or taken twice), by the order of
time, or by what stands in its place.
"""

import itertools

import numpy as np

from minis2s.gradcheck.signs import agree, read_signs
from minis2s.gradcheck.trial import Cause
from minis2s.gradcheck.watch import Call

# What a wrong gradient at an output of an operation is called, by the operation and the output.
NODES = {
    ("cross_entropy", "loss"): "dloss",
    ("masked_softmax", "weights"): "dweights",
    ("weighted_sum", "context"): "dcontext",
    ("dot_scores", "scores"): "dscores",
    ("scaled_dot_scores", "scores"): "dscores",
    ("general_scores", "scores"): "dscores",
    ("additive_scores", "scores"): "dscores",
    ("embedding", "out"): "dx",
    ("tanh", "a"): "dattentional",
}


# Operations whose backward may be forgotten altogether: the node that is wrong then, and the mistake.
SKIPPED = {
    "tanh": ("dz", "wrong derivative", "the derivative of tanh is left out"),
    "masked_softmax": ("dscores", "wrong derivative", "the derivative of the softmax is left out"),
    "dropout": ("dx", "dropout ignored", "the dropout mask is left out"),
}


def node_of(call: Call, out: str, calls: list[Call]) -> str:
    if call.op.name in ("lstm", "gru", "rnn"):
        encoder = call.path.startswith("encoder")
        if out in ("h_last", "c_last"):
            return f"d{out[0]}"
        top = encoder and is_top_of_encoder(call, calls)
        return "dmemory" if top else "dh"
    if call.op.name.endswith("_step"):
        return f"d{out}"
    if call.op.name == "linear" and call.path.endswith("output"):
        return "dlogits"
    if call.op.name == "linear" and call.path.endswith("combine"):
        return "dz"
    if call.op.name == "linear" and call.path.endswith("keys"):
        return "dkeys"
    if call.op.name == "tanh" and call.path.startswith("bridge"):
        return "dh0"
    return NODES.get((call.op.name, out), f"d{out}")


def is_top_of_encoder(call: Call, calls: list[Call]) -> bool:
    layers = [c.path for c in calls if c.path.startswith("encoder") and c.op.name == call.op.name]
    return call.path.split(".layers.")[-1][:1] == layers[-1].split(".layers.")[-1][:1]


def causes_of_a_connection(calls: list[Call], call: Call, node: str, got, true, letters: str) -> list[Cause]:
    """What operations handed back is known: which of it is missing, comes twice, or stands in the wrong place?"""
    where = f"the gradient {node} of {call.path}"
    step = call.op.name.endswith("_step")
    encoder = call.path.startswith(("encoder", "bridge"))
    lost = (
        "hand-over"
        if encoder and node in ("dh", "dc", "dmemory", "dkeys", "dvalues")
        else "carry dropped"
        if step
        else "missing term"
    )
    if call.op.name == "cross_entropy" and agree(got, np.ones_like(got)):
        return [
            Cause(
                "missing factor",
                "the gradient that the loss is given is ignored: backward starts from 1",
                "certain",
            )
        ]
    if not got.any():
        return [
            Cause(
                lost,
                f"{where} does not arrive at all: it is not handed back",
                "certain" if lost == "hand-over" else "likely",
            )
        ]
    missing = true - got
    known = [
        (words, a)
        for words, a in contributions(calls, got.shape)
        if np.abs(a).max(initial=0) > 1e-9 * np.abs(true).max(initial=0)
    ]
    for words, a in known:
        if agree(a, missing):
            return [Cause(lost, f"{where} lacks what comes from {words}", "likely")]
    for words, a in known:
        if agree(-a, missing):
            return [
                Cause(
                    "carry doubled" if step else "doubled",
                    f"in {where} what comes from {words} is added twice",
                    "likely",
                )
            ]
        if agree(-2 * a, missing / -1):
            return [Cause("sign", f"in {where} what comes from {words} has the wrong sign", "likely")]
    for words, a, one in only_one_step(calls, got.shape):
        if agree(a - one, missing):
            return [
                Cause(
                    "overwritten",
                    f"{where} keeps of {words} what one step handed back only: = stands where += belongs",
                    "likely",
                )
            ]
    B = got.shape[letters.index("B")] if "B" in letters and got.ndim > letters.index("B") else 1
    signs = [c for c in read_signs({node: (got, true)}, {node: letters}, {"the batch size B": B})]
    if signs:
        return signs
    if (
        got.ndim
        and got.shape[-1] % 2 == 0
        and agree(np.concatenate(np.split(got, 2, axis=-1)[::-1], axis=-1), true)
    ):
        return [
            Cause(
                "gate order",
                f"the two halves of {where} are exchanged: those of the two directions",
                "likely",
            )
        ]
    for words, a in known:
        if agree(got, a):
            return [
                Cause(
                    "wrong variable",
                    f"{where} is what comes from {words}: it is handed to the wrong place",
                    "likely",
                )
            ]
    for (one, a), (other, b) in itertools.permutations(known[:60], 2):
        if agree(a - b, missing):
            if one.partition(",")[0] == other.partition(",")[0] and "reversed" in one + other:
                return [
                    Cause(
                        "time shift",
                        f"in {where} what comes from {other.partition(',')[0]} is not reversed in time",
                        "likely",
                    )
                ]
            return [
                Cause(
                    "wrong variable",
                    f"in {where} what comes from {other} stands where what comes from {one} belongs",
                    "likely",
                )
            ]
    return [Cause(lost, f"{where} arrives changed, or in part only", "possible")]


def groups(calls: list[Call]) -> dict[str, list[np.ndarray]]:
    """What the calls of each operation of each layer handed back through each input, in order of the calls."""
    found: dict[str, list[np.ndarray]] = {}
    for call in calls:
        for n, din in enumerate(call.dins):
            if din is not None and n < len(call.floats):
                through = call.name_of_input(call.floats[n])
                words = (
                    f"{call.op.name} of {call.path} through its {through}"
                    if call.path
                    else f"{call.op.name} through its {through}"
                )
                found.setdefault(words, []).append(din)
    return found


def contributions(calls: list[Call], shape: tuple[int, ...]):
    """(words, array) of everything that was handed back and could be a part of a gradient of this shape."""
    for words, dins in groups(calls).items():
        same_shape = len({din.shape for din in dins}) == 1
        wholes = [(f"{words}, at call {t}" if len(dins) > 1 else words, din) for t, din in enumerate(dins)]
        if len(dins) > 1 and same_shape:
            wholes.append((f"{words}, all calls together", sum(dins)))
            wholes.append(
                (
                    f"{words}, all calls in a row",
                    np.concatenate(dins) if dins[0].ndim == 3 else np.stack(dins),
                )
            )
        for name, whole in wholes:
            yield from fitting(name, whole, shape)


def only_one_step(calls: list[Call], shape: tuple[int, ...]):
    """(words, sum over the calls, what one of them handed back), where there are several."""
    for words, dins in groups(calls).items():
        if len(dins) > 1 and len({din.shape for din in dins}) == 1:
            for (_, whole), *parts in zip(
                fitting(words, sum(dins), shape), *(fitting(words, d, shape) for d in dins), strict=True
            ):
                for _, one in parts:
                    yield words, whole, one


def fitting(words: str, a: np.ndarray, shape: tuple[int, ...]):
    """The array, or its first or last part (of a joined input such as [context; h]), as it is and reversed."""
    parts = [(words, a)]
    if shape and a.ndim == len(shape) and a.shape[:-1] == shape[:-1] and a.shape[-1] > shape[-1]:
        parts = [(f"{words}, first part", a[..., : shape[-1]]), (f"{words}, last part", a[..., -shape[-1] :])]
    for name, part in parts:
        if part.shape == shape:
            yield name, part
            if part.ndim == 3:
                yield f"{name}, reversed in time", part[::-1]
            elif part.ndim == 2 and part.shape[0] == 1:
                yield name, part
    if a.ndim == len(shape) + 1 and a.shape[0] == 1:
        yield from fitting(words, a[0], shape)
    elif len(shape) == a.ndim + 1 and shape[0] == 1:
        yield from fitting(words, a[None], shape)
