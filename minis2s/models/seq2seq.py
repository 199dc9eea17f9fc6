"""The whole model: encoder, bridge and decoder, its loss, and the three words of decoding.

Training calls `loss` and `backward`. Decoding calls `start` once, then `step` for every token,
with `take` to drop, repeat or re-order hypotheses; it needs to know no more than that.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from minis2s import functional as F
from minis2s.backend import Array, xp_of
from minis2s.models.decoder import Decoder, DecoderState, Memory
from minis2s.models.encoder import BRIDGES, Bridge, Encoder
from minis2s.nn import CELLS, Attention, Bidirectional, Embedding, Layer, Linear, Stack
from minis2s.nn.attention import SCORES
from minis2s.nn.live_rows import plan_for

LOGITS = 2**22  # numbers: what is made of the logits at a time; see Seq2Seq.loss


@dataclass(frozen=True)
class ModelConfig:
    """What a Seq2Seq model is built of, its two vocabularies aside; it is saved beside the weights.

    hidden is the size of the decoder's states and of the encoder's memory: each direction of a
    bidirectional encoder has half of it. decoder is "luong" or "bahdanau"; with attention "none"
    it is the plain fixed-vector one whatever `decoder` says.

    Raises ValueError, naming the option and what came, for a value out of its range.
    """

    cell: str = "lstm"
    layers: int = 1
    bidirectional: bool = True
    embed: int = 128
    hidden: int = 256
    attention: str = "general"
    decoder: str = "luong"
    input_feeding: bool = False
    bridge: str = "copy"
    dropout: float = 0.0

    def __post_init__(self):
        for name, known in (
            ("cell", tuple(CELLS)),
            ("attention", ("none", *SCORES)),
            ("decoder", ("luong", "bahdanau")),
            ("bridge", BRIDGES),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        for name in ("layers", "embed", "hidden"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.bidirectional and self.hidden % 2:
            raise ValueError(
                f"a bidirectional encoder gives half of hidden to each direction: it must be even, got {self.hidden}"
            )


class Seq2SeqCache(NamedTuple):
    encoder: tuple
    bridge: list
    decoder: tuple


class LossBlock(NamedTuple):
    """Some of the tokens, on their way from the attentional states to the loss."""

    places: tuple[slice, slice]  # of the tokens, by step and sentence
    output: tuple
    cross_entropy: tuple


class LossCache(NamedTuple):
    model: Seq2SeqCache
    blocks: list[LossBlock]
    share: float | Array  # what a token's surprise counts in the loss: 1 (sum) or 1/N (mean)
    attentional: Array  # (T, B, H)  the states that the blocks were cut of, for their shape


class SearchState(NamedTuple):
    """What decoding carries from token to token, for N hypotheses."""

    memory: Memory  # arrays (S, N, ...), or (S, N/k, ...): each column serves k hypotheses side by side
    decoder: DecoderState  # arrays (N, ...)


class Seq2Seq(Layer):
    """Source tokens in, scores of target tokens out; the sizes are those of the two vocabularies.

    `rng` draws the initial weights; a generator spawned from it stays with the model as
    ``model.rng``, for dropout masks and teacher-forcing coins. Passing it to `loss` or `forward`
    means training; without it there is no dropout and nothing random.
    """

    def __init__(
        self,
        config: ModelConfig,
        source_size: int,
        target_size: int,
        *,
        rng: np.random.Generator,
        dtype=np.float32,
    ):
        self.config = config
        self.rng = rng.spawn(1)[0]
        c, options = config, {"rng": rng, "dtype": dtype}
        cell = CELLS[c.cell]

        def encoder_layer(in_size: int):
            if not c.bidirectional:
                return cell(in_size, c.hidden, **options)
            half = c.hidden // 2
            return Bidirectional(cell(in_size, half, **options), cell(in_size, half, **options))

        self.encoder = Encoder(
            Embedding(source_size, c.embed, **options),
            Stack(
                [encoder_layer(c.embed if n == 0 else c.hidden) for n in range(c.layers)], dropout=c.dropout
            ),
            dropout=c.dropout,
        )
        self.bridge = Bridge(
            c.bridge,
            c.hidden,
            c.hidden,
            encoder_layers=c.layers,
            decoder_layers=c.layers,
            state_parts=cell.state_parts,
            **options,
        )
        kind = "plain" if c.attention == "none" else c.decoder
        extra = c.hidden if kind == "bahdanau" or c.input_feeding else 0
        attended = kind != "plain"
        self.decoder = Decoder(
            kind,
            Embedding(target_size, c.embed, **options),
            Stack(
                [cell(c.embed + extra if n == 0 else c.hidden, c.hidden, **options) for n in range(c.layers)],
                dropout=c.dropout,
            ),
            Attention(c.attention, c.hidden, c.hidden, **options) if attended else None,
            Linear(2 * c.hidden, c.hidden, **options) if attended else None,
            Linear(c.hidden, target_size, **options),
            input_feeding=c.input_feeding,
            dropout=c.dropout,
        )

    # -- training ---------------------------------------------------------------------------------

    def forward(
        self,
        src: Array,
        src_mask: Array | None,
        tgt_in: Array,
        *,
        coins: Array | None = None,
        real: Array | None = None,
        rng: np.random.Generator | None = None,
        stepwise: bool = False,
        output: bool = True,
    ):
        """src (S, B), src_mask (S, B), tgt_in (T, B) -> (logits (T, B, V), cache).

        coins, real, rng, stepwise and output: see `Decoder.forward`.
        """
        (values, last), encoder_cache = self.encoder.forward(src, src_mask, rng=rng)
        cells, bridge_cache = self.bridge.forward(last)
        out, decoder_cache = self.decoder.forward(
            values,
            src_mask,
            cells,
            tgt_in,
            coins=coins,
            real=real,
            rng=rng,
            stepwise=stepwise,
            output=output,
        )
        return out, Seq2SeqCache(encoder_cache, bridge_cache, decoder_cache)

    def loss(
        self,
        batch,
        *,
        rng: np.random.Generator | None = None,
        teacher_forcing: float = 1.0,
        coins: Array | None = None,
        smoothing: float = 0.0,
        reduction: str = "mean",
        stepwise: bool = False,
    ):
        """The cross-entropy of a data.Batch, in nats per real token ("mean") or in all ("sum").

        teacher_forcing is the chance that a step is given the right token rather than the model's
        own: a coin for each sentence and step, drawn from `rng`; or pass the coins (T, B) yourself.

        Logits are the largest arrays of all where V is large. So they are made, and turned into surprise,
        for a block of tokens at a time.

        Returns (loss, cache).
        """
        if coins is None and teacher_forcing < 1:
            if rng is None:
                raise ValueError("teacher_forcing below 1 draws coins: pass rng (or the coins)")
            coins = xp_of(batch.tgt_in).asarray(rng.random(batch.tgt_in.shape) < teacher_forcing)
        targets, mask = batch.tgt_out, batch.tgt_mask
        at_once = coins is None and self.decoder.parallel and not stepwise
        real = mask if at_once and plan_for(mask) is not None else None
        if real is not None:
            targets, mask = targets[real][None], None
        attentional, model_cache = self.forward(
            batch.src,
            batch.src_mask,
            batch.tgt_in,
            coins=coins,
            real=real,
            rng=rng,
            stepwise=stepwise,
            output=False,
        )
        share = 1.0 if reduction == "sum" else 1 / mean_over(targets, mask, attentional.dtype)
        loss, blocks = 0.0, []
        for places in self.blocks(attentional):
            logits, output_cache = self.decoder.output.forward(attentional[places])
            part = None if mask is None else mask[places]
            surprise, loss_cache = F.cross_entropy.forward(logits, targets[places], part, smoothing, "sum")
            loss = loss + surprise * share
            blocks.append(LossBlock(places, output_cache, loss_cache))
        return loss, LossCache(model_cache, blocks, share, attentional)

    def blocks(self, attentional: Array) -> list[tuple[slice, slice]]:
        """Some steps at a time of (T, B, H), such that their logits are about LOGITS numbers; on a GPU all at once.

        Of (1, N, H), the real tokens alone, it is some tokens at a time.
        """
        T, B = attentional.shape[:2]
        V = self.decoder.output.W.data.shape[1]
        long, others = (T, B) if T > 1 else (B, T)
        size = max(1, LOGITS // (V * max(1, others)) if xp_of(attentional) is np else long)
        count = max(1, -(-long // size))
        stretches = [slice(long * n // count, long * (n + 1) // count) for n in range(count)]
        return [(s, slice(None)) if T > 1 else (slice(None), s) for s in stretches]

    def backward(self, dloss: float, cache: LossCache) -> None:
        """Adds the gradient of ``dloss * loss`` to every Parameter."""
        dattentional = xp_of(cache.attentional).empty_like(cache.attentional)
        for places, output_cache, loss_cache in cache.blocks:
            # no name for dlogits: it is freed as soon as the output layer has been through it
            dattentional[places] = self.decoder.output.backward(
                F.cross_entropy.backward(dloss * cache.share, loss_cache), output_cache
            )
        self.backward_out(dattentional, cache.model)

    def backward_out(self, dout: Array, cache: Seq2SeqCache) -> None:
        """dout of what `forward` returned: adds the gradients of all weights that took part."""
        dvalues, dcells = self.decoder.backward(dout, cache.decoder)
        dlast = self.bridge.backward(dcells, cache.bridge)
        self.encoder.backward((dvalues, dlast), cache.encoder)

    # -- decoding ---------------------------------------------------------------------------------

    def start(self, src: Array, src_mask: Array | None) -> SearchState:
        """Encode src (S, B); the state before the first target token."""
        (values, last), _ = self.encoder.forward(src, src_mask)
        cells, _ = self.bridge.forward(last)
        (memory, state), _ = self.decoder.start(values, src_mask, cells)
        attention = self.decoder.attention
        if attention is not None and attention.folds:
            memory = memory._replace(keys=attention.fold(memory.keys), folded=True)
        return SearchState(memory, state)

    def step(self, state: SearchState, tokens: Array) -> tuple[Array, SearchState]:
        """The last tokens (N,) -> (log-probabilities of the next ones (N, V), next state)."""
        embedding = self.decoder.embedding
        few = self.decoder.takes_lookups and embedding.lookup_pays(tokens)
        x, _ = embedding.lookup(tokens) if few else embedding.forward(tokens)
        (attentional, decoder_state), _ = self.decoder.step(x, state.decoder, state.memory)
        logits, _ = self.decoder.output.forward(attentional)
        return F.log_softmax(logits), SearchState(state.memory, decoder_state)

    def take(self, state: SearchState, index: Array) -> SearchState:
        """The state whose hypothesis n is hypothesis ``index[n]`` of this one."""
        memory, (cells, feed) = state
        columns = memory_columns(index, cells[0][0].shape[0] // memory.values.shape[1])
        unmoved = isinstance(columns, np.ndarray) and np.array_equal(
            columns, np.arange(memory.values.shape[1])
        )
        if not unmoved:
            values, keys, mask, folded = memory
            mask = None if mask is None else mask[:, columns]
            memory = Memory(values[:, columns], keys[:, columns], mask, folded)
        return SearchState(
            memory,
            DecoderState(
                [tuple(part[index] for part in layer) for layer in cells],
                None if feed is None else feed[index],
            ),
        )

    def describe(self) -> str:
        return f"{self.config.cell}, attention {self.config.attention}"


def mean_over(targets: Array, mask: Array | None, dtype) -> float | Array:
    """The number of real tokens that a mean is taken over, at least 1; on a GPU it stays there."""
    if mask is None:
        return max(targets.size, 1)
    return xp_of(mask).maximum(mask.sum(), 1).astype(dtype)


def memory_columns(index: Array, k: int) -> Array:
    """Which columns of the memory the rows `index` (M,) need, where each column served k rows side by side.

    One for all rows of a sentence where these are equally many, side by side; else one for each row. The
    rows of the result must be found without a wait, so on a GPU there is one for each row.
    """
    columns = index // k
    if not isinstance(columns, np.ndarray) or columns.size == 0:
        return columns
    first = np.flatnonzero(np.concatenate(([True], columns[1:] != columns[:-1])))
    each, rest = divmod(columns.size, first.size)
    if rest or (columns.reshape(first.size, each) != columns[first][:, None]).any():
        return columns
    return columns[first]


def attention_weights(cache: Seq2SeqCache) -> Array:
    """The attention weights (T, B, S) of a forward call, for a heat map.

    Raises ValueError when the model has no attention.
    """
    steps = cache.decoder.steps
    if steps[0].attention is None:
        raise ValueError("this model has no attention to show")
    weights = [step.attention.softmax.weights for step in steps]
    return xp_of(weights[0]).concatenate(weights, axis=0)
