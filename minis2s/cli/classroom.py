"""`minis2s class`: what a teacher does with an assignment, each step a command of its own."""

from types import ModuleType

from minis2s.cli import Command


def _build() -> ModuleType:
    from minis2s.cli import classroom_build

    return classroom_build


def _grade() -> ModuleType:
    from minis2s.cli import classroom_grade

    return classroom_grade


def _bughunt() -> ModuleType:
    from minis2s.cli import classroom_bughunt

    return classroom_bughunt


def _report() -> ModuleType:
    from minis2s.cli import classroom_report

    return classroom_report


COMMANDS = {
    "build": Command("make everything that is handed out, and the teacher's copy, from an assignment's source", _build),
    "grade": Command("grade what a class has handed in: marks, and where and why something is wrong", _grade),
    "bughunt": Command("give each student a planted bug to find, to explain and to mend", _bughunt),
    "report": Command("show what the class got wrong, and which programs are alike", _report),
}
