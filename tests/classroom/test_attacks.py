"""Every attack of attacks.py against every set of layers: with Landlock or bubblewrap none may win.

With limits alone some do, and these are the ones that say so. What is marked by a grader is marked here as a grader
would: the reply came, its shape, its dtype, finite, then the values.
"""

import contextlib
import importlib.util
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from minis2s.classroom.box import RLIMITS, Box, Boxed, Layers, available_layers
from minis2s.classroom.box.process import Starter
from minis2s.classroom.box.remote import Remote


def beside(name: str):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ATTACKS = beside("attacks").ATTACKS
SCENE = beside("scene")
MEMORY = 1 << 29
LATE = 10.0  # seconds that a machine under load may need beyond those of a call
AVAILABLE = available_layers() if hasattr(os, "fork") else RLIMITS
SETS = {
    "rlimits": RLIMITS,
    "landlock": Layers(landlock=AVAILABLE.landlock, seccomp=AVAILABLE.seccomp),
    "bubblewrap": Layers(bubblewrap=AVAILABLE.bubblewrap),
    "all": AVAILABLE,
}
# these are sure to win against limits alone: were they to lose, the scene would see nothing
SURE = {
    "the reference on the disk", "read the key", "read the key through links", "remove the results", "kill the parent",
    "connect by TCP", "send by UDP", "an abstract socket", "shadow a module", "keep something in System V memory",
}  # fmt: skip


def is_right(value, expected: np.ndarray) -> bool:
    if not isinstance(value, np.ndarray) or value.shape != expected.shape or value.dtype != expected.dtype:
        return False
    if not np.isfinite(value).all():
        return False
    return bool(np.abs(value - expected).max(initial=0.0) <= 1e-12 * np.abs(expected).max(initial=1e-300))


def processes_of(starter: Starter) -> set[int]:
    """Those whose command line names the folder of the box."""
    mark, found = starter.lib.parent.name.encode(), set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if mark in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.add(int(pid))
    return found


def left_of(starter: Starter, here: set[int]) -> str:
    """Whether there are more processes than `here`; a keeper may take a moment to end."""
    for _ in range(100):
        left = processes_of(starter) - here
        if not left:
            return ""
        time.sleep(0.01)
    return f"{len(left)} processes are left"


def tried(attack, starter: Starter) -> str:
    """How the attack won; empty: it did not."""
    scene = SCENE.Scene(attack.source, starter.lib)
    box = Box(
        scene.fill(attack.source),
        ["answer"],
        layers=starter.layers,
        seconds=attack.seconds,
        memory=MEMORY,
        reply=1 << 22,
    )
    box.starter = starter
    try:
        answer, start = Remote(box, "answer", None), time.monotonic()
        values, inputs, reasons = [], [], ""
        for _ in range(2 if attack.wins == "twice" else 1):
            inputs.append(np.random.default_rng().standard_normal((3, 4)))
            try:
                values.append(answer(inputs[-1].copy()))
            except Boxed as error:
                reasons += error.reason
        if any(is_right(value, np.tanh(x)) for value, x in zip(values, inputs)):
            return "it was marked right"
        if attack.wins == "leak" and values and SCENE.SECRET in bytes(np.asarray(values[0]).tobytes()):
            return "it read the secret"
        if attack.wins == "word" and "LEAK" in reasons:
            return f"it was passed on: {reasons}"
        if attack.wins == "value" and values:
            return "it got what it asked for"
        if attack.wins == "twice" and len(values) == 2 and np.all(values[1] == 1):
            return "the second call knew of the first"
        if attack.wins == "descriptors" and values and len(values[0]) > 2:
            return f"it has other descriptors: {values[0][:8]}"
        if time.monotonic() - start > attack.seconds + LATE:
            return f"it took {time.monotonic() - start:.1f} seconds"
        return scene.harm()
    finally:
        scene.close()


def tried_alone(attack, layers: Layers) -> str:
    """As `tried`, in a box of its own, of which no process may be left in the end."""
    starter = Starter(layers, MEMORY, 10)
    try:
        won = tried(attack, starter)
    finally:
        starter.close()
    return won or left_of(starter, set())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no box on this system")
@pytest.mark.parametrize("name", SETS)
def test_attacks(name):
    layers = SETS[name]
    if name != "rlimits" and not layers.official:
        pytest.skip(f"this machine has no {name}: the attacks were not tried against it")
    # what only the parent's reading of replies can stop is tried once
    chosen = [a for a in ATTACKS if name == "all" or a.listed or a.beats or a.alone]
    waiting = [a for a in chosen if a.seconds < 1 and not a.alone]
    starter, won = Starter(layers, MEMORY, 10), {}
    try:
        here = processes_of(starter)
        with ThreadPoolExecutor(8) as pool:
            won.update(zip([a.name for a in waiting], pool.map(lambda a: tried(a, starter), waiting)))
        for attack in chosen:
            if attack.alone:
                won[attack.name] = tried_alone(attack, layers)
            elif attack not in waiting:
                won[attack.name] = tried(attack, starter)
                if any(word in attack.source for word in ("fork", "Thread", "clone")):
                    won[attack.name] = won[attack.name] or left_of(starter, here)
        assert starter.alive and not left_of(starter, here)
    finally:
        starter.close()
    winners = {attack: how for attack, how in won.items() if how}
    known = {a.name for a in ATTACKS if a.beats == name}
    assert {attack: how for attack, how in winners.items() if attack not in known} == {}
    if name == "rlimits":
        assert SURE - winners.keys() == set()
