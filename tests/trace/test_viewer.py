"""The viewer: one harmless static file that says what the page dict says, in a real browser, by keyboard too."""

import base64
import importlib.util
import json
import math
import re
import warnings
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import minis2s
from minis2s import Example, ModelConfig, Seq2Seq, make_batch
from minis2s.trace import html as viewer
from minis2s.trace.html import notebook_html, page_html


def load(name: str):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


chromium, sample_page = load("browser"), load("sample_pages").sample_page
VIEWS = ["model", "attention", "loss", "bptt", "what", "beam"]
HOSTILE = "</script><script>alert(1)</script><!--]]>\"'&\u2028\ud800@@DATA@@\\u003c"


@pytest.fixture(scope="module")
def page() -> dict:
    return sample_page()


# -- the file ------------------------------------------------------------------------------------------------


def read_back(text: str):
    """The JSON in a page, with the numbers that are packed in it."""

    def plain(found: dict):
        if found.keys() != {"f32"}:
            return found
        return [float(f"{v:.6g}") for v in np.frombuffer(base64.b64decode(found["f32"]), dtype="<f4")]

    return json.loads(text, object_hook=plain)


@pytest.fixture(scope="module")
def real_page():
    """The page of a traced step, 12 tokens to 12 tokens, H = 16, of a model that reads both ways."""

    def make(layers=1, decoder="luong", **more):
        kind = "additive" if decoder == "bahdanau" else "general"
        config = ModelConfig("lstm", layers, True, 12, 16, kind, decoder, **more)
        model = Seq2Seq(config, 30, 30, rng=np.random.default_rng(0), dtype=np.float64)
        text = np.random.default_rng(1).integers(4, 30, (2, 11)).tolist()
        with minis2s.trace(model) as tape:
            _, cache = model.loss(make_batch([Example(*text)]))
            model.backward(1.0, cache)
        return tape.page(0)

    return make


class Scripts(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.scripts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.cdata_elem == "script":
            self.scripts[-1] += data


def test_the_page_is_in_the_file():
    page = sample_page()
    text = page_html(page)
    found = Scripts(text)
    assert text.startswith("<!doctype html>") and "<title>A date, one training step</title>" in text
    assert len(found.scripts) == 2
    for choice in page["what_if"]:
        choice["where"].pop("weights", None)
    for layer in page["layers"]:
        for equation in layer["equations"]:
            del equation["tex"]
    assert read_back(found.scripts[0]) == page


@pytest.mark.parametrize("options", [{"layers": 1}, {"layers": 2}, {"layers": 2, "decoder": "bahdanau"}, {"layers": 2, "input_feeding": True}])
def test_size_of_a_pair_of_twelve_tokens(real_page, options):
    """Also with all what-ifs of a model of two layers that reads both ways."""
    page = real_page(**options)
    assert len(page["source"]) == len(page["target_out"]) == 12 and page["H"] == 16
    assert len(page_html(page).encode()) < 300_000


def test_numbers_in_a_row_come_back_as_they_were():
    for values in ([0.0] * 9 + [1.0], [1 / 3] * 3, [1e-300] * 9, [-1.23457e-30, 3.38e38, 0.1, 0.123457, 65432.1]):
        rounded = [float(f"{v:.6g}") for v in values]
        assert read_back(viewer.as_json({"a": rounded})) == {"a": rounded}
    assert len(viewer.as_json([0.123457] * 100)) < 600


def test_nothing_is_fetched(page):
    text = page_html(page)
    assert set(re.findall(r"https?:[^\s\"']*", text)) == {
        "http://www.w3.org/2000/svg"
    }  # a name, not an address
    assert re.findall(r"url\((?!#)", text) == [] and "@import" not in text and "fetch(" not in text
    for tag, attributes in Scripts(text).tags:
        assert "src" not in attributes and (tag != "link" or attributes["href"] == "data:,")
    for word in ("innerHTML", "insertAdjacentHTML", "document.write", "eval(", "localStorage"):
        assert word not in text, word


def hostile_page() -> dict:
    def spoil(value):
        if isinstance(value, dict):
            keep = ("kind", "cell", "part", "name", "layer", "text")
            return {k: v if k in keep else spoil(v) for k, v in value.items()}
        if isinstance(value, list):
            return [spoil(v) for v in value]
        return HOSTILE if isinstance(value, str) else value

    return spoil(sample_page(S=4, T=3, H=4))


def test_hostile_tokens_stay_inside():
    page = hostile_page()
    text = page_html(page)
    assert len(Scripts(text).scripts) == 2 and text.count("</script>") == 2 and "<!--" not in text
    assert read_back(Scripts(text).scripts[0]) == viewer.shown(page)
    assert "@@" not in text.replace("@@DATA@@\\\\u003c", "").replace("@@DATA@@", "")
    frame = Scripts(notebook_html(page))
    assert [tag for tag, _ in frame.tags] == ["iframe"] and frame.tags[0][1]["srcdoc"] == text


def test_numbers_of_numpy_and_numbers_that_are_none():
    data = viewer.as_json(
        {"a": np.arange(2.0), "b": np.float32(0.5), "c": [math.nan, math.inf, -math.inf], "d": np.int64(3)}
    )
    assert json.loads(data) == {
        "a": [0.0, 1.0], "b": 0.5, "d": 3, "c": [{"number": "NaN"}, {"number": "Infinity"}, {"number": "-Infinity"}],
    }  # fmt: skip


def test_notebook_frames_are_apart(page):
    found = Scripts(notebook_html(page, height=500) + notebook_html(page)).tags
    assert [tag for tag, _ in found] == ["iframe", "iframe"]
    assert all(
        "id" not in a and a["sandbox"] == "allow-scripts allow-modals" and a["title"] for _, a in found
    )
    assert "height:500px" in found[0][1]["style"] and found[0][1]["srcdoc"] == page_html(page)


def test_only_comments_and_spaces_are_left_out():
    code = "/* one\n two */\n  a { b }\n\n// three\n* { c: '//d' } /* e */\n"
    assert viewer.slim(code) == "a { b }\n* { c: '//d' } /* e */"
    for text in (viewer.read("viewer.css"), viewer.script()):
        assert "</" not in text
    # a text over several lines would lose its spaces
    assert all(line.count("`") % 2 == 0 for line in viewer.script().split("\n") if not line.startswith(" *"))


def test_both_languages_say_the_same_things():
    code = viewer.script()
    english, chinese = (
        dict(
            re.findall(
                r'(\w+|"[^"]+"): "((?:[^"\\]|\\.)*)"', code.split(f"  {lang}: {{\n")[1].split("\n  },")[0]
            )
        )
        for lang in ("en", "zh")
    )
    assert len(english) > 100 and list(english) == list(chinese)
    for key, text in english.items():
        names = set(re.findall(r"{(\w+)}", text))
        assert names == set(re.findall(r"{(\w+)}", chinese[key])), key
    for key in re.findall(r'say\("(\w+)"[,)]', code):
        assert key in english, key


def luminance(colour: str) -> float:
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("palette", [viewer.LIGHT | viewer.MORE_LIGHT, viewer.DARK | viewer.MORE_DARK])
def test_text_can_be_read(palette):
    for name, (back, text) in palette.items():
        assert contrast(back, text) >= 4.5, name
    page_colour = palette["page"][0]
    assert contrast(page_colour, palette["accent"][0]) >= 3
    steps = [contrast(page_colour, palette[f"s{n}"][0]) for n in range(6)]
    assert steps == sorted(steps) and steps[1] > 1.04


# -- in a browser --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser():
    if chromium.find() is None:
        reason = "NO BROWSER: the viewer is not tested in one (Debian: apt-get install chromium)"
        warnings.warn(reason, stacklevel=1)
        pytest.skip(reason)
    with chromium.Browser() as running:
        yield running


@pytest.fixture
def show(browser, tmp_path):
    """show(page, width=...) opens the page; at the end of the test nothing may have gone wrong in it."""
    opened = []

    def start(page, **options):
        path = tmp_path / f"page{len(opened)}.html"
        path.write_text(page if isinstance(page, str) else page_html(page), encoding="utf-8")
        opened.append(browser.open(path, **options))
        return opened[-1]

    yield start
    for one in opened:
        assert one.faults() == []
        one.close()


def short(v: float) -> str:
    """A number as the viewer writes it."""
    size = abs(v)
    if size == 0:
        return "0"
    if size < 0.001 or size >= 10000:
        mantissa, power = f"{v:.1e}".split("e")
        return f"{mantissa}e{int(power)}".replace("-", "−")
    digits = 3 if size < 1 else max(0, (4 if size >= 1000 else 3) - 1 - math.floor(math.log10(size)))
    return f"{v:.{digits}f}".replace("-", "−")


def close_to(text: str, v: float) -> bool:
    """Whether the text is the number, rounded (a last digit may fall either way)."""
    return text == short(v) or math.isclose(float(text.replace("−", "-")), v, rel_tol=6e-2, abs_tol=5.1e-4)


CELLS = """[...document.querySelectorAll('%s')].map(row => [row.querySelector('th').textContent,
  [...row.querySelectorAll('td[data-v]')].map(td => [Number(td.dataset.v), td.textContent])])"""


def table(tab, view: str, nth: int = 0) -> dict[str, list]:
    rows = tab.js(CELLS % f"#view-{view} table.heat tbody tr")
    return {name: cells for name, cells in rows}


def same(cells: list, values: list) -> None:
    assert [v for v, _ in cells] == values
    assert all(close_to(text, v) for v, text in cells)


def now(tab) -> str:
    return tab.js("document.querySelector('.cell.now').dataset.cell")


def test_opens_within_a_second(show, page):
    times = []
    for _ in range(3):
        tab = show(page)
        times.append(tab.js("performance.getEntriesByType('navigation')[0].loadEventEnd"))
        assert len(tab.requests()) == 1
    assert 0 < min(times) < 1000


def test_arrow_keys_walk_forward_then_back(show, page):
    tab = show(page)
    seen, said = [now(tab)], [tab.text("#live")]
    while len(seen) < 300:
        tab.press("ArrowRight")
        if tab.text("#live") == said[-1]:
            break
        seen.append(now(tab))
        said.append(tab.text("#live"))
    T, S = len(page["target_out"]), len(page["source"])
    forward = [f"cell:0:{t}" for t in range(S)]
    for t in range(T):
        forward += [f"cell:1:{t}", f"attention::{t}", f"output::{t}"]
    assert seen == [*forward, "loss::undefined", *forward[::-1]]
    assert len(set(said)) == len(said) and all(said)
    tab.press("ArrowLeft")
    assert tab.text("#live") == said[-2]
    tab.press("Home")
    assert tab.text("#live") == said[0]
    tab.press("End")
    assert tab.text("#live") == said[-1]
    tab.press("l")
    assert now(tab) == "loss::undefined" and str(page["loss"]) in tab.text("#live")
    tab.press("Home", "]")
    assert now(tab) == "cell:0:1"
    tab.press("b")
    assert now(tab) == "cell:0:1" and tab.text("#live").startswith("Backward")


def test_the_numbers_of_a_cell_are_those_of_the_page(show, page):
    tab = show(page)
    for n, layer in enumerate(page["layers"]):
        for t in (0, 5, 11):
            step = layer["steps"][t]
            tab.press("Home")
            tab.click(f'[data-cell="cell:{n}:{t}"]')
            assert now(tab) == f"cell:{n}:{t}"
            for way in ("forward", "backward"):
                rows = table(tab, "model")
                assert list(rows) == list(step[way])
                for name, cells in rows.items():
                    same(cells, step[way][name])
                tab.press("b")


def equations(tab) -> dict[str, str]:
    """name -> the line with numbers"""
    code = "[...document.querySelectorAll('#view-model .equations tr')].map(r => [r.dataset.name, (r.querySelector('.filled') || {}).textContent || '', r.querySelector('.value').textContent])"
    return {name: f"{numbers} {value}".strip() for name, numbers, value in tab.js(code)}


def bracket(v: float) -> str:
    return f"({short(v)})" if v < 0 else short(v)


def test_equations_are_filled_with_the_numbers_of_the_unit(show, page):
    tab = show(page)
    step = page["layers"][1]["steps"][3]
    tab.click('[data-cell="cell:1:3"]')
    for unit in (0, 1, 2):
        a, d = ({k: v[unit] for k, v in step[way].items()} for way in ("forward", "backward"))
        got = equations(tab)
        assert got["i"] == f"= sigmoid({short(a['z_i'])}) = {short(a['i'])}"
        assert (
            got["c"]
            == f"= {short(a['f'])} · {bracket(a['c_prev'])} + {short(a['i'])} · {bracket(a['g'])} = {short(a['c'])}"
        )
        assert got["h"] == f"= {short(a['o'])} · tanh({short(a['c'])}) = {short(a['h'])}"
        assert set(got) == set(step["forward"]) - {"h_prev", "c_prev", "z_i", "z_f", "z_o", "z_g"}
        tab.press("b")
        got = equations(tab)
        parts = [v[unit] for v in step["dh_parts"].values()]
        assert got["dh"] == f"= {' + '.join(map(bracket, parts))} = {short(d['dh'])}"
        carry = step["dc_parts"]["carry"][unit]
        assert got["dc"] == (
            f"= {bracket(carry)} + {bracket(d['dh'])} · {short(a['o'])} · (1 − {bracket(a['tanh_c'])}²) = {short(d['dc'])}"
        )
        assert got["df"] == f"= {bracket(d['dc'])} · {bracket(a['c_prev'])} = {short(d['df'])}"
        assert got["dz_g"] == f"= {bracket(d['dg'])} · (1 − {bracket(a['g'])}²) = {short(d['dz_g'])}"
        bars = tab.js(
            "[...document.querySelectorAll('#view-model .bars .num')].map(n => Number(n.dataset.v))"
        )
        assert [v for v in [*parts, d["dh"], carry, d["dc"]] if v not in bars] == []
        tab.press("b", "ArrowDown")


def test_an_equation_that_does_not_hold_gets_no_numbers(show):
    page = sample_page(S=3, T=2, H=4)
    page["layers"][0]["steps"][0]["forward"]["c"][0] += 0.01
    got = equations(show(page))
    assert got["c"].startswith("= ") and "·" not in got["c"] and "sigmoid" in got["i"]


def test_cells_work_by_keyboard(show, page):
    tab = show(page)
    tab.js("document.querySelector('.cell.now').focus()")
    tab.press("ArrowRight")
    assert tab.js("document.activeElement.dataset.cell") == "cell:0:1"  # the focus goes along
    tab.js("document.querySelector('[data-cell=\"output::2\"]').focus()")
    tab.press("Enter")
    assert now(tab) == "output::2" and page["outputs"][2]["right"] in tab.text("#panel-heading") + tab.text(
        "#live"
    )


def test_attention(show, page):
    tab = show(page)
    tab.press("2")
    for kind in ("weights", "scores", "dweights", "dscores"):
        rows = table(tab, "attention")
        assert len(rows) == len(page["target_out"])
        for cells, values in zip(rows.values(), page["attention"][kind]):
            same(cells, values)
        tab.press("m")
    tab.click("#view-attention td[data-r='4'][data-k='7']")
    lit = "[...document.querySelectorAll('#view-attention th.lit')].map(th => th.textContent)"
    assert tab.js(lit) == [page["source"][7], f"4: {page['target_out'][4]}"]
    assert str(page["attention"]["weights"][4][7]) in tab.text("#live")
    tab.press("ArrowRight", "ArrowDown")
    assert tab.js(lit) == [page["source"][8], f"5: {page['target_out'][5]}"]
    tab.hover("#view-attention td[data-r='1'][data-k='2']")
    tab.until(
        f"JSON.stringify({lit}) == JSON.stringify({json.dumps([page['source'][2], '1: ' + page['target_out'][1]])})"
    )


def test_loss_and_outputs(show, page):
    tab = show(page)
    tab.click("[data-view=loss]")
    bars = "[...document.querySelectorAll('#view-loss .column')].map(c => [Number(c.querySelector('.num').dataset.v), c.querySelector('.what').textContent])"
    assert [v for v, _ in tab.js(bars)] == page["losses"]
    for s in range(4):
        top = tab.js("[...document.querySelectorAll('#view-loss .bars .num')].map(n => Number(n.dataset.v))")
        assert top[:5] == [p for _, p in page["outputs"][s]["top"]]
        assert str(page["losses"][s]) in tab.text("#live") and f"= {page['loss']}" in tab.text(
            "#view-loss figcaption"
        )
        tab.press("ArrowRight")
    tab.click("#view-loss .column:nth-child(8)")
    assert f"step 7, “{page['outputs'][7]['right']}”" in tab.text("#live")


def test_gradient_paths(show, page):
    tab, bptt = show(page), page["bptt"]
    tab.press("4")
    for s, cells in enumerate(table(tab, "bptt").values()):
        same(cells, [row[s] for row in bptt["total"]])
    tab.press("Home", "ArrowRight", "ArrowRight", "ArrowUp")
    state, s = 2, len(bptt["loss_steps"]) - 2
    for _ in range(2):
        assert str(bptt["total"][state][s]) in tab.text("#live")
        bars = tab.js("[...document.querySelectorAll('#view-bptt .bars .num')].map(n => Number(n.dataset.v))")
        assert bars == [*bptt["norm"][state][s], bptt["total"][state][s]]
        state, s = 15, 6
        tab.js(
            "for (const [key, v] of [['bptt-s', 6], ['bptt-state', 15]]) { const one = document.querySelector(`[data-key=${key}]`);"
            "one.value = v; one.dispatchEvent(new Event('change')) }"
        )


def test_what_ifs_in_both_languages(show, real_page):
    page = real_page()
    english, chinese = (show(page, language=language) for language in ("en", "zh"))
    names = "[...document.querySelectorAll('.choices button span:first-child')].map(span => span.textContent)"
    for tab in (english, chinese):
        tab.click("[data-view=what]")
    theirs = chinese.js(names)
    said = [re.sub("'([^']*)'", "“\\1”", choice["label"]) for choice in page["what_if"]]  # the page's own quotes
    assert english.js(names) == said and len(set(theirs)) == len(theirs) == len(said)
    for text, choice in zip(theirs, page["what_if"], strict=True):
        assert re.search("[\u4e00-\u9fff]", text) and not re.search("step|all|units|anywhere|place", text), text
        where = choice["where"]
        assert all(str(where[k]) in text for k in ("layer", "step") if where.get(k) is not None), text


def test_attention_that_is_read_before_the_cell(show, real_page):
    page = real_page(decoder="bahdanau")
    tab = show(page)
    decoder = len(page["layers"]) - 1
    cells = tab.js("document.querySelectorAll('[data-cell^=\"cell:\"]').length") - 12  # those of the encoder
    for _ in range(cells):
        tab.press("ArrowRight")
    order = []
    for _ in range(6):
        order.append(now(tab).split(":")[0] + now(tab)[-1])
        tab.press("ArrowRight")
    assert order == ["attention0", "cell0", "output0", "attention1", "cell1", "output1"]
    at = "Number(document.querySelector('[data-cell=\"%s\"] .box').getAttribute('%s'))"
    assert tab.js(at % ("attention::1", "cx")) < tab.js(at % (f"cell:{decoder}:1", "x")) + 20


def test_the_bridge_starts_where_a_layer_has_read_all(show, real_page):
    """Read backwards, that is at the first token."""
    tab = show(real_page())
    while now(tab) != "cell:2:0":  # the first of the decoder
        tab.press("ArrowRight")
    lit = tab.js("[...document.querySelectorAll('.edge.flow')].map(path => path.getAttribute('d'))")
    box = "Number(document.querySelector('[data-cell=\"cell:%s\"] .box').getAttribute('x'))"
    left, right = tab.js(box % "1:0"), tab.js(box % "0:11") + 40
    assert sorted(float(d[1:].split()[0]) for d in lit)[:2] == [left, right]


def test_what_if(show, page):
    tab = show(page)
    tab.press("5")
    for choice in page["what_if"]:
        assert choice["label"] in tab.js("document.querySelector('.choices [aria-pressed=true]').textContent")
        new = tab.js(
            "[...document.querySelectorAll('#view-what .column .num')].map(n => Number(n.dataset.v))"
        )
        assert new == choice["losses"]
        rows = tab.js(
            "[...document.querySelectorAll('#view-what tbody tr')].map(r => [...r.children].map(c => c.textContent))"
        )
        for k, row in enumerate(rows):
            before, after = page["outputs"][k]["top"][0][0], choice["output"][k]
            shown = ["␣" if w == " " else w for w in (before, after)]
            assert row[2:4] == [shown[0], ("" if before == after else "≠ ") + shown[1]]
            assert row[4:] == [short(page["outputs"][k]["p"]), short(choice["right_p"][k])]
        assert f"{page['loss']} to {choice['loss']}" in tab.text("#live")
        tab.press("ArrowDown")


def test_beam(show, page):
    tab = show(page)
    tab.press("6")
    nodes = {n["id"]: n for n in page["beam"]["nodes"]}
    scores = tab.js(
        "[...document.querySelectorAll('.leaf')].map(g => [Number(g.dataset.node), Number(g.querySelector('[data-v]').dataset.v)])"
    )
    assert dict(map(tuple, scores)) == {k: n["score"] for k, n in nodes.items()}
    path, at = [], page["beam"]["best"]
    while at is not None:
        path.insert(0, at)
        at = nodes[at]["parent"]
    rows = "[...document.querySelectorAll('#view-beam tbody tr')].map(r => [...r.querySelectorAll('[data-v]')].map(c => Number(c.dataset.v)))"
    assert tab.js(rows) == [[nodes[k][name] for name in ("log_prob", "total", "score")] for k in path]
    chosen = "Number(document.querySelector('.leaf.now').dataset.node)"
    assert tab.js(chosen) == path[-1]
    tab.press("ArrowLeft", "ArrowLeft")
    assert tab.js(chosen) == path[-3] and len(tab.js(rows)) == len(path) - 2
    tab.press("ArrowRight")
    assert tab.js(chosen) == path[-2]
    tab.press("ArrowDown")
    assert tab.js(chosen) != path[-2] and nodes[tab.js(chosen)]["step"] == nodes[path[-2]]["step"]
    assert "dropped" in tab.text("#view-beam") and "score" in tab.text("#live")


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("width", [360, 1600])
def test_no_page_scrolls_sideways(show, page, width, language):
    tab = show(page | {"lang": language}, width=width)
    assert tab.js("document.documentElement.lang") == {"en": "en", "zh": "zh-CN"}[language]
    for n, name in enumerate(VIEWS, 1):
        tab.press(str(n), "ArrowRight", "ArrowDown")
        if name == "model":
            tab.press("End")
        assert tab.js("document.documentElement.scrollWidth <= innerWidth"), name
        assert tab.js(f"getComputedStyle(document.getElementById('view-{name}')).display") == "block"
        # what is chosen is in sight
        inside = (
            "[...document.querySelectorAll('.view.on .cell.now, .view.on td.pick, .view.on .leaf.now')].every(n => {"
            "const r = n.getBoundingClientRect(); return r.left >= 0 && r.right <= innerWidth })"
        )
        assert tab.js(inside), name


def test_languages(show, page):
    tab = show(page, language="zh-CN")
    assert tab.js("document.documentElement.lang") == "zh-CN" and "前向" in tab.text("#live")
    tab.press("ArrowRight")
    tab.click("[data-key=lang]")
    assert tab.text("#live").startswith("Forward 2 of 97") and tab.js("document.documentElement.lang") == "en"
    assert not re.search("[\u4e00-\u9fff]", tab.text("main") + tab.text("nav"))
    tab.press("z")
    assert "反向" in tab.text("main")
    for n in range(1, 7):
        tab.press(str(n))
        assert re.search("[\u4e00-\u9fff]", tab.text("#live"))


def test_dark_and_light(show, page):
    colour = "getComputedStyle(document.documentElement).backgroundColor"
    tab = show(page, dark=True)
    assert tab.js(colour) == "rgb(21, 24, 28)"
    tab.media("print", dark=True)
    assert tab.js(colour) == "rgb(255, 255, 255)"  # paper is white
    tab.media("screen")
    assert tab.js(colour) == "rgb(255, 255, 255)"


def test_print_shows_every_view_in_its_state(show, page):
    tab = show(page)
    tab.press("ArrowRight", "2", "ArrowDown", "1")
    tab.until("[...document.querySelectorAll('.view')].every(v => v.querySelector('figcaption'))")
    tab.media("print")
    for name in VIEWS:
        assert tab.js(f"document.getElementById('view-{name}').getBoundingClientRect().height") > 50, name
    assert tab.js(
        "[...document.querySelectorAll('figure')].every(f => f.querySelector('figcaption').textContent.trim())"
    )
    assert tab.js("getComputedStyle(document.querySelector('nav')).display") == "none"
    tab.size(720)  # about what A4 has
    wide = "[...document.querySelectorAll('.view table, .view svg, .view .columns')].filter(n => n.getBoundingClientRect().right > 720).map(n => n.closest('.view').id)"
    assert tab.js(wide) == []
    assert tab.pdf().startswith(b"%PDF")


def test_signs_do_not_hang_on_colour(show, page):
    """Negative squares of a cell carry a dash, negative bars are hatched, numbers have their sign."""
    tab = show(page)
    step = page["layers"][0]["steps"][0]["forward"]["h"]
    scale = max(abs(v) for s in page["layers"][0]["steps"] for v in s["forward"]["h"])
    d = tab.js("document.querySelector('[data-cell=\"cell:0:0\"] .glyph.f .minus-marks').getAttribute('d')")
    assert d.count("M") == sum(v < 0 and abs(v) / scale >= 0.02 for v in step)
    assert "repeating-linear-gradient" in tab.js(
        "getComputedStyle(document.querySelector('.fill.minus') || Object.assign(document.body.appendChild(document.createElement('i')), {className: 'fill minus'})).backgroundImage"
    )


def test_help_and_focus(show, page):
    tab = show(page)
    tab.press("?")
    assert (
        tab.js("document.getElementById('help').open")
        and tab.js("document.querySelectorAll('#help kbd').length") > 12
    )
    tab.press("ArrowRight")
    assert tab.text("#live").startswith("Forward 1 ")  # keys belong to the dialog now
    tab.press("Escape")
    assert not tab.js("document.getElementById('help').open")
    reached = set()
    for _ in range(40):
        tab.press("Tab")
        name, seen = tab.js(
            "(() => { const n = document.activeElement, box = n.querySelector('.box') || n, s = getComputedStyle(box);"
            "return [n.dataset.key || n.dataset.cell || n.tagName, n === document.body || s.outlineStyle !== 'none' || parseFloat(s.strokeWidth) >= 3] })()"
        )
        assert seen, name
        reached.add(name)
    assert {
        "lang",
        "help",
        *(f"nav-{v}" for v in VIEWS),
        "next",
        "play",
        "range",
        "flip",
        "unit",
        "cell:0:0",
    } <= reached


def test_native_controls_keep_their_keys(show, page):
    tab = show(page)
    tab.js("document.querySelector('[data-key=range]').focus()")
    tab.press("ArrowRight", "ArrowRight", "ArrowLeft")
    assert (
        tab.text("#live").startswith("Forward 2 ") and tab.js("document.activeElement.dataset.key") == "range"
    )
    tab.js("document.querySelector('[data-key=next]').focus()")
    tab.press("Enter", " ")
    assert (
        tab.text("#live").startswith("Forward 4 ") and tab.js("document.activeElement.dataset.key") == "next"
    )


def test_play_and_stop(show, page):
    tab = show(page)
    tab.press("p")
    tab.until("/^Forward 3 /.test(document.getElementById('live').textContent)")
    tab.press("p")
    said = tab.text("#live")
    tab.js("new Promise(done => setTimeout(done, 900))")
    assert tab.text("#live") == said


def without(**changes) -> dict:
    return sample_page(
        S=5, T=4, H=4, **{k: v for k, v in changes.items() if k in ("cell", "layers", "both")}
    ) | {k: v for k, v in changes.items() if k not in ("cell", "layers", "both")}


ODD = {
    "no attention": without(attention=None),
    "no beam": without(beam=None),
    "nothing but layers": without(
        attention=None, beam=None, bptt=None, what_if=None, outputs=[], losses=[], loss=None
    ),
    "empty": {"version": 1, "title": "nothing"},
    "gru": without(cell="gru"),
    "rnn": without(cell="rnn", attention=None),
    "two layers, both ways": without(layers=2, both=True),
    "sampled": without(H=512, units=[0, 7, 300, 511]),
    "no what-if": without(what_if=[]),
    "hostile": hostile_page(),
}


@pytest.mark.parametrize("name", ODD)
def test_missing_parts_and_other_cells(show, name):
    page = ODD[name]
    tab = show(page)
    count = tab.js("document.querySelectorAll('nav button').length")
    expected = 3 + bool(page.get("bptt")) + bool(page.get("what_if")) + bool(page.get("beam"))
    assert count == expected
    for n in range(count):
        tab.press(str(n + 1), "ArrowRight", "ArrowDown", "End", "ArrowLeft", "ArrowUp", "Home")
        assert tab.text("#live")
    tab.press("1")
    for keys in (["ArrowRight"] * 14, ["l"], ["ArrowRight"] * 10, ["End"], ["ArrowLeft"] * 4):
        tab.press(*keys)
    if name == "sampled":
        assert "4 of 512" in tab.text("header")
        assert list(map(str, page["units"])) == tab.js(
            "[...document.querySelectorAll('[data-key=unit] option')].map(o => o.textContent)"
        )
    for n, layer in enumerate(page.get("layers", [])):
        tab.press("Home")
        tab.click(f'[data-cell="cell:{n}:1"]')
        rows = table(tab, "model")
        assert list(rows) == list(layer["steps"][1]["forward"])
        same(rows["h"], layer["steps"][1]["forward"]["h"])


def test_layers_may_have_fewer_units(show):
    """Each direction of an encoder that reads both ways has half of the units."""
    page = sample_page(S=3, T=2, H=6, both=True)
    tab = show(page)
    tab.press("End", *["l"], *["ArrowRight"] * 3, *["ArrowDown"] * 9)  # a cell of the decoder
    assert "Unit" not in tab.text("#live") and tab.text("#view-model .equations").count("undefined") == 0
    tab.press("b")
    assert "Unit 5:" in tab.text("#live")
    tab.press("Home")
    assert f"Unit 2: c = {short(page['layers'][0]['steps'][0]['forward']['c'][2])}" in tab.text("#live")
    assert [len(cells) for cells in table(tab, "model").values()] == [3] * 13
    tab.press("ArrowUp")
    assert "Unit 1:" in tab.text("#live")


def test_a_decode_has_no_backward_pass(show):
    page = sample_page(S=3, T=2, H=4)
    for layer in page["layers"]:
        for step in layer["steps"]:
            for key in ("backward", "dh_parts", "dc_parts"):
                del step[key]
    tab = show(page)
    tab.press("End")
    assert tab.text("#live").startswith("10 of 10. The loss") and "backward" not in tab.text(
        "#view-model .bar"
    )


def test_not_a_number(show):
    page = sample_page(S=3, T=2, H=4)
    page["layers"][0]["steps"][0]["forward"]["h"][:2] = [math.nan, math.inf]
    page["losses"][0] = page["loss"] = math.nan
    tab = show(page)
    cells = tab.js(
        "[...document.querySelectorAll('#view-model tr:last-child td[data-v]')].map(td => [td.textContent, td.className.trim()])"
    )
    assert [text for text, _ in cells[:2]] == ["nan", "+inf"] and cells[1][1].startswith("odd")
    tab.press("l", "3", "4")


def test_a_smoothed_loss_has_other_gradients(show):
    """p minus what the loss asks for, and not p - 1; a token of too high a probability is pushed down."""
    page = sample_page(S=3, T=2, H=4)
    page["targets"], page["outputs"][0]["p"], page["outputs"][1]["p"] = [0.75, 0.05], 0.5, 1.0
    tab = show(page)
    tab.press("l", "ArrowRight")
    assert now(tab) == "output::1"
    assert "p − 0.75 = 0.250 " in tab.text("#live") and "pushed down" in tab.text("#live")
    assert "0.750 for the right token and 0.050 for each other one" in tab.text("#view-model")
    for _ in range(20):
        if now(tab) == "output::0":
            break
        tab.press("ArrowRight")
    assert re.search("p − 0.75 = [-−]0.250 ", tab.text("#live")) and "pushed up" in tab.text("#live")


def test_two_in_one_notebook(show, page):
    frames = notebook_html(page) + notebook_html(sample_page(S=3, T=2, H=4))
    inside = frames.replace('sandbox="allow-scripts allow-modals"', "")  # so that the test may look inside
    tab = show(f"<!doctype html><meta charset=utf-8><link rel=icon href='data:,'>{inside}")
    tab.until("[...document.querySelectorAll('iframe')].every(f => f.contentDocument.getElementById('live'))")
    tab.js("document.querySelectorAll('iframe')[1].contentDocument.querySelector('[data-key=next]').click()")
    said = tab.js(
        "[...document.querySelectorAll('iframe')].map(f => f.contentDocument.getElementById('live').textContent)"
    )
    assert said[0].startswith("Forward 1 of 97") and said[1].startswith("Forward 2 of 19")
    show(f"<!doctype html><meta charset=utf-8><link rel=icon href='data:,'>{frames}").js(
        "new Promise(done => setTimeout(done, 500))"
    )


def test_hostile_tokens_are_shown_as_text(show):
    tab = show(hostile_page())
    assert "alert(1)" in tab.text("header h1") and tab.js("document.querySelectorAll('script').length") == 2
