"""The changes of one line: everything in an expression that somebody may get wrong, at one spot at a time.

`statement_changes` yields them as syntax trees with a note of what was done; words.py says what each
means, edits.py puts them back into the function.
"""

import ast
import copy
import itertools
from collections.abc import Iterator

from minis2s.gradcheck.operation_changes import LOOP_VARIABLE, Change, expression, of_an_operation

NOT_VARIABLES = {"np", "range", "reversed", "len"}
# arguments of textbook functions with an entry for each step, beside those that a line indexes with [t]
KEPT_BY_STEPS = {"h", "c", "h_prev", "n", "u", "z_i", "z_f", "z_o", "z_g", "zh_n", "hWh_n", "rh"}
# Changes that few make: tried only when no other explains the numbers.
RARE = ("factor added", "term added", "ones", "rows", "skipped")


def is_equation(statement: ast.Assign) -> bool:
    """Is it a line of mathematics, and not one that makes room for results or measures a size?"""
    value = ast.unparse(statement.value)
    return not isinstance(statement.targets[0], ast.Tuple) and not value.startswith(
        ("np.zeros_like", "probs.shape")
    )


def assigned(statement: ast.stmt) -> str:
    """The name that a line computes; of a loop, its variable."""
    target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
    while isinstance(target, ast.Subscript):
        target = target.value
    return target.id


def interchangeable(function: ast.FunctionDef) -> dict[bool, list[str]]:
    """Names that may be mistaken for each other: those indexed with [t], and the others.

    Whether the shapes fit is found out by running the change: one that does not run is no candidate.
    """
    over_time, plain = set(), set()
    for node in ast.walk(function):
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
            over_time.add(node.value.id)
        elif isinstance(node, ast.Name) and node.id not in NOT_VARIABLES:
            plain.add(node.id)
    plain |= {arg.arg for arg in function.args.args}
    over_time |= {arg.arg for arg in function.args.args if arg.arg in KEPT_BY_STEPS}
    return {True: sorted(over_time), False: sorted(plain - over_time)}


# -- the changes of one statement --------------------------------------------------------------------


def loops(statement: ast.For) -> Iterator[Change]:
    """A loop that runs in the other direction, or misses a step."""
    text = ast.unparse(statement.iter)
    if not text.startswith("reversed(range("):
        return
    inner = text[len("reversed(range(") : -2]
    yield Change(
        expression(f"range({inner})"),
        "time shift",
        "the loop runs forward in time, from the first step to the last",
    )
    yield Change(
        expression(f"reversed(range({inner} - 1))"), "time shift", "the loop leaves out the last step"
    )
    yield Change(
        expression(f"reversed(range(1, {inner}))"), "time shift", "the loop leaves out the first step"
    )


def statement_changes(statement: ast.Assign, names: dict[bool, list[str]], sizes) -> Iterator[Change]:
    value = statement.value
    yield from rewrites(value, names)
    text = ast.unparse(value)
    yield Change(expression(f"-({text})"), "sign")
    for factor in ("2", "0.5"):
        yield Change(expression(f"{factor} * ({text})"), "scaled", text, f"times {factor}")
    # of a sum that grows from step to step, it is what is added that may be scaled
    variable = assigned(statement)
    kept, plus, added = text.partition(" + ")
    before, added = (
        (f"{kept} + ", added)
        if plus and kept == variable and variable.startswith(("dW", "db"))
        else ("", text)
    )
    for letter, size in sizes:
        yield Change(expression(f"{before}({added}) / ({size})"), "scaled", text, f"divided by {letter}")
        yield Change(expression(f"{before}({added}) * ({size})"), "scaled", text, f"times {letter}")
    if before:
        yield Change(expression(f"{before}2 * ({added})"), "scaled", text, "times 2")
        yield Change(expression(f"{before}0.5 * ({added})"), "scaled", text, "times 0.5")


def rare_changes(statement: ast.Assign, names: dict[bool, list[str]]) -> Iterator[Change]:
    """A factor or a term too much, a line replaced by another gradient, and what `rewrites` marks as rare."""
    yield from rewrites(statement.value, names)
    text = ast.unparse(statement.value)
    over_time = [f"{name}[t]" for name in names[True]] if LOOP_VARIABLE in names[False] else []
    for other in [*over_time, *names[False]]:
        if other != LOOP_VARIABLE:
            yield Change(expression(f"({text}) * {other}"), "factor added", other)
            yield Change(expression(f"({text}) * (1 - {other})"), "factor added", f"1 - {other}")
            yield Change(expression(f"({text}) + {other}"), "term added", other)
            if other.startswith("d") and len(text) > len(other):
                yield Change(expression(f"1.0 * {other}"), "skipped", other)


def rewrites(node: ast.expr, names: dict[bool, list[str]]) -> Iterator[Change]:
    """Every change of an expression at one spot, whole expressions as the result."""
    yield from here(node, names)
    for field, child in ast.iter_fields(node):
        if isinstance(node, ast.Subscript) and (field == "value" or ast.unparse(child) == LOOP_VARIABLE):
            continue  # which step stands there instead is said as such
        if isinstance(child, ast.expr):
            if isinstance(node, ast.Call) and field == "func":
                # (expression).sum(...): the expression is part of the line, the method is not
                if isinstance(child, ast.Attribute):
                    for change in rewrites(child.value, names):
                        func = copy.copy(child)
                        func.value = change.node
                        yield change._replace(node=replaced(node, "func", func))
                continue
            for change in rewrites(child, names):
                yield change._replace(node=replaced(node, field, change.node))
        elif isinstance(child, list) and field == "args":
            for k, item in enumerate(child):
                for change in rewrites(item, names):
                    items = [*child[:k], change.node, *child[k + 1 :]]
                    yield change._replace(node=replaced(node, field, items))


def replaced(node: ast.AST, field: str, value) -> ast.AST:
    new = copy.copy(node)
    setattr(new, field, value)
    return new


def here(node: ast.expr, names: dict[bool, list[str]]) -> Iterator[Change]:
    """The changes of the outermost operation of an expression."""
    text = ast.unparse(node)
    if isinstance(node, ast.BinOp):
        yield from of_an_operation(node, names)
    elif isinstance(node, ast.Subscript):
        if isinstance(node.value, ast.Name) and ast.unparse(node.slice) == LOOP_VARIABLE:
            name = node.value.id
            for other in names[True]:
                if other not in (
                    name,
                    "real",
                ):  # with padding masked before, real is as good as leaving it out
                    yield Change(expression(f"{other}[t]"), "variable", text, f"{other}[t]")
            for index, words in (("0", "first"), ("-1", "last")):
                yield Change(
                    expression(f"{name}[{index}]"),
                    "one step",
                    text,
                    f"{name}[{index}], always that of the {words} step",
                )
            for index in (
                "t - 1",
                f"(t + 1) % len({name})",
                f"min(t + 1, len({name}) - 1)",
                f"len({name}) - 1 - t",
            ):
                yield Change(expression(f"{name}[{index}]"), "step", text, f"{name}[{index}]")
            for index, there in (("t - 1", "t > 0"), ("t + 1", f"t + 1 < len({name})")):
                yield Change(
                    expression(f"({name}[{index}] if {there} else 0 * {text})"),
                    "step",
                    text,
                    f"{name}[{index}]",
                )
            yield Change(expression(f"np.roll({text}, 1, axis=0)"), "rows", text)
            yield Change(expression(f"np.roll({text}, -1, axis=0)"), "rows", text)
            yield Change(expression(f"np.tanh({text})"), "variable", text, f"tanh({text})")
            yield Change(expression(f"(1 - {text})"), "variable", text, f"1 - {text}")
            if name.endswith("_prev"):
                yield Change(
                    expression(f"{name}[max(t, 1)]"), "step", text, f"{name[0]}[0] at the first step"
                )
        elif isinstance(node.value, ast.Name) and ":" in text + "..." and node.value.id in names[False]:
            # dscores[..., None]: another name in the brackets' stead
            for other in names[False]:
                if other != node.value.id:
                    yield Change(
                        replaced(node, "value", ast.Name(other, ast.Load())), "variable", node.value.id, other
                    )
    elif isinstance(node, ast.Name):
        for other in names[False]:
            if other not in (node.id, LOOP_VARIABLE):
                yield Change(expression(other), "variable", node.id, other)
        yield Change(expression(f"np.zeros_like({node.id})"), "zero", node.id)
        yield Change(expression(f"np.ones_like({node.id})"), "ones", node.id)
        if node.id in ("keep", "weights", "real", "p"):
            yield Change(expression(f"(1 - {node.id})"), "variable", node.id, f"1 - {node.id}")
        if node.id == "V":
            yield Change(expression("(V - 1)"), "variable", "V", "V - 1")
        if node.id == "scale":
            yield Change(expression("(1 / scale)"), "scaled", "scale", "1 / scale")
            for letter, size in (
                ("S", "keys.shape[1]"),
                ("S", "memory.shape[1]"),
                ("T", "query.shape[1]"),
                ("B", "len(query)"),
            ):
                yield Change(
                    expression(f"{size} ** -0.5"), "scaled", "scale", f"one over the root of {letter}"
                )
            yield Change(expression("scale**2"), "scaled", "scale", "scale * scale: it is applied twice")
            yield Change(expression("scale**0.5"), "scaled", "scale", "the root of scale")
    elif isinstance(node, ast.Attribute) and node.attr in ("T", "mT"):
        yield Change(node.value, "transpose", text, ast.unparse(node.value))  # runs where it is square
        W = ast.unparse(node.value)
        yield Change(expression(f"untransposed({W})"), "transpose", text, W)
        yield Change(expression(f"{W}.reshape({W}.mT.shape)"), "transpose", text, f"{W} reshaped")
    elif isinstance(node, ast.Call) and text.startswith("np.concatenate(["):
        parts = node.args[0].elts
        stacked = f"np.stack({ast.unparse(node.args[0])}, axis=2).reshape(len({ast.unparse(parts[0])}), -1)"
        yield Change(expression(stacked), "interleaved", text)
        letters = [ast.unparse(part).rsplit("_", 1)[-1] for part in parts]
        for order in itertools.permutations(range(len(parts))):
            if list(order) != sorted(order):
                shuffled = ast.List([parts[k] for k in order], ast.Load())
                new = replaced(node, "args", [shuffled, *node.args[1:]])
                yield Change(new, "order", ", ".join(letters), ", ".join(letters[k] for k in order))
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "sum":
        summed = ast.unparse(node.func.value)
        arguments = {k.arg: ast.unparse(k.value) for k in node.keywords}
        axis, keep = arguments["axis"], arguments.get("keepdims", "False")
        yield Change(expression(f"({summed}).mean(axis={axis}, keepdims={keep})"), "mean", summed)
        yield Change(node.func.value, "sum dropped", summed)
        if summed == "dweights * weights":
            yield Change(
                expression(f"dweights.mean(axis={axis}, keepdims={keep})"), "factor dropped", "weights"
            )
        for k in (0, -1):
            yield Change(
                expression(f"np.take({summed}, [{k}], axis={axis}).sum(axis={axis}, keepdims={keep})"),
                "one row",
                summed,
            )
        for other in ("0", "1", "2", "None", "(0, 2)", "(1, 2)"):
            if other != axis:
                yield Change(
                    expression(f"np.sum({summed}, axis={other}, keepdims={keep})"), "axis", axis, other
                )
