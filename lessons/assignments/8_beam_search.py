# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: lang,tags,task,check,kind,points,minutes
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] lang="en" minutes=120
# # Assignment 8: beam search, or how do you say *live*?
#
# *We live next door to a live concert.* The word `live` has two pronunciations, and a model that has learned to
# pronounce gives a probability to both, and to `L EH V`, and to every other string of sounds there is. A trained
# model does not answer. It only says how much it likes an answer, one sound at a time. To find the answer that it
# likes best, and the second best, is your work.
#
# Always taking the most probable next sound looks sensible and is often wrong, for a good first step may lead into
# a dead end. Trying everything takes longer than the universe has existed. Between the two lies a search that keeps
# a handful of beginnings alive: **beam search**. Thirty lines, in which nearly everybody gets one of these wrong:
# what ends, what ties, and what happens when there is less to find than the beam has room for.
#
# At the end your search asks a real network how to say `live`.
#
# You need lesson 09 (decoding). You may use NumPy. About two hours.

# %% [markdown] lang="zh"
# # 作业 8：束搜索，或者说，*live* 怎么念？
#
# *We live next door to a live concert.* 单词 `live` 有两种读音。学会注音的模型给两种都分了概率，也给 `L EH V`、给世上每一串音素
# 都分了概率。训练好的模型并不回答问题，它只说自己有多喜欢一个答案，而且一次只说一个音素。找出它最喜欢的答案，以及第二喜欢的，是你的事。
#
# 总是取概率最大的下一个音素，看似合理，却常常出错：好的第一步可能走进死胡同。把所有可能都试一遍，宇宙的年龄也不够用。两者之间有一种搜索，
# 它同时保留几个开头：**束搜索**（beam search）。三十行代码，而几乎人人都会在下面某一处出错：什么时候结束，并列时怎么办，可找的比束宽还少时
# 又会怎样。
#
# 最后，你的搜索会去问一个真实的网络：`live` 怎么念？
#
# 需要先学第 09 课（解码）。可以使用 NumPy。大约两小时。

# %% [markdown] lang="en"
# ## 1. A model that is two tables
#
# To test a search we need a model whose every text can be counted. Here it is an *automaton*: N states and V
# tokens. In state n
#
# * the next token is v with the log-probability `log_probs[n, v]`, and
# * after v the state is `next_state[n, v]`.
#
# Both tables have the shape (N, V). The first state is 0. **Token 0 is EOS**: it ends the text, and is no part of it.
# A token of probability 0 has the log-probability $-\infty$. A model that looks at the last token only (a bigram
# model) is such an automaton, with a state for each token. A recurrent network is one as well, only that its states
# are too many to write down: section 6 makes them when they are asked for. So index the tables with one state at a
# time, `log_probs[state]` and `next_state[state, token]`, and your search will run on both.
#
# With $s_0 = 0$ and $s_{i+1} = \mathrm{next\_state}[s_i, y_i]$, the text $y_0 \dots y_{L-1}$ has
#
# $$\log p(y) = \sum_{i=0}^{L-1} \mathrm{log\_probs}[s_i, y_i] + \mathrm{log\_probs}[s_L, \mathrm{EOS}]$$
#
# Every token makes a text less probable. So that long texts have a chance, the **score** divides by a length
# penalty (Wu and others 2016), in which the length counts EOS:
#
# $$\mathrm{score}(y) = \frac{\log p(y)}{\left((5 + L + 1) / 6\right)^\alpha}$$

# %% [markdown] lang="zh"
# ## 1. 由两张表构成的模型
#
# 要检验一个搜索，就需要一个每段文本都数得清的模型。这里用一个**自动机**：N 个状态，V 个词元。在状态 n，
#
# * 下一个词元是 v 的对数概率为 `log_probs[n, v]`；
# * 读入 v 之后，状态变为 `next_state[n, v]`。
#
# 两张表的形状都是 (N, V)。初始状态是 0。**词元 0 是 EOS**：它结束文本，本身不算在文本里。概率为 0 的词元，对数概率是 $-\infty$。
# 只看上一个词元的模型（二元模型）就是这样的自动机，每个词元一个状态。循环网络也是，只是状态多得写不下：第 6 节在用到时才去计算它们。
# 所以每次只用一个状态去查表，即 `log_probs[state]` 和 `next_state[state, token]`，这样你的搜索在两种模型上都能运行。
#
# 设 $s_0 = 0$，$s_{i+1} = \mathrm{next\_state}[s_i, y_i]$，则文本 $y_0 \dots y_{L-1}$ 的对数概率为
#
# $$\log p(y) = \sum_{i=0}^{L-1} \mathrm{log\_probs}[s_i, y_i] + \mathrm{log\_probs}[s_L, \mathrm{EOS}]$$
#
# 每个词元都使文本的概率变小。为了让长文本也有机会，**得分**要除以长度惩罚（Wu 等 2016），其中的长度把 EOS 算在内：
#
# $$\mathrm{score}(y) = \frac{\log p(y)}{\left((5 + L + 1) / 6\right)^\alpha}$$

# %%
if __name__ == "__main__":  # before NumPy is loaded: threads inside it only slow small matrices down
    import os

    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

EOS = 0


def penalty(length, alpha):
    """What log p of `length` tokens, EOS among them, is divided by."""
    return ((5 + length) / 6) ** alpha


# a model with a dead end: after "a" (token 1) nothing good follows
probabilities = np.array(
    [
        [0.0, 0.6, 0.4],  # state 0, at the beginning: EOS never, a 0.6, b 0.4
        [0.4, 0.3, 0.3],  # state 1, after an a
        [0.9, 0.05, 0.05],  # state 2, after a b
    ]
)
with np.errstate(divide="ignore"):
    dead_end = np.log(probabilities), np.array([[0, 1, 2], [0, 1, 2], [0, 1, 2]])

# %% [markdown] lang="en"
# ## 2. A solved example: try them all
#
# The obvious search goes through the whole tree of texts. At each place it does two things: it notes the text that
# ends here, and it goes on with every other token. It is right, and useless beyond a few thousand texts. Keep it: it
# tells you whether your own search is right.

# %% [markdown] lang="zh"
# ## 2. 例题：逐一尝试
#
# 最直接的搜索走遍整棵文本树。在每个位置它做两件事：记下在这里结束的文本；用其余每个词元继续走。它是正确的，但文本超过几千段就没用了。留着它：
# 它能告诉你自己写的搜索对不对。


# %%
def every_text(log_probs, next_state, max_length):
    """All finished texts of at most max_length tokens, EOS counted: a list of (log_prob, tokens), best first."""
    found = []

    def visit(tokens, state, log_prob):
        if len(tokens) == max_length or log_prob == -np.inf:
            return  # no room for EOS, or impossible
        row = log_probs[state]
        if row[EOS] > -np.inf:
            found.append((float(log_prob + row[EOS]), tokens))
        for token in range(1, log_probs.shape[1]):
            visit([*tokens, token], next_state[state, token], log_prob + row[token])

    visit([], 0, 0.0)
    return sorted(found, key=lambda text: -text[0])


for log_prob, tokens in every_text(*dead_end, max_length=5)[:3]:
    print(f"p = {np.exp(log_prob):.3f}  {''.join('-ab'[token] for token in tokens)}")

# %% [markdown] lang="en"
# ## 3. The score of a text, and greedy decoding
#
# ### Task `text_score` (3 points)
#
# ### Task `greedy` (5 points)
#
# Always take the most probable next token; of equal ones the lower number. Stop at EOS, or when `max_length`
# tokens have been taken. EOS counts as one of them. Its log-probability belongs to `log_prob`, but it is not in the
# list of tokens.

# %% [markdown] lang="zh"
# ## 3. 文本的得分和贪心解码
#
# ### 任务 `text_score`（3 分）
#
# ### 任务 `greedy`（5 分）
#
# 总是取概率最大的下一个词元；概率相等时取编号较小的。遇到 EOS 就停，取满 `max_length` 个词元也停。EOS 算其中的一个。它的对数概率要算进
# `log_prob`，但它不在词元列表里。


# %% tags=["answer"] task="text_score"
def text_score(log_probs, next_state, tokens, alpha):
    """A finished text, by its log-probability and its score.

    Shapes: log_probs, next_state (N, V). tokens: a list of ints without EOS, perhaps empty; alpha: a number.
    Returns (score, log_prob), two numbers; EOS counts in both.
    """
    # BEGIN SOLUTION
    state, log_prob = 0, 0.0
    for token in tokens:
        log_prob += log_probs[state][token]
        state = next_state[state, token]
    log_prob += log_probs[state][EOS]
    return log_prob / penalty(len(tokens) + 1, alpha), log_prob
    # END SOLUTION


# %% tags=["public"] task="text_score" check="two texts of the dead end" points=1
import numpy as np

from minis2s.classroom.checks import parts, same

table = np.log([[0.1, 0.5, 0.4], [0.4, 0.3, 0.3], [0.9, 0.05, 0.05]])
after = np.array([[0, 1, 2], [0, 1, 2], [0, 1, 2]])
score, log_prob = parts(text_score(table, after, [2], 0.0), "score log_prob", "text_score")
same(log_prob, np.log(0.4 * 0.9), "log_prob of b")
same(score, np.log(0.4 * 0.9), "score of b with alpha 0")
score, log_prob = parts(text_score(table, after, [1, 2], 1.0), "score log_prob", "text_score")
same(log_prob, np.log(0.5 * 0.3 * 0.9), "log_prob of ab")
same(score, np.log(0.5 * 0.3 * 0.9) / (8 / 6), "score of ab with alpha 1")

# %% tags=["hidden"] task="text_score" check="a random text" points=1
import numpy as np

from minis2s.classroom.checks import fresh, parts, same
from minis2s.classroom.references import random_tables

rng = fresh()
log_probs, next_state = random_tables(rng, 5)
tokens, alpha = rng.integers(1, 5, 7).tolist(), float(rng.uniform(0.4, 1.2))
state, expected = 0, 0.0
for token in [*tokens, 0]:
    expected, state = expected + log_probs[state, token], next_state[state, token]
score, log_prob = parts(text_score(log_probs, next_state, tokens, alpha), "score log_prob", "text_score")
same(log_prob, expected, "log_prob")
same(score, expected / (13 / 6) ** alpha, "score")

# %% tags=["hidden"] task="text_score" check="the empty text" points=1
import numpy as np

from minis2s.classroom.checks import fresh, parts, same
from minis2s.classroom.references import random_tables

log_probs, next_state = random_tables(fresh())
score, log_prob = parts(text_score(log_probs, next_state, [], 0.7), "score log_prob", "text_score")
same(log_prob, log_probs[0, 0], "log_prob")
same(score, log_probs[0, 0], "score")


# %% tags=["answer"] task="greedy"
def greedy(log_probs, next_state, max_length):
    """The most probable next token, again and again.

    Shapes: log_probs, next_state (N, V); max_length: how many tokens at most, EOS counted.
    Returns (tokens, a list of ints without EOS; log_prob, a number; finished, whether EOS was taken).
    """
    # BEGIN SOLUTION
    state, tokens, log_prob = 0, [], 0.0
    for _ in range(max_length):
        row = log_probs[state]
        token = int(np.argmax(row))
        log_prob += row[token]
        if token == EOS:
            return tokens, log_prob, True
        tokens.append(token)
        state = next_state[state, token]
    return tokens, log_prob, False
    # END SOLUTION


# %% tags=["public"] task="greedy" check="the dead end" points=1
import numpy as np

from minis2s.classroom.checks import parts, same
from minis2s.classroom.references import same_tokens

table = np.log([[0.1, 0.5, 0.4], [0.4, 0.3, 0.3], [0.9, 0.05, 0.05]])
after = np.array([[0, 1, 2], [0, 1, 2], [0, 1, 2]])
tokens, log_prob, finished = parts(greedy(table, after, 5), "tokens log_prob finished", "greedy")
same_tokens(tokens, [1], "greedy")
same(log_prob, np.log(0.5 * 0.4), "log_prob")
same(finished, True, "finished")

# %% tags=["hidden"] task="greedy" check="random models" points=2
import numpy as np

from minis2s.classroom.checks import fresh, parts, same
from minis2s.classroom.references import beam_texts, random_tables, same_tokens

rng = fresh()
done = 0
while done < 3:  # texts of some length that end by themselves
    tables = random_tables(rng, 6, 12)
    right = beam_texts(tables, 1, 12)[0]
    if not right.finished or len(right.tokens) < 2:
        continue
    done += 1
    tokens, log_prob, finished = parts(greedy(*tables, 12), "tokens log_prob finished", "greedy")
    same_tokens(tokens, [token - 2 for token in right.tokens], "greedy")
    same(log_prob, right.log_prob, "log_prob")
    same(finished, True, "finished")

# %% tags=["hidden"] task="greedy" check="cut at max_length" points=1
import numpy as np

from minis2s.classroom.checks import fresh, parts, same
from minis2s.classroom.references import same_tokens

rng = fresh()
length = int(rng.integers(3, 7))
# token 1 again and again, and EOS in the state after the last of them
table = np.full((length + 1, 3), -5.0)
table[:, 1] = -rng.random(length + 1)
table[length, 0] = -0.001
table[length, 1] = -2.0
after = np.minimum(np.arange(length + 1)[:, None] + 1, length) * np.ones((1, 3), dtype=int)
for room, ends in ((length, False), (length + 1, True)):
    tokens, log_prob, finished = parts(greedy(table, after, room), "tokens log_prob finished", "greedy")
    same_tokens(tokens, [1] * length, f"greedy, which has {'' if ends else 'no '}room for EOS")
    same(log_prob, table[:length, 1].sum() - 0.001 * ends, "log_prob")
    same(finished, ends, "finished")

# %% tags=["hidden"] task="greedy" check="ties" points=1
import numpy as np

from minis2s.classroom.checks import fresh, parts, same
from minis2s.classroom.references import same_tokens

rng = fresh()
table = np.array([[-3.0, -2.0, -1.0, -1.0], [-3.0, -1.0, -1.0, -1.0], [-1.0, -2.0, -1.0, -1.0]])
after = np.array([[0, 0, 1, 0], [0, 2, 0, 0], [0, 0, 0, 0]])
tokens, log_prob, finished = parts(greedy(table, after, 9), "tokens log_prob finished", "greedy")
same_tokens(tokens, [2, 1], "greedy, which meets ties")
same(log_prob, -3.0, "log_prob")

# %% [markdown] lang="en"
# ## 4. The best continuations
#
# One step of a beam search: K beginnings, best first, with the log-probabilities `totals` (K,). Each can go on with
# each of V tokens: K times V continuations, and $\mathrm{totals}_k + \mathrm{rows}_{kv}$ is the log-probability of
# one. The `beam` best are kept.
#
# Three things are to be decided, and a search that leaves them to chance gives other texts on another machine:
#
# * **order**: best first;
# * **ties**: of equal ones, that of the beginning that comes first; of one beginning, the lower token;
# * **too few**: a continuation of log-probability $-\infty$ is impossible and never kept. There may be fewer than
#   `beam`.
#
# ### Task `best_continuations` (7 points)

# %% [markdown] lang="zh"
# ## 4. 最好的延续
#
# 束搜索的一步：K 个开头，从好到差，对数概率是 `totals` (K,)。每个开头都可以接 V 个词元中的任何一个：共 K 乘 V 个延续，其中一个的对数概率是
# $\mathrm{totals}_k + \mathrm{rows}_{kv}$。保留最好的 `beam` 个。
#
# 有三件事要定下来。听任偶然的搜索，换一台机器就会写出别的文本：
#
# * **次序**：从好到差；
# * **并列**：相等时取排在前面的开头的延续；同一个开头的，取编号较小的词元；
# * **不够**：对数概率为 $-\infty$ 的延续是不可能的，绝不保留。所以结果可以少于 `beam` 个。
#
# ### 任务 `best_continuations`（7 分）


# %% tags=["answer"] task="best_continuations"
def best_continuations(totals, rows, beam):
    """The `beam` best continuations of K beginnings, best first.

    Shapes: totals (K,), the log-probabilities of the beginnings; rows (K, V), those of the next tokens.
    Returns (parents (n,) ints below K, tokens (n,) ints below V, their totals (n,)), with n at most beam.
    """
    # BEGIN SOLUTION
    V = rows.shape[1]
    every = (totals[:, None] + rows).reshape(-1)
    order = np.argsort(-every, kind="stable")[:beam]  # stable: of equal ones the first stays first
    order = order[every[order] > -np.inf]
    return order // V, order % V, every[order]
    # END SOLUTION


# %% tags=["public"] task="best_continuations" check="six by hand" points=1
import numpy as np

from minis2s.classroom.checks import parts, same

rows = np.array([[-3.0, -1.0, -2.0], [-0.5, -9.0, -1.0]])
found = parts(
    best_continuations(np.array([-1.0, -2.0]), rows, 3), "parents tokens totals", "best_continuations"
)
same(found[0], np.array([0, 1, 0]), "parents")
same(found[1], np.array([1, 0, 2]), "tokens")
same(found[2], np.array([-2.0, -2.5, -3.0]), "totals")

# %% tags=["hidden"] task="best_continuations" check="random beginnings" points=2
import numpy as np

from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
for beam in (1, 4):
    K, V = int(rng.integers(3, 6)), int(rng.integers(5, 9))
    totals, rows = np.sort(-3 * rng.random(K))[::-1].copy(), -3 * rng.random((K, V))
    every = sorted(((totals[k] + rows[k, v], k, v) for k in range(K) for v in range(V)), reverse=True)[:beam]
    found = parts(best_continuations(totals, rows, beam), "parents tokens totals", "best_continuations")
    same(found[0], np.array([k for _, k, _ in every]), "parents")
    same(found[1], np.array([v for _, _, v in every]), "tokens")
    same(found[2], np.array([total for total, _, _ in every]), "totals")

# %% tags=["hidden"] task="best_continuations" check="a beam wider than all there is" points=1
import numpy as np

from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
totals, rows = np.array([-0.5, -1.0]), -3 * rng.random((2, 3))
every = sorted(((totals[k] + rows[k, v], k, v) for k in range(2) for v in range(3)), reverse=True)
found = parts(best_continuations(totals, rows, 50), "parents tokens totals", "best_continuations")
same(found[0], np.array([k for _, k, _ in every]), "parents")
same(found[1], np.array([v for _, _, v in every]), "tokens")
same(found[2], np.array([total for total, _, _ in every]), "totals")

# %% tags=["hidden"] task="best_continuations" check="ties" points=2
import numpy as np

from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
# whole numbers, so that sums are exact, and few of them, so that many are equal
for beam in (4, 9):
    totals = np.array([-1.0, -1.0, -2.0, -2.0])
    rows = -rng.integers(1, 3, (4, 12)).astype(float)
    every = sorted((-totals[k] - rows[k, v], k, v) for k in range(4) for v in range(12))[:beam]
    found = parts(best_continuations(totals, rows, beam), "parents tokens totals", "best_continuations")
    same(found[0], np.array([k for _, k, _ in every]), "parents")
    same(found[1], np.array([v for _, _, v in every]), "tokens")

# %% tags=["hidden"] task="best_continuations" check="impossible tokens" points=1
import numpy as np

from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
rows = np.full((3, 5), -np.inf)
places = [(0, int(rng.integers(5))), (1, int(rng.integers(5))), (1, 0 if rng.random() < 0.5 else 4)]
for k, v in places:
    rows[k, v] = -rng.random()
totals = np.array([-1.0, -1.5, -2.0])
every = sorted({(totals[k] + rows[k, v], k, v) for k, v in places}, reverse=True)
found = parts(best_continuations(totals, rows, 8), "parents tokens totals", "best_continuations")
same(found[0], np.array([k for _, k, _ in every]), "parents")
same(found[1], np.array([v for _, _, v in every]), "tokens")
same(found[2], np.array([total for total, _, _ in every]), "totals")

# %% [markdown] lang="en"
# ## 5. Beam search
#
# It begins with one beginning, the empty text in state 0. At each step (Graves 2012; Sutskever and others 2014)
#
# 1. the `beam` best continuations of all live beginnings are kept;
# 2. those that end in EOS are **set aside**. They are finished and never grow again. They leave their place empty: it
#    is not filled with the next best;
# 3. the others live on, each in its next state.
#
# It ends after `max_length` steps, or when nothing lives. That the first text has ended is no reason to stop: a longer
# one may have the better score. What still lives after the last step is **cut**: not finished.
#
# The result is a list of at most `nbest` texts, each `(tokens, score, log_prob, finished)`: first the finished ones, by
# their score, best first (of equal scores the one that was set aside earlier). Only where these are fewer than
# `nbest`, the cut ones follow, by their score; their length has no EOS to count. Note that the *steps* compare
# log-probabilities: there all texts are equally long.
#
# ### Task `beam_search` (13 points)
#
# You may call `best_continuations` or write the lines anew; only what comes out counts. If you call it, make sure
# first that it is right: its mistakes would count here as well.
#
# In each state at least one token is possible. The test is the same that you can make: a beam of 1 is `greedy`, and a
# very wide one finds what `every_text` finds.

# %% [markdown] lang="zh"
# ## 5. 束搜索
#
# 开始时只有一个开头：处于状态 0 的空文本。每一步（Graves 2012；Sutskever 等 2014）：
#
# 1. 在所有存活开头的全部延续中，保留最好的 `beam` 个；
# 2. 以 EOS 结尾的**放在一边**：它们完成了，不再增长。它们空出的位置不由后面的延续递补；
# 3. 其余的继续存活，各自进入下一个状态。
#
# 走满 `max_length` 步，或者没有存活的开头，就结束。第一段文本完成了并不是停下的理由：更长的文本得分可能更高。最后一步之后仍然存活的就被
# **截断**：它们没有完成。
#
# 结果是一个列表，至多 `nbest` 段文本，每段为 `(tokens, score, log_prob, finished)`：先是完成的，按得分从好到差（得分相等时，先放到一边的在前）。
# 只有完成的不足 `nbest` 段时，后面才接被截断的，也按得分排列；它们的长度里没有 EOS。注意，**每一步**比较的是对数概率：同一步的文本一样长。
#
# ### 任务 `beam_search`（13 分）
#
# 可以调用 `best_continuations`，也可以重新写；只看结果。如果调用它，请先确认它是对的：它的错误在这里也会扣分。
#
# 每个状态至少有一个可能的词元。检查的办法你自己也能用：宽度为 1 的束就是 `greedy`；很宽的束能找到 `every_text` 找到的一切。


# %% tags=["answer"] task="beam_search"
def beam_search(log_probs, next_state, beam, max_length, alpha=0.0, nbest=1):
    """The best texts that a search of width `beam` finds.

    Shapes: log_probs, next_state (N, V); max_length: how many steps at most, EOS takes one.
    Returns a list of at most nbest tuples, best first: (tokens, a list of ints without EOS; score; log_prob;
    finished, a bool).
    """
    # BEGIN SOLUTION
    live, totals = [([], 0)], np.zeros(1)  # (tokens, state) of each beginning, best first, and log p
    finished, length = [], 0
    while live and length < max_length:
        length += 1
        rows = np.stack([log_probs[state] for _, state in live])
        parents, chosen, totals = best_continuations(totals, rows, beam)
        beginnings, live, kept = live, [], []
        for n, (parent, token) in enumerate(zip(parents.tolist(), chosen.tolist())):
            tokens, state = beginnings[parent]
            if token == EOS:
                finished.append((tokens, float(totals[n] / penalty(length, alpha)), float(totals[n]), True))
            else:
                live.append(([*tokens, token], next_state[state, token]))
                kept.append(n)
        totals = totals[kept]
    finished.sort(key=lambda text: -text[1])  # stable: of equal scores the earlier one stays first
    cut = [
        (tokens, float(total / penalty(length, alpha)), float(total), False)
        for (tokens, _), total in zip(live, totals)
    ]
    return [*finished, *cut][:nbest]
    # END SOLUTION


# %% tags=["public"] task="beam_search" check="the dead end" points=1
import numpy as np

from minis2s.classroom.references import beam_texts, same_texts

table = np.log([[0.1, 0.5, 0.4], [0.4, 0.3, 0.3], [0.9, 0.05, 0.05]])
after = np.array([[0, 1, 2], [0, 1, 2], [0, 1, 2]])
same_texts(beam_search(table, after, 1, 5), beam_texts((table, after), 1, 5), "a beam of 1")
same_texts(beam_search(table, after, 2, 5), beam_texts((table, after), 2, 5), "a beam of 2")

# %% tags=["hidden"] task="beam_search" check="the best text" points=3
import numpy as np

from minis2s.classroom.checks import fresh
from minis2s.classroom.references import beam_texts, random_tables, same_texts

rng = fresh()
done = 0
while done < 3:  # models in which the width matters
    tables = random_tables(rng, 5)
    tables[0][:, 0] -= 1.5  # longer texts
    if len({tuple(beam_texts(tables, beam, 8)[0].tokens) for beam in (1, 2, 3, 5)}) < 2:
        continue
    beam = (2, 3, 5)[done]
    done += 1
    same_texts(beam_search(*tables, beam, 8), beam_texts(tables, beam, 8), f"a beam of {beam}")

# %% tags=["hidden"] task="beam_search" check="a length penalty" points=2
import numpy as np

from minis2s.classroom.checks import fresh
from minis2s.classroom.references import beam_texts, random_tables, same_texts

rng = fresh()
done = 0
while done < 3:  # models in which a longer text wins with the penalty
    tables, alpha = random_tables(rng, 5), float(rng.uniform(0.6, 2.0))
    plain, right = beam_texts(tables, 4, 8), beam_texts(tables, 4, 8, alpha)
    if plain[0].tokens == right[0].tokens:
        continue
    done += 1
    same_texts(beam_search(*tables, 4, 8, alpha), right, "a beam of 4 with a length penalty")

# %% tags=["hidden"] task="beam_search" check="a very wide beam finds everything" points=2
import numpy as np

from minis2s.classroom.checks import fresh
from minis2s.classroom.references import all_texts, random_tables, same_texts

rng = fresh()
for alpha in (0.0, float(rng.uniform(0.5, 1.5))):
    tables = random_tables(rng, 3)
    right = all_texts(tables, 4, alpha, nbest=500)  # 2**4 texts are cut, the others end
    same_texts(beam_search(*tables, 500, 4, alpha, 500), right, "a beam of 500")

# %% tags=["hidden"] task="beam_search" check="several texts, finished before cut" points=2
import numpy as np

from minis2s.classroom.checks import fresh
from minis2s.classroom.references import beam_texts, random_tables, same_texts

rng = fresh()
done = 0
while done < 2:
    tables = random_tables(rng, 5)
    nbest, alpha = int(rng.integers(3, 6)), float(rng.uniform(0, 1))
    right = beam_texts(tables, 5, 3, alpha, nbest)
    kinds = [text.finished for text in right]
    if len(right) < nbest or all(kinds) != (done == 1) or not any(kinds):
        continue  # once with cut texts among them, once without
    done += 1
    same_texts(beam_search(*tables, 5, 3, alpha, nbest), right, f"{nbest} texts of a beam of 5")

# %% tags=["hidden"] task="beam_search" check="ties" points=1
import numpy as np

from minis2s.classroom.checks import fresh
from minis2s.classroom.references import beam_texts, same_texts

rng = fresh()
done = 0
while done < 2:
    # whole numbers, so that sums are exact; a token of 0 is certain, so that short and long texts tie as well
    tables = -rng.integers(0, 3, (4, 5)).astype(float), rng.integers(0, 4, (4, 5))
    tables[0][:, 0] = -1.0
    beam = (3, 8)[done]
    right = [text for text in beam_texts(tables, beam, 5, 0.0, beam) if text.finished]
    if len({text.score for text in right}) == len({(text.score, len(text.tokens)) for text in right}):
        continue  # no two texts of different length have one score
    done += 1
    right = beam_texts(tables, beam, 5, 0.0, beam)
    same_texts(beam_search(*tables, beam, 5, 0.0, beam), right, f"a beam of {beam}")

# %% tags=["hidden"] task="beam_search" check="impossible tokens" points=1
import numpy as np

from minis2s.classroom.checks import fresh
from minis2s.classroom.references import beam_texts, random_tables, same_texts

rng = fresh()
log_probs, next_state = tables = random_tables(rng)
log_probs[0, [0, 2]] = -np.inf  # at the beginning, neither EOS nor token 2
log_probs[3:6][np.arange(3), rng.integers(1, 4, 3)] = -np.inf
log_probs[6:12, 0] = -np.inf  # no text of two or three tokens
log_probs[9:12, rng.integers(1, 4)] = -np.inf
log_probs[12:, 1:] = -np.inf  # after four, nothing but EOS
right = beam_texts(tables, 40, 6, 0.5, 40)
same_texts(beam_search(*tables, 40, 6, 0.5, 40), right, "a beam of 40")

# %% tags=["hidden"] task="beam_search" check="no room, and one step" points=1
import numpy as np

from minis2s.classroom.checks import fresh
from minis2s.classroom.references import beam_texts, random_tables, same_texts

rng = fresh()
tables = random_tables(rng)
for room in (0, 1):
    right = beam_texts(tables, 3, room, 1.0, 3)
    same_texts(beam_search(*tables, 3, room, 1.0, 3), right, f"a search of {room} steps")

# %% [markdown] lang="en" tags=["written"] task="search_written" points=4
# ## In your own words: `search_written` (4 points)
#
# 1. Your search goes on to `max_length`. It could stop earlier: when? Let p be the best log-probability of a live
#    beginning, and w the worst score of the `nbest` texts to be returned. Give the condition and say why nothing is
#    lost. (2 points)
# 2. Somebody raises the beam from 5 to 50, and the pronunciations become *worse* and shorter. Is the search broken? Name
#    one test that tells a mistake of the search from a mistake of the model. (2 points)

# %% [markdown] lang="zh" tags=["written"] task="search_written" points=4
# ## 用你自己的话：`search_written`（4 分）
#
# 1. 你的搜索一直走到 `max_length`。它可以早一点停：什么时候？设 p 为存活开头中最好的对数概率，w 为将要返回的 `nbest` 段文本中最差的得分。
#    写出条件，并说明为什么什么也不会漏掉。（2 分）
# 2. 有人把束宽从 5 提高到 50，注音反而变**差**、变短了。搜索坏了吗？举出一个测试，能把搜索的错误和模型的错误区分开。（2 分）

# %% [markdown] lang="en" tags=["model-answer"] task="search_written"
# 1. When p / penalty(max_length) <= w (and `nbest` texts are finished). (1) Further tokens can only lower the
#    log-probability, so that p is the most that any text from here can have; and as it is negative, the largest
#    penalty, that of max_length, makes the best score of it. If even this is no better than w, none of them can enter
#    the list. (1)
# 2. Not by that alone: the wider beam found texts that the model holds more probable, and those happen to be short,
#    since every token costs probability. The model is wrong, and the narrow beam had hidden it. (1) Test: compute
#    log p (or the score) of the right text with the model. If it is above that of the text found, the search missed it:
#    a search error. If it is below, the model prefers the wrong one. Also accept: compare with an exact search on a
#    small model; check that the wider beam's log p is never lower on average. (1)

# %% [markdown] lang="zh" tags=["model-answer"] task="search_written"
# 1. 当 p / penalty(max_length) <= w 时（并且已有 `nbest` 段完成）。（1）再接词元只会降低对数概率，所以 p 是从这里出发的文本所能达到的最大值；
#    它是负数，除以最大的惩罚，即 max_length 的惩罚，就得到最好的得分。如果连它都不比 w 好，就没有一段能进入列表。（1）
# 2. 单凭这一点不能这么说：更宽的束找到了模型认为概率更大的文本，它们恰好较短，因为每个词元都要付出概率。错的是模型，窄束把这一点掩盖了。（1）
#    测试：用模型计算正确文本的 log p（或得分）。如果高于找到的文本，就是搜索错过了它，即搜索错误；如果低于，就是模型更喜欢错的。
#    答“在小模型上与精确搜索比较”，或“检查更宽的束所得的 log p 平均不降低”，也给分。（1）

# %% [markdown] lang="en"
# ## 6. How do you say *live*?
#
# A network has no tables: each text leads to a state of its own. But your search asks only for `log_probs[state]` and
# `next_state[state, token]`, one at a time. So the two objects below look like tables, and run the network when they are
# asked. It trains for some fifteen seconds. Then **your** search decodes it.

# %% [markdown] lang="zh"
# ## 6. *live* 怎么念？
#
# 网络没有表：每段文本都通向一个新的状态。但你的搜索只会逐个询问 `log_probs[state]` 和 `next_state[state, token]`。所以下面两个对象看起来像表，
# 被询问时才去运行网络。网络训练十来秒，然后由**你的**搜索来解码。

# %% tags=["train"]
import numpy as np

import minis2s


class LogProbs:
    """log_probs of a network: a row is made when it is asked for. Token v of a row is EOS + v of the network."""

    def __init__(self, model, src, src_mask):
        self.model, self.rows, self.after = model, {}, {}
        # of each state of the table: the state of the network, and the token that it has yet to read
        self.before = [(model.start(src, src_mask), minis2s.BOS)]
        self.shape = (1, model.decoder.output.W.data.shape[1] - minis2s.EOS)

    def __getitem__(self, place):
        if isinstance(place, tuple):
            return self[place[0]][place[1]]
        n = int(place)
        if n not in self.rows:
            state, token = self.before[n]
            row, self.after[n] = self.model.step(state, np.array([token]))
            self.rows[n] = row[0, minis2s.EOS :].astype(float)
        return self.rows[n]


class NextState:
    """next_state of the same network: states are numbered in the order in which they are met."""

    def __init__(self, log_probs):
        self.log_probs, self.numbers, self.shape = log_probs, {}, log_probs.shape

    def __getitem__(self, place):
        n, token = (int(part) for part in place)
        if (n, token) not in self.numbers:
            self.log_probs[n]  # so that the state after it is known
            self.numbers[n, token] = len(self.log_probs.before)
            self.log_probs.before.append((self.log_probs.after[n], token + minis2s.EOS))
        return self.numbers[n, token]


def tables_of(translator, word):
    batch = minis2s.make_batch([minis2s.Example(translator.source.encode(word), [])])
    log_probs = LogProbs(translator.model, batch.src, batch.src_mask)
    return log_probs, NextState(log_probs)


def sounds(translator, tokens):
    return translator.target.decode([token + minis2s.EOS for token in tokens])


try:
    task = minis2s.load_task("g2p", size=20_000)
except minis2s.UserError as error:
    print(f"no words to learn from: {error}")
else:
    translator = minis2s.Translator.for_pairs(
        task.train,
        minis2s.ModelConfig(cell="gru", embed=32, hidden=64),
        source_tokenizer=task.source_tokenizer,
        target_tokenizer=task.target_tokenizer,
    )
    model, rng = translator.model, np.random.default_rng(0)
    examples = minis2s.encode_pairs(task.train, translator.source, translator.target, all_targets=False)
    optimizer = minis2s.Adam(model.parameters(), lr=8e-3)
    for batch in minis2s.make_batches(examples, batch_sentences=32, rng=rng)[:500]:
        model.zero_grad()
        loss, cache = model.loss(minis2s.make_batch(examples, batch))
        model.backward(1.0, cache)
        minis2s.clip_global_norm(model.parameters(), 5.0)
        optimizer.step()
    print(f"the network is trained: loss {loss:.2f}")
    for pair in task.samples:
        tokens, log_prob, _ = greedy(*tables_of(translator, pair.source), 30)
        ((best, _, better, _),) = beam_search(*tables_of(translator, pair.source), 5, 30)
        print(f"{pair.source:<15}greedy {np.exp(log_prob):.2f} {sounds(translator, tokens)}")
        if list(best) != list(tokens):
            print(f"{'':<15}beam 5 {np.exp(better):.2f} {sounds(translator, best)}")
    for word in ("live", "minute", "polish"):
        print(f"how do you say {word}?")
        for tokens, _, log_prob, _ in beam_search(*tables_of(translator, word), 5, 30, nbest=3):
            print(f"    {np.exp(log_prob):.2f}  {sounds(translator, tokens)}")
