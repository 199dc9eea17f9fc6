"""The box does for a grader what it promises: values go over exactly, failures are told in one word and one
sentence, nothing stays behind, the layers are what they say, and a call is quick.

What wins against it is the subject of test_attacks.py.
"""

import ast
import gc
import inspect
import os
import platform
import shutil
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import minis2s.classroom.box as package
from minis2s.classroom.box import RLIMITS, Box, Boxed, Layers, bubblewrap, places
from minis2s.classroom.box.inside import landlock, linux, namespaces, protocol, seccomp
from minis2s.classroom.box.inside.descendants import children
from minis2s.classroom.box.process import Starter
from minis2s.errors import UserError
from minis2s.gradcheck import gradcheck

ROOT = Path(__file__).parents[2]
FOLDER = Path(package.__file__).parent
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no box on this system")

SOURCE = """
from __future__ import annotations

import dataclasses
import os
import time
from typing import NamedTuple

import numpy as np

this_fails = 1 / 0


class Kept(NamedTuple):
    x: np.ndarray


@dataclasses.dataclass
class Also:
    x: "np.ndarray"


def same(value, more=None):
    return value


def swapped(value):
    return value.astype(value.dtype.newbyteorder(">"))[::-1].T if value.ndim else value


def double_forward(x, *, by=2.0):
    return x * by, Kept(x)


def double_backward(dout, cache):
    dout *= 2
    return dout


def calls_forward(x):
    return x, {"calls": np.zeros(1)}


def calls_backward(dout, cache):
    cache["calls"] += 1
    return cache["calls"]


def twice_forward(x, y):
    again = x + 1
    return ((x, y + 1, again) if y is not None else (again, again)), None


def twice_backward(dout, cache):
    return dout


def spoil(x):
    x[...] = 7


def environment():
    return {name: 0 for name in os.environ}


def threads():
    return [os.environ["OPENBLAS_NUM_THREADS"] == "1", len(os.listdir("/proc/self/task"))]


def pid():
    return os.getpid()


def sleep(seconds):
    time.sleep(seconds)


def limits():
    import resource
    return [resource.getrlimit(r) for r in (resource.RLIMIT_AS, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE)]


def status():
    wanted = ("NoNewPrivs", "CapEff", "CapPrm", "CapAmb", "Seccomp")
    return {k: int(v.strip(), 16) for k, v in (line.split(":") for line in open("/proc/self/status")) if k in wanted}


def unwritten(x):
    raise NotImplementedError("unwritten: write unwritten")


def raises(x):
    return x + {}["secret"]


def alone_forward(x):
    return x


not_a_function = 3
"""
NAMES = [node.name for node in ast.parse(SOURCE).body if isinstance(node, ast.FunctionDef)]


@pytest.fixture(scope="module")
def box():
    with Box(SOURCE, [*NAMES, "not_a_function", "absent"]) as box:
        yield box


@pytest.fixture(scope="module")
def bare():
    with Box(SOURCE, NAMES, layers=RLIMITS) as box:
        box.load()
        yield box


@pytest.fixture(scope="module")
def small():
    starter = Starter(RLIMITS, 1 << 29, 5)
    yield starter
    starter.close()


# -- values (rule 1)

DTYPES = sorted(protocol.REAL)
RNG = np.random.default_rng(0)
ARRAYS = [
    *[np.ones((2, 3), dtype) for dtype in DTYPES],
    RNG.standard_normal((4, 3, 2)),
    RNG.standard_normal((4, 6))[::-2, ::3],
    np.asfortranarray(RNG.standard_normal((3, 5))),
    np.array(2.5),
    np.zeros((3, 0, 2)),
    np.array([np.nan, np.inf, -np.inf, -0.0, 5e-324]),
    np.broadcast_to(1.5, (3, 2)),
    RNG.standard_normal((2, 3)).astype(">f8"),
    np.ma.masked_array([1.0, 2.0], mask=[True, False]),
]
VALUES = [
    None,
    True,
    False,
    0,
    -(2**63),
    2**64 - 1,
    0.1,
    -1e-300,
    float("inf"),
    [],
    (),
    {},
    [(1, 2.0), {"a": None}],
]


def test_values_cross_unchanged(box):
    same = box.function("same")
    for got, sent in zip(same([ARRAYS, VALUES, np.float64(3), np.bool_(True)])[0], ARRAYS):
        assert type(got) is np.ndarray and got.flags.owndata and got.flags.writeable
        assert got.shape == sent.shape and got.dtype == sent.dtype.newbyteorder("=")
        assert got.tobytes() == np.asarray(sent).astype(got.dtype).tobytes()
    _, values, number, truth = same([ARRAYS, VALUES, np.float64(3), np.bool_(True)])
    assert values == VALUES and [type(a) for a in values] == [type(a) for a in VALUES]
    assert type(number) is np.float64 and type(truth) is np.bool_
    assert np.isnan(same(float("nan")))


def test_odd_arrays_of_a_student_are_plain_here(box):
    x = RNG.standard_normal((2, 3))
    got = box.function("swapped")(x)
    np.testing.assert_array_equal(got, x[::-1].T)
    assert got.dtype == np.float64 and got.dtype.isnative


def test_arguments_are_copies(box):
    x = np.ones(3)
    assert box.function("spoil")(x) is None
    assert (x == 1).all()


def test_what_cannot_be_sent_is_refused(box):
    for wrong, said in [
        (object(), "object"),
        (np.array(["a"]), "str"),
        ({1: 2}, "dict"),
        (lambda: 0, "function"),
    ]:
        with pytest.raises(UserError, match=said):
            box.function("same")(wrong)


def test_no_pickle_anywhere():
    for path in FOLDER.rglob("*.py"):
        names = {
            getattr(node, "id", getattr(node, "attr", "")) for node in ast.walk(ast.parse(path.read_text()))
        }
        assert not names & {"pickle", "marshal", "eval"}, path


@pytest.mark.parametrize(
    "tree",
    [
        {"array": ["|O", [1]]}, {"array": ["<U3", [1]]}, {"array": ["<f16", [1]]}, {"array": ["<c16", [1]]},
        {"array": ["<f8", [-1]]}, {"array": ["<f8", [1.0]]}, {"array": ["<f8", [True]]}, {"array": ["<f8", 3]},
        {"array": ["<f8", [1] * 65]}, {"array": ["<f8", [10**9, 10**9]]}, {"array": ["<f8", [0, 1 << 62, 1 << 62]]},
        {"array": ["<f8", [1 << 17, 2]]}, {"array": ["<f8"]}, {"array": None}, {"array": [["<f8"], [1]]},
        {"cache": 1}, {"complex": [1.0, 2.0]}, {"list": [], "tuple": []}, {}, [], "text", {"list": "text"},
        {"dict": [[1, 2]]}, {"dict": [["a"]]}, {"dict": {"a": 1}}, {"dict": [["a" * 41, 1]]}, {"dict": [["<b>", 1]]}, {"again": 0}, {"argument": 0}, 1 << 64, {"other": 1},
        {"list": [1] * (protocol.NODES + 1)}, {"list": [{"array": ["<f8", [1 << 16]]}] * 3},
    ],
)  # fmt: skip
def test_a_tree_that_is_no_answer_is_nonsense(tree):
    with pytest.raises(protocol.Nonsense):
        protocol.measured(tree, protocol.REAL, 1 << 20)


def test_frames_are_measured_before_they_are_read():
    for prefix in [
        protocol.PREFIX.pack(b"nope", 1, 1),
        protocol.PREFIX.pack(protocol.MAGIC, protocol.HEADER_BYTES + 1, 0),
        protocol.PREFIX.pack(protocol.MAGIC, 2, 101),
    ]:
        with pytest.raises(protocol.Nonsense):
            protocol.lengths(prefix, 100)
    for text in [b"[]", b"{", b"\xff", b"[" * 100_000, b"9" * 5000, b"3"]:
        with pytest.raises(protocol.Nonsense):
            protocol.parsed(text)


FORGER = """
import os
from inside import protocol, student
def send(fd, header, data=b""):
    frame = protocol.frame({more}, data)
    os.write(fd, frame * (2 if header["status"] == "ok" and {twice} else 1))
student.send = send
def f_forward(x): return x, None
def f_backward(dout, cache): return dout
"""


@pytest.mark.parametrize(
    ("more", "twice"),
    [
        ('{**header, "id": "0" * 16}', False),
        ('{k: v for k, v in header.items() if k != "id"}', False),
        ("header", True),
    ],
)
def test_an_answer_that_was_not_asked_for_is_nonsense(more, twice, bare):
    box = Box(
        FORGER.replace("{more}", more).replace("{twice}", str(twice)),
        ["f_forward", "f_backward"],
        layers=RLIMITS,
    )
    box.starter = bare.starter
    with pytest.raises(Boxed, match="an answer that nobody had asked for") as caught:
        forward, _ = box.pair("f")
        for _ in range(2):
            forward(np.ones(2))
    assert caught.value.outcome == "nonsense"


# -- calls and caches


def test_a_cache_stays_in_its_process(box):
    forward, backward = box.function("double_forward"), box.function("double_backward")
    x = RNG.standard_normal((2, 3))
    out, cache = forward(x, by=3.0)
    np.testing.assert_array_equal(out, 3 * x)
    assert repr(cache) == "<a cache in a box>"
    dout = np.ones(3)
    np.testing.assert_array_equal(backward(dout, cache), 2 * np.ones(3))
    assert (dout == 1).all()
    _, other = forward(x)
    with pytest.raises(UserError, match="two processes"):
        backward(dout, (cache, other))


def test_each_call_has_a_fresh_process(bare):
    pid = bare.function("pid")
    assert pid() != pid()
    forward, backward = bare.function("calls_forward"), bare.function("calls_backward")
    counts = []
    for _ in range(2):
        _, cache = forward(np.ones(1))
        counts += [backward(np.ones(1), cache)[0], backward(np.ones(1), cache)[0]]
    assert counts == [1, 2, 1, 2]


def test_a_process_goes_with_its_cache(box):
    _, cache = box.function("double_forward")(np.ones(1))
    keeper = cache.running
    assert keeper.alive
    del cache, keeper
    gc.collect()
    assert all(not running.alive for running in box.starter.running)


def test_a_pair_is_one_process_and_changes_what_it_is_given(bare):
    forward, backward = bare.pair("calls")
    caches = [forward(np.ones(1))[1] for _ in range(3)]
    assert [backward(np.ones(1), cache)[0] for cache in (*caches, caches[0])] == [1, 1, 1, 2]
    assert [cache.changes[0] for cache in caches] == [2, 1, 1]
    forward, backward = bare.pair("double")
    out, cache = forward(np.ones(2) + 1j)  # as the complex step of the gradient checker needs it
    assert out.dtype == complex
    dout = np.ones(2)
    assert (backward(dout, cache) == 2).all() and (dout == 2).all()
    assert list(inspect.signature(forward).parameters) == ["x", "by"]


def test_a_pair_hands_memory_on_as_a_local_function_does(bare):
    same, _ = bare.pair("twice")
    x, y = np.ones(2), np.zeros(2)
    (a, b, c), _ = same(x, y)
    assert a is x and b is not c and not np.shares_memory(a, c)
    (a, b), _ = same(x, None)
    assert a is b and a is not x
    assert bare.function("twice_forward")(x, y)[0][0] is not x


def test_signatures_are_those_of_the_student(box):
    assert str(inspect.signature(box.function("double_forward"))) == "(x, *, by=2.0)"
    assert str(inspect.signature(box.function("same"))) == "(value, more=None)"
    assert str(inspect.signature(box.function("pid"))) == "()"


def test_a_statement_that_fails_is_noted_and_the_rest_goes_on(box):
    found = box.load()
    line = SOURCE[: SOURCE.index("this_fails")].count("\n") + 1
    assert found["failed"] == [(line, "ZeroDivisionError")]
    assert set(found["functions"]) == set(NAMES)


def test_calls_from_many_threads(box):
    same = box.function("same")
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(same, range(12))) == list(range(12))


# -- failures (rule 3)


@pytest.mark.parametrize(
    ("source", "outcome", "reason"),
    [
        ("import os\nos._exit(0)", "died", "its process ended (exit code 0) before it answered"),
        ("import os\ndef f(x): os._exit(3)", "died", "its process ended (exit code 3) before it answered"),
        ("def f(x):\n    while 1: pass", "timeout", "no answer within 0.4 seconds"),
        ("while 1: pass", "timeout", "no answer within 0.4 seconds"),
        ("def f(x): return bytearray(1 << 31)", "memory", "f asked for more than the 512 MB that it may have"),
        ("def f(x): return 'text'", "nonsense", "f returned text where an array or a number belongs"),
        ("def f(x): return b'text'", "nonsense", "f returned a bytes where an array or a number belongs"),
        ("def f(x): return type('Own', (), {})()", "nonsense", "f returned something that is neither"),
        ("import numpy as np\ndef f(x): return np.zeros(1 << 20)", "nonsense", "its process sent a reply of"),
        ("def f(x):\n    return x['a']", "raised", "f raised TypeError at line 2"),
        ("def f(x): raise SystemExit", "raised", "f raised SystemExit at line 1"),
        ("class E(KeyError): pass\ndef f(x): raise E", "raised", "f raised KeyError at line 2"),
        ("def f(): pass", "raised", "f raised TypeError"),
        ("def f(x): raise NotImplementedError('f: write f')", "not written", "f is not written yet"),
        ("f = 3", "missing", "there is no function f"),
        ("def f(x:\n    pass", "not loaded", "it is no Python that can be read (line 1)"),
        ("def f(x): return 1\0", "not loaded", "it is no Python that can be read"),
        ("def f(x): return 1  # \ud800", "not loaded", "it holds half a character"),
    ],
)  # fmt: skip
def test_a_failure_is_one_word_and_one_sentence(source, outcome, reason, small, bare):
    box = Box(
        source,
        ["f"],
        layers=RLIMITS,
        seconds=0.4 if outcome == "timeout" else 5,
        memory=1 << 29,
        reply=1 << 20,
    )
    box.starter = small  # NumPy need not be loaded for each of them
    with pytest.raises(Boxed) as caught:
        box.function("f")(1.0)
    assert (caught.value.outcome, caught.value.reason[: len(reason)]) == (outcome, reason)
    assert "\n" not in caught.value.reason
    assert box.starter is small and bare.function("same")(5) == 5  # the next call is as good as ever


def test_the_budget_is_for_all_calls_together():
    with Box(SOURCE, NAMES, layers=RLIMITS, seconds=0.3, budget=0.5) as box:
        sleep = box.function("sleep")
        for _ in range(3):
            with pytest.raises(Boxed, match="no answer within|are used up"):
                sleep(9.0)
        start = time.monotonic()
        with pytest.raises(Boxed, match="the 0.5 seconds for all calls together are used up") as caught:
            sleep(9.0)
        assert caught.value.outcome == "timeout" and time.monotonic() - start < 0.3


def test_a_name_that_was_not_asked_for(box):
    with pytest.raises(UserError, match="made for"):
        box.function("other")
    for name in ("absent", "not_a_function"):
        with pytest.raises(Boxed, match=f"there is no function {name}"):
            box.function(name)


def test_a_forward_without_a_cache(box):
    with pytest.raises(Boxed, match="other than two things") as caught:
        box.function("alone_forward")(1.0)
    assert caught.value.outcome == "nonsense"


# -- nothing stays behind


def alive(mark: str) -> bool:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if mark.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                return True
        except OSError:
            continue
    return False


def gone(mark: str) -> bool:
    end = time.monotonic() + 10
    while alive(mark) and time.monotonic() < end:
        time.sleep(0.02)
    return not alive(mark)


@pytest.mark.skipif(not linux.ON_LINUX, reason="looks at /proc")
def test_a_box_leaves_nothing_behind():
    before_it = children()
    with Box(SOURCE, NAMES) as box:
        box.function("same")(1)
        before = os.listdir("/proc/self/fd")
        for _ in range(5):
            box.function("same")(1)
        forward = box.function("double_forward")
        held = [forward(np.ones(1)) for _ in range(2)]
        folder = box.starter.lib.parent
        assert folder.exists() and alive(folder.name)
        del held
        gc.collect()
        assert len(os.listdir("/proc/self/fd")) == len(before)
    assert gone(folder.name) and not folder.exists()
    assert children() == before_it


@pytest.mark.skipif(not linux.ON_LINUX, reason="looks at /proc")
def test_a_killed_grader_leaves_no_process():
    code = (
        "import sys, threading; from minis2s.classroom.box import Box\n"
        "box = Box('import time\\ndef f(): time.sleep(60)', ['f'], seconds=60)\n"
        "f = box.function('f'); print(box.starter.lib.parent, flush=True); f()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as grader:
        folder = grader.stdout.readline().strip()
        time.sleep(0.2)
        grader.kill()
    assert folder and gone(Path(folder).name)
    shutil.rmtree(folder)  # which nobody was left to do


# -- layers (rules 4, 6, 11)


def test_layers_in_words():
    assert str(RLIMITS) == "rlimits only" and not RLIMITS.official
    full = Layers(landlock=7, seccomp=True, namespaces=True, bubblewrap=True)
    assert full.names == ["rlimits", "landlock abi 7", "seccomp", "namespaces", "bubblewrap"]
    assert full.without("bubblewrap").official and full.without("landlock", "seccomp").official
    assert not full.without("landlock", "bubblewrap").official  # sockets are out of reach, but files are not
    assert not full.without("seccomp", "bubblewrap").official  # Landlock alone lets UDP through


def test_the_layers_of_this_machine_are_put_on(box):
    if box.layers.bubblewrap:
        assert bubblewrap.command(Path("/a"), Path("/b"))[0].endswith("bwrap")
    with Box(SOURCE, NAMES, layers=Layers(seccomp=seccomp.supported())) as other:
        status = other.function("status")()
    assert status.pop("NoNewPrivs") == 1
    assert status.pop("Seccomp") == (2 if seccomp.supported() else 0)
    assert set(status.values()) == {0}  # no capability


def test_limits(bare):
    limits = bare.function("limits")()
    assert limits == [(bare.memory, bare.memory), (0, 0), (0, 0)]
    one, threads = bare.function("threads")()
    assert one is True and threads == 1
    assert set(bare.function("environment")()) == {
        "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "LC_ALL",
    }  # fmt: skip


def test_a_layer_that_is_not_there_is_no_box(monkeypatch):
    monkeypatch.setattr(bubblewrap.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="apt-get install bubblewrap"):
        Box(SOURCE, NAMES, layers=Layers(bubblewrap=True)).load()
    monkeypatch.setattr(linux, "LIBC", None)  # as on macOS
    assert landlock.abi() == 0 and not seccomp.supported()
    with pytest.raises(OSError):
        landlock.ruleset([])
    with pytest.raises(OSError):
        seccomp.restrict()
    with pytest.raises(OSError):
        namespaces.enter()


def test_other_packages_beside_the_standard_library_are_not_seen(monkeypatch, tmp_path):
    home = tmp_path / "python3.11"
    for name in ("json", "site-packages"):
        (home / name).mkdir(parents=True)
    monkeypatch.setattr(places, "standard_library", lambda: [str(home)])
    readable = places.readable(tmp_path / "lib")
    assert str(home / "json") in readable and str(home) not in readable
    assert not [path for path in readable if "site-packages" in path and "numpy" not in path]
    assert bubblewrap.others([str(tmp_path)]) == [str(home / "site-packages")]
    package = places.INSIDE.parents[2]
    assert str(package) in bubblewrap.others([str(package.parent)])  # the reference itself


def test_no_box_without_fork(monkeypatch):
    monkeypatch.delattr(os, "fork")
    with pytest.raises(UserError, match="run it in WSL"):
        Box(SOURCE, NAMES)


def test_the_package_can_be_imported_on_windows():
    code = (
        "import os, sys\nsys.platform = 'win32'\nsys.modules.update(resource=None, fcntl=None, grp=None, pwd=None)\n"
        "del os.fork\nimport minis2s.classroom.box as box\nprint(box.available_layers())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.startswith("rlimits"), done.stderr


@pytest.mark.skipif(not landlock.abi(), reason="this kernel has no Landlock")
def test_rules_for_older_kernels(monkeypatch):
    for version in range(1, landlock.abi() + 1):
        monkeypatch.setattr(landlock, "abi", lambda version=version: version)
        os.close(landlock.ruleset(["/usr", "/dev/null", "/not/there"]))


CALLS = {  # name: (x86_64, aarch64), arguments, allowed
    "read": ((0, 63), (0,), True), "mmap": ((9, 222), (), True), "futex": ((202, 98), (), True),
    "socket": ((41, 198), (2, 2), False), "socketpair": ((53, 199), (), False), "connect": ((42, 203), (), False),
    "sendto": ((44, 206), (), False), "sendmsg": ((46, 211), (), False), "ptrace": ((101, 117), (), False),
    "execve": ((59, 221), (), False), "process_vm_writev": ((311, 271), (), False), "shmget": ((29, 194), (), False),
    "memfd_create": ((319, 279), (), False), "io_uring_setup": ((425, 425), (), False), "bpf": ((321, 280), (), False),
    "keyctl": ((250, 219), (), False), "chmod": ((90, 53), (), False), "utimensat": ((280, 88), (), False),
    "mount": ((165, 40), (), False), "unshare": ((272, 97), (), False), "pidfd_send_signal": ((424, 424), (), False),
    "kill itself": ((62, 129), (77, 9), True), "kill another": ((62, 129), (78, 9), False),
    "kill all": ((62, 129), (0xFFFFFFFF, 9), False), "tgkill itself": ((234, 131), (77, 78, 6), True),
    "tkill": ((200, 130), (77, 9), False), "a thread": ((56, 220), (0x3D0F00,), True),
    "a process": ((56, 220), (17,), False), "clone3": ((435, 435), (), False), "its limits": ((302, 261), (0,), True),
    "other limits": ((302, 261), (1,), False), "a terminal": ((16, 29), (0, 0x5401), True),
    "typing into one": ((16, 29), (0, 0x5412), False), "a copy": ((72, 25), (3, 1030), True),
    "an owner": ((72, 25), (3, 8), False),
}  # fmt: skip


def verdict(code: bytes, architecture: int, number: int, arguments: tuple) -> int:
    """What the kernel would make of a system call: the filter, run step by step."""
    data = struct.pack("<IIQ6Q", number, architecture, 0, *(*arguments, *(0,) * 6)[:6])
    at, value = 0, 0
    while True:
        op, if_true, if_false, k = struct.unpack_from("HBBI", code, 8 * at)
        at += 1
        if op == seccomp.LOAD:
            (value,) = struct.unpack_from("<I", data, k)
        elif op == seccomp.RETURN:
            return k
        else:
            test = {
                seccomp.EQUAL: value == k,
                seccomp.AT_LEAST: value >= k,
                seccomp.ANY_BIT: bool(value & k),
            }[op]
            at += if_true if test else if_false


@pytest.mark.parametrize("machine", seccomp.MACHINES)
def test_the_filter_of_system_calls(machine):
    column, architecture = seccomp.MACHINES[machine]
    code = seccomp.program(machine, 77)
    for name, (numbers, arguments, allowed) in CALLS.items():
        found = verdict(code, architecture, numbers[column], arguments)
        assert (found == seccomp.ALLOW) is allowed, name
        assert verdict(code, architecture, numbers[column] | seccomp.X32, arguments) != seccomp.ALLOW
        assert verdict(code, architecture ^ 1, numbers[column], arguments) == seccomp.KILL
    for numbers in seccomp.ALLOWED.values():
        if numbers[column] is not None:
            assert verdict(code, architecture, numbers[column], ()) == seccomp.ALLOW


@pytest.mark.skipif(
    platform.machine() != "x86_64" or os.geteuid() != 0, reason="shows what does not bind root"
)
def test_that_the_limit_on_processes_does_not_bind_root(bare):
    """Why the box has more than limits: a fact of the kernel, and the reason for the filter."""
    with Box(
        "import os\ndef f():\n    pid = os.fork()\n    return pid or os._exit(0)", ["f"], layers=RLIMITS
    ) as box:
        assert box.function("f")() > 0


@pytest.mark.skipif(platform.system() != "Linux", reason="of Linux")
def test_where_memory_runs_out_on_the_machine_a_box_goes_first(bare):
    """Its limit is for each process; a check may keep several, and others are graded at the same time."""
    source = "def f():\n    return int(open('/proc/self/oom_score_adj').read())"
    with Box(source, ["f"], layers=RLIMITS) as box:
        assert box.function("f")() == 1000


# -- numeric gradients (rule 9)

LINEAR = """
import numpy as np
def linear_forward(x, W):
    return x @ W, (x, W)
def linear_backward(dout, cache):
    x, W = cache
    {backward}
"""
COMPLEX_STEP = """
    dW = np.zeros_like(W)
    for at in np.ndindex(W.shape):
        moved = W.astype(complex)
        moved[at] += 1e-30j
        dW[at] = ((x @ moved).imag * dout).sum() / 1e-30
    return dW
"""


def test_the_cost_of_a_complex_step_shows():
    """No tolerance finds it (its error is 5e-17); by the parent's clock it costs a forward call for each weight."""
    x, W = RNG.standard_normal((4, 100)), RNG.standard_normal((100, 100))
    costs = {}
    for name, backward in {"calculus": "return x.T @ dout", "complex step": COMPLEX_STEP.strip()}.items():
        with Box(
            LINEAR.format(backward=backward), ["linear_forward", "linear_backward"], layers=RLIMITS
        ) as box:
            forward, backward = box.function("linear_forward"), box.function("linear_backward")
            out, cache = forward(x, W)
            np.testing.assert_allclose(
                backward(np.ones_like(out), cache), x.T @ np.ones_like(out), rtol=1e-12
            )
            costs[name] = backward.seconds
    assert costs["complex step"] > 10 * costs["calculus"], costs


# -- the diagnosis, and how quick it all is


LSTM = """
import numpy as np
def sigmoid(z):
    return 1 / (1 + np.exp(-z))
def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b):
    i, f, o, g = np.split(x @ Wx + h_prev @ Wh + b, 4, axis=1)
    i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
    c = f * c_prev + i * g
    return (o * np.tanh(c), c), [x, h_prev, c_prev, Wx, Wh, i, f, o, g, np.tanh(c)]
def lstm_step_backward(dout, cache):
    x, h_prev, c_prev, Wx, Wh, i, f, o, g, tanh_c = cache
    dh, dc = (np.zeros_like(h_prev) if d is None else d for d in dout)
    dc = dc + dh * o * (1 - tanh_c**2)
    dz = np.hstack([dc * g * i * (1 - i), dc * c_prev * f * (1 - f), dh * tanh_c * o * (1 - o), dc * i * (1 - g**2)])
    return dz @ Wx.T, dz @ Wh.T, dc * f, x.T @ dz, h_prev.T @ dz, dz.sum(0)
"""


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("dc * c_prev", "dc * g"), ("    dc = dc +", "    dc += "), ("dc * f, x", "dout[0], x")],
)
def test_the_diagnosis_through_the_box_is_that_of_a_local_pair(right, wrong):
    assert right in LSTM
    source, here = LSTM.replace(right, wrong), {}
    exec(source, here)
    names = ["lstm_step_forward", "lstm_step_backward"]
    local = gradcheck(tuple(here[name] for name in names), kind="lstm_step", fast=True)
    with Box(source, names, layers=RLIMITS) as box:
        boxed = gradcheck(box.pair("lstm_step"), kind="lstm_step", fast=True)
    said = [line for line in str(local).splitlines() if not line.startswith("  measured")]
    assert said == [line for line in str(boxed).splitlines() if not line.startswith("  measured")]
    assert not local.ok


def test_a_call_is_quick(box):
    same = box.function("same")
    forward, backward = box.pair("double")
    _, cache = forward(np.ones(3))

    def best(call, times: int) -> float:
        taken = []
        for _ in range(times):
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
        return min(taken)

    assert best(lambda: same(1), 8) < 0.15
    assert best(lambda: backward(np.ones(3), cache), 50) < 0.001
