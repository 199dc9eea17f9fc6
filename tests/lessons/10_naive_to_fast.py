"""Right and wrong answers to the exercises of lessons/10_naive_to_fast.py."""


# %% Exercise 1, wrong: dWx is still made in the loop
def my_rnn_backward(dhs, x, hs, Wx, Wh):
    steps, rows, units = dhs.shape
    dz = np.empty(dhs.shape)
    dWx = np.zeros(Wx.shape)
    dh = np.zeros((rows, units))
    for t in reversed(range(steps)):
        dz[t] = (dh + dhs[t]) * (1 - hs[t + 1] ** 2)
        dWx += x[t].T @ dz[t]
        dh = dz[t] @ Wh.T
    flat = dz.reshape(-1, units)
    dx = (flat @ Wx.T).reshape(x.shape)
    return dx, dh, dWx, hs[:-1].reshape(-1, units).T @ flat, flat.sum(axis=0)


# %% Exercise 1, wrong: the states after the steps, where those before them met Wh
def my_rnn_backward(dhs, x, hs, Wx, Wh):
    steps, rows, units = dhs.shape
    dz = np.empty(dhs.shape)
    dh = np.zeros((rows, units))
    for t in reversed(range(steps)):
        dz[t] = (dh + dhs[t]) * (1 - hs[t + 1] ** 2)
        dh = dz[t] @ Wh.T
    flat = dz.reshape(-1, units)
    dWx = x.reshape(-1, x.shape[2]).T @ flat
    dx = (flat @ Wx.T).reshape(x.shape)
    return dx, dh, dWx, hs[1:].reshape(-1, units).T @ flat, flat.sum(axis=0)


# %% Exercise 1
def my_rnn_backward(dhs, x, hs, Wx, Wh):
    steps, rows, units = dhs.shape
    dz = np.empty(dhs.shape)
    WhT = np.ascontiguousarray(Wh.T)
    dh = np.zeros((rows, units))
    for t in reversed(range(steps)):
        dz[t] = (dh + dhs[t]) * (1 - hs[t + 1] ** 2)
        dh = dz[t] @ WhT
    flat = dz.reshape(-1, units)
    dx = (flat @ Wx.T).reshape(x.shape)
    dWx = x.reshape(-1, x.shape[2]).T @ flat
    dWh = hs[:-1].reshape(-1, units).T @ flat
    return dx, dh, dWx, dWh, flat.sum(axis=0)


# %% Exercise 2, wrong: it gives wrong numbers on the first call already
my_guess = {"slope = 1 - hs[t + 1] ** 2": "slope = 1 - hs[t] ** 2"}

# %% Exercise 2, wrong: nothing is changed on the second call
my_guess = {"dh += dhs[t]": "dh = dh + dhs[t]"}

# %% Exercise 2
my_guess = {"dh = dh_last.copy()": "dh = dh_last"}


# %% Exercise 3, wrong: all rows at once
def my_log_softmax(logits):
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


# %% Exercise 3, wrong: without the maximum exp overflows
def my_log_softmax(logits):
    out = np.empty_like(logits)
    with np.errstate(all="ignore"):
        for start in range(0, len(logits), 16):
            rows = logits[start : start + 16]
            out[start : start + 16] = rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))
    return out


# %% Exercise 3
def my_log_softmax(logits):
    out = np.empty_like(logits)
    for start in range(0, len(logits), 16):
        rows = logits[start : start + 16]
        shifted = rows - rows.max(axis=1, keepdims=True)
        out[start : start + 16] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return out
