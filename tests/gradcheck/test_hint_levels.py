"""No hint level tells more than it should, in text, JSON or HTML, whatever the mistake is."""

import importlib.util
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from minis2s.functional import OPS
from minis2s.gradcheck import CAUSES, Block, Finding, Report, gradcheck
from minis2s.gradcheck.causes import Note, fault
from minis2s.gradcheck.html import to_html
from minis2s.gradcheck.kinds import KINDS
from minis2s.models import ModelConfig, Seq2Seq
from minis2s.op import Op


def load(name):
    """The data module NAME.py in this folder; tests/ is no package, so it cannot be imported by name."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = sys.modules.setdefault(name, importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    return module


student_bugs = load("student_bugs")
# One bug of each cause in each kind, those of the slow kinds in part.
CHOSEN = {}
for bug in student_bugs.BUGS:
    if bug.kind not in ("lstm", "gru") or bug.cause in ("gate order", "mask ignored", "carry dropped"):
        CHOSEN.setdefault((bug.kind, bug.cause), bug)
# Words that only a cause or a formula has.
CAUSE_WORDS = re.compile(
    r"transpos|exchanged|another order|right with|left out|belongs|factor|likely|perhaps|arrangement|the sum over"
)


def outputs(report: Report) -> dict[str, str]:
    """The three forms of a report, without what is the same in all of them."""
    page = to_html(report).split("</style>")[1]
    page = re.sub(r'class="?[\w ]*"?', "", page)
    return {"text": str(report), "json": report.to_json(), "html": re.sub(r"&#x27;", "'", page)}


def holds_back(full: Report) -> None:
    """Below the level of each hint, none of the three outputs has it; at its level, all have."""
    assert full.hint == 3
    node = None if full.place is None else full.place.node
    faults = " ".join(f.says for f in full.findings if f.level == 0)
    for level in range(4):
        report = replace(full, hint=level)
        for form, text in outputs(report).items():
            where = (form, level, text)
            if level < 1:
                if node is not None and node not in re.findall(r"\w+", faults + full.name):
                    assert node not in re.findall(r"\w+", text), where
                assert not re.search(r"\bgates?\b", text.replace(full.name, "")), where
                assert "first gradient" not in text and "where:" not in text, where
            if level < 2:
                for cause in full.causes:
                    if cause.says not in faults:
                        assert cause.says not in text, where
                    assert CAUSES[cause.cause] not in text and f'"{cause.cause}"' not in text, where
                if not faults:
                    assert not CAUSE_WORDS.search(text.replace(full.name, "")), where
            if level < 3 and full.cause is not None and full.cause.line:
                assert full.cause.line not in text, where
            for finding in full.findings:
                if finding.level > level:
                    assert finding.says not in text, where
        assert report.verdict == full.verdict == json.loads(report.to_json())["verdict"]
        assert report.where() == (full.where() if level >= 1 else "")
        assert report.why() == (full.why() if level >= 2 else "")
        assert report.formula() == (full.formula() if level >= 3 else "")


@pytest.mark.parametrize("bug", CHOSEN.values(), ids=lambda bug: f"{bug.kind}: {bug.name}")
def test_student_bugs(bug):
    options = {key: bug.options[key] for key in ("gates", "reset_after") if key in bug.options}
    report = gradcheck(("mine", bug.forward, bug.backward), kind=bug.kind, **options)
    assert report.verdict == "wrong"
    holds_back(report)


@pytest.mark.parametrize("pair", [p for p in student_bugs.BAD_INPUT if p.ends and p.name != "interrupts"],
                         ids=lambda pair: pair.name)  # fmt: skip
def test_pairs_that_misbehave(pair):
    if callable(pair.forward) and callable(pair.backward):
        holds_back(gradcheck((pair.forward, pair.backward), kind=pair.kind, seconds=20))


def test_a_pair_of_no_known_kind():
    x, W = np.arange(6.0).reshape(2, 3) + 0.5, np.linspace(-1, 1, 9).reshape(3, 3)

    def backward(dout, cache):
        return dout @ W, x.T @ dout  # W.T

    report = gradcheck((lambda x, W: (x @ W, None), backward), x, W)
    assert report.place.guessed
    holds_back(report)


@pytest.mark.parametrize("wrong", [False, True])
def test_a_forward_that_is_not_that_of_its_kind(wrong):
    op = OPS["lstm"]

    def forward(x, h0, c0, Wx, Wh, b, mask=None):
        H = h0.shape[1]
        Wx, Wh, b = (np.concatenate([a[..., H:], a[..., :H]], axis=-1) for a in (Wx, Wh, b))
        return op.forward(x, h0, c0, Wx, Wh, b, mask)

    def backward(dout, cache):
        *states, dWx, dWh, db = op.backward(dout, cache)
        H = dWh.shape[0]
        back = (np.concatenate([a[..., -H:], a[..., :-H]], axis=-1) for a in (dWx, dWh, db))
        return *((-d if wrong else d) for d in states), *back

    report = gradcheck(("mine", forward, backward), kind="lstm")
    assert report.verdict == ("wrong" if wrong else "right")
    assert any("gates lie in the order g, i, f, o" in f.says or f.level == 2 for f in report.findings)
    holds_back(report)


def test_findings_of_the_properties_need_level_two():
    """Forward with another activation: what the properties say of it names the mistake."""
    op = OPS["rnn"]

    def forward(x, h0, Wx, Wh, b, mask=None):
        return op.forward(x, h0, Wx, Wh, b + 0.5, mask)

    report = gradcheck(("mine", forward, op.backward), kind="rnn", fast=True)
    assert report.ok and report.forward == "differs"
    assert {f.level for f in report.findings} == {0, 2}
    for form, text in outputs(replace(report, hint=0)).items():
        assert "differs" in text, form
    holds_back(report)


def test_a_model():
    model = Seq2Seq(ModelConfig(embed=3, hidden=4), 8, 9, rng=np.random.default_rng(0))
    op = OPS["lstm"]

    def backward(dout, cache):
        dx, dh0, dc0, *rest = op.backward(dout, cache)
        return dx, dh0, 2 * dc0, *rest

    model.decoder.cells.layers[0].op = Op("lstm", op.forward, backward)
    report = gradcheck(model, fast=True)
    assert report.verdict == "wrong"
    holds_back(report)


def test_a_block_note_shows_what_its_level_allows():
    notes = {
        (
            Note("the gradient of W has shape (6, 5), expected (5, 6)", tells="it is transposed"),
        ): "transposed",
        (Note("both are small"), Note("with the setting 'ragged', right with: no mask", level=2)): "ragged",
    }
    report = Report("f", "", [Block(f"b{n}", "missing", 1.0, notes=some) for n, some in enumerate(notes)])
    for level in range(4):
        for text in outputs(replace(report, hint=level)).values():
            for some, secret in notes.items():
                assert (secret in text) == (level >= 2), (level, some)
                assert some[0].text in text
    running = Report("f", "", [Block("W", "wrong", 1.0, notes=(Note("running step by step", level=1),))])
    assert ["step by step" in str(replace(running, hint=n)) for n in range(4)] == [False, True, True, True]


def test_what_the_checks_note_of_a_block_has_its_level():
    """A gradient of another shape, a remainder like that of an epsilon, a mask that matters."""
    x, W = np.random.default_rng(0).standard_normal((2, 3)), np.ones((3, 2))

    def backward(dout, cache):
        return dout @ W.T, dout.T @ x

    report = gradcheck((lambda x, W: (x @ W, None), backward), x, W)
    (secret,) = [note.tells for block in report.blocks for note in block.notes if note.tells]
    assert secret == "it is transposed"
    holds_back(report)
    nearly = gradcheck(lambda x: (np.log(x.real + 1e-8), lambda dy: dy / x), np.array([0.5, 0.7]))
    masked = next(b for b in student_bugs.BUGS if b.kind == "rnn" and b.cause == "mask ignored")
    masked = gradcheck(("mine", masked.forward, masked.backward), kind="rnn")
    for report, secret in ((nearly, "epsilon"), (masked, "right with: no mask")):
        assert secret in str(report)
        shown = [replace(report, hint=level).shown().blocks for level in range(4)]
        assert [any(secret in b.note for b in blocks) for blocks in shown] == [False, False, True, True]


def test_a_fault_that_may_not_be_told_still_counts():
    report = Report("f", "", [Block("x", "right")], [Finding("hygiene", False, "a secret", level=2)], hint=0)
    assert report.verdict == "wrong" == json.loads(report.to_json())["verdict"]
    for text in outputs(report).values():
        assert "secret" not in text and "needs hint level 2" in text


def test_no_picture_at_level_zero():
    """Whose columns differ tells the gate."""
    bug = next(b for b in student_bugs.BUGS if b.kind == "lstm_step" and b.node == "dz")
    report = gradcheck(("mine", bug.forward, bug.backward), kind=bug.kind)
    assert ["Where they differ" in to_html(replace(report, hint=n)) for n in range(4)] == [
        False,
        True,
        True,
        True,
    ]


def test_every_kind_is_named_in_the_verdict_on_forward():
    for kind in KINDS:
        said = Report("mine", kind, [Block("x", "right")], forward="differs").summary()
        assert said.startswith("forward differs from a")
        assert ("an LSTM" in said) == ("lstm" in kind)
        assert not re.search(r"\ba [aeio]|\ban [^aeiouLR]", said.partition(";")[0]), said


# -- faults of behaviour -----------------------------------------------------------------------------------

X = np.random.default_rng(2).standard_normal((3, 4))


def keeps_its_gradient():
    kept = []

    def backward(dout, cache):
        kept.append(2 * dout * X)
        return sum(kept)

    return lambda x: (x**2, x), backward


def uses_what_it_kept():
    kept = {}

    def forward(x):
        kept["x"] = x
        return x**2, None

    return forward, lambda dout, cache: 2 * dout * kept["x"]


def writes_into_dout():
    def backward(dout, cache):
        dout *= 2 * cache
        return dout + 0

    return lambda x: (x**2, x), backward


def writes_into_its_cache():
    def backward(dout, cache):
        dx = 2 * dout * cache
        cache += 1
        return dx

    return lambda x: (x**2, x.copy()), backward


def writes_into_its_input():
    def forward(x):
        x *= 2
        return x + 0, None

    return forward, lambda dout, cache: 2 * dout


def writes_into_a_buffer():
    buffer = np.zeros_like(X)

    def backward(dout, cache):
        return np.multiply(2 * dout, cache, out=buffer)

    return lambda x: (x**2, x), backward


def draws():
    rng = np.random.default_rng(0)
    return lambda x: (x * rng.random(), x), lambda dout, cache: dout


def returns_a_masked_array():
    return lambda x: (2 * x, None), lambda dout, cache: np.ma.masked_array(2 * dout)


def returns_whole_numbers():
    return lambda x: (x.astype(int), None), lambda dout, cache: dout


def returns_none():
    return lambda x: (2 * x, None), lambda dout, cache: None


@pytest.mark.parametrize(
    ("pair", "seen", "more"),
    [
        (keeps_its_gradient, "another gradient of x the second time", "are still there"),
        (uses_what_it_kept, "the gradient of x is that of the other call", "must use its cache only"),
        (writes_into_dout, "backward changes the gradient dout that it is given", "in-place"),
        (writes_into_its_cache, "backward changes its cache", "a second call"),
        (writes_into_its_input, "forward changes its input x in place", "work on a copy"),
        (writes_into_a_buffer, "write the gradient of x into the same buffer", "make new arrays"),
        (draws, "forward with the same inputs give two results", "fix every random choice"),
        (returns_a_masked_array, "the gradient of x is a masked array", "return a plain array"),
        (returns_whole_numbers, "expected floating-point numbers", "look for rounding"),
        (returns_none, "backward returned None", "return statement"),
    ],
)
def test_a_fault_of_behaviour_keeps_its_remedy_for_level_two(pair, seen, more):
    for level in range(4):
        report = gradcheck(pair(), X, hint=level)
        assert report.verdict == "wrong"
        for form, text in outputs(report).items():
            assert seen in text, (form, level)
            assert (more in text) == (level >= 2), (form, level)


def test_words_before_and_behind_a_finding_keep_to_its_levels():
    found = fault("it hangs", more=": look for a loop").prefixed("on its own: ").told("; or wait")
    assert found.says == "on its own: it hangs: look for a loop; or wait"
    whole = Finding("hygiene", False, "it hangs").prefixed("on its own: ")
    for level in range(4):
        shown = [*map(str, replace(Report("f", "", [], [found, whole]), hint=level).shown().findings)]
        assert ["look for" in text for text in shown] == ["or wait" in text for text in shown]
        assert ["look for" in text for text in shown] == [level >= 2, False]
        assert all("on its own: it hangs" in text for text in shown)
    assert "seen" not in Report("f", "", [], [found]).to_dict()["findings"][0]


def test_what_is_raised_is_told_at_every_level_and_what_to_do_at_level_two():
    def backward(dout, cache):
        raise ValueError("sizes: 3 and 4; look for x")

    remedy = "x may have more than two axes"
    lstm = OPS["lstm"]

    def needs_all(dout, cache):
        return lstm.backward(tuple(d + 0 for d in dout), cache)

    for level in range(4):
        said = str(gradcheck((lambda x: (x, x), backward), X, hint=level))
        assert "sizes: 3 and 4; look for x" in said
        two_axes = gradcheck((lambda x, W, b: (x @ W + b, (x, W)), two_axes_only), kind="linear", hint=level)
        assert "with the setting 'sequence': backward raised" in str(two_axes)
        assert (remedy in str(two_axes)) == (level >= 2)
        none = str(gradcheck((lstm.forward, needs_all), kind="lstm", without=[1], hint=level))
        assert "NoneType" in none and ("put zeros in its place" in none) == (level >= 2)


def two_axes_only(dout, cache):
    x, W = cache
    return dout @ W.T, x.T @ dout, dout.sum(axis=0)
