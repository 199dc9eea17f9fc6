"""The vocabulary: which token has which number.

Four numbers are the same in every vocabulary: PAD fills short rows, BOS starts a target, EOS
ends every text, UNK stands for a token that was not seen in training. They belong to the engine,
not to the text: a text that contains the token "<eos>" gets an ordinary number for it, or UNK.
"""

import os
from collections import Counter
from collections.abc import Iterable
from itertools import chain

from minis2s.errors import UserError
from minis2s.files import read_json, write_json

PAD, BOS, EOS, UNK = 0, 1, 2, 3
PAD_TOKEN, BOS_TOKEN, EOS_TOKEN, UNK_TOKEN = SPECIAL_TOKENS = ("<pad>", "<bos>", "<eos>", "<unk>")


class Vocabulary:
    """Tokens and their numbers: the four special ones, then ``tokens`` in the order given.

    Raises ValueError when a token occurs twice.
    """

    def __init__(self, tokens: Iterable[str]):
        self.tokens = [*SPECIAL_TOKENS, *tokens]
        # only tokens of the text are looked up, so no text can spell PAD, BOS, EOS or UNK
        self._ids = {token: i for i, token in enumerate(self.tokens) if i >= len(SPECIAL_TOKENS)}
        if len(self._ids) + len(SPECIAL_TOKENS) != len(self.tokens):
            twice, _ = Counter(self.tokens[len(SPECIAL_TOKENS) :]).most_common(1)[0]
            raise ValueError(f"each token of a vocabulary must be there once, but {twice!r} is there twice")

    @classmethod
    def build(
        cls, token_lists: Iterable[Iterable[str]], max_size: int | None = None, min_count: int = 1
    ) -> "Vocabulary":
        """The vocabulary of a text: the most frequent tokens first, equally frequent ones by alphabet.

        ``max_size`` bounds ``len(vocabulary)``, the four special tokens included (the rows of an
        embedding table); tokens seen fewer than ``min_count`` times are left out. The result
        depends only on how often each token occurs, not on the order of the text.
        """
        if max_size is not None and max_size <= len(SPECIAL_TOKENS):
            raise ValueError(f"max_size must exceed the {len(SPECIAL_TOKENS)} special tokens, got {max_size}")
        counts = Counter(chain.from_iterable(token_lists))
        frequent = sorted((-count, token) for token, count in counts.items() if count >= min_count)
        if max_size is not None:
            frequent = frequent[: max_size - len(SPECIAL_TOKENS)]
        return cls(token for _, token in frequent)

    def __len__(self) -> int:
        """How many numbers there are, the four special ones included."""
        return len(self.tokens)

    def __contains__(self, token: str) -> bool:
        return token in self._ids

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.tokens == other.tokens

    __hash__ = None

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} tokens)"

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """One number a token; UNK for a token that is not in the vocabulary. No BOS, no EOS."""
        ids = self._ids
        return [ids.get(token, UNK) for token in tokens]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The tokens of some numbers, up to the first EOS, without PAD and BOS; UNK reads "<unk>".

        Raises ValueError for a number outside the vocabulary.
        """
        tokens = []
        for i in ids:
            if i == EOS:
                break
            if not 0 <= i < len(self.tokens):  # a negative number would silently count from the end
                raise ValueError(f"a token id must be in 0..{len(self.tokens) - 1}, got {i}")
            if i != PAD and i != BOS:
                tokens.append(self.tokens[i])
        return tokens

    def to_json(self) -> dict:
        """What ``json.dump`` writes; the special tokens are not in it."""
        return {"tokens": self.tokens[len(SPECIAL_TOKENS) :]}

    @classmethod
    def from_json(cls, content: dict) -> "Vocabulary":
        """The vocabulary that ``to_json`` wrote. Raises UserError when it is none."""
        tokens = content.get("tokens") if isinstance(content, dict) else None
        if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
            raise UserError('a vocabulary must be a JSON object with a list of strings under "tokens"')
        if len(set(tokens)) != len(tokens):
            raise UserError("a vocabulary must not hold a token twice")
        return cls(tokens)

    def save(self, path: str | os.PathLike) -> None:
        """Write the vocabulary as JSON. Raises UserError when the file cannot be written."""
        write_json(path, self.to_json())

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Vocabulary":
        """Read what ``save`` wrote. Raises UserError when there is no such file or it is no vocabulary."""
        content = read_json(path)
        try:
            return cls.from_json(content)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
