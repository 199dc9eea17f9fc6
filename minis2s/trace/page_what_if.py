"""The what-ifs of a page: a handful of changes of each kind, and what exactly comes of each."""

import numpy as np

from minis2s.data.vocabulary import BOS, EOS, PAD
from minis2s.trace import replay
from minis2s.trace.cells import CELLS
from minis2s.trace.page_values import Words, rounded
from minis2s.trace.record import Record
from minis2s.trace.what_if import AttentionRow, Cut, ForceToken, Pin, cuts, what_if

PINNED = ((0.0, "closed"), (1.0, "open"))
OFFERED = 4  # steps for which a change of each kind is offered, at most
FEW_LAYERS = 3  # of more, each gate is pinned at two steps only


def spread(n: int, most: int = OFFERED) -> list[int]:
    """A few of the numbers 0 ... n - 1, the first and the last among them."""
    return list(range(n)) if n <= most else np.linspace(0, n - 1, most).round().astype(int).tolist()


def what_if_page(tape, row: int, words: Words, S: int, T: int) -> list[dict]:
    record = tape.record.rows([row])
    found = []
    for kind, label, where, change in offered(record, replay.forward(record), words, S, T):
        result = what_if(record, [change])
        found.append(
            {
                "kind": kind,
                "label": label,
                "where": where,
                "loss": rounded(result.loss),
                "losses": rounded(result.losses[:T, 0]),
                "output": [words.target(i) for i in result.best[:T, 0]],
                "right_p": rounded(result.right_p[:T, 0]),
            }
        )
    return found


def offered(record: Record, run: replay.Forward, words: Words, S: int, T: int):
    """(kind, label, where, change) of the changes that a page offers."""
    spec = record.spec
    times = OFFERED if len(spec.layers) <= FEW_LAYERS else 2
    for layer in spec.layers:
        gates = CELLS[layer.cell].gates
        for gate in [g for g in gates if g in ("f", "i", "u", "r", "h")][:2]:
            for t in spread(S if layer.part == "encoder" else T, times):
                for value, word in PINNED if gate != "h" else ((0.0, "at 0"),):
                    label = f"{layer.name}, step {t}: all units of {gate} {word} ({value:g})"
                    where = {"layer": layer.name, "gate": gate, "step": t, "value": value}
                    yield "pin a gate", label, where, Pin(layer.name, gate, value, step=t)
    if run.attended is not None:
        for t in spread(T):
            best = int(run.attended[t].weights[0, 0, :S].argmax())
            rows = [
                (f"all on {words.source(record.src[s, 0])!r} ({s})", s) for s in {(best + 1) % S, 0} - {best}
            ]
            for text, s in sorted(rows, key=lambda pair: pair[1]):
                weights = np.zeros(len(record.src))
                weights[s] = 1.0
                where = {"step": t, "source": s, "weights": weights[:S].tolist()}
                yield "overwrite an attention row", f"step {t}: {text}", where, AttentionRow(t, weights)
            weights = np.zeros(len(record.src))
            weights[:S] = 1 / S
            where = {"step": t, "source": None, "weights": rounded(weights[:S])}
            yield (
                "overwrite an attention row",
                f"step {t}: all positions alike",
                where,
                AttentionRow(t, weights),
            )
    for t in spread(T):
        if t == 0:
            continue
        # the most probable wrong token of the step before, as a model that reads its own output would meet it
        order = np.argsort(-run.probs[t - 1, 0], kind="stable").tolist()
        wrong = [i for i in order if i not in (PAD, BOS, EOS, int(run.fed[t, 0]))]
        for token in wrong[:2]:
            label = f"step {t}: reads {words.target(token)!r} in place of {words.target(run.fed[t, 0])!r}"
            where = {"step": t, "token": words.target(token), "id": token}
            yield "force a token", label, where, ForceToken(t, token)
    for path in cuts(record):
        yield "cut a path", f"no {path}, anywhere", {"path": path, "layer": None, "step": None}, Cut(path)
        if path in ("carry", "recurrent"):
            for layer in spec.layers:
                if path == "carry" and layer.cell == "rnn":
                    continue
                where = {"path": path, "layer": layer.name, "step": None}
                yield "cut a path", f"no {path} in {layer.name}", where, Cut(path, layer=layer.name)
        if path in ("attention", "input feeding"):
            for t in spread(T):
                where = {"path": path, "layer": None, "step": t}
                yield "cut a path", f"no {path} at step {t}", where, Cut(path, step=t)
