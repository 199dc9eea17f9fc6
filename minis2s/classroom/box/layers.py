"""The layers of a box: which there are, and which of them this machine has."""

import sys
from dataclasses import dataclass, replace
from functools import cache

from minis2s.classroom.box.inside import landlock


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


@cache
def available_layers() -> Layers:
    """The layers of this machine; each has been tried."""
    return Layers(landlock=landlock.abi() if sys.platform == "linux" else 0)
