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
# # Reading a trained model
#
# A trained model is some thousand numbers that nobody has chosen. It works, and you want to know how.
#
# **What does a state know, does the model use it, and how can you tell the one from the other?**
#
# You need attention (`07_attention.py`) and the LSTM (`04_lstm.py`). About an hour is enough.

# %% [markdown] lang="zh"
# # 读懂训练好的模型
#
# 训练好的模型是几千个没有人挑选过的数。它能工作，而你想知道它是怎样工作的。
#
# **一个状态知道什么？模型用不用它？怎样区分这两件事？**
#
# 需要注意力（`07_attention.py`）和 LSTM（`04_lstm.py`）。大约一个小时。

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np

import minis2s
from minis2s import (
    Adam,
    ModelConfig,
    Translator,
    clip_global_norm,
    encode_pairs,
    gradcheck,
    load_task,
    make_batch,
    make_batches,
)
from minis2s.lessons import exercise, with_changes
from minis2s.trace import AttentionRow, Cut, ForceToken, Pin
from minis2s.trace.bptt import gradient_paths
from minis2s.trace.what_if import what_if

# %% [markdown] lang="en"
# ## 1. A model to read
#
# The task: write a word backwards, up to 12 letters. We know the perfect method, so we can judge what we
# read. The model is an LSTM encoder, an LSTM decoder and attention, with H = 32. We keep a second model with
# the weights it began with: it is the control.
#
# The trace records one step. S source positions, T target steps, B words.

# %% [markdown] lang="zh"
# ## 1. 一个供阅读的模型
#
# 任务：把一个最多 12 个字母的单词倒着写。完美的方法我们是知道的，所以能评判读出的东西。
# 模型是 LSTM 编码器、LSTM 解码器加注意力，H = 32。我们另外保留一个权重未经训练的模型，作为对照。
#
# trace 记录一步计算。S 个源位置，T 个目标步，B 个单词。

# %%
task = load_task("reverse", size=6000)
config = ModelConfig(cell="lstm", embed=16, hidden=32, bidirectional=False)
translator = Translator.for_pairs(task.train, config, seed=0)
model = translator.model
untrained = Translator.for_pairs(task.train, config, seed=0).model


def coded(pairs):
    return encode_pairs(pairs, translator.source, translator.target, all_targets=False)


examples = coded(task.train)
optimizer = Adam(model.parameters(), lr=0.01, betas=(0.9, 0.99))
rng = np.random.default_rng(0)
waiting = []
for step in range(500):
    waiting = waiting or make_batches(examples, batch_sentences=64, rng=rng)
    model.zero_grad()
    loss, cache = model.loss(make_batch(examples, waiting.pop()))
    model.backward(1.0, cache)
    clip_global_norm(model.parameters(), 1.0)
    optimizer.lr = 0.01 * (1 - step / 500)
    optimizer.step()
for either in (model, untrained):
    either.to(dtype=np.float64)


def traced(model, batch):
    with minis2s.trace(model) as tape:
        loss, cache = model.loss(batch)
        model.backward(1.0, cache)
    return tape


held_out = coded(task.test[:600])
batch = make_batch(held_out[:200])
tape = traced(model, batch)
report = gradcheck(model, fast=True)
assert tape.loss < 0.25 and traced(untrained, batch).loss > 3 and report.ok
assert abs(tape.loss - model.loss(batch)[0]) < 1e-10
print(f"evidence: on new words the loss is {tape.loss:.3f} < 0.25 a token; untrained above 3")
print(f"evidence: the trace gives the model's loss within 1e-10; gradcheck: {report.summary()}")

# %% [markdown] lang="en"
# ## 2. Probes: what a state knows
#
# A *probe* is a small model that reads one thing from a state. If it can, the thing is in the state. We ask
# the decoder's states h: how many letters are still to be written? Nobody gave the model this number.
#
# The simplest probe is linear. X (N, H + 1) has one state a row, and a column of ones. Y (N, K) has a 1 in
# the column of the right answer. We minimise
#
# $$L(W) = \tfrac12 \lVert X W - Y \rVert^2 + \tfrac{r}{2} \lVert W \rVert^2$$
#
# The gradient is $X^T (X W - Y) + r W$. Set to 0, it gives W in one line:
#
# $$W = (X^T X + r I)^{-1} X^T Y$$
#
# The answer of the probe is the column with the largest entry of $x W$. It is judged on other words.

# %% [markdown] lang="zh"
# ## 2. 探针：一个状态知道什么
#
# *探针*是一个小模型，从状态里读出一样东西。读得出，这样东西就在状态里。
# 我们问解码器的状态 h：还有几个字母要写？这个数没有人告诉过模型。
#
# 最简单的探针是线性的。X (N, H + 1) 每行是一个状态，外加一列 1。
# Y (N, K) 在正确答案的那一列为 1。我们最小化
#
# $$L(W) = \tfrac12 \lVert X W - Y \rVert^2 + \tfrac{r}{2} \lVert W \rVert^2$$
#
# 梯度是 $X^T (X W - Y) + r W$。令它为 0，一行就得到 W：
#
# $$W = (X^T X + r I)^{-1} X^T Y$$
#
# 探针的回答是 $x W$ 中最大元素所在的列。用另外的单词来评判它。

# %%
K = 13  # 0 to 12 letters are left


def states_and_answers(model, examples):
    """X (N, H + 1): the decoder's states and a one; y (N,): how many letters are left after this step's."""
    batch = make_batch(examples)
    h = traced(model, batch)["decoder.0/forward/h"]  # (T, B, H)
    steps_left = batch.tgt_mask[::-1].cumsum(axis=0)[::-1] - 1  # the last step, EOS, has 0
    X = h[batch.tgt_mask]
    return np.c_[X, np.ones(len(X))], steps_left[batch.tgt_mask]


def probe_loss(W, X, Y, r):
    return 0.5 * ((X @ W - Y) ** 2).sum() + 0.5 * r * (W**2).sum()


def probe_gradient(W, X, Y, r):
    return X.T @ (X @ W - Y) + r * W


def fit(X, y, r=0.01):
    Y = np.eye(K)[y]
    return np.linalg.solve(X.T @ X + r * np.eye(X.shape[1]), X.T @ Y)


def accuracy(W, X, y):
    return float((np.argmax(X @ W, axis=1) == y).mean())


X, y = states_and_answers(model, held_out[:400])
new_X, new_y = states_and_answers(model, held_out[400:])
W = fit(X, y)
U = rng.standard_normal(W.shape)
V = W + 0.1 * rng.standard_normal(W.shape)
Y = np.eye(K)[y]
numeric = (probe_loss(V + 1e-4 * U, X, Y, 0.01) - probe_loss(V - 1e-4 * U, X, Y, 0.01)) / 2e-4
error = abs((probe_gradient(V, X, Y, 0.01) * U).sum() / numeric - 1)
assert error < 1e-6 and np.abs(probe_gradient(W, X, Y, 0.01)).max() < 1e-7
print(f"evidence: the gradient of the probe is right within {error:.0e} < 1e-6, and below 1e-7 at W")

# %% [markdown] lang="en"
# An accuracy alone says nothing. Three numbers belong beside it:
#
# * **Guessing**: always the most frequent answer.
# * **Shuffled labels**: the same states, with the answers mixed. What the probe reaches there on new words
#   cannot come from the states.
# * **An untrained model**: its states, too, depend on what was read. What can be read there was not learned
#   by training.

# %% [markdown] lang="zh"
# 只有一个准确率，什么也说明不了。旁边还要有三个数：
#
# * **猜**：总是回答最常见的答案。
# * **打乱标签**：同样的状态，答案打乱。探针此时在新单词上达到的，不可能来自状态。
# * **未训练的模型**：它的状态也取决于读到的内容。从那里能读出的，不是训练学来的。

# %%
raw_X, raw_y = states_and_answers(untrained, held_out[:400])
raw_new_X, raw_new_y = states_and_answers(untrained, held_out[400:])
found = {
    "trained": accuracy(W, new_X, new_y),
    "guessing": float((new_y == np.bincount(y).argmax()).mean()),
    "shuffled labels": accuracy(fit(X, rng.permutation(y)), new_X, new_y),
    "untrained": accuracy(fit(raw_X, raw_y), raw_new_X, raw_new_y),
}
for name, share in found.items():
    print(f"{name:15} {share:.0%}")
controls = max(share for name, share in found.items() if name != "trained")
assert found["trained"] > 0.55 and controls < 0.3
print("evidence: the trained states answer above 55 %, all three controls stay below 30 %")

# %% [markdown] lang="en"
# So the decoder counts down. But mind what was shown: the number **can be read**. Whether the model **uses**
# it is another question. A probe cannot answer that, as it changes nothing in the model. Section 4 does.

# %% [markdown] lang="zh"
# 所以解码器在倒数。但要留意证明了什么：这个数**读得出来**。模型**用不用**它是另一个问题。
# 探针回答不了，因为它没有改动模型里的任何东西。第 4 节来回答。

# %% [markdown] lang="en"
# ## 3. Attention as evidence
#
# The weights of attention look like an explanation: "at this step the model looked there". Take one word and
# three measures of how much the loss of step s depends on position p:
#
# 1. the weight $a_{sp}$ itself;
# 2. the gradient $dL/da_{sp}$: what a *small* change of the weight does;
# 3. a what-if: set $a_{sp}$ to 0, divide the others by their sum, and compute the step anew. No estimate.
#
# First a check of the gradient, by overwriting the row with a slightly changed one.

# %% [markdown] lang="zh"
# ## 3. 注意力作为证据
#
# 注意力的权重看上去像一种解释：“这一步模型看了那里”。
# 取一个单词，用三种方式衡量第 s 步的损失多大程度上取决于位置 p：
#
# 1. 权重 $a_{sp}$ 本身；
# 2. 梯度 $dL/da_{sp}$：权重的*微小*变动有什么效果；
# 3. what-if：令 $a_{sp}$ 为 0，其余的除以它们的和，把这一步重新算一遍。这不是估计。
#
# 先检查梯度：用略微改动的一行去覆盖原来的一行。

# %%
word = next(e for e in held_out if len(e.source) == 9 and len(set(e.source)) == 9)
one = make_batch([word])
tape = traced(model, one)
weights = tape["attention/forward/weights"][:, 0]  # (T, S)
dweights = tape["attention/backward/dweights"][:, 0]
T, S = weights.shape


def loss_with(step, row):
    return tape.what_if(AttentionRow(step, row)).loss


numeric = np.array(
    [
        [
            (loss_with(s, weights[s] + 1e-5 * e) - loss_with(s, weights[s] - 1e-5 * e)) / 2e-5
            for e in np.eye(S)
        ]
        for s in range(T)
    ]
)
error = np.abs(numeric - dweights).max() / np.abs(dweights).max()
assert error < 1e-6
print(f"evidence: dL/da of all {T} x {S} weights: relative error {error:.0e} < 1e-6")


def without(row, p):
    row = row.copy()
    row[p] = 0
    return row / row.sum()


removed = np.array([[loss_with(s, without(weights[s], p)) for p in range(S)] for s in range(T)]) - tape.loss

figure, axes = plt.subplots(1, 3, figsize=(11, 3.8), layout="constrained")
panels = (weights, "weight"), (np.abs(dweights), "|gradient|"), (removed, "loss when removed")
for ax, (values, title) in zip(axes, panels, strict=True):
    figure.colorbar(ax.imshow(values, cmap="cividis"), ax=ax)
    ax.set_title(title)
    ax.set_xlabel("source position p")
axes[0].set_ylabel("target step s")

right = S - 2 - np.arange(T - 1)  # step s writes the letter at S - 2 - s, as S - 1 is EOS
near = np.abs(weights[:-1].argmax(axis=1) - right) <= 1
same = (weights[:-1].argmax(axis=1) == removed[:-1].argmax(axis=1)).mean()
slope = (np.abs(dweights[:-1]).argmax(axis=1) == removed[:-1].argmax(axis=1)).mean()
assert near.mean() > 0.75 and same > 0.6 and slope < same
assert weights[-1].max() > 0.5 and removed[-1].max() < 0.1 * removed.max()
print(f"evidence: for {near.mean():.0%} of the letters, more than 75 %, the weight is largest at most 1")
print(f"  from the right place; for {same:.0%}, more than 60 %, it is largest where removal costs most")
print(f"evidence: the gradient is largest there for {slope:.0%}, fewer than that")

# %% [markdown] lang="en"
# Weights and exact removal show the same diagonal, but at its ends a large weight can be removed at next to
# no cost, and the small gradients show no diagonal.

# %% [markdown] lang="zh"
# 权重和精确的移除显示同一条斜线，但在两端，大的权重移除后可以几乎没有代价，而微小的梯度不显示斜线。

# %% [markdown] lang="en"
# ### The limits
#
# **Of the gradient**: it is the slope at the present weights. This model is nearly certain, so its loss is
# flat there: a small change does nothing. A large change falls off the edge. See exercise 1.
#
# **Of the weights**: the last row is the step that writes EOS. Its weights are as sharp as those of the
# others. They sum to 1 whether there is something to look for or not. So overwrite whole rows, for 200
# words: every row becomes equal weights on all real positions.

# %% [markdown] lang="zh"
# ### 它的局限
#
# **梯度的局限**：它是当前权重处的斜率。这个模型几乎是确定的，所以损失在那里是平的：
# 小变动没有效果，大变动则会掉下悬崖。见练习 1。
#
# **权重的局限**：最后一行是写出 EOS 的那一步。它的权重和其他行一样尖锐。不管有没有要找的东西，权重之和总是 1。
# 所以对 200 个单词覆盖整行：每一行都变成所有真实位置上相等的权重。

# %%
many = traced(model, batch)
Tb, Bb = batch.tgt_out.shape
is_end = batch.tgt_mask & (batch.tgt_out == minis2s.EOS)
is_letter = batch.tgt_mask & ~is_end
equal = batch.src_mask.T / batch.src_mask.sum(axis=0)[:, None]  # (B, S)
rows = [AttentionRow(s, equal[b], row=b) for s in range(Tb) for b in range(Bb)]
flat = many.what_if(*rows)
sharp = many["attention/forward/weights"].max(axis=-1)
rises = {}
for name, of in (("letters", is_letter), ("EOS", is_end)):
    rises[name] = (flat.losses - many.losses)[of].mean()
    print(f"{name:8} largest weight {sharp[of].mean():.2f}; equal weights: loss {rises[name]:+.2f}")
assert sharp[is_end].mean() > 0.5 and rises["letters"] > 1 and rises["EOS"] < 0.3
print("evidence: at EOS the largest weight is above 0.5 in the mean, yet equal weights cost below 0.3 nats;")
print("  for letters they cost above 1 nat")

# %% [markdown] lang="en"
# A sharp row of attention is a **hypothesis**. It says where values were taken from, not that they mattered.
# Overwrite the row and see.
#
# ## 4. What if?
#
# A what-if takes the recorded step again with one thing changed, and gives the exact loss. Four kinds:
# `Cut` a path, `Pin` a gate, `ForceToken`, and the `AttentionRow` of above.

# %% [markdown] lang="zh"
# 尖锐的注意力行是一个**假设**。它说明值从哪里取来，不说明这些值有用。把这一行覆盖掉，看结果。
#
# ## 4. 如果……会怎样？
#
# what-if 把记录下来的一步重做一遍，只改一处，给出精确的损失。
# 有四种：`Cut` 切断一条通路，`Pin` 固定一个门，`ForceToken`，以及上面的 `AttentionRow`。

# %% tags=["engine-source"]
print(inspect.getsource(what_if))

# %%
changes = {
    "nothing": (),
    "cut attention": (Cut("attention"),),
    "cut bridge": (Cut("bridge"),),
    "cut carry in decoder": (Cut("carry", layer="decoder.0"),),
    "pin f = 1 in decoder": (Pin("decoder.0", "f", 1.0),),
    "pin f = 1 in encoder": (Pin("encoder.0", "f", 1.0),),
}
costs = {}
for name, change in changes.items():
    result = many.what_if(*change)
    stops = result.best == minis2s.EOS  # where the model would stop
    costs[name] = result.losses[is_letter].mean(), result.losses[is_end].mean(), stops[is_letter].mean()
    print("{:21} letters {:6.2f}   EOS {:6.2f}   too early {:4.0%}".format(name, *costs[name]))
assert many.what_if().loss == many.loss
assert costs["cut attention"][0] > 2 and costs["cut attention"][1] < 0.5
assert costs["cut attention"][2] < 0.3 and costs["cut bridge"][1] < 0.5 and costs["cut bridge"][2] > 0.4
assert costs["pin f = 1 in decoder"][1] > 4
print("evidence: without attention letters cost above 2 nats, EOS below 0.5, too early below 30 %;")
print("  without the bridge EOS costs below 0.5, too, but more than 40 % of the letters are stops")
print("evidence: with all forget gates of the decoder at 1, EOS costs above 4 nats")

# %% [markdown] lang="en"
# Read the table with care. The third column is the share of the letters at which the model would rather
# stop. **Look at both kinds of mistake.** Without the bridge, EOS is cheap; but only because the model now
# wants to stop nearly everywhere. From the EOS column alone you would conclude that the bridge is not needed
# for the length, and it is just the other way round.
#
# So section 2 has its answer. Without attention the decoder mostly still stops in the right place, so it
# can do that from its **state**. Without the bridge, by which alone the word reaches that state
# (attention joins in only after it), it cannot. And a forget gate that never forgets spoils the end. The
# probe found the number there, and the what-ifs show that something there decides about the end. Both
# together are good evidence. They are no proof that it is the direction which the probe reads.
#
# One more. Does the decoder find its place by the letters that it reads, or by counting? Force a wrong
# letter on it, at step 4 of one word, then at step 2 of all:

# %% [markdown] lang="zh"
# 这张表要仔细读。第三列是模型宁愿停下的字母所占的比例。**两种错误都要看。**
# 没有桥接，EOS 很便宜；但这只是因为模型现在几乎处处想停。
# 只看 EOS 一列，会得出结论：长度不需要桥接。事实恰恰相反。
#
# 于是第 2 节有了答案。没有注意力，解码器大多仍停在正确的地方，所以它靠自己的**状态**就能做到。
# 单词只能经由桥接到达这个状态（注意力在状态之后才加入）；没有桥接，它就做不到。从不遗忘的遗忘门会毁掉结尾。
# 探针在那里找到了这个数，what-if 表明那里有东西决定着结尾。两者合起来是好的证据，
# 但没有证明起作用的正是探针所读的那个方向。
#
# 再来一个。解码器是靠读入的字母找到自己的位置，还是靠数数？
# 强塞给它一个错误的字母，先在一个单词的第 4 步，再在所有单词的第 2 步：

# %%
wrong = next(t for t in range(4, 30) if t not in word.source)
forced = tape.what_if(ForceToken(4, wrong))
print("losses before:", tape.losses[:, 0].round(2))
print("losses after: ", forced.losses[:, 0].round(2))
forced_many = many.what_if(ForceToken(2, wrong))
later = is_letter & (np.arange(Tb)[:, None] >= 2)
rise = forced_many.losses - many.losses
assert rise[later].mean() < 1 and abs(rise[is_end].mean()) < 0.1
assert (forced.losses[:4] == tape.losses[:4]).all() and forced.losses[4, 0] != tape.losses[4, 0]
print("evidence: the steps before the forced letter are unchanged exactly, its own step is not")
print(f"evidence: over 200 words the letters from there on cost {rise[later].mean():.2f} < 1 nat more,")
print(f"  and EOS {abs(rise[is_end].mean()):.4f} < 0.1: mostly the place is counted, not read off the text")

# %% [markdown] lang="en"
# ## 5. Itemised gradients
#
# The gradient of a state is a sum: one part for each loss term s, and each part comes along several paths.
# With L the sum of the $L_s$,
#
# $$dh_t = \sum_s \sum_{path} dh_t^{(s, path)}$$
#
# `tape.bptt()` has all the parts. Its trick is that of lesson 3: as many copies of the sentence as there
# are loss terms, and in copy s the loss counts at step s alone.

# %% [markdown] lang="zh"
# ## 5. 逐项的梯度
#
# 状态的梯度是一个和：每个损失项 s 有一部分，每一部分又沿几条通路（path）到来。设 L 是各 $L_s$ 之和，
#
# $$dh_t = \sum_s \sum_{path} dh_t^{(s, path)}$$
#
# `tape.bptt()` 给出所有部分。它的诀窍和第 3 课一样：有多少个损失项就复制多少份句子，
# 第 s 份里只计第 s 步的损失。

# %% tags=["engine-source"]
print(inspect.getsource(gradient_paths))

# %%
paths = tape.bptt(row=0)
total = paths.total("encoder.0")  # (S, T, H)
assert np.abs(total.sum(axis=1) - tape["encoder.0/backward/dh"][:, 0]).max() < 1e-12
print("evidence: the parts sum to dh of every encoder state within 1e-12")

# the check: move the embedding of the letter at position 2, and measure every loss term by itself
embedding = model.parameters()["encoder.embedding.W"].data
u = rng.standard_normal(embedding.shape[1])


def terms(step):
    embedding[word.source[2]] += step * u
    losses = traced(model, one).losses[:, 0] / T  # the loss is the mean of the terms
    embedding[word.source[2]] -= step * u
    return losses


numeric = (terms(1e-5) - terms(-1e-5)) / 2e-5
mine = paths.dx["encoder.0"][2] @ u  # (T,)
error = np.abs(mine - numeric).max() / np.abs(numeric).max()
assert error < 1e-6
print(f"evidence: d(each loss term)/d(letter 2): relative error {error:.0e} < 1e-6")

lengths = paths.lengths("encoder.0")
figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
for ax, edge in zip(axes, ("attention", "recurrent"), strict=True):
    figure.colorbar(ax.imshow(lengths[edge].T, cmap="cividis"), ax=ax)
    ax.set_title(f"length of the part by way of: {edge}")
    ax.set_xlabel("encoder state t")
axes[0].set_ylabel("loss term s")

direct = lengths["attention"].T  # (T, S)
agree = np.mean(direct[:-1].argmax(axis=1) == weights[:-1].argmax(axis=1))
assert agree > 0.6
print(f"evidence: by way of attention {agree:.0%} of the letters' losses, more than 60 %, pull most at the")
print("  state with the largest weight")

# %% [markdown] lang="en"
# Attention brings each loss straight to a few states, and the recurrent path spreads it over those before
# them.

# %% [markdown] lang="zh"
# 注意力把每个损失直接带到少数几个状态，循环通路再把它散布到之前的状态。

# %% [markdown] lang="en"
# ## 6. Exercises
#
# Each exercise has a cell with a hole and a cell that checks it. The check raises with the name of the
# exercise until the hole is filled. The hints are folded.

# %% [markdown] lang="zh"
# ## 6. 练习
#
# 每个练习有一个留空的单元格和一个检查它的单元格。
# 在填好之前，检查会报错并给出练习的名字。提示是折叠的。

# %% [markdown] lang="en"
# ### Exercise 1: an estimate of a what-if
#
# The gradient predicts what happens when a row of attention (S,) is replaced by another, to first order.
# Write `estimate(tape, step, row)`: the predicted loss of the sentence 0. It is good for a small change of
# the row. How good is it for a large one?
#
# <details><summary>Hint</summary>
#
# The loss, plus the sum over p of the gradient times the change of the weight. `tape.loss`,
# `tape["attention/forward/weights"]` and `tape["attention/backward/dweights"]`, both (T, B, S).
#
# </details>

# %% [markdown] lang="zh"
# ### 练习 1：估计一个 what-if
#
# 把一行注意力 (S,) 换成另一行会怎样，梯度能作一阶的预测。
# 写出 `estimate(tape, step, row)`：第 0 个句子的预测损失。对这一行的小变动它很准。对大变动呢？
#
# <details><summary>提示</summary>
#
# 损失，加上对 p 求和的梯度乘以权重的变动。用 `tape.loss`、
# `tape["attention/forward/weights"]` 和 `tape["attention/backward/dweights"]`，后两者的形状是 (T, B, S)。
#
# </details>

# %%
def estimate(tape, step, row):
    raise NotImplementedError("fill in estimate")


# %% tags=["raises-exception"]
with exercise("Exercise 1, an estimate of a what-if"):
    equal_row = np.full(S, 1 / S)
    for s in (0, 3):
        for share in (1e-3, 1e-4):
            row = (1 - share) * weights[s] + share * equal_row
            rise = loss_with(s, row) - tape.loss
            off = abs(estimate(tape, s, row) - tape.loss - rise)
            assert off < 0.05 * abs(rise), f"at step {s} the estimate of a small change is off by {off:.1e}"
    exact, guess = loss_with(4, equal_row), estimate(tape, 4, equal_row)
    print(f"to equal weights at step 4: exact {exact:.2f}, estimate {guess:.2f}")

# %% [markdown] lang="en"
# ### Exercise 2: find the bug
#
# The next cell is folded, please leave it so. It runs `experiment` with one line changed, on six words, and
# on shuffled labels the probe is right far more often than chance allows. Which line was changed, and how?
# Write your guess as `{"old line": "new line"}`.
#
# <details><summary>Hint 1</summary>
#
# On mixed answers there is nothing to learn for new words. For which words can the probe be right then?
#
# </details>
# <details><summary>Hint 2</summary>
#
# 33 weights for each class, and about 50 states: such a probe can learn its examples by heart.
#
# </details>

# %% [markdown] lang="zh"
# ### 练习 2：找出错误
#
# 下一个单元格是折叠的，请不要打开。它运行改动了一行的 `experiment`，只用六个单词，
# 在打乱的标签上，探针答对的次数远远超过碰运气。改的是哪一行，怎样改的？
# 把猜测写成 `{"old line": "new line"}`（原来的行和新的行）。
#
# <details><summary>提示 1</summary>
#
# 答案打乱之后，对新单词没有什么可学的。那么探针能答对哪些单词？
#
# </details>
# <details><summary>提示 2</summary>
#
# 每个类别有 33 个权重，状态只有大约 50 个：这样的探针能把例子背下来。
#
# </details>

# %%
def experiment(examples, new_examples, shuffled):
    X, y = states_and_answers(model, examples)
    new_X, new_y = states_and_answers(model, new_examples)
    if shuffled:
        y = np.random.default_rng(7).permutation(y)
    W = fit(X, y, r=1e-6)
    return accuracy(W, new_X, new_y)


# %% jupyter={"source_hidden": true} tags=["hide-input"]
SIX, OTHERS = held_out[:6], held_out[400:]


def results(changes):
    """(accuracy, the same on shuffled labels) of experiment, some lines replaced: changes is {old: new}."""
    changed = with_changes(changes, experiment)
    return [changed(SIX, OTHERS, shuffled) for shuffled in (False, True)]


hidden = results({"return accuracy(W, new_X, new_y)": "return accuracy(W, X, y)"})
print(f"right answers {hidden[0]:.0%}, shuffled {hidden[1]:.0%}")

# %%
my_guess = {"old line": "new line"}

# %% tags=["raises-exception"]
with exercise("Exercise 2, find the bug"):
    assert my_guess != {"old line": "new line"}, "write your guess into my_guess"
    assert results(my_guess) == hidden, "your change gives other accuracies"

# %% [markdown] lang="en"
# ### Exercise 3: the units that matter
#
# Write `worst_units(tape, layer, gate, value, n)`: the n units of a layer for which pinning this one unit of
# the gate to the value costs the most. Return their numbers, the worst first.
#
# <details><summary>Hint</summary>
#
# `tape.what_if(Pin(layer, gate, value, units=[k])).loss` for each k, then `np.argsort`. The number of units
# is the last entry of the shape of `tape[f"{layer}/forward/h"]`.
#
# </details>

# %% [markdown] lang="zh"
# ### 练习 3：重要的单元
#
# 写出 `worst_units(tape, layer, gate, value, n)`：在一层里找出 n 个单元，
# 单独把门的这一个单元固定为该值时代价最大。返回它们的编号，代价最大的在前。
#
# <details><summary>提示</summary>
#
# 对每个 k 求 `tape.what_if(Pin(layer, gate, value, units=[k])).loss`，然后 `np.argsort`。
# 单元数是 `tape[f"{layer}/forward/h"]` 形状的最后一项。
#
# </details>

# %%
def worst_units(tape, layer, gate, value, n):
    raise NotImplementedError("fill in worst_units")


# %% tags=["raises-exception"]
with exercise("Exercise 3, the units that matter"):
    for layer, gate, value in (("decoder.0", "f", 0.0), ("encoder.0", "o", 1.0)):
        pinned = [tape.what_if(Pin(layer, gate, value, units=[k])).loss for k in range(config.hidden)]
        yours = list(worst_units(tape, layer, gate, value, 3))
        assert len(yours) == 3, f"three units are asked for, not {len(yours)}"
        expected = sorted(pinned, reverse=True)[:3]
        right = np.allclose([pinned[k] for k in yours], expected, rtol=1e-9)
        assert right, f"other units of {layer} cost more, or in another order"

# %% [markdown] lang="en"
# ## 7. What to read next
#
# * G. Alain and Y. Bengio, "Understanding intermediate layers using linear classifier probes", ICLR 2017
#   workshop: linear probes.
# * J. Hewitt and P. Liang, "Designing and interpreting probes with control tasks", EMNLP 2019: why a probe
#   needs controls.
# * S. Jain and B. Wallace, "Attention is not explanation", NAACL 2019, and S. Wiegreffe and Y. Pinter,
#   "Attention is not not explanation", EMNLP 2019: the two sides of section 3.
# * X. Shi, K. Knight and D. Yuret, "Why neural translations are the right length", EMNLP 2016: units that
#   count, in a large model.
#
# Next lesson: `12_your_own_data.py`.

# %% [markdown] lang="zh"
# ## 7. 接下来读什么
#
# * G. Alain, Y. Bengio, "Understanding intermediate layers using linear classifier probes",
#   ICLR 2017 workshop：线性探针。
# * J. Hewitt, P. Liang, "Designing and interpreting probes with control tasks", EMNLP 2019：
#   探针为什么需要对照。
# * S. Jain, B. Wallace, "Attention is not explanation", NAACL 2019，以及
#   S. Wiegreffe, Y. Pinter, "Attention is not not explanation", EMNLP 2019：第 3 节的两种立场。
# * X. Shi, K. Knight, D. Yuret, "Why neural translations are the right length", EMNLP 2016：
#   大模型里计数的单元。
#
# 下一课：`12_your_own_data.py`。
