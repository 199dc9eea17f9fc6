"""Calls that mean another one, code that hands back nothing, prints from threads: one sentence, and no harm."""

import contextlib
import io
import sys
import threading

import numpy as np
import pytest

from minis2s import nn
from minis2s.errors import UserError
from minis2s.functional import OPS
from minis2s.gradcheck import Report, check_loss, gradcheck
from minis2s.gradcheck.problem import Guard, Misbehaved
from minis2s.models import ModelConfig, Seq2Seq
from minis2s.op import Op

LSTM = OPS["lstm"]
PAIR = (LSTM.forward, LSTM.backward)


def affine(x, W, b):
    return x @ W + b, (x, W)


def affine_back(dout, cache):
    x, W = cache
    rows = dout.reshape(-1, dout.shape[-1])
    return dout @ W.T, x.reshape(-1, x.shape[-1]).T @ rows, rows.sum(axis=0)


def by_keyword(x, *, W, b):
    return affine(x, W, b)


def cache_by_keyword(dout, *, cache):
    return affine_back(dout, cache)


def without_a_mask(x, h0, c0, Wx, Wh, b):
    return LSTM.forward(x, h0, c0, Wx, Wh, b)


def layer(op) -> nn.LSTM:
    return nn.LSTM(3, 4, rng=np.random.default_rng(0), op=op)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: gradcheck(PAIR, "lstm"), "the kind needs its keyword, gradcheck(pair, kind='lstm')"),
        (lambda: gradcheck(LSTM, "lstm"), "the kind needs its keyword"),
        (lambda: gradcheck(*PAIR), 'as one pair, in parentheses: gradcheck((forward, backward), kind="lstm")'),
        (lambda: gradcheck(*PAIR, kind="lstm"), "as one pair, in parentheses"),
        (lambda: gradcheck(nn.LSTM), "LSTM is a class: hand in an instance of it, made with its sizes"),
        (lambda: gradcheck(PAIR, kind=nn.LSTM), 'kind must be the name of a kind, as kind="lstm", got a type'),
        (lambda: gradcheck((by_keyword, affine_back), kind="linear"), "forward takes W, b by keyword only"),
        (
            lambda: gradcheck((affine, cache_by_keyword), kind="linear"),
            "backward takes cache by keyword only (after the *), but it is called as backward(dout, cache)",
        ),
        (
            lambda: gradcheck(lambda x, *, y: (x, None), np.ones(3)),
            "the function takes y by keyword only",
        ),
        (
            lambda: gradcheck(layer(Op("lstm", without_a_mask, LSTM.backward))),
            "LSTM: forward of its op takes 6 arguments (x, h0, c0, Wx, Wh, b), but a layer calls it with 7: "
            "(x, h, c, Wx, Wh, b, mask); add mask to it; where mask is False a step is padding",
        ),
    ],
)  # fmt: skip
def test_a_call_that_means_another_one(call, words):
    with pytest.raises(UserError) as caught:
        call()
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"hint": 4}, "hint must be 0, 1, 2 or 3, got 4"),
        ({"hint": "a"}, "hint must be 0, 1, 2 or 3, got 'a'"),
        ({"hint": np.zeros(2)}, "hint must be 0, 1, 2 or 3"),
        ({"seed": -1}, "seed must be a whole number, 0 or more, got -1"),
        ({"seed": "a"}, "seed must be a whole number, 0 or more, got 'a'"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"dtype": "int"}, "dtype must be np.float64, np.float32 or np.float16, got 'int'"),
        ({"dtype": "nonsense"}, "dtype must be np.float64"),
        ({"dtype": complex}, "dtype must be np.float64"),
        ({"without": 3}, "without must be a list of numbers of outputs, counted from 0, as without=[1], got 3"),
        ({"without": [-1]}, "without must be a list"),
        ({"without": "ab"}, "without must be a list"),
        ({"without": [1]}, "without names the output 1, but forward has 1 output, numbered from 0"),
        ({"seconds": float("nan")}, "seconds must be a number above 0, as 60, got nan"),
        ({"seconds": 0}, "seconds must be a number above 0, as 60, got 0"),
        ({"seconds": -1}, "seconds must be a number above 0"),
        ({"seconds": float("inf")}, "seconds must be a number above 0"),
        ({"seconds": "a"}, "seconds must be a number above 0"),
    ],
)  # fmt: skip
def test_a_setting_that_cannot_be_meant(setting, words):
    with pytest.raises(UserError) as caught:
        gradcheck(lambda x: (2 * x, lambda d: 2 * d), np.ones(3), **setting)
    assert words in str(caught.value) and "\n" not in str(caught.value)
    if setting.keys() <= {"seed", "seconds"}:
        x = np.ones(2)
        with pytest.raises(UserError):
            check_loss(lambda: (x**2).sum(), {"x": x}, {"x": 2 * x}, **setting)


@pytest.mark.parametrize(
    "setting",
    [
        {"seed": np.int64(3)},
        {"dtype": "float32"},
        {"dtype": np.float32},
        {"without": (0,)},
        {"without": np.array([1])},
        {"seconds": np.float32(9)},
    ],
)
def test_a_setting_that_can_be_meant(setting):
    def function(x):
        return (2 * x, 3 * x), lambda d: sum(k * part for k, part in zip((2, 3), d) if part is not None)

    assert gradcheck(function, np.ones(3), **setting).ok


def test_an_op_without_a_mask_inside_a_model():
    model = Seq2Seq(ModelConfig(embed=3, hidden=4), 8, 9, rng=np.random.default_rng(0))
    model.encoder.rnn.layers[0].forwards.op = Op("lstm", without_a_mask, LSTM.backward)
    with pytest.raises(UserError, match="encoder.rnn.layers.0.forwards: forward of its op takes 6 arguments"):
        gradcheck(model)


def test_a_plain_function_may_have_a_string_among_its_inputs():
    x = np.array([1.0, 2.0])
    report = gradcheck(lambda x, how: (2 * x if how == "twice" else x, lambda d: (2 * d, None)), x, "twice")
    assert report.ok


@pytest.mark.parametrize("kind", ["LSTM", "Lstm", "lstm"])
def test_capital_letters_in_a_kind(kind):
    assert gradcheck(PAIR, kind=kind, fast=True).kind == "lstm"


def test_a_mask_by_keyword_only_is_handed_over():
    def forward(x, h0, c0, Wx, Wh, b, *, mask=None):
        return LSTM.forward(x, h0, c0, Wx, Wh, b, mask)

    report = gradcheck((forward, LSTM.backward), kind="lstm", fast=True)
    assert report.ok and report.settings == ["ragged", "no mask", "padding first"]

    def careless(dout, cache):  # right but for padding
        return LSTM.backward(dout, cache._replace(mask=None))

    assert gradcheck((forward, careless), kind="lstm", fast=True).verdict == "wrong"


def test_targets_by_keyword_only_are_handed_over():
    op = OPS["cross_entropy"]

    def forward(logits, *, targets, mask=None):
        return op.forward(logits, targets, mask)

    report = gradcheck((forward, op.backward), kind="cross_entropy")
    assert report.ok and report.settings == ["ragged", "no mask"]


def test_a_backward_without_a_return():
    def forgets(dout, cache):
        affine_back(dout, cache)

    for report in (
        gradcheck((affine, forgets), kind="linear"),
        gradcheck((affine, forgets), np.ones((2, 3)), np.ones((3, 4)), np.ones(4)),
        gradcheck(lambda x: (x**2, lambda d: None), np.ones(3)),
    ):
        assert report.verdict == "wrong"
        assert "backward returned None: is its return statement missing?" in str(report)
        assert "expected 3" not in str(report)


def needs_all(dout, cache):
    dhs, dh, dc = dout
    return LSTM.backward((dhs + 0, dh + 0, dc + 0), cache)


def test_a_gradient_of_none_has_its_remedy():
    remedy = "if d is None: d = np.zeros_like(out)"
    assert remedy in str(gradcheck((LSTM.forward, needs_all), kind="lstm", without=[1]))
    report = gradcheck(layer(Op("lstm", LSTM.forward, lambda d, c: needs_all((d[0], None, None), c))))
    assert report.verdict == "wrong" and remedy in str(report)
    # where every output has a gradient, a None is the function's own doing
    own = gradcheck((affine, lambda d, c: None + d), kind="linear")
    assert own.verdict == "wrong" and remedy not in str(own)


def test_two_axes_are_judged_where_three_cannot_be():
    def backward(dout, cache):
        x, W = cache
        return dout @ W.T, x.T @ dout, dout.sum(axis=0)

    report = gradcheck((affine, backward), kind="linear")
    assert report.verdict == "wrong" and {b.verdict for b in report.blocks} == {"right"}
    assert "with the setting 'sequence': backward raised ValueError" in str(report)
    assert "reshape it to rows first" in str(report)
    assert "not by the numbers of the 3 gradients, but by a fault" in report.summary()
    doubled = gradcheck((affine, lambda d, c: tuple(2 * g for g in backward(d, c))), kind="linear")
    assert {b.verdict for b in doubled.blocks} == {"wrong"}


def test_what_it_prints_is_told_once():
    def backward(dout, cache):
        print("here")
        return LSTM.backward(dout, cache)

    report = gradcheck((LSTM.forward, backward), kind="lstm", fast=True)
    assert len(report.settings) == 3
    (prints,) = [f for f in report.findings if "it prints" in f.says]
    assert report.ok and prints.ok is None


def test_what_it_prints_is_told_of_code_that_fails_as_well():
    def backward(dout, cache):
        print("here")
        raise ValueError("not yet")

    report = gradcheck((LSTM.forward, backward), kind="lstm")
    assert report.verdict == "wrong"
    assert [f.ok for f in report.findings if "it prints (" in f.says] == [None]


def test_code_that_keeps_something_has_one_fault():
    """What the first setting left behind is no second mistake of the next one."""
    kept = {}

    def backward(dout, cache):
        dx, dW, db = affine_back(dout, cache)
        kept[dW.shape] = dW = kept.get(dW.shape, 0) + dW
        return dx, dW, db

    report = gradcheck((affine, backward), kind="linear")
    faults = [f for f in report.findings if f.ok is False]
    assert [f.cause for f in faults] == ["not cleared"] and report.cause.cause == "not cleared"


# -- sys.stdout ------------------------------------------------------------------------------------------


def test_a_thread_that_outlives_the_call_leaves_stdout_alone(capsys):
    release, threads = threading.Event(), []
    before = sys.stdout

    def redirects():
        with contextlib.redirect_stdout(io.StringIO()):
            started.set()
            release.wait(10)

    guard = Guard(20)
    with guard.watching("backward"):
        started = threading.Event()
        threads.append(threading.Thread(target=redirects))
        threads[0].start()
        assert started.wait(10)
    assert sys.stdout is before
    print("one")
    release.set()
    threads[0].join(10)  # it puts back what it found: what stood in for stdout then
    print("two")
    with guard.watching("backward"):
        print("dropped")
    assert sys.stdout is before  # and not what the thread put back
    print("three")
    assert capsys.readouterr().out == "one\ntwo\nthree\n" and guard.printed == len("dropped\n")


def test_checks_in_two_threads_leave_stdout_alone(capsys):
    before, first, second = sys.stdout, threading.Event(), threading.Event()

    def other():
        with Guard(20).watching("b"):
            second.set()
            assert first.wait(10)

    thread = threading.Thread(target=other)
    with Guard(20).watching("a"):
        thread.start()
        assert second.wait(10)
    first.set()
    thread.join(10)
    assert sys.stdout is before
    print("heard")
    assert capsys.readouterr().out == "heard\n"


def test_nested_and_failing_calls_put_stdout_back(capsys):
    before = sys.stdout
    with pytest.raises(Misbehaved), Guard(20).watching("a"):
        inner = Guard(20)
        with inner.watching("b"):
            print("b")
        sys.stdout.close()
        print("still open")
        sys.stdout = io.StringIO()
        raise ValueError
    assert sys.stdout is before and inner.printed == 2 and capsys.readouterr().out == ""


# -- texts of any sort -----------------------------------------------------------------------------------


def test_half_a_surrogate_pair_can_be_written(tmp_path):
    def backward(dout, cache):
        raise ValueError("\ud800 here")

    report = gradcheck((affine, backward), kind="linear")
    assert isinstance(report, Report)
    for n, text in enumerate((report.to_json(), str(report))):
        (tmp_path / f"{n}.txt").write_text(text, encoding="utf-8")
        assert "\\ud800" in (tmp_path / f"{n}.txt").read_text(encoding="utf-8")


def test_an_error_whose_own_text_cannot_be_made():
    class Silent(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    def backward(dout, cache):
        raise Silent

    report = gradcheck((affine, backward), kind="linear")
    assert report.verdict == "wrong" and "backward raised Silent at line" in str(report)


def test_a_line_outside_a_notebook_is_in_no_notebook_cell():
    given = {}
    exec("def double(x):\n    return 2 * x, lambda d: d[100, 3]\n", given)
    assert "raised IndexError at line 2 of <string>: " in str(gradcheck(given["double"], np.ones((2, 3))))
    code = compile("def double(x):\n    return 2 * x, lambda d: d[100, 3]\n", "<ipython-input-1-abc>", "exec")
    exec(code, given)
    assert "at line 2 of a notebook cell: " in str(gradcheck(given["double"], np.ones((2, 3))))


# -- gradients by name -----------------------------------------------------------------------------------

A, B = np.random.default_rng(1).standard_normal((2, 3, 4))


@pytest.mark.parametrize("keys", ["xy", ("dx", "dy"), ("x", "dy")])
@pytest.mark.parametrize("turned", [False, True])
def test_a_dictionary_is_read_by_its_keys(keys, turned):
    """The order of its items means nothing."""

    def in_a_dictionary(*gradients):
        items = list(zip(keys, gradients, strict=True))
        return dict(items[::-1] if turned else items)

    def times(x, y):
        return x * y, lambda d: in_a_dictionary(d * y, d * x)

    def exchanged(x, y):
        return x * y, lambda d: in_a_dictionary(d * x, d * y)

    def pair_forward(x, y):
        return x * y, (x, y)

    def pair_backward(d, cache):
        return in_a_dictionary(d * cache[1], d * cache[0])

    assert gradcheck(times, A, B).ok and gradcheck((pair_forward, pair_backward), A, B).ok
    assert [b.verdict for b in gradcheck(exchanged, A, B).blocks] == ["wrong", "wrong"]


@pytest.mark.parametrize(
    "names", ["x h0 c0 Wx Wh b", "dx dh0 dc0 dWx dWh db", "X h c U W bias", "dX dh dc dU dW dbias"]
)
def test_a_dictionary_of_a_known_kind(names):
    """Its keys are the names of the kind, or those that forward itself has."""

    def forward(X, h, c, U, W, bias, mask=None):
        return LSTM.forward(X, h, c, U, W, bias, mask)

    def backward(dout, cache):
        return dict(reversed(list(zip(names.split(), LSTM.backward(dout, cache), strict=True))))

    assert gradcheck((forward, backward), kind="lstm", fast=True).ok

    def misnamed(dout, cache):
        one, two, *others = names.split()
        return dict(zip([two, one, *others], LSTM.backward(dout, cache), strict=True))

    report = gradcheck((forward, misnamed), kind="lstm", fast=True)
    assert {b.name for b in report.blocks if b.verdict != "right"} == {"x", "h0"}


def test_nested_dictionaries_are_read_by_their_keys():
    def network(x, p):
        def backward(d):
            return {"p": {"db": d.sum(axis=0), "dW": x.T @ d}, "x": d @ p["W"].T}

        return x @ p["W"] + p["b"], backward

    def of_weights(p):
        return A @ p["W"] + p["b"], lambda d: {"db": d.sum(axis=0), "dW": A.T @ d}

    weights = {"W": B.T @ A, "b": np.ones(4)}
    assert gradcheck(network, A, weights).ok and gradcheck(of_weights, weights).ok


def test_a_key_that_names_no_argument():
    def times(keys):
        return lambda x, y: (x * y, lambda d: dict(zip(keys, (d * y, d * x, d), strict=False)))

    report = gradcheck(times("qr"), A, B)
    assert report.verdict == "wrong" and report.causes == []
    assert (
        "backward returned a dictionary with the unknown keys 'q', 'r': expected the keys 'x', 'y', or 'dx', 'dy'"
        in str(report)
    )
    missing = gradcheck(times("x"), A, B)
    assert {b.name: b.verdict for b in missing.blocks} == {"x": "right", "y": "missing"}
    assert "backward returned no gradient of y" in str(missing)
    assert gradcheck(times("xyz"), A, B).ok  # more than was asked for
    nameless = gradcheck(lambda *x: (x[0] * x[1], lambda d: {"x": d * x[1], "y": d * x[0]}), A, B)
    assert "expected a tuple in the order of the inputs" in str(nameless)


# -- inputs ----------------------------------------------------------------------------------------------


def test_a_list_of_numbers_is_an_array():
    def times(x, y):
        return x * y, lambda d: (d * y, (d * x).sum(axis=0))

    assert gradcheck(lambda x: (2 * x, lambda d: 2 * d), [1.0, 2.0]).ok
    report = gradcheck(times, A, [1.0, 2.0, 3, 4.0])
    assert report.ok and [b.name for b in report.blocks] == ["x", "y"]
    assert gradcheck(lambda p: (p["w"] ** 2, lambda d: {"w": 2 * d * p["w"]}), {"w": [[1.0], [2.0]]}).ok
    taken = []
    gradcheck(lambda x, ids: (taken.append(ids) or 2 * x, lambda d: (2 * d, None)), A, [1, 2])
    assert taken[0] == [1, 2]  # whole numbers are handed over as they are
    with pytest.raises(UserError, match="x is a list of lists of different lengths"):
        gradcheck(lambda x: (x, None), [[1.0], [1.0, 2.0]])


def test_errors_of_shapes_say_what_the_kind_hands_in():
    def batch_first(x, h0, c0, Wx, Wh, b):
        h = h0
        for t in range(x.shape[1]):
            h = np.tanh(x[:, t] @ Wx + h @ Wh + b)
        return (h, h, h), None

    def failing(dout, cache):
        raise ValueError

    def of_rows(logits, targets):
        N, V = logits.shape
        return logits.sum(), None

    report = str(gradcheck((batch_first, LSTM.backward), kind="lstm"))
    assert "forward raised ValueError" in report
    assert "kind 'lstm' hands in, time first: x (T, B, D) = (4, 3, 5), h0 (B, H) = (3, 2)" in report
    report = str(gradcheck((of_rows, LSTM.backward), kind="cross_entropy"))
    assert "hands in, time first: logits (T, B, V) = (4, 3, 9), targets (T, B) = (4, 3)" in report
    # with inputs of one's own nothing is handed in, and in backward nothing is said of it
    assert "hands in" not in str(gradcheck((batch_first, LSTM.backward), *np.ones((2, 3, 3))))
    assert "hands in" not in str(gradcheck((affine, failing), kind="linear"))


@pytest.mark.parametrize("options", [{"kind": "linear"}, {}])
def test_a_backward_of_other_arguments(options):
    inputs = () if options else (np.ones((2, 3)), np.ones((3, 4)), np.ones(4))

    def said(backward) -> str:
        return str(gradcheck((affine, backward), *inputs, **options))

    order = "backward is called as backward(dout, cache), the upstream gradient first; this one takes "
    assert order + "(cache): give it these two parameters" in said(lambda cache: affine_back(1, cache))
    assert order + "(cache, dout): exchange the two" in said(lambda cache, dout: affine_back(dout, cache))
    three = said(lambda dh, dc, cache: affine_back(dh, cache))
    assert order + "(dh, dc, cache): give it these two parameters; dout is a tuple" in three
    assert order not in said(lambda d, c: affine_back(c, d))
    assert order not in said(lambda dout, cache, more=1: affine_back(dout, cache) / more)
    misnamed = gradcheck((affine, lambda cache, dout: affine_back(cache, dout)), *inputs, **options)
    assert misnamed.ok  # a name is no fault


# -- a cache that is used up -------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1, 2])
def test_a_backward_that_empties_its_cache_is_judged_by_its_first_call(factor):
    def forward(x, W, b):
        out, cache = affine(x, W, b)
        return out, [cache]

    def backward(dout, cache):
        return tuple(factor * g for g in affine_back(dout, cache.pop()))

    report = gradcheck((forward, backward), kind="linear")
    assert {b.verdict for b in report.blocks} == {"right" if factor == 1 else "wrong"}
    assert report.verdict == "wrong"  # calling backward twice must give the same twice
    faults = {f.says for f in report.findings if f.ok is False}
    assert len(faults) == 1 and "called a second time with the same cache backward raised IndexError" in str(
        faults
    )
    assert "leave its cache as it is" in str(report)
    low = gradcheck((forward, backward), kind="linear", hint=1)
    assert "IndexError" in str(low) and "leave its cache as it is" not in str(low)


def test_gradients_that_share_their_memory_are_a_remark():
    """Where they are the upstream gradient as it came; one new array for two, or a buffer, is a fault."""
    plus = gradcheck(lambda x, y: (x + y, lambda d: (d, d)), A, B)
    assert plus.ok and "d" in str(plus) and "share their memory" in str(plus)
    twice = gradcheck(lambda x, y: (2 * (x + y), lambda d: (2 * d,) * 2), A, B)
    assert twice.verdict == "wrong" and twice.cause.cause == "aliased"
    buffer = np.zeros((2, *A.shape))

    def halves(d):
        np.multiply(d, [[[1]], [[2]]], out=buffer)
        return buffer[0], buffer[1]

    assert gradcheck(lambda x, y: (x + 2 * y, halves), A, B).verdict == "wrong"

    def adds_in_place(d):
        dx = dy = d
        dx += d  # dx is dy, and dout
        return dx, dy

    assert gradcheck(lambda x, y: (2 * x + y, adds_in_place), A, B).verdict == "wrong"
