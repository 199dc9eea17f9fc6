"""Right and wrong answers to the exercises of lessons/gradient_check.py."""


# %% Exercise 1, wrong: the second term of the product rule is missing
def swish(x):
    s = sigmoid(x)
    y = x * s

    def backward(dy):
        return dy * s

    return y, backward


# %% Exercise 1
def swish(x):
    s = sigmoid(x)
    y = x * s

    def backward(dy):
        return dy * (s + x * s * (1 - s))

    return y, backward


# %% Exercise 2, wrong: another line that makes db too small
my_guess = {"db = dz.sum(axis=0)": "db = dz[0]"}

# %% Exercise 2
my_guess = {"db = dz.sum(axis=0)": "db = dz.mean(axis=0)"}

# %% Exercise 3, wrong: a lazy check, which sees no more than half of the bugs
my_check = lazy_check


# %% Exercise 3
def my_check(pair):
    forward, backward = pair
    rng = np.random.default_rng(2)
    T, B, D, H = 3, 2, 3, 2
    shapes = (T, B, D), (B, H), (B, H), (D, 4 * H), (H, 4 * H), (4 * H,)
    inputs = [rng.standard_normal(shape) for shape in shapes]
    mask = np.array([[True, True], [True, True], [True, False]])
    out, cache = forward(*inputs, mask)
    upstream = tuple(rng.standard_normal(part.shape) for part in out)
    worst = 0.0
    for k, got in enumerate(backward(upstream, cache)):

        def loss(value):
            out, _ = forward(*inputs[:k], value, *inputs[k + 1 :], mask)
            return sum((part * R).sum() for part, R in zip(out, upstream))

        expected = numeric_gradient(loss, inputs[k])
        worst = max(worst, np.abs(got - expected).max() / np.abs(expected).max())
    return worst
