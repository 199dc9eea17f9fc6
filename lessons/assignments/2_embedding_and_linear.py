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

# %% [markdown] lang="en" minutes=90
# # Assignment 2: letters that find their place. Embedding and linear layer
#
# To a machine c is 5 and k is 13. Nobody tells it that in *cat* and *kit* they sound alike, and that 4 and 6, the
# neighbours of 5, have nothing to do with it. So each letter gets a row of numbers, at first by chance. Every time
# a word is read wrongly, the rows of its letters move a little.
#
# **How does the correction find its way back to the right row? And what if a letter occurs three times?**
#
# You write the layer that turns letters into numbers, the layer that turns numbers into scores, and a small model
# that uses one table for both. At the end your layers train a model that pronounces words, and you look at which
# letters have moved together.
#
# You need lesson 2 (`02_linear_and_embedding.py`): it derives both layers and explains the shape letters.
#
# What is given: a solved example of the same form. What you write: three pairs of functions, marked with
# `NotImplementedError`, and a few sentences. What you may use: NumPy. Each task has checks that you see, and
# others that you do not see. Expected time: an hour and a half.

# %% [markdown] lang="zh"
# # 作业 2：字母各就各位。嵌入与线性层
#
# 对机器来说，c 是 5，k 是 13。没有人告诉它，这两个字母在 *cat* 和 *kit* 里发同一个音，也没有人告诉它，5 的邻居 4 和 6
# 与此毫不相干。所以每个字母得到一行数，起初是随机的。每读错一个单词，其中各个字母的那一行就移动一点点。
#
# **修正怎样找到回到那一行的路？一个字母出现三次时又怎样？**
#
# 你要写把字母变成数的层、把数变成分数的层，以及一个两处共用同一张表的小模型。最后用你的层训练一个会念单词的模型，
# 再看看哪些字母靠到了一起。
#
# 需要第 2 课（`02_linear_and_embedding.py`）：其中推导了这两种层，并解释了表示形状的字母。
#
# 已经给出的：一个形式相同、已经解好的例子。要你写的：三对函数，用 `NotImplementedError` 标出，还有几句话。
# 可以使用的：NumPy。每个任务都有看得见的检查，也有看不见的检查。预计用时：一个半小时。

# %%
if __name__ == "__main__":  # before NumPy is loaded: threads inside it only slow small matrices down
    import os

    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

# %% [markdown] lang="en"
# ## 1. A solved example: the tally
#
# N votes $x_n$ are counted, and each belongs to one of C classes, $k_n$. All are multiplied with one number w.
#
# | forward | backward |
# |---|---|
# | $total_c = \sum_{n:\, k_n = c} w\, x_n$ | $dx_n = w\, dtotal_{k_n}$ |
# | | $dw = \sum_n x_n\, dtotal_{k_n}$ |
#
# Shapes: x and k are (N,), total is (C,), w is a number. Ask of each number where it went. $x_n$ went into one
# place, that of its class, so its gradient is fetched from there. w went everywhere, so its gradient is a sum.
#
# A trap stands in the forward pass. `totals[classes] += w * x` looks right and is wrong: where a class occurs
# twice, only one of its votes is left. The loop below adds each vote by itself.
#
# Backward changes neither the cache nor the gradient that it is given.

# %% [markdown] lang="zh"
# ## 1. 解好的例子：计票
#
# 有 N 张票 $x_n$，每张属于 C 个类别中的一个，即 $k_n$。所有的票都乘以同一个数 w，再按类别相加。
#
# | 前向 | 反向 |
# |---|---|
# | $total_c = \sum_{n:\, k_n = c} w\, x_n$ | $dx_n = w\, dtotal_{k_n}$ |
# | | $dw = \sum_n x_n\, dtotal_{k_n}$ |
#
# 形状：x 和 k 是 (N,)，total 是 (C,)，w 是一个数。对每个数都问它去了哪里。$x_n$ 只去了一处，即它的类别，
# 所以它的梯度就从那里取来。w 到处都用到，所以它的梯度是一个和。
#
# 前向里有一个陷阱。`totals[classes] += w * x` 看上去对，其实是错的：一个类别出现两次时，只有一张票留下来。
# 下面的循环把每张票单独加上去。
#
# 反向既不改动缓存，也不改动传给它的梯度。


# %%
def tally_forward(x, w, classes, C):
    """x, classes (N,); w a number. Returns (totals (C,), cache)."""
    totals = np.zeros(C)
    for n in range(len(x)):
        totals[classes[n]] += w * x[n]
    return totals, (x, w, classes)


def tally_backward(dtotals, cache):
    """dtotals (C,). Returns (dx (N,), dw)."""
    x, w, classes = cache
    fetched = dtotals[classes]  # (N,): what each vote's class received
    return w * fetched, (x * fetched).sum()


x, classes = np.array([1.0, 2.0, 4.0, 8.0]), np.array([0, 2, 2, 2])
totals, cache = tally_forward(x, 0.5, classes, 4)
dx, dw = tally_backward(np.array([10.0, 20.0, 30.0, 40.0]), cache)
assert totals.tolist() == [0.5, 0, 7, 0] and dx.tolist() == [5, 15, 15, 15] and dw == 430
print(f"totals {totals}, dx {dx}, dw {dw}")

# %% [markdown] lang="en"
# ## 2. The linear layer
#
# $$out_{nk} = \sum_d x_{nd} W_{dk} + b_k$$
#
# | name | shape | |
# |---|---|---|
# | x | (..., D) | any number of axes may stand before D, such as (T, B, D) |
# | W | (D, K) | |
# | b | (K,) or None | None: there is no bias, and db is None |
# | out | (..., K) | |
#
# Where there are axes before D, count them as one: N rows. The order of the rows stays, so this reshape is
# harmless.
#
# ### Task `linear` (10 points)
#
# Write the pair. To find the three gradients, ask of each number where it goes and with which factor (lesson 2,
# section 2). Beware of a help that fails: where D = K, a wrong product has the right shape, too.

# %% [markdown] lang="zh"
# ## 2. 线性层
#
# $$out_{nk} = \sum_d x_{nd} W_{dk} + b_k$$
#
# | 名称 | 形状 | |
# |---|---|---|
# | x | (..., D) | D 之前可以有任意多个轴，例如 (T, B, D) |
# | W | (D, K) | |
# | b | (K,) 或 None | None 表示没有偏置，这时 db 为 None |
# | out | (..., K) | |
#
# D 之前有多个轴时，把它们当作一个轴来数，即 N 行。行的顺序不变，所以这个 reshape 没有害处。
#
# ### 任务 `linear`（10 分）
#
# 写出这一对函数。求三个梯度时，对每个数都问：它去了哪里，带着什么因子（第 2 课第 2 节）。
# 有一个办法会失灵，要当心：D = K 时，错误的乘积形状也是对的。


# %% tags=["answer"] task="linear" kind="linear"
def linear_forward(x, W, b=None):
    """out = x W + b on the last axis.

    x (..., D); W (D, K); b (K,) or None. Returns (out (..., K), cache): the cache is whatever backward needs.
    """
    # BEGIN SOLUTION
    # out = x W + b
    out = x @ W
    if b is not None:
        out = out + b
    return out, (x, W, b is not None)
    # END SOLUTION


def linear_backward(dout, cache):
    """dout (..., K). Returns (dx (..., D), dW (D, K), db (K,)); db is None where b was None."""
    # BEGIN SOLUTION
    x, W, has_bias = cache
    D, K = W.shape
    rows, drows = x.reshape(-1, D), dout.reshape(-1, K)
    # out = x W + b
    dx = dout @ W.T
    dW = rows.T @ drows
    db = drows.sum(axis=0) if has_bias else None
    return dx, dW, db
    # END SOLUTION


# %% tags=["public"] task="linear" check="shapes and known values" points=1
import numpy as np

from minis2s.classroom.checks import parts, same

x, W, b = np.array([[[1.0, 2.0]], [[3.0, 0.0]]]), np.array([[1.0, 0.0, 2.0], [0.0, 1.0, -1.0]]), np.ones(3)
out, cache = linear_forward(x, W, b)  # (2, 1, 2) and (2, 3)
same(out, np.array([[[2.0, 3.0, 1.0]], [[4.0, 1.0, 7.0]]]), "out")
dx, dW, db = parts(
    linear_backward(np.array([[[1.0, 0.0, 2.0]], [[0.0, 5.0, 0.0]]]), cache), "dx dW db", "backward"
)
same(dx, np.array([[[5.0, -2.0]], [[0.0, 5.0]]]), "dx")
same(dW, np.array([[1.0, 15.0, 2.0], [2.0, 0.0, 4.0]]), "dW")
same(db, np.array([1.0, 5.0, 2.0]), "db")

# %% tags=["public"] task="linear" check="dW by differences" points=1
import numpy as np

from minis2s.classroom.checks import parts, same

rng = np.random.default_rng(1)
x, dout, b = rng.standard_normal((4, 3, 5)), rng.standard_normal((4, 3, 2)), rng.standard_normal(2)
W, direction = rng.standard_normal((2, 5, 2))
_, dW, _ = parts(linear_backward(dout, linear_forward(x, W, b)[1]), "dx dW db", "linear_backward")
h = 1e-4
change = linear_forward(x, W + h * direction, b)[0] - linear_forward(x, W - h * direction, b)[0]
same((dW * direction).sum(), (dout * change).sum() / (2 * h), "the slope that dW gives", tol=1e-6)

# %% tags=["hidden"] task="linear" check="output" points=1
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, D, K = rng.integers(2, 7, 4)
x, W, b = rng.standard_normal((T, B, D)), rng.standard_normal((D, K)), rng.standard_normal(K)
same(linear_forward(x, W, b)[0], x @ W + b, "out")

# %% tags=["hidden"] task="linear" check="without a bias" points=1
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
T, B, D, K = rng.integers(2, 7, 4)
x, W, dout = rng.standard_normal((T, B, D)), rng.standard_normal((D, K)), rng.standard_normal((T, B, K))
out, cache = linear_forward(x, W, None)
same(out, x @ W, "out")
dx, _, db = parts(linear_backward(dout, cache), "dx dW db", "linear_backward")
same(dx, dout @ W.T, "dx")
same(db, None, "db")

# %% tags=["hidden"] task="linear" check="dx" points=2
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
T, B, D = rng.integers(2, 7, 3)
x, W, b = rng.standard_normal((T, B, D)), rng.standard_normal((D, D)), rng.standard_normal(D)
dout = rng.standard_normal((T, B, D))
dx, _, _ = parts(linear_backward(dout, linear_forward(x, W, b)[1]), "dx dW db", "linear_backward")
same(dx, dout @ W.T, "dx")

# %% tags=["hidden"] task="linear" check="dW" points=2
import numpy as np

from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
T, B, D, K = rng.integers(2, 7, 4)
x, W, b = rng.standard_normal((T, B, D)), rng.standard_normal((D, K)), rng.standard_normal(K)
dout = rng.standard_normal((T, B, K))
_, dW, _ = parts(linear_backward(dout, linear_forward(x, W, b)[1]), "dx dW db", "linear_backward")
same(dW, np.einsum("tbd,tbk->dk", x, dout), "dW")

# %% tags=["hidden"] task="linear" check="db" points=1
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
T, B, D, K = rng.integers(2, 7, 4)
x, W, b = rng.standard_normal((T, B, D)), rng.standard_normal((D, K)), rng.standard_normal(K)
dout = rng.standard_normal((T, B, K))
_, _, db = parts(linear_backward(dout, linear_forward(x, W, b)[1]), "dx dW db", "linear_backward")
same(db, dout.sum(axis=(0, 1)), "db")

# %% tags=["hidden"] task="linear" check="other numbers of axes, one row, backward twice" points=1
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
W, b = rng.standard_normal((4, 3)), rng.standard_normal(3)
for axes in ((5,), (1,), (2, 1, 3)):
    x, dout = rng.standard_normal((*axes, 4)), rng.standard_normal((*axes, 3))
    out, cache = linear_forward(x, W, b)
    expected, theirs = functional.linear.forward(x, W, b)
    same(out, expected, "out")
    for call in ("first", "second"):
        grads = parts(linear_backward(dout, cache), "dx dW db", "linear_backward")
        for name, mine, right in zip(("dx", "dW", "db"), grads, functional.linear.backward(dout, theirs)):
            same(mine, right, f"{name} of the {call} call")

# %% [markdown] lang="en"
# ## 3. The embedding
#
# $$out_n = W_{ids_n} \qquad\qquad dW_v = \sum_{n:\, ids_n = v} dout_n$$
#
# | name | shape | |
# |---|---|---|
# | W | (V, E) | the table: a row for each letter |
# | ids | (...) | integers from 0 to V - 1, with any number of axes, such as (T, B) |
# | out | (..., E) | the rows |
#
# A letter that occurs three times receives the sum of three gradients. A letter that does not occur receives 0.
# The ids have no gradient.
#
# ### Task `embedding` (9 points)
#
# Write the pair. Think of the trap in the tally. A loop over the N ids is right; `np.add.at` is a way without one.

# %% [markdown] lang="zh"
# ## 3. 嵌入
#
# $$out_n = W_{ids_n} \qquad\qquad dW_v = \sum_{n:\, ids_n = v} dout_n$$
#
# | 名称 | 形状 | |
# |---|---|---|
# | W | (V, E) | 表：每个字母一行 |
# | ids | (...) | 0 到 V - 1 的整数，可以有任意多个轴，例如 (T, B) |
# | out | (..., E) | 取出的行 |
#
# 出现三次的字母得到三个梯度之和。没有出现的字母得到 0。id 没有梯度。
#
# ### 任务 `embedding`（9 分）
#
# 写出这一对函数。想一想计票例子里的陷阱。对 N 个 id 逐个循环是对的；不用循环的办法是 `np.add.at`。


# %% tags=["answer"] task="embedding" kind="embedding"
def embedding_forward(W, ids):
    """out[n] = W[ids[n]].

    W (V, E); ids (...) of integers. Returns (out (..., E), cache).
    """
    # BEGIN SOLUTION
    # out[n] = W[ids[n]]
    return W[ids], (W.shape, ids)
    # END SOLUTION


def embedding_backward(dout, cache):
    """dout (..., E). Returns dW (V, E)."""
    # BEGIN SOLUTION
    shape, ids = cache
    dW = np.zeros(shape, dtype=dout.dtype)
    # out[n] = W[ids[n]]
    np.add.at(dW, ids.reshape(-1), dout.reshape(-1, shape[1]))
    return dW
    # END SOLUTION


# %% tags=["public"] task="embedding" check="shapes and known values" points=1
import numpy as np

from minis2s.classroom.checks import same

W = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
out, cache = embedding_forward(W, np.array([[2, 0], [2, 2]]))
same(out, np.array([[[5.0, 6.0], [1.0, 2.0]], [[5.0, 6.0], [5.0, 6.0]]]), "out")
dW = embedding_backward(np.array([[[1.0, 10.0], [2.0, 20.0]], [[4.0, 40.0], [8.0, 80.0]]]), cache)
same(dW, np.array([[2.0, 20.0], [0.0, 0.0], [13.0, 130.0]]), "dW")

# %% tags=["public"] task="embedding" check="gradient by differences" points=1
import numpy as np

from minis2s.classroom.checks import same

rng = np.random.default_rng(1)
W, direction = rng.standard_normal((2, 5, 3))
ids, dout = rng.integers(0, 5, (4, 2)), rng.standard_normal((4, 2, 3))
dW = embedding_backward(dout, embedding_forward(W, ids)[1])
h = 1e-4
change = embedding_forward(W + h * direction, ids)[0] - embedding_forward(W - h * direction, ids)[0]
same((dW * direction).sum(), (dout * change).sum() / (2 * h), "the slope that dW gives", tol=1e-6)

# %% tags=["hidden"] task="embedding" check="rows" points=1
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, V, E = rng.integers(2, 7, 4)
W, ids = rng.standard_normal((V, E)), rng.integers(0, V, (T, B))
same(embedding_forward(W, ids)[0], W[ids], "out")

# %% tags=["hidden"] task="embedding" check="gradient, each id at most once" points=2
from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, E = rng.integers(2, 5, 3)
W, dout = rng.standard_normal((20, E)), rng.standard_normal((T, B, E))
ids = rng.permutation(20)[: T * B].reshape(T, B)
expected = functional.embedding.backward(dout, functional.embedding.forward(W, ids)[1])
same(embedding_backward(dout, embedding_forward(W, ids)[1]), expected, "dW")

# %% tags=["hidden"] task="embedding" check="gradient, repeated ids" points=2
from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, E = rng.integers(4, 9, 3)
V = 9
W, dout, ids = rng.standard_normal((V, E)), rng.standard_normal((T, B, E)), rng.integers(0, V - 2, (T, B))
expected = functional.embedding.backward(dout, functional.embedding.forward(W, ids)[1])
same(embedding_backward(dout, embedding_forward(W, ids)[1]), expected, "dW")

# %% tags=["hidden"] task="embedding" check="one id everywhere" points=1
import numpy as np

from minis2s.classroom.checks import fresh, same

rng = fresh()
W, dout = rng.standard_normal((6, 3)), rng.standard_normal((5, 4, 3))
v = int(rng.integers(6))
expected = np.zeros((6, 3))
expected[v] = dout.sum(axis=(0, 1))
same(embedding_backward(dout, embedding_forward(W, np.full((5, 4), v))[1]), expected, "dW")

# %% tags=["hidden"] task="embedding" check="other numbers of axes, one id, backward twice" points=1
from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
W = rng.standard_normal((5, 3))
for axes in ((7,), (1, 1), (2, 3, 2)):
    ids, dout = rng.integers(0, 5, axes), rng.standard_normal((*axes, 3))
    out, cache = embedding_forward(W, ids)
    expected, theirs = functional.embedding.forward(W, ids)
    same(out, expected, "out")
    for call in ("first", "second"):
        dW = embedding_backward(dout, cache)
        same(dW, functional.embedding.backward(dout, theirs), f"dW of the {call} call")

# %% [markdown] lang="en"
# ## 4. One table, used twice
#
# A letter is missing: *b?tter*. Which one is it? A very small model answers from the other letters alone: it takes
# the mean of their rows, and gives each letter v of the alphabet the score
#
# $$m_b = \frac{1}{N_b} \sum_{t\ \text{real}} E_{ids_{tb}} \qquad\qquad z_{bv} = m_b \cdot E_v + c_v$$
#
# | name | shape | |
# |---|---|---|
# | E | (V, D) | one table, for the letters that are read **and** for those that are guessed |
# | c | (V,) | how frequent each letter is anyway |
# | ids | (T, B) | the letters that can be seen |
# | mask | (T, B) or None | True where a letter is real; $N_b$ is how many are real in column b |
# | m, z | (B, D), (B, V) | the mean row, and the scores |
#
# Where a column has no real letter, its mean is 0 and its scores are c. The mean of the context is from Mikolov
# and others (2013). Using one table for input and output, *tying*, is from Press and Wolf (2017) and Inan and
# others (2017); many large language models do it.
#
# ### Task `tied` (12 points)
#
# Write the pair. E is used in two places, so its gradient is a sum of two parts. A letter that is not seen in the
# word gets only one of them.

# %% [markdown] lang="zh"
# ## 4. 一张表，用两次
#
# 缺了一个字母：*b?tter*。是哪一个？一个很小的模型只凭其余的字母来回答：它取这些字母的行的平均，
# 再给字母表中的每个字母 v 打一个分：
#
# $$m_b = \frac{1}{N_b} \sum_{t\ \text{real}} E_{ids_{tb}} \qquad\qquad z_{bv} = m_b \cdot E_v + c_v$$
#
# | 名称 | 形状 | |
# |---|---|---|
# | E | (V, D) | 同一张表，读到的字母**和**要猜的字母都用它 |
# | c | (V,) | 每个字母本来有多常见 |
# | ids | (T, B) | 看得见的字母 |
# | mask | (T, B) 或 None | 真实的字母处为 True；$N_b$ 是第 b 列中真实字母的个数 |
# | m、z | (B, D)、(B, V) | 平均行，以及分数 |
#
# 求和只对真实的（real）字母进行。一列中没有真实的字母时，平均为 0，分数就是 c。对上下文取平均的做法出自 Mikolov 等（2013）。
# 输入与输出共用一张表，称为*绑定*（tying），出自 Press 和 Wolf（2017）以及 Inan 等（2017）；许多大型语言模型都这样做。
#
# ### 任务 `tied`（12 分）
#
# 写出这一对函数。E 用在两处，所以它的梯度是两部分之和。单词里看不到的字母只得到其中一部分。


# %% tags=["answer"] task="tied"
def tied_forward(E, c, ids, mask=None):
    """The scores of each letter for the missing one.

    E (V, D); c (V,); ids (T, B) integers; mask (T, B) of bools, or None. Returns (scores (B, V), cache).
    """
    # BEGIN SOLUTION
    real = np.ones(ids.shape) if mask is None else mask.astype(float)
    # m_b = sum over real t of E[ids_tb] / N_b
    share = real / np.maximum(real.sum(axis=0), 1)  # (T, B)
    mean = (E[ids] * share[..., None]).sum(axis=0)
    # scores = m E^T + c
    return mean @ E.T + c, (E, ids, share, mean)
    # END SOLUTION


def tied_backward(dscores, cache):
    """dscores (B, V). Returns (dE (V, D), dc (V,))."""
    # BEGIN SOLUTION
    E, ids, share, mean = cache
    # scores = m E^T + c
    dc = dscores.sum(axis=0)
    dE = dscores.T @ mean
    dmean = dscores @ E
    # m_b = sum over real t of E[ids_tb] / N_b
    drows = share[..., None] * dmean  # (T, B, D)
    np.add.at(dE, ids, drows)
    return dE, dc
    # END SOLUTION


# %% tags=["public"] task="tied" check="shapes and known values" points=1
import numpy as np

from minis2s.classroom.checks import parts, same

E, c = np.array([[2.0, 0.0], [0.0, 4.0], [1.0, 1.0]]), np.array([0.0, 0.0, 10.0])
ids, mask = np.array([[0, 1], [1, 2]]), np.array([[True, True], [True, False]])
scores, cache = tied_forward(E, c, ids, mask)  # the mean rows are (1, 2) and (0, 4)
same(scores, np.array([[2.0, 8.0, 13.0], [0.0, 16.0, 14.0]]), "scores")
dE, dc = parts(tied_backward(np.array([[0.0, 0.0, 2.0], [1.0, 0.0, 0.0]]), cache), "dE dc", "tied_backward")
same(dE, np.array([[1.0, 5.0], [3.0, 1.0], [2.0, 4.0]]), "dE")
same(dc, np.array([1.0, 0.0, 2.0]), "dc")

# %% tags=["public"] task="tied" check="dE by differences" points=1
import numpy as np

from minis2s.classroom.checks import parts, same

rng = np.random.default_rng(1)
E, direction = rng.standard_normal((2, 6, 3))
c, ids, dscores = rng.standard_normal(6), rng.integers(0, 6, (4, 2)), rng.standard_normal((2, 6))
dE, _ = parts(tied_backward(dscores, tied_forward(E, c, ids)[1]), "dE dc", "tied_backward")
h = 1e-4
change = tied_forward(E + h * direction, c, ids)[0] - tied_forward(E - h * direction, c, ids)[0]
same((dE * direction).sum(), (dscores * change).sum() / (2 * h), "the slope that dE gives", tol=1e-6)

# %% tags=["hidden"] task="tied" check="scores" points=2
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, V, D = rng.integers(2, 7, 4)
E, c, ids = rng.standard_normal((V, D)), rng.standard_normal(V), rng.integers(0, V, (T, B))
same(tied_forward(E, c, ids)[0], E[ids].mean(axis=0) @ E.T + c, "scores")

# %% tags=["hidden"] task="tied" check="scores with padding" points=1
import numpy as np

from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, V, D = rng.integers(3, 7, 4)
E, c, ids = rng.standard_normal((V, D)), rng.standard_normal(V), rng.integers(0, V, (T, B))
mask = rng.permuted(np.arange(T)[:, None] < rng.integers(1, T, B), axis=0)  # the hidden letters, anywhere
counts = np.zeros((B, V))  # how often each letter is seen in each column
for t in range(T):
    counts[np.arange(B), ids[t]] += mask[t]
expected = counts / counts.sum(axis=1, keepdims=True) @ E @ E.T + c
same(tied_forward(E, c, ids, mask)[0], expected, "scores with padding")

# %% tags=["hidden"] task="tied" check="dc" points=1
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
T, B, V, D = rng.integers(2, 7, 4)
E, c, ids = rng.standard_normal((V, D)), rng.standard_normal(V), rng.integers(0, V, (T, B))
dscores = rng.standard_normal((B, V))
_, dc = parts(tied_backward(dscores, tied_forward(E, c, ids)[1]), "dE dc", "tied_backward")
same(dc, dscores.sum(axis=0), "dc")

# %% tags=["hidden"] task="tied" check="rows of letters that are not seen" points=1
import numpy as np

from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
T, B, D = rng.integers(2, 7, 3)
E, c, ids = rng.standard_normal((10, D)), rng.standard_normal(10), rng.integers(0, 5, (T, B))
dscores = rng.standard_normal((B, 10))
dE, _ = parts(tied_backward(dscores, tied_forward(E, c, ids)[1]), "dE dc", "tied_backward")
same(np.shape(dE)[0], 10, "the number of rows of dE")
same(dE[5:], dscores[:, 5:].T @ E[ids].mean(axis=0), "the part of dE for letters that are not seen")

# %% tags=["hidden"] task="tied" check="dE" points=2
import numpy as np

from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
T, B, V, D = rng.integers(3, 7, 4)
E, c, ids = rng.standard_normal((V, D)), rng.standard_normal(V), rng.integers(0, V, (T, B))
ids[0] = ids[1]  # a letter twice in each word
dscores = rng.standard_normal((B, V))
counts = np.zeros((B, V))
for t in range(T):
    counts[np.arange(B), ids[t]] += 1
expected = counts.T / T @ dscores @ E + dscores.T @ counts / T @ E
dE, _ = parts(tied_backward(dscores, tied_forward(E, c, ids)[1]), "dE dc", "tied_backward")
same(dE, expected, "dE")

# %% tags=["hidden"] task="tied" check="dE with padding" points=1
import numpy as np

from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
T, B, V, D = rng.integers(3, 7, 4)
E, c, ids = rng.standard_normal((V, D)), rng.standard_normal(V), rng.integers(0, V, (T, B))
mask = rng.permuted(np.arange(T)[:, None] < rng.integers(1, T, B), axis=0)
dscores = rng.standard_normal((B, V))
counts = np.zeros((B, V))
for t in range(T):
    counts[np.arange(B), ids[t]] += mask[t]
share = counts / counts.sum(axis=1, keepdims=True)
dE, _ = parts(tied_backward(dscores, tied_forward(E, c, ids, mask)[1]), "dE dc", "tied_backward")
same(dE, share.T @ dscores @ E + dscores.T @ share @ E, "dE")

# %% tags=["hidden"] task="tied" check="nothing seen, one letter, backward twice" points=1
import numpy as np

from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
E, c, ids = rng.standard_normal((4, 3)), rng.standard_normal(4), rng.integers(0, 4, (1, 2))
mask = np.array([[True, False]])  # two words of one letter; of the second nothing is seen
dscores = rng.standard_normal((2, 4))
scores, cache = tied_forward(E, c, ids, mask)
same(scores, np.array([E[ids[0, 0]] @ E.T + c, c]), "scores")
expected = dscores[:1].T @ E[ids[0, :1]]
expected[ids[0, 0]] += dscores[0] @ E
for call in ("first", "second"):
    dE, _ = parts(tied_backward(dscores, cache), "dE dc", "tied_backward")
    same(dE, expected, f"dE of the {call} call")

# %% tags=["hidden"] task="tied" check="quick: no forward pass for each number" points=1
import numpy as np

from minis2s.classroom.checks import fresh, parts, quick, same, together

rng = fresh()
E, c, ids, dscores = (
    rng.standard_normal((500, 100)),
    np.zeros(500),
    rng.integers(0, 500, (20, 10)),
    rng.standard_normal((10, 500)),
)
forward, backward = together(tied_forward, tied_backward)
_, cache = quick(forward, E, c, ids)
forward(-E, c, 499 - ids)  # as in training, where another batch comes between
dE, _ = parts(quick(backward, dscores, cache), "dE dc", "tied_backward")
share = np.zeros((10, 500))
for t in range(20):
    share[np.arange(10), ids[t]] += 1 / 20
same(dE, share.T @ dscores @ E + dscores.T @ share @ E, "dE")

# %% [markdown] lang="en" tags=["written"] task="embedding_written" points=4
# ## 5. In your own words: `embedding_written` (4 points)
#
# 1. A friend writes `dW[ids] += dout` in the embedding. Nothing is raised, and the loss falls. Which letters learn
#    too little, and why does a gradient check with the ids 0, 1, 2, 3 not find it?
# 2. Why is db a sum over all rows, and dx not?
# 3. In a word, most letters of the alphabet do not occur. In which of the two models of this assignment, the
#    embedding and the tied one, do their rows move nevertheless? Why is that so?
#
# Two or three sentences each.

# %% [markdown] lang="zh" tags=["written"] task="embedding_written" points=4
# ## 5. 用你自己的话：`embedding_written`（4 分）
#
# 1. 一位朋友在嵌入里写了 `dW[ids] += dout`。没有报错，损失也在下降。哪些字母学得太少？
#    为什么用 id 0、1、2、3 做梯度检查发现不了这个错误？
# 2. 为什么 db 是对所有行求和，而 dx 不是？
# 3. 一个单词里，字母表中的大多数字母都没有出现。在本作业的两个模型（嵌入，以及绑定的模型）中，
#    哪一个里它们的行仍会移动？为什么？
#
# 每题两三句话。

# %% [markdown] lang="en" tags=["model-answer"] task="embedding_written"
# 1. The frequent letters: of all places where a letter occurs in the batch, only the last one counts. With ids that
#    are all different nothing is lost, so the check is right about this input. A check needs an id that occurs twice.
# 2. b is added to every row, so each row sends it a gradient, and they add up. Each row of x goes only into its own
#    row of the output, so nothing else sends it a gradient. (The sum in dx runs over the K outputs.)
# 3. In the tied one. There the row of every letter is compared with the mean to make its score, so a letter that is
#    not seen gets a gradient from its own score. In the embedding a row that was not read took no part in the result.
#
# (1 point for each, and 1 for naming in 1 what a better check needs.)

# %% [markdown] lang="zh" tags=["model-answer"] task="embedding_written"
# 1. 常见的字母：一个字母在批次里出现多处时，只有最后一处算数。id 各不相同时什么也没有丢，所以对这样的输入检查结果是对的。
#    检查需要一个出现两次的 id。
# 2. b 加到每一行上，所以每一行都给它传回一个梯度，这些梯度要相加。x 的每一行只进入输出中它自己的那一行，
#    别处没有梯度传给它。（dx 里的求和是对 K 个输出进行的。）
# 3. 绑定的模型。在那里，每个字母的行都要与平均行作比较，才能得出它的分数，所以没看到的字母也从自己的分数得到梯度。
#    在嵌入里，没有读到的行没有参与结果。
#
# （每问 1 分；第 1 问说出更好的检查需要什么，再加 1 分。）

# %% [markdown] lang="en"
# ## 6. Your layers train a model
#
# The model reads the letters of an English word through your embedding, and scores its sounds through your linear
# layer. In about ten seconds it learns from twenty thousand short words. Then it pronounces some that it has not
# seen, and shows which letters have moved near to one another.

# %% [markdown] lang="zh"
# ## 6. 用你的层训练模型
#
# 模型通过你的嵌入读英语单词的字母，再通过你的线性层给音素打分。它在十秒左右的时间里从两万个短单词中学习，
# 然后读出几个没见过的词，并显示哪些字母彼此靠近了。

# %% tags=["train"]
import numpy as np

from minis2s import (
    Adam,
    Embedding,
    Linear,
    ModelConfig,
    Op,
    Translator,
    UserError,
    clip_global_norm,
    encode_pairs,
    load_task,
    make_batch,
    nearest_tokens,
)

my_embedding = Op("my embedding", embedding_forward, embedding_backward)
my_linear = Op("my linear layer", linear_forward, linear_backward)
STEPS = 600


def train(words):
    """A new model with your layers, trained on the words."""
    translator = Translator.for_pairs(
        words, ModelConfig(cell="gru", bidirectional=False, embed=32, hidden=64), target_tokenizer="space"
    )
    model, rng = translator.model, np.random.default_rng(0)
    letters, sounds = len(translator.source.vocabulary), len(translator.target.vocabulary)
    model.encoder.embedding = Embedding(letters, 32, rng=rng, op=my_embedding)
    model.decoder.embedding = Embedding(sounds, 32, rng=rng, op=my_embedding)
    model.decoder.output = Linear(64, sounds, rng=rng, op=my_linear)
    examples = encode_pairs(words, translator.source, translator.target, all_targets=False)
    optimizer = Adam(model.parameters(), lr=5e-3)
    for step in range(STEPS):
        optimizer.lr = 5e-3 * min(1, 2 - 2 * step / STEPS)  # smaller steps in the second half
        batch = make_batch(examples, rng.integers(len(examples), size=64))
        model.zero_grad()
        loss, cache = model.loss(batch)
        model.backward(1.0, cache)
        clip_global_norm(model.parameters(), 1.0)
        optimizer.step()
        if step % 150 == 0 or step == STEPS - 1:
            print(f"step {step:3}: loss {loss:.2f}")
    return translator


try:
    words = [pair for pair in load_task("g2p").train if len(pair.source) <= 6][:20_000]
except UserError as error:
    print(error)
else:
    translator = train(words)
    for word in ("chatbot", "webcam", "zumba", "sudoku", "muggle"):
        print(f"{word:8} {translator.translate([word])[0][0].text}")
    table = translator.model.encoder.embedding.W.data
    for letter, near in nearest_tokens(table, translator.source.vocabulary, list("aekm"), count=2).items():
        print(f"near to {letter}: {', '.join(neighbour.token for neighbour in near)}")

# %% [markdown] lang="en"
# ## 7. What to read next
#
# * T. Mikolov, K. Chen, G. Corrado and J. Dean, "Efficient estimation of word representations in vector space",
#   ICLR workshop 2013: the missing word, guessed from the mean of its neighbours.
# * O. Press and L. Wolf, "Using the output embedding to improve language models", EACL 2017; H. Inan, K. Khosravi
#   and R. Socher, "Tying word vectors and word classifiers", ICLR 2017: one table, used twice.

# %% [markdown] lang="zh"
# ## 7. 接下来读什么
#
# * T. Mikolov, K. Chen, G. Corrado, J. Dean, "Efficient estimation of word representations in vector space",
#   ICLR workshop 2013：从邻近词的平均猜出缺失的词。
# * O. Press, L. Wolf, "Using the output embedding to improve language models", EACL 2017；H. Inan, K. Khosravi,
#   R. Socher, "Tying word vectors and word classifiers", ICLR 2017：一张表，用两次。
