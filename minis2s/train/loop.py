"""The training loop, all of it: batches, gradients, clipping, the optimizer, evaluation, checkpoints.

Read `Trainer.run` first; the methods below it are in the order in which it calls them. A run can
be stopped at any step (Ctrl-C, a kill, a full disk) and resumed: with the same data and options it
goes on bit for bit as if it had never stopped.
"""

import math
import zlib
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from tqdm import tqdm

from minis2s import optim, schedules
from minis2s.data import Batch, Pair, encode_pairs, make_batch, make_batches
from minis2s.errors import UserError
from minis2s.files import make_folder
from minis2s.train.checkpoint import rng_state
from minis2s.train.config import TrainConfig, learning_rate, make_optimizer, teacher_forcing
from minis2s.train.metrics import edits_to_closest
from minis2s.train.parallel import Workers, results_of
from minis2s.train.ranks import ALONE, Alone
from minis2s.train.state import Sum, load_state, save_state
from minis2s.train.terminal import progress_bar
from minis2s.train.translator import Translator

FAR_OFF = 10**9  # steps; when the end of a run cannot be told yet


class Diverged(UserError):
    """The loss or the gradient became NaN or infinite; the weights are those before that step."""


class Trainer:
    """A training run and everything that must be kept to go on with it.

    out: the run folder; None: nothing is written.  ranks: the processes that share the run (see
    train/ranks.py). Each has a Trainer of the same data and options; rank 0 alone writes and prints.
    """

    def __init__(
        self,
        translator: Translator,
        train_pairs: Sequence[Pair],
        dev_pairs: Sequence[Pair],
        config: TrainConfig,
        *,
        out: str | Path | None = None,
        ranks: Alone = ALONE,
    ):
        if not train_pairs or not dev_pairs:
            raise UserError(
                f"training needs at least one pair to learn from and one to evaluate on, got "
                f"{len(train_pairs)} and {len(dev_pairs)}"
            )
        self.translator = translator
        self.model = translator.model
        self.config = config
        self.ranks = ranks
        self.out = None if out is None else Path(out)
        self.examples = encode_pairs(train_pairs, translator.source, translator.target, all_targets=True)
        dev_pairs = dev_pairs[: config.dev_sentences]
        self.dev = encode_pairs(dev_pairs, translator.source, translator.target, all_targets=False)
        # references are compared as text tokens: two different unknown words are different
        tokenize = translator.target.tokenizer.tokenize
        self.dev_references = [[tokenize(text) for text in pair.targets] for pair in dev_pairs]
        # a checksum of the data: a run can only be resumed with the same
        self.fingerprint = zlib.crc32(repr((self.examples, self.dev, self.dev_references)).encode())

        self.workers = Workers(self.model, config.threads, ranks)
        self.parameters = self.model.parameters()
        self.optimizer = make_optimizer(config, self.parameters)
        self.plateau = schedules.Plateau(config.lr) if config.schedule == "plateau" else None
        self.order = np.random.default_rng([config.seed, 1])  # draws the order of the data
        self.epoch_start = rng_state(self.order)  # where `order` stood when this epoch began
        self.epoch = 0
        self.position = 0  # batches of this epoch that are done
        self.batches = make_batches(self.examples, batch_tokens=config.batch_tokens, rng=self.order)
        self.total = math.inf if config.epochs is None else config.epochs * len(self.batches)
        self.step = 0
        self.seconds = 0.0  # spent in earlier parts of a resumed run
        self.started = ranks.clock()
        self.losses = Sum()  # since the last evaluation
        self.history: list[dict] = []
        self.best: dict | None = None  # the row of the best evaluation
        self.best_weights: dict[str, np.ndarray] | None = None
        self.interrupted = False
        self.ran = False  # `run` was called; it ends the threads and moves the best weights into the model
        self.saved = False  # whether last.npz is of this run
        self.norm = self.forcing = math.nan  # of the last step
        if self.out is not None and ranks.rank == 0:
            make_folder(self.out)

    # -- the loop ---------------------------------------------------------------------------------

    def run(self, *, quiet: bool = False) -> None:
        """Train to the end, or until Ctrl-C, and leave the best weights in the model.

        Raises RuntimeError when called again: the model is no longer where the optimizer stood.
        """
        if self.ran:
            raise RuntimeError("a Trainer runs once: to go on, make a new one and load the run folder")
        self.ran = True
        self.ranks.meet()
        self.started = self.ranks.clock()
        with (
            closing(self.workers),
            self.ranks.listen() as stopped,
            progress_bar(self.total, self.step, quiet or self.ranks.rank > 0) as bar,
        ):
            while self.progress() < 1 and not self.patience_exhausted():
                batch = self.next_batch()
                self.update(batch)
                self.show(bar)
                if self.evaluation_due():
                    self.evaluate()
                    self.save()
                if self.ranks.meet(flag=stopped()):  # on any of the ranks
                    self.interrupted = True
                    break
            if not self.interrupted and (not self.history or self.history[-1]["step"] < self.step):
                self.evaluate()
        self.save()
        if self.best_weights is not None:
            self.model.load_state(self.best_weights)

    def elapsed(self) -> float:
        """Seconds of training so far, evaluations included."""
        return self.seconds + self.ranks.clock() - self.started

    def progress(self) -> float:
        """How much of the run is done, from 0 to 1: by epochs or by the clock, whichever is further."""
        return self.progress_at(self.step, self.elapsed())

    def progress_at(self, step: int, seconds: float) -> float:
        """How much of the run was done after so many steps and seconds."""
        by_clock = 0.0 if self.config.minutes is None else seconds / (60 * self.config.minutes)
        return max(step / self.total, by_clock)

    def next_batch(self) -> Batch:
        """The next batch of this epoch, or the first of a new one."""
        if self.position == len(self.batches):
            self.epoch += 1
            self.position = 0
            self.epoch_start = rng_state(self.order)
            self.batches = make_batches(self.examples, batch_tokens=self.config.batch_tokens, rng=self.order)
        index = self.batches[self.position]
        self.position += 1
        return make_batch(self.examples, index)

    def update(self, batch: Batch) -> None:
        """One step: gradient, clipping, optimizer."""
        total = self.planned_steps()
        self.optimizer.lr = learning_rate(self.config, self.step + 1, total, self.plateau)
        self.forcing = teacher_forcing(self.config, self.step, total)
        # forward and backward, on every worker's share of the sentences: see train/parallel.py
        loss, tokens = self.workers.gradient(
            batch, teacher_forcing=self.forcing, smoothing=self.config.smoothing
        )
        norm = optim.clip_global_norm(self.parameters, self.config.clip, self.workers.spread)
        # both at once: on a GPU this is where the host waits for the device, the only time in a step
        loss, self.norm = optim.on_host(loss, norm)
        if not (math.isfinite(loss) and math.isfinite(self.norm)):
            raise self.diverged(self.step + 1, f"the loss is {loss} and the gradient norm {self.norm}")
        self.optimizer.step(self.workers.spread)
        self.step += 1
        self.losses.add(loss * tokens, tokens)

    def show(self, bar: tqdm) -> None:
        """One step further on the progress bar; its figures every ten steps."""
        bar.update()
        if self.step % 10 == 0 and not bar.disable:
            bar.total = self.planned_steps()
            speed = self.losses.all_weight / self.elapsed()
            figures = f"loss {self.losses.mean():.3f}, {speed:,.0f} tokens/s"
            if self.history:
                figures += f", dev error {100 * self.history[-1]['dev_error_rate']:.1f} %"
            bar.set_postfix_str(figures, refresh=False)

    def diverged(self, step: int, what: str) -> Diverged:
        """The error that says at which step what became of the run, and where its last good state is."""
        kept = (
            f"the last good checkpoint is {self.out / 'last.npz'}" if self.saved else "nothing was saved yet"
        )
        return Diverged(
            f"training stopped at step {step}: {what}; {kept}; "
            f"try a smaller learning rate (it was {self.optimizer.lr:g})"
        )

    def planned_steps(self) -> int:
        """How many steps the whole run will have, at least one, as far as can be told now."""
        progress = self.progress()
        if self.step == 0 or progress == 0:  # the clock has told nothing yet
            return int(min(self.total, FAR_OFF))
        return max(1, round(min(self.step / progress, FAR_OFF)))

    # -- evaluation -------------------------------------------------------------------------------

    def evaluation_due(self) -> bool:
        """Whether more of the `evaluations` equal parts of the run are done now than at the last one.

        It asks how far the run had come then, not how often it was evaluated: a run that is resumed
        with a later end has fewer of its parts behind it.
        """

        def parts_done(step: int, seconds: float) -> int:
            # the tiny addition: three tenths of ten parts must be 3, and not 2.9999...
            return int(self.progress_at(step, seconds) * self.config.evaluations + 1e-9)

        last = self.history[-1] if self.history else {"step": 0, "seconds": 0.0}
        return parts_done(self.step, self.elapsed()) > parts_done(last["step"], last["seconds"])

    def evaluate(self) -> dict:
        """Score the dev data (see `score_dev`) and add a row to the history."""
        self.ranks.check_equal(self.parameters)
        dev_loss, errors, exact = self.score_dev()
        row = {
            "step": self.step,
            "epoch": self.epoch + self.position / len(self.batches),
            "seconds": self.elapsed(),
            "tokens": self.losses.all_weight,
            "train_loss": self.losses.mean(),
            "dev_loss": dev_loss,
            "dev_error_rate": errors,
            "dev_exact": exact,
            "lr": self.optimizer.lr,
            "gradient_norm": self.norm,
            "teacher_forcing": self.forcing,
        }
        self.losses.clear()
        self.history.append(row)
        if self.plateau is not None:
            self.plateau.observe(errors)
        if self.best is None or errors < self.best["dev_error_rate"]:
            self.best = row
            self.best_weights = self.model.state()
        return row

    def score_dev(self) -> tuple[float, float, float]:
        """On the dev data: (mean loss per token, token error rate of greedy search, share exactly right)."""
        translator = self.translator

        def score(index: np.ndarray) -> tuple[float, int, int, int, int]:
            batch = make_batch(self.dev, index)
            loss, _ = self.model.loss(Batch(*map(self.model.on_device, batch)), reduction="sum")
            loss, tokens = float(loss), int(batch.tgt_mask.sum())
            if not math.isfinite(loss):
                return loss, tokens, 0, 0, 0
            edits = length = exact = 0
            for i, (hypothesis,) in zip(batch.index, translator.search(batch), strict=True):
                output = translator.target.vocabulary.decode(hypothesis.tokens)
                e, n = edits_to_closest(output, self.dev_references[i])
                edits, length, exact = edits + e, length + n, exact + (e == 0)
            return loss, tokens, edits, length, exact

        # bounded in tokens too: the logits of 128 long sentences, (T, 128, V), can fill the memory
        batches = make_batches(self.dev, batch_tokens=4 * self.config.batch_tokens, batch_sentences=128)
        # every rank scores some of the batches; all add up the same numbers in the same order
        rank, size = self.ranks.rank, self.ranks.size
        rows: list = [None] * len(batches)
        for r, found in enumerate(self.ranks.gather(list(results_of(score, batches[rank::size], self.config.threads, self.model)))):
            rows[r::size] = found
        loss, tokens, edits, length, exact = np.sum(rows, axis=0)
        if not math.isfinite(loss):  # the last update has spoilt the weights: they must not be saved
            what = f"the loss on the dev data is {loss} and the last gradient norm {self.norm}"
            raise self.diverged(self.step, what)
        return float(loss / tokens), float(edits / max(length, 1)), float(exact / len(self.dev))

    def patience_exhausted(self) -> bool:
        """Whether the last `patience` evaluations brought nothing better."""
        if self.config.patience is None or self.best is None:
            return False
        since_best = sum(row["step"] > self.best["step"] for row in self.history)
        return since_best >= self.config.patience

    # -- files ------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write last.npz (all that resuming needs), best.npz and history.csv into the run folder."""
        if save_state(self):
            self.saved = True

    def load(self) -> None:
        """Go on from last.npz in the run folder.

        Raises UserError when it is missing or damaged, belongs to another model, or the data or an
        option have changed since; only the end of the run (epochs, minutes, patience) may move.
        """
        load_state(self)
        self.saved = True
