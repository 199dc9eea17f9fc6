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
# # Linear, embedding, and the shape alphabet
#
# A model reads letters and computes with numbers. So each letter gets a row of numbers, and all further steps
# are mostly matrix products.
#
# **How do letters become numbers, and how does a correction find its way back to the right letter?**
#
# On the way you learn the eight letters in which all shapes of this project are written. You need lesson 1
# (`01_softmax.py`) for the last section. About an hour is enough.

# %% [markdown] lang="zh"
# # 线性层、嵌入，以及形状字母表
#
# 模型读的是字母，算的是数。所以每个字母得到一行数，之后的步骤大多是矩阵乘积。
#
# **字母怎样变成数？修正又怎样找到回到那个字母的路？**
#
# 途中你会学到八个字母，本项目的所有形状都用它们书写。
# 最后一节需要第 1 课（`01_softmax.py`）。大约一小时。

# %%
import inspect
import re
import sys
import time

import matplotlib.pyplot as plt
import numpy as np

from minis2s import (
    Embedding,
    ModelConfig,
    Translator,
    encode_pairs,
    functional,
    gradcheck,
    load_task,
    make_batch,
)
from minis2s.backend import scatter_add
from minis2s.lessons import exercise, what_is_wrong

# %% [markdown] lang="en"
# ## 1. The shape alphabet
#
# Most mistakes with arrays are mistakes with axes. So every array in this project has its shape written
# beside it, in one alphabet:
#
# | letter | size of | | letter | size of |
# |---|---|---|---|---|
# | T | time: the target, or any length | | H | hidden state |
# | S | the source's length | | A | attention |
# | B | batch: sentences at once | | V | vocabulary |
# | D | input of a layer | | K | outputs of a layer; or the beam, lesson 9 |
#
# (The engine also writes E for the size of an embedding, which is the D of the layer after it.)
#
# Time comes first: (T, B, ...). Then `x[t]` is one step of all sentences, and it lies in one piece of memory.
# Here is a real batch: words with their letters as integers, the *ids*. (`Translator.for_pairs` gives each
# letter its number, `encode_pairs` makes lists of numbers of the words, and `make_batch` makes them equally
# long with padding, the id 0.)

# %% [markdown] lang="zh"
# ## 1. 形状字母表
#
# 与数组有关的错误大多是轴的错误。所以本项目的每个数组旁边都写着它的形状，
# 使用同一套字母：
#
# | 字母 | 什么的大小 | | 字母 | 什么的大小 |
# |---|---|---|---|---|
# | T | 时间：目标的长度，或任意长度 | | H | 隐状态 |
# | S | 源序列的长度 | | A | 注意力 |
# | B | 批次：同时处理的句子数 | | V | 词表 |
# | D | 层的输入 | | K | 层的输出；或束宽，见第 9 课 |
#
# （引擎还用 E 表示嵌入的大小，也就是后一层的 D。）
#
# 时间轴在最前：(T, B, ...)。这样 `x[t]` 就是所有句子的同一步，在内存里是连续的一块。
# 下面是一个真实的批次：单词的字母写成整数，即 *id*。（`Translator.for_pairs` 给每个字母一个编号，
# `encode_pairs` 把单词变成编号的列表，`make_batch` 再用填充，即 id 0，把它们补得一样长。）

# %%
pairs = load_task("reverse", size=200).train
translator = Translator.for_pairs(pairs, ModelConfig(embed=8, hidden=8))
examples = encode_pairs(pairs, translator.source, translator.target, all_targets=False)
batch = make_batch(examples, range(3))
ids = batch.src  # (S, B)
for row in range(3):
    print(ids[:, row], *translator.source.vocabulary.decode(ids[:, row]))

S, B = ids.shape
assert batch.src_mask.shape == (S, B) and ids[0].shape == (B,) and (ids[batch.src_mask] > 0).all()
print(f"evidence: (S, B) = {(S, B)}; step 0 of all sentences is {ids[0]}; only padding has the id 0")

# %% [markdown] lang="en"
# ### Two ways to mix the axes up
#
# **reshape is not transpose.** To turn (T, B, D) into (B, T, D), swap the axes. A reshape gives the same
# shape, raises nothing, and mixes the sentences. A property finds it: exchange two sentences of the batch,
# and the results must be exchanged and otherwise the same.
#
# **Broadcasting guesses.** NumPy aligns shapes from the right and stretches sizes of 1. If two sizes happen
# to be equal, a wrong axis fits. So in tests let all sizes be different: T = 4, B = 3, D = 5, K = 2.

# %% [markdown] lang="zh"
# ### 弄混轴的两种方式
#
# **reshape 不是 transpose。** 要把 (T, B, D) 变成 (B, T, D)，应交换轴。
# reshape 得到同样的形状，不报错，却把句子混在一起。有一个性质能发现它：
# 交换批次里的两个句子，结果也应随之交换，其余不变。
#
# **广播会猜。** NumPy 从右边对齐形状，并拉伸大小为 1 的轴。如果两个大小碰巧相等，
# 错误的轴也合得上。所以测试时让所有大小互不相同：T = 4，B = 3，D = 5，K = 2。

# %%
rng = np.random.default_rng(0)
T, B, D, K = 4, 3, 5, 2
x = rng.standard_normal((T, B, D))
order = [1, 0, 2]  # exchange the first two sentences


def moves_with_the_batch(change):
    """Whether `change`, from (T, B, D) to (B, T, D), treats the sentences each on its own."""
    return np.array_equal(change(x[:, order]), change(x)[order])


def by_reshape(x):
    return x.reshape(x.shape[1], x.shape[0], x.shape[2])


def by_transpose(x):
    return x.transpose(1, 0, 2)


assert by_reshape(x).shape == by_transpose(x).shape == (B, T, D)
assert moves_with_the_batch(by_transpose) and not moves_with_the_batch(by_reshape)
print("evidence: the same shape from both; only the transpose keeps the sentences apart")

square, oblong = rng.standard_normal((B, B)), rng.standard_normal((B, D))
silent = square / square.sum(axis=1)  # meant: each row divided by its own sum
assert not np.allclose(silent.sum(axis=1), 1)
try:
    oblong / oblong.sum(axis=1)
except ValueError as error:
    print(f"evidence: (3, 3) is divided along the wrong axis without a word; (3, 5) raises: {error}")

# %% [markdown] lang="en"
# ## 2. The linear layer
#
# $$y = x W + b \qquad\qquad y_{nk} = \sum_d x_{nd} W_{dk} + b_k$$
#
# | name | shape | |
# |---|---|---|
# | x | (N, D) | N rows, one for each token |
# | W | (D, K) | the weights, written (in, out) |
# | b | (K,) | the bias, added to every row |
# | y | (N, K) | |
#
# Backward gets dy of shape (N, K). Ask of each input: *where does this number go, and with which factor?*
#
# * $x_{nd}$ goes into all K entries of row n of y, with the factors $W_{dk}$. So
#   $dx_{nd} = \sum_k dy_{nk} W_{dk}$.
# * $W_{dk}$ goes into column k of every row, with the factors $x_{nd}$. So
#   $dW_{dk} = \sum_n x_{nd}\, dy_{nk}$.
# * $b_k$ goes into column k of every row, with the factor 1. So $db_k = \sum_n dy_{nk}$.
#
# As products of matrices:
#
# $$dx = dy\, W^T \qquad dW = x^T dy \qquad db = \sum_n dy_n$$
#
# You need not remember them. dx must have the shape (N, D) and be made of dy (N, K) and W (D, K): there is
# only one product that fits. But this help fails when D = K. Then $dy\,W$ fits as well.
#
# First for the eye, with loops:

# %% [markdown] lang="zh"
# ## 2. 线性层
#
# $$y = x W + b \qquad\qquad y_{nk} = \sum_d x_{nd} W_{dk} + b_k$$
#
# | 名称 | 形状 | |
# |---|---|---|
# | x | (N, D) | N 行，每个词元一行 |
# | W | (D, K) | 权重，写作（输入, 输出） |
# | b | (K,) | 偏置，加到每一行 |
# | y | (N, K) | |
#
# 反向传播得到形状为 (N, K) 的 dy。对每个输入都问：*这个数去了哪里，带着什么因子？*
#
# * $x_{nd}$ 进入 y 第 n 行的全部 K 个元素，因子是 $W_{dk}$。
#   所以 $dx_{nd} = \sum_k dy_{nk} W_{dk}$。
# * $W_{dk}$ 进入每一行的第 k 列，因子是 $x_{nd}$。所以 $dW_{dk} = \sum_n x_{nd}\, dy_{nk}$。
# * $b_k$ 进入每一行的第 k 列，因子是 1。所以 $db_k = \sum_n dy_{nk}$。
#
# 写成矩阵乘积：
#
# $$dx = dy\, W^T \qquad dW = x^T dy \qquad db = \sum_n dy_n$$
#
# 不必背下来。dx 的形状必须是 (N, D)，由 dy (N, K) 和 W (D, K) 构成：合适的乘积只有一个。
# 但 D = K 时这个办法就不灵了，那时 $dy\,W$ 也合得上。
#
# 先写成便于阅读的循环：

# %%
def naive_forward(x, W, b):
    N, (D, K) = len(x), W.shape
    y = np.zeros((N, K), dtype=np.result_type(x, W, b))
    for n in range(N):
        for k in range(K):
            y[n, k] = b[k]
            for d in range(D):
                y[n, k] += x[n, d] * W[d, k]
    return y, (x, W)


def naive_backward(dy, cache):
    x, W = cache
    N, (D, K) = len(x), W.shape
    dx, dW, db = np.zeros_like(x), np.zeros_like(W), np.zeros(K)
    for n in range(N):
        for k in range(K):
            # y[n, k] = b[k] + sum over d of x[n, d] * W[d, k]
            db[k] += dy[n, k]
            for d in range(D):
                dx[n, d] += dy[n, k] * W[d, k]
                dW[d, k] += dy[n, k] * x[n, d]
    return dx, dW, db


# %% [markdown] lang="en"
# Note the `+=`: whatever is used several times, gets a sum. And the same in three products:

# %% [markdown] lang="zh"
# 注意 `+=`：被多次使用的量，其梯度是一个和。再用三个乘积写同样的内容：

# %%
def linear_forward(x, W, b):
    return x @ W + b, (x, W)


def linear_backward(dy, cache):
    x, W = cache
    dx = dy @ W.T
    dW = x.T @ dy
    db = dy.sum(axis=0)
    return dx, dW, db


N = T * B
rows, W, b = x.reshape(N, D), rng.standard_normal((D, K)), rng.standard_normal(K)
dy = rng.standard_normal((N, K))

y, cache = linear_forward(rows, W, b)
slow = naive_backward(dy, naive_forward(rows, W, b)[1])
fast = linear_backward(dy, cache)
assert np.abs(naive_forward(rows, W, b)[0] - y).max() < 1e-14
assert max(np.abs(one - other).max() for one, other in zip(slow, fast, strict=True)) < 1e-13
print("evidence: loops and products agree within 1e-14 forward and 1e-13 backward")

# %% [markdown] lang="en"
# Here (T, B, D) was reshaped to (N, D) with N = T·B. This reshape is harmless: the order stays, two axes are
# only counted as one. Each row is treated alike, so it does not matter which sentence it comes from.
#
# ### The check
#
# First ours, with a random upstream gradient R (lesson 1 says why), then that of the package:

# %% [markdown] lang="zh"
# 这里把 (T, B, D) 变成了 (N, D)，其中 N = T·B。这个 reshape 没有害处：顺序不变，
# 只是把两个轴当作一个来数。每一行的处理都一样，来自哪个句子无关紧要。
#
# ### 检查
#
# 先用我们自己的，配上随机的上游梯度 R（原因见第 1 课），再用程序包里的：

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


R = dy
dx, dW, db = linear_backward(R, cache)
compare("dx", dx, numeric_gradient(lambda x: (R * linear_forward(x, W, b)[0]).sum(), rows), 1e-8)
compare("dW", dW, numeric_gradient(lambda W: (R * linear_forward(rows, W, b)[0]).sum(), W), 1e-8)
compare("db", db, numeric_gradient(lambda b: (R * linear_forward(rows, W, b)[0]).sum(), b), 1e-8)

# %%
def square_backward(dy, cache):
    x, W = cache
    return dy @ W, x.T @ dy, dy.sum(axis=0)  # W without .T: it fits where D = K


square_W = rng.standard_normal((K, K))
right = gradcheck((linear_forward, linear_backward), rows, W, b)
wrong = gradcheck((linear_forward, square_backward), rng.standard_normal((N, K)), square_W, b)
assert right.ok and not wrong.ok and wrong.worst.error > 0.01
print("evidence: gradcheck:", right.summary())
print("evidence: with D = K and a forgotten transpose:", wrong.summary())

# %% [markdown] lang="en"
# ### The engine's own code
#
# Any number of axes may stand before D. They are made into rows.

# %% [markdown] lang="zh"
# ### 引擎自己的代码
#
# D 之前可以有任意多个轴，它们都被展平成行。

# %% tags=["engine-source"]
print(inspect.getsource(functional.linear.forward))
print(inspect.getsource(functional.linear.backward))

# %%
out, engine_cache = functional.linear.forward(x, W, b)  # x is (T, B, D)
engine = functional.linear.backward(dy.reshape(T, B, K), engine_cache)
assert np.abs(out.reshape(N, K) - y).max() < 1e-14
assert max(np.abs(e.reshape(f.shape) - f).max() for e, f in zip(engine, fast, strict=True)) < 1e-14
print(f"evidence: the engine, on {x.shape}, equals ours on {rows.shape} within 1e-14, forward and backward")

# %% [markdown] lang="en"
# ## 3. The embedding
#
# An id is a name and not a quantity: letter 7 is not "more" than letter 3. So each id gets a row of a table
# W of shape (V, D), and the row is learned.
#
# $$out_n = W_{ids_n}$$
#
# | name | shape | |
# |---|---|---|
# | W | (V, D) | a row for each id |
# | ids | (N,) or (T, B) | integers from 0 to V - 1 |
# | out | (N, D) or (T, B, D) | |
#
# This is a linear layer in disguise. Write each id as a *one-hot* row: V zeros with a single one. The
# matrix X of these rows has shape (N, V), and $X W$ picks rows of W. Hence we know the gradient already:
#
# $$dW = X^T dout \qquad\qquad dW_v = \sum_{n:\, ids_n = v} dout_n$$
#
# **An id that occurs three times receives the sum of three gradients.** An id that does not occur receives
# 0. And the ids themselves have no gradient, for there is no letter between 3 and 4.

# %% [markdown] lang="zh"
# ## 3. 嵌入
#
# id 是名字，不是数量：字母 7 并不比字母 3“多”。所以每个 id 对应表 W 的一行，
# W 的形状为 (V, D)，这些行是学出来的。
#
# $$out_n = W_{ids_n}$$
#
# | 名称 | 形状 | |
# |---|---|---|
# | W | (V, D) | 每个 id 一行 |
# | ids | (N,) 或 (T, B) | 0 到 V - 1 的整数 |
# | out | (N, D) 或 (T, B, D) | |
#
# 它其实是线性层。把每个 id 写成*独热*（one-hot）行：V 个数，只有一个是 1，其余为 0。
# 这些行组成的矩阵 X 形状为 (N, V)，而 $X W$ 就是取出 W 的行。因此梯度我们已经知道了：
#
# $$dW = X^T dout \qquad\qquad dW_v = \sum_{n:\, ids_n = v} dout_n$$
#
# **出现三次的 id，得到三个梯度之和。** 没有出现的 id 得到 0。
# id 本身没有梯度，因为字母 3 和字母 4 之间没有别的字母。

# %%
V = 6
table = rng.standard_normal((V, D))
letters = np.array([2, 0, 2, 5, 2])
dout = rng.standard_normal((5, D))


def one_hot(ids, V):
    X = np.zeros((len(ids), V))
    X[np.arange(len(ids)), ids] = 1
    return X


def loop_backward(dout, ids, V):
    dW = np.zeros((V, dout.shape[1]))
    for n in range(len(ids)):
        dW[ids[n]] += dout[n]
    return dW


X = one_hot(letters, V)
print(X.astype(int))
assert np.array_equal(X @ table, table[letters])
assert np.abs(X.T @ dout - loop_backward(dout, letters, V)).max() < 1e-15
print("evidence: X W picks exactly the rows; X^T dout equals the loop within 1e-15")
measured = numeric_gradient(lambda W: (dout * W[letters]).sum(), table)
compare("dW", loop_backward(dout, letters, V), measured, 1e-8)

# %% [markdown] lang="en"
# ## 4. Scatter-add, and why `+=` is wrong
#
# Forward *gathers* rows, backward *scatters* them, and adds where several fall on one place. The loop is
# slow in Python, so one is tempted to write it without:
#
# ```python
# dW[ids] += dout
# ```
#
# It looks like the loop. It is not. Python reads this line as three steps:
#
# 1. `rows = dW[ids]`, a **copy** of rows, in which row 2 stands three times;
# 2. `rows = rows + dout`, where each of the three copies gets one gradient;
# 3. `dW[ids] = rows`, which writes all three to the same place. **The last one wins, the others are lost.**

# %% [markdown] lang="zh"
# ## 4. Scatter-add，以及为什么 `+=` 是错的
#
# 前向传播*收集*行，反向传播*散布*行，几行落到同一处时就相加。
# Python 的循环很慢，所以人们很想不用循环来写：
#
# ```python
# dW[ids] += dout
# ```
#
# 它看上去和循环一样，其实不是。Python 把这一行分成三步：
#
# 1. `rows = dW[ids]`，得到行的**副本**，其中第 2 行出现三次；
# 2. `rows = rows + dout`，三个副本各加上一个梯度；
# 3. `dW[ids] = rows`，把三个都写到同一处。**最后一个留下，其余的丢失了。**

# %%
def lossy_backward(dout, ids, V):
    dW = np.zeros((V, dout.shape[1]))
    dW[ids] += dout
    return dW


right, lossy = loop_backward(dout, letters, V), lossy_backward(dout, letters, V)
print("row 2, right:", right[2].round(2))
print("row 2, lossy:", lossy[2].round(2))

once = [0, 5]
assert np.array_equal(right[once], lossy[once]) and np.array_equal(lossy[2], dout[4])
print("evidence: ids 0 and 5, which occur once, agree exactly; of id 2 the last of three gradients is left")

# %% [markdown] lang="en"
# How much is lost in practice? Take real batches. Of N letters with U different ones, `+=` keeps U
# gradients and loses N - U.

# %% [markdown] lang="zh"
# 实际会丢失多少？来看真实的批次。N 个字母里有 U 个不同的，`+=` 只留下 U 个梯度，丢失 N - U 个。

# %%
sizes = [1, 2, 4, 8, 16, 32, 64, 128]
lost = []
for size in sizes:
    batch = make_batch(examples, range(size))
    real = batch.src[batch.src_mask]
    lost.append(1 - len(np.unique(real)) / len(real))

figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
axes.semilogx(sizes, np.array(lost) * 100, "o-", base=2)
axes.set_xlabel("words in the batch")
axes.set_ylabel("gradients lost, %")
axes.set_ylim(0, 100)

assert lost[0] < 0.4 and lost[4] > 0.8 and lost[-1] > 0.95
print(f"evidence: lost: {lost[0]:.0%} with 1 word (below 40 %), {lost[4]:.0%} with 16 (above 80 %), "
      f"{lost[-1]:.0%} with 128 (above 95 %)")  # fmt: skip

# %% [markdown] lang="en"
# With one word `+=` loses few gradients, and with 128 words it loses nearly all of them.

# %% [markdown] lang="zh"
# 一个单词时 `+=` 丢失的梯度不多，128 个单词时几乎全部丢失。

# %% [markdown] lang="en"
# So a test with one short word may not see it. `gradcheck` does, as its ids repeat, and it names the cause:

# %% [markdown] lang="zh"
# 所以只用一个短单词的测试可能看不出来。`gradcheck` 能看出来，因为它的 id 有重复，而且它会说出原因：

# %%
def embedding_forward(W, ids):
    return W[ids], (W, ids)


def embedding_backward(dout, cache):
    W, ids = cache
    dW = np.zeros_like(W)
    dW[ids] += dout
    return dW


report = gradcheck((embedding_forward, embedding_backward), kind="embedding")
print(report)
assert not report.ok and "only the last gradient is kept" in str(report)
print("\nevidence: found, and named")

# %% [markdown] lang="en"
# ### Right ways
#
# * `np.add.at(dW, ids, dout)` adds one after the other.
# * $X^T dout$ with the one-hot matrix: a product with many zeros, good when V is small.
# * **Sort the ids.** Then equal ones lie side by side, and `np.add.reduceat` sums each such stretch. The
#   engine does it so.
#
# Which is fastest depends on V, D, the dtype and the version of NumPy. The cell after the next measures it
# here.

# %% [markdown] lang="zh"
# ### 正确的办法
#
# * `np.add.at(dW, ids, dout)` 一个接一个地相加。
# * 用独热矩阵的 $X^T dout$：乘积里有许多 0，V 小的时候很好。
# * **给 id 排序。** 相等的 id 就排在一起，`np.add.reduceat` 对每一段求和。引擎就是这样做的。
#
# 哪种最快取决于 V、D、dtype 和 NumPy 的版本；再下一个单元格在本机上测量。

# %% tags=["engine-source"]
print(inspect.getsource(functional.embedding.backward))
print(inspect.getsource(scatter_add))

# %%
many = rng.integers(30, size=20_000)
many_dout = rng.standard_normal((20_000, 32))


def with_add_at(dout, ids, V):
    dW = np.zeros((V, dout.shape[1]))
    np.add.at(dW, ids, dout)
    return dW


def with_one_hot(dout, ids, V):
    return one_hot(ids, V).T @ dout


def with_sorting(dout, ids, V):
    dW = np.zeros((V, dout.shape[1]))
    scatter_add(dW, ids, dout)
    return dW


reference = loop_backward(many_dout, many, 30)
for way in (loop_backward, with_add_at, with_one_hot, with_sorting):
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        result = way(many_dout, many, 30)
        seconds.append(time.perf_counter() - start)
    error = np.abs(result - reference).max() / np.abs(reference).max()
    assert error < 1e-12
    print(f"{way.__name__:14} {1000 * min(seconds):6.1f} ms on this machine, relative error {error:.0e}")
print("evidence: all four agree within 1e-12, on 20,000 letters of 30 kinds")

# %% [markdown] lang="en"
# ## 5. Gradients add up everywhere
#
# A layer object owns its weights, as `W.data`, and their gradients, as `W.grad`. Its `backward` **adds**
# into `W.grad`, and only `zero_grad` clears. So a table that is used twice in a model, or a batch that is
# worked off in two halves, gets the right sum with no further code.

# %% [markdown] lang="zh"
# ## 5. 梯度处处相加
#
# 层对象拥有自己的权重 `W.data` 和它的梯度 `W.grad`。它的 `backward` 把梯度**加**进 `W.grad`，
# 只有 `zero_grad` 才清零。所以模型里用了两次的表，或者分成两半处理的批次，
# 不用另写代码就得到正确的和。

# %%
layer = Embedding(V, D, rng=np.random.default_rng(1), dtype=np.float64)
layer.zero_grad()
for half in (slice(0, 2), slice(2, 5)):
    _, half_cache = layer.forward(letters[half])
    layer.backward(dout[half], half_cache)
in_halves = layer.W.grad.copy()

layer.zero_grad()
_, whole_cache = layer.forward(letters)
layer.backward(dout, whole_cache)
assert np.abs(layer.W.grad - in_halves).max() < 1e-15
layer.backward(dout, whole_cache)
assert np.abs(layer.W.grad - 2 * in_halves).max() < 1e-15
print("evidence: two halves give the gradient of the whole within 1e-15; backward twice gives its double")

# %% [markdown] lang="en"
# ## 6. A model of two layers, and what the bug does to it
#
# Now the smallest language model there is. It sees one letter and guesses the next:
#
# $$h = W_{ids} \qquad logits = h U + b \qquad L = \text{cross-entropy}(logits, next)$$
#
# W is (V, D), U is (D, V), b is (V,). The text is the engine's own source, letters and spaces only. We train
# twice from the same weights, by plain gradient descent: once with the right scatter-add, once with `+=`.
#
# How low can the loss get? Count all pairs of letters. The best guess after a letter is how often each letter
# follows it, and the surprise of that guess is a lower bound.

# %% [markdown] lang="zh"
# ## 6. 两层的模型，以及这个错误的后果
#
# 现在来做最小的语言模型。它看到一个字母，猜下一个：
#
# $$h = W_{ids} \qquad logits = h U + b \qquad L = \text{cross-entropy}(logits, next)$$
#
# W 是 (V, D)，U 是 (D, V)，b 是 (V,)。文本是引擎自己的源代码，只留字母和空格。
# 用普通的梯度下降，从同样的权重开始训练两次：一次用正确的 scatter-add，一次用 `+=`。
#
# 损失最低能到多少？数一数所有的字母对。看到一个字母之后，最好的猜测是各字母跟在它后面的频率，
# 这个猜测的惊讶程度就是下界。

# %%
modules = [module for name, module in sorted(sys.modules.items()) if name.startswith("minis2s.functional.")]
source = " ".join(inspect.getsource(module) for module in modules)
text = " ".join(re.findall("[a-z]+", source.lower()))
ALPHABET = " abcdefghijklmnopqrstuvwxyz"
stream = np.array([ALPHABET.index(letter) for letter in text])
V = len(ALPHABET)

counts = np.zeros((V, V))
np.add.at(counts, (stream[:-1], stream[1:]), 1)
shares = counts / counts.sum()  # of each pair
after = shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-12)
lowest = -(shares[shares > 0] * np.log(after[shares > 0])).sum()

X = one_hot(stream[:-1], V)
assert np.array_equal(X.T @ one_hot(stream[1:], V), counts)
print(f"{len(text)} letters; knowing nothing costs {np.log(V):.2f} nats, the best guess {lowest:.2f}")
print("evidence: counting pairs is a scatter-add, too: equal to the product of two one-hot matrices, exactly")


# %%
def train(backward, steps=1500, lr=0.3, D=8):
    rng = np.random.default_rng(0)
    W, U, b = 0.3 * rng.standard_normal((V, D)), 0.3 * rng.standard_normal((D, V)), np.zeros(V)
    losses = []
    for _ in range(steps):
        at = rng.integers(len(stream) - 1, size=128)
        ids, following = stream[at], stream[at + 1]
        # forward
        h = W[ids]
        logits, linear_cache = linear_forward(h, U, b)
        loss, cache = functional.cross_entropy.forward(logits[None], following[None])  # as T = 1
        # backward
        dlogits = functional.cross_entropy.backward(1.0, cache)[0]
        dh, dU, db = linear_backward(dlogits, linear_cache)
        dW = backward(dh, ids, V)
        # one step downhill
        W -= lr * dW
        U -= lr * dU
        b -= lr * db
        losses.append(float(loss))
    return W, np.array(losses)


def smooth(losses, window=50):
    return np.convolve(losses, np.ones(window) / window, mode="valid")


right_W, right_losses = train(with_sorting)
_, lossy_losses = train(lossy_backward)

figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
axes.plot(smooth(right_losses), "-", label="scatter-add")
axes.plot(smooth(lossy_losses), "--", label="+=")
axes.axhline(lowest, color="gray", linestyle=":", label="the best guess from one letter")
axes.set_xlabel("training step")
axes.set_ylabel("loss in nats, mean of 50 steps")
axes.legend(frameon=False)

ends = right_losses[-300:].mean(), lossy_losses[-300:].mean()
assert right_losses[0] - ends[0] > 0.6 and lossy_losses[0] - ends[1] > 0.6
assert ends[1] - ends[0] > 0.02 and ends[0] > lowest
print("evidence: both losses fall by more than 0.6 nats")
print(f"evidence: the end is {ends[0]:.3f} with scatter-add and {ends[1]:.3f} with +=, more than 0.02 higher")

# %% [markdown] lang="en"
# The curve of the wrong backward falls as well, and only lies higher.

# %% [markdown] lang="zh"
# 错误的反向传播的曲线同样在下降，只是高一些。

# %% [markdown] lang="en"
# Nobody would have noticed. That is what makes this bug so common: the model learns, only less from each
# batch, and least about the most frequent letters.
#
# What did the table learn? Its rows are points in 8 dimensions. Letters that are followed by the same letters
# want the same logits, so they should get similar rows. We look along the two directions in which the rows
# differ most (the first two singular vectors).

# %% [markdown] lang="zh"
# 没有人会注意到。这正是这个错误如此常见的原因：模型在学，只是从每个批次学到的少一些，
# 而关于最常见的字母学到的最少。
#
# 表学到了什么？它的行是 8 维空间里的点。后面跟着同样字母的那些字母，需要同样的 logits，
# 所以应该得到相似的行。我们沿着各行差别最大的两个方向来看（前两个奇异向量）。

# %%
known = shares.sum(axis=1) > 0.005  # letters that are not too rare
centred = right_W[known] - right_W[known].mean(axis=0)
plane = centred @ np.linalg.svd(centred)[2][:2].T  # (letters, 2)
names = [letter for letter, k in zip(ALPHABET.replace(" ", "_"), known, strict=True) if k]

figure, axes = plt.subplots(figsize=(5, 4.5), layout="constrained")
for (left, up), name in zip(plane, names, strict=True):
    vowel = name in "aeiou"
    axes.scatter(left, up, s=260, color="tab:orange" if vowel else "lightgray", marker="s" if vowel else "o")
    axes.text(left, up, name, ha="center", va="center")
axes.set_xlabel("first direction")
axes.set_ylabel("second direction")

unit = right_W / np.linalg.norm(right_W, axis=1, keepdims=True)
vowels = [ALPHABET.index(letter) for letter in "aeiou"]
consonants = [ALPHABET.index(letter) for letter in "bcdfghlmnprstw"]
among = (unit[vowels] @ unit[vowels].T)[~np.eye(5, dtype=bool)].mean()
across = (unit[vowels] @ unit[consonants].T).mean()
assert among > across + 0.2
print(f"evidence: mean cosine of two vowels {among:.2f}, of vowel and consonant {across:.2f}: over 0.2 apart")

# %% [markdown] lang="en"
# The vowels, drawn as squares, lie mostly on one side, although nobody told the model what a vowel is.

# %% [markdown] lang="zh"
# 画成方块的元音大多在同一侧，虽然没有人告诉模型什么是元音。

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
# ### Exercise 1: tied weights
#
# Many models use one table twice: to read tokens, and, transposed, to score them. The smallest such
# function is
#
# $$y = \tanh(x W)\, W^T$$
#
# with x and y (N, D) and W (D, K). Write its backward: from dy (N, D) to dx (N, D) and dW (D, K).
#
# <details><summary>Hint 1</summary>
#
# Give the middle a name: $a = \tanh(x W)$, of shape (N, K). Then go back through $y = a W^T$ first.
#
# </details>
# <details><summary>Hint 2</summary>
#
# W is used in two places, so dW has two terms. For each ask which product of the arrays at hand gives (D, K).
#
# </details>

# %% [markdown] lang="zh"
# ### 练习 1：共享权重
#
# 许多模型把同一张表用两次：读词元时用一次，转置后给词元打分时再用一次。最小的例子是
#
# $$y = \tanh(x W)\, W^T$$
#
# 其中 x 和 y 为 (N, D)，W 为 (D, K)。写出反向传播：由 dy (N, D) 得到 dx (N, D) 和 dW (D, K)。
#
# <details><summary>提示 1</summary>
#
# 给中间量起个名字：$a = \tanh(x W)$，形状为 (N, K)。然后先反向经过 $y = a W^T$。
#
# </details>
# <details><summary>提示 2</summary>
#
# W 用在两处，所以 dW 有两项。对每一项都问：手头的数组，哪种乘积得到 (D, K)？
#
# </details>

# %%
def tied(x, W):
    a = np.tanh(x @ W)
    y = a @ W.T

    def backward(dy):
        raise NotImplementedError("fill in backward of tied: return dx, dW")

    return y, backward


# %% tags=["raises-exception"]
with exercise("Exercise 1, tied weights"):
    draw = np.random.default_rng(3)
    report = gradcheck(tied, draw.standard_normal((4, 5)), 0.7 * draw.standard_normal((5, 3)))
    assert report.ok, what_is_wrong(report)

# %% [markdown] lang="en"
# ### Exercise 2: find the bug
#
# The next cell is folded, please leave it so. It makes an embedding backward with one mistake. The table
# shows for each id how often it occurs, and the ratio of each entry of its gradient to the right one. Write
# `my_guess(dout, ids, V)`, a function that makes the same mistake. The check compares it with the hidden
# one on other ids.
#
# <details><summary>Hint 1</summary>
#
# The ratio is one number for each id, so no gradient was lost. A lost one would change the direction.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Multiply the ratio with the number of occurrences.
#
# </details>

# %% [markdown] lang="zh"
# ### 练习 2：找出错误
#
# 下一个单元格是折叠的，请不要打开。它做出一个带有一处错误的嵌入反向传播。
# 表格列出每个 id 出现的次数，以及它的梯度各元素与正确值之比。
# 请写出 `my_guess(dout, ids, V)`，一个犯同样错误的函数。检查会在另一些 id 上与隐藏的函数比较。
#
# <details><summary>提示 1</summary>
#
# 每个 id 的比值是同一个数，所以没有梯度丢失。丢失的话，方向会变。
#
# </details>
# <details><summary>提示 2</summary>
#
# 把比值乘以出现的次数。
#
# </details>

# %% jupyter={"source_hidden": true} tags=["hide-input"]
def hidden_backward(dout, ids, V):
    dW = loop_backward(dout, ids, V)
    return dW / np.maximum(np.bincount(ids, minlength=V), 1)[:, None]


some_ids = np.array([3, 1, 3, 0, 3, 1, 4, 3])
some_dout = np.random.default_rng(6).standard_normal((8, 3))
theirs, true = hidden_backward(some_dout, some_ids, 5), loop_backward(some_dout, some_ids, 5)
for v in range(5):
    ratio = (theirs[v] / true[v]).round(3) if true[v].any() else "(both are 0)"
    print(f"id {v} occurs {np.count_nonzero(some_ids == v)} times, ratio {ratio}")


# %%
def my_guess(dout, ids, V):
    raise NotImplementedError("write your guess into my_guess")


# %% tags=["raises-exception"]
with exercise("Exercise 2, find the bug"):
    draw = np.random.default_rng(8)
    new_ids, new_dout = draw.integers(6, size=20), draw.standard_normal((20, 4))
    yours = my_guess(new_dout, new_ids, 7)
    assert np.shape(yours) == (7, 4), f"dW has shape {np.shape(yours)}, not (V, D) = (7, 4)"
    theirs = hidden_backward(new_dout, new_ids, 7)
    for v in range(7):
        assert np.allclose(yours[v], theirs[v], rtol=1e-10, atol=1e-14), f"another gradient of id {v}"

# %% [markdown] lang="en"
# ### Exercise 3: your own scatter-add
#
# Write `my_scatter(dout, ids, V)` for ids of **any** shape (...) and dout of shape (..., D), without
# `np.add.at` and without `scatter_add`. It returns dW (V, D) with the dtype of dout. No ids at all must
# give zeros.
#
# <details><summary>Hint 1</summary>
#
# Make rows first: ids of shape (N,), dout of shape (N, D). With no ids at all, `reshape(-1, D)` still works.
#
# </details>
# <details><summary>Hint 2</summary>
#
# $X^T dout$. Mind the dtype of X.
#
# </details>

# %% [markdown] lang="zh"
# ### 练习 3：自己写 scatter-add
#
# 写出 `my_scatter(dout, ids, V)`，适用于**任意**形状 (...) 的 ids 和形状为 (..., D) 的 dout，
# 不用 `np.add.at`，也不用 `scatter_add`。它返回 dW (V, D)，dtype 与 dout 相同。
# 一个 id 也没有时，必须返回 0。
#
# <details><summary>提示 1</summary>
#
# 先变成行：ids 的形状为 (N,)，dout 为 (N, D)。没有 id 时，`reshape(-1, D)` 照样可用。
#
# </details>
# <details><summary>提示 2</summary>
#
# $X^T dout$。注意 X 的 dtype。
#
# </details>

# %%
def my_scatter(dout, ids, V):
    raise NotImplementedError("fill in my_scatter")


# %% tags=["raises-exception"]
with exercise("Exercise 3, your own scatter-add"):
    used = my_scatter.__code__.co_names
    assert "at" not in used and "scatter_add" not in used, "np.add.at and scatter_add are not allowed here"
    draw = np.random.default_rng(9)
    for shape in ((7,), (4, 3), (2, 3, 4), (0,)):
        for dtype in (np.float64, np.float32):
            new_ids, new_dout = draw.integers(5, size=shape), draw.standard_normal((*shape, 3)).astype(dtype)
            yours = my_scatter(new_dout, new_ids, 6)
            expected = loop_backward(new_dout.reshape(-1, 3), new_ids.reshape(-1), 6)
            assert yours.shape == (6, 3), f"ids {shape}: dW has shape {yours.shape}, not (V, D) = (6, 3)"
            assert yours.dtype == dtype, f"dout is {np.dtype(dtype)}, dW is {yours.dtype}"
            assert np.allclose(yours, expected, rtol=1e-5, atol=1e-6), f"ids of shape {shape}: wrong numbers"

# %% [markdown] lang="en"
# ## 8. What to read next
#
# * Y. Bengio, R. Ducharme, P. Vincent and C. Jauvin, "A neural probabilistic language model", Journal of
#   Machine Learning Research 3, 2003: the table of rows for words, learned with the rest.
# * X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks",
#   AISTATS 2010: how large the weights of a linear layer should be at the start (equation 16 is the
#   engine's choice).
# * O. Press and L. Wolf, "Using the output embedding to improve language models", EACL 2017: why one table
#   may be used twice, as in exercise 1.
# * T. Parr and J. Howard, "The matrix calculus you need for deep learning", arXiv 1802.01528, 2018: more
#   practice in derivatives with indices.
#
# Next lesson: `03_recurrence.py`.

# %% [markdown] lang="zh"
# ## 8. 接下来读什么
#
# * Y. Bengio, R. Ducharme, P. Vincent, C. Jauvin, "A neural probabilistic language model",
#   Journal of Machine Learning Research 3, 2003：词的行向量表，与其余部分一起学习。
# * X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks",
#   AISTATS 2010：线性层的权重在开始时应当多大（引擎采用其中的式 16）。
# * O. Press, L. Wolf, "Using the output embedding to improve language models", EACL 2017：
#   为什么一张表可以用两次，如练习 1。
# * T. Parr, J. Howard, "The matrix calculus you need for deep learning", arXiv 1802.01528, 2018：
#   更多带下标求导的练习。
#
# 下一课：`03_recurrence.py`。
