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
# # Recurrence, and backpropagation through time
#
# A recurrent network reads a sequence with one and the same set of weights, applied again and again. Fifty
# steps are fifty uses of one matrix.
#
# **How does a derivative go through fifty uses of one matrix? Why does it vanish or explode on the way, and
# can you say beforehand which?**
#
# You need the linear layer of lesson 2 (`02_linear_and_embedding.py`) and the gradient check of lesson 1
# (`01_softmax.py`). About an hour and a half is enough.

# %% [markdown] lang="zh"
# # 循环，以及随时间反向传播
#
# 循环网络用同一组权重一遍又一遍地读一个序列。五十步就是把一个矩阵用五十次。
#
# **导数怎样穿过同一个矩阵的五十次使用？它为什么会在途中消失或爆炸？能不能事先说出是哪一种？**
#
# 需要第 2 课的线性层（`02_linear_and_embedding.py`）和第 1 课的梯度检查（`01_softmax.py`）。
# 大约一个半小时。

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np

from minis2s import Parameter, clip_global_norm, functional, gradcheck
from minis2s.lessons import exercise, what_is_wrong, with_changes
from minis2s.nn.init import orthogonal

# %% [markdown] lang="en"
# ## 1. The recurrence
#
# The network keeps a vector h, the *hidden state*. It is all that the network knows of what it has read. At
# each step it is made anew from the input x and from its own old value:
#
# $$z = x W_x + h_{prev} W_h + b \qquad\qquad h = \tanh(z)$$
#
# Fix the point of view and keep it: we are at step t, `h_prev` is the state before the step, `h` is the state
# after it.
#
# | name | shape | |
# |---|---|---|
# | x | (B, D) | the input of this step; all steps together (T, B, D) |
# | h_prev, h, z | (B, H) | hidden states |
# | Wx, Wh, b | (D, H), (H, H), (H,) | the same at every step |
# | hs | (T, B, H) | the states after each step |

# %% [markdown] lang="zh"
# ## 1. 循环
#
# 网络保存一个向量 h，即*隐状态*。它读过的一切，只记在这里。
# 每一步都由输入 x 和它自己的旧值重新算出：
#
# $$z = x W_x + h_{prev} W_h + b \qquad\qquad h = \tanh(z)$$
#
# 先定好视角，然后不再改变：我们在第 t 步，`h_prev` 是这一步之前的状态，`h` 是这一步之后的状态。
#
# | 名称 | 形状 | |
# |---|---|---|
# | x | (B, D) | 这一步的输入；所有步合起来是 (T, B, D) |
# | h_prev, h, z | (B, H) | 隐状态 |
# | Wx, Wh, b | (D, H), (H, H), (H,) | 每一步都相同 |
# | hs | (T, B, H) | 每一步之后的状态 |

# %%
def step_forward(x, h_prev, Wx, Wh, b):
    z = x @ Wx + h_prev @ Wh + b
    h = np.tanh(z)
    return h, (x, h_prev, h, Wx, Wh)


def rnn_forward(x, h0, Wx, Wh, b):
    h = h0
    hs, caches = [], []
    for t in range(len(x)):
        h, cache = step_forward(x[t], h, Wx, Wh, b)
        hs.append(h)
        caches.append(cache)
    return (np.stack(hs), h), caches


rng = np.random.default_rng(0)
T, B, D, H = 5, 3, 4, 2
x, h0 = rng.standard_normal((T, B, D)), rng.standard_normal((B, H))
Wx, Wh, b = 0.7 * rng.standard_normal((D, H)), 0.7 * rng.standard_normal((H, H)), 0.7 * rng.standard_normal(H)
(hs, h_last), caches = rnn_forward(x, h0, Wx, Wh, b)

changed = x.copy()
changed[2] += 1
moved = np.abs(rnn_forward(changed, h0, Wx, Wh, b)[0][0] - hs).max(axis=(1, 2))
assert hs.shape == (T, B, H) and (moved[:2] == 0).all() and (moved[2:] > 1e-4).all()
print("change of h at each step:", moved.round(4))
print("evidence: input 2 moves the states 2, 3, 4 by more than 1e-4, and those before it not at all")

# %% [markdown] lang="en"
# ## 2. Backward, by hand
#
# ### One number, three steps
#
# Begin as small as possible: all sizes are 1, and there is no tanh. Let $h_t = w h_{t-1} + x_t$ for three
# steps, and let the loss be the last state, $L = h_3$. What is $dL/dw$?
#
# The trick: **pretend that the three uses of w are three weights**, $w_1$, $w_2$, $w_3$. Each has a simple
# derivative:
#
# * $w_3$ multiplies $h_2$, and the result is the loss: $h_2$.
# * $w_2$ multiplies $h_1$, and the result is multiplied by $w$ once more: $w\, h_1$.
# * $w_1$ multiplies $h_0$, and then $w$ comes twice: $w^2 h_0$.
#
# In truth they are one weight, so all three move together, and the derivatives add up:
#
# $$\frac{dL}{dw} = h_2 + w\, h_1 + w^2 h_0$$
#
# There you have it all: a **sum over the uses**, and a factor w **for each step on the way back**. With w =
# 0.5 and 50 steps the last factor is 1e-15. With w = 2 it is 1e15. Section 4 is about these powers.

# %% [markdown] lang="zh"
# ## 2. 手算反向传播
#
# ### 一个数，三步
#
# 从最小的情形开始：所有大小都是 1，也没有 tanh。设 $h_t = w h_{t-1} + x_t$，共三步，
# 损失就是最后的状态，$L = h_3$。$dL/dw$ 是多少？
#
# 诀窍：**假装 w 的三次使用是三个权重** $w_1$、$w_2$、$w_3$。每一个的导数都很简单：
#
# * $w_3$ 乘以 $h_2$，结果就是损失：$h_2$。
# * $w_2$ 乘以 $h_1$，结果再乘一次 $w$：$w\, h_1$。
# * $w_1$ 乘以 $h_0$，之后 $w$ 出现两次：$w^2 h_0$。
#
# 其实它们是同一个权重，三者一起变动，所以导数相加：
#
# $$\frac{dL}{dw} = h_2 + w\, h_1 + w^2 h_0$$
#
# 一切都在这里了：**对各次使用求和**，以及**往回每走一步**乘一个因子 w。
# w = 0.5、50 步时，最后的因子是 1e-15；w = 2 时是 1e15。第 4 节讲的就是这些幂。

# %%
def last_state(w, h, inputs):
    for value in inputs:
        h = w * h + value
    return h


w, inputs = 0.8, [0.3, -0.5, 0.9]
h_0 = 1.2
h_1 = w * h_0 + inputs[0]
h_2 = w * h_1 + inputs[1]
by_hand = h_2 + w * h_1 + w**2 * h_0
measured = (last_state(w + 1e-5, h_0, inputs) - last_state(w - 1e-5, h_0, inputs)) / 2e-5
assert abs(by_hand - measured) < 1e-9
print(f"evidence: by hand {by_hand:.6f}, measured {measured:.6f}, equal within 1e-9")

# %% [markdown] lang="en"
# ### One step
#
# Read the forward step from below. `dh` is the gradient of the loss with respect to h, and has its shape. As
# $\tanh' = 1 - \tanh^2$, we need h and not z:
#
# | forward | backward |
# |---|---|
# | $h = \tanh(z)$ | $dz = dh \cdot (1 - h^2)$ |
# | $z = x W_x + h_{prev} W_h + b$ | $dx = dz\, W_x^T$ and $dW_x = x^T dz$ |
# | | $dh_{prev} = dz\, W_h^T$ and $dW_h = h_{prev}^T dz$ |
# | | $db$ = the sum of $dz$ over the batch |

# %% [markdown] lang="zh"
# ### 一步
#
# 把前向的一步从下往上读。`dh` 是损失对 h 的梯度，形状与 h 相同。
# 由于 $\tanh' = 1 - \tanh^2$，我们需要的是 h，而不是 z：
#
# | 前向 | 反向 |
# |---|---|
# | $h = \tanh(z)$ | $dz = dh \cdot (1 - h^2)$ |
# | $z = x W_x + h_{prev} W_h + b$ | $dx = dz\, W_x^T$ 和 $dW_x = x^T dz$ |
# | | $dh_{prev} = dz\, W_h^T$ 和 $dW_h = h_{prev}^T dz$ |
# | | $db$ = $dz$ 对批次求和 |

# %%
def step_backward(dh, cache):
    x, h_prev, h, Wx, Wh = cache
    # h = tanh(z)
    dz = dh * (1 - h**2)
    # z = x Wx + h_prev Wh + b
    dx = dz @ Wx.T
    dWx = x.T @ dz
    dh_prev = dz @ Wh.T
    dWh = h_prev.T @ dz
    db = dz.sum(axis=0)
    return dx, dh_prev, dWx, dWh, db


# %% [markdown] lang="en"
# ### All steps
#
# The state after step t goes two ways: out, to whatever reads `hs[t]`, and on, into step t + 1. So its
# gradient has two parts:
#
# $$dh_t = \underbrace{dhs_t}_{\text{output}} + \underbrace{dz_{t+1} W_h^T}_{\text{next step}}$$
#
# The second part is known only when step t + 1 has been done. So we go from the last step to the first.
# This is *backpropagation through time*, BPTT. The weights were used at each step, so their gradients are
# sums. (The code also takes `dh_last`, a gradient of the last state alone: an encoder hands this state over
# to a decoder, and the gradient comes back the same way.)

# %% [markdown] lang="zh"
# ### 所有的步
#
# 第 t 步之后的状态有两个去处：出去，给读取 `hs[t]` 的计算；往前，进入第 t + 1 步。
# 所以它的梯度有两部分：
#
# $$dh_t = \underbrace{dhs_t}_{\text{output}} + \underbrace{dz_{t+1} W_h^T}_{\text{next step}}$$
#
# （output 是输出，next step 是下一步。）第二部分要等第 t + 1 步做完才知道，所以我们从最后一步走向第一步。
# 这就是*随时间反向传播*（BPTT）。权重在每一步都用到，所以它们的梯度是和。
# （代码还接受 `dh_last`，即单独对最后一个状态的梯度：编码器把这个状态交给解码器，梯度就从同一条路回来。）

# %%
def rnn_backward(dout, caches):
    dhs, dh_last = dout  # of all states, and of the last one once more; None stands for zero
    x, h_prev, h, Wx, Wh = caches[0]
    dh = np.zeros_like(h) if dh_last is None else dh_last
    dx = np.zeros((len(caches), *x.shape))
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(Wh.shape[0])
    for t in reversed(range(len(caches))):
        if dhs is not None:
            dh = dh + dhs[t]
        dx[t], dh, dWx_t, dWh_t, db_t = step_backward(dh, caches[t])
        dWx += dWx_t
        dWh += dWh_t
        db += db_t
    return dx, dh, dWx, dWh, db


# %% [markdown] lang="en"
# ### The check
#
# First ours, with a random upstream gradient R, then that of the package, which tries more set-ups:

# %% [markdown] lang="zh"
# ### 检查
#
# 先用我们自己的，配上随机的上游梯度 R；再用程序包里的，它会尝试更多的设置：

# %%
def numeric_gradient(f, x, h=1e-5):
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += h
        down[index] -= h
        gradient[index] = (f(up) - f(down)) / (2 * h)
    return gradient


def compare(name, mine, measured, bound):
    """One line of evidence: the error of a gradient, relative to its size."""
    assert mine.shape == measured.shape, f"{name} has shape {mine.shape}, not {measured.shape}"
    error = np.abs(mine - measured).max() / np.abs(measured).max()
    assert error < bound, f"{name}: relative error {error:.1e}"
    print(f"evidence: {name} {mine.shape}: relative error {error:.0e} < {bound:.0e}")


R = rng.standard_normal((T, B, H))
given = {"x": x, "h0": h0, "Wx": Wx, "Wh": Wh, "b": b}
gradients = rnn_backward((R, None), caches)
for (name, value), mine in zip(given.items(), gradients, strict=True):
    def loss(value, name=name):
        (hs, _), _ = rnn_forward(**{**given, name: value})
        return (R * hs).sum()

    assert mine.shape == value.shape
    compare(f"d{name}", mine, numeric_gradient(loss, value), 1e-8)

report = gradcheck((rnn_forward, rnn_backward), kind="rnn")
assert report.ok
print("evidence: gradcheck:", report.summary())

# %% [markdown] lang="en"
# ### The engine's own code
#
# The same, with two differences. All matrix products that need no earlier result are done at once, after the
# loop. And a mask says which steps are padding: there the state is handed on, and so is its gradient.

# %% [markdown] lang="zh"
# ### 引擎自己的代码
#
# 内容相同，有两点区别。凡是不需要前面结果的矩阵乘积，都在循环之后一次做完。
# 另外有一个掩码指出哪些步是填充：那里状态原样传下去，梯度也一样。

# %% tags=["engine-source"]
print(inspect.getsource(functional.rnn.backward))

# %%
(engine_hs, _), engine_cache = functional.rnn.forward(x, h0, Wx, Wh, b)
engine = functional.rnn.backward((R, None), engine_cache)
differences = [np.abs(one - other).max() for one, other in zip(engine, gradients, strict=True)]
assert np.abs(engine_hs - hs).max() < 1e-15 and max(differences) < 1e-14
print("evidence: the engine equals ours within 1e-15 forward and 1e-14 backward")

# %% [markdown] lang="en"
# ## 3. Whose gradient is it?
#
# `dh` at step t is one array. But it is a sum of parts: one from the loss at step t, one from the loss at
# step t + 1, and so on to the end. Backward is *linear* in `dhs`: the gradient of a sum of losses is the
# sum of their gradients. So the parts can be had one by one: let only the loss of step s be there, and go
# back.

# %% [markdown] lang="zh"
# ## 3. 这是谁的梯度？
#
# 第 t 步的 `dh` 是一个数组，但它由许多部分相加而成：一部分来自第 t 步的损失，
# 一部分来自第 t + 1 步的损失，直到最后一步。反向传播对 `dhs` 是*线性*的：
# 损失之和的梯度等于各个梯度之和。所以可以一部分一部分地求：只留第 s 步的损失，然后往回走。

# %%
def state_gradients(dhs, caches):
    """dh of the state after each step, (T, B, H)."""
    dh = np.zeros_like(dhs[0])
    found = np.zeros_like(dhs)
    for t in reversed(range(len(caches))):
        dh = dh + dhs[t]
        found[t] = dh
        dh = step_backward(dh, caches[t])[1]
    return found


T_long, H_long = 16, 8
long_x = 0.5 * rng.standard_normal((T_long, 1, D))
long_weights = (0.5 * rng.standard_normal((D, H_long)), 0.9 * orthogonal(rng, H_long), np.zeros(H_long))
_, long_caches = rnn_forward(long_x, np.zeros((1, H_long)), *long_weights)
long_R = rng.standard_normal((T_long, 1, H_long))

parts = np.zeros((T_long, T_long, 1, H_long))  # of the state after t, from the loss at s
for s in range(T_long):
    only_s = np.zeros_like(long_R)
    only_s[s] = long_R[s]
    parts[:, s] = state_gradients(only_s, long_caches)
whole = state_gradients(long_R, long_caches)
size = np.linalg.norm(parts, axis=(2, 3))  # (t, s)

figure, axes = plt.subplots(figsize=(5.5, 4.5), layout="constrained")
shown = np.ma.masked_equal(size, 0)
picture = axes.imshow(np.ma.log10(shown), cmap="cividis", origin="lower")
axes.set_xlabel("loss at step s")
axes.set_ylabel("state after step t")
figure.colorbar(picture, label="log10 of the length of this part of dh")

assert np.abs(parts.sum(axis=1) - whole).max() < 1e-14
assert (size[np.tril_indices(T_long, -1)] == 0).all()
assert (size[0, 10:] < 0.15 * size[0, 0]).all()
print("evidence: the parts sum to dh within 1e-14; a loss before t has no part in it, exactly")
heard = size[0, 10:].max() / size[0, 0]
print(f"evidence: the part of a loss 10 or more steps on is {heard:.0%} < 15 % of that of the loss at step 0")

# %% [markdown] lang="en"
# The parts are large on the diagonal and fade to the right, so that a state hears of the near future only.

# %% [markdown] lang="zh"
# 对角线上的部分大，越往右越淡，所以一个状态只听得到不久之后的损失。

# %% [markdown] lang="en"
# ## 4. Why it vanishes, and why it explodes
#
# One step back is
#
# $$dh_{prev} = \big(dh \cdot (1 - h^2)\big)\, W_h^T$$
#
# Two things happen to the length of dh. Each entry is multiplied by $1 - h^2$, which is between 0 and 1.
# Then comes a product with $W_h^T$. How much can a matrix stretch a vector? That is what its *singular
# values* say: at most by the largest, $\sigma_{max}$, at least by the smallest, $\sigma_{min}$. So for each
# step
#
# $$\sigma_{min} \min(1 - h^2) \;\le\; \frac{\lVert dh_{prev} \rVert}{\lVert dh \rVert} \;\le\;
# \sigma_{max} \max(1 - h^2)$$
#
# After k steps there are k such factors. If each is below 0.9, then after 50 steps at most
# $0.9^{50} = 0.005$ is left: the gradient **vanishes**. For it to **explode**, $\sigma_{max}$ must be above
# 1.
#
# To see it clean, take $W_h = g\, Q$ with Q *orthogonal*: a rotation, which keeps all lengths. All its
# singular values are g. The dashed lines are $g^k$. Left there are no inputs and h stays 0, so
# $1 - h^2 = 1$, and the network is as good as linear. Right there are inputs.

# %% [markdown] lang="zh"
# ## 4. 为什么会消失，为什么会爆炸
#
# 往回一步是
#
# $$dh_{prev} = \big(dh \cdot (1 - h^2)\big)\, W_h^T$$
#
# dh 的长度经历两件事。每个元素乘以 $1 - h^2$，它在 0 和 1 之间；然后与 $W_h^T$ 相乘。
# 矩阵能把向量拉长多少？它的*奇异值*告诉我们：最多乘以最大的 $\sigma_{max}$，
# 最少乘以最小的 $\sigma_{min}$。所以每一步有
#
# $$\sigma_{min} \min(1 - h^2) \;\le\; \frac{\lVert dh_{prev} \rVert}{\lVert dh \rVert} \;\le\;
# \sigma_{max} \max(1 - h^2)$$
#
# k 步之后有 k 个这样的因子。如果每个都小于 0.9，50 步之后最多剩下 $0.9^{50} = 0.005$：
# 梯度**消失**了。要**爆炸**，$\sigma_{max}$ 必须大于 1。
#
# 为了看得干净，取 $W_h = g\, Q$，其中 Q 是*正交*矩阵：一种旋转，不改变任何长度。
# 它的奇异值全是 g。虚线是 $g^k$。左图没有输入，h 一直是 0，所以 $1 - h^2 = 1$，
# 网络如同线性的；右图有输入。

# %%
def lengths_back(Wh, inputs, rng):
    """The length of dh, k = 0 ... T steps back from the end, as a share of the first; and its two bounds."""
    T, B, D = inputs.shape
    H = len(Wh)
    Wx = 0.3 * rng.standard_normal((D, H))
    _, caches = rnn_forward(inputs, np.zeros((B, H)), Wx, Wh, np.zeros(H))
    sigma = np.linalg.svd(Wh, compute_uv=False)
    dh = rng.standard_normal((B, H))
    lengths, lower, upper = [np.linalg.norm(dh)], [1.0], [1.0]
    for cache in reversed(caches):
        slope = 1 - cache[2] ** 2
        dh = step_backward(dh, cache)[1]
        lengths.append(np.linalg.norm(dh))
        lower.append(lower[-1] * sigma[-1] * slope.min())
        upper.append(upper[-1] * sigma[0] * slope.max())
    return np.array(lengths) / lengths[0], np.array(lower), np.array(upper)


K, H_wide = 40, 32
back = np.arange(K + 1)
quiet, noisy = np.zeros((K, 8, D)), 0.5 * rng.standard_normal((K, 8, D))
figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
linear, with_tanh, styles = {}, {}, {0.5: "o", 0.9: "s", 1.0: "^", 1.2: "v", 2.0: "D"}
for g, marker in styles.items():
    Q = orthogonal(rng, H_wide)
    for results, inputs, ax in ((linear, quiet, axes[0]), (with_tanh, noisy, axes[1])):
        results[g] = lengths_back(g * Q, inputs, rng)
        (line,) = ax.semilogy(back, results[g][0], marker, markersize=3, label=f"g = {g}")
        ax.semilogy(back, g**back, "--", linewidth=0.8, color=line.get_color())
axes[0].set_ylabel("length of dh, as a share of the first")
axes[0].set_title("no inputs: h = 0")
axes[1].set_title("with inputs")
axes[1].legend(frameon=False)
for ax in axes:
    ax.set_xlabel("steps back")

for g in styles:
    share, _, _ = linear[g]
    assert np.abs(share / g**back - 1).max() < 1e-12
    share, lower, upper = with_tanh[g]
    assert (lower * (1 - 1e-12) <= share).all() and (share <= upper * (1 + 1e-12)).all()
print("evidence: without inputs the length is g^k, to a relative 1e-12, for all g and k up to 40")
print("evidence: with inputs it lies within both bounds at every step, for all g")
for g in styles:
    print(f"g = {g}: with inputs {with_tanh[g][0][-1]:.1e} after 40 steps; g^40 = {g**40:.1e}")
assert linear[0.5][0][-1] < 1e-11 and linear[2.0][0][-1] > 1e11 and with_tanh[1.0][0][-1] < 0.1

# %% [markdown] lang="en"
# Without inputs the measured lengths lie on the dashed lines, and with inputs they fall below them.

# %% [markdown] lang="zh"
# 没有输入时，测得的长度正好落在虚线上；有输入时，它们低于虚线。

# %% [markdown] lang="en"
# Three things to take along:
#
# * Even with the ideal matrix, g = 1, the gradient fades as soon as h is not 0: tanh takes a part at each
#   step.
# * With g = 1.2 the two effects fight. A plain network lives on a knife's edge between vanishing and
#   exploding.
# * g = 1 is the best *start* one can give. It is what the engine's RNN layer does
#   (`minis2s.nn.init.orthogonal`).
#
# ### Singular values or eigenvalues?
#
# $\sigma_{max} > 1$ is needed for an explosion, but it is not enough. The singular value says how far *one*
# step can stretch. In the long run, without tanh, the eigenvalues decide: $\lVert W^k \rVert^{1/k}$ tends
# to the largest $|\lambda|$. For $W_h = g\,Q$ both are g. For this matrix they are not:
#
# $$W = \begin{pmatrix} 0.5 & 5 \\ 0 & 0.5 \end{pmatrix}$$

# %% [markdown] lang="zh"
# 记住三点：
#
# * 即使是理想的矩阵 g = 1，只要 h 不是 0，梯度就会变弱：tanh 每一步都拿走一部分。
# * g = 1.2 时两种作用相互抗衡。普通的循环网络站在消失与爆炸之间的刀刃上。
# * g = 1 是最好的*起点*，引擎的 RNN 层就是这样初始化的（`minis2s.nn.init.orthogonal`）。
#
# ### 奇异值还是特征值？
#
# 要爆炸，$\sigma_{max} > 1$ 是必要的，但不充分。奇异值说的是*一步*最多能拉长多少。
# 从长远看，没有 tanh 时，起决定作用的是特征值：$\lVert W^k \rVert^{1/k}$ 趋于最大的 $|\lambda|$。
# 对 $W_h = g\,Q$，两者都是 g。对下面的矩阵则不同：
#
# $$W = \begin{pmatrix} 0.5 & 5 \\ 0 & 0.5 \end{pmatrix}$$

# %%
W = np.array([[0.5, 5.0], [0.0, 0.5]])
sigma_max = np.linalg.svd(W, compute_uv=False)[0]
largest_eigenvalue = np.abs(np.linalg.eigvals(W)).max()
for k in (1, 2, 5, 10, 20, 40):
    power = np.linalg.norm(np.linalg.matrix_power(W, k), 2)
    print(f"k = {k:2}: stretches by at most {power:8.2e}; sigma_max^k = {sigma_max**k:8.2e}")

assert sigma_max > 5 and largest_eigenvalue == 0.5
assert np.linalg.norm(np.linalg.matrix_power(W, 2), 2) > 5 and power < 1e-9
print(f"evidence: sigma_max = {sigma_max:.2f} > 5, yet after 40 steps less than 1e-9 is left")
print(f"  as both eigenvalues are {largest_eigenvalue}")

# %% [markdown] lang="en"
# So: $\sigma_{max} < 1$ is a *proof* that gradients vanish. $\sigma_{max} > 1$ is only a *permission* to
# explode. And in a short sequence, the first few factors count for more than the limit.
#
# ## 5. What it does to learning
#
# A task on which only memory counts. The first input shows one of 4 symbols. Then come 20 steps of noise.
# At the end the network must say which symbol it was. Guessing gives 25 %.
#
# | | shape |
# |---|---|
# | inputs: 4 places for the symbol, 1 for the noise | (21, B, 5) |
# | logits, from the last state: $h_{last} U + c$ | (B, 4) |
#
# The only way to learn is through a gradient that goes back 20 steps to step 0.

# %% [markdown] lang="zh"
# 所以：$\sigma_{max} < 1$ *证明*梯度会消失；$\sigma_{max} > 1$ 只是*允许*爆炸。
# 而在短序列里，最初的几个因子比极限更重要。
#
# ## 5. 它对学习的影响
#
# 一个只考记忆的任务。第一个输入给出 4 个符号之一，然后是 20 步噪声，
# 最后网络要说出那是哪个符号。乱猜的正确率是 25 %。
#
# | | 形状 |
# |---|---|
# | 输入：4 个位置给符号，1 个给噪声 | (21, B, 5) |
# | logits，由最后的状态算出：$h_{last} U + c$ | (B, 4) |
#
# 学会它的唯一途径，是一个往回走 20 步、到达第 0 步的梯度。

# %%
SYMBOLS, DELAY, ROWS, WIDTH = 4, 20, 32, 32


def draw_batch(rng):
    symbols = rng.integers(SYMBOLS, size=ROWS)
    inputs = np.zeros((DELAY + 1, ROWS, SYMBOLS + 1))
    inputs[0, np.arange(ROWS), symbols] = 1
    inputs[1:, :, SYMBOLS] = 0.3 * rng.standard_normal((DELAY, ROWS))
    return inputs, symbols


def new_weights(g, rng):
    return {
        "Wx": 0.3 * rng.standard_normal((SYMBOLS + 1, WIDTH)),
        "Wh": g * orthogonal(rng, WIDTH),
        "b": np.zeros(WIDTH),
        "U": 0.3 * rng.standard_normal((WIDTH, SYMBOLS)),
        "c": np.zeros(SYMBOLS),
    }


def loss_and_gradients(weights, inputs, symbols):
    """(loss, share of right answers, gradients by name, the gradient of the inputs)."""
    Wx, Wh, b, U, c = weights.values()
    (_, h_last), cache = functional.rnn.forward(inputs, np.zeros((ROWS, WIDTH)), Wx, Wh, b)
    logits = h_last @ U + c
    # cross-entropy expects the time first: logits (T, B, 4), here with T = 1
    loss, loss_cache = functional.cross_entropy.forward(logits[None], symbols[None])
    dlogits = functional.cross_entropy.backward(1.0, loss_cache)[0]
    dinputs, _, dWx, dWh, db = functional.rnn.backward((None, dlogits @ U.T), cache)
    gradients = {"Wx": dWx, "Wh": dWh, "b": db, "U": h_last.T @ dlogits, "c": dlogits.sum(axis=0)}
    return float(loss), (logits.argmax(axis=1) == symbols).mean(), gradients, dinputs


def norm_of(gradients):
    return np.sqrt(sum((gradient**2).sum() for gradient in gradients.values()))


for g in (0.5, 1.0):
    draw = np.random.default_rng(0)
    _, _, gradients, dinputs = loss_and_gradients(new_weights(g, draw), *draw_batch(draw))
    reach = np.linalg.norm(dinputs[0]) / np.linalg.norm(dinputs[-1])
    print(f"g = {g}: norm {norm_of(gradients):.2f}; at the first input {reach:.0e} of the last")
    if g == 0.5:
        assert norm_of(gradients) > 0.1 and reach < 1e-5
    else:
        assert reach > 1e-2
print("evidence: with g = 0.5 less than 1e-5 of the gradient reaches step 0; with g = 1.0 more than 1e-2")

# %% [markdown] lang="en"
# Look at the first of these lines again. The norm of *all* gradients is nothing special: the bias and the
# readout U have gradients of their own. **A vanished gradient does not show in the total.** It shows when
# you ask step by step. We train both, with plain gradient descent, in section 6. First we need a tool.
#
# ## 6. Clipping
#
# When gradients explode, one step of gradient descent can throw the weights far away. The remedy is to
# limit the length of the step. Take all gradients together as one long vector, with the length (*global
# norm*)
#
# $$n = \sqrt{\sum_p \lVert dp \rVert^2}$$
#
# and if n is above a limit c, multiply **all** of them by c / n:
#
# $$dp \leftarrow dp \cdot \min(1, c / n)$$
#
# One factor for all keeps the direction. To cut each number on its own at ±c ("clipping by value") does not.

# %% [markdown] lang="zh"
# 再看第一行。*全部*梯度的范数并无异常：偏置和输出层 U 有它们自己的梯度。
# **消失的梯度在总和里看不出来。** 要一步一步地问，才看得出来。
# 第 6 节用普通的梯度下降训练这两个网络。先要有一件工具。
#
# ## 6. 裁剪
#
# 梯度爆炸时，梯度下降的一步就能把权重抛到很远的地方。补救的办法是限制这一步的长度。
# 把所有梯度看作一个长向量，它的长度（*全局范数*）是
#
# $$n = \sqrt{\sum_p \lVert dp \rVert^2}$$
#
# 如果 n 超过上限 c，就把**所有**梯度都乘以 c / n：
#
# $$dp \leftarrow dp \cdot \min(1, c / n)$$
#
# 所有梯度用同一个因子，方向就不变。把每个数各自截在 ±c（“按值裁剪”）则会改变方向。

# %%
def clip(gradients, limit):
    """Shorten all gradients together to the length `limit`, if longer; returns (clipped, norm before)."""
    norm = norm_of(gradients)
    factor = min(1.0, limit / norm)
    return {name: factor * gradient for name, gradient in gradients.items()}, norm


def cosine(one, other):
    return sum((one[name] * other[name]).sum() for name in one) / norm_of(one) / norm_of(other)


draw = np.random.default_rng(1)
_, _, gradients, _ = loss_and_gradients(new_weights(1.5, draw), *draw_batch(draw))
clipped, norm = clip(gradients, 1.0)
by_value = {name: np.clip(gradient, -0.05, 0.05) for name, gradient in gradients.items()}
parameters = {name: Parameter(np.zeros_like(gradient)) for name, gradient in gradients.items()}
for name, gradient in gradients.items():
    parameters[name].grad[...] = gradient
engine_norm = clip_global_norm(parameters, 1.0)

assert norm > 1 and abs(norm_of(clipped) - 1) < 1e-12 and cosine(gradients, clipped) > 1 - 1e-12
assert cosine(gradients, by_value) < 0.95
assert clip(gradients, 2 * norm)[0]["Wh"].tobytes() == gradients["Wh"].tobytes()
assert abs(engine_norm - norm) < 1e-9 and all(np.allclose(parameters[n].grad, clipped[n]) for n in clipped)
print(f"evidence: norm {norm:.2f} becomes 1 within 1e-12; cosine with the unclipped 1 within 1e-12")
print(f"evidence: by value the cosine is {cosine(gradients, by_value):.2f} < 0.95")
print("evidence: below the limit nothing changes, bit for bit; the engine's clip_global_norm gives the same")

# %% tags=["engine-source"]
print(inspect.getsource(clip_global_norm))

# %% [markdown] lang="en"
# Now the measurement. Four trainings on the memory task, all with plain gradient descent, each from three
# seeds:
#
# 1. g = 1, step size 0.1, no clipping;
# 2. g = 1, step size 0.1, clipped at 1;
# 3. g = 1, step size 0.02, no clipping;
# 4. g = 0.5, step size 0.1, clipped at 1.

# %% [markdown] lang="zh"
# 现在来测量。在记忆任务上做四种训练，都用普通的梯度下降，每种用三个随机种子：
#
# 1. g = 1，步长 0.1，不裁剪；
# 2. g = 1，步长 0.1，裁剪到 1；
# 3. g = 1，步长 0.02，不裁剪；
# 4. g = 0.5，步长 0.1，裁剪到 1。

# %%
def train(g, lr, limit, seed, steps=300):
    """(losses, norms before clipping, share of right answers), one number a step."""
    rng = np.random.default_rng(seed)
    weights = new_weights(g, rng)
    history = []
    for _ in range(steps):
        loss, right, gradients, _ = loss_and_gradients(weights, *draw_batch(rng))
        gradients, norm = clip(gradients, limit)
        for name, gradient in gradients.items():
            weights[name] -= lr * gradient
        history.append((loss, norm, right))
    return np.array(history).T


SETTINGS = {
    "g = 1": (1.0, 0.1, np.inf),
    "g = 1, clipped": (1.0, 0.1, 1.0),
    "g = 1, small steps": (1.0, 0.02, np.inf),
    "g = 0.5, clipped": (0.5, 0.1, 1.0),
}
runs = {name: [train(*setting, seed) for seed in (0, 1, 2)] for name, setting in SETTINGS.items()}

figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for (name, (first, *_)), style in zip(runs.items(), ("-", "--", "-.", ":"), strict=True):
    axes[0].plot(np.convolve(first[0], np.ones(10) / 10, mode="valid"), style, label=name)
    axes[1].semilogy(first[1], style, linewidth=0.8, label=name)
axes[0].axhline(np.log(SYMBOLS), color="gray", linewidth=0.8)
axes[0].set_ylabel("loss, mean of 10 steps (gray: guessing)")
axes[1].axhline(1.0, color="gray", linewidth=0.8)
axes[1].set_ylabel("norm of the gradient before clipping")
axes[0].legend(frameon=False)
for ax in axes:
    ax.set_xlabel("training step")

ends = {name: [run[2][-50:].mean() for run in three] for name, three in runs.items()}
for name, three in runs.items():
    largest_loss, largest_norm = (max(run[row].max() for run in three) for row in (0, 1))
    shares = " ".join(f"{end:4.0%}" for end in ends[name])
    print(f"{name:19} right at the end: {shares}; largest norm {largest_norm:4.1f}, loss {largest_loss:.1f}")
assert min(ends["g = 1, clipped"]) > 0.95 and min(ends["g = 1, small steps"]) > 0.9
assert np.mean(ends["g = 1"]) < 0.9 and max(ends["g = 0.5, clipped"]) < 0.35
print("evidence: clipped above 95 %, small steps above 90 %; unclipped below 90 % in the mean;")
print("  g = 0.5 below 35 %, which is guessing")
shortened = np.mean([(run[1] > 1).mean() for run in runs["g = 1, clipped"]])
assert 0 < shortened < 0.4
print(f"evidence: clipping at 1 shortened {shortened:.0%} of the steps, fewer than 40 %")

# %% [markdown] lang="en"
# Clipped at 1 the loss goes down to nearly 0, while unclipped it is thrown up by large gradients, and with
# g = 0.5 it stays at guessing.

# %% [markdown] lang="zh"
# 裁剪到 1 时损失降到接近 0，不裁剪时被大梯度抛上去，而 g = 0.5 时一直停在乱猜的水平。

# %% [markdown] lang="en"
# What this shows, and what it does not:
#
# * The runs without clipping end badly, and each in its own way. They are so sensitive that another
#   processor, which rounds in another order, can bring another number here. The clipped ones are not.
# * Clipping mends explosion. A smaller step size mends it, too, and pays in every step, where clipping pays
#   only in the few that are too long.
# * Clipping does **not** mend vanishing. A gradient that is not there cannot be made longer without making
#   the noise longer as well. Against this another *architecture* is needed, with a path on which nothing is
#   multiplied away: the LSTM, in the next lesson.
#
# And three traps. Clip when the gradient is complete, that is after all parts of the batch have been added
# up. Clip before the optimizer's step. And when the norm is nan or inf, no factor helps: stop, or skip the
# step.

# %% [markdown] lang="zh"
# 这说明了什么，没有说明什么：
#
# * 不裁剪的训练结局都不好，而且各不相同。它们非常敏感，换一种处理器，舍入的次序不同，
#   这里就可能出现另一个数。裁剪过的训练则不会。
# * 裁剪能治爆炸。减小步长也能治，但每一步都要付出代价，而裁剪只在少数过长的步上付出。
# * 裁剪**不能**治消失。不存在的梯度，拉长它就连噪声也一起拉长。
#   对付它需要另一种*结构*，其中有一条不会被乘没的通路：下一课的 LSTM。
#
# 还有三个陷阱。要等梯度完整之后再裁剪，也就是批次的各部分都已加完。
# 要在优化器走步之前裁剪。范数是 nan 或 inf 时，什么因子都没有用：停下来，或跳过这一步。

# %% [markdown] lang="en"
# ## 7. Exercises
#
# Each exercise has a cell with a hole and a cell that checks it. The check raises with the name of the
# exercise until the hole is filled. The hints are folded.

# %% [markdown] lang="zh"
# ## 7. 练习
#
# 每个练习有一个留空的单元格和一个检查它的单元格。
# 在填好之前，检查会报错并给出练习的名字。提示是折叠的。

# %% [markdown] lang="en"
# ### Exercise 1: a leaky unit
#
# Let the state change only by a share a = 0.1 at each step:
#
# $$h = (1 - a)\, h_{prev} + a \tanh(x W_x + h_{prev} W_h + b)$$
#
# Write the backward pass of one step. It takes dh (B, H) and returns dx, dh_prev, dWx, dWh, db. Then think:
# by which factor does the gradient shrink at each step, if the second term is small?
#
# <details><summary>Hint 1</summary>
#
# Name the middle: m = tanh(z). Then h = (1 - a) h_prev + a m. First dm, then dz.
#
# </details>
# <details><summary>Hint 2</summary>
#
# h_prev is used in two places, so dh_prev has two terms.
#
# </details>
# <details><summary>Answer to the question</summary>
#
# By 1 - a = 0.9, without any matrix. After 20 steps 12 % is left, where the powers of a matrix might have
# left nothing. A factor that the network chooses itself, at each step and for each number of the state, is
# the idea of the next lesson.
#
# </details>

# %% [markdown] lang="zh"
# ### 练习 1：漏积分单元
#
# 让状态每一步只改变一个份额 a = 0.1：
#
# $$h = (1 - a)\, h_{prev} + a \tanh(x W_x + h_{prev} W_h + b)$$
#
# 写出一步的反向传播。它接受 dh (B, H)，返回 dx、dh_prev、dWx、dWh、db。
# 然后想一想：如果第二项很小，梯度每一步缩小到原来的多少？
#
# <details><summary>提示 1</summary>
#
# 给中间量起名：m = tanh(z)，于是 h = (1 - a) h_prev + a m。先求 dm，再求 dz。
#
# </details>
# <details><summary>提示 2</summary>
#
# h_prev 用在两处，所以 dh_prev 有两项。
#
# </details>
# <details><summary>这个问题的答案</summary>
#
# 缩小到 1 - a = 0.9，不经过任何矩阵。20 步之后还剩 12 %，而矩阵的幂可能早已什么都不剩。
# 由网络自己在每一步、为状态的每个数选择这个因子，就是下一课的思想。
#
# </details>

# %%
def leaky_step(x, h_prev, Wx, Wh, b, a=0.1):
    m = np.tanh(x @ Wx + h_prev @ Wh + b)
    h = (1 - a) * h_prev + a * m

    def backward(dh):
        raise NotImplementedError("fill in backward of leaky_step: return dx, dh_prev, dWx, dWh, db")

    return h, backward


# %% tags=["raises-exception"]
with exercise("Exercise 1, a leaky unit"):
    def leaky(x, h_prev, Wx, Wh, b):
        return leaky_step(x, h_prev, Wx, Wh, b)

    report = gradcheck(leaky, x[0], h0, Wx, Wh, b)
    assert report.ok, what_is_wrong(report)

# %% [markdown] lang="en"
# ### Exercise 2: find the bug
#
# The next cell is folded, please leave it so. It changes one line of `step_backward` or `rnn_backward`, and
# prints the errors. Which change of which line makes them? Write your guess as `{"old line": "new line"}`.
# The check makes your change, and compares all gradients with those of the hidden pair.
#
# <details><summary>Hint 1</summary>
#
# dx is right at all steps. So dz is right at all steps. Which lines are left?
#
# </details>
# <details><summary>Hint 2</summary>
#
# Only dWh is wrong. It is made from dz and from one other array. Which one could somebody take by mistake
# that has the same shape?
#
# </details>

# %% [markdown] lang="zh"
# ### 练习 2：找出错误
#
# 下一个单元格是折叠的，请不要打开。它改动 `step_backward` 或 `rnn_backward` 的一行，并打印误差。
# 改的是哪一行，怎样改的？把猜测写成 `{"old line": "new line"}`（原来的行和新的行）。
# 检查会作出你的改动，把所有梯度与隐藏的那一对比较。
#
# <details><summary>提示 1</summary>
#
# dx 在所有步都对，所以 dz 在所有步都对。还剩哪些行？
#
# </details>
# <details><summary>提示 2</summary>
#
# 只有 dWh 错了。它由 dz 和另一个数组算出。有哪个形状相同的数组容易被误用？
#
# </details>

# %% jupyter={"source_hidden": true} tags=["hide-input"]
def broken(changes):
    """The pair, with some lines replaced: changes is {old: new}."""
    *_, forward, backward = with_changes(changes, step_forward, step_backward, rnn_forward, rnn_backward)
    return forward, backward


def gradients_of(pair):
    forward, backward = pair
    (hs, h_last), caches = forward(x, h0, Wx, Wh, b)
    draw = np.random.default_rng(5)
    return backward((draw.standard_normal(hs.shape), draw.standard_normal(h_last.shape)), caches)


hidden_pair = broken({"dWh = h_prev.T @ dz": "dWh = h.T @ dz"})
both = list(zip(gradients_of(hidden_pair), gradients_of((rnn_forward, rnn_backward)), strict=True))
for t in reversed(range(T)):
    theirs, true = both[0][0][t], both[0][1][t]
    print(f"dx at step {t}: relative error {np.abs(theirs - true).max() / np.abs(true).max():.0e}")
for name, (theirs, true) in zip(("dh0", "dWx", "dWh", "db"), both[1:], strict=True):
    print(f"{name:4} relative error {np.abs(theirs - true).max() / np.abs(true).max():.0e}")

# %%
my_guess = {"old line": "new line"}

# %% tags=["raises-exception"]
with exercise("Exercise 2, find the bug"):
    assert my_guess != {"old line": "new line"}, "write your guess into my_guess"
    pairs = zip(gradients_of(broken(my_guess)), gradients_of(hidden_pair), strict=True)
    for name, (yours, theirs) in zip(("dx", "dh0", "dWx", "dWh", "db"), pairs, strict=True):
        assert np.allclose(yours, theirs, rtol=1e-10, atol=1e-12), f"your change gives another {name}"

# %% [markdown] lang="en"
# ### Exercise 3: truncated backpropagation
#
# Long sequences are costly to go back through. So one may stop after k steps: each loss sends its gradient
# back through at most k states, its own included, and what is older is left out. Write `truncated(dhs,
# caches, k)`, which returns dWh (H, H) of this kind. With k = 1 only the step of the loss itself counts;
# with k = T it is the full gradient.
#
# <details><summary>Hint 1</summary>
#
# Section 3: let only the loss of step s be there. Walk back from s, at most k times.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Two loops: s from 0 to T - 1, and inside t = s, s - 1, ... while t ≥ 0 and t > s - k. `step_backward`
# gives dh_prev and dWh of one step.
#
# </details>

# %% [markdown] lang="zh"
# ### 练习 3：截断的反向传播
#
# 在长序列里往回走，代价很高。所以可以在 k 步之后停下：每个损失的梯度最多往回经过 k 个状态
# （包括它自己的），更早的略去。写出 `truncated(dhs, caches, k)`，返回这样得到的 dWh (H, H)。
# k = 1 时只计损失所在的那一步；k = T 时就是完整的梯度。
#
# <details><summary>提示 1</summary>
#
# 第 3 节：只留第 s 步的损失。从 s 往回走，最多 k 次。
#
# </details>
# <details><summary>提示 2</summary>
#
# 两重循环：s 从 0 到 T - 1；里面 t = s, s - 1, ...，条件是 t ≥ 0 且 t > s - k。
# `step_backward` 给出一步的 dh_prev 和 dWh。
#
# </details>

# %%
def truncated(dhs, caches, k):
    """dhs (T, B, H): the gradient of the loss of each step. Returns dWh (H, H)."""
    raise NotImplementedError("fill in truncated: return dWh (H, H)")


# %% tags=["raises-exception"]
with exercise("Exercise 3, truncated backpropagation"):
    full = rnn_backward((R, None), caches)[3]
    own_step = sum(step_backward(R[t], caches[t])[3] for t in range(T))
    two_steps = own_step + sum(
        step_backward(step_backward(R[t], caches[t])[1], caches[t - 1])[3] for t in range(1, T)
    )
    for k, expected in ((T, full), (1, own_step), (2, two_steps), (T + 3, full)):
        yours = truncated(R, caches, k)
        assert np.shape(yours) == (H, H), f"dWh has shape {np.shape(yours)}, not (H, H) = {(H, H)}"
        assert np.allclose(yours, expected, rtol=1e-10, atol=1e-12), f"wrong numbers with k = {k}"

# %% [markdown] lang="en"
# ## 8. What to read next
#
# * J. Elman, "Finding structure in time", Cognitive Science 14, 1990: this network, and what it learns.
# * P. Werbos, "Backpropagation through time: what it does and how to do it", Proceedings of the IEEE 78,
#   1990: the backward pass.
# * Y. Bengio, P. Simard and P. Frasconi, "Learning long-term dependencies with gradient descent is
#   difficult", IEEE Transactions on Neural Networks 5, 1994: why memory that is safe from noise makes
#   gradients vanish.
# * R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training recurrent neural networks", ICML
#   2013: the bounds of section 4, and clipping by the norm (algorithm 1).
# * A. Saxe, J. McClelland and S. Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep
#   linear neural networks", ICLR 2014: why orthogonal matrices are a good start.
# * R. Williams and J. Peng, "An efficient gradient-based algorithm for on-line training of recurrent network
#   trajectories", Neural Computation 2, 1990: truncation, as in exercise 3.
#
# Next lesson: `04_lstm.py`.

# %% [markdown] lang="zh"
# ## 8. 接下来读什么
#
# * J. Elman, "Finding structure in time", Cognitive Science 14, 1990：这种网络，以及它学到了什么。
# * P. Werbos, "Backpropagation through time: what it does and how to do it",
#   Proceedings of the IEEE 78, 1990：反向传播的过程。
# * Y. Bengio, P. Simard, P. Frasconi,
#   "Learning long-term dependencies with gradient descent is difficult",
#   IEEE Transactions on Neural Networks 5, 1994：为什么不怕噪声的记忆会让梯度消失。
# * R. Pascanu, T. Mikolov, Y. Bengio, "On the difficulty of training recurrent neural networks",
#   ICML 2013：第 4 节的界，以及按范数裁剪（算法 1）。
# * A. Saxe, J. McClelland, S. Ganguli,
#   "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks",
#   ICLR 2014：为什么正交矩阵是好的起点。
# * R. Williams, J. Peng,
#   "An efficient gradient-based algorithm for on-line training of recurrent network trajectories",
#   Neural Computation 2, 1990：截断，如练习 3。
#
# 下一课：`04_lstm.py`。
