from functools import partial, reduce
from itertools import accumulate, repeat, starmap
from operator import add, itemgetter, mul

import numpy as np

first, second = itemgetter(0), itemgetter(1)


def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    z = reduce(add, starmap(np.matmul, [(x, Wx), (h_prev, Wh)]), b)
    a = [*map(lambda p: np.reciprocal(1 + np.exp(-p)), np.split(z, 4, 1)[:3]), np.tanh(np.split(z, 4, 1)[3])]
    c = reduce(add, starmap(mul, [(a[1], c_prev), (a[0], a[3])]))
    pick = partial(np.where, np.ones((len(x), 1), bool) if mask is None else mask[:, None])
    return (pick(mul(a[2], np.tanh(c)), h_prev), pick(c, c_prev)), (x, h_prev, c_prev, Wx, Wh, a, c, pick)


def lstm_step_backward(dout, cache):
    x, h_prev, c_prev, Wx, Wh, (i, f, o, g), c, pick = cache
    dh, dc = map(lambda d: np.zeros_like(c) if d is None else d, dout)
    product = partial(reduce, mul)
    e = pick(dc + product([dh, o, 1 - np.tanh(c) ** 2]), 0)
    dz = np.hstack(
        [
            *map(
                product,
                [
                    (e, g, i, 1 - i),
                    (e, c_prev, f, 1 - f),
                    (pick(dh, 0), np.tanh(c), o, 1 - o),
                    (e, i, 1 + g, 1 - g),
                ],
            )
        ]
    )
    return dz @ Wx.T, pick(dz @ Wh.T, dh), pick(e * f, dc), x.T @ dz, h_prev.T @ dz, reduce(add, dz)


def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    def step(before, now):
        return lstm_step_forward(now[0], *before[0], Wx, Wh, b, now[1])

    inputs = zip(x, repeat(None) if mask is None else mask)
    states, caches = zip(*list(accumulate(inputs, step, initial=((h0, c0), None)))[1:])
    return (np.stack([*map(first, states)]), *states[-1]), caches


def lstm_backward(dout, cache):
    dhs, dh, dc = dout

    def step(after, now):
        cache, d = now
        up = d if after[1] is None else after[1] if d is None else after[1] + d
        return lstm_step_backward((up, after[2]), cache)

    inputs = zip(reversed(cache), repeat(None) if dhs is None else reversed(dhs))
    steps = list(accumulate(inputs, step, initial=(None, dh, dc)))[1:]
    totals = [reduce(add, map(itemgetter(k), steps)) for k in (3, 4, 5)]
    return np.stack([*map(first, steps)][::-1]), steps[-1][1], steps[-1][2], *totals
