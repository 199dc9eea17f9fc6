"""The few words that the builder itself puts into files, in both languages."""

WORDS = {
    "en": {
        "answer": "Write your answer here.",
        "right": "right",
        "diagnosis": "where is it wrong, and why? hint=1 says where, 2 what kind of mistake, 3 the formula",
        "in_tests": "checks that you see: {checks} (in test_{name}.py; run pytest)",
        "hidden": "hidden check: {check} (points: {points})",
        "comma": ", ",
        "train": "trains a model with your functions: python {name}.py",
        "readme": """# {title}

Expected time: {minutes} minutes. {points} points: {parts}.

Work in **one** of the two, whichever you like, and hand that one in:

* the notebook `{name}.ipynb`: run its cells from the top. A check's cell is red until the task is solved;
* the program `{name}.py`: edit it, and run `pytest` in this folder.

For both, install once what is needed; the wheel, which ends in `.whl`, is from your teacher. From then on no network
is needed.

```sh
python -m pip install minis2s-{version}-py3-none-any.whl pytest jupyterlab{data}
```

`pytest` reads whichever of the two files you saved last.{gradients}

Run here, the checks that you see are for learning. Your marks come from your teacher's run of the same checks and of
further ones, with other numbers; what you print, save or change in other files plays no part there.
""",
        "gradients": """ Of a task with a backward pass it also says {told} the
gradients are wrong. A page with pictures of the differences:

```sh
minis2s gradcheck {name}.py --hint {hint} --html report.html
```""",
        "told": ("whether", "where"),
    },
    "zh": {
        "answer": "请在这里写下你的答案。",
        "right": "正确",
        "diagnosis": "哪里错了，为什么？hint=1 说明位置，2 说明错误的种类，3 给出公式",
        "in_tests": "看得见的检查：{checks}（在 test_{name}.py 里，运行 pytest）",
        "hidden": "看不见的检查：{check}（{points} 分）",
        "comma": "、",
        "train": "用你的函数训练一个模型：python {name}.py",
        "readme": """# {title}

预计用时：{minutes} 分钟。共 {points} 分：{parts}。

从下面两种方式中**任选一种**，并提交那一个文件：

* 笔记本 `{name}.ipynb`：从上往下运行各个单元。检查的单元在任务做对之前一直是红的；
* 程序 `{name}.py`：编辑它，然后在这个文件夹里运行 `pytest`。

两种方式都要先安装一次所需的软件包；以 `.whl` 结尾的安装包由老师提供。此后不需要网络。

```sh
python -m pip install minis2s-{version}-py3-none-any.whl pytest jupyterlab{data}
```

`pytest` 读取两个文件中你最后保存的那一个。{gradients}

在这里运行看得见的检查是为了学习。分数来自老师对你提交的文件的运行：同样这些检查，还有其他检查，用的是别的数；你打印、保存的内容，
或者在其他文件里的改动，在那里都不起作用。
""",
        "gradients": """对有反向传播的任务，它还会说出梯度{told}。要一个带差异图的网页：

```sh
minis2s gradcheck {name}.py --hint {hint} --html report.html
```""",
        "told": ("是否有错", "错在哪里"),
    },
}


def number(points: float) -> str:
    return f"{points:g}"
