"""Itemised gradients: the parts sum to the real gradient of every loss term, each edge brings its own.

The real gradients are the engine's own, of a loss that counts one target step: seen as they pass through
`step_backward` of the decoder's layers and, with the step-by-step versions of functional.naive in the
encoder's layers, through each step of these.
"""

import numpy as np
import pytest

from minis2s import ModelConfig, Op
from minis2s import functional as F
from minis2s.functional import naive
from minis2s.nn import Bidirectional

CONFIGS = [
    ModelConfig("lstm", 1, False, 5, 6, "general"),
    ModelConfig("gru", 1, True, 5, 6, "dot"),
    ModelConfig("rnn", 1, False, 5, 6, "additive", bridge="projection"),
    ModelConfig("lstm", 2, True, 5, 6, "general", input_feeding=True),
    ModelConfig("gru", 2, False, 5, 6, "additive", "bahdanau"),
    ModelConfig("lstm", 2, False, 5, 6, "scaled", "bahdanau", bridge="zero"),
    ModelConfig("lstm", 2, True, 5, 6, "none", dropout=0.3),
    ModelConfig("gru", 2, False, 5, 6, "none", bridge="projection"),
    ModelConfig("rnn", 2, True, 5, 6, "general", input_feeding=True, dropout=0.3),
]


def longest(batch) -> int:
    """The sentence with the most loss terms."""
    return int(batch.tgt_mask.sum(axis=0).argmax())


def engine_states(monkeypatch, model, batch, row: int, step: int | None, seed: int = 3):
    """Gradients of one sentence's states by (layer, t), each [dh] or [dh, dc], from the engine's passes.

    The loss counts that sentence's term at `step` alone, or all its terms; dropout is that of `seed`.
    """
    found = {}
    mask = np.zeros_like(batch.tgt_mask)
    mask[:, row] = batch.tgt_mask[:, row]
    if step is not None:
        mask[:step, row] = mask[step + 1 :, row] = False
    T, S = len(batch.tgt_in), len(batch.src)

    with monkeypatch.context() as patch:
        # decoder: stepwise, t = T-1 ... 0
        for n, layer in enumerate(model.decoder.cells.layers):
            times = iter(reversed(range(T)))

            def spy(dstate, cache, *, n=n, times=times, original=layer.step_backward):
                found[f"decoder.{n}", next(times)] = [d[row].copy() for d in dstate]
                return original(dstate, cache)

            patch.setattr(layer, "step_backward", spy)

        # encoder: the naive versions, whose steps are called one by one
        def plain(layer, name: str, times: list[int]):
            kind = layer.op.name
            inner = getattr(naive, f"{kind}_step_backward")

            def whole(dout, caches):
                each = iter(times)

                def one(d, cache):
                    parts = d if isinstance(d, tuple) else (d,)
                    found[name, next(each)] = [p[row].copy() for p in parts]
                    return inner(d, cache)

                with monkeypatch.context() as deeper:
                    deeper.setattr(naive, f"{kind}_step_backward", one)
                    return getattr(naive, f"{kind}_backward")(dout, caches)

            patch.setattr(layer, "op", Op(kind, getattr(naive, f"{kind}_forward"), whole))

        for n, layer in enumerate(model.encoder.rnn.layers):
            last_first = list(reversed(range(S)))
            if isinstance(layer, Bidirectional):
                plain(layer.forwards, f"encoder.{n}", last_first)
                plain(layer.backwards, f"encoder.{n}.backwards", list(range(S)))
            else:
                plain(layer, f"encoder.{n}", last_first)
        model.zero_grad()
        _, cache = model.loss(
            batch._replace(tgt_mask=mask), rng=np.random.default_rng(seed), stepwise=True, reduction="sum"
        )
        model.backward(1.0, cache)
    return found


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.cell}{c.layers}-{c.attention}-{c.decoder}")
def test_parts_sum_to_the_real_gradient_of_every_term(traced, monkeypatch, config):
    step = traced(config, stepwise=True, reduction="sum", dloss=1.0)
    for row in (0, 2):
        paths = step.tape.bptt(row)
        terms = [*range(int(step.batch.tgt_mask[:, row].sum())), None]
        assert len(terms) > 2
        for s in terms:
            real = engine_states(monkeypatch, step.model, step.batch, row, s)
            layers = step.tape.layers
            assert {name for name, _ in real} == set(layers)
            for (name, t), (dh, *dc) in real.items():
                mine = paths.of(name, t, s)
                np.testing.assert_allclose(sum(mine["dh"].values()), dh, rtol=0, atol=1e-10)
                if dc:  # what arrives at c from outside the step; its own h comes after
                    arriving = [v for edge, v in mine["dc"].items() if edge != "own h"]
                    np.testing.assert_allclose(sum(arriving), dc[0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("config", CONFIGS[:5], ids=lambda c: f"{c.cell}{c.layers}-{c.attention}-{c.decoder}")
def test_terms_sum_to_the_gradient_of_the_whole_loss(traced, config):
    tape = traced(config, smoothing=0.1).tape
    for name in tape.layers:
        states = tape[name]
        for row in range(4):
            paths = tape.bptt(row)
            for part in paths.parts[name]:
                whole = states[f"backward/d{part}"][:, row]
                np.testing.assert_allclose(paths.total(name, part).sum(axis=1), whole, rtol=0, atol=1e-10)
            for edge, a in paths.parts[name]["h"].items():
                np.testing.assert_allclose(
                    a.sum(axis=1), states[f"parts/h/{edge}"][:, row], rtol=0, atol=1e-10
                )
            np.testing.assert_allclose(
                paths.dx[name].sum(axis=1), states["backward/dx"][:, row], rtol=0, atol=1e-10
            )


def test_a_term_does_not_reach_later_decoder_states(traced):
    step = traced(ModelConfig("lstm", 1, False, 5, 6))
    total = step.tape.bptt(0).total("decoder.0")
    for t in range(int(step.batch.tgt_mask[:, 0].sum())):
        assert (total[t, :t] == 0).all()  # the terms before t
        assert np.abs(total[t, t]).max() > 0


# -- single edges --------------------------------------------------------------------------------------


def test_memory_and_bridge_edges_are_what_the_decoder_sends_back(traced):
    """The engine's decoder gives back the gradient of the memory, and that of its initial states."""
    step = traced(ModelConfig("lstm", 1, False, 5, 6, "general"), reduction="sum", dloss=1.0)
    model, batch, row, s = step.model, step.batch, 1, 1
    mask = np.zeros_like(batch.tgt_mask)
    mask[s, row] = True
    _, cache = model.loss(batch._replace(tgt_mask=mask), reduction="sum")
    dlogits = F.cross_entropy.backward(1.0, cache.blocks[0].cross_entropy)
    dattentional = model.decoder.output.backward(dlogits, cache.blocks[0].output)
    dvalues, [(dh0, dc0)] = model.decoder.backward(dattentional, cache.model.decoder)
    paths = step.tape.bptt(row)
    S = len(batch.src)
    for t in range(S):
        parts = paths.of("encoder.0", t, s)
        np.testing.assert_allclose(parts["dh"]["attention"], dvalues[t, row], rtol=0, atol=1e-10)
    assert np.abs(dvalues[:, row]).max() > 1e-6
    # padding hands the bridge's part on, under its name, to the last real position and those after it
    for t in range(int(batch.src_mask[:, row].sum()) - 1, S):
        parts = paths.of("encoder.0", t, s)
        np.testing.assert_allclose(parts["dh"]["bridge"], dh0[row], rtol=0, atol=1e-10)
        np.testing.assert_allclose(parts["dc"]["bridge"], dc0[row], rtol=0, atol=1e-10)


def test_readout_and_query_edges_by_hand(traced):
    """At its own step a term reaches h through the readout, and through the question that h asked."""
    step = traced(ModelConfig("lstm", 1, False, 5, 6, "general"), reduction="sum", dloss=1.0)
    tape, model, row, s = step.tape, step.model, 0, 1
    fw, W = tape.forward, model.decoder.combine.W.data
    dlogits = fw.probs[s, row].copy()
    dlogits[step.batch.tgt_out[s, row]] -= 1
    dz = (model.decoder.output.W.data @ dlogits) * (1 - fw.mixed[s, row] ** 2)
    dcontext, dh = W[:6] @ dz, W[6:] @ dz
    weights, values = fw.attended[s].weights[0, row], fw.memory[:, row]
    dweights = values @ dcontext
    dscores = weights * (dweights - weights @ dweights)
    dquery = model.decoder.attention.W.data @ (values.T @ dscores)
    parts = tape.bptt(row).of("decoder.0", s, s)["dh"]
    assert np.abs(dquery).max() > 1e-6
    np.testing.assert_allclose(parts["readout"], dh, rtol=0, atol=1e-10)
    np.testing.assert_allclose(parts["attention"], dquery, rtol=0, atol=1e-10)
    assert np.abs(sum(v for e, v in parts.items() if e not in ("readout", "attention"))).max() == 0


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_recurrent_and_carry_edges_from_the_next_step(traced, cell):
    """What the state at t gets from t + 1: with a Wh of zero only the carry is left."""
    step = traced(ModelConfig(cell, 1, False, 5, 6, "general"), reduction="sum", dloss=1.0)
    layer, tape, s, t = step.model.decoder.cells.layers[0], step.tape, 2, 1
    row = longest(step.batch)
    paths = tape.bptt(row)
    assert len(step.batch.tgt_in) > s
    later = tape["decoder.0/forward"]
    state = [later[f"{n}_prev"][t + 1, row][None] for n in (("h", "c") if cell == "lstm" else ("h",))]
    weights = [w.data for w in layer.weights()]
    _, cache = layer.step_op.forward(later["x"][t + 1, row][None], *state, *weights)
    dh = paths.total("decoder.0")[t + 1, s][None]
    assert np.abs(dh).max() > 1e-6
    dout = dh
    if cell == "lstm":
        arriving = paths.of("decoder.0", t + 1, s)["dc"]
        dout = (dh, sum(v for edge, v in arriving.items() if edge != "own h")[None])

    def before(cache):
        found = layer.step_op.backward(dout, cache)
        return [d[0] for d in found[1 : 1 + len(state)]]

    whole, carry = before(cache), before(cache._replace(Wh=np.zeros_like(cache.Wh)))
    if cell == "gru":  # r acts through Wh alone
        carry = before(cache._replace(Wh=np.zeros_like(cache.Wh), zh_n=np.zeros_like(cache.zh_n)))
    mine = paths.of("decoder.0", t, s)
    parts = mine["dh"]
    np.testing.assert_allclose(parts["recurrent"] + parts.get("carry", 0), whole[0], rtol=0, atol=1e-10)
    np.testing.assert_allclose(parts.get("carry", np.zeros(6)), carry[0], rtol=0, atol=1e-10)
    assert ("carry" in parts) == (cell == "gru")
    if cell == "lstm":
        np.testing.assert_allclose(mine["dc"]["carry"], whole[1], rtol=0, atol=1e-10)


def test_input_feeding_edge_is_what_is_missing_without_it(traced):
    """For a later loss term, h receives through the fed state what the next step asked of that."""
    step = traced(
        ModelConfig("lstm", 1, False, 5, 6, "general", input_feeding=True), reduction="sum", dloss=1.0
    )
    tape, model, row, s, t = step.tape, step.model, longest(step.batch), 2, 1
    paths = tape.bptt(row)
    # dx of the step after holds the gradient of [x; feed]; from there by hand, as a readout
    dfeed = paths.dx["decoder.0"][t + 1, s, 5:]
    fw = tape.forward
    dz = dfeed * (1 - fw.mixed[t, row] ** 2)
    W = model.decoder.combine.W.data
    weights, values = fw.attended[t].weights[0, row], fw.memory[:, row]
    dweights = values @ (W[:6] @ dz)
    dquery = model.decoder.attention.W.data @ (values.T @ (weights * (dweights - weights @ dweights)))
    parts = paths.of("decoder.0", t, s)["dh"]
    np.testing.assert_allclose(parts["input feeding"], W[6:] @ dz + dquery, rtol=0, atol=1e-10)
    assert np.abs(parts["input feeding"]).max() > 1e-6
    assert np.abs(parts["readout"]).max() == np.abs(parts["attention"]).max() == 0


def test_layer_above_is_the_dx_of_that_layer(traced):
    step = traced(ModelConfig("gru", 2, True, 5, 6))
    paths = step.tape.bptt(0)
    both = paths.dx["encoder.1"] + paths.dx["encoder.1.backwards"]
    np.testing.assert_allclose(paths.parts["encoder.0"]["h"]["layer above"], both[..., :3], atol=1e-12)
    np.testing.assert_allclose(
        paths.parts["encoder.0.backwards"]["h"]["layer above"], both[..., 3:], atol=1e-12
    )
    np.testing.assert_allclose(
        paths.parts["decoder.0"]["h"]["layer above"], paths.dx["decoder.1"], atol=1e-12
    )


def test_lengths(traced):
    paths = traced(ModelConfig("lstm", 1, False, 5, 6)).tape.bptt(0)
    parts = paths.of("encoder.0", 1, 0)
    expected = np.linalg.norm(np.concatenate([parts["dh"]["bridge"], parts["dc"]["bridge"]]))
    assert paths.lengths("encoder.0")["bridge"][1, 0] == pytest.approx(expected, abs=1e-14)
    expected = np.linalg.norm(parts["dh"]["recurrent"])
    assert paths.lengths("encoder.0")["recurrent"][1, 0] == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.cell}{c.layers}-{c.attention}-{c.decoder}")
def test_parts_of_an_input_sum_to_its_gradient(traced, config):
    paths = traced(config).tape.bptt(2)
    for name, dx in paths.dx.items():
        for t in range(len(dx)):
            for s in (0, dx.shape[1] - 1, None):
                expected = dx[t].sum(axis=0) if s is None else dx[t, s]
                parts = paths.of_input(name, t, s)
                np.testing.assert_allclose(sum(parts.values(), np.zeros_like(expected)), expected, rtol=0, atol=1e-10)
                known = {edge for state in paths.of(name, t, s).values() for edge in state}
                assert parts.keys() <= known


def test_the_parts_of_an_input_are_those_of_its_state(traced):
    """By the engine's own step, given what one edge brought and nothing else."""
    step = traced(ModelConfig("lstm", 1, False, 5, 6, "general"), reduction="sum", dloss=1.0)
    tape, row, s, t = step.tape, longest(step.batch), 2, 1
    layer, paths, at = step.model.decoder.cells.layers[0], tape.bptt(row), tape["decoder.0/forward"]
    given = [at[name][t, row][None] for name in ("x", "h_prev", "c_prev")]
    _, cache = layer.step_op.forward(*given, *[w.data for w in layer.weights()])
    arriving, parts = paths.of("decoder.0", t, s), paths.of_input("decoder.0", t, s)
    for edge, state in (("carry", "dc"), ("recurrent", "dh")):
        brought = {"dh": np.zeros((1, 6)), "dc": np.zeros((1, 6)), state: arriving[state][edge][None]}
        dx = layer.step_op.backward((brought["dh"], brought["dc"]), cache)[0][0]
        assert np.abs(dx).max() > 1e-6
        np.testing.assert_allclose(parts[edge], dx, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("encoder.7", 0), "encoder.0.*decoder.0.*encoder.7"),
        (("encoder.0", 99), "times 0 to .*99"),
        (("decoder.0", 0, 50), "terms at steps 0 to .*50"),
    ],
)
def test_what_is_not_there_is_said(traced, arguments, said):
    paths = traced(ModelConfig("lstm", 1, False, 5, 6)).tape.bptt(0)
    with pytest.raises(ValueError, match=said):
        paths.of(*arguments)
    with pytest.raises(ValueError, match=said):
        paths.of_input(*arguments)


def test_a_row_that_is_not_there(traced):
    with pytest.raises(ValueError, match="row must be between 0 and 3"):
        traced(ModelConfig("lstm", 1, False, 5, 6)).tape.bptt(4)
