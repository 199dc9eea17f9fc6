import numpy as np

σ = lambda a: 1 / (1 + np.exp(-a))
zero = lambda d, like: np.zeros_like(like) if d is None else d
col = lambda mask, n: np.ones((n, 1), bool) if mask is None else mask[:, None]
acts = lambda z: (lambda p: (σ(p[0]), σ(p[1]), σ(p[2]), np.tanh(p[3])))(np.split(z, 4, axis=1))
new_c = lambda a, c: a[1] * c + a[0] * a[3]

lstm_step_forward = lambda x, h_prev, c_prev, Wx, Wh, b, mask=None: (
    lambda a, m: (
        (
            np.where(m, a[2] * np.tanh(new_c(a, c_prev)), h_prev),
            np.where(m, new_c(a, c_prev), c_prev),
        ),
        (x, h_prev, c_prev, Wx, Wh, a, m),
    )
)(acts(x @ Wx + h_prev @ Wh + b), col(mask, len(x)))

inner = lambda dh, dc, a, t: dc + dh * a[2] * (1 - t**2)
dz_of = lambda dh, dc, a, t, c: np.hstack(
    [
        inner(dh, dc, a, t) * a[3] * a[0] * (1 - a[0]),
        inner(dh, dc, a, t) * c * a[1] * (1 - a[1]),
        dh * t * a[2] * (1 - a[2]),
        inner(dh, dc, a, t) * a[0] * (1 - a[3] ** 2),
    ]
)
step_back = lambda dh, dc, x, h, c, Wx, Wh, a, m: (
    lambda t: (
        lambda dz: (
            dz @ Wx.T,
            np.where(m, dz @ Wh.T, dh),
            np.where(m, inner(dh, dc, a, t) * a[1], dc),
            x.T @ dz,
            h.T @ dz,
            dz.sum(0),
        )
    )(dz_of(dh, dc, a, t, c) * m)
)(np.tanh(new_c(a, c)))
lstm_step_backward = lambda dout, cache: step_back(*(zero(d, cache[1]) for d in dout), *cache)


def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    go = lambda t, h, c: lstm_step_forward(x[t], h, c, Wx, Wh, b, None if mask is None else mask[t])
    walk = lambda t, h, c, seen: seen if t == len(x) else walk(t + 1, *(n := go(t, h, c))[0], [*seen, n])
    seen = walk(0, h0, c0, [])
    return (np.stack([s[0][0] for s in seen]), *seen[-1][0]), [s[1] for s in seen]


lstm_backward = lambda dout, cache: (
    lambda dhs, walk: walk(walk, len(cache) - 1, dout[1], dout[2], [], 0, 0, 0, dhs)
)(
    dout[0] if dout[0] is not None else [0.0] * len(cache),
    lambda walk, t, dh, dc, dx, dWx, dWh, db, dhs: (
        (np.stack(dx[::-1]), dh, dc, dWx, dWh, db)
        if t < 0
        else (
            lambda r: walk(walk, t - 1, r[1], r[2], [*dx, r[0]], dWx + r[3], dWh + r[4], db + r[5], dhs)
        )(lstm_step_backward((zero(dh, cache[t][1]) + dhs[t], dc), cache[t]))
    ),
)
