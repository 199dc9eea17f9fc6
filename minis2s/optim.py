"""Optimizers: how gradients become changes of the weights, and clipping before that.

An optimizer takes the parameters of a model, as `model.parameters()` lists them. Each `step` reads
every `Parameter.grad` and changes `Parameter.data` in place; `zero_grad` remains the caller's. What
it remembers between steps is kept by parameter name, and `state` / `load_state` carry it over.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from minis2s.backend import Array, to_numpy, xp_of
from minis2s.kernels import fused
from minis2s.nn.layer import Parameter

PIECE = 2**15  # numbers: a piece of five arrays, and what is computed of it, stays in a processor's cache

Spread = Callable[[Callable, Iterable], Iterable]  # map, or Workers.spread, which uses several threads


def pieces(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    """The same stretches of several arrays of one shape: views, to be changed in place.

    Line after line over an array that is larger than the processor's cache fetches all of it from memory
    for every line; all lines over one piece after the other fetch it once. On a GPU an array is one
    piece, and so it is where its numbers do not lie in order.
    """
    if not all(isinstance(a, np.ndarray) and a.flags.c_contiguous for a in arrays):
        yield arrays
        return
    flat = [a.reshape(-1) for a in arrays]
    for start in range(0, flat[0].size, PIECE):
        yield tuple(a[start : start + PIECE] for a in flat)


class Optimizer:
    """What all optimizers share: the walk over the parameters, and saving what is remembered.

    A subclass names its running arrays (`running`: each has a parameter's shape and starts at
    zero) and writes `update`, the change of some weights. Those arrays are made here, with the
    dtype and array module of the parameters: move a model (`Layer.to`) first and make its optimizer
    afterwards.

    lr: the learning rate, free to be set before each step.  steps: the number of steps taken.
    """

    def __init__(self, parameters: Mapping[str, Parameter], lr: float, running: tuple[str, ...] = ()):
        if not parameters:
            raise ValueError("an optimizer needs at least one parameter, got none")
        if not 0 <= lr < math.inf:
            raise ValueError(f"lr must be a finite number >= 0, got {lr}")
        self.parameters = dict(parameters)
        self.lr = lr
        self.steps = 0
        self.running = {
            kind: {name: xp_of(p.data).zeros_like(p.data) for name, p in self.parameters.items()}
            for kind in running
        }
        self.dtypes = {name: p.data.dtype for name, p in self.parameters.items()}

    def step(self, spread: Spread = map) -> None:
        """Change every parameter once, in place, by its gradient; `spread` may use several threads for it.

        Raises ValueError when a parameter has another dtype than the optimizer was made for; then
        nothing has been changed.
        """
        for name, p in self.parameters.items():
            if p.data.dtype != self.dtypes[name]:
                raise ValueError(
                    f"parameter {name!r} is {p.data.dtype}, the optimizer was made for {self.dtypes[name]}: "
                    "make the optimizer after the model has been moved or cast"
                )
        self.steps += 1
        work = [
            piece
            for name, p in self.parameters.items()
            for piece in pieces(p.data, p.grad, *(arrays[name] for arrays in self.running.values()))
        ]
        list(spread(lambda piece: self.update(*piece), work))

    def update(self, p: Array, dp: Array, *running: Array) -> None:
        """Change some weights `p` in place by their gradient `dp`; all arrays have one shape.

        `dp` is left as it is. Several threads may be in here, each with weights of its own.
        """
        raise NotImplementedError(f"{type(self).__name__} has no update")

    def state(self) -> dict[str, np.ndarray]:
        """A copy, on the host, of what is remembered: "step", and each running array as "m/encoder.Wx"."""
        remembered = {key: np.array(to_numpy(array)) for key, array in self.remembered().items()}
        return {"step": np.array(self.steps), **remembered}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a `state`; `lr` and the other settings stay as they are.

        Raises ValueError, naming it, when an entry is missing, unknown or of another shape; then
        nothing has been changed.
        """
        mine = self.remembered()
        shapes = {"step": ()} | {key: array.shape for key, array in mine.items()}
        for key in shapes | dict(state):
            where = f"{type(self).__name__} state: {key!r}"
            if key not in state:
                raise ValueError(f"{where} is missing")
            if key not in shapes:
                raise ValueError(f"{where} is unknown to this optimizer")
            if state[key].shape != shapes[key]:
                raise ValueError(f"{where} should have shape {shapes[key]}, got {state[key].shape}")
        self.steps = int(state["step"])
        for key, array in mine.items():
            array[...] = xp_of(array).asarray(state[key].astype(array.dtype))

    def remembered(self) -> dict[str, Array]:
        """The running arrays themselves, as "m/encoder.Wx"."""
        return {f"{kind}/{name}": a for kind, arrays in self.running.items() for name, a in arrays.items()}

    def __repr__(self) -> str:
        shown = {name: x for name, x in vars(self).items() if isinstance(x, int | float | tuple)}
        return f"{type(self).__name__}({', '.join(f'{name}={x}' for name, x in shown.items())})"


class SGD(Optimizer):
    """Gradient descent, with momentum (heavy ball or Nesterov's) when asked for.

        g  = dp + weight_decay * p
        v  = momentum * v + g                       only with momentum
        p -= lr * g                                 plain
        p -= lr * v                                 with momentum
        p -= lr * g + lr * momentum * v             with nesterov=True

    Source: Sutskever et al. 2013, eqs. 1-2 (momentum) and 3-4 (Nesterov; p here is their look-ahead
    point). Their velocity is -lr * v: the two agree as long as lr is constant, and when it falls
    this form shortens the whole step at once.
    """

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ):
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be in [0, 1), got {momentum}")
        if nesterov and momentum == 0:
            raise ValueError("nesterov=True needs a momentum above 0")
        check_decay(weight_decay)
        super().__init__(parameters, lr, running=("v",) if momentum else ())
        self.momentum = momentum
        self.nesterov = nesterov
        self.weight_decay = weight_decay

    def update(self, p: Array, dp: Array, v: Array | None = None) -> None:
        lr, momentum = float(self.lr), self.momentum
        # g = dp + weight_decay * p
        g = dp
        if self.weight_decay:
            g = dp + self.weight_decay * p
        # v = momentum * v + g
        if v is not None:
            v *= momentum
            v += g
        # p -= lr * g
        if v is None or self.nesterov:
            p -= lr * g
        # p -= lr * v, or lr * momentum * v beside the above
        if v is not None:
            p -= (lr * momentum if self.nesterov else lr) * v


class Adam(Optimizer):
    """Adam: each weight's step is its mean gradient over the root of its mean squared gradient.

        m  = beta1 * m + (1 - beta1) * dp           running mean
        v  = beta2 * v + (1 - beta2) * dp**2        running mean square
        p -= lr_t * m / (sqrt(v) + eps_t)

    At step t = 1, 2, ... m and v, which started at zero, are too small by 1 - beta1**t and
    1 - beta2**t. Both corrections are moved into two numbers, so no array is touched for them:

        lr_t  = lr * sqrt(1 - beta2**t) / (1 - beta1**t)
        eps_t = eps * sqrt(1 - beta2**t)

    Source: Kingma and Ba 2015, algorithm 1, in the order of computation given at the end of their
    section 2; eps_t makes the two forms equal. The first step is lr * sign(dp) wherever |dp| >> eps.
    """

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ):
        if not (len(betas) == 2 and all(0 <= beta < 1 for beta in betas)):
            raise ValueError(f"betas must be two numbers in [0, 1), got {betas}")
        if not 0 < eps < math.inf:
            raise ValueError(f"eps must be above 0, got {eps}")
        super().__init__(parameters, lr, running=("m", "v"))
        self.betas = tuple(betas)
        self.eps = eps

    def update(self, p: Array, dp: Array, m: Array, v: Array) -> None:
        beta1, beta2 = self.betas
        root = math.sqrt(1 - beta2**self.steps)
        lr_t = float(self.lr) * root / (1 - beta1**self.steps)
        eps_t = self.eps * root
        # m = beta1 * m + (1 - beta1) * dp
        m *= beta1
        m += (1 - beta1) * dp
        # v = beta2 * v + (1 - beta2) * dp**2
        v *= beta2
        v += (1 - beta2) * dp**2
        # p -= lr_t * m / (sqrt(v) + eps_t)
        p -= lr_t * m / (xp_of(v).sqrt(v) + eps_t)


class AdamW(Adam):
    """Adam with decoupled weight decay: weights shrink directly, not through the gradient.

        p -= lr * weight_decay * p
        then Adam's lines

    In Adam a decay added to the gradient would be divided by sqrt(v) like the rest of it, and hold
    back least the weights with the largest gradients. All parameters decay, biases too.

    Source: Loshchilov and Hutter 2019, algorithm 2, with the decay scaled by lr.
    """

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ):
        check_decay(weight_decay)
        super().__init__(parameters, lr, betas, eps)
        self.weight_decay = weight_decay

    def update(self, p: Array, dp: Array, m: Array, v: Array) -> None:
        # p -= lr * weight_decay * p
        p *= 1 - float(self.lr) * self.weight_decay
        super().update(p, dp, m, v)


def check_decay(weight_decay: float) -> None:
    if not 0 <= weight_decay < math.inf:
        raise ValueError(f"weight_decay must be a finite number >= 0, got {weight_decay}")


def global_norm(parameters: Mapping[str, Parameter], spread: Spread = map) -> float:
    """The length of all gradients seen as one vector: sqrt(sum of dp**2 over every weight).

    It is nan or inf when a gradient is, and inf too where the squares leave the range of the dtype
    (in float32, gradients of about 1e19).
    """
    squares = squared_lengths(parameters, spread)
    # one conversion at the very end: on a GPU each conversion waits for the device
    return math.sqrt(float(sum(squares)))


def squared_lengths(parameters: Mapping[str, Parameter], spread: Spread = map) -> list[Array]:
    """The squared length of each piece of the gradients, scalars on their device."""
    return list(spread(lambda dp: xp_of(dp).vdot(dp, dp), gradient_pieces(parameters)))


def gradient_pieces(parameters: Mapping[str, Parameter]) -> list[Array]:
    return [dp for p in parameters.values() for (dp,) in pieces(p.grad)]


def clip_global_norm(
    parameters: Mapping[str, Parameter], max_norm: float, spread: Spread = map
) -> float | Array:
    """Shorten all gradients together, in place, so that their global norm is at most `max_norm`.

        norm = sqrt(sum of dp**2 over every weight)
        dp  *= max_norm / norm                      only where norm > max_norm

    One factor for all keeps the direction. Call it when the gradient is complete: after all
    micro-batches have been added up, before the optimizer's step.

    Returns the norm before clipping. When that is nan or inf no factor can help: the gradients are
    left as they are, and the caller decides (stop, or skip the step). max_norm=inf only measures.
    On a GPU the norm is a 0-d array there: reading it, as by float(norm), waits for the device.

    Raises ValueError when `max_norm` is not above 0.

    Source: Pascanu et al. 2013, algorithm 1.
    """
    if not max_norm > 0:
        raise ValueError(f"max_norm must be above 0, got {max_norm}")
    if any(fused(xp_of(p.grad)) for p in parameters.values()):
        return clip_on_device(parameters, max_norm)
    norm = global_norm(parameters, spread)
    if math.isfinite(norm) and norm > max_norm:
        scale = float(max_norm) / norm
        list(spread(lambda dp: np.multiply(dp, scale, out=dp), gradient_pieces(parameters)))
    return norm


def clip_on_device(parameters: Mapping[str, Parameter], max_norm: float) -> Array:
    """`clip_global_norm` in which nobody waits: the factor is computed where the gradients are, and is 1 for none."""
    squares = squared_lengths(parameters)
    xp = xp_of(squares[0])
    norm = xp.sqrt(sum(squares))
    scale = xp.where(xp.isfinite(norm) & (norm > max_norm), max_norm / norm, 1).astype(norm.dtype)
    for p in parameters.values():
        p.grad *= scale
    return norm


def on_host(*scalars: float | Array) -> list[float]:
    """Numbers and 0-d arrays as floats; those on a device come in one transfer, so that it is waited for once."""
    there = [x for x in scalars if not isinstance(x, float | int | np.generic | np.ndarray)]
    if not there:
        return [float(x) for x in scalars]
    xp = xp_of(there[0])
    return to_numpy(xp.stack([xp.asarray(x) for x in scalars])).tolist()
