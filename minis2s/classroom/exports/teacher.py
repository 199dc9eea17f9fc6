"""The teacher's copy: the whole assignment as a notebook, with solutions, hidden checks and model answers."""

from minis2s.classroom.cells import solved
from minis2s.classroom.exports.notebook import as_it_is, notebook
from minis2s.classroom.exports.words import WORDS, number
from minis2s.classroom.source import Assignment


def teacher_notebook(assignment: Assignment, lang: str) -> str:
    cells = []
    for cell in assignment.cells:
        if cell.lang not in (None, lang):
            continue
        source = solved(cell) if cell.role == "answer" else cell.source
        if cell.role == "hidden":
            said = WORDS[lang]["hidden"].format(check=cell.check, points=number(cell.points))
            source = f"# {said}\n{source}"
        cells.append(as_it_is(cell, source))
    return notebook(cells, minis2s={"assignment": assignment.name, "lang": lang, "copy": "teacher"})
