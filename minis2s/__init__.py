"""minis2s: a from-scratch sequence-to-sequence engine whose every backward pass can be read.

All public names are here, flat: `from minis2s import LSTM, Trainer, load_task`. Each is imported
when it is first used, so that `import minis2s` alone does not load NumPy: the command line has to
choose the threads of NumPy's matrix products before that.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for editors and type checkers; `HOMES` below is what happens at run time
    from minis2s import data, decode, functional, gradcheck, models, nn, optim, schedules, trace, train
    from minis2s.backend import array_module, to_numpy, xp_of
    from minis2s.data import (
        BOS,
        EOS,
        PAD,
        UNK,
        Batch,
        CharTokenizer,
        Codec,
        Example,
        Pair,
        SpaceTokenizer,
        Task,
        Vocabulary,
        WordTokenizer,
        encode_pairs,
        load_task,
        make_batch,
        make_batches,
        merge_sources,
        read_aligned,
        read_pairs,
        write_pairs,
    )
    from minis2s.decode import Hypothesis, beam_search, exact_search, greedy, sample
    from minis2s.errors import UserError
    from minis2s.gradcheck import Report, assert_gradients, check_loss, properties
    from minis2s.models import Bridge, Decoder, Encoder, ModelConfig, Seq2Seq
    from minis2s.nn import (
        GRU,
        LSTM,
        RNN,
        Attention,
        Bidirectional,
        Dropout,
        Embedding,
        Layer,
        Linear,
        Parameter,
        Stack,
    )
    from minis2s.op import Op
    from minis2s.optim import SGD, Adam, AdamW, clip_global_norm
    from minis2s.plots import (
        gate_activations,
        nearest_tokens,
        plot_attention,
        plot_confusion,
        plot_embeddings,
        plot_gates,
        plot_gradient_norm,
        plot_history,
    )
    from minis2s.trace import Tape, load_tape
    from minis2s.train.checkpoint import load_checkpoint, save_checkpoint
    from minis2s.train.config import TrainConfig
    from minis2s.train.loop import Diverged, Trainer
    from minis2s.train.metrics import Metric, bleu, edit_distance, score, token_error_rate
    from minis2s.train.translator import Translation, Translator

__version__ = "0.1.0"

HOMES = {
    "backend": "array_module to_numpy xp_of",
    "data": """BOS EOS PAD UNK Batch CharTokenizer Codec Example Pair SpaceTokenizer Task Vocabulary
        WordTokenizer encode_pairs load_task make_batch make_batches merge_sources read_aligned read_pairs
        write_pairs""",
    "decode": "Hypothesis beam_search exact_search greedy sample",
    "errors": "UserError",
    "gradcheck": "Report assert_gradients check_loss properties",
    "models": "Bridge Decoder Encoder ModelConfig Seq2Seq",
    "nn": "GRU LSTM RNN Attention Bidirectional Dropout Embedding Layer Linear Parameter Stack",
    "op": "Op",
    "optim": "SGD Adam AdamW clip_global_norm",
    "plots": """gate_activations nearest_tokens plot_attention plot_confusion plot_embeddings plot_gates
        plot_gradient_norm plot_history""",
    "trace": "Tape load_tape",
    "train.checkpoint": "load_checkpoint save_checkpoint",
    "train.config": "TrainConfig",
    "train.loop": "Diverged Trainer",
    "train.metrics": "Metric bleu edit_distance score token_error_rate",
    "train.translator": "Translation Translator",
}
MODULES = ("data", "decode", "functional", "gradcheck", "models", "nn", "optim", "schedules", "trace", "train")
HOME = {name: module for module, names in HOMES.items() for name in names.split()}

__all__ = [
    "BOS",
    "EOS",
    "GRU",
    "LSTM",
    "PAD",
    "RNN",
    "SGD",
    "UNK",
    "Adam",
    "AdamW",
    "Attention",
    "Batch",
    "Bidirectional",
    "Bridge",
    "CharTokenizer",
    "Codec",
    "Decoder",
    "Diverged",
    "Dropout",
    "Embedding",
    "Encoder",
    "Example",
    "Hypothesis",
    "Layer",
    "Linear",
    "Metric",
    "ModelConfig",
    "Op",
    "Pair",
    "Parameter",
    "Report",
    "Seq2Seq",
    "SpaceTokenizer",
    "Stack",
    "Tape",
    "Task",
    "TrainConfig",
    "Trainer",
    "Translation",
    "Translator",
    "UserError",
    "Vocabulary",
    "WordTokenizer",
    "__version__",
    "array_module",
    "assert_gradients",
    "beam_search",
    "bleu",
    "check_loss",
    "clip_global_norm",
    "data",
    "decode",
    "edit_distance",
    "encode_pairs",
    "exact_search",
    "functional",
    "gate_activations",
    "gradcheck",
    "greedy",
    "load_checkpoint",
    "load_tape",
    "load_task",
    "make_batch",
    "make_batches",
    "merge_sources",
    "models",
    "nearest_tokens",
    "nn",
    "optim",
    "plot_attention",
    "plot_confusion",
    "plot_embeddings",
    "plot_gates",
    "plot_gradient_norm",
    "plot_history",
    "properties",
    "read_aligned",
    "read_pairs",
    "sample",
    "save_checkpoint",
    "schedules",
    "score",
    "to_numpy",
    "token_error_rate",
    "trace",
    "train",
    "write_pairs",
    "xp_of",
]


def __getattr__(name: str):
    if name in HOME:
        value = getattr(import_module(f"minis2s.{HOME[name]}"), name)
    elif name in MODULES:
        value = import_module(f"minis2s.{name}")
    else:
        raise AttributeError(f"module 'minis2s' has no attribute {name!r}")
    globals()[name] = value  # the next look-up does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
