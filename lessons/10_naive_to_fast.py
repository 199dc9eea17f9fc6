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
# # From naive to fast
#
# You have an LSTM that is right. Its gradients are checked. It is also slower than it need be.
#
# **Which changes make it fast, how much does each bring, and how do you know that none of them broke it?**
#
# This lesson climbs a ladder. On each rung stands one change. For each you see two things: an *assertion*
# that the numbers are still the same, and a measured *ratio* of the two times. The ratio is never asserted.
# It belongs to your machine, and to what else runs on it just now.
#
# You need the LSTM of lesson 4. About an hour is enough.

# %% [markdown] lang="zh"
# # 从朴素到快
#
# 你有一个正确的 LSTM，梯度也检查过了。可是它比应有的慢。
#
# **哪些改动能让它变快？每一步带来多少？又怎么知道没有改坏？**
#
# 本课像爬一架梯子，每一级只有一个改动。每一级给你看两样东西：一条*断言*，说明数值没有变；
# 一个测出来的*时间比*。时间比从不写进断言，因为它取决于你的机器，也取决于机器此刻还在忙什么。
#
# 你需要第 4 课的 LSTM。大约一小时就够。

# %% [markdown] lang="en"
# ## 1. How to measure
#
# Three rules make a measured time worth something:
#
# * **Same numbers first.** A fast function that computes something else has not won. We compare in float64,
#   where rounding is about $10^{-16}$, and state a bound.
# * **In turns.** The speed of a computer wanders: other programs run, the processor gets warm. So the slow
#   and the fast side take turns, and what we keep is the ratio within a turn. We read the *processor time*
#   of our thread, which stands still while another program has the processor.
# * **The median.** Some turns are disturbed. The median of the ratios does not care; a mean would.
#
# BLAS, the library that multiplies matrices for NumPy, may start threads of its own. For our small matrices
# they cost more than they bring, so we ask for one. It has to be said before NumPy is imported.

# %% [markdown] lang="zh"
# ## 1. 怎样测量
#
# 三条规矩让测出来的时间有意义：
#
# * **先看数值是否相同。** 算出别的东西的快函数不算赢。我们用 float64 比较（舍入误差约 $10^{-16}$），并写明界限。
# * **轮流测。** 计算机的速度会漂：别的程序在跑，处理器在发热。所以慢的一方和快的一方轮流上场，
#   我们只记同一轮之内的比值。读的是本线程的*处理器时间*，处理器被别的程序占着的时候它不走。
# * **取中位数。** 总有几轮受干扰。中位数不受影响，平均数会。
#
# BLAS 是替 NumPy 做矩阵乘法的库，它可能自己开线程。对我们这样的小矩阵，线程的开销大于收益，所以只要一个。
# 这必须在导入 NumPy 之前说。

# %%
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import inspect
import statistics
import sys
import time
import tracemalloc
from contextlib import contextmanager
from types import ModuleType

import matplotlib.pyplot as plt
import numpy as np

from minis2s import ModelConfig, Translator, backend, encode_pairs, functional, load_task, make_batch
from minis2s.functional import naive
from minis2s.functional.cross_entropy import probs_and_surprise
from minis2s.functional.lstm import by_gate
from minis2s.functional.one_hot import one_hot
from minis2s.gradcheck import gradcheck
from minis2s.lessons import exercise, with_changes
from minis2s.nn import live_rows
from minis2s.optim import pieces
from minis2s.train.parallel import Workers


# %%
def arrays_in(result):
    """The arrays of a result, which may be nested in tuples; None stands for no array."""
    if isinstance(result, tuple | list):
        return [array for part in result for array in arrays_in(part)]
    return [] if result is None else [np.asarray(result)]


def difference(mine, reference):
    """The largest difference, relative to the largest number of the same array."""
    pairs = zip(arrays_in(mine), arrays_in(reference), strict=True)
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)


def seconds(function, inputs, calls, clock=time.thread_time):
    """How long so many calls take."""
    start = clock()
    for _ in range(calls):
        function(*inputs)
    return clock() - start


ladder = {}  # of each rung its ratio


def rung(name, slow, fast, make, bound=1e-12, turns=15, clock=time.thread_time):
    """Assert that fast gives the numbers of slow, in float64; then measure both in turns, in float32."""
    found, expected = fast(*make(np.float64)), slow(*make(np.float64))
    error = difference(found, expected)
    assert error <= bound, f"{name}: relative difference {error:.0e}"
    print(f"evidence: {name}: relative difference {error:.0e} <= {bound:.0e}")

    inputs = {slow: make(np.float32), fast: make(np.float32)}  # a set for each: some change theirs in place
    calls = max(1, round(0.005 / max(seconds(slow, inputs[slow], 2) / 2, 1e-6)))  # a turn takes about 5 ms
    ratios = []
    for turn in range(turns):
        order = (slow, fast) if turn % 2 else (fast, slow)  # who begins changes
        spent = {side: seconds(side, inputs[side], calls, clock) for side in order}
        ratios.append(spent[slow] / spent[fast])
    ladder[name] = statistics.median(ratios)
    low, *_, high = sorted(ratios)
    print(f"ratio, not asserted: {ladder[name]:.2f} times as fast (from {low:.2f} to {high:.2f})")


# %% [markdown] lang="en"
# The ground under the ladder: a matrix product, written with loops over numbers, against NumPy's `@`. Shapes:
# a (B, D), W (D, H), out (B, H).
#
# $$out_{bh} = \sum_d a_{bd} W_{dh}$$

# %% [markdown] lang="zh"
# 梯子立在地上：矩阵乘法，一边用循环逐个数计算，一边用 NumPy 的 `@`。形状：a (B, D)，W (D, H)，out (B, H)。
#
# $$out_{bh} = \sum_d a_{bd} W_{dh}$$

# %%
def product_of_numbers(a, W):
    (B, D), H = a.shape, W.shape[1]
    out = np.zeros((B, H), dtype=a.dtype)
    for b in range(B):
        for h in range(H):
            for d in range(D):
                out[b, h] += a[b, d] * W[d, h]
    return out


def product_of_arrays(a, W):
    return a @ W


def random(*shapes, seed=0):
    """A function that makes arrays of these shapes, the same at each call, in the dtype asked for."""

    def make(dtype):
        rng = np.random.default_rng(seed)
        return [rng.standard_normal(shape).astype(dtype) for shape in shapes]

    return make


rung("loops over numbers", product_of_numbers, product_of_arrays, random((16, 32), (32, 64)), turns=3)

# %% [markdown] lang="en"
# Hundreds of times or more, and nothing about it is clever: Python looks at the types of two numbers before
# it multiplies them, BLAS knows them beforehand, and multiplies eight or sixteen at once. So the first rule
# is: **no Python loop over numbers.** From here on the loops that are left run over time steps.
#
# The shapes from here on: T steps, B sentences (the batch), D numbers in, H numbers of state.

# %% [markdown] lang="zh"
# 差几百倍以上，而且没有什么巧妙之处：Python 每乘两个数之前都要看一看它们的类型；BLAS 事先就知道类型，一次乘八个或十六个。
# 所以第一条是：**不要用 Python 循环逐个处理数。** 从这里起，剩下的循环只在时间步上。
#
# 以下的形状：T 个时间步，B 个句子（一批），输入 D 维，隐状态 H 维。

# %%
T, B, D, H = 20, 32, 64, 128

# %% [markdown] lang="en"
# ## 2. The naive LSTM
#
# One step, as in lesson 4, with the four gates i, f, o, g:
#
# $$z = x W_x + h_{prev} W_h + b$$
#
# $$i, f, o = \sigma(z_i), \sigma(z_f), \sigma(z_o), \qquad g = \tanh(z_g)$$
#
# $$c = f \cdot c_{prev} + i \cdot g, \qquad h = o \cdot \tanh(c)$$
#
# Shapes: x (B, D); h and c (B, H); z (B, 4H); Wx (D, 4H); Wh (H, 4H); b (4H,).
#
# The naive sequence calls this step again and again. The engine keeps this version, in
# `minis2s/functional/naive.py`: it is the *oracle* with which the fast one is compared in the tests. Here
# it is, live from the engine:

# %% [markdown] lang="zh"
# ## 2. 朴素的 LSTM
#
# 一个时间步，与第 4 课相同，四个门 i, f, o, g：
#
# $$z = x W_x + h_{prev} W_h + b$$
#
# $$i, f, o = \sigma(z_i), \sigma(z_f), \sigma(z_o), \qquad g = \tanh(z_g)$$
#
# $$c = f \cdot c_{prev} + i \cdot g, \qquad h = o \cdot \tanh(c)$$
#
# 形状：x (B, D)；h 和 c (B, H)；z (B, 4H)；Wx (D, 4H)；Wh (H, 4H)；b (4H,)。
#
# 朴素的序列版本一遍又一遍地调用这一步。引擎一直保留着它，就在 `minis2s/functional/naive.py` 里：
# 它是*标准答案*，测试拿快的版本与它比。下面直接从引擎里取出来看：

# %% tags=["engine-source"]
print(inspect.getsource(naive.lstm_forward))

# %% tags=["engine-source"]
print(inspect.getsource(naive.lstm_backward))

# %% [markdown] lang="en"
# What does it cost? A product of (N, K) by (K, M) takes N K M multiplications. Forward there are two of
# them at each step, x Wx and h Wh. Backward has two for each: one for the gradient of the left factor, one
# for that of the right. So the whole sequence takes
#
# $$3 \cdot T B \cdot (D + H) \cdot 4H$$
#
# multiplications in matrix products, and of the rungs below only two change this number (6 and 9). All that
# the rungs change is *how* the products are asked for, and what is done between them.

# %% [markdown] lang="zh"
# 它的代价是多少？(N, K) 乘 (K, M) 需要 N K M 次乘法。前向每一步有两个这样的乘积：x Wx 和 h Wh。
# 反向时每个变成两个：一个给左因子的梯度，一个给右因子的。所以整个序列在矩阵乘法里要做
#
# $$3 \cdot T B \cdot (D + H) \cdot 4H$$
#
# 次乘法。下面的各级里，只有两级（第 6 和第 9 级）改变这个数。改变的只是*怎样*提出这些乘法，以及乘法之间做什么。

# %%
products = [  # (N, K, M) of all products of a sequence, forward and backward
    *[(B, D, 4 * H)] * T, *[(B, H, 4 * H)] * T,  # z = x Wx + h_prev Wh
    *[(B, 4 * H, D)] * T, *[(B, 4 * H, H)] * T,  # dx = dz Wx^T, dh_prev = dz Wh^T
    *[(D, B, 4 * H)] * T, *[(H, B, 4 * H)] * T,  # dWx = x^T dz, dWh = h_prev^T dz
]  # fmt: skip
counted = sum(N * K * M for N, K, M in products)
assert counted == 3 * T * B * (D + H) * 4 * H
print(f"evidence: {len(products)} products with {counted:,} multiplications, exactly 3 T B (D + H) 4 H")

# %% [markdown] lang="en"
# ## 3. Rung 1: one product for all steps
#
# $x_t W_x$ needs no earlier state. So it need not wait inside the loop: put all steps below each other, (T B,
# D), and multiply once. The multiplications are the same. BLAS copies the weights into an order of its own at
# each call, so one call with many rows costs less than many calls with few.

# %% [markdown] lang="zh"
# ## 3. 第 1 级：所有时间步一次乘完
#
# $x_t W_x$ 不需要前面的状态，所以不必在循环里等：把所有时间步上下叠成 (T B, D)，只乘一次。乘法的次数不变。
# 但 BLAS 每次被调用都要把权重重新排成自己喜欢的顺序，所以行数多的一次调用比行数少的许多次调用便宜。

# %%
def step_by_step(x, Wx):
    z = np.empty((*x.shape[:2], Wx.shape[1]), dtype=x.dtype)
    for t in range(len(x)):
        np.matmul(x[t], Wx, out=z[t])
    return z


def all_steps_at_once(x, Wx):
    T, B, D = x.shape
    return (x.reshape(T * B, D) @ Wx).reshape(T, B, -1)


rung("one product for all steps", step_by_step, all_steps_at_once, random((T, B, D), (D, 4 * H)))

# %% [markdown] lang="en"
# With few sentences in the batch this matters most. The same rung for other B:

# %% [markdown] lang="zh"
# 一批里句子越少，这一级越重要。换几个 B 再测：

# %%
sizes = [1, 2, 4, 8, 16, 32, 64]
gains = []
for size in sizes:
    x, Wx = random((T, size, D), (D, 4 * H))(np.float32)
    assert difference(all_steps_at_once(x, Wx), step_by_step(x, Wx)) < 1e-5
    turns = [
        seconds(step_by_step, (x, Wx), 3) / seconds(all_steps_at_once, (x, Wx), 3) for _ in range(15)
    ]
    gains.append(statistics.median(turns))
print("evidence: in float32, for each B: relative difference < 1e-5")

figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
axes.semilogx(sizes, gains, "o-", base=2)
axes.axhline(1, color="gray", linestyle=":")
axes.set_xticks(sizes, [str(size) for size in sizes])
axes.set_xlabel("sentences in the batch, B")
axes.set_ylabel("times as fast")

# %% [markdown] lang="en"
# With few sentences in a step much is won by multiplying all steps at once, with many of them little.

# %% [markdown] lang="zh"
# 每一步的句子少时，所有时间步一次乘完赢得很多；句子多时，赢得很少。

# %% [markdown] lang="en"
# ## 4. Rung 2: the gates side by side, and block by block
#
# A textbook writes four pairs of weights, $W_{xi}, W_{hi}$ and so on, and eight products. Put the weights
# side by side, (D, 4H) and (H, 4H), and two products do.

# %% [markdown] lang="zh"
# ## 4. 第 2 级：四个门并排，再逐块
#
# 教科书写四对权重 $W_{xi}, W_{hi}$ 等等，一共八个乘积。把权重并排成 (D, 4H) 和 (H, 4H)，两个乘积就够了。


# %%
def four_pairs(x, h, Wx, Wh, pairs):
    return [x @ Wx_k + h @ Wh_k for Wx_k, Wh_k in pairs]


def side_by_side(x, h, Wx, Wh, pairs):
    z = x @ Wx + h @ Wh
    return [z[:, k * H : (k + 1) * H] for k in range(4)]


def one_sentence(dtype):
    """One step of one sentence, as in decoding; the weights side by side, and as four pairs."""
    x, h, Wx, Wh = random((1, D), (1, H), (D, 4 * H), (H, 4 * H))(dtype)
    blocks = [slice(k * H, (k + 1) * H) for k in range(4)]
    return x, h, Wx, Wh, [(Wx[:, block].copy(), Wh[:, block].copy()) for block in blocks]


rung("gates side by side", four_pairs, side_by_side, one_sentence)

# %% [markdown] lang="en"
# But look at what comes back: z has shape (B, 4H), and the gate $z_f$ is a stripe of it, whose rows do not
# lie one after the other in memory. And with many sentences a product with 4H columns is wide: the weights
# that it walks through do not fit into the fastest cache of the processor.
#
# So the engine does both. It *stores* the gates side by side, and copies them once for each sequence into
# four blocks, (4, H, H). `hs[t] @ Wh_gates` is then four products in one call, and z, of shape (4, B, H),
# has each gate in one piece. What this brings depends on H and on the processor. It can be less than 1.

# %% [markdown] lang="zh"
# 可是看看结果：z 的形状是 (B, 4H)，门 $z_f$ 只是其中的一条竖带，它的各行在内存里并不相连。句子多的时候，
# 4H 列的乘积又太宽：一路要读的权重放不进处理器最快的那级缓存。
#
# 所以引擎两样都做：权重并排*存放*，每个序列开始时复制一次，变成四块 (4, H, H)。`hs[t] @ Wh_gates` 于是一次调用做四个乘积，
# 得到的 z 形状是 (4, B, H)，每个门都是连续的一整块。它带来多少，取决于 H 和处理器，有时甚至小于 1。

# %%
def in_one_row(hs, Wh):
    gates = np.empty((T, 4, B, H), dtype=Wh.dtype)
    for t in range(T):
        z = hs[t] @ Wh  # (B, 4H)
        for k in range(4):
            gates[t, k] = np.tanh(z[:, k * H : (k + 1) * H])
    return gates


def block_by_block(hs, Wh):
    Wh_gates = np.ascontiguousarray(by_gate(Wh))  # (4, H, H)
    gates = np.empty((T, 4, B, H), dtype=Wh.dtype)
    for t in range(T):
        z = np.matmul(hs[t], Wh_gates, out=gates[t])  # (4, B, H)
        np.tanh(z, out=z)
    return gates


rung("gates block by block", in_one_row, block_by_block, random((T, B, H), (H, 4 * H)))

# %% [markdown] lang="en"
# ## 5. Rung 3: the sigmoid is a tanh
#
# $$\sigma(z) = \frac{1}{1 + e^{-z}} = \frac{1}{2} \tanh\left(\frac{z}{2}\right) + \frac{1}{2}$$
#
# Proof: multiply numerator and denominator of $1 / (1 + e^{-z})$ by $e^{z/2}$, and compare with
# $\tanh(u) = (e^u - e^{-u}) / (e^u + e^{-u})$ at $u = z/2$.
#
# The left form needs exp, an addition and a
# division, and makes an array for each. The right one needs one function, works in place, and in the LSTM
# one call can serve all four gates. Which is faster? That depends on how many numbers NumPy's exp and its
# tanh take at once in the vector registers of *your* processor.

# %% [markdown] lang="zh"
# ## 5. 第 3 级：sigmoid 就是 tanh
#
# $$\sigma(z) = \frac{1}{1 + e^{-z}} = \frac{1}{2} \tanh\left(\frac{z}{2}\right) + \frac{1}{2}$$
#
# 证明：把 $1 / (1 + e^{-z})$ 的分子分母同乘 $e^{z/2}$，再与 $\tanh(u) = (e^u - e^{-u}) / (e^u + e^{-u})$ 在
# $u = z/2$ 处比较。
#
# 左边的写法要算 exp、加法和除法，每步都产生一个新数组。右边的写法只用一个函数，可以原地计算，
# 在 LSTM 里一次调用就能服务四个门。哪个快？取决于在*你的*处理器上，NumPy 的 exp 和 tanh 各能用向量寄存器一次算几个数。

# %%
def sigmoid_by_exp(z):
    return 1 / (1 + np.exp(-z))


def sigmoid_by_tanh(z):
    out = 0.5 * z
    np.tanh(out, out=out)
    out *= 0.5
    out += 0.5
    return out


rung("sigmoid by tanh", sigmoid_by_exp, sigmoid_by_tanh, random((3, B, H)))

# %% [markdown] lang="en"
# Do not be surprised by a ratio below 1. This rung was taken because of processors with AVX-512, for which
# NumPy has a fast tanh (`minis2s/functional/activations.py` says: several times faster). On the machine on
# which this lesson was written, without AVX-512, the ratio was 0.6: there the rung is a step *down*. This
# is why a claim of speed is worth nothing without the machine on which it was measured.
#
# One reason remains on every machine: it is the safer of the two. For $z = -1000$ the left form computes
# $e^{1000}$, which no float32 can hold:

# %% [markdown] lang="zh"
# 看到小于 1 的比值不必吃惊。选这一级，是为了有 AVX-512 的处理器，NumPy 在那里有快的 tanh
# （`minis2s/functional/activations.py` 说：快好几倍）。写本课的机器没有 AVX-512，比值是 0.6：在那里这一级是往*下*走的。
# 所以，不说明在哪台机器上测的，速度的断言一文不值。
#
# 有一条理由在任何机器上都成立：它更安全。当 $z = -1000$ 时，左边的写法要算 $e^{1000}$，float32 装不下：

# %%
with np.errstate(over="raise"):
    try:
        sigmoid_by_exp(np.float32([-1000]))
        overflowed = False
    except FloatingPointError:
        overflowed = True
    assert overflowed and sigmoid_by_tanh(np.float32([-1000])) == 0
print("evidence: at z = -1000 exp overflows, the tanh form gives 0")

# %% [markdown] lang="en"
# ## 6. Rung 4: a copy of Wh.T
#
# Backward, each step multiplies with the transposed weights: $dh_{prev} = dz\, W_h^T$. In NumPy `Wh.T` is a
# *view*: the same memory, read in another order. BLAS can multiply with either, by different code. With
# some processors and sizes its code for the view takes twice as long, and the loop runs it at each step.
# One copy before the loop puts the numbers into the order in which they are needed. The copy costs
# something, too: with short sequences, or a BLAS that does not mind, the ratio is below 1. (It was 0.9
# where this was written.)

# %% [markdown] lang="zh"
# ## 6. 第 4 级：把 Wh.T 复制一份
#
# 反向时，每一步都要乘转置的权重：$dh_{prev} = dz\, W_h^T$。在 NumPy 里 `Wh.T` 只是*视图*：同一块内存，换个次序读。
# 两种 BLAS 都会乘，但用的是不同的代码。在某些处理器和某些大小上，乘视图要花两倍时间，而循环每一步都要乘一遍。
# 循环之前复制一次，数就按需要的次序排好了。复制也有代价：序列短，或者 BLAS 不在乎次序时，比值会小于 1。
# （写本课的机器上是 0.9。）

# %%
def with_a_view(dz, Wh):
    dh = np.empty((*dz.shape[:2], len(Wh)), dtype=dz.dtype)
    for t in reversed(range(len(dz))):
        np.matmul(dz[t], Wh.T, out=dh[t])
    return dh


def with_a_copy(dz, Wh):
    dh = np.empty((*dz.shape[:2], len(Wh)), dtype=dz.dtype)
    WhT = np.ascontiguousarray(Wh.T)
    for t in reversed(range(len(dz))):
        np.matmul(dz[t], WhT, out=dh[t])
    return dh


rung("a copy of Wh.T", with_a_view, with_a_copy, random((T, B, 4 * H), (H, 4 * H)))

# %% [markdown] lang="en"
# ## 7. Rung 5: the products for the weights after the loop
#
# The gradient of a weight that is used at each step is a sum over the steps:
#
# $$dW_h = \sum_t h_{t-1}^T\, dz_t$$
#
# Nobody in the loop needs it. And the sum over t of products is itself one product: put the h of all steps
# below each other, (T B, H), and the dz likewise, (T B, 4H). The inner dimension then runs over steps *and*
# sentences. The same goes for dWx, dx and db.

# %% [markdown] lang="zh"
# ## 7. 第 5 级：权重的乘积放到循环之后
#
# 每一步都用到的权重，它的梯度是对时间步求和：
#
# $$dW_h = \sum_t h_{t-1}^T\, dz_t$$
#
# 循环里没有谁需要它。而对 t 求和的许多乘积本身就是一个乘积：把所有步的 h 上下叠成 (T B, H)，dz 也叠成 (T B, 4H)，
# 内维就同时跑过时间步*和*句子。dWx、dx 和 db 也一样。

# %%
def in_the_loop(hs, dz):
    dWh = np.zeros((hs.shape[2], dz.shape[2]), dtype=dz.dtype)
    for t in reversed(range(len(dz))):
        dWh += hs[t].T @ dz[t]
    return dWh


def after_the_loop(hs, dz):
    rows = dz.shape[0] * dz.shape[1]
    return hs.reshape(rows, -1).T @ dz.reshape(rows, -1)


rung("products after the loop", in_the_loop, after_the_loop, random((T, B, H), (T, B, 4 * H)))

# %% [markdown] lang="en"
# Exactly the same numbers? No. A sum in another order is rounded in another way. This is why the bound is
# $10^{-12}$ and not 0, and why we compare in float64: there 1e-12 is far above rounding and far below any
# mistake.

# %% [markdown] lang="zh"
# 数值完全相同吗？不。求和的次序变了，舍入也就变了。所以界限是 $10^{-12}$ 而不是 0，也所以要用 float64 比较：
# 1e-12 远大于舍入误差，又远小于任何错误。

# %% [markdown] lang="en"
# ## 8. The engine's LSTM
#
# The five rungs together are the LSTM that this engine trains with. Read it beside the naive one above.
# Everything is there: the product before the loop, the blocks of the gates, `sigmoid_` (in place, by tanh)
# inside `activate_gates_`; then, backward, the copy of Wh.T and the products after the loop.

# %% [markdown] lang="zh"
# ## 8. 引擎的 LSTM
#
# 五级合在一起，就是本引擎用来训练的 LSTM。请与上面的朴素版本对照着读。每一级都在里面：循环之前的乘积，门的分块，
# `activate_gates_` 里原地计算的 `sigmoid_`（用 tanh）；反向时有 Wh.T 的复制，以及循环之后的乘积。

# %% tags=["engine-source"]
print(inspect.getsource(functional.lstm.forward))

# %% tags=["engine-source"]
print(inspect.getsource(functional.lstm.backward))

# %% [markdown] lang="en"
# Equal? All outputs and all six gradients, from one upstream gradient, with a mask:

# %% [markdown] lang="zh"
# 相等吗？同一个上游梯度，带掩码，比较所有输出和全部六个梯度：

# %%
MASK = np.arange(T)[:, None] < np.linspace(T, T // 2, B).astype(int)  # (T, B): sentences of T to T / 2 tokens


def forward_and_backward(op):
    """A function that runs an LSTM pair both ways: all outputs, all gradients."""

    def run(x, h0, c0, Wx, Wh, b, dhs, dh, dc, mask=None):
        out, cache = op.forward(x, h0, c0, Wx, Wh, b, mask)
        return out, op.backward((dhs, dh, dc), cache)

    return run


lstm_inputs = random(
    (T, B, D), (B, H), (B, H), (D, 4 * H), (H, 4 * H), (4 * H,), (T, B, H), (B, H), (B, H)
)
slow, fast = forward_and_backward(naive.OPS["lstm"]), forward_and_backward(functional.lstm)
inputs = lstm_inputs(np.float64)
inputs[3] /= D**0.5  # weights of the size that they have in a network
inputs[4] /= H**0.5
error = difference(fast(*inputs, MASK), slow(*inputs, MASK))
assert error < 1e-12
print(f"evidence: with a mask, 3 outputs and 6 gradients: relative difference {error:.0e} < 1e-12")
rung("the whole LSTM", slow, fast, lstm_inputs, bound=1e-9)

# %% [markdown] lang="en"
# (The bound of the second line is wider: its weights are large, and through 20 steps an LSTM with large
# weights magnifies what is rounded.)
#
# All five rungs together, and the ratio is that small? The naive version works on whole arrays already. The
# large factor lay on the ground: no loops over numbers. What comes above it must be earned rung by rung.
#
# Equal to the naive version is one proof. The other asks neither of them: the numeric derivative. First
# your own, along one random direction u of all inputs at once, by central differences:
#
# $$\sum_k d\theta_k \cdot u_k \approx \frac{L(\theta + \epsilon u) - L(\theta - \epsilon u)}{2 \epsilon}$$
#
# Then the checker of the engine, entry by entry.

# %% [markdown] lang="zh"
# （第二行的界限宽一些：它的权重大，权重大的 LSTM 走过 20 步会放大舍入误差。）
#
# 五级合在一起，比值只有这么大？朴素版本已经是整个数组地算了。最大的倍数在地面上：不逐个数地循环。再往上，只能一级一级地挣。
#
# 与朴素版本相等是一种证明。另一种证明不问它们两个，只问数值导数。先自己做：所有输入合在一起，沿一个随机方向 u，
# 用中心差分：
#
# $$\sum_k d\theta_k \cdot u_k \approx \frac{L(\theta + \epsilon u) - L(\theta - \epsilon u)}{2 \epsilon}$$
#
# 再用引擎的检查器，逐个元素检查。

# %%
theta, upstream = inputs[:6], inputs[6:]
direction = random(*(a.shape for a in theta), seed=1)(np.float64)


def loss_at(step):
    out, _ = functional.lstm.forward(*(a + step * u for a, u in zip(theta, direction, strict=True)), MASK)
    return sum((part * R).sum() for part, R in zip(out, upstream, strict=True))


_, cache = functional.lstm.forward(*theta, MASK)
gradients = functional.lstm.backward(tuple(upstream), cache)
analytic = sum((d * u).sum() for d, u in zip(gradients, direction, strict=True))
numeric = (loss_at(1e-5) - loss_at(-1e-5)) / 2e-5
error = abs(analytic - numeric) / abs(analytic)
assert error < 1e-6
report = gradcheck(functional.lstm, kind="lstm")
assert report.ok and max(block.error for block in report.blocks) < 1e-10
print(f"evidence: along one direction {error:.0e} < 1e-6; {report.summary()}, each below 1e-10")

# %% [markdown] lang="en"
# ## 9. Rung 6: few symbols, looked up
#
# The inputs of the first layer are rows of an embedding table E (V, D). A model that reads letters has V = 40
# of them, and a batch has T B = 640 tokens. Each row is multiplied with Wx sixteen times. So multiply the
# *table* once, (V, D) (D, 4H), and look the product up:
#
# $$E[ids]\, W_x = (E W_x)[ids]$$
#
# Why is this right? Let O (T B, V) be the *one-hot* matrix: zeros, with a one at each id. Looking up is a
# product with O, and $(O E) W_x = O (E W_x)$. Backward the same bracket moves:
#
# $$dP = O^T dz, \qquad dE = dP\, W_x^T, \qquad dW_x = E^T dP$$
#
# This rung has fewer multiplications: the two large products for dx and dWx become two small
# ones, and one of (V, T B) (T B, 4H).

# %% [markdown] lang="zh"
# ## 9. 第 6 级：符号少，就查表
#
# 第一层的输入是嵌入表 E (V, D) 的行。按字母读的模型只有 V = 40 行，而一批有 T B = 640 个词元，每一行平均与 Wx 乘十六次。
# 所以让*整张表*乘一次，(V, D) (D, 4H)，再去查乘好的积：
#
# $$E[ids]\, W_x = (E W_x)[ids]$$
#
# 为什么对？设 O (T B, V) 是*独热*矩阵：全零，每个 id 处一个 1。查表就是乘以 O，而 $(O E) W_x = O (E W_x)$。
# 反向时移动的是同一对括号：
#
# $$dP = O^T dz, \qquad dE = dP\, W_x^T, \qquad dW_x = E^T dP$$
#
# 这一级减少了乘法的次数：dx 和 dWx 的两个大乘积变成两个小的，外加一个 (V, T B) (T B, 4H)。

# %%
V = 40
IDS = np.random.default_rng(2).integers(V, size=(T, B))


def embed_then_multiply(E, Wx, dz):
    x = E[IDS].reshape(T * B, D)
    z = x @ Wx
    dz = dz.reshape(T * B, 4 * H)
    dx, dWx = dz @ Wx.T, x.T @ dz
    dE = np.zeros_like(E)
    backend.scatter_add(dE, IDS.reshape(-1), dx)
    return z, dE, dWx


def multiply_then_look_up(E, Wx, dz):
    z = (E @ Wx)[IDS.reshape(-1)]
    ones = one_hot(IDS, V, dz.dtype).reshape(T * B, V)
    dP = ones.T @ dz.reshape(T * B, 4 * H)
    return z, dP @ Wx.T, E.T @ dP


rung("few symbols looked up", embed_then_multiply, multiply_then_look_up,
     random((V, D), (D, 4 * H), (T, B, 4 * H)))  # fmt: skip

of_tokens = 3 * (T * B) * D * 4 * H  # z, dx, dWx
of_symbols = 3 * V * D * 4 * H + V * (T * B) * 4 * H  # the same of the table, and dP
assert of_tokens > 3.5 * of_symbols
print(f"evidence: {of_tokens:,} multiplications before, {of_symbols:,} now: more than 3.5 times fewer")

# %% [markdown] lang="en"
# With V = 8000 words it does not pay: the table would have more rows than the batch has tokens. Nor with
# dropout on the embeddings: then two equal tokens have two different rows. `Embedding.lookup_pays` of the
# engine decides.
#
# ## 10. Rung 7: the gradient of an embedding, sorted
#
# With many words the gradient of the table is a sum by id: $dE_v = \sum_{n: ids_n = v} dx_n$. The line that
# everybody writes first is wrong. `dE[ids] += dx` reads, adds and writes, and of equal ids only the last
# one is kept. `np.add.at` is right, but goes from row to row, which older versions of NumPy did very
# slowly. So sort the ids: equal ones then stand side by side, and `np.add.reduceat` sums each stretch in
# one pass.

# %% [markdown] lang="zh"
# 词表 V = 8000 时就不划算了：表的行数比一批的词元还多。对嵌入做 dropout 时也不行：两个相同的词元会有不同的行。
# 引擎里由 `Embedding.lookup_pays` 决定。
#
# ## 10. 第 7 级：先排序，再求嵌入的梯度
#
# 词多的时候，嵌入表的梯度要按 id 求和：$dE_v = \sum_{n: ids_n = v} dx_n$。大家最先写下的那一行是错的：
# `dE[ids] += dx` 先读、再加、再写，相同的 id 只留下最后一个。`np.add.at` 是对的，但它逐行地加，旧版 NumPy 加得很慢。
# 所以先把 id 排序：相同的 id 挨在一起，`np.add.reduceat` 一遍就把每一段加好。

# %%
WORDS, N, E = 2000, 4000, 64
WORD_IDS = np.random.default_rng(3).integers(WORDS, size=N) ** 2 // WORDS  # a few words are frequent


def row_by_row(dx):
    dE = np.zeros((WORDS, E), dtype=dx.dtype)
    np.add.at(dE, WORD_IDS, dx)
    return dE


def sorted_rows(dx):
    dE = np.zeros((WORDS, E), dtype=dx.dtype)
    order = np.argsort(WORD_IDS, kind="stable")
    ids = WORD_IDS[order]
    starts = np.flatnonzero(np.concatenate(([True], ids[1:] != ids[:-1])))
    dE[ids[starts]] = np.add.reduceat(dx[order], starts, axis=0)
    return dE


(dx,) = random((N, E))(np.float64)
wrong = np.zeros((WORDS, E))
wrong[WORD_IDS] += dx
assert difference(wrong, row_by_row(dx)) > 0.1
_, cache = functional.embedding.forward(wrong, WORD_IDS)
assert difference(functional.embedding.backward(dx, cache), sorted_rows(dx)) < 1e-12
print("evidence: dE[ids] += dx is wrong by more than 10 %; the engine's gradient is that of sorted_rows")
rung("embedding gradient by sorting", row_by_row, sorted_rows, random((N, E)))

# %% [markdown] lang="en"
# ## 11. Rung 8: softmax cross-entropy, a few rows at a time
#
# The logits (N, V) are the largest array of all. Softmax and surprise need several lines over them:
# maximum, difference, exp, sum, quotient. NumPy does line after line, and each goes over the whole array.
# With N = 640 and V = 4000 that is 10 MB in float32, more than a core keeps near itself. So it is fetched
# from memory again and again.
#
# Take *a few rows at a time*, and do all lines on them before you go on. They stay in the cache from line to
# line. Each row has its own softmax, so the numbers are the same to the last bit. The bound is 0.

# %% [markdown] lang="zh"
# ## 11. 第 8 级：softmax 交叉熵，一次几行
#
# logits (N, V) 是最大的数组。softmax 和惊讶度（负对数概率）要对它做好几行运算：最大值、相减、exp、求和、相除。
# NumPy 一行一行地算，每行都要走遍整个数组。N = 640、V = 4000 时，float32 是 10 MB，核心身边的缓存装不下，于是一遍遍从内存里取。
#
# 所以*一次只取几行*，把所有运算在这几行上做完再往下走，它们就一直留在缓存里。每行的 softmax 互不相干，
# 所以数值连最后一位也相同：界限是 0。

# %%
N, V_WORDS = 640, 4000
TARGETS = np.random.default_rng(4).integers(V_WORDS, size=N)


def all_rows_at_once(logits):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    p = np.exp(shifted)
    total = p.sum(axis=-1)
    p /= total[:, None]
    return p, np.log(total) - shifted[np.arange(N), TARGETS]


def a_few_rows(logits):
    return probs_and_surprise(logits, TARGETS, 0.0)  # the engine's; the third argument is the smoothing


rung("cross-entropy a few rows at a time", all_rows_at_once, a_few_rows, random((N, V_WORDS)), bound=0)

# %% tags=["engine-source"]
print(inspect.getsource(probs_and_surprise))

# %% [markdown] lang="en"
# ## 12. Rung 9: live rows
#
# The sentences of a batch have different lengths. The rectangle (T, B) is filled up with padding, and the
# naive way computes on it and throws the results away by the mask. Sort the sentences from long to short.
# Then the real ones of each step come first, and there are fewer and fewer of them. So cut the time into
# *segments*, and compute only the first rows of each.

# %% [markdown] lang="zh"
# ## 12. 第 9 级：只算还活着的行
#
# 一批里的句子长短不一。矩形 (T, B) 用填充补齐，朴素的做法在填充上照算不误，再用掩码把结果扔掉。把句子从长到短排序，
# 每一步真实的句子就都在前面，而且越来越少。于是把时间切成几*段*，每段只算前面几行。

# %%
LENGTHS = np.random.default_rng(5).geometric(0.12, size=B).clip(2, T)  # (B,)
RAGGED = np.arange(T)[:, None] < LENGTHS  # (T, B)
plan = live_rows.plan_for(RAGGED)
computed = sum((stop - start) * rows for start, stop, rows in plan.segments)

figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
axes.imshow(RAGGED[:, plan.order].T, cmap="Greys", vmin=0, vmax=2, aspect="auto")
for start, stop, rows in plan.segments:
    axes.plot([start - 0.5, stop - 0.5, stop - 0.5], [rows - 0.5, rows - 0.5, -0.5], color="black")
axes.set_xlabel("time step")
axes.set_ylabel("sentence, long to short")

assert RAGGED.sum() <= computed < RAGGED.size
print(f"evidence: {RAGGED.sum()} real tokens <= {computed} computed < {RAGGED.size} in the rectangle")

# %% [markdown] lang="en"
# Gray are the real tokens, and inside the black outline lies what is computed.

# %% [markdown] lang="zh"
# 灰色是真实的词元，黑线以内是实际计算的部分。

# %%
def whole_rectangle(x, h0, c0, Wx, Wh, b):
    out, _ = functional.lstm.forward(x, h0, c0, Wx, Wh, b, RAGGED)
    return out


def rows_that_live(x, h0, c0, Wx, Wh, b):
    def run(x, state, mask):
        return functional.lstm.forward(x, *state, Wx, Wh, b, mask)

    (hs, last), _ = live_rows.forward(run, x, (h0, c0), RAGGED, plan)
    return hs, *last


rung("live rows of a ragged batch", whole_rectangle, rows_that_live, random(*(a.shape for a in theta)))

# %% [markdown] lang="en"
# ## 13. Rung 10: halves of the batch for two workers
#
# Two cores can help, but how? Threads inside BLAS split each small product, and wait for each other after
# each: thousands of times in a step. Split the *batch* instead. Each worker takes half of the sentences
# through forward and backward, and they meet once, to add up their gradients:
#
# $$\sum_{n} \nabla L_n / N = \sum_{n \in A} \nabla L_n / N + \sum_{n \in B} \nabla L_n / N$$
#
# N is the number of tokens of the *whole* batch. A mean of the two means would be another number when the
# halves have different numbers of tokens. And it needs a model without hidden memory: our layers keep no
# activations, so two workers can share the weights.
#
# What is a worker? NumPy lets other Python threads run while it computes, but between two products they take
# turns, and a thread that waits for its turn falls asleep and has to be woken: as long as a product of a
# small model takes. Two processes do not wait for each other. On Linux, `Workers`, which the trainer uses,
# makes a copy of the process, with weights and gradients in shared memory; elsewhere it uses threads:

# %% [markdown] lang="zh"
# ## 13. 第 10 级：一批分两半，两个工作者
#
# 两个核心能帮上忙，但怎样帮？BLAS 内部的线程把每个小乘积切开，每乘完一次互相等一次，一步训练要等上千次。
# 不如切*批*：每个工作者带一半句子走完前向和反向，最后只碰头一次，把梯度加起来：
#
# $$\sum_{n} \nabla L_n / N = \sum_{n \in A} \nabla L_n / N + \sum_{n \in B} \nabla L_n / N$$
#
# N 是*整批*的词元数。两半的词元数不同时，两个平均数的平均数就是另一个数了。还需要模型没有隐藏的记忆：我们的层不保存
# 激活值，所以两个工作者可以共用权重。
#
# 工作者是什么？NumPy 计算时会让别的 Python 线程运行，但在两次乘积之间它们要轮流；等待的线程会睡着，要被叫醒，所花的时间
# 和小模型的一次乘积一样长。两个进程就不用互相等。所以在 Linux 上，训练器用的 `Workers` 会复制出一个进程，权重和梯度放在
# 共享内存里；在别的系统上则用线程：

# %%
words = load_task("reverse", size=300).train


def gradient_with(threads):
    """A function that computes the gradient of one batch of a small model, with so many workers."""
    workers, batches = {}, {}

    def run(dtype):
        if dtype not in workers:
            translator = Translator.for_pairs(words, ModelConfig(embed=64, hidden=128), dtype=dtype)
            workers[dtype] = Workers(translator.model, threads)
            examples = encode_pairs(words, translator.source, translator.target, all_targets=False)
            batches[dtype] = make_batch(examples[:64])
        loss, _ = workers[dtype].gradient(batches[dtype])
        return loss, [p.grad for p in workers[dtype].models[0].parameters().values()]

    return run


rung("two workers", gradient_with(1), gradient_with(2), lambda dtype: [dtype], bound=1e-11,
     clock=time.perf_counter)  # by the clock on the wall: two workers together use no less processor time
print(f"this machine has {os.cpu_count()} cores, and other programs may use them")

# %% [markdown] lang="en"
# On one core, or a busy machine, the ratio is near 1 or below. The numbers do not depend on that.
#
# ## 14. Rung 11: Adam in pieces
#
# Adam (lesson 8) is a dozen operations on five arrays: weights p, gradient dp, running means m and v, and a
# temporary one. For a large matrix it has the disease of rung 8, and the same cure: all lines on one piece
# of 32,768 numbers, then the next piece.

# %% [markdown] lang="zh"
# 只有一个核心，或者机器很忙时，这个比值接近 1，甚至更小。数值与此无关。
#
# ## 14. 第 11 级：一块一块地做 Adam
#
# Adam（第 8 课）是五个数组上的十几个运算：权重 p，梯度 dp，滑动平均 m 和 v，还有一个临时数组。
# 对大矩阵，它的毛病与第 8 级相同，药方也相同：在一块 32768 个数上做完所有运算，再做下一块。

# %%
def adam_lines(p, dp, m, v):
    """The first step of Adam, in place."""
    m *= 0.9
    m += 0.1 * dp
    v *= 0.99
    v += 0.01 * dp**2
    p -= 0.002 * m / (np.sqrt(v) + 1e-8)


def adam_at_once(p, dp, m, v):
    adam_lines(p, dp, m, v)
    return p, m, v


def adam_in_pieces(p, dp, m, v):
    for piece in pieces(p, dp, m, v):  # the same stretches of all four: views
        adam_lines(*piece)
    return p, m, v


def weights_and_gradients(dtype):
    p, dp, m, v = random(*[(1000, 1024)] * 4)(dtype)
    return p, dp, m, np.abs(v)


rung("Adam in pieces", adam_at_once, adam_in_pieces, weights_and_gradients, bound=0)

# %% [markdown] lang="en"
# ## 15. The ladder

# %% [markdown] lang="zh"
# ## 15. 整架梯子

# %%
figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
names = list(ladder)[::-1]
bars = axes.barh(names, [ladder[name] for name in names], color="0.6")
axes.bar_label(bars, [f"{ladder[name]:.1f}" for name in names], padding=3)
axes.axvline(1, color="black", linestyle=":")
axes.set_xscale("log")
axes.set_xlabel("times as fast as what it replaces")

assert len(ladder) == 14
print(f"evidence: {len(ladder)} rungs, each equal to what it replaces within its bound")

# %% [markdown] lang="en"
# Bars that end right of the dotted line are steps up on this machine, and those that end left of it are steps
# down.

# %% [markdown] lang="zh"
# 横条伸到虚线右边的那些级，在这台机器上是往上走的，伸到左边的是往下走的。

# %% [markdown] lang="en"
# The ratios must not be multiplied with each other: each is that of its own piece of the work, and the pieces
# are of different size. This is Amdahl's law. If a share s of the time is made r times as fast, the whole is
# faster by
#
# $$\frac{1}{(1 - s) + s / r}$$
#
# and never by more than $1 / (1 - s)$, even with $r = \infty$.

# %% [markdown] lang="zh"
# 这些比值不能连乘：每个只属于自己那一部分工作，而各部分大小不同。这就是 Amdahl 定律：如果占时间份额 s 的部分快了 r 倍，
# 整体快
#
# $$\frac{1}{(1 - s) + s / r}$$
#
# 倍；即使 $r = \infty$，也不会超过 $1 / (1 - s)$。

# %%
def amdahl(s, r):
    return 1 / ((1 - s) + s / r)


assert abs(amdahl(0.5, 2) - 4 / 3) < 1e-12 and abs(amdahl(0.1, 1e15) - 1 / 0.9) < 1e-12
print("evidence: half of the work twice as fast: 4/3; a tenth of it infinitely fast: 10/9 (both to 1e-12)")

# %% [markdown] lang="en"
# ## 16. What the limit is
#
# Where does the ladder end? The matrix products must be done. So take them *alone*: all those of the LSTM,
# forward and backward, everything allocated beforehand, no gates, no sums, nothing else. No engine that
# multiplies with this BLAS can be faster. We call this time the *floor*.

# %% [markdown] lang="zh"
# ## 16. 极限在哪里
#
# 梯子到哪里为止？矩阵乘法总是要做的。所以*只做乘法*：LSTM 前向和反向的所有乘积，内存事先分配好，没有门，没有求和，
# 别的什么也不做。用这个 BLAS 的引擎谁也快不过它。这个时间叫作*下限*。

# %%
def floor(dtype=np.float32):
    """A function that does the products of the LSTM alone; and how many multiplications it makes."""
    x, hs, Wx, Wh, dz = random((T * B, D), (T, B, H), (D, 4 * H), (H, 4 * H), (T, B, 4 * H))(dtype)
    z, z_gates, Wh_gates = np.empty_like(dz), np.empty((4, B, H), dtype), by_gate(Wh).copy()
    dh, dx, dWx, dWh = (np.empty_like(a) for a in (hs, x, Wx, Wh))
    WhT = Wh.T.copy()
    rows, dz_rows = hs.reshape(T * B, H), dz.reshape(T * B, 4 * H)
    work = [
        (x, Wx, z.reshape(T * B, 4 * H)),
        *[(hs[t], Wh_gates, z_gates) for t in range(T)],
        *[(dz[t], WhT, dh[t]) for t in reversed(range(T))],
        (dz_rows, Wx.T, dx),
        (x.T, dz_rows, dWx),
        (rows.T, dz_rows, dWh),
    ]

    def run():
        for a, b, out in work:
            np.matmul(a, b, out=out)

    return run, sum(out.size * a.shape[-1] for a, b, out in work)


products_alone, multiplications = floor()
assert multiplications == counted
lstm_arrays = lstm_inputs(np.float32)
shares = [seconds(products_alone, (), 5) / seconds(fast, lstm_arrays, 5) for _ in range(9)]
print(f"evidence: the floor has {multiplications:,} multiplications, exactly those counted in section 2")
print(f"not asserted: the products alone take {statistics.median(shares):.0%} of the time of our LSTM")

# %% [markdown] lang="en"
# What is left to win is the rest. By Amdahl's law it is 1 divided by the share that was just printed, at
# the most, and with a larger H it is less: products grow with H², everything else with H.
# [`benchmarks/README.md`](../benchmarks/README.md) has the same question for a whole training step, with
# attention, loss and Adam, beside torch: `python benchmarks/speed.py step` prints the floor beside the
# engine.
#
# To get below the floor there are only three ways: fewer multiplications (rung 6 and rung 9), a faster
# BLAS, or other hardware.

# %% [markdown] lang="zh"
# 还能赢的就是剩下的部分。按 Amdahl 定律，最多是 1 除以刚才印出的份额。H 越大，能赢的越少：乘积随 H² 增长，其余只随 H 增长。
# 整个训练步（含注意力、损失和 Adam）的同一个问题，以及与 torch 的比较，见 [`benchmarks/README.md`](../benchmarks/README.md)：
# `python benchmarks/speed.py step` 会把下限印在引擎旁边。
#
# 要低于下限，只有三条路：更少的乘法（第 6 级和第 9 级），更快的 BLAS，或者别的硬件。

# %% [markdown] lang="en"
# ## 17. The same code on other hardware
#
# [CuPy](https://cupy.dev) has NumPy's functions for arrays that live on a GPU. A function of this engine
# does not know where its arrays live. It asks them: `xp = xp_of(x)` is the module to which x belongs,
# `numpy` or `cupy`, and from there on it writes `xp.exp`. There is no global switch. The softmax of the
# attention, from the engine:

# %% [markdown] lang="zh"
# ## 17. 同样的代码，别的硬件
#
# [CuPy](https://cupy.dev) 为放在 GPU 上的数组提供 NumPy 的函数。本引擎的函数不知道数组在哪里，它去问数组：
# `xp = xp_of(x)` 就是 x 所属的模块，`numpy` 或 `cupy`，往下就写 `xp.exp`。没有全局开关。引擎里注意力的 softmax：

# %% tags=["engine-source"]
print(inspect.getsource(functional.masked_softmax.forward))

# %% tags=["engine-source"]
print(inspect.getsource(backend.xp_of))

# %% [markdown] lang="en"
# You need no GPU to see that this works. Here is a pretended one: arrays that hold a NumPy array, write
# down each operation, and refuse to mix with arrays of the host, as CuPy's do. A real one would be asked
# for with `minis2s train --backend cupy`.

# %% [markdown] lang="zh"
# 不需要 GPU 也能看到它起作用。下面是一个假装的 GPU：它的数组内部装着 NumPy 数组，记下每个运算，并且像 CuPy 那样拒绝与主机的数组混用。
# 真的 GPU 用 `minis2s train --backend cupy`。

# %%
operations = []  # what the pretended device was asked to do


class DeviceArray:
    """An array of a pretended GPU."""

    __array_ufunc__ = None  # NumPy's functions and operators shall refuse it

    def __init__(self, inside):
        self.inside = inside

    dtype = property(lambda self: self.inside.dtype)
    shape = property(lambda self: self.inside.shape)
    T = property(lambda self: DeviceArray(self.inside.T))


def on_device(name, function):
    def run(*arguments, **options):
        if any(isinstance(a, np.ndarray) for a in arguments):
            raise TypeError(f"{name}: an array of the host among those of the device")
        operations.append(name)
        plain = [a.inside if isinstance(a, DeviceArray) else a for a in arguments]
        return DeviceArray(np.asarray(function(*plain, **options)))

    return run


for name in ("add", "sub", "mul", "truediv", "eq"):
    setattr(DeviceArray, f"__{name}__", on_device(name, getattr(np.ndarray, f"__{name}__")))
for name in ("max", "sum"):
    setattr(DeviceArray, name, on_device(name, getattr(np.ndarray, name)))

pretended = ModuleType("cupy")
pretended.ndarray, pretended.asarray, pretended.finfo = DeviceArray, DeviceArray, np.finfo
for name in ("exp", "where"):
    setattr(pretended, name, on_device(name, getattr(np, name)))


@contextmanager
def pretended_gpu():
    """While it is open the pretended module stands where the engine looks for CuPy."""
    before = sys.modules.get("cupy")
    sys.modules["cupy"] = pretended
    try:
        yield pretended
    finally:
        del sys.modules["cupy"]
        if before is not None:
            sys.modules["cupy"] = before


# %%
scores = random((3, 2, 5))(np.float32)[0]  # (T, B, S)
real = np.array([[True] * 5, [True, True, True, False, False]]).T  # (S, B)
on_host, _ = functional.masked_softmax.forward(scores, real)
with pretended_gpu() as cupy:
    there, _ = functional.masked_softmax.forward(cupy.asarray(scores), cupy.asarray(real))
    assert backend.xp_of(there) is cupy and backend.xp_of(on_host) is np
assert isinstance(there, DeviceArray) and np.array_equal(there.inside, on_host)
print(f"evidence: the same numbers, bit for bit, by {len(operations)} operations of the device:")
print(" ".join(operations))

# %% [markdown] lang="en"
# What does *not* work is a function that says `np.exp` where it means `xp.exp`. On NumPy it runs. On the
# device it fails, and so do the tests of the engine, which run everything on a stand-in like this one:

# %% [markdown] lang="zh"
# *行不通*的，是该写 `xp.exp` 却写了 `np.exp` 的函数。在 NumPy 上它能跑；在设备上它会失败。
# 引擎的测试在类似的替身上跑遍所有函数，也会失败：

# %%
failures = 0
for careless in (lambda x: np.exp(x), lambda x: x + np.ones((3, 2, 5), np.float32)):
    try:
        careless(there)
    except TypeError:
        failures += 1
assert failures == 2
print("evidence: np.exp of a device array and its sum with a host array raise TypeError")

# %% [markdown] lang="en"
# On a real GPU the ladder has other rungs. Each operation in the list above is a *launch*, which costs the
# host some microseconds, whatever the size. So the elementwise lines of an LSTM step become one kernel
# (`minis2s/kernels/`). Reading a number, as with `float(loss)`, makes the host wait for the device. So it
# is done once a step. This lesson measures nothing of that; `benchmarks/gpu.py` does, where there is a GPU.

# %% [markdown] lang="zh"
# 真的 GPU 上，梯子是另一架。上面列出的每个运算都是一次*启动*（launch），无论大小，主机都要花几微秒。
# 所以 LSTM 一步里逐元素的各行合成一个核函数（`minis2s/kernels/`）。读出一个数，比如 `float(loss)`，会让主机等待设备，所以每步只做一次。
# 这些本课都没有测；有 GPU 的时候由 `benchmarks/gpu.py` 来测。

# %% [markdown] lang="en"
# ## 18. Exercises
#
# Each exercise has a cell with a hole and a cell that checks it. The check raises with the name of the
# exercise until the hole is filled. None of the checks looks at a clock: they count products, compare numbers
# and measure memory.

# %% [markdown] lang="zh"
# ## 18. 练习
#
# 每个练习有一个留空的单元和一个检查的单元。空没有填好之前，检查会带着练习的名字报错。
# 检查都不看时钟：它们数乘积的个数，比较数值，测量内存。

# %% [markdown] lang="en"
# ### Exercise 1: products after the loop
#
# This is the backward pass of a simple recurrent network, $h = \tanh(x W_x + h_{prev} W_h + b)$. It has
# four products at each step. Write it with one product at each step and three after the loop. Shapes: dhs
# (T, B, H); x (T, B, D); hs (T+1, B, H), of which hs[0] is the start state; it returns dx (T, B, D), dh0
# (B, H), dWx (D, H), dWh (H, H) and db (H,).

# %% [markdown] lang="zh"
# ### 练习 1：乘积放到循环之后
#
# 下面是简单循环网络 $h = \tanh(x W_x + h_{prev} W_h + b)$ 的反向传播，每步有四个乘积。请改写成每步一个乘积、循环之后三个。
# 形状：dhs (T, B, H)；x (T, B, D)；hs (T+1, B, H)，其中 hs[0] 是初始状态；返回 dx (T, B, D)、dh0 (B, H)、dWx (D, H)、dWh (H, H)
# 和 db (H,)。

# %%
def slow_rnn_backward(dhs, x, hs, Wx, Wh):
    dx, dWx, dWh, db = np.zeros(x.shape), np.zeros(Wx.shape), np.zeros(Wh.shape), np.zeros(len(Wh))
    dh = np.zeros(dhs.shape[1:])
    for t in reversed(range(len(dhs))):
        dz = (dh + dhs[t]) * (1 - hs[t + 1] ** 2)
        dx[t] = dz @ Wx.T
        dWx += x[t].T @ dz
        dWh += hs[t].T @ dz
        db += dz.sum(axis=0)
        dh = dz @ Wh.T
    return dx, dh, dWx, dWh, db


def my_rnn_backward(dhs, x, hs, Wx, Wh):
    raise NotImplementedError("fill in my_rnn_backward")


# %% [markdown] lang="en"
# <details><summary><b>Hint 1</b></summary>
#
# Only `dh` is needed inside the loop. Keep the dz of all steps in one array (T, B, H).
#
# </details>
#
# <details><summary><b>Hint 2</b></summary>
#
# Which state met Wh at step t? `hs` has one state more than there are steps. `a.reshape(-1, a.shape[2])` puts
# all steps below each other.
#
# </details>

# %% [markdown] lang="zh"
# <details><summary><b>提示 1</b></summary>
#
# 循环里只需要 `dh`。把所有时间步的 dz 存进一个 (T, B, H) 的数组。
#
# </details>
#
# <details><summary><b>提示 2</b></summary>
#
# 第 t 步与 Wh 相乘的是哪个状态？`hs` 比时间步多一个。`a.reshape(-1, a.shape[2])` 把所有时间步上下叠起来。
#
# </details>

# %%
class Counted(np.ndarray):
    """An array that counts the matrix products in which it takes part; results are plain arrays."""

    products = 0

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        Counted.products += ufunc is np.matmul
        if out is not None:
            options["out"] = tuple(np.asarray(a) for a in out)
        return getattr(ufunc, method)(*(np.asarray(a) for a in inputs), **options)


# %% tags=["raises-exception"]
with exercise("Exercise 1, products after the loop"):
    steps = 7
    raw = random((steps, 3, 5), (steps, 3, 4), (steps + 1, 3, 5), (4, 5), (5, 5))
    inputs = [np.tanh(a) for a in raw(np.float64)]
    expected = slow_rnn_backward(*inputs)
    Counted.products = 0
    found = my_rnn_backward(*(a.copy().view(Counted) for a in inputs))
    for name, mine, theirs in zip(("dx", "dh0", "dWx", "dWh", "db"), found, expected, strict=True):
        assert mine.shape == theirs.shape, f"{name} should have shape {theirs.shape}, got {mine.shape}"
        assert difference(mine, theirs) < 1e-12, f"{name} has other numbers"
    assert Counted.products <= steps + 3, f"{Counted.products} products, {steps + 3} are enough"

# %% [markdown] lang="en"
# ### Exercise 2: find the bug
#
# `fast_backward` goes back through the loop of the same network: from dhs (T, B, H) and dh_last (B, H) to
# dz (T, B, H) and dh0 (B, H). The version below is right. The folded cell makes one with one line changed,
# in the name of speed. Please leave it folded. On the first call it gives the right numbers. A test that
# calls once is green. See what happens on the second call with the same arguments.
#
# Write your guess as `{"old line": "new line"}`. The check makes your change, and calls both versions three
# times.

# %% [markdown] lang="zh"
# ### 练习 2：找错
#
# `fast_backward` 沿同一个网络的循环往回走：从 dhs (T, B, H) 和 dh_last (B, H) 到 dz (T, B, H) 和 dh0 (B, H)。
# 下面这个版本是对的。折叠的单元为了“更快”改了其中一行，请不要展开。第一次调用，数值正确；只调用一次的测试会通过。
# 再看看用同样的参数第二次调用会怎样。
#
# 把你的猜测写成 `{"old line": "new line"}`。检查会照你的猜测修改，并把两个版本各调用三次。

# %%
def fast_backward(dhs, dh_last, hs, Wh):
    dz = np.empty_like(dhs)
    WhT = np.ascontiguousarray(Wh.T)
    dh = dh_last.copy()
    for t in reversed(range(len(dhs))):
        dh += dhs[t]
        slope = 1 - hs[t + 1] ** 2
        dz[t] = dh * slope
        dh = dz[t] @ WhT
    return dz, dh


def changed(changes):
    """fast_backward with some lines replaced: changes is {old: new}."""
    return with_changes(changes, fast_backward)


def three_calls(function):
    """What three calls with the same arguments return."""
    arguments = random((4, 2, 3), (2, 3), (5, 2, 3), (3, 3), seed=6)(np.float64)
    arguments[2] = np.tanh(arguments[2])
    return [[part.copy() for part in function(*arguments)] for _ in range(3)]


# %% jupyter={"source_hidden": true} tags=["hide-input"]
hidden = changed({"dh = dh_last.copy()": "dh = dh_last"})

# %%
right = three_calls(fast_backward)
for call, (theirs, ours) in enumerate(zip(three_calls(hidden), right, strict=True), start=1):
    wrong_steps = [t for t in range(4) if not np.allclose(theirs[0][t], ours[0][t])]
    error = difference(theirs, ours)
    print(f"call {call}: relative difference {error:.0e}, wrong steps of dz: {wrong_steps}")

# %%
my_guess = {"old line": "new line"}

# %% [markdown] lang="en"
# <details><summary><b>Hint 1</b></summary>
#
# The function has no memory of its own. What else can carry something from the first call to the second?
#
# </details>
#
# <details><summary><b>Hint 2</b></summary>
#
# `a += b` changes the array a, and everybody else who holds it sees the change. `a = a + b` makes a new one.
# Which argument could be hit by a line with `+=`?
#
# </details>

# %% [markdown] lang="zh"
# <details><summary><b>提示 1</b></summary>
#
# 函数自己没有记忆。还有什么能把第一次调用的东西带到第二次？
#
# </details>
#
# <details><summary><b>提示 2</b></summary>
#
# `a += b` 改的是数组 a 本身，谁拿着它谁就看到改动；`a = a + b` 产生新数组。带 `+=` 的那一行会碰到哪个参数？
#
# </details>

# %% tags=["raises-exception"]
with exercise("Exercise 2, find the bug"):
    assert my_guess != {"old line": "new line"}, "write your guess into my_guess"
    for call, (mine, theirs) in enumerate(
        zip(three_calls(changed(my_guess)), three_calls(hidden), strict=True), start=1
    ):
        assert difference(mine, theirs) < 1e-12, f"on call {call} your change gives other numbers"

# %% [markdown] lang="en"
# ### Exercise 3: a few rows at a time
#
# Write `my_log_softmax(logits)`, logits (N, V) to log-probabilities (N, V):
#
# $$out_{nv} = a_{nv} - \log \sum_w e^{a_{nw}}, \qquad a_{nv} = logits_{nv} - \max_w logits_{nw}$$
#
# It must leave its argument as it is, and may need little more memory than its result: at most 1.25 times
# that. All at once it needs more than twice as much.

# %% [markdown] lang="zh"
# ### 练习 3：一次几行
#
# 写 `my_log_softmax(logits)`，从 logits (N, V) 到对数概率 (N, V)：
#
# $$out_{nv} = a_{nv} - \log \sum_w e^{a_{nw}}, \qquad a_{nv} = logits_{nv} - \max_w logits_{nw}$$
#
# 不可改动参数；所需内存只能比结果多一点：至多 1.25 倍。所有行一起算要两倍以上。

# %%
def my_log_softmax(logits):
    raise NotImplementedError("fill in my_log_softmax")


# %% [markdown] lang="en"
# <details><summary><b>Hint 1</b></summary>
#
# Make the result with `np.empty_like`, and fill it 16 rows at a time: `rows = slice(start, start + 16)`.
#
# </details>
#
# <details><summary><b>Hint 2</b></summary>
#
# With N = 500 the last block has fewer rows than the others. A slice that reaches beyond the end is no error.
#
# </details>

# %% [markdown] lang="zh"
# <details><summary><b>提示 1</b></summary>
#
# 用 `np.empty_like` 建结果，每次填 16 行：`rows = slice(start, start + 16)`。
#
# </details>
#
# <details><summary><b>提示 2</b></summary>
#
# N = 500 时最后一块行数较少。切片超出末尾并不是错误。
#
# </details>

# %% tags=["raises-exception"]
with exercise("Exercise 3, a few rows at a time"):
    (logits,) = random((500, 1000))(np.float64)
    logits *= 1000  # exp of these overflows, unless the maximum is subtracted first
    given = logits.copy()
    tracemalloc.start()
    found = my_log_softmax(given)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.array_equal(given, logits), "the argument has been changed"
    assert found.shape == logits.shape, f"shape {logits.shape} is expected, got {found.shape}"
    assert difference(found, functional.log_softmax(logits)) < 1e-12, "other numbers than the engine's"
    assert peak <= 1.25 * logits.nbytes, f"the peak is {peak / logits.nbytes:.2f} times the result"

# %% [markdown] lang="en"
# ## 19. What to read next
#
# * J. Appleyard, T. Kočiský and P. Blunsom, "Optimizing performance of recurrent neural networks on GPUs",
#   arXiv:1604.01946, 2016: rungs 1, 2 and 4 as they are climbed on a GPU.
# * K. Goto and R. van de Geijn, "Anatomy of high-performance matrix multiplication", ACM Transactions on
#   Mathematical Software 34, 2008: what happens inside `@`.
# * G. Amdahl, "Validity of the single processor approach to achieving large scale computing capabilities",
#   AFIPS Conference Proceedings 30, 1967: the law of section 15, on three pages.
# * S. Williams, A. Waterman and D. Patterson, "Roofline: an insightful visual performance model for multicore
#   architectures", Communications of the ACM 52, 2009: why rungs 8 and 11 are about memory, and the products
#   are not.
# * D. Knuth, "Structured programming with go to statements", Computing Surveys 6, 1974: where "premature
#   optimization" comes from; read the sentence in its place.
#
# And the code: `minis2s/functional/naive.py` beside `minis2s/functional/lstm.py`, `minis2s/nn/live_rows.py`,
# `minis2s/train/parallel.py`, and the scripts in `benchmarks/`.

# %% [markdown] lang="zh"
# ## 19. 接着读什么
#
# * J. Appleyard, T. Kočiský 和 P. Blunsom, "Optimizing performance of recurrent neural networks on GPUs",
#   arXiv:1604.01946, 2016：在 GPU 上怎样爬第 1、2、4 级。
# * K. Goto 和 R. van de Geijn, "Anatomy of high-performance matrix multiplication", ACM Transactions on
#   Mathematical Software 34, 2008：`@` 里面发生了什么。
# * G. Amdahl, "Validity of the single processor approach to achieving large scale computing capabilities",
#   AFIPS Conference Proceedings 30, 1967：第 15 节的定律，一共三页。
# * S. Williams, A. Waterman 和 D. Patterson, "Roofline: an insightful visual performance model for multicore
#   architectures", Communications of the ACM 52, 2009：为什么第 8 和第 11 级关乎内存，而乘积不是。
# * D. Knuth, "Structured programming with go to statements", Computing Surveys 6, 1974：“过早优化”一语的出处，
#   请在原文的上下文里读它。
#
# 还有代码：`minis2s/functional/naive.py` 与 `minis2s/functional/lstm.py` 对照，`minis2s/nn/live_rows.py`，
# `minis2s/train/parallel.py`，以及 `benchmarks/` 里的脚本。
