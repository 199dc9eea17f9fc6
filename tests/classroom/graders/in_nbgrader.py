"""Runs in the environment of nbgrader: `generate_assignment` for each assignment of a folder of builds, and its points.

The first assignments are graded as submissions are, which takes some seconds a copy; of the others the cells
are run in this process, and nbgrader's own function says what each is worth.

    python in_nbgrader.py FOLDER HOW_MANY_AS_SUBMISSIONS
"""

import json
import os
import shutil
import sys
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

warnings.simplefilter("ignore")

import nbformat
from nbformat.v4 import new_output
from nbgrader.api import Gradebook
from nbgrader.apps.api import NbGraderAPI
from nbgrader.coursedir import CourseDirectory
from nbgrader.utils import determine_grade, is_grade, is_solution
from traitlets.config import Config


def course_of(builds: list[Path], lang: str = "en") -> NbGraderAPI:
    """One course with all assignments, in the current folder."""
    for build in builds:
        shutil.copytree(build / "nbgrader" / lang / "source" / build.name, Path("source") / build.name)
    config = Config()
    config.CourseDirectory.root = os.getcwd()
    return NbGraderAPI(CourseDirectory(config=config), config=config)


def grade(api: NbGraderAPI, name: str, as_submission: bool) -> dict:
    """The points of the instructor's copy and of an untouched one: [points, of how many]."""
    done = api.generate_assignment(name)
    if not done["success"]:
        raise RuntimeError(f"generate_assignment {name}: {done['error']} {done['log']}")
    points = submitted(api, name) if as_submission else here(name)
    return points | {"student": str(Path("release").resolve() / name / f"{name}.ipynb")}


def submitted(api: NbGraderAPI, name: str) -> dict:
    """Both copies are handed in and graded."""
    for student, version in (("right", "source"), ("empty", "release")):
        folder = Path("submitted") / student / name
        folder.mkdir(parents=True)
        shutil.copy(Path(version) / name / f"{name}.ipynb", folder)
        done = api.autograde(name, student)
        if not done["success"]:
            raise RuntimeError(f"autograde {name} {student}: {done['error']} {done['log']}")
    with Gradebook("sqlite:///gradebook.db") as book:
        return {s.student.id: [s.code_score, s.max_code_score] for s in book.assignment_submissions(name)}


def here(name: str) -> dict:
    """Both copies in this process: the checks of the source version, the answers of each."""
    whole, release = (
        nbformat.read(Path(version) / name / f"{name}.ipynb", as_version=4)
        for version in ("source", "release")
    )
    holes = {cell.metadata.nbgrader.grade_id: cell.source for cell in release.cells if is_solution(cell)}
    points = {}
    for copy in ("right", "empty"):
        names: dict = {}
        scores = []
        for cell in whole.cells:
            if cell.cell_type != "code" or "skip-execution" in cell.metadata.get("tags", ()):
                continue
            if copy == "empty" and is_solution(cell):
                cell.source = holes[cell.metadata.nbgrader.grade_id]
            cell.outputs = []
            try:
                exec(cell.source, names)
            except Exception as error:  # noqa: BLE001 -- as a kernel does
                cell.outputs.append(
                    new_output("error", ename=type(error).__name__, evalue=str(error), traceback=[])
                )
            if is_grade(cell):
                scores.append(determine_grade(cell))
        points[copy] = [sum(score or 0 for score, _ in scores), sum(most for _, most in scores)]
    return points


if __name__ == "__main__":
    folder, how_many = Path(sys.argv[1]), int(sys.argv[2])
    builds = sorted(path for path in folder.iterdir() if path.is_dir())
    with TemporaryDirectory(dir=folder.parent) as course:
        os.chdir(course)
        api = course_of(builds)
        for number, build in enumerate(builds):
            said = {"assignment": build.name} | grade(api, build.name, number < how_many)
            said["student"] = str(shutil.copy(said["student"], folder / f"{build.name}.nbgrader.ipynb"))
            print(json.dumps(said), flush=True)
