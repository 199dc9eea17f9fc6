"""Part `memory` of speed.py: what a training step needs at its peak, and whether a long run grows.

The peak is that of Python's tracemalloc, to which NumPy reports its arrays, above what was there
before the step (weights, gradients, Adam's running means). Beside it stands the sum of what must
be remembered from forward to backward, counted in numbers (float32, 4 bytes) per token:

    recurrent layer, per token   4H + 2H + H    gates, h and c, tanh of c      (LSTM)
                                 3H + H + H     gates, h, what r scales        (GRU)
    its input, per token         E, or H        the embedded token, or the layer below
    attention, per target token  S + H          weights, projected query
    readout, per target token    2H + H         [context; h] and the attentional state
    loss, per target token       V              probabilities

and, with dropout, one byte for each number that may be dropped. Without padding; a ragged batch
counts with its whole rectangle, which is what our engine works on.
"""

import argparse
import gc
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from speed_cases import SIZES, Case, encoder_name, random_batch
from speed_harness import Side, head, row
from speed_ours import Ours
from speed_step import chosen_cases, describe

from minis2s.data import Batch
from minis2s.models import ModelConfig

STEPS = 1000  # of the long run
WARM = 100  # steps before the first look: the allocator has met every length by then
PER_STATE = {"lstm": 4 + 2 + 1, "gru": 3 + 1 + 1}  # numbers of size H that a recurrent layer remembers


def needed(config: ModelConfig, batch: Batch, V: int) -> int:
    """Bytes that the caches of one step must hold: the sum in the module's docstring."""
    c, (S, B), T = config, batch.src.shape, batch.tgt_in.shape[0]
    H, per_state = c.hidden, PER_STATE[c.cell]
    below = c.embed + (c.layers - 1) * H  # the inputs of all layers of a stack
    numbers = (S + T) * B * (below + c.layers * per_state * H)
    numbers += T * B * (S + H + 2 * H + H + V)
    dropped = (S + T) * B * below + T * B * H if c.dropout else 0
    return 4 * numbers + dropped


def arrays_in(cache: object) -> Iterator[np.ndarray]:
    if isinstance(cache, np.ndarray):
        yield cache
    elif isinstance(cache, list | tuple):
        for part in cache:
            yield from arrays_in(part)


def owner(array: np.ndarray) -> np.ndarray:
    """The array whose memory this one looks into."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


class Memory(Ours):
    """Our step with an eye on its memory, in a process of its own."""

    def held(self) -> int:
        """Bytes that the caches of a step on the first batch hold: every array once, weights not counted."""
        _, cache = self.model.loss(self.batches[0], rng=self.model.rng)
        weights = {id(p.data) for p in self.parameters.values()} | {id(a) for a in self.batches[0]}
        arrays = {id(owner(a)): owner(a) for a in arrays_in(cache)}
        return sum(a.nbytes for key, a in arrays.items() if key not in weights)

    def peak(self) -> int:
        """Bytes at the peak of a whole step, above those before it."""
        self.step(self.batches[0])
        gc.collect()
        tracemalloc.start()
        try:
            self.step(self.batches[0])
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    def growth(self, steps: int) -> tuple[int, int]:
        """Bytes resident after some steps to warm up, and after `steps` more, over and over the batches."""
        found = []
        for count in (WARM, steps):
            for n in range(count):
                self.step(self.batches[n % len(self.batches)])
            gc.collect()
            found.append(resident())
        return found[0], found[1]


def resident() -> int:
    """Bytes of this process in memory (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def memory_part(options: argparse.Namespace) -> dict:
    print("\n## Memory of a training step (MB = a million bytes)\n")
    print(head("case", "enc.", "must be kept", "caches hold", "peak", "peak/must"), flush=True)
    results: dict = {"steps": [], "growth": []}
    for case in chosen_cases(options):
        side = Side("speed_memory:Memory", case)
        must = needed(case.config, case.batches[0], case.V_target)
        held, peak = side.ask("held"), side.ask("peak")
        side.close()
        shown = (f"{size / 1e6:.1f}" for size in (must, held, peak))
        print(row(case.name, encoder_name(case.config), *shown, f"{peak / must:.2f}"), flush=True)
        results["steps"].append(describe(case) | {"must": must, "held": held, "peak": peak})

    if not Path("/proc/self/statm").exists():
        print("\nSKIPPED: growth over a long run is read from /proc, which is not there\n", flush=True)
        return results
    print(f"\nMemory of the process over {STEPS} steps, after {WARM} to warm up:\n")
    print(head("batches", "before, MB", "after, MB", "growth, MB"), flush=True)
    V, E, H, _, _ = SIZES["small"]
    config = ModelConfig(bidirectional=False, embed=E, hidden=H)
    for name, shortest in (("one length", 12), ("lengths 1 to 12", 1)):
        rng = np.random.default_rng(0)
        batches = [random_batch(rng, V, 16, shortest, 12) for _ in range(50)]
        side = Side("speed_memory:Memory", Case(name, config, V, V, batches))
        before, after = side.ask("growth", STEPS)
        side.close()
        megabytes = (f"{size / 1e6:.1f}" for size in (before, after, after - before))
        print(row(name, *megabytes), flush=True)
        results["growth"].append({"batches": name, "steps": STEPS, "before": before, "after": after})
    return results
