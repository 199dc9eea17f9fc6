"""Files of pairs: what is read, and what is said about files that are wrong."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minis2s.data import Pair, merge_sources, read_aligned, read_lines, read_pairs, write_pairs
from minis2s.errors import UserError


@pytest.fixture
def file(tmp_path):
    """A function that makes a file of the given bytes or text."""

    def make(content: bytes | str, name: str = "data.tsv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


def refusal(read, *paths) -> str:
    with pytest.raises(UserError) as caught:
        read(*paths)
    message = str(caught.value)
    assert "\n" not in message
    return message


# -- what is read


def test_a_table(file):
    assert read_pairs(file("Go.\tVa !\nRun!\tCours !\n")) == [
        Pair("Go.", ("Va !",)),
        Pair("Run!", ("Cours !",)),
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"a\tb\nc\td",  # no line end at the end
        b"a\tb\r\nc\td\r\n",
        b"\xef\xbb\xbfa\tb\nc\td\n",  # byte order mark
        b"\n a\tb\n\n  \n\nc\td\n\n".replace(b" a", b"a"),  # blank lines
    ],
)
def test_line_ends_byte_order_marks_and_blank_lines_do_not_matter(file, content):
    assert read_pairs(file(content)) == [Pair("a", ("b",)), Pair("c", ("d",))]


def test_only_line_ends_end_a_line(file):
    odd = "a\u2028b\x0bc\x85d\x1ce"
    assert read_pairs(file(f"{odd}\t{odd}\n")) == [Pair(odd, (odd,))]
    assert read_lines(file(f"{odd}\n")) == [odd]


def test_an_empty_side_is_a_text(file):
    assert read_pairs(file("\tb\na\t\n\t\n")) == [Pair("", ("b",)), Pair("a", ("",)), Pair("", ("",))]


def test_alternatives(file):
    path = file("read\tR EH D\tR IY D\tR EH D\t\na\tb\n")
    assert read_pairs(path, alternatives=True) == [Pair("read", ("R EH D", "R IY D")), Pair("a", ("b",))]


def test_aligned_files_keep_their_empty_lines(file):
    source, target = file("a\n\nc", "s"), file("\xef\xbb\xbfx\ny\n\n".encode("latin-1"), "t")
    assert read_aligned(source, target) == [Pair("a", ("x",)), Pair("", ("y",)), Pair("c", ("",))]


def test_a_tab_in_an_aligned_file_is_text(file):
    assert read_aligned(file("a\tb\n", "s"), file("c\n", "t")) == [Pair("a\tb", ("c",))]


def test_merge_sources():
    pairs = [Pair("a", ("1",)), Pair("b", ("2",)), Pair("a", ("3", "1")), Pair("a", ("4",))]
    assert merge_sources(pairs) == [Pair("a", ("1", "3", "4")), Pair("b", ("2",))]


side = st.text(st.characters(exclude_characters="\t\n\r", exclude_categories=["Cs"]), max_size=6)


@given(
    st.lists(
        st.builds(Pair, side, st.lists(side.filter(bool), min_size=1, unique=True).map(tuple)), min_size=1
    )
)
def test_write_and_read_round_trip(tmp_path_factory, pairs):
    path = tmp_path_factory.mktemp("pairs") / "p.tsv"
    pairs = [Pair("first", ("",)), *pairs]  # a leading U+FEFF would be a byte order mark
    write_pairs(path, pairs)
    assert read_pairs(path, alternatives=True) == pairs


@pytest.mark.parametrize("text", ["a\tb", "a\nb", "a\rb"])
def test_write_refuses_what_a_table_cannot_show(tmp_path, text):
    with pytest.raises(ValueError, match=r"pairs\[1\] holds a tab or a line end"):
        write_pairs(tmp_path / "p.tsv", [Pair("x", ("y",)), Pair("z", ("ok", text))])
    assert list(tmp_path.iterdir()) == []


# -- what is refused, and how it is said


def test_a_missing_file(tmp_path):
    for read in (read_pairs, read_lines):
        assert refusal(read, tmp_path / "none.tsv") == f"cannot read {tmp_path / 'none.tsv'}: there is no such file"
    assert "no such file" in refusal(read_aligned, tmp_path / "s", tmp_path / "t")


def test_a_folder(tmp_path):
    assert refusal(read_pairs, tmp_path) == f"cannot read {tmp_path}: that is a folder; name a file"


def test_a_file_inside_a_file(file):
    assert "cannot read" in refusal(read_pairs, file("a\tb\n") / "x.tsv")


@pytest.mark.parametrize("content", ["", "\ufeff"])
def test_an_empty_file(file, content):
    path = file(content)
    for read in (read_pairs, read_lines):
        message = refusal(read, path)
        assert str(path) in message and "empty" in message


def test_blank_lines_alone_are_no_data(file):
    assert "holds no pair" in refusal(read_pairs, file("\n  \n\r\n"))


@pytest.mark.parametrize(
    ("line", "found"),
    [("just words", "1 column where 2"), ("a\tb\tc", "3 columns where 2"), ("a\t\t", "3 columns")],
)
def test_the_wrong_number_of_columns(file, line, found):
    path = file(f"a\tb\n\n{line}\nc\td\n")
    message = refusal(read_pairs, path)
    assert message.startswith(f"{path}, line 3: {found}")
    assert "tab" in message


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("hello,bonjour", "in 'hello,bonjour': it looks like CSV, with commas for tabs; write"),
        ("hello;bonjour", "it looks like CSV, with semicolons for tabs; write"),
        ("hello   bonjour", "it looks as if spaces took the place of a tab; write"),
        ("hello bonjour", "in 'hello bonjour': write the source"),
        ("x" * 41, f"in '{'x' * 39}…': write"),
        ("a\tb\tc", r"in 'a\tb\tc': write"),
        ("a\tb\tc", "or give --alternatives if further columns are further right answers"),
    ],
)
def test_the_wrong_number_of_columns_is_explained(file, line, said):
    assert said in refusal(read_pairs, file(line + "\n"))


def test_the_wrong_number_of_columns_with_alternatives(file):
    message = refusal(lambda path: read_pairs(path, alternatives=True), file("a\tb\tc\nwords\n"))
    assert "line 2: 1 column where at least 2" in message


def test_another_encoding(file):
    path = file(b"a\tb\nc\td\n" + "déjà\tvu\n".encode("latin-1"))
    message = refusal(read_pairs, path)
    assert message.startswith(f"{path}, line 3: not UTF-8 text (byte 0xe9)")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_utf_16(file, encoding):
    mark = "\ufeff" if encoding.endswith("le") else ""
    assert "is UTF-16 text, but UTF-8 is needed" in refusal(
        read_pairs, file((mark + "a\tb\n").encode(encoding))
    )


def test_aligned_files_of_different_length(file):
    source, target = file("a\nb\nc\n", "s"), file("x\n", "t")
    message = refusal(read_aligned, source, target)
    assert f"{source} has 3 lines but {target} has 1" in message


def test_a_folder_that_does_not_exist_cannot_be_written_to(tmp_path):
    message = refusal(write_pairs, tmp_path / "no" / "p.tsv", [Pair("a", ("b",))])
    assert message == (
        f"cannot write {tmp_path / 'no' / 'p.tsv'}: its folder does not exist; create it first"
    )


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "p.tsv"
    write_pairs(path, [Pair("old", ("file",))])

    def full(*_):
        raise OSError(28, "the disk is full")

    monkeypatch.setattr(os, "replace", full)
    assert "the disk is full" in refusal(write_pairs, path, [Pair("new", ("file",))])
    assert path.read_text() == "old\tfile\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_written_file_has_ordinary_permissions(tmp_path):
    write_pairs(tmp_path / "p.tsv", [Pair("a", ("b",))])
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "p.tsv").stat().st_mode == (tmp_path / "plain").stat().st_mode
