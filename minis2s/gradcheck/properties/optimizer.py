"""Properties of an optimizer: its steps are those of the stated rule, number for number.

An optimizer is made by ``make(parameters, lr, ...)`` from a dictionary of Parameters, and its `step`
changes every ``Parameter.data`` by ``Parameter.grad``, as those of minis2s.optim do.
"""

from collections.abc import Callable

import numpy as np

from minis2s.gradcheck.properties import rules, wrong_rules
from minis2s.gradcheck.properties.finding import (
    Finding,
    Inquiry,
    accepts,
    differ,
    failed,
    number,
    passed,
    unjudged,
)
from minis2s.nn.layer import Parameter

KINDS = ("sgd", "momentum", "nesterov", "adam", "adamw")
SHAPES = {"Wx": (3, 2), "b": (4,), "W": (2, 1, 2), "v": (1,)}
SIZES = (1.0, 0.1, 10.0, 1e-3, 2.0, 1e-5, 0.5, 1.0)  # of the gradients of each step


class Trial:
    """An optimizer, its parameters, and gradients for it: large and tiny ones, and one that is always 0."""

    def __init__(self, make: Callable, kind: str, settings: rules.Settings, seed: int):
        self.make, self.kind, self.settings = make, kind, settings
        rng = np.random.default_rng(seed)
        self.start = {name: rng.standard_normal(shape) for name, shape in SHAPES.items()}
        self.gradients = []
        for size in SIZES:
            gradient = {name: size * rng.standard_normal(shape) for name, shape in SHAPES.items()}
            gradient["b"][0] = 0.0
            gradient["Wx"][0, 0] *= 1e-7  # of the size of eps
            self.gradients.append(gradient)
        self.which = np.concatenate([np.full(a.size, n) for n, a in enumerate(self.start.values())])

    def flat(self, arrays: dict) -> np.ndarray:
        return np.concatenate([np.asarray(arrays[name]).reshape(-1) for name in SHAPES])

    def optimizer(self, dtype=np.float64):
        """-> (parameters, the optimizer made for them)."""
        parameters = {name: Parameter(a.astype(dtype)) for name, a in self.start.items()}
        s, options = self.settings, {}
        wanted = {"sgd": {}, "momentum": {"momentum": s.momentum}}.get(self.kind)
        if self.kind == "nesterov":
            wanted = {"momentum": s.momentum, "nesterov": True}
        elif wanted is None:
            wanted = {"betas": s.betas, "eps": s.eps}
        if s.weight_decay or self.kind == "adamw":
            wanted["weight_decay"] = s.weight_decay
        options = {name: value for name, value in wanted.items() if accepts(self.make, name)}
        if accepts(self.make, "lr"):
            options["lr"] = s.lr
        return parameters, self.make(parameters, **options)

    def run(self, lrs=None, dtype=np.float64, before_step=None) -> np.ndarray:
        """The weights after every step, (steps, N)."""
        parameters, optimizer = self.optimizer(dtype)
        after = []
        for n, gradient in enumerate(self.gradients):
            if lrs is not None:
                optimizer.lr = lrs[n]
            for name, p in parameters.items():
                p.grad = gradient[name].astype(dtype)
            if before_step is not None:
                before_step(parameters)
            optimizer.step()
            after.append(self.flat({name: np.array(p.data) for name, p in parameters.items()}))
        return np.stack(after)

    def expected(self, rule: Callable) -> np.ndarray:
        with np.errstate(all="ignore"):
            gradients = np.stack([self.flat(g) for g in self.gradients])
            return rule(self.flat(self.start), gradients, self.which)


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return not differ(a, b, 1e-9)


def rule(trial: Trial) -> Finding:
    """All steps against the stated rule; where they differ, against everything in `wrong_rules`."""
    found, expected = trial.run(), trial.expected(rules.stated(trial.kind, trial.settings))
    if same(found, expected):
        return passed(f"{len(found)} steps are those of {trial.kind}, also where gradients are tiny or zero")
    first = next(n for n in range(len(found)) if not same(found[n], expected[n]))
    start = trial.flat(trial.start) if first == 0 else found[first - 1]
    before = trial.flat(trial.start) if first == 0 else expected[first - 1]
    wrong = np.abs(found[first] - expected[first])
    worst = int(np.where(np.isnan(wrong), np.inf, wrong).argmax())
    name = list(SHAPES)[trial.which[worst]]
    words = (
        f"step {first + 1} is the first that differs from {trial.kind}: a weight of {name} must move by "
        f"{number(expected[first][worst] - before[worst])}, it moves by "
        f"{number(found[first][worst] - start[worst])}"
    )
    for guess in wrong_rules.hypotheses(trial.kind, trial.settings):
        if same(found, trial.expected(guess.rule)):
            return failed(f"{words}; your optimizer {guess.says}", "optimizer", guess.place)
    fixed = [n for n in range(len(SHAPES)) if same(found[:, trial.which == n], expected[:, trial.which == n])]
    if fixed:
        right = ", ".join(list(SHAPES)[n] for n in fixed)
        return failed(f"{words}; the steps of {right} are right", "optimizer", "some parameters")
    return failed(f"{words}; it is none of the mistakes that are known", "optimizer", "")


def first_step(trial: Trial) -> Finding:
    """What can be said without a reference: Adam's first step is lr * sign(g), SGD's is lr * g."""
    if trial.settings.weight_decay:
        return unjudged("with weight decay the first step has no simple form")
    p, g = trial.flat(trial.start), trial.flat(trial.gradients[0])
    moved, lr = p - trial.run()[0], trial.settings.lr
    plain = np.abs(g) > 1e-3
    if trial.kind in ("adam", "adamw"):
        expected, form = lr * np.sign(g), "lr * sign(g)"
    else:
        factor = 1 + trial.settings.momentum if trial.kind == "nesterov" else 1
        expected, form = lr * factor * g, "lr * g" if factor == 1 else "lr * (1 + momentum) * g"
    if not differ(moved[plain], expected[plain], 1e-4):
        return passed(f"the first step is {form}")
    ratio = moved[plain] / expected[plain]
    size = (
        f"is {number(ratio[0])} times that"
        if np.ptp(ratio) < 1e-3 * abs(ratio[0])
        else "is not that times a number"
    )
    if not np.isfinite(ratio).all():
        size = "is nan or infinite"
    return failed(f"the first step must be {form}, it {size}", "optimizer", "first step")


def gradients_untouched(trial: Trial) -> Finding:
    parameters, optimizer = trial.optimizer()
    for name, p in parameters.items():
        p.grad = trial.gradients[0][name].copy()
    optimizer.step()
    for name, p in parameters.items():
        if differ(p.grad, trial.gradients[0][name], 1e-12):
            what = "zeroed: that is the caller's to do" if not np.any(p.grad) else "changed in place"
            return failed(
                f"a step must leave the gradients alone, that of {name} was {what}", "aliased", "gradient"
            )
    return passed("a step leaves the gradients alone")


def gradients_added(trial: Trial) -> Finding:
    """Gradient arrays that live on and are refilled, as `zero_grad` and `+=` do, give the same steps."""
    fresh = trial.run()
    parameters, optimizer = trial.optimizer()
    after = []
    for gradient in trial.gradients:
        for name, p in parameters.items():
            p.grad[...] = 0
            p.grad += gradient[name]
        optimizer.step()
        after.append(trial.flat({name: np.array(p.data) for name, p in parameters.items()}))
    if not same(np.stack(after), fresh):
        return failed(
            "steps must be the same where gradient arrays are refilled in place: a gradient array "
            "is kept as state "
            "(v = p.grad without a copy), or the gradients are looked up only once",
            "aliased",
            "gradient",
        )
    return passed("refilled gradient arrays give the same steps")


def rate_of_each_step(trial: Trial) -> Finding:
    """`lr` may be set before each step, as schedules do."""
    _, optimizer = trial.optimizer()
    if not hasattr(optimizer, "lr"):
        return unjudged("the optimizer has no attribute lr")
    zero = trial.run(lrs=[0.0] * len(SIZES))
    if not same(zero[-1], trial.flat(trial.start)):
        return failed("with lr = 0 the weights must stay, they move: lr is read only once", "optimizer", "lr")
    return passed("lr is read at every step")


def two_optimizers(trial: Trial) -> Finding:
    """Another optimizer that works in between must not be noticed."""
    alone = trial.run()
    parameters, other = trial.optimizer()

    def disturb(mine) -> None:
        for name, p in parameters.items():
            p.grad = np.full(SHAPES[name], 3.0)
        other.step()

    if not same(trial.run(before_step=disturb), alone):
        return failed("two optimizers must not share what they remember", "optimizer", "shared state")
    return passed("two optimizers share nothing")


def dtype(trial: Trial) -> Finding:
    parameters, optimizer = trial.optimizer(np.float32)
    for name, p in parameters.items():
        p.grad = trial.gradients[0][name].astype(np.float32)
    optimizer.step()
    for name, p in parameters.items():
        if p.data.dtype != np.float32 or p.data.shape != SHAPES[name]:
            return failed(
                f"{name} must stay float32 of shape {SHAPES[name]}, got {p.data.dtype} {p.data.shape}",
                "optimizer",
                "dtype",
            )
    return passed("float32 weights stay float32")


CHECKS = {
    "rule": rule,
    "first step": first_step,
    "gradients left alone": gradients_untouched,
    "gradients refilled": gradients_added,
    "lr of each step": rate_of_each_step,
    "two optimizers": two_optimizers,
    "dtype kept": dtype,
}


def optimizer_properties(
    make: Callable, kind: str, *, seed: int = 0, seconds: float = 60.0, **settings
) -> list[Finding]:
    """All properties of an optimizer.

    make: a class or factory, called with the dictionary of Parameters and, as far as its signature has
    them, lr, momentum, nesterov, betas, eps, weight_decay by name; what it does not have is taken to be
    built in.  settings: values for these other than lr 0.05, momentum 0.9, betas (0.9, 0.999), eps 1e-8
    and weight decay 0 (for "adamw": 0.1).

    Sources of the rules: Sutskever et al. 2013; Kingma and Ba 2015; Loshchilov and Hutter 2019.
    """
    if kind not in KINDS:
        raise ValueError(f"the kind of an optimizer must be one of {', '.join(KINDS)}, got {kind!r}")
    chosen = rules.Settings(**({"weight_decay": 0.1} if kind == "adamw" else {}) | settings)
    inquiry = Inquiry("your optimizer", "optimizer", seconds)
    trial = Trial(make, kind, chosen, seed)
    for name, check in CHECKS.items():
        inquiry.ask(name, lambda check=check: check(trial))
    return inquiry.findings
