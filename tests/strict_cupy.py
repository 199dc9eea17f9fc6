"""A stand-in for CuPy that runs without a GPU, and is as unforgiving as CuPy is.

Code written with ``xp = xp_of(x)`` runs on NumPy whatever it does; on a GPU it fails, or goes
wrong in silence, where it mixes host and device. This module fails in the same places on any
machine: `ndarray` wraps a NumPy array without being one, and every function is on a list.

What CuPy can do and this does not imitate it refuses, with NotImplementedError, rather than guessing what
CuPy would give; a function or method that is not on the list is an AttributeError.

Where CuPy differs from NumPy, and what is done about it here. [D] stands for "Differences between
CuPy and NumPy" in CuPy's user guide, [R] for the API reference of 13.6 and 14.2 (names and
signatures were read from both), [S] for CuPy's source, cupy/_core.

* Nothing converts by itself. ``np.asarray(x)`` raises TypeError; arithmetic with a NumPy array or a
  list raises TypeError; Python and NumPy scalars are welcome. [D, universal functions; S, core.pyx]
  Stricter than CuPy: ``np.tanh(x)`` would be forwarded to CuPy, here it raises. The package's rule is
  that the module comes from the array, so such a call is an oversight.
* Data crosses explicitly: `asarray` to the device; `asnumpy`, ``x.get()`` to the host. [R]
* ``float(x)``, ``bool(x)``, ``x.item()``, ``print(x)`` work, but the host waits for the device, which
  is what makes GPU code slow. A boolean index, `nonzero`, `unique`, `bincount` wait as well: the size of
  the result must be known. [S, _routines_indexing.pyx] `transfers` records every crossing and every wait.
* There is no ``__index__``: a device number cannot be a slice bound or go into range(). [R]
* Reductions and single elements are 0-d arrays, never scalars. [D, zero-dimensional array]
* Index arrays that point outside wrap around instead of raising. [D, out-of-bounds indices]
* A NumPy array or a list as an index is accepted and copied to the device each time: recorded. A NumPy
  array on the right of ``x[ids] = ...`` likewise, but of ``x[2:4] = ...`` it raises ValueError. [S]
* Of several values written to one place any may win. [D, duplicate values] Here the first does; in
  NumPy the last.
* `empty` is not zero, and need not even be finite: here it is full of NaN. Floating point never warns.
* Elementwise results need not have the memory layout that NumPy would choose. [D, contiguity] Here they
  are always in C order.
* ``initial=``, ``where=``, ``order=`` and sort kinds other than "stable" do not exist. [R]
* Only numbers and booleans: no strings, no objects. [D, data types]
* `add.at` exists, for float16/32/64, int32, uint32, uint64. [S, scatter_add]
* Kernels written in C (`ElementwiseKernel`, `ReductionKernel`) are evaluated with NumPy, as far as they are
  of the small language of kernel_language.py. Types, shapes and numbers of arguments are checked as CuPy
  does. [S, _kernel.pyx] Stricter: no output may share memory with an input or another output (in CuPy
  the result then depends on the order of the threads, unless both are the same elements), and reductions
  are sums. `transfers.kernels` lists the names of those that ran.

Random generators are absent on purpose: the package draws on the host, then moves.
"""

import builtins  # the functions below hide any, sum and others
import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np

_spec = importlib.util.spec_from_file_location(
    "kernel_language", Path(__file__).with_name("kernel_language.py")
)
kernel_language = importlib.util.module_from_spec(_spec)  # tests/ is no package: found beside this file
_spec.loader.exec_module(kernel_language)

float16, float32, float64 = np.float16, np.float32, np.float64
int8, int32, int64, uint8, uint32, uint64, intp = (
    np.int8,
    np.int32,
    np.int64,
    np.uint8,
    np.uint32,
    np.uint64,
    np.intp,
)
bool_, integer, floating = np.bool_, np.integer, np.floating
newaxis, inf, nan, pi = None, np.inf, np.nan, np.pi
dtype, finfo, iinfo, issubdtype, result_type = np.dtype, np.finfo, np.iinfo, np.issubdtype, np.result_type

AT_DTYPES = {np.dtype(t) for t in (float16, float32, float64, int32, uint32, uint64)}


class Transfers:
    """What crossed between host and device, and how often the host had to wait, since `reset`.

    events: (kind, what, where), with kind "to_device", "to_host" or "sync", and where the line of
    the code outside this file that caused it.  kernels: the names of the kernels in C that ran.
    """

    def __init__(self):
        self.events: list[tuple[str, str, str]] = []
        self.kernels: list[str] = []

    def reset(self) -> None:
        self.events.clear()
        self.kernels.clear()

    def record(self, kind: str, what: str) -> None:
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_code.co_filename == __file__:
            frame = frame.f_back
        self.events.append((kind, what, f"{frame.f_code.co_filename}:{frame.f_lineno}"))

    def count(self, kind: str) -> int:
        return builtins.sum(event[0] == kind for event in self.events)

    @property
    def to_device(self) -> int:
        return self.count("to_device")

    @property
    def to_host(self) -> int:
        return self.count("to_host")

    @property
    def syncs(self) -> int:
        """Waits that nobody asked for by name: float(x), a boolean index, `nonzero`."""
        return self.count("sync")


transfers = Transfers()


def is_scalar(x) -> bool:
    return isinstance(x, bool | int | float | complex | np.generic)


def wrap(x) -> "ndarray":
    """A device array around `x`, which is not copied."""
    array = object.__new__(ndarray)
    array._host = np.asarray(x)
    return array


def operand(x, allow_scalar: bool = True):
    """What NumPy shall compute with in place of `x`; TypeError unless it is on the device or a scalar."""
    if isinstance(x, ndarray):
        return x._host
    if allow_scalar and is_scalar(x):
        return x
    raise TypeError(f"Unsupported type {type(x)}")


def upload(x, what: str, dtype=None) -> "ndarray":
    """`x` as a device array: itself if it is one, else copied, which is recorded."""
    if isinstance(x, ndarray):
        return x if dtype is None or x.dtype == dtype else x.astype(dtype)
    if isinstance(x, list | tuple) and builtins.any(isinstance(item, ndarray) for item in x):
        return wrap(np.array([operand(item) for item in x], dtype=dtype))
    host = np.array(x, dtype=dtype)
    if host.dtype.kind not in "biufc":
        raise ValueError(f"Unsupported dtype {host.dtype}")
    transfers.record("to_device", what)
    return wrap(host)


# -- indices ------------------------------------------------------------------------------------


def resolve(key, shape: tuple[int, ...]) -> tuple[tuple, bool]:
    """`key` for the wrapped array, with array indices wrapped around; and whether it has any array.

    Plain integers and slices follow NumPy's rules in CuPy too: an integer outside raises IndexError.
    """
    parts = []
    for part in key if isinstance(key, tuple) else (key,):
        if isinstance(part, bool | np.bool_ | list | tuple | np.ndarray):
            part = upload(part, "an index array")
            if part.size == 0 and part.dtype.kind == "f":
                part = part.astype(int64)
        elif not (
            part is None
            or part is Ellipsis
            or isinstance(part, ndarray | int | np.integer)
            or (
                isinstance(part, slice)
                and not builtins.any(isinstance(b, ndarray) for b in slice_bounds(part))
            )
        ):
            raise IndexError(
                f"only integers, slices, ellipsis, None and integer or boolean arrays are indices, got {part!r}"
                if not isinstance(part, slice)
                else "a device array cannot bound a slice: it has no __index__"
            )
        parts.append(part)
    arrays = [part for part in parts if isinstance(part, ndarray)]
    if builtins.any(a.dtype.kind not in "biu" for a in arrays):
        raise IndexError("arrays used as indices must be of integer or boolean type")
    masks = [a for a in arrays if a.dtype.kind == "b"]
    if len(masks) > 1:
        raise NotImplementedError("an index with more than one boolean array")
    if masks:
        transfers.record("sync", "a boolean index")
    used = builtins.sum(
        a.ndim if isinstance(a, ndarray) and a.dtype.kind == "b" else 1
        for a in parts
        if a is not None and a is not Ellipsis
    )
    axis = 0
    resolved = []
    for part in parts:
        if part is None:
            resolved.append(None)
        elif part is Ellipsis:
            resolved.append(Ellipsis)
            axis += len(shape) - used
        elif not isinstance(part, ndarray):
            resolved.append(part)
            axis += 1
        elif part.dtype.kind == "b":
            resolved.append(part._host)
            axis += part.ndim
        else:
            size = shape[axis] if axis < len(shape) else 0
            resolved.append(part._host % size if size else part._host)
            axis += 1
    if not arrays and Ellipsis not in resolved:
        resolved.append(Ellipsis)  # x[0, 0] is then a 0-d view, not a scalar
    return tuple(resolved), bool(arrays)


def slice_bounds(part: slice) -> tuple:
    return part.start, part.stop, part.step


def write_first_wins(out: np.ndarray, key: tuple, value) -> None:
    """``out[key] = value``, where the FIRST of several values for one place stays."""
    places = np.arange(out.size).reshape(out.shape)[key]
    values = np.broadcast_to(np.asarray(value, dtype=out.dtype), places.shape)
    out.flat[places.reshape(-1)[::-1]] = values.reshape(-1)[::-1]


# -- the array ----------------------------------------------------------------------------------


class ndarray:
    """An array that NumPy cannot see into. It is made by `asarray`, `zeros` and the like."""

    __array_priority__ = 100
    __array_ufunc__ = None  # np.ndarray + x comes here, to __radd__, and is refused
    __hash__ = None

    def __init__(self, shape, dtype=float):
        self._host = empty(shape, dtype)._host

    def __array__(self, *args, **kwargs):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def __array_function__(self, function, types, args, kwargs):
        raise TypeError(f"numpy.{function.__name__} called with a device array: take it from xp_of(x)")

    # what can be known without looking at the data
    shape = property(lambda self: self._host.shape)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    dtype = property(lambda self: self._host.dtype)
    itemsize = property(lambda self: self._host.itemsize)
    nbytes = property(lambda self: self._host.nbytes)
    strides = property(lambda self: self._host.strides)
    flags = property(lambda self: self._host.flags)
    T = property(lambda self: wrap(self._host.T))

    def __len__(self):
        return len(self._host)

    def __iter__(self):
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return (self[n] for n in range(len(self)))

    # to the host, by name
    def get(self) -> np.ndarray:
        transfers.record("to_host", "get()")
        return self._host.copy()

    def item(self, *args):
        transfers.record("sync", "item()")
        return self._host.item(*args)

    def tolist(self):
        transfers.record("sync", "tolist()")
        return self._host.tolist()

    # to the host, in passing
    def __float__(self):
        transfers.record("sync", "float()")
        return float(self._host.item())

    def __int__(self):
        transfers.record("sync", "int()")
        return int(self._host.item())

    def __bool__(self):
        transfers.record("sync", "bool()")
        return bool(self._host)

    def __repr__(self):
        transfers.record("sync", "repr()")
        return repr(self._host)

    def __str__(self):
        transfers.record("sync", "str()")
        return str(self._host)

    def __format__(self, spec):
        transfers.record("sync", "format()")
        return format(self._host.item() if self.ndim == 0 else self._host, spec)

    # indices
    def __getitem__(self, key):
        key, _ = resolve(key, self.shape)
        return wrap(self._host[key])

    def __setitem__(self, key, value):
        key, has_arrays = resolve(key, self.shape)
        if has_arrays:
            if not isinstance(value, ndarray) and not is_scalar(value):
                value = upload(value, "a value assigned through an index array", self.dtype)
            write_first_wins(self._host, key, operand(value))
            return
        if isinstance(value, np.ndarray) and value.ndim:
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        value = operand(value if not isinstance(value, np.ndarray) else value.item())
        with np.errstate(all="ignore"):
            self._host[key] = value

    # methods that CuPy shares with NumPy
    def reshape(self, *shape, order="C"):
        return wrap(self._host.reshape(*shape, order=order))

    def transpose(self, *axes):
        return wrap(self._host.transpose(*axes))

    def swapaxes(self, axis1, axis2):
        return wrap(self._host.swapaxes(axis1, axis2))

    def ravel(self, order="C"):
        return wrap(self._host.ravel(order))

    def flatten(self, order="C"):
        return wrap(self._host.flatten(order))

    def squeeze(self, axis=None):
        return wrap(self._host.squeeze(axis))

    def view(self, dtype=None):
        return wrap(self._host.view() if dtype is None else self._host.view(dtype))

    def copy(self, order="C"):
        return wrap(self._host.copy(order))

    __copy__ = copy

    def __deepcopy__(self, memo):
        return self.copy()

    def astype(self, dtype, order="K", casting=None, subok=None, copy=True):
        if np.dtype(dtype).kind not in "biufc":
            raise ValueError(f"Unsupported dtype {np.dtype(dtype)}")
        with np.errstate(all="ignore"):
            return wrap(self._host.astype(dtype, order=order, copy=copy))

    def fill(self, value):
        self[...] = value

    def sum(self, axis=None, dtype=None, out=None, keepdims=False):
        return call("sum", (self,), {"axis": axis, "dtype": dtype, "out": out, "keepdims": keepdims})

    def mean(self, axis=None, dtype=None, out=None, keepdims=False):
        return call("mean", (self,), {"axis": axis, "dtype": dtype, "out": out, "keepdims": keepdims})

    def prod(self, axis=None, dtype=None, out=None, keepdims=False):
        return call("prod", (self,), {"axis": axis, "dtype": dtype, "out": out, "keepdims": keepdims})

    def max(self, axis=None, out=None, keepdims=False):
        return call("max", (self,), {"axis": axis, "out": out, "keepdims": keepdims})

    def min(self, axis=None, out=None, keepdims=False):
        return call("min", (self,), {"axis": axis, "out": out, "keepdims": keepdims})

    def any(self, axis=None, out=None, keepdims=False):
        return call("any", (self,), {"axis": axis, "out": out, "keepdims": keepdims})

    def all(self, axis=None, out=None, keepdims=False):
        return call("all", (self,), {"axis": axis, "out": out, "keepdims": keepdims})

    def var(self, axis=None, dtype=None, out=None, ddof=0, keepdims=False):
        return call(
            "var", (self,), {"axis": axis, "dtype": dtype, "out": out, "ddof": ddof, "keepdims": keepdims}
        )

    def std(self, axis=None, dtype=None, out=None, ddof=0, keepdims=False):
        return call(
            "std", (self,), {"axis": axis, "dtype": dtype, "out": out, "ddof": ddof, "keepdims": keepdims}
        )

    def argmax(self, axis=None, out=None, dtype=None, keepdims=False):
        return call("argmax", (self,), {"axis": axis, "out": out, "dtype": dtype, "keepdims": keepdims})

    def argmin(self, axis=None, out=None, dtype=None, keepdims=False):
        return call("argmin", (self,), {"axis": axis, "out": out, "dtype": dtype, "keepdims": keepdims})

    def cumsum(self, axis=None, dtype=None, out=None):
        return call("cumsum", (self,), {"axis": axis, "dtype": dtype, "out": out})

    def argsort(self, axis=-1, kind=None):
        return argsort(self, axis, kind)

    def argpartition(self, kth, axis=-1):
        return argpartition(self, kth, axis)

    def sort(self, axis=-1, kind=None):
        require_stable(kind)
        self._host.sort(axis=axis, kind="stable")

    def take(self, indices, axis=None, out=None):
        return take(self, indices, axis, out)

    def repeat(self, repeats, axis=None):
        return repeat(self, repeats, axis)

    def clip(self, min=None, max=None, out=None):
        return call("clip", (self, min, max), {"out": out})

    def dot(self, b, out=None):
        return call("dot", (self, b), {"out": out})

    def nonzero(self):
        return nonzero(self)


# -- elementwise functions ----------------------------------------------------------------------


class Ufunc:
    """One of CuPy's elementwise functions: device arrays or scalars in, a device array out."""

    def __init__(self, name: str):
        self.__name__ = name
        self.numpy = getattr(np, name)

    def __call__(self, *args, out=None, dtype=None, casting="same_kind", **other):
        if other:
            raise TypeError(f"Wrong arguments {other}")
        nin = self.numpy.nin
        if len(args) == nin + 1 and out is None:
            *args, out = args
        if len(args) != nin:
            raise TypeError(f"Wrong number of arguments for {self.__name__}: {len(args)}")
        if out is not None:
            operand(out, allow_scalar=False)
        operands = [operand(arg) for arg in args]
        with np.errstate(all="ignore"):
            if out is None:
                return wrap(self.numpy(*operands, dtype=dtype, casting=casting, order="C"))
            self.numpy(*operands, out=out._host, dtype=dtype, casting=casting)
            return out

    def at(self, out: ndarray, indices, values) -> None:
        """``out[indices] += values`` in which repeated indices all count."""
        if self.__name__ != "add":
            raise NotImplementedError(f"{self.__name__}.at")
        operand(out, allow_scalar=False)
        if out.dtype not in AT_DTYPES:
            raise TypeError(f"add.at does not support {out.dtype}")
        if not is_scalar(values):
            values = upload(values, "the values of add.at", out.dtype)
        key, has_arrays = resolve(indices, out.shape)
        if not has_arrays:
            out._host[key] += operand(values)
            return
        np.add.at(out._host, key, np.asarray(operand(values)).astype(out.dtype))


UFUNC_NAMES = """
    add subtract multiply divide true_divide floor_divide remainder power negative absolute sign square
    sqrt reciprocal exp exp2 expm1 log log2 log10 log1p logaddexp sin cos tan sinh cosh tanh arctan
    maximum minimum fmax fmin floor ceil rint trunc isfinite isinf isnan signbit copysign
    equal not_equal less less_equal greater greater_equal
    logical_and logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_xor invert
"""
UFUNCS = {name: Ufunc(name) for name in UFUNC_NAMES.split()}
globals().update(UFUNCS)
abs = UFUNCS["absolute"]

OPERATORS = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "true_divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "power",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
}
COMPARISONS = {
    "eq": "equal",
    "ne": "not_equal",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
}


def define_operators() -> None:
    """Give `ndarray` its operators: x + y is add(x, y), x += y writes into x."""
    for short, name in (OPERATORS | COMPARISONS).items():
        setattr(ndarray, f"__{short}__", lambda a, b, f=UFUNCS[name]: f(a, b))
    for short, name in OPERATORS.items():
        setattr(ndarray, f"__r{short}__", lambda a, b, f=UFUNCS[name]: f(b, a))
        setattr(ndarray, f"__i{short}__", lambda a, b, f=UFUNCS[name]: f(a, b, out=a))
    ndarray.__neg__ = lambda a: UFUNCS["negative"](a)
    ndarray.__pos__ = lambda a: a.copy()
    ndarray.__abs__ = lambda a: UFUNCS["absolute"](a)
    ndarray.__invert__ = lambda a: UFUNCS["invert"](a)
    ndarray.__matmul__ = lambda a, b: matmul(a, b)
    ndarray.__rmatmul__ = lambda a, b: matmul(b, a)


define_operators()

# -- functions: CuPy's parameters, where those of 13 and 14 differ the ones they share ------------

FUNCTIONS = {
    "sum": "a axis dtype out keepdims",
    "mean": "a axis dtype out keepdims",
    "prod": "a axis dtype out keepdims",
    "var": "a axis dtype out ddof keepdims",
    "std": "a axis dtype out ddof keepdims",
    "max": "a axis out keepdims",
    "min": "a axis out keepdims",
    "amax": "a axis out keepdims",
    "amin": "a axis out keepdims",
    "any": "a axis out keepdims",
    "all": "a axis out keepdims",
    "argmax": "a axis dtype out keepdims",
    "argmin": "a axis dtype out keepdims",
    "count_nonzero": "a axis",
    "cumsum": "a axis dtype out",
    "cumprod": "a axis dtype out",
    "clip": "a a_min a_max out",
    "dot": "a b out",
    "outer": "a b out",
    "vdot": "a b",
    "tensordot": "a b axes",
    "transpose": "a axes",
    "swapaxes": "a axis1 axis2",
    "moveaxis": "a source destination",
    "reshape": "a newshape order",
    "ravel": "a order",
    "expand_dims": "a axis",
    "squeeze": "a axis",
    "broadcast_to": "array shape",
    "tile": "A reps",
    "flip": "a axis",
    "roll": "a shift axis",
    "diff": "a n axis prepend append",
    "tril": "m k",
    "triu": "m k",
    "diag": "v k",
    "ascontiguousarray": "a dtype",
    "array_equal": "a1 a2 equal_nan",
    "allclose": "a b rtol atol equal_nan",
    "isclose": "a b rtol atol equal_nan",
}
NUMPY_DTYPE_MISSING = {"argmax", "argmin"}  # CuPy takes a dtype here, NumPy does not


def call(name: str, args: tuple, options: dict):
    """NumPy's function on the wrapped arrays, after checking that CuPy would take these arguments."""
    parameters = FUNCTIONS[name].split()
    unknown = options.keys() - parameters
    if unknown or len(args) > len(parameters):
        raise TypeError(f"{name}() got unexpected arguments {sorted(unknown) or args[len(parameters) :]}")
    options = {key: value for key, value in options.items() if value is not None}
    if name in NUMPY_DTYPE_MISSING:
        result_dtype = options.pop("dtype", np.int64)
    operand(args[0], allow_scalar=False)
    for value in args:
        if isinstance(value, np.ndarray):
            raise TypeError(f"Unsupported type {type(value)}")
    out = options.pop("out", None)
    host = [a._host if isinstance(a, ndarray) else a for a in args]
    with np.errstate(all="ignore"):
        result = getattr(np, name)(
            *host, **{k: v._host if isinstance(v, ndarray) else v for k, v in options.items()}
        )
    if name in NUMPY_DTYPE_MISSING:
        result = np.asarray(result, dtype=result_dtype)
    if out is None:
        return wrap(result)
    operand(out, allow_scalar=False)
    out._host[...] = result
    return out


def define_functions() -> None:
    for name in FUNCTIONS:

        def function(*args, _name=name, **options):
            return call(_name, args, options)

        function.__name__ = name
        globals()[name] = function


define_functions()


def device_list(tup, name: str) -> list[np.ndarray]:
    """The arrays of a sequence; CuPy joins only its own."""
    if isinstance(tup, ndarray):
        tup = list(tup)
    if builtins.any(not isinstance(array, ndarray) for array in tup):
        raise TypeError(f"Only cupy arrays can be joined by {name}()")
    return [array._host for array in tup]


def concatenate(tup, axis=0, out=None, *, dtype=None, casting="same_kind"):
    arrays = device_list(tup, "concatenate")
    if out is not None:
        np.concatenate(arrays, axis=axis, out=operand(out, allow_scalar=False), casting=casting)
        return out
    return wrap(np.concatenate(arrays, axis=axis, dtype=dtype, casting=casting))


def stack(tup, axis=0, out=None, *, dtype=None, casting="same_kind"):
    arrays = device_list(tup, "stack")
    if out is not None:
        np.stack(arrays, axis=axis, out=operand(out, allow_scalar=False), casting=casting)
        return out
    return wrap(np.stack(arrays, axis=axis, dtype=dtype, casting=casting))


def split(ary, indices_or_sections, axis=0):
    return [wrap(part) for part in np.split(operand(ary, allow_scalar=False), indices_or_sections, axis)]


def where(condition, x=None, y=None):
    if x is None and y is None:
        return nonzero(condition)
    with np.errstate(all="ignore"):
        return wrap(np.where(operand(condition), operand(x), operand(y)))


def matmul(a, b, out=None):
    hosts = operand(a, allow_scalar=False), operand(b, allow_scalar=False)
    with np.errstate(all="ignore"):
        if out is None:
            return wrap(np.matmul(*hosts))
        np.matmul(*hosts, out=operand(out, allow_scalar=False))
        return out


def einsum(subscripts, *operands):
    with np.errstate(all="ignore"):
        return wrap(np.einsum(subscripts, *(operand(a, allow_scalar=False) for a in operands)).copy())


def require_stable(kind) -> None:
    if kind not in (None, "stable"):
        raise ValueError(f"kind can only be None or 'stable', got {kind!r}")


def argsort(a, axis=-1, kind=None):
    require_stable(kind)
    return wrap(np.argsort(operand(a, allow_scalar=False), axis=axis, kind="stable"))


def sort(a, axis=-1, kind=None):
    require_stable(kind)
    return wrap(np.sort(operand(a, allow_scalar=False), axis=axis, kind="stable"))


def argpartition(a, kth, axis=-1):
    return wrap(np.argpartition(operand(a, allow_scalar=False), kth, axis=axis))


def partition(a, kth, axis=-1):
    return wrap(np.partition(operand(a, allow_scalar=False), kth, axis=axis))


def take(a, indices, axis=None, out=None):
    host = operand(a, allow_scalar=False)
    if not is_scalar(indices):
        indices = upload(indices, "the indices of take")
    result = np.take(host, operand(indices), axis=axis, mode="wrap")
    if out is None:
        return wrap(result)
    operand(out, allow_scalar=False)[...] = result
    return out


def take_along_axis(a, indices, axis):
    host, ids = operand(a, allow_scalar=False), operand(indices, allow_scalar=False)
    if ids.dtype.kind not in "iu":
        raise IndexError("`indices` must be an integer array")
    size = host.size if axis is None else host.shape[axis]
    return wrap(np.take_along_axis(host, ids % size, axis))


def repeat(a, repeats, axis=None):
    if isinstance(repeats, ndarray):
        raise TypeError("repeats must be an integer or a list of them, not a device array")
    return wrap(np.repeat(operand(a, allow_scalar=False), repeats, axis=axis))


def nonzero(a):
    transfers.record("sync", "nonzero()")
    return tuple(wrap(ids) for ids in operand(a, allow_scalar=False).nonzero())


def flatnonzero(a):
    transfers.record("sync", "flatnonzero()")
    return wrap(np.flatnonzero(operand(a, allow_scalar=False)))


def unique(ar, return_index=False, return_inverse=False, return_counts=False, axis=None):
    transfers.record("sync", "unique()")
    found = np.unique(operand(ar, allow_scalar=False), return_index, return_inverse, return_counts, axis)
    return tuple(wrap(part) for part in found) if isinstance(found, tuple) else wrap(found)


def bincount(x, weights=None, minlength=None):
    transfers.record("sync", "bincount()")
    weights = None if weights is None else operand(weights, allow_scalar=False)
    return wrap(np.bincount(operand(x, allow_scalar=False), weights, minlength or 0))


# -- making arrays ------------------------------------------------------------------------------


def asarray(a, dtype=None, order=None):
    return upload(a, "asarray()", dtype)


def array(obj, dtype=None, copy=True):
    result = upload(obj, "array()", dtype)
    return result.copy() if copy and result is obj else result


def asnumpy(a) -> np.ndarray:
    return a.get() if isinstance(a, ndarray) else np.asarray(a)


def full(shape, fill_value, dtype=None, order="C"):
    value = operand(fill_value)
    return wrap(np.full(shape, value, dtype=dtype if dtype is not None else np.asarray(value).dtype))


def zeros(shape, dtype=float, order="C"):
    return wrap(np.zeros(shape, dtype))


def ones(shape, dtype=float, order="C"):
    return wrap(np.ones(shape, dtype))


def empty(shape, dtype=float, order="C"):
    """Not zeros: NaN, or the smallest integer, so that whoever reads before writing is found out."""
    dtype = np.dtype(dtype)
    rubbish = {"f": np.nan, "c": np.nan, "b": True}
    return wrap(np.full(shape, rubbish[dtype.kind] if dtype.kind in rubbish else np.iinfo(dtype).min, dtype))


def like(make):
    def make_like(a, dtype=None, order="K", subok=None, shape=None):
        host = operand(a, allow_scalar=False)
        return make(host.shape if shape is None else shape, host.dtype if dtype is None else dtype)

    return make_like


zeros_like, ones_like, empty_like = like(zeros), like(ones), like(empty)


def full_like(a, fill_value, dtype=None, order="K", subok=None, shape=None):
    host = operand(a, allow_scalar=False)
    return full(host.shape if shape is None else shape, fill_value, host.dtype if dtype is None else dtype)


def arange(start, stop=None, step=1, dtype=None):
    if builtins.any(isinstance(x, ndarray) for x in (start, stop, step)):
        raise TypeError("arange() needs numbers of the host")
    return wrap(np.arange(start, dtype=dtype) if stop is None else np.arange(start, stop, step, dtype=dtype))


def eye(N, M=None, k=0, dtype=float, order="C"):
    return wrap(np.eye(N, M, k, dtype))


# -- kernels written in C -----------------------------------------------------------------------


class Parameter:
    """One of a kernel's parameters: "T x", where a single letter stands for any dtype, or "bool real"."""

    def __init__(self, text: str):
        words = text.split()
        if len(words) != 2:
            raise NotImplementedError(f"a parameter is a type and a name here, got {text!r}")
        self.type, self.name = words
        if kernel_language.RESERVED.fullmatch(self.name):
            raise ValueError(f"Can not use {self.name!r} as a parameter name")
        self.dtype = None if len(self.type) == 1 else np.dtype(self.type)


def parameters_of(text: str) -> list[Parameter]:
    return [Parameter(part) for part in text.split(",")] if text.strip() else []


def kernel_types(parameters: list[Parameter], arguments: list) -> dict[str, np.dtype]:
    """What the letters stand for. TypeError where an array is of another dtype than its parameter.

    Numbers have no say: they become what their parameter is. [S, _decide_params_type_core]
    """
    types: dict[str, np.dtype] = {}
    for p, a in zip(parameters, arguments, strict=True):
        if not isinstance(a, ndarray):
            continue
        wanted = p.dtype if p.dtype is not None else types.setdefault(p.type, a.dtype)
        if wanted != a.dtype:
            raise TypeError(f"Type is mismatched. {p.name} {a.dtype} {wanted}")
    for p in parameters:
        if p.dtype is None and p.type not in types:
            raise KeyError(p.type)
    return types


def kernel_inputs(parameters: list[Parameter], arguments: list, types: dict[str, np.dtype]) -> dict:
    """The values of the inputs, by name; numbers get the dtype of their parameter."""
    values = {}
    for p, a in zip(parameters, arguments, strict=True):
        dtype = p.dtype if p.dtype is not None else types[p.type]
        if isinstance(a, ndarray):
            values[p.name] = a._host
        elif is_scalar(a):
            values[p.name] = dtype.type(a)
        else:
            raise TypeError(f"Unsupported type {type(a)}")
    return values


class ElementwiseKernel:
    def __init__(self, in_params, out_params, operation, name="kernel"):
        self.inputs, self.outputs = parameters_of(in_params), parameters_of(out_params)
        self.operation, self.name = operation, name

    def __call__(self, *args):
        nin, parameters = len(self.inputs), self.inputs + self.outputs
        if len(args) not in (nin, len(parameters)):
            raise TypeError(f"Wrong number of arguments for {self.name!r}: {len(args)}")
        given = [operand(out, allow_scalar=False) for out in args[nin:]]
        # outputs decide first what a letter stands for
        order = parameters[nin:][: len(given)] + self.inputs
        types = kernel_types(order, [*args[nin:], *args[:nin]])
        values = kernel_inputs(self.inputs, args[:nin], types)
        arrays = [a._host for a in args if isinstance(a, ndarray)]
        if not arrays:
            raise ValueError("Loop size is undecided.")
        shape = np.broadcast_shapes(*(a.shape for a in arrays))
        outs = given or [
            empty(shape, p.dtype if p.dtype is not None else types[p.type])._host for p in self.outputs
        ]
        for n, out in enumerate(outs):
            if out.shape != shape:
                raise ValueError("Out shape is mismatched")
            if builtins.any(np.shares_memory(out, other) for other in [*values.values(), *outs[:n]]):
                raise ValueError(f"{self.name}: {self.outputs[n].name} shares memory with another argument")
        names = [p.name for p in self.outputs]
        # the inputs as seen by every element; numbers and what is broadcast need not be spread out
        values.update(zip(names, outs, strict=True))
        kernel_language.run(self.operation, types, values, set(names))
        transfers.kernels.append(self.name)
        results = tuple(args[nin:]) or tuple(wrap(out) for out in outs)
        return results[0] if len(results) == 1 else results


class ReductionKernel:
    def __init__(self, in_params, out_params, map_expr, reduce_expr, post_map_expr, identity, name="kernel"):
        self.inputs, (self.output,) = parameters_of(in_params), parameters_of(out_params)
        if (reduce_expr, post_map_expr, identity) != ("a + b", f"{self.output.name} = a", "0"):
            raise NotImplementedError("a reduction other than a sum")
        self.expression, self.name = map_expr, name

    def __call__(self, *args, axis=None, keepdims=False):
        if len(args) != len(self.inputs):
            raise TypeError(f"Wrong number of arguments for {self.name!r}: {len(args)}")
        types = kernel_types(self.inputs, list(args))
        values = kernel_inputs(self.inputs, args, types)
        shape = np.broadcast_shapes(*(np.shape(value) for value in values.values()))
        mapped = np.broadcast_to(kernel_language.evaluate(self.expression, types, values), shape)
        transfers.kernels.append(self.name)
        return wrap(mapped.sum(axis=axis, keepdims=keepdims, dtype=types[self.output.type]))


linalg = SimpleNamespace(
    norm=lambda x, ord=None, axis=None, keepdims=False: wrap(
        np.linalg.norm(operand(x, allow_scalar=False), ord, axis, keepdims)
    )
)


def __getattr__(name: str):
    raise AttributeError(
        f"strict_cupy has no {name!r}: either CuPy has none either, or it is missing from the list in "
        "tests/strict_cupy.py; look it up in CuPy's comparison table before adding it"
    )
