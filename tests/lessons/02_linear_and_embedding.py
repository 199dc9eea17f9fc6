"""Right and wrong answers to the exercises of lessons/02_linear_and_embedding.py."""


# %% Exercise 1, wrong: only one of the two uses of W
def tied(x, W):
    a = np.tanh(x @ W)
    y = a @ W.T

    def backward(dy):
        dz = dy @ W * (1 - a**2)
        return dz @ W.T, x.T @ dz

    return y, backward


# %% Exercise 1
def tied(x, W):
    a = np.tanh(x @ W)
    y = a @ W.T

    def backward(dy):
        # y = a W^T
        da = dy @ W
        dW = dy.T @ a
        # a = tanh(x W)
        dz = da * (1 - a**2)
        dx = dz @ W.T
        dW = dW + x.T @ dz  # W is used twice: two terms
        return dx, dW

    return y, backward


# %% Exercise 2, wrong: the lost gradients of section 4
def my_guess(dout, ids, V):
    dW = np.zeros((V, dout.shape[1]))
    dW[ids] += dout
    return dW


# %% Exercise 2
# the ratio is 1 / occurrences: the mean of an id's gradients where their sum belongs
def my_guess(dout, ids, V):
    dW = np.zeros((V, dout.shape[1]))
    for v in set(ids.tolist()):
        dW[v] = dout[ids == v].mean(axis=0)
    return dW


# %% Exercise 3, wrong: the one-hot matrix is float64, and so is the result
def my_scatter(dout, ids, V):
    D = dout.shape[-1]
    return one_hot(ids.reshape(-1), V).T @ dout.reshape(-1, D)


# %% Exercise 3, wrong: repeated ids
def my_scatter(dout, ids, V):
    dW = np.zeros((V, dout.shape[-1]), dtype=dout.dtype)
    dW[ids] += dout
    return dW


# %% Exercise 3
def my_scatter(dout, ids, V):
    D = dout.shape[-1]
    X = np.arange(V)[:, None] == ids.reshape(-1)  # (V, N): the one-hot rows, transposed
    return X.astype(dout.dtype) @ dout.reshape(-1, D)
