"""What the checks of assignments 7 and 8 hold answers against: a small model of the engine, a model that is a table.

Where one function of the engine is reference enough, a check calls it itself.
"""

from typing import NamedTuple

import numpy as np

from minis2s.classroom.checks import Wrong, parts, same
from minis2s.data import Batch, Example, make_batch
from minis2s.data.vocabulary import BOS, EOS, PAD
from minis2s.decode import Hypothesis, beam_search, exact_search
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
    return random_model(rng, embed, hidden, source, target, 1 / 2)


def large_model(rng: np.random.Generator) -> tuple[Seq2Seq, dict[str, np.ndarray]]:
    """A model with 30,000 weights and more on each side: too many for one forward pass for each of them."""
    return random_model(rng, 72, 68, 80, 76, 1 / 8)


def random_model(
    rng: np.random.Generator, embed: int, hidden: int, source: int, target: int, scale: float
) -> tuple[Seq2Seq, dict[str, np.ndarray]]:
    """source, target: words, beside the three special tokens."""
    config = seq2seq_config(embed, hidden)
    model = Seq2Seq(config, source + 3, target + 3, rng=rng, dtype=np.float64)
    for p in model.parameters().values():
        p.data[...] = scale * rng.standard_normal(p.data.shape)
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


def random_tables(
    rng: np.random.Generator, tokens: int = 4, steps: int = 8, choices: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    """log_probs and next_state of a random model that is often in doubt, and ends a text at a third of its steps.

    Each step has its own `choices` states. So no two texts are made of the same numbers in another order:
    what ties, and what a different order of adding up would untie, is in a table only if it is put there.
    """
    states = steps * choices
    probabilities = rng.dirichlet(np.full(tokens, 0.8), states) + 0.01
    probabilities[:, 0] = rng.uniform(0.1, 0.5, states)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    layer = np.minimum(np.arange(states) // choices + 1, steps - 1)
    return np.log(probabilities), choices * layer[:, None] + rng.integers(0, choices, (states, tokens))


def beam_texts(tables, beam: int, max_length: int, alpha: float = 0.0, nbest: int = 1) -> list[Hypothesis]:
    """What the beam search of the engine finds in two tables."""
    options = {"beam": beam, "max_length": max_length, "length_penalty": alpha, "nbest": nbest}
    return beam_search(Automaton(*tables), np.array([[EOS]]), np.array([[True]]), **options)[0]


def all_texts(tables, max_length: int, alpha: float = 0.0, nbest: int = 1) -> list[Hypothesis]:
    """The best of all texts that there are in two tables."""
    options = {"max_length": max_length, "length_penalty": alpha, "nbest": nbest}
    return exact_search(Automaton(*tables), np.array([[EOS]]), np.array([[True]]), **options)[0]


def same_texts(mine, theirs: list[Hypothesis], what: str) -> None:
    """Hold the texts of a student, (tokens, score, log_prob, finished) each, against the engine's. Raises Wrong."""
    if type(mine) not in (list, tuple):
        raise Wrong(f"{what} should be a list of texts")
    if len(mine) != len(theirs):
        raise Wrong(f"{what} should be {len(theirs)} texts, there are {len(mine)}")
    for n, (text, right) in enumerate(zip(mine, theirs, strict=True)):
        which = f"text {n} of {what}"
        tokens, score, log_prob, finished = parts(text, "tokens score log_prob finished", which)
        same_tokens(tokens, [token - EOS for token in right.tokens], which)
        same(log_prob, right.log_prob, f"log_prob of {which}")
        same(score, right.score, f"score of {which}")
        same(finished, right.finished, f"finished of {which}")


def same_tokens(mine, theirs: list[int], which: str) -> None:
    """Hold a list (or an array) of tokens against another. Raises Wrong."""
    if type(mine) not in (list, tuple, np.ndarray):
        raise Wrong(f"the tokens of {which} should be a list")
    if any(type(token) is not int and not isinstance(token, np.integer) for token in mine):
        raise Wrong(f"the tokens of {which} should be whole numbers")
    if len(mine) != len(theirs) or any(int(m) != t for m, t in zip(mine, theirs, strict=True)):
        raise Wrong(f"the tokens of {which} are not the right ones")
