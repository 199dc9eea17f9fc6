"""Initial weights: each function draws one array from a NumPy generator, in float64.

They are always drawn on the host and moved (and cast) afterwards, so a model starts with the
same weights on NumPy and on CuPy, in float32 and in float64.
"""

import numpy as np


def normal(rng: np.random.Generator, shape: tuple[int, ...], deviation: float) -> np.ndarray:
    """Normal with mean 0 and the given standard deviation.

    For embeddings, whose rows have no fan-in to derive a scale from. The default there, 0.1, lies in
    the range of the recurrent models of the time: 0.046 (uniform +-0.08, Sutskever et al. 2014),
    0.058 (uniform +-0.1, Luong et al. 2015).
    """
    return rng.normal(0.0, deviation, shape)


def glorot_uniform(rng: np.random.Generator, fan_in: int, fan_out: int, blocks: int = 1) -> np.ndarray:
    """(fan_in, blocks * fan_out), uniform with variance 2 / (fan_in + fan_out) in each block.

    That variance is a compromise between keeping the size of activations (1 / fan_in) and of
    gradients (1 / fan_out). Gates that lie side by side are blocks, each with its own fan_out.

    Source: Glorot and Bengio 2010, eq. 16.
    """
    limit = (6.0 / (fan_in + fan_out)) ** 0.5
    return rng.uniform(-limit, limit, (fan_in, blocks * fan_out))


def orthogonal(rng: np.random.Generator, size: int, blocks: int = 1) -> np.ndarray:
    """(size, blocks * size), each block a random orthogonal matrix.

    A recurrent product with it keeps the length of every vector, forward and backward, so at the
    start nothing vanishes or explodes through Wh itself.

    Source: Saxe, McClelland and Ganguli 2014. The QR factor of a Gaussian matrix, with the signs
    fixed, is uniformly distributed (Mezzadri 2007).
    """
    squares = []
    for _ in range(blocks):
        q, r = np.linalg.qr(rng.normal(size=(size, size)))
        squares.append(q * np.sign(np.diag(r)))
    return np.concatenate(squares, axis=1)
