"""All the mistakes that are one small change away from a right backward pass.

`edits(function)` reads the source of a textbook function (textbook.py) and changes it at one spot at a
time: a factor dropped, a term dropped or doubled, another variable, another step, a sign, a transpose,
an axis, an exchanged gate, a line left out. Each Edit can be run, and says in words what it is. The
diagnosis looks for the one whose gradients are the student's.

Source of the idea: mutation testing (DeMillo, Lipton and Sayward 1978), turned around.
"""

import ast
import copy
import inspect
import itertools
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np


class Edit(NamedTuple):
    line: str  # the right line
    wrong: str  # the line as changed; "" where it is left out
    equation: str  # the comment above the line: the forward equation that it undoes
    variable: str  # what the line computes
    cause: str  # a key of CAUSES
    says: str  # the change in words
    run: Callable  # the changed function, same arguments


class Change(NamedTuple):
    """One rewritten expression: how, and what was there."""

    node: ast.expr
    how: str
    what: str = ""  # the part that was dropped, doubled, replaced
    by: str = ""  # what stands there now


# What a line is about, by the name that it computes.
CARRIES = {"dh", "dc", "dh_prev", "dc_prev", "dh_kept", "dc_kept"}
LOOP_VARIABLE = "t"


def untransposed(W: np.ndarray) -> np.ndarray:
    """(H, G H) -> (G H, H): each gate's block as it lies, where the transpose of each belongs."""
    H, columns = W.shape
    if columns % H:
        raise ValueError("no square blocks")
    return np.concatenate([W[:, k : k + H] for k in range(0, columns, H)], axis=0)


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 0.5 * np.tanh(0.5 * z) + 0.5


TOOLS = {"np": np, "untransposed": untransposed, "sigmoid": sigmoid}


@lru_cache(maxsize=None)
def edits(function: Callable, sizes: tuple[str, ...] = ()) -> list[Edit]:
    """Every single change of a textbook function.

    sizes: names of whole numbers, among the function's own arguments or constants of the run (see
    `with_sizes`), by which a line may wrongly be multiplied or divided.
    """
    source = inspect.getsource(function)
    tree = ast.parse(source)
    body = tree.body[0].body
    comments = equations_above(source)
    shaped = interchangeable(tree.body[0])
    found: list[Edit] = []

    def compiled() -> Callable:
        namespace = dict(TOOLS) | {size: 1 for size in sizes}
        exec(compile(tree, f"<{function.__name__}, changed>", "exec"), namespace)
        return namespace[function.__name__]

    def add(old: ast.stmt, new: ast.stmt | None, cause: str, says: str) -> None:
        found.append(
            Edit(
                ast.unparse(old).split("\n")[0],
                "" if new is None else ast.unparse(new).split("\n")[0],
                comments.get(old.lineno, ""),
                assigned(old),
                cause,
                says,
                compiled(),
            )
        )

    def visit(block: list[ast.stmt]) -> None:
        for n, statement in enumerate(block):
            if isinstance(statement, ast.For):
                visit(statement.body)
                for change in loops(statement):
                    block[n] = ast.fix_missing_locations(replaced(statement, "iter", change.node))
                    add(statement, block[n], change.how, change.what)
                    block[n] = statement
            elif isinstance(statement, ast.Assign) and is_equation(statement):
                variable = assigned(statement)
                for change in statement_changes(statement, shaped, sizes):
                    wrong = copy.copy(statement)
                    wrong.value = change.node
                    block[n] = ast.fix_missing_locations(wrong)
                    add(statement, wrong, *in_words(variable, change, ast.unparse(statement.value)))
                    block[n] = statement
                if variable in {name.id for name in ast.walk(statement.value) if isinstance(name, ast.Name)}:
                    block[n] = ast.Pass(lineno=statement.lineno, col_offset=0)
                    cause = "mask ignored" if "real" in ast.unparse(statement.value) else "missing term"
                    add(statement, None, cause, f"the line {ast.unparse(statement)} is left out")
                    block[n] = statement

    visit(body)
    return found


def with_sizes(edit: Edit, sizes: dict[str, int]) -> Callable:
    """The changed function, with the values of the sizes that its lines may use."""
    edit.run.__globals__.update(sizes)
    return edit.run


def is_equation(statement: ast.Assign) -> bool:
    """Is it a line of mathematics, and not one that makes room for results or measures a size?"""
    value = ast.unparse(statement.value)
    return not isinstance(statement.targets[0], ast.Tuple) and not value.startswith(("np.zeros_like", "probs.shape"))


def assigned(statement: ast.stmt) -> str:
    """The name that a line computes; of a loop, its variable."""
    target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
    while isinstance(target, ast.Subscript):
        target = target.value
    return target.id


def equations_above(source: str) -> dict[int, str]:
    """For each line number, the last comment above it."""
    comments, last = {}, ""
    for number, line in enumerate(source.splitlines(), start=1):
        text = line.strip()
        if text.startswith("#"):
            last = text[1:].strip()
        comments[number] = last
    return comments


def interchangeable(function: ast.FunctionDef) -> dict[bool, list[str]]:
    """Names that may be mistaken for each other: those indexed with [t], and the others.

    Whether the shapes fit is found out by running the change: one that does not run is no candidate.
    """
    over_time, plain = set(), set()
    for node in ast.walk(function):
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
            over_time.add(node.value.id)
        elif isinstance(node, ast.Name) and node.id not in TOOLS:
            plain.add(node.id)
    plain |= {arg.arg for arg in function.args.args}
    over_time |= {arg.arg for arg in function.args.args if arg.arg in ("h", "c", "h_prev", "n", "u")}
    return {True: sorted(over_time), False: sorted(plain - over_time - {"range", "reversed", "len"})}


# -- the changes of one statement --------------------------------------------------------------------


def loops(statement: ast.For) -> Iterator[Change]:
    """A loop that runs in the other direction, or misses a step."""
    text = ast.unparse(statement.iter)
    if not text.startswith("reversed(range("):
        return
    inner = text[len("reversed(range(") : -2]
    yield Change(expression(f"range({inner})"), "time shift", "the loop runs forward in time, from the first step to the last")
    yield Change(expression(f"reversed(range({inner} - 1))"), "time shift", "the loop leaves out the last step")
    yield Change(expression(f"reversed(range(1, {inner}))"), "time shift", "the loop leaves out the first step")


def expression(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def statement_changes(statement: ast.Assign, names: dict[bool, list[str]], sizes) -> Iterator[Change]:
    value = statement.value
    yield from rewrites(value, names)
    text = ast.unparse(value)
    yield Change(expression(f"-({text})"), "sign")
    for factor in ("2", "0.5"):
        yield Change(expression(f"{factor} * ({text})"), "scaled", text, f"times {factor}")
    for size in sizes:
        yield Change(expression(f"({text}) / {size}"), "scaled", text, f"divided by {size}")
        yield Change(expression(f"({text}) * {size}"), "scaled", text, f"times {size}")


def rewrites(node: ast.expr, names: dict[bool, list[str]]) -> Iterator[Change]:
    """Every change of an expression at one spot, whole expressions as the result."""
    yield from here(node, names)
    for field, child in ast.iter_fields(node):
        if isinstance(child, ast.expr) and not (isinstance(node, ast.Subscript) and field == "value"):
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
        left, right = node.left, node.right
        a, b = ast.unparse(left), ast.unparse(right)
        yield from of_an_operation(node, left, right, a, b)
    elif isinstance(node, ast.Subscript):
        if isinstance(node.value, ast.Name) and ast.unparse(node.slice) == LOOP_VARIABLE:
            name = node.value.id
            for other in names[True]:
                if other != name:
                    yield Change(expression(f"{other}[t]"), "variable", text, f"{other}[t]")
            for index in ("t - 1", f"min(t + 1, len({name}) - 1)", f"len({name}) - 1 - t"):
                yield Change(expression(f"{name}[{index}]"), "step", text, f"{name}[{index}]")
            yield Change(expression(f"np.tanh({text})"), "variable", text, f"tanh({text})")
    elif isinstance(node, ast.Name):
        for other in names[False]:
            if other != node.id:
                yield Change(expression(other), "variable", node.id, other)
        yield Change(expression(f"np.zeros_like({node.id})"), "zero", node.id)
    elif isinstance(node, ast.Attribute) and node.attr in ("T", "mT"):
        yield Change(node.value, "transpose", text, ast.unparse(node.value))
        yield Change(expression(f"untransposed({ast.unparse(node.value)})"), "transpose", text, ast.unparse(node.value))
    elif isinstance(node, ast.Call) and text.startswith("np.concatenate(["):
        parts = node.args[0].elts
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
        for k in (0, -1):
            yield Change(expression(f"np.take({summed}, [{k}], axis={axis}).sum(axis={axis}, keepdims={keep})"), "one row", summed)
        for other in ("0", "1", "2", "None", "(0, 2)", "(1, 2)"):
            if other != axis:
                yield Change(
                    expression(f"np.sum({summed}, axis={other}, keepdims={keep})"), "axis", axis, other
                )


def of_an_operation(node: ast.BinOp, left: ast.expr, right: ast.expr, a: str, b: str) -> Iterator[Change]:
    def again(op: ast.operator, left=left, right=right) -> ast.expr:
        return ast.BinOp(left, op, right)

    match node.op:
        case ast.Mult():
            yield Change(left, "factor dropped", b)
            yield Change(right, "factor dropped", a)
            # d * y * (1 - y), the derivative of the sigmoid
            if isinstance(left, ast.BinOp) and isinstance(left.op, ast.Mult) and b == f"1 - {ast.unparse(left.right)}":
                d, y = ast.unparse(left.left), ast.unparse(left.right)
                yield Change(expression(f"{d}"), "derivative", f"{y} * (1 - {y})", "1")
                yield Change(expression(f"{d} * (1 - {y}**2)"), "derivative", f"{y} * (1 - {y})", f"1 - {y}**2, that of tanh")
                yield Change(
                    expression(f"{d} * sigmoid({y}) * (1 - sigmoid({y}))"),
                    "derivative", f"{y} * (1 - {y})", f"sigmoid({y}) * (1 - sigmoid({y})): the sigmoid is applied twice",
                )
        case ast.Div():
            yield Change(left, "factor dropped", f"1 / ({b})")
            yield Change(again(ast.Mult()), "scaled", b, "multiplied, not divided")
            if b == "count":
                for other in ("len(real)", "real.size", "(real.size / len(real))"):
                    yield Change(again(ast.Div(), right=expression(other)), "count", b, {
                        "len(real)": "the number of steps T", "real.size": "T * B, padding included",
                    }.get(other, "the batch size B"))
                yield Change(again(ast.Div(), left=again(ast.Div())), "count", b, "the number of tokens, twice")
        case ast.Add():
            yield Change(left, "term dropped", b)
            yield Change(right, "term dropped", a)
            yield Change(again(ast.Sub()), "sign", b)
            yield Change(expression(f"2 * ({a}) + {b}"), "doubled", a)
            yield Change(expression(f"{a} + 2 * ({b})"), "doubled", b)
        case ast.Sub():
            yield Change(left, "term dropped", b)
            yield Change(right, "term dropped", a)
            yield Change(again(ast.Add()), "sign", b)
            if a == "1" and isinstance(right, ast.BinOp) and isinstance(right.op, ast.Pow):
                y = ast.unparse(right.left)
                yield Change(expression(f"1 - np.tanh({y})**2"), "derivative", f"1 - {y}**2", f"1 - tanh({y})**2: tanh is applied twice")
                yield Change(expression(f"{y} * (1 - {y})"), "derivative", f"1 - {y}**2", f"{y} * (1 - {y}), that of the sigmoid")
                yield Change(expression(f"1 - {y}"), "derivative", f"1 - {y}**2", f"1 - {y}")
            else:
                yield Change(again(ast.Sub(), right, left), "sign", f"{a} - {b}")
        case ast.MatMult():
            yield Change(expression(f"(({b}).mT @ ({a}).mT)"), "transpose", f"{a} @ {b}", f"({b}).T @ ({a}).T")


# -- what a change means ---------------------------------------------------------------------------------


def in_words(variable: str, change: Change, line: str) -> tuple[str, str]:
    """(cause, sentence) for a change in the line that computes `variable`."""
    how, what, by = change.how, change.what, change.by
    name = variable
    is_weight = name.startswith(("dW", "db", "dv")) and name not in ("dvalues",)
    accumulates = line.startswith(f"{name} + ") or line.startswith(f"{name}[")
    match how:
        case "factor dropped":
            if "real" in what:
                return "mask ignored", f"{name} is not masked: the factor {what} is left out"
            if what in ("keep", "1 / (1 - p)"):
                return "dropout ignored", f"{name} lacks the factor {what}"
            if what == "scale" or "count" in what:
                return "scale" if what == "scale" else "normalization", f"{name} lacks the factor {what}"
            if what.startswith("1 - ") and ("dz" in name or "tanh_c" in what):
                return "wrong derivative", f"the derivative of the activation, {what}, is left out in {name}"
            if name in ("dc_prev", "dh_prev"):
                return "carry scaled", f"{name} is handed back without the factor {what}"
            return "missing factor", f"{name} lacks the factor {what}"
        case "derivative":
            return "wrong derivative", f"in {name} the derivative {what} is taken as {by}"
        case "term dropped" | "zero":
            if what == "taken":
                return "softmax jacobian", "only the diagonal of the softmax's Jacobian is used: the term that a raised score takes from all the others is left out"
            if "kept" in what:
                return "mask ignored", f"the gradient {what} that a padded step hands on is lost"
            if is_weight and what == name and accumulates:
                return "overwritten", f"{name} is overwritten where it should be added to"
            if what.startswith(f"{name}[") and is_weight:
                return "repeated ids", "of an id that comes several times only the last gradient is kept: = stands where += belongs"
            if (what in CARRIES and name in CARRIES) or "@ Wh" in what:
                return "carry dropped", f"{name} lacks {what}, the gradient that comes from the later step"
            return "missing term", f"{name} lacks the term {what}"
        case "doubled":
            if is_weight and what == name:
                return "scale", f"{name} is doubled at every step"
            if (what in CARRIES and name in CARRIES) or "@ Wh" in what:
                return "carry doubled", f"in {name} the term {what} is added twice"
            return "doubled", f"in {name} the term {what} is added twice"
        case "sign":
            return "sign", f"the sign of {what or name} is wrong" + (f" in {name}" if what else "")
        case "scaled":
            if by.startswith("divided by B") and is_weight:
                return "batch sum", f"{name} is divided by the batch size: the mean over the batch where the sum belongs"
            if by.startswith(("divided by", "times T", "times B", "times N")) and by[-1] in "BTNS":
                return "normalization", f"{name} is {by}"
            if name in CARRIES and name.endswith("prev"):
                return "carry scaled", f"{name} is {by}"
            return "scale", f"{name} is {by}"
        case "count":
            return "normalization", f"divided by {by}, where the number of real tokens belongs"
        case "mean":
            return ("batch sum" if is_weight else "axis"), f"{name} is the mean of {what} where the sum belongs"
        case "one row":
            return ("batch sum" if is_weight else "axis"), f"{name} takes only one row of {what}: the sum is forgotten"
        case "axis":
            return "axis", f"{name} sums over axis {by} where axis {what} belongs"
        case "order":
            return "gate order", f"the gates are put together in the order {by}, where {what} belongs"
        case "transpose":
            return "transpose", f"{name} is computed with {by} where {what} belongs"
        case "step":
            return "time shift", f"{name} uses {by}, of another step, where {what} belongs"
        case "variable":
            return "wrong variable", f"{name} uses {by} where {what} belongs"
    raise ValueError(f"no words for {how}")
