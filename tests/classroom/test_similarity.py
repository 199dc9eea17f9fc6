"""What makes two programs alike: neither names nor layout, and never what all of the class have."""

import re

import pytest

from minis2s.classroom.fingerprints import windows
from minis2s.classroom.similarity import FEWEST, Match, similarity

ONE = '''
import numpy as np

def sigmoid(z):
    """The logistic function."""
    return 1 / (1 + np.exp(-z))

def forward(x, h, c, Wx, Wh, b):
    # all gates at once
    z = x @ Wx + h @ Wh + b
    i, f, o, g = np.split(z, 4, axis=1)
    i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
    c_new = f * c + i * g
    t = np.tanh(c_new)
    for k in range(3):
        t = t * 1.0
    return o * t, c_new, (x, h, c, Wx, Wh, i, f, o, g, t)

def backward(dh, dc, cache):
    x, h, c, Wx, Wh, i, f, o, g, t = cache
    do = dh * t
    dc = dc + dh * o * (1 - t ** 2)
    df = dc * c
    di = dc * g
    dg = dc * i
    dz = np.hstack([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g ** 2)])
    dx = dz @ Wx.T
    dWx = x.T @ dz
    return dx, dz @ Wh.T, dc * f, dWx, h.T @ dz, dz.sum(axis=0)
'''
# the same, by someone who wants it to look like another
DISGUISED = '''
import numpy
from math import pi as unused

def rueckwaerts(oben: "Array", seite, merk) -> tuple:
    """Something else altogether."""
    (a, b, e, V, U, s1, s2, s3, s4, q) = merk
    r3 = q * oben
    seite += (1.5 - q ** 3) * oben * s3
    r2 = e * seite; r1 = seite * s4; r4 = seite * s1
    alle = numpy.hstack([s1 * r1 * (7 - s1), r2 * s2 * (1 - s2),
                         r3 * s3 * (1 - s3),   # blah
                         r4 * (1 - s4 ** 2)])
    nach_x: object = alle @ V.T
    nach_V = a.T @ alle
    return nach_x, alle @ U.T, s2 * seite, nach_V, b.T @ alle, alle.sum(axis=0)

def vorwaerts(a, b, e, V, U, w):
    alle = w + a @ V + b @ U
    s1, s2, s3, s4 = numpy.split(alle, 4, axis=1)
    s1 = kurve(s1); s2 = kurve(s2)
    s3, s4 = kurve(s3), numpy.tanh(s4)
    neu = s1 * s4 + s2 * e
    q = numpy.tanh(neu)
    for nummer in range(9):
        q = q * 2.0
    return s3 * q, neu, (a, b, e, V, U, s1, s2, s3, s4, q)

def kurve(z):
    return 1 / (1 + numpy.exp(-z))
'''
OTHER = """
import numpy as np

class Net:
    def __init__(self, size):
        self.weights = [np.zeros((size, size)) for _ in range(4)]
        self.seen = []

    def run(self, letters):
        state = np.zeros(len(self.weights[0]))
        while letters:
            letter = letters.pop(0)
            self.seen.append((letter, state))
            if letter is None:
                break
            state = np.maximum(self.weights[0] @ state + letter, 0)
        total = sum(map(np.sum, self.weights))
        assert total is not None, "no total"
        return state / total

    def learn(self, rate):
        while self.seen:
            letter, state = self.seen.pop()
            gradient = np.outer(letter, state)
            self.weights[0] -= rate * gradient
            self.weights[1] *= 1 - rate
        del self.seen[:]
        return [np.linalg.norm(w) for w in self.weights]
"""


def share(a: str, b: str, *handed_out: str) -> float:
    found = similarity({"a": a, "b": b}, handed_out, threshold=0)
    return found.pairs[0].share if found.pairs else 0.0


def test_a_copy_and_a_stranger():
    assert share(ONE, ONE) == 1
    assert share(ONE, OTHER) < 0.1


def test_a_disguise_does_not_help():
    assert share(ONE, DISGUISED) > 0.9


@pytest.mark.parametrize(
    "change",
    [
        lambda t: re.sub(r"\bdz\b", "delta", t),
        lambda t: t.replace("z = x", "z = \\\n        x").replace("\n    ", "\n\t"),
        lambda t: t.replace("1 - t", "2.5 - t").replace("axis=1", "axis=-1") + "# the end\n",
        lambda t: t.replace("def forward(x, h", 'def forward(x: "Array", h') + '\n"a text"\npass\n',
        lambda t: t.replace("dh * t", "t * dh").replace("f * c + i * g", "g * i + c * f"),
        lambda t: t.replace("x @ Wx + h @ Wh + b", "b + h @ Wh + x @ Wx"),
        lambda t: t.replace("np.", "numpy.").replace("numpy as np", "numpy"),
    ],
)
def test_what_is_left_out(change):
    assert change(ONE) != ONE
    assert share(ONE, change(ONE)) == 1


def test_what_counts():
    for old, new in (
        ("np.tanh", "np.sinh"),
        ("dc + dh", "dc - dh"),
        ("di * i * (1 - i)", "df * i * (1 - i)"),
    ):
        assert share(ONE, ONE.replace(old, new)) < 1


def test_lines_put_between_cost_little():
    noisy = ONE.replace("    do = dh * t\n", "    do = dh * t\n    print(do.shape)\n")
    assert share(ONE, noisy) > 0.8


def test_what_was_handed_out_does_not_count():
    given = ONE.split("def backward")[0]
    other = given + OTHER
    assert share(ONE, other) > 0.3
    assert share(ONE, other, given) < 0.1
    assert similarity({"a": given, "b": given}, [given]).too_short == ["a", "b"]


def test_what_most_of_the_class_have_does_not_count():
    textbook, own = ONE, OTHER
    classmates = {f"s{n}": textbook + f"\nx{n} = [{n}] * len('{n}')\n" for n in range(8)}
    found = similarity(classmates | {"p": textbook + own, "q": textbook + own}, threshold=0.3)
    assert [(p.first, p.second) for p in found.pairs] == [("p", "q")]
    assert found.pairs[0].share == 1 and found.pairs[0].own >= FEWEST
    assert set(found.too_short) == set(classmates)


def test_a_class_of_copies_is_told_though_most_have_the_same():
    """What more than half have says nothing about two, so no pair is shown; the group is."""
    copies = {f"s{n}": ONE.replace("cache", f"kept{n}") for n in range(5)}
    found = similarity(copies | {"other": OTHER, "empty": ""})
    assert found.identical == [sorted(copies)] and not found.pairs


def test_how_unusual_a_pair_is():
    others = {f"s{n}": OTHER.replace("while letters", f"for a{n} in letters" + " + []" * n) for n in range(3)}
    found = similarity({"one": ONE, "two": DISGUISED} | others, threshold=0.9)
    pair = next(p for p in found.pairs if p.first == "one")
    assert pair.pairs == 10 and 1 <= pair.as_alike <= 4 and pair.usual < 0.9
    assert found.nearest["two"][0] == "one" and found.nearest["two"][1] == pair.share


def test_lines_side_by_side():
    (pair,) = similarity({"a": ONE, "b": "# one\n# two\n" + ONE}).pairs
    lines = ONE.split("\n")
    for match in pair.matches:
        assert match.second == (match.first[0] + 2, match.first[1] + 2)
    covered = {n for match in pair.matches for n in range(match.first[0], match.first[1] + 1)}
    assert all(n in covered for n, line in enumerate(lines, 1) if "dc = dc" in line or "np.split" in line)
    assert isinstance(pair.matches[0], Match)


@pytest.mark.parametrize(
    "text", ["def f(:", "x = " + "(" * 3000, "x = " + "a + " * 50_000 + "a", "x=1\n" * 200_000, "a\x00b"]
)
def test_what_cannot_be_read_is_named(text):
    assert windows(text) is None
    found = similarity({"odd": text, "a": ONE, "b": ONE})
    assert found.unreadable == ["odd"] and len(found.pairs) == 1


def test_nested_sums_and_products_take_no_time():
    text = "a"
    for _ in range(60):
        text = f"a * (b + {text})"
    assert windows(f"x = {text}")


def test_nobody_to_compare():
    assert similarity({}).pairs == [] and similarity({"a": ONE}).compared == 1
    assert similarity({"a": "", "b": "x = 1"}).too_short == ["a", "b"]
