"""A whole encoder-decoder, written once more in torch: the same loss and every gradient the same.

Torch has packed sequences, its own gate order, two LSTM biases and automatic differentiation; our
engine has masks and hand-written backward passes. What both agree on is not one program's habit.
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

GATES = {
    "lstm": (0, 1, 3, 2),
    "gru": (0, 1, 2),
    "rnn": (0,),
}  # their blocks in torch's order; its own inverse
TORCH_CELLS = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}


def reorder(a: np.ndarray, cell: str) -> np.ndarray:
    """The gate blocks of the last axis from our order to torch's, or back."""
    blocks = np.split(a, len(GATES[cell]), axis=-1)
    return np.concatenate([blocks[n] for n in GATES[cell]], axis=-1)


class TorchModel:
    """Our parameters as torch leaves in torch's layout, and the loss computed with torch's own modules."""

    def __init__(self, model):
        self.config = model.config
        self.ours = {name: p.data for name, p in model.parameters().items()}
        self.leaves: dict[str, torch.Tensor] = {}

    def leaf(self, name: str) -> torch.Tensor:
        """One leaf for each name, however many steps ask for it."""
        if name not in self.leaves:
            self.leaves[name] = torch.tensor(self.ours[name], requires_grad=True)
        return self.leaves[name]

    def linear(self, x, name: str):
        return torch.nn.functional.linear(x, self.leaf(f"{name}.W").T, self.leaf(f"{name}.b"))

    def recurrent(self, prefixes: list[str], in_size: int, hidden: int, bidirectional: bool):
        """A torch module holding our weights; `collect` reads its gradients back later."""
        cell, c = self.config.cell, self.config
        rnn = TORCH_CELLS[cell](in_size, hidden, num_layers=c.layers, bidirectional=bidirectional).double()
        self.modules.append((rnn, prefixes))
        for (wx, wh, bx, bh), prefix in zip(rnn.all_weights, prefixes, strict=True):
            with torch.no_grad():
                wx.copy_(torch.tensor(reorder(self.ours[f"{prefix}.Wx"], cell).T))
                wh.copy_(torch.tensor(reorder(self.ours[f"{prefix}.Wh"], cell).T))
                one_bias = f"{prefix}.b" in self.ours
                bx.copy_(
                    torch.tensor(reorder(self.ours[f"{prefix}.b" if one_bias else f"{prefix}.bx"], cell))
                )
                bh.copy_(torch.zeros_like(bh) if one_bias else torch.tensor(self.ours[f"{prefix}.bh"]))
        return rnn

    def bridge(self, part: int, state):
        """One part of the encoder's last state, (layers, B, hidden) -> the decoder's first one."""
        if self.config.bridge == "copy":
            return state
        parts = 2 if self.config.cell == "lstm" else 1
        names = [f"bridge.projections.{parts * layer + part}" for layer in range(self.config.layers)]
        return torch.stack([torch.tanh(self.linear(*pair)) for pair in zip(state, names, strict=True)])

    def attend(self, query, memory, mask):
        """query (T, B, Q), memory (S, B, M), mask (S, B) -> context (T, B, M)."""
        kind = self.config.attention
        if kind in ("dot", "scaled"):  # torch has them ready, batch first; its own scale is 1 / sqrt(Q)
            q, m = query.transpose(0, 1), memory.transpose(0, 1)
            context = torch.nn.functional.scaled_dot_product_attention(
                q, m, m, attn_mask=mask.T[:, None], scale=1.0 if kind == "dot" else None
            )
            return context.transpose(0, 1)
        if kind == "general":
            scores = torch.einsum("tbq,qm,sbm->tbs", query, self.leaf("decoder.attention.W"), memory)
        else:
            keys = self.linear(memory, "decoder.attention.keys")
            asked = query @ self.leaf("decoder.attention.Wq")
            a = torch.tanh(asked.unsqueeze(1) + keys.unsqueeze(0))
            scores = torch.einsum("tsba,a->tbs", a, self.leaf("decoder.attention.v"))
        weights = scores.masked_fill(~mask.T, -torch.inf).softmax(-1)
        return torch.einsum("tbs,sbm->tbm", weights, memory)

    def readout(self, context, h):
        return torch.tanh(self.linear(torch.cat([context, h], -1), "decoder.combine"))

    def decode(self, y, state, memory, mask):
        """Embedded tokens y (T, B, E) -> what the output layer sees, (T, B, hidden)."""
        c = self.config
        one_by_one = c.input_feeding or c.decoder == "bahdanau"
        cells = [f"decoder.cells.layers.{n}" for n in range(c.layers)]
        rnn = self.recurrent(cells, c.embed + one_by_one * c.hidden, c.hidden, False)
        if not one_by_one:
            h, _ = rnn(y, state)
            return h if c.attention == "none" else self.readout(self.attend(h, memory, mask), h)
        attentional = [torch.zeros_like(memory[:1])]  # what input feeding feeds to the first step
        for x in y.split(1):
            if c.decoder == "bahdanau":  # the top layer's h of the step before asks
                query = (state[0] if c.cell == "lstm" else state)[-1:]
                context = self.attend(query, memory, mask)
                h, state = rnn(torch.cat([x, context], -1), state)
            else:
                h, state = rnn(torch.cat([x, attentional[-1]], -1), state)
                context = self.attend(h, memory, mask)
            attentional.append(self.readout(context, h))
        return torch.cat(attentional[1:])

    def loss(self, batch, smoothing: float, reduction: str):
        self.modules, self.leaves = [], {}
        c = self.config
        src, tgt_in, tgt_out = (torch.tensor(a) for a in (batch.src, batch.tgt_in, batch.tgt_out))
        src_mask, tgt_mask = torch.tensor(batch.src_mask), torch.tensor(batch.tgt_mask)
        S = src.shape[0]

        directions = ["forwards", "backwards"] if c.bidirectional else [""]
        prefixes = [
            ".".join(filter(None, ["encoder.rnn.layers", str(n), d]))
            for n in range(c.layers)
            for d in directions
        ]
        x = torch.nn.functional.embedding(src, self.leaf("encoder.embedding.W"))
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, src_mask.sum(0))
        encoder = self.recurrent(prefixes, c.embed, c.hidden // len(directions), c.bidirectional)
        memory, last = encoder(packed)
        memory, _ = torch.nn.utils.rnn.pad_packed_sequence(memory, total_length=S)

        def join(state):  # (layers * directions, B, half) -> (layers, B, hidden)
            state = state.reshape(c.layers, len(directions), src.shape[1], -1)
            return torch.cat(list(state.unbind(1)), dim=-1)

        if isinstance(last, tuple):
            state = tuple(self.bridge(n, join(part)) for n, part in enumerate(last))
        else:
            state = self.bridge(0, join(last))
        y = torch.nn.functional.embedding(tgt_in, self.leaf("decoder.embedding.W"))
        attentional = self.decode(y, state, memory, src_mask)
        logits = self.linear(attentional, "decoder.output")
        return torch.nn.functional.cross_entropy(
            logits[tgt_mask], tgt_out[tgt_mask], label_smoothing=smoothing, reduction=reduction
        )

    def gradients(self) -> dict[str, np.ndarray]:
        found = {name: leaf.grad.numpy() for name, leaf in self.leaves.items()}
        cell = self.config.cell
        for rnn, prefixes in self.modules:
            for (wx, wh, bx, bh), prefix in zip(rnn.all_weights, prefixes, strict=True):
                found[f"{prefix}.Wx"] = reorder(wx.grad.numpy().T, cell)
                found[f"{prefix}.Wh"] = reorder(wh.grad.numpy().T, cell)
                if f"{prefix}.b" in self.ours:
                    found[f"{prefix}.b"] = reorder(bx.grad.numpy(), cell)
                else:
                    found[f"{prefix}.bx"] = reorder(bx.grad.numpy(), cell)
                    found[f"{prefix}.bh"] = reorder(bh.grad.numpy(), cell)
        return found


def require_equal(tools, model):
    """Loss and gradients, twice: of mean and of sum, without and with smoothing."""
    batch = tools.batch()
    for smoothing, reduction in ((0.0, "mean"), (0.1, "sum")):
        loss, gradients = tools.run(model, batch, smoothing=smoothing, reduction=reduction)
        theirs = TorchModel(model)
        expected = theirs.loss(batch, smoothing, reduction)
        expected.backward()
        tools.close(loss, expected.item(), 1e-12)
        tools.close_gradients(gradients, theirs.gradients(), 1e-9)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_loss_and_every_gradient(tools, cell, layers, bidirectional):
    model = tools.model(cell=cell, layers=layers, bidirectional=bidirectional, embed=5, hidden=6)
    require_equal(tools, model)


KINDS = {
    "bahdanau": {"decoder": "bahdanau", "attention": "additive"},
    "input feeding": {"input_feeding": True},
    "scaled": {"attention": "scaled"},
    "dot": {"attention": "dot"},
    "plain": {"attention": "none"},
    "projection": {"bridge": "projection"},
}


@pytest.mark.parametrize("cell, layers", [("lstm", 1), ("lstm", 2), ("gru", 2)])
@pytest.mark.parametrize("kind", KINDS)
def test_other_kinds_of_model(tools, kind, cell, layers):
    require_equal(tools, tools.model(cell=cell, layers=layers, embed=5, hidden=6, **KINDS[kind]))
