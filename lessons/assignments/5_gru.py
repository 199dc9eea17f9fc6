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

# %% [markdown] lang="en" minutes=150
# # Assignment 5: keep or overwrite? The GRU
#
# Read *knight* letter by letter. The k is silent, because an n follows. The gh is silent, too, but it makes the i
# long, and that i is long gone by. At each letter a reader decides for every single thing in mind: keep it, or
# overwrite it with what was just read? And in order to make something new: how much of the old may have a say?
#
# **Two questions, two gates. How are they asked so that a gradient can improve the answers?**
#
# The gated recurrent unit of Cho and others (2014) is the smallest cell that remembers well. Two forms of it are in
# use, and they are confused so often that models are ruined by it. You write both. At the end your GRU trains a
# model that pronounces words.
#
# You need lesson 5 (`05_gru.py`): it derives the backward pass of both forms. The mask is as in assignment 3.
#
# What is given: a solved example of the same form. What you write: three pairs of functions, marked with
# `NotImplementedError`, and a few sentences. What you may use: NumPy. Each task has checks that you see, and
# others that you do not see. Expected time: two and a half hours.

# %% [markdown] lang="zh"
# # 作业 5：保留还是覆盖？GRU
#
# 逐个字母地读 *knight*。k 不发音，因为后面是 n。gh 也不发音，却让 i 读成长音，而那个 i 早已读过去了。每读一个字母，
# 读者都要为心里记着的每一样东西作决定：保留它，还是用刚读到的覆盖它？要得出新的东西时：旧的能有多少发言权？
#
# **两个问题，两个门。怎样提问，才能让梯度来改进答案？**
#
# Cho 等（2014）的门控循环单元（GRU）是记忆力好的单元中最小的一种。它有两种形式在使用，常常被混为一谈，以至于毁掉整个模型。
# 你两种都要写。最后，用你的 GRU 训练一个会念单词的模型。
#
# 需要第 5 课（`05_gru.py`）：其中推导了两种形式的反向传播。掩码与作业 3 相同。
#
# 已经给出的：一个形式相同、已经解好的例子。要你写的：三对函数，用 `NotImplementedError` 标出，还有几句话。
# 可以使用的：NumPy。每个任务都有看得见的检查，也有看不见的检查。预计用时：两个半小时。

# %%
if __name__ == "__main__":  # before NumPy is loaded: threads inside it only slow small matrices down
    import os

    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

# %% [markdown] lang="en"
# ## 1. A solved example: one gate
#
# A cell with a single gate and without a candidate of its own: it keeps a share u of its state and takes the rest
# from the input.
#
# | forward | backward |
# |---|---|
# | $u = \sigma(z)$ with $z = x \cdot w + b$ | $dz = du \cdot u\,(1 - u)$, then $dx \mathrel{+}= dz \cdot w$ |
# | | $dw$ and $db$ = the sums of $dz \cdot x$ and of $dz$ over the batch |
# | $h = (1 - u) \cdot x + u \cdot h_{prev}$ | $dx = dh \cdot (1 - u)$ and $dh_{prev} = dh \cdot u$ |
# | | $du = dh \cdot (h_{prev} - x)$ |
#
# Read the right column from below. Shapes: x, z, u and h are (B, H), w and b are (H,). Each unit has a weight of
# its own, so there is no matrix.
#
# Note the sign in du: more u means more of the old **instead of** the new, so its gradient holds the difference. And
# x is used in two places, so dx has two parts.

# %% [markdown] lang="zh"
# ## 1. 解好的例子：一个门
#
# 一个只有一个门、没有候选值的单元：它保留状态的份额 u，其余的取自输入。
#
# | 前向 | 反向 |
# |---|---|
# | $u = \sigma(z)$，其中 $z = x \cdot w + b$ | $dz = du \cdot u\,(1 - u)$，然后 $dx \mathrel{+}= dz \cdot w$ |
# | | $dw$ 和 $db$ = $dz \cdot x$ 和 $dz$ 分别在批次上求和 |
# | $h = (1 - u) \cdot x + u \cdot h_{prev}$ | $dx = dh \cdot (1 - u)$，$dh_{prev} = dh \cdot u$ |
# | | $du = dh \cdot (h_{prev} - x)$ |
#
# 右边一列从下往上读。形状：x、z、u 和 h 是 (B, H)，w 和 b 是 (H,)。每个单元有自己的权重，所以没有矩阵。
#
# 注意 du 的符号：u 大一些，就多一些旧的、**少**一些新的，所以它的梯度里是两者之差。x 用在两处，所以 dx 有两部分。


# %%
def sigmoid(z):
    """1 / (1 + exp(-z)), without an overflow where z is very negative."""
    return 0.5 * np.tanh(0.5 * z) + 0.5


def gate_forward(x, h_prev, w, b):
    """x, h_prev (B, H); w, b (H,). Returns (h (B, H), cache)."""
    u = sigmoid(x * w + b)
    return (1 - u) * x + u * h_prev, (x, h_prev, w, u)


def gate_backward(dh, cache):
    """dh (B, H). Returns (dx (B, H), dh_prev (B, H), dw (H,), db (H,))."""
    x, h_prev, w, u = cache
    # h = (1 - u) * x + u * h_prev
    dx, dh_prev, du = dh * (1 - u), dh * u, dh * (h_prev - x)
    # u = sigmoid(x * w + b)
    dz = du * u * (1 - u)
    return dx + dz * w, dh_prev, (dz * x).sum(axis=0), dz.sum(axis=0)


x, h_prev, w, b = np.array([[1.0, -2.0], [0.5, 3.0]]), np.ones((2, 2)), np.array([0.3, -0.2]), np.zeros(2)
direction = np.array([[1.0, 2.0], [-1.0, 0.5]])
dx, *_ = gate_backward(np.ones((2, 2)), gate_forward(x, h_prev, w, b)[1])
up, down = (gate_forward(x + h * direction, h_prev, w, b)[0].sum() for h in (1e-6, -1e-6))
assert abs((dx * direction).sum() - (up - down) / 2e-6) < 1e-8
print(f"the slope that dx gives {(dx * direction).sum():.6f}, measured {(up - down) / 2e-6:.6f}")

# %% [markdown] lang="en"
# ## 2. One step, reset after the product
#
# We are at step t. A dot multiplies number by number.
#
# | equation | in words |
# |---|---|
# | $r = \sigma(x W_r + b_r + h_{prev} U_r + b'_r)$ | reset gate: how much may the old say? |
# | $u = \sigma(x W_u + b_u + h_{prev} U_u + b'_u)$ | update gate: how much of the old stays? |
# | $n = \tanh(x W_n + b_n + r \cdot (h_{prev} U_n + b'_n))$ | candidate: the new |
# | $h = (1 - u) \cdot n + u \cdot h_{prev}$ | a mixture of the new and the old |
#
# | name | shape | | name | shape |
# |---|---|---|---|---|
# | x | (B, D) | | Wx, the W of the table | (D, 3H) |
# | h_prev, h, r, u, n | (B, H) | | Wh, the U of the table | (H, 3H) |
# | mask | (B,) or None | | bx and bh, the b and the b' | (3H,) each |
#
# The 3H columns are three blocks of H, in the order **r, u, n**. Where the mask is False, h is $h_{prev}$.
#
# This is the form of cuDNN and of PyTorch. Mind the brackets of the third line: $b'_n$ stands inside, so r scales it.
#
# ### Task `gru_step` (15 points)
#
# Write both functions. First count the ways from $h_{prev}$ to h: $dh_{prev}$ has as many parts.

# %% [markdown] lang="zh"
# ## 2. 一步，乘法之后重置
#
# 我们处在第 t 步。点表示逐元素相乘。
#
# | 公式 | 含义 |
# |---|---|
# | $r = \sigma(x W_r + b_r + h_{prev} U_r + b'_r)$ | 重置门：旧的能有多少发言权？ |
# | $u = \sigma(x W_u + b_u + h_{prev} U_u + b'_u)$ | 更新门：旧的保留多少？ |
# | $n = \tanh(x W_n + b_n + r \cdot (h_{prev} U_n + b'_n))$ | 候选值：新的 |
# | $h = (1 - u) \cdot n + u \cdot h_{prev}$ | 新与旧的混合 |
#
# | 名称 | 形状 | | 名称 | 形状 |
# |---|---|---|---|---|
# | x | (B, D) | | Wx，即表中的 W | (D, 3H) |
# | h_prev、h、r、u、n | (B, H) | | Wh，即表中的 U | (H, 3H) |
# | mask | (B,) 或 None | | bx 和 bh，即 b 和 b' | 各 (3H,) |
#
# 3H 列是三个 H 列的块，顺序为 **r、u、n**。掩码为 False 的地方，h 就是 $h_{prev}$。
#
# 这是 cuDNN 和 PyTorch 的形式。注意第三行的括号：$b'_n$ 在括号里面，所以 r 也缩放它。
#
# ### 任务 `gru_step`（15 分）
#
# 写出两个函数。先数一数从 $h_{prev}$ 到 h 有几条路：$dh_{prev}$ 就有几部分。


# %% tags=["answer"] task="gru_step" kind="gru_step"
def gru_step_forward(x, h_prev, Wx, Wh, bx, bh, mask=None):
    """One step of a batch of GRU cells, reset after the product; blocks in the order r, u, n.

    x (B, D); h_prev (B, H); Wx (D, 3H); Wh (H, 3H); bx, bh (3H,); mask (B,) of bools, or None.
    Returns (h (B, H), cache): the cache is whatever backward needs.
    """
    # BEGIN SOLUTION
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx, 3, axis=1)
    zh_r, zh_u, zh_n = np.split(h_prev @ Wh + bh, 3, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + r * zh_n)
    h = (1 - u) * n + u * h_prev
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, Wx, Wh, r, u, n, zh_n, real)
    # END SOLUTION


def gru_step_backward(dh, cache):
    """The gradients of one step: the lines of forward, read upward.

    dh (B, H). Returns (dx (B, D), dh_prev (B, H), dWx (D, 3H), dWh (H, 3H), dbx (3H,), dbh (3H,)).
    """
    # BEGIN SOLUTION
    x, h_prev, Wx, Wh, r, u, n, zh_n, real = cache
    # where(real, h, h_prev)
    handed_on, dh = np.where(real, 0, dh), np.where(real, dh, 0)
    # h = (1 - u) * n + u * h_prev
    dn, du = dh * (1 - u), dh * (h_prev - n)
    # n = tanh(zx_n + r * zh_n)
    dz_n = dn * (1 - n**2)
    dr = dz_n * zh_n
    # r, u = sigmoid(...)
    dz_r, dz_u = dr * r * (1 - r), du * u * (1 - u)
    # zx = x Wx + bx;  zh = h_prev Wh + bh, whose block n is scaled by r
    dzx = np.concatenate([dz_r, dz_u, dz_n], axis=1)
    dzh = np.concatenate([dz_r, dz_u, dz_n * r], axis=1)
    dh_prev = dh * u + dzh @ Wh.T + handed_on
    return dzx @ Wx.T, dh_prev, x.T @ dzx, h_prev.T @ dzh, dzx.sum(axis=0), dzh.sum(axis=0)
    # END SOLUTION


# %% tags=["public"] task="gru_step" check="shapes and known values" points=1
import numpy as np

from minis2s.classroom.checks import parts, same

x, h_prev = np.array([[3.0], [5.0]]), np.array([[1.0], [0.5]])
Wx, Wh, bx, bh = (
    np.zeros((1, 3)),
    np.zeros((1, 3)),
    np.array([0, 0, np.log(2) - 1]),
    np.array([0.0, 0.0, 2.0]),
)
h, cache = gru_step_forward(x, h_prev, Wx, Wh, bx, bh, np.array([True, False]))  # the second row is padding
same(h, np.array([[0.8], [0.5]]), "h")  # r = u = 1/2, n = tanh(log 2) = 0.6
grads = gru_step_backward(np.array([[1.0], [7.0]]), cache)
dx, dh_prev, dWx, dWh, dbx, dbh = parts(grads, "dx dh_prev dWx dWh dbx dbh", "gru_step_backward")
same(dx, np.zeros((2, 1)), "dx")
same(dh_prev, np.array([[0.5], [7.0]]), "dh_prev")
same(dWx, np.array([[0.48, 0.3, 0.96]]), "dWx")
same(dWh, np.array([[0.16, 0.1, 0.16]]), "dWh")
same(dbx, np.array([0.16, 0.1, 0.32]), "dbx")
same(dbh, np.array([0.16, 0.1, 0.16]), "dbh")

# %% tags=["public"] task="gru_step" check="dh_prev by differences" points=1
import numpy as np

from minis2s.classroom.checks import parts, same

rng = np.random.default_rng(1)
x, Wx, Wh, bx, bh = (0.5 * rng.standard_normal(shape) for shape in ((3, 5), (5, 6), (2, 6), (6,), (6,)))
h_prev, dh, direction = rng.standard_normal((3, 3, 2))
_, cache = gru_step_forward(x, h_prev, Wx, Wh, bx, bh)
dh_prev = parts(gru_step_backward(dh, cache), "dx dh_prev dWx dWh dbx dbh", "gru_step_backward")[1]
up, down = (gru_step_forward(x, h_prev + h * direction, Wx, Wh, bx, bh)[0] for h in (1e-5, -1e-5))
same((dh_prev * direction).sum(), (dh * (up - down)).sum() / 2e-5, "the slope that dh_prev gives", tol=1e-6)

# %% tags=["hidden"] task="gru_step" check="state" points=2
from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
B, D, H = rng.integers(2, 7, 3)
shapes = (B, D), (B, H), (D, 3 * H), (H, 3 * H), (3 * H,), (3 * H,)
given = [0.5 * rng.standard_normal(shape) for shape in shapes]
same(gru_step_forward(*given)[0], functional.gru_step.forward(*given)[0], "h")

# %% tags=["hidden"] task="gru_step" check="state with padding" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
B, D, H = rng.integers(3, 7, 3)
shapes = (B, D), (B, H), (D, 3 * H), (H, 3 * H), (3 * H,), (3 * H,)
given = [0.5 * rng.standard_normal(shape) for shape in shapes]
mask = rng.permutation(np.arange(B) < rng.integers(1, B))
same(gru_step_forward(*given, mask)[0], functional.gru_step.forward(*given, mask)[0], "h with padding")

# %% tags=["hidden"] task="gru_step" check="dx" points=1
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
B, D, H = rng.integers(2, 7, 3)
shapes = (B, D), (B, H), (D, 3 * H), (H, 3 * H), (3 * H,), (3 * H,)
given = [0.5 * rng.standard_normal(shape) for shape in shapes]
dh = rng.standard_normal((B, H))
_, cache = gru_step_forward(*given)
grads = parts(gru_step_backward(dh, cache), "dx dh_prev dWx dWh dbx dbh", "gru_step_backward")
expected = functional.gru_step.backward(dh, functional.gru_step.forward(*given)[1])
same(grads[0], expected[0], "dx")

# %% tags=["hidden"] task="gru_step" check="dh_prev" points=2
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
B, D, H = rng.integers(2, 7, 3)
shapes = (B, D), (B, H), (D, 3 * H), (H, 3 * H), (3 * H,), (3 * H,)
given = [0.5 * rng.standard_normal(shape) for shape in shapes]
dh = rng.standard_normal((B, H))
_, cache = gru_step_forward(*given)
grads = parts(gru_step_backward(dh, cache), "dx dh_prev dWx dWh dbx dbh", "gru_step_backward")
expected = functional.gru_step.backward(dh, functional.gru_step.forward(*given)[1])
same(grads[1], expected[1], "dh_prev")

# %% tags=["hidden"] task="gru_step" check="dWx" points=1
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
B, D, H = rng.integers(2, 7, 3)
shapes = (B, D), (B, H), (D, 3 * H), (H, 3 * H), (3 * H,), (3 * H,)
given = [0.5 * rng.standard_normal(shape) for shape in shapes]
dh = rng.standard_normal((B, H))
_, cache = gru_step_forward(*given)
grads = parts(gru_step_backward(dh, cache), "dx dh_prev dWx dWh dbx dbh", "gru_step_backward")
expected = functional.gru_step.backward(dh, functional.gru_step.forward(*given)[1])
same(grads[2], expected[2], "dWx")

# %% tags=["hidden"] task="gru_step" check="dWh" points=2
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
B, D, H = rng.integers(2, 7, 3)
shapes = (B, D), (B, H), (D, 3 * H), (H, 3 * H), (3 * H,), (3 * H,)
given = [0.5 * rng.standard_normal(shape) for shape in shapes]
dh = rng.standard_normal((B, H))
_, cache = gru_step_forward(*given)
grads = parts(gru_step_backward(dh, cache), "dx dh_prev dWx dWh dbx dbh", "gru_step_backward")
expected = functional.gru_step.backward(dh, functional.gru_step.forward(*given)[1])
same(grads[3], expected[3], "dWh")

# %% tags=["hidden"] task="gru_step" check="dbx" points=1
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
B, D, H = rng.integers(2, 7, 3)
shapes = (B, D), (B, H), (D, 3 * H), (H, 3 * H), (3 * H,), (3 * H,)
given = [0.5 * rng.standard_normal(shape) for shape in shapes]
dh = rng.standard_normal((B, H))
_, cache = gru_step_forward(*given)
grads = parts(gru_step_backward(dh, cache), "dx dh_prev dWx dWh dbx dbh", "gru_step_backward")
expected = functional.gru_step.backward(dh, functional.gru_step.forward(*given)[1])
same(grads[4], expected[4], "dbx")

# %% tags=["hidden"] task="gru_step" check="dbh" points=1
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
B, D, H = rng.integers(2, 7, 3)
shapes = (B, D), (B, H), (D, 3 * H), (H, 3 * H), (3 * H,), (3 * H,)
given = [0.5 * rng.standard_normal(shape) for shape in shapes]
dh = rng.standard_normal((B, H))
_, cache = gru_step_forward(*given)
grads = parts(gru_step_backward(dh, cache), "dx dh_prev dWx dWh dbx dbh", "gru_step_backward")
expected = functional.gru_step.backward(dh, functional.gru_step.forward(*given)[1])
same(grads[5], expected[5], "dbh")

# %% tags=["hidden"] task="gru_step" check="gradients with padding" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
B, D, H = rng.integers(3, 7, 3)
shapes = (B, D), (B, H), (D, 3 * H), (H, 3 * H), (3 * H,), (3 * H,)
given = [0.5 * rng.standard_normal(shape) for shape in shapes]
given.append(rng.permutation(np.arange(B) < rng.integers(1, B)))
dh = rng.standard_normal((B, H))
names = "dx dh_prev dWx dWh dbx dbh"
grads = parts(gru_step_backward(dh, gru_step_forward(*given)[1]), names, "gru_step_backward")
expected = functional.gru_step.backward(dh, functional.gru_step.forward(*given)[1])
for mine, theirs, name in zip(grads, expected, names.split()):
    same(mine, theirs, f"{name} with padding")

# %% tags=["hidden"] task="gru_step" check="sizes of one, nothing but padding, backward twice" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
names = "dx dh_prev dWx dWh dbx dbh"
for B, mask in ((1, None), (2, np.zeros(2, dtype=bool))):
    shapes = (B, 1), (B, 1), (1, 3), (1, 3), (3,), (3,)
    given = [*(0.5 * rng.standard_normal(shape) for shape in shapes), mask]
    dh = rng.standard_normal((B, 1))
    h, cache = gru_step_forward(*given)
    expected, theirs = functional.gru_step.forward(*given)
    same(h, expected, "h")
    for call in ("first", "second"):
        grads = parts(gru_step_backward(dh, cache), names, "gru_step_backward")
        for mine, right, name in zip(grads, functional.gru_step.backward(dh, theirs), names.split()):
            same(mine, right, f"{name} of the {call} call")

# %% [markdown] lang="en"
# ## 3. The whole sequence
#
# As in assignment 3: forward hands h from step to step; backward runs from the last step to the first, adds at each
# step the gradient of its own output, and sums the gradients of the weights.
#
# | name | shape | | name | shape |
# |---|---|---|---|---|
# | x | (T, B, D) | | hs | (T, B, H) |
# | h0 | (B, H) | | h_last | (B, H) |
# | mask | (T, B) or None | | | |
#
# ### Task `gru` (12 points)
#
# Write both functions. You may call your step or write the lines anew; only what comes out counts. If you call it,
# make sure first that it is right: its mistakes would count here as well.

# %% [markdown] lang="zh"
# ## 3. 整个序列
#
# 与作业 3 相同：前向把 h 一步步传下去；反向从最后一步走到第一步，每一步加上它自己输出的梯度，并把权重的梯度累加起来。
#
# | 名称 | 形状 | | 名称 | 形状 |
# |---|---|---|---|---|
# | x | (T, B, D) | | hs | (T, B, H) |
# | h0 | (B, H) | | h_last | (B, H) |
# | mask | (T, B) 或 None | | | |
#
# ### 任务 `gru`（12 分）
#
# 写出两个函数。可以调用你写的一步，也可以重新写；只看结果。如果调用它，请先确认它是对的：它的错误在这里也会扣分。


# %% tags=["answer"] task="gru" kind="gru"
def gru_forward(x, h0, Wx, Wh, bx, bh, mask=None):
    """A GRU over a whole sequence, reset after the product; a step whose mask is False hands h on.

    x (T, B, D); h0 (B, H); Wx (D, 3H); Wh (H, 3H); bx, bh (3H,); mask (T, B) of bools, or None.
    Returns ((hs (T, B, H), h_last (B, H)), cache).
    """
    # BEGIN SOLUTION
    h, hs, caches = h0, [], []
    for t in range(len(x)):
        h, cache = gru_step_forward(x[t], h, Wx, Wh, bx, bh, None if mask is None else mask[t])
        hs.append(h)
        caches.append(cache)
    return (np.stack(hs), h), caches
    # END SOLUTION


def gru_backward(dout, cache):
    """Backpropagation through time.

    dout = (dhs (T, B, H), dh_last (B, H)), each may be None for zero.
    Returns (dx (T, B, D), dh0 (B, H), dWx (D, 3H), dWh (H, 3H), dbx (3H,), dbh (3H,)).
    """
    # BEGIN SOLUTION
    dhs, dh = dout
    dxs, sums = [], [0, 0, 0, 0]
    for t in reversed(range(len(cache))):
        dh = 0 if dh is None else dh
        dx, dh, *dweights = gru_step_backward(dh if dhs is None else dh + dhs[t], cache[t])
        dxs.append(dx)
        sums = [total + dweight for total, dweight in zip(sums, dweights, strict=True)]
    return np.stack(dxs[::-1]), dh, *sums
    # END SOLUTION


# %% tags=["public"] task="gru" check="shapes and known values" points=1
import numpy as np

from minis2s.classroom.checks import parts, same

x, h0 = np.zeros((3, 1, 1)), np.array([[1.0]])
Wx, Wh, bx, bh = np.zeros((1, 3)), np.zeros((1, 3)), np.array([0.0, 0.0, np.log(2)]), np.zeros(3)
out, cache = gru_forward(x, h0, Wx, Wh, bx, bh, np.array([[True], [True], [False]]))  # two steps, and padding
hs, h_last = parts(out, "hs h_last", "gru_forward, before the cache,")
same(hs, np.array([[[0.8]], [[0.7]], [[0.7]]]), "hs")  # at each step half way to n = tanh(log 2) = 0.6
same(h_last, np.array([[0.7]]), "h_last")
dout = np.array([[[1.0]], [[10.0]], [[100.0]]]), np.array([[1000.0]])
grads = parts(gru_backward(dout, cache), "dx dh0 dWx dWh dbx dbh", "gru_backward")
same(grads[0], np.zeros((3, 1, 1)), "dx")
same(grads[1], np.array([[278.0]]), "dh0")  # (1110 / 2 + 1) / 2
same(grads[2], np.zeros((1, 3)), "dWx")
same(grads[3], np.array([[0.0, 0.8 * 55.5 + 55.6, 0.8 * 177.6 + 88.96]]), "dWh")
same(grads[4], np.array([0.0, 55.5 + 55.6, 355.2 + 177.92]), "dbx")
same(grads[5], np.array([0.0, 55.5 + 55.6, 177.6 + 88.96]), "dbh")

# %% tags=["public"] task="gru" check="dWh by differences" points=1
import numpy as np

from minis2s.classroom.checks import parts, same

rng = np.random.default_rng(1)
x, h0, Wx, bx, bh = (0.5 * rng.standard_normal(shape) for shape in ((4, 3, 5), (3, 2), (5, 6), (6,), (6,)))
Wh, direction = rng.standard_normal((2, 2, 6))
dhs, dh_last = rng.standard_normal((4, 3, 2)), rng.standard_normal((3, 2))
_, cache = gru_forward(x, h0, Wx, Wh, bx, bh)
dWh = parts(gru_backward((dhs, dh_last), cache), "dx dh0 dWx dWh dbx dbh", "gru_backward")[3]
(up, up_last), (down, down_last) = (
    gru_forward(x, h0, Wx, Wh + h * direction, bx, bh)[0] for h in (1e-5, -1e-5)
)
measured = ((dhs * (up - down)).sum() + (dh_last * (up_last - down_last)).sum()) / 2e-5
same((dWh * direction).sum(), measured, "the slope that dWh gives", tol=1e-6)

# %% tags=["hidden"] task="gru" check="states, without and with padding" points=2
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
T, B, D, H = rng.integers(3, 7, 4)
shapes = (T, B, D), (B, H), (D, 3 * H), (H, 3 * H), (3 * H,), (3 * H,)
given = [0.5 * rng.standard_normal(shape) for shape in shapes]
some = rng.random((T, B)) < 0.6
some[0], some[-1, 0], some[:, -1] = True, False, False  # a word ends early, another is not there at all
for mask in (None, some):
    hs, h_last = parts(gru_forward(*given, mask)[0], "hs h_last", "gru_forward, before the cache,")
    (expected, last), _ = functional.gru.forward(*given, mask)
    same(hs, expected, "hs")
    same(h_last, last, "h_last")

# %% tags=["hidden"] task="gru" check="dx" points=1
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
T, B, D, H = rng.integers(2, 7, 4)
shapes = (T, B, D), (B, H), (D, 3 * H), (H, 3 * H), (3 * H,), (3 * H,)
given = [0.5 * rng.standard_normal(shape) for shape in shapes]
dout = rng.standard_normal((T, B, H)), rng.standard_normal((B, H))
_, cache = gru_forward(*given)
grads = parts(gru_backward(dout, cache), "dx dh0 dWx dWh dbx dbh", "gru_backward")
expected = functional.gru.backward(dout, functional.gru.forward(*given)[1])
same(grads[0], expected[0], "dx")

# %% tags=["hidden"] task="gru" check="dh0" points=1
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
T, B, D, H = rng.integers(2, 7, 4)
shapes = (T, B, D), (B, H), (D, 3 * H), (H, 3 * H), (3 * H,), (3 * H,)
given = [0.5 * rng.standard_normal(shape) for shape in shapes]
dout = rng.standard_normal((T, B, H)), rng.standard_normal((B, H))
_, cache = gru_forward(*given)
grads = parts(gru_backward(dout, cache), "dx dh0 dWx dWh dbx dbh", "gru_backward")
expected = functional.gru.backward(dout, functional.gru.forward(*given)[1])
same(grads[1], expected[1], "dh0")

# %% tags=["hidden"] task="gru" check="dWx and dbx" points=1
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
T, B, D, H = rng.integers(2, 7, 4)
shapes = (T, B, D), (B, H), (D, 3 * H), (H, 3 * H), (3 * H,), (3 * H,)
given = [0.5 * rng.standard_normal(shape) for shape in shapes]
dout = rng.standard_normal((T, B, H)), rng.standard_normal((B, H))
_, cache = gru_forward(*given)
grads = parts(gru_backward(dout, cache), "dx dh0 dWx dWh dbx dbh", "gru_backward")
expected = functional.gru.backward(dout, functional.gru.forward(*given)[1])
same(grads[2], expected[2], "dWx")
same(grads[4], expected[4], "dbx")

# %% tags=["hidden"] task="gru" check="dWh and dbh" points=2
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
T, B, D, H = rng.integers(2, 7, 4)
shapes = (T, B, D), (B, H), (D, 3 * H), (H, 3 * H), (3 * H,), (3 * H,)
given = [0.5 * rng.standard_normal(shape) for shape in shapes]
dout = rng.standard_normal((T, B, H)), rng.standard_normal((B, H))
_, cache = gru_forward(*given)
grads = parts(gru_backward(dout, cache), "dx dh0 dWx dWh dbx dbh", "gru_backward")
expected = functional.gru.backward(dout, functional.gru.forward(*given)[1])
same(grads[3], expected[3], "dWh")
same(grads[5], expected[5], "dbh")

# %% tags=["hidden"] task="gru" check="parts of dout that are None" points=1
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
T, B, D, H = rng.integers(2, 6, 4)
shapes = (T, B, D), (B, H), (D, 3 * H), (H, 3 * H), (3 * H,), (3 * H,)
given = [0.5 * rng.standard_normal(shape) for shape in shapes]
dhs, dh_last = rng.standard_normal((T, B, H)), rng.standard_normal((B, H))
names = "dx dh0 dWx dWh dbx dbh"
for dout, which in (((dhs, None), "only dhs"), ((None, dh_last), "only dh_last")):
    grads = parts(gru_backward(dout, gru_forward(*given)[1]), names, "gru_backward")
    expected = functional.gru.backward(dout, functional.gru.forward(*given)[1])
    for mine, theirs, name in zip(grads, expected, names.split()):
        same(mine, theirs, f"{name} where {which} is given")

# %% tags=["hidden"] task="gru" check="gradients with padding" points=1
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
T, B, D, H = rng.integers(3, 7, 4)
shapes = (T, B, D), (B, H), (D, 3 * H), (H, 3 * H), (3 * H,), (3 * H,)
given = [0.5 * rng.standard_normal(shape) for shape in shapes]
mask = rng.random((T, B)) < 0.6
mask[0], mask[-1, 0], mask[:, -1] = True, False, False
dout = rng.standard_normal((T, B, H)), rng.standard_normal((B, H))
names = "dx dh0 dWx dWh dbx dbh"
grads = parts(gru_backward(dout, gru_forward(*given, mask)[1]), names, "gru_backward")
expected = functional.gru.backward(dout, functional.gru.forward(*given, mask)[1])
for mine, theirs, name in zip(grads, expected, names.split()):
    same(mine, theirs, f"{name} with padding")

# %% tags=["hidden"] task="gru" check="sizes of one, backward twice" points=1
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
names = "dx dh0 dWx dWh dbx dbh"
for T in (1, 3):
    B = D = H = 1
    shapes = (T, B, D), (B, H), (D, 3 * H), (H, 3 * H), (3 * H,), (3 * H,)
    given = [0.5 * rng.standard_normal(shape) for shape in shapes]
    dout = rng.standard_normal((T, B, H)), rng.standard_normal((B, H))
    out, cache = gru_forward(*given)
    (expected, _), theirs = functional.gru.forward(*given)
    same(parts(out, "hs h_last", "gru_forward, before the cache,")[0], expected, "hs")
    for call in ("first", "second"):
        grads = parts(gru_backward(dout, cache), names, "gru_backward")
        for mine, right, name in zip(grads, functional.gru.backward(dout, theirs), names.split()):
            same(mine, right, f"{name} of the {call} call")

# %% [markdown] lang="en"
# ## 4. The other form: reset before the product
#
# In the paper as published the reset gate meets the state itself, before the product. Some programs still have it
# so, or have both:
#
# $$n = \tanh(x W_n + b_n + (r \cdot h_{prev})\, U_n + b'_n)$$
#
# All else is as in section 2: names, shapes, the order r, u, n. Only now $b'_n$ stands outside of what r scales.
# There is no mask here. Where the two forms differ in what they can do, is in lesson 5, section 5.
#
# ### Task `reset_before` (9 points)
#
# Write one step, forward and backward. The lines of the candidate change, and with them $dr$, $dh_{prev}$,
# $dU_n$ and $db'_n$.

# %% [markdown] lang="zh"
# ## 4. 另一种形式：乘法之前重置
#
# 在正式发表的论文里，重置门在乘法之前就直接作用于状态。有些程序至今仍是这样，或者两种都有：
#
# $$n = \tanh(x W_n + b_n + (r \cdot h_{prev})\, U_n + b'_n)$$
#
# 其余的与第 2 节相同：名称、形状、顺序 r、u、n。只是现在 $b'_n$ 在 r 所缩放的部分之外。这里没有掩码。
# 两种形式能做的事有什么不同，见第 5 课第 5 节。
#
# ### 任务 `reset_before`（9 分）
#
# 写出一步，前向和反向。候选值的那几行要改，随之改变的还有 $dr$、$dh_{prev}$、$dU_n$ 和 $db'_n$。


# %% tags=["answer"] task="reset_before"
def before_step_forward(x, h_prev, Wx, Wh, bx, bh):
    """One step of a batch of GRU cells, reset before the product; blocks in the order r, u, n.

    x (B, D); h_prev (B, H); Wx (D, 3H); Wh (H, 3H); bx, bh (3H,). Returns (h (B, H), cache).
    """
    # BEGIN SOLUTION
    H = h_prev.shape[1]
    zx_r, zx_u, zx_n = np.split(x @ Wx + bx + bh, 3, axis=1)
    zh_r, zh_u = np.split(h_prev @ Wh[:, : 2 * H], 2, axis=1)
    r, u = sigmoid(zx_r + zh_r), sigmoid(zx_u + zh_u)
    n = np.tanh(zx_n + (r * h_prev) @ Wh[:, 2 * H :])
    return (1 - u) * n + u * h_prev, (x, h_prev, Wx, Wh, r, u, n)
    # END SOLUTION


def before_step_backward(dh, cache):
    """dh (B, H). Returns (dx (B, D), dh_prev (B, H), dWx (D, 3H), dWh (H, 3H), dbx (3H,), dbh (3H,))."""
    # BEGIN SOLUTION
    x, h_prev, Wx, Wh, r, u, n = cache
    H = h_prev.shape[1]
    # h = (1 - u) * n + u * h_prev
    dz_n = dh * (1 - u) * (1 - n**2)
    dz_u = dh * (h_prev - n) * u * (1 - u)
    # n = tanh(zx_n + (r * h_prev) Wh_n)
    drh = dz_n @ Wh[:, 2 * H :].T
    dz_r = drh * h_prev * r * (1 - r)
    # zx = x Wx + bx + bh, and the products with h_prev
    dz_ru = np.concatenate([dz_r, dz_u], axis=1)
    dz = np.concatenate([dz_ru, dz_n], axis=1)
    dh_prev = dh * u + drh * r + dz_ru @ Wh[:, : 2 * H].T
    dWh = np.concatenate([h_prev.T @ dz_ru, (r * h_prev).T @ dz_n], axis=1)
    return dz @ Wx.T, dh_prev, x.T @ dz, dWh, dz.sum(axis=0), dz.sum(axis=0)
    # END SOLUTION


# %% tags=["public"] task="reset_before" check="shapes and known values" points=1
import numpy as np

from minis2s.classroom.checks import parts, same

x, h_prev, Wx, Wh = np.array([[3.0]]), np.array([[1.0]]), np.zeros((1, 3)), np.array([[0.0, 0.0, 2.0]])
bx, bh = np.array([0.0, 0.0, np.log(2) - 3]), np.array([0.0, 0.0, 2.0])
h, cache = before_step_forward(x, h_prev, Wx, Wh, bx, bh)
same(h, np.array([[0.8]]), "h")  # r = u = 1/2, n = tanh(log 2) = 0.6
grads = before_step_backward(np.array([[1.0]]), cache)
dx, dh_prev, dWx, dWh, dbx, dbh = parts(grads, "dx dh_prev dWx dWh dbx dbh", "before_step_backward")
same(dx, np.zeros((1, 1)), "dx")
same(dh_prev, np.array([[0.82]]), "dh_prev")
same(dWx, np.array([[0.48, 0.3, 0.96]]), "dWx")
same(dWh, np.array([[0.16, 0.1, 0.16]]), "dWh")
same(dbx, np.array([0.16, 0.1, 0.32]), "dbx")
same(dbh, np.array([0.16, 0.1, 0.32]), "dbh")

# %% tags=["public"] task="reset_before" check="dWh by differences" points=1
import numpy as np

from minis2s.classroom.checks import parts, same

rng = np.random.default_rng(1)
x, h_prev, Wx, bx, bh = (0.5 * rng.standard_normal(shape) for shape in ((3, 5), (3, 2), (5, 6), (6,), (6,)))
Wh, direction = rng.standard_normal((2, 2, 6))
dh = rng.standard_normal((3, 2))
_, cache = before_step_forward(x, h_prev, Wx, Wh, bx, bh)
dWh = parts(before_step_backward(dh, cache), "dx dh_prev dWx dWh dbx dbh", "before_step_backward")[3]
up, down = (before_step_forward(x, h_prev, Wx, Wh + h * direction, bx, bh)[0] for h in (1e-5, -1e-5))
same((dWh * direction).sum(), (dh * (up - down)).sum() / 2e-5, "the slope that dWh gives", tol=1e-6)

# %% tags=["hidden"] task="reset_before" check="state" points=1
from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
B, D, H = rng.integers(2, 7, 3)
shapes = (B, D), (B, H), (D, 3 * H), (H, 3 * H), (3 * H,), (3 * H,)
given = [0.5 * rng.standard_normal(shape) for shape in shapes]
same(before_step_forward(*given)[0], functional.gru_step.forward(*given, None, False)[0], "h")

# %% tags=["hidden"] task="reset_before" check="dh_prev" points=1
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
B, D, H = rng.integers(2, 7, 3)
shapes = (B, D), (B, H), (D, 3 * H), (H, 3 * H), (3 * H,), (3 * H,)
given = [0.5 * rng.standard_normal(shape) for shape in shapes]
dh = rng.standard_normal((B, H))
_, cache = before_step_forward(*given)
grads = parts(before_step_backward(dh, cache), "dx dh_prev dWx dWh dbx dbh", "before_step_backward")
expected = functional.gru_step.backward(dh, functional.gru_step.forward(*given, None, False)[1])
same(grads[1], expected[1], "dh_prev")

# %% tags=["hidden"] task="reset_before" check="dx, dWx and dbx" points=1
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
B, D, H = rng.integers(2, 7, 3)
shapes = (B, D), (B, H), (D, 3 * H), (H, 3 * H), (3 * H,), (3 * H,)
given = [0.5 * rng.standard_normal(shape) for shape in shapes]
dh = rng.standard_normal((B, H))
_, cache = before_step_forward(*given)
grads = parts(before_step_backward(dh, cache), "dx dh_prev dWx dWh dbx dbh", "before_step_backward")
expected = functional.gru_step.backward(dh, functional.gru_step.forward(*given, None, False)[1])
same(grads[0], expected[0], "dx")
same(grads[2], expected[2], "dWx")
same(grads[4], expected[4], "dbx")

# %% tags=["hidden"] task="reset_before" check="dWh" points=2
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
B, D, H = rng.integers(2, 7, 3)
shapes = (B, D), (B, H), (D, 3 * H), (H, 3 * H), (3 * H,), (3 * H,)
given = [0.5 * rng.standard_normal(shape) for shape in shapes]
dh = rng.standard_normal((B, H))
_, cache = before_step_forward(*given)
grads = parts(before_step_backward(dh, cache), "dx dh_prev dWx dWh dbx dbh", "before_step_backward")
expected = functional.gru_step.backward(dh, functional.gru_step.forward(*given, None, False)[1])
same(grads[3], expected[3], "dWh")

# %% tags=["hidden"] task="reset_before" check="dbh" points=1
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
B, D, H = rng.integers(2, 7, 3)
shapes = (B, D), (B, H), (D, 3 * H), (H, 3 * H), (3 * H,), (3 * H,)
given = [0.5 * rng.standard_normal(shape) for shape in shapes]
dh = rng.standard_normal((B, H))
_, cache = before_step_forward(*given)
grads = parts(before_step_backward(dh, cache), "dx dh_prev dWx dWh dbx dbh", "before_step_backward")
expected = functional.gru_step.backward(dh, functional.gru_step.forward(*given, None, False)[1])
same(grads[5], expected[5], "dbh")

# %% tags=["hidden"] task="reset_before" check="quick: no forward pass for each number" points=1
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, quick, same, together

rng = fresh()
B, D, H = 2, 200, 200
shapes = (B, D), (B, H), (D, 3 * H), (H, 3 * H), (3 * H,), (3 * H,)
given = [0.05 * rng.standard_normal(shape) for shape in shapes]
dout = rng.standard_normal((B, H))
forward, backward = together(before_step_forward, before_step_backward)
_, cache = quick(forward, *given)
forward(*(-a for a in given))  # as in training, where another step comes between
names = "dx dh_prev dWx dWh dbx dbh"
grads = parts(quick(backward, dout, cache), names, "before_step_backward")
expected = functional.gru_step.backward(dout, functional.gru_step.forward(*given, None, False)[1])
for mine, theirs, name in zip(grads, expected, names.split()):
    same(mine, theirs, name)

# %% [markdown] lang="en" tags=["written"] task="gru_written" points=4
# ## 5. In your own words: `gru_written` (4 points)
#
# 1. Of the four parts of $dh_{prev}$, which one keeps a gradient alive over a hundred steps? What does the bias of
#    the update gate have to do with it?
# 2. A friend loads weights of the form of section 2 into the code of section 4. All shapes fit. A gradient check says
#    that everything is right, and yet the model writes nonsense. How can both be true? Name a test that finds it.
# 3. With D = H = 64: how many weights has a layer of your GRU, and how many has an LSTM, 4H(D + H + 1)? Name one
#    thing that the LSTM can do with what it has more.
#
# Two or three sentences each.

# %% [markdown] lang="zh" tags=["written"] task="gru_written" points=4
# ## 5. 用你自己的话：`gru_written`（4 分）
#
# 1. $dh_{prev}$ 的四个部分里，哪一部分能让梯度存活一百步？更新门的偏置与此有什么关系？
# 2. 一位朋友把第 2 节那种形式的权重装进第 4 节的代码。所有形状都对得上。梯度检查说一切正确，模型写出来的却是胡言乱语。
#    两者怎么能同时成立？说出一个能发现它的测试。
# 3. 设 D = H = 64：你的 GRU 一层有多少个权重？LSTM 一层有 4H(D + H + 1) 个，是多少？说出 LSTM 用多出来的部分能做到的一件事。
#
# 每题两三句话。

# %% [markdown] lang="en" tags=["model-answer"] task="gru_written"
# 1. The direct one, $dh \cdot u$: it has no matrix and no derivative of tanh in it. Where u is near 1, it passes a step
#    almost unchanged. A large bias $b_u + b'_u$ makes u near 1 from the start: with a bias of 4, u is about 0.98, and
#    after 100 steps about 0.16 is left; with 0 it is $0.5^{100}$, which is nothing. (1 point)
# 2. A gradient check compares backward with the differences of **its own** forward. Both belong to the same other
#    function, so the check is right. Only a test against known outputs finds it: one step of the original code, with
#    the same weights and inputs, where r is not 1. (1 point each)
# 3. GRU: 3H(D + H + 2) = 3 · 64 · 130 = 24,960. LSTM: 4 · 64 · 129 = 33,024. The LSTM can count: its cell state has no
#    bound, while h of a GRU is a mean of numbers between -1 and 1. (It can also hide its memory with the output gate.) (1 point)

# %% [markdown] lang="zh" tags=["model-answer"] task="gru_written"
# 1. 直接的那一部分，$dh \cdot u$：其中没有矩阵，也没有 tanh 的导数。u 接近 1 时，它几乎原样通过一步。偏置 $b_u + b'_u$ 大，
#    u 一开始就接近 1：偏置为 4 时 u 约为 0.98，100 步之后约剩 0.16；偏置为 0 时是 $0.5^{100}$，等于没有。（1 分）
# 2. 梯度检查把反向与**它自己的**前向的差分作比较。两者同属另一个函数，所以检查没有错。只有与已知的输出比较才能发现：
#    用相同的权重和输入，与原来的代码比较一步，其中 r 不为 1。（各 1 分）
# 3. GRU：3H(D + H + 2) = 3 · 64 · 130 = 24,960。LSTM：4 · 64 · 129 = 33,024。LSTM 会计数：它的细胞状态没有界限，
#    而 GRU 的 h 是 -1 到 1 之间的数的平均。（它还可以用输出门把记忆藏起来。）（1 分）

# %% [markdown] lang="en"
# ## 6. Your GRU learns to pronounce
#
# The model below has two of your GRUs. One reads the letters of an English word, the other writes its sounds. While
# it learns, the whole sequence goes through `gru_forward` and `gru_backward`; when it pronounces a word, it goes step
# by step through `gru_step_forward`. In about fifteen seconds it learns from twenty thousand short words. Then it
# pronounces some that it has not seen.
#
# The layer also tells its operation which of the two forms it wants. Yours is its default, reset after the product, so
# two short functions leave that last argument out.

# %% [markdown] lang="zh"
# ## 6. 你的 GRU 学会发音
#
# 下面的模型里有两个你的 GRU：一个读英语单词的字母，另一个写出它的音素。学习时，整个序列通过 `gru_forward` 和 `gru_backward`；
# 念单词时，则通过 `gru_step_forward` 一步步走。它在十五秒左右的时间里从两万个短单词中学习，然后念出几个没见过的词。
#
# 层还会告诉它的运算要用两种形式中的哪一种。你写的正是默认的那一种（乘法之后重置），所以用两个短函数去掉最后这个参数。

# %% tags=["train"]
import numpy as np

from minis2s import (
    GRU,
    Adam,
    ModelConfig,
    Op,
    Translator,
    UserError,
    clip_global_norm,
    encode_pairs,
    load_task,
    make_batch,
)


def without_form(x, h0, Wx, Wh, bx, bh, mask, reset_after):
    return gru_forward(x, h0, Wx, Wh, bx, bh, mask)


def step_without_form(x, h_prev, Wx, Wh, bx, bh, mask, reset_after):
    return gru_step_forward(x, h_prev, Wx, Wh, bx, bh, mask)


mine = Op("mine", without_form, gru_backward)
my_step = Op("mine, one step", step_without_form, gru_step_backward)
STEPS = 600


def train(words):
    """A new model with your GRUs, trained on the words."""
    translator = Translator.for_pairs(
        words, ModelConfig(cell="gru", bidirectional=False, embed=32, hidden=64), target_tokenizer="space"
    )
    model, rng = translator.model, np.random.default_rng(0)
    model.encoder.rnn.layers[0] = GRU(32, 64, rng=rng, op=mine, step_op=my_step)
    model.decoder.cells.layers[0] = GRU(32, 64, rng=rng, op=mine, step_op=my_step)
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

# %% [markdown] lang="en"
# ## 7. What to read next
#
# * K. Cho and others, "Learning phrase representations using RNN encoder-decoder for statistical machine
#   translation", EMNLP 2014: the GRU. Versions 1 and 3 on arXiv (1406.1078) have the two forms.
# * J. Chung, C. Gulcehre, K. Cho and Y. Bengio, "Empirical evaluation of gated recurrent neural networks on
#   sequence modeling", 2014: GRU and LSTM compared. Beware: there u and 1 - u are exchanged.
# * G. Weiss, Y. Goldberg and E. Yahav, "On the practical computational power of finite precision RNNs for
#   language recognition", ACL 2018: who can count.

# %% [markdown] lang="zh"
# ## 7. 接下来读什么
#
# * K. Cho 等, "Learning phrase representations using RNN encoder-decoder for statistical machine translation",
#   EMNLP 2014：GRU 的出处。两种形式见 arXiv（1406.1078）上的第 1 版和第 3 版。
# * J. Chung, C. Gulcehre, K. Cho, Y. Bengio, "Empirical evaluation of gated recurrent neural networks on
#   sequence modeling", 2014：GRU 与 LSTM 的比较。注意：那里 u 与 1 - u 互换了。
# * G. Weiss, Y. Goldberg, E. Yahav, "On the practical computational power of finite precision RNNs for
#   language recognition", ACL 2018：谁会计数。
