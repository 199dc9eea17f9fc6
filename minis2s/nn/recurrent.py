"""RNN, LSTM and GRU as layers, and the two ways to combine them: Bidirectional and Stack.

All share one interface. A state is a tuple of arrays (B, H): (h,) for RNN and GRU, (h, c) for
LSTM; its first part is also the output of the step.

    (hs, state), cache = layer.forward(x, state, mask)        a whole sequence
    dx, dstate         = layer.backward((dhs, dstate), cache)
    state, cache       = layer.step(x_t, state)               one step of it
    dx_t, dstate       = layer.step_backward(dstate, cache)
"""

from typing import NamedTuple

import numpy as np

from minis2s import functional as F
from minis2s.backend import Array, xp_of
from minis2s.nn import init, live_rows
from minis2s.nn.basic import Dropout, Lookup, reversed_in_time
from minis2s.nn.layer import Layer, Parameter
from minis2s.op import Op

State = tuple[Array, ...]


class LookupCache(NamedTuple):
    table: Array  # (V, D)  of the Lookup
    inner: tuple  # the cache of the operation, which saw ids and the product of table and Wx


class Recurrent(Layer):
    """What RNN, LSTM and GRU have in common: how their weights meet the functional pair."""

    state_parts: int  # arrays in a state: 1, or 2 for the LSTM
    op: Op
    step_op: Op
    hidden_size: int

    def weights(self) -> list[Parameter]:
        """The Parameters in the order of the functional pair's arguments. Every cell lists its own."""
        raise NotImplementedError(f"{type(self).__name__} must list its weights")

    def options(self) -> tuple:
        """Further arguments of the functional pair, after the mask."""
        return ()

    def zero_state(self, x: Array) -> State:
        """The state before the first step, for inputs x (..., B, D) or a Lookup: all zeros."""
        rows, like = (x.ids.shape[-1], x.table) if isinstance(x, Lookup) else (x.shape[-2], x)
        shape = (rows, self.hidden_size)
        return tuple(xp_of(like).zeros(shape, dtype=like.dtype) for _ in range(self.state_parts))

    @property
    def is_plain(self) -> bool:
        """Whether the operations are the engine's own. They take ids for inputs, which one handed in need not;
        that one is also called once, on the whole rectangle, as whoever wrote it expects."""
        return self.op in (F.rnn, F.lstm, F.gru) and self.step_op in (F.rnn_step, F.lstm_step, F.gru_step)

    def forward(self, x: Array | Lookup, state: State | None = None, mask: Array | None = None):
        """x (T, B, D), state of (B, H) or None for zeros, mask (T, B) -> ((hs (T, B, H), state), cache).

        A Lookup in place of x: each row of its table is multiplied with Wx once, and looked up after that.
        """
        Wx, *others = self.weights()
        weights, inputs = (Wx.data, *(w.data for w in others)), x
        if isinstance(x, Lookup):
            weights, inputs = (x.table @ Wx.data, *weights[1:]), x.ids
        state = self.zero_state(x) if state is None else state

        def run(x: Array, state: State, mask: Array | None):
            return self.op.forward(x, *state, *weights, mask, *self.options())

        plan = live_rows.plan_for(mask) if self.is_plain else None
        if plan is None:
            (hs, *last), cache = run(inputs, state, mask)
        else:
            (hs, last), cache = live_rows.forward(run, inputs, state, mask, plan)
        if isinstance(x, Lookup):
            cache = LookupCache(x.table, cache)
        return (hs, tuple(last)), cache

    def backward(self, dout: tuple[Array | None, State | None], cache):
        """dout = (dhs, dstate), either may be None -> (dx, dstate of the initial state).

        For a Lookup dx is the gradient of its table.
        """
        dhs, dstate = dout
        dstate = (None,) * self.state_parts if dstate is None else dstate
        looked_up = cache if isinstance(cache, LookupCache) else None
        if looked_up is not None:
            cache = looked_up.inner
        if isinstance(cache, live_rows.RaggedCache):
            din = live_rows.backward(self.op.backward, dhs, dstate, cache)
        else:
            din = self.op.backward((dhs, *dstate), cache)
        if looked_up is not None:
            # product = table Wx, which stood where Wx stands otherwise
            table, Wx = looked_up.table, self.weights()[0].data
            _, *dstate, dproduct = din[: self.state_parts + 2]
            others = din[self.state_parts + 2 :]
            din = (dproduct @ Wx.T, *dstate, table.T @ dproduct, *others)
        return self._collect(din)

    def step(self, x: Array | Lookup, state: State, mask: Array | None = None):
        """x (B, D), or a Lookup with ids (B,) -> (state after the step, cache)."""
        if isinstance(x, Lookup):  # a sequence of one step
            (_, state), cache = self.forward(
                Lookup(x.table, x.ids[None]), state, None if mask is None else mask[None]
            )
            return state, cache
        out, cache = self.step_op.forward(x, *state, *(w.data for w in self.weights()), mask, *self.options())
        return (out if isinstance(out, tuple) else (out,)), cache

    def step_backward(self, dstate: State, cache):
        """Gradient of the state after the step -> (dx, or that of a Lookup's table; gradient of the state before)."""
        if isinstance(cache, LookupCache):
            return self.backward((None, dstate), cache)
        dout = dstate if self.state_parts > 1 else dstate[0]
        return self._collect(self.step_op.backward(dout, cache))

    def _collect(self, din: tuple[Array, ...]):
        """Add the weight gradients where they belong; return those of x and of the state."""
        dx, *rest = din
        dstate, dweights = rest[: self.state_parts], rest[self.state_parts :]
        for weight, dweight in zip(self.weights(), dweights, strict=True):
            weight.grad += dweight
        return dx, tuple(dstate)

    def describe(self) -> str:
        return f"{self.Wx.data.shape[0]} -> {self.hidden_size}"


class RNN(Recurrent):
    """h = tanh(x Wx + h_prev Wh + b) (Elman 1990). Wx Glorot uniform, Wh orthogonal, b zero."""

    state_parts = 1

    def __init__(
        self,
        in_size: int,
        hidden_size: int,
        *,
        rng: np.random.Generator,
        op: Op = F.rnn,
        step_op: Op = F.rnn_step,
        dtype=np.float32,
    ):
        self.hidden_size = hidden_size
        self.op, self.step_op = op, step_op
        self.Wx = Parameter(init.glorot_uniform(rng, in_size, hidden_size).astype(dtype))
        self.Wh = Parameter(init.orthogonal(rng, hidden_size).astype(dtype))
        self.b = Parameter(np.zeros(hidden_size, dtype))

    def weights(self) -> list[Parameter]:
        return [self.Wx, self.Wh, self.b]


class LSTM(Recurrent):
    """Long short-term memory; gates i, f, o, g. Wx Glorot uniform, Wh orthogonal, b zero but for
    the forget gate, whose bias starts at 1 so that a new cell remembers (Gers et al. 2000;
    Jozefowicz et al. 2015)."""

    state_parts = 2

    def __init__(
        self,
        in_size: int,
        hidden_size: int,
        *,
        rng: np.random.Generator,
        op: Op = F.lstm,
        step_op: Op = F.lstm_step,
        dtype=np.float32,
    ):
        self.hidden_size = hidden_size
        self.op, self.step_op = op, step_op
        self.Wx = Parameter(init.glorot_uniform(rng, in_size, hidden_size, blocks=4).astype(dtype))
        self.Wh = Parameter(init.orthogonal(rng, hidden_size, blocks=4).astype(dtype))
        b = np.zeros(4 * hidden_size, dtype)
        b[hidden_size : 2 * hidden_size] = 1  # the forget gate
        self.b = Parameter(b)

    def weights(self) -> list[Parameter]:
        return [self.Wx, self.Wh, self.b]


class GRU(Recurrent):
    """Gated recurrent unit; gates r, u, n. With `reset_after` (the default, as in cuDNN) the reset
    gate scales h Wh, without it h itself (Cho et al. 2014). Wx Glorot uniform, Wh orthogonal,
    biases zero."""

    state_parts = 1

    def __init__(
        self,
        in_size: int,
        hidden_size: int,
        *,
        rng: np.random.Generator,
        reset_after: bool = True,
        op: Op = F.gru,
        step_op: Op = F.gru_step,
        dtype=np.float32,
    ):
        self.hidden_size = hidden_size
        self.reset_after = reset_after
        self.op, self.step_op = op, step_op
        self.Wx = Parameter(init.glorot_uniform(rng, in_size, hidden_size, blocks=3).astype(dtype))
        self.Wh = Parameter(init.orthogonal(rng, hidden_size, blocks=3).astype(dtype))
        self.bx = Parameter(np.zeros(3 * hidden_size, dtype))
        self.bh = Parameter(np.zeros(3 * hidden_size, dtype))

    def weights(self) -> list[Parameter]:
        return [self.Wx, self.Wh, self.bx, self.bh]

    def options(self) -> tuple:
        return (self.reset_after,)


CELLS: dict[str, type[Recurrent]] = {"rnn": RNN, "lstm": LSTM, "gru": GRU}


class BidirectionalCache(NamedTuple):
    forwards: tuple  # the cache of the layer that reads left to right
    backwards: tuple  # the cache of the layer that reads right to left


class Bidirectional(Layer):
    """Two recurrent layers over the same inputs, one from each end; outputs and final states side
    by side (Schuster and Paliwal 1997).

    With a mask the backward layer meets the padding first and, as its state starts at zero and
    padding hands it on, arrives at the last real step with a zero state: padding changes nothing.
    """

    def __init__(self, forwards: Recurrent, backwards: Recurrent):
        self.forwards = forwards
        self.backwards = backwards
        self.hidden_size = forwards.hidden_size + backwards.hidden_size
        self.state_parts = forwards.state_parts

    @property
    def is_plain(self) -> bool:
        """Whether both operations are the engine's own."""
        return self.forwards.is_plain and self.backwards.is_plain

    def forward(self, x: Array, state: State | None = None, mask: Array | None = None):
        """x (T, B, D) or a Lookup, state of (B, 2H), mask (T, B) -> ((hs (T, B, 2H), state of (B, 2H)), cache)."""
        H = self.forwards.hidden_size
        left = right = None
        if state is not None:
            left, right = tuple(s[:, :H] for s in state), tuple(s[:, H:] for s in state)
        (hs_left, last_left), cache_left = self.forwards.forward(x, left, mask)
        (hs_right, last_right), cache_right = self.backwards.forward(
            reversed_in_time(x), right, None if mask is None else mask[::-1]
        )
        xp = xp_of(hs_left)
        hs = xp.concatenate([hs_left, hs_right[::-1]], axis=-1)
        last = tuple(xp.concatenate(pair, axis=-1) for pair in zip(last_left, last_right, strict=True))
        return (hs, last), BidirectionalCache(cache_left, cache_right)

    def backward(self, dout: tuple[Array | None, State | None], cache: BidirectionalCache):
        """dout = (dhs (T, B, 2H), dstate of (B, 2H)), either may be None -> (dx, dstate)."""
        dhs, dstate = dout
        H = self.forwards.hidden_size
        dhs_left = dhs_right = dleft = dright = None
        if dhs is not None:
            dhs_left, dhs_right = dhs[..., :H], dhs[::-1, :, H:]
        if dstate is not None:
            dleft = tuple(None if d is None else d[:, :H] for d in dstate)
            dright = tuple(None if d is None else d[:, H:] for d in dstate)
        dx, dleft = self.forwards.backward((dhs_left, dleft), cache.forwards)
        dx_right, dright = self.backwards.backward((dhs_right, dright), cache.backwards)
        xp = xp_of(dx)
        dstate = tuple(xp.concatenate(pair, axis=-1) for pair in zip(dleft, dright, strict=True))
        if isinstance(cache.forwards, LookupCache):  # gradients of one table, which has no time
            return dx + dx_right, dstate
        return dx + dx_right[::-1], dstate


class StackCache(NamedTuple):
    dropped: list  # per layer, the dropout cache of its input (None for the first)
    layers: list  # per layer, its own cache


class Stack(Layer):
    """Recurrent layers on top of each other, with dropout between them (Zaremba et al. 2014).

    Its state is a list of states, lowest layer first; its output is that of the top layer.
    """

    def __init__(self, layers: list, *, dropout: float = 0.0):
        self.layers = layers
        self.dropout = Dropout(dropout)
        self.hidden_size = layers[-1].hidden_size

    @property
    def takes_lookups(self) -> bool:
        """Whether the lowest layer can look its inputs up; an operation handed in need not be able to."""
        return self.layers[0].is_plain

    def forward(
        self,
        x: Array | Lookup,
        states: list[State] | None = None,
        mask: Array | None = None,
        *,
        rng: np.random.Generator | None = None,
    ):
        """x (T, B, D), or a Lookup where `takes_lookups` -> ((hs (T, B, H), states), cache)."""
        cache = StackCache([], [])
        last = []
        for n, layer in enumerate(self.layers):
            x, dropped = self.dropout.forward(x, rng=rng if n > 0 else None)
            (x, state), inner = layer.forward(x, None if states is None else states[n], mask)
            last.append(state)
            cache.dropped.append(dropped)
            cache.layers.append(inner)
        return (x, last), cache

    def backward(self, dout: tuple[Array | None, list[State] | None], cache: StackCache):
        """dout = (dhs, dstates), either may be None -> (dx, dstates of the initial states)."""
        dx, dlast = dout
        dstates = [()] * len(self.layers)
        for n in reversed(range(len(self.layers))):
            dx, dstates[n] = self.layers[n].backward(
                (dx, None if dlast is None else dlast[n]), cache.layers[n]
            )
            dx = self.dropout.backward(dx, cache.dropped[n])
        return dx, dstates

    def step(self, x: Array, states: list[State], *, rng: np.random.Generator | None = None):
        """x (B, D) -> (states after the step, cache). The output is ``states[-1][0]``."""
        cache = StackCache([], [])
        after = []
        for n, layer in enumerate(self.layers):
            x, dropped = self.dropout.forward(x, rng=rng if n > 0 else None)
            state, inner = layer.step(x, states[n])
            x = state[0]
            after.append(state)
            cache.dropped.append(dropped)
            cache.layers.append(inner)
        return after, cache

    def step_backward(self, dstates: list[State], cache: StackCache):
        """Gradients of the states after the step -> (dx, gradients of the states before it)."""
        before = [()] * len(self.layers)
        dx = None
        for n in reversed(range(len(self.layers))):
            dh, *others = dstates[n]
            if dx is not None:  # the output of this layer was the input of the one above
                dh = dh + dx
            dx, before[n] = self.layers[n].step_backward((dh, *others), cache.layers[n])
            dx = self.dropout.backward(dx, cache.dropped[n])
        return dx, before

    def describe(self) -> str:
        return f"{len(self.layers)} layers, dropout {self.dropout.p}"
