"""The words of the class report, in English and in Chinese."""

from minis2s.errors import UserError

LANGUAGES = ("en", "zh")

# key -> (English, Chinese); {} is filled in
WORDS: dict[str, tuple[str, str]] = {
    "title": ("Class report: {}", "班级报告：{}"),
    "skip": ("Skip to the report", "跳到正文"),
    "contents": ("Contents", "目录"),
    "summary": (
        "Graded: {graded}. Refused: {refused}. Score, of {points}: mean {mean}, median {median}.",
        "已评分：{graded} 份。未能评分：{refused} 份。得分（满分 {points}）：平均 {mean}，中位数 {median}。",
    ),
    "summary none": (
        "Graded: 0. Refused: {refused}. No submission could be graded.",
        "已评分：0 份。未能评分：{refused} 份。没有一份提交可以评分。",
    ),
    "written": (
        "Written answers are not in the score: {n} wait for a reader.",
        "书面题不计入得分：有 {n} 份答案等待批阅。",
    ),
    "layers": ("Protection while grading: {}.", "评分时的隔离层：{}。"),
    "not official": (
        "Graded without file protection (rlimits only) for {n}: such marks are for practice.",
        "其中 {n} 份评分时没有文件隔离（仅 rlimits）：这样的分数只供练习。",
    ),
    "versions": (
        "The results are of {n} versions of the assignment: grade all again to compare them.",
        "这些结果来自作业的 {n} 个版本：要比较，请全部重新评分。",
    ),
    # -- sections
    "scores": ("Scores", "得分"),
    "checks": ("Checks", "各项检查"),
    "wrong": ("Gradients, gates and steps", "梯度、门与时间步"),
    "hints": ("Which hint level helped", "哪一级提示有帮助"),
    "alike": ("Programs that are alike", "相似的程序"),
    "time": ("Time spent grading", "评分用时"),
    "refused": ("Not graded", "未能评分"),
    "students": ("All students", "全部学生"),
    # -- scores
    "histogram": (
        "How many students reached which share of the points: {full} reached all of them, {low} less than half.",
        "各得分段的学生人数：{full} 人满分，{low} 人不到一半。",
    ),
    # -- checks
    "checks caption": (
        "Each check, and how many of the {n} graded students passed it; the hardest of a task first.",
        "每项检查，以及 {n} 名已评分学生中通过的人数；同一任务中最难的在前。",
    ),
    "task": ("task", "任务"),
    "check": ("check", "检查"),
    "seen": ("seen by students", "学生可见"),
    "public": ("yes", "是"),
    "hidden": ("no", "否"),
    "points": ("points", "分值"),
    "right": ("right", "正确"),
    "not right": ("not right", "不正确"),
    "all": ("all", "全部"),
    "how": ("what happened instead", "实际结果"),
    "no checks": ("There are no checks in the results.", "结果中没有检查。"),
    # -- what went wrong
    "wrong intro": (
        "From the diagnosis of each wrong pair of functions. A gradient that is wrong makes those before it wrong as "
        "well: “first” is the first wrong one on the way back from the loss.",
        "来自对每一对错误函数的诊断。一个梯度错了，它之前的也会跟着错：“最先”指从损失往回走遇到的第一个错误。",
    ),
    "no diagnosis": (
        "No program was diagnosed: none was wrong in a task with gradients.",
        "没有程序被诊断：在有梯度的任务中没有错误。",
    ),
    "of": ("{} of {}", "{} / {}"),
    "gradients caption": ("Which gradients are wrong.", "哪些梯度错误。"),
    "gates caption": ("Which gates are named as wrong first.", "最先出错的门。"),
    "steps caption": (
        "At which time step it first goes wrong, counted from 0; backward begins at the last.",
        "最先出错的时间步，从 0 数起；反向从最后一步开始。",
    ),
    "nodes caption": ("Which quantity is wrong first.", "最先出错的量。"),
    "causes caption": ("What kind of mistake it is.", "错误的种类。"),
    "gradient": ("gradient", "梯度"),
    "gate": ("gate", "门"),
    "step": ("step", "时间步"),
    "node": ("quantity", "量"),
    "cause": ("mistake", "错误"),
    "meaning": ("that is", "含义"),
    "diagnosed": ("students, of those diagnosed", "学生（占被诊断者）"),
    # -- hints
    "hints caption": (
        "What students mended between one grading and the next, by the hint level of the feedback that they had.",
        "学生在两次评分之间改正了什么，按所得反馈的提示级别。",
    ),
    "hint": ("hint level", "提示级别"),
    "hint 0": ("0: the numbers alone", "0：只有数值"),
    "hint 1": ("1: where", "1：在哪里"),
    "hint 2": ("2: what kind of mistake", "2：哪种错误"),
    "hint 3": ("3: the formula", "3：公式"),
    "handed in again": ("handed in again", "再次提交"),
    "open": ("checks not right before", "之前不正确的检查"),
    "mended": ("right the next time", "下次正确"),
    "broken": ("right before, wrong the next time", "之前正确、下次错误"),
    "hints warning": (
        "It compares students who needed different hints, and whoever hands in again has also had more time: "
        "it shows what followed a hint, not what the hint did.",
        "这里比较的是需要不同提示的学生，而且再次提交的人也多用了时间：它说明提示之后发生了什么，不能说明是提示的作用。",
    ),
    "no hints": ("Nobody has handed in twice yet.", "还没有人提交两次。"),
    # -- similarity
    "alike warning": (
        "Being alike is no proof of anything. There are few ways to write the same equations, students may learn from "
        "one book, and the checker cannot know who was first. Read the lines side by side and talk to the students "
        "before you decide anything.",
        "相似不能证明任何事。同样的公式写法本来就不多，学生可能读同一本书，程序也无法知道谁先写。在作任何决定之前，请并排阅读代码，"
        "并与学生交谈。",
    ),
    "alike how": (
        "Compared: {n} programs, without names, numbers, comments, docstrings, layout and the order of functions. What "
        "more than half of the others in the class have too does not count.",
        "比较了 {n} 份程序，忽略名称、数字、注释、文档字符串、排版和函数顺序。班上其他人中超过一半也有的内容不计。",
    ),
    "alike given": ("What was handed out does not count either.", "发下去的代码也不计。"),
    "alike not given": (
        "What was handed out is not known here: it may count, so the shares may be too high.",
        "此处不知道发下去的代码：它可能被计入，比例可能偏高。",
    ),
    "alike caption": (
        "Pairs whose shorter program shares at least {share} of what is its own with the other.",
        "较短的程序自有部分至少有 {share} 与另一份相同的各对。",
    ),
    "no alike": (
        "No two programs share {share} or more of what is their own.",
        "没有两份程序自有部分的相同比例达到 {share}。",
    ),
    "no sources": (
        "The programs are not in the folder, so they were not compared.",
        "文件夹中没有程序文本，因此没有比较。",
    ),
    "too short": (
        "Not compared, as nearly all that they hold was handed out or is in more than half of the others too: {}.",
        "未比较，因为其内容几乎全是发下去的代码，或班上其他人中超过一半也有：{}。",
    ),
    "identical": (
        "Of these, {n} programs are the same throughout, names and numbers aside: {who}.",
        "其中 {n} 份程序除名称和数字外完全相同：{who}。",
    ),
    "unreadable": ("Not Python, or too long, not compared: {}.", "不是 Python 或过长，未比较：{}。"),
    "pair": ("students", "学生"),
    "share": ("share", "比例"),
    "unusual": ("how unusual", "有多不寻常"),
    "unusual text": (
        "{n} of {pairs} pairs are as alike or more; the median of all pairs is {usual}",
        "{pairs} 对中有 {n} 对同样或更相似；所有对的中位数为 {usual}",
    ),
    "unusual few": (
        "with so few programs nobody can say what is usual",
        "程序太少，无法说明什么算平常",
    ),
    "more pairs": (
        "{n} more pairs are not shown; report.csv names for each student who is most alike.",
        "另有 {n} 对未列出；report.csv 中写有与每名学生最相似的人。",
    ),
    "side by side": ("Lines side by side: {} and {}", "并排代码：{} 与 {}"),
    "side caption": ("Lines that are alike, as they were handed in.", "相似的代码行，按提交原样。"),
    "lines": ("lines {}–{}", "第 {}–{} 行"),
    "more lines": ("{n} more places are not shown.", "另有 {n} 处未显示。"),
    # -- time
    "time text": (
        "{total} of computing in all; half of the students took {median} or less, the longest {longest}.",
        "总计算时间 {total}；一半学生不超过 {median}，最长 {longest}。",
    ),
    "time caption": ("The students whose grading took longest.", "评分用时最长的学生。"),
    "seconds": ("seconds", "秒"),
    "no time": ("The results do not say how long it took.", "结果中没有用时。"),
    # -- refused, students
    "refused caption": (
        "Submissions that got no score, with the reason.",
        "没有得分的提交及原因。",
    ),
    "no refused": ("Every submission was graded.", "所有提交都已评分。"),
    "student": ("student", "学生"),
    "file": ("file", "文件"),
    "reason": ("reason", "原因"),
    "students caption": ("Each student's score, and what was not right.", "每名学生的得分，以及不正确之处。"),
    "score": ("score", "得分"),
    "place": ("wrong first", "最先出错"),
    "notes": ("notes", "备注"),
    # -- outcomes
    "wrong outcome": ("wrong", "错误"),
    "raised": ("raised an error", "抛出异常"),
    "not written": ("not written", "未写"),
    "missing": ("missing", "缺少函数"),
    "timeout": ("ran out of time", "超时"),
    "too slow": ("as slow as finite differences", "像差分一样慢"),
    "memory": ("too much memory", "内存过多"),
    "died": ("the program died", "程序崩溃"),
    "nonsense": ("no readable answer", "答复无法读取"),
    "not loaded": ("could not be loaded", "无法载入"),
}
MEANINGS_ZH = {  # of gradcheck's CAUSES, which are in English
    "sign": "符号错误",
    "scale": "常数因子错误",
    "normalization": "除以了错误的个数",
    "doubled": "计了两次",
    "missing factor": "乘积中缺少一个因子",
    "wrong derivative": "用了别的激活函数的导数，或没有求导",
    "wrong variable": "用错了变量",
    "missing term": "缺少求和中的一项",
    "extra term": "多了一项",
    "transpose": "矩阵的转置错误",
    "gate order": "门的次序错误",
    "axis": "沿错误的轴求和、平均或 softmax",
    "softmax jacobian": "只用了 softmax 雅可比矩阵的对角线",
    "carry dropped": "状态的梯度没有传给前一步",
    "carry doubled": "状态的梯度传了两次",
    "carry scaled": "状态的梯度传递时因子错误",
    "time shift": "错开一步，或时间方向相反",
    "batch sum": "缺少对批次的求和",
    "overwritten": "应累加处用了赋值",
    "repeated ids": "重复的编号只保留了一个梯度",
    "mask ignored": "填充没有（正确）遮盖",
    "dropout ignored": "缺少 dropout 的掩码或因子",
    "hand-over": "梯度没有传到该到的部分",
    "not cleared": "残留着上一次调用的梯度",
    "stale cache": "反向用了别的前向调用留下的缓存",
    "aliased": "数组被就地修改，而别处还要用",
    "not linear": "反向的结果与所给梯度不成比例",
    "forward": "前向计算的不是所说的内容",
    "optimizer": "更新规则与所说的不同",
    "clipping": "梯度裁剪的规则与所说的不同",
    "search": "搜索没有找到该找到的，或评分不对",
}


class Say:
    """say("scores") in the chosen language; say("of", 3, 12) fills in. Raises UserError for an unknown language."""

    def __init__(self, lang: str):
        if lang not in LANGUAGES:
            raise UserError(
                f"the report is there in {' and '.join(LANGUAGES)}, not in {lang!r}: use --lang en or zh"
            )
        self.lang = lang

    def __call__(self, key: str, *values: object, **named: object) -> str:
        return WORDS[key][LANGUAGES.index(self.lang)].format(*values, **named)

    def outcome(self, outcome: str) -> str:
        """An outcome in words; one that is not known as it is."""
        key = "wrong outcome" if outcome == "wrong" else outcome
        return self(key) if key in WORDS else outcome
