"""Mistakes that take more than one line: exchanged lines, the same slip in every gate, a cut in time.

Each is (lines, variable, cause, sentence), the lines as pairs of (right, wrong) in the source of a
textbook function; a line that the source lacks is no candidate.
"""

import re
from collections.abc import Callable, Iterator

Several = tuple[list[tuple[str, str]], str, str, str]

# Lines that say the same of several gates or weights: who makes a mistake in one often makes it in all.
FAMILIES = (
    ("dz_i", "dz_f", "dz_o"), ("dz_r", "dz_u"), ("di", "df", "dg"), ("dWx", "dWh", "db"), ("dWx", "dWh", "dbx", "dbh"),
    ("dWx", "dWh_ru", "dWh_n", "dbx", "dbh"), ("dvalues", "dkeys"), ("dquery", "dkeys"),
)  # fmt: skip
# Lines that are easily exchanged.
EXCHANGES = (
    ("di", "dg"), ("di", "df"), ("df", "dg"), ("do", "df"), ("dr", "du"), ("dn", "du"), ("dn", "dh_prev"), ("du", "dh_prev"),
    ("dz_i", "dz_f"), ("dz_i", "dz_o"), ("dz_f", "dz_o"), ("dz_i", "dz_g"), ("dz_o", "dz_g"), ("dz_r", "dz_u"),
)  # fmt: skip


def right_sides(source: str) -> dict[str, str]:
    """The first right-hand side of each name."""
    lines: dict[str, str] = {}
    for line in source.splitlines():
        name, equals, value = line.strip().partition(" = ")
        if equals and name not in lines:
            lines[name] = value
    return lines


def of_gates(source: str, gates: str) -> Iterator[Several]:
    """The part of one gate left out of a product with all gates, or the only one taken."""
    for line in source.splitlines():
        variable, _, value = line.strip().partition(" = ")
        name = variable.partition("[")[0]
        for dz, letters in (("dz", gates), ("dzx", gates), ("dzh", gates), ("dz_ru", gates[:2])):
            for k, letter in enumerate(letters):
                for function, says in (
                    ("without", f"{name} lacks the part of gate {letter}"),
                    ("only", f"{name} has the part of gate {letter} only"),
                ):
                    call = f"{function}({dz}, {k}, {len(letters)})"
                    wrong = re.sub(
                        rf"\b{dz} @|@ {dz}\b", lambda m, dz=dz, call=call: m[0].replace(dz, call), value
                    )
                    if wrong != value:
                        yield [(line.strip(), f"{variable} = {wrong}")], name, "missing term", says


def in_every_gate(usual: Callable[[str], list], source: str, variables: frozenset[str]) -> Iterator[Several]:
    """The edits that every line of a family has, made in all of them at once.

    usual: gives the edits of the lines that compute a variable.
    """
    for family in FAMILIES:
        if not variables & set(family):
            continue
        by_line = {name: usual(name) for name in family}
        if not all(by_line.values()):
            continue
        first = family[0]
        for edit in by_line[first]:
            twins = []
            for name in family[1:]:
                says = (
                    edit.says.replace(first, name)
                    .replace(f"{first[-1]}[t]", f"{name[-1]}[t]")
                    .replace(f"z_{first[-1]}", f"z_{name[-1]}")
                )
                twins += [e for e in by_line[name] if e.says == says and e.cause == edit.cause][:1]
            if len(twins) == len(family) - 1:
                names = ", ".join(family[:-1]) + f" and {family[-1]}"
                lines = [(e.line, e.wrong) for e in (edit, *twins)]
                if all(f"{right}\n" in source for right, _ in lines):
                    yield lines, first, edit.cause, edit.says.replace(first, names, 1)


def of_several_lines(source: str) -> Iterator[Several]:
    """All mistakes of several lines of which the source has every line."""
    lines = right_sides(source)
    for several in candidates(source, lines):
        if several[0] and all(f"{right}\n" in source for right, _ in several[0]):
            yield several


def candidates(source: str, lines: dict[str, str]) -> Iterator[Several]:
    for a, b in EXCHANGES:
        if a in lines and b in lines:
            changes = [(f"{a} = {lines[a]}", f"{a} = {lines[b]}"), (f"{b} = {lines[b]}", f"{b} = {lines[a]}")]
            yield changes, a, "wrong variable", f"{a} and {b} are exchanged"
            if lines[a].count(" * ") >= 2 and lines[b].count(" * ") >= 2:
                first, second = lines[a].partition(" * ")[0], lines[b].partition(" * ")[0]
                crossed = [
                    (f"{a} = {lines[a]}", f"{a} = {lines[a].replace(first, second, 1)}"),
                    (f"{b} = {lines[b]}", f"{b} = {lines[b].replace(second, first, 1)}"),
                ]
                yield crossed, a, "gate order", f"{first} and {second} are exchanged between the gates"
    yield from of_derivatives()
    yield from of_carries(lines)
    yield from of_masks()


def of_derivatives() -> Iterator[Several]:
    o, g = "dz_o = do * o[t] * (1 - o[t])", "dz_g = dg * (1 - g[t] ** 2)"
    yield (
        [(o, "dz_o = do * (1 - o[t] ** 2)"), (g, "dz_g = dg * g[t] * (1 - g[t])")], "dz_o", "wrong derivative",
        "dz_o has the derivative of tanh and dz_g that of the sigmoid: the order of o and g is exchanged there",
    )  # fmt: skip
    for sigmoids, tanh in (("ifo", "g"), ("ru", "n")):
        right = [f"dz_{y} = d{y} * {y}[t] * (1 - {y}[t])" for y in sigmoids]
        wrong = [f"dz_{y} = d{y} * (1 - {y}[t] ** 2)" for y in sigmoids]
        right.append(f"dz_{tanh} = d{tanh} * (1 - {tanh}[t] ** 2)")
        wrong.append(f"dz_{tanh} = d{tanh} * {tanh}[t] * (1 - {tanh}[t])")
        names = ", ".join(f"dz_{y}" for y in sigmoids)
        yield (
            list(zip(right, wrong, strict=True)), f"dz_{tanh}", "wrong derivative",
            f"the derivatives of sigmoid and tanh are exchanged: {names} have that of tanh, dz_{tanh} that of the sigmoid",
        )  # fmt: skip
    update = [
        ("dn = dh * (1 - u[t])", "dn = dh * u[t]"),
        ("du = dh * (h_prev[t] - n[t])", "du = dh * (n[t] - h_prev[t])"),
        ("dh_prev = dh * u[t]", "dh_prev = dh * (1 - u[t])"),
    ]
    says = "dn, du and dh_prev are those of h = (1 - u) * h_prev + u * n, the other convention: u and 1 - u are exchanged"
    yield update, "dn", "wrong variable", says
    c = "dc = dc + dh * o[t] * (1 - tanh_c[t] ** 2)"
    yield (
        [("do = dh * tanh_c[t]", "pass"), (c, f"{c}; do = dc * tanh_c[t]")],
        "do",
        "wrong variable",
        "do is made of dc where dh belongs",
    )
    for name, value in (
        ("df", "dc * c_prev[t]"),
        ("di", "dc * g[t]"),
        ("dg", "dc * i[t]"),
        ("dc_prev", "dc * f[t]"),
    ):
        says = f"{name} uses the dc of the later step only: what comes through h is missing"
        yield (
            [
                (c, f"dc_next = dc; {c}"),
                (f"{name} = {value}", f"{name} = {value.replace('dc ', 'dc_next ')}"),
            ],
            name,
            "missing term",
            says,
        )
    yield (
        [
            ("dh_prev = dh * u[t]", "dh_prev = dh * u[t]; dh_carry = dh_prev"),
            ("dh = dh_prev + dh_kept", "dh = dh_carry + dh_kept"),
        ],
        "dh_prev",
        "missing term",
        "dh_prev has the part that u carries only: all paths through the gates are missing",
    )


def of_carries(lines: dict[str, str]) -> Iterator[Several]:
    for name, factor, first in (("dc", "f[t]", "df"), ("dh", "u[t]", "dn")):
        changes = [
            (f"{first} = {lines.get(first)}", f"{name} = {name} * {factor}; {first} = {lines.get(first)}"),
            (f"{name}_prev = {name} * {factor}", f"{name}_prev = {name}"),
        ]
        yield (
            changes,
            name,
            "aliased",
            f"{name} is scaled by {factor} in place, before {first} is taken from it",
        )
    last = {name: f"{name} = {name}_prev + {name}_kept" for name in ("dh", "dc")}
    for k in range(4):
        says = f"the gradient of the state is not handed back from step {k} to the step before"
        cuts = [(last[name], f"{name} = ({name}_prev + {name}_kept) * (t != {k})") for name in ("dh", "dc")]
        for chosen in (cuts, cuts[:1], cuts[1:]):
            yield chosen, "dh_prev", "carry dropped", says
    yield (
        [(last["dh"], "handed = dh_prev + dh_kept"), (last["dc"], "dh = dc_prev + dc_kept; dc = handed")], "dh_prev", "wrong variable",
        "dh and dc are exchanged where they are handed back",
    )  # fmt: skip
    for name in ("dh", "dc"):
        says = f"{name}0 is the {name} of step 0 itself, before it goes through the step"
        yield (
            [(last[name], f"{name} = {name} if t == 0 else {name}_prev + {name}_kept")],
            f"{name}_prev",
            "wrong variable",
            says,
        )
        says = f"the {name} of the last state is added again at every step"
        yield (
            [(last[name], f"{name} = {name}_prev + {name}_kept + {name}_last")],
            f"{name}_prev",
            "extra term",
            says,
        )
    a, b = "dh_prev = dh_prev + dz_ru @ Wh_ru.T", "dh_prev = dh_prev + dzh_n @ Wh_n.T"
    changes = [
        (a, "dh_prev = dh_prev + dz_ru @ untransposed(Wh_ru)"),
        (b, "dh_prev = dh_prev + dzh_n @ untransposed(Wh_n)"),
    ]
    yield changes, "dh_prev", "transpose", "dh_prev is computed with Wh where Wh.T belongs, gate by gate"
    yield (
        [(a, "pass"), (b, "dh_prev = dz_ru @ Wh_ru.T")],
        "dh_prev",
        "overwritten",
        "the product with Wh overwrites what dh_prev has been given before",
    )


def of_masks() -> Iterator[Several]:
    kept = {name: f"{name}_kept = {name} * (1 - real[t])" for name in ("dh", "dc")}
    masked = {name: f"{name} = {name} * real[t]" for name in ("dh", "dc")}
    yield (
        [("dh = dh + dhs[t]", "dh = dh + dhs[t] * real[t]")], "dh", "mask ignored",
        "dhs is dropped at padded steps: what a padded step puts out is the state that it hands on, and so is its gradient",
    )  # fmt: skip
    both = ("dh", "dc")
    for names in (both, ("dh",), ("dc",)):
        what = " and ".join(names)
        yield (
            [(kept[n], f"{n}_kept = 0 * {n}") for n in names],
            "dh_kept",
            "mask ignored",
            f"padded steps stop the gradient: the {what} that they should hand on is lost",
        )
        yield (
            [(masked[n], f"{n} = 1 * {n}") for n in names],
            "dh",
            "mask ignored",
            f"{what} {'are' if len(names) > 1 else 'is'} not masked at padded steps",
        )
        yield (
            [(kept[n], f"{n}_kept = 1 * {n}") for n in names],
            "dh_kept",
            "carry doubled",
            f"the old {what} is kept beside what the step hands back (+= in place of =)",
        )
        changes = [(kept[n], f"{n}_kept = 0 * {n}") for n in names] + [
            (masked[n], f"{n} = 1 * {n}") for n in names
        ]
        yield changes, "dh", "mask ignored", f"the mask is ignored for {what}"
