"""The catalogue of planted bugs: every entry can be planted, is a bug, and leaves no trace behind."""

import numpy as np
import pytest

from minis2s.functional import OPS
from minis2s.functional.lstm import lstm_backward
from minis2s.gradcheck.causes import CAUSES
from minis2s.gradcheck.mutants import MUTANTS, Mutant, by_area, mutated_code, mutated_op, planted
from minis2s.gradcheck.mutants.mutant import ABOUT, target_function
from minis2s.gradcheck.mutants.situations import hidden_by, is_visible, right_gradients, shows
from minis2s.nn import RNN, Linear
from minis2s.optim import Adam, AdamW

BACKWARD = [m for m in MUTANTS.values() if m.about == "backward"]
NODES = {
    *("dh", "dc", "dz", "dh0", "dc0", "dx", "dWx", "dWh", "db", "dbx", "dbh"),
    *("dweights", "dvalues", "dscores", "dquery", "dkeys", "dW", "dWq", "dv", "dprojected"),
    *("dlogits", "dmemory", "dcontext", "dfeed"),
}


def test_there_are_many_and_each_has_a_name_of_its_own():
    assert len(MUTANTS) == sum(map(len, by_area.values())) >= 400
    assert len(BACKWARD) >= 300 and all(len(mutants) >= 20 for mutants in by_area.values())
    assert len({(m.target, m.old, m.new) for m in MUTANTS.values()}) == len(MUTANTS)


def test_what_is_said_of_each():
    gates = {"lstm": "ifog", "gru": "run"}
    for name, m in MUTANTS.items():
        assert m.cause in CAUSES and m.about in ABOUT, name
        assert (m.cause in ABOUT) == (m.about != "backward"), name
        assert m.op == "" or m.op in OPS, name
        assert m.says.endswith(".") and not m.says[0].islower() and "\n" not in m.says, name
        assert m.node in NODES if m.about == "backward" else m.node == "", name
        assert set(m.gate) <= set(gates.get(m.op.removesuffix("_step"), "")), name
        assert m.step is None or m.step < 0, name


@pytest.mark.parametrize("area", by_area)
def test_every_fragment_occurs_once_and_what_comes_out_is_other_code(area):
    for mutant in by_area[area]:
        right, wrong = target_function(mutant.target), mutated_code(mutant)
        assert right.__code__.co_name == wrong.code.co_name, mutant.name
        same = (
            right.__code__.co_code == wrong.code.co_code and right.__code__.co_consts == wrong.code.co_consts
        )
        assert not (same and right.__code__.co_names == wrong.code.co_names) or (
            right.__defaults__ != wrong.defaults
            or right.__code__.co_varnames != wrong.code.co_varnames
            or repr(list(right.__code__.co_lines())) != repr(list(wrong.code.co_lines()))
        ), mutant.name


@pytest.mark.parametrize("area", [a for a in by_area if any(m in BACKWARD for m in by_area[a])])
def test_none_is_equivalent_to_the_right_code(area):
    hidden = [m.name for m in by_area[area] if m.about == "backward" and not is_visible(m)]
    assert hidden == []


def test_a_planted_bug_reaches_everyone_and_is_gone_afterwards():
    mutant = MUTANTS["lstm/do uses c"]
    code = lstm_backward.__code__
    with planted(mutant):
        assert lstm_backward.__code__ is OPS["lstm"].backward.__code__ is not code
        right_gradients.cache_clear()  # what is right is not what is planted now
        assert shows(mutant)  # nested: planted again
        assert lstm_backward.__code__ is not code
    assert lstm_backward.__code__ is code


def test_a_planted_bug_is_gone_after_an_error():
    code = lstm_backward.__code__
    with pytest.raises(KeyError), planted(MUTANTS["lstm/do uses c"]):
        raise KeyError
    assert lstm_backward.__code__ is code


def test_bound_methods_and_defaults_too():
    layer = Linear(2, 2, rng=np.random.default_rng(0), dtype=np.float64)
    backward = layer.backward
    _, cache = layer.forward(np.ones((1, 2)))
    with planted(MUTANTS["wiring/linear bias forgotten"]):
        backward(np.ones((1, 2)), cache)
    assert layer.W.grad.any() and not layer.b.grad.any()
    parameters = layer.parameters()
    with planted(MUTANTS["optimizer/eps 1e-3"]):
        assert Adam(parameters, 0.1).eps == 1e-3
    assert Adam(parameters, 0.1).eps == 1e-8


def test_a_method_that_calls_super():
    layer = Linear(2, 2, rng=np.random.default_rng(0), dtype=np.float64)
    layer.W.grad += 1
    before = layer.W.data.copy()
    with planted(MUTANTS["optimizer/decay not scaled by the learning rate"]):
        AdamW(layer.parameters(), 1e-9, weight_decay=0.5).step()
    np.testing.assert_allclose(layer.W.data, 0.5 * before, rtol=0, atol=1e-8)


def test_a_layer_without_an_option_of_its_own_runs_the_mutant():
    layer = RNN(2, 2, rng=np.random.default_rng(0), dtype=np.float64)
    (hs, _), cache = layer.forward(np.ones((3, 1, 2)))
    right, _ = layer.backward((np.ones_like(hs), None), cache)
    with planted(MUTANTS["rnn/dh not passed back"]):
        wrong, _ = layer.backward((np.ones_like(hs), None), cache)
    np.testing.assert_array_equal(right[2], wrong[2])
    assert (right[0] != wrong[0]).all()


def test_a_mutated_op_leaves_the_engine_alone():
    right, mutant = OPS["lstm"], MUTANTS["lstm/do uses c"]
    code = right.backward.__code__
    wrong = mutated_op(mutant)
    assert wrong.name == "lstm" and wrong.forward is right.forward
    assert wrong.backward is not right.backward and right.backward.__code__ is code
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal(s) for s in ((3, 2, 4), (2, 2), (2, 2), (4, 8), (2, 8), (8,))]
    out, cache = right.forward(*inputs)
    dout = tuple(rng.standard_normal(part.shape) for part in out)
    assert np.abs(right.backward(dout, cache)[0] - wrong.backward(dout, cache)[0]).max() > 1e-3
    assert wrong.backward.__name__ == "lstm_backward" and wrong.backward.__doc__ == right.backward.__doc__


def test_every_bug_of_an_operation_itself_makes_an_op():
    made = [mutated_op(m) for m in BACKWARD if m.op and m.target.startswith("functional.")]
    assert len(made) >= 200
    forward = mutated_op(MUTANTS["forward/no source mask"])
    assert forward.backward is OPS["masked_softmax"].backward is not forward.forward


@pytest.mark.parametrize(
    "name", ["embedding/scatter without a sum", "wiring/softmax skipped", "forward/sigmoid by exp"]
)
def test_a_bug_beside_the_pair_makes_no_op(name):
    with pytest.raises(ValueError, match="plant it instead"):
        mutated_op(MUTANTS[name])


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("no such text", "", "occurs 0 times"),
        ("dh", "dh", "it occurs"),
        ("return dx", "return (dx", "is not Python"),
    ],
)
def test_a_fragment_that_does_not_fit_is_refused(old, new, words):
    mutant = Mutant("bad", "functional.rnn:rnn_backward", old, new, "Bad.", "sign")
    with pytest.raises(ValueError, match=words):
        mutated_code(mutant)


@pytest.mark.parametrize(
    "name, hidden",
    [
        ("cross_entropy/padding not masked", {"one row", "no padding"}),
        ("cross_entropy/divided by the batch", set()),
        ("lstm_step/db of the first row", {"one row"}),
        ("linear/dW of the last step", {"one step"}),
        ("masked_softmax/only the diagonal of the Jacobian", {"one source"}),
        ("masked_softmax/sum over the batch", {"one row"}),
        ("embedding/assigned, not added", {"no repeats", "one step"}),
        ("dropout/scale forgotten", {"no dropout"}),
        ("lstm/do uses c", set()),
        ("lstm/dh stops at padding", {"one row", "no padding"}),
        ("lstm/dh_last is not copied", {"one call", "outputs only", "last states only"}),
        ("wiring/keys of one step only", {"one step", "one source"}),
    ],
)
def test_what_hides_a_bug(name, hidden):
    """As it was measured for the recipe of the gradient checks."""
    assert set(hidden_by(MUTANTS[name])) == hidden


def test_gradients_do_not_show_a_bug_of_the_search():
    with pytest.raises(ValueError, match="is about search: gradients do not show it"):
        shows(MUTANTS["search/parent forgotten"])
