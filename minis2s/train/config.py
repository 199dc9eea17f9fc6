"""How to train: the options of a run, and what they make of the optimizer and of each step.

`TrainConfig` is plain data, saved with the run. The three functions below it turn it into an
optimizer, the learning rate of a step and its teacher-forcing ratio.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from minis2s import optim, schedules
from minis2s.nn import Parameter

OPTIMIZERS = ("sgd", "adam", "adamw")
SCHEDULES = ("constant", "linear", "cosine", "inverse-sqrt", "plateau")
FORCING_DECAYS = ("constant", "linear", "exponential", "inverse-sigmoid")


@dataclass(frozen=True)
class TrainConfig:
    """How to train. The run ends after `epochs` or `minutes`, whichever comes first.

    lr is the peak of the schedule, reached after `warmup` steps (a tenth of the run at most).
    teacher_forcing is the chance of feeding the right token at the end of the run; forcing_decay says
    how it gets there from 1 ("constant": it is that from the start). evaluations is how many times,
    evenly spread, the dev data are looked at (their first `dev_sentences`); after `patience` of them
    without a better error rate the run stops early. betas are Adam's and AdamW's; momentum is SGD's.
    """

    epochs: int | None = 10
    minutes: float | None = None
    batch_tokens: int = 1000
    optimizer: str = "adam"
    lr: float = 0.002
    betas: tuple[float, float] = (0.9, 0.99)
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: str = "linear"
    warmup: int = 200
    clip: float = 5.0
    smoothing: float = 0.0
    teacher_forcing: float = 1.0
    forcing_decay: str = "constant"
    evaluations: int = 10
    dev_sentences: int = 1000
    patience: int | None = None
    seed: int = 0
    threads: int = 1

    def __post_init__(self):
        if self.epochs is None and self.minutes is None:
            raise ValueError("a run needs an end: give epochs, minutes, or both")
        for name in (
            "epochs",
            "minutes",
            "batch_tokens",
            "lr",
            "clip",
            "evaluations",
            "dev_sentences",
            "patience",
            "threads",
        ):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be above 0, got {value}")
        for name, known in (
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
            ("forcing_decay", FORCING_DECAYS),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        if self.weight_decay and self.optimizer == "adam":
            raise ValueError(f"adam has no weight_decay (got {self.weight_decay}): choose adamw or sgd")
        for name in ("smoothing", "teacher_forcing"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, got {getattr(self, name)}")


def make_optimizer(config: TrainConfig, parameters: Mapping[str, Parameter]) -> optim.Optimizer:
    """The optimizer that the configuration names."""
    if config.optimizer == "sgd":
        return optim.SGD(parameters, config.lr, config.momentum, weight_decay=config.weight_decay)
    if config.optimizer == "adam":
        return optim.Adam(parameters, config.lr, config.betas)
    return optim.AdamW(parameters, config.lr, config.betas, weight_decay=config.weight_decay)


def learning_rate(
    config: TrainConfig, step: int, total: int, plateau: schedules.Plateau | None = None
) -> float:
    """The learning rate of a step (the first is 1) of a run that will have `total` steps.

    The warm-up is never more than a tenth of the run: a short one would not get beyond it.
    A plateau schedule has a memory, so it comes from outside.
    """
    peak, warmup = config.lr, max(min(config.warmup, total // 10), 1)
    if config.schedule == "inverse-sqrt":  # it has a warm-up of its own
        return schedules.InverseSquareRoot(peak, warmup).lr(step)
    schedule: schedules.Schedule
    if config.schedule == "plateau":
        schedule = plateau
    elif config.schedule == "linear":
        schedule = schedules.LinearDecay(peak, max(total, 1))
    elif config.schedule == "cosine":
        schedule = schedules.CosineDecay(peak, max(total, 1))
    else:
        schedule = schedules.Constant(peak)
    return schedules.WarmUp(warmup, schedule).lr(step)


def teacher_forcing(config: TrainConfig, step: int, total: int) -> float:
    """The teacher-forcing ratio after `step` steps of a run that will have `total` steps."""
    end, decay = config.teacher_forcing, config.forcing_decay
    if decay == "constant" or end == 1:
        return end
    if decay == "linear":
        return schedules.LinearRatio((1 - end) / total, floor=end).ratio(step)
    if decay == "exponential":
        # it never reaches 0: where that is asked for, it falls to 1 % at the end of the run
        return max(end, schedules.ExponentialRatio(max(end, 0.01) ** (1 / total)).ratio(step))
    # inverse sigmoid, half-way down in the middle of the run: k log(k) = total / 2, solved by iteration
    k = math.e
    for _ in range(20):
        k = max(math.e, total / 2 / math.log(k))
    return max(end, schedules.InverseSigmoidRatio(k).ratio(step))
