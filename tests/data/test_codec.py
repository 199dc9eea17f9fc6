"""Codec: a text to numbers and back, through JSON too."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minis2s.data import UNK, CharTokenizer, Codec, SpaceTokenizer, WordTokenizer, tokenizer
from minis2s.errors import UserError


@given(st.lists(st.text(max_size=10), min_size=1, max_size=6), st.sampled_from(["char", "word", "space"]))
def test_texts_that_were_fitted_come_back_through_json(texts, name):
    codec = Codec.fit(texts, tokenizer(name))
    again = Codec.from_json(json.loads(json.dumps(codec.to_json())))
    assert again.tokenizer.name == name
    for text in texts:
        expected = codec.tokenizer.detokenize(codec.tokenizer.tokenize(text))
        assert again.encode(text) == codec.encode(text)
        assert again.decode(codec.encode(text)) == expected


def test_unknown_characters_become_unk():
    codec = Codec.fit(["abc"], CharTokenizer())
    assert codec.encode("aéb我") == [4, UNK, 5, UNK]
    assert codec.decode(codec.encode("aéb")) == "a<unk>b"


def test_the_empty_text_and_the_one_token_text():
    codec = Codec.fit(["go"], WordTokenizer())
    assert codec.encode("") == codec.encode(" \u00a0 ") == []
    assert codec.encode("go") == [4]
    assert codec.decode([]) == ""


def test_limits_reach_the_vocabulary():
    texts = ["a a a b b c"]
    assert Codec.fit(texts, SpaceTokenizer(), max_size=5).vocabulary.tokens[4:] == ["a"]
    assert Codec.fit(texts, SpaceTokenizer(), min_count=2).vocabulary.tokens[4:] == ["a", "b"]


@pytest.mark.parametrize("content", [None, {}, {"tokenizer": "char"}, {"tokenizer": "x", "vocabulary": {}}])
def test_from_json_refuses_what_is_no_codec(content):
    with pytest.raises(UserError):
        Codec.from_json(content)
