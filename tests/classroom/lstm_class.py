"""A class that hands in the LSTM assignment: ordinary students, hostile ones and broken files, as files in a folder.

`write_class(folder)` makes it; the same seed makes the same class. Hostile programs are bounded and harmless, and none
of them has a right answer: full marks for one would be a win. A data module: tests and benchmarks load it by path.
"""

import ast
import importlib.util
import io
import json
import os
import random
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


solutions = load("lstm_solutions")
PLAIN = solutions.PLAIN
SLOW = ("difference", "complex step")  # answers that take all of their time

ORDINARY, HOSTILE, BROKEN = "ordinary", "hostile", "broken"


def write_class(folder: Path, ordinary: int = 160, hostile: int = 20, broken: int = 20, seed: int = 0) -> dict[str, str]:
    """Fill an empty folder, one submission a student; returns {student: ordinary, hostile or broken}."""
    chance = random.Random(seed)
    students = {}
    right, wrong = solutions.right(), [s for s in solutions.wrong() if not any(word in s.name for word in SLOW)]
    for n in range(ordinary):
        name = f"student {n:03d}"
        students[name] = ORDINARY
        solution = chance.choice(right if chance.random() < 0.5 else wrong)
        data = solution.data
        if solution.file.endswith(".py") and solution.says not in ("a form", "a program"):
            data = restyled(data.decode(), chance).encode()
        place = folder / f"{name}{Path(solution.file).suffix}"
        if chance.random() < 0.3:
            (folder / name).mkdir()
            place = folder / name / solution.file
        place.write_bytes(data)
    for n, (what, make) in enumerate(taken(hostile_programs(), hostile)):
        students[f"hostile {n:02d} {what}"] = HOSTILE
        (folder / f"hostile {n:02d} {what}.py").write_text(make, encoding="utf-8")
    for n, (what, make) in enumerate(taken(BROKEN_FILES, broken)):
        students[f"broken {n:02d} {what}"] = BROKEN
        make(folder / f"broken {n:02d} {what}")
    return students


def taken(choices: dict, count: int) -> list[tuple]:
    """So many of them, from the front again where there are fewer."""
    return [list(choices.items())[n % len(choices)] for n in range(count)]


def restyled(text: str, chance: random.Random) -> str:
    """The same program with some other names, comments and blank lines, as another student would have it."""
    local = {n.arg for n in ast.walk(ast.parse(text)) if isinstance(n, ast.arg)}
    names = {n.id for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    free = sorted(n for n in names - local if len(n) > 2 and not n.startswith("lstm") and text.count(f"{n}=") == 0)
    for name in chance.sample(free, min(3, len(free))):
        text = re.sub(rf"(?<![\w.'\"]){name}(?![\w'\"])", f"{name}_{chance.randrange(100)}", text)
    lines = []
    for line in text.split("\n"):
        if line.startswith("def ") and chance.random() < 0.5:
            lines.append(f"# {chance.choice(('my part', 'see the lecture', '这里是我的答案', 'TODO tidy up'))}")
        lines.append(line)
    return "\n".join(lines)


# -- hostile ones --------------------------------------------------------------------------------------------


IN_A_STEP = {
    "ends its process": "os._exit(0)",
    "raises SystemExit": "sys.exit(0)",
    "loops for ever": "while True:\n    pass",
    "sleeps for ever": "time.sleep(10**6)",
    "ignores signals and loops": "for n in (2, 14, 15):\n    signal.signal(n, signal.SIG_IGN)\nwhile True:\n    pass",
    "asks for all memory": "kept = []\nwhile True:\n    kept.append(np.ones(1 << 22))",
    "recurs without end": "sys.setrecursionlimit(10**8)\ndef deeper(n):\n    return deeper(n + 1)\ndeeper(0)",
    "prints a flood": "for _ in range(2000):\n    print('x' * 10000)",
    "returns a giant": "return (np.zeros((4000, 4000)), np.zeros((4000, 4000))), None",
    "claims a shape that nobody has": "big = np.broadcast_to(0.0, (10**6, 10**6))\nreturn (big, big), None",
    "kills its parent": "os.kill(os.getppid(), 9)",
    "kills its group": "os.killpg(0, 9)",
    "leaves an orphan": "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(20)\n    os._exit(0)",
    "starts threads that spin": (
        "end = time.monotonic() + 20\ndef spin():\n    while time.monotonic() < end:\n        pass\n"
        "for _ in range(4):\n    threading.Thread(target=spin, daemon=True).start()\nreturn (0 * h_prev, 0 * c_prev), None"
    ),
    "forks again and again": "for _ in range(50):\n    if os.fork() == 0:\n        time.sleep(5)\n        os._exit(0)",
    "writes the results itself": "open('results.json', 'w').write('{\"score\": 100}')",
    "closes every pipe": "os.closerange(0, 256)",
    "forges a message": (
        "for fd in range(3, 64):\n    try:\n        os.write(fd, b'box1' + b'\\xff' * 400)\n    except OSError:\n        pass"
    ),
    "asks the reference": "from minis2s.functional import lstm_step\nreturn lstm_step.forward(x, h_prev, c_prev, Wx, Wh, b, mask)",
    "connects to the network": "import socket\nsocket.create_connection(('127.0.0.1', 9), 2)",
}  # fmt: skip


def hostile_programs() -> dict[str, str]:
    """By what they do. Where the attack lets the call go on, what comes out is zeros."""
    imports = "import os\nimport signal\nimport sys\nimport threading\nimport time\n"
    programs = {}
    for name, body in IN_A_STEP.items():
        lines = "\n    ".join([*body.split("\n"), "return (0 * h_prev, 0 * c_prev), None"])
        head = "def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):\n"
        programs[name] = f"{imports}{PLAIN}\n\n{head}    {lines}\n"
    return programs


# -- broken ones ---------------------------------------------------------------------------------------------


def file_of(suffix: str, data: bytes | str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.with_name(path.name + suffix).write_bytes(data if isinstance(data, bytes) else data.encode())

    return make


def zipped(*files: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return buffer.getvalue()


BROKEN_FILES: dict[str, Callable[[Path], None]] = {
    "an empty file": file_of(".py", b""),
    "a notebook without cells": file_of(".ipynb", json.dumps({"cells": [], "metadata": {}, "nbformat": 4})),
    "no Python": file_of(".py", PLAIN.replace("def lstm_forward(", "def lstm_forward((")),
    "a picture": file_of(".ipynb", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20),
    "half a notebook": file_of(".ipynb", json.dumps({"cells": [{"cell_type": "code", "source": PLAIN}]})[:-300]),
    "UTF-16": file_of(".py", PLAIN.encode("utf-16")),
    "GBK": file_of(".py", ("# 我的作业：长短期记忆网络的前向与反向\n" + PLAIN).encode("gbk")),
    "null bytes": file_of(".py", PLAIN.encode() + b"\x00"),
    "a text document": file_of(".docx", zipped(("word/document.xml", b"<w:document/>"))),
    "an empty folder": lambda path: path.mkdir(),
    "a link": lambda path: os.symlink("/etc/hostname", path.with_name(path.name + ".py")),
    "a torn zip": file_of(".zip", zipped(("lstm.py", PLAIN.encode()))[:-40]),
    "a zip bomb": file_of(".zip", zipped(("lstm.py", b"#" * (300 << 20)))),
    "a zip that leads out": file_of(".zip", zipped(("../../lstm.py", PLAIN.encode()))),
    "a list": file_of(".ipynb", "[1, 2, 3]"),
    "cells that are a number": file_of(".ipynb", '{"cells": 7, "nbformat": 4}'),
    "text that runs backward": file_of(".py", PLAIN.replace("# padded", "# \u202epadded")),
    "a pipe": lambda path: os.mkfifo(path.with_name(path.name + ".py")),
    "a giant": file_of(".py", b"x = 1\n" * (8 << 20)),
    "brackets in brackets": file_of(".py", "x = " + "(" * 5000 + ")" * 5000 + "\n" + PLAIN),
}
