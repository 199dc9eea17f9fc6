"""Parts of speed.py about a training step: `step`, `threads` and `ragged`.

step     ours, torch, the floor and the step-object engine, on every case
threads  two threads against one
ragged   what a real token costs in a ragged batch, against one without padding
"""

import argparse

import numpy as np
from speed_cases import DATA, SIZES, Case, encoder_name, is_ragged, make_case, random_batch
from speed_harness import Side, Turn, head, median, ratio, row, take_turns, waited
from speed_ours import LR, MAX_NORM

from minis2s.models import ModelConfig

TOLERANCE = 1e-9  # relative, of float64 gradients
AGAINST = ("torch", "floor", "book")


def agreed(ours: Side, theirs: Side, loss: float, gradients: dict[str, np.ndarray]) -> float:
    """The largest relative difference of loss and gradients in float64; SystemExit when it is too large."""
    errors = theirs.ask("compare", loss, gradients)
    worst = max(errors, key=errors.get)
    if not errors[worst] <= TOLERANCE:
        raise SystemExit(f"speed: ours and torch's model differ: {worst}, relative error {errors[worst]:.1e}")
    return errors[worst]


def with_torch(case: Case, threads: int) -> tuple[dict[str, Side], dict, dict]:
    """Our side and torch's, which compute the same -> (sides, our weights, facts about them)."""
    ours = Side("speed_ours:Ours", case, threads)
    weights, loss, gradients = ours.ask("reference")
    theirs = Side("speed_torch:Torch", case, weights, LR, MAX_NORM, threads)
    facts = {"largest_difference": agreed(ours, theirs, loss, gradients), "adam": theirs.ask("chosen")}
    return {"ours": ours, "torch": theirs}, weights, facts


def chosen_cases(options: argparse.Namespace) -> list[Case]:
    """The cases asked for; absent data are told."""
    cases = []
    for name in options.cases:
        for encoder in ["bi"] if name == "deep" else options.encoders:
            case = make_case(name, bidirectional=encoder == "bi", data=options.data)
            if case is None:
                break
            cases.append(case)
    return cases


def describe(case: Case) -> dict:
    return {
        "case": case.name,
        "encoder": encoder_name(case.config),
        **{key: getattr(case.config, key) for key in ("cell", "layers", "embed", "hidden", "dropout")},
        "V": case.V_target,
        "tokens": case.tokens(),
        "steps": len(case.batches),
    }


def seconds(spent: dict[str, list[Turn]]) -> dict:
    """For the JSON file: every turn of every side, seconds of a pass and processor seconds of it."""
    return {name: [tuple(t) for t in turns] for name, turns in spent.items()}


# -- step -----------------------------------------------------------------------------------------


def step_part(options: argparse.Namespace) -> list[dict]:
    print("\n## Training step\n")
    print("Ratios above 1: ours is faster. Floor: the share of our time that matrix products alone take.")
    print("Book: an object for each time step. CPU: in processor time, of one thread.\n")
    names = ("ours, ms", "ours, tokens/s", "torch, tokens/s", "torch/ours", "floor/ours", "book/ours")
    names += ("torch/ours, CPU", "floor/ours, CPU")
    print(head("case", "enc.", "V", "E", "H", "threads", *names, "torch's Adam", "waited"), flush=True)
    results = []
    for case in chosen_cases(options):
        for threads in options.threads:
            result, spent = measure_step(case, threads, options)
            results.append(result)
            tokens, c = case.tokens(), case.config
            shown = [str(result["ratios"].get(name, "")) for name in AGAINST]
            shown += [f"{result['cpu'][name]:.2f}" if name in result["cpu"] else "" for name in AGAINST[:2]]
            print(
                row(
                    *(case.name, encoder_name(c), case.V_target, c.embed, c.hidden, threads),
                    f"{1000 * median(spent['ours']) / len(case.batches):.1f}",
                    *(f"{tokens / median(spent[name]):,.0f}" if name in spent else "" for name in ("ours", "torch")),
                    *shown,
                    result.get("adam", ""),
                    f"{100 * waited(spent['ours']):.0f} %" if threads == 1 else "",
                ),
                flush=True,
            )  # fmt: skip
            result["ratios"] = {name: r._asdict() for name, r in result["ratios"].items()}
    return results


def measure_step(case: Case, threads: int, options: argparse.Namespace) -> tuple[dict, dict]:
    if "torch" in options.rivals:
        sides, weights, facts = with_torch(case, threads)
    else:
        sides, facts = {"ours": Side("speed_ours:Ours", case, threads)}, {}
        weights = sides["ours"].ask("reference")[0]
    sides["floor"] = Side("speed_floor:Floor", case, threads)
    if "book" in options.rivals and threads == 1 and case.like_the_book():
        sides["book"] = Side("speed_book:Book", case, weights, LR, MAX_NORM)
    spent = take_turns(sides, options.rounds)
    ratios = {name: ratio(turns, spent["ours"]) for name, turns in spent.items() if name != "ours"}
    # what two threads wait for each other is a part of their speed, and processor time hides it
    cpu = {name: ratio(spent[name], spent["ours"], "cpu").median for name in ratios if threads == 1}
    facts |= {"threads": threads, "ratios": ratios, "cpu": cpu, "turns": seconds(spent)}
    return describe(case) | facts, spent


# -- threads --------------------------------------------------------------------------------------


def threads_part(options: argparse.Namespace) -> list[dict]:
    """Ours deals sentences out to its workers; beside it, the threads of BLAS in each product."""
    print("\n## Two workers or threads against one\n")
    print("How many times faster. BLAS: one worker of ours, two threads in each of NumPy's matrix products.\n")
    print(head("case", "enc.", "ours", "ours, BLAS", "torch", "ours 2 / torch 2"), flush=True)
    results = []
    for case in chosen_cases(options):
        sides, weights, facts = with_torch(case, 1)
        sides |= {
            "ours 2": Side("speed_ours:Ours", case, 2),
            "ours BLAS 2": Side("speed_ours:Ours", case, 1, blas_threads=2),
            "torch 2": Side("speed_torch:Torch", case, weights, LR, MAX_NORM, 2),
        }
        spent = take_turns(sides, options.rounds)
        ratios = {
            "ours": ratio(spent["ours"], spent["ours 2"]),
            "ours BLAS": ratio(spent["ours"], spent["ours BLAS 2"]),
            "torch": ratio(spent["torch"], spent["torch 2"]),
            "torch 2 over ours 2": ratio(spent["torch 2"], spent["ours 2"]),
        }
        print(row(case.name, encoder_name(case.config), *ratios.values()), flush=True)
        ratios = {name: r._asdict() for name, r in ratios.items()}
        results.append(describe(case) | facts | {"ratios": ratios, "turns": seconds(spent)})
    return results


# -- ragged ---------------------------------------------------------------------------------------


def without_padding(case: Case) -> Case:
    """As many sentences in every batch, all as long as they are on average: nearly as many real tokens."""
    rng = np.random.default_rng(0)
    batches = []
    for batch in case.batches:
        B = batch.src.shape[1]
        S, T = (round(mask.sum() / B) for mask in (batch.src_mask, batch.tgt_mask))
        flat = random_batch(rng, case.V_target, B, T, T)
        src = rng.integers(4, case.V_source, (S, B))
        batches.append(flat._replace(src=src, src_mask=np.ones((S, B), dtype=bool)))
    return case._replace(batches=batches)


def ragged_cases(options: argparse.Namespace) -> list[Case]:
    """Random lengths of two kinds, and those of real data."""
    V, E, H, B, T = SIZES["medium"]
    config = ModelConfig(bidirectional=False, embed=E, hidden=H)
    cases = []
    for name, shortest, longest in (("T/2 to 3T/2", T // 2, 3 * T // 2), ("1 to 2T", 1, 2 * T)):
        rng = np.random.default_rng(0)
        batches = [random_batch(rng, V, B, shortest, longest) for _ in range(4)]
        cases.append(Case(name, config, V, V, batches))
    real = (make_case(name, data=options.data) for name in DATA)
    return [*cases, *(case for case in real if case is not None)]


def ragged_part(options: argparse.Namespace) -> list[dict]:
    print("\n## What raggedness costs\n")
    print("Time per real token of ragged batches over that of batches of equal sentences (ideal: 1).\n")
    print(
        head("lengths", "real, of the rectangle", "ours", "torch, packed", "floor", "torch/ours"), flush=True
    )
    results = []
    for case in ragged_cases(options):
        flat = without_padding(case)
        assert not any(is_ragged(batch) for batch in flat.batches)
        sides, weights, _ = with_torch(case, 1)
        sides |= {
            "floor": Side("speed_floor:Floor", case),
            "ours flat": Side("speed_ours:Ours", flat),
            "torch flat": Side("speed_torch:Torch", flat, weights, LR, MAX_NORM),
            "floor flat": Side("speed_floor:Floor", flat),
        }
        spent = take_turns(sides, options.rounds)
        # both have nearly as many tokens; what is compared is the time of one
        per_token = flat.tokens() / case.tokens()
        costs = {}
        for name in ("ours", "torch", "floor"):
            r = ratio(spent[name], spent[f"{name} flat"])
            costs[name] = type(r)(*(per_token * q for q in r))
        costs["torch/ours"] = ratio(spent["torch"], spent["ours"])
        real = case.tokens() / sum(batch.tgt_mask.size for batch in case.batches)
        print(row(case.name, f"{100 * real:.0f} %", *costs.values()), flush=True)
        results.append(
            describe(case)
            | {"tokens_flat": flat.tokens(), "real_share": real, "turns": seconds(spent)}
            | {"costs": {name: r._asdict() for name, r in costs.items()}}
        )
    return results
