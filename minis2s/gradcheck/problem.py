"""A function at a point, in the one form that the checker works on, and how a stranger's code is called.

Whatever is checked (a pair, an Op, a layer, a model, a plain function) becomes a `Problem`: named
blocks of numbers in, a list of arrays out, and a backward pass from gradients of these to gradients of
those. Code that is not ours is called through `Guard`: it may raise, print, or take for ever.
"""

import contextlib
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

Blocks = dict[str, np.ndarray]


@dataclass
class Problem:
    """What is to be checked, and where.

    blocks: what is differentiated, by name: float64 arrays.
    forward(blocks) -> (outs, cache): outs is a list of arrays. It must not keep or change `blocks`.
    backward(douts, cache) -> (gradients, note): the gradients by block name, exactly as the code under
        test returned them (so a value may be of any type); a note where their number is wrong, else "".
        douts has an array or None for each of the outs.
    out_names: names of the outs, for messages.
    axes: for a block or an out, the letters of its axes ("TBD"); a missing one is fine.
    """

    name: str
    blocks: Blocks
    forward: Callable[[Blocks], tuple[list[np.ndarray], object]]
    backward: Callable[[list, object], tuple[dict[str, object], str]]
    out_names: list[str] = field(default_factory=list)
    axes: dict[str, str] = field(default_factory=dict)
    put: Callable[[Blocks], None] = lambda blocks: None  # of a layer: these are its weights again


class Misbehaved(BaseException):
    """The code under test did something that ends the check; the message is one clear sentence.

    seen: what was seen, as every hint level may tell it. more: why, and what to do, with its punctuation.
    No ordinary Exception: it must pass through a student's own `except Exception`.
    """

    def __init__(self, seen: str, more: str = ""):
        super().__init__(seen + more)
        self.seen, self.more = seen, more

    @property
    def final(self) -> bool:
        """Whether other inputs are not worth a try: the time is over, or the code ends the program."""
        return isinstance(self, TooSlow) or isinstance(self.__cause__, SystemExit)


class TooSlow(Misbehaved):
    """Its time was over; whether its gradients are right is not known."""


class Ear:
    """Stands in for sys.stdout while a stranger's code runs: counts what is printed and drops it.

    Code may keep it for longer than that (a thread that redirects sys.stdout and puts this back in the end;
    a second check in another thread): once it no longer listens, it hands all on to the stream behind it.
    """

    encoding, errors, closed = "utf-8", "strict", False

    def __init__(self, behind):
        self.behind = behind
        self.listening = True
        self.heard = 0  # characters

    def write(self, text: str) -> int:
        if not self.listening:
            return self.behind.write(text)
        self.heard += len(text)
        return len(text)

    def writelines(self, texts) -> None:
        for text in texts:
            self.write(text)

    def flush(self) -> None:
        if not self.listening:
            self.behind.flush()

    def close(self) -> None:
        """Nobody's to close."""

    def isatty(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def stop(self) -> None:
        """Listen no more, and put the stream behind back, unless another check listens there by now."""
        self.listening = False
        if not (isinstance(sys.stdout, Ear) and sys.stdout.listening):
            sys.stdout = that_counts(self.behind)


def that_counts(stream):
    """The stream itself, or what lies behind an Ear that no longer listens."""
    while isinstance(stream, Ear) and not stream.listening:
        stream = stream.behind
    return stream


class Guard:
    """Calls code that is not ours: its prints are swallowed and counted, its errors become one sentence.

    seconds: the time that all calls together may take. On Unix, in the main thread, a call that goes on
    beyond it is interrupted; elsewhere the limit is seen when the call comes back.
    """

    def __init__(self, seconds: float):
        self.end = time.monotonic() + seconds
        self.seconds = seconds
        self.printed = 0  # characters

    @contextlib.contextmanager
    def watching(self, what: str) -> Iterator[None]:
        """Everything inside is the stranger's doing; `what` says which of the functions is called."""
        left = self.end - time.monotonic()
        if left <= 0:
            raise TooSlow(self.too_long(what))
        ear = Ear(that_counts(sys.stdout))
        sys.stdout = ear
        try:
            with self.alarm(left, what), np.errstate(all="ignore"):
                yield
        except (Misbehaved, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise Misbehaved(*describe_error(what, error)) from error
        finally:
            ear.stop()
            self.printed += ear.heard

    @contextlib.contextmanager
    def alarm(self, seconds: float, what: str) -> Iterator[None]:
        if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
            yield
            return

        def ring(signum, frame):
            raise TooSlow(self.too_long(what))

        before = signal.signal(signal.SIGALRM, ring)
        timer = signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)  # and again, should it be swallowed
        try:
            yield
        finally:
            signal.signal(signal.SIGALRM, before)
            signal.setitimer(signal.ITIMER_REAL, *timer)  # somebody else's, as it was

    def too_long(self, what: str) -> str:
        return (
            f"{what} is too slow: the check was stopped after {self.seconds:g} seconds; look for a loop that "
            "never ends, or allow more seconds"
        )


def describe_error(what: str, error: BaseException) -> tuple[str, str]:
    """One sentence: what was called, what it raised, at which line of the caller's own file, and its notes.

    In two parts, as `Misbehaved` takes them: what was seen, and what to do.
    """
    place, text = "", message_of(error)
    ours = __file__.rsplit("gradcheck", 1)[0]
    for frame in traceback.extract_tb(error.__traceback__):
        if not frame.filename.startswith(ours) and "site-packages" not in frame.filename and frame.lineno:
            is_cell = "ipykernel" in frame.filename or frame.filename.startswith("<ipython")
            file = "a notebook cell" if is_cell else Path(frame.filename).name  # "<stdin>" as it is
            place = f" at line {frame.lineno} of {file}"
            if frame.line and not (text and text in frame.line):
                place += f" ({frame.line.strip()[:80]})"
    if isinstance(error, SystemExit):
        return f"{what} ends the program (SystemExit){place}", ": a function must return its result"
    notes = "".join(f"; {' '.join(str(note).split())[:300]}" for note in getattr(error, "__notes__", ()))
    return f"{what} raised {type(error).__name__}{place}: {text or 'no message'}{notes}", ""


def message_of(error: BaseException) -> str:
    """The text of an error in one line; "" where there is none, or its __str__ raises, too."""
    try:
        return " ".join(str(error).split())[:200]
    except Exception:  # noqa: BLE001 -- a stranger's __str__ may raise anything
        return ""


def copied(arrays: list) -> list:
    """Arrays, some of them perhaps None, for code that may write into what it is given."""
    return [None if a is None else a.copy() for a in arrays]


# -- nested results ------------------------------------------------------------------------------


def leaves(x) -> list:
    """The items inside nested tuples, lists and dictionaries, in order; None counts as an item, and so does
    a list of nothing but numbers, which stands for an array."""
    if isinstance(x, tuple | list) and not all_numbers(x):
        return [leaf for item in x for leaf in leaves(item)]
    if isinstance(x, dict):
        return [leaf for item in x.values() for leaf in leaves(item)]
    return [x]


def all_numbers(x) -> bool:
    """Is it a list, perhaps of lists, of nothing but Python numbers?"""
    return isinstance(x, list) and bool(x) and all(isinstance(i, int | float) or all_numbers(i) for i in x)


def like(x, items: list):
    """`items` put back into the nesting of x; the counterpart of `leaves`."""
    return _like(x, iter(items))


def _like(x, items: Iterator):
    if isinstance(x, tuple | list) and not all_numbers(x):
        parts = [_like(item, items) for item in x]
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    if isinstance(x, dict):
        return {key: _like(item, items) for key, item in x.items()}
    return next(items)


def arrays_inside(x, seen: set[int] | None = None, depth: int = 0) -> list[np.ndarray]:
    """Every NumPy array that can be reached from a cache of any kind: containers, objects, closures."""
    seen = set() if seen is None else seen
    if id(x) in seen or depth > 8:
        return []
    seen.add(id(x))
    if isinstance(x, np.ndarray):
        return (
            [x] if x.dtype != object else [a for item in x.flat for a in arrays_inside(item, seen, depth + 1)]
        )
    if isinstance(x, tuple | list | set):
        items = list(x)
    elif isinstance(x, dict):
        items = list(x.values())
    elif callable(x) and getattr(x, "__closure__", None):
        items = [cell.cell_contents for cell in x.__closure__ if cell_is_filled(cell)]
    elif (
        hasattr(x, "__dict__")
        and not isinstance(x, type)
        and type(x).__module__ not in sys.builtin_module_names
    ):
        items = list(vars(x).values())
    else:
        return []
    return [a for item in items for a in arrays_inside(item, seen, depth + 1)]


def cell_is_filled(cell) -> bool:
    try:
        cell.cell_contents  # noqa: B018 -- reading it is the test
    except ValueError:
        return False
    return True
