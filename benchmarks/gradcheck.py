"""How often does the gradient checker find a planted bug, name its place and its cause, and cry wolf?

Four collections, none of which the checker reads:
  catalogue    minis2s.gradcheck.mutants: wrong lines planted into the engine's own backward passes, each
               checked as an opaque pair ("pairs") and inside whole models ("models")
  students     tests/gradcheck/student_bugs.py: wrong pairs in other styles, written without sight of the checker
  right        tests/gradcheck/ways.py: right pairs in many styles; and random right settings of the engine
Beside them the rivals of gradcheck_rivals.py on the same wrong pairs.

A place counts as named when the node is the labelled one (or one of several that the label allows) and, for
a gate, the gate; a cause when the first one that the report names is the labelled one. "alike" counts also
those causes that are two names for one slip; the table SAME lists them.

    python benchmarks/gradcheck.py                 everything, about 15 minutes on two cores
    python benchmarks/gradcheck.py pairs students  some of: pairs models students right random time rivals
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import importlib.util
import json
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from minis2s import ModelConfig, Seq2Seq, nn
from minis2s.functional import OPS
from minis2s.gradcheck import Report, gradcheck
from minis2s.gradcheck.mutants import MUTANTS
from minis2s.gradcheck.mutants.mutant import mutated_op, planted
from minis2s.models import Bridge

HERE = Path(__file__).parent
MATERIAL = HERE.parent / "tests" / "gradcheck"

# Two names for one slip: which of them a label has is a matter of taste.
SAME = (
    {"missing factor", "wrong derivative"},  # the factor left out is a derivative
    {"missing factor", "carry scaled"},  # ... is the one of the carry
    {"missing factor", "wrong variable"},  # another variable, which lacks a factor
    {"missing term", "carry dropped", "hand-over"},  # a path to the loss left out
    {"wrong variable", "time shift", "stale cache"},  # the same variable, of another step
    {"wrong variable", "gate order"},
    {"batch sum", "normalization", "scale"},
    {"carry doubled", "doubled", "aliased", "extra term"},  # += in place of =
    {"overwritten", "carry dropped", "missing term", "batch sum"},  # = in place of +=
    {"mask ignored", "carry dropped"},  # what a padded step hands on
)
# Nodes that are one and the same, or of which backward makes one at the same moment as the other.
SAME_NODES = (
    {"dmemory", "dkeys", "dvalues"},
    {"dh", "dc", "dh0", "dc0"},
    {"dh_prev", "dh0", "dh"},  # the state before a step
    {"dc_prev", "dc0", "dc"},
    {"dattentional", "dfeed", "dout"},
    {"dloss", "dlogits"},
    {"dscores", "dquery", "dprojected"},
    {"dx", "dout"},
)
MASKED = {"dh", "dc", "dz", "dh0", "dc0", "dx"}  # a mask left out makes all of these wrong at one step

MODELS = (
    {},
    {"decoder": "bahdanau", "attention": "additive"},
    {"input_feeding": True, "dropout": 0.3, "layers": 2},
    {"bridge": "projection", "layers": 2, "dropout": 0.3},
    {"attention": "none", "bidirectional": False},
    {"attention": "dot"},
    {"attention": "scaled"},
    {"cell": "gru"},
    {"cell": "rnn"},
    {"cell": "gru", "decoder": "bahdanau", "layers": 2},
    {"bridge": "zero"},
)


def load(name: str):
    spec = importlib.util.spec_from_file_location(name, MATERIAL / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


# -- one case --------------------------------------------------------------------------------------------


def outcome(name: str, report: Report, nodes: set[str], gate: str, causes: set[str], seconds: float) -> dict:
    """What a report got right about a bug with these labels."""
    place, cause = report.place, report.cause
    same = {node for group in SAME_NODES for node in group if nodes & group} | nodes
    if "mask ignored" in causes:
        same |= MASKED
    node_right = place is not None and (place.node in same or (place.node[:2] == "dW" and "dW" in nodes))
    gate_right = (
        not gate or place is None or place.node != "dz" or set(place.gate) == set(gate) or not place.gate
    )
    alike = causes | {c for group in SAME for c in group if causes & group}
    return {
        "name": name,
        "found": report.verdict == "wrong",
        "place": bool(node_right and gate_right),
        "cause": cause is not None and cause.cause in causes,
        "alike": cause is not None and cause.cause in alike,
        "wrong_certain": cause is not None and cause.confidence == "certain" and cause.cause not in alike,
        "said": f"{place} / {None if cause is None else (cause.cause, cause.confidence, cause.says)}",
        "wanted": f"{sorted(nodes)} {gate} / {sorted(causes)}",
        "seconds": round(seconds, 2),
    }


def timed(check) -> tuple[Report, float]:
    start = time.process_time()
    report = check()
    return report, time.process_time() - start


def catalogue_pair(name: str) -> dict:
    mutant = MUTANTS[name]
    before = mutant.op.startswith("gru") and "before" in name
    report, seconds = timed(
        lambda: gradcheck(mutated_op(mutant), kind=mutant.op, reset_after=False if before else None)
    )
    return outcome(name, report, {mutant.node}, mutant.gate, {mutant.cause}, seconds)


def catalogue_model(name: str) -> dict:
    mutant = MUTANTS[name]
    with planted(mutant):
        # the first subject in which it shows at all is then checked in full
        shown = next((s for s in subjects() if gradcheck(s, fast=True).verdict == "wrong"), small_model({}))
        report, seconds = timed(lambda: gradcheck(shown))
    return outcome(name, report, {mutant.node}, mutant.gate, {mutant.cause}, seconds)


def subjects():
    """Models in all styles, and the layers that a model never asks for everything that they can do."""
    for options in MODELS:
        yield small_model(options)
    rng = np.random.default_rng(0)
    yield nn.Bidirectional(nn.LSTM(3, 2, rng=rng), nn.LSTM(3, 2, rng=rng))
    yield Bridge("copy", 4, 4, encoder_layers=1, decoder_layers=3, state_parts=2, rng=rng)
    yield nn.GRU(3, 4, rng=rng, reset_after=False)
    yield OPS["gru_step"]


def small_model(options: dict) -> Seq2Seq:
    config = ModelConfig(**{"embed": 3, "hidden": 4, **options})
    return Seq2Seq(config, 8, 9, rng=np.random.default_rng(0))


def student_bug(number: int) -> dict:
    bug = load("student_bugs").BUGS[number]
    options = {key: bug.options[key] for key in ("gates", "reset_after") if key in bug.options}
    pair = (bug.name, bug.forward, bug.backward)
    report, seconds = timed(lambda: gradcheck(pair, kind=bug.kind, **options))
    gate = bug.gate if bug.node == "dz" else ""
    return outcome(
        f"{bug.kind}: {bug.name}", report, {bug.node, *bug.nodes}, gate, {bug.cause, *bug.also}, seconds
    )


def right_way(number: int) -> dict:
    way = load("ways").RIGHT[number]
    options = {key: way.options[key] for key in ("gates", "reset_after") if key in way.options}
    report, seconds = timed(
        lambda: gradcheck((way.name, way.forward, way.backward), kind=way.kind, **options)
    )
    return {
        "name": f"{way.kind}: {way.name}",
        "verdict": report.verdict,
        "seconds": round(seconds, 2),
        "said": str(report),
    }


def random_right(number: int) -> dict:
    """A random right setting: an operation with a random seed, or a model with random options."""
    rng = np.random.default_rng([2, number])

    def pick(*choices):
        return choices[rng.integers(len(choices))]

    if number % 2:
        name = pick(*OPS)
        options = {"reset_after": bool(rng.integers(2))} if name.startswith("gru") else {}
        report, seconds = timed(
            lambda: gradcheck(OPS[name], seed=number, fast=bool(rng.integers(2)), **options)
        )
        return {
            "name": f"{name}, seed {number}",
            "verdict": report.verdict,
            "seconds": round(seconds, 2),
            "said": str(report),
        }
    attention = pick("none", "dot", "scaled", "general", "additive")
    decoder = pick("luong", "bahdanau")
    bridge = pick("copy", "projection") if attention == "none" else pick("copy", "zero", "projection")
    config = {
        "cell": pick("rnn", "lstm", "gru"),
        "layers": pick(1, 1, 2),
        "bidirectional": pick(True, False),
        "embed": pick(1, 2, 3, 5),
        "hidden": pick(2, 4, 6),
        "attention": attention,
        "decoder": decoder,
        "input_feeding": decoder == "luong" and attention != "none" and bool(rng.integers(2)),
        "bridge": bridge,
        "dropout": pick(0.0, 0.3),
    }
    model = Seq2Seq(ModelConfig(**config), int(rng.integers(6, 12)), int(rng.integers(6, 12)), rng=rng)
    report, seconds = timed(lambda: gradcheck(model, seed=number, fast=bool(number % 4)))
    return {"name": f"{config}", "verdict": report.verdict, "seconds": round(seconds, 2), "said": str(report)}


# -- tables ------------------------------------------------------------------------------------------------


def share(results: list[dict], key: str) -> str:
    count = sum(r[key] for r in results)
    return f"{count} ({100 * count / len(results):.1f} %)"


def bug_table(title: str, results: list[dict]) -> None:
    print(f"\n{title}: {len(results)} wrong ones")
    for key, words in (
        ("found", "reported as wrong"), ("place", "place named right"), ("cause", "cause named as labelled"),
        ("alike", "cause named right, other words for the same slip included"),
        ("wrong_certain", "a wrong cause called certain"),
    ):  # fmt: skip
        print(f"  {words:<62} {share(results, key)}")
    print(
        f"  seconds, median and largest: {statistics.median(r['seconds'] for r in results):.2f}, {max(r['seconds'] for r in results):.2f}"
    )
    for r in results:
        if not (r["found"] and r["place"] and r["alike"]):
            print(f"    {r['name']}: wanted {r['wanted']}; said {r['said'][:200]}")


def right_table(title: str, results: list[dict]) -> None:
    wrong = [r for r in results if r["verdict"] == "wrong"]
    unclear = [r for r in results if r["verdict"] == "cannot tell"]
    print(f"\n{title}: {len(results)} right ones")
    print(f"  called wrong (false alarms) {len(wrong)}, cannot tell {len(unclear)}")
    for r in [*wrong, *unclear]:
        print(f"    {r['name']}: {r['said'][:1000]}")


def times() -> dict:
    """Seconds of processor for a whole attention model, with a bug in it and without; the median of five."""
    found = {}
    for title, name in (
        ("right", None),
        ("wrong LSTM", "lstm/do uses c"),
        ("wrong hand-over", "wiring/last state ignored"),
    ):
        for fast in (False, True):
            seconds = []
            for _ in range(5):
                model = small_model({})
                if name is None:
                    report, s = timed(lambda model=model, fast=fast: gradcheck(model, fast=fast))
                else:
                    with planted(MUTANTS[name]):
                        report, s = timed(lambda model=model, fast=fast: gradcheck(model, fast=fast))
                seconds.append(s)
            found[f"{title}, {'fast' if fast else 'full'}"] = round(statistics.median(seconds), 3)
            assert (report.verdict == "right") == (name is None)
    print("\nseconds of processor for a whole attention model (16 blocks, 557 weights), median of five")
    for title, seconds in found.items():
        print(f"  {title:<24} {seconds}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    everything = ("time", "pairs", "models", "students", "right", "random", "rivals")
    parser.add_argument("what", nargs="*", help=f"some of: {', '.join(everything)}; left out: all")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    chosen = args.what or everything
    backward = [m for m in MUTANTS.values() if m.about == "backward"]
    pairs = [m.name for m in backward if m.op and m.target.startswith("functional")]
    results: dict = {}
    if "time" in chosen:
        results["time"] = times()
    with ProcessPoolExecutor(args.jobs) as pool:
        for key, title, table, function, cases in (
            ("pairs", "catalogue, as opaque pairs", bug_table, catalogue_pair, pairs),
            ("models", "catalogue, in whole models", bug_table, catalogue_model, [m.name for m in backward]),
            ("students", "student bugs", bug_table, student_bug, range(len(load("student_bugs").BUGS))),
            ("right", "right pairs in many styles", right_table, right_way, range(len(load("ways").RIGHT))),
            ("random", "random right settings", right_table, random_right, range(500)),
        ):  # fmt: skip
            if key in chosen:
                results[key] = list(pool.map(function, cases, chunksize=4))
                table(title, results[key])
    if "rivals" in chosen:
        from gradcheck_rivals import main as rivals

        rivals()
    if args.json:
        args.json.write_text(json.dumps(results, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
