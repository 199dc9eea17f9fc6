"""Right and wrong answers to the exercises of lessons/03_recurrence.py."""


# %% Exercise 1, wrong: dh_prev has only the term through tanh
def leaky_step(x, h_prev, Wx, Wh, b, a=0.1):
    m = np.tanh(x @ Wx + h_prev @ Wh + b)
    h = (1 - a) * h_prev + a * m

    def backward(dh):
        dz = a * dh * (1 - m**2)
        return dz @ Wx.T, dz @ Wh.T, x.T @ dz, h_prev.T @ dz, dz.sum(axis=0)

    return h, backward


# %% Exercise 1, wrong: the slope of tanh from h, which is not the tanh here
def leaky_step(x, h_prev, Wx, Wh, b, a=0.1):
    m = np.tanh(x @ Wx + h_prev @ Wh + b)
    h = (1 - a) * h_prev + a * m

    def backward(dh):
        dz = a * dh * (1 - h**2)
        return dz @ Wx.T, (1 - a) * dh + dz @ Wh.T, x.T @ dz, h_prev.T @ dz, dz.sum(axis=0)

    return h, backward


# %% Exercise 1
# where the second term is small, the gradient shrinks by 1 - a = 0.9 a step: 0.9^20 = 0.12
def leaky_step(x, h_prev, Wx, Wh, b, a=0.1):
    m = np.tanh(x @ Wx + h_prev @ Wh + b)
    h = (1 - a) * h_prev + a * m

    def backward(dh):
        # h = (1 - a) h_prev + a m
        dm = a * dh
        # m = tanh(z)
        dz = dm * (1 - m**2)
        # z = x Wx + h_prev Wh + b
        dx = dz @ Wx.T
        dh_prev = (1 - a) * dh + dz @ Wh.T
        return dx, dh_prev, x.T @ dz, h_prev.T @ dz, dz.sum(axis=0)

    return h, backward


# %% Exercise 2, wrong: the transpose forgotten makes dx wrong, too
my_guess = {"dh_prev = dz @ Wh.T": "dh_prev = dz @ Wh"}

# %% Exercise 2
# only dWh is wrong and all dx are right: the outer product takes the state after the step
my_guess = {"dWh = h_prev.T @ dz": "dWh = h.T @ dz"}


# %% Exercise 3, wrong: dh is forgotten after k steps counted from the end of the sequence
def truncated(dhs, caches, k):
    return rnn_backward((dhs[-k:], None), caches[-k:])[3]


# %% Exercise 3
def truncated(dhs, caches, k):
    dWh = 0.0
    for s in range(len(caches)):
        dh = dhs[s]
        for t in range(s, max(s - k, -1), -1):
            _, dh, _, dWh_t, _ = step_backward(dh, caches[t])
            dWh = dWh + dWh_t
    return dWh
