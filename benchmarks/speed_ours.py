"""Our side of speed.py: the training step of minis2s, as `Trainer.update` has it."""

import numpy as np
from speed_cases import Case

from minis2s.backend import keep_freed_memory
from minis2s.data import Batch
from minis2s.models import Seq2Seq
from minis2s.optim import Adam, clip_global_norm
from minis2s.train.parallel import Workers

LR, MAX_NORM = 0.001, 5.0


class Ours:
    def __init__(self, case: Case, threads: int = 1):
        self.case = case
        self.model = Seq2Seq(case.config, case.V_source, case.V_target, rng=np.random.default_rng(1))
        keep_freed_memory()  # as the command line does
        self.workers = Workers(self.model, threads)
        self.parameters = self.model.parameters()
        self.optimizer = Adam(self.parameters, LR)
        self.batches = case.batches

    def step(self, batch: Batch) -> None:
        loss, _ = self.workers.gradient(batch)
        float(loss)
        clip_global_norm(self.parameters, MAX_NORM, self.workers.spread)
        self.optimizer.step(self.workers.spread)

    def reference(self) -> tuple[dict[str, np.ndarray], float, dict[str, np.ndarray]]:
        """Weights, loss and gradients on the first batch, in float64, without dropout."""
        weights = self.model.state()
        model = Seq2Seq(
            self.case.config,
            self.case.V_source,
            self.case.V_target,
            rng=np.random.default_rng(1),
            dtype=np.float64,
        )
        model.load_state(weights)
        loss, cache = model.loss(self.batches[0])
        model.backward(1.0, cache)
        return weights, float(loss), {name: p.grad for name, p in model.parameters().items()}
