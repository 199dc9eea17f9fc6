"""The report on a class: a page (report_page.py) and a table, from the figures of its grading (report_figures.py)."""

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

from minis2s.classroom.report_figures import Figures, cause_of, diagnosed, figures_of, place_in_words
from minis2s.classroom.report_page import page_of
from minis2s.classroom.results import RIGHT, guarded, outcomes_of
from minis2s.classroom.similarity import THRESHOLD
from minis2s.files import write_text

COLUMNS = (
    "student", "file", "status", "reason", "score", "points", "not right", "place", "cause",
    "most alike", "share alike", "seconds",
)  # fmt: skip


def save_report(
    folder: str | os.PathLike,
    *,
    lang: str = "en",
    title: str = "",
    handed_out: Sequence[str] | None = None,
    threshold: float = THRESHOLD,
) -> tuple[Path, Path]:
    """Write FOLDER/report.html and FOLDER/report.csv; returns their paths.

    lang: "en" or "zh". title: of the assignment; by default its name. The rest as in `figures_of`.
    Raises UserError as `read_results`, and when a file cannot be written.
    """
    figures = figures_of(folder, handed_out=handed_out, threshold=threshold)
    page, table = Path(folder) / "report.html", Path(folder) / "report.csv"
    write_text(page, page_of(figures, lang, title))
    write_text(
        table, "\N{ZERO WIDTH NO-BREAK SPACE}" + table_of(figures)
    )  # a BOM: spreadsheets take it for UTF-8
    return page, table


def table_of(figures: Figures) -> str:
    """One line for each student, as CSV."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for result in figures.results:
        alike, share = figures.alike.nearest.get(result["student"], ("", None))
        diagnoses = [d for _, d in diagnosed([result])]
        wrong = [name for name, outcome in outcomes_of(result).items() if outcome != RIGHT]
        row = [
            result["student"], result.get("file"), result["status"], result.get("reason"), result.get("score"),
            result.get("points"), "; ".join(wrong), "; ".join(filter(None, map(place_in_words, diagnoses))),
            "; ".join(filter(None, map(cause_of, diagnoses))), alike,
            None if share is None else f"{share:.2f}", result.get("seconds"),
        ]  # fmt: skip
        writer.writerow([guarded(value) for value in row])
    return written.getvalue()
