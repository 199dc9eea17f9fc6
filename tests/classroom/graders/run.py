"""The exports load in the real nbgrader and otter-grader: the instructor's copy gets all points, the empty one none,
and what the two tools make for students holds no line of a solution, a hidden check or a model answer.

    python tests/classroom/graders/run.py [--all]

The first assignment is collected and graded as in a course, with --all every one (some minutes). Makes .venv-graders beside the sources (kept and reused). Exit status 0 when all is well, or when the tools
cannot be installed, which is said loudly; 1 when something is wrong.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parent
ENVIRONMENT = ROOT / ".venv-graders"
PACKAGES = ("nbgrader==0.9.6", "otter-grader==7.0.0", "ipykernel", "numpy>=2.0")
GRADERS = {"nbgrader": HERE / "in_nbgrader.py", "otter": HERE / "in_otter.py"}
SECONDS = 600  # for each grader

sys.path.insert(0, str(ROOT))

from minis2s.classroom.build import build
from minis2s.classroom.source import Assignment, assignments, secrets


def install() -> Path | None:
    """The Python that has both graders, or None where they cannot be installed."""
    python = ENVIRONMENT / "bin" / "python"
    ready = ENVIRONMENT / "ready.txt"
    if ready.is_file() and ready.read_text() == " ".join(PACKAGES):
        return python
    commands = (
        [sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)],
        [str(python), "-m", "pip", "install", "--quiet", "uv"],  # several times as fast as pip
        [str(python), "-m", "uv", "pip", "install", "--quiet", "--python", str(python), *PACKAGES],
    )
    for command in commands:
        try:
            done = subprocess.run(command, timeout=SECONDS, capture_output=True, text=True)
        except (OSError, subprocess.TimeoutExpired) as error:
            print(f"{' '.join(command[:4])} ...: {error}", file=sys.stderr)
            return None
        if done.returncode:
            print(done.stderr[-2000:], file=sys.stderr)
            return None
    ready.write_text(" ".join(PACKAGES))
    return python


def start(python: Path, grader: str, folder: Path, as_submissions: int) -> subprocess.Popen:
    """A grader over all assignments, which prints one line of JSON for each."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1", "JUPYTER_PREFER_ENV_PATH": "1",
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",  # the kernel of that environment
    }  # fmt: skip
    with open(folder / f"{grader}.out", "w") as out, open(folder / f"{grader}.err", "w") as err:
        command = [str(python), str(GRADERS[grader]), str(folder), str(as_submissions)]
        return subprocess.Popen(command, stdout=out, stderr=err, env=environment, cwd=folder)


def faults(assignment: Assignment, said: dict | None) -> list[str]:
    """What is wrong in what a grader made of an assignment."""
    if said is None:
        return ["nothing came"]
    automatic = sum(task.points for task in assignment.tasks)
    found = []
    if said["right"] != [automatic, automatic]:
        found.append(f"the instructor's copy got {said['right']}, of {automatic}")
    if said["empty"] != [0, automatic]:
        found.append(f"the empty copy got {said['empty']}, of {automatic}")
    student = Path(said["student"]).read_text(encoding="utf-8")
    cells = [
        line.strip() for cell in json.loads(student)["cells"] for line in "".join(cell["source"]).split("\n")
    ]
    leaked = [
        line for line in secrets(assignment) if line in cells or (len(line) > 30 and as_json(line) in student)
    ]
    return found + [f"students see: {line}" for line in leaked]


def as_json(line: str) -> str:
    return json.dumps(line, ensure_ascii=False)[1:-1]


def main() -> int:
    begin = time.monotonic()
    as_submissions = 1000 if "--all" in sys.argv else 1
    python = install()
    if python is None:
        bar = "#" * 80
        print(f"{bar}\nNBGRADER AND OTTER-GRADER COULD NOT BE INSTALLED.\n"
              f"The exports of the assignments are NOT tried in the real tools.\n{bar}", file=sys.stderr)  # fmt: skip
        return 0
    print(f"nbgrader and otter-grader: there after {time.monotonic() - begin:.0f} s", flush=True)
    wrong = 0
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        built = {name: build(path, folder / name).assignment for name, path in assignments().items()}
        running = {grader: start(python, grader, folder, as_submissions) for grader in GRADERS}
        for grader, process in running.items():
            try:
                process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                print(f"{grader} took more than {SECONDS} s", file=sys.stderr)
            lines = (folder / f"{grader}.out").read_text().splitlines()
            said = {line["assignment"]: line for line in map(json.loads, filter(is_json, lines))}
            for name, assignment in built.items():
                found = faults(assignment, said.get(name))
                print(
                    f"{grader:<10}{name:<28}{'; '.join(found) or 'all points, and none for the empty copy'}",
                    flush=True,
                )
                wrong += bool(found)
            if process.returncode or set(said) != set(built):
                print((folder / f"{grader}.err").read_text()[-3000:], file=sys.stderr)
                wrong += 1
    print(f"{time.monotonic() - begin:.0f} s in all")
    return 1 if wrong else 0


def is_json(line: str) -> bool:
    return line.startswith('{"assignment"')


if __name__ == "__main__":
    sys.exit(main())
