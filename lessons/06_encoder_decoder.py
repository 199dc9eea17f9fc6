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
# # Encoder and decoder
#
# A text goes in, another one comes out, and the two have different lengths. One network reads the first text
# into a vector. A second network writes the other text out of that vector.
#
# The text may have any length. The vector always has the same. **What does that cost, and what removes the
# cost?**
#
# On the way you meet four small things that every such model needs: BOS, EOS, padding and masks. They look
# like bookkeeping. You take each of them away and measure what breaks.
#
# You need the recurrent step and its backward pass (lesson 3). How attention works is lesson 7: here it is
# only switched on and off.

# %% [markdown] lang="zh"
# # 编码器与解码器
#
# 输入一段文本，输出另一段文本，两者长度不同。一个网络把第一段文本读成一个向量，另一个网络再从这个向量写出第二段文本。
#
# 文本可长可短，向量的大小却始终不变。**这要付出什么代价？又怎样消除这个代价？**
#
# 途中你会遇到这类模型都离不开的四样小东西：BOS、EOS、填充（padding）和掩码（mask）。它们看起来只是记账，你将逐一拿掉它们，并测量坏掉的是什么。
#
# 你需要了解循环单元的一步及其反向传播（第 3 课）。注意力的原理在第 7 课讲，这里只把它打开或关上。

# %% [markdown] lang="en"
# ## 1. One pair of texts, by hand
#
# The source is $x_1 \dots x_S$ and the target $y_1 \dots y_T$, both numbers that stand for tokens. The model
# gives a probability to the whole target. By the chain rule of probability that is a product, one factor for
# each token:
#
# $$p(y \mid x) = \prod_{t=1}^{T} p(y_t \mid y_1 \dots y_{t-1}, x)$$
#
# The last token $y_T$ is always EOS, the *end of the sentence*. So the model also says when it is done, and
# the probabilities of all texts of all lengths add up to 1.
#
# **The encoder** reads the source with a recurrent cell. **The decoder** starts where the encoder stopped. It
# reads the token before and gives a distribution over the next one:
#
# $$h_s = \tanh(E_{x_s} W_x + h_{s-1} W_h + b), \qquad h_0 = 0$$
#
# $$h'_t = \tanh(E'_{y_{t-1}} W'_x + h'_{t-1} W'_h + b'), \qquad h'_0 = h_S$$
#
# $$p(y_t \mid \dots) = \mathrm{softmax}(h'_t W_o + b_o)_{y_t}$$
#
# At the first step there is no token before. A token of its own stands in: BOS, the *beginning of the
# sentence*.
#
# The vector $h_S$ is all that the decoder knows of the source. The loss is the surprise of the right tokens:
#
# $$L = -\sum_{t=1}^{T} \log p(y_t \mid y_1 \dots y_{t-1}, x)$$
#
# | | | | |
# |---|---|---|---|
# | E, E' | (V, E) and (V', E) | h, h' | (H,) |
# | Wx, Wx' | (E, H) | Wo | (H, V') |
# | Wh, Wh' | (H, H) | bo | (V',) |
#
# For the decoder's input the right token is taken, even where the model would have written another one. This
# is *teacher forcing* (Williams and Zipser 1989). Section 5 comes back to it.

# %% [markdown] lang="zh"
# ## 1. 一对文本，手工计算
#
# 源序列是 $x_1 \dots x_S$，目标序列是 $y_1 \dots y_T$，都是代表词元的整数。模型给整个目标序列一个概率。按概率的链式法则，它是一个乘积，
# 每个词元一个因子：
#
# $$p(y \mid x) = \prod_{t=1}^{T} p(y_t \mid y_1 \dots y_{t-1}, x)$$
#
# 最后一个词元 $y_T$ 总是 EOS，即*句子结束*。于是模型也要说出自己何时写完，所有长度的所有文本的概率之和为 1。
#
# **编码器**用循环单元读入源序列。**解码器**从编码器停下的地方开始，读入前一个词元，给出下一个词元的分布：
#
# $$h_s = \tanh(E_{x_s} W_x + h_{s-1} W_h + b), \qquad h_0 = 0$$
#
# $$h'_t = \tanh(E'_{y_{t-1}} W'_x + h'_{t-1} W'_h + b'), \qquad h'_0 = h_S$$
#
# $$p(y_t \mid \dots) = \mathrm{softmax}(h'_t W_o + b_o)_{y_t}$$
#
# 第一步没有前一个词元，由一个专门的词元代替：BOS，即*句子开始*。
#
# 解码器对源序列的全部了解就是向量 $h_S$。损失是正确词元的“意外程度”之和：
#
# $$L = -\sum_{t=1}^{T} \log p(y_t \mid y_1 \dots y_{t-1}, x)$$
#
# | | | | |
# |---|---|---|---|
# | E, E' | (V, E) 和 (V', E) | h, h' | (H,) |
# | Wx, Wx' | (E, H) | Wo | (H, V') |
# | Wh, Wh' | (H, H) | bo | (V',) |
#
# 解码器的输入总取正确的词元，哪怕模型自己会写出别的词元。这叫*教师强制*（teacher forcing，Williams 与 Zipser 1989），第 5 节再谈。

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np

from minis2s import (
    BOS,
    EOS,
    PAD,
    Adam,
    Example,
    ModelConfig,
    Pair,
    Seq2Seq,
    Translator,
    clip_global_norm,
    encode_pairs,
    functional,
    load_task,
    make_batch,
    make_batches,
)
from minis2s.gradcheck import gradcheck
from minis2s.lessons import exercise, with_changes


# %%
def cell(token, h, w):
    """One step: h is h[t-1] (H,), what comes out is h[t] (H,)."""
    return np.tanh(w["E"][token] @ w["Wx"] + h @ w["Wh"] + w["b"])


def forward(source, target, encoder, decoder):
    h = np.zeros(len(encoder["Wh"]))
    read = []
    for token in [*source, EOS]:
        h_prev, h = h, cell(token, h, encoder)
        read.append((token, h_prev, h))
    # here h is the fixed vector: all that the decoder gets to know of the source
    loss, written = 0.0, []
    for token, right in zip([BOS, *target], [*target, EOS], strict=True):
        h_prev, h = h, cell(token, h, decoder)
        z = h @ decoder["Wo"] + decoder["bo"]
        log_p = z - np.log(np.exp(z).sum())  # lesson 1 says what to do where z is large
        loss = loss - log_p[right]
        written.append((token, right, h_prev, h, log_p))
    return loss, (read, written, encoder, decoder)


# %% [markdown] lang="en"
# Backward is forward read from below. The gradient walks through the decoder from the last step to the first,
# crosses the fixed vector, and walks through the encoder. Whatever the encoder learns comes over this one
# bridge.

# %% [markdown] lang="zh"
# 反向传播就是把前向过程从下往上读。梯度从解码器的最后一步走到第一步，穿过那个固定向量，再走过编码器。编码器能学到的一切，都要经过这一座桥。

# %%
def cell_backward(dh, token, h_prev, h, w, g):
    """dh (H,) of h[t] -> dh (H,) of h[t-1]; the gradients of the weights are added into g."""
    # h = tanh(a);  a = E[token] Wx + h_prev Wh + b
    da = dh * (1 - h**2)
    g["E"][token] += w["Wx"] @ da
    g["Wx"] += np.outer(w["E"][token], da)
    g["Wh"] += np.outer(h_prev, da)
    g["b"] += da
    return w["Wh"] @ da


def backward(dloss, cache):
    read, written, encoder, decoder = cache
    d_encoder = {name: np.zeros_like(weight) for name, weight in encoder.items()}
    d_decoder = {name: np.zeros_like(weight) for name, weight in decoder.items()}
    dh = np.zeros(len(encoder["Wh"]))
    for token, right, h_prev, h, log_p in reversed(written):
        # loss = loss - log_p[right]
        dz = dloss * np.exp(log_p)
        dz[right] -= dloss
        # z = h Wo + bo
        d_decoder["Wo"] += np.outer(h, dz)
        d_decoder["bo"] += dz
        dh = dh + decoder["Wo"] @ dz
        # h = cell(token, h_prev)
        dh = cell_backward(dh, token, h_prev, h, decoder, d_decoder)
    # here dh is the gradient of the fixed vector
    for token, h_prev, h in reversed(read):
        dh = cell_backward(dh, token, h_prev, h, encoder, d_encoder)
    return d_encoder, d_decoder


# %% [markdown] lang="en"
# ### Is it right?
#
# First the own small check: move all weights a little in one random direction $R$, and compare the slope of
# the loss with $\sum dW \cdot R$. Then `gradcheck`, which looks at every entry. The words are short, and one
# letter occurs twice: so the gradient of its row must add up.

# %% [markdown] lang="zh"
# ### 对吗？
#
# 先用自己的小检查：沿一个随机方向 $R$ 把所有权重移动一点点，比较损失的斜率与 $\sum dW \cdot R$。再用 `gradcheck` 检查每一个元素。所用的词很短，
# 而且有一个字母出现两次：它那一行的梯度必须累加。

# %%
V, E, H = 8, 3, 4
SOURCE, TARGET = [4, 5, 4, 6], [6, 4, 5]
SHAPES = {"E": (V, E), "Wx": (E, H), "Wh": (H, H), "b": (H,)}
OUTPUT = {"Wo": (H, V), "bo": (V,)}
rng = np.random.default_rng(0)
encoder = {name: 0.5 * rng.standard_normal(shape) for name, shape in SHAPES.items()}
decoder = {name: 0.5 * rng.standard_normal(shape) for name, shape in (SHAPES | OUTPUT).items()}

loss, cache = forward(SOURCE, TARGET, encoder, decoder)
gradients = backward(1.0, cache)
directions = [{name: rng.standard_normal(w.shape) for name, w in part.items()} for part in (encoder, decoder)]


def moved(step):
    """The loss with all weights moved by step * R."""
    parts = zip((encoder, decoder), directions, strict=True)
    return forward(SOURCE, TARGET, *({n: w + step * R[n] for n, w in p.items()} for p, R in parts))[0]


slope = (moved(1e-5) - moved(-1e-5)) / 2e-5
mine = sum((g[n] * R[n]).sum() for g, R in zip(gradients, directions, strict=True) for n in g)
assert abs(slope - mine) < 1e-8 * abs(mine)
print(f"evidence: slope {slope:.6f}, backward says {mine:.6f}: relative difference < 1e-8")


# %%
def whole_model(forward, backward):
    """f(all weights) -> (loss, backward), as gradcheck wants it."""

    def f(E_s, Wx_s, Wh_s, b_s, E_t, Wx_t, Wh_t, b_t, W_out, b_out):
        encoder = {"E": E_s, "Wx": Wx_s, "Wh": Wh_s, "b": b_s}
        decoder = {"E": E_t, "Wx": Wx_t, "Wh": Wh_t, "b": b_t, "Wo": W_out, "bo": b_out}
        loss, cache = forward(SOURCE, TARGET, encoder, decoder)

        def back(dloss):
            d_encoder, d_decoder = backward(dloss, cache)
            return *d_encoder.values(), *d_decoder.values()

        return loss, back

    return f


report = gradcheck(whole_model(forward, backward), *encoder.values(), *decoder.values())
worst = max(block.error for block in report.blocks)
assert report.ok and len(report.blocks) == 10 and worst < 1e-9
print(f"evidence: all 10 gradients are right; the largest relative error {worst:.0e} < 1e-9")

# %% [markdown] lang="en"
# ## 2. The same model in the engine
#
# `Seq2Seq` is built of the same parts. With a plain tanh cell, one direction and no attention it must give
# the very same numbers. We put our weights into it.

# %% [markdown] lang="zh"
# ## 2. 引擎里的同一个模型
#
# `Seq2Seq` 由同样的部件组成。取普通的 tanh 单元、单向、不用注意力，它给出的数必须与我们的完全相同。我们把自己的权重放进去。

# %%
plain = ModelConfig(cell="rnn", embed=E, hidden=H, bidirectional=False, attention="none")
model = Seq2Seq(plain, V, V, rng=np.random.default_rng(0), dtype=np.float64)
weights = *encoder.values(), *decoder.values()
for parameter, weight in zip(model.parameters().values(), weights, strict=True):
    assert parameter.data.shape == weight.shape
    parameter.data[...] = weight

batch = make_batch([Example(SOURCE, TARGET)])
model.zero_grad()
engine_loss, engine_cache = model.loss(batch, reduction="sum")
model.backward(1.0, engine_cache)
theirs = [parameter.grad for parameter in model.parameters().values()]
ours = [*gradients[0].values(), *gradients[1].values()]
worst = max(np.abs(a - b).max() / np.abs(b).max() for a, b in zip(ours, theirs, strict=True))
assert abs(engine_loss - loss) < 1e-12 and worst < 1e-12
print(f"evidence: loss {loss:.6f} in both, and all gradients equal: relative difference {worst:.0e} < 1e-12")

# %% [markdown] lang="en"
# This is the engine's own code. `start` is what our forward does before the first target token, and
# `backward_out` is our backward: decoder, bridge, encoder. The bridge hands the last state over. The words
# `memory`, `values` and `keys` belong to attention.

# %% [markdown] lang="zh"
# 下面是引擎自己的代码。`start` 就是我们的前向过程在第一个目标词元之前所做的事；`backward_out` 就是我们的反向过程：解码器、桥、编码器。桥（bridge）
# 负责把最后的状态交过去。`memory`、`values`、`keys` 这几个词属于注意力。

# %% tags=["engine-source"]
print(inspect.getsource(Seq2Seq.start))
print(inspect.getsource(Seq2Seq.backward_out))

# %% [markdown] lang="en"
# ## 3. Many sentences side by side
#
# One sentence at a time is slow. So B sentences are put into one array, one column each, step under step. The
# short ones are filled up with PAD. A mask of the same shape says what is real:
#
# | array | shape | what it holds |
# |---|---|---|
# | src, src_mask | (S, B) | the source, then EOS, then PAD |
# | tgt_in | (T, B) | what the decoder reads: **BOS**, then the target |
# | tgt_out, tgt_mask | (T, B) | what it should write: the target, then **EOS** |
#
# `tgt_in` is `tgt_out` moved down by one step. In row t stand the token that is read and the one that is
# right.

# %% [markdown] lang="zh"
# ## 3. 许多句子并排
#
# 一次算一句太慢。所以把 B 个句子放进一个数组，每句一列，一行是一步。短的句子用 PAD 补齐。同样形状的掩码说明哪些位置是真实的：
#
# | 数组 | 形状 | 内容 |
# |---|---|---|
# | src, src_mask | (S, B) | 源序列，然后 EOS，再后面是 PAD |
# | tgt_in | (T, B) | 解码器读入的：**BOS**，然后是目标序列 |
# | tgt_out, tgt_mask | (T, B) | 应当写出的：目标序列，然后是 **EOS** |
#
# `tgt_in` 就是 `tgt_out` 往下移一步。第 t 行里，一个是读入的词元，一个是应写的正确词元。

# %%
task = load_task("reverse", size=6000)
translator = Translator.for_pairs(task.train, ModelConfig(embed=4, hidden=4))
pairs = [("minis", "sinim"), ("abc", "cba")]
batch = make_batch([Example(translator.source.encode(s), translator.target.encode(t)) for s, t in pairs])
names = {PAD: "PAD", BOS: "BOS", EOS: "EOS"} | {translator.target.encode(c)[0]: c for c in "minsabc"}
print("t   tgt_in     tgt_out    tgt_mask")
for t, rows in enumerate(zip(batch.tgt_in, batch.tgt_out, batch.tgt_mask, strict=True)):
    reads, writes = (" ".join(f"{names[token]:4}" for token in row) for row in rows[:2])
    print(f"{t}   {reads}  {writes}  {rows[2]}")

assert (batch.tgt_in[0] == BOS).all()
assert (batch.tgt_in[1:] == np.where(batch.tgt_mask[1:], batch.tgt_out[:-1], PAD)).all()
assert ((batch.tgt_out == PAD) == ~batch.tgt_mask).all()
assert ((batch.tgt_out == EOS).sum(axis=0) == 1).all()
print("evidence: tgt_in is tgt_out moved down by one step, with BOS on top; one EOS in each column")

# %% [markdown] lang="en"
# ## 4. The bottleneck
#
# The task: write a word of 3 to 12 random letters backwards. There is nothing to guess from the context.
# Either the letter is remembered or it is not, so the task measures memory.
#
# Two models, equal but for attention, see the same batches for the same number of steps:
#
# * **none**: $h_S$ with its H = 48 numbers is all that the decoder gets;
# * **general**: at every step the decoder may also look at all encoder states, (S, H). The longer the source,
#   the more there is to look at.
#
# A letter out of 26 carries $\log_2 26 = 4.7$ bits, a word of 12 letters 56 bits. Even 48 numbers of 32 bits
# have room for that. The question is whether the model *learns* to pack them, in the time that it has.

# %% [markdown] lang="zh"
# ## 4. 瓶颈
#
# 任务：把 3 到 12 个随机字母组成的词倒着写出来。上下文里没有可猜的东西，字母要么记住了，要么没记住，所以这个任务测的是记忆。
#
# 两个模型除注意力之外完全相同，看同样的批次，训练同样多步：
#
# * **none**：解码器得到的只有 $h_S$，共 H = 48 个数；
# * **general**：每一步解码器还可以看编码器的全部状态，(S, H)。源序列越长，可看的也越多。
#
# 26 个字母里的一个带有 $\log_2 26 = 4.7$ 比特，12 个字母的词是 56 比特。48 个 32 位的数完全装得下。
# 问题在于模型在给定的时间里能不能*学会*把它们装进去。

# %%
def new_translator(attention, hidden):
    config = ModelConfig(cell="gru", embed=32, hidden=hidden, attention=attention)
    return Translator.for_pairs(task.train, config, seed=0)


def train(translator, steps, change=lambda batch: batch, teacher_forcing=1.0, pairs=task.train):
    """Train for some steps, each batch after `change`; returns the loss of every step."""
    model = translator.model
    examples = encode_pairs(pairs, translator.source, translator.target, all_targets=False)
    optimizer = Adam(model.parameters(), lr=0.02, betas=(0.9, 0.99))
    rng = np.random.default_rng(0)
    losses, waiting = [], []
    for step in range(steps):
        waiting = waiting or make_batches(examples, batch_sentences=48, rng=rng)
        batch = change(make_batch(examples, waiting.pop()))
        model.zero_grad()
        loss, cache = model.loss(batch, rng=rng, teacher_forcing=teacher_forcing)
        model.backward(1.0, cache)
        clip_global_norm(model.parameters(), 1.0)
        optimizer.lr = 0.02 * (1 - step / steps)
        optimizer.step()
        losses.append(float(loss))
    return losses


trained = {kind: new_translator(kind, hidden=48) for kind in ("none", "general")}
curves = {kind: train(translator, steps=350) for kind, translator in trained.items()}

# %%
test = task.test[:1000]


def exactly_right(translator, pairs):
    """For each pair, whether greedy decoding writes the whole target (N,)."""
    outputs = translator.translate([pair.source for pair in pairs])
    return np.array([best.text == pair.targets[0] for pair, (best,) in zip(pairs, outputs, strict=True)])


lengths = np.array([len(pair.source) for pair in test])
right = {kind: exactly_right(translator, test) for kind, translator in trained.items()}
by_length = {kind: [r[lengths == n].mean() for n in range(3, 13)] for kind, r in right.items()}
short, long = lengths <= 5, lengths >= 10
assert right["none"][short].mean() > 0.5 and right["none"][long].mean() < 0.3
assert right["general"][long].mean() > 0.8
for kind, r in right.items():
    says = f"{r[short].mean():.0%} of at most 5 letters right, {r[long].mean():.0%} of at least 10"
    print(f"evidence: {kind:8} {says}")

# %%
figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
for (kind, values), style in zip(by_length.items(), ("s--", "o-"), strict=True):
    axes.plot(range(3, 13), values, style, label=f"attention: {kind}")
axes.set_xlabel("letters in the word")
axes.set_ylabel("words exactly right")
axes.set_ylim(-0.03, 1.03)
axes.legend(frameon=False)
plt.show()

# %% [markdown] lang="en"
# Without attention the share of right words falls with the length, and with attention it stays near one.

# %% [markdown] lang="zh"
# 没有注意力时，正确的比例随长度下降；有注意力时，它始终接近 1。

# %% [markdown] lang="en"
# Is it that the vector has no room? No: with more numbers and more steps the plain model gets further
# (section 5 has a smaller one that was trained for less long). What the picture shows is that packing a whole
# text into one vector is *hard to learn*: every letter has to survive all the steps after it, and its
# gradient has to come back the same way. Attention gives each letter a short way: from its own encoder state
# straight to the step that needs it. (Cho and others 2014 measured this fall with the length for translation;
# Bahdanau and others 2015 removed it. Sutskever and others 2014 had fed the source *backwards*, so that its
# first words come close to where they are needed.)
#
# Neither model has seen words of more than 12 letters. Does attention also work beyond?

# %% [markdown] lang="zh"
# 是向量装不下吗？不是：数更多、训练更久，普通模型就走得更远（第 5 节里有一个更小、训练更短的）。图中显示的是，把整段文本装进一个向量*很难学会*：
# 每个字母都要熬过它之后的所有步，它的梯度也要原路返回。注意力给每个字母一条捷径：从它自己的编码器状态直接通到需要它的那一步。
# （Cho 等人 2014 在翻译上测到了这种随长度的下降，Bahdanau 等人 2015 消除了它。Sutskever 等人 2014 则把源序列*倒着*输入，
# 使开头的词离用到它们的地方更近。）
#
# 两个模型都没见过超过 12 个字母的词。再长一些，注意力还管用吗？

# %%
rng = np.random.default_rng(1)
letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))


def random_words(length, count=100):
    words = ["".join(letters[rng.integers(26, size=length)]) for _ in range(count)]
    return [Pair(word, (word[::-1],)) for word in words]


beyond = {n: exactly_right(trained["general"], random_words(n)).mean() for n in (12, 13, 14, 16)}
print("  ".join(f"{n} letters: {share:.0%}" for n, share in beyond.items()))
assert beyond[12] > 0.8 and beyond[16] < 0.4
print("evidence: four letters more than in training, and under 40 % are right, with attention too")

# %% [markdown] lang="en"
# Attention removes the bottleneck. It does not make the model understand what "backwards" means at lengths
# that it never saw.

# %% [markdown] lang="zh"
# 注意力消除了瓶颈，却没有让模型明白在从未见过的长度上“倒着写”是什么意思。

# %% [markdown] lang="en"
# ## 5. Teacher forcing
#
# In training the decoder reads the right token before, in use its own. What does the difference do?
#
# A fact first, which needs no measuring: greedy decoding writes the whole target **exactly then** when, with
# the right history, every step holds the right token the most probable. For up to the first mistake the two
# histories are the same. The difference begins *after* the first mistake. So count there: of the tokens after
# the first wrong one, how many are right with the right history, how many with the model's own?

# %% [markdown] lang="zh"
# ## 5. 教师强制
#
# 训练时解码器读入正确的前一个词元，使用时读入自己写的。这个差别有什么后果？
#
# 先说一个不必测量的事实：贪心解码写对整个目标序列，**当且仅当**在正确历史之下，每一步概率最大的都是正确词元。因为直到第一个错误为止，
# 两种历史完全相同。差别在第一个错误*之后*才开始。所以就数那里：第一个错误之后的词元，给正确的历史有多少是对的，给模型自己的历史又有多少？

# %%
def two_histories(translator, pairs):
    """Is the token right, (T, N) bool: with the right history, with the model's own; and the batch."""
    examples = encode_pairs(pairs, translator.source, translator.target, all_targets=False)
    batch = make_batch(examples)
    logits, _ = translator.model.forward(batch.src, batch.src_mask, batch.tgt_in)
    logits[..., [PAD, BOS]] = -np.inf  # no search writes them
    own = np.full_like(batch.tgt_out, PAD)
    for column, (best,) in enumerate(translator.search(batch)):
        text = [*best.tokens, EOS][: len(own)]
        own[: len(text), column] = text
    return logits.argmax(axis=-1) == batch.tgt_out, own == batch.tgt_out, batch


forced, free, batch = two_histories(trained["none"], test)
words_forced, words_free = ((r | ~batch.tgt_mask).all(axis=0) for r in (forced, free))
after = np.cumsum(~forced & batch.tgt_mask, axis=0) - (~forced & batch.tgt_mask) > 0  # a mistake came before
after &= batch.tgt_mask
assert (words_forced == words_free).mean() > 0.995
assert forced[after].mean() > free[after].mean()
print(f"evidence: of {len(test)} words the same ones are right either way: {words_free.mean():.1%}")
print(
    f"evidence: after the first mistake {forced[after].mean():.1%} of the tokens are right with the right "
    f"history, {free[after].mean():.1%} with its own"
)

# %% [markdown] lang="en"
# That the model in training never meets its own mistakes is called *exposure bias*. One way out: give it its
# own token sometimes, with a coin for each step (*scheduled sampling*, Bengio and others 2015). Take the
# extreme, in the plain model that makes many mistakes: never a right token, from the first step of training
# on. Two measures: the loss with the right history, and the tokens that are right with its own. **Guess who
# wins each.**

# %% [markdown] lang="zh"
# 模型在训练时从来碰不到自己的错误，这叫*曝光偏差*（exposure bias）。一个办法是有时给它自己写的词元，每一步掷一次硬币（*计划采样*，
# scheduled sampling，Bengio 等人 2015）。取极端情形，用错误很多的普通模型：从训练的第一步起，从不给正确词元。两个度量：给正确历史时的损失，
# 以及给自己的历史时写对的词元。**先猜各是谁赢。**

# %%
loss_forced, tokens_free = {}, {}
for ratio in (1.0, 0.0):
    translator = new_translator("none", hidden=32)
    train(translator, steps=200, teacher_forcing=ratio)
    _, own_right, batch = two_histories(translator, test[:500])
    loss_forced[ratio] = float(translator.model.loss(batch)[0])
    tokens_free[ratio] = own_right[batch.tgt_mask].mean()
    if ratio == 1:
        smaller = (own_right | ~batch.tgt_mask).all(axis=0).mean()
    says = f"loss {loss_forced[ratio]:.2f}, with its own history {tokens_free[ratio]:.1%} right"
    print(f"teacher forcing {ratio}: {says}")
assert loss_forced[1.0] < loss_forced[0.0] - 0.1
assert tokens_free[1.0] < tokens_free[0.0] - 0.02
print("evidence: each is better at the history that it was trained with, on the same 500 words")
assert smaller < words_free.mean() - 0.1
print(f"evidence: 32 numbers and 200 steps: {smaller:.1%} of the words; section 4: {words_free.mean():.1%}")

# %% [markdown] lang="en"
# So the question has two sides. Only teacher forcing trains what the loss of section 1 asks for: the
# probability of the next token *given the right ones*. Fed with its own tokens, the model instead learns to
# go on sensibly after mistakes, as its history often says little about the right text.
#
# Teacher forcing is the usual way for one more reason. All inputs are known beforehand, so products with them
# can be made for all steps at once. A step that waits for the model's own token cannot do that.

# %% [markdown] lang="zh"
# 所以这个问题有两面。只有教师强制训练的才是第 1 节的损失所要求的：*给定正确词元*时下一个词元的概率。若喂给它自己的词元，
# 它的历史常常与正确文本关系不大，模型学到的便是在出错之后也能合理地写下去。
#
# 教师强制成为通常的做法还有一个原因：所有输入事先已知，与输入的乘法可以对所有时间步一次做完；要等模型自己的词元，就做不到。

# %% [markdown] lang="en"
# ## 6. What goes wrong without each
#
# Now we take the things away, one at a time. A batch is a tuple of arrays, so each mistake is one changed
# array. Five models are trained for 150 steps each, on words of up to 7 letters, and tested with right
# batches.
#
# ### Without the shift
#
# The most common mistake of all: the decoder reads `tgt_out` in place of `tgt_in`, so BOS is missing and it
# sees the token that it is to write. What will the loss be, and what the accuracy? **Guess before you run
# it.**
#
# ### Without EOS
#
# The targets end with their last letter. EOS has no part in the loss.
#
# ### Without a mask
#
# Once the source has none, once the loss. The padding then counts like any token.

# %% [markdown] lang="zh"
# ## 6. 少了哪一样，会坏什么
#
# 现在把这些东西逐一拿掉。一个批次是几个数组的元组，所以每个错误就是换掉一个数组。五个模型各在最多 7 个字母的词上训练 150 步，再用正确的批次测试。
#
# ### 没有错开一步
#
# 最常见的错误：解码器读入的不是 `tgt_in` 而是 `tgt_out`，BOS 没有了，而它看得见自己要写的词元。损失会是多少？准确率呢？**运行之前先猜。**
#
# ### 没有 EOS
#
# 目标序列到最后一个字母为止，EOS 不计入损失。
#
# ### 没有掩码
#
# 一次是源序列没有掩码，一次是损失没有。填充就和词元一样算数了。

# %%
def no_source_mask(batch):
    return batch._replace(src_mask=np.ones_like(batch.src_mask))


def no_loss_mask(batch):
    return batch._replace(tgt_mask=np.ones_like(batch.tgt_mask))


mistakes = {
    "right": lambda batch: batch,
    "no shift": lambda batch: batch._replace(tgt_in=batch.tgt_out),
    "no EOS": lambda batch: batch._replace(tgt_mask=batch.tgt_mask & (batch.tgt_out != EOS)),
    "no source mask": no_source_mask,
    "no loss mask": no_loss_mask,
}
up_to_seven, new_words = ([p for p in pairs if len(p.source) <= 7] for pairs in (task.train, test))
loss_of, share_of, ended = {}, {}, {}
for name, change in mistakes.items():
    translator = new_translator("general", hidden=32)
    loss_of[name] = np.mean(train(translator, 150, change, pairs=up_to_seven)[-20:])
    outputs = [best for (best,) in translator.translate([pair.source for pair in new_words])]
    share_of[name] = np.mean([o.text == p.targets[0] for o, p in zip(outputs, new_words, strict=True)])
    ended[name] = np.mean([o.finished for o in outputs])
    says = f"loss {loss_of[name]:.3f}   exactly right {share_of[name]:4.0%}   ended {ended[name]:4.0%}"
    print(f"{name:14} {says}")

assert loss_of["no shift"] < 0.05 and share_of["no shift"] < 0.05
assert share_of["no EOS"] == 0 and ended["no EOS"] < 0.01
assert share_of["right"] > 0.6 and ended["right"] > 0.9
assert max(loss_of["no shift"], loss_of["no EOS"]) < loss_of["right"]
print("evidence: no shift, no EOS: a LOWER loss than the right batch has, and under 5 % right")
assert min(share_of["no source mask"], share_of["no loss mask"]) > 0.5
print("evidence: trained without a mask: over 50 % right all the same: this does not show the mistake")

# %% [markdown] lang="en"
# A loss that falls fast is not a good sign by itself. Without the shift the model learns to copy its input,
# which in use nobody gives it. Without EOS the letters are right, but no text ever ends. The search cuts it
# at its length limit. So look at what the model *writes*, not only at the loss.
#
# ### Another BOS
#
# Which number BOS is does not matter: it is a row of the embedding like any other. But decoding has to begin
# with the one that training began with. We start the trained model with EOS instead. By the fact of section 5
# one forward call tells how many words come out right.

# %% [markdown] lang="zh"
# 损失降得快，本身不是好兆头。没有错开一步，模型学会的是照抄输入，而使用时没有人给它这个输入。没有 EOS，字母是对的，但文本永远不结束，
# 只能由搜索在长度上限处截断。所以要看模型*写了什么*，不能只看损失。
#
# ### 换一个 BOS
#
# BOS 是哪个数并不重要：它和别的词元一样只是嵌入矩阵的一行。但解码必须以训练时用的那一个开头。我们让训练好的模型改从 EOS 开始。根据第 5 节的事实，
# 一次前向计算就知道有多少词写对了。

# %%
def forced_words(model, batch):
    """Which words (B,) are right at every step, given the right history."""
    logits, _ = model.forward(batch.src, batch.src_mask, batch.tgt_in)
    return ((logits.argmax(axis=-1) == batch.tgt_out) | ~batch.tgt_mask).all(axis=0)


good = trained["general"].model
batch = make_batch(
    encode_pairs(test, trained["general"].source, trained["general"].target, all_targets=False)
)
other_start = batch.tgt_in.copy()
other_start[0] = EOS
with_bos = forced_words(good, batch).mean()
with_eos = forced_words(good, batch._replace(tgt_in=other_start)).mean()
assert with_bos > 0.85 and with_eos < with_bos - 0.02
print(f"evidence: {with_bos:.1%} right when started with BOS, {with_eos:.1%} when started with EOS")

# %% [markdown] lang="en"
# ### Without the mask of the source
#
# Padding is only there to make the array rectangular. **No number may depend on it.** Two tests, in float64
# so that rounding does not hide anything:
#
# 1. Put five more rows of PAD under the sources. With the mask no loss of a sentence changes.
# 2. Count the words in this longer batch that come out right, with the mask and without.
#
# With the mask, two things happen at a padded step: the recurrent state is handed on as it is, and attention
# gives the position the weight 0. Without it the backward direction of the encoder even *begins* with the
# padding.

# %% [markdown] lang="zh"
# ### 没有源序列的掩码
#
# 填充只是为了让数组成为矩形。**任何一个数都不得依赖于它。** 两个测试，用 float64，免得舍入误差掩盖什么：
#
# 1. 在源序列下面再加五行 PAD。有掩码时，每个句子的损失都不变。
# 2. 在这个加长的批次里数有多少词写对了，一次带掩码，一次不带。
#
# 有掩码时，填充的一步发生两件事：循环状态原样传下去；注意力给这个位置的权重是 0。没有掩码，编码器的反方向甚至是从填充*开始*读的。

# %%
def sentence_losses(model, batch):
    """The loss of each sentence by itself (B,)."""
    logits, _ = model.forward(batch.src, batch.src_mask, batch.tgt_in)
    log_p = np.take_along_axis(functional.log_softmax(logits), batch.tgt_out[..., None], axis=-1)[..., 0]
    return -(log_p * batch.tgt_mask).sum(axis=0)


def more_source_padding(batch, rows=5):
    src = np.pad(batch.src, ((0, rows), (0, 0)), constant_values=PAD)
    return batch._replace(src=src, src_mask=np.pad(batch.src_mask, ((0, rows), (0, 0))))


good.to(dtype=np.float64)
before = sentence_losses(good, batch)
longer = more_source_padding(batch)
with_mask = np.abs(sentence_losses(good, longer) - before).max()
without = np.abs(sentence_losses(good, no_source_mask(longer)) - before).max()
assert with_mask < 1e-10 and without > 0.1
print(f"evidence: PAD changes a loss by {with_mask:.0e} < 1e-10 with the mask, by {without:.1f} without")

ways = {"with": forced_words(good, longer), "without": forced_words(good, no_source_mask(longer))}
assert ways["with"].mean() > 0.85 and ways["without"].mean() < ways["with"].mean() - 0.1
print(f"evidence: right words {ways['with'].mean():.0%} with the mask, {ways['without'].mean():.0%} without")

# %% [markdown] lang="en"
# The model that was *trained* without this mask scored well above: it got used to the padding of its training
# batches. But its answer depends on which sentences happen to share the batch.
#
# ### Without the mask of the loss
#
# Below each target stand PADs. Without the mask the model is asked to predict them as well. Look at a new
# model: how much of the gradient comes from padding? Then at the trained one: what happens to its mean loss
# when ten rows of PAD are added?

# %% [markdown] lang="zh"
# 上面*训练*时就没有这个掩码的模型得分并不低：它习惯了训练批次里的填充。但它的答案取决于碰巧哪些句子与它同在一个批次。
#
# ### 没有损失的掩码
#
# 每个目标序列下面都是 PAD。没有掩码，模型也要预测它们。看一个新模型：梯度有多少来自填充？再看训练好的模型：加上十行 PAD，它的平均损失会怎样？

# %%
def gradient_of(model, batch):
    """The gradient of the summed loss, all weights in one vector."""
    model.zero_grad()
    _, cache = model.loss(batch, reduction="sum")
    model.backward(1.0, cache)
    return np.concatenate([parameter.grad.ravel() for parameter in model.parameters().values()])


def more_target_padding(batch, rows=10):
    arrays = {name: getattr(batch, name) for name in ("tgt_in", "tgt_out", "tgt_mask")}
    # PAD is number 0, and False is what a mask says of it
    return batch._replace(**{name: np.pad(array, ((0, rows), (0, 0))) for name, array in arrays.items()})


fresh = new_translator("general", hidden=32)
mixed = make_batch(encode_pairs(test[:64], fresh.source, fresh.target, all_targets=False))
padded = 1 - mixed.tgt_mask.mean()
real = gradient_of(fresh.model, mixed)
padding = gradient_of(fresh.model, no_loss_mask(mixed)) - real
times = np.linalg.norm(padding) / np.linalg.norm(real)
assert padded > 0.2 and times > 1.5
print(f"evidence: {padded:.0%} of the positions are padding; their gradient is {times:.1f} times the rest")

masked = [good.loss(batch)[0] for batch in (mixed, more_target_padding(mixed))]
unmasked = [good.loss(no_loss_mask(batch))[0] for batch in (mixed, more_target_padding(mixed))]
assert abs(masked[1] - masked[0]) < 1e-12 and abs(unmasked[1] - unmasked[0]) > 0.1
print(f"evidence: ten rows of PAD more: the masked loss {masked[0]:.3f} stays to 1e-12")
print(f"evidence: the same without the mask: from {unmasked[0]:.2f} to {unmasked[1]:.2f}")

# %% [markdown] lang="en"
# All PADs push in one direction, so at first they outweigh the tokens. Later nothing breaks in an obvious
# way. But the loss now measures how much padding there is, and cannot be compared between two batches.
#
# | without | what you see in training | what you see in use |
# |---|---|---|
# | the shift (BOS) | a loss near 0 | nothing right |
# | EOS | a lower loss | texts that never end |
# | the mask of the source | next to nothing | answers that depend on the batch-mates |
# | the mask of the loss | next to nothing | a number that compares with no other |

# %% [markdown] lang="zh"
# 所有 PAD 都朝同一个方向推，所以开始时它们盖过了词元。后来没有什么明显地坏掉，但损失测的已经是填充有多少，两个批次之间无法比较。
#
# | 没有 | 训练时看到的 | 使用时看到的 |
# |---|---|---|
# | 错开一步（BOS） | 损失接近 0 | 没有一个写对 |
# | EOS | 损失更低 | 永不结束的文本 |
# | 源序列的掩码 | 几乎看不出 | 答案取决于同批次的句子 |
# | 损失的掩码 | 几乎看不出 | 一个无法与别的数比较的数 |

# %% [markdown] lang="en"
# ## 7. Exercises
#
# Fill the hole, then run the cell below it. That cell stays red, or says "not solved yet" as a program, until
# the hole is filled.

# %% [markdown] lang="zh"
# ## 7. 练习
#
# 填上空缺，再运行下面的单元格。空缺填好之前，它一直是红的；作为程序运行时，则打印 "not solved yet"。

# %% [markdown] lang="en"
# ### Exercise 1: the shift
#
# Write `shifted(tgt_out, tgt_mask)`: from what the decoder should write, (T, B), to what it reads, (T, B).
# Below the end of a sentence stands PAD; EOS is never read.
#
# <details><summary><b>Hint</b></summary>
#
# The new row 0 is BOS everywhere. Row t is row t - 1 of `tgt_out`, as far as `tgt_mask[t]` is true. Make a
# new array: the one that you are given must not change.
#
# </details>

# %% [markdown] lang="zh"
# ### 练习 1：错开一步
#
# 写出 `shifted(tgt_out, tgt_mask)`：由解码器应当写出的 (T, B) 得到它读入的 (T, B)。句子结束之后是 PAD；EOS 从不读入。
#
# <details><summary><b>提示</b></summary>
#
# 新的第 0 行全是 BOS。第 t 行是 `tgt_out` 的第 t - 1 行，只要 `tgt_mask[t]` 为真。请新建数组，不要改动传入的那个。
#
# </details>

# %%
def shifted(tgt_out, tgt_mask):
    raise NotImplementedError("fill in shifted")


# %% tags=["raises-exception"]
with exercise("Exercise 1, the shift"):
    for some in ([(4, 3), (2, 6)], [(1, 1)], [(5, 0), (3, 2), (9, 9)]):
        checked = make_batch([Example([4] * s, list(range(4, 4 + t))) for s, t in some])
        given = checked.tgt_out.copy()
        answer = shifted(given, checked.tgt_mask)
        assert (given == checked.tgt_out).all(), "it has changed the array that it was given"
        assert answer.shape == given.shape, f"the shape is {answer.shape}, expected {given.shape}"
        wrong = np.argwhere(answer != checked.tgt_in)
        assert not len(wrong), f"row {wrong[0][0]}, column {wrong[0][1]} is wrong"

# %% [markdown] lang="en"
# ### Exercise 2: find the bug
#
# The next cell is folded, please leave it so. It makes forward and backward of section 1 once more, with one
# line changed, and prints how wrong each gradient is: for the embeddings row by row. The source was
# `[4, 5, 4, 6]` and then EOS (which is 2), the decoder read BOS (which is 1) and `[6, 4, 5]`.
#
# Write your guess as `{"old line": "new line"}`, the old line as it stands in section 1.
#
# <details><summary><b>Hint</b></summary>
#
# Which gradients are right? Nothing before those can be wrong. Which row is wrong, and what is special about
# its token?
#
# </details>

# %% [markdown] lang="zh"
# ### 练习 2：找错误
#
# 下一个单元格是折叠的，请不要打开。它把第 1 节的前向和反向重新做一遍，只改了一行，然后打印每个梯度错了多少，嵌入则逐行给出。源序列是 `[4, 5, 4, 6]`，
# 然后是 EOS（即 2）；解码器读入 BOS（即 1）和 `[6, 4, 5]`。
#
# 把猜测写成 `{"old line": "new line"}`，旧的一行要与第 1 节里的一字不差。
#
# <details><summary><b>提示</b></summary>
#
# 哪些梯度是对的？在它们之前的都不会错。哪一行错了？它的词元有什么特别之处？
#
# </details>

# %%
def broken(changes):
    """Forward and backward of section 1, with some lines replaced: changes is {old: new}."""
    _, forward_, _, backward_ = with_changes(changes, cell, forward, cell_backward, backward)
    return forward_, backward_


def gradients_of(pair):
    """The ten gradients, by name."""
    loss, cache = pair[0](SOURCE, TARGET, encoder, decoder)
    parts = zip(("encoder", "decoder"), pair[1](1.0, cache), strict=True)
    return {f"{part} {name}": g for part, gs in parts for name, g in gs.items()}


# %% jupyter={"source_hidden": true} tags=["hide-input"]
hidden_pair = broken({'g["E"][token] += w["Wx"] @ da': 'g["E"][token] = w["Wx"] @ da'})
for (name, is_right), is_hidden in zip(
    gradients_of((forward, backward)).items(), gradients_of(hidden_pair).values(), strict=True
):
    difference = np.abs(is_hidden - is_right)
    rows = np.flatnonzero(difference.reshape(len(difference), -1).max(axis=1) > 1e-9).tolist()
    print(f"{name:11} {f'wrong by up to {difference.max():.2f}, in rows {rows}' if rows else 'right'}")

# %%
my_guess = {"old line": "new line"}

# %% tags=["raises-exception"]
with exercise("Exercise 2, find the bug"):
    assert my_guess != {"old line": "new line"}, "write your guess into my_guess"
    yours, hidden = gradients_of(broken(my_guess)), gradients_of(hidden_pair)
    for name in hidden:
        assert np.allclose(yours[name], hidden[name], rtol=1e-10), f"your change gives another {name}"

# %% [markdown] lang="en"
# ### Exercise 3: a test for padding
#
# Write `padding_test(losses)`. Here `losses(batch)` gives one loss for each sentence, (B,), as
# `sentence_losses` does. Return the largest change that padding makes: 0 up to rounding for the right one,
# above 1e-3 for each of the three broken ones in the checking cell. Padding can be added below the source and
# below the target.
#
# `examples_for_test` are some sentences to make a batch of.
#
# <details><summary><b>Hint</b></summary>
#
# Compare each sentence alone, `make_batch([example])`, with the same sentence among longer ones. Note that
# `batch.index` says which example a column is.
#
# </details>

# %% [markdown] lang="zh"
# ### 练习 3：检验填充
#
# 写出 `padding_test(losses)`。这里 `losses(batch)` 对每个句子给出一个损失，(B,)，与 `sentence_losses` 一样。返回填充造成的最大变化：
# 正确的应当是 0（舍入误差除外），检查单元格里三个错误的都要大于 1e-3。源序列和目标序列下面都可以加填充。
#
# `examples_for_test` 是几个可用来组成批次的句子。
#
# <details><summary><b>提示</b></summary>
#
# 把每个单独的句子 `make_batch([example])` 与它同更长的句子在一起时比较。注意 `batch.index` 说明每一列是哪个例子。
#
# </details>

# %%
examples_for_test = [Example([4, 5, 6], [6, 5]), Example([7, 4], [4, 7, 5, 6]), Example([5, 6, 7, 4, 5], [4])]


def padding_test(losses):
    raise NotImplementedError("fill in padding_test")


# %% tags=["raises-exception"]
with exercise("Exercise 3, a test for padding"):
    small = ModelConfig(cell="gru", embed=5, hidden=6, attention="general")
    subject = Seq2Seq(small, 8, 8, rng=np.random.default_rng(3), dtype=np.float64)
    right_one = padding_test(lambda batch: sentence_losses(subject, batch))
    assert right_one < 1e-10, f"the right one should be below 1e-10, got {right_one:.1e}"
    wrong_ones = {
        "no mask of the source": lambda b: sentence_losses(subject, no_source_mask(b)),
        "no mask of the loss": lambda b: sentence_losses(subject, no_loss_mask(b)),
        "a mean over all rows": lambda b: sentence_losses(subject, b) / len(b.tgt_out),
    }
    for name, losses in wrong_ones.items():
        assert padding_test(losses) > 1e-3, f"{name}: not seen"

# %% [markdown] lang="en"
# ## 8. What to read next
#
# * I. Sutskever, O. Vinyals and Q. Le, "Sequence to sequence learning with neural networks", 2014: two LSTMs,
#   one vector, and the source read backwards.
# * K. Cho and others, "Learning phrase representations using RNN encoder-decoder for statistical machine
#   translation", 2014: the same idea from another side, and the GRU.
# * K. Cho, B. van Merrienboer, D. Bahdanau and Y. Bengio, "On the properties of neural machine translation:
#   encoder-decoder approaches", 2014: the fall with the length, measured.
# * D. Bahdanau, K. Cho and Y. Bengio, "Neural machine translation by jointly learning to align and
#   translate", 2015: attention, made against that fall. Lesson 7 builds it.
# * R. Williams and D. Zipser, "A learning algorithm for continually running fully recurrent neural networks",
#   1989: teacher forcing.
# * S. Bengio and others, "Scheduled sampling for sequence prediction with recurrent neural networks", 2015:
#   coins between the right token and the model's own.
#
# And the code: `minis2s/models/seq2seq.py`, then `minis2s/data/batching.py`, where the masks are made.

# %% [markdown] lang="zh"
# ## 8. 接下来读什么
#
# * I. Sutskever、O. Vinyals、Q. Le，"Sequence to sequence learning with neural networks"，2014：两个 LSTM、一个向量，
#   源序列倒着读。
# * K. Cho 等，
#   "Learning phrase representations using RNN encoder-decoder for statistical machine translation"，2014：
#   从另一面出发的同一想法，以及 GRU。
# * K. Cho、B. van Merrienboer、D. Bahdanau、Y. Bengio，
#   "On the properties of neural machine translation: encoder-decoder approaches"，2014：对随长度下降的测量。
# * D. Bahdanau、K. Cho、Y. Bengio，"Neural machine translation by jointly learning to align and translate"，
#   2015：为克服这种下降而提出的注意力。第 7 课会把它做出来。
# * R. Williams、D. Zipser，"A learning algorithm for continually running fully recurrent neural networks"，
#   1989：教师强制。
# * S. Bengio 等，"Scheduled sampling for sequence prediction with recurrent neural networks"，2015：
#   在正确词元与模型自己的词元之间掷硬币。
#
# 还有代码：先读 `minis2s/models/seq2seq.py`，再读 `minis2s/data/batching.py`，掩码就在那里生成。
