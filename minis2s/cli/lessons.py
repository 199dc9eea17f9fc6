"""`minis2s lessons`: the lessons as notebooks in a folder, in English and in Chinese, and how to open them."""

import argparse
import importlib.util
import shlex
import shutil
import sys
import time
from pathlib import Path

from minis2s.cli.words import counted, did_you_mean
from minis2s.errors import UserError
from minis2s.lessons import EXTRA, LANGUAGES, Shelf, build, copy_outputs, execute, lessons

FOLDER = "minis2s-lessons"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "lessons", nargs="*", default=[], metavar="LESSON", help="a part of a lesson's name, as 04 or lstm (default: all)"
    )
    parser.add_argument("--to", metavar="DIR", default=FOLDER, help=f"the folder to fill (default: {FOLDER})")
    parser.add_argument("--lang", choices=tuple(LANGUAGES), help="one language only (default: both)")
    parser.add_argument(
        "--execute", action="store_true", help="run them as well, up to a minute each, so that they open with their outputs"
    )
    parser.add_argument("--force", action="store_true", help="replace also notebooks that you have changed")
    parser.add_argument("--list", action="store_true", help="show the lessons and write nothing")


def run(args: argparse.Namespace) -> int:
    """The command: fill the folder, say what was left alone, and say how to go on."""
    sources = chosen(args.lessons)
    if args.list:
        for name, source in sources.items():
            print(f"{name:<24}{title(source)}")
        return 0
    shelf = Shelf(args.to, force=args.force)
    languages = [args.lang] if args.lang else list(LANGUAGES)
    for name, source in sources.items():
        notebooks = [build(source, language) for language in languages]
        wanted = [notebook for notebook in notebooks if shelf.accepts(notebook, executed=args.execute)]
        if args.execute and wanted:
            start = time.monotonic()
            execute(wanted[0])  # the code is the same in every language
            for other in wanted[1:]:
                copy_outputs(wanted[0], other)
            print(f"{name}: executed in {time.monotonic() - start:.0f} s", flush=True)
        for notebook in wanted:
            shelf.put(notebook)
    print(f"{args.to}: {said(shelf)}")
    if shelf.kept:
        files = ", ".join(path.name for path in shelf.kept)
        print(
            f"minis2s: note: you have worked in {files}: left as {'it is' if len(shelf.kept) == 1 else 'they are'}; "
            "--force replaces, another --to keeps both",
            file=sys.stderr,
        )
    if importlib.util.find_spec("jupyterlab") is None:
        print(f"minis2s: note: JupyterLab, which shows them, is not installed: {EXTRA}", file=sys.stderr)
    print(f"open: {shlex.quote(jupyter())} lab {shlex.quote(args.to)}")
    return 0


def chosen(words: list[str]) -> dict[str, Path]:
    """The lessons whose names contain one of the words. Raises UserError for a word that is in no name."""
    every = lessons()
    for word in words:
        if not any(word in name for name in every):
            parts = [*every, *(part for name in every for part in name.split("_"))]
            raise UserError(f"there is no lesson {word!r}{did_you_mean(word, parts)}; there are {', '.join(every)}")
    return {name: path for name, path in every.items() if not words or any(word in name for word in words)}


def title(source: Path) -> str:
    """The heading of a lesson in English: the first there is."""
    lines = source.read_text(encoding="utf-8").splitlines()
    return next((line.removeprefix("# # ") for line in lines if line.startswith("# # ")), "")


def said(shelf: Shelf) -> str:
    """What has come into the folder, and what was there."""
    parts = [counted(len(shelf.written), "notebook") + " written"]
    if shelf.there_already:
        parts.append(f"{len(shelf.there_already)} there already")
    if shelf.kept:
        parts.append(f"{len(shelf.kept)} left alone")
    return ", ".join(parts)


def jupyter() -> str:
    """How Jupyter is called from here: with a path, where the virtual environment is not active."""
    beside = Path(sys.executable).with_name("jupyter")
    if shutil.which("jupyter") or not beside.exists():
        return "jupyter"
    return str(beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside)
