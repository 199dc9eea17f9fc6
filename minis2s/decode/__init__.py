"""Decoding: from a trained model to the texts that it writes.

`greedy` takes the best token at every step, `beam_search` follows several hypotheses at once,
`sample` draws, and `exact_search` tries everything (on toy vocabularies: the oracle of the tests).
All of them know only the three methods of `Decodable`: start, step, take.
"""

from minis2s.decode.beam import beam_search
from minis2s.decode.exact import exact_search
from minis2s.decode.greedy import greedy
from minis2s.decode.hypothesis import Decodable, Hypothesis, gnmt_penalty
from minis2s.decode.sampling import sample

__all__ = ["Decodable", "Hypothesis", "beam_search", "exact_search", "gnmt_penalty", "greedy", "sample"]
