"""Text and tasks: vocabulary, tokenizers, files of pairs, batches, ready-made tasks.

From a file to a batch: `read_pairs` -> `Codec.fit` -> `encode_pairs` -> `make_batches` ->
`make_batch`. NumPy only; nothing here knows what a model is.
"""

from minis2s.data.batching import Batch, Example, encode_pairs, make_batch, make_batches, split_batch
from minis2s.data.codec import Codec
from minis2s.data.pairs import Pair, merge_sources, read_aligned, read_pairs, write_pairs
from minis2s.data.tasks import TASK_NAMES, Task, load_task
from minis2s.data.tokenizers import CharTokenizer, SpaceTokenizer, WordTokenizer, tokenizer
from minis2s.data.vocabulary import BOS, EOS, PAD, UNK, Vocabulary
from minis2s.files import read_lines

__all__ = [
    "BOS",
    "EOS",
    "PAD",
    "TASK_NAMES",
    "UNK",
    "Batch",
    "CharTokenizer",
    "Codec",
    "Example",
    "Pair",
    "SpaceTokenizer",
    "Task",
    "Vocabulary",
    "WordTokenizer",
    "encode_pairs",
    "load_task",
    "make_batch",
    "make_batches",
    "merge_sources",
    "read_aligned",
    "read_lines",
    "read_pairs",
    "split_batch",
    "tokenizer",
    "write_pairs",
]
