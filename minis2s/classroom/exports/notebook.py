"""Notebooks as plain JSON (format 4.5), made of a few cells; the same cells make the same bytes.

Code cells and text cells keep the task and the role that the source gives them: the grader finds answers by
them, and by the cells' ids where some tool has dropped the metadata.
"""

import json

from minis2s.classroom.cells import Cell

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
NOT_FOR_GRADERS = (
    "skip-execution",
    "otter_ignore",
)  # how nbgrader (nbclient) and otter are told to leave a cell out


def code(source: str, id: str, **metadata) -> dict:
    empty = {"execution_count": None, "outputs": []}
    return {"cell_type": "code", "id": id, "metadata": metadata, "source": lines(source)} | empty


def text(source: str, id: str, **metadata) -> dict:
    return {"cell_type": "markdown", "id": id, "metadata": metadata, "source": lines(source)}


def raw(source: str, id: str) -> dict:
    return {"cell_type": "raw", "id": id, "metadata": {}, "source": lines(source)}


def as_it_is(cell: Cell, source: str | None = None) -> dict:
    """A cell of the source, perhaps with other contents."""
    make = code if cell.kind == "code" else text
    about = {"task": cell.task} if cell.task else {}
    if cell.tags:
        about["tags"] = [*cell.tags, *(NOT_FOR_GRADERS if cell.role == "train" else ())]
    return make(cell.source if source is None else source, cell_id(cell), **about)


def cell_id(cell: Cell) -> str:
    """The same in every language: its number in the source, with what the cell is for."""
    return f"{cell.role}-{cell.number:03d}"


def lines(source: str) -> list[str]:
    """As Jupyter itself writes them, so that saving a notebook unchanged changes no line."""
    return source.splitlines(keepends=True)


def notebook(cells: list[dict], **metadata) -> str:
    """The text of a notebook file."""
    whole = {"cells": cells, "metadata": METADATA | metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
