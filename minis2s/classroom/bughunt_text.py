"""A student's bug hunt as the source of an assignment: what it is about, the code, the symptom, three questions."""

import ast
import re
import textwrap
from typing import NamedTuple

from minis2s.classroom.bughunt_checks import SIZES, mending_check, number_check
from minis2s.classroom.bughunt_names import Names

POINTS = {"place": 3, "explanation": 3, "mending": (1, 3)}
MINUTES = 45
TITLES = {
    "rnn": ("a recurrent network", "循环网络"),
    "lstm": ("an LSTM", "LSTM"),
    "gru": ("a GRU", "GRU"),
    "attention": ("attention", "注意力"),
    "cross_entropy": ("softmax cross-entropy", "softmax 交叉熵"),
}


class Sheet(NamedTuple):
    """All that a student's hunt consists of."""

    student: str  # as the class list has the name
    task: str
    bug: str  # its name in the catalogue
    names: Names
    right: str  # the code without the bug
    wrong: str  # with it
    lines: tuple[int, ...]  # of the bug, in `wrong`
    sizes: tuple[int, ...]
    symptom: tuple[tuple[str, float], ...]  # (gradient, its largest relative error, 0 where it is right)
    choices: tuple[tuple[str, str], ...]  # explanations, in English and Chinese
    choice: int  # the right one, from 1


def source(sheet: Sheet) -> str:
    """The source of the student's assignment, with all answers."""
    cells = [
        *texts(*opening(sheet), options=f"minutes={MINUTES}"),
        code(sheet.wrong),
        *texts(*symptom(sheet)),
        code(asked(sheet)),
        *texts(*listing(sheet)),
        answer("place", number_answer("place", "The number of the line with the bug.", sheet.lines[0])),
        check("hidden", "place", "the line", POINTS["place"], number_check("place", sheet.lines, "not the line of the bug")),
        *texts(*question(sheet)),
        answer("explanation", number_answer("explanation", "The number of the explanation.", sheet.choice)),
        check(
            "hidden", "explanation", "the choice", POINTS["explanation"],
            number_check("explanation", (sheet.choice,), "not what is wrong here"),
        ),
        *texts(*mending(sheet)),
        answer("mending", with_holes(sheet.right)),
        check("public", "mending", "your sizes", POINTS["mending"][0], mending_check(sheet.task, sheet.names, sheet.sizes)),
        check("hidden", "mending", "other sizes", POINTS["mending"][1], mending_check(sheet.task, sheet.names, None)),
    ]  # fmt: skip
    return "\n\n".join(cells) + "\n"


# -- cells -----------------------------------------------------------------------------------------------------


def texts(english: str, chinese: str, options: str = "") -> list[str]:
    """A text cell in both languages."""
    cells = []
    for lang, text in (("en", english), ("zh", chinese)):
        lines = [f"# {line}".rstrip() for line in text.strip().split("\n")]
        cells.append("\n".join([f'# %% [markdown] lang="{lang}" {options}'.rstrip(), *lines]))
    return cells


def code(text: str) -> str:
    return f"# %%\n{text.strip()}"


def answer(task: str, text: str) -> str:
    return f'# %% tags=["answer"] task="{task}"\n{text.strip()}'


def check(role: str, task: str, name: str, points: int, text: str) -> str:
    return f'# %% tags=["{role}"] task="{task}" check="{name}" points={points}\n{text.strip()}'


def number_answer(name: str, says: str, number: int) -> str:
    return f'def {name}():\n    """{says}"""\n    # BEGIN SOLUTION\n    return {number}\n    # END SOLUTION'


def with_holes(text: str) -> str:
    """The code with a solution to be written in each function, under its docstring."""
    lines = text.strip().split("\n")
    for node in reversed(ast.parse(text.strip()).body):
        if isinstance(node, ast.FunctionDef):
            lines.insert(node.end_lineno, "    # END SOLUTION")
            lines.insert(node.body[0].end_lineno, "    # BEGIN SOLUTION")
    return "\n".join(lines)


# -- texts -----------------------------------------------------------------------------------------------------


def opening(sheet: Sheet) -> tuple[str, str]:
    english, chinese = TITLES[sheet.task]
    total = POINTS["place"] + POINTS["explanation"] + sum(POINTS["mending"])
    student = plain(sheet.student)
    spaced = re.sub(r"^(?=[A-Za-z])|(?<=[A-Za-z])$", " ", chinese)  # between Chinese and Latin letters
    return (
        f"""
# Bug hunt: {english}

For {student}.

Somebody wrote {english} by hand, with its backward pass, and planted one bug there. The forward pass is right.
Each of you has another bug, or the same under other names: what your neighbour finds is not in your code.

1. **Find it** ({POINTS["place"]} points): in which line is it?
2. **Explain it** ({POINTS["explanation"]} points): which of five sentences says what is wrong?
3. **Mend it** ({sum(POINTS["mending"])} points): the gradients have to be right, for all sizes.

Together {total} points. Nothing but paper, a pen and NumPy is needed. Compare each line of the backward pass with
the line of the forward pass that it undoes; the comments say which one that is, and the comments are right.
""",
        f"""
# 找错：{chinese}

给 {student}。

有人手写了{spaced}和它的反向传播，并在反向传播里埋下了一个错误。前向传播是对的。
每个人的错误都不一样，或者名字不一样：同学找到的，不在你的代码里。

1. **找出来**（{POINTS["place"]} 分）：错在哪一行？
2. **说明白**（{POINTS["explanation"]} 分）：五句话里哪一句说出了错在哪里？
3. **改正它**（{sum(POINTS["mending"])} 分）：对任何大小，梯度都要正确。

一共 {total} 分。只需要纸、笔和 NumPy。把反向传播的每一行与它所还原的前向传播的那一行对照；
注释说明了是哪一行，而注释是对的。
""",
    )


def plain(text: str) -> str:
    """A name as text that Markdown and HTML leave alone."""
    return "".join(c if c.isalnum() or c in " .,-@·'" else "\\" + c if c not in "<>&" else " " for c in text)


def symptom(sheet: Sheet) -> tuple[str, str]:
    rows = [(name, f"{error:.1g}" if error else "") for name, error in sheet.symptom]
    table_en = "\n".join(f"| `{n}` | {'wrong, relative error ' + e if e else 'right'} |" for n, e in rows)
    table_zh = "\n".join(f"| `{n}` | {'错，相对误差 ' + e if e else '对'} |" for n, e in rows)
    sizes = ", ".join(
        f"{sheet.names(letter)} = {size}" for letter, size in zip(SIZES[sheet.task], sheet.sizes, strict=True)
    )
    return (
        f"""
## The symptom

With the sizes {sizes}, and padding in the batch, backward returns:

| gradient | |
|---|---|
{table_en}

The cell below lets the checker measure once more, with inputs of its own. It goes by the order of the arguments
and calls them by their usual names.
""",
        f"""
## 症状

取 {sizes}，批里有填充，反向传播给出：

| 梯度 | |
|---|---|
{table_zh}

下面的单元让检查器用它自己的输入再测一次。它按参数的次序对应，并用通常的名字称呼它们。
""",
    )


def asked(sheet: Sheet) -> str:
    forward, backward = (sheet.names(f"{sheet.task}_{half}") for half in ("forward", "backward"))
    return (
        "from minis2s import gradcheck\n\n"
        f'print(gradcheck(({forward}, {backward}), kind="{sheet.task}", hint=0))'
    )


def listing(sheet: Sheet) -> tuple[str, str]:
    """The backward half of the code with the numbers of its lines, and the first question."""
    lines = sheet.wrong.strip().split("\n")
    functions = [node for node in ast.parse(sheet.wrong).body if isinstance(node, ast.FunctionDef)]
    forward = sheet.names(f"{sheet.task}_forward")
    first = next(node.end_lineno for node in functions if node.name == forward) + 3
    numbered = "\n".join(f"{n:3}  {line}".rstrip() for n, line in enumerate(lines, 1) if n >= first)
    return (
        f"""
## 1. Where?

The backward pass once more, with the numbers of its lines (as they are in the cell of the code):

```
{numbered}
```

Let `place` return the number of the line with the bug. Where two lines are wrong together, either will do.
""",
        f"""
## 1. 在哪里？

再看一遍反向传播，带上行号（与代码单元里的行号一致）：

```
{numbered}
```

让 `place` 返回错误所在行的行号。如果两行是一起错的，写哪一行都可以。
""",
    )


def question(sheet: Sheet) -> tuple[str, str]:
    english, chinese = ("\n".join(f"{n}. {c[i]}" for n, c in enumerate(sheet.choices, 1)) for i in (0, 1))
    return (
        f"""
## 2. Why?

What is wrong? Let `explanation` return the number of the sentence.

{english}
""",
        f"""
## 2. 为什么？

错在哪里？让 `explanation` 返回那句话的编号。

{chinese}
""",
    )


def mending(sheet: Sheet) -> tuple[str, str]:
    return (
        textwrap.dedent("""
        ## 3. Mend it

        Copy the cell of the code over the one below, whole, and mend it there. Names and arguments stay as they are.
        """),
        textwrap.dedent("""
        ## 3. 改正它

        把代码单元整个复制过来，盖掉下面的单元，并在这里改正。名字和参数保持不变。
        """),
    )
