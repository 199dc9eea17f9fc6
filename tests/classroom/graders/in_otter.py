"""Runs in the environment of otter-grader: `otter assign` for each assignment of a folder of builds, and its tests.

The first assignments are graded as submissions are, which takes seven seconds a copy; of the others the tests
that otter made are run in this process, with otter's own runner.

    python in_otter.py FOLDER HOW_MANY_AS_SUBMISSIONS
"""

import json
import os
import sys
from pathlib import Path

from otter.api import grade_submission
from otter.assign import main as assign
from otter.nbmeta_config import NBMetadataConfig
from otter.test_files import GradingResults, create_test_file


def assigned(build: Path, lang: str) -> Path:
    """The folder that `otter assign` makes."""
    folder = build / "otter" / lang
    os.chdir(folder)
    assign(f"{build.name}.ipynb", "dist", no_pdfs=True, no_run_tests=True)
    return folder / "dist"


def defined(notebook: dict) -> dict:
    """What the cells of a notebook define, those that graders run."""
    names: dict = {}
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if (
            cell["cell_type"] == "code"
            and "grader" not in source
            and "otter_ignore" not in cell["metadata"].get("tags", ())
        ):
            exec(source, names)
    return names


def here(dist: Path, version: str, name: str) -> GradingResults:
    """All tests of an assignment against a notebook, in this process."""
    path = str(dist / "autograder" / f"{name}.ipynb")
    autograder = json.loads(Path(path).read_text(encoding="utf-8"))
    config = NBMetadataConfig.from_notebook(autograder)
    names = defined(json.loads((dist / version / f"{name}.ipynb").read_text(encoding="utf-8")))
    tests = [create_test_file(path, config, test) for test in autograder["metadata"]["otter"]["tests"]]
    for test in tests:
        test.run(names)
    return GradingResults(tests)


def grade(build: Path, as_submission: bool, lang: str = "en") -> dict:
    dist = assigned(build, lang)
    points = {}
    for copy, version in (("right", "autograder"), ("empty", "student")):
        if as_submission:
            (archive,) = (dist / "autograder").glob("*.zip")
            results = grade_submission(str(dist / version / f"{build.name}.ipynb"), str(archive), quiet=True)
        else:
            results = here(dist, version, build.name)
        points[copy] = [results.total, results.possible]
    return points | {"student": str(dist / "student" / f"{build.name}.ipynb")}


if __name__ == "__main__":
    folder, how_many = Path(sys.argv[1]), int(sys.argv[2])
    for number, build in enumerate(sorted(path for path in folder.iterdir() if path.is_dir())):
        print(json.dumps({"assignment": build.name} | grade(build, number < how_many)), flush=True)
