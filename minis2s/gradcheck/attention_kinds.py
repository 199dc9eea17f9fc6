"""The kinds of attention: scores, masked softmax, weighted sum, and all of it in one pair.

The textbook has the batch first, (B, T, S); `rows` turns time-major inputs and results round.
"""

import numpy as np

from minis2s.gradcheck import textbook as tb
from minis2s.gradcheck.kind import SOURCE_LENGTHS, A, B, Kind, M, Q, Reference, S, T, masks, rows, weights


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
