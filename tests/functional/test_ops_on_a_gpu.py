"""Every operation on CuPy, where there is a GPU: the numbers of NumPy, in both precisions and any layout.

The same is tested on a stand-in for CuPy, without a GPU, in test_op_contract.py.
"""

import numpy as np
import pytest


@pytest.mark.gpu
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-4)])
@pytest.mark.parametrize("layout", [np.ascontiguousarray, np.asfortranarray])
def test_a_gpu_gives_the_same(gpu, cases, tools, dtype, tolerance, layout):
    def cast(x):
        return x.astype(dtype) if isinstance(x, np.ndarray) and x.dtype == np.float64 else x

    def moved(x):
        return gpu.asarray(layout(x) if x.ndim else x) if isinstance(x, np.ndarray) else x

    for case in cases:
        inputs = tuple(map(cast, case.inputs))
        out, cache = case.op.forward(*inputs)
        dout = tools.upstream(tools.as_arrays(out), np.random.default_rng(7))
        din = case.op.backward(dout, cache)
        device_out, device_cache = case.op.forward(*map(moved, inputs))
        device_dout = tuple(map(moved, dout)) if type(dout) is tuple else moved(dout)
        device_din = case.op.backward(device_dout, device_cache)
        expected = tools.arrays(tools.as_arrays((tools.parts(out), tools.parts(din))))
        got = [gpu.asnumpy(a) for a in (*tools.parts(device_out), *tools.parts(device_din)) if a is not None]
        for a, b in zip(expected, got, strict=True):
            assert a.dtype == b.dtype, f"{case.name}, {case.label}"
            assert tools.relative_error(b, a) <= tolerance, f"{case.name}, {case.label}"
