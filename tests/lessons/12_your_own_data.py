"""Right and wrong answers to the exercises of lessons/12_your_own_data.py."""


# %% Exercise 1, wrong: lines are drawn, and a source lands in both parts
def my_split(pairs, dev, rng):
    order = rng.permutation(len(pairs))
    cut = round(dev * len(pairs))
    return [pairs[i] for i in order[cut:]], [pairs[i] for i in order[:cut]]


# %% Exercise 1, wrong: the seed changes nothing
def my_split(pairs, dev, rng):
    sources = list(dict.fromkeys(pair.source for pair in pairs))
    held_out = set(sources[: round(dev * len(sources))])
    return [p for p in pairs if p.source not in held_out], [p for p in pairs if p.source in held_out]


# %% Exercise 1, wrong: only one answer of each source is kept
def my_split(pairs, dev, rng):
    one = list({pair.source: pair for pair in pairs}.values())
    order = rng.permutation(len(one))
    cut = round(dev * len(one))
    return [one[i] for i in order[cut:]], [one[i] for i in order[:cut]]


# %% Exercise 1
def my_split(pairs, dev, rng):
    sources = list(dict.fromkeys(pair.source for pair in pairs))
    order = rng.permutation(len(sources))
    held_out = {sources[i] for i in order[: round(dev * len(sources))]}
    return [p for p in pairs if p.source not in held_out], [p for p in pairs if p.source in held_out]


# %% Exercise 2, wrong: half of the pairs make the interval wider, not a point
my_guess = {"drawn = statistics[rng.integers(n, size=n)]": "drawn = statistics[rng.integers(n, size=n // 2)]"}

# %% Exercise 2, wrong: a point as well, but another one
my_guess = {"drawn = statistics[rng.integers(n, size=n)]": "drawn = statistics[: n // 2]"}

# %% Exercise 2
my_guess = {"rng.integers(n, size=n)": "rng.permutation(n)"}


# %% Exercise 3, wrong: each model has resamples of its own, so the interval is too wide
def my_paired_interval(a, b, rng):
    n = len(a)
    values = []
    for _ in range(1000):
        x, y = a[rng.integers(n, size=n)], b[rng.integers(n, size=n)]
        values.append(x[:, 0].sum() / x[:, 1].sum() - y[:, 0].sum() / y[:, 1].sum())
    return np.quantile(values, [0.025, 0.975])


# %% Exercise 3, wrong: the sign is turned
def my_paired_interval(a, b, rng):
    n = len(a)
    values = []
    for _ in range(1000):
        rows = rng.integers(n, size=n)
        x, y = a[rows], b[rows]
        values.append(y[:, 0].sum() / y[:, 1].sum() - x[:, 0].sum() / x[:, 1].sum())
    return np.quantile(values, [0.025, 0.975])


# %% Exercise 3
def my_paired_interval(a, b, rng):
    n = len(a)
    values = []
    for _ in range(2000):
        rows = rng.integers(n, size=n)
        x, y = a[rows], b[rows]
        values.append(x[:, 0].sum() / x[:, 1].sum() - y[:, 0].sum() / y[:, 1].sum())
    return np.quantile(values, [0.025, 0.975])
