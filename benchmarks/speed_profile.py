"""Part `profile` of speed.py: where the time of our training step goes.

The operations of the model are wrapped in a clock; beside each stands what its matrix products
take alone (the floor, in turns with it). The rest is elementwise work, copies and the calls
themselves; how much of it is calls is told by a step of the same model with everything of size 2:
the same number of calls, next to no work in them.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from speed_cases import Case, encoder_name, make_batch_like
from speed_floor import Floor
from speed_harness import Side, head, row
from speed_ours import MAX_NORM, Ours
from speed_step import chosen_cases, describe

from minis2s import functional as F
from minis2s.nn import Layer
from minis2s.op import Op
from minis2s.optim import clip_global_norm

FLOOR_GROUPS = ("encoder", "decoder", "attention", "combine", "output")  # those of speed_floor.py
GROUPS = (*FLOOR_GROUPS, "embedding", "softmax", "other layers", "clip", "adam", "rest")


class Profile(Ours):
    """Our step under a clock, and the floor beside it."""

    def __init__(self, case: Case):
        super().__init__(case)
        self.spent = dict.fromkeys(GROUPS, 0.0)
        self.cross_entropy = self.clocked(F.cross_entropy, "softmax")
        self.wrap(self.model, "")
        self.floor = Floor(case)
        tiny = case.config.__class__(
            **{**vars(case.config), "embed": 2, "hidden": 2 * (1 + case.config.bidirectional)}
        )
        batches = [make_batch_like(batch, sentences=1) for batch in case.batches]
        self.tiny = Ours(case._replace(config=tiny, V_source=8, V_target=8, batches=batches))

    def clocked(self, op: Op, group: str) -> Op:
        return Op(op.name, self.timed(op.forward, group), self.timed(op.backward, group))

    def timed(self, function: Callable, group: str) -> Callable:
        def call(*args, **options):
            start = time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                self.spent[group] += time.perf_counter() - start

        return call

    def wrap(self, layer: Layer, path: str) -> None:
        """Put every operation that a layer holds under the clock of its group."""
        for name in ("op", "score_op"):
            if hasattr(layer, name):
                setattr(layer, name, self.clocked(getattr(layer, name), group_of(path)))
        for name, child in layer.children():
            if isinstance(child, Layer):
                self.wrap(child, f"{path}.{name}")

    def profile(self, rounds: int) -> tuple[dict[str, float], dict[str, float], float, float]:
        """-> (seconds of a pass by group, those of its matrix products, of all, of the calls alone).

        Each is the median of the rounds.
        """
        ours, products, totals, calls = [], [], [], []
        plain = F.cross_entropy
        F.cross_entropy = self.cross_entropy
        try:
            for _ in range(rounds + 1):  # the first is to warm up
                self.spent = dict.fromkeys(GROUPS, 0.0)
                start = time.perf_counter()
                for batch in self.batches:
                    self.step(batch)
                totals.append(time.perf_counter() - start)
                self.spent["rest"] = totals[-1] - sum(self.spent.values())
                ours.append(self.spent)
                products.append(self.floor.groups(1))
                F.cross_entropy = plain
                start = time.perf_counter()
                for batch in self.tiny.batches:
                    self.tiny.step(batch)
                calls.append(time.perf_counter() - start)
                F.cross_entropy = self.cross_entropy
        finally:
            F.cross_entropy = plain

        def middle(found: list[dict[str, float]]) -> dict[str, float]:
            return {key: float(np.median([f[key] for f in found[1:]])) for key in found[0]}

        return middle(ours), middle(products), float(np.median(totals[1:])), float(np.median(calls[1:]))

    def step(self, batch) -> None:
        loss, _ = self.workers.gradient(batch)
        float(loss)
        self.timed(clip_global_norm, "clip")(self.parameters, MAX_NORM)
        self.timed(self.optimizer.step, "adam")()


def group_of(path: str) -> str:
    """The group of the layer at such a path: ".decoder.cells.layers.0" -> "decoder"."""
    for name in ("embedding", "attention", "combine", "output"):
        if f".{name}" in path:
            return name
    if ".rnn" in path or ".cells" in path:
        return "other layers" if path.endswith(".dropout") else "encoder" if ".rnn" in path else "decoder"
    return "other layers"


def profile_part(options: argparse.Namespace) -> list[dict]:
    print("\n## Where the time of our step goes\n")
    print("Share of the step, in percent; in brackets that of its matrix products alone. One thread.\n")
    print(
        head("case", "enc.", "step, ms", *GROUPS, "all products", "calls alone"),
        flush=True,
    )
    results = []
    for case in chosen_cases(options):
        side = Side("speed_profile:Profile", case)
        groups, products, total, calls = side.ask("profile", options.rounds)
        side.close()

        def percent(seconds: float, total: float = total) -> str:
            return f"{100 * seconds / total:.0f}"

        cells = [percent(groups[g]) + (f" ({percent(products[g])})" if g in products else "") for g in GROUPS]
        ms = f"{1000 * total / len(case.batches):.1f}"
        both = percent(sum(products.values())), percent(calls)
        print(row(case.name, encoder_name(case.config), ms, *cells, *both), flush=True)
        results.append(
            describe(case) | {"groups": groups, "products": products, "seconds": total, "calls": calls}
        )
    return results
