"""Inside a model: the layer and the node that go wrong first are named, and watching leaves no trace."""

from typing import NamedTuple

import numpy as np
import pytest

from minis2s import functional as F
from minis2s.gradcheck import CAUSES, Report, gradcheck
from minis2s.gradcheck.model import batch_for
from minis2s.gradcheck.mutants import MUTANTS, planted
from minis2s.gradcheck.watch import LAYER_METHODS, Watch, walk
from minis2s.models import ModelConfig, Seq2Seq
from minis2s.models.decoder import Decoder
from minis2s.nn import GRU, LSTM, Dropout, Layer, Linear
from minis2s.op import Op

MODELS = {
    "luong": {},
    "dot": {"attention": "dot"},
    "scaled": {"attention": "scaled"},
    "gru": {"cell": "gru"},
    "rnn": {"cell": "rnn"},
    "bahdanau": {"decoder": "bahdanau", "attention": "additive"},
    "feeding": {"input_feeding": True, "dropout": 0.3, "layers": 2},
    "fed": {"input_feeding": True},
    "projection": {"bridge": "projection", "layers": 2, "dropout": 0.3},
}
# the layers that backward comes to first
CELLS, ENCODER, ATTENTION = "decoder.cells.layers.0", "encoder.rnn.layers.0.backwards", "decoder.attention"
LAST = 3  # the last of the four steps, which only the first sentence of the batch has


class Case(NamedTuple):
    """A planted bug, and what is to be said of it inside a model."""

    mutant: str
    model: str
    layer: str
    step: int | None = None
    nodes: tuple[str, ...] = ()  # besides that of the catalogue
    causes: tuple[str, ...] = ()  # besides that of the catalogue
    rows: tuple[int, ...] | None = None


WIRING = [
    Case("h and c exchanged on the way out", "luong", ENCODER),
    Case("last state ignored", "luong", ENCODER),
    Case("outputs ignored", "luong", CELLS, LAST, causes=("missing term",)),
    Case("step without dc", "luong", CELLS, 2),
    Case("right-to-left gradient not reversed", "luong", ENCODER, LAST, nodes=("dmemory",)),
    Case("dx of the right not reversed", "luong", "encoder.embedding", LAST),
    Case("dx of the right forgotten", "luong", "encoder.embedding", LAST),
    Case("dropout between layers forgotten", "feeding", "encoder.rnn.dropout", LAST),
    Case("step: upper layer's gradient lost", "feeding", CELLS, LAST, causes=("carry dropped",)),
    Case("step: dropout between layers forgotten", "feeding", "decoder.cells.dropout", LAST),
    Case("dropout happens forward only", "feeding", "decoder.dropout", LAST),
    Case("linear bias forgotten", "luong", "decoder.output"),
    Case("softmax skipped", "luong", ATTENTION, LAST),
    Case("keys receive nothing", "luong", ENCODER, LAST, nodes=("dmemory",)),
    Case("memory receives nothing", "luong", ENCODER, LAST),
    Case("memory in reversed time", "luong", ENCODER, LAST),
    Case("memory one step off", "luong", ENCODER, LAST),
    Case("encoder dropout forgotten", "feeding", "encoder.dropout", LAST),
    Case("dc of the decoder's start not passed", "luong", ENCODER, nodes=("dc",)),
    Case("dh of the decoder's start not passed", "luong", ENCODER, nodes=("dh",)),
    Case("bridge without the derivative of tanh", "projection", "bridge"),
    Case("readout without the derivative of tanh", "luong", "decoder", LAST),
    Case("context and h taken apart the wrong way", "luong", ATTENTION, LAST),
    Case("parallel: no gradient from the scores to h", "luong", CELLS, LAST),
    Case("dx in the order of the loop", "luong", "decoder.embedding", LAST),
    Case("state gradient not handed on", "luong", CELLS, 2, rows=(0,)),
    Case("query of the state before lost", "bahdanau", CELLS, 2, rows=(0,), causes=("carry dropped",)),
]
OPERATIONS = [
    Case("lstm/df uses c_t", "luong", CELLS, LAST),
    Case("lstm/dWh averaged over the batch", "luong", CELLS),
    Case("lstm/dc0 not returned", "luong", CELLS, causes=("carry dropped",)),
    Case("lstm/output gate lacks 1 - o", "luong", CELLS, LAST, causes=("wrong derivative",)),
    Case("lstm_step/df uses c_t", "feeding", "decoder.cells.layers.1", LAST),
    Case("gru/carry dh * u forgotten", "gru", CELLS, 2),
    Case("gru/after: dr by dn", "gru", CELLS, LAST),
    Case("gru_step/dWx averaged over the batch", "gru", CELLS),
    Case("rnn/dh handed back before the activation", "rnn", CELLS, 2, causes=("wrong derivative",)),
    Case("rnn_step/derivative without the square", "rnn", CELLS, LAST),
    Case("dot_scores/no gradient to the keys", "dot", ATTENTION),
    Case("dot_scores/dkeys averaged over the queries", "dot", ATTENTION),
    Case("general_scores/no gradient to the query", "luong", ATTENTION, LAST),
    Case("masked_softmax/only the diagonal of the Jacobian", "luong", ATTENTION, LAST),
    Case("weighted_sum/no gradient to the values", "luong", ATTENTION),
    Case("cross_entropy/divided by the batch", "luong", "", LAST),
    Case("cross_entropy/padding not masked", "luong", "", LAST, rows=(1, 2)),
    Case("embedding/assigned, not added", "luong", "decoder.embedding"),
    Case("dropout/scale forgotten", "feeding", "decoder.dropout", LAST),
]


def model_of(name: str, dtype=np.float64) -> Seq2Seq:
    config = ModelConfig(**{"embed": 3, "hidden": 4, **MODELS[name]})
    return Seq2Seq(config, 8, 9, rng=np.random.default_rng(5), dtype=dtype)


def planted_report(mutant: str, model: str) -> Report:
    with planted(MUTANTS[mutant]):
        return gradcheck(model_of(model), fast=True)


def full_name(case: Case) -> str:
    return case.mutant if case in OPERATIONS else f"wiring/{case.mutant}"


@pytest.mark.parametrize("case", [*WIRING, *OPERATIONS], ids=full_name)
def test_a_planted_bug_is_found_where_it_is(case):
    mutant = MUTANTS[full_name(case)]
    report = planted_report(mutant.name, case.model)
    place = report.place
    assert report.verdict == "wrong"
    assert place.layer == case.layer, str(report)
    assert place.node in (mutant.node, *case.nodes), str(report)
    assert (place.step, place.rows) == (case.step, case.rows), str(report)
    assert not mutant.gate or place.gate == mutant.gate
    if mutant.step is not None:
        assert place.step == LAST + 1 + mutant.step
    assert report.cause.cause in (mutant.cause, *case.causes), str(report)
    assert all(c.cause in CAUSES for c in report.causes)
    assert not case.layer or f"of {case.layer}" in report.where()


def readout_of_the_step_before(monkeypatch):
    whole = Decoder._steps_backward
    earlier = [0, *range(LAST)]
    monkeypatch.setattr(Decoder, "_steps_backward", lambda self, d, *more: whole(self, d[earlier], *more))


def feed_scaled(monkeypatch):
    step = Decoder.step_backward

    def scaled(self, dattentional, dstate, *more):
        return step(self, dattentional, dstate._replace(feed=0.9 * dstate.feed), *more)

    monkeypatch.setattr(Decoder, "step_backward", scaled)


def context_halved(monkeypatch):
    attend = Decoder._attend_backward
    monkeypatch.setattr(
        Decoder, "_attend_backward", lambda self, dcontext, *more: attend(self, dcontext / 2, *more)
    )


@pytest.mark.parametrize(
    "model, plant, node, step",
    [
        ("fed", readout_of_the_step_before, "dattentional", LAST),
        ("fed", feed_scaled, "dattentional", LAST - 1),
        ("fed", context_halved, "dcontext", LAST),
        ("bahdanau", context_halved, "dcontext", LAST),
    ],
)
def test_the_step_of_a_decoder_that_goes_step_by_step(model, plant, node, step, monkeypatch):
    plant(monkeypatch)
    report = gradcheck(model_of(model), fast=True)
    assert (report.place.node, report.place.step) == (node, step), str(report)


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "full"])
def test_gradients_clipped_inside_a_model(monkeypatch, fast):
    whole = Decoder._readout_backward
    monkeypatch.setattr(
        Decoder, "_readout_backward", lambda self, d, cache: whole(self, np.clip(d, -0.3, 0.3), cache)
    )
    report = gradcheck(model_of("luong"), fast=fast)
    assert report.verdict == "wrong" and report.cause.cause == "clipping", str(report)
    assert all(b.verdict == "right" for b in report.blocks)
    assert (report.place.node, report.place.layer) == ("dattentional", "decoder")


UNASKED = [  # bugs in what no model asks of its operations; nodes besides that of the catalogue
    Case("lstm/dh_last is not copied", "luong", CELLS, nodes=("dh",)),
    Case("lstm_step/mask forgotten", "luong", CELLS, nodes=("dh",), rows=(1,)),
    Case("lstm_step/upstream array changed in place", "luong", CELLS, nodes=("dh_prev",)),
    Case("rnn_step/padding stops the gradient", "rnn", CELLS, nodes=("dh_prev",), rows=(1,), causes=("carry dropped",)),
    Case("cross_entropy/smoothing forgotten", "luong", "cross_entropy", nodes=()),
    Case("scaled_dot_scores/scale of the source length", "scaled", ATTENTION, nodes=("dquery",)),
    Case("additive_scores/dWq of the last step", "bahdanau", ATTENTION),
]  # fmt: skip


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "full"])
@pytest.mark.parametrize("case", UNASKED, ids=lambda case: case.mutant)
def test_what_a_model_does_not_ask_of_its_operations_is_asked_too(case, fast):
    mutant = MUTANTS[case.mutant]
    with planted(mutant):
        report = gradcheck(model_of(case.model), fast=fast)
    assert report.verdict == "wrong" and report.place.layer == case.layer, str(report)
    assert report.place.node in (mutant.node, *case.nodes), str(report)
    assert report.place.rows == case.rows, str(report)
    assert report.cause.cause in (mutant.cause, *case.causes), str(report)
    if mutant.cause == "aliased":  # nothing is said of numbers, which are right
        assert "exactly your numbers" not in report.why() and "the numbers are right" in report.where()


def test_the_form_of_a_layer_is_that_of_its_operations():
    layer = GRU(3, 4, rng=np.random.default_rng(0), reset_after=False)
    assert gradcheck(layer).ok
    with planted(MUTANTS["gru_step/before: dr uses n"]):
        report = gradcheck(layer)
        assert gradcheck(GRU(3, 4, rng=np.random.default_rng(0))).ok
    assert report.verdict == "wrong" and report.cause.cause == "wrong variable"


def test_an_operation_handed_in_is_of_the_kind_of_the_one_that_it_replaces():
    def forgetful(douts, cache):
        dx, *rest = F.lstm_step.backward(douts, cache)
        return 2 * dx, *rest

    mine = Op("mine", F.lstm.forward, F.lstm.backward)
    assert gradcheck(LSTM(3, 4, rng=np.random.default_rng(0), op=mine)).ok
    layer = LSTM(3, 4, rng=np.random.default_rng(0), step_op=Op("mine", F.lstm_step.forward, forgetful))
    report = gradcheck(layer)  # runs whole sequences only: the step is not called
    assert report.verdict == "wrong" and report.place.node == "dx", str(report)
    assert gradcheck(LSTM(3, 4, rng=np.random.default_rng(0))).ok


@pytest.mark.parametrize("name", MODELS)
def test_without_a_bug_the_models_are_right(name):
    report = gradcheck(model_of(name), fast=True)
    assert report.ok and report.findings == [], str(report)


@pytest.mark.parametrize(
    ("mutant", "weight"),
    [
        ("wiring/recurrent weights overwritten", ".Wx"),
        ("wiring/linear weight overwritten", "decoder.output.W"),
        ("wiring/linear bias overwritten", "decoder.combine.b"),
        ("wiring/embedding overwritten", "decoder.embedding.W"),
        ("wiring/attention weights overwritten", "decoder.attention.W"),
    ],
)
def test_gradients_that_are_not_added_to_are_a_fault_of_these_weights(mutant, weight):
    report = planted_report(mutant, "luong")
    assert report.verdict == "wrong" and report.cause.cause == "overwritten"
    faults = [f for f in report.findings if f.ok is False]
    assert len(faults) == 1 and weight in faults[0].says and "grad += ..., not grad = ..." in faults[0].says
    assert report.place.node == f"d{weight.rpartition('.')[2]}"


def test_gradients_that_are_not_cleared():
    report = planted_report("wiring/gradients not cleared", "luong")
    assert report.verdict == "wrong" and report.cause.cause == "not cleared"


ROWS = [  # mistakes with the rows of a sum, which no line of the textbook shows
    ("linear/dW of the last step", "decoder.output"),
    ("linear/dW with rows mixed", "decoder.output"),
    ("linear/db summed over the outputs", "decoder.output"),
    ("embedding/added by index", "decoder.embedding"),
    ("embedding/averaged over repeats", "decoder.embedding"),
    ("embedding/rows mixed", "decoder.embedding"),
    ("embedding/scatter in the order of the input", "decoder.embedding"),
    ("weighted_sum/values weighted alike", ATTENTION),
    ("cross_entropy/rows mixed", ""),
    ("cross_entropy/padding masked at the target only", ""),
]


@pytest.mark.parametrize(("mutant", "layer"), ROWS)
def test_mistakes_with_the_rows_of_a_sum_have_their_cause(mutant, layer):
    report = planted_report(mutant, "luong")
    assert (report.place.layer, report.place.node) == (layer, MUTANTS[mutant].node), str(report)
    assert report.cause.cause == MUTANTS[mutant].cause, str(report)


def test_the_cache_of_another_layer_is_told_from_a_gradient_that_is_not_handed_back():
    report = planted_report("wiring/cache of the other direction", "luong")
    assert report.cause.cause == "stale cache" and ENCODER in report.cause.says
    assert ENCODER.replace("backwards", "forwards") in report.cause.says


def test_every_entry_says_the_same_place_as_one_direction():
    with planted(MUTANTS["wiring/memory one step off"]):
        slow, fast = gradcheck(model_of("luong")), gradcheck(model_of("luong"), fast=True)
    assert slow.place == fast.place and slow.cause == fast.cause
    assert {b.name for b in slow.blocks if b.verdict == "wrong"} == {
        b.name for b in fast.blocks if b.verdict == "wrong"
    }


# -- watching ----------------------------------------------------------------------------------------------

WATCHED = ("tanh", "masked_softmax", "weighted_sum", "cross_entropy")


def traces(model: Seq2Seq) -> dict:
    """Everything that watching replaces for a while: attributes of layers and of the module, by identity."""
    found = {path: {key: id(value) for key, value in vars(layer).items()} for path, layer in walk(model, "")}
    return found | {name: id(getattr(F, name)) for name in WATCHED}


def run(model: Seq2Seq) -> float:
    """A forward and a backward pass with the same dropout masks every time."""
    model.zero_grad()
    loss, cache = model.loss(batch_for(model), rng=np.random.default_rng(3))
    model.backward(1.0, cache)
    return float(loss)


def gradients(model: Seq2Seq) -> dict[str, bytes]:
    return {name: p.grad.tobytes() for name, p in model.parameters().items()}


@pytest.mark.parametrize("name", ["luong", "feeding"])
def test_watching_changes_no_number_and_leaves_no_trace(name):
    model = model_of(name)
    before = traces(model)
    loss = run(model)
    alone = gradients(model)
    watch = Watch(model)
    with watch.watching() as watching:
        assert watching is watch and traces(model) != before
        assert run(model) == loss and gradients(model) == alone
    assert traces(model) == before
    assert run(model) == loss and gradients(model) == alone


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_watching_leaves_no_trace_when_the_model_raises(where):
    model = model_of("feeding")
    right = model.decoder.output.op

    def broken(*_):
        raise KeyError("h_prev")

    model.decoder.output.op = Op(
        "linear",
        broken if where == "forward" else right.forward,
        broken if where == "backward" else right.backward,
    )
    before = traces(model)
    watch = Watch(model)
    with pytest.raises(KeyError), watch.watching():
        run(model)
    assert traces(model) == before and watch.stack == []
    model.decoder.output.op = right
    run(model)


def test_a_model_that_raises_is_reported_and_left_as_it_was():
    model = model_of("luong")

    def broken(dout, cache):
        raise KeyError("h_prev")

    model.decoder.output.op = Op("linear", F.linear.forward, broken)
    before = traces(model)
    report = gradcheck(model, fast=True)
    assert report.verdict == "wrong" and "backward raised KeyError" in str(report)
    assert traces(model) == before


def test_all_calls_are_recorded_with_the_layer_that_made_them():
    model = model_of("luong")
    watch = Watch(model)
    with watch.watching():
        run(model)
    by_path = {(call.path, call.op.name) for call in watch.calls}
    assert {
        ("encoder.embedding", "embedding"),
        ("encoder.rnn.layers.0.forwards", "lstm"),
        (ENCODER, "lstm"),
        (CELLS, "lstm"),
        (ATTENTION, "general_scores"),
        (ATTENTION, "masked_softmax"),
        ("decoder.output", "linear"),
        ("", "cross_entropy"),
    } <= by_path
    ops = {path: layer.op for path, layer in walk(model, "") if isinstance(getattr(layer, "op", None), Op)}
    for call in watch.calls:
        assert call.times_backward == 1 and len(call.douts) == len(call.outs)
        assert call.path not in ops or call.op.name not in ("linear", "lstm") or call.op is ops[call.path]
        assert all(d is None or d.shape == o.shape for d, o in zip(call.douts, call.outs))


def test_the_steps_of_a_decoder_are_counted():
    model = model_of("feeding")
    watch = Watch(model)
    with watch.watching():
        run(model)
    steps = [call for call in watch.calls if call.op.name == "lstm_step" and call.path == CELLS]
    assert [call.occurrence for call in steps] == list(range(LAST + 1))


def test_a_probe_measures_the_gradient_that_arrives():
    """Of every output of every call of a right model."""
    model = model_of("luong")
    batch = batch_for(model)
    watch = Watch(model)
    rng = np.random.default_rng(4)
    with watch.watching():
        watch.start(recording=True)
        run(model)
        calls = list(watch.calls)
        assert len(calls) >= 10
        for number, call in enumerate(calls):
            for part, out in enumerate(call.outs):
                direction = rng.standard_normal(out.shape)
                values = []
                for size in (1e-5, -1e-5):
                    watch.start(recording=False)
                    watch.probe = (number, part, size * direction)
                    values.append(model.loss(batch, rng=np.random.default_rng(3))[0])
                watch.probe = None
                arrived = 0.0 if call.douts[part] is None else float((call.douts[part] * direction).sum())
                numeric = (values[0] - values[1]) / 2e-5
                assert abs(numeric - arrived) <= 1e-7, (number, call.path, call.op.name, part)
    assert list(map(id, watch.calls)) == list(map(id, calls))  # a pass with a probe is not recorded


def test_a_layer_alone_can_be_watched():
    layer = Linear(3, 2, rng=np.random.default_rng(0), dtype=np.float64)
    x = np.ones((4, 3))
    with (watch := Watch(layer)).watching():
        out, cache = layer.forward(x)
        layer.backward(np.ones_like(out), cache)
        assert set(vars(layer)) >= {"forward", "backward"}
    (call,) = watch.calls
    assert call.path == "" and call.op is layer.op and call.floats == [0, 1, 2]
    np.testing.assert_array_equal(call.outs[0], out)
    np.testing.assert_array_equal(call.dins[2], np.full(2, 4.0))
    assert not set(LAYER_METHODS) & set(vars(layer))


# -- steep functions ------------------------------------------------------------------------------------


def bias_of_one_row(dout, cache):
    dx, dW, db = F.linear.backward(dout, cache)
    return dx, dW, dout.reshape(-1, dout.shape[-1])[0]


def weight_doubled(dout, cache):
    dx, dW, db = F.linear.backward(dout, cache)
    return dx, 2 * dW, db


class Steep(Layer):
    """sin(1000 (x W1 + b1)) W2 + b2; the sine takes the real part, so that the complex step does not work."""

    def __init__(self, backward):
        rng = np.random.default_rng(0)
        self.first = Linear(3, 4, rng=rng, op=Op("linear", F.linear.forward, backward))
        self.second = Linear(4, 2, rng=rng)
        self.wave = Op("wave", lambda z: (np.sin(1000 * z.real), z), self.wave_backward)

    @staticmethod
    def wave_backward(da, z):
        return 1000 * np.cos(1000 * z) * da

    def forward(self, x):
        z, first = self.first.forward(x)
        a, wave = self.wave.forward(z)
        out, second = self.second.forward(a)
        return out, (first, wave, second)

    def backward(self, dout, cache):
        first, wave, second = cache
        return self.first.backward(self.wave.backward(self.second.backward(dout, second), wave), first)


def test_a_right_layer_with_a_steep_function_is_right():
    assert gradcheck(Steep(F.linear.backward), np.random.default_rng(1).standard_normal((3, 3))).ok


@pytest.mark.parametrize(
    ("backward", "node", "cause"),
    [(bias_of_one_row, "db", "batch sum"), (weight_doubled, "dW", "scale")],
)
def test_a_steep_function_before_the_mistake_is_not_blamed(backward, node, cause):
    report = gradcheck(Steep(backward), np.random.default_rng(1).standard_normal((3, 3)))
    assert report.verdict == "wrong" and report.oracle == "Richardson"
    assert (report.place.layer, report.place.node) == ("first", node), str(report)
    assert report.cause.cause == cause, str(report)


def test_a_mistake_in_a_steep_function_is_found():
    class Flat(Steep):
        @staticmethod
        def wave_backward(da, z):
            return 1000 * da

    report = gradcheck(Flat(F.linear.backward), np.random.default_rng(1).standard_normal((3, 3)))
    assert report.verdict == "wrong"
    assert report.place.node == "dinput 0", str(report)  # an operation of no known kind


def test_of_several_wrong_weights_the_one_nearest_to_the_loss_is_named(monkeypatch):
    backward = Linear.backward

    def averaged(self, dout, cache):
        before = self.b.grad.copy()
        dx = backward(self, dout, cache)
        self.b.grad = before + (self.b.grad - before) / 4
        return dx

    monkeypatch.setattr(Linear, "backward", averaged)
    place = gradcheck(model_of("luong"), fast=True).place
    assert (place.node, place.layer) == ("db", "decoder.output")
    assert place.others == ("decoder.combine.b",)


def test_a_weight_that_is_wrong_alone_has_no_others():
    place = planted_report("lstm/dWh averaged over the batch", "luong").place
    # every LSTM has the mistake: the weights of the encoder are wrong as well, those of this layer are not
    assert (place.node, place.layer) == ("dWh", CELLS)
    assert place.others == tuple(f"encoder.rnn.layers.0.{d}.Wh" for d in ("forwards", "backwards"))


@pytest.mark.parametrize(
    "scaled, says", [(False, "the scale 1 / (1 - p)"), (True, "mask and its scale are left out")]
)
def test_a_dropout_that_is_passed_over_is_told_from_one_without_its_scale(scaled, says, monkeypatch):
    def inline(self, dout, cache):
        return dout if cache is None or scaled else dout * (cache.keep_mask != 0)

    monkeypatch.setattr(Dropout, "backward", inline)
    report = gradcheck(model_of("projection"), fast=True)
    assert report.cause.cause == "dropout ignored" and says in report.cause.says, str(report)
