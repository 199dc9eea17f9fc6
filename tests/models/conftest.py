"""Small models and a small batch that hide nothing, and what the tests of models/ share.

The batch is ragged, has repeated ids, an empty source (EOS alone) and an empty target; the weights
are not small and no bias is zero: with less, wrong gradients pass.
"""

from collections.abc import Callable

import numpy as np
import pytest

from minis2s.data import Batch, Example, make_batch
from minis2s.gradcheck import check_loss
from minis2s.models import Bridge, Encoder, ModelConfig, Seq2Seq
from minis2s.models.decoder import Decoder
from minis2s.nn import CELLS, Attention, Bidirectional, Embedding, Layer, Linear, Stack

SOURCE_SIZE, TARGET_SIZE = 8, 9

EXAMPLES = [
    Example([5, 4, 7, 4], [4, 5, 4]),
    Example([6, 6], []),
    Example([], [7, 7, 8, 4]),
    Example([4, 7, 6], [8]),
]


class Tools:
    """Making models and batches, running them, comparing what comes out."""

    EXAMPLES = EXAMPLES
    SOURCE_SIZE, TARGET_SIZE = SOURCE_SIZE, TARGET_SIZE

    @staticmethod
    def batch(*rows: int) -> Batch:
        """The batch of some of the examples, of all without rows."""
        return make_batch(EXAMPLES, rows or None)

    @staticmethod
    def model(seed: int = 1, dtype=np.float64, **config) -> Seq2Seq:
        """A tiny model with weights 0.7 * N(0, 1), biases included."""
        options = {"embed": 3, "hidden": 4} | config
        rng = np.random.default_rng(seed)
        model = Seq2Seq(ModelConfig(**options), SOURCE_SIZE, TARGET_SIZE, rng=rng, dtype=dtype)
        return Tools.scatter_weights(model, rng)

    @staticmethod
    def uneven_model(
        decoder: str,
        attention: str,
        *,
        cell: str = "lstm",
        encoder_layers: int = 2,
        decoder_sizes: tuple[int, ...] = (5, 4),
        seed: int = 1,
        input_feeding: bool = False,
        dropout: float = 0.0,
    ) -> Seq2Seq:
        """A model put together by hand, in which no two sizes are equal, so that none can be mixed up."""
        rng = np.random.default_rng(seed)
        options = {"rng": rng, "dtype": np.float64}
        model = Seq2Seq(ModelConfig(cell=cell), SOURCE_SIZE, TARGET_SIZE, **options)
        E_source, half, E, H = 2, 3, 7, decoder_sizes[-1]
        M = 2 * half
        make = CELLS[cell]

        def both(in_size):
            return Bidirectional(make(in_size, half, **options), make(in_size, half, **options))

        model.encoder = Encoder(
            Embedding(SOURCE_SIZE, E_source, **options),
            Stack([both(E_source if n == 0 else M) for n in range(encoder_layers)], dropout=dropout),
            dropout=dropout,
        )
        bridges = [
            Bridge(
                "projection",
                M,
                size,
                encoder_layers=encoder_layers,
                decoder_layers=1,
                state_parts=make.state_parts,
                **options,
            )
            for size in decoder_sizes
        ]
        model.bridge = bridges[0] if len(bridges) == 1 else Bridges(bridges)
        extra = M if decoder == "bahdanau" else H if input_feeding else 0
        sizes = [E + extra, *decoder_sizes]
        model.decoder = Decoder(
            decoder,
            Embedding(TARGET_SIZE, E, **options),
            Stack(
                [make(i, o, **options) for i, o in zip(sizes, decoder_sizes, strict=False)], dropout=dropout
            ),
            Attention(attention, H, M, 9, **options),
            Linear(M + H, H, **options),
            Linear(H, TARGET_SIZE, **options),
            input_feeding=input_feeding,
            dropout=dropout,
        )
        return Tools.scatter_weights(model, rng)

    @staticmethod
    def scatter_weights(layer: Layer, rng: np.random.Generator) -> Layer:
        """Every weight of `layer` becomes 0.7 * N(0, 1)."""
        for parameter in layer.parameters().values():
            parameter.data[...] = 0.7 * rng.standard_normal(parameter.data.shape)
        return layer

    @staticmethod
    def run(model: Seq2Seq, batch: Batch, dloss: float = 1.0, *, rng_seed: int | None = None, **options):
        """(loss, gradients by name) of one training call; a seed fixes dropout masks and coins."""
        if rng_seed is not None:
            options["rng"] = np.random.default_rng(rng_seed)
        model.zero_grad()
        loss, cache = model.loss(batch, **options)
        model.backward(dloss, cache)
        return loss, {name: p.grad.copy() for name, p in model.parameters().items()}

    @staticmethod
    def check_gradients(model, batch, *, rng_seed=None, all_entries=False, tolerance=1e-7, **options) -> None:
        """Every block of the gradient against differences; the upstream gradient is not 1."""
        upstream = -1.3

        def loss() -> float:
            rng = {} if rng_seed is None else {"rng": np.random.default_rng(rng_seed)}
            return upstream * float(model.loss(batch, **rng, **options)[0])

        _, gradients = Tools.run(model, batch, upstream, rng_seed=rng_seed, **options)
        weights = {name: p.data for name, p in model.parameters().items()}
        report = check_loss(loss, weights, gradients, fast=not all_entries, seed=3)
        assert report.ok, report
        assert {block.name for block in report.blocks} == weights.keys()
        assert all(block.error <= tolerance for block in report.blocks), report

    @staticmethod
    def close(got, expected, tolerance: float, name: str = "") -> None:
        """Assert max |got - expected| <= tolerance * max |expected|, shapes equal."""
        got, expected = np.asarray(got), np.asarray(expected)
        assert got.shape == expected.shape, f"{name}: {got.shape} is not {expected.shape}"
        scale = max(float(np.abs(expected).max(initial=0)), 1e-300)
        error = float(np.abs(got - expected).max(initial=0)) / scale
        assert error <= tolerance, f"{name}: relative error {error:.2e}"

    @staticmethod
    def close_gradients(got: dict, expected: dict, tolerance: float) -> None:
        """The same for every block of two gradients; a block that is all zero must be so in both."""
        assert got.keys() == expected.keys()
        for name, gradient in expected.items():
            Tools.close(got[name], gradient, tolerance, name)

    @staticmethod
    def arrays(x) -> list[np.ndarray]:
        """Every array inside nested tuples and lists, caches included."""
        if isinstance(x, np.ndarray):
            return [x]
        return [a for item in x for a in Tools.arrays(item)] if isinstance(x, tuple | list) else []

    @staticmethod
    def forced_log_probs(model: Seq2Seq, batch: Batch, reorder: Callable | None = None) -> np.ndarray:
        """Log-probabilities (T, B, V) of decoding step by step along tgt_in.

        reorder: called at each step with the order of the columns, gives an index for `take`.
        """
        state = model.start(batch.src, batch.src_mask)
        order = np.arange(batch.src.shape[1])
        out = []
        for tokens in batch.tgt_in:
            log_probs, state = model.step(state, tokens[order])
            whole = np.full(log_probs.shape, np.nan)
            whole[order] = log_probs
            out.append(whole)
            if reorder is not None:
                index = reorder(order)
                state, order = model.take(state, index), order[index]
        return np.stack(out)


class Bridges(Layer):
    """One projection bridge for each decoder layer, for decoders whose layers differ in size."""

    def __init__(self, bridges: list[Bridge]):
        self.bridges = bridges

    def forward(self, states):
        pairs = [bridge.forward(states) for bridge in self.bridges]
        return [out[0] for out, _ in pairs], [cache for _, cache in pairs]

    def backward(self, dstates, caches):
        total = None
        for bridge, dstate, cache in zip(self.bridges, dstates, caches, strict=True):
            dlast = bridge.backward([dstate], cache)
            if total is None:
                total = dlast
            else:
                total = [
                    tuple(None if a is None else a + b for a, b in zip(left, right, strict=True))
                    for left, right in zip(total, dlast, strict=True)
                ]
        return total


@pytest.fixture
def tools() -> type[Tools]:
    return Tools
