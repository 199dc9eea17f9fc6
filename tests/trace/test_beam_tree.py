"""The search's tree: its paths are the hypotheses, its sums their log-probabilities, its kept nodes the beam."""

import numpy as np
import pytest

import minis2s
from minis2s import BOS, EOS, ModelConfig, UserError, beam_search, exact_search, greedy, sample
from minis2s.trace.beam_tree import best_node, path_to

CONFIG = ModelConfig("lstm", 1, True, 5, 6, "general")


def texts(nodes) -> dict[tuple[int, ...], float]:
    """The log-probability of every text that ended, by its tokens."""
    return {tuple(n.token for n in path_to(nodes, end))[:-1]: end.total for end in nodes if end.finished}


@pytest.mark.parametrize("beam", [1, 2, 5])
@pytest.mark.parametrize("length_penalty", [0.0, 0.8])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_paths_are_the_hypotheses(make_model, some_batch, beam, length_penalty, seed):
    model, batch = make_model(CONFIG, seed=seed), some_batch(7, seed=seed)
    model.decoder.output.b.data[EOS] += 1.5  # so that texts of every length end
    options = {"beam": beam, "max_length": 8, "length_penalty": length_penalty, "nbest": beam}
    with minis2s.trace(model) as tape:
        found = beam_search(model, batch.src, batch.src_mask, **options)
    assert found == beam_search(model, batch.src, batch.src_mask, **options)  # the trace changed nothing
    assert len(tape.beam) == 7
    ended = 0
    for nodes, hypotheses in zip(tape.beam, found, strict=True):
        best, end = hypotheses[0], best_node(nodes)
        path = path_to(nodes, end)
        tokens = [n.token for n in path]
        assert tokens == best.tokens + [EOS] * best.finished
        assert sum(n.log_prob for n in path) == pytest.approx(best.log_prob, abs=1e-12)
        assert end.score == pytest.approx(best.score, abs=1e-12)
        assert end.finished == best.finished
        known = texts(nodes)
        for h in hypotheses:
            if h.finished:
                ended += 1
                assert known[tuple(h.tokens)] == pytest.approx(h.log_prob, abs=1e-12)
    assert ended > 3


def test_nodes(make_model, some_batch):
    model, batch = make_model(CONFIG), some_batch(5)
    with minis2s.trace(model) as tape:
        beam_search(model, batch.src, batch.src_mask, beam=3, max_length=8)
    thrown_away = 0
    for nodes in tape.beam:
        assert [n.id for n in nodes] == list(range(len(nodes)))
        root = nodes[0]
        assert (root.parent, root.token, root.total, root.step) == (-1, BOS, 0.0, -1)
        for n in nodes[1:]:
            parent = nodes[n.parent]
            assert parent.kept and not parent.finished and parent.step == n.step - 1
            assert n.total == pytest.approx(parent.total + n.log_prob, abs=1e-12)
            assert n.log_prob <= 0
            assert n.finished == (n.kept and n.token == EOS)
            thrown_away += not n.kept
        for step in range(max(n.step for n in nodes) + 1):
            level = [n for n in nodes if n.step == step]
            kept, others = [n.total for n in level if n.kept], [n.total for n in level if not n.kept]
            assert 1 <= len(kept) <= 3
            assert not others or min(kept) >= max(others)
    assert thrown_away > 10


@pytest.mark.parametrize("config", [CONFIG, ModelConfig("gru", 2, False, 5, 6, "additive", "bahdanau")])
def test_a_decode_becomes_a_step_that_learns_its_texts(make_model, some_batch, config):
    model, batch = make_model(config), some_batch(6)
    with minis2s.trace(model) as tape:
        found = beam_search(model, batch.src, batch.src_mask, beam=4, max_length=7)
    assert tape.loss == pytest.approx(-sum(h[0].log_prob for h in found), abs=1e-10)
    for row, (best, *_) in enumerate(found):
        assert tape.losses[:, row].sum() == pytest.approx(-best.log_prob, abs=1e-10)
        length = len(best.tokens) + best.finished
        assert tape.record.tgt_mask[:, row].sum() == length
        # each token was the most probable continuation of the tree's path, or one of the beam's
        assert tape.record.tgt_in[0, row] == BOS
    # and it can be asked as any other step
    assert tape.bptt(0).of("encoder.0", 0)["dh"]
    assert tape.what_if(minis2s.trace.Cut("attention")).loss > tape.loss - 100


def test_greedy_and_sample(make_model, some_batch):
    model, batch = make_model(CONFIG), some_batch(6)
    for decode in (
        lambda: greedy(model, batch.src, batch.src_mask, max_length=7),
        lambda: sample(model, batch.src, batch.src_mask, max_length=7, rng=np.random.default_rng(1)),
    ):
        with minis2s.trace(model) as tape:
            found = decode()
        for nodes, h in zip(tape.beam, found, strict=True):
            path = path_to(nodes, best_node(nodes))
            assert [n.token for n in path] == h.tokens + [EOS] * h.finished
            assert len(path) == len(nodes) - 1
            assert sum(n.log_prob for n in path) == pytest.approx(h.log_prob, abs=1e-12)


def test_a_translator():
    """Whoever calls beam_search on the model is seen, whichever way."""
    from minis2s import Pair, Translator

    translator = Translator.for_pairs([Pair("abc", ("cba",)), Pair("b", ("b",))], CONFIG)
    with minis2s.trace(translator.model) as tape:
        ((best,),) = translator.translate(["abc"], beam=2)
    assert sum(n.log_prob for n in path_to(tape.beam[0], best_node(tape.beam[0]))) == pytest.approx(
        best.log_prob, abs=1e-6
    )


def test_sentences_without_a_step_are_left_out(make_model, some_batch):
    model, batch = make_model(CONFIG), some_batch(3)
    limits = np.array([4, 0, 4])
    with minis2s.trace(model) as tape:
        found = beam_search(model, batch.src, batch.src_mask, beam=2, max_length=limits)
    assert len(tape.beam) == 2
    assert tape.losses[:, 1].sum() == pytest.approx(-found[2][0].log_prob, abs=1e-10)


def test_a_training_step_has_no_tree(traced):
    with pytest.raises(UserError, match="no search was traced"):
        traced(CONFIG).tape.beam  # noqa: B018


def test_a_search_that_tells_no_steps_leaves_the_tape_empty(make_model, some_batch):
    model, batch = make_model(CONFIG), some_batch(1)
    with minis2s.trace(model) as tape:
        exact_search(model, batch.src, batch.src_mask, max_length=2)
    with pytest.raises(UserError, match="empty"):
        tape.loss  # noqa: B018
