"""Watching a layer or a model from outside: every operation that it calls, forward and backward.

`Watch` wraps the Ops of a layer tree for the time of a `with` block. It records what went in and out of
each call, and can add a zero probe to any output: a number that changes nothing, and whose numeric
gradient is the true gradient of that output. So every intermediate of a model can be checked without a
line in the model itself.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from minis2s import functional as F
from minis2s.gradcheck.kinds import KINDS
from minis2s.nn.layer import Layer
from minis2s.op import Op

LAYER_METHODS = ("forward", "step", "backward", "step_backward", "project", "project_backward")


@dataclass
class Call:
    """One call of an operation."""

    op: Op  # the operation itself, unwrapped
    path: str  # of the layer that called it
    occurrence: int  # how many calls of this operation by this layer came before
    inputs: tuple
    outs: tuple[np.ndarray, ...]
    single: bool  # whether forward returned one array, not a tuple
    douts: list = field(default_factory=list)  # None where nothing arrived
    dins: tuple = ()
    times_backward: int = 0

    @property
    def floats(self) -> list[int]:
        """Which inputs are differentiated: the arrays of floating-point numbers."""
        found = [n for n, x in enumerate(self.inputs) if isinstance(x, np.ndarray) and x.dtype.kind in "fc"]
        return found[:1] if self.op.name == "embedding" else found

    def name_of_input(self, n: int) -> str:
        kind = KINDS.get(self.op.name)
        names = [*kind.arguments, *kind.extras] if kind else []
        return names[n] if n < len(names) else f"input {n}"

    def name_of_out(self, n: int) -> str:
        kind = KINDS.get(self.op.name)
        names = list(kind.outs) if kind else []
        return names[n] if n < len(names) else "out"


class Tagged:
    """A cache with the number of its call, while a model is watched."""

    def __init__(self, cache, number: int):
        self.cache, self.number = cache, number

    def __getattr__(self, name: str):
        return getattr(self.cache, name)


class Watch:
    """Records the calls of a layer tree; see the module's docstring.

    probe: (number of the call, part of its output, array to add), or None.
    """

    def __init__(self, root: Layer):
        self.root = root
        self.calls: list[Call] = []
        self.count = 0
        self.probe: tuple[int, int, np.ndarray] | None = None
        self.recording = True
        self.stack: list[str] = []

    @contextlib.contextmanager
    def watching(self) -> Iterator["Watch"]:
        undo = []

        def put(owner, name: str, value) -> None:
            undo.append((owner, name, vars(owner).get(name), name in vars(owner)))
            setattr(owner, name, value)

        for path, layer in walk(self.root, ""):
            for name, value in list(vars(layer).items()):
                if isinstance(value, Op):
                    put(layer, name, self.wrapped(value))
            for method in LAYER_METHODS:
                if hasattr(layer, method):
                    put(layer, method, self.located(getattr(layer, method), path))
        for name in ("tanh", "masked_softmax", "weighted_sum", "cross_entropy"):
            put(F, name, self.wrapped(getattr(F, name)))
        try:
            yield self
        finally:
            for owner, name, before, was_there in reversed(undo):
                if was_there:
                    setattr(owner, name, before)
                else:
                    delattr(owner, name)

    def start(self, recording: bool) -> None:
        """Before a forward pass: calls are numbered from 0 again."""
        self.count = 0
        self.recording = recording
        if recording:
            self.calls = []

    def located(self, method, path: str):
        def call(*args, **keywords):
            self.stack.append(path)
            try:
                return method(*args, **keywords)
            finally:
                self.stack.pop()

        return call

    def wrapped(self, op: Op) -> Op:
        def forward(*inputs, **keywords):
            number = self.count
            self.count += 1
            out, cache = op.forward(*inputs, **keywords)
            parts = out if isinstance(out, tuple) else (out,)
            if self.probe is not None and self.probe[0] == number:
                _, part, delta = self.probe
                parts = tuple(p + delta if n == part else p for n, p in enumerate(parts))
            if self.recording:
                path = self.stack[-1] if self.stack else ""
                before = sum(c.path == path and c.op.name == op.name for c in self.calls)
                inputs = (*inputs, *keywords.values())
                arrays = tuple(np.array(p) for p in parts)
                self.calls.append(
                    Call(op, path, before, inputs, arrays, not isinstance(out, tuple), [None] * len(parts))
                )
            return (parts if isinstance(out, tuple) else parts[0]), Tagged(cache, number)

        def backward(dout, tagged):
            din = op.backward(dout, tagged.cache)
            call = self.calls[tagged.number]
            call.times_backward += 1
            given = dout if isinstance(dout, tuple) else (dout,)
            call.douts = [None if d is None else np.array(d, dtype=float) for d in given]
            call.dins = tuple(
                None if d is None else np.array(d) for d in (din if isinstance(din, tuple) else (din,))
            )
            return din

        return Op(op.name, forward, backward)


def walk(layer, path: str) -> Iterator[tuple[str, Layer]]:
    """The layer and all below it, with their paths; also layers that are no minis2s Layer but hold some."""
    yield path, layer
    for name, child in layer.children() if isinstance(layer, Layer) else ():
        if isinstance(child, Layer):
            yield from walk(child, f"{path}.{name}" if path else name)
