"""Right and wrong answers to the exercises of lessons/01_softmax.py."""


# %% Exercise 1, wrong: dtau is not summed over the entries that share tau
def temperature_softmax(z, tau):
    p = softmax(z / tau)

    def backward(dp):
        ds = softmax_backward(dp, p)
        return ds / tau, (-ds * z / tau**2).mean()

    return p, backward


# %% Exercise 1
def temperature_softmax(z, tau):
    s = z / tau
    p = softmax(s)

    def backward(dp):
        # p = softmax(s)
        ds = softmax_backward(dp, p)
        # s = z / tau; every entry uses the same tau
        return ds / tau, (ds * -z / tau**2).sum()

    return p, backward


# %% Exercise 2, wrong: the tokens are summed, not averaged
old_line, new_line = "dlogits = dlogits * dloss / N", "dlogits = dlogits * dloss"

# %% Exercise 2
# 0.75 = 9 / 12: divided by all T * B places, padding included, in place of the N real tokens
old_line, new_line = "dlogits = dlogits * dloss / N", "dlogits = dlogits * dloss / mask.size"


# %% Exercise 3, wrong: any scores
def blind_scores():
    return np.arange(8.0).reshape(2, 4)


# %% Exercise 3
# equal scores give equal weights, and a sum with equal weights is a mean: so it is with attention that
# has not learned anything yet, where all scores are near 0
def blind_scores():
    return np.zeros((2, 4))
