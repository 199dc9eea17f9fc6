"""The class report: counts what the results say, shows student text as text, and runs in a real browser."""

import csv
import importlib.util
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from minis2s.classroom.box import Boxed
from minis2s.classroom.checks import TOO_SLOW
from minis2s.classroom.report import save_report, table_of
from minis2s.classroom.report_figures import figures_of
from minis2s.classroom.report_input import read_results
from minis2s.classroom.report_page import page_of
from minis2s.classroom.report_words import MEANINGS_ZH, WORDS, Say
from minis2s.cli import main
from minis2s.errors import UserError
from minis2s.gradcheck.causes import CAUSES

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">'&\x1b[31m\u202e\ud800"


def result(student: str, outcomes=("right", "right", "wrong"), **more) -> dict:
    checks = [
        {"check": name, "public": n == 0, "points": 2, "score": 2 * (o == "right"), "outcome": o, "reason": "", "seed": 1}
        for n, (name, o) in enumerate(zip(("shapes", "forward", "gradients"), outcomes))
    ]
    task = {"task": "lstm", "score": sum(c["score"] for c in checks), "points": 6, "checks": checks, "diagnosis": None}
    return {
        "student": student, "key": student, "file": "lstm.ipynb", "assignment": "4_lstm", "status": "graded",
        "reason": "", "notes": [], "score": task["score"], "points": 6, "tasks": [task], "written": [],
        "layers": ["landlock abi 6"], "official": True, "hint": 2, "seconds": 2.5, "source_sha256": student,
        "assignment_sha256": "x", "finished": "2026-05-04T12:00:00+00:00", "history": [],
    } | more  # fmt: skip


def diagnosed(student: str, gate: str, step: int | None, cause: str, wrong=("Wx",)) -> dict:
    found = result(student)
    found["tasks"][0]["diagnosis"] = {
        "kind": "lstm", "ok": False, "verdict": "wrong", "forward": "right", "cause": cause, "hint": 2, "text": "",
        "place": {"node": "dz", "gate": gate, "step": step, "layer": "", "says": "dz"},
        "blocks": [{"name": n, "ok": n not in wrong, "error": 0.1} for n in ("x", "Wx", "Wh")],
    }  # fmt: skip
    return found


def refused(student: str, reason: str, **more) -> dict:
    return result(student, status="refused", reason=reason, tasks=[], score=0, file="x.docx") | more


def folder(path: Path, results, sources=()) -> Path:
    (path / "results").mkdir(parents=True)
    (path / "sources").mkdir()
    for n, one in enumerate(results):
        (path / "results" / f"{n:03d}.json").write_text(json.dumps(one), encoding="utf-8")
    for key, text in dict(sources).items():
        (path / "sources" / f"{key}.py").write_text(text, encoding="utf-8")
    return path


# -- counting ----------------------------------------------------------------------------------------------------


def test_counts(tmp_path):
    some = [
        diagnosed("ada", "f", 3, "missing factor"),
        diagnosed("bo", "fi", 3, "sign", wrong=("Wx", "Wh")),
        diagnosed("cy", "", None, "sign", wrong=("Wh",)),
        result("di", ("right", "right", "right")),
        result("ed", ("raised", "timeout", "wrong")),
        refused("flo", "it is no notebook"),
    ]
    figures = figures_of(folder(tmp_path, some))
    assert [(c.check, c.right, c.students) for c in figures.checks] == [
        ("shapes", 4, 5),
        ("forward", 4, 5),
        ("gradients", 1, 5),
    ]
    assert [(c.what, c.wrong, c.all) for c in figures.gradients] == [("dWh", 2, 3), ("dWx", 2, 3)]
    assert [(c.what, c.wrong) for c in figures.gates] == [("f", 2), ("i", 1)]
    assert [(c.what, c.wrong) for c in figures.steps] == [("3", 2)]
    assert [(c.what, c.wrong) for c in figures.causes] == [("sign", 2), ("missing factor", 1)]
    assert [r["student"] for r in figures.graded] == ["ada", "bo", "cy", "di", "ed"]
    assert [r["student"] for r in figures.refused] == ["flo"]


def test_which_hint_level_helped(tmp_path):
    def past(hint, *outcomes):
        names = ("lstm/shapes", "lstm/forward", "lstm/gradients")
        return {"finished": "", "score": 0, "hint": hint, "checks": dict(zip(names, outcomes))}

    some = [
        result("a", ("right", "right", "wrong"), history=[past(1, "wrong", "wrong", "wrong")]),  # two of three
        result("b", ("right", "wrong", "right"), history=[past(1, "right", "right", "raised"), past(2, "right", "wrong", "wrong")]),
        result("c"),  # never before
        result("d", ("right", "right", "right"), history=[past(2, "right", "right", "timeout"), {"finished": ""}, "odd"]),
    ]  # fmt: skip
    first, second = figures_of(folder(tmp_path, some)).hints
    assert first == (1, 2, 2, 4, 2, 1)  # hint, students, gradings, open, mended, broken
    assert second == (2, 2, 2, 3, 2, 0)


def test_the_last_grading_of_a_history_is_the_present_one(tmp_path):
    again = {"finished": "", "score": 2, "hint": 3, "checks": {"lstm/gradients": "wrong", "gone/check": "wrong"}}
    (hint,) = figures_of(folder(tmp_path, [result("a", ("right",) * 3, history=[again])])).hints
    assert (hint.hint, hint.open, hint.mended) == (3, 1, 1)


# -- what it refuses ---------------------------------------------------------------------------------------------


def test_an_empty_folder(tmp_path):
    with pytest.raises(UserError, match=r"there are no results in .*results: name the folder that"):
        read_results(tmp_path)
    (tmp_path / "results").mkdir()
    with pytest.raises(UserError, match="there are no results"):
        save_report(tmp_path)


def test_mixed_assignments(tmp_path):
    folder(tmp_path, [result("a"), result("b"), result("c", assignment="5_gru")])
    with pytest.raises(UserError, match=r"000.json is of '4_lstm', 002.json of '5_gru'; grade each"):
        read_results(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not valid JSON"),
        ("[]", "it is not an object"),
        ('{"student": "a"}', "is missing or no text"),
        (json.dumps(result("a") | {"score": "12"}), "'score' is no number"),
        (json.dumps(result("a") | {"tasks": {}}), ""),
        (json.dumps(result("a") | {"tasks": [3]}), "a task has no name"),
        (json.dumps(result("a") | {"tasks": [{"task": "lstm", "checks": [{"check": "x"}]}]}), "no name or no outcome"),
        (json.dumps(result("a") | {"history": 3}), "'history' is no list"),
    ],
)
def test_a_broken_result_is_named(tmp_path, text, said):
    folder(tmp_path, [])
    (tmp_path / "results" / "eve.json").write_text(text)
    if not said:
        save_report(tmp_path)
        return
    with pytest.raises(UserError, match=re.escape(said)) as caught:
        save_report(tmp_path)
    assert "eve.json" in str(caught.value)
    assert not (tmp_path / "report.html").exists()


def test_odd_results_never_raise(tmp_path):
    """What a later version, or another hand, may leave out or fill with something else."""
    odd = result("a", seconds=None, points=0, layers=None, notes=[3, None], written=None, score=None)
    odd["tasks"][0]["diagnosis"] = {"place": "dWx", "cause": {"cause": "sign"}, "blocks": [3, {"ok": False}]}
    few = {"student": "b", "key": "b", "assignment": "4_lstm", "status": "graded"}
    none = {"student": "c", "key": "c", "assignment": "4_lstm", "status": "refused"}
    for lang in ("en", "zh"):
        save_report(folder(tmp_path / lang, [odd, few, none]), lang=lang)
    save_report(folder(tmp_path / "refused", [none]))
    assert "No submission could be graded" in (tmp_path / "refused" / "report.html").read_text(encoding="utf-8")


# -- the page ----------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    VOID = ("meta", "br", "rect", "line")

    def __init__(self, text: str):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)


def hostile_class() -> tuple[list[dict], dict[str, str]]:
    """A class in which every text that a student can choose is an attack."""
    calls = "sin cos tan exp log sqrt floor ceil sign square cbrt".split()
    code = f"# {HOSTILE[:-1]}\ndef f(a):\n" + "".join(f"    a = np.{call}(a) + a\n" for call in calls) + "    return a\n"
    one = diagnosed(f"eve {HOSTILE}", HOSTILE, 2, HOSTILE, wrong=("Wx",))
    one |= {"key": "eve", "file": HOSTILE, "notes": [HOSTILE], "layers": [HOSTILE], "assignment": HOSTILE}
    one["tasks"][0] |= {"task": HOSTILE}
    one["tasks"][0]["checks"][0] |= {"check": HOSTILE, "outcome": HOSTILE}
    one["tasks"][0]["diagnosis"]["place"]["node"] = HOSTILE
    one["tasks"][0]["diagnosis"]["blocks"][1]["name"] = HOSTILE
    past = {"hint": 7, "checks": {f"{HOSTILE}/forward": HOSTILE}}
    two = result("=HYPERLINK(1)", assignment=HOSTILE, key="two", file="@sum", history=[past])
    bad = refused(f"mal {HOSTILE}", HOSTILE, assignment=HOSTILE, file=HOSTILE)
    return [one, two, bad], {"eve": code, "two": code}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Path:
    path = folder(tmp_path_factory.mktemp("hostile"), *hostile_class())
    save_report(path, title=HOSTILE)
    return path


def test_student_text_is_only_text(hostile):
    text = (hostile / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert {tag for tag, _ in page.tags} <= {
        "html", "head", "meta", "title", "style", "body", "a", "header", "h1", "h2", "p", "nav", "ul", "li", "main",
        "section", "div", "table", "caption", "thead", "tbody", "tr", "th", "td", "span", "br", "details", "summary",
        "pre", "svg", "rect", "text", "line",
    }  # fmt: skip
    assert not any(name.startswith("on") or name in ("style", "src") for _, at in page.tags for name in at)
    assert {at["href"][0] for tag, at in page.tags if tag == "a"} == {"#"}
    assert "document.title='owned'" in "".join(page.words)  # it is there, to be read
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e\ud800]", text)
    policy = next(at["content"] for tag, at in page.tags if "content-security" in (at.get("http-equiv") or "").lower())
    assert "default-src 'none'" in policy and "script" not in policy and "unsafe" not in policy


def test_the_table_has_no_formulas(hostile):
    data = (hostile / "report.csv").read_bytes().decode("utf-8")
    assert data.startswith("\ufeff")
    rows = list(csv.reader(io.StringIO(data[1:])))
    assert len(rows) == 4 and len({len(row) for row in rows}) == 1
    assert all(not cell.lstrip()[:1] or cell.lstrip()[0] not in "=+-@|%" for row in rows for cell in row)
    assert any(row[0] == "'=HYPERLINK(1)" for row in rows)


def test_every_table_has_a_caption_and_can_be_scrolled_by_keyboard(hostile):
    page = Page((hostile / "report.html").read_text(encoding="utf-8"))
    tables = sum(tag == "table" for tag, _ in page.tags)
    assert tables >= 9 == sum(tag == "caption" for tag, _ in page.tags) - tables + 9
    scrolled = [at for tag, at in page.tags if at.get("class") == "scroll"]
    assert len(scrolled) == tables and all(at["tabindex"] == "0" and at["aria-label"] for at in scrolled)


def test_both_languages_say_the_same_things(tmp_path):
    path = folder(tmp_path, *hostile_class())
    figures = figures_of(path)
    pages = [Page(page_of(figures, lang, "4")) for lang in ("en", "zh")]
    assert [tag for tag, _ in pages[0].tags] == [tag for tag, _ in pages[1].tags]
    for key, (english, chinese) in WORDS.items():
        slots = [sorted(re.findall(r"{\w*}", text)) for text in (english, chinese)]
        assert slots[0] == slots[1], key
        assert re.search("[\u4e00-\u9fff]", chinese) or key == "of", key
    assert set(MEANINGS_ZH) <= set(CAUSES)
    assert set(MEANINGS_ZH) == set(CAUSES)
    with pytest.raises(UserError, match="--lang en or zh"):
        page_of(figures, "de")


def test_what_is_said_of_alike_programs(hostile):
    text = " ".join("".join(Page((hostile / "report.html").read_text(encoding="utf-8")).words).split())
    assert "Being alike is no proof of anything" in text
    assert "with so few programs nobody can say what is usual" in text
    assert "lines 3–14" in text and "100 %" in text
    assert "What was handed out is not known here" in text


def test_refused_ones_are_listed_with_the_reason(tmp_path):
    path = folder(tmp_path, [result("a"), refused("flo", "lstm.ipynb is a zip bomb")])
    page, table = save_report(path)
    text = page.read_text(encoding="utf-8")
    section = text[text.index('id="refused"') : text.index('id="students"')]
    assert "flo" in section and "x.docx" in section and "lstm.ipynb is a zip bomb" in section
    assert "zip bomb" in table.read_text(encoding="utf-8")


def test_how_the_programs_were_kept_apart(tmp_path):
    path = folder(tmp_path, [result("a"), result("b", layers=["rlimits"], assignment_sha256="y")])
    text = save_report(path)[0].read_text(encoding="utf-8")
    assert "landlock abi 6; rlimits" in text and "(rlimits only) for 1" in text and "of 2 versions" in text
    (path / "results" / "001.json").unlink()
    text = save_report(path)[0].read_text(encoding="utf-8")
    assert "rlimits only" not in text and "versions of the assignment" not in text


def test_a_class_without_programs_or_without_mistakes(tmp_path):
    path = folder(tmp_path, [result("a", ("right",) * 3)])
    text = save_report(path)[0].read_text(encoding="utf-8")
    for sentence in ("No program was diagnosed", "Nobody has handed in twice", "not in the folder", "Every submission was graded"):
        assert sentence in text
    assert "not right" in table_of(figures_of(path))


def test_the_command(tmp_path, capsys):
    path = folder(tmp_path, [result("a"), refused("b", "nothing")], {"a": "x = 1"})
    assert main(["class", "report", str(path), "--lang", "zh"]) == 0
    assert "report.html" in capsys.readouterr().out
    text = (path / "report.html").read_text(encoding="utf-8")
    assert "作业 4" in text and "发下去的代码也不计" in text
    assert main(["class", "report", str(tmp_path / "no")]) == 2
    error = capsys.readouterr().err
    assert "there are no results" in error and "Traceback" not in error


# -- in a browser ------------------------------------------------------------------------------------------------


def load(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


chromium = load(Path(__file__).parents[1] / "trace" / "browser.py")


@pytest.fixture(scope="module")
def browser():
    if chromium.find() is None:
        pytest.skip("no Chromium here (Debian: apt-get install chromium)")
    with chromium.Browser() as running:
        yield running


OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.mark.parametrize(("width", "dark"), [(360, False), (1600, True)])
def test_student_text_runs_nothing(browser, hostile, width, dark):
    page = browser.open(hostile / "report.html", width, 900, dark)
    assert "owned" in page.js("document.title") and page.js("document.title") != "owned"
    assert page.js("document.scripts.length + document.images.length") == 0
    # and what would be run, were the text not escaped, is forbidden by the page
    page.js("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran = 1\">')")
    page.js("document.body.appendChild(document.createElement('script')).textContent = 'window.ran = 2'")
    page.js("new Promise(done => setTimeout(done, 100))")
    assert page.js("typeof window.ran") == "undefined"
    assert [fault for fault in page.faults() if not fault.startswith("log: ")] == []
    assert page.js(OVERFLOW) <= 0
    back, text = page.js("[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]")
    assert (sum(map(int, re.findall(r"\d+", back)[:3])) < sum(map(int, re.findall(r"\d+", text)[:3]))) == dark
    page.close()


def test_nothing_is_fetched_and_the_keyboard_reaches_all(browser, hostile):
    page = browser.open(hostile / "report.html")
    assert page.faults() == [] and len(page.requests()) == 1
    page.press("Tab")
    assert page.js("document.activeElement.textContent") == "Skip to the report"
    page.press("Enter")
    assert page.js("location.hash") == "#main"
    reached = set()
    for _ in range(60):
        page.press("Tab")
        reached.add(page.js("document.activeElement.tagName + (document.activeElement.className || '')"))
        if page.js("document.activeElement.tagName") == "SUMMARY":
            page.press("Enter")
            break
    assert {"DIVscroll", "SUMMARY"} <= reached
    page.until("document.querySelector('details').open && document.querySelector('details pre').offsetHeight > 0")
    page.close()


def test_every_outcome_of_a_check_has_words_in_both_languages():
    outcomes = {"wrong", "raised", "not written", TOO_SLOW} | {kind.outcome for kind in Boxed.__subclasses__()}
    for outcome in outcomes:
        assert Say("zh").outcome(outcome) != outcome and re.search("[a-z]", Say("en").outcome(outcome)), outcome
    assert len({Say("zh").outcome(outcome) for outcome in outcomes}) == len(outcomes)
