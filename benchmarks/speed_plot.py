"""The picture of speed.py: a step of every engine in multiples of what its matrix products take."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

SIDES = {"ours": ("minis2s", "C0"), "torch": ("torch eager", "C1"), "book": ("an object per time step", "C7")}


def plot_step(results: list[dict], path: Path) -> None:
    """Draw the results of the part `step` (one thread) into a file of any kind that matplotlib knows."""
    results = [r for r in results if r["threads"] == 1]
    if not results:
        raise SystemExit("speed: the picture shows steps of one thread: ask for --threads 1")
    figure, axes = plt.subplots(figsize=(8, 0.6 + 0.55 * len(results)), layout="constrained")
    y = np.arange(len(results))
    for n, (side, (label, color)) in enumerate(SIDES.items()):
        # round by round, since a round is what the machine did to all sides alike
        found = [
            np.median(np.array(r["turns"][side])[:, 0] / np.array(r["turns"]["floor"])[:, 0])
            if side in r["turns"]
            else np.nan
            for r in results
        ]
        bars = axes.barh(y + 0.25 * (n - 1), found, 0.25, label=label, color=color)
        axes.bar_label(bars, ["" if np.isnan(f) else f"{f:.1f}" for f in found], padding=2, fontsize=8)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(
        y, [f"{r['case']}, {r['encoder']}\nV {r['V']}, H {r['hidden']}" for r in results], fontsize=8
    )
    axes.invert_yaxis()
    axes.set_xlabel("time of a training step, in multiples of its matrix products alone (line)")
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=150)
    plt.close(figure)
