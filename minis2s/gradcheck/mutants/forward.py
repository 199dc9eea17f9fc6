"""Forward mistakes of operations; those of layers and models are in forward_layers.py and forward_models.py.

Nearly all agree with their own backward, so no gradient check can see them.
What finds them is a property: padding changes nothing, a batch is the mean of its tokens, large
numbers stay finite, two evaluations are equal, one library's numbers are the other's.
"""

from minis2s.gradcheck.mutants.mutant import Mutant


def wrong(target, name, old, new, says, op="") -> Mutant:
    return Mutant(f"forward/{name}", target, old, new, says, "forward", about="forward", op=op)


MUTANTS = [
    # -- masked softmax
    wrong(
        "functional.softmax:masked_softmax_forward",
        "no source mask",
        "    xp = xp_of(scores)\n",
        "    xp = xp_of(scores)\n    mask = None\n",
        "Attention looks at padding.",
        "masked_softmax",
    ),
    wrong(
        "functional.softmax:masked_softmax_forward",
        "mask reshaped instead of transposed",
        "real = mask.T",
        "real = mask.reshape(mask.shape[::-1])",
        "The mask is brought from (S, B) to (B, S) by a reshape: the sentences' masks are mixed.",
        "masked_softmax",
    ),
    wrong(
        "functional.softmax:masked_softmax_forward",
        "padding in the maximum",
        "scores = xp.where(real, scores, lowest)",
        "pass",
        "The largest score that is subtracted may be that of padding: then all real ones vanish.",
        "masked_softmax",
    ),
    wrong(
        "functional.softmax:masked_softmax_forward",
        "padding scored 0",
        "xp.where(real, scores, lowest)",
        "xp.where(real, scores, 0)",
        "Padding takes part in the maximum with a score of 0: where all real ones are far below, they vanish.",
        "masked_softmax",
    ),
    wrong(
        "functional.softmax:masked_softmax_forward",
        "weights where nothing is real",
        "        e *= real\n",
        "        pass\n",
        "A sentence without any real source position spreads its weights over the padding.",
        "masked_softmax",
    ),
    wrong(
        "functional.softmax:masked_softmax_forward",
        "no maximum subtracted",
        "e = xp.exp(scores - scores.max(axis=-1, keepdims=True))",
        "e = xp.exp(scores)",
        "Large scores overflow.",
        "masked_softmax",
    ),
    wrong(
        "functional.softmax:masked_softmax_forward",
        "one maximum for all rows",
        "scores.max(axis=-1, keepdims=True)",
        "scores.max()",
        "One row's large score makes all other rows vanish.",
        "masked_softmax",
    ),
    wrong(
        "functional.softmax:masked_softmax_forward",
        "division by zero",
        "weights = e / xp.where(total == 0, 1, total)",
        "weights = e / total",
        "A sentence without any real source position gives nan.",
        "masked_softmax",
    ),
    # -- cross-entropy
    wrong(
        "functional.cross_entropy:probs_and_surprise",
        "loss without the maximum subtracted",
        "shifted = logits[rows] - logits[rows].max(axis=-1, keepdims=True)",
        "shifted = logits[rows].copy()",
        "Large logits overflow.",
        "cross_entropy",
    ),
    wrong(
        "functional.cross_entropy:probs_and_surprise",
        "one maximum for all tokens",
        "logits[rows].max(axis=-1, keepdims=True)",
        "logits.max()",
        "One token's large logit makes the sums of all others vanish.",
        "cross_entropy",
    ),
    wrong(
        "functional.cross_entropy:probs_and_surprise",
        "log of the softmax",
        "of_target = log_total - shifted[np.arange(len(p)), targets[rows]]",
        "of_target = -np.log(p[np.arange(len(p)), targets[rows]])",
        "The probability is computed first and its logarithm then: of a probability that rounds to 0 it is -inf.",
        "cross_entropy",
    ),
    wrong(
        "functional.cross_entropy:cross_entropy_forward",
        "padding counts in the loss",
        "if mask is None else mask.astype(logits.dtype)",
        "if True else mask",
        "The mask is not used: padding is a token like any other.",
        "cross_entropy",
    ),
    wrong(
        "functional.cross_entropy:cross_entropy_forward",
        "padding counts in the divisor",
        "weight.sum()",
        "weight.size",
        "The mean is over all places, padding included.",
        "cross_entropy",
    ),
    wrong(
        "functional.cross_entropy:cross_entropy_forward",
        "mean of the sentences' means",
        "xp.maximum(weight.sum(), 1)",
        "xp.maximum(weight.sum(axis=0), 1) / B",
        "Each sentence counts alike, whatever its length: the mean of means is not the mean.",
        "cross_entropy",
    ),
    wrong(
        "functional.cross_entropy:cross_entropy_forward",
        "mean over the sentences",
        "xp.maximum(weight.sum(), 1)",
        "B",
        "The sum over tokens is divided by the number of sentences.",
        "cross_entropy",
    ),
    wrong(
        "functional.cross_entropy:cross_entropy_forward",
        "no token at all",
        "xp.maximum(weight.sum(), 1)",
        "weight.sum()",
        "A batch without any real token gives nan.",
        "cross_entropy",
    ),
    wrong(
        "functional.cross_entropy:cross_entropy_forward",
        "reduction ignored",
        'if reduction == "mean":',
        "if True:",
        "The loss is a mean even where a sum was asked for.",
        "cross_entropy",
    ),
    wrong(
        "functional.cross_entropy:cross_entropy_forward",
        "float64 weights",
        "mask.astype(logits.dtype)",
        "mask.astype(float)",
        "The mask becomes float64, and with it the loss of a float32 model.",
        "cross_entropy",
    ),
    # -- log-softmax, for decoding
    wrong(
        "functional.softmax:log_softmax",
        "log-softmax as the log of a softmax",
        "shifted -= xp.log(xp.exp(shifted).sum(axis=-1, keepdims=True))",
        "shifted = xp.log(xp.exp(shifted) / xp.exp(shifted).sum(axis=-1, keepdims=True))",
        "The logarithm of a softmax that has rounded to 0 is -inf.",
    ),
    wrong(
        "functional.softmax:log_softmax",
        "log-softmax without the maximum",
        "largest = scores[rows].max(axis=-1, keepdims=True)",
        "largest = 0",
        "Large logits overflow.",
    ),
    wrong(
        "functional.softmax:log_softmax",
        "log-softmax over the batch",
        "xp.exp(shifted).sum(axis=-1, keepdims=True)",
        "xp.exp(shifted).sum(axis=0, keepdims=True)",
        "The denominator is summed over the rows, not over the vocabulary.",
    ),
    # -- gates
    wrong(
        "functional.activations:sigmoid_",
        "sigmoid by exp",
        "    z *= 0.5\n    xp.tanh(z, out=z)\n    z *= 0.5\n    z += 0.5\n",
        "    xp.exp(-z, out=z)\n    z += 1\n    xp.divide(1, z, out=z)\n",
        "Written as 1 / (1 + exp(-z)) it overflows for z far below 0.",
    ),
    wrong(
        "functional.activations:sigmoid_",
        "sigmoid too steep",
        "    z *= 0.5\n    xp.tanh(z, out=z)\n",
        "    xp.tanh(z, out=z)\n",
        "Without halving z first it is the sigmoid of 2z.",
    ),
    wrong(
        "functional.lstm:activate_gates_",
        "gate order of torch",
        "    sigmoid_(z[:3], xp)\n    xp.tanh(z[3], out=z[3])\n",
        "    sigmoid_(z[:2], xp)\n    xp.tanh(z[2], out=z[2])\n    sigmoid_(z[3:], xp)\n",
        "The gates are activated in the order i, f, g, o; all else has i, f, o, g.",
    ),
    wrong(
        "functional.lstm:padded_steps",
        "padding moves the state",
        "return (~mask.all(axis=1)).tolist()",
        "return [False] * T",
        "Padded steps change the state of an LSTM as if they were real.",
    ),
    wrong(
        "functional.lstm:padded_steps",
        "padding blended only where all are padded",
        "mask.all(axis=1)",
        "mask.any(axis=1)",
        "A step is treated as padded only when it is so in every sentence of the batch.",
    ),
    # -- dropout
    wrong(
        "functional.dropout:draw_dropout_mask",
        "keeps what it should drop",
        ">= p",
        "< p",
        "Units are kept with probability p instead of dropped.",
    ),
    wrong(
        "functional.dropout:draw_dropout_mask",
        "one mask for all rows",
        "rng.random(shape, dtype=np.float32) >= p",
        "np.broadcast_to(rng.random(shape[-1:], dtype=np.float32) >= p, shape)",
        "All steps and sentences share one mask.",
    ),
    wrong(
        "nn.basic:Dropout.forward",
        "dropout at evaluation",
        "        if rng is None or self.p == 0:\n            return x, None\n",
        "        if self.p == 0:\n            return x, None\n        rng = np.random.default_rng() if rng is None else rng\n",
        "Units are dropped in evaluation as well.",
    ),
    wrong(
        "nn.basic:Dropout.forward",
        "generator seeded anew",
        "draw_dropout_mask(x.shape, self.p, rng,",
        "draw_dropout_mask(x.shape, self.p, np.random.default_rng(0),",
        "Every call drops the same units.",
    ),
]
