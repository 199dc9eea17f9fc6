"""`minis2s mutate`: sharp and blunt checks get the score that they deserve, and the reason."""

import faulthandler
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from minis2s.cli import main
from minis2s.errors import UserError
from minis2s.functional import OPS
from minis2s.gradcheck.mutants import MUTANTS, by_area
from minis2s.gradcheck.mutants.observed import observed
from minis2s.gradcheck.mutants.pytest_runs import test_files as files_of
from minis2s.gradcheck.mutants.situations import WEAKNESSES, applies, op_inputs
from minis2s.gradcheck.mutate import mutate, mutate_pair

RNN = by_area["rnn"]

BLUNT = """
import numpy as np
from minis2s.functional import OPS
from minis2s.functional.naive import OPS as SLOW

def gradients(op):
    draw = np.random.default_rng(0).standard_normal
    out, cache = op.forward(draw((3, 1, 4)), draw((1, 2)), draw((4, 2)), draw((2, 2)), draw(2))
    return op.backward((draw(out[0].shape), draw(out[1].shape)), cache)

def test_one_row_without_a_mask():
    for a, b in zip(gradients(OPS["rnn"]), gradients(SLOW["rnn"])):
        assert np.abs(a - b).max() < 1e-12
"""

HANGS = BLUNT.replace("assert np", "while not np")[:-1] + ": pass\n"


@pytest.fixture
def tests(tmp_path):
    """A function that writes a test file into a folder of its own and runs the command on it."""

    def run(text: str, *options: str) -> tuple[int, str, dict]:
        folder = tmp_path / "tests"
        folder.mkdir(exist_ok=True)
        (folder / "test_it.py").write_text(text)
        result = tmp_path / "result.json"
        command = [sys.executable, "-m", "minis2s", "mutate", "--tests", str(folder), "--json", str(result)]
        done = subprocess.run(
            [*command, *options],
            capture_output=True,
            text=True,
            timeout=300,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        found = json.loads(result.read_text()) if result.exists() else {}
        return done.returncode, done.stdout + done.stderr, found

    return run


def test_a_blunt_test_and_its_blind_spot(tests):
    code, said, found = tests(BLUNT, "--only", "rnn/")
    assert code == 1
    assert found["planted"] == 19 and found["noticed"] == 15
    living = {m["name"]: m["blind_spot"] for m in found["mutants"] if not m["killed"]}
    assert set(living) == {
        "rnn/dh_last is not copied",
        "rnn/padded steps treated as real",
        "rnn/padding stops the gradient",
        "rnn/db averaged over the batch",
    }
    needs = "it shows only with more than one sentence in the batch: the check lacks one of these, or does not look there"
    assert living["rnn/db averaged over the batch"] == needs
    assert "padding (a ragged batch with its mask)" in living["rnn/padding stops the gradient"]
    assert "a second backward call" in living["rnn/dh_last is not copied"]
    assert all(name in said for name in living) and "15 of 19 planted bugs noticed (78.9 %)" in said
    noticed = next(m for m in found["mutants"] if m["name"] == "rnn/dWh uses h_t")
    assert noticed["how"].endswith("test_it.py::test_one_row_without_a_mask")


def test_everything_noticed_ends_with_0(tests):
    code, said, _ = tests(BLUNT, "--only", "rnn/dWh")
    assert code == 0 and "2 of 2 planted bugs noticed (100.0 %)" in said


def test_a_test_that_hangs_counts_as_noticed(tests):
    code, _, found = tests(HANGS, "--only", "rnn/dWh uses", "--timeout", "4")
    assert code == 0
    assert found["mutants"][0]["how"] == "it had not ended after 4 s"


def test_tests_that_fail_by_themselves_teach_nothing(tests):
    code, said, found = tests("def test_wrong():\n    assert False\n", "--only", "rnn/")
    assert code == 2 and not found
    assert "test_it.py fails without any planted bug already" in said and "test_wrong" in said
    assert said.count("\n") == 1


def test_a_file_can_be_left_out(tmp_path):
    (tmp_path / "test_here.py").write_text("def test_here():\n    pass\n")
    (tmp_path / "test_elsewhere.py").write_text('"""mutate: not this file"""\n')
    (tmp_path / "test_planting.py").write_text("from minis2s.gradcheck.mutants import MUTANTS\n")
    assert files_of(tmp_path) == [tmp_path / "test_here.py"]


def test_a_mistake_in_the_test_file_too(tests):
    code, said, _ = tests("import no_such_module\n", "--only", "rnn/")
    assert code == 2 and "fails without any planted bug already" in said


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--tests", "nowhere"], "there are no tests at nowhere"),
        (["--only", "lsmt/"], "no planted bug has 'lsmt/' in its name; did you mean lstm"),
        (["--check", "x.py:f"], "--check and --kind belong together"),
        (["--kind", "lstm"], "--check and --kind belong together"),
        (["--check", "nowhere.py:f", "--kind", "lstm"], "cannot read nowhere.py: there is no such file"),
        (["--check", "nowhere.py", "--kind", "lstm"], "--check needs FILE.py:NAME, got 'nowhere.py'"),
        (["--tests", "a", "--check", "b.py:f", "--kind", "rnn"], "name two checks: choose one"),
        (["--part", "0/3"], "must be K/N with K from 1 to N, as 2/3, got '0/3'"),
        (["--part", "4/3"], "must be K/N"),
        (["--part", "2"], "must be K/N"),
        (["--only", "sum over the batch", "--part", "400/400", "--list"], "leaves no bug to plant"),
    ],
)
def test_bad_input_is_said_in_one_sentence(arguments, words, capsys):
    assert main(["mutate", *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1


def test_the_list_of_bugs(capsys):
    assert main(["mutate", "--list", "--only", "masked_softmax"]) == 0
    said = capsys.readouterr().out
    assert "masked_softmax/sum over the batch\n    The sum runs" in said and said.endswith("9 planted bugs\n")


def test_the_parts_together_are_all_bugs(capsys):
    names = []
    for k in (1, 2, 3):
        assert main(["mutate", "--list", "--part", f"{k}/3"]) == 0
        lines = capsys.readouterr().out.splitlines()
        names.append([line for line in lines[:-1] if not line.startswith(" ")])
    assert sorted(name for some in names for name in some) == sorted(MUTANTS)
    assert max(map(len, names)) - min(map(len, names)) <= 1


# -- a check of one pair ---------------------------------------------------------------------------------

CHECKS = """
import numpy as np
from beside import draw

def sharp(op):
    x = draw(4, 3)
    a, cache = op.forward(x)
    da = draw(4, 3)
    assert np.allclose(op.backward(da, cache), da * (1 - np.tanh(x) ** 2))

def blunt(op):
    x = draw(4, 3)
    return op.backward(x, op.forward(x)[1]).shape == x.shape

def broken(op):
    return False
"""


@pytest.fixture
def checks(tmp_path):
    (tmp_path / "beside.py").write_text(
        "import numpy as np\ndef draw(*s): return np.random.default_rng(0).standard_normal(s)\n"
    )
    path = tmp_path / "checks.py"
    path.write_text(CHECKS)
    return path


def test_a_sharp_and_a_blunt_check_of_a_pair(checks, capsys):
    assert main(["mutate", "--check", f"{checks}:sharp", "--kind", "tanh", "--jobs", "2"]) == 0
    assert "4 of 4 planted bugs noticed" in capsys.readouterr().out
    assert main(["mutate", "--check", f"{checks}:blunt", "--kind", "tanh"]) == 1
    said = capsys.readouterr().out
    assert "0 of 4 planted bugs noticed (0.0 %)" in said
    assert (
        "it needs nothing special to show (dz wrong: the check does not look there, or tolerates too much)"
        in said
    )


def poor_check(op) -> None:
    """One sentence, no mask, zero initial states, no gradient of the last states; looks at dx and dWh alone."""
    rng = np.random.default_rng(0)
    x, h0, c0 = rng.standard_normal((3, 1, 2)), np.zeros((1, 2)), np.zeros((1, 2))
    weights = [rng.standard_normal(shape) for shape in ((2, 8), (2, 8), (8,))]
    dhs = rng.standard_normal((3, 1, 2))
    _, cache = op.forward(x, h0, c0, *weights)
    _, right_cache = OPS["lstm"].forward(x, h0, c0, *weights)
    got, right = op.backward((dhs, None, None), cache), OPS["lstm"].backward((dhs, None, None), right_cache)
    for n in (0, 4):
        np.testing.assert_allclose(got[n], right[n])


def test_of_all_that_a_bug_needs_only_what_the_check_lacks_is_named():
    names = (
        "mask of the step before",
        "dWh without h0",
        "dWx of one step",
        "db averaged",
        "dh_last is not copied",
    )
    score = mutate_pair(poor_check, "lstm", [MUTANTS[f"lstm/{name}"] for name in names])
    spots = {m.name.removeprefix("lstm/"): score.blind_spots[m.name] for m in score.survivors}
    assert spots.keys() == set(names)
    padding, sentences, steps = (WEAKNESSES[w] for w in ("no padding", "one row", "one step"))
    assert spots["mask of the step before"] == (
        f"it shows only with {sentences} and with {steps} and with {padding}: the check never has {sentences} or {padding}"
    )
    assert spots["dWh without h0"].endswith(f"the check never has {WEAKNESSES['no initial state']}")
    assert spots["dWx of one step"].startswith(f"it shows with {steps}, which the check has (dWx wrong: ")
    assert spots["db averaged"].startswith("it needs nothing special to show (db wrong: ")
    assert (
        f"never has {WEAKNESSES['outputs only']} or a second backward call" in spots["dh_last is not copied"]
    )


@pytest.mark.parametrize("kind", OPS)
def test_every_circumstance_is_seen_where_a_rich_check_has_it(kind):
    """All situations of an operation, run through: no weakness that applies to it is left."""

    def rich(op) -> None:
        for inputs in op_inputs(kind, None).values():
            for state_and_calls in range(2):
                out, cache = op.forward(*inputs)
                rng = np.random.default_rng(state_and_calls)
                parts = out if isinstance(out, tuple) else (out,)
                dout = tuple(rng.standard_normal(np.shape(part)) for part in parts)
                for _ in range(2):
                    op.backward(dout if isinstance(out, tuple) else dout[0], cache)

    mutant = next(m for m in MUTANTS.values() if m.op == kind)
    wanted = {weakness for weakness in WEAKNESSES if applies(mutant, weakness)}
    assert observed(rich, OPS[kind]) >= wanted


def test_a_check_that_asks_for_nothing_is_seen_to_ask_for_nothing():
    assert observed(lambda op: None, OPS["lstm"]) == set()


@pytest.mark.parametrize(
    "name, kind, words",
    [
        ("broken", "tanh", "the check fails on the right code already (it returned False)"),
        ("shrap", "tanh", "has no function 'shrap'; did you mean sharp?"),
        ("sharp", "tan", "unknown kind 'tan': choose one of linear"),
    ],
)
def test_a_check_that_cannot_be_used(checks, name, kind, words, capsys):
    assert main(["mutate", "--check", f"{checks}:{name}", "--kind", kind]) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1


# -- from Python -----------------------------------------------------------------------------------------


def squares_agree() -> None:
    """Notices bugs of tanh's backward alone."""
    x = np.linspace(-2, 2, 5)
    op = OPS["tanh"]
    np.testing.assert_allclose(op.backward(np.ones(5), op.forward(x)[1]), 1 - np.tanh(x) ** 2)


def test_a_function_as_the_check():
    mutants = [m for m in by_area["output"] if m.op in ("tanh", "dropout")]
    score = mutate(squares_agree, mutants, jobs=2)
    assert {m.op for m in score.kills} == {"tanh"} and {m.op for m in score.survivors} == {"dropout"}
    assert [r.mutant for r in score.results] == mutants
    assert "with dropout" in score.blind_spots["dropout/scale forgotten"]


def test_a_check_that_dies_has_noticed():
    right = OPS["tanh"].backward.__code__

    def dies() -> None:
        if OPS["tanh"].backward.__code__ is not right:
            faulthandler.disable()  # it would print where, into pytest's own output
            os.abort()

    score = mutate(dies, [MUTANTS["tanh/derivative forgotten"]])
    assert score.results[0].killed and "SIGABRT" in score.results[0].how


def test_a_check_that_hangs_is_stopped():
    right = OPS["tanh"].backward.__code__

    def hangs() -> None:
        while OPS["tanh"].backward.__code__ is not right:
            pass

    score = mutate(hangs, [MUTANTS["tanh/derivative forgotten"]], limit=0.5)
    assert score.results[0].how == "it had not ended after 0.5 s"
    assert score.seconds < 20


def test_what_is_known_of_bugs_that_no_gradient_shows():
    score = mutate(
        lambda: None, [MUTANTS["search/rows of the first sentence"], MUTANTS["optimizer/Adam climbs"]]
    )
    first, second = score.blind_spots.values()
    assert first == "it does not show where the batch has one sentence: is that so in the check?"
    assert "nothing is known that hides it" in second


def test_a_pair_is_asked_for_its_own_bugs_only():
    seen = []
    with pytest.raises(UserError, match="there is no planted bug of the operation 'tanh'"):
        mutate_pair(seen.append, "tanh", RNN)
    score = mutate_pair(lambda op: None, "rnn", RNN)
    assert len(score.results) == 19 and not score.kills


def test_the_gradient_checker_itself_is_the_default(capsys):
    assert main(["mutate", "--only", "softmax/sum over", "--jobs", "2"]) == 0
    assert "3 of 3 planted bugs noticed" in capsys.readouterr().out
    assert main(["mutate", "--only", "search/"]) == 2
    assert "none of the bugs chosen is in one" in capsys.readouterr().err
