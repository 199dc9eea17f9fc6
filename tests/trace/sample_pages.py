"""Pages for the viewer's tests: random numbers that fit together, as those of a real model do.

What the elementwise equations say holds: c = f * c_prev + i * g, the parts of dh add up to dh, the losses
are -ln p. The matrix products are left out: z is drawn, not computed.
"""

import numpy as np

PARTS = {  # of dh, by the place of a layer
    "top": ("readout", "attention", "recurrent"),
    "below": ("layer above", "recurrent"),
    "encoder": ("attention", "recurrent", "bridge"),
    "encoder below": ("layer above", "recurrent", "bridge"),
}
EQUATIONS = {
    "lstm": (
        ("i", r"i = \sigma(z_i)", "i = sigmoid(x Wx_i + h_prev Wh_i + b_i)"),
        ("c", r"c = f c' + i g", "c = f * c_prev + i * g"),
        ("h", r"h = o \tanh c", "h = o * tanh(c)"),
    ),
    "gru": (("h", r"h = (1 - u) n + u h'", "h = (1 - u) * n + u * h_prev"),),
    "rnn": (("h", r"h = \tanh z", "h = tanh(x Wx + h_prev Wh + b)"),),
}


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def six(value):
    """Lists of numbers with six significant digits."""
    if isinstance(value, dict):
        return {k: six(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [six(v) for v in value]
    if isinstance(value, np.ndarray):
        return six(value.tolist())
    return float(f"{value:.6g}") if isinstance(value, float) else value


def forward(cell, rng, h_prev, c_prev, H):
    z = {k: 1.5 * rng.standard_normal(H) for k in {"lstm": "ifog", "gru": "run", "rnn": "h"}[cell]}
    if cell == "rnn":
        return {"h_prev": h_prev, "z": z["h"], "h": np.tanh(z["h"])}
    out = {"h_prev": h_prev} | ({"c_prev": c_prev} if cell == "lstm" else {})
    out |= {f"z_{k}": v for k, v in z.items()}
    out |= {k: np.tanh(v) if k in "gn" else sigmoid(v) for k, v in z.items()}
    if cell == "gru":
        return out | {"h": (1 - out["u"]) * out["n"] + out["u"] * h_prev}
    c = out["f"] * c_prev + out["i"] * out["g"]
    return out | {"c": c, "tanh_c": np.tanh(c), "h": out["o"] * np.tanh(c)}


def backward(cell, rng, a, dh, carry, H):
    if cell == "rnn":
        return {"dh": dh, "dz": dh * (1 - a["h"] ** 2), "dh_prev": 0.1 * rng.standard_normal(H)}, {}
    if cell == "gru":
        dn, du = dh * (1 - a["u"]), dh * (a["h_prev"] - a["n"])
        dr = 0.1 * rng.standard_normal(H)
        d = {"dh": dh, "dr": dr, "du": du, "dn": dn, "dz_n": dn * (1 - a["n"] ** 2)}
        d |= {f"dz_{k}": d[f"d{k}"] * a[k] * (1 - a[k]) for k in "ru"}
        return d | {"dh_prev": 0.1 * rng.standard_normal(H)}, {}
    own = dh * a["o"] * (1 - a["tanh_c"] ** 2)
    dc = carry + own
    d = {
        "dh": dh,
        "dc": dc,
        "di": dc * a["g"],
        "df": dc * a["c_prev"],
        "do": dh * a["tanh_c"],
        "dg": dc * a["i"],
    }
    d |= {f"dz_{k}": d[f"d{k}"] * a[k] * (1 - a[k]) for k in "ifo"} | {"dz_g": d["dg"] * (1 - a["g"] ** 2)}
    d |= {"dh_prev": 0.1 * rng.standard_normal(H), "dc_prev": dc * a["f"]}
    return d, {"carry": carry, "own h": own}


def layer(name, cell, rng, tokens, H, place, back=False):
    order = list(range(len(tokens)))[:: -1 if back else 1]
    h, c, steps = np.zeros(H), np.zeros(H), {}
    for t in order:
        a = forward(cell, rng, h, c, H)
        h, c = a["h"], a.get("c", c)
        steps[t] = {"t": t, "token": tokens[t], "forward": a}
    carry = np.zeros(H)
    for t in reversed(order):
        size = 0.1 * 0.9 ** abs(t - order[-1])
        parts = {p: size * rng.standard_normal(H) for p in PARTS[place] if p != "bridge" or t == order[-1]}
        d, dc_parts = backward(cell, rng, steps[t]["forward"], sum(parts.values()), carry, H)
        steps[t] |= {"backward": d, "dh_parts": parts, "dc_parts": dc_parts}
        carry = d.get("dc_prev", carry)
    return {
        "name": name,
        "part": name.split(".")[0],
        "reversed": back,
        "cell": cell,
        "equations": [{"name": n, "tex": t, "text": s} for n, t, s in EQUATIONS[cell]],
        "steps": [steps[t] for t in range(len(tokens))],
    }


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def attention(rng, T, S):
    scores = 0.7 * rng.standard_normal((T, S))
    scores[np.arange(T), np.minimum(np.arange(T), S - 1)] += 3
    w, dw = softmax(scores), 0.1 * rng.standard_normal((T, S))
    return {
        "weights": w,
        "scores": scores,
        "dweights": dw,
        "dscores": w * (dw - (w * dw).sum(1, keepdims=True)),
    }


def outputs_of(rng, target, vocabulary):
    out = []
    for s, token in enumerate(target):
        words = [token] + [w for w in vocabulary if w != token]
        z = rng.standard_normal(len(words))
        z[0] += 2.5
        p = softmax(z)
        best = sorted(range(len(words)), key=lambda k: -p[k])[:5]
        out.append(
            {"step": s, "right": token, "p": float(p[0]), "top": [[words[k], float(p[k])] for k in best]}
        )
    return out


def bptt_of(rng, layers, T):
    states = [{"layer": la["name"], "t": s["t"]} for la in layers for s in la["steps"]]
    paths = ["carry", "recurrent", "attention", "bridge", "input feeding", "readout"]
    norm = np.zeros((len(states), T, len(paths)))
    for n, state in enumerate(states):
        for s in range(T):
            if state["layer"].startswith("decoder") and state["t"] > s:
                continue  # a later state has no part in an earlier loss
            distance = (s - state["t"]) if state["layer"].startswith("decoder") else (s + 12 - state["t"])
            norm[n, s] = np.abs(rng.standard_normal(len(paths))) * 0.75**distance
    return {
        "states": states, "loss_steps": list(range(T)), "paths": paths, "norm": norm,
        "total": np.sqrt((norm**2).sum(-1)),
    }  # fmt: skip


def what_if_of(rng, losses, outputs, vocabulary):
    kinds = [
        (
            "pin a gate",
            "encoder.0: forget gate pinned to 0 at t = 4",
            {"layer": "encoder.0", "gate": "f", "t": 4},
        ),
        (
            "pin a gate",
            "decoder.0: forget gate pinned to 1 at every step",
            {"layer": "decoder.0", "gate": "f"},
        ),
        ("overwrite an attention row", "step 3 looks only at source 7", {"source": 7}),
        ("force a token", "step 2 is given another token", {"step": 2, "token": vocabulary[0]}),
        ("cut a path", "the bridge is cut", {"path": "bridge"}),
    ]
    out = []
    for kind, label, where in kinds:
        new = [x * float(np.exp(0.8 * rng.standard_normal())) for x in losses]
        best = [o["top"][0][0] for o in outputs]
        if best:
            best[len(best) // 2] = vocabulary[1]
        out.append({
            "kind": kind, "label": label, "where": where, "loss": sum(new) / len(new), "losses": new, "output": best,
            "right_p": [float(np.exp(-x)) for x in new],
        })  # fmt: skip
    return out


def beam_of(rng, target, vocabulary, width=3):
    nodes = [{"id": 0, "parent": None, "token": "BOS", "log_prob": 0.0, "total": 0.0, "score": 0.0, "step": 0,
              "kept": True, "finished": False}]  # fmt: skip
    alive = [nodes[0]]
    for step, right in enumerate(target, 1):
        grown = []
        for parent in alive:
            for token in [right, *rng.choice(vocabulary, 2, replace=False)]:
                lp = float(-rng.exponential(0.2 if token == right else 2.5))
                total = parent["total"] + lp
                node = {"id": len(nodes), "parent": parent["id"], "token": str(token), "log_prob": lp, "total": total,
                        "score": total / ((5 + step) / 6) ** 0.6, "step": step, "kept": False,
                        "finished": step == len(target)}  # fmt: skip
                nodes.append(node)
                grown.append(node)
        grown.sort(key=lambda n: -n["score"])
        alive = grown[:width]
        for n in alive:
            n["kept"] = True
    return {"nodes": nodes, "best": alive[0]["id"]}


def sample_page(
    cell="lstm", S=12, T=12, H=16, layers=1, both=False, with_attention=True, with_beam=True, seed=0
):
    """A page of the shape that `page_html` takes. both: the encoder also reads backwards."""
    rng = np.random.default_rng(seed)
    source = [*"3 March 2021 at noon".replace(" ", "·")][: S - 1] + ["EOS"]
    target = [*"2021-03-03 12:00"][: T - 1] + ["EOS"]
    vocabulary = list("0123456789-/: ")
    made = []
    for n in range(layers):
        place = "encoder" if n == layers - 1 else "encoder below"
        size = H // 2 if both else H  # half of it for each direction
        made.append(layer(f"encoder.{n}", cell, rng, source, size, place))
        if both:
            made.append(layer(f"encoder.{n}.backwards", cell, rng, source, size, place, back=True))
    for n in range(layers):
        place = "top" if n == layers - 1 else "below"
        made.append(layer(f"decoder.{n}", cell, rng, ["BOS", *target[:-1]], H, place))
    outputs = outputs_of(rng, target, vocabulary)
    losses = [-float(np.log(o["p"])) for o in outputs]
    page = {
        "version": 1, "title": "A date, one training step", "row": 0, "source": source,
        "target_in": ["BOS", *target[:-1]], "target_out": target, "H": H, "units": list(range(H)),
        "loss": sum(losses) / len(losses), "losses": losses, "layers": made,
        "attention": attention(rng, len(target), len(source)) if with_attention else None,
        "outputs": outputs, "bptt": bptt_of(rng, made, len(target)),
        "what_if": what_if_of(rng, losses, outputs, vocabulary),
        "beam": beam_of(rng, target, vocabulary) if with_beam else None,
    }  # fmt: skip
    return six(page)
