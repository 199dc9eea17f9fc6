"""Part `start` of speed.py: how long an import and a first word of help take, beside NumPy alone.

Every program is a fresh interpreter; they take turns.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from speed_harness import Turn, head, median, ratio, row

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = {  # name: (arguments of Python, what its time is compared with)
    "python -c pass": (["-c", "pass"], None),
    "import numpy": (["-c", "import numpy"], None),
    "import minis2s": (["-c", "import minis2s"], "import numpy"),
    "minis2s.Seq2Seq (imports the engine)": (["-c", "import minis2s; minis2s.Seq2Seq"], "import numpy"),
    "minis2s.Trainer (imports training)": (["-c", "import minis2s; minis2s.Trainer"], "import numpy"),
    "minis2s --help": (["-m", "minis2s", "--help"], "import numpy"),
    "minis2s train --help": (["-m", "minis2s", "train", "--help"], "import numpy"),
}


def run(arguments: list[str]) -> Turn:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    return Turn(time.perf_counter() - start, 0.0)


def start_part(options: argparse.Namespace) -> list[dict]:
    print("\n## Start\n")
    print(head("program", "ms", "above python -c pass, ms", "over import numpy"), flush=True)
    spent: dict[str, list[Turn]] = {name: [] for name in PROGRAMS}
    for n in range(options.rounds + 1):
        for name, (arguments, _) in PROGRAMS.items():
            found = run(arguments)
            if n > 0:  # the first round brings the files into the system's cache
                spent[name].append(found)
    bare = median(spent["python -c pass"])
    results = []
    for name, (_, other) in PROGRAMS.items():
        against = None if other is None else ratio(spent[name], spent[other])
        ms = 1000 * median(spent[name])
        print(row(name, f"{ms:.0f}", f"{ms - 1000 * bare:.0f}", against or ""), flush=True)
        results.append(
            {"program": name, "seconds": [t.seconds for t in spent[name]]}
            | ({} if against is None else {"over_numpy": against._asdict()})
        )
    return results
