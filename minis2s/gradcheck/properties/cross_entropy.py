"""Properties of softmax cross-entropy: the mean over real tokens, and finite for any logits."""

from collections.abc import Callable

import numpy as np

from minis2s.gradcheck.properties.behaviour import surprise
from minis2s.gradcheck.properties.finding import Finding, differ, failed, gap, number, passed, takes, unjudged
from minis2s.gradcheck.properties.guesses import B, Guesses, Subject, T, V, exp_over, hygiene, named


def cross_entropy_questions(f: Subject):
    """logits (T, B, V), targets (T, B), mask (T, B) or None -> loss."""
    logits = 2 * f.draw(T, B, V)
    targets = f.rng.integers(0, V, (T, B))
    mask = np.ones((T, B), dtype=bool)
    mask[3:, 1] = mask[1:, 2] = False
    masks = takes(f.function, 3)

    def loss_of(*args) -> np.ndarray:
        """The loss; as a scalar also where it came with shape (1,), which only `value` tells."""
        loss = f(*args)
        return loss.reshape(()) if loss.size == 1 else loss

    def of_a_scalar(question: Callable[[], Finding]) -> Callable[[], Finding]:
        """The question, not asked where there are several losses: `value` tells that."""

        def asked() -> Finding:
            shape = loss_of(logits, targets).shape
            return unjudged(f"the loss is no scalar, it has shape {shape}") if shape else question()

        return asked

    def guesses(s: np.ndarray, m: np.ndarray) -> Guesses:
        p = np.exp(-s)
        return [
            ("padding is counted like real tokens", "mask ignored", "mask", s.mean()),
            ("divided by all T x B steps, padding included", "normalization", "mean", (s * m).sum() / m.size),
            ("divided by the number of sentences B", "normalization", "mean", (s * m).sum() / m.shape[1]),
            ("divided by the number of steps T", "normalization", "mean", (s * m).sum() / m.shape[0]),
            ("divided by tokens times V", "normalization", "mean", s[m].mean() / V),
            ("the sum, not the mean", "normalization", "mean", s[m].sum()),
            ("the sum, padding included", "mask ignored", "mask", s.sum()),
            ("the mean of the sentences' means", "normalization", "mean", ((s * m).sum(0) / m.sum(0)).mean()),
            ("the mean of the steps' means", "normalization", "mean", ((s * m).sum(1) / m.sum(1)).mean()),
            (
                "the mask is used the wrong way round",
                "mask ignored",
                "mask",
                s[~m].mean() if (~m).any() else 0.0,
            ),
            ("in bits", "scale", "log", s[m].mean() / np.log(2)),
            ("the sign is wrong", "sign", "loss", -s[m].mean()),
            ("the logarithm is missing: the mean of p", "forward", "log", p[m].mean()),
            ("the logarithm is missing: the mean of -p", "forward", "log", -p[m].mean()),
            ("the logarithm is missing: the mean of 1 - p", "forward", "log", 1 - p[m].mean()),
            (
                "the logit itself, no softmax",
                "forward",
                "softmax",
                -np.take_along_axis(logits, targets[..., None], -1)[..., 0][m].mean(),
            ),
            ("the logarithm of the mean probability", "forward", "log", -np.log(p[m].mean())),
        ]

    def value() -> Finding:
        everything = np.ones((T, B), dtype=bool)
        s = surprise(logits, targets)
        loss = f(logits, targets)
        if loss.shape != ():
            return failed(f"the loss must be a scalar (shape ()), got shape {loss.shape}", "forward", "loss")
        if not differ(loss, s.mean()):
            return passed("the loss is the mean of -log p(target)")
        words = f"the loss must be the mean of -log p(target), {number(s.mean())}, got {loss}"
        wrong_axis = [
            (
                f"the softmax runs over {name}",
                "axis",
                "softmax",
                -np.log(np.take_along_axis(exp_over(logits, axis), targets[..., None], -1)).mean(),
            )
            for axis, name in ((0, "the steps"), (1, "the batch"), ((0, 1, 2), "all numbers"))
        ]
        return named(words, loss, guesses(s, everything) + wrong_axis)

    def real_tokens() -> Finding:
        if not masks:
            return unjudged("the function takes no mask")
        s, loss = surprise(logits, targets), loss_of(logits, targets, mask)
        if not differ(loss, s[mask].mean()):
            return passed("with a mask the loss is the mean over the real tokens")
        words = (
            f"the loss must be the mean over the {mask.sum()} real tokens, {number(s[mask].mean())}, "
            f"got {loss}"
        )
        return named(words, loss, guesses(s, mask))

    def content() -> Finding:
        if not masks:
            return unjudged("the function takes no mask")
        loss = loss_of(logits, targets, mask)
        other = np.where(mask[..., None], logits, 10 * f.draw(T, B, V))
        moved = gap(loss_of(other, np.where(mask, targets, (targets + 1) % V), mask), loss)
        if moved > 1e-9:
            return failed(
                f"what stands at padded steps must not matter, it moves the loss by {number(moved)}",
                "mask ignored",
                "mask",
            )
        return passed("what stands at padded steps does not matter")

    def equal_logits() -> Finding:
        loss = loss_of(np.full((T, B, V), 0.7), targets)
        if differ(loss, np.log(V)):
            return failed(
                f"equal logits must give ln {V} = {number(np.log(V))}, got {loss}", "forward", "loss"
            )
        return passed(f"equal logits give ln {V}")

    def large() -> Finding:
        loss = loss_of(logits + 1000, targets)
        if not np.isfinite(loss):
            return failed(
                f"logits of 1000 must give a finite loss, got {loss}: exp overflows; subtract the "
                "largest logit first",
                "forward",
                "max",
            )
        if differ(loss, loss_of(logits, targets)):
            return failed(
                f"adding 1000 to all logits must change nothing, the loss moves to {loss}", "forward", "max"
            )
        apart = np.zeros((1, 1, 2))
        apart[..., 0] = 1000
        loss = loss_of(apart, np.array([[1]]))
        if differ(loss, 1000.0):
            why = "the logarithm of a softmax that has rounded to 0; take logits - max - log(sum)"
            if np.isfinite(loss):
                why = (
                    "a small number added inside the logarithm, or a clipped probability, hides a large loss"
                )
            return failed(
                f"logits (1000, 0) with target 1 must give a loss of 1000, got {loss}: {why}",
                "forward",
                "log",
            )
        return passed("logits of 1000, and of (1000, 0), give the right finite loss")

    def nothing_real() -> Finding:
        if not masks:
            return unjudged("the function takes no mask")
        loss = loss_of(logits, targets, np.zeros((T, B), dtype=bool))
        if not np.isfinite(loss) or loss != 0:
            return failed(
                f"a batch without any real token must have the loss 0, got {loss}", "normalization", "mean"
            )
        return passed("a batch without any real token has the loss 0")

    yield "value", value
    yield "mean over real tokens", of_a_scalar(real_tokens)
    yield "padding content", of_a_scalar(content)
    yield "equal logits, ln V", of_a_scalar(equal_logits)
    yield "large logits", of_a_scalar(large)
    yield "no real token", of_a_scalar(nothing_real)
    yield "hygiene", lambda: hygiene(f, logits, targets)
