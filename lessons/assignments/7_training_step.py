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

# %% [markdown] lang="en" minutes=180
# # Assignment 7: one step of training, from the letters to the new weights
#
# A wrong line in a training step makes no noise. Count the padding in the loss, forget that the memory was used
# twice, clip every array by itself: nothing raises an error, the loss even falls. The model is only a little worse
# than it should be, for ever, and nobody knows why.
#
# In this assignment you write such a step so that every number in it is right. You have built the parts:
# embedding, GRU, attention. They are given here. What is left is the **wiring**: an encoder that reads a word, a
# bridge, a decoder that writes its sounds, a loss, the way back through all of it, and the step of Adam. That is
# all there is to training. At the end your own step, without one line of the engine, teaches a model to pronounce
# English.
#
# You need lessons 06 (encoder and decoder) and 08 (training). You may use NumPy. About three hours.

# %% [markdown] lang="zh"
# # 作业 7：完整的一步训练，从字母到新的权重
#
# 训练步骤里写错一行，是不会出声的。把填充算进了损失，忘了记忆用过两次，给每个数组单独裁剪：什么错误也不会抛出，损失甚至照样下降。
# 模型只是一直比应有的差一点，谁也不知道为什么。
#
# 在这份作业里，你要写出每个数都正确的一步训练。各个零件你都造过了：词嵌入、GRU、注意力，这里直接给出。剩下的是**接线**：读单词的
# 编码器、桥、写音素的解码器、损失、穿过这一切的反向传播，以及 Adam 的一步更新。训练就是这些，再没有别的。最后，不用引擎的一行代码，
# 你自己写的训练步骤会教一个模型给英语单词注音。
#
# 需要先学第 06 课（编码器和解码器）和第 08 课（训练）。可以使用 NumPy。大约三小时。

# %% [markdown] lang="en"
# ## 1. A solved example: a small network with a fork
#
# The smallest network that has what is difficult here: one value goes two ways.
#
# $$h = \tanh(x A) \qquad y = h U \qquad z = h V \qquad
# L = \frac{1}{2N} \sum (y - y^*)^2 + \frac{1}{2N} \sum (z - z^*)^2$$
#
# Shapes: x (N, D), A (D, H), U and V (H, 1). All weights are in a dictionary, and so are all gradients, under the
# same names. Look at three things:
#
# * backward calls the pieces in the opposite order, and each piece gets the gradient of what it returned;
# * h was used twice, so its gradient is a **sum of two**;
# * the step returns new arrays. The weights that it was given are left alone.

# %% [markdown] lang="zh"
# ## 1. 例题：一个有岔路的小网络
#
# 这是包含本作业难点的最小的网络：一个值走两条路。
#
# $$h = \tanh(x A) \qquad y = h U \qquad z = h V \qquad
# L = \frac{1}{2N} \sum (y - y^*)^2 + \frac{1}{2N} \sum (z - z^*)^2$$
#
# 形状：x (N, D)，A (D, H)，U 和 V (H, 1)。全部权重放在一个字典里，全部梯度也放在一个字典里，名称相同。请注意三点：
#
# * 反向按相反的次序调用各个零件，每个零件接收的是它所返回的东西的梯度；
# * h 用了两次，所以它的梯度是**两项之和**；
# * 更新返回新的数组，传入的权重保持原样。

# %%
if __name__ == "__main__":  # before NumPy is loaded: threads inside it only slow small matrices down
    import os

    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np


def fork_forward(params, x):
    """x (N, D) -> ((y (N, 1), z (N, 1)), cache)."""
    h = np.tanh(x @ params["A"])
    return (h @ params["U"], h @ params["V"]), (params, x, h)


def fork_backward(dout, cache):
    """dout = (dy, dz), each (N, 1) -> the gradients of all weights, by name."""
    dy, dz = dout
    params, x, h = cache
    grads = {"U": h.T @ dy, "V": h.T @ dz}
    dh = dy @ params["U"].T + dz @ params["V"].T  # h went two ways
    grads["A"] = x.T @ (dh * (1 - h**2))
    return grads


def fork_step(params, x, y_wanted, z_wanted, lr):
    """One step of gradient descent -> (loss, new params)."""
    (y, z), cache = fork_forward(params, x)
    dy, dz = (y - y_wanted) / len(x), (z - z_wanted) / len(x)
    loss = 0.5 * ((y - y_wanted) ** 2 + (z - z_wanted) ** 2).mean()
    grads = fork_backward((dy, dz), cache)
    return loss, {name: params[name] - lr * grads[name] for name in params}


# %%
example = np.random.default_rng(0)
fork = {"A": example.standard_normal((2, 8)), "U": np.zeros((8, 1)), "V": np.zeros((8, 1))}
points = example.standard_normal((50, 2))
sines, differences = np.sin(points[:, :1] + points[:, 1:]), points[:, :1] - points[:, 1:]
for _ in range(300):
    fork_loss, fork = fork_step(fork, points, sines, differences, lr=0.2)
print(f"a sine and a difference, learned by one network: loss {fork_loss:.3f}")

# %% [markdown] lang="en"
# ## 2. What is given
#
# Four pairs, as you wrote them in assignments 2, 5 and 6. Each forward returns (out, cache). B words side by
# side; the time is the first axis. S letters, T sounds, E numbers in an embedding, H in a state. There are two
# vocabularies: Vs source tokens, V target tokens.
#
# | pair | forward | backward |
# |---|---|---|
# | `embedding` | ids (T, B), table (V, E) -> (T, B, E) | -> dtable |
# | `linear` | x (..., D), W (D, K), b (K,) -> (..., K) | -> dx, dW, db |
# | `gru` | x (T, B, E), h0 (B, H), Wx, Wh, bx, bh, mask -> hs (T, B, H), h_last (B, H) | -> dx, dh0, dWx, dWh, dbx, dbh |
# | `attention` | query (T, B, H), memory (S, B, H), mask (S, B) -> context (T, B, H) | -> dquery, dmemory |
#
# Where the mask of the GRU is False, the state is handed on unchanged. `attention` uses the dot product as its
# score.
#
# Three tokens have the same number in both vocabularies: PAD fills short columns, BOS starts a target, EOS ends it.

# %% [markdown] lang="zh"
# ## 2. 已经给出的零件
#
# 四对函数，与你在作业 2、5、6 里写的一样。每个前向返回 (out, cache)。B 个单词并排，第一维是时间。S 个字母，T 个音素，词嵌入有 E 个数，
# 状态有 H 个数。词表有两个：源词元 Vs 个，目标词元 V 个。
#
# | 函数对 | 前向 | 反向 |
# |---|---|---|
# | `embedding` | ids (T, B)，table (V, E) -> (T, B, E) | -> dtable |
# | `linear` | x (..., D)，W (D, K)，b (K,) -> (..., K) | -> dx、dW、db |
# | `gru` | x (T, B, E)，h0 (B, H)，Wx、Wh、bx、bh，mask -> hs (T, B, H)，h_last (B, H) | -> dx、dh0、dWx、dWh、dbx、dbh |
# | `attention` | query (T, B, H)，memory (S, B, H)，mask (S, B) -> context (T, B, H) | -> dquery、dmemory |
#
# GRU 的掩码为 False 的地方，状态原样传下去。`attention` 用点积打分。
#
# 三个词元在两个词表中编号相同：PAD 填满短的列，BOS 是目标的开头，EOS 是目标的结尾。

# %%
import numpy as np

PAD, BOS, EOS = 0, 1, 2


def embedding_forward(ids, table):
    return table[ids], (ids, table.shape)


def embedding_backward(dout, cache):
    ids, shape = cache
    dtable = np.zeros(shape, dout.dtype)
    np.add.at(dtable, ids, dout)
    return dtable


def linear_forward(x, W, b):
    return x @ W + b, (x, W)


def linear_backward(dout, cache):
    x, W = cache
    rows, drows = x.reshape(-1, x.shape[-1]), dout.reshape(-1, dout.shape[-1])
    return dout @ W.T, rows.T @ drows, drows.sum(axis=0)


def gru_forward(x, h0, Wx, Wh, bx, bh, mask=None):
    H = h0.shape[1]
    zx = x @ Wx + bx
    h, hs, steps = h0, [], []
    for t in range(len(x)):
        zh = h @ Wh + bh
        ru = 0.5 * np.tanh(0.5 * (zx[t, :, : 2 * H] + zh[:, : 2 * H])) + 0.5  # the sigmoid
        r, u = ru[:, :H], ru[:, H:]
        n = np.tanh(zx[t, :, 2 * H :] + r * zh[:, 2 * H :])
        real = np.ones((len(h0), 1), dtype=bool) if mask is None else mask[t][:, None]
        steps.append((h, r, u, n, zh[:, 2 * H :], real))
        h = np.where(real, (1 - u) * n + u * h, h)
        hs.append(h)
    return (np.stack(hs), h), (x, Wx, Wh, steps)


def gru_backward(dout, cache):
    dhs, dh = dout
    x, Wx, Wh, steps = cache
    dzx, dWh, dbh = [], np.zeros_like(Wh), np.zeros_like(Wh[0])
    for t in reversed(range(len(steps))):
        h, r, u, n, zh_n, real = steps[t]
        dh = dh + dhs[t]
        handed_on, dh = np.where(real, 0, dh), np.where(real, dh, 0)
        dz_n = dh * (1 - u) * (1 - n**2)
        dz_r = dz_n * zh_n * r * (1 - r)
        dz_u = dh * (h - n) * u * (1 - u)
        dzh = np.concatenate([dz_r, dz_u, dz_n * r], axis=1)
        dzx.append(np.concatenate([dz_r, dz_u, dz_n], axis=1))
        dWh += h.T @ dzh
        dbh += dzh.sum(axis=0)
        dh = dzh @ Wh.T + dh * u + handed_on
    dx, dWx, dbx = linear_backward(np.stack(dzx[::-1]), (x, Wx))
    return dx, dh, dWx, dWh, dbx, dbh


def attention_forward(query, memory, mask):
    scores = np.where(mask.T, np.einsum("tbh,sbh->tbs", query, memory), -1e30)
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights = e / e.sum(axis=-1, keepdims=True)
    return np.einsum("tbs,sbh->tbh", weights, memory), (query, memory, weights)


def attention_backward(dcontext, cache):
    query, memory, weights = cache
    dweights = np.einsum("tbh,sbh->tbs", dcontext, memory)
    dscores = weights * (dweights - (weights * dweights).sum(axis=-1, keepdims=True))
    dmemory = np.einsum("tbs,tbh->sbh", weights, dcontext) + np.einsum("tbs,tbh->sbh", dscores, query)
    return np.einsum("tbs,sbh->tbh", dscores, memory), dmemory


# %% [markdown] lang="en"
# ## 3. Where a word begins and ends
#
# *Teacher forcing* (Williams and Zipser 1989): at every step the decoder is given the right token of the step
# before. So it reads BOS and then the word, and should write the word and then EOS. For two words, `T UW` and `AY`:
#
# | t | reads | should write | real | reads | should write | real |
# |---|---|---|---|---|---|---|
# | 0 | BOS | T | yes | BOS | AY | yes |
# | 1 | T | UW | yes | AY | EOS | yes |
# | 2 | UW | EOS | yes | PAD | PAD | no |
#
# EOS counts: a model that never learned when to stop would write for ever. PAD does not count.
#
# ### Task `shift_targets` (4 points)
#
# Behind the end of a word, its column of `words` may hold anything. A length may be 0.

# %% [markdown] lang="zh"
# ## 3. 单词的开头和结尾
#
# **教师强制**（Williams 和 Zipser 1989）：每一步都把上一步的正确词元喂给解码器。所以它先读 BOS，再读单词；应当先写单词，再写 EOS。
# 以 `T UW` 和 `AY` 两个单词为例：
#
# | t | 读入 | 应写 | 真实 | 读入 | 应写 | 真实 |
# |---|---|---|---|---|---|---|
# | 0 | BOS | T | 是 | BOS | AY | 是 |
# | 1 | T | UW | 是 | AY | EOS | 是 |
# | 2 | UW | EOS | 是 | PAD | PAD | 否 |
#
# EOS 要算在内：没学会何时停下的模型会永远写下去。PAD 不算。
#
# ### 任务 `shift_targets`（4 分）
#
# 单词结束之后，`words` 的那一列里可以是任何数。长度可以是 0。


# %% tags=["answer"] task="shift_targets"
def shift_targets(words, lengths):
    """What the decoder reads, what it should write, and which steps are real.

    Shapes: words (L, B) ids; lengths (B,), at most L. With T = L + 1:
    Returns (tgt_in (T, B) ids, tgt_out (T, B) ids, tgt_mask (T, B) bool).
    """
    # BEGIN SOLUTION
    L, B = words.shape
    t = np.arange(L + 1)[:, None]
    tgt_out = np.full((L + 1, B), PAD)
    tgt_out[:L] = words
    tgt_out = np.where(t < lengths, tgt_out, np.where(t == lengths, EOS, PAD))
    tgt_mask = t <= lengths
    tgt_in = np.full((L + 1, B), BOS)
    tgt_in[1:] = np.where(tgt_mask[1:], tgt_out[:-1], PAD)
    return tgt_in, tgt_out, tgt_mask
    # END SOLUTION


# %% tags=["public"] task="shift_targets" check="the table above" points=1
import numpy as np

from minis2s.classroom.checks import parts, same

words, lengths = np.array([[7, 5], [8, 0]]), np.array([2, 1])
names = "tgt_in tgt_out tgt_mask"
tgt_in, tgt_out, tgt_mask = parts(shift_targets(words, lengths), names, "shift_targets")
same(tgt_in, np.array([[1, 1], [7, 5], [8, 0]]), "tgt_in")
same(tgt_out, np.array([[7, 5], [8, 2], [2, 0]]), "tgt_out")
same(tgt_mask, np.array([[True, True], [True, True], [True, False]]), "tgt_mask")

# %% tags=["hidden"] task="shift_targets" check="what the decoder reads" points=1
import numpy as np

from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
L, B = int(rng.integers(3, 7)), int(rng.integers(4, 7))
lengths = rng.permutation(np.concatenate([[0, 1, L], rng.integers(0, L + 1, B - 3)]))
words = rng.integers(3, 50, (L, B))  # behind the ends as well
expected = np.zeros((L + 1, B), dtype=int)
expected[0] = 1
for b, length in enumerate(lengths):
    expected[1 : length + 1, b] = words[:length, b]
same(parts(shift_targets(words, lengths), "tgt_in tgt_out tgt_mask", "shift_targets")[0], expected, "tgt_in")

# %% tags=["hidden"] task="shift_targets" check="what it should write" points=1
import numpy as np

from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
L, B = int(rng.integers(3, 7)), int(rng.integers(4, 7))
lengths = rng.permutation(np.concatenate([[0, 1, L], rng.integers(0, L + 1, B - 3)]))
words = rng.integers(3, 50, (L, B))
expected = np.zeros((L + 1, B), dtype=int)
for b, length in enumerate(lengths):
    expected[:length, b] = words[:length, b]
    expected[length, b] = 2
same(parts(shift_targets(words, lengths), "tgt_in tgt_out tgt_mask", "shift_targets")[1], expected, "tgt_out")

# %% tags=["hidden"] task="shift_targets" check="what is real" points=1
import numpy as np

from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
L, B = int(rng.integers(3, 7)), int(rng.integers(4, 7))
lengths = rng.permutation(np.concatenate([[0, 1, L], rng.integers(0, L + 1, B - 3)]))
words = rng.integers(3, 50, (L, B))
expected = np.arange(L + 1)[:, None] < lengths + 1
same(
    parts(shift_targets(words, lengths), "tgt_in tgt_out tgt_mask", "shift_targets")[2], expected, "tgt_mask"
)

# %% [markdown] lang="en"
# ## 4. The loss
#
# The loss is the mean surprise of all N **real** tokens of the batch:
#
# $$L = -\frac{1}{N} \sum_{t,b \text{ real}} \log p_{tb}[\mathrm{target}_{tb}] \qquad p_{tb} = \mathrm{softmax}(\mathrm{logits}_{tb})$$
#
# It is *not* the mean over T times B, and not the mean of the words' means: a long word has more tokens and counts
# more. Padding adds nothing to L, so its logits get the gradient zero.
#
# ### Task `masked_loss` (6 points)
#
# Logits may be in the thousands. With no real token the loss is 0, and so is its gradient. mask may be None: all
# are real. `dloss` is the gradient of the loss itself, most often 1.

# %% [markdown] lang="zh"
# ## 4. 损失
#
# 损失是批次里全部 N 个**真实**词元的平均惊讶度：
#
# $$L = -\frac{1}{N} \sum_{t,b \text{ 真实}} \log p_{tb}[\mathrm{target}_{tb}] \qquad p_{tb} = \mathrm{softmax}(\mathrm{logits}_{tb})$$
#
# 它**不是**对 T 乘 B 个位置求平均，也不是先求每个单词的平均、再求平均：长单词的词元多，占的份量就大。填充对 L 没有贡献，所以它的
# logits 的梯度为零。
#
# ### 任务 `masked_loss`（6 分）
#
# logits 可以大到几千。如果没有一个真实的词元，损失为 0，梯度也为 0。mask 可以是 None，表示全部真实。`dloss` 是损失本身的梯度，
# 通常是 1。


# %% tags=["answer"] task="masked_loss" kind="cross_entropy"
def masked_loss_forward(logits, targets, mask=None):
    """The mean of -log p(target) over the real tokens.

    Shapes: logits (T, B, V); targets (T, B) ids; mask (T, B) or None. Returns (loss, a number, cache).
    """
    # BEGIN SOLUTION
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    real = np.ones(targets.shape) if mask is None else mask.astype(float)
    share = real / max(real.sum(), 1)
    t, b = np.indices(targets.shape)
    loss = -(share * log_probs[t, b, targets]).sum()
    return loss, (np.exp(log_probs), targets, share)
    # END SOLUTION


def masked_loss_backward(dloss, cache):
    """dloss: a number. Returns dlogits (T, B, V)."""
    # BEGIN SOLUTION
    probs, targets, share = cache
    dlogits = probs.copy()
    t, b = np.indices(targets.shape)
    dlogits[t, b, targets] -= 1
    return dlogits * (dloss * share)[:, :, None]
    # END SOLUTION


# %% tags=["public"] task="masked_loss" check="one word by hand" points=1
import numpy as np

from minis2s.classroom.checks import same

logits = np.log(np.array([[[0.5, 0.25, 0.25]], [[0.125, 0.125, 0.75]], [[0.1, 0.8, 0.1]]]))
targets, mask = np.array([[0], [1], [0]]), np.array([[True], [True], [False]])
loss, cache = masked_loss_forward(logits, targets, mask)
same(loss, np.log(16) / 2, "loss")
expected = np.array([[[-0.25, 0.125, 0.125]], [[0.0625, -0.4375, 0.375]], [[0.0, 0.0, 0.0]]])
same(masked_loss_backward(1.0, cache), expected, "dlogits")

# %% tags=["hidden"] task="masked_loss" check="loss with padding" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, V = rng.permutation(np.arange(3, 8))[:3].tolist()
logits, targets = 2 * rng.standard_normal((T, B, V)), rng.integers(0, V, (T, B))
mask = np.arange(T)[:, None] < np.concatenate([[1, T], rng.integers(1, T, B - 2)])
same(
    masked_loss_forward(logits, targets, mask)[0],
    functional.cross_entropy.forward(logits, targets, mask)[0],
    "loss",
)

# %% tags=["hidden"] task="masked_loss" check="very large logits" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, V = rng.permutation(np.arange(3, 8))[:3].tolist()
logits, targets = 300 * rng.standard_normal((T, B, V)) + 2000, rng.integers(0, V, (T, B))
targets[0, 0] = logits[0, 0].argmin()  # its probability is 0 in float64, its logarithm is not
logits[0, 0, targets[0, 0]] -= 1000
loss, cache = masked_loss_forward(logits, targets)
expected, theirs = functional.cross_entropy.forward(logits, targets)
same(loss, expected, "loss")
same(masked_loss_backward(1.0, cache), functional.cross_entropy.backward(1.0, theirs), "dlogits")

# %% tags=["hidden"] task="masked_loss" check="gradient of the logits" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
T, B, V = rng.permutation(np.arange(3, 8))[:3].tolist()
logits, targets = 2 * rng.standard_normal((T, B, V)), rng.integers(0, V, (T, B))
mask = np.arange(T)[:, None] < np.concatenate([[1, T], rng.integers(1, T, B - 2)])
_, theirs = functional.cross_entropy.forward(logits, targets, mask)
_, cache = masked_loss_forward(logits, targets, mask)
same(masked_loss_backward(1.0, cache), functional.cross_entropy.backward(1.0, theirs), "dlogits")

# %% tags=["hidden"] task="masked_loss" check="dloss counts, and backward twice is the same" points=1
import numpy as np

from minis2s import functional
from minis2s.classroom.checks import fresh, same

rng = fresh()
logits, targets = rng.standard_normal((3, 2, 5)), rng.integers(0, 5, (3, 2))
_, theirs = functional.cross_entropy.forward(logits, targets)
_, cache = masked_loss_forward(logits, targets)
dloss = float(rng.uniform(2, 3))
expected = functional.cross_entropy.backward(dloss, theirs)
same(masked_loss_backward(dloss, cache), expected, "dlogits")
same(masked_loss_backward(dloss, cache), expected, "dlogits of the second call")

# %% tags=["hidden"] task="masked_loss" check="no real token" points=1
import numpy as np

from minis2s.classroom.checks import fresh, same

rng = fresh()
logits, targets = rng.standard_normal((3, 2, 5)), rng.integers(0, 5, (3, 2))
loss, cache = masked_loss_forward(logits, targets, np.zeros((3, 2), dtype=bool))
same(loss, 0.0, "loss")
same(masked_loss_backward(1.0, cache), np.zeros((3, 2, 5)), "dlogits")

# %% [markdown] lang="en"
# ## 5. The encoder and the bridge
#
# The encoder reads the letters with a GRU that starts from zeros. All its states are the **memory**; the
# last one goes over the bridge and becomes the first state of the decoder:
#
# $$x = E_{source}[src] \qquad (memory, h_{last}) = \mathrm{gru}(x, 0) \qquad h_0 = \tanh(h_{last} W_{bridge} + b_{bridge})$$
#
# Two gradients come back: dmemory, from everyone who looked at the memory, and dh0, over the bridge. The padding of
# a short word must not touch its state: hand the mask to the GRU.
#
# | name in `params` | shape | | name in `params` | shape |
# |---|---|---|---|---|
# | `source_E` | (Vs, E) | | `bridge_W` | (H, H) |
# | `enc_Wx` | (E, 3H) | | `bridge_b` | (H,) |
# | `enc_Wh` | (H, 3H) | | | |
# | `enc_bx`, `enc_bh` | (3H,) | | | |
#
# ### Task `encoder` (6 points)
#
# `params` holds the weights of the decoder as well; backward returns those of the encoder and the bridge alone.

# %% [markdown] lang="zh"
# ## 5. 编码器和桥
#
# 编码器用一个从零状态出发的 GRU 读字母。它的全部状态就是**记忆**；最后一个状态过桥，成为解码器的初始状态：
#
# $$x = E_{source}[src] \qquad (memory, h_{last}) = \mathrm{gru}(x, 0) \qquad h_0 = \tanh(h_{last} W_{bridge} + b_{bridge})$$
#
# 回来的梯度有两个：dmemory 来自所有看过记忆的人，dh0 从桥上回来。短单词的填充不许碰它的状态：把掩码交给 GRU。
#
# | `params` 中的名称 | 形状 | | `params` 中的名称 | 形状 |
# |---|---|---|---|---|
# | `source_E` | (Vs, E) | | `bridge_W` | (H, H) |
# | `enc_Wx` | (E, 3H) | | `bridge_b` | (H,) |
# | `enc_Wh` | (H, 3H) | | | |
# | `enc_bx`、`enc_bh` | (3H,) | | | |
#
# ### 任务 `encoder`（6 分）
#
# `params` 里也有解码器的权重；反向只返回编码器和桥的梯度。


# %% tags=["answer"] task="encoder"
def encoder_forward(params, src, src_mask):
    """From letters to the memory and the first state of the decoder.

    Shapes: src (S, B) ids; src_mask (S, B), True where a letter is real.
    Returns ((memory (S, B, H), h0 (B, H)), cache).
    """
    # BEGIN SOLUTION
    x, x_cache = embedding_forward(src, params["source_E"])
    start = np.zeros((src.shape[1], params["enc_Wh"].shape[0]))
    weights = (params[name] for name in ("enc_Wx", "enc_Wh", "enc_bx", "enc_bh"))
    (memory, h_last), gru_cache = gru_forward(x, start, *weights, src_mask)
    z, bridge_cache = linear_forward(h_last, params["bridge_W"], params["bridge_b"])
    h0 = np.tanh(z)
    return (memory, h0), (x_cache, gru_cache, bridge_cache, h0)
    # END SOLUTION


def encoder_backward(dout, cache):
    """dout = (dmemory (S, B, H), dh0 (B, H)).

    Returns the gradients in a dict: source_E, enc_Wx, enc_Wh, enc_bx, enc_bh, bridge_W, bridge_b.
    """
    # BEGIN SOLUTION
    dmemory, dh0 = dout
    x_cache, gru_cache, bridge_cache, h0 = cache
    grads = {}
    # h0 = tanh(h_last W + b)
    dh_last, grads["bridge_W"], grads["bridge_b"] = linear_backward(dh0 * (1 - h0**2), bridge_cache)
    # memory, h_last = gru(x)
    dx, _, *dweights = gru_backward((dmemory, dh_last), gru_cache)
    grads |= dict(zip(("enc_Wx", "enc_Wh", "enc_bx", "enc_bh"), dweights))
    # x = source_E[src]
    grads["source_E"] = embedding_backward(dx, x_cache)
    return grads
    # END SOLUTION


# %% tags=["public"] task="encoder" check="shapes and names" points=1
import numpy as np

from minis2s.classroom.checks import Wrong, fresh, parts
from minis2s.classroom.references import small_batch, small_model

rng = fresh()
model, params = small_model(rng)
_, given = small_batch(rng, model)
(S, B), H = given.src.shape, params["enc_Wh"].shape[0]
out, cache = encoder_forward(params, given.src, given.src_mask)
memory, h0 = parts(out, "memory h0", "encoder_forward, before the cache,")
grads = encoder_backward((np.ones((S, B, H)), np.ones((B, H))), cache)
names = ["source_E", "enc_Wx", "enc_Wh", "enc_bx", "enc_bh", "bridge_W", "bridge_b"]
if not isinstance(grads, dict) or sorted(grads) != sorted(names):
    raise Wrong(f"encoder_backward should return a dict with the names {', '.join(names)}")
found = {"memory": memory, "h0": h0} | grads
for name, shape in {"memory": (S, B, H), "h0": (B, H), **{n: params[n].shape for n in names}}.items():
    if np.shape(found[name]) != shape:
        raise Wrong(f"{name} has the shape {np.shape(found[name])}, it should be {shape}")

# %% tags=["hidden"] task="encoder" check="memory and first state" points=1
from minis2s.classroom.checks import fresh, parts, same
from minis2s.classroom.references import small_batch, small_model

rng = fresh()
model, params = small_model(rng)
_, given = small_batch(rng, model)
(memory, last), _ = model.encoder.forward(given.src, given.src_mask)
cells, _ = model.bridge.forward(last)
out, _ = encoder_forward(params, given.src, given.src_mask)
mine = parts(out, "memory h0", "encoder_forward, before the cache,")
same(mine[0], memory, "memory")
same(mine[1], cells[0][0], "h0")

# %% tags=["hidden"] task="encoder" check="gradients of the bridge" points=1
from minis2s.classroom.checks import fresh, same
from minis2s.classroom.references import gradients, small_batch, small_model

rng = fresh()
model, params = small_model(rng)
_, given = small_batch(rng, model)
(memory, last), _ = model.encoder.forward(given.src, given.src_mask)
cells, of_bridge = model.bridge.forward(last)
dmemory, dh0 = rng.standard_normal(memory.shape), rng.standard_normal(cells[0][0].shape)
model.bridge.backward([(dh0,)], of_bridge)
_, cache = encoder_forward(params, given.src, given.src_mask)
grads = encoder_backward((dmemory, dh0), cache)
for name in ("bridge_W", "bridge_b"):
    same(grads[name], gradients(model)[name], name)

# %% tags=["hidden"] task="encoder" check="gradients of the cells" points=2
from minis2s.classroom.checks import fresh, same
from minis2s.classroom.references import gradients, small_batch, small_model

rng = fresh()
model, params = small_model(rng)
_, given = small_batch(rng, model)
(memory, last), of_encoder = model.encoder.forward(given.src, given.src_mask)
cells, of_bridge = model.bridge.forward(last)
dmemory, dh0 = rng.standard_normal(memory.shape), rng.standard_normal(cells[0][0].shape)
model.encoder.backward((dmemory, model.bridge.backward([(dh0,)], of_bridge)), of_encoder)
_, cache = encoder_forward(params, given.src, given.src_mask)
grads = encoder_backward((dmemory, dh0), cache)
for name in ("enc_Wx", "enc_Wh", "enc_bx", "enc_bh"):
    same(grads[name], gradients(model)[name], name)

# %% tags=["hidden"] task="encoder" check="gradient of the embedding of a large model" points=1
# as in training: another batch comes between; and no forward pass for each weight
from minis2s.classroom.checks import fresh, quick, same, together
from minis2s.classroom.references import gradients, large_model, small_batch

rng = fresh()
model, params = large_model(rng)
_, given = small_batch(rng, model)
_, other = small_batch(rng, model)
(memory, last), of_encoder = model.encoder.forward(given.src, given.src_mask)
cells, of_bridge = model.bridge.forward(last)
dmemory, dh0 = rng.standard_normal(memory.shape), rng.standard_normal(cells[0][0].shape)
model.encoder.backward((dmemory, model.bridge.backward([(dh0,)], of_bridge)), of_encoder)
forward, backward = together(encoder_forward, encoder_backward)
_, cache = quick(forward, params, given.src, given.src_mask)
forward(params, other.src, other.src_mask)
same(quick(backward, (dmemory, dh0), cache)["source_E"], gradients(model)["source_E"], "source_E")

# %% [markdown] lang="en"
# ## 6. The decoder
#
# The decoder reads the shifted targets with a GRU of its own, which starts from h0. Each of its states asks the
# memory (Luong and others 2015). What is found is mixed with the state, and makes the logits:
#
# $$x = E_{target}[tgt_{in}] \qquad hs = \mathrm{gru}(x, h_0) \qquad context = \mathrm{attention}(hs, memory)$$
#
# $$a = \tanh([context; hs] \, W_{combine} + b_{combine}) \qquad logits = a \, W_{out} + b_{out}$$
#
# $[context; hs]$ are the two side by side, the context first. Since all inputs are known beforehand, every line runs
# for all T steps at once. The GRU gets no mask here: after the end of a word nothing real follows.
#
# | name in `params` | shape | | name in `params` | shape |
# |---|---|---|---|---|
# | `target_E` | (V, E) | | `combine_W` | (2H, H) |
# | `dec_Wx` | (E, 3H) | | `combine_b` | (H,) |
# | `dec_Wh` | (H, 3H) | | `out_W` | (H, V) |
# | `dec_bx`, `dec_bh` | (3H,) | | `out_b` | (V,) |
#
# Before you write backward, draw the graph of these five lines and mark every value with more than one arrow going
# out of it. Its gradient is a sum.
#
# ### Task `decoder` (8 points)

# %% [markdown] lang="zh"
# ## 6. 解码器
#
# 解码器用自己的 GRU 从 h0 出发，读入移位后的目标。它的每个状态都向记忆查询（Luong 等 2015）。查到的内容与状态混合，得到 logits：
#
# $$x = E_{target}[tgt_{in}] \qquad hs = \mathrm{gru}(x, h_0) \qquad context = \mathrm{attention}(hs, memory)$$
#
# $$a = \tanh([context; hs] \, W_{combine} + b_{combine}) \qquad logits = a \, W_{out} + b_{out}$$
#
# $[context; hs]$ 是两者并排，上下文向量在前。所有输入事先都知道，所以每一行都一次算完 T 步。这里的 GRU 不需要掩码：单词结束之后，
# 再没有真实的步骤。
#
# | `params` 中的名称 | 形状 | | `params` 中的名称 | 形状 |
# |---|---|---|---|---|
# | `target_E` | (V, E) | | `combine_W` | (2H, H) |
# | `dec_Wx` | (E, 3H) | | `combine_b` | (H,) |
# | `dec_Wh` | (H, 3H) | | `out_W` | (H, V) |
# | `dec_bx`、`dec_bh` | (3H,) | | `out_b` | (V,) |
#
# 写反向之前，先把这五行画成图，标出每个有不止一支箭头射出的值。它的梯度是一个和。
#
# ### 任务 `decoder`（8 分）


# %% tags=["answer"] task="decoder"
def decoder_forward(params, memory, h0, src_mask, tgt_in):
    """Teacher forcing: from the shifted targets to the logits of every step.

    Shapes: memory (S, B, H); h0 (B, H); src_mask (S, B); tgt_in (T, B) ids.
    Returns (logits (T, B, V), cache).
    """
    # BEGIN SOLUTION
    x, x_cache = embedding_forward(tgt_in, params["target_E"])
    weights = (params[name] for name in ("dec_Wx", "dec_Wh", "dec_bx", "dec_bh"))
    (hs, _), gru_cache = gru_forward(x, h0, *weights)
    context, attention_cache = attention_forward(hs, memory, src_mask)
    joined = np.concatenate([context, hs], axis=-1)
    z, combine_cache = linear_forward(joined, params["combine_W"], params["combine_b"])
    a = np.tanh(z)
    logits, out_cache = linear_forward(a, params["out_W"], params["out_b"])
    return logits, (x_cache, gru_cache, attention_cache, combine_cache, a, out_cache)
    # END SOLUTION


def decoder_backward(dlogits, cache):
    """dlogits (T, B, V) -> (dmemory (S, B, H), dh0 (B, H), grads).

    grads is a dict: target_E, dec_Wx, dec_Wh, dec_bx, dec_bh, combine_W, combine_b, out_W, out_b.
    """
    # BEGIN SOLUTION
    x_cache, gru_cache, attention_cache, combine_cache, a, out_cache = cache
    grads = {}
    # logits = a W + b
    da, grads["out_W"], grads["out_b"] = linear_backward(dlogits, out_cache)
    # a = tanh([context; hs] W + b)
    djoined, grads["combine_W"], grads["combine_b"] = linear_backward(da * (1 - a**2), combine_cache)
    H = djoined.shape[-1] // 2
    dcontext, dhs = djoined[..., :H], djoined[..., H:]
    # context = attention(hs, memory): hs went into both
    dquery, dmemory = attention_backward(dcontext, attention_cache)
    dhs = dhs + dquery
    # hs = gru(x, h0)
    dx, dh0, *dweights = gru_backward((dhs, np.zeros_like(dhs[0])), gru_cache)
    grads |= dict(zip(("dec_Wx", "dec_Wh", "dec_bx", "dec_bh"), dweights))
    # x = target_E[tgt_in]
    grads["target_E"] = embedding_backward(dx, x_cache)
    return dmemory, dh0, grads
    # END SOLUTION


# %% tags=["public"] task="decoder" check="shapes and names" points=1
import numpy as np

from minis2s.classroom.checks import Wrong, fresh, parts
from minis2s.classroom.references import small_batch, small_model

rng = fresh()
model, params = small_model(rng)
batch, _ = small_batch(rng, model)
(S, B), (T, _), (H, V) = batch.src.shape, batch.tgt_in.shape, params["out_W"].shape
memory, h0 = rng.standard_normal((S, B, H)), rng.standard_normal((B, H))
logits, cache = decoder_forward(params, memory, h0, batch.src_mask, batch.tgt_in)
out = decoder_backward(np.ones((T, B, V)), cache)
dmemory, dh0, grads = parts(out, "dmemory dh0 grads", "decoder_backward")
names = ["target_E", "dec_Wx", "dec_Wh", "dec_bx", "dec_bh", "combine_W", "combine_b", "out_W", "out_b"]
if not isinstance(grads, dict) or sorted(grads) != sorted(names):
    raise Wrong(f"grads should be a dict with the names {', '.join(names)}")
shapes = {"logits": (T, B, V), "dmemory": (S, B, H), "dh0": (B, H), **{n: params[n].shape for n in names}}
found = {"logits": logits, "dmemory": dmemory, "dh0": dh0} | grads
for name, shape in shapes.items():
    if np.shape(found[name]) != shape:
        raise Wrong(f"{name} has the shape {np.shape(found[name])}, it should be {shape}")

# %% tags=["hidden"] task="decoder" check="logits" points=1
from minis2s.classroom.checks import fresh, same
from minis2s.classroom.references import small_batch, small_model

rng = fresh()
model, params = small_model(rng)
batch, _ = small_batch(rng, model)
H = params["out_W"].shape[0]
memory, h0 = rng.standard_normal((*batch.src.shape, H)), rng.standard_normal((batch.src.shape[1], H))
expected, _ = model.decoder.forward(memory, batch.src_mask, [(h0,)], batch.tgt_in)
same(decoder_forward(params, memory, h0, batch.src_mask, batch.tgt_in)[0], expected, "logits")

# %% tags=["hidden"] task="decoder" check="gradients of the output and of combine" points=1
from minis2s.classroom.checks import fresh, parts, same
from minis2s.classroom.references import gradients, small_batch, small_model

rng = fresh()
model, params = small_model(rng)
batch, _ = small_batch(rng, model)
H = params["out_W"].shape[0]
memory, h0 = rng.standard_normal((*batch.src.shape, H)), rng.standard_normal((batch.src.shape[1], H))
logits, theirs = model.decoder.forward(memory, batch.src_mask, [(h0,)], batch.tgt_in)
dlogits = rng.standard_normal(logits.shape)
model.decoder.backward(dlogits, theirs)
_, cache = decoder_forward(params, memory, h0, batch.src_mask, batch.tgt_in)
grads = parts(decoder_backward(dlogits, cache), "dmemory dh0 grads", "decoder_backward")[2]
for name in ("combine_W", "combine_b", "out_W", "out_b"):
    same(grads[name], gradients(model)[name], name)

# %% tags=["hidden"] task="decoder" check="gradients of the cells and of the embedding" points=2
from minis2s.classroom.checks import fresh, parts, same
from minis2s.classroom.references import gradients, small_batch, small_model

rng = fresh()
model, params = small_model(rng)
batch, _ = small_batch(rng, model)
H = params["out_W"].shape[0]
memory, h0 = rng.standard_normal((*batch.src.shape, H)), rng.standard_normal((batch.src.shape[1], H))
logits, theirs = model.decoder.forward(memory, batch.src_mask, [(h0,)], batch.tgt_in)
dlogits = rng.standard_normal(logits.shape)
model.decoder.backward(dlogits, theirs)
_, cache = decoder_forward(params, memory, h0, batch.src_mask, batch.tgt_in)
grads = parts(decoder_backward(dlogits, cache), "dmemory dh0 grads", "decoder_backward")[2]
for name in ("target_E", "dec_Wx", "dec_Wh", "dec_bx", "dec_bh"):
    same(grads[name], gradients(model)[name], name)

# %% tags=["hidden"] task="decoder" check="gradient of the memory" points=2
from minis2s.classroom.checks import fresh, parts, same
from minis2s.classroom.references import small_batch, small_model

rng = fresh()
model, params = small_model(rng)
batch, _ = small_batch(rng, model)
H = params["out_W"].shape[0]
memory, h0 = rng.standard_normal((*batch.src.shape, H)), rng.standard_normal((batch.src.shape[1], H))
logits, theirs = model.decoder.forward(memory, batch.src_mask, [(h0,)], batch.tgt_in)
dlogits = rng.standard_normal(logits.shape)
dmemory, _ = model.decoder.backward(dlogits, theirs)
_, cache = decoder_forward(params, memory, h0, batch.src_mask, batch.tgt_in)
mine = parts(decoder_backward(dlogits, cache), "dmemory dh0 grads", "decoder_backward")
same(mine[0], dmemory, "dmemory")

# %% tags=["hidden"] task="decoder" check="gradient of the first state of a large model" points=1
# as in training: another batch comes between; and no forward pass for each weight
from minis2s.classroom.checks import fresh, parts, quick, same, together
from minis2s.classroom.references import large_model, small_batch

rng = fresh()
model, params = large_model(rng)
batch, _ = small_batch(rng, model)
H = params["out_W"].shape[0]
memory, h0 = rng.standard_normal((*batch.src.shape, H)), rng.standard_normal((batch.src.shape[1], H))
logits, theirs = model.decoder.forward(memory, batch.src_mask, [(h0,)], batch.tgt_in)
dlogits = rng.standard_normal(logits.shape)
_, dcells = model.decoder.backward(dlogits, theirs)
forward, backward = together(decoder_forward, decoder_backward)
_, cache = quick(forward, params, memory, h0, batch.src_mask, batch.tgt_in)
forward(params, memory / 2, h0 / 2, batch.src_mask, batch.tgt_in[::-1].copy())
mine = parts(quick(backward, dlogits, cache), "dmemory dh0 grads", "decoder_backward")
same(mine[1], dcells[0][0], "dh0")

# %% [markdown] lang="en"
# ## 7. Clipping
#
# Once in a while a gradient is a hundred times as long as usual, and one step with it undoes an hour of training.
# So it is shortened (Pascanu and others 2013), *all arrays together*, so that its direction stays:
#
# $$norm = \sqrt{\sum_{\text{all weights}} d^2} \qquad d \leftarrow d \cdot \frac{max\_norm}{norm} \quad \text{if } norm > max\_norm$$
#
# ### Task `clip` (3 points)
#
# Return new arrays. If the norm is not finite no factor can help: return the gradients as they are, and the norm.

# %% [markdown] lang="zh"
# ## 7. 裁剪
#
# 偶尔会有一个梯度比平常长一百倍，用它走一步，一小时的训练就白费了。所以要把它缩短（Pascanu 等 2013），而且**所有数组一起**缩短，方向才不变：
#
# $$norm = \sqrt{\sum_{\text{全部权重}} d^2} \qquad d \leftarrow d \cdot \frac{max\_norm}{norm} \quad \text{若 } norm > max\_norm$$
#
# ### 任务 `clip`（3 分）
#
# 返回新的数组。如果范数不是有限的数，乘什么因子都没用：原样返回梯度，并返回这个范数。


# %% tags=["answer"] task="clip"
def clip(grads, max_norm):
    """grads: a dict of arrays. Returns (clipped grads, a dict; the norm before clipping, a number)."""
    # BEGIN SOLUTION
    norm = np.sqrt(sum((d**2).sum() for d in grads.values()))
    scale = max_norm / norm if np.isfinite(norm) and norm > max_norm else 1.0
    return {name: d * scale for name, d in grads.items()}, norm
    # END SOLUTION


# %% tags=["public"] task="clip" check="3, 4 and 5" points=1
import numpy as np

from minis2s.classroom.checks import parts, same

grads = {"a": np.array([3.0]), "b": np.array([[0.0, 4.0]])}
clipped, norm = parts(clip(grads, 2.5), "clipped norm", "clip")
same(norm, 5.0, "norm")
same(clipped["a"], np.array([1.5]), "a")
same(clipped["b"], np.array([[0.0, 2.0]]), "b")
same(grads["a"], np.array([3.0]), "the array that was given")

# %% tags=["hidden"] task="clip" check="long and short gradients" points=1
import numpy as np

from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
grads = {name: rng.standard_normal(rng.integers(1, 5, n)) * 10.0**n for n, name in enumerate("abc")}
norm = np.sqrt(sum((d**2).sum() for d in grads.values()))
for limit in (0.3 * norm, 3 * norm):
    clipped, found = parts(clip(grads, float(limit)), "clipped norm", "clip")
    same(found, norm, "norm")
    for name, d in grads.items():
        same(
            clipped[name],
            d * min(1, limit / norm),
            f"a gradient, with a limit {'below' if limit < norm else 'above'} the norm",
        )

# %% tags=["hidden"] task="clip" check="zero, and not finite" points=1
import numpy as np

from minis2s.classroom.checks import Wrong, fresh, parts, same

rng = fresh()
clipped, norm = parts(clip({"a": np.zeros(3)}, 1.0), "clipped norm", "clip")
same(norm, 0.0, "norm of zeros")
same(clipped["a"], np.zeros(3), "a gradient of zeros")
d = rng.standard_normal((2, 3))
clipped, norm = parts(clip({"a": d, "b": np.array([np.inf])}, 1.0), "clipped norm", "clip")
if np.isfinite(norm):
    raise Wrong("the norm should be infinite where a gradient is")
same(clipped["a"], d, "a gradient beside one that is not finite")

# %% [markdown] lang="en"
# ## 8. Adam
#
# $$m \leftarrow \beta_1 m + (1 - \beta_1) d \qquad v \leftarrow \beta_2 v + (1 - \beta_2) d^2$$
#
# $$p \leftarrow p - lr \cdot \frac{\hat m}{\sqrt{\hat v} + \epsilon} \qquad \hat m = \frac{m}{1 - \beta_1^t}
# \qquad \hat v = \frac{v}{1 - \beta_2^t}$$
#
# (Kingma and Ba 2015.) t counts the steps and is 1 at the first. m and v start at zero.
#
# ### Task `adam` (4 points)
#
# The state is a dictionary of your choice: `{}` before the first step, and then whatever you returned the time
# before (numbers, arrays and dictionaries of them). Return new arrays.

# %% [markdown] lang="zh"
# ## 8. Adam
#
# $$m \leftarrow \beta_1 m + (1 - \beta_1) d \qquad v \leftarrow \beta_2 v + (1 - \beta_2) d^2$$
#
# $$p \leftarrow p - lr \cdot \frac{\hat m}{\sqrt{\hat v} + \epsilon} \qquad \hat m = \frac{m}{1 - \beta_1^t}
# \qquad \hat v = \frac{v}{1 - \beta_2^t}$$
#
# （Kingma 和 Ba 2015。）t 是步数，第一步为 1。m 和 v 从零开始。
#
# ### 任务 `adam`（4 分）
#
# 状态是一个由你决定内容的字典：第一步之前是 `{}`，之后就是你上一次返回的那个（里面可以是数、数组，以及由它们组成的字典）。返回新的数组。


# %% tags=["answer"] task="adam"
def adam(params, grads, state, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    """One step of Adam. params, grads: dicts of arrays with the same names; lr: a number.

    Returns (new params, new state).
    """
    # BEGIN SOLUTION
    t = state.get("t", 0) + 1
    new, m, v = {}, {}, {}
    for name, d in grads.items():
        m[name] = beta1 * state["m"][name] + (1 - beta1) * d if t > 1 else (1 - beta1) * d
        v[name] = beta2 * state["v"][name] + (1 - beta2) * d**2 if t > 1 else (1 - beta2) * d**2
        m_hat, v_hat = m[name] / (1 - beta1**t), v[name] / (1 - beta2**t)
        new[name] = params[name] - lr * m_hat / (np.sqrt(v_hat) + eps)
    return new, {"t": t, "m": m, "v": v}
    # END SOLUTION


# %% tags=["public"] task="adam" check="the first step is lr in size" points=1
import numpy as np

from minis2s.classroom.checks import parts, same

params, grads = {"a": np.array([1.0, 2.0])}, {"a": np.array([0.5, -40.0])}
new, state = parts(adam(params, grads, {}, 0.1), "params state", "adam")
same(new["a"], np.array([0.9, 2.1]), "a", 1e-8)
same(params["a"], np.array([1.0, 2.0]), "the array that was given")

# %% tags=["hidden"] task="adam" check="one step" points=1
import numpy as np

from minis2s.classroom.checks import fresh, parts, same

rng = fresh()
shapes = {"a": (3, 2), "b": (4,)}
params, grads = ({name: rng.standard_normal(shape) for name, shape in shapes.items()} for _ in range(2))
grads["b"] *= 1e-8  # as small as eps
new, _ = parts(adam(params, grads, {}, 0.05), "params state", "adam")
for name, d in grads.items():
    same(new[name], params[name] - 0.05 * d / (np.abs(d) + 1e-8), f"{name} after one step")

# %% tags=["hidden"] task="adam" check="four steps" points=2
import numpy as np

from minis2s import Adam
from minis2s.classroom.checks import fresh, parts, same
from minis2s.nn.layer import Parameter

rng = fresh()
params = {"a": rng.standard_normal((3, 2)), "b": rng.standard_normal(4)}
theirs = {name: Parameter(p.copy()) for name, p in params.items()}
settings = rng.uniform([0.5, 0.9, 1e-4], [0.9, 0.99, 1e-3]).tolist()
optimizer, state = Adam(theirs, 0.1, tuple(settings[:2]), settings[2]), {}
for step in range(4):
    optimizer.lr = 0.1 / (step + 1)
    grads = {name: rng.standard_normal(p.shape) for name, p in params.items()}
    for name, p in theirs.items():
        p.grad[...] = grads[name]
    optimizer.step()
    params, state = parts(adam(params, grads, state, optimizer.lr, *settings), "params state", "adam")
    for name, p in theirs.items():
        same(params[name], p.data, f"{name} after step {step + 1}")

# %% [markdown] lang="en"
# ## 9. The step
#
# Now in one piece: shift the targets, encode, decode, loss; back through all of it; clip; Adam. The loss that you
# return is that of the weights *before* the step, and the norm is the one before clipping. Here all your functions
# come together. Make sure first that they are right: their mistakes count here as well.
#
# ### Task `training_step` (5 points)

# %% [markdown] lang="zh"
# ## 9. 完整的一步
#
# 现在连成一个整体：目标移位、编码、解码、损失；再穿过这一切传回来；裁剪；Adam。返回的损失是更新**之前**的权重的损失，返回的范数是裁剪之前的范数。
# 你写的所有函数都在这里用到，请先确认它们是对的：它们的错误在这里也会扣分。
#
# ### 任务 `training_step`（5 分）


# %% tags=["answer"] task="training_step"
def training_step(params, state, src, src_mask, words, lengths, lr, max_norm):
    """One step of training. params: a dict of all 16 arrays; state: that of adam.

    Shapes: src, src_mask (S, B); words (L, B) ids, lengths (B,): as in shift_targets.
    Returns (loss, norm, new params, new state); loss and norm are numbers.
    """
    # BEGIN SOLUTION
    tgt_in, tgt_out, tgt_mask = shift_targets(words, lengths)
    (memory, h0), encoder_cache = encoder_forward(params, src, src_mask)
    logits, decoder_cache = decoder_forward(params, memory, h0, src_mask, tgt_in)
    loss, loss_cache = masked_loss_forward(logits, tgt_out, tgt_mask)
    dlogits = masked_loss_backward(1.0, loss_cache)
    dmemory, dh0, grads = decoder_backward(dlogits, decoder_cache)
    grads |= encoder_backward((dmemory, dh0), encoder_cache)
    grads, norm = clip(grads, max_norm)
    params, state = adam(params, grads, state, lr)
    return loss, norm, params, state
    # END SOLUTION


# %% tags=["public"] task="training_step" check="the loss falls" points=1
from minis2s.classroom.checks import Wrong, fresh, parts
from minis2s.classroom.references import small_batch, small_model

rng = fresh()
model, params = small_model(rng)
_, given = small_batch(rng, model)
losses, state = [], {}
for _ in range(5):
    out = training_step(params, state, *given, 0.05, 5.0)
    loss, _, params, state = parts(out, "loss norm params state", "training_step")
    losses.append(float(loss))
if not losses[-1] <= 0.95 * losses[0]:  # nan is no less
    raise Wrong("after 4 steps on the same words the loss should have fallen")

# %% tags=["hidden"] task="training_step" check="loss" points=1
from minis2s.classroom.checks import fresh, parts, same
from minis2s.classroom.references import small_batch, small_model

rng = fresh()
model, params = small_model(rng)
batch, given = small_batch(rng, model)
out = training_step(params, {}, *given, 0.1, 1.0)
same(parts(out, "loss norm params state", "training_step")[0], model.loss(batch)[0], "loss")

# %% tags=["hidden"] task="training_step" check="norm of all gradients" points=1
import numpy as np

from minis2s.classroom.checks import fresh, parts, same
from minis2s.classroom.references import gradients, small_batch, small_model

rng = fresh()
model, params = small_model(rng)
batch, given = small_batch(rng, model)
model.backward(1.0, model.loss(batch)[1])
norm = np.sqrt(sum((d**2).sum() for d in gradients(model).values()))
out = training_step(params, {}, *given, 0.1, float(norm * rng.uniform(0.3, 0.6)))
same(parts(out, "loss norm params state", "training_step")[1], norm, "norm")

# %% tags=["hidden"] task="training_step" check="weights after three steps" points=2
from minis2s import Adam, clip_global_norm
from minis2s.classroom.checks import fresh, parts, same
from minis2s.classroom.references import small_batch, small_model, weights

rng = fresh()
model, params = small_model(rng)
optimizer, state = Adam(model.parameters(), 0.01), {}
for step in range(3):
    batch, given = small_batch(rng, model)
    model.zero_grad()
    model.backward(1.0, model.loss(batch)[1])
    clip_global_norm(model.parameters(), 0.2 / (step + 1))
    optimizer.step()
    out = training_step(params, state, *given, 0.01, 0.2 / (step + 1))
    _, _, params, state = parts(out, "loss norm params state", "training_step")
for name, p in weights(model).items():
    same(params[name], p, f"{name} after three steps", 1e-9)

# %% [markdown] lang="en" tags=["written"] task="training_written" points=4
# ## 10. In your own words: `training_written` (4 points)
#
# Three people each made one mistake. In all three cases the loss falls, and no error is raised. Say for each
# what the model learns or does not learn, and with which cheap test you would have found it.
#
# 1. The mask of the targets is left out of the loss: PAD counts as a token. (1 point)
# 2. In backward of the decoder, what reaches hs through the scores of attention is left out. (1 point)
# 3. The mask ends one step too early: the step at which EOS should be written is not real. (1 point)
#
# And: somebody clips each of the 16 arrays by itself to the norm 1. What is lost? (1 point)

# %% [markdown] lang="zh" tags=["written"] task="training_written" points=4
# ## 10. 用你自己的话：`training_written`（4 分）
#
# 三个人各犯了一个错误。三种情况下损失都在下降，也没有抛出任何错误。请分别说明模型学到了什么、没学到什么，以及用什么简单的测试就能发现。
#
# 1. 损失里漏掉了目标的掩码：PAD 也算词元。（1 分）
# 2. 解码器的反向里，漏掉了经过注意力分数到达 hs 的那部分梯度。（1 分）
# 3. 掩码早结束了一步：该写 EOS 的那一步不算真实。（1 分）
#
# 另外：有人把 16 个数组各自裁剪到范数 1。损失了什么？（1 分）

# %% [markdown] lang="en" tags=["model-answer"] task="training_written"
# 1. It learns to write PAD after the end, which is easy, so the loss looks better than it is. The real tokens get a
#    smaller share of the gradient, the smaller the more padding there is, and the loss of a word depends on its
#    neighbours in the batch. Test: add a row of padding to the batch; the loss must not change. (1)
# 2. The states of the decoder are not told how to *ask*: the gradient through the attention scores to the query is
#    missing. Attention still learns through the memory, only worse. Test: a gradient check of the decoder
#    (numeric derivatives for h0 or dec_Wx). (1)
# 3. The model never learns to end: EOS gets no positive gradient at all, so that texts run to the length limit. The
#    loss of the other tokens looks perfect. Test: the loss of an empty word must be -log p(EOS), not 0; or decode
#    one text. (1)
# 4. The direction: each array is divided by a number of its own, and the step no longer points where the gradient of
#    the loss does. Large gradients of one array are made as large as the small ones of another. (1)

# %% [markdown] lang="zh" tags=["model-answer"] task="training_written"
# 1. 模型学会在结尾之后写 PAD，这很容易，所以损失看起来比实际好。真实词元分到的梯度变小，填充越多越小；一个单词的损失还取决于同批次的
#    其他单词。测试：给批次加一行填充，损失不应改变。（1）
# 2. 没有人告诉解码器的状态怎样**查询**：经过注意力分数回到查询的梯度丢了。注意力仍能通过记忆学习，只是更差。测试：对解码器做梯度检查
#    （对 h0 或 dec_Wx 求数值导数）。（1）
# 3. 模型永远学不会结束：EOS 得不到任何正向的梯度，文本一直写到长度上限。其余词元的损失看起来很完美。测试：空单词的损失应为
#    -log p(EOS)，而不是 0；或者解码一段文本看看。（1）
# 4. 损失了方向：每个数组除以各自的数，更新不再指向损失的梯度方向。一个数组的大梯度被缩得与另一个数组的小梯度一样大。（1）

# %% [markdown] lang="en"
# ## 11. Your step learns to pronounce
#
# Everything that learns below is yours: the engine only hands over the words. Five hundred steps of
# `training_step` take some fifteen seconds. Then your weights are put into the model of minis2s that has the same
# equations, and its beam search reads a few words aloud. That they fit without one change is the last test.

# %% [markdown] lang="zh"
# ## 11. 你的训练步骤学会发音
#
# 下面凡是在学习的部分都是你写的：引擎只负责递上单词。五百次 `training_step` 大约需要十五秒。然后把你的权重装进公式相同的 minis2s 模型，
# 由它的束搜索念几个单词。权重不用任何改动就能装进去，这是最后一项测试。

# %% tags=["train"]
import numpy as np

import minis2s
from minis2s.classroom.references import NAMES, Sentences, seq2seq_config, weights

try:
    task = minis2s.load_task("g2p", size=20_000)
except minis2s.UserError as error:
    print(f"no words to learn from: {error}")
else:
    translator = minis2s.Translator.for_pairs(
        task.train,
        seq2seq_config(32, 64),
        source_tokenizer=task.source_tokenizer,
        target_tokenizer=task.target_tokenizer,
        dtype=np.float64,
    )
    examples = minis2s.encode_pairs(task.train, translator.source, translator.target, all_targets=False)
    params, state, rng, losses = weights(translator.model), {}, np.random.default_rng(0), []
    batches = minis2s.make_batches(examples, batch_sentences=32, rng=rng)[:500]
    for step, index in enumerate(batches):
        batch = minis2s.make_batch(examples, index)
        lengths = batch.tgt_mask.sum(axis=0) - 1
        given = Sentences(batch.src, batch.src_mask, batch.tgt_out[:-1], lengths)
        loss, norm, params, state = training_step(
            params, state, *given, 8e-3 * (1 - step / len(batches)), 5.0
        )
        losses.append(float(loss))
        if step % 100 == 99:
            print(f"after {step + 1} steps: loss {np.mean(losses[-50:]):.2f} (at the start {losses[0]:.2f})")
    for name, p in zip(NAMES, translator.model.parameters().values(), strict=True):
        p.data[...] = params[name]
    for pair in task.samples:
        (best,) = translator.translate([pair.source])[0]
        print(f"{pair.source:<15}{best.text}")
