# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: lang,tags,jupyter
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] lang="en"
# # The GRU: is one state with two gates enough?
#
# The LSTM has three gates and two states. The gated recurrent unit (Cho and others 2014) has two gates and
# one state: a quarter fewer weights. It comes in two forms that many programs confuse.
#
# **What does the GRU give up, and does it matter?**
#
# You derive its forward and backward pass in both forms, check them, and then measure: the two forms against
# each other, its memory over 100 steps, and the GRU against the LSTM with equally many weights. You need
# Python, NumPy arrays and the chain rule. About an hour is enough.

# %% [markdown] lang="zh"
# # GRU：一个状态加两个门够用吗？
#
# LSTM 有三个门和两个状态。门控循环单元 GRU（Cho 等 2014）只有两个门和一个状态，权重少四分之一。它有两种形式，
# 许多程序把它们混为一谈。
#
# **GRU 放弃了什么？这要紧吗？**
#
# 你将推导两种形式的前向与反向传播并加以检查，然后测量：两种形式互相比较，它在 100 步上的记忆，以及权重数相等时 GRU 与
# LSTM 的比较。你需要会 Python、NumPy 数组和链式法则。大约需要一小时。

# %% [markdown] lang="en"
# ## 1. The equations
#
# We are at step t. x is the input, $h_{prev}$ the state before the step, h the state after it.
#
# | equation | in words |
# |---|---|
# | $r = \sigma(x W_r + b_r + h_{prev} U_r + b'_r)$ | reset gate: how much of the old may the candidate see? |
# | $u = \sigma(x W_u + b_u + h_{prev} U_u + b'_u)$ | update gate: how much of the old state stays? |
# | $n = \tanh(x W_n + b_n + r \cdot (h_{prev} U_n + b'_n))$ | candidate, reset **after** the product |
# | $n = \tanh(x W_n + b_n + (r \cdot h_{prev}) U_n + b'_n)$ | candidate, reset **before** the product |
# | $h = (1 - u) \cdot n + u \cdot h_{prev}$ | a mixture of the new and the old |
#
# A dot between two arrays of shape (B, H) multiplies number by number. Of the two lines for n a GRU has one.
# The code keeps the three blocks side by side, in the order r, u, n:
#
# | | | | |
# |---|---|---|---|
# | x | (B, D) | Wx | (D, 3H) |
# | h, r, u, n | (B, H) | Wh, the U of the table | (H, 3H) |
# | | | bx and bh, the b and the b' | (3H,) each |
#
# Compare it with the LSTM. The update gate does the work of two gates: what is kept (u) and what is added (1
# - u) always sum to one. There is no output gate: the whole state is shown. And no tanh between memory and
# output.

# %% [markdown] lang="zh"
# ## 1. 公式
#
# 我们处在第 t 步。x 是输入，$h_{prev}$ 是这一步之前的隐状态，h 是之后的隐状态。
#
# | 公式 | 含义 |
# |---|---|
# | $r = \sigma(x W_r + b_r + h_{prev} U_r + b'_r)$ | 重置门：候选值可以看到多少旧状态？ |
# | $u = \sigma(x W_u + b_u + h_{prev} U_u + b'_u)$ | 更新门：旧状态保留多少？ |
# | $n = \tanh(x W_n + b_n + r \cdot (h_{prev} U_n + b'_n))$ | 候选值，乘法**之后**重置 |
# | $n = \tanh(x W_n + b_n + (r \cdot h_{prev}) U_n + b'_n)$ | 候选值，乘法**之前**重置 |
# | $h = (1 - u) \cdot n + u \cdot h_{prev}$ | 新与旧的混合 |
#
# 两个形状为 (B, H) 的数组之间的点表示逐元素相乘。关于 n 的两行，一个 GRU 只用其中一行。代码把三块并排放置，顺序是 r、u、n：
#
# | | | | |
# |---|---|---|---|
# | x | (B, D) | Wx | (D, 3H) |
# | h、r、u、n | (B, H) | Wh，即表中的 U | (H, 3H) |
# | | | bx 和 bh，即 b 和 b' | 各 (3H,) |
#
# 与 LSTM 比较：更新门一个门干两个门的活，保留的份额 u 与加入的份额 1 - u 之和总是一。没有输出门：整个状态都展示出来。
# 记忆与输出之间也没有 tanh。

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np

from minis2s import (
    Adam,
    ModelConfig,
    Translator,
    clip_global_norm,
    encode_pairs,
    functional,
    load_task,
    make_batch,
)
from minis2s.gradcheck import gradcheck
from minis2s.lessons import exercise, what_is_wrong, with_changes


# %%
def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def step_forward(x, h_prev, Wx, Wh, bx, bh, reset_after=True):
    H = h_prev.shape[1]
    zx = x @ Wx + bx  # (B, 3H), what the input says to r, u and n
    Wh_ru, Wh_n, bh_ru, bh_n = Wh[:, : 2 * H], Wh[:, 2 * H :], bh[: 2 * H], bh[2 * H :]
    ru = sigmoid(zx[:, : 2 * H] + h_prev @ Wh_ru + bh_ru)
    r, u = ru[:, :H], ru[:, H:]
    if reset_after:
        zh_n = h_prev @ Wh_n + bh_n
        n = np.tanh(zx[:, 2 * H :] + r * zh_n)
    else:
        zh_n = None
        n = np.tanh(zx[:, 2 * H :] + (r * h_prev) @ Wh_n + bh_n)
    h = (1 - u) * n + u * h_prev
    return h, (x, h_prev, Wx, Wh, r, u, n, zh_n)


rng = np.random.default_rng(0)
B, D, H = 2, 3, 4
x, h_prev = rng.standard_normal((B, D)), rng.standard_normal((B, H))
weights = [rng.standard_normal(shape) for shape in ((D, 3 * H), (H, 3 * H), (3 * H,), (3 * H,))]

gap = 0.0
for reset_after in (True, False):
    h, _ = step_forward(x, h_prev, *weights, reset_after)
    theirs, _ = functional.gru_step.forward(x, h_prev, *weights, None, reset_after)
    gap = max(gap, np.abs(h - theirs).max())
assert h.shape == (B, H) and gap < 1e-14
print(f"evidence: in both forms this step and the engine's differ by {gap:.0e} < 1e-14")

# %% [markdown] lang="en"
# ## 2. Backward, by hand
#
# Read the forward step from below. dh is the gradient of the loss with respect to h.
#
# | forward | backward |
# |---|---|
# | $h = (1 - u) \cdot n + u \cdot h_{prev}$ | $dn = dh \cdot (1 - u)$ |
# | | $du = dh \cdot (h_{prev} - n)$ |
# | | $dh_{prev} = dh \cdot u$ |
# | $n = \tanh(z_n)$ | $dz_n = dn \cdot (1 - n^2)$ |
# | reset after: $z_n = \ldots + r \cdot z'_n$ | $dr = dz_n \cdot z'_n$ and $dz'_n = dz_n \cdot r$ |
# | with $z'_n = h_{prev} U_n + b'_n$ | $dh_{prev} \mathrel{+}= dz'_n U_n^T$ |
# | | $dU_n = h_{prev}^T dz'_n$ |
# | reset before: $z_n = \ldots + (r \cdot h_{prev}) U_n$ | $d(rh) = dz_n U_n^T$ |
# | | $dr = d(rh) \cdot h_{prev}$ and $dh_{prev} \mathrel{+}= d(rh) \cdot r$ |
# | | $dU_n = (r \cdot h_{prev})^T dz_n$ |
# | $r, u = \sigma(z_r), \sigma(z_u)$ | $dz_r = dr \cdot r (1 - r)$ and $dz_u = du \cdot u (1 - u)$ |
# | $z_r = \ldots + h_{prev} U_r$ | $dh_{prev} \mathrel{+}= dz_r U_r^T$ |
# | $z_u = \ldots + h_{prev} U_u$ | $dh_{prev} \mathrel{+}= dz_u U_u^T$ |
#
# Count the ways from $h_{prev}$ to h: straight through u, through n, through the reset gate, and through the
# update gate. So $dh_{prev}$ is a sum of four parts. A forgotten part is the most frequent mistake here.

# %% [markdown] lang="zh"
# ## 2. 手工推导反向传播
#
# 从下往上读前向的一步。dh 是损失对 h 的梯度。
#
# | 前向 | 反向 |
# |---|---|
# | $h = (1 - u) \cdot n + u \cdot h_{prev}$ | $dn = dh \cdot (1 - u)$ |
# | | $du = dh \cdot (h_{prev} - n)$ |
# | | $dh_{prev} = dh \cdot u$ |
# | $n = \tanh(z_n)$ | $dz_n = dn \cdot (1 - n^2)$ |
# | 之后重置：$z_n = \ldots + r \cdot z'_n$ | $dr = dz_n \cdot z'_n$，$dz'_n = dz_n \cdot r$ |
# | 其中 $z'_n = h_{prev} U_n + b'_n$ | $dh_{prev} \mathrel{+}= dz'_n U_n^T$ |
# | | $dU_n = h_{prev}^T dz'_n$ |
# | 之前重置：$z_n = \ldots + (r \cdot h_{prev}) U_n$ | $d(rh) = dz_n U_n^T$ |
# | | $dr = d(rh) \cdot h_{prev}$，$dh_{prev} \mathrel{+}= d(rh) \cdot r$ |
# | | $dU_n = (r \cdot h_{prev})^T dz_n$ |
# | $r, u = \sigma(z_r), \sigma(z_u)$ | $dz_r = dr \cdot r (1 - r)$，$dz_u = du \cdot u (1 - u)$ |
# | $z_r = \ldots + h_{prev} U_r$ | $dh_{prev} \mathrel{+}= dz_r U_r^T$ |
# | $z_u = \ldots + h_{prev} U_u$ | $dh_{prev} \mathrel{+}= dz_u U_u^T$ |
#
# 数一数从 $h_{prev}$ 到 h 有几条路：直接经过 u，经过 n，经过重置门，经过更新门。所以 $dh_{prev}$ 是四部分之和。
# 漏掉其中一部分，是这里最常见的错误。


# %%
def step_backward(dh, cache):
    x, h_prev, Wx, Wh, r, u, n, zh_n = cache
    H = h_prev.shape[1]
    Wh_ru, Wh_n = Wh[:, : 2 * H], Wh[:, 2 * H :]
    # h = (1 - u) * n + u * h_prev
    dn = dh * (1 - u)
    du = dh * (h_prev - n)
    dh_prev = dh * u
    dz_n = dn * (1 - n**2)
    if zh_n is not None:
        # n = tanh(zx_n + r * zh_n), with zh_n = h_prev Wh_n + bh_n
        dr = dz_n * zh_n
        dzh_n = dz_n * r
        dh_prev = dh_prev + dzh_n @ Wh_n.T
        dWh_n = h_prev.T @ dzh_n
    else:
        # n = tanh(zx_n + (r * h_prev) Wh_n + bh_n)
        drh = dz_n @ Wh_n.T
        dr = drh * h_prev
        dzh_n = dz_n
        dh_prev = dh_prev + drh * r
        dWh_n = (r * h_prev).T @ dz_n
    # r, u = sigmoid(zx_ru + h_prev Wh_ru + bh_ru)
    dz_r = dr * r * (1 - r)
    dz_u = du * u * (1 - u)
    dz_ru = np.concatenate([dz_r, dz_u], axis=1)
    dh_prev = dh_prev + dz_ru @ Wh_ru.T
    dWh = np.concatenate([h_prev.T @ dz_ru, dWh_n], axis=1)
    dbh = np.concatenate([dz_ru, dzh_n], axis=1).sum(axis=0)
    # zx = x Wx + bx
    dzx = np.concatenate([dz_ru, dz_n], axis=1)
    dx = dzx @ Wx.T
    dWx = x.T @ dzx
    dbx = dzx.sum(axis=0)
    return dx, dh_prev, dWx, dWh, dbx, dbh


# %% [markdown] lang="en"
# First our own check of one step, in both forms: move each entry of each input a little, and see how much the
# loss changes. The loss is the sum of all entries of h, each times a random number R.

# %% [markdown] lang="zh"
# 先用我们自己的检查看一步，两种形式都看：把每个输入的每个元素移动一点点，看损失变化多少。损失是 h 的所有元素乘以随机数 R
# 之后的和。


# %%
def numeric_gradient(f, x, h=1e-5):
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[index] = h
        gradient[index] = (f(x + step) - f(x - step)) / (2 * h)
    return gradient


inputs = [x, h_prev, *weights]
R = rng.standard_normal((B, H))
worst = 0.0
for reset_after in (True, False):
    _, cache = step_forward(*inputs, reset_after)
    for k, mine in enumerate(step_backward(R, cache)):

        def loss(value, k=k, reset_after=reset_after):
            return (R * step_forward(*inputs[:k], value, *inputs[k + 1 :], reset_after)[0]).sum()

        measured = numeric_gradient(loss, inputs[k])
        worst = max(worst, np.abs(mine - measured).max() / np.abs(measured).max())

assert worst < 1e-8
print(f"evidence: six gradients, two forms: the largest relative error is {worst:.0e} < 1e-8")

# %% [markdown] lang="en"
# ## 3. Through time
#
# The loop is that of every recurrent network. Forward hands h from step to step and keeps the caches.
# Backward runs from the last step to the first: to the gradient that comes from the step after it, each step
# adds that of its own output. The weights were used at every step, so their gradients are sums. At a padded
# step h is handed on, and so is its gradient.

# %% [markdown] lang="zh"
# ## 3. 沿时间展开
#
# 循环与所有循环网络一样。前向把 h 一步步传下去并保留缓存。反向从最后一步走到第一步：每一步在后一步传来的梯度上，
# 加上自己输出的梯度。权重每一步都用到，所以它们的梯度是各步之和。在填充的步上 h 原样传下去，它的梯度也一样。


# %%
def gru_forward(x, h0, Wx, Wh, bx, bh, mask=None, reset_after=True):
    T, B, _ = x.shape
    if mask is None:
        mask = np.ones((T, B), dtype=bool)
    h, hs, caches = h0, [], []
    for t in range(T):
        real = mask[t][:, None]
        h_new, cache = step_forward(x[t], h, Wx, Wh, bx, bh, reset_after)
        h = np.where(real, h_new, h)
        hs.append(h)
        caches.append((real, cache))
    return (np.stack(hs), h), caches


def gru_backward(dout, caches):
    dhs, dh = dout  # of all outputs, of the last state; None stands for zero
    dh = 0 * caches[0][1][1] if dh is None else dh
    dxs, dweights = [], [0, 0, 0, 0]
    for t in reversed(range(len(caches))):
        real, cache = caches[t]
        if dhs is not None:
            dh = dh + dhs[t]
        dx, dh_prev, *more = step_backward(np.where(real, dh, 0), cache)
        dh = np.where(real, dh_prev, dh)
        dxs.append(dx)
        dweights = [total + d for total, d in zip(dweights, more, strict=True)]
    return np.stack(dxs[::-1]), dh, *dweights


# %%
report = gradcheck((gru_forward, gru_backward), kind="gru")
print(report)

# %%
worst = max(block.error for block in report.blocks)
assert report.ok and worst < 1e-12
print(f"evidence: report.ok, and the largest relative error {worst:.0e} < 1e-12")

# %% [markdown] lang="en"
# Now the other form. The checker was told "gru", whose stated form is reset-after. The gradients are right,
# and a note says that the *forward* pass is another one: a gradient check cannot know which form was wanted.

# %% [markdown] lang="zh"
# 现在看另一种形式。我们告诉检查器的类别是 "gru"，它约定的形式是之后重置。梯度是对的，同时有一条提示说**前向**是另一种：
# 梯度检查无法知道你想要的是哪种形式。


# %%
def before_forward(x, h0, Wx, Wh, bx, bh, mask=None):
    return gru_forward(x, h0, Wx, Wh, bx, bh, mask, reset_after=False)


report = gradcheck((before_forward, gru_backward), kind="gru")
worst = max(block.error for block in report.blocks)
(note,) = report.findings
assert report.ok and worst < 1e-12 and "before" in note.says
print(f"evidence: {report.summary()}; largest relative error {worst:.0e} < 1e-12")
print(f"evidence: the note: {note.says}")

# %% [markdown] lang="en"
# ## 4. The code of the engine
#
# The step of the engine is the one that you have just written:

# %% [markdown] lang="zh"
# ## 4. 引擎里的代码
#
# 引擎里的一步就是你刚写的那一步：

# %% tags=["engine-source"]
print(inspect.getsource(functional.gru_step.backward))

# %%
T = 6
xs, h0 = rng.standard_normal((T, B, D)), rng.standard_normal((B, H))
mask = np.ones((T, B), dtype=bool)
mask[4:, 1] = False
gap = 0.0
for reset_after in (True, False):
    (hs, _), mine = gru_forward(xs, h0, *weights, mask, reset_after)
    (hs_engine, _), theirs = functional.gru.forward(xs, h0, *weights, mask, reset_after)
    dout = (rng.standard_normal(hs.shape), rng.standard_normal(h0.shape))
    pairs = zip(gru_backward(dout, mine), functional.gru.backward(dout, theirs), strict=True)
    gap = max(gap, np.abs(hs - hs_engine).max(), *(np.abs(a - b).max() for a, b in pairs))
assert gap < 1e-12
print(f"evidence: outputs and all gradients over {T} steps differ by {gap:.0e} < 1e-12 from the engine's")

# %% [markdown] lang="en"
# ## 5. Two forms
#
# Both came from the same authors: reset-after stood in the first version of the paper, reset-before in the
# last. PyTorch has reset-after, as has cuDNN, NVIDIA's library. Keras has an option for it. What is the
# difference?
#
# * **Speed.** With reset-after one product $h_{prev} W_h$ with all 3H columns serves all gates. Reset-before
#   has to know r before it can make the product for n: two products in each step, the second waiting for the
#   first.
# * **What r can do.** Reset-before chooses which *old* numbers the candidate may see, before they are mixed.
#   Reset-after scales each *mixture*.
# * **The bias.** With reset-after $b'_n$ is scaled by r, so it is a weight of its own. With reset-before only
#   the sum $b_n + b'_n$ matters.
#
# Where r is 1 the two are equal. Anywhere else, weights that were trained in one form are wrong in the other,
# and nothing complains. We measure all of it.

# %% [markdown] lang="zh"
# ## 5. 两种形式
#
# 两者出自同一批作者：论文第一版是之后重置，最后一版是之前重置。PyTorch 和 cuDNN（NVIDIA 的库）用之后重置，Keras 有一个选项。区别在哪里？
#
# * **速度。** 之后重置时，一次乘法 $h_{prev} W_h$（全部 3H 列）供所有门使用。之前重置必须先知道 r 才能做 n 的乘法：
#   每步两次乘法，第二次要等第一次。
# * **r 能做什么。** 之前重置是在混合之前，选择候选值可以看到哪些**旧的**数；之后重置是缩放每个**混合结果**。
# * **偏置。** 之后重置时 $b'_n$ 被 r 缩放，所以它是一个独立的权重。之前重置时只有和 $b_n + b'_n$ 起作用。
#
# 在 r 为 1 的地方两者相等。在别的地方，用一种形式训练出的权重放到另一种形式里就是错的，而且没有任何报错。我们逐一测量。


# %%
def outputs(weights, reset_after):
    return functional.gru.forward(xs, h0, *weights, None, reset_after)[0][0]


Wx, Wh, bx, bh = weights
open_r = bx.copy()
open_r[:H] += 60  # sigmoid(60) is 1 in float64: the reset gate stands open
when_open = np.abs(outputs((Wx, Wh, open_r, bh), True) - outputs((Wx, Wh, open_r, bh), False)).max()
when_not = np.abs(outputs(weights, True) - outputs(weights, False)).max()

shift = np.zeros(3 * H)
shift[2 * H :] = 0.7  # move 0.7 from bh_n to bx_n
moved = {
    form: np.abs(outputs((Wx, Wh, bx + shift, bh - shift), form) - outputs(weights, form)).max()
    for form in (True, False)
}
assert when_open < 1e-12 and when_not > 0.1
assert moved[False] < 1e-12 and moved[True] > 0.1
print(f"evidence: with r = 1 the two forms differ by {when_open:.0e} < 1e-12, else by {when_not:.2f} > 0.1")
print(f"evidence: bias moved from bh_n to bx_n: reset-before changes by {moved[False]:.0e} < 1e-12,")
print(f"          reset-after by {moved[True]:.2f} > 0.1")

# %% [markdown] lang="en"
# ## 6. A hundred steps back
#
# The first of the four parts of $dh_{prev}$ is $dh \cdot u$. There is no weight matrix in it and no
# derivative of a tanh. Where u is near 1 the gradient goes through a step almost unchanged. This is what
# makes a gated network remember.
#
# We send a random gradient into the last of 100 steps and look at its length on the way back, for three
# biases of the update gate, and for a plain RNN with a well-chosen (orthogonal) matrix.

# %% [markdown] lang="zh"
# ## 6. 往回一百步
#
# $dh_{prev}$ 四部分中的第一部分是 $dh \cdot u$。里面没有权重矩阵，也没有 tanh 的导数。在 u 接近 1 的地方，
# 梯度几乎原样通过一步。门控网络正是靠它来记忆的。
#
# 我们把一个随机梯度送进 100 步中的最后一步，看它往回走时的长度：更新门取三种偏置，再加一个矩阵选得很好（正交）的普通 RNN。

# %%
T, B, D, H = 100, 4, 8, 32
xs, h0 = rng.standard_normal((T, B, D)), np.zeros((B, H))
orthogonal = [np.linalg.qr(rng.standard_normal((H, H)))[0] for _ in range(3)]
Wx, Wh = rng.standard_normal((D, 3 * H)) / D**0.5, np.concatenate(orthogonal, axis=1)
start = rng.standard_normal((B, H))


def lengths_of_gru(update_bias):
    """The length of the gradient of the state, from the last step back to the first, as a share."""
    bx = np.zeros(3 * H)
    bx[H : 2 * H] = update_bias
    _, caches = gru_forward(xs, h0, Wx, Wh, bx, np.zeros(3 * H))
    dh, lengths = start, []
    for _, cache in reversed(caches):
        lengths.append(np.linalg.norm(dh))
        dh = step_backward(dh, cache)[1]
    return np.array(lengths) / lengths[0]


def lengths_of_rnn():
    h, states = h0, []
    for t in range(T):
        h = np.tanh(xs[t] @ Wx[:, :H] + h @ Wh[:, :H])
        states.append(h)
    dh, lengths = start, []
    for h in reversed(states):
        lengths.append(np.linalg.norm(dh))
        dh = (dh * (1 - h**2)) @ Wh[:, :H].T
    return np.array(lengths) / lengths[0]


curves = {f"GRU, bias of u {bias}": lengths_of_gru(bias) for bias in (0, 2, 5)} | {"RNN": lengths_of_rnn()}
figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
for (name, lengths), style in zip(curves.items(), ("-", "--", "-.", ":"), strict=True):
    axes.semilogy(lengths, style, label=name)
axes.set_xlabel("steps back")
axes.set_ylabel("length of the gradient")
axes.legend(frameon=False)

last = {name: lengths[-1] for name, lengths in curves.items()}
assert last["GRU, bias of u 5"] > 0.1
assert last["RNN"] < 1e-6 and last["GRU, bias of u 0"] < 1e-3
print("evidence: left after 99 steps: " + ", ".join(f"{name} {value:.0e}" for name, value in last.items()))

# %% [markdown] lang="en"
# The larger the bias of the update gate, the longer the gradient lives, while that of the plain RNN is gone
# after a few dozen steps.

# %% [markdown] lang="zh"
# 更新门的偏置越大，梯度存活得越久，而普通 RNN 的梯度在几十步之后就消失了。

# %% [markdown] lang="en"
# ## 7. What the GRU cannot do: count without end
#
# Since $h = (1 - u) \cdot n + u \cdot h_{prev}$ is a weighted mean, and n lies between -1 and 1, the state
# can never leave this interval once it is in it. The cell state of an LSTM can: with f = 1 and i = 1 it adds
# g at every step. So an LSTM can count in one number, up to 100 and more, and a GRU has to press all counts
# between -1 and 1 (Weiss, Goldberg and Yahav 2018). We set the weights by hand and feed ones.

# %% [markdown] lang="zh"
# ## 7. GRU 做不到的事：无止境地计数
#
# 因为 $h = (1 - u) \cdot n + u \cdot h_{prev}$ 是加权平均，而 n 在 -1 与 1 之间，状态一旦进入这个区间就再也出不去。
# LSTM 的细胞状态却可以：当 f = 1、i = 1 时，它每一步加上 g。所以 LSTM 能用一个数计数，数到 100 甚至更多；GRU 则必须把
# 所有的计数挤在 -1 与 1 之间（Weiss、Goldberg 和 Yahav 2018）。我们手工设定权重，输入全是一。

# %%
ones, zero = np.ones((100, 1, 1)), np.zeros((1, 1))
open_gates = np.array([30.0, 30.0, 30.0, 30.0])  # i, f, o, g: all one
_, lstm_cache = functional.lstm.forward(ones, zero, zero, np.zeros((1, 4)), np.zeros((1, 4)), open_gates)
counted = lstm_cache.cs[1:, 0, 0]

largest = 0.0
for _ in range(200):  # two hundred GRUs with large random weights
    wild = [5 * rng.standard_normal(shape) for shape in ((1, 3), (1, 3), (3,), (3,))]
    (hs, _), _ = functional.gru.forward(ones, zero, *wild)
    largest = max(largest, np.abs(hs).max())

assert np.abs(counted - np.arange(1, 101)).max() < 1e-5
assert largest < 1 + 1e-12
print(f"evidence: the cell state of the LSTM counts 1, 2, 3, ... {counted[-1]:.3f}")
print(f"evidence: the largest |h| of 200 GRUs is {largest:.6f}, not above 1")

# %% [markdown] lang="en"
# ## 8. LSTM against GRU, with equally many weights
#
# A layer has $4H(D + H + 1)$ weights as an LSTM and $3H(D + H + 2)$ as a GRU (with two biases). Comparing
# them at the same H would favour the LSTM. So the GRU gets a larger H, until the whole models are equal.
#
# Two tasks, both without attention, so that everything has to go through one state: write a word of random
# letters backwards (up to four), and add two small numbers. Three runs each, with different first weights and
# another order of the data. Without several runs one cannot tell a better cell from a lucky one.

# %% [markdown] lang="zh"
# ## 8. 权重数相等时的 LSTM 与 GRU
#
# 一层 LSTM 有 $4H(D + H + 1)$ 个权重，一层 GRU（两个偏置）有 $3H(D + H + 2)$ 个。在相同的 H 下比较会偏向 LSTM，
# 所以 GRU 用更大的 H，直到整个模型的权重数相等。
#
# 两个任务都不用注意力，一切都必须通过一个状态：把一个由随机字母组成的词（最多四个字母）倒着写，以及把两个小的数相加。各跑三次，
# 初始权重和数据顺序都不同。只跑一次，就分不清是单元更好还是运气更好。

# %%
SIZES = {"lstm": 48, "gru": 56}
STEPS = 160
data = {}
for name, longest in (("reverse", 4), ("addition", 5)):
    task = load_task(name, size=16000)
    data[name] = [[p for p in pairs if len(p.source) <= longest] for pairs in (task.train, task.dev)]


def train(name, cell, seed):
    """Train a small model; returns its number of weights, the loss of each step, and that of new data."""
    pairs, held_out = data[name]
    config = ModelConfig(cell=cell, bidirectional=False, embed=24, hidden=SIZES[cell], attention="none")
    translator = Translator.for_pairs(pairs, config, seed=seed)
    model = translator.model
    examples, others = (
        encode_pairs(some, translator.source, translator.target, all_targets=False)
        for some in (pairs, held_out[:300])
    )
    optimizer = Adam(model.parameters(), lr=1e-2)
    draw = np.random.default_rng(seed)
    losses = []
    for step in range(STEPS):
        optimizer.lr = 1e-2 * (1 - step / STEPS)  # down to zero in a straight line
        batch = make_batch(examples, draw.integers(len(examples), size=32))
        model.zero_grad()
        loss, cache = model.loss(batch)
        model.backward(1.0, cache)
        clip_global_norm(model.parameters(), 5.0)
        optimizer.step()
        losses.append(float(loss))
    final, _ = model.loss(make_batch(others))
    size = sum(weight.data.size for weight in model.parameters().values())
    return size, losses, float(final)


runs = {(name, cell, seed): train(name, cell, seed) for name in data for cell in SIZES for seed in range(3)}

# %%
figure, panels = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for axes, name in zip(panels, data, strict=True):
    for cell, style in (("lstm", "-"), ("gru", "--")):
        for seed in range(3):
            means = np.reshape(runs[name, cell, seed][1], (-1, 10)).mean(axis=1)
            color = "C0" if cell == "lstm" else "C1"
            axes.plot(np.arange(5, STEPS, 10), means, style, color=color, label=cell if seed == 0 else None)
    axes.set_title(name)
    axes.set_xlabel("step")
panels[0].set_ylabel("training loss (nats per token)")
panels[0].legend(frameon=False)

for name in data:
    finals = {cell: [runs[name, cell, seed][2] for seed in range(3)] for cell in SIZES}
    sizes = {cell: runs[name, cell, 0][0] for cell in SIZES}
    assert abs(sizes["gru"] / sizes["lstm"] - 1) < 0.02
    ratio = np.mean(finals["gru"]) / np.mean(finals["lstm"])
    assert 1.02 < ratio < 2 if name == "reverse" else 0.5 < ratio < 1.02
    for cell in SIZES:
        print(
            f"{name}, {cell}, {sizes[cell]:,} weights: loss of new data", *(f"{x:.3f}" for x in finals[cell])
        )
    print(
        f"evidence: {name}: sizes equal up to 2 %, the mean loss of the GRU is {ratio:.2f} times that of "
        f"the LSTM ({'above 1.02' if name == 'reverse' else 'below 1.02'})"
    )

# %% [markdown] lang="en"
# On the left the LSTM falls faster, on the right the GRU is level with it or a little ahead.

# %% [markdown] lang="zh"
# 左边 LSTM 下降得更快，右边 GRU 与它持平或略微领先。

# %% [markdown] lang="en"
# So neither of them is simply better, and the distance between runs of one cell is a good part of the
# distance between the cells. This is also what the large comparisons found (Jozefowicz and others 2015; Greff
# and others 2017). Two habits follow: compare at equal numbers of weights, and never with one run.

# %% [markdown] lang="zh"
# 所以没有哪一个绝对更好，而且同一种单元各次运行之间的差距，已经占了两种单元之间差距的相当一部分。大规模的比较也得出同样的结论
# （Jozefowicz 等 2015；Greff 等 2017）。由此有两个习惯：在权重数相等时比较；绝不只跑一次就下结论。

# %% [markdown] lang="en"
# ## 9. Exercises
#
# The checking cells stay red until the exercise is solved. Hints are folded.

# %% [markdown] lang="zh"
# ## 9. 练习
#
# 检查单元在练习解出之前一直是红色的。提示是折叠的。


# %% [markdown] lang="en"
# ### Exercise 1: weights from another book
#
# Chung and others (2014) write $h = u \cdot n + (1 - u) \cdot h_{prev}$: their u is our 1 - u. Somebody gives
# you weights that were trained with their equation. Write `converted`, which turns them into weights for
# *our* GRU, so that all outputs are the same. The weights that you are given must not be changed.
#
# <details><summary><b>Hint</b></summary>
#
# $1 - \sigma(z) = \sigma(-z)$. Which columns make the z of u? All four arrays have a part in it.
#
# </details>

# %% [markdown] lang="zh"
# ### 练习 1：来自另一本书的权重
#
# Chung 等（2014）写的是 $h = u \cdot n + (1 - u) \cdot h_{prev}$：他们的 u 就是我们的 1 - u。有人给了你用他们的公式训练出的权重。
# 写出 `converted`，把它们变成**我们的** GRU 的权重，使所有输出都相同。给你的权重不得被改动。
#
# <details><summary><b>提示</b></summary>
#
# $1 - \sigma(z) = \sigma(-z)$。u 的 z 由哪些列算出？四个数组都有份。
#
# </details>


# %%
def converted(Wx, Wh, bx, bh):
    raise NotImplementedError("fill in converted")


# %%
def their_step(x, h_prev, Wx, Wh, bx, bh):
    _, (*_, r, u, n, zh_n) = step_forward(x, h_prev, Wx, Wh, bx, bh)
    return u * n + (1 - u) * h_prev


# %% tags=["raises-exception"]
with exercise("Exercise 1, weights from another book"):
    before = [weight.copy() for weight in weights]
    ours, _ = step_forward(x, h_prev, *converted(*weights))
    assert all(map(np.array_equal, weights, before)), "the given weights were changed: run all cells again"
    assert np.allclose(ours, their_step(x, h_prev, *weights), rtol=0, atol=1e-12), "the outputs differ"

# %% [markdown] lang="en"
# ### Exercise 2: find the bug
#
# The next cell is folded, please leave it so. It changes one line of `step_backward` and prints the verdict
# on each gradient for reset-after, and then for reset-before, where all are right. Write your guess as
# `{"old line": "new line"}`.
#
# <details><summary><b>Hint</b></summary>
#
# Which line makes the only wrong gradient? Which of its ingredients is the same array as another one in one
# form, and a different array in the other?
#
# </details>

# %% [markdown] lang="zh"
# ### 练习 2：找出错误
#
# 下一个单元是折叠的，请不要展开。它改动了 `step_backward` 的一行，先打印之后重置时每个梯度的结论，再打印之前重置时的结论，
# 后者全部正确。把你的猜测写成 `{"old line": "new line"}`。
#
# <details><summary><b>提示</b></summary>
#
# 唯一错误的那个梯度由哪一行算出？它的成分里，哪一个在一种形式下与另一个数组相同，在另一种形式下却不同？
#
# </details>

# %%
def broken(changes):
    """The backward pass with some lines replaced: changes is {old: new}."""
    return with_changes(changes, step_backward, gru_backward)[1]


# %% jupyter={"source_hidden": true} tags=["hide-input"]
hidden = broken({"[dz_ru, dzh_n]": "[dz_ru, dz_n]"})
for pair in ((gru_forward, hidden), (before_forward, hidden)):
    print({block.name: block.verdict for block in gradcheck(pair, kind="gru", hint=1).blocks})

# %%
my_guess = {"old line": "new line"}

# %% tags=["raises-exception"]
with exercise("Exercise 2, find the bug"):
    assert my_guess != {"old line": "new line"}, "write your guess into my_guess"
    some = np.random.default_rng(5)
    shapes = (4, 3, 2), (3, 5), (2, 15), (5, 15), (15,), (15,)  # x, h0, Wx, Wh, bx, bh
    (hs, _), caches = gru_forward(*(some.standard_normal(shape) for shape in shapes))
    dout = (some.standard_normal(hs.shape), None)
    pairs = zip(broken(my_guess)(dout, caches), hidden(dout, caches), strict=True)
    for name, (yours, theirs) in zip(("dx", "dh0", "dWx", "dWh", "dbx", "dbh"), pairs, strict=True):
        assert np.allclose(yours, theirs, rtol=1e-10, atol=1e-12), f"your change gives another {name}"

# %% [markdown] lang="en"
# ### Exercise 3: one gate
#
# The minimal gated unit (Zhou and others 2016) has a single gate, which does the work of both:
#
# $$f = \sigma(x W_f + h_{prev} U_f + b_f) \qquad n = \tanh(x W_n + (f \cdot h_{prev}) U_n + b_n)$$
#
# $$h = (1 - f) \cdot h_{prev} + f \cdot n$$
#
# Write its step, forward and backward. W (D, 2H), U (H, 2H) and b (2H,) hold the block of f, then that of n.
# Forward returns h and a cache, backward returns dx, dh_prev, dW, dU, db.
#
# <details><summary><b>Hint</b></summary>
#
# Start from `step_backward` with reset before. f now gets its gradient from two lines: from the mixture and
# from the candidate. $h_{prev}$ gets three parts.
#
# </details>

# %% [markdown] lang="zh"
# ### 练习 3：只有一个门
#
# 最小门控单元（Zhou 等 2016）只有一个门，一个门干两个门的活：
#
# $$f = \sigma(x W_f + h_{prev} U_f + b_f) \qquad n = \tanh(x W_n + (f \cdot h_{prev}) U_n + b_n)$$
#
# $$h = (1 - f) \cdot h_{prev} + f \cdot n$$
#
# 写出它的一步，前向与反向。W (D, 2H)、U (H, 2H)、b (2H,) 里先放 f 的块，再放 n 的块。前向返回 h 和缓存，
# 反向返回 dx、dh_prev、dW、dU、db。
#
# <details><summary><b>提示</b></summary>
#
# 从之前重置的 `step_backward` 出发。现在 f 的梯度来自两行：混合那一行和候选值那一行。$h_{prev}$ 得到三部分。
#
# </details>


# %%
def mgu_forward(x, h_prev, W, U, b):
    raise NotImplementedError("fill in mgu_forward")


def mgu_backward(dh, cache):
    raise NotImplementedError("fill in mgu_backward")


# %% tags=["raises-exception"]
with exercise("Exercise 3, one gate"):
    some = np.random.default_rng(6)
    given = [some.standard_normal(shape) for shape in ((3, 2), (3, 4), (2, 8), (4, 8), (8,))]
    x_, h_, W_, U_, b_ = given
    f_ = sigmoid(x_ @ W_[:, :4] + h_ @ U_[:, :4] + b_[:4])
    n_ = np.tanh(x_ @ W_[:, 4:] + (f_ * h_) @ U_[:, 4:] + b_[4:])
    assert np.allclose(mgu_forward(*given)[0], (1 - f_) * h_ + f_ * n_), "forward differs from the equations"
    report = gradcheck((mgu_forward, mgu_backward), *given)
    assert report.ok, what_is_wrong(report)

# %% [markdown] lang="en"
# ## 10. What to read next
#
# * K. Cho and others, "Learning phrase representations using RNN encoder-decoder for statistical machine
#   translation", EMNLP 2014: the GRU. Read versions 1 and 3 on arXiv (1406.1078) for the two forms.
# * J. Chung, C. Gulcehre, K. Cho and Y. Bengio, "Empirical evaluation of gated recurrent neural networks on
#   sequence modeling", 2014: the first comparison with the LSTM.
# * R. Jozefowicz, W. Zaremba and I. Sutskever, "An empirical exploration of recurrent network architectures",
#   ICML 2015: ten thousand cells compared, and the forget bias of one.
# * K. Greff and others, "LSTM: a search space odyssey", IEEE Transactions on Neural Networks and Learning
#   Systems 28, 2017: which part of the LSTM matters.
# * G. Weiss, Y. Goldberg and E. Yahav, "On the practical computational power of finite precision RNNs for
#   language recognition", ACL 2018: who can count.
# * G.-B. Zhou and others, "Minimal gated unit for recurrent neural networks", International Journal of
#   Automation and Computing 13, 2016: exercise 3.
#
# And the code: `minis2s/functional/gru.py` has the step and the whole sequence in both forms,
# `minis2s/nn/recurrent.py` the layer.

# %% [markdown] lang="zh"
# ## 10. 接下来读什么
#
# * K. Cho and others, "Learning phrase representations using RNN encoder-decoder for statistical machine
#   translation", EMNLP 2014：GRU 的出处。两种形式见 arXiv（1406.1078）上的第 1 版和第 3 版。
# * J. Chung, C. Gulcehre, K. Cho and Y. Bengio, "Empirical evaluation of gated recurrent neural networks on
#   sequence modeling", 2014：与 LSTM 的第一次比较。
# * R. Jozefowicz, W. Zaremba and I. Sutskever, "An empirical exploration of recurrent network architectures",
#   ICML 2015：比较了一万种单元，并讨论了取一的遗忘门偏置。
# * K. Greff and others, "LSTM: a search space odyssey", IEEE Transactions on Neural Networks and Learning
#   Systems 28, 2017：LSTM 的哪一部分最要紧。
# * G. Weiss, Y. Goldberg and E. Yahav, "On the practical computational power of finite precision RNNs for
#   language recognition", ACL 2018：谁会计数。
# * G.-B. Zhou and others, "Minimal gated unit for recurrent neural networks", International Journal of
#   Automation and Computing 13, 2016：练习 3。
#
# 还有代码：`minis2s/functional/gru.py` 是两种形式的单步和整个序列，`minis2s/nn/recurrent.py` 是层。
