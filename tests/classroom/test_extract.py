"""From what was handed in to the program that is graded: what is kept, what is left out, what is refused, what is told."""

import json
import shutil
import zipfile

import numpy as np
import pytest

from minis2s.classroom import listing as reading
from minis2s.classroom.extract import extract
from minis2s.classroom.intake import find
from minis2s.classroom.listing import listing
from minis2s.errors import UserError


@pytest.fixture
def take(tmp_path, mini):
    """take(data, name="ann.py"): the Source of a submission of this one file."""

    def taken(data, name: str = "ann.py"):
        folder = tmp_path / "class"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
        return extract(find(folder)[0], mini)

    return taken


def works(source) -> bool:
    """Does the program define the pair, so that it gives the right numbers?"""
    assert not source.refused, source.refused
    module: dict = {}
    exec(source.text, module)
    x, W, dy = np.ones((2, 3)), np.arange(12.0).reshape(3, 4), np.ones((2, 4))
    _, cache = module["linear_forward"](x, W)
    return np.array_equal(module["linear_backward"](dy, cache)[1], x.T @ dy)


# -- encodings and forms of files ------------------------------------------------------------------------------

ODD_FORMS = {
    "BOM": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "CRLF": lambda text: text.replace("\n", "\r\n").encode(),
    "CR": lambda text: text.replace("\n", "\r").encode(),
    "tabs": lambda text: text.replace("    ", "\t").encode(),
    "GBK": lambda text: (text + "# 反向：从下往上读前向\n").encode("gbk"),
    "GBK, said": lambda text: ("# -*- coding: gbk -*-\n" + text + "# 反向\n").encode("gbk"),
    "Latin-1": lambda text: (text + "# déjà vu, où est le gradient à la fin ?\n").encode("latin-1"),
    "UTF-16": lambda text: text.encode("utf-16"),
    "a cookie that lies": lambda text: ("# coding: utf-7\n" + text + "# 反向\n").encode(),
    "no line end": lambda text: text.rstrip("\n").encode(),
}


@pytest.mark.parametrize("form", ODD_FORMS)
def test_a_right_answer_in_an_odd_form_is_read(take, answer, form):
    source = take(ODD_FORMS[form](answer))
    assert works(source)
    told = {"GBK": "GBK", "GBK, said": "GBK", "Latin-1": "Latin-1", "UTF-16": "UTF-16", "a cookie that lies": "utf-7"}
    assert (told[form] in " ".join(source.notes)) if form in told else not source.notes


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"x = 1\0", "null bytes"),
        (b"x = (", "line 1: '(' was never closed"),
        (b"", "there is nothing in it"),
        (b"# only words\n", "there is nothing in it"),
        ("x = 1  # \u202e evil".encode(), "line 1: the character U+202E cannot be seen"),
        ("def linear\u200b_forward(): pass".encode(), "U+200B"),
        (b"\xff\xfe\x00", "not text in UTF-8"),
        (b"PK\x03\x04", "is a zip under another name"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (b"x = " + b"1+" * 500_000 + b"1", "a line of 1,000,005 characters"),
        (b"x = " + b"(" * 9000 + b")" * 9000, "too many nested parentheses"),
        (b"x = " + b"-" * 19_000 + b"1", "nested too deeply"),
        (b"\n".join(b" " * n + b"if x:" for n in range(150)), "too many levels of indentation"),
        (b"x = 0x" + b"f" * 9000 + b"\nprint(x)", "cannot be read (ValueError)"),
        (b"x = y\n" * 20_001, "20,001 statements, at most 20,000"),
        (b"# %%\nx = 1\n" * 3001, "3,001 cells, at most 3,000"),
        ("def linear_\u3164forward(): pass".encode(), "U+3164 cannot be seen"),
        ("x, x\u034f = 1, 2".encode(), "U+034F cannot be seen"),
    ],
)
def test_what_is_no_program_is_refused_with_the_reason(take, data, reason):
    source = take(data)
    assert reason in source.refused and "ann.py" in source.refused and not source.text


def test_too_much_code_is_refused(take, answer, monkeypatch):
    monkeypatch.setattr(reading, "MOST_CODE", 100)
    assert "characters of code, at most 100 are read" in take(answer).refused


def test_a_notebook_that_is_none_is_refused(take):
    assert "not valid JSON" in take("{", "ann.ipynb").refused
    assert "there is nothing in it" in take('{"cells": []}', "ann.ipynb").refused
    assert "not valid JSON" in take("[" * 100_000, "ann.ipynb").refused
    assert "too many parts" in take('{"cells": [' + "{}," * 500_000 + "{}]}", "ann.ipynb").refused


def test_renamed_files_are_read_as_what_they_are(take, answer, notebook):
    source = take(notebook(answer), "ann.py")
    assert works(source) and "is a notebook, whatever its name says" in source.notes[0]
    source = take(answer, "ann.ipynb")
    assert works(source) and "is a Python file, whatever its name says" in source.notes[0]


def test_notebooks_without_metadata_of_format_3_and_with_broken_cells_are_read(take, answer):
    bare = {"cells": [None, 3, {"source": 7}, {"cell_type": "code", "source": answer.splitlines(keepends=True)}]}
    source = take(json.dumps(bare), "ann.ipynb")
    assert works(source) and "cell 1 is no cell of a notebook" in source.notes[0]
    old = {"worksheets": [{"cells": [{"cell_type": "code", "input": answer, "metadata": None}]}]}
    assert works(take(json.dumps(old), "ann.ipynb"))
    for tags in (5, True, "public", {"a": 1}, [[], None]):
        cell = {"cell_type": "code", "source": answer, "metadata": {"tags": tags, "task": tags}}
        assert works(take(json.dumps({"cells": [cell]}), "ann.ipynb"))
    assert "half a surrogate pair" in take(json.dumps({"cells": [{"cell_type": "code", "source": "x = '\ud800'"}]}), "ann.ipynb").refused


def test_what_is_told_of_a_program_and_kept_of_an_answer_has_an_end(take, answer):
    cells = [
        {"cell_type": "code", "source": answer + "\n\n\ndef linear_backward(a, b): return a" * 300},
        {"cell_type": "markdown", "source": "<b>" * 10**6, "metadata": {"task": "why"}},
    ]
    source = take(json.dumps({"cells": cells}), "ann.ipynb")
    assert [len(note) for note in source.notes] == [504] and "is defined 301 times" in source.notes[0]
    assert len(source.written["why"]) < 21_000 and source.written["why"].endswith("characters more in the file]")


# -- what is left out ------------------------------------------------------------------------------------------


def test_only_what_the_functions_need_is_kept_in_its_line(take, answer):
    extra = (
        "import os\nfrom minis2s import functional\nSIZE = 3; print(SIZE); plots = []\nscale: float = 1.0\n"
        "table = {}\ntable['one'] = scale\nlosses = [linear_forward(x) for x in range(10**9)]\n"
        "def helper(x):\n    return x * table['one']\n@helper\ndef unused():\n    pass\nplt.show();\n"
    )
    text = extra + answer.replace("dx = dy @ W.T", "dx = helper(dy @ W.T)")
    source = take(text)
    assert works(source) and not source.notes
    kept = source.text.split("\n")
    for line in ("scale: float = 1.0", "table['one'] = scale", "    return x * table['one']"):
        assert kept.index(line) == text.split("\n").index(line)
    for gone in ("import os", "minis2s", "print", "SIZE", "losses", "unused", "show"):
        assert gone not in source.text


def test_imports_of_minis2s_that_are_needed_are_left_out_and_told(take, answer):
    source = take("from minis2s import functional as F\n" + answer.replace("y = x @ W", "y = F.linear(x, W)"))
    assert "minis2s" not in source.text and source.notes == [
        "line 1 imports minis2s, which is not there where submissions are graded; it was left out"
    ]


UNUSUAL = {
    "star import": ("from numpy import *\n", "np.dot(x, W)"),
    "lambda": ("times = lambda a, b: a @ b\n", "times(x, W)"),
    "partial": ("import functools\ntimes = functools.partial(np.einsum, 'nd,do->no')\n", "times(x, W)"),
    "conditional": ("if True:\n    def times(a, b):\n        return a @ b\n", "times(x, W)"),
    "try": ("try:\n    import nonesuch\nexcept ImportError:\n    nonesuch = np\n", "nonesuch.matmul(x, W)"),
    "loop": ("ops = []\nfor _ in range(2):\n    ops.append(np.matmul)\n", "ops[1](x, W)"),
    "registry": ("ops = {}\ndef add(f):\n    ops['times'] = f\n    return f\n@add\ndef times(a, b):\n    return a @ b\n", "times(x, W)"),
    "globals": ("def times(a, b):\n    return a @ b\n", "globals()['times'](x, W)"),
    "class": ("class Times:\n    one = 1\n    def __call__(self, a, b):\n        return a @ b * self.one\nTimes.one = 1.0\n", "Times()(x, W)"),
    "future": ("from __future__ import annotations\ndef times(a: Array, b: Array) -> Array:\n    return a @ b\n", "times(x, W)"),
    "中文": ("def 相乘(甲, 乙):\n    return 甲 @ 乙\n", "相乘(x, W)"),
    "global": ("cache_size = 0\ndef times(a, b):\n    global cache_size\n    cache_size += 1\n    return a @ b\n", "times(x, W)"),
}  # fmt: skip


@pytest.mark.parametrize("way", UNUSUAL)
def test_unusual_ways_to_write_a_right_answer_survive(take, answer, way):
    before, product = UNUSUAL[way]
    source = take(("import numpy as np\n" * ("__future__" not in before) + before + answer).replace("y = x @ W", f"y = {product}"))
    assert works(source)
    assert [note for note in source.notes if not note.startswith("review: ")] == []


def test_magics_are_left_out_with_a_note_and_a_percent_sign_stays(take, answer, notebook):
    cells = (
        "%matplotlib inline\n!pip install evil\nfiles = !ls\nnp?\nimport numpy as np",
        "%%bash\nrm -rf /",
        "%%time\n" + answer,
        "get_ipython().system('ls')\nten = (101\n% 13)",
    )
    source = take(notebook(*cells), "ann.ipynb")
    assert works(source) and "system" not in source.text and "101" not in source.text
    assert source.notes == [
        "cell 1: lines for the shell or for Jupyter were left out",
        "cell 2 begins with %%bash and was left out",
    ]


@pytest.mark.parametrize("mark", ["# %%\n", "# In[2]:\n", ""])
def test_a_cell_that_is_not_python_takes_no_other_with_it(take, answer, notebook, mark):
    broken = "def linear_other(x:\n    return"
    if mark:
        source = take(f"{mark}{broken}\n{mark}{answer}")
    else:
        source = take(notebook(broken, answer), "ann.ipynb")
    assert works(source) and "is not right Python and was left out" in source.notes[0]
    assert ("line 2" if mark else "cell 1, line 1") in source.notes[0]


def test_mixed_tabs_and_blanks_are_read(take, answer):
    source = take(answer.replace("    ", " " * 8).replace("        return (y", "\treturn (y"))
    assert works(source) and "a tab was read as 8 blanks" in source.notes[0]


def test_a_hole_that_stands_below_the_answer_does_not_hide_it(take, answer, notebook):
    hole = 'def linear_backward(dy, cache):\n    """Returns."""\n    raise NotImplementedError("linear: write it")'
    below = take(notebook(answer, hole), "ann.ipynb")
    assert works(below) and below.notes == [
        "linear_backward: cell 2, line 1 holds no answer and was left out; the one before counts"
    ]
    assert works(take(notebook(hole, answer, answer), "ann.ipynb"))
    twice = take(notebook(answer.replace("x.T @ dy", "-x.T @ dy"), answer), "ann.ipynb")
    assert works(twice) and "is defined 2 times" in twice.notes[0] and "cell 2" in twice.notes[0]


def test_of_several_files_the_one_with_the_answers_is_graded(tmp_path, mini, answer):
    with zipfile.ZipFile(tmp_path / "ann.zip", "w") as archive:
        archive.writestr("a_first_try.py", "def linear_forward(x, W, b=None):\n    return x @ W, None\n")
        archive.writestr("linear_map.py", answer)
        archive.writestr("z_broken.py", "(")
        archive.writestr("test_it.py", "def test_it():\n    pass\n")
    source = extract(find(tmp_path)[0], mini)
    assert works(source) and source.file == "ann.zip/linear_map.py"
    assert source.notes == ["several files were handed in: ann.zip/linear_map.py was graded, not ann.zip/a_first_try.py"]


# -- written answers, lines, review ----------------------------------------------------------------------------


def test_written_answers_are_found_by_their_task_or_after_their_question(take, answer):
    question = {"cell_type": "markdown", "source": "Why is db a sum?"}
    code = {"cell_type": "code", "source": answer}
    mine = {"cell_type": "markdown", "source": "Because <b>all</b> rows share it."}
    empty = {"cell_type": "markdown", "source": "Write your answer here."}
    tagged = mine | {"metadata": {"task": "why", "tags": ["written-answer"]}}
    for cells in ([question, mine, code], [code, tagged], [question, empty, tagged, code]):
        source = take(json.dumps({"cells": cells}), "ann.ipynb")
        assert source.written == {"why": "Because <b>all</b> rows share it."}
    assert take(json.dumps({"cells": [question, empty, code]}), "ann.ipynb").written == {"why": ""}
    text = '# %% [markdown] task="why" tags=["written-answer"]\n# All rows\n# use it.\n\n# %%\n'
    assert take(text + answer).written == {"why": "All rows\nuse it."}


def test_a_line_of_the_program_leads_to_the_students_own(take, answer, notebook):
    source = take(notebook("import numpy as np", answer), "ann.ipynb")
    line = next(n for n, text in enumerate(source.text.split("\n"), 1) if "dx = dy" in text)
    own = next(n for n, text in enumerate(answer.split("\n"), 1) if "dx = dy" in text)
    assert source.place(line) == f"cell 2, line {own}"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("dx = dy @ (W + 1j).imag.T", "complex numbers"),
        ("dx = getattr(dy, 'im' + 'ag')", "uses getattr"),
        ("dx = dy.astype('c16')", "complex numbers (the text 'c16')"),
        ("dx = dy.astype('compl' 'ex128')", "complex numbers"),
        ("dx = np.fft.fft(dy)", "complex numbers (fft)"),
        ("dx = dy * (-1) ** 0.5", "root of a negative number"),
        ("dx = eval('dy')", "uses eval"),
        ("dx = dy.astype(np.longdouble)", "numbers of more digits (longdouble)"),
        ("dx = dy.astype('float128')", "numbers of more digits"),
        ("dx = (linear_forward(W, W)[0] - 1) / 1e-6", "lets linear_backward call linear_forward"),
        ("import ctypes; dx = dy", "imports ctypes"),
        ("dx = dy.__class__", "uses __class__"),
        ("d\u0445 = dy", "several alphabets"),
    ],
)
def test_a_teacher_is_told_of_lines_to_look_at(take, answer, line, says):
    source = take(answer.replace("dx = dy @ W.T", line))
    assert any(note.startswith("review: line ") and says in note for note in source.notes), source.notes


def test_an_honest_answer_gives_nothing_to_look_at(take, answer):
    assert take(answer).notes == []


def test_a_listing_never_moves_a_line():
    found = listing(b"# %%\nx = 1\n\n# %% [markdown]\n# text\n# %%\ny = 2\n", "a.py")
    assert [(part.start, part.stop, part.code) for part in found.parts] == [(0, 3, True), (3, 5, False), (5, 8, True)]
    with pytest.raises(UserError, match="null bytes"):
        listing(b"\0", "a.py")
