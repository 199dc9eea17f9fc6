"""Beam search against brute force, against greedy, and against the mistakes that beam searches make."""

import numpy as np
import pytest

from minis2s.data.vocabulary import EOS
from minis2s.decode import beam_search, exact_search, gnmt_penalty, greedy
from minis2s.decode.hypothesis import best_tokens

A, B, C = 4, 5, 6  # tokens of the tables
FULL = 4 * 4**5  # as wide as the tree of all texts of at most 5 steps over V = 6


def close(x, y):
    return len(x) == len(y) and all(
        g.tokens == h.tokens
        and g.finished == h.finished
        and abs(g.score - h.score) <= 1e-9
        and abs(g.log_prob - h.log_prob) <= 1e-9
        for g, h in zip(x, y)
    )


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0, 3.0])
@pytest.mark.parametrize("seed", range(4))
def test_full_width_equals_brute_force(toys, seed, alpha):
    model = toys.RandomNet(seed)
    src, mask = toys.sources([3, 1, 4], seed)
    limits = np.array([4, 5, 3])
    wide = beam_search(model, src, mask, beam=FULL, max_length=limits, length_penalty=alpha, nbest=12)
    exact = exact_search(model, src, mask, max_length=limits, length_penalty=alpha, nbest=12)
    for found, oracle in zip(wide, exact, strict=True):
        assert len(oracle) == 12
        assert close(found, oracle)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_brute_force_itself_by_hand(toys, alpha):
    table = {
        (): toys.row(eos=0.4, a=0.6),
        (A,): toys.row(eos=0.5, b=0.5),
        (A, B): toys.row(eos=1.0),
    }
    (found,) = exact_search(
        toys.TableModel(table), *toys.sentence(), max_length=5, length_penalty=alpha, nbest=9
    )
    probability = {(): 0.4, (A,): 0.3, (A, B): 0.3}
    assert {tuple(h.tokens) for h in found} == set(probability)
    for h in found:
        assert h.finished
        assert abs(h.log_prob - np.log(probability[tuple(h.tokens)])) <= 1e-12
        assert abs(h.score - h.log_prob / ((6 + len(h.tokens)) / 6) ** alpha) <= 1e-12
    assert found[0].tokens == ([] if alpha == 0 else [A, B])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_beam_of_one_is_greedy(toys, alpha, dtype):
    for seed in range(10):
        model = toys.RandomNet(seed, V=9, dtype=dtype)
        src, mask = toys.sources([2, 5, 1, 3, 4, 4], seed)
        limits = np.array([0, 1, 2, 9, 9, 9])
        one = beam_search(model, src, mask, beam=1, max_length=limits, length_penalty=alpha)
        for (h,), g in zip(one, greedy(model, src, mask, max_length=limits), strict=True):
            assert (h.tokens, h.log_prob, h.finished) == (g.tokens, g.log_prob, g.finished)
            assert h.score == h.log_prob / gnmt_penalty(len(h.tokens) + h.finished, alpha)


@pytest.mark.parametrize("beam", [2, 5])
def test_nbest_is_sorted_distinct_and_reproduced_by_forced_decoding(toys, beam):
    several = 0
    for seed in range(8):
        model = toys.RandomNet(seed, V=10)
        src, mask = toys.sources([3, 5, 2], seed)
        found = beam_search(model, src, mask, beam=beam, max_length=8, length_penalty=0.7, nbest=beam)
        for n, hypotheses in enumerate(found):
            several += len(hypotheses) == beam
            ranks = [(not h.finished, -h.score) for h in hypotheses]
            assert ranks == sorted(ranks)
            assert len({(tuple(h.tokens), h.finished) for h in hypotheses}) == len(hypotheses)
            for h in hypotheses:
                assert min(h.tokens, default=3) >= 3  # no PAD, BOS, EOS
                assert len(h.tokens) + h.finished <= 8
                assert abs(h.log_prob - toys.forced(model, src[:, n : n + 1], mask[:, n : n + 1], h)) <= 1e-9
                assert abs(h.score - h.log_prob / ((5 + len(h.tokens) + h.finished) / 6) ** 0.7) <= 1e-9
    assert several == 24


def test_asking_for_more_does_not_change_the_best(toys):
    for seed in range(10):
        model = toys.RandomNet(seed, V=12, eos_bias=1.0)
        src, mask = toys.sources([3, 5, 2, 4], seed)
        for alpha in (0.0, 1.0):
            lists = [
                beam_search(model, src, mask, beam=4, max_length=12, length_penalty=alpha, nbest=n)
                for n in (1, 4)
            ]
            for best, four in zip(*lists):
                assert close(best, four[:1])


def test_a_batch_equals_its_sentences_alone_and_its_order_does_not_matter(toys):
    model = toys.RandomNet(3, V=11, eos_bias=0.5)
    src, mask = toys.sources([1, 6, 3, 2, 5, 4, 6, 2])
    limits = np.array([7, 12, 1, 9, 0, 20, 3, 15])
    together = beam_search(model, src, mask, beam=3, max_length=limits, length_penalty=0.6, nbest=3)
    order = np.random.default_rng(0).permutation(8)
    turned = beam_search(
        model, src[:, order], mask[:, order], beam=3, max_length=limits[order], length_penalty=0.6, nbest=3
    )
    for place, n in enumerate(order):
        S = mask[:, n].sum()
        alone = beam_search(
            model, src[:S, [n]], mask[:S, [n]], beam=3, max_length=int(limits[n]), length_penalty=0.6, nbest=3
        )
        assert close(together[n], alone[0])
        assert close(together[n], turned[place])


def test_finds_what_greedy_misses(toys):
    table = {
        (): toys.row(a=0.6, b=0.4),
        (A,): toys.row(eos=0.3, a=0.35, c=0.35),
        (B,): toys.row(eos=0.9, c=0.1),
        (A, A): toys.row(eos=1.0),
        (A, C): toys.row(eos=1.0),
    }
    (g,) = greedy(toys.TableModel(table), *toys.sentence(), max_length=9)
    ((h,),) = beam_search(toys.TableModel(table), *toys.sentence(), beam=2, max_length=9)
    assert g.tokens == [A, A] and abs(g.log_prob - np.log(0.21)) <= 1e-12
    assert h.tokens == [B] and abs(h.log_prob - np.log(0.36)) <= 1e-12


def test_a_finished_hypothesis_is_never_continued_nor_lost(toys):
    # [] ends at once with 0.4; two better beginnings push it out of the beam and then come to nothing
    flat = toys.row(eos=0.1, unk=0.3, a=0.3, b=0.3)
    table = {(): toys.row(eos=0.2, a=0.41, b=0.39)}
    model = toys.TableModel(table, otherwise=flat)
    ((h,),) = beam_search(model, *toys.sentence(), beam=3, max_length=6)
    assert h.tokens == [] and h.finished and abs(h.log_prob - np.log(0.2)) <= 1e-12


def test_does_not_stop_at_the_first_end(toys):
    table = {
        (): toys.row(eos=0.3, a=0.7),
        (A,): toys.row(eos=0.2, b=0.8),
        (A, B): toys.row(eos=0.9, c=0.1),
    }
    ((h,),) = beam_search(toys.TableModel(table), *toys.sentence(), beam=2, max_length=9)
    assert h.tokens == [A, B]


def test_stops_when_nothing_can_be_beaten_any_more(toys):
    # after [] no text can be better than 0.8: the table holds no second step, so asking for one fails
    ((h,),) = beam_search(
        toys.TableModel({(): toys.row(eos=0.8, a=0.2)}), *toys.sentence(), beam=2, max_length=50
    )
    assert h.tokens == []
    # with the length penalty, log(0.2) / penalty(50) can still be better than log(0.8): it must go on
    sure = {(A,) * n: toys.row(a=1.0) for n in range(1, 49)} | {(A,) * 49: toys.row(eos=1.0)}
    model = toys.TableModel({(): toys.row(eos=0.8, a=0.2)} | sure)
    ((h,),) = beam_search(model, *toys.sentence(), beam=2, max_length=50, length_penalty=1.0)
    assert h.tokens == [A] * 49
    assert abs(h.score - np.log(0.2) / (55 / 6)) <= 1e-12
    # but not when max_length is too near: log(0.2) / penalty(12) < log(0.8)
    model.steps = []
    ((h,),) = beam_search(model, *toys.sentence(), beam=2, max_length=12, length_penalty=0.9)
    assert h.tokens == [] and len(model.steps) == 1


def test_early_stopping_changes_nothing(toys):
    # a tenth sentence that never ends keeps no other from stopping; and what had stopped was final: the
    # search of a beam that asks for all its hypotheses goes on longest, and its best are the same
    for seed in range(6):
        model = toys.RandomNet(seed, V=8, eos_bias=2.0)
        src, mask = toys.sources([2, 3, 4, 5, 6], seed)
        short = beam_search(model, src, mask, beam=6, max_length=25, length_penalty=1.0, nbest=2)
        steps, model.steps = sum(model.steps), []
        long = beam_search(model, src, mask, beam=6, max_length=25, length_penalty=1.0, nbest=6)
        assert steps < sum(model.steps)
        for two, six in zip(short, long):
            assert close(two, six[:2])


def test_done_sentences_leave_the_batch(toys):
    ends = toys.row(eos=0.9, a=0.1)
    stays = toys.row(eos=0.01, a=0.9, b=0.09)
    model = toys.TableModel({(n, ()): ends for n in range(7)}, otherwise=stays)
    src = np.arange(8)[None, :]
    found = beam_search(model, src, src >= 0, beam=3, max_length=10)
    assert model.steps[0] == 8 and max(model.steps[1:]) <= 3 and len(model.steps) == 10
    assert [h.tokens for (h,) in found[:7]] == [[]] * 7


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_forced_end_and_impossible_tokens_give_no_nan(toys, alpha):
    table = {(): toys.row(a=0.5, b=0.5), (A,): toys.row(eos=1.0), (B,): toys.row(eos=1.0)}
    (found,) = beam_search(
        toys.TableModel(table), *toys.sentence(), beam=5, max_length=9, length_penalty=alpha, nbest=5
    )
    assert [h.tokens for h in found] == [[A], [B]]  # only two texts are possible
    assert all(h.finished and abs(h.log_prob - np.log(0.5)) <= 1e-12 for h in found)


def test_a_model_that_allows_nothing_still_gives_one_hypothesis(toys):
    nothing = toys.row()
    for table, tokens in (({(): nothing}, []), ({(): toys.row(a=1.0), (A,): nothing}, [A])):
        for beam in (1, 3):
            (found,) = beam_search(
                toys.TableModel(table), *toys.sentence(), beam=beam, max_length=4, nbest=beam
            )
            assert [(h.tokens, h.log_prob) for h in found] == [(tokens, -np.inf)]
        (g,) = greedy(toys.TableModel(table), *toys.sentence(), max_length=4)
        assert (g.tokens, g.log_prob) == (tokens, -np.inf)


def test_pad_and_bos_are_never_produced_however_probable(toys):
    model = toys.TableModel({}, otherwise=toys.row(pad=0.5, bos=0.45, eos=0.01, unk=0.02, a=0.02))
    (found,) = beam_search(model, *toys.sentence(), beam=5, max_length=3, nbest=5)
    assert len(found) == 5
    assert all(token >= 3 for h in found for token in h.tokens)


def test_ties_go_to_the_lower_token_and_the_better_parent(toys):
    model = toys.TableModel({}, otherwise=toys.row(a=0.25, b=0.25, c=0.25, unk=0.25))
    (found,) = beam_search(model, *toys.sentence(), beam=5, max_length=2, nbest=5)
    assert [h.tokens for h in found] == [[3, 3], [3, A], [3, B], [3, C], [A, 3]]


def test_cut_hypotheses_come_only_when_finished_ones_do_not_suffice(toys):
    table = {(): toys.row(eos=0.1, a=0.9), (A,): toys.row(eos=0.1, a=0.9)}
    (found,) = beam_search(toys.TableModel(table), *toys.sentence(), beam=3, max_length=2, nbest=3)
    assert [(h.tokens, h.finished) for h in found] == [([], True), ([A], True), ([A, A], False)]
    assert abs(found[2].log_prob - np.log(0.81)) <= 1e-12  # the most probable, but it has no end
    ((h,),) = beam_search(toys.TableModel(table), *toys.sentence(), beam=3, max_length=2)
    assert h.tokens == [] and h.finished


@pytest.mark.parametrize("beam", [1, 3, 40])
def test_shortest_limits_and_a_beam_wider_than_the_vocabulary(toys, beam):
    model = toys.RandomNet(0)
    src, mask = toys.sources([2])
    assert beam_search(model, src, mask, beam=beam, max_length=0) == [[([], 0.0, 0.0, False)]]
    assert model.steps == []
    (found,) = beam_search(model, src, mask, beam=beam, max_length=1, nbest=beam)
    assert len(found) == min(beam, 4)  # EOS, and V - 3 texts of one token that have no end
    assert sum(h.finished for h in found) <= 1
    assert all(len(h.tokens) + h.finished == 1 for h in found)
    assert beam_search(model, src[:, :0], mask[:, :0], beam=beam, max_length=3) == []


def test_the_model_is_left_as_it_was(toys):
    fixed = np.log(np.full((5, 7), 1 / 7))

    class Fixed:
        def start(self, src, src_mask):
            return None

        def step(self, state, tokens):
            return fixed[: tokens.size], None

        def take(self, state, index):
            return None

    before = fixed.copy()
    beam_search(Fixed(), *toys.sentence(), beam=5, max_length=4, nbest=5)
    assert np.array_equal(fixed, before)


def test_length_penalty_is_that_of_gnmt():
    assert gnmt_penalty(1, 0.8) == 1.0
    assert gnmt_penalty(7, 0.0) == 1.0
    assert abs(gnmt_penalty(19, 0.5) - 2.0) <= 1e-15


@pytest.mark.parametrize("V", [9, 400])
def test_best_tokens_agrees_with_a_sort(V):
    rng = np.random.default_rng(V)
    x = np.round(rng.normal(size=(50, V)), 1).astype(np.float32)  # rounded: many ties
    x[:, :2] = 99  # PAD and BOS
    for k in (1, 2, 3, 8, 30, 500):
        values, ids = best_tokens(x, k)
        oracle = 2 + np.argsort(-x[:, 2:], axis=1, kind="stable")[:, :k]
        assert np.array_equal(ids, oracle)
        assert np.array_equal(values, np.take_along_axis(x, oracle, axis=1))


@pytest.mark.parametrize("V", [9, 400])
def test_a_row_with_fewer_possible_tokens_gives_each_of_them_once(V):
    x = np.full((3, V), -np.inf)
    x[0, [2, 7]] = -1.0, -0.5
    x[1, 4] = -2.0
    values, ids = best_tokens(x, 4)
    assert values.tolist() == [[-0.5, -1, -np.inf, -np.inf], [-2.0] + [-np.inf] * 3, [-np.inf] * 4]
    assert ids[0, :2].tolist() == [7, 2] and ids[1, 0] == 4 and ids[2, 0] == EOS


@pytest.mark.parametrize("k", [1, 2, 5])
def test_nan_is_refused(toys, k):
    model = toys.TableModel({(): np.array([0, 0, -1, np.nan, -2, -3, -4.0])})
    with pytest.raises(ValueError, match="NaN"):
        beam_search(model, *toys.sentence(), beam=k, max_length=3)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"beam": 0}, "beam must be at least 1, got 0"),
        ({"beam": 2.5}, "beam must be a whole number, got 2.5"),
        ({"nbest": 0}, "nbest must be between 1 and 2, got 0"),
        ({"nbest": 3}, "nbest must be between 1 and 2, got 3"),
        ({"length_penalty": -0.1}, "length_penalty must be a finite number of at least 0, got -0.1"),
        ({"length_penalty": float("nan")}, "length_penalty must be a finite number of at least 0, got nan"),
        ({"max_length": -1}, "max_length must be made of integers of at least 0, got -1"),
        ({"max_length": 2.0}, "max_length must be made of integers of at least 0, got 2.0"),
        ({"max_length": [3, 3]}, r"max_length must be one number or have shape \(3,\), got shape \(2,\)"),
        ({"src_mask": np.ones((2, 3), bool)}, r"must both be \(S, B\), got \(4, 3\) and \(2, 3\)"),
    ],
)
def test_wrong_arguments(toys, wrong, message):
    src, mask = toys.sources([4, 2, 1])
    arguments = {"src_mask": mask, "beam": 2, "max_length": 5} | wrong
    with pytest.raises(ValueError, match=message):
        beam_search(toys.RandomNet(0), src, **arguments)


def test_on_the_strict_stand_in_for_a_gpu(toys, strict_xp):
    xp = strict_xp
    src, mask = toys.sources([3, 5, 2, 4])
    arguments = {"beam": 3, "max_length": np.array([9, 0, 4, 12]), "length_penalty": 0.6, "nbest": 3}
    for V in (7, 40):
        host = beam_search(toys.RandomNet(1, V=V), src, mask, **arguments)
        device = beam_search(toys.RandomNet(1, V=V, xp=xp), xp.asarray(src), xp.asarray(mask), **arguments)
        for x, y in zip(host, device, strict=True):
            assert close(x, y)
            assert all(type(token) is int for h in y for token in h.tokens)
