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
# # Assignment 3: reading with a memory. RNN and backpropagation through time
#
# In 1990 Jeffrey Elman gave a small network a text without spaces, one letter at a time, and let it guess the next
# letter. At the beginning of each word it was surprised, and then less and less until the word ended. Nobody had
# told it that there are words. All that it had was a vector of numbers which it carried from letter to letter, and
# the wish to be wrong less often.
#
# **How does a network learn what to carry along, when it only sees much later what it would have been good for?**
#
# You write his network, first one step and then the whole sequence, forward and backward. At the end your two
# pairs read and write in a model that pronounces words.
#
# You need lesson 3 (`03_recurrence.py`): it derives the step and backpropagation through time. What is new here is
# the mask, for words of different lengths.
#
# What is given: a solved example of the same form. What you write: two pairs of functions, marked with
# `NotImplementedError`, and a few sentences. What you may use: NumPy. Each task has checks that you see, and
# others that you do not see. Expected time: two hours.

# %% [markdown] lang="zh"
# # 作业 3：带着记忆阅读。RNN 与沿时间反向传播
#
# 1990 年，Jeffrey Elman 把一段没有空格的文本一个字母一个字母地交给一个小网络，让它猜下一个字母。每到一个单词的开头，
# 它都很吃惊；随后越来越不吃惊，直到这个单词结束。没有人告诉过它世上有单词。它所拥有的，只是一个从字母带到字母的向量，
# 以及少犯错误的愿望。
#
# **网络很久以后才看到某样东西有什么用，它又怎样学会该把什么带着走？**
#
# 你来写他的网络，先写一步，再写整个序列，前向和反向都写。最后，你的两对函数将在一个会念单词的模型里读和写。
#
# 需要第 3 课（`03_recurrence.py`）：其中推导了一步，以及沿时间反向传播。这里新增的是掩码，用于长短不一的单词。
#
# 已经给出的：一个形式相同、已经解好的例子。要你写的：两对函数，用 `NotImplementedError` 标出，还有几句话。
# 可以使用的：NumPy。每个任务都有看得见的检查，也有看不见的检查。预计用时：两小时。

# %%
if __name__ == "__main__":  # before NumPy is loaded: threads inside it only slow small matrices down
    import os

    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

# %% [markdown] lang="en"
# ## 1. A solved example: a leaky bucket
#
# B buckets, T steps. At each step a share a of the water stays and x is poured in. There is no matrix and no tanh,
# and all buckets share one number a.
#
# | forward, for t = 0 ... T-1 | backward, for t = T-1 ... 0 |
# |---|---|
# | | $dh \mathrel{+}= dhs_t$: this level was also an output |
# | $h = a\, h_{prev} + x$ | $dx = dh$ |
# | | $da \mathrel{+}= \sum_b h_{prev}\, dh$ |
# | | $dh = a\, dh$: from here on it is the gradient of $h_{prev}$ |
#
# Shapes: x and hs are (T, B), h0 and each h are (B,), a is a number.
#
# The series have different lengths. The mask (T, B) is True where a step is real. Elsewhere h is handed on
# unchanged, $h = h_{prev}$, so dh is handed on unchanged as well, and neither x nor a receive anything.
#
# Look at three things. At step t, `hs[t]` goes two ways, out and on to the next step: hence `dh + dhs[t]`. a is
# used at every step: hence `da +=`. And backward makes new arrays: it never writes into `dhs` or into the cache.

# %% [markdown] lang="zh"
# ## 1. 解好的例子：漏水的桶
#
# 有 B 个桶，T 步。每一步留下份额 a 的水，再倒入 x。没有矩阵，也没有 tanh，所有的桶共用一个数 a。
#
# | 前向，t = 0 ... T-1 | 反向，t = T-1 ... 0 |
# |---|---|
# | | $dh \mathrel{+}= dhs_t$：这个水位同时也是输出 |
# | $h = a\, h_{prev} + x$ | $dx = dh$ |
# | | $da \mathrel{+}= \sum_b h_{prev}\, dh$ |
# | | $dh = a\, dh$：从这里起它是 $h_{prev}$ 的梯度 |
#
# 形状：x 和 hs 是 (T, B)，h0 和每个 h 是 (B,)，a 是一个数。
#
# 各个序列长短不一。掩码 (T, B) 在真实的步为 True。其余的地方 h 原样传下去，$h = h_{prev}$，所以 dh 也原样传回去，
# x 和 a 什么也得不到。
#
# 注意三点。第 t 步的 `hs[t]` 有两个去处：输出，以及下一步；所以有 `dh + dhs[t]`。a 每一步都用到，所以有 `da +=`。
# 反向总是生成新的数组：从不写入 `dhs`，也不写入缓存。


# %%
def bucket_forward(x, h0, a, mask):
    """x, mask (T, B); h0 (B,); a a number. Returns (hs (T, B), cache)."""
    hs, h = [], h0
    for t in range(len(x)):
        h = np.where(mask[t], a * h + x[t], h)
        hs.append(h)
    return np.stack(hs), (np.stack([h0, *hs]), a, mask)  # levels (T+1, B): levels[t] is the one before step t


def bucket_backward(dhs, cache):
    """dhs (T, B). Returns (dx (T, B), dh0 (B,), da)."""
    levels, a, mask = cache
    dx, da, dh = np.zeros_like(dhs), 0.0, np.zeros_like(dhs[0])
    for t in reversed(range(len(dhs))):
        dh = dh + dhs[t]
        dx[t] = np.where(mask[t], dh, 0)
        da += (levels[t] * dx[t]).sum()
        dh = np.where(mask[t], a * dh, dh)
    return dx, dh, da


x, h0 = np.array([[1.0, 1.0], [2.0, 2.0], [4.0, 0.0]]), np.array([8.0, 8.0])
mask = np.array([[True, True], [True, True], [True, False]])  # the second series has two steps
hs, cache = bucket_forward(x, h0, 0.5, mask)
dx, dh0, da = bucket_backward(np.ones((3, 2)), cache)
up, down = (bucket_forward(x, h0, 0.5 + h, mask)[0].sum() for h in (1e-6, -1e-6))
assert hs[-1].tolist() == [6.25, 4.5] and dx[2].tolist() == [1, 0] and abs(da - (up - down) / 2e-6) < 1e-6
print(f"levels at the end {hs[-1]}, da {da:.2f}, measured {(up - down) / 2e-6:.2f}")

# %% [markdown] lang="en"
# ## 2. One step
#
# We are at step t: $h_{prev}$ is the state before it, h the state after it.
#
# $$z = x W_x + h_{prev} W_h + b \qquad\qquad h = \tanh(z)$$
#
# | name | shape | | name | shape |
# |---|---|---|---|---|
# | x | (B, D) | | Wx | (D, H) |
# | h_prev, z, h | (B, H) | | Wh | (H, H) |
# | mask | (B,) or None | | b | (H,) |
#
# Where the mask is False the row is padding: h is $h_{prev}$ there. None means that all rows are real. For
# backward you need $\tanh' = 1 - \tanh^2$. Beware that at a row of padding the h which leaves the step is no tanh.
#
# ### Task `rnn_step` (13 points)
#
# Write both functions. In backward, first divide dh into the part of the real rows and the part that is handed on.

# %% [markdown] lang="zh"
# ## 2. 一步
#
# 我们处在第 t 步：$h_{prev}$ 是这一步之前的状态，h 是之后的状态。
#
# $$z = x W_x + h_{prev} W_h + b \qquad\qquad h = \tanh(z)$$
#
# | 名称 | 形状 | | 名称 | 形状 |
# |---|---|---|---|---|
# | x | (B, D) | | Wx | (D, H) |
# | h_prev、z、h | (B, H) | | Wh | (H, H) |
# | mask | (B,) 或 None | | b | (H,) |
#
# 掩码为 False 的行是填充：在那里 h 就是 $h_{prev}$。None 表示所有行都是真实的。反向需要 $\tanh' = 1 - \tanh^2$。
# 要当心：在填充的行，离开这一步的 h 并不是 tanh 的值。
#
# ### 任务 `rnn_step`（13 分）
#
# 写出两个函数。在反向里，先把 dh 分成两部分：真实行的部分，和原样传下去的部分。


# %% tags=["answer"] task="rnn_step" kind="rnn_step"
def rnn_step_forward(x, h_prev, Wx, Wh, b, mask=None):
    """One step of a batch: h = tanh(x Wx + h_prev Wh + b), and h = h_prev in the rows of padding.

    x (B, D); h_prev (B, H); Wx (D, H); Wh (H, H); b (H,); mask (B,) of bools, or None.
    Returns (h (B, H), cache): the cache is whatever backward needs.
    """
    # BEGIN SOLUTION
    # h = tanh(x Wx + h_prev Wh + b)
    h = np.tanh(x @ Wx + h_prev @ Wh + b)
    real = np.ones((len(x), 1), dtype=bool) if mask is None else mask[:, None]
    return np.where(real, h, h_prev), (x, h_prev, h, Wx, Wh, real)
    # END SOLUTION


def rnn_step_backward(dh, cache):
    """The gradients of one step: the lines of forward, read upward.

    dh (B, H). Returns (dx (B, D), dh_prev (B, H), dWx (D, H), dWh (H, H), db (H,)).
    """
    # BEGIN SOLUTION
    x, h_prev, h, Wx, Wh, real = cache
    # where(real, h, h_prev)
    handed_on = np.where(real, 0, dh)
    # h = tanh(z)
    dz = np.where(real, dh, 0) * (1 - h**2)
    # z = x Wx + h_prev Wh + b
    return dz @ Wx.T, dz @ Wh.T + handed_on, x.T @ dz, h_prev.T @ dz, dz.sum(axis=0)
    # END SOLUTION


# %% tags=["public"] task="rnn_step" check="shapes and known values" points=1
import numpy as np

from minis2s.classroom.checks import parts, same

x, h_prev = np.array([[1.0], [5.0]]), np.array([[0.0, 0.0], [0.5, -0.5]])
Wx, Wh, b = np.log([[2.0, 3.0]]), np.array([[1.0, 2.0], [0.0, 1.0]]), np.zeros(2)
h, cache = rnn_step_forward(x, h_prev, Wx, Wh, b, np.array([True, False]))  # the second row is padding
same(h, np.array([[0.6, 0.8], [0.5, -0.5]]), "h")  # tanh(log a) is (a^2 - 1) / (a^2 + 1)
grads = rnn_step_backward(np.array([[1.0, 10.0], [7.0, 9.0]]), cache)
dx, dh_prev, dWx, dWh, db = parts(grads, "dx dh_prev dWx dWh db", "rnn_step_backward")
same(dx, np.array([[0.64 * np.log(2) + 3.6 * np.log(3)], [0.0]]), "dx")
same(dh_prev, np.array([[7.84, 3.6], [7.0, 9.0]]), "dh_prev")
same(dWx, np.array([[0.64, 3.6]]), "dWx")
same(dWh, np.zeros((2, 2)), "dWh")
same(db, np.array([0.64, 3.6]), "db")

# %% tags=["public"] task="rnn_step" check="dh_prev by differences" points=1
import numpy as np

from minis2s.classroom.checks import parts, same

rng = np.random.default_rng(1)
x, Wx, Wh, b = (0.5 * rng.standard_normal(shape) for shape in ((3, 5), (5, 2), (2, 2), (2,)))
h_prev, dh, direction = rng.standard_normal((3, 3, 2))
_, dh_prev, *_ = parts(
    rnn_step_backward(dh, rnn_step_forward(x, h_prev, Wx, Wh, b)[1]),
    "dx dh_prev dWx dWh db",
    "rnn_step_backward",
)
up, down = (rnn_step_forward(x, h_prev + h * direction, Wx, Wh, b)[0] for h in (1e-5, -1e-5))
same((dh_prev * direction).sum(), (dh * (up - down)).sum() / 2e-5, "the slope that dh_prev gives", tol=1e-6)

# %% tags=["hidden"] task="rnn_step" check="state" points=2
import numpy as np

from minis2s.classroom.checks import fresh, same

rng = fresh()
B, D, H = rng.integers(2, 7, 3)
x, h_prev, Wx, Wh, b = (0.5 * rng.standard_normal(shape) for shape in ((B, D), (B, H), (D, H), (H, H), (H,)))
same(rnn_step_forward(x, h_prev, Wx, Wh, b)[0], np.tanh(x @ Wx + h_prev @ Wh + b), "h")

# %% tags=["hidden"] task="rnn_step" check="state with padding" points=1
import numpy as np

from minis2s.classroom.checks import fresh, same

rng = fresh()
B, D, H = rng.integers(3, 7, 3)
x, h_prev, Wx, Wh, b = (0.5 * rng.standard_normal(shape) for shape in ((B, D), (B, H), (D, H), (H, H), (H,)))
mask = rng.permutation(np.arange(B) < rng.integers(1, B))
expected = np.where(mask[:, None], np.tanh(x @ Wx + h_prev @ Wh + b), h_prev)
same(rnn_step_forward(x, h_prev, Wx, Wh, b, mask)[0], expected, "h")

# %% tags=["hidden"] task="rnn_step" check="dx" points=1
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
B, D, H = rng.integers(2, 7, 3)
shapes = (B, D), (B, H), (D, H), (H, H), (H,)
given = [0.5 * rng.standard_normal(shape) for shape in shapes]
dh = rng.standard_normal((B, H))
_, cache = rnn_step_forward(*given)
grads = parts(rnn_step_backward(dh, cache), "dx dh_prev dWx dWh db", "rnn_step_backward")
expected = functional.rnn_step.backward(dh, functional.rnn_step.forward(*given)[1])
same(grads[0], expected[0], "dx")

# %% tags=["hidden"] task="rnn_step" check="dh_prev" points=1
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
B, D, H = rng.integers(2, 7, 3)
shapes = (B, D), (B, H), (D, H), (H, H), (H,)
given = [0.5 * rng.standard_normal(shape) for shape in shapes]
dh = rng.standard_normal((B, H))
_, cache = rnn_step_forward(*given)
grads = parts(rnn_step_backward(dh, cache), "dx dh_prev dWx dWh db", "rnn_step_backward")
expected = functional.rnn_step.backward(dh, functional.rnn_step.forward(*given)[1])
same(grads[1], expected[1], "dh_prev")

# %% tags=["hidden"] task="rnn_step" check="dWx" points=1
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
B, D, H = rng.integers(2, 7, 3)
shapes = (B, D), (B, H), (D, H), (H, H), (H,)
given = [0.5 * rng.standard_normal(shape) for shape in shapes]
dh = rng.standard_normal((B, H))
_, cache = rnn_step_forward(*given)
grads = parts(rnn_step_backward(dh, cache), "dx dh_prev dWx dWh db", "rnn_step_backward")
expected = functional.rnn_step.backward(dh, functional.rnn_step.forward(*given)[1])
same(grads[2], expected[2], "dWx")

# %% tags=["hidden"] task="rnn_step" check="dWh" points=1
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
B, D, H = rng.integers(2, 7, 3)
shapes = (B, D), (B, H), (D, H), (H, H), (H,)
given = [0.5 * rng.standard_normal(shape) for shape in shapes]
dh = rng.standard_normal((B, H))
_, cache = rnn_step_forward(*given)
grads = parts(rnn_step_backward(dh, cache), "dx dh_prev dWx dWh db", "rnn_step_backward")
expected = functional.rnn_step.backward(dh, functional.rnn_step.forward(*given)[1])
same(grads[3], expected[3], "dWh")

# %% tags=["hidden"] task="rnn_step" check="db" points=1
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
B, D, H = rng.integers(2, 7, 3)
shapes = (B, D), (B, H), (D, H), (H, H), (H,)
given = [0.5 * rng.standard_normal(shape) for shape in shapes]
dh = rng.standard_normal((B, H))
_, cache = rnn_step_forward(*given)
grads = parts(rnn_step_backward(dh, cache), "dx dh_prev dWx dWh db", "rnn_step_backward")
expected = functional.rnn_step.backward(dh, functional.rnn_step.forward(*given)[1])
same(grads[4], expected[4], "db")

# %% tags=["hidden"] task="rnn_step" check="gradients with padding" points=2
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
B, D, H = rng.integers(3, 7, 3)
shapes = (B, D), (B, H), (D, H), (H, H), (H,)
given = [0.5 * rng.standard_normal(shape) for shape in shapes]
given.append(rng.permutation(np.arange(B) < rng.integers(1, B)))
dh = rng.standard_normal((B, H))
names = "dx dh_prev dWx dWh db"
grads = parts(rnn_step_backward(dh, rnn_step_forward(*given)[1]), names, "rnn_step_backward")
expected = functional.rnn_step.backward(dh, functional.rnn_step.forward(*given)[1])
for mine, theirs, name in zip(grads, expected, names.split()):
    same(mine, theirs, f"{name} with padding")

# %% tags=["hidden"] task="rnn_step" check="sizes of one, nothing but padding, backward twice" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
names = "dx dh_prev dWx dWh db"
for B, mask in ((1, None), (2, np.zeros(2, dtype=bool))):
    shapes = (B, 1), (B, 1), (1, 1), (1, 1), (1,)
    given = [*(0.5 * rng.standard_normal(shape) for shape in shapes), mask]
    dh = rng.standard_normal((B, 1))
    h, cache = rnn_step_forward(*given)
    expected, theirs = functional.rnn_step.forward(*given)
    same(h, expected, "h")
    for call in ("first", "second"):
        grads = parts(rnn_step_backward(dh, cache), names, "rnn_step_backward")
        for mine, right, name in zip(grads, functional.rnn_step.backward(dh, theirs), names.split()):
            same(mine, right, f"{name} of the {call} call")

# %% [markdown] lang="en"
# ## 3. The whole sequence
#
# Forward runs from t = 0 to T - 1 and hands h from step to step. It returns all states and the last one:
#
# | name | shape | |
# |---|---|---|
# | x | (T, B, D) | the inputs |
# | h0 | (B, H) | the state before the first step |
# | mask | (T, B) or None | a word may end early, begin late, or not be there at all (a column of padding) |
# | hs | (T, B, H) | the state after each step |
# | h_last | (B, H) | the state after the last step |
#
# Backward runs from the last step to the first. The state after step t reaches the loss in two ways, so
#
# $$dh_t = \underbrace{dhs_t}_{\text{its own output}} + \underbrace{dh_{prev}\ \text{of step}\ t + 1}_{\text{the rest of the word}}$$
#
# and the weights, which serve every step, receive a sum over the steps (Werbos 1990). $dh_{last}$ is what comes
# after the last step. Either part of `dout` may be None, which means zero.
#
# ### Task `rnn` (17 points)
#
# Write both functions. You may call your step or write the lines anew; only what comes out counts. If you call it,
# make sure first that it is right: its mistakes would count here as well.

# %% [markdown] lang="zh"
# ## 3. 整个序列
#
# 前向从 t = 0 走到 T - 1，把 h 一步步传下去。它返回所有状态和最后一个状态：
#
# | 名称 | 形状 | |
# |---|---|---|
# | x | (T, B, D) | 输入 |
# | h0 | (B, H) | 第一步之前的状态 |
# | mask | (T, B) 或 None | 一个单词可以提前结束，可以晚些开始，也可以根本不存在（整列都是填充） |
# | hs | (T, B, H) | 每一步之后的状态 |
# | h_last | (B, H) | 最后一步之后的状态 |
#
# 反向从最后一步走到第一步。第 t 步之后的状态通过两条路到达损失：它自己的输出（own output），以及单词剩下的部分
# （the rest of the word），所以
#
# $$dh_t = \underbrace{dhs_t}_{\text{its own output}} + \underbrace{dh_{prev}\ \text{of step}\ t + 1}_{\text{the rest of the word}}$$
#
# 而权重每一步都用到，它们的梯度是各步之和（Werbos 1990）。$dh_{last}$ 来自最后一步之后。`dout` 的两部分都可以是 None，表示零。
#
# ### 任务 `rnn`（17 分）
#
# 写出两个函数。可以调用你写的一步，也可以重新写；只看结果。如果调用它，请先确认它是对的：它的错误在这里也会扣分。


# %% tags=["answer"] task="rnn" kind="rnn"
def rnn_forward(x, h0, Wx, Wh, b, mask=None):
    """An RNN over a whole sequence; a step whose mask is False hands h on.

    x (T, B, D); h0 (B, H); Wx (D, H); Wh (H, H); b (H,); mask (T, B) of bools, or None.
    Returns ((hs (T, B, H), h_last (B, H)), cache).
    """
    # BEGIN SOLUTION
    T, B, _ = x.shape
    real = np.ones((T, B, 1), dtype=bool) if mask is None else mask[..., None]
    states = [h0]  # states[t] is the one before step t
    for t in range(T):
        # h = tanh(x Wx + h_prev Wh + b), or handed on
        h = np.tanh(x[t] @ Wx + states[t] @ Wh + b)
        states.append(np.where(real[t], h, states[t]))
    return (np.stack(states[1:]), states[T]), (x, states, Wx, Wh, real)
    # END SOLUTION


def rnn_backward(dout, cache):
    """Backpropagation through time.

    dout = (dhs (T, B, H), dh_last (B, H)), each may be None for zero.
    Returns (dx (T, B, D), dh0 (B, H), dWx (D, H), dWh (H, H), db (H,)).
    """
    # BEGIN SOLUTION
    dhs, dh_last = dout
    x, states, Wx, Wh, real = cache
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    dh = np.zeros_like(states[0]) if dh_last is None else dh_last
    for t in reversed(range(len(x))):
        dh = dh + (0 if dhs is None else dhs[t])
        # h = tanh(z), or handed on; where it was, dz is 0 whatever states[t + 1] holds
        dz = np.where(real[t], dh * (1 - states[t + 1] ** 2), 0)
        # z = x Wx + h_prev Wh + b
        dx[t] = dz @ Wx.T
        dWx += x[t].T @ dz
        dWh += states[t].T @ dz
        db += dz.sum(axis=0)
        dh = np.where(real[t], dz @ Wh.T, dh)
    return dx, dh, dWx, dWh, db
    # END SOLUTION


# %% tags=["public"] task="rnn" check="shapes and known values" points=1
import numpy as np

from minis2s.classroom.checks import parts, same

x, h0 = np.array([[[1.0]], [[2.0]], [[0.0]]]), np.array([[0.0]])
Wx, Wh, b = np.array([[np.log(2)]]), np.array([[0.0]]), np.zeros(1)
out, cache = rnn_forward(x, h0, Wx, Wh, b, np.array([[True], [True], [False]]))  # two steps, and padding
hs, h_last = parts(out, "hs h_last", "rnn_forward, before the cache,")
same(hs, np.array([[[3 / 5]], [[15 / 17]], [[15 / 17]]]), "hs")  # tanh(log a) is (a^2 - 1) / (a^2 + 1)
same(h_last, np.array([[15 / 17]]), "h_last")
dout = np.array([[[1.0]], [[10.0]], [[100.0]]]), np.array([[1000.0]])
grads = parts(rnn_backward(dout, cache), "dx dh0 dWx dWh db", "rnn_backward")
first, second = 1 - (3 / 5) ** 2, 1110 * (1 - (15 / 17) ** 2)
same(grads[0], np.log(2) * np.array([[[first]], [[second]], [[0.0]]]), "dx")
same(grads[1], np.array([[0.0]]), "dh0")
same(grads[2], np.array([[first + 2 * second]]), "dWx")
same(grads[3], np.array([[3 / 5 * second]]), "dWh")
same(grads[4], np.array([first + second]), "db")

# %% tags=["public"] task="rnn" check="dWh by differences" points=1
import numpy as np

from minis2s.classroom.checks import parts, same

rng = np.random.default_rng(1)
x, h0, Wx, b = (0.5 * rng.standard_normal(shape) for shape in ((4, 3, 5), (3, 2), (5, 2), (2,)))
Wh, direction = rng.standard_normal((2, 2, 2))
dhs, dh_last = rng.standard_normal((4, 3, 2)), rng.standard_normal((3, 2))
_, cache = rnn_forward(x, h0, Wx, Wh, b)
dWh = parts(rnn_backward((dhs, dh_last), cache), "dx dh0 dWx dWh db", "rnn_backward")[3]
(up, up_last), (down, down_last) = (rnn_forward(x, h0, Wx, Wh + h * direction, b)[0] for h in (1e-5, -1e-5))
measured = ((dhs * (up - down)).sum() + (dh_last * (up_last - down_last)).sum()) / 2e-5
same((dWh * direction).sum(), measured, "the slope that dWh gives", tol=1e-6)

# %% tags=["hidden"] task="rnn" check="states" points=2
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
T, B, D, H = rng.integers(2, 7, 4)
given = [0.5 * rng.standard_normal(shape) for shape in ((T, B, D), (B, H), (D, H), (H, H), (H,))]
hs, h_last = parts(rnn_forward(*given)[0], "hs h_last", "rnn_forward, before the cache,")
(expected, last), _ = functional.rnn.forward(*given)
same(hs, expected, "hs")
same(h_last, last, "h_last")

# %% tags=["hidden"] task="rnn" check="states with padding" points=1
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
T, B, D, H = rng.integers(3, 7, 4)
given = [0.5 * rng.standard_normal(shape) for shape in ((T, B, D), (B, H), (D, H), (H, H), (H,))]
mask = rng.random((T, B)) < 0.6
mask[0], mask[-1, 0], mask[:, -1] = True, False, False  # a word ends early, another is not there at all
hs, h_last = parts(rnn_forward(*given, mask)[0], "hs h_last", "rnn_forward, before the cache,")
(expected, last), _ = functional.rnn.forward(*given, mask)
same(hs, expected, "hs with padding")
same(h_last, last, "h_last with padding")

# %% tags=["hidden"] task="rnn" check="dx" points=1
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
T, B, D, H = rng.integers(2, 7, 4)
shapes = (T, B, D), (B, H), (D, H), (H, H), (H,)
given = [0.5 * rng.standard_normal(shape) for shape in shapes]
dout = rng.standard_normal((T, B, H)), rng.standard_normal((B, H))
_, cache = rnn_forward(*given)
grads = parts(rnn_backward(dout, cache), "dx dh0 dWx dWh db", "rnn_backward")
expected = functional.rnn.backward(dout, functional.rnn.forward(*given)[1])
same(grads[0], expected[0], "dx")

# %% tags=["hidden"] task="rnn" check="dh0" points=2
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
T, B, D, H = rng.integers(2, 7, 4)
shapes = (T, B, D), (B, H), (D, H), (H, H), (H,)
given = [0.5 * rng.standard_normal(shape) for shape in shapes]
dout = rng.standard_normal((T, B, H)), rng.standard_normal((B, H))
_, cache = rnn_forward(*given)
grads = parts(rnn_backward(dout, cache), "dx dh0 dWx dWh db", "rnn_backward")
expected = functional.rnn.backward(dout, functional.rnn.forward(*given)[1])
same(grads[1], expected[1], "dh0")

# %% tags=["hidden"] task="rnn" check="dWx" points=1
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
T, B, D, H = rng.integers(2, 7, 4)
shapes = (T, B, D), (B, H), (D, H), (H, H), (H,)
given = [0.5 * rng.standard_normal(shape) for shape in shapes]
dout = rng.standard_normal((T, B, H)), rng.standard_normal((B, H))
_, cache = rnn_forward(*given)
grads = parts(rnn_backward(dout, cache), "dx dh0 dWx dWh db", "rnn_backward")
expected = functional.rnn.backward(dout, functional.rnn.forward(*given)[1])
same(grads[2], expected[2], "dWx")

# %% tags=["hidden"] task="rnn" check="dWh" points=2
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
T, B, D, H = rng.integers(2, 7, 4)
shapes = (T, B, D), (B, H), (D, H), (H, H), (H,)
given = [0.5 * rng.standard_normal(shape) for shape in shapes]
dout = rng.standard_normal((T, B, H)), rng.standard_normal((B, H))
_, cache = rnn_forward(*given)
grads = parts(rnn_backward(dout, cache), "dx dh0 dWx dWh db", "rnn_backward")
expected = functional.rnn.backward(dout, functional.rnn.forward(*given)[1])
same(grads[3], expected[3], "dWh")

# %% tags=["hidden"] task="rnn" check="db" points=1
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
T, B, D, H = rng.integers(2, 7, 4)
shapes = (T, B, D), (B, H), (D, H), (H, H), (H,)
given = [0.5 * rng.standard_normal(shape) for shape in shapes]
dout = rng.standard_normal((T, B, H)), rng.standard_normal((B, H))
_, cache = rnn_forward(*given)
grads = parts(rnn_backward(dout, cache), "dx dh0 dWx dWh db", "rnn_backward")
expected = functional.rnn.backward(dout, functional.rnn.forward(*given)[1])
same(grads[4], expected[4], "db")

# %% tags=["hidden"] task="rnn" check="parts of dout that are None" points=2
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
T, B, D, H = rng.integers(2, 6, 4)
shapes = (T, B, D), (B, H), (D, H), (H, H), (H,)
given = [0.5 * rng.standard_normal(shape) for shape in shapes]
dhs, dh_last = rng.standard_normal((T, B, H)), rng.standard_normal((B, H))
names = "dx dh0 dWx dWh db"
for dout, which in (((dhs, None), "only dhs"), ((None, dh_last), "only dh_last")):
    grads = parts(rnn_backward(dout, rnn_forward(*given)[1]), names, "rnn_backward")
    expected = functional.rnn.backward(dout, functional.rnn.forward(*given)[1])
    for mine, theirs, name in zip(grads, expected, names.split()):
        same(mine, theirs, f"{name} where {which} is given")

# %% tags=["hidden"] task="rnn" check="gradients with padding" points=2
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
T, B, D, H = rng.integers(3, 7, 4)
shapes = (T, B, D), (B, H), (D, H), (H, H), (H,)
given = [0.5 * rng.standard_normal(shape) for shape in shapes]
mask = rng.random((T, B)) < 0.6
mask[0], mask[-1, 0], mask[:, -1] = True, False, False
dout = rng.standard_normal((T, B, H)), rng.standard_normal((B, H))
names = "dx dh0 dWx dWh db"
grads = parts(rnn_backward(dout, rnn_forward(*given, mask)[1]), names, "rnn_backward")
expected = functional.rnn.backward(dout, functional.rnn.forward(*given, mask)[1])
for mine, theirs, name in zip(grads, expected, names.split()):
    same(mine, theirs, f"{name} with padding")

# %% tags=["hidden"] task="rnn" check="sizes of one, backward twice" points=1
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
names = "dx dh0 dWx dWh db"
for T in (1, 3):
    B = D = H = 1
    shapes = (T, B, D), (B, H), (D, H), (H, H), (H,)
    given = [0.5 * rng.standard_normal(shape) for shape in shapes]
    dout = rng.standard_normal((T, B, H)), rng.standard_normal((B, H))
    out, cache = rnn_forward(*given)
    (expected, _), theirs = functional.rnn.forward(*given)
    same(parts(out, "hs h_last", "rnn_forward, before the cache,")[0], expected, "hs")
    for call in ("first", "second"):
        grads = parts(rnn_backward(dout, cache), names, "rnn_backward")
        for mine, right, name in zip(grads, functional.rnn.backward(dout, theirs), names.split()):
            same(mine, right, f"{name} of the {call} call")

# %% [markdown] lang="en" tags=["written"] task="rnn_written" points=4
# ## 4. In your own words: `rnn_written` (4 points)
#
# 1. `Wh` is used at each of T steps, and its gradient is one sum. From which steps do the largest terms come, if
#    the loss reads only the last state and $W_h = 0.5\, I$ with small inputs? About how large is the term of a
#    step that lies 20 steps back, compared with that of the last step?
# 2. In a batch with padding, a friend leaves `dh` at 0 in the rows of padding instead of handing it on. Training
#    goes on. Which words of the batch learn nothing from their last state, and which learn as they should?
# 3. Why does backward need all states of forward, and what follows for the memory of a sequence of 10,000 steps?
#
# Two or three sentences each.

# %% [markdown] lang="zh" tags=["written"] task="rnn_written" points=4
# ## 4. 用你自己的话：`rnn_written`（4 分）
#
# 1. `Wh` 在 T 步中每一步都用到，它的梯度是一个和。如果损失只读最后一个状态，而 $W_h = 0.5\, I$，输入很小，
#    那么和中最大的项来自哪些步？往回 20 步的那一项与最后一步的那一项相比，大约有多大？
# 2. 在带填充的批次里，一位朋友没有把填充行的 `dh` 传下去，而是让它为 0。训练照常进行。
#    批次中哪些单词从它们的最后状态什么也学不到？哪些学得正常？
# 3. 为什么反向需要前向的所有状态？对 10,000 步的序列，这对内存意味着什么？
#
# 每题两三句话。

# %% [markdown] lang="en" tags=["model-answer"] task="rnn_written"
# 1. From the last steps. Each step back multiplies dh with $W_h^T$ and with $1 - h^2$, so with at most 0.5. After 20
#    steps at most $0.5^{20}$ is left, about one millionth: the term is there, but it does not count. (1 point for the
#    last steps, 1 for the number)
# 2. The words that are shorter than the longest one. Their last state was handed on through the padding to the end, and
#    the gradient that comes from there is lost in the first row of padding that it meets. Words that fill all T steps
#    have no padding, so nothing is wrong with them. (1 point)
# 3. $dz = dh (1 - h^2)$ and $dW_h = h_{prev}^T dz$ use the state of the very step. So the states of all steps must be
#    kept (or computed again): the memory grows with T. Truncating the way back, or keeping only some states and
#    computing the others anew, are the usual remedies. (1 point)

# %% [markdown] lang="zh" tags=["model-answer"] task="rnn_written"
# 1. 来自最后几步。每往回一步，dh 都要乘以 $W_h^T$ 和 $1 - h^2$，也就是至多乘以 0.5。20 步之后至多剩下 $0.5^{20}$，
#    约百万分之一：这一项还在，但已不起作用。（最后几步 1 分，数值 1 分）
# 2. 比最长的单词短的那些单词。它们的最后状态经过填充一直传到末尾，从那里回来的梯度在遇到的第一行填充处就丢失了。
#    占满 T 步的单词没有填充，所以一切正常。（1 分）
# 3. $dz = dh (1 - h^2)$ 和 $dW_h = h_{prev}^T dz$ 用到的正是那一步的状态。所以各步的状态都要保存（或重新计算）：
#    内存随 T 增长。通常的办法是截断往回走的路，或只保存一部分状态，其余的重新计算。（1 分）

# %% [markdown] lang="en"
# ## 5. Your network reads and writes
#
# The model below has two of your networks. One reads the letters of an English word, the other writes its sounds.
# While it learns, the whole sequence goes through `rnn_forward` and `rnn_backward`; when it pronounces a word, it
# goes step by step through `rnn_step_forward`. In about ten seconds it learns from twenty thousand short words. Then
# it pronounces some that it has not seen.

# %% [markdown] lang="zh"
# ## 5. 你的网络会读会写
#
# 下面的模型里有两个你的网络：一个读英语单词的字母，另一个写出它的音素。学习时，整个序列通过 `rnn_forward` 和 `rnn_backward`；
# 念单词时，则通过 `rnn_step_forward` 一步步走。它在十秒左右的时间里从两万个短单词中学习，然后念出几个没见过的词。

# %% tags=["train"]
import numpy as np

from minis2s import (
    RNN,
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

mine = Op("mine", rnn_forward, rnn_backward)
my_step = Op("mine, one step", rnn_step_forward, rnn_step_backward)
STEPS = 800


def train(words):
    """A new model with your networks, trained on the words."""
    translator = Translator.for_pairs(
        words, ModelConfig(cell="rnn", bidirectional=False, embed=32, hidden=64), target_tokenizer="space"
    )
    model, rng = translator.model, np.random.default_rng(0)
    model.encoder.rnn.layers[0] = RNN(32, 64, rng=rng, op=mine, step_op=my_step)
    model.decoder.cells.layers[0] = RNN(32, 64, rng=rng, op=mine, step_op=my_step)
    examples = encode_pairs(words, translator.source, translator.target, all_targets=False)
    optimizer = Adam(model.parameters(), lr=5e-3)
    for step in range(STEPS):
        optimizer.lr = 5e-3 * min(1, 2 - 2 * step / STEPS)  # smaller steps in the second half
        batch = make_batch(examples, rng.integers(len(examples), size=64))
        model.zero_grad()
        loss, cache = model.loss(batch)
        model.backward(1.0, cache)
        clip_global_norm(model.parameters(), 1.0)  # lesson 3, section 6
        optimizer.step()
        if step % 200 == 0 or step == STEPS - 1:
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
# ## 6. What to read next
#
# * J. Elman, "Finding structure in time", Cognitive Science 14, 1990: the network, and the words that it found.
# * P. Werbos, "Backpropagation through time: what it does and how to do it", Proceedings of the IEEE 78, 1990.
# * R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training recurrent neural networks", ICML 2013: why
#   the training above clips its gradients.

# %% [markdown] lang="zh"
# ## 6. 接下来读什么
#
# * J. Elman, "Finding structure in time", Cognitive Science 14, 1990：这个网络，以及它发现的单词。
# * P. Werbos, "Backpropagation through time: what it does and how to do it", Proceedings of the IEEE 78, 1990。
# * R. Pascanu, T. Mikolov, Y. Bengio, "On the difficulty of training recurrent neural networks", ICML 2013：
#   为什么上面的训练要裁剪梯度。
