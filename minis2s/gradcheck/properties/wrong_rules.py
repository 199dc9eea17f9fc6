"""What an optimizer may do instead of its stated rule: a list of hypotheses, each of which can be tried."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from minis2s.gradcheck.properties.rules import Settings, adam, bind, sgd


class Hypothesis(NamedTuple):
    says: str  # what the optimizer does instead
    place: str  # short name of the mistake
    rule: Callable  # (weights (N,), gradients (steps, N), which (N,)) -> weights after each step (steps, N)


COMMON = {
    "plus": ("adds the step where it is to be subtracted: the loss rises", "+ instead of -"),
    "lr twice": ("multiplies by lr twice", "lr twice"),
    "no lr": ("leaves out lr", "no lr"),
    "half": ("takes half the step", "factor 1/2"),
    "double": ("takes twice the step", "factor 2"),
    "first parameter": ("changes the first parameter alone", "one parameter only"),
}
MOMENTUM = {
    "reset": (
        "starts the velocity anew at every step (kept under a key that changes?): there is no momentum",
        "state reset",
    ),
    "dampening": ("has v = momentum * v + (1 - momentum) * g; stated is momentum * v + g", "dampening"),
    "minus": ("subtracts the gradient from the velocity, and the velocity from the weights", "sign of v"),
    "exchanged": ("has v = v + momentum * g; stated is momentum * v + g", "momentum misplaced"),
    "no sum": ("has v = g: there is no momentum", "no momentum"),
    "squared": ("multiplies by momentum twice", "momentum twice"),
    "old velocity": ("uses the velocity of the step before", "old velocity"),
    "velocity only": ("takes lr * momentum * v without the gradient", "gradient missing"),
    "twice": ("takes v + momentum * v, where g + momentum * v belongs", "gradient missing"),
}
PLAIN = {
    "sign": ("uses the sign of the gradient", "sign of g"),
    "normalized": ("divides the gradient by its length", "normalized gradient"),
}
ADAM = {
    "no correction": ("makes no bias correction: the first step is 3.16 lr, not lr", "no bias correction"),
    "no correction of m": (
        "makes no bias correction of m: the first step is lr / 10",
        "no bias correction of m",
    ),
    "no correction of v": (
        "makes no bias correction of v: the first step is 31.6 lr",
        "no bias correction of v",
    ),
    "corrections exchanged": ("divides m by 1 - beta2**t and v by 1 - beta1**t", "corrections exchanged"),
    "corrections multiplied": (
        "multiplies by the bias corrections; m and v are to be divided by them",
        "corrections multiplied",
    ),
    "corrected in place": (
        "stores the corrected m and v, and corrects them again at the next step",
        "corrected in place",
    ),
    "t from 0": ("starts at t = 0: 0/0 = nan at the first step", "t starts at 0"),
    "t from 2": ("starts at t = 2", "t starts at 2"),
    "t stays 1": ("never counts t up", "t stays 1"),
    "t per parameter": ("counts t up once for each parameter, not once for each step", "t per parameter"),
    "t twice": ("counts t up by two a step", "t twice"),
    "betas exchanged": (
        "has beta1 and beta2 exchanged: right at the first step, wrong from the second",
        "betas exchanged",
    ),
    "m without 1 - beta1": ("leaves out 1 - beta1 in m", "1 - beta1 missing"),
    "v without 1 - beta2": ("leaves out 1 - beta2 in v", "1 - beta2 missing"),
    "m weights exchanged": ("has beta1 and 1 - beta1 exchanged", "1 - beta1"),
    "v weights exchanged": ("has beta2 and 1 - beta2 exchanged", "1 - beta2"),
    "no m": ("uses the gradient itself in place of its running mean m", "no m"),
    "no v": ("does not divide by the root of v", "no v"),
    "no root": ("divides by v, not by its root", "no root of v"),
    "abs": ("averages |g| in v, not g**2", "no square"),
    "no square": ("averages g in v, not g**2", "no square"),
    "m squared": ("averages m**2 in v, not g**2", "m squared"),
    "adagrad": ("sums up g**2 in v with no forgetting", "v never forgets"),
    "one v": ("has one v for all weights, the mean of g**2", "one v for all"),
    "reset": ("starts m and v anew at every step (kept under a key that changes?)", "state reset"),
    "amsgrad": ("keeps the largest v (AMSGrad)", "amsgrad"),
    "nadam": ("looks ahead as Nesterov does (NAdam)", "nadam"),
    "eps inside": ("adds eps under the root", "eps inside the root"),
    "eps both": ("adds eps under the root and behind it", "eps twice"),
    "eps uncorrected": (
        "adds eps to the root of v before its correction (eps-hat in the paper's section 2)",
        "eps before correction",
    ),
    "eps maximum": ("takes the larger of root and eps, not their sum", "eps as a maximum"),
    "no eps": ("leaves out eps: 0/0 where a gradient is always 0", "no eps"),
    "root of c2 missing": ("takes the root of v, but not of its correction", "correction outside the root"),
}
DECAYS = {
    "coupled": (
        "adds the weight decay to the gradient (L2, Adam's way); stated is decoupled",
        "decay coupled",
    ),
    "none": ("has no weight decay", "no decay"),
    "without lr": ("does not multiply the weight decay by lr", "decay without lr"),
    "growing": ("lets the weight decay enlarge the weights: its sign is wrong", "decay sign"),
    "after the step": ("decays after the step, not before it", "decay after the step"),
}


def hypotheses(kind: str, s: Settings) -> Iterator[Hypothesis]:
    """What else the optimizer may do, the simplest first."""
    if kind in ("adam", "adamw"):
        usual = "decoupled" if kind == "adamw" else "coupled"
        for change, (says, place) in (ADAM | COMMON).items():
            yield Hypothesis(says, place, bind(adam, s=s, change=change, decay=usual))
        for decay, (says, place) in DECAYS.items() if s.weight_decay else ():
            if decay != usual:
                yield Hypothesis(says, place, bind(adam, s=s, decay=decay))
        if s.weight_decay and usual == "coupled":
            says = "decays the weights directly (AdamW); stated is decay in the gradient"
            yield Hypothesis(says, "decay decoupled", bind(adam, s=s))
        for eps in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-9, 1e-10, 1e-12, 1e-16):
            yield Hypothesis(
                f"has eps = {eps:g}; stated is {s.eps:g}",
                "eps",
                bind(adam, s=s._replace(eps=eps), decay=usual),
            )
        for betas in (
            (0.9, 0.99),
            (0.9, 0.98),
            (0.9, 0.9),
            (0.99, 0.999),
            (0.99, 0.99),
            (0.5, 0.999),
            (0.0, 0.999),
        ):
            yield Hypothesis(
                f"has betas {betas}; stated are {s.betas}",
                "betas",
                bind(adam, s=s._replace(betas=betas), decay=usual),
            )
        for other in ("momentum", "sgd"):
            yield Hypothesis(f"is {other}, not Adam", other, bind(sgd, s=s, kind=other))
        for first, (says, place) in ADAM.items():  # two mistakes at once
            for second, (more, _) in COMMON.items():
                rule = (
                    bind(adam, s=s._replace(lr=s.lr * FACTORS[second]), change=first, decay=usual)
                    if second in FACTORS
                    else None
                )
                if rule is not None and not s.weight_decay:
                    yield Hypothesis(f"{says}; and it {more}", place, rule)
        return
    kinds = [
        Hypothesis(f"is {other}, not {kind}", other, bind(sgd, s=s, kind=other))
        for other in ("sgd", "momentum", "nesterov")
        if other != kind
    ]
    yield from kinds if kind == "nesterov" else ()
    table = COMMON | (PLAIN if kind == "sgd" else MOMENTUM)
    for change, (says, place) in table.items():
        yield Hypothesis(says, place, bind(sgd, s=s, kind=kind, change=change))
    yield from kinds
    if s.weight_decay:
        decays = {
            "decoupled": s.weight_decay,
            "none": 0.0,
            "growing": -s.weight_decay,
            "twice": 2 * s.weight_decay,
        }
        words = {
            "decoupled": "decays the weights directly; stated is decay in the gradient",
            "none": "has no weight decay",
            "growing": "lets the weight decay enlarge the weights: its sign is wrong",
            "twice": "decays twice as much",
        }
        for name, wd in decays.items():
            rule = bind(sgd, s=s._replace(weight_decay=wd), kind=kind, decoupled=name == "decoupled")
            yield Hypothesis(words[name], f"decay {name}", rule)
    for mu in (0.0, 0.5, 0.99, 1.0):
        if kind != "sgd":
            yield Hypothesis(
                f"has momentum {mu:g}; stated is {s.momentum:g}",
                "momentum",
                bind(sgd, s=s._replace(momentum=mu), kind=kind),
            )


FACTORS = {"plus": -1.0, "half": 0.5, "double": 2.0}
