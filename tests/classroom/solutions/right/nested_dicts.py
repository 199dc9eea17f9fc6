import numpy as np

sig = lambda a: 1 / (1 + np.exp(-a))


def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    H = h_prev.shape[-1]
    pre = dict(zip("ifog", np.split(x @ Wx + h_prev @ Wh + b, 4, axis=-1)))
    act = {k: (np.tanh if k == "g" else sig)(v) for k, v in pre.items()}
    c = act["f"] * c_prev + act["i"] * act["g"]
    h = act["o"] * np.tanh(c)
    cache = {
        "given": {"x": x, "h": h_prev, "c": c_prev, "W": {"x": Wx, "h": Wh}},
        "inside": {"act": act, "c": c, "sizes": (4, H)},
        "mask": mask,
        7: "a key that is no text",
        ("a", "tuple"): [None, {"deeper": {}}],
    }
    if mask is not None:
        pad = np.logical_not(mask)
        h[pad], c_out = h_prev[pad], c.copy()
        c_out[pad] = c_prev[pad]
        return (h, c_out), cache
    return (h, c), cache


def lstm_step_backward(dout, cache):
    given, inside, mask = cache["given"], cache["inside"], cache["mask"]
    act, c = inside["act"], inside["c"]
    grad = {
        "h": np.zeros(c.shape) if dout[0] is None else dout[0].copy(),
        "c": np.zeros(c.shape) if dout[1] is None else dout[1].copy(),
    }
    by = {name: np.zeros_like(d) for name, d in grad.items()}
    if mask is not None:
        pad = ~mask
        for name in grad:
            by[name][pad] = grad[name][pad]
            grad[name][pad] = 0
    tc = np.tanh(c)
    grad["c"] = grad["c"] + grad["h"] * act["o"] * (1 - tc**2)
    d = {
        "i": grad["c"] * act["g"],
        "f": grad["c"] * given["c"],
        "o": grad["h"] * tc,
        "g": grad["c"] * act["i"],
    }
    dz = np.concatenate(
        [d[k] * (1 - act[k] ** 2 if k == "g" else act[k] * (1 - act[k])) for k in "ifog"], axis=-1
    )
    W = given["W"]
    return (
        dz @ W["x"].T,
        dz @ W["h"].T + by["h"],
        grad["c"] * act["f"] + by["c"],
        given["x"].T @ dz,
        given["h"].T @ dz,
        dz.sum(0),
    )


def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    book = {"steps": {}, "T": x.shape[0]}
    state = {-1: (h0, c0)}
    for t in range(x.shape[0]):
        state[t], book["steps"][t] = lstm_step_forward(
            x[t], *state[t - 1], Wx, Wh, b, mask=mask[t] if mask is not None else None
        )
    hs = np.stack([state[t][0] for t in range(x.shape[0])])
    return (hs, *state[x.shape[0] - 1]), book


def lstm_backward(dout, cache):
    d = dict(zip(("hs", "h", "c"), dout))
    total = {}
    dx = {}
    for t in sorted(cache["steps"], reverse=True):
        if d["hs"] is not None:
            d["h"] = d["hs"][t] + (0 if d["h"] is None else d["h"])
        dx[t], d["h"], d["c"], *weights = lstm_step_backward((d["h"], d["c"]), cache["steps"][t])
        for name, w in zip(("Wx", "Wh", "b"), weights):
            total[name] = total.get(name, 0) + w
    return np.stack([dx[t] for t in range(cache["T"])]), d["h"], d["c"], *total.values()
