"""The lines of an elementwise kernel, as CuPy takes them, evaluated with NumPy: for machines without a GPU.

What is understood is a small part of C, strictly: where C would compute in silence what nobody meant
(a double because of a bare ``0.5``, a whole number from ``1 / 2``, a sum of float and double), this raises
`KernelError`. Every statement is run for all elements at once, which is the same as every element for
itself as long as no input lies in the memory of an output; whoever calls `run` sees to that.

    statement   := [type] name = expression ;        a type declares a local, which is set once
    expression  := condition ? expression : expression, with || && == != < <= > >= + - * / ! and unary -
    atom        := name | whole number | type(expression or number) | function(expression) | (expression)
"""

import re

import numpy as np

FUNCTIONS = {"exp": np.exp, "log": np.log, "sqrt": np.sqrt, "tanh": np.tanh}
LEVELS = (("||",), ("&&",), ("==", "!="), ("<", "<=", ">", ">="), ("+", "-"), ("*", "/"))
COMPARISONS = {
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
ARITHMETIC = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}
TOKEN = re.compile(r"\s*(?:(\d+\.\d*|\.\d+|\d+|[A-Za-z_]\w*)|(\|\||&&|[=!<>]=|[-+*/!<>=?:();,]))")
RESERVED = re.compile(r"i|n|_\w*")  # CuPy's own, in every kernel


class KernelError(Exception):
    """The lines are not of the language, or would not do in C what they seem to."""


def tokens_of(lines: str) -> list[str]:
    text = re.sub(r"//[^\n]*", "", lines).rstrip()
    tokens, at = [], 0
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None:
            raise KernelError(f"not understood: {text[at : at + 20]!r}")
        tokens.append(match[1] or match[2])
        at = match.end()
    return tokens


def is_whole(x) -> bool:
    """Whether x is a whole number written in the lines: it takes the type of what it meets."""
    return type(x) is int


def common(*operands) -> None:
    """Raises KernelError unless the operands have one dtype, whole numbers aside."""
    dtypes = {np.asarray(x).dtype for x in operands if not is_whole(x)}
    if len(dtypes) > 1:
        raise KernelError(f"operands of several types: {', '.join(sorted(map(str, dtypes)))}")


class Lines:
    """One run: reads the tokens from left to right and computes on the way.

    types: what T and the like stand for.  values: the parameters, by name; those in `outputs` may
    be written. Afterwards the outputs in `values` are what the lines made of them.
    """

    def __init__(self, lines: str, types: dict[str, np.dtype], values: dict, outputs: set[str]):
        self.tokens = tokens_of(lines)
        self.at = 0
        self.types = types
        self.values = values
        self.outputs = outputs

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, expected: str = "") -> str:
        token = self.peek()
        if not token or (expected and token != expected):
            raise KernelError(f"expected {expected or 'more'!r}, got {token or 'the end'!r}")
        self.at += 1
        return token

    def statements(self) -> None:
        while self.peek():
            declared = self.types.get(self.peek())
            if declared is not None:
                self.take()
            name = self.take()
            if RESERVED.fullmatch(name) or not name.isidentifier():
                raise KernelError(f"{name!r} cannot be the name of a variable")
            self.take("=")
            value = self.expression()
            self.take(";")
            if declared is None and name not in self.outputs:
                raise KernelError(f"{name!r} is assigned to, but it is no output")
            if declared is not None and name in self.values:
                raise KernelError(f"{name!r} is declared twice")
            dtype = declared or self.values[name].dtype
            if is_whole(value):
                value = dtype.type(value)
            if np.asarray(value).dtype != dtype:
                raise KernelError(f"{name!r} is {dtype}, but is assigned {np.asarray(value).dtype}")
            if declared is not None:
                self.values[name] = value
            else:
                self.values[name][...] = value

    def expression(self):
        condition = self.binary(0)
        if self.peek() != "?":
            return condition
        self.take("?")
        yes = self.expression()
        self.take(":")
        no = self.expression()
        self.boolean(condition)
        common(yes, no)
        return np.where(condition, yes, no)

    def binary(self, level: int):
        if level == len(LEVELS):
            return self.unary()
        left = self.binary(level + 1)
        while self.peek() in LEVELS[level]:
            sign = self.take()
            right = self.binary(level + 1)
            left = self.operation(sign, left, right)
        return left

    def operation(self, sign: str, left, right):
        if sign in ("||", "&&"):
            self.boolean(left, right)
            return np.logical_or(left, right) if sign == "||" else np.logical_and(left, right)
        if is_whole(left) and is_whole(right):
            raise KernelError(f"two whole numbers: write the result of {left} {sign} {right}")
        common(left, right)
        if sign in COMPARISONS:
            return COMPARISONS[sign](left, right)
        if any(not is_whole(x) and np.asarray(x).dtype.kind != "f" for x in (left, right)):
            raise KernelError(f"arithmetic ({sign}) is for floating-point numbers")
        return ARITHMETIC[sign](left, right)

    def boolean(self, *operands) -> None:
        if any(is_whole(x) or np.asarray(x).dtype != bool for x in operands):
            raise KernelError("a condition must be boolean")

    def unary(self):
        if self.peek() == "-":
            self.take()
            operand = self.unary()
            if not is_whole(operand) and np.asarray(operand).dtype.kind != "f":
                raise KernelError("arithmetic (-) is for floating-point numbers")
            return -operand
        if self.peek() == "!":
            self.take()
            operand = self.unary()
            self.boolean(operand)
            return np.logical_not(operand)
        return self.atom()

    def atom(self):
        token = self.take()
        if token == "(":
            value = self.expression()
            self.take(")")
            return value
        if token.isdigit():
            return int(token)
        if token in self.types:
            return self.cast(self.types[token])
        if token in FUNCTIONS:
            self.take("(")
            argument = self.expression()
            self.take(")")
            if is_whole(argument) or np.asarray(argument).dtype.kind != "f":
                raise KernelError(f"{token} is for floating-point numbers")
            return FUNCTIONS[token](argument)
        if token in self.values:
            value = self.values[token]
            # a copy: the output may be written by a later statement, not what was read here
            return value.copy() if token in self.outputs else value
        if re.fullmatch(r"\d*\.\d*", token):
            raise KernelError(f"{token} is a double in C, and makes the others doubles: write T({token})")
        raise KernelError(f"unknown name {token!r}")

    def cast(self, dtype: np.dtype):
        self.take("(")
        if re.fullmatch(r"\d+\.\d*|\.\d+", self.peek()):
            value = float(self.take())
        else:
            value = self.expression()
        self.take(")")
        return dtype.type(value) if isinstance(value, int | float) else np.asarray(value).astype(dtype)


def run(lines: str, types: dict[str, np.dtype], values: dict, outputs: set[str]) -> None:
    """Run the statements; outputs are written in place. Raises KernelError."""
    with np.errstate(all="ignore"):
        Lines(lines, {"bool": np.dtype(bool), **types}, values, outputs).statements()


def evaluate(expression: str, types: dict[str, np.dtype], values: dict):
    """The value of a single expression. Raises KernelError."""
    reader = Lines(expression, {"bool": np.dtype(bool), **types}, values, set())
    with np.errstate(all="ignore"):
        value = reader.expression()
    if reader.peek():
        raise KernelError(f"expected the end, got {reader.peek()!r}")
    return value
