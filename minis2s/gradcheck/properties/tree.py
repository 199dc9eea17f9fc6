"""A tree of texts to search, small enough to try all of them, and a beam search in a few lines.

`simple_beam` is written for one sentence at a time. Each of its `MISTAKES` turns it into a beam search
as it is often written instead: the one that gives what a student's search gives is what is wrong there.
"""

import functools
from collections.abc import Callable

import numpy as np

from minis2s.data.vocabulary import BOS, EOS, PAD
from minis2s.decode.hypothesis import gnmt_penalty
from minis2s.gradcheck.properties.finding import accepts

V, LIMIT = 5, 4  # tokens, and steps


@functools.lru_cache(maxsize=20_000)
def draw(seed: int, sharpness: float, ties: bool, holes: bool, sentence: int, text: tuple) -> np.ndarray:
    """The log-probabilities (V,) that stand behind one text in one tree."""
    rng = np.random.default_rng([seed, sentence, *text])
    logits = sharpness * rng.standard_normal(V)
    logits[EOS] -= sharpness  # long enough texts, or mistakes would not show
    if ties:
        logits = np.round(logits)
    if holes:
        logits[rng.integers(EOS + 1, V)] = -np.inf
    return logits - np.log(np.exp(logits).sum())


class Tree:
    """A Decodable whose log-probabilities after each text are random, but always the same.

    A sentence is named by the first id of its source. Its states are (sentence, text so far).
    sharpness: how far the probabilities are apart.  ties: logits are rounded to whole numbers.
    holes: some tokens are impossible.  read_on: whether a token was read after EOS.
    """

    def __init__(self, seed: int, sharpness: float = 1.5, ties: bool = False, holes: bool = False):
        self.seed, self.sharpness, self.ties, self.holes = seed, sharpness, ties, holes
        self.read_on = False

    def row(self, sentence: int, text: tuple) -> np.ndarray:
        """log P(next token), (V,); to be read only."""
        return draw(self.seed, self.sharpness, self.ties, self.holes, sentence, text)

    def start(self, src, src_mask):
        return [(int(n), ()) for n in src[0]]

    def step(self, state, tokens):
        self.read_on = self.read_on or any(int(t) == EOS for t in tokens)
        state = [
            (n, text if int(token) == BOS and not text else (*text, int(token)))
            for (n, text), token in zip(state, tokens, strict=True)
        ]
        return np.array([self.row(n, text) for n, text in state]), state

    def take(self, state, index):
        return [state[int(n)] for n in index]


def source(*names: int) -> tuple[np.ndarray, np.ndarray]:
    """src (2, B) and its mask; sentences are named, the second ids are padding."""
    src = np.array([names, [PAD] * len(names)])
    return src, np.array([[True] * len(names), [False] * len(names)])


def forced(model: Tree, sentence: int, tokens, finished: bool) -> float:
    """The log-probability of a text, token by token."""
    text, total = (), 0.0
    for token in [*tokens, *([EOS] if finished else [])]:
        total += float(model.row(sentence, text)[token])
        text = (*text, int(token))
    return total


class Search:
    """The student's function, called with the options that it has."""

    def __init__(self, function: Callable):
        self.function = function
        self.penalizes = accepts(function, "length_penalty")

    def __call__(
        self, model: Tree, names, beam: int, alpha: float = 0.0, limit=LIMIT, nbest: int = 1
    ) -> list[list]:
        """-> for each sentence its hypotheses, best first."""
        src, mask = source(*names)
        options = {"beam": beam, "max_length": limit, "length_penalty": alpha, "nbest": nbest}
        options = {name: value for name, value in options.items() if accepts(self.function, name)}
        found = self.function(model, src, mask, **options)
        found = [list(h) if isinstance(h, list) else [h] for h in found]
        if len(found) != len(names) or not all(found):
            raise ValueError(
                f"a list of hypotheses for each of {len(names)} sentences was expected, got {len(found)}"
            )
        for hypotheses in found:
            if not all(
                hasattr(h, name) for h in hypotheses for name in ("tokens", "score", "log_prob", "finished")
            ):
                raise ValueError(
                    "a hypothesis must have tokens, score, log_prob and finished, as "
                    "minis2s.decode.Hypothesis"
                )
        return found


# -- a beam search in a few lines, and its mistakes --------------------------------------------------

MISTAKES = {
    "first end": "the search stops as soon as one hypothesis ends",
    "all ended": "a finished hypothesis is dropped unless it is found at the last step",
    "grows": "finished hypotheses go on growing after EOS",
    "grows, cut": "finished hypotheses go on growing after EOS, their probability with them",
    "not reordered": "the states are not reordered with the beam: each hypothesis has that of another",
    "not reordered, live": "the states are not reordered with the beam: each place in it keeps its state",
    "last step": "log-probabilities are not added up: only the last token counts",
    "end unscored": "the log-probability of EOS is not added",
    "worst": "the least probable continuations are kept",
    "one each": "of each hypothesis only its best continuation is kept",
    "blocks the beam": "finished hypotheses keep a place in the beam, so fewer go on",
    "no penalty": "the length penalty is not applied",
    "penalty times": "the score is multiplied by the penalty, where it is to be divided",
    "penalty per token": "the score is divided by the length, not by ((5 + length)/6)**alpha",
    "penalty without end": "EOS is not counted in the length",
    "penalty while pruning": "the accumulated score is divided by the penalty at every step anew",
    "probabilities": "probabilities are added up, not their logarithms",
    "penalty after": "the best by log-probability is chosen, and the length penalty applied only afterwards",
    "specials": "PAD and BOS are allowed as tokens of a text",
    "unfinished": "hypotheses cut at max_length are ranked together with finished ones",
}


def simple_beam(
    model: Tree, sentence: int, beam: int, alpha: float, limit: int, mistake: str = ""
) -> tuple[list, float]:
    """(tokens, score) of the best hypothesis that a beam search finds for one sentence."""
    live = [((), 0.0, ())]  # (text, total, the text that the model's state has read)
    done = []  # (score, total, text)
    divide = penalty_of(mistake, alpha)
    lowest = PAD if mistake == "specials" else EOS
    for length in range(1, limit + 1):
        rows = [model.row(sentence, state) for _, _, state in live]
        continued = []
        for n, ((text, total, _), row) in enumerate(zip(live, rows, strict=True)):
            choices = range(lowest, V)
            if mistake == "one each":
                choices = [EOS + int(row[EOS:].argmax())]
            for token in choices:
                value = float(row[token])
                if mistake == "end unscored" and token == EOS:
                    value = 0.0
                if mistake == "probabilities":
                    value = float(np.exp(value))
                if value > -np.inf:
                    new = value if mistake == "last step" else total + value
                    if mistake == "penalty while pruning":
                        new = new / gnmt_penalty(length, alpha)
                    continued.append(((*text, token), new, n))
        continued.sort(key=lambda c: c[1], reverse=mistake != "worst")
        kept = continued[: max(beam - (len(done) if mistake == "blocks the beam" else 0), 0)]
        states = [live[n][2] for _, _, n in kept]
        if mistake == "not reordered":
            states = [live[min(k, len(live) - 1)][2] for k in range(len(kept))]
        before, live = live, []
        for (text, total, _), state in zip(kept, states, strict=True):
            score = total if mistake == "penalty while pruning" else divide(total, length)
            if text[-1] == EOS and not mistake.startswith("grows"):
                if mistake != "all ended" or length == limit:
                    done.append((score, total, text))
            else:
                if mistake == "not reordered, live":
                    state = before[len(live) % len(before)][2]
                live.append((text, total, (*state, text[-1])))
        if not live or (mistake == "first end" and done):
            break
    if mistake == "penalty after" and done:
        _, total, text = max(done, key=lambda d: d[1])
        return list(text[:-1]), divide(total, len(text))
    cut = [(divide(total, limit), total, text) for text, total, _ in live]
    ranked = sorted(done, key=lambda d: -d[0])
    if mistake == "unfinished":
        ranked = sorted(done + cut, key=lambda d: -d[0])
    ranked = ranked or sorted(cut, key=lambda d: -d[0])
    if not ranked:
        return [], -np.inf
    score, _, text = ranked[0]
    if mistake == "grows" and EOS in text:
        at = text.index(EOS)
        return list(text[:at]), score
    return list(text[:-1] if text[-1] == EOS else text), score


def penalty_of(mistake: str, alpha: float) -> Callable[[float, int], float]:
    """(total, length with EOS) -> score."""
    if mistake == "no penalty":
        return lambda total, length: total
    if mistake == "penalty times":
        return lambda total, length: total * gnmt_penalty(length, alpha)
    if mistake == "penalty per token":
        return lambda total, length: total / length**alpha
    if mistake == "penalty without end":
        return lambda total, length: total / gnmt_penalty(length - 1, alpha)
    return lambda total, length: total / gnmt_penalty(length, alpha)
