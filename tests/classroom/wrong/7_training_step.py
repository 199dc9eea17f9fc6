"""Wrong answers to assignment 7: none of them may get all points of its task. Each cell is the whole answer."""


# %% shift_targets: BOS is missing: the decoder reads what it should write
def shift_targets(words, lengths):
    L, B = words.shape
    t = np.arange(L + 1)[:, None]
    tgt_out = np.full((L + 1, B), PAD)
    tgt_out[:L] = words
    tgt_out = np.where(t < lengths, tgt_out, np.where(t == lengths, EOS, PAD))
    tgt_mask = t <= lengths
    tgt_in = np.full((L + 1, B), BOS)
    tgt_in = tgt_out
    return tgt_in, tgt_out, tgt_mask


# %% shift_targets: EOS is not real
def shift_targets(words, lengths):
    L, B = words.shape
    t = np.arange(L + 1)[:, None]
    tgt_out = np.full((L + 1, B), PAD)
    tgt_out[:L] = words
    tgt_out = np.where(t < lengths, tgt_out, np.where(t == lengths, EOS, PAD))
    tgt_mask = t < lengths
    tgt_in = np.full((L + 1, B), BOS)
    tgt_in[1:] = np.where(tgt_mask[1:], tgt_out[:-1], PAD)
    return tgt_in, tgt_out, tgt_mask


# %% shift_targets: EOS is read as well, where PAD belongs
def shift_targets(words, lengths):
    L, B = words.shape
    t = np.arange(L + 1)[:, None]
    tgt_out = np.full((L + 1, B), PAD)
    tgt_out[:L] = words
    tgt_out = np.where(t < lengths, tgt_out, np.where(t == lengths, EOS, PAD))
    tgt_mask = t <= lengths
    tgt_in = np.full((L + 1, B), BOS)
    tgt_in[1:] = tgt_out[:-1]
    return tgt_in, tgt_out, tgt_mask


# %% shift_targets: EOS stands in the last row of every column
def shift_targets(words, lengths):
    L, B = words.shape
    t = np.arange(L + 1)[:, None]
    tgt_out = np.full((L + 1, B), PAD)
    tgt_out[:L] = words
    tgt_out = np.where(t < lengths, tgt_out, np.where(t == L, EOS, PAD))
    tgt_mask = t <= lengths
    tgt_in = np.full((L + 1, B), BOS)
    tgt_in[1:] = np.where(tgt_mask[1:], tgt_out[:-1], PAD)
    return tgt_in, tgt_out, tgt_mask


# %% shift_targets: what stands below a word is left there
def shift_targets(words, lengths):
    L, B = words.shape
    t = np.arange(L + 1)[:, None]
    tgt_out = np.full((L + 1, B), PAD)
    tgt_out[:L] = words
    tgt_out = np.where(t == lengths, EOS, tgt_out)
    tgt_mask = t <= lengths
    tgt_in = np.full((L + 1, B), BOS)
    tgt_in[1:] = np.where(tgt_mask[1:], tgt_out[:-1], PAD)
    return tgt_in, tgt_out, tgt_mask


# %% shift_targets: no EOS at all
def shift_targets(words, lengths):
    L, B = words.shape
    t = np.arange(L + 1)[:, None]
    tgt_out = np.full((L + 1, B), PAD)
    tgt_out[:L] = words
    tgt_out = np.where(t < lengths, tgt_out, PAD)
    tgt_mask = t <= lengths
    tgt_in = np.full((L + 1, B), BOS)
    tgt_in[1:] = np.where(tgt_mask[1:], tgt_out[:-1], PAD)
    return tgt_in, tgt_out, tgt_mask


# %% shift_targets: one step too few: the longest word has no room for EOS
def shift_targets(words, lengths):
    L, B = words.shape
    t = np.arange(L + 1)[:, None]
    tgt_out = np.full((L + 1, B), PAD)
    tgt_out[:L] = words
    tgt_out = np.where(t < lengths, tgt_out, np.where(t == lengths, EOS, PAD))
    tgt_mask = t <= lengths
    tgt_in = np.full((L + 1, B), BOS)
    tgt_in[1:] = np.where(tgt_mask[1:], tgt_out[:-1], PAD)
    return tgt_in[:-1], tgt_out[:-1], tgt_mask[:-1]


# %% masked_loss: the mean over T times B
def masked_loss_forward(logits, targets, mask=None):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    real = np.ones(targets.shape) if mask is None else mask.astype(float)
    share = real / real.size
    t, b = np.indices(targets.shape)
    loss = -(share * log_probs[t, b, targets]).sum()
    return loss, (np.exp(log_probs), targets, share)


def masked_loss_backward(dloss, cache):
    probs, targets, share = cache
    dlogits = probs.copy()
    t, b = np.indices(targets.shape)
    dlogits[t, b, targets] -= 1
    return dlogits * (dloss * share)[:, :, None]


# %% masked_loss: the mean of the words' means
def masked_loss_forward(logits, targets, mask=None):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    real = np.ones(targets.shape) if mask is None else mask.astype(float)
    share = real / np.maximum(real.sum(axis=0), 1) / real.shape[1]
    t, b = np.indices(targets.shape)
    loss = -(share * log_probs[t, b, targets]).sum()
    return loss, (np.exp(log_probs), targets, share)


def masked_loss_backward(dloss, cache):
    probs, targets, share = cache
    dlogits = probs.copy()
    t, b = np.indices(targets.shape)
    dlogits[t, b, targets] -= 1
    return dlogits * (dloss * share)[:, :, None]


# %% masked_loss: the sum
def masked_loss_forward(logits, targets, mask=None):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    real = np.ones(targets.shape) if mask is None else mask.astype(float)
    share = real
    t, b = np.indices(targets.shape)
    loss = -(share * log_probs[t, b, targets]).sum()
    return loss, (np.exp(log_probs), targets, share)


def masked_loss_backward(dloss, cache):
    probs, targets, share = cache
    dlogits = probs.copy()
    t, b = np.indices(targets.shape)
    dlogits[t, b, targets] -= 1
    return dlogits * (dloss * share)[:, :, None]


# %% masked_loss: padding counts
def masked_loss_forward(logits, targets, mask=None):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    real = np.ones(targets.shape)
    share = real / max(real.sum(), 1)
    t, b = np.indices(targets.shape)
    loss = -(share * log_probs[t, b, targets]).sum()
    return loss, (np.exp(log_probs), targets, share)


def masked_loss_backward(dloss, cache):
    probs, targets, share = cache
    dlogits = probs.copy()
    t, b = np.indices(targets.shape)
    dlogits[t, b, targets] -= 1
    return dlogits * (dloss * share)[:, :, None]


# %% masked_loss: 0 / 0 without a real token
def masked_loss_forward(logits, targets, mask=None):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    real = np.ones(targets.shape) if mask is None else mask.astype(float)
    share = real / real.sum()
    t, b = np.indices(targets.shape)
    loss = -(share * log_probs[t, b, targets]).sum()
    return loss, (np.exp(log_probs), targets, share)


def masked_loss_backward(dloss, cache):
    probs, targets, share = cache
    dlogits = probs.copy()
    t, b = np.indices(targets.shape)
    dlogits[t, b, targets] -= 1
    return dlogits * (dloss * share)[:, :, None]


# %% masked_loss: the padding gets a gradient
def masked_loss_forward(logits, targets, mask=None):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    real = np.ones(targets.shape) if mask is None else mask.astype(float)
    share = real / max(real.sum(), 1)
    t, b = np.indices(targets.shape)
    loss = -(share * log_probs[t, b, targets]).sum()
    return loss, (np.exp(log_probs), targets, share)


def masked_loss_backward(dloss, cache):
    probs, targets, share = cache
    dlogits = probs.copy()
    t, b = np.indices(targets.shape)
    dlogits[t, b, targets] -= 1
    return dlogits * dloss * share.max()


# %% masked_loss: dloss is left out
def masked_loss_forward(logits, targets, mask=None):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    real = np.ones(targets.shape) if mask is None else mask.astype(float)
    share = real / max(real.sum(), 1)
    t, b = np.indices(targets.shape)
    loss = -(share * log_probs[t, b, targets]).sum()
    return loss, (np.exp(log_probs), targets, share)


def masked_loss_backward(dloss, cache):
    probs, targets, share = cache
    dlogits = probs.copy()
    t, b = np.indices(targets.shape)
    dlogits[t, b, targets] -= 1
    return dlogits * share[:, :, None]


# %% masked_loss: backward changes its cache
def masked_loss_forward(logits, targets, mask=None):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    real = np.ones(targets.shape) if mask is None else mask.astype(float)
    share = real / max(real.sum(), 1)
    t, b = np.indices(targets.shape)
    loss = -(share * log_probs[t, b, targets]).sum()
    return loss, (np.exp(log_probs), targets, share)


def masked_loss_backward(dloss, cache):
    probs, targets, share = cache
    dlogits = probs
    t, b = np.indices(targets.shape)
    dlogits[t, b, targets] -= 1
    return dlogits * (dloss * share)[:, :, None]


# %% masked_loss: the logarithm of a softmax that has become 0
def masked_loss_forward(logits, targets, mask=None):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    e = np.exp(shifted)
    log_probs = np.log(e / e.sum(axis=-1, keepdims=True) + 1e-300)
    real = np.ones(targets.shape) if mask is None else mask.astype(float)
    share = real / max(real.sum(), 1)
    t, b = np.indices(targets.shape)
    loss = -(share * log_probs[t, b, targets]).sum()
    return loss, (np.exp(log_probs), targets, share)


def masked_loss_backward(dloss, cache):
    probs, targets, share = cache
    dlogits = probs.copy()
    t, b = np.indices(targets.shape)
    dlogits[t, b, targets] -= 1
    return dlogits * (dloss * share)[:, :, None]


# %% masked_loss: exp of large logits overflows
def masked_loss_forward(logits, targets, mask=None):
    shifted = logits
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    real = np.ones(targets.shape) if mask is None else mask.astype(float)
    share = real / max(real.sum(), 1)
    t, b = np.indices(targets.shape)
    loss = -(share * log_probs[t, b, targets]).sum()
    return loss, (np.exp(log_probs), targets, share)


def masked_loss_backward(dloss, cache):
    probs, targets, share = cache
    dlogits = probs.copy()
    t, b = np.indices(targets.shape)
    dlogits[t, b, targets] -= 1
    return dlogits * (dloss * share)[:, :, None]


# %% masked_loss: the target is not subtracted in backward
def masked_loss_forward(logits, targets, mask=None):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    real = np.ones(targets.shape) if mask is None else mask.astype(float)
    share = real / max(real.sum(), 1)
    t, b = np.indices(targets.shape)
    loss = -(share * log_probs[t, b, targets]).sum()
    return loss, (np.exp(log_probs), targets, share)


def masked_loss_backward(dloss, cache):
    probs, targets, share = cache
    dlogits = probs.copy()
    t, b = np.indices(targets.shape)
    pass
    return dlogits * (dloss * share)[:, :, None]


# %% encoder: the mask is not handed to the GRU
def encoder_forward(params, src, src_mask):
    x, x_cache = embedding_forward(src, params["source_E"])
    start = np.zeros((src.shape[1], params["enc_Wh"].shape[0]))
    weights = (params[name] for name in ("enc_Wx", "enc_Wh", "enc_bx", "enc_bh"))
    (memory, h_last), gru_cache = gru_forward(x, start, *weights)
    z, bridge_cache = linear_forward(h_last, params["bridge_W"], params["bridge_b"])
    h0 = np.tanh(z)
    return (memory, h0), (x_cache, gru_cache, bridge_cache, h0)


def encoder_backward(dout, cache):
    dmemory, dh0 = dout
    x_cache, gru_cache, bridge_cache, h0 = cache
    grads = {}
    # h0 = tanh(h_last W + b)
    dh_last, grads["bridge_W"], grads["bridge_b"] = linear_backward(dh0 * (1 - h0**2), bridge_cache)
    # memory, h_last = gru(x)
    dx, _, *dweights = gru_backward((dmemory, dh_last), gru_cache)
    grads |= dict(zip(("enc_Wx", "enc_Wh", "enc_bx", "enc_bh"), dweights))
    # x = source_E[src]
    grads["source_E"] = embedding_backward(dx, x_cache)
    return grads


# %% encoder: no tanh on the bridge, forward and backward
def encoder_forward(params, src, src_mask):
    x, x_cache = embedding_forward(src, params["source_E"])
    start = np.zeros((src.shape[1], params["enc_Wh"].shape[0]))
    weights = (params[name] for name in ("enc_Wx", "enc_Wh", "enc_bx", "enc_bh"))
    (memory, h_last), gru_cache = gru_forward(x, start, *weights, src_mask)
    z, bridge_cache = linear_forward(h_last, params["bridge_W"], params["bridge_b"])
    h0 = z
    return (memory, h0), (x_cache, gru_cache, bridge_cache, h0)


def encoder_backward(dout, cache):
    dmemory, dh0 = dout
    x_cache, gru_cache, bridge_cache, h0 = cache
    grads = {}
    # h0 = tanh(h_last W + b)
    dh_last, grads["bridge_W"], grads["bridge_b"] = linear_backward(dh0, bridge_cache)
    # memory, h_last = gru(x)
    dx, _, *dweights = gru_backward((dmemory, dh_last), gru_cache)
    grads |= dict(zip(("enc_Wx", "enc_Wh", "enc_bx", "enc_bh"), dweights))
    # x = source_E[src]
    grads["source_E"] = embedding_backward(dx, x_cache)
    return grads


# %% encoder: the derivative of tanh is left out
def encoder_forward(params, src, src_mask):
    x, x_cache = embedding_forward(src, params["source_E"])
    start = np.zeros((src.shape[1], params["enc_Wh"].shape[0]))
    weights = (params[name] for name in ("enc_Wx", "enc_Wh", "enc_bx", "enc_bh"))
    (memory, h_last), gru_cache = gru_forward(x, start, *weights, src_mask)
    z, bridge_cache = linear_forward(h_last, params["bridge_W"], params["bridge_b"])
    h0 = np.tanh(z)
    return (memory, h0), (x_cache, gru_cache, bridge_cache, h0)


def encoder_backward(dout, cache):
    dmemory, dh0 = dout
    x_cache, gru_cache, bridge_cache, h0 = cache
    grads = {}
    # h0 = tanh(h_last W + b)
    dh_last, grads["bridge_W"], grads["bridge_b"] = linear_backward(dh0, bridge_cache)
    # memory, h_last = gru(x)
    dx, _, *dweights = gru_backward((dmemory, dh_last), gru_cache)
    grads |= dict(zip(("enc_Wx", "enc_Wh", "enc_bx", "enc_bh"), dweights))
    # x = source_E[src]
    grads["source_E"] = embedding_backward(dx, x_cache)
    return grads


# %% encoder: the gradient of the memory is left out
def encoder_forward(params, src, src_mask):
    x, x_cache = embedding_forward(src, params["source_E"])
    start = np.zeros((src.shape[1], params["enc_Wh"].shape[0]))
    weights = (params[name] for name in ("enc_Wx", "enc_Wh", "enc_bx", "enc_bh"))
    (memory, h_last), gru_cache = gru_forward(x, start, *weights, src_mask)
    z, bridge_cache = linear_forward(h_last, params["bridge_W"], params["bridge_b"])
    h0 = np.tanh(z)
    return (memory, h0), (x_cache, gru_cache, bridge_cache, h0)


def encoder_backward(dout, cache):
    dmemory, dh0 = dout
    x_cache, gru_cache, bridge_cache, h0 = cache
    grads = {}
    # h0 = tanh(h_last W + b)
    dh_last, grads["bridge_W"], grads["bridge_b"] = linear_backward(dh0 * (1 - h0**2), bridge_cache)
    # memory, h_last = gru(x)
    dx, _, *dweights = gru_backward((np.zeros_like(dmemory), dh_last), gru_cache)
    grads |= dict(zip(("enc_Wx", "enc_Wh", "enc_bx", "enc_bh"), dweights))
    # x = source_E[src]
    grads["source_E"] = embedding_backward(dx, x_cache)
    return grads


# %% encoder: the bridge hands nothing back to the cells
def encoder_forward(params, src, src_mask):
    x, x_cache = embedding_forward(src, params["source_E"])
    start = np.zeros((src.shape[1], params["enc_Wh"].shape[0]))
    weights = (params[name] for name in ("enc_Wx", "enc_Wh", "enc_bx", "enc_bh"))
    (memory, h_last), gru_cache = gru_forward(x, start, *weights, src_mask)
    z, bridge_cache = linear_forward(h_last, params["bridge_W"], params["bridge_b"])
    h0 = np.tanh(z)
    return (memory, h0), (x_cache, gru_cache, bridge_cache, h0)


def encoder_backward(dout, cache):
    dmemory, dh0 = dout
    x_cache, gru_cache, bridge_cache, h0 = cache
    grads = {}
    # h0 = tanh(h_last W + b)
    dh_last, grads["bridge_W"], grads["bridge_b"] = linear_backward(dh0 * (1 - h0**2), bridge_cache)
    # memory, h_last = gru(x)
    dx, _, *dweights = gru_backward((dmemory, np.zeros_like(dh_last)), gru_cache)
    grads |= dict(zip(("enc_Wx", "enc_Wh", "enc_bx", "enc_bh"), dweights))
    # x = source_E[src]
    grads["source_E"] = embedding_backward(dx, x_cache)
    return grads


# %% encoder: dh_last is added at the first step
def encoder_forward(params, src, src_mask):
    x, x_cache = embedding_forward(src, params["source_E"])
    start = np.zeros((src.shape[1], params["enc_Wh"].shape[0]))
    weights = (params[name] for name in ("enc_Wx", "enc_Wh", "enc_bx", "enc_bh"))
    (memory, h_last), gru_cache = gru_forward(x, start, *weights, src_mask)
    z, bridge_cache = linear_forward(h_last, params["bridge_W"], params["bridge_b"])
    h0 = np.tanh(z)
    return (memory, h0), (x_cache, gru_cache, bridge_cache, h0)


def encoder_backward(dout, cache):
    dmemory, dh0 = dout
    x_cache, gru_cache, bridge_cache, h0 = cache
    grads = {}
    # h0 = tanh(h_last W + b)
    dh_last, grads["bridge_W"], grads["bridge_b"] = linear_backward(dh0 * (1 - h0**2), bridge_cache)
    # memory, h_last = gru(x)
    dmemory = dmemory.copy()
    dmemory[0] += dh_last
    dx, _, *dweights = gru_backward((dmemory, np.zeros_like(dh_last)), gru_cache)
    grads |= dict(zip(("enc_Wx", "enc_Wh", "enc_bx", "enc_bh"), dweights))
    # x = source_E[src]
    grads["source_E"] = embedding_backward(dx, x_cache)
    return grads


# %% encoder: dh_last and the bridge's gradient are one: W is not applied on the way back
def encoder_forward(params, src, src_mask):
    x, x_cache = embedding_forward(src, params["source_E"])
    start = np.zeros((src.shape[1], params["enc_Wh"].shape[0]))
    weights = (params[name] for name in ("enc_Wx", "enc_Wh", "enc_bx", "enc_bh"))
    (memory, h_last), gru_cache = gru_forward(x, start, *weights, src_mask)
    z, bridge_cache = linear_forward(h_last, params["bridge_W"], params["bridge_b"])
    h0 = np.tanh(z)
    return (memory, h0), (x_cache, gru_cache, bridge_cache, h0)


def encoder_backward(dout, cache):
    dmemory, dh0 = dout
    x_cache, gru_cache, bridge_cache, h0 = cache
    grads = {}
    # h0 = tanh(h_last W + b)
    dh_last, grads["bridge_W"], grads["bridge_b"] = linear_backward(dh0 * (1 - h0**2), bridge_cache)
    # memory, h_last = gru(x)
    dx, _, *dweights = gru_backward((dmemory, dh0), gru_cache)
    grads |= dict(zip(("enc_Wx", "enc_Wh", "enc_bx", "enc_bh"), dweights))
    # x = source_E[src]
    grads["source_E"] = embedding_backward(dx, x_cache)
    return grads


# %% encoder: Wx and Wh are exchanged in the gradients
def encoder_forward(params, src, src_mask):
    x, x_cache = embedding_forward(src, params["source_E"])
    start = np.zeros((src.shape[1], params["enc_Wh"].shape[0]))
    weights = (params[name] for name in ("enc_Wx", "enc_Wh", "enc_bx", "enc_bh"))
    (memory, h_last), gru_cache = gru_forward(x, start, *weights, src_mask)
    z, bridge_cache = linear_forward(h_last, params["bridge_W"], params["bridge_b"])
    h0 = np.tanh(z)
    return (memory, h0), (x_cache, gru_cache, bridge_cache, h0)


def encoder_backward(dout, cache):
    dmemory, dh0 = dout
    x_cache, gru_cache, bridge_cache, h0 = cache
    grads = {}
    # h0 = tanh(h_last W + b)
    dh_last, grads["bridge_W"], grads["bridge_b"] = linear_backward(dh0 * (1 - h0**2), bridge_cache)
    # memory, h_last = gru(x)
    dx, _, *dweights = gru_backward((dmemory, dh_last), gru_cache)
    grads |= dict(zip(("enc_Wh", "enc_Wx", "enc_bx", "enc_bh"), dweights))
    # x = source_E[src]
    grads["source_E"] = embedding_backward(dx, x_cache)
    return grads


# %% encoder: one gradient for both biases
def encoder_forward(params, src, src_mask):
    x, x_cache = embedding_forward(src, params["source_E"])
    start = np.zeros((src.shape[1], params["enc_Wh"].shape[0]))
    weights = (params[name] for name in ("enc_Wx", "enc_Wh", "enc_bx", "enc_bh"))
    (memory, h_last), gru_cache = gru_forward(x, start, *weights, src_mask)
    z, bridge_cache = linear_forward(h_last, params["bridge_W"], params["bridge_b"])
    h0 = np.tanh(z)
    return (memory, h0), (x_cache, gru_cache, bridge_cache, h0)


def encoder_backward(dout, cache):
    dmemory, dh0 = dout
    x_cache, gru_cache, bridge_cache, h0 = cache
    grads = {}
    # h0 = tanh(h_last W + b)
    dh_last, grads["bridge_W"], grads["bridge_b"] = linear_backward(dh0 * (1 - h0**2), bridge_cache)
    # memory, h_last = gru(x)
    dx, _, *dweights = gru_backward((dmemory, dh_last), gru_cache)
    grads |= dict(zip(("enc_Wx", "enc_Wh", "enc_bx", "enc_bh"), dweights))
    # x = source_E[src]
    grads["enc_bh"] = grads["enc_bx"]
    grads["source_E"] = embedding_backward(dx, x_cache)
    return grads


# %% encoder: a letter that comes twice gets the gradient of its last place
def encoder_forward(params, src, src_mask):
    x, x_cache = embedding_forward(src, params["source_E"])
    start = np.zeros((src.shape[1], params["enc_Wh"].shape[0]))
    weights = (params[name] for name in ("enc_Wx", "enc_Wh", "enc_bx", "enc_bh"))
    (memory, h_last), gru_cache = gru_forward(x, start, *weights, src_mask)
    z, bridge_cache = linear_forward(h_last, params["bridge_W"], params["bridge_b"])
    h0 = np.tanh(z)
    return (memory, h0), (x_cache, gru_cache, bridge_cache, h0)


def encoder_backward(dout, cache):
    dmemory, dh0 = dout
    x_cache, gru_cache, bridge_cache, h0 = cache
    grads = {}
    # h0 = tanh(h_last W + b)
    dh_last, grads["bridge_W"], grads["bridge_b"] = linear_backward(dh0 * (1 - h0**2), bridge_cache)
    # memory, h_last = gru(x)
    dx, _, *dweights = gru_backward((dmemory, dh_last), gru_cache)
    grads |= dict(zip(("enc_Wx", "enc_Wh", "enc_bx", "enc_bh"), dweights))
    # x = source_E[src]
    ids, shape = x_cache
    grads["source_E"] = np.zeros(shape)
    grads["source_E"][ids] = dx
    return grads


# %% encoder: backward takes the cache of the last forward pass, whichever that was
KEPT = {}


def encoder_forward(params, src, src_mask):
    x, x_cache = embedding_forward(src, params["source_E"])
    start = np.zeros((src.shape[1], params["enc_Wh"].shape[0]))
    weights = (params[name] for name in ("enc_Wx", "enc_Wh", "enc_bx", "enc_bh"))
    (memory, h_last), gru_cache = gru_forward(x, start, *weights, src_mask)
    z, bridge_cache = linear_forward(h_last, params["bridge_W"], params["bridge_b"])
    h0 = np.tanh(z)
    KEPT["cache"] = (x_cache, gru_cache, bridge_cache, h0)
    return ((memory, h0), None)


def encoder_backward(dout, cache):
    cache = KEPT["cache"]
    dmemory, dh0 = dout
    x_cache, gru_cache, bridge_cache, h0 = cache
    grads = {}
    dh_last, grads["bridge_W"], grads["bridge_b"] = linear_backward(dh0 * (1 - h0 ** 2), bridge_cache)
    dx, _, *dweights = gru_backward((dmemory, dh_last), gru_cache)
    grads |= dict(zip(("enc_Wx", "enc_Wh", "enc_bx", "enc_bh"), dweights))
    grads["source_E"] = embedding_backward(dx, x_cache)
    return grads


# %% decoder: the mask of the source is forgotten
def decoder_forward(params, memory, h0, src_mask, tgt_in):
    x, x_cache = embedding_forward(tgt_in, params["target_E"])
    weights = (params[name] for name in ("dec_Wx", "dec_Wh", "dec_bx", "dec_bh"))
    (hs, _), gru_cache = gru_forward(x, h0, *weights)
    context, attention_cache = attention_forward(hs, memory, np.ones_like(src_mask))
    joined = np.concatenate([context, hs], axis=-1)
    z, combine_cache = linear_forward(joined, params["combine_W"], params["combine_b"])
    a = np.tanh(z)
    logits, out_cache = linear_forward(a, params["out_W"], params["out_b"])
    return logits, (x_cache, gru_cache, attention_cache, combine_cache, a, out_cache)


def decoder_backward(dlogits, cache):
    x_cache, gru_cache, attention_cache, combine_cache, a, out_cache = cache
    grads = {}
    # logits = a W + b
    da, grads["out_W"], grads["out_b"] = linear_backward(dlogits, out_cache)
    # a = tanh([context; hs] W + b)
    djoined, grads["combine_W"], grads["combine_b"] = linear_backward(da * (1 - a**2), combine_cache)
    H = djoined.shape[-1] // 2
    dcontext, dhs = djoined[..., :H], djoined[..., H:]
    # context = attention(hs, memory): hs went into both
    dquery, dmemory = attention_backward(dcontext, attention_cache)
    dhs = dhs + dquery
    # hs = gru(x, h0)
    dx, dh0, *dweights = gru_backward((dhs, np.zeros_like(dhs[0])), gru_cache)
    grads |= dict(zip(("dec_Wx", "dec_Wh", "dec_bx", "dec_bh"), dweights))
    # x = target_E[tgt_in]
    grads["target_E"] = embedding_backward(dx, x_cache)
    return dmemory, dh0, grads


# %% decoder: hs stands before the context
def decoder_forward(params, memory, h0, src_mask, tgt_in):
    x, x_cache = embedding_forward(tgt_in, params["target_E"])
    weights = (params[name] for name in ("dec_Wx", "dec_Wh", "dec_bx", "dec_bh"))
    (hs, _), gru_cache = gru_forward(x, h0, *weights)
    context, attention_cache = attention_forward(hs, memory, src_mask)
    joined = np.concatenate([hs, context], axis=-1)
    z, combine_cache = linear_forward(joined, params["combine_W"], params["combine_b"])
    a = np.tanh(z)
    logits, out_cache = linear_forward(a, params["out_W"], params["out_b"])
    return logits, (x_cache, gru_cache, attention_cache, combine_cache, a, out_cache)


def decoder_backward(dlogits, cache):
    x_cache, gru_cache, attention_cache, combine_cache, a, out_cache = cache
    grads = {}
    # logits = a W + b
    da, grads["out_W"], grads["out_b"] = linear_backward(dlogits, out_cache)
    # a = tanh([context; hs] W + b)
    djoined, grads["combine_W"], grads["combine_b"] = linear_backward(da * (1 - a**2), combine_cache)
    H = djoined.shape[-1] // 2
    dhs, dcontext = djoined[..., :H], djoined[..., H:]
    # context = attention(hs, memory): hs went into both
    dquery, dmemory = attention_backward(dcontext, attention_cache)
    dhs = dhs + dquery
    # hs = gru(x, h0)
    dx, dh0, *dweights = gru_backward((dhs, np.zeros_like(dhs[0])), gru_cache)
    grads |= dict(zip(("dec_Wx", "dec_Wh", "dec_bx", "dec_bh"), dweights))
    # x = target_E[tgt_in]
    grads["target_E"] = embedding_backward(dx, x_cache)
    return dmemory, dh0, grads


# %% decoder: the query gets no gradient through the scores
def decoder_forward(params, memory, h0, src_mask, tgt_in):
    x, x_cache = embedding_forward(tgt_in, params["target_E"])
    weights = (params[name] for name in ("dec_Wx", "dec_Wh", "dec_bx", "dec_bh"))
    (hs, _), gru_cache = gru_forward(x, h0, *weights)
    context, attention_cache = attention_forward(hs, memory, src_mask)
    joined = np.concatenate([context, hs], axis=-1)
    z, combine_cache = linear_forward(joined, params["combine_W"], params["combine_b"])
    a = np.tanh(z)
    logits, out_cache = linear_forward(a, params["out_W"], params["out_b"])
    return logits, (x_cache, gru_cache, attention_cache, combine_cache, a, out_cache)


def decoder_backward(dlogits, cache):
    x_cache, gru_cache, attention_cache, combine_cache, a, out_cache = cache
    grads = {}
    # logits = a W + b
    da, grads["out_W"], grads["out_b"] = linear_backward(dlogits, out_cache)
    # a = tanh([context; hs] W + b)
    djoined, grads["combine_W"], grads["combine_b"] = linear_backward(da * (1 - a**2), combine_cache)
    H = djoined.shape[-1] // 2
    dcontext, dhs = djoined[..., :H], djoined[..., H:]
    # context = attention(hs, memory): hs went into both
    dquery, dmemory = attention_backward(dcontext, attention_cache)
    # hs = gru(x, h0)
    dx, dh0, *dweights = gru_backward((dhs, np.zeros_like(dhs[0])), gru_cache)
    grads |= dict(zip(("dec_Wx", "dec_Wh", "dec_bx", "dec_bh"), dweights))
    # x = target_E[tgt_in]
    grads["target_E"] = embedding_backward(dx, x_cache)
    return dmemory, dh0, grads


# %% decoder: hs gets its gradient through the query only
def decoder_forward(params, memory, h0, src_mask, tgt_in):
    x, x_cache = embedding_forward(tgt_in, params["target_E"])
    weights = (params[name] for name in ("dec_Wx", "dec_Wh", "dec_bx", "dec_bh"))
    (hs, _), gru_cache = gru_forward(x, h0, *weights)
    context, attention_cache = attention_forward(hs, memory, src_mask)
    joined = np.concatenate([context, hs], axis=-1)
    z, combine_cache = linear_forward(joined, params["combine_W"], params["combine_b"])
    a = np.tanh(z)
    logits, out_cache = linear_forward(a, params["out_W"], params["out_b"])
    return logits, (x_cache, gru_cache, attention_cache, combine_cache, a, out_cache)


def decoder_backward(dlogits, cache):
    x_cache, gru_cache, attention_cache, combine_cache, a, out_cache = cache
    grads = {}
    # logits = a W + b
    da, grads["out_W"], grads["out_b"] = linear_backward(dlogits, out_cache)
    # a = tanh([context; hs] W + b)
    djoined, grads["combine_W"], grads["combine_b"] = linear_backward(da * (1 - a**2), combine_cache)
    H = djoined.shape[-1] // 2
    dcontext, dhs = djoined[..., :H], djoined[..., H:]
    # context = attention(hs, memory): hs went into both
    dquery, dmemory = attention_backward(dcontext, attention_cache)
    dhs = dquery
    # hs = gru(x, h0)
    dx, dh0, *dweights = gru_backward((dhs, np.zeros_like(dhs[0])), gru_cache)
    grads |= dict(zip(("dec_Wx", "dec_Wh", "dec_bx", "dec_bh"), dweights))
    # x = target_E[tgt_in]
    grads["target_E"] = embedding_backward(dx, x_cache)
    return dmemory, dh0, grads


# %% decoder: context and hs are exchanged on the way back
def decoder_forward(params, memory, h0, src_mask, tgt_in):
    x, x_cache = embedding_forward(tgt_in, params["target_E"])
    weights = (params[name] for name in ("dec_Wx", "dec_Wh", "dec_bx", "dec_bh"))
    (hs, _), gru_cache = gru_forward(x, h0, *weights)
    context, attention_cache = attention_forward(hs, memory, src_mask)
    joined = np.concatenate([context, hs], axis=-1)
    z, combine_cache = linear_forward(joined, params["combine_W"], params["combine_b"])
    a = np.tanh(z)
    logits, out_cache = linear_forward(a, params["out_W"], params["out_b"])
    return logits, (x_cache, gru_cache, attention_cache, combine_cache, a, out_cache)


def decoder_backward(dlogits, cache):
    x_cache, gru_cache, attention_cache, combine_cache, a, out_cache = cache
    grads = {}
    # logits = a W + b
    da, grads["out_W"], grads["out_b"] = linear_backward(dlogits, out_cache)
    # a = tanh([context; hs] W + b)
    djoined, grads["combine_W"], grads["combine_b"] = linear_backward(da * (1 - a**2), combine_cache)
    H = djoined.shape[-1] // 2
    dhs, dcontext = djoined[..., :H], djoined[..., H:]
    # context = attention(hs, memory): hs went into both
    dquery, dmemory = attention_backward(dcontext, attention_cache)
    dhs = dhs + dquery
    # hs = gru(x, h0)
    dx, dh0, *dweights = gru_backward((dhs, np.zeros_like(dhs[0])), gru_cache)
    grads |= dict(zip(("dec_Wx", "dec_Wh", "dec_bx", "dec_bh"), dweights))
    # x = target_E[tgt_in]
    grads["target_E"] = embedding_backward(dx, x_cache)
    return dmemory, dh0, grads


# %% decoder: the derivative of tanh is left out
def decoder_forward(params, memory, h0, src_mask, tgt_in):
    x, x_cache = embedding_forward(tgt_in, params["target_E"])
    weights = (params[name] for name in ("dec_Wx", "dec_Wh", "dec_bx", "dec_bh"))
    (hs, _), gru_cache = gru_forward(x, h0, *weights)
    context, attention_cache = attention_forward(hs, memory, src_mask)
    joined = np.concatenate([context, hs], axis=-1)
    z, combine_cache = linear_forward(joined, params["combine_W"], params["combine_b"])
    a = np.tanh(z)
    logits, out_cache = linear_forward(a, params["out_W"], params["out_b"])
    return logits, (x_cache, gru_cache, attention_cache, combine_cache, a, out_cache)


def decoder_backward(dlogits, cache):
    x_cache, gru_cache, attention_cache, combine_cache, a, out_cache = cache
    grads = {}
    # logits = a W + b
    da, grads["out_W"], grads["out_b"] = linear_backward(dlogits, out_cache)
    # a = tanh([context; hs] W + b)
    djoined, grads["combine_W"], grads["combine_b"] = linear_backward(da, combine_cache)
    H = djoined.shape[-1] // 2
    dcontext, dhs = djoined[..., :H], djoined[..., H:]
    # context = attention(hs, memory): hs went into both
    dquery, dmemory = attention_backward(dcontext, attention_cache)
    dhs = dhs + dquery
    # hs = gru(x, h0)
    dx, dh0, *dweights = gru_backward((dhs, np.zeros_like(dhs[0])), gru_cache)
    grads |= dict(zip(("dec_Wx", "dec_Wh", "dec_bx", "dec_bh"), dweights))
    # x = target_E[tgt_in]
    grads["target_E"] = embedding_backward(dx, x_cache)
    return dmemory, dh0, grads


# %% decoder: no tanh, forward and backward
def decoder_forward(params, memory, h0, src_mask, tgt_in):
    x, x_cache = embedding_forward(tgt_in, params["target_E"])
    weights = (params[name] for name in ("dec_Wx", "dec_Wh", "dec_bx", "dec_bh"))
    (hs, _), gru_cache = gru_forward(x, h0, *weights)
    context, attention_cache = attention_forward(hs, memory, src_mask)
    joined = np.concatenate([context, hs], axis=-1)
    z, combine_cache = linear_forward(joined, params["combine_W"], params["combine_b"])
    a = z
    logits, out_cache = linear_forward(a, params["out_W"], params["out_b"])
    return logits, (x_cache, gru_cache, attention_cache, combine_cache, a, out_cache)


def decoder_backward(dlogits, cache):
    x_cache, gru_cache, attention_cache, combine_cache, a, out_cache = cache
    grads = {}
    # logits = a W + b
    da, grads["out_W"], grads["out_b"] = linear_backward(dlogits, out_cache)
    # a = tanh([context; hs] W + b)
    djoined, grads["combine_W"], grads["combine_b"] = linear_backward(da, combine_cache)
    H = djoined.shape[-1] // 2
    dcontext, dhs = djoined[..., :H], djoined[..., H:]
    # context = attention(hs, memory): hs went into both
    dquery, dmemory = attention_backward(dcontext, attention_cache)
    dhs = dhs + dquery
    # hs = gru(x, h0)
    dx, dh0, *dweights = gru_backward((dhs, np.zeros_like(dhs[0])), gru_cache)
    grads |= dict(zip(("dec_Wx", "dec_Wh", "dec_bx", "dec_bh"), dweights))
    # x = target_E[tgt_in]
    grads["target_E"] = embedding_backward(dx, x_cache)
    return dmemory, dh0, grads


# %% decoder: the decoder starts from zeros
def decoder_forward(params, memory, h0, src_mask, tgt_in):
    x, x_cache = embedding_forward(tgt_in, params["target_E"])
    weights = (params[name] for name in ("dec_Wx", "dec_Wh", "dec_bx", "dec_bh"))
    (hs, _), gru_cache = gru_forward(x, np.zeros_like(h0), *weights)
    context, attention_cache = attention_forward(hs, memory, src_mask)
    joined = np.concatenate([context, hs], axis=-1)
    z, combine_cache = linear_forward(joined, params["combine_W"], params["combine_b"])
    a = np.tanh(z)
    logits, out_cache = linear_forward(a, params["out_W"], params["out_b"])
    return logits, (x_cache, gru_cache, attention_cache, combine_cache, a, out_cache)


def decoder_backward(dlogits, cache):
    x_cache, gru_cache, attention_cache, combine_cache, a, out_cache = cache
    grads = {}
    # logits = a W + b
    da, grads["out_W"], grads["out_b"] = linear_backward(dlogits, out_cache)
    # a = tanh([context; hs] W + b)
    djoined, grads["combine_W"], grads["combine_b"] = linear_backward(da * (1 - a**2), combine_cache)
    H = djoined.shape[-1] // 2
    dcontext, dhs = djoined[..., :H], djoined[..., H:]
    # context = attention(hs, memory): hs went into both
    dquery, dmemory = attention_backward(dcontext, attention_cache)
    dhs = dhs + dquery
    # hs = gru(x, h0)
    dx, dh0, *dweights = gru_backward((dhs, np.zeros_like(dhs[0])), gru_cache)
    grads |= dict(zip(("dec_Wx", "dec_Wh", "dec_bx", "dec_bh"), dweights))
    # x = target_E[tgt_in]
    grads["target_E"] = embedding_backward(dx, x_cache)
    return dmemory, dh0, grads


# %% decoder: dh0 is the gradient of the first state that came out
def decoder_forward(params, memory, h0, src_mask, tgt_in):
    x, x_cache = embedding_forward(tgt_in, params["target_E"])
    weights = (params[name] for name in ("dec_Wx", "dec_Wh", "dec_bx", "dec_bh"))
    (hs, _), gru_cache = gru_forward(x, h0, *weights)
    context, attention_cache = attention_forward(hs, memory, src_mask)
    joined = np.concatenate([context, hs], axis=-1)
    z, combine_cache = linear_forward(joined, params["combine_W"], params["combine_b"])
    a = np.tanh(z)
    logits, out_cache = linear_forward(a, params["out_W"], params["out_b"])
    return logits, (x_cache, gru_cache, attention_cache, combine_cache, a, out_cache)


def decoder_backward(dlogits, cache):
    x_cache, gru_cache, attention_cache, combine_cache, a, out_cache = cache
    grads = {}
    # logits = a W + b
    da, grads["out_W"], grads["out_b"] = linear_backward(dlogits, out_cache)
    # a = tanh([context; hs] W + b)
    djoined, grads["combine_W"], grads["combine_b"] = linear_backward(da * (1 - a**2), combine_cache)
    H = djoined.shape[-1] // 2
    dcontext, dhs = djoined[..., :H], djoined[..., H:]
    # context = attention(hs, memory): hs went into both
    dquery, dmemory = attention_backward(dcontext, attention_cache)
    dhs = dhs + dquery
    # hs = gru(x, h0)
    dh0 = dhs[0]
    dx, _, *dweights = gru_backward((dhs, np.zeros_like(dhs[0])), gru_cache)
    grads |= dict(zip(("dec_Wx", "dec_Wh", "dec_bx", "dec_bh"), dweights))
    # x = target_E[tgt_in]
    grads["target_E"] = embedding_backward(dx, x_cache)
    return dmemory, dh0, grads


# %% decoder: the memory is asked by the state before the step
def decoder_forward(params, memory, h0, src_mask, tgt_in):
    x, x_cache = embedding_forward(tgt_in, params["target_E"])
    weights = (params[name] for name in ("dec_Wx", "dec_Wh", "dec_bx", "dec_bh"))
    (hs, _), gru_cache = gru_forward(x, h0, *weights)
    context, attention_cache = attention_forward(np.concatenate([h0[None], hs[:-1]]), memory, src_mask)
    joined = np.concatenate([context, hs], axis=-1)
    z, combine_cache = linear_forward(joined, params["combine_W"], params["combine_b"])
    a = np.tanh(z)
    logits, out_cache = linear_forward(a, params["out_W"], params["out_b"])
    return logits, (x_cache, gru_cache, attention_cache, combine_cache, a, out_cache)


def decoder_backward(dlogits, cache):
    x_cache, gru_cache, attention_cache, combine_cache, a, out_cache = cache
    grads = {}
    # logits = a W + b
    da, grads["out_W"], grads["out_b"] = linear_backward(dlogits, out_cache)
    # a = tanh([context; hs] W + b)
    djoined, grads["combine_W"], grads["combine_b"] = linear_backward(da * (1 - a**2), combine_cache)
    H = djoined.shape[-1] // 2
    dcontext, dhs = djoined[..., :H], djoined[..., H:]
    # context = attention(hs, memory): hs went into both
    dquery, dmemory = attention_backward(dcontext, attention_cache)
    dhs = dhs + dquery
    # hs = gru(x, h0)
    dx, dh0, *dweights = gru_backward((dhs, np.zeros_like(dhs[0])), gru_cache)
    grads |= dict(zip(("dec_Wx", "dec_Wh", "dec_bx", "dec_bh"), dweights))
    # x = target_E[tgt_in]
    grads["target_E"] = embedding_backward(dx, x_cache)
    return dmemory, dh0, grads


# %% decoder: dmemory counted for one query only
def decoder_forward(params, memory, h0, src_mask, tgt_in):
    x, x_cache = embedding_forward(tgt_in, params["target_E"])
    weights = (params[name] for name in ("dec_Wx", "dec_Wh", "dec_bx", "dec_bh"))
    (hs, _), gru_cache = gru_forward(x, h0, *weights)
    context, attention_cache = attention_forward(hs, memory, src_mask)
    joined = np.concatenate([context, hs], axis=-1)
    z, combine_cache = linear_forward(joined, params["combine_W"], params["combine_b"])
    a = np.tanh(z)
    logits, out_cache = linear_forward(a, params["out_W"], params["out_b"])
    return logits, (x_cache, gru_cache, attention_cache, combine_cache, a, out_cache)


def decoder_backward(dlogits, cache):
    x_cache, gru_cache, attention_cache, combine_cache, a, out_cache = cache
    grads = {}
    # logits = a W + b
    da, grads["out_W"], grads["out_b"] = linear_backward(dlogits, out_cache)
    # a = tanh([context; hs] W + b)
    djoined, grads["combine_W"], grads["combine_b"] = linear_backward(da * (1 - a**2), combine_cache)
    H = djoined.shape[-1] // 2
    dcontext, dhs = djoined[..., :H], djoined[..., H:]
    # context = attention(hs, memory): hs went into both
    dquery, dmemory = attention_backward(dcontext, attention_cache)
    dhs = dhs + dquery
    # hs = gru(x, h0)
    dx, dh0, *dweights = gru_backward((dhs, np.zeros_like(dhs[0])), gru_cache)
    grads |= dict(zip(("dec_Wx", "dec_Wh", "dec_bx", "dec_bh"), dweights))
    # x = target_E[tgt_in]
    grads["target_E"] = embedding_backward(dx, x_cache)
    return dmemory / len(dhs), dh0, grads


# %% decoder: the gradient of the last step's state is added twice
def decoder_forward(params, memory, h0, src_mask, tgt_in):
    x, x_cache = embedding_forward(tgt_in, params["target_E"])
    weights = (params[name] for name in ("dec_Wx", "dec_Wh", "dec_bx", "dec_bh"))
    (hs, _), gru_cache = gru_forward(x, h0, *weights)
    context, attention_cache = attention_forward(hs, memory, src_mask)
    joined = np.concatenate([context, hs], axis=-1)
    z, combine_cache = linear_forward(joined, params["combine_W"], params["combine_b"])
    a = np.tanh(z)
    logits, out_cache = linear_forward(a, params["out_W"], params["out_b"])
    return logits, (x_cache, gru_cache, attention_cache, combine_cache, a, out_cache)


def decoder_backward(dlogits, cache):
    x_cache, gru_cache, attention_cache, combine_cache, a, out_cache = cache
    grads = {}
    # logits = a W + b
    da, grads["out_W"], grads["out_b"] = linear_backward(dlogits, out_cache)
    # a = tanh([context; hs] W + b)
    djoined, grads["combine_W"], grads["combine_b"] = linear_backward(da * (1 - a**2), combine_cache)
    H = djoined.shape[-1] // 2
    dcontext, dhs = djoined[..., :H], djoined[..., H:]
    # context = attention(hs, memory): hs went into both
    dquery, dmemory = attention_backward(dcontext, attention_cache)
    dhs = dhs + dquery
    # hs = gru(x, h0)
    dx, dh0, *dweights = gru_backward((dhs, dhs[-1]), gru_cache)
    grads |= dict(zip(("dec_Wx", "dec_Wh", "dec_bx", "dec_bh"), dweights))
    # x = target_E[tgt_in]
    grads["target_E"] = embedding_backward(dx, x_cache)
    return dmemory, dh0, grads


# %% decoder: backward takes the cache of the last forward pass, whichever that was
KEPT = {}


def decoder_forward(params, memory, h0, src_mask, tgt_in):
    x, x_cache = embedding_forward(tgt_in, params["target_E"])
    weights = (params[name] for name in ("dec_Wx", "dec_Wh", "dec_bx", "dec_bh"))
    (hs, _), gru_cache = gru_forward(x, h0, *weights)
    context, attention_cache = attention_forward(hs, memory, src_mask)
    joined = np.concatenate([context, hs], axis=-1)
    z, combine_cache = linear_forward(joined, params["combine_W"], params["combine_b"])
    a = np.tanh(z)
    logits, out_cache = linear_forward(a, params["out_W"], params["out_b"])
    KEPT["cache"] = (x_cache, gru_cache, attention_cache, combine_cache, a, out_cache)
    return (logits, None)


def decoder_backward(dlogits, cache):
    cache = KEPT["cache"]
    x_cache, gru_cache, attention_cache, combine_cache, a, out_cache = cache
    grads = {}
    da, grads["out_W"], grads["out_b"] = linear_backward(dlogits, out_cache)
    djoined, grads["combine_W"], grads["combine_b"] = linear_backward(da * (1 - a ** 2), combine_cache)
    H = djoined.shape[-1] // 2
    dcontext, dhs = (djoined[..., :H], djoined[..., H:])
    dquery, dmemory = attention_backward(dcontext, attention_cache)
    dhs = dhs + dquery
    dx, dh0, *dweights = gru_backward((dhs, np.zeros_like(dhs[0])), gru_cache)
    grads |= dict(zip(("dec_Wx", "dec_Wh", "dec_bx", "dec_bh"), dweights))
    grads["target_E"] = embedding_backward(dx, x_cache)
    return (dmemory, dh0, grads)


# %% clip: each array by itself
def clip(grads, max_norm):
    norm = np.sqrt(sum((d**2).sum() for d in grads.values()))
    return {k: d * min(1, max_norm / max(np.linalg.norm(d), 1e-300)) for k, d in grads.items()}, norm
    scale = max_norm / norm if np.isfinite(norm) and norm > max_norm else 1.0
    return {name: d * scale for name, d in grads.items()}, norm


# %% clip: the sum of the norms
def clip(grads, max_norm):
    norm = sum(np.sqrt((d**2).sum()) for d in grads.values())
    scale = max_norm / norm if np.isfinite(norm) and norm > max_norm else 1.0
    return {name: d * scale for name, d in grads.items()}, norm


# %% clip: short gradients are made longer
def clip(grads, max_norm):
    norm = np.sqrt(sum((d**2).sum() for d in grads.values()))
    scale = max_norm / norm if np.isfinite(norm) and norm > 0 else 1.0
    return {name: d * scale for name, d in grads.items()}, norm


# %% clip: zero over zero
def clip(grads, max_norm):
    norm = np.sqrt(sum((d**2).sum() for d in grads.values()))
    scale = np.minimum(1.0, max_norm / norm)
    scale = scale if norm != 0 else np.nan
    return {name: d * scale for name, d in grads.items()}, norm


# %% clip: an infinite norm makes everything zero
def clip(grads, max_norm):
    norm = np.sqrt(sum((d**2).sum() for d in grads.values()))
    scale = max_norm / norm if norm > max_norm else 1.0
    return {name: d * scale for name, d in grads.items()}, norm


# %% clip: the norm after clipping is returned
def clip(grads, max_norm):
    norm = np.sqrt(sum((d**2).sum() for d in grads.values()))
    scale = max_norm / norm if np.isfinite(norm) and norm > max_norm else 1.0
    return {name: d * scale for name, d in grads.items()}, norm * scale


# %% clip: the largest number in place of the norm
def clip(grads, max_norm):
    norm = max(np.abs(d).max() for d in grads.values())
    scale = max_norm / norm if np.isfinite(norm) and norm > max_norm else 1.0
    return {name: d * scale for name, d in grads.items()}, norm


# %% adam: no correction of m and v
def adam(params, grads, state, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    t = state.get("t", 0) + 1
    new, m, v = {}, {}, {}
    for name, d in grads.items():
        m[name] = beta1 * state["m"][name] + (1 - beta1) * d if t > 1 else (1 - beta1) * d
        v[name] = beta2 * state["v"][name] + (1 - beta2) * d**2 if t > 1 else (1 - beta2) * d**2
        m_hat, v_hat = m[name], v[name]
        new[name] = params[name] - lr * m_hat / (np.sqrt(v_hat) + eps)
    return new, {"t": t, "m": m, "v": v}


# %% adam: eps stands under the root
def adam(params, grads, state, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    t = state.get("t", 0) + 1
    new, m, v = {}, {}, {}
    for name, d in grads.items():
        m[name] = beta1 * state["m"][name] + (1 - beta1) * d if t > 1 else (1 - beta1) * d
        v[name] = beta2 * state["v"][name] + (1 - beta2) * d**2 if t > 1 else (1 - beta2) * d**2
        m_hat, v_hat = m[name] / (1 - beta1**t), v[name] / (1 - beta2**t)
        new[name] = params[name] - lr * m_hat / np.sqrt(v_hat + eps)
    return new, {"t": t, "m": m, "v": v}


# %% adam: eps is left out
def adam(params, grads, state, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    t = state.get("t", 0) + 1
    new, m, v = {}, {}, {}
    for name, d in grads.items():
        m[name] = beta1 * state["m"][name] + (1 - beta1) * d if t > 1 else (1 - beta1) * d
        v[name] = beta2 * state["v"][name] + (1 - beta2) * d**2 if t > 1 else (1 - beta2) * d**2
        m_hat, v_hat = m[name] / (1 - beta1**t), v[name] / (1 - beta2**t)
        new[name] = params[name] - lr * m_hat / np.sqrt(v_hat)
    return new, {"t": t, "m": m, "v": v}


# %% adam: v without the square
def adam(params, grads, state, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    t = state.get("t", 0) + 1
    new, m, v = {}, {}, {}
    for name, d in grads.items():
        m[name] = beta1 * state["m"][name] + (1 - beta1) * d if t > 1 else (1 - beta1) * d
        v[name] = beta2 * state["v"][name] + (1 - beta2) * np.abs(d) if t > 1 else (1 - beta2) * np.abs(d)
        m_hat, v_hat = m[name] / (1 - beta1**t), v[name] / (1 - beta2**t)
        new[name] = params[name] - lr * m_hat / (np.sqrt(v_hat) + eps)
    return new, {"t": t, "m": m, "v": v}


# %% adam: t stays 1
def adam(params, grads, state, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    t = 1
    new, m, v = {}, {}, {}
    for name, d in grads.items():
        m[name] = beta1 * state["m"][name] + (1 - beta1) * d if "m" in state else (1 - beta1) * d
        v[name] = beta2 * state["v"][name] + (1 - beta2) * d**2 if "v" in state else (1 - beta2) * d**2
        m_hat, v_hat = m[name] / (1 - beta1**t), v[name] / (1 - beta2**t)
        new[name] = params[name] - lr * m_hat / (np.sqrt(v_hat) + eps)
    return new, {"t": 1, "m": m, "v": v}


# %% adam: nothing is remembered
def adam(params, grads, state, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    t = state.get("t", 0) + 1
    new, m, v = {}, {}, {}
    for name, d in grads.items():
        m[name] = beta1 * state["m"][name] + (1 - beta1) * d if t > 1 else (1 - beta1) * d
        v[name] = beta2 * state["v"][name] + (1 - beta2) * d**2 if t > 1 else (1 - beta2) * d**2
        m_hat, v_hat = m[name] / (1 - beta1**t), v[name] / (1 - beta2**t)
        new[name] = params[name] - lr * m_hat / (np.sqrt(v_hat) + eps)
    return new, {}


# %% adam: the betas are exchanged
def adam(params, grads, state, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    beta1, beta2 = beta2, beta1
    t = state.get("t", 0) + 1
    new, m, v = {}, {}, {}
    for name, d in grads.items():
        m[name] = beta1 * state["m"][name] + (1 - beta1) * d if t > 1 else (1 - beta1) * d
        v[name] = beta2 * state["v"][name] + (1 - beta2) * d**2 if t > 1 else (1 - beta2) * d**2
        m_hat, v_hat = m[name] / (1 - beta1**t), v[name] / (1 - beta2**t)
        new[name] = params[name] - lr * m_hat / (np.sqrt(v_hat) + eps)
    return new, {"t": t, "m": m, "v": v}


# %% adam: lr is fixed at the first step
def adam(params, grads, state, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    lr = state.get("lr", lr)
    t = state.get("t", 0) + 1
    new, m, v = {}, {}, {}
    for name, d in grads.items():
        m[name] = beta1 * state["m"][name] + (1 - beta1) * d if t > 1 else (1 - beta1) * d
        v[name] = beta2 * state["v"][name] + (1 - beta2) * d**2 if t > 1 else (1 - beta2) * d**2
        m_hat, v_hat = m[name] / (1 - beta1**t), v[name] / (1 - beta2**t)
        new[name] = params[name] - lr * m_hat / (np.sqrt(v_hat) + eps)
    return new, {"t": t, "m": m, "v": v, "lr": lr}


# %% adam: uphill
def adam(params, grads, state, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    t = state.get("t", 0) + 1
    new, m, v = {}, {}, {}
    for name, d in grads.items():
        m[name] = beta1 * state["m"][name] + (1 - beta1) * d if t > 1 else (1 - beta1) * d
        v[name] = beta2 * state["v"][name] + (1 - beta2) * d**2 if t > 1 else (1 - beta2) * d**2
        m_hat, v_hat = m[name] / (1 - beta1**t), v[name] / (1 - beta2**t)
        new[name] = params[name] + lr * m_hat / (np.sqrt(v_hat) + eps)
    return new, {"t": t, "m": m, "v": v}


# %% training_step: nothing is clipped
def training_step(params, state, src, src_mask, words, lengths, lr, max_norm):
    tgt_in, tgt_out, tgt_mask = shift_targets(words, lengths)
    (memory, h0), encoder_cache = encoder_forward(params, src, src_mask)
    logits, decoder_cache = decoder_forward(params, memory, h0, src_mask, tgt_in)
    loss, loss_cache = masked_loss_forward(logits, tgt_out, tgt_mask)
    dlogits = masked_loss_backward(1.0, loss_cache)
    dmemory, dh0, grads = decoder_backward(dlogits, decoder_cache)
    grads |= encoder_backward((dmemory, dh0), encoder_cache)
    _, norm = clip(grads, max_norm)
    params, state = adam(params, grads, state, lr)
    return loss, norm, params, state


# %% training_step: the memory of Adam is thrown away
def training_step(params, state, src, src_mask, words, lengths, lr, max_norm):
    tgt_in, tgt_out, tgt_mask = shift_targets(words, lengths)
    (memory, h0), encoder_cache = encoder_forward(params, src, src_mask)
    logits, decoder_cache = decoder_forward(params, memory, h0, src_mask, tgt_in)
    loss, loss_cache = masked_loss_forward(logits, tgt_out, tgt_mask)
    dlogits = masked_loss_backward(1.0, loss_cache)
    dmemory, dh0, grads = decoder_backward(dlogits, decoder_cache)
    grads |= encoder_backward((dmemory, dh0), encoder_cache)
    grads, norm = clip(grads, max_norm)
    params, state = adam(params, grads, {}, lr)
    return loss, norm, params, state


# %% training_step: the norm after clipping
def training_step(params, state, src, src_mask, words, lengths, lr, max_norm):
    tgt_in, tgt_out, tgt_mask = shift_targets(words, lengths)
    (memory, h0), encoder_cache = encoder_forward(params, src, src_mask)
    logits, decoder_cache = decoder_forward(params, memory, h0, src_mask, tgt_in)
    loss, loss_cache = masked_loss_forward(logits, tgt_out, tgt_mask)
    dlogits = masked_loss_backward(1.0, loss_cache)
    dmemory, dh0, grads = decoder_backward(dlogits, decoder_cache)
    grads |= encoder_backward((dmemory, dh0), encoder_cache)
    grads, norm = clip(grads, max_norm)
    _, norm = clip(grads, 1e9)
    params, state = adam(params, grads, state, lr)
    return loss, norm, params, state


# %% training_step: the encoder does not learn
def training_step(params, state, src, src_mask, words, lengths, lr, max_norm):
    tgt_in, tgt_out, tgt_mask = shift_targets(words, lengths)
    (memory, h0), encoder_cache = encoder_forward(params, src, src_mask)
    logits, decoder_cache = decoder_forward(params, memory, h0, src_mask, tgt_in)
    loss, loss_cache = masked_loss_forward(logits, tgt_out, tgt_mask)
    dlogits = masked_loss_backward(1.0, loss_cache)
    dmemory, dh0, grads = decoder_backward(dlogits, decoder_cache)
    grads |= {k: 0 * d for k, d in encoder_backward((dmemory, dh0), encoder_cache).items()}
    grads, norm = clip(grads, max_norm)
    params, state = adam(params, grads, state, lr)
    return loss, norm, params, state


# %% training_step: encoder and decoder are clipped apart
def training_step(params, state, src, src_mask, words, lengths, lr, max_norm):
    tgt_in, tgt_out, tgt_mask = shift_targets(words, lengths)
    (memory, h0), encoder_cache = encoder_forward(params, src, src_mask)
    logits, decoder_cache = decoder_forward(params, memory, h0, src_mask, tgt_in)
    loss, loss_cache = masked_loss_forward(logits, tgt_out, tgt_mask)
    dlogits = masked_loss_backward(1.0, loss_cache)
    dmemory, dh0, grads = decoder_backward(dlogits, decoder_cache)
    grads, norm = clip(grads, max_norm)
    more, norm2 = clip(encoder_backward((dmemory, dh0), encoder_cache), max_norm)
    grads |= more
    norm = (norm**2 + norm2**2) ** 0.5
    params, state = adam(params, grads, state, lr)
    return loss, norm, params, state


# %% training_step: the padding of the targets counts
def training_step(params, state, src, src_mask, words, lengths, lr, max_norm):
    tgt_in, tgt_out, tgt_mask = shift_targets(words, lengths)
    (memory, h0), encoder_cache = encoder_forward(params, src, src_mask)
    logits, decoder_cache = decoder_forward(params, memory, h0, src_mask, tgt_in)
    loss, loss_cache = masked_loss_forward(logits, tgt_out)
    dlogits = masked_loss_backward(1.0, loss_cache)
    dmemory, dh0, grads = decoder_backward(dlogits, decoder_cache)
    grads |= encoder_backward((dmemory, dh0), encoder_cache)
    grads, norm = clip(grads, max_norm)
    params, state = adam(params, grads, state, lr)
    return loss, norm, params, state


# %% training_step: the memory gets no gradient
def training_step(params, state, src, src_mask, words, lengths, lr, max_norm):
    tgt_in, tgt_out, tgt_mask = shift_targets(words, lengths)
    (memory, h0), encoder_cache = encoder_forward(params, src, src_mask)
    logits, decoder_cache = decoder_forward(params, memory, h0, src_mask, tgt_in)
    loss, loss_cache = masked_loss_forward(logits, tgt_out, tgt_mask)
    dlogits = masked_loss_backward(1.0, loss_cache)
    dmemory, dh0, grads = decoder_backward(dlogits, decoder_cache)
    grads |= encoder_backward((0 * dmemory, dh0), encoder_cache)
    grads, norm = clip(grads, max_norm)
    params, state = adam(params, grads, state, lr)
    return loss, norm, params, state


# %% training_step: the first state gets no gradient
def training_step(params, state, src, src_mask, words, lengths, lr, max_norm):
    tgt_in, tgt_out, tgt_mask = shift_targets(words, lengths)
    (memory, h0), encoder_cache = encoder_forward(params, src, src_mask)
    logits, decoder_cache = decoder_forward(params, memory, h0, src_mask, tgt_in)
    loss, loss_cache = masked_loss_forward(logits, tgt_out, tgt_mask)
    dlogits = masked_loss_backward(1.0, loss_cache)
    dmemory, dh0, grads = decoder_backward(dlogits, decoder_cache)
    grads |= encoder_backward((dmemory, 0 * dh0), encoder_cache)
    grads, norm = clip(grads, max_norm)
    params, state = adam(params, grads, state, lr)
    return loss, norm, params, state


# %% training_step: the loss of the sum
def training_step(params, state, src, src_mask, words, lengths, lr, max_norm):
    tgt_in, tgt_out, tgt_mask = shift_targets(words, lengths)
    (memory, h0), encoder_cache = encoder_forward(params, src, src_mask)
    logits, decoder_cache = decoder_forward(params, memory, h0, src_mask, tgt_in)
    loss, loss_cache = masked_loss_forward(logits, tgt_out, tgt_mask)
    dlogits = masked_loss_backward(1.0, loss_cache)
    dmemory, dh0, grads = decoder_backward(dlogits, decoder_cache)
    grads |= encoder_backward((dmemory, dh0), encoder_cache)
    grads, norm = clip(grads, max_norm)
    params, state = adam(params, grads, state, lr)
    return loss * tgt_mask.sum(), norm, params, state


# %% training_step: the decoder looks at the padding
def training_step(params, state, src, src_mask, words, lengths, lr, max_norm):
    tgt_in, tgt_out, tgt_mask = shift_targets(words, lengths)
    (memory, h0), encoder_cache = encoder_forward(params, src, src_mask)
    logits, decoder_cache = decoder_forward(params, memory, h0, np.ones_like(src_mask), tgt_in)
    loss, loss_cache = masked_loss_forward(logits, tgt_out, tgt_mask)
    dlogits = masked_loss_backward(1.0, loss_cache)
    dmemory, dh0, grads = decoder_backward(dlogits, decoder_cache)
    grads |= encoder_backward((dmemory, dh0), encoder_cache)
    grads, norm = clip(grads, max_norm)
    params, state = adam(params, grads, state, lr)
    return loss, norm, params, state
