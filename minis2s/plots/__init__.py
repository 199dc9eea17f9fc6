"""Pictures of a model and its training: losses, gradients, gates, attention, embeddings, mistakes.

Each `plot_...` function returns a matplotlib Figure, which a notebook shows and `png` turns into a
file, and one sentence that says what is to be seen in it, computed from the data.
"""

from minis2s.plots.attention import plot_attention
from minis2s.plots.confusion import align, plot_confusion
from minis2s.plots.embeddings import nearest_tokens, plot_embeddings
from minis2s.plots.gates import gate_activations, plot_gates
from minis2s.plots.style import bare, png, shown, usable_fonts
from minis2s.plots.training import plot_gradient_norm, plot_history

__all__ = [
    "align",
    "bare",
    "gate_activations",
    "nearest_tokens",
    "plot_attention",
    "plot_confusion",
    "plot_embeddings",
    "plot_gates",
    "plot_gradient_norm",
    "plot_history",
    "png",
    "shown",
    "usable_fonts",
]
