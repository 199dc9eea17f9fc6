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
# # Your own data
#
# You have a file with pairs: on each line a text, and what it should become. You train a model on it, and it
# prints "6 % wrong".
#
# **Is 6 % good? Would it be 6 % on other lines? What are the 6 %, and what would make them fewer?**
#
# This lesson goes the whole way with a file that it writes itself: from the file to a model, to its mistakes,
# to error bars, to a better model, through a Ctrl-C, and to a file that somebody else can use. First from
# Python, then the same from the command line.
#
# You need a rough idea of what an encoder, a decoder and attention do (lessons 6 and 7). About an hour is
# enough.

# %% [markdown] lang="zh"
# # 你自己的数据
#
# 你有一个文件，每一行是一个文本和它应当变成的样子。你用它训练了一个模型，它印出“错 6 %”。
#
# **6 % 算好吗？换一批数据还是 6 % 吗？错的是哪些，怎样才能少错？**
#
# 本课用一个自己写出来的文件走完全程：从文件到模型，到它的错误，到误差线，到更好的模型，中间按一次 Ctrl-C，
# 最后得到别人也能用的一个文件。先在 Python 里做，再在命令行上做同样的事。
#
# 你只需大致知道编码器、解码器和注意力做什么（第 6、7 课）。大约一小时就够。

# %% [markdown] lang="en"
# ## 1. A file of pairs
#
# The format is a table: the source, one tab, the target, on each line, in UTF-8. Put your own file in the
# place of the one below, and most of this lesson runs on it.
#
# Ours has Roman numerals and what they mean. They are easy to make, there are 3,999 of them, and you can tell
# at sight whether an answer is right. In `MCMXCIV` a letter before a larger one is subtracted: 1000 + 900 +
# 90 + 4.

# %% [markdown] lang="zh"
# ## 1. 一个装着成对文本的文件
#
# 格式是一张表：每行先是源文本，再是一个制表符，再是目标文本，编码 UTF-8。把你自己的文件放到下面这个的位置，本课大部分照样能跑。
#
# 我们的文件是罗马数字和它的值。它容易生成，总共 3,999 个，答案对不对一眼就能看出。在 `MCMXCIV` 里，
# 小的字母写在大的前面表示减：1000 + 900 + 90 + 4。

# %%
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: our matrices are small

import inspect
import json
import math
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from minis2s import (
    Adam,
    ModelConfig,
    Pair,
    TrainConfig,
    Trainer,
    Translator,
    UserError,
    clip_global_norm,
    edit_distance,
    encode_pairs,
    load_checkpoint,
    make_batch,
    read_pairs,
    score,
    write_pairs,
)
from minis2s.gradcheck import gradcheck
from minis2s.lessons import exercise, with_changes
from minis2s.train.metrics import bootstrap_interval, resampled_sums

LETTERS = {1000: "M", 900: "CM", 500: "D", 400: "CD", 100: "C", 90: "XC", 50: "L", 40: "XL",
           10: "X", 9: "IX", 5: "V", 4: "IV", 1: "I"}  # fmt: skip


def roman(n):
    text = ""
    for value, letters in LETTERS.items():
        while n >= value:
            text += letters
            n -= value
    return text


temporary = tempfile.TemporaryDirectory()  # for a run that you want to keep, name a folder of your own
folder = Path(temporary.name)
lines = [f"{roman(n)}\t{n}\n" for n in range(1, 4000)]
(folder / "all.tsv").write_text("".join(lines), encoding="utf-8")

pairs = read_pairs(folder / "all.tsv")
assert len(pairs) == 3999 and pairs[1993] == Pair("MCMXCIV", ("1994",))
print(f"evidence: {len(pairs)} pairs; line 1994 is exactly {pairs[1993]}")

# %% [markdown] lang="en"
# A real file has bad lines. They should be found when the file is read, and not after an hour of training.
# The reader stops at the first one, and says which:

# %% [markdown] lang="zh"
# 真实的文件里总有坏行。它们应当在读文件时就被发现，而不是训练一小时以后。读到第一处就停下，并说明是哪一行：

# %%
(folder / "bad.tsv").write_text("MM\t2000\nMMI 2001\n", encoding="utf-8")
try:
    read_pairs(folder / "bad.tsv")
except UserError as error:
    message = str(error)
assert "bad.tsv, line 2" in message and "tab" in message
print("evidence: ..." + message[message.index("bad.tsv") :])

# %% [markdown] lang="en"
# ## 2. Three parts
#
# * The **training** pairs: what the gradient is taken of.
# * The **dev** pairs (for *development*): what you decide by. Which model is the best, which option, when to
#   stop. You look at its mistakes.
# * The **test** pairs: looked at once, at the end. Whoever decides by the test pairs has no test any more.
#
# No source may be in two parts, or you measure memory. We shuffle before we cut: a file is often sorted,
# and then its end is of another kind than its beginning. We train on 200 pairs only, to have some mistakes
# to look at.

# %% [markdown] lang="zh"
# ## 2. 分成三份
#
# * **训练**集：梯度由它而来。
# * **开发**集（dev）：你靠它做决定。哪个模型最好，选什么选项，何时停。它的错误你可以看。
# * **测试**集：只在最后看一次。靠测试集做决定的人，就再也没有测试集了。
#
# 同一个源文本不可出现在两份里，否则测出来的是记忆。先打乱再切：文件往往是排好序的，末尾与开头不是一类。
# 我们只用 200 对来训练，好留下一些错误来看。

# %%
order = np.random.default_rng(0).permutation(len(pairs))
shuffled = [pairs[i] for i in order]
dev, test, train, pool = shuffled[:500], shuffled[500:1300], shuffled[1300:1500], shuffled[1500:]
for name, part in (("train", train), ("dev", dev), ("test", test)):
    write_pairs(folder / f"{name}.tsv", part)

sources = [{pair.source for pair in part} for part in (train, dev, test)]
assert not (sources[0] & sources[1] or sources[0] & sources[2] or sources[1] & sources[2])
assert read_pairs(folder / "dev.tsv") == dev
print(f"evidence: {len(train)} + {len(dev)} + {len(test)} pairs, exactly 0 sources in two parts")

# %% [markdown] lang="en"
# With the shell it is `shuf` and `head`: see the main README.
#
# ## 3. Before you train
#
# Four checks take ten seconds and save hours. The loss of a batch with N real target tokens (end marks
# included) is the mean surprise
#
# $$L = -\frac{1}{N} \sum_{n} \log p(y_n \mid y_{<n}, x)$$
#
# **Check 1.** An untrained model knows nothing: all V tokens are about equally likely, so
# $L \approx \log V$. A loss that begins elsewhere means that something is mixed up.
#
# **Check 2.** Can what goes in come out again? Encode a target, decode it, compare.

# %% [markdown] lang="zh"
# 用命令行就是 `shuf` 和 `head`：见主 README。
#
# ## 3. 训练之前
#
# 四项检查只要十秒，却能省下几个小时。一批里有 N 个真实的目标词元（含结束符），损失是平均惊讶度
#
# $$L = -\frac{1}{N} \sum_{n} \log p(y_n \mid y_{<n}, x)$$
#
# **检查 1.** 没训练过的模型什么也不知道：V 个词元差不多等可能，所以 $L \approx \log V$。损失从别处开始，说明哪里弄混了。
#
# **检查 2.** 进去的能不能原样出来？把目标编码，再解码，作比较。

# %%
config = ModelConfig(embed=32, hidden=64)
translator = Translator.for_pairs(train, config, dtype=np.float64)
model = translator.model
examples = encode_pairs(train, translator.source, translator.target, all_targets=True)
batch = make_batch(examples[:32])  # src (S, B), tgt_in and tgt_out (T, B)
V = len(translator.target.vocabulary)
loss, cache = model.loss(batch)
assert abs(loss - math.log(V)) < 0.1
assert all(translator.target.decode(translator.target.encode(p.targets[0])) == p.targets[0] for p in train)
print(f"evidence: first loss {loss:.3f}, log {V} = {math.log(V):.3f}, difference < 0.1; targets come back")

# %% [markdown] lang="en"
# **Check 3.** Is the gradient the derivative of the loss, on *your* data? One random direction u through all
# weights is enough to see a mistake:
#
# $$\sum_k d\theta_k \cdot u_k \approx \frac{L(\theta + \epsilon u) - L(\theta - \epsilon u)}{2 \epsilon}$$
#
# First by hand, then by the checker of the engine, which goes through each gradient.

# %% [markdown] lang="zh"
# **检查 3.** 在*你的*数据上，梯度是损失的导数吗？沿一个穿过所有权重的随机方向 u 看一看，就足以发现错误：
#
# $$\sum_k d\theta_k \cdot u_k \approx \frac{L(\theta + \epsilon u) - L(\theta - \epsilon u)}{2 \epsilon}$$
#
# 先手工做，再用引擎的检查器，它会检查每一个梯度。

# %%
model.zero_grad()
model.backward(1.0, cache)
rng = np.random.default_rng(1)
weights = list(model.parameters().values())
direction = [rng.standard_normal(p.data.shape) for p in weights]


def loss_at(step):
    """The loss after a step along the direction; the weights are as before afterwards."""
    before = [p.data.copy() for p in weights]
    for p, u in zip(weights, direction, strict=True):
        p.data += step * u
    loss, _ = model.loss(batch)
    for p, old in zip(weights, before, strict=True):
        p.data[...] = old
    return float(loss)


analytic = sum(float((p.grad * u).sum()) for p, u in zip(weights, direction, strict=True))
numeric = (loss_at(1e-5) - loss_at(-1e-5)) / 2e-5
error = abs(analytic - numeric) / abs(analytic)
assert error < 1e-6
report = gradcheck(model, fast=True)
assert report.ok
print(f"evidence: along one direction {error:.0e} < 1e-6; gradcheck: {report.summary()}")

# %% [markdown] lang="en"
# **Check 4.** Can it learn eight pairs by heart? If not, it will not learn eight thousand.

# %% [markdown] lang="zh"
# **检查 4.** 它能背下八对吗？不能的话，八千对也学不会。

# %%
eight = make_batch(examples[:8])
optimizer = Adam(model.parameters(), lr=0.01)
for _ in range(80):
    model.zero_grad()
    loss, cache = model.loss(eight)
    model.backward(1.0, cache)
    clip_global_norm(model.parameters(), 5.0)
    optimizer.step()
assert loss < 0.05
print(f"evidence: after 80 steps on 8 pairs the loss is {loss:.3f} < 0.05")

# %% [markdown] lang="en"
# ## 4. Train
#
# `Trainer` is the loop of lesson 8: batches of similar length, gradient, clipping, Adam, and ten looks at
# the dev pairs. It keeps the weights of the best look, and writes all that is needed into a folder. The
# loop, live from the engine:

# %% [markdown] lang="zh"
# ## 4. 训练
#
# `Trainer` 就是第 8 课的循环：长度相近的句子成批，求梯度，裁剪，Adam，其间在开发集上看十次。它留下最好那一次的权重，
# 并把需要的一切写进一个文件夹。下面的循环直接取自引擎：

# %% tags=["engine-source"]
print(inspect.getsource(Trainer.run))

# %%
training = TrainConfig(epochs=30, batch_tokens=150, lr=0.015)


def trained(pairs, out):
    """A translator trained on pairs, with its trainer; the run lies in the folder `out`."""
    translator = Translator.for_pairs(pairs, config)
    trainer = Trainer(translator, pairs, dev, training, out=folder / out)
    trainer.run(quiet=True)
    return translator, trainer


first, trainer = trained(train, "first")
history = trainer.history

figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
epochs = [row["epoch"] for row in history]
axes.semilogy(epochs, [row["train_loss"] for row in history], "o-", label="training")
axes.semilogy(epochs, [row["dev_loss"] for row in history], "s--", label="dev")
axes.set_xlabel("epoch")
axes.set_ylabel("loss, nats per token")
axes.legend(frameon=False)

assert trainer.best["dev_exact"] > 0.6 and (folder / "first" / "best.npz").exists()
exact = trainer.best["dev_exact"]
print(f"evidence: {trainer.step} steps; of the dev pairs {exact:.1%} > 60 % are exactly right")

# %% [markdown] lang="en"
# Both losses fall together at first, and at the end that of the dev pairs stays above that of the training
# pairs.

# %% [markdown] lang="zh"
# 起初两条损失一同下降，到最后开发集的损失停在训练集之上。

# %% [markdown] lang="en"
# ## 5. Look at the mistakes
#
# One number hides everything. So read some outputs, on the *dev* pairs.

# %% [markdown] lang="zh"
# ## 5. 看看错误
#
# 一个数字掩盖了一切。所以去读一些输出，在*开发集*上。

# %%
def outputs_of(translator, pairs):
    """For each pair the best output, with its log-probability."""
    return [best for (best,) in translator.translate([pair.source for pair in pairs])]


outputs = outputs_of(first, dev)
wrong = np.array([out.text != pair.targets[0] for out, pair in zip(outputs, dev, strict=True)])  # (n,)
assert abs(wrong.mean() - (1 - trainer.best["dev_exact"])) < 1e-9
print(f"evidence: {wrong.sum()} of {len(dev)} are wrong, the share that the trainer found (to 1e-9)")
for n in np.flatnonzero(wrong)[:10]:
    print(f"  {dev[n].source:12} {dev[n].targets[0]:>5}, not {outputs[n].text}")

# %% [markdown] lang="en"
# What do they have in common? Guess before you read on.
#
# Then measure the guess. A guess about mistakes is a *grouping* of the pairs, and it is worth something
# when the groups have different shares of mistakes. Try the length of the source:

# %% [markdown] lang="zh"
# 它们有什么共同点？先猜，再往下读。
#
# 然后去测你的猜测。关于错误的猜测就是给数据*分组*；各组的错误率不同，猜测才有价值。试试源文本的长度：

# %%
lengths = np.array([len(pair.source) for pair in dev])
edges = [(1, 4), (5, 6), (7, 8), (9, 10), (11, 15)]
groups = [(lengths >= low) & (lengths <= high) for low, high in edges]
shares = [wrong[group].mean() for group in groups]
errors = [math.sqrt(share * (1 - share) / group.sum()) for share, group in zip(shares, groups, strict=True)]

figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
axes.bar([f"{low} to {high}" for low, high in edges], shares, color="0.7")
axes.errorbar(range(len(edges)), shares, yerr=1.96 * np.array(errors), fmt="none", color="black", capsize=4)
axes.set_xlabel("letters of the source")
axes.set_ylabel("share of wrong answers")

in_training = [sum(low <= len(pair.source) <= high for pair in train) for low, high in edges]
of_longer = wrong[~groups[0]].mean()
seven_or_more = np.mean([len(pair.source) >= 7 for pair in pairs])  # of all numerals
assert shares[0] > 2 * of_longer and abs(seven_or_more - 2 / 3) < 0.01
print(f"evidence: wrong are {shares[0]:.0%} of the shortest, {of_longer:.0%} of all others: less than half")
print("training pairs of these lengths:", in_training)

# %% [markdown] lang="en"
# Sources of one to four letters have by far the largest share of wrong answers.

# %% [markdown] lang="zh"
# 一到四个字母的源文本答错的比例远远最大。

# %% [markdown] lang="en"
# Short numerals should be the easy ones! But the training pairs have few of them: two thirds of all numbers
# below 4000 have seven letters or more. The model does not know that a numeral is made of digits. It knows
# what it has often seen. This is what you look for: a kind of input that is rare in training. (The longest
# are rare as well. Are they worse than the middle ones, too, and is their error bar short enough to say
# so?)
#
# Does the model at least know when it does not know? Compare the probability that it gave to its own right
# and wrong answers.

# %% [markdown] lang="zh"
# 短的本该容易才对！可是训练集里短的很少：4000 以下的数有三分之二是七个字母以上。模型并不知道数字是一位一位组成的，
# 它只熟悉常见的样子。要找的就是这个：训练中少见的那一类输入。（最长的也少见。它们是否也比中间的差？误差线够短、足以这么说吗？）
#
# 那么模型至少知道自己没把握吗？比较它给自己的正确答案和错误答案的概率。

# %%
sure = np.exp([out.log_prob for out in outputs])
of_right, of_wrong = np.median(sure[~wrong]), np.median(sure[wrong])
assert of_right > of_wrong
print(f"evidence: median probability of right answers {of_right:.2f} > {of_wrong:.2f} of wrong ones")
least = np.argsort(sure)[: 2 * wrong.sum()]
print(f"among the {len(least)} least sure answers are {wrong[least].sum()} of the {wrong.sum()} wrong ones")

# %% [markdown] lang="en"
# So whoever uses this model can ask a person about the least sure answers. `minis2s translate --nbest 3`
# shows the scores.
#
# ## 6. Error bars
#
# Which pairs came into the dev part was chance. With other 500 pairs the number would be another. How much
# other?
#
# First, what is counted. The *edit distance* of an output a and an answer b is the least number of tokens
# to insert, delete or replace. Let $d_{ij}$ be that of the first i tokens of a and the first j of b:
#
# $$d_{ij} = \min(d_{i-1,j} + 1,\; d_{i,j-1} + 1,\; d_{i-1,j-1} + [a_i \ne b_j])$$
#
# The *token error rate* divides the sum by the sum, over all n outputs:
#
# $$E = \frac{\sum_n d_n}{\sum_n |b_n|}$$

# %% [markdown] lang="zh"
# 所以使用这个模型的人，可以把最没把握的答案拿去问人。`minis2s translate --nbest 3` 会显示分数。
#
# ## 6. 误差线
#
# 哪些数据进了开发集是偶然的。换 500 对，数字就会变。会变多少？
#
# 先说数的是什么。输出 a 与答案 b 的*编辑距离*，是最少要插入、删除或替换多少个词元。设 $d_{ij}$ 是 a 的前 i 个词元
# 与 b 的前 j 个词元的编辑距离：
#
# $$d_{ij} = \min(d_{i-1,j} + 1,\; d_{i,j-1} + 1,\; d_{i-1,j-1} + [a_i \ne b_j])$$
#
# *词元错误率*是总和除以总和，对所有 n 个输出：
#
# $$E = \frac{\sum_n d_n}{\sum_n |b_n|}$$

# %%
def naive_distance(a, b):
    d = np.zeros((len(a) + 1, len(b) + 1), dtype=int)
    d[:, 0] = np.arange(len(a) + 1)  # delete all of a
    d[0, :] = np.arange(len(b) + 1)  # insert all of b
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            d[i, j] = min(d[i - 1, j] + 1, d[i, j - 1] + 1, d[i - 1, j - 1] + (a[i - 1] != b[j - 1]))
    return int(d[-1, -1])


def counts(outputs, pairs):
    """(n, 3): of each pair its edits, the length of its answer, and whether the output is wrong."""
    rows = []
    for out, pair in zip(outputs, pairs, strict=True):
        edits = naive_distance(out.text, pair.targets[0])
        rows.append((edits, len(pair.targets[0]), edits > 0))
    return np.array(rows, dtype=float)


on_dev = counts(outputs, dev)
same = [edit_distance(out.text, pair.targets[0]) for out, pair in zip(outputs, dev, strict=True)]
assert np.array_equal(on_dev[:, 0], same)
assert abs(on_dev[:, 0].sum() / on_dev[:, 1].sum() - trainer.best["dev_error_rate"]) < 1e-12
print(f"evidence: {len(dev)} distances exactly as the engine's; the error rate is the trainer's (to 1e-12)")

# %% [markdown] lang="en"
# Now the error bar. We would like to draw many dev parts from the world, and cannot. The *bootstrap* (Efron
# 1979) draws them from the one that we have: n pairs, *with replacement*, so that some come twice and
# others not at all. The metric of each such part is one number. The middle 95 % of a thousand of them is
# the interval.

# %% [markdown] lang="zh"
# 再说误差线。我们很想从世上再抽许多个开发集，却做不到。*自助法*（bootstrap，Efron 1979）从手里这一个里抽：
# *有放回地*抽 n 对，有的抽到两次，有的一次也没有。每抽一份就得到一个指标值。一千个值的中间 95 % 就是区间。

# %%
def naive_bootstrap(statistics, rng, samples=1000):
    """The error rate of so many resampled parts; statistics (n, 2): edits and lengths."""
    n = len(statistics)
    values = []
    for _ in range(samples):
        drawn = statistics[rng.integers(n, size=n)]  # with replacement
        values.append(drawn[:, 0].sum() / drawn[:, 1].sum())
    return np.array(values)


values = naive_bootstrap(on_dev, np.random.default_rng(0))
low, high = np.quantile(values, [0.025, 0.975])
engine = bootstrap_interval(on_dev, lambda sums: sums[0] / sums[1], rng=np.random.default_rng(0))
estimate = on_dev[:, 0].sum() / on_dev[:, 1].sum()

figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
axes.hist(100 * values, bins=30, color="0.7")
axes.axvline(100 * estimate, color="black")
for bound in (low, high):
    axes.axvline(100 * bound, color="black", linestyle=":")
axes.set_xlabel("token error rate of a resampled dev part, %")
axes.set_yticks([])

assert max(abs(low - engine[0]), abs(high - engine[1])) < 1e-12
print(f"evidence: {estimate:.1%} [{low:.1%}, {high:.1%}], the same bounds as the engine's (to 1e-12)")

# %% [markdown] lang="en"
# Between the dotted lines lie 95 % of the thousand resampled parts.

# %% [markdown] lang="zh"
# 两条虚线之间是一千份重抽样本的 95 %。

# %% tags=["engine-source"]
print(inspect.getsource(bootstrap_interval))
print(inspect.getsource(resampled_sums))

# %% [markdown] lang="en"
# Does a 95 % interval do what it says? Test it where the truth is known: a made-up model that is wrong with
# a chance of exactly 9 %. Draw 300 test parts of 500, make the interval of each, and count how many contain
# the 9 %.

# %% [markdown] lang="zh"
# 95 % 的区间名副其实吗？在知道真相的地方试：一个虚构的模型，出错概率恰好 9 %。抽 300 个各 500 对的测试集，
# 各求一个区间，数一数有多少个包含 9 %。

# %%
rng = np.random.default_rng(2)
hits, widths = 0, []
for _ in range(300):
    made_up = np.stack([rng.random(500) < 0.09, np.ones(500)], axis=1)  # (n, 2): wrong or not, and 1
    a, b = bootstrap_interval(made_up, lambda sums: sums[0] / sums[1], rng=rng, samples=300)
    hits += a <= 0.09 <= b
    widths.append(b - a)
expected = 2 * 1.96 * math.sqrt(0.09 * 0.91 / 500)
assert 0.90 < hits / 300 < 0.98 and abs(np.mean(widths) / expected - 1) < 0.1
print(f"evidence: {hits / 300:.0%} of the intervals contain the truth, between 90 and 98 %")
print(f"their mean width {np.mean(widths):.3f} is within 10 % of the normal approximation, {expected:.3f}")

# %% [markdown] lang="en"
# Two things follow. With 500 pairs an error share of 9 % has a bar of about ± 2.5 points: who reports 8.3 %
# against 8.9 % on such a part has reported nothing. And the width falls with $\sqrt{n}$ only: half the bar
# needs four times the pairs.
#
# What the bar does *not* know: another seed of the training, a split of another kind, another world. It
# answers one question, which pairs happened to be in the part.

# %% [markdown] lang="zh"
# 由此可知两件事。500 对数据上 9 % 的错误率，误差线约 ± 2.5 个百分点：在这样的数据上报告 8.3 % 胜过 8.9 %，等于什么也没报告。
# 而且宽度只随 $\sqrt{n}$ 缩小：误差线减半，数据要四倍。
#
# 误差线*不*知道的是：训练换个种子，换一种切分，换一个世界。它只回答一个问题：偶然进了这份数据的是哪些。

# %% [markdown] lang="en"
# ## 7. Act on the mistakes
#
# Section 5 said: short numerals are rare in training. So we pay somebody to write down the answers of 100
# more pairs from the pool, and ask for short ones, of up to six letters. Is the new model better, or is it
# luck?
#
# Both models answer the *same* pairs, and most pairs are easy or hard for both. So resample the
# *difference*, pair by pair: that is the *paired* bootstrap (Koehn 2004). Now, and only now, on the test
# pairs.

# %% [markdown] lang="zh"
# ## 7. 对症下药
#
# 第 5 节说：短的数字在训练集里太少。于是我们请人从备用的数据里再标 100 对，专要短的，至多六个字母。新模型真的更好，还是碰运气？
#
# 两个模型回答的是*同一批*数据，多数数据对两者都容易或都难。所以逐对地重抽*差值*：这叫*配对*自助法（Koehn 2004）。
# 现在，也只在现在，用测试集。

# %%
asked_for = [pair for pair in pool if len(pair.source) <= 6][:100]
second, _ = trained(train + asked_for, "second")
before, after = counts(outputs_of(first, test), test), counts(outputs_of(second, test), test)
paired = np.stack([before[:, 2] - after[:, 2], np.ones(len(test))], axis=1)  # (n, 2)
gain = paired[:, 0].mean()
low, high = bootstrap_interval(paired, lambda sums: sums[0] / sums[1], rng=np.random.default_rng(0))
assert low <= gain <= high and abs(gain - (before[:, 2].mean() - after[:, 2].mean())) < 1e-12
print(f"wrong before {before[:, 2].mean():.1%}, after {after[:, 2].mean():.1%}")
print(f"evidence: the gain in points, {100 * gain:.1f}, is the difference (to 1e-12)")
verdict = "it lies above 0: better" if low > 0 else "it does not lie above 0: nothing is shown"
print(f"its error bar is [{100 * low:.1f}, {100 * high:.1f}]; {verdict}")

# %% [markdown] lang="en"
# (Some of the gain comes from having 100 pairs more, short or not. To know how much, train a third model with
# 100 random ones from the pool, and compare again.)
#
# The engine has all metrics with their bars in one call:

# %% [markdown] lang="zh"
# （有一部分进步只是因为多了 100 对，与长短无关。想知道有多少，就用备用数据里随机的 100 对训练第三个模型，再比一次。）
#
# 引擎一次调用就给出所有指标和误差线：

# %%
metrics = score(
    [out.text for out in outputs_of(second, test)],
    [pair.targets for pair in test],
    kind="exact",
    rng=np.random.default_rng(0),
)
for metric in metrics.values():
    print(metric)
assert abs(metrics["exact_match"].value - (1 - after[:, 2].mean())) < 1e-12
assert abs(metrics["token_error_rate"].value - after[:, 0].sum() / after[:, 1].sum()) < 1e-12
print("evidence: both equal what we counted by hand (to 1e-12)")

# %% [markdown] lang="en"
# ## 8. Ctrl-C, and on
#
# A training run is stopped: by you, by a power cut, by a full disk. Then it should go on as if nothing had
# happened. For this, all must be saved that decides what comes next: weights, the means of Adam, the random
# generators, and the place in the data. `last.npz` has it.
#
# How do you know that nothing was forgotten? Run it once without a stop, once with one, and compare all
# arrays of the two files *bit for bit*. We press Ctrl-C from within the program, at step 30: it sends
# itself the signal that the keys send.

# %% [markdown] lang="zh"
# ## 8. Ctrl-C，然后继续
#
# 训练会被打断：被你，被停电，被磁盘写满。之后它应当像什么都没发生一样继续。为此，凡决定下一步的都要保存：权重，Adam 的滑动平均，
# 随机数发生器，数据读到哪里。`last.npz` 里都有。
#
# 怎么知道没有漏掉什么？不停地跑一遍，停一次再跑一遍，*逐比特*比较两个文件里的所有数组。我们在程序里按 Ctrl-C：在第 30 步，
# 它给自己发送按键会发出的那个信号。

# %%
@contextmanager
def ctrl_c_works():
    """A program that was started in the background ignores Ctrl-C; not within this."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Interrupted(Trainer):
    """A trainer that is sent a Ctrl-C at step 30."""

    def update(self, batch):
        super().update(batch)
        if self.step == 30:
            signal.raise_signal(signal.SIGINT)


short = TrainConfig(epochs=4, batch_tokens=150, lr=0.01)


def new_trainer(cls, out):
    return cls(Translator.for_pairs(train, config), train, dev[:50], short, out=folder / out)


whole = new_trainer(Trainer, "whole")
whole.run(quiet=True)
with ctrl_c_works():
    stopped = new_trainer(Interrupted, "stopped")
    stopped.run(quiet=True)
resumed = new_trainer(Trainer, "stopped")
resumed.load()
resumed.run(quiet=True)

(a, _), (b, _) = (load_checkpoint(folder / out / "last.npz") for out in ("whole", "stopped"))
same = [np.array_equal(a[name], b[name]) for name in a]  # weights, Adam's means, the best weights
assert stopped.interrupted and stopped.step == 30 and resumed.step == whole.step and all(same)
print(f"evidence: stopped at step 30 of {whole.step}, resumed: all {len(same)} arrays are equal bit for bit")

# %% [markdown] lang="en"
# ## 9. Share
#
# A model that nobody else can run is half a result. One file has all of it: weights, both vocabularies and
# the configuration.

# %% [markdown] lang="zh"
# ## 9. 分享
#
# 别人跑不了的模型只是半个结果。一个文件装下全部：权重，两份词表，配置。

# %%
path = folder / "roman.npz"
second.save(path)
theirs = Translator.load(path)  # somebody else, somewhere else
question = ["MCMXCIV", "MMXXVI", "XL"]
answers = [best.text for (best,) in theirs.translate(question, beam=5)]
assert answers == [best.text for (best,) in second.translate(question, beam=5)]
with np.load(path, allow_pickle=False) as file:  # refuses anything that could run code
    numbers = sum(file[name].size for name in file.files if not name.startswith("__"))
assert numbers == second.model.count()
print(f"evidence: {path.stat().st_size:,} bytes, exactly {numbers:,} weights, no code; the same answers:")
print(dict(zip(question, answers, strict=True)))

# %% [markdown] lang="en"
# With a model belongs a page of text: what it is for, which data it was trained on and under which licence
# they are, the figures with their bars *and on what*, which mistakes it makes (section 5), and the seed.
# Whoever gets your model has not seen your mistakes.
#
# ## 10. The same from the command line
#
# All of it without a line of Python. `minis2s train` on files of your own chooses 1,000 steps at least, and
# cuts texts into characters or words by their look (`--by char` says it). Here is a small model, and a
# Ctrl-C once the first state is saved. On your machine these are the lines after `$`.

# %% [markdown] lang="zh"
# 模型要配一页说明：它做什么用，用什么数据训练、数据是什么许可，数字连同误差线*以及是在什么上测的*，
# 它会犯哪些错（第 5 节），还有种子。拿到模型的人没有见过你见过的错误。
#
# ## 10. 在命令行上做同样的事
#
# 不写一行 Python，全部都能做。`minis2s train` 用你自己的文件时至少训练 1,000 步，并按文本的样子决定切成字符还是词
# （`--by char` 可以指定）。下面训练一个小模型，第一次保存之后按 Ctrl-C。在你的机器上，输入的就是 `$` 后面的那些行。

# %%
def minis2s(line, last=8):
    """Run a command in the folder and show its last lines; returns its exit code."""
    done = subprocess.run(
        [sys.executable, "-m", "minis2s", *line.split()],
        cwd=folder, capture_output=True, text=True, encoding="utf-8",
    )  # fmt: skip
    print(f"$ minis2s {line}")
    print("\n".join((done.stderr if done.returncode else done.stdout).splitlines()[-last:]))
    return done.returncode


def minis2s_until_saved(line, run):
    """Start a command, press Ctrl-C once its run folder holds a state; returns its exit code."""
    print(f"$ minis2s {line}")
    with ctrl_c_works():
        process = subprocess.Popen(
            [sys.executable, "-m", "minis2s", *line.split()],
            cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, encoding="utf-8",
        )  # fmt: skip
    while not (folder / run / "last.npz").exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    print("^C", said.splitlines()[-1] if said else "")
    return process.returncode


write_pairs(folder / "hundred.tsv", test[:100])  # a model that knows nothing writes long answers, slowly
files = "--train train.tsv --dev dev.tsv --test hundred.tsv"
small = "--embed 16 --hidden 32 --batch-tokens 150 --epochs 60 --evaluations 60"
code = minis2s_until_saved(f"train {files} --out cli --by char {small}", "cli")
assert code == 130
resumed_code = minis2s("train --resume --out cli --epochs 4", last=1)
assert resumed_code == 0 and (folder / "cli" / "results.json").exists()
print("evidence: exit code 130 after Ctrl-C, 0 after the resumed run; results.json is there")

# %% [markdown] lang="en"
# The small model has learned little in four epochs. The one from section 7 lies in a run folder of the same
# kind, so the commands work on it as well: evaluate it, use it, and look at what a folder holds.

# %% [markdown] lang="zh"
# 小模型四轮学不到什么。第 7 节的模型在同样的运行文件夹里，这些命令对它同样有效：评测它，使用它，看看文件夹里有什么。

# %%
code = minis2s("evaluate second --data test.tsv --beam 1 --json figures.json --quiet")
figures = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
by_command = figures["scores"]["token_error_rate"]["value"]
assert code == 0 and abs(by_command - metrics["token_error_rate"].value) < 0.005
print(f"evidence: the command says {by_command:.2%}, which is within 0.5 points of what Python found")

# %%
code = minis2s("translate roman.npz MCMXCIV MMXXVI --beam 5")
assert code == 0
code = minis2s("info cli", last=6)
assert code == 0
temporary.cleanup()
assert not folder.exists()
print("evidence: both exit codes are 0; the folder is gone again")

# %% [markdown] lang="en"
# ## 11. Exercises
#
# Each exercise has a cell with a hole and a cell that checks it. The check raises with the name of the
# exercise until the hole is filled.

# %% [markdown] lang="zh"
# ## 11. 练习
#
# 每个练习有一个留空的单元和一个检查的单元。空没有填好之前，检查会带着练习的名字报错。

# %% [markdown] lang="en"
# ### Exercise 1: a split without a leak
#
# In a file of translations the same source stands on several lines, with several right answers. Cut lines
# at random, and a source of the dev part is also in training. Write `my_split(pairs, dev, rng)`: it returns
# two lists of pairs, training and dev. About the share `dev` of the *sources* is in the second (within
# one), no source is in both, no pair is lost, and the choice is random: it comes from `rng`, and is the
# same for the same seed.

# %% [markdown] lang="zh"
# ### 练习 1：不泄漏的切分
#
# 在翻译数据的文件里，同一个源文本会占好几行，各有一个正确答案。随机地切行，开发集里的源文本就也在训练集里。
# 写 `my_split(pairs, dev, rng)`：返回两个列表，训练和开发。占比约 `dev` 的*源文本*在第二个里（相差不超过一个），
# 没有源文本同时在两边，一对也不丢，而且选择是随机的：来自 `rng`，种子相同则结果相同。

# %%
def my_split(pairs, dev, rng):
    raise NotImplementedError("fill in my_split")


# %% [markdown] lang="en"
# <details><summary><b>Hint 1</b></summary>
#
# Draw sources, not lines. `dict.fromkeys(...)` has each source once, in the order of the file.
#
# </details>
#
# <details><summary><b>Hint 2</b></summary>
#
# A `set` of strings has another order in each run of Python. Whoever shuffles one has other parts each time.
#
# </details>

# %% [markdown] lang="zh"
# <details><summary><b>提示 1</b></summary>
#
# 抽的是源文本，不是行。`dict.fromkeys(...)` 让每个源文本只出现一次，次序与文件相同。
#
# </details>
#
# <details><summary><b>提示 2</b></summary>
#
# 字符串的 `set` 在 Python 每次运行时次序都不同。打乱一个 `set`，每次得到的两份都不一样。
#
# </details>

# %% tags=["raises-exception"]
with exercise("Exercise 1, a split without a leak"):
    many = [Pair(f"source {n % 40}", (f"answer {n}",)) for n in range(100)]
    parts = my_split(list(many), 0.25, np.random.default_rng(0))
    assert isinstance(parts, tuple | list) and len(parts) == 2, "two lists are expected"
    in_train, in_dev = ({pair.source for pair in part} for part in parts)
    assert sorted([*parts[0], *parts[1]]) == sorted(many), "pairs are missing, or come twice"
    assert not in_train & in_dev, f"{len(in_train & in_dev)} sources are in both parts"
    assert abs(len(in_dev) - 10) <= 1, f"10 of the 40 sources should be in dev, got {len(in_dev)}"
    again, other = (my_split(list(many), 0.25, np.random.default_rng(seed)) for seed in (0, 1))
    assert list(map(list, again)) == list(map(list, parts)), "the same seed should give the same parts"
    assert {pair.source for pair in other[1]} != in_dev, "another seed should give other parts"

# %% [markdown] lang="en"
# ### Exercise 2: find the bug
#
# `interval` makes a bootstrap interval of the error rate. The version below is right. The folded cell makes
# one with a line changed; please leave it folded. Its intervals are printed beside the right ones. Which
# change makes them so?
#
# Write your guess as `{"old line": "new line"}`. The check makes your change, and compares the intervals.

# %% [markdown] lang="zh"
# ### 练习 2：找错
#
# `interval` 求错误率的自助法区间。下面这个版本是对的。折叠的单元改了其中一行，请不要展开。它的区间印在正确的旁边。
# 怎样的改动会造成这样的结果？
#
# 把你的猜测写成 `{"old line": "new line"}`。检查会照你的猜测修改，并比较区间。

# %%
def interval(statistics, rng):
    n = len(statistics)
    values = []
    for _ in range(500):
        drawn = statistics[rng.integers(n, size=n)]
        values.append(drawn[:, 0].sum() / drawn[:, 1].sum())
    return np.quantile(values, [0.025, 0.975])


def changed(changes):
    """interval with some lines replaced: changes is {old: new}."""
    return with_changes(changes, interval)


# %% jupyter={"source_hidden": true} tags=["hide-input"]
hidden = changed({"drawn = statistics[rng.integers(n, size=n)]": "drawn = statistics[rng.permutation(n)]"})

# %%
for n in (100, 500):
    for name, function in (("right", interval), ("hidden", hidden)):
        a, b = function(on_dev[:n], np.random.default_rng(0))
        print(f"{n} pairs, {name}: [{a:.5f}, {b:.5f}]")

# %%
my_guess = {"old line": "new line"}

# %% [markdown] lang="en"
# <details><summary><b>Hint 1</b></summary>
#
# All 500 values are equal. In which case does it not matter which pairs are drawn?
#
# </details>
#
# <details><summary><b>Hint 2</b></summary>
#
# When each pair is drawn exactly once. Which function of a generator gives each number from 0 to n - 1
# exactly once?
#
# </details>

# %% [markdown] lang="zh"
# <details><summary><b>提示 1</b></summary>
#
# 500 个值全都相等。什么情况下，抽到哪些数据都无所谓？
#
# </details>
#
# <details><summary><b>提示 2</b></summary>
#
# 每一对恰好抽到一次的时候。随机数发生器的哪个函数把 0 到 n - 1 各给一次？
#
# </details>

# %% tags=["raises-exception"]
with exercise("Exercise 2, find the bug"):
    assert my_guess != {"old line": "new line"}, "write your guess into my_guess"
    for n in (50, 100, 500):
        mine, theirs = (f(on_dev[:n], np.random.default_rng(3)) for f in (changed(my_guess), hidden))
        assert np.allclose(mine, theirs, rtol=1e-9, atol=0), f"{n} pairs: your change gives another interval"

# %% [markdown] lang="en"
# ### Exercise 3: which of two models is better?
#
# Write `my_paired_interval(a, b, rng)`. a and b, (n, 2), are the edits and answer lengths of two models on
# the same n pairs, row by row. It returns the 95 % interval (low, high) of the difference of their token
# error rates, $E_a - E_b$, by at least 1000 paired resamples: each draws the *same* pairs for both models.

# %% [markdown] lang="zh"
# ### 练习 3：两个模型哪个好？
#
# 写 `my_paired_interval(a, b, rng)`。a 和 b 的形状是 (n, 2)，是两个模型在同样 n 对数据上逐行的编辑数和答案长度。
# 返回两者词元错误率之差 $E_a - E_b$ 的 95 % 区间 (low, high)，至少用 1000 次配对重抽：每次两个模型抽到的是*同样*的数据。

# %%
def my_paired_interval(a, b, rng):
    raise NotImplementedError("fill in my_paired_interval")


# %% [markdown] lang="en"
# <details><summary><b>Hint 1</b></summary>
#
# Draw the numbers of the pairs once, `rows = rng.integers(n, size=n)`, and use them for a and for b.
#
# </details>
#
# <details><summary><b>Hint 2</b></summary>
#
# Each rate is a sum over a sum. The difference of the two rates is one value of the resample; the bounds are
# quantiles of these values.
#
# </details>

# %% [markdown] lang="zh"
# <details><summary><b>提示 1</b></summary>
#
# 数据的编号只抽一次，`rows = rng.integers(n, size=n)`，a 和 b 都用它。
#
# </details>
#
# <details><summary><b>提示 2</b></summary>
#
# 每个错误率是总和除以总和。两个错误率之差是这次重抽的一个值；区间的两端是这些值的分位数。
#
# </details>

# %% tags=["raises-exception"]
with exercise("Exercise 3, which of two models is better"):
    a, b = before[:, :2], after[:, :2]
    low, high = my_paired_interval(a, a, np.random.default_rng(0))
    assert low == high == 0, f"a model against itself: [0, 0] is expected, got [{low:.4f}, {high:.4f}]"
    low, high = my_paired_interval(a, b, np.random.default_rng(1))
    want_low, want_high = bootstrap_interval(
        np.concatenate([a, b], axis=1),
        lambda sums: sums[0] / sums[1] - sums[2] / sums[3],
        rng=np.random.default_rng(2),
        samples=2000,
    )
    near = 0.15 * (want_high - want_low)
    says = f"about [{want_low:.4f}, {want_high:.4f}] is expected, got [{low:.4f}, {high:.4f}]"
    assert abs(low - want_low) < near and abs(high - want_high) < near, says

# %% [markdown] lang="en"
# ## 12. What to read next
#
# * B. Efron, "Bootstrap methods: another look at the jackknife", The Annals of Statistics 7, 1979: where
#   resampling comes from.
# * P. Koehn, "Statistical significance tests for machine translation evaluation", EMNLP 2004: the paired
#   bootstrap of section 7, for translations.
# * V. Levenshtein, "Binary codes capable of correcting deletions, insertions, and reversals", Soviet
#   Physics Doklady 10, 1966; R. Wagner and M. Fischer, "The string-to-string correction problem", Journal
#   of the ACM 21, 1974: the distance, and the table that computes it.
# * M. Mitchell and others, "Model cards for model reporting", FAT* 2019: the page of text that belongs with
#   a model.
# * S. Kapoor and A. Narayanan, "Leakage and the reproducibility crisis in machine-learning-based science",
#   Patterns 4, 2023: what happens where parts of the data leak into each other.
#
# And the code: `minis2s/train/loop.py` (the loop), `minis2s/train/state.py` (what is saved),
# `minis2s/train/metrics.py` (figures and bars), `minis2s/cli/` (the commands).

# %% [markdown] lang="zh"
# ## 12. 接着读什么
#
# * B. Efron, "Bootstrap methods: another look at the jackknife", The Annals of Statistics 7, 1979：重抽样的由来。
# * P. Koehn, "Statistical significance tests for machine translation evaluation", EMNLP 2004：
#   第 7 节的配对自助法，用于翻译。
# * V. Levenshtein, "Binary codes capable of correcting deletions, insertions, and reversals", Soviet Physics
#   Doklady 10, 1966；R. Wagner 和 M. Fischer, "The string-to-string correction problem", Journal of the ACM 21,
#   1974：编辑距离，以及计算它的表格。
# * M. Mitchell 等, "Model cards for model reporting", FAT* 2019：模型应配的那页说明。
# * S. Kapoor 和 A. Narayanan, "Leakage and the reproducibility crisis in machine-learning-based science",
#   Patterns 4, 2023：各份数据相互泄漏会怎样。
#
# 还有代码：`minis2s/train/loop.py`（循环），`minis2s/train/state.py`（保存什么），
# `minis2s/train/metrics.py`（指标和误差线），`minis2s/cli/`（各条命令）。
