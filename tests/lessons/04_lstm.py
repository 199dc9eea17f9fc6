"""Right and wrong answers to the exercises of lessons/04_lstm.py."""


# %% Exercise 1, wrong: the forget gate is always open, so the values add up
def latch():
    Wx = np.array([[40.0, 0, 0, 0], [0, 0, 0, 20]])
    return Wx, np.zeros((1, 4)), np.array([-20.0, 20, 20, 0])


# %% Exercise 1
def latch():
    Wx = np.array([[40.0, -40, 0, 0], [0, 0, 0, 20]])
    return Wx, np.zeros((1, 4)), np.array([-20.0, 20, 20, 0])


# %% Exercise 2, wrong: half of the derivative is left, the other half
my_guess = {"dz_f = df * f * (1 - f)": "dz_f = df * (1 - f)"}

# %% Exercise 2, wrong: the new cell state for the old one
my_guess = {"df = dc * c_prev": "df = dc * tanh_c"}

# %% Exercise 2
my_guess = {"dz_f = df * f * (1 - f)": "dz_f = df * f"}


# %% Exercise 3, wrong: c reaches h through o as well
def peephole_forward(z, c_prev, p):
    z_i, z_f, z_o, z_g = np.split(z, 4, axis=1)
    i, f, g = sigmoid(z_i + p[0] * c_prev), sigmoid(z_f + p[1] * c_prev), np.tanh(z_g)
    c = f * c_prev + i * g
    o = sigmoid(z_o + p[2] * c)
    return o * np.tanh(c), (c_prev, p, i, f, o, g, c)


def peephole_backward(dh, cache):
    c_prev, p, i, f, o, g, c = cache
    dz_o = dh * np.tanh(c) * o * (1 - o)
    dc = dh * o * (1 - np.tanh(c) ** 2)
    dz_i = dc * g * i * (1 - i)
    dz_f = dc * c_prev * f * (1 - f)
    dz_g = dc * i * (1 - g**2)
    dc_prev = dc * f + dz_i * p[0] + dz_f * p[1]
    dp = np.stack([(dz_i * c_prev).sum(0), (dz_f * c_prev).sum(0), (dz_o * c).sum(0)])
    return np.concatenate([dz_i, dz_f, dz_o, dz_g], axis=1), dc_prev, dp


# %% Exercise 3
def peephole_forward(z, c_prev, p):
    z_i, z_f, z_o, z_g = np.split(z, 4, axis=1)
    i, f, g = sigmoid(z_i + p[0] * c_prev), sigmoid(z_f + p[1] * c_prev), np.tanh(z_g)
    c = f * c_prev + i * g
    o = sigmoid(z_o + p[2] * c)
    return o * np.tanh(c), (c_prev, p, i, f, o, g, c)


def peephole_backward(dh, cache):
    c_prev, p, i, f, o, g, c = cache
    dz_o = dh * np.tanh(c) * o * (1 - o)
    dc = dh * o * (1 - np.tanh(c) ** 2) + dz_o * p[2]
    dz_i = dc * g * i * (1 - i)
    dz_f = dc * c_prev * f * (1 - f)
    dz_g = dc * i * (1 - g**2)
    dc_prev = dc * f + dz_i * p[0] + dz_f * p[1]
    dp = np.stack([(dz_i * c_prev).sum(0), (dz_f * c_prev).sum(0), (dz_o * c).sum(0)])
    return np.concatenate([dz_i, dz_f, dz_o, dz_g], axis=1), dc_prev, dp
