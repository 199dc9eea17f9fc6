"""The tree of a search: every continuation that was looked at, and what became of it."""

from typing import NamedTuple

import numpy as np

from minis2s.data.vocabulary import BOS, EOS, PAD

Array = np.ndarray
ROOT = 0


class BeamNode(NamedTuple):
    """One token in one place of the tree; the first node, which has no parent, is BOS."""

    id: int
    parent: int  # -1 at the root
    token: int
    log_prob: float  # of this token after its parent
    total: float  # the sum along the path
    score: float  # total / length penalty
    step: int  # which target step the token was chosen for; -1 at the root
    kept: bool  # whether it was among the beam's best
    finished: bool  # whether it is an EOS that was kept


class SearchLog:
    """Notes the steps of one `beam_search`, `greedy` or `sample`, as they call the model's `on_search_step`."""

    def __init__(self):
        self.model: tuple = ()
        self.nodes: dict[int, list[BeamNode]] = {}  # by sentence
        self._places: dict[
            tuple[int, int], tuple[int, int]
        ] = {}  # (row, token) of the last step -> sentence, node

    def note(self, step) -> None:
        """One decode.hypothesis.SearchStep."""
        if step.number == 0:
            self.nodes = {
                int(n): [BeamNode(ROOT, -1, BOS, 0.0, 0.0, 0.0, -1, True, False)] for n in step.sentences
            }
        # which node each row of this step goes on from
        owners: list[int] = []
        for token, came_from in zip(step.read.tolist(), step.rows.tolist(), strict=True):
            owners.append(ROOT if step.number == 0 else self._places[came_from, token])
        places: dict[tuple[int, int], int] = {}
        rows_each = len(owners) // len(step.sentences)
        for i, sentence in enumerate(step.sentences.tolist()):
            nodes = self.nodes[sentence]
            chosen = set(step.choice[i].tolist())
            m = step.ids.shape[1] // rows_each
            for j, (token, value) in enumerate(
                zip(step.ids[i].tolist(), step.totals[i].tolist(), strict=True)
            ):
                row = i * rows_each + j // m
                parent = nodes[owners[row]]
                if value == -np.inf:
                    continue  # a row that only fills up, or a token of probability 0
                kept = j in chosen
                node = BeamNode(
                    len(nodes), parent.id, token, value - parent.total, value, value / step.penalty,
                    step.number, kept, kept and token == EOS,
                )  # fmt: skip
                nodes.append(node)
                if kept:
                    places[row, token] = node.id
        self._places = places

    def trees(self) -> list[list[BeamNode]]:
        """Per sentence, its nodes; a parent comes before its children."""
        return [self.nodes[n] for n in sorted(self.nodes)]


def best_node(nodes: list[BeamNode]) -> BeamNode:
    """Where the best text ends: the finished node of the best score, or without any the best one that was cut."""
    ends = [node for node in nodes if node.finished]
    if not ends:
        last = max(node.step for node in nodes)
        ends = [node for node in nodes if node.kept and node.step == last]
    return max(ends, key=lambda node: (node.score, -node.id))


def path_to(nodes: list[BeamNode], node: BeamNode) -> list[BeamNode]:
    """The nodes from the first token to this one; the root is left out."""
    path = []
    while node.parent >= 0:
        path.append(node)
        node = nodes[node.parent]
    return path[::-1]


def best_text(nodes: list[BeamNode]) -> list[int]:
    """The tokens of the best text, with EOS where it ended."""
    return [node.token for node in path_to(nodes, best_node(nodes))]


def step_of_texts(texts: list[list[int]]) -> dict[str, Array]:
    """Texts (EOS included) as tgt_in, tgt_out, tgt_mask and fed, (T, B) each: what a step that learns them reads."""
    T = max(1, *(len(text) for text in texts))
    out = np.full((T, len(texts)), PAD, dtype=np.int64)
    for b, text in enumerate(texts):
        out[: len(text), b] = text
    lengths = np.array([len(text) for text in texts])
    mask = np.arange(T)[:, None] < lengths
    given = np.full_like(out, BOS)
    given[1:] = np.where(mask[1:], out[:-1], PAD)
    return {"tgt_in": given, "tgt_out": out, "tgt_mask": mask, "fed": given}
