"""Workers that are processes: each has a core, memory and an interpreter of its own.

Threads of one Python process take turns at everything that NumPy does not do for them, and a thread that waits
for its turn falls asleep and has to be woken: as long as a product of a small model takes. So two threads bring
nothing there, and two processes nearly the double. What they all need, weights and gradients, lies in memory
that they share; a sentence or two of a batch and a loss go through a pipe.

The processes are copies of this one (fork), so they have everything that it has: models and operations need
not be written down and read again. That is safe on Linux alone, and only while no thread of BLAS is at work:
a copy has all its locks, and none of the threads that would open them.
"""

import contextlib
import gc
import mmap
import os
import pickle
import signal
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import combinations
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any

import numpy as np

from minis2s.blas import has_one_thread
from minis2s.errors import UserError
from minis2s.models import Seq2Seq

SIGNALS = {signal.SIGINT, signal.SIGTERM}
# our ends of the pipes of this process. No copy of it may hold them, or nobody would hear that we have ended
pipes: "weakref.WeakSet[Connection]" = weakref.WeakSet()
forking = threading.Lock()


def possible(model: Seq2Seq) -> bool:
    """Whether replicas of the model may be processes.

    On Linux, where BLAS was told to use one thread (as the command line does). Not under MPI nor with weights on
    a GPU, which a copy of this process could not use; nor with weights that are parts of each other.
    """
    if sys.platform != "linux" or not has_one_thread() or "mpi4py.MPI" in sys.modules:
        return False
    arrays = [p.data for p in model.parameters().values()]
    if not all(isinstance(a, np.ndarray) for a in arrays):
        return False
    return not any(np.may_share_memory(a, b) for a, b in combinations(arrays, 2))


def in_shared_memory(array: np.ndarray) -> np.ndarray:
    """A copy that this process and those made of it later see and change together."""
    if array.size == 0:
        return array.copy()
    shared = np.frombuffer(mmap.mmap(-1, array.nbytes), array.dtype).reshape(array.shape)
    shared[...] = array
    return shared


def share_weights(model: Seq2Seq) -> None:
    """Move the weights of a model into shared memory; they stay the same `Parameter`s."""
    for parameter in model.parameters().values():
        parameter.data = in_shared_memory(parameter.data)


def unshare_weights(model: Seq2Seq) -> None:
    """Move them back: later copies of this process have weights of their own."""
    for parameter in model.parameters().values():
        parameter.data = parameter.data.copy()


def share_gradients(model: Seq2Seq) -> None:
    for parameter in model.parameters().values():
        parameter.grad = in_shared_memory(parameter.grad)


class Helper:
    """A process that answers: `ask(x)`, and later `answer()` is `function(x)`, computed there.

    It ends when it is told to (`close`), or when this process ends, however that happens.

    Raises UserError when the system allows no further process.
    """

    def __init__(self, function: Callable[[Any], Any]):
        # until the child has said what it does with them: Ctrl-C in a terminal goes to all processes at once
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            with forking:
                self.connection, theirs = Pipe()
                pipes.add(self.connection)
                sys.stdout.flush()  # or both processes would write what waits there
                sys.stderr.flush()
                try:
                    self.pid = os.fork()
                except OSError as error:
                    raise UserError(
                        f"no process can be made for a worker ({error.strerror}): try fewer (--threads)"
                    ) from None
                if self.pid == 0:
                    serve(function, theirs, before)
                theirs.close()
            self.end = weakref.finalize(self, end, self.connection, self.pid, os.getpid())
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def ask(self, question: Any) -> None:
        try:
            self.connection.send(question)
        except BrokenPipeError:
            raise self.lost() from None

    def answer(self) -> Any:
        """Raises what the function raised."""
        try:
            done, value = self.connection.recv()
        except (EOFError, ConnectionResetError):
            raise self.lost() from None
        if not done:
            raise value
        return value

    def lost(self) -> UserError:
        """The error that says that the process is no more."""
        self.end.detach()  # its number may soon be that of another process
        self.connection.close()
        how = "has ended"
        with contextlib.suppress(ChildProcessError):  # the program has waited for all its children itself
            code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            how = f"was ended by signal {-code}" if code < 0 else f"has ended with exit code {code}"
        return UserError(
            f"a worker process {how} in the middle of its work; most often the memory of the machine is full: "
            "try fewer workers (--threads) or smaller batches (--batch-tokens)"
        )

    def close(self) -> None:
        self.end()


def in_processes(function: Callable[[Any], Any], items: Sequence, count: int) -> Iterator[Any]:
    """function(item) for each of the items, in their order, computed by `count` processes made for it.

    Each begins the next item when it has answered. Raises what `Helper` does, and what the function raised.
    """
    answers: dict[int, Any] = {}
    begun = 0
    with ExitStack() as stack:
        working: dict[Connection, tuple[Helper, int]] = {}  # who is at which item
        for _ in items[:count]:
            helper = stack.enter_context(closing(Helper(function)))
            working[helper.connection] = helper, begun
            helper.ask(items[begun])
            begun += 1
        for n in range(len(items)):
            while n not in answers:
                for connection in wait(working):
                    helper, item = working.pop(connection)
                    answers[item] = helper.answer()
                    if begun < len(items):
                        working[connection] = helper, begun
                        helper.ask(items[begun])
                        begun += 1
            yield answers.pop(n)


def end(connection: Connection, pid: int, parent: int) -> None:
    """End a process of ours, whatever it is doing, and wait until it has ended."""
    if os.getpid() != parent:  # we are a copy of the process that it belongs to
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        connection.close()
        # neither is a fault: it has ended, and the program has waited for all its children itself
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def forget() -> None:
    """In a copy of this process, whoever made it: what belongs to the first one alone."""
    global forking
    forking = threading.Lock()
    for pipe in list(pipes):
        pipe.close()
    pipes.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget)


def serve(function: Callable[[Any], Any], connection: Connection, mask: set) -> None:
    """The whole life of a helper: it never returns."""
    code = 1
    try:
        gc.freeze()  # what came from the parent is not looked through: that would copy its memory
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        with contextlib.suppress(EOFError, ConnectionError):  # whoever asks has ended
            while True:
                question = connection.recv()
                answer = outcome(function, question)
                sys.stdout.flush()
                sys.stderr.flush()
                connection.send(answer)
        code = 0
    finally:
        os._exit(code)  # nothing of what the parent wanted to do at its own end


def outcome(function: Callable[[Any], Any], question: Any) -> tuple[bool, Any]:
    """(True, function(question)), or (False, what it raised)."""
    try:
        return True, function(question)
    except BaseException as error:  # noqa: BLE001 -- it is raised again by whoever asked
        where = f"In a worker process:\n{traceback.format_exc()}"
        error.add_note(where)
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # noqa: BLE001 -- an exception that cannot be sent: what it says can
            error = RuntimeError(f"{type(error).__name__}: {error}")
            error.add_note(where)
        return False, error
