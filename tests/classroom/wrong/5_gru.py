"""Wrong answers to assignment 5: none of them may get all points of its task. Each cell is the whole answer."""


# %% gru_step: the gates in the order u, r, n
def gru_step_forward(x, h_prev, Wx, Wh, bx, bh, mask=None):
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx, 3, axis=1)
    zh_r, zh_u, zh_n = np.split(h_prev @ Wh + bh, 3, axis=1)
    u, r = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + r * zh_n)
    h = (1 - u) * n + u * h_prev
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, Wx, Wh, r, u, n, zh_n, real)


def gru_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n, zh_n, real = cache
    # where(real, h, h_prev)
    handed_on, dh = np.where(real, 0, dh), np.where(real, dh, 0)
    # h = (1 - u) * n + u * h_prev
    dn, du = dh * (1 - u), dh * (h_prev - n)
    # n = tanh(zx_n + r * zh_n)
    dz_n = dn * (1 - n**2)
    dr = dz_n * zh_n
    # r, u = sigmoid(...)
    dz_r, dz_u = dr * r * (1 - r), du * u * (1 - u)
    # zx = x Wx + bx;  zh = h_prev Wh + bh, whose block n is scaled by r
    dzx = np.concatenate([dz_u, dz_r, dz_n], axis=1)
    dzh = np.concatenate([dz_u, dz_r, dz_n * r], axis=1)
    dh_prev = dh * u + dzh @ Wh.T + handed_on
    return dzx @ Wx.T, dh_prev, x.T @ dzx, h_prev.T @ dzh, dzx.sum(axis=0), dzh.sum(axis=0)


# %% gru_step: u and 1 - u exchanged
def gru_step_forward(x, h_prev, Wx, Wh, bx, bh, mask=None):
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx, 3, axis=1)
    zh_r, zh_u, zh_n = np.split(h_prev @ Wh + bh, 3, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + r * zh_n)
    h = u * n + (1 - u) * h_prev
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, Wx, Wh, r, u, n, zh_n, real)


def gru_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n, zh_n, real = cache
    # where(real, h, h_prev)
    handed_on, dh = np.where(real, 0, dh), np.where(real, dh, 0)
    # h = (1 - u) * n + u * h_prev
    dn, du = dh * u, dh * (n - h_prev)
    # n = tanh(zx_n + r * zh_n)
    dz_n = dn * (1 - n**2)
    dr = dz_n * zh_n
    # r, u = sigmoid(...)
    dz_r, dz_u = dr * r * (1 - r), du * u * (1 - u)
    # zx = x Wx + bx;  zh = h_prev Wh + bh, whose block n is scaled by r
    dzx = np.concatenate([dz_r, dz_u, dz_n], axis=1)
    dzh = np.concatenate([dz_r, dz_u, dz_n * r], axis=1)
    dh_prev = dh * (1 - u) + dzh @ Wh.T + handed_on
    return dzx @ Wx.T, dh_prev, x.T @ dzx, h_prev.T @ dzh, dzx.sum(axis=0), dzh.sum(axis=0)


# %% gru_step: r does not scale the bias of the candidate
def gru_step_forward(x, h_prev, Wx, Wh, bx, bh, mask=None):
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx, 3, axis=1)
    zh_r, zh_u, zh_n = np.split(h_prev @ Wh + bh, 3, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    H = len(bh) // 3
    n = np.tanh(zx_n + r * (zh_n - bh[2 * H :]) + bh[2 * H :])
    h = (1 - u) * n + u * h_prev
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, Wx, Wh, r, u, n, zh_n, real)


def gru_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n, zh_n, real = cache
    # where(real, h, h_prev)
    handed_on, dh = np.where(real, 0, dh), np.where(real, dh, 0)
    # h = (1 - u) * n + u * h_prev
    dn, du = dh * (1 - u), dh * (h_prev - n)
    # n = tanh(zx_n + r * zh_n)
    dz_n = dn * (1 - n**2)
    dr = dz_n * zh_n
    # r, u = sigmoid(...)
    dz_r, dz_u = dr * r * (1 - r), du * u * (1 - u)
    # zx = x Wx + bx;  zh = h_prev Wh + bh, whose block n is scaled by r
    dzx = np.concatenate([dz_r, dz_u, dz_n], axis=1)
    dzh = np.concatenate([dz_r, dz_u, dz_n * r], axis=1)
    dh_prev = dh * u + dzh @ Wh.T + handed_on
    return dzx @ Wx.T, dh_prev, x.T @ dzx, h_prev.T @ dzh, dzx.sum(axis=0), dzh.sum(axis=0)


# %% gru_step: no reset gate
def gru_step_forward(x, h_prev, Wx, Wh, bx, bh, mask=None):
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx, 3, axis=1)
    zh_r, zh_u, zh_n = np.split(h_prev @ Wh + bh, 3, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + zh_n)
    h = (1 - u) * n + u * h_prev
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, Wx, Wh, r, u, n, zh_n, real)


def gru_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n, zh_n, real = cache
    # where(real, h, h_prev)
    handed_on, dh = np.where(real, 0, dh), np.where(real, dh, 0)
    # h = (1 - u) * n + u * h_prev
    dn, du = dh * (1 - u), dh * (h_prev - n)
    # n = tanh(zx_n + r * zh_n)
    dz_n = dn * (1 - n**2)
    dr = dz_n * zh_n
    # r, u = sigmoid(...)
    dz_r, dz_u = dr * r * (1 - r), du * u * (1 - u)
    # zx = x Wx + bx;  zh = h_prev Wh + bh, whose block n is scaled by r
    dzx = np.concatenate([dz_r, dz_u, dz_n], axis=1)
    dzh = np.concatenate([dz_r, dz_u, dz_n * r], axis=1)
    dh_prev = dh * u + dzh @ Wh.T + handed_on
    return dzx @ Wx.T, dh_prev, x.T @ dzx, h_prev.T @ dzh, dzx.sum(axis=0), dzh.sum(axis=0)


# %% gru_step: the biases of the state are forgotten
def gru_step_forward(x, h_prev, Wx, Wh, bx, bh, mask=None):
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx, 3, axis=1)
    zh_r, zh_u, zh_n = np.split(h_prev @ Wh, 3, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + r * zh_n)
    h = (1 - u) * n + u * h_prev
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, Wx, Wh, r, u, n, zh_n, real)


def gru_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n, zh_n, real = cache
    # where(real, h, h_prev)
    handed_on, dh = np.where(real, 0, dh), np.where(real, dh, 0)
    # h = (1 - u) * n + u * h_prev
    dn, du = dh * (1 - u), dh * (h_prev - n)
    # n = tanh(zx_n + r * zh_n)
    dz_n = dn * (1 - n**2)
    dr = dz_n * zh_n
    # r, u = sigmoid(...)
    dz_r, dz_u = dr * r * (1 - r), du * u * (1 - u)
    # zx = x Wx + bx;  zh = h_prev Wh + bh, whose block n is scaled by r
    dzx = np.concatenate([dz_r, dz_u, dz_n], axis=1)
    dzh = np.concatenate([dz_r, dz_u, dz_n * r], axis=1)
    dh_prev = dh * u + dzh @ Wh.T + handed_on
    return dzx @ Wx.T, dh_prev, x.T @ dzx, h_prev.T @ dzh, dzx.sum(axis=0), dzh.sum(axis=0)


# %% gru_step: a sigmoid for the candidate
def gru_step_forward(x, h_prev, Wx, Wh, bx, bh, mask=None):
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx, 3, axis=1)
    zh_r, zh_u, zh_n = np.split(h_prev @ Wh + bh, 3, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = sigmoid(zx_n + r * zh_n)
    h = (1 - u) * n + u * h_prev
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, Wx, Wh, r, u, n, zh_n, real)


def gru_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n, zh_n, real = cache
    # where(real, h, h_prev)
    handed_on, dh = np.where(real, 0, dh), np.where(real, dh, 0)
    # h = (1 - u) * n + u * h_prev
    dn, du = dh * (1 - u), dh * (h_prev - n)
    # n = tanh(zx_n + r * zh_n)
    dz_n = dn * (1 - n**2)
    dr = dz_n * zh_n
    # r, u = sigmoid(...)
    dz_r, dz_u = dr * r * (1 - r), du * u * (1 - u)
    # zx = x Wx + bx;  zh = h_prev Wh + bh, whose block n is scaled by r
    dzx = np.concatenate([dz_r, dz_u, dz_n], axis=1)
    dzh = np.concatenate([dz_r, dz_u, dz_n * r], axis=1)
    dh_prev = dh * u + dzh @ Wh.T + handed_on
    return dzx @ Wx.T, dh_prev, x.T @ dzx, h_prev.T @ dzh, dzx.sum(axis=0), dzh.sum(axis=0)


# %% gru_step: padding sets the state to zero
def gru_step_forward(x, h_prev, Wx, Wh, bx, bh, mask=None):
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx, 3, axis=1)
    zh_r, zh_u, zh_n = np.split(h_prev @ Wh + bh, 3, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + r * zh_n)
    h = (1 - u) * n + u * h_prev
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, 0), (x, h_prev, Wx, Wh, r, u, n, zh_n, real)


def gru_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n, zh_n, real = cache
    # where(real, h, h_prev)
    handed_on, dh = np.where(real, 0, dh), np.where(real, dh, 0)
    # h = (1 - u) * n + u * h_prev
    dn, du = dh * (1 - u), dh * (h_prev - n)
    # n = tanh(zx_n + r * zh_n)
    dz_n = dn * (1 - n**2)
    dr = dz_n * zh_n
    # r, u = sigmoid(...)
    dz_r, dz_u = dr * r * (1 - r), du * u * (1 - u)
    # zx = x Wx + bx;  zh = h_prev Wh + bh, whose block n is scaled by r
    dzx = np.concatenate([dz_r, dz_u, dz_n], axis=1)
    dzh = np.concatenate([dz_r, dz_u, dz_n * r], axis=1)
    dh_prev = dh * u + dzh @ Wh.T + handed_on
    return dzx @ Wx.T, dh_prev, x.T @ dzx, h_prev.T @ dzh, dzx.sum(axis=0), dzh.sum(axis=0)


# %% gru_step: the mask is ignored
def gru_step_forward(x, h_prev, Wx, Wh, bx, bh, mask=None):
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx, 3, axis=1)
    zh_r, zh_u, zh_n = np.split(h_prev @ Wh + bh, 3, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + r * zh_n)
    h = (1 - u) * n + u * h_prev
    real = np.ones((len(x), 1), dtype=bool)
    return np.where(real, h, h_prev), (x, h_prev, Wx, Wh, r, u, n, zh_n, real)


def gru_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n, zh_n, real = cache
    # where(real, h, h_prev)
    handed_on, dh = np.where(real, 0, dh), np.where(real, dh, 0)
    # h = (1 - u) * n + u * h_prev
    dn, du = dh * (1 - u), dh * (h_prev - n)
    # n = tanh(zx_n + r * zh_n)
    dz_n = dn * (1 - n**2)
    dr = dz_n * zh_n
    # r, u = sigmoid(...)
    dz_r, dz_u = dr * r * (1 - r), du * u * (1 - u)
    # zx = x Wx + bx;  zh = h_prev Wh + bh, whose block n is scaled by r
    dzx = np.concatenate([dz_r, dz_u, dz_n], axis=1)
    dzh = np.concatenate([dz_r, dz_u, dz_n * r], axis=1)
    dh_prev = dh * u + dzh @ Wh.T + handed_on
    return dzx @ Wx.T, dh_prev, x.T @ dzx, h_prev.T @ dzh, dzx.sum(axis=0), dzh.sum(axis=0)


# %% gru_step: dh is not handed on at padding
def gru_step_forward(x, h_prev, Wx, Wh, bx, bh, mask=None):
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx, 3, axis=1)
    zh_r, zh_u, zh_n = np.split(h_prev @ Wh + bh, 3, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + r * zh_n)
    h = (1 - u) * n + u * h_prev
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, Wx, Wh, r, u, n, zh_n, real)


def gru_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n, zh_n, real = cache
    # where(real, h, h_prev)
    dh = np.where(real, dh, 0)
    # h = (1 - u) * n + u * h_prev
    dn, du = dh * (1 - u), dh * (h_prev - n)
    # n = tanh(zx_n + r * zh_n)
    dz_n = dn * (1 - n**2)
    dr = dz_n * zh_n
    # r, u = sigmoid(...)
    dz_r, dz_u = dr * r * (1 - r), du * u * (1 - u)
    # zx = x Wx + bx;  zh = h_prev Wh + bh, whose block n is scaled by r
    dzx = np.concatenate([dz_r, dz_u, dz_n], axis=1)
    dzh = np.concatenate([dz_r, dz_u, dz_n * r], axis=1)
    dh_prev = dh * u + dzh @ Wh.T
    return dzx @ Wx.T, dh_prev, x.T @ dzx, h_prev.T @ dzh, dzx.sum(axis=0), dzh.sum(axis=0)


# %% gru_step: padding adds to the weights
def gru_step_forward(x, h_prev, Wx, Wh, bx, bh, mask=None):
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx, 3, axis=1)
    zh_r, zh_u, zh_n = np.split(h_prev @ Wh + bh, 3, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + r * zh_n)
    h = (1 - u) * n + u * h_prev
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, Wx, Wh, r, u, n, zh_n, real)


def gru_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n, zh_n, real = cache
    # where(real, h, h_prev)
    handed_on = np.where(real, 0, dh)
    # h = (1 - u) * n + u * h_prev
    dn, du = dh * (1 - u), dh * (h_prev - n)
    # n = tanh(zx_n + r * zh_n)
    dz_n = dn * (1 - n**2)
    dr = dz_n * zh_n
    # r, u = sigmoid(...)
    dz_r, dz_u = dr * r * (1 - r), du * u * (1 - u)
    # zx = x Wx + bx;  zh = h_prev Wh + bh, whose block n is scaled by r
    dzx = np.concatenate([dz_r, dz_u, dz_n], axis=1)
    dzh = np.concatenate([dz_r, dz_u, dz_n * r], axis=1)
    dh_prev = dh * u + dzh @ Wh.T + handed_on
    return dzx @ Wx.T, dh_prev, x.T @ dzx, h_prev.T @ dzh, dzx.sum(axis=0), dzh.sum(axis=0)


# %% gru_step: du forgets the old state
def gru_step_forward(x, h_prev, Wx, Wh, bx, bh, mask=None):
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx, 3, axis=1)
    zh_r, zh_u, zh_n = np.split(h_prev @ Wh + bh, 3, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + r * zh_n)
    h = (1 - u) * n + u * h_prev
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, Wx, Wh, r, u, n, zh_n, real)


def gru_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n, zh_n, real = cache
    # where(real, h, h_prev)
    handed_on, dh = np.where(real, 0, dh), np.where(real, dh, 0)
    # h = (1 - u) * n + u * h_prev
    dn, du = dh * (1 - u), dh * -n
    # n = tanh(zx_n + r * zh_n)
    dz_n = dn * (1 - n**2)
    dr = dz_n * zh_n
    # r, u = sigmoid(...)
    dz_r, dz_u = dr * r * (1 - r), du * u * (1 - u)
    # zx = x Wx + bx;  zh = h_prev Wh + bh, whose block n is scaled by r
    dzx = np.concatenate([dz_r, dz_u, dz_n], axis=1)
    dzh = np.concatenate([dz_r, dz_u, dz_n * r], axis=1)
    dh_prev = dh * u + dzh @ Wh.T + handed_on
    return dzx @ Wx.T, dh_prev, x.T @ dzx, h_prev.T @ dzh, dzx.sum(axis=0), dzh.sum(axis=0)


# %% gru_step: du has the wrong sign
def gru_step_forward(x, h_prev, Wx, Wh, bx, bh, mask=None):
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx, 3, axis=1)
    zh_r, zh_u, zh_n = np.split(h_prev @ Wh + bh, 3, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + r * zh_n)
    h = (1 - u) * n + u * h_prev
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, Wx, Wh, r, u, n, zh_n, real)


def gru_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n, zh_n, real = cache
    # where(real, h, h_prev)
    handed_on, dh = np.where(real, 0, dh), np.where(real, dh, 0)
    # h = (1 - u) * n + u * h_prev
    dn, du = dh * (1 - u), dh * (n - h_prev)
    # n = tanh(zx_n + r * zh_n)
    dz_n = dn * (1 - n**2)
    dr = dz_n * zh_n
    # r, u = sigmoid(...)
    dz_r, dz_u = dr * r * (1 - r), du * u * (1 - u)
    # zx = x Wx + bx;  zh = h_prev Wh + bh, whose block n is scaled by r
    dzx = np.concatenate([dz_r, dz_u, dz_n], axis=1)
    dzh = np.concatenate([dz_r, dz_u, dz_n * r], axis=1)
    dh_prev = dh * u + dzh @ Wh.T + handed_on
    return dzx @ Wx.T, dh_prev, x.T @ dzx, h_prev.T @ dzh, dzx.sum(axis=0), dzh.sum(axis=0)


# %% gru_step: dn with u
def gru_step_forward(x, h_prev, Wx, Wh, bx, bh, mask=None):
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx, 3, axis=1)
    zh_r, zh_u, zh_n = np.split(h_prev @ Wh + bh, 3, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + r * zh_n)
    h = (1 - u) * n + u * h_prev
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, Wx, Wh, r, u, n, zh_n, real)


def gru_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n, zh_n, real = cache
    # where(real, h, h_prev)
    handed_on, dh = np.where(real, 0, dh), np.where(real, dh, 0)
    # h = (1 - u) * n + u * h_prev
    dn, du = dh * u, dh * (h_prev - n)
    # n = tanh(zx_n + r * zh_n)
    dz_n = dn * (1 - n**2)
    dr = dz_n * zh_n
    # r, u = sigmoid(...)
    dz_r, dz_u = dr * r * (1 - r), du * u * (1 - u)
    # zx = x Wx + bx;  zh = h_prev Wh + bh, whose block n is scaled by r
    dzx = np.concatenate([dz_r, dz_u, dz_n], axis=1)
    dzh = np.concatenate([dz_r, dz_u, dz_n * r], axis=1)
    dh_prev = dh * u + dzh @ Wh.T + handed_on
    return dzx @ Wx.T, dh_prev, x.T @ dzx, h_prev.T @ dzh, dzx.sum(axis=0), dzh.sum(axis=0)


# %% gru_step: dr with the state itself
def gru_step_forward(x, h_prev, Wx, Wh, bx, bh, mask=None):
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx, 3, axis=1)
    zh_r, zh_u, zh_n = np.split(h_prev @ Wh + bh, 3, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + r * zh_n)
    h = (1 - u) * n + u * h_prev
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, Wx, Wh, r, u, n, zh_n, real)


def gru_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n, zh_n, real = cache
    # where(real, h, h_prev)
    handed_on, dh = np.where(real, 0, dh), np.where(real, dh, 0)
    # h = (1 - u) * n + u * h_prev
    dn, du = dh * (1 - u), dh * (h_prev - n)
    # n = tanh(zx_n + r * zh_n)
    dz_n = dn * (1 - n**2)
    dr = dz_n * h_prev
    # r, u = sigmoid(...)
    dz_r, dz_u = dr * r * (1 - r), du * u * (1 - u)
    # zx = x Wx + bx;  zh = h_prev Wh + bh, whose block n is scaled by r
    dzx = np.concatenate([dz_r, dz_u, dz_n], axis=1)
    dzh = np.concatenate([dz_r, dz_u, dz_n * r], axis=1)
    dh_prev = dh * u + dzh @ Wh.T + handed_on
    return dzx @ Wx.T, dh_prev, x.T @ dzx, h_prev.T @ dzh, dzx.sum(axis=0), dzh.sum(axis=0)


# %% gru_step: dr with r
def gru_step_forward(x, h_prev, Wx, Wh, bx, bh, mask=None):
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx, 3, axis=1)
    zh_r, zh_u, zh_n = np.split(h_prev @ Wh + bh, 3, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + r * zh_n)
    h = (1 - u) * n + u * h_prev
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, Wx, Wh, r, u, n, zh_n, real)


def gru_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n, zh_n, real = cache
    # where(real, h, h_prev)
    handed_on, dh = np.where(real, 0, dh), np.where(real, dh, 0)
    # h = (1 - u) * n + u * h_prev
    dn, du = dh * (1 - u), dh * (h_prev - n)
    # n = tanh(zx_n + r * zh_n)
    dz_n = dn * (1 - n**2)
    dr = dz_n * r
    # r, u = sigmoid(...)
    dz_r, dz_u = dr * r * (1 - r), du * u * (1 - u)
    # zx = x Wx + bx;  zh = h_prev Wh + bh, whose block n is scaled by r
    dzx = np.concatenate([dz_r, dz_u, dz_n], axis=1)
    dzh = np.concatenate([dz_r, dz_u, dz_n * r], axis=1)
    dh_prev = dh * u + dzh @ Wh.T + handed_on
    return dzx @ Wx.T, dh_prev, x.T @ dzx, h_prev.T @ dzh, dzx.sum(axis=0), dzh.sum(axis=0)


# %% gru_step: the derivative of r is that of a tanh
def gru_step_forward(x, h_prev, Wx, Wh, bx, bh, mask=None):
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx, 3, axis=1)
    zh_r, zh_u, zh_n = np.split(h_prev @ Wh + bh, 3, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + r * zh_n)
    h = (1 - u) * n + u * h_prev
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, Wx, Wh, r, u, n, zh_n, real)


def gru_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n, zh_n, real = cache
    # where(real, h, h_prev)
    handed_on, dh = np.where(real, 0, dh), np.where(real, dh, 0)
    # h = (1 - u) * n + u * h_prev
    dn, du = dh * (1 - u), dh * (h_prev - n)
    # n = tanh(zx_n + r * zh_n)
    dz_n = dn * (1 - n**2)
    dr = dz_n * zh_n
    # r, u = sigmoid(...)
    dz_r, dz_u = dr * (1 - r**2), du * u * (1 - u)
    # zx = x Wx + bx;  zh = h_prev Wh + bh, whose block n is scaled by r
    dzx = np.concatenate([dz_r, dz_u, dz_n], axis=1)
    dzh = np.concatenate([dz_r, dz_u, dz_n * r], axis=1)
    dh_prev = dh * u + dzh @ Wh.T + handed_on
    return dzx @ Wx.T, dh_prev, x.T @ dzx, h_prev.T @ dzh, dzx.sum(axis=0), dzh.sum(axis=0)


# %% gru_step: the derivative of the candidate is that of a sigmoid
def gru_step_forward(x, h_prev, Wx, Wh, bx, bh, mask=None):
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx, 3, axis=1)
    zh_r, zh_u, zh_n = np.split(h_prev @ Wh + bh, 3, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + r * zh_n)
    h = (1 - u) * n + u * h_prev
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, Wx, Wh, r, u, n, zh_n, real)


def gru_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n, zh_n, real = cache
    # where(real, h, h_prev)
    handed_on, dh = np.where(real, 0, dh), np.where(real, dh, 0)
    # h = (1 - u) * n + u * h_prev
    dn, du = dh * (1 - u), dh * (h_prev - n)
    # n = tanh(zx_n + r * zh_n)
    dz_n = dn * n * (1 - n)
    dr = dz_n * zh_n
    # r, u = sigmoid(...)
    dz_r, dz_u = dr * r * (1 - r), du * u * (1 - u)
    # zx = x Wx + bx;  zh = h_prev Wh + bh, whose block n is scaled by r
    dzx = np.concatenate([dz_r, dz_u, dz_n], axis=1)
    dzh = np.concatenate([dz_r, dz_u, dz_n * r], axis=1)
    dh_prev = dh * u + dzh @ Wh.T + handed_on
    return dzx @ Wx.T, dh_prev, x.T @ dzx, h_prev.T @ dzh, dzx.sum(axis=0), dzh.sum(axis=0)


# %% gru_step: dh_prev without the direct part
def gru_step_forward(x, h_prev, Wx, Wh, bx, bh, mask=None):
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx, 3, axis=1)
    zh_r, zh_u, zh_n = np.split(h_prev @ Wh + bh, 3, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + r * zh_n)
    h = (1 - u) * n + u * h_prev
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, Wx, Wh, r, u, n, zh_n, real)


def gru_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n, zh_n, real = cache
    # where(real, h, h_prev)
    handed_on, dh = np.where(real, 0, dh), np.where(real, dh, 0)
    # h = (1 - u) * n + u * h_prev
    dn, du = dh * (1 - u), dh * (h_prev - n)
    # n = tanh(zx_n + r * zh_n)
    dz_n = dn * (1 - n**2)
    dr = dz_n * zh_n
    # r, u = sigmoid(...)
    dz_r, dz_u = dr * r * (1 - r), du * u * (1 - u)
    # zx = x Wx + bx;  zh = h_prev Wh + bh, whose block n is scaled by r
    dzx = np.concatenate([dz_r, dz_u, dz_n], axis=1)
    dzh = np.concatenate([dz_r, dz_u, dz_n * r], axis=1)
    dh_prev = dzh @ Wh.T + handed_on
    return dzx @ Wx.T, dh_prev, x.T @ dzx, h_prev.T @ dzh, dzx.sum(axis=0), dzh.sum(axis=0)


# %% gru_step: dh_prev through the candidate only
def gru_step_forward(x, h_prev, Wx, Wh, bx, bh, mask=None):
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx, 3, axis=1)
    zh_r, zh_u, zh_n = np.split(h_prev @ Wh + bh, 3, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + r * zh_n)
    h = (1 - u) * n + u * h_prev
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, Wx, Wh, r, u, n, zh_n, real)


def gru_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n, zh_n, real = cache
    # where(real, h, h_prev)
    handed_on, dh = np.where(real, 0, dh), np.where(real, dh, 0)
    # h = (1 - u) * n + u * h_prev
    dn, du = dh * (1 - u), dh * (h_prev - n)
    # n = tanh(zx_n + r * zh_n)
    dz_n = dn * (1 - n**2)
    dr = dz_n * zh_n
    # r, u = sigmoid(...)
    dz_r, dz_u = dr * r * (1 - r), du * u * (1 - u)
    # zx = x Wx + bx;  zh = h_prev Wh + bh, whose block n is scaled by r
    dzx = np.concatenate([dz_r, dz_u, dz_n], axis=1)
    dzh = np.concatenate([dz_r, dz_u, dz_n * r], axis=1)
    dh_prev = dh * u + np.concatenate([0 * dz_r, 0 * dz_u, dz_n * r], axis=1) @ Wh.T + handed_on
    return dzx @ Wx.T, dh_prev, x.T @ dzx, h_prev.T @ dzh, dzx.sum(axis=0), dzh.sum(axis=0)


# %% gru_step: dWh not scaled by r
def gru_step_forward(x, h_prev, Wx, Wh, bx, bh, mask=None):
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx, 3, axis=1)
    zh_r, zh_u, zh_n = np.split(h_prev @ Wh + bh, 3, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + r * zh_n)
    h = (1 - u) * n + u * h_prev
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, Wx, Wh, r, u, n, zh_n, real)


def gru_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n, zh_n, real = cache
    # where(real, h, h_prev)
    handed_on, dh = np.where(real, 0, dh), np.where(real, dh, 0)
    # h = (1 - u) * n + u * h_prev
    dn, du = dh * (1 - u), dh * (h_prev - n)
    # n = tanh(zx_n + r * zh_n)
    dz_n = dn * (1 - n**2)
    dr = dz_n * zh_n
    # r, u = sigmoid(...)
    dz_r, dz_u = dr * r * (1 - r), du * u * (1 - u)
    # zx = x Wx + bx;  zh = h_prev Wh + bh, whose block n is scaled by r
    dzx = np.concatenate([dz_r, dz_u, dz_n], axis=1)
    dzh = np.concatenate([dz_r, dz_u, dz_n * r], axis=1)
    dh_prev = dh * u + dzh @ Wh.T + handed_on
    return dzx @ Wx.T, dh_prev, x.T @ dzx, h_prev.T @ dzx, dzx.sum(axis=0), dzh.sum(axis=0)


# %% gru_step: dbh equal to dbx
def gru_step_forward(x, h_prev, Wx, Wh, bx, bh, mask=None):
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx, 3, axis=1)
    zh_r, zh_u, zh_n = np.split(h_prev @ Wh + bh, 3, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + r * zh_n)
    h = (1 - u) * n + u * h_prev
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, Wx, Wh, r, u, n, zh_n, real)


def gru_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n, zh_n, real = cache
    # where(real, h, h_prev)
    handed_on, dh = np.where(real, 0, dh), np.where(real, dh, 0)
    # h = (1 - u) * n + u * h_prev
    dn, du = dh * (1 - u), dh * (h_prev - n)
    # n = tanh(zx_n + r * zh_n)
    dz_n = dn * (1 - n**2)
    dr = dz_n * zh_n
    # r, u = sigmoid(...)
    dz_r, dz_u = dr * r * (1 - r), du * u * (1 - u)
    # zx = x Wx + bx;  zh = h_prev Wh + bh, whose block n is scaled by r
    dzx = np.concatenate([dz_r, dz_u, dz_n], axis=1)
    dzh = np.concatenate([dz_r, dz_u, dz_n * r], axis=1)
    dh_prev = dh * u + dzh @ Wh.T + handed_on
    return dzx @ Wx.T, dh_prev, x.T @ dzx, h_prev.T @ dzh, dzx.sum(axis=0), dzx.sum(axis=0)


# %% gru_step: dWx scaled by r
def gru_step_forward(x, h_prev, Wx, Wh, bx, bh, mask=None):
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx, 3, axis=1)
    zh_r, zh_u, zh_n = np.split(h_prev @ Wh + bh, 3, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + r * zh_n)
    h = (1 - u) * n + u * h_prev
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, Wx, Wh, r, u, n, zh_n, real)


def gru_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n, zh_n, real = cache
    # where(real, h, h_prev)
    handed_on, dh = np.where(real, 0, dh), np.where(real, dh, 0)
    # h = (1 - u) * n + u * h_prev
    dn, du = dh * (1 - u), dh * (h_prev - n)
    # n = tanh(zx_n + r * zh_n)
    dz_n = dn * (1 - n**2)
    dr = dz_n * zh_n
    # r, u = sigmoid(...)
    dz_r, dz_u = dr * r * (1 - r), du * u * (1 - u)
    # zx = x Wx + bx;  zh = h_prev Wh + bh, whose block n is scaled by r
    dzx = np.concatenate([dz_r, dz_u, dz_n], axis=1)
    dzh = np.concatenate([dz_r, dz_u, dz_n * r], axis=1)
    dh_prev = dh * u + dzh @ Wh.T + handed_on
    return dzx @ Wx.T, dh_prev, x.T @ dzh, h_prev.T @ dzh, dzx.sum(axis=0), dzh.sum(axis=0)


# %% gru_step: dx from the part of the state
def gru_step_forward(x, h_prev, Wx, Wh, bx, bh, mask=None):
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx, 3, axis=1)
    zh_r, zh_u, zh_n = np.split(h_prev @ Wh + bh, 3, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + r * zh_n)
    h = (1 - u) * n + u * h_prev
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, Wx, Wh, r, u, n, zh_n, real)


def gru_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n, zh_n, real = cache
    # where(real, h, h_prev)
    handed_on, dh = np.where(real, 0, dh), np.where(real, dh, 0)
    # h = (1 - u) * n + u * h_prev
    dn, du = dh * (1 - u), dh * (h_prev - n)
    # n = tanh(zx_n + r * zh_n)
    dz_n = dn * (1 - n**2)
    dr = dz_n * zh_n
    # r, u = sigmoid(...)
    dz_r, dz_u = dr * r * (1 - r), du * u * (1 - u)
    # zx = x Wx + bx;  zh = h_prev Wh + bh, whose block n is scaled by r
    dzx = np.concatenate([dz_r, dz_u, dz_n], axis=1)
    dzh = np.concatenate([dz_r, dz_u, dz_n * r], axis=1)
    dh_prev = dh * u + dzh @ Wh.T + handed_on
    return dzh @ Wx.T, dh_prev, x.T @ dzx, h_prev.T @ dzh, dzx.sum(axis=0), dzh.sum(axis=0)


# %% gru_step: sums are means
def gru_step_forward(x, h_prev, Wx, Wh, bx, bh, mask=None):
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx, 3, axis=1)
    zh_r, zh_u, zh_n = np.split(h_prev @ Wh + bh, 3, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + r * zh_n)
    h = (1 - u) * n + u * h_prev
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, Wx, Wh, r, u, n, zh_n, real)


def gru_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n, zh_n, real = cache
    # where(real, h, h_prev)
    handed_on, dh = np.where(real, 0, dh), np.where(real, dh, 0)
    # h = (1 - u) * n + u * h_prev
    dn, du = dh * (1 - u), dh * (h_prev - n)
    # n = tanh(zx_n + r * zh_n)
    dz_n = dn * (1 - n**2)
    dr = dz_n * zh_n
    # r, u = sigmoid(...)
    dz_r, dz_u = dr * r * (1 - r), du * u * (1 - u)
    # zx = x Wx + bx;  zh = h_prev Wh + bh, whose block n is scaled by r
    dzx = np.concatenate([dz_r, dz_u, dz_n], axis=1)
    dzh = np.concatenate([dz_r, dz_u, dz_n * r], axis=1)
    dh_prev = dh * u + dzh @ Wh.T + handed_on
    return dzx @ Wx.T, dh_prev, x.T @ dzx, h_prev.T @ dzh, dzx.mean(axis=0), dzh.mean(axis=0)


# %% gru: every step starts from h0
def gru_forward(x, h0, Wx, Wh, bx, bh, mask=None):
    h, hs, caches = h0, [], []
    for t in range(len(x)):
        h, cache = gru_step_forward(x[t], h0, Wx, Wh, bx, bh, None if mask is None else mask[t])
        hs.append(h)
        caches.append(cache)
    return (np.stack(hs), h), caches


def gru_backward(dout, cache):
    dhs, dh = dout
    dxs, sums = [], [0, 0, 0, 0]
    for t in reversed(range(len(cache))):
        dh = 0 if dh is None else dh
        dx, dh, *dweights = gru_step_backward(dh if dhs is None else dh + dhs[t], cache[t])
        dxs.append(dx)
        sums = [total + dweight for total, dweight in zip(sums, dweights, strict=True)]
    return np.stack(dxs[::-1]), dh, *sums


# %% gru: the mask is ignored
def gru_forward(x, h0, Wx, Wh, bx, bh, mask=None):
    h, hs, caches = h0, [], []
    for t in range(len(x)):
        h, cache = gru_step_forward(x[t], h, Wx, Wh, bx, bh, None)
        hs.append(h)
        caches.append(cache)
    return (np.stack(hs), h), caches


def gru_backward(dout, cache):
    dhs, dh = dout
    dxs, sums = [], [0, 0, 0, 0]
    for t in reversed(range(len(cache))):
        dh = 0 if dh is None else dh
        dx, dh, *dweights = gru_step_backward(dh if dhs is None else dh + dhs[t], cache[t])
        dxs.append(dx)
        sums = [total + dweight for total, dweight in zip(sums, dweights, strict=True)]
    return np.stack(dxs[::-1]), dh, *sums


# %% gru: the mask of the first step for all
def gru_forward(x, h0, Wx, Wh, bx, bh, mask=None):
    h, hs, caches = h0, [], []
    for t in range(len(x)):
        h, cache = gru_step_forward(x[t], h, Wx, Wh, bx, bh, None if mask is None else mask[0])
        hs.append(h)
        caches.append(cache)
    return (np.stack(hs), h), caches


def gru_backward(dout, cache):
    dhs, dh = dout
    dxs, sums = [], [0, 0, 0, 0]
    for t in reversed(range(len(cache))):
        dh = 0 if dh is None else dh
        dx, dh, *dweights = gru_step_backward(dh if dhs is None else dh + dhs[t], cache[t])
        dxs.append(dx)
        sums = [total + dweight for total, dweight in zip(sums, dweights, strict=True)]
    return np.stack(dxs[::-1]), dh, *sums


# %% gru: the outputs overwrite what comes from later
def gru_forward(x, h0, Wx, Wh, bx, bh, mask=None):
    h, hs, caches = h0, [], []
    for t in range(len(x)):
        h, cache = gru_step_forward(x[t], h, Wx, Wh, bx, bh, None if mask is None else mask[t])
        hs.append(h)
        caches.append(cache)
    return (np.stack(hs), h), caches


def gru_backward(dout, cache):
    dhs, dh = dout
    dxs, sums = [], [0, 0, 0, 0]
    for t in reversed(range(len(cache))):
        dh = 0 if dh is None else dh
        dx, dh, *dweights = gru_step_backward(dh if dhs is None else dhs[t], cache[t])
        dxs.append(dx)
        sums = [total + dweight for total, dweight in zip(sums, dweights, strict=True)]
    return np.stack(dxs[::-1]), dh, *sums


# %% gru: the outputs receive no gradient
def gru_forward(x, h0, Wx, Wh, bx, bh, mask=None):
    h, hs, caches = h0, [], []
    for t in range(len(x)):
        h, cache = gru_step_forward(x[t], h, Wx, Wh, bx, bh, None if mask is None else mask[t])
        hs.append(h)
        caches.append(cache)
    return (np.stack(hs), h), caches


def gru_backward(dout, cache):
    dhs, dh = dout
    dxs, sums = [], [0, 0, 0, 0]
    for t in reversed(range(len(cache))):
        dh = 0 if dh is None else dh
        dx, dh, *dweights = gru_step_backward(dh, cache[t])
        dxs.append(dx)
        sums = [total + dweight for total, dweight in zip(sums, dweights, strict=True)]
    return np.stack(dxs[::-1]), dh, *sums


# %% gru: dh_last is ignored
def gru_forward(x, h0, Wx, Wh, bx, bh, mask=None):
    h, hs, caches = h0, [], []
    for t in range(len(x)):
        h, cache = gru_step_forward(x[t], h, Wx, Wh, bx, bh, None if mask is None else mask[t])
        hs.append(h)
        caches.append(cache)
    return (np.stack(hs), h), caches


def gru_backward(dout, cache):
    dhs, dh = dout[0], None
    dxs, sums = [], [0, 0, 0, 0]
    for t in reversed(range(len(cache))):
        dh = 0 if dh is None else dh
        dx, dh, *dweights = gru_step_backward(dh if dhs is None else dh + dhs[t], cache[t])
        dxs.append(dx)
        sums = [total + dweight for total, dweight in zip(sums, dweights, strict=True)]
    return np.stack(dxs[::-1]), dh, *sums


# %% gru: fails where dhs is None
def gru_forward(x, h0, Wx, Wh, bx, bh, mask=None):
    h, hs, caches = h0, [], []
    for t in range(len(x)):
        h, cache = gru_step_forward(x[t], h, Wx, Wh, bx, bh, None if mask is None else mask[t])
        hs.append(h)
        caches.append(cache)
    return (np.stack(hs), h), caches


def gru_backward(dout, cache):
    dhs, dh = dout
    dxs, sums = [], [0, 0, 0, 0]
    for t in reversed(range(len(cache))):
        dh = 0 if dh is None else dh
        dx, dh, *dweights = gru_step_backward(dh + dhs[t], cache[t])
        dxs.append(dx)
        sums = [total + dweight for total, dweight in zip(sums, dweights, strict=True)]
    return np.stack(dxs[::-1]), dh, *sums


# %% gru: fails where dh_last is None
def gru_forward(x, h0, Wx, Wh, bx, bh, mask=None):
    h, hs, caches = h0, [], []
    for t in range(len(x)):
        h, cache = gru_step_forward(x[t], h, Wx, Wh, bx, bh, None if mask is None else mask[t])
        hs.append(h)
        caches.append(cache)
    return (np.stack(hs), h), caches


def gru_backward(dout, cache):
    dhs, dh = dout
    dxs, sums = [], [0, 0, 0, 0]
    for t in reversed(range(len(cache))):
        dx, dh, *dweights = gru_step_backward(dh if dhs is None else dh + dhs[t], cache[t])
        dxs.append(dx)
        sums = [total + dweight for total, dweight in zip(sums, dweights, strict=True)]
    return np.stack(dxs[::-1]), dh, *sums


# %% gru: dx in the order of backward
def gru_forward(x, h0, Wx, Wh, bx, bh, mask=None):
    h, hs, caches = h0, [], []
    for t in range(len(x)):
        h, cache = gru_step_forward(x[t], h, Wx, Wh, bx, bh, None if mask is None else mask[t])
        hs.append(h)
        caches.append(cache)
    return (np.stack(hs), h), caches


def gru_backward(dout, cache):
    dhs, dh = dout
    dxs, sums = [], [0, 0, 0, 0]
    for t in reversed(range(len(cache))):
        dh = 0 if dh is None else dh
        dx, dh, *dweights = gru_step_backward(dh if dhs is None else dh + dhs[t], cache[t])
        dxs.append(dx)
        sums = [total + dweight for total, dweight in zip(sums, dweights, strict=True)]
    return np.stack(dxs), dh, *sums


# %% gru: weights of the first step only
def gru_forward(x, h0, Wx, Wh, bx, bh, mask=None):
    h, hs, caches = h0, [], []
    for t in range(len(x)):
        h, cache = gru_step_forward(x[t], h, Wx, Wh, bx, bh, None if mask is None else mask[t])
        hs.append(h)
        caches.append(cache)
    return (np.stack(hs), h), caches


def gru_backward(dout, cache):
    dhs, dh = dout
    dxs, sums = [], [0, 0, 0, 0]
    for t in reversed(range(len(cache))):
        dh = 0 if dh is None else dh
        dx, dh, *dweights = gru_step_backward(dh if dhs is None else dh + dhs[t], cache[t])
        dxs.append(dx)
        sums = dweights
    return np.stack(dxs[::-1]), dh, *sums


# %% gru: weights averaged over the steps
def gru_forward(x, h0, Wx, Wh, bx, bh, mask=None):
    h, hs, caches = h0, [], []
    for t in range(len(x)):
        h, cache = gru_step_forward(x[t], h, Wx, Wh, bx, bh, None if mask is None else mask[t])
        hs.append(h)
        caches.append(cache)
    return (np.stack(hs), h), caches


def gru_backward(dout, cache):
    dhs, dh = dout
    dxs, sums = [], [0, 0, 0, 0]
    for t in reversed(range(len(cache))):
        dh = 0 if dh is None else dh
        dx, dh, *dweights = gru_step_backward(dh if dhs is None else dh + dhs[t], cache[t])
        dxs.append(dx)
        sums = [total + dweight for total, dweight in zip(sums, dweights, strict=True)]
    return np.stack(dxs[::-1]), dh, *(total / len(cache) for total in sums)


# %% gru: from the first step to the last in backward
def gru_forward(x, h0, Wx, Wh, bx, bh, mask=None):
    h, hs, caches = h0, [], []
    for t in range(len(x)):
        h, cache = gru_step_forward(x[t], h, Wx, Wh, bx, bh, None if mask is None else mask[t])
        hs.append(h)
        caches.append(cache)
    return (np.stack(hs), h), caches


def gru_backward(dout, cache):
    dhs, dh = dout
    dxs, sums = [], [0, 0, 0, 0]
    for t in range(len(cache)):
        dh = 0 if dh is None else dh
        dx, dh, *dweights = gru_step_backward(dh if dhs is None else dh + dhs[t], cache[t])
        dxs.append(dx)
        sums = [total + dweight for total, dweight in zip(sums, dweights, strict=True)]
    return np.stack(dxs[::-1]), dh, *sums


# %% gru: the gradient stops after one step
def gru_forward(x, h0, Wx, Wh, bx, bh, mask=None):
    h, hs, caches = h0, [], []
    for t in range(len(x)):
        h, cache = gru_step_forward(x[t], h, Wx, Wh, bx, bh, None if mask is None else mask[t])
        hs.append(h)
        caches.append(cache)
    return (np.stack(hs), h), caches


def gru_backward(dout, cache):
    dhs, dh = dout
    dxs, sums = [], [0, 0, 0, 0]
    for t in reversed(range(len(cache))):
        dh = 0 if dh is None else dh
        dx, _, *dweights = gru_step_backward(dh if dhs is None else dh + dhs[t], cache[t])
        dh = None
        dxs.append(dx)
        sums = [total + dweight for total, dweight in zip(sums, dweights, strict=True)]
    return np.stack(dxs[::-1]), _, *sums


# %% gru: dWx and dWh exchanged
def gru_forward(x, h0, Wx, Wh, bx, bh, mask=None):
    h, hs, caches = h0, [], []
    for t in range(len(x)):
        h, cache = gru_step_forward(x[t], h, Wx, Wh, bx, bh, None if mask is None else mask[t])
        hs.append(h)
        caches.append(cache)
    return (np.stack(hs), h), caches


def gru_backward(dout, cache):
    dhs, dh = dout
    dxs, sums = [], [0, 0, 0, 0]
    for t in reversed(range(len(cache))):
        dh = 0 if dh is None else dh
        dx, dh, *dweights = gru_step_backward(dh if dhs is None else dh + dhs[t], cache[t])
        dxs.append(dx)
        sums = [total + dweight for total, dweight in zip(sums, dweights, strict=True)]
    return np.stack(dxs[::-1]), dh, sums[1], sums[0], *sums[2:]


# %% gru: one bias for both
def gru_forward(x, h0, Wx, Wh, bx, bh, mask=None):
    h, hs, caches = h0, [], []
    for t in range(len(x)):
        h, cache = gru_step_forward(x[t], h, Wx, Wh, bx, bh, None if mask is None else mask[t])
        hs.append(h)
        caches.append(cache)
    return (np.stack(hs), h), caches


def gru_backward(dout, cache):
    dhs, dh = dout
    dxs, sums = [], [0, 0, 0, 0]
    for t in reversed(range(len(cache))):
        dh = 0 if dh is None else dh
        dx, dh, *dweights = gru_step_backward(dh if dhs is None else dh + dhs[t], cache[t])
        dxs.append(dx)
        sums = [total + dweight for total, dweight in zip(sums, dweights, strict=True)]
    return np.stack(dxs[::-1]), dh, *sums[:3], sums[2]


# %% gru: the last state is left out
def gru_forward(x, h0, Wx, Wh, bx, bh, mask=None):
    h, hs, caches = h0, [], []
    for t in range(len(x)):
        h, cache = gru_step_forward(x[t], h, Wx, Wh, bx, bh, None if mask is None else mask[t])
        hs.append(h)
        caches.append(cache)
    return np.stack(hs), caches


def gru_backward(dout, cache):
    dhs, dh = dout
    dxs, sums = [], [0, 0, 0, 0]
    for t in reversed(range(len(cache))):
        dh = 0 if dh is None else dh
        dx, dh, *dweights = gru_step_backward(dh if dhs is None else dh + dhs[t], cache[t])
        dxs.append(dx)
        sums = [total + dweight for total, dweight in zip(sums, dweights, strict=True)]
    return np.stack(dxs[::-1]), dh, *sums


# %% gru: backward uses up its cache
def gru_forward(x, h0, Wx, Wh, bx, bh, mask=None):
    h, hs, caches = h0, [], []
    for t in range(len(x)):
        h, cache = gru_step_forward(x[t], h, Wx, Wh, bx, bh, None if mask is None else mask[t])
        hs.append(h)
        caches.append(cache)
    return (np.stack(hs), h), caches


def gru_backward(dout, cache):
    dhs, dh = dout
    dxs, sums = [], [0, 0, 0, 0]
    while cache:
        t, last = len(cache) - 1, cache.pop()
        dh = 0 if dh is None else dh
        dx, dh, *dweights = gru_step_backward(dh if dhs is None else dh + dhs[t], last)
        dxs.append(dx)
        sums = [total + dweight for total, dweight in zip(sums, dweights, strict=True)]
    return np.stack(dxs[::-1]), dh, *sums


# %% reset_before: reset after the product
def before_step_forward(x, h_prev, Wx, Wh, bx, bh):
    H = h_prev.shape[1]
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx + bh, 3, axis=1)
    zh_r, zh_u = np.split(h_prev @ Wh[:, : 2 * H], 2, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + r * (h_prev @ Wh[:, 2 * H :]))
    return (1 - u) * n + u * h_prev, (x, h_prev, Wx, Wh, r, u, n)


def before_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n = cache
    H = h_prev.shape[1]
    # h = (1 - u) * n + u * h_prev
    dz_n = dh * (1 - u) * (1 - n**2)
    dz_u = dh * (h_prev - n) * u * (1 - u)
    # n = tanh(zx_n + (r * h_prev) Wh_n)
    drh = dz_n @ Wh[:, 2 * H :].T
    dz_r = drh * h_prev * r * (1 - r)
    # zx = x Wx + bx + bh, and the products with h_prev
    dz_ru = np.concatenate([dz_r, dz_u], axis=1)
    dz = np.concatenate([dz_ru, dz_n], axis=1)
    dh_prev = dh * u + drh * r + dz_ru @ Wh[:, : 2 * H].T
    dWh = np.concatenate([h_prev.T @ dz_ru, (r * h_prev).T @ dz_n], axis=1)
    return dz @ Wx.T, dh_prev, x.T @ dz, dWh, dz.sum(axis=0), dz.sum(axis=0)


# %% reset_before: the biases of the state are forgotten
def before_step_forward(x, h_prev, Wx, Wh, bx, bh):
    H = h_prev.shape[1]
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx, 3, axis=1)
    zh_r, zh_u = np.split(h_prev @ Wh[:, : 2 * H], 2, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + (r * h_prev) @ Wh[:, 2 * H :])
    return (1 - u) * n + u * h_prev, (x, h_prev, Wx, Wh, r, u, n)


def before_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n = cache
    H = h_prev.shape[1]
    # h = (1 - u) * n + u * h_prev
    dz_n = dh * (1 - u) * (1 - n**2)
    dz_u = dh * (h_prev - n) * u * (1 - u)
    # n = tanh(zx_n + (r * h_prev) Wh_n)
    drh = dz_n @ Wh[:, 2 * H :].T
    dz_r = drh * h_prev * r * (1 - r)
    # zx = x Wx + bx + bh, and the products with h_prev
    dz_ru = np.concatenate([dz_r, dz_u], axis=1)
    dz = np.concatenate([dz_ru, dz_n], axis=1)
    dh_prev = dh * u + drh * r + dz_ru @ Wh[:, : 2 * H].T
    dWh = np.concatenate([h_prev.T @ dz_ru, (r * h_prev).T @ dz_n], axis=1)
    return dz @ Wx.T, dh_prev, x.T @ dz, dWh, dz.sum(axis=0), dz.sum(axis=0)


# %% reset_before: the update gate resets
def before_step_forward(x, h_prev, Wx, Wh, bx, bh):
    H = h_prev.shape[1]
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx + bh, 3, axis=1)
    zh_r, zh_u = np.split(h_prev @ Wh[:, : 2 * H], 2, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + (u * h_prev) @ Wh[:, 2 * H :])
    return (1 - u) * n + u * h_prev, (x, h_prev, Wx, Wh, r, u, n)


def before_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n = cache
    H = h_prev.shape[1]
    # h = (1 - u) * n + u * h_prev
    dz_n = dh * (1 - u) * (1 - n**2)
    dz_u = dh * (h_prev - n) * u * (1 - u)
    # n = tanh(zx_n + (r * h_prev) Wh_n)
    drh = dz_n @ Wh[:, 2 * H :].T
    dz_r = drh * h_prev * r * (1 - r)
    # zx = x Wx + bx + bh, and the products with h_prev
    dz_ru = np.concatenate([dz_r, dz_u], axis=1)
    dz = np.concatenate([dz_ru, dz_n], axis=1)
    dh_prev = dh * u + drh * r + dz_ru @ Wh[:, : 2 * H].T
    dWh = np.concatenate([h_prev.T @ dz_ru, (r * h_prev).T @ dz_n], axis=1)
    return dz @ Wx.T, dh_prev, x.T @ dz, dWh, dz.sum(axis=0), dz.sum(axis=0)


# %% reset_before: dWh without r
def before_step_forward(x, h_prev, Wx, Wh, bx, bh):
    H = h_prev.shape[1]
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx + bh, 3, axis=1)
    zh_r, zh_u = np.split(h_prev @ Wh[:, : 2 * H], 2, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + (r * h_prev) @ Wh[:, 2 * H :])
    return (1 - u) * n + u * h_prev, (x, h_prev, Wx, Wh, r, u, n)


def before_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n = cache
    H = h_prev.shape[1]
    # h = (1 - u) * n + u * h_prev
    dz_n = dh * (1 - u) * (1 - n**2)
    dz_u = dh * (h_prev - n) * u * (1 - u)
    # n = tanh(zx_n + (r * h_prev) Wh_n)
    drh = dz_n @ Wh[:, 2 * H :].T
    dz_r = drh * h_prev * r * (1 - r)
    # zx = x Wx + bx + bh, and the products with h_prev
    dz_ru = np.concatenate([dz_r, dz_u], axis=1)
    dz = np.concatenate([dz_ru, dz_n], axis=1)
    dh_prev = dh * u + drh * r + dz_ru @ Wh[:, : 2 * H].T
    dWh = np.concatenate([h_prev.T @ dz_ru, h_prev.T @ dz_n], axis=1)
    return dz @ Wx.T, dh_prev, x.T @ dz, dWh, dz.sum(axis=0), dz.sum(axis=0)


# %% reset_before: dr with the product
def before_step_forward(x, h_prev, Wx, Wh, bx, bh):
    H = h_prev.shape[1]
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx + bh, 3, axis=1)
    zh_r, zh_u = np.split(h_prev @ Wh[:, : 2 * H], 2, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + (r * h_prev) @ Wh[:, 2 * H :])
    return (1 - u) * n + u * h_prev, (x, h_prev, Wx, Wh, r, u, n)


def before_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n = cache
    H = h_prev.shape[1]
    # h = (1 - u) * n + u * h_prev
    dz_n = dh * (1 - u) * (1 - n**2)
    dz_u = dh * (h_prev - n) * u * (1 - u)
    # n = tanh(zx_n + (r * h_prev) Wh_n)
    drh = dz_n @ Wh[:, 2 * H :].T
    dz_r = dz_n * (h_prev @ Wh[:, 2 * H :]) * r * (1 - r)
    # zx = x Wx + bx + bh, and the products with h_prev
    dz_ru = np.concatenate([dz_r, dz_u], axis=1)
    dz = np.concatenate([dz_ru, dz_n], axis=1)
    dh_prev = dh * u + drh * r + dz_ru @ Wh[:, : 2 * H].T
    dWh = np.concatenate([h_prev.T @ dz_ru, (r * h_prev).T @ dz_n], axis=1)
    return dz @ Wx.T, dh_prev, x.T @ dz, dWh, dz.sum(axis=0), dz.sum(axis=0)


# %% reset_before: dr without the state
def before_step_forward(x, h_prev, Wx, Wh, bx, bh):
    H = h_prev.shape[1]
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx + bh, 3, axis=1)
    zh_r, zh_u = np.split(h_prev @ Wh[:, : 2 * H], 2, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + (r * h_prev) @ Wh[:, 2 * H :])
    return (1 - u) * n + u * h_prev, (x, h_prev, Wx, Wh, r, u, n)


def before_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n = cache
    H = h_prev.shape[1]
    # h = (1 - u) * n + u * h_prev
    dz_n = dh * (1 - u) * (1 - n**2)
    dz_u = dh * (h_prev - n) * u * (1 - u)
    # n = tanh(zx_n + (r * h_prev) Wh_n)
    drh = dz_n @ Wh[:, 2 * H :].T
    dz_r = drh * r * (1 - r)
    # zx = x Wx + bx + bh, and the products with h_prev
    dz_ru = np.concatenate([dz_r, dz_u], axis=1)
    dz = np.concatenate([dz_ru, dz_n], axis=1)
    dh_prev = dh * u + drh * r + dz_ru @ Wh[:, : 2 * H].T
    dWh = np.concatenate([h_prev.T @ dz_ru, (r * h_prev).T @ dz_n], axis=1)
    return dz @ Wx.T, dh_prev, x.T @ dz, dWh, dz.sum(axis=0), dz.sum(axis=0)


# %% reset_before: dh_prev without the way through the candidate
def before_step_forward(x, h_prev, Wx, Wh, bx, bh):
    H = h_prev.shape[1]
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx + bh, 3, axis=1)
    zh_r, zh_u = np.split(h_prev @ Wh[:, : 2 * H], 2, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + (r * h_prev) @ Wh[:, 2 * H :])
    return (1 - u) * n + u * h_prev, (x, h_prev, Wx, Wh, r, u, n)


def before_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n = cache
    H = h_prev.shape[1]
    # h = (1 - u) * n + u * h_prev
    dz_n = dh * (1 - u) * (1 - n**2)
    dz_u = dh * (h_prev - n) * u * (1 - u)
    # n = tanh(zx_n + (r * h_prev) Wh_n)
    drh = dz_n @ Wh[:, 2 * H :].T
    dz_r = drh * h_prev * r * (1 - r)
    # zx = x Wx + bx + bh, and the products with h_prev
    dz_ru = np.concatenate([dz_r, dz_u], axis=1)
    dz = np.concatenate([dz_ru, dz_n], axis=1)
    dh_prev = dh * u + dz_ru @ Wh[:, : 2 * H].T
    dWh = np.concatenate([h_prev.T @ dz_ru, (r * h_prev).T @ dz_n], axis=1)
    return dz @ Wx.T, dh_prev, x.T @ dz, dWh, dz.sum(axis=0), dz.sum(axis=0)


# %% reset_before: dh_prev through the candidate without r
def before_step_forward(x, h_prev, Wx, Wh, bx, bh):
    H = h_prev.shape[1]
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx + bh, 3, axis=1)
    zh_r, zh_u = np.split(h_prev @ Wh[:, : 2 * H], 2, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + (r * h_prev) @ Wh[:, 2 * H :])
    return (1 - u) * n + u * h_prev, (x, h_prev, Wx, Wh, r, u, n)


def before_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n = cache
    H = h_prev.shape[1]
    # h = (1 - u) * n + u * h_prev
    dz_n = dh * (1 - u) * (1 - n**2)
    dz_u = dh * (h_prev - n) * u * (1 - u)
    # n = tanh(zx_n + (r * h_prev) Wh_n)
    drh = dz_n @ Wh[:, 2 * H :].T
    dz_r = drh * h_prev * r * (1 - r)
    # zx = x Wx + bx + bh, and the products with h_prev
    dz_ru = np.concatenate([dz_r, dz_u], axis=1)
    dz = np.concatenate([dz_ru, dz_n], axis=1)
    dh_prev = dh * u + drh + dz_ru @ Wh[:, : 2 * H].T
    dWh = np.concatenate([h_prev.T @ dz_ru, (r * h_prev).T @ dz_n], axis=1)
    return dz @ Wx.T, dh_prev, x.T @ dz, dWh, dz.sum(axis=0), dz.sum(axis=0)


# %% reset_before: dh_prev without the direct part
def before_step_forward(x, h_prev, Wx, Wh, bx, bh):
    H = h_prev.shape[1]
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx + bh, 3, axis=1)
    zh_r, zh_u = np.split(h_prev @ Wh[:, : 2 * H], 2, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + (r * h_prev) @ Wh[:, 2 * H :])
    return (1 - u) * n + u * h_prev, (x, h_prev, Wx, Wh, r, u, n)


def before_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n = cache
    H = h_prev.shape[1]
    # h = (1 - u) * n + u * h_prev
    dz_n = dh * (1 - u) * (1 - n**2)
    dz_u = dh * (h_prev - n) * u * (1 - u)
    # n = tanh(zx_n + (r * h_prev) Wh_n)
    drh = dz_n @ Wh[:, 2 * H :].T
    dz_r = drh * h_prev * r * (1 - r)
    # zx = x Wx + bx + bh, and the products with h_prev
    dz_ru = np.concatenate([dz_r, dz_u], axis=1)
    dz = np.concatenate([dz_ru, dz_n], axis=1)
    dh_prev = drh * r + dz_ru @ Wh[:, : 2 * H].T
    dWh = np.concatenate([h_prev.T @ dz_ru, (r * h_prev).T @ dz_n], axis=1)
    return dz @ Wx.T, dh_prev, x.T @ dz, dWh, dz.sum(axis=0), dz.sum(axis=0)


# %% reset_before: dh_prev without the gates
def before_step_forward(x, h_prev, Wx, Wh, bx, bh):
    H = h_prev.shape[1]
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx + bh, 3, axis=1)
    zh_r, zh_u = np.split(h_prev @ Wh[:, : 2 * H], 2, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + (r * h_prev) @ Wh[:, 2 * H :])
    return (1 - u) * n + u * h_prev, (x, h_prev, Wx, Wh, r, u, n)


def before_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n = cache
    H = h_prev.shape[1]
    # h = (1 - u) * n + u * h_prev
    dz_n = dh * (1 - u) * (1 - n**2)
    dz_u = dh * (h_prev - n) * u * (1 - u)
    # n = tanh(zx_n + (r * h_prev) Wh_n)
    drh = dz_n @ Wh[:, 2 * H :].T
    dz_r = drh * h_prev * r * (1 - r)
    # zx = x Wx + bx + bh, and the products with h_prev
    dz_ru = np.concatenate([dz_r, dz_u], axis=1)
    dz = np.concatenate([dz_ru, dz_n], axis=1)
    dh_prev = dh * u + drh * r
    dWh = np.concatenate([h_prev.T @ dz_ru, (r * h_prev).T @ dz_n], axis=1)
    return dz @ Wx.T, dh_prev, x.T @ dz, dWh, dz.sum(axis=0), dz.sum(axis=0)


# %% reset_before: dbh scaled by r
def before_step_forward(x, h_prev, Wx, Wh, bx, bh):
    H = h_prev.shape[1]
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx + bh, 3, axis=1)
    zh_r, zh_u = np.split(h_prev @ Wh[:, : 2 * H], 2, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + (r * h_prev) @ Wh[:, 2 * H :])
    return (1 - u) * n + u * h_prev, (x, h_prev, Wx, Wh, r, u, n)


def before_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n = cache
    H = h_prev.shape[1]
    # h = (1 - u) * n + u * h_prev
    dz_n = dh * (1 - u) * (1 - n**2)
    dz_u = dh * (h_prev - n) * u * (1 - u)
    # n = tanh(zx_n + (r * h_prev) Wh_n)
    drh = dz_n @ Wh[:, 2 * H :].T
    dz_r = drh * h_prev * r * (1 - r)
    # zx = x Wx + bx + bh, and the products with h_prev
    dz_ru = np.concatenate([dz_r, dz_u], axis=1)
    dz = np.concatenate([dz_ru, dz_n], axis=1)
    dh_prev = dh * u + drh * r + dz_ru @ Wh[:, : 2 * H].T
    dWh = np.concatenate([h_prev.T @ dz_ru, (r * h_prev).T @ dz_n], axis=1)
    return (
        dz @ Wx.T,
        dh_prev,
        x.T @ dz,
        dWh,
        dz.sum(axis=0),
        np.concatenate([dz_ru, dz_n * r], axis=1).sum(axis=0),
    )


# %% reset_before: du has the wrong sign
def before_step_forward(x, h_prev, Wx, Wh, bx, bh):
    H = h_prev.shape[1]
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx + bh, 3, axis=1)
    zh_r, zh_u = np.split(h_prev @ Wh[:, : 2 * H], 2, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + (r * h_prev) @ Wh[:, 2 * H :])
    return (1 - u) * n + u * h_prev, (x, h_prev, Wx, Wh, r, u, n)


def before_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n = cache
    H = h_prev.shape[1]
    # h = (1 - u) * n + u * h_prev
    dz_n = dh * (1 - u) * (1 - n**2)
    dz_u = dh * (n - h_prev) * u * (1 - u)
    # n = tanh(zx_n + (r * h_prev) Wh_n)
    drh = dz_n @ Wh[:, 2 * H :].T
    dz_r = drh * h_prev * r * (1 - r)
    # zx = x Wx + bx + bh, and the products with h_prev
    dz_ru = np.concatenate([dz_r, dz_u], axis=1)
    dz = np.concatenate([dz_ru, dz_n], axis=1)
    dh_prev = dh * u + drh * r + dz_ru @ Wh[:, : 2 * H].T
    dWh = np.concatenate([h_prev.T @ dz_ru, (r * h_prev).T @ dz_n], axis=1)
    return dz @ Wx.T, dh_prev, x.T @ dz, dWh, dz.sum(axis=0), dz.sum(axis=0)


# %% reset_before: Wh not transposed
def before_step_forward(x, h_prev, Wx, Wh, bx, bh):
    H = h_prev.shape[1]
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx + bh, 3, axis=1)
    zh_r, zh_u = np.split(h_prev @ Wh[:, : 2 * H], 2, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + (r * h_prev) @ Wh[:, 2 * H :])
    return (1 - u) * n + u * h_prev, (x, h_prev, Wx, Wh, r, u, n)


def before_step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n = cache
    H = h_prev.shape[1]
    # h = (1 - u) * n + u * h_prev
    dz_n = dh * (1 - u) * (1 - n**2)
    dz_u = dh * (h_prev - n) * u * (1 - u)
    # n = tanh(zx_n + (r * h_prev) Wh_n)
    drh = dz_n @ Wh[:, 2 * H :]
    dz_r = drh * h_prev * r * (1 - r)
    # zx = x Wx + bx + bh, and the products with h_prev
    dz_ru = np.concatenate([dz_r, dz_u], axis=1)
    dz = np.concatenate([dz_ru, dz_n], axis=1)
    dh_prev = dh * u + drh * r + dz_ru @ Wh[:, : 2 * H].T
    dWh = np.concatenate([h_prev.T @ dz_ru, (r * h_prev).T @ dz_n], axis=1)
    return dz @ Wx.T, dh_prev, x.T @ dz, dWh, dz.sum(axis=0), dz.sum(axis=0)


# %% reset_before: backward takes the cache of the last forward pass, whichever that was
KEPT = {}


def before_step_forward(x, h_prev, Wx, Wh, bx, bh):
    H = h_prev.shape[1]
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx + bh, 3, axis=1)
    zh_r, zh_u = np.split(h_prev @ Wh[:, :2 * H], 2, axis=1)
    r, u = (sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u))
    n = np.tanh(zx_n + r * h_prev @ Wh[:, 2 * H:])
    KEPT["cache"] = (x, h_prev, Wx, Wh, r, u, n)
    return ((1 - u) * n + u * h_prev, None)


def before_step_backward(dh, cache):
    cache = KEPT["cache"]
    x, h_prev, Wx, Wh, r, u, n = cache
    H = h_prev.shape[1]
    dz_n = dh * (1 - u) * (1 - n ** 2)
    dz_u = dh * (h_prev - n) * u * (1 - u)
    drh = dz_n @ Wh[:, 2 * H:].T
    dz_r = drh * h_prev * r * (1 - r)
    dz_ru = np.concatenate([dz_r, dz_u], axis=1)
    dz = np.concatenate([dz_ru, dz_n], axis=1)
    dh_prev = dh * u + drh * r + dz_ru @ Wh[:, :2 * H].T
    dWh = np.concatenate([h_prev.T @ dz_ru, (r * h_prev).T @ dz_n], axis=1)
    return (dz @ Wx.T, dh_prev, x.T @ dz, dWh, dz.sum(axis=0), dz.sum(axis=0))
