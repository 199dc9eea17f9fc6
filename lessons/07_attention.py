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
# # Attention: how does a decoder learn where to look?
#
# A model reads `Dienstag, 29. Juni 2049` and writes `2049-06-29`. To write the first digit it needs the end
# of the source, for the seventh the name of the month. Nobody tells it which letter belongs to which digit.
# The training data have no such marks.
#
# **How does a gradient find out where to look?**
#
# You need Python, NumPy arrays and the chain rule. In this lesson you build attention from single numbers,
# derive its backward pass, train it on dates and on English words, and then measure where the gradient goes.
# About an hour is enough.

# %% [markdown] lang="zh"
# # 注意力：解码器怎样学会该看哪里？
#
# 模型读入 `Dienstag, 29. Juni 2049`，写出 `2049-06-29`。写第一个数字时，它需要源序列的末尾；写第七个字符时，
# 它需要月份的名称。没有人告诉它哪个字母对应哪个数字，训练数据里也没有这样的标注。
#
# **梯度是怎样自己找到该看的位置的？**
#
# 你需要会 Python、NumPy 数组和链式法则。本课从单个数字开始搭建注意力，推导它的反向传播，在日期和英语单词上训练它，
# 最后测量梯度究竟流向哪里。大约需要一小时。

# %% [markdown] lang="en"
# ## 1. Looking something up, softly
#
# An encoder leaves one vector for each source position. A decoder without attention sees only the last one:
# everything about the source has to fit into it. Attention lets the decoder look at all of them.
#
# It works like a dictionary. There are S *keys*, each with its *value*. The decoder comes with a *query*. A
# Python dictionary gives the value of the one key that is equal. This choice has no derivative. So we take
# all values, and weigh each one by how well its key fits:
#
# $$e_s = \mathrm{score}(q, k_s) \qquad w_s = \frac{\exp(e_s)}{\sum_r \exp(e_r)} \qquad c = \sum_s w_s v_s$$
#
# | | | shape |
# |---|---|---|
# | q | query, the state of the decoder | (Q,) |
# | k | keys | (S, A) |
# | v | values, the states of the encoder, also called the *memory* | (S, M) |
# | e, w | scores and weights | (S,) |
# | c | context, what was found | (M,) |
#
# The weights are positive and sum to one. Here the score is the dot product:

# %% [markdown] lang="zh"
# ## 1. 柔性的查表
#
# 编码器为源序列的每个位置留下一个向量。没有注意力的解码器只看得到最后一个：源序列的全部信息都得塞进去。注意力让解码器
# 可以看所有的位置。
#
# 它像一本字典。有 S 个**键**（key），每个键配一个**值**（value）。解码器带着一个**查询**（query）来。Python 的字典
# 返回与查询完全相等的那个键的值，但这种选择没有导数。所以我们取全部的值，并按键与查询的匹配程度给每个值加权：
#
# $$e_s = \mathrm{score}(q, k_s) \qquad w_s = \frac{\exp(e_s)}{\sum_r \exp(e_r)} \qquad c = \sum_s w_s v_s$$
#
# | | | 形状 |
# |---|---|---|
# | q | 查询，即解码器的状态 | (Q,) |
# | k | 键 | (S, A) |
# | v | 值，即编码器的各个状态，也叫**记忆**（memory） | (S, M) |
# | e, w | 分数和权重 | (S,) |
# | c | 上下文向量，即查到的内容 | (M,) |
#
# 权重都是正数，总和为一。下面的分数用点积：

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
from minis2s.models import attention_weights


# %%
def look_up(query, keys, values):
    scores = keys @ query  # (S,)
    e = np.exp(scores - scores.max())  # the largest is subtracted, so that exp cannot overflow
    weights = e / e.sum()  # (S,)
    return weights @ values, weights  # (M,), (S,)


rng = np.random.default_rng(0)
values = rng.standard_normal((4, 3))
keys = 6 * np.eye(4)  # four keys that have nothing to do with each other
query = np.array([0.0, 0.0, 1.0, 0.0])
context, weights = look_up(query, keys, values)

assert abs(weights.sum() - 1) < 1e-12 and weights[2] > 0.99
assert np.abs(context - values[2]).max() < 0.05
print(f"evidence: weight of the key that fits {weights[2]:.3f} > 0.99, its value is found up to 0.05")

# %% [markdown] lang="en"
# ## 2. Three scores
#
# | name | score of a query and a key | weights to learn | source |
# |---|---|---|---|
# | dot | $q \cdot k$ | none, but Q = A | Luong and others 2015 |
# | general | $(q W) \cdot k$ | W (Q, A) | Luong and others 2015 |
# | additive | $v \cdot \tanh(q W_q + k)$ with $k = m W_k + b_k$ | Wq, Wk, bk, v | Bahdanau and others 2015 |
#
# Dot assumes that the decoder and the encoder speak the same language: number j of the query means the same
# as number j of the key. General learns a translation, W. Additive is a small network with one hidden layer
# of A units: Wq (Q, A), Wk (M, A), bk and v (A,).
# Its keys do not depend on the query, so they are computed once for each sentence.
#
# From here on there are B sentences at once, and T queries for each. Arrays have the time first: query (T, B,
# Q), keys (S, B, A), scores (T, B, S). The slow version meets one query with one key at a time:

# %% [markdown] lang="zh"
# ## 2. 三种分数
#
# | 名称 | 查询与键的分数 | 要学习的权重 | 出处 |
# |---|---|---|---|
# | dot（点积） | $q \cdot k$ | 没有，但要求 Q = A | Luong 等 2015 |
# | general（双线性） | $(q W) \cdot k$ | W (Q, A) | Luong 等 2015 |
# | additive（加性） | $v \cdot \tanh(q W_q + k)$，其中 $k = m W_k + b_k$ | Wq、Wk、bk、v | Bahdanau 等 2015 |
#
# 点积假定解码器和编码器说同一种语言：查询的第 j 个数与键的第 j 个数含义相同。双线性分数学习一个翻译矩阵 W。加性分数是
# 一个小网络，单隐层有 A 个单元：Wq (Q, A)，Wk (M, A)，bk 和 v (A,)；它的键与查询无关，所以每个句子只需算一次。
#
# 从这里开始，一次处理 B 个句子，每个句子有 T 个查询。数组的第一维是时间：query (T, B, Q)，keys (S, B, A)，
# scores (T, B, S)。最慢但最清楚的写法，是每次只让一个查询遇到一个键：


# %%
def dot_score(q, k):
    return q @ k


def general_score(q, k, W):
    return q @ W @ k


def additive_score(q, k, Wq, v):
    return v @ np.tanh(q @ Wq + k)


def all_scores(score, query, keys, *weights):
    T, B, _ = query.shape
    S = len(keys)
    scores = np.zeros((T, B, S))
    for t in range(T):
        for b in range(B):  # a query looks at its own sentence only
            for s in range(S):
                scores[t, b, s] = score(query[t, b], keys[s, b], *weights)
    return scores


# %%
T, S, B, Q, A = 3, 5, 2, 4, 4
query, keys = rng.standard_normal((T, B, Q)), rng.standard_normal((S, B, A))
W, Wq, v = rng.standard_normal((Q, A)), rng.standard_normal((Q, A)), rng.standard_normal(A)

gaps = {}
for name, score, weights in (
    ("dot", dot_score, ()),
    ("general", general_score, (W,)),
    ("additive", additive_score, (Wq, v)),
):
    engine = getattr(functional, f"{name}_scores")
    fast, _ = engine.forward(query, keys, *weights)
    gaps[name] = np.abs(all_scores(score, query, keys, *weights) - fast).max()

assert max(gaps.values()) < 1e-12
print(f"evidence: slow loops and the engine differ by {max(gaps.values()):.0e} < 1e-12 for {', '.join(gaps)}")

# %% [markdown] lang="en"
# ### Why divide by $\sqrt{A}$?
#
# A dot product of A random numbers of variance one is a sum of A terms: its variance is A. With A = 1024 the
# scores are spread over some 32 units, and the softmax of such scores gives nearly everything to one key. We
# measure it with 20 random keys. Dividing by $\sqrt{A}$ (Vaswani and others 2017) makes the spread one for
# every A.

# %% [markdown] lang="zh"
# ### 为什么要除以 $\sqrt{A}$？
#
# A 个方差为一的随机数的点积是 A 项之和，方差是 A。当 A = 1024 时，分数散布在大约 32 的范围内，
# softmax 几乎把全部权重给了一个键。我们用 20 个随机的键来测量。除以 $\sqrt{A}$（Vaswani 等 2017）后，
# 无论 A 多大，分数的标准差都是一。

# %%
spreads, largest = {}, {}
for A_ in (4, 64, 1024):
    scores = np.einsum("na,nsa->ns", rng.standard_normal((500, A_)), rng.standard_normal((500, 20, A_)))
    spreads[A_] = scores.std()
    for name, divisor in (("dot", 1), ("scaled", A_**0.5)):
        e = np.exp(scores / divisor - (scores / divisor).max(axis=1, keepdims=True))
        largest[name, A_] = (e / e.sum(axis=1, keepdims=True)).max(axis=1).mean()

for A_, spread in spreads.items():
    assert abs(spread / A_**0.5 - 1) < 0.05
assert largest["dot", 1024] > 0.9 and largest["scaled", 1024] < 0.4
print(
    f"evidence: the spread of the scores is sqrt(A) within 5 %: "
    f"{', '.join(f'{spread:.1f}' for spread in spreads.values())}"
)
print(
    f"evidence: with A = 1024 the largest of 20 weights is {largest['dot', 1024]:.2f} > 0.9 for dot, "
    f"{largest['scaled', 1024]:.2f} < 0.4 for scaled dot"
)

# %% [markdown] lang="en"
# ## 3. The mask
#
# The sentences of a batch have different lengths. The short ones are filled up with padding, and nobody may
# look at padding. The mask (S, B) is True where a source position is real.
#
# The padded scores must be out of the game **before** the softmax: they get the weight zero, and the real
# ones sum to one. A tempting short cut is to take the softmax of everything and to multiply by the mask
# after it. Then the padding still takes its share of the sum.

# %% [markdown] lang="zh"
# ## 3. 掩码
#
# 一个批次里的句子长短不一。短句用填充（padding）补齐，而填充是谁也不许看的。掩码 mask (S, B) 在真实的位置为 True。
#
# 填充位置的分数必须在 softmax **之前**出局：它们的权重为零，真实位置的权重之和为一。一个诱人的捷径是先对所有位置做
# softmax，然后乘以掩码；但这样一来，填充仍然在分母里占了一份。


# %%
def masked_softmax(scores, mask):
    """scores (T, B, S), mask (S, B) -> weights (T, B, S)."""
    real = mask.T  # (B, S), the same for all T
    scores = np.where(real, scores, -1e30)
    e = np.exp(scores - scores.max(axis=-1, keepdims=True)) * real
    return e / e.sum(axis=-1, keepdims=True)


def multiplied_afterwards(scores, mask):
    everything = np.ones_like(mask)
    return masked_softmax(scores, everything) * mask.T


mask = np.ones((S, B), dtype=bool)
mask[3:, 1] = False  # the second sentence has three positions, two are padding
scores = all_scores(dot_score, query, keys)
other = scores.copy()
other[:, 1, 3:] += 5  # something else stands in the padding

moved = np.abs(masked_softmax(other, mask) - masked_softmax(scores, mask)).max()
moved_wrong = np.abs(multiplied_afterwards(other, mask) - multiplied_afterwards(scores, mask)).max()
assert np.allclose(masked_softmax(scores, mask).sum(axis=-1), 1, atol=1e-12)
assert moved == 0 and moved_wrong > 0.1
print(
    f"evidence: other padding moves the weights by {moved:.0f}; with the short cut by {moved_wrong:.2f} > 0.1"
)

# %% [markdown] lang="en"
# ## 4. Backward, by hand
#
# Here is the whole of general attention. The memory m serves as keys and as values. For one query, with all
# sums written out:
#
# | | forward | backward |
# |---|---|---|
# | 4 | $c = \sum_s w_s m_s$ | $dw_s = dc \cdot m_s$ and $dm_s = w_s \, dc$ |
# | 3 | $w = \mathrm{softmax}(e)$ | $de_s = w_s (dw_s - \sum_r w_r dw_r)$ |
# | 2 | $e_s = p \cdot m_s$ | $dp = \sum_s de_s m_s$ and $dm_s \mathrel{+}= de_s \, p$ |
# | 1 | $p = q W$ | $dq = dp \, W^T$ and $dW = q^T dp$ |
#
# Backward is read from the top of this table down, forward from the bottom up.
#
# **Line 4.** Each weight gets the dot product of dc with its value: *would more of this value have helped?*
#
# **Line 3.** The derivative of softmax is $\partial w_r / \partial e_s = w_r (\delta_{rs} - w_s)$, where
# $\delta_{rs}$ is 1 for r = s and 0 otherwise. So
#
# $$de_s = \sum_r dw_r \, w_r (\delta_{rs} - w_s) = w_s \left(dw_s - \sum_r w_r dw_r\right)$$
#
# The sum is the mean of dw under the weights. A score is pushed up when its value is *better than what the
# mean already gives*, and pushed down when it is worse. This is the whole answer to the question of this
# lesson. In section 8 we will watch it.
#
# **Line 2.** The memory was used twice, as value and as key. Its gradient has two parts, hence the `+=`.

# %% [markdown] lang="zh"
# ## 4. 手工推导反向传播
#
# 下面是完整的 general 注意力。记忆 m 既当键又当值。对一个查询，把所有的和都写出来：
#
# | | 前向 | 反向 |
# |---|---|---|
# | 4 | $c = \sum_s w_s m_s$ | $dw_s = dc \cdot m_s$，$dm_s = w_s \, dc$ |
# | 3 | $w = \mathrm{softmax}(e)$ | $de_s = w_s (dw_s - \sum_r w_r dw_r)$ |
# | 2 | $e_s = p \cdot m_s$ | $dp = \sum_s de_s m_s$，$dm_s \mathrel{+}= de_s \, p$ |
# | 1 | $p = q W$ | $dq = dp \, W^T$，$dW = q^T dp$ |
#
# 反向从表的顶端往下读，前向从底端往上读。
#
# **第 4 行。** 每个权重得到 dc 与它的值的点积，意思是：**多取一点这个值会不会有帮助？**
#
# **第 3 行。** softmax 的导数是 $\partial w_r / \partial e_s = w_r (\delta_{rs} - w_s)$，其中 $\delta_{rs}$ 在
# r = s 时为 1，否则为 0。于是
#
# $$de_s = \sum_r dw_r \, w_r (\delta_{rs} - w_s) = w_s \left(dw_s - \sum_r w_r dw_r\right)$$
#
# 这个和是 dw 按权重的平均。如果一个位置的值**比目前的平均更有用**，它的分数就被推高；更没用，就被压低。这就是本课问题的
# 全部答案，第 8 节会亲眼看到它。
#
# **第 2 行。** 记忆被用了两次，一次作值，一次作键。它的梯度有两部分，所以要用 `+=`。


# %%
def attention_forward(query, memory, W, mask=None):
    if mask is None:
        mask = np.ones(memory.shape[:2], dtype=bool)
    projected = query @ W  # (T, B, M)
    scores = np.einsum("tbm,sbm->tbs", projected, memory)
    weights = masked_softmax(scores, mask)
    context = np.einsum("tbs,sbm->tbm", weights, memory)
    return context, (query, memory, W, projected, weights)


def attention_backward(dcontext, cache):
    query, memory, W, projected, weights = cache
    # context = sum over s of weights * memory
    dweights = np.einsum("tbm,sbm->tbs", dcontext, memory)
    dmemory = np.einsum("tbs,tbm->sbm", weights, dcontext)
    # weights = softmax(scores)
    mean = (weights * dweights).sum(axis=-1, keepdims=True)
    dscores = weights * (dweights - mean)
    # scores = projected . memory
    dprojected = np.einsum("tbs,sbm->tbm", dscores, memory)
    dmemory += np.einsum("tbs,tbm->sbm", dscores, projected)
    # projected = query W
    dquery = dprojected @ W.T
    dW = np.einsum("tbq,tbm->qm", query, dprojected)
    return dquery, dmemory, dW


# %% [markdown] lang="en"
# Is it right? First our own check: move one entry at a time by a little, and see how much the loss changes.
# The loss is the sum of all contexts, each times a random number R. So R is the upstream gradient.

# %% [markdown] lang="zh"
# 对不对呢？先用我们自己的检查：每次把一个元素移动一点点，看损失变化多少。损失是所有上下文乘以随机数 R 之后的和，
# 所以 R 就是上游梯度。


# %%
def numeric_gradient(f, x, h=1e-5):
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[index] = h
        gradient[index] = (f(x + step) - f(x - step)) / (2 * h)
    return gradient


M = 3
inputs = [rng.standard_normal((T, B, Q)), rng.standard_normal((S, B, M)), rng.standard_normal((Q, M))]
context, cache = attention_forward(*inputs, mask)
R = rng.standard_normal(context.shape)

errors = {}
for k, (name, mine) in enumerate(zip(("query", "memory", "W"), attention_backward(R, cache), strict=True)):

    def loss(x, k=k):
        return (R * attention_forward(*inputs[:k], x, *inputs[k + 1 :], mask)[0]).sum()

    measured = numeric_gradient(loss, inputs[k])
    errors[name] = np.abs(mine - measured).max() / np.abs(measured).max()

assert max(errors.values()) < 1e-8
print(f"evidence: largest relative error of {', '.join(errors)}: {max(errors.values()):.0e} < 1e-8")

# %% [markdown] lang="en"
# Then the checker of the engine. It makes its own inputs, with padding, and knows what a pair of the kind
# "attention" has to compute.

# %% [markdown] lang="zh"
# 再用引擎的检查器。它自己生成带填充的输入，并且知道 "attention" 这一类的函数对应该算什么。

# %%
report = gradcheck((attention_forward, attention_backward), kind="attention")
print(report)

# %%
worst = max(block.error for block in report.blocks)
assert report.ok and worst < 1e-12
print(f"evidence: report.ok, and the largest relative error {worst:.0e} < 1e-12")

# %% [markdown] lang="en"
# ### Additive scores
#
# Only line 2 is another: $e_s = v \cdot a_s$ with $a_s = \tanh(z_s)$ and $z_s = q W_q + k_s$. Upward, for one
# query:
#
# $$dv = \sum_s de_s \, a_s \qquad dz_s = de_s \, v \, (1 - a_s^2)$$
#
# $$dk_s = dz_s \qquad dq = \left(\sum_s dz_s\right) W_q^T \qquad dW_q = q^T \sum_s dz_s$$
#
# The array of all tanh has the shape (T, S, B, A): the largest array of this operation.

# %% [markdown] lang="zh"
# ### 加性分数
#
# 只有第 2 行不同：$e_s = v \cdot a_s$，其中 $a_s = \tanh(z_s)$，$z_s = q W_q + k_s$。对一个查询，往回读：
#
# $$dv = \sum_s de_s \, a_s \qquad dz_s = de_s \, v \, (1 - a_s^2)$$
#
# $$dk_s = dz_s \qquad dq = \left(\sum_s dz_s\right) W_q^T \qquad dW_q = q^T \sum_s dz_s$$
#
# 全部 tanh 组成的数组形状是 (T, S, B, A)，是这个运算里最大的数组。


# %%
def additive_forward(query, keys, Wq, v):
    z = (query @ Wq)[:, None] + keys[None]  # every query meets every key: (T, S, B, A)
    a = np.tanh(z)
    scores = np.einsum("tsba,a->tbs", a, v)
    return scores, (query, Wq, v, a)


def additive_backward(dscores, cache):
    query, Wq, v, a = cache
    dv = np.einsum("tbs,tsba->a", dscores, a)
    dz = np.einsum("tbs,a->tsba", dscores, v) * (1 - a**2)
    dkeys = dz.sum(axis=0)  # each key met all queries
    dprojected = dz.sum(axis=1)  # each query met all keys
    dquery = dprojected @ Wq.T
    dWq = np.einsum("tbq,tba->qa", query, dprojected)
    return dquery, dkeys, dWq, dv


report = gradcheck((additive_forward, additive_backward), kind="additive_scores")
worst = max(block.error for block in report.blocks)
assert report.ok and worst < 1e-12
print(f"evidence: {report.summary()}; largest relative error {worst:.0e} < 1e-12")

# %% [markdown] lang="en"
# ## 5. The code of the engine
#
# These are the functions that train in the next section. You have just derived every line. Instead of
# `einsum` they use matrix products, which are faster, and the softmax also allows a row without any real
# position.

# %% [markdown] lang="zh"
# ## 5. 引擎里的代码
#
# 下一节训练时用的就是这些函数，其中每一行你刚才都推导过。它们用矩阵乘法代替 `einsum`，因为更快；softmax 还允许某一行
# 没有任何真实位置。

# %% tags=["engine-source"]
for part in (
    functional.softmax.masked_softmax_backward,
    functional.attention.weighted_sum_backward,
    functional.attention.general_scores_backward,
):
    print(inspect.getsource(part))

# %%
scores = rng.standard_normal((T, B, S))
weights, cache = functional.masked_softmax.forward(scores, mask)
dweights = rng.standard_normal(weights.shape)
mean = (weights * dweights).sum(axis=-1, keepdims=True)
gap = np.abs(functional.masked_softmax.backward(dweights, cache) - weights * (dweights - mean)).max()
assert gap < 1e-15 and np.abs(weights - masked_softmax(scores, mask)).max() < 1e-15
print(f"evidence: line 3 and the engine's softmax backward differ by {gap:.0e} < 1e-15")

# %% [markdown] lang="en"
# ## 6. Dates: alignments that nobody has marked
#
# The model: an encoder that reads in both directions, and a decoder that takes its step first and then asks
# with its new state. (`ModelConfig` calls it `decoder="luong"`. Both are what you get when you do not say
# otherwise.) The attention is general. The data: dates as people write them in many languages, those of the
# task "dates" that use Latin letters without accents. We train once with attention and once without, all else
# equal.
#
# While it trains we note how sharp the weights are. Their *entropy* $-\sum_s w_s \ln w_s$ is $\ln S$ when
# all S positions are looked at equally, and 0 when one gets everything. So $\exp$ of it is a number of
# positions.

# %% [markdown] lang="zh"
# ## 6. 日期：没有人标注的对齐
#
# 模型：从两个方向读的编码器；先走一步、再用新状态去查询的解码器。（`ModelConfig` 把它叫做 `decoder="luong"`。
# 不另外说明时，两者都是默认的。）注意力是 general 的。数据：多种语言里人们书写的日期，
# 取自任务 "dates" 中只用不带变音符号的拉丁字母的那些。带注意力和不带注意力各训练一次，其他条件都相同。
#
# 训练时我们记录权重有多集中。权重的**熵** $-\sum_s w_s \ln w_s$ 在 S 个位置被同等看待时是 $\ln S$，全部给一个位置时是 0。
# 所以熵取 $\exp$ 就是“看了几个位置”。


# %%
def positions_looked_at(model, batch):
    """exp of the mean entropy of the attention weights, over all real steps of a batch."""
    _, cache = model.forward(batch.src, batch.src_mask, batch.tgt_in)
    w = attention_weights(cache)[batch.tgt_mask].astype(float)  # (N, S)
    return np.exp(-(w * np.log(w + 1e-12)).sum(axis=1).mean())


def train(pairs, attention, steps, target_tokenizer="char", watch=None):
    """A small model after `steps` steps; returns it with its losses and what `watch` says every 10 steps."""
    config = ModelConfig(cell="gru", embed=24, hidden=48, attention=attention)
    translator = Translator.for_pairs(pairs, config, target_tokenizer=target_tokenizer)
    model = translator.model
    examples = encode_pairs(pairs, translator.source, translator.target, all_targets=False)
    optimizer = Adam(model.parameters(), lr=2e-2)
    draw = np.random.default_rng(1)
    losses, watched = [], []
    for step in range(steps):
        if watch is not None and step % 10 == 0:
            watched.append(watch(translator))
        optimizer.lr = 2e-2 * (1 - step / steps)  # down to zero in a straight line
        batch = make_batch(examples, draw.integers(len(examples), size=32))
        model.zero_grad()
        loss, cache = model.loss(batch)
        model.backward(1.0, cache)
        clip_global_norm(model.parameters(), 5.0)
        optimizer.step()
        losses.append(float(loss))
    return translator, losses, watched


def exactly_right(translator, pairs):
    found = translator.translate([pair.source for pair in pairs])
    return np.mean([best.text in pair.targets for (best, *_), pair in zip(found, pairs, strict=True)])


# %%
task = load_task("dates", size=6000)
dates = [pair for pair in task.train if pair.source.isascii()]
held_out = [pair for pair in task.dev if pair.source.isascii()][:200]


def watch(translator):
    examples = encode_pairs(held_out[:50], translator.source, translator.target, all_targets=False)
    return positions_looked_at(translator.model, make_batch(examples))


untrained, _, _ = train(dates, "general", 0)
reader, losses, looked_at = train(dates, "general", 180, watch=watch)
without, losses_without, _ = train(dates, "none", 180)
right, right_without = exactly_right(reader, held_out), exactly_right(without, held_out)

assert right > 0.7 and right > right_without + 0.3
print(f"{len(dates)} dates to train, for example {dates[0].source!r} -> {dates[0].targets[0]!r}")
print(
    f"evidence: of 200 new dates {right:.0%} are right with attention (> 70 %), {right_without:.0%} without"
)

# %%
figure, (left, middle) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
left.semilogy(losses, label="with attention")
left.semilogy(losses_without, "--", label="without")
left.set_xlabel("step")
left.set_ylabel("loss (nats per token)")
left.legend(frameon=False)
middle.plot(10 * np.arange(len(looked_at)), looked_at, "o-", markersize=3)
middle.set_xlabel("step")
middle.set_ylabel("source positions looked at")
middle.set_ylim(0)

assert looked_at[0] > 10 and looked_at[-1] < 3
print(
    f"evidence: looked at {looked_at[0]:.1f} positions before training (> 10), "
    f"{looked_at[-1]:.1f} after (< 3)"
)

# %% [markdown] lang="en"
# The loss with attention falls far below the loss without it, while the number of positions that a step looks
# at shrinks from all to about one or two.

# %% [markdown] lang="zh"
# 带注意力的损失远低于不带注意力的损失，同时每一步所看的位置从全部缩小到一两个。

# %% [markdown] lang="en"
# Now the alignment of one date that the model has never seen. Each row is one character that is written, each
# column one that was read.

# %% [markdown] lang="zh"
# 现在看模型从没见过的一个日期的对齐。每一行是一个写出的字符，每一列是一个读入的字符。


# %%
def show_weights(axes, weights, target, source):
    image = axes.imshow(weights, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(source)), ["␣" if c == " " else c for c in source], fontsize=7)
    axes.set_yticks(range(len(target)), target, fontsize=7)
    return image


one = next(pair for pair in held_out if any(c.isalpha() for c in pair.source) and 14 < len(pair.source) < 24)
figure, panels = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
for axes, model, title in zip(panels, (untrained, reader), ("before training", "after"), strict=True):
    image = show_weights(axes, *model.attention(one.source, one.targets[0]))
    axes.set_title(title)
figure.colorbar(image, ax=panels, label="weight")

w0, _, _ = untrained.attention(one.source, one.targets[0])
w1, _, _ = reader.attention(one.source, one.targets[0])
assert w0.max() < 0.5 and w1.max(axis=1).mean() > 0.6
print(
    f"evidence: mean largest weight of a row {w0.max(axis=1).mean():.2f} before, "
    f"{w1.max(axis=1).mean():.2f} > 0.6 after"
)

# %% [markdown] lang="en"
# Before training every row is nearly flat, after it each digit of the year and of the day looks at its own
# copy in the source, and the month looks at letters of its name.

# %% [markdown] lang="zh"
# 训练前每一行几乎是平的，训练后年和日的每个数字都看着源序列里与自己相同的数字，月份则看着月份名称里的字母。

# %% [markdown] lang="en"
# One picture proves little. So count over 200 new dates: how much weight do the four digits of the year give
# to source positions that hold *the same digit*? And how much do the two digits of the month give to
# letters, when the month is written in letters?

# %% [markdown] lang="zh"
# 一张图说明不了多少。所以在 200 个新日期上统计：年份的四个数字把多少权重给了源序列里**相同的数字**？当月份用字母书写时，
# 月份的两个数字又把多少权重给了字母？


# %%
def shares(translator):
    """The mean weight of year digits on equal digits, and of month digits on letters."""
    year, month = [], []
    for pair in held_out:
        w, target, source = translator.attention(pair.source, pair.targets[0])
        source = source[:-1]  # without the end mark
        if pair.targets[0][:4] in pair.source:
            year += [w[t, [s for s, c in enumerate(source) if c == target[t]]].sum() for t in range(4)]
        if any(c.isalpha() for c in source):
            month += [w[t, [s for s, c in enumerate(source) if c.isalpha()]].sum() for t in (5, 6)]
    return np.mean(year), np.mean(month)


year0, month0 = shares(untrained)
year1, month1 = shares(reader)
assert year1 > 0.7 and year0 < 0.3
assert month1 > 0.7 and month0 < 0.6
print(f"evidence: weight of a year digit on equal digits {year0:.2f} before, {year1:.2f} > 0.7 after")
print(f"evidence: weight of a month digit on letters {month0:.2f} before, {month1:.2f} > 0.7 after")

# %% [markdown] lang="en"
# A warning goes with such pictures. The states of the encoder are those of a recurrent network: the state at
# a letter knows the letters around it. A dash of the output may look anywhere, for nothing has to be found.
# The weights say where the model fetched its vector, and not all that it knew.

# %% [markdown] lang="zh"
# 看这类图要小心。编码器的状态来自循环网络：某个字母处的状态也知道周围的字母。输出里的连字符看哪里都行，因为不需要查什么。
# 权重说明的是模型从哪里取了向量，并不是它所知道的全部。

# %% [markdown] lang="en"
# ## 7. Pronunciations: alignments that move forward
#
# From the letters of an English word to its sounds (the task "g2p"). In dates the order changes, here it
# stays: both sides are read from left to right. And they are not one to one: `ph` is one sound, a silent `e`
# none. The sounds have the names of the CMU dictionary: `F OW T OW` is *photo*, with OW as in *go*. We use
# additive attention, to have seen it at work.

# %% [markdown] lang="zh"
# ## 7. 发音：一路向前的对齐
#
# 从英语单词的字母到它的音素（任务 "g2p"）。日期会改变顺序，这里则保持顺序：两边都从左到右。而且不是一一对应：`ph` 是一个音，
# 不发音的 `e` 没有音。音素用 CMU 词典的名称：`F OW T OW` 是 *photo*，OW 是 *go* 里的音。这次用加性注意力，看看它怎样工作。

# %%
task = load_task("g2p", size=20_000)
words = [pair for pair in task.train if 3 <= len(pair.source) <= 8]
new_words = [pair for pair in task.dev if 4 <= len(pair.source) <= 8][:200]
speaker, losses, _ = train(words, "additive", 200, target_tokenizer="space")

forward_share = []
for pair in new_words:
    w, target, source = speaker.attention(pair.source, pair.targets[0])
    place = (w * np.arange(len(source))).sum(axis=1)  # the mean position that each sound looks at
    forward_share.append(np.mean(np.diff(place[:-1]) > 0))  # the end mark aside

assert np.mean(losses[-20:]) < 1.0 and np.mean(forward_share) > 0.85
print(f"loss {losses[0]:.2f} -> {np.mean(losses[-20:]):.2f} in {len(losses)} steps")
print(
    f"evidence: from sound to sound the attention moves forward in "
    f"{np.mean(forward_share):.0%} > 85 % of cases"
)

# %%
figure, panels = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
for axes, (word, sounds) in zip(
    panels,
    (("photo", "F OW T OW"), ("knight", "N AY T"), ("machine", "M AH SH IY N")),
    strict=True,
):
    w, target, source = speaker.attention(word, sounds)
    image = show_weights(axes, w, target, source)
figure.colorbar(image, ax=panels, label="weight")

w, _, _ = speaker.attention("photo", "F OW T OW")
assert w[0, :2].sum() > 0.6
print(f"evidence: the F of photo gives {w[0, :2].sum():.2f} > 0.6 of its weight to the letters p and h")

# %% [markdown] lang="en"
# The bright cells run from the upper left to the lower right, one or two letters for each sound.

# %% [markdown] lang="zh"
# 明亮的格子从左上走到右下，每个音素对应一两个字母。

# %% [markdown] lang="en"
# ## 8. Where the gradient goes
#
# Back to line 3, $de_s = w_s (dw_s - \sum_r w_r dw_r)$. It says three things that we can measure.
#
# **It is a competition.** The sum of $de_s$ over s is zero: what one score wins, the others lose.
#
# **Better than the mean wins.** Take the smallest case: five values, and the loss $\frac{1}{2} |c - v_3|^2$.
# Gradient descent moves the five scores only. It is not told that 3 is the right position. It has only the
# loss of the context.
#
# **A weight near zero learns slowly.** The factor $w_s$ stands in front. A position that has lost almost all
# its weight gets almost no gradient, even if it is the right one. So start once with equal scores, and once
# with a wrong belief: position 0 has a lead of 6.

# %% [markdown] lang="zh"
# ## 8. 梯度流向哪里
#
# 回到第 3 行，$de_s = w_s (dw_s - \sum_r w_r dw_r)$。它说了三件可以测量的事。
#
# **这是一场竞争。** $de_s$ 对 s 求和为零：一个分数赢得的，正是其他分数失去的。
#
# **比平均好的获胜。** 取最小的例子：五个值，损失是 $\frac{1}{2} |c - v_3|^2$。梯度下降只移动五个分数。没有人告诉它
# 3 是正确的位置，它只有上下文向量的损失。
#
# **接近零的权重学得慢。** 前面有因子 $w_s$。一个几乎失去全部权重的位置几乎得不到梯度，即使它才是正确的。所以一次从相等的
# 分数出发，一次从错误的信念出发：让位置 0 领先 6。

# %%
values = rng.standard_normal((5, 16))


def descend(scores, steps=400, lr=0.05):
    """Gradient descent on five scores; returns the weights at each step and the largest |sum of de|."""
    history, largest_sum = [], 0.0
    for _ in range(steps):
        e = np.exp(scores - scores.max())
        w = e / e.sum()
        history.append(w)
        dc = w @ values - values[3]  # of the loss, one half of the squared distance
        dw = values @ dc
        de = w * (dw - (w * dw).sum())
        largest_sum = max(largest_sum, abs(de.sum()))
        scores = scores - lr * de
    return np.array(history), largest_sum


equal, sum_equal = descend(np.zeros(5))
wrong, sum_wrong = descend(np.array([6.0, 0, 0, 0, 0]))
figure, panels = plt.subplots(1, 2, figsize=(9, 3), layout="constrained", sharey=True)
for axes, history, title in zip(
    panels, (equal, wrong), ("equal at first", "sure of position 0 at first"), strict=True
):
    for s in range(5):
        axes.plot(history[:, s], "-" if s in (0, 3) else ":", label=f"position {s}")
    axes.set_title(title)
    axes.set_xlabel("step")
panels[0].set_ylabel("weight")
panels[0].legend(frameon=False)

learned_equal, learned_wrong = (int(np.argmax(history[:, 3] > 0.8)) for history in (equal, wrong))
assert max(sum_equal, sum_wrong) < 1e-12
assert 0 < 2 * learned_equal < learned_wrong
print("evidence: the gradients of the five scores sum to zero up to 1e-12")
print(
    f"evidence: position 3 has weight 0.8 after {learned_equal} steps, "
    f"from the wrong belief after {learned_wrong}, more than twice as many"
)

# %% [markdown] lang="en"
# Both times the weight moves to position 3, which is nowhere named as the right one, but from a wrong belief
# nothing seems to happen for a long while.

# %% [markdown] lang="zh"
# 两次权重都移到了位置 3，虽然从没有人说它是正确的，但从错误的信念出发时，很长一段时间里似乎什么也没有发生。

# %% [markdown] lang="en"
# ### In the model
#
# Now ask the same of the model of section 6. Take the loss of **one** written character, and its gradient
# with respect to each state of the encoder. By line 4 the part that comes through the values is $w_s \, dc$:
# the weights are also the shares of the gradient. By line 2 the part through the keys is $de_s \, p$, and the
# $de_s$ sum to zero. So an untrained model sends its gradient everywhere, and a trained one to the place that
# it looks at. A character of the source that is one step away in this sense can be thirty steps away in the
# recurrence.

# %% [markdown] lang="zh"
# ### 在模型里
#
# 现在对第 6 节的模型问同样的问题。取**一个**写出字符的损失，求它对编码器每个状态的梯度。根据第 4 行，经过值的那一部分是
# $w_s \, dc$：权重同时也是梯度的份额。根据第 2 行，经过键的那一部分是 $de_s \, p$，而 $de_s$ 的和为零。
# 所以未训练的模型把梯度撒向各处，训练好的模型把梯度送到它看的地方。在这个意义上只有一步之遥的源字符，
# 在循环网络里可能相隔三十步。


# %%
def gradient_map(translator, pair):
    """(T, S): how long the gradient of the loss of step t is at the encoder state s, as shares of a row.

    Returns it with the weights and the largest error of "the part through the values is w * dc".
    """
    model = translator.model.to(dtype=np.float64)
    batch = make_batch(encode_pairs([pair], translator.source, translator.target, all_targets=False))
    logits, cache = model.forward(batch.src, batch.src_mask, batch.tgt_in)
    (step,) = cache.decoder.steps  # all steps at once
    weights = attention_weights(cache)[:, 0]
    p = np.exp(functional.log_softmax(logits))
    rows, error = [], 0.0
    for t in range(len(logits)):
        dlogits = np.zeros_like(logits)
        dlogits[t, 0] = p[t, 0]
        dlogits[t, 0, batch.tgt_out[t, 0]] -= 1  # p - onehot, of the loss of step t alone
        # upward: the output layer, the layer that joins context and state into one vector, the attention
        dattentional = model.decoder.output.backward(dlogits, cache.decoder.output)
        dcontext, _ = model.decoder._readout_backward(dattentional, step.readout)
        _, through_keys, through_values = model.decoder.attention.backward(dcontext, step.attention)
        expected = weights[t][:, None] * dcontext[t, 0]
        error = max(error, np.abs(through_values[:, 0] - expected).max() / np.abs(expected).max())
        length = np.linalg.norm((through_keys + through_values)[:, 0], axis=1)
        rows.append(length / length.sum())
    model.zero_grad()
    model.to(dtype=np.float32)
    return np.array(rows), weights, error


maps = {name: gradient_map(model, one) for name, model in (("before", untrained), ("after", reader))}
figure, panels = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
for axes, (name, (rows, _, _)) in zip(panels, maps.items(), strict=True):
    image = show_weights(axes, rows, [*one.targets[0], "</s>"], [*one.source, "</s>"])
    axes.set_title(f"gradient, {name} training")
figure.colorbar(image, ax=panels, label="share of the gradient")

spread = {
    name: np.exp(-(rows * np.log(rows + 1e-12)).sum(axis=1).mean()) for name, (rows, _, _) in maps.items()
}
several = [gradient_map(reader, pair)[:2] for pair in held_out[:10]]
same_place = np.mean(np.concatenate([rows.argmax(axis=1) == w.argmax(axis=1) for rows, w in several]))
assert max(error for _, _, error in maps.values()) < 1e-10
assert spread["before"] > 8 and spread["after"] < 5 and same_place > 0.6
print("evidence: through the values each state gets w * dc, up to 1e-10")
print(
    f"evidence: the gradient of a step reaches {spread['before']:.1f} states before training (> 8), "
    f"{spread['after']:.1f} after (< 5)"
)
print(
    f"evidence: for 10 dates {same_place:.0%} of the largest gradients are where the largest weight is "
    f"(> 60 %)"
)

# %% [markdown] lang="en"
# Before training each written character sends its gradient to all states, after it to the few states that it
# looks at.

# %% [markdown] lang="zh"
# 训练前每个写出的字符把梯度送到所有状态，训练后只送到它所看的少数几个状态。

# %% [markdown] lang="en"
# Put together, this is how the alignment is learned. At first all weights are equal, and the decoder sees
# the mean of all states. Some states help a little more than this mean. Their scores rise, through W and
# through the states themselves. Then they weigh more, get more of the gradient, and become better at being
# looked at. The circle closes in the fifty steps in which the curve of section 6 falls.

# %% [markdown] lang="zh"
# 合起来看，对齐就是这样学会的。起初所有权重相等，解码器看到的是全部状态的平均。有些状态比这个平均稍微有用一点，
# 它们的分数通过 W、也通过状态本身升高。于是它们的权重变大，得到更多的梯度，也就变得更适合被看。第 6 节的曲线在下降的那几十步里，
# 走的就是这个循环。

# %% [markdown] lang="en"
# ## 9. Exercises
#
# The checking cells stay red until the exercise is solved. Hints are folded.

# %% [markdown] lang="zh"
# ## 9. 练习
#
# 检查单元在练习解出之前一直是红色的。提示是折叠的。


# %% [markdown] lang="en"
# ### Exercise 1: scaled dot scores
#
# Write the pair for $e_{tbs} = q_{tb} \cdot k_{sb} / \sqrt{A}$, with query (T, B, A), keys (S, B, A), scores
# (T, B, S).
#
# <details><summary><b>Hint</b></summary>
#
# Forward is one `einsum("tba,sba->tbs", ...)`. For each gradient exchange the letters of the output with
# those of the input that you want. The root stands in both gradients.
#
# </details>

# %% [markdown] lang="zh"
# ### 练习 1：缩放点积分数
#
# 写出 $e_{tbs} = q_{tb} \cdot k_{sb} / \sqrt{A}$ 的前向与反向，query (T, B, A)，keys (S, B, A)，scores (T, B, S)。
#
# <details><summary><b>提示</b></summary>
#
# 前向是一个 `einsum("tba,sba->tbs", ...)`。求每个梯度时，把输出的字母与你要的那个输入的字母对调。两个梯度里都有那个根号。
#
# </details>


# %%
def scaled_forward(query, keys):
    raise NotImplementedError("fill in scaled_forward: return scores, cache")


def scaled_backward(dscores, cache):
    raise NotImplementedError("fill in scaled_backward: return dquery, dkeys")


# %% tags=["raises-exception"]
with exercise("Exercise 1, scaled dot scores"):
    scores, _ = scaled_forward(query, keys)
    assert np.allclose(scores, functional.scaled_dot_scores.forward(query, keys)[0]), "other scores"
    report = gradcheck((scaled_forward, scaled_backward), kind="scaled_dot_scores")
    assert report.ok, what_is_wrong(report)

# %% [markdown] lang="en"
# ### Exercise 2: find the bug
#
# The next cell is folded, please leave it so. It changes one line of `attention_backward`. The report says
# which gradients are wrong. Which line do they share?
#
# The second line that is printed is a clue: with W = 0 all weights are equal, and then this backward pass is
# *right*. Write your guess as `{"old line": "new line"}`.
#
# <details><summary><b>Hint</b></summary>
#
# All three gradients are wrong, so the mistake sits where all of them pass: in line 3. Which wrong version of
# it cannot be told from the right one as long as all weights are equal?
#
# </details>

# %% [markdown] lang="zh"
# ### 练习 2：找出错误
#
# 下一个单元是折叠的，请不要展开。它改动了 `attention_backward` 的一行。报告说明哪些梯度是错的。它们共同经过哪一行？
#
# 打印出的第二行是线索：当 W = 0 时所有权重相等，这时这个反向传播是**对的**。把你的猜测写成
# `{"old line": "new line"}`。
#
# <details><summary><b>提示</b></summary>
#
# 三个梯度都错了，所以错误在它们都要经过的地方：第 3 行。它的哪种错误写法在权重都相等时与正确的写法没有区别？
#
# </details>

# %%
def broken(changes):
    """The backward pass with some lines replaced: changes is {old: new}."""
    return with_changes(changes, attention_backward)


# %% jupyter={"source_hidden": true} tags=["hide-input"]
hidden = broken({"mean = (weights * dweights).sum(": "mean = dweights.mean("})
verdicts = gradcheck((attention_forward, hidden), kind="attention", hint=1)
flat = attention_forward(inputs[0], inputs[1], np.zeros((Q, M)))[1]
print({block.name: block.verdict for block in verdicts.blocks})
print("right with W = 0:", all(map(np.allclose, hidden(R, flat), attention_backward(R, flat))))

# %%
my_guess = {"old line": "new line"}

# %% tags=["raises-exception"]
with exercise("Exercise 2, find the bug"):
    assert my_guess != {"old line": "new line"}, "write your guess into my_guess"
    _, cache = attention_forward(*inputs, mask)
    pairs = zip(broken(my_guess)(R, cache), hidden(R, cache), strict=True)
    for name, (yours, theirs) in zip(("dquery", "dmemory", "dW"), pairs, strict=True):
        assert np.allclose(yours, theirs, rtol=1e-10, atol=1e-12), f"your change gives another {name}"

# %% [markdown] lang="en"
# ### Exercise 3: a temperature that learns
#
# $w = \mathrm{softmax}(e / \tau)$: a small $\tau$ makes the choice hard, a large one soft. Write the function
# of scores (N, S) and tau (1,). It returns the weights (N, S) and a function from dweights to both gradients,
# `{"scores": ..., "tau": ...}`. dtau has the shape (1,).
#
# <details><summary><b>Hint</b></summary>
#
# Call $y = e / \tau$. You know dy from line 3. Then $de = dy / \tau$. All entries of y share one $\tau$, so
# its gradient is a sum over all of them, with $\partial y / \partial \tau = -e / \tau^2$.
#
# </details>

# %% [markdown] lang="zh"
# ### 练习 3：会学习的温度
#
# $w = \mathrm{softmax}(e / \tau)$：$\tau$ 小则选择硬，大则选择软。写一个以 scores (N, S) 和 tau (1,) 为输入的函数，
# 返回权重 (N, S) 和一个由 dweights 求出两个梯度 `{"scores": ..., "tau": ...}` 的函数。dtau 的形状是 (1,)。
#
# <details><summary><b>提示</b></summary>
#
# 令 $y = e / \tau$。由第 3 行可知 dy。于是 $de = dy / \tau$。y 的所有元素共用一个 $\tau$，所以它的梯度是对所有元素求和，
# 其中 $\partial y / \partial \tau = -e / \tau^2$。
#
# </details>


# %%
def softmax_at(scores, tau):
    raise NotImplementedError("fill in softmax_at: return weights, backward")


# %% tags=["raises-exception"]
with exercise("Exercise 3, a temperature that learns"):
    scores = np.random.default_rng(3).standard_normal((4, 6))
    hard, soft = (softmax_at(scores, np.array([tau]))[0].max() for tau in (0.01, 100.0))
    assert hard > 0.99 and soft < 0.2, "small tau should be hard, large tau soft"
    report = gradcheck(softmax_at, scores, np.array([0.7]))
    assert report.ok, what_is_wrong(report)

# %% [markdown] lang="en"
# ## 10. What to read next
#
# * D. Bahdanau, K. Cho and Y. Bengio, "Neural machine translation by jointly learning to align and
#   translate", ICLR 2015: the first attention of this kind, additive, asked with the state before the step.
#   Its figure 3 has the pictures that you have just made.
# * M.-T. Luong, H. Pham and C. Manning, "Effective approaches to attention-based neural machine
#   translation", EMNLP 2015: dot and general, asked with the state after the step.
# * A. Vaswani and others, "Attention is all you need", NeurIPS 2017: the root of A, and a model with nothing
#   but attention.
# * S. Jain and B. Wallace, "Attention is not explanation", NAACL 2019, with the answer by S. Wiegreffe and Y.
#   Pinter, "Attention is not not explanation", EMNLP 2019: what a picture of weights does and does not show.
#
# And the code: `minis2s/functional/attention.py` and `softmax.py` have the operations,
# `minis2s/nn/attention.py` the layer, `minis2s/models/decoder.py` the place where the decoder asks.

# %% [markdown] lang="zh"
# ## 10. 接下来读什么
#
# * D. Bahdanau, K. Cho and Y. Bengio, "Neural machine translation by jointly learning to align and
#   translate", ICLR 2015：第一个这样的注意力，加性的，用这一步之前的状态去查询。它的图 3 就是你刚画出的那种图。
# * M.-T. Luong, H. Pham and C. Manning, "Effective approaches to attention-based neural machine
#   translation", EMNLP 2015：dot 与 general，用这一步之后的状态去查询。
# * A. Vaswani and others, "Attention is all you need", NeurIPS 2017：A 的平方根，以及一个只有注意力的模型。
# * S. Jain and B. Wallace, "Attention is not explanation", NAACL 2019，以及 S. Wiegreffe and Y. Pinter 的回应
#   "Attention is not not explanation", EMNLP 2019：权重的图能说明什么，不能说明什么。
#
# 还有代码：`minis2s/functional/attention.py` 和 `softmax.py` 是运算，`minis2s/nn/attention.py` 是层，
# `minis2s/models/decoder.py` 是解码器去查询的地方。
