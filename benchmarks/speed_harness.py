"""What every part of speed.py stands on: sides in processes of their own, that take turns at the clock.

A side is a class with a list `batches` and a method `step(batch)`. Each is made in a process of its
own, for two reasons: in one process they would share the memory allocator, and what one does to its
thresholds changes the speed of the other; and the numbers of threads are read once, when NumPy and
torch are imported. They take turns: a round is a turn of each, and who begins changes from round
to round, so whatever slows the machine down slows all of them down.
"""

import ctypes
import importlib
import importlib.metadata
import importlib.util
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minis2s.blas import BLAS_THREADS
from minis2s.cli.machine import blas_settings, usable_cores

TURN = 0.3  # seconds that a turn should last, about
PAUSE = 0.02  # seconds between two turns: idle threads go on spinning for a moment


# -- a side and its process -----------------------------------------------------------------------


class Turn(NamedTuple):
    seconds: float  # of one pass over the batches
    cpu: float  # the same, in processor time of all threads


def turn(side: Any, passes: int) -> Turn:
    start, cpu_start = time.perf_counter(), time.process_time()
    for _ in range(passes):
        for batch in side.batches:
            side.step(batch)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu_start
    return Turn(seconds / passes, cpu / passes)


def serve(connection: Connection, where: str, arguments: tuple) -> None:
    """A process with one side: answers (name of a method, arguments) until it is sent None."""
    module, _, name = where.partition(":")
    # imported by name, here: our side must run as it does without torch
    side = getattr(importlib.import_module(module), name)(*arguments)
    try:
        while (question := connection.recv()) is not None:
            method, inputs = question
            connection.send(turn(side, *inputs) if method == "turn" else getattr(side, method)(*inputs))
    except (EOFError, BrokenPipeError):
        return  # whoever asked has been stopped


class Side:
    """The other end of `serve`: Side("speed_torch:Torch", case, ..., threads=2).

    blas_threads: those inside a matrix product of NumPy. torch's are its side's own affair.
    """

    def __init__(self, where: str, *arguments: Any, blas_threads: int = 1):
        context = multiprocessing.get_context("spawn")  # a fresh interpreter, nothing inherited
        self.where = where
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, where, arguments), daemon=True)
        before = {name: os.environ.get(name) for name in BLAS_THREADS}
        os.environ.update(dict.fromkeys(BLAS_THREADS, str(blas_threads)))
        try:
            self.process.start()
        finally:
            for name, value in before.items():
                os.environ.pop(name, None) if value is None else os.environ.update({name: value})
        theirs.close()

    def ask(self, name: str, *inputs: Any) -> Any:
        """Raises SystemExit when the process has ended (it has said why)."""
        try:
            self.connection.send((name, inputs))
            return self.connection.recv()
        except (EOFError, BrokenPipeError):
            raise SystemExit(f"speed: the side {self.where} has ended; its error is above") from None

    def close(self) -> None:
        self.connection.send(None)
        self.process.join()


# -- the clock ------------------------------------------------------------------------------------


def take_turns(sides: dict[str, Side], rounds: int) -> dict[str, list[Turn]]:
    """A turn of every side, `rounds` times, after a pass each to warm up; closes them all.

    Every side makes as many passes in a turn as fill `TURN` seconds.
    """
    passes = {}
    for name, side in sides.items():
        side.ask("turn", 1)
        passes[name] = max(1, round(TURN / side.ask("turn", 1).seconds))
    spent: dict[str, list[Turn]] = {name: [] for name in sides}
    names = list(sides)
    for n in range(rounds):
        for name in names[n % len(names) :] + names[: n % len(names)]:
            time.sleep(PAUSE)
            spent[name].append(sides[name].ask("turn", passes[name]))
    for side in sides.values():
        side.close()
    return spent


def median(turns: Sequence[Turn]) -> float:
    """The median seconds of a pass."""
    return statistics.median(t.seconds for t in turns)


class Ratio(NamedTuple):
    """Of two sides, round by round."""

    low: float  # lower quartile
    median: float
    high: float  # upper quartile

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def ratio(a: Sequence[Turn], b: Sequence[Turn], clock: str = "seconds") -> Ratio:
    """The time of `a` over that of `b`. clock "cpu": in processor time, which knows of no waiting."""
    pairs = [getattr(x, clock) / getattr(y, clock) for x, y in zip(a, b, strict=True)]
    return Ratio(*(float(q) for q in np.quantile(pairs, (0.25, 0.5, 0.75))))


def waited(turns: Sequence[Turn]) -> float:
    """The share of its time that a side of one thread had no processor."""
    wall, cpu = np.sum(turns, axis=0)
    return max(0.0, 1 - float(cpu / wall))


# -- tables ---------------------------------------------------------------------------------------


def row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def head(*cells: str, left: int = 1) -> str:
    """The first two lines of a table; the first `left` columns hold words, the others figures."""
    return row(*cells) + "\n|" + "---|" * left + "--:|" * (len(cells) - left)


# -- the machine ----------------------------------------------------------------------------------


def machine() -> dict[str, object]:
    """What the figures depend on."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    torch = importlib.util.find_spec("torch") is not None
    return {
        "processor": processor(),
        "cores": usable_cores(),
        "threads of one core": siblings(),
        "load before the start": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": importlib.metadata.version("torch") if torch else None,
        "blas of numpy": f"{blas['name']} {blas['version']}",
        "its kernel": openblas_kernel(),
        **blas_settings(),
    }


def processor() -> str:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor()
    lines = (line.partition(":") for line in info.read_text().splitlines())
    fields = {key.strip(): value.strip() for key, _, value in lines}
    return ", ".join(f"{key} {fields[key]}" for key in ("model name", "cpu family", "model") if key in fields)


def siblings() -> str | None:
    """Which of the system's processors are threads of one core: those slow each other down unseen."""
    lists = Path("/sys/devices/system/cpu").glob("cpu[0-9]*/topology/thread_siblings_list")
    return "; ".join(sorted({path.read_text().strip() for path in lists})) or None


def openblas_kernel() -> str | None:
    """The processor that NumPy's own OpenBLAS takes this one for; None when NumPy has another BLAS."""
    package = Path(np.__file__).parent
    for folder in (package.with_name("numpy.libs"), package / ".dylibs"):
        for library in folder.glob("*openblas*"):
            name = ctypes.CDLL(str(library)).scipy_openblas_get_corename64_
            name.restype = ctypes.c_char_p
            return name().decode()
    return None
