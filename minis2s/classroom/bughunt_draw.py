"""Which bug, names, sizes and explanations a student gets; and the proof that the hunt is what it should be."""

from collections.abc import Iterator, Sequence

import numpy as np

from minis2s.classroom.bughunt_bugs import BANDS, bugs, changed_lines, code, pair, planted_code
from minis2s.classroom.bughunt_checks import GRADIENTS, INPUTS, SIZES, sizes
from minis2s.classroom.bughunt_names import Names, people
from minis2s.classroom.bughunt_sentences import SENTENCES
from minis2s.classroom.bughunt_stream import Stream
from minis2s.classroom.bughunt_text import Sheet
from minis2s.classroom.checks import run_check
from minis2s.classroom.source import Assignment
from minis2s.gradcheck.mutants import Mutant

CHOICES = 5
VISIBLE = 1e-6  # relative error from which a gradient is called wrong


def drawn_sheets(task: str, keys: Sequence[str], names: Sequence[str], seed: str, secret: bytes) -> list[Sheet]:
    """A sheet for each student. Bugs are dealt out in turn, so that as many differ as there are; all texts differ."""
    pool = bugs(task)
    taken: set[str] = set()
    sheets = []
    for number, (key, name) in enumerate(zip(keys, names, strict=True)):
        turn, place = divmod(number, len(pool))
        bug = Stream(secret, "order", task, seed, str(turn)).shuffled(pool)[place]
        sheets.append(drawn_sheet(task, bug, name, lambda what, key=key: Stream(secret, what, task, seed, key), taken))
    return sheets


def drawn_sheet(task: str, bug: Mutant, student: str, stream, taken: set[str]) -> Sheet:
    """stream(purpose) -> Stream. taken: the texts that others have; the student's is added."""
    sources = code(task), planted_code(task, bug)
    for person in people(task, sources, stream("names")):
        right, wrong = (person.write(source).strip() for source in sources)
        if wrong not in taken:
            taken.add(wrong)
            break
    numbers = tuple(stream("sizes").shuffled(range(3, 9))[: len(SIZES[task])])
    choices = drawn_choices(task, bug, stream("choices"))
    return Sheet(
        student,
        task,
        bug.name,
        person.names,
        right,
        wrong,
        changed_lines(right, wrong),
        numbers,
        tuple(symptom(task, person.names, right, wrong, numbers, stream("inputs"))),
        tuple(SENTENCES[task][name] for name in choices),
        choices.index(bug.name) + 1,
    )


def drawn_choices(task: str, bug: Mutant, stream: Stream) -> list[str]:
    """The names of five bugs, the right one among them, in any order.

    Of some lines there are two, so that neither the right explanation tells the line nor the line the explanation.
    """
    right = code(task)
    lines = {b.name: changed_lines(right, planted_code(task, b)) for b in bugs(task)}
    others = stream.shuffled([name for name in lines if name != bug.name])
    chosen = [bug.name, *[name for name in others if set(lines[name]) & set(lines[bug.name])][:1]]
    for name in others:  # two of another line
        twins = [n for n in others if lines[n] == lines[name] and n not in chosen]
        if name not in chosen and len(twins) > 1 and not set(lines[name]) & set(lines[bug.name]):
            chosen += twins[:2]
            break
    chosen += [name for name in others if name not in chosen]
    return stream.shuffled(chosen[:CHOICES])


# -- what the code does ------------------------------------------------------------------------------------------


def symptom(
    task: str, names: Names, right: str, wrong: str, numbers: tuple[int, ...], stream: Stream
) -> Iterator[tuple[str, float]]:
    """(gradient, largest relative error) of the wrong code, with inputs of these sizes; 0 where it is right."""
    space = {"np": np, "rng": np.random.default_rng(stream.below(2**63))}
    exec(sizes(task, numbers) + INPUTS[task], space)
    results = []
    for source in (right, wrong):
        forward, backward = pair(source, names(task))
        gradients = backward(space["dout"], forward(*space["given"])[1])
        results.append(gradients if isinstance(gradients, tuple) else (gradients,))
    for name, good, bad in zip(GRADIENTS[task].split(), *results, strict=True):
        error = np.abs(good - bad).max() / max(np.abs(good).max(), np.abs(bad).max())
        yield names(name), float(error) if error > VISIBLE else 0.0


def prove(sheet: Sheet, assignment: Assignment, seeds: Sequence[int] = (1, 2)) -> None:
    """Raises ValueError unless the right code passes each check of the mending, the wrong one fails each, and as many
    gradients are wrong as the band of the task says."""
    for source, wanted in ((sheet.right, True), (sheet.wrong, False)):
        space: dict = {}
        exec(compile(source, "<bug hunt>", "exec", dont_inherit=True), space)
        functions = {name: space[name] for name in assignment.task("mending").functions}
        for check in assignment.task("mending").checks:
            for seed in seeds:
                outcome = run_check(check, functions, seed)
                if outcome.right != wanted or outcome.outcome not in ("right", "wrong"):
                    raise ValueError(f"bug hunt of {sheet.bug}, check {check.name}: {outcome} for the {'right' if wanted else 'wrong'} code")
    low, high = BANDS[sheet.task].wrong
    if not low <= sum(error > 0 for _, error in sheet.symptom) <= high:
        raise ValueError(f"bug hunt of {sheet.bug}: the wrong gradients are {sheet.symptom}")
