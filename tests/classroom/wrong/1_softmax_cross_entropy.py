"""Wrong answers to assignment 1: none of them may get all points of its task. Each cell is the whole answer."""

# %% softmax: no largest score subtracted
def softmax_forward(scores):
    # e = exp(scores - max), which is at most 1
    e = np.exp(scores)
    # probs = e / sum e
    probs = e / e.sum(axis=-1, keepdims=True)
    return probs, (probs,)


def softmax_backward(dprobs, cache):
    (probs,) = cache
    # dz_v = sum_u dp_u p_u ([u = v] - p_v) = p_v (dp_v - sum_u dp_u p_u)
    return probs * (dprobs - (dprobs * probs).sum(axis=-1, keepdims=True))

# %% softmax: the softmax runs over the batch
def softmax_forward(scores):
    # e = exp(scores - max), which is at most 1
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    # probs = e / sum e
    probs = e / e.sum(axis=1, keepdims=True)
    return probs, (probs,)


def softmax_backward(dprobs, cache):
    (probs,) = cache
    # dz_v = sum_u dp_u p_u ([u = v] - p_v) = p_v (dp_v - sum_u dp_u p_u)
    return probs * (dprobs - (dprobs * probs).sum(axis=1, keepdims=True))

# %% softmax: one largest score for the whole array
def softmax_forward(scores):
    # e = exp(scores - max), which is at most 1
    e = np.exp(scores - scores.max())
    # probs = e / sum e
    probs = e / e.sum(axis=-1, keepdims=True)
    return probs, (probs,)


def softmax_backward(dprobs, cache):
    (probs,) = cache
    # dz_v = sum_u dp_u p_u ([u = v] - p_v) = p_v (dp_v - sum_u dp_u p_u)
    return probs * (dprobs - (dprobs * probs).sum(axis=-1, keepdims=True))

# %% softmax: one sum for the whole array
def softmax_forward(scores):
    # e = exp(scores - max), which is at most 1
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    # probs = e / sum e
    probs = e / e.sum()
    return probs, (probs,)


def softmax_backward(dprobs, cache):
    (probs,) = cache
    # dz_v = sum_u dp_u p_u ([u = v] - p_v) = p_v (dp_v - sum_u dp_u p_u)
    return probs * (dprobs - (dprobs * probs).sum(axis=-1, keepdims=True))

# %% softmax: a small number against division by zero
def softmax_forward(scores):
    # e = exp(scores - max), which is at most 1
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    # probs = e / sum e
    probs = e / (e.sum(axis=-1, keepdims=True) + 1e-8)
    return probs, (probs,)


def softmax_backward(dprobs, cache):
    (probs,) = cache
    # dz_v = sum_u dp_u p_u ([u = v] - p_v) = p_v (dp_v - sum_u dp_u p_u)
    return probs * (dprobs - (dprobs * probs).sum(axis=-1, keepdims=True))

# %% softmax: backward has only the diagonal of the Jacobian
def softmax_forward(scores):
    # e = exp(scores - max), which is at most 1
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    # probs = e / sum e
    probs = e / e.sum(axis=-1, keepdims=True)
    return probs, (probs,)


def softmax_backward(dprobs, cache):
    (probs,) = cache
    # dz_v = sum_u dp_u p_u ([u = v] - p_v) = p_v (dp_v - sum_u dp_u p_u)
    return dprobs * probs * (1 - probs)

# %% softmax: backward sums over all tokens
def softmax_forward(scores):
    # e = exp(scores - max), which is at most 1
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    # probs = e / sum e
    probs = e / e.sum(axis=-1, keepdims=True)
    return probs, (probs,)


def softmax_backward(dprobs, cache):
    (probs,) = cache
    # dz_v = sum_u dp_u p_u ([u = v] - p_v) = p_v (dp_v - sum_u dp_u p_u)
    return probs * (dprobs - (dprobs * probs).sum())

# %% softmax: backward forgets the probability in front
def softmax_forward(scores):
    # e = exp(scores - max), which is at most 1
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    # probs = e / sum e
    probs = e / e.sum(axis=-1, keepdims=True)
    return probs, (probs,)


def softmax_backward(dprobs, cache):
    (probs,) = cache
    # dz_v = sum_u dp_u p_u ([u = v] - p_v) = p_v (dp_v - sum_u dp_u p_u)
    return 1 * (dprobs - (dprobs * probs).sum(axis=-1, keepdims=True))

# %% softmax: backward adds where it should subtract
def softmax_forward(scores):
    # e = exp(scores - max), which is at most 1
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    # probs = e / sum e
    probs = e / e.sum(axis=-1, keepdims=True)
    return probs, (probs,)


def softmax_backward(dprobs, cache):
    (probs,) = cache
    # dz_v = sum_u dp_u p_u ([u = v] - p_v) = p_v (dp_v - sum_u dp_u p_u)
    return probs * (dprobs + (dprobs * probs).sum(axis=-1, keepdims=True))

# %% softmax: backward takes the mean, not the sum
def softmax_forward(scores):
    # e = exp(scores - max), which is at most 1
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    # probs = e / sum e
    probs = e / e.sum(axis=-1, keepdims=True)
    return probs, (probs,)


def softmax_backward(dprobs, cache):
    (probs,) = cache
    # dz_v = sum_u dp_u p_u ([u = v] - p_v) = p_v (dp_v - sum_u dp_u p_u)
    return probs * (dprobs - (dprobs * probs).mean(axis=-1, keepdims=True))

# %% softmax: backward ignores what comes from above
def softmax_forward(scores):
    # e = exp(scores - max), which is at most 1
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    # probs = e / sum e
    probs = e / e.sum(axis=-1, keepdims=True)
    return probs, (probs,)


def softmax_backward(dprobs, cache):
    (probs,) = cache
    # dz_v = sum_u dp_u p_u ([u = v] - p_v) = p_v (dp_v - sum_u dp_u p_u)
    return probs * (1 - (probs).sum(axis=-1, keepdims=True))

# %% softmax: backward uses up its cache
def softmax_forward(scores):
    # e = exp(scores - max), which is at most 1
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    # probs = e / sum e
    probs = e / e.sum(axis=-1, keepdims=True)
    return probs, (probs,)


def softmax_backward(dprobs, cache):
    (probs,) = cache
    dprobs = dprobs.copy()
    total = (dprobs * probs).sum(axis=-1, keepdims=True)
    probs *= dprobs - total
    return probs
    # dz_v = sum_u dp_u p_u ([u = v] - p_v) = p_v (dp_v - sum_u dp_u p_u)
    return probs * (dprobs - (dprobs * probs).sum(axis=-1, keepdims=True))

# %% softmax: computed in float32
def softmax_forward(scores):
    # e = exp(scores - max), which is at most 1
    e = np.exp((scores - scores.max(axis=-1, keepdims=True)).astype(np.float32))
    # probs = e / sum e
    probs = e / e.sum(axis=-1, keepdims=True)
    return probs, (probs,)


def softmax_backward(dprobs, cache):
    (probs,) = cache
    # dz_v = sum_u dp_u p_u ([u = v] - p_v) = p_v (dp_v - sum_u dp_u p_u)
    return probs * (dprobs - (dprobs * probs).sum(axis=-1, keepdims=True))

# %% softmax: forbidden tokens get a large negative score that is not low enough
def softmax_forward(scores):
    scores = np.maximum(scores, -10.0)
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    # probs = e / sum e
    probs = e / e.sum(axis=-1, keepdims=True)
    return probs, (probs,)


def softmax_backward(dprobs, cache):
    (probs,) = cache
    # dz_v = sum_u dp_u p_u ([u = v] - p_v) = p_v (dp_v - sum_u dp_u p_u)
    return probs * (dprobs - (dprobs * probs).sum(axis=-1, keepdims=True))

# %% cross_entropy: the logarithm of a probability
def cross_entropy_forward(logits, targets, mask=None):
    T, B = targets.shape
    real = np.ones((T, B)) if mask is None else mask.astype(float)
    # log_probs = logits - log sum exp(logits)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = np.log(np.exp(shifted) / np.exp(shifted).sum(axis=-1, keepdims=True))
    # loss = sum over tokens of weight * surprise
    weight = real / max(real.sum(), 1)
    surprise = -np.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]
    loss = (weight * surprise).sum()
    return loss, (np.exp(log_probs), targets, weight)


def cross_entropy_backward(dloss, cache):
    probs, targets, weight = cache
    # surprise = -log_probs[target]
    dlogits = probs - np.eye(probs.shape[-1])[targets]
    # loss = sum over tokens of weight * surprise
    return dlogits * (dloss * weight)[..., None]

# %% cross_entropy: a small number inside the logarithm
def cross_entropy_forward(logits, targets, mask=None):
    T, B = targets.shape
    real = np.ones((T, B)) if mask is None else mask.astype(float)
    # log_probs = logits - log sum exp(logits)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = np.log(np.exp(shifted) / np.exp(shifted).sum(axis=-1, keepdims=True) + 1e-9)
    # loss = sum over tokens of weight * surprise
    weight = real / max(real.sum(), 1)
    surprise = -np.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]
    loss = (weight * surprise).sum()
    return loss, (np.exp(log_probs), targets, weight)


def cross_entropy_backward(dloss, cache):
    probs, targets, weight = cache
    # surprise = -log_probs[target]
    dlogits = probs - np.eye(probs.shape[-1])[targets]
    # loss = sum over tokens of weight * surprise
    return dlogits * (dloss * weight)[..., None]

# %% cross_entropy: no largest logit subtracted
def cross_entropy_forward(logits, targets, mask=None):
    T, B = targets.shape
    real = np.ones((T, B)) if mask is None else mask.astype(float)
    # log_probs = logits - log sum exp(logits)
    shifted = logits
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    # loss = sum over tokens of weight * surprise
    weight = real / max(real.sum(), 1)
    surprise = -np.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]
    loss = (weight * surprise).sum()
    return loss, (np.exp(log_probs), targets, weight)


def cross_entropy_backward(dloss, cache):
    probs, targets, weight = cache
    # surprise = -log_probs[target]
    dlogits = probs - np.eye(probs.shape[-1])[targets]
    # loss = sum over tokens of weight * surprise
    return dlogits * (dloss * weight)[..., None]

# %% cross_entropy: a sum, not a mean
def cross_entropy_forward(logits, targets, mask=None):
    T, B = targets.shape
    real = np.ones((T, B)) if mask is None else mask.astype(float)
    # log_probs = logits - log sum exp(logits)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    # loss = sum over tokens of weight * surprise
    weight = real
    surprise = -np.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]
    loss = (weight * surprise).sum()
    return loss, (np.exp(log_probs), targets, weight)


def cross_entropy_backward(dloss, cache):
    probs, targets, weight = cache
    # surprise = -log_probs[target]
    dlogits = probs - np.eye(probs.shape[-1])[targets]
    # loss = sum over tokens of weight * surprise
    return dlogits * (dloss * weight)[..., None]

# %% cross_entropy: padding counts in the divisor
def cross_entropy_forward(logits, targets, mask=None):
    T, B = targets.shape
    real = np.ones((T, B)) if mask is None else mask.astype(float)
    # log_probs = logits - log sum exp(logits)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    # loss = sum over tokens of weight * surprise
    weight = real / real.size
    surprise = -np.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]
    loss = (weight * surprise).sum()
    return loss, (np.exp(log_probs), targets, weight)


def cross_entropy_backward(dloss, cache):
    probs, targets, weight = cache
    # surprise = -log_probs[target]
    dlogits = probs - np.eye(probs.shape[-1])[targets]
    # loss = sum over tokens of weight * surprise
    return dlogits * (dloss * weight)[..., None]

# %% cross_entropy: the mask is ignored
def cross_entropy_forward(logits, targets, mask=None):
    T, B = targets.shape
    real = np.ones((T, B))
    # log_probs = logits - log sum exp(logits)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    # loss = sum over tokens of weight * surprise
    weight = real / max(real.sum(), 1)
    surprise = -np.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]
    loss = (weight * surprise).sum()
    return loss, (np.exp(log_probs), targets, weight)


def cross_entropy_backward(dloss, cache):
    probs, targets, weight = cache
    # surprise = -log_probs[target]
    dlogits = probs - np.eye(probs.shape[-1])[targets]
    # loss = sum over tokens of weight * surprise
    return dlogits * (dloss * weight)[..., None]

# %% cross_entropy: the mean over words of the means over steps
def cross_entropy_forward(logits, targets, mask=None):
    T, B = targets.shape
    real = np.ones((T, B)) if mask is None else mask.astype(float)
    # log_probs = logits - log sum exp(logits)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    # loss = sum over tokens of weight * surprise
    weight = real / np.maximum(real.sum(axis=0), 1) / B
    surprise = -np.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]
    loss = (weight * surprise).sum()
    return loss, (np.exp(log_probs), targets, weight)


def cross_entropy_backward(dloss, cache):
    probs, targets, weight = cache
    # surprise = -log_probs[target]
    dlogits = probs - np.eye(probs.shape[-1])[targets]
    # loss = sum over tokens of weight * surprise
    return dlogits * (dloss * weight)[..., None]

# %% cross_entropy: nan where no token is real
def cross_entropy_forward(logits, targets, mask=None):
    T, B = targets.shape
    real = np.ones((T, B)) if mask is None else mask.astype(float)
    # log_probs = logits - log sum exp(logits)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    # loss = sum over tokens of weight * surprise
    weight = real / real.sum()
    surprise = -np.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]
    loss = (weight * surprise).sum()
    return loss, (np.exp(log_probs), targets, weight)


def cross_entropy_backward(dloss, cache):
    probs, targets, weight = cache
    # surprise = -log_probs[target]
    dlogits = probs - np.eye(probs.shape[-1])[targets]
    # loss = sum over tokens of weight * surprise
    return dlogits * (dloss * weight)[..., None]

# %% cross_entropy: the loss has the wrong sign
def cross_entropy_forward(logits, targets, mask=None):
    T, B = targets.shape
    real = np.ones((T, B)) if mask is None else mask.astype(float)
    # log_probs = logits - log sum exp(logits)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    # loss = sum over tokens of weight * surprise
    weight = real / max(real.sum(), 1)
    surprise = np.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]
    loss = (weight * surprise).sum()
    return loss, (np.exp(log_probs), targets, weight)


def cross_entropy_backward(dloss, cache):
    probs, targets, weight = cache
    # surprise = -log_probs[target]
    dlogits = probs - np.eye(probs.shape[-1])[targets]
    # loss = sum over tokens of weight * surprise
    return -dlogits * (dloss * weight)[..., None]

# %% cross_entropy: zero times inf at forbidden tokens
def cross_entropy_forward(logits, targets, mask=None):
    T, B = targets.shape
    real = np.ones((T, B)) if mask is None else mask.astype(float)
    # log_probs = logits - log sum exp(logits)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    # loss = sum over tokens of weight * surprise
    weight = real / max(real.sum(), 1)
    surprise = -(np.eye(logits.shape[-1])[targets] * log_probs).sum(axis=-1)
    loss = (weight * surprise).sum()
    return loss, (np.exp(log_probs), targets, weight)


def cross_entropy_backward(dloss, cache):
    probs, targets, weight = cache
    # surprise = -log_probs[target]
    dlogits = probs - np.eye(probs.shape[-1])[targets]
    # loss = sum over tokens of weight * surprise
    return dlogits * (dloss * weight)[..., None]

# %% cross_entropy: the right token is not subtracted
def cross_entropy_forward(logits, targets, mask=None):
    T, B = targets.shape
    real = np.ones((T, B)) if mask is None else mask.astype(float)
    # log_probs = logits - log sum exp(logits)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    # loss = sum over tokens of weight * surprise
    weight = real / max(real.sum(), 1)
    surprise = -np.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]
    loss = (weight * surprise).sum()
    return loss, (np.exp(log_probs), targets, weight)


def cross_entropy_backward(dloss, cache):
    probs, targets, weight = cache
    # surprise = -log_probs[target]
    dlogits = probs
    # loss = sum over tokens of weight * surprise
    return dlogits * (dloss * weight)[..., None]

# %% cross_entropy: only the right token receives a gradient
def cross_entropy_forward(logits, targets, mask=None):
    T, B = targets.shape
    real = np.ones((T, B)) if mask is None else mask.astype(float)
    # log_probs = logits - log sum exp(logits)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    # loss = sum over tokens of weight * surprise
    weight = real / max(real.sum(), 1)
    surprise = -np.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]
    loss = (weight * surprise).sum()
    return loss, (np.exp(log_probs), targets, weight)


def cross_entropy_backward(dloss, cache):
    probs, targets, weight = cache
    # surprise = -log_probs[target]
    dlogits = (probs - 1) * np.eye(probs.shape[-1])[targets]
    # loss = sum over tokens of weight * surprise
    return dlogits * (dloss * weight)[..., None]

# %% cross_entropy: the gradient from above is ignored
def cross_entropy_forward(logits, targets, mask=None):
    T, B = targets.shape
    real = np.ones((T, B)) if mask is None else mask.astype(float)
    # log_probs = logits - log sum exp(logits)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    # loss = sum over tokens of weight * surprise
    weight = real / max(real.sum(), 1)
    surprise = -np.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]
    loss = (weight * surprise).sum()
    return loss, (np.exp(log_probs), targets, weight)


def cross_entropy_backward(dloss, cache):
    probs, targets, weight = cache
    # surprise = -log_probs[target]
    dlogits = probs - np.eye(probs.shape[-1])[targets]
    # loss = sum over tokens of weight * surprise
    return dlogits * weight[..., None]

# %% cross_entropy: the gradient is that of the sum
def cross_entropy_forward(logits, targets, mask=None):
    T, B = targets.shape
    real = np.ones((T, B)) if mask is None else mask.astype(float)
    # log_probs = logits - log sum exp(logits)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    # loss = sum over tokens of weight * surprise
    weight = real / max(real.sum(), 1)
    surprise = -np.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]
    loss = (weight * surprise).sum()
    return loss, (np.exp(log_probs), targets, weight)


def cross_entropy_backward(dloss, cache):
    probs, targets, weight = cache
    # surprise = -log_probs[target]
    dlogits = probs - np.eye(probs.shape[-1])[targets]
    # loss = sum over tokens of weight * surprise
    return dlogits * dloss * (weight > 0)[..., None]

# %% cross_entropy: padding receives a gradient
def cross_entropy_forward(logits, targets, mask=None):
    T, B = targets.shape
    real = np.ones((T, B)) if mask is None else mask.astype(float)
    # log_probs = logits - log sum exp(logits)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    # loss = sum over tokens of weight * surprise
    weight = real / max(real.sum(), 1)
    surprise = -np.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]
    loss = (weight * surprise).sum()
    return loss, (np.exp(log_probs), targets, weight)


def cross_entropy_backward(dloss, cache):
    probs, targets, weight = cache
    # surprise = -log_probs[target]
    dlogits = probs - np.eye(probs.shape[-1])[targets]
    # loss = sum over tokens of weight * surprise
    return dlogits * dloss * weight.max()

# %% cross_entropy: the gradient is divided by the batch alone
def cross_entropy_forward(logits, targets, mask=None):
    T, B = targets.shape
    real = np.ones((T, B)) if mask is None else mask.astype(float)
    # log_probs = logits - log sum exp(logits)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    # loss = sum over tokens of weight * surprise
    weight = real / max(real.sum(), 1)
    surprise = -np.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]
    loss = (weight * surprise).sum()
    return loss, (np.exp(log_probs), targets, weight)


def cross_entropy_backward(dloss, cache):
    probs, targets, weight = cache
    # surprise = -log_probs[target]
    dlogits = probs - np.eye(probs.shape[-1])[targets]
    # loss = sum over tokens of weight * surprise
    return dlogits * dloss * (weight > 0)[..., None] / weight.shape[1]

# %% cross_entropy: softmax twice
def cross_entropy_forward(logits, targets, mask=None):
    T, B = targets.shape
    real = np.ones((T, B)) if mask is None else mask.astype(float)
    # log_probs = logits - log sum exp(logits)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    # loss = sum over tokens of weight * surprise
    weight = real / max(real.sum(), 1)
    surprise = -np.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]
    loss = (weight * surprise).sum()
    p = np.exp(log_probs)
    p = np.exp(p) / np.exp(p).sum(axis=-1, keepdims=True)
    return loss, (p, targets, weight)


def cross_entropy_backward(dloss, cache):
    probs, targets, weight = cache
    # surprise = -log_probs[target]
    dlogits = probs - np.eye(probs.shape[-1])[targets]
    # loss = sum over tokens of weight * surprise
    return dlogits * (dloss * weight)[..., None]

# %% cross_entropy: targets flattened word by word
def cross_entropy_forward(logits, targets, mask=None):
    T, B = targets.shape
    real = np.ones((T, B)) if mask is None else mask.astype(float)
    # log_probs = logits - log sum exp(logits)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    # loss = sum over tokens of weight * surprise
    weight = real / max(real.sum(), 1)
    surprise = -np.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]
    loss = (weight * surprise).sum()
    return loss, (np.exp(log_probs), targets, weight)


def cross_entropy_backward(dloss, cache):
    probs, targets, weight = cache
    # surprise = -log_probs[target]
    dlogits = probs - np.eye(probs.shape[-1])[targets.T.reshape(targets.shape)]
    # loss = sum over tokens of weight * surprise
    return dlogits * (dloss * weight)[..., None]

# %% cross_entropy: finite differences in place of a derivative
def cross_entropy_forward(logits, targets, mask=None):
    T, B = targets.shape
    real = np.ones((T, B)) if mask is None else mask.astype(float)
    # log_probs = logits - log sum exp(logits)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    # loss = sum over tokens of weight * surprise
    weight = real / max(real.sum(), 1)
    surprise = -np.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]
    loss = (weight * surprise).sum()
    return loss, (logits, targets, mask)


def cross_entropy_backward(dloss, cache):
    logits, targets, mask = cache
    dlogits = np.zeros_like(logits)
    for index in np.ndindex(logits.shape):
        up, down = logits.copy(), logits.copy()
        up[index] += 1e-4
        down[index] -= 1e-4
        change = cross_entropy_forward(up, targets, mask)[0] - cross_entropy_forward(down, targets, mask)[0]
        dlogits[index] = dloss * change / 2e-4
    return dlogits

# %% smoothing: the wanted share is added to the right token only
def smoothed_forward(logits, targets, mask=None, smoothing=0.0):
    T, B, V = logits.shape
    real = np.ones((T, B)) if mask is None else mask.astype(float)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    # q = (1 - s) onehot + s / V
    wanted = (1 - smoothing) * np.eye(V)[targets]
    # loss = sum over tokens of weight * surprise
    weight = real / max(real.sum(), 1)
    loss = -(weight * (wanted * log_probs).sum(axis=-1)).sum()
    return loss, (np.exp(log_probs), wanted, weight)


def smoothed_backward(dloss, cache):
    probs, wanted, weight = cache
    # surprise = -sum_v q_v log p_v, and the q_v sum to 1
    return (probs - wanted) * (dloss * weight)[..., None]

# %% smoothing: the share goes to the wrong tokens only
def smoothed_forward(logits, targets, mask=None, smoothing=0.0):
    T, B, V = logits.shape
    real = np.ones((T, B)) if mask is None else mask.astype(float)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    # q = (1 - s) onehot + s / V
    wanted = (1 - smoothing) * np.eye(V)[targets] + smoothing / (V - 1) * (1 - np.eye(V)[targets])
    # loss = sum over tokens of weight * surprise
    weight = real / max(real.sum(), 1)
    loss = -(weight * (wanted * log_probs).sum(axis=-1)).sum()
    return loss, (np.exp(log_probs), wanted, weight)


def smoothed_backward(dloss, cache):
    probs, wanted, weight = cache
    # surprise = -sum_v q_v log p_v, and the q_v sum to 1
    return (probs - wanted) * (dloss * weight)[..., None]

# %% smoothing: the right token keeps all of its share
def smoothed_forward(logits, targets, mask=None, smoothing=0.0):
    T, B, V = logits.shape
    real = np.ones((T, B)) if mask is None else mask.astype(float)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    # q = (1 - s) onehot + s / V
    wanted = np.eye(V)[targets] + smoothing / V
    # loss = sum over tokens of weight * surprise
    weight = real / max(real.sum(), 1)
    loss = -(weight * (wanted * log_probs).sum(axis=-1)).sum()
    return loss, (np.exp(log_probs), wanted, weight)


def smoothed_backward(dloss, cache):
    probs, wanted, weight = cache
    # surprise = -sum_v q_v log p_v, and the q_v sum to 1
    return (probs - wanted) * (dloss * weight)[..., None]

# %% smoothing: not divided by V
def smoothed_forward(logits, targets, mask=None, smoothing=0.0):
    T, B, V = logits.shape
    real = np.ones((T, B)) if mask is None else mask.astype(float)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    # q = (1 - s) onehot + s / V
    wanted = (1 - smoothing) * np.eye(V)[targets] + smoothing
    # loss = sum over tokens of weight * surprise
    weight = real / max(real.sum(), 1)
    loss = -(weight * (wanted * log_probs).sum(axis=-1)).sum()
    return loss, (np.exp(log_probs), wanted, weight)


def smoothed_backward(dloss, cache):
    probs, wanted, weight = cache
    # surprise = -sum_v q_v log p_v, and the q_v sum to 1
    return (probs - wanted) * (dloss * weight)[..., None]

# %% smoothing: smoothing is forgotten in backward
def smoothed_forward(logits, targets, mask=None, smoothing=0.0):
    T, B, V = logits.shape
    real = np.ones((T, B)) if mask is None else mask.astype(float)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    # q = (1 - s) onehot + s / V
    wanted = (1 - smoothing) * np.eye(V)[targets] + smoothing / V
    # loss = sum over tokens of weight * surprise
    weight = real / max(real.sum(), 1)
    loss = -(weight * (wanted * log_probs).sum(axis=-1)).sum()
    return loss, (np.exp(log_probs), np.eye(V)[targets], weight)


def smoothed_backward(dloss, cache):
    probs, wanted, weight = cache
    # surprise = -sum_v q_v log p_v, and the q_v sum to 1
    return (probs - wanted) * (dloss * weight)[..., None]

# %% smoothing: the mask is ignored
def smoothed_forward(logits, targets, mask=None, smoothing=0.0):
    T, B, V = logits.shape
    real = np.ones((T, B))
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    # q = (1 - s) onehot + s / V
    wanted = (1 - smoothing) * np.eye(V)[targets] + smoothing / V
    # loss = sum over tokens of weight * surprise
    weight = real / max(real.sum(), 1)
    loss = -(weight * (wanted * log_probs).sum(axis=-1)).sum()
    return loss, (np.exp(log_probs), wanted, weight)


def smoothed_backward(dloss, cache):
    probs, wanted, weight = cache
    # surprise = -sum_v q_v log p_v, and the q_v sum to 1
    return (probs - wanted) * (dloss * weight)[..., None]

# %% smoothing: the mask is ignored in backward
def smoothed_forward(logits, targets, mask=None, smoothing=0.0):
    T, B, V = logits.shape
    real = np.ones((T, B)) if mask is None else mask.astype(float)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    # q = (1 - s) onehot + s / V
    wanted = (1 - smoothing) * np.eye(V)[targets] + smoothing / V
    # loss = sum over tokens of weight * surprise
    weight = real / max(real.sum(), 1)
    loss = -(weight * (wanted * log_probs).sum(axis=-1)).sum()
    return loss, (np.exp(log_probs), wanted, weight)


def smoothed_backward(dloss, cache):
    probs, wanted, weight = cache
    # surprise = -sum_v q_v log p_v, and the q_v sum to 1
    return (probs - wanted) * dloss * weight.max()

# %% smoothing: the gradient from above is ignored
def smoothed_forward(logits, targets, mask=None, smoothing=0.0):
    T, B, V = logits.shape
    real = np.ones((T, B)) if mask is None else mask.astype(float)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    # q = (1 - s) onehot + s / V
    wanted = (1 - smoothing) * np.eye(V)[targets] + smoothing / V
    # loss = sum over tokens of weight * surprise
    weight = real / max(real.sum(), 1)
    loss = -(weight * (wanted * log_probs).sum(axis=-1)).sum()
    return loss, (np.exp(log_probs), wanted, weight)


def smoothed_backward(dloss, cache):
    probs, wanted, weight = cache
    # surprise = -sum_v q_v log p_v, and the q_v sum to 1
    return (probs - wanted) * weight[..., None]

# %% smoothing: the logarithm of a probability
def smoothed_forward(logits, targets, mask=None, smoothing=0.0):
    T, B, V = logits.shape
    real = np.ones((T, B)) if mask is None else mask.astype(float)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = np.log(np.exp(shifted) / np.exp(shifted).sum(axis=-1, keepdims=True))
    # q = (1 - s) onehot + s / V
    wanted = (1 - smoothing) * np.eye(V)[targets] + smoothing / V
    # loss = sum over tokens of weight * surprise
    weight = real / max(real.sum(), 1)
    loss = -(weight * (wanted * log_probs).sum(axis=-1)).sum()
    return loss, (np.exp(log_probs), wanted, weight)


def smoothed_backward(dloss, cache):
    probs, wanted, weight = cache
    # surprise = -sum_v q_v log p_v, and the q_v sum to 1
    return (probs - wanted) * (dloss * weight)[..., None]

# %% smoothing: the probabilities are smoothed, not the targets
def smoothed_forward(logits, targets, mask=None, smoothing=0.0):
    T, B, V = logits.shape
    real = np.ones((T, B)) if mask is None else mask.astype(float)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    # q = (1 - s) onehot + s / V
    wanted = (1 - smoothing) * np.eye(V)[targets] + smoothing / V
    # loss = sum over tokens of weight * surprise
    weight = real / max(real.sum(), 1)
    p = (1 - smoothing) * np.exp(log_probs) + smoothing / V
    loss = -(weight * (np.eye(V)[targets] * np.log(p)).sum(axis=-1)).sum()
    return loss, (np.exp(log_probs), wanted, weight)


def smoothed_backward(dloss, cache):
    probs, wanted, weight = cache
    # surprise = -sum_v q_v log p_v, and the q_v sum to 1
    return (probs - wanted) * (dloss * weight)[..., None]
