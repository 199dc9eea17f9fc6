"""Properties of clipping: one factor for all gradients, only above the limit, once they are complete."""

from collections.abc import Callable

import numpy as np

from minis2s.gradcheck.properties.finding import Finding, Inquiry, differ, failed, number, passed
from minis2s.nn.layer import Parameter

SHAPES = {"Wx": (3, 2), "b": (4,), "v": (1,)}
LIMIT = 2.0


class Clipping:
    """A clip function ``clip(parameters, max_norm) -> norm before`` and gradients of a wanted global norm."""

    def __init__(self, clip: Callable, seed: int):
        self.clip = clip
        self.rng = np.random.default_rng(seed)

    def gradients(self, norm: float) -> dict[str, np.ndarray]:
        found = {name: self.rng.standard_normal(shape) for name, shape in SHAPES.items()}
        length = np.sqrt(sum((g**2).sum() for g in found.values()))
        return {name: g * norm / length for name, g in found.items()}

    def run(self, gradients: dict, limit: float = LIMIT) -> tuple[dict, object]:
        """-> (gradients afterwards, what the function returned)."""
        parameters = {name: Parameter(np.zeros(g.shape)) for name, g in gradients.items()}
        for name, p in parameters.items():
            p.grad = gradients[name].copy()
        result = self.clip(parameters, limit)
        return {name: p.grad for name, p in parameters.items()}, result


def flat(gradients: dict) -> np.ndarray:
    return np.concatenate([gradients[name].reshape(-1) for name in SHAPES])


def above(c: Clipping) -> Finding:
    """A global norm of 10 is brought to 2, all gradients by one factor."""
    norm = 10.0
    before = c.gradients(norm)
    after, _ = c.run(before)
    g, found = flat(before), flat(after)
    if not differ(found, g * LIMIT / norm):
        return passed("above the limit all gradients are scaled by one factor, to a global norm at the limit")
    norms = {name: float(np.sqrt((x**2).sum())) for name, x in before.items()}
    each = np.concatenate([(x * min(1, LIMIT / norms[name])).reshape(-1) for name, x in before.items()])
    guesses = {
        "nothing is changed (a new array, not the gradient itself?)": ("not in place", g),
        "each number is cut off at the limit: that is clipping by value": (
            "by value",
            np.clip(g, -LIMIT, LIMIT),
        ),
        "each parameter is scaled by a norm of its own": ("per parameter", each),
        "the norm is the sum of the absolute values": ("wrong norm", g * LIMIT / np.abs(g).sum()),
        "the norm is the largest absolute value": ("wrong norm", g * LIMIT / np.abs(g).max()),
        "the norm is the sum of the parameters' norms": ("wrong norm", g * LIMIT / sum(norms.values())),
        "the norm is the largest of the parameters' norms": ("wrong norm", g * LIMIT / max(norms.values())),
        "the root is missing: the sum of squares is taken for the norm": ("wrong norm", g * LIMIT / norm**2),
        "the norm is a mean over all numbers": ("wrong norm", g * LIMIT / np.sqrt((g**2).mean())),
        "it is scaled to 1, not to the limit": ("limit ignored", g / norm),
        "it is multiplied by norm / limit: upside down": ("upside down", g * norm / LIMIT),
        "it is multiplied by the limit, not divided by the norm": ("norm missing", g * LIMIT),
        "it is scaled twice": ("twice", g * (LIMIT / norm) ** 2),
        "the gradients are set to zero": ("zeroed", 0 * g),
    }
    length = float(np.sqrt((found**2).sum()))
    words = (
        f"gradients of global norm {norm:g} must come out with norm {LIMIT:g} and the same direction, "
        f"their norm is {number(length)}"
    )
    for guess, (place, value) in guesses.items():
        if not differ(found, value):
            return failed(f"{words}: {guess}", "clipping", place)
    if not differ(found, g * LIMIT / norm, 1e-4):
        return failed(f"{words}: nearly right, a small number is added to the norm", "clipping", "eps")
    first = [name for name in SHAPES if differ(after[name], before[name] * LIMIT / norm)]
    return failed(f"{words}: {', '.join(first)} differ", "clipping", "")


def below(c: Clipping) -> Finding:
    before = c.gradients(0.5)
    after, _ = c.run(before)
    g, found = flat(before), flat(after)
    if not differ(found, g, 1e-12):
        return passed("below the limit nothing is changed")
    why = ": they are scaled up to the limit" if not differ(found, g * LIMIT / 0.5, 1e-5) else ""
    return failed(
        f"gradients of norm 0.5, below the limit {LIMIT:g}, must stay as they are{why}",
        "clipping",
        "below the limit",
    )


def returned(c: Clipping) -> Finding:
    values = [c.run(c.gradients(norm))[1] for norm in (10.0, 0.5)]
    if any(v is None for v in values):
        return failed(
            "the function must return the norm before clipping, got None", "clipping", "returned norm"
        )
    large, small = (float(v) for v in values)
    if not differ(large, 10.0) and not differ(small, 0.5):
        return passed("the norm before clipping is returned")
    why = "that is the norm afterwards" if not differ(large, LIMIT, 1e-5) else ""
    why = "that is its square" if not differ(large, 100.0) else why or "another norm is taken"
    return failed(
        f"the norm before clipping, 10, must be returned, got {number(large)}: {why}",
        "clipping",
        "returned norm",
    )


def zero(c: Clipping) -> Finding:
    after, norm = c.run({name: np.zeros(shape) for name, shape in SHAPES.items()})
    if differ(flat(after), 0 * flat(after)) or not np.isfinite(flat(after)).all():
        return failed(
            "gradients of zero must stay zero, got nan: division by a norm of 0", "clipping", "zero norm"
        )
    return passed("gradients of zero stay zero")


def not_finite(c: Clipping) -> Finding:
    """nan or inf cannot be scaled away: the gradients stay, and the returned norm says so."""
    for bad in (np.nan, np.inf):
        before = c.gradients(10.0)
        before["b"][1] = bad
        after, norm = c.run(before)
        if norm is not None and np.isfinite(float(norm)):
            return failed(
                f"with a gradient of {bad} the returned norm must be nan or inf, got {number(norm)}",
                "clipping",
                "not finite",
            )
        if differ(after["Wx"], before["Wx"]):
            what = (
                "become nan"
                if np.isnan(after["Wx"]).any()
                else "become 0"
                if not after["Wx"].any()
                else "change"
            )
            return failed(
                f"with one gradient of {bad} no factor can help: all must stay as they are, the "
                f"others {what}",
                "clipping",
                "not finite",
            )
    return passed("gradients that are not finite are left, and reported by the norm")


def large(c: Clipping) -> Finding:
    after, _ = c.run(c.gradients(10.0), limit=float("inf"))
    if not differ(np.sqrt((flat(after) ** 2).sum()), 10.0):
        return passed("a limit of inf only measures")
    return failed("with a limit of inf nothing must be changed", "clipping", "limit inf")


CHECKS = {
    "above the limit": above,
    "below the limit": below,
    "returned norm": returned,
    "zero gradients": zero,
    "not finite": not_finite,
    "limit of inf": large,
}


def clip_properties(clip: Callable, *, seed: int = 0, seconds: float = 60.0) -> list[Finding]:
    """All properties of ``clip(parameters, max_norm) -> norm``, which shortens every p.grad in place.

    Source: Pascanu et al. 2013, algorithm 1.
    """
    inquiry = Inquiry("your clip function", "clipping", seconds)
    c = Clipping(clip, seed)
    for name, check in CHECKS.items():
        inquiry.ask(name, lambda check=check: check(c))
    return inquiry.findings


def accumulation_properties(accumulate: Callable, *, seed: int = 0, seconds: float = 60.0) -> list[Finding]:
    """Gradients of several micro-batches are added up first and clipped then.

    accumulate: ``accumulate(parameters, micro_batches, max_norm)``, where each of the micro-batches is a
    function without arguments that adds its gradient into every p.grad. What then stands in p.grad is
    what the optimizer would get.
    """
    inquiry = Inquiry("your accumulation", "clipping", seconds)
    c = Clipping(accumulate, seed)
    parts = [c.gradients(norm) for norm in (6.0, 3.0)]

    def question() -> Finding:
        parameters = {name: Parameter(np.zeros(shape)) for name, shape in SHAPES.items()}

        def adding(part: dict) -> Callable[[], None]:
            def add() -> None:
                for name, p in parameters.items():
                    p.grad += part[name]

            return add

        accumulate(parameters, [adding(part) for part in parts], LIMIT)
        found = flat({name: p.grad for name, p in parameters.items()})

        def clipped(g: np.ndarray) -> np.ndarray:
            return g * min(1.0, LIMIT / np.sqrt((g**2).sum()))

        one, two = (flat(part) for part in parts)
        if not differ(found, clipped(one + two)):
            return passed("the gradients of all micro-batches are added up, then clipped once")
        guesses = {
            "each micro-batch is clipped by itself": ("clipped too early", clipped(one) + clipped(two)),
            "it is clipped after every micro-batch": ("clipped too early", clipped(clipped(one) + two)),
            "it is clipped before the last micro-batch is added": ("clipped too early", clipped(one) + two),
            "only the last micro-batch is kept": ("cleared in between", clipped(two)),
            "only the first micro-batch is used": ("stopped early", clipped(one)),
            "nothing is clipped": ("not clipped", one + two),
        }
        for guess, (place, value) in guesses.items():
            if not differ(found, value):
                return failed(
                    f"all micro-batches must be added up and then clipped: {guess}", "clipping", place
                )
        return failed(
            "all micro-batches must be added up and then clipped, the gradient is another", "clipping", ""
        )

    inquiry.ask("clipped when complete", question)
    return inquiry.findings
