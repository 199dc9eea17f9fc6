"""Right and wrong answers to the exercises of lessons/09_decoding.py."""


# %% Exercise 1, wrong: a text that was cut can beat a finished one
def with_bonus(hypotheses, beta):
    return max(hypotheses, key=lambda h: h.log_prob + beta * (len(h.tokens) + h.finished)).tokens


# %% Exercise 1
def with_bonus(hypotheses, beta):
    allowed = [h for h in hypotheses if h.finished] or hypotheses
    return max(allowed, key=lambda h: h.log_prob + beta * (len(h.tokens) + h.finished)).tokens


# %% Exercise 2, wrong: a score over the length without EOS does not shorten what a beam without penalty finds
my_guess = {"finished.append((log_prob / penalty(length,": "finished.append((log_prob / penalty(length - 1,"}

# %% Exercise 2
my_guess = {"if not live:": "if finished:"}


# %% Exercise 3, wrong: the loss is minus the log-probability
def blame(model, example, found):
    if found.tokens == example.target:
        return "right"
    loss, _ = model.loss(make_batch([example]), reduction="sum")
    return "search error" if loss > found.log_prob else "model error"


# %% Exercise 3
def blame(model, example, found):
    if found.tokens == example.target:
        return "right"
    loss, _ = model.loss(make_batch([example]), reduction="sum")
    return "search error" if -loss > found.log_prob else "model error"
