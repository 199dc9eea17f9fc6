"""The command line: `minis2s COMMAND ...`, one file for each command beside this one.

A command's file has `add_arguments(parser)` and `run(args) -> exit code`, or COMMANDS of its own. Only the file of the
command that was asked for is imported, and with it NumPy: the threads of NumPy's matrix products
must be chosen before NumPy is loaded, and `--help` should not take a second.

Exit codes: 0 done, 1 a fault of ours, 2 bad input, 130 interrupted (Ctrl-C), 141 nobody reads on.
"""

import argparse
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import NamedTuple

from minis2s import __version__
from minis2s.cli.machine import configure_blas
from minis2s.cli.words import did_you_mean, with_a_guess
from minis2s.errors import UserError

AS_IT_IS = "--blas-as-it-is"
ISSUES = "the project's issue tracker"


def _train() -> ModuleType:
    from minis2s.cli import train

    return train


def _translate() -> ModuleType:
    from minis2s.cli import translate

    return translate


def _evaluate() -> ModuleType:
    from minis2s.cli import evaluate

    return evaluate


def _info() -> ModuleType:
    from minis2s.cli import info

    return info


def _gradcheck() -> ModuleType:
    from minis2s.cli import gradcheck

    return gradcheck


def _mutate() -> ModuleType:
    from minis2s.cli import mutate

    return mutate


def _lessons() -> ModuleType:
    from minis2s.cli import lessons

    return lessons


def _classroom() -> ModuleType:
    from minis2s.cli import classroom

    return classroom


class Command(NamedTuple):
    help: str
    load: Callable[[], ModuleType]


COMMANDS = {
    "train": Command("train a model on a ready-made task or on your own files", _train),
    "translate": Command("send texts through a trained model", _translate),
    "evaluate": Command("measure a trained model on a file of pairs", _evaluate),
    "info": Command("show what a run folder holds: model, data, history, results", _info),
    "gradcheck": Command("check hand-written backward passes; say where and why they are wrong", _gradcheck),
    "mutate": Command("plant known bugs and see whether a check notices them", _mutate),
    "lessons": Command("write the lessons into a folder, as notebooks in English and Chinese", _lessons),
    "class": Command("for teachers: make assignments and bug hunts, grade them, see what a class got wrong", _classroom),
}


class Parser(argparse.ArgumentParser):
    """argparse, whose errors are UserErrors and end like all others."""

    def error(self, message: str):
        raise UserError(f"{with_a_guess(message)} (see {self.prog} --help)")

    def check_options(self, argv: Sequence[str]) -> None:
        """Raises UserError for the first option that there is not.

        argparse would first take the value of a misspelled option for something else.
        """
        for word in argv:
            if word == "--":
                return
            name = word.split("=")[0]
            option_like = re.match(r"--?[a-zA-Z]", name) and " " not in word
            if option_like and name not in self._option_string_actions:
                self.error(f"unknown option {name}{did_you_mean(name, self._option_string_actions)}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; `argv` is what follows "minis2s". Returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in argv or bool(os.environ.get("MINIS2S_DEBUG"))
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, "w"))
    try:
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):  # texts are UTF-8, whatever the locale says
                stream.reconfigure(encoding="utf-8", errors="backslashreplace")
        with warnings.catch_warnings():
            # a loss that is no number is found and reported by the training loop itself
            warnings.simplefilter("ignore", RuntimeWarning)
            args = parse(argv)
            code = args.run(args)
        sys.stdout.flush()
        return code
    except SystemExit as end:  # --help and --version
        return end.code or 0
    except UserError as error:
        return fail(error, 2, debug)
    except KeyboardInterrupt:
        return fail("interrupted", 130, debug)
    except BrokenPipeError:
        # whoever read our output (head, less) has gone; Python's last flush must not complain again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:  # files have their own messages: what is left is our output, on a full disk
        return fail(f"the system refuses to go on: {error.strerror or error}", 2, debug)
    except MemoryError:
        return fail("there is not enough memory: try a smaller --batch-tokens, --hidden or --beam", 2, debug)
    except Exception as error:  # noqa: BLE001 -- nobody should have to read a traceback
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        hint = "" if debug else "; --debug shows where"
        return fail(f"a fault in minis2s itself, please report it at {ISSUES} ({reason}){hint}", 1, debug)


def fail(reason: object, code: int, debug: bool) -> int:
    """Say in one line on stderr what was wrong; returns `code`."""
    if debug:
        traceback.print_exc()
    print(f"minis2s: error: {reason}" if code != 130 else f"minis2s: {reason}", file=sys.stderr)
    return code


def parse(argv: list[str]) -> argparse.Namespace:
    """The command and its options; `args.run` runs it. Imports that command's file, and no other."""
    common = Parser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    common.add_argument(
        AS_IT_IS, action="store_true", help="leave the library of matrix products alone: its threads, its kernels"
    )
    parser = Parser(
        prog="minis2s",
        description="Train, use and measure sequence-to-sequence models.",
        epilog="A first model, from letters to phonemes, in about three minutes:  minis2s train g2p",
        parents=[common],
    )
    parser.add_argument("--version", action="version", version=f"minis2s {__version__}")
    return into_commands(parser, COMMANDS, argv, common)


def into_commands(
    parser: Parser, commands: dict[str, Command], argv: list[str], common: Parser
) -> argparse.Namespace:
    """Read the rest of the command line with the command that it names; one of a group names another one."""
    parsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    asked = next((word for word in argv if not word.startswith("-")), None)
    for name, command in commands.items():
        sub = parsers.add_parser(
            name,
            help=command.help,
            description=f"{command.help[0].upper()}{command.help[1:]}.",
            parents=[common],
            allow_abbrev=False,  # or a script's --la would change its meaning with the next option
        )
        if name == asked:
            if AS_IT_IS not in argv:
                configure_blas()
            module = command.load()
            argv.remove(asked)
            if hasattr(module, "COMMANDS"):
                return into_commands(sub, module.COMMANDS, argv, common)
            module.add_arguments(sub)
            sub.check_options(argv)
            # "intermixed" takes texts before and after options
            return argparse.Namespace(run=module.run, **vars(sub.parse_intermixed_args(argv)))
    if asked is None:
        parser.check_options(argv)
    return parser.parse_args(argv)  # help, version, or an error
