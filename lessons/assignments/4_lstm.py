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
# # Assignment 4: an LSTM that pronounces words
#
# In *though*, *tough* and *through* the letters **ough** sound three times differently. What they sound like was
# decided by a letter that came earlier. A machine that reads a word letter by letter and then says it aloud has
# to carry that letter along, past everything it reads in between.
#
# You write the machine's memory: the long short-term memory of Hochreiter and Schmidhuber (1997), forward and
# backward, first one step and then the whole word. At the end **your** two functions train a real model, and it
# pronounces words that it has never seen.
#
# You need lesson 4 (`04_lstm.py`): it derives the backward pass of one step.
#
# What is given: a solved example of the same form. What you write: four functions, marked with
# `NotImplementedError`. What you may use: NumPy. Each task has checks that you see, and others that you do not;
# both are run with new random numbers each time. Expected time: two and a half hours.

# %% [markdown] lang="zh"
# # 作业 4：会念单词的 LSTM
#
# 在 *though*、*tough* 和 *through* 里，字母 **ough** 有三种读音。读哪一种，是由前面出现的字母决定的。一台逐个字母读单词、
# 再把它念出来的机器，必须带着那个字母，走过中间读到的一切。
#
# 你要写的就是这台机器的记忆：Hochreiter 和 Schmidhuber（1997）的长短期记忆（LSTM），前向和反向，先写一步，再写整个单词。
# 最后用**你自己的**函数训练一个真正的模型，让它念出从没见过的单词。
#
# 需要第 4 课（`04_lstm.py`）：其中推导了一步的反向传播。
#
# 已经给出的：一个形式相同、已经解好的例子。要你写的：四个函数，用 `NotImplementedError` 标出。可以使用的：NumPy。
# 每个任务都有看得见的检查，也有看不见的检查；两者每次都用新的随机数。预计用时：两个半小时。

# %%
if __name__ == "__main__":  # before NumPy is loaded: threads inside it only slow small matrices down
    import os

    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

# %% [markdown] lang="en"
# ## 1. A solved example: a memory with one gate
#
# Before the LSTM, a smaller memory, solved completely. It keeps a running mean: at each step the gate $f$
# (one number for each unit, between 0 and 1) says how much of the old state stays.
#
# | forward | backward |
# |---|---|
# | $c = f \cdot c_{prev} + (1 - f) \cdot x$ | $dc_{prev} = dc \cdot f$ |
# | | $dx = dc \cdot (1 - f)$ |
# | | $df$ = the sum of $dc \cdot (c_{prev} - x)$ over the batch |
#
# Shapes: x, c and $c_{prev}$ are (B, H), f is (H,). $df$ is a sum over the batch because all B rows use the same f.
#
# Words of a batch are of different lengths. The mask (B,) says which rows are real at this step; where it is
# False, the word is over, and the row only hands its state on: $c = c_{prev}$. So its gradient is handed on too:
# $dc_{prev} = dc$, and neither x nor f gets anything from that row.
#
# Look at the form: forward returns its output and a *cache*, which is whatever backward needs. Backward is the
# forward function read upward. It changes neither the cache nor the gradients that it is given.

# %% [markdown] lang="zh"
# ## 1. 解好的例子：只有一个门的记忆
#
# 在写 LSTM 之前，先看一个更小的、完全解好的记忆。它保存一个滑动平均：每一步由门 $f$（每个单元一个 0 到 1 之间的数）
# 决定旧状态保留多少。
#
# | 前向 | 反向 |
# |---|---|
# | $c = f \cdot c_{prev} + (1 - f) \cdot x$ | $dc_{prev} = dc \cdot f$ |
# | | $dx = dc \cdot (1 - f)$ |
# | | $df$ = $dc \cdot (c_{prev} - x)$ 在批次上求和 |
#
# 形状：x、c 和 $c_{prev}$ 是 (B, H)，f 是 (H,)。$df$ 要在批次上求和，因为 B 行都用同一个 f。
#
# 一个批次里的单词长短不一。掩码 (B,) 说明这一步哪些行是真的；为 False 的地方单词已经结束，那一行只把状态传下去：$c = c_{prev}$。
# 所以它的梯度也原样传回去：$dc_{prev} = dc$，x 和 f 从那一行什么也得不到。
#
# 注意写法：前向返回输出和一个**缓存**（cache），里面是反向所需要的一切。反向就是把前向函数从下往上读。
# 它既不改动缓存，也不改动传给它的梯度。


# %%
def memory_step_forward(x, c_prev, f, mask):
    """x, c_prev (B, H); f (H,); mask (B,). Returns (c (B, H), cache)."""
    real = mask[:, None]  # (B, 1), so that it fits all H units of a row
    c = np.where(real, f * c_prev + (1 - f) * x, c_prev)
    return c, (x, c_prev, f, real)


def memory_step_backward(dc, cache):
    """dc (B, H). Returns (dx (B, H), dc_prev (B, H), df (H,))."""
    x, c_prev, f, real = cache
    # c = where(real, ..., c_prev): a row of padding hands its gradient on
    handed_on = np.where(real, 0, dc)
    dc = np.where(real, dc, 0)
    # f * c_prev + (1 - f) * x
    dc_prev = dc * f + handed_on
    dx = dc * (1 - f)
    df = (dc * (c_prev - x)).sum(axis=0)
    return dx, dc_prev, df


# %% [markdown] lang="en"
# ## 2. One step of an LSTM
#
# The LSTM has four such numbers for each unit and computes them itself, from what it reads and from its own
# output. We are at step t; $h_{prev}$ and $c_{prev}$ are the states before it.
#
# | equation | in words |
# |---|---|
# | $z = x W_x + h_{prev} W_h + b$ | the pre-activations of all gates, side by side: $z_i, z_f, z_o, z_g$ |
# | $i = \sigma(z_i)$ | input gate: how much of the candidate is written? |
# | $f = \sigma(z_f)$ | forget gate: how much of the old cell state stays? |
# | $o = \sigma(z_o)$ | output gate: how much is shown? |
# | $g = \tanh(z_g)$ | candidate: what could be written |
# | $c = f \cdot c_{prev} + i \cdot g$ | cell state, the memory |
# | $h = o \cdot \tanh(c)$ | hidden state, the output |
#
# Shapes, for B words, D numbers read at a step, H units:
#
# | | | | |
# |---|---|---|---|
# | x | (B, D) | $W_x$ | (D, 4H) |
# | h, c and each gate | (B, H) | $W_h$ | (H, 4H) |
# | z | (B, 4H) | b | (4H,) |
#
# The 4H columns of the weights are four blocks of H, in the order **i, f, o, g**. The mask is (B,) or None (all
# rows are real); where it is False, h and c are handed on.
#
# For backward you need $\sigma' = \sigma (1 - \sigma)$ and $\tanh' = 1 - \tanh^2$, and one thought: c reaches the
# loss in **two** ways, through h of this step and through the next step. The gradient that comes in as dc is only
# the second.
#
# ### Task `lstm_step` (12 points)
#
# Write both functions. dh or dc may be None, which means zero.

# %% [markdown] lang="zh"
# ## 2. LSTM 的一步
#
# LSTM 的每个单元有四个这样的数，而且由它自己从读到的内容和自己的输出算出来。我们处在第 t 步；$h_{prev}$ 和 $c_{prev}$ 是这一步之前的状态。
#
# | 公式 | 含义 |
# |---|---|
# | $z = x W_x + h_{prev} W_h + b$ | 所有门的预激活值，并排放置：$z_i, z_f, z_o, z_g$ |
# | $i = \sigma(z_i)$ | 输入门：候选值写入多少？ |
# | $f = \sigma(z_f)$ | 遗忘门：旧的细胞状态保留多少？ |
# | $o = \sigma(z_o)$ | 输出门：展示多少？ |
# | $g = \tanh(z_g)$ | 候选值：可以写入什么 |
# | $c = f \cdot c_{prev} + i \cdot g$ | 细胞状态，即记忆 |
# | $h = o \cdot \tanh(c)$ | 隐状态，即输出 |
#
# 形状：B 个单词，每一步读 D 个数，H 个单元：
#
# | | | | |
# |---|---|---|---|
# | x | (B, D) | $W_x$ | (D, 4H) |
# | h、c 和每个门 | (B, H) | $W_h$ | (H, 4H) |
# | z | (B, 4H) | b | (4H,) |
#
# 权重的 4H 列是四个 H 列的块，顺序为 **i、f、o、g**。掩码是 (B,) 或 None（所有行都是真的）；为 False 的地方 h 和 c 原样传下去。
#
# 反向需要 $\sigma' = \sigma (1 - \sigma)$ 和 $\tanh' = 1 - \tanh^2$，还要想清楚一点：c 通过**两条**路到达损失，
# 一条经过这一步的 h，一条经过下一步。传进来的 dc 只是第二条。
#
# ### 任务 `lstm_step`（12 分）
#
# 写出两个函数。dh 或 dc 可以是 None，表示零。


# %%
def sigmoid(z):
    """1 / (1 + exp(-z)), without an overflow where z is very negative."""
    return 0.5 * np.tanh(0.5 * z) + 0.5


# %% tags=["answer"] task="lstm_step" kind="lstm_step"
def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    """One step of a batch of LSTM cells.

    Shapes: x (B, D); h_prev, c_prev (B, H); Wx (D, 4H); Wh (H, 4H); b (4H,); mask (B,) or None.
    Returns ((h, c), cache): h and c (B, H); the cache is whatever backward needs.
    """
    # BEGIN SOLUTION
    # z = x Wx + h_prev Wh + b
    z_i, z_f, z_o, z_g = np.split(x @ Wx + h_prev @ Wh + b, 4, axis=1)
    i, f, o, g = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o), np.tanh(z_g)
    # c = f * c_prev + i * g;  h = o * tanh(c)
    c = f * c_prev + i * g
    tanh_c = np.tanh(c)
    h = o * tanh_c
    real = None if mask is None else mask[:, None]
    if mask is not None:
        h, c = np.where(real, h, h_prev), np.where(real, c, c_prev)
    return (h, c), (x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c)
    # END SOLUTION


def lstm_step_backward(dout, cache):
    """The gradients of one step: the lines of forward, read upward.

    dout = (dh, dc), each (B, H) or None for zero.
    Returns (dx, dh_prev, dc_prev, dWx, dWh, db), each in the shape of what it belongs to.
    """
    # BEGIN SOLUTION
    x, h_prev, c_prev, Wx, Wh, real, i, f, o, g, tanh_c = cache
    dh, dc = (np.zeros_like(h_prev) if d is None else d for d in dout)
    dh_carried = dc_carried = 0
    if real is not None:
        dh_carried, dc_carried = np.where(real, 0, dh), np.where(real, 0, dc)
        dh, dc = np.where(real, dh, 0), np.where(real, dc, 0)
    # h = o * tanh(c)
    do = dh * tanh_c
    dc = dc + dh * o * (1 - tanh_c**2)
    # c = f * c_prev + i * g
    df, dc_prev = dc * c_prev, dc * f
    di, dg = dc * g, dc * i
    # i, f, o = sigmoid(...);  g = tanh(z_g)
    dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)], axis=1)
    # z = x Wx + h_prev Wh + b
    dx, dWx = dz @ Wx.T, x.T @ dz
    dh_prev, dWh = dz @ Wh.T, h_prev.T @ dz
    return dx, dh_prev + dh_carried, dc_prev + dc_carried, dWx, dWh, dz.sum(axis=0)
    # END SOLUTION


# %% tags=["public"] task="lstm_step" check="shapes" points=1
import numpy as np

from minis2s.classroom.checks import Wrong, fresh, parts

rng = fresh()
B, D, H = 3, 5, 2
shapes = {"x": (B, D), "h_prev": (B, H), "c_prev": (B, H), "Wx": (D, 4 * H), "Wh": (H, 4 * H), "b": (4 * H,)}
given = [rng.standard_normal(shape) for shape in shapes.values()]
out, cache = lstm_step_forward(*given)
h, c = parts(out, "h c", "lstm_step_forward, before the cache,")
grads = parts(lstm_step_backward((h, c), cache), " ".join(f"d{name}" for name in shapes), "lstm_step_backward")
names = ["h", "c", *(f"d{name}" for name in shapes)]
for name, array, shape in zip(names, [h, c, *grads], [(B, H), (B, H), *shapes.values()]):
    if np.shape(array) != shape:
        raise Wrong(f"{name} has the shape {np.shape(array)}, it should be {shape}")

# %% tags=["public"] task="lstm_step" check="gates driven by hand" points=1
# with weights of zero the gates are what the bias says: 40 opens a gate, -40 closes it
import numpy as np

from minis2s.classroom.checks import same

zero = np.zeros((1, 1))
for i, f, o in ((0, 1, 1), (1, 0, 1), (1, 1, 0)):
    b = np.array([80.0 * i - 40, 80.0 * f - 40, 80.0 * o - 40, 0.5])
    out, _ = lstm_step_forward(zero, zero, np.full((1, 1), 0.8), np.zeros((1, 4)), np.zeros((1, 4)), b)
    c = f * 0.8 + i * np.tanh(0.5)
    same(out[1], [[c]], f"c with i, f, o = {i}, {f}, {o}")
    same(out[0], [[o * np.tanh(c)]], f"h with i, f, o = {i}, {f}, {o}")

# %% tags=["hidden"] task="lstm_step" check="forward" points=1
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
B, D, H = (int(n) for n in rng.integers(2, 7, 3))
shapes = (B, D), (B, H), (B, H), (D, 4 * H), (H, 4 * H), (4 * H,)
given = [rng.standard_normal(shape) for shape in shapes]
expected, _ = functional.lstm_step.forward(*given)
out, _ = lstm_step_forward(*given)
for mine, theirs, name in zip(parts(out, "h c", "lstm_step_forward"), expected, ("h", "c")):
    same(mine, theirs, name)

# %% tags=["hidden"] task="lstm_step" check="forward with a mask" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
B, D, H = (int(n) for n in rng.integers(3, 7, 3))
shapes = (B, D), (B, H), (B, H), (D, 4 * H), (H, 4 * H), (4 * H,)
given = [rng.standard_normal(shape) for shape in shapes]
mask = np.arange(B) != rng.integers(B)  # one row is over
expected, _ = functional.lstm_step.forward(*given, mask)
out, _ = lstm_step_forward(*given, mask)
for mine, theirs, name in zip(parts(out, "h c", "lstm_step_forward"), expected, ("h", "c")):
    same(mine, theirs, f"{name} with a mask")

# %% tags=["hidden"] task="lstm_step" check="gradients of x and the states" points=1
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
B, D, H = (int(n) for n in rng.integers(2, 7, 3))
shapes = (B, D), (B, H), (B, H), (D, 4 * H), (H, 4 * H), (4 * H,)
given = [rng.standard_normal(shape) for shape in shapes]
dout = rng.standard_normal((B, H)), rng.standard_normal((B, H))
expected = functional.lstm_step.backward(dout, functional.lstm_step.forward(*given)[1])
_, cache = lstm_step_forward(*given)
names = "dx dh_prev dc_prev dWx dWh db"
grads = parts(lstm_step_backward(dout, cache), names, "lstm_step_backward")
for n in (0, 1, 2):
    same(grads[n], expected[n], names.split()[n])

# %% tags=["hidden"] task="lstm_step" check="gradients of the weights" points=2
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
B, D, H = (int(n) for n in rng.integers(2, 7, 3))
shapes = (B, D), (B, H), (B, H), (D, 4 * H), (H, 4 * H), (4 * H,)
given = [rng.standard_normal(shape) for shape in shapes]
dout = rng.standard_normal((B, H)), rng.standard_normal((B, H))
expected = functional.lstm_step.backward(dout, functional.lstm_step.forward(*given)[1])
_, cache = lstm_step_forward(*given)
names = "dx dh_prev dc_prev dWx dWh db"
for call in ("", " at the second call: is the cache still as it was?"):
    grads = parts(lstm_step_backward(dout, cache), names, "lstm_step_backward")
    for n in (3, 4, 5):
        same(grads[n], expected[n], names.split()[n] + call)

# %% tags=["hidden"] task="lstm_step" check="gradients with a mask" points=2
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
B, D, H = (int(n) for n in rng.integers(3, 7, 3))
shapes = (B, D), (B, H), (B, H), (D, 4 * H), (H, 4 * H), (4 * H,)
given = [rng.standard_normal(shape) for shape in shapes]
mask = np.arange(B) != rng.integers(B)
dout = rng.standard_normal((B, H)), rng.standard_normal((B, H))
expected = functional.lstm_step.backward(dout, functional.lstm_step.forward(*given, mask)[1])
_, cache = lstm_step_forward(*given, mask)
names = "dx dh_prev dc_prev dWx dWh db"
grads = parts(lstm_step_backward(dout, cache), names, "lstm_step_backward")
for mine, theirs, name in zip(grads, expected, names.split()):
    same(mine, theirs, f"{name} with a mask")

# %% tags=["hidden"] task="lstm_step" check="dh or dc is None" points=1
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
B, D, H = (int(n) for n in rng.integers(2, 7, 3))
shapes = (B, D), (B, H), (B, H), (D, 4 * H), (H, 4 * H), (4 * H,)
given = [rng.standard_normal(shape) for shape in shapes]
names = "dx dh_prev dc_prev dWx dWh db"
for dout in ((rng.standard_normal((B, H)), None), (None, rng.standard_normal((B, H)))):
    expected = functional.lstm_step.backward(dout, functional.lstm_step.forward(*given)[1])
    _, cache = lstm_step_forward(*given)
    grads = parts(lstm_step_backward(dout, cache), names, "lstm_step_backward")
    missing = "dh" if dout[0] is None else "dc"
    for mine, theirs, name in zip(grads, expected, names.split()):
        same(mine, theirs, f"{name} where {missing} is None")

# %% tags=["hidden"] task="lstm_step" check="one row, one input, one unit" points=1
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
for B, D, H in ((1, 3, 2), (3, 1, 2), (3, 2, 1), (3, 2, 2), (1, 1, 1)):
    shapes = (B, D), (B, H), (B, H), (D, 4 * H), (H, 4 * H), (4 * H,)
    given = [rng.standard_normal(shape) for shape in shapes]
    dout = rng.standard_normal((B, H)), rng.standard_normal((B, H))
    out, cache = lstm_step_forward(*given)
    names = "dx dh_prev dc_prev dWx dWh db"
    grads = parts(lstm_step_backward(dout, cache), names, "lstm_step_backward")
    expected, theirs = functional.lstm_step.forward(*given)
    for mine, right, name in zip(parts(out, "h c", "lstm_step_forward"), expected, ("h", "c")):
        same(mine, right, f"{name} where B, D, H = {B}, {D}, {H}")
    for mine, right, name in zip(grads, functional.lstm_step.backward(dout, theirs), names.split()):
        same(mine, right, f"{name} where B, D, H = {B}, {D}, {H}")

# %% tags=["hidden"] task="lstm_step" check="two steps in one program" points=1
# as in training: forward, forward, backward, backward, all in one process
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import Wrong, fresh, parts, same, together

rng = fresh()
B, D, H = (int(n) for n in rng.integers(2, 7, 3))
shapes = (B, D), (B, H), (B, H), (D, 4 * H), (H, 4 * H), (4 * H,)
steps = [[rng.standard_normal(shape) for shape in shapes] for _ in range(2)]
dout = rng.standard_normal((B, H)), rng.standard_normal((B, H))
before = [[a.copy() for a in step] for step in steps], tuple(d.copy() for d in dout)
forward, backward = together(lstm_step_forward, lstm_step_backward)
caches = [forward(*step)[1] for step in steps]
for step, kept in zip(steps, before[0]):
    for mine, given, name in zip(step, kept, "x h_prev c_prev Wx Wh b".split()):
        if not np.array_equal(mine, given):
            raise Wrong(f"lstm_step_forward changes {name}, which it was given, in place")
names = "dx dh_prev dc_prev dWx dWh db"
for n, call in ((0, "after another step was taken"), (1, "of the second step"), (0, "asked for a second time")):
    grads = parts(backward(dout, caches[n]), names, "lstm_step_backward")
    for mine, given, name in zip(dout, before[1], ("dh", "dc")):
        if not np.array_equal(mine, given):
            raise Wrong(f"lstm_step_backward changes {name}, which it was given, in place")
    expected = functional.lstm_step.backward(dout, functional.lstm_step.forward(*before[0][n])[1])
    for mine, theirs, name in zip(grads, expected, names.split()):
        same(mine, theirs, f"{name} {call}")

# %% [markdown] lang="en"
# ## 3. A whole word
#
# A word of T letters is T steps with the same weights. Time comes first: x is (T, B, D), the mask (T, B) or None.
# Forward hands h and c from step to step and collects the h of every step in hs (T, B, H). It returns three
# things: hs, the last h and the last c.
#
# Backward runs from the last step to the first (*backpropagation through time*). At each step, the gradient of
# that step's own h comes in **in addition** to what comes back from the step after it. The weights were used at
# every step: their gradients are sums over all steps.
#
# $$dW_h = \sum_{t=0}^{T-1} h_{t-1}^T \, dz_t$$
#
# ### Task `lstm` (12 points)
#
# Write both functions. You may call your functions of one step or write the lines anew; only what comes out counts.
# If you call them, make sure first that they are right: their mistakes would count here as well. dout has three
# parts, (dhs, dh_last, dc_last), for the three outputs, and each may be None for zero. Letters behind the end of a
# word may be anything: nothing may depend on them.

# %% [markdown] lang="zh"
# ## 3. 整个单词
#
# T 个字母的单词就是用同一组权重走 T 步。时间在最前面：x 是 (T, B, D)，掩码是 (T, B) 或 None。前向把 h 和 c 一步步传下去，
# 并把每一步的 h 收集到 hs (T, B, H) 里。它返回三样东西：hs、最后的 h 和最后的 c。
#
# 反向从最后一步走到第一步（**随时间反向传播**）。每一步自己的 h 的梯度，要**加上**后一步传回来的梯度。权重每一步都用到：
# 它们的梯度是所有步之和。
#
# $$dW_h = \sum_{t=0}^{T-1} h_{t-1}^T \, dz_t$$
#
# ### 任务 `lstm`（12 分）
#
# 写出两个函数。可以调用你写的一步，也可以重新写；只看结果。如果调用它，请先确认它是对的：它的错误在这里也会扣分。
# dout 有三部分 (dhs, dh_last, dc_last)，对应三个输出，每一部分都可以是 None，表示零。
# 单词结束之后的字母可以是任何东西：什么都不许依赖它们。


# %% tags=["answer"] task="lstm" kind="lstm"
def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    """An LSTM over a whole sequence.

    Shapes: x (T, B, D); h0, c0 (B, H); Wx (D, 4H); Wh (H, 4H); b (4H,); mask (T, B) or None.
    Returns ((hs (T, B, H), h_last (B, H), c_last (B, H)), cache).
    """
    # BEGIN SOLUTION
    h, c, hs, caches = h0, c0, [], []
    for t in range(len(x)):
        (h, c), cache = lstm_step_forward(x[t], h, c, Wx, Wh, b, None if mask is None else mask[t])
        hs.append(h)
        caches.append(cache)
    return (np.stack(hs), h, c), caches
    # END SOLUTION


def lstm_backward(dout, cache):
    """Backpropagation through time.

    dout = (dhs (T, B, H), dh_last (B, H), dc_last (B, H)), each may be None for zero.
    Returns (dx, dh0, dc0, dWx, dWh, db), each in the shape of what it belongs to.
    """
    # BEGIN SOLUTION
    dhs, dh, dc = dout
    h0, Wx, Wh = cache[0][1], cache[0][3], cache[0][4]
    dh = np.zeros_like(h0) if dh is None else dh
    dc = np.zeros_like(h0) if dc is None else dc
    dxs, dWx, dWh, db = [], np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    for t in reversed(range(len(cache))):
        if dhs is not None:
            dh = dh + dhs[t]
        dx, dh, dc, *more = lstm_step_backward((dh, dc), cache[t])
        dxs.append(dx)
        for total, d in zip((dWx, dWh, db), more):
            total += d
    return np.stack(dxs[::-1]), dh, dc, dWx, dWh, db
    # END SOLUTION


# %% tags=["public"] task="lstm" check="shapes" points=1
import numpy as np

from minis2s.classroom.checks import Wrong, fresh, parts

rng = fresh()
T, B, D, H = 4, 3, 5, 2
shapes = {"x": (T, B, D), "h0": (B, H), "c0": (B, H), "Wx": (D, 4 * H), "Wh": (H, 4 * H), "b": (4 * H,)}
given = [rng.standard_normal(shape) for shape in shapes.values()]
out, cache = lstm_forward(*given)
outs = parts(out, "hs h_last c_last", "lstm_forward, before the cache,")
grads = parts(lstm_backward(outs, cache), " ".join(f"d{name}" for name in shapes), "lstm_backward")
names = ["hs", "h_last", "c_last", *(f"d{name}" for name in shapes)]
for name, array, shape in zip(names, [*outs, *grads], [(T, B, H), (B, H), (B, H), *shapes.values()]):
    if np.shape(array) != shape:
        raise Wrong(f"{name} has the shape {np.shape(array)}, it should be {shape}")

# %% tags=["public"] task="lstm" check="a sequence of one step" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
for B, D, H in ((3, 5, 2), (1, 1, 1)):
    shapes = (1, B, D), (B, H), (B, H), (D, 4 * H), (H, 4 * H), (4 * H,)
    x, *given = (rng.standard_normal(shape) for shape in shapes)
    (h, c), theirs = functional.lstm_step.forward(x[0], *given)
    out, cache = lstm_forward(x, *given)
    same(out[0], h[None], "hs of one step")
    same(out[1], h, "h_last of one step")
    same(out[2], c, "c_last of one step")
    dhs, dh, dc = (rng.standard_normal(a.shape) for a in out)
    names = "dx dh0 dc0 dWx dWh db"
    grads = parts(lstm_backward((dhs, dh, dc), cache), names, "lstm_backward")
    dx, *expected = functional.lstm_step.backward((dhs[0] + dh, dc), theirs)
    for mine, right, name in zip(grads, [dx[None], *expected], names.split()):
        same(mine, right, f"{name} of one step")

# %% tags=["hidden"] task="lstm" check="forward" points=1
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
T, B, D, H = (int(n) for n in rng.integers(2, 7, 4))
shapes = (T, B, D), (B, H), (B, H), (D, 4 * H), (H, 4 * H), (4 * H,)
given = [rng.standard_normal(shape) for shape in shapes]
expected, _ = functional.lstm.forward(*given)
out, _ = lstm_forward(*given)
names = "hs h_last c_last"
for mine, theirs, name in zip(parts(out, names, "lstm_forward"), expected, names.split()):
    same(mine, theirs, name)

# %% tags=["hidden"] task="lstm" check="forward with a mask" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
T, B, D, H = (int(n) for n in rng.integers(3, 7, 4))
shapes = (T, B, D), (B, H), (B, H), (D, 4 * H), (H, 4 * H), (4 * H,)
given = [rng.standard_normal(shape) for shape in shapes]
lengths = rng.integers(1, T + 1, B)
lengths[:2] = T, T - 1
mask = np.arange(T)[:, None] < lengths
expected, _ = functional.lstm.forward(*given, mask)
out, _ = lstm_forward(*given, mask)
names = "hs h_last c_last"
for mine, theirs, name in zip(parts(out, names, "lstm_forward"), expected, names.split()):
    same(mine, theirs, f"{name} with a mask")

# %% tags=["hidden"] task="lstm" check="gradients of x and the first states through time" points=1
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
T, B, D, H = (int(n) for n in rng.integers(3, 7, 4))
shapes = (T, B, D), (B, H), (B, H), (D, 4 * H), (H, 4 * H), (4 * H,)
given = [rng.standard_normal(shape) for shape in shapes]
dout = tuple(rng.standard_normal(shape) for shape in ((T, B, H), (B, H), (B, H)))
expected = functional.lstm.backward(dout, functional.lstm.forward(*given)[1])
_, cache = lstm_forward(*given)
names = "dx dh0 dc0 dWx dWh db"
grads = parts(lstm_backward(dout, cache), names, "lstm_backward")
for n in (0, 1, 2):
    same(grads[n], expected[n], names.split()[n])

# %% tags=["hidden"] task="lstm" check="gradients of the weights through time" points=1
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
T, B, D, H = (int(n) for n in rng.integers(3, 7, 4))
shapes = (T, B, D), (B, H), (B, H), (D, 4 * H), (H, 4 * H), (4 * H,)
given = [rng.standard_normal(shape) for shape in shapes]
dout = tuple(rng.standard_normal(shape) for shape in ((T, B, H), (B, H), (B, H)))
expected = functional.lstm.backward(dout, functional.lstm.forward(*given)[1])
_, cache = lstm_forward(*given)
names = "dx dh0 dc0 dWx dWh db"
grads = parts(lstm_backward(dout, cache), names, "lstm_backward")
for n in (3, 4, 5):
    same(grads[n], expected[n], names.split()[n])

# %% tags=["hidden"] task="lstm" check="gradients with a mask" points=2
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
T, B, D, H = (int(n) for n in rng.integers(3, 7, 4))
shapes = (T, B, D), (B, H), (B, H), (D, 4 * H), (H, 4 * H), (4 * H,)
given = [rng.standard_normal(shape) for shape in shapes]
lengths = rng.integers(1, T + 1, B)
lengths[:2] = T, T - 1
mask = np.arange(T)[:, None] < lengths
dout = tuple(rng.standard_normal(shape) for shape in ((T, B, H), (B, H), (B, H)))
expected = functional.lstm.backward(dout, functional.lstm.forward(*given, mask)[1])
_, cache = lstm_forward(*given, mask)
names = "dx dh0 dc0 dWx dWh db"
grads = parts(lstm_backward(dout, cache), names, "lstm_backward")
for mine, theirs, name in zip(grads, expected, names.split()):
    same(mine, theirs, f"{name} with a mask")

# %% tags=["hidden"] task="lstm" check="what lies behind the end of a word" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
T, B, D, H = (int(n) for n in rng.integers(3, 7, 4))
shapes = (T, B, D), (B, H), (B, H), (D, 4 * H), (H, 4 * H), (4 * H,)
x, *given = (rng.standard_normal(shape) for shape in shapes)
lengths = rng.integers(1, T + 1, B)
lengths[:2] = T, T - 2
mask = np.arange(T)[:, None] < lengths
dout = tuple(rng.standard_normal(shape) for shape in ((T, B, H), (B, H), (B, H)))
other = np.where(mask[:, :, None], x, 1e6 * rng.standard_normal(x.shape))
expected, theirs = functional.lstm.forward(x, *given, mask)
gradients = functional.lstm.backward(dout, theirs)
out, cache = lstm_forward(other, *given, mask)
names = "dx dh0 dc0 dWx dWh db"
grads = parts(lstm_backward(dout, cache), names, "lstm_backward")
same(out[0], expected[0], "hs with other letters behind the end")
for mine, right, name in zip(grads, gradients, names.split()):
    same(mine, right, f"{name} with other letters behind the end")

# %% tags=["hidden"] task="lstm" check="parts of dout are None" points=1
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
T, B, D, H = (int(n) for n in rng.integers(2, 7, 4))
shapes = (T, B, D), (B, H), (B, H), (D, 4 * H), (H, 4 * H), (4 * H,)
given = [rng.standard_normal(shape) for shape in shapes]
full = tuple(rng.standard_normal(shape) for shape in ((T, B, H), (B, H), (B, H)))
names = "dx dh0 dc0 dWx dWh db"
for kept in range(3):
    dout = tuple(d if n == kept else None for n, d in enumerate(full))
    expected = functional.lstm.backward(dout, functional.lstm.forward(*given)[1])
    _, cache = lstm_forward(*given)
    grads = parts(lstm_backward(dout, cache), names, "lstm_backward")
    for mine, theirs, name in zip(grads, expected, names.split()):
        same(mine, theirs, f"{name} where {('only dhs', 'only dh_last', 'only dc_last')[kept]} is given")

# %% tags=["hidden"] task="lstm" check="a long word" points=1
# longer than any of the others, and with large gradients
from minis2s import functional
from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
T, B, D, H = 16, 1, 5, 4
shapes = (T, B, D), (B, H), (B, H), (D, 4 * H), (H, 4 * H), (4 * H,)
given = [rng.standard_normal(shape) / 4 for shape in shapes]
dout = tuple(1000 * rng.standard_normal(shape) for shape in ((T, B, H), (B, H), (B, H)))
_, cache = lstm_forward(*given)
names = "dx dh0 dc0 dWx dWh db"
grads = parts(lstm_backward(dout, cache), names, "lstm_backward")
expected = functional.lstm.backward(dout, functional.lstm.forward(*given)[1])
for mine, theirs, name in zip(grads, expected, names.split()):
    same(mine, theirs, f"{name} of a long word")

# %% tags=["hidden"] task="lstm" check="two words in one program" points=1
# as in training: forward, forward, backward, backward, all in one process
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import Wrong, fresh, parts, same, together

rng = fresh()
T, B, D, H = (int(n) for n in rng.integers(2, 7, 4))
shapes = (T, B, D), (B, H), (B, H), (D, 4 * H), (H, 4 * H), (4 * H,)
words = [[rng.standard_normal(shape) for shape in shapes] for _ in range(2)]
dout = tuple(rng.standard_normal(shape) for shape in ((T, B, H), (B, H), (B, H)))
before = [[a.copy() for a in word] for word in words], tuple(d.copy() for d in dout)
forward, backward = together(lstm_forward, lstm_backward)
caches = [forward(*word)[1] for word in words]
for word, kept in zip(words, before[0]):
    for mine, given, name in zip(word, kept, "x h0 c0 Wx Wh b".split()):
        if not np.array_equal(mine, given):
            raise Wrong(f"lstm_forward changes {name}, which it was given, in place")
names = "dx dh0 dc0 dWx dWh db"
for n, call in ((0, "after another word was read"), (1, "of the second word"), (0, "asked for a second time")):
    grads = parts(backward(dout, caches[n]), names, "lstm_backward")
    for mine, given, name in zip(dout, before[1], "dhs dh_last dc_last".split()):
        if not np.array_equal(mine, given):
            raise Wrong(f"lstm_backward changes {name}, which it was given, in place")
    expected = functional.lstm.backward(dout, functional.lstm.forward(*before[0][n])[1])
    for mine, theirs, name in zip(grads, expected, names.split()):
        same(mine, theirs, f"{name} {call}")

# %% [markdown] lang="en" tags=["written"] task="lstm_memory" points=4
# ## 4. In your own words: `lstm_memory` (4 points)
#
# Think of a word of 12 letters whose first letter decides how its last one sounds.
#
# 1. Through which factors does the gradient of c pass on its shortest way from step 12 back to step 1? Compare
#    with a plain recurrent network, $h = \tanh(x W_x + h_{prev} W_h)$. (2 points)
# 2. A new LSTM starts with a bias of 1 in the forget gate. About what share of the gradient is left on this way
#    after 11 steps, with weights near zero? What with a bias of 0? (2 points)
#
# Six sentences are enough.

# %% [markdown] lang="zh" tags=["written"] task="lstm_memory" points=4
# ## 4. 用你自己的话：`lstm_memory`（4 分）
#
# 设想一个 12 个字母的单词，它的第一个字母决定最后一个字母怎么读。
#
# 1. c 的梯度从第 12 步走最短的路回到第 1 步，要经过哪些因子？请与普通的循环网络 $h = \tanh(x W_x + h_{prev} W_h)$ 比较。（2 分）
# 2. 新建的 LSTM 的遗忘门偏置从 1 开始。在权重接近零时，沿这条路走 11 步之后，梯度大约还剩下多少？偏置为 0 时又剩多少？（2 分）
#
# 六句话就够了。

# %% [markdown] lang="en" tags=["model-answer"] task="lstm_memory"
# 1. From c of one step to c of the step before there is one factor, the forget gate: $dc_{prev} = dc \cdot f$. Over
#    11 steps that is the product of 11 forget gates, each between 0 and 1, number by number, and no matrix. In the
#    plain network each step multiplies by $1 - h^2$ and by the matrix $W_h$: the product of eleven of them shrinks or
#    explodes with the size of the matrix, whatever the network has learned to keep. (1 point for the forget gate, 1
#    for the comparison)
# 2. With weights near zero the forget gate is $\sigma(1) = 0.73$; $0.73^{11} = 0.03$, so three per cent are left. With
#    a bias of 0 it is $\sigma(0) = 0.5$, and $0.5^{11} = 0.0005$: sixty times less, too little to learn from. (1 point each)

# %% [markdown] lang="zh" tags=["model-answer"] task="lstm_memory"
# 1. 从一步的 c 到前一步的 c 只有一个因子，就是遗忘门：$dc_{prev} = dc \cdot f$。11 步就是 11 个遗忘门的乘积，逐个数相乘，每个在
#    0 和 1 之间，没有矩阵。普通网络每一步要乘以 $1 - h^2$ 和矩阵 $W_h$：十一个这样的乘积随矩阵的大小而消失或爆炸，与网络学会要记住什么无关。
#    （遗忘门 1 分，比较 1 分）
# 2. 权重接近零时遗忘门为 $\sigma(1) = 0.73$；$0.73^{11} = 0.03$，还剩百分之三。偏置为 0 时 $\sigma(0) = 0.5$，
#    $0.5^{11} = 0.0005$：少了六十倍，少到学不会。（各 1 分）

# %% [markdown] lang="en"
# ## 5. Your LSTM learns to pronounce
#
# A layer of the engine takes any pair of functions as its operation. The next cell puts **your** pair into the
# encoder and the decoder of a small model and trains it on words of the CMU Pronouncing Dictionary, which takes
# about half a minute. Then it reads a few words that it has never seen. Phonemes are written as in that dictionary:
# `K AE T` is *cat*.
#
# A model this small, so briefly trained, is wrong about many words. Look at what it gets right: that can only come
# from gradients that went all the way back through your functions.

# %% [markdown] lang="zh"
# ## 5. 你的 LSTM 学会发音
#
# 引擎里的层可以用任何一对函数作为它的运算。下面的单元把**你的**一对函数放进一个小模型的编码器和解码器，用 CMU 发音词典里的单词训练，
# 大约需要半分钟。然后让它读几个从没见过的单词。音素按那本词典的写法：`K AE T` 就是 *cat*。
#
# 这么小的模型只训练半分钟，很多单词会读错。请看它读对了什么：那只能来自一路穿过你的函数传回去的梯度。

# %% tags=["train"]
import minis2s
from minis2s import LSTM, Op

try:
    task = minis2s.load_task("g2p", size=20_000)
except minis2s.UserError as error:
    print(f"no words to learn from: {error}")
else:
    mine = Op("mine", lstm_forward, lstm_backward)
    config = minis2s.ModelConfig(embed=32, hidden=64, bidirectional=False)
    translator = minis2s.Translator.for_pairs(
        task.train, config, source_tokenizer=task.source_tokenizer, target_tokenizer=task.target_tokenizer
    )
    model, rng = translator.model, np.random.default_rng(0)
    model.encoder.rnn.layers[0] = LSTM(32, 64, rng=rng, op=mine)
    decoder = model.decoder.cells.layers[0]
    model.decoder.cells.layers[0] = LSTM(decoder.Wx.data.shape[0], 64, rng=rng, op=mine)
    examples = minis2s.encode_pairs(task.train, translator.source, translator.target, all_targets=False)
    optimizer = minis2s.Adam(model.parameters(), lr=4e-3)
    losses = []
    for _ in range(3):
        for chosen in minis2s.make_batches(examples, batch_sentences=64, rng=rng):
            model.zero_grad()
            loss, cache = model.loss(minis2s.make_batch(examples, chosen))
            model.backward(1.0, cache)
            minis2s.clip_global_norm(model.parameters(), 5.0)
            optimizer.step()
            losses.append(float(loss))
        print(f"after {len(losses)} steps: loss {np.mean(losses[-50:]):.2f} (at the start {losses[0]:.2f})")
    for pair in task.samples:
        (best,) = translator.translate([pair.source])[0]
        print(f"{pair.source:<15}{best.text}")
