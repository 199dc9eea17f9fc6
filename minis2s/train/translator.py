"""The Translator: a model with its two codecs, so that text goes in and text comes out.

It is what a run folder holds and what a program uses: `for_pairs` makes a new one that fits some
training data, a `Trainer` (train/loop.py) teaches it, `save` and `load` keep it.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np

from minis2s.backend import to_numpy
from minis2s.data import Codec, Example, Pair, make_batch, make_batches, tokenizer
from minis2s.data.batching import Batch
from minis2s.decode import Hypothesis, beam_search, greedy
from minis2s.errors import UserError
from minis2s.models import ModelConfig, Seq2Seq, attention_weights
from minis2s.train.checkpoint import load_checkpoint, save_checkpoint

SENTENCES_AT_ONCE = 256  # decoded together; more gain no speed on a CPU


class Translation(NamedTuple):
    """One output text. score ranks (length-normalised); finished is False when it was cut for length."""

    text: str
    score: float
    log_prob: float
    finished: bool


class Translator:
    """A Seq2Seq model between a source and a target codec.

    length_ratio is the mean number of target tokens per source token in training: it bounds how
    long an output may grow.
    """

    def __init__(self, model: Seq2Seq, source: Codec, target: Codec, length_ratio: float = 1.0):
        self.model = model
        self.source = source
        self.target = target
        self.length_ratio = length_ratio

    @classmethod
    def for_pairs(
        cls,
        pairs: Sequence[Pair],
        config: ModelConfig | None = None,
        *,
        source_tokenizer: str = "char",
        target_tokenizer: str = "char",
        max_vocabulary: int | None = None,
        min_count: int = 1,
        seed: int = 0,
        dtype=np.float32,
    ) -> "Translator":
        """A new, untrained translator whose vocabularies are those of `pairs`.

        Raises ValueError when there are no pairs.
        """
        if not pairs:
            raise ValueError("a translator is made for some training pairs, got none")
        config = ModelConfig() if config is None else config
        texts = [text for pair in pairs for text in pair.targets]
        source = Codec.fit([p.source for p in pairs], tokenizer(source_tokenizer), max_vocabulary, min_count)
        target = Codec.fit(texts, tokenizer(target_tokenizer), max_vocabulary, min_count)
        rng = np.random.default_rng(seed)
        model = Seq2Seq(config, len(source.vocabulary), len(target.vocabulary), rng=rng, dtype=dtype)
        source_tokens = sum(len(source.encode(p.source)) for p in pairs)
        target_tokens = sum(len(target.encode(p.targets[0])) for p in pairs)
        return cls(model, source, target, target_tokens / max(source_tokens, 1))

    def to(self, xp: ModuleType) -> "Translator":
        """Move the model to another array module; returns self."""
        self.model.to(xp)
        return self

    # -- text in, text out ------------------------------------------------------------------------

    def translate(
        self, texts: Sequence[str], *, beam: int = 1, nbest: int = 1, length_penalty: float = 0.0
    ) -> list[list[Translation]]:
        """For every text its `nbest` translations, best first; `beam` 1 is greedy search."""
        examples = [Example(self.source.encode(text), []) for text in texts]
        found: list[list[Translation]] = [[] for _ in texts]
        for index in make_batches(examples, batch_sentences=SENTENCES_AT_ONCE):
            batch = make_batch(examples, index)
            for i, hypotheses in zip(
                batch.index,
                self.search(batch, beam=beam, nbest=nbest, length_penalty=length_penalty),
                strict=True,
            ):
                found[i] = [
                    Translation(self.target.decode(h.tokens), h.score, h.log_prob, h.finished)
                    for h in hypotheses
                ]
        return found

    def search(
        self, batch: Batch, *, beam: int = 1, nbest: int = 1, length_penalty: float = 0.0
    ) -> list[list[Hypothesis]]:
        """The hypotheses for every sentence of a batch, as token numbers."""
        # twice the usual length and a little more: room for every honest answer, an end for endless ones
        longest = (2 * self.length_ratio * batch.src_mask.sum(axis=0)).astype(int) + 10
        src, mask = self.model.on_device(batch.src), self.model.on_device(batch.src_mask)
        if beam == 1 and nbest == 1:
            return [[h] for h in greedy(self.model, src, mask, max_length=longest)]
        return beam_search(
            self.model, src, mask, beam=beam, max_length=longest, length_penalty=length_penalty, nbest=nbest
        )

    def attention(self, source: str, target: str) -> tuple[np.ndarray, list[str], list[str]]:
        """How the model looks at `source` while it writes `target`.

        Returns (weights (T, S), target tokens with the end mark, source tokens likewise).
        Raises UserError when the model has no attention.
        """
        if self.model.decoder.attention is None:
            raise UserError("this model was trained with --attention none: it has no attention to show")
        example = Example(self.source.encode(source), self.target.encode(target))
        batch = make_batch([example])
        _, cache = self.model.forward(
            self.model.on_device(batch.src),
            self.model.on_device(batch.src_mask),
            self.model.on_device(batch.tgt_in),
        )
        weights = to_numpy(attention_weights(cache))[:, 0]
        end = "</s>"
        return (
            weights,
            [*self.target.tokenizer.tokenize(target), end],
            [*self.source.tokenizer.tokenize(source), end],
        )

    # -- files ------------------------------------------------------------------------------------

    def describe(self) -> dict:
        """Everything but the weights, as plain JSON."""
        return {
            "model": asdict(self.model.config),
            "source": self.source.to_json(),
            "target": self.target.to_json(),
            "length_ratio": self.length_ratio,
        }

    @classmethod
    def from_description(cls, description: dict) -> "Translator":
        """The untrained translator that `describe` described."""
        source, target = Codec.from_json(description["source"]), Codec.from_json(description["target"])
        model = Seq2Seq(
            ModelConfig(**description["model"]),
            len(source.vocabulary),
            len(target.vocabulary),
            rng=np.random.default_rng(0),
        )
        return cls(model, source, target, description["length_ratio"])

    def save(self, path: str | Path) -> None:
        """Write weights, codecs and configuration into one .npz file. Raises UserError (disk full, ...)."""
        save_checkpoint(path, self.model.state(), {"kind": "translator", **self.describe()})

    @classmethod
    def load(cls, path: str | Path) -> "Translator":
        """Read a file that `save` wrote, or the best model of a run folder.

        Raises UserError when it is missing, damaged, or something else.
        """
        path = Path(path)
        if path.is_dir():
            path = path / "best.npz"
        arrays, meta = load_checkpoint(path)
        if meta.get("kind") != "translator":
            raise UserError(f"{path} holds no translator but {meta.get('kind', 'something else')!r}")
        try:
            translator = cls.from_description(meta)
            translator.model.to(dtype=np.result_type(*arrays.values()))  # that of the saved weights
            translator.model.load_state(arrays)
        except (KeyError, TypeError, ValueError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else error
            raise UserError(f"{path} does not fit its own description: {reason}") from None
        return translator
