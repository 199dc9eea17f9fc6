"""What every operation promises beside the right gradient, tested on the whole table of cases.

No memory between calls, nothing changed that was handed in, the dtype kept, any memory layout
accepted, the same numbers on another array module.
"""

import numpy as np


def test_two_live_caches_do_not_disturb_each_other(case, tools):
    rng = np.random.default_rng(1)
    first = case.inputs
    second = tuple(
        x + rng.standard_normal(x.shape) if n < case.n_differentiable and x is not None else x
        for n, x in enumerate(first)
    )
    _, forward, backward = case.op
    out_1, cache_1 = forward(*first)
    dout = tools.upstream(out_1, rng)
    alone_1 = tools.copy(backward(dout, cache_1))
    alone_2 = tools.copy(backward(dout, forward(*second)[1]))

    cache_1, cache_2 = forward(*first)[1], forward(*second)[1]
    din_1, din_2 = backward(dout, cache_1), backward(dout, cache_2)
    tools.assert_same((din_1, din_2), (alone_1, alone_2))

    cache_1, cache_2 = forward(*first)[1], forward(*second)[1]
    din_2, din_1 = backward(dout, cache_2), backward(dout, cache_1)
    tools.assert_same((din_1, din_2), (alone_1, alone_2))


def test_backward_twice_gives_the_same_and_changes_nothing(case, tools):
    out, cache = case.op.forward(*case.inputs)
    dout = tools.upstream(out, np.random.default_rng(2))
    cache_before, dout_before = tools.copy(cache), tools.copy(dout)
    once = tools.copy(case.op.backward(dout, cache))
    twice = case.op.backward(dout, cache)
    tools.assert_same(once, twice)
    tools.assert_same(cache, cache_before)
    tools.assert_same(dout, dout_before)


def test_forward_twice_gives_the_same_and_changes_no_input(case, tools):
    inputs = tools.copy(case.inputs)
    once = tools.copy(tools.as_arrays(case.op.forward(*inputs)[0]))
    tools.assert_same(once, case.op.forward(*inputs)[0])
    tools.assert_same(inputs, case.inputs)


def test_gradients_are_memory_of_their_own(case, tools):
    """A layer may add to one of them in place; that must reach nothing else."""
    out, cache = case.op.forward(*case.inputs)
    dout = tools.upstream(out, np.random.default_rng(3))
    din = tools.arrays(tools.parts(case.op.backward(dout, cache)))
    others = tools.arrays((dout, cache, case.inputs))
    for n, dx in enumerate(din):
        assert not any(np.shares_memory(dx, other) for other in (*din[:n], *others))


def test_cache_is_a_named_tuple(case):
    cache = case.op.forward(*case.inputs)[1]
    assert isinstance(cache, tuple) and cache._fields == tuple(type(cache).__annotations__)


def test_dtype_is_kept(case, tools):
    results = {}
    for dtype in (np.float32, np.float64):
        inputs = [
            x.astype(dtype) if isinstance(x, np.ndarray) and x.dtype == np.float64 else x for x in case.inputs
        ]
        out, cache = case.op.forward(*inputs)
        dout = tools.upstream(tools.as_arrays(case.op.forward(*case.inputs)[0]), np.random.default_rng(4))
        dout = tuple(d.astype(dtype) for d in dout) if type(dout) is tuple else dout.astype(dtype)
        din = case.op.backward(dout, cache)
        results[dtype] = tools.arrays(tools.as_arrays((out, din)))
        assert results[dtype] and all(a.dtype == dtype for a in results[dtype])
        cached = tools.arrays(tools.as_arrays(cache))
        assert all(a.dtype == dtype for a in cached if a.dtype.kind == "f")
    for single, double in zip(results[np.float32], results[np.float64], strict=True):
        assert tools.relative_error(single, double) <= 1e-5


def test_memory_layout_does_not_matter(case, tools):
    """Arrays in Fortran order, and the gradient too, give what C order gives."""
    out, cache = case.op.forward(*case.inputs)
    dout = tools.upstream(out, np.random.default_rng(5))
    din = case.op.backward(dout, cache)

    def turned(x):
        return np.asfortranarray(x) if isinstance(x, np.ndarray) and x.ndim else x

    turned_dout = tuple(map(turned, dout)) if type(dout) is tuple else turned(dout)
    turned_out, turned_cache = case.op.forward(*map(turned, case.inputs))
    turned_din = case.op.backward(turned_dout, turned_cache)
    expected, got = (tools.arrays(tools.as_arrays(x)) for x in ((out, din), (turned_out, turned_din)))
    for a, b in zip(expected, got, strict=True):
        assert tools.relative_error(b, a) <= 1e-12


def test_another_array_module_gives_the_same_and_nothing_crosses(case, tools, strict_xp):
    """On the strict stand-in for CuPy: no host array slips in, and the host never waits."""

    def moved(x):
        return strict_xp.asarray(x) if isinstance(x, np.ndarray) else x

    out, cache = case.op.forward(*case.inputs)
    dout = tools.upstream(out, np.random.default_rng(6))
    din = case.op.backward(dout, cache)
    device_inputs = [moved(x) for x in case.inputs]
    device_dout = tuple(map(moved, dout)) if type(dout) is tuple else moved(dout)
    strict_xp.transfers.reset()
    device_out, device_cache = case.op.forward(*device_inputs)
    device_din = case.op.backward(device_dout, device_cache)
    assert strict_xp.transfers.events == []
    expected = tools.arrays(tools.as_arrays((out, din)))
    got = [
        strict_xp.asnumpy(a) for a in (*tools.parts(device_out), *tools.parts(device_din)) if a is not None
    ]
    for a, b in zip(expected, got, strict=True):
        assert a.dtype == b.dtype and tools.relative_error(b, a) <= 1e-12
