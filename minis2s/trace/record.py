"""The record: what a step was made of, as plain arrays; enough to take the step again, anywhere.

It holds no activations. Those come from `replay`, which is exact: the dropout masks and the tokens that
were fed are part of the record, so nothing random is left.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from minis2s import functional as F
from minis2s.backend import to_numpy
from minis2s.errors import UserError
from minis2s.models import Seq2Seq
from minis2s.nn import Bidirectional
from minis2s.nn.attention import SCORES
from minis2s.nn.recurrent import CELLS, GRU

Array = np.ndarray
ARRAYS = (
    "src",
    "src_mask",
    "tgt_in",
    "tgt_out",
    "tgt_mask",
    "fed",
    "coins",
)  # of a Record; None where not there


@dataclass(frozen=True)
class LayerSpec:
    """One recurrent layer in one direction."""

    name: str  # "encoder.0", "encoder.0.backwards", "decoder.1"
    part: str  # "encoder" or "decoder"
    level: int  # 0 is the lowest
    reversed: bool
    cell: str  # "rnn", "lstm" or "gru"
    weights: str  # path of its weights in the model
    size: int  # H, or half of it for a direction
    reset_after: bool = True  # of a GRU


@dataclass(frozen=True)
class Spec:
    """The shape of a model: what `replay` has to know beside the weights."""

    layers: list[LayerSpec]
    decoder: str  # "plain", "luong" or "bahdanau"
    attention: str | None  # kind of the scores
    input_feeding: bool
    bridge: str
    bridge_source: list[int]  # per decoder layer, the encoder layer whose last state it starts from
    dropouts: dict[
        str, float
    ]  # by place: "encoder.input", "encoder.1", "decoder.input", "decoder.1", "readout"

    def of(self, part: str, level: int) -> list[LayerSpec]:
        """The layer at that level; of a bidirectional encoder both directions, left to right first."""
        return [layer for layer in self.layers if (layer.part, layer.level) == (part, level)]

    def layer(self, name: str) -> LayerSpec:
        return next(layer for layer in self.layers if layer.name == name)

    def levels(self, part: str) -> int:
        return 1 + max(layer.level for layer in self.layers if layer.part == part)


@dataclass(frozen=True)
class Record:
    """One step. T target steps, S source positions, B sentences."""

    spec: Spec
    weights: dict[str, Array]  # by path, as Layer.parameters names them
    src: Array  # (S, B)
    src_mask: Array | None  # (S, B)
    tgt_in: Array  # (T, B)  the right tokens, after BOS
    tgt_out: Array  # (T, B)
    tgt_mask: Array  # (T, B)
    fed: Array  # (T, B)  what the decoder did read: with coins, its own tokens among them
    coins: Array | None  # (T, B)  False where the model's own token goes in
    keep: dict[str, Array] = field(default_factory=dict)  # dropout masks by place, (T or S, B, X)
    smoothing: float = 0.0
    share: float = 1.0  # what a token's surprise counts in the loss
    dloss: float = 1.0
    loss: float | None = None  # what the model itself said
    kind: str = "step"  # or "decode"

    def rows(self, index) -> "Record":
        """The record of some sentences only; the same sentence may come several times."""
        index = np.asarray(index)

        def cut(a):
            return None if a is None else a[:, index]

        return replace(
            self,
            src=cut(self.src),
            src_mask=cut(self.src_mask),
            tgt_in=cut(self.tgt_in),
            tgt_out=cut(self.tgt_out),
            tgt_mask=cut(self.tgt_mask),
            fed=cut(self.fed),
            coins=cut(self.coins),
            keep={name: cut(a) for name, a in self.keep.items()},
        )


def attribute(obj, path: str):
    for name in path.split("."):
        obj = obj[int(name)] if name.isdigit() else getattr(obj, name)
    return obj


def spec_of(model: Seq2Seq) -> Spec:
    """The shape of a model.

    Raises UserError for a model that holds other operations than the engine's own: their lines are unknown.
    """
    if not isinstance(model, Seq2Seq):
        raise UserError(f"a trace is made of a Seq2Seq model, got {type(model).__name__}")
    kinds = {cls: name for name, cls in CELLS.items()}
    layers = []

    def add(layer, part: str, level: int, path: str, suffix: str = "", backwards: bool = False):
        if type(layer) not in kinds or not layer.is_plain:
            raise UserError(
                f"the trace writes out the equations of the engine's own RNN, LSTM and GRU; {path} has others "
                f"({type(layer).__name__}, {getattr(getattr(layer, 'op', None), 'name', 'no operation')})"
            )
        reset = layer.reset_after if isinstance(layer, GRU) else True
        name = f"{part}.{level}{suffix}"
        layers.append(
            LayerSpec(name, part, level, backwards, kinds[type(layer)], path, layer.hidden_size, reset)
        )

    for part, stack, path in (
        ("encoder", model.encoder.rnn, "encoder.rnn"),
        ("decoder", model.decoder.cells, "decoder.cells"),
    ):
        for n, layer in enumerate(stack.layers):
            place = f"{path}.layers.{n}"
            if isinstance(layer, Bidirectional):
                add(layer.forwards, part, n, f"{place}.forwards")
                add(layer.backwards, part, n, f"{place}.backwards", ".backwards", True)
            else:
                add(layer, part, n, place)
    attention = model.decoder.attention
    plain = [
        (attention is None or attention.score_op is SCORES[attention.kind], "decoder.attention"),
        (model.decoder.output.op is F.linear, "decoder.output"),
        (model.decoder.combine is None or model.decoder.combine.op is F.linear, "decoder.combine"),
        (model.encoder.embedding.op is F.embedding, "encoder.embedding"),
        (model.decoder.embedding.op is F.embedding, "decoder.embedding"),
    ]
    for is_plain, where in plain:
        if not is_plain:
            raise UserError(f"the trace writes out the engine's own operations; {where} has another one")
    p = {
        "encoder.input": model.encoder.dropout.p,
        "decoder.input": model.decoder.dropout.p,
        "readout": model.decoder.dropout.p,
    }
    p |= {f"encoder.{n}": model.encoder.rnn.dropout.p for n in range(1, len(model.encoder.rnn.layers))}
    p |= {f"decoder.{n}": model.decoder.cells.dropout.p for n in range(1, len(model.decoder.cells.layers))}
    return Spec(
        layers,
        model.decoder.kind,
        None if attention is None else attention.kind,
        model.decoder.input_feeding,
        model.bridge.kind,
        list(model.bridge.source),
        p,
    )


def weights_of(model: Seq2Seq, spec: Spec) -> dict[str, Array]:
    """A copy of all weights by path, on the host; one that two layers share is there under both paths."""
    paths = []
    for layer in spec.layers:
        names = ("Wx", "Wh", "bx", "bh") if layer.cell == "gru" else ("Wx", "Wh", "b")
        paths += [f"{layer.weights}.{name}" for name in names]
    paths += ["encoder.embedding.W", "decoder.embedding.W", "decoder.output.W", "decoder.output.b"]
    if spec.attention is not None:
        paths += ["decoder.combine.W", "decoder.combine.b"]
    if spec.attention == "general":
        paths.append("decoder.attention.W")
    if spec.attention == "additive":
        paths += [f"decoder.attention.{name}" for name in ("keys.W", "keys.b", "Wq", "v")]
    for n in range(len(model.bridge.projections)):
        paths += [f"bridge.projections.{n}.W", f"bridge.projections.{n}.b"]
    # without a bias: as if it were zero
    found = {}
    for path in paths:
        parameter = attribute(model, path)
        if parameter is not None:
            found[path] = np.array(to_numpy(parameter.data))
    return found


def dropout_masks(model_cache, tgt_mask: Array) -> dict[str, Array]:
    """The dropout masks that a step drew, read from the caches that the model returned, by place."""
    encoder, decoder = model_cache.encoder, model_cache.decoder
    found = {}

    def note(name: str, caches: list) -> None:
        """caches: one for all steps, or one per step, (B, X) or (1, B, X) each."""
        if caches[0] is not None:
            masks = [to_numpy(c.keep_mask) for c in caches]
            found[name] = masks[0] if len(masks) == 1 else np.stack([m.reshape(m.shape[-2:]) for m in masks])

    note("encoder.input", [encoder.dropped])
    for n, dropped in enumerate(encoder.rnn.dropped):
        note(f"encoder.{n}", [dropped])
    note("decoder.input", [decoder.dropped] if decoder.parallel else decoder.dropped)
    for n in range(len(decoder.steps[0].cells.dropped)):
        note(f"decoder.{n}", [step.cells.dropped[n] for step in decoder.steps])
    note("readout", [step.readout.dropped for step in decoder.steps])
    if decoder.real is not None and "readout" in found:  # only the real tokens were read out
        packed = found["readout"]
        found["readout"] = np.ones((*tgt_mask.shape, packed.shape[-1]), dtype=bool)
        found["readout"][to_numpy(decoder.real)] = packed[0]
    T, B = tgt_mask.shape
    for name, mask in found.items():  # a target of one step, taken step by step
        if mask.ndim == 2:
            found[name] = mask.reshape(-1, B, mask.shape[-1])
    return found
