"""Checkpoints and run-folder files: what goes in comes out, and a failure leaves the file of before.

Failures are real where they can be (a file size limit, damaged bytes, a killed process) and
simulated where not (a full disk, a read-only one).
"""

import builtins
import errno
import io
import json
import math
import os
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minis2s import files
from minis2s.errors import UserError
from minis2s.files import read_json, replacing, write_json, write_text
from minis2s.train.checkpoint import load_checkpoint, restore_rng, rng_state, save_checkpoint


def make_arrays():
    rng = np.random.default_rng(0)
    return {
        "model/encoder.Wx": rng.standard_normal((7, 5)).astype(np.float32),
        "file": rng.standard_normal((2, 3, 4)),  # np.savez could not hold an array of this name
        "allow_pickle": np.array([True, False]),
        "optimizer/step": np.array(12),
        "one number": np.array(-0.0, np.float32),
        "empty": np.zeros((0, 3), np.float32),
        "not finite": np.array([np.nan, np.inf, -np.inf]),
        "columns first": np.asfortranarray(rng.standard_normal((4, 3))),
        "every second": rng.integers(-9, 9, 10, dtype=np.int32)[::2],
        "big-endian": np.arange(3, dtype=">i8"),
        "größe/漢字": np.arange(4, dtype=np.uint8),
    }


META = {
    "epoch": 3,
    "losses": [0.5, 0.25],
    "best": None,
    "task": "größe 漢字",
    "nested": {"a": [1, {"b": True}]},
}


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "last.npz"
    save_checkpoint(path, make_arrays(), META)
    return path


def assert_untouched(path, before):
    """`path` is as before, and nothing else lies beside it."""
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


# what goes in comes out


def test_arrays_and_meta_come_back(saved):
    arrays, meta = load_checkpoint(saved)
    assert meta == META
    assert list(arrays) == list(make_arrays())
    for name, array in make_arrays().items():
        assert arrays[name].dtype == array.dtype and arrays[name].shape == array.shape
        assert arrays[name].tobytes() == array.tobytes()  # bit for bit, the sign of -0.0 too


def test_no_arrays_and_no_meta_are_fine(tmp_path):
    save_checkpoint(tmp_path / "a.npz", {}, {})
    assert load_checkpoint(str(tmp_path / "a.npz")) == ({}, {})


def test_loaded_arrays_can_be_written_to(saved):
    arrays, _ = load_checkpoint(saved)
    for array in arrays.values():
        array[...] = 1


def test_meta_keeps_what_json_alone_would_not(tmp_path):
    meta = {
        "nan": math.nan,
        "best": -math.inf,
        "loss": np.float32(0.5),
        "steps": np.int64(7),
        "done": np.True_,
    }
    save_checkpoint(tmp_path / "a.npz", {}, meta)
    _, back = load_checkpoint(tmp_path / "a.npz")
    assert math.isnan(back.pop("nan"))
    assert back == {"best": -math.inf, "loss": 0.5, "steps": 7, "done": True}
    assert [type(x) for x in back.values()] == [float, float, int, bool]


def test_equal_contents_give_equal_bytes_and_numpy_reads_them(saved, tmp_path):
    save_checkpoint(tmp_path / "again.npz", make_arrays(), META)
    assert (tmp_path / "again.npz").read_bytes() == saved.read_bytes()
    with np.load(saved, allow_pickle=False) as archive:
        assert np.array_equal(archive["file"], make_arrays()["file"])


def test_saving_replaces_the_old_file_and_leaves_nothing_beside_it(saved):
    save_checkpoint(saved, {"w": np.arange(3)}, {"epoch": 4})
    arrays, meta = load_checkpoint(saved)
    assert list(arrays) == ["w"] and meta == {"epoch": 4}
    assert os.listdir(saved.parent) == ["last.npz"]


def test_a_new_file_has_the_permissions_that_any_new_file_has(saved):
    (saved.parent / "plain").write_text("")
    assert saved.stat().st_mode == (saved.parent / "plain").stat().st_mode


def test_names_with_no_suffix_or_a_foreign_one_are_kept_as_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_checkpoint("weights", {"w": np.arange(3)}, {})
    save_checkpoint("weights.best", {"w": np.arange(4)}, {})
    assert sorted(os.listdir()) == ["weights", "weights.best"]
    assert load_checkpoint("weights.best")[0]["w"].shape == (4,)


@pytest.mark.parametrize(
    "arrays, error, message",
    [
        ({"a": [1, 2]}, TypeError, "entry 'a' should be a NumPy array of numbers, got list"),
        ({"a": np.array([None])}, TypeError, "entry 'a' .* got object"),
        ({"a": np.array(["x"])}, TypeError, "entry 'a' .* got <U1"),
        ({"__meta__": np.arange(2)}, ValueError, "cannot be named '__meta__'"),
        ({"": np.arange(2)}, ValueError, "cannot be named ''"),
    ],
)
def test_what_a_checkpoint_cannot_hold_is_refused_before_anything_is_written(saved, arrays, error, message):
    before = saved.read_bytes()
    with pytest.raises(error, match=message):
        save_checkpoint(saved, arrays, {})
    with pytest.raises(TypeError):
        save_checkpoint(saved, {}, {"a set": {1, 2}})
    assert_untouched(saved, before)


# writing fails


def refuse(code):
    def raise_it(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    return raise_it


def open_refusing(code, after, opened):
    """An `open` whose files take `after` bytes and then refuse; the files are listed in `opened`."""

    def open_(path, mode="r", *args, **kwargs):
        if "w" not in mode:
            return builtins.open(path, mode, *args, **kwargs)
        raw = io.FileIO(path, mode)
        write = raw.write
        taken = 0

        class Refusing(io.RawIOBase):
            def writable(self):
                return True

            def seekable(self):
                return True

            def seek(self, *args):
                return raw.seek(*args)

            def tell(self):
                return raw.tell()

            def fileno(self):
                return raw.fileno()

            def write(self, data):
                nonlocal taken
                if taken + len(data) > after:
                    raise OSError(code, os.strerror(code))
                taken += len(data)
                return write(data)

            def close(self):
                raw.close()
                super().close()

        opened.append(raw)
        return io.BufferedWriter(Refusing(), buffer_size=64)

    return open_


FAILURES = [
    (errno.ENOSPC, "the disk is full; free some space"),
    (errno.EDQUOT, "quota is used up"),
    (errno.EROFS, "read-only; choose another folder"),
    (errno.EACCES, "permission denied"),
    (errno.EIO, "Input/output error"),
]


@pytest.mark.parametrize("code, message", FAILURES)
@pytest.mark.parametrize("where", ["open", "fsync", "replace"])
def test_a_refusing_system_is_one_sentence_and_the_old_file_stays(saved, monkeypatch, where, code, message):
    before = saved.read_bytes()
    with monkeypatch.context() as patch:
        if where == "open":
            patch.setattr(files, "open", refuse(code), raising=False)
        else:
            patch.setattr(files.os, where, refuse(code))
        with pytest.raises(UserError, match=message) as caught:
            save_checkpoint(saved, {"w": np.ones(1000)}, {})
    assert str(caught.value).startswith(f"cannot write {saved}: ")
    assert "\n" not in str(caught.value)
    assert_untouched(saved, before)


@pytest.mark.parametrize("after", [0, 1, 30, 100, 300, 500, 1000, 2000, 4000, 8000, 8300])
def test_a_disk_that_fills_up_midway_leaves_the_old_file(saved, monkeypatch, after):
    before, opened = saved.read_bytes(), []
    with monkeypatch.context() as patch:
        patch.setattr(files, "open", open_refusing(errno.ENOSPC, after, opened), raising=False)
        with pytest.raises(UserError, match="the disk is full"):
            save_checkpoint(saved, {"w": np.ones(1000)}, {})
    assert len(opened) == 1 and opened[0].closed
    assert_untouched(saved, before)


def test_the_disk_that_fills_up_is_a_fair_stand_in(saved, monkeypatch):
    # with room enough the same stand-in lets the whole checkpoint through
    monkeypatch.setattr(files, "open", open_refusing(errno.ENOSPC, 10**6, []), raising=False)
    save_checkpoint(saved, {"w": np.ones(1000)}, {})
    monkeypatch.undo()
    assert np.array_equal(load_checkpoint(saved)[0]["w"], np.ones(1000))


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")
@pytest.mark.parametrize("limit", [0, 100, 5000, 8200])
def test_a_real_limit_on_file_sizes_leaves_the_old_file(saved, limit):
    resource = pytest.importorskip("resource")
    before = saved.read_bytes()
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    failure = None
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, old[1]))
    try:
        save_checkpoint(saved, {"w": np.ones(1000)}, {})
    except UserError as error:
        failure = error
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert failure is not None and "larger than files may be here" in str(failure)
    assert_untouched(saved, before)


@pytest.mark.parametrize("blow", [KeyboardInterrupt, MemoryError, ZeroDivisionError])
def test_any_other_interruption_leaves_the_old_file_too(saved, blow):
    before = saved.read_bytes()
    with pytest.raises(blow), replacing(saved) as file:
        file.write(b"half a file")
        raise blow
    assert_untouched(saved, before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX only")
def test_a_killed_process_leaves_the_old_file_whole(saved):
    before = saved.read_bytes()
    killed = (
        "import os, signal, sys\n"
        "from minis2s.files import replacing\n"
        "with replacing(sys.argv[1]) as file:\n"
        "    file.write(b'half a file'); file.flush()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", killed, saved], env=os.environ | {"PYTHONPATH": path}, check=False
    )
    assert done.returncode == -9
    assert saved.read_bytes() == before
    save_checkpoint(saved, make_arrays(), META)
    assert load_checkpoint(saved)[1] == META


def test_the_contents_are_on_the_disk_before_the_name_is(tmp_path, monkeypatch):
    order = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(
            files.os, name, lambda *args, name=name, real=real: (order.append(name), real(*args))[1]
        )
    save_checkpoint(tmp_path / "a.npz", {"w": np.ones(3)}, {})
    assert order[:2] == ["fsync", "replace"] and order.count("replace") == 1


def test_a_folder_that_cannot_be_synced_does_not_spoil_the_save(tmp_path, monkeypatch):
    monkeypatch.setattr(files.os, "open", refuse(errno.EACCES))
    save_checkpoint(tmp_path / "a.npz", {"w": np.ones(3)}, {})
    assert load_checkpoint(tmp_path / "a.npz")[0]["w"].shape == (3,)


@pytest.mark.parametrize("write", [lambda p: save_checkpoint(p, {}, {}), lambda p: write_json(p, {})])
def test_paths_that_cannot_be_written_to(write, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path, message in [
        (tmp_path / "none" / "a.npz", "its folder does not exist; create it first"),
        (tmp_path / "file" / "a.npz", "a part of the path is a file"),
        (tmp_path / "folder", "that is a folder; name a file"),
        (tmp_path / ("x" * 300), "the name is too long"),
    ]:
        with pytest.raises(UserError, match=message) as caught:
            write(path)
        assert str(path) in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]
    assert os.listdir(tmp_path / "folder") == []


# reading fails


def test_paths_that_cannot_be_read(tmp_path):
    (tmp_path / "file").write_text("")
    for path, message in [
        (tmp_path / "none.npz", "there is no such file"),
        (tmp_path / "file" / "a.npz", "a part of the path is a file"),
        (tmp_path, "that is a folder"),
        (tmp_path / "file", "is empty"),
    ]:
        with pytest.raises(UserError, match=message) as caught:
            load_checkpoint(path)
        assert str(path) in str(caught.value)


def test_permission_to_read_denied(saved, monkeypatch):
    monkeypatch.setattr(files, "open", refuse(errno.EACCES), raising=False)
    with pytest.raises(UserError, match=r"cannot read .*last\.npz: permission denied"):
        load_checkpoint(saved)


def test_a_file_cut_anywhere_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    save_checkpoint(path, {"w": np.arange(9, dtype=np.float32), "b": np.zeros((0, 2))}, {"epoch": 3})
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with pytest.raises(UserError, match="is empty" if cut == 0 else "cut short or damaged"):
            load_checkpoint(path)
    path.write_bytes(whole)
    assert load_checkpoint(path)[1] == {"epoch": 3}


def test_damaged_bytes_are_refused_or_harmless(tmp_path):
    """Any single byte changed: a UserError, or (in fields nobody reads) the very same contents."""
    path = tmp_path / "a.npz"
    weights = np.arange(20, dtype=np.float32)
    save_checkpoint(path, {"w": weights}, {"epoch": 3})
    whole = path.read_bytes()
    flips = np.random.default_rng(0).integers(1, 256, len(whole))
    refused = 0
    for place, flip in enumerate(flips.tolist()):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :])
        try:
            arrays, meta = load_checkpoint(path)
        except UserError:
            refused += 1
            continue
        assert meta == {"epoch": 3}
        assert list(arrays) == ["w"] and arrays["w"].dtype == np.float32
        assert arrays["w"].tobytes() == weights.tobytes()
    assert refused > len(whole) / 2


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_refused(tmp_path_factory, data, like_a_zip):
    path = tmp_path_factory.mktemp("any") / "a.npz"
    path.write_bytes(b"PK\x03\x04" * like_a_zip + data)
    with pytest.raises(UserError):
        load_checkpoint(path)


class Bomb:
    """Unpickling it would be noticed."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle from a file was executed",))


def archive_with(path, **entries):
    """A zip of the given .npy bytes, beside a right note."""
    names = [name for name in entries if name != "__meta__"]
    note = json.dumps({"format": "minis2s checkpoint", "version": 1, "meta": {}, "arrays": names})
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in ({"__meta__": npy(np.frombuffer(note.encode(), np.uint8))} | entries).items():
            archive.writestr(f"{name}.npy", data)


def npy(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def test_pickles_are_refused_and_not_executed(tmp_path):
    path = tmp_path / "a.npz"
    bomb = npy(np.array([Bomb()], dtype=object), allow_pickle=True)
    archive_with(path, w=npy(np.ones(3)))
    assert list(load_checkpoint(path)[0]) == ["w"]  # the archive is right without the pickle
    archive_with(path, w=bomb)
    with pytest.raises(UserError, match="damaged"):
        load_checkpoint(path)
    archive_with(path, __meta__=bomb)
    with pytest.raises(UserError, match="damaged"):
        load_checkpoint(path)
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(UserError, match="not a minis2s checkpoint"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "data",
    [
        npy(np.array(["text"])),
        npy(np.zeros(2, dtype=[("a", "f4"), ("b", "i4")])),
        npy(np.ones(3)) + b"more",
        npy(np.ones(3))[:-1],
        b"",
        npy(np.ones(3)).replace(b"(3,)", b"(9" + b"9" * 30 + b",)"),
    ],
    ids=["text", "records", "too long", "too short", "no bytes", "absurd shape"],
)
def test_entries_that_are_no_plain_arrays_are_refused(tmp_path, data):
    archive_with(tmp_path / "a.npz", w=data)
    with pytest.raises(UserError, match="damaged"):
        load_checkpoint(tmp_path / "a.npz")


def write_note(path, note):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("__meta__.npy", npy(np.frombuffer(note.encode(), np.uint8)))


@pytest.mark.parametrize(
    "note, message",
    [
        (
            '{"format": "other", "version": 1, "meta": {}, "arrays": []}',
            "holds 'other', not a minis2s checkpoint",
        ),
        (
            '{"format": "minis2s checkpoint", "version": 2, "meta": {}, "arrays": []}',
            "newer minis2s .format 2, .* up to 1",
        ),
        ('{"format": "minis2s checkpoint", "version": "1", "meta": {}, "arrays": []}', "damaged"),
        ('{"format": "minis2s checkpoint", "version": 1, "arrays": []}', "damaged"),
        ('{"format": "minis2s checkpoint", "version": 1, "meta": {}, "arrays": ["w"]}', "damaged"),
        ('{"version": 1, "meta": {}, "arrays": []}', "damaged"),
        ("[1, 2]", "damaged"),
        ("no JSON", "damaged"),
        ("[" * 100_000, "damaged"),
    ],
)
def test_notes_of_others_and_of_newer_versions(tmp_path, note, message):
    write_note(tmp_path / "a.npz", note)
    with pytest.raises(UserError, match=message):
        load_checkpoint(tmp_path / "a.npz")


def test_files_of_others_are_told_apart(tmp_path):
    np.savez(tmp_path / "foreign.npz", w=np.ones(3))
    np.save(tmp_path / "array.npy", np.ones(3))
    (tmp_path / "text.txt").write_text("PRINT this")
    with pytest.raises(UserError, match="is an archive, but not a minis2s checkpoint"):
        load_checkpoint(tmp_path / "foreign.npz")
    for name in ("array.npy", "text.txt"):
        with pytest.raises(UserError, match="is not a minis2s checkpoint"):
            load_checkpoint(tmp_path / name)


# random states


@pytest.mark.parametrize("kind", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_a_restored_generator_draws_what_the_old_one_would_have(kind, tmp_path):
    rng = np.random.Generator(getattr(np.random, kind)(5))
    rng.random(3)
    rng.integers(0, 9, 3, dtype=np.uint32)  # leaves half a 64-bit draw in the state
    save_checkpoint(tmp_path / "a.npz", {}, {"rng": rng_state(rng)})
    again = restore_rng(load_checkpoint(tmp_path / "a.npz")[1]["rng"])
    assert again is not rng
    for _ in range(2):
        assert np.array_equal(
            again.integers(0, 9, 5, dtype=np.uint32), rng.integers(0, 9, 5, dtype=np.uint32)
        )
        assert np.array_equal(again.standard_normal(5), rng.standard_normal(5))
        assert np.array_equal(again.permutation(20), rng.permutation(20))


def test_taking_the_state_draws_nothing():
    rng, other = np.random.default_rng(3), np.random.default_rng(3)
    state = rng_state(rng)
    assert json.loads(json.dumps(state)) == state
    assert state["state"]["state"] > 2**64  # the integers are kept as they are
    assert rng.random() == other.random()
    assert state != rng_state(rng)


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.clear(),
        lambda state: state.pop("state"),
        lambda state: state.update(bit_generator="Generator"),
        lambda state: state.update(bit_generator=["PCG64"]),
        lambda state: state.update(state={"state": -1, "inc": 3}),
        lambda state: state.update(state={"state": 1 << 200, "inc": 3}),
        lambda state: state.update(state={"state": "1", "inc": 3}),
        lambda state: state.update(state=None),
    ],
)
def test_a_damaged_random_state_is_refused(change):
    state = rng_state(np.random.default_rng(0))
    change(state)
    with pytest.raises(UserError, match="random state is damaged"):
        restore_rng(state)


# JSON and text


def test_json_comes_back_and_is_readable(tmp_path):
    path = tmp_path / "metrics.json"
    obj = {
        "task": "größe 漢字",
        "per": 7.25,
        "counts": [1, 2, 3],
        "best": None,
        "done": True,
        "odd": "\udce9",
    }
    write_json(path, obj)
    assert read_json(path) == obj
    text = path.read_bytes().decode("utf-8")
    assert "größe 漢字" in text and text.endswith("}\n") and "\r" not in text
    assert os.listdir(tmp_path) == ["metrics.json"]


def test_json_has_no_nan_and_takes_numpys_scalars(tmp_path):
    path = tmp_path / "metrics.json"
    write_json(
        path, {"a": math.nan, "b": [math.inf, (np.float32("nan"), np.float32(0.5))], "c": {"d": np.int64(3)}}
    )

    def refuse_constant(name):
        pytest.fail(f"{name} is not JSON")

    obj = json.loads(path.read_text(), parse_constant=refuse_constant)
    assert obj == {"a": None, "b": [None, [None, 0.5]], "c": {"d": 3}}


def test_what_is_no_json_is_refused_and_the_old_file_stays(tmp_path):
    path = tmp_path / "metrics.json"
    write_json(path, {"a": 1})
    before = path.read_bytes()
    with pytest.raises(TypeError):
        write_json(path, {"a": {1, 2}})
    assert_untouched(path, before)


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "not valid JSON .line 1"),
        (b'{\n"a": 1,\n"b" 2}', "not valid JSON .line 3"),
        (b'{"a": "gr\xf6\xdfe"}', "line 1: not UTF-8 text .byte 0xf6."),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_files_that_are_no_json_are_refused(tmp_path, data, message):
    path = tmp_path / "metrics.json"
    path.write_bytes(data)
    with pytest.raises(UserError, match=message) as caught:
        read_json(path)
    assert str(path) in str(caught.value)


def test_json_that_an_editor_gave_a_byte_order_mark_is_read(tmp_path):
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(tmp_path / "a.json") == {"a": 1}


def test_json_files_that_cannot_be_opened(tmp_path):
    with pytest.raises(UserError, match="there is no such file"):
        read_json(tmp_path / "none.json")
    with pytest.raises(UserError, match="that is a folder"):
        read_json(tmp_path)


def test_text_is_written_as_it_is(tmp_path):
    write_text(tmp_path / "history.csv", "epoch,loss\n1,0.5\r\n")
    assert (tmp_path / "history.csv").read_bytes() == b"epoch,loss\n1,0.5\r\n"
