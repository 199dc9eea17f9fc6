"""Which bug, names, sizes and explanations a student gets; and the proof that the hunt is what it should be."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from minis2s.classroom.bughunt_bugs import (
    BANDS,
    bugs,
    changed_lines,
    code,
    errors,
    lines_of,
    pair,
    planted_code,
)
from minis2s.classroom.bughunt_checks import GRADIENTS, SIZES
from minis2s.classroom.bughunt_names import people
from minis2s.classroom.bughunt_sentences import SENTENCES
from minis2s.classroom.bughunt_stream import Stream
from minis2s.classroom.bughunt_students import Student
from minis2s.classroom.bughunt_text import Sheet
from minis2s.classroom.checks import run_check
from minis2s.classroom.source import Assignment
from minis2s.gradcheck.mutants import Mutant

CHOICES = 5


def drawn_sheets(task: str, students: Sequence[Student], seed: str, secret: bytes) -> Iterator[Sheet]:
    """A sheet for each student. Bugs are dealt out in turn, so that as many differ as there are; all texts differ."""
    pool = bugs(task)
    taken: set[str] = set()
    for number, student in enumerate(students):
        turn, place = divmod(number, len(pool))
        bug = Stream(secret, "order", task, seed, str(turn)).shuffled(pool)[place]
        yield drawn_sheet(
            task, bug, student.name, partial(purpose_stream, secret, task, seed, student.key), taken
        )


def purpose_stream(secret: bytes, task: str, seed: str, key: str, purpose: str) -> Stream:
    return Stream(secret, purpose, task, seed, key)


def drawn_sheet(
    task: str, bug: Mutant, student: str, stream: Callable[[str], Stream], taken: set[str]
) -> Sheet:
    """stream: the choices for a purpose. taken: the texts that others have; the student's is added."""
    sources = code(task), planted_code(task, bug)
    for person in people(task, sources, stream("names")):
        right, wrong = (person.write(source).strip() for source in sources)
        if wrong not in taken:
            taken.add(wrong)
            break
    numbers = tuple(stream("sizes").shuffled(range(3, 9))[: len(SIZES[task])])
    pairs = (pair(text, person.names(task)) for text in (right, wrong))
    pairs, inputs = tuple(pairs), stream("inputs")
    found = errors(task, *pairs, numbers, inputs.below(2**63))
    while not BANDS[task].holds(found):  # nobody's symptom is fainter than the others'
        found = errors(task, *pairs, numbers, inputs.below(2**63))
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
        tuple(zip(map(person.names, GRADIENTS[task].split()), found, strict=True)),
        tuple(SENTENCES[task][name] for name in choices),
        choices.index(bug.name) + 1,
    )


def drawn_choices(task: str, bug: Mutant, stream: Stream) -> list[str]:
    """The names of five bugs, the right one among them, in any order.

    Of some lines there are two, so that neither the right explanation tells the line nor the line the explanation.
    """
    lines = lines_of(task)
    others = stream.shuffled([name for name in lines if name != bug.name])
    chosen = [bug.name, *[name for name in others if set(lines[name]) & set(lines[bug.name])][:1]]
    for name in others:  # two of another line
        twins = [n for n in others if lines[n] == lines[name] and n not in chosen]
        if name not in chosen and len(twins) > 1 and not set(lines[name]) & set(lines[bug.name]):
            chosen += twins[:2]
            break
    chosen += [name for name in others if name not in chosen]
    return stream.shuffled(chosen[:CHOICES])


def prove(sheet: Sheet, assignment: Assignment, seeds: Sequence[int] = (1, 2)) -> None:
    """Raises ValueError unless the right code passes each check of the mending and the wrong one fails each."""
    for source, wanted in ((sheet.right, True), (sheet.wrong, False)):
        space: dict = {}
        exec(compile(source, "<bug hunt>", "exec", dont_inherit=True), space)
        functions = {name: space[name] for name in assignment.task("mending").functions}
        for check in assignment.task("mending").checks:
            for seed in seeds:
                outcome = run_check(check, functions, seed)
                if outcome.right != wanted or outcome.outcome not in ("right", "wrong"):
                    which = "right" if wanted else "wrong"
                    raise ValueError(
                        f"bug hunt of {sheet.bug}, check {check.name}: {outcome} for the {which} code"
                    )
