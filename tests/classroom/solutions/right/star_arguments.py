import numpy as np

KEYS = ("x", "h", "c", "Wx", "Wh", "b", "mask")


def lstm_step_forward(*args, **kwargs):
    given = dict(zip(KEYS, args)) | {"mask": args[6] if len(args) > 6 else kwargs.get("mask")}
    return _step(**given)


def lstm_forward(*arguments, mask=None):
    if len(arguments) == 7:
        *arguments, mask = arguments
    x, h, c, *weights = arguments
    hs, caches = [], []
    for t, letter in enumerate(x):
        (h, c), cache = lstm_step_forward(letter, h, c, *weights, mask=None if mask is None else mask[t])
        hs.append(h)
        caches.append(cache)
    return (np.array(hs), h, c), caches


def _step(*, x, h, c, Wx, Wh, b, mask=None):
    z = np.split(x @ Wx + h @ Wh + b, 4, axis=1)
    i, f, o = (np.tanh(p / 2) / 2 + 0.5 for p in z[:3])
    g = np.tanh(z[3])
    new = f * c + i * g
    real = np.array(True) if mask is None else mask[:, None]
    saved = {**locals()}
    return (np.where(real, o * np.tanh(new), h), np.where(real, new, c)), saved


def lstm_step_backward(upstream, cache, /, *, where=np.where):
    x, h, c, Wx, Wh = (cache[k] for k in KEYS[:5])
    i, f, o, g, new, real = (cache[k] for k in ("i", "f", "o", "g", "new", "real"))
    dh, dc = (np.zeros_like(h) if d is None else d for d in upstream)
    t = np.tanh(new)
    e = where(real, dc + dh * o * (1 - t**2), 0.0)
    dz = np.hstack([e * g * i * (1 - i), e * c * f * (1 - f), where(real, dh * t * o * (1 - o), 0), e * i * (1 - g * g)])
    return [dz @ Wx.T, where(real, dz @ Wh.T, dh), where(real, e * f, dc), x.T @ dz, h.T @ dz, dz.sum(0)]


def lstm_backward(upstream, tape, *unused, **more_unused):
    (dhs, dh, dc), T = upstream, len(tape)
    results = {k: 0 for k in range(3, 6)}
    dx = [None] * T
    for t in range(T)[::-1]:
        if dhs is not None:
            dh = dhs[t] if dh is None else dhs[t] + dh
        step = lstm_step_backward((dh, dc), tape[t])
        dx[t], dh, dc = step[:3]
        results = {k: v + step[k] for k, v in results.items()}
    return [np.array(dx), dh, dc, *results.values()]
