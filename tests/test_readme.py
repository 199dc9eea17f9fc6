"""The README keeps its promises: its Python runs, its commands parse, its files and options exist."""

import re
import shlex
from pathlib import Path

import pytest

import minis2s
from minis2s.cli import parse
from minis2s.errors import UserError

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str = "") -> list[str]:
    """The fenced blocks of a language."""
    fenced = README.split("```")[1::2]
    return [code for first, _, code in (block.partition("\n") for block in fenced) if first == language]


def test_the_python_example_runs(tmp_path, monkeypatch, capsys):
    _, _, code = blocks("python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    # the same on less data
    for long, short in (
        ('"reverse"', '"reverse", size=100'),
        ("hidden=128", "hidden=8"),
        ("epochs=4", "epochs=1"),
    ):
        assert code.count(long) == 1
        code = code.replace(long, short)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("exactly right: ") and len(lines) == 3


def test_the_gradient_checks_run(capsys, monkeypatch):
    """Every line in its order, with nothing that the block does not define itself."""
    code, _, _ = blocks("python")
    check, reports = minis2s.gradcheck, []

    def recorded(*args, **options):
        reports.append(check(*args, **options))
        return reports[-1]

    monkeypatch.setattr(minis2s, "gradcheck", recorded)
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("True None None")
    assert len(reports) == code.count("= gradcheck(") == 4 and all(report.ok for report in reports)


def test_a_step_can_be_seen(tmp_path, monkeypatch, capsys):
    _, code, _ = blocks("python")
    for long, short in (("size=4000", "size=100"), ("epochs=8", "epochs=1")):
        assert code.count(long) == 1
        code = code.replace(long, short)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[-3:]] == [
        "loss as it is", "without attention", "the encoder's forget gates shut at step 2",
    ]  # fmt: skip
    assert len({line.split(":")[1] for line in lines[-3:]}) == 3
    assert 100_000 < (tmp_path / "step.html").stat().st_size < 300_000


def test_the_keys_of_the_viewer_are_those_named():
    keys = (ROOT / "minis2s" / "trace" / "viewer.js").read_text(encoding="utf-8")
    for key in re.findall(r"`([a-z])` (?:jumps|switches)", README):
        assert re.search(rf'\b{key}: |"{key}"', keys), key


def test_the_number_of_planted_bugs_is_right():
    from minis2s.gradcheck.mutants import MUTANTS

    numbers = re.findall(r"(\d+) bugs", README)
    assert len(numbers) == 2 and set(numbers) == {str(len(MUTANTS))}


def commands() -> list[str]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    parts = [part.strip() for line in lines for part in line.split("#")[0].split("&&")]
    return [part for part in parts if re.match(r"(\.venv/bin/)?minis2s ", part)]


def test_commands_are_found():
    assert len(commands()) >= 12


@pytest.mark.parametrize("command", commands())
def test_a_command_is_understood(command):
    args = parse(shlex.split(command)[1:])
    assert callable(args.run)


@pytest.mark.parametrize("option", sorted(set(re.findall(r"`(--[a-z-]+)[^`]*`", README))))
def test_an_option_that_is_named_exists(option):
    from contextlib import redirect_stdout
    from io import StringIO

    out = StringIO()
    for command in ("train", "translate", "evaluate", "gradcheck", "mutate", "lessons"):
        with redirect_stdout(out), pytest.raises(SystemExit):
            parse([command, "--help"])
    assert option in out.getvalue() or option == "--help"


def test_a_misspelt_option_would_be_noticed():
    with pytest.raises(UserError):
        parse(["train", "--hiden", "3"])


@pytest.mark.parametrize("path", re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", README))
def test_a_linked_file_exists(path):
    assert (ROOT / path).exists()


@pytest.mark.parametrize("name", re.findall(r"^  ([a-z_]+(?:/|\.py))  ", README, re.MULTILINE))
def test_the_layout_names_what_there_is(name):
    assert (ROOT / "minis2s" / name).exists()


def test_the_layout_leaves_nothing_out():
    parts = {
        p.name for p in (ROOT / "minis2s").iterdir() if not p.name.startswith("_") and p.name != "errors.py"
    }
    (layout,) = [block for block in blocks() if "functional/" in block]
    assert {part for part in parts if part not in layout} == set()
