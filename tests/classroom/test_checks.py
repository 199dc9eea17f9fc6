"""What checks say of what a student's functions return: `same`, `parts`, and how a grader runs a check.

mutate: not this file (what it tests holds no operation that a bug could be planted into)
"""

import re
import threading

import numpy as np
import pytest

from minis2s.classroom.checks import Wrong, fresh, parts, run_check, same, seeded
from minis2s.classroom.source import Check


class Liar(np.ndarray):
    """An array that equals everything."""

    def __eq__(self, other):
        return np.array(True)

    def __array_ufunc__(self, *args, **options):
        return np.zeros(self.shape)


X = np.arange(6.0).reshape(2, 3) + 1


@pytest.mark.parametrize(
    ("mine", "theirs", "said"),
    [
        (X, X, ""),
        (X + 1e-13, X, ""),
        (X.astype(np.float32), X, ""),  # these numbers are the same in float32
        (3.0, np.float64(3), ""),
        (np.float64(3), 3.0, ""),
        (np.array(3.0), 3.0, ""),
        (0, 0.0, ""),  # the loss where nothing is real
        (np.arange(3), np.arange(3, dtype=np.uint8), ""),
        (np.zeros((0, 3)), np.zeros((0, 3)), ""),
        (np.zeros(3), np.zeros(3), ""),
        (None, None, ""),
        (X + 1e-10, X, "nearly right"),
        (X + 0.5, X, "dW[0, 0] is wrong: relative error 8.3e-02, allowed 1e-12"),
        (np.float32(0.1) * np.ones(3, np.float32), np.full(3, 0.1), "float32 is not exact enough"),
        (1e-3 * np.ones(3), np.zeros(3), "is wrong"),
        (np.zeros(0), X, "has the shape (0,), it should be (2, 3)"),
        (np.zeros(1), np.float64(0), "has the shape (1,)"),
        (X.T, X, "has the shape (3, 2)"),
        (np.zeros((0, 271828, 3)), X, "dW has a shape of other sizes by far, it should be (2, 3)"),
        (np.zeros((2,) * 6), X, "dW has a shape of other sizes by far"),
        (np.full((2, 3), np.nan), X, "dW[0, 0] is not a finite number"),
        (np.where(X > 5, np.inf, X), X, "dW[1, 2] is not a finite number"),
        (np.full((2, 3), 1e308) * np.array([1, -1, 1]), X, "is wrong"),
        (X.astype(int), X, "has the dtype int64, it should hold floating-point numbers"),
        (X > 2, X, "has the dtype bool"),
        (True, 1.0, "has the dtype bool"),
        (2, 3.0, "is wrong"),
        (10**400, 3.0, "has the dtype object"),
        (1.0, 1, "it should hold integers"),
        (X + 0j, X, "has the dtype complex128"),
        (X.astype(object), X, "has the dtype object"),
        (np.array([1.0, 2]), np.array([1, 2]), "it should hold integers"),
        (np.array([1, 2]), np.array([1, 3]), "dW[1] is wrong, as are 1 of 2 entries"),
        (X.tolist(), X, "should be a plain NumPy array, it is a list"),
        (X.view(Liar), X, "it is a Liar"),
        (np.ma.masked_array(X + 1, mask=True), X, "it is a MaskedArray"),
        (None, X, "should be a plain NumPy array, it is None"),
        ("3", np.float64(3), "should be a number, it is a str"),
        (X, None, "should be None, it is a ndarray"),
    ],
)
def test_an_array_is_the_same_or_it_is_told_why_not(mine, theirs, said):
    if not said:
        return same(mine, theirs, "dW")
    with pytest.raises(Wrong) as raised:
        same(mine, theirs, "dW")
    assert said in str(raised.value) and str(raised.value).startswith("dW")


def test_the_reason_holds_no_value_of_the_reference():
    secret = np.array([123.456, 789.012])
    with pytest.raises(Wrong) as raised:
        same(secret + 1, secret, "y")
    assert not any(digits in str(raised.value) for digits in ("123", "456", "789", "012"))


@pytest.mark.parametrize("value", [(1, 2), [1, 2]])
def test_parts_of_a_tuple_or_a_list(value):
    assert parts(value, "a b", "f") == (1, 2)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ((1,), "f should return 2 things (a, b), it returned 1"),
        (X, "it returned a ndarray"),
        (None, "it returned None"),
    ],
)
def test_other_parts_are_told(value, said):
    with pytest.raises(Wrong, match="f should return 2 things") as raised:
        parts(value, "a b", "f")
    assert said in str(raised.value)


def test_numbers_are_fresh_and_can_be_had_again():
    assert fresh().random() != fresh().random()
    with seeded(7):
        first, again = fresh().random(), fresh().random()
        elsewhere = []
        thread = threading.Thread(target=lambda: elsewhere.append(fresh().random()))
        thread.start()
        thread.join()
    assert first == again == np.random.default_rng(7).random() != elsewhere[0]
    assert fresh().random() != first


# -- a grader runs one ---------------------------------------------------------------------------------------------

CHECK = Check(
    "double", "numbers", 1, False,
    "from minis2s.classroom.checks import fresh, same\nx = fresh().random(3)\ny, z = double(x)\nsame(y, 2 * x, 'y')",
)  # fmt: skip


class Boxed(Exception):
    outcome, reason = "timeout", "double took more than 10 s"


class Generous(Exception):
    outcome, reason = "right", "believe me"


def raising(error):
    def double(x):
        raise error

    return double


@pytest.mark.parametrize(
    ("double", "outcome", "said"),
    [
        (lambda x: (2 * x, 0), "right", ""),
        (lambda x: (3 * x, 0), "wrong", "y[" ),
        (lambda x: 2 * x, "wrong", "not of the form that the task asks for (ValueError)"),
        (lambda x: None, "wrong", "not of the form that the task asks for (TypeError)"),
        (raising(NotImplementedError("double: write double")), "not written", "double is not written yet"),
        (raising(ValueError("x is [0.1, 0.2]")), "raised", "double raised ValueError"),
        (raising(SystemExit(0)), "raised", "double raised SystemExit"),
        (raising(GeneratorExit()), "raised", "double raised GeneratorExit"),
        (raising(AssertionError("no")), "raised", "double raised AssertionError"),
        (raising(Wrong("y is fine")), "raised", "double raised Wrong"),
        (raising(RecursionError()), "raised", "double raised RecursionError"),
        (raising(Boxed()), "timeout", "double took more than 10 s"),
        (raising(Generous()), "raised", "double raised Generous"),
        (None, "missing", "there is no function double"),
    ],
)  # fmt: skip
def test_every_outcome_has_its_name_and_a_sentence(double, outcome, said):
    found = run_check(CHECK, {"double": double} if double else {}, 1)
    assert found.outcome == outcome and said in found.reason
    assert found.right == (outcome == "right") and bool(found.reason) != found.right
    assert "0.1" not in found.reason


def test_ctrl_c_is_no_outcome():
    with pytest.raises(KeyboardInterrupt):
        run_check(CHECK, {"double": raising(KeyboardInterrupt())}, 1)


def test_a_seed_gives_the_same_check():
    seen = []

    def double(x):
        seen.append(x.copy())
        return 2 * x, 0

    for seed in (3, 3, 4):
        assert run_check(CHECK, {"double": double}, seed).right
    assert np.array_equal(seen[0], seen[1]) and not np.array_equal(seen[0], seen[2])


def test_the_functions_keep_their_signatures():
    check = Check(
        "f",
        "arguments",
        1,
        False,
        "import inspect\nassert list(inspect.signature(f).parameters) == ['a', 'b']",
    )
    assert run_check(check, {"f": lambda a, b=1: None}, 1).right


@pytest.mark.parametrize(("mine", "says"), [(X + 0.5, "is wrong: "), (np.full((2, 3), np.nan), "is not a finite")])
def test_an_entry_of_what_has_several_words_stands_apart(mine, says):
    with pytest.raises(Wrong, match=re.escape(f"dW with a mask, at [0, 0], {says}")):
        same(mine, X, "dW with a mask")
