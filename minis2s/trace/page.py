"""The page: one sentence of a tape as a dict of plain lists, which is what the viewer shows.

Numbers are rounded to six significant digits. Of layers with more than 16 units, 16 are shown, spread
evenly, and fewer where there are many layers; lengths and losses are those of all units.
"""

from collections.abc import Sequence

import numpy as np

from minis2s.errors import UserError
from minis2s.trace import replay, replay_backward
from minis2s.trace.beam_tree import best_node
from minis2s.trace.bptt import EDGES, GradientPaths
from minis2s.trace.cells import CELLS, gru_equations
from minis2s.trace.page_values import Words, rounded
from minis2s.trace.page_what_if import what_if_page
from minis2s.trace.record import LayerSpec, Record

Array = np.ndarray
UNITS = 16  # of a layer, at most
COLUMNS = 40  # units of all layers together: what keeps the page of 12 tokens under 300 KB
OF_PATHS = 4  # digits of the lengths of paths, which are only compared with each other
TOP = 5
FORWARD_HIDDEN = ("x",)  # the input, of another size, is not shown unit by unit
BACKWARD_HIDDEN = ("dx",)


def page(tape, row: int, *, source=None, target=None, title: str | None = None) -> dict:
    """The page of one sentence of a tape.

    source, target: Codec or Vocabulary of the two sides, or None: then tokens are shown as numbers.
    """
    record = tape.record.rows([row])
    S = len(record.src) if record.src_mask is None else int(record.src_mask[:, 0].sum())
    T = int(record.tgt_mask[:, 0].sum())
    words = Words(source, target)
    run, paths = replay.forward(record), tape.bptt(row)
    if not all(np.isfinite(a).all() for a in (run.surprise, *paths.dx.values())):
        raise UserError(
            "this step has numbers that are not finite (a training that diverged?): there is nothing to show"
        )
    top = tape.record.spec.of("decoder", tape.record.spec.levels("decoder") - 1)[0]
    most = most_units([layer.size for layer in record.spec.layers])
    name = "A decode, step by step" if record.kind == "decode" else "A training step, step by step"
    return {
        "version": 1,
        "title": name if title is None else title,
        "row": row,
        "source": [words.source(i) for i in record.src[:S, 0]],
        "target_in": [words.target(i) for i in run.fed[:T, 0]],
        "target_out": [words.target(i) for i in record.tgt_out[:T, 0]],
        "H": top.size,
        "units": shown_units(top.size, most).tolist(),
        "loss": rounded(run.loss),
        "losses": rounded(run.surprise[:T, 0]),
        "asks_first": record.spec.decoder == "bahdanau",
        "bridge": bridge_page(record),
        "layers": [layer_page(layer, most, run, paths, words, S, T) for layer in record.spec.layers],
        "attention": attention_page(run, S, T),
        "targets": targets_page(record, run),
        "outputs": outputs_page(run, words, T),
        "bptt": bptt_page(record, paths, S, T),
        "what_if": what_if_page(tape, row, words, S, T),
        "beam": beam_page(tape, row, words),
    }


def most_units(sizes: Sequence[int]) -> int:
    """How many units of a layer are shown at most, for layers of these sizes."""
    fits = (n for n in range(UNITS, 0, -1) if sum(min(n, size) for size in sizes) <= COLUMNS)
    return next(fits, 1)


def shown_units(size: int, most: int) -> Array:
    """Which units of a layer are shown."""
    return np.arange(size) if size <= most else np.linspace(0, size - 1, most).round().astype(int)


def layer_page(
    layer: LayerSpec, most: int, run: replay.Forward, paths: GradientPaths, words: Words, S: int, T: int
) -> dict:
    units = shown_units(layer.size, most)
    encoder = layer.part == "encoder"
    tokens = run.record.src if encoder else run.fed
    back = paths.back
    equations = gru_equations(layer.reset_after) if layer.cell == "gru" else CELLS[layer.cell].equations
    steps = []
    for t in range(S if encoder else T):
        forward, backward = run.steps[layer.name][t], back.steps[layer.name][t]
        parts = paths.of(layer.name, t)
        entry = {
            "t": t,
            "token": (words.source if encoder else words.target)(tokens[t, 0]),
            "forward": {k: rounded(a[0, units]) for k, a in forward.items() if k not in FORWARD_HIDDEN},
            # the copies each have one loss term: together they are the whole loss
            "backward": {
                k: rounded(a.sum(axis=0)[units]) for k, a in backward.items() if k not in BACKWARD_HIDDEN
            },
        }
        for state, by_edge in parts.items():
            entry[f"{state}_parts"] = {edge: rounded(a[units]) for edge, a in by_edge.items()}
        steps.append(entry)
    return {
        "name": layer.name,
        "part": layer.part,
        "reversed": layer.reversed,
        "cell": layer.cell,
        "H": layer.size,
        "units": units.tolist(),
        "equations": [e._asdict() for e in equations],
        "steps": steps,
    }


def bridge_page(record: Record) -> list[list[str]]:
    """For each layer of the decoder the layers of the encoder whose last states it starts from."""
    spec = record.spec
    return [
        [] if spec.bridge == "zero" else [layer.name for layer in spec.of("encoder", level)]
        for level in spec.bridge_source
    ]


def attention_page(run: replay.Forward, S: int, T: int) -> dict | None:
    if run.attended is None:
        return None
    back = replay_backward.backward(run)
    found = {name: np.concatenate([getattr(a, name) for a in run.attended]) for name in ("weights", "scores")}
    found |= {name: back.attention[name] for name in ("dweights", "dscores")}
    return {name: rounded(a[:T, 0, :S]) for name, a in found.items()}


def targets_page(record: Record, run: replay.Forward) -> list[float]:
    """What the loss would have the probabilities be: of the right token, and of each other one.

    A logit's gradient is its p minus that.
    """
    other = record.smoothing / run.probs.shape[-1]
    return rounded([1 - record.smoothing + other, other])


def outputs_page(run: replay.Forward, words: Words, T: int) -> list[dict]:
    found = []
    for t in range(T):
        p = run.probs[t, 0]
        right = run.record.tgt_out[t, 0]
        best = np.argsort(-p, kind="stable")[:TOP]
        found.append(
            {
                "step": t,
                "right": words.target(right),
                "p": rounded(p[right]),
                "top": [[words.target(i), rounded(p[i])] for i in best],
            }
        )
    return found


def bptt_page(record: Record, paths: GradientPaths, S: int, T: int) -> dict:
    lengths = {layer.name: paths.lengths(layer.name) for layer in record.spec.layers}
    edges = [edge for edge in EDGES if any(edge in found for found in lengths.values())]
    states, norm, total = [], [], []
    for layer in record.spec.layers:
        whole = np.sqrt(
            sum((paths.total(layer.name, part) ** 2).sum(axis=-1) for part in paths.parts[layer.name])
        )
        found = lengths[layer.name]
        for t in range(S if layer.part == "encoder" else T):
            states.append({"layer": layer.name, "t": t})
            norm.append([[found[e][t, s] if e in found else 0.0 for e in edges] for s in range(T)])
            total.append(whole[t, :T])
    return {
        "states": states,
        "loss_steps": list(range(T)),
        "paths": edges,
        "norm": rounded(norm, OF_PATHS),
        "total": rounded(total),
    }


def beam_page(tape, row: int, words: Words) -> dict | None:
    if tape._trees is None:
        return None
    nodes = tape._trees[row]
    return {
        "nodes": [
            {
                "id": n.id,
                "parent": n.parent,
                "token": words.target(n.token),
                "log_prob": rounded(n.log_prob),
                "total": rounded(n.total),
                "score": rounded(n.score),
                "step": n.step,
                "kept": n.kept,
                "finished": n.finished,
            }
            for n in nodes
        ],
        "best": best_node(nodes).id,
    }
