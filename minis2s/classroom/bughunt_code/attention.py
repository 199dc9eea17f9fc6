import numpy as np


def by_row(x):
    """Exchanges time and batch: then there is one matrix for each sentence."""
    return x.transpose(1, 0, 2)


def attention_forward(query, memory, W, mask=None):
    """Each query looks at all of the memory, and takes the mean by weight.

        projected = query W
        scores = projected . memory
        weights = softmax(scores)
        context = sum_s weights * memory

    Shapes: query (T, B, Q); memory (S, B, M); W (Q, M); mask (S, B) or None.

    Where `mask` is False there is padding, and its weight is 0.

    Returns (context (T, B, M), cache).
    """
    projected = query @ W
    scores = by_row(by_row(projected) @ memory.transpose(1, 2, 0))
    if mask is not None:
        scores = np.where(mask.T, scores, -1e30)
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    if mask is not None:
        e = e * mask.T
    weights = e / e.sum(axis=-1, keepdims=True)
    context = by_row(by_row(weights) @ by_row(memory))
    return context, (query, memory, W, projected, weights)


def weighted_sum_grad(dout, weights, values):
    """The gradients of a weighted sum.

    Shapes: dout (T, B, M). Returns (dweights (T, B, S), dvalues (S, B, M)).
    """
    dcontext = by_row(dout)
    # context = weights values, for each sentence
    dweights = by_row(dcontext @ values.transpose(1, 2, 0))
    dvalues = by_row(weights.transpose(1, 2, 0) @ dcontext)
    return dweights, dvalues


def masked_softmax_grad(dout, weights):
    """The gradient of the scores; where the weight is 0, as in padding, it is 0.

    Shapes: dout (T, B, S). Returns dscores (T, B, S).
    """
    # weights = softmax(scores)
    taken = (dout * weights).sum(axis=-1, keepdims=True)
    return weights * (dout - taken)


def dot_scores_grad(dout, query, keys):
    """The gradients of the products of each query with each key.

    Shapes: dout (T, B, S). Returns (dquery (T, B, M), dkeys (S, B, M)).
    """
    dscores = by_row(dout)
    # scores = query . keys, for each sentence
    dquery = by_row(dscores @ by_row(keys))
    dkeys = by_row(dscores.transpose(0, 2, 1) @ by_row(query))
    return dquery, dkeys


def attention_backward(dout, cache):
    """All gradients: the lines of the forward pass, read upward.

    Shapes: dout (T, B, M).

    The memory serves twice, as keys and as values: its gradient is the sum of both.

    Returns (dquery, dmemory, dW).
    """
    query, memory, W, projected, weights = cache
    Q, M = W.shape
    dweights, dvalues = weighted_sum_grad(dout, weights, memory)
    dscores = masked_softmax_grad(dweights, weights)
    dprojected, dkeys = dot_scores_grad(dscores, projected, memory)
    dmemory = dkeys + dvalues
    # projected = query W
    rows = dprojected.reshape(-1, M)
    dquery = (rows @ W.T).reshape(query.shape)
    dW = query.reshape(-1, Q).T @ rows
    return dquery, dmemory, dW
