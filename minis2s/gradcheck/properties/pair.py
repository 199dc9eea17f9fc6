"""A student's recurrent pair, called in one way whether it is a step or a whole sequence."""

from collections.abc import Callable

import numpy as np

from minis2s.gradcheck.properties import cells
from minis2s.gradcheck.properties.finding import accepts, differ, forward_of, takes

PARTS = {"rnn": 1, "lstm": 2, "gru": 1}
GATES = {"rnn": 1, "lstm": 4, "gru": 3}
T, B, D, H = 5, 4, 3, 4  # D differs from H, so that the two cannot be mixed up


class Pair:
    """A student's forward function, called in one way whether it is a step or a sequence."""

    def __init__(self, subject, kind: str, gates: str, reset_after: bool, seed: int):
        self.kind, self.single = kind.removesuffix("_step"), kind.endswith("_step")
        self.forward = forward_of(subject)
        self.gates = gates or cells.STATED[self.kind]
        self.reset_after = reset_after
        self.stated = cells.stated(self.kind, self.gates, reset_after)
        self.really: Callable | None = self.stated  # the step that the pair was found to compute
        rng = np.random.default_rng(seed)
        n = GATES[self.kind]
        shapes = [(D, n * H), (H, n * H), (n * H,), *([(n * H,)] if self.kind == "gru" else [])]
        self.weights = [0.7 * rng.standard_normal(shape) for shape in shapes]
        self.x = rng.standard_normal((T, B, D))
        self.state = tuple(rng.standard_normal((B, H)) for _ in range(PARTS[self.kind]))
        # ragged at both ends, so that padding comes before real steps as well; a row with none at all
        self.mask = np.array(
            [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 0]], dtype=bool
        ).T
        count = 1 + len(self.state) + len(self.weights) + 1
        self.knows_masks = takes(self.forward, count) or accepts(self.forward, "mask")

    def call(self, x, state, weights=None, mask=None):
        """-> (outputs hs (T, B, H), the last state); a step gives hs of T = 1."""
        weights = self.weights if weights is None else weights
        args, options = [x, *state, *weights], {}
        if mask is not None:
            options["mask"] = mask
        if self.kind == "gru" and accepts(self.forward, "reset_after"):
            options["reset_after"] = self.reset_after
        result = self.forward(*args, **options)
        out = result[0] if isinstance(result, tuple) and len(result) == 2 else result
        out = out if isinstance(out, tuple | list) else (out,)
        parts = len(state) + (0 if self.single else 1)
        if len(out) != parts or any(np.shape(part)[-2:] != (len(state[0]), H) for part in out):
            raise ValueError(
                f"forward must return (out, cache) with {parts} array{'s' if parts > 1 else ''} in out, each "
                f"ending in (B, H) = ({len(state[0])}, {H}), got shapes {[np.shape(part) for part in out]}"
            )
        out = [np.array(part) for part in out]
        return (out[0][None], tuple(out)) if self.single else (out[0], tuple(out[1:]))

    def run(self, x, state, weights=None, mask=None):
        """A whole sequence x (T, B, D), by steps where the pair is a step."""
        if not self.single:
            return self.call(x, state, weights, mask)
        hs = []
        for t in range(len(x)):
            out, state = self.call(x[t], state, weights, None if mask is None else mask[t])
            hs.append(out[0])
        return np.stack(hs), state


def reference(step: Callable, x, state, weights, mask=None):
    """`step` over a sequence; where the mask is False the state is handed on."""
    hs = []
    for t in range(len(x)):
        after = step(x[t], state, weights)
        if mask is not None:
            after = tuple(np.where(mask[t][:, None], a, b) for a, b in zip(after, state, strict=True))
        state = after
        hs.append(state[0])
    return np.stack(hs), state


def equal(a: tuple, b: tuple) -> bool:
    return not any(differ(x, y) for x, y in zip(a, b, strict=True))
