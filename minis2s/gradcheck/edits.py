"""All the mistakes that are one small change away from a right backward pass.

`edits(function)` reads the source of a textbook function (textbook.py) and changes it at one spot at a
time: a factor dropped, a term dropped or doubled, another variable, another step, a sign, a transpose,
an axis, an exchanged gate, a line left out. Each Edit can be run, and says in words what it is. The
diagnosis looks for the one whose gradients are the student's.

Source of the idea: mutation testing (DeMillo, Lipton and Sayward 1978), turned around.
"""

import ast
import inspect
from collections.abc import Callable
from functools import cache, cached_property

import numpy as np

from minis2s.gradcheck.changes import (
    RARE,
    assigned,
    interchangeable,
    is_equation,
    loops,
    rare_changes,
    replaced,
    statement_changes,
)
from minis2s.gradcheck.lines import in_every_gate, of_gates, of_several_lines
from minis2s.gradcheck.words import in_words


class Edit:
    """One mistake in a textbook function. Its text and its code are made when they are asked for.

    variable: what the changed line computes; variables: the same where several lines are changed.
    cause: a key of CAUSES. says: the change in words. equation: the comment above the line, the forward
    equation that it undoes.
    """

    def __init__(
        self,
        variable: str,
        cause: str,
        says: str,
        make: Callable,
        right: str | ast.stmt,
        wrong,
        equation: str = "",
        variables: tuple[str, ...] = (),
    ):
        self.variable, self.cause, self.says, self.equation, self.variables = (
            variable,
            cause,
            says,
            equation,
            variables,
        )
        self._make, self._right, self._wrong = make, right, wrong

    @property
    def line(self) -> str:
        """The right line."""
        return in_text(self._right)

    @property
    def wrong(self) -> str:
        """The line as changed; "" where it is left out."""
        return in_text(self._wrong)

    @cached_property
    def function(self) -> ast.FunctionDef:
        """The whole function with the change in it."""
        return self._make()

    @cached_property
    def run(self) -> Callable:
        """The changed function; it takes the arguments of the right one."""
        return compiled(self.function)


def in_text(statement: str | ast.stmt | None) -> str:
    if statement is None or isinstance(statement, str):
        return statement or ""
    return ast.unparse(statement).split("\n")[0]


def untransposed(W: np.ndarray) -> np.ndarray:
    """(H, G H) -> (G H, H): each gate's block as it lies, where the transpose of each belongs."""
    H, columns = W.shape
    if columns % H:
        raise ValueError("no square blocks")
    return np.concatenate([W[:, k : k + H] for k in range(0, columns, H)], axis=0)


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 0.5 * np.tanh(0.5 * z) + 0.5


def without(dz: np.ndarray, k: int, gates: int) -> np.ndarray:
    """dz with the block of gate k set to zero."""
    H = dz.shape[1] // gates
    return np.where(np.arange(dz.shape[1]) // H == k, 0, dz)


def only(dz: np.ndarray, k: int, gates: int) -> np.ndarray:
    """dz with the blocks of all gates but k set to zero."""
    return dz - without(dz, k, gates)


TOOLS = {"np": np, "untransposed": untransposed, "sigmoid": sigmoid, "without": without, "only": only}
GATES = {"lstm_backward": "ifog", "gru_backward": "run", "gru_before_backward": "run"}


@cache
def edits(
    function: Callable, sizes: tuple[tuple[str, str], ...], variable: str, rare: bool = False
) -> list[Edit]:
    """Every single change of the lines that compute `variable` in a textbook function.

    sizes: letters and expressions, ("T", "len(x)"), of numbers by which a line may wrongly be multiplied
    or divided. rare: the changes that few make, instead of the usual ones.
    """
    right, comments, names = (
        syntax_of(function),
        equations_above(inspect.getsource(function)),
        names_of(function),
    )
    found: list[Edit] = []

    def visit(block: list[ast.stmt], rebuilt: Callable[[list[ast.stmt]], ast.FunctionDef]) -> None:
        """Collect the edits of a block; `rebuilt` makes the whole function from a changed copy of it."""
        for n, statement in enumerate(block):

            def add(new: ast.stmt | None, cause: str, says: str, n=n, statement=statement) -> None:
                def make() -> ast.FunctionDef:
                    other = (
                        ast.Pass(lineno=1, col_offset=0) if new is None else ast.fix_missing_locations(new)
                    )
                    return rebuilt([*block[:n], other, *block[n + 1 :]])

                found.append(
                    Edit(variable, cause, says, make, statement, new, comments.get(statement.lineno, ""))
                )

            if isinstance(statement, ast.For):
                if assigned(statement) == variable and not rare:
                    for change in loops(statement):
                        add(replaced(statement, "iter", change.node), change.how, change.what)
                visit(
                    statement.body,
                    lambda body, n=n, statement=statement: rebuilt(
                        [*block[:n], replaced(statement, "body", body), *block[n + 1 :]]
                    ),
                )
            elif (
                isinstance(statement, ast.Assign)
                and is_equation(statement)
                and assigned(statement) == variable
            ):
                text = ast.unparse(statement.value)
                changes = (
                    rare_changes(statement, names) if rare else statement_changes(statement, names, sizes)
                )
                for change in changes:
                    if (change.how in RARE) == rare:
                        add(replaced(statement, "value", change.node), *in_words(variable, change, text))
                if not rare and variable in {
                    name.id for name in ast.walk(statement.value) if isinstance(name, ast.Name)
                }:
                    cause = "mask ignored" if "real" in text else "missing term"
                    add(None, cause, f"the line {ast.unparse(statement)} is left out")

    visit(right.body, lambda body: replaced(right, "body", body))
    return found


@cache
def several(function: Callable, sizes: tuple[tuple[str, str], ...], variables: frozenset[str]) -> list[Edit]:
    """The mistakes that take several lines, where one of them computes one of the `variables`."""
    source = inspect.getsource(function)

    def usual(variable: str) -> list[Edit]:
        return edits(function, sizes, variable)

    candidates = [
        *of_gates(source, GATES.get(function.__name__, "")),
        *in_every_gate(usual, source, variables),
        *of_several_lines(source),
    ]
    return [
        rewritten(source, lines, variable, cause, says)
        for lines, variable, cause, says in candidates
        if variables & {variable, *(right.partition(" = ")[0].partition("[")[0] for right, _ in lines)}
    ]


def variables_of(function: Callable) -> list[str]:
    """What the lines of a textbook function compute, in their order."""
    found = []
    for node in ast.walk(syntax_of(function)):
        if isinstance(node, ast.For) or (isinstance(node, ast.Assign) and is_equation(node)):
            found.append(assigned(node))
    return list(dict.fromkeys(found))


@cache
def names_of(function: Callable) -> dict[bool, list[str]]:
    return interchangeable(syntax_of(function))


def rewritten(source: str, lines: list[tuple[str, str]], variable: str, cause: str, says: str) -> Edit:
    """An edit of one or several lines, each given as (right, wrong)."""

    def make() -> ast.FunctionDef:
        changed = source
        for right, wrong in lines:
            changed = changed.replace(right + "\n", wrong + "\n")
        return ast.parse(changed).body[0]

    variables = tuple(right.partition(" = ")[0] for right, _ in lines) if len(lines) > 1 else ()
    return Edit(variable, cause, says, make, *lines[0], "", variables)


def compiled(function: ast.FunctionDef) -> Callable:
    namespace = dict(TOOLS)
    module = ast.Module([function], type_ignores=[])
    exec(compile(module, f"<{function.name}, changed>", "exec"), namespace)
    return namespace[function.name]


def recorded(function: ast.FunctionDef) -> Callable:
    """The function, but returning every assignment that it made, in order: [(name, t or None, value)].

    Its arguments are those of the function.
    """

    def with_records(block: list[ast.stmt], t: str) -> list[ast.stmt]:
        out = []
        for statement in block:
            if isinstance(statement, ast.For):
                statement = replaced(statement, "body", with_records(statement.body, statement.target.id))
            out.append(statement)
            if isinstance(statement, ast.Assign) and not isinstance(statement.targets[0], ast.Tuple):
                target = ast.unparse(statement.targets[0])
                out.append(
                    ast.parse(f"_records.append(({assigned(statement)!r}, {t}, np.array({target})))").body[0]
                )
        return out

    start = ast.parse("_records = []").body
    body = [*start, *with_records(function.body[:-1], "None"), ast.parse("return _records").body[0]]
    if not isinstance(function.body[-1], ast.Return):
        raise ValueError(f"{function.name} should end with a return")
    new = ast.FunctionDef(function.name, function.args, body, [], None)
    new.type_params = []
    return compiled(ast.fix_missing_locations(new))


@cache
def syntax_of(function: Callable) -> ast.FunctionDef:
    return ast.parse(inspect.getsource(function)).body[0]


def equations_above(source: str) -> dict[int, str]:
    """For each line number, the last comment above it."""
    comments, last = {}, ""
    for number, line in enumerate(source.splitlines(), start=1):
        text = line.strip()
        if text.startswith("#"):
            last = text[1:].strip()
        comments[number] = last
    return comments
