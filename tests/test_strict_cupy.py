"""The stand-in for CuPy bites where CuPy bites: what it refuses, where it differs in silence, what it counts.

The last tests hold it against CuPy itself: its names wherever CuPy is installed, its behaviour
where there is a GPU. What the package does on it is in test_devices.py and tests/functional/.
"""

import inspect

import numpy as np
import pytest

# -- what it refuses ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "convert",
    [
        np.asarray,
        np.array,
        np.tanh,
        np.sum,
        np.atleast_1d,
        lambda x: np.concatenate([x, x]),
        lambda x: np.add(x, 1),
        lambda x: np.array([x, x]),
        lambda x: np.zeros(3).__setitem__(slice(None), x),
        lambda x: np.zeros(3)[x],
    ],
)
def test_numpy_cannot_look_inside(strict_xp, convert):
    with pytest.raises(TypeError):
        convert(strict_xp.ones(3, dtype=np.int64))


@pytest.mark.parametrize(
    "mix",
    [
        lambda x, n: x + n,
        lambda x, n: n + x,
        lambda x, n: x @ n,
        lambda x, n: n @ x,
        lambda x, n: x < n,
        lambda x, n: n == x,
        lambda x, n: x.__iadd__(n),
        lambda x, n: n.__iadd__(x),
        lambda x, n: x + n[0, 0:0],
        lambda x, n: x * [1.0, 2.0],
    ],
)
def test_arithmetic_with_the_host_is_refused(strict_xp, mix):
    with pytest.raises(TypeError):
        mix(strict_xp.ones((2, 2)), np.ones((2, 2)))


@pytest.mark.parametrize(
    "mix",
    [
        lambda xp, x, n: xp.maximum(x, n),
        lambda xp, x, n: xp.where(n > 0, x, x),
        lambda xp, x, n: xp.where(x > 0, n, x),
        lambda xp, x, n: xp.concatenate([x, n]),
        lambda xp, x, n: xp.stack([n, n]),
        lambda xp, x, n: xp.matmul(x, n),
        lambda xp, x, n: xp.einsum("ij,jk->ik", x, n),
        lambda xp, x, n: xp.sum(n),
        lambda xp, x, n: xp.zeros_like(n),
        lambda xp, x, n: xp.tanh(x, out=n),
        lambda xp, x, n: xp.tanh(n, out=x),
        lambda xp, x, n: xp.sum(x, axis=0, out=n[0]),
        lambda xp, x, n: xp.take_along_axis(x, n.astype(int), axis=0),
        lambda xp, x, n: xp.clip(x, n, 2),
        lambda xp, x, n: xp.full((2, 2), n),
        lambda xp, x, n: xp.argsort(n),
    ],
)
def test_functions_refuse_arrays_of_the_host(strict_xp, mix):
    with pytest.raises(TypeError):
        mix(strict_xp, strict_xp.ones((2, 2)), np.ones((2, 2)))


@pytest.mark.parametrize(
    "call",
    [
        lambda xp, x: xp.max(x, initial=0),
        lambda xp, x: xp.sum(x, where=x > 0),
        lambda xp, x: x.max(initial=0),
        lambda xp, x: xp.add(x, 1, where=x > 0),
        lambda xp, x: x.reshape(4)[: x[0, 0]],
        lambda xp, x: range(x[0, 0]),
        lambda xp, x: xp.arange(x[0, 0]),
        lambda xp, x: hash(x),
    ],
)
def test_arguments_that_cupy_does_not_take(strict_xp, call):
    with pytest.raises((TypeError, IndexError)):
        call(strict_xp, strict_xp.ones((2, 2), dtype=np.int64))


def test_other_sort_kinds_and_other_dtypes_are_refused(strict_xp):
    with pytest.raises(ValueError, match="stable"):
        strict_xp.argsort(strict_xp.ones(2), kind="quicksort")
    for strange in (np.array(["a"]), np.array([None])):
        with pytest.raises(ValueError, match="Unsupported dtype"):
            strict_xp.asarray(strange)


@pytest.mark.parametrize(
    "name", ["insert", "errstate", "frompyfunc", "block", "einsum_path", "put_along_axis"]
)
def test_functions_that_cupy_lacks_are_missing(strict_xp, name):
    assert hasattr(np, name)
    with pytest.raises(AttributeError, match=name):
        getattr(strict_xp, name)


# -- where it differs in silence ----------------------------------------------------------------


def test_indices_outside_wrap_around(strict_xp):
    xp = strict_xp
    x = xp.arange(6).reshape(2, 3)
    columns = xp.asarray([3, -4, 7])
    assert x[0, columns].get().tolist() == [0, 2, 1]
    assert x[:, columns].get().tolist() == [[0, 2, 1], [3, 5, 4]]
    assert x[..., columns].get().tolist() == [[0, 2, 1], [3, 5, 4]]
    assert x[xp.asarray([2])].get().tolist() == [[0, 1, 2]]
    assert x[xp.asarray([2, 3]), columns[:2]].get().tolist() == [0, 5]
    assert xp.take(x, columns, axis=1).get().tolist() == [[0, 2, 1], [3, 5, 4]]
    assert xp.take_along_axis(x, xp.asarray([[4], [5]]), axis=1).get().tolist() == [[1], [5]]
    x[xp.asarray([3]), 0] = 9
    assert x.get().tolist() == [[0, 1, 2], [9, 4, 5]]
    with pytest.raises(IndexError):  # a plain integer does not wrap, in CuPy neither
        x[2]


def test_which_of_two_values_for_one_place_wins_is_not_numpys_choice(strict_xp):
    xp = strict_xp
    x = xp.zeros((3, 2))
    x[xp.asarray([1, 1, 0])] = xp.asarray([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    assert x.get().tolist() == [[5, 6], [1, 2], [0, 0]]
    xp.add.at(x, xp.asarray([2, 2, 5]), xp.ones((3, 2)))
    assert x.get().tolist() == [[5, 6], [1, 2], [3, 3]]


def test_reductions_and_elements_are_arrays(strict_xp):
    x = strict_xp.arange(4).reshape(2, 2)
    for scalar in (x.sum(), strict_xp.max(x), x[0, 1], x.mean(), x.argmax(), x[0] @ x[0]):
        assert isinstance(scalar, strict_xp.ndarray)
        assert scalar.shape == ()
    x[0, 1][...] = 7  # an element is a view
    assert x.get().tolist() == [[0, 7], [2, 3]]


def test_empty_is_rubbish_and_nothing_warns(strict_xp):
    assert np.isnan(strict_xp.empty(3).get()).all()
    assert np.isnan(strict_xp.empty_like(strict_xp.ones(2)).get()).all()
    assert (strict_xp.empty(3, dtype=np.int64).get() != 0).all()
    zero = strict_xp.zeros(2)
    assert np.isnan((zero / zero).get()).all()  # RuntimeWarning is an error in this suite
    assert np.isinf(strict_xp.exp(zero + 1000).get()).all()


def test_results_are_laid_out_in_c_order(strict_xp):
    x = strict_xp.ones((2, 3)).T
    assert not x.flags.c_contiguous
    assert (x * 2).flags.c_contiguous
    assert not (np.ones((2, 3)).T * 2).flags.c_contiguous


def test_views_are_views_and_results_keep_their_dtype(strict_xp):
    xp = strict_xp
    x = xp.zeros((2, 3), dtype=np.float32)
    x[0, 1:] += 2
    x.T[2] *= 3
    out = x[1]
    assert xp.add(x[0], 1.0, out=out) is out
    assert x.get().tolist() == [[0, 2, 6], [1, 3, 7]]
    for result in (x * 2, 1 - x, x**2, -x, x @ x.T, xp.where(x > 0, x, 0), x.mean(axis=0), x / 3):
        assert result.dtype == np.float32
    assert (x * np.float64(2)).dtype == np.float64  # a NumPy scalar is not a Python number


# -- what it counts -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wait",
    [
        lambda xp, x: float(x[0]),
        lambda xp, x: int(x[0]),
        lambda xp, x: bool(x[0] > 1),
        lambda xp, x: x.tolist(),
        lambda xp, x: x[0].item(),
        lambda xp, x: f"{x[0]:.3f}",
        lambda xp, x: str(x),
        lambda xp, x: x[x > 0],
        lambda xp, x: x.__setitem__(x > 0, 0),
        lambda xp, x: xp.nonzero(x),
        lambda xp, x: xp.where(x > 0),
        lambda xp, x: xp.unique(x),
    ],
)
def test_every_wait_is_counted(strict_xp, wait):
    x = strict_xp.ones(3)
    assert strict_xp.transfers.events == []
    wait(strict_xp, x)
    transfers = strict_xp.transfers
    assert (transfers.to_device, transfers.to_host, transfers.syncs) == (0, 0, 1)
    assert __file__ in transfers.events[0][2]


def test_every_crossing_is_counted(strict_xp):
    xp, transfers = strict_xp, strict_xp.transfers
    x = xp.asarray(np.ones(3))
    assert transfers.to_device == 1
    assert xp.asarray(x) is x
    assert transfers.to_device == 1
    x[np.array([0, 1])]  # CuPy takes it, and copies it over each time
    x[[0, 1]] = np.zeros(2)
    assert transfers.to_device == 4
    with pytest.raises(ValueError, match="fill"):
        x[0:2] = np.zeros(2)
    xp.asnumpy(x)
    x.get()
    assert transfers.to_host == 2
    assert transfers.syncs == 0


def test_what_stays_on_the_device_is_not_counted(strict_xp):
    xp = strict_xp
    x = xp.zeros((3, 4))
    x[xp.arange(2)] += 1
    y = xp.where(x > 0, x, 0).sum(axis=0, keepdims=True) / xp.maximum(x.sum(), 1)
    for row in y:
        x[0] = row
    assert len(x) == 3
    assert xp.transfers.events == []


# -- kernels written in C -----------------------------------------------------------------------


def test_a_kernel_is_computed_for_every_element(strict_xp):
    xp = strict_xp
    kernel = xp.ElementwiseKernel(
        "T x, T y, bool keep, T half",
        "T z, T w",
        """
        // comments are no code; * / )
        T both = x * y - half * (x - y) / 2;
        w = w + T(0.25) * tanh(both);
        z = keep && x != 0 ? -both : exp(-x) + sqrt(T(4));
        """,
        "mixed",
    )
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64):
        x, y = rng.normal(size=(3, 4)).astype(dtype), rng.normal(size=(1, 4)).astype(dtype)
        keep, w = np.array([[True], [False], [True]]), rng.normal(size=(3, 4)).astype(dtype)
        z, out = xp.empty((3, 4), dtype), xp.asarray(w)
        result = kernel(xp.asarray(x), xp.asarray(y), xp.asarray(keep), 0.5, z, out)
        assert result[0] is z and result[1] is out
        both = x * y - 0.5 * (x - y) / 2
        np.testing.assert_array_equal(z.get(), np.where(keep, -both, np.exp(-x) + 2))
        np.testing.assert_array_equal(out.get(), w + 0.25 * np.tanh(both))
    assert xp.transfers.kernels == ["mixed", "mixed"]


def test_outputs_are_made_and_sums_are_taken(strict_xp):
    xp = strict_xp
    x = xp.asarray(np.arange(6.0).reshape(2, 3))
    y = xp.ElementwiseKernel("T x, int64 k", "T y, bool small", "y = 2 * x; small = k < 2;")(x, xp.arange(3))
    assert [a.get().tolist() for a in y] == [[[0, 2, 4], [6, 8, 10]], [[True, True, False]] * 2]
    total = xp.ReductionKernel("T x, T y", "T s", "x * y", "a + b", "s = a", "0")(
        x, xp.ones((1, 3)), axis=-1, keepdims=True
    )
    assert total.get().tolist() == [[3], [12]]
    with pytest.raises(NotImplementedError, match="sum"):
        xp.ReductionKernel("T x", "T s", "x", "max(a, b)", "s = a", "0")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("y = 0.5 * x;", "double in C"),
        ("y = x * (1 / 2);", "whole numbers"),
        ("y = x * d;", "several types"),
        ("y = d;", "assigned float64"),
        ("y = real ? x : d;", "several types"),
        ("y = x ? x : x;", "must be boolean"),
        ("y = real * x;", "several types"),
        ("y = real + real;", "floating-point"),
        ("y = -real;", "floating-point"),
        ("y = tanh(1);", "floating-point"),
        ("y = x", "the end"),
        ("y = (x;", "expected"),
        ("y x;", "expected '='"),
        ("x = y;", "no output"),
        ("z = x;", "no output"),
        ("T x = y;", "declared twice"),
        ("T z = x; T z = y;", "declared twice"),
        ("T i = x;", "cannot be the name"),
        ("T _z = x;", "cannot be the name"),
        ("y = z;", "unknown name 'z'"),
        ("y = sin(x);", "unknown name 'sin'"),
        ("y = x[0];", "not understood"),
        ("y = x ** 2;", "unknown name '\\*'"),
    ],
)
def test_lines_that_c_would_not_take_or_would_take_otherwise(strict_xp, lines, said):
    xp = strict_xp
    kernel = xp.ElementwiseKernel("T x, float64 d, bool real", "T y", lines)
    arguments = xp.ones(2, np.float32), xp.ones(2), xp.ones(2, bool)
    with pytest.raises(xp.kernel_language.KernelError, match=said):
        kernel(*arguments, xp.ones(2, np.float32))


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (lambda xp, x: (x,), TypeError, "number of arguments"),
        (lambda xp, x: (x, np.ones(3)), TypeError, "Unsupported type"),
        (lambda xp, x: (x, [1.0]), TypeError, "Unsupported type"),
        (lambda xp, x: (x, x.astype(np.float32)), TypeError, "mismatched"),
        (lambda xp, x: (x, x, x.astype(np.float32)), TypeError, "mismatched"),
        (lambda xp, x: (x, x, np.ones(3)), TypeError, "Unsupported type"),
        (lambda xp, x: (x, x, xp.ones(1)), ValueError, "Out shape"),
        (lambda xp, x: (x[:2], x), ValueError, "broadcast"),
        (lambda xp, x: (x, x, x), ValueError, "shares memory"),
        (lambda xp, x: (x[1:], 1.0, x[:2]), ValueError, "shares memory"),
        (lambda xp, x: (1.0, 1.0), KeyError, "T"),
    ],
)
def test_arguments_that_a_kernel_does_not_take(strict_xp, arguments, error, said):
    kernel = strict_xp.ElementwiseKernel("T x, T y", "T z", "z = x + y;")
    with pytest.raises(error, match=said):
        kernel(*arguments(strict_xp, strict_xp.ones(3)))
    with pytest.raises(ValueError, match="parameter name"):
        strict_xp.ElementwiseKernel("T i", "T z", "z = i;")


# -- that it is not stricter than CuPy by mistake -----------------------------------------------


def test_names_and_parameters_are_those_of_cupy(strict_xp):
    """Needs CuPy, but no GPU."""
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    for name, parameters in strict_xp.FUNCTIONS.items():
        theirs = list(inspect.signature(getattr(cupy, name)).parameters)
        assert theirs[: len(parameters.split())] == parameters.split(), name
    for name in strict_xp.UFUNCS:
        assert isinstance(getattr(cupy, name), cupy.ufunc), name
    public = {
        name: value
        for name, value in vars(strict_xp).items()
        if callable(value) and getattr(value, "__module__", None) == strict_xp.__name__
    }
    helpers = {"Transfers", "Ufunc", "call", "device_list", "is_scalar", "like", "operand", "require_stable"}
    helpers |= {"resolve", "slice_bounds", "upload", "wrap", "write_first_wins", "__getattr__"}
    helpers |= {"define_functions", "define_operators"}
    helpers |= {"Parameter", "parameters_of", "kernel_types", "kernel_inputs"}
    missing = {name for name in public.keys() - helpers if not hasattr(cupy, name)}
    assert missing == set()
    methods = {name for name in vars(strict_xp.ndarray) if not name.startswith("_")}
    assert {name for name in methods if not hasattr(cupy.ndarray, name)} == set()
    assert not hasattr(cupy.ndarray, "__index__")


@pytest.mark.gpu
def test_the_stand_in_does_as_cupy_does(gpu, strict_xp):
    """The silent differences from NumPy, on the real thing; who wins a double write is not among them."""
    for xp in (gpu, strict_xp):
        x = xp.arange(6).reshape(2, 3)
        assert xp.asnumpy(x[:, xp.asarray([3, -4, 7])]).tolist() == [[0, 2, 1], [3, 5, 4]]
        assert isinstance(x.sum(), xp.ndarray)
        assert isinstance(x[0, 0], xp.ndarray)
        with pytest.raises(TypeError):
            np.asarray(x)
        with pytest.raises(TypeError):
            x + np.ones((2, 3))
        with pytest.raises(TypeError):
            range(x[0, 0])
        with pytest.raises(ValueError):
            x[0:1] = np.ones((1, 3))
        x[np.array([0])] = 1
