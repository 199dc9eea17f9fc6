"""How does the cost of a training step grow with T, H, V, B, and with the number of processes?

    python benchmarks/scaling.py                       # about three minutes on an idle machine
    python benchmarks/scaling.py --rounds 9 --json FILE

A model of the cost, small enough for a sheet of paper (`work_of_step`, `work_of_sum`), gets its rates from
some sizes and is held against the measured time of others. One thread a process. The processes are
started by mpiexec, from here.
"""

import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from minis2s.cli.machine import configure_blas

if __name__ == "__main__":  # as the command line does, before NumPy is imported
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    configure_blas()

import argparse
import itertools
import json
import statistics
import subprocess
import time
from typing import NamedTuple

import numpy as np
from speed_cases import Case, random_batch
from speed_harness import machine
from speed_ours import Ours

from minis2s.models import ModelConfig
from minis2s.train.parallel import Workers
from minis2s.train.ranks import Alone, together


class Size(NamedTuple):
    """One-layer LSTM encoder and decoder with general attention; source and target have T steps."""

    T: int
    H: int
    V: int
    B: int
    E: int = 128

    def __str__(self) -> str:
        return f"T {self.T}, H {self.H}, V {self.V}, B {self.B}"


BASE = Size(T=20, H=256, V=1000, B=32)
SWEEPS = {"T": (10, 40, 80), "H": (64, 128, 512), "V": (100, 4000, 16000), "B": (8, 64, 128)}
# half of the corners of a box: every size high and low equally often, together with each other's
CORNERS = [
    Size(*(high if up else low for up, (low, high) in zip(ups, ((10, 40), (96, 384), (200, 6000), (12, 96)))))
    for ups in itertools.product((False, True), repeat=4)
    if sum(ups) % 2 == 0
]
SHARED = [BASE, BASE._replace(B=128), BASE._replace(V=8000), BASE._replace(H=512, B=128)]  # by processes
FLOAT = 4  # bytes


# -- the model ------------------------------------------------------------------------------------


def multiplications(s: Size) -> int:
    """Of all matrix products, forward and backward (each product has two more in backward)."""
    tokens = s.T * s.B
    recurrent = 2 * tokens * s.H * 4 * s.H  # encoder and decoder, four gates
    # of few symbols each is multiplied once, and the gradients are summed by symbol
    every, each = 3 * tokens * s.E, 3 * s.V * s.E + tokens * s.V
    inputs = 2 * min(every, each) * 4 * s.H
    query, scores, contexts = tokens * s.H * s.H, tokens * s.T * s.H, tokens * s.T * s.H
    combine, output = tokens * 2 * s.H * s.H, tokens * s.H * s.V
    return inputs + 3 * (recurrent + query + scores + contexts + combine + output)


def weights(s: Size) -> int:
    """How many weights the model has."""
    embeddings, lstms = 2 * s.V * s.E, 2 * (s.E + s.H + 1) * 4 * s.H
    return embeddings + lstms + s.H * s.H + 2 * s.H * s.H + s.H + s.H * s.V + s.V


def work_of_step(s: Size) -> dict[str, float]:
    """What a step on one process has to do, of each kind; a rate turns each into seconds.

    The numbers of passes over the arrays are counted in the code, to the nearest ten where there
    are many; the rate takes up what is wrong with all of them.
    """
    tokens = s.T * s.B
    arrays = 10 * s.V + 120 * s.H + 10 * s.T  # of each token: logits; gates and states; attention
    return {
        "flops": 2.0 * multiplications(s),
        "bytes": float(FLOAT * tokens * arrays),
        "weight bytes": float(FLOAT * 20 * weights(s)),  # zeroing, norm, clipping, Adam
        "loop steps": 4.0 * s.T,  # of Python: encoder and decoder, forward and backward
    }


def work_of_sum(s: Size, ranks: int) -> dict[str, float]:
    """What the sum of the gradients over the ranks adds: copies, 2 (R-1)/R of them sent, one addition."""
    if ranks == 1:
        return {"summed bytes": 0.0, "meetings": 0.0}
    passes = 2 + 2 * (ranks - 1) / ranks + 1
    return {"summed bytes": FLOAT * weights(s) * passes, "meetings": 1.0}


def fit(work: list[dict[str, float]], seconds: list[float]) -> dict[str, float]:
    """Seconds for a unit of each kind of work: least squares of the relative errors, none below zero."""
    kinds = list(work[0])
    A = np.array([[w[kind] / t for kind in kinds] for w, t in zip(work, seconds, strict=True)])
    best, best_error = np.zeros(len(kinds)), np.inf
    # few kinds: try every set of those that cost anything at all
    for used in itertools.product((False, True), repeat=len(kinds)):
        columns = np.flatnonzero(used)
        scale = A[:, columns].max(axis=0, initial=1e-300)
        x, *_ = np.linalg.lstsq(A[:, columns] / scale, np.ones(len(A)), rcond=None)
        error = np.sum((A[:, columns] / scale @ x - 1) ** 2)
        if (x >= 0).all() and error < best_error:
            best, best_error = np.zeros(len(kinds)), error
            best[columns] = x / scale
    return dict(zip(kinds, best.tolist()))


def predict(work: dict[str, float], costs: dict[str, float]) -> float:
    return sum(amount * costs[kind] for kind, amount in work.items())


# -- the clock ------------------------------------------------------------------------------------


def case_of(s: Size) -> Case:
    rng = np.random.default_rng(0)
    config = ModelConfig(bidirectional=False, embed=s.E, hidden=s.H)
    return Case(str(s), config, s.V, s.V, [random_batch(rng, s.V, s.B, s.T, s.T)])


def measure_alone(sizes: list[Size], rounds: int) -> list[float]:
    """Seconds of processor time of a step; in turns, so that a busy minute hits all sizes alike."""
    spent: list[list[float]] = [[] for _ in sizes]
    for n in range(rounds + 1):
        for s, found in zip(sizes, spent, strict=True):
            side = Ours(case_of(s))  # anew in each turn: all of them together would fill the memory
            side.step(side.batches[0])
            start, steps = time.process_time(), 0
            while steps < 2 or time.process_time() - start < 0.1:
                side.step(side.batches[0])
                steps += 1
            if n > 0:  # the first round warms up
                found.append((time.process_time() - start) / steps)
    return [statistics.median(found) for found in spent]


def measure_rank(ranks: Alone, sizes: list[Size], rounds: int) -> list[dict[str, float]]:
    """Seconds of a step and of the sum alone, and of a step in processor time (the busiest rank's)."""
    found = []
    for s in sizes:
        side = Ours(case_of(s))
        side.workers = Workers(side.model, 1, ranks)
        steps, cpu, sums = [], [], []
        for _ in range(3 * rounds):
            ranks.meet()
            start, cpu_start = time.perf_counter(), time.process_time()
            side.step(side.batches[0])
            steps.append(time.perf_counter() - start)
            cpu.append(time.process_time() - cpu_start)
            ranks.meet()
            start = time.perf_counter()
            ranks.add_up(side.parameters, 0.0)
            sums.append(time.perf_counter() - start)
        seconds = {"step": steps, "sum": sums, "processor": cpu}
        found.append({name: statistics.median(times[1:]) for name, times in seconds.items()})
        found[-1]["processor"] = max(ranks.gather(found[-1]["processor"]))
    return found


def rank_main(sizes: str, rounds: str) -> int:
    """What every process started by `measure_ranks` does; rank 0 prints the figures."""

    def work(ranks: Alone) -> int:
        found = measure_rank(ranks, [Size(*s) for s in json.loads(sizes)], int(rounds))
        if ranks.rank == 0:
            print(json.dumps(found))
        return 0

    return together(work)


def measure_ranks(ranks: int, sizes: list[Size], rounds: int) -> list[dict[str, float]] | None:
    """`measure_rank` in that many processes; None, with a line that says so, without MPI."""
    beside = Path(sys.executable).with_name("mpiexec")
    mpiexec = str(beside) if beside.exists() else shutil.which("mpiexec")
    start = [] if ranks == 1 else [mpiexec, "-n", str(ranks)]
    if ranks > 1 and mpiexec is None:
        print("SKIPPED: several processes need MPI: pip install mpi4py mpich")
        return None
    command = [*start, sys.executable, __file__, "--rank", json.dumps(sizes), str(rounds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        print(f"SKIPPED: {ranks} processes: the error is above")
        return None
    return json.loads(done.stdout)


# -- the tables -----------------------------------------------------------------------------------


def table(head: list[str], rows: list[list[str]]) -> None:
    print("\n| " + " | ".join(head) + " |\n|" + "---|" + "--:|" * (len(head) - 1))
    for row in rows:
        print("| " + " | ".join(row) + " |")


def one_process(rounds: int) -> dict:
    """Rates from the corners; then the sweeps, predicted and measured."""
    sizes = [BASE] + [BASE._replace(**{name: v}) for name, vs in SWEEPS.items() for v in vs]
    seconds = measure_alone([*CORNERS, *sizes], rounds)
    corners, swept = seconds[: len(CORNERS)], seconds[len(CORNERS) :]
    costs = fit([work_of_step(s) for s in CORNERS], corners)
    rates = [[kind, f"{1 / cost:,.3g} /s" if cost else "free"] for kind, cost in costs.items()]
    table(["kind of work", "rate"], rates)
    rows = []
    for s, found in zip(sizes, swept, strict=True):
        work = work_of_step(s)
        said = predict(work, costs)
        shares = [f"{100 * amount * costs[kind] / said:.0f} %" for kind, amount in work.items()]
        rows.append([str(s), f"{1e3 * found:.1f}", f"{1e3 * said:.1f}", f"{said / found:.2f}", *shares])
    table(["size", "measured, ms", "model, ms", "model / measured", *costs], rows)
    measured = [[*s, t] for s, t in zip([*CORNERS, *sizes], seconds, strict=True)]
    return {"costs": costs, "measured": measured}


def many_processes(costs: dict[str, float], rounds: int, counts: list[int]) -> dict:
    """The same global batch on 1, 2, ... processes; the first number above 1 calibrates the sum."""
    found = {}
    for ranks in [1, *counts]:
        result = measure_ranks(ranks, SHARED, rounds)
        if result is None:
            return {}
        found[ranks] = result
    first = counts[0]
    sums = [work_of_sum(s, first) for s in SHARED]
    sum_costs = fit(sums, [row["sum"] for row in found[first]])
    rows = []
    for n, s in enumerate(SHARED):
        for ranks in found:
            share = s._replace(B=-(-s.B // ranks))
            said = predict(work_of_step(share), costs) + predict(work_of_sum(s, ranks), sum_costs)
            row, alone = found[ranks][n], found[1][n]
            whole = predict(work_of_step(s), costs)
            times = [row["step"], row["processor"], row["sum"], said]
            gains = [alone["step"] / row["step"], alone["processor"] / row["processor"], whole / said]
            rows.append(
                [str(s), str(ranks), *(f"{1e3 * t:.1f}" for t in times), *(f"{g:.2f}" for g in gains)]
            )
    head = ["global batch", "processes", "step by the clock, ms", "its processor time", "its sum", "model"]
    head += ["gain by the clock", "in processor time", "in the model"]
    table(head, rows)
    rows = []
    for s in SHARED:
        gains = []
        for ranks in (2, 4, 8, 16):
            share = s._replace(B=-(-s.B // ranks))
            said = predict(work_of_step(share), costs) + predict(work_of_sum(s, ranks), sum_costs)
            gains.append(f"{predict(work_of_step(s), costs) / said:.1f}")
        rows.append([str(s), *gains])
    table(
        ["gain in the model, not measured, with as many processes on idle cores", "2", "4", "8", "16"], rows
    )
    return {"costs": sum_costs, "measured": found}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="turns of each size (5)")
    parser.add_argument("--processes", type=int, nargs="+", default=[2], help="numbers of them, above 1 (2)")
    parser.add_argument("--json", type=Path, help="write everything that was measured to this file")
    options = parser.parse_args()
    if options.rounds < 1 or min(options.processes) < 2:
        parser.error("--rounds must be at least 1, --processes at least 2")
    report: dict = {"machine": machine(), "rounds": options.rounds}
    print("\n".join(f"{name}: {value}" for name, value in report["machine"].items()))
    report["one process"] = one_process(options.rounds)
    report["processes"] = many_processes(report["one process"]["costs"], options.rounds, options.processes)
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--rank"]:
        sys.exit(rank_main(*sys.argv[2:]))
    main()
