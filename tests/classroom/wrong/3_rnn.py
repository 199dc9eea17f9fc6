"""Wrong answers to assignment 3: none of them may get all points of its task. Each cell is the whole answer."""

# %% rnn_step: the bias is forgotten
def rnn_step_forward(x, h_prev, Wx, Wh, b, mask=None):
    # h = tanh(x Wx + h_prev Wh + b)
    h = np.tanh(x @ Wx + h_prev @ Wh)
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, h, Wx, Wh, real)


def rnn_step_backward(dh, cache):
    x, h_prev, h, Wx, Wh, real = cache
    # where(real, h, h_prev)
    handed_on = np.where(real, 0, dh)
    # h = tanh(z)
    dz = np.where(real, dh, 0) * (1 - h**2)
    # z = x Wx + h_prev Wh + b
    return dz @ Wx.T, dz @ Wh.T + handed_on, x.T @ dz, h_prev.T @ dz, dz.sum(axis=0)

# %% rnn_step: no tanh
def rnn_step_forward(x, h_prev, Wx, Wh, b, mask=None):
    # h = tanh(x Wx + h_prev Wh + b)
    h = x @ Wx + h_prev @ Wh + b
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, h, Wx, Wh, real)


def rnn_step_backward(dh, cache):
    x, h_prev, h, Wx, Wh, real = cache
    # where(real, h, h_prev)
    handed_on = np.where(real, 0, dh)
    # h = tanh(z)
    dz = np.where(real, dh, 0) * (1 - h**2)
    # z = x Wx + h_prev Wh + b
    return dz @ Wx.T, dz @ Wh.T + handed_on, x.T @ dz, h_prev.T @ dz, dz.sum(axis=0)

# %% rnn_step: Wh transposed in forward
def rnn_step_forward(x, h_prev, Wx, Wh, b, mask=None):
    # h = tanh(x Wx + h_prev Wh + b)
    h = np.tanh(x @ Wx + h_prev @ Wh.T + b)
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, h, Wx, Wh, real)


def rnn_step_backward(dh, cache):
    x, h_prev, h, Wx, Wh, real = cache
    # where(real, h, h_prev)
    handed_on = np.where(real, 0, dh)
    # h = tanh(z)
    dz = np.where(real, dh, 0) * (1 - h**2)
    # z = x Wx + h_prev Wh + b
    return dz @ Wx.T, dz @ Wh.T + handed_on, x.T @ dz, h_prev.T @ dz, dz.sum(axis=0)

# %% rnn_step: the mask is ignored
def rnn_step_forward(x, h_prev, Wx, Wh, b, mask=None):
    # h = tanh(x Wx + h_prev Wh + b)
    h = np.tanh(x @ Wx + h_prev @ Wh + b)
    real = np.ones((len(x), 1), dtype=bool)
    return np.where(real, h, h_prev), (x, h_prev, h, Wx, Wh, real)


def rnn_step_backward(dh, cache):
    x, h_prev, h, Wx, Wh, real = cache
    # where(real, h, h_prev)
    handed_on = np.where(real, 0, dh)
    # h = tanh(z)
    dz = np.where(real, dh, 0) * (1 - h**2)
    # z = x Wx + h_prev Wh + b
    return dz @ Wx.T, dz @ Wh.T + handed_on, x.T @ dz, h_prev.T @ dz, dz.sum(axis=0)

# %% rnn_step: padding sets the state to zero
def rnn_step_forward(x, h_prev, Wx, Wh, b, mask=None):
    # h = tanh(x Wx + h_prev Wh + b)
    h = np.tanh(x @ Wx + h_prev @ Wh + b)
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, 0), (x, h_prev, h, Wx, Wh, real)


def rnn_step_backward(dh, cache):
    x, h_prev, h, Wx, Wh, real = cache
    # where(real, h, h_prev)
    handed_on = np.where(real, 0, dh)
    # h = tanh(z)
    dz = np.where(real, dh, 0) * (1 - h**2)
    # z = x Wx + h_prev Wh + b
    return dz @ Wx.T, dz @ Wh.T + handed_on, x.T @ dz, h_prev.T @ dz, dz.sum(axis=0)

# %% rnn_step: mask inverted
def rnn_step_forward(x, h_prev, Wx, Wh, b, mask=None):
    # h = tanh(x Wx + h_prev Wh + b)
    h = np.tanh(x @ Wx + h_prev @ Wh + b)
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h_prev, h), (x, h_prev, h, Wx, Wh, real)


def rnn_step_backward(dh, cache):
    x, h_prev, h, Wx, Wh, real = cache
    # where(real, h, h_prev)
    handed_on = np.where(real, 0, dh)
    # h = tanh(z)
    dz = np.where(real, dh, 0) * (1 - h**2)
    # z = x Wx + h_prev Wh + b
    return dz @ Wx.T, dz @ Wh.T + handed_on, x.T @ dz, h_prev.T @ dz, dz.sum(axis=0)

# %% rnn_step: the derivative of tanh is left out
def rnn_step_forward(x, h_prev, Wx, Wh, b, mask=None):
    # h = tanh(x Wx + h_prev Wh + b)
    h = np.tanh(x @ Wx + h_prev @ Wh + b)
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, h, Wx, Wh, real)


def rnn_step_backward(dh, cache):
    x, h_prev, h, Wx, Wh, real = cache
    # where(real, h, h_prev)
    handed_on = np.where(real, 0, dh)
    # h = tanh(z)
    dz = np.where(real, dh, 0)
    # z = x Wx + h_prev Wh + b
    return dz @ Wx.T, dz @ Wh.T + handed_on, x.T @ dz, h_prev.T @ dz, dz.sum(axis=0)

# %% rnn_step: the derivative of a sigmoid
def rnn_step_forward(x, h_prev, Wx, Wh, b, mask=None):
    # h = tanh(x Wx + h_prev Wh + b)
    h = np.tanh(x @ Wx + h_prev @ Wh + b)
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, h, Wx, Wh, real)


def rnn_step_backward(dh, cache):
    x, h_prev, h, Wx, Wh, real = cache
    # where(real, h, h_prev)
    handed_on = np.where(real, 0, dh)
    # h = tanh(z)
    dz = np.where(real, dh, 0) * h * (1 - h)
    # z = x Wx + h_prev Wh + b
    return dz @ Wx.T, dz @ Wh.T + handed_on, x.T @ dz, h_prev.T @ dz, dz.sum(axis=0)

# %% rnn_step: tanh taken twice
def rnn_step_forward(x, h_prev, Wx, Wh, b, mask=None):
    # h = tanh(x Wx + h_prev Wh + b)
    h = np.tanh(x @ Wx + h_prev @ Wh + b)
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, h, Wx, Wh, real)


def rnn_step_backward(dh, cache):
    x, h_prev, h, Wx, Wh, real = cache
    # where(real, h, h_prev)
    handed_on = np.where(real, 0, dh)
    # h = tanh(z)
    dz = np.where(real, dh, 0) * (1 - np.tanh(h) ** 2)
    # z = x Wx + h_prev Wh + b
    return dz @ Wx.T, dz @ Wh.T + handed_on, x.T @ dz, h_prev.T @ dz, dz.sum(axis=0)

# %% rnn_step: dh_prev with Wh and not its transpose
def rnn_step_forward(x, h_prev, Wx, Wh, b, mask=None):
    # h = tanh(x Wx + h_prev Wh + b)
    h = np.tanh(x @ Wx + h_prev @ Wh + b)
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, h, Wx, Wh, real)


def rnn_step_backward(dh, cache):
    x, h_prev, h, Wx, Wh, real = cache
    # where(real, h, h_prev)
    handed_on = np.where(real, 0, dh)
    # h = tanh(z)
    dz = np.where(real, dh, 0) * (1 - h**2)
    # z = x Wx + h_prev Wh + b
    return dz @ Wx.T, dz @ Wh + handed_on, x.T @ dz, h_prev.T @ dz, dz.sum(axis=0)

# %% rnn_step: dh is not handed on at padding
def rnn_step_forward(x, h_prev, Wx, Wh, b, mask=None):
    # h = tanh(x Wx + h_prev Wh + b)
    h = np.tanh(x @ Wx + h_prev @ Wh + b)
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, h, Wx, Wh, real)


def rnn_step_backward(dh, cache):
    x, h_prev, h, Wx, Wh, real = cache
    # where(real, h, h_prev)
    handed_on = np.where(real, 0, dh)
    # h = tanh(z)
    dz = np.where(real, dh, 0) * (1 - h**2)
    # z = x Wx + h_prev Wh + b
    return dz @ Wx.T, dz @ Wh.T, x.T @ dz, h_prev.T @ dz, dz.sum(axis=0)

# %% rnn_step: padding adds to the weights
def rnn_step_forward(x, h_prev, Wx, Wh, b, mask=None):
    # h = tanh(x Wx + h_prev Wh + b)
    h = np.tanh(x @ Wx + h_prev @ Wh + b)
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, h, Wx, Wh, real)


def rnn_step_backward(dh, cache):
    x, h_prev, h, Wx, Wh, real = cache
    # where(real, h, h_prev)
    handed_on = np.where(real, 0, dh)
    # h = tanh(z)
    dz = dh * (1 - h**2)
    # z = x Wx + h_prev Wh + b
    return dz @ Wx.T, dz @ Wh.T + handed_on, x.T @ dz, h_prev.T @ dz, dz.sum(axis=0)

# %% rnn_step: dWh from the state after the step
def rnn_step_forward(x, h_prev, Wx, Wh, b, mask=None):
    # h = tanh(x Wx + h_prev Wh + b)
    h = np.tanh(x @ Wx + h_prev @ Wh + b)
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, h, Wx, Wh, real)


def rnn_step_backward(dh, cache):
    x, h_prev, h, Wx, Wh, real = cache
    # where(real, h, h_prev)
    handed_on = np.where(real, 0, dh)
    # h = tanh(z)
    dz = np.where(real, dh, 0) * (1 - h**2)
    # z = x Wx + h_prev Wh + b
    return dz @ Wx.T, dz @ Wh.T + handed_on, x.T @ dz, h.T @ dz, dz.sum(axis=0)

# %% rnn_step: dWx is a mean over the batch
def rnn_step_forward(x, h_prev, Wx, Wh, b, mask=None):
    # h = tanh(x Wx + h_prev Wh + b)
    h = np.tanh(x @ Wx + h_prev @ Wh + b)
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, h, Wx, Wh, real)


def rnn_step_backward(dh, cache):
    x, h_prev, h, Wx, Wh, real = cache
    # where(real, h, h_prev)
    handed_on = np.where(real, 0, dh)
    # h = tanh(z)
    dz = np.where(real, dh, 0) * (1 - h**2)
    # z = x Wx + h_prev Wh + b
    return dz @ Wx.T, dz @ Wh.T + handed_on, x.T @ dz / len(x), h_prev.T @ dz, dz.sum(axis=0)

# %% rnn_step: db is a mean over the batch
def rnn_step_forward(x, h_prev, Wx, Wh, b, mask=None):
    # h = tanh(x Wx + h_prev Wh + b)
    h = np.tanh(x @ Wx + h_prev @ Wh + b)
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, h, Wx, Wh, real)


def rnn_step_backward(dh, cache):
    x, h_prev, h, Wx, Wh, real = cache
    # where(real, h, h_prev)
    handed_on = np.where(real, 0, dh)
    # h = tanh(z)
    dz = np.where(real, dh, 0) * (1 - h**2)
    # z = x Wx + h_prev Wh + b
    return dz @ Wx.T, dz @ Wh.T + handed_on, x.T @ dz, h_prev.T @ dz, dz.mean(axis=0)

# %% rnn_step: dWx and dWh exchanged
def rnn_step_forward(x, h_prev, Wx, Wh, b, mask=None):
    # h = tanh(x Wx + h_prev Wh + b)
    h = np.tanh(x @ Wx + h_prev @ Wh + b)
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, h, Wx, Wh, real)


def rnn_step_backward(dh, cache):
    x, h_prev, h, Wx, Wh, real = cache
    # where(real, h, h_prev)
    handed_on = np.where(real, 0, dh)
    # h = tanh(z)
    dz = np.where(real, dh, 0) * (1 - h**2)
    # z = x Wx + h_prev Wh + b
    return dz @ Wx.T, dz @ Wh.T + handed_on, h_prev.T @ dz, x.T @ dz, dz.sum(axis=0)

# %% rnn_step: the gradient from above is ignored
def rnn_step_forward(x, h_prev, Wx, Wh, b, mask=None):
    # h = tanh(x Wx + h_prev Wh + b)
    h = np.tanh(x @ Wx + h_prev @ Wh + b)
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, h, Wx, Wh, real)


def rnn_step_backward(dh, cache):
    x, h_prev, h, Wx, Wh, real = cache
    # where(real, h, h_prev)
    handed_on = np.where(real, 0, dh)
    # h = tanh(z)
    dz = np.where(real, np.ones_like(dh), 0) * (1 - h**2)
    # z = x Wx + h_prev Wh + b
    return dz @ Wx.T, dz @ Wh.T + handed_on, x.T @ dz, h_prev.T @ dz, dz.sum(axis=0)

# %% rnn: every step starts from h0
def rnn_forward(x, h0, Wx, Wh, b, mask=None):
    T, B, _ = x.shape
    real = np.ones((T, B, 1), dtype=bool) if mask is None else mask[..., None]
    states = [h0]  # states[t] is the one before step t
    for t in range(T):
        # h = tanh(x Wx + h_prev Wh + b), or handed on
        h = np.tanh(x[t] @ Wx + states[0] @ Wh + b)
        states.append(np.where(real[t], h, states[t]))
    return (np.stack(states[1:]), states[T]), (x, states, Wx, Wh, real)


def rnn_backward(dout, cache):
    dhs, dh_last = dout
    x, states, Wx, Wh, real = cache
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    dh = np.zeros_like(states[0]) if dh_last is None else dh_last
    for t in reversed(range(len(x))):
        dh = dh + (0 if dhs is None else dhs[t])
        # h = tanh(z), or handed on; where it was, dz is 0 whatever states[t + 1] holds
        dz = np.where(real[t], dh * (1 - states[t + 1] ** 2), 0)
        # z = x Wx + h_prev Wh + b
        dx[t] = dz @ Wx.T
        dWx += x[t].T @ dz
        dWh += states[t].T @ dz
        db += dz.sum(axis=0)
        dh = np.where(real[t], dz @ Wh.T, dh)
    return dx, dh, dWx, dWh, db

# %% rnn: the mask is ignored
def rnn_forward(x, h0, Wx, Wh, b, mask=None):
    T, B, _ = x.shape
    real = np.ones((T, B, 1), dtype=bool)
    states = [h0]  # states[t] is the one before step t
    for t in range(T):
        # h = tanh(x Wx + h_prev Wh + b), or handed on
        h = np.tanh(x[t] @ Wx + states[t] @ Wh + b)
        states.append(np.where(real[t], h, states[t]))
    return (np.stack(states[1:]), states[T]), (x, states, Wx, Wh, real)


def rnn_backward(dout, cache):
    dhs, dh_last = dout
    x, states, Wx, Wh, real = cache
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    dh = np.zeros_like(states[0]) if dh_last is None else dh_last
    for t in reversed(range(len(x))):
        dh = dh + (0 if dhs is None else dhs[t])
        # h = tanh(z), or handed on; where it was, dz is 0 whatever states[t + 1] holds
        dz = np.where(real[t], dh * (1 - states[t + 1] ** 2), 0)
        # z = x Wx + h_prev Wh + b
        dx[t] = dz @ Wx.T
        dWx += x[t].T @ dz
        dWh += states[t].T @ dz
        db += dz.sum(axis=0)
        dh = np.where(real[t], dz @ Wh.T, dh)
    return dx, dh, dWx, dWh, db

# %% rnn: padding sets the state to zero
def rnn_forward(x, h0, Wx, Wh, b, mask=None):
    T, B, _ = x.shape
    real = np.ones((T, B, 1), dtype=bool) if mask is None else mask[..., None]
    states = [h0]  # states[t] is the one before step t
    for t in range(T):
        # h = tanh(x Wx + h_prev Wh + b), or handed on
        h = np.tanh(x[t] @ Wx + states[t] @ Wh + b)
        states.append(np.where(real[t], h, 0))
    return (np.stack(states[1:]), states[T]), (x, states, Wx, Wh, real)


def rnn_backward(dout, cache):
    dhs, dh_last = dout
    x, states, Wx, Wh, real = cache
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    dh = np.zeros_like(states[0]) if dh_last is None else dh_last
    for t in reversed(range(len(x))):
        dh = dh + (0 if dhs is None else dhs[t])
        # h = tanh(z), or handed on; where it was, dz is 0 whatever states[t + 1] holds
        dz = np.where(real[t], dh * (1 - states[t + 1] ** 2), 0)
        # z = x Wx + h_prev Wh + b
        dx[t] = dz @ Wx.T
        dWx += x[t].T @ dz
        dWh += states[t].T @ dz
        db += dz.sum(axis=0)
        dh = np.where(real[t], dz @ Wh.T, dh)
    return dx, dh, dWx, dWh, db

# %% rnn: the states before the steps are returned
def rnn_forward(x, h0, Wx, Wh, b, mask=None):
    T, B, _ = x.shape
    real = np.ones((T, B, 1), dtype=bool) if mask is None else mask[..., None]
    states = [h0]  # states[t] is the one before step t
    for t in range(T):
        # h = tanh(x Wx + h_prev Wh + b), or handed on
        h = np.tanh(x[t] @ Wx + states[t] @ Wh + b)
        states.append(np.where(real[t], h, states[t]))
    return (np.stack(states[:-1]), states[T]), (x, states, Wx, Wh, real)


def rnn_backward(dout, cache):
    dhs, dh_last = dout
    x, states, Wx, Wh, real = cache
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    dh = np.zeros_like(states[0]) if dh_last is None else dh_last
    for t in reversed(range(len(x))):
        dh = dh + (0 if dhs is None else dhs[t])
        # h = tanh(z), or handed on; where it was, dz is 0 whatever states[t + 1] holds
        dz = np.where(real[t], dh * (1 - states[t + 1] ** 2), 0)
        # z = x Wx + h_prev Wh + b
        dx[t] = dz @ Wx.T
        dWx += x[t].T @ dz
        dWh += states[t].T @ dz
        db += dz.sum(axis=0)
        dh = np.where(real[t], dz @ Wh.T, dh)
    return dx, dh, dWx, dWh, db

# %% rnn: the first state is returned as the last
def rnn_forward(x, h0, Wx, Wh, b, mask=None):
    T, B, _ = x.shape
    real = np.ones((T, B, 1), dtype=bool) if mask is None else mask[..., None]
    states = [h0]  # states[t] is the one before step t
    for t in range(T):
        # h = tanh(x Wx + h_prev Wh + b), or handed on
        h = np.tanh(x[t] @ Wx + states[t] @ Wh + b)
        states.append(np.where(real[t], h, states[t]))
    return (np.stack(states[1:]), states[1]), (x, states, Wx, Wh, real)


def rnn_backward(dout, cache):
    dhs, dh_last = dout
    x, states, Wx, Wh, real = cache
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    dh = np.zeros_like(states[0]) if dh_last is None else dh_last
    for t in reversed(range(len(x))):
        dh = dh + (0 if dhs is None else dhs[t])
        # h = tanh(z), or handed on; where it was, dz is 0 whatever states[t + 1] holds
        dz = np.where(real[t], dh * (1 - states[t + 1] ** 2), 0)
        # z = x Wx + h_prev Wh + b
        dx[t] = dz @ Wx.T
        dWx += x[t].T @ dz
        dWh += states[t].T @ dz
        db += dz.sum(axis=0)
        dh = np.where(real[t], dz @ Wh.T, dh)
    return dx, dh, dWx, dWh, db

# %% rnn: the outputs overwrite what comes from later
def rnn_forward(x, h0, Wx, Wh, b, mask=None):
    T, B, _ = x.shape
    real = np.ones((T, B, 1), dtype=bool) if mask is None else mask[..., None]
    states = [h0]  # states[t] is the one before step t
    for t in range(T):
        # h = tanh(x Wx + h_prev Wh + b), or handed on
        h = np.tanh(x[t] @ Wx + states[t] @ Wh + b)
        states.append(np.where(real[t], h, states[t]))
    return (np.stack(states[1:]), states[T]), (x, states, Wx, Wh, real)


def rnn_backward(dout, cache):
    dhs, dh_last = dout
    x, states, Wx, Wh, real = cache
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    dh = np.zeros_like(states[0]) if dh_last is None else dh_last
    for t in reversed(range(len(x))):
        dh = dh if dhs is None else dhs[t]
        # h = tanh(z), or handed on; where it was, dz is 0 whatever states[t + 1] holds
        dz = np.where(real[t], dh * (1 - states[t + 1] ** 2), 0)
        # z = x Wx + h_prev Wh + b
        dx[t] = dz @ Wx.T
        dWx += x[t].T @ dz
        dWh += states[t].T @ dz
        db += dz.sum(axis=0)
        dh = np.where(real[t], dz @ Wh.T, dh)
    return dx, dh, dWx, dWh, db

# %% rnn: the outputs receive no gradient
def rnn_forward(x, h0, Wx, Wh, b, mask=None):
    T, B, _ = x.shape
    real = np.ones((T, B, 1), dtype=bool) if mask is None else mask[..., None]
    states = [h0]  # states[t] is the one before step t
    for t in range(T):
        # h = tanh(x Wx + h_prev Wh + b), or handed on
        h = np.tanh(x[t] @ Wx + states[t] @ Wh + b)
        states.append(np.where(real[t], h, states[t]))
    return (np.stack(states[1:]), states[T]), (x, states, Wx, Wh, real)


def rnn_backward(dout, cache):
    dhs, dh_last = dout
    x, states, Wx, Wh, real = cache
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    dh = np.zeros_like(states[0]) if dh_last is None else dh_last
    for t in reversed(range(len(x))):
        dh = dh + 0
        # h = tanh(z), or handed on; where it was, dz is 0 whatever states[t + 1] holds
        dz = np.where(real[t], dh * (1 - states[t + 1] ** 2), 0)
        # z = x Wx + h_prev Wh + b
        dx[t] = dz @ Wx.T
        dWx += x[t].T @ dz
        dWh += states[t].T @ dz
        db += dz.sum(axis=0)
        dh = np.where(real[t], dz @ Wh.T, dh)
    return dx, dh, dWx, dWh, db

# %% rnn: dh_last is ignored
def rnn_forward(x, h0, Wx, Wh, b, mask=None):
    T, B, _ = x.shape
    real = np.ones((T, B, 1), dtype=bool) if mask is None else mask[..., None]
    states = [h0]  # states[t] is the one before step t
    for t in range(T):
        # h = tanh(x Wx + h_prev Wh + b), or handed on
        h = np.tanh(x[t] @ Wx + states[t] @ Wh + b)
        states.append(np.where(real[t], h, states[t]))
    return (np.stack(states[1:]), states[T]), (x, states, Wx, Wh, real)


def rnn_backward(dout, cache):
    dhs, dh_last = dout
    x, states, Wx, Wh, real = cache
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    dh = np.zeros_like(states[0])
    for t in reversed(range(len(x))):
        dh = dh + (0 if dhs is None else dhs[t])
        # h = tanh(z), or handed on; where it was, dz is 0 whatever states[t + 1] holds
        dz = np.where(real[t], dh * (1 - states[t + 1] ** 2), 0)
        # z = x Wx + h_prev Wh + b
        dx[t] = dz @ Wx.T
        dWx += x[t].T @ dz
        dWh += states[t].T @ dz
        db += dz.sum(axis=0)
        dh = np.where(real[t], dz @ Wh.T, dh)
    return dx, dh, dWx, dWh, db

# %% rnn: fails where dhs is None
def rnn_forward(x, h0, Wx, Wh, b, mask=None):
    T, B, _ = x.shape
    real = np.ones((T, B, 1), dtype=bool) if mask is None else mask[..., None]
    states = [h0]  # states[t] is the one before step t
    for t in range(T):
        # h = tanh(x Wx + h_prev Wh + b), or handed on
        h = np.tanh(x[t] @ Wx + states[t] @ Wh + b)
        states.append(np.where(real[t], h, states[t]))
    return (np.stack(states[1:]), states[T]), (x, states, Wx, Wh, real)


def rnn_backward(dout, cache):
    dhs, dh_last = dout
    x, states, Wx, Wh, real = cache
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    dh = np.zeros_like(states[0]) if dh_last is None else dh_last
    for t in reversed(range(len(x))):
        dh = dh + dhs[t]
        # h = tanh(z), or handed on; where it was, dz is 0 whatever states[t + 1] holds
        dz = np.where(real[t], dh * (1 - states[t + 1] ** 2), 0)
        # z = x Wx + h_prev Wh + b
        dx[t] = dz @ Wx.T
        dWx += x[t].T @ dz
        dWh += states[t].T @ dz
        db += dz.sum(axis=0)
        dh = np.where(real[t], dz @ Wh.T, dh)
    return dx, dh, dWx, dWh, db

# %% rnn: fails where dh_last is None
def rnn_forward(x, h0, Wx, Wh, b, mask=None):
    T, B, _ = x.shape
    real = np.ones((T, B, 1), dtype=bool) if mask is None else mask[..., None]
    states = [h0]  # states[t] is the one before step t
    for t in range(T):
        # h = tanh(x Wx + h_prev Wh + b), or handed on
        h = np.tanh(x[t] @ Wx + states[t] @ Wh + b)
        states.append(np.where(real[t], h, states[t]))
    return (np.stack(states[1:]), states[T]), (x, states, Wx, Wh, real)


def rnn_backward(dout, cache):
    dhs, dh_last = dout
    x, states, Wx, Wh, real = cache
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    dh = dh_last
    for t in reversed(range(len(x))):
        dh = dh + (0 if dhs is None else dhs[t])
        # h = tanh(z), or handed on; where it was, dz is 0 whatever states[t + 1] holds
        dz = np.where(real[t], dh * (1 - states[t + 1] ** 2), 0)
        # z = x Wx + h_prev Wh + b
        dx[t] = dz @ Wx.T
        dWx += x[t].T @ dz
        dWh += states[t].T @ dz
        db += dz.sum(axis=0)
        dh = np.where(real[t], dz @ Wh.T, dh)
    return dx, dh, dWx, dWh, db

# %% rnn: the gradient stops after one step
def rnn_forward(x, h0, Wx, Wh, b, mask=None):
    T, B, _ = x.shape
    real = np.ones((T, B, 1), dtype=bool) if mask is None else mask[..., None]
    states = [h0]  # states[t] is the one before step t
    for t in range(T):
        # h = tanh(x Wx + h_prev Wh + b), or handed on
        h = np.tanh(x[t] @ Wx + states[t] @ Wh + b)
        states.append(np.where(real[t], h, states[t]))
    return (np.stack(states[1:]), states[T]), (x, states, Wx, Wh, real)


def rnn_backward(dout, cache):
    dhs, dh_last = dout
    x, states, Wx, Wh, real = cache
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    dh = np.zeros_like(states[0]) if dh_last is None else dh_last
    for t in reversed(range(len(x))):
        dh = dh + (0 if dhs is None else dhs[t])
        # h = tanh(z), or handed on; where it was, dz is 0 whatever states[t + 1] holds
        dz = np.where(real[t], dh * (1 - states[t + 1] ** 2), 0)
        # z = x Wx + h_prev Wh + b
        dx[t] = dz @ Wx.T
        dWx += x[t].T @ dz
        dWh += states[t].T @ dz
        db += dz.sum(axis=0)
        dh = np.zeros_like(dh)
    return dx, dh, dWx, dWh, db

# %% rnn: truncated after three steps
def rnn_forward(x, h0, Wx, Wh, b, mask=None):
    T, B, _ = x.shape
    real = np.ones((T, B, 1), dtype=bool) if mask is None else mask[..., None]
    states = [h0]  # states[t] is the one before step t
    for t in range(T):
        # h = tanh(x Wx + h_prev Wh + b), or handed on
        h = np.tanh(x[t] @ Wx + states[t] @ Wh + b)
        states.append(np.where(real[t], h, states[t]))
    return (np.stack(states[1:]), states[T]), (x, states, Wx, Wh, real)


def rnn_backward(dout, cache):
    dhs, dh_last = dout
    x, states, Wx, Wh, real = cache
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    dh = np.zeros_like(states[0]) if dh_last is None else dh_last
    for t in reversed(range(len(x))):
        dh = dh + (0 if dhs is None else dhs[t])
        # h = tanh(z), or handed on; where it was, dz is 0 whatever states[t + 1] holds
        dz = np.where(real[t], dh * (1 - states[t + 1] ** 2), 0)
        # z = x Wx + h_prev Wh + b
        dx[t] = dz @ Wx.T
        dWx += x[t].T @ dz
        dWh += states[t].T @ dz
        db += dz.sum(axis=0)
        dh = np.where(real[t], dz @ Wh.T, dh) * (t % 3 > 0)
    return dx, dh, dWx, dWh, db

# %% rnn: dh is not handed on at padding
def rnn_forward(x, h0, Wx, Wh, b, mask=None):
    T, B, _ = x.shape
    real = np.ones((T, B, 1), dtype=bool) if mask is None else mask[..., None]
    states = [h0]  # states[t] is the one before step t
    for t in range(T):
        # h = tanh(x Wx + h_prev Wh + b), or handed on
        h = np.tanh(x[t] @ Wx + states[t] @ Wh + b)
        states.append(np.where(real[t], h, states[t]))
    return (np.stack(states[1:]), states[T]), (x, states, Wx, Wh, real)


def rnn_backward(dout, cache):
    dhs, dh_last = dout
    x, states, Wx, Wh, real = cache
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    dh = np.zeros_like(states[0]) if dh_last is None else dh_last
    for t in reversed(range(len(x))):
        dh = dh + (0 if dhs is None else dhs[t])
        # h = tanh(z), or handed on; where it was, dz is 0 whatever states[t + 1] holds
        dz = np.where(real[t], dh * (1 - states[t + 1] ** 2), 0)
        # z = x Wx + h_prev Wh + b
        dx[t] = dz @ Wx.T
        dWx += x[t].T @ dz
        dWh += states[t].T @ dz
        db += dz.sum(axis=0)
        dh = dz @ Wh.T
    return dx, dh, dWx, dWh, db

# %% rnn: padding adds to the weights
def rnn_forward(x, h0, Wx, Wh, b, mask=None):
    T, B, _ = x.shape
    real = np.ones((T, B, 1), dtype=bool) if mask is None else mask[..., None]
    states = [h0]  # states[t] is the one before step t
    for t in range(T):
        # h = tanh(x Wx + h_prev Wh + b), or handed on
        h = np.tanh(x[t] @ Wx + states[t] @ Wh + b)
        states.append(np.where(real[t], h, states[t]))
    return (np.stack(states[1:]), states[T]), (x, states, Wx, Wh, real)


def rnn_backward(dout, cache):
    dhs, dh_last = dout
    x, states, Wx, Wh, real = cache
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    dh = np.zeros_like(states[0]) if dh_last is None else dh_last
    for t in reversed(range(len(x))):
        dh = dh + (0 if dhs is None else dhs[t])
        # h = tanh(z), or handed on; where it was, dz is 0 whatever states[t + 1] holds
        dz = dh * (1 - states[t + 1] ** 2)
        # z = x Wx + h_prev Wh + b
        dx[t] = dz @ Wx.T
        dWx += x[t].T @ dz
        dWh += states[t].T @ dz
        db += dz.sum(axis=0)
        dh = np.where(real[t], dz @ Wh.T, dh)
    return dx, dh, dWx, dWh, db

# %% rnn: dWh of the first step only
def rnn_forward(x, h0, Wx, Wh, b, mask=None):
    T, B, _ = x.shape
    real = np.ones((T, B, 1), dtype=bool) if mask is None else mask[..., None]
    states = [h0]  # states[t] is the one before step t
    for t in range(T):
        # h = tanh(x Wx + h_prev Wh + b), or handed on
        h = np.tanh(x[t] @ Wx + states[t] @ Wh + b)
        states.append(np.where(real[t], h, states[t]))
    return (np.stack(states[1:]), states[T]), (x, states, Wx, Wh, real)


def rnn_backward(dout, cache):
    dhs, dh_last = dout
    x, states, Wx, Wh, real = cache
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    dh = np.zeros_like(states[0]) if dh_last is None else dh_last
    for t in reversed(range(len(x))):
        dh = dh + (0 if dhs is None else dhs[t])
        # h = tanh(z), or handed on; where it was, dz is 0 whatever states[t + 1] holds
        dz = np.where(real[t], dh * (1 - states[t + 1] ** 2), 0)
        # z = x Wx + h_prev Wh + b
        dx[t] = dz @ Wx.T
        dWx += x[t].T @ dz
        dWh = states[t].T @ dz
        db += dz.sum(axis=0)
        dh = np.where(real[t], dz @ Wh.T, dh)
    return dx, dh, dWx, dWh, db

# %% rnn: dWx of the first step only
def rnn_forward(x, h0, Wx, Wh, b, mask=None):
    T, B, _ = x.shape
    real = np.ones((T, B, 1), dtype=bool) if mask is None else mask[..., None]
    states = [h0]  # states[t] is the one before step t
    for t in range(T):
        # h = tanh(x Wx + h_prev Wh + b), or handed on
        h = np.tanh(x[t] @ Wx + states[t] @ Wh + b)
        states.append(np.where(real[t], h, states[t]))
    return (np.stack(states[1:]), states[T]), (x, states, Wx, Wh, real)


def rnn_backward(dout, cache):
    dhs, dh_last = dout
    x, states, Wx, Wh, real = cache
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    dh = np.zeros_like(states[0]) if dh_last is None else dh_last
    for t in reversed(range(len(x))):
        dh = dh + (0 if dhs is None else dhs[t])
        # h = tanh(z), or handed on; where it was, dz is 0 whatever states[t + 1] holds
        dz = np.where(real[t], dh * (1 - states[t + 1] ** 2), 0)
        # z = x Wx + h_prev Wh + b
        dx[t] = dz @ Wx.T
        dWx = x[t].T @ dz
        dWh += states[t].T @ dz
        db += dz.sum(axis=0)
        dh = np.where(real[t], dz @ Wh.T, dh)
    return dx, dh, dWx, dWh, db

# %% rnn: db of the first step only
def rnn_forward(x, h0, Wx, Wh, b, mask=None):
    T, B, _ = x.shape
    real = np.ones((T, B, 1), dtype=bool) if mask is None else mask[..., None]
    states = [h0]  # states[t] is the one before step t
    for t in range(T):
        # h = tanh(x Wx + h_prev Wh + b), or handed on
        h = np.tanh(x[t] @ Wx + states[t] @ Wh + b)
        states.append(np.where(real[t], h, states[t]))
    return (np.stack(states[1:]), states[T]), (x, states, Wx, Wh, real)


def rnn_backward(dout, cache):
    dhs, dh_last = dout
    x, states, Wx, Wh, real = cache
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    dh = np.zeros_like(states[0]) if dh_last is None else dh_last
    for t in reversed(range(len(x))):
        dh = dh + (0 if dhs is None else dhs[t])
        # h = tanh(z), or handed on; where it was, dz is 0 whatever states[t + 1] holds
        dz = np.where(real[t], dh * (1 - states[t + 1] ** 2), 0)
        # z = x Wx + h_prev Wh + b
        dx[t] = dz @ Wx.T
        dWx += x[t].T @ dz
        dWh += states[t].T @ dz
        db = dz.sum(axis=0)
        dh = np.where(real[t], dz @ Wh.T, dh)
    return dx, dh, dWx, dWh, db

# %% rnn: dWh from the state after the step
def rnn_forward(x, h0, Wx, Wh, b, mask=None):
    T, B, _ = x.shape
    real = np.ones((T, B, 1), dtype=bool) if mask is None else mask[..., None]
    states = [h0]  # states[t] is the one before step t
    for t in range(T):
        # h = tanh(x Wx + h_prev Wh + b), or handed on
        h = np.tanh(x[t] @ Wx + states[t] @ Wh + b)
        states.append(np.where(real[t], h, states[t]))
    return (np.stack(states[1:]), states[T]), (x, states, Wx, Wh, real)


def rnn_backward(dout, cache):
    dhs, dh_last = dout
    x, states, Wx, Wh, real = cache
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    dh = np.zeros_like(states[0]) if dh_last is None else dh_last
    for t in reversed(range(len(x))):
        dh = dh + (0 if dhs is None else dhs[t])
        # h = tanh(z), or handed on; where it was, dz is 0 whatever states[t + 1] holds
        dz = np.where(real[t], dh * (1 - states[t + 1] ** 2), 0)
        # z = x Wx + h_prev Wh + b
        dx[t] = dz @ Wx.T
        dWx += x[t].T @ dz
        dWh += states[t + 1].T @ dz
        db += dz.sum(axis=0)
        dh = np.where(real[t], dz @ Wh.T, dh)
    return dx, dh, dWx, dWh, db

# %% rnn: the derivative from the state before the step
def rnn_forward(x, h0, Wx, Wh, b, mask=None):
    T, B, _ = x.shape
    real = np.ones((T, B, 1), dtype=bool) if mask is None else mask[..., None]
    states = [h0]  # states[t] is the one before step t
    for t in range(T):
        # h = tanh(x Wx + h_prev Wh + b), or handed on
        h = np.tanh(x[t] @ Wx + states[t] @ Wh + b)
        states.append(np.where(real[t], h, states[t]))
    return (np.stack(states[1:]), states[T]), (x, states, Wx, Wh, real)


def rnn_backward(dout, cache):
    dhs, dh_last = dout
    x, states, Wx, Wh, real = cache
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    dh = np.zeros_like(states[0]) if dh_last is None else dh_last
    for t in reversed(range(len(x))):
        dh = dh + (0 if dhs is None else dhs[t])
        # h = tanh(z), or handed on; where it was, dz is 0 whatever states[t + 1] holds
        dz = np.where(real[t], dh * (1 - states[t] ** 2), 0)
        # z = x Wx + h_prev Wh + b
        dx[t] = dz @ Wx.T
        dWx += x[t].T @ dz
        dWh += states[t].T @ dz
        db += dz.sum(axis=0)
        dh = np.where(real[t], dz @ Wh.T, dh)
    return dx, dh, dWx, dWh, db

# %% rnn: the weights are averaged over the steps
def rnn_forward(x, h0, Wx, Wh, b, mask=None):
    T, B, _ = x.shape
    real = np.ones((T, B, 1), dtype=bool) if mask is None else mask[..., None]
    states = [h0]  # states[t] is the one before step t
    for t in range(T):
        # h = tanh(x Wx + h_prev Wh + b), or handed on
        h = np.tanh(x[t] @ Wx + states[t] @ Wh + b)
        states.append(np.where(real[t], h, states[t]))
    return (np.stack(states[1:]), states[T]), (x, states, Wx, Wh, real)


def rnn_backward(dout, cache):
    dhs, dh_last = dout
    x, states, Wx, Wh, real = cache
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    dh = np.zeros_like(states[0]) if dh_last is None else dh_last
    for t in reversed(range(len(x))):
        dh = dh + (0 if dhs is None else dhs[t])
        # h = tanh(z), or handed on; where it was, dz is 0 whatever states[t + 1] holds
        dz = np.where(real[t], dh * (1 - states[t + 1] ** 2), 0)
        # z = x Wx + h_prev Wh + b
        dx[t] = dz @ Wx.T
        dWx += x[t].T @ dz
        dWh += states[t].T @ dz
        db += dz.sum(axis=0)
        dh = np.where(real[t], dz @ Wh.T, dh)
    return dx, dh, dWx / len(x), dWh / len(x), db / len(x)

# %% rnn: forward through the sequence in backward
def rnn_forward(x, h0, Wx, Wh, b, mask=None):
    T, B, _ = x.shape
    real = np.ones((T, B, 1), dtype=bool) if mask is None else mask[..., None]
    states = [h0]  # states[t] is the one before step t
    for t in range(T):
        # h = tanh(x Wx + h_prev Wh + b), or handed on
        h = np.tanh(x[t] @ Wx + states[t] @ Wh + b)
        states.append(np.where(real[t], h, states[t]))
    return (np.stack(states[1:]), states[T]), (x, states, Wx, Wh, real)


def rnn_backward(dout, cache):
    dhs, dh_last = dout
    x, states, Wx, Wh, real = cache
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    dh = np.zeros_like(states[0]) if dh_last is None else dh_last
    for t in range(len(x)):
        dh = dh + (0 if dhs is None else dhs[t])
        # h = tanh(z), or handed on; where it was, dz is 0 whatever states[t + 1] holds
        dz = np.where(real[t], dh * (1 - states[t + 1] ** 2), 0)
        # z = x Wx + h_prev Wh + b
        dx[t] = dz @ Wx.T
        dWx += x[t].T @ dz
        dWh += states[t].T @ dz
        db += dz.sum(axis=0)
        dh = np.where(real[t], dz @ Wh.T, dh)
    return dx, dh, dWx, dWh, db

# %% rnn: the gradient is clipped inside
def rnn_forward(x, h0, Wx, Wh, b, mask=None):
    T, B, _ = x.shape
    real = np.ones((T, B, 1), dtype=bool) if mask is None else mask[..., None]
    states = [h0]  # states[t] is the one before step t
    for t in range(T):
        # h = tanh(x Wx + h_prev Wh + b), or handed on
        h = np.tanh(x[t] @ Wx + states[t] @ Wh + b)
        states.append(np.where(real[t], h, states[t]))
    return (np.stack(states[1:]), states[T]), (x, states, Wx, Wh, real)


def rnn_backward(dout, cache):
    dhs, dh_last = dout
    x, states, Wx, Wh, real = cache
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    dh = np.zeros_like(states[0]) if dh_last is None else dh_last
    for t in reversed(range(len(x))):
        dh = dh + (0 if dhs is None else dhs[t])
        # h = tanh(z), or handed on; where it was, dz is 0 whatever states[t + 1] holds
        dz = np.where(real[t], dh * (1 - states[t + 1] ** 2), 0)
        # z = x Wx + h_prev Wh + b
        dx[t] = dz @ Wx.T
        dWx += x[t].T @ dz
        dWh += states[t].T @ dz
        db += dz.sum(axis=0)
        dh = np.clip(np.where(real[t], dz @ Wh.T, dh), -1, 1)
    return dx, dh, dWx, dWh, db

# %% rnn: dh0 is the gradient after the first step
def rnn_forward(x, h0, Wx, Wh, b, mask=None):
    T, B, _ = x.shape
    real = np.ones((T, B, 1), dtype=bool) if mask is None else mask[..., None]
    states = [h0]  # states[t] is the one before step t
    for t in range(T):
        # h = tanh(x Wx + h_prev Wh + b), or handed on
        h = np.tanh(x[t] @ Wx + states[t] @ Wh + b)
        states.append(np.where(real[t], h, states[t]))
    return (np.stack(states[1:]), states[T]), (x, states, Wx, Wh, real)


def rnn_backward(dout, cache):
    dhs, dh_last = dout
    x, states, Wx, Wh, real = cache
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    dh = np.zeros_like(states[0]) if dh_last is None else dh_last
    for t in reversed(range(len(x))):
        dh = dh + (0 if dhs is None else dhs[t])
        # h = tanh(z), or handed on; where it was, dz is 0 whatever states[t + 1] holds
        dz = np.where(real[t], dh * (1 - states[t + 1] ** 2), 0)
        # z = x Wx + h_prev Wh + b
        dx[t] = dz @ Wx.T
        dWx += x[t].T @ dz
        dWh += states[t].T @ dz
        db += dz.sum(axis=0)
        dh = np.where(real[t], dz @ Wh.T, dh) if t else dh
    return dx, dh, dWx, dWh, db

# %% rnn: backward uses up its cache
def rnn_forward(x, h0, Wx, Wh, b, mask=None):
    T, B, _ = x.shape
    real = np.ones((T, B, 1), dtype=bool) if mask is None else mask[..., None]
    states = [h0]  # states[t] is the one before step t
    for t in range(T):
        # h = tanh(x Wx + h_prev Wh + b), or handed on
        h = np.tanh(x[t] @ Wx + states[t] @ Wh + b)
        states.append(np.where(real[t], h, states[t]))
    return (np.stack(states[1:]), states[T]), (x, states, Wx, Wh, real)


def rnn_backward(dout, cache):
    dhs, dh_last = dout
    x, states, Wx, Wh, real = cache
    states[-1] = states[-1] * 0.5
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    dh = np.zeros_like(states[0]) if dh_last is None else dh_last
    for t in reversed(range(len(x))):
        dh = dh + (0 if dhs is None else dhs[t])
        # h = tanh(z), or handed on; where it was, dz is 0 whatever states[t + 1] holds
        dz = np.where(real[t], dh * (1 - states[t + 1] ** 2), 0)
        # z = x Wx + h_prev Wh + b
        dx[t] = dz @ Wx.T
        dWx += x[t].T @ dz
        dWh += states[t].T @ dz
        db += dz.sum(axis=0)
        dh = np.where(real[t], dz @ Wh.T, dh)
    return dx, dh, dWx, dWh, db
