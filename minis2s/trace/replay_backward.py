"""The way back through a replayed step, with the gradient of every state in parts.

The numbers are those of the model's own backward. A part is what arrives by one edge:

    readout         the decoder's top state, from the logits, past the attention
    attention       the decoder's top state as the query; the encoder's top states as what was looked at
    input feeding   the decoder's top state, through the attentional state that the next step read
    recurrent       from the next step, through the weights Wh
    carry           from the next step, past all weights: c through the forget gate, a GRU's h through u
    layer above     h was the input of the layer above
    bridge          the encoder's last state, through the decoder's first
    own h           c, through the h of the same step
"""

from dataclasses import dataclass

import numpy as np

from minis2s import functional as F
from minis2s.nn.attention import SCORES
from minis2s.trace.cells import CELLS, add_part, total
from minis2s.trace.record import LayerSpec, Record
from minis2s.trace.replay import Forward, cell_weights, masked, score_weights

Array = np.ndarray


@dataclass
class Backward:
    """All gradients of a step; the names are those of the forward arrays with a d in front."""

    steps: dict[str, list[dict[str, Array]]]  # by layer, per position, arrays (B, ...) by name
    parts: dict[str, list[dict[str, dict[str, Array]]]]  # by layer, per position, "h" and "c": edge -> (B, H)
    attention: dict[str, Array]  # "dweights", "dscores" (T, B, S), "dcontext" (T, B, M), "dquery" (T, B, H)
    dattentional: Array  # (T, B, H)  of the loss and of input feeding
    dlogits: Array  # (T, B, V)
    dmemory: Array  # (S, B, M)
    dkeys: Array  # (S, B, A)
    dfirst: list[dict[str, Array]]  # per decoder layer, of its initial state, (B, H)
    dlast: list[dict[str, Array]]  # per encoder layer, what the bridge sends to its last state, (B, M)
    gradients: dict[str, Array]  # by path of the weight


def counts(record: Record) -> Array:
    """What the surprise of each token counts in dloss * loss, (T, B)."""
    return (record.dloss * record.share * record.tgt_mask).astype(record.weights["decoder.output.W"].dtype)


def backward(run: Forward, weight: Array | None = None) -> Backward:
    """The gradients of sum over tokens of weight * surprise; weight (T, B), by default that of the loss itself."""
    return _Backward(run, counts(run.record) if weight is None else weight).run()


class _Backward:
    """One walk back; the object holds what is being added up."""

    def __init__(self, fw: Forward, weight: Array):
        self.fw, self.record, self.spec = fw, fw.record, fw.record.spec
        self.gradients = {path: np.zeros_like(w) for path, w in self.record.weights.items()}
        self.dlogits = self._dlogits(weight)
        self.dmemory, self.dkeys = np.zeros_like(fw.memory), np.zeros_like(fw.keys)
        lengths = {layer.name: len(fw.steps[layer.name]) for layer in self.spec.layers}
        self.steps = {name: [{}] * n for name, n in lengths.items()}
        self.parts = {name: [{}] * n for name, n in lengths.items()}
        self.looks: list[dict[str, Array]] = [{}] * len(fw.logits)

    def run(self) -> Backward:
        fw = self.fw
        dattentional, dfirst = self._decoder()
        dlast = self._bridge(dfirst)
        dmemory = self.dmemory.copy()
        if self.spec.attention == "additive":
            # keys = memory W + b
            dmemory += self._linear_backward("decoder.attention.keys", self.dkeys, fw.memory)
        elif self.spec.attention is not None:
            dmemory += self.dkeys
        self._encoder(dmemory if self.spec.attention is not None else None, dlast)
        looks = {name: np.concatenate([look[name] for look in self.looks]) for name in self.looks[0]}
        return Backward(
            self.steps, self.parts, looks, dattentional, self.dlogits, dmemory, self.dkeys, dfirst, dlast,
            self.gradients,
        )  # fmt: skip

    def _dlogits(self, weight: Array) -> Array:
        """surprise = -sum_v target_distribution * log softmax(logits)."""
        smoothing, V = self.record.smoothing, self.fw.probs.shape[-1]
        dlogits = (self.fw.probs - self.fw.probs.dtype.type(smoothing / V)) * weight[..., None]
        t, b = np.indices(weight.shape)
        dlogits[t, b, self.record.tgt_out] -= (1 - smoothing) * weight
        return dlogits

    def _linear_backward(self, path: str, dout: Array, x: Array) -> Array:
        """out = x W + b."""
        W = self.record.weights[f"{path}.W"]
        dout_rows = dout.reshape(-1, W.shape[1])
        self.gradients[f"{path}.W"] += x.reshape(-1, W.shape[0]).T @ dout_rows
        if f"{path}.b" in self.gradients:
            self.gradients[f"{path}.b"] += dout_rows.sum(axis=0)
        return (dout_rows @ W.T).reshape(x.shape)

    def _cell(self, layer: LayerSpec, t: int, dstate: dict, mask: Array | None) -> tuple[Array, dict]:
        """Gradient of the state after step t, in parts -> (dx, of the state before it, in parts)."""
        cell = CELLS[layer.cell]
        weights = cell_weights(self.record, layer)
        step = self.fw.steps[layer.name][t]
        named, parts, dx, before, dweights = cell.backward(dstate, step, weights, mask, layer.reset_after)
        self.steps[layer.name][t], self.parts[layer.name][t] = named, parts
        for name, dweight in zip(cell.weights, dweights, strict=True):
            self.gradients[f"{layer.weights}.{name}"] += dweight
        return dx, before

    def _embedding(self, path: str, ids: Array, dx: Array) -> None:
        np.add.at(self.gradients[path], ids, dx)

    # the decoder, last step first

    def _decoder(self) -> tuple[Array, list[dict[str, Array]]]:
        fw, record, spec = self.fw, self.record, self.spec
        levels = [spec.of("decoder", n)[0] for n in range(spec.levels("decoder"))]
        dout = self._linear_backward("decoder.output", self.dlogits, fw.attentional)
        # the gradient of each layer's state, in parts, as the later steps left it
        dstates = [{name: {} for name in CELLS[layer.cell].state} for layer in levels]
        dfeed = None
        E = record.weights["decoder.embedding.W"].shape[1]
        T = len(fw.logits)
        dattentional, dxs = [None] * T, [None] * T
        for t in reversed(range(T)):
            top = dstates[-1]["h"]
            arriving = {"readout": dout[t]}
            dattentional[t] = dout[t]
            if dfeed is not None:
                # the attentional state was read out, and fed to the next step as well
                arriving["input feeding"] = dfeed
                dattentional[t] = dout[t] + dfeed
            # attentional = tanh([context; h] W + b), then dropout
            dcontexts = {}
            for edge, da in arriving.items():
                da = masked(da, record, "readout", t)
                if spec.attention is None:
                    add_part(top, edge, da)
                    continue
                djoined = self._linear_backward("decoder.combine", da * (1 - fw.mixed[t] ** 2), fw.joined[t])
                M = fw.memory.shape[-1]
                dcontexts[edge] = djoined[:, :M]
                add_part(top, edge, djoined[:, M:])
            if spec.decoder == "luong":
                # context = attend(h); what input feeding asks of the context still comes by input feeding
                for edge, dquery in self._look_backward(t, dcontexts).items():
                    add_part(top, "attention" if edge == "readout" else edge, dquery)
            # the cells, top layer first
            for n in reversed(range(len(levels))):
                dx, dstates[n] = self._cell(levels[n], t, dstates[n], None)
                if n > 0:
                    add_part(dstates[n - 1]["h"], "layer above", masked(dx, record, f"decoder.{n}", t))
            if spec.decoder == "bahdanau":
                # x was [x; context], context = attend(h_prev)
                dcontext = dcontexts["readout"] + dx[:, E:]
                dquery = self._look_backward(t, {"readout": dcontext})["readout"]
                add_part(dstates[-1]["h"], "attention", dquery)
            elif spec.input_feeding:
                dfeed = dx[:, E:]  # x was [x; feed]
            dxs[t] = masked(dx[:, :E], record, "decoder.input", t)
        self._embedding("decoder.embedding.W", fw.fed, np.stack(dxs))
        dfirst = [
            {name: total(parts, fw.first[n][name]) for name, parts in state.items()}
            for n, state in enumerate(dstates)
        ]
        return np.stack(dattentional), dfirst

    def _look_backward(self, t: int, dcontexts: dict[str, Array]) -> dict[str, Array]:
        """dcontext (B, M) of target step t, in parts -> dquery (B, H) in the same parts; adds to dmemory, dkeys."""
        look = self.fw.attended[t]
        score_cache, softmax_cache, sum_cache = look.caches
        op = SCORES[self.spec.attention]
        noted: dict[str, Array] = {}
        dquerys = {}
        for edge, dcontext in dcontexts.items():
            # context = weights values
            dweights, dvalues = F.weighted_sum.backward(dcontext[None], sum_cache)
            # weights = softmax(scores)
            dscores = F.masked_softmax.backward(dweights, softmax_cache)
            dquery, dkeys, *rest = op.backward(dscores, score_cache)
            for path, dweight in zip(score_weights(self.record), rest, strict=True):
                self.gradients[path] += dweight
            self.dmemory += dvalues
            self.dkeys += dkeys
            dquerys[edge] = dquery[0]
            found = {"dcontext": dcontext[None], "dweights": dweights, "dscores": dscores, "dquery": dquery}
            for name, value in found.items():
                add_part(noted, name, value)
        self.looks[t] = noted
        return dquerys

    # the bridge and the encoder

    def _bridge(self, dfirst: list[dict[str, Array]]) -> list[dict[str, Array]]:
        """Gradients of the initial decoder states -> what reaches the last encoder states."""
        dlast: list[dict[str, Array]] = [{} for _ in self.fw.last]
        if self.spec.bridge == "zero":
            return dlast
        for level, source in enumerate(self.spec.bridge_source):
            for n, (name, ds) in enumerate(dfirst[level].items()):
                if self.spec.bridge == "projection":
                    # first = tanh(last W + b)
                    dz = ds * (1 - self.fw.first[level][name] ** 2)
                    path = f"bridge.projections.{level * len(dfirst[level]) + n}"
                    ds = self._linear_backward(path, dz, self.fw.last[source][name])
                add_part(dlast[source], name, ds)
        return dlast

    def _encoder(self, dmemory: Array | None, dlast: list[dict[str, Array]]) -> None:
        record, spec = self.record, self.spec
        S = len(record.src)
        edge, dhs = "attention", dmemory
        for level in reversed(range(spec.levels("encoder"))):
            start, dxs = 0, 0.0
            for layer in spec.of("encoder", level):
                columns = slice(start, start + layer.size)
                start += layer.size
                state = {name: {} for name in CELLS[layer.cell].state}
                for name, ds in dlast[level].items():
                    add_part(state[name], "bridge", ds[:, columns])
                dx = [None] * S
                for t in range(S) if layer.reversed else reversed(range(S)):
                    if dhs is not None:
                        add_part(state["h"], edge, dhs[t][:, columns])
                    mask = None if record.src_mask is None else record.src_mask[t]
                    dx[t], state = self._cell(layer, t, state, mask)
                dxs = dxs + np.stack(dx)
            place = f"encoder.{level}" if level > 0 else "encoder.input"
            dhs, edge = masked(dxs, record, place), "layer above"
        self._embedding("encoder.embedding.W", record.src, dhs)


def stacked(steps: list[dict[str, Array]]) -> dict[str, Array]:
    """Per position arrays (B, X) by name -> arrays (T, B, X) by name; an edge that is not there at a position is 0."""
    names = list(dict.fromkeys(name for step in steps for name in step))
    out = {}
    for name in names:
        like = next(step[name] for step in steps if name in step)
        out[name] = np.stack([step.get(name, np.zeros_like(like)) for step in steps])
    return out
