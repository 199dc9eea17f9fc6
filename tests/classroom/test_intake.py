"""What a class hands in is sorted by student, and what cannot be graded is there with its reason."""

import io
import os
import socket
import stat
import zipfile

import pytest

from minis2s.classroom import handed_in
from minis2s.classroom.handed_in import read
from minis2s.classroom.intake import find
from minis2s.errors import UserError


def zipped(path, files: dict, **more):
    """A zip with these members, {name: bytes}; writes it, or returns its bytes where path is None."""
    target = io.BytesIO() if path is None else path
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, **more) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return target.getvalue() if path is None else path


def by_student(where) -> dict:
    return {submission.student: submission for submission in find(where)}


def names(submission) -> list[str]:
    return [file.name for file in submission.files]


def test_a_mixed_folder_has_a_student_for_each_file_zip_and_folder(tmp_path):
    (tmp_path / "ann.py").write_text("a = 1")
    (tmp_path / "bob.ipynb").write_text("{}")
    zipped(tmp_path / "cleo.zip", {"homework/4_lstm.py": "c = 1", "homework/readme.txt": "x"})
    (tmp_path / "小明" / "deep" / "er").mkdir(parents=True)
    (tmp_path / "小明" / "deep" / "er" / "4_lstm (2).ipynb").write_text("{}")
    found = by_student(tmp_path)
    assert list(found) == ["ann", "bob", "cleo", "小明"]
    assert not any(submission.refused for submission in found.values())
    assert names(found["cleo"]) == ["cleo.zip/homework/4_lstm.py"]
    assert read(found["cleo"].files[0]) == b"c = 1"
    assert found["小明"].key == "小明" and names(found["小明"]) == ["小明/deep/er/4_lstm (2).ipynb"]


def test_what_computers_leave_behind_is_no_submission(tmp_path):
    for name in (".DS_Store", "Thumbs.db", "~$draft.docx", "ann.py"):
        (tmp_path / name).write_text("x = 1")
    for folder in ("__MACOSX", ".ipynb_checkpoints"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "bob.py").write_text("b = 1")
    zipped(tmp_path / "cleo.zip", {"__MACOSX/._x.py": "x", "x.py": "x = 1"})
    assert {name: names(s) for name, s in by_student(tmp_path).items()} == {
        "ann": ["ann.py"],
        "cleo": ["cleo.zip/x.py"],
    }


def test_nothing_to_grade_is_said_in_one_sentence(tmp_path):
    with pytest.raises(UserError, match="is empty: expected notebooks"):
        find(tmp_path)
    with pytest.raises(UserError, match="there is no such file or folder"):
        find(tmp_path / "none")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda p: (p / "ann").mkdir(), "is an empty folder"),
        (lambda p: (p / "ann.docx").write_text("x"), "no notebook and no .py file, only ann.docx"),
        (lambda p: (p / "ann.zip").write_bytes(b"PK\x03\x04 broken"), "damaged, or no zip at all"),
        (lambda p: (p / "ann.zip").write_bytes(b""), "damaged, or no zip at all"),
        (lambda p: zipped(p / "ann.zip", {}), "is an empty zip"),
        (lambda p: zipped(p / "ann.zip", {"a.zip": zipped(None, {"x.py": "x"})}), "a zip in a zip"),
        (lambda p: (p / "ann.py").symlink_to("/etc/passwd"), "is a link"),
        (lambda p: (p / "ann").symlink_to("/etc"), "is a link"),
        (lambda p: os.mkfifo(p / "ann.py"), "is a pipe"),
    ],
)
def test_a_submission_without_a_program_is_refused_by_name(tmp_path, make, reason):
    make(tmp_path)
    (submission,) = find(tmp_path)
    assert submission.student == "ann" and reason in submission.refused


def test_sockets_and_hard_links_are_refused(tmp_path):
    folder = tmp_path / "class"
    folder.mkdir()
    (tmp_path / "key.py").write_text("secret = 1")
    os.link(tmp_path / "key.py", folder / "ann.py")
    here = os.getcwd()
    os.chdir(folder)  # the name of a socket must be short
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind("bob.py")
    finally:
        os.chdir(here)
    found = by_student(folder)
    assert "hard link" in found["ann"].refused and "is a socket" in found["bob"].refused


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO])
def test_links_and_devices_in_a_zip_are_refused(tmp_path, kind):
    member = zipfile.ZipInfo("4_lstm.py")
    member.create_system, member.external_attr = 3, (kind | 0o777) << 16
    zipped(tmp_path / "ann.zip", {member: "/etc/passwd"})
    (submission,) = find(tmp_path)
    assert "not a file" in submission.refused


def test_a_zip_bomb_is_refused_by_what_it_claims_and_by_what_it_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(handed_in, "MOST_BYTES", 100_000)
    zipped(tmp_path / "ann.zip", {"x.py": b" " * 10**6})
    lying = bytearray(zipped(None, {"x.py": b" " * 10**6}))
    for at in (lying.find(b"PK\x01\x02") + 24, lying.find(b"PK\x03\x04") + 22):
        lying[at : at + 4] = (1000).to_bytes(4, "little")  # "1000 bytes, unpacked"
    (tmp_path / "bob.zip").write_bytes(lying)
    found = by_student(tmp_path)
    with pytest.raises(UserError, match="has 1 MB, at most 0 MB are read"):
        read(found["ann"].files[0])
    with pytest.raises(UserError, match="bob.zip/x.py"):
        read(found["bob"].files[0])


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_bomb_of_another_method_is_never_unpacked(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "ann.zip", "w") as archive:  # a million times as large, in one go
        archive.writestr("x.py", b" " * 10**6, compress_type=method)
    (submission,) = find(tmp_path)
    assert "x.py is packed by an unusual method" in submission.refused and submission.sha256()


def test_a_huge_file_is_never_read(tmp_path):
    with open(tmp_path / "ann.ipynb", "wb") as file:
        file.truncate(200_000_000)  # takes no room on the disk
    (submission,) = find(tmp_path)
    with pytest.raises(UserError, match="has 200 MB, at most 20 MB are read: clear the outputs"):
        read(submission.files[0])


def test_one_student_by_two_ways_is_one_submission(tmp_path):
    (tmp_path / "ann.py").write_text("a = 1")
    zipped(tmp_path / "ann.zip", {"x.ipynb": "{}"})
    (tmp_path / "ann").mkdir()
    (tmp_path / "ann" / "y.py").write_text("y = 1")
    (submission,) = find(tmp_path)
    assert names(submission) == ["ann.py", "ann.zip/x.ipynb", "ann/y.py"]


@pytest.mark.parametrize(
    ("path", "student"),
    [
        ("Li Xiaoming_48121_assignsubmission_file_/a.py", "Li Xiaoming_48121"),
        ("lixiaoming_48121_993_4_lstm.ipynb", "lixiaoming_48121"),
        ("lixiaoming_LATE_48121_993_4_lstm-1.ipynb", "lixiaoming_LATE_48121"),
        ("ann.ipynb.txt", "ann"),
        ("ann.PY", "ann"),
        ("李晓明.py", "李晓明"),
    ],
)
def test_what_an_lms_writes_around_a_name_is_left_off(tmp_path, path, student):
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_text("x = 1")
    (submission,) = find(tmp_path)
    assert submission.student == student and not submission.refused


def test_the_zip_of_a_class_may_have_names_of_windows_and_of_gbk(tmp_path):
    members = {"class\\ann\\4_lstm.py": "a = 1", "class/../../bob.py": "b = 1", "C:\\class\\cleo.py": "c = 1"}
    path = zipped(tmp_path / "class.zip", members)
    raw = path.read_bytes().replace(b"class/../../bob.py", "class/小红/小红.py".encode("gbk").ljust(18, b"y"))
    path.write_bytes(raw)
    found = by_student(path)
    assert set(found) == {"ann", "小红", "cleo"}
    assert read(found["cleo"].files[0]) == b"c = 1"


def test_the_zip_of_one_student_is_of_that_student(tmp_path):
    (submission,) = find(zipped(tmp_path / "ann.zip", {"stuff/4_lstm.py": "x = 1", "stuff/notes.txt": ""}))
    assert submission.student == "ann" and len(submission.files) == 1


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "a:b", "con", "\u202eevil", "x" * 240, "\udcff\udcfe", "-", "a\nb"])
def test_any_name_becomes_the_name_of_a_file(tmp_path, name):
    (tmp_path / f"{name}.py").write_text("x = 1")
    (submission,) = find(tmp_path)
    assert submission.key.encode() and len(submission.key.encode()) < 130
    assert not set(submission.key) & set('/\\:*?"<>|=\n\u202e') and submission.key.lower() != "con"
    assert submission.student.isprintable()


def test_names_that_differ_in_capitals_alone_get_files_of_their_own(tmp_path):
    for name in ("Ann", "ann"):
        (tmp_path / f"{name}.py").write_text("x = 1")
    keys = [submission.key for submission in find(tmp_path)]
    assert len({key.casefold() for key in keys}) == len(keys)


def test_the_checksum_is_that_of_what_was_handed_in(tmp_path):
    (tmp_path / "ann.py").write_text("x = 1")
    first = find(tmp_path)[0].sha256()
    assert find(tmp_path)[0].sha256() == first
    (tmp_path / "ann.py").write_text("x = 2")
    assert find(tmp_path)[0].sha256() != first
