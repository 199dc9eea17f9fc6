"""Running many small jobs, each in a forked child of its own: what it breaks or hangs stays there.

A child starts with everything that its parent has imported, so a job costs little more than itself.
"""

import gc
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from minis2s.errors import UserError

Job = Callable[[], dict]


class Ended(NamedTuple):
    """How a job ended: with an answer, or without one."""

    answer: dict | None  # what the job returned
    trouble: str  # why there is no answer
    output: str  # what it printed
    seconds: float


class Child(NamedTuple):
    number: int  # which job
    start: float
    limit: float
    answer: Path
    output: Path


def run_forked(jobs: Sequence[Job], workers: int, limits: Sequence[float]) -> Iterator[tuple[int, Ended]]:
    """Run the jobs, `workers` at a time; yields (number of the job, how it ended) in the order of their ends.

    limits: the seconds that each job may take; then it is killed, with all that it started.

    Raises UserError on a system that cannot fork.
    """
    if not hasattr(os, "fork"):
        raise UserError("this needs a system that can fork processes: Linux or macOS")
    running: dict[int, Child] = {}
    waiting = list(reversed(range(len(jobs))))
    with TemporaryDirectory() as folder:
        try:
            while waiting or running:
                while waiting and len(running) < workers:
                    number = waiting.pop()
                    files = Path(folder, f"{number}.json"), Path(folder, f"{number}.txt")
                    pid = start(jobs[number], *files)
                    running[pid] = Child(number, time.monotonic(), limits[number], *files)
                for pid, child in list(running.items()):
                    ended, status = os.waitpid(pid, os.WNOHANG)
                    seconds = time.monotonic() - child.start
                    if ended:
                        del running[pid]
                        yield child.number, result(child, status, seconds)
                    elif seconds > child.limit:
                        stop(pid)
                        del running[pid]
                        trouble = f"it had not ended after {child.limit:g} s"
                        yield child.number, Ended(None, trouble, text_of(child.output), seconds)
                time.sleep(0.005)
        finally:
            for pid in running:
                stop(pid)


def start(job: Job, answer: Path, output: Path) -> int:
    """Fork a child that runs the job and leaves its answer in a file; returns the child's id."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        gc.freeze()  # what the parent has is not to be walked through by each collection here
        os.setsid()  # a group of its own, so that `stop` reaches whatever it starts
        file = os.open(output, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, 1)
        os.dup2(file, 2)
        answer.write_text(json.dumps(job()))
        code = 0
    except BaseException:  # noqa: BLE001 -- the child must end here, whatever happened
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)


def stop(pid: int) -> None:
    """Kill a child and its group."""
    for kill in (os.killpg, os.kill):
        try:
            kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    os.waitpid(pid, 0)


def result(child: Child, status: int, seconds: float) -> Ended:
    output = text_of(child.output)
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        return Ended(None, f"its process was ended by {name}", output, seconds)
    if os.WEXITSTATUS(status) or not child.answer.exists():
        lines = output.strip().splitlines() or ["without a word"]
        return Ended(None, f"its process failed: {lines[-1]}", output, seconds)
    return Ended(json.loads(child.answer.read_text()), "", output, seconds)


def text_of(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
