"""Properties of a model: no call leaves anything behind, dropout is where it belongs, dtypes are kept."""

import numpy as np

from minis2s.backend import to_numpy
from minis2s.gradcheck.properties.finding import Finding, differ, failed, number, passed, unjudged
from minis2s.gradcheck.properties.inside import Case, listening, look


def repeatable(case: Case) -> Finding:
    """A batch, the same, another one, and the first again: no call may leave anything behind."""
    batch = case.batch
    other = case.part(batch, 0)
    with case.dropout(0.0):
        losses = [case.loss(b) for b in (batch, batch, other, batch)]
    first, second, _, last = losses
    if second != first or last != first:
        when = "at once" if second != first else "after another batch"
        value = second if second != first else last
        return failed(
            f"the same batch must give the same loss again, {number(first)}, got {number(value)} {when}: "
            "something is kept from call to call (a state, a cache, a counter)",
            "stale cache",
            "model state",
        )
    return passed("the same batch gives the same loss again, also after another one")


def evaluation(case: Case) -> Finding:
    if not case.dropouts:
        return unjudged("no Dropout layer found")
    batch = case.batch
    with case.dropout(0.0):
        plain = case.loss(batch)
    with case.dropout(0.5):
        one, two = case.loss(batch), case.loss(batch)
    if one != two:
        return failed(
            f"without rng two evaluations must agree, got {number(one)} and {number(two)}: dropout is active",
            "forward",
            "dropout",
        )
    if differ(one, plain):
        return failed(
            f"without rng there must be no dropout: the loss is {number(plain)} at rate 0 but "
            f"{number(one)} at 0.5",
            "forward",
            "dropout",
        )
    return passed("without rng there is no dropout")


def training(case: Case) -> Finding:
    """With rng: masks are drawn, from it alone, anew for every call and step, and scaled by 1/(1-p)."""
    if not case.dropouts:
        return unjudged("no Dropout layer found")
    batch, model = case.batch, case.model
    with case.dropout(0.5):
        rng = np.random.default_rng(1)
        one, two = (case.loss(batch, rng=rng) for _ in range(2))
        again = case.loss(batch, rng=np.random.default_rng(1))
        evaluated = case.loss(batch)
        if one == two:
            what = "no dropout is active" if one == evaluated else "the generator is seeded anew each time"
            return failed(
                f"two training calls must differ, both gave {number(one)}: {what}", "forward", "dropout"
            )
        if one != again:
            return failed(
                f"one seed must give one loss, got {number(one)} and {number(again)}: not all "
                "masks come from rng",
                "forward",
                "dropout",
            )
        for path, layer in case.dropouts.items():
            calls = []
            with listening(layer, path, calls):
                model.forward(
                    batch.src, batch.src_mask, batch.tgt_in, rng=np.random.default_rng(2), stepwise=True
                )
            finding = masks(path, calls)
            if finding is not None:
                return finding
    return passed("with rng every call and every step has a mask of its own, scaled by 1/(1-p)")


def repeats(masks: list, n: int) -> bool:
    """Whether every mask is the one n places before."""
    return all(np.array_equal(a, b) for a, b in zip(masks, masks[n:], strict=False))


def masks(path: str, calls: list) -> Finding | None:
    """What is wrong with the masks that one Dropout layer used in one forward call; None: nothing."""
    steps: dict[tuple, list] = {}  # the masks, by shape: one layer may serve several places
    for _, (x, *_), (out, cache) in calls:
        if cache is None:  # this call is not one that drops: a Stack's first layer
            continue
        x, out = to_numpy(x), to_numpy(out)
        used = (x != 0) & (out != 0)
        ratio = (out[used] / x[used]) if used.any() else np.full(1, 2.0)
        if differ(ratio, np.full_like(ratio, 2.0), 1e-6):
            return failed(
                "what dropout at rate 0.5 keeps must be scaled by 2, got a factor "
                f"{number(ratio.mean())} in {path}",
                "dropout ignored",
                path,
            )
        steps.setdefault(out.shape[-2:], []).extend(out != 0 if out.ndim == 3 else [out != 0])
    for used in steps.values():
        # one after the other, or, where two places take turns, every second
        if not any(len(used) > 2 * n and repeats(used, n) for n in (1, 2)):
            continue
        return failed(
            f"every step must have a mask of its own, all {len(used)} of {path} are equal", "forward", path
        )
    return None


# -- programs --------------------------------------------------------------------------------------


def inputs_unchanged(case: Case) -> Finding:
    batch = case.batch
    before = [a.copy() for a in batch]
    weights = {name: p.data.copy() for name, p in case.parameters.items()}
    case.gradients(batch)
    for name, old, new in zip(batch._fields, before, batch, strict=True):
        if not np.array_equal(old, new):
            return failed(f"the batch must be left as it is, {name} was changed", "aliased", name)
    for name, p in case.parameters.items():
        if not np.array_equal(weights[name], p.data):
            return failed(
                f"loss and backward must leave the weights alone, {name} was changed", "aliased", name
            )
    return passed("batch and weights are left as they are")


def dtype(case: Case) -> Finding:
    with case.weights(lambda name, data: data.astype(np.float32)):
        seen = look(case, case.batch)
        for q in seen.quantities:
            if q.array.dtype != np.float32:
                return failed(
                    f"with float32 weights the {q.name} must be float32, got {q.array.dtype}",
                    "forward",
                    q.name,
                )
        loss, cache = case.model.loss(case.batch)
        kind = getattr(loss, "dtype", np.float32)  # a plain number of Python does no harm
        if kind != np.float32:
            return failed(f"with float32 weights the loss must be float32, got {kind}", "forward", "loss")
        case.model.backward(1.0, cache)
        for name, p in case.parameters.items():
            if p.grad.dtype != np.float32:
                return failed(f"the gradient of {name} must be float32, got {p.grad.dtype}", "forward", name)
    return passed("a float32 model computes in float32")


CHECKS = {
    "same batch again": repeatable,
    "evaluation without dropout": evaluation,
    "training with dropout": training,
    "inputs unchanged": inputs_unchanged,
    "dtype kept": dtype,
}
