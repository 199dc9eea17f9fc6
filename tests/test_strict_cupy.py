"""The stand-in for CuPy bites where CuPy bites; and the package runs on it, never touching the host.

Three parts: what `strict_cupy` refuses and counts; every operation, model and search on it,
compared with NumPy; the same on CuPy itself, where there is a GPU.
"""

import inspect

import numpy as np
import pytest

from minis2s.backend import scatter_add, to_numpy, xp_of
from minis2s.data.batching import Example, make_batch
from minis2s.decode import beam_search, greedy, sample
from minis2s.functional import OPS
from minis2s.models import ModelConfig, Seq2Seq
from minis2s.optim import SGD, Adam, AdamW, clip_global_norm

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
    missing = {name for name in public.keys() - helpers if not hasattr(cupy, name)}
    assert missing == set()
    methods = {name for name in vars(strict_xp.ndarray) if not name.startswith("_")}
    assert {name for name in methods if not hasattr(cupy.ndarray, name)} == set()
    assert not hasattr(cupy.ndarray, "__index__")


# -- the package on it --------------------------------------------------------------------------


def moved(x, xp):
    """Every NumPy array in a nest of tuples and lists, moved to the array module `xp`."""
    if isinstance(x, np.ndarray):
        return xp.asarray(x)
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return type(x)(*(moved(part, xp) for part in x))
    if isinstance(x, tuple | list):
        return type(x)(moved(part, xp) for part in x)
    return x


def leaves(x) -> list:
    """The arrays and numbers of a nest of tuples and lists, in order."""
    if isinstance(x, tuple | list):
        return [leaf for part in x for leaf in leaves(part)]
    return [x]


def assert_same(found, expected, tolerance: float) -> None:
    """Two nests hold the same numbers, whatever module they are of; and the same dtypes."""
    found, expected = leaves(found), leaves(expected)
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        if theirs is None:
            assert mine is None
            continue
        theirs = np.asarray(theirs)
        mine = np.asarray(mine) if isinstance(mine, np.generic) else to_numpy(mine)
        assert mine.dtype == theirs.dtype
        assert mine.shape == theirs.shape
        error = np.abs(mine - theirs).max(initial=0)
        assert error <= tolerance * (1 + np.abs(theirs).max(initial=0))


def random_like(x, rng):
    """An upstream gradient for `x`: random, of its shape and dtype, in its nest."""
    if isinstance(x, tuple):
        return tuple(random_like(part, rng) for part in x)
    x = np.asarray(x)
    return rng.normal(size=x.shape).astype(x.dtype)


T, B, S, D, H, A, V = 4, 3, 5, 2, 3, 3, 7


def op_cases() -> dict[str, tuple]:
    """Arguments for every Op: strings are shapes of float arrays, anything else is passed as it is."""
    rng = np.random.default_rng(0)
    steps = np.arange(T)[:, None] < [T, 2, 1]
    row = np.array([True, False, True])
    source = np.arange(S)[:, None] < [S, 2, 0]
    kept = rng.random((T, B, D)) > 0.4
    ids = rng.integers(0, V, (T, B))
    ids[0] = ids[1]
    return {
        "linear": ("TBD", "DH", "H"),
        "linear without bias": ("TBD", "DH"),
        "embedding": ("VD", ids),
        "embedding of a step": ("VD", ids[0]),
        "dropout": ("TBD", kept, 0.4),
        "tanh": ("TBH",),
        "rnn_step": ("BD", "BH", "DH", "HH", "H", row),
        "rnn": ("TBD", "BH", "DH", "HH", "H", steps),
        "rnn without mask": ("TBD", "BH", "DH", "HH", "H"),
        "lstm_step": ("BD", "BH", "BH", "D4H", "H4H", "4H", row),
        "lstm": ("TBD", "BH", "BH", "D4H", "H4H", "4H", steps),
        "lstm without mask": ("TBD", "BH", "BH", "D4H", "H4H", "4H"),
        "gru_step": ("BD", "BH", "D3H", "H3H", "3H", "3H", row),
        "gru_step reset before": ("BD", "BH", "D3H", "H3H", "3H", "3H", row, False),
        "gru": ("TBD", "BH", "D3H", "H3H", "3H", "3H", steps),
        "gru reset before": ("TBD", "BH", "D3H", "H3H", "3H", "3H", steps, False),
        "dot_scores": ("TBA", "SBA"),
        "scaled_dot_scores": ("TBA", "SBA"),
        "general_scores": ("TBH", "SBA", "HA"),
        "additive_scores": ("TBH", "SBA", "HA", "A"),
        "masked_softmax": ("TBS", source),
        "masked_softmax without mask": ("TBS",),
        "weighted_sum": ("TBS", "SBH"),
        "cross_entropy": ("TBV", ids, steps),
        "cross_entropy smoothed": ("TBV", ids, steps, 0.1, "sum"),
    }


CASES = op_cases()


def arguments(case: str, dtype, order: str) -> list:
    """The arguments of a case as NumPy arrays, laid out in C order or with all strides the other way."""
    rng = np.random.default_rng(sum(map(ord, case)))
    sizes = {"T": T, "B": B, "S": S, "D": D, "H": H, "A": A, "V": V}
    made = []
    for given in CASES[case]:
        if isinstance(given, str) and given != "sum":
            gates = [n for n, c in enumerate(given) if c.isdigit()]
            shape = [
                sizes[c] * (int(given[n - 1]) if n - 1 in gates else 1)
                for n, c in enumerate(given)
                if c in sizes
            ]
            given = rng.normal(size=shape).astype(dtype)
        made.append(np.array(given, order=order) if isinstance(given, np.ndarray) else given)
    return made


def test_every_op_has_a_case():
    assert {case.split()[0] for case in CASES} == set(OPS)


def run_op(case: str, args, dout):
    op = OPS[case.split()[0]]
    out, cache = op.forward(*args)
    dout = random_like(out, np.random.default_rng(1)) if dout is None else dout
    return out, dout, op.backward(dout, cache)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
@pytest.mark.parametrize("case", CASES)
def test_op_on_the_stand_in(strict_xp, case, dtype, tolerance, order):
    out, dout, din = run_op(case, arguments(case, dtype, "C"), None)
    args, dout = moved(arguments(case, dtype, order), strict_xp), moved(dout, strict_xp)
    strict_xp.transfers.reset()
    device_out, _, device_din = run_op(case, args, dout)
    assert strict_xp.transfers.events == []
    assert_same(device_out, out, tolerance)
    assert_same(device_din, din, tolerance)


@pytest.mark.parametrize("case", CASES)
def test_op_with_any_memory_layout(case):
    """Transposed arrays give the same numbers: nothing writes into what it takes for a view."""
    out, dout, din = run_op(case, arguments(case, np.float64, "C"), None)
    turned = [np.array(d, order="F") for d in leaves(dout)]
    turned = tuple(turned) if isinstance(dout, tuple) else turned[0]
    turned_out, _, turned_din = run_op(case, arguments(case, np.float64, "F"), turned)
    assert_same(turned_out, out, 1e-12)
    assert_same(turned_din, din, 1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scatter_add_on_the_stand_in(strict_xp, dtype):
    rng = np.random.default_rng(0)
    ids, values = rng.integers(0, 4, 9), rng.normal(size=(9, 2)).astype(dtype)
    expected, out = np.ones((4, 2), dtype), strict_xp.ones((4, 2), dtype)
    np.add.at(expected, ids, values)
    device_ids, device_values = strict_xp.asarray(ids), strict_xp.asarray(values)
    strict_xp.transfers.reset()
    scatter_add(out, device_ids, device_values)
    scatter_add(out, device_ids[:0], device_values[:0])
    assert strict_xp.transfers.events == []
    assert_same(out, expected, 1e-6)


# -- whole models -------------------------------------------------------------------------------

MODELS = {
    "plain": {"attention": "none"},
    "plain bidirectional rnn": {"attention": "none", "cell": "rnn", "bidirectional": True},
    "luong dot": {"attention": "dot"},
    "luong scaled, bidirectional": {"attention": "scaled", "bidirectional": True},
    "luong general, two layers": {"attention": "general", "layers": 2, "bidirectional": True},
    "luong additive, gru": {"attention": "additive", "cell": "gru", "bridge": "zero"},
    "luong input feeding": {"attention": "general", "input_feeding": True, "layers": 2},
    "bahdanau": {"attention": "additive", "decoder": "bahdanau", "bridge": "projection"},
    "bahdanau gru": {"attention": "dot", "decoder": "bahdanau", "cell": "gru", "bidirectional": True},
}

EXAMPLES = [
    Example([5, 6, 7], [4, 5, 5, 6]),
    Example([4], []),
    Example([7, 7, 4, 5, 6], [6]),
    Example([], [5, 4]),
]


def build(name: str, dropout: float = 0.0) -> Seq2Seq:
    options = {"bidirectional": False, "embed": 3, "hidden": 4, "dropout": dropout} | MODELS[name]
    model = Seq2Seq(ModelConfig(**options), 8, 7, rng=np.random.default_rng(3), dtype=np.float64)
    rng = np.random.default_rng(4)
    for parameter in model.parameters().values():  # biases too: no zero hides a slip
        parameter.data += 0.3 * rng.normal(size=parameter.data.shape)
    return model


def gradients(model: Seq2Seq, batch, **options):
    """(loss, the gradient of every parameter) of one training step."""
    model.zero_grad()
    loss, cache = model.loss(batch, **options)
    model.backward(1.0, cache)
    return loss, [parameter.grad for parameter in model.parameters().values()]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("stepwise", [False, True])
def test_training_step_on_the_stand_in(strict_xp, name, stepwise):
    xp, batch = strict_xp, make_batch(EXAMPLES)
    host, device = build(name), build(name).to(strict_xp)
    device_batch = moved(batch, xp)
    coins = np.random.default_rng(5).random(batch.tgt_in.shape) < 0.5
    device_coins = xp.asarray(coins)
    for own, device_own in ((None, None), (coins, device_coins)):
        expected = gradients(host, batch, coins=own, stepwise=stepwise, smoothing=0.1)
        xp.transfers.reset()
        found = gradients(device, device_batch, coins=device_own, stepwise=stepwise, smoothing=0.1)
        assert xp.transfers.events == []
        assert_same(found, expected, 1e-12)


def test_the_only_crossings_of_a_random_step_are_its_masks_and_coins(strict_xp):
    """What is drawn on the host must be moved; but that makes nobody wait, and the numbers are NumPy's."""
    batch = make_batch(EXAMPLES)
    name = "luong general, two layers"
    options = {"teacher_forcing": 0.7}
    expected = gradients(build(name, 0.3), batch, rng=np.random.default_rng(6), **options)
    device, device_batch = build(name, 0.3).to(strict_xp), moved(batch, strict_xp)
    strict_xp.transfers.reset()
    found = gradients(device, device_batch, rng=np.random.default_rng(6), **options)
    assert strict_xp.transfers.syncs == strict_xp.transfers.to_host == 0
    assert strict_xp.transfers.to_device > 1
    assert_same(found, expected, 1e-12)


@pytest.mark.parametrize("make", [SGD, lambda p, lr: SGD(p, lr, 0.9, True, 0.1), Adam, AdamW])
def test_optimizer_on_the_stand_in(strict_xp, make):
    batch = make_batch(EXAMPLES)
    host, device = build("luong dot"), build("luong dot").to(strict_xp)
    device_batch = moved(batch, strict_xp)
    mine, theirs = make(device.parameters(), 0.1), make(host.parameters(), 0.1)
    for _ in range(3):
        gradients(host, batch)
        gradients(device, device_batch)
        norm = clip_global_norm(host.parameters(), 0.2)
        assert abs(clip_global_norm(device.parameters(), 0.2) - norm) <= 1e-12 * norm
        strict_xp.transfers.reset()
        mine.step()
        assert strict_xp.transfers.events == []
        theirs.step()
    assert_same(list(device.state().values()), list(host.state().values()), 1e-12)
    assert_same(list(mine.state().values()), list(theirs.state().values()), 1e-12)
    mine.load_state(theirs.state())
    device.load_state(host.state())
    assert all(xp_of(p.data) is strict_xp for p in device.parameters().values())


def searches(model, src, mask):
    """What every search finds, as plain lists."""
    found = [greedy(model, src, mask, max_length=6)]
    for beam, penalty in ((1, 0.0), (3, 0.0), (4, 0.6)):
        found += beam_search(
            model, src, mask, beam=beam, max_length=6, length_penalty=penalty, nbest=min(beam, 2)
        )
    found.append(sample(model, src, mask, max_length=6, rng=np.random.default_rng(7), temperature=0.8))
    return [(h.tokens, h.score, h.log_prob, h.finished) for hypotheses in found for h in hypotheses]


def assert_same_hypotheses(found, expected) -> None:
    assert len(found) == len(expected)
    for (tokens, *scores, finished), (tokens_2, *scores_2, finished_2) in zip(found, expected, strict=True):
        assert (tokens, finished) == (tokens_2, finished_2)
        np.testing.assert_allclose(scores, scores_2, rtol=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_search_on_the_stand_in(strict_xp, name):
    batch = make_batch(EXAMPLES)
    expected = searches(build(name), batch.src, batch.src_mask)
    device_batch = moved(batch, strict_xp)
    found = searches(build(name).to(strict_xp), device_batch.src, device_batch.src_mask)
    assert_same_hypotheses(found, expected)


# -- on CuPy itself -----------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-4)])
@pytest.mark.parametrize("case", CASES)
def test_op_on_a_gpu(gpu, case, dtype, tolerance, order):
    out, dout, din = run_op(case, arguments(case, dtype, "C"), None)
    device_out, _, device_din = run_op(case, moved(arguments(case, dtype, order), gpu), moved(dout, gpu))
    assert_same(device_out, out, tolerance)
    assert_same(device_din, din, tolerance)


@pytest.mark.gpu
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("stepwise", [False, True])
def test_training_step_on_a_gpu(gpu, name, stepwise):
    batch = make_batch(EXAMPLES)
    coins = np.random.default_rng(5).random(batch.tgt_in.shape) < 0.5
    host, device = build(name), build(name).to(gpu)
    expected = gradients(host, batch, coins=coins, stepwise=stepwise)
    found = gradients(device, moved(batch, gpu), coins=gpu.asarray(coins), stepwise=stepwise)
    assert_same(found, expected, 1e-11)


@pytest.mark.gpu
@pytest.mark.parametrize("name", MODELS)
def test_search_on_a_gpu(gpu, name):
    batch = make_batch(EXAMPLES)
    expected = searches(build(name), batch.src, batch.src_mask)
    device_batch = moved(batch, gpu)
    found = searches(build(name).to(gpu), device_batch.src, device_batch.src_mask)
    assert_same_hypotheses(found, expected)


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
