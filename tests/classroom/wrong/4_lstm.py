# %% lstm_step: the gates lie in the order i, f, g, o
def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    # z = x Wx + h_prev Wh + b
    z_i, z_f, z_g, z_o = np.split(x @ Wx + h_prev @ Wh + b, 4, axis=1)
    i, f, o, g = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o), np.tanh(z_g)
    # c = f * c_prev + i * g;  h = o * tanh(c)
    c = f * c_prev + i * g
    tanh_c = np.tanh(c)
    h = o * tanh_c
    real = None if mask is None else mask[:, None]
    if mask is not None:
        h, c = np.where(real, h, h_prev), np.where(real, c, c_prev)
    return (h, c), (x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c)


def lstm_step_backward(dout, cache):
    x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c = cache
    dh, dc = (np.zeros_like(h_prev) if d is None else d for d in dout)
    dh_carried = dc_carried = 0
    if real is not None:
        dh_carried, dc_carried = np.where(real, 0, dh), np.where(real, 0, dc)
        dh, dc = np.where(real, dh, 0), np.where(real, dc, 0)
    # h = o * tanh(c)
    do = dh * tanh_c
    dc = dc + dh * o * (1 - tanh_c**2)
    # c = f * c_prev + i * g
    df, dc_prev = dc * c_prev, dc * f
    di, dg = dc * g, dc * i
    # i, f, o = sigmoid(...);  g = tanh(z_g)
    dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)], axis=1)
    # z = x Wx + h_prev Wh + b
    dx, dWx = dz @ Wx.T, x.T @ dz
    dh_prev, dWh = dz @ Wh.T, h_prev.T @ dz
    return dx, dh_prev + dh_carried, dc_prev + dc_carried, dWx, dWh, dz.sum(axis=0)


# %% lstm_step: no bias
def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    # z = x Wx + h_prev Wh + b
    z_i, z_f, z_o, z_g = np.split(x @ Wx + h_prev @ Wh, 4, axis=1)
    i, f, o, g = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o), np.tanh(z_g)
    # c = f * c_prev + i * g;  h = o * tanh(c)
    c = f * c_prev + i * g
    tanh_c = np.tanh(c)
    h = o * tanh_c
    real = None if mask is None else mask[:, None]
    if mask is not None:
        h, c = np.where(real, h, h_prev), np.where(real, c, c_prev)
    return (h, c), (x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c)


def lstm_step_backward(dout, cache):
    x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c = cache
    dh, dc = (np.zeros_like(h_prev) if d is None else d for d in dout)
    dh_carried = dc_carried = 0
    if real is not None:
        dh_carried, dc_carried = np.where(real, 0, dh), np.where(real, 0, dc)
        dh, dc = np.where(real, dh, 0), np.where(real, dc, 0)
    # h = o * tanh(c)
    do = dh * tanh_c
    dc = dc + dh * o * (1 - tanh_c**2)
    # c = f * c_prev + i * g
    df, dc_prev = dc * c_prev, dc * f
    di, dg = dc * g, dc * i
    # i, f, o = sigmoid(...);  g = tanh(z_g)
    dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)], axis=1)
    # z = x Wx + h_prev Wh + b
    dx, dWx = dz @ Wx.T, x.T @ dz
    dh_prev, dWh = dz @ Wh.T, h_prev.T @ dz
    return dx, dh_prev + dh_carried, dc_prev + dc_carried, dWx, dWh, dz.sum(axis=0)


# %% lstm_step: h without the tanh of c
def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    # z = x Wx + h_prev Wh + b
    z_i, z_f, z_o, z_g = np.split(x @ Wx + h_prev @ Wh + b, 4, axis=1)
    i, f, o, g = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o), np.tanh(z_g)
    # c = f * c_prev + i * g;  h = o * tanh(c)
    c = f * c_prev + i * g
    tanh_c = np.tanh(c)
    h = o * c
    real = None if mask is None else mask[:, None]
    if mask is not None:
        h, c = np.where(real, h, h_prev), np.where(real, c, c_prev)
    return (h, c), (x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c)


def lstm_step_backward(dout, cache):
    x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c = cache
    dh, dc = (np.zeros_like(h_prev) if d is None else d for d in dout)
    dh_carried = dc_carried = 0
    if real is not None:
        dh_carried, dc_carried = np.where(real, 0, dh), np.where(real, 0, dc)
        dh, dc = np.where(real, dh, 0), np.where(real, dc, 0)
    # h = o * tanh(c)
    do = dh * np.arctanh(tanh_c)
    dc = dc + dh * o
    # c = f * c_prev + i * g
    df, dc_prev = dc * c_prev, dc * f
    di, dg = dc * g, dc * i
    # i, f, o = sigmoid(...);  g = tanh(z_g)
    dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)], axis=1)
    # z = x Wx + h_prev Wh + b
    dx, dWx = dz @ Wx.T, x.T @ dz
    dh_prev, dWh = dz @ Wh.T, h_prev.T @ dz
    return dx, dh_prev + dh_carried, dc_prev + dc_carried, dWx, dWh, dz.sum(axis=0)


# %% lstm_step: the mask is forgotten, forward and backward
def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    # z = x Wx + h_prev Wh + b
    z_i, z_f, z_o, z_g = np.split(x @ Wx + h_prev @ Wh + b, 4, axis=1)
    i, f, o, g = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o), np.tanh(z_g)
    # c = f * c_prev + i * g;  h = o * tanh(c)
    c = f * c_prev + i * g
    tanh_c = np.tanh(c)
    h = o * tanh_c
    real = None
    return (h, c), (x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c)


def lstm_step_backward(dout, cache):
    x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c = cache
    dh, dc = (np.zeros_like(h_prev) if d is None else d for d in dout)
    dh_carried = dc_carried = 0
    if real is not None:
        dh_carried, dc_carried = np.where(real, 0, dh), np.where(real, 0, dc)
        dh, dc = np.where(real, dh, 0), np.where(real, dc, 0)
    # h = o * tanh(c)
    do = dh * tanh_c
    dc = dc + dh * o * (1 - tanh_c**2)
    # c = f * c_prev + i * g
    df, dc_prev = dc * c_prev, dc * f
    di, dg = dc * g, dc * i
    # i, f, o = sigmoid(...);  g = tanh(z_g)
    dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)], axis=1)
    # z = x Wx + h_prev Wh + b
    dx, dWx = dz @ Wx.T, x.T @ dz
    dh_prev, dWh = dz @ Wh.T, h_prev.T @ dz
    return dx, dh_prev + dh_carried, dc_prev + dc_carried, dWx, dWh, dz.sum(axis=0)


# %% lstm_step: padding gives zeros, where it should hand on
def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    # z = x Wx + h_prev Wh + b
    z_i, z_f, z_o, z_g = np.split(x @ Wx + h_prev @ Wh + b, 4, axis=1)
    i, f, o, g = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o), np.tanh(z_g)
    # c = f * c_prev + i * g;  h = o * tanh(c)
    c = f * c_prev + i * g
    tanh_c = np.tanh(c)
    h = o * tanh_c
    real = None if mask is None else mask[:, None]
    if mask is not None:
        h, c = np.where(real, h, 0), np.where(real, c, 0)
    return (h, c), (x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c)


def lstm_step_backward(dout, cache):
    x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c = cache
    dh, dc = (np.zeros_like(h_prev) if d is None else d for d in dout)
    dh_carried = dc_carried = 0
    if real is not None:
        dh, dc = np.where(real, dh, 0), np.where(real, dc, 0)
    # h = o * tanh(c)
    do = dh * tanh_c
    dc = dc + dh * o * (1 - tanh_c**2)
    # c = f * c_prev + i * g
    df, dc_prev = dc * c_prev, dc * f
    di, dg = dc * g, dc * i
    # i, f, o = sigmoid(...);  g = tanh(z_g)
    dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)], axis=1)
    # z = x Wx + h_prev Wh + b
    dx, dWx = dz @ Wx.T, x.T @ dz
    dh_prev, dWh = dz @ Wh.T, h_prev.T @ dz
    return dx, dh_prev + dh_carried, dc_prev + dc_carried, dWx, dWh, dz.sum(axis=0)


# %% lstm_step: the gradients of padding are not handed on
def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    # z = x Wx + h_prev Wh + b
    z_i, z_f, z_o, z_g = np.split(x @ Wx + h_prev @ Wh + b, 4, axis=1)
    i, f, o, g = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o), np.tanh(z_g)
    # c = f * c_prev + i * g;  h = o * tanh(c)
    c = f * c_prev + i * g
    tanh_c = np.tanh(c)
    h = o * tanh_c
    real = None if mask is None else mask[:, None]
    if mask is not None:
        h, c = np.where(real, h, h_prev), np.where(real, c, c_prev)
    return (h, c), (x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c)


def lstm_step_backward(dout, cache):
    x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c = cache
    dh, dc = (np.zeros_like(h_prev) if d is None else d for d in dout)
    dh_carried = dc_carried = 0
    if real is not None:
        dh, dc = np.where(real, dh, 0), np.where(real, dc, 0)
    # h = o * tanh(c)
    do = dh * tanh_c
    dc = dc + dh * o * (1 - tanh_c**2)
    # c = f * c_prev + i * g
    df, dc_prev = dc * c_prev, dc * f
    di, dg = dc * g, dc * i
    # i, f, o = sigmoid(...);  g = tanh(z_g)
    dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)], axis=1)
    # z = x Wx + h_prev Wh + b
    dx, dWx = dz @ Wx.T, x.T @ dz
    dh_prev, dWh = dz @ Wh.T, h_prev.T @ dz
    return dx, dh_prev + dh_carried, dc_prev + dc_carried, dWx, dWh, dz.sum(axis=0)


# %% lstm_step: padding gives its gradients to the weights too
def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    # z = x Wx + h_prev Wh + b
    z_i, z_f, z_o, z_g = np.split(x @ Wx + h_prev @ Wh + b, 4, axis=1)
    i, f, o, g = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o), np.tanh(z_g)
    # c = f * c_prev + i * g;  h = o * tanh(c)
    c = f * c_prev + i * g
    tanh_c = np.tanh(c)
    h = o * tanh_c
    real = None if mask is None else mask[:, None]
    if mask is not None:
        h, c = np.where(real, h, h_prev), np.where(real, c, c_prev)
    return (h, c), (x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c)


def lstm_step_backward(dout, cache):
    x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c = cache
    dh, dc = (np.zeros_like(h_prev) if d is None else d for d in dout)
    dh_carried = dc_carried = 0
    if real is not None:
        dh_carried, dc_carried = np.where(real, 0, dh), np.where(real, 0, dc)
    # h = o * tanh(c)
    do = dh * tanh_c
    dc = dc + dh * o * (1 - tanh_c**2)
    # c = f * c_prev + i * g
    df, dc_prev = dc * c_prev, dc * f
    di, dg = dc * g, dc * i
    # i, f, o = sigmoid(...);  g = tanh(z_g)
    dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)], axis=1)
    # z = x Wx + h_prev Wh + b
    dx, dWx = dz @ Wx.T, x.T @ dz
    dh_prev, dWh = dz @ Wh.T, h_prev.T @ dz
    return dx, dh_prev + dh_carried, dc_prev + dc_carried, dWx, dWh, dz.sum(axis=0)


# %% lstm_step: c reaches the loss only through the next step
def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    # z = x Wx + h_prev Wh + b
    z_i, z_f, z_o, z_g = np.split(x @ Wx + h_prev @ Wh + b, 4, axis=1)
    i, f, o, g = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o), np.tanh(z_g)
    # c = f * c_prev + i * g;  h = o * tanh(c)
    c = f * c_prev + i * g
    tanh_c = np.tanh(c)
    h = o * tanh_c
    real = None if mask is None else mask[:, None]
    if mask is not None:
        h, c = np.where(real, h, h_prev), np.where(real, c, c_prev)
    return (h, c), (x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c)


def lstm_step_backward(dout, cache):
    x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c = cache
    dh, dc = (np.zeros_like(h_prev) if d is None else d for d in dout)
    dh_carried = dc_carried = 0
    if real is not None:
        dh_carried, dc_carried = np.where(real, 0, dh), np.where(real, 0, dc)
        dh, dc = np.where(real, dh, 0), np.where(real, dc, 0)
    # h = o * tanh(c)
    do = dh * tanh_c
    # c = f * c_prev + i * g
    df, dc_prev = dc * c_prev, dc * f
    di, dg = dc * g, dc * i
    # i, f, o = sigmoid(...);  g = tanh(z_g)
    dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)], axis=1)
    # z = x Wx + h_prev Wh + b
    dx, dWx = dz @ Wx.T, x.T @ dz
    dh_prev, dWh = dz @ Wh.T, h_prev.T @ dz
    return dx, dh_prev + dh_carried, dc_prev + dc_carried, dWx, dWh, dz.sum(axis=0)


# %% lstm_step: c reaches the loss only through h
def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    # z = x Wx + h_prev Wh + b
    z_i, z_f, z_o, z_g = np.split(x @ Wx + h_prev @ Wh + b, 4, axis=1)
    i, f, o, g = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o), np.tanh(z_g)
    # c = f * c_prev + i * g;  h = o * tanh(c)
    c = f * c_prev + i * g
    tanh_c = np.tanh(c)
    h = o * tanh_c
    real = None if mask is None else mask[:, None]
    if mask is not None:
        h, c = np.where(real, h, h_prev), np.where(real, c, c_prev)
    return (h, c), (x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c)


def lstm_step_backward(dout, cache):
    x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c = cache
    dh, dc = (np.zeros_like(h_prev) if d is None else d for d in dout)
    dh_carried = dc_carried = 0
    if real is not None:
        dh_carried, dc_carried = np.where(real, 0, dh), np.where(real, 0, dc)
        dh, dc = np.where(real, dh, 0), np.where(real, dc, 0)
    # h = o * tanh(c)
    do = dh * tanh_c
    dc = dh * o * (1 - tanh_c**2)
    # c = f * c_prev + i * g
    df, dc_prev = dc * c_prev, dc * f
    di, dg = dc * g, dc * i
    # i, f, o = sigmoid(...);  g = tanh(z_g)
    dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)], axis=1)
    # z = x Wx + h_prev Wh + b
    dx, dWx = dz @ Wx.T, x.T @ dz
    dh_prev, dWh = dz @ Wh.T, h_prev.T @ dz
    return dx, dh_prev + dh_carried, dc_prev + dc_carried, dWx, dWh, dz.sum(axis=0)


# %% lstm_step: the slope of tanh from c
def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    # z = x Wx + h_prev Wh + b
    z_i, z_f, z_o, z_g = np.split(x @ Wx + h_prev @ Wh + b, 4, axis=1)
    i, f, o, g = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o), np.tanh(z_g)
    # c = f * c_prev + i * g;  h = o * tanh(c)
    c = f * c_prev + i * g
    tanh_c = np.tanh(c)
    h = o * tanh_c
    real = None if mask is None else mask[:, None]
    if mask is not None:
        h, c = np.where(real, h, h_prev), np.where(real, c, c_prev)
    return (h, c), (x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c)


def lstm_step_backward(dout, cache):
    x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c = cache
    dh, dc = (np.zeros_like(h_prev) if d is None else d for d in dout)
    dh_carried = dc_carried = 0
    if real is not None:
        dh_carried, dc_carried = np.where(real, 0, dh), np.where(real, 0, dc)
        dh, dc = np.where(real, dh, 0), np.where(real, dc, 0)
    # h = o * tanh(c)
    do = dh * tanh_c
    dc = dc + dh * o * (1 - np.arctanh(tanh_c) ** 2)
    # c = f * c_prev + i * g
    df, dc_prev = dc * c_prev, dc * f
    di, dg = dc * g, dc * i
    # i, f, o = sigmoid(...);  g = tanh(z_g)
    dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)], axis=1)
    # z = x Wx + h_prev Wh + b
    dx, dWx = dz @ Wx.T, x.T @ dz
    dh_prev, dWh = dz @ Wh.T, h_prev.T @ dz
    return dx, dh_prev + dh_carried, dc_prev + dc_carried, dWx, dWh, dz.sum(axis=0)


# %% lstm_step: df uses the new cell state
def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    # z = x Wx + h_prev Wh + b
    z_i, z_f, z_o, z_g = np.split(x @ Wx + h_prev @ Wh + b, 4, axis=1)
    i, f, o, g = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o), np.tanh(z_g)
    # c = f * c_prev + i * g;  h = o * tanh(c)
    c = f * c_prev + i * g
    tanh_c = np.tanh(c)
    h = o * tanh_c
    real = None if mask is None else mask[:, None]
    if mask is not None:
        h, c = np.where(real, h, h_prev), np.where(real, c, c_prev)
    return (h, c), (x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c)


def lstm_step_backward(dout, cache):
    x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c = cache
    dh, dc = (np.zeros_like(h_prev) if d is None else d for d in dout)
    dh_carried = dc_carried = 0
    if real is not None:
        dh_carried, dc_carried = np.where(real, 0, dh), np.where(real, 0, dc)
        dh, dc = np.where(real, dh, 0), np.where(real, dc, 0)
    # h = o * tanh(c)
    do = dh * tanh_c
    dc = dc + dh * o * (1 - tanh_c**2)
    # c = f * c_prev + i * g
    df, dc_prev = dc * (f * c_prev + i * g), dc * f
    di, dg = dc * g, dc * i
    # i, f, o = sigmoid(...);  g = tanh(z_g)
    dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)], axis=1)
    # z = x Wx + h_prev Wh + b
    dx, dWx = dz @ Wx.T, x.T @ dz
    dh_prev, dWh = dz @ Wh.T, h_prev.T @ dz
    return dx, dh_prev + dh_carried, dc_prev + dc_carried, dWx, dWh, dz.sum(axis=0)


# %% lstm_step: di and dg are exchanged
def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    # z = x Wx + h_prev Wh + b
    z_i, z_f, z_o, z_g = np.split(x @ Wx + h_prev @ Wh + b, 4, axis=1)
    i, f, o, g = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o), np.tanh(z_g)
    # c = f * c_prev + i * g;  h = o * tanh(c)
    c = f * c_prev + i * g
    tanh_c = np.tanh(c)
    h = o * tanh_c
    real = None if mask is None else mask[:, None]
    if mask is not None:
        h, c = np.where(real, h, h_prev), np.where(real, c, c_prev)
    return (h, c), (x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c)


def lstm_step_backward(dout, cache):
    x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c = cache
    dh, dc = (np.zeros_like(h_prev) if d is None else d for d in dout)
    dh_carried = dc_carried = 0
    if real is not None:
        dh_carried, dc_carried = np.where(real, 0, dh), np.where(real, 0, dc)
        dh, dc = np.where(real, dh, 0), np.where(real, dc, 0)
    # h = o * tanh(c)
    do = dh * tanh_c
    dc = dc + dh * o * (1 - tanh_c**2)
    # c = f * c_prev + i * g
    df, dc_prev = dc * c_prev, dc * f
    di, dg = dc * i, dc * g
    # i, f, o = sigmoid(...);  g = tanh(z_g)
    dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)], axis=1)
    # z = x Wx + h_prev Wh + b
    dx, dWx = dz @ Wx.T, x.T @ dz
    dh_prev, dWh = dz @ Wh.T, h_prev.T @ dz
    return dx, dh_prev + dh_carried, dc_prev + dc_carried, dWx, dWh, dz.sum(axis=0)


# %% lstm_step: the candidate has the slope of a sigmoid
def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    # z = x Wx + h_prev Wh + b
    z_i, z_f, z_o, z_g = np.split(x @ Wx + h_prev @ Wh + b, 4, axis=1)
    i, f, o, g = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o), np.tanh(z_g)
    # c = f * c_prev + i * g;  h = o * tanh(c)
    c = f * c_prev + i * g
    tanh_c = np.tanh(c)
    h = o * tanh_c
    real = None if mask is None else mask[:, None]
    if mask is not None:
        h, c = np.where(real, h, h_prev), np.where(real, c, c_prev)
    return (h, c), (x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c)


def lstm_step_backward(dout, cache):
    x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c = cache
    dh, dc = (np.zeros_like(h_prev) if d is None else d for d in dout)
    dh_carried = dc_carried = 0
    if real is not None:
        dh_carried, dc_carried = np.where(real, 0, dh), np.where(real, 0, dc)
        dh, dc = np.where(real, dh, 0), np.where(real, dc, 0)
    # h = o * tanh(c)
    do = dh * tanh_c
    dc = dc + dh * o * (1 - tanh_c**2)
    # c = f * c_prev + i * g
    df, dc_prev = dc * c_prev, dc * f
    di, dg = dc * g, dc * i
    # i, f, o = sigmoid(...);  g = tanh(z_g)
    dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * g * (1 - g)], axis=1)
    # z = x Wx + h_prev Wh + b
    dx, dWx = dz @ Wx.T, x.T @ dz
    dh_prev, dWh = dz @ Wh.T, h_prev.T @ dz
    return dx, dh_prev + dh_carried, dc_prev + dc_carried, dWx, dWh, dz.sum(axis=0)


# %% lstm_step: dh_prev through Wx's place: Wh is not transposed
def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    # z = x Wx + h_prev Wh + b
    z_i, z_f, z_o, z_g = np.split(x @ Wx + h_prev @ Wh + b, 4, axis=1)
    i, f, o, g = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o), np.tanh(z_g)
    # c = f * c_prev + i * g;  h = o * tanh(c)
    c = f * c_prev + i * g
    tanh_c = np.tanh(c)
    h = o * tanh_c
    real = None if mask is None else mask[:, None]
    if mask is not None:
        h, c = np.where(real, h, h_prev), np.where(real, c, c_prev)
    return (h, c), (x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c)


def lstm_step_backward(dout, cache):
    x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c = cache
    dh, dc = (np.zeros_like(h_prev) if d is None else d for d in dout)
    dh_carried = dc_carried = 0
    if real is not None:
        dh_carried, dc_carried = np.where(real, 0, dh), np.where(real, 0, dc)
        dh, dc = np.where(real, dh, 0), np.where(real, dc, 0)
    # h = o * tanh(c)
    do = dh * tanh_c
    dc = dc + dh * o * (1 - tanh_c**2)
    # c = f * c_prev + i * g
    df, dc_prev = dc * c_prev, dc * f
    di, dg = dc * g, dc * i
    # i, f, o = sigmoid(...);  g = tanh(z_g)
    dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)], axis=1)
    # z = x Wx + h_prev Wh + b
    dx, dWx = dz @ Wx.T, x.T @ dz
    dh_prev, dWh = dz[:, : len(Wh)] @ Wh[:, : len(Wh)], h_prev.T @ dz
    return dx, dh_prev + dh_carried, dc_prev + dc_carried, dWx, dWh, dz.sum(axis=0)


# %% lstm_step: db is a mean
def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    # z = x Wx + h_prev Wh + b
    z_i, z_f, z_o, z_g = np.split(x @ Wx + h_prev @ Wh + b, 4, axis=1)
    i, f, o, g = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o), np.tanh(z_g)
    # c = f * c_prev + i * g;  h = o * tanh(c)
    c = f * c_prev + i * g
    tanh_c = np.tanh(c)
    h = o * tanh_c
    real = None if mask is None else mask[:, None]
    if mask is not None:
        h, c = np.where(real, h, h_prev), np.where(real, c, c_prev)
    return (h, c), (x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c)


def lstm_step_backward(dout, cache):
    x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c = cache
    dh, dc = (np.zeros_like(h_prev) if d is None else d for d in dout)
    dh_carried = dc_carried = 0
    if real is not None:
        dh_carried, dc_carried = np.where(real, 0, dh), np.where(real, 0, dc)
        dh, dc = np.where(real, dh, 0), np.where(real, dc, 0)
    # h = o * tanh(c)
    do = dh * tanh_c
    dc = dc + dh * o * (1 - tanh_c**2)
    # c = f * c_prev + i * g
    df, dc_prev = dc * c_prev, dc * f
    di, dg = dc * g, dc * i
    # i, f, o = sigmoid(...);  g = tanh(z_g)
    dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)], axis=1)
    # z = x Wx + h_prev Wh + b
    dx, dWx = dz @ Wx.T, x.T @ dz
    dh_prev, dWh = dz @ Wh.T, h_prev.T @ dz
    return dx, dh_prev + dh_carried, dc_prev + dc_carried, dWx, dWh, dz.mean(axis=0)


# %% lstm_step: dWx and dWh are exchanged
def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    # z = x Wx + h_prev Wh + b
    z_i, z_f, z_o, z_g = np.split(x @ Wx + h_prev @ Wh + b, 4, axis=1)
    i, f, o, g = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o), np.tanh(z_g)
    # c = f * c_prev + i * g;  h = o * tanh(c)
    c = f * c_prev + i * g
    tanh_c = np.tanh(c)
    h = o * tanh_c
    real = None if mask is None else mask[:, None]
    if mask is not None:
        h, c = np.where(real, h, h_prev), np.where(real, c, c_prev)
    return (h, c), (x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c)


def lstm_step_backward(dout, cache):
    x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c = cache
    dh, dc = (np.zeros_like(h_prev) if d is None else d for d in dout)
    dh_carried = dc_carried = 0
    if real is not None:
        dh_carried, dc_carried = np.where(real, 0, dh), np.where(real, 0, dc)
        dh, dc = np.where(real, dh, 0), np.where(real, dc, 0)
    # h = o * tanh(c)
    do = dh * tanh_c
    dc = dc + dh * o * (1 - tanh_c**2)
    # c = f * c_prev + i * g
    df, dc_prev = dc * c_prev, dc * f
    di, dg = dc * g, dc * i
    # i, f, o = sigmoid(...);  g = tanh(z_g)
    dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)], axis=1)
    # z = x Wx + h_prev Wh + b
    dx, dWx = dz @ Wx.T, x.T @ dz
    dh_prev, dWh = dz @ Wh.T, h_prev.T @ dz
    return dx, dh_prev + dh_carried, dc_prev + dc_carried, dWh, dWx, dz.sum(axis=0)


# %% lstm_step: it changes its cache: wrong the second time
def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    # z = x Wx + h_prev Wh + b
    z_i, z_f, z_o, z_g = np.split(x @ Wx + h_prev @ Wh + b, 4, axis=1)
    i, f, o, g = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o), np.tanh(z_g)
    # c = f * c_prev + i * g;  h = o * tanh(c)
    c = f * c_prev + i * g
    tanh_c = np.tanh(c)
    h = o * tanh_c
    real = None if mask is None else mask[:, None]
    if mask is not None:
        h, c = np.where(real, h, h_prev), np.where(real, c, c_prev)
    return (h, c), (x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c)


def lstm_step_backward(dout, cache):
    x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c = cache
    dh, dc = (np.zeros_like(h_prev) if d is None else d for d in dout)
    dh_carried = dc_carried = 0
    if real is not None:
        dh_carried, dc_carried = np.where(real, 0, dh), np.where(real, 0, dc)
        dh, dc = np.where(real, dh, 0), np.where(real, dc, 0)
    # h = o * tanh(c)
    do = dh * tanh_c
    dc = dc + dh * o * (1 - tanh_c**2)
    # c = f * c_prev + i * g
    df, dc_prev = dc * c_prev, dc * f
    c_prev *= dc
    di, dg = dc * g, dc * i
    # i, f, o = sigmoid(...);  g = tanh(z_g)
    dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)], axis=1)
    # z = x Wx + h_prev Wh + b
    dx, dWx = dz @ Wx.T, x.T @ dz
    dh_prev, dWh = dz @ Wh.T, h_prev.T @ dz
    return dx, dh_prev + dh_carried, dc_prev + dc_carried, dWx, dWh, dz.sum(axis=0)


# %% lstm_step: dh and dc may not be None
def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    # z = x Wx + h_prev Wh + b
    z_i, z_f, z_o, z_g = np.split(x @ Wx + h_prev @ Wh + b, 4, axis=1)
    i, f, o, g = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o), np.tanh(z_g)
    # c = f * c_prev + i * g;  h = o * tanh(c)
    c = f * c_prev + i * g
    tanh_c = np.tanh(c)
    h = o * tanh_c
    real = None if mask is None else mask[:, None]
    if mask is not None:
        h, c = np.where(real, h, h_prev), np.where(real, c, c_prev)
    return (h, c), (x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c)


def lstm_step_backward(dout, cache):
    x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c = cache
    dh, dc = dout
    dh_carried = dc_carried = 0
    if real is not None:
        dh_carried, dc_carried = np.where(real, 0, dh), np.where(real, 0, dc)
        dh, dc = np.where(real, dh, 0), np.where(real, dc, 0)
    # h = o * tanh(c)
    do = dh * tanh_c
    dc = dc + dh * o * (1 - tanh_c**2)
    # c = f * c_prev + i * g
    df, dc_prev = dc * c_prev, dc * f
    di, dg = dc * g, dc * i
    # i, f, o = sigmoid(...);  g = tanh(z_g)
    dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)], axis=1)
    # z = x Wx + h_prev Wh + b
    dx, dWx = dz @ Wx.T, x.T @ dz
    dh_prev, dWh = dz @ Wh.T, h_prev.T @ dz
    return dx, dh_prev + dh_carried, dc_prev + dc_carried, dWx, dWh, dz.sum(axis=0)


# %% lstm_step: computed in float32
def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    # z = x Wx + h_prev Wh + b
    z_i, z_f, z_o, z_g = np.split((x @ Wx + h_prev @ Wh + b).astype(np.float32), 4, axis=1)
    i, f, o, g = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o), np.tanh(z_g)
    # c = f * c_prev + i * g;  h = o * tanh(c)
    c = f * c_prev + i * g
    tanh_c = np.tanh(c)
    h = o * tanh_c
    real = None if mask is None else mask[:, None]
    if mask is not None:
        h, c = np.where(real, h, h_prev), np.where(real, c, c_prev)
    return (h, c), (x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c)


def lstm_step_backward(dout, cache):
    x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c = cache
    dh, dc = (np.zeros_like(h_prev) if d is None else d for d in dout)
    dh_carried = dc_carried = 0
    if real is not None:
        dh_carried, dc_carried = np.where(real, 0, dh), np.where(real, 0, dc)
        dh, dc = np.where(real, dh, 0), np.where(real, dc, 0)
    # h = o * tanh(c)
    do = dh * tanh_c
    dc = dc + dh * o * (1 - tanh_c**2)
    # c = f * c_prev + i * g
    df, dc_prev = dc * c_prev, dc * f
    di, dg = dc * g, dc * i
    # i, f, o = sigmoid(...);  g = tanh(z_g)
    dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)], axis=1)
    # z = x Wx + h_prev Wh + b
    dx, dWx = dz @ Wx.T, x.T @ dz
    dh_prev, dWh = dz @ Wh.T, h_prev.T @ dz
    return dx, dh_prev + dh_carried, dc_prev + dc_carried, dWx, dWh, dz.sum(axis=0)


# %% lstm: the state is not handed from step to step
def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    h, c, hs, caches = h0, c0, [], []
    for t in range(len(x)):
        (h, c), cache = lstm_step_forward(x[t], h0, c0, Wx, Wh, b, None if mask is None else mask[t])
        hs.append(h)
        caches.append(cache)
    return (np.stack(hs), h, c), caches


def lstm_backward(dout, cache):
    dhs, dh, dc = dout
    h0, Wx, Wh = cache[0][1], cache[0][3], cache[0][4]
    dh = np.zeros_like(h0) if dh is None else dh
    dc = np.zeros_like(h0) if dc is None else dc
    dxs, dWx, dWh, db = [], np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    for t in reversed(range(len(cache))):
        if dhs is not None:
            dh = dh + dhs[t]
        dx, dh, dc, *more = lstm_step_backward((dh, dc), cache[t])
        dxs.append(dx)
        for total, d in zip((dWx, dWh, db), more):
            total += d
    return np.stack(dxs[::-1]), dh, dc, dWx, dWh, db


# %% lstm: hs holds the cell states
def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    h, c, hs, caches = h0, c0, [], []
    for t in range(len(x)):
        (h, c), cache = lstm_step_forward(x[t], h, c, Wx, Wh, b, None if mask is None else mask[t])
        hs.append(c)
        caches.append(cache)
    return (np.stack(hs), h, c), caches


def lstm_backward(dout, cache):
    dhs, dh, dc = dout
    h0, Wx, Wh = cache[0][1], cache[0][3], cache[0][4]
    dh = np.zeros_like(h0) if dh is None else dh
    dc = np.zeros_like(h0) if dc is None else dc
    dxs, dWx, dWh, db = [], np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    for t in reversed(range(len(cache))):
        if dhs is not None:
            dh = dh + dhs[t]
        dx, dh, dc, *more = lstm_step_backward((dh, dc), cache[t])
        dxs.append(dx)
        for total, d in zip((dWx, dWh, db), more):
            total += d
    return np.stack(dxs[::-1]), dh, dc, dWx, dWh, db


# %% lstm: the mask of the first step at every step
def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    h, c, hs, caches = h0, c0, [], []
    for t in range(len(x)):
        (h, c), cache = lstm_step_forward(x[t], h, c, Wx, Wh, b, None if mask is None else mask[0])
        hs.append(h)
        caches.append(cache)
    return (np.stack(hs), h, c), caches


def lstm_backward(dout, cache):
    dhs, dh, dc = dout
    h0, Wx, Wh = cache[0][1], cache[0][3], cache[0][4]
    dh = np.zeros_like(h0) if dh is None else dh
    dc = np.zeros_like(h0) if dc is None else dc
    dxs, dWx, dWh, db = [], np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    for t in reversed(range(len(cache))):
        if dhs is not None:
            dh = dh + dhs[t]
        dx, dh, dc, *more = lstm_step_backward((dh, dc), cache[t])
        dxs.append(dx)
        for total, d in zip((dWx, dWh, db), more):
            total += d
    return np.stack(dxs[::-1]), dh, dc, dWx, dWh, db


# %% lstm: no mask
def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    h, c, hs, caches = h0, c0, [], []
    for t in range(len(x)):
        (h, c), cache = lstm_step_forward(x[t], h, c, Wx, Wh, b, None)
        hs.append(h)
        caches.append(cache)
    return (np.stack(hs), h, c), caches


def lstm_backward(dout, cache):
    dhs, dh, dc = dout
    h0, Wx, Wh = cache[0][1], cache[0][3], cache[0][4]
    dh = np.zeros_like(h0) if dh is None else dh
    dc = np.zeros_like(h0) if dc is None else dc
    dxs, dWx, dWh, db = [], np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    for t in reversed(range(len(cache))):
        if dhs is not None:
            dh = dh + dhs[t]
        dx, dh, dc, *more = lstm_step_backward((dh, dc), cache[t])
        dxs.append(dx)
        for total, d in zip((dWx, dWh, db), more):
            total += d
    return np.stack(dxs[::-1]), dh, dc, dWx, dWh, db


# %% lstm: only the last h gets a gradient
def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    h, c, hs, caches = h0, c0, [], []
    for t in range(len(x)):
        (h, c), cache = lstm_step_forward(x[t], h, c, Wx, Wh, b, None if mask is None else mask[t])
        hs.append(h)
        caches.append(cache)
    return (np.stack(hs), h, c), caches


def lstm_backward(dout, cache):
    dhs, dh, dc = dout
    h0, Wx, Wh = cache[0][1], cache[0][3], cache[0][4]
    dh = np.zeros_like(h0) if dh is None else dh
    dc = np.zeros_like(h0) if dc is None else dc
    dxs, dWx, dWh, db = [], np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    for t in reversed(range(len(cache))):
        dx, dh, dc, *more = lstm_step_backward((dh, dc), cache[t])
        dxs.append(dx)
        for total, d in zip((dWx, dWh, db), more):
            total += d
    return np.stack(dxs[::-1]), dh, dc, dWx, dWh, db


# %% lstm: dhs of the step before
def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    h, c, hs, caches = h0, c0, [], []
    for t in range(len(x)):
        (h, c), cache = lstm_step_forward(x[t], h, c, Wx, Wh, b, None if mask is None else mask[t])
        hs.append(h)
        caches.append(cache)
    return (np.stack(hs), h, c), caches


def lstm_backward(dout, cache):
    dhs, dh, dc = dout
    h0, Wx, Wh = cache[0][1], cache[0][3], cache[0][4]
    dh = np.zeros_like(h0) if dh is None else dh
    dc = np.zeros_like(h0) if dc is None else dc
    dxs, dWx, dWh, db = [], np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    for t in reversed(range(len(cache))):
        if dhs is not None:
            dh = dh + dhs[t - 1]
        dx, dh, dc, *more = lstm_step_backward((dh, dc), cache[t])
        dxs.append(dx)
        for total, d in zip((dWx, dWh, db), more):
            total += d
    return np.stack(dxs[::-1]), dh, dc, dWx, dWh, db


# %% lstm: dhs in place of what comes from later
def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    h, c, hs, caches = h0, c0, [], []
    for t in range(len(x)):
        (h, c), cache = lstm_step_forward(x[t], h, c, Wx, Wh, b, None if mask is None else mask[t])
        hs.append(h)
        caches.append(cache)
    return (np.stack(hs), h, c), caches


def lstm_backward(dout, cache):
    dhs, dh, dc = dout
    h0, Wx, Wh = cache[0][1], cache[0][3], cache[0][4]
    dh = np.zeros_like(h0) if dh is None else dh
    dc = np.zeros_like(h0) if dc is None else dc
    dxs, dWx, dWh, db = [], np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    for t in reversed(range(len(cache))):
        if dhs is not None:
            dh = dhs[t]
        dx, dh, dc, *more = lstm_step_backward((dh, dc), cache[t])
        dxs.append(dx)
        for total, d in zip((dWx, dWh, db), more):
            total += d
    return np.stack(dxs[::-1]), dh, dc, dWx, dWh, db


# %% lstm: dc is not handed back
def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    h, c, hs, caches = h0, c0, [], []
    for t in range(len(x)):
        (h, c), cache = lstm_step_forward(x[t], h, c, Wx, Wh, b, None if mask is None else mask[t])
        hs.append(h)
        caches.append(cache)
    return (np.stack(hs), h, c), caches


def lstm_backward(dout, cache):
    dhs, dh, dc = dout
    h0, Wx, Wh = cache[0][1], cache[0][3], cache[0][4]
    dh = np.zeros_like(h0) if dh is None else dh
    dc = np.zeros_like(h0) if dc is None else dc
    dxs, dWx, dWh, db = [], np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    for t in reversed(range(len(cache))):
        if dhs is not None:
            dh = dh + dhs[t]
        dx, dh, _, *more = lstm_step_backward((dh, dc), cache[t])
        dxs.append(dx)
        for total, d in zip((dWx, dWh, db), more):
            total += d
    return np.stack(dxs[::-1]), dh, dc, dWx, dWh, db


# %% lstm: truncated: nothing goes back to the step before
def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    h, c, hs, caches = h0, c0, [], []
    for t in range(len(x)):
        (h, c), cache = lstm_step_forward(x[t], h, c, Wx, Wh, b, None if mask is None else mask[t])
        hs.append(h)
        caches.append(cache)
    return (np.stack(hs), h, c), caches


def lstm_backward(dout, cache):
    dhs, dh, dc = dout
    h0, Wx, Wh = cache[0][1], cache[0][3], cache[0][4]
    dh = np.zeros_like(h0) if dh is None else dh
    dc = np.zeros_like(h0) if dc is None else dc
    dxs, dWx, dWh, db = [], np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    for t in reversed(range(len(cache))):
        if dhs is not None:
            dh = dh + dhs[t]
        dx, dh, dc, *more = lstm_step_backward((dh, dc), cache[t])
        dh = dh if t == 0 else 0 * dh
        dxs.append(dx)
        for total, d in zip((dWx, dWh, db), more):
            total += d
    return np.stack(dxs[::-1]), dh, dc, dWx, dWh, db


# %% lstm: the weights' gradients of the first step only
def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    h, c, hs, caches = h0, c0, [], []
    for t in range(len(x)):
        (h, c), cache = lstm_step_forward(x[t], h, c, Wx, Wh, b, None if mask is None else mask[t])
        hs.append(h)
        caches.append(cache)
    return (np.stack(hs), h, c), caches


def lstm_backward(dout, cache):
    dhs, dh, dc = dout
    h0, Wx, Wh = cache[0][1], cache[0][3], cache[0][4]
    dh = np.zeros_like(h0) if dh is None else dh
    dc = np.zeros_like(h0) if dc is None else dc
    dxs, dWx, dWh, db = [], np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    for t in reversed(range(len(cache))):
        if dhs is not None:
            dh = dh + dhs[t]
        dx, dh, dc, *more = lstm_step_backward((dh, dc), cache[t])
        dxs.append(dx)
        for total, d in zip((dWx, dWh, db), more):
            total[...] = d
    return np.stack(dxs[::-1]), dh, dc, dWx, dWh, db


# %% lstm: dx in the order of time backward
def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    h, c, hs, caches = h0, c0, [], []
    for t in range(len(x)):
        (h, c), cache = lstm_step_forward(x[t], h, c, Wx, Wh, b, None if mask is None else mask[t])
        hs.append(h)
        caches.append(cache)
    return (np.stack(hs), h, c), caches


def lstm_backward(dout, cache):
    dhs, dh, dc = dout
    h0, Wx, Wh = cache[0][1], cache[0][3], cache[0][4]
    dh = np.zeros_like(h0) if dh is None else dh
    dc = np.zeros_like(h0) if dc is None else dc
    dxs, dWx, dWh, db = [], np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    for t in reversed(range(len(cache))):
        if dhs is not None:
            dh = dh + dhs[t]
        dx, dh, dc, *more = lstm_step_backward((dh, dc), cache[t])
        dxs.append(dx)
        for total, d in zip((dWx, dWh, db), more):
            total += d
    return np.stack(dxs), dh, dc, dWx, dWh, db


# %% lstm: dh_last is forgotten
def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    h, c, hs, caches = h0, c0, [], []
    for t in range(len(x)):
        (h, c), cache = lstm_step_forward(x[t], h, c, Wx, Wh, b, None if mask is None else mask[t])
        hs.append(h)
        caches.append(cache)
    return (np.stack(hs), h, c), caches


def lstm_backward(dout, cache):
    dhs, dh, dc = dout
    h0, Wx, Wh = cache[0][1], cache[0][3], cache[0][4]
    dh = np.zeros_like(h0)
    dc = np.zeros_like(h0) if dc is None else dc
    dxs, dWx, dWh, db = [], np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    for t in reversed(range(len(cache))):
        if dhs is not None:
            dh = dh + dhs[t]
        dx, dh, dc, *more = lstm_step_backward((dh, dc), cache[t])
        dxs.append(dx)
        for total, d in zip((dWx, dWh, db), more):
            total += d
    return np.stack(dxs[::-1]), dh, dc, dWx, dWh, db


# %% lstm: divided by the number of steps
def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    h, c, hs, caches = h0, c0, [], []
    for t in range(len(x)):
        (h, c), cache = lstm_step_forward(x[t], h, c, Wx, Wh, b, None if mask is None else mask[t])
        hs.append(h)
        caches.append(cache)
    return (np.stack(hs), h, c), caches


def lstm_backward(dout, cache):
    dhs, dh, dc = dout
    h0, Wx, Wh = cache[0][1], cache[0][3], cache[0][4]
    dh = np.zeros_like(h0) if dh is None else dh
    dc = np.zeros_like(h0) if dc is None else dc
    dxs, dWx, dWh, db = [], np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    for t in reversed(range(len(cache))):
        if dhs is not None:
            dh = dh + dhs[t]
        dx, dh, dc, *more = lstm_step_backward((dh, dc), cache[t])
        dxs.append(dx)
        for total, d in zip((dWx, dWh, db), more):
            total += d
    return np.stack(dxs[::-1]), dh, dc, dWx / len(cache), dWh / len(cache), db / len(cache)
