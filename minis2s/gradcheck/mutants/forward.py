"""Forward mistakes: nearly all agree with their own backward, so no gradient check can see them.

What finds them is a property: padding changes nothing, a batch is the mean of its tokens, large
numbers stay finite, two evaluations are equal, one library's numbers are the other's.
"""

from minis2s.gradcheck.mutants.mutant import Mutant


def wrong(target, name, old, new, says, op="") -> Mutant:
    return Mutant(f"forward/{name}", target, old, new, says, "forward", about="forward", op=op)


OPERATIONS = [
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
        "functional.cross_entropy:cross_entropy_forward",
        "loss without the maximum subtracted",
        "log_probs = logits - logits.max(axis=-1, keepdims=True)",
        "log_probs = logits.copy()",
        "Large logits overflow.",
        "cross_entropy",
    ),
    wrong(
        "functional.cross_entropy:cross_entropy_forward",
        "one maximum for all tokens",
        "logits.max(axis=-1, keepdims=True)",
        "logits.max()",
        "One token's large logit makes the sums of all others vanish.",
        "cross_entropy",
    ),
    wrong(
        "functional.cross_entropy:cross_entropy_forward",
        "log of the softmax",
        "surprise = log_total - log_probs.reshape(T * B, V)[rows, flat_targets].reshape(T, B)",
        "surprise = -xp.log(probs.reshape(T * B, V)[rows, flat_targets]).reshape(T, B)",
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
        "shifted = logits - logits.max(axis=-1, keepdims=True)",
        "shifted = logits",
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

LAYERS = [
    wrong(
        "nn.recurrent:LSTM.__init__",
        "forget bias on another gate",
        "b[hidden_size : 2 * hidden_size] = 1",
        "b[2 * hidden_size : 3 * hidden_size] = 1",
        "The bias that should make a new cell remember stands at the output gate.",
    ),
    wrong(
        "nn.recurrent:LSTM.__init__",
        "no forget bias",
        "b[hidden_size : 2 * hidden_size] = 1",
        "b[hidden_size : 2 * hidden_size] = 0",
        "A new cell forgets half of its state at each step.",
    ),
    wrong(
        "nn.init:glorot_uniform",
        "all gates in the fan-out",
        "(6.0 / (fan_in + fan_out))",
        "(6.0 / (fan_in + blocks * fan_out))",
        "The initial weights of gates that lie side by side are too small.",
    ),
    wrong(
        "nn.recurrent:GRU.options",
        "kind of GRU ignored",
        "return (self.reset_after,)",
        "return ()",
        "The reset gate comes after the product, whatever was asked for.",
    ),
    wrong(
        "nn.recurrent:Recurrent.forward",
        "state of the last batch kept",
        "        state = self.zero_state(x) if state is None else state\n"
        "\n"
        "        def run(x: Array, state: State, mask: Array | None):\n"
        "            return self.op.forward(x, *state, *weights, mask, *self.options())\n",
        "        kept = getattr(self, 'kept', None)\n"
        "        if state is None:\n"
        "            state = kept if kept and kept[0].shape[0] == inputs.shape[1] else self.zero_state(x)\n"
        "\n"
        "        def run(x: Array, state: State, mask: Array | None):\n"
        "            (hs, *last), cache = self.op.forward(x, *state, *weights, mask, *self.options())\n"
        "            self.kept = tuple(last)\n"
        "            return (hs, *last), cache\n",
        "A batch starts from the state that the batch before it ended with.",
    ),
    wrong(
        "nn.recurrent:Recurrent.zero_state",
        "initial state in float64",
        "zeros(shape, dtype=like.dtype)",
        "zeros(shape)",
        "The initial state of a float32 model is float64.",
    ),
    wrong(
        "nn.recurrent:Bidirectional.forward",
        "mask not reversed",
        "None if mask is None else mask[::-1]",
        "mask",
        "The layer that reads from the right has its inputs reversed, but not its mask.",
    ),
    wrong(
        "nn.recurrent:Bidirectional.forward",
        "no mask from the right",
        "None if mask is None else mask[::-1]",
        "None",
        "The layer that reads from the right starts in the padding.",
    ),
    wrong(
        "nn.recurrent:Stack.forward",
        "mask for the first layer only",
        "None if states is None else states[n], mask)",
        "None if states is None else states[n], mask if n == 0 else None)",
        "Upper layers take padding for real steps.",
    ),
    wrong(
        "nn.recurrent:Stack.forward",
        "dropout before the first layer",
        "rng=rng if n > 0 else None",
        "rng=rng",
        "The inputs of the lowest layer are dropped too, a second time.",
    ),
    wrong(
        "nn.recurrent:Stack.step",
        "step without dropout",
        "rng=rng if n > 0 else None",
        "rng=None",
        "Steps taken one by one have no dropout between the layers.",
    ),
    wrong(
        "nn.attention:Attention.forward",
        "mask not handed to the softmax",
        "F.masked_softmax.forward(scores, mask)",
        "F.masked_softmax.forward(scores)",
        "The attention layer looks at padding.",
    ),
]

MODELS = [
    wrong(
        "models.encoder:Encoder.forward",
        "encoder without a mask",
        "self.rnn.forward(x, None, mask, rng=rng)",
        "self.rnn.forward(x, None, None, rng=rng)",
        "The encoder reads on in the padding.",
    ),
    wrong(
        "models.encoder:Bridge.__init__",
        "bridge takes the lowest layers",
        "min(skipped + n, encoder_layers - 1)",
        "min(n, encoder_layers - 1)",
        "A decoder of fewer layers starts from the encoder's lowest ones instead of its top ones.",
    ),
    wrong(
        "models.seq2seq:Seq2Seq.__init__",
        "encoder state not handed to the decoder",
        "            c.bridge,\n",
        '            "zero",\n',
        "The decoder starts from zeros, whatever bridge was asked for.",
    ),
    wrong(
        "models.decoder:Decoder.start",
        "decoder without a mask",
        "(Memory(values, keys, mask),",
        "(Memory(values, keys, None),",
        "The decoder does not know which source positions are real.",
    ),
    wrong(
        "models.decoder:Decoder.forward",
        "decoder sees the future",
        "embedded(tgt_in, ",
        "embedded(xp_of(tgt_in).roll(tgt_in, -1, axis=0), ",
        "At each step the decoder reads the very token that it should write.",
    ),
    wrong(
        "models.decoder:Decoder._steps",
        "coins the wrong way round",
        "xp.where(coins[t], tokens, self.best_token(attentional[-1]))",
        "xp.where(coins[t], self.best_token(attentional[-1]), tokens)",
        "The model's own token goes in where the right one should, and the other way round.",
    ),
    wrong(
        "models.decoder:Decoder._steps",
        "own token of the first step",
        "self.best_token(attentional[-1])",
        "self.best_token(attentional[0])",
        "The model's own token is always that of its first step.",
    ),
    wrong(
        "models.decoder:Decoder.best_token",
        "own token may be padding",
        "        logits[:, PAD] = logits[:, BOS] = xp_of(logits).finfo(logits.dtype).min\n",
        "",
        "The model's own token may be PAD or BOS.",
    ),
    wrong(
        "models.seq2seq:Seq2Seq.loss",
        "target not shifted",
        "targets, mask = batch.tgt_out,",
        "targets, mask = batch.tgt_in,",
        "The decoder is to write the token that it has just read.",
    ),
    wrong(
        "models.seq2seq:Seq2Seq.loss",
        "loss without a mask",
        "targets, mask = batch.tgt_out, batch.tgt_mask",
        "targets, mask = batch.tgt_out, None",
        "Padded target places count in the loss of the model.",
    ),
    wrong(
        "models.seq2seq:Seq2Seq.loss",
        "teacher forcing inverted",
        "< teacher_forcing)",
        "> teacher_forcing)",
        "The chance of the right token is one minus what it should be.",
    ),
    wrong(
        "models.seq2seq:Seq2Seq.loss",
        "one coin for the whole batch",
        "rng.random(batch.tgt_in.shape) < teacher_forcing",
        "np.full(batch.tgt_in.shape, rng.random()) < teacher_forcing",
        "One coin is thrown for all sentences and steps.",
    ),
    # -- decoding
    wrong(
        "models.seq2seq:Seq2Seq.start",
        "decoding without a mask in the encoder",
        "self.encoder.forward(src, src_mask)",
        "self.encoder.forward(src)",
        "In decoding the encoder reads on in the padding.",
    ),
    wrong(
        "models.seq2seq:Seq2Seq.start",
        "decoding without a mask in the decoder",
        "self.decoder.start(values, src_mask, cells)",
        "self.decoder.start(values, None, cells)",
        "In decoding attention looks at padding.",
    ),
    wrong(
        "models.seq2seq:Seq2Seq.step",
        "state does not move on",
        "SearchState(state.memory, decoder_state)",
        "state",
        "Each step of decoding starts from the first state again.",
    ),
    wrong(
        "models.seq2seq:Seq2Seq.step",
        "logits for log-probabilities",
        "return F.log_softmax(logits),",
        "return logits,",
        "Decoding adds up logits, which are no log-probabilities: scores of different texts do not compare.",
    ),
    wrong(
        "models.seq2seq:Seq2Seq.take",
        "memory not reordered",
        "a[:, columns]",
        "a[:, np.sort(columns)]",
        "Hypotheses move to other rows, what they may look at does not.",
    ),
    wrong(
        "models.seq2seq:Seq2Seq.take",
        "cell state not reordered",
        "tuple(part[index] for part in layer)",
        "(layer[0][index], *layer[1:])",
        "Hypotheses move to other rows with h, but without c.",
    ),
    wrong(
        "models.seq2seq:Seq2Seq.take",
        "fed state not reordered",
        "None if feed is None else feed[index]",
        "feed",
        "Hypotheses move to other rows without the attentional state that is fed to them.",
    ),
]

MUTANTS = [*OPERATIONS, *LAYERS, *MODELS]
