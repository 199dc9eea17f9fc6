"""Wrong answers to assignment 6: none of them may get all points of its task. Each cell is the whole answer."""


# %% dot_scores: the gradients are exchanged
def dot_scores_forward(query, keys):
    return np.einsum("tba,sba->tbs", query, keys), (query, keys)


def dot_scores_backward(dscores, cache):
    query, keys = cache
    dquery = np.einsum("tbs,sba->tba", dscores, keys)
    dkeys = np.einsum("tbs,tba->sba", dscores, query)
    return dkeys, dquery


# %% dot_scores: dkeys of the first query only
def dot_scores_forward(query, keys):
    return np.einsum("tba,sba->tbs", query, keys), (query, keys)


def dot_scores_backward(dscores, cache):
    query, keys = cache
    dquery = np.einsum("tbs,sba->tba", dscores, keys)
    dkeys = np.einsum("bs,ba->sba", dscores[0], query[0])
    return dquery, dkeys


# %% dot_scores: divided by the root of A, forward and backward
def dot_scores_forward(query, keys):
    return np.einsum("tba,sba->tbs", query, keys) / query.shape[2] ** 0.5, (query, keys)


def dot_scores_backward(dscores, cache):
    query, keys = cache
    dscores = dscores / query.shape[2] ** 0.5
    dquery = np.einsum("tbs,sba->tba", dscores, keys)
    dkeys = np.einsum("tbs,tba->sba", dscores, query)
    return dquery, dkeys


# %% dot_scores: finite differences in place of calculus
def dot_scores_forward(query, keys):
    return np.einsum("tba,sba->tbs", query, keys), (query, keys)


def dot_scores_backward(dscores, cache):
    grads = []
    for k in range(2):
        grad = np.zeros_like(cache[k])
        for index in np.ndindex(grad.shape):
            up, down = [a.copy() for a in cache], [a.copy() for a in cache]
            up[k][index] += 1e-5
            down[k][index] -= 1e-5
            change = dot_scores_forward(*up)[0] - dot_scores_forward(*down)[0]
            grad[index] = (dscores * change).sum() / 2e-5
        grads.append(grad)
    return tuple(grads)


# %% general_scores: dW of the projected keys, without the queries' sum over the batch
def general_scores_forward(query, keys, W):
    projected = query @ W
    return np.einsum("tba,sba->tbs", projected, keys), (query, keys, W, projected)


def general_scores_backward(dscores, cache):
    query, keys, W, projected = cache
    dprojected = np.einsum("tbs,sba->tba", dscores, keys)
    dkeys = np.einsum("tbs,tba->sba", dscores, projected)
    return dprojected @ W.T, dkeys, np.einsum("tq,ta->qa", query[:, 0], dprojected[:, 0])


# %% general_scores: dkeys uses the query where the projected query belongs (only fits when Q = A)
def general_scores_forward(query, keys, W):
    return np.einsum("tba,sba->tbs", query @ W, keys), (query, keys, W)


def general_scores_backward(dscores, cache):
    query, keys, W = cache
    dprojected = np.einsum("tbs,sba->tba", dscores, keys)
    width = min(query.shape[2], keys.shape[2])
    dkeys = np.zeros_like(keys)
    dkeys[:, :, :width] = np.einsum("tbs,tba->sba", dscores, query[:, :, :width])
    return dprojected @ W.T, dkeys, np.einsum("tbq,tba->qa", query, dprojected)


# %% general_scores: dquery is the gradient of the projected query
def general_scores_forward(query, keys, W):
    projected = query @ W
    return np.einsum("tba,sba->tbs", projected, keys), (query, keys, W, projected)


def general_scores_backward(dscores, cache):
    query, keys, W, projected = cache
    dprojected = np.einsum("tbs,sba->tba", dscores, keys)
    dkeys = np.einsum("tbs,tba->sba", dscores, projected)
    return dprojected, dkeys, np.einsum("tbq,tba->qa", query, dprojected)


# %% additive_scores: the derivative of tanh is left out
def additive_scores_forward(query, keys, Wq, v):
    a = np.tanh((query @ Wq)[:, None] + keys[None])
    return np.einsum("tsba,a->tbs", a, v), (query, Wq, v, a)


def additive_scores_backward(dscores, cache):
    query, Wq, v, a = cache
    dz = np.einsum("tbs,a->tsba", dscores, v)
    dprojected = dz.sum(axis=1)
    dWq = np.einsum("tbq,tba->qa", query, dprojected)
    return dprojected @ Wq.T, dz.sum(axis=0), dWq, np.einsum("tbs,tsba->a", dscores, a)


# %% additive_scores: 1 - a in place of 1 - a**2
def additive_scores_forward(query, keys, Wq, v):
    a = np.tanh((query @ Wq)[:, None] + keys[None])
    return np.einsum("tsba,a->tbs", a, v), (query, Wq, v, a)


def additive_scores_backward(dscores, cache):
    query, Wq, v, a = cache
    dz = np.einsum("tbs,a->tsba", dscores, v) * (1 - a)
    dprojected = dz.sum(axis=1)
    dWq = np.einsum("tbq,tba->qa", query, dprojected)
    return dprojected @ Wq.T, dz.sum(axis=0), dWq, np.einsum("tbs,tsba->a", dscores, a)


# %% additive_scores: dv sums z where tanh(z) belongs
def additive_scores_forward(query, keys, Wq, v):
    a = np.tanh((query @ Wq)[:, None] + keys[None])
    return np.einsum("tsba,a->tbs", a, v), (query, Wq, v, a)


def additive_scores_backward(dscores, cache):
    query, Wq, v, a = cache
    dz = np.einsum("tbs,a->tsba", dscores, v) * (1 - a**2)
    dprojected = dz.sum(axis=1)
    dWq = np.einsum("tbq,tba->qa", query, dprojected)
    return dprojected @ Wq.T, dz.sum(axis=0), dWq, np.einsum("tbs,tsba->a", dscores, np.arctanh(a))


# %% additive_scores: tanh of the query only, forward and backward
def additive_scores_forward(query, keys, Wq, v):
    a = np.tanh(query @ Wq)
    return np.einsum("tsba,a->tbs", a[:, None] + keys[None], v), (query, keys, Wq, v, a)


def additive_scores_backward(dscores, cache):
    query, keys, Wq, v, a = cache
    da = np.einsum("tbs,a->tba", dscores, v)
    dprojected = da * (1 - a**2)
    dkeys = np.einsum("tbs,a->sba", dscores, v)
    dv = np.einsum("tbs,tsba->a", dscores, a[:, None] + keys[None])
    return dprojected @ Wq.T, dkeys, np.einsum("tbq,tba->qa", query, dprojected), dv


# %% masked_softmax: multiplied by the mask after the softmax
def masked_softmax_forward(scores, mask=None):
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights = e / e.sum(axis=-1, keepdims=True)
    if mask is not None:
        weights = weights * mask.T
    return weights, weights


def masked_softmax_backward(dweights, cache):
    return cache * (dweights - (cache * dweights).sum(axis=-1, keepdims=True))


# %% masked_softmax: the largest score of all positions is subtracted, the padded ones too
def masked_softmax_forward(scores, mask=None):
    real = 1.0 if mask is None else mask.T
    e = np.exp(scores - scores.max(axis=-1, keepdims=True)) * real
    total = e.sum(axis=-1, keepdims=True)
    weights = e / np.where(total == 0, 1, total)
    return weights, weights


def masked_softmax_backward(dweights, cache):
    return cache * (dweights - (cache * dweights).sum(axis=-1, keepdims=True))


# %% masked_softmax: nothing is subtracted, so exp overflows
def masked_softmax_forward(scores, mask=None):
    real = np.ones_like(scores, dtype=bool) if mask is None else np.broadcast_to(mask.T, scores.shape)
    e = np.where(real, np.exp(np.where(real, scores, 0)), 0)
    total = e.sum(axis=-1, keepdims=True)
    weights = e / np.where(total == 0, 1, total)
    return weights, weights


def masked_softmax_backward(dweights, cache):
    return cache * (dweights - (cache * dweights).sum(axis=-1, keepdims=True))


# %% masked_softmax: without a real position it is 0 / 0
def masked_softmax_forward(scores, mask=None):
    if mask is not None:
        scores = np.where(mask.T, scores, -np.inf)
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights = e / e.sum(axis=-1, keepdims=True)
    return weights, weights


def masked_softmax_backward(dweights, cache):
    return cache * (dweights - (cache * dweights).sum(axis=-1, keepdims=True))


# %% masked_softmax: without a real position all weights are equal
def masked_softmax_forward(scores, mask=None):
    if mask is not None:
        scores = np.where(mask.T, scores, -1e30)
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights = e / e.sum(axis=-1, keepdims=True)
    return weights, weights


def masked_softmax_backward(dweights, cache):
    return cache * (dweights - (cache * dweights).sum(axis=-1, keepdims=True))


# %% masked_softmax: the mean of dw is not weighted
def masked_softmax_forward(scores, mask=None):
    real = np.ones_like(scores, dtype=bool) if mask is None else np.broadcast_to(mask.T, scores.shape)
    largest = np.where(real, scores, -1e30).max(axis=-1, keepdims=True)
    e = np.where(real, np.exp(np.where(real, scores - largest, 0)), 0)
    total = e.sum(axis=-1, keepdims=True)
    weights = e / np.where(total == 0, 1, total)
    return weights, weights


def masked_softmax_backward(dweights, cache):
    return cache * (dweights - dweights.mean(axis=-1, keepdims=True))


# %% masked_softmax: only the diagonal of the Jacobian
def masked_softmax_forward(scores, mask=None):
    real = np.ones_like(scores, dtype=bool) if mask is None else np.broadcast_to(mask.T, scores.shape)
    largest = np.where(real, scores, -1e30).max(axis=-1, keepdims=True)
    e = np.where(real, np.exp(np.where(real, scores - largest, 0)), 0)
    total = e.sum(axis=-1, keepdims=True)
    weights = e / np.where(total == 0, 1, total)
    return weights, weights


def masked_softmax_backward(dweights, cache):
    return dweights * cache * (1 - cache)


# %% masked_softmax: backward changes its cache
def masked_softmax_forward(scores, mask=None):
    real = np.ones_like(scores, dtype=bool) if mask is None else np.broadcast_to(mask.T, scores.shape)
    largest = np.where(real, scores, -1e30).max(axis=-1, keepdims=True)
    e = np.where(real, np.exp(np.where(real, scores - largest, 0)), 0)
    total = e.sum(axis=-1, keepdims=True)
    weights = e / np.where(total == 0, 1, total)
    return weights.copy(), weights


def masked_softmax_backward(dweights, cache):
    mean = (cache * dweights).sum(axis=-1, keepdims=True)
    cache *= dweights - mean
    return cache.copy()


# %% masked_softmax: sums over the queries
def masked_softmax_forward(scores, mask=None):
    real = np.ones_like(scores, dtype=bool) if mask is None else np.broadcast_to(mask.T, scores.shape)
    e = np.where(real, np.exp(np.where(real, scores - scores.max(axis=0), 0)), 0)
    total = e.sum(axis=0)
    weights = e / np.where(total == 0, 1, total)
    return weights, weights


def masked_softmax_backward(dweights, cache):
    return cache * (dweights - (cache * dweights).sum(axis=0))


# %% weighted_sum: dvalues without the weights
def weighted_sum_forward(weights, values):
    return np.einsum("tbs,sbm->tbm", weights, values), (weights, values)


def weighted_sum_backward(dcontext, cache):
    weights, values = cache
    dvalues = np.broadcast_to(dcontext.sum(axis=0), values.shape).copy()
    return np.einsum("tbm,sbm->tbs", dcontext, values), dvalues


# %% weighted_sum: the sentences of a batch are mixed
def weighted_sum_forward(weights, values):
    return np.einsum("tbs,scm->tbm", weights, values) / values.shape[1], (weights, values)


def weighted_sum_backward(dcontext, cache):
    weights, values = cache
    dweights = np.einsum("tbm,scm->tbs", dcontext, values) / values.shape[1]
    dvalues = np.einsum("tbs,tbm->sm", weights, dcontext)[:, None] / values.shape[1]
    return dweights, np.broadcast_to(dvalues, values.shape).copy()


# %% weighted_sum: a mean over the positions, forward and backward
def weighted_sum_forward(weights, values):
    return np.einsum("tbs,sbm->tbm", weights, values) / len(values), (weights, values)


def weighted_sum_backward(dcontext, cache):
    weights, values = cache
    dcontext = dcontext / len(values)
    return np.einsum("tbm,sbm->tbs", dcontext, values), np.einsum("tbs,tbm->sbm", weights, dcontext)


# %% attention: the memory gets its gradient as value only
def attention_forward(query, memory, W, mask=None):
    scores, scores_cache = general_scores_forward(query, memory, W)
    weights, softmax_cache = masked_softmax_forward(scores, mask)
    context, sum_cache = weighted_sum_forward(weights, memory)
    return context, (scores_cache, softmax_cache, sum_cache)


def attention_backward(dcontext, cache):
    scores_cache, softmax_cache, sum_cache = cache
    dweights, dmemory = weighted_sum_backward(dcontext, sum_cache)
    dscores = masked_softmax_backward(dweights, softmax_cache)
    dquery, _, dW = general_scores_backward(dscores, scores_cache)
    return dquery, dmemory, dW


# %% attention: the memory gets its gradient as key only
def attention_forward(query, memory, W, mask=None):
    scores, scores_cache = general_scores_forward(query, memory, W)
    weights, softmax_cache = masked_softmax_forward(scores, mask)
    context, sum_cache = weighted_sum_forward(weights, memory)
    return context, (scores_cache, softmax_cache, sum_cache)


def attention_backward(dcontext, cache):
    scores_cache, softmax_cache, sum_cache = cache
    dweights, _ = weighted_sum_backward(dcontext, sum_cache)
    return general_scores_backward(masked_softmax_backward(dweights, softmax_cache), scores_cache)


# %% attention: the mask is forgotten
def attention_forward(query, memory, W, mask=None):
    scores, scores_cache = general_scores_forward(query, memory, W)
    weights, softmax_cache = masked_softmax_forward(scores)
    context, sum_cache = weighted_sum_forward(weights, memory)
    return context, (scores_cache, softmax_cache, sum_cache)


def attention_backward(dcontext, cache):
    scores_cache, softmax_cache, sum_cache = cache
    dweights, dvalues = weighted_sum_backward(dcontext, sum_cache)
    dscores = masked_softmax_backward(dweights, softmax_cache)
    dquery, dkeys, dW = general_scores_backward(dscores, scores_cache)
    return dquery, dkeys + dvalues, dW


# %% attention: the gradient does not pass the softmax
def attention_forward(query, memory, W, mask=None):
    scores, scores_cache = general_scores_forward(query, memory, W)
    weights, _ = masked_softmax_forward(scores, mask)
    context, sum_cache = weighted_sum_forward(weights, memory)
    return context, (scores_cache, sum_cache)


def attention_backward(dcontext, cache):
    scores_cache, sum_cache = cache
    dweights, dvalues = weighted_sum_backward(dcontext, sum_cache)
    dquery, dkeys, dW = general_scores_backward(dweights, scores_cache)
    return dquery, dkeys + dvalues, dW


# %% attention: the second backward adds to the first
def attention_forward(query, memory, W, mask=None):
    scores, scores_cache = general_scores_forward(query, memory, W)
    weights, softmax_cache = masked_softmax_forward(scores, mask)
    context, sum_cache = weighted_sum_forward(weights, memory)
    return context, (scores_cache, softmax_cache, sum_cache, np.zeros_like(memory))


def attention_backward(dcontext, cache):
    scores_cache, softmax_cache, sum_cache, dmemory = cache
    dweights, dvalues = weighted_sum_backward(dcontext, sum_cache)
    dscores = masked_softmax_backward(dweights, softmax_cache)
    dquery, dkeys, dW = general_scores_backward(dscores, scores_cache)
    dmemory += dkeys + dvalues
    return dquery, dmemory.copy(), dW
