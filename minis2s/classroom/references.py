"""What the checks of assignments 7 and 8 hold answers against: a small model of the engine, a model that is a table.

Where one function of the engine is reference enough, a check calls it itself.
"""

from typing import NamedTuple

import numpy as np

from minis2s.data import Batch, Example, make_batch
from minis2s.data.vocabulary import BOS, EOS, PAD
from minis2s.models import ModelConfig, Seq2Seq

# the weights of the encoder-decoder of assignment 7, in the order of `Seq2Seq.parameters`
NAMES = (
    *("source_E", "enc_Wx", "enc_Wh", "enc_bx", "enc_bh"),
    *("bridge_W", "bridge_b"),
    *("target_E", "dec_Wx", "dec_Wh", "dec_bx", "dec_bh"),
    *("combine_W", "combine_b", "out_W", "out_b"),
)


class Sentences(NamedTuple):
    """A batch as assignment 7 has it: sources padded and masked, targets without BOS and EOS."""

    src: np.ndarray  # (S, B) ids
    src_mask: np.ndarray  # (S, B)
    words: np.ndarray  # (L, B) ids, PAD below the length
    lengths: np.ndarray  # (B,)


def seq2seq_config(embed: int, hidden: int) -> ModelConfig:
    """The model of assignment 7, in the words of the engine."""
    return ModelConfig(
        cell="gru", bidirectional=False, embed=embed, hidden=hidden, attention="dot", bridge="projection"
    )


def small_model(rng: np.random.Generator) -> tuple[Seq2Seq, dict[str, np.ndarray]]:
    """A model of random sizes and weights, in float64, and a copy of its weights by their names."""
    embed, hidden, source, target = rng.permutation(np.arange(3, 9))[:4].tolist()
    config = seq2seq_config(embed, hidden)
    model = Seq2Seq(config, source + 3, target + 3, rng=rng, dtype=np.float64)
    for p in model.parameters().values():
        p.data[...] = rng.standard_normal(p.data.shape) / 2
    return model, weights(model)


def weights(model: Seq2Seq) -> dict[str, np.ndarray]:
    """A copy of its weights by their names in assignment 7."""
    return {name: p.data.copy() for name, p in zip(NAMES, model.parameters().values(), strict=True)}


def gradients(model: Seq2Seq) -> dict[str, np.ndarray]:
    """A copy of its gradients by the names of the weights."""
    return {name: p.grad.copy() for name, p in zip(NAMES, model.parameters().values(), strict=True)}


def small_batch(rng: np.random.Generator, model: Seq2Seq) -> tuple[Batch, Sentences]:
    """Some sentences for the model, of different lengths on both sides; the batch of the engine, and that of the student."""
    source, target = (side.embedding.W.data.shape[0] for side in (model.encoder, model.decoder))
    count = int(rng.integers(3, 5))
    lengths = rng.permutation(np.arange(1, 7))[:count], rng.permutation(np.arange(1, 7))[:count]
    batch = make_batch(
        [
            Example(rng.integers(EOS + 1, source, s).tolist(), rng.integers(EOS + 1, target, t).tolist())
            for s, t in zip(*lengths, strict=True)
        ]
    )
    words = np.where(batch.tgt_mask & (batch.tgt_out != EOS), batch.tgt_out, PAD)[:-1]
    return batch, Sentences(batch.src, batch.src_mask, words, batch.tgt_mask.sum(axis=0) - 1)


# -- assignment 8 ------------------------------------------------------------------------------------------


class Automaton:
    """A model that is two tables, as assignment 8 has it, for the searches of the engine.

    In state n the next token is v with the log-probability log_probs[n, v], and then the state is
    next_state[n, v]. The first state is 0; token 0 ends the text. To the engine, token v is EOS + v.

    Shapes: log_probs (N, V); next_state (N, V) of ints below N.
    """

    def __init__(self, log_probs: np.ndarray, next_state: np.ndarray):
        self.log_probs, self.next_state = log_probs, next_state

    def start(self, src, src_mask):
        return np.full(src.shape[1], -1)  # nothing has been read, not even BOS

    def step(self, state, tokens):
        read = self.next_state[np.maximum(state, 0), np.maximum(tokens - EOS, 0)]
        state = np.where(tokens == BOS, 0, read)
        rows = np.full((len(state), EOS + self.log_probs.shape[1]), -np.inf)
        rows[:, EOS:] = self.log_probs[state]
        return rows, state

    def take(self, state, index):
        return state[index]
