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

# %% [markdown] lang="en" minutes=75
# # Assignment 1: how wrong was that? Softmax and cross-entropy
#
# A model has read the letters of "cat". It has written the sounds K and AE, and now it gives a score to each
# of the 39 sounds of English: 4.1 to T, 2.3 to D, -3.0 to ZH. Right is T.
#
# **How wrong was the model? And what should each of the 39 scores do, to be less wrong next time?**
#
# The first answer is a number, the loss. The second is its gradient. You write both. Nearly every model that
# writes text, small or large, learns from these few lines. At the end yours teach a model to pronounce words
# that it has never seen.
#
# You need lesson 1 (`01_softmax.py`): it explains the softmax, the loss and their derivatives.
#
# What is given: a solved example of the same form. What you write: three pairs of functions, marked with
# `NotImplementedError`, and a few sentences. What you may use: NumPy. Each task has checks that you see, and
# others that you do not see. Expected time: an hour and a quarter.

# %% [markdown] lang="zh"
# # 作业 1：错了多少？Softmax 与交叉熵
#
# 模型读完了 "cat" 的字母，已经写出音素 K 和 AE，现在要给英语的 39 个音素各打一个分：
# T 得 4.1，D 得 2.3，ZH 得 -3.0。正确答案是 T。
#
# **模型错了多少？这 39 个分数各应怎样变，下次才能错得少一些？**
#
# 第一个问题的答案是一个数，即损失；第二个问题的答案是损失的梯度。两者都由你来写。
# 能写文本的模型，无论大小，几乎都靠这几行代码学习。最后，你写的代码会教一个模型读出它从未见过的单词。
#
# 需要第 1 课（`01_softmax.py`）：其中讲了 softmax、损失以及它们的导数。
#
# 已经给出的：一个形式相同、已经解好的例子。要你写的：三对函数，用 `NotImplementedError` 标出，还有几句话。
# 可以使用的：NumPy。每个任务都有看得见的检查，也有看不见的检查。预计用时：一小时一刻钟。

# %%
if __name__ == "__main__":  # before NumPy is loaded: threads inside it only slow small matrices down
    import os

    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

# %% [markdown] lang="en"
# ## 1. The mathematics
#
# A batch holds B words, and each is written in T steps. At each step of each word there are V scores, the
# *logits*.
#
# | name | shape | |
# |---|---|---|
# | z (`logits`) | (T, B, V) | scores, any numbers |
# | p | (T, B, V) | probabilities: the softmax of z over the last axis |
# | y (`targets`) | (T, B) | the right token of each step, an integer from 0 to V - 1 |
# | m (`mask`) | (T, B) | True where the step is real, False where a short word was padded |
# | L | () | the loss |
#
# $$p_v = \frac{e^{z_v}}{\sum_u e^{z_u}} \qquad\qquad
# L = \frac{1}{N} \sum_{(t, b)\ \text{real}} -\log p_{t,b,\,y_{t,b}}$$
#
# N is the number of real tokens. Padding counts neither in the sum nor in N.
#
# Backward starts from the *Jacobian* of one softmax. A raised score raises its own probability and lowers all
# others:
#
# $$\frac{\partial p_u}{\partial z_v} = p_u\, ([u = v] - p_v) \qquad\qquad
# dz_v = \sum_u dp_u\, \frac{\partial p_u}{\partial z_v}$$
#
# Here $[u = v]$ is 1 where u is v, and 0 elsewhere. The loss needs only one row of it, and there the fraction
# cancels:
#
# $$\frac{\partial (-\log p_y)}{\partial z_v} = p_v - [v = y]$$
#
# The right token is pulled up, all others are pushed down, each by the probability that it should not have
# had. For what becomes of the factor 1/N, of the mask and of the gradient that comes from above, you need only
# the chain rule.
#
# The name "softmax" and its use with this loss are from Bridle (1990).

# %% [markdown] lang="zh"
# ## 1. 数学
#
# 一个批次有 B 个单词，每个单词分 T 步写出。每个单词的每一步有 V 个分数，称为 *logits*。
#
# | 名称 | 形状 | |
# |---|---|---|
# | z（`logits`） | (T, B, V) | 分数，可以是任意的数 |
# | p | (T, B, V) | 概率：z 在最后一个轴上的 softmax |
# | y（`targets`） | (T, B) | 每一步的正确词元，0 到 V - 1 的整数 |
# | m（`mask`） | (T, B) | 真实的步为 True，短单词填充的步为 False |
# | L | () | 损失 |
#
# $$p_v = \frac{e^{z_v}}{\sum_u e^{z_u}} \qquad\qquad
# L = \frac{1}{N} \sum_{(t, b)\ \text{real}} -\log p_{t,b,\,y_{t,b}}$$
#
# 求和只对真实的词元（real）进行，N 是真实词元的个数。填充既不计入和，也不计入 N。
#
# 反向传播从一个 softmax 的*雅可比矩阵*开始。一个分数升高，它自己的概率就升高，其余的概率都降低：
#
# $$\frac{\partial p_u}{\partial z_v} = p_u\, ([u = v] - p_v) \qquad\qquad
# dz_v = \sum_u dp_u\, \frac{\partial p_u}{\partial z_v}$$
#
# 其中 $[u = v]$ 在 u 等于 v 时为 1，否则为 0。损失只用到其中一行，这时分式恰好消去：
#
# $$\frac{\partial (-\log p_y)}{\partial z_v} = p_v - [v = y]$$
#
# 正确的词元被往上拉，其余的被往下压，压多少取决于它不该得到的那份概率。
# 至于因子 1/N、掩码以及从上面传来的梯度各起什么作用，用链式法则就能推出来。
#
# "softmax" 这个名字，以及它与这种损失的搭配，出自 Bridle（1990）。

# %% [markdown] lang="en"
# ## 2. A solved example: yes or no
#
# A smaller question first: is this letter silent, as the k of "knee"? There are N letters. Each has a single
# score z, and an answer y, which is 1 (silent) or 0 (heard). Then
#
# $$p = \sigma(z) = \frac{1}{1 + e^{-z}} \qquad L = \frac1N \sum_n \log(1 + e^{z_n}) - y_n z_n
# \qquad dz_n = \frac{dL}{N} (p_n - y_n)$$
#
# Look at four things. The logarithm is never taken of a probability. `np.logaddexp(0, z)` is $\log(1 + e^z)$
# without overflow. Backward multiplies with `dloss`, the gradient from above. And the gradient is measured:
# move all scores a little in some direction; the loss must change as the gradient says.

# %% [markdown] lang="zh"
# ## 2. 解好的例子：是或否
#
# 先看一个小一些的问题：这个字母不发音吗，像 "knee" 里的 k？有 N 个字母，每个字母只有一个分数 z 和一个答案 y：
# 1 表示不发音，0 表示发音。于是
#
# $$p = \sigma(z) = \frac{1}{1 + e^{-z}} \qquad L = \frac1N \sum_n \log(1 + e^{z_n}) - y_n z_n
# \qquad dz_n = \frac{dL}{N} (p_n - y_n)$$
#
# 注意四点。从不对概率取对数。`np.logaddexp(0, z)` 就是 $\log(1 + e^z)$，而且不会溢出。
# 反向传播要乘以 `dloss`，即从上面传来的梯度。最后用测量来验证梯度：
# 让所有分数沿某个方向移动一点点，损失的变化应与梯度所说的一致。


# %%
def silent_forward(z, y):
    """z (N,) scores, y (N,) zeros and ones -> (loss, cache)."""
    loss = (np.logaddexp(0, z) - y * z).mean()
    return loss, (z, y)


def silent_backward(dloss, cache):
    """dloss, a scalar -> dz (N,)."""
    z, y = cache
    p = 0.5 * np.tanh(0.5 * z) + 0.5  # sigmoid(z), written so that it cannot overflow
    return dloss * (p - y) / len(z)


z, y = np.array([2.0, -1.0, 0.5, 800.0]), np.array([1, 0, 0, 1])
direction, h = np.array([1.0, -2.0, 0.5, 3.0]), 1e-6
loss, cache = silent_forward(z, y)
up, down = (silent_forward(z + step * direction, y)[0] for step in (h, -h))
slope = silent_backward(1.0, cache) @ direction
assert np.isfinite(loss) and abs(slope - (up - down) / (2 * h)) < 1e-8
print(f"loss {loss:.4f}; its slope in this direction: {slope:.6f}, measured {(up - down) / (2 * h):.6f}")

# %% [markdown] lang="en"
# ## 3. The softmax
#
# ### Task `softmax` (10 points)
#
# From scores to probabilities, and the gradient back. No loop is needed: keep the last axis with
# `keepdims=True`.
#
# Two traps. $e^{1000}$ is inf, so scores of 1000 need care. And a score may be -inf: this token is forbidden,
# its probability is 0. At least one score of each step is finite.
#
# Do not add a small number "to be safe" anywhere: with the largest score subtracted, the sum is at least 1, and
# what you return is compared to twelve digits.

# %% [markdown] lang="zh"
# ## 3. Softmax
#
# ### 任务 `softmax`（10 分）
#
# 从分数到概率，再把梯度传回来。不需要循环：用 `keepdims=True` 保留最后一个轴。
#
# 两个陷阱。$e^{1000}$ 等于 inf，所以 1000 这样的分数要小心处理。分数也可以是 -inf：
# 这个词元是被禁止的，概率为 0。每一步至少有一个分数是有限的。
#
# 不要为了“保险”在任何地方加一个很小的数：减去最大的分数之后，和至少是 1；而你的结果要比较到十二位有效数字。


# %% tags=["answer"] task="softmax" kind="masked_softmax"
def softmax_forward(scores):
    """The softmax over the last axis.

    scores (T, B, V), some may be -inf. Returns (probs (T, B, V), cache): the cache is a tuple of whatever
    backward needs.
    """
    # BEGIN SOLUTION
    # e = exp(scores - max), which is at most 1
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    # probs = e / sum e
    probs = e / e.sum(axis=-1, keepdims=True)
    return probs, (probs,)
    # END SOLUTION


def softmax_backward(dprobs, cache):
    """dprobs (T, B, V), the gradient of the probabilities. Returns dscores (T, B, V)."""
    # BEGIN SOLUTION
    (probs,) = cache
    # dz_v = sum_u dp_u p_u ([u = v] - p_v) = p_v (dp_v - sum_u dp_u p_u)
    return probs * (dprobs - (dprobs * probs).sum(axis=-1, keepdims=True))
    # END SOLUTION


# %% tags=["public"] task="softmax" check="shapes and a known value" points=1
import numpy as np

from minis2s.classroom.checks import same

known = np.log([[[1.0, 2.0, 5.0], [1.0, 1.0, 2.0]]])  # (1, 2, 3): the softmax of log a is a / sum a
probs, cache = softmax_forward(known)
same(probs, np.array([[[0.125, 0.25, 0.625], [0.25, 0.25, 0.5]]]), "probs")
dscores = softmax_backward(np.array([[[0.0, 8.0, 0.0], [1.0, 1.0, 1.0]]]), cache)
same(dscores, np.array([[[-0.25, 1.5, -1.25], [0.0, 0.0, 0.0]]]), "dscores")

# %% tags=["public"] task="softmax" check="gradient by differences" points=1
import numpy as np

from minis2s.classroom.checks import same

rng = np.random.default_rng(1)
scores, dprobs, direction = rng.standard_normal((3, 2, 3, 4))
dscores = softmax_backward(dprobs, softmax_forward(scores)[1])
h = 1e-6
change = softmax_forward(scores + h * direction)[0] - softmax_forward(scores - h * direction)[0]
same((dscores * direction).sum(), (dprobs * change).sum() / (2 * h), "the slope that dscores gives", tol=1e-6)

# %% tags=["hidden"] task="softmax" check="probabilities" points=2
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, V = rng.integers(2, 7, 3)
scores = 3 * rng.standard_normal((T, B, V))
same(softmax_forward(scores)[0], functional.masked_softmax.forward(scores)[0], "probs")

# %% tags=["hidden"] task="softmax" check="gradient" points=3
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, V = rng.integers(2, 7, 3)
scores, dprobs = 2 * rng.standard_normal((2, T, B, V))
expected = functional.masked_softmax.backward(dprobs, functional.masked_softmax.forward(scores)[1])
same(softmax_backward(dprobs, softmax_forward(scores)[1]), expected, "dscores")

# %% tags=["hidden"] task="softmax" check="huge scores" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
scores, dprobs = rng.standard_normal((2, 3, 2, 5))
scores[0] += 1000
scores[1] -= 1000
scores[2] *= 400
probs, cache = softmax_forward(scores)
expected, theirs = functional.masked_softmax.forward(scores)
same(probs, expected, "probs")
same(softmax_backward(dprobs, cache), functional.masked_softmax.backward(dprobs, theirs), "dscores")

# %% tags=["hidden"] task="softmax" check="forbidden tokens" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
scores, dprobs = rng.standard_normal((2, 3, 2, 6))
forbidden = rng.random(scores.shape) < 0.5
forbidden[..., rng.integers(6)] = False
scores[forbidden] = -np.inf
probs, cache = softmax_forward(scores)
expected, theirs = functional.masked_softmax.forward(scores)
same(probs, expected, "probs")
same(softmax_backward(dprobs, cache), functional.masked_softmax.backward(dprobs, theirs), "dscores")

# %% tags=["hidden"] task="softmax" check="sizes of one, and backward twice" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
for shape in ((1, 1, 5), (2, 3, 1)):
    scores, dprobs = rng.standard_normal((2, *shape))
    probs, cache = softmax_forward(scores)
    expected, theirs = functional.masked_softmax.forward(scores)
    same(probs, expected, "probs")
    for call in ("first", "second"):
        dscores = softmax_backward(dprobs, cache)
        same(dscores, functional.masked_softmax.backward(dprobs, theirs), f"dscores of the {call} call")

# %% [markdown] lang="en"
# ## 4. The cross-entropy
#
# ### Task `cross_entropy` (15 points)
#
# Softmax, logarithm and mean in one operation. Together they are simpler and safer than apart: never take the
# logarithm of a probability, which may have been rounded to 0 (lesson 1 has the form to use).
#
# * The mask may be None: then all tokens are real.
# * Where no token is real, the loss is 0, and so is the gradient. Do not divide by 0.
# * A wrong token may have the score -inf; the loss stays finite. Take care that 0 times inf does not occur.
# * `dloss` is the gradient from above. It is not always 1.

# %% [markdown] lang="zh"
# ## 4. 交叉熵
#
# ### 任务 `cross_entropy`（15 分）
#
# 把 softmax、对数和平均合成一个运算。合在一起比分开更简单，也更安全：
# 不要对概率取对数，因为它可能已被舍入为 0（该用哪种形式，见第 1 课）。
#
# * 掩码可以是 None，这时所有词元都是真实的。
# * 一个真实的词元也没有时，损失为 0，梯度也为 0。不要除以 0。
# * 错误的词元的分数可以是 -inf，损失仍是有限的。注意不要出现 0 乘以 inf。
# * `dloss` 是从上面传来的梯度，它不一定是 1。


# %% tags=["answer"] task="cross_entropy" kind="cross_entropy"
def cross_entropy_forward(logits, targets, mask=None):
    """The mean of -log p(target) over the real tokens.

    logits (T, B, V); targets (T, B) integers; mask (T, B) of bools, or None. Returns (loss, cache), the loss
    a scalar.
    """
    # BEGIN SOLUTION
    T, B = targets.shape
    real = np.ones((T, B)) if mask is None else mask.astype(float)
    # log_probs = logits - log sum exp(logits)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    # loss = sum over tokens of weight * surprise
    weight = real / max(real.sum(), 1)
    surprise = -np.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]
    loss = (weight * surprise).sum()
    return loss, (np.exp(log_probs), targets, weight)
    # END SOLUTION


def cross_entropy_backward(dloss, cache):
    """dloss, a scalar. Returns dlogits (T, B, V)."""
    # BEGIN SOLUTION
    probs, targets, weight = cache
    # surprise = -log_probs[target]
    dlogits = probs - np.eye(probs.shape[-1])[targets]
    # loss = sum over tokens of weight * surprise
    return dlogits * (dloss * weight)[..., None]
    # END SOLUTION


# %% tags=["public"] task="cross_entropy" check="shapes and a known value" points=1
import numpy as np

from minis2s.classroom.checks import same

logits = np.log([[[1.0, 2.0, 5.0], [4.0, 2.0, 2.0], [1.0, 1.0, 6.0]]])  # (1, 3, 3), each row a / 8
targets, mask = np.array([[1, 0, 0]]), np.array([[True, True, False]])
loss, cache = cross_entropy_forward(logits, targets, mask)
same(loss, np.array(1.5 * np.log(2)), "loss")  # the mean of log 4 and log 2
dlogits = cross_entropy_backward(1.0, cache)
same(dlogits, np.array([[[1, -6, 5], [-4, 2, 2], [0, 0, 0]]]) / 16, "dlogits")

# %% tags=["public"] task="cross_entropy" check="gradient by differences" points=1
import numpy as np

from minis2s.classroom.checks import same

rng = np.random.default_rng(1)
logits, direction = rng.standard_normal((2, 2, 3, 4))
targets = rng.integers(0, 4, (2, 3))
dlogits = cross_entropy_backward(1.0, cross_entropy_forward(logits, targets)[1])
h = 1e-6
up, down = (cross_entropy_forward(logits + step * direction, targets)[0] for step in (h, -h))
same((dlogits * direction).sum(), (up - down) / (2 * h), "the slope that dlogits gives", tol=1e-6)

# %% tags=["hidden"] task="cross_entropy" check="loss" points=2
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, V = rng.integers(2, 7, 3)
logits, targets = 2 * rng.standard_normal((T, B, V)), rng.integers(0, V, (T, B))
same(cross_entropy_forward(logits, targets)[0], functional.cross_entropy.forward(logits, targets)[0], "loss")

# %% tags=["hidden"] task="cross_entropy" check="loss with padding" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, V = rng.integers(3, 7, 3)
logits, targets = 2 * rng.standard_normal((T, B, V)), rng.integers(0, V, (T, B))
mask = np.arange(T)[:, None] < rng.integers(1, T, B)  # words of different lengths
mask[:, rng.integers(B)] = False  # and a column without any
expected = functional.cross_entropy.forward(logits, targets, mask)[0]
same(cross_entropy_forward(logits, targets, mask)[0], expected, "loss with padding")

# %% tags=["hidden"] task="cross_entropy" check="gradient" points=3
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, V = rng.integers(2, 7, 3)
logits, targets = 2 * rng.standard_normal((T, B, V)), rng.integers(0, V, (T, B))
expected = functional.cross_entropy.backward(1.0, functional.cross_entropy.forward(logits, targets)[1])
same(cross_entropy_backward(1.0, cross_entropy_forward(logits, targets)[1]), expected, "dlogits")

# %% tags=["hidden"] task="cross_entropy" check="gradient with padding" points=2
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, V = rng.integers(3, 7, 3)
logits, targets = 2 * rng.standard_normal((T, B, V)), rng.integers(0, V, (T, B))
mask = np.arange(T)[:, None] < rng.integers(1, T, B)
mask[:, rng.integers(B)] = False
expected = functional.cross_entropy.backward(1.0, functional.cross_entropy.forward(logits, targets, mask)[1])
same(cross_entropy_backward(1.0, cross_entropy_forward(logits, targets, mask)[1]), expected, "dlogits")

# %% tags=["hidden"] task="cross_entropy" check="upstream gradient" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, V = rng.integers(2, 7, 3)
logits, targets = 2 * rng.standard_normal((T, B, V)), rng.integers(0, V, (T, B))
dloss = -float(rng.uniform(2, 5))
expected = functional.cross_entropy.backward(dloss, functional.cross_entropy.forward(logits, targets)[1])
same(cross_entropy_backward(dloss, cross_entropy_forward(logits, targets)[1]), expected, "dlogits")

# %% tags=["hidden"] task="cross_entropy" check="huge logits" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
logits, targets = rng.standard_normal((3, 2, 5)), rng.integers(0, 5, (3, 2))
logits[0] += 1000
logits[1] -= 1000
logits[2] *= 1000  # the right token has a probability that rounds to 0
targets[2] = logits[2].argmin(axis=-1)
loss, cache = cross_entropy_forward(logits, targets)
expected, theirs = functional.cross_entropy.forward(logits, targets)
same(loss, expected, "loss")
same(cross_entropy_backward(1.0, cache), functional.cross_entropy.backward(1.0, theirs), "dlogits")

# %% tags=["hidden"] task="cross_entropy" check="forbidden tokens" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
logits, targets = rng.standard_normal((3, 2, 6)), rng.integers(0, 6, (3, 2))
forbidden = rng.random(logits.shape) < 0.5
np.put_along_axis(forbidden, targets[..., None], False, axis=-1)  # never the right one
logits[forbidden] = -np.inf
loss, cache = cross_entropy_forward(logits, targets)
expected, theirs = functional.cross_entropy.forward(logits, targets)
same(loss, expected, "loss")
same(cross_entropy_backward(1.0, cache), functional.cross_entropy.backward(1.0, theirs), "dlogits")

# %% tags=["hidden"] task="cross_entropy" check="no real token" points=1
import numpy as np

from minis2s.classroom.checks import fresh, same

rng = fresh()
logits, targets = rng.standard_normal((2, 3, 4)), rng.integers(0, 4, (2, 3))
loss, cache = cross_entropy_forward(logits, targets, np.zeros((2, 3), dtype=bool))
same(loss, np.array(0.0), "loss")
same(cross_entropy_backward(1.0, cache), np.zeros((2, 3, 4)), "dlogits")

# %% tags=["hidden"] task="cross_entropy" check="one token, and backward twice" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
logits, targets = rng.standard_normal((1, 1, 5)), rng.integers(0, 5, (1, 1))
loss, cache = cross_entropy_forward(logits, targets, np.ones((1, 1), dtype=bool))
expected, theirs = functional.cross_entropy.forward(logits, targets)
same(loss, expected, "loss")
for call in ("first", "second"):
    dlogits = cross_entropy_backward(1.0, cache)
    same(dlogits, functional.cross_entropy.backward(1.0, theirs), f"dlogits of the {call} call")

# %% [markdown] lang="en"
# ## 5. A less certain teacher
#
# The loss above is 0 only when the model gives the right token the probability 1. So training pulls the
# scores further and further apart, even where all is right already. *Label smoothing* (Szegedy and others 2016,
# section 7) asks for less. With the share s of smoothing the wanted distribution is
#
# $$q_v = (1 - s)\, [v = y] + \frac{s}{V} \qquad\qquad -\log p_y \ \text{ becomes } -\sum_v q_v \log p_v$$
#
# ### Task `smoothing` (6 points)
#
# Write the loss with smoothing, and derive its gradient. Hint: the $q_v$ sum to 1. All logits are finite here.
# This task stands by itself: you may call your functions of section 4, but you need not.

# %% [markdown] lang="zh"
# ## 5. 不那么肯定的老师
#
# 上面的损失只有在模型给正确词元的概率为 1 时才是 0。所以即使已经全对，训练还是会把分数越拉越开。
# *标签平滑*（label smoothing，Szegedy 等 2016，第 7 节）要求得少一些。平滑的份额为 s 时，所期望的分布是
#
# $$q_v = (1 - s)\, [v = y] + \frac{s}{V} \qquad\qquad
# -\log p_y \ \text{ 变为 } -\sum_v q_v \log p_v$$
#
# ### 任务 `smoothing`（6 分）
#
# 写出带平滑的损失，并推导它的梯度。提示：所有 $q_v$ 之和为 1。这里所有 logits 都是有限的。
# 这个任务是独立的：可以调用第 4 节的函数，也可以不用。


# %% tags=["answer"] task="smoothing" kind="cross_entropy"
def smoothed_forward(logits, targets, mask=None, smoothing=0.0):
    """The mean of -sum_v q_v log p_v over the real tokens.

    logits (T, B, V); targets (T, B) integers; mask (T, B) of bools, or None; smoothing, the share s.
    Returns (loss, cache), the loss a scalar.
    """
    # BEGIN SOLUTION
    T, B, V = logits.shape
    real = np.ones((T, B)) if mask is None else mask.astype(float)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    # q = (1 - s) onehot + s / V
    wanted = (1 - smoothing) * np.eye(V)[targets] + smoothing / V
    # loss = sum over tokens of weight * surprise
    weight = real / max(real.sum(), 1)
    loss = -(weight * (wanted * log_probs).sum(axis=-1)).sum()
    return loss, (np.exp(log_probs), wanted, weight)
    # END SOLUTION


def smoothed_backward(dloss, cache):
    """dloss, a scalar. Returns dlogits (T, B, V)."""
    # BEGIN SOLUTION
    probs, wanted, weight = cache
    # surprise = -sum_v q_v log p_v, and the q_v sum to 1
    return (probs - wanted) * (dloss * weight)[..., None]
    # END SOLUTION


# %% tags=["public"] task="smoothing" check="shapes and a known value" points=1
import numpy as np

from minis2s.classroom.checks import same

logits = np.log([[[1.0, 1.0, 2.0, 4.0]]])  # (1, 1, 4), probabilities 1/8, 1/8, 1/4, 1/2
loss, cache = smoothed_forward(logits, np.array([[3]]), None, 0.2)
same(loss, np.array(1.25 * np.log(2)), "loss")  # q = 1/20, 1/20, 1/20, 17/20
same(smoothed_backward(1.0, cache), np.array([[[0.075, 0.075, 0.2, -0.35]]]), "dlogits")

# %% tags=["public"] task="smoothing" check="gradient by differences" points=1
import numpy as np

from minis2s.classroom.checks import same

rng = np.random.default_rng(1)
logits, direction = rng.standard_normal((2, 2, 3, 4))
targets = rng.integers(0, 4, (2, 3))
dlogits = smoothed_backward(1.0, smoothed_forward(logits, targets, None, 0.3)[1])
h = 1e-6
up, down = (smoothed_forward(logits + step * direction, targets, None, 0.3)[0] for step in (h, -h))
same((dlogits * direction).sum(), (up - down) / (2 * h), "the slope that dlogits gives", tol=1e-6)

# %% tags=["hidden"] task="smoothing" check="loss" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, V = rng.integers(3, 7, 3)
logits, targets = 2 * rng.standard_normal((T, B, V)), rng.integers(0, V, (T, B))
mask = np.arange(T)[:, None] < rng.integers(1, T, B)
s = float(rng.uniform(0.05, 0.4))
expected = functional.cross_entropy.forward(logits, targets, mask, s)[0]
same(smoothed_forward(logits, targets, mask, s)[0], expected, "loss")

# %% tags=["hidden"] task="smoothing" check="gradient" points=2
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, V = rng.integers(3, 7, 3)
logits, targets = 2 * rng.standard_normal((T, B, V)), rng.integers(0, V, (T, B))
mask = np.arange(T)[:, None] < rng.integers(1, T, B)
mask[:, rng.integers(B)] = False
s, dloss = float(rng.uniform(0.05, 0.4)), float(rng.uniform(2, 5))
expected = functional.cross_entropy.backward(
    dloss, functional.cross_entropy.forward(logits, targets, mask, s)[1]
)
same(smoothed_backward(dloss, smoothed_forward(logits, targets, mask, s)[1]), expected, "dlogits")

# %% tags=["hidden"] task="smoothing" check="huge logits, without and with full smoothing" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
logits, targets = 500 * rng.standard_normal((3, 2, 5)), rng.integers(0, 5, (3, 2))
for s in (0.0, 1.0):
    loss, cache = smoothed_forward(logits, targets, None, s)
    expected, theirs = functional.cross_entropy.forward(logits, targets, None, s)
    same(loss, expected, "loss")
    same(smoothed_backward(1.0, cache), functional.cross_entropy.backward(1.0, theirs), "dlogits")

# %% [markdown] lang="en" tags=["written"] task="softmax_written" points=4
# ## 6. In your own words: `softmax_written` (4 points)
#
# 1. A new model knows nothing of the 39 sounds and the end mark (V = 40). Which loss do you expect at the first
#    step? A friend sees 11.0 instead. Name a likely reason.
# 2. Another friend writes `np.log(probs)` with the probabilities of section 3. The loss is right for an hour, and
#    then it is inf, although all logits are finite. Explain why, and why the form of section 4 does not do this.
# 3. Sum your dlogits over v, for one token. What comes out, and why must it be so?
#
# Two or three sentences each.

# %% [markdown] lang="zh" tags=["written"] task="softmax_written" points=4
# ## 6. 用你自己的话：`softmax_written`（4 分）
#
# 1. 一个新模型对 39 个音素和结束符（V = 40）一无所知。第一步的损失应该是多少？
#    一位朋友看到的却是 11.0。说出一个可能的原因。
# 2. 另一位朋友对第 3 节的概率写 `np.log(probs)`。头一个小时损失都是对的，后来却变成 inf，而所有 logits 都是有限的。
#    解释为什么会这样，以及为什么第 4 节的写法不会。
# 3. 对一个词元，把你的 dlogits 对 v 求和。结果是多少？为什么一定是这样？
#
# 每题两三句话。

# %% [markdown] lang="en" tags=["model-answer"] task="softmax_written"
# 1. log 40 = 3.69: each token gets 1/40. A loss of 11 means that the model is sure, and sure of wrong tokens: it
#    gives the right one about e^-11. The usual reason is weights that start too large, so that the logits are
#    far apart before anything was learned. (A loss that is summed and not averaged over the tokens also counts.)
# 2. Training pulls the logits apart. Where the right token lies about 745 below the largest logit, its
#    probability is smaller than the smallest float64 and rounds to 0; log 0 is -inf. In z - max - log(sum) the
#    exponential is taken only inside the sum, which is at least 1, so the result is -745, a plain number.
# 3. Zero. Probabilities sum to 1, and so does the one-hot row, so their difference sums to 0. It must be so since
#    adding one number to all logits changes no probability: the loss does not change in that direction.
#
# (1 point for each, and 1 for an answer that names the cause of 2: rounding to 0, not overflow.)

# %% [markdown] lang="zh" tags=["model-answer"] task="softmax_written"
# 1. log 40 = 3.69：每个词元得到 1/40。损失为 11 说明模型很肯定，而且肯定的是错误的词元：它给正确词元的概率大约是 e^-11。
#    通常的原因是初始权重太大，还没有学到任何东西，logits 就已经相差很远。
#    （损失对词元求和而没有取平均，也算对。）
# 2. 训练会把 logits 拉开。正确词元比最大的 logit 低约 745 时，它的概率小于最小的 float64，被舍入为 0，而 log 0 是 -inf。
#    在 z - max - log(和) 的写法里，指数只出现在和里，而这个和至少是 1，所以结果是 -745，一个普通的数。
# 3. 是零。概率之和为 1，独热行之和也为 1，所以差的和为 0。一定是这样，因为给所有 logits 加上同一个数，概率不变：
#    损失沿这个方向不变。
#
# （每问 1 分；第 2 问说出原因是舍入为 0 而不是溢出，再加 1 分。）

# %% [markdown] lang="en"
# ## 7. Your loss trains a model
#
# The model reads the letters of an English word and writes its sounds. It gives you the logits; your pair says
# how wrong they are and what to change; the model takes your gradient further back. In about ten seconds it
# learns from twenty thousand short words. Then it pronounces some that it has not seen.

# %% [markdown] lang="zh"
# ## 7. 用你的损失训练模型
#
# 模型读英语单词的字母，写出它的音素。模型给出 logits，你的这一对函数说明错了多少、该怎样改，
# 模型再把你的梯度往回传。它在十秒左右的时间里从两万个短单词中学习，然后读出几个没见过的词。

# %% tags=["train"]
import numpy as np

from minis2s import (
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

mine = Op("mine", cross_entropy_forward, cross_entropy_backward)
STEPS = 600


def train(words):
    """A new model, trained on the words with your loss."""
    translator = Translator.for_pairs(
        words, ModelConfig(cell="gru", bidirectional=False, embed=32, hidden=64), target_tokenizer="space"
    )
    model, rng = translator.model, np.random.default_rng(0)
    examples = encode_pairs(words, translator.source, translator.target, all_targets=False)
    optimizer = Adam(model.parameters(), lr=5e-3)
    for step in range(STEPS):
        optimizer.lr = 5e-3 * min(1, 2 - 2 * step / STEPS)  # smaller steps in the second half
        batch = make_batch(examples, rng.integers(len(examples), size=64))
        model.zero_grad()
        logits, model_cache = model.forward(batch.src, batch.src_mask, batch.tgt_in)
        loss, loss_cache = mine.forward(logits, batch.tgt_out, batch.tgt_mask)
        model.backward_out(mine.backward(1.0, loss_cache), model_cache)
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
# ## 8. What to read next
#
# * J. Bridle, "Probabilistic interpretation of feedforward classification network outputs, with relationships
#   to statistical pattern recognition", in Neurocomputing, Springer 1990: the softmax and its loss.
# * C. Szegedy and others, "Rethinking the Inception architecture for computer vision", CVPR 2016, section 7:
#   label smoothing.
# * I. Goodfellow, Y. Bengio and A. Courville, "Deep learning", MIT Press 2016, section 6.2.2.3: why the logarithm
#   of the loss undoes the exponential of the softmax.

# %% [markdown] lang="zh"
# ## 8. 接下来读什么
#
# * J. Bridle, "Probabilistic interpretation of feedforward classification network outputs, with relationships
#   to statistical pattern recognition", 收于 Neurocomputing, Springer 1990：softmax 及其损失。
# * C. Szegedy 等, "Rethinking the Inception architecture for computer vision", CVPR 2016, 第 7 节：标签平滑。
# * I. Goodfellow, Y. Bengio, A. Courville, "Deep learning", MIT Press 2016, 6.2.2.3 节：
#   为什么损失中的对数抵消了 softmax 的指数。
