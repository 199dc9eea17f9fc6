"""Vocabulary: which token has which number, and that no text can forge a special one."""

import json
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minis2s.data import BOS, EOS, PAD, UNK, Vocabulary
from minis2s.errors import UserError

tokens = st.one_of(
    st.text(min_size=1, max_size=4), st.sampled_from(["<pad>", "<bos>", "<eos>", "<unk>", "", " "])
)
token_lists = st.lists(st.lists(tokens, max_size=8), max_size=8)


@given(token_lists)
def test_every_token_that_was_seen_comes_back(lists):
    vocabulary = Vocabulary.build(lists)
    for line in lists:
        assert vocabulary.decode(vocabulary.encode(line)) == line


@given(token_lists)
def test_ids_are_dense_and_distinct_and_never_special(lists):
    vocabulary = Vocabulary.build(lists)
    distinct = sorted({token for line in lists for token in line})
    assert sorted(vocabulary.encode(distinct)) == list(range(4, len(vocabulary)))
    assert len(vocabulary) == 4 + len(distinct)


@given(token_lists, st.integers(1, 3), st.one_of(st.none(), st.integers(5, 9)))
def test_build_keeps_the_most_frequent(lists, min_count, max_size):
    vocabulary = Vocabulary.build(lists, max_size, min_count)
    flat = [token for line in lists for token in line]
    counts = {token: flat.count(token) for token in flat}
    kept, lost = ({t: c for t, c in counts.items() if (t in vocabulary) is side} for side in (True, False))
    assert max_size is None or len(vocabulary) <= max_size
    assert all(count >= min_count for count in kept.values())
    full = max_size is not None and len(vocabulary) == max_size
    for token, count in lost.items():
        assert count < min_count or (full and all((count, other) <= (c, token) for other, c in kept.items()))


@given(token_lists, st.randoms(use_true_random=False))
def test_build_does_not_depend_on_the_order_of_the_text(lists, shuffler: random.Random):
    shuffled = [shuffler.sample(line, len(line)) for line in lists]
    shuffler.shuffle(shuffled)
    assert Vocabulary.build(shuffled) == Vocabulary.build(lists)


@given(token_lists)
def test_json_round_trip(lists):
    vocabulary = Vocabulary.build(lists)
    again = Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json())))
    assert again == vocabulary
    assert again.tokens[:4] == ["<pad>", "<bos>", "<eos>", "<unk>"]


def test_frequent_first_then_alphabetical():
    assert Vocabulary.build([["b", "c", "a", "c"], ["d", "b"]]).tokens[4:] == ["b", "c", "a", "d"]


def test_a_token_that_looks_special_is_an_ordinary_one():
    vocabulary = Vocabulary(["a", "<eos>"])
    assert vocabulary.encode(["<eos>", "a", "<pad>", "<bos>", "<unk>"]) == [5, 4, UNK, UNK, UNK]
    assert vocabulary.decode([5, 4, EOS, 4]) == ["<eos>", "a"]


def test_decode_drops_pad_and_bos_stops_at_eos_and_shows_unk():
    vocabulary = Vocabulary(["x", "y"])
    assert vocabulary.decode(np.array([BOS, 4, UNK, PAD, 5, EOS, 4])) == ["x", "<unk>", "y"]
    assert vocabulary.decode([EOS]) == vocabulary.decode([]) == []


@pytest.mark.parametrize("wrong", [-1, 6, 99])
def test_decode_refuses_an_id_outside_the_vocabulary(wrong):
    with pytest.raises(ValueError, match=rf"0\.\.5, got {wrong}"):
        Vocabulary(["x", "y"]).decode([4, wrong])


def test_a_token_cannot_be_there_twice():
    with pytest.raises(ValueError, match="'b' is there twice"):
        Vocabulary(["a", "b", "b"])


def test_max_size_must_leave_room_for_the_text():
    with pytest.raises(ValueError, match="must exceed the 4 special tokens, got 4"):
        Vocabulary.build([["a"]], max_size=4)


def test_save_and_load(tmp_path):
    vocabulary = Vocabulary(["é", "我", "\n", '"', "<eos>", "\u2028"])
    vocabulary.save(tmp_path / "v.json")
    assert Vocabulary.load(tmp_path / "v.json") == vocabulary
    assert "我" in (tmp_path / "v.json").read_text(encoding="utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["v.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"tokens": ["a",', "not valid JSON .line 1"),
        ("[1, 2]", "list of strings"),
        ('{"tokens": ["a", 3]}', "list of strings"),
        ('{"tokens": ["a", "a"]}', "twice"),
        ("{}", "list of strings"),
    ],
)
def test_load_says_what_is_wrong_and_where(tmp_path, content, message):
    path = tmp_path / "v.json"
    path.write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        Vocabulary.load(path)
    assert str(path) in str(caught.value)


def test_load_of_a_missing_file(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        Vocabulary.load(tmp_path / "none.json")
