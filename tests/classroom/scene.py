"""What an attack can harm: files, a process, sockets, a secret. Made for one attack, and looked at after it."""

import contextlib
import ctypes
import os
import platform
import secrets
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECRET = b"SECRET-of-the-parent"
NUMBERS = {  # of system calls
    "x86_64": {"TKILL": 200, "MQ_OPEN": 240, "ADD_KEY": 248, "KEYCTL": 250},
    "aarch64": {"TKILL": 130, "MQ_OPEN": 180, "ADD_KEY": 217, "KEYCTL": 219},
}.get(platform.machine(), {"TKILL": -1, "MQ_OPEN": -1, "ADD_KEY": -1, "KEYCTL": -1})
SHARED = ("/tmp", "/dev/shm", "/var/tmp")


class Scene:
    """The surroundings of one attack. `fill` puts their names into its source; `harm` tells what was done to them."""

    def __init__(self, source: str, lib: Path):
        self.lib, self.token = lib, f"minis2s{secrets.token_hex(6)}"
        self.number = secrets.randbelow(1 << 30)
        self.folder = Path(tempfile.mkdtemp(prefix="scene-"))
        (self.folder / "key.py").write_bytes(b"ANSWER = '" + SECRET + b"'\n")
        (self.folder / "results.json").write_text('{"score": 0}')
        (self.folder / "run_autograder").write_text("#!/bin/sh\n")
        self.sockets: dict[str, socket.socket] = {}
        for name, kind, place in [
            ("TCP", socket.AF_INET, ("127.0.0.1", 0)),
            ("UDP", socket.AF_INET, ("127.0.0.1", 0)),
            ("abstract", socket.AF_UNIX, f"\0{self.token}"),
            ("file", socket.AF_UNIX, str(self.folder / "socket")),
        ]:
            if {"abstract": "chr(0)", "file": "/socket"}.get(name, f"@{name}@") in source:
                self.listen(name, kind, place)
        self.victim = None
        if "@PID@" in source:
            self.victim = subprocess.Popen(
                ["sleep", "60"], env={"KEY": SECRET.decode()}, start_new_session=True
            )
        self.before = self.seen()

    def listen(self, name: str, kind: int, place) -> None:
        one = socket.socket(kind, socket.SOCK_DGRAM if name == "UDP" else socket.SOCK_STREAM)
        one.bind(place)
        if name != "UDP":
            one.listen()
        one.setblocking(False)
        self.sockets[name] = one

    def fill(self, source: str) -> str:
        names = {
            "FOLDER": self.folder,
            "LIB": self.lib,
            "BOX": self.lib.parent.name,
            "ROOT": ROOT,
            "TOKEN": self.token,
            "NUMBER": self.number,
            "PID": self.victim.pid if self.victim else 0,
            "SH": repr(shutil.which("sh")),
            **NUMBERS,
            **{name: one.getsockname()[1] for name, one in self.sockets.items() if name in ("TCP", "UDP")},
        }
        for name, value in names.items():
            source = source.replace(f"@{name}@", str(value))
        return source

    def seen(self) -> dict:
        """All of it that could have been changed."""
        found = {}
        for path in [
            self.folder,
            *self.folder.rglob("*"),
            self.lib.parent,
            *self.lib.parent.glob("*"),
            *self.lib.glob("*"),
        ]:
            stat = path.lstat()
            what = path.read_bytes() if path.is_file() and path.is_relative_to(self.folder) else b""
            marks = os.listxattr(path, follow_symlinks=False) if hasattr(os, "listxattr") else []
            times = stat.st_mtime_ns, stat.st_mode, stat.st_uid, stat.st_nlink, stat.st_size
            found[str(path)] = (what, marks, *times)
        for folder in SHARED:
            with contextlib.suppress(OSError):
                found |= {name: True for name in os.listdir(folder) if self.token in name}
        if self.victim is not None and os.path.exists(f"/proc/{self.victim.pid}/stat"):
            parts = Path(f"/proc/{self.victim.pid}/stat").read_text().rsplit(")")[1].split()
            found["state"] = parts[0] in "SRD"  # neither stopped, nor traced, nor dead
            found["nice"] = parts[16]
            found["limits"] = Path(f"/proc/{self.victim.pid}/limits").read_text()
            found["affinity"] = os.sched_getaffinity(self.victim.pid)
        return found

    def harm(self) -> str:
        """What was done to the scene; empty: nothing."""
        for name, one in self.sockets.items():
            with contextlib.suppress(BlockingIOError):
                one.recv(100) if name == "UDP" else one.accept()
                return f"something came to the socket {name}"
        if self.victim is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.victim.wait(0.02)
                return "the process was killed"
        now = self.seen()
        changed = [key for key in {**now, **self.before} if now.get(key) != self.before.get(key)]
        return f"changed: {', '.join(changed[:3])}" if changed else ""

    def close(self) -> None:
        """Clear up, what an attack left outside of the folder included."""
        for one in self.sockets.values():
            one.close()
        if self.victim is not None:
            self.victim.kill()
            self.victim.wait()
        with contextlib.suppress(OSError):
            os.rmdir(f"/tmp/{self.token}")
        for folder in SHARED:
            for path in Path(folder).glob(f"*{self.token}*") if Path(folder).is_dir() else []:
                path.unlink()
        libc = ctypes.CDLL(None)
        for get, control, *more in (("shmget", "shmctl", 0), ("msgget", "msgctl"), ("semget", "semctl", 0)):
            found = getattr(libc, get)(self.number, *more, 0)
            if found >= 0:
                getattr(libc, control)(found, *(0,) * (get == "semget"), 0, None)
        for folder in {Path(self.folder), *Path(self.folder).rglob("*")}:
            with contextlib.suppress(OSError):
                folder.chmod(0o755)
        shutil.rmtree(self.folder, ignore_errors=True)
