"""`minis2s translate RUN [TEXT ...]`: texts, or the lines of standard input, through a trained model."""

import argparse
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from minis2s.cli.options import add_machine_options, add_search_options, count, threads_for
from minis2s.data import Codec
from minis2s.data.vocabulary import SPECIAL_TOKENS
from minis2s.errors import UserError
from minis2s.plots import bare, plot_attention, png, shown
from minis2s.train.measure import translate_all
from minis2s.train.run import load_translator, not_ended, write_picture

MOST_LISTED = 10  # unknown tokens
MOST_KNOWN = 60  # known tokens, or only their number is said
LINES_AT_ONCE = 1024  # of a file or pipe; a person at a terminal gets each answer at once


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", metavar="RUN", help="a run folder (or an .npz file from one)")
    parser.add_argument(
        "texts", nargs="*", default=[], metavar="TEXT", help="inputs (default: the lines of standard input)"
    )
    parser.add_argument(
        "--nbest", type=count, default=1, metavar="N", help="show the N best, as: number, score, text"
    )
    parser.add_argument("--attention", metavar="FILE.png", help="draw where the model looked; for one TEXT")
    parser.add_argument("--quiet", action="store_true", help="no notes, only the outputs")
    add_search_options(parser)
    add_machine_options(parser)


def run(args: argparse.Namespace) -> int:
    """The command: one line for each input, or `--nbest` lines."""
    if args.nbest > args.beam:
        raise UserError(f"--nbest {args.nbest} needs a --beam of at least {args.nbest}, got {args.beam}")
    if args.attention and len(args.texts) != 1:
        raise UserError(f"--attention draws one input: give exactly one TEXT, got {len(args.texts)}")
    if args.attention and not args.attention.endswith(".png"):
        raise UserError(
            f"--attention writes a PNG picture: name a file that ends in .png, not {args.attention}"
        )
    translator = load_translator(args.run_folder, args.backend or "numpy")
    folder = Path(args.run_folder)
    if not args.quiet and (doubt := not_ended(folder if folder.is_dir() else folder.parent)):
        note(doubt)
    at_once = not args.texts and sys.stdin is not None and sys.stdin.isatty()
    unknown: dict[str, None] = {}  # tokens, each once, in the order of their appearance
    search = {"beam": args.beam, "nbest": args.nbest, "length_penalty": args.length_penalty}
    for texts in [list(map(valid, args.texts))] if args.texts else standard_input():
        results = translate_all(translator, texts, threads=threads_for(args), **search)
        if args.attention:
            figure, sentence = plot_attention(*translator.attention(texts[0], results[0][0].text))
            write_picture(args.attention, png(figure, sentence))
            print(f"{args.attention}: {sentence}", file=sys.stderr)
        for translations in results:
            for number, translation in enumerate(translations, start=1):
                # one line for each, or the lines would no longer match those of the input
                text = " ".join(translation.text.splitlines())
                print(text if args.nbest == 1 else f"{number}\t{translation.score:.4f}\t{text}")
        sys.stdout.flush()
        before = len(unknown)
        unknown |= dict.fromkeys(unknown_tokens(translator.source, texts))
        if at_once and not args.quiet and not before and unknown:
            note(about_unknown(list(unknown), translator.source))
    if unknown and not at_once and not args.quiet:
        note(about_unknown(list(unknown), translator.source))
    return 0


def note(text: str) -> None:
    print(f"minis2s: note: {text}", file=sys.stderr)


def unknown_tokens(codec: Codec, texts: list[str]) -> list[str]:
    return [t for text in texts for t in codec.tokenizer.tokenize(text) if t not in codec.vocabulary]


def about_unknown(unknown: list[str], codec: Codec) -> str:
    """One sentence on tokens that a model does not know, and on those that it knows."""
    listed = ", ".join(repr(bare(token)) for token in unknown[:MOST_LISTED])
    more = f" and {len(unknown) - MOST_LISTED:,} more" if len(unknown) > MOST_LISTED else ""
    are, read = ("is", "is read") if len(unknown) == 1 else ("are", "are read")
    known = codec.vocabulary.tokens[len(SPECIAL_TOKENS) :]
    if all(token.lower() in codec.vocabulary for token in unknown):
        hint = "it knows them in small letters" if len(unknown) > 1 else "it knows it as a small letter"
    elif len(known) <= MOST_KNOWN:
        hint = f"this model knows {' '.join(sorted(set(map(shown, known))))}"
    else:
        hint = f"this model knows {len(known):,} others"
    return f"{listed}{more} {are} not in the vocabulary of the training data and {read} as unknown; {hint}"


def valid(text: str) -> str:
    """`text` itself, which the terminal may have handed over as bytes that are not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UserError(f"the input {text!r} is not UTF-8 text") from None
    return text


def standard_input() -> Iterator[list[str]]:
    """The lines of standard input, without line ends, some at a time.

    Raises UserError, naming the line, when one is not UTF-8, and when there is no standard input.
    """
    if sys.stdin is None:
        raise UserError("there is nothing to translate: standard input is closed, and no TEXT is given")
    size = LINES_AT_ONCE
    if sys.stdin.isatty():
        size = 1
        print("one text on each line; Ctrl-D ends", file=sys.stderr)
    done = 0
    while lines := list(islice(sys.stdin.buffer, size)):
        texts = []
        for number, line in enumerate(lines, start=done + 1):
            try:
                texts.append(line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n"))
            except UnicodeDecodeError:
                raise UserError(f"standard input, line {number}: not UTF-8 text") from None
        done += len(lines)
        yield texts
