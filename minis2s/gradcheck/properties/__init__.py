"""Forward mistakes: properties that a right forward pass has, whatever its weights.

A gradient check is silent where backward agrees with the wrong forward: attention over padding, a
decoder that sees the future, exchanged gates. Here the forward pass itself is asked: what must not
move when padding, batch-mates or the future change, what must move, what the numbers must be.
`properties` takes whatever there is to ask, and answers with one `Finding` for each property.

Read `padding` first: three runs compared, and the name of the path through which they differ.
"""

import inspect

from minis2s.gradcheck.properties import behaviour, chance, decoding, padding
from minis2s.gradcheck.properties.clipping import accumulation_properties, clip_properties
from minis2s.gradcheck.properties.finding import Finding, Findings, Inquiry
from minis2s.gradcheck.properties.inside import Case
from minis2s.gradcheck.properties.operations import QUESTIONS, SCORES, softmax_properties
from minis2s.gradcheck.properties.optimizer import KINDS as OPTIMIZERS
from minis2s.gradcheck.properties.optimizer import optimizer_properties
from minis2s.gradcheck.properties.pair import PARTS
from minis2s.gradcheck.properties.recurrent import recurrent_properties
from minis2s.gradcheck.properties.search import search_properties
from minis2s.op import Op

__all__ = [
    "Finding",
    "accumulation_properties",
    "clip_properties",
    "model_properties",
    "optimizer_properties",
    "properties",
    "recurrent_properties",
    "search_properties",
    "softmax_properties",
]

RECURRENT = tuple(kind + step for kind in PARTS for step in ("", "_step"))
SOFTMAX = (*QUESTIONS, *SCORES)
OTHERS = ("model", "beam_search", "clip", "accumulation")
ALL_KINDS = (*RECURRENT, *SOFTMAX, *OPTIMIZERS, *OTHERS)
ALIASES = {"softmax": "masked_softmax", "clip_global_norm": "clip"}


def properties(subject, kind: str | None = None, *, seed: int = 0, **options) -> list[Finding]:
    """Ask everything that can be asked about the forward pass of `subject`; one Finding a property.

    The list prints as one line for each.

    kind, which is guessed where it can be (a model; an Op by its name; a function or class by its name):
        "model"                                     a Seq2Seq, or what behaves like one
        "rnn", "lstm", "gru", also with "_step"     an Op, a (forward, backward) pair, or the forward function
        "masked_softmax", "cross_entropy", "weighted_sum", "attention", "dot_scores",
        "scaled_dot_scores", "general_scores", "additive_scores"                         likewise
        "sgd", "momentum", "nesterov", "adam", "adamw"     an optimizer class or factory
        "beam_search", "clip", "accumulation"              a function
    options: those of the function for that kind, as `recurrent_properties`.

    Nothing that the subject does ends the questions: an error becomes a Finding of one sentence.
    Raises ValueError for an unknown kind.
    """
    kind = kind_of(subject) if kind is None else kind
    kind = ALIASES.get(kind, kind)
    if kind == "model":
        return model_properties(subject, seed=seed, **options)
    if kind in RECURRENT:
        return recurrent_properties(subject, kind, seed=seed, **options)
    if kind in SOFTMAX:
        return softmax_properties(subject, kind, seed=seed, **options)
    if kind in OPTIMIZERS:
        return optimizer_properties(subject, kind, seed=seed, **options)
    if kind == "beam_search":
        return search_properties(subject, **options)
    if kind == "clip":
        return clip_properties(subject, seed=seed, **options)
    if kind == "accumulation":
        return accumulation_properties(subject, seed=seed, **options)
    raise ValueError(f"the kind must be one of {', '.join(ALL_KINDS)}, got {kind!r}")


def kind_of(subject) -> str:
    """The kind, from what the subject is or from its name. Raises ValueError when neither tells."""
    if hasattr(subject, "loss") and hasattr(subject, "forward"):
        return "model"
    name = subject.name if isinstance(subject, Op) else getattr(subject, "__name__", "")
    name = name.lower().removesuffix("_forward")
    name = ALIASES.get(name, name)
    if name in ALL_KINDS:
        return name
    what = "class" if inspect.isclass(subject) else type(subject).__name__
    raise ValueError(f"what is {what} {name!r}? pass kind=, one of {', '.join(ALL_KINDS)}")


def model_properties(
    model,
    *,
    seed: int = 0,
    batch=None,
    source_size: int | None = None,
    target_size: int | None = None,
    seconds: float = 60.0,
) -> list[Finding]:
    """All properties of a model with the methods of Seq2Seq: loss, backward, forward, start, step, take.

    While the questions last, its weights are float64 and drawn anew, about 0.7 N(0, 1), biases included;
    afterwards they are what they were. batch: a ragged data.Batch in place of the small one made here.
    source_size, target_size: the sizes of the vocabularies, where the model has no encoder.embedding
    and decoder.embedding to tell them.
    """
    inquiry = Inquiry("the model", seconds=seconds)
    try:
        case = Case(model, seed=seed, batch=batch, source_size=source_size, target_size=target_size)
    except (AttributeError, TypeError) as error:
        return Findings([Finding("questions", None, f"the model cannot be asked: {error}")])
    with case:
        for checks in (padding.CHECKS, behaviour.CHECKS, chance.CHECKS, decoding.CHECKS):
            for name, check in checks.items():
                inquiry.ask(name, lambda check=check: check(case))
    return inquiry.findings
