"""Plots: what is drawn is what was given, whatever the characters, and without a word on stderr."""

import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest

from minis2s.plots import plot_attention, plot_history, png, shown, usable_fonts

HISTORY = [
    {"epoch": 1.0, "train_loss": 2.5, "dev_loss": 2.25, "dev_error_rate": 0.6},
    {"epoch": 2.0, "train_loss": 1.0, "dev_loss": 1.25, "dev_error_rate": 0.2},
    {"epoch": 3.0, "train_loss": 0.5, "dev_loss": 1.5, "dev_error_rate": 0.3},
]


def test_history_draws_every_evaluation_and_names_the_best():
    figure, sentence = plot_history(HISTORY)
    loss, error = figure.axes
    drawn = {line.get_label(): line.get_xydata().tolist() for line in loss.lines}
    assert drawn == {
        "training": [[1, 2.5], [2, 1], [3, 0.5]],
        "dev": [[1, 2.25], [2, 1.25], [3, 1.5]],
    }
    np.testing.assert_allclose(error.lines[0].get_ydata(), [60, 20, 30])
    np.testing.assert_allclose(error.lines[1].get_xydata(), [[2, 20]])  # the ring around the best
    assert "2.50 to 0.50" in sentence and "2.25 to 1.50" in sentence
    assert "20.0 %, came after 2.0 epochs" in sentence


def test_one_evaluation_and_a_loss_of_zero_can_be_drawn():
    figure, _ = plot_history([{"epoch": 0.1, "train_loss": 0.0, "dev_loss": 0.0, "dev_error_rate": 0.0}])
    assert png(figure).startswith(b"\x89PNG")


def test_a_training_that_diverged_can_be_drawn():
    last = {"epoch": 4.0, "train_loss": float("nan"), "dev_loss": float("inf"), "dev_error_rate": 1.0}
    figure, sentence = plot_history([*HISTORY, last])
    assert figure.axes[0].get_ylim() == pytest.approx((0, 2.75))
    assert "2.50 to nan" in sentence and "2.25 to inf" in sentence
    assert png(figure).startswith(b"\x89PNG")


def test_no_history_is_refused():
    with pytest.raises(ValueError, match="nothing has been evaluated"):
        plot_history([])


def test_attention_shows_the_weights_with_their_tokens():
    weights = np.array([[0.9, 0.1, 0.0], [0.25, 0.0, 0.75]])
    figure, sentence = plot_attention(weights, ["x", "END"], ["a", " ", "END"])
    axes = figure.axes[0]
    np.testing.assert_array_equal(axes.images[0].get_array(), weights)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "␣", "END"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["x", "END"]
    assert (
        sentence == "Writing each output token, the model looked most at: x at a (0.90), END at END (0.75)."
    )


def test_a_long_output_is_described_in_part():
    _, sentence = plot_attention(np.eye(20), list("abcdefghijklmnopqrst"), list("abcdefghijklmnopqrst"))
    assert "l at l (1.00), ..." in sentence and "m at m" not in sentence


def test_attention_of_other_sizes_is_refused():
    with pytest.raises(ValueError, match=r"weights \(2, 3\) need 2 target and 3 source tokens, got 3 and 2"):
        plot_attention(np.zeros((2, 3)), list("abc"), list("ab"))


@pytest.mark.parametrize(
    "tokens",
    [
        ["我", "爱", "你"],
        ["한", "국"],
        ["ع", "ש"],
        ["$", "$x^2$", "\\frac"],
        ["\t", "\n", "\x00"],
        ["😀", "\U0001f9ff"],
        ["_", "{"],
    ],
    ids=["Chinese", "Korean", "right to left", "mathematics", "control characters", "emoji", "marks"],
)
def test_any_character_can_be_drawn(tokens, capfd):
    figure, _ = plot_attention(np.eye(len(tokens)), tokens, tokens)
    assert png(figure).startswith(b"\x89PNG")
    assert capfd.readouterr() == ("", "")


def test_a_sentence_has_the_tokens_themselves_even_without_a_font(monkeypatch):
    monkeypatch.setattr("minis2s.plots.style.FALLBACK_FONTS", ())
    figure, sentence = plot_attention(np.eye(2), ["我", "￭."], ["a", "<space>"])
    assert "我 at a (1.00), . at ␣ (1.00)." in sentence
    assert sentence.endswith(" No font was found for 我: the picture shows their code points in brackets.")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["[6211]", "."]
    assert "No font" not in plot_attention(np.eye(1), ["a"], ["\t"])[1]


def test_the_marks_of_a_tokenizer_are_not_shown():
    assert [shown(token) for token in ("￭.", "(￭", "￭-￭", "<joiner>", "￭", "<space>", "x")] == [
        ".", "(", "-", "￭", "￭", "␣", "x"
    ]  # fmt: skip


def test_a_character_that_no_font_has_is_shown_as_its_code():
    fonts = usable_fonts(["a", "\U0010fffd"])
    assert shown("a\U0010fffd", fonts) == "a[10FFFD]"
    assert shown("a\tb", fonts) == "a[9]b"
    assert shown("x" * 50, fonts) == "x" * 19 + "…"


def test_the_description_is_in_the_file():
    figure, sentence = plot_history(HISTORY)
    data = png(figure, sentence)
    texts, position = [], 8
    while position < len(data):
        (length,) = struct.unpack(">I", data[position : position + 4])
        kind, chunk = data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        if kind in (b"tEXt", b"iTXt", b"zTXt"):
            texts.append(chunk + (zlib.decompress(chunk.split(b"\0", 1)[1][1:]) if kind == b"zTXt" else b""))
        position += 12 + length
    assert any(text.startswith(b"Description") and sentence.encode() in text for text in texts)


def test_matplotlib_is_loaded_only_to_draw_and_pyplot_never():
    code = (
        "import sys, minis2s.plots; assert 'matplotlib' not in sys.modules;"
        "minis2s.plots.png(minis2s.plots.plot_attention(__import__('numpy').eye(2), 'ab', 'ab')[0]);"
        "assert 'matplotlib' in sys.modules; assert 'matplotlib.pyplot' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stderr == b""
