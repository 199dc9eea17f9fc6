"""The page dict: all keys there, plain JSON, and its numbers those of the tape."""

import json
import sys
from types import ModuleType

import numpy as np
import pytest

import minis2s
from minis2s import CharTokenizer, Codec, ModelConfig, UserError, Vocabulary, beam_search
from minis2s.trace.page import COLUMNS, most_units
from minis2s.trace.page_values import rounded

KEYS = {
    "version", "title", "row", "source", "target_in", "target_out", "H", "units", "loss", "losses", "layers",
    "attention", "outputs", "bptt", "what_if", "beam", "asks_first", "targets",
    "bridge",
}  # fmt: skip
CONFIGS = [
    ModelConfig("lstm", 1, False, 5, 6, "general"),
    ModelConfig("gru", 2, True, 5, 6, "additive", "bahdanau", dropout=0.3),
    ModelConfig("rnn", 1, False, 5, 6, "none", bridge="projection"),
    ModelConfig("lstm", 1, True, 5, 40, "dot", input_feeding=True),
]


@pytest.fixture(params=CONFIGS, ids=lambda c: f"{c.cell}-{c.attention}-{c.hidden}")
def step(traced, request):
    return traced(request.param, smoothing=0.1)


def close(page_numbers, exact, rtol=1e-5) -> None:
    np.testing.assert_allclose(page_numbers, exact, rtol=rtol, atol=1e-12)


def test_shape_and_plain_json(step):
    page = step.tape.page(1)
    assert page.keys() == KEYS
    assert json.loads(json.dumps(page, allow_nan=False)) == page
    S, T = int(step.batch.src_mask[:, 1].sum()), int(step.batch.tgt_mask[:, 1].sum())
    assert (len(page["source"]), len(page["target_in"]), len(page["target_out"])) == (S, T, T)
    assert page["target_in"][0] == "<bos>"
    assert page["source"][-1] == page["target_out"][-1] == "<eos>"
    assert [layer["name"] for layer in page["layers"]] == step.tape.layers
    for layer in page["layers"]:
        assert len(layer["steps"]) == (S if layer["part"] == "encoder" else T)
        assert len(layer["units"]) == min(layer["H"], most_units([la["H"] for la in page["layers"]]))
        shown = layer["steps"][0]["forward"]
        assert {e["name"] for e in layer["equations"]} <= shown.keys()
        assert all(len(a) == len(layer["units"]) for a in shown.values())
    attention = page["attention"]
    assert (attention is None) == (step.model.config.attention == "none")
    if attention is not None:
        for name in ("weights", "scores", "dweights", "dscores"):
            assert np.shape(attention[name]) == (T, S)
    assert np.shape(page["bptt"]["norm"]) == (len(page["bptt"]["states"]), T, len(page["bptt"]["paths"]))
    assert np.shape(page["bptt"]["total"]) == (len(page["bptt"]["states"]), T)
    assert page["beam"] is None
    config = step.model.config
    assert page["asks_first"] == (config.decoder == "bahdanau")
    names = [f"encoder.{n}" for n in range(config.layers)]
    sides = ("", ".backwards") if config.bidirectional else ("",)
    assert page["bridge"] == [[name + side for side in sides] for name in names]


def test_fewer_units_of_many_layers():
    assert [most_units(sizes) for sizes in ([16, 16], [8, 8, 512], [16] * 4, [8] * 4 + [16] * 2, [9] * 99)] == [16, 16, 10, 6, 1]
    assert most_units([512] * 5) * 5 <= COLUMNS


def test_numbers_are_those_of_the_tape(step):
    row, tape = 1, step.tape
    page = tape.page(row)
    T, S = len(page["target_out"]), len(page["source"])
    close(page["losses"], tape.losses[:T, row])
    close(page["loss"], tape.record.share * tape.losses[:, row].sum())
    for layer in page["layers"]:
        arrays = tape[layer["name"]]
        for entry in layer["steps"]:
            t = entry["t"]
            for name, a in entry["forward"].items():
                close(a, arrays[f"forward/{name}"][t, row, layer["units"]])
            for name, a in entry["backward"].items():
                close(a, arrays[f"backward/{name}"][t, row, layer["units"]])
            np.testing.assert_allclose(
                np.sum(list(entry["dh_parts"].values()), axis=0),
                entry["backward"]["dh"],
                rtol=1e-4,
                atol=1e-7,
            )
            if layer["cell"] == "lstm":
                np.testing.assert_allclose(
                    np.sum(list(entry["dc_parts"].values()), axis=0),
                    entry["backward"]["dc"],
                    rtol=1e-4,
                    atol=1e-7,
                )
    if page["attention"] is not None:
        close(page["attention"]["weights"], tape["attention/forward/weights"][:T, row, :S])
        close(page["attention"]["dscores"], tape["attention/backward/dscores"][:T, row, :S])
    for output in page["outputs"]:
        p = tape["output/forward/probs"][output["step"], row]
        close(output["p"], p[step.batch.tgt_out[output["step"], row]])
        close([q for _, q in output["top"]], np.sort(p)[::-1][:5])
        # the gradient of each logit is p minus the target
        t = output["step"]
        dlogits = tape["output/backward/dlogits"][t, row] / (tape.record.dloss * tape.record.share)
        targets = np.full_like(p, page["targets"][1])
        targets[step.batch.tgt_out[t, row]] = page["targets"][0]
        np.testing.assert_allclose(p - targets, dlogits, rtol=0, atol=1e-6)


def test_bptt_lengths(step):
    page, paths = step.tape.page(2), step.tape.bptt(2)
    names = page["bptt"]["paths"]
    for state, norm, total in zip(*(page["bptt"][k] for k in ("states", "norm", "total")), strict=True):
        for s in page["bptt"]["loss_steps"]:
            parts = paths.of(state["layer"], state["t"], s)
            for name, length in zip(names, norm[s], strict=True):
                both = [p[name] for p in parts.values() if name in p]
                close(length, np.linalg.norm(np.concatenate(both)) if both else 0.0, rtol=1e-3)
            whole = np.concatenate([sum(p.values()) for p in parts.values()])
            close(total[s], np.linalg.norm(whole))


def test_what_ifs_are_exact(step):
    """Each offered change, made again on the whole tape from what the page says of it."""
    from minis2s.trace import AttentionRow, Cut, ForceToken, Pin

    page, tape, row = step.tape.page(1), step.tape, 1
    T, S = len(page["target_out"]), len(page["source"])
    kinds = {w["kind"] for w in page["what_if"]}
    assert {"pin a gate", "force a token", "cut a path"} <= kinds
    assert ("overwrite an attention row" in kinds) == (page["attention"] is not None)
    for offered in page["what_if"]:
        where = offered["where"]
        if offered["kind"] == "pin a gate":
            change = Pin(where["layer"], where["gate"], where["value"], step=where["step"], row=row)
        elif offered["kind"] == "cut a path":
            change = Cut(where["path"], layer=where["layer"], step=where["step"], row=row)
        elif offered["kind"] == "force a token":
            change = ForceToken(where["step"], where["id"], row=row)
        else:
            weights = np.zeros(len(step.batch.src))
            weights[:S] = where["weights"]
            change = AttentionRow(where["step"], weights, row=row)
        result = tape.what_if(change)
        np.testing.assert_allclose(offered["losses"], result.losses[:T, row], rtol=1e-4)
        np.testing.assert_allclose(offered["right_p"], result.right_p[:T, row], rtol=1e-4)
        np.testing.assert_allclose(
            offered["loss"], tape.record.share * result.losses[:, row].sum(), rtol=1e-4
        )
        assert len(offered["output"]) == T
    labels = [(w["kind"], w["label"]) for w in page["what_if"]]
    assert len(set(labels)) == len(labels)
    assert max(sum(w["kind"] == kind for w in page["what_if"]) for kind in kinds) <= 120


def test_tokens_of_vocabularies_and_codecs(traced):
    step = traced(ModelConfig("lstm", 1, False, 5, 6))
    source, target = Vocabulary("abcdefg"), Codec(CharTokenizer(), Vocabulary("uvwxy"))
    page = step.tape.page(0, source=source, target=target, title="My page")
    ids = step.batch.src[: len(page["source"]), 0]
    assert page["source"] == [source.tokens[i] for i in ids]
    assert page["target_out"][:-1] == list(target.decode(step.batch.tgt_out[:, 0]))
    assert page["title"] == "My page"
    assert page["layers"][0]["steps"][0]["token"] == page["source"][0]
    with pytest.raises(TypeError, match="Codec, a Vocabulary or None, got list"):
        step.tape.page(0, source=["a"])
    with pytest.raises(ValueError, match="row must be between 0 and 3"):
        step.tape.page(4)


def test_a_search(make_model, some_batch):
    model, batch = make_model(ModelConfig("lstm", 1, False, 5, 6)), some_batch(3)
    with minis2s.trace(model) as tape:
        found = beam_search(model, batch.src, batch.src_mask, beam=3, max_length=6)
    page = tape.page(1)
    nodes, best = {n["id"]: n for n in page["beam"]["nodes"]}, page["beam"]["best"]
    close(nodes[best]["total"], found[1][0].log_prob)
    close(page["loss"], -found[1][0].log_prob)
    tokens = []
    while nodes[best]["parent"] >= 0:
        tokens.append(nodes[best]["token"])
        best = nodes[best]["parent"]
    assert tokens[::-1] == page["target_out"]
    json.dumps(page, allow_nan=False)


def test_a_step_that_diverged(make_model, some_batch):
    model, batch = make_model(ModelConfig("rnn", 1, False, 5, 6)), some_batch()
    model.decoder.output.b.data[5] = np.nan
    with minis2s.trace(model) as tape:
        model.loss(batch)
    with pytest.raises(UserError, match="not finite"):
        tape.page(0)


def test_rounding():
    assert rounded([1 / 3, 123456789.0, 0.0, -1e-9 / 3]) == [0.333333, 123457000.0, 0.0, -3.33333e-10]
    assert rounded(np.float32(0.1)) == 0.1
    assert rounded(2) == 2.0


def test_the_html_is_made_from_the_page(traced, tmp_path, monkeypatch):
    stand_in = ModuleType("minis2s.trace.html")
    stand_in.page_html = lambda page: f"<p>{page['title']} ü</p>"
    stand_in.notebook_html = lambda page: f"<i>{page['title']} {page['row']}</i>"
    monkeypatch.setitem(sys.modules, "minis2s.trace.html", stand_in)
    tape = traced(ModelConfig("lstm", 1, False, 5, 6)).tape
    tape.save_html(tmp_path / "page.html", 0, title="T")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == "<p>T ü</p>"
    assert tape.show(2, title="T")._repr_html_() == "<i>T 2</i>"
    with pytest.raises(UserError, match="does not exist"):
        tape.save_html(tmp_path / "no" / "page.html")
