"""Looking into one step: every array of it by name, itemised gradients, what-ifs, the search's tree.

    with minis2s.trace(model) as tape:
        loss, cache = model.loss(batch)
        model.backward(1.0, cache)
    tape["decoder.0/forward/f"]            # the forget gates, (T, B, H)
    tape.bptt(row=0).of("encoder.0", 3)    # the gradient of one state, by loss term and by path
    tape.bptt(row=0).of_input("encoder.0", 3)  # and of what its cell read there
    tape.what_if(Cut("attention"))         # the step once more without attention
    tape.save_html("step.html")            # all of it, to step through in a browser

Nothing is recorded, and nothing paid, while no trace is open. Read recording.py first,
then replay.py and replay_backward.py.
"""

import sys
from types import ModuleType

from minis2s.trace.beam_tree import BeamNode
from minis2s.trace.bptt import GradientPaths
from minis2s.trace.recording import trace
from minis2s.trace.tape import Tape, load_tape
from minis2s.trace.what_if import AttentionRow, Cut, ForceToken, Pin, WhatIf

__all__ = [
    "AttentionRow",
    "BeamNode",
    "Cut",
    "ForceToken",
    "GradientPaths",
    "Pin",
    "Tape",
    "WhatIf",
    "load_tape",
    "trace",
]


class _Callable(ModuleType):
    """`minis2s.trace` is this package, and `minis2s.trace(model)` what it is for: one name serves both."""

    def __call__(self, model):
        return self.trace(model)


sys.modules[__name__].__class__ = _Callable
