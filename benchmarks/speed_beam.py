"""Part `beam` of speed.py: beam search of width 5 on batches, beside torch eager.

Two kinds of cases: random models that never end a sentence, so that every search goes on to the
last step; and models trained for some steps on real data, whose sentences end here and there. Both
sides must find the same texts with the same scores first, in float64.
"""

import argparse

import numpy as np
from speed_cases import DATA, Case, make_case
from speed_harness import Side, head, median, ratio, row, take_turns, waited
from speed_ours import Ours
from speed_step import describe, seconds

from minis2s.data import EOS, Batch
from minis2s.decode import beam_search
from minis2s.models import Seq2Seq

BEAM = 5
TRAINING = 150  # steps of the models for real data
ENDLESS = ("small", "medium", "words")
TOLERANCE = 1e-9  # of log-probabilities in float64

Found = list[tuple[list[int], float]]  # tokens and log-probability of the best text of every sentence


def longest(batch: Batch, endless: bool) -> np.ndarray:
    """The greatest length of every sentence's output, (B,)."""
    S, B = batch.src.shape
    return np.full(B, S) if endless else 2 * batch.src_mask.sum(axis=0) + 10


class Beam:
    """Our search with some weights."""

    def __init__(self, case: Case, weights: dict[str, np.ndarray], endless: bool, dtype=np.float32):
        self.model = Seq2Seq(
            case.config, case.V_source, case.V_target, rng=np.random.default_rng(1), dtype=dtype
        )
        self.model.load_state(weights)
        self.endless = endless
        self.batches = case.batches

    def step(self, batch: Batch) -> Found:
        found = beam_search(
            self.model, batch.src, batch.src_mask, beam=BEAM, max_length=longest(batch, self.endless)
        )
        return [(best.tokens, best.log_prob) for (best,) in found]

    def texts(self) -> Found:
        """What is found for the first batch."""
        return self.step(self.batches[0])


class School(Ours):
    """Our training, for models that end their sentences."""

    def train(self, steps: int) -> dict[str, np.ndarray]:
        for n in range(steps):
            self.step(self.batches[n % len(self.batches)])
        return self.model.state()


def beam_cases(options: argparse.Namespace) -> list[tuple[Case, bool]]:
    endless = [(make_case(name), True) for name in ENDLESS if name in options.cases]
    real = [(make_case(name, data=options.data), False) for name in DATA if name in options.cases]
    return endless + [(case, ends) for case, ends in real if case is not None]


def weights_for(case: Case, endless: bool) -> dict[str, np.ndarray]:
    side = Side("speed_beam:School", case)
    weights = side.ask("train", 0 if endless else TRAINING)
    side.close()
    if endless:
        weights["decoder.output.b"][EOS] = -1000
    return weights


def compare(case: Case, weights: dict, endless: bool) -> None:
    """Raises SystemExit when the two searches find different texts or scores, in float64."""
    double = {name: a.astype(np.float64) for name, a in weights.items()}
    sides = [
        Side("speed_beam:Beam", case, double, endless, np.float64),
        Side("speed_beam_torch:TorchBeam", case, double, endless),
    ]
    ours, theirs = (side.ask("texts") for side in sides)
    for side in sides:
        side.close()
    for n, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if a[0] != b[0] or not abs(a[1] - b[1]) <= TOLERANCE * max(1, abs(a[1])):
            raise SystemExit(f"speed: the two beam searches differ at sentence {n}: {a} and {b}")


def beam_part(options: argparse.Namespace) -> list[dict]:
    print(f"\n## Beam search of width {BEAM}, in batches\n")
    print("Trained models end their sentences; the others all go on to the last step. One thread.\n")
    names = ("ours, sentences/s", "torch, sentences/s", "torch/ours", "waited")
    print(head("case", "model", "V", "E", "H", "sentences", *names, left=2), flush=True)
    results = []
    for case, endless in beam_cases(options):
        weights = weights_for(case, endless)
        compare(case, weights, endless)
        sides = {
            "ours": Side("speed_beam:Beam", case, weights, endless),
            "torch": Side("speed_beam_torch:TorchBeam", case, weights, endless),
        }
        spent = take_turns(sides, options.rounds)
        sentences = sum(batch.src.shape[1] for batch in case.batches)
        r = ratio(spent["torch"], spent["ours"])
        print(
            row(
                case.name,
                "endless" if endless else "trained",
                *(case.V_target, case.config.embed, case.config.hidden, sentences),
                *(f"{sentences / median(spent[name]):,.0f}" for name in sides),
                r,
                f"{100 * waited(spent['ours']):.0f} %",
            ),
            flush=True,
        )
        results.append(
            describe(case)
            | {"endless": endless, "sentences": sentences, "ratio": r._asdict(), "turns": seconds(spent)}
        )
    return results
