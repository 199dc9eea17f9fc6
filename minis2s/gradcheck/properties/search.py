"""Properties of a beam search: brute force finds nothing better, and every score can be reproduced.

The search is let loose on a `Tree` of texts, small enough to try them all. A search that goes wrong is
compared with a simple one, in each of the ways in which it is often written instead.
"""

from collections.abc import Callable

import numpy as np

from minis2s.data.vocabulary import BOS, EOS, PAD
from minis2s.decode import exact_search, greedy
from minis2s.decode.hypothesis import gnmt_penalty
from minis2s.gradcheck.problem import Misbehaved
from minis2s.gradcheck.properties.finding import (
    Finding,
    Inquiry,
    accepts,
    differ,
    failed,
    number,
    passed,
    unjudged,
)
from minis2s.gradcheck.properties.tree import LIMIT, MISTAKES, Search, Tree, forced, simple_beam, source

WIDE = 81  # a beam as wide as there are texts
SEEDS = range(8)
ALPHA = 1.0


def diagnose(search: Search, words: str, alpha: float, place: str = "") -> Finding:
    """Which of the mistakes gives what the search gives, for every tree, at widths of 1, 2, 3 and 81?"""
    asked, found = [], []
    for seed in SEEDS:
        for beam in (1, 2, 3, WIDE):
            try:
                best = search(Tree(seed), [seed + 4], beam, alpha)[0][0]
            except Misbehaved:  # the time is over
                raise
            except Exception:  # noqa: BLE001 -- at this width it does not run: judged by the others
                continue
            asked.append((seed, beam))
            found.append(best)
    known = {"": "", **MISTAKES}  # nothing is wrong: then none of the mistakes is named
    for scored in (True, False):  # tokens and scores; else the tokens alone
        for mistake, says in known.items():
            if all(
                agrees(best, *case, alpha, mistake, scored) for case, best in zip(asked, found, strict=True)
            ):
                return failed(
                    f"{words}: {says}" if mistake else words,
                    "search",
                    mistake.removesuffix(", live") or place,
                )
    return failed(words, "search", place)


def agrees(best, seed: int, beam: int, alpha: float, mistake: str, scored: bool) -> bool:
    tokens, score = simple_beam(Tree(seed), seed + 4, beam, alpha, LIMIT, mistake)
    return [int(t) for t in best.tokens] == tokens and (not scored or not differ(best.score, score))


def beam_of_one(search: Search) -> Finding:
    for seed in SEEDS:
        (best,) = search(Tree(seed), [seed + 4], 1)[0][:1]
        (expected,) = greedy(Tree(seed), *source(seed + 4), max_length=LIMIT)
        if list(best.tokens) != expected.tokens or bool(best.finished) != expected.finished:
            words = (
                f"a beam of 1 must be greedy decoding, {expected.tokens} in tree {seed}, got "
                f"{list(best.tokens)}"
            )
            return diagnose(search, words, 0.0, "beam 1")
    return passed("a beam of 1 is greedy decoding")


def brute_force(search: Search, alpha: float) -> Finding:
    if alpha and not search.penalizes:
        return unjudged("the search takes no length_penalty")
    what = f" with length penalty {alpha:g}" if alpha else ""
    for seed in SEEDS:
        best = search(Tree(seed), [seed + 4], WIDE, alpha)[0][0]
        ((expected,),) = exact_search(Tree(seed), *source(seed + 4), max_length=LIMIT, length_penalty=alpha)
        if differ(best.score, expected.score) or list(best.tokens) != expected.tokens:
            words = (
                f"a beam as wide as the tree must find the best text{what}: {expected.tokens} with score "
                f"{number(expected.score)} in tree {seed}, got {list(best.tokens)} with {number(best.score)}"
            )
            return diagnose(search, words, alpha, "full width")
    return passed(f"a beam as wide as the tree finds the best text{what}")


def narrow(search: Search) -> Finding:
    for alpha in (0.0, ALPHA) if search.penalizes else (0.0,):
        for seed in SEEDS:
            for beam in (2, 3):
                best = search(Tree(seed), [seed + 4], beam, alpha)[0][0]
                tokens, score = simple_beam(Tree(seed), seed + 4, beam, alpha, LIMIT)
                if differ(best.score, score):
                    words = (
                        f"a beam of {beam} must find {tokens} with score {number(score)} in tree {seed}, got "
                        f"{list(best.tokens)} with {number(best.score)}"
                    )
                    return diagnose(search, words, alpha, "narrow beam")
    return passed("beams of 2 and 3 find what they should")


def scores(search: Search) -> Finding:
    """log_prob is that of forced decoding, score is log_prob over the penalty."""
    alpha = ALPHA if search.penalizes else 0.0
    for seed in SEEDS:
        model = Tree(seed)
        for h in search(model, [seed + 4], 3, alpha, nbest=3)[0]:
            tokens = [int(t) for t in h.tokens]
            expected = forced(model, seed + 4, tokens, h.finished)
            length = len(tokens) + bool(h.finished)
            if differ(h.log_prob, expected):
                words = (
                    f"the log-probability of {tokens} is {number(expected)} by forced decoding, "
                    "the search says "
                    f"{number(h.log_prob)}"
                )
                return diagnose(search, words, alpha, "log_prob")
            if differ(h.score, expected / gnmt_penalty(length, alpha)):
                words = (
                    f"the score of {tokens} must be log_prob / ((5 + {length})/6)**{alpha:g} = "
                    f"{number(expected / gnmt_penalty(length, alpha))}, got {number(h.score)}"
                )
                return diagnose(search, words, alpha, "score")
    return passed("every log-probability is that of forced decoding, every score that over the penalty")


def endings(search: Search) -> Finding:
    for seed in SEEDS:
        model = Tree(seed)
        for h in search(model, [seed + 4], 3, nbest=3)[0]:
            bad = [
                name for name, token in (("EOS", EOS), ("BOS", BOS), ("PAD", PAD)) if token in list(h.tokens)
            ]
            if bad:
                where = (
                    "EOS is kept as its last token"
                    if list(h.tokens).index(EOS if "EOS" in bad else BOS if "BOS" in bad else PAD)
                    == len(h.tokens) - 1
                    else "the text goes on after it"
                )
                return failed(
                    f"no text may contain {bad[0]}, got {list(h.tokens)}: {where}", "search", "ending"
                )
            if len(h.tokens) + bool(h.finished) > LIMIT:
                return failed(
                    f"max_length {LIMIT} bounds the steps, EOS included, got {list(h.tokens)}",
                    "search",
                    "max_length",
                )
        if model.read_on:
            return diagnose(
                search,
                "a finished hypothesis must not grow, but the model was given EOS to read on",
                0.0,
                "ending",
            )
    return passed("finished hypotheses never grow, no text contains EOS")


def ragged(search: Search) -> Finding:
    """Sentences of a batch get what they get alone."""
    alone = [search(Tree(0), [name], 2)[0][0] for name in (4, 5, 6)]
    together = search(Tree(0), [4, 5, 6], 2)
    for n, (a, (b, *_)) in enumerate(zip(alone, together, strict=True)):
        if list(a.tokens) != list(b.tokens) or differ(a.score, b.score):
            return failed(
                f"sentence {n} of a batch must get what it gets alone, {list(a.tokens)} with "
                f"{number(a.score)}, got "
                f"{list(b.tokens)} with {number(b.score)}: hypotheses of different sentences are mixed",
                "search",
                "sentences of a batch",
            )
    return passed("sentences of a batch get what they get alone")


def impossible(search: Search) -> Finding:
    """Tokens of probability 0 are never taken, and never make a nan."""
    for seed in SEEDS:
        for beam in (2, WIDE):
            for h in search(Tree(seed, holes=True), [seed + 4], beam)[0]:
                if not np.isfinite(h.score):
                    return failed(
                        f"with impossible tokens the best score must be finite, got {h.score}: "
                        "-inf times 0, or -inf kept",
                        "search",
                        "-inf",
                    )
            ((expected,),) = exact_search(Tree(seed, holes=True), *source(seed + 4), max_length=LIMIT)
            best = search(Tree(seed, holes=True), [seed + 4], WIDE)[0][0]
            if differ(best.score, expected.score):
                return failed(
                    f"with impossible tokens the best score is {number(expected.score)}, got "
                    f"{number(best.score)}",
                    "search",
                    "-inf",
                )
    return passed("impossible tokens are never taken and make no nan")


def ties(search: Search) -> Finding:
    for seed in SEEDS:
        best = search(Tree(seed, ties=True), [seed + 4], WIDE)[0][0]
        ((expected,),) = exact_search(Tree(seed, ties=True), *source(seed + 4), max_length=LIMIT)
        if differ(best.score, expected.score):
            return failed(
                f"where texts tie the best score is {number(expected.score)}, got {number(best.score)}",
                "search",
                "ties",
            )
    return passed("where texts tie the best score is found")


def ranking(search: Search) -> Finding:
    if not accepts(search.function, "nbest"):
        return unjudged("the search takes no nbest")
    for seed in SEEDS:
        found = search(Tree(seed), [seed + 4], WIDE, nbest=5)[0]
        (expected,) = exact_search(Tree(seed), *source(seed + 4), max_length=LIMIT, nbest=5)
        if len(found) != 5 or differ([h.score for h in found], [h.score for h in expected]):
            return failed(
                f"the five best scores are {[round(h.score, 3) for h in expected]}, got "
                f"{[round(float(h.score), 3) for h in found]}",
                "search",
                "nbest",
            )
    return passed("the n best are found, in order")


def limits(search: Search) -> Finding:
    for limit in (1, 2):
        for seed in SEEDS:
            best = search(Tree(seed), [seed + 4], WIDE, limit=limit)[0][0]
            ((expected,),) = exact_search(Tree(seed), *source(seed + 4), max_length=limit)
            if list(best.tokens) != expected.tokens or bool(best.finished) != expected.finished:
                return failed(
                    f"with max_length {limit} the best text is {expected.tokens}, got {list(best.tokens)}",
                    "search",
                    "max_length",
                )
    return passed("max_length of 1 and 2 is kept to")


CHECKS = {
    "beam of one": beam_of_one,
    "brute force": lambda search: brute_force(search, 0.0),
    "brute force, length penalty": lambda search: brute_force(search, ALPHA),
    "narrow beam": narrow,
    "scores": scores,
    "endings": endings,
    "batch of sentences": ragged,
    "impossible tokens": impossible,
    "ties": ties,
    "n best": ranking,
    "max_length": limits,
}


def search_properties(function: Callable, *, seconds: float = 60.0) -> list[Finding]:
    """All properties of a beam search with the signature and the results of `minis2s.decode.beam_search`.

    function: called as ``function(model, src, src_mask, beam=, max_length=, length_penalty=, nbest=)``, with
    those of the options that its signature has.
    """
    inquiry = Inquiry("your beam search", "search", seconds)
    search = Search(function)
    for name, check in CHECKS.items():
        inquiry.ask(name, lambda check=check: check(search))
    return inquiry.findings
