"""One path per sentence: the best tokens, and drawn ones against the table that they are drawn from."""

import numpy as np
import pytest

from minis2s.decode import exact_search, greedy, sample

A, B, C = 4, 5, 6  # tokens of the tables


def test_greedy_takes_the_best_token_until_the_end(toys):
    table = {
        (): toys.row(eos=0.3, a=0.4, b=0.3),
        (A,): toys.row(eos=0.1, b=0.5, c=0.4),
        (A, B): toys.row(eos=0.7, a=0.3),
    }
    (h,) = greedy(toys.TableModel(table), *toys.sentence(), max_length=9)
    assert h.tokens == [A, B] and h.finished
    assert abs(h.log_prob - np.log(0.4 * 0.5 * 0.7)) <= 1e-12 and h.score == h.log_prob
    (cut,) = greedy(toys.TableModel(table), *toys.sentence(), max_length=2)
    assert cut.tokens == [A, B] and not cut.finished
    assert abs(cut.log_prob - np.log(0.4 * 0.5)) <= 1e-12


def test_greedy_breaks_ties_by_the_lower_token_and_never_writes_pad_or_bos(toys):
    model = toys.TableModel({}, otherwise=toys.row(pad=0.4, bos=0.4, b=0.1, c=0.1))
    (h,) = greedy(model, *toys.sentence(), max_length=3)
    assert h.tokens == [B, B, B]


def test_greedy_drops_finished_sentences_from_the_batch(toys):
    model = toys.TableModel(
        {(n, (A,) * n): toys.row(eos=0.9, a=0.1) for n in range(5)}, otherwise=toys.row(eos=0.1, a=0.9)
    )
    src = np.arange(5)[None, :]
    found = greedy(model, src, src >= 0, max_length=[9, 9, 9, 2, 9])
    assert [h.tokens for h in found] == [[], [A], [A, A], [A, A], [A] * 4]
    assert [h.finished for h in found] == [True, True, True, False, True]
    assert model.steps == [5, 4, 2, 1, 1]


def test_greedy_of_a_batch_equals_its_sentences_alone(toys):
    model = toys.RandomNet(5, V=12)
    src, mask = toys.sources([4, 1, 6, 2, 3])
    limits = np.array([3, 0, 9, 30, 1])
    together = greedy(model, src, mask, max_length=limits)
    order = [3, 0, 4, 2, 1]
    assert greedy(model, src[:, order], mask[:, order], max_length=limits[order]) == [
        together[n] for n in order
    ]
    for n, h in enumerate(together):
        S = mask[:, n].sum()
        (alone,) = greedy(model, src[:S, [n]], mask[:S, [n]], max_length=int(limits[n]))
        assert alone.tokens == h.tokens and alone.finished == h.finished
        assert abs(alone.log_prob - h.log_prob) <= 1e-12
        assert abs(h.log_prob - toys.forced(model, src[:S, [n]], mask[:S, [n]], h)) <= 1e-12


def test_greedy_refuses_nan_and_wrong_arguments(toys):
    src, mask = toys.sources([2, 1])
    with pytest.raises(ValueError, match="NaN"):
        greedy(toys.TableModel({}, otherwise=np.full(7, np.nan)), src, mask, max_length=3)
    with pytest.raises(ValueError, match=r"must both be \(S, B\), got \(2,\) and \(2, 2\)"):
        greedy(toys.RandomNet(0), src[0], mask, max_length=3)
    with pytest.raises(ValueError, match="max_length"):
        greedy(toys.RandomNet(0), src, mask, max_length=-1)


def test_exact_search_refuses_a_tree_without_end_and_wrong_arguments(toys):
    with pytest.raises(ValueError, match="too many texts"):
        exact_search(toys.RandomNet(0, V=40), *toys.sentence(), max_length=20)
    with pytest.raises(ValueError, match="nbest must be at least 1, got 0"):
        exact_search(toys.RandomNet(0), *toys.sentence(), max_length=2, nbest=0)


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_texts_are_drawn_as_often_as_the_table_says(toys, temperature):
    table = {
        (): toys.row(pad=0.2, eos=0.1, a=0.4, b=0.3),  # what PAD would get is shared by the others
        (A,): toys.row(eos=0.6, b=0.4),
        (B,): toys.row(eos=0.5, c=0.5),
    }

    def tempered(*p):
        p = np.array(p) ** (1 / temperature)
        return p / p.sum()

    first, after_a, after_b = tempered(0.1, 0.4, 0.3), tempered(0.6, 0.4), tempered(0.5, 0.5)
    expected = {
        (): first[0],
        (A,): first[1] * after_a[0],
        (A, B): first[1] * after_a[1],
        (B,): first[2] * after_b[0],
        (B, C): first[2] * after_b[1],
    }
    draws = 4000
    src = np.zeros((1, draws), dtype=int)
    model = toys.TableModel(table | {(A, B): toys.row(eos=1.0), (B, C): toys.row(eos=1.0)})
    found = sample(model, src, src == 0, max_length=5, rng=np.random.default_rng(1), temperature=temperature)
    counts = dict.fromkeys(expected, 0)
    for h in found:
        counts[tuple(h.tokens)] += 1  # a KeyError here: a text of probability 0 was drawn
    observed, probable = np.array(list(counts.values())), draws * np.array(list(expected.values()))
    chi2 = ((observed - probable) ** 2 / probable).sum()
    assert chi2 <= 18.5  # 4 degrees of freedom: exceeded once in a thousand seeds
    assert 0.05 <= chi2


def test_the_log_probability_of_a_draw_is_the_models_own(toys):
    model = toys.RandomNet(2, V=9)
    src, mask = toys.sources([3, 1, 2])
    for temperature in (1.0, 3.0):
        found = sample(
            model, src, mask, max_length=[4, 9, 0], rng=np.random.default_rng(0), temperature=temperature
        )
        for n, h in enumerate(found):
            assert abs(h.log_prob - toys.forced(model, src[:, n : n + 1], mask[:, n : n + 1], h)) <= 1e-12
            assert h.score == h.log_prob and min(h.tokens, default=3) >= 3
    assert found[2] == ([], 0.0, 0.0, False)


def test_a_cold_sample_is_greedy_and_a_seed_repeats_itself(toys):
    model = toys.RandomNet(4, V=9, dtype=np.float32)
    src, mask = toys.sources([3, 1, 2, 5])
    cold = sample(model, src, mask, max_length=9, rng=np.random.default_rng(0), temperature=1e-6)
    assert [h.tokens for h in cold] == [h.tokens for h in greedy(model, src, mask, max_length=9)]
    first, again, other = (
        sample(model, src, mask, max_length=30, rng=np.random.default_rng(seed), temperature=2.0)
        for seed in (7, 7, 8)
    )
    assert first == again != other


def test_how_long_batch_mates_are_does_not_change_a_draw(toys):
    model = toys.RandomNet(4, V=9, eos_bias=-3.0)
    src, mask = toys.sources([3, 1, 2])
    for seed in range(5):
        long, short = (
            sample(model, src, mask, max_length=limits, rng=np.random.default_rng(seed), temperature=2.0)
            for limits in ([9, 9, 9], [1, 9, 0])
        )
        assert len(long[1].tokens) > 2
        assert long[1].tokens == short[1].tokens


def test_a_model_that_allows_nothing_ends_the_text(toys):
    model = toys.TableModel({(): toys.row(b=1.0), (B,): toys.row()})
    (h,) = sample(model, *toys.sentence(), max_length=5, rng=np.random.default_rng(0))
    assert h == ([B], -np.inf, -np.inf, True)


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan"), float("inf")])
def test_sample_refuses_a_wrong_temperature(toys, temperature):
    with pytest.raises(ValueError, match="temperature must be positive and finite"):
        sample(
            toys.RandomNet(0),
            *toys.sentence(),
            max_length=2,
            rng=np.random.default_rng(0),
            temperature=temperature,
        )


def test_sample_refuses_nan(toys):
    model = toys.TableModel({}, otherwise=np.array([0, 0, np.nan, -1, -1, -1, -1.0]))
    with pytest.raises(ValueError, match="NaN"):
        sample(model, *toys.sentence(), max_length=2, rng=np.random.default_rng(0))


def test_on_the_strict_stand_in_for_a_gpu(toys, strict_xp):
    xp = strict_xp
    src, mask = toys.sources([3, 5, 2, 4])
    host, device = toys.RandomNet(1, V=9), toys.RandomNet(1, V=9, xp=xp)
    on_device = xp.asarray(src), xp.asarray(mask)
    results = [
        (
            greedy(host, src, mask, max_length=[9, 0, 3, 9]),
            greedy(device, *on_device, max_length=[9, 0, 3, 9]),
        ),
        (
            sample(host, src, mask, max_length=9, rng=np.random.default_rng(0), temperature=1.5),
            sample(device, *on_device, max_length=9, rng=np.random.default_rng(0), temperature=1.5),
        ),
        (
            [h for (h,) in exact_search(host, src, mask, max_length=2)],
            [h for (h,) in exact_search(device, *on_device, max_length=2)],
        ),
    ]
    for x, y in results:
        assert [(h.tokens, h.finished) for h in x] == [(h.tokens, h.finished) for h in y]
        assert max(abs(g.log_prob - h.log_prob) for g, h in zip(x, y)) <= 1e-12
