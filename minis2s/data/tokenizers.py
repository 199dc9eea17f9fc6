"""Tokenizers: from a text to its tokens, and back.

Three of them: characters (pronunciation, dates, sums), words with punctuation apart
(translation), and whatever white space separates (phonemes, text that is tokenized already).
Each works on the NFC form of the text, so that an accented letter is always spelled one way,
and each gives the text back, white space aside: `detokenize(tokenize(text))`.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Protocol

from minis2s.errors import UserError


class Tokenizer(Protocol):
    name: str

    def tokenize(self, text: str) -> list[str]: ...

    def detokenize(self, tokens: Iterable[str]) -> str: ...


class CharTokenizer:
    """Every character (code point) is a token, white space too; the text comes back exactly, in NFC."""

    name = "char"

    def tokenize(self, text: str) -> list[str]:
        return list(unicodedata.normalize("NFC", text))

    def detokenize(self, tokens: Iterable[str]) -> str:
        return "".join(tokens)


class SpaceTokenizer:
    """Tokens are what white space separates: phonemes, code, text that is tokenized already."""

    name = "space"

    def tokenize(self, text: str) -> list[str]:
        return unicodedata.normalize("NFC", text).split()

    def detokenize(self, tokens: Iterable[str]) -> str:
        return " ".join(tokens)


JOINER = "￭"  # on the side where a token touches its neighbour without a space
RAW_JOINER = "<joiner>"  # a joiner in the text itself; no text yields this token, "<" and "joiner" are two
SPACE = "<space>"  # a space between two CJK characters, which touch unless told otherwise

# Scripts written without spaces between words, and the wide punctuation that goes with them
# (Hangul is not here: Korean writes spaces).
CJK = (
    "\u2e80-\u2fdf"  # radicals
    "\u3001-\u312f"  # punctuation, kana, bopomofo
    "\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # strokes, ideographs
    "\uff01-\uff9f"  # full-width letters and punctuation, half-width kana
    "\U00016ff0-\U00018d8f\U0001aff0-\U0001b16f\U00020000-\U0003ffff"  # Tangut, older kana, rarer ideographs
)


class WordTokenizer:
    """Words, numbers and punctuation marks apart; every Chinese character or Japanese kana alone.

    Where two tokens touch, a joiner stands on the one that is less of a word, so that "sea" is
    one token wherever it occurs, and the text can be put together again:

        "Don't go (yet)."     Don't  go  (￭  yet  ￭)  ￭.
        "J'ai vu Tom's eau !" J'￭  ai  vu  Tom  ￭'s  eau  !
        "a well-known fact"   a  well  ￭-￭  known  fact
        "我 love你。"          我  love￭  你  。

    Apostrophes: French elision (l', qu', aujourd'hui stays whole) and the English 's 'm 'd 're 've
    'll are tokens; any other apostrophe between letters belongs to its word (don't, o'clock).
    White space of any kind and length, no-break spaces included, is one space.
    """

    name = "word"

    def tokenize(self, text: str) -> list[str]:
        tokens = []
        was_cjk = False
        for chunk in unicodedata.normalize("NFC", text).split():
            pieces, first_is_cjk, last_is_cjk = _cut(chunk)
            if was_cjk and first_is_cjk:
                tokens.append(SPACE)
            tokens += pieces
            was_cjk = last_is_cjk
        return tokens

    def detokenize(self, tokens: Iterable[str]) -> str:
        is_cjk = _cjk().match
        out = []
        touches = True  # does the next token touch what is there?
        was_cjk = False
        for token in tokens:
            if token == SPACE:
                was_cjk = False
                continue
            left, right = token.startswith(JOINER), token.endswith(JOINER)
            piece = token.strip(JOINER)
            now_cjk = is_cjk(piece) is not None
            if not (touches or left or (was_cjk and now_cjk)):
                out.append(" ")
            out.append(JOINER if piece == RAW_JOINER else piece)
            touches, was_cjk = right, now_cjk
        return "".join(out)


@lru_cache(maxsize=1 << 16)  # a text repeats its words
def _cut(chunk: str) -> tuple[tuple[str, ...], bool, bool]:
    """The tokens of a chunk without white space; whether its first and its last piece are CJK."""
    tokens, kinds = [], []
    for match in _pieces().finditer(chunk):
        kind, piece = match.lastgroup, match.group()
        if piece == JOINER:
            piece = RAW_JOINER
        if kinds and not kind == kinds[-1] == "cjk":  # CJK characters touch without being told
            if kind == "mark" or (kind == "word" and kinds[-1] == "cjk"):
                piece = JOINER + piece
            else:
                tokens[-1] += JOINER
        tokens.append(piece)
        kinds.append(kind)
    return tuple(tokens), kinds[0] == "cjk", kinds[-1] == "cjk"


@cache
def _cjk() -> re.Pattern:
    return re.compile(f"[{CJK}]")


@cache
def _pieces() -> re.Pattern:
    """Cuts a chunk without white space into pieces: every character is in exactly one.

    The group that matched is the kind: "cjk", "word", or "mark" for all that leans on a word.
    """
    # \w has letters and digits, but not the vowel signs and accents that combine with them;
    # the two joiners are those of Persian and of the scripts of India.
    combining = "".join(c for c in map(chr, range(0x300, 0x20000)) if unicodedata.category(c)[0] == "M")
    letter = f"(?:[^\\W{CJK}]|[{re.escape(combining)}\u200c\u200d])"
    letters = f"{letter}+"
    apostrophe = "['’]"
    elision = f"(?i:[cdjlmnst]|qu|(?:jus|lors|puis|quoi|quel)qu){apostrophe}(?={letter})"
    clitic = f"{apostrophe}(?i:s|m|d|re|ve|ll)(?!{letter})"
    return re.compile(
        f"(?P<cjk>[{CJK}])"
        f"|(?P<mark>(?<!{letter}){elision}|(?<={letter}){clitic}|(?!{letter}).)"
        f"|(?P<word>[0-9]+(?:[.,:][0-9]+)+(?!{letter})|{letters}(?:(?!{clitic}){apostrophe}{letters})*)",
        re.DOTALL,
    )


TOKENIZERS = {cls.name: cls for cls in (CharTokenizer, WordTokenizer, SpaceTokenizer)}


def tokenizer(name: str) -> Tokenizer:
    """The tokenizer of that name: "char", "word" or "space". Raises UserError for any other."""
    if name not in TOKENIZERS:
        raise UserError(f"unknown tokenizer {name!r}: choose one of {', '.join(TOKENIZERS)}")
    return TOKENIZERS[name]()
