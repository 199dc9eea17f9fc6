"""What the gates of a recurrent layer did at each step: taken out of a cache, and drawn."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from minis2s.backend import to_numpy
from minis2s.data.vocabulary import PAD
from minis2s.functional.gru import GRUCache, GRUStepCache
from minis2s.functional.lstm import LSTMCache, LSTMStepCache
from minis2s.functional.rnn import RNNCache, RNNStepCache
from minis2s.models.encoder import EncoderCache
from minis2s.models.seq2seq import LossCache, Seq2SeqCache
from minis2s.nn.live_rows import RaggedCache
from minis2s.nn.recurrent import BidirectionalCache, LookupCache, StackCache
from minis2s.plots.style import (
    MOST_NAMED,
    SHARES,
    SIGNED,
    Figure,
    font_note,
    quiet_matplotlib,
    size_for,
    usable_fonts,
    without_font,
    write_tokens,
)

Gates = dict[str, np.ndarray]  # name -> (T, H)


def gate_activations(cache: tuple, row: int = 0) -> dict[str, Gates]:
    """The gates and states in a cache, for one sentence of the batch: layer -> name -> (T, H).

    cache: of a recurrent layer, a Bidirectional, a Stack, the Encoder or a whole Seq2Seq (of
    `forward` or `loss`). The names are those of the equations: i, f, o, g, c, h for an LSTM, r, u, n, h
    for a GRU, h for an RNN. Padded steps are left out, and a layer that read backwards is turned round:
    row t is always token t. Layers are called "encoder.0", "encoder.0.backwards", "decoder.0"; of a
    layer alone the name is "0". Where a decoder read tokens of its own, only the cache of `loss` knows which
    of its steps were padding; with that of `forward` they all stay.

    Raises ValueError for a cache without gates, or a row that the batch has not.
    """
    counted = None
    if isinstance(cache, LossCache):
        counted, cache = counted_steps(cache, row), cache.model
    if isinstance(cache, Seq2SeqCache):
        found = {f"encoder.{name}": gates for name, gates in layers_of(cache.encoder.rnn, row)}
        decoder = cache.decoder
        fed = to_numpy(decoder.fed)[:, row]
        if decoder.parallel:
            layers = layers_of(decoder.steps[0].cells, row)
        else:
            layers = steps_of([step.cells for step in decoder.steps], row)
        for name, gates in layers:
            # the decoder has no mask where nothing is skipped: padding is what did not count, or was fed as such
            T = len(next(iter(gates.values())))
            real = fed[:T] != PAD if counted is None else counted[:T]
            found[f"decoder.{name}"] = {gate: values[real] for gate, values in gates.items()}
        return found
    if isinstance(cache, EncoderCache):
        cache = cache.rnn
    return dict(layers_of(cache, row))


def counted_steps(cache: LossCache, row: int) -> np.ndarray | None:
    """Which target steps of a sentence counted in the loss, (T,); None where only the real ones were read out."""
    fed = cache.model.decoder.fed
    if cache.model.decoder.real is not None:
        return None
    check_row(row, fed.shape[1])
    counted = np.zeros(fed.shape, dtype=bool)
    for block in cache.blocks:
        counted[block.places] = to_numpy(block.cross_entropy.weight) > 0
    return counted[:, row]


def layers_of(cache: tuple, row: int) -> Iterator[tuple[str, Gates]]:
    """The layers of a Stack, or one layer, each with its name and gates."""
    layers = cache.layers if isinstance(cache, StackCache) else [cache]
    for n, layer in enumerate(layers):
        if isinstance(layer, BidirectionalCache):
            yield str(n), real_gates(layer.forwards, row)
            backwards = real_gates(layer.backwards, row)
            yield f"{n}.backwards", {name: values[::-1] for name, values in backwards.items()}
        else:
            yield str(n), real_gates(layer, row)


def real_gates(cache: tuple, row: int) -> Gates:
    """The gates of one layer at the real steps of one sentence, in the order in which it read them."""
    if isinstance(cache, LookupCache):
        cache = cache.inner
    if isinstance(cache, RaggedCache):
        check_row(row, cache.shape[1])
        order = cache.plan.order
        place = row if order is None else int(np.flatnonzero(order == row)[0])
        parts = [
            real_gates(part, place)
            for segment, part in zip(cache.plan.segments, cache.segments, strict=True)
            if place < segment.rows
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    if not isinstance(cache, LSTMCache | GRUCache | RNNCache):
        raise ValueError(
            f"expected the cache of a recurrent layer, an encoder or a Seq2Seq, got {type(cache).__name__}"
        )
    check_row(row, cache.hs.shape[1])
    hs = to_numpy(cache.hs)[1:, row]
    if isinstance(cache, LSTMCache):
        i, f, o, g = to_numpy(cache.gates)[:, :, row].transpose(1, 0, 2)
        gates = {"i": i, "f": f, "o": o, "g": g, "c": to_numpy(cache.cs)[1:, row], "h": hs}
    elif isinstance(cache, GRUCache):
        r, u, n = np.split(to_numpy(cache.gates)[:, row], 3, axis=-1)
        gates = {"r": r, "u": u, "n": n, "h": hs}
    else:
        gates = {"h": hs}
    if cache.mask is None:
        return gates
    real = to_numpy(cache.mask)[:, row]
    return {name: values[real] for name, values in gates.items()}


def steps_of(caches: Sequence[StackCache], row: int) -> Iterator[tuple[str, Gates]]:
    """The layers of a decoder that went step by step, from one StackCache for each step."""
    for n in range(len(caches[0].layers)):
        steps = [step_gates(cache.layers[n], row) for cache in caches]
        yield str(n), {name: np.stack([step[name] for step in steps]) for name in steps[0]}


def step_gates(cache: tuple, row: int) -> dict[str, np.ndarray]:
    """The gates (H,) of one step; states that its cache does not keep are computed from what it keeps."""
    if not isinstance(cache, LSTMStepCache | GRUStepCache | RNNStepCache):
        raise ValueError(f"expected the cache of a step of a recurrent layer, got {type(cache).__name__}")
    h_prev = to_numpy(cache.h_prev)
    check_row(row, len(h_prev))
    if isinstance(cache, LSTMStepCache):
        i, f, o, g = to_numpy(cache.gates)[:, row]
        c = f * to_numpy(cache.c_prev)[row] + i * g
        return {"i": i, "f": f, "o": o, "g": g, "c": c, "h": o * to_numpy(cache.tanh_c)[row]}
    if isinstance(cache, GRUStepCache):
        r, u = np.split(to_numpy(cache.ru)[row], 2)
        n = to_numpy(cache.n)[row]
        return {"r": r, "u": u, "n": n, "h": (1 - u) * n + u * h_prev[row]}
    return {"h": to_numpy(cache.h)[row]}


def check_row(row: int, B: int) -> None:
    if not 0 <= row < B:
        raise ValueError(f"row must be one of the {B} sentences of the batch, 0 to {B - 1}, got {row}")


# -- the picture --------------------------------------------------------------------------------------


def plot_gates(
    gates: Mapping[str, np.ndarray] | Mapping[str, Mapping[str, np.ndarray]],
    tokens: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
) -> tuple[Figure, str]:
    """A heat map for each gate of each layer: time from left to right, one line for each unit.

    gates: name -> (T, H), or layer -> name -> (T, H), as `gate_activations` gives them.  tokens: what
    was read at the T steps; where layers read different texts, one list for each layer, or for each
    part: {"encoder": [...], "decoder": [...]}. Gates of which nothing is below zero are drawn from 0
    to 1, all others with the same colours on both sides of zero.

    Raises ValueError, naming layer and gate, for no gates, arrays of other shapes or with values that
    are not finite, and another number of tokens.
    """
    layers = {
        layer: {name: np.asarray(values) for name, values in named.items()}
        for layer, named in by_layer(gates).items()
    }
    texts = {layer: tokens_of(layer, tokens) for layer in layers}
    for layer, named in layers.items():
        check_gates(layer, named, texts[layer])
    names = list(dict.fromkeys(name for named in layers.values() for name in named))
    with quiet_matplotlib():
        from matplotlib import figure as mpl

        written = [token for text in texts.values() for token in text or ()]
        fonts = usable_fonts(written)
        steps = max(values.shape[0] for named in layers.values() for values in named.values())
        width = size_for(steps, 0.15, 2, 6)
        heights = [size_for(next(iter(named.values())).shape[1], 0.06, 1.6, 5) for named in layers.values()]
        figure = mpl.Figure(
            figsize=(min(width * len(names), 24), min(sum(heights), 24)), layout="constrained"
        )
        panels = figure.subplots(
            len(layers), len(names), squeeze=False, gridspec_kw={"height_ratios": heights}
        )
        for row, (layer, named) in zip(panels, layers.items(), strict=True):
            for axes, name in zip(row, names, strict=True):
                if name not in named:
                    axes.set_axis_off()
                    continue
                draw_gate(figure, axes, named[name])
                axes.set_title(f"{layer} {name}".strip())
                axes.set_xlabel("step")
                if texts[layer] is not None:
                    write_tokens(axes.xaxis, texts[layer], fonts, most=40)
            row[0].set_ylabel("unit")
        lacking = without_font(written, fonts)
    return figure, sentence_about(layers) + font_note(lacking)


def by_layer(gates: Mapping) -> dict[str, Mapping[str, np.ndarray]]:
    """The two forms of gates as one: layer -> name -> (T, H), the layer "" where none was named."""
    nested = [isinstance(value, Mapping) for value in gates.values()]
    if not nested or (all(nested) and not all(gates.values())):
        raise ValueError("there are no gates to draw: expected name -> (T, H), or layer -> name -> (T, H)")
    if any(nested) != all(nested):
        raise ValueError("gates are name -> (T, H), or layer -> name -> (T, H) throughout, got a mixture")
    return dict(gates) if all(nested) else {"": gates}


def tokens_of(layer: str, tokens) -> Sequence[str] | None:
    """The text that a layer read: its own, or that of its part ("encoder" for "encoder.0")."""
    if not isinstance(tokens, Mapping):
        return tokens
    return tokens.get(layer, tokens.get(layer.partition(".")[0]))


def check_gates(layer: str, named: Mapping[str, np.ndarray], tokens: Sequence[str] | None) -> None:
    first = next(iter(named.values())).shape
    for name, values in named.items():
        where = f"gate {name} of {layer}" if layer else f"gate {name}"
        if values.ndim != 2 or 0 in values.shape:
            raise ValueError(f"{where}: expected an array (T, H), got shape {values.shape}")
        if values.shape != first:
            raise ValueError(
                f"{where}: expected the shape {first} of the others of its layer, got {values.shape}"
            )
        if not np.isfinite(values).all():
            raise ValueError(f"{where}: some values are not finite")
        if tokens is not None and len(tokens) != len(values):
            raise ValueError(f"{where}: {len(values)} steps need as many tokens, got {len(tokens)}")


def draw_gate(figure: Figure, axes, values: np.ndarray) -> None:
    """One heat map of values (T, H)."""
    limit = max(1.0, float(np.abs(values).max()))
    share = values.min() >= 0
    image = axes.imshow(
        values.T, cmap=SHARES if share else SIGNED, vmin=0 if share else -limit, vmax=limit, aspect="auto",
        interpolation="nearest",
    )  # fmt: skip
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.yaxis.get_major_locator().set_params(integer=True)
    figure.colorbar(image, ax=axes)


def sentence_about(layers: Mapping[str, Mapping[str, np.ndarray]]) -> str:
    """The means, and the unit that moves most: of the gates between 0 and 1 where there are any."""
    entries = [(layer, name, values) for layer, named in layers.items() for name, values in named.items()]
    means, before = [], ""
    for layer, name, values in entries[:MOST_NAMED]:
        said = f"{layer} " if layer != before else ""
        means.append(f"{said}{name} {values.mean():.2f}")
        before = layer
    more = ", ..." if len(entries) > MOST_NAMED else ""
    shares = [entry for entry in entries if entry[2].min() >= 0 and entry[2].max() <= 1]
    layer, name, values = max(shares or entries, key=lambda entry: np.ptp(entry[2], axis=0).max())
    unit = int(np.ptp(values, axis=0).argmax())
    place = f"gate {name} of {layer}" if layer else f"gate {name}"
    return (
        f"The means over steps and units are {', '.join(means)}{more}; what moves most is unit {unit} of {place}, "
        f"between {values[:, unit].min():.2f} and {values[:, unit].max():.2f}."
    )
