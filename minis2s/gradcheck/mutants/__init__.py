"""The catalogue of planted bugs: what goes wrong in hand-written backward passes, one entry each.

It answers two questions. Does a check have teeth: which bugs does it let live (`minis2s mutate`)? And does
a diagnosis name the bug that is there: each entry knows its place and cause. None of the entries is
equivalent to the right code; a test proves it.
"""

from minis2s.gradcheck.mutants import (
    attention,
    attention_weights,
    forward,
    forward_layers,
    forward_models,
    gru,
    gru_step,
    lstm,
    lstm_products,
    lstm_step,
    optimizers,
    output,
    rnn,
    search,
    wiring,
    wiring_decoder,
    wiring_encoder,
)
from minis2s.gradcheck.mutants.mutant import Mutant, mutated_code, mutated_op, planted

by_area: dict[str, list[Mutant]] = {
    "lstm": [*lstm.MUTANTS, *lstm_products.MUTANTS, *lstm_step.MUTANTS],
    "gru": [*gru.MUTANTS, *gru_step.MUTANTS],
    "rnn": rnn.MUTANTS,
    "attention": [*attention.MUTANTS, *attention_weights.MUTANTS],
    "output": output.MUTANTS,
    "wiring": [*wiring.MUTANTS, *wiring_encoder.MUTANTS, *wiring_decoder.MUTANTS],
    "forward": [*forward.MUTANTS, *forward_layers.MUTANTS, *forward_models.MUTANTS],
    "optimizers": optimizers.MUTANTS,
    "search": search.MUTANTS,
}

MUTANTS: dict[str, Mutant] = {mutant.name: mutant for area in by_area.values() for mutant in area}

__all__ = ["MUTANTS", "Mutant", "by_area", "mutated_code", "mutated_op", "planted"]
