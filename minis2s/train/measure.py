"""What a trained translator is worth: many texts translated by several workers, and the metrics of them."""

import importlib.util
from collections.abc import Sequence
from contextlib import closing

import numpy as np
from tqdm import tqdm

from minis2s.data import Pair
from minis2s.train.metrics import Metric, score
from minis2s.train.parallel import results_of
from minis2s.train.translator import SENTENCES_AT_ONCE, Translation, Translator


def translate_all(
    translator: Translator, texts: Sequence[str], *, threads: int = 1, progress: bool = False, **search
) -> list[list[Translation]]:
    """`Translator.translate` for many texts by several workers; `search` are its options.

    They are processes where that is possible (see train/processes.py), threads elsewhere. They share the weights
    and nothing else, so the results do not depend on their number.
    """
    # texts of similar length together: a batch takes as many steps as its longest text
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    size = min(SENTENCES_AT_ONCE, max(-(-len(texts) // threads), 1))
    chunks = [order[start : start + size] for start in range(0, len(order), size)]
    found: list[list[Translation]] = [[] for _ in texts]

    def translate(chunk: list[int]) -> list[list[Translation]]:
        return translator.translate([texts[i] for i in chunk], **search)

    with (
        closing(results_of(translate, chunks, threads, translator.model)) as results,
        tqdm(total=len(texts), unit="text", leave=False, disable=None if progress else True) as bar,
    ):
        for chunk, translations in zip(chunks, results, strict=True):
            for i, result in zip(chunk, translations, strict=True):
                found[i] = result
            bar.update(len(chunk))
    return found


def metrics_for(task: str | None, translator: Translator) -> str:
    """The kind of `metrics.score` that tells most about a run."""
    if task is not None:
        return "g2p" if task == "g2p" else "exact"
    by_word = translator.target.tokenizer.name == "word"
    return "bleu" if by_word and importlib.util.find_spec("sacrebleu") else "tokens"


def bleu_tokenizer_for(texts: Sequence[str]) -> str:
    """How sacrebleu should cut texts into words: "13a", or by character where they have no spaces.

    "zh" is its way with Chinese; Japanese is recognized by its kana, and cut into characters.
    """
    letters = [c for text in texts for c in text if c.isalpha()]
    kana = sum("\u3040" <= c <= "\u30ff" for c in letters)
    ideographs = sum("\u3400" <= c <= "\u9fff" for c in letters)
    if 2 * (kana + ideographs) <= len(letters):
        return "13a"
    return "char" if 10 * kana > len(letters) else "zh"


def measure(
    translator: Translator,
    pairs: Sequence[Pair],
    *,
    task: str | None = None,
    threads: int = 1,
    progress: bool = False,
    **search,
) -> dict[str, Metric]:
    """The metrics of a translator on `pairs`, each with a 95 % bootstrap interval; the main one first."""
    results = translate_all(
        translator, [pair.source for pair in pairs], threads=threads, progress=progress, **search
    )
    return score(
        [best.text for best, *_ in results],
        [pair.targets for pair in pairs],
        kind=metrics_for(task, translator),
        tokenize=translator.target.tokenizer.tokenize,
        bleu_tokenizer=bleu_tokenizer_for([pair.targets[0] for pair in pairs]),
        rng=np.random.default_rng(0),  # the same figures each time
    )
