"""Forward mistakes of layers, as those of operations are in forward.py."""

from minis2s.gradcheck.mutants.forward import wrong

MUTANTS = [
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
