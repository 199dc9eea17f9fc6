"""Namespaces: a box of its own network (none), shared memory and process numbers, where the kernel permits it.

A user namespace comes first: in it any user may make the others, and root is no longer the machine's root.
"""

import os

from . import linux

NEW_USER, NEW_NETWORK, NEW_PROCESSES, NEW_IPC, NEW_NAME = (
    0x10000000,
    0x40000000,
    0x20000000,
    0x08000000,
    0x04000000,
)


def enter() -> None:
    """Leave the machine's network. Raises OSError where it is refused."""
    user, group = os.geteuid(), os.getegid()
    linux.unshare(NEW_USER | NEW_NETWORK | NEW_NAME)
    for name, text in [
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ]:
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def number_anew() -> None:
    """The next process that is forked is number 1 of its own, with shared memory and keys of its own.

    When it dies, all that came of it die with it. Its user is nobody's: it can make no further namespaces.
    Needs `enter`, or bubblewrap's namespaces.
    """
    linux.unshare(NEW_USER | NEW_PROCESSES | NEW_IPC)
