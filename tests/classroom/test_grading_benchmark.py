"""The benchmark of grading: it counts what it says. The figures themselves are nobody's business here."""

from types import SimpleNamespace

import pytest


def result(score: int, outcome: str) -> dict:
    check = {"check": "gradients", "outcome": outcome, "reason": "dx is wrong"}
    return {"status": "graded", "score": score, "points": 24, "tasks": [{"checks": [check]}], "reason": ""}


def test_what_is_counted(load, capsys, monkeypatch):
    grading = load("grading")
    solutions = grading.load("lstm_solutions")
    results = [result(24, "right"), result(23, "wrong")]
    some = SimpleNamespace(right=lambda: solutions.right()[:2], wrong=lambda: solutions.wrong()[:2])
    monkeypatch.setattr(grading, "load", lambda name: some)
    monkeypatch.setattr(grading, "graded", lambda solutions, jobs: (results, 1.0))
    found = grading.right(2)
    assert found["answers"] == 2
    assert found["lost"] == {some.right()[1].name: "gradients (wrong: dx is wrong)"}
    assert grading.wrong(2)["won"] == [some.wrong()[0].name]
    assert "that get full marks: 1" in capsys.readouterr().out


def test_an_unknown_part_is_refused(load, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["grading.py", "rihgt"])
    with pytest.raises(SystemExit, match="2"):
        load("grading").main()
    assert "there is no part 'rihgt': choose from right, wrong" in capsys.readouterr().err
