"""The torch side of speed.py: the same model and training step from torch's own layers, eager mode.

It runs in a process of its own, so that it has its own memory and threads, as a torch user would.
Written the way torch's documentation does it: an LSTM is one call over the whole sequence, Adam is
the fused or the foreach one (whichever is faster here), gradients are set to None, sentences of
unequal length are packed.
"""

import copy
import math
import statistics
import time
from typing import NamedTuple

import numpy as np
import torch
from speed_cases import Case
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from minis2s.data import PAD, Batch
from minis2s.models import ModelConfig

Weights = dict[str, np.ndarray]
GATES = {"lstm": (0, 1, 3, 2), "gru": (0, 1, 2)}  # our gate blocks in torch's order


class TorchBatch(NamedTuple):
    """A Batch as tensors, made before the clock starts."""

    src: torch.Tensor  # (S, B)
    src_lengths: torch.Tensor  # (B,)  longest first
    padding: torch.Tensor | None  # (B, 1, S)  True at padding; None when there is none
    tgt_in: torch.Tensor  # (T, B)
    tgt_out: torch.Tensor  # (T, B)


def torch_batch(batch: Batch) -> TorchBatch:
    src, tgt_in, tgt_out = (torch.from_numpy(a) for a in (batch.src, batch.tgt_in, batch.tgt_out))
    src_lengths = torch.from_numpy(batch.src_mask.sum(axis=0))
    padding = None if batch.src_mask.all() else torch.from_numpy(~batch.src_mask.T[:, None])
    return TorchBatch(src, src_lengths, padding, tgt_in, tgt_out)


class TorchModel(nn.Module):
    """Embeddings, LSTM or GRU encoder and decoder, general attention, tanh layer, output layer."""

    def __init__(self, config: ModelConfig, V_source: int, V_target: int):
        super().__init__()
        E, H, layers, both = config.embed, config.hidden, config.layers, config.bidirectional
        recurrent = {"lstm": nn.LSTM, "gru": nn.GRU}[config.cell]
        between = config.dropout if layers > 1 else 0.0  # torch warns of dropout between one layer
        self.layers = layers
        self.source = nn.Embedding(V_source, E)
        self.target = nn.Embedding(V_target, E)
        self.encoder = recurrent(E, H // 2 if both else H, layers, bidirectional=both, dropout=between)
        self.decoder = recurrent(E, H, layers, dropout=between)
        self.query = nn.Linear(H, H, bias=False)
        self.combine = nn.Linear(2 * H, H)
        self.output = nn.Linear(H, V_target)
        self.dropout = nn.Dropout(config.dropout)

    def encode(self, batch: TorchBatch):
        """-> memory (S, B, H), and the decoder's first state, parts (layers, B, H)."""
        x = self.dropout(self.source(batch.src))
        if batch.padding is None:
            memory, last = self.encoder(x)
        else:
            packed, last = self.encoder(pack_padded_sequence(x, batch.src_lengths))
            memory, _ = pad_packed_sequence(packed)
        if isinstance(last, tuple):
            return memory, tuple(map(self.side_by_side, last))
        return memory, self.side_by_side(last)

    def side_by_side(self, state: torch.Tensor) -> torch.Tensor:
        """(layers * directions, B, size of one) -> (layers, B, H), both directions in a row."""
        B = state.shape[1]
        return state.view(self.layers, -1, B, state.shape[2]).transpose(1, 2).reshape(self.layers, B, -1)

    def read_out(self, hs: torch.Tensor, memory: torch.Tensor, padding: torch.Tensor | None) -> torch.Tensor:
        """hs (B, T, H), memory (B, S, H), padding (B, 1, S) -> logits (B, T, V)."""
        # general attention, one matrix for each sentence
        scores = torch.bmm(self.query(hs), memory.transpose(1, 2))  # (B, T, S)
        if padding is not None:
            scores = scores.masked_fill(padding, -math.inf)
        context = torch.bmm(scores.softmax(dim=-1), memory)
        return self.output(self.dropout(torch.tanh(self.combine(torch.cat([context, hs], dim=-1)))))

    def forward(self, batch: TorchBatch) -> torch.Tensor:
        """-> logits (B, T, V)."""
        memory, state = self.encode(batch)
        hs, _ = self.decoder(self.dropout(self.target(batch.tgt_in)), state)
        return self.read_out(hs.transpose(0, 1), memory.transpose(0, 1), batch.padding)

    def load(self, weights: Weights) -> None:
        """Our weights. torch adds up two biases of an LSTM; ours is the first."""
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                ours = as_torch(name, weights)
                if ours is None:
                    parameter.zero_()
                else:
                    parameter.copy_(torch.from_numpy(ours))


def gradient(model: TorchModel, batch: TorchBatch) -> float:
    """Sets every gradient; returns the loss."""
    model.zero_grad()
    logits = model(batch)
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), batch.tgt_out.T.flatten(), ignore_index=PAD)
    loss.backward()
    return loss.item()


class Torch:
    """The training step of torch, from the weights of our model."""

    def __init__(self, case: Case, weights: Weights, lr: float, max_norm: float, threads: int = 1):
        torch.set_num_threads(threads)
        self.case = case
        self.model = TorchModel(case.config, case.V_source, case.V_target)
        self.model.load(weights)
        self.max_norm = max_norm
        self.batches = [torch_batch(batch) for batch in case.batches]
        gradient(self.model, self.batches[0])
        self.adam, self.optimizer = fastest_adam(self.model, lr)
        self.model.load(weights)

    def step(self, batch: TorchBatch) -> None:
        gradient(self.model, batch)
        nn.utils.clip_grad_norm_(self.model.parameters(), self.max_norm)
        self.optimizer.step()

    def chosen(self) -> str:
        """Which Adam was faster, "fused" or "foreach"."""
        return self.adam

    def compare(self, loss: float, gradients: Weights) -> dict[str, float]:
        """Our loss and gradients on the first batch against torch's, both in float64: relative errors."""
        model = copy.deepcopy(self.model).double().eval()  # without dropout
        expected = gradient(model, self.batches[0])
        errors = {"loss": abs(loss - expected) / expected}
        for name, p in model.named_parameters():
            ours = as_torch(name, gradients)
            if ours is not None:
                error = np.linalg.norm(ours - p.grad.numpy())
                errors[f"gradient of {name}"] = float(error / np.linalg.norm(p.grad.numpy()))
        return errors


def fastest_adam(model: TorchModel, lr: float) -> tuple[str, torch.optim.Adam]:
    """The faster of torch's two Adams on these gradients, by the median of steps in turns."""
    kinds = {name: torch.optim.Adam(model.parameters(), lr, **{name: True}) for name in ("fused", "foreach")}
    spent: dict[str, list[float]] = {name: [] for name in kinds}
    for n in range(12):
        for name, optimizer in kinds.items():
            start = time.perf_counter()
            optimizer.step()
            if n >= 2:  # the first steps make the running means
                spent[name].append(time.perf_counter() - start)
    best = min(kinds, key=lambda name: statistics.median(spent[name]))
    return best, torch.optim.Adam(model.parameters(), lr, **{best: True})


def as_torch(name: str, ours: Weights) -> np.ndarray | None:
    """Our array (of weights or gradients) that belongs to torch's parameter `name`, as torch has it.

    torch keeps weights as (out, in), and the gates of an LSTM in the order i, f, g, o. None for its
    second bias of an LSTM, which we do not have.
    """
    layer, _, kind = name.partition(".")
    if layer in ("source", "target"):
        return ours["encoder.embedding.W" if layer == "source" else "decoder.embedding.W"]
    if layer == "query":
        return ours["decoder.attention.W"].T
    if layer in ("combine", "output"):
        return ours[f"decoder.{layer}.W"].T if kind == "weight" else ours[f"decoder.{layer}.b"]
    part, side, level, *reverse = kind.split("_")  # weight_ih_l0_reverse
    path = f"{'encoder.rnn' if layer == 'encoder' else 'decoder.cells'}.layers.{level[1:]}."
    if reverse:
        path += "backwards."
    elif path + "forwards.Wx" in ours:
        path += "forwards."
    lstm = path + "b" in ours  # a GRU has two biases, bx and bh
    if lstm and part == "bias":
        if side == "hh":
            return None
        key = "b"
    else:
        key = {"weight": "W", "bias": "b"}[part] + {"ih": "x", "hh": "h"}[side]
    gates = GATES["lstm" if lstm else "gru"]
    blocks = np.split(ours[path + key].T, len(gates))
    return np.concatenate([blocks[n] for n in gates])
