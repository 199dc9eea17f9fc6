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
# # Training: from a gradient to a model that can do something
#
# Your gradients are right, you have checked them. A gradient says in which direction the loss falls from
# here. It does not say how far to go, when to stop, or whether a lower loss is a better model.
#
# **How do you get from a right gradient to a model that is right about sentences it has never seen?**
#
# Four answers, each measured: the optimizer, the learning rate over time, dropout, and what the decoder is
# fed while it learns. You need lessons 1 to 7, or Python, arrays and the chain rule. About an hour and a
# half.

# %% [markdown] lang="zh"
# # 训练：从梯度到一个真正有用的模型
#
# 你的梯度是对的，你已经检验过了。梯度只告诉你：从这里出发，损失沿哪个方向下降。它不告诉你该走多远、什么时候停，
# 也不告诉你损失更低的模型是不是更好。
#
# **有了正确的梯度，怎样得到一个对没见过的句子也正确的模型？**
#
# 四个答案，每一个都有实测：优化器、随时间变化的学习率、dropout，以及训练时给解码器喂什么。需要第 1 至 7 课，
# 或者会 Python、数组和链式法则。大约一个半小时。

# %% [markdown] lang="en"
# ## 1. One step downhill
#
# Let p be all weights and $dp$ the gradient of the loss at p; both have the same shape. *Stochastic gradient
# descent* (SGD) goes a little against the gradient. The *learning rate* $\eta$ says how much:
#
# $$p \leftarrow p - \eta \, dp$$
#
# "Stochastic", because the gradient comes from one small batch and not from all data (Robbins and Monro
# 1951).

# %% [markdown] lang="zh"
# ## 1. 下山一步
#
# 设 p 为全部权重，$dp$ 为损失在 p 处的梯度，两者形状相同。*随机梯度下降*（SGD）逆着梯度走一小步，*学习率* $\eta$
# 决定走多远：
#
# $$p \leftarrow p - \eta \, dp$$
#
# 称为“随机”，是因为梯度只来自一个小批次，而不是全部数据（Robbins 和 Monro 1951）。

# %%
import inspect
import string

import matplotlib.pyplot as plt
import numpy as np

from minis2s import (
    SGD,
    Adam,
    AdamW,
    ModelConfig,
    TrainConfig,
    Trainer,
    Translator,
    check_loss,
    clip_global_norm,
    encode_pairs,
    functional,
    load_task,
    make_batch,
    plot_gradient_norm,
    plot_history,
    schedules,
)
from minis2s.data import BOS, PAD, Pair
from minis2s.gradcheck import gradcheck
from minis2s.lessons import exercise, with_changes
from minis2s.models.decoder import Decoder


# %%
def sgd(p, dp, memory, lr):
    return p - lr * dp  # memory is for the rules that come later


# %% [markdown] lang="en"
# ### A valley, and how fast is too fast
#
# Near its lowest point every smooth loss looks like a bowl. The simplest bowl with two weights has one
# curvature $\lambda$ for each:
#
# $$L(p) = \frac{1}{2} \sum_j \lambda_j p_j^2, \qquad dp_j = \lambda_j p_j$$
#
# Put this into the step, and each weight shrinks by a constant factor:
#
# $$p_j \leftarrow (1 - \eta \lambda_j) \, p_j$$
#
# If $\eta > 2 / \lambda_{max}$, the factor of the steepest direction is below -1, and training explodes. If
# $\eta$ is small enough for that, the flattest direction hardly moves. Here $\lambda$ = (1, 100).

# %% [markdown] lang="zh"
# ### 一条山谷：多快算太快
#
# 在最低点附近，任何光滑的损失看起来都像一只碗。两个权重的最简单的碗，每个方向有一个曲率 $\lambda$：
#
# $$L(p) = \frac{1}{2} \sum_j \lambda_j p_j^2, \qquad dp_j = \lambda_j p_j$$
#
# 代入上面的更新，每个权重每步乘一个固定的因子：
#
# $$p_j \leftarrow (1 - \eta \lambda_j) \, p_j$$
#
# 如果 $\eta > 2 / \lambda_{max}$，最陡方向的因子小于 -1，训练就会发散。如果 $\eta$ 小到不发散，最平的方向又几乎不动。
# 这里 $\lambda$ = (1, 100)。

# %%
curvature = np.array([1.0, 100.0])


def walk(rule, steps, scale=1.0, **settings):
    """The path of a rule down the valley, from (10, 1): an array (steps + 1, 2)."""
    p, memory = np.array([10.0, 1.0]), {}
    path = [p]
    for _ in range(steps):
        p = rule(p, scale * curvature * p, memory, **settings)
        path.append(p)
    return np.array(path)


path = walk(sgd, 50, lr=0.015)
formula = np.array([10.0, 1.0]) * (1 - 0.015 * curvature) ** np.arange(51)[:, None]
assert np.abs(path - formula).max() < 1e-12
just_right, too_fast = (abs(walk(sgd, 200, lr=lr)[-1, 1]) for lr in (0.0199, 0.0201))
assert just_right < 1 < too_fast
print(f"evidence: path and formula differ by less than 1e-12; after 200 steps the steep weight is "
      f"{just_right:.2f} < 1 with lr = 0.0199 and {too_fast:.1f} > 1 with lr = 0.0201")  # fmt: skip

# %% [markdown] lang="en"
# ## 2. Momentum
#
# A ball keeps its speed. So add up the gradients with a fading memory v, of the shape of p (Polyak 1964;
# Sutskever and others 2013):
#
# $$v \leftarrow \mu v + dp, \qquad p \leftarrow p - \eta v$$
#
# Along the flat direction all gradients agree, and v grows to $dp / (1 - \mu)$. Across the valley they change
# sign from step to step and cancel.

# %% [markdown] lang="zh"
# ## 2. 动量
#
# 球会保持速度。于是把梯度累加到一个会逐渐淡忘的记忆 v 里，v 的形状与 p 相同（Polyak 1964；Sutskever 等 2013）：
#
# $$v \leftarrow \mu v + dp, \qquad p \leftarrow p - \eta v$$
#
# 沿着平坦的方向，各步的梯度一致，v 会增长到 $dp / (1 - \mu)$。横穿山谷的方向上，梯度每步变号，互相抵消。

# %%
def momentum(p, dp, memory, lr, mu=0.9):
    v = mu * memory.get("v", 0) + dp
    memory["v"] = v
    return p - lr * v


def steps_needed(path):
    """The first step after which both weights stay within a thousandth of where they began."""
    far = (np.abs(path) > 1e-3 * np.abs(path[0])).any(axis=1)
    return int(np.flatnonzero(far)[-1]) + 1


# the best constants for curvatures 1 and 100 (Polyak 1964)
plain = steps_needed(walk(sgd, 2000, lr=2 / 101))
ball = steps_needed(walk(momentum, 2000, lr=(2 / 11) ** 2, mu=(9 / 11) ** 2))
assert ball < plain / 5
print(f"evidence: plain SGD needs {plain} steps, with momentum {ball}: less than a fifth")

# %% [markdown] lang="en"
# ## 3. Adam
#
# Momentum still has one learning rate for all weights. In a model of language the embedding of a rare word
# gets a gradient once in a thousand steps, and an output bias at every step. Adam (Kingma and Ba 2015) gives
# each weight a step of its own: the mean of its gradients over the root of their mean square.
#
# | equation | in words |
# |---|---|
# | $m \leftarrow \beta_1 m + (1 - \beta_1) dp$ | running mean |
# | $v \leftarrow \beta_2 v + (1 - \beta_2) dp^2$ | running mean square |
# | $\hat m = m / (1 - \beta_1^t)$ | m began at zero: at step t this undoes it |
# | $\hat v = v / (1 - \beta_2^t)$ | likewise |
# | $p \leftarrow p - \eta \hat m / (\sqrt{\hat v} + \epsilon)$ | the step |
#
# All arrays have the shape of p. Two consequences: the first step is $\eta$ in size for every weight, and
# a loss that is a thousand times larger makes the same path.

# %% [markdown] lang="zh"
# ## 3. Adam
#
# 动量法对所有权重仍只用一个学习率。而在语言模型里，罕见词的词嵌入一千步才得到一次梯度，输出层的偏置却每步都有。
# Adam（Kingma 和 Ba 2015）让每个权重有自己的步长：梯度的均值除以均方的平方根。
#
# | 公式 | 含义 |
# |---|---|
# | $m \leftarrow \beta_1 m + (1 - \beta_1) dp$ | 滑动平均 |
# | $v \leftarrow \beta_2 v + (1 - \beta_2) dp^2$ | 平方的滑动平均 |
# | $\hat m = m / (1 - \beta_1^t)$ | m 从零开始，这里在第 t 步校正偏差 |
# | $\hat v = v / (1 - \beta_2^t)$ | 同上 |
# | $p \leftarrow p - \eta \hat m / (\sqrt{\hat v} + \epsilon)$ | 更新 |
#
# 所有数组都与 p 同形。由此有两点：每个权重的第一步大小都是 $\eta$；损失放大一千倍，走的路不变。

# %%
def adam(p, dp, memory, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    t = memory.get("t", 0) + 1
    m = beta1 * memory.get("m", 0) + (1 - beta1) * dp
    v = beta2 * memory.get("v", 0) + (1 - beta2) * dp**2
    memory.update(t=t, m=m, v=v)
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return p - lr * m_hat / (np.sqrt(v_hat) + eps)


first = walk(adam, 1, lr=0.1)
assert np.abs(np.abs(first[1] - first[0]) - 0.1).max() < 1e-8
gap = np.abs(walk(adam, 100, lr=0.1) - walk(adam, 100, lr=0.1, scale=1000)).max()
assert gap < 1e-6
print(f"evidence: the first step is 0.1 for both weights to 1e-8; a loss 1000 times larger moves the path "
      f"by {gap:.0e} < 1e-6")  # fmt: skip

# %%
paths = {
    "SGD": walk(sgd, 60, lr=0.0185),
    "momentum": walk(momentum, 60, lr=0.01, mu=0.8),
    "Adam": walk(adam, 60, lr=0.4),
}
figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
x, y = np.meshgrid(np.linspace(-3, 11, 200), np.linspace(-1.6, 1.6, 200))
axes.contour(x, y, x**2 / 2 + 50 * y**2, levels=2.0 ** np.arange(-2, 8), colors="0.85", linewidths=0.8)
for (name, path), style, colour in zip(
    paths.items(), ("o-", "s--", "^:"), ("#0072B2", "#D55E00", "#009E73"), strict=True
):
    axes.plot(*path.T, style, color=colour, markersize=3, linewidth=1, label=name)
axes.set_xlabel("flat direction, curvature 1")
axes.set_ylabel("steep direction, curvature 100")
axes.legend(frameon=False, loc="lower left")

left = {name: abs(path[-1, 0]) for name, path in paths.items()}
assert left["SGD"] > 2 > left["momentum"] and left["Adam"] < 2
print(f"evidence: after 60 steps SGD is still {left['SGD']:.1f} > 2 away along the flat direction, "
      f"the others {left['momentum']:.2f} and {left['Adam']:.2f} < 2")  # fmt: skip

# %% [markdown] lang="en"
# After 60 steps SGD, which zigzags and then creeps, has come two thirds of the way along the valley, while
# momentum and Adam, which swing as well, are close to its lowest point.

# %% [markdown] lang="zh"
# 60 步之后，先折返、后爬行的 SGD 沿山谷只走了三分之二，而同样会摆动的动量法和 Adam 已经接近最低点。

# %% [markdown] lang="en"
# ### AdamW: decay that is not divided
#
# *Weight decay* pulls every weight towards zero. Added to the gradient, it would be divided by
# $\sqrt{\hat v}$ like the rest, and pull least where gradients are large. AdamW shrinks the weights directly
# (Loshchilov and Hutter 2019), and then makes the step of Adam:
#
# $$p \leftarrow (1 - \eta \, \omega) \, p$$

# %% [markdown] lang="zh"
# ### AdamW：不被除的权重衰减
#
# *权重衰减*把每个权重拉向零。如果把它加进梯度，它会和别的部分一起被 $\sqrt{\hat v}$ 除，梯度大的权重反而衰减最少。
# AdamW 直接缩小权重（Loshchilov 和 Hutter 2019），然后再走 Adam 的一步：
#
# $$p \leftarrow (1 - \eta \, \omega) \, p$$

# %%
def adamw(p, dp, memory, lr, decay=0.01, **settings):
    return adam((1 - lr * decay) * p, dp, memory, lr, **settings)


# %% [markdown] lang="en"
# ### Are these the optimizers of the engine?
#
# We train a small model that reads a word and writes it backwards, for six steps in float64. The engine
# changes the weights; ours start from the same weights and get the same gradients.

# %% [markdown] lang="zh"
# ### 它们与引擎里的优化器一样吗？
#
# 用 float64 训练一个小模型六步，它读一个单词，把它倒着写出来。引擎更新它的权重；我们的规则从同样的权重出发，
# 用同样的梯度。

# %%
words = load_task("reverse", size=400).train


def small_model(pairs, hidden=24, seed=0, dtype=np.float32):
    """A GRU that reads, a GRU that writes, no attention; and the pairs as numbers."""
    config = ModelConfig(cell="gru", bidirectional=False, embed=16, hidden=hidden, attention="none")
    translator = Translator.for_pairs(pairs, config, seed=seed, dtype=dtype)
    examples = encode_pairs(pairs, translator.source, translator.target, all_targets=False)
    return translator.model, examples


def compare(rule, settings, engine, engine_settings):
    """The largest difference of any weight after six steps, relative to the largest weight."""
    model, examples = small_model(words, dtype=np.float64)
    parameters = model.parameters()
    optimizer = engine(parameters, **engine_settings)
    mine = {name: p.data.copy() for name, p in parameters.items()}
    memories = {name: {} for name in parameters}
    for step in range(6):
        model.zero_grad()
        _, cache = model.loss(make_batch(examples, np.arange(16 * step, 16 * step + 16)))
        model.backward(1.0, cache)
        for name, p in parameters.items():
            mine[name] = rule(mine[name], p.grad, memories[name], **settings)
        optimizer.step()
    return max(np.abs(mine[name] - p.data).max() / np.abs(p.data).max() for name, p in parameters.items())


for rule, settings, engine, engine_settings in (
    (sgd, {"lr": 0.1}, SGD, {"lr": 0.1}),
    (momentum, {"lr": 0.1, "mu": 0.9}, SGD, {"lr": 0.1, "momentum": 0.9}),
    (adam, {"lr": 0.01}, Adam, {"lr": 0.01}),
    (adamw, {"lr": 0.01, "decay": 0.1}, AdamW, {"lr": 0.01, "weight_decay": 0.1}),
):
    error = compare(rule, settings, engine, engine_settings)
    assert error < 1e-12
    print(f"evidence: {rule.__name__} and minis2s.{engine.__name__} differ by {error:.0e} < 1e-12")

# %% [markdown] lang="en"
# The engine moves both corrections of Adam into two numbers, so that no array is touched for them, and works
# in place. Otherwise its lines are yours:

# %% [markdown] lang="zh"
# 引擎把 Adam 的两个校正合并成两个数，不必为它们再处理数组，并且原地更新。除此之外，它的代码就是你写的那几行：

# %% tags=["engine-source"]
print(inspect.getsource(Adam.update))

# %% [markdown] lang="en"
# ### Which one trains better?
#
# A comparison is fair only if each gets a learning rate that suits it. So each gets three, and we look at its
# best. If the best is the middle one of the three, a better one further out is unlikely. The number is
# the mean loss of the last 20 of 120 steps.

# %% [markdown] lang="zh"
# ### 哪一个训练得更好？
#
# 只有各自用了合适的学习率，比较才公平。所以每个优化器试三个学习率，看它最好的一次。如果最好的是三个中间的那个，
# 再往外多半找不到更好的。数字是 120 步中最后 20 步的平均损失。

# %%
def train_on_words(make_optimizer, steps=120):
    """The loss and the gradient norm of every step; the norm is clipped to 0.5."""
    model, examples = small_model(words)
    optimizer = make_optimizer(model.parameters())
    rng = np.random.default_rng(1)
    losses, norms = [], []
    for _ in range(steps):
        model.zero_grad()
        loss, cache = model.loss(make_batch(examples, rng.integers(len(examples), size=16)))
        model.backward(1.0, cache)
        norms.append(clip_global_norm(model.parameters(), 0.5))
        optimizer.step()
        losses.append(float(loss))
    return losses, norms


best, norms_of = {}, {}
for name, make, rates in (
    ("SGD", lambda p, lr: SGD(p, lr), (1.6, 6.4, 25.6)),
    ("momentum", lambda p, lr: SGD(p, lr, momentum=0.9), (0.4, 1.6, 6.4)),
    ("Adam", lambda p, lr: Adam(p, lr), (0.01, 0.03, 0.1)),
):
    for lr in rates:
        losses, norms = train_on_words(lambda p, make=make, lr=lr: make(p, lr))
        end = float(np.mean(losses[-20:]))
        if name not in best or end < best[name][0]:
            best[name], norms_of[name] = (end, lr), norms
    assert best[name][1] == rates[1], "the best is at an end: look further"
for name, (end, lr) in best.items():
    print(f"{name:9s} best learning rate {lr:<5g} loss at the end {end:.2f}")
assert best["Adam"][0] < best["momentum"][0] - 0.1 < best["SGD"][0] - 0.2
print("evidence: the best rate is the middle one of each; Adam ends by over 0.1 nats per token below "
      "momentum, momentum by over 0.1 below plain SGD")  # fmt: skip

# %%
figure, sentence = plot_gradient_norm(norms_of["Adam"], clip=0.5)
print(sentence)
assert len(norms_of["Adam"]) == 120 and np.isfinite(norms_of["Adam"]).all()
print("evidence: all 120 norms are finite")
figure  # noqa: B018 -- a notebook shows it

# %% [markdown] lang="en"
# The gradient norm of Adam's best run differs much from step to step, and the dashed line is where it is
# clipped.

# %% [markdown] lang="zh"
# Adam 最好的一次训练中，梯度范数每步变化很大，虚线是裁剪的界限。

# %% [markdown] lang="en"
# ## 4. The learning rate over time
#
# A batch is a sample, so its gradient is the true one plus noise. Take a bowl with curvature 1 and noise of
# variance $\sigma^2$:
#
# $$p \leftarrow p - \eta (p + \text{noise})$$
#
# At the end p does not rest at zero. The variance s of p no longer changes when
# $s = (1 - \eta)^2 s + \eta^2 \sigma^2$, that is
#
# $$s = \frac{\eta}{2 - \eta} \sigma^2$$
#
# A large rate goes fast and ends with a tremble; a small one ends quietly and takes ages. So begin large and
# end small.

# %% [markdown] lang="zh"
# ## 4. 随时间变化的学习率
#
# 一个批次只是样本，它的梯度等于真梯度加噪声。取一只曲率为 1 的碗，噪声方差为 $\sigma^2$：
#
# $$p \leftarrow p - \eta (p + \text{noise})$$
#
# 最后 p 并不停在零。当 $s = (1 - \eta)^2 s + \eta^2 \sigma^2$ 时，p 的方差 s 不再变化，即
#
# $$s = \frac{\eta}{2 - \eta} \sigma^2$$
#
# 学习率大，走得快，但最后一直抖动；学习率小，最后安静，但太慢。所以：开始大，结束小。

# %%
def noisy_bowl(rate, steps=400, walkers=20_000):
    """The mean square of p at the end, over many walkers that start at 5; rate(t) for t = 1 ... steps."""
    rng = np.random.default_rng(2)
    p = np.full(walkers, 5.0)
    for t in range(1, steps + 1):
        p = p - rate(t) * (p + rng.standard_normal(walkers))
    return float(np.mean(p**2))


for lr in (0.5, 0.05):
    measured, formula = noisy_bowl(lambda t, lr=lr: lr), lr / (2 - lr)
    assert abs(measured / formula - 1) < 0.05
    print(f"evidence: lr = {lr}: mean square {measured:.4f}, formula {formula:.4f}, less than 5 % apart")
constant, decayed, slow = (
    noisy_bowl(rate) for rate in (lambda t: 0.1, lambda t: 0.2 * (401 - t) / 400, lambda t: 0.005)
)
assert decayed < constant / 3 and slow > constant
print(f"evidence: 0.1 all the time ends at {constant:.4f}; falling from 0.2 to 0, with the same mean, "
      f"at {decayed:.4f}, less than a third; 0.005 is still on its way, {slow:.4f}")  # fmt: skip

# %% [markdown] lang="en"
# ### Schedules
#
# With n the number of all steps, t = 1, 2, ... and $\ell = (n + 1 - t) / n$, the share of steps that are
# left:
#
# | schedule | learning rate at step t |
# |---|---|
# | linear decay | $\eta \, \ell$ |
# | cosine decay | $\eta \, (1 - \cos(\pi \ell)) / 2$ |
# | inverse square root | $\eta \, \min(t / w, \sqrt{w / t})$ |
# | warm-up before any of them | the first w steps times $t / w$ |
#
# Why a warm-up? At the first steps Adam's v is a mean of few squares, so its steps are as bold as they can
# be, in directions that a handful of sentences has chosen.

# %% [markdown] lang="zh"
# ### 几种调度
#
# 设总步数为 n，t = 1, 2, ...，剩余步数的比例 $\ell = (n + 1 - t) / n$：
#
# | 调度 | 第 t 步的学习率 |
# |---|---|
# | 线性衰减 | $\eta \, \ell$ |
# | 余弦衰减 | $\eta \, (1 - \cos(\pi \ell)) / 2$ |
# | 平方根倒数 | $\eta \, \min(t / w, \sqrt{w / t})$ |
# | 预热，可加在任何一种之前 | 前 w 步乘以 $t / w$ |
#
# 为什么要预热？最初几步里 Adam 的 v 只是很少几个平方的平均，步子迈得最大，方向却只由几个句子决定。

# %%
n, w = 200, 20
steps = np.arange(1, n + 1)
share = (n + 1 - steps) / n
mine = {
    "linear, warm-up": np.minimum(1, steps / w) * share,
    "cosine": (1 - np.cos(np.pi * share)) / 2,
    "inverse square root": np.minimum(steps / w, np.sqrt(w / steps)),
}
engines = {
    "linear, warm-up": schedules.WarmUp(w, schedules.LinearDecay(1.0, n)),
    "cosine": schedules.CosineDecay(1.0, n),
    "inverse square root": schedules.InverseSquareRoot(1.0, w),
}
figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
for (name, rates), style, colour in zip(
    mine.items(), ("-", "--", ":"), ("#0072B2", "#D55E00", "#009E73"), strict=True
):
    axes.plot(steps, rates, style, color=colour, label=name)
    gap = max(abs(engines[name].lr(int(t)) - rate) for t, rate in zip(steps, rates, strict=True))
    assert gap < 1e-12
    print(f"evidence: {name} and minis2s.schedules differ by {gap:.0e} < 1e-12")
axes.set_xlabel("training step")
axes.set_ylabel("learning rate / peak")
axes.legend(frameon=False)

# %% [markdown] lang="en"
# Two of the three schedules climb for 20 steps, and at the end the inverse square root is far from zero while
# the others have reached it.

# %% [markdown] lang="zh"
# 三种调度中有两种先上升 20 步，到最后平方根倒数离零还远，其余两种已降到零。

# %% [markdown] lang="en"
# ## 5. Overfitting
#
# The loss that we lower is that of the training data. What we want is the loss on sentences that are not
# among them. We keep some apart, the *dev data*, and look at them during training, but never learn from them.
#
# Here are 100 words for a model with 25,000 weights. `Trainer` keeps the history.

# %% [markdown] lang="zh"
# ## 5. 过拟合
#
# 我们降低的是训练数据上的损失，想要的却是没见过的句子上的损失。所以留出一部分数据作为*开发集*（dev data）：
# 训练时拿来看，但从不从中学习。
#
# 这里只有 100 个单词，模型却有两万五千个权重。`Trainer` 会记录历史。

# %%
few = load_task("reverse", size=100)


def train_on_few(dropout):
    """The Trainer of a model with attention, after 60 times through the 100 words."""
    config = ModelConfig(cell="gru", embed=16, hidden=48, dropout=dropout)
    translator = Translator.for_pairs(few.train, config)
    options = TrainConfig(
        epochs=60, batch_tokens=300, lr=0.005, warmup=10, schedule="constant", evaluations=12,
        dev_sentences=150,
    )  # fmt: skip
    trainer = Trainer(translator, few.train, few.dev, options)
    trainer.run(quiet=True)
    return trainer


without = train_on_few(0.0)
figure, sentence = plot_history(without.history)
print(sentence)
size = sum(p.data.size for p in without.model.parameters().values())
last, lowest = without.history[-1], min(row["dev_loss"] for row in without.history)
assert size > 100 * len(few.train) and last["train_loss"] < 0.1 and last["dev_loss"] > 5 * last["train_loss"]
print(f"evidence: {size:,} weights for 100 words; training loss {last['train_loss']:.3f} < 0.1, "
      f"dev loss {last['dev_loss']:.2f}, more than 5 times that")  # fmt: skip
figure  # noqa: B018 -- a notebook shows it

# %% [markdown] lang="en"
# The training loss goes to zero while the dev loss stops far above it: the model knows its 100 words by
# heart.

# %% [markdown] lang="zh"
# 训练损失降到零，而开发集损失停在远高于它的地方：模型把 100 个单词背了下来。

# %% [markdown] lang="en"
# The simplest remedy costs nothing: keep the weights of the evaluation with the lowest dev error.
# `Trainer.run`
# does so (*early stopping*). The best remedy is more data. When there are none, make it harder to learn by
# heart.

# %% [markdown] lang="zh"
# 最简单的办法不花代价：保留开发集错误率最低时的权重，`Trainer.run` 就是这样做的（*早停*）。最好的办法是更多的数据。
# 没有更多数据时，就让“死记硬背”变难。

# %% [markdown] lang="en"
# ## 6. Dropout
#
# In training, set each unit to zero with probability $q$, anew for every batch (Srivastava and others 2014).
# No unit can count on another one being there. With a mask k of ones (kept) and zeros, of the shape of x:
#
# $$y = \frac{x \cdot k}{1 - q}, \qquad dx = \frac{dy \cdot k}{1 - q}$$
#
# The division keeps the expected value: $E[y] = x$. So in use, when nothing is dropped, nothing needs to be
# scaled. The gradient must pass through *the same* mask.

# %% [markdown] lang="zh"
# ## 6. Dropout
#
# 训练时，每个单元以概率 $q$ 置零，每个批次重新抽取（Srivastava 等 2014）。这样没有哪个单元可以依赖另一个单元一定在场。
# 设掩码 k 由 1（保留）和 0 组成，形状与 x 相同：
#
# $$y = \frac{x \cdot k}{1 - q}, \qquad dx = \frac{dy \cdot k}{1 - q}$$
#
# 除法保持期望值不变：$E[y] = x$。所以使用模型时不丢弃任何单元，也不需要缩放。梯度必须通过*同一个*掩码。

# %%
def dropout_forward(x, keep, q):
    y = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        if keep[index]:
            y[index] = x[index] / (1 - q)
    return y, (keep, q)


def dropout_backward(dy, cache):
    keep, q = cache
    dx = np.zeros_like(dy)
    for index in np.ndindex(dy.shape):
        if keep[index]:
            dx[index] = dy[index] / (1 - q)
    return dx


# %%
rng = np.random.default_rng(3)
x, R = rng.standard_normal((2, 4, 3))
keep = rng.random(x.shape) >= 0.4
y, cache = dropout_forward(x, keep, 0.4)
got = dropout_backward(R, cache)

h, measured = 1e-5, np.zeros_like(x)
for index in np.ndindex(x.shape):
    e = np.zeros_like(x)
    e[index] = h
    up, down = (dropout_forward(x + s * e, keep, 0.4)[0] for s in (1, -1))
    measured[index] = (R * (up - down)).sum() / (2 * h)
error = np.abs(got - measured).max() / np.abs(measured).max()
assert error < 1e-9
print(f"evidence: backward and central differences differ by {error:.0e} < 1e-9")

report = gradcheck((dropout_forward, dropout_backward), kind="dropout")
assert report.ok
print(f"evidence: {report.summary()}")

theirs, their_cache = functional.dropout.forward(x, keep, 0.4)
gap = max(np.abs(theirs - y).max(), np.abs(functional.dropout.backward(R, their_cache) - got).max())
assert gap < 1e-14
many = np.mean([dropout_forward(x, rng.random(x.shape) >= 0.4, 0.4)[0] for _ in range(20_000)], axis=0)
drift = np.abs(many - x).max()
assert drift < 0.06
print(f"evidence: ours and the engine's differ by {gap:.0e} < 1e-14; the mean of 20,000 draws is x "
      f"to {drift:.3f} < 0.06")  # fmt: skip

# %% tags=["engine-source"]
print(inspect.getsource(functional.dropout.forward))
print(inspect.getsource(functional.dropout.backward))

# %% [markdown] lang="en"
# The same 100 words once more, with a share of 0.3 dropped (between the layers and at the embeddings, not in
# the recurrence):

# %% [markdown] lang="zh"
# 同样的 100 个单词再训练一次，丢弃比例 0.3（用在层与层之间和词嵌入上，不用在循环连接里）：

# %%
dropped = train_on_few(0.3)

figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
for name, trainer, style, colour in (
    ("no dropout", without, "o", "#0072B2"), ("dropout 0.3", dropped, "s", "#D55E00")
):  # fmt: skip
    epochs = [row["epoch"] for row in trainer.history]
    for key, line in (("train_loss", ":"), ("dev_loss", "-")):
        values = [row[key] for row in trainer.history]
        label = f"{name}, {'training' if key == 'train_loss' else 'dev'}"
        axes.plot(epochs, values, style + line, color=colour, markersize=4, label=label)
axes.set_xlabel("epochs")
axes.set_ylabel("loss (nats per token)")
axes.legend(frameon=False)

losses = {name: t.history[-1]["dev_loss"] for name, t in (("without", without), ("with", dropped))}
assert losses["with"] < losses["without"] and dropped.history[-1]["train_loss"] > last["train_loss"]
print(f"evidence: dev loss {losses['without']:.2f} without dropout, {losses['with']:.2f} with it; "
      f"training loss {last['train_loss']:.3f} and {dropped.history[-1]['train_loss']:.3f}")  # fmt: skip
rates = [trainer.best["dev_error_rate"] for trainer in (without, dropped)]
print(f"lowest dev error: {rates[0]:.1%} without, {rates[1]:.1%} with")

# %% [markdown] lang="en"
# With dropout the training loss (measured while units are missing) falls more slowly, and the dev loss ends
# lower.

# %% [markdown] lang="zh"
# 用 dropout 时，训练损失（测量时有单元缺席）下降得更慢，开发集损失最后却更低。

# %% [markdown] lang="en"
# ## 7. Exposure bias
#
# While it learns, the decoder is given the right previous token at each step: *teacher forcing*. In use there
# is no teacher. It is given its own previous token, which may be wrong, and then it stands where it has never
# been in training. This gap is called *exposure bias* (Ranzato and others 2016).
#
# | | the probability of the next token |
# |---|---|
# | in training | $P(y_t \mid y_1 \dots y_{t-1}, x)$ with the right tokens y |
# | in use | $P(y_t \mid \hat y_1 \dots \hat y_{t-1}, x)$ with its own tokens $\hat y$ |
#
# We measure it on two small tasks, made on the spot: write four letters backwards, and write six letters in
# the order of the alphabet. The model has no attention, so it has to hold everything in one vector. `coins`
# of shape (T, B) say who is fed at step t: True the right token, False the model's own.

# %% [markdown] lang="zh"
# ## 7. 曝光偏差
#
# 训练时，解码器每一步得到的是正确的上一个词元：*教师强制*（teacher forcing）。使用时没有老师，它得到的是自己写的
# 上一个词元，可能是错的，于是处在训练中从未到过的地方。这个差距叫*曝光偏差*（exposure bias，Ranzato 等 2016）。
#
# | | 下一个词元的概率 |
# |---|---|
# | 训练时 | $P(y_t \mid y_1 \dots y_{t-1}, x)$，y 是正确的词元 |
# | 使用时 | $P(y_t \mid \hat y_1 \dots \hat y_{t-1}, x)$，$\hat y$ 是模型自己的词元 |
#
# 我们在两个当场生成的小任务上测量它：把四个字母倒着写，以及把六个字母按字母表顺序写。模型没有注意力，
# 必须把一切放进一个向量。形状 (T, B) 的 `coins` 决定第 t 步喂什么：True 喂正确的词元，False 喂模型自己的。

# %%
TASKS = {  # letters of the alphabet, length of a word, training steps, what to write
    "backwards": (8, 4, 250, lambda word: word[::-1]),
    "sorted": (16, 6, 200, lambda word: "".join(sorted(word))),
}


def make_pairs(task, size, seed):
    letters, length, _, target = TASKS[task]
    rng = np.random.default_rng(seed)
    drawn = ("".join(rng.choice(list(string.ascii_lowercase[:letters]), size=length)) for _ in range(size))
    return [Pair(word, (target(word),)) for word in drawn]


def train_task(task, seed, last_ratio=1.0):
    """A trained model and its test batch of 300 new words.

    last_ratio: the chance of the right token at the last step; 1 for the first 30 % of training, then it
    falls in a straight line.
    """
    steps = TASKS[task][2]
    learn = make_pairs(task, 1000, seed)
    known = {pair.source for pair in learn}
    test = [pair for pair in make_pairs(task, 1000, 99) if pair.source not in known][:300]
    model, examples = small_model(learn + test, hidden=36, seed=seed)
    optimizer = Adam(model.parameters(), 0.01, betas=(0.9, 0.99))
    rate = schedules.WarmUp(20, schedules.LinearDecay(0.01, steps))
    rng = np.random.default_rng(seed)
    for t in range(1, steps + 1):
        ratio = 1 - (1 - last_ratio) * max(0, t / steps - 0.3) / 0.7
        batch = make_batch(examples, rng.integers(len(learn), size=16))
        model.zero_grad()
        _, cache = model.loss(batch, rng=rng, teacher_forcing=ratio)
        model.backward(1.0, cache)
        clip_global_norm(model.parameters(), 1.0)
        optimizer.lr = rate.lr(t)
        optimizer.step()
    return model, make_batch(examples, np.arange(len(learn), len(examples)))


def wrong(model, batch, forced):
    """Where the best token is wrong, (T, B) without the end mark: with the right tokens fed, or its own."""
    coins = np.full(batch.tgt_in.shape, forced)
    logits, _ = model.forward(batch.src, batch.src_mask, batch.tgt_in, coins=coins)
    logits[..., [PAD, BOS]] = -np.inf
    return (logits.argmax(axis=-1) != batch.tgt_out)[:-1]


# %%
SEEDS = (0, 1, 2)
taught = {task: [train_task(task, seed) for seed in SEEDS] for task in TASKS}
errors = {  # task -> fed with -> (seeds, T): the share of wrong tokens at each step
    task: {who: np.array([wrong(*run, who).mean(axis=1) for run in runs]) for who in (True, False)}
    for task, runs in taught.items()
}

figure, both = plt.subplots(1, 2, figsize=(8, 3.3), layout="constrained", sharey=True)
for axes, task in zip(both, TASKS, strict=True):
    for who, style, colour, label in (
        (True, "o-", "#0072B2", "right tokens fed"), (False, "s--", "#D55E00", "its own tokens fed")
    ):  # fmt: skip
        mean = errors[task][who].mean(axis=0)
        axes.plot(np.arange(1, len(mean) + 1), mean, style, color=colour, markersize=4, label=label)
    axes.set_title(task)
    axes.set_xlabel("step")
both[0].set_ylabel("share of wrong tokens")
both[0].legend(frameon=False)

for task, found in errors.items():
    forced, free = (found[who].mean(axis=1) for who in (True, False))
    assert np.abs(found[True][:, 0] - found[False][:, 0]).max() == 0 and (free > forced + 0.02).all()
    print(f"evidence: {task}: step 1 is the same; over all steps {forced.mean():.3f} wrong with the right "
          f"tokens, {free.mean():.3f} with its own, more by over 0.02 for each seed")  # fmt: skip

# %% [markdown] lang="en"
# At the first step both are equal, as both are fed the start mark, and from the second on the model makes
# more mistakes when it reads its own tokens.

# %% [markdown] lang="zh"
# 第一步两者相同，因为喂的都是起始标记，而从第二步起，模型读自己的词元时错得更多。

# %% [markdown] lang="en"
# Do mistakes breed mistakes? Compare the steps after a wrong token with the steps after a right one. In free
# running the difference has two causes: a hard word makes several mistakes by itself, and a mistake misleads.
# With the right tokens fed there is only the first cause. What is more is exposure bias.

# %% [markdown] lang="zh"
# 错误会引来错误吗？比较写错之后的一步和写对之后的一步。自由运行时，两者的差别有两个原因：难的单词本来就会错好几处；
# 而一个错误又会误导后面。喂正确的词元时只有第一个原因，多出来的部分就是曝光偏差。

# %%
def after(w):
    """The share of wrong tokens (after a right one, after a wrong one), for w (T, B)."""
    before, now = w[:-1], w[1:]
    return now[~before].mean(), now[before].mean()


for task, runs in taught.items():
    forced, free = (np.mean([after(wrong(*run, who)) for run in runs], axis=0) for who in (True, False))
    more = (free[1] - free[0]) - (forced[1] - forced[0])
    assert more > 0.05
    print(f"evidence: {task}: wrong after right and after wrong: {forced[0]:.2f} and {forced[1]:.2f} forced, "
          f"{free[0]:.2f} and {free[1]:.2f} free; the gap is {more:.2f} > 0.05 wider")  # fmt: skip

# %% [markdown] lang="en"
# ## 8. Scheduled sampling
#
# So let the model meet its own mistakes in training. At each step and for each sentence toss a coin: with
# probability $\epsilon$ feed the right token, else the model's own; and let $\epsilon$ fall during training
# (Bengio and others 2015). The target stays the right token.
#
# The loop, as plainly as it can be written, with two words of decoding, `start` and `step`:

# %% [markdown] lang="zh"
# ## 8. 计划采样
#
# 那么就让模型在训练中遇到自己的错误。每一步、每个句子抛一枚硬币：以概率 $\epsilon$ 喂正确的词元，否则喂模型自己的；
# 训练中让 $\epsilon$ 逐渐下降（scheduled sampling，Bengio 等 2015）。目标仍是正确的词元。
#
# 用最直白的循环写出来，只用解码时的 `start` 和 `step`：

# %%
def fed_tokens(model, batch, coins):
    """The tokens (T, B) that go in, one step after the other."""
    state = model.start(batch.src, batch.src_mask)
    tokens = batch.tgt_in[0]  # the start mark
    fed = [tokens]
    for t in range(1, len(batch.tgt_in)):
        log_p, state = model.step(state, tokens)
        log_p[:, [PAD, BOS]] = -np.inf  # nobody feeds these
        own = log_p.argmax(axis=-1)
        tokens = np.where(coins[t], batch.tgt_in[t], own)
        fed.append(tokens)
    return np.stack(fed)


model, batch = taught["sorted"][0]
coins = np.random.default_rng(4).random(batch.tgt_in.shape) < 0.5
_, cache = model.loss(batch, coins=coins)
same = np.mean(cache.model.decoder.fed == fed_tokens(model, batch, coins))
others = np.mean(fed_tokens(model, batch, coins) != batch.tgt_in)
assert same > 0.999 and others > 0.1
print(f"evidence: {same:.1%} of the tokens that we and the engine feed are equal; "
      f"{others:.0%} of them, more than 10 %, are not the right ones")  # fmt: skip

# %% tags=["engine-source"]
print(inspect.getsource(Decoder._steps))

# %% [markdown] lang="en"
# And backward? The choice of the best token is a step function: its derivative is zero, except where two
# tokens are equally good, and there it has none. So the gradient flows through the states and the loss, and
# not through the choice. With fixed coins a numeric derivative agrees, as long as no choice flips:

# %% [markdown] lang="zh"
# 反向传播呢？选出最好的词元是一个阶跃函数：导数为零，只在两个词元一样好的地方没有导数。所以梯度经过状态和损失，
# 不经过这个选择。固定硬币之后，只要没有选择翻转，数值导数就与之一致：

# %%
tiny_pairs = make_pairs("backwards", 6, 5)
tiny, examples = small_model(tiny_pairs, hidden=5, dtype=np.float64)
batch = make_batch(examples, np.arange(6))
coins = np.random.default_rng(5).random(batch.tgt_in.shape) < 0.5
tiny.zero_grad()
_, cache = tiny.loss(batch, coins=coins)
tiny.backward(1.0, cache)
parameters = tiny.parameters()
report = check_loss(
    lambda: tiny.loss(batch, coins=coins)[0],
    {name: p.data for name, p in parameters.items()},
    {name: p.grad.copy() for name, p in parameters.items()},
    fast=True,
)
assert report.ok and not coins.all()
print(f"evidence: {report.summary()}")

# %% [markdown] lang="en"
# ### Does it help?
#
# We train again, from the same weights on the same words for as many steps. The chance of the right token is
# 1
# for 30 % of the training and then falls to 0. Three seeds for each task, because one seed proves nothing.

# %% [markdown] lang="zh"
# ### 有用吗？
#
# 从同样的权重、用同样的单词、同样的步数再训练一次。喂正确词元的概率在前 30 % 的训练中是 1，然后降到 0。
# 每个任务用三个随机种子，因为一个种子说明不了什么。

# %%
sampled = {task: [train_task(task, seed, last_ratio=0.0) for seed in SEEDS] for task in TASKS}
free = {
    task: np.array([[wrong(*run, False).mean() for run in runs[task]] for runs in (taught, sampled)])
    for task in TASKS
}  # task -> (2, seeds): teacher forcing, scheduled sampling

figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
for task, style, colour in (("backwards", "o-", "#0072B2"), ("sorted", "s--", "#D55E00")):
    for n, pair in enumerate(free[task].T):
        axes.plot([0, 1], pair, style, color=colour, label=None if n else task)
axes.set_xticks([0, 1], ["teacher forcing", "scheduled sampling"])
axes.set_xlim(-0.3, 1.3)
axes.set_ylim(0, 1)
axes.set_ylabel("share of wrong tokens, its own fed")
axes.legend(frameon=False)

change = {task: found[1] - found[0] for task, found in free.items()}
assert change["sorted"].mean() < 0 and (change["backwards"] > 0.05).all()
for task, found in change.items():
    print(f"{task:10s} change of the share of wrong tokens, seed by seed: {np.round(found, 3)}")
print("evidence: sorting makes fewer mistakes in the mean (change < 0), backwards more for each (> 0.05)")

# %% [markdown] lang="en"
# Each line is one seed: with scheduled sampling the sorting gets a little better in the mean, and the writing
# backwards gets much worse.

# %% [markdown] lang="zh"
# 每条线是一个种子：用计划采样后，排序平均略有改善，倒写明显变差。

# %% [markdown] lang="en"
# We chose these two tasks because they disagree; that is what you should remember. In the order of the
# alphabet a wrong letter does not change what should come next, and a model that has learned to go on after
# it gains. Backwards, the model finds its place by the letters that it has written. A wrong input with the
# old target tells it that those letters are worth little, and it learns more slowly. Measure on your own
# task, with several seeds.

# %% [markdown] lang="zh"
# 我们选这两个任务，正因为它们结果相反；要记住的就是这一点。按字母表排序时，写错一个字母并不改变接下来该写什么，
# 学会在错误之后继续的模型就有收益。倒写时，模型靠已写的字母知道自己写到了哪里；错误的输入配上原来的目标，
# 等于告诉它这些字母不可信，它就学得更慢。在你自己的任务上测量，并且用几个种子。

# %% [markdown] lang="en"
# ## 9. What it learns that is not true
#
# There is a deeper objection (Huszar 2015). Let there be two right answers, "ab" and "ba", each half of the
# time. After an a there is always a b:
#
# $$P(b \mid a) = 1$$
#
# With scheduled sampling down to 0 the model is fed its own first letter, whatever the target is. When it has
# written a, the target's second letter is b in one half of the cases and a in the other. The best it can do
# is
# $1/2$, and so it learns:

# %% [markdown] lang="zh"
# ## 9. 它学到的不真实的东西
#
# 还有一个更深的问题（Huszar 2015）。设有两个正确答案 "ab" 和 "ba"，各占一半。a 之后总是 b：
#
# $$P(b \mid a) = 1$$
#
# 计划采样降到 0 时，不管目标是什么，喂的都是模型自己写的第一个字母。它写了 a，目标的第二个字母却一半是 b、一半是 a。
# 它最多只能做到 $1/2$，于是学到的就是：

# %%
two_answers = [Pair("x", ("ab",)), Pair("x", ("ba",))] * 8


def probability_of_b_after_a(ratio):
    config = ModelConfig(cell="gru", bidirectional=False, embed=8, hidden=8, attention="none")
    translator = Translator.for_pairs(two_answers, config)
    model, rng = translator.model, np.random.default_rng(6)
    batch = make_batch(
        encode_pairs(two_answers, translator.source, translator.target, all_targets=False), np.arange(16)
    )
    optimizer = Adam(model.parameters(), 0.02)
    for _ in range(250):
        model.zero_grad()
        _, cache = model.loss(batch, rng=rng, teacher_forcing=ratio)
        model.backward(1.0, cache)
        optimizer.step()
    a, b = translator.target.vocabulary.encode("ab")
    state = model.start(batch.src[:, :1], batch.src_mask[:, :1])
    _, state = model.step(state, np.array([BOS]))
    log_p, _ = model.step(state, np.array([a]))
    return float(np.exp(log_p[0, b]))


with_teacher, alone = probability_of_b_after_a(1.0), probability_of_b_after_a(0.0)
assert with_teacher > 0.95 and abs(alone - 0.5) < 0.1
print(f"evidence: P(b | a) is {with_teacher:.3f} > 0.95 with teacher forcing; "
      f"without, {alone:.3f}, within 0.1 of one half")  # fmt: skip

# %% [markdown] lang="en"
# Teacher forcing learns the true distribution, and its gap is one of practice. That is why today's large
# models are trained by it, with much data, and a better search (lesson 9) does the rest.

# %% [markdown] lang="zh"
# 教师强制学到的是真实的分布，它的差距是实践中的差距。所以今天的大模型都用它训练，加上大量数据，其余的交给更好的
# 搜索（第 9 课）。

# %% [markdown] lang="en"
# ## 10. Exercises
#
# Each exercise has a cell with a hole and a cell that checks it. The check raises with the name of the
# exercise until the hole is filled.

# %% [markdown] lang="zh"
# ## 10. 练习
#
# 每个练习有一个留空的单元和一个检查单元。空没有填对之前，检查会报出练习的名字。

# %% [markdown] lang="en"
# ### Exercise 1: Nesterov's momentum
#
# Nesterov looks ahead: it takes the step of the momentum that is to come. With v as in section 2, after its
# update:
#
# $$p \leftarrow p - \eta \, (dp + \mu v)$$
#
# Write it as a rule like `momentum`. The check compares six steps with `SGD(..., nesterov=True)`.
#
# <details><summary>Hint</summary>
#
# Copy `momentum`. Only the last line changes: v has been updated already when it is used there.
#
# </details>

# %% [markdown] lang="zh"
# ### 练习 1：Nesterov 动量
#
# Nesterov 往前看一步：把接下来的动量那一步也一起走了。v 与第 2 节相同，先更新 v，然后：
#
# $$p \leftarrow p - \eta \, (dp + \mu v)$$
#
# 像 `momentum` 那样把它写成一条规则。检查会与 `SGD(..., nesterov=True)` 比较六步。
#
# <details><summary>提示</summary>
#
# 复制 `momentum`，只改最后一行：用到 v 时，它已经更新过了。
#
# </details>

# %%
def nesterov(p, dp, memory, lr, mu=0.9):
    raise NotImplementedError("fill in nesterov")


# %% tags=["raises-exception"]
with exercise("Exercise 1, Nesterov's momentum"):
    error = compare(
        nesterov, {"lr": 0.1, "mu": 0.9}, SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}
    )
    assert error < 1e-12, f"after six steps the weights differ by {error:.0e}"

# %% [markdown] lang="en"
# ### Exercise 2: find the bug
#
# The next cell is folded, please leave it so. It makes an Adam with one line changed, and shows the sizes of
# its first steps when the gradient is 1 all the time. The right Adam makes steps of exactly the learning rate
# then, 0.001. Which change of which line of `adam` makes these numbers?
#
# Write your guess as `{"old line": "new line"}`. The check makes your change and compares.
#
# <details><summary>Hint</summary>
#
# With a constant gradient of 1, $m = 1 - \beta_1^t$ and $v = 1 - \beta_2^t$. So $\hat m$ and $\hat v$ should
# both be 1. The first step is ten times too large: what must $\hat v$ have been? Which two numbers have this
# quotient?
#
# </details>

# %% [markdown] lang="zh"
# ### 练习 2：找出错误
#
# 下一个单元是折叠的，请不要打开。它造了一个改了一行的 Adam，并显示梯度恒为 1 时它最初几步的大小。这时正确的 Adam
# 每步恰好是学习率 0.001。`adam` 的哪一行、怎样改，会得到这些数？
#
# 把你的猜测写成 `{"old line": "new line"}`。检查会照你的猜测修改，再作比较。
#
# <details><summary>提示</summary>
#
# 梯度恒为 1 时，$m = 1 - \beta_1^t$，$v = 1 - \beta_2^t$，所以 $\hat m$ 和 $\hat v$ 都应当是 1。第一步大了十倍：
# $\hat v$ 必须是多少？哪两个数的商是它？
#
# </details>

# %% jupyter={"source_hidden": true} tags=["hide-input"]
def changed_adam(changes):
    """adam with some parts of its text replaced: changes is {old: new}."""
    return with_changes(changes, adam)


def steps_of(rule, gradients):
    """The weight after each step, from 0."""
    p, memory, found = np.zeros(()), {}, []
    for dp in gradients:
        p = rule(p, dp, memory, lr=0.001)
        found.append(float(p))
    return np.array(found)


hidden_adam = changed_adam({"v_hat = v / (1 - beta2**t)": "v_hat = v / (1 - beta1**t)"})
print("sizes of the steps:", np.round(-np.diff(steps_of(hidden_adam, np.ones(6)), prepend=0), 6))

# %%
my_guess = {"old line": "new line"}


# %% tags=["raises-exception"]
with exercise("Exercise 2, find the bug"):
    assert my_guess != {"old line": "new line"}, "write your guess into my_guess"
    gradients = np.random.default_rng(7).standard_normal(20)
    yours, theirs = (steps_of(rule, gradients) for rule in (changed_adam(my_guess), hidden_adam))
    assert np.abs(yours - theirs).max() < 1e-12, "your change makes other steps"

# %% [markdown] lang="en"
# ### Exercise 3: dropout that stays
#
# In a recurrent layer a new mask at every step erases the memory bit by bit. Gal and Ghahramani (2016) keep
# one mask for the whole sentence. Write this dropout: x has shape (T, B, D), `keep` has shape (B, D), and
# all steps share it. The function returns y and a function from dy to dx, both with the shape of x.
#
# <details><summary>Hint</summary>
#
# NumPy repeats an array of shape (B, D) along T by itself. The gradient passes through the same mask, with
# the same scale.
#
# </details>

# %% [markdown] lang="zh"
# ### 练习 3：不变的 dropout
#
# 在循环层里，每步换一个掩码会把记忆一点一点抹掉。Gal 和 Ghahramani（2016）在整个句子里只用一个掩码。请写出这种
# dropout：x 的形状是 (T, B, D)，`keep` 的形状是 (B, D)，所有时间步共用。函数返回 y 和一个由 dy 求 dx 的函数，
# 两者都与 x 同形。
#
# <details><summary>提示</summary>
#
# NumPy 会自动沿 T 重复形状为 (B, D) 的数组。梯度经过同一个掩码，缩放也相同。
#
# </details>

# %%
def locked_dropout(x, keep, q):
    raise NotImplementedError("fill in locked_dropout")


# %% tags=["raises-exception"]
with exercise("Exercise 3, dropout that stays"):
    rng = np.random.default_rng(8)
    x, dy = rng.standard_normal((2, 5, 3, 4))
    keep = rng.random((3, 4)) >= 0.5
    y, backward = locked_dropout(x, keep, 0.5)
    assert y.shape == x.shape, f"y should have shape {x.shape}, got {y.shape}"
    assert (y[:, ~keep] == 0).all(), "a unit whose keep is False should be 0 at every step"
    assert np.allclose(y[:, keep], 2 * x[:, keep]), "what is kept should be divided by 1 - q"
    along = np.random.default_rng(9).standard_normal(x.shape)
    up, down = (locked_dropout(x + s * 1e-5 * along, keep, 0.5)[0] for s in (1, -1))
    slope = (dy * (up - down)).sum() / 2e-5
    assert abs((backward(dy) * along).sum() - slope) < 1e-7, "backward is not the derivative of your forward"
    assert np.array_equal(backward(dy), backward(dy)), "backward should give the same when called twice"

# %% [markdown] lang="en"
# ## 11. What to read next
#
# * D. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015; I. Loshchilov and F. Hutter,
#   "Decoupled weight decay regularization", ICLR 2019: the two optimizers that train nearly everything.
# * I. Sutskever, J. Martens, G. Dahl and G. Hinton, "On the importance of initialization and momentum in deep
#   learning", ICML 2013: momentum, and Nesterov's, side by side.
# * N. Srivastava and others, "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15,
#   2014; Y. Gal and Z. Ghahramani, "A theoretically grounded application of dropout in recurrent neural
#   networks", NIPS 2016: for exercise 3.
# * S. Bengio, O. Vinyals, N. Jaitly and N. Shazeer, "Scheduled sampling for sequence prediction with
#   recurrent
#   neural networks", NIPS 2015; F. Huszar, "How (not) to train your generative model: scheduled sampling,
#   likelihood, adversary?", 2015: the idea and the objection.
# * M. Ranzato, S. Chopra, M. Auli and W. Zaremba, "Sequence level training with recurrent neural networks",
#   ICLR 2016: exposure bias, and training on the metric itself.
#
# And the code: `minis2s/optim.py`, `minis2s/schedules.py`, and `Trainer.run` in `minis2s/train/loop.py`,
# where all of this comes together.

# %% [markdown] lang="zh"
# ## 11. 接下来读什么
#
# * D. Kingma 和 J. Ba，"Adam: a method for stochastic optimization"，ICLR 2015；I. Loshchilov 和 F. Hutter，
#   "Decoupled weight decay regularization"，ICLR 2019：几乎一切模型都用这两个优化器训练。
# * I. Sutskever、J. Martens、G. Dahl 和 G. Hinton，"On the importance of initialization and momentum in deep
#   learning"，ICML 2013：动量与 Nesterov 动量并排比较。
# * N. Srivastava 等，"Dropout: a simple way to prevent neural networks from overfitting"，JMLR 15，2014；
#   Y. Gal 和 Z. Ghahramani，"A theoretically grounded application of dropout in recurrent neural networks"，
#   NIPS 2016：练习 3 的来源。
# * S. Bengio、O. Vinyals、N. Jaitly 和 N. Shazeer，"Scheduled sampling for sequence prediction with recurrent
#   neural networks"，NIPS 2015；F. Huszar，"How (not) to train your generative model: scheduled sampling,
#   likelihood, adversary?"，2015：这个想法，以及对它的反对意见。
# * M. Ranzato、S. Chopra、M. Auli 和 W. Zaremba，"Sequence level training with recurrent neural networks"，
#   ICLR 2016：曝光偏差，以及直接针对评价指标的训练。
#
# 还有代码：`minis2s/optim.py`、`minis2s/schedules.py`，以及 `minis2s/train/loop.py` 中的 `Trainer.run`，
# 本课的一切在那里汇合。
