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
# # The LSTM from inside: why does a gradient survive a hundred steps?
#
# In a plain recurrent network the gradient of step 100 has to pass a hundred matrices and a hundred
# derivatives of tanh on its way to step 0. Little is left of it. What was read at the beginning cannot be
# learned. Hochreiter and Schmidhuber built the long short-term memory in 1997 against just this.
#
# **What is it in these four gates that lets a gradient through?**
#
# You set each gate by hand and see what it does, derive the backward pass, check it, and measure the gradient
# on its way through 100 steps. At the end you open one training step of a trained model and go through it
# number by number. You need Python, NumPy arrays and the chain rule. About an hour and a half is enough.

# %% [markdown] lang="zh"
# # 从内部看 LSTM：梯度为什么能存活一百步？
#
# 在普通的循环网络里，第 100 步的梯度要经过一百个矩阵和一百个 tanh 的导数，才能到达第 0 步，几乎什么也不剩。
# 开头读到的东西就学不会。1997 年 Hochreiter 和 Schmidhuber 正是为此设计了长短期记忆（LSTM）。
#
# **这四个门里究竟是什么让梯度通过的？**
#
# 你将手工设定每个门，看它起什么作用，推导反向传播并加以检查，然后测量梯度穿过 100 步的过程。最后打开一个训练好的模型的一个训练步，
# 一个数一个数地走过去。你需要会 Python、NumPy 数组和链式法则。大约需要一个半小时。

# %% [markdown] lang="en"
# ## 1. Four gates and two states
#
# We are at step t. x is the input, $h_{prev}$ and $c_{prev}$ are the states before the step.
#
# | equation | in words |
# |---|---|
# | $z = x W_x + h_{prev} W_h + b$ | the pre-activations of all gates: $z_i, z_f, z_o, z_g$ |
# | $i = \sigma(z_i)$ | input gate: how much of the candidate is written? |
# | $f = \sigma(z_f)$ | forget gate: how much of the old cell state stays? |
# | $o = \sigma(z_o)$ | output gate: how much is shown? |
# | $g = \tanh(z_g)$ | candidate: what could be written |
# | $c = f \cdot c_{prev} + i \cdot g$ | cell state, the memory |
# | $h = o \cdot \tanh(c)$ | hidden state, the output |
#
# The shapes, for B sentences at once, D numbers in, H numbers of state. The blocks of the weights lie side by
# side in the order i, f, o, g:
#
# | | | | |
# |---|---|---|---|
# | x | (B, D) | Wx | (D, 4H) |
# | h, c, i, f, o, g | (B, H) | Wh | (H, 4H) |
# | z | (B, 4H) | b | (4H,) |

# %% [markdown] lang="zh"
# ## 1. 四个门与两个状态
#
# 我们处在第 t 步。x 是输入，$h_{prev}$ 和 $c_{prev}$ 是这一步之前的状态。
#
# | 公式 | 含义 |
# |---|---|
# | $z = x W_x + h_{prev} W_h + b$ | 所有门的预激活值：$z_i, z_f, z_o, z_g$ |
# | $i = \sigma(z_i)$ | 输入门：候选值写入多少？ |
# | $f = \sigma(z_f)$ | 遗忘门：旧的细胞状态保留多少？ |
# | $o = \sigma(z_o)$ | 输出门：展示多少？ |
# | $g = \tanh(z_g)$ | 候选值：可以写入什么 |
# | $c = f \cdot c_{prev} + i \cdot g$ | 细胞状态，即记忆 |
# | $h = o \cdot \tanh(c)$ | 隐状态，即输出 |
#
# 下面是形状：一次 B 个句子，输入 D 个数，状态 H 个数。权重的各块按 i、f、o、g 的顺序并排放置：
#
# | | | | |
# |---|---|---|---|
# | x | (B, D) | Wx | (D, 4H) |
# | h、c、i、f、o、g | (B, H) | Wh | (H, 4H) |
# | z | (B, 4H) | b | (4H,) |

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np

import minis2s
from minis2s import (
    LSTM,
    RNN,
    Adam,
    Linear,
    ModelConfig,
    Translator,
    clip_global_norm,
    encode_pairs,
    functional,
    load_task,
    make_batch,
    make_batches,
)
from minis2s.gradcheck import gradcheck
from minis2s.lessons import exercise, what_is_wrong, with_changes
from minis2s.trace import Cut


# %%
def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def step_forward(x, h_prev, c_prev, Wx, Wh, b):
    z = x @ Wx + h_prev @ Wh + b
    z_i, z_f, z_o, z_g = np.split(z, 4, axis=1)
    i = sigmoid(z_i)
    f = sigmoid(z_f)
    o = sigmoid(z_o)
    g = np.tanh(z_g)
    c = f * c_prev + i * g
    tanh_c = np.tanh(c)
    h = o * tanh_c
    return h, c, (x, h_prev, c_prev, Wx, Wh, i, f, o, g, tanh_c)


# %% [markdown] lang="en"
# ### Each gate by itself
#
# With all weights zero the gates are what the bias says. A bias of 30 opens a gate, one of -30 closes it. So
# we can drive a cell of one number by hand. Its memory holds 0.8, the candidate is tanh(0.5).

# %% [markdown] lang="zh"
# ### 逐个看每个门
#
# 权重全为零时，门只由偏置决定。偏置 30 打开一个门，-30 关闭一个门。于是我们可以手动驾驶只有一个数的细胞。
# 它的记忆是 0.8，候选值是 tanh(0.5)。


# %%
def drive(i, f, o):
    """One step of a cell of size one whose gates are given as 0 or 1; returns h and c."""
    b = np.array([60.0 * i - 30, 60.0 * f - 30, 60.0 * o - 30, 0.5])
    zero = np.zeros((1, 1))
    h, c, _ = step_forward(zero, zero, np.full((1, 1), 0.8), np.zeros((1, 4)), np.zeros((1, 4)), b)
    return h.item(), c.item()


new = np.tanh(0.5)
expected = {
    "keep   ": ((0, 1, 0), 0.8),
    "replace": ((1, 0, 0), new),
    "add    ": ((1, 1, 0), 0.8 + new),
    "erase  ": ((0, 0, 0), 0.0),
}
for what, (gates, c_wanted) in expected.items():
    h, c = drive(*gates)
    assert abs(c - c_wanted) < 1e-9 and abs(h) < 1e-9
    print(f"{what} i, f, o = {gates}: c = {c:.4f}, h = {h:.4f}")
h, c = drive(0, 1, 1)
assert abs(h - np.tanh(0.8)) < 1e-9
print(f"evidence: c as computed by hand up to 1e-9; with o = 1 the memory is shown: h = {h:.4f} = tanh(0.8)")

# %% [markdown] lang="en"
# ## 2. Backward, by hand
#
# Backward is the forward step, read from below. It gets dh and dc: the gradients of the loss with respect to
# the two states after the step.
#
# | forward | backward |
# |---|---|
# | $h = o \cdot \tanh(c)$ | $do = dh \cdot \tanh(c)$ |
# | | $dc \mathrel{+}= dh \cdot o \cdot (1 - \tanh^2(c))$ |
# | $c = f \cdot c_{prev} + i \cdot g$ | $df = dc \cdot c_{prev}$ |
# | | $di = dc \cdot g$ |
# | | $dg = dc \cdot i$ |
# | | $dc_{prev} = dc \cdot f$ |
# | $i, f, o = \sigma(z_i), \sigma(z_f), \sigma(z_o)$ | $dz_i = di \cdot i (1 - i)$, so too f and o |
# | $g = \tanh(z_g)$ | $dz_g = dg \cdot (1 - g^2)$ |
# | $z = x W_x + h_{prev} W_h + b$ | $dx = dz \, W_x^T$ and $dW_x = x^T dz$ |
# | | $dh_{prev} = dz \, W_h^T$ and $dW_h = h_{prev}^T dz$ |
# | | $db$ = the sum of $dz$ over the batch |
#
# Look at the line $dc_{prev} = dc \cdot f$. From one cell state to the one before it there is **one factor,
# the forget gate**. No matrix, no derivative of an activation. With f = 1 the gradient goes back unchanged,
# as often as you like. The authors called this the *constant error carousel*.

# %% [markdown] lang="zh"
# ## 2. 手工推导反向传播
#
# 反向就是把前向的一步从下往上读。它得到 dh 和 dc：损失对这一步之后两个状态的梯度。
#
# | 前向 | 反向 |
# |---|---|
# | $h = o \cdot \tanh(c)$ | $do = dh \cdot \tanh(c)$ |
# | | $dc \mathrel{+}= dh \cdot o \cdot (1 - \tanh^2(c))$ |
# | $c = f \cdot c_{prev} + i \cdot g$ | $df = dc \cdot c_{prev}$ |
# | | $di = dc \cdot g$ |
# | | $dg = dc \cdot i$ |
# | | $dc_{prev} = dc \cdot f$ |
# | $i, f, o = \sigma(z_i), \sigma(z_f), \sigma(z_o)$ | $dz_i = di \cdot i (1 - i)$，f 和 o 同理 |
# | $g = \tanh(z_g)$ | $dz_g = dg \cdot (1 - g^2)$ |
# | $z = x W_x + h_{prev} W_h + b$ | $dx = dz \, W_x^T$，$dW_x = x^T dz$ |
# | | $dh_{prev} = dz \, W_h^T$，$dW_h = h_{prev}^T dz$ |
# | | $db$ = $dz$ 在批次上求和 |
#
# 看 $dc_{prev} = dc \cdot f$ 这一行。从一个细胞状态到前一个细胞状态，**只有一个因子，就是遗忘门**。没有矩阵，
# 没有激活函数的导数。当 f = 1 时，梯度原样往回走，走多少步都可以。作者把它叫作**恒定误差传送带**（constant error carousel）。


# %%
def step_backward(dh, dc, cache):
    x, h_prev, c_prev, Wx, Wh, i, f, o, g, tanh_c = cache
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
# Our own check of one step. The loss takes both outputs, h and c, each times random numbers.

# %% [markdown] lang="zh"
# 用我们自己的检查看一步。损失同时用到两个输出 h 和 c，各乘以随机数。


# %%
def numeric_gradient(f, x, h=1e-5):
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[index] = h
        gradient[index] = (f(x + step) - f(x - step)) / (2 * h)
    return gradient


rng = np.random.default_rng(0)
B, D, H = 2, 3, 4
shapes = {"x": (B, D), "h": (B, H), "c": (B, H), "Wx": (D, 4 * H), "Wh": (H, 4 * H), "b": (4 * H,)}
inputs = [rng.standard_normal(shape) for shape in shapes.values()]
R_h, R_c = rng.standard_normal((B, H)), rng.standard_normal((B, H))
_, _, cache = step_forward(*inputs)

errors = {}
for k, (name, mine) in enumerate(zip(shapes, step_backward(R_h, R_c, cache), strict=True)):

    def loss(value, k=k):
        h, c, _ = step_forward(*inputs[:k], value, *inputs[k + 1 :])
        return (R_h * h).sum() + (R_c * c).sum()

    measured = numeric_gradient(loss, inputs[k])
    assert mine.shape == inputs[k].shape
    errors[name] = np.abs(mine - measured).max() / np.abs(measured).max()

assert max(errors.values()) < 1e-8
print(f"evidence: largest relative error of d({', '.join(errors)}): {max(errors.values()):.0e} < 1e-8")

# %% [markdown] lang="en"
# ## 3. Through time
#
# Forward hands h and c from step to step. Backward runs from the last step to the first (*backpropagation
# through time*). Each step adds the gradient of its own output to what comes from later. The weights were
# used at every step, so their gradients are sums over the steps. At padded steps (mask False) both states
# are handed on, and so are their gradients.

# %% [markdown] lang="zh"
# ## 3. 沿时间展开
#
# 前向把 h 和 c 一步步传下去。反向从最后一步走到第一步（**随时间反向传播**）。每一步把自己输出的梯度加到后面传来的梯度上。
# 权重每一步都用到，所以它们的梯度是各步之和。在填充的步（mask 为 False）上两个状态原样传下去，它们的梯度也一样。


# %%
def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    T, B, _ = x.shape
    if mask is None:
        mask = np.ones((T, B), dtype=bool)
    h, c, hs, caches = h0, c0, [], []
    for t in range(T):
        real = mask[t][:, None]
        h_new, c_new, cache = step_forward(x[t], h, c, Wx, Wh, b)
        h = np.where(real, h_new, h)
        c = np.where(real, c_new, c)
        hs.append(h)
        caches.append((real, cache))
    return (np.stack(hs), h, c), caches


def lstm_backward(dout, caches):
    dhs, dh, dc = dout  # of all outputs, of the last h, of the last c; None stands for zero
    dh = 0 * caches[0][1][1] if dh is None else dh
    dc = 0 * caches[0][1][2] if dc is None else dc
    dxs, dweights = [], [0, 0, 0]
    for t in reversed(range(len(caches))):
        real, cache = caches[t]
        if dhs is not None:
            dh = dh + dhs[t]
        dx, dh_prev, dc_prev, *more = step_backward(np.where(real, dh, 0), np.where(real, dc, 0), cache)
        dh = np.where(real, dh_prev, dh)
        dc = np.where(real, dc_prev, dc)
        dxs.append(dx)
        dweights = [total + d for total, d in zip(dweights, more, strict=True)]
    return np.stack(dxs[::-1]), dh, dc, *dweights


# %%
report = gradcheck((lstm_forward, lstm_backward), kind="lstm")
print(report)

# %%
worst = max(block.error for block in report.blocks)
assert report.ok and worst < 1e-12
print(f"evidence: report.ok, and the largest relative error {worst:.0e} < 1e-12")

# %% [markdown] lang="en"
# ## 4. The code of the engine
#
# The same lines, with the mask inside and a faster way on a GPU:

# %% [markdown] lang="zh"
# ## 4. 引擎里的代码
#
# 同样的几行，掩码在里面处理，在 GPU 上有更快的写法：

# %% tags=["engine-source"]
print(inspect.getsource(functional.lstm_step.backward))

# %%
T = 6
shapes = (T, B, D), (B, H), (B, H), (D, 4 * H), (H, 4 * H), (4 * H,)
given = [rng.standard_normal(shape) for shape in shapes]
mask = np.ones((T, B), dtype=bool)
mask[4:, 1] = False
out, mine = lstm_forward(*given, mask)
out_engine, theirs = functional.lstm.forward(*given, mask)
dout = tuple(rng.standard_normal(part.shape) for part in out)
pairs = [*zip(out, out_engine), *zip(lstm_backward(dout, mine), functional.lstm.backward(dout, theirs))]
gap = max(np.abs(a - b).max() for a, b in pairs)
assert gap < 1e-12
print(f"evidence: 3 outputs and 6 gradients over {T} steps differ by {gap:.0e} < 1e-12 from the engine's")

# %% [markdown] lang="en"
# The cache of the engine has the same names: `gates` holds i, f, o and g of every step, `tanh_c` and `cs` the
# rest. So you can look into any cell at any step. Here is one unit of one sentence, with random weights. (In
# section 7 a trained model is opened in the same way, with a tool for it.)

# %% [markdown] lang="zh"
# 引擎的缓存用的是同样的名字：`gates` 里是每一步的 i、f、o、g，其余的在 `tanh_c` 和 `cs` 里。所以任何细胞、任何一步都可以打开来看。
# 下面是一个句子的一个单元，权重是随机的。（第 7 节用专门的工具，同样打开一个训练好的模型。）

# %%
print("step      i      f      o      g   c_prev      c")
for t in range(T):
    i, f, o, g = theirs.gates[t, :, 0, 0]
    c_prev, c = theirs.cs[t, 0, 0], theirs.cs[t + 1, 0, 0]
    print(f"{t:4d} {i:6.3f} {f:6.3f} {o:6.3f} {g:6.3f} {c_prev:8.3f} {c:6.3f}")
    assert abs(c - (f * c_prev + i * g)) < 1e-12
print("evidence: in every line c = f * c_prev + i * g up to 1e-12")

# %% [markdown] lang="en"
# ## 5. The carousel, measured
#
# A random gradient goes into the last of 100 steps. How long is the gradient of the state at each step on the
# way back? We take an LSTM with three biases of the forget gate, and the plain RNN of lesson 3,
# $h = \tanh(x W_x + h_{prev} W_h)$, with an orthogonal matrix: by itself this matrix neither stretches nor
# shrinks. The same inputs for all.
#
# For the LSTM we also compute what the carousel alone would leave: the gradient of c times all forget gates
# since, $dc_{t} = dc_{T} \cdot f_{T} \cdots f_{t+1}$.

# %% [markdown] lang="zh"
# ## 5. 测量传送带
#
# 把一个随机梯度送进 100 步中的最后一步。往回走的每一步上，状态的梯度有多长？我们取遗忘门偏置不同的三个 LSTM，
# 再加第 3 课的普通 RNN，$h = \tanh(x W_x + h_{prev} W_h)$，它的矩阵是正交的：矩阵本身既不拉长也不缩短。所有网络的输入相同。
#
# 对 LSTM 我们还计算只靠传送带会剩下多少：c 的梯度乘以此后所有的遗忘门，$dc_{t} = dc_{T} \cdot f_{T} \cdots f_{t+1}$。

# %%
T, B, D, H = 100, 4, 8, 32
xs, zero = rng.standard_normal((T, B, D)), np.zeros((B, H))
orthogonal = [np.linalg.qr(rng.standard_normal((H, H)))[0] for _ in range(4)]
Wx, Wh = rng.standard_normal((D, 4 * H)) / D**0.5, np.concatenate(orthogonal, axis=1)
start = rng.standard_normal((B, H))


def lengths_of_lstm(forget_bias):
    """The length of (dh, dc), and what the forget gates alone leave of dc, from the last step back."""
    b = np.zeros(4 * H)
    b[H : 2 * H] = forget_bias
    _, caches = lstm_forward(xs, zero, zero, Wx, Wh, b)
    dh, dc, alone = zero, start, start
    lengths, carried = [], []
    for _, cache in reversed(caches):
        lengths.append(np.sqrt((dh**2).sum() + (dc**2).sum()))
        carried.append(np.linalg.norm(alone))
        f = cache[6]
        alone = alone * f
        _, dh, dc, *_ = step_backward(dh, dc, cache)
    return np.array(lengths) / lengths[0], np.array(carried) / carried[0]


def lengths_of_rnn():
    h, states = zero, []
    for t in range(T):
        h = np.tanh(xs[t] @ Wx[:, :H] + h @ Wh[:, :H])
        states.append(h)
    dh, lengths = start, []
    for h in reversed(states):
        lengths.append(np.linalg.norm(dh))
        dh = (dh * (1 - h**2)) @ Wh[:, :H].T
    return np.array(lengths) / lengths[0]


whole, carried = {}, {}
for bias in (0, 1, 5):
    whole[bias], carried[bias] = lengths_of_lstm(bias)
plain = lengths_of_rnn()

figure, axes = plt.subplots(figsize=(7, 3.8), layout="constrained")
for bias, color in zip(whole, ("C0", "C1", "C2"), strict=True):
    axes.semilogy(whole[bias], color=color, label=f"LSTM, forget bias {bias}")
    axes.semilogy(carried[bias], ":", color=color)
axes.semilogy(plain, "--", color="C3", label="RNN")
axes.set_xlabel("steps back")
axes.set_ylabel("length of the gradient")
axes.legend(frameon=False)

assert whole[5][-1] > 0.1 and carried[5][-1] > 0.1
assert plain[-1] < 1e-6 and whole[0][-1] < 1e-6
print(
    f"evidence: left after 99 steps: RNN {plain[-1]:.0e}, LSTM with forget bias 0 {whole[0][-1]:.0e}, "
    f"both < 1e-6"
)
print(f"evidence: with forget bias 5 the forget gates alone leave {carried[5][-1]:.2f} > 0.1 of it")
print(
    f"evidence: with all other paths the gradient is {whole[5][-1]:.1f} times as long as at the start (> 0.1)"
)

# %% [markdown] lang="en"
# With a forget bias of 5 the gradient reaches the first step, and the dotted line of the same colour shows
# what the forget gates alone have carried.

# %% [markdown] lang="zh"
# 遗忘门偏置为 5 时梯度到达了第一步，同色的虚点线表明单靠遗忘门带到了多少。

# %% [markdown] lang="en"
# The full gradient is longer than the dotted part: the paths through h and the gates add to it, and with
# these random weights they make it grow. The carousel keeps a gradient alive; it does not keep it small.
# That is why training also cuts gradients that are too long (`clip_global_norm`).
#
# And it is not the LSTM as such that remembers. An LSTM whose forget gates stand at one half loses half of
# the gradient at each step, and after 100 steps it is no better than the RNN. How near to 1 must f be? For
# a constant f the share that is left after 100 steps is $f^{100}$:

# %% [markdown] lang="zh"
# 完整的梯度比虚点线的部分更长：经过 h 和各个门的路径也加了进来，在这些随机权重下它们使梯度变长。传送带让梯度存活，
# 但并不使它保持很小。所以训练时还要裁剪过长的梯度（`clip_global_norm`）。
#
# 另外，并不是 LSTM 本身在记忆。遗忘门停在二分之一的 LSTM，每一步失去一半的梯度，100 步之后并不比 RNN 好。f 要多接近 1？
# 若 f 恒定，100 步之后剩下的份额是 $f^{100}$：

# %%
for bias in (0, 1, 2, 5, 7):
    f = sigmoid(bias)
    half = np.log(0.5) / np.log(f)
    print(f"bias {bias}: f = {f:.4f}, after 100 steps {f**100:.1e}, one half after {half:.0f} steps")
assert sigmoid(1) ** 100 < 1e-10 and sigmoid(5) ** 100 > 0.5
print("evidence: a bias of 1 leaves less than 1e-10 after 100 steps, a bias of 5 more than one half")

# %% [markdown] lang="en"
# ## 6. Does it learn?
#
# A gradient that arrives is good for something only if the network learns from it. The test is as old as
# the LSTM: the first input is one of four symbols, then come 99 steps of noise, then the network has to
# name the symbol. We train the layers of the engine: a plain RNN, an LSTM with the usual forget bias of 1,
# and one with a forget bias of 5. Guessing costs $\ln 4 = 1.39$.

# %% [markdown] lang="zh"
# ## 6. 它学得会吗？
#
# 梯度到得了，还要网络真能由此学会才有用。这个测试和 LSTM 一样老：第一个输入是四个符号之一，然后是 99 步噪声，
# 最后网络要说出那个符号。我们训练引擎里的层：一个普通 RNN，一个遗忘门偏置为通常的 1 的 LSTM，一个偏置为 5 的 LSTM。
# 瞎猜的损失是 $\ln 4 = 1.39$。

# %%
SYMBOLS, SIZE = 4, 32


def draw(rng, B=32):
    """Inputs (100, B, 5) and the symbols (B,) to remember."""
    x = np.zeros((T, B, SYMBOLS + 1), dtype=np.float32)
    symbols = rng.integers(SYMBOLS, size=B)
    x[0, np.arange(B), symbols] = 1
    x[1:, :, SYMBOLS] = rng.standard_normal((T - 1, B))
    return x, symbols


def learn(layer, steps=120):
    """Train a recurrent layer to name the symbol from its last state; returns the losses and the readout."""
    rng = np.random.default_rng(0)
    readout = Linear(SIZE, SYMBOLS, rng=rng)
    parameters = {f"layer.{name}": weight for name, weight in layer.parameters().items()}
    parameters |= {f"readout.{name}": weight for name, weight in readout.parameters().items()}
    optimizer = Adam(parameters, lr=5e-3)
    losses = []
    for _ in range(steps):
        x, symbols = draw(rng)
        layer.zero_grad()
        readout.zero_grad()
        (_, state), cache = layer.forward(x)
        h_last = state[0]  # (B, H); the state of the RNN is (h,), that of the LSTM (h, c)
        logits, readout_cache = readout.forward(h_last[None])  # one time step: (1, B, 4)
        loss, loss_cache = functional.cross_entropy.forward(logits, symbols[None])
        dh = readout.backward(functional.cross_entropy.backward(1.0, loss_cache), readout_cache)
        dstate = (dh[0], *(None for _ in state[1:]))  # c itself is not read: None stands for zero
        layer.backward((None, dstate), cache)  # nor are the outputs of the other steps
        clip_global_norm(parameters, 1.0)
        optimizer.step()
        losses.append(float(loss))
    return losses, readout


layers = {
    "RNN": RNN(SYMBOLS + 1, SIZE, rng=np.random.default_rng(0)),
    "LSTM, forget bias 1": LSTM(SYMBOLS + 1, SIZE, rng=np.random.default_rng(0)),
    "LSTM, forget bias 5": LSTM(SYMBOLS + 1, SIZE, rng=np.random.default_rng(0)),
}
layers["LSTM, forget bias 5"].b.data[SIZE : 2 * SIZE] = 5
learned = {name: learn(layer) for name, layer in layers.items()}

# %%
remembering = layers["LSTM, forget bias 5"]
x, symbols = draw(np.random.default_rng(7), B=400)
(_, state), cache = remembering.forward(x)
named = learned["LSTM, forget bias 5"][1].forward(state[0])[0].argmax(axis=-1)
cells = cache.cs[1:]  # (T, B, H)
means = np.stack([cells[:, symbols == s].mean(axis=1) for s in range(SYMBOLS)], axis=1)  # (T, 4, H)
unit = means[-1].std(axis=0).argmax()  # whose cell state tells the symbols apart best

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for (name, (losses, _)), style in zip(learned.items(), ("--", "-.", "-"), strict=True):
    left.plot(np.arange(3, 120, 6), np.reshape(losses, (-1, 6)).mean(axis=1), style, label=name)
left.set_xlabel("training step")
left.set_ylabel("loss (nats)")
left.legend(frameon=False)
for s in range(SYMBOLS):
    right.plot(means[:, s, unit], label=f"symbol {s}")
right.set_xlabel("time step")
right.set_ylabel(f"mean cell state of unit {unit}")
right.legend(frameon=False, fontsize=7)

final = {name: np.mean(losses[-30:]) for name, (losses, _) in learned.items()}
right_share = np.mean(named == symbols)
assert final["LSTM, forget bias 5"] < 0.1 and right_share > 0.95
assert final["RNN"] > 1.2 and final["LSTM, forget bias 1"] > 1.2
print("evidence: loss at the end: " + ", ".join(f"{name} {value:.2f}" for name, value in final.items()))
print(f"evidence: the last one names {right_share:.0%} > 95 % of 400 new symbols after 99 steps of noise")

# %% [markdown] lang="en"
# Only the LSTM with open forget gates learns, and the mean of one of its cell states is another one for each
# symbol even after 100 steps.

# %% [markdown] lang="zh"
# 只有遗忘门打开的 LSTM 学会了，它的一个细胞状态的平均值在 100 步之后对每个符号仍然各不相同。

# %% [markdown] lang="en"
# One might expect the cell to sit still. It does not: it drifts, in another way for each symbol. Training
# found a way of its own to remember, and the gradient had to survive for that.
#
# One training is one case. We have done it with 12 seeds. In these 120 steps the LSTM with a bias
# of 5 learned the task every time. The one with a bias of 1 learned it twice, and the RNN named at best about
# half of the symbols. With more steps each of them gets there sometimes. So the gates do not decide what is
# possible: they decide what is easy.
#
# This is why the forget bias of a new LSTM starts above zero. In the first paper there was no forget gate at
# all: f was always 1. Gers and others added it in 2000, since a memory that can never forget fills up. A bias
# of 1 is the usual compromise (Jozefowicz and others 2015), and the engine starts with it. For memories of a
# hundred steps it is too small.

# %% [markdown] lang="zh"
# 细胞并不像人们预想的那样静止不动：它在漂移，每个符号漂移的方式不同。训练找到了自己的记忆方式，而前提是梯度能存活下来。
#
# 一次训练只是一个例子。我们用 12 个随机种子各做了一次。在这 120 步里，偏置为 5 的 LSTM 每次都学会了；偏置为 1 的
# 学会了两次；RNN 最好也只能说对大约一半的符号。步数再多一些，它们有时也能学会。所以门决定的不是什么做得到，
# 而是什么容易做到。
#
# 这就是新建 LSTM 的遗忘门偏置从大于零开始的原因。第一篇论文里根本没有遗忘门：f 恒为 1。2000 年 Gers 等加上了它，
# 因为永远不能遗忘的记忆会塞满。偏置 1 是通常的折中（Jozefowicz 等 2015），引擎也从它开始。对一百步长的记忆来说，它太小了。

# %%
fresh = LSTM(3, 2, rng=np.random.default_rng(0))
assert np.array_equal(fresh.b.data, [0, 0, 1, 1, 0, 0, 0, 0])
print(
    f"evidence: the bias of a new LSTM is exactly {fresh.b.data.astype(int).tolist()}, "
    f"in the order i, f, o, g"
)

# %% [markdown] lang="en"
# ## 7. One training step, opened
#
# So far the weights were random or the layer stood alone. Now a whole model, trained: an encoder and a
# decoder, each an LSTM of 16 units, without attention. The task: write a word of 3 to 5 letters backwards.
# All that the decoder learns of the word are the two states, h and c, that the encoder ends with. The first
# letter read is the last one written; in a word of five letters, ten steps later.

# %% [markdown] lang="zh"
# ## 7. 打开一个训练步
#
# 到现在为止，要么权重是随机的，要么只有单独一层。现在来看一个训练好的完整模型：编码器和解码器各是一个 16 个单元的 LSTM，
# 没有注意力。任务：把 3 到 5 个字母的词倒着写出来。解码器对这个词的全部了解，就是编码器结束时的两个状态 h 和 c。
# 最先读到的字母最后才写出；五个字母的词里，中间隔着十步。

# %%
def up_to_five(pairs):
    return [pair for pair in pairs if len(pair.source) <= 5]


task = load_task("reverse", size=16000)
words, new_words = up_to_five(task.train), up_to_five(task.test)
config = ModelConfig(cell="lstm", embed=16, hidden=16, bidirectional=False, attention="none")
translator = Translator.for_pairs(words, config, dtype=np.float64, seed=0)
model = translator.model
examples = encode_pairs(words, translator.source, translator.target, all_targets=False)
optimizer, rng = Adam(model.parameters(), lr=0.02, betas=(0.9, 0.99)), np.random.default_rng(0)
waiting = []
for n in range(700):
    waiting = waiting or make_batches(examples, batch_sentences=32, rng=rng)
    model.zero_grad()
    nats, cache = model.loss(make_batch(examples, waiting.pop()))
    model.backward(1.0, cache)
    clip_global_norm(model.parameters(), 1.0)
    optimizer.lr = 0.02 * (1 - n / 700)
    optimizer.step()

written = translator.translate([pair.source for pair in new_words])
right = [best.text == pair.targets[0] for pair, (best,) in zip(new_words, written, strict=True)]
assert np.mean(right) > 0.5
print(f"evidence: {np.mean(right):.0%} > 50 % of {len(right)} new words are written without a fault")

# %% [markdown] lang="en"
# ### The tape
#
# `minis2s.trace` records one step of this model: a batch of 16 new words of five letters. The model computes
# as always. Afterwards the tape knows **every array of the step by name**: those of section 1 under
# `forward`, those of section 2 under `backward`, for each layer. Time comes first, then the sentence:
# (6, 16, 16) is six steps (five letters and the end of the sentence, EOS), 16 words, 16 units. `print(tape)`
# lists them all.

# %% [markdown] lang="zh"
# ### 磁带
#
# `minis2s.trace` 记录这个模型的一步：一批 16 个新词，每个五个字母。模型照常计算。之后磁带（tape）就能**按名字给出这一步的每个数组**：
# 每一层里，第 1 节的在 `forward` 下，第 2 节的在 `backward` 下。时间在前，然后是句子：(6, 16, 16) 是六步（五个字母和句子结束符
# EOS）、16 个词、16 个单元。`print(tape)` 列出全部。

# %%
five = [pair for pair in new_words if len(pair.source) == 5][:16]
batch = make_batch(encode_pairs(five, translator.source, translator.target, all_targets=False))
model.zero_grad()
with minis2s.trace(model) as tape:
    nats, cache = model.loss(batch)
    model.backward(1.0, cache)

cells = tape["encoder.0/forward"]  # all arrays whose names begin so
f, c_prev, i, g, c, o, h = (cells[name] for name in ("f", "c_prev", "i", "g", "c", "o", "h"))
dc, dc_prev = tape["encoder.0/backward/dc"], tape["encoder.0/backward/dc_prev"]
print(f"f {f.shape}, c {c.shape}, dc {dc.shape}; the layers: {', '.join(tape.layers)}")
print("read by the encoder   mean of i      f      o")
for t, letter in enumerate([*five[0].source, "EOS"]):
    print(f"{letter:24}     {i[t].mean():6.3f} {f[t].mean():6.3f} {o[t].mean():6.3f}")
gaps = [np.abs(tape.gradients[name] - weight.grad).max() for name, weight in model.parameters().items()]
assert np.abs(c - (f * c_prev + i * g)).max() < 1e-12 and np.abs(h - o * np.tanh(c)).max() < 1e-12
assert np.abs(dc_prev - dc * f).max() < 1e-12 and abs(tape.loss - nats) < 1e-12 and max(gaps) < 1e-12
print("evidence: on the tape c = f * c_prev + i * g, h = o * tanh(c), dc_prev = dc * f, up to 1e-12")
print(f"evidence: its loss and all {len(gaps)} gradients are those of the model, up to 1e-12")

# %% [markdown] lang="en"
# ### How much came through the carry?
#
# The gradient of a cell state is a sum. One part comes from the next step through the forget gate, the
# *carry*. The other goes through h of the same step, and so through o and the matrix $W_h$. The tape has
# both parts. To say how much of the whole a part is, we project it:
#
# $$\mathrm{share} = \frac{\sum \mathrm{part} \cdot dc}{\sum dc \cdot dc}$$
#
# The shares of all parts sum to 1. (One of them may be negative, and another above 1, where two parts pull
# against each other.) The last column asks more: of what arrives here, how much came from the end of the
# encoder **through forget gates alone**?

# %% [markdown] lang="zh"
# ### 有多少是经由传送通路来的？
#
# 细胞状态的梯度是一个和。一部分从下一步经过遗忘门传来，即*传送通路*（carry）。另一部分经过同一步的 h，也就经过 o 和矩阵 $W_h$。
# 两部分磁带都有。要说一部分占总体的多少，我们把它投影：
#
# $$\mathrm{share} = \frac{\sum \mathrm{part} \cdot dc}{\sum dc \cdot dc}$$
#
# （share 是份额，part 是其中一部分。）所有部分的份额之和为 1。（两部分方向相反时，一个可能为负，另一个大于 1。）
# 最后一列问得更多：到达这里的梯度中，有多少是从编码器末端**只经过遗忘门**来的？

# %%
def share(part, whole):
    return (part * whole).sum() / (whole * whole).sum()


parts = tape["encoder.0/parts/c"]  # by edge, (6, 16, 16)
assert np.abs(sum(parts.values()) - dc).max() < 1e-12
alone = dc[5]  # what the forget gates will carry from here
print("t   carry   own h   forget gates alone, from t = 5")
for t in reversed(range(5)):
    alone = alone * f[t + 1]
    carry, own_h, gates_alone = (share(part, dc[t]) for part in (parts["carry"][t], parts["own h"][t], alone))
    print(f"{t}  {carry:6.2f}  {own_h:6.2f}  {gates_alone:6.2f}")
    assert carry > 0.7 and abs(carry + own_h - 1) < 1e-12
assert gates_alone > 0.4
print("evidence: the parts sum to dc up to 1e-12; at each of these states the carry brings more than 70 %")
print(f"evidence: from end to start of the encoder, forget gates alone bring {gates_alone:.0%} > 40 %")

# %% [markdown] lang="en"
# Now the longest way. `tape.bptt(row)` itemises further: for one sentence, the gradient of every state **by
# the loss term it comes from**. We take the loss of the last letter written (step 4) and follow it back to
# the cell state after the first letter read: four steps through the decoder, one over to the encoder, five
# through the encoder.

# %% [markdown] lang="zh"
# 现在看最长的路。`tape.bptt(row)` 分得更细：对一个句子，给出每个状态的梯度**来自哪一个损失项**。
# 我们取最后写出的字母的损失（第 4 步），沿着它往回走，直到读完第一个字母后的细胞状态：
# 在解码器里走四步，跨到编码器一步，在编码器里走五步。

# %%
f_decoder = tape["decoder.0/forward/f"]
ways, carried = [], []  # per word and step back: the length of dc, and the share of the forget gates alone
for row in range(len(five)):
    paths = tape.bptt(row)
    # total(layer, state)[t, s]: the gradient of the state after step t, from the loss of step s
    d_states = [paths.total("decoder.0", "c")[t, 4] for t in (4, 3, 2, 1, 0)]
    d_states += [paths.total("encoder.0", "c")[t, 4] for t in (5, 4, 3, 2, 1, 0)]
    passed = [f_decoder[t, row] for t in (4, 3, 2, 1, 0)] + [f[t, row] for t in (5, 4, 3, 2, 1)]
    alone = d_states[0] * np.cumprod([np.ones(16), *passed], axis=0)
    ways.append([np.linalg.norm(d) / np.linalg.norm(d_states[0]) for d in d_states])
    carried.append([share(part, whole) for part, whole in zip(alone, d_states, strict=True)])
    all_terms = paths.total("encoder.0", "c").sum(axis=1)  # (6, 16)
    assert np.abs(all_terms - dc[:, row]).max() < 1e-12

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
left.semilogy(np.transpose(ways), color="0.75", linewidth=0.8)
left.semilogy(np.exp(np.log(ways).mean(axis=0)), "o-", color="C0")
left.set_ylim(0.01, 100)
left.set_ylabel("length of dc, as a share of the first")
right.plot(np.transpose(carried), color="0.75", linewidth=0.8)
right.plot(np.mean(carried, axis=0), "s--", color="C1")
right.set_ylim(0, 1.1)
right.set_ylabel("share of the forget gates alone")
for axes in (left, right):
    axes.set_xlabel("steps back from the loss of the last letter")

lengths, shares = np.array(ways), np.array(carried)[:, -1]  # (16, 11), (16,)
ends = lengths[:, -1]
assert 0.2 < lengths.min() and lengths.max() < 20 and 0.1 < shares.mean() < 0.5
print("evidence: summed over the loss terms it is dc of the tape, up to 1e-12")
print(f"evidence: the length of dc is {lengths.min():.1f} to {lengths.max():.1f} times the first (0.2 to 20)")
print(f"  after ten steps {ends.min():.1f} to {ends.max():.1f} times")
print(f"evidence: of it {shares.mean():.0%} (10 to 50 %) has met nothing but forget gates on its way")

# %% [markdown] lang="en"
# At all ten steps the gradient is between a fifth and twenty times as long as at first (left), while
# the mean share that has gone through forget gates alone falls below one half (right).

# %% [markdown] lang="zh"
# 往回的十步里，梯度的长度始终在最初的五分之一到二十倍之间（左），而只经过遗忘门的份额的平均值降到一半以下（右）。

# %% [markdown] lang="en"
# ### Does it need the carry?
#
# A gradient says what a *small* change does. A large one must be tried: `tape.what_if` takes the same step
# once more with something changed. We cut the carry in the encoder, $c_{prev} = 0$ in
# $c = f \cdot c_{prev} + i \cdot g$, and then, in its place, the recurrent path, $h_{prev} = 0$ in z. **Guess
# first**: which letters are lost in each case? Guessing among 26 letters costs $\ln 26 = 3.26$ nats.

# %% [markdown] lang="zh"
# ### 它需要这条通路吗？
#
# 梯度说的是*微小*的改变有什么后果。大的改变必须试：`tape.what_if` 把同一步再走一遍，但改动一处。我们先在编码器里切断传送通路
# （$c = f \cdot c_{prev} + i \cdot g$ 中令 $c_{prev} = 0$），再换成切断循环通路（z 中令 $h_{prev} = 0$）。
# **先猜**：两种情况下各会丢掉哪些字母？在 26 个字母里瞎猜的损失是 $\ln 26 = 3.26$ 纳特（nat）。

# %%
uncut = tape.losses.mean(axis=1)
cuts = [tape.what_if(Cut(path, layer="encoder.0")) for path in ("carry", "recurrent")]
no_carry, no_h = (cut.losses.mean(axis=1) for cut in cuts)
print("letter    as it is   no carry   no recurrence   (nats, mean of 16 words)")
for t in range(5):
    print(f"written {t}   {uncut[t]:7.2f} {no_carry[t]:10.2f} {no_h[t]:15.2f}")
assert uncut[:5].mean() < 1.2 and (no_carry[1:5] > 3.26).all() and (no_h[3:5] > 3.26).all()
assert no_carry[0] < no_carry[4] and no_h[0] < no_carry[0]
print("evidence: without the carry, letters 1 to 4 are worse than a guess; the last letter read suffers less")
print("evidence: without h in the gates, letters 3 and 4 are worse than a guess, and letter 0 suffers less")

# %% [markdown] lang="en"
# Cut the carry, and the word is lost, the letter read last the least: the carry is the memory. But the other
# cut is no small thing either: those read first, which are written last, are lost. One reading of it is that
# the gates look at h in order to know where to put the next letter, and without it the letters overwrite each
# other. (A guess, which nothing here proves.) What is measured: almost all of the gradient comes along the
# carry, and still the model cannot do without the other path.
#
# ### Step through it yourself
#
# The next cell shows the whole step, in a notebook: every cell with its equations and the numbers in them,
# forward and then backward. The arrow keys go from step to step. Follow the forget gate of one unit through
# the word, then its dc on the way back. Beside that stand the gradients by loss term and path, and what-ifs.
# (`tape.save_html("step.html")` writes the same page as a file.)

# %% [markdown] lang="zh"
# 切断传送通路，整个词就丢了，最后读到的字母受损最轻：这条通路就是记忆。但另一刀也不是小事：最先读到、最后写出的字母丢了。
# 一种解释是，这些门要看 h 才知道下一个字母该放在哪里，没有它，字母就互相覆盖。（这只是猜想，这里没有证明。）
# 测到的是：几乎全部梯度都沿传送通路而来，可模型仍然离不开另一条路。
#
# ### 自己一步步走一遍
#
# 在笔记本里，下一个单元展示整个训练步：每个细胞连同它的公式和其中的数，先前向，再反向。用方向键一步步地走。
# 跟着一个单元的遗忘门走过整个词，再跟着它的 dc 走回来。旁边还有按损失项和路径分开的梯度，以及各种假设改动。
# （`tape.save_html("step.html")` 把同一个页面写成文件。）

# %%
texts = {"source": translator.source, "target": translator.target}
shown = tape.page(0, **texts)["layers"][0]["steps"]
on_page = np.array([[moment["forward"]["c"], moment["backward"]["dc"]] for moment in shown])
assert np.allclose(on_page, np.stack([c[:, 0], dc[:, 0]], axis=1), rtol=1e-5, atol=0)
print("evidence: the page shows the c and dc of the tape, to a relative 1e-5")
tape.show(0, **texts, title=f"The LSTM from inside: {five[0].source}")

# %% [markdown] lang="en"
# ## 8. Exercises
#
# The checking cells stay red until the exercise is solved. Hints are folded.

# %% [markdown] lang="zh"
# ## 8. 练习
#
# 检查单元在练习解出之前一直是红色的。提示是折叠的。


# %% [markdown] lang="en"
# ### Exercise 1: a latch, by hand
#
# Set the weights of an LSTM with D = 2 and H = 1 so that it is a latch. The input is a pair: a *set* signal
# (0 or 1) and a value (-1 or 1). At a step with set = 1 the cell takes the value over, and h becomes its
# sign times 0.7 or more. At all other steps h stays, whatever the value says, for 50 steps.
#
# <details><summary><b>Hint</b></summary>
#
# h must not matter, so Wh is zero. i is open when set is 1, f when set is 0, o always. A sum like 40 * set
# - 20 opens and closes a gate. The candidate g is the value, made large.
#
# </details>

# %% [markdown] lang="zh"
# ### 练习 1：手工做一个锁存器
#
# 给 D = 2、H = 1 的 LSTM 设定权重，使它成为一个锁存器。输入是一对数：置位信号 set（0 或 1）和一个值（-1 或 1）。
# 在 set = 1 的那一步，细胞取走这个值，h 变成它的符号乘以至少 0.7。在其他所有步上，不管值是多少，h 都不变，保持 50 步。
#
# <details><summary><b>提示</b></summary>
#
# h 不应起作用，所以 Wh 为零。set 为 1 时打开 i，set 为 0 时打开 f，o 一直打开。像 40 * set - 20 这样的和可以开关一个门。
# 候选值 g 就是放大了的值。
#
# </details>


# %%
def latch():
    """Returns Wx (2, 4), Wh (1, 4), b (4,); the columns are i, f, o, g."""
    raise NotImplementedError("fill in latch: return Wx, Wh, b")


# %% tags=["raises-exception"]
with exercise("Exercise 1, a latch"):
    some = np.random.default_rng(3)
    values = some.choice([-1.0, 1.0], size=(100, 8))
    signal = np.zeros((100, 8))
    signal[[0, 50]] = 1
    (hs, _, _), _ = lstm_forward(
        np.stack([signal, values], axis=2), np.zeros((8, 1)), np.zeros((8, 1)), *latch()
    )
    wanted = np.repeat(values[[0, 50]], 50, axis=0)
    assert (hs[..., 0] * wanted >= 0.7).all(), "h is not the last value that was set"
    assert np.abs(np.diff(hs[:50, :, 0], axis=0)).max() < 1e-3, "h does not stay"

# %% [markdown] lang="en"
# ### Exercise 2: find the bug
#
# The next cell is folded, please leave it so. It changes one line of `step_backward`, and prints the
# relative error of the gradient of the bias, gate by gate. Write your guess as `{"old line": "new line"}`.
#
# <details><summary><b>Hint</b></summary>
#
# The carousel itself still turns: $dc_{prev}$ is right. Only **one** gate is wrong. Two lines make its dz.
# The derivative of a sigmoid has two factors. Where the gate is near 1, the loss of one of them hardly shows,
# and the loss of the other one shows very much.
#
# </details>

# %% [markdown] lang="zh"
# ### 练习 2：找出错误
#
# 下一个单元是折叠的，请不要展开。它改动了 `step_backward` 的一行，然后按门打印偏置梯度的相对误差。
# 把你的猜测写成 `{"old line": "new line"}`。
#
# <details><summary><b>提示</b></summary>
#
# 传送带本身还在转：$dc_{prev}$ 是对的。只有**一个**门错了，它的 dz 由两行算出。sigmoid 的导数有两个因子，在门接近 1 的地方，
# 缺了其中一个几乎看不出来，缺了另一个则差别很大。
#
# </details>

# %%
def broken(changes):
    """The backward pass of a step with some lines replaced: changes is {old: new}."""
    return with_changes(changes, step_backward)


def block_errors(backward):
    """The relative error of each gate's block of db, over one step."""
    pairs = zip(
        np.split(backward(R_h, R_c, step_cache)[5], 4), np.split(step_backward(R_h, R_c, step_cache)[5], 4)
    )
    return {gate: round(np.abs(a - b).max() / np.abs(b).max(), 2) for gate, (a, b) in zip("ifog", pairs)}


step_cache = step_forward(*inputs)[2]

# %% jupyter={"source_hidden": true} tags=["hide-input"]
hidden = broken({"dz_f = df * f * (1 - f)": "dz_f = df * f"})
print("relative error of db, by gate:", {gate: float(e) for gate, e in block_errors(hidden).items()})

# %%
my_guess = {"old line": "new line"}

# %% tags=["raises-exception"]
with exercise("Exercise 2, find the bug"):
    assert my_guess != {"old line": "new line"}, "write your guess into my_guess"
    pairs = zip(broken(my_guess)(R_h, R_c, step_cache), hidden(R_h, R_c, step_cache), strict=True)
    for name, (yours, theirs) in zip(("dx", "dh_prev", "dc_prev", "dWx", "dWh", "db"), pairs, strict=True):
        assert np.allclose(yours, theirs, rtol=1e-10, atol=1e-12), f"your change gives another {name}"

# %% [markdown] lang="en"
# ### Exercise 3: peepholes
#
# Gers and Schmidhuber (2000) let the gates look at the cell state, each through a weight of its own, p (3,
# H):
#
# $$i = \sigma(z_i + p_i \cdot c_{prev}) \qquad f = \sigma(z_f + p_f \cdot c_{prev})$$
#
# $$o = \sigma(z_o + p_o \cdot c)$$
#
# The output gate looks at the new c. Write what follows z, forward and backward: from z (B, 4H), c_prev (B,
# H) and p (3, H) to h, and from dh to dz, dc_prev, dp. The rows of p are those of i, f, o. To keep it short
# only h goes out, so that there is a dh and no dc from later steps.
#
# <details><summary><b>Hint</b></summary>
#
# c now reaches h in two ways: through tanh(c), and through o. So add $dz_o \cdot p_o$ to dc before you go
# on. In the end $dc_{prev}$ has three parts: f, and the two peepholes of i and f.
#
# </details>

# %% [markdown] lang="zh"
# ### 练习 3：窥视孔
#
# Gers 和 Schmidhuber（2000）让门看到细胞状态，各自带一个权重 p (3, H)：
#
# $$i = \sigma(z_i + p_i \cdot c_{prev}) \qquad f = \sigma(z_f + p_f \cdot c_{prev})$$
#
# $$o = \sigma(z_o + p_o \cdot c)$$
#
# 输出门看的是新的 c。写出 z 之后的部分，前向与反向：由 z (B, 4H)、c_prev (B, H)、p (3, H) 到 h，再由 dh 到 dz、dc_prev、dp。
# p 的三行依次属于 i、f、o。为了简短，只有 h 输出，所以有 dh，没有来自后面各步的 dc。
#
# <details><summary><b>提示</b></summary>
#
# c 现在有两条路到达 h：经过 tanh(c)，也经过 o。所以先把 $dz_o \cdot p_o$ 加到 dc 上再继续。最后 $dc_{prev}$ 有三部分：
# f，以及 i 和 f 的两个窥视孔。
#
# </details>


# %%
def peephole_forward(z, c_prev, p):
    raise NotImplementedError("fill in peephole_forward: return h, cache")


def peephole_backward(dh, cache):
    raise NotImplementedError("fill in peephole_backward: return dz, dc_prev, dp")


# %% tags=["raises-exception"]
with exercise("Exercise 3, peepholes"):
    some = np.random.default_rng(4)
    z_, c_, p_ = some.standard_normal((3, 8)), some.standard_normal((3, 2)), some.standard_normal((3, 2))
    i_, f_ = sigmoid(z_[:, 0:2] + p_[0] * c_), sigmoid(z_[:, 2:4] + p_[1] * c_)
    new_ = f_ * c_ + i_ * np.tanh(z_[:, 6:8])
    h_ = sigmoid(z_[:, 4:6] + p_[2] * new_) * np.tanh(new_)
    assert np.allclose(peephole_forward(z_, c_, p_)[0], h_), "forward differs from the equations"
    report = gradcheck((peephole_forward, peephole_backward), z_, c_, p_)
    assert report.ok, what_is_wrong(report)

# %% [markdown] lang="en"
# ## 9. What to read next
#
# * S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9, 1997: the carousel, and
#   the tasks with long delays.
# * F. Gers, J. Schmidhuber and F. Cummins, "Learning to forget: continual prediction with LSTM", Neural
#   Computation 12, 2000: the forget gate.
# * F. Gers and J. Schmidhuber, "Recurrent nets that time and count", IJCNN 2000: peepholes.
# * R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training recurrent neural networks", ICML
#   2013: gradients that vanish and explode, and clipping.
# * R. Jozefowicz, W. Zaremba and I. Sutskever, "An empirical exploration of recurrent network architectures",
#   ICML 2015: the bias of the forget gate.
#
# And the code: `minis2s/functional/lstm.py` has the step and the whole sequence, `minis2s/nn/recurrent.py`
# the layer. The next lesson asks what can be left out: the GRU.

# %% [markdown] lang="zh"
# ## 9. 接下来读什么
#
# * S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9, 1997：传送带，以及长延迟的任务。
# * F. Gers, J. Schmidhuber and F. Cummins, "Learning to forget: continual prediction with LSTM", Neural
#   Computation 12, 2000：遗忘门。
# * F. Gers and J. Schmidhuber, "Recurrent nets that time and count", IJCNN 2000：窥视孔。
# * R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training recurrent neural networks", ICML
#   2013：梯度的消失与爆炸，以及梯度裁剪。
# * R. Jozefowicz, W. Zaremba and I. Sutskever, "An empirical exploration of recurrent network architectures",
#   ICML 2015：遗忘门的偏置。
#
# 还有代码：`minis2s/functional/lstm.py` 是单步和整个序列，`minis2s/nn/recurrent.py` 是层。下一课问的是还能省掉什么：GRU。
