"""The kinds without time or attention: cross-entropy, linear, embedding, dropout, tanh.

Their sequence axes are rows to the textbook: (T, B, D) is taken as (T * B, D).
"""

import numpy as np

from minis2s.gradcheck import textbook as tb
from minis2s.gradcheck.attention_kinds import softmax_rows
from minis2s.gradcheck.kind import B, D, E, K, Kind, Reference, T, V, masks, real_of, weights

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
