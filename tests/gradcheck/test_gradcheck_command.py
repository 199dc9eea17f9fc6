"""`minis2s gradcheck`, from the outside: what it finds in a file, what it says, what it writes."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from minis2s import __version__
from minis2s.cli import main
from minis2s.gradcheck.kinds import KINDS

TANH = """
import numpy as np
def tanh_forward(z):
    a = np.tanh(z)
    return a, a
def tanh_backward(da, a):
    return da * (1 - a**2)
"""
WRONG_TANH = TANH.replace("1 - a**2", "1 - a")
LINEAR = """
def linear_forward(x, W, b):
    return x @ W + b, (x, W)
def linear_backward(dout, cache):
    x, W = cache
    rows = dout.reshape(-1, dout.shape[-1])
    return dout @ W.T, x.reshape(-1, x.shape[-1]).T @ rows, rows.sum(axis=0)
"""
PLAIN = TANH.replace("tanh_", "")
BUSY = "while open('ready', 'w'): pass"
SCRIPT = 'put that below if __name__ == "__main__":'


class Result(NamedTuple):
    code: int
    out: str
    err: str


def run(*argv) -> Result:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["gradcheck", *map(str, argv)])
    return Result(code, out.getvalue(), err.getvalue())


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text: str, name: str = "hw.py") -> str:
    Path(name).write_bytes(text.encode("utf-8"))
    return name


def refused(said: str, *argv) -> str:
    """The command ends with 2 and one sentence, in which `said` stands."""
    code, out, err = run(*argv)
    last = err.splitlines()[-1]
    assert (code, out) == (2, ""), err
    assert last.startswith("minis2s: error: ") and said in last and "Traceback" not in err, last
    return err


# -- what is right and what is wrong -----------------------------------------------------------------


def test_a_right_file():
    code, out, err = run(write(TANH))
    assert (code, err) == (0, "")
    assert out.startswith("tanh: right: the only gradient agrees")


def test_a_wrong_file():
    code, out, _ = run(write(WRONG_TANH))
    assert code == 1
    assert out.startswith("tanh: wrong") and "why:" in out and "line:" in out and "1 - a ** 2" in out


def test_several_kinds_in_a_file():
    code, out, err = run(write(WRONG_TANH + LINEAR))
    assert (code, err) == (1, "")
    assert out.startswith("tanh: wrong") and "\n\nlinear: right: all 3" in out
    assert run("hw.py:linear").code == 0
    assert run("hw.py", "--name", "linear").out.count("measured with") == 1
    assert run("hw.py", "--kind", "linear").out.startswith("linear: right")


def test_what_cannot_be_judged_is_not_right():
    assert (
        run(
            write(
                "def tanh_forward(z):\n    return 0 * z, None\ndef tanh_backward(da, c):\n    return 0 * da\n"
            )
        ).code
        == 1
    )


@pytest.mark.parametrize("level", range(4))
def test_hint_levels(level):
    out = run(write(WRONG_TANH), "--hint", level, "--html", "page.html", "--json", "r.json").out
    assert [word in out for word in ("where:", "why:", "line:")] == [level >= n for n in (1, 2, 3)]
    (report,) = json.loads(Path("r.json").read_text())
    assert len(report["hints"]) == level
    assert Path("page.html").read_text(encoding="utf-8").count("<details") == level


def test_json_and_html():
    assert run(write(WRONG_TANH + LINEAR), "--json", "r.json", "--html", "page.html").code == 1
    reports = json.loads(Path("r.json").read_text(encoding="utf-8"))
    assert [(r["name"], r["kind"], r["ok"]) for r in reports] == [
        ("tanh", "tanh", False),
        ("linear", "linear", True),
    ]
    assert reports[0]["blocks"][0]["name"] == "z" and reports[0]["causes"][0]["confidence"] == "certain"
    page = Path("page.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") and page.count("<h2>") == 2 and page.count("<style>") == 1
    assert {p.name for p in Path().iterdir()} == {"hw.py", "r.json", "page.html"}


def test_json_has_what_a_grader_needs():
    assert run(write(TANH), "--json", "r.json", "--hint", "1", "--seed", "5").code == 0
    (found,) = json.loads(Path("r.json").read_text(encoding="utf-8"))
    assert (found["hint"], found["seed"], found["forward"], found["ok"]) == (1, 5, "right", True)
    assert found["minis2s"] == __version__ and "error" not in found


def test_a_forward_of_another_kind_is_not_right():
    code, out, _ = run(write(TANH.replace("a = np.tanh(z)", "a = np.tanh(z) * 1.5")
                             .replace("1 - a**2", "1.5 - a**2 / 1.5")), "--json", "r.json")  # fmt: skip
    assert code == 1
    assert out.startswith("tanh: forward differs from a tanh as stated; backward, judged against your own")
    (found,) = json.loads(Path("r.json").read_text(encoding="utf-8"))
    assert (found["ok"], found["forward"]) == (True, "differs")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def tanh_forward(z:\n", "is not right Python: line 1"),
        ("import no_such_module\n", "No module named"),
        ("1 / 0\n", "ZeroDivisionError at line 1"),
        ("import sys\nsys.exit(0)\n", "ends the program"),
        ("raise ValueError('\\ud800')\n", "ValueError at line 1"),
        ("x = 1\n", "nothing to check was found"),
        (None, "there is no such file"),
    ],
)
def test_a_file_that_cannot_be_checked_has_a_json_too(text, said):
    if text is not None:
        write(text)
    refused(said, "hw.py", "--json", "r.json", "--hint", "0", "--kind", "tanh")
    (found,) = json.loads(Path("r.json").read_text(encoding="utf-8"))
    assert said in found["error"] and found["ok"] is False and found["verdict"] == "cannot tell"
    assert (found["name"], found["kind"], found["hint"], found["blocks"]) == ("hw", "tanh", 0, [])


def test_reports_before_an_error_are_kept():
    code, _, err = run(
        write(TANH + "def linear_forward(): pass\ndef linear_backward(): pass\n"), "--json", "r.json"
    )
    assert code == 2 and "takes (x, W, b)" in err
    first, second = json.loads(Path("r.json").read_text(encoding="utf-8"))
    assert first["name"] == "tanh" and first["ok"] and "takes (x, W, b)" in second["error"]


def test_a_result_that_cannot_be_written():
    write(TANH)
    for option in ("--json", "--html"):
        code, _, err = run("hw.py", option, "nowhere/r")
        assert code == 2 and "cannot write nowhere" in err and "folder does not exist" in err
        refused("is the file to be checked", "hw.py", option, "hw.py")
    assert Path("hw.py").read_text() == TANH


def test_options_reach_the_check():
    out = run(write(TANH), "--fast", "--seed", "3").out
    assert "one random direction for each" in out
    assert run("hw.py", "--seed", "3", "--fast").out.split(" in ")[0] == out.split(" in ")[0]
    assert run("hw.py", "--seed", "4", "--fast").out.splitlines()[2] != out.splitlines()[2]
    loop = write("def tanh_forward(z):\n    while True: pass\ndef tanh_backward(a, b): pass\n", "loop.py")
    code, out, _ = run(loop, "--seconds", "0.2")
    assert code == 1 and "too slow" in out


LSTM = """
from minis2s.functional import OPS
import numpy as np
def swapped(a):  # i, f, o, g <-> i, f, g, o
    i, f, third, fourth = np.split(a, 4, axis=-1)
    return np.concatenate([i, f, fourth, third], axis=-1)
def lstm_forward(x, h0, c0, Wx, Wh, b):
    return OPS["lstm"].forward(x, h0, c0, swapped(Wx), swapped(Wh), swapped(b))
def lstm_backward(dout, cache):
    dx, dh0, dc0, dWx, dWh, db = OPS["lstm"].backward(dout, cache)
    return dx, dh0, dc0, swapped(dWx), swapped(dWh), swapped(db)
"""
GRU = """
from minis2s.functional import OPS
op = OPS["gru"]
def gru_forward(x, h0, Wx, Wh, bx, bh, mask=None):
    return op.forward(x, h0, Wx, Wh, bx, bh, mask, False)
def gru_backward(dout, cache):
    return op.backward(dout, cache)
"""


def test_the_order_of_the_gates():
    assert "stated is i, f, o, g" in run(write(LSTM)).out
    assert "stated is" not in run("hw.py", "--gates", "ifgo").out
    refused(
        "--gates ifxo does not fit the gates of what is checked: ifog in any order",
        "hw.py",
        "--gates",
        "ifxo",
    )
    write(LSTM + TANH)
    assert run("hw.py", "--gates", "ifgo", "--fast").code == 0  # and not for tanh


def test_the_reset_gate():
    assert "stated is the other form" in run(write(GRU)).out
    assert "stated is" not in run("hw.py", "--reset-before").out
    refused("--reset-before is for a gru", write(TANH, "t.py"), "--reset-before")


# -- what is found in a file -------------------------------------------------------------------------


def test_plain_names_and_a_kind():
    assert run(write(PLAIN), "--kind", "tanh").out.startswith("tanh: right")
    assert run("hw.py:forward", "--kind", "tanh").code == 0
    refused("what kind of operation are forward and backward? Say --kind", "hw.py")


def test_names_of_its_own_and_a_kind():
    write(TANH.replace("tanh_", "my_tanh_"))
    for argv in (["hw.py"], ["hw.py:my_tanh"], ["hw.py:my_tanh_backward"]):
        assert run(*argv, "--kind", "tanh").out.startswith("my_tanh (tanh): right")
        refused("are my_tanh_forward and my_tanh_backward? Say --kind KIND; did you mean tanh?", *argv)


def test_aliases_and_capital_letters():
    assert run(write(TANH.replace("tanh_", "Tanh_"))).code == 0
    assert run(write(PLAIN), "--kind", "TANH").code == 0
    assert "forward does not compute what a masked_softmax" in run(write(PLAIN), "--kind", "softmax").out


def test_ops_pairs_and_layers():
    write(
        "from minis2s.op import Op\nfrom minis2s import nn\nimport numpy as np\n"
        + PLAIN
        + "op = Op('tanh', forward, backward)\npair = (forward, backward)\n"
        "layer = nn.Linear(3, 2, rng=np.random.default_rng(0))\nnumber = 3\n"
    )
    assert run("hw.py").out.startswith("tanh: right")
    assert run("hw.py:op").out.startswith("tanh: right")
    assert run("hw.py:pair", "--kind", "tanh").out.startswith("pair (tanh): right")
    assert run("hw.py:layer").out.startswith("Linear: right")
    refused("number is a int: expected an Op", "hw.py:number")
    refused("layr", "hw.py:layr")


def test_an_op_of_the_same_functions_is_checked_once():
    write("from minis2s.op import Op\n" + TANH + "op = Op('tanh', tanh_forward, tanh_backward)\n")
    assert run("hw.py").out.count("measured with") == 1


def test_only_its_own_functions_are_checked():
    write("from minis2s.functional.linear import linear_forward, linear_backward\n" + TANH)
    assert run("hw.py").out.count("measured with") == 1
    write(
        "from minis2s.functional.activations import *\nfrom minis2s.functional.linear import linear_forward\n"
        + LINEAR
    )
    assert run("hw.py").out.startswith("linear: right")


def test_helpers_are_said_and_left_alone():
    write(TANH + "def scale_forward(x): pass\ndef scale_backward(d): pass\ndef gru_forward(x): pass\n")
    code, out, err = run("hw.py")
    assert code == 0 and out.count("measured with") == 1
    assert "note: scale is not checked" in err and "note: gru_forward is not checked" in err


def test_several_candidates():
    write(
        PLAIN.replace("forward", "a_forward").replace("backward", "a_backward")
        + "b_forward = a_forward\nb_backward = a_backward\n"
    )
    refused("has several pairs: a, b; choose one with --name", "hw.py", "--kind", "tanh")
    refused("name two things", "hw.py:a", "--name", "b")
    assert run("hw.py:a", "--kind", "tanh").code == 0


def test_nothing_to_check():
    refused(
        "looked for functions KIND_forward and KIND_backward (as lstm_forward), or an Op", write("x = 1\n")
    )
    refused("looked for functions gru_forward and gru_backward; it has tanh", write(TANH), "--kind", "gru")
    write("class LSTM:\n    def forward(self, x): pass\n    def backward(self, d): pass\n")
    refused("the methods of the class LSTM are not functions", "hw.py")
    refused("LSTM is a class", "hw.py:LSTM")


def test_only_one_half():
    refused("there is lstm_forward but no lstm_backward", write("def lstm_forward(x): pass\n"))
    refused("there is lstm_backward but no lstm_forward", write("def lstm_backward(x): pass\n"))
    refused("there is forward but no backward", write("def forward(x): pass\n"), "--kind", "lstm")
    write("def lstm_forward(x): pass\ndef lstm_bakward(x): pass\n")
    refused("there is lstm_forward but no lstm_backward; is it lstm_bakward, misspelt?", "hw.py")
    refused("there is lstm_forward but no lstm_backward", "hw.py:lstm")
    refused("has neither lst nor lst_forward and lst_backward; did you mean lstm", "hw.py:lst")


def test_a_kind_that_there_is_not():
    refused(
        "unknown kind 'lsmt'; did you mean lstm? (see minis2s gradcheck --list)",
        write(TANH),
        "--kind",
        "lsmt",
    )


def test_a_wrong_number_of_arguments():
    refused("tanh: a forward function of kind 'tanh' takes (z)", write(TANH.replace("(z)", "()")))


def test_the_list_of_kinds():
    code, out, err = run("--list")
    assert (code, err) == (0, "")
    assert [line for line in out.splitlines() if not line.startswith(" ")] == list(KINDS)
    assert "tanh_forward(z (T, B, D)) -> (a (T, B, D), cache)" in out
    assert "lstm_backward((dhs, dh_last, dc_last), cache) -> (dx, dh0, dc0, dWx, dWh, db)" in out
    assert "embedding_forward(W (V, E), ids) -> " in out and "b (G)[, mask])" in out


def test_help_and_bad_options():
    code, out, _ = run("--help")
    assert code == 0 and out.startswith("usage: minis2s gradcheck") and "--reset-before" in out
    refused("give a FILE.py")
    refused("argument --hint", write(TANH), "--hint", "4")
    refused("argument --seconds", "hw.py", "--seconds", "0")
    refused("unknown option --hnt; did you mean --hint?", "hw.py", "--hnt", "1")


# -- files that cannot be imported -------------------------------------------------------------------


def test_no_file():
    refused("cannot read no.py: there is no such file", "no.py")
    Path("folder.py").mkdir()
    refused("that is a folder", "folder.py")
    refused("that is a folder", ".")


def test_no_python():
    refused("x.ipynb is a notebook", write("{}", "x.ipynb"))
    refused("x.txt is no Python file: its name must end in .py", write(TANH, "x.txt"))
    Path("null.py").write_bytes(b"x = 1\0")
    refused("is no Python text", "null.py")
    Path("wide.py").write_bytes("x = 1\n".encode("utf-16"))
    refused("is no Python text", "wide.py")
    Path("latin.py").write_bytes("x = 1\ny = 'größer'\n".encode("latin-1"))
    refused("latin.py, line 2: not UTF-8 text (byte 0xf6): save the file again as UTF-8", "latin.py")


@pytest.mark.parametrize("line", [1, 4])
def test_a_comment_that_is_not_utf_8(line):
    """`compile` would let it pass."""
    lines = LINEAR.splitlines()
    lines.insert(line - 1, "# größer")
    Path("latin.py").write_bytes("\n".join(lines).encode("latin-1"))
    refused(f"latin.py, line {line}: not UTF-8 text (byte 0xf6)", "latin.py")
    Path("latin.py").write_bytes("\n".join(["# -*- coding: latin-1 -*-", *lines]).encode("latin-1"))
    assert run("latin.py").code == 0  # it says what it is
    Path("latin.py").write_bytes(b"# -*- coding: klingon -*-\n")
    refused("latin.py is not right Python: unknown encoding: klingon", "latin.py")


def test_a_function_with_its_own_backward_is_for_python():
    said = "a function f(x, W) -> (y, backward) is checked in Python: gradcheck(product, x, W)"
    refused(said, write("def product(x, W):\n    return x @ W, lambda d: (d @ W.T, x.T @ d)\n"))
    assert said not in refused(
        "there is tanh_forward but no tanh_backward", write(TANH.split("def tanh_b")[0])
    )


def test_a_syntax_error():
    refused(
        "hw.py is not right Python: line 2: '(' was never closed: y = (x @ W", write("x = 1\ny = (x @ W\n")
    )
    refused("line 1: Missing parentheses in call to 'print'", write("print 'x'\n"))
    refused("line 2: unexpected indent: y = 2", write("x = 1\n  y = 2\n"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import numpy\nx = np.zeros(3)\n", "NameError at line 2 (x = np.zeros(3)): name 'np' is not"),
        ("import no_such_thing\n", "ModuleNotFoundError at line 1 (import no_such_thing): No module named"),
        ("raise ValueError\n", "ValueError at line 1 (raise ValueError): no message"),
        ("import json\njson.loads('{')\n", "JSONDecodeError at line 2 (json.loads('{'))"),
        ("def f(): f()\nf()\n", "RecursionError at line 1"),
        ("class E(Exception):\n    def __str__(self): 1/0\nraise E\n", "E at line 3 (raise E): no message"),
        ("import sys\nsys.exit(0)\n", f"(sys.exit) when it is imported at line 2 (sys.exit(0)): {SCRIPT}"),
        ("import os\nraise SystemExit\n", "ends the program"),
        ("name = input('name? ')\n", "asks for input when it is imported at line 1 (name = input("),
        ("from argparse import *\np = ArgumentParser()\np.add_argument('x')\np.parse_args()\n", "ends the"),
        ("raise BaseException('x')\n", "BaseException at line 1"),
    ],
)  # fmt: skip
def test_an_exception_while_importing(text, said):
    refused(said, write(text))


def test_an_import_that_never_ends():
    refused(
        "hw.py is not imported after 0.2 seconds at line 1 (while True: pass)",
        write("while True: pass\n"),
        "--seconds",
        "0.2",
    )


def test_a_neighbour():
    write("import numpy as np\ndef f(z): return np.tanh(z)\n", "a_neighbour.py")
    path = list(sys.path)
    assert (
        run(
            write(TANH.replace("import numpy as np", "import a_neighbour as np").replace("np.tanh", "np.f"))
        ).code
        == 0
    )
    write("x = (\n", "broken_neighbour.py")
    refused(
        "hw.py cannot be imported at line 1 (import broken_neighbour): broken_neighbour.py is not right",
        write("import broken_neighbour\n"),
    )
    write("\nx = y\n", "failing_neighbour.py")
    refused("NameError at line 2 of failing_neighbour.py (x = y)", write("import failing_neighbour\n"))
    assert sys.path == path


def test_lazy_imports_of_neighbours():
    write("import numpy as np\ntanh = np.tanh\n", "lazy_neighbour.py")
    assert (
        run(
            write(TANH.replace("a = np.tanh(z)", "import lazy_neighbour\n    a = lazy_neighbour.tanh(z)"))
        ).code
        == 0
    )


def test_prints_of_the_file_are_not_on_stdout():
    code, out, err = run(
        write("print('hello', flush=True)\n" + TANH + "if __name__ == '__main__': print('script')\n")
    )
    assert code == 0 and err == "hello\n" and out.startswith("tanh: right")


def test_figures_are_not_shown():
    text = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\n" + TANH
    code, out, err = run(write(text))
    assert code == 0 and out.startswith("tanh: right")
    assert "note: hw.py draws figures when it is imported; they are not shown" in err


def test_the_world_is_as_before():
    before = (dict(os.environ), list(sys.path), list(sys.argv), sys.stdin, os.getcwd())
    write(
        "import os, sys\nos.chdir('/')\nos.environ['X_Y'] = '1'\nsys.argv.append('x')\nsys.path.append('x')\n"
        + TANH
    )
    assert run("hw.py", "--json", "r.json").code == 0
    assert (dict(os.environ), list(sys.path), list(sys.argv), sys.stdin, os.getcwd()) == before
    assert Path("r.json").exists() and "__student__" not in sys.modules


def test_a_dataclass_for_a_cache():
    text = (
        TANH.replace("return a, a", "return a, Cache(a)")
        .replace("(da, a)", "(da, c)")
        .replace("a**2", "c.a**2")
    )
    head = "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    head += "@dataclass\nclass Cache:\n    a: list\n"
    assert run(write(head + text)).code == 0


def test_scripts_of_the_world(folder):
    strange = folder / "Hausaufgabe größer 大"
    strange.mkdir()
    file = strange / "lösung ü.py"
    for text in (TANH, "\ufeff" + TANH, TANH.replace("\n", "\r\n"), "# größer 大 🙂\n" + TANH):
        file.write_bytes(text.encode("utf-8"))
        assert run(file).code == 0
        assert run(f"{file}:tanh").code == 0
    file.write_bytes("# -*- coding: latin-1 -*-\n# größer\n".encode("latin-1") + TANH.encode())
    assert run(file, "--html", strange / "ü.html").code == 0
    file.write_bytes("\ufeff\r\n\r\nx = größe\r\n".encode())
    refused("NameError at line 3 (x = größe): name 'größe' is not defined", file)


def test_a_function_that_misbehaves_is_reported_not_raised():
    code, out, _ = run(write(TANH.replace("return da", "import sys; sys.exit(3); return da")))
    assert code == 1 and "backward ends the program" in out
    code, out, _ = run(write(TANH.replace("return da", "input(); return da")))
    assert code == 1 and "EOFError" in out
    code, out, err = run(write(TANH.replace("return da", "print('here'); return da")))
    assert code == 0 and "it prints" in out and "here" not in err


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
@pytest.mark.parametrize("text", [f"{BUSY}\n", TANH.replace("return da", f"{BUSY}\n    return da")])
def test_ctrl_c(text):
    write(text)
    child = subprocess.Popen(
        [sys.executable, "-m", "minis2s", "gradcheck", "hw.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    while not Path("ready").exists() and child.poll() is None:
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=30)
    assert (child.returncode, out, err) == (130, "", "minis2s: interrupted\n")
