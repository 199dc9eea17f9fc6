"""The torch side of speed.py: the same model and training step from torch's own layers, eager mode.

It runs in a process of its own, so that it has its own memory and threads, as a torch user would.
Written the way torch's documentation does it: an LSTM is one call over the whole sequence, Adam is
the fused one, gradients are set to None, sentences of unequal length are packed.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from minis2s.data import PAD, Batch

Weights = dict[str, np.ndarray]


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
    """Embeddings, LSTM encoder and decoder, general attention, tanh layer, output layer."""

    def __init__(self, V_source: int, V_target: int, E: int, H: int, bidirectional: bool):
        super().__init__()
        self.source = nn.Embedding(V_source, E)
        self.target = nn.Embedding(V_target, E)
        self.encoder = nn.LSTM(E, H // 2 if bidirectional else H, bidirectional=bidirectional)
        self.decoder = nn.LSTM(E, H)
        self.query = nn.Linear(H, H, bias=False)
        self.combine = nn.Linear(2 * H, H)
        self.output = nn.Linear(H, V_target)

    def forward(self, batch: TorchBatch) -> torch.Tensor:
        """-> logits (T, B, V)."""
        x = self.source(batch.src)
        if batch.padding is None:
            memory, last = self.encoder(x)
        else:
            packed, last = self.encoder(pack_padded_sequence(x, batch.src_lengths))
            memory, _ = pad_packed_sequence(packed)
        # h and c, (directions, B, size of one) -> (1, B, H): both directions side by side
        state = tuple(s.transpose(0, 1).reshape(1, x.shape[1], -1) for s in last)
        hs, _ = self.decoder(self.target(batch.tgt_in), state)
        # general attention, one matrix for each sentence
        query, memory = self.query(hs).transpose(0, 1), memory.transpose(0, 1)
        scores = torch.bmm(query, memory.transpose(1, 2))  # (B, T, S)
        if batch.padding is not None:
            scores = scores.masked_fill(batch.padding, -math.inf)
        context = torch.bmm(scores.softmax(dim=-1), memory).transpose(0, 1)
        return self.output(torch.tanh(self.combine(torch.cat([context, hs], dim=-1))))


class Torch:
    """The training step of torch, from the weights of our model."""

    def __init__(self, case, threads: int, weights: Weights, lr: float, max_norm: float, fused: bool):
        torch.set_num_threads(threads)
        self.model = TorchModel(case.V_source, case.V_target, case.E, case.H, case.bidirectional)
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(torch.from_numpy(as_torch(name, weights)))
                if "bias_hh" in name:
                    parameter.zero_()  # torch adds up two biases; ours is the first
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr, fused=fused)
        self.max_norm = max_norm
        self.batches = [torch_batch(batch) for batch in case.batches]

    def gradient(self, batch: TorchBatch) -> float:
        self.optimizer.zero_grad()
        logits = self.model(batch)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), batch.tgt_out.flatten(), ignore_index=PAD)
        loss.backward()
        return loss.item()

    def step(self, batch: TorchBatch) -> None:
        self.gradient(batch)
        nn.utils.clip_grad_norm_(self.model.parameters(), self.max_norm)
        self.optimizer.step()

    def compare(self, loss: float, gradients: Weights) -> dict[str, float]:
        """Our loss and gradients on the first batch against torch's: relative error of each."""
        expected = self.gradient(self.batches[0])
        errors = {"loss": abs(loss - expected) / expected}
        for name, p in self.model.named_parameters():
            error = np.linalg.norm(as_torch(name, gradients) - p.grad.numpy())
            errors[f"gradient of {name}"] = float(error / np.linalg.norm(p.grad.numpy()))
        return errors


def as_torch(name: str, ours: Weights) -> np.ndarray:
    """Our array (of weights or gradients) that belongs to torch's parameter `name`, as torch has it.

    torch keeps weights as (out, in), and the gates of an LSTM in the order i, f, g, o.
    """
    layer, _, kind = name.partition(".")
    if layer in ("source", "target"):
        return ours["encoder.embedding.W" if layer == "source" else "decoder.embedding.W"]
    if layer in ("encoder", "decoder"):
        path = "encoder.rnn.layers.0." if layer == "encoder" else "decoder.cells.layers.0."
        if kind.endswith("_reverse"):
            path += "backwards."
        elif path + "forwards.b" in ours:
            path += "forwards."
        part = "b" if kind.startswith("bias") else "Wx" if kind.startswith("weight_ih") else "Wh"
        i, f, o, g = np.split(ours[path + part].T, 4)
        return np.concatenate([i, f, g, o])
    if layer == "query":
        return ours["decoder.attention.W"].T
    return ours[f"decoder.{layer}.W"].T if kind == "weight" else ours[f"decoder.{layer}.b"]
