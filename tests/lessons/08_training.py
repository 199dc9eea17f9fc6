"""Right and wrong answers to the exercises of lessons/08_training.py."""

# %% Exercise 1, wrong: the step of plain momentum
def nesterov(p, dp, memory, lr, mu=0.9):
    v = mu * memory.get("v", 0) + dp
    memory["v"] = v
    return p - lr * v


# %% Exercise 1, wrong: the old v in the step
def nesterov(p, dp, memory, lr, mu=0.9):
    v = memory.get("v", 0)
    memory["v"] = mu * v + dp
    return p - lr * (dp + mu * v)


# %% Exercise 1
def nesterov(p, dp, memory, lr, mu=0.9):
    v = mu * memory.get("v", 0) + dp
    memory["v"] = v
    return p - lr * (dp + mu * v)


# %% Exercise 2, wrong: no correction of v at all, whose first step is 32 times too large
my_guess = {"v_hat = v / (1 - beta2**t)": "v_hat = v"}

# %% Exercise 2
my_guess = {"v_hat = v / (1 - beta2**t)": "v_hat = v / (1 - beta1**t)"}


# %% Exercise 3, wrong: the scale is forgotten on the way back
def locked_dropout(x, keep, q):
    return x * keep / (1 - q), lambda dy: dy * keep


# %% Exercise 3, wrong: nothing is scaled
def locked_dropout(x, keep, q):
    return x * keep, lambda dy: dy * keep


# %% Exercise 3
def locked_dropout(x, keep, q):
    scale = keep / (1 - q)
    return x * scale, lambda dy: dy * scale
