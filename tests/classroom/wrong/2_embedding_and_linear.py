"""Wrong answers to assignment 2: none of them may get all points of its task. Each cell is the whole answer."""


# %% linear: the bias is forgotten
def linear_forward(x, W, b=None):
    # out = x W + b
    out = x @ W
    return out, (x, W, b is not None)


def linear_backward(dout, cache):
    x, W, has_bias = cache
    D, K = W.shape
    rows, drows = x.reshape(-1, D), dout.reshape(-1, K)
    # out = x W + b
    dx = dout @ W.T
    dW = rows.T @ drows
    db = drows.sum(axis=0) if has_bias else None
    return dx, dW, db


# %% linear: fails without a bias
def linear_forward(x, W, b=None):
    # out = x W + b
    out = x @ W
    out = out + b
    return out, (x, W, b is not None)


def linear_backward(dout, cache):
    x, W, has_bias = cache
    D, K = W.shape
    rows, drows = x.reshape(-1, D), dout.reshape(-1, K)
    # out = x W + b
    dx = dout @ W.T
    dW = rows.T @ drows
    db = drows.sum(axis=0) if has_bias else None
    return dx, dW, db


# %% linear: dx with W and not its transpose where both fit
def linear_forward(x, W, b=None):
    # out = x W + b
    out = x @ W
    if b is not None:
        out = out + b
    return out, (x, W, b is not None)


def linear_backward(dout, cache):
    x, W, has_bias = cache
    D, K = W.shape
    rows, drows = x.reshape(-1, D), dout.reshape(-1, K)
    # out = x W + b
    dx = dout @ (W if D == K else W.T)
    dW = rows.T @ drows
    db = drows.sum(axis=0) if has_bias else None
    return dx, dW, db


# %% linear: W reshaped, not transposed
def linear_forward(x, W, b=None):
    # out = x W + b
    out = x @ W
    if b is not None:
        out = out + b
    return out, (x, W, b is not None)


def linear_backward(dout, cache):
    x, W, has_bias = cache
    D, K = W.shape
    rows, drows = x.reshape(-1, D), dout.reshape(-1, K)
    # out = x W + b
    dx = dout @ W.reshape(K, D)
    dW = rows.T @ drows
    db = drows.sum(axis=0) if has_bias else None
    return dx, dW, db


# %% linear: dW of the last step only
def linear_forward(x, W, b=None):
    # out = x W + b
    out = x @ W
    if b is not None:
        out = out + b
    return out, (x, W, b is not None)


def linear_backward(dout, cache):
    x, W, has_bias = cache
    D, K = W.shape
    drows = dout.reshape(-1, K)
    # out = x W + b
    dx = dout @ W.T
    dW = x[-1].reshape(-1, D).T @ dout[-1].reshape(-1, K)
    db = drows.sum(axis=0) if has_bias else None
    return dx, dW, db


# %% linear: dW is a mean over the rows
def linear_forward(x, W, b=None):
    # out = x W + b
    out = x @ W
    if b is not None:
        out = out + b
    return out, (x, W, b is not None)


def linear_backward(dout, cache):
    x, W, has_bias = cache
    D, K = W.shape
    rows, drows = x.reshape(-1, D), dout.reshape(-1, K)
    # out = x W + b
    dx = dout @ W.T
    dW = rows.T @ drows / len(rows)
    db = drows.sum(axis=0) if has_bias else None
    return dx, dW, db


# %% linear: the rows of dW are mixed
def linear_forward(x, W, b=None):
    # out = x W + b
    out = x @ W
    if b is not None:
        out = out + b
    return out, (x, W, b is not None)


def linear_backward(dout, cache):
    x, W, has_bias = cache
    D, K = W.shape
    rows, drows = x.swapaxes(0, -2).reshape(-1, D), dout.reshape(-1, K)
    # out = x W + b
    dx = dout @ W.T
    dW = rows.T @ drows
    db = drows.sum(axis=0) if has_bias else None
    return dx, dW, db


# %% linear: dW does not use what comes from above
def linear_forward(x, W, b=None):
    # out = x W + b
    out = x @ W
    if b is not None:
        out = out + b
    return out, (x, W, b is not None)


def linear_backward(dout, cache):
    x, W, has_bias = cache
    D, K = W.shape
    rows, drows = x.reshape(-1, D), dout.reshape(-1, K)
    # out = x W + b
    dx = dout @ W.T
    dW = rows.T @ np.ones_like(drows)
    db = drows.sum(axis=0) if has_bias else None
    return dx, dW, db


# %% linear: db is a mean over the rows
def linear_forward(x, W, b=None):
    # out = x W + b
    out = x @ W
    if b is not None:
        out = out + b
    return out, (x, W, b is not None)


def linear_backward(dout, cache):
    x, W, has_bias = cache
    D, K = W.shape
    rows, drows = x.reshape(-1, D), dout.reshape(-1, K)
    # out = x W + b
    dx = dout @ W.T
    dW = rows.T @ drows
    db = drows.mean(axis=0) if has_bias else None
    return dx, dW, db


# %% linear: db is summed over the first axis only
def linear_forward(x, W, b=None):
    # out = x W + b
    out = x @ W
    if b is not None:
        out = out + b
    return out, (x, W, b is not None)


def linear_backward(dout, cache):
    x, W, has_bias = cache
    D, K = W.shape
    rows, drows = x.reshape(-1, D), dout.reshape(-1, K)
    # out = x W + b
    dx = dout @ W.T
    dW = rows.T @ drows
    db = dout.sum(axis=0) if has_bias else None
    return dx, dW, db


# %% linear: db where there is no bias
def linear_forward(x, W, b=None):
    # out = x W + b
    out = x @ W
    if b is not None:
        out = out + b
    return out, (x, W, b is not None)


def linear_backward(dout, cache):
    x, W, has_bias = cache
    D, K = W.shape
    rows, drows = x.reshape(-1, D), dout.reshape(-1, K)
    # out = x W + b
    dx = dout @ W.T
    dW = rows.T @ drows
    db = drows.sum(axis=0)
    return dx, dW, db


# %% linear: only for three axes
def linear_forward(x, W, b=None):
    # out = x W + b
    out = x @ W
    if b is not None:
        out = out + b
    return out, (x, W, b is not None)


def linear_backward(dout, cache):
    x, W, has_bias = cache
    D, K = W.shape
    T, B, _ = x.shape
    rows, drows = x.reshape(T * B, D), dout.reshape(T * B, K)
    # out = x W + b
    dx = dout @ W.T
    dW = rows.T @ drows
    db = drows.sum(axis=0) if has_bias else None
    return dx, dW, db


# %% linear: dx and dW exchanged
def linear_forward(x, W, b=None):
    # out = x W + b
    out = x @ W
    if b is not None:
        out = out + b
    return out, (x, W, b is not None)


def linear_backward(dout, cache):
    x, W, has_bias = cache
    D, K = W.shape
    rows, drows = x.reshape(-1, D), dout.reshape(-1, K)
    # out = x W + b
    dx = dout @ W.T
    dW = rows.T @ drows
    db = drows.sum(axis=0) if has_bias else None
    return dW, dx, db


# %% linear: no db
def linear_forward(x, W, b=None):
    # out = x W + b
    out = x @ W
    if b is not None:
        out = out + b
    return out, (x, W, b is not None)


def linear_backward(dout, cache):
    x, W, _ = cache
    D, K = W.shape
    rows, drows = x.reshape(-1, D), dout.reshape(-1, K)
    # out = x W + b
    dx = dout @ W.T
    dW = rows.T @ drows
    return dx, dW


# %% linear: dx has rows, not the axes of x
def linear_forward(x, W, b=None):
    # out = x W + b
    out = x @ W
    if b is not None:
        out = out + b
    return out, (x, W, b is not None)


def linear_backward(dout, cache):
    x, W, has_bias = cache
    D, K = W.shape
    rows, drows = x.reshape(-1, D), dout.reshape(-1, K)
    # out = x W + b
    dx = drows @ W.T
    dW = rows.T @ drows
    db = drows.sum(axis=0) if has_bias else None
    return dx, dW, db


# %% linear: its cache is changed
def linear_forward(x, W, b=None):
    # out = x W + b
    out = x @ W
    if b is not None:
        out = out + b
    return out, (x, W, b is not None)


def linear_backward(dout, cache):
    x, W, has_bias = cache
    D, K = W.shape
    rows, drows = x.reshape(-1, D), dout.reshape(-1, K)
    # out = x W + b
    dx = dout @ W.T
    dW = rows.T @ drows
    W *= 0.9
    db = drows.sum(axis=0) if has_bias else None
    return dx, dW, db


# %% embedding: added by index: of repeated ids one gradient is left
def embedding_forward(W, ids):
    # out[n] = W[ids[n]]
    return W[ids], (W.shape, ids)


def embedding_backward(dout, cache):
    shape, ids = cache
    dW = np.zeros(shape, dtype=dout.dtype)
    # out[n] = W[ids[n]]
    dW[ids] += dout
    return dW


# %% embedding: assigned: of repeated ids the last gradient is left
def embedding_forward(W, ids):
    # out[n] = W[ids[n]]
    return W[ids], (W.shape, ids)


def embedding_backward(dout, cache):
    shape, ids = cache
    dW = np.zeros(shape, dtype=dout.dtype)
    # out[n] = W[ids[n]]
    dW[ids] = dout
    return dW


# %% embedding: repeated ids receive a mean
def embedding_forward(W, ids):
    # out[n] = W[ids[n]]
    return W[ids], (W.shape, ids)


def embedding_backward(dout, cache):
    shape, ids = cache
    dW = np.zeros(shape, dtype=dout.dtype)
    # out[n] = W[ids[n]]
    np.add.at(dW, ids.reshape(-1), dout.reshape(-1, shape[1]))
    return dW / np.maximum(np.bincount(ids.reshape(-1), minlength=shape[0]), 1)[:, None]


# %% embedding: ids flattened word by word
def embedding_forward(W, ids):
    # out[n] = W[ids[n]]
    return W[ids], (W.shape, ids)


def embedding_backward(dout, cache):
    shape, ids = cache
    dW = np.zeros(shape, dtype=dout.dtype)
    # out[n] = W[ids[n]]
    np.add.at(dW, ids.T.reshape(-1), dout.reshape(-1, shape[1]))
    return dW


# %% embedding: the next row is taken
def embedding_forward(W, ids):
    # out[n] = W[ids[n]]
    return W[ids - 1], (W.shape, ids)


def embedding_backward(dout, cache):
    shape, ids = cache
    dW = np.zeros(shape, dtype=dout.dtype)
    # out[n] = W[ids[n]]
    np.add.at(dW, ids.reshape(-1), dout.reshape(-1, shape[1]))
    return dW


# %% embedding: rows of other letters get a gradient
def embedding_forward(W, ids):
    # out[n] = W[ids[n]]
    return W[ids], (W.shape, ids)


def embedding_backward(dout, cache):
    shape, ids = cache
    dW = np.ones(shape, dtype=dout.dtype)
    # out[n] = W[ids[n]]
    np.add.at(dW, ids.reshape(-1), dout.reshape(-1, shape[1]))
    return dW


# %% embedding: the table has as many rows as there are ids
def embedding_forward(W, ids):
    # out[n] = W[ids[n]]
    return W[ids], ((ids.max() + 1, W.shape[1]), ids)


def embedding_backward(dout, cache):
    shape, ids = cache
    dW = np.zeros(shape, dtype=dout.dtype)
    # out[n] = W[ids[n]]
    np.add.at(dW, ids.reshape(-1), dout.reshape(-1, shape[1]))
    return dW


# %% embedding: only for ids of two axes
def embedding_forward(W, ids):
    # out[n] = W[ids[n]]
    return W[ids], (W.shape, ids)


def embedding_backward(dout, cache):
    shape, ids = cache
    dW = np.zeros(shape, dtype=dout.dtype)
    T, B = ids.shape
    for t in range(T):
        for b in range(B):
            dW[ids[t, b]] += dout[t, b]
    return dW


# %% embedding: a gradient of ones
def embedding_forward(W, ids):
    # out[n] = W[ids[n]]
    return W[ids], (W.shape, ids)


def embedding_backward(dout, cache):
    shape, ids = cache
    dW = np.zeros(shape, dtype=dout.dtype)
    # out[n] = W[ids[n]]
    np.add.at(dW, ids.reshape(-1), 1.0)
    return dW


# %% embedding: integers
def embedding_forward(W, ids):
    # out[n] = W[ids[n]]
    return W[ids], (W.shape, ids)


def embedding_backward(dout, cache):
    shape, ids = cache
    dW = np.zeros(shape, dtype=int)
    # out[n] = W[ids[n]]
    np.add.at(dW, ids.reshape(-1), dout.reshape(-1, shape[1]).astype(int))
    return dW


# %% embedding: each letter counts once in a column
def embedding_forward(W, ids):
    # out[n] = W[ids[n]]
    return W[ids], (W.shape, ids)


def embedding_backward(dout, cache):
    shape, ids = cache
    dW = np.zeros(shape, dtype=dout.dtype)
    for row, d in zip(ids, dout, strict=True):
        dW[row] += d
    return dW


# %% tied: the table as input receives no gradient
def tied_forward(E, c, ids, mask=None):
    real = np.ones(ids.shape) if mask is None else mask.astype(float)
    # m_b = sum over real t of E[ids_tb] / N_b
    share = real / np.maximum(real.sum(axis=0), 1)  # (T, B)
    mean = (E[ids] * share[..., None]).sum(axis=0)
    # scores = m E^T + c
    return mean @ E.T + c, (E, ids, share, mean)


def tied_backward(dscores, cache):
    *_, mean = cache
    # scores = m E^T + c
    dc = dscores.sum(axis=0)
    dE = dscores.T @ mean
    return dE, dc


# %% tied: the table as output receives no gradient
def tied_forward(E, c, ids, mask=None):
    real = np.ones(ids.shape) if mask is None else mask.astype(float)
    # m_b = sum over real t of E[ids_tb] / N_b
    share = real / np.maximum(real.sum(axis=0), 1)  # (T, B)
    mean = (E[ids] * share[..., None]).sum(axis=0)
    # scores = m E^T + c
    return mean @ E.T + c, (E, ids, share, mean)


def tied_backward(dscores, cache):
    E, ids, share, mean = cache
    # scores = m E^T + c
    dc = dscores.sum(axis=0)
    dE = np.zeros_like(E)
    dmean = dscores @ E
    # m_b = sum over real t of E[ids_tb] / N_b
    drows = share[..., None] * dmean  # (T, B, D)
    np.add.at(dE, ids, drows)
    return dE, dc


# %% tied: the second part replaces the first
def tied_forward(E, c, ids, mask=None):
    real = np.ones(ids.shape) if mask is None else mask.astype(float)
    # m_b = sum over real t of E[ids_tb] / N_b
    share = real / np.maximum(real.sum(axis=0), 1)  # (T, B)
    mean = (E[ids] * share[..., None]).sum(axis=0)
    # scores = m E^T + c
    return mean @ E.T + c, (E, ids, share, mean)


def tied_backward(dscores, cache):
    E, ids, share, mean = cache
    # scores = m E^T + c
    dc = dscores.sum(axis=0)
    dE = dscores.T @ mean
    dmean = dscores @ E
    # m_b = sum over real t of E[ids_tb] / N_b
    drows = share[..., None] * dmean  # (T, B, D)
    dE = np.zeros_like(E)
    np.add.at(dE, ids, drows)
    return dE, dc


# %% tied: added by index: of repeated letters one gradient is left
def tied_forward(E, c, ids, mask=None):
    real = np.ones(ids.shape) if mask is None else mask.astype(float)
    # m_b = sum over real t of E[ids_tb] / N_b
    share = real / np.maximum(real.sum(axis=0), 1)  # (T, B)
    mean = (E[ids] * share[..., None]).sum(axis=0)
    # scores = m E^T + c
    return mean @ E.T + c, (E, ids, share, mean)


def tied_backward(dscores, cache):
    E, ids, share, mean = cache
    # scores = m E^T + c
    dc = dscores.sum(axis=0)
    dE = dscores.T @ mean
    dmean = dscores @ E
    # m_b = sum over real t of E[ids_tb] / N_b
    drows = share[..., None] * dmean  # (T, B, D)
    dE[ids] += drows
    return dE, dc


# %% tied: a sum, not a mean
def tied_forward(E, c, ids, mask=None):
    real = np.ones(ids.shape) if mask is None else mask.astype(float)
    # m_b = sum over real t of E[ids_tb] / N_b
    share = real  # (T, B)
    mean = (E[ids] * share[..., None]).sum(axis=0)
    # scores = m E^T + c
    return mean @ E.T + c, (E, ids, share, mean)


def tied_backward(dscores, cache):
    E, ids, share, mean = cache
    # scores = m E^T + c
    dc = dscores.sum(axis=0)
    dE = dscores.T @ mean
    dmean = dscores @ E
    # m_b = sum over real t of E[ids_tb] / N_b
    drows = share[..., None] * dmean  # (T, B, D)
    np.add.at(dE, ids, drows)
    return dE, dc


# %% tied: padding counts in the mean
def tied_forward(E, c, ids, mask=None):
    real = np.ones(ids.shape) if mask is None else mask.astype(float)
    # m_b = sum over real t of E[ids_tb] / N_b
    share = real / len(ids)  # (T, B)
    mean = (E[ids] * share[..., None]).sum(axis=0)
    # scores = m E^T + c
    return mean @ E.T + c, (E, ids, share, mean)


def tied_backward(dscores, cache):
    E, ids, share, mean = cache
    # scores = m E^T + c
    dc = dscores.sum(axis=0)
    dE = dscores.T @ mean
    dmean = dscores @ E
    # m_b = sum over real t of E[ids_tb] / N_b
    drows = share[..., None] * dmean  # (T, B, D)
    np.add.at(dE, ids, drows)
    return dE, dc


# %% tied: the mask is ignored
def tied_forward(E, c, ids, mask=None):
    real = np.ones(ids.shape)
    # m_b = sum over real t of E[ids_tb] / N_b
    share = real / np.maximum(real.sum(axis=0), 1)  # (T, B)
    mean = (E[ids] * share[..., None]).sum(axis=0)
    # scores = m E^T + c
    return mean @ E.T + c, (E, ids, share, mean)


def tied_backward(dscores, cache):
    E, ids, share, mean = cache
    # scores = m E^T + c
    dc = dscores.sum(axis=0)
    dE = dscores.T @ mean
    dmean = dscores @ E
    # m_b = sum over real t of E[ids_tb] / N_b
    drows = share[..., None] * dmean  # (T, B, D)
    np.add.at(dE, ids, drows)
    return dE, dc


# %% tied: nan where nothing is seen
def tied_forward(E, c, ids, mask=None):
    real = np.ones(ids.shape) if mask is None else mask.astype(float)
    # m_b = sum over real t of E[ids_tb] / N_b
    share = real / real.sum(axis=0)  # (T, B)
    mean = (E[ids] * share[..., None]).sum(axis=0)
    # scores = m E^T + c
    return mean @ E.T + c, (E, ids, share, mean)


def tied_backward(dscores, cache):
    E, ids, share, mean = cache
    # scores = m E^T + c
    dc = dscores.sum(axis=0)
    dE = dscores.T @ mean
    dmean = dscores @ E
    # m_b = sum over real t of E[ids_tb] / N_b
    drows = share[..., None] * dmean  # (T, B, D)
    np.add.at(dE, ids, drows)
    return dE, dc


# %% tied: one count for all words
def tied_forward(E, c, ids, mask=None):
    real = np.ones(ids.shape) if mask is None else mask.astype(float)
    # m_b = sum over real t of E[ids_tb] / N_b
    share = real / max(real.sum() / ids.shape[1], 1)  # (T, B)
    mean = (E[ids] * share[..., None]).sum(axis=0)
    # scores = m E^T + c
    return mean @ E.T + c, (E, ids, share, mean)


def tied_backward(dscores, cache):
    E, ids, share, mean = cache
    # scores = m E^T + c
    dc = dscores.sum(axis=0)
    dE = dscores.T @ mean
    dmean = dscores @ E
    # m_b = sum over real t of E[ids_tb] / N_b
    drows = share[..., None] * dmean  # (T, B, D)
    np.add.at(dE, ids, drows)
    return dE, dc


# %% tied: the gradient of the mean is not divided
def tied_forward(E, c, ids, mask=None):
    real = np.ones(ids.shape) if mask is None else mask.astype(float)
    # m_b = sum over real t of E[ids_tb] / N_b
    share = real / np.maximum(real.sum(axis=0), 1)  # (T, B)
    mean = (E[ids] * share[..., None]).sum(axis=0)
    # scores = m E^T + c
    return mean @ E.T + c, (E, ids, share, mean)


def tied_backward(dscores, cache):
    E, ids, share, mean = cache
    # scores = m E^T + c
    dc = dscores.sum(axis=0)
    dE = dscores.T @ mean
    dmean = dscores @ E
    # m_b = sum over real t of E[ids_tb] / N_b
    drows = (share > 0)[..., None] * dmean  # (T, B, D)
    np.add.at(dE, ids, drows)
    return dE, dc


# %% tied: padding receives a gradient
def tied_forward(E, c, ids, mask=None):
    real = np.ones(ids.shape) if mask is None else mask.astype(float)
    # m_b = sum over real t of E[ids_tb] / N_b
    share = real / np.maximum(real.sum(axis=0), 1)  # (T, B)
    mean = (E[ids] * share[..., None]).sum(axis=0)
    # scores = m E^T + c
    return mean @ E.T + c, (E, ids, share, mean)


def tied_backward(dscores, cache):
    E, ids, share, mean = cache
    # scores = m E^T + c
    dc = dscores.sum(axis=0)
    dE = dscores.T @ mean
    dmean = dscores @ E
    # m_b = sum over real t of E[ids_tb] / N_b
    drows = share.max(axis=0)[:, None] * dmean + 0 * share[..., None]  # (T, B, D)
    np.add.at(dE, ids, drows)
    return dE, dc


# %% tied: no bias
def tied_forward(E, c, ids, mask=None):
    real = np.ones(ids.shape) if mask is None else mask.astype(float)
    # m_b = sum over real t of E[ids_tb] / N_b
    share = real / np.maximum(real.sum(axis=0), 1)  # (T, B)
    mean = (E[ids] * share[..., None]).sum(axis=0)
    # scores = m E^T + c
    return mean @ E.T, (E, ids, share, mean)


def tied_backward(dscores, cache):
    E, ids, share, mean = cache
    # scores = m E^T + c
    dc = dscores.sum(axis=0)
    dE = dscores.T @ mean
    dmean = dscores @ E
    # m_b = sum over real t of E[ids_tb] / N_b
    drows = share[..., None] * dmean  # (T, B, D)
    np.add.at(dE, ids, drows)
    return dE, dc


# %% tied: dc is a mean over the words
def tied_forward(E, c, ids, mask=None):
    real = np.ones(ids.shape) if mask is None else mask.astype(float)
    # m_b = sum over real t of E[ids_tb] / N_b
    share = real / np.maximum(real.sum(axis=0), 1)  # (T, B)
    mean = (E[ids] * share[..., None]).sum(axis=0)
    # scores = m E^T + c
    return mean @ E.T + c, (E, ids, share, mean)


def tied_backward(dscores, cache):
    E, ids, share, mean = cache
    # scores = m E^T + c
    dc = dscores.mean(axis=0)
    dE = dscores.T @ mean
    dmean = dscores @ E
    # m_b = sum over real t of E[ids_tb] / N_b
    drows = share[..., None] * dmean  # (T, B, D)
    np.add.at(dE, ids, drows)
    return dE, dc


# %% tied: dE and dc exchanged
def tied_forward(E, c, ids, mask=None):
    real = np.ones(ids.shape) if mask is None else mask.astype(float)
    # m_b = sum over real t of E[ids_tb] / N_b
    share = real / np.maximum(real.sum(axis=0), 1)  # (T, B)
    mean = (E[ids] * share[..., None]).sum(axis=0)
    # scores = m E^T + c
    return mean @ E.T + c, (E, ids, share, mean)


def tied_backward(dscores, cache):
    E, ids, share, mean = cache
    # scores = m E^T + c
    dc = dscores.sum(axis=0)
    dE = dscores.T @ mean
    dmean = dscores @ E
    # m_b = sum over real t of E[ids_tb] / N_b
    drows = share[..., None] * dmean  # (T, B, D)
    np.add.at(dE, ids, drows)
    return dc, dE


# %% tied: backward takes the cache of the last forward pass, whichever that was
KEPT = {}


def tied_forward(E, c, ids, mask=None):
    real = np.ones(ids.shape) if mask is None else mask.astype(float)
    share = real / np.maximum(real.sum(axis=0), 1)
    mean = (E[ids] * share[..., None]).sum(axis=0)
    KEPT["cache"] = (E, ids, share, mean)
    return (mean @ E.T + c, None)


def tied_backward(dscores, cache):
    cache = KEPT["cache"]
    E, ids, share, mean = cache
    dc = dscores.sum(axis=0)
    dE = dscores.T @ mean
    dmean = dscores @ E
    drows = share[..., None] * dmean
    np.add.at(dE, ids, drows)
    return (dE, dc)
