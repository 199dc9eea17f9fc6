"""From what a student handed in to the program that goes into the box: definitions, and what they need.

Of several files the one with the most of the assignment in it is taken. Magics, shell lines, cells that are
not Python and imports of minis2s are left out with a note; statements that no function of the assignment needs
(calls, plots, training) without one. Nothing of it is executed here.
"""

import ast
import re
from dataclasses import dataclass, field
from itertools import pairwise

from minis2s.classroom.exports.words import WORDS
from minis2s.classroom.handed_in import clean, read
from minis2s.classroom.intake import Submission
from minis2s.classroom.listing import Listing, Part, listing, parsed
from minis2s.classroom.needed import binds, imports_minis2s, needed, without
from minis2s.classroom.review import review
from minis2s.classroom.source import Assignment
from minis2s.errors import UserError

MAGIC = re.compile(r"\s*+(?:[%!?]|[\w, ]++=\s*[%!]|[\w.]++\?\??\s*$)")
MOST_NOTES, LONGEST_NOTE = 30, 500
MOST_STATEMENTS = 20_000
LONGEST_ANSWER = 20_000  # characters of an answer to a written question that are kept
PYTHON_MAGICS = ("%%time", "%%timeit", "%%capture", "%%prun", "%%python", "%%python3")
EMPTY_ANSWERS = {words["answer"] for words in WORDS.values()}


@dataclass
class Source:
    """A student's program. text: what goes into the box; file: the name of the file it is from.

    written: the answers to the written questions by their tasks. refused: why there is no program, or "".
    lines: leads from a line of `text` to the student's own line (`Listing.place`).
    """

    text: str = ""
    file: str = ""
    notes: list[str] = field(default_factory=list)
    written: dict[str, str] = field(default_factory=dict)
    refused: str = ""
    solved: int = 0  # how many of the assignment's functions are there and no mere holes
    lines: Listing = field(default_factory=lambda: Listing([], []), repr=False)

    def place(self, line: int | None) -> str:
        return self.lines.place(line)


def extract(submission: Submission, assignment: Assignment) -> Source:
    """The program of a submission, with the reason where there is none; never raises for what is in it."""
    if submission.refused:
        return Source(refused=submission.refused, notes=list(submission.notes))
    tried = []
    for file in submission.files:
        name = clean(file.name)
        try:
            source = program(listing(read(file), name), assignment, name)
        except UserError as error:
            source = Source(file=name, refused=str(error))
        except (RecursionError, MemoryError):
            source = Source(file=name, refused=f"{name} is nested too deeply to be read")
        except Exception as error:  # noqa: BLE001 -- a stranger's file; the others are looked at all the same
            source = Source(file=name, refused=f"{name} cannot be read ({type(error).__name__}): look at it yourself")
        tried.append(source)
    hint = assignment.name.lower()
    best = max(tried, key=lambda s: (not s.refused, s.solved, hint in s.file.lower(), ".ipynb" in s.file.lower()))
    others = ", ".join(source.file for source in tried if source is not best and source.solved)
    if others:
        best.notes.insert(0, f"several files were handed in: {best.file} was graded, not {others}")
    best.notes[:0] = submission.notes
    return best


def program(found: Listing, assignment: Assignment, name: str) -> Source:
    """The program in a listing. Raises UserError when there is no Python in it."""
    functions = [name for task in assignment.tasks for name in task.functions]
    written = written_answers(found, assignment)
    tree, notes = python_of(found, name)
    if len(tree.body) > MOST_STATEMENTS:
        raise UserError(f"{name} holds {len(tree.body):,} statements, at most {MOST_STATEMENTS:,} are read")
    holes = mere_holes(tree, functions, found, notes)
    kept = needed([node for node in tree.body if node not in holes], functions)
    dropped = [node for node in tree.body if node not in kept]
    ours = [node for node in kept if imports_minis2s(node)]
    for node in ours[:MOST_NOTES]:
        notes.append(
            f"{found.place(node.lineno)} imports minis2s, which is not there where submissions are graded; it was left out"
        )
    text = without(found.text(), tree, [*dropped, *ours])
    notes += [f"review: {found.place(line)} {says}" for line, says in review(kept)]
    solved = {n for node in kept if not is_hole(node) for n in binds(node)} & set(functions)
    notes = [note if len(note) <= LONGEST_NOTE else f"{note[:LONGEST_NOTE]} ..." for note in [*found.notes, *notes]]
    if len(notes) > MOST_NOTES:
        notes[MOST_NOTES:] = [f"and {len(notes) - MOST_NOTES} notes more"]
    return Source(text, name, notes, written, "", len(solved), found)


# -- what is Python --------------------------------------------------------------------------------------------


def python_of(found: Listing, name: str) -> tuple[ast.Module, list[str]]:
    """The tree of all cells that are Python; the others become empty lines, with a note. Raises UserError."""
    for part in found.parts:
        if not part.code:
            blank(found, part)
    tree, why, line = parsed(found.text())
    if tree is not None:
        refuse_nothing(tree, name)
        return tree, []
    wrong = f"{found.place(line)}: {why}" if line else why
    notes: list[str] = []
    code = [part for part in found.parts if part.code]
    for part in code:
        notes += mend(found, part)
    tree, why, line = parsed(found.text())
    if tree is None or not tree.body:
        raise UserError(f"{name} is not right Python: {wrong}")
    return tree, notes


def refuse_nothing(tree: ast.Module, name: str) -> None:
    if not tree.body:
        raise UserError(f"{name} holds no code: there is nothing in it to grade")


def mend(found: Listing, part: Part) -> list[str]:
    """Make a cell Python that is not: without its magics, with one sort of indentation, or else empty.

    Returns notes on that.
    """
    name = part.name or f"the cell from line {part.start + 1} on"
    first = next((n for n in range(part.start, part.stop) if found.lines[n].strip()), part.start)
    if found.lines[first].startswith("%%"):
        magic = found.lines[first].split()[0]
        found.lines[first] = ""
        if magic not in PYTHON_MAGICS:
            blank(found, part)
            return [f"{name} begins with {clean(magic)[:40]} and was left out"]
    tree, why, line = parsed(found.text(part))
    if tree is not None:
        return []
    lines = found.lines[part.start : part.stop]
    plain = [re.match(r"\s*", text)[0] + "pass" if MAGIC.match(text) else text for text in lines]
    tabs = "tabs and blanks are mixed; a tab was read as {} blanks"
    for candidate, says in (
        (plain, "lines for the shell or for Jupyter were left out"),
        ([text.expandtabs(8) for text in plain], tabs.format(8)),
        ([text.expandtabs(4) for text in plain], tabs.format(4)),
    ):
        if candidate != lines and parsed("\n".join(candidate))[0] is not None:
            found.lines[part.start : part.stop] = candidate
            return [f"{name}: {says}"]
    blank(found, part)
    where = f"{found.place(part.start + line)}: {why}" if line else why
    return [f"{name} is not right Python and was left out: {where}"]


def blank(found: Listing, part: Part) -> None:
    found.lines[part.start : part.stop] = [""] * (part.stop - part.start)


# -- what is kept ----------------------------------------------------------------------------------------------


def mere_holes(tree: ast.Module, functions: list[str], found: Listing, notes: list[str]) -> list[ast.stmt]:
    """Holes that hide an answer of the same name: a cell that was handed out lies in the notebook twice."""
    left_out = []
    for name in functions:
        all_of = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
        answers = [node for node in all_of if not is_hole(node)]
        if answers and is_hole(all_of[-1]):
            left_out += [node for node in all_of if is_hole(node)]
            notes.append(f"{name}: {found.place(all_of[-1].lineno)} holds no answer and was left out; the one before counts")
        if len({ast.dump(node) for node in answers}) > 1:
            places = " and ".join(found.place(node.lineno) for node in answers)
            notes.append(f"{name} is defined {len(answers)} times ({places}); the last one counts")
    return left_out


def is_hole(node: ast.stmt) -> bool:
    """A function that is still as it was handed out: it raises NotImplementedError, and does nothing else to the end."""
    if not isinstance(node, ast.FunctionDef):
        return False
    for statement in node.body:
        if isinstance(statement, ast.Return):
            return False
        raised = statement.exc if isinstance(statement, ast.Raise) else None
        raised = raised.func if isinstance(raised, ast.Call) else raised
        if isinstance(raised, ast.Name) and raised.id == "NotImplementedError":
            return True
    return False


def written_answers(found: Listing, assignment: Assignment) -> dict[str, str]:
    """The answers to the written questions, by task: the cell that bears the task, else the one after the question."""
    texts = [(part, prose(found, part)) for part in found.parts if not part.code]
    answers = {}
    for question in assignment.written:
        asked = {squeezed(text) for text in question.question.values()}
        own = [
            text
            for part, text in texts
            if part.task == question.task and part.tag != "written" and squeezed(text) not in asked
        ]
        after = [b for (_, a), (_, b) in pairwise(texts) if squeezed(a) in asked and squeezed(b) not in asked]
        given = [text for text in own or after if text not in EMPTY_ANSWERS]
        answers[question.task] = shortened("\n\n".join(dict.fromkeys(given)))
    return answers


def shortened(answer: str) -> str:
    left = len(answer) - LONGEST_ANSWER
    return answer if left <= 0 else f"{answer[:LONGEST_ANSWER]}\n\n[... {left:,} characters more in the file]"


def prose(found: Listing, part: Part) -> str:
    """The text of a text cell, without the comment signs that a .py file needs."""
    text = found.text(part)
    if not part.name:
        text = re.sub(r"(?m)^# ?", "", text.partition("\n")[2])
    return text.strip()


def squeezed(text: str) -> str:
    return " ".join(text.split())
