"""How sharp is a check? Plant the bugs of the catalogue, one at a time, and see which it notices.

`mutate` asks any Python function, `mutate_pair` a check of one forward and backward pair, `mutate_tests`
a file or folder of pytest tests. What lives is reported with the blind spot that let it live: the
circumstances that it needs to show, measured where that is possible.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np

from minis2s.errors import UserError
from minis2s.forked import run_forked
from minis2s.functional import OPS
from minis2s.gradcheck.check import gradcheck
from minis2s.gradcheck.mutants.mutant import Mutant, mutated_op, planted, target_function
from minis2s.gradcheck.mutants.observed import observed
from minis2s.gradcheck.mutants.pytest_runs import mutate_tests
from minis2s.gradcheck.mutants.score import Progress, Result, Score, judged
from minis2s.gradcheck.mutants.situations import MODELS, tiny_model
from minis2s.models import Bridge
from minis2s.nn import LSTM, Bidirectional, Layer
from minis2s.op import Op

__all__ = ["Result", "Score", "mutate", "mutate_checker", "mutate_pair", "mutate_tests"]

LIMIT = 60.0  # seconds for one check of one mutant; tests have a limit from their own time


def mutate(
    check: Callable[[], object],
    mutants: Iterable[Mutant],
    *,
    jobs: int = 1,
    limit: float = LIMIT,
    progress: Progress | None = None,
) -> Score:
    """Run `check()` with each mutant planted; it notices by raising anything, or by returning False.

    Raises UserError when the check fails without any mutant.
    """

    def with_mutant(mutant: Mutant) -> dict:
        with planted(mutant):
            return asked(check)

    refuse_broken(check)
    return score_of([(m, partial(with_mutant, m)) for m in mutants], jobs, limit, progress)


def mutate_pair(
    check: Callable[[Op], object],
    kind: str,
    mutants: Iterable[Mutant],
    *,
    jobs: int = 1,
    limit: float = LIMIT,
    progress: Progress | None = None,
) -> Score:
    """Run `check(op)` on the operation `kind` with each of its bugs, beside the right one.

    Mutants that are in no operation `kind`, or not in one of its two functions, are passed over.

    Raises UserError when the check fails on the right operation, or there is no bug of that kind.
    """
    if kind not in OPS:
        raise UserError(f"unknown kind {kind!r}: choose one of {', '.join(OPS)}")
    op = OPS[kind]
    chosen = [m for m in mutants if m.op == kind and target_function(m.target) is op.backward]
    if not chosen:
        raise UserError(f"there is no planted bug of the operation {kind!r} among those chosen")
    refuse_broken(partial(check, op))
    work = [(m, partial(asked, partial(check, mutated_op(m)))) for m in chosen]
    score = score_of(work, jobs, limit, progress)
    score.met = observed(check, op)
    return score


def checker_accepts(op: str) -> bool:
    """Whether the engine's own gradient checker finds nothing wrong: in an operation, or ("") in tiny models."""
    if not op:
        models = (gradcheck(tiny_model(name), fast=True) for name in MODELS)
        return all(report.ok for report in models) and all(
            gradcheck(layer, fast=True).ok for layer in layers()
        )
    forms = ({"reset_after": True}, {"reset_after": False}) if op.startswith("gru") else ({},)
    return all(gradcheck(OPS[op], **form).ok for form in forms)


def layers() -> list[Layer]:
    """Layers that can more than any model asks of them: initial states, a bridge to more layers than there are."""
    rng = np.random.default_rng(0)
    return [
        Bidirectional(LSTM(3, 2, rng=rng), LSTM(3, 2, rng=rng)),
        Bridge("copy", 4, 4, encoder_layers=1, decoder_layers=3, state_parts=2, rng=rng),
    ]


def checker_check(mutant: Mutant) -> bool:
    """The engine's own gradient checker as a check: False when it notices the mutant."""
    with planted(mutant):
        return checker_accepts(mutant.op)


def mutate_checker(
    mutants: Iterable[Mutant], *, jobs: int = 1, limit: float = LIMIT, progress: Progress | None = None
) -> Score:
    """The engine's own gradient checker on every backward mutant.

    A bug of an operation is looked for in that operation alone, one between operations in tiny models.
    """
    chosen = [m for m in mutants if m.about == "backward"]
    if not chosen:
        raise UserError("a gradient checker looks at backward passes, and none of the bugs chosen is in one")
    for op in {m.op for m in chosen}:
        refuse_broken(partial(checker_accepts, op))
    work = [(m, partial(asked, partial(checker_check, m))) for m in chosen]
    return score_of(work, jobs, limit, progress)


def asked(check: Callable[[], object]) -> dict:
    try:
        answer = check()
    except BaseException as error:  # noqa: BLE001 -- it noticed, in whatever way
        return {"killed": True, "how": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}
    return {"killed": answer is False, "how": "it returned False" if answer is False else "not noticed"}


def refuse_broken(check: Callable[[], object]) -> None:
    answer = asked(check)
    if answer["killed"]:
        raise UserError(
            f"the check fails on the right code already ({answer['how']}): mend it before its sharpness is measured"
        )


def score_of(
    work: Sequence[tuple[Mutant, Callable[[], dict]]], jobs: int, limit: float, progress: Progress | None
) -> Score:
    began = time.monotonic()
    results: dict[int, Result] = {}
    for n, ended in run_forked([job for _, job in work], jobs, [limit] * len(work)):
        results[n] = judged(work[n][0], ended)
        if progress is not None:
            progress(len(results), len(work), results[n])
    return Score([results[n] for n in range(len(work))], time.monotonic() - began)
