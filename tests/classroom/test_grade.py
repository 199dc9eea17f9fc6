"""Grading: marks, outcomes and diagnoses of single programs, and a class that is graded, stopped and graded again."""

import csv
import json
import os
import signal
import time

import pytest

from minis2s.classroom import batch, marking
from minis2s.classroom.batch import grade_class
from minis2s.classroom.box import RLIMITS, available_layers
from minis2s.classroom.checks import Raised, TooSlow, Wrong, quick, run_check
from minis2s.classroom.grade import Rules, grade
from minis2s.classroom.intake import find
from minis2s.classroom.results import is_done
from minis2s.classroom.source import assignments, empty, read_assignment, solution
from minis2s.errors import UserError
from minis2s.gradcheck import gradcheck

RULES = Rules(available_layers(), seconds=0.7)


@pytest.fixture
def marked(tmp_path, mini):
    """marked(text): the record of a submission with this program."""

    def result(text: str, rules: Rules = RULES) -> dict:
        folder = tmp_path / "class"
        folder.mkdir(exist_ok=True)
        (folder / "ann.py").write_text(text, encoding="utf-8")
        return json.loads(json.dumps(grade(find(folder)[0], mini, rules)[0], allow_nan=False))

    return result


def outcomes(result: dict) -> list[str]:
    return [check["outcome"] for task in result["tasks"] for check in task["checks"]]


# -- one program ---------------------------------------------------------------------------------------------


def test_the_solution_gets_all_points_and_the_empty_copy_none(marked, answer, mini):
    right = marked(answer)
    assert (right["status"], right["score"], right["points"], right["notes"]) == ("graded", 4, 4, [])
    assert right["tasks"][0]["diagnosis"] is None and right["layers"] == available_layers().names
    assert right["written"] == [{"task": "why", "points": 2, "answer": ""}]
    nothing = marked(empty(mini))
    assert nothing["score"] == 0 and outcomes(nothing) == ["not written", "not written"]
    assert nothing["tasks"][0]["diagnosis"] is None


def test_each_check_has_a_seed_of_its_own_that_repeats_what_it_saw(marked, wrong, mini):
    results = [marked(wrong), marked(wrong)]
    seeds = [check["seed"] for result in results for check in result["tasks"][0]["checks"]]
    assert len(set(seeds)) == 4
    check = results[0]["tasks"][0]["checks"][1]
    module: dict = {}
    exec(wrong.replace("from minis2s", "# from minis2s"), module)
    local = {name: module[name] for name in ("linear_forward", "linear_backward")}
    assert run_check(mini.tasks[0].checks[1], local, check["seed"]).reason == check["reason"]


def test_place_and_cause_are_those_of_the_checkers_own_table(marked, wrong):
    diagnosis = marked(wrong)["tasks"][0]["diagnosis"]
    module: dict = {}
    exec(wrong.replace("from minis2s", "# from minis2s"), module)
    report = gradcheck((module["linear_forward"], module["linear_backward"]), kind="linear", hint=2)
    assert diagnosis["place"]["says"] == str(report.place) == "dW"
    assert diagnosis["cause"] == report.cause.cause == "sign"
    assert diagnosis["hints"] == report.hints()
    assert {block["name"]: block["ok"] for block in diagnosis["blocks"]} == {"x": True, "W": False, "b": True}


@pytest.mark.parametrize("hint", range(4))
def test_the_student_is_told_as_much_as_the_hint_level_allows(marked, wrong, hint):
    diagnosis = marked(wrong, RULES._replace(hint=hint))["tasks"][0]["diagnosis"]
    assert len(diagnosis["hints"]) == hint and diagnosis["hint"] == hint
    assert ("where:" in diagnosis["text"], "why:" in diagnosis["text"]) == (hint >= 1, hint >= 2)


HOSTILE = {
    "it ends the program": ("dx = sys.exit(0)", ["right", "raised"]),
    "it ends the process": ("dx = os._exit(0)", ["right", "died"]),
    "it kills its process": ("os.kill(os.getpid(), 9); os._exit(1)", ["right", "died"]),
    "it never ends": ("while True: pass", ["right", "timeout"]),
    "it sleeps": ("import time; time.sleep(1000)", ["right", "timeout"]),
    "it raises": ("raise ValueError('<b>hidden: ' + str(dy))", ["right", "raised"]),
    "it prints": ("print('\\x1b[31m' * 10**6); dx = dy @ W.T", ["right", "right"]),
    "it returns an object": ("return object()", ["right", "nonsense"]),
    "it returns empty arrays": ("return np.zeros(0), np.zeros(0), np.zeros(0)", ["right", "wrong"]),
    "it returns nan": ("dx = dy @ W.T * np.nan", ["right", "wrong"]),
    "it takes all memory": ("dx = np.ones(10**11)", ["right", "memory"]),
}


@pytest.mark.parametrize("way", HOSTILE)
def test_whatever_a_program_does_there_is_a_record(marked, answer, way):
    line, expected = HOSTILE[way]
    result = marked("import os, sys\n" + answer.replace("dx = dy @ W.T", line))
    assert outcomes(result) == expected and result["status"] == "graded"
    assert "hidden" not in json.dumps([task["checks"] for task in result["tasks"]]).replace('"hidden"', "")


def test_an_error_is_told_with_the_students_own_line_and_nothing_of_its_text(marked, answer, notebook):
    text = answer.replace("dx = dy @ W.T", "raise ValueError('secret')")
    line = next(n for n, row in enumerate(text.split("\n"), 1) if "secret" in row)
    result = marked(notebook("import numpy as np", text))
    assert result["tasks"][0]["checks"][1]["reason"] == f"linear_backward raised ValueError at cell 2, line {line}"
    assert f"at cell 2, line {line}" in result["tasks"][0]["diagnosis"]["text"]
    assert "secret" not in json.dumps(result)


def test_a_program_that_cannot_be_loaded_is_told_so(marked, answer):
    result = marked(answer + "\ncount = 0\nwhile True:\n    count += linear_forward is None\n")
    assert result["score"] == 4  # nothing needs `count`: the loop is not run
    result = marked("import nonesuch\n" + answer.replace("y = x @ W", "y = nonesuch.times(x, W)"))
    assert result["notes"][-1] == "line 1 raised ModuleNotFoundError when the program was loaded"
    assert outcomes(result) == ["raised", "raised"]
    result = marked("size = 0\nwhile size < 1:\n    size += 0\n" + answer.replace("y = x @ W", "y = x @ W + size"))
    assert outcomes(result) == ["timeout", "timeout"] and result["tasks"][0]["diagnosis"] is None


COMPLEX = """
def linear_backward(dy, cache):
    def slope(n, k):
        given = [a.astype(complex) for a in cache]
        given[n].ravel()[k] += 1e-30j
        return np.vdot(dy, (given[0] @ given[1] + given[2])).imag / 1e-30
    return tuple(np.array([slope(n, k) for k in range(a.size)]).reshape(a.shape) for n, a in enumerate(cache))
"""
SMALL = COMPLEX.replace("    def slope", "    if cache[1].size > 100:\n        {}\n    def slope")


@pytest.mark.parametrize(
    ("cheat", "outcome"),
    [
        (COMPLEX, "too slow"),
        (SMALL.format("raise ValueError"), "raised"),
        (SMALL.format("return tuple(np.zeros_like(a) for a in cache)"), "wrong"),
    ],
    ids=["complex steps", "not for large inputs", "zeros for large inputs"],
)
def test_gradients_exact_to_the_last_digit_without_calculus_get_no_marks(marked, answer, cheat, outcome, monkeypatch):
    monkeypatch.setattr(marking, "PROCESSOR", 0.5)
    result = marked(answer + cheat)
    assert result["score"] <= 1 and outcomes(result)[1] == outcome
    assert any(note.startswith("review: ") and "complex" in note for note in result["notes"])


DISGUISED = COMPLEX + """
def disguised(function):
    function.__signature__ = inspect.Signature([inspect.Parameter("x", inspect.Parameter.{})])
    return function


{} = disguised({})
"""
# a public check is failed on purpose, for the sake of what is said of the others
FAILED = """
own_forward = linear_forward


def linear_forward(x, W, b=None):
    y, cache = own_forward(x, W, b)
    return (y[0] if np.shape(x) == (2, 3) else y), cache
"""
WATCHED = "if sys._getframe(1).f_locals['request']['watch']:\n        return (np.zeros(3),) * 3"


@pytest.mark.parametrize(
    ("cheat", "outcome"),
    [
        (DISGUISED.format("POSITIONAL_ONLY", "linear_forward", "linear_forward"), "too slow"),
        (DISGUISED.format("KEYWORD_ONLY", "linear_backward", "linear_backward"), "too slow"),
        (SMALL.format("raise ValueError") + FAILED, "raised"),
        (COMPLEX.replace("    def slope", f"    {WATCHED}\n    def slope") + FAILED, "wrong"),
    ],
    ids=["forward takes less", "backward takes more", "not for large inputs", "wrong gradients for the checker"],
)
def test_what_a_program_says_of_itself_keeps_no_marks_for_such_gradients(marked, answer, cheat, outcome):
    result = marked("import inspect, sys\n" + answer + cheat)
    assert result["score"] <= 1 and outcomes(result)[1] == outcome


BUSY = """
import time
own_backward = linear_backward


def linear_backward(dy, cache):
    end = time.process_time() + (1.5 if np.size(dy) > 100 else 0)
    while time.process_time() < end:
        pass
    return own_backward(dy, cache)
"""


def test_what_was_prepared_in_an_earlier_call_counts_as_time_too(marked, answer, monkeypatch):
    monkeypatch.setattr(marking, "PROCESSOR", 1.0)  # and up to a second more, for the limit is in whole seconds
    assert outcomes(marked(answer + BUSY)) == ["right", "too slow"]  # each call alone has less than two


KEPT = """
last = {}
own_forward, own_backward = linear_forward, linear_backward


def linear_forward(x, W, b=None):
    y, last["cache"] = own_forward(x, W, b)
    return y, None


def linear_backward(dy, cache):
    return own_backward(dy, last["cache"])
"""


def test_gradients_that_depend_on_other_calls_or_on_their_size_get_no_marks(marked, answer):
    kept = marked(answer + KEPT)
    assert outcomes(kept) == ["right", "wrong"]
    assert "after another one" in kept["tasks"][0]["checks"][1]["reason"]
    clipped = marked(answer.replace("return dx, dW", "return np.clip(dx, -50, 50), dW"))
    assert outcomes(clipped) == ["right", "wrong"]


def test_honest_loops_keep_pace_and_one_wrong_gradient_takes_no_other_along(marked, answer, wrong):
    loops = answer.replace("dW = x.T @ dy", "dW = sum(np.outer(x[n], dy[n]) for n in range(len(x)))")
    assert marked(loops)["score"] == 4
    assert outcomes(marked(wrong)) == ["right", "wrong"]


def test_who_adds_up_no_steps_keeps_what_is_right_for_one_step(tmp_path):
    """A gradient that is right in one check and wrong in most others is no reason to take more points back."""
    assignment = read_assignment(assignments()["4_lstm"])
    text = solution(assignment)
    assert text.count("total += d") == 1
    (tmp_path / "ann.py").write_text(text.replace("total += d", "total[...] = d"), encoding="utf-8")
    tasks = grade(find(tmp_path)[0], assignment, RULES)[0]["tasks"]
    checks = {check["check"]: check["outcome"] for check in tasks[1]["checks"]}
    assert checks["shapes"] == checks["a sequence of one step"] == "right"
    assert checks["gradients of the weights through time"] == "wrong"
    assert not any("large input" in check["reason"] for task in tasks for check in task["checks"])


def test_a_derivative_by_one_forward_pass_for_each_weight_is_too_slow():
    def forward(seconds):
        time.sleep(seconds)
        return "out"

    assert quick(forward, 0.0, seconds=0.05) == "out"
    with pytest.raises(Wrong, match="forward takes more than 0.05 seconds"):
        quick(forward, 0.1, seconds=0.05)

    def stopped():
        raise Raised("timeout", "no answer within 5 seconds")

    with pytest.raises(TooSlow, match="stopped takes more than"):  # not only a check that failed, but what it is for
        quick(stopped)


# -- a class -------------------------------------------------------------------------------------------------


@pytest.fixture
def classroom(tmp_path, answer, wrong):
    """A folder with four submissions: ann right, bob wrong, cat no Python, dan right."""
    folder = tmp_path / "class"
    folder.mkdir()
    for name, text in (("ann", answer), ("bob", wrong), ("cat", "("), ("dan", answer)):
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return folder


def read(out) -> dict[str, dict]:
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (out / "results").iterdir()}


def everything(out) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_a_class_is_graded_once_and_again_only_where_something_changed(classroom, source, tmp_path, answer):
    out = tmp_path / "marks"
    first = grade_class(classroom, source, out)
    assert [(r["student"], r["status"], r["score"]) for r in first.results] == [
        ("ann", "graded", 4), ("bob", "graded", 1), ("cat", "refused", 0), ("dan", "graded", 4),
    ]  # fmt: skip
    before = everything(out)
    assert {name.split("/")[0] for name in before} == {"results", "gradescope", "feedback", "sources", "grades.csv"}
    assert len(before) == 4 * 4 + 1

    second = grade_class(classroom, source, out)
    assert second.kept == 4 and everything(out) == before

    (classroom / "bob.py").write_text(answer, encoding="utf-8")
    third = grade_class(classroom, source, out)
    assert third.kept == 3
    (past,) = read(out)["bob"]["history"]
    assert past["score"] == 1 and past["hint"] == 2
    assert past["checks"] == {"linear/shapes": "right", "linear/gradients": "wrong"}
    changed = {name for name, data in everything(out).items() if data != before[name]}
    assert changed == {
        "results/bob.json", "gradescope/bob.json", "feedback/bob.html", "sources/bob.py", "grades.csv",
    }  # fmt: skip
    rows = list(csv.DictReader((out / "grades.csv").read_text(encoding="utf-8").splitlines()))
    assert [(row["student"], row["score"], row["linear"]) for row in rows] == [
        ("ann", "4", "4"), ("bob", "4", "4"), ("cat", "0", "0"), ("dan", "4", "4"),
    ]  # fmt: skip


def test_a_run_that_was_stopped_goes_on_where_it_was(classroom, source, tmp_path):
    out = tmp_path / "marks"

    def stop(done: int, total: int, result: dict) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grade_class(classroom, source, out, progress=stop)
    before = everything(out)
    assert len(read(out)) == 2 and not any(".part" in name for name in before)
    again = grade_class(classroom, source, out)
    assert again.kept == 2 and len(read(out)) == 4
    assert all(everything(out)[name] == data for name, data in before.items())


def test_a_submission_that_breaks_its_process_stops_no_other(classroom, source, tmp_path, monkeypatch):
    def breaking(submission, assignment, rules):
        if submission.student == "ann":
            os.kill(os.getpid(), signal.SIGKILL)
        if submission.student == "bob":
            raise RuntimeError("<b>broken</b>")
        return grade(submission, assignment, rules)

    monkeypatch.setattr(batch, "grade", breaking)
    found = {r["student"]: r for r in grade_class(classroom, source, tmp_path / "marks").results}
    assert found["ann"]["reason"] == "grading it was stopped: your teacher looks at it"
    (note,) = found["ann"]["notes"]
    assert note.startswith("review: grading it was stopped, its process was ended by SIGKILL")
    assert found["bob"]["status"] == "refused" and found["dan"]["score"] == 4
    page = (tmp_path / "marks" / "feedback" / "bob.html").read_text(encoding="utf-8")
    assert "broken" not in page and "RuntimeError" not in page, "what the grader says of itself is for the teacher"

    monkeypatch.undo()
    again = grade_class(classroom, source, tmp_path / "marks")
    assert again.kept == 2 and {r["student"]: r["score"] for r in again.results}["ann"] == 4, "it is tried again"


@pytest.mark.parametrize("damage", ["{", '{"student": "ann", "assignment": "linear_map", "history": [], "tasks": [1]}'])
def test_a_damaged_result_is_made_again_and_a_strangers_is_named(classroom, source, tmp_path, damage):
    out = tmp_path / "marks"
    for name in ("bob", "cat", "dan"):
        (classroom / f"{name}.py").unlink()
    grade_class(classroom, source, out)
    (out / "results" / "ann.json").write_text(damage, encoding="utf-8")
    again = grade_class(classroom, source, out)
    assert again.kept == 0 and read(out)["ann"]["score"] == 4
    (out / "results" / "eve.json").write_text(damage, encoding="utf-8")
    with pytest.raises(UserError, match="eve.json is (not valid JSON|no result of `minis2s class grade`)"):
        grade_class(classroom, source, out)


def test_other_settings_are_another_grading():
    record = dict.fromkeys(("source_sha256", "assignment_sha256", "official", "versions"), "same")
    record |= {"hint": 2, "call_seconds": 5.0, "layers": ["rlimits", "bubblewrap"]}
    assert is_done(record, record) and not is_done(record | {"stopped": True}, record)
    for change in ({"hint": 1}, {"call_seconds": 30.0}, {"layers": ["rlimits"]}):
        assert not is_done(record, record | change)


def test_two_runs_in_one_folder_do_not_mix(classroom, source, tmp_path, monkeypatch):
    out = tmp_path / "marks"
    out.mkdir()
    monkeypatch.setattr(batch, "TRIES", 2)
    with batch.alone(out):
        with pytest.raises(UserError, match="another run is grading into"):
            grade_class(classroom, source, out)
    with batch.alone(out), batch.alone(tmp_path):
        pass  # another folder is free, and this one is again


def test_each_student_of_a_bug_hunt_is_graded_by_an_own_source(classroom, source, tmp_path):
    hunt = tmp_path / "hunt" / "teacher"
    hunt.mkdir(parents=True)
    text = source.read_text(encoding="utf-8")
    (hunt / "ann.py").write_text(text, encoding="utf-8")
    (hunt / "Dan.py").write_text(text.replace("points=3", "points=9"), encoding="utf-8")
    found = {r["student"]: r for r in grade_class(classroom, hunt, tmp_path / "marks").results}
    assert (found["ann"]["score"], found["dan"]["score"]) == (4, 10)
    assert found["bob"]["reason"].startswith(f"there is no assignment for bob in {hunt}: name the file")
    assert {r["assignment"] for r in found.values()} == {"hunt"}
    assert grade_class(classroom, hunt, tmp_path / "marks").kept >= 2
    (classroom / "ann.py").rename(classroom / "Ann Li_4711.py")
    (hunt / "ann.py").rename(hunt / "4711.py")
    found = {r["student"]: r for r in grade_class(classroom, hunt, tmp_path / "by_id").results}
    assert found["Ann Li_4711"]["score"] == 4
    for path in hunt.iterdir():
        path.rename(hunt / f"other-{path.name}")
    with pytest.raises(UserError, match="a source for none of these students"):
        grade_class(classroom, hunt, tmp_path / "other")


def test_official_marks_need_more_than_limits(classroom, source, tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "available_layers", lambda: RLIMITS)
    with pytest.raises(UserError, match="official grading needs more than rlimits only"):
        grade_class(classroom, source, tmp_path / "marks", official=True)
    assert not (tmp_path / "marks").exists()


def test_folders_that_cannot_be_meant_are_refused(classroom, source, tmp_path):
    with pytest.raises(UserError, match="lie in each other"):
        grade_class(classroom, source, classroom / "marks")
    out = tmp_path / "marks"
    (out / "results").mkdir(parents=True)
    (out / "results" / "x.json").write_text('{"student": "x", "assignment": "3_rnn"}')
    with pytest.raises(UserError, match="holds results of 3_rnn, not of linear_map"):
        grade_class(classroom, source, out)
