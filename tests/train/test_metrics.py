"""Metrics against numbers counted by hand, a cell-by-cell edit distance, and sacrebleu itself."""

import builtins
import itertools
import json
import math
import time

import numpy as np
import pytest

from minis2s.errors import UserError
from minis2s.train.metrics import (
    KINDS,
    Metric,
    bleu,
    bootstrap_interval,
    edit_distance,
    edits_to_closest,
    exact_match,
    score,
    token_error_rate,
)


def cell_by_cell(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]


@pytest.mark.parametrize(
    "a, b, distance",
    [
        ("", "", 0),
        ("", "abc", 3),
        ("abc", "", 3),
        ("kitten", "sitting", 3),
        ("intention", "execution", 5),
        ("abcd", "bcde", 2),
        ("ab", "ba", 2),
        ("a" * 200, "a" * 201, 1),
    ],
)
def test_edit_distance_by_hand(a, b, distance):
    assert edit_distance(a, b) == distance
    assert edit_distance(list(b), list(a)) == distance


def test_edit_distance_equals_the_table_filled_cell_by_cell():
    rng = np.random.default_rng(0)
    for tokens, longest in ((2, 9), (4, 12), (3, 90)):
        for _ in range(300 if longest < 90 else 20):
            a, b = (rng.integers(tokens, size=rng.integers(longest)).tolist() for _ in range(2))
            assert edit_distance(a, b) == cell_by_cell(a, b)


def test_edit_distance_is_fast_enough_for_a_test_set():
    rng = np.random.default_rng(0)
    words = [rng.integers(40, size=7).tolist() for _ in range(12_001)]
    started = time.process_time()
    for a, b in itertools.pairwise(words):
        edit_distance(a, b)
    assert time.process_time() - started <= 2.0


def test_tokens_are_compared_whole():
    assert edit_distance(["AH", "K"], ["AHK"]) == 2
    assert token_error_rate([["HH", "AH"]], [[["HH", "AE"]]]) == 0.5


def test_the_closest_reference_counts_and_of_equals_the_first():
    assert edits_to_closest("abc", ["xyz", "abd", "abcdef"]) == (1, 3)
    assert edits_to_closest("abc", ["abcd", "ab"]) == (1, 4)
    assert edits_to_closest("", ["ab", ""]) == (0, 0)
    with pytest.raises(ValueError, match="at least one reference"):
        edits_to_closest("abc", [])


def test_rates_of_a_corpus_by_hand():
    hypotheses = ["abc", "xy", "", "same"]
    references = [["abd", "qqq", "zz"], ["xyz"], ["ab", "a"], ["other", "same"]]
    # edits 1 of 3, 1 of 3, 1 of 1 (the closer of two), 0 of 4: summed, not averaged
    assert abs(token_error_rate(hypotheses, references) - 3 / 11) <= 1e-15
    assert exact_match(hypotheses, references) == 0.25


def test_empty_references_give_finite_rates():
    assert token_error_rate([""], [[""]]) == 0.0
    assert token_error_rate(["ab"], [[""]]) == 2.0
    assert token_error_rate(["ab", "abc"], [[""], ["abcd"]]) == 3 / 4


def test_score_g2p_prints_and_writes_what_the_command_shows():
    hypotheses = ["M IH N IY", "K AE T", "D AO G", "S IY K W AH N S"]
    references = [("M IH N IY",), ("K AA T", "K AE T"), ("D AA G",), ("S IY K W AH N T S",)]
    metrics = score(hypotheses, references, kind="g2p", tokenize=str.split, rng=np.random.default_rng(0))
    assert list(metrics) == ["phoneme_error_rate", "word_error_rate"]
    phonemes, words = metrics.values()
    assert abs(phonemes.value - 2 / 18) <= 1e-15 and words.value == 0.5
    assert phonemes.sentences == 4 and phonemes.level == 0.95 and not phonemes.higher_is_better
    low, high = phonemes.interval
    assert str(phonemes) == f"phoneme error rate 11.1 % [{100 * low:.1f}, {100 * high:.1f}]"
    written = json.loads(json.dumps(phonemes.to_json()))
    assert written["value"] == phonemes.value and written["interval"] == [low, high]
    assert written["text"] == str(phonemes)


def test_score_without_rng_has_no_interval():
    metrics = score(["ab", "cd"], [["ab"], ["ce"]], kind="exact")
    assert list(metrics) == ["exact_match", "token_error_rate"]
    assert metrics["exact_match"].interval is None and metrics["exact_match"].level is None
    assert str(metrics["exact_match"]) == "exact match 50.0 %"
    assert str(metrics["token_error_rate"]) == "token error rate 25.0 %"
    assert list(score(["ab"], [["ab"]], kind="tokens")) == ["token_error_rate", "exact_match"]


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_lower_cost_is_a_better_model(kind):
    if kind == "bleu":
        pytest.importorskip("sacrebleu")
    references = [["the cat sat on the mat"], ["a dog ran in the park"]]
    good = score(["the cat sat on the mat", "a dog ran in a park"], references, kind=kind)
    bad = score(["the cat is on mat", "dog"], references, kind=kind)
    for key in KINDS[kind]:
        assert good[key].cost < bad[key].cost
        assert good[key].cost == (-good[key].value if good[key].higher_is_better else good[key].value)


def test_interval_contains_the_value_narrows_with_n_and_follows_the_seed():
    rng = np.random.default_rng(0)
    widths = []
    for n in (100, 1600):
        wrong = rng.random(n) < 0.3
        hypotheses, references = ["x" if w else "y" for w in wrong], [["y"]] * n
        metric = score(hypotheses, references, kind="exact", rng=np.random.default_rng(1))["exact_match"]
        again = score(hypotheses, references, kind="exact", rng=np.random.default_rng(1))["exact_match"]
        low, high = metric.interval
        assert low < metric.value < high and metric == again
        widths.append(high - low)
        # the normal approximation of a share: 2 * 1.96 * sqrt(p (1 - p) / n)
        p = metric.value
        assert abs(widths[-1] / (3.92 * math.sqrt(p * (1 - p) / n)) - 1) <= 0.15
    assert abs(widths[0] / widths[1] - 4) <= 0.8


def test_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        lengths = rng.integers(1, 10, size=80)
        statistics = np.stack([rng.binomial(lengths, 0.2), lengths], axis=1)
        low, high = bootstrap_interval(statistics, lambda s: s[0] / s[1], rng=rng, samples=200, level=0.8)
        covered += low <= 0.2 <= high
    assert 0.7 <= covered / 200 <= 0.9


def test_interval_of_one_sentence_and_of_perfect_output_has_no_width():
    assert score(["ab"], [["ac"]], kind="tokens", rng=np.random.default_rng(0))[
        "token_error_rate"
    ].interval == (0.5, 0.5)
    perfect = score(["ab"] * 9, [["ab"]] * 9, kind="exact", rng=np.random.default_rng(0))
    assert [m.interval for m in perfect.values()] == [(1.0, 1.0), (0.0, 0.0)]


def test_a_wider_level_gives_a_wider_interval():
    hypotheses, references = ["x", "y"] * 40, [["y"]] * 80
    (l1, h1), (l2, h2) = (
        score(hypotheses, references, kind="exact", rng=np.random.default_rng(0), level=level)[
            "exact_match"
        ].interval
        for level in (0.5, 0.99)
    )
    assert l2 < l1 < h1 < h2


TEXTS = ["The cat sat on the mat.", "A quick brown fox jumps!", "", "He said: it's fine, thanks."]
ANSWERS = [
    ["The cat sat on a mat.", "A cat was sitting on the mat."],
    ["The quick brown fox jumps over the dog!"],
    ["Nothing came out.", "Nothing.", "No output"],
    ["He said: it's fine, thanks."],
]


def test_bleu_equals_sacrebleu_with_references_of_unequal_count():
    metrics = pytest.importorskip("sacrebleu.metrics")
    streams = [[answers[k] if k < len(answers) else None for answers in ANSWERS] for k in range(3)]
    for tokenizer in ("13a", "char"):
        judge = metrics.BLEU(tokenize=tokenizer)
        expected = judge.corpus_score(TEXTS, streams).score
        found = score(TEXTS, ANSWERS, kind="bleu", bleu_tokenizer=tokenizer)["bleu"]
        assert 10 <= expected <= 90
        assert abs(found.value - expected) <= 1e-9
        assert abs(bleu(TEXTS, ANSWERS, tokenizer=tokenizer) - expected) <= 1e-9
        assert found.signature == str(judge.get_signature())
        assert str(found) == f"BLEU {expected:.1f}"
    single = metrics.BLEU()
    expected = single.corpus_score(TEXTS, [[a[0] for a in ANSWERS]]).score
    found = score(TEXTS, [a[:1] for a in ANSWERS], kind="bleu")["bleu"]
    assert abs(found.value - expected) <= 1e-9 and found.signature == str(single.get_signature())


def test_bleu_by_hand():
    pytest.importorskip("sacrebleu")
    # 6 words against 7: precisions 6/6, 4/5, 2/4, 1/3; brevity penalty exp(1 - 7/6)
    expected = 100 * math.exp(1 - 7 / 6) * (1 * 4 / 5 * 2 / 4 * 1 / 3) ** 0.25
    assert abs(bleu(["a b c d f e"], [["a b c d x f e"]]) - expected) <= 1e-9
    assert bleu(["", ""], [["a"], ["b c"]]) == 0.0
    assert abs(bleu(["a b c d e"], [["x", "a b c d e"]]) - 100) <= 1e-9


def test_bleu_interval_is_about_the_value_and_narrows_with_n():
    pytest.importorskip("sacrebleu")
    rng = np.random.default_rng(0)
    words = [f"w{n}" for n in range(30)]
    references = [[" ".join(rng.choice(words, size=rng.integers(5, 12)))] for _ in range(400)]
    hypotheses = [" ".join(w for w in r.split() if rng.random() > 0.15) for (r,) in references]
    widths = []
    for n in (25, 400):
        metric = score(
            hypotheses[:n], references[:n], kind="bleu", rng=np.random.default_rng(0), samples=300
        )["bleu"]
        low, high = metric.interval
        assert low < metric.value < high <= 100
        assert str(metric) == f"BLEU {metric.value:.1f} [{low:.1f}, {high:.1f}]"
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_bleu_without_sacrebleu_names_the_line_that_installs_it(monkeypatch):
    real = builtins.__import__

    def absent(name, *args, **kwargs):
        if name.startswith("sacrebleu"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(UserError, match=r'pip install "minis2s\[data\]"'):
        score(["a"], [["a"]], kind="bleu")


@pytest.mark.parametrize(
    "hypotheses, references, options, message",
    [
        (["a", "b"], [["a"]], {}, "got 1 for 2 outputs"),
        ([], [], {}, "nothing to score"),
        (["a", "b"], [["a"], []], {}, "the references of sentence 1 must be a list of at least one"),
        (["a"], ["a"], {}, "the references of sentence 0 must be a list of at least one, got 'a'"),
        (["a"], [["a"]], {"kind": "rouge"}, "kind must be one of g2p, exact, tokens, bleu, got 'rouge'"),
        (["a"], [["a"]], {"samples": 0}, "1 sentences and 0 samples"),
        (["a"], [["a"]], {"level": 1.0}, "level must be between 0 and 1, got 1.0"),
    ],
)
def test_wrong_arguments(hypotheses, references, options, message):
    with pytest.raises(ValueError, match=message):
        score(hypotheses, references, **({"kind": "exact", "rng": np.random.default_rng(0)} | options))


def test_a_metric_is_printed_to_one_decimal():
    metric = Metric("phoneme error rate", 0.07412, False, 12000, (0.0709, 0.0771), 0.95)
    assert str(metric) == "phoneme error rate 7.4 % [7.1, 7.7]"
