"""Tokenizers: the text comes back, white space aside, and words are cut where a reader would."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minis2s.data import CharTokenizer, SpaceTokenizer, WordTokenizer, tokenizer
from minis2s.data.tokenizers import JOINER
from minis2s.errors import UserError

# dense in what the word tokenizer treats specially, so that few characters make many cases
tricky = st.text(
    alphabet="aStd1é'’.,:-()\"<>￭ \u00a0\u202f\u3000你好かカ。！ｱ我가\u0301\u200dहि_jquoin", max_size=12
)
anything = st.one_of(st.text(max_size=20), tricky)


def one_spaced(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


@given(anything)
@example("<joiner>")
@example("<space> 你 好")
@example("￭￭ ￭a￭ <joiner>￭")
@example("")
def test_word_tokens_give_the_text_back(text):
    word = WordTokenizer()
    assert word.detokenize(word.tokenize(text)) == one_spaced(text)


@given(anything)
def test_space_tokens_give_the_text_back(text):
    space = SpaceTokenizer()
    assert space.detokenize(space.tokenize(text)) == one_spaced(text)


@given(anything)
def test_characters_give_the_text_back_exactly(text):
    char = CharTokenizer()
    assert char.detokenize(char.tokenize(text)) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize("name", ["char", "word", "space"])
@given(text=anything)
def test_the_spelling_of_accents_does_not_matter(name, text):
    tokenize = tokenizer(name).tokenize
    assert tokenize(unicodedata.normalize("NFD", text)) == tokenize(unicodedata.normalize("NFC", text))


@given(anything)
def test_word_tokens_hold_no_white_space_and_are_never_empty(text):
    for token in WordTokenizer().tokenize(text):
        assert token.strip(JOINER)
        assert not any(c.isspace() for c in token)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", ""),
        ("   \u00a0\t", ""),
        ("Go.", "Go ￭."),
        ("Don't go (yet).", "Don't go (￭ yet ￭) ￭."),
        ('He said: "No!"', 'He said ￭: "￭ No ￭! ￭"'),
        ("Tom's dog, they've, I'm, we'll", "Tom ￭'s dog ￭, they ￭'ve ￭, I ￭'m ￭, we ￭'ll"),
        ("six o'clock", "six o'clock"),
        ("the dogs' food", "the dogs ￭' food"),
        ("J'ai bu de l'eau\u202f!", "J'￭ ai bu de l'￭ eau !"),
        ("Qu’est-ce que c’est aujourd’hui ?", "Qu’￭ est ￭-￭ ce que c’￭ est aujourd’hui ?"),
        ("rock'n'roll", "rock'n'roll"),
        ("1,000.50 at 10:30.", "1,000.50 at 10:30 ￭."),
        ("well-known", "well ￭-￭ known"),
        ("我爱你。", "我 爱 你 。"),
        ("我 爱你", "我 <space> 爱 你"),
        ("我 love你", "我 love￭ 你"),
        ("我love 你", "我 ￭love 你"),
        ("これはテストです。", "こ れ は テ ス ト で す 。"),
        ("한국어는 좋다.", "한국어는 좋다 ￭."),
        ("हिन्दी में", "हिन्दी में"),
        ("a\u0301b", "áb"),
    ],
)
def test_word_examples(text, tokens):
    assert WordTokenizer().tokenize(text) == tokens.split()


def test_every_chinese_character_is_a_token():
    # one of each block, the supplementary ones included
    for character in "⺀〇一龥㐀豈𠀀𪜀ぁヿ。！":
        assert WordTokenizer().tokenize(character * 3) == [character] * 3


def test_characters_keep_white_space():
    assert CharTokenizer().tokenize("a b\t") == ["a", " ", "b", "\t"]


def test_space_tokens_are_left_whole():
    assert SpaceTokenizer().tokenize(" AH0  K ( don't\u00a0) ") == ["AH0", "K", "(", "don't", ")"]


def test_tokens_look_up():
    for name in ("char", "word", "space"):
        assert tokenizer(name).name == name
    with pytest.raises(UserError, match="unknown tokenizer 'bpe': choose one of char, word, space"):
        tokenizer("bpe")
