"""What a report says: plain sentences, in the words of what was checked, no more certain than they may be."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from minis2s import __version__
from minis2s.functional import OPS
from minis2s.gradcheck import Block, Cause, Finding, Place, Report, check_loss, gradcheck
from minis2s.gradcheck.diagnose import in_the_order_of
from minis2s.gradcheck.glossary import (
    GLOSSARY,
    a_kind,
    explained,
    explained_in_prose,
    in_the_plural,
    in_words_of_a_step,
)
from minis2s.gradcheck.kinds import KINDS
from minis2s.gradcheck.mutants import MUTANTS, mutated_op
from minis2s.gradcheck.operation_changes import Change
from minis2s.gradcheck.words import in_words


def wrong_block(name: str = "W", error: float = 0.5) -> Block:
    return Block(name, "wrong", error, (0,), 2.58, 2.5764)


def changed(op, change):
    """The pair with one of its gradients changed: change(gradients as a list) -> gradients."""
    return ("mine", op.forward, lambda dout, cache: change(list(op.backward(dout, cache))))


# -- forward ---------------------------------------------------------------------------------------------


def affine(x, W, b):
    return x @ W + b + 1, (x, W)


def affine_back(dout, cache):
    x, W = cache
    rows = dout.reshape(-1, dout.shape[-1])
    return dout @ W.T, x.reshape(-1, x.shape[-1]).T @ rows, rows.sum(axis=0)


def test_the_verdict_on_forward():
    differs = gradcheck((affine, affine_back), kind="linear")
    assert differs.ok and differs.forward == "differs"
    said = (
        "forward differs from a linear as stated; backward, judged against your own forward, is right: all 3"
    )
    assert str(differs).startswith(f"affine (linear): {said}")
    assert gradcheck(OPS["linear"]).forward == "right"
    x, W, b = np.ones((2, 3)), np.ones((3, 4)), np.ones(4)
    assert gradcheck((affine, affine_back), x, W, b).forward == "not asked"
    assert gradcheck((affine, affine_back), x, W, b, kind="linear").forward == "differs"
    raises = gradcheck((lambda x, W, b: 1 / 0, affine_back), kind="linear")
    assert raises.forward == "not asked" and raises.verdict == "wrong"


def test_a_wrong_backward_of_a_wrong_forward():
    report = gradcheck((affine, lambda d, c: (-affine_back(d, c)[0], *affine_back(d, c)[1:])), kind="linear")
    assert report.verdict == "wrong" and report.forward == "differs"
    assert "forward differs from a linear as stated; backward, judged" in report.summary()
    assert "is wrong: of 3 gradients 1 wrong" in report.summary()


def test_a_forward_that_is_wrong_in_one_setting_only():
    op = OPS["rnn"]

    def forward(x, h0, Wx, Wh, b, mask=None):
        return op.forward(x, h0, Wx, Wh, b if mask is not None else b + 1, mask)

    report = gradcheck((forward, op.backward), kind="rnn", fast=True)
    assert report.ok and report.forward == "differs"
    assert "forward computes an RNN with the setting 'ragged', but not with 'no mask'" in str(report)


def test_a_form_that_was_stated_is_asked_for():
    op = OPS["gru_step"]
    assert gradcheck(op, reset_after=True, fast=True).forward == "right"

    def before(x, h, Wx, Wh, bx, bh, mask=None):
        return op.forward(x, h, Wx, Wh, bx, bh, mask, False)

    pair = (before, op.backward)
    assert gradcheck(pair, kind="gru_step", fast=True).forward == "right"  # nothing was said about its form
    assert gradcheck(pair, kind="gru_step", reset_after=True, fast=True).forward == "differs"
    assert gradcheck(pair, kind="gru_step", reset_after=False, fast=True).forward == "right"
    assert gradcheck(OPS["lstm_step"], gates="ifgo", fast=True).forward == "differs"


def test_an_lstm_without_a_bias_is_an_lstm():
    op = OPS["lstm"]

    def forward(x, h0, c0, Wx, Wh):
        return op.forward(x, h0, c0, Wx, Wh, np.zeros(Wx.shape[1]))

    report = gradcheck((forward, lambda d, c: op.backward(d, c)[:-1]), kind="lstm", fast=True)
    assert report.ok and report.forward == "right" and len(report.blocks) == 5
    report = gradcheck((forward, lambda d, c: (*op.backward(d, c)[:-2], -op.backward(d, c)[-2])), kind="lstm")
    assert {b.name for b in report.blocks if b.verdict == "wrong"} == {"Wh"} and report.cause.cause == "sign"


def test_what_a_grader_reads():
    found = json.loads(gradcheck((affine, affine_back), kind="linear", hint=1, seed=7).to_json())
    assert (found["hint"], found["seed"], found["minis2s"]) == (1, 7, __version__)
    assert (found["ok"], found["verdict"], found["forward"]) == (True, "right", "differs")
    assert found["summary"].startswith("forward differs")


# -- where -----------------------------------------------------------------------------------------------


def test_a_guess_is_called_one():
    x, W = np.arange(6.0).reshape(2, 3) + 0.5, np.linspace(-1, 1, 9).reshape(3, 3)
    pair = (lambda x, W: (x @ W, None), lambda d, c: (2 * d @ W.T + 1, 2 * x.T @ d + 1))
    report = gradcheck(pair, x, W)
    assert report.place == Place("dx", guessed=True) and report.to_dict()["place"]["guessed"]
    assert report.where().startswith("the gradients of x, W are wrong; dx is a guess from this")
    assert (
        "nothing inside backward was looked at" in report.where() and "first gradient" not in report.where()
    )
    one = gradcheck((pair[0], lambda d, c: (d @ W.T, x.T @ d + 1)), x, W)
    assert one.where().startswith("the gradient of W is wrong, that of x is right; nothing inside")
    seen = gradcheck(mutated_op(MUTANTS["lstm_step/do uses c"]))
    assert not seen.place.guessed and "first gradient that is wrong" in seen.where()


@pytest.mark.parametrize("kind", ["lstm_step", "gru_step", "rnn_step"])
def test_a_step_is_told_in_words_of_a_step(kind):
    op = OPS[kind]
    states = KINDS[kind].outs
    for n in range(1, 1 + len(states)):  # each gradient of a state, and dWh
        report = gradcheck(changed(op, lambda g, n=n: [*g[:n], 2 * g[n], *g[n + 1 :]]), kind=kind)
        assert report.place.node in ("dh_prev", "dc_prev"), str(report)
        for hidden in ("dh0", "dc0", "h0", "[t]", "dh_last"):
            assert hidden not in " ".join(report.hints()), str(report)


def test_a_line_of_a_step():
    assert in_words_of_a_step("dWh = dWh + h_prev[t].T @ dz") == "dWh = h_prev.T @ dz"
    assert in_words_of_a_step("dx[t] = dz @ Wx.T") == "dx = dz @ Wx.T"
    assert in_words_of_a_step("the gradient of the last state h is not taken over") == (
        "the gradient dh of the new state is not taken over"
    )
    assert in_words_of_a_step("dh0 is h0 + c0") == "dh_prev is h_prev + c_prev"


# -- why -------------------------------------------------------------------------------------------------


def test_no_known_mistake_is_said():

    def noise(shape):  # to be multiplied with, so that backward is linear in dout
        return np.random.default_rng(0).standard_normal(shape)

    op = OPS["linear"]
    report = gradcheck(changed(op, lambda g: [g[0], g[1] * noise(g[1].shape), g[2]]), kind="linear")
    assert report.causes == [] and "no known single mistake gives these numbers" in report.why()
    assert "Only the gradient of W is wrong: look at the lines that it alone needs" in report.why()
    assert "Two mistakes at once look like this too" in report.why()
    assert "why:" in str(report) and report.hints(2)[1] == report.why()
    assert "No known single mistake" in report._repr_html_()
    two = gradcheck(changed(op, lambda g: [g[0], g[1] * noise(g[1].shape), g[2] * noise(6)]), kind="linear")
    assert "Look first at the gradient of" in two.why() and "which is farthest off" in two.why()
    assert f"gradient of {two.worst.name}, " in two.why() and "shares with x, which is right" in two.why()


def test_no_known_mistake_is_not_said_where_none_was_looked_for():
    w = {"w": np.array([1.0, 2.0])}
    report = check_loss(lambda: float((w["w"] ** 2).sum()), w, {"w": np.array([0.3, 9.0])})
    assert report.verdict == "wrong" and report.why() == ""
    assert Report("f", "", [wrong_block()], [Finding("hygiene", False, "it hangs")]).why() == ""
    assert Report("f", "", [Block("x", "right")]).why() == ""


def test_rivals_are_named_once():
    causes = [Cause("sign", says, "likely") for says in ("a", "b", "b", "a", "c", "d")]
    assert Report("f", "", [wrong_block()], causes=causes).why() == "likely a; or b; or c"


def test_a_factor_lost_by_an_alias_is_a_missing_factor():
    """di = dc, and then dc *= f in place: the numbers are those of f where g belongs."""
    report = gradcheck(mutated_op(MUTANTS["lstm/di lacks g"]))
    assert report.cause.cause == "missing factor" and "di lacks the factor g" in report.why()
    assert {c.cause for c in report.causes} == {"missing factor"}


def test_a_second_mistake_is_not_claimed():
    op = OPS["lstm"]

    def two(g):  # dc0 doubled, dWx from nowhere
        return [g[0], 2 * g[1], 2 * g[2] + 1, *g[3:]]

    report = gradcheck(changed(op, two), kind="lstm")
    assert "there is a second" not in str(report)


@pytest.mark.parametrize(
    ("gates", "text", "wanted"),
    [
        ("ifog", "in the order f, i, o, g, where i, f, o, g belongs", "in the order f, i, o, g, where i, f, o, g belongs"),
        ("ifgo", "in the order i, f, g, o, where i, f, o, g belongs", "in the order i, f, o, g, where i, f, g, o belongs"),
        ("gofi", "in the order f, i, o, g, where i, f, o, g belongs", "in the order g, o, i, f, where g, o, f, i belongs"),
        ("urn", "in the order u, r, where r, u belongs", "in the order r, u, where u, r belongs"),
        ("urn", "the gates lie side by side: r, u, n", "the gates lie side by side: u, r, n"),
        (
            "gofi",
            "dz = np.concatenate([dz_f, dz_i, dz_o, dz_g], axis=1)",
            "dz = np.concatenate([dz_g, dz_o, dz_i, dz_f], axis=1)",
        ),
        ("ifgo", "dzx = np.concatenate([dz_ru, dz_n], axis=1)", "dzx = np.concatenate([dz_ru, dz_n], axis=1)"),
    ],
)  # fmt: skip
def test_gates_are_told_in_the_declared_order(gates, text, wanted):
    assert in_the_order_of(gates, text) == wanted


def test_an_exchange_of_gates_in_a_declared_order():
    op = OPS["lstm_step"]

    def turned(a, have, want):
        parts = np.split(a, 4, axis=-1)
        return np.concatenate([parts[have.index(letter)] for letter in want], axis=-1)

    def forward(x, h, c, Wx, Wh, b, mask=None):
        return op.forward(x, h, c, *(turned(a, "gofi", "ifog") for a in (Wx, Wh, b)), mask)

    def backward(dout, cache):
        dx, dh, dc, *weights = op.backward(dout, cache)
        return dx, dh, dc, *(turned(a, "ifog", "goif") for a in weights)  # f and i the wrong way round

    report = gradcheck((forward, backward), kind="lstm_step", gates="gofi")
    assert report.verdict == "wrong" and report.gates == "gofi" and report.forward == "right"
    assert "i, f, o, g" not in str(report)


# -- words -----------------------------------------------------------------------------------------------


def test_the_axes_of_attention_have_names():
    change = Change(None, "axis", "-1", "1")
    cause, says = in_words("taken", change, "(dweights * weights).sum(axis=-1, keepdims=True)")
    assert cause == "axis"
    assert (
        says
        == "the sum in the softmax's Jacobian runs over the queries (target steps), not over the source positions"
    )
    assert "axis" not in in_words("db", Change(None, "axis", "0", "1"), "db + dz.sum(axis=0)")[1]


def test_names_that_only_the_textbook_has_are_explained():
    report = gradcheck(changed(OPS["cross_entropy"], lambda g: [3 * g[0]]), kind="cross_entropy", hint=3)
    report.causes = [
        Cause("normalization", "x", "likely", "dsurprise = dloss * real / count", "dsurprise = dloss * real")
    ]
    for text in (str(report), report._repr_html_()):
        assert "real is 1 where a step is no padding" in text.replace("Real", "real")
        assert "count is the number of real tokens" in text and "dsurprise is the gradient of each" in text
    attention = Report("f", "attention", [wrong_block()], causes=[
        Cause("axis", "x", "likely", "taken = (dweights * weights).sum(axis=-1)", "taken = dweights.sum(axis=1)")])  # fmt: skip
    assert "arrays have the batch first here" in attention.formula()
    assert explained("dz = dh * (1 - h[t] ** 2)") == []
    # in a sentence too, but once in a report, and no plain word is taken for a name
    step = gradcheck(changed(OPS["gru_step"], lambda g: g), kind="gru_step")
    step.blocks[0].verdict = "wrong"
    step.causes = [
        Cause("missing factor", "dr lacks the factor zh_n", "likely", "dr = dz_n * zh_n", "dr = dz_n")
    ]
    assert step.why() == f"likely dr lacks the factor zh_n ({GLOSSARY['zh_n']})"
    assert str(step).count(GLOSSARY["zh_n"]) == 1
    assert explained_in_prose("only the count of real tokens is taken: keep it") == []
    assert all(name in text for name, text in GLOSSARY.items())


def test_articles_and_plurals():
    assert a_kind("lstm") == "an LSTM" and a_kind("gru_step") == "a step of a GRU"
    assert a_kind("attention") == "an attention" and a_kind("linear") == "a linear"
    assert in_the_plural("dvalues and dkeys keeps it") == "dvalues and dkeys keep it"
    assert in_the_plural("dWh keeps it") == "dWh keeps it"
    assert Report("f", "", [wrong_block()]).summary() == "wrong: of 1 gradient 1 wrong"
    assert "the only gradient agrees with the numeric one" in gradcheck(OPS["tanh"]).summary()
    assert "forward does not compute what an LSTM computes" in str(
        gradcheck((lambda *x: OPS["lstm"].forward(x[0] * 2, *x[1:]), lambda d, c: scaled(d, c)), kind="lstm")
    )


def scaled(dout, cache):
    dx, *rest = OPS["lstm"].backward(dout, cache)
    return 2 * dx, *rest


def test_both_values_have_the_same_number_of_digits():
    report = Report("f", "", [wrong_block()])
    got, expected = re.search(r"backward says (\S+), differences say (\S+)", str(report)).groups()
    assert (got, expected) == ("2.580000000", "2.576400000")
    assert ">2.580000<" in report._repr_html_() and ">2.576400<" in report._repr_html_()


# -- where -----------------------------------------------------------------------------------------------


def test_where_several_weights_are_wrong():
    wrong = [wrong_block(name) for name in ("Wx", "Wh", "b")]
    one = Report("f", "lstm", wrong[:1], place=Place("dWx"))
    assert one.where() == (
        "only the gradient of a weight, dWx, is wrong; everything that leads to it is right"
    )
    several = Report("f", "lstm", wrong, place=Place("dWx", others=("Wh", "b")))
    assert several.where() == (
        "the gradients of the weights dWx, dWh and db are wrong; everything that leads to them is right"
    )
    assert replace(several, hint=0).where() == ""
    paths = tuple(f"encoder.{n}.W" for n in range(7))
    assert Report("f", "", wrong, place=Place("dW", layer="decoder.out", others=paths)).where() == (
        "the gradients of the weights dW of decoder.out, dW of encoder.0, dW of encoder.1, dW of encoder.2, "
        "dW of encoder.3 and 3 more are wrong; everything that leads to the gradient of decoder.out.W is right"
    )


def test_weights_that_are_doubled():
    op = OPS["lstm"]
    report = gradcheck(changed(op, lambda g: [*g[:3], *(2 * d for d in g[3:])]), kind="lstm", fast=True)
    assert "the gradients of the weights dWx, dWh and db are wrong" in report.where()


def test_one_gradient_is_not_counted_in_a_fault_of_behaviour():
    report = Report("f", "", [Block("x", "right")], [Finding("hygiene", False, "backward changes its cache")])
    assert "not by the numbers of the only gradient, but by a fault" in report.summary()


def test_numbers_are_called_right_only_where_all_are():
    behaves = Finding("hygiene", False, "backward changes its cache", "aliased", "dh")
    for verdict, said in (
        ("right", "the numbers are right; the fault lies where dh is made"),
        ("cannot tell", "the fault lies where dh is made"),
        ("vacuous", "the fault lies where dh is made"),
    ):
        report = Report("f", "", [Block("x", "right"), Block("y", verdict)], [behaves], Place("dh"))
        assert report.where() == said
    assert Report("f", "", [], [behaves], Place("dh")).where() == "the fault lies where dh is made"
