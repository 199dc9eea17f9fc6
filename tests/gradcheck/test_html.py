"""The HTML report: whole, harmless, readable, and no more in it than the hint level allows."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from minis2s.errors import UserError
from minis2s.gradcheck import Block, Cause, Finding, Place, Report, gradcheck
from minis2s.gradcheck.causes import Note
from minis2s.gradcheck.heatmap import Marks, heat_map, plain
from minis2s.gradcheck.html import save_html, to_html
from minis2s.gradcheck.html_style import DARK, LIGHT
from minis2s.gradcheck.kinds import KINDS
from minis2s.gradcheck.mutants import MUTANTS, mutated_op

VOID = {"meta", "br", "hr", "img", "link", "input"}
HOSTILE = "<script>alert('x')</script>\"&\x1b[31m\x00\u202e\ud800 ende"


class Page(HTMLParser):
    """Fails where tags do not close; keeps tags with their attributes, and the text outside <style>."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def count(self, tag: str, **wanted: str) -> int:
        return sum(t == tag and all(a.get(k) == v for k, v in wanted.items()) for t, a in self.tags)


def page(report: Report, **options) -> Page:
    return Page(to_html(report, **options))


def harmless(text: str) -> None:
    found = Page(text)
    assert {t for t, _ in found.tags} <= {
        "style", "div", "section", "h2", "h3", "h4", "p", "span", "details", "summary", "table", "caption",
        "thead", "tbody", "tr", "th", "td", "code", "dl", "dt", "dd", "ul", "li", "html", "head", "meta",
        "title", "body",
    }  # fmt: skip
    for _, attributes in found.tags:
        assert not {"src", "href", "style", "id"} & set(attributes)
        assert not any(name.startswith("on") for name in attributes)
    assert "http" not in text and "url(" not in text and "@import" not in text and "javascript" not in text


@pytest.fixture(scope="module")
def wrong() -> Report:
    return gradcheck(mutated_op(MUTANTS["lstm/output gate lacks 1 - o"]))


# -- what is there -----------------------------------------------------------------------------------


def test_everything_is_there(wrong):
    found = page(wrong)
    harmless(to_html(wrong))
    assert "Gradient check: lstm" in found.text and "of 6 gradients 6 wrong" in found.text
    assert found.count("details") == 3 and found.text.count("Hint ") == 3
    for word in (
        wrong.cause.line,
        wrong.cause.wrong,
        wrong.cause.equation,
        wrong.where()[1:],
        "Taylor slope",
    ):
        assert word in found.text
    rows = re.findall(r'<tr><th scope="row"><code>(\w+)</code></th>(.*?)</tr>', to_html(wrong))
    assert [name for name, _ in rows] == [b.name for b in wrong.blocks]
    for (_, row), block in zip(rows, wrong.blocks):
        assert f"{block.analytic:#.7g}" in row and f"{block.numeric:#.7g}" in row and "wrong" in row
        assert f"[{', '.join(map(str, block.index))}]" in row
    maps = [a for t, a in found.tags if t == "table" and a.get("class") == "map"]
    assert len(maps) == 4 + 5  # x has four steps, the other five are one table each
    assert all(a["aria-label"] and a["title"] for a in maps)


def test_the_gate_and_the_step_are_marked(wrong):
    text = to_html(wrong)
    assert '<th scope="row" class=mark>gate o</th>' in text
    assert '<th scope="col" class=mark>t=3</th>' in text
    assert text.count("t=3: first wrong here") == 1
    for block in ("Wx", "Wh", "b"):
        part = text.split(f"<h4>Gradient of <code>{block}</code></h4>")[1].split("</section>")[0]
        heads = re.findall(r'scope="colgroup" colspan="(\d)"[^>]*>(\w)( ▾)?</th>', part)
        assert heads == [("2", "i", ""), ("2", "f", ""), ("2", "o", " ▾"), ("2", "g", "")]


def test_other_orders_of_the_gates_are_shown(wrong):
    text = to_html(wrong, gates="ofig")
    assert re.findall(r'scope="colgroup"[^>]*>(\w)', text)[:4] == list("ofig")
    assert re.findall(r'scope="colgroup"[^>]*>(\w)', to_html(wrong, gates="xy"))[:4] == list("ifog")
    other = Report("lstm", "lstm", wrong.blocks, gates="gfio")
    assert re.findall(r'scope="colgroup"[^>]*>(\w)', to_html(other))[:4] == list("gfio")


def test_gates_in_a_model():
    def block(name, *shape):
        return Block(name, "wrong", 1.0, (0,) * len(shape), got=np.ones(shape), expected=np.zeros(shape))

    blocks = [block("cells.0.Wx", 3, 8), block("cells.0.Wh", 2, 8), block("cells.0.b", 8), block("out.b", 4)]
    blocks += [block("cells.1.Wx", 3, 6), block("cells.1.Wh", 2, 6), block("cells.1.bx", 6)]
    blocks += [block("cells.2.Wx", 3, 2), block("cells.2.Wh", 2, 2), block("Wx", 3, 8)]
    text = to_html(Report("Seq2Seq", blocks=blocks, place=Place("dz", "cells.0", 2, "o")))
    assert re.findall(r'scope="colgroup"[^>]*>(\w)', text) == list("ifog" * 3 + "run" * 3)
    assert text.count(" ▾") == 3 and text.count(">gate o</th>") == 1 and ">gate g</th>" in text


def test_hint_levels(wrong):
    secrets = {1: "first gradient that is wrong", 2: wrong.cause.says, 3: wrong.cause.line}
    for level in range(4):
        report = Report(**{**vars(wrong), "hint": level})
        text = Page(to_html(report)).text
        assert to_html(report).count("<details") == level
        for needed, secret in secrets.items():
            assert (secret in text) == (needed <= level), (level, secret)
        marks = ("first wrong here", " ▾", "class=mark", 'class="mark"')
        assert any(m in to_html(report).split("</style>")[1] for m in marks) == (level >= 1)


def test_a_right_report_has_no_hints_and_no_pictures():
    right = Report("tanh", "tanh", [Block("z", "right", 1e-16, (0, 0, 0), 1.0, 1.0, got=np.ones((1, 1, 1)))])
    found = page(right)
    assert "right" in found.text and "1.0e-16" in found.text
    assert found.count("details") == 0 and found.count("table") == 1


def test_a_notebook_shows_it(wrong):
    assert wrong._repr_html_() == to_html(wrong)


@pytest.mark.parametrize("name", ["lstm/dWh uses h_t", "lstm_step/do uses c"])
def test_places_of_other_sorts(name):
    harmless(to_html(gradcheck(mutated_op(MUTANTS[name]))))


# -- what strangers wrote ----------------------------------------------------------------------------


def hostile_report() -> Report:
    blocks = [
        Block(
            HOSTILE,
            "wrong",
            0.5,
            (0, 1),
            1.0,
            2.0,
            notes=(Note(HOSTILE),),
            got=np.ones((2, 2)),
            expected=np.eye(2),
        ),
        Block("b", "missing", float("inf"), notes=(Note(HOSTILE),)),
    ]
    place = Place(HOSTILE, HOSTILE, 1, "<b>")
    causes = [Cause("scale", HOSTILE, "likely", HOSTILE, HOSTILE, HOSTILE)]
    return Report(HOSTILE, HOSTILE, blocks, [Finding("x", False, HOSTILE)], place, causes, HOSTILE, [HOSTILE])


def test_hostile_texts_are_harmless(tmp_path):
    text = to_html(hostile_report())
    harmless(text)
    for bad in ("<script", "<b>", "\x1b", "\x00", "\u202e", "\ud800"):
        assert bad not in text
    assert "&lt;script&gt;" in text and "alert(&#x27;x&#x27;)" in text
    save_html([hostile_report(), hostile_report()], tmp_path / "page.html")
    harmless((tmp_path / "page.html").read_text(encoding="utf-8"))


def test_plain():
    assert plain("a\nb\tc\x07\x9b\u2066") == "a\nb\tc"
    assert plain("größer 大 <") == "größer 大 &lt;"


def test_the_page_is_whole_or_not_there(wrong, tmp_path):
    save_html(wrong, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    harmless(text)
    assert (
        text.startswith("<!doctype html>") and '<html lang="en">' in text and "Gradient check: lstm" in text
    )
    with pytest.raises(UserError, match="folder does not exist"):
        save_html(wrong, tmp_path / "nowhere" / "page.html")


# -- the pictures ------------------------------------------------------------------------------------


def cells(text: str) -> list[str]:
    return re.findall(r"<td class=[^>]*>([^<]*)</td>", text)


def drawn(got, expected, axes="", index=None, **options) -> str:
    return heat_map(
        Block("W", "wrong", 1.0, index, got=np.asarray(got), expected=np.asarray(expected)), axes, **options
    )


def test_the_numbers_are_signed_percentages():
    text = drawn([[2.0, 0.5], [1.0, -1.0]], [[1.0, 0.51], [1.0, 0.9]], "DK", (1, 1))
    assert cells(text) == ["+50", "−.5", "·", "−95"]
    assert re.findall(r'<td class="(\w+)', text) == ["p4", "n1", "z", "n4"]
    assert text.count("worst") == 2 and "backward 2.000, numeric 1.000" in text
    assert "rows: D (input), columns: K (output)" in text


@pytest.mark.parametrize(
    ("shape", "axes", "tables"),
    [
        ((), "", 1),
        ((3,), "G", 1),
        ((2, 3), "HG", 1),
        ((4, 2, 3), "TBD", 4),
        ((2, 2, 2, 2), "", 4),
        ((1, 1, 1), "", 1),
    ],
)
def test_every_number_of_axes(shape, axes, tables):
    text = drawn(np.zeros(shape), np.ones(shape), axes, tuple(n - 1 for n in shape))
    Page(text)
    assert text.count("<table") == tables and cells(text) == ["−100"] * int(np.prod(shape))
    assert text.count(" worst") == 1 + 1


def test_numbers_that_are_none():
    text = drawn([np.nan, np.inf, -np.inf, 1.0, 0.0], [1.0, 1.0, 1.0, np.nan, 0.0])
    assert cells(text) == ["nan", "+inf", "−inf", "?", "·"]
    assert "not measured" not in cells(text)


@pytest.mark.parametrize("got", [None, np.zeros((0, 3)), np.zeros((2, 2))])
def test_nothing_to_draw(got):
    assert (
        heat_map(Block("W", "wrong", got=got, expected=np.zeros((0, 3)) if got is not None else None)) == ""
    )


def test_all_equal_zero_is_drawn_without_a_warning():
    assert set(cells(drawn(np.zeros((2, 2)), np.zeros((2, 2))))) == {"·"}


@pytest.mark.parametrize("shape", [(400, 512), (30, 64, 128), (5000,), (7, 300, 3, 3)])
def test_large_blocks_are_sampled_with_the_worst_among_them(shape):
    got = np.zeros(shape)
    worst = tuple(int(n * 0.7) for n in shape)
    got[worst] = -3
    text = drawn(got, np.zeros(shape), "TBD"[: len(shape)] if len(shape) < 4 else "", worst)
    assert len(cells(text)) <= 400 and "−100" in cells(text)
    assert re.search(r"every \d+(st|nd|rd|th) (column|row|step|part) shown, \d+ of \d+", text)


def test_gates_of_a_sampled_block_keep_their_letters():
    text = drawn(np.ones((3, 256)), np.zeros((3, 256)), "HG", (0, 5), gates="ifog")
    assert re.findall(r'colspan="(\d+)"[^>]*>(\w)', text) == [("4", letter) for letter in "ifog"]
    assert "every 16th column shown, 16 of 256" in text


def test_a_step_is_only_called_wrong_where_it_is():
    got = np.zeros((3, 1, 2))
    got[1] = 1
    text = drawn(got, np.zeros((3, 1, 2)), "TBD", (1, 0, 0), marks=Marks(step=1))
    assert text.count("first wrong here") == 1 and "t=1: first wrong here" in text
    assert "first wrong here" not in drawn(got, np.zeros((3, 1, 2)), "TBD", marks=Marks(step=2))


# -- of any size and kind ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_has_a_page(kind):
    rng = np.random.default_rng(0)
    values = KINDS[kind].make(rng, KINDS[kind].settings[0])
    blocks = []
    for name in KINDS[kind].arguments:
        index = tuple(0 for _ in values[name].shape)
        blocks.append(
            Block(name, "wrong", 1.0, index, got=values[name] + 1, expected=values[name], slope=1.0)
        )
    text = to_html(Report(kind, kind, blocks, oracle="complex step"))
    harmless(text)
    assert all(f"<h4>Gradient of <code>{name}</code></h4>" in text for name in KINDS[kind].arguments)
    assert len(text) < 200_000


def test_size_limit():
    rng = np.random.default_rng(0)
    blocks = [
        Block(
            f"decoder.layers.{n}.Wx",
            "wrong",
            1.0,
            (1, 1),
            got=rng.random((600, 800)),
            expected=rng.random((600, 800)),
        )
        for n in range(60)
    ]
    text = to_html(Report("Seq2Seq", "", blocks))
    assert len(text) < 200_000 and "36 more wrong gradients are not drawn" in text


def test_blocks_of_other_verdicts():
    blocks = [
        Block("a", "vacuous", notes=(Note("both gradients are zero"),)),
        Block(
            "b",
            "cannot tell",
            0.1,
            (0,),
            1.0,
            1.1,
            notes=(Note("noise"),),
            got=np.ones(2),
            expected=np.ones(2),
        ),
        Block("c", "kink", 0.1, (0,), float("nan"), float("inf"), slope=float("nan")),
        Block("d", "wrong", float("inf"), (0,), float("nan"), 1.0),
    ]
    found = page(Report("f", "", blocks))
    for word in ("vacuous", "cannot tell", "kink", "wrong", "both gradients are zero", "nan"):
        assert word in found.text
    assert page(Report("f")).text.endswith("cannot tell")


def luminance(colour: str) -> float:
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_text_can_be_read(palette):
    for name, (back, text) in palette.items():
        assert contrast(back, text) >= 4.5, name
    page_colour = palette["page"][0]
    assert contrast(page_colour, palette["soft"][1]) >= 4.5
    # along each side the colours go away from the page's own, so they differ also in shades of grey
    for side in "np":
        steps = [contrast(page_colour, palette[f"{side}{n}"][0]) for n in range(1, 5)]
        assert steps == sorted(steps) and steps[0] > 1.04
