"""The changes of one arithmetic operation in a line: a factor or a term dropped, a sign, another derivative.

Each function takes an operation's two sides, as syntax trees and as texts, and yields whole expressions
that may stand in its stead by mistake. changes.py walks through a line and asks here.
"""

import ast
from collections.abc import Iterator
from typing import NamedTuple

LOOP_VARIABLE = "t"
GATE_NAMES = ("i", "f", "o", "g", "r", "u", "n")


class Change(NamedTuple):
    """One rewritten expression: how, and what was there."""

    node: ast.expr
    how: str
    what: str = ""  # the part that was dropped, doubled, replaced
    by: str = ""  # what stands there now


def expression(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


COUNTS = (  # by which the loss may wrongly be divided
    ("len(real)", "the number of steps T"),
    ("real.size", "T * B, padding included"),
    ("(real.size / len(real))", "the batch size B"),
    ("real.sum(axis=0)", "each sentence's own length"),
    ("(real.sum(axis=0) * real.shape[1])", "each sentence's own length and the batch size"),
)


def of_an_operation(node: ast.BinOp, names: dict[bool, list[str]]) -> Iterator[Change]:
    """The changes of `left op right`.

    names: those that may stand for each other, indexed with [t] (True) or not (False).
    """
    left, right = node.left, node.right
    a, b = ast.unparse(left), ast.unparse(right)
    match node.op:
        case ast.Mult():
            yield from of_a_product(left, right, a, b, names)
        case ast.Div():
            yield from of_a_quotient(left, right, b)
        case ast.Add():
            yield from of_a_sum(left, right, a, b, names)
        case ast.Sub():
            yield from of_a_difference(left, right, a, b, names)
        case ast.MatMult():
            yield from of_a_matrix_product(left, a, b)


def of_a_product(
    left: ast.expr, right: ast.expr, a: str, b: str, names: dict[bool, list[str]]
) -> Iterator[Change]:
    """a * b; with b = 1 - y it may be the derivative of the sigmoid, d * y * (1 - y)."""
    yield Change(left, "factor dropped", b)
    yield Change(right, "factor dropped", a)
    if (
        isinstance(left, ast.BinOp)
        and isinstance(left.op, ast.Mult)
        and b == f"1 - {ast.unparse(left.right)}"
    ):
        yield from of_the_sigmoid(ast.unparse(left.left), ast.unparse(left.right), names)


def of_the_sigmoid(d: str, y: str, names: dict[bool, list[str]]) -> Iterator[Change]:
    """d * y * (1 - y): what may be taken for the derivative of the sigmoid."""
    right = f"{y} * (1 - {y})"
    yield Change(expression(d), "derivative", right, "1")
    letter = y.removesuffix("[t]")
    if letter in GATE_NAMES:
        for other in GATE_NAMES:
            if other != letter and other in names[True]:
                yield Change(
                    expression(f"{d} * {other}[t] * (1 - {other}[t])"),
                    "derivative",
                    right,
                    f"that of {other}",
                )
        if f"z_{letter}" in names[True]:
            z = f"z_{letter}[t]"
            yield Change(
                expression(f"{d} * {z} * (1 - {z})"),
                "derivative",
                right,
                f"{z} * (1 - {z}), of the pre-activation",
            )
    yield Change(
        expression(f"{d} * (1 - {y}**2)"),
        "derivative",
        right,
        f"1 - {y}**2, that of tanh",
    )
    yield Change(
        expression(f"{d} * sigmoid({y}) * (1 - sigmoid({y}))"),
        "derivative",
        right,
        f"sigmoid({y}) * (1 - sigmoid({y})): the sigmoid is applied twice",
    )


def of_a_quotient(left: ast.expr, right: ast.expr, b: str) -> Iterator[Change]:
    """a / b; of the loss, the count that it is divided by."""
    yield Change(left, "factor dropped", f"1 / ({b})")
    yield Change(ast.BinOp(left, ast.Mult(), right), "scaled", b, "multiplied, not divided")
    if b == "count":
        for other, words in COUNTS:
            yield Change(ast.BinOp(left, ast.Div(), expression(other)), "count", b, words)
        yield Change(
            ast.BinOp(ast.BinOp(left, ast.Div(), right), ast.Div(), right),
            "count",
            b,
            "the number of tokens, twice",
        )


def of_a_sum(
    left: ast.expr, right: ast.expr, a: str, b: str, names: dict[bool, list[str]]
) -> Iterator[Change]:
    """a + b; in a loop, a term may be added at some steps only."""
    yield Change(left, "term dropped", b)
    yield Change(right, "term dropped", a)
    yield Change(ast.BinOp(left, ast.Sub(), right), "sign", b)
    yield Change(ast.BinOp(right, ast.Sub(), left), "sign", a)
    if LOOP_VARIABLE in names[False]:
        for when, words in (
            ("t == len(x) - 1", "at the last step only"),
            ("t != len(x) - 1", "at every step but the last"),
            ("t != 0", "at every step but the first"),
            ("t == 0", "at the first step only"),
        ):
            yield Change(expression(f"{a} + ({b}) * ({when})"), "sometimes", b, words)
    yield Change(expression(f"2 * ({a}) + {b}"), "doubled", a)
    yield Change(expression(f"{a} + 2 * ({b})"), "doubled", b)


def of_a_difference(
    left: ast.expr, right: ast.expr, a: str, b: str, names: dict[bool, list[str]]
) -> Iterator[Change]:
    """a - b; probs - target is the gradient of the logits, 1 - y**2 the derivative of tanh."""
    yield Change(left, "term dropped", b)
    if a != "1":
        yield Change(ast.UnaryOp(ast.USub(), right), "term dropped", a)
    yield Change(right, "one minus" if a == "1" else "term dropped", a, b)
    yield Change(ast.BinOp(left, ast.Add(), right), "sign", b)
    if (a, b) == ("probs", "target"):
        yield Change(expression("(probs - target) * onehot"), "one column", "probs - target")
        for wrong, words in (
            (
                "(probs - target) * probs * (1 - probs)",
                "times p * (1 - p): the softmax is derived twice",
            ),
            ("probs * (1 - probs)", "p * (1 - p), the derivative of a sigmoid"),
            (
                "(probs * (probs - target - ((probs - target) * probs).sum(axis=-1, keepdims=True)))",
                "the softmax's Jacobian times that: it is applied a second time",
            ),
            ("(-target / probs)", "that of the logarithm alone: the softmax is not derived"),
            ("-target", "without the probabilities"),
        ):
            yield Change(expression(wrong), "derivative", "probs - target", words)
    if a == "1" and isinstance(right, ast.BinOp) and isinstance(right.op, ast.Pow):
        yield from of_tanh(ast.unparse(right.left), names)
    else:
        yield Change(ast.BinOp(right, ast.Sub(), left), "sign", f"{a} - {b}")


def of_tanh(y: str, names: dict[bool, list[str]]) -> Iterator[Change]:
    """1 - y**2: what may be taken for the derivative of tanh."""
    right = f"1 - {y}**2"
    yield Change(
        expression(f"1 - np.tanh({y})**2"),
        "derivative",
        right,
        f"1 - tanh({y})**2: tanh is applied twice",
    )
    yield Change(
        expression(f"{y} * (1 - {y})"),
        "derivative",
        right,
        f"{y} * (1 - {y}), that of the sigmoid",
    )
    yield Change(expression(f"1 - {y}"), "derivative", right, f"1 - {y}")
    yield Change(expression(y), "derivative", right, y)
    yield Change(
        expression(f"np.sqrt(1 - {y} ** 2)"),
        "derivative",
        right,
        f"the root of 1 - {y}**2: 1 / cosh, not squared",
    )
    z = "z" if y == "a" else f"z_{y}"
    if z.removesuffix("[t]") in names[y.endswith("[t]")]:
        yield Change(
            expression(f"1 - {z} ** 2"),
            "derivative",
            right,
            f"1 - {z}**2, of the pre-activation",
        )
    if y == "tanh_c[t]":
        yield Change(
            expression("1 - np.tanh(o[t] * tanh_c[t]) ** 2"),
            "derivative",
            right,
            "1 - tanh(h)**2",
        )


def of_a_matrix_product(left: ast.expr, a: str, b: str) -> Iterator[Change]:
    """a @ b; with a transposed, a sum over a batch or over all queries."""
    yield Change(expression(f"(({b}).mT @ ({a}).mT)"), "transpose", f"{a} @ {b}", f"({b}).T @ ({a}).T")
    yield Change(left, "factor dropped", b)
    yield Change(
        expression(f"(({b}).mT @ ({a}).mT).reshape(({a} @ {b}).shape)"),
        "transpose",
        f"{a} @ {b}",
        "the transpose, reshaped",
    )
    if a.endswith(".T") and not a.endswith(".mT"):
        yield Change(
            expression(f"np.outer(({a[:-2]}).sum(axis=0), ({b}).sum(axis=0))"),
            "axis",
            f"{a} @ {b}",
            "the sums over the batch, taken before the product",
        )
    if a.endswith(".mT"):  # a sum over all queries
        for which, at in (("last", "-1:"), ("first", ":1")):
            yield Change(expression(f"({a})[..., {at}] @ ({b})[:, {at}]"), "one of many", which)
    else:
        yield Change(expression(f"({a}) @ ({b})[:, ::-1]"), "reversed", b)
