"""Embeddings: the neighbours are those of the cosine, and the map is the one with most variance."""

import numpy as np
import pytest

from minis2s import Vocabulary, nearest_tokens, plot_embeddings
from minis2s.plots import png

TABLE = np.array([[1.0, 0.0], [10.0, 1.0], [0.0, 1.0], [-1.0, 0.0], [0.0, 0.0]])
TOKENS = ["a", "b", "c", "d", "e"]


def test_near_is_a_matter_of_direction_and_not_of_length():
    (a, d) = nearest_tokens(TABLE, TOKENS, ["a", "d"], 2).values()
    assert [n.token for n in a] == ["b", "c"]
    np.testing.assert_allclose([n.cosine for n in a], [10 / np.sqrt(101), 0])
    assert [n.token for n in d] == ["c", "e"]  # c at a right angle, e of length zero


def test_nobody_is_a_neighbour_of_its_own():
    everyone = nearest_tokens(TABLE, TOKENS, TOKENS, 4)
    assert all(token not in [n.token for n in found] for token, found in everyone.items())


def test_the_special_tokens_of_a_vocabulary_are_left_out():
    table = np.concatenate([np.ones((4, 2)), TABLE])
    found = nearest_tokens(table, Vocabulary(TOKENS), ["a"], 4)
    assert [n.token for n in found["a"]] == ["b", "c", "e", "d"]


def test_the_map_is_the_projection_with_most_variance():
    rng = np.random.default_rng(0)
    flat = rng.standard_normal((30, 2)) @ rng.standard_normal((2, 6))  # a plane in six dimensions
    tokens = [f"t{n}" for n in range(30)]
    figure, sentence = plot_embeddings(flat + 5, tokens, of=["t3"])
    assert "the map has 100 % of the variance" in sentence
    left = figure.axes[0]
    places = {text.get_text(): np.array(text.xy) for text in left.texts}
    assert set(places) == set(tokens)
    for a, b in (("t3", "t7"), ("t0", "t29")):  # distances in the plane are those of the map
        expected = np.linalg.norm(flat[int(a[1:])] - flat[int(b[1:])])
        np.testing.assert_allclose(np.linalg.norm(places[a] - places[b]), expected, rtol=1e-9)


def test_the_neighbours_are_drawn_and_said():
    figure, sentence = plot_embeddings(TABLE, TOKENS, of=["a", "c"], neighbours=2)
    right = figure.axes[1]
    np.testing.assert_allclose(right.images[0].get_array()[0], [10 / np.sqrt(101), 0])
    assert [text.get_text() for text in right.texts] == ["b", "c", "b", "a"]
    assert [label.get_text() for label in right.get_yticklabels()] == ["a", "c"]
    assert sentence.startswith(
        "Nearest by cosine are, to a: b (1.00) and c (0.00); to c: b (0.10) and a (0.00); the"
    )
    assert png(figure, sentence).startswith(b"\x89PNG")


def test_left_to_itself_it_names_the_closest():
    rng = np.random.default_rng(1)
    table = rng.standard_normal((40, 30))
    table[33] = 2 * table[21]
    _, sentence = plot_embeddings(table, [f"t{n}" for n in range(40)])
    assert sentence.startswith("Nearest by cosine are, to t21: t33 (1.00)")


def test_of_a_large_vocabulary_a_part_is_drawn_and_that_is_said():
    table = np.random.default_rng(0).standard_normal((1000, 4))
    tokens = [f"t{n}" for n in range(1000)]
    figure, sentence = plot_embeddings(table, tokens, of=["t999"])
    assert len(figure.axes[0].texts) == 150
    assert "t999" in {text.get_text() for text in figure.axes[0].texts}
    assert sentence.endswith("shows 150 of 1000 tokens.")


def test_any_script_and_equal_rows_can_be_drawn():
    figure, sentence = plot_embeddings(np.ones((4, 1)), ["我", "$x$", "ع", " "])
    assert png(figure, sentence).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("table", "tokens", "options", "says"),
    [
        (TABLE, TOKENS[:3], {}, r"a row for each of 3 tokens, got shape \(5, 2\)"),
        (TABLE[0], ["a", "b"], {}, r"got shape \(2,\)"),
        (TABLE, TOKENS, {"of": ["x"]}, "'x' is none of the 5 tokens"),
        (TABLE, TOKENS, {"of": []}, "at least one token"),
        (TABLE, TOKENS, {"neighbours": 0}, "count must be from 1 to 4"),
        (TABLE * np.nan, TOKENS, {}, "not finite"),
        (TABLE[:1], ["a"], {}, "at least two tokens, got 1"),
    ],
)
def test_what_cannot_be_drawn_is_refused(table, tokens, options, says):
    with pytest.raises(ValueError, match=says):
        plot_embeddings(table, tokens, **options)
