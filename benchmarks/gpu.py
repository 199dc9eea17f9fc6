"""How fast is a training step on a GPU, beside torch with cuDNN?

    python benchmarks/gpu.py                                 # all cases
    python benchmarks/gpu.py --cases medium wide --rounds 9 --json FILE

The cases are those of speed.py without its real data, and larger ones. Both sides have the same model, the
same first weights and the same batches, which are on the device before the clock starts; what they
compute is compared first, in float64. Each runs in a process of its own, and they take turns.
"""

import argparse
import copy
import json
import os
import sys
from pathlib import Path
from types import ModuleType

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from speed_cases import SIZES, VARIANTS, Case, make_case, random_batch
from speed_harness import Side, head, machine, median, ratio, row, take_turns

from minis2s.backend import array_module, to_numpy
from minis2s.data import Batch
from minis2s.errors import UserError
from minis2s.models import ModelConfig, Seq2Seq
from minis2s.optim import Adam, clip_global_norm, on_host

LR, MAX_NORM = 0.001, 5.0
TOLERANCE = 1e-9  # relative, of float64 gradients
LARGER = {  # name: (V, E, H, B, T)
    "wide": (64, 512, 1024, 256, 30),
    "wide words": (8000, 512, 1024, 256, 30),
}
NAMES = (*SIZES, *VARIANTS, *LARGER)


def gpu_case(name: str) -> Case:
    if name not in LARGER:
        return make_case(name, bidirectional=name == "deep")
    V, E, H, B, T = LARGER[name]
    rng = np.random.default_rng(0)
    config = ModelConfig(bidirectional=False, embed=E, hidden=H)
    return Case(name, config, V, V, [random_batch(rng, V, B, T, T) for _ in range(2)])


# -- the sides, each in its own process -----------------------------------------------------------


class Ours:
    """The training step of minis2s, as `Trainer.update` has it, on the arrays of CuPy."""

    def __init__(self, case: Case):
        self.case = case
        self.xp = array_module("cupy")
        self.model = self.build(np.float32)
        self.parameters = self.model.parameters()
        self.optimizer = Adam(self.parameters, LR)
        self.batches = [Batch(*map(self.model.on_device, batch)) for batch in case.batches]

    def build(self, dtype) -> Seq2Seq:
        c = self.case
        rng = np.random.default_rng(1)
        return Seq2Seq(c.config, c.V_source, c.V_target, rng=rng, dtype=dtype).to(self.xp)

    def step(self, batch: Batch) -> None:
        self.model.zero_grad()
        loss, cache = self.model.loss(batch, rng=self.model.rng)
        self.model.backward(1.0, cache)
        norm = clip_global_norm(self.parameters, MAX_NORM)
        on_host(loss, norm)
        self.optimizer.step()
        if batch is self.batches[-1]:  # a pass ends when the device has done it
            wait(self.xp)

    def reference(self) -> tuple[dict[str, np.ndarray], float, dict[str, np.ndarray]]:
        """Weights, loss and gradients on the first batch, in float64, without dropout."""
        weights, model = self.model.state(), self.build(np.float64)
        model.load_state(weights)
        loss, cache = model.loss(self.batches[0])
        model.backward(1.0, cache)
        return weights, float(loss), {name: to_numpy(p.grad) for name, p in model.parameters().items()}


def wait(xp: ModuleType) -> None:
    """Until the device has done all that it was asked to do."""
    xp.cuda.get_current_stream().synchronize()


def torch_side(case: Case, weights: dict[str, np.ndarray], tf32: bool, device: str = "cuda"):
    """The step of speed_torch.py on a device, where nn.LSTM and nn.GRU are cuDNN's; Adam is the fused one."""
    # here: torch is needed in this process alone
    import torch
    from speed_torch import Torch, TorchBatch, TorchModel, torch_batch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32

    class OnDevice(Torch):
        def __init__(self):
            self.case, self.max_norm = case, MAX_NORM
            self.model = TorchModel(case.config, case.V_source, case.V_target)
            self.model.load(weights)
            self.model.to(device)
            self.optimizer = torch.optim.Adam(self.model.parameters(), LR, fused=True)
            self.on_host = [torch_batch(batch) for batch in case.batches]
            self.batches = [TorchBatch(*map(self.moved, batch._asdict().items())) for batch in self.on_host]

        @staticmethod
        def moved(field: tuple):
            name, tensor = field
            # packing wants the lengths on the host
            return tensor if tensor is None or name == "src_lengths" else tensor.to(device)

        def step(self, batch: TorchBatch) -> None:
            super().step(batch)
            if batch is self.batches[-1] and device == "cuda":
                torch.cuda.synchronize()

        def compare(self, loss: float, gradients: dict[str, np.ndarray]) -> dict[str, float]:
            """As `Torch.compare`, computed on the host: against another machine's arithmetic."""
            host = copy.copy(self)
            host.model, host.batches = copy.deepcopy(self.model).cpu(), self.on_host
            return Torch.compare(host, loss, gradients)

    return OnDevice()


# -- what is there --------------------------------------------------------------------------------


def why_no_torch() -> str | None:
    """A sentence when torch cannot be measured here; None when it can."""
    try:
        import torch  # here: ours is measured without it, too
    except ImportError:
        return "torch is not installed, so minis2s is measured alone: install torch with CUDA for the ratio."
    if not torch.cuda.is_available() or not torch.backends.cudnn.is_available():
        return f"torch {torch.__version__} finds no GPU with cuDNN, so minis2s is measured alone."
    return None


def gpu_name(xp: ModuleType) -> str:
    return xp.cuda.runtime.getDeviceProperties(xp.cuda.Device().id)["name"].decode()


def measure(case: Case, rounds: int, with_torch: bool, tf32: bool) -> dict:
    sides = {"ours": Side("gpu:Ours", case)}
    weights, loss, gradients = sides["ours"].ask("reference")
    worst = None
    if with_torch:
        sides["torch"] = Side("gpu:torch_side", case, weights, tf32)
        errors = sides["torch"].ask("compare", loss, gradients)
        name = max(errors, key=errors.get)
        worst = errors[name]
        if not worst <= TOLERANCE:
            raise SystemExit(f"gpu: ours and torch's model differ: {name}, relative error {worst:.1e}")
    spent = take_turns(sides, rounds)
    speeds = {name: case.tokens() / median(turns) for name, turns in spent.items()}
    result = ratio(spent["torch"], spent["ours"]) if with_torch else None
    cells = [case.name, case.V_target, case.config.embed, case.config.hidden, case.batches[0].src.shape[1]]
    cells += [f"{1000 * median(spent['ours']) / len(case.batches):.2f}", f"{speeds['ours']:,.0f}"]
    cells += [f"{speeds['torch']:,.0f}", result] if with_torch else ["", ""]
    print(row(*cells), flush=True)
    return {
        "case": case.name,
        "tokens per second": speeds,
        "torch/ours": result and result._asdict(),
        "largest_difference": worst,
        "turns": {name: [tuple(t) for t in turns] for name, turns in spent.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", nargs="+", choices=NAMES, default=NAMES, help="(all)")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each side, per row (15)")
    parser.add_argument(
        "--tf32", action="store_true", help="products with 10 bits of mantissa, on both sides"
    )
    parser.add_argument("--json", type=Path, help="write everything that was measured to this file")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    try:
        xp = array_module("cupy")
    except UserError as error:
        why = str(error).partition(", or use --backend")[0].partition(": use --backend")[0]
        raise SystemExit(f"gpu: nothing is measured: {why}") from None
    os.environ["CUPY_TF32"] = str(int(options.tf32))  # read by the processes of the sides
    missing = why_no_torch()
    facts = {**machine(), "gpu": gpu_name(xp), "cupy": xp.__version__, "tf32": options.tf32}
    print("\n".join(f"{name}: {value}" for name, value in facts.items()))
    if missing is not None:
        print(missing)
    print("\nRatios above 1: ours is faster than torch.\n")
    print(head("case", "V", "E", "H", "B", "ours, ms", "ours, tokens/s", "torch, tokens/s", "torch/ours"))
    report: dict = {"machine": facts, "rounds": options.rounds, "step": []}
    for name in options.cases:
        report["step"].append(measure(gpu_case(name), options.rounds, missing is None, options.tf32))
        if options.json is not None:  # after every case: a long run may be stopped
            options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
