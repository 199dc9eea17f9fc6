"""Right and wrong answers to the exercises of lessons/07_attention.py."""


# %% Exercise 1, wrong: the root is forgotten on the way back
def scaled_forward(query, keys):
    return np.einsum("tba,sba->tbs", query, keys) / query.shape[-1] ** 0.5, (query, keys)


def scaled_backward(dscores, cache):
    query, keys = cache
    return np.einsum("tbs,sba->tba", dscores, keys), np.einsum("tbs,tba->sba", dscores, query)


# %% Exercise 1, wrong: plain dot scores, rightly differentiated
def scaled_forward(query, keys):
    return np.einsum("tba,sba->tbs", query, keys), (query, keys)


def scaled_backward(dscores, cache):
    query, keys = cache
    return np.einsum("tbs,sba->tba", dscores, keys), np.einsum("tbs,tba->sba", dscores, query)


# %% Exercise 1
def scaled_forward(query, keys):
    return np.einsum("tba,sba->tbs", query, keys) / query.shape[-1] ** 0.5, (query, keys)


def scaled_backward(dscores, cache):
    query, keys = cache
    dscores = dscores / query.shape[-1] ** 0.5
    return np.einsum("tbs,sba->tba", dscores, keys), np.einsum("tbs,tba->sba", dscores, query)


# %% Exercise 2, wrong: the part of the keys is lost, but then only dmemory would be wrong
my_guess = {"dmemory += ": "dmemory = "}

# %% Exercise 2, wrong: without the sum of softmax; then W = 0 would be wrong as well
my_guess = {"dscores = weights * (dweights - mean)": "dscores = weights * dweights"}

# %% Exercise 2
my_guess = {
    "mean = (weights * dweights).sum(axis=-1, keepdims=True)": "mean = dweights.mean(axis=-1, keepdims=True)"
}


# %% Exercise 3, wrong: the sign of dtau
def softmax_at(scores, tau):
    y = scores / tau
    e = np.exp(y - y.max(axis=1, keepdims=True))
    w = e / e.sum(axis=1, keepdims=True)

    def backward(dw):
        dy = w * (dw - (w * dw).sum(axis=1, keepdims=True))
        return {"scores": dy / tau, "tau": (dy * scores).sum().reshape(1) / tau**2}

    return w, backward


# %% Exercise 3
def softmax_at(scores, tau):
    y = scores / tau
    e = np.exp(y - y.max(axis=1, keepdims=True))
    w = e / e.sum(axis=1, keepdims=True)

    def backward(dw):
        dy = w * (dw - (w * dw).sum(axis=1, keepdims=True))
        return {"scores": dy / tau, "tau": -(dy * scores).sum().reshape(1) / tau**2}

    return w, backward
