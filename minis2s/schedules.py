"""Numbers that change while training goes on: learning rates, and the teacher-forcing ratio.

Each schedule is a small value with one question: `lr(step)` for the learning rates, `ratio(step)`
for teacher forcing. Steps count from 1: `step` is the number of the update about to be made, so the
training loop says `optimizer.lr = schedule.lr(optimizer.steps + 1)`. All but Plateau are pure
functions of the step, so a resumed run needs nothing saved for them.
"""

import math
from dataclasses import dataclass
from typing import Protocol


class Schedule(Protocol):
    """Anything that says the learning rate of a step."""

    def lr(self, step: int) -> float: ...


@dataclass(frozen=True)
class Constant:
    """lr = peak, at every step."""

    peak: float

    def __post_init__(self):
        check(self)

    def lr(self, step: int) -> float:
        return self.peak


@dataclass(frozen=True)
class WarmUp:
    """Any schedule, with its first `steps` steps held back in proportion.

        lr = min(1, step / steps) * then.lr(step)

    `then` sees every step, the warm-up's included.
    """

    steps: int
    then: Schedule

    def __post_init__(self):
        check(self)

    def lr(self, step: int) -> float:
        return min(1.0, step / self.steps) * self.then.lr(step)


@dataclass(frozen=True)
class InverseSquareRoot:
    """Up in a straight line to `peak` at step `warmup`, then down as 1 / sqrt(step).

        lr = peak * min(step / warmup, sqrt(warmup / step))

    Source: Vaswani et al. 2017, eq. 3, where peak = 1 / sqrt(d_model * warmup).
    """

    peak: float
    warmup: int

    def __post_init__(self):
        check(self)

    def lr(self, step: int) -> float:
        return self.peak * min(step / self.warmup, math.sqrt(self.warmup / step))


@dataclass(frozen=True)
class LinearDecay:
    """Down in a straight line, from `peak` at step 1 to `floor` once `total` steps are made.

    left = max(0, total + 1 - step) / total     the share of steps left, this one included
    lr   = floor + (peak - floor) * left
    """

    peak: float
    total: int
    floor: float = 0.0

    def __post_init__(self):
        check(self)

    def lr(self, step: int) -> float:
        left = max(0, self.total + 1 - step) / self.total
        return self.floor + (self.peak - self.floor) * left


@dataclass(frozen=True)
class CosineDecay:
    """Down along half a cosine wave, from `peak` at step 1 to `floor` once `total` steps are made.

        left = max(0, total + 1 - step) / total     the share of steps left, this one included
        lr   = floor + (peak - floor) * (1 - cos(pi * left)) / 2

    Source: Loshchilov and Hutter 2017, eq. 5, without restarts.
    """

    peak: float
    total: int
    floor: float = 0.0

    def __post_init__(self):
        check(self)

    def lr(self, step: int) -> float:
        left = max(0, self.total + 1 - step) / self.total
        return self.floor + (self.peak - self.floor) * (1 - math.cos(math.pi * left)) / 2


class Plateau:
    """`peak`, multiplied by `factor` whenever the dev metric has stopped falling.

    Tell it each evaluation by `observe`. Lower is better (an error rate, a loss; for BLEU observe
    its negative). After more than `patience` evaluations in a row without a new best, the learning
    rate shrinks by `factor`, never below `floor`, and the count begins again.

    The only schedule with a memory: `state` is plain JSON, `load_state` takes it back.
    """

    def __init__(self, peak: float, factor: float = 0.5, patience: int = 2, floor: float = 0.0):
        if not 0 < factor < 1:
            raise ValueError(f"Plateau: factor must be between 0 and 1, got {factor}")
        if patience < 0:
            raise ValueError(f"Plateau: patience must be >= 0, got {patience}")
        if not 0 <= floor <= peak < math.inf:
            raise ValueError(f"Plateau: 0 <= floor <= peak must hold, got floor {floor}, peak {peak}")
        self.factor = factor
        self.patience = patience
        self.floor = floor
        self.current = peak
        self.best: float | None = None
        self.waited = 0

    def lr(self, step: int) -> float:
        return self.current

    def observe(self, metric: float) -> None:
        """Take note of one evaluation. A nan is no improvement."""
        metric = float(metric)
        if not math.isnan(metric) and (self.best is None or metric < self.best):
            self.best = metric
            self.waited = 0
            return
        self.waited += 1
        if self.waited > self.patience:
            self.current = max(self.floor, self.current * self.factor)
            self.waited = 0

    def state(self) -> dict[str, float | int | None]:
        """Where it stands, as plain numbers."""
        return {"current": self.current, "best": self.best, "waited": self.waited}

    def load_state(self, state: dict[str, float | int | None]) -> None:
        """Go on from a `state`. Raises ValueError unless it has exactly the entries of one."""
        if state.keys() != self.state().keys():
            raise ValueError(f"Plateau state should have {sorted(self.state())}, got {sorted(state)}")
        self.current, self.best, self.waited = state["current"], state["best"], state["waited"]

    def __repr__(self) -> str:
        return (
            f"Plateau(lr={self.current}, factor={self.factor}, patience={self.patience}, floor={self.floor})"
        )


@dataclass(frozen=True)
class ConstantRatio:
    """ratio = start, at every step. 1 is full teacher forcing, 0 none."""

    start: float = 1.0

    def __post_init__(self):
        check(self)

    def ratio(self, step: int) -> float:
        return self.start


@dataclass(frozen=True)
class LinearRatio:
    """The chance of feeding the true token falls by `slope` at each step, to no less than `floor`.

        ratio = max(floor, start - slope * step)

    Source: Bengio et al. 2015, section 2.4, where floor is epsilon, start k and slope c.
    """

    slope: float
    start: float = 1.0
    floor: float = 0.0

    def __post_init__(self):
        check(self)

    def ratio(self, step: int) -> float:
        return max(self.floor, self.start - self.slope * step)


@dataclass(frozen=True)
class ExponentialRatio:
    """The chance of feeding the true token is multiplied by `k` < 1 at each step.

        ratio = k**step

    Source: Bengio et al. 2015, section 2.4. It is halved every log(2) / -log(k) steps.
    """

    k: float

    def __post_init__(self):
        if not 0 < self.k < 1:
            raise ValueError(f"ExponentialRatio: k must be between 0 and 1, got {self.k}")

    def ratio(self, step: int) -> float:
        return self.k**step


@dataclass(frozen=True)
class InverseSigmoidRatio:
    """Nearly always the true token at first, a smooth change, then nearly never; slower for a larger `k`.

        ratio = k / (k + exp(step / k))

    Source: Bengio et al. 2015, section 2.4. It passes 1/2 at step k * log(k).
    """

    k: float

    def __post_init__(self):
        if not 1 <= self.k < math.inf:
            raise ValueError(f"InverseSigmoidRatio: k must be a finite number >= 1, got {self.k}")

    def ratio(self, step: int) -> float:
        # both sides of the fraction times exp(-step / k), which never overflows
        true = self.k * math.exp(-step / self.k)
        return true / (true + 1)


def check(schedule) -> None:
    """Raise ValueError, naming the field, when a schedule was made with a value out of its range."""
    values = vars(schedule)
    highest = values.get("peak", values.get("start"))
    for name, value in values.items():
        if name in ("steps", "warmup", "total"):
            fine, range_ = value >= 1 and value % 1 == 0, "a whole number >= 1"
        elif name == "start":
            fine, range_ = 0 <= value <= 1, "from 0 to 1"
        elif name == "floor":
            fine, range_ = 0 <= value <= highest, f"from 0 to {highest}"
        elif name in ("peak", "slope"):
            fine, range_ = 0 <= value < math.inf, "a finite number >= 0"
        else:
            continue
        if not fine:
            raise ValueError(f"{type(schedule).__name__}: {name} must be {range_}, got {value}")
