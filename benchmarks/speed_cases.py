"""What is measured in speed.py: models, and the batches that they are trained on.

Random tokens without any padding for the sizes; random lengths for the deep model; and batches of
real data, cut as training cuts them.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from minis2s.data import Batch, Codec, Example, encode_pairs, make_batch, make_batches, read_pairs, tokenizer
from minis2s.models import ModelConfig


class Case(NamedTuple):
    """A model and its batches."""

    name: str
    config: ModelConfig
    V_source: int
    V_target: int
    batches: list[Batch]

    def tokens(self) -> int:
        """Target tokens of one pass over the batches, EOS included, padding not."""
        return int(sum(batch.tgt_mask.sum() for batch in self.batches))

    def like_the_book(self) -> bool:
        """Whether the engine of speed_book.py has this model: one LSTM layer one way, and no padding."""
        c = self.config
        plain = c.cell == "lstm" and c.layers == 1 and not c.bidirectional and not c.dropout
        return plain and not any(is_ragged(batch) for batch in self.batches)


def is_ragged(batch: Batch) -> bool:
    return not (batch.src_mask.all() and batch.tgt_mask.all())


SIZES = {  # name: (V, E, H, B, T)
    "small": (64, 64, 128, 64, 30),
    "medium": (64, 128, 256, 64, 30),
    "long": (64, 64, 256, 16, 50),
    "words": (8000, 128, 256, 64, 20),
    "large": (8000, 256, 512, 64, 20),
}
VARIANTS = {  # name: (size, options of the model, shortest sentence as a share of T)
    "gru": ("medium", {"cell": "gru"}, 1.0),
    "deep": ("medium", {"layers": 2, "bidirectional": True, "dropout": 0.25}, 0.5),
}
DATA = {  # name: (folder, tokenizers of source and target, largest vocabulary, further answers)
    "cmudict": ("cmudict_g2p", ("char", "space"), None, True),
    "tatoeba": ("tatoeba_fra", ("word", "word"), 8000, False),
}
NAMES = (*SIZES, *VARIANTS, *DATA)
BATCH_TOKENS = 1000  # of the real data
REAL_BATCHES = 20


def make_case(name: str, *, bidirectional: bool = False, data: Path | None = None) -> Case | None:
    """The case of that name; None, with a line that says so, where its data are absent."""
    if name in DATA:
        return real_case(name, data, bidirectional)
    size, options, shortest = VARIANTS.get(name, (name, {}, 1.0))
    V, E, H, B, T = SIZES[size]
    config = ModelConfig(**{"bidirectional": bidirectional, "embed": E, "hidden": H, **options})
    rng = np.random.default_rng(0)
    batches = [random_batch(rng, V, B, round(shortest * T), T) for _ in range(2 if H > 256 else 4)]
    return Case(name, config, V, V, batches)


def random_batch(rng: np.random.Generator, V: int, B: int, shortest: int, longest: int) -> Batch:
    """B pairs of random tokens; both lengths, EOS included, evenly between the two bounds."""

    def sentence() -> list[int]:
        return rng.integers(4, V, rng.integers(shortest, longest + 1) - 1).tolist()

    return make_batch([Example(sentence(), sentence()) for _ in range(B)])


def make_batch_like(batch: Batch, sentences: int) -> Batch:
    """A batch as long as this one, of so many sentences without padding and the token 4 alone."""
    S, T = batch.src.shape[0], batch.tgt_in.shape[0]
    return make_batch([Example([4] * (S - 1), [4] * (T - 1)) for _ in range(sentences)])


def real_case(name: str, data: Path | None, bidirectional: bool) -> Case | None:
    """The first batches of a training run on real data, of unequal lengths."""
    examples, V_source, V_target = real_examples(name, data) or ([], 0, 0)
    if not examples:
        return None
    index = make_batches(examples, batch_tokens=BATCH_TOKENS, rng=np.random.default_rng(0))[:REAL_BATCHES]
    config = ModelConfig(bidirectional=bidirectional, embed=128, hidden=256)
    return Case(name, config, V_source, V_target, [make_batch(examples, i) for i in index])


def real_examples(name: str, data: Path | None) -> tuple[list[Example], int, int] | None:
    """The examples of the training file, and the sizes of both vocabularies."""
    folder, (source_tokens, target_tokens), largest, further = DATA[name]
    path = None if data is None else data / folder / "train.tsv"
    if path is None or not path.is_file():
        wanted = f"--data DIR, with DIR/{folder}/train.tsv" if path is None else path
        print(f"\nSKIPPED: {name} needs {wanted}, which is not there\n", flush=True)
        return None
    pairs = read_pairs(path, alternatives=further)
    source = Codec.fit([pair.source for pair in pairs], tokenizer(source_tokens), largest)
    target = Codec.fit([pair.targets[0] for pair in pairs], tokenizer(target_tokens), largest)
    examples = encode_pairs(pairs, source, target, all_targets=further)
    return examples, len(source.vocabulary), len(target.vocabulary)


def encoder_name(config: ModelConfig) -> str:
    return "bi" if config.bidirectional else "uni"
