"""The kinds of operation that the checker knows: what goes in, what comes out, and a textbook of each.

A Kind says how to make inputs that hide nothing, which arrays are differentiated and what their axes
mean, computes the forward quantities by their textbook names, and runs a textbook backward pass on
them (textbook.py), the right one or one with an edit.

The recipe for the inputs: a batch of three with ragged lengths, four steps, repeated ids, weights
0.7 N(0, 1), biases that are not zero, no two sizes equal.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minis2s.gradcheck import textbook as tb
from minis2s.gradcheck.edits import sigmoid

T, S, B = 4, 5, 3  # target steps, source steps, batch
D, H, Q, A, M, E, K, V = 5, 2, 6, 7, 8, 2, 6, 9  # sizes of input, hidden, query, attention, memory, ...
LENGTHS = np.array([4, 2, 3])  # of the rows of the batch
SOURCE_LENGTHS = np.array([5, 2, 3])


class Reference(NamedTuple):
    """What the textbook makes of the inputs."""

    outs: list[np.ndarray]
    quantities: dict  # by the argument names of the textbook backward
    backward: Callable  # the textbook function


class Kind(NamedTuple):
    """One kind of operation; see the module's docstring.

    arguments: the differentiated arguments in the order of the signature, with their axes.
    extras: the further arguments, in order: masks, ids, options.
    outs: names and axes of the outputs.
    make(rng, setting) -> every argument by name. settings: names of what is special about the inputs.
    reference(values) -> Reference.
    upstream(douts, reference) -> the textbook's first arguments, from gradients of the outs.
    downstream(results, values) -> gradients by argument name, from the textbook's results.
    """

    name: str
    arguments: dict[str, str]
    extras: tuple[str, ...]
    outs: dict[str, str]
    settings: tuple[str, ...]
    make: Callable
    reference: Callable
    upstream: Callable
    downstream: Callable
    gates: str = ""  # letters of the gates that lie side by side, in order
    gate_axes: tuple[str, ...] = ()  # arguments whose last axis is made of gates
    steps: bool = False  # a single step of a recurrence


def weights(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return 0.7 * rng.standard_normal(shape)


def lengths_mask(lengths: np.ndarray, longest: int) -> np.ndarray:
    """(longest, B): column b is True for its first lengths[b] steps."""
    return np.arange(longest)[:, None] < lengths


def masks(setting: str, longest: int = T, lengths: np.ndarray = LENGTHS) -> np.ndarray | None:
    ragged = lengths_mask(lengths, longest)
    holes = np.array([[1, 0, 1], [0, 1, 1], [1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype=bool)[:longest]
    return {"ragged": ragged, "no mask": None, "padding first": ragged[::-1].copy(), "holes": holes}[setting]


def real_of(mask: np.ndarray | None, T: int, B: int) -> np.ndarray:
    """(T, B, 1): 1.0 where a step is real."""
    return np.ones((T, B, 1)) if mask is None else mask.astype(float)[..., None]


def rows(x: np.ndarray) -> np.ndarray:
    """(T, B, X) -> (B, T, X) and back."""
    return x.transpose(1, 0, 2)


# -- recurrences ---------------------------------------------------------------------------------------


def recurrent_values(
    rng, setting: str, states: tuple[str, ...], gates: int, biases: tuple[str, ...], step: bool
) -> dict:
    x = rng.standard_normal((T, B, D))
    mask = masks("holes" if step and setting == "ragged" else setting)
    values = {"x": x[0] if step else x}
    values |= {name: rng.standard_normal((B, H)) for name in states}
    values |= {"Wx": weights(rng, D, gates * H), "Wh": weights(rng, H, gates * H)}
    values |= {name: weights(rng, gates * H) for name in biases}
    values["mask"] = mask[0] if step and mask is not None else mask
    return values


def over_time(values: dict, state: str, step: bool) -> tuple[np.ndarray, np.ndarray]:
    """(x (T, B, D), real (T, B, 1)), a single step as a sequence of one."""
    x, mask = values["x"], values.get("mask")
    if step:
        x, mask = x[None], None if mask is None else np.asarray(mask)[None]
    return x, real_of(mask, *x.shape[:2])


def blend(real, new, old):
    return real * new + (1 - real) * old


def rnn_reference(v: dict, step: bool) -> Reference:
    x, real = over_time(v, "h0", step)
    h = v["h_prev" if step else "h0"]
    h_prev, hs = [], []
    for t in range(len(x)):
        h_prev.append(h)
        h = blend(real[t], np.tanh(x[t] @ v["Wx"] + h @ v["Wh"] + v["b"]), h)
        hs.append(h)
    q = {"x": x, "h_prev": np.stack(h_prev), "h": np.stack(hs), "Wx": v["Wx"], "Wh": v["Wh"], "real": real}
    return Reference([h] if step else [q["h"], h], q, tb.rnn_backward)


def lstm_reference(v: dict, step: bool) -> Reference:
    x, real = over_time(v, "h0", step)
    h, c = (v["h_prev"], v["c_prev"]) if step else (v["h0"], v["c0"])
    q = {
        name: []
        for name in ("h_prev", "c_prev", "i", "f", "o", "g", "z_i", "z_f", "z_o", "z_g", "c", "tanh_c", "h")
    }
    for t in range(len(x)):
        q["h_prev"].append(h)
        q["c_prev"].append(c)
        zi, zf, zo, zg = np.split(x[t] @ v["Wx"] + h @ v["Wh"] + v["b"], 4, axis=1)
        i, f, o, g = sigmoid(zi), sigmoid(zf), sigmoid(zo), np.tanh(zg)
        c_new = f * c + i * g
        for name, value in (
            ("i", i),
            ("f", f),
            ("o", o),
            ("g", g),
            ("c", c_new),
            ("tanh_c", np.tanh(c_new)),
            ("z_i", zi),
            ("z_f", zf),
            ("z_o", zo),
            ("z_g", zg),
        ):
            q[name].append(value)
        h, c = blend(real[t], o * np.tanh(c_new), h), blend(real[t], c_new, c)
        q["h"].append(h)
    q = {name: np.stack(items) for name, items in q.items()} | {
        "x": x,
        "Wx": v["Wx"],
        "Wh": v["Wh"],
        "real": real,
    }
    return Reference([h, c] if step else [q["h"], h, c], q, tb.lstm_backward)


def gru_reference(v: dict, step: bool) -> Reference:
    x, real = over_time(v, "h0", step)
    h = v["h_prev" if step else "h0"]
    H = h.shape[1]
    after = v.get("reset_after", True)
    Wh_ru, Wh_n = v["Wh"][:, : 2 * H], v["Wh"][:, 2 * H :]
    q = {name: [] for name in ("h_prev", "r", "u", "n", "zh_n", "hWh_n", "rh", "h")}
    for t in range(len(x)):
        zx = x[t] @ v["Wx"] + v["bx"]
        ru = sigmoid(zx[:, : 2 * H] + h @ Wh_ru + v["bh"][: 2 * H])
        r, u = ru[:, :H], ru[:, H:]
        zh_n = h @ Wh_n + v["bh"][2 * H :]
        n = np.tanh(zx[:, 2 * H :] + (r * zh_n if after else (r * h) @ Wh_n + v["bh"][2 * H :]))
        for name, value in (
            ("h_prev", h),
            ("r", r),
            ("u", u),
            ("n", n),
            ("zh_n", zh_n),
            ("hWh_n", h @ Wh_n),
            ("rh", r * h),
        ):
            q[name].append(value)
        h = blend(real[t], (1 - u) * n + u * h, h)
        q["h"].append(h)
    q = {name: np.stack(items) for name, items in q.items()}
    q |= {"x": x, "Wx": v["Wx"], "Wh": v["Wh"], "Wh_ru": Wh_ru, "Wh_n": Wh_n, "real": real}
    return Reference([h] if step else [q["h"], h], q, tb.gru_backward if after else tb.gru_before_backward)


def recurrent(
    name: str, gates: str, states: int, biases: tuple[str, ...], reference: Callable, step: bool
) -> Kind:
    state = ("h_prev", "c_prev")[:states] if step else ("h0", "c0")[:states]
    options = ("reset_after",) if name == "gru" else ()
    n_gates = max(len(gates), 1)

    def make(rng, setting: str) -> dict:
        return recurrent_values(rng, setting, state, n_gates, biases, step)

    def upstream(douts: list, ref: Reference) -> dict:
        zero = np.zeros_like(ref.quantities["h"][0])
        dhs, *last = [None, *douts] if step else douts
        given = {"dhs": np.zeros_like(ref.quantities["h"]) if dhs is None else dhs}
        for key, d in zip(("dh_last", "dc_last"), [*last, None, None][:states], strict=False):
            given[key] = zero if d is None else d
        return given

    def downstream(results, values: dict) -> dict:
        named = dict(zip(("x", *state, "Wx", "Wh", *biases), results, strict=True))
        if step:
            named["x"] = named["x"][0]
        return named

    axes = {"x": "BD" if step else "TBD"} | dict.fromkeys(state, "BH")
    axes |= {"Wx": "DG", "Wh": "HG"} | dict.fromkeys(biases, "G")
    outs = {"h": "BH", "c": "BH"} if step else {"hs": "TBH", "h_last": "BH", "c_last": "BH"}
    outs = dict(list(outs.items())[: len(outs) - 2 + states])
    return Kind(
        f"{name}_step" if step else name,
        axes,
        ("mask", *options),
        outs,
        ("ragged", "no mask") if step else ("ragged", "no mask", "padding first"),
        make,
        lambda v: reference(v, step),
        upstream,
        downstream,
        gates,
        ("Wx", "Wh", *biases) if gates else (),
        step,
    )


# -- attention -----------------------------------------------------------------------------------------


def softmax_rows(scores: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Softmax over the last axis where real is 1; all 0 where nothing is."""
    shifted = np.where(real > 0, scores, -np.inf)
    top = shifted.max(axis=-1, keepdims=True)
    e = np.where(real > 0, np.exp(np.where(real > 0, scores - np.where(np.isfinite(top), top, 0), 0)), 0)
    total = e.sum(axis=-1, keepdims=True)
    return e / np.where(total == 0, 1, total)


def source_real(mask: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    """(B, T, S), 1.0 where the source position is real."""
    B, T, S = shape
    return (
        np.ones(shape) if mask is None else np.broadcast_to(np.asarray(mask).T[:, None], shape).astype(float)
    )


def scores_of(v: dict, query: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, dict, str]:
    """(scores (B, T, S), quantities, which score it is), from the weights that there are."""
    if "W" in v:
        projected = query @ v["W"]
        return projected @ keys.mT, {"W": v["W"], "projected": projected}, "general"
    if "Wq" in v:
        z = (query @ v["Wq"])[:, :, None] + keys[:, None]
        a = np.tanh(z)
        return a @ v["v"], {"Wq": v["Wq"], "v": v["v"], "z": z, "a": a}, "additive"
    scale = v.get("scale", 1.0)
    return scale * (query @ keys.mT), {"scale": scale}, "dot"


SCORES = {
    "dot": (tb.dot_scores_backward, tb.dot_attention_backward),
    "general": (tb.general_scores_backward, tb.general_attention_backward),
    "additive": (tb.additive_scores_backward, tb.additive_attention_backward),
}


def scores_kind(name: str, weight_axes: dict[str, str], scaled: bool = False) -> Kind:
    general = "W" in weight_axes

    def make(rng, setting: str) -> dict:
        query = rng.standard_normal((T, B, Q if weight_axes else A))
        keys = rng.standard_normal((S, B, M if general else A))
        shapes = {"W": (Q, M), "Wq": (Q, A), "v": (A,)}
        return {"query": query, "keys": keys} | {w: weights(rng, *shapes[w]) for w in weight_axes}

    def reference(v: dict) -> Reference:
        query, keys = rows(v["query"]), rows(v["keys"])
        if scaled:
            v = v | {"scale": query.shape[-1] ** -0.5}
        scores, q, which = scores_of(v, query, keys)
        return Reference([rows(scores)], {"query": query, "keys": keys} | q, SCORES[which][0])

    axes = {"query": "TBQ", "keys": "SBM" if general else "SBA"} | weight_axes
    if not weight_axes:
        axes["query"] = "TBA"
    return Kind(
        name,
        axes,
        (),
        {"scores": "TBS"},
        ("no mask",),
        make,
        reference,
        lambda douts, ref: {"dscores": rows(douts[0])},
        lambda results, v: dict(zip(axes, [rows(results[0]), rows(results[1]), *results[2:]], strict=True)),
    )


def attention_kind(name: str, weight_axes: dict[str, str], scaled: bool = False) -> Kind:
    """The whole of it: scores, masked softmax and weighted sum in one pair."""
    additive = "Wq" in weight_axes

    def make(rng, setting: str) -> dict:
        values = {
            "query": rng.standard_normal((T, B, Q if weight_axes else M)),
            "memory": rng.standard_normal((S, B, M)),
        }
        if additive:
            values["keys"] = rng.standard_normal((S, B, A))
        shapes = {"W": (Q, M), "Wq": (Q, A), "v": (A,)}
        values |= {w: weights(rng, *shapes[w]) for w in weight_axes}
        return values | {"mask": masks(setting, S, SOURCE_LENGTHS)}

    def reference(v: dict) -> Reference:
        query, memory = rows(v["query"]), rows(v["memory"])
        keys = rows(v["keys"]) if additive else memory
        if scaled:
            v = v | {"scale": query.shape[-1] ** -0.5}
        scores, q, which = scores_of(v, query, keys)
        real = source_real(v.get("mask"), scores.shape)
        w = softmax_rows(scores, real)
        q |= {"query": query, "memory": memory, "weights": w, "real": real} | (
            {"keys": keys} if additive else {}
        )
        return Reference([rows(w @ memory)], q, SCORES[which][1])

    axes = {"query": "TBQ", "memory": "SBM"} | ({"keys": "SBA"} if additive else {}) | weight_axes
    if not weight_axes:
        axes["query"] = "TBM"
    n = 3 if additive else 2
    return Kind(
        name,
        axes,
        ("mask",),
        {"context": "TBM"},
        ("ragged", "no mask"),
        make,
        reference,
        lambda douts, ref: {"dcontext": rows(douts[0])},
        lambda results, v: dict(zip(axes, [*map(rows, results[:n]), *results[n:]], strict=True)),
    )


def softmax_kind() -> Kind:
    def make(rng, setting: str) -> dict:
        return {"scores": 2 * rng.standard_normal((T, B, S)), "mask": masks(setting, S, SOURCE_LENGTHS)}

    def reference(v: dict) -> Reference:
        scores = rows(v["scores"])
        real = source_real(v.get("mask"), scores.shape)
        w = softmax_rows(scores, real)
        return Reference([rows(w)], {"weights": w, "real": real}, tb.softmax_backward)

    return Kind(
        "masked_softmax",
        {"scores": "TBS"},
        ("mask",),
        {"weights": "TBS"},
        ("ragged", "no mask"),
        make,
        reference,
        lambda douts, ref: {"dweights": rows(douts[0])},
        lambda results, v: {"scores": rows(results[0])},
    )


def weighted_sum_kind() -> Kind:
    def make(rng, setting: str) -> dict:
        w = softmax_rows(
            rng.standard_normal((B, T, S)), source_real(masks("ragged", S, SOURCE_LENGTHS), (B, T, S))
        )
        return {"weights": rows(w), "values": rng.standard_normal((S, B, M))}

    def reference(v: dict) -> Reference:
        w, values = rows(v["weights"]), rows(v["values"])
        return Reference([rows(w @ values)], {"weights": w, "values": values}, tb.weighted_sum_backward)

    return Kind(
        "weighted_sum",
        {"weights": "TBS", "values": "SBM"},
        (),
        {"context": "TBM"},
        ("no mask",),
        make,
        reference,
        lambda douts, ref: {"dcontext": rows(douts[0])},
        lambda results, v: {"weights": rows(results[0]), "values": rows(results[1])},
    )


# -- the rest ------------------------------------------------------------------------------------------

TARGETS = np.array([[4, 7, 4], [4, 8, 1], [2, 0, 4], [3, 0, 0]])  # 4 comes often; 0 pads
IDS = np.array([[1, 3, 3], [3, 1, 6], [2, 3, 1], [0, 6, 0]])


def cross_entropy_kind() -> Kind:
    def make(rng, setting: str) -> dict:
        special = {"smoothing": {"smoothing": 0.1}, "sum": {"reduction": "sum"}}.get(setting, {})
        mask = masks(setting if setting in ("ragged", "no mask") else "ragged")
        return {"logits": 2 * rng.standard_normal((T, B, V)), "targets": TARGETS, "mask": mask} | special

    def reference(v: dict) -> Reference:
        logits, targets = v["logits"], np.asarray(v["targets"])
        T, B, V = logits.shape
        real = real_of(v.get("mask"), T, B)
        smoothing = v.get("smoothing", 0.0)
        count = 1.0 if v.get("reduction", "mean") == "sum" else max(real.sum(), 1.0)
        probs = softmax_rows(logits, np.ones_like(logits))
        onehot = np.eye(V)[targets]
        target = (1 - smoothing) * onehot + smoothing / V
        shifted = logits - logits.max(axis=-1, keepdims=True)
        log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
        loss = (real * -(target * log_probs).sum(axis=-1, keepdims=True)).sum() / count
        q = {
            "logits": logits,
            "probs": probs,
            "onehot": onehot,
            "smoothing": smoothing,
            "real": real,
            "count": count,
        }
        return Reference([np.asarray(loss)], q, tb.cross_entropy_backward)

    return Kind(
        "cross_entropy",
        {"logits": "TBV"},
        ("targets", "mask", "smoothing", "reduction"),
        {"loss": ""},
        ("ragged", "no mask", "smoothing", "sum"),
        make,
        reference,
        lambda douts, ref: {"dloss": douts[0]},
        lambda results, v: {"logits": results[0]},
    )


def linear_kind() -> Kind:
    def make(rng, setting: str) -> dict:
        x = rng.standard_normal((T, B, D) if setting == "sequence" else (B, D))
        return {"x": x, "W": weights(rng, D, K), "b": weights(rng, K)}

    def reference(v: dict) -> Reference:
        x = v["x"].reshape(-1, v["x"].shape[-1])
        b = 0.0 if v.get("b") is None else v["b"]
        out = (x @ v["W"] + b).reshape(*v["x"].shape[:-1], v["W"].shape[1])
        return Reference([out], {"x": x, "W": v["W"], "b": b}, tb.linear_backward)

    def downstream(results, v: dict) -> dict:
        dx, dW, db = results
        return {"x": dx.reshape(v["x"].shape), "W": dW, "b": db}

    return Kind(
        "linear",
        {"x": "TBD", "W": "DK", "b": "K"},
        (),
        {"out": "TBK"},
        ("sequence", "one step"),
        make,
        reference,
        lambda douts, ref: {"dout": douts[0].reshape(-1, douts[0].shape[-1])},
        downstream,
    )


def embedding_kind() -> Kind:
    def make(rng, setting: str) -> dict:
        return {"W": weights(rng, V, E), "ids": IDS if setting == "sequence" else IDS[0]}

    def reference(v: dict) -> Reference:
        ids = np.asarray(v["ids"])
        return Reference([v["W"][ids]], {"ids": ids.reshape(-1), "W": v["W"]}, tb.embedding_backward)

    return Kind(
        "embedding",
        {"W": "VE"},
        ("ids",),
        {"out": "TBE"},
        ("sequence", "one step"),
        make,
        reference,
        lambda douts, ref: {"dout": douts[0].reshape(-1, douts[0].shape[-1])},
        lambda results, v: {"W": results[0]},
    )


def dropout_kind() -> Kind:
    def make(rng, setting: str) -> dict:
        x = rng.standard_normal((T, B, D))
        return {"x": x, "keep_mask": rng.random(x.shape) >= 0.3, "p": 0.3}

    def reference(v: dict) -> Reference:
        keep, p = np.asarray(v["keep_mask"]).astype(float), v["p"]
        return Reference([v["x"] * keep / (1 - p)], {"keep": keep, "p": p}, tb.dropout_backward)

    return Kind(
        "dropout",
        {"x": "TBD"},
        ("keep_mask", "p"),
        {"out": "TBD"},
        ("mask",),
        make,
        reference,
        lambda douts, ref: {"dout": douts[0]},
        lambda results, v: {"x": results[0]},
    )


def tanh_kind() -> Kind:
    def reference(v: dict) -> Reference:
        a = np.tanh(v["z"])
        return Reference([a], {"z": v["z"], "a": a}, tb.tanh_backward)

    return Kind(
        "tanh",
        {"z": "TBD"},
        (),
        {"a": "TBD"},
        ("plain",),
        lambda rng, setting: {"z": rng.standard_normal((T, B, D))},
        reference,
        lambda douts, ref: {"da": douts[0]},
        lambda results, v: {"z": results[0]},
    )


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        *(recurrent("rnn", "", 1, ("b",), rnn_reference, step) for step in (False, True)),
        *(recurrent("lstm", "ifog", 2, ("b",), lstm_reference, step) for step in (False, True)),
        *(recurrent("gru", "run", 1, ("bx", "bh"), gru_reference, step) for step in (False, True)),
        scores_kind("dot_scores", {}),
        scores_kind("scaled_dot_scores", {}, scaled=True),
        scores_kind("general_scores", {"W": "QM"}),
        scores_kind("additive_scores", {"Wq": "QA", "v": "A"}),
        attention_kind("dot_attention", {}),
        attention_kind("scaled_dot_attention", {}, scaled=True),
        attention_kind("attention", {"W": "QM"}),
        attention_kind("additive_attention", {"Wq": "QA", "v": "A"}),
        softmax_kind(),
        weighted_sum_kind(),
        cross_entropy_kind(),
        linear_kind(),
        embedding_kind(),
        dropout_kind(),
        tanh_kind(),
    )
}
ALIASES = {"general_attention": "attention", "softmax": "masked_softmax", "ce": "cross_entropy"}
