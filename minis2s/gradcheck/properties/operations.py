"""Properties of the pairs around a softmax, by their kind.

Each is compared with its slow version in functional/naive.py; where it differs, with what is often
written instead.
"""

from minis2s.gradcheck.properties.attention import (
    attention_questions,
    scores_questions,
    weighted_sum_questions,
)
from minis2s.gradcheck.properties.cross_entropy import cross_entropy_questions
from minis2s.gradcheck.properties.finding import Finding, Inquiry
from minis2s.gradcheck.properties.guesses import Subject
from minis2s.gradcheck.properties.softmax import softmax_questions

QUESTIONS = {
    "masked_softmax": softmax_questions,
    "cross_entropy": cross_entropy_questions,
    "weighted_sum": weighted_sum_questions,
    "attention": attention_questions,
}
SCORES = ("dot_scores", "scaled_dot_scores", "general_scores", "additive_scores")


def softmax_properties(subject, kind: str, *, seed: int = 0, seconds: float = 60.0) -> list[Finding]:
    """All properties of a pair with the signature of the engine's operation of that name.

    kind: "masked_softmax", "cross_entropy", "weighted_sum", "attention" (dot scores, softmax and sum in
    one), "dot_scores", "scaled_dot_scores", "general_scores" or "additive_scores".
    """
    inquiry = Inquiry(f"your {kind}", seconds=seconds)
    f = Subject(subject, seed)
    questions = scores_questions(f, kind) if kind in SCORES else QUESTIONS[kind](f)
    for name, question in questions:
        inquiry.ask(name, question)
    return inquiry.findings
