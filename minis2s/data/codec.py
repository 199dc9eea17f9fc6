"""The codec: a tokenizer and a vocabulary together, from a text to numbers and back.

A model has two, one for its source side and one for its target side. Both are saved with
the model, since its weights mean nothing without them.
"""

from collections.abc import Iterable
from typing import NamedTuple

from minis2s.data.tokenizers import Tokenizer, tokenizer
from minis2s.data.vocabulary import Vocabulary
from minis2s.errors import UserError


class Codec(NamedTuple):
    tokenizer: Tokenizer
    vocabulary: Vocabulary

    @classmethod
    def fit(
        cls, texts: Iterable[str], tokenizer: Tokenizer, max_size: int | None = None, min_count: int = 1
    ) -> "Codec":
        """The codec whose vocabulary is that of ``texts``; the limits are those of ``Vocabulary.build``."""
        return cls(tokenizer, Vocabulary.build(map(tokenizer.tokenize, texts), max_size, min_count))

    def encode(self, text: str) -> list[int]:
        """The numbers of a text; no BOS or EOS is added, so the empty text has none."""
        return self.vocabulary.encode(self.tokenizer.tokenize(text))

    def decode(self, ids: Iterable[int]) -> str:
        """The text of some numbers, up to the first EOS; an unknown token reads "<unk>"."""
        return self.tokenizer.detokenize(self.vocabulary.decode(ids))

    def to_json(self) -> dict:
        return {"tokenizer": self.tokenizer.name, "vocabulary": self.vocabulary.to_json()}

    @classmethod
    def from_json(cls, content: dict) -> "Codec":
        """The codec that ``to_json`` wrote. Raises UserError when it is none."""
        if not isinstance(content, dict) or not {"tokenizer", "vocabulary"} <= content.keys():
            raise UserError('a codec must be a JSON object with "tokenizer" and "vocabulary"')
        return cls(tokenizer(content["tokenizer"]), Vocabulary.from_json(content["vocabulary"]))
