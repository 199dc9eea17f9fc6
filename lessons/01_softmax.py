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
# # Softmax, cross-entropy, and when a gradient check lies
#
# A model that writes text gives, at each step, one score to every token it could write next. The scores may
# be any numbers: 3.1, -0.4, 12.
#
# **How do scores become one number that says how wrong the model is? What is its derivative? And if you
# check the derivative by measuring: when does the check say "right" although it is wrong?**
#
# You need Python, NumPy arrays and the chain rule. About an hour is enough.

# %% [markdown] lang="zh"
# # Softmax、交叉熵，以及梯度检查何时会骗人
#
# 会写文本的模型在每一步给每个可能的下一个词元打一个分。
# 分数可以是任意的数：3.1、-0.4、12。
#
# **怎样把这些分数变成一个数，说明模型错了多少？它的导数是什么？
# 如果用测量的办法检查导数，什么时候检查会说“对”，而其实是错的？**
#
# 需要的基础：Python、NumPy 数组、链式法则。大约一小时。

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np

from minis2s import functional, gradcheck
from minis2s.lessons import exercise, what_is_wrong, with_changes

# %% [markdown] lang="en"
# ## 1. From scores to probabilities
#
# Let V be the number of tokens (the *vocabulary*). The scores of one step are a vector z of shape (V,). They
# are called *logits*. The softmax makes probabilities of them:
#
# $$p_v = \frac{e^{z_v}}{\sum_u e^{z_u}}$$
#
# Every $p_v$ is above 0 and they sum to 1. One more point for a token multiplies its share by e. Add the same
# number to all logits, and nothing changes: numerator and denominator grow by the same factor.

# %% [markdown] lang="zh"
# ## 1. 从分数到概率
#
# 设 V 为词元的个数（*词表*大小）。一步的分数是一个形状为 (V,) 的向量 z，
# 称为 *logits*。Softmax 把它变成概率：
#
# $$p_v = \frac{e^{z_v}}{\sum_u e^{z_u}}$$
#
# 每个 $p_v$ 都大于 0，总和为 1。某个词元多得一分，它的份额就乘以 e。
# 给所有 logits 加上同一个数，结果不变：分子和分母放大了同样的倍数。

# %%
def naive_softmax(z):
    e = np.exp(z)
    return e / e.sum()


z = np.array([2.0, 1.0, 0.0, -1.0])
p = naive_softmax(z)
print("p        ", p.round(3))
print("p of z+50", naive_softmax(z + 50).round(3))

assert abs(p.sum() - 1) < 1e-15 and np.abs(naive_softmax(z + 50) - p).max() < 1e-14
print("evidence: the sum is 1 to 1e-15; adding 50 to all logits changes p by less than 1e-14")

# %% [markdown] lang="en"
# The formula is right, the program is not yet. $e^{1000}$ is larger than any float64, so it becomes inf, and
# inf / inf is nan. Since a common number changes nothing, subtract the largest logit first. Then the largest
# exponent is 0, and nothing can overflow.

# %% [markdown] lang="zh"
# 公式是对的，程序还不是。$e^{1000}$ 超出了 float64 的范围，变成 inf，而 inf / inf 是 nan。
# 既然减去同一个数结果不变，就先减去最大的 logit。
# 这样最大的指数是 0，不会再溢出。

# %%
def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))  # the last axis, so that any leading axes may come
    return e / e.sum(axis=-1, keepdims=True)


large = np.array([1000.0, 999.0, 0.0])
with np.errstate(over="ignore", invalid="ignore"):
    print("naive ", naive_softmax(large))
print("stable", softmax(large).round(3))

assert np.isfinite(softmax(large)).all() and np.abs(softmax(z) - p).max() < 1e-15
print("evidence: finite at logits of 1000, and equal to the formula within 1e-15 at small ones")

# %% [markdown] lang="en"
# ## 2. From probabilities to a loss
#
# The right token is y. The model gave it the probability $p_y$. Its *surprise* is
#
# $$L = -\log p_y$$
#
# It is 0 when $p_y = 1$, and it grows without limit when $p_y$ goes to 0. With the natural logarithm its unit
# is the *nat*. A model that knows nothing gives every token 1/V, and its surprise is log V. Remember this
# number: a new model with V = 30 must start near 3.4. Averaged over tokens, L is the *cross-entropy* between
# the data and the model. (And $e^L$ is called *perplexity*: among how many equal choices the model wavers.)
#
# Here is a second trap. Where p has been rounded to 0, its logarithm is -inf. So never take the logarithm
# of a softmax. Write the logarithm out, and the exponential function is gone:
#
# $$\log p_v = z_v - \max z - \log \sum_u e^{z_u - \max z}$$

# %% [markdown] lang="zh"
# ## 2. 从概率到损失
#
# 正确的词元是 y，模型给它的概率是 $p_y$。模型的*惊讶程度*为
#
# $$L = -\log p_y$$
#
# $p_y = 1$ 时为 0；$p_y$ 趋于 0 时没有上限。用自然对数时单位是*奈特*（nat）。
# 什么都不知道的模型给每个词元 1/V，惊讶程度是 log V。记住这个数：
# V = 30 的新模型应该从 3.4 左右开始。对词元取平均，L 就是数据与模型之间的*交叉熵*。
# （$e^L$ 称为*困惑度*：模型相当于在多少个等可能的选项之间犹豫。）
#
# 第二个陷阱：p 被舍入为 0 时，对数是 -inf。所以不要对 softmax 的结果取对数。
# 把对数展开，指数函数就消去了：
#
# $$\log p_v = z_v - \max z - \log \sum_u e^{z_u - \max z}$$

# %%
def log_softmax(z):
    shifted = z - z.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


certain = np.array([1000.0, 0.0])
with np.errstate(divide="ignore"):
    print("log(softmax)", np.log(softmax(certain)))
print("log_softmax ", log_softmax(certain))

V = 30
assert log_softmax(certain)[1] == -1000
assert abs(-log_softmax(np.zeros(V))[7] - np.log(V)) < 1e-14
print(f"evidence: the surprise is 1000, not inf; with equal logits it is log {V} = {np.log(V):.3f}, to 1e-14")

# %% [markdown] lang="en"
# ### A batch, and its padding
#
# A model works on B sentences at once. They have different lengths, so the short ones are filled up with
# *padding*. In this project time comes first:
#
# | name | shape | what |
# |---|---|---|
# | logits | (T, B, V) | T steps, B sentences, V scores |
# | targets | (T, B) | the right tokens, integers |
# | mask | (T, B) | True where a token is real, False where it is padding |
#
# The loss is the mean over the N *real* tokens:
#
# $$L = \frac{1}{N} \sum_{t,b:\, mask_{tb}} -\log p_{tb}[targets_{tb}], \qquad N = \sum_{tb} mask_{tb}$$
#
# Written for the eye, one token after the other:

# %% [markdown] lang="zh"
# ### 一个批次，以及填充
#
# 模型同时处理 B 个句子。句子长短不一，短的用*填充*（padding）补齐。
# 在本项目里时间轴在最前：
#
# | 名称 | 形状 | 含义 |
# |---|---|---|
# | logits | (T, B, V) | T 步，B 个句子，V 个分数 |
# | targets | (T, B) | 正确的词元，整数 |
# | mask | (T, B) | 真实词元处为 True，填充处为 False |
#
# 损失是对 N 个*真实*词元的平均：
#
# $$L = \frac{1}{N} \sum_{t,b:\, mask_{tb}} -\log p_{tb}[targets_{tb}], \qquad N = \sum_{tb} mask_{tb}$$
#
# 先写成便于阅读的样子，一个词元接一个词元：

# %%
def loss_forward(logits, targets, mask=None):
    mask = np.ones(targets.shape, dtype=bool) if mask is None else mask  # no mask: all are real
    N = mask.sum()
    loss = 0.0
    for t, b in np.argwhere(mask):  # the real tokens only
        loss += -log_softmax(logits[t, b])[targets[t, b]] / N
    return loss, (logits, targets, mask, N)


rng = np.random.default_rng(0)
T, B, V = 4, 3, 5
logits = 2 * rng.standard_normal((T, B, V))
targets = rng.integers(V, size=(T, B))
lengths = np.array([4, 2, 3])
mask = np.arange(T)[:, None] < lengths  # (T, B)
print(mask.astype(int))
loss, cache = loss_forward(logits, targets, mask)

other = np.where(mask, targets, (targets + 1) % V)  # other tokens in the padding
assert loss_forward(logits, other, mask)[0] == loss
means = [loss_forward(logits[:, [b]], targets[:, [b]], mask[:, [b]])[0] for b in range(B)]
assert abs((lengths * means).sum() / lengths.sum() - loss) < 1e-14
print(f"evidence: what stands in the padding does not matter at all; the loss {loss:.4f} is the mean of the")
print(f"  sentences weighted by length, to 1e-14 (the plain mean of sentences would be {np.mean(means):.4f})")

# %% [markdown] lang="en"
# ## 3. The derivative, by hand
#
# Take one token, and write $L = -z_y + \log \sum_u e^{z_u}$. Differentiate with respect to $z_v$. The first
# term gives -1 if v is the right token, else 0. The second gives $e^{z_v} / \sum_u e^{z_u}$, which is $p_v$:
#
# $$\frac{\partial L}{\partial z_v} = p_v - [v = y]$$
#
# **The gradient is the probability minus what it should have been.** The right token has a negative one
# (raise this logit!), all others a positive one. They sum to 0. And the gradient is small where the model
# is right.
#
# We write dlogits for the gradient of the loss with respect to logits. It has **the shape of logits**. Each
# name with a d in front is meant so. `dloss` is the gradient of whatever comes after with respect to the
# loss; it is 1 if nothing comes after.

# %% [markdown] lang="zh"
# ## 3. 手算导数
#
# 取一个词元，写成 $L = -z_y + \log \sum_u e^{z_u}$，对 $z_v$ 求导。
# 第一项：v 是正确词元时为 -1，否则为 0。第二项为 $e^{z_v} / \sum_u e^{z_u}$，也就是 $p_v$：
#
# $$\frac{\partial L}{\partial z_v} = p_v - [v = y]$$
#
# **梯度等于概率减去它应有的值。** 正确词元的梯度为负（要提高这个 logit！），
# 其余为正，总和为 0。模型判断正确的地方，梯度很小。
#
# 我们用 dlogits 表示损失对 logits 的梯度，它与 logits **形状相同**。
# 所有以 d 开头的名字都是这个意思。`dloss` 是后续计算对损失的梯度；后面没有别的计算时它是 1。

# %%
def loss_backward(dloss, cache):
    logits, targets, mask, N = cache
    dlogits = np.zeros_like(logits)  # padding: stays 0
    for t, b in np.argwhere(mask):
        p = softmax(logits[t, b])
        p[targets[t, b]] -= 1  # p - onehot
        dlogits[t, b] = dloss * p / N
    return dlogits


dlogits = loss_backward(1.0, cache)
assert dlogits.shape == logits.shape
assert np.abs(dlogits.sum(axis=-1)).max() < 1e-16 and not dlogits[~mask].any()
print("evidence: the shape of logits; each token's gradients sum to 0 within 1e-16; exactly 0 at padding")

# %%
step, row = 0, 0
tokens = np.arange(V)
p_here = softmax(logits[step, row])
figure, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
axes[0].bar(tokens, p_here, color="tab:blue")
axes[0].set_title("probability p")
axes[1].bar(tokens, p_here - np.eye(V)[targets[step, row]], color="tab:orange")
axes[1].axhline(0, color="black", linewidth=0.8)
axes[1].set_title(f"gradient p - onehot; the right token is {targets[step, row]}")
for ax in axes:
    ax.set_xlabel("token")

# %% [markdown] lang="en"
# Only the right token has a negative gradient, and it is as long as all the positive ones together.

# %% [markdown] lang="zh"
# 只有正确词元的梯度为负，它的长度等于所有正梯度之和。

# %% [markdown] lang="en"
# ### The softmax alone
#
# In attention (lesson 7) a softmax stands without a logarithm after it. There we need its own backward. p has
# V outputs and z has V inputs, so the derivative is a matrix of shape (V, V), the *Jacobian*:
#
# $$\frac{\partial p_u}{\partial z_v} = p_u ([u = v] - p_v)
# \quad\Longleftrightarrow\quad J = \mathrm{diag}(p) - p p^T$$
#
# Given the gradient dp of shape (V,), the chain rule says $dz = J^T dp$. Written out, no matrix is needed:
#
# $$dz_v = p_v \left(dp_v - \sum_u dp_u p_u\right)$$

# %% [markdown] lang="zh"
# ### 单独的 softmax
#
# 在注意力（第 7 课）里，softmax 后面没有对数，那时需要它自己的反向传播。
# p 有 V 个输出，z 有 V 个输入，所以导数是形状为 (V, V) 的矩阵，即*雅可比矩阵*：
#
# $$\frac{\partial p_u}{\partial z_v} = p_u ([u = v] - p_v)
# \quad\Longleftrightarrow\quad J = \mathrm{diag}(p) - p p^T$$
#
# 给定形状为 (V,) 的梯度 dp，链式法则给出 $dz = J^T dp$。展开之后并不需要这个矩阵：
#
# $$dz_v = p_v \left(dp_v - \sum_u dp_u p_u\right)$$

# %%
def softmax_backward(dp, p):
    return p * (dp - (dp * p).sum(axis=-1, keepdims=True))


z, dp = rng.standard_normal(V), rng.standard_normal(V)
p = softmax(z)
J = np.diag(p) - np.outer(p, p)

onehot = np.eye(V)[2]
through_both = softmax_backward(-onehot / p, p)  # -log p[2] has the gradient -1/p[2]
assert np.abs(softmax_backward(dp, p) - J.T @ dp).max() < 1e-15
assert np.abs(through_both - (p - onehot)).max() < 1e-15
print("evidence: equal to the Jacobian within 1e-15; log after softmax gives p - onehot within 1e-15")

# %% [markdown] lang="en"
# ## 4. The gradient check
#
# We have a formula, and it may be wrong. The *definition* of the derivative can be measured: change one
# entry a little, up and down, and look at the loss.
#
# $$\frac{\partial L}{\partial x_j} \approx \frac{L(x + h e_j) - L(x - h e_j)}{2h}$$
#
# Here $e_j$ is 1 at entry j and 0 elsewhere. This uses only the forward pass. Comparing the two is a
# **gradient check**. The error is relative, since a difference of 0.001 is much in a gradient of 0.001 and
# little in one of 1000.

# %% [markdown] lang="zh"
# ## 4. 梯度检查
#
# 我们有了公式，但它可能是错的。导数的*定义*可以测量：
# 把一个元素上下各挪动一点，看损失怎样变。
#
# $$\frac{\partial L}{\partial x_j} \approx \frac{L(x + h e_j) - L(x - h e_j)}{2h}$$
#
# 其中 $e_j$ 在第 j 个元素处为 1，其余为 0。这里只用到前向传播。
# 把两者相比就是**梯度检查**。误差取相对值：
# 对大小为 0.001 的梯度，0.001 的差很大；对大小为 1000 的梯度则很小。

# %%
def numeric_gradient(f, x, h=1e-5):
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += h
        down[index] -= h
        gradient[index] = (f(up) - f(down)) / (2 * h)
    return gradient


def relative_error(mine, measured):
    largest = max(np.abs(measured).max(), 1e-6)  # a gradient below 1e-6 is taken as 0
    return np.abs(mine - measured).max() / largest


measured = numeric_gradient(lambda x: loss_forward(x, targets, mask)[0], logits)
error = relative_error(dlogits, measured)
assert error < 1e-8
print(f"evidence: relative error {error:.0e} < 1e-8")

# %% [markdown] lang="en"
# `minis2s.gradcheck` does the same with more care: it makes hard inputs by itself, measures in a more exact
# way, estimates its own noise, and says where and why a gradient is wrong. We name the *kind* of the pair, so
# that it knows what the arguments mean. The lesson `gradient_check.py` is a tour of it, on ten broken LSTMs.

# %% [markdown] lang="zh"
# `minis2s.gradcheck` 做同样的事，但更细致：它自己造出有难度的输入，测得更准，
# 估计自身的噪声，还会说出梯度错在哪里、为什么错。
# 我们告诉它这一对函数的*种类*（kind），让它知道各参数的含义。
# 课程 `gradient_check.py` 用十个写错的 LSTM 详细介绍了它。

# %%
report = gradcheck((loss_forward, loss_backward), kind="cross_entropy")
print(report)
worst = max(block.error for block in report.blocks)
assert report.ok and worst < 1e-12
print(f"evidence: report.ok, relative error {worst:.0e} < 1e-12")

# %% [markdown] lang="en"
# ### The engine's own code
#
# This is what runs when you train. It is not a copy: the cell prints the source of the installed package. It
# treats all tokens at once. Find the lines that make `p - onehot`.

# %% [markdown] lang="zh"
# ### 引擎自己的代码
#
# 训练时运行的就是它。这不是抄写：单元格打印的是已安装程序包的源代码。
# 它一次处理所有词元。请找出计算 `p - onehot` 的那几行。

# %% tags=["engine-source"]
print(inspect.getsource(functional.cross_entropy.backward))
print(inspect.getsource(functional.masked_softmax.backward))

# %%
engine_loss, engine_cache = functional.cross_entropy.forward(logits, targets, mask)
engine_dlogits = functional.cross_entropy.backward(1.0, engine_cache)
assert abs(engine_loss - loss) < 1e-14 and np.abs(engine_dlogits - dlogits).max() < 1e-15
print("evidence: the engine's loss equals ours within 1e-14, its gradient within 1e-15")

# %% [markdown] lang="en"
# ## 5. When the check lies: false alarms
#
# A check can lie in two ways. It can call a right gradient wrong (this section), or a wrong one right (the
# next section).
#
# **Step size.** The central difference leaves out a term that shrinks like $h^2$. And the loss is rounded, by
# about $\varepsilon$ = 1e-16 in float64; divided by h, this error *grows* when h shrinks. In float32
# $\varepsilon$ is 1e-7, and there is hardly any h that works.
#
# **Kinks.** max(x, 0) (called ReLU) has a corner at 0. If x is nearer to the corner than h, one of the two
# measured points lies on the other side, and the difference is the slope of neither side.
#
# So three cases, and a real mistake beside them: a gradient that is 10 % too large.

# %% [markdown] lang="zh"
# ## 5. 检查骗人：误报
#
# 检查骗人有两种方式：把对的梯度说成错的（本节），或把错的说成对的（下一节）。
#
# **步长。** 中心差分略去了一个按 $h^2$ 缩小的项。而损失本身有舍入误差，
# 在 float64 中约为 $\varepsilon$ = 1e-16；除以 h 之后，h 越小，这个误差*越大*。
# 在 float32 中 $\varepsilon$ 是 1e-7，几乎没有合适的 h。
#
# **尖点。** max(x, 0)（称为 ReLU）在 0 处有一个角。如果 x 到角的距离小于 h，
# 两个测量点就有一个落在另一侧，差分就不是任何一侧的斜率。
#
# 下面是这三种情形，旁边再放一个真正的错误：大了 10 % 的梯度。

# %%
hs = 10.0 ** -np.arange(1, 12)
relu_x = np.array([1e-4, 0.5, -0.7])  # the first entry is near the corner


def loss_in(dtype):
    return lambda x: functional.cross_entropy.forward(x.astype(dtype), targets, mask)[0]


cases = {
    "right, float64": [relative_error(dlogits, numeric_gradient(loss_in(np.float64), logits, h)) for h in hs],
    "right, float32": [relative_error(dlogits, numeric_gradient(loss_in(np.float32), logits, h)) for h in hs],
    "right, near a kink": [
        relative_error(1.0 * (relu_x > 0), numeric_gradient(lambda x: np.maximum(x, 0).sum(), relu_x, h))
        for h in hs
    ],
    "wrong: 10 % too large": [
        relative_error(1.1 * dlogits, numeric_gradient(loss_in(np.float64), logits, h)) for h in hs
    ],
}
figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
for (name, values), style in zip(cases.items(), ("o-", "s--", "^:", "k-"), strict=True):
    axes.loglog(hs, np.maximum(values, 1e-12), style, markersize=4, label=name)
axes.set_xlabel("h")
axes.set_ylabel("relative error")
axes.legend(frameon=False)

right, single, kink, wrong = (np.array(values) for values in cases.values())
assert right.min() < 1e-9 and right[0] > 1e-4 and right[-1] > 1e-7
assert single.min() > 1e-5
assert kink[hs > 2e-4].min() > 0.4 and kink[(hs < 9e-5) & (hs > 1e-9)].max() < 1e-6
assert np.ptp(wrong[1:8]) < 0.001
print(f"evidence: float64 reaches {right.min():.0e} < 1e-9; float32 only {single.min():.0e} > 1e-5")
print("evidence: kink: above 0.4 for h = 1e-3, below 1e-6 once h is smaller than the distance 1e-4")
print(f"evidence: the mistake: {wrong[1]:.3f} to {wrong[7]:.3f}, the same within 0.001")

# %% [markdown] lang="en"
# The error of the real mistake is the same for every h from 0.01 to 1e-8, and the false alarms move with h.

# %% [markdown] lang="zh"
# 真正的错误在 h 从 0.01 到 1e-8 时误差都不变，而误报的误差随 h 变动。

# %% [markdown] lang="en"
# The rules: check in float64. Take h near $\varepsilon^{1/3}$, about 1e-5. If you see an error, **repeat with
# another h**. If the error moves, it is a kink or noise. If it stays, it is a bug.

# %% [markdown] lang="zh"
# 规则：用 float64 检查。h 取 $\varepsilon^{1/3}$ 附近，约 1e-5。看到误差时，**换一个 h 再试**。
# 误差跟着变，就是尖点或噪声；误差不变，就是程序错误。

# %% [markdown] lang="en"
# ## 6. When the check lies: blind spots
#
# This kind is worse, because nobody looks again. To check an operation with many outputs we need *one*
# number. The most natural one is `out.sum()`. For a softmax it is the worst: the outputs always sum to 1.
# The sum is constant, its true gradient is 0, and a backward that returns 0 passes.

# %% [markdown] lang="zh"
# ## 6. 检查骗人：盲点
#
# 这一种更糟，因为没有人会再看一眼。要检查有许多输出的运算，我们需要*一个*数。
# 最自然的是 `out.sum()`。对 softmax 来说这是最坏的选择：输出之和恒为 1。
# 和是常数，真正的梯度是 0，于是返回 0 的反向传播也会通过。

# %%
def lazy_backward(dp, p):
    return np.zeros_like(p)  # wrong, of course


z, R = rng.standard_normal((2, V)), rng.standard_normal((2, V))
of_sum = numeric_gradient(lambda z: softmax(z).sum(), z)
of_random = numeric_gradient(lambda z: (R * softmax(z)).sum(), z)

blind = relative_error(lazy_backward(np.ones((2, V)), softmax(z)), of_sum)
seen = relative_error(lazy_backward(R, softmax(z)), of_random)
assert blind < 1e-4 and seen == 1
assert relative_error(softmax_backward(R, softmax(z)), of_random) < 1e-8
print(f"evidence: out.sum() gives the lazy backward an error of {blind:.0e} < 1e-4: it passes")
print(f"evidence: (R * out).sum() with a random R gives {seen:.0%}; the right one has less than 1e-8")

# %% [markdown] lang="en"
# R is a random *upstream gradient*: what a larger network would send back to us. With it no sum can hide.
#
# The other blind spots are of the same make: **a special input makes a wrong formula equal to the right
# one.** To see it, take a whole readout. It is the last layer of every model in this project:
#
# | | shape |
# |---|---|
# | x, what the network has computed | (T, B, D) |
# | W and b, the weights and the bias | (D, V) and (V,) |
# | logits = x W + b | (T, B, V) |
#
# Backward of a product: $dx = dlogits\, W^T$, $dW = x^T dlogits$ summed over all tokens, and db is the sum of
# dlogits over all tokens. Lesson 2 takes its time for this.

# %% [markdown] lang="zh"
# R 是随机的*上游梯度*：更大的网络会传回给我们的东西。有了它，求和就藏不住错误。
#
# 其他盲点也是同样的道理：**特殊的输入让错误的公式恰好等于正确的公式。**
# 为了看清这一点，取一个完整的输出层。本项目每个模型的最后一层都是它：
#
# | | 形状 |
# |---|---|
# | x，网络算出的结果 | (T, B, D) |
# | W 和 b，权重和偏置 | (D, V) 和 (V,) |
# | logits = x W + b | (T, B, V) |
#
# 乘积的反向传播：$dx = dlogits\, W^T$；$dW = x^T dlogits$，对所有词元求和；
# db 是 dlogits 对所有词元的和。第 2 课会慢慢讲。

# %%
def readout_forward(x, W, b, targets, mask):
    logits = x @ W + b
    surprise = -np.take_along_axis(log_softmax(logits), targets[..., None], axis=-1)[..., 0]
    N = mask.sum()
    loss = (mask * surprise).sum() / N
    return loss, (x, W, b, targets, mask, N, softmax(logits))


def readout_backward(dloss, cache):
    x, W, b, targets, mask, N, p = cache
    dlogits = p - np.eye(len(b))[targets]
    dlogits = dlogits * mask[..., None]
    dlogits = dlogits * dloss / N
    dx = dlogits @ W.T
    dW = np.einsum("tbd,tbv->dv", x, dlogits)
    db = dlogits.sum(axis=(0, 1))
    return dx, dW, db


# %% [markdown] lang="en"
# Six mistakes, each in one line. `broken` replaces a line of the source text; it insists that the line occurs
# exactly once. And seven set-ups for the check: six have one special feature each, the last has none.

# %% [markdown] lang="zh"
# 六个错误，每个只错一行。`broken` 替换源代码中的一行，并要求这一行恰好出现一次。
# 再加七种检查的设置：前六种各有一个特殊之处，最后一种没有。

# %%
def broken(old, new, function=readout_backward):
    """The function with one line replaced."""
    return with_changes({old: new}, function)


CACHE = "x, W, b, targets, mask, N, p = cache"
MASKED, SCALED = "dlogits = dlogits * mask[..., None]", "dlogits = dlogits * dloss / N"
bugs = {
    "db of one token only": broken("db = dlogits.sum(axis=(0, 1))", "db = dlogits[0, 0]"),
    "padding not masked": broken(MASKED, "pass"),
    "z again, without b": broken(CACHE, f"{CACHE}; p = softmax(x @ W)"),
    "x in reversed time": broken("tbv->dv\", x, dlogits)", "tbv->dv\", x[::-1], dlogits)"),
    "dx with a wrong sign": broken("dx = dlogits @ W.T", "dx = -dlogits @ W.T"),
    "dloss forgotten": broken(SCALED, "dlogits = dlogits / N"),
}

# %%
D = 3


def readout_error(backward, lengths=(4, 2, 3), bias=1.0, constant_x=False, equal_weights=False, dloss=0.7):
    """The largest relative error over the three gradients, each measured against its own size."""
    rng = np.random.default_rng(1)
    B, T = len(lengths), max(lengths)
    mask = np.arange(T)[:, None] < np.array(lengths)
    x = np.ones((T, B, D)) if constant_x else rng.standard_normal((T, B, D))
    W = np.full((D, V), 0.3) if equal_weights else rng.standard_normal((D, V))
    b = bias * rng.standard_normal(V)
    targets = rng.integers(V, size=(T, B))
    _, cache = readout_forward(x, W, b, targets, mask)
    dx, dW, db = backward(dloss, cache)
    errors = [
        relative_error(dx, numeric_gradient(lambda x: dloss * readout_forward(x, W, b, targets, mask)[0], x)),
        relative_error(dW, numeric_gradient(lambda W: dloss * readout_forward(x, W, b, targets, mask)[0], W)),
        relative_error(db, numeric_gradient(lambda b: dloss * readout_forward(x, W, b, targets, mask)[0], b)),
    ]
    return max(errors)


setups = {
    "one token": dict(lengths=(1,)),
    "no padding": dict(lengths=(4, 4, 4)),
    "zero bias": dict(bias=0.0),
    "constant x": dict(constant_x=True),
    "equal weights": dict(equal_weights=True),
    "dloss = 1": dict(dloss=1.0),
    "nothing special": dict(),
}
table = np.array([[readout_error(bug, **setup) for setup in setups.values()] for bug in bugs.values()])
right = np.array([readout_error(readout_backward, **setup) for setup in setups.values()])
missed = table < 1e-4

figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
axes.imshow(~missed, cmap="cividis", aspect="auto", vmin=-0.5, vmax=1)
for (row, column), error in np.ndenumerate(table):
    axes.text(column, row, "passes" if missed[row, column] else f"{error:.2g}", ha="center", va="center",
              color="white" if missed[row, column] else "black", fontsize=9)  # fmt: skip
axes.set_xticks(range(len(setups)), setups, rotation=20)
axes.set_yticks(range(len(bugs)), bugs)

assert right.max() < 1e-7
assert missed[:, :-1].any(axis=0).all() and missed[:, :-1].any(axis=1).all() and not missed[:, -1].any()
print("evidence: the right backward is below 1e-7 in all set-ups")
print(f"evidence: {missed[:, :-1].sum()} wrong backward passes get through in the six, 0 in the last")

# %% [markdown] lang="en"
# Each of the six special set-ups lets at least one wrong backward pass, and the last one finds all six.

# %% [markdown] lang="zh"
# 六种特殊设置各自至少放过一个错误的反向传播，而最后一种找出了全部六个。

# %% [markdown] lang="en"
# Each line has its reason. With one token the sum is that token. Without padding the mask does nothing.
# With b = 0 it may be left out. If all x are equal, one is as good as another. With equal weights dx is 0,
# for the gradients of the logits sum to 0, and -0 is 0. Multiplied by 1, dloss may be forgotten.
#
# Two of these are what a program starts with: biases are 0 in a new model, and dloss is 1 at the loss. So do
# not check a model as it is after initialisation. Make all weights and biases random and not small.
#
# There is one blind spot that no set-up removes. **The check compares backward with forward. If both are
# wrong in the same way, it is silent.** Here the padding counts in both:

# %% [markdown] lang="zh"
# 每一行都有原因。只有一个词元时，总和就是它自己。没有填充时，掩码不起作用。
# b = 0 时可以漏掉 b。所有 x 相等时，用哪个都一样。
# 权重全相等时 dx 为 0，因为 logits 的梯度之和为 0，而 -0 还是 0。乘以 1 的 dloss 可以忘掉。
#
# 其中两条正是程序的初始状态：新模型的偏置是 0，损失处的 dloss 是 1。
# 所以不要检查刚初始化的模型，要让所有权重和偏置都随机，而且不太小。
#
# 有一个盲点是任何设置都消除不了的。**检查是拿反向与前向相比。
# 如果两者以同样的方式出错，它就沉默。** 下面的填充在两边都被计入：

# %%
def unmasked_forward(logits, targets, mask=None):
    return loss_forward(logits, targets)  # the mask is ignored


unmasked_loss, unmasked_cache = unmasked_forward(logits, targets, mask)
measured = numeric_gradient(lambda x: unmasked_forward(x, targets, mask)[0], logits)
silent = relative_error(loss_backward(1.0, unmasked_cache), measured)
moved = abs(unmasked_forward(logits, other, mask)[0] - unmasked_loss)
report = gradcheck((unmasked_forward, loss_backward), kind="cross_entropy")

assert silent < 1e-8 and moved > 0.1 and report.forward == "differs"
print(f"evidence: the gradient check passes ({silent:.0e} < 1e-8)")
print(f"evidence: yet other tokens in the padding move the loss by {moved:.2f}, more than 0.1")
print(f"evidence: gradcheck with a kind also compares the forward pass: {report.forward}")

# %% [markdown] lang="en"
# Against this helps a **property**: a statement about the forward pass that must hold. *What stands in the
# padding must not move the loss.* `minis2s.properties` has a collection of them.
#
# ## 7. The recipe
#
# 1. float64; h = 1e-5, central difference; or the complex step (see `gradient_check.py`).
# 2. A random upstream gradient, never `out.sum()`, never 1.
# 3. At least 3 sentences of different lengths, 4 steps, an id that occurs twice.
# 4. Random weights **and biases** of size about 0.7.
# 5. One error for each gradient, relative to the size of that gradient. One number for all hides the small
#    ones.
# 6. A gradient that is all 0 has not been checked.
# 7. On an alarm: another h. On silence: properties of the forward pass.

# %% [markdown] lang="zh"
# 对付它的办法是**性质**：前向传播必须满足的一个论断。
# *填充里放什么，都不得改变损失。* `minis2s.properties` 收集了许多这样的性质。
#
# ## 7. 配方
#
# 1. float64；h = 1e-5，中心差分；或者复数步长（见 `gradient_check.py`）。
# 2. 随机的上游梯度；不用 `out.sum()`，也不用 1。
# 3. 至少 3 个长度不同的句子，4 步，有一个 id 出现两次。
# 4. 随机的权重**和偏置**，大小约 0.7。
# 5. 每个梯度一个误差，相对于该梯度的大小。所有梯度只用一个数，会掩盖小的梯度。
# 6. 全为 0 的梯度等于没有检查。
# 7. 报警时：换一个 h。沉默时：检查前向传播的性质。

# %% [markdown] lang="en"
# ## 8. Exercises
#
# Each exercise has a cell with a hole and a cell that checks it. The check raises with the name of the
# exercise until the hole is filled. The hints are folded.

# %% [markdown] lang="zh"
# ## 8. 练习
#
# 每个练习有一个留空的单元格和一个检查它的单元格。
# 在填好之前，检查会报错并给出练习的名字。提示是折叠的。

# %% [markdown] lang="en"
# ### Exercise 1: temperature
#
# When a model writes text by chance, its logits z of shape (N, V) are often divided by a *temperature* τ, a
# scalar: $p = \mathrm{softmax}(z / \tau)$. Write backward: from dp of shape (N, V) to dz of shape (N, V) and
# dtau, a scalar. Use `softmax_backward`. (Here the function returns p and, in place of a cache, its own
# backward. `gradcheck` takes this form as well.)
#
# <details><summary>Hint 1</summary>
#
# Give $z / \tau$ a name, say s. First find ds.
#
# </details>
# <details><summary>Hint 2</summary>
#
# $\partial s / \partial \tau = -z / \tau^2$, and τ is used by every entry. What is used often, gets a sum.
#
# </details>

# %% [markdown] lang="zh"
# ### 练习 1：温度
#
# 模型随机地写文本时，常把形状为 (N, V) 的 logits z 除以一个标量*温度* τ：
# $p = \mathrm{softmax}(z / \tau)$。写出反向传播：由形状为 (N, V) 的 dp
# 得到形状为 (N, V) 的 dz 和标量 dtau。请使用 `softmax_backward`。
# （这里的函数返回 p，并返回它自己的反向函数来代替缓存。`gradcheck` 也接受这种形式。）
#
# <details><summary>提示 1</summary>
#
# 给 $z / \tau$ 起个名字，例如 s。先求 ds。
#
# </details>
# <details><summary>提示 2</summary>
#
# $\partial s / \partial \tau = -z / \tau^2$，而每个元素都用到 τ。被多次使用的量，其梯度是一个和。
#
# </details>

# %%
def temperature_softmax(z, tau):
    p = softmax(z / tau)

    def backward(dp):
        raise NotImplementedError("fill in backward: return dz, dtau")

    return p, backward


# %% tags=["raises-exception"]
with exercise("Exercise 1, temperature"):
    report = gradcheck(temperature_softmax, np.random.default_rng(3).standard_normal((3, 4)), np.array(1.7))
    assert report.ok, what_is_wrong(report)

# %% [markdown] lang="en"
# ### Exercise 2: find the bug
#
# The next cell is folded, please leave it so. It makes a wrong `readout_backward` by changing one line, and
# prints, for each gradient, the smallest and the largest ratio of its entries to the measured ones. Which
# change makes these ratios? Write your guess as two texts, the old line and the new one. The check makes your
# change and compares.
#
# <details><summary>Hint 1</summary>
#
# A constant ratio in all gradients: not a wrong variable but a wrong factor, and it is applied before the
# three gradients part.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The batch has 3 sentences of lengths 4, 2 and 3. So N = 9, and there are 4 · 3 = 12 places.
#
# </details>

# %% [markdown] lang="zh"
# ### 练习 2：找出错误
#
# 下一个单元格是折叠的，请不要打开。它改动一行，做出一个错误的 `readout_backward`，
# 并对每个梯度打印它的元素与测量值之比的最小值和最大值。
# 怎样的改动会造成这些比值？把你的猜测写成两段文字：原来的行和新的行。
# 检查单元格会作出你的改动并加以比较。
#
# <details><summary>提示 1</summary>
#
# 所有梯度的比值都是同一个常数：不是变量用错了，而是因子错了，
# 而且这个因子是在三个梯度分开之前乘上的。
#
# </details>
# <details><summary>提示 2</summary>
#
# 批次里有 3 个句子，长度为 4、2、3。所以 N = 9，而位置共有 4 · 3 = 12 个。
#
# </details>

# %% jupyter={"source_hidden": true} tags=["hide-input"]
hidden_backward = broken("dlogits = dlogits * dloss / N", "dlogits = dlogits * dloss / mask.size")


def readout_inputs(seed):
    rng = np.random.default_rng(seed)
    x, W, b = rng.standard_normal((4, 3, D)), rng.standard_normal((D, V)), rng.standard_normal(V)
    return x, W, b, rng.integers(V, size=(4, 3)), np.arange(4)[:, None] < np.array([4, 2, 3])


_, hidden_cache = readout_forward(*readout_inputs(7))
pairs = zip(hidden_backward(1.0, hidden_cache), readout_backward(1.0, hidden_cache), strict=True)
for name, (theirs, true) in zip(("dx", "dW", "db"), pairs, strict=True):
    ratio = theirs[true != 0] / true[true != 0]
    print(f"{name}: ratio from {ratio.min():.4f} to {ratio.max():.4f}")

# %%
old_line, new_line = "old line", "new line"

# %% tags=["raises-exception"]
with exercise("Exercise 2, find the bug"):
    assert old_line != "old line", "write your guess into old_line and new_line"
    guess = broken(old_line, new_line)
    pairs = zip(guess(0.7, hidden_cache), hidden_backward(0.7, hidden_cache), strict=True)
    for name, (yours, theirs) in zip(("dx", "dW", "db"), pairs, strict=True):
        assert np.allclose(yours, theirs, rtol=1e-10, atol=1e-14), f"your change gives another {name}"

# %% [markdown] lang="en"
# ### Exercise 3: a blind spot of your own
#
# This backward of the softmax takes the plain mean where the weighted sum belongs. Find scores z of shape
# (2, 4) for which a check with a random upstream gradient says "right". Then say to yourself what such an
# input looks like in a real program.
#
# <details><summary>Hint 1</summary>
#
# The right line is dp minus the sum of dp · p. When is a weighted sum a plain mean?
#
# </details>
# <details><summary>Hint 2</summary>
#
# When all weights are 1/V.
#
# </details>

# %% [markdown] lang="zh"
# ### 练习 3：自己找一个盲点
#
# 下面这个 softmax 的反向传播在应当用加权和的地方用了普通平均。
# 请找出形状为 (2, 4) 的分数 z，使得带随机上游梯度的检查也说“对”。
# 然后想一想：在真实程序里，这样的输入是什么样子？
#
# <details><summary>提示 1</summary>
#
# 正确的一行是 dp 减去 dp · p 之和。加权和什么时候等于普通平均？
#
# </details>
# <details><summary>提示 2</summary>
#
# 所有权重都是 1/V 的时候。
#
# </details>

# %%
def mean_backward(dp, p):
    return p * (dp - dp.mean(axis=-1, keepdims=True))


def blind_scores():
    raise NotImplementedError("fill in blind_scores: return z of shape (2, 4)")


# %% tags=["raises-exception"]
with exercise("Exercise 3, a blind spot"):
    blind_z = np.asarray(blind_scores(), dtype=float)
    assert blind_z.shape == (2, 4), f"z has shape {blind_z.shape}, not (2, 4)"
    upstream = np.random.default_rng(4).standard_normal((2, 4))
    true = numeric_gradient(lambda z: (upstream * softmax(z)).sum(), blind_z)
    assert np.abs(true).max() > 0.01, "the true gradient is 0 here: that is another blind spot"
    error = relative_error(mean_backward(upstream, softmax(blind_z)), true)
    assert error < 1e-6, f"the check sees the mistake: error {error:.1e}"

# %% [markdown] lang="en"
# ## 9. What to read next
#
# * J. Bridle, "Probabilistic interpretation of feedforward classification network outputs", in
#   Neurocomputing, Springer 1990: where the name softmax comes from, and why it goes with cross-entropy.
# * C. Shannon, "A mathematical theory of communication", Bell System Technical Journal 27, 1948: what
#   surprise measures.
# * C. Szegedy and others, "Rethinking the Inception architecture for computer vision", 2016, section 7: label
#   smoothing, the option `smoothing` of the engine.
# * N. Higham, "Accuracy and Stability of Numerical Algorithms", SIAM, second edition 2002, chapter 1: why
#   subtraction loses digits.
# * The lesson `gradient_check.py`: the same question on an LSTM, and the check that also names the mistake.
#
# Next lesson: `02_linear_and_embedding.py`.

# %% [markdown] lang="zh"
# ## 9. 接下来读什么
#
# * J. Bridle, "Probabilistic interpretation of feedforward classification network outputs",
#   载于 Neurocomputing, Springer 1990：softmax 这个名字的由来，以及它为何与交叉熵配对。
# * C. Shannon, "A mathematical theory of communication", Bell System Technical Journal 27, 1948：
#   惊讶程度度量的是什么。
# * C. Szegedy 等, "Rethinking the Inception architecture for computer vision", 2016, 第 7 节：
#   标签平滑，即引擎的 `smoothing` 选项。
# * N. Higham, "Accuracy and Stability of Numerical Algorithms", SIAM, 第二版 2002, 第 1 章：
#   减法为什么会丢失有效数字。
# * 课程 `gradient_check.py`：在 LSTM 上问同样的问题，那里的检查还能说出是什么错误。
#
# 下一课：`02_linear_and_embedding.py`。
