"""Does the grader give the right marks, and how long does a class take?

    python benchmarks/grading.py                       # all of it; or some of: right wrong feedback class
    python benchmarks/grading.py class --json FILE

right     right but unusual answers to the LSTM assignment, through the box: how many lose a point?
wrong     wrong ones: how many get full marks?
feedback  is what the diagnosis says of a wrong one, through the box, what the gradient checker says without it?
class     200 submissions, 20 of them hostile and 20 broken, graded by the command, killed in between and resumed

The answers are those of tests/classroom/lstm_solutions.py, the class that of tests/classroom/lstm_class.py.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import csv
import importlib.util
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from types import ModuleType

from minis2s.classroom.batch import grade_class
from minis2s.classroom.box import available_layers
from minis2s.classroom.diagnosis import as_record
from minis2s.classroom.report import save_report
from minis2s.classroom.source import assignments, read_assignment
from minis2s.gradcheck import gradcheck

ROOT = Path(__file__).parents[1]
TESTS = ROOT / "tests" / "classroom"
ASSIGNMENT = assignments()["4_lstm"]
KILL_AT = 0.4  # of the class


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, TESTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def graded(solutions: list, jobs: int) -> tuple[list[dict], float]:
    """(the results in the order of the solutions, seconds)."""
    with tempfile.TemporaryDirectory() as folder:
        inside, out = Path(folder, "in"), Path(folder, "out")
        for n, solution in enumerate(solutions):
            (inside / f"{n:04d}").mkdir(parents=True)
            (inside / f"{n:04d}" / solution.file).write_bytes(solution.data)
        start = time.monotonic()
        results = grade_class(inside, ASSIGNMENT, out, jobs=jobs, progress=counter()).results
        return results, time.monotonic() - start


def counter():
    """Progress on a terminal."""

    def show(done: int, total: int, result: dict) -> None:
        if sys.stderr.isatty():
            print(f"\r{done} of {total}", end="" if done < total else "\n", file=sys.stderr)

    return show


def full(result: dict) -> bool:
    return result["status"] == "graded" and result["score"] == result["points"]


def faults(result: dict) -> str:
    if result["status"] != "graded":
        return f"refused: {result['reason']}"
    said = [f"{c['check']} ({c['outcome']}: {c['reason']})" for t in result["tasks"] for c in t["checks"] if c["outcome"] != "right"]
    return "; ".join(said)[:300]


def right(jobs: int) -> dict:
    solutions = load("lstm_solutions").right()
    results, seconds = graded(solutions, jobs)
    lost = {s.name: faults(r) for s, r in zip(solutions, results, strict=True) if not full(r)}
    print(f"\nright but unusual answers: {len(solutions)}, graded in {seconds:.0f} s")
    print(f"  that lose a point: {len(lost)}")
    for name, said in lost.items():
        print(f"    {name}: {said}")
    return {"answers": len(solutions), "lost": lost, "seconds": round(seconds, 1)}


def wrong(jobs: int) -> dict:
    solutions = load("lstm_solutions").wrong()
    results, seconds = graded(solutions, jobs)
    sorts = Counter(s.name.split(":")[0] for s in solutions)
    won = [s.name for s, r in zip(solutions, results, strict=True) if full(r)]
    print(f"\nwrong answers: {len(solutions)} ({', '.join(f'{n} {sort}s' for sort, n in sorts.items())}), graded in {seconds:.0f} s")
    print(f"  that get full marks: {len(won)}")
    for name in won:
        print(f"    {name}")
    caught = Counter(sum(c["outcome"] != "right" for t in r["tasks"] for c in t["checks"]) for r in results)
    print(f"  caught by a single check: {caught[1]}, by two: {caught[2]}, by more: {sum(caught.values()) - caught[1] - caught[2] - caught[0]}")
    return {"answers": len(solutions), "won": won, "seconds": round(seconds, 1)}


def feedback(jobs: int) -> dict:
    """The diagnosis through the box, beside the gradient checker's own of the same functions in this process."""
    solutions = [s for s in load("lstm_solutions").wrong() if s.name.startswith(("mutant", "bug"))]
    assignment = read_assignment(ASSIGNMENT)
    results, seconds = graded(solutions, jobs)
    same, compared, other = 0, 0, {}
    for solution, result in zip(solutions, results, strict=True):
        module = ModuleType("student")
        exec(solution.data.decode(), vars(module))
        for task, found in zip(assignment.tasks, result["tasks"], strict=True):
            if found["diagnosis"] is None:
                continue
            compared += 1
            pair = tuple(getattr(module, name) for name in task.pair)
            own = as_record(gradcheck(pair, kind=task.kind, hint=2), task.kind)
            said = [json.dumps([d["verdict"], d["place"], d["cause"]]) for d in (found["diagnosis"], own)]
            same += said[0] == said[1]
            if said[0] != said[1]:
                other[f"{solution.name}, {task.name}"] = said
    print(f"\ndiagnoses through the box: {compared}, of {len(solutions)} wrong answers")
    print(f"  verdict, place and cause as the checker's own: {same}")
    for name, said in other.items():
        print(f"    {name}: {said[0][:200]}\n      without the box: {said[1][:200]}")
    return {"compared": compared, "same": same, "other": other, "seconds": round(seconds, 1)}


def whole_class(jobs: int) -> dict:
    maker = load("lstm_class")
    with tempfile.TemporaryDirectory() as folder:
        inside, out = Path(folder, "in"), Path(folder, "out")
        inside.mkdir()
        students = maker.write_class(inside)
        command = [sys.executable, "-m", "minis2s", "class", "grade", str(inside), "--assignment", str(ASSIGNMENT)]
        command += ["--out", str(out), "--jobs", str(jobs)]
        start = time.monotonic()
        before, first = killed(command, out, int(KILL_AT * len(students)))
        subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds = time.monotonic() - start
        after = {p.name: json.loads(p.read_text(encoding="utf-8")) for p in (out / "results").glob("*.json")}
        start = time.monotonic()
        save_report(out)
        report_seconds = time.monotonic() - start
        table = list(csv.DictReader(io_lines(out / "grades.csv")))
        names = Counter(result["student"] for result in after.values())
        sort_of = {name: students.get(name, "unknown") for name in names}
        counts = Counter((sort_of[r["student"]], r["status"]) for r in after.values())
        found = {
            "submissions": len(students),
            "seconds": round(seconds, 1),
            "until killed": round(first, 1),
            "results when killed": len(before),
            "lost": sorted(set(students) - set(names)),
            "doubled": sorted(name for name, n in names.items() if n > 1) + sorted(set(names) - set(students)),
            "graded again": sorted(n for n, text in before.items() if json.loads(text) != after[n]),
            "rows of grades.csv": len(table),
            "half-written files": sorted(p.name for p in out.rglob("*.part")),
            "by sort": {f"{sort}, {status}": n for (sort, status), n in sorted(counts.items())},
            "hostile with full marks": sorted(r["student"] for r in after.values() if sort_of[r["student"]] == "hostile" and full(r)),
            "ordinary refused": {r["student"]: r["reason"] for r in after.values() if sort_of[r["student"]] == "ordinary" and r["status"] != "graded"},
            "broken graded": sorted(r["student"] for r in after.values() if sort_of[r["student"]] == "broken" and r["status"] == "graded"),
            "without a reason": sorted(r["student"] for r in after.values() if r["status"] != "graded" and not r["reason"]),
            "seconds of each, largest": max(r["seconds"] or 0 for r in after.values()),
            "report, seconds": round(report_seconds, 1),
            "layers": str(available_layers()),
        }  # fmt: skip
    print(f"\na class of {len(students)}, {jobs} at once, killed after {found['results when killed']} results and started again")
    for name, value in found.items():
        print(f"  {name:<28} {value if not isinstance(value, list | dict) or value else 'none'}")
    return found


def io_lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8-sig").splitlines()


def killed(command: list[str], out: Path, count: int) -> tuple[dict[str, str], float]:
    """Start the command and kill it, with no warning, once so many results are there; (the results by file, seconds)."""
    start = time.monotonic()
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while running.poll() is None and len(list((out / "results").glob("*.json"))) < count:
        time.sleep(0.1)
    running.send_signal(signal.SIGKILL)
    running.wait()
    return {p.name: p.read_text(encoding="utf-8") for p in (out / "results").glob("*.json")}, time.monotonic() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {"right": right, "wrong": wrong, "feedback": feedback, "class": whole_class}
    parser.add_argument("what", nargs="*", help=f"some of: {', '.join(parts)}; left out: all")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    unknown = [name for name in args.what if name not in parts]
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}: choose from {', '.join(parts)}")
    print(f"layers: {available_layers()}; {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at the start")
    results = {name: parts[name](args.jobs) for name in args.what or parts}
    if args.json:
        args.json.write_text(json.dumps(results, indent=1, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    main()
