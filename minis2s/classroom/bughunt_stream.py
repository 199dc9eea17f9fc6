"""Choices that a key and a purpose determine, and that tell nothing without the key.

HMAC-SHA256 in counter mode. Written out because the set of a seed must stay the same with every version of
Python and NumPy, and because who knows some choices must not be able to compute others.
"""

import hmac
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


class Stream:
    """Choices for one purpose. purpose: what they are for; another purpose gives choices of its own."""

    def __init__(self, key: bytes, *purpose: str):
        text = b"".join(len(p.encode()).to_bytes(4, "big") + p.encode() for p in purpose)
        self.key, self.count = hmac.digest(key, text, "sha256"), 0

    def below(self, n: int) -> int:
        """A whole number from 0 to n - 1, each as likely as the others."""
        block = hmac.digest(self.key, self.count.to_bytes(8, "big"), "sha256")
        self.count += 1
        return int.from_bytes(block, "big") % n  # of 256 bits: the bias is below 2**-200

    def choice(self, items: Sequence[Item]) -> Item:
        return items[self.below(len(items))]

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        left = list(items)
        return [left.pop(self.below(len(left))) for _ in items]
