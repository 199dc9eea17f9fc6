"""Where a planted bug shows: the right and the wrong gradients in many situations, rich and poor ones.

In the rich situations (ragged batch, repeated ids, dropout, random upstream gradients, several kinds of
models) every backward mutant of the catalogue shows. Each weakness takes one thing away, as poor checks
do; a mutant that shows no longer is hidden by it. This is measured, not reasoned.
"""

import inspect
from collections.abc import Iterator
from functools import cache

import numpy as np

from minis2s.data import Batch, Example, make_batch
from minis2s.functional import OPS
from minis2s.gradcheck.mutants.mutant import Mutant, all_right, planted
from minis2s.models import Bridge, ModelConfig, Seq2Seq
from minis2s.nn import LSTM, Bidirectional, Layer, Stack

WEAKNESSES: dict[str, str] = {
    "one row": "more than one sentence in the batch",
    "one step": "more than one time step",
    "one source": "more than one source position",
    "no padding": "padding (a ragged batch with its mask)",
    "no repeats": "an id that comes more than once",
    "no dropout": "dropout with a fixed mask",
    "no initial state": "an initial state that is not zero",
    "outputs only": "an upstream gradient on the last states, not only on the outputs",
    "last states only": "an upstream gradient on the outputs, not only on the last states",
    "sum of outputs": "a random upstream gradient, not the gradient of a plain sum",
    "one call": "a second backward call, or gradients that are added to in place",
    "mean only": "smoothing, or the sum in place of the mean",
    "reset after": "the GRU with the reset gate before the product",
    "reset before": "the GRU with the reset gate after the product",
}

VISIBLE = 1e-6  # relative to the largest gradient of a block
NOISE = 1e-12  # beside gradients of about 1, all of these: what is below is zero

Gradients = dict[str, np.ndarray]


def shows(mutant: Mutant, weakness: str | None = None) -> dict[str, set[str]]:
    """Which gradients the mutant spoils, by situation: {"ragged": {"dWx", "dWh"}}; empty where it is hidden."""
    found = {name: spoiled(mutant, name, weakness) for name in situations(mutant, weakness)}
    return {name: blocks for name, blocks in found.items() if blocks}


def is_visible(mutant: Mutant, weakness: str | None = None) -> bool:
    """Whether any gradient is wrong in any situation."""
    return any(spoiled(mutant, name, weakness) for name in situations(mutant, weakness))


def hidden_by(mutant: Mutant) -> list[str]:
    """The weaknesses that hide a backward mutant: under each of them all its gradients are right."""
    return [name for name in WEAKNESSES if applies(mutant, name) and not is_visible(mutant, name)]


def spoiled(mutant: Mutant, situation: str, weakness: str | None) -> set[str]:
    """The names of the gradients that the mutant makes wrong; "an error" where its backward fails.

    Raises ValueError for a mutant that is not of backward: it has no right gradients to compare with.
    """
    if mutant.about != "backward":
        raise ValueError(f"mutant {mutant.name!r} is about {mutant.about}: gradients do not show it")
    right = right_gradients(mutant.op, situation, weakness)
    try:
        with planted(mutant), np.errstate(all="ignore"):
            wrong = gradients(mutant.op, situation, weakness)
    except Exception:  # noqa: BLE001 -- whatever the bug does, it was noticed
        return {"an error"}
    return {name for name in right if differ(right[name], wrong[name])}


def applies(mutant: Mutant, weakness: str) -> bool:
    """Whether taking this away leaves anything to compare, and is not what every check does anyway."""
    if not mutant.op:
        return weakness in ("one row", "one step", "one source", "no padding", "no dropout", "one call")
    kind = mutant.op.removesuffix("_step")
    recurrent = kind in ("rnn", "lstm", "gru")
    return {
        "one row": True,
        "one call": True,
        "sum of outputs": True,
        "one step": not mutant.op.endswith("_step"),
        "one source": "scores" in kind or kind in ("masked_softmax", "weighted_sum"),
        "no padding": recurrent or kind in ("masked_softmax", "cross_entropy"),
        "no repeats": kind == "embedding",
        "no dropout": kind == "dropout",
        "no initial state": recurrent,
        "outputs only": mutant.op in ("rnn", "lstm", "gru", "lstm_step"),
        "last states only": mutant.op in ("rnn", "lstm", "gru", "lstm_step"),
        "mean only": kind == "cross_entropy",
        "reset after": kind == "gru",
        "reset before": kind == "gru",
    }[weakness]


def differ(a: np.ndarray, b: np.ndarray | None) -> bool:
    if b is None or a.shape != b.shape or not np.isfinite(b).all():
        return True
    scale = max(np.abs(a).max(initial=0), np.abs(b).max(initial=0))
    return bool(np.abs(a - b).max(initial=0) > max(VISIBLE * scale, NOISE))


def situations(mutant: Mutant, weakness: str | None) -> list[str]:
    if not mutant.op:
        return [*MODELS, "bridge from one layer to three", "layers with initial states"]
    return list(op_inputs(mutant.op, weakness))


@cache
def right_gradients(op: str, situation: str, weakness: str | None) -> Gradients:
    with all_right():  # they are kept: nothing that is planted now may be in them
        return gradients(op, situation, weakness)


def gradients(op: str, situation: str, weakness: str | None) -> Gradients:
    """All gradients of one situation, by the engine as it is: with a mutant in it or without."""
    if op:
        return op_gradients(op, op_inputs(op, weakness)[situation], weakness)
    if situation in MODELS:
        return model_gradients(situation, weakness)
    if situation == "bridge from one layer to three":
        return bridge_gradients(weakness)
    return layer_gradients(weakness)


# -- operations -----------------------------------------------------------------------------------


def op_inputs(op: str, weakness: str | None) -> dict[str, tuple]:
    """The arguments of the operation's forward, by situation."""
    rng = np.random.default_rng(11)
    T = 1 if weakness == "one step" else 4
    S = 1 if weakness == "one source" else 5
    B = 1 if weakness == "one row" else 3
    D, H, Q, A, M, V = 5, 3, 6, 7, 8, 9
    draw = rng.standard_normal

    def mask(longest: int) -> np.ndarray:
        """Ragged; the middle sentence is the shortest, the first full."""
        return np.arange(longest)[:, None] < np.array([longest, max(longest - 2, 0), longest - 1])[:B]

    padding = weakness != "no padding"
    kind = op.removesuffix("_step")
    gates = {"rnn": 1, "lstm": 4, "gru": 3}.get(kind)
    if gates:
        x = draw((B, D)) if op.endswith("_step") else draw((T, B, D))
        states = [draw((B, H)) for _ in range(2 if kind == "lstm" else 1)]
        if weakness == "no initial state":
            states = [0 * h for h in states]
        biases = [draw(gates * H) for _ in range(2 if kind == "gru" else 1)]
        weights = (x, *states, 0.7 * draw((D, gates * H)), 0.7 * draw((H, gates * H)), *biases)
        ragged = np.array([True, False, True])[:B] if op.endswith("_step") else mask(T)
        masks = {"no mask": None} | ({"ragged": ragged} if padding else {})
        if padding and not op.endswith("_step"):
            masks["padding first"] = ragged[::-1]
        if kind != "gru":
            return {name: (*weights, m) for name, m in masks.items()}
        forms = {"reset after": True, "reset before": False}
        if weakness in forms:
            forms = {weakness: forms[weakness]}
        return {
            f"{form}, {name}": (*weights, m, after)
            for form, after in forms.items()
            for name, m in masks.items()
        }
    query, keys, memory = draw((T, B, Q)), draw((S, B, A)), draw((S, B, M))
    scores = 2 * draw((T, B, S))
    weights = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    x = draw((T, B, D))
    if op == "cross_entropy":
        logits, targets = 2 * draw((T, B, V)), rng.integers(0, V, size=(T, B))
        real = mask(T) if padding else None
        plain = {"mean": (logits, targets, real)}
        if weakness == "mean only":
            return plain
        return plain | {
            "smoothing": (logits, targets, real, 0.2),
            "sum": (logits, targets, real, 0.0, "sum"),
        }
    if op == "embedding":
        ids = rng.permutation(V * 2)[: T * B].reshape(T, B)
        return {"ids": (draw((2 * V, M)), ids if weakness == "no repeats" else ids % 4)}
    if op == "dropout":
        p = 0.0 if weakness == "no dropout" else 0.4
        return {"mask": (x, rng.random(x.shape) >= p, p)}
    if op == "masked_softmax":
        return {"no mask": (scores, None)} | ({"ragged": (scores, mask(S))} if padding else {})
    return {
        "plain": {
            "linear": (x, draw((D, M)), draw(M)),
            "tanh": (x,),
            "dot_scores": (draw((T, B, A)), keys),
            "scaled_dot_scores": (draw((T, B, A)), keys),
            "general_scores": (query, memory, draw((Q, M))),
            "additive_scores": (query, keys, draw((Q, A)), draw(A)),
            "weighted_sum": (weights, memory),
        }[op]
    }


def op_gradients(name: str, inputs: tuple, weakness: str | None) -> Gradients:
    """The gradients of one operation, and once more from a second call with the same arrays."""
    op = OPS[name]
    rng = np.random.default_rng(12)
    out, cache_ = op.forward(*inputs)
    several = type(out) is tuple
    dout = []
    for n, part in enumerate(out if several else (out,)):
        d = np.ones(np.shape(part)) if weakness == "sum of outputs" else rng.standard_normal(np.shape(part))
        absent = (weakness == "outputs only" and n > 0) or (weakness == "last states only" and n == 0)
        dout.append(None if absent else d)
    names = [f"d{name}" for name in inspect.signature(op.forward).parameters]
    found = {}
    for call in ("",) if weakness == "one call" else ("", " in a second call"):
        din = op.backward(tuple(dout) if several else dout[0], cache_)
        for block, dx in zip(names, din if type(din) is tuple else (din,), strict=False):
            found[block + call] = dx.copy()
            if weakness != "one call":
                dx += 1  # as a caller may: it must reach nothing else
    return found


# -- models ---------------------------------------------------------------------------------------

CALLS = ("stepwise", "coins")  # not of the model, but of how its loss is called
MODELS: dict[str, dict] = {
    "all steps at once": {"layers": 2, "dropout": 0.4},
    "step by step": {"layers": 2, "dropout": 0.4, "stepwise": True},
    "input feeding": {"input_feeding": True, "dropout": 0.4, "attention": "additive"},
    "bahdanau": {"decoder": "bahdanau", "attention": "additive", "bridge": "projection", "layers": 2},
    "bahdanau, gru": {"decoder": "bahdanau", "cell": "gru", "dropout": 0.4, "attention": "scaled"},
    "no attention": {"attention": "none", "layers": 2},
    "zero bridge": {"bridge": "zero", "cell": "rnn", "bidirectional": False, "attention": "dot"},
    "the model's own tokens": {"coins": True, "attention": "additive"},
}

EXAMPLES = [
    Example([5, 4, 7, 4], [4, 5, 4]),
    Example([6, 6], [7]),
    Example([4, 7, 6], [8, 4]),
]


def tiny_model(situation: str, dropout: bool = True) -> Seq2Seq:
    """The model of one situation, in float64, with weights that are not small and no bias zero."""
    config = {"embed": 3, "hidden": 4} | MODELS[situation]
    if not dropout:
        config["dropout"] = 0.0
    for option in CALLS:
        config.pop(option, None)
    rng = np.random.default_rng(13)
    model = Seq2Seq(ModelConfig(**config), 9, 9, rng=rng, dtype=np.float64)
    scatter(model, rng)
    return model


def model_gradients(situation: str, weakness: str | None) -> Gradients:
    """The gradients of a tiny model: of two batches, after those of an earlier call were cleared."""
    model = tiny_model(situation, dropout=weakness != "no dropout")
    stepwise, own_tokens = (MODELS[situation].get(option, False) for option in CALLS)
    once = weakness == "one call"

    def backward(batch: Batch, seed: int) -> None:
        coins = np.random.default_rng(seed).random(batch.tgt_in.shape) < 0.5 if own_tokens else None
        loss, cache_ = model.loss(batch, rng=np.random.default_rng(seed), coins=coins, stepwise=stepwise)
        model.backward(1.0 if once else -1.3, cache_)

    first, second = batches(weakness)
    if not once:
        backward(second, 3)
        model.zero_grad()
    backward(first, 1)
    if not once:
        backward(second, 2)
    return {name: p.grad.copy() for name, p in model.parameters().items()}


def batches(weakness: str | None) -> Iterator[Batch]:
    """Two batches, poor in what the weakness says."""
    for examples in (EXAMPLES, EXAMPLES[::-1][:2]):
        if weakness == "one row":
            examples = examples[:1]
        if weakness == "one step":
            examples = [Example(e.source, []) for e in examples]
        if weakness == "one source":
            examples = [Example([], e.target) for e in examples]
        if weakness == "no padding":
            examples = [Example(e.source[:2], e.target[:1]) for e in examples]
        yield make_batch(examples)


def scatter(layer: Layer, rng: np.random.Generator) -> None:
    for parameter in layer.parameters().values():
        parameter.data[...] = 0.7 * rng.standard_normal(parameter.data.shape)


def bridge_gradients(weakness: str | None) -> Gradients:
    """A bridge between an encoder of one layer and a decoder of three, both kinds that have a gradient."""
    rng = np.random.default_rng(14)
    B = 1 if weakness == "one row" else 3
    found = {}
    for kind in ("copy", "projection"):
        sizes = {"encoder_layers": 1, "decoder_layers": 3, "state_parts": 2}
        bridge = Bridge(kind, 4, 4, rng=rng, dtype=np.float64, **sizes)
        scatter(bridge, rng)
        _, cache_ = bridge.forward([tuple(rng.standard_normal((2, B, 4)))])
        (dlast,) = bridge.backward([tuple(rng.standard_normal((2, B, 4))) for _ in range(3)], cache_)
        found |= {f"{kind} d{part}": d for part, d in zip("hc", dlast, strict=True)}
        found |= {f"{kind} {name}": p.grad for name, p in bridge.parameters().items()}
    return found


def layer_gradients(weakness: str | None) -> Gradients:
    """Two layers, the lower one bidirectional, with initial states whose gradients are asked for."""
    rng = np.random.default_rng(15)
    T, B = 1 if weakness == "one step" else 4, 1 if weakness == "one row" else 3
    options = {"rng": rng, "dtype": np.float64}
    stack = Stack([Bidirectional(LSTM(5, 2, **options), LSTM(5, 2, **options)), LSTM(4, 3, **options)])
    scatter(stack, rng)
    states = [tuple(rng.standard_normal((2, B, size))) for size in (4, 3)]
    mask = (
        None if weakness == "no padding" else np.arange(T)[:, None] < np.array([T, T - 1, max(T - 2, 1)])[:B]
    )
    (hs, _), cache_ = stack.forward(rng.standard_normal((T, B, 5)), states, mask)
    dlast = [tuple(rng.standard_normal((2, B, size))) for size in (4, 3)]
    dx, dstates = stack.backward((rng.standard_normal(hs.shape), dlast), cache_)
    found = {"dx": dx}
    for n, parts in enumerate(dstates):
        found |= {f"d{part}0 of layer {n}": d for part, d in zip("hc", parts, strict=True)}
    return found | {name: p.grad for name, p in stack.parameters().items()}
