"""The tape in a file: it comes back as it was, and what is damaged or foreign is refused in one sentence."""

import copy
import json
import zipfile

import numpy as np
import pytest

import minis2s
from minis2s import ModelConfig, Tape, UserError, beam_search, load_tape, save_checkpoint

CONFIG = ModelConfig("lstm", 2, True, 5, 6, "general", dropout=0.3)


def same(a: Tape, b: Tape) -> None:
    assert a.arrays.keys() == b.arrays.keys()
    for name, array in a.arrays.items():
        np.testing.assert_array_equal(array, b.arrays[name])
        assert array.dtype == b.arrays[name].dtype
    assert a.record.spec == b.record.spec


@pytest.mark.parametrize("config", [CONFIG, ModelConfig("gru", 1, False, 5, 6, "additive", "bahdanau")])
def test_saved_and_loaded(traced, tmp_path, config):
    tape = traced(config, teacher_forcing=0.5, smoothing=0.1).tape
    tape.save(tmp_path / "step.npz")
    again = load_tape(tmp_path / "step.npz")
    same(tape, again)
    assert (
        again.what_if(minis2s.trace.Cut("attention")).loss
        == tape.what_if(minis2s.trace.Cut("attention")).loss
    )
    assert [p.name for p in tmp_path.iterdir()] == ["step.npz"]
    # other programs read the arrays with NumPy alone
    with np.load(tmp_path / "step.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["arrays/decoder.0/forward/h"], tape["decoder.0/forward/h"])


def test_a_search_saved_and_loaded(make_model, some_batch, tmp_path):
    model, batch = make_model(CONFIG), some_batch()
    with minis2s.trace(model) as tape:
        beam_search(model, batch.src, batch.src_mask, beam=3, max_length=5)
    tape.save(tmp_path / "search.npz")
    again = load_tape(tmp_path / "search.npz")
    same(tape, again)
    assert again.beam == tape.beam


def test_an_empty_tape_is_not_saved(make_model, tmp_path):
    with minis2s.trace(make_model(CONFIG)) as tape:
        pass
    with pytest.raises(UserError, match="empty"):
        tape.save(tmp_path / "nothing.npz")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(traced, tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        traced(CONFIG).tape.save(tmp_path / "no" / "step.npz")


def test_files_that_are_no_tape(traced, tmp_path):
    path = tmp_path / "file.npz"
    with pytest.raises(UserError, match="no such file"):
        load_tape(path)
    save_checkpoint(path, {"w": np.zeros(3)}, {"kind": "something else"})
    with pytest.raises(UserError, match="not a tape"):
        load_tape(path)
    path.write_bytes(b"text")
    with pytest.raises(UserError, match="not a minis2s"):
        load_tape(path)
    tape = traced(CONFIG).tape
    tape.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cut short or damaged"):
        load_tape(path)


@pytest.mark.parametrize("missing", ["record/src", "weights/decoder.output.W", "spec", "share"])
def test_a_tape_that_lacks_something(traced, tmp_path, missing):
    path = tmp_path / "file.npz"
    traced(CONFIG).tape.save(path)
    arrays, meta = minis2s.load_checkpoint(path)
    arrays.pop(missing, None)
    meta.pop(missing, None)
    save_checkpoint(path, arrays, meta)
    with pytest.raises(UserError, match="damaged tape"):
        load_tape(path)


def test_a_tape_with_foreign_shapes(traced, tmp_path):
    path = tmp_path / "file.npz"
    traced(CONFIG).tape.save(path)
    arrays, meta = minis2s.load_checkpoint(path)
    arrays["record/src"] = arrays["record/src"] + 1000
    save_checkpoint(path, arrays, meta)
    with pytest.raises(UserError, match="damaged tape"):
        load_tape(path)


def test_nothing_pickled_is_loaded(tmp_path):
    path = tmp_path / "file.npz"
    note = {"format": "minis2s checkpoint", "version": 1, "meta": {"kind": "minis2s trace"}, "arrays": ["a"]}
    with zipfile.ZipFile(path, "w") as archive:
        for name, a in (
            ("__meta__", np.frombuffer(json.dumps(note).encode(), dtype=np.uint8)),
            ("a", np.array([{}], dtype=object)),
        ):
            with archive.open(f"{name}.npy", "w") as entry:
                np.lib.format.write_array(entry, a, allow_pickle=True)
    with pytest.raises(UserError, match="damaged"):
        load_tape(path)


@pytest.fixture(scope="module")
def search_in_a_file(make_model, some_batch, tmp_path_factory):
    """The arrays and the note of a small tape with trees."""
    path = tmp_path_factory.mktemp("search") / "whole.npz"
    model, batch = make_model(ModelConfig("lstm", 1, False, 5, 6, "general")), some_batch()
    with minis2s.trace(model) as tape:
        beam_search(model, batch.src, batch.src_mask, beam=2, max_length=3)
    tape.save(path)
    return minis2s.load_checkpoint(path)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("smoothing",), None),
        (("share",), "x"),
        (("dloss",), []),
        (("loss",), {}),
        (("trees",), []),
        (("trees", 0), []),
        (("trees", 0, 1, 1), 1),  # a node that is its own parent
        (("trees", 0, 1, 2), "x"),
        (("trees", 0, 1, 5), "x"),
        (("spec", "decoder"), "plain"),
        (("spec", "decoder"), "x"),
        (("spec", "layers", 0, "name"), None),
        (("spec", "layers", 0, "size"), 10**13),
    ],
)
def test_a_tape_with_a_wrong_note(search_in_a_file, tmp_path, place, value):
    arrays, meta = copy.deepcopy(search_in_a_file)
    inner = meta
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    save_checkpoint(tmp_path / "file.npz", arrays, meta)
    with pytest.raises(UserError, match="damaged tape"):
        load_tape(tmp_path / "file.npz")


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("record/src_mask", lambda a: a + 0.5),
        ("record/tgt_out", lambda a: a[..., None]),
        ("record/tgt_out", lambda a: a[:-1]),
        ("weights/decoder.output.b", lambda a: a[:1]),
        ("weights/decoder.output.W", lambda a: a.astype(complex)),
    ],
)
def test_a_tape_with_a_wrong_array(search_in_a_file, tmp_path, name, changed):
    arrays, meta = search_in_a_file
    save_checkpoint(tmp_path / "file.npz", {**arrays, name: changed(arrays[name])}, meta)
    with pytest.raises(UserError, match="damaged tape"):
        load_tape(tmp_path / "file.npz")
