"""The textbook beside the engine; its edits run, are said in words, and are found again."""

import ast
import inspect

import numpy as np
import pytest

from minis2s.functional import OPS
from minis2s.gradcheck import CAUSES, Report, gradcheck, two_mistakes
from minis2s.gradcheck import textbook as tb
from minis2s.gradcheck.edits import Edit, edits, recorded, rewritten, several, syntax_of, variables_of
from minis2s.gradcheck.hypotheses import CANNOT_RUN, sizes_for
from minis2s.gradcheck.kind import Kind
from minis2s.gradcheck.kinds import KINDS
from minis2s.gradcheck.trial import Form, arguments_of, gradients_of

FUNCTIONS = {name: f for name, f in vars(tb).items() if name.endswith("_backward")}
BEFORE = {"reset_after": False}
CASES = [
    (name, setting, options)
    for name, kind in KINDS.items()
    for setting in kind.settings
    for options in ([{}, BEFORE] if name.startswith("gru") else [{}])
]


def rng(seed: int = 3) -> np.random.Generator:
    return np.random.default_rng(seed)


# -- the engine, called with the arguments of a kind ---------------------------------------------------


def scores_of_engine(v: dict, op: str):
    if op == "additive_scores":
        return OPS[op].forward(v["query"], v["keys"], v["Wq"], v["v"])
    return OPS[op].forward(v["query"], v["memory"], *([v["W"]] if "W" in v else []))


def attention_of_engine(name: str, v: dict, dout: np.ndarray | None = None):
    """([context], gradients by name) of an attention put together from three pairs."""
    op = {"attention": "general_scores"}.get(name, name.replace("attention", "scores"))
    scores, cache = scores_of_engine(v, op)
    weights, softmax = OPS["masked_softmax"].forward(scores, v["mask"])
    context, summed = OPS["weighted_sum"].forward(weights, v["memory"])
    if dout is None:
        return [context]
    dweights, dmemory = OPS["weighted_sum"].backward(dout, summed)
    dquery, dkeys, *rest = OPS[op].backward(OPS["masked_softmax"].backward(dweights, softmax), cache)
    if op == "additive_scores":
        return {"query": dquery, "memory": dmemory, "keys": dkeys, "Wq": rest[0], "v": rest[1]}
    return {"query": dquery, "memory": dmemory + dkeys} | ({"W": rest[0]} if rest else {})


def of_engine(kind: Kind, values: dict, douts: list | None = None):
    """The outs of the engine, or, with `douts`, its gradients by name."""
    if "attention" in kind.name:
        return attention_of_engine(kind.name, values, None if douts is None else douts[0])
    op = OPS[kind.name]
    extras = {name: values[name] for name in kind.extras if name in values}
    out, cache = op.forward(*(values[name] for name in kind.arguments), **extras)
    if douts is None:
        return list(out) if isinstance(out, tuple) else [out]
    gradients = op.backward(tuple(douts) if isinstance(out, tuple) else douts[0], cache)
    return dict(zip(kind.arguments, gradients if isinstance(gradients, tuple) else (gradients,), strict=True))


def textbook_gradients(kind: Kind, values: dict, douts: list, run=None) -> dict:
    """The gradients of the textbook, or of a function that stands in its place."""
    reference = kind.reference(values)
    arguments = arguments_of(reference.backward, kind, reference, douts)
    return gradients_of((run or reference.backward)(**arguments), kind, Form(kind.gates, {}), values)


def drawn(name: str, setting: str, options: dict) -> tuple[Kind, dict, list]:
    """(kind, values, upstream gradients)."""
    kind = KINDS[name]
    values = {**kind.make(rng(), setting), **options}
    normal = rng(4).standard_normal
    return kind, values, [np.asarray(normal(out.shape)) for out in kind.reference(values).outs]


@pytest.mark.parametrize("name, setting, options", CASES, ids=lambda x: str(x))
def test_the_textbook_is_the_engine(name, setting, options):
    kind, values, douts = drawn(name, setting, options)
    outs, expected = kind.reference(values).outs, of_engine(kind, values)
    assert len(outs) == len(expected) == len(kind.outs)
    for a, b in zip(outs, expected):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
    gradients, expected = textbook_gradients(kind, values, douts), of_engine(kind, values, douts)
    assert list(gradients) == list(expected) == list(kind.arguments)
    for key, gradient in gradients.items():
        np.testing.assert_allclose(gradient, expected[key], rtol=0, atol=1e-12, err_msg=key)
        assert np.abs(gradient).max() > 1e-3


def test_every_textbook_function_belongs_to_a_kind_and_every_op_is_one():
    used = {
        KINDS[name].reference(drawn(name, setting, options)[1]).backward for name, setting, options in CASES
    }
    assert used == set(FUNCTIONS.values()) and OPS.keys() <= KINDS.keys()


def test_the_axes_of_a_kind_fit_its_arrays():
    """A letter has one size within a kind."""
    for name, kind in KINDS.items():
        values = kind.make(rng(), kind.settings[0])
        sizes: dict = {}
        for key, letters in [*kind.arguments.items()]:
            assert values[key].ndim == len(letters), (name, key)
            for letter, size in zip(letters, values[key].shape):
                assert sizes.setdefault(letter, size) == size, (name, key)
        shapes = [out.shape for out in kind.reference(values).outs]
        assert [len(s) for s in shapes] == [len(letters) for letters in kind.outs.values()], name
        assert kind.gate_axes == () or sizes["G"] == len(kind.gates) * sizes["H"]


# -- the edits -----------------------------------------------------------------------------------------


def case_of(function) -> tuple[str, dict]:
    """The first kind, and its options, whose textbook the function is."""
    for name, kind in KINDS.items():
        for options in [{}, BEFORE] if name == "gru" else [{}]:
            values = {**kind.make(rng(), kind.settings[0]), **options}
            if kind.reference(values).backward is function:
                return name, options
    raise LookupError(function.__name__)


def all_edits(function, rare: bool = False) -> list[Edit]:
    sizes = sizes_for(KINDS[case_of(function)[0]])
    variables = variables_of(function)
    found = [edit for variable in variables for edit in edits(function, sizes, variable, rare)]
    return found + ([] if rare else several(function, sizes, frozenset(variables)))


def every(items: list, most: int) -> list:
    """At most so many of the items, evenly spread."""
    return items[:: -(-len(items) // most)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_edit_has_a_cause_and_a_sentence(name):
    usual, rare = all_edits(FUNCTIONS[name]), all_edits(FUNCTIONS[name], rare=True)
    assert len(usual) >= 10
    variables = set(variables_of(FUNCTIONS[name]))
    assert {edit.variable for edit in usual} >= variables - {"target", "n"}
    for edit in [*usual, *rare]:
        assert edit.cause in CAUSES, (edit.line, edit.wrong)
        assert edit.says.strip() == edit.says and len(edit.says.split()) >= 3 and "\n" not in edit.says
        assert not edit.says.endswith(".")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_edit_compiles_and_runs_or_is_no_candidate(name):
    function = FUNCTIONS[name]
    kind_name, options = case_of(function)
    kind, values, douts = drawn(kind_name, KINDS[kind_name].settings[0], options)
    reference = kind.reference(values)
    arguments = arguments_of(function, kind, reference, douts)
    right = function(**arguments)
    source = inspect.getsource(function)
    ran = changed = 0
    chosen = [*every(all_edits(function), 90), *every(all_edits(function, rare=True), 40)]
    for edit in chosen:
        assert edit.wrong != edit.line and (
            edit.line in source or edit.line == ast.unparse(ast.parse(edit.line))
        )
        assert not edit.equation or edit.equation in source
        assert ast.unparse(edit.function) != ast.unparse(syntax_of(function))
        try:
            with np.errstate(all="ignore"):
                results = edit.run(**arguments)
        except CANNOT_RUN:
            continue
        ran += 1
        changed += not all(
            np.shape(a) == b.shape and np.allclose(a, b, rtol=1e-9, atol=1e-12)
            for a, b in zip(results, right)
        )
    assert ran > len(chosen) / 8 and changed > ran / 2
    for a, b in zip(function(**arguments), right):  # nothing of all this has changed the function
        np.testing.assert_array_equal(a, b)


# -- found again ---------------------------------------------------------------------------------------


def student(kind: Kind, run) -> tuple:
    """A pair of this kind whose backward is the function `run`, an edited textbook."""

    def forward(*given, **named):
        values = dict(zip([*kind.arguments, *kind.extras], given)) | named
        reference = kind.reference(values)
        outs = reference.outs
        return outs[0] if len(outs) == 1 else tuple(outs), (values, reference)

    def backward(dout, cache):
        values, reference = cache
        douts = list(dout) if isinstance(dout, tuple) else [np.asarray(dout)]
        arguments = arguments_of(reference.backward, kind, reference, douts)
        with np.errstate(all="ignore"):
            results = run(**arguments)
        return tuple(gradients_of(results, kind, Form(kind.gates, {}), values).values())

    parameter = inspect.Parameter
    forward.__signature__ = inspect.Signature(
        [parameter(name, parameter.POSITIONAL_OR_KEYWORD) for name in kind.arguments]
        + [parameter(name, parameter.POSITIONAL_OR_KEYWORD, default=None) for name in kind.extras]
    )
    return "student", forward, backward


def checked(function, run) -> Report:
    kind, options = case_of(function)
    return gradcheck(student(KINDS[kind], run), kind=kind, **options)


def shows(function, edit: Edit) -> bool:
    """Can the edit be run, and does it change a gradient in the first setting of its kind?"""
    name, options = case_of(function)
    kind, values, douts = drawn(name, KINDS[name].settings[0], options)
    right = textbook_gradients(kind, values, douts)
    try:
        with np.errstate(all="ignore"):
            wrong = textbook_gradients(kind, values, douts, edit.run)
    except CANNOT_RUN:
        return False
    return all(
        np.shape(wrong[key]) == g.shape and np.isfinite(wrong[key]).all() for key, g in right.items()
    ) and any(np.abs(wrong[key] - g).max() > 1e-3 * np.abs(g).max() for key, g in right.items())


def sample(function, count: int) -> list[Edit]:
    """Edits of as many different lines as possible, the same ones at every run."""
    candidates = all_edits(function)
    order = rng(11).permutation(len(candidates))
    chosen: dict = {}
    for n in order:
        edit = candidates[n]
        if edit.variable not in chosen and shows(function, edit):
            chosen[edit.variable] = edit
        if len(chosen) == count:
            break
    return list(chosen.values())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_right_function_as_a_student_is_right(name):
    report = checked(FUNCTIONS[name], FUNCTIONS[name])
    assert report.ok and report.findings == [], str(report)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_edit_is_found_with_its_very_line(name):
    function = FUNCTIONS[name]
    for edit in sample(function, 3 if "lstm" in name or "gru" in name else 4):
        report = checked(function, edit.run)
        assert report.verdict == "wrong", (edit.line, edit.wrong)
        found = {(cause.line, cause.wrong) for cause in report.causes}
        assert (edit.line, edit.wrong) in found, f"{edit.line} -> {edit.wrong}\n{report}\n{found}"
        assert report.place is not None


# -- records -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_recorded_function_computes_what_the_function_computes(name):
    function = FUNCTIONS[name]
    kind_name, options = case_of(function)
    kind, values, douts = drawn(kind_name, KINDS[kind_name].settings[0], options)
    arguments = arguments_of(function, kind, kind.reference(values), douts)
    records = recorded(syntax_of(function))(**arguments)
    made = {}
    for variable, _, value in records:
        made.setdefault(variable, []).append(value)
    returned = [node.id for node in syntax_of(function).body[-1].value.elts]
    for variable, result in zip(returned, function(**arguments), strict=True):
        values_made = made[variable]
        if values_made[-1].shape == result.shape:
            np.testing.assert_array_equal(values_made[-1], result)
        elif "ids" in arguments:  # after the zeros row by row; the last one of an id has all
            last = dict(zip(arguments["ids"].tolist(), values_made[1:]))
            np.testing.assert_array_equal([last.get(v, 0 * row) for v, row in enumerate(result)], result)
        else:  # filled step by step, from the last one
            np.testing.assert_array_equal(np.stack(values_made[::-1]), result)
    # a line inside the loop over time is recorded once for every step, with its number
    steps = {t for _, t, _ in records if t is not None}
    if "for t in" in inspect.getsource(function):
        assert steps == set(range(len(arguments["x"])))
    assert set(variables_of(function)) - {"t", "n"} <= made.keys()


def test_the_records_of_an_edit_differ_first_in_its_line():
    function = FUNCTIONS["lstm_backward"]
    kind, values, douts = drawn("lstm", "no mask", {})
    arguments = arguments_of(function, kind, kind.reference(values), douts)
    right = recorded(syntax_of(function))(**arguments)
    for edit in edits(function, (), "df"):
        if edit.cause == "sign":
            wrong = recorded(edit.function)(**arguments)
            first = next(n for n, (a, b) in enumerate(zip(right, wrong)) if not np.array_equal(a[2], b[2]))
            assert right[first][:2] == ("df", len(arguments["x"]) - 1)
            np.testing.assert_array_equal(right[first][2], -wrong[first][2])
            return
    raise AssertionError("no edit of the sign")


# -- mistakes that have a cause of their own ------------------------------------------------------------


def with_lines(function, *lines: tuple[str, str]) -> Report:
    """The report on a textbook function in which lines, given as (right, wrong), are changed."""
    source = inspect.getsource(function)
    assert all(f"{right}\n" in source for right, _ in lines)
    return checked(function, rewritten(source, list(lines), "", "", "").run)


LSTM_DF, LSTM_DO = "df = dc * c_prev[t]", "do = dh * tanh_c[t]"
LSTM_ZO, LSTM_DG = "dz_o = do * o[t] * (1 - o[t])", "dg = dc * i[t]"
LSTM_B, LSTM_DH = "db = db + dz.sum(axis=0)", "dh = dh + dhs[t]"
CLASSICS = [
    (tb.lstm_backward, [(LSTM_DF, "df = dc * c_prev[0]")], "time shift", "always that of the first step"),
    (tb.lstm_backward, [(LSTM_DF, "df = dc * c_prev[-1]")], "time shift", "always that of the last step"),
    (
        tb.lstm_backward,
        [
            ("dh_kept = dh * (1 - real[t])", "dh_kept = dh * real[t]"),
            ("dc_kept = dc * (1 - real[t])", "dc_kept = dc * real[t]"),
            ("dh = dh * real[t]", "dh = dh * (1 - real[t])"),
            ("dc = dc * real[t]", "dc = dc * (1 - real[t])"),
        ],
        "mask ignored",
        "the mask is inverted",
    ),
    (tb.lstm_backward, [(LSTM_DH, "dh = dh + dhs[t] * real[t]")], "mask ignored", "dropped at padded steps"),
    (
        tb.cross_entropy_backward,
        [
            (
                "dlogits = dsurprise * (probs - target)",
                "d = probs - target; dlogits = dsurprise * probs * (d - (d * probs).sum(axis=-1, keepdims=True))",
            )
        ],
        "wrong derivative",
        "a second time",
    ),
    (
        tb.gru_backward,
        [
            ("dz_n = dn * (1 - n[t] ** 2)", "dz_n = dn * n[t] * (1 - n[t])"),
            ("dz_r = dr * r[t] * (1 - r[t])", "dz_r = dr * (1 - r[t] ** 2)"),
            ("dz_u = du * u[t] * (1 - u[t])", "dz_u = du * (1 - u[t] ** 2)"),
        ],
        "wrong derivative",
        "are exchanged",
    ),
    (
        tb.gru_backward,
        [
            ("dn = dh * (1 - u[t])", "dn = dh * u[t]"),
            ("du = dh * (h_prev[t] - n[t])", "du = dh * (n[t] - h_prev[t])"),
            ("dh_prev = dh * u[t]", "dh_prev = dh * (1 - u[t])"),
        ],
        "wrong variable",
        "the other convention",
    ),
]


@pytest.mark.parametrize("function, lines, cause, says", CLASSICS, ids=[case[3] for case in CLASSICS])
def test_a_classic_mistake_has_its_cause(function, lines, cause, says):
    report = with_lines(function, *lines)
    assert report.cause.cause == cause and says in report.cause.says, str(report)
    assert report.cause.confidence == "certain"
    assert "zeros_like" not in report.cause.wrong and "the term t" not in report.cause.says


def test_where_another_line_gives_the_same_numbers_nothing_is_certain():
    for lines in ((LSTM_ZO, "dz_o = do * o[t] * (1 - o[t]) * o[t]"), (LSTM_DO, "do = dh * h[t]")):
        report = with_lines(tb.lstm_backward, lines)
        assert report.cause.confidence == "likely"
        assert any("dz_o is multiplied by o[t]" in c.says for c in report.causes), str(report)


@pytest.mark.parametrize(
    "first, second, says",
    [
        ((LSTM_DF, "df = dc * c[t]"), (LSTM_DO, "do = dh * h[t]"), ("df uses c[t]", "do uses h[t]")),
        ((LSTM_DG, "dg = -dc * i[t]"), (LSTM_B, "db = db + 2 * dz.sum(axis=0)"), ("sign of dg", "db")),
    ],
    ids=["in two gates", "in a gate and a weight"],
)
def test_two_known_mistakes_are_both_named(first, second, says):
    report = with_lines(tb.lstm_backward, first, second)
    assert report.cause.says.startswith("two mistakes: ") and report.cause.confidence == "likely", str(report)
    assert all(text in report.cause.says for text in says), str(report)


def test_no_more_pairs_of_mistakes_are_tried_than_stated(monkeypatch):
    """The pair in two gates is the first that is tried; that in a gate and a weight is not."""
    both = ((LSTM_DF, "df = dc * c[t]"), (LSTM_DO, "do = dh * h[t]"))
    later = ((LSTM_DG, "dg = -dc * i[t]"), (LSTM_B, "db = db + 2 * dz.sum(axis=0)"))
    for tried, lines, found in ((0, both, False), (1, both, True), (1, later, False)):
        monkeypatch.setattr(two_mistakes, "TRIED", tried)
        causes = with_lines(tb.lstm_backward, *lines).causes
        assert any(c.says.startswith("two mistakes") for c in causes) == found


def test_two_mistakes_of_which_one_is_unknown_are_not_guessed():
    report = with_lines(tb.lstm_backward, (LSTM_DF, "df = np.exp(dc * c[t])"), (LSTM_DO, "do = dh * h[t]"))
    assert not any(c.says.startswith("two mistakes") for c in report.causes)


def test_two_mistakes_are_looked_for_where_there_are_no_gates():
    lines = [
        ("dz = dh * (1 - h[t] ** 2)", "dz = dh * np.exp(h[t])"),
        (LSTM_B, "db = db + 2 * dz.sum(axis=0)"),
    ]
    report = with_lines(tb.rnn_backward, *lines)
    assert report.verdict == "wrong" and not any(c.confidence == "certain" for c in report.causes)
