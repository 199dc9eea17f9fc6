"""Confusions: the alignment has as few differences as can be, and each of them is counted once."""

import numpy as np
import pytest

from minis2s import edit_distance, plot_confusion
from minis2s.plots import align, png


@pytest.mark.parametrize(
    ("reference", "output", "pairs"),
    [
        ("", "", []),
        ("abc", "abc", [("a", "a"), ("b", "b"), ("c", "c")]),
        ("abc", "axc", [("a", "a"), ("b", "x"), ("c", "c")]),
        ("abc", "ac", [("a", "a"), ("b", None), ("c", "c")]),
        ("ac", "abc", [("a", "a"), (None, "b"), ("c", "c")]),
        ("ab", "", [("a", None), ("b", None)]),
        ("", "ab", [(None, "a"), (None, "b")]),
        ("ab", "ba", [("a", "b"), ("b", "a")]),
    ],
)
def test_alignment(reference, output, pairs):
    assert align(reference, output) == pairs


def test_an_alignment_keeps_both_sequences_and_has_the_edit_distance():
    rng = np.random.default_rng(0)
    for _ in range(200):
        a, b = ("".join(rng.choice(list("abc"), size=rng.integers(9))) for _ in range(2))
        pairs = align(a, b)
        assert "".join(r for r, _ in pairs if r is not None) == a
        assert "".join(o for _, o in pairs if o is not None) == b
        assert sum(r != o for r, o in pairs) == edit_distance(a, b)


def test_the_map_shows_the_shares_of_each_row():
    figure, sentence = plot_confusion(["aab", "ab"], ["axb", "abb"])
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "x", "(added)"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b", "x"]
    expected = [[2 / 3, 0, 1 / 3], [0, 1, 0], [0, 0, 0], [0, 1, 0]]
    np.testing.assert_allclose(axes.images[0].get_array(), expected)
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {(2, 0): "1", (1, 3): "1"}
    assert sentence == (
        "Of 5 reference symbols 80.0 % were written right; the most frequent mistakes are b added (1), x for a (1)."
    )
    assert png(figure, sentence).startswith(b"\x89PNG")


def test_tokens_may_be_longer_than_a_character_and_may_be_missing():
    figure, sentence = plot_confusion([["K", "AE", "T"]], [["K", "T"]])
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["AE", "K", "T", "(missing)"]
    assert sentence.endswith("66.7 % were written right; the most frequent mistakes are AE left out (1).")


def test_all_right_is_said():
    _, sentence = plot_confusion(["我爱"], ["我爱"])
    assert sentence.startswith("Of 2 reference symbols 100.0 % were written right, and nothing was added.")


def test_of_many_symbols_those_with_mistakes_are_shown():
    letters = "abcdefghijklmnopqrstuvwxyz"
    figure, sentence = plot_confusion([letters, "zz"], [letters, "qq"], most=2)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["q", "z"]
    np.testing.assert_allclose(figure.axes[0].images[0].get_array(), [[1, 0], [2 / 3, 1 / 3]])
    assert "q for z (2), and the 2 symbols with most mistakes of 26 are shown" in sentence


def test_nothing_right_and_nothing_to_be_right():
    _, sentence = plot_confusion([""], ["a"])
    assert sentence == "The references have no symbol; the most frequent mistakes are a added (1)."


@pytest.mark.parametrize(
    ("references", "outputs", "options", "says"),
    [
        (["a"], [], {}, "got 0 for 1"),
        ([], [], {}, "nothing to compare"),
        ([""], [""], {}, "nothing to compare"),
        (["a"], ["a"], {"most": 0}, "most must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_drawn_is_refused(references, outputs, options, says):
    with pytest.raises(ValueError, match=says):
        plot_confusion(references, outputs, **options)
