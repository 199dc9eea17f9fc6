"""Marks: every check of an assignment is run against the functions in a box.

A check that passes gives its points, unless a function that it calls turns out to differentiate without calculus:
what it does on a large input tells (pace.py). Of what is wrong then, the checker says where and why (diagnosis.py).
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from weakref import WeakKeyDictionary

from minis2s.classroom.box import Box, Boxed, Cache, Died, Layers, Missing, Nonsense, Raised, Remote, TimedOut
from minis2s.classroom.checks import TOO_SLOW, Outcome, new_seed, run_check
from minis2s.classroom.checks import TooSlow as Slow
from minis2s.classroom.diagnosis import SECONDS, diagnosis
from minis2s.classroom.extract import Source
from minis2s.classroom.feedback import REVIEW
from minis2s.classroom.pace import Answer, fault, right_gradients, teachers
from minis2s.classroom.results import RIGHT
from minis2s.classroom.source import Assignment, Task, solution
from minis2s.gradcheck.problem import Misbehaved

SHORT = 1.0  # seconds for a call, once one has taken longer than its time
CALLS = 12  # as many times the seconds of a call for all calls together
PROCESSOR, WALL = 3.0, 30.0  # seconds for a pair on a large input, by the processor's time and by the clock
PATIENCE = 3  # calls of a function that may run out of their time
# what the checker can say more of: numbers and shapes, and how they come about
TELLING = ("wrong", Raised.outcome, Nonsense.outcome)
Calls = list[list[str]]  # the names of the functions that each check of a task calls


class Steady:
    """A function in a box; what it raises is told with the student's own lines.

    Once a call has run out of its time, the later ones have less, and after three there are none: who waits for many
    should not wait long.
    """

    def __init__(self, remote: Remote, source: Source, witness: "Witness"):
        self.remote, self.source, self.witness = remote, source, witness
        self.__name__ = remote.__name__
        self.late = 0
        if hasattr(remote, "__signature__"):
            self.__signature__ = remote.__signature__

    @property
    def seconds(self) -> float:
        """Of the last call."""
        return self.remote.seconds

    def pair(self) -> tuple["Steady", "Steady"]:
        """This forward function and its backward, all calls in one process."""
        remotes = self.remote.box.pair(self.__name__.removesuffix("_forward"))
        return tuple(Steady(remote, self.source, self.witness) for remote in remotes)

    def __call__(self, *arguments, **named):
        self.witness.called.add(self.__name__)
        if self.late == PATIENCE:
            raise TimedOut(f"{self.__name__} is not called again: it ran out of its time {PATIENCE} times")
        try:
            value = self.remote(*arguments, **named)
            if not named:
                self.witness.saw(self.__name__, arguments, value)
            return value
        except TimedOut:
            self.late += 1
            self.remote.box.seconds = min(self.remote.box.seconds, SHORT)
            raise
        except Raised as error:
            at = f" at {self.source.place(error.line)}" if error.line else ""
            raise Raised(f"{self.__name__} raised {error.kind}{at}", error.kind, error.line) from None


class Witness:
    """Notes which functions of a student a check calls, and what the backward functions answer, by their names."""

    def __init__(self):
        self.called: set[str] = set()
        self.given: WeakKeyDictionary[Cache, tuple] = WeakKeyDictionary()
        self.answers: dict[str, list[Answer]] = {}

    def saw(self, name: str, arguments: tuple, value: object) -> None:
        if name.endswith("_forward"):
            self.given[value[1]] = deepcopy(arguments)
        elif len(arguments) == 2 and isinstance(arguments[1], Cache) and arguments[1] in self.given:
            answer = Answer(self.given[arguments[1]], deepcopy(arguments[0]), value)
            self.answers.setdefault(name, []).append(answer)


def marked(
    source: Source, assignment: Assignment, layers: Layers, hint: int, seconds: float, notes: list[str]
) -> list[dict]:
    """What came of every task; `notes` get what was seen while the program was loaded."""
    names = [name for task in assignment.tasks for name in task.functions]
    with (
        Box(source.text, names, layers=layers, seconds=seconds, budget=CALLS * seconds) as box,
        Box(source.text, names, layers=layers, seconds=WALL, budget=PROCESSOR) as large,
    ):
        witness = Witness()
        functions, unloaded = loaded(box, source, names, witness, notes)
        program = solution(assignment)
        tasks = [checked(task, functions, witness, unloaded) for task in assignment.tasks]
        for task, (result, calls, answers) in zip(assignment.tasks, tasks, strict=True):
            if worth_a_diagnosis(task, result):
                box.left = max(box.left, SECONDS)
                result["diagnosis"] = diagnosis(box, task, lambda remote: Steady(remote, source, Witness()), hint, notes)
            teacher = teachers(program, task.pair, task.kind) if task.pair is not None else None
            if task.pair is not None and teacher is None:
                notes.append(f"{REVIEW}{task.name}: the assignment's own solution does not take the large input of its kind")
            found = without_calculus(large, task, result, calls, answers, source, teacher)
            if found is not None:
                withdraw(result, calls, *found)
            result["score"] = total(check["score"] for check in result["checks"])
    return [result for result, _, _ in tasks]


def loaded(
    box: Box, source: Source, names: list[str], witness: Witness, notes: list[str]
) -> tuple[dict[str, Steady], Outcome | None]:
    """(the functions that are there, None), or (nothing, what is to be said of every check)."""
    try:
        failed = box.load()["failed"]
        functions = {}
        for name in names:
            try:
                functions[name] = Steady(box.function(name), source, witness)
            except Missing:
                continue  # a check that needs it says so
    except Boxed as error:
        return {}, Outcome(error.outcome, f"the program as a whole: {error.reason}")
    notes += [f"{source.place(line)} raised {kind} when the program was loaded" for line, kind in failed]
    return functions, None


def checked(
    task: Task, functions: Mapping[str, Steady], witness: Witness, unloaded: Outcome | None
) -> tuple[dict, Calls, list[Answer]]:
    """(what came of a task, what its checks call, what its backward answered in them).

    Every check is run once, with a seed of its own.
    """
    checks, calls, answers = [], [], []
    for check in task.checks:
        witness.called.clear()
        witness.answers.clear()
        seed = new_seed()
        outcome = unloaded or run_check(check, functions, seed)
        if task.pair is not None:
            answers += witness.answers.get(task.pair[1], [])
        calls.append([name for name in functions if name in witness.called])
        checks.append(
            {
                "check": check.name,
                "public": check.public,
                "points": check.points,
                "score": check.points if outcome.right else 0,
                "outcome": outcome.outcome,
                "reason": outcome.reason,
                "seed": seed,
            }
        )
    points = total(check["points"] for check in checks)
    return {"task": task.name, "score": 0, "points": points, "checks": checks, "diagnosis": None}, calls, answers


def withdraw(result: dict, calls: Calls, function: str, outcome: Outcome) -> None:
    """Take back the points of the checks that call a function which differentiates without calculus."""
    for check, called in zip(result["checks"], calls, strict=True):
        if check["outcome"] == RIGHT and function in called:
            check |= {"score": 0, "outcome": outcome.outcome, "reason": outcome.reason}


def without_calculus(
    large: Box, task: Task, result: dict, calls: Calls, answers: list[Answer], source: Source, teacher: Sequence | None
) -> tuple[str, Outcome] | None:
    """(a function, what came of it) where something shows that it is no derivative by calculus, else None.

    large: a box of its own, whose budget limits the processor's time of each process. answers: what its backward
    answered in the checks. teacher: the pair of the assignment's solution, which says what is right; None where the
    task has none, or the large input of the kind does not suit it.
    """
    for check, called in zip(result["checks"], calls, strict=True):
        if check["outcome"] == TOO_SLOW and called:  # the check asked itself
            return called[-1], Outcome(TOO_SLOW, check["reason"])
    right = {name for check, called in zip(result["checks"], calls, strict=True) if check["score"] for name in called}
    if teacher is None or not right >= set(task.pair):
        return None
    held = right_gradients(answers, teacher, task.kind)
    if not held:
        return None
    large.left = WALL
    witness = Witness()
    pair = [Steady(remote, source, witness) for remote in large.pair(task.pair[0].removesuffix("_forward"))]
    start = time.monotonic()
    try:
        says = fault(pair, teacher, task.kind, held)
        return (task.pair[1], Outcome("wrong", says)) if says else None
    except (Boxed, Misbehaved) as error:
        last = task.pair[task.pair[1] in witness.called]
        # a process that has used up the processor's time is killed
        if isinstance(error, TimedOut) or (isinstance(error, Died) and time.monotonic() - start > PROCESSOR):
            return last, Outcome(TOO_SLOW, str(Slow(last, PROCESSOR)))
        outcome, reason = getattr(error, "outcome", "wrong"), getattr(error, "reason", str(error))
        return last, Outcome(outcome, f"for a large input: {reason}")
    except Exception as error:  # noqa: BLE001 -- it takes apart what came back
        last = task.pair[task.pair[1] in witness.called]
        reason = f"for a large input, what came back is not of the right form ({type(error).__name__})"
        return last, Outcome("wrong", reason)


def worth_a_diagnosis(task: Task, result: dict) -> bool:
    """Is something wrong with a pair that gives answers?"""
    return task.pair is not None and any(check["outcome"] in TELLING for check in result["checks"])


def total(points: Iterable[float]) -> float:
    """Their sum, where 0.1 and 0.2 are 0.3."""
    return round(sum(points), 6)
