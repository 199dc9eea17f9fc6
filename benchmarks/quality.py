"""How good are trained models? Trains on real data for a given time and scores the test file.

    python benchmarks/quality.py g2p --data DIR --minutes 20          English spelling to phonemes
    python benchmarks/quality.py translation --data DIR --minutes 60  English to French

DIR holds the folders cmudict_g2p and tatoeba_fra, each with train.tsv, dev.tsv and test.tsv: a
source and one or several targets a line (benchmarks/README.md says where they come from). A table goes to the screen and all
figures into RUN/quality.json. Training uses train.tsv only; dev.tsv picks the best checkpoint;
test.tsv is read once, at the end.
"""

import argparse
import os
import platform
import sys
import time
from pathlib import Path

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")  # the workers are the threads; to be set before NumPy is imported

import numpy as np

from minis2s.backend import keep_freed_memory
from minis2s.data import merge_sources, read_pairs
from minis2s.errors import UserError
from minis2s.files import write_json
from minis2s.models import ModelConfig
from minis2s.train.config import TrainConfig
from minis2s.train.loop import Trainer
from minis2s.train.metrics import score
from minis2s.train.translator import Translator

SETTINGS = {
    "g2p": {
        "folder": "cmudict_g2p",
        "alternatives": True,
        "tokenizers": ("char", "space"),
        "vocabulary": None,
        "metric": "g2p",
        "model": ModelConfig(layers=2, embed=128, hidden=256, attention="general", dropout=0.25),
        "train": {"batch_tokens": 1500, "lr": 0.002, "evaluations": 10},
        "length_penalty": 0.0,
    },
    "translation": {
        "folder": "tatoeba_fra",
        "alternatives": False,
        "tokenizers": ("word", "word"),
        "vocabulary": 8_000,
        "metric": "bleu",
        "model": ModelConfig(layers=1, embed=256, hidden=256, attention="general", dropout=0.2),
        "train": {"batch_tokens": 1500, "lr": 0.002, "evaluations": 10, "smoothing": 0.1},
        "length_penalty": 0.6,
    },
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", choices=SETTINGS)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hidden", type=int)
    parser.add_argument("--layers", type=int)
    parser.add_argument("--dropout", type=float)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds the data folders")
    parser.add_argument("--out", type=Path, help="run folder (default: runs/quality-TASK-MINUTES)")
    parser.add_argument("--resume", action="store_true")
    arguments = parser.parse_args()
    setting = SETTINGS[arguments.task]
    folder = arguments.data / setting["folder"]
    if not folder.is_dir():
        raise UserError(f"{folder} is absent: --data names the folder that holds {setting['folder']}")
    out = arguments.out or Path("runs") / f"quality-{arguments.task}-{arguments.minutes:g}"
    out.mkdir(parents=True, exist_ok=True)

    pairs = {
        split: read_pairs(folder / f"{split}.tsv", alternatives=setting["alternatives"])
        for split in ("train", "dev", "test")
    }
    dev, test = merge_sources(pairs["dev"]), merge_sources(pairs["test"])
    model = setting["model"]
    changed = {
        k: getattr(arguments, k) for k in ("hidden", "layers", "dropout") if getattr(arguments, k) is not None
    }
    model = ModelConfig(**{**vars(model), **changed})
    source_tokenizer, target_tokenizer = setting["tokenizers"]
    translator = Translator.for_pairs(
        pairs["train"],
        model,
        source_tokenizer=source_tokenizer,
        target_tokenizer=target_tokenizer,
        max_vocabulary=setting["vocabulary"],
        seed=arguments.seed,
    )
    print(translator.model)
    config = TrainConfig(
        epochs=None,
        minutes=arguments.minutes,
        seed=arguments.seed,
        threads=arguments.threads,
        **setting["train"],
    )
    keep_freed_memory()
    trainer = Trainer(translator, pairs["train"], dev, config, out=out)
    if arguments.resume:
        trainer.load()
    trainer.run()
    last = trainer.history[-1]
    print(
        f"{last['seconds'] / 60:.1f} minutes, {last['epoch']:.1f} epochs, {last['step']} steps, "
        f"{last['tokens'] / last['seconds']:,.0f} target tokens/s (evaluations included)"
    )

    figures = {
        "task": arguments.task,
        "minutes": arguments.minutes,
        "threads": arguments.threads,
        "weights": translator.model.count(),
        "model": vars(model),
        "training": vars(config),
        "history": trainer.history,
        "machine": {
            "cores": os.cpu_count(),
            "processor": platform.processor() or platform.machine(),
            "numpy": np.__version__,
            "blas": np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"],
            "OPENBLAS_NUM_THREADS": os.environ["OPENBLAS_NUM_THREADS"],
            "load": os.getloadavg(),
        },
        "test": {},
    }
    references = [pair.targets for pair in test]
    for beam in (1, 5):
        start = time.perf_counter()
        penalty = setting["length_penalty"] if beam > 1 else 0.0
        found = translator.translate([pair.source for pair in test], beam=beam, length_penalty=penalty)
        seconds = time.perf_counter() - start
        texts = [best.text for best, *_ in found]
        metrics = score(
            texts,
            references,
            kind=setting["metric"],
            tokenize=translator.target.tokenizer.tokenize,
            rng=np.random.default_rng(0),
        )
        name = "greedy" if beam == 1 else f"beam {beam}"
        print(f"{name:7} ({seconds:.0f} s): " + ", ".join(map(str, metrics.values())))
        figures["test"][name] = {
            "seconds": seconds,
            **{key: metric.to_json() for key, metric in metrics.items()},
        }
    write_json(out / "quality.json", figures)
    return 0


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except UserError as error:
        print(f"quality.py: error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
