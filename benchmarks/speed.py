"""How fast is training, decoding and starting, beside torch eager, a plain engine, and what is possible?

    python benchmarks/speed.py                      # all of it; or some of: step threads ragged ...
    python benchmarks/speed.py step --cases small words --rounds 9 --json FILE --plot FILE

Sides that are compared run in processes of their own and take turns at the clock (speed_harness.py);
what they compute is compared first, in float64. The cases are in speed_cases.py.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from minis2s.cli.machine import configure_blas

# as the command line does, before NumPy is imported; the processes of the sides (in which this file
# has another name) get their numbers of threads from the harness
if __name__ == "__main__":
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    configure_blas()

import argparse
import json

from speed_beam import beam_part
from speed_cases import NAMES
from speed_harness import machine
from speed_memory import memory_part
from speed_profile import profile_part
from speed_start import start_part
from speed_step import ragged_part, step_part, threads_part

PARTS = {
    "step": step_part,
    "threads": threads_part,
    "ragged": ragged_part,
    "profile": profile_part,
    "memory": memory_part,
    "beam": beam_part,
    "start": start_part,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="part", help=f"some of: {', '.join(PARTS)} (all)")
    parser.add_argument("--cases", nargs="+", choices=NAMES, default=NAMES, help="of a step (all)")
    parser.add_argument("--encoders", nargs="+", choices=["uni", "bi"], default=["uni"], help="(uni)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1], help="of the part step (1)")
    parser.add_argument(
        "--rivals", nargs="*", choices=["torch", "book"], default=["torch", "book"], help="of a step (both)"
    )
    parser.add_argument("--rounds", type=int, default=15, help="turns of each side, per row (15)")
    parser.add_argument(
        "--data", type=Path, help="folder of cmudict_g2p/ and tatoeba_fra/; their cases are left out without it"
    )  # fmt: skip
    parser.add_argument("--json", type=Path, help="write everything that was measured to this file")
    parser.add_argument("--plot", type=Path, help="draw the part step into this file (needs matplotlib)")
    options = parser.parse_args()
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"unknown part {unknown[0]!r}: choose some of {', '.join(PARTS)}")
    if options.rounds < 1 or min(options.threads) < 1:
        parser.error("--rounds and --threads must be at least 1")
    chosen = options.parts or list(PARTS)
    if options.plot is not None and "step" not in chosen:
        parser.error("--plot draws the part step: add it")

    report: dict = {"machine": machine(), "rounds": options.rounds}
    print("\n".join(f"{name}: {value}" for name, value in report["machine"].items()))
    for part in chosen:
        report[part] = PARTS[part](options)
        if options.json is not None:  # after every part: a long run may be stopped
            options.json.write_text(json.dumps(report, indent=1) + "\n")
    if options.plot is not None:
        from speed_plot import plot_step  # here: matplotlib is needed for nothing else

        plot_step(report["step"], options.plot)
        print(f"\ndrawn: {options.plot}")


if __name__ == "__main__":
    main()
