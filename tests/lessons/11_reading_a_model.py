"""Right and wrong answers to the exercises of lessons/11_reading_a_model.py."""


# %% Exercise 1, wrong: the new row itself instead of the change
def estimate(tape, step, row):
    return tape.loss + (tape["attention/backward/dweights"][step, 0] * row).sum()


# %% Exercise 1
# for a large change it is far off: the loss is no straight line
def estimate(tape, step, row):
    change = row - tape["attention/forward/weights"][step, 0]
    return tape.loss + (tape["attention/backward/dweights"][step, 0] * change).sum()


# %% Exercise 2, wrong: labels that are not shuffled show nothing strange on shuffled labels
my_guess = {"y = np.random.default_rng(7).permutation(y)": "y = y"}

# %% Exercise 2
# the probe is judged on the states it was fitted to
my_guess = {"return accuracy(W, new_X, new_y)": "return accuracy(W, X, y)"}


# %% Exercise 3, wrong: the cheapest first
def worst_units(tape, layer, gate, value, n):
    H = tape[f"{layer}/forward/h"].shape[-1]
    return np.argsort([tape.what_if(Pin(layer, gate, value, units=[k])).loss for k in range(H)])[:n]


# %% Exercise 3
def worst_units(tape, layer, gate, value, n):
    H = tape[f"{layer}/forward/h"].shape[-1]
    return np.argsort([-tape.what_if(Pin(layer, gate, value, units=[k])).loss for k in range(H)])[:n]
