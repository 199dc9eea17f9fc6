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
from minis2s.gradcheck import Report, gradcheck
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
    assert len([f for f in report.findings if "it prints" in f.says]) == 1


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
