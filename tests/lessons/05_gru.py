"""Right and wrong answers to the exercises of lessons/05_gru.py."""


# %% Exercise 1, wrong: the biases alone
def converted(Wx, Wh, bx, bh):
    H = len(Wh)
    sign = np.ones(3 * H)
    sign[H : 2 * H] = -1
    return Wx, Wh, bx * sign, bh * sign


# %% Exercise 1, wrong: the block of r, not that of u
def converted(Wx, Wh, bx, bh):
    H = len(Wh)
    sign = np.ones(3 * H)
    sign[:H] = -1
    return Wx * sign, Wh * sign, bx * sign, bh * sign


# %% Exercise 1
def converted(Wx, Wh, bx, bh):
    H = len(Wh)
    sign = np.ones(3 * H)
    sign[H : 2 * H] = -1
    return Wx * sign, Wh * sign, bx * sign, bh * sign


# %% Exercise 2, wrong: the weights of the candidate, which the verdict calls right
my_guess = {"dWh_n = h_prev.T @ dzh_n": "dWh_n = h_prev.T @ dz_n"}

# %% Exercise 2
my_guess = {
    "dbh = np.concatenate([dz_ru, dzh_n], axis=1)": "dbh = np.concatenate([dz_ru, dz_n], axis=1)",
}


# %% Exercise 3, wrong: what the candidate sends to the gate is forgotten
def mgu_forward(x, h_prev, W, U, b):
    H = len(U)
    f = sigmoid(x @ W[:, :H] + h_prev @ U[:, :H] + b[:H])
    n = np.tanh(x @ W[:, H:] + (f * h_prev) @ U[:, H:] + b[H:])
    return (1 - f) * h_prev + f * n, (x, h_prev, W, U, f, n)


def mgu_backward(dh, cache):
    x, h_prev, W, U, f, n = cache
    H = len(U)
    dz_n = dh * f * (1 - n**2)
    dfh = dz_n @ U[:, H:].T
    df = dh * (n - h_prev)
    dz_f = df * f * (1 - f)
    dz = np.concatenate([dz_f, dz_n], axis=1)
    dh_prev = dh * (1 - f) + dfh * f + dz_f @ U[:, :H].T
    dU = np.concatenate([h_prev.T @ dz_f, (f * h_prev).T @ dz_n], axis=1)
    return dz @ W.T, dh_prev, x.T @ dz, dU, dz.sum(axis=0)


# %% Exercise 3
def mgu_forward(x, h_prev, W, U, b):
    H = len(U)
    f = sigmoid(x @ W[:, :H] + h_prev @ U[:, :H] + b[:H])
    n = np.tanh(x @ W[:, H:] + (f * h_prev) @ U[:, H:] + b[H:])
    return (1 - f) * h_prev + f * n, (x, h_prev, W, U, f, n)


def mgu_backward(dh, cache):
    x, h_prev, W, U, f, n = cache
    H = len(U)
    dz_n = dh * f * (1 - n**2)
    dfh = dz_n @ U[:, H:].T
    df = dh * (n - h_prev) + dfh * h_prev
    dz_f = df * f * (1 - f)
    dz = np.concatenate([dz_f, dz_n], axis=1)
    dh_prev = dh * (1 - f) + dfh * f + dz_f @ U[:, :H].T
    dU = np.concatenate([h_prev.T @ dz_f, (f * h_prev).T @ dz_n], axis=1)
    return dz @ W.T, dh_prev, x.T @ dz, dU, dz.sum(axis=0)
