"""What a student gets back: one static page, with the marks, what each check saw, and the hints allowed.

No script, no network, and nothing that the student wrote but names, answers and messages, all of them as plain
text. The looks are those of the gradient checker's report, in light and dark.
"""

from collections.abc import Iterable

from minis2s.gradcheck.heatmap import plain
from minis2s.gradcheck.html_style import PAGE_STYLE, STYLE

GRADED = "graded"
REVIEW = "review: "  # begins a note that is for the teacher alone
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
GOOD, BAD, PART = ("good", "\N{CHECK MARK}"), ("bad", "\N{BALLOT X}"), ("unsure", "\N{VULGAR FRACTION ONE HALF}")
HINTS = (("Where is it?", "在哪里？"), ("What kind of mistake is it?", "是哪一类错误？"), ("Which line is it?", "是哪一行？"))
RULES = """
.gradcheck [lang=zh]{color:var(--soft-t);font-weight:400}
.gradcheck pre{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--soft);color:var(--page-t);padding:.6em .8em;
 border-radius:6px;font:.9em/1.5 ui-monospace,Consolas,monospace;margin:.4em 0}
.gradcheck .checks{width:100%}.gradcheck .checks td{overflow-wrap:anywhere}
.gradcheck .points{white-space:nowrap;text-align:right}
@container (max-width:640px){
 .gradcheck .checks,.gradcheck .checks tbody{display:block}.gradcheck .checks thead{position:absolute;left:-100vw}
 .gradcheck .checks tr{display:grid;grid-template-columns:1fr auto auto;border-bottom:1px solid var(--line);padding:.2em 0}
 .gradcheck .checks td{border:0}.gradcheck .checks td:last-child{grid-column:1/-1}.gradcheck .checks td:empty{display:none}
}
"""


def page_of(result: dict, title: dict[str, str]) -> str:
    """The page for one student's result. title: of the assignment, by language."""
    parts = [headline(result, title)]
    if result["status"] != GRADED:
        parts.append(refusal(result))
    notes = for_students(result["notes"])
    if notes:
        items = "".join(f"<li>{plain(note)}</li>" for note in notes)
        parts.append(f"<h3>{both('What was noticed while it was read', '读取时注意到的事')}</h3><ul>{items}</ul>")
    parts += [task_part(task) for task in result["tasks"]]
    parts += [written_part(question) for question in result["written"]]
    parts.append(foot(result))
    name = plain(f"{result['student']}: {title.get('en') or result['assignment']}")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer">'
        f'<meta name="color-scheme" content="light dark"><title>{name}</title>'
        f"<style>{STYLE}\n{PAGE_STYLE}{RULES}</style></head>\n"
        f'<body><main class="gradcheck" lang="en">{"".join(parts)}</main></body></html>\n'
    )


def for_students(notes: Iterable[str]) -> list[str]:
    """The notes without those for the teacher alone."""
    return [note for note in notes if not note.startswith(REVIEW)]


def both(english: str, chinese: str) -> str:
    """A heading in both languages."""
    return f'{plain(english)} <span lang="zh">{plain(chinese)}</span>'


def headline(result: dict, title: dict[str, str]) -> str:
    name = title.get("en") or result["assignment"]
    chinese = f'<p lang="zh">{plain(title["zh"])}</p>' if title.get("zh") else ""
    colour, sign = mark(result["score"], result["points"])
    points = f"{result['score']:g} / {result['points']:g}"
    file = f" ({plain(result['file'])})" if result["file"] else ""
    return (
        f"<h2>{plain(name)}</h2>{chinese}<p>{plain(result['student'])}{file}: "
        f'<span class="badge {colour}">{sign} {points} {both("points", "分")}</span></p>'
    )


def mark(score: float, points: float) -> tuple[str, str]:
    return GOOD if score >= points else BAD if score <= 0 else PART


def refusal(result: dict) -> str:
    return (
        f"<h3>{both('It could not be graded', '无法评分')}</h3>"
        f'<p><span class="badge bad">{BAD[1]}</span> {plain(result["reason"])}</p>'
    )


def task_part(task: dict) -> str:
    """The checks of a task, and where and why, as far as hints are allowed."""
    colour, sign = mark(task["score"], task["points"])
    rows = "".join(map(check_row, task["checks"]))
    heads = "".join(
        f"<th>{both(*names)}</th>"
        for names in (("check", "检查"), ("result", "结果"), ("points", "分"), ("what was seen", "所见"))
    )
    return (
        f'<section><h3>{plain(task["task"])} <span class="badge {colour}">{sign} {task["score"]:g} / {task["points"]:g}'
        f'</span></h3><div class="scroll"><table class="checks"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>'
        f"</div>{diagnosis_part(task['diagnosis'])}</section>"
    )


def check_row(check: dict) -> str:
    colour, sign = GOOD if check["outcome"] == "right" else BAD
    sort = both("public", "公开") if check["public"] else both("hidden", "隐藏")
    return (
        f'<tr><td>{plain(check["check"])} <span class="note">{sort}</span></td>'
        f'<td><span class="badge {colour}">{sign} {plain(check["outcome"])}</span></td>'
        f'<td class="points">{check["score"]:g} / {check["points"]:g}</td><td>{plain(check["reason"])}</td></tr>'
    )


def diagnosis_part(diagnosis: dict | None) -> str:
    """The hints, each in its own <details>, so that a learner opens one after the other."""
    if not diagnosis or not (diagnosis["hints"] or diagnosis["text"]):
        return ""
    opened = "".join(
        f"<details><summary>{both(f'Hint {n}: {names[0]}', f'提示 {n}：{names[1]}')}</summary><p>{plain(hint)}</p></details>"
        for n, (names, hint) in enumerate(zip(HINTS, diagnosis["hints"], strict=False), 1)
    )
    summary = both("The gradient check's report", "梯度检查的报告")
    whole = f"<details><summary>{summary}</summary><pre>{plain(diagnosis['text'])}</pre></details>"
    return f"<h4>{both('Where and why', '在哪里，为什么')}</h4>{opened}{whole}"


def written_part(question: dict) -> str:
    answer = f"<pre>{plain(question['answer'])}</pre>" if question["answer"] else f"<p>{both('No answer.', '没有回答。')}</p>"
    return (
        f"<section><h3>{plain(question['task'])} <span class=\"note\">{question['points']:g} "
        f"{both('points, marked by the teacher', '分，由老师批改')}</span></h3>{answer}</section>"
    )


def foot(result: dict) -> str:
    finished = plain(result["finished"])
    if result["status"] != GRADED:
        return f'<p class="quiet">{both("Looked at", "查看时间")}: {finished}.</p>'
    return (
        f'<p class="quiet">{both("Graded", "评分时间")}: {finished}. '
        "Every check was run with new random numbers, in a process of its own. "
        '<span lang="zh">每个检查都在单独的进程里用新的随机数运行。</span></p>'
    )
