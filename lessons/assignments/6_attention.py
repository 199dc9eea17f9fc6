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
# # Assignment 6: attention, a finger on the page
#
# A child who reads aloud puts a finger under the letters. In `knight` the finger skips the k, stays on the n
# for the first sound, jumps over `igh` and ends on the t. A decoder with attention has such a finger. Nobody
# tells it where to point: it finds out from the loss alone, because every step of pointing has a derivative.
#
# You build the finger: three ways to score a letter, a softmax that never points at padding, and the sum
# that brings the letter back. Then you write the way back of each of them. At the end your own functions sit
# in a real model. It learns to pronounce English in a few seconds, and you see where it points.
#
# You need lesson 07 (attention) and the backward passes of assignments 1 and 2. About two hours.

# %% [markdown] lang="zh"
# # 作业 6：注意力，书页上的手指
#
# 孩子朗读时，会用手指点着字母。读 `knight` 时，手指跳过 k，发第一个音时停在 n 上，再越过 `igh`，最后落在 t 上。带注意力的
# 解码器也有这样一根手指。没有人告诉它该指哪里：它只靠损失自己摸索出来，因为“指”的每一步都有导数。
#
# 你来造这根手指：三种给字母打分的办法，一个绝不指向填充的 softmax，以及把字母取回来的加权和；然后写出它们各自的反向传播。
# 最后，你写的函数会装进一个真实的模型。它几秒钟就能学会给英语单词注音，你还能看到它指向哪里。
#
# 需要先学第 07 课（注意力），以及作业 1 和 2 的反向传播。大约两小时。

# %% [markdown] lang="en"
# ## What there is to write
#
# | task | forward | from | points |
# |---|---|---|---|
# | `dot_scores` | $e_{tbs} = q_{tb} \cdot k_{sb}$ | Luong and others 2015 | 4 |
# | `general_scores` | $e_{tbs} = (q_{tb} W) \cdot k_{sb}$ | Luong and others 2015 | 5 |
# | `additive_scores` | $e_{tbs} = v \cdot \tanh(q_{tb} W_q + k_{sb})$ | Bahdanau and others 2015 | 6 |
# | `masked_softmax` | $w_{tbs} = \exp(e_{tbs}) / \sum_r \exp(e_{tbr})$, sums over real r | | 8 |
# | `weighted_sum` | $c_{tb} = \sum_s w_{tbs} v_{sb}$ | | 4 |
# | `attention` | general scores, softmax and sum in a row | | 7 |
# | a question | | | 4 |
#
# The letters: T queries (steps of the decoder), S source positions, B sentences, Q numbers in a query, A in a
# key, M in a value. The time comes first in every array of states. Sentences never look at one another: b is
# the same on both sides of every equation.
#
# | array | shape | |
# |---|---|---|
# | query | (T, B, Q) | what the decoder asks; for dot scores Q = A |
# | keys | (S, B, A) | what a source position answers with |
# | values, memory | (S, B, M) | what is brought back |
# | scores, weights | (T, B, S) | |
# | mask | (S, B) | True where a source position is real; or None |
# | W, Wq, v | (Q, A), (Q, A), (A,) | weights that are learned |

# %% [markdown] lang="zh"
# ## 要写什么
#
# | 任务 | 前向 | 出处 | 分值 |
# |---|---|---|---|
# | `dot_scores` | $e_{tbs} = q_{tb} \cdot k_{sb}$ | Luong 等 2015 | 4 |
# | `general_scores` | $e_{tbs} = (q_{tb} W) \cdot k_{sb}$ | Luong 等 2015 | 5 |
# | `additive_scores` | $e_{tbs} = v \cdot \tanh(q_{tb} W_q + k_{sb})$ | Bahdanau 等 2015 | 6 |
# | `masked_softmax` | $w_{tbs} = \exp(e_{tbs}) / \sum_r \exp(e_{tbr})$，r 只取真实位置 | | 8 |
# | `weighted_sum` | $c_{tb} = \sum_s w_{tbs} v_{sb}$ | | 4 |
# | `attention` | general 分数、softmax、加权和依次进行 | | 7 |
# | 一道问答题 | | | 4 |
#
# 字母的含义：T 个查询（解码器的步数），S 个源位置，B 个句子；查询有 Q 个数，键有 A 个数，值有 M 个数。凡是状态数组，第一维都是
# 时间。句子之间互不相看：每个等式两边的 b 都相同。
#
# | 数组 | 形状 | |
# |---|---|---|
# | query | (T, B, Q) | 解码器的查询；点积分数要求 Q = A |
# | keys | (S, B, A) | 源位置用来应答的键 |
# | values、memory | (S, B, M) | 取回来的内容 |
# | scores、weights | (T, B, S) | 分数和权重 |
# | mask | (S, B) | 源位置真实处为 True；也可以是 None |
# | W、Wq、v | (Q, A)、(Q, A)、(A,) | 要学习的权重 |

# %% [markdown] lang="en"
# ## A solved example: the score of a distance
#
# One more score, older than the others: a key that lies close to the query gets much, one that is far away
# gets little. With one sentence only, query (T, A) and keys (S, A):
#
# $$e_{ts} = -\frac{1}{2} \sum_a d_{tsa}^2 \qquad d_{tsa} = q_{ta} - k_{sa}$$
#
# (With a softmax and a weighted sum behind it, this is the kernel regression of Nadaraya and of Watson, 1964.)
#
# Backward in two questions, and they are enough for the whole assignment:
#
# 1. **What does one number of the output change by, when one number of the input moves?** Here
#    $\partial e_{ts} / \partial q_{ta} = -d_{tsa}$ and $\partial e_{ts} / \partial k_{sa} = +d_{tsa}$.
# 2. **Where else was this number used?** Add up over all of these places: a query met every key, so dq sums
#    over s. A key met every query, so dk sums over t.
#
# $$dq_{ta} = -\sum_s de_{ts} \, d_{tsa} \qquad dk_{sa} = \sum_t de_{ts} \, d_{tsa}$$
#
# A test that never fails you: **the sum runs over the letters that the result does not have.**

# %% [markdown] lang="zh"
# ## 例题：按距离打分
#
# 再看一种更古老的分数：离查询近的键得分高，离得远的得分低。只有一个句子，query (T, A)，keys (S, A)：
#
# $$e_{ts} = -\frac{1}{2} \sum_a d_{tsa}^2 \qquad d_{tsa} = q_{ta} - k_{sa}$$
#
# （后面接上 softmax 和加权和，就是 Nadaraya 与 Watson 1964 年的核回归。）
#
# 反向传播只要问两个问题，整份作业都够用：
#
# 1. **输入中一个数动一点，输出中一个数变多少？** 这里 $\partial e_{ts} / \partial q_{ta} = -d_{tsa}$，
#    $\partial e_{ts} / \partial k_{sa} = +d_{tsa}$。
# 2. **这个数还在哪里用到过？** 把所有用到的地方加起来：一个查询遇到每个键，所以 dq 对 s 求和；一个键遇到每个查询，所以 dk 对 t
#    求和。
#
# $$dq_{ta} = -\sum_s de_{ts} \, d_{tsa} \qquad dk_{sa} = \sum_t de_{ts} \, d_{tsa}$$
#
# 一条屡试不爽的规则：**结果里没有的字母，就是要求和的字母。**

# %%
if __name__ == "__main__":  # before NumPy is loaded: threads inside it only slow small matrices down
    import os

    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from minis2s.gradcheck import gradcheck


def distance_scores_forward(query, keys):
    """query (T, A), keys (S, A) -> (scores (T, S), cache)."""
    d = query[:, None] - keys[None]  # (T, S, A): every query meets every key
    scores = -0.5 * (d**2).sum(axis=-1)
    return scores, d


def distance_scores_backward(dscores, cache):
    """dscores (T, S) -> (dquery (T, A), dkeys (S, A))."""
    d = cache
    dquery = -np.einsum("ts,tsa->ta", dscores, d)  # s is missing in the result: the sum runs over s
    dkeys = np.einsum("ts,tsa->sa", dscores, d)
    return dquery, dkeys


# %%
example = np.random.default_rng(0)
print(
    gradcheck(
        (distance_scores_forward, distance_scores_backward),
        example.standard_normal((3, 4)),
        example.standard_normal((5, 4)),
    )
)

# %% [markdown] lang="en"
# ## Task 1: `dot_scores` (4 points)
#
# A pair of functions has three rules. `forward` returns its result and a cache of your choice. `backward`
# gets the gradient of the result and that cache, and returns one gradient for each input, in the order of the
# inputs, each in the shape of its input. Neither of them changes an array that it was given.

# %% [markdown] lang="zh"
# ## 任务 1：`dot_scores`（4 分）
#
# 一对函数有三条规矩：`forward` 返回结果和一个缓存，缓存里放什么由你决定；`backward` 接收结果的梯度和这个缓存，按输入的顺序为每个
# 输入返回一个梯度，形状与该输入相同；两者都不修改传入的数组。


# %% tags=["answer"] task="dot_scores" kind="dot_scores"
def dot_scores_forward(query, keys):
    """scores[t, b, s] = query[t, b] . keys[s, b].

    Shapes: query (T, B, A); keys (S, B, A). Returns (scores (T, B, S), cache).
    """
    # BEGIN SOLUTION
    scores = np.einsum("tba,sba->tbs", query, keys)
    return scores, (query, keys)
    # END SOLUTION


def dot_scores_backward(dscores, cache):
    """Shapes: dscores (T, B, S). Returns (dquery (T, B, A), dkeys (S, B, A))."""
    # BEGIN SOLUTION
    query, keys = cache
    # scores = query . keys
    dquery = np.einsum("tbs,sba->tba", dscores, keys)
    dkeys = np.einsum("tbs,tba->sba", dscores, query)
    return dquery, dkeys
    # END SOLUTION


# %% tags=["public"] task="dot_scores" check="one sentence by hand" points=1
import numpy as np

from minis2s.classroom.checks import same

query = np.array([[[1.0, 2.0]], [[0.0, -1.0]]])  # two queries, one sentence
keys = np.array([[[1.0, 0.0]], [[0.0, 1.0]], [[1.0, 1.0]]])  # three positions
scores, cache = dot_scores_forward(query, keys)
same(scores, np.array([[[1.0, 2.0, 3.0]], [[0.0, -1.0, -1.0]]]), "scores")
grads = dot_scores_backward(np.array([[[1.0, 0.0, 0.0]], [[0.0, 0.0, 2.0]]]), cache)
same(grads[0], np.array([[[1.0, 0.0]], [[2.0, 2.0]]]), "dquery")
same(grads[1], np.array([[[1.0, 2.0]], [[0.0, 0.0]], [[0.0, -2.0]]]), "dkeys")

# %% tags=["hidden"] task="dot_scores" check="scores" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, S, A = rng.permutation(np.arange(2, 7))[:4]
query, keys = rng.standard_normal((T, B, A)), rng.standard_normal((S, B, A))
same(dot_scores_forward(query, keys)[0], functional.dot_scores.forward(query, keys)[0], "scores")

# %% tags=["hidden"] task="dot_scores" check="gradient of the query" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, S, A = rng.permutation(np.arange(2, 7))[:4]
query, keys, dscores = (rng.standard_normal(shape) for shape in ((T, B, A), (S, B, A), (T, B, S)))
expected = functional.dot_scores.backward(dscores, functional.dot_scores.forward(query, keys)[1])
_, cache = dot_scores_forward(query, keys)
same(dot_scores_backward(dscores, cache)[0], expected[0], "dquery")

# %% tags=["hidden"] task="dot_scores" check="gradient of the keys" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, S, A = rng.permutation(np.arange(2, 7))[:4]
query, keys, dscores = (rng.standard_normal(shape) for shape in ((T, B, A), (S, B, A), (T, B, S)))
expected = functional.dot_scores.backward(dscores, functional.dot_scores.forward(query, keys)[1])
_, cache = dot_scores_forward(query, keys)
same(dot_scores_backward(dscores, cache)[1], expected[1], "dkeys")

# %% [markdown] lang="en"
# ## Task 2: `general_scores` (5 points)
#
# Dot scores assume that number j of the query means the same as number j of the key. W is a translation
# between the two, and they may differ in size. Your functions of task 1 may do most of the work, if they are right:
# their mistakes would count here as well.

# %% [markdown] lang="zh"
# ## 任务 2：`general_scores`（5 分）
#
# 点积分数假定查询的第 j 个数与键的第 j 个数含义相同。W 在两者之间翻译，大小也可以不同。大部分工作可以交给任务 1 的函数，只要它们是对的：
# 它们的错误在这里也会扣分。


# %% tags=["answer"] task="general_scores" kind="general_scores"
def general_scores_forward(query, keys, W):
    """scores[t, b, s] = (query[t, b] W) . keys[s, b].

    Shapes: query (T, B, Q); keys (S, B, A); W (Q, A). Returns (scores (T, B, S), cache).
    """
    # BEGIN SOLUTION
    projected = query @ W  # (T, B, A)
    scores = np.einsum("tba,sba->tbs", projected, keys)
    return scores, (query, keys, W, projected)
    # END SOLUTION


def general_scores_backward(dscores, cache):
    """Shapes: dscores (T, B, S). Returns (dquery (T, B, Q), dkeys (S, B, A), dW (Q, A))."""
    # BEGIN SOLUTION
    query, keys, W, projected = cache
    # scores = projected . keys
    dprojected = np.einsum("tbs,sba->tba", dscores, keys)
    dkeys = np.einsum("tbs,tba->sba", dscores, projected)
    # projected = query W
    dquery = dprojected @ W.T
    dW = np.einsum("tbq,tba->qa", query, dprojected)
    return dquery, dkeys, dW
    # END SOLUTION


# %% tags=["public"] task="general_scores" check="with W = 1 it is the dot score" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import Wrong, fresh, parts, same

rng = fresh()
query, keys, dscores = (rng.standard_normal(shape) for shape in ((2, 3, 4), (5, 3, 4), (2, 3, 5)))
scores, cache = general_scores_forward(query, keys, np.eye(4))
same(scores, functional.dot_scores.forward(query, keys)[0], "scores")
dquery, dkeys, dW = parts(
    general_scores_backward(dscores, cache), "dquery dkeys dW", "general_scores_backward"
)
expected = functional.dot_scores.backward(dscores, functional.dot_scores.forward(query, keys)[1])
same(dquery, expected[0], "dquery")
same(dkeys, expected[1], "dkeys")
if np.shape(dW) != (4, 4):
    raise Wrong(f"dW has the shape {np.shape(dW)}, it should be (4, 4)")

# %% tags=["hidden"] task="general_scores" check="scores" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, S, Q, A = rng.permutation(np.arange(2, 8))[:5]
args = [rng.standard_normal(shape) for shape in ((T, B, Q), (S, B, A), (Q, A))]
same(general_scores_forward(*args)[0], functional.general_scores.forward(*args)[0], "scores")

# %% tags=["hidden"] task="general_scores" check="gradient of the query" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, S, Q, A = rng.permutation(np.arange(2, 8))[:5]
args = [rng.standard_normal(shape) for shape in ((T, B, Q), (S, B, A), (Q, A))]
dscores = rng.standard_normal((T, B, S))
expected = functional.general_scores.backward(dscores, functional.general_scores.forward(*args)[1])
_, cache = general_scores_forward(*args)
same(general_scores_backward(dscores, cache)[0], expected[0], "dquery")

# %% tags=["hidden"] task="general_scores" check="gradient of the keys" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, S, Q, A = rng.permutation(np.arange(2, 8))[:5]
args = [rng.standard_normal(shape) for shape in ((T, B, Q), (S, B, A), (Q, A))]
dscores = rng.standard_normal((T, B, S))
expected = functional.general_scores.backward(dscores, functional.general_scores.forward(*args)[1])
_, cache = general_scores_forward(*args)
same(general_scores_backward(dscores, cache)[1], expected[1], "dkeys")

# %% tags=["hidden"] task="general_scores" check="gradient of W" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, S, Q, A = rng.permutation(np.arange(2, 8))[:5]
args = [rng.standard_normal(shape) for shape in ((T, B, Q), (S, B, A), (Q, A))]
dscores = rng.standard_normal((T, B, S))
expected = functional.general_scores.backward(dscores, functional.general_scores.forward(*args)[1])
_, cache = general_scores_forward(*args)
same(general_scores_backward(dscores, cache)[2], expected[2], "dW")

# %% [markdown] lang="en"
# ## Task 3: `additive_scores` (6 points)
#
# A small network scores each pair of a query and a key. Its hidden layer has the shape (T, S, B, A). Go
# through it line by line: $z = q W_q + k$, then $a = \tanh(z)$, then $e = a \cdot v$. The gradient walks the
# same three lines upward. Remember that $\tanh'(z) = 1 - \tanh(z)^2$, and that a is at hand.

# %% [markdown] lang="zh"
# ## 任务 3：`additive_scores`（6 分）
#
# 由一个小网络给每一对查询和键打分，它的隐层形状是 (T, S, B, A)。一行一行来：$z = q W_q + k$，然后 $a = \tanh(z)$，再
# $e = a \cdot v$。梯度沿这三行逆着往上走。别忘了 $\tanh'(z) = 1 - \tanh(z)^2$，而 a 是现成的。


# %% tags=["answer"] task="additive_scores" kind="additive_scores"
def additive_scores_forward(query, keys, Wq, v):
    """scores[t, b, s] = v . tanh(query[t, b] Wq + keys[s, b]).

    Shapes: query (T, B, Q); keys (S, B, A); Wq (Q, A); v (A,). Returns (scores (T, B, S), cache).
    """
    # BEGIN SOLUTION
    z = (query @ Wq)[:, None] + keys[None]  # (T, S, B, A): every query meets every key
    a = np.tanh(z)
    scores = np.einsum("tsba,a->tbs", a, v)
    return scores, (query, Wq, v, a)
    # END SOLUTION


def additive_scores_backward(dscores, cache):
    """Shapes: dscores (T, B, S). Returns (dquery (T, B, Q), dkeys (S, B, A), dWq (Q, A), dv (A,))."""
    # BEGIN SOLUTION
    query, Wq, v, a = cache
    # scores = a . v
    dv = np.einsum("tbs,tsba->a", dscores, a)
    # a = tanh(z)
    dz = np.einsum("tbs,a->tsba", dscores, v) * (1 - a**2)
    # z = query Wq + keys, every query with every key
    dkeys = dz.sum(axis=0)
    dprojected = dz.sum(axis=1)
    dquery = dprojected @ Wq.T
    dWq = np.einsum("tbq,tba->qa", query, dprojected)
    return dquery, dkeys, dWq, dv
    # END SOLUTION


# %% tags=["public"] task="additive_scores" check="one number by hand" points=1
import numpy as np

from minis2s.classroom.checks import parts, same

query, keys = np.full((1, 1, 2), 0.5), np.full((1, 1, 1), 0.25)
scores, cache = additive_scores_forward(query, keys, np.array([[1.0], [-2.0]]), np.array([3.0]))
same(scores, np.array([[[3 * np.tanh(-0.25)]]]), "scores")
grads = additive_scores_backward(np.array([[[2.0]]]), cache)
dquery, dkeys, dWq, dv = parts(grads, "dquery dkeys dWq dv", "additive_scores_backward")
dz = 2 * 3 * (1 - np.tanh(-0.25) ** 2)
same(dquery, np.array([[[dz, -2 * dz]]]), "dquery")
same(dkeys, np.array([[[dz]]]), "dkeys")
same(dWq, np.array([[0.5 * dz], [0.5 * dz]]), "dWq")
same(dv, np.array([2 * np.tanh(-0.25)]), "dv")

# %% tags=["hidden"] task="additive_scores" check="scores" points=1
import numpy as np

from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, S, Q, A = rng.permutation(np.arange(2, 8))[:5]
query, keys, Wq, v = (rng.standard_normal(shape) for shape in ((T, B, Q), (S, B, A), (Q, A), (A,)))
expected = np.array(
    [[[np.tanh(query[t, b] @ Wq + keys[s, b]) @ v for s in range(S)] for b in range(B)] for t in range(T)]
)
same(additive_scores_forward(query, keys, Wq, v)[0], expected, "scores")

# %% tags=["hidden"] task="additive_scores" check="gradient of the query" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, S, Q, A = rng.permutation(np.arange(2, 8))[:5]
args = [rng.standard_normal(shape) for shape in ((T, B, Q), (S, B, A), (Q, A), (A,))]
dscores = rng.standard_normal((T, B, S))
expected = functional.additive_scores.backward(dscores, functional.additive_scores.forward(*args)[1])
_, cache = additive_scores_forward(*args)
same(additive_scores_backward(dscores, cache)[0], expected[0], "dquery")

# %% tags=["hidden"] task="additive_scores" check="gradient of the keys" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, S, Q, A = rng.permutation(np.arange(2, 8))[:5]
args = [rng.standard_normal(shape) for shape in ((T, B, Q), (S, B, A), (Q, A), (A,))]
dscores = rng.standard_normal((T, B, S))
expected = functional.additive_scores.backward(dscores, functional.additive_scores.forward(*args)[1])
_, cache = additive_scores_forward(*args)
same(additive_scores_backward(dscores, cache)[1], expected[1], "dkeys")

# %% tags=["hidden"] task="additive_scores" check="gradient of Wq" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, S, Q, A = rng.permutation(np.arange(2, 8))[:5]
args = [rng.standard_normal(shape) for shape in ((T, B, Q), (S, B, A), (Q, A), (A,))]
dscores = rng.standard_normal((T, B, S))
expected = functional.additive_scores.backward(dscores, functional.additive_scores.forward(*args)[1])
_, cache = additive_scores_forward(*args)
same(additive_scores_backward(dscores, cache)[2], expected[2], "dWq")

# %% tags=["hidden"] task="additive_scores" check="gradient of v" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, S, Q, A = rng.permutation(np.arange(2, 8))[:5]
args = [rng.standard_normal(shape) for shape in ((T, B, Q), (S, B, A), (Q, A), (A,))]
dscores = rng.standard_normal((T, B, S))
expected = functional.additive_scores.backward(dscores, functional.additive_scores.forward(*args)[1])
_, cache = additive_scores_forward(*args)
same(additive_scores_backward(dscores, cache)[3], expected[3], "dv")

# %% [markdown] lang="en"
# ## Task 4: `masked_softmax` (8 points)
#
# Short sentences are filled up with padding. Whatever stands there, the weights of the real positions must
# not feel it, and the padding gets the weight 0. Four things go wrong easily:
#
# * the padding is removed *after* the softmax: then it has taken its share of the sum;
# * the largest score is subtracted against overflow, but it is that of a padded position;
# * a sentence without any real position: 0 / 0. All of its weights are to be 0;
# * mask is None: all positions are real.

# %% [markdown] lang="zh"
# ## 任务 4：`masked_softmax`（8 分）
#
# 短句用填充补齐。无论填充处是什么数，真实位置的权重都不能受影响，填充的权重是 0。有四处容易出错：
#
# * 在 softmax **之后**才去掉填充：那时它已经在分母里占了一份；
# * 为防溢出要减去最大的分数，减的却是填充处的分数；
# * 一个句子没有任何真实位置：0 / 0。这时它的全部权重应为 0；
# * mask 是 None：所有位置都是真实的。


# %% tags=["answer"] task="masked_softmax" kind="masked_softmax"
def masked_softmax_forward(scores, mask=None):
    """Attention weights that sum to one over the real positions and are 0 at the others.

    Shapes: scores (T, B, S); mask (S, B), True where the source position is real, or None (all real).
    Scores may be in the thousands. Where a sentence has no real position, all its weights are 0.
    Returns (weights (T, B, S), cache).
    """
    # BEGIN SOLUTION
    if mask is None:
        mask = np.ones((scores.shape[2], scores.shape[1]), dtype=bool)
    real = np.broadcast_to(mask.T, scores.shape)  # (T, B, S)
    lowest = np.where(real, scores, -np.inf).max(axis=-1, keepdims=True)
    largest = np.where(np.isfinite(lowest), lowest, 0)
    e = np.where(real, np.exp(np.where(real, scores - largest, 0)), 0)
    total = e.sum(axis=-1, keepdims=True)
    weights = e / np.where(total == 0, 1, total)
    return weights, weights
    # END SOLUTION


def masked_softmax_backward(dweights, cache):
    """Shapes: dweights (T, B, S). Returns dscores (T, B, S)."""
    # BEGIN SOLUTION
    weights = cache
    mean = (weights * dweights).sum(axis=-1, keepdims=True)
    return weights * (dweights - mean)
    # END SOLUTION


# %% tags=["public"] task="masked_softmax" check="one row by hand" points=1
import numpy as np

from minis2s.classroom.checks import same

scores = np.log([[[1.0, 2.0, 5.0, 7.0]]])
mask = np.array([[True], [True], [True], [False]])
weights, cache = masked_softmax_forward(scores, mask)
same(weights, np.array([[[0.125, 0.25, 0.625, 0.0]]]), "weights")
dscores = masked_softmax_backward(np.array([[[8.0, 0.0, 0.0, 3.0]]]), cache)
same(dscores, np.array([[[0.875, -0.25, -0.625, 0.0]]]), "dscores")

# %% tags=["hidden"] task="masked_softmax" check="padding has no share" points=2
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, S = rng.permutation(np.arange(3, 8))[:3]
scores = 2 * rng.standard_normal((T, B, S))
lengths = np.concatenate([[1, S - 1], rng.integers(1, S + 1, B - 2)])
mask = np.arange(S)[:, None] < lengths
scores[:, mask.T == 0] += rng.choice([-900.0, 5.0, 900.0], (T, (mask == 0).sum()))
same(masked_softmax_forward(scores, mask)[0], functional.masked_softmax.forward(scores, mask)[0], "weights")

# %% tags=["hidden"] task="masked_softmax" check="no mask, and very large scores" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, S = rng.permutation(np.arange(2, 7))[:3]
scores = rng.standard_normal((T, B, S)) + rng.choice([-2000.0, 0.0, 2000.0], (T, B, 1))
same(masked_softmax_forward(scores)[0], functional.masked_softmax.forward(scores)[0], "weights")

# %% tags=["hidden"] task="masked_softmax" check="a sentence of padding alone" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, S = rng.permutation(np.arange(2, 7))[:3]
scores, dweights = rng.standard_normal((T, B, S)), rng.standard_normal((T, B, S))
mask = np.ones((S, B), dtype=bool)
mask[:, rng.integers(B)] = False
expected, theirs = functional.masked_softmax.forward(scores, mask)
weights, cache = masked_softmax_forward(scores, mask)
same(weights, expected, "weights")
same(
    masked_softmax_backward(dweights, cache), functional.masked_softmax.backward(dweights, theirs), "dscores"
)

# %% tags=["hidden"] task="masked_softmax" check="gradient, with padding" points=2
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, S = rng.permutation(np.arange(3, 8))[:3]
scores, dweights = rng.standard_normal((T, B, S)), rng.standard_normal((T, B, S))
mask = np.arange(S)[:, None] < np.concatenate([[2, S], rng.integers(1, S + 1, B - 2)])
_, theirs = functional.masked_softmax.forward(scores, mask)
_, cache = masked_softmax_forward(scores, mask)
same(
    masked_softmax_backward(dweights, cache), functional.masked_softmax.backward(dweights, theirs), "dscores"
)

# %% tags=["hidden"] task="masked_softmax" check="backward twice is the same" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
scores, dweights = rng.standard_normal((3, 2, 4)), rng.standard_normal((3, 2, 4))
_, theirs = functional.masked_softmax.forward(scores)
_, cache = masked_softmax_forward(scores)
expected = functional.masked_softmax.backward(dweights, theirs)
same(masked_softmax_backward(dweights, cache), expected, "dscores")
same(masked_softmax_backward(dweights, cache), expected, "dscores of the second call")

# %% [markdown] lang="en"
# ## Task 5: `weighted_sum` (4 points)
#
# The weights say how much of each value is taken. One weight touches M numbers of the context, one value
# touches T contexts.

# %% [markdown] lang="zh"
# ## 任务 5：`weighted_sum`（4 分）
#
# 权重决定每个值取多少。一个权重影响上下文向量的 M 个数，一个值影响 T 个上下文向量。


# %% tags=["answer"] task="weighted_sum" kind="weighted_sum"
def weighted_sum_forward(weights, values):
    """context[t, b] = sum over s of weights[t, b, s] * values[s, b].

    Shapes: weights (T, B, S); values (S, B, M). Returns (context (T, B, M), cache).
    """
    # BEGIN SOLUTION
    context = np.einsum("tbs,sbm->tbm", weights, values)
    return context, (weights, values)
    # END SOLUTION


def weighted_sum_backward(dcontext, cache):
    """Shapes: dcontext (T, B, M). Returns (dweights (T, B, S), dvalues (S, B, M))."""
    # BEGIN SOLUTION
    weights, values = cache
    dweights = np.einsum("tbm,sbm->tbs", dcontext, values)
    dvalues = np.einsum("tbs,tbm->sbm", weights, dcontext)
    return dweights, dvalues
    # END SOLUTION


# %% tags=["public"] task="weighted_sum" check="one context by hand" points=1
import numpy as np

from minis2s.classroom.checks import same

weights = np.array([[[0.25, 0.75]]])
values = np.array([[[4.0, 0.0, 8.0]], [[0.0, 4.0, 8.0]]])
context, cache = weighted_sum_forward(weights, values)
same(context, np.array([[[1.0, 3.0, 8.0]]]), "context")
dweights, dvalues = weighted_sum_backward(np.array([[[1.0, 0.0, -1.0]]]), cache)
same(dweights, np.array([[[-4.0, -8.0]]]), "dweights")
same(dvalues, np.array([[[0.25, 0.0, -0.25]], [[0.75, 0.0, -0.75]]]), "dvalues")

# %% tags=["hidden"] task="weighted_sum" check="context" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, S, M = rng.permutation(np.arange(2, 7))[:4]
weights, values = rng.random((T, B, S)), rng.standard_normal((S, B, M))
same(weighted_sum_forward(weights, values)[0], functional.weighted_sum.forward(weights, values)[0], "context")

# %% tags=["hidden"] task="weighted_sum" check="gradient of the weights" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, S, M = rng.permutation(np.arange(2, 7))[:4]
weights, values, dcontext = (rng.standard_normal(shape) for shape in ((T, B, S), (S, B, M), (T, B, M)))
expected = functional.weighted_sum.backward(dcontext, functional.weighted_sum.forward(weights, values)[1])
_, cache = weighted_sum_forward(weights, values)
same(weighted_sum_backward(dcontext, cache)[0], expected[0], "dweights")

# %% tags=["hidden"] task="weighted_sum" check="gradient of the values" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, S, M = rng.permutation(np.arange(2, 7))[:4]
weights, values, dcontext = (rng.standard_normal(shape) for shape in ((T, B, S), (S, B, M), (T, B, M)))
expected = functional.weighted_sum.backward(dcontext, functional.weighted_sum.forward(weights, values)[1])
_, cache = weighted_sum_forward(weights, values)
same(weighted_sum_backward(dcontext, cache)[1], expected[1], "dvalues")

# %% [markdown] lang="en"
# ## Task 6: `attention` (7 points)
#
# Put general scores, softmax and sum in a row. The memory serves twice, as keys and as values. What does
# this mean for its gradient?
#
# You may call your functions of tasks 2, 4 and 5 or write the lines anew; only what comes out counts. If you call
# them, make sure first that they are right: their mistakes would count here as well.

# %% [markdown] lang="zh"
# ## 任务 6：`attention`（7 分）
#
# 把 general 分数、softmax 和加权和依次连起来。记忆用了两次，既当键又当值。这对它的梯度意味着什么？
#
# 可以调用任务 2、4、5 里你写的函数，也可以重新写；只看结果。如果调用它们，请先确认它们是对的：它们的错误在这里也会扣分。


# %% tags=["answer"] task="attention" kind="attention"
def attention_forward(query, memory, W, mask=None):
    """General attention; the memory is both keys and values.

        scores  = (query W) . memory
        weights = softmax(scores), over the real positions
        context = sum over s of weights * memory

    Shapes: query (T, B, Q); memory (S, B, M); W (Q, M); mask (S, B) or None.
    Returns (context (T, B, M), cache).
    """
    # BEGIN SOLUTION
    scores, scores_cache = general_scores_forward(query, memory, W)
    weights, softmax_cache = masked_softmax_forward(scores, mask)
    context, sum_cache = weighted_sum_forward(weights, memory)
    return context, (scores_cache, softmax_cache, sum_cache)
    # END SOLUTION


def attention_backward(dcontext, cache):
    """Shapes: dcontext (T, B, M). Returns (dquery (T, B, Q), dmemory (S, B, M), dW (Q, M))."""
    # BEGIN SOLUTION
    scores_cache, softmax_cache, sum_cache = cache
    dweights, dvalues = weighted_sum_backward(dcontext, sum_cache)
    dscores = masked_softmax_backward(dweights, softmax_cache)
    dquery, dkeys, dW = general_scores_backward(dscores, scores_cache)
    return dquery, dkeys + dvalues, dW
    # END SOLUTION


# %% tags=["public"] task="attention" check="padding does not leak" points=1
import numpy as np

from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
query, memory, W = (rng.standard_normal(shape) for shape in ((2, 3, 4), (5, 3, 6), (4, 6)))
mask = np.arange(5)[:, None] < np.array([2, 5, 3])
other = np.where(mask[:, :, None], memory, 30.0)  # something else stands in the padding
context, cache = attention_forward(query, memory, W, mask)
same(attention_forward(query, other, W, mask)[0], context, "the context, with other numbers in the padding")
grads = attention_backward(np.ones((2, 3, 6)), cache)
_, dmemory, _ = parts(grads, "dquery dmemory dW", "attention_backward")
same(np.where(mask[:, :, None], 0, dmemory), np.zeros((5, 3, 6)), "dmemory at the padding")

# %% tags=["hidden"] task="attention" check="context" points=1
import numpy as np

from minis2s import functional as F
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, S, Q, M = rng.permutation(np.arange(2, 8))[:5]
query, memory, W = (rng.standard_normal(shape) for shape in ((T, B, Q), (S, B, M), (Q, M)))
mask = np.arange(S)[:, None] < rng.integers(1, S + 1, B)
weights, _ = F.masked_softmax.forward(F.general_scores.forward(query, memory, W)[0], mask)
same(attention_forward(query, memory, W, mask)[0], F.weighted_sum.forward(weights, memory)[0], "context")

# %% tags=["hidden"] task="attention" check="gradient of the query" points=1
import numpy as np

from minis2s import functional as F
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, S, Q, M = rng.permutation(np.arange(2, 8))[:5]
query, memory, dcontext = (rng.standard_normal(shape) for shape in ((T, B, Q), (S, B, M), (T, B, M)))
W = rng.standard_normal((Q, M)) / M
mask = np.arange(S)[:, None] < rng.integers(2, S + 1, B)
scores, of_scores = F.general_scores.forward(query, memory, W)
weights, of_softmax = F.masked_softmax.forward(scores, mask)
_, of_sum = F.weighted_sum.forward(weights, memory)
dscores = F.masked_softmax.backward(F.weighted_sum.backward(dcontext, of_sum)[0], of_softmax)
_, cache = attention_forward(query, memory, W, mask)
same(attention_backward(dcontext, cache)[0], F.general_scores.backward(dscores, of_scores)[0], "dquery")

# %% tags=["hidden"] task="attention" check="gradient of the memory" points=2
import numpy as np

from minis2s import functional as F
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, S, Q, M = rng.permutation(np.arange(2, 8))[:5]
query, memory, dcontext = (rng.standard_normal(shape) for shape in ((T, B, Q), (S, B, M), (T, B, M)))
W = rng.standard_normal((Q, M)) / M
mask = np.arange(S)[:, None] < rng.integers(2, S + 1, B)
scores, of_scores = F.general_scores.forward(query, memory, W)
weights, of_softmax = F.masked_softmax.forward(scores, mask)
_, of_sum = F.weighted_sum.forward(weights, memory)
dweights, as_values = F.weighted_sum.backward(dcontext, of_sum)
_, as_keys, _ = F.general_scores.backward(F.masked_softmax.backward(dweights, of_softmax), of_scores)
_, cache = attention_forward(query, memory, W, mask)
same(attention_backward(dcontext, cache)[1], as_values + as_keys, "dmemory")

# %% tags=["hidden"] task="attention" check="gradient of W" points=1
import numpy as np

from minis2s import functional as F
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, S, Q, M = rng.permutation(np.arange(2, 8))[:5]
query, memory, dcontext = (rng.standard_normal(shape) for shape in ((T, B, Q), (S, B, M), (T, B, M)))
W = rng.standard_normal((Q, M)) / M
mask = np.arange(S)[:, None] < rng.integers(2, S + 1, B)
scores, of_scores = F.general_scores.forward(query, memory, W)
weights, of_softmax = F.masked_softmax.forward(scores, mask)
_, of_sum = F.weighted_sum.forward(weights, memory)
dscores = F.masked_softmax.backward(F.weighted_sum.backward(dcontext, of_sum)[0], of_softmax)
_, cache = attention_forward(query, memory, W, mask)
same(attention_backward(dcontext, cache)[2], F.general_scores.backward(dscores, of_scores)[2], "dW")

# %% tags=["hidden"] task="attention" check="backward twice is the same" points=1
import numpy as np

from minis2s import functional as F
from minis2s.classroom.checks import fresh, same

rng = fresh()
query, memory, W = (rng.standard_normal(shape) for shape in ((3, 2, 4), (5, 2, 3), (4, 3)))
dcontext = rng.standard_normal((3, 2, 3))
scores, of_scores = F.general_scores.forward(query, memory, W)
weights, of_softmax = F.masked_softmax.forward(scores)
_, of_sum = F.weighted_sum.forward(weights, memory)
dweights, as_values = F.weighted_sum.backward(dcontext, of_sum)
_, as_keys, _ = F.general_scores.backward(F.masked_softmax.backward(dweights, of_softmax), of_scores)
_, cache = attention_forward(query, memory, W)
same(attention_backward(dcontext, cache)[1], as_values + as_keys, "dmemory")
same(attention_backward(dcontext, cache)[1], as_values + as_keys, "dmemory of the second call")

# %% [markdown] lang="en" tags=["written"] task="attention_written" points=4
# ## Question: `attention_written` (4 points)
#
# Look at your line in `masked_softmax_backward` that makes the gradient $de_s$ of a score from the weights $w$ and
# their gradient $dw$.
#
# 1. What is the sum of $de_s$ over s, and what does that say about the scores? (1 point)
# 2. In one sentence: when is the score of a position pushed up by gradient descent? (1 point)
# 3. A model starts out with the weight $w_3 = 10^{-6}$ for the position that would be right. Why does it learn
#    this slowly, and which of these help: a larger learning rate, dividing dot scores by $\sqrt{A}$, small
#    initial weights? Give a reason for each. (2 points)

# %% [markdown] lang="zh" tags=["written"] task="attention_written" points=4
# ## 问答题：`attention_written`（4 分）
#
# 看你在 `masked_softmax_backward` 里写的那一行：它由权重 $w$ 和权重的梯度 $dw$ 得出分数的梯度 $de_s$。
#
# 1. $de_s$ 对 s 求和等于多少？这对分数说明了什么？（1 分）
# 2. 用一句话说明：梯度下降在什么情况下会把一个位置的分数推高？（1 分）
# 3. 某个模型一开始给真正该看的位置的权重是 $w_3 = 10^{-6}$。它为什么学得慢？下面哪些办法有帮助：更大的学习率；点积分数除以
#    $\sqrt{A}$；较小的初始权重？各给一个理由。（2 分）

# %% [markdown] lang="en" tags=["model-answer"] task="attention_written"
# 1. The line is $de_s = w_s (dw_s - \sum_r w_r \, dw_r)$. Its sum is zero, as the weights sum to one:
#    $\sum_s w_s dw_s - \sum_s w_s \cdot \sum_r w_r dw_r = 0$. Scores compete: what one wins the others lose, and a
#    common shift of all scores changes nothing. (1)
# 2. When $dw_s$ lies below the weighted mean of all dw, that is when more of its value would lower the loss by
#    more than what the present mean does. Descent moves against the gradient: $de_s < 0$ raises the score. (1)
# 3. The factor $w_s$ stands in front: its gradient is about $10^{-6}$ of that of a position that is looked
#    at. (½) A larger learning rate helps little: it moves the large weights a million times as much, and they
#    begin to jump. (½) Dividing by $\sqrt{A}$ helps: it keeps the spread of the scores near one at the start, so
#    that no weight is tiny. (½) Small initial weights help for the same reason: scores near zero make all
#    weights nearly equal. (½) Also accept: Adam divides by the size of the gradient and so makes up for some
#    of it.

# %% [markdown] lang="zh" tags=["model-answer"] task="attention_written"
# 1. 那一行是 $de_s = w_s (dw_s - \sum_r w_r \, dw_r)$。和等于零：$\sum_s w_s dw_s - \sum_s w_s \cdot \sum_r w_r dw_r = 0$，
#    因为权重之和为一。分数之间相互竞争：一个赢得的正是其他失去的；所有分数同加一个常数，什么也不变。（1）
# 2. 当 $dw_s$ 低于全部 dw 的加权平均时，也就是多取一点这个值会比目前的平均更能降低损失。下降法逆着梯度走：$de_s < 0$ 时分数升高。（1）
# 3. 前面有因子 $w_s$：它的梯度只有正被注视的位置的大约 $10^{-6}$。（½）更大的学习率帮助不大：大的权重会多动一百万倍，开始乱跳。（½）
#    除以 $\sqrt{A}$ 有帮助：它让开始时分数的标准差接近一，没有哪个权重会极小。（½）较小的初始权重也有帮助，道理相同：分数接近零，
#    各权重就几乎相等。（½）答“Adam 除以梯度的大小，能弥补一部分”也给分。

# %% [markdown] lang="en"
# ## Your finger in a real model
#
# The layer below is `Attention` of minis2s with your functions in it: your scores come in as `op=`, and
# forward and backward call your softmax and your sum. The rest of the model is the engine's. It trains for
# some ten seconds on English words and their sounds. Then it pronounces words, and after each sound stands
# the letter that your weights pointed at.

# %% [markdown] lang="zh"
# ## 把你的手指装进真实的模型
#
# 下面的层是 minis2s 的 `Attention`，里面用的是你的函数：分数由 `op=` 传入，前向和反向调用你的 softmax 和加权和。模型的其余部分由引擎
# 提供。它在英语单词和音素上训练十来秒，然后给单词注音；每个音素后面是你的权重当时指向的字母。

# %% tags=["train"]
from types import SimpleNamespace

import numpy as np

import minis2s
from minis2s.nn.attention import Attention, AttentionCache


class MyAttention(Attention):
    """Attention of minis2s, with the functions of this assignment."""

    def forward(self, query, keys, memory, mask=None, *, folded=False):
        scores, of_scores = self.score_op.forward(query, keys, *(p.data for p in self.weights()))
        weights, of_softmax = masked_softmax_forward(scores, mask)
        context, of_sum = weighted_sum_forward(weights, memory)
        return context, AttentionCache(of_scores, SimpleNamespace(weights=weights, mine=of_softmax), of_sum)

    def backward(self, dcontext, cache):
        dweights, dmemory = weighted_sum_backward(dcontext, cache.weighted_sum)
        dscores = masked_softmax_backward(dweights, cache.softmax.mine)
        dquery, dkeys, *dparameters = self.score_op.backward(dscores, cache.scores)
        for p, dp in zip(self.weights(), dparameters):
            p.grad += dp
        return dquery, dkeys, dmemory


kind, mine = "general", minis2s.Op("mine", general_scores_forward, general_scores_backward)
try:
    task = minis2s.load_task("g2p", size=20_000)
except minis2s.UserError as error:
    print(f"no words to learn from: {error}")
else:
    translator = minis2s.Translator.for_pairs(
        task.train,
        minis2s.ModelConfig(cell="gru", embed=32, hidden=64, attention=kind),
        source_tokenizer=task.source_tokenizer,
        target_tokenizer=task.target_tokenizer,
    )
    model, rng = translator.model, np.random.default_rng(0)
    model.decoder.attention = MyAttention(kind, 64, 64, rng=rng, op=mine)
    examples = minis2s.encode_pairs(task.train, translator.source, translator.target, all_targets=False)
    optimizer, losses = minis2s.Adam(model.parameters(), lr=8e-3), []
    for index in minis2s.make_batches(examples, batch_sentences=32, rng=rng)[:500]:
        model.zero_grad()
        loss, cache = model.loss(minis2s.make_batch(examples, index))
        model.backward(1.0, cache)
        minis2s.clip_global_norm(model.parameters(), 5.0)
        optimizer.step()
        losses.append(float(loss))
        if len(losses) % 100 == 0:
            print(
                f"after {len(losses)} steps: loss {np.mean(losses[-50:]):.2f} (at the start {losses[0]:.2f})"
            )
    for word in ("knight", "photo", "minibus", "chatbot"):
        ((best, *_),) = translator.translate([word])
        weights, sounds, letters = translator.attention(word, best.text)
        pointed = [f"{sound} ({letters[s]})" for sound, s in zip(sounds[:-1], weights.argmax(axis=1))]
        print(f"{word:<15}{'  '.join(pointed)}")

# %% [markdown] lang="en"
# Put your additive scores in instead: `kind` is `"additive"`, and `mine` gets the other pair. Which letters does it point
# at for the F of `photo`?

# %% [markdown] lang="zh"
# 换成你的加性分数再试一次：`kind` 改为 `"additive"`，`mine` 换成另一对函数。发 `photo` 的 F 音时，它指向哪些字母？
