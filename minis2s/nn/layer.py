"""Parameter and Layer: who owns the weights.

A Layer holds Parameters (and other Layers) as attributes and calls functional pairs on them.
Its backward returns the gradients of its inputs and ADDS the gradients of its weights into
``Parameter.grad``; only ``zero_grad`` clears them. No activation is ever kept on a layer.
"""

from collections.abc import Iterator
from types import ModuleType

import numpy as np

from minis2s.backend import Array, to_numpy, xp_of


class Parameter:
    """A weight array and the gradient that belongs to it.

    data: the weights.  grad: same shape and dtype, the sum of all gradients since `zero_grad`.
    """

    def __init__(self, data: Array):
        self.data = data
        self.grad = xp_of(data).zeros_like(data)

    def __repr__(self) -> str:
        return f"Parameter(shape={self.data.shape}, dtype={self.data.dtype})"


class Layer:
    """Base of everything that owns Parameters: it finds them, clears, moves and prints them."""

    def children(self) -> Iterator[tuple[str, "Parameter | Layer"]]:
        """The Parameters and Layers held as attributes (or in lists), in the order they were set."""
        for name, value in vars(self).items():
            if isinstance(value, Parameter | Layer):
                yield name, value
            elif isinstance(value, list):
                for n, item in enumerate(value):
                    if isinstance(item, Parameter | Layer):
                        yield f"{name}.{n}", item

    def parameters(self) -> dict[str, Parameter]:
        """Every Parameter below this layer, by its path ("encoder.rnn.Wx").

        A Parameter that two layers share is listed once, under the first path.
        """
        found: dict[str, Parameter] = {}
        seen: set[int] = set()
        for name, child in self.children():
            below = {"": child} if isinstance(child, Parameter) else child.parameters()
            for path, parameter in below.items():
                if id(parameter) not in seen:
                    seen.add(id(parameter))
                    found[f"{name}.{path}" if path else name] = parameter
        return found

    def zero_grad(self) -> None:
        """Set every gradient to zero."""
        for parameter in self.parameters().values():
            parameter.grad[...] = 0

    def count(self) -> int:
        """The number of weights."""
        return sum(parameter.data.size for parameter in self.parameters().values())

    def to(self, xp: ModuleType | None = None, dtype=None) -> "Layer":
        """Move all weights to the array module `xp` and cast them to `dtype`; returns self.

        Gradients start again from zero.
        """
        for parameter in self.parameters().values():
            data = parameter.data
            if xp is not None and xp is not xp_of(data):
                data = xp.asarray(to_numpy(data))
            if dtype is not None:
                data = data.astype(dtype)
            parameter.data = data
            parameter.grad = xp_of(data).zeros_like(data)
        return self

    def on_device(self, x: np.ndarray) -> Array:
        """A NumPy array, brought to where the weights of this layer are (on NumPy: `x` itself)."""
        return xp_of(next(iter(self.parameters().values())).data).asarray(x)

    def state(self) -> dict[str, np.ndarray]:
        """A copy of all weights on the host, by name."""
        return {name: np.array(to_numpy(p.data)) for name, p in self.parameters().items()}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Copy weights in by name.

        Raises ValueError, naming it, when a weight is missing, unknown or of another shape; then
        nothing has been changed.
        """
        parameters = self.parameters()
        for name in parameters | state:
            if name not in state:
                raise ValueError(f"weight {name!r} of the model is missing")
            if name not in parameters:
                raise ValueError(f"weight {name!r} is unknown to the model")
            if state[name].shape != parameters[name].data.shape:
                raise ValueError(
                    f"weight {name!r}: the model has shape {parameters[name].data.shape}, "
                    f"got {state[name].shape}"
                )
        for name, parameter in parameters.items():
            data = parameter.data
            data[...] = xp_of(data).asarray(state[name].astype(data.dtype))

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__}({self.describe()})  {self.count():,} weights"]
        for name, child in self.children():
            if isinstance(child, Parameter):
                text = f"{child.data.shape}"
            else:
                text = repr(child).replace("\n", "\n  ")
            lines.append(f"  {name}: {text}")
        return "\n".join(lines)

    def describe(self) -> str:
        """The sizes and options shown in the layer's repr."""
        return ""
