"""The two things of a training run that only a terminal has: a progress bar, and Ctrl-C."""

import math
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


def progress_bar(total: float, done: int, quiet: bool) -> tqdm:
    """A bar over `total` steps (inf: not known yet), of which `done` are made; it tells the time left."""
    interval = 0.1 if sys.stderr.isatty() else 10  # in seconds; every redrawing is a line of a log file
    return tqdm(
        total=None if math.isinf(total) else total,
        initial=done,
        unit="step",
        disable=quiet,
        dynamic_ncols=True,
        mininterval=interval,
    )


@contextmanager
def stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """Within it, the first Ctrl-C only makes the yielded function true; a second one interrupts.

    So a step is never cut in the middle. Outside the main thread signals cannot be caught, and
    Ctrl-C keeps its usual meaning.
    """
    asked = threading.Event()
    in_main_thread = threading.current_thread() is threading.main_thread()
    # a script's background job ignores Ctrl-C: leave it so
    if not in_main_thread or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield asked.is_set
        return

    def handler(signum, frame):
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = signal.signal(signal.SIGINT, handler)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)
