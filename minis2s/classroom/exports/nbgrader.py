"""The source version of an assignment for nbgrader 0.9 (cell metadata of schema 3).

`nbgrader generate_assignment` makes of it what students get. Each check is a cell of its own with its points.

Source: nbgrader's documentation, "Creating and grading assignments", "Cell metadata".
"""

from minis2s.classroom.cells import BEGIN, END, identifier
from minis2s.classroom.exports.notebook import as_it_is, notebook
from minis2s.classroom.exports.words import WORDS, number
from minis2s.classroom.source import Assignment


def nbgrader_notebook(assignment: Assignment, lang: str) -> str:
    answers = {question.task: question.answer[lang] for question in assignment.written}
    cells = []
    for cell in assignment.cells:
        if cell.lang not in (None, lang) or cell.role == "model-answer":
            continue
        source = cell.source
        if cell.role == "answer":
            source = source.replace(BEGIN, f"##{BEGIN}").replace(END, f"##{END}")
        elif cell.role == "hidden":
            said = WORDS[lang]["hidden"].format(check=cell.check, points=number(cell.points))
            source = f"# {said}\n### BEGIN HIDDEN TESTS\n{source}\n### END HIDDEN TESTS"
        made = as_it_is(cell, source)
        if cell.role == "answer":
            made["metadata"]["nbgrader"] = about(cell.task, "code", solution=True)
        elif cell.role in ("public", "hidden"):
            grade_id = f"{cell.task}-{identifier(cell.check)}"
            made["metadata"]["nbgrader"] = about(
                grade_id, "code", grade=True, locked=True, points=cell.points
            )
        elif cell.role == "written":
            made["metadata"]["nbgrader"] = about(f"{cell.task}-question", "markdown", locked=True)
        cells.append(made)
        if cell.role == "written":
            answer = as_it_is(cell, answers[cell.task]) | {"id": f"answer-{cell.task}"}
            answer["metadata"] = {
                "nbgrader": about(cell.task, "markdown", solution=True, grade=True, points=cell.points)
            }
            cells.append(answer)
    return notebook(cells)


def about(grade_id: str, cell_type: str, **settings) -> dict:
    plain = {"schema_version": 3, "grade": False, "solution": False, "locked": False, "task": False}
    return plain | {"grade_id": grade_id, "cell_type": cell_type} | settings
