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
# # Decoding
#
# A trained model gives a probability to every text there is. You want one of them.
#
# **Which one do you write? And if it is wrong: was it the search that missed the right one, or the model that
# likes another one better?**
#
# The answer is not what one expects. In this lesson a better search makes the output worse, and you find out
# why.
#
# You need to know what an encoder and a decoder are (lesson 6).

# %% [markdown] lang="zh"
# # 解码
#
# 训练好的模型给世上每一段文本一个概率，而你只要其中一段。
#
# **写哪一段？如果写错了：是搜索错过了正确的那一段，还是模型本来就更喜欢另一段？**
#
# 答案出人意料。在这一课里，更好的搜索反而使输出变差，你将查明原因。
#
# 你需要知道什么是编码器和解码器（第 6 课）。

# %% [markdown] lang="en"
# ## 1. A tree of texts
#
# We look for the text $y$ that the model holds the most probable. In logarithms the product becomes a sum:
#
# $$\hat{y} = \arg\max_y \log p(y \mid x)$$
#
# $$\log p(y \mid x) = \sum_{t=1}^{T} \log p(y_t \mid y_1 \dots y_{t-1}, x)$$
#
# All texts together are a tree. At each node there are V branches, and one of them is EOS, where a text ends.
# With 26 letters there are $26^{12} \approx 10^{17}$ texts of 12 letters. Nobody tries them all.
#
# **Greedy decoding** takes the best branch at each node. Here is a tree in which that is a mistake. The model
# below is a table: after each beginning it has the probabilities of EOS, a and b.
#
# A decoder of minis2s needs three words from a model: `start` gives a state, `step` reads one token for each
# hypothesis and gives $\log p$ of shape (N, V) for the next, `take` picks hypotheses. So the same search runs
# on a table and on a network.

# %% [markdown] lang="zh"
# ## 1. 文本之树
#
# 我们要找模型认为概率最大的文本 $y$。取对数，乘积变成和：
#
# $$\hat{y} = \arg\max_y \log p(y \mid x)$$
#
# $$\log p(y \mid x) = \sum_{t=1}^{T} \log p(y_t \mid y_1 \dots y_{t-1}, x)$$
#
# 所有文本构成一棵树。每个节点有 V 个分支，其中一个是 EOS，文本在那里结束。若有 26 个字母，12 个字母的文本就有 $26^{12} \approx 10^{17}$ 段，
# 没有人会全部试一遍。
#
# **贪心解码**在每个节点取最好的分支。下面这棵树里，这样做是错的。这个模型是一张表：在每个开头之后，它有 EOS、a、b 的概率。
#
# minis2s 的解码器只向模型要三样：`start` 给出状态；`step` 对每个假设读入一个词元，给出下一个词元的 $\log p$，形状 (N, V)；`take` 挑选假设。
# 所以同一个搜索既能跑在表上，也能跑在网络上。

# %%
import inspect
from itertools import product

import matplotlib.pyplot as plt
import numpy as np

from minis2s import (
    BOS,
    EOS,
    Adam,
    Hypothesis,
    ModelConfig,
    Translator,
    beam_search,
    clip_global_norm,
    edit_distance,
    encode_pairs,
    exact_search,
    greedy,
    load_task,
    make_batch,
    make_batches,
)
from minis2s.gradcheck.properties import properties
from minis2s.lessons import exercise, with_changes


# %%
class Table:
    """A model that is a table: after a beginning, the probabilities of EOS, a and b; else EOS for certain."""

    def __init__(self, rows):
        self.rows = rows

    def start(self, src, src_mask):
        return [""] * src.shape[1]  # one beginning for each sentence

    def step(self, state, tokens):
        letters = {BOS: "", EOS + 1: "a", EOS + 2: "b"}
        state = [text + letters[int(token)] for text, token in zip(state, tokens, strict=True)]
        probabilities = np.zeros((len(state), EOS + 3))
        probabilities[:, EOS:] = [self.rows.get(text, (1.0, 0.0, 0.0)) for text in state]
        with np.errstate(divide="ignore"):  # log 0 = -inf: impossible
            return np.log(probabilities), state

    def take(self, state, index):
        return [state[n] for n in index]


table = Table({"": (0.0, 0.6, 0.4), "a": (0.4, 0.3, 0.3), "b": (0.9, 0.05, 0.05)})
src, src_mask = np.array([[EOS]]), np.array([[True]])
searches = {
    "greedy": greedy(table, src, src_mask, max_length=4)[0],
    "beam 2": beam_search(table, src, src_mask, beam=2, max_length=4)[0][0],
    "all texts": exact_search(table, src, src_mask, max_length=4)[0][0],
}
for name, found in searches.items():
    text = "".join("ab"[token - EOS - 1] for token in found.tokens)
    print(f"{name:9} writes {text!r} of probability {np.exp(found.log_prob):.2f}")
assert np.isclose(np.exp(searches["greedy"].log_prob), 0.6 * 0.4)
assert np.isclose(np.exp(searches["all texts"].log_prob), 0.4 * 0.9)
assert searches["beam 2"] == searches["all texts"]
print("evidence: greedy ends at 0.6 * 0.4 = 0.24; a beam of 2 finds the best text, 0.4 * 0.9 = 0.36")

# %% [markdown] lang="en"
# Greedy cannot take back a choice. "a" looked better, but what follows it is bad.
#
# ## 2. Beam search by hand
#
# **Beam search** keeps the K best beginnings, its *hypotheses*, where greedy keeps one. At each step:
#
# 1. continue each of them with every token: K times V candidates;
# 2. keep the K most probable ones;
# 3. those that end in EOS are finished and set aside; the others go on.
#
# At the end the best finished one wins. By which measure? Each token makes a text less probable, so short
# texts have an advantage. The **length penalty** makes up for it (Wu and others 2016):
#
# $$\mathrm{score}(y) = \frac{\log p(y \mid x)}{((5 + |y|) / 6)^{\alpha}}$$
#
# Here $|y|$ counts EOS. With $\alpha = 0$ the score is $\log p$ itself; 0.6 to 1 is usual.
#
# The candidates of one step have equal length. So the penalty does not matter between them: it counts only
# where texts of different length meet, among the finished.

# %% [markdown] lang="zh"
# 贪心不能反悔。“a” 看起来更好，但它后面的都不好。
#
# ## 2. 手写束搜索
#
# **束搜索**（beam search）保留 K 个最好的开头，即*假设*（hypothesis），而贪心只保留一个。每一步：
#
# 1. 用每个词元去延续每个假设：K 乘 V 个候选；
# 2. 保留概率最大的 K 个；
# 3. 以 EOS 结尾的就完成了，放在一边；其余的继续。
#
# 最后，完成的假设中最好的胜出。用什么度量？每个词元都使文本的概率变小，所以短文本占便宜。**长度惩罚**用来弥补（Wu 等人 2016）：
#
# $$\mathrm{score}(y) = \frac{\log p(y \mid x)}{((5 + |y|) / 6)^{\alpha}}$$
#
# 这里 $|y|$ 把 EOS 也算在内。$\alpha = 0$ 时得分就是 $\log p$ 本身；通常取 0.6 到 1。
#
# 同一步的候选长度相等，所以惩罚在它们之间不起作用；只有不同长度的文本相遇时，即在完成的假设之间，它才起作用。

# %%
def penalty(length, alpha):
    return ((5 + length) / 6) ** alpha


def beam_of_one(model, src, src_mask, beam, max_length, alpha):
    """The best (score, log p, tokens) of one sentence, src (S, 1)."""
    live = [(0.0, [], model.start(src, src_mask))]
    finished = []
    for length in range(1, max_length + 1):
        candidates = []
        for log_prob, text, state in live:
            row, after = model.step(state, np.array([text[-1] if text else BOS]))
            for token in range(EOS, row.shape[1]):  # PAD and BOS are below EOS: no text contains them
                candidates.append((log_prob + float(row[0, token]), text, token, after))
        candidates.sort(key=lambda candidate: -candidate[0])
        live = []
        for log_prob, text, token, after in candidates[:beam]:
            if log_prob == -np.inf:
                continue  # impossible
            if token == EOS:
                finished.append((log_prob / penalty(length, alpha), log_prob, text))
            else:
                live.append((log_prob, [*text, token], after))
        if not live:
            break
    cut = [(log_prob / penalty(max_length, alpha), log_prob, text) for log_prob, text, _ in live]
    return max(finished or cut, key=lambda ending: ending[0]), bool(finished)


def my_beam_search(model, src, src_mask, *, beam, max_length, length_penalty=0.0):
    """The same for a batch, src (S, B), one sentence after the other, in the form of the engine's."""
    limits = np.broadcast_to(max_length, src.shape[1])
    out = []
    for n, limit in enumerate(limits.tolist()):
        one = slice(n, n + 1)
        best, ended = beam_of_one(model, src[:, one], src_mask[:, one], beam, limit, length_penalty)
        score, log_prob, text = best
        out.append([Hypothesis(text, score, log_prob, ended)])
    return out


found = my_beam_search(table, src, src_mask, beam=2, max_length=4)[0][0]
assert found.tokens == searches["all texts"].tokens and np.isclose(found.log_prob, np.log(0.36))
print("evidence: on the table our beam of 2 finds the text of probability 0.36, too")

# %% [markdown] lang="en"
# ### Is it right?
#
# A search has no gradient: which token is the largest does not change when a weight changes a little. So
# there is nothing for `gradcheck`. In its place stand *properties*: a beam of 1 is greedy, a beam as wide as
# the tree finds what trying everything finds, every score can be computed again. `properties` asks them on
# random trees.

# %% [markdown] lang="zh"
# ### 对吗？
#
# 搜索没有梯度：权重稍微一变，哪个词元最大并不改变。所以 `gradcheck` 无事可做，代替它的是*性质*：宽度为 1 的束就是贪心；与树一样宽的束，
# 能找到逐一尝试所能找到的；每个得分都能重新算出。`properties` 在随机的树上逐条检查。

# %%
findings = properties(my_beam_search, "beam_search")
for finding in findings:
    print(finding)
assert len(findings) >= 5 and all(finding.ok is not False for finding in findings)
print(f"evidence: none of {len(findings)} properties fails")

# %% [markdown] lang="en"
# ## 3. A real model, and the engine's search
#
# The task is to write a word backwards, and the model is weak on purpose: no attention, 32 numbers of state,
# 400 steps of training (lesson 6 says why that is not enough). A search matters only where the model is in
# doubt.

# %% [markdown] lang="zh"
# ## 3. 一个真实的模型，以及引擎的搜索
#
# 任务是把词倒着写。模型有意做得很弱：没有注意力，状态只有 32 个数，只训练 400 步（为什么不够，见第 6 课）。只有在模型犹豫时，搜索才重要。

# %%
task = load_task("reverse", size=6000)
config = ModelConfig(cell="gru", embed=32, hidden=32, attention="none")
translator = Translator.for_pairs(task.train, config, seed=0)
model = translator.model
examples = encode_pairs(task.train, translator.source, translator.target, all_targets=False)
optimizer = Adam(model.parameters(), lr=0.01, betas=(0.9, 0.99))
rng = np.random.default_rng(0)
waiting = []
for step in range(400):
    waiting = waiting or make_batches(examples, batch_sentences=64, rng=rng)
    model.zero_grad()
    loss, cache = model.loss(make_batch(examples, waiting.pop()))
    model.backward(1.0, cache)
    clip_global_norm(model.parameters(), 1.0)
    optimizer.lr = 0.01 * (1 - step / 400)
    optimizer.step()
model.to(dtype=np.float64)  # the searches are to be compared exactly

test = encode_pairs(task.test[:100], translator.source, translator.target, all_targets=False)
batch = make_batch(test)
targets = [test[n].target for n in batch.index]
MOST = 14  # steps: 12 letters, EOS, and one to spare


def search(beam, alpha=0.0):
    """The best hypothesis of the engine for each of the 100 words."""
    found = beam_search(model, batch.src, batch.src_mask, beam=beam, max_length=MOST, length_penalty=alpha)
    return [best for (best,) in found]


for beam in (1, 2, 5):
    for alpha in (0.0, 1.0):
        some = batch.src[:, :30], batch.src_mask[:, :30]
        mine = my_beam_search(model, *some, beam=beam, max_length=MOST, length_penalty=alpha)
        for (my_best,), best in zip(mine, search(beam, alpha)[:30], strict=True):
            assert my_best.tokens == best.tokens and my_best.finished == best.finished
            assert abs(my_best.score - best.score) < 1e-9
print("evidence: 30 words, beams 1, 2 and 5, alpha 0 and 1: the same texts, scores equal to 1e-9")

# %% [markdown] lang="en"
# The engine's loop does the same. All hypotheses of all sentences are rows of one batch, so a step of the
# model is one call. A sentence leaves the batch when no live hypothesis can still win: its $\log p$ only
# falls.

# %% [markdown] lang="zh"
# 引擎的循环做的是同样的事。所有句子的所有假设是同一个批次里的行，所以模型走一步只需一次调用。一旦没有存活的假设还能取胜，这个句子就离开批次：
# 它的 $\log p$ 只会下降。

# %% tags=["engine-source"]
source = inspect.getsource(beam_search)
print(source[source.index("    while sentences.size:") :])

# %% [markdown] lang="en"
# ## 4. The beam curse
#
# A wider beam finds more probable texts. So it should write better ones. **Guess first:** how does the error
# rate go from a beam of 1 to one of 100?
#
# The error rate is the number of letters to insert, delete or replace, over the letters of the right answers.

# %% [markdown] lang="zh"
# ## 4. 束搜索的诅咒
#
# 束越宽，找到的文本概率越大，所以写得也应该越好。**先猜：**从宽度 1 到宽度 100，错误率怎样变化？
#
# 错误率是需要插入、删除或替换的字母数，除以正确答案的字母数。

# %%
widths = (1, 2, 5, 10, 20, 50, 100)
letters = sum(map(len, targets))


def error_rate(found):
    return sum(edit_distance(h.tokens, t) for h, t in zip(found, targets, strict=True)) / letters


found = {(beam, alpha): search(beam, alpha) for alpha in (0.0, 1.0) for beam in widths}
errors = {case: error_rate(hypotheses) for case, hypotheses in found.items()}
length = {case: sum(len(h.tokens) for h in hypotheses) / letters for case, hypotheses in found.items()}
log_p = {case: np.mean([h.log_prob for h in hypotheses]) for case, hypotheses in found.items()}
print("beam   mean log p   error rate   length / right length   (alpha = 0)")
for beam in widths:
    case = beam, 0.0
    print(f"{beam:4}   {log_p[case]:10.2f}   {errors[case]:10.1%}   {length[case]:10.2f}")
assert log_p[100, 0.0] > log_p[5, 0.0] > log_p[1, 0.0]
print("evidence: the wider the beam (1, 5, 100), the more probable the texts")
assert errors[100, 0.0] > errors[5, 0.0] + 0.05
assert length[100, 0.0] < length[5, 0.0] - 0.2
print("evidence: but from 5 to 100 the error rate rises by over 5 points, and the texts become short")
assert errors[100, 1.0] < errors[100, 0.0] - 0.05
print(f"evidence: with alpha = 1, beam 100 has {errors[100, 1.0]:.1%}, over 5 points less than alpha = 0")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for alpha, style in ((0.0, "s--"), (1.0, "o-")):
    left.semilogx(widths, [errors[beam, alpha] for beam in widths], style, label=f"length penalty {alpha:g}")
    right.semilogx(widths, [length[beam, alpha] for beam in widths], style)
left.set_ylabel("error rate")
right.set_ylabel("length / right length")
for axes in (left, right):
    axes.set_xlabel("beam")
left.legend(frameon=False)
plt.show()

# %% [markdown] lang="en"
# Without a length penalty the wide beams write short texts full of mistakes, and with one they do not.

# %% [markdown] lang="zh"
# 没有长度惩罚时，宽的束写出又短又错的文本；有长度惩罚时则不会。

# %% [markdown] lang="en"
# This is the *beam curse* (Koehn and Knowles 2017 measured it for translation). What are these short texts?

# %% [markdown] lang="zh"
# 这就是*束搜索的诅咒*（beam curse，Koehn 与 Knowles 2017 在翻译上测到了它）。这些短文本是什么？

# %%
empty = {beam: np.mean([not h.tokens for h in found[beam, 0.0]]) for beam in widths}
shortest = min(len(example.target) for example in examples)
first, _ = model.step(model.start(batch.src, batch.src_mask), np.full(len(targets), BOS))
long = np.array([len(target) >= 9 for target in targets])
at_once = first[long, EOS].mean()
as_a_word = np.mean([h.log_prob for h, is_long in zip(found[5, 0.0], long, strict=True) if is_long])
print(f"words of 9 letters and more, mean log p: end at once {at_once:.1f}, text of beam 5 {as_a_word:.1f}")
print("share of empty texts:", {beam: f"{share:.0%}" for beam, share in empty.items()})
assert empty[5] < 0.05 and empty[100] > 0.15 and shortest == 3
assert at_once > as_a_word
print("evidence: over 15 % of the texts of beam 100 are empty, though training has none below 3 letters")

# %% [markdown] lang="en"
# The model thinks the empty text very unlikely. But it is in doubt about every letter. Take 10 letters with
# probability 0.3 each: the text has $0.3^{10} \approx 6 \cdot 10^{-6}$. An end at once, at 0.006 percent, is
# ten times more probable. It has only **one** factor. A narrow beam never sees it, because at the first step
# EOS is not among the few best tokens. The narrow beam is a mistake that helps. At the first step there are
# 28 branches: 26 letters, EOS, and UNK, which stands for what is not in the vocabulary. A beam of 28 or more
# cannot miss EOS: hence the jump between 20 and 50.
#
# With $\alpha = 1$ we divide by the length (almost), and long texts can win again.
#
# ## 5. Search error or model error?
#
# To be sure, we need the best text for certain. `exact_search` tries all texts, which works up to some
# thousand. But we can do better with one fact: **adding a token never makes $\log p$ larger.** So a beginning
# that is already below the best finished text can be thrown away, with all that would follow it. (Stahlberg
# and Byrne 2019 did this with a full translation model.)
#
# Level by level, that is a beam search whose width sets itself. It is exact for $\alpha = 0$.

# %% [markdown] lang="zh"
# 模型认为空文本很不可能，但它对每个字母都犹豫。设 10 个字母，每个概率 0.3：整段文本只有 $0.3^{10} \approx 6 \cdot 10^{-6}$。
# 立刻结束的概率是万分之零点六，反而大十倍，因为它只有**一个**因子。窄的束从来看不到它：第一步时 EOS 不在最好的几个词元之内。窄束是一个有益的错误。
# 第一步有 28 个分支：26 个字母、EOS，以及代表词表之外词元的 UNK。宽度达到 28，就不可能错过 EOS：所以在 20 与 50 之间有一个跳跃。
#
# 取 $\alpha = 1$，就（差不多）除以长度，长文本又能取胜。
#
# ## 5. 搜索错误还是模型错误？
#
# 要弄确实，就要找到真正最好的文本。`exact_search` 逐一尝试所有文本，几千段还行。利用一个事实可以做得更好：**增加一个词元，
# 绝不会使 $\log p$ 变大。** 所以一个开头若已低于最好的完成文本，就可以连同它之后的一切一起丢掉。
# （Stahlberg 与 Byrne 2019 在完整的翻译模型上这样做过。）
#
# 逐层进行，它就是一个宽度自己决定的束搜索。$\alpha = 0$ 时它是精确的。

# %%
def best_text(model, src, src_mask, max_length):
    """One sentence, src (S, 1): log p and tokens of the best finished text; how many beginnings were read."""
    best, best_tokens = -np.inf, None
    texts, log_probs, state = [[]], np.zeros(1), model.start(src, src_mask)
    visited = 0
    for _ in range(max_length):
        last = np.array([text[-1] if text else BOS for text in texts])
        rows, state = model.step(state, last)  # (N, V) for all beginnings of this length
        visited += len(texts)
        totals = log_probs[:, None] + rows
        n = totals[:, EOS].argmax()
        if totals[n, EOS] > best:
            best, best_tokens = totals[n, EOS], texts[n]
        totals[:, : EOS + 1] = -np.inf  # PAD, BOS; and what has ended does not go on
        parents, tokens = np.nonzero(totals > best)  # only these can still win
        if len(parents) == 0:
            break
        log_probs = totals[parents, tokens]
        texts = [[*texts[n], int(token)] for n, token in zip(parents, tokens, strict=True)]
        state = model.take(state, parents)
    return best, best_tokens, visited


def random_table(rng):
    """A table over all beginnings of up to four letters that ends a text seldom before its second letter."""
    rows = {}
    for text in ("".join(letters) for n in range(5) for letters in product("ab", repeat=n)):
        end = 0.01 if len(text) < 2 else 0.3
        a = rng.beta(0.4, 0.4)  # bold: often near 0 or near 1
        rows[text] = (end, (1 - end) * a, (1 - end) * (1 - a))
    return Table(rows)


lengths = []
for seed in range(40):
    table = random_table(np.random.default_rng(seed))
    ((oracle,),) = exact_search(table, src, src_mask, max_length=6)
    log_prob, tokens, visited = best_text(table, src, src_mask, 6)
    assert tokens == oracle.tokens and abs(log_prob - oracle.log_prob) < 1e-9
    lengths.append(len(tokens))
assert max(lengths) >= 3
print(f"evidence: 40 random tables: the texts of exact_search, of {min(lengths)} to {max(lengths)} letters")

# %% [markdown] lang="en"
# Now on the real model, for 60 words. A text that is not the right one has one of two causes:
#
# * **model error**: the model's own best text is not the right one. The best search in the world does not
#   help.
# * **search error**: there was a more probable text, and the search missed it.
#
# Both may be true of one text.

# %% [markdown] lang="zh"
# 现在用在真实的模型上，取 60 个词。一段不正确的文本，原因有二：
#
# * **模型错误**：模型自己的最好文本就不是正确的那一段。世上最好的搜索也没有用。
# * **搜索错误**：有一段概率更大的文本，搜索错过了它。
#
# 一段文本可以两者兼有。

# %%
chosen = np.arange(0, 100, 100 / 60).astype(int)
exact = []
for n in chosen:
    column = slice(n, n + 1)
    exact.append(best_text(model, batch.src[:, column], batch.src_mask[:, column], MOST))
best = np.array([log_prob for log_prob, _, _ in exact])
model_errors = np.array([tokens != targets[n] for n, (_, tokens, _) in zip(chosen, exact, strict=True)])
visited = [count for _, _, count in exact]
print(f"beginnings read: {np.mean(visited):,.0f} a word on average, {max(visited):,} at most")
print(f"model errors: the best text of all is wrong for {model_errors.mean():.0%} of the words")
print("beam   search errors   words right")
search_errors, words_right = {}, {}
for beam in widths:
    hypotheses = [found[beam, 0.0][n] for n in chosen]
    missed = np.array([h.log_prob for h in hypotheses]) - best
    assert missed.max() < 1e-9
    search_errors[beam] = (missed < -1e-9).mean()
    words_right[beam] = np.mean([h.tokens == targets[n] for h, n in zip(hypotheses, chosen, strict=True)])
    print(f"{beam:4}   {search_errors[beam]:13.0%}   {words_right[beam]:11.0%}")
assert search_errors[1] > 0.5 and search_errors[100] < search_errors[1] - 0.2
assert model_errors.mean() > 0.5
print("evidence: no beam found a better text than the exact search did")
print("evidence: from beam 1 to 100 the search errors fall by over 20 points; over half are model errors")

# %%
nothing = np.mean([not tokens for _, tokens, _ in exact])
exact_length = sum(len(tokens) for _, tokens, _ in exact) / sum(len(targets[n]) for n in chosen)
exact_errors = sum(edit_distance(tokens, targets[n]) for n, (_, tokens, _) in zip(chosen, exact, strict=True))
beam_errors = sum(edit_distance(found[5, 0.0][n].tokens, targets[n]) for n in chosen)
assert nothing > 0.1 and exact_errors > beam_errors
print(f"evidence: the best text is EMPTY for {nothing:.0%} of the words; length {exact_length:.0%} in all")
print(f"evidence: it makes {exact_errors} mistakes in letters where a beam of 5 makes {beam_errors}")

# %% [markdown] lang="en"
# So the curse is a model error that search errors had hidden. Each widening of the beam removes search
# errors, and shows more of what the model really holds the most probable. The length penalty does not repair
# the model either: it changes the *question*, from "most probable" to "most probable for its length".
#
# A usual choice: a beam of 4 to 10 with a length penalty, both chosen on held-out data. If your texts get
# worse with a wider beam, look at their lengths first.
#
# A cheap test needs no exact search: compute $\log p$ of the **right** text with teacher forcing. Is it above
# that of the text found? Then it was a search error for certain. Exercise 3 does this.

# %% [markdown] lang="zh"
# 所以，诅咒其实是被搜索错误掩盖的模型错误。束每加宽一次，搜索错误就少一些，模型真正认为概率最大的东西也就多露出一些。长度惩罚也没有修好模型：
# 它改变的是*问题*，从“概率最大”变成“就其长度而言概率最大”。
#
# 常见的选择：宽度取 4 到 10，加长度惩罚，两者都用留出的数据来选。如果束加宽后文本变差，先看长度。
#
# 还有一个便宜的检验，不需要精确搜索：用教师强制算出**正确**文本的 $\log p$。它比找到的文本高吗？那就肯定是搜索错误。练习 3 就做这件事。

# %% [markdown] lang="en"
# ## 6. Exercises
#
# Fill the hole, then run the cell below it. That cell stays red, or says "not solved yet" as a program, until
# the hole is filled.

# %% [markdown] lang="zh"
# ## 6. 练习
#
# 填上空缺，再运行下面的单元格。空缺填好之前，它一直是红的；作为程序运行时，则打印 "not solved yet"。

# %% [markdown] lang="en"
# ### Exercise 1: a bonus for words
#
# Another way to help long texts: a fixed bonus for each token,
#
# $$\mathrm{score}(y) = \log p(y \mid x) + \beta |y|$$
#
# Write `with_bonus(hypotheses, beta)`: the tokens of the best hypothesis in a list, where $|y|$ counts EOS. A
# hypothesis that is not finished has no EOS, and may win only if none is finished.
#
# <details><summary><b>Hint</b></summary>
#
# A `Hypothesis` has `tokens` (without EOS), `log_prob` and `finished`. First choose which hypotheses may win,
# then use `max` with a `key`.
#
# </details>

# %% [markdown] lang="zh"
# ### 练习 1：给词元加分
#
# 帮助长文本的另一个办法：每个词元加固定的分，
#
# $$\mathrm{score}(y) = \log p(y \mid x) + \beta |y|$$
#
# 写出 `with_bonus(hypotheses, beta)`：返回列表中最好假设的词元，$|y|$ 把 EOS 算在内。未完成的假设没有 EOS，只有在一个完成的都没有时，它才可以取胜。
#
# <details><summary><b>提示</b></summary>
#
# `Hypothesis` 有 `tokens`（不含 EOS）、`log_prob` 和 `finished`。先选出哪些假设可以取胜，再用带 `key` 的 `max`。
#
# </details>

# %%
def with_bonus(hypotheses, beta):
    raise NotImplementedError("fill in with_bonus")


# %% tags=["raises-exception"]
with exercise("Exercise 1, a bonus for words"):
    ended = [Hypothesis([], -2.0, -2.0, True), Hypothesis([4, 5], -3.0, -3.0, True)]
    some = [*ended, Hypothesis([4, 5, 6], -1.0, -1.0, False)]
    assert with_bonus(some, 0.0) == [], "without a bonus the most probable finished text wins"
    assert with_bonus(some, 0.6) == [4, 5], "with 0.6 a token two more letters are worth 1.2"
    assert with_bonus(some, 0.4) == [], "with 0.4 a token two more letters are worth 0.8"
    assert with_bonus(some[2:], 0.5) == [4, 5, 6], "where nothing is finished, the best of the others"
    unfinished = [Hypothesis([4], -1.0, -1.0, False), Hypothesis([4, 5, 6], -1.9, -1.9, False)]
    assert with_bonus(unfinished, 0.5) == [4, 5, 6], "the bonus counts for unfinished texts as well"

# %% [markdown] lang="en"
# ### Exercise 2: find the bug
#
# The next cell is folded, please leave it so. It makes `beam_of_one` once more with one line changed, and
# runs it on 30 words. The table shows how many of the texts are those of the right search, and how long both
# are.
#
# Write your guess as `{"old line": "new line"}`, the old line as it stands in section 2. The check compares
# what the two searches find.
#
# <details><summary><b>Hint</b></summary>
#
# At beam 1 all is well. With more than one hypothesis the texts are too short, with the length penalty even
# more so. So what does the search do when the first of several hypotheses ends?
#
# </details>

# %% [markdown] lang="zh"
# ### 练习 2：找错误
#
# 下一个单元格是折叠的，请不要打开。它把 `beam_of_one` 重新做一遍，只改了一行，然后在 30 个词上运行。表中是有多少段文本与正确的搜索相同，
# 以及两者各有多长。
#
# 把猜测写成 `{"old line": "new line"}`，旧的一行要与第 2 节里的一字不差。检查时比较两个搜索找到的文本。
#
# <details><summary><b>提示</b></summary>
#
# 宽度为 1 时一切正常。假设多于一个时，文本太短，加了长度惩罚更是如此。那么，几个假设中第一个结束时，这个搜索做了什么？
#
# </details>

# %%
def broken(changes):
    """beam_of_one with some lines replaced: changes is {old: new}."""
    return with_changes(changes, beam_of_one)


def texts_of(search_of_one, beam, alpha, count=30):
    """What it writes for some of the words."""
    columns = [slice(n, n + 1) for n in range(0, 3 * count, 3)]
    return [
        search_of_one(model, batch.src[:, c], batch.src_mask[:, c], beam, MOST, alpha)[0][2] for c in columns
    ]


# %% jupyter={"source_hidden": true} tags=["hide-input"]
hidden_search = broken({"if not live:": "if finished or not live:"})
print("beam  alpha   equal texts   letters: hidden, right")
for beam, alpha in ((1, 0.0), (2, 0.0), (5, 0.0), (5, 1.0)):
    hidden, honest = texts_of(hidden_search, beam, alpha), texts_of(beam_of_one, beam, alpha)
    equal = sum(a == b for a, b in zip(hidden, honest, strict=True))
    print(f"{beam:4}  {alpha:5}   {equal:5} of 30   {sum(map(len, hidden)):15}, {sum(map(len, honest))}")

# %%
my_guess = {"old line": "new line"}

# %% tags=["raises-exception"]
with exercise("Exercise 2, find the bug"):
    assert my_guess != {"old line": "new line"}, "write your guess into my_guess"
    guessed = broken(my_guess)
    for beam, alpha in ((1, 0.0), (2, 0.0), (3, 0.5), (5, 0.0), (5, 1.0)):
        assert texts_of(guessed, beam, alpha) == texts_of(hidden_search, beam, alpha), (
            f"beam {beam}, alpha {alpha}: your change finds other texts"
        )

# %% [markdown] lang="en"
# ### Exercise 3: who is to blame?
#
# Write `blame(model, example, found)`. The example has `source` and `target`, lists of numbers; found is a
# `Hypothesis` of a search without length penalty. Return
#
# * `"right"` if the text found is the target;
# * `"search error"` if it is not, and the model gives the target a higher $\log p$ than the text found: then
#   the search has missed it;
# * `"model error"` otherwise.
#
# <details><summary><b>Hint</b></summary>
#
# `make_batch([example])` has everything for teacher forcing, and `model.loss(batch, reduction="sum")` gives
# the loss of that one text and a cache. What is the loss, in terms of $\log p$?
#
# </details>

# %% [markdown] lang="zh"
# ### 练习 3：怪谁？
#
# 写出 `blame(model, example, found)`。example 有 `source` 和 `target`，都是整数列表；found 是不带长度惩罚的搜索得到的 `Hypothesis`。返回
#
# * `"right"`，如果找到的文本就是目标；
# * `"search error"`，如果不是，而模型给目标的 $\log p$ 高于找到的文本：那么是搜索错过了它；
# * `"model error"`，其余情形。
#
# <details><summary><b>提示</b></summary>
#
# `make_batch([example])` 备齐了教师强制所需的一切，`model.loss(batch, reduction="sum")` 给出这一段文本的损失和一个缓存。
# 损失用 $\log p$ 怎么表示？
#
# </details>

# %%
def blame(model, example, found):
    raise NotImplementedError("fill in blame")


# %% tags=["raises-exception"]
with exercise("Exercise 3, who is to blame?"):
    counts = {}
    for beam in (1, 100):
        verdicts = [blame(model, test[n], h) for n, h in zip(batch.index, found[beam, 0.0], strict=True)]
        counts[beam] = {says: verdicts.count(says) for says in ("right", "search error", "model error")}
        assert sum(counts[beam].values()) == 100, "there are three answers: right, search error, model error"
        exactly = sum(h.tokens == t for h, t in zip(found[beam, 0.0], targets, strict=True))
        assert counts[beam]["right"] == exactly, f"beam {beam}: {exactly} are right"
    assert counts[1]["search error"] > 0, "greedy misses some right texts that the model likes better"
    for n, (log_prob, tokens, _) in zip(chosen, exact, strict=True):
        certain = Hypothesis(tokens, log_prob, log_prob, True)
        says = blame(model, test[batch.index[n]], certain)
        assert says != "search error", "the best text of all cannot be a search error"
    print(counts)

# %% [markdown] lang="en"
# ## 7. What to read next
#
# * A. Graves, "Sequence transduction with recurrent neural networks", 2012: beam search for a neural network
#   that writes sequences.
# * Y. Wu and others, "Google's neural machine translation system", 2016: the length penalty, section 7.
# * P. Koehn and R. Knowles, "Six challenges for neural machine translation", 2017: the sixth is the beam.
# * F. Stahlberg and B. Byrne, "On NMT search errors and model errors: cat got your tongue?", 2019: exact
#   search; for half of the sentences the best text is the empty one.
# * C. Meister, R. Cotterell and T. Vieira, "If beam search is the answer, what was the question?", 2020: what
#   a narrow beam silently prefers.
#
# And the code: `minis2s/decode/beam.py`, then `minis2s/decode/sampling.py` for texts that are drawn, not
# searched.

# %% [markdown] lang="zh"
# ## 7. 接下来读什么
#
# * A. Graves，"Sequence transduction with recurrent neural networks"，2012：为写序列的神经网络做束搜索。
# * Y. Wu 等，"Google's neural machine translation system"，2016：长度惩罚，第 7 节。
# * P. Koehn、R. Knowles，"Six challenges for neural machine translation"，2017：第六个就是束搜索。
# * F. Stahlberg、B. Byrne，"On NMT search errors and model errors: cat got your tongue?"，2019：精确搜索；
#   半数句子的最好文本是空文本。
# * C. Meister、R. Cotterell、T. Vieira，"If beam search is the answer, what was the question?"，2020：窄束暗中偏好什么。
#
# 还有代码：先读 `minis2s/decode/beam.py`，再读 `minis2s/decode/sampling.py`，那里的文本不是搜出来的，而是抽样得到的。
