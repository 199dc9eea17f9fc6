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
# # A gradient checker on ten broken LSTMs
#
# You have written the backward pass of an LSTM by hand. It is about 40 lines of derivatives.
# It runs. All shapes fit. The loss goes down.
#
# **How do you know that the 40 lines are right?**
#
# This lesson gives an answer. You measure the derivative from the forward pass alone, and compare. Then you
# look at ten backward passes with one mistake each. You guess the mistake before you read what it was.
#
# You need Python, NumPy arrays and the chain rule. About an hour is enough.

# %% [markdown] lang="zh"
# # 用十个写错的 LSTM 认识梯度检查
#
# 你亲手写出了 LSTM 的反向传播，大约 40 行导数。
# 它能运行，形状都对得上，损失也在下降。
#
# **可是，怎么知道这 40 行是对的？**
#
# 这一课给出一种回答：只用前向计算就把导数量出来，再拿来比较。
# 然后我们看十个反向传播，每个恰好错一处。请先猜错在哪里，再看答案。
#
# 你需要会 Python、NumPy 数组和链式法则。大约一小时就够。

# %% [markdown] lang="en"
# ## 1. A derivative, measured
#
# The derivative says how much a function changes when its input changes a little. So change the input a
# little, and look:
#
# $$f'(x) \approx \frac{f(x + h) - f(x - h)}{2h}$$
#
# This is the *central difference*. For an array, do it entry by entry. The loss is one number, so its
# gradient has **the same shape as x**: one slope for each entry.

# %% [markdown] lang="zh"
# ## 1. 把导数量出来
#
# 导数说的是：输入变一点点，函数跟着变多少。那就真的让输入变一点点，看看结果：
#
# $$f'(x) \approx \frac{f(x + h) - f(x - h)}{2h}$$
#
# 这叫*中心差分*。如果输入是数组，就逐个元素地做。损失是一个数，所以它的梯度**与 x 形状相同**：
# 每个元素对应一个斜率。

# %%
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

from minis2s import LSTM, Adam, ModelConfig, Op, Translator, encode_pairs, functional, load_task, make_batch
from minis2s.gradcheck import assert_gradients, gradcheck
from minis2s.gradcheck.properties import properties
from minis2s.lessons import exercise, what_is_wrong, with_changes


# %%
def numeric_gradient(f, x, h=1e-5):
    gradient = np.zeros_like(x)  # the same shape as x
    for index in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[index] = h  # move this one entry, and no other
        gradient[index] = (f(x + step) - f(x - step)) / (2 * h)
    return gradient


# %% [markdown] lang="en"
# Try it on a function whose derivative you know. Here x and R have shape (3, 4), and f(x) is one number:
#
# $$f(x) = \sum_{jk} R_{jk} \tanh(x_{jk})$$
#
# $$\frac{\partial f}{\partial x_{jk}} = R_{jk} (1 - \tanh^2(x_{jk}))$$
#
# R is random. In this lesson it will come back as the *upstream gradient*: what the rest of a network would
# send back to us.

# %% [markdown] lang="zh"
# 先用一个导数已知的函数试试。这里 x 和 R 的形状是 (3, 4)，f(x) 是一个数：
#
# $$f(x) = \sum_{jk} R_{jk} \tanh(x_{jk})$$
#
# $$\frac{\partial f}{\partial x_{jk}} = R_{jk} (1 - \tanh^2(x_{jk}))$$
#
# R 是随机的。它在本课后面还会出现，那时叫*上游梯度*：网络的其余部分传回给我们的梯度。

# %%
rng = np.random.default_rng(0)
x = rng.standard_normal((3, 4))
R = rng.standard_normal((3, 4))


def f(x):
    return (R * np.tanh(x)).sum()


exact = R * (1 - np.tanh(x) ** 2)
measured = numeric_gradient(f, x)

error = np.abs(measured - exact).max() / np.abs(exact).max()
assert measured.shape == x.shape and error < 1e-9
print(f"evidence: shape {measured.shape}, relative error {error:.0e} < 1e-9")

# %% [markdown] lang="en"
# ### How small should h be?
#
# "As small as possible" is wrong. Three ways to measure, for many values of h:
#
# * the forward difference, $(f(x + h) - f(x)) / h$;
# * the central difference from above;
# * the *complex step*, $\mathrm{Im} f(x + ih) / h$. NumPy computes with complex numbers, so we may move x in
#   the imaginary direction. Nothing is subtracted.

# %% [markdown] lang="zh"
# ### h 应该取多小？
#
# “越小越好”是错的。下面用三种办法来量，h 取许多不同的值：
#
# * 前向差分：$(f(x + h) - f(x)) / h$；
# * 上面的中心差分；
# * *复数步长*：$\mathrm{Im} f(x + ih) / h$。NumPy 会算复数，所以可以让 x 沿虚数方向移动。
#   这里没有任何减法。

# %%
steps = 10.0 ** -np.arange(1, 21)


def error_of(difference, h):
    """The largest relative error, over all entries of x, of one way to measure."""
    measured = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        e = np.zeros_like(x)
        e[index] = 1
        measured[index] = difference(e, h)
    return np.abs(measured - exact).max() / np.abs(exact).max()


ways = {
    "forward": lambda e, h: (f(x + h * e) - f(x)) / h,
    "central": lambda e, h: (f(x + h * e) - f(x - h * e)) / (2 * h),
    "complex step": lambda e, h: f(x + 1j * h * e).imag / h,
}
errors = {name: np.array([error_of(way, h) for h in steps]) for name, way in ways.items()}

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
for (name, values), style in zip(errors.items(), ("o-", "s--", "^:"), strict=True):
    axes.loglog(steps, np.maximum(values, 1e-17), style, markersize=4, label=name)
axes.set_xlabel("h")
axes.set_ylabel("relative error")
axes.legend(frameon=False)

assert errors["forward"].min() > 1e-10 and errors["central"].min() < 1e-9
assert errors["complex step"][-1] < 1e-14
print("evidence: best forward > 1e-10, best central < 1e-9, complex step with h = 1e-20 < 1e-14")

# %% [markdown] lang="en"
# Both differences have an error shaped like a U over h, while that of the complex step falls and stays down.

# %% [markdown] lang="zh"
# 两种差分的误差随 h 变化都呈 U 形，而复数步长的误差降下去以后就一直很小。

# %% [markdown] lang="en"
# Why a U? The forward difference leaves out the term $h f''/2$ of the Taylor series, and the central one
# leaves out $h^2 f'''/6$: on the right of the picture the error shrinks with h. Every value of f is rounded
# by about $\varepsilon = 10^{-16}$, and dividing the difference by h makes $\varepsilon / h$ of that: on the
# left the error grows again. The best h is where both are equal, near $\varepsilon^{1/2} = 10^{-8}$ for
# forward and near $\varepsilon^{1/3} \approx 10^{-5}$ for central.
#
# The complex step has no difference, so it has no left side.

# %% [markdown] lang="zh"
# 为什么是 U 形？前向差分丢掉了泰勒级数里的 $h f''/2$ 这一项，中心差分丢掉了 $h^2 f'''/6$：
# 在图的右边，误差随 h 一起变小。而 f 的每个值都有大约 $\varepsilon = 10^{-16}$ 的舍入误差，
# 差再除以 h，就成了 $\varepsilon / h$：在图的左边，误差又变大。
# 两者相等的地方就是最好的 h：前向差分在 $\varepsilon^{1/2} = 10^{-8}$ 附近，
# 中心差分在 $\varepsilon^{1/3} \approx 10^{-5}$ 附近。
#
# 复数步长没有相减，所以没有左边那一半。

# %% [markdown] lang="en"
# ## 2. A student's LSTM
#
# An LSTM reads a sequence step by step. It keeps two arrays: the cell state c, its memory, and the hidden
# state h, its output. Four *gates* are computed at each step (Hochreiter and Schmidhuber 1997; the gate f
# came with Gers and others in 2000):
#
# | equation | in words |
# |---|---|
# | $z = x W_x + h_{prev} W_h + b$ | all four gates at once, side by side: i, f, o, g |
# | $i, f, o = \sigma(z_i), \sigma(z_f), \sigma(z_o)$ | input, forget and output gate, between 0 and 1 |
# | $g = \tanh(z_g)$ | the candidate, between -1 and 1 |
# | $c = f \cdot c_{prev} + i \cdot g$ | keep a part of the old, add a part of the new |
# | $h = o \cdot \tanh(c)$ | show a part of the memory |
#
# The shapes: B sentences at once (the batch), T steps, D numbers in, H numbers of state.
#
# | | | | |
# |---|---|---|---|
# | x of one step | (B, D) | Wx | (D, 4H) |
# | h, c, and each gate | (B, H) | Wh | (H, 4H) |
# | z | (B, 4H) | b | (4H,) |
#
# One step forward:

# %% [markdown] lang="zh"
# ## 2. 一位学生写的 LSTM
#
# LSTM 一步一步地读序列。它保存两个数组：细胞状态 c 是它的记忆，隐状态 h 是它的输出。
# 每一步计算四个*门*（Hochreiter 和 Schmidhuber 1997；其中的门 f 由 Gers 等人在 2000 年加入）：
#
# | 公式 | 含义 |
# |---|---|
# | $z = x W_x + h_{prev} W_h + b$ | 四个门一次算出，并排放着：i、f、o、g |
# | $i, f, o = \sigma(z_i), \sigma(z_f), \sigma(z_o)$ | 输入门、遗忘门、输出门，在 0 与 1 之间 |
# | $g = \tanh(z_g)$ | 候选值，在 -1 与 1 之间 |
# | $c = f \cdot c_{prev} + i \cdot g$ | 旧的留下一部分，新的加进一部分 |
# | $h = o \cdot \tanh(c)$ | 把记忆的一部分露出来 |
#
# 形状：一次读 B 个句子（一批），共 T 步，输入 D 个数，状态 H 个数。
#
# | | | | |
# |---|---|---|---|
# | 一步的 x | (B, D) | Wx | (D, 4H) |
# | h、c 和每个门 | (B, H) | Wh | (H, 4H) |
# | z | (B, 4H) | b | (4H,) |
#
# 向前走一步：

# %%
def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def step_forward(x, h_prev, c_prev, Wx, Wh, b):
    H = h_prev.shape[1]
    z = x @ Wx + h_prev @ Wh + b
    i = sigmoid(z[:, 0 * H : 1 * H])
    f = sigmoid(z[:, 1 * H : 2 * H])
    o = sigmoid(z[:, 2 * H : 3 * H])
    g = np.tanh(z[:, 3 * H : 4 * H])
    c = f * c_prev + i * g
    tanh_c = np.tanh(c)
    h = o * tanh_c
    return h, c, (x, h_prev, c_prev, Wx, Wh, i, f, o, g, c, tanh_c)


# %% [markdown] lang="en"
# Backward is the forward step read from below. `dh` is the gradient of the loss with respect to h. It has the
# shape of h, and so on for every name with a d in front.
#
# | forward | backward |
# |---|---|
# | $h = o \cdot \tanh(c)$ | $do = dh \cdot \tanh(c)$ |
# | | $dc \mathrel{+}= dh \cdot o \cdot (1 - \tanh^2(c))$ |
# | $c = f \cdot c_{prev} + i \cdot g$ | $df = dc \cdot c_{prev}$ and $dc_{prev} = dc \cdot f$ |
# | | $di = dc \cdot g$ and $dg = dc \cdot i$ |
# | $i = \sigma(z_i)$, so too f and o | $dz_i = di \cdot i (1 - i)$ |
# | $g = \tanh(z_g)$ | $dz_g = dg \cdot (1 - g^2)$ |
# | $z = x W_x + h_{prev} W_h + b$ | $dx = dz W_x^T$ and $dW_x = x^T dz$ |
# | | $dh_{prev} = dz W_h^T$ and $dW_h = h_{prev}^T dz$ |
# | | $db$ = the sum of $dz$ over the batch |
#
# Note the `+=` of dc. The cell state reaches the loss in two ways: through h now, and through the next step.
# The second part comes in as the argument `dc`.

# %% [markdown] lang="zh"
# 反向传播就是把前向的一步从下往上读。`dh` 是损失对 h 的梯度，形状与 h 相同；
# 凡是名字前面带 d 的都是如此。
#
# | 前向 | 反向 |
# |---|---|
# | $h = o \cdot \tanh(c)$ | $do = dh \cdot \tanh(c)$ |
# | | $dc \mathrel{+}= dh \cdot o \cdot (1 - \tanh^2(c))$ |
# | $c = f \cdot c_{prev} + i \cdot g$ | $df = dc \cdot c_{prev}$，以及 $dc_{prev} = dc \cdot f$ |
# | | $di = dc \cdot g$，以及 $dg = dc \cdot i$ |
# | $i = \sigma(z_i)$，f 和 o 也一样 | $dz_i = di \cdot i (1 - i)$ |
# | $g = \tanh(z_g)$ | $dz_g = dg \cdot (1 - g^2)$ |
# | $z = x W_x + h_{prev} W_h + b$ | $dx = dz W_x^T$，以及 $dW_x = x^T dz$ |
# | | $dh_{prev} = dz W_h^T$，以及 $dW_h = h_{prev}^T dz$ |
# | | $db$ = $dz$ 对整批求和 |
#
# 注意 dc 那里的 `+=`。细胞状态有两条路通向损失：一条是这一步的 h，另一条经过下一步。
# 第二条路的梯度由参数 `dc` 传进来。

# %%
def step_backward(dh, dc, cache):
    x, h_prev, c_prev, Wx, Wh, i, f, o, g, c, tanh_c = cache
    # h = o * tanh(c)
    do = dh * tanh_c
    dc = dc + dh * o * (1 - tanh_c**2)
    # c = f * c_prev + i * g
    df = dc * c_prev
    di = dc * g
    dg = dc * i
    dc_prev = dc * f
    # i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o);  g = tanh(z_g)
    dz_i = di * i * (1 - i)
    dz_f = df * f * (1 - f)
    dz_o = do * o * (1 - o)
    dz_g = dg * (1 - g**2)
    dz = np.concatenate([dz_i, dz_f, dz_o, dz_g], axis=1)
    # z = x Wx + h_prev Wh + b
    dx = dz @ Wx.T
    dWx = x.T @ dz
    dh_prev = dz @ Wh.T
    dWh = h_prev.T @ dz
    db = dz.sum(axis=0)
    return dx, dh_prev, dc_prev, dWx, dWh, db


# %% [markdown] lang="en"
# Now the loop over time. The sentences of a batch have different lengths, so the short ones are filled up
# with *padding*. The mask, of shape (T, B), is True where a step is real. At a padded step the old h and c
# are handed on.

# %% [markdown] lang="zh"
# 接着是沿时间的循环。一批里的句子长短不一，短的要用*填充*补齐。
# 掩码的形状是 (T, B)，真实的步为 True。遇到填充的步，旧的 h 和 c 原样传下去。

# %%
def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    T, B, D = x.shape
    if mask is None:
        mask = np.ones((T, B), dtype=bool)
    h, c = h0, c0
    hs, caches = [], []
    for t in range(T):
        real = mask[t][:, None]
        h_new, c_new, cache = step_forward(x[t], h, c, Wx, Wh, b)
        h = np.where(real, h_new, h)
        c = np.where(real, c_new, c)
        hs.append(h)
        caches.append((real, cache))
    return (np.stack(hs), h, c), caches


# %% [markdown] lang="en"
# Backward runs from the last step to the first. This is *backpropagation through time* (Werbos 1990). The
# weights are used at every step, so their gradients add up over the steps.

# %% [markdown] lang="zh"
# 反向传播从最后一步走到第一步，这叫*沿时间的反向传播*（Werbos 1990）。
# 每一步用的是同一组权重，所以权重的梯度要把各步加起来。

# %%
def lstm_backward(dout, caches):
    dhs, dh, dc = dout  # of all outputs, of the last h, of the last c; None stands for zero
    x, h_prev, c_prev, Wx, Wh = caches[0][1][:5]
    T = len(caches)
    dh = np.zeros_like(h_prev) if dh is None else dh
    dc = np.zeros_like(c_prev) if dc is None else dc
    dx = np.zeros((T, *x.shape), dtype=x.dtype)
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    for t in reversed(range(T)):
        real, cache = caches[t]
        if dhs is not None:
            dh = dh + dhs[t]
        dh_step = np.where(real, dh, 0)
        dc_step = np.where(real, dc, 0)
        dx[t], dh_prev, dc_prev, dWx_t, dWh_t, db_t = step_backward(dh_step, dc_step, cache)
        dWx += dWx_t
        dWh += dWh_t
        db += db_t
        # at a padded step h and c were handed on: so are their gradients
        dh = np.where(real, dh_prev, dh)
        dc = np.where(real, dc_prev, dc)
    return dx, dh, dc, dWx, dWh, db


# %% [markdown] lang="en"
# ### Is it right?
#
# `gradcheck` does what you did above, for every entry of every input and weight. It makes the inputs itself:
# 3 sentences of lengths 4, 2 and 3, a start state that is not zero, random weights and biases. As the loss
# it takes the sum of all outputs, each times its own random number. Then it compares.
#
# We tell it the `kind` of the pair, so that it knows what the arguments mean.

# %% [markdown] lang="zh"
# ### 它对吗？
#
# `gradcheck` 做的就是你上面做的事，只不过对每个输入、每个权重的每个元素都做一遍。
# 输入由它自己造：3 个句子，长度为 4、2、3，初始状态不为零，权重和偏置随机。
# 损失取所有输出的加权和，每个输出乘上自己的随机数。然后比较。
#
# 我们告诉它这一对函数的 `kind`（种类），它就知道各个参数是什么意思。

# %%
report = gradcheck((lstm_forward, lstm_backward), kind="lstm")
print(report)

# %%
worst = max(block.error for block in report.blocks)
assert report.ok and worst < 1e-12
print(f"evidence: report.ok, and the largest relative error {worst:.0e} < 1e-12")

# %% [markdown] lang="en"
# All six gradients agree up to rounding. The report has one line for each, with the worst entry and both
# values. "Measured with complex step" names the way: it is the most exact of the three, and this LSTM allows
# it.

# %% [markdown] lang="zh"
# 六个梯度全都吻合，只差舍入误差。报告里每个梯度一行，写着最差的元素和那里的两个值。
# “Measured with complex step”说明了量法：三种里最精确的一种，而这个 LSTM 允许用它。

# %% [markdown] lang="en"
# ## 3. Ten broken versions
#
# Now the mistakes. Each one is made by replacing a line of the source text above. The function `broken` does
# this. It insists that the old line occurs exactly once, so you can trust that nothing else has changed.

# %% [markdown] lang="zh"
# ## 3. 十个写错的版本
#
# 现在来看错误。每个错误都是把上面源代码中的某一行换掉得到的，由函数 `broken` 来做。
# 它要求旧的那一行恰好出现一次，所以可以放心：别的地方都没有变。

# %%
def broken(changes):
    """The student's pair, with some lines replaced: changes is {old: new}."""
    return with_changes(changes, step_forward, step_backward, lstm_forward, lstm_backward)[2:]


def look(pair):
    """Check a pair and print the report with its first hint; the view below has the others, closed."""
    report = gradcheck(pair, kind="lstm")
    print(replace(report, hint=1))
    return report


def evidence(report, node, gate, cause):
    """Raise unless the report names this place and this cause, and has found an error above 1 percent."""
    assert not report.ok
    assert (report.place.node, report.place.gate) == (node, gate), report.place
    assert report.cause.cause == cause, report.cause
    assert report.worst.error > 0.01, report.worst
    print(f"evidence: {report.place}; cause: {cause}; largest error {report.worst.error:.0%} > 1 %")


students, reports = {}, {}

# %% [markdown] lang="en"
# The cells that break the pair are folded: their code is hidden. Do it like this:
#
# 1. Read the report. It says only *where* the gradient goes wrong first, going backward from the loss.
# 2. Go back to `step_backward`. Which line makes that quantity? What could be wrong with it? **Guess.**
# 3. Open the hints in the view, one after the other.
# 4. Open "What the student wrote".
#
# ### Bug 1
#
# The first one we read together.

# %% [markdown] lang="zh"
# 弄坏这一对函数的单元是折叠的，代码看不见。请这样做：
#
# 1. 读报告。它只说从损失往回走，梯度最先*在哪里*出错。
# 2. 回到 `step_backward`：哪一行算出这个量？它可能错在哪里？**先猜。**
# 3. 在报告的视图里，把提示一个一个打开。
# 4. 打开“学生写的是什么”。
#
# ### 错误 1
#
# 第一个我们一起读。

# %% jupyter={"source_hidden": true} tags=["hide-input"]
students[1] = broken({"dz_g = dg * (1 - g**2)": "dz_g = dg"})

# %%
reports[1] = gradcheck(students[1], kind="lstm")
print(reports[1])

# %% [markdown] lang="en"
# From the top:
#
# * **where**: dz is the gradient of z. Of its four blocks only that of gate g is wrong. Step 3 is the last of
#   the steps 0 to 3, so it is the first one in backward. Whatever lies nearer to the loss is right.
# * **why**: the mistake whose numbers are yours. The checker tries some hundred mistakes on a textbook LSTM
#   of its own, where an array over time is written `g[t]`. If several of them give your numbers, it says
#   "likely".
# * **line**: the right line and the wrong one.
# * **gradients**: the errors. All six are wrong, though only one line is. A wrong dz flows into everything.
#   That is why the place is worth more than the list of wrong gradients.
#
# In a notebook the report is also a page, with the hints to open and a map of the errors:

# %% [markdown] lang="zh"
# 从上往下看：
#
# * **where**：dz 是 z 的梯度。它的四块里只有门 g 那一块错了。步的编号是 0 到 3，第 3 步是最后一步，
#   也就是反向传播的第一步。离损失更近的都是对的。
# * **why**：算出来的数与你的完全相同的那个错误。检查器拿自己的一个教科书式 LSTM，
#   把几百种错误一个一个试过去；随时间变化的数组在那里写成 `g[t]`。
#   如果有好几种错误都给出你的数，它就说“likely”（可能）。
# * **line**：正确的那一行和写错的那一行。
# * **gradients**：误差。六个梯度全错，尽管只错了一行：错的 dz 会流进所有梯度。
#   所以知道错在哪里，比知道哪些梯度错了更有用。
#
# 在笔记本里，报告还是一个页面，可以打开提示，也有误差的分布图：

# %%
reports[1]

# %% [markdown] lang="en"
# <details><summary><b>What the student wrote</b></summary>
#
# `dz_g = dg` in place of `dz_g = dg * (1 - g**2)`: the derivative of tanh is forgotten.
#
# </details>

# %% [markdown] lang="zh"
# <details><summary><b>学生写的是什么</b></summary>
#
# 写成了 `dz_g = dg`，应该是 `dz_g = dg * (1 - g**2)`：忘了 tanh 的导数。
#
# </details>

# %%
evidence(reports[1], node="dz", gate="g", cause="wrong derivative")

# %% [markdown] lang="en"
# ### Bug 2
#
# Which gate? Which line makes its gradient, and out of what?

# %% [markdown] lang="zh"
# ### 错误 2
#
# 是哪个门？哪一行算出它的梯度，用了哪些量？

# %% jupyter={"source_hidden": true} tags=["hide-input"]
students[2] = broken({"do = dh * tanh_c": "do = dh * c"})

# %%
reports[2] = look(students[2])
reports[2]

# %% [markdown] lang="en"
# <details><summary><b>What the student wrote</b></summary>
#
# `do = dh * c`: in $h = o \cdot \tanh(c)$ the factor beside o is tanh(c), not c. Near c = 0 the two are
# almost equal, so with small weights this mistake is small, too.
#
# </details>

# %% [markdown] lang="zh"
# <details><summary><b>学生写的是什么</b></summary>
#
# `do = dh * c`：在 $h = o \cdot \tanh(c)$ 里，与 o 相乘的是 tanh(c)，不是 c。
# 在 c = 0 附近两者几乎相等，所以权重小的时候，这个错误也小。
#
# </details>

# %%
evidence(reports[2], node="dz", gate="o", cause="wrong variable")

# %% [markdown] lang="en"
# ### Bug 3
#
# Again one gate. Look at the name of the variable that the forward line uses.

# %% [markdown] lang="zh"
# ### 错误 3
#
# 又是一个门。请看前向的那一行用的是哪个变量。

# %% jupyter={"source_hidden": true} tags=["hide-input"]
students[3] = broken({"df = dc * c_prev": "df = dc * c"})

# %%
reports[3] = look(students[3])
reports[3]

# %% [markdown] lang="en"
# <details><summary><b>What the student wrote</b></summary>
#
# `df = dc * c`: the forget gate is multiplied with the *old* cell state, so `c_prev` belongs here. It happens
# easily to those who overwrite one variable `c` in their loop.
#
# </details>

# %% [markdown] lang="zh"
# <details><summary><b>学生写的是什么</b></summary>
#
# `df = dc * c`：遗忘门乘的是*旧的*细胞状态，所以这里应该是 `c_prev`。
# 在循环里用同一个变量 `c` 反复覆盖的人，很容易犯这个错。
#
# </details>

# %%
evidence(reports[3], node="dz", gate="f", cause="wrong variable")

# %% [markdown] lang="en"
# ### Bug 4
#
# No gate this time: dc itself is wrong. How many paths lead from c to the loss?

# %% [markdown] lang="zh"
# ### 错误 4
#
# 这次不是门：错的是 dc 本身。从 c 到损失有几条路？

# %% jupyter={"source_hidden": true} tags=["hide-input"]
students[4] = broken({"dc = dc + dh * o * (1 - tanh_c**2)": "dc = dh * o * (1 - tanh_c**2)"})

# %%
reports[4] = look(students[4])
reports[4]

# %% [markdown] lang="en"
# <details><summary><b>What the student wrote</b></summary>
#
# `dc = dh * o * (1 - tanh_c**2)`, without `dc +`: what the later steps send back to the cell state is thrown
# away. This path is the reason why the LSTM was invented. Without it, training forgets what is far away.
#
# </details>

# %% [markdown] lang="zh"
# <details><summary><b>学生写的是什么</b></summary>
#
# `dc = dh * o * (1 - tanh_c**2)`，少了 `dc +`：后面各步传回给细胞状态的梯度被丢掉了。
# LSTM 正是为了这条路才发明的。没有它，训练就学不到相隔很远的东西。
#
# </details>

# %%
evidence(reports[4], node="dc", gate="", cause="carry dropped")

# %% [markdown] lang="en"
# ### Bug 5
#
# The same place as before, and another mistake. Read the line that makes dc: which factors does it need?

# %% [markdown] lang="zh"
# ### 错误 5
#
# 位置与刚才相同，错误却是另一个。读一读算 dc 的那一行：它需要哪些因子？

# %% jupyter={"source_hidden": true} tags=["hide-input"]
students[5] = broken({"dc = dc + dh * o * (1 - tanh_c**2)": "dc = dc + dh * (1 - tanh_c**2)"})

# %%
reports[5] = look(students[5])
reports[5]

# %% [markdown] lang="en"
# <details><summary><b>What the student wrote</b></summary>
#
# `dc = dc + dh * (1 - tanh_c**2)`: the factor o of $h = o \cdot \tanh(c)$ is missing. A place alone does not
# tell it from bug 4. The numbers do.
#
# </details>

# %% [markdown] lang="zh"
# <details><summary><b>学生写的是什么</b></summary>
#
# `dc = dc + dh * (1 - tanh_c**2)`：少了 $h = o \cdot \tanh(c)$ 里的因子 o。
# 只看位置，分不出它和错误 4；看数值就能分出来。
#
# </details>

# %%
evidence(reports[5], node="dc", gate="", cause="missing factor")

# %% [markdown] lang="en"
# ### Bug 6
#
# Two gates at once. What do two gates have in common?

# %% [markdown] lang="zh"
# ### 错误 6
#
# 一下子两个门。两个门有什么共同之处？

# %% jupyter={"source_hidden": true} tags=["hide-input"]
students[6] = broken({"[dz_i, dz_f, dz_o, dz_g]": "[dz_i, dz_f, dz_g, dz_o]"})

# %%
reports[6] = look(students[6])
reports[6]

# %% [markdown] lang="en"
# <details><summary><b>What the student wrote</b></summary>
#
# `[dz_i, dz_f, dz_g, dz_o]`: forward reads the blocks in the order i, f, o, g. The order i, f, g, o is that
# of PyTorch. All shapes fit, and nothing complains.
#
# </details>

# %% [markdown] lang="zh"
# <details><summary><b>学生写的是什么</b></summary>
#
# `[dz_i, dz_f, dz_g, dz_o]`：前向按 i、f、o、g 的次序读这四块，而 i、f、g、o 是 PyTorch 的次序。
# 形状全都对得上，没有任何报错。
#
# </details>

# %%
evidence(reports[6], node="dz", gate="og", cause="gate order")

# %% [markdown] lang="en"
# ### Bug 7
#
# Look at the values of `b` in the report: what backward says, and what the differences say.

# %% [markdown] lang="zh"
# ### 错误 7
#
# 看报告里 `b` 的两个值：反向传播给出的，和差分给出的。

# %% jupyter={"source_hidden": true} tags=["hide-input"]
students[7] = broken({"dz_f = df * f * (1 - f)": "dz_f = df * f * (f - 1)"})

# %%
reports[7] = look(students[7])
reports[7]

# %% [markdown] lang="en"
# <details><summary><b>What the student wrote</b></summary>
#
# `dz_f = df * f * (f - 1)`: a wrong sign. The gradient of the forget gate points uphill. The report names
# `df`, one line above: a minus in either line gives the same numbers, so no check can tell the two apart.
#
# </details>

# %% [markdown] lang="zh"
# <details><summary><b>学生写的是什么</b></summary>
#
# `dz_f = df * f * (f - 1)`：符号反了，遗忘门的梯度指向上坡。报告说的是上一行的 `df`：
# 负号放在哪一行，得到的数都一样，任何检查都分不出来。
#
# </details>

# %%
evidence(reports[7], node="dz", gate="f", cause="sign")

# %% [markdown] lang="en"
# ### Bug 8
#
# Now dh is wrong, and only from step 2 on. Which line makes the dh of step 2? It ran at step 3.

# %% [markdown] lang="zh"
# ### 错误 8
#
# 这次是 dh 错了，而且从第 2 步才开始错。第 2 步的 dh 是哪一行算的？那一行在第 3 步运行。

# %% jupyter={"source_hidden": true} tags=["hide-input"]
students[8] = broken({"dh_prev = dz @ Wh.T": "dh_prev = dz @ Wh.reshape(dz.shape[1], -1)"})

# %%
reports[8] = look(students[8])
reports[8]

# %% [markdown] lang="en"
# <details><summary><b>What the student wrote</b></summary>
#
# `dh_prev = dz @ Wh.reshape(dz.shape[1], -1)`: NumPy said that the shapes (B, 4H) and (H, 4H) do not fit, and
# `reshape` made them fit. It keeps the order of the numbers in memory. A transpose exchanges rows and
# columns. The shape is the same, the matrix is another.
#
# </details>

# %% [markdown] lang="zh"
# <details><summary><b>学生写的是什么</b></summary>
#
# `dh_prev = dz @ Wh.reshape(dz.shape[1], -1)`：NumPy 说形状 (B, 4H) 和 (H, 4H) 不相配，
# `reshape` 就硬把它们凑上了。它保持数字在内存里的次序；转置则交换行与列。形状相同，矩阵却是另一个。
#
# </details>

# %%
evidence(reports[8], node="dh", gate="", cause="transpose")

# %% [markdown] lang="en"
# ### Bug 9
#
# Everything is wrong, at the last step already. This one is not in `step_backward`.

# %% [markdown] lang="zh"
# ### 错误 9
#
# 全都错了，最后一步就已经错了。这个错误不在 `step_backward` 里。

# %% jupyter={"source_hidden": true} tags=["hide-input"]
students[9] = broken({"for t in reversed(range(T)):": "for t in range(T):"})

# %%
reports[9] = look(students[9])
reports[9]

# %% [markdown] lang="en"
# <details><summary><b>What the student wrote</b></summary>
#
# `for t in range(T):`: the loop runs forward in time. The gradient of the last state is given to the first
# step.
#
# </details>

# %% [markdown] lang="zh"
# <details><summary><b>学生写的是什么</b></summary>
#
# `for t in range(T):`：循环沿时间正着走了。最后一个状态的梯度被交给了第一步。
#
# </details>

# %%
evidence(reports[9], node="dh", gate="", cause="time shift")

# %% [markdown] lang="en"
# ### Bug 10
#
# The report speaks of rows of the batch. What is special about these sentences? (Their lengths are 4, 2 and
# 3.)

# %% [markdown] lang="zh"
# ### 错误 10
#
# 报告提到了批里的某些行。这些句子有什么特别？（它们的长度是 4、2、3。）

# %% jupyter={"source_hidden": true} tags=["hide-input"]
students[10] = broken(
    {"dh = np.where(real, dh_prev, dh)": "dh = dh_prev", "dc = np.where(real, dc_prev, dc)": "dc = dc_prev"}
)

# %%
reports[10] = look(students[10])
reports[10]

# %% [markdown] lang="en"
# <details><summary><b>What the student wrote</b></summary>
#
# `dh = dh_prev` and `dc = dc_prev`, without the mask: forward hands h and c on over padding, backward does
# not hand their gradients on. The lines of the report end with "right with no mask": without padding this
# student would never know.
#
# </details>

# %% [markdown] lang="zh"
# <details><summary><b>学生写的是什么</b></summary>
#
# `dh = dh_prev` 和 `dc = dc_prev`，没有用掩码：前向在填充处把 h 和 c 原样传下去，
# 反向却没有把它们的梯度原样传下去。报告各行的末尾写着“right with no mask”：
# 没有填充的话，这位学生永远不会知道。
#
# </details>

# %%
evidence(reports[10], node="dh", gate="", cause="mask ignored")

# %% [markdown] lang="en"
# ## 4. A lazy check
#
# Your own six lines would have found these mistakes, too. Or would they? It depends on what you feed them.
# Here is a check as it is often written: one sentence, one step, zero states, the sum of the outputs as the
# loss, and one error for all weights together.

# %% [markdown] lang="zh"
# ## 4. 偷懒的检查
#
# 你自己写的那六行也能找出这些错误。真的能吗？要看你喂给它什么。
# 下面是一种常见的写法：一个句子，一步，状态为零，损失是输出之和，所有权重合起来只算一个误差。

# %%
def lazy_check(pair):
    """The relative error of the gradients of the weights, as one number."""
    forward, backward = pair
    rng = np.random.default_rng(0)
    x, zero = rng.standard_normal((1, 1, 3)), np.zeros((1, 2))  # T = 1, B = 1, D = 3, H = 2
    Wx, Wh, b = rng.standard_normal((3, 8)), rng.standard_normal((2, 8)), rng.standard_normal(8)

    def loss(Wx, Wh, b):
        (hs, h, c), cache = forward(x, zero, zero, Wx, Wh, b)
        return hs.sum()

    (hs, h, c), cache = forward(x, zero, zero, Wx, Wh, b)
    dx, dh0, dc0, *got = backward((np.ones_like(hs), None, None), cache)
    expected = [
        numeric_gradient(lambda W: loss(W, Wh, b), Wx),
        numeric_gradient(lambda W: loss(Wx, W, b), Wh),
        numeric_gradient(lambda W: loss(Wx, Wh, W), b),
    ]
    got, expected = (np.concatenate([part.ravel() for part in parts]) for parts in (got, expected))
    return np.linalg.norm(got - expected) / np.linalg.norm(expected)


# %%
lazy = {n: lazy_check(pair) for n, pair in students.items()}
full = {n: report.worst.error for n, report in reports.items()}
missed = [n for n in students if lazy[n] < 1e-6]

figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
numbers = np.arange(1, 11)
axes.semilogy(numbers, [full[n] for n in numbers], "o", label="gradcheck")
axes.semilogy(numbers, [lazy[n] for n in numbers], "x", label="lazy check")
axes.axhline(1e-6, color="gray", linestyle=":")
axes.set_xticks(numbers)
axes.set_xlabel("bug")
axes.set_ylabel("relative error")
axes.legend(frameon=False, loc="center left")

assert missed == [4, 7, 8, 9, 10] and min(full.values()) > 0.01
print(f"evidence: lazy check below 1e-6 for the bugs {missed}, gradcheck above 1e-2 for all ten")

# %% [markdown] lang="en"
# The crosses below the dotted line are the five bugs of ten that the lazy check calls right.

# %% [markdown] lang="zh"
# 虚线以下的叉，就是十个错误中被偷懒的检查判为正确的那五个。

# %% [markdown] lang="en"
# Why these five?
#
# * With one step nothing comes from a later step (bug 4), and a loop of one step runs in both directions (bug
#   9).
# * The old cell state is zero, so the forget gate has no effect, and its gradient is zero with either sign
#   (bug 7).
# * What goes to the step before ends in dh0, and nobody looked at dh0 (bug 8).
# * Without padding the mask does nothing (bug 10).
#
# The loss `hs.sum()` is lazy as well. For an LSTM it happens to do. The outputs of a softmax always sum to
# one, so there the gradient of the sum is zero, and a backward pass that returns zeros would pass:

# %% [markdown] lang="zh"
# 为什么是这五个？
#
# * 只有一步，就没有什么从后面的步传回来（错误 4）；只走一步的循环，正着走和倒着走是一样的（错误 9）。
# * 旧的细胞状态是零，遗忘门就不起作用，它的梯度是零，符号正反都一样（错误 7）。
# * 传给前一步的梯度最后到了 dh0，而没有人看 dh0（错误 8）。
# * 没有填充，掩码就什么也不做（错误 10）。
#
# 损失 `hs.sum()` 也是偷懒。对 LSTM 来说碰巧还行。可是 softmax 的输出之和永远是一，
# 和的梯度就是零，于是一个只会返回零的反向传播也能通过：

# %%
def softmax(z):
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return p, lambda dp: np.zeros_like(z)  # this is no derivative


z = rng.standard_normal((3, 4))
p, backward = softmax(z)
gap = np.abs(backward(np.ones_like(p)) - numeric_gradient(lambda z: softmax(z)[0].sum(), z)).max()
report = gradcheck(softmax, z)

assert gap < 1e-9 and not report.ok
print(f"evidence: with the sum as the loss the error is {gap:.0e} < 1e-9; gradcheck says {report.verdict!r}")

# %% [markdown] lang="en"
# The remedy: several sentences of different lengths, several steps, states and biases that are not zero, a
# random upstream gradient, and one error for *each* gradient.

# %% [markdown] lang="zh"
# 对策是：几个长短不一的句子，好几步，不为零的状态和偏置，随机的上游梯度，
# 并且*每个*梯度各算一个误差。

# %% [markdown] lang="en"
# ## 5. When the check is silent
#
# An eleventh student read the gates in the order of PyTorch, and did so in forward **and** in backward:

# %% [markdown] lang="zh"
# ## 5. 检查不出声的时候
#
# 第十一位学生按 PyTorch 的次序读四个门，前向**和**反向都这样：

# %%
eleventh = broken(
    {
        "o = sigmoid(z[:, 2 * H : 3 * H])": "o = sigmoid(z[:, 3 * H : 4 * H])",
        "g = np.tanh(z[:, 3 * H : 4 * H])": "g = np.tanh(z[:, 2 * H : 3 * H])",
        "[dz_i, dz_f, dz_o, dz_g]": "[dz_i, dz_f, dz_g, dz_o]",
    }
)
report = gradcheck(eleventh, kind="lstm")
assert report.ok
print(f"evidence: {report.summary()}")

# %% [markdown] lang="en"
# The verdict is "right", and that is correct. A gradient check asks one thing only: is backward the
# derivative of *your* forward? It cannot know what you wanted to compute.
#
# Weights from elsewhere would give wrong outputs in this LSTM. What finds it is a look at the forward pass:
# does it compute the stated equations? Does padding leave the outputs alone? Do the sentences of a batch not
# notice each other? The function `properties` asks such questions.

# %% [markdown] lang="zh"
# 结论是“right”，而这是对的。梯度检查只问一件事：反向是不是*你的*前向的导数？
# 它不可能知道你原本想算什么。
#
# 把别处来的权重放进这个 LSTM，输出就是错的。要发现这一点，得检查前向：它算的是不是写明的那些公式？
# 填充会不会影响输出？同一批里的句子会不会互相影响？函数 `properties` 问的就是这些。

# %%
for finding in properties(eleventh, "lstm"):
    print(finding)

# %%
wrong = [finding.check for finding in properties(eleventh, "lstm") if finding.ok is False]
assert wrong == ["formula"]
assert all(finding.ok for finding in properties((lstm_forward, lstm_backward), "lstm"))
print("evidence: of the eleventh pair the formula is wrong, of the right pair nothing")

# %% [markdown] lang="en"
# The gradient report gives a quiet sign, too. Because we said `kind="lstm"`, it could compare the outputs,
# and adds a note:

# %% [markdown] lang="zh"
# 梯度检查的报告也有一个小小的信号。因为我们写了 `kind="lstm"`，它能比较输出，于是加了一条说明：

# %%
(note,) = report.findings
assert "order i, f, g, o" in note.says
print(f"evidence: {note.says}")

# %% [markdown] lang="en"
# ## 6. Hints in three levels
#
# A whole solution at once teaches little. A report shows as much as its `hint` allows: 1 where, 2 what kind
# of mistake, 3 the line. A teacher who hands out `hint=1` gives away nothing more, neither in the text nor in
# the page. For bug 3:

# %% [markdown] lang="zh"
# ## 6. 三级提示
#
# 一下子给出全部答案，学不到多少。报告说多少，由它的 `hint` 决定：
# 1 说在哪里，2 说是哪种错误，3 给出那一行。
# 老师发下 `hint=1` 的报告，文字里和页面里都不会多透露一点。以错误 3 为例：

# %%
for level in (1, 2, 3):
    print(f"hint={level}: {reports[3].hints(level)[-1]}\n")

# %%
report = gradcheck(students[3], kind="lstm", hint=1)
assert "c_prev" not in str(report) and "c_prev" not in report.to_json()
assert "c_prev" in str(reports[3])
print("evidence: with hint=1 the report does not contain the name c_prev, with hint=3 it does")

# %% [markdown] lang="en"
# ## 7. In your tests
#
# A check that you run once protects you once. Put it among your tests. `assert_gradients` raises an
# `AssertionError`, and its message is the report. A file for pytest needs no more than this:

# %% [markdown] lang="zh"
# ## 7. 放进你的测试
#
# 只运行一次的检查，只保护你一次。把它放进测试里。
# `assert_gradients` 会抛出 `AssertionError`，错误信息就是那份报告。
# 一个 pytest 文件只需要这几行：


# %%
def test_my_lstm():
    assert_gradients((lstm_forward, lstm_backward), kind="lstm")


test_my_lstm()

try:
    assert_gradients(students[6], kind="lstm")
except AssertionError as failure:
    message = str(failure)
assert "gates o, g" in message
print("evidence: the right pair passes; for bug 6 the message begins with\n" + message.splitlines()[1])

# %% [markdown] lang="en"
# ## 8. In a real model
#
# Your pair can train. The model here reads a word letter by letter (the *encoder*) and writes it backwards
# (the *decoder*). Both have an LSTM, and the layer takes any pair as its operation, `op`.
#
# We train three times from the same weights: with the LSTM of the engine, with yours, and with bug 8.

# %% [markdown] lang="zh"
# ## 8. 放进真正的模型
#
# 你的这一对函数可以拿来训练。这里的模型逐个字母地读一个单词（*编码器*），再把它倒着写出来（*解码器*）。
# 两边各有一个 LSTM，这种层可以用任何一对函数作为它的运算 `op`。
#
# 我们从相同的权重出发训练三次：用引擎的 LSTM，用你的，用错误 8。

# %%
words = load_task("reverse", size=400).train
STEPS = 60


def model_with(op):
    """A small model whose two LSTM layers use the pair `op`, and its training examples."""
    translator = Translator.for_pairs(words, ModelConfig(bidirectional=False, embed=16, hidden=24))
    model = translator.model
    rng = np.random.default_rng(0)
    model.encoder.rnn.layers[0] = LSTM(16, 24, rng=rng, op=op)
    model.decoder.cells.layers[0] = LSTM(16, 24, rng=rng, op=op)
    return model, encode_pairs(words, translator.source, translator.target, all_targets=False)


def train(op):
    """Train a new model with `op`; returns it with the loss of each step."""
    model, examples = model_with(op)
    optimizer = Adam(model.parameters(), lr=5e-3)
    rng = np.random.default_rng(1)
    losses = []
    for _ in range(STEPS):
        batch = make_batch(examples, rng.integers(len(examples), size=24))
        model.zero_grad()
        loss, cache = model.loss(batch)
        model.backward(1.0, cache)
        optimizer.step()
        losses.append(float(loss))
    return model, losses


# %%
mine = Op("mine", lstm_forward, lstm_backward)
bug_8 = Op("bug 8", *students[8])
_, engine_losses = train(functional.lstm)
my_model, my_losses = train(mine)
broken_model, broken_losses = train(bug_8)

figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
axes.plot(engine_losses, "-", linewidth=4, alpha=0.4, label="the engine's LSTM")
axes.plot(my_losses, "-", color="black", linewidth=1, label="yours")
axes.plot(broken_losses, "--", label="bug 8")
axes.set_xlabel("training step")
axes.set_ylabel("loss")
axes.legend(frameon=False)

assert max(abs(a - b) for a, b in zip(engine_losses, my_losses, strict=True)) < 1e-3
assert broken_losses[-1] < broken_losses[0] - 0.3
print("evidence: the first two curves differ by less than 1e-3; with bug 8 the loss falls by more than 0.3")

# %% [markdown] lang="en"
# Your LSTM gives the very curve of the engine's, and the loss falls with the broken one as well.

# %% [markdown] lang="zh"
# 你的 LSTM 画出的曲线与引擎的完全一样，而写错的那个损失也在下降。

# %% [markdown] lang="en"
# This is why "the loss goes down" proves nothing. A wrong gradient often points roughly downhill.
#
# `gradcheck` takes a whole model. It checks every weight, and says in which layer the gradient goes wrong
# first.

# %% [markdown] lang="zh"
# 所以“损失在下降”什么也证明不了。错误的梯度往往也大致指向下坡。
#
# `gradcheck` 也能检查整个模型：它检查每个权重，并说出梯度最先在哪一层出错。

# %%
report = gradcheck(my_model)
assert report.ok and len(report.blocks) == len(my_model.parameters())
print(f"evidence: {report.summary()}")

# %%
report = gradcheck(broken_model)
assert not report.ok and "cells.layers.0" in report.place.layer and report.cause.cause == "transpose"
print(f"evidence: {report.where()}")

# %% [markdown] lang="en"
# The decoder's LSTM is named, and the encoder's has the same bug. Backward comes to the decoder first. Repair
# what is named, and check again.

# %% [markdown] lang="zh"
# 报告点名的是解码器的 LSTM，而编码器的 LSTM 也有同样的错误：反向传播先到解码器。
# 把点名的改好，再检查一遍。

# %% [markdown] lang="en"
# ## 9. Exercises
#
# Each exercise has a cell with a hole and a cell that checks it. The check raises with the name of the
# exercise until the hole is filled. The solutions are at the end.

# %% [markdown] lang="zh"
# ## 9. 练习
#
# 每个练习有一个留了空的单元，和一个检查它的单元。空没有填好，检查就会报出这个练习的名字。
# 答案在最后。

# %% [markdown] lang="en"
# ### Exercise 1: a derivative of your own
#
# $y = x \cdot \sigma(x)$ is called swish. Write its backward pass. The function returns y and a function from
# dy to dx, both with the shape of x.

# %% [markdown] lang="zh"
# ### 练习 1：自己写一个导数
#
# $y = x \cdot \sigma(x)$ 叫做 swish。请写出它的反向传播。
# 函数返回 y，以及一个从 dy 算出 dx 的函数；两者的形状都与 x 相同。

# %%
def swish(x):
    s = sigmoid(x)
    y = x * s

    def backward(dy):
        raise NotImplementedError("fill in backward of swish")

    return y, backward


# %% tags=["raises-exception"]
with exercise("Exercise 1, swish"):
    report = gradcheck(swish, np.linspace(-2.0, 2.0, 10).reshape(2, 5))
    assert report.ok, what_is_wrong(report)

# %% [markdown] lang="en"
# ### Exercise 2: find the bug
#
# The next cell is folded, please leave it so. It makes a pair with one line changed. You get a report with
# the first hint. Compare the two values of the wrong gradient. Which change of which line makes them?
#
# Write your guess as `{"old line": "new line"}`, as above. The check makes your change and compares all
# gradients with those of the hidden pair. (The checker finds its causes in the same way.)

# %% [markdown] lang="zh"
# ### 练习 2：找出错误
#
# 下一个单元是折叠的，请不要打开。它造出一对函数，其中改动了一行。你会得到一份只有一级提示的报告。
# 比较那个错误的梯度的两个值：把哪一行改成什么，会得到这样的值？
#
# 像上面那样，把你的猜测写成 `{"old line": "new line"}`。检查单元会照你的猜测去改，
# 再把所有梯度与隐藏的那一对比较。（检查器也是这样找出原因的。）

# %% jupyter={"source_hidden": true} tags=["hide-input"]
hidden_pair = broken({"db = dz.sum(axis=0)": "db = dz.mean(axis=0)"})
print(gradcheck(hidden_pair, kind="lstm", hint=1))

# %%
my_guess = {"old line": "new line"}


# %% tags=["raises-exception"]
def gradients_of(pair):
    forward, backward = pair
    rng = np.random.default_rng(5)
    shapes = (4, 3, 5), (3, 2), (3, 2), (5, 8), (2, 8), (8,)  # x, h0, c0, Wx, Wh, b
    out, cache = forward(*(rng.standard_normal(shape) for shape in shapes))
    return backward(tuple(rng.standard_normal(part.shape) for part in out), cache)


with exercise("Exercise 2, find the bug"):
    assert my_guess != {"old line": "new line"}, "write your guess into my_guess"
    pairs = zip(gradients_of(broken(my_guess)), gradients_of(hidden_pair), strict=True)
    for name, (yours, theirs) in zip(("dx", "dh0", "dc0", "dWx", "dWh", "db"), pairs, strict=True):
        assert np.allclose(yours, theirs, rtol=1e-10, atol=1e-12), f"your change gives another {name}"

# %% [markdown] lang="en"
# ### Exercise 3: a check that is not lazy
#
# Write `my_check(pair)`. It returns the largest relative error that it finds, with `numeric_gradient` and
# inputs of your own. It must stay below 1e-6 for the right pair and be above 1e-3 for all ten bugs. Section 4
# says what it needs. A small size is enough, such as T = 3, B = 2, D = 3, H = 2.

# %% [markdown] lang="zh"
# ### 练习 3：不偷懒的检查
#
# 请写 `my_check(pair)`。它返回所找到的最大相对误差，用 `numeric_gradient` 和你自己选的输入。
# 对正确的那一对，结果必须小于 1e-6；对十个错误，都必须大于 1e-3。
# 需要什么，第 4 节已经说了。规模小就够，例如 T = 3、B = 2、D = 3、H = 2。

# %%
def my_check(pair):
    raise NotImplementedError("fill in my_check")


# %% tags=["raises-exception"]
with exercise("Exercise 3, my_check"):
    assert my_check((lstm_forward, lstm_backward)) < 1e-6, "the right pair should be below 1e-6"
    for n, pair in students.items():
        assert my_check(pair) > 1e-3, f"bug {n} is not seen"

# %% [markdown] lang="en"
# ## 10. What to read next
#
# * L. F. Richardson, "The approximate arithmetical solution by finite differences of physical problems
#   involving differential equations", Philosophical Transactions of the Royal Society A 210, 1911: two bad
#   differences make a good one. The checker uses it where complex numbers do not work.
# * W. Squire and G. Trapp, "Using complex variables to estimate derivatives of real functions", SIAM Review
#   40, 1998: the complex step, on three pages.
# * S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9, 1997; F. Gers, J.
#   Schmidhuber and F. Cummins, "Learning to forget: continual prediction with LSTM", Neural Computation 12,
#   2000.
# * P. Werbos, "Backpropagation through time: what it does and how to do it", Proceedings of the IEEE 78,
#   1990.
# * R. DeMillo, R. Lipton and F. Sayward, "Hints on test data selection: help for the practicing programmer",
#   Computer 11, 1978: plant mistakes on purpose, and see whether your tests notice. You have just done this.
#
# And the code: `minis2s/functional/lstm.py` has the same LSTM written for speed,
# `minis2s/gradcheck/numeric.py` the derivatives, `minis2s/gradcheck/textbook.py` the backward passes in which
# the checker plants its mistakes.

# %% [markdown] lang="zh"
# ## 10. 接着读什么
#
# * L. F. Richardson, "The approximate arithmetical solution by finite differences of physical problems
#   involving differential equations", Philosophical Transactions of the Royal Society A 210, 1911：
#   两个不好的差分合成一个好的。复数不能用的时候，检查器就用它。
# * W. Squire 和 G. Trapp, "Using complex variables to estimate derivatives of real functions", SIAM Review
#   40, 1998：三页纸讲清复数步长。
# * S. Hochreiter 和 J. Schmidhuber, "Long short-term memory", Neural Computation 9, 1997；F. Gers、
#   J. Schmidhuber 和 F. Cummins, "Learning to forget: continual prediction with LSTM", Neural Computation
#   12, 2000：LSTM 本身，以及后来加入的遗忘门。
# * P. Werbos, "Backpropagation through time: what it does and how to do it", Proceedings of the IEEE 78,
#   1990：沿时间的反向传播。
# * R. DeMillo、R. Lipton 和 F. Sayward, "Hints on test data selection: help for the practicing programmer",
#   Computer 11, 1978：故意埋下错误，看看测试能不能发现。你刚才做的正是这件事。
#
# 还有代码：`minis2s/functional/lstm.py` 是同一个 LSTM，为速度而写；`minis2s/gradcheck/numeric.py` 是数值导数；
# `minis2s/gradcheck/textbook.py` 是检查器用来埋下错误的那些反向传播。

# %% [markdown] lang="en"
# ## Solutions
#
# <details><summary><b>Exercise 1</b></summary>
#
# The product rule, with $\sigma' = \sigma (1 - \sigma)$:
#
# ```python
# def swish(x):
#     s = sigmoid(x)
#     y = x * s
#
#     def backward(dy):
#         return dy * (s + x * s * (1 - s))
#
#     return y, backward
# ```
#
# </details>
#
# <details><summary><b>Exercise 2</b></summary>
#
# Only db is wrong, and the right value is three times that of backward. The batch has three sentences: db is
# the mean over the batch, and should be the sum. A batch of one would not have shown it.
#
# ```python
# my_guess = {"db = dz.sum(axis=0)": "db = dz.mean(axis=0)"}
# ```
#
# </details>
#
# <details><summary><b>Exercise 3</b></summary>
#
# ```python
# def my_check(pair):
#     forward, backward = pair
#     rng = np.random.default_rng(2)
#     T, B, D, H = 3, 2, 3, 2
#     shapes = (T, B, D), (B, H), (B, H), (D, 4 * H), (H, 4 * H), (4 * H,)
#     inputs = [rng.standard_normal(shape) for shape in shapes]
#     mask = np.array([[True, True], [True, True], [True, False]])
#     out, cache = forward(*inputs, mask)
#     upstream = tuple(rng.standard_normal(part.shape) for part in out)
#     worst = 0.0
#     for k, got in enumerate(backward(upstream, cache)):
#
#         def loss(value):
#             out, _ = forward(*inputs[:k], value, *inputs[k + 1 :], mask)
#             return sum((part * R).sum() for part, R in zip(out, upstream))
#
#         expected = numeric_gradient(loss, inputs[k])
#         worst = max(worst, np.abs(got - expected).max() / np.abs(expected).max())
#     return worst
# ```
#
# </details>

# %% [markdown] lang="zh"
# ## 答案
#
# <details><summary><b>练习 1</b></summary>
#
# 乘积的求导法则，其中 $\sigma' = \sigma (1 - \sigma)$：
#
# ```python
# def swish(x):
#     s = sigmoid(x)
#     y = x * s
#
#     def backward(dy):
#         return dy * (s + x * s * (1 - s))
#
#     return y, backward
# ```
#
# </details>
#
# <details><summary><b>练习 2</b></summary>
#
# 只有 db 错了，正确的值是反向传播给出的三倍。这一批有三个句子：db 取了整批的平均，而应该求和。
# 如果一批只有一个句子，就看不出来。
#
# ```python
# my_guess = {"db = dz.sum(axis=0)": "db = dz.mean(axis=0)"}
# ```
#
# </details>
#
# <details><summary><b>练习 3</b></summary>
#
# ```python
# def my_check(pair):
#     forward, backward = pair
#     rng = np.random.default_rng(2)
#     T, B, D, H = 3, 2, 3, 2
#     shapes = (T, B, D), (B, H), (B, H), (D, 4 * H), (H, 4 * H), (4 * H,)
#     inputs = [rng.standard_normal(shape) for shape in shapes]
#     mask = np.array([[True, True], [True, True], [True, False]])
#     out, cache = forward(*inputs, mask)
#     upstream = tuple(rng.standard_normal(part.shape) for part in out)
#     worst = 0.0
#     for k, got in enumerate(backward(upstream, cache)):
#
#         def loss(value):
#             out, _ = forward(*inputs[:k], value, *inputs[k + 1 :], mask)
#             return sum((part * R).sum() for part, R in zip(out, upstream))
#
#         expected = numeric_gradient(loss, inputs[k])
#         worst = max(worst, np.abs(got - expected).max() / np.abs(expected).max())
#     return worst
# ```
#
# </details>
