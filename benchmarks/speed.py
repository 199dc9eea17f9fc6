"""How many target tokens per second a training step does, beside torch eager.

    python benchmarks/speed.py [--threads 1 2] [--cases small words] [--rounds 15] [--json FILE]

Both train the same model on the same batches, each in a process of its own, and take turns: a round
is a turn of each, and who begins changes from round to round, so whatever slows the machine down
slows down both. Before that they must show the same loss and gradients for the same weights.
"""

import os

# Our threads each take a share of the batch, with BLAS on one thread in each of them; torch has its
# own setting. NumPy's BLAS reads this once, when NumPy is imported.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import ctypes
import importlib.metadata
import json
import math
import multiprocessing
import platform
import statistics
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from minis2s.backend import keep_freed_memory
from minis2s.data import Batch, Codec, Example, encode_pairs, make_batch, make_batches, read_pairs, tokenizer
from minis2s.models import ModelConfig, Seq2Seq
from minis2s.optim import Adam, clip_global_norm
from minis2s.train.parallel import Workers

LR, MAX_NORM = 0.001, 5.0
TURN = 0.3  # seconds that a turn should last, about
PAUSE = 0.02  # seconds between two turns: idle threads go on spinning for a moment
TOLERANCE = 1e-4  # relative, of float32 gradients


# -- the cases ----------------------------------------------------------------------------------


class Case(NamedTuple):
    """A model and its batches. E is the embedding's size, H that of decoder states and memory."""

    name: str
    bidirectional: bool
    V_source: int
    V_target: int
    E: int
    H: int
    batches: list[Batch]

    def tokens(self) -> int:
        """Target tokens of one pass over the batches, EOS included, padding not."""
        return int(sum(batch.tgt_mask.sum() for batch in self.batches))


SIZES = {  # name: (V, E, H, B, T)
    "small": (64, 64, 128, 64, 30),
    "medium": (64, 128, 256, 64, 30),
    "words": (8000, 128, 256, 64, 20),
}


def random_case(name: str, bidirectional: bool) -> Case:
    """Random tokens; every source and every target is T long with its EOS, so nothing is padding."""
    V, E, H, B, T = SIZES[name]
    rng = np.random.default_rng(0)

    def sentence() -> list[int]:
        return rng.integers(4, V, T - 1).tolist()

    batches = [make_batch([Example(sentence(), sentence()) for _ in range(B)]) for _ in range(4)]
    return Case(name, bidirectional, V, V, E, H, batches)


def cmudict_case(path: Path, bidirectional: bool) -> Case:
    """Words and their phonemes, in batches as training cuts them: of unequal lengths, 1000 tokens each."""
    pairs = read_pairs(path, alternatives=True)
    source = Codec.fit([pair.source for pair in pairs], tokenizer("char"))
    target = Codec.fit([pair.targets[0] for pair in pairs], tokenizer("space"))
    examples = encode_pairs(pairs, source, target, all_targets=True)
    index = make_batches(examples, batch_tokens=1000, rng=np.random.default_rng(0))[:40]
    batches = [make_batch(examples, i) for i in index]
    return Case("cmudict", bidirectional, len(source.vocabulary), len(target.vocabulary), 128, 256, batches)


# -- the two sides, each in its process ---------------------------------------------------------


class Ours:
    """The training step of minis2s: the lines of Trainer.update. The torch side is in speed_torch.py."""

    def __init__(self, case: Case, threads: int):
        config = ModelConfig(bidirectional=case.bidirectional, embed=case.E, hidden=case.H)
        self.model = Seq2Seq(config, case.V_source, case.V_target, rng=np.random.default_rng(1))
        keep_freed_memory()  # as the command line does
        self.workers = Workers(self.model, threads)
        self.parameters = self.model.parameters()
        self.optimizer = Adam(self.parameters, LR)
        self.batches = case.batches

    def step(self, batch: Batch) -> None:
        loss, _ = self.workers.gradient(batch)
        float(loss)
        clip_global_norm(self.parameters, MAX_NORM)
        self.optimizer.step()

    def first(self) -> tuple[dict[str, np.ndarray], float, dict[str, np.ndarray]]:
        """Weights, loss and gradients on the first batch."""
        loss, _ = self.workers.gradient(self.batches[0])
        return self.model.state(), float(loss), {name: p.grad for name, p in self.parameters.items()}


def turn(side: Any, passes: int) -> tuple[float, float]:
    """Passes over all batches -> (seconds, seconds of processor time of all threads)."""
    start, cpu_start = time.perf_counter(), time.process_time()
    for _ in range(passes):
        for batch in side.batches:
            side.step(batch)
    return time.perf_counter() - start, time.process_time() - cpu_start


def serve(connection: Connection, torch: bool, arguments: tuple) -> None:
    """A process with one side: answers (function name, arguments) until it is sent None."""
    if torch:
        from speed_torch import Torch  # here, since our side must run as it does without torch

        side = Torch(*arguments)
    else:
        side = Ours(*arguments)
    while (question := connection.recv()) is not None:
        name, inputs = question
        connection.send(turn(side, *inputs) if name == "turn" else getattr(side, name)(*inputs))


class Side:
    """The other end of `serve`."""

    def __init__(self, *arguments: Any, torch: bool):
        context = multiprocessing.get_context("spawn")  # a fresh interpreter, nothing inherited
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, torch, arguments), daemon=True)
        self.process.start()
        theirs.close()

    def ask(self, name: str, *inputs: Any) -> Any:
        self.connection.send((name, inputs))
        return self.connection.recv()

    def close(self) -> None:
        self.connection.send(None)
        self.process.join()


# -- the clock ----------------------------------------------------------------------------------


class Result(NamedTuple):
    case: str
    encoder: str  # "bi" or "uni"
    V: int  # of the target
    E: int
    H: int
    threads: int
    tokens: int  # target tokens of a turn
    seconds: list[float]  # of our turns, one a round
    torch_seconds: list[float]
    waited: float  # share of our time in which we had no processor; nan where threads wait for each other

    def tokens_per_second(self) -> float:
        return self.tokens / statistics.median(self.seconds)

    def torch_tokens_per_second(self) -> float:
        return self.tokens / statistics.median(self.torch_seconds)

    def ratios(self) -> tuple[float, float, float]:
        """Our speed over torch's, round by round: lower quartile, median, upper quartile."""
        pairs = [b / a for a, b in zip(self.seconds, self.torch_seconds, strict=True)]
        low, median, high = np.quantile(pairs, (0.25, 0.5, 0.75))
        return float(low), float(median), float(high)

    def row(self) -> str:
        low, median, high = self.ratios()
        waited = "" if math.isnan(self.waited) else f"{100 * self.waited:.0f} %"
        return (
            f"| {self.case} | {self.encoder} | {self.V} | {self.E} | {self.H} | {self.threads} "
            f"| {self.tokens_per_second():,.0f} | {self.torch_tokens_per_second():,.0f} "
            f"| {median:.2f} | {low:.2f} to {high:.2f} | {waited} |"
        )


HEAD = (
    "| case | encoder | V | E | H | threads | minis2s, tokens/s | torch, tokens/s "
    "| ratio | quartiles | waited |\n|---|---|--:|--:|--:|--:|--:|--:|--:|---|--:|"
)


def measure(case: Case, threads: int, rounds: int, *, fused: bool) -> Result:
    """Both sides in turns, after a pass each to warm up.

    Raises SystemExit when the two do not compute the same.
    """
    ours = Side(case, threads, torch=False)
    weights, loss, gradients = ours.ask("first")
    theirs = Side(case, threads, weights, LR, MAX_NORM, fused, torch=True)
    errors = theirs.ask("compare", loss, gradients)
    worst = max(errors, key=errors.get)
    if not errors[worst] <= TOLERANCE:
        raise SystemExit(f"speed: the two models differ: {worst}, relative error {errors[worst]:.1e}")

    theirs.ask("turn", 1)
    warm, _ = ours.ask("turn", 1)
    passes = max(1, round(TURN / warm))
    spent: dict[Side, list[tuple[float, float]]] = {ours: [], theirs: []}
    for n in range(rounds):
        for side in (ours, theirs) if n % 2 == 0 else (theirs, ours):
            time.sleep(PAUSE)
            spent[side].append(side.ask("turn", passes))
    ours.close()
    theirs.close()
    wall, cpu = np.sum(spent[ours], axis=0)
    return Result(
        case.name,
        "bi" if case.bidirectional else "uni",
        case.V_target,
        case.E,
        case.H,
        threads,
        case.tokens() * passes,
        [seconds for seconds, _ in spent[ours]],
        [seconds for seconds, _ in spent[theirs]],
        max(0.0, 1 - float(cpu / wall)) if threads == 1 else math.nan,
    )


# -- the machine --------------------------------------------------------------------------------


def machine() -> dict[str, object]:
    """What the figures depend on."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "load before the start": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": importlib.metadata.version("torch"),
        "blas of numpy": f"{blas['name']} {blas['version']}",
        "its kernel": openblas_kernel(),
        "OPENBLAS_NUM_THREADS": os.environ["OPENBLAS_NUM_THREADS"],
        "OPENBLAS_CORETYPE": os.environ.get("OPENBLAS_CORETYPE"),
    }


def processor() -> str:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor()
    lines = (line.partition(":") for line in info.read_text().splitlines())
    fields = {key.strip(): value.strip() for key, _, value in lines}
    return ", ".join(f"{key} {fields[key]}" for key in ("model name", "cpu family", "model") if key in fields)


def openblas_kernel() -> str | None:
    """The processor that NumPy's own OpenBLAS takes this one for; None when NumPy has another BLAS."""
    package = Path(np.__file__).parent
    for folder in (package.with_name("numpy.libs"), package / ".dylibs"):
        for library in folder.glob("*openblas*"):
            name = ctypes.CDLL(str(library)).scipy_openblas_get_corename64_
            name.restype = ctypes.c_char_p
            return name().decode()
    return None


# -- the command --------------------------------------------------------------------------------


def main() -> None:
    names = [*SIZES, "cmudict"]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="one or more numbers (1 2)")
    parser.add_argument("--cases", nargs="+", choices=names, default=names, help="which of them (all)")
    parser.add_argument("--encoders", nargs="+", choices=["uni", "bi"], default=["uni", "bi"], help="(both)")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each side, per row (15)")
    parser.add_argument(
        "--data",
        type=Path,
        help="a train.tsv of words and phonemes, for the case cmudict (without it that case is left out)",
    )
    parser.add_argument("--plain-adam", action="store_true", help="torch's default Adam, not its fused one")
    parser.add_argument("--json", type=Path, help="write everything that was measured to this file")
    options = parser.parse_args()

    cases = options.cases
    if "cmudict" in cases and (options.data is None or not options.data.is_file()):
        print(f"case cmudict is left out: --data should name its train.tsv, got {options.data}")
        cases = [name for name in cases if name != "cmudict"]
    state = machine()
    print("\n".join(f"{name}: {value}" for name, value in state.items()))
    print(f"\n{HEAD}", flush=True)
    results = []
    for name in cases:
        for encoder in options.encoders:
            bidirectional = encoder == "bi"
            if name == "cmudict":
                case = cmudict_case(options.data, bidirectional)
            else:
                case = random_case(name, bidirectional)
            for threads in options.threads:
                result = measure(case, threads, options.rounds, fused=not options.plain_adam)
                low, median, high = result.ratios()
                results.append(
                    result._asdict()
                    | {"ratio": median, "ratio_quartiles": [low, high]}
                    | {"tokens_per_second": result.tokens_per_second()}
                    | {"torch_tokens_per_second": result.torch_tokens_per_second()}
                )
                print(result.row(), flush=True)
    if options.json is not None:
        report = {"machine": state, "torch_adam_fused": not options.plain_adam, "results": results}
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
