"""Toy models to decode, as fixtures: one whose every probability is written down, one that is a small random net."""

import numpy as np
import pytest

from minis2s.data.vocabulary import BOS, EOS


class TableModel:
    """The log-probabilities after each prefix are written down in `rows`, {prefix or (sentence, prefix): (V,)}.

    A sentence is named by the first id of its source. A state is the list of (sentence, prefix).
    Without `otherwise`, being asked for a prefix that is not in `rows` fails the test.
    """

    def __init__(self, rows, otherwise=None):
        self.rows = rows
        self.otherwise = otherwise
        self.steps = []  # how many rows each step was given

    def start(self, src, src_mask):
        return [(int(n), ()) for n in src[0]]

    def step(self, state, tokens):
        assert tokens.shape == (len(state),) and EOS not in tokens, "no decoder reads on after EOS"
        self.steps.append(len(state))
        state = [
            (n, prefix if token == BOS else (*prefix, int(token)))
            for (n, prefix), token in zip(state, tokens)
        ]
        return np.array([self.lookup(n, prefix) for n, prefix in state]), state

    def lookup(self, n, prefix):
        for key in ((n, prefix), prefix):
            if key in self.rows:
                return self.rows[key]
        assert self.otherwise is not None, f"the search went on after {prefix}"
        return self.otherwise

    def take(self, state, index):
        return [state[n] for n in index]


class RandomNet:
    """A small recurrent net with random weights: its log-probabilities depend on source and whole history."""

    def __init__(self, seed, V=6, H=5, sharpness=2.0, eos_bias=0.0, dtype=np.float64, xp=np):
        rng = np.random.default_rng(seed)
        self.xp = xp
        self.E, self.X = xp.asarray(rng.normal(size=(2, 50, H)).astype(dtype))
        self.W = xp.asarray(rng.normal(size=(H, H)).astype(dtype))
        self.U = xp.asarray((sharpness * rng.normal(size=(H, V))).astype(dtype))
        b = rng.normal(size=V)
        b[EOS] += eos_bias
        self.b = xp.asarray(b.astype(dtype))
        self.steps = []  # how many rows each step was given

    def start(self, src, src_mask):
        weights = self.xp.arange(1, src.shape[0] + 1)[
            :, None, None
        ]  # so that the order of the source matters
        return self.xp.tanh((self.X[src] * src_mask[:, :, None] * weights).sum(axis=0)).astype(self.W.dtype)

    def step(self, state, tokens):
        # sums of products in place of matrix products: a row then comes out the same in every batch
        assert not (tokens == EOS).any(), "no decoder reads on after EOS"
        self.steps.append(tokens.shape[0])
        state = self.xp.tanh(self.E[tokens] + (state[:, :, None] * self.W).sum(axis=1))
        logits = (state[:, :, None] * self.U).sum(axis=1) + self.b
        logits -= logits.max(axis=1, keepdims=True)
        return logits - self.xp.log(self.xp.exp(logits).sum(axis=1, keepdims=True)), state

    def take(self, state, index):
        return state[index]


def sources(lengths, seed=0):
    """Random sources of these lengths: src (S, B) with arbitrary content in the padding, src_mask (S, B)."""
    S, B = max(lengths), len(lengths)
    src = np.random.default_rng(seed).integers(4, 50, size=(S, B))
    return src, np.arange(S)[:, None] < np.array(lengths)


def forced(model, src, src_mask, hypothesis):
    """The log-probability of one hypothesis of one source (S, 1), token by token: the oracle for `log_prob`."""
    state, token, total = model.start(src, src_mask), BOS, 0.0
    for following in [*hypothesis.tokens, *([EOS] if hypothesis.finished else [])]:
        log_probs, state = model.step(state, np.array([token]))
        total += float(log_probs[0, following])
        token = following
    return total


class Toys:
    TableModel = TableModel
    RandomNet = RandomNet
    sources = staticmethod(sources)
    forced = staticmethod(forced)

    @staticmethod
    def sentence(n=0):
        """A batch of one sentence, by the name n."""
        return np.full((1, 1), n), np.ones((1, 1), dtype=bool)

    @staticmethod
    def row(**probabilities):
        """log of (PAD, BOS, EOS, UNK, a, b, c): ``row(eos=0.5, a=0.5)``; what is not named has probability 0."""
        names = ("pad", "bos", "eos", "unk", "a", "b", "c")
        values = np.array([probabilities.get(name, 0.0) for name in names])
        return np.log(values, where=values > 0, out=np.full(len(names), -np.inf))


@pytest.fixture(scope="session")
def toys():
    return Toys
