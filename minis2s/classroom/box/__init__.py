"""The box: a student's code runs in processes of its own, gets arrays, and gives arrays.

Start with `box.py` (what a grader uses), then `inside/starter.py` (the processes) and `inside/protocol.py` (what
crosses the pipes). The layers around a process: `inside/limits.py`, `inside/landlock.py`, `inside/seccomp.py`,
`inside/namespaces.py` and `bubblewrap.py`.

Grade as an ordinary user: root is held as well, but the limit on the number of processes does not bind it.
"""

from minis2s.classroom.box.box import Box
from minis2s.classroom.box.errors import (
    Boxed,
    Died,
    Missing,
    Nonsense,
    NotLoaded,
    NotWritten,
    OutOfMemory,
    Raised,
    TimedOut,
)
from minis2s.classroom.box.layers import RLIMITS, Layers, available_layers
from minis2s.classroom.box.remote import Cache, Remote

__all__ = [
    "RLIMITS",
    "Box",
    "Boxed",
    "Cache",
    "Died",
    "Layers",
    "Missing",
    "Nonsense",
    "NotLoaded",
    "NotWritten",
    "OutOfMemory",
    "Raised",
    "Remote",
    "TimedOut",
    "available_layers",
]
