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
# # A gradient checker on ten broken LSTMs
#
# You have written the backward pass of an LSTM by hand. It is about 40 lines of derivatives.
# It runs. All shapes fit. The loss goes down.
#
# **How do you know that the 40 lines are right?**
#
# This lesson gives an answer. You measure the derivative from the forward pass alone, and compare. Then you
# look at ten backward passes with one mistake each. You guess the mistake before you read what it was.
#
# You need Python, NumPy arrays and the chain rule. About an hour is enough.

# %% [markdown] lang="en"
# ## 1. A derivative, measured
#
# The derivative says how much a function changes when its input changes a little. So change the input a
# little, and look:
#
# $$f'(x) \approx \frac{f(x + h) - f(x - h)}{2h}$$
#
# This is the *central difference*. For an array, do it entry by entry. The loss is one number, so its
# gradient has **the same shape as x**: one slope for each entry.

# %%
import inspect
import sys
from contextlib import contextmanager
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

from minis2s import LSTM, Adam, ModelConfig, Op, Translator, encode_pairs, functional, load_task, make_batch
from minis2s.gradcheck import assert_gradients, gradcheck
from minis2s.gradcheck.properties import properties


# %%
def numeric_gradient(f, x, h=1e-5):
    gradient = np.zeros_like(x)  # the same shape as x
    for index in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[index] = h  # move this one entry, and no other
        gradient[index] = (f(x + step) - f(x - step)) / (2 * h)
    return gradient


# %% [markdown] lang="en"
# Try it on a function whose derivative you know. Here x and R have shape (3, 4), and f(x) is one number:
#
# $$f(x) = \sum_{jk} R_{jk} \tanh(x_{jk})$$
#
# $$\frac{\partial f}{\partial x_{jk}} = R_{jk} (1 - \tanh^2(x_{jk}))$$
#
# R is random. In this lesson it will come back as the *upstream gradient*: what the rest of a network would
# send back to us.

# %%
rng = np.random.default_rng(0)
x = rng.standard_normal((3, 4))
R = rng.standard_normal((3, 4))


def f(x):
    return (R * np.tanh(x)).sum()


exact = R * (1 - np.tanh(x) ** 2)
measured = numeric_gradient(f, x)

error = np.abs(measured - exact).max() / np.abs(exact).max()
assert measured.shape == x.shape and error < 1e-9
print(f"evidence: shape {measured.shape}, relative error {error:.0e} < 1e-9")

# %% [markdown] lang="en"
# ### How small should h be?
#
# "As small as possible" is wrong. Three ways to measure, for many values of h:
#
# * the forward difference, $(f(x + h) - f(x)) / h$;
# * the central difference from above;
# * the *complex step*, $\mathrm{Im} f(x + ih) / h$. NumPy computes with complex numbers, so we may move x in
#   the imaginary direction. Nothing is subtracted.

# %%
steps = 10.0 ** -np.arange(1, 21)


def error_of(difference, h):
    """The largest relative error, over all entries of x, of one way to measure."""
    measured = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        e = np.zeros_like(x)
        e[index] = 1
        measured[index] = difference(e, h)
    return np.abs(measured - exact).max() / np.abs(exact).max()


ways = {
    "forward": lambda e, h: (f(x + h * e) - f(x)) / h,
    "central": lambda e, h: (f(x + h * e) - f(x - h * e)) / (2 * h),
    "complex step": lambda e, h: f(x + 1j * h * e).imag / h,
}
errors = {name: np.array([error_of(way, h) for h in steps]) for name, way in ways.items()}

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
for (name, values), style in zip(errors.items(), ("o-", "s--", "^:"), strict=True):
    axes.loglog(steps, np.maximum(values, 1e-17), style, markersize=4, label=name)
axes.set_xlabel("h")
axes.set_ylabel("relative error")
axes.legend(frameon=False)

assert errors["forward"].min() > 1e-10 and errors["central"].min() < 1e-9
assert errors["complex step"][-1] < 1e-14
print("evidence: best forward > 1e-10, best central < 1e-9, complex step with h = 1e-20 < 1e-14")

# %% [markdown] lang="en"
# Both differences have an error shaped like a U over h, while that of the complex step falls and stays down.

# %% [markdown] lang="en"
# Why a U? The forward difference leaves out the term $h f''/2$ of the Taylor series, and the central one
# leaves out $h^2 f'''/6$: on the right of the picture the error shrinks with h. Every value of f is rounded
# by about $\varepsilon = 10^{-16}$, and dividing the difference by h makes $\varepsilon / h$ of that: on the
# left the error grows again. The best h is where both are equal, near $\varepsilon^{1/2} = 10^{-8}$ for
# forward and near $\varepsilon^{1/3} \approx 10^{-5}$ for central.
#
# The complex step has no difference, so it has no left side.

# %% [markdown] lang="en"
# ## 2. A student's LSTM
#
# An LSTM reads a sequence step by step. It keeps two arrays: the cell state c, its memory, and the hidden
# state h, its output. Four *gates* are computed at each step (Hochreiter and Schmidhuber 1997; the gate f
# came with Gers and others in 2000):
#
# | equation | in words |
# |---|---|
# | $z = x W_x + h_{prev} W_h + b$ | all four gates at once, side by side: i, f, o, g |
# | $i, f, o = \sigma(z_i), \sigma(z_f), \sigma(z_o)$ | input, forget and output gate, between 0 and 1 |
# | $g = \tanh(z_g)$ | the candidate, between -1 and 1 |
# | $c = f \cdot c_{prev} + i \cdot g$ | keep a part of the old, add a part of the new |
# | $h = o \cdot \tanh(c)$ | show a part of the memory |
#
# The shapes: B sentences at once (the batch), T steps, D numbers in, H numbers of state.
#
# | | | | |
# |---|---|---|---|
# | x of one step | (B, D) | Wx | (D, 4H) |
# | h, c, and each gate | (B, H) | Wh | (H, 4H) |
# | z | (B, 4H) | b | (4H,) |
#
# One step forward:

# %%
def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def step_forward(x, h_prev, c_prev, Wx, Wh, b):
    H = h_prev.shape[1]
    z = x @ Wx + h_prev @ Wh + b
    i = sigmoid(z[:, 0 * H : 1 * H])
    f = sigmoid(z[:, 1 * H : 2 * H])
    o = sigmoid(z[:, 2 * H : 3 * H])
    g = np.tanh(z[:, 3 * H : 4 * H])
    c = f * c_prev + i * g
    tanh_c = np.tanh(c)
    h = o * tanh_c
    return h, c, (x, h_prev, c_prev, Wx, Wh, i, f, o, g, c, tanh_c)


# %% [markdown] lang="en"
# Backward is the forward step read from below. `dh` is the gradient of the loss with respect to h. It has the
# shape of h, and so on for every name with a d in front.
#
# | forward | backward |
# |---|---|
# | $h = o \cdot \tanh(c)$ | $do = dh \cdot \tanh(c)$ |
# | | $dc \mathrel{+}= dh \cdot o \cdot (1 - \tanh^2(c))$ |
# | $c = f \cdot c_{prev} + i \cdot g$ | $df = dc \cdot c_{prev}$ and $dc_{prev} = dc \cdot f$ |
# | | $di = dc \cdot g$ and $dg = dc \cdot i$ |
# | $i = \sigma(z_i)$, so too f and o | $dz_i = di \cdot i (1 - i)$ |
# | $g = \tanh(z_g)$ | $dz_g = dg \cdot (1 - g^2)$ |
# | $z = x W_x + h_{prev} W_h + b$ | $dx = dz W_x^T$ and $dW_x = x^T dz$ |
# | | $dh_{prev} = dz W_h^T$ and $dW_h = h_{prev}^T dz$ |
# | | $db$ = the sum of $dz$ over the batch |
#
# Note the `+=` of dc. The cell state reaches the loss in two ways: through h now, and through the next step.
# The second part comes in as the argument `dc`.

# %%
def step_backward(dh, dc, cache):
    x, h_prev, c_prev, Wx, Wh, i, f, o, g, c, tanh_c = cache
    # h = o * tanh(c)
    do = dh * tanh_c
    dc = dc + dh * o * (1 - tanh_c**2)
    # c = f * c_prev + i * g
    df = dc * c_prev
    di = dc * g
    dg = dc * i
    dc_prev = dc * f
    # i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o);  g = tanh(z_g)
    dz_i = di * i * (1 - i)
    dz_f = df * f * (1 - f)
    dz_o = do * o * (1 - o)
    dz_g = dg * (1 - g**2)
    dz = np.concatenate([dz_i, dz_f, dz_o, dz_g], axis=1)
    # z = x Wx + h_prev Wh + b
    dx = dz @ Wx.T
    dWx = x.T @ dz
    dh_prev = dz @ Wh.T
    dWh = h_prev.T @ dz
    db = dz.sum(axis=0)
    return dx, dh_prev, dc_prev, dWx, dWh, db


# %% [markdown] lang="en"
# Now the loop over time. The sentences of a batch have different lengths, so the short ones are filled up
# with *padding*. The mask, of shape (T, B), is True where a step is real. At a padded step the old h and c
# are handed on.

# %%
def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    T, B, D = x.shape
    if mask is None:
        mask = np.ones((T, B), dtype=bool)
    h, c = h0, c0
    hs, caches = [], []
    for t in range(T):
        real = mask[t][:, None]
        h_new, c_new, cache = step_forward(x[t], h, c, Wx, Wh, b)
        h = np.where(real, h_new, h)
        c = np.where(real, c_new, c)
        hs.append(h)
        caches.append((real, cache))
    return (np.stack(hs), h, c), caches


# %% [markdown] lang="en"
# Backward runs from the last step to the first. This is *backpropagation through time* (Werbos 1990). The
# weights are used at every step, so their gradients add up over the steps.

# %%
def lstm_backward(dout, caches):
    dhs, dh, dc = dout  # of all outputs, of the last h, of the last c; None stands for zero
    x, h_prev, c_prev, Wx, Wh = caches[0][1][:5]
    T = len(caches)
    dh = np.zeros_like(h_prev) if dh is None else dh
    dc = np.zeros_like(c_prev) if dc is None else dc
    dx = np.zeros((T, *x.shape), dtype=x.dtype)
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    for t in reversed(range(T)):
        real, cache = caches[t]
        if dhs is not None:
            dh = dh + dhs[t]
        dh_step = np.where(real, dh, 0)
        dc_step = np.where(real, dc, 0)
        dx[t], dh_prev, dc_prev, dWx_t, dWh_t, db_t = step_backward(dh_step, dc_step, cache)
        dWx += dWx_t
        dWh += dWh_t
        db += db_t
        # at a padded step h and c were handed on: so are their gradients
        dh = np.where(real, dh_prev, dh)
        dc = np.where(real, dc_prev, dc)
    return dx, dh, dc, dWx, dWh, db


# %% [markdown] lang="en"
# ### Is it right?
#
# `gradcheck` does what you did above, for every entry of every input and weight. It makes the inputs itself:
# 3 sentences of lengths 4, 2 and 3, a start state that is not zero, random weights and biases. As the loss
# it takes the sum of all outputs, each times its own random number. Then it compares.
#
# We tell it the `kind` of the pair, so that it knows what the arguments mean.

# %%
report = gradcheck((lstm_forward, lstm_backward), kind="lstm")
print(report)

# %%
worst = max(block.error for block in report.blocks)
assert report.ok and worst < 1e-12
print(f"evidence: report.ok, and the largest relative error {worst:.0e} < 1e-12")

# %% [markdown] lang="en"
# All six gradients agree up to rounding. The report has one line for each, with the worst entry and both
# values. "Measured with complex step" names the way: it is the most exact of the three, and this LSTM allows
# it.

# %% [markdown] lang="en"
# ## 3. Ten broken versions
#
# Now the mistakes. Each one is made by replacing a line of the source text above. The function `broken` does
# this. It insists that the old line occurs exactly once, so you can trust that nothing else has changed.

# %%
SOURCE = "\n\n".join(
    inspect.getsource(function) for function in (step_forward, step_backward, lstm_forward, lstm_backward)
)


def broken(changes):
    """The student's pair, with some lines replaced: changes is {old: new}."""
    text = SOURCE
    for old, new in changes.items():
        assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times"
        text = text.replace(old, new)
    names = dict(globals())
    exec(text, names)
    return names["lstm_forward"], names["lstm_backward"]


def look(pair):
    """Check a pair and print the report with its first hint; the view below has the others, closed."""
    report = gradcheck(pair, kind="lstm")
    print(replace(report, hint=1))
    return report


def evidence(report, node, gate, cause):
    """Raise unless the report names this place and this cause, and has found an error above 1 percent."""
    assert not report.ok
    assert (report.place.node, report.place.gate) == (node, gate), report.place
    assert report.cause.cause == cause, report.cause
    assert report.worst.error > 0.01, report.worst
    print(f"evidence: {report.place}; cause: {cause}; largest error {report.worst.error:.0%} > 1 %")


students, reports = {}, {}

# %% [markdown] lang="en"
# The cells that break the pair are folded: their code is hidden. Do it like this:
#
# 1. Read the report. It says only *where* the gradient goes wrong first, going backward from the loss.
# 2. Go back to `step_backward`. Which line makes that quantity? What could be wrong with it? **Guess.**
# 3. Open the hints in the view, one after the other.
# 4. Open "What the student wrote".
#
# ### Bug 1
#
# The first one we read together.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
students[1] = broken({"dz_g = dg * (1 - g**2)": "dz_g = dg"})

# %%
reports[1] = gradcheck(students[1], kind="lstm")
print(reports[1])

# %% [markdown] lang="en"
# From the top:
#
# * **where**: dz is the gradient of z. Of its four blocks only that of gate g is wrong. Step 3 is the last of
#   the steps 0 to 3, so it is the first one in backward. Whatever lies nearer to the loss is right.
# * **why**: the mistake whose numbers are yours. The checker tries some hundred mistakes on a textbook LSTM
#   of its own, where an array over time is written `g[t]`. If several of them give your numbers, it says
#   "likely".
# * **line**: the right line and the wrong one.
# * **gradients**: the errors. All six are wrong, though only one line is. A wrong dz flows into everything.
#   That is why the place is worth more than the list of wrong gradients.
#
# In a notebook the report is also a page, with the hints to open and a map of the errors:

# %%
reports[1]

# %% [markdown] lang="en"
# <details><summary><b>What the student wrote</b></summary>
#
# `dz_g = dg` in place of `dz_g = dg * (1 - g**2)`: the derivative of tanh is forgotten.
#
# </details>

# %%
evidence(reports[1], node="dz", gate="g", cause="wrong derivative")

# %% [markdown] lang="en"
# ### Bug 2
#
# Which gate? Which line makes its gradient, and out of what?

# %% jupyter={"source_hidden": true} tags=["hide-input"]
students[2] = broken({"do = dh * tanh_c": "do = dh * c"})

# %%
reports[2] = look(students[2])
reports[2]

# %% [markdown] lang="en"
# <details><summary><b>What the student wrote</b></summary>
#
# `do = dh * c`: in $h = o \cdot \tanh(c)$ the factor beside o is tanh(c), not c. Near c = 0 the two are
# almost equal, so with small weights this mistake is small, too.
#
# </details>

# %%
evidence(reports[2], node="dz", gate="o", cause="wrong variable")

# %% [markdown] lang="en"
# ### Bug 3
#
# Again one gate. Look at the name of the variable that the forward line uses.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
students[3] = broken({"df = dc * c_prev": "df = dc * c"})

# %%
reports[3] = look(students[3])
reports[3]

# %% [markdown] lang="en"
# <details><summary><b>What the student wrote</b></summary>
#
# `df = dc * c`: the forget gate is multiplied with the *old* cell state, so `c_prev` belongs here. It happens
# easily to those who overwrite one variable `c` in their loop.
#
# </details>

# %%
evidence(reports[3], node="dz", gate="f", cause="wrong variable")

# %% [markdown] lang="en"
# ### Bug 4
#
# No gate this time: dc itself is wrong. How many paths lead from c to the loss?

# %% jupyter={"source_hidden": true} tags=["hide-input"]
students[4] = broken({"dc = dc + dh * o * (1 - tanh_c**2)": "dc = dh * o * (1 - tanh_c**2)"})

# %%
reports[4] = look(students[4])
reports[4]

# %% [markdown] lang="en"
# <details><summary><b>What the student wrote</b></summary>
#
# `dc = dh * o * (1 - tanh_c**2)`, without `dc +`: what the later steps send back to the cell state is thrown
# away. This path is the reason why the LSTM was invented. Without it, training forgets what is far away.
#
# </details>

# %%
evidence(reports[4], node="dc", gate="", cause="carry dropped")

# %% [markdown] lang="en"
# ### Bug 5
#
# The same place as before, and another mistake. Read the line that makes dc: which factors does it need?

# %% jupyter={"source_hidden": true} tags=["hide-input"]
students[5] = broken({"dc = dc + dh * o * (1 - tanh_c**2)": "dc = dc + dh * (1 - tanh_c**2)"})

# %%
reports[5] = look(students[5])
reports[5]

# %% [markdown] lang="en"
# <details><summary><b>What the student wrote</b></summary>
#
# `dc = dc + dh * (1 - tanh_c**2)`: the factor o of $h = o \cdot \tanh(c)$ is missing. A place alone does not
# tell it from bug 4. The numbers do.
#
# </details>

# %%
evidence(reports[5], node="dc", gate="", cause="missing factor")

# %% [markdown] lang="en"
# ### Bug 6
#
# Two gates at once. What do two gates have in common?

# %% jupyter={"source_hidden": true} tags=["hide-input"]
students[6] = broken({"[dz_i, dz_f, dz_o, dz_g]": "[dz_i, dz_f, dz_g, dz_o]"})

# %%
reports[6] = look(students[6])
reports[6]

# %% [markdown] lang="en"
# <details><summary><b>What the student wrote</b></summary>
#
# `[dz_i, dz_f, dz_g, dz_o]`: forward reads the blocks in the order i, f, o, g. The order i, f, g, o is that
# of PyTorch. All shapes fit, and nothing complains.
#
# </details>

# %%
evidence(reports[6], node="dz", gate="og", cause="gate order")

# %% [markdown] lang="en"
# ### Bug 7
#
# Look at the values of `b` in the report: what backward says, and what the differences say.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
students[7] = broken({"dz_f = df * f * (1 - f)": "dz_f = df * f * (f - 1)"})

# %%
reports[7] = look(students[7])
reports[7]

# %% [markdown] lang="en"
# <details><summary><b>What the student wrote</b></summary>
#
# `dz_f = df * f * (f - 1)`: a wrong sign. The gradient of the forget gate points uphill. The report names
# `df`, one line above: a minus in either line gives the same numbers, so no check can tell the two apart.
#
# </details>

# %%
evidence(reports[7], node="dz", gate="f", cause="sign")

# %% [markdown] lang="en"
# ### Bug 8
#
# Now dh is wrong, and only from step 2 on. Which line makes the dh of step 2? It ran at step 3.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
students[8] = broken({"dh_prev = dz @ Wh.T": "dh_prev = dz @ Wh.reshape(dz.shape[1], -1)"})

# %%
reports[8] = look(students[8])
reports[8]

# %% [markdown] lang="en"
# <details><summary><b>What the student wrote</b></summary>
#
# `dh_prev = dz @ Wh.reshape(dz.shape[1], -1)`: NumPy said that the shapes (B, 4H) and (H, 4H) do not fit, and
# `reshape` made them fit. It keeps the order of the numbers in memory. A transpose exchanges rows and
# columns. The shape is the same, the matrix is another.
#
# </details>

# %%
evidence(reports[8], node="dh", gate="", cause="transpose")

# %% [markdown] lang="en"
# ### Bug 9
#
# Everything is wrong, at the last step already. This one is not in `step_backward`.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
students[9] = broken({"for t in reversed(range(T)):": "for t in range(T):"})

# %%
reports[9] = look(students[9])
reports[9]

# %% [markdown] lang="en"
# <details><summary><b>What the student wrote</b></summary>
#
# `for t in range(T):`: the loop runs forward in time. The gradient of the last state is given to the first
# step.
#
# </details>

# %%
evidence(reports[9], node="dh", gate="", cause="time shift")

# %% [markdown] lang="en"
# ### Bug 10
#
# The report speaks of rows of the batch. What is special about these sentences? (Their lengths are 4, 2 and
# 3.)

# %% jupyter={"source_hidden": true} tags=["hide-input"]
students[10] = broken(
    {"dh = np.where(real, dh_prev, dh)": "dh = dh_prev", "dc = np.where(real, dc_prev, dc)": "dc = dc_prev"}
)

# %%
reports[10] = look(students[10])
reports[10]

# %% [markdown] lang="en"
# <details><summary><b>What the student wrote</b></summary>
#
# `dh = dh_prev` and `dc = dc_prev`, without the mask: forward hands h and c on over padding, backward does
# not hand their gradients on. The lines of the report end with "right with no mask": without padding this
# student would never know.
#
# </details>

# %%
evidence(reports[10], node="dh", gate="", cause="mask ignored")

# %% [markdown] lang="en"
# ## 4. A lazy check
#
# Your own six lines would have found these mistakes, too. Or would they? It depends on what you feed them.
# Here is a check as it is often written: one sentence, one step, zero states, the sum of the outputs as the
# loss, and one error for all weights together.

# %%
def lazy_check(pair):
    """The relative error of the gradients of the weights, as one number."""
    forward, backward = pair
    rng = np.random.default_rng(0)
    x, zero = rng.standard_normal((1, 1, 3)), np.zeros((1, 2))  # T = 1, B = 1, D = 3, H = 2
    Wx, Wh, b = rng.standard_normal((3, 8)), rng.standard_normal((2, 8)), rng.standard_normal(8)

    def loss(Wx, Wh, b):
        (hs, h, c), cache = forward(x, zero, zero, Wx, Wh, b)
        return hs.sum()

    (hs, h, c), cache = forward(x, zero, zero, Wx, Wh, b)
    dx, dh0, dc0, *got = backward((np.ones_like(hs), None, None), cache)
    expected = [
        numeric_gradient(lambda W: loss(W, Wh, b), Wx),
        numeric_gradient(lambda W: loss(Wx, W, b), Wh),
        numeric_gradient(lambda W: loss(Wx, Wh, W), b),
    ]
    got, expected = (np.concatenate([part.ravel() for part in parts]) for parts in (got, expected))
    return np.linalg.norm(got - expected) / np.linalg.norm(expected)


# %%
lazy = {n: lazy_check(pair) for n, pair in students.items()}
full = {n: report.worst.error for n, report in reports.items()}
missed = [n for n in students if lazy[n] < 1e-6]

figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
numbers = np.arange(1, 11)
axes.semilogy(numbers, [full[n] for n in numbers], "o", label="gradcheck")
axes.semilogy(numbers, [lazy[n] for n in numbers], "x", label="lazy check")
axes.axhline(1e-6, color="gray", linestyle=":")
axes.set_xticks(numbers)
axes.set_xlabel("bug")
axes.set_ylabel("relative error")
axes.legend(frameon=False, loc="center left")

assert missed == [4, 7, 8, 9, 10] and min(full.values()) > 0.01
print(f"evidence: lazy check below 1e-6 for the bugs {missed}, gradcheck above 1e-2 for all ten")

# %% [markdown] lang="en"
# The crosses below the dotted line are the five bugs of ten that the lazy check calls right.

# %% [markdown] lang="en"
# Why these five?
#
# * With one step nothing comes from a later step (bug 4), and a loop of one step runs in both directions (bug
#   9).
# * The old cell state is zero, so the forget gate has no effect, and its gradient is zero with either sign
#   (bug 7).
# * What goes to the step before ends in dh0, and nobody looked at dh0 (bug 8).
# * Without padding the mask does nothing (bug 10).
#
# The loss `hs.sum()` is lazy as well. For an LSTM it happens to do. The outputs of a softmax always sum to
# one, so there the gradient of the sum is zero, and a backward pass that returns zeros would pass:

# %%
def softmax(z):
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return p, lambda dp: np.zeros_like(z)  # this is no derivative


z = rng.standard_normal((3, 4))
p, backward = softmax(z)
gap = np.abs(backward(np.ones_like(p)) - numeric_gradient(lambda z: softmax(z)[0].sum(), z)).max()
report = gradcheck(softmax, z)

assert gap < 1e-9 and not report.ok
print(f"evidence: with the sum as the loss the error is {gap:.0e} < 1e-9; gradcheck says {report.verdict!r}")

# %% [markdown] lang="en"
# The remedy: several sentences of different lengths, several steps, states and biases that are not zero, a
# random upstream gradient, and one error for *each* gradient.

# %% [markdown] lang="en"
# ## 5. When the check is silent
#
# An eleventh student read the gates in the order of PyTorch, and did so in forward **and** in backward:

# %%
eleventh = broken(
    {
        "o = sigmoid(z[:, 2 * H : 3 * H])": "o = sigmoid(z[:, 3 * H : 4 * H])",
        "g = np.tanh(z[:, 3 * H : 4 * H])": "g = np.tanh(z[:, 2 * H : 3 * H])",
        "[dz_i, dz_f, dz_o, dz_g]": "[dz_i, dz_f, dz_g, dz_o]",
    }
)
report = gradcheck(eleventh, kind="lstm")
assert report.ok
print(f"evidence: {report.summary()}")

# %% [markdown] lang="en"
# The verdict is "right", and that is correct. A gradient check asks one thing only: is backward the
# derivative of *your* forward? It cannot know what you wanted to compute.
#
# Weights from elsewhere would give wrong outputs in this LSTM. What finds it is a look at the forward pass:
# does it compute the stated equations? Does padding leave the outputs alone? Do the sentences of a batch not
# notice each other? The function `properties` asks such questions.

# %%
for finding in properties(eleventh, "lstm"):
    print(finding)

# %%
wrong = [finding.check for finding in properties(eleventh, "lstm") if finding.ok is False]
assert wrong == ["formula"]
assert all(finding.ok for finding in properties((lstm_forward, lstm_backward), "lstm"))
print("evidence: of the eleventh pair the formula is wrong, of the right pair nothing")

# %% [markdown] lang="en"
# The gradient report gives a quiet sign, too. Because we said `kind="lstm"`, it could compare the outputs,
# and adds a note:

# %%
(note,) = report.findings
assert "order i, f, g, o" in note.says
print(f"evidence: {note.says}")

# %% [markdown] lang="en"
# ## 6. Hints in three levels
#
# A whole solution at once teaches little. A report shows as much as its `hint` allows: 1 where, 2 what kind
# of mistake, 3 the line. A teacher who hands out `hint=1` gives away nothing more, neither in the text nor in
# the page. For bug 3:

# %%
for level in (1, 2, 3):
    print(f"hint={level}: {reports[3].hints(level)[-1]}\n")

# %%
report = gradcheck(students[3], kind="lstm", hint=1)
assert "c_prev" not in str(report) and "c_prev" not in report.to_json()
assert "c_prev" in str(reports[3])
print("evidence: with hint=1 the report does not contain the name c_prev, with hint=3 it does")

# %% [markdown] lang="en"
# ## 7. In your tests
#
# A check that you run once protects you once. Put it among your tests. `assert_gradients` raises an
# `AssertionError`, and its message is the report. A file for pytest needs no more than this:


# %%
def test_my_lstm():
    assert_gradients((lstm_forward, lstm_backward), kind="lstm")


test_my_lstm()

try:
    assert_gradients(students[6], kind="lstm")
except AssertionError as failure:
    message = str(failure)
assert "gates o, g" in message
print("evidence: the right pair passes; for bug 6 the message begins with\n" + message.splitlines()[1])

# %% [markdown] lang="en"
# ## 8. In a real model
#
# Your pair can train. The model here reads a word letter by letter (the *encoder*) and writes it backwards
# (the *decoder*). Both have an LSTM, and the layer takes any pair as its operation, `op`.
#
# We train three times from the same weights: with the LSTM of the engine, with yours, and with bug 8.

# %%
words = load_task("reverse", size=400).train
STEPS = 60


def model_with(op):
    """A small model whose two LSTM layers use the pair `op`, and its training examples."""
    translator = Translator.for_pairs(words, ModelConfig(bidirectional=False, embed=16, hidden=24))
    model = translator.model
    rng = np.random.default_rng(0)
    model.encoder.rnn.layers[0] = LSTM(16, 24, rng=rng, op=op)
    model.decoder.cells.layers[0] = LSTM(16, 24, rng=rng, op=op)
    return model, encode_pairs(words, translator.source, translator.target, all_targets=False)


def train(op):
    """Train a new model with `op`; returns it with the loss of each step."""
    model, examples = model_with(op)
    optimizer = Adam(model.parameters(), lr=5e-3)
    rng = np.random.default_rng(1)
    losses = []
    for _ in range(STEPS):
        batch = make_batch(examples, rng.integers(len(examples), size=24))
        model.zero_grad()
        loss, cache = model.loss(batch)
        model.backward(1.0, cache)
        optimizer.step()
        losses.append(float(loss))
    return model, losses


# %%
mine = Op("mine", lstm_forward, lstm_backward)
bug_8 = Op("bug 8", *students[8])
_, engine_losses = train(functional.lstm)
my_model, my_losses = train(mine)
broken_model, broken_losses = train(bug_8)

figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
axes.plot(engine_losses, "-", linewidth=4, alpha=0.4, label="the engine's LSTM")
axes.plot(my_losses, "-", color="black", linewidth=1, label="yours")
axes.plot(broken_losses, "--", label="bug 8")
axes.set_xlabel("training step")
axes.set_ylabel("loss")
axes.legend(frameon=False)

assert max(abs(a - b) for a, b in zip(engine_losses, my_losses, strict=True)) < 1e-3
assert broken_losses[-1] < broken_losses[0] - 0.3
print("evidence: the first two curves differ by less than 1e-3; with bug 8 the loss falls by more than 0.3")

# %% [markdown] lang="en"
# Your LSTM gives the very curve of the engine's, and the loss falls with the broken one as well.

# %% [markdown] lang="en"
# This is why "the loss goes down" proves nothing. A wrong gradient often points roughly downhill.
#
# `gradcheck` takes a whole model. It checks every weight, and says in which layer the gradient goes wrong
# first.

# %%
report = gradcheck(my_model)
assert report.ok and len(report.blocks) == len(my_model.parameters())
print(f"evidence: {report.summary()}")

# %%
report = gradcheck(broken_model)
assert not report.ok and "cells.layers.0" in report.place.layer and report.cause.cause == "transpose"
print(f"evidence: {report.where()}")

# %% [markdown] lang="en"
# The decoder's LSTM is named, and the encoder's has the same bug. Backward comes to the decoder first. Repair
# what is named, and check again.

# %% [markdown] lang="en"
# ## 9. Exercises
#
# Each exercise has a cell with a hole and a cell that checks it. The check raises with the name of the
# exercise until the hole is filled. The solutions are at the end.

# %%
class Unsolved(Exception):
    """What the check of an exercise raises until it is solved."""


@contextmanager
def exercise(name):
    """In a notebook the cell stays red until the exercise is solved; a plain script prints it and goes on."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 -- what fills the hole may raise anything
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        message = f"{name} is not solved yet: {first_line}"
        if "ipykernel" in sys.modules:
            raise Unsolved(message) from None
        print(message)
    else:
        print(f"{name} is solved")


# %% [markdown] lang="en"
# ### Exercise 1: a derivative of your own
#
# $y = x \cdot \sigma(x)$ is called swish. Write its backward pass. The function returns y and a function from
# dy to dx, both with the shape of x.

# %%
def swish(x):
    s = sigmoid(x)
    y = x * s

    def backward(dy):
        raise NotImplementedError("fill in backward of swish")

    return y, backward


# %% tags=["raises-exception"]
with exercise("Exercise 1, swish"):
    report = gradcheck(swish, np.linspace(-2.0, 2.0, 10).reshape(2, 5))
    assert report.ok, report.findings[0].says if report.findings else report.summary()

# %% [markdown] lang="en"
# ### Exercise 2: find the bug
#
# The next cell is folded, please leave it so. It makes a pair with one line changed. You get a report with
# the first hint. Compare the two values of the wrong gradient. Which change of which line makes them?
#
# Write your guess as `{"old line": "new line"}`, as above. The check makes your change and compares all
# gradients with those of the hidden pair. (The checker finds its causes in the same way.)

# %% jupyter={"source_hidden": true} tags=["hide-input"]
hidden_pair = broken({"db = dz.sum(axis=0)": "db = dz.mean(axis=0)"})
print(gradcheck(hidden_pair, kind="lstm", hint=1))

# %%
my_guess = {"old line": "new line"}


# %% tags=["raises-exception"]
def gradients_of(pair):
    forward, backward = pair
    rng = np.random.default_rng(5)
    shapes = (4, 3, 5), (3, 2), (3, 2), (5, 8), (2, 8), (8,)  # x, h0, c0, Wx, Wh, b
    out, cache = forward(*(rng.standard_normal(shape) for shape in shapes))
    return backward(tuple(rng.standard_normal(part.shape) for part in out), cache)


with exercise("Exercise 2, find the bug"):
    assert my_guess != {"old line": "new line"}, "write your guess into my_guess"
    for yours, theirs in zip(gradients_of(broken(my_guess)), gradients_of(hidden_pair), strict=True):
        assert np.allclose(yours, theirs, rtol=1e-10, atol=1e-12), "your change gives other numbers"

# %% [markdown] lang="en"
# ### Exercise 3: a check that is not lazy
#
# Write `my_check(pair)`. It returns the largest relative error that it finds, with `numeric_gradient` and
# inputs of your own. It must stay below 1e-6 for the right pair and be above 1e-3 for all ten bugs. Section 4
# says what it needs. A small size is enough, such as T = 3, B = 2, D = 3, H = 2.

# %%
def my_check(pair):
    raise NotImplementedError("fill in my_check")


# %% tags=["raises-exception"]
with exercise("Exercise 3, my_check"):
    assert my_check((lstm_forward, lstm_backward)) < 1e-6, "the right pair should be below 1e-6"
    for n, pair in students.items():
        assert my_check(pair) > 1e-3, f"bug {n} is not seen"

# %% [markdown] lang="en"
# ## 10. What to read next
#
# * L. F. Richardson, "The approximate arithmetical solution by finite differences of physical problems
#   involving differential equations", Philosophical Transactions of the Royal Society A 210, 1911: two bad
#   differences make a good one. The checker uses it where complex numbers do not work.
# * W. Squire and G. Trapp, "Using complex variables to estimate derivatives of real functions", SIAM Review
#   40, 1998: the complex step, on three pages.
# * S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9, 1997; F. Gers, J.
#   Schmidhuber and F. Cummins, "Learning to forget: continual prediction with LSTM", Neural Computation 12,
#   2000.
# * P. Werbos, "Backpropagation through time: what it does and how to do it", Proceedings of the IEEE 78,
#   1990.
# * R. DeMillo, R. Lipton and F. Sayward, "Hints on test data selection: help for the practicing programmer",
#   Computer 11, 1978: plant mistakes on purpose, and see whether your tests notice. You have just done this.
#
# And the code: `minis2s/functional/lstm.py` has the same LSTM written for speed,
# `minis2s/gradcheck/numeric.py` the derivatives, `minis2s/gradcheck/textbook.py` the backward passes in which
# the checker plants its mistakes.

# %% [markdown] lang="en"
# ## Solutions
#
# <details><summary><b>Exercise 1</b></summary>
#
# The product rule, with $\sigma' = \sigma (1 - \sigma)$:
#
# ```python
# def swish(x):
#     s = sigmoid(x)
#     y = x * s
#
#     def backward(dy):
#         return dy * (s + x * s * (1 - s))
#
#     return y, backward
# ```
#
# </details>
#
# <details><summary><b>Exercise 2</b></summary>
#
# Only db is wrong, and the right value is three times that of backward. The batch has three sentences: db is
# the mean over the batch, and should be the sum. A batch of one would not have shown it.
#
# ```python
# my_guess = {"db = dz.sum(axis=0)": "db = dz.mean(axis=0)"}
# ```
#
# </details>
#
# <details><summary><b>Exercise 3</b></summary>
#
# ```python
# def my_check(pair):
#     forward, backward = pair
#     rng = np.random.default_rng(2)
#     T, B, D, H = 3, 2, 3, 2
#     shapes = (T, B, D), (B, H), (B, H), (D, 4 * H), (H, 4 * H), (4 * H,)
#     inputs = [rng.standard_normal(shape) for shape in shapes]
#     mask = np.array([[True, True], [True, True], [True, False]])
#     out, cache = forward(*inputs, mask)
#     upstream = tuple(rng.standard_normal(part.shape) for part in out)
#     worst = 0.0
#     for k, got in enumerate(backward(upstream, cache)):
#
#         def loss(value):
#             out, _ = forward(*inputs[:k], value, *inputs[k + 1 :], mask)
#             return sum((part * R).sum() for part, R in zip(out, upstream))
#
#         expected = numeric_gradient(loss, inputs[k])
#         worst = max(worst, np.abs(got - expected).max() / np.abs(expected).max())
#     return worst
# ```
#
# </details>
