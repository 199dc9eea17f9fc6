"""The source of an assignment for otter-grader 7: the notebook that `otter assign` takes.

Raw cells mark its parts; each check becomes a test case of the exception-based format, which otter runs by itself.

Source: otter-grader's documentation, "Creating Assignments", "Notebook Format".
"""

import json
import re
import textwrap

from minis2s.classroom.cells import BEGIN, END, Cell, hole, identifier, solution_blocks
from minis2s.classroom.exports.notebook import as_it_is, cell_id, code, notebook, raw, text
from minis2s.classroom.exports.words import number
from minis2s.classroom.source import Assignment

CONFIG = """\
# ASSIGNMENT CONFIG
name: {name}
init_cell: true
check_all_cell: true
export_cell: false
generate: true
requirements:
  - numpy
tests:
  ok_format: false
"""


def otter_notebook(assignment: Assignment, lang: str) -> str:
    answers = {question.task: question.answer[lang] for question in assignment.written}
    cells = [raw(CONFIG.format(name=assignment.name), "config")]
    for cell in assignment.cells:
        if cell.lang not in (None, lang) or cell.role in ("model-answer", "public", "hidden"):
            continue
        if cell.role == "answer":
            cells += question(assignment, cell)
        elif cell.role == "written":
            cells += [
                mark(f"BEGIN QUESTION\nname: {cell.task}\nmanual: true\npoints: {number(cell.points)}", cell),
                text(cell.source, cell_id(cell)),
                mark("BEGIN SOLUTION", cell),
                text(answers[cell.task], f"answer-{cell.task}"),
                mark("END SOLUTION", cell),
                mark("END QUESTION", cell),
            ]
        else:
            cells.append(as_it_is(cell))
    return notebook(cells)


def question(assignment: Assignment, cell: Cell) -> list[dict]:
    task = assignment.task(cell.task)
    begin = (
        f"BEGIN QUESTION\nname: {task.name}\npoints: {json.dumps([check.points for check in task.checks])}"
    )
    tests = [
        code(test_case(check, task.functions), f"test-{cell.number:03d}-{n}")
        for n, check in enumerate(task.checks)
    ]
    return [
        mark(begin, cell),
        mark("BEGIN SOLUTION", cell),
        code(with_prompts(cell), cell_id(cell)),
        mark("END SOLUTION", cell),
        mark("BEGIN TESTS", cell),
        *tests,
        mark("END TESTS", cell),
        mark("END QUESTION", cell),
    ]


def mark(words: str, cell: Cell) -> dict:
    return raw(f"# {words}", f"{identifier(words.partition(chr(10))[0])}-{cell.number:03d}")


def test_case(check, functions: tuple[str, ...]) -> str:
    """A check as a function of the student's functions."""
    settings = [f"points: {number(check.points)}", f"hidden: {json.dumps(not check.public)}"]
    config = "\n".join(['""" # BEGIN TEST CONFIG', *settings, '""" # END TEST CONFIG'])
    body = textwrap.indent(check.source, "    ")
    return f"{config}\ndef check_{identifier(check.name)}({', '.join(functions)}):\n{body}"


def with_prompts(cell: Cell) -> str:
    """The solution, with the hole that students find in its place."""
    lines = cell.source.split("\n")
    for begin, end in reversed(solution_blocks(cell.source)):
        indent = re.match(r"\s*", lines[begin - 1])[0]
        prompt = [f'{indent}""" # BEGIN PROMPT', indent + hole(cell, begin), f'{indent}""" # END PROMPT']
        lines[end - 1 : end] = [indent + END, *prompt]
        lines[begin - 1] = f"{indent}{BEGIN} NO PROMPT"
    return "\n".join(lines)
