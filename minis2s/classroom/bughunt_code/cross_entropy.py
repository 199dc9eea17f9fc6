import numpy as np


def cross_entropy_forward(logits, targets, mask=None, smoothing=0.0, reduction="mean"):
    """The mean (or sum) over all real tokens of -log p(token).

        log_probs = logits - log sum_v exp(logits)
        surprise = -(1 - smoothing) * log_probs[target] - smoothing * mean_v log_probs
        loss = sum over tokens of weight * surprise

    Shapes: logits (T, B, V); targets (T, B) integers; mask (T, B) or None.

    Where `mask` is False there is padding, which does not count. Without real tokens the loss is 0.

    Returns (loss, cache).
    """
    T, B, V = logits.shape
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    of_target = np.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]
    surprise = -(1 - smoothing) * of_target - smoothing * log_probs.mean(axis=-1)
    weight = np.ones((T, B)) if mask is None else mask.astype(float)
    if reduction == "mean":
        weight = weight / max(weight.sum(), 1)
    loss = (weight * surprise).sum()
    return loss, (np.exp(log_probs), targets, weight, smoothing)


def cross_entropy_backward(dout, cache):
    """Probability minus target distribution, for each token by its weight.

    The target distribution is `1 - smoothing` at the right token, and `smoothing / V` more
    at every token.

    Shapes: dout is one number. Returns dlogits (T, B, V).
    """
    probs, targets, weight, smoothing = cache
    T, B, V = probs.shape
    # loss = sum over tokens of weight * surprise
    dsurprise = dout * weight
    # surprise = -sum_v target distribution * log_probs
    dlogits = probs - smoothing / V if smoothing else probs
    dlogits = dlogits * dsurprise[..., None]
    rows, flat_targets = np.arange(T * B), targets.reshape(-1)
    dlogits.reshape(T * B, V)[rows, flat_targets] -= (1 - smoothing) * dsurprise.reshape(-1)
    return dlogits
