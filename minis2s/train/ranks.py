"""One run on several processes, the "ranks" of MPI (mpi4py): what they say to each other.

Every rank holds the whole model and makes the same batches; it works on its share of the sentences
of each, and the gradients are summed over the ranks. All ranks then take the same step, so their
weights stay equal bit for bit and nothing else need be sent.

`Ranks.meet` is the one place where the ranks wait for each other. It carries what all must decide
alike: whether to stop, what time it is, and whether a rank has failed, so that none is waited for in
vain. `together` starts and ends the ranks of a command. A run in one process is `Alone`, for which
MPI is not even imported.
"""

import os
import signal
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

import numpy as np

from minis2s.data.batching import Batch, split_batch
from minis2s.errors import UserError
from minis2s.nn import Parameter
from minis2s.train.terminal import stop_on_interrupt

T = TypeVar("T")

# (number of processes, number of this one), as MPICH and its kin, Open MPI and MVAPICH tell them
LAUNCHED = (
    ("PMI_SIZE", "PMI_RANK"),
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"),
)
SPIN = 0.0005  # seconds of waiting without a pause; then pauses of a twentieth of the time waited
LONGEST_PAUSE = 0.05  # seconds


class Ended(Exception):
    """Rank `rank` has ended the run with exit code `code`, and says why itself."""

    def __init__(self, rank: int, code: int):
        super().__init__(f"rank {rank} ended the run with exit code {code}")
        self.rank, self.code = rank, code


class Alone:
    """The only process of a run: nobody to share with, to wait for, or to ask."""

    rank, size, local_size = 0, 1, 1

    def clock(self) -> float:
        """Seconds since some fixed moment; on all ranks the same until they meet again."""
        return time.perf_counter()

    def listen(self) -> AbstractContextManager[Callable[[], bool]]:
        """See `stop_on_interrupt`."""
        return stop_on_interrupt()

    def meet(self, *, code: int = 0, flag: bool = False) -> bool:
        """Wait for all ranks; returns whether any came with the flag.

        A `code` other than 0 ends the run: then every rank, this one too, gets `Ended` with the
        lowest rank that came with one.
        """
        return flag

    def from_first(self, make: Callable[[], T]) -> T:
        """What `make()` returns on rank 0, the only one to call it, on every rank."""
        return make()

    def gather(self, value: T) -> list[T]:
        """The `value` of every rank, in rank order, on every rank."""
        return [value]

    def share(self, batch: Batch) -> Batch | None:
        """This rank's sentences of a batch; None where there are fewer sentences than ranks."""
        return batch

    def add_up(self, parameters: Mapping[str, Parameter], loss: Any) -> Any:
        """Sum every gradient (in place) and the loss over all ranks; returns the loss.

        The ranks' numbers are added in rank order: the same number of ranks gives the same bits.
        """
        return loss

    def check_equal(self, parameters: Mapping[str, Parameter]) -> None:
        """Raises UserError where the weights of the ranks are no longer equal bit for bit."""


ALONE = Alone()


class Ranks(Alone):
    """A process among others of the same run; `comm` is their mpi4py communicator.

    All ranks must call the same methods in the same order. What a method is for stands at `Alone`.
    """

    def __init__(self, comm):
        self.comm = comm
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        self.local_size = self.size  # ranks on this machine; see `start`
        self.now = time.perf_counter()  # of rank 0, when the ranks last met
        self.asked = False  # Ctrl-C was pressed
        self.interruptible = False  # whether Ctrl-C may raise; see `handle`
        self.talking = False  # in the middle of a message: another cannot be begun
        self.flat: np.ndarray | None = None  # (size, chunk): all gradients and the loss, and some zeros
        self.parts: np.ndarray | None = None  # (size, chunk): one chunk of the sum, as each rank has it

    def clock(self) -> float:
        return self.now

    # -- signals ----------------------------------------------------------------------------------

    def handle(self, signum, frame) -> None:
        """The answer to a signal: rank 0 raises KeyboardInterrupt where that harms nobody.

        A message is never cut in the middle, nor a step. The other ranks only take a note, which
        they bring to the next training step. A second Ctrl-C is mpiexec's affair: it kills us all.
        """
        self.asked = True
        if self.interruptible:
            self.interruptible = False
            raise KeyboardInterrupt

    def handle_signals(self) -> None:
        """Obey Ctrl-C from now on, and SIGTERM, into which some versions of mpiexec turn it."""
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # a script's background job: leave it so
                signal.signal(number, self.handle)
        self.interruptible = self.rank == 0

    @contextmanager
    def listen(self) -> Iterator[Callable[[], bool]]:
        before, self.interruptible = self.interruptible, False
        yield lambda: self.asked
        self.interruptible, self.asked = before, False

    @contextmanager
    def uninterrupted(self) -> Iterator[None]:
        """Within it Ctrl-C has to wait; after an error there is nothing more to interrupt."""
        before, self.interruptible = self.interruptible, False
        yield
        self.interruptible = before
        if self.asked and before:
            self.interruptible = False
            raise KeyboardInterrupt

    # -- messages ---------------------------------------------------------------------------------

    def meet(self, *, code: int = 0, flag: bool = False) -> bool:
        came, all_came = np.array([code, flag, time.perf_counter()]), np.empty((self.size, 3))
        with self.uninterrupted():
            self.talking = True
            wait(self.comm.Iallgather(came, all_came))
            self.talking = False
            self.now = float(all_came[0, 2])
            for rank, its_code in enumerate(all_came[:, 0]):
                if its_code:
                    raise Ended(rank, int(its_code))
        return bool(all_came[:, 1].any())

    @contextmanager
    def exchange(self) -> Iterator[None]:
        """The block sends messages, once all ranks have come: one that has failed will not be waited for."""
        with self.uninterrupted():
            self.meet()
            self.talking = True
            yield
            self.talking = False

    def from_first(self, make: Callable[[], T]) -> T:
        value = make() if self.rank == 0 else None
        with self.exchange():
            return self.comm.bcast(value)

    def gather(self, value: T) -> list[T]:
        with self.exchange():
            return self.comm.allgather(value)

    def share(self, batch: Batch) -> Batch | None:
        parts = split_batch(batch, self.size)
        return parts[self.rank] if self.rank < len(parts) else None

    def add_up(self, parameters: Mapping[str, Parameter], loss: Any) -> Any:
        grads = [p.grad for p in parameters.values()]
        chunk = -(-(sum(g.size for g in grads) + 1) // self.size)
        if self.flat is None or self.flat.shape[1] != chunk or self.flat.dtype != grads[0].dtype:
            self.flat = np.zeros((self.size, chunk), dtype=grads[0].dtype)
            self.parts = np.empty_like(self.flat)
        # one long message costs less than one for each weight
        line = self.flat.reshape(-1)
        end = 0
        for grad in grads:
            start, end = end, end + grad.size
            line[start:end] = grad.reshape(-1)
        line[end] = loss
        with self.exchange():
            # each rank adds up one chunk, and all get all sums: 2 (R-1)/R of the length is sent to
            # and by each of R ranks, however many they are
            self.comm.Alltoall(self.flat, self.parts)
            total = self.parts[0]
            for part in self.parts[1:]:
                total += part
            self.comm.Allgather(total, self.flat)
        end = 0
        for grad in grads:
            start, end = end, end + grad.size
            grad[...] = line[start:end].reshape(grad.shape)
        return line[end]

    def check_equal(self, parameters: Mapping[str, Parameter]) -> None:
        # the gradients are equal by construction; what is computed from them need not be
        checksum = 0
        for p in parameters.values():
            checksum = zlib.crc32(p.data, checksum)
        found = self.gather(checksum)
        for rank in range(1, self.size):
            if found[rank] != found[0]:
                raise UserError(
                    f"the weights of rank {rank} are no longer those of rank 0: start all ranks on machines "
                    "of one kind, with the same NumPy"
                )


def wait(request) -> None:
    """Until an MPI request is done; a long wait leaves the processor to others, a short one is short."""
    start = time.perf_counter()
    while not request.Test():
        waited = time.perf_counter() - start
        if waited > SPIN:
            time.sleep(min(waited / 20, LONGEST_PAUSE))


# -- the beginning and the end ----------------------------------------------------------------------


def launched() -> tuple[int, int]:
    """(how many processes mpiexec has started, which of them this is); (1, 0) without mpiexec."""
    for size, rank in LAUNCHED:
        if size in os.environ and rank in os.environ:
            return int(os.environ[size]), int(os.environ[rank])
    return 1, 0


def start() -> Alone:
    """The ranks that mpiexec has started, or `ALONE`.

    Raises UserError when mpi4py is missing, or there is no MPI that fits it and this mpiexec.
    """
    size, _ = launched()
    if size == 1:
        return ALONE
    try:
        # heavy, and an optional extra. All messages are sent by the main thread.
        import mpi4py

        mpi4py.rc.thread_level = "funneled"
        from mpi4py import MPI
    except ImportError:
        raise UserError(
            f"mpiexec has started {size} processes, but the package mpi4py is missing: "
            'pip install "minis2s[mpi]", or start one process without mpiexec'
        ) from None
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"mpi4py finds no MPI library ({reason}): install the one that this mpiexec belongs to"
        ) from None
    comm = MPI.COMM_WORLD
    if comm.Get_size() != size:
        library = MPI.Get_library_version().splitlines()[0].split(",")[0]
        raise UserError(
            f"mpiexec has started {size} processes, but mpi4py knows of {comm.Get_size()}: it uses {library}, "
            "and mpiexec must be the one of the same MPI"
        )
    ranks = Ranks(comm)
    # counted once, here: all ranks must split the batches for as many threads
    ranks.local_size = comm.Split_type(MPI.COMM_TYPE_SHARED).Get_size()
    return ranks


def together(work: Callable[[Alone], int]) -> int:
    """`work(ranks)` on every rank; returns its exit code: the same on all, whichever rank failed.

    Whatever a rank raises ends all of them. It is raised again on one rank only, which has to say
    it; the others return.
    """
    try:
        ranks = start()
    except UserError:
        if launched()[1] > 0:  # all ranks find the same, and rank 0 says it
            return 2
        raise
    if not isinstance(ranks, Ranks):
        return work(ranks)
    ranks.handle_signals()
    error = None
    try:
        code = work(ranks)
        ranks.meet(code=code)
        return code
    except Ended as ended:
        end = ended
    except BaseException as raised:  # noqa: BLE001 -- it is raised again below
        error, code = raised, exit_code(raised)
        if ranks.talking:  # the others wait for a message that will not come
            print(f"minis2s: error: on rank {ranks.rank}: {error!r}", file=sys.stderr, flush=True)
            time.sleep(0.5)  # mpiexec has the line, but may drop it if it must end all in the same moment
            ranks.comm.Abort(code)
        ranks.interruptible = False
        try:
            ranks.meet(code=code)
        except Ended as ended:
            end = ended
    wait(ranks.comm.Ibarrier())  # all have ended their threads and progress bars: now it can be said
    if error is None or end.rank != ranks.rank:  # more than one may have failed
        return end.code
    if ranks.rank == 0 or isinstance(error, KeyboardInterrupt):
        raise error
    kind = UserError if isinstance(error, UserError) else RuntimeError
    said = str(error) if kind is UserError else f"{type(error).__name__}: {error}"
    raise kind(f"on rank {ranks.rank}: {said}") from error


def exit_code(error: BaseException) -> int:
    """The exit code with which the command line answers an error."""
    if isinstance(error, KeyboardInterrupt):
        return 130
    return 2 if isinstance(error, UserError | OSError | MemoryError) else 1
