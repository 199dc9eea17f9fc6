"""The layers of a box: which there are, and which of them this machine has."""

import shutil
import subprocess
from dataclasses import dataclass, replace
from functools import cache

from minis2s.classroom.box import bubblewrap, places
from minis2s.classroom.box.inside import landlock, seccomp


@dataclass(frozen=True)
class Layers:
    """Which layers a box has. Limits on resources are always among them.

    landlock: the ABI of the kernel's Landlock; 0: without.
    seccomp: a filter of system calls. namespaces: own network and process numbers. bubblewrap: an own file system.
    """

    landlock: int = 0
    seccomp: bool = False
    namespaces: bool = False
    bubblewrap: bool = False

    @property
    def official(self) -> bool:
        """Whether marks may come from it: files, other processes and the network are out of reach."""
        return self.bubblewrap or bool(self.landlock and self.seccomp)

    @property
    def names(self) -> list[str]:
        """For a report: "rlimits", "landlock abi 7", ..."""
        found = ["rlimits"]
        if self.landlock:
            found.append(f"landlock abi {self.landlock}")
        return found + [name for name in ("seccomp", "namespaces", "bubblewrap") if getattr(self, name)]

    def __str__(self) -> str:
        return ", ".join(self.names) if len(self.names) > 1 else "rlimits only"

    def without(self, *names: str) -> "Layers":
        """The same with these layers off."""
        return replace(self, **{name: 0 if name == "landlock" else False for name in names})


RLIMITS = Layers()
TRIAL = "import sys; sys.path.insert(0, {!r}); from inside import namespaces as n; n.{}()"


@cache
def available_layers() -> Layers:
    """The layers of this machine. What only a trial can tell has been tried."""
    return Layers(
        landlock=landlock.abi(),
        seccomp=seccomp.supported(),
        namespaces=works([], TRIAL.format(str(places.INSIDE.parent), "enter(); n.number_anew")),
        bubblewrap=bubblewrap_works(),
    )


def bubblewrap_works() -> bool:
    if shutil.which("bwrap") is None:
        return False
    with places.furnished() as (lib, cwd):
        return works(bubblewrap.command(lib, cwd), TRIAL.format(str(lib), "number_anew"))


def works(words: list[str], code: str) -> bool:
    """Whether Python runs `code` behind these words of a command line."""
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    command = [*words, places.python(), "-I", "-S", "-B", "-c", code]
    try:
        return subprocess.run(command, **quiet, env={}, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
