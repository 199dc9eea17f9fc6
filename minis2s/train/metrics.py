"""How good the outputs are: error rates, exact matches, BLEU, each with a confidence interval.

`score` is the entry: texts and their right answers in, named `Metric`s out. Every metric of a
corpus is a function of sums over its sentences, so one function, `bootstrap_interval`, says for
all of them how much the number depends on which sentences happened to be in the test set.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from minis2s.errors import UserError

# kind of task -> its metrics, the main one first
KINDS = {
    "g2p": ("phoneme_error_rate", "word_error_rate"),
    "exact": ("exact_match", "token_error_rate"),
    "tokens": ("token_error_rate", "exact_match"),
    "bleu": ("bleu", "exact_match"),
}
HIGHER_IS_BETTER = {"exact_match", "bleu"}
NGRAM_ORDER = 4  # of BLEU


@dataclass(frozen=True)
class Metric:
    """One figure about a corpus. ``str(metric)`` is "phoneme error rate 7.4 % [7.1, 7.7]"."""

    name: str  # "phoneme error rate"
    value: float  # a share for rates, 0.074 (an error rate may exceed 1); 0 to 100 for BLEU
    higher_is_better: bool
    sentences: int  # how many it was taken over
    interval: tuple[float, float] | None = None  # same unit as value; None: not asked for
    level: float | None = None  # of the interval: 0.95
    percent: bool = True  # a share, to be printed as a percentage
    signature: str | None = None  # how sacrebleu counted, to be quoted with a BLEU score

    @property
    def cost(self) -> float:
        """The value with its sign turned where higher is better: what training tries to lower."""
        return -self.value if self.higher_is_better else self.value

    def __str__(self) -> str:
        scale, unit = (100, " %") if self.percent else (1, "")
        text = f"{self.name} {scale * self.value:.1f}{unit}"
        if self.interval is None:
            return text
        low, high = self.interval
        return f"{text} [{scale * low:.1f}, {scale * high:.1f}]"

    def to_json(self) -> dict[str, Any]:
        """Every field, and the printed line as "text"."""
        return asdict(self) | {"text": str(self)}


def score(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    kind: str,
    tokenize: Callable[[str], Sequence[str]] = list,
    rng: np.random.Generator | None = None,
    samples: int = 1000,
    level: float = 0.95,
    bleu_tokenizer: str = "13a",
) -> dict[str, Metric]:
    """Compare outputs with their right answers, of which each sentence may have several.

    `kind` names the task and so the metrics, the main one first (``next(iter(scores.values()))``):
    "g2p" phoneme and word error rate, "exact" exact match and token error rate, "tokens" the same
    in the other order, "bleu" BLEU and exact match. `tokenize` cuts a text into what error rates
    count: phonemes, characters, words. BLEU cuts texts itself, by sacrebleu's `bleu_tokenizer`
    ("13a" for languages with spaces, "zh" for Chinese).

    With `rng`, every metric gets a bootstrap interval of `samples` resamples; all metrics are
    taken from the same resamples. Without, none does, which is faster.

    Raises ValueError when the lists differ in length or are empty, a sentence has no reference, or
    the kind is unknown; UserError when BLEU is asked for and sacrebleu is not installed.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    check_pairing(hypotheses, references)
    tokens = [tokenize(text) for text in hypotheses]
    answers = [[tokenize(text) for text in texts] for texts in references]
    # one row per sentence, of the sums that every metric is made of
    statistics = edit_statistics(tokens, answers)
    makers: dict[str, tuple[str, Callable[[np.ndarray], float]]] = {
        "phoneme_error_rate": ("phoneme error rate", token_error_rate_of),
        "token_error_rate": ("token error rate", token_error_rate_of),
        "word_error_rate": ("word error rate", sequence_error_rate_of),
        "exact_match": ("exact match", exact_match_of),
        "bleu": ("BLEU", lambda sums: bleu_of(sums[4:])),
    }
    signature = None
    if "bleu" in KINDS[kind]:
        ngrams, signature = bleu_statistics(hypotheses, references, bleu_tokenizer)
        statistics = np.concatenate([statistics, ngrams], axis=1)
    resamples = None if rng is None else resampled_sums(statistics, rng, samples)
    found = {}
    for key in KINDS[kind]:
        name, value_of = makers[key]
        found[key] = Metric(
            name=name,
            value=value_of(statistics.sum(axis=0)),
            higher_is_better=key in HIGHER_IS_BETTER,
            sentences=len(hypotheses),
            interval=None if resamples is None else percentiles(resamples, value_of, level),
            level=None if resamples is None else level,
            percent=key != "bleu",
            signature=signature if key == "bleu" else None,
        )
    return found


# -- edits ------------------------------------------------------------------------------------------


def edit_distance(a: Sequence, b: Sequence) -> int:
    """The fewest insertions, deletions and substitutions of single tokens that turn `a` into `b`.

    The distances D[i][j] between the first i tokens of `a` and the first j of `b` form a table in
    which neighbours differ by -1, 0 or 1. A column of it is kept as two bit strings, where D goes
    down by one from row to row and where it rises, and becomes the next in a dozen operations on
    Python's integers of any length: 80 times faster than cell by cell for texts of 300 tokens.

    Source: Myers 1999, in the form of Hyyro 2003.
    """
    if a == b:
        return 0
    if not a or not b:
        return len(a) + len(b)
    places: dict[Any, int] = {}  # token -> the bits i with a[i] == token
    for i, token in enumerate(a):
        places[token] = places.get(token, 0) | 1 << i
    every = (1 << len(a)) - 1
    last = 1 << (len(a) - 1)
    rises, falls = every, 0  # D[i + 1][j] - D[i][j] is 1, -1: column j = 0 is 0, 1, 2, ...
    distance = len(a)  # D[len(a)][j]
    for token in b:
        equal = places.get(token, 0)
        # where D stays the same along the diagonal, from column j to j + 1
        same = (((equal & rises) + rises) ^ rises) | equal | falls
        grows = falls | (every & ~(same | rises))  # where D rises from column j to j + 1, row by row
        shrinks = rises & same
        if grows & last:
            distance += 1
        elif shrinks & last:
            distance -= 1
        # one row on: the top row of the table, 0, 1, 2, ..., always grows
        grows = grows << 1 | 1
        shrinks = shrinks << 1
        level = equal | falls
        rises = every & (shrinks | ~(level | grows))
        falls = every & grows & level
    return distance


def edits_to_closest(tokens: Sequence, references: Sequence[Sequence]) -> tuple[int, int]:
    """(edits, length): the edit distance to the closest reference, and how long that one is.

    Of equally close references the first counts. Raises ValueError when there is none.
    """
    if not references:
        raise ValueError("a sentence needs at least one reference, got none")
    return min(((edit_distance(tokens, r), len(r)) for r in references), key=lambda pair: pair[0])


def edit_statistics(hypotheses: Sequence[Sequence], references: Sequence[Sequence[Sequence]]) -> np.ndarray:
    """Per sentence (n, 4): edits to the closest reference, its length, 1 if any edit, 1 for the sentence."""
    closest = [edits_to_closest(h, r) for h, r in zip(hypotheses, references, strict=True)]
    return np.array([(edits, length, edits > 0, 1) for edits, length in closest], dtype=np.float64)


def token_error_rate_of(sums: np.ndarray) -> float:
    edits, length = sums[:2]
    return float(edits / max(length, 1))


def sequence_error_rate_of(sums: np.ndarray) -> float:
    return float(sums[2] / sums[3])


def exact_match_of(sums: np.ndarray) -> float:
    return 1 - sequence_error_rate_of(sums)


def token_error_rate(hypotheses: Sequence[Sequence], references: Sequence[Sequence[Sequence]]) -> float:
    """The edits to the closest reference of every sentence, over the lengths of those references.

    Both are summed over the corpus before the division, so that every token counts the same. Known
    as phoneme error rate where tokens are phonemes. Where all references are empty, it is the
    number of edits.

    Raises ValueError when the lists differ in length or are empty, or a sentence has no reference.
    """
    check_pairing(hypotheses, references)
    return token_error_rate_of(edit_statistics(hypotheses, references).sum(axis=0))


def exact_match(hypotheses: Sequence[Sequence], references: Sequence[Sequence[Sequence]]) -> float:
    """The share of outputs that equal any of their references. Raises ValueError as `token_error_rate`."""
    check_pairing(hypotheses, references)
    return exact_match_of(edit_statistics(hypotheses, references).sum(axis=0))


# -- BLEU -------------------------------------------------------------------------------------------


def bleu(hypotheses: Sequence[str], references: Sequence[Sequence[str]], *, tokenizer: str = "13a") -> float:
    """Corpus BLEU, 0 to 100, by sacrebleu; every sentence may have its own number of references.

    Raises ValueError as `token_error_rate`, UserError when sacrebleu is not installed.

    Source: Papineni et al. 2002; Post 2018 for the exact counting.
    """
    check_pairing(hypotheses, references)
    statistics, _ = bleu_statistics(hypotheses, references, tokenizer)
    return bleu_of(statistics.sum(axis=0))


def bleu_statistics(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], tokenizer: str
) -> tuple[np.ndarray, str]:
    """What BLEU is computed from, per sentence, and sacrebleu's signature.

    Shape (n, 10): hypothesis length, length of the reference nearest to it in length, n-grams of
    order 1 ... 4 that are in a reference, n-grams of order 1 ... 4.
    """
    BLEU = import_bleu()
    counter = BLEU(tokenize=tokenizer, effective_order=True)  # changes no count, only a warning
    rows = []
    for text, texts in zip(hypotheses, references, strict=True):
        found = counter.sentence_score(text, list(texts))
        rows.append((found.sys_len, found.ref_len, *found.counts, *found.totals))
    # the signature names the number of references, and is known after a scoring
    numbers = {len(texts) for texts in references}
    signer = BLEU(tokenize=tokenizer)
    signer.corpus_score([""], [[""]] * max(numbers))
    signature = str(signer.get_signature())
    if len(numbers) > 1:
        signature = signature.replace(f"nrefs:{max(numbers)}|", "nrefs:var|")
    return np.array(rows, dtype=np.float64), signature


def bleu_of(sums: np.ndarray) -> float:
    """BLEU from the sums of `bleu_statistics` over a corpus."""
    sys_len, ref_len, *counts = (int(x) for x in np.rint(sums))
    correct, total = counts[:NGRAM_ORDER], counts[NGRAM_ORDER:]
    return float(import_bleu().compute_bleu(correct, total, sys_len, ref_len, smooth_method="exp").score)


def import_bleu() -> type:
    try:
        from sacrebleu.metrics import BLEU
    except ImportError as error:
        raise UserError('BLEU needs the package sacrebleu: pip install "minis2s[data]"') from error
    return BLEU


# -- intervals --------------------------------------------------------------------------------------


def bootstrap_interval(
    statistics: np.ndarray,
    value_of: Callable[[np.ndarray], float],
    *,
    rng: np.random.Generator,
    samples: int = 1000,
    level: float = 0.95,
) -> tuple[float, float]:
    """The interval that a corpus metric would fall into for most test sets of the same kind and size.

    Shapes: statistics (n, k), one row per sentence; `value_of` computes the metric from their sum
    (k,), for example ``lambda sums: sums[0] / sums[1]``. The test set is drawn anew `samples`
    times, sentences with replacement, and the middle `level` of the values is the interval.

    Raises ValueError when there is no sentence, samples < 1, or level is not between 0 and 1.

    Source: Efron 1979 (the percentile method); Koehn 2004 for translation.
    """
    return percentiles(resampled_sums(statistics, rng, samples), value_of, level)


def resampled_sums(statistics: np.ndarray, rng: np.random.Generator, samples: int) -> np.ndarray:
    """The sums of `statistics` (n, k) over `samples` resamples of its rows: (samples, k)."""
    n = len(statistics)
    if n == 0 or samples < 1:
        raise ValueError(f"a bootstrap needs sentences and samples, got {n} sentences and {samples} samples")
    # how often each sentence was drawn, times its numbers: no copy of the resampled rows
    return np.array([np.bincount(rng.integers(n, size=n), minlength=n) @ statistics for _ in range(samples)])


def percentiles(
    sums: np.ndarray, value_of: Callable[[np.ndarray], float], level: float
) -> tuple[float, float]:
    """The bounds of the middle `level` of the metric over resampled `sums` (samples, k)."""
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level!r}")
    low, high = np.quantile([value_of(row) for row in sums], [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def check_pairing(hypotheses: Sequence, references: Sequence[Sequence]) -> None:
    """Raises ValueError unless there are sentences, each with an output and at least one reference."""
    if len(hypotheses) != len(references):
        raise ValueError(
            f"expected references for each output, got {len(references)} for {len(hypotheses)} outputs"
        )
    if not hypotheses:
        raise ValueError("nothing to score: there are no sentences")
    for n, answers in enumerate(references):
        if isinstance(answers, str) or not answers:
            raise ValueError(
                f"the references of sentence {n} must be a list of at least one, got {answers!r}"
            )
