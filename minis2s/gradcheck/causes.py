"""The words for what can be wrong: a table of causes, a place, and a finding.

Everything that names a mistake uses these two: the checker's diagnosis, the hints, the catalogue of
planted bugs, and the benchmark that counts how often the diagnosis is right.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

CAUSES: dict[str, str] = {
    # -- of one number for the whole block ---------------------------------------------------------
    "sign": "the sign is wrong",
    "scale": "a constant factor is wrong: twice, half, the root of a size, or the like",
    "normalization": "divided by the wrong count: the batch, the steps, padding included, or not at all",
    "doubled": "counted twice: a contribution is added two times",
    # -- of one line ------------------------------------------------------------------------------
    "missing factor": "a factor of the product is left out",
    "wrong derivative": "the derivative of another activation, or none, or the activation applied twice",
    "wrong variable": "another variable stands where one belongs: its neighbour in time, its input, its output",
    "missing term": "a path to the loss is left out: one of the terms that add up",
    "extra term": "a term is there that does not belong",
    "transpose": "a matrix is multiplied without its transpose, or with it where it should not be",
    "gate order": "the blocks of the gates are exchanged, or in another order than in forward",
    "axis": "a sum, a mean or a softmax runs over the wrong axis, or over the batch",
    "softmax jacobian": "only the diagonal of the softmax's Jacobian: what a raised score takes from the others is lost",
    # -- of time ----------------------------------------------------------------------------------
    "carry dropped": "the gradient of the state is not handed back to the step before, or not taken over from the step after",
    "carry doubled": "the gradient of the state is handed back twice",
    "carry scaled": "the gradient of the state is handed back with a wrong factor",
    "time shift": "shifted by a step, or run in the wrong direction of time",
    # -- of sums ----------------------------------------------------------------------------------
    "batch sum": "the sum over the batch (or over rows) is missing: one row, or the mean",
    "overwritten": "= where += belongs: of several contributions only the last is kept",
    "repeated ids": "of an id that comes several times only one gradient is kept",
    # -- of padding and chance ----------------------------------------------------------------------
    "mask ignored": "padding is not masked, or not masked rightly",
    "dropout ignored": "the dropout mask, or its factor 1/(1-p), is missing",
    # -- of the hand-over between parts -------------------------------------------------------------
    "hand-over": "a gradient does not arrive at the part that it belongs to: encoder, bridge, memory, input feeding",
    # -- of programs --------------------------------------------------------------------------------
    "not cleared": "gradients of an earlier call are still there",
    "stale cache": "backward uses what another forward call left, or a cache of another step",
    "aliased": "an array is changed in place while something else still needs it",
    "not linear": "what backward returns is not proportional to the gradient that it is given",
    # -- not of backward ------------------------------------------------------------------------------
    "forward": "forward computes something else than it says",
    "optimizer": "the update rule differs from the stated one",
    "clipping": "gradients are shortened by another rule than the stated one",
    "search": "the search does not find, or not score, what it should",
}


@dataclass(frozen=True)
class Place:
    """Where, going backward from the loss, a gradient is wrong for the first time.

    node: the quantity, with a d in front: "dlogits", "dscores", "dh", "dc", "dz" (with a gate), or,
    where all of these are right and only a weight is not, that weight's gradient, "dWh".
    """

    node: str
    layer: str = ""  # path of the layer in a model: "decoder.cells.layers.0"; "" for a single operation
    step: int | None = None  # time step, from 0
    gate: str = ""  # letters of the gates that are wrong, "o" or "if"
    rows: tuple[int, ...] | None = None  # rows of the batch, where not all of them are wrong
    guessed: bool = False  # only from which gradients are wrong; nothing inside was looked at
    others: tuple[str, ...] = ()  # of a weight's gradient: the other weights that are wrong as well

    def __str__(self) -> str:
        words = [self.node]
        if self.gate:
            words.append(
                f"gate {', '.join(self.gate)}" if len(self.gate) == 1 else f"gates {', '.join(self.gate)}"
            )
        if self.step is not None:
            words.append(f"at step {self.step}")
        if self.rows is not None:
            words.append(
                f"in row{'s' if len(self.rows) > 1 else ''} {', '.join(map(str, self.rows))} of the batch"
            )
        if self.layer:
            words.append(f"of {self.layer}")
        return " ".join(words)


def with_others(place: Place, wrong: list[str]) -> Place:
    """The place of a weight's gradient, with the others of the `wrong` blocks: nothing follows from it, so they have
    a place of their own. Any other place as it is."""
    if not place.node.startswith(("dW", "db", "dv")) or place.node == "dvalues":
        return place
    own = f"{place.layer}.{place.node[1:]}" if place.layer else place.node[1:]
    return replace(place, others=tuple(name for name in wrong if name != own))


class Finding(NamedTuple):
    """The answer to one question about code under test: of hygiene, or of a property of its forward pass."""

    check: str  # what was asked
    ok: bool | None  # True: it holds; False: it does not; None: it could not be judged, or only a remark
    says: str  # one sentence: what was expected and what came, with numbers and place
    cause: str = ""  # key of CAUSES; "" where the property holds
    place: str = ""  # the leaking path, the part or the gradient concerned; "" where there is none to name
    level: int = 0  # the level of hints that it needs to be shown
    seen: str = (
        ""  # how much of `says` may be told below hint level 2, without causes and remedies; "" for all of it
    )

    def prefixed(self, before: str) -> "Finding":
        """With words before it, as those that say where it was seen."""
        return self._replace(says=before + self.says, seen=before + self.seen if self.seen else "")

    def told(self, more: str) -> "Finding":
        """With words behind it that need hint level 2, as a remedy, with their punctuation."""
        return self._replace(says=self.says + more, seen=self.seen or self.says)

    def __str__(self) -> str:
        return f"{ {True: 'ok', False: 'WRONG', None: 'not judged'}[self.ok]:10} {self.check}: {self.says}"


class Note(NamedTuple):
    """A remark on the gradient of one input or weight.

    level: the level of hints that it needs to be shown. tells: what it says beyond that, at level 2.
    """

    text: str
    level: int = 0
    tells: str = ""

    def __str__(self) -> str:
        return f"{self.text}: {self.tells}" if self.tells else self.text


def fault(seen: str, cause: str = "", place: str = "", *, more: str = "", check: str = "hygiene") -> Finding:
    """Something about how the code behaves, beside its numbers, that is wrong.

    seen: what was seen, as every hint level may tell it. more: why, and what to do, with its punctuation.
    """
    return Finding(check, False, seen, cause, place).told(more)


def remark(seen: str, cause: str = "", place: str = "", level: int = 0, *, more: str = "") -> Finding:
    """Something worth saying that does not count against the code; otherwise as `fault`."""
    return Finding("hygiene", None, seen, cause, place, level).told(more)
