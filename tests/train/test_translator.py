"""The translator: text in, text out; saved, loaded, refused; and what it attends to."""

import json

import numpy as np
import pytest

from minis2s.data import Codec, Example, Pair, make_batch, tokenizer
from minis2s.errors import UserError
from minis2s.models import ModelConfig
from minis2s.train.checkpoint import load_checkpoint, save_checkpoint
from minis2s.train.translator import Translator

PAIRS = [
    Pair("abc", ("cba",)),
    Pair("bd", ("db", "bdbd")),
    Pair("", ("",)),
    Pair("dad", ("dada",)),
    Pair("漢字", ("字漢",)),
]


def make(dtype=np.float32, **config) -> Translator:
    """An untrained translator; its weights are enlarged, so that its outputs differ."""
    options = {"embed": 4, "hidden": 6} | config
    translator = Translator.for_pairs(PAIRS, ModelConfig(**options), dtype=dtype, seed=3)
    for p in translator.model.parameters().values():
        p.data *= 3
    return translator


TEXTS = ["abc", "", "zzz?", "a" * 60, "漢字 abc", "b", "\u0301", "a\tb\n", "🙂", "dada" * 9]


@pytest.mark.parametrize(
    "config",
    [{}, {"attention": "none", "cell": "gru"}, {"decoder": "bahdanau", "layers": 2}, {"input_feeding": True}],
    ids=str,
)
@pytest.mark.parametrize("search", [{}, {"beam": 3, "nbest": 3, "length_penalty": 0.6}], ids=str)
def test_every_text_has_its_translations(config, search):
    """Empty, unknown, long, Chinese, emoji: all at once and one by one, in the order given."""
    translator = make(**config)
    found = translator.translate(TEXTS, **search)
    assert len(found) == len(TEXTS)
    for text, translations in zip(TEXTS, found, strict=True):
        assert 1 <= len(translations) <= search.get("nbest", 1)
        assert [t.score for t in translations] == sorted(
            (t.score for t in translations), reverse=True
        ) or any(not t.finished for t in translations)
        for t in translations:
            assert isinstance(t.text, str) and t.log_prob <= 0 and np.isfinite(t.score)
        (alone,) = translator.translate([text], **search)
        assert [t.text for t in alone] == [t.text for t in translations]
        np.testing.assert_allclose(
            [t.log_prob for t in alone], [t.log_prob for t in translations], rtol=1e-4, atol=1e-5
        )


def test_no_texts_no_translations():
    assert make().translate([]) == []


def test_more_texts_than_fit_in_one_batch(monkeypatch):
    monkeypatch.setattr("minis2s.train.translator.SENTENCES_AT_ONCE", 2)
    translator = make()
    in_pieces = [t[0].text for t in translator.translate(TEXTS)]
    monkeypatch.undo()
    assert in_pieces == [t[0].text for t in translator.translate(TEXTS)]


def test_a_wide_beam_finds_nothing_worse_than_greedy():
    translator = make()
    greedy = [t[0] for t in translator.translate(TEXTS[:3])]
    wide = [t[0] for t in translator.translate(TEXTS[:3], beam=8)]
    for one, best in zip(greedy, wide, strict=True):
        assert not one.finished or best.log_prob >= one.log_prob - 1e-5


def test_the_length_penalty_counts():
    translator = make()
    batch = make_batch([Example(translator.source.encode("abc"), [])])
    (plain,) = translator.search(batch, beam=4, nbest=4)
    (found,) = translator.search(batch, beam=4, nbest=4, length_penalty=1.0)
    assert all(h.score == h.log_prob for h in plain)
    for h in found:
        length = len(h.tokens) + h.finished
        assert h.score == pytest.approx(h.log_prob / ((5 + length) / 6))
    assert {t.score for t in translator.translate(["abc"], beam=4, nbest=4, length_penalty=1.0)[0]} == {
        h.score for h in found
    }


def test_n_best_are_different_texts():
    (found,) = make().translate(["abc"], beam=5, nbest=5)
    assert len(found) == 5 and len({t.text for t in found}) == 5


def test_nbest_needs_as_wide_a_beam():
    with pytest.raises(ValueError, match="nbest"):
        make().translate(["abc"], beam=2, nbest=3)


def test_search_does_not_look_at_the_targets():
    translator = make()
    source = [translator.source.encode(text) for text in ("abc", "dad")]
    found = [
        translator.search(make_batch([Example(ids, target) for ids in source]), **search)
        for search in ({}, {"beam": 2, "nbest": 2})
        for target in ([], [5, 6, 7, 4, 4])
    ]
    assert found[0] == found[1] and found[2] == found[3]


def test_outputs_end():
    """A model that never says EOS is cut at twice the usual length, a little more for short texts."""
    translator = make()
    translator.model.decoder.output.b.data[2] = -1e4
    assert translator.length_ratio == 11 / 10
    for text in ("", "abc", "a" * 40):
        batch = make_batch([Example(translator.source.encode(text), [])])
        for search in ({}, {"beam": 2}):
            ((found,),) = translator.search(batch, **search)
            assert not found.finished
            assert len(found.tokens) == int(2 * 11 / 10 * (len(text) + 1)) + 10


def test_vocabularies_are_those_of_the_pairs():
    translator = make()
    assert set("abcd漢字") | {"<unk>"} <= set(translator.source.vocabulary.tokens)
    # every right answer counts, not only the first
    pairs = [Pair("a", ("x", "y"))]
    assert "y" in Translator.for_pairs(pairs, ModelConfig(embed=2, hidden=2)).target.vocabulary.tokens
    small = Translator.for_pairs(PAIRS, ModelConfig(embed=2, hidden=2), max_vocabulary=6, min_count=2)
    assert len(small.source.vocabulary) <= 6 and len(small.target.vocabulary) <= 6
    words = Translator.for_pairs(
        [Pair("a dog", ("un chien",))],
        ModelConfig(embed=2, hidden=2),
        source_tokenizer="word",
        target_tokenizer="space",
    )
    assert words.source.tokenizer.name == "word" and words.target.tokenizer.name == "space"
    with pytest.raises(ValueError, match="some training pairs, got none"):
        Translator.for_pairs([])


def test_one_seed_one_model():
    models = [
        Translator.for_pairs(PAIRS, ModelConfig(embed=2, hidden=2), seed=s).model.state() for s in (1, 1, 2)
    ]
    assert all(np.array_equal(models[0][n], models[1][n]) for n in models[0])
    assert not np.array_equal(models[0]["decoder.output.W"], models[2]["decoder.output.W"])


# -- attention ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config", [{}, {"decoder": "bahdanau", "attention": "additive"}, {"input_feeding": True}]
)
@pytest.mark.parametrize("source, target", [("abc", "cb"), ("", ""), ("漢字z", "q字"), ("a b", "")])
def test_attention_is_a_row_of_shares_for_each_output(config, source, target):
    weights, target_tokens, source_tokens = make(**config).attention(source, target)
    assert source_tokens == [*source, "</s>"] and target_tokens == [*target, "</s>"]
    assert weights.shape == (len(target) + 1, len(source) + 1)
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)


def test_without_attention_there_is_none_to_show():
    with pytest.raises(UserError, match="--attention none"):
        make(attention="none").attention("a", "b")


# -- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "config",
    [
        {},
        {"cell": "gru", "layers": 2, "bridge": "projection", "attention": "additive"},
        {"input_feeding": True},
    ],
    ids=str,
)
def test_saved_and_loaded_it_does_the_same(tmp_path, config, dtype):
    translator = make(dtype, **config)
    translator.save(tmp_path / "t.npz")
    loaded = Translator.load(tmp_path / "t.npz")
    for name, a in translator.model.state().items():
        b = loaded.model.state()[name]
        assert a.dtype == b.dtype == dtype and a.tobytes() == b.tobytes()
    for search in ({}, {"beam": 4, "nbest": 4, "length_penalty": 1.0}):
        assert loaded.translate(TEXTS, **search) == translator.translate(TEXTS, **search)
    assert loaded.describe() == translator.describe()
    assert loaded.model.config == translator.model.config


def test_description_is_plain_json():
    translator = make()
    described = translator.describe()
    assert json.loads(json.dumps(described)) == described
    fresh = Translator.from_description(described)
    assert fresh.describe() == described


def test_other_tokenizers_come_back(tmp_path):
    pairs = [Pair("a dog", ("un chien", "l'chien"))]
    words = Translator.for_pairs(
        pairs, ModelConfig(embed=2, hidden=2), source_tokenizer="word", target_tokenizer="space"
    )
    words.save(tmp_path / "t.npz")
    loaded = Translator.load(tmp_path / "t.npz")
    assert isinstance(loaded.source, Codec) and type(loaded.source.tokenizer) is type(tokenizer("word"))
    assert loaded.target.tokenizer.name == "space"


def test_a_folder_means_its_best_model(tmp_path):
    translator = make()
    translator.save(tmp_path / "best.npz")
    assert Translator.load(tmp_path).translate(["abc"]) == translator.translate(["abc"])
    with pytest.raises(UserError, match="best.npz: there is no such file"):
        (tmp_path / "empty").mkdir()
        Translator.load(tmp_path / "empty")


def test_a_file_cut_short_is_refused_wherever_it_was_cut(tmp_path):
    make().save(tmp_path / "t.npz")
    whole = (tmp_path / "t.npz").read_bytes()
    for share in (0.0, 0.01, 0.3, 0.7, 0.99):
        (tmp_path / "cut.npz").write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(UserError, match="cut.npz"):
            Translator.load(tmp_path / "cut.npz")


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "t.npz"
    with pytest.raises(UserError, match="no such file"):
        Translator.load(path)
    np.savez(path, a=np.ones(3))
    with pytest.raises(UserError, match="not a minis2s checkpoint"):
        Translator.load(path)
    path.write_text("hello")
    with pytest.raises(UserError, match="not a minis2s checkpoint"):
        Translator.load(path)
    save_checkpoint(path, {"a": np.ones(3)}, {"kind": "training"})
    with pytest.raises(UserError, match="holds no translator but 'training'"):
        Translator.load(path)


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda arrays, meta: arrays.pop("decoder.output.b"), "'decoder.output.b' of the model is missing"),
        (lambda arrays, meta: arrays.update(extra=np.ones(1, np.float32)), "'extra' is unknown"),
        (lambda arrays, meta: arrays.clear(), "does not fit"),
        (lambda arrays, meta: meta["model"].update(hidden=8), "shape"),
        (lambda arrays, meta: meta["model"].update(cell="lstn"), "got 'lstn'"),
        (lambda arrays, meta: meta["model"].update(colour="red"), "colour"),
        (lambda arrays, meta: meta.pop("length_ratio"), "'length_ratio' is missing"),
        (lambda arrays, meta: meta["source"]["vocabulary"]["tokens"].append("new"), "encoder.embedding.W"),
        (lambda arrays, meta: meta["source"].pop("tokenizer"), "tokenizer"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(tmp_path, spoil, words):
    make().save(tmp_path / "t.npz")
    arrays, meta = load_checkpoint(tmp_path / "t.npz")
    spoil(arrays, meta)
    save_checkpoint(tmp_path / "t.npz", arrays, meta)
    with pytest.raises(UserError, match=words):
        Translator.load(tmp_path / "t.npz")


def test_it_moves_to_another_device(strict_xp):
    translator = make()
    expected = translator.translate(TEXTS[:4], beam=2, nbest=2)
    weights, *_ = translator.attention("abc", "cb")
    assert translator.to(strict_xp) is translator
    found = translator.translate(TEXTS[:4], beam=2, nbest=2)
    assert [[t.text for t in ts] for ts in found] == [[t.text for t in ts] for ts in expected]
    np.testing.assert_allclose(translator.attention("abc", "cb")[0], weights, rtol=1e-5)
