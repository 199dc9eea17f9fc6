"""What goes back: the student's page, Gradescope's file and the table, from a record full of hostile text."""

import csv
import importlib.util
import json
import re
import warnings
from html.parser import HTMLParser
from pathlib import Path

import pytest

from minis2s.classroom.feedback import page_of
from minis2s.classroom.results import grades, gradescope, guarded

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&\x1b[31m\u202e\x00\ud800 [x](javascript:alert(3))"
TITLE = {"en": f"Assignment {EVIL}", "zh": f"作业 {EVIL}"}


def check(name: str, public: bool, outcome: str, points: float = 2) -> dict:
    score = points if outcome == "right" else 0
    reason = "" if outcome == "right" else EVIL
    return {"check": name, "public": public, "points": points, "score": score, "outcome": outcome, "reason": reason, "seed": 7}


@pytest.fixture
def record() -> dict:
    diagnosis = {
        "kind": "lstm", "ok": False, "verdict": "wrong", "forward": "right", "place": {"node": "dc", "says": "SECRET PLACE"},
        "cause": "SECRET CAUSE", "hint": 1, "hints": [f"here {EVIL}"], "text": f"lstm: wrong {EVIL}", "blocks": [],
    }  # fmt: skip
    checks = [check("shapes", True, "right"), check(f"gradients {EVIL}", False, "wrong", 2.5)]
    return {
        "student": EVIL, "key": "evil", "file": EVIL, "assignment": "4_lstm", "status": "graded", "reason": "",
        "notes": [f"cell 3 {EVIL}", "review: line 7 uses complex numbers"], "score": 2, "points": 4.5,
        "tasks": [{"task": f"lstm {EVIL}", "score": 2, "points": 4.5, "checks": checks, "diagnosis": diagnosis}],
        "written": [{"task": "why", "points": 3, "answer": EVIL}, {"task": "how", "points": 1, "answer": ""}],
        "hint": 1, "seconds": 12.34, "finished": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip


class Seen(HTMLParser):
    def __init__(self, page: str):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_data(self, data):
        self.text += data


def test_the_page_is_static_and_all_text_is_text(record):
    page = page_of(record, TITLE)
    seen = Seen(page)
    assert not {"script", "img", "a", "iframe", "object", "svg", "link", "form", "base"} & set(seen.tags)
    assert {name for _, name, _ in seen.attributes if name.startswith("on") or name in ("src", "href", "srcset")} == set()
    assert ("meta", "http-equiv", "Content-Security-Policy") in seen.attributes
    assert any(value.startswith("default-src 'none'; style-src 'unsafe-inline'") for _, _, value in seen.attributes if value)
    assert page.index("Content-Security-Policy") < page.index("<title>")
    assert not set(page) & {"\x1b", "\u202e", "\x00", "\ud800"}
    assert seen.text.count("<script>alert(1)</script>") >= 8  # there to be read
    page.encode("utf-8")


def test_the_page_says_what_happened_and_no_more(record):
    page = page_of(record, TITLE)
    for word in ("2 / 4.5", "shapes", "隐藏", "hidden", "public", "公开", "Where is it?", "在哪里？", "由老师批改", "No answer."):
        assert word in page
    for word in ("SECRET", "review:", "complex numbers", "12.34", "What kind of mistake"):
        assert word not in page
    record |= {"status": "refused", "reason": "ann.py is a link", "tasks": [], "written": [], "score": 0}
    page = page_of(record, TITLE)
    assert "could not be graded" in page and "无法评分" in page and "ann.py is a link" in page


def test_gradescope_gets_points_and_no_times(record):
    found = gradescope(record)
    assert found["score"] == 2 and sum(test["max_score"] for test in found["tests"]) == 4.5
    assert [test["visibility"] for test in found["tests"]] == ["visible", "after_published"]
    assert [test["status"] for test in found["tests"]] == ["passed", "failed"]
    text = json.dumps(found)
    assert "execution_time" not in text and "12.34" not in text and "SECRET" not in text and "review" not in text
    assert {test["output_format"] for test in found["tests"]} == {found["output_format"]} == {"text"}


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@x", " =1", "\t=1", "＝1", "|calc", "%1"])
def test_no_cell_of_the_table_is_a_formula(record, name):
    ((cell, *_),) = list(csv.reader(grades([record | {"student": name}]).splitlines()))[1:]
    assert cell == f"'{name.replace(chr(9), ' ')}"
    for text in (f"a;{name}", f"a; {name}", f'a;"{name}'):  # a table that is read with another separator
        assert not re.search(r"""a;["\s]*[=+\-@|%＝]""", guarded(text))
    assert guarded(-1.5) == "-1.5" and guarded(None) == "" and guarded("Ann, B.") == "Ann, B."


def test_the_table_has_a_line_for_each_student_and_a_column_for_each_task(record):
    refused = record | {"student": "bob\nnew,line", "status": "refused", "tasks": [], "score": 0, "reason": "a\r\nb"}
    rows = list(csv.DictReader(grades([record, refused]).splitlines()))
    assert len(rows) == 2 and rows[1]["student"] == "bob new,line" and rows[1]["reason"] == "a  b"
    assert rows[0]["percent"] == "44.4" and rows[1]["score"] == "0"


def chromium():
    path = Path(__file__).parents[1] / "trace" / "browser.py"
    spec = importlib.util.spec_from_file_location("browser", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_in_a_browser_nothing_runs_and_nothing_is_wider_than_a_telephone(record, tmp_path):
    browser = chromium()
    if browser.find() is None:
        reason = "NO BROWSER: the feedback page is not tested in one (Debian: apt-get install chromium)"
        warnings.warn(reason, stacklevel=1)
        pytest.skip(reason)
    path = tmp_path / "page.html"
    path.write_text(page_of(record, TITLE), encoding="utf-8")
    with browser.Browser() as running:
        page = running.open(path, width=360, dark=True)
        assert page.js("document.scripts.length + document.images.length") == 0
        assert page.js("document.documentElement.scrollWidth") <= 360
        assert page.js("getComputedStyle(document.querySelector('main')).backgroundColor") == "rgb(21, 24, 28)"
        # even a script that were in the page would not run
        path.write_text(path.read_text(encoding="utf-8").replace("</main>", "<script>document.title = 'evil'</script></main>"))
        page = running.open(path)
        assert page.js("document.scripts.length") == 1 and "evil" not in page.js("document.title")
