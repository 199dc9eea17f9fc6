"""The training loop, all of it: batches, gradients, clipping, the optimizer, evaluation, checkpoints.

Read `Trainer.run` first; the methods below it are in the order in which it calls them. A run can
be stopped at any step (Ctrl-C, a kill, a full disk) and resumed: with the same data and options it
goes on bit for bit as if it had never stopped.
"""

import csv
import io
import math
import signal
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from minis2s import optim, schedules
from minis2s.data import Batch, Pair, encode_pairs, make_batch, make_batches
from minis2s.errors import UserError
from minis2s.files import cannot, write_text
from minis2s.train.checkpoint import load_checkpoint, restore_rng, rng_state, save_checkpoint
from minis2s.train.metrics import edits_to_closest
from minis2s.train.parallel import Workers
from minis2s.train.translator import Translator

OPTIMIZERS = ("sgd", "adam", "adamw")
SCHEDULES = ("constant", "linear", "cosine", "inverse-sqrt", "plateau")
FAR_OFF = 10**9  # steps; when the end of a run cannot be told yet
MAY_CHANGE = ("epochs", "minutes", "patience")  # when a run is resumed: all that says where it ends
FORCING_DECAYS = ("constant", "linear", "exponential", "inverse-sigmoid")


@dataclass(frozen=True)
class TrainConfig:
    """How to train. The run ends after `epochs` or `minutes`, whichever comes first.

    lr is the peak of the schedule, reached after `warmup` steps. teacher_forcing is the chance of
    feeding the right token at the end of the run; forcing_decay says how it gets there from 1
    ("constant": it is that from the start). evaluations is how many times, evenly spread, the dev
    data are looked at (their first `dev_sentences`); after `patience` of them without a better
    error rate the run stops early. betas are Adam's and AdamW's; momentum is SGD's.
    """

    epochs: int | None = 10
    minutes: float | None = None
    batch_tokens: int = 1000
    optimizer: str = "adam"
    lr: float = 0.002
    betas: tuple[float, float] = (0.9, 0.99)
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: str = "linear"
    warmup: int = 200
    clip: float = 5.0
    smoothing: float = 0.0
    teacher_forcing: float = 1.0
    forcing_decay: str = "constant"
    evaluations: int = 10
    dev_sentences: int = 1000
    patience: int | None = None
    seed: int = 0
    threads: int = 1

    def __post_init__(self):
        if self.epochs is None and self.minutes is None:
            raise ValueError("a run needs an end: give epochs, minutes, or both")
        for name in (
            "epochs",
            "minutes",
            "batch_tokens",
            "lr",
            "clip",
            "evaluations",
            "dev_sentences",
            "patience",
            "threads",
        ):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be above 0, got {value}")
        for name, known in (
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
            ("forcing_decay", FORCING_DECAYS),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        if self.weight_decay and self.optimizer == "adam":
            raise ValueError(f"adam has no weight_decay (got {self.weight_decay}): choose adamw or sgd")
        for name in ("smoothing", "teacher_forcing"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, got {getattr(self, name)}")


class Diverged(UserError):
    """The loss or the gradient became NaN or infinite; the weights are those before that step."""


def train(
    translator: Translator,
    train_pairs: Sequence[Pair],
    dev_pairs: Sequence[Pair],
    config: TrainConfig | None = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    quiet: bool = False,
) -> "Trainer":
    """Train `translator` in place; it ends with the weights that did best on the dev data.

    out: a folder for best.npz, last.npz and history.csv; None keeps nothing on disk.
    Returns the Trainer, whose `history` is a list of one dict per evaluation.

    Raises UserError for data without examples and when files cannot be written, Diverged when the
    loss is no longer a number.
    """
    trainer = Trainer(translator, train_pairs, dev_pairs, config or TrainConfig(), out=out)
    if resume:
        trainer.load()
    trainer.run(quiet=quiet)
    return trainer


class Trainer:
    """A training run and everything that must be kept to go on with it."""

    def __init__(
        self,
        translator: Translator,
        train_pairs: Sequence[Pair],
        dev_pairs: Sequence[Pair],
        config: TrainConfig,
        *,
        out: str | Path | None = None,
    ):
        if not train_pairs or not dev_pairs:
            raise UserError(
                f"training needs at least one pair to learn from and one to evaluate on, got "
                f"{len(train_pairs)} and {len(dev_pairs)}"
            )
        self.translator = translator
        self.model = translator.model
        self.config = config
        self.out = None if out is None else Path(out)
        self.examples = encode_pairs(train_pairs, translator.source, translator.target, all_targets=True)
        dev_pairs = dev_pairs[: config.dev_sentences]
        self.dev = encode_pairs(dev_pairs, translator.source, translator.target, all_targets=False)
        # references are compared as text tokens: two different unknown words are different
        tokenize = translator.target.tokenizer.tokenize
        self.dev_references = [[tokenize(text) for text in pair.targets] for pair in dev_pairs]
        # a checksum of the data: a run can only be resumed with the same
        self.fingerprint = zlib.crc32(repr((self.examples, self.dev, self.dev_references)).encode())

        self.workers = Workers(self.model, config.threads)
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
        self.started = time.perf_counter()
        self.losses = Sum()  # since the last evaluation
        self.history: list[dict] = []
        self.best: dict | None = None  # the row of the best evaluation
        self.best_weights: dict[str, np.ndarray] | None = None
        self.interrupted = False
        self.saved = False  # whether last.npz is of this run
        self.norm = self.forcing = math.nan  # of the last step
        if self.out is not None:
            make_folder(self.out)

    # -- the loop ---------------------------------------------------------------------------------

    def run(self, *, quiet: bool = False) -> None:
        """Train to the end, or until Ctrl-C, and leave the best weights in the model."""
        self.started = time.perf_counter()
        with closing(self.workers), stop_on_interrupt() as stopped, progress_bar(self, quiet) as bar:
            while self.progress() < 1 and not self.patience_exhausted():
                batch = self.next_batch()
                self.update(batch)
                show(bar, self)
                if self.evaluation_due():
                    self.evaluate()
                    self.save()
                if stopped():
                    self.interrupted = True
                    break
            if not self.interrupted and (not self.history or self.history[-1]["step"] < self.step):
                self.evaluate()
        self.save()
        if self.best_weights is not None:
            self.model.load_state(self.best_weights)

    def elapsed(self) -> float:
        """Seconds of training so far, evaluations included."""
        return self.seconds + time.perf_counter() - self.started

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
        self.optimizer.lr = self.learning_rate(total)
        self.forcing = self.teacher_forcing(total)
        loss, tokens = self.workers.gradient(
            batch, teacher_forcing=self.forcing, smoothing=self.config.smoothing
        )
        loss = float(loss)
        self.norm = optim.clip_global_norm(self.parameters, self.config.clip)
        if not (math.isfinite(loss) and math.isfinite(self.norm)):
            raise self.diverged(f"the loss is {loss} and the gradient norm {self.norm}")
        self.optimizer.step()
        self.step += 1
        self.losses.add(loss * tokens, tokens)

    def diverged(self, what: str) -> Diverged:
        """The error that says what has become of the run, and where its last good state is."""
        kept = (
            f"the last good checkpoint is {self.out / 'last.npz'}" if self.saved else "nothing was saved yet"
        )
        return Diverged(
            f"training stopped at step {self.step + 1}: {what}; {kept}; "
            f"try a smaller learning rate (it was {self.optimizer.lr:g})"
        )

    def planned_steps(self) -> int:
        """How many steps the whole run will have, as far as can be told now."""
        if self.step == 0:  # the clock has told nothing yet
            return int(min(self.total, FAR_OFF))
        return round(min(self.step / self.progress(), FAR_OFF))

    def learning_rate(self, total: int) -> float:
        """The learning rate of the step that comes next, in a run of `total` steps."""
        c = self.config
        schedule: schedules.Schedule
        if c.schedule == "inverse-sqrt":
            return schedules.InverseSquareRoot(c.lr, max(c.warmup, 1)).lr(self.step + 1)
        if c.schedule == "plateau":
            schedule = self.plateau
        elif c.schedule == "linear":
            schedule = schedules.LinearDecay(c.lr, max(total, 1))
        elif c.schedule == "cosine":
            schedule = schedules.CosineDecay(c.lr, max(total, 1))
        else:
            schedule = schedules.Constant(c.lr)
        return schedules.WarmUp(max(c.warmup, 1), schedule).lr(self.step + 1)

    def teacher_forcing(self, total: int) -> float:
        """The teacher-forcing ratio of the step that comes next, in a run of `total` steps."""
        end, decay = self.config.teacher_forcing, self.config.forcing_decay
        if decay == "constant" or end == 1:
            return end
        if decay == "linear":
            return schedules.LinearRatio((1 - end) / total, floor=end).ratio(self.step)
        if decay == "exponential":
            return max(end, schedules.ExponentialRatio(max(end, 0.01) ** (1 / total)).ratio(self.step))
        # half-way down in the middle of the run: k log(k) = total / 2
        k = math.e
        for _ in range(20):
            k = max(math.e, total / 2 / math.log(k))
        return max(end, schedules.InverseSigmoidRatio(k).ratio(self.step))

    # -- evaluation -------------------------------------------------------------------------------

    def evaluation_due(self) -> bool:
        """Whether another of the `evaluations` equal parts of the run was completed since the last one.

        It asks how far the run had come then, not how often it was evaluated: a run that is resumed
        with a later end has fewer of its parts behind it.
        """
        last = self.history[-1] if self.history else {"step": 0, "seconds": 0.0}
        before, now = self.progress_at(last["step"], last["seconds"]), self.progress()
        parts = self.config.evaluations
        return int(now * parts + 1e-9) > int(before * parts + 1e-9)

    def evaluate(self) -> dict:
        """Score the dev data (see `score_dev`) and add a row to the history."""
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
            loss = float(loss)
            if not math.isfinite(loss):  # the last update has spoilt the weights: they must not be saved
                raise self.diverged(f"the loss on the dev data is {loss}")
            edits = length = exact = 0
            for i, (hypothesis,) in zip(batch.index, translator.search(batch), strict=True):
                tokens = translator.target.vocabulary.decode(hypothesis.tokens)
                e, n = edits_to_closest(tokens, self.dev_references[i])
                edits, length, exact = edits + e, length + n, exact + (e == 0)
            return loss, int(batch.tgt_mask.sum()), edits, length, exact

        batches = make_batches(self.dev, batch_sentences=128)
        loss, tokens, edits, length, exact = np.sum(self.workers.map(score, batches), axis=0)
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
        if self.out is None:
            return
        arrays = {f"model/{name}": array for name, array in self.model.state().items()}
        arrays |= {f"optimizer/{name}": array for name, array in self.optimizer.state().items()}
        arrays |= {f"best/{name}": array for name, array in (self.best_weights or {}).items()}
        meta = {
            "kind": "training",
            "translator": self.translator.describe(),
            "config": asdict(self.config),
            "data": self.fingerprint,
            "step": self.step,
            "epoch": self.epoch,
            "position": self.position,
            "epoch_start": self.epoch_start,
            "rngs": [rng_state(model.rng) for model in self.workers.models],
            "seconds": self.elapsed(),
            "losses": vars(self.losses),
            "plateau": None if self.plateau is None else self.plateau.state(),
            "history": self.history,
            "best": self.best,
        }
        save_checkpoint(self.out / "last.npz", arrays, meta)
        self.saved = True
        if self.best_weights is not None:
            meta = {"kind": "translator", **self.translator.describe()}
            save_checkpoint(self.out / "best.npz", self.best_weights, meta)
            write_text(self.out / "history.csv", table(self.history))

    def load(self) -> None:
        """Go on from last.npz in the run folder.

        Raises UserError when it is missing or damaged, belongs to another model, or the data or an
        option have changed since; only the end of the run (epochs, minutes, patience) may move.
        """
        if self.out is None:
            raise UserError("resuming needs the run folder to resume from: give out")
        path = self.out / "last.npz"
        arrays, meta = load_checkpoint(path)
        if meta.get("kind") != "training":
            raise UserError(f"{path} is not the state of a training run: give the folder of one")
        begun = meta["translator"]["model"] | meta["config"]
        for name, value in (asdict(self.model.config) | asdict(self.config)).items():
            value = list(value) if isinstance(value, tuple) else value  # as JSON has it
            if value != begun.get(name) and name not in MAY_CHANGE:
                raise UserError(
                    f"{path} was made with {name} {begun.get(name)}, not {value}: resume with the same options"
                )
        if meta["data"] != self.fingerprint:
            raise UserError(f"{path} was made with other training or dev data: resume with the same data")

        def part(prefix: str) -> dict[str, np.ndarray]:
            return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}

        try:
            self.model.load_state(part("model/"))
            self.optimizer.load_state(part("optimizer/"))
        except ValueError as error:
            raise UserError(f"{path} belongs to another model or optimizer: {error}") from None
        self.best_weights = part("best/") or None
        self.step, self.epoch, self.seconds = meta["step"], meta["epoch"], meta["seconds"]
        self.history, self.best = meta["history"], meta["best"]
        self.losses = Sum(**meta["losses"])
        if self.plateau is not None:
            self.plateau.load_state(meta["plateau"])
        for model, state in zip(self.workers.models, meta["rngs"], strict=True):
            model.rng = restore_rng(state)
        self.epoch_start = meta["epoch_start"]
        self.order = restore_rng(self.epoch_start)
        self.batches = make_batches(self.examples, batch_tokens=self.config.batch_tokens, rng=self.order)
        self.position = meta["position"]
        self.saved = True


@dataclass
class Sum:
    """A running weighted mean: of the loss, over tokens."""

    value: float = 0.0
    weight: float = 0
    all_weight: float = 0  # the weight since the start of the run; `clear` leaves it

    def add(self, value: float, weight: float) -> None:
        self.value += value
        self.weight += weight
        self.all_weight += weight

    def mean(self) -> float:
        return self.value / max(self.weight, 1)

    def clear(self) -> None:
        self.value, self.weight = 0.0, 0


def make_folder(path: Path) -> None:
    """Make a folder and those above it, if they are not there. Raises UserError when that is impossible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot("make the folder", path, error) from None


def make_optimizer(config: TrainConfig, parameters) -> optim.Optimizer:
    """The optimizer that the configuration names."""
    if config.optimizer == "sgd":
        return optim.SGD(parameters, config.lr, config.momentum, weight_decay=config.weight_decay)
    if config.optimizer == "adam":
        return optim.Adam(parameters, config.lr, config.betas)
    return optim.AdamW(parameters, config.lr, config.betas, weight_decay=config.weight_decay)


@contextmanager
def stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """Within it, the first Ctrl-C only makes the yielded function true; a second one interrupts.

    So a step is never cut in the middle. Outside the main thread signals cannot be caught, and
    Ctrl-C keeps its usual meaning.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def handler(signum, frame):
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = signal.signal(signal.SIGINT, handler)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)


def progress_bar(trainer: Trainer, quiet: bool) -> tqdm:
    """A bar over the steps of the run: time left, tokens per second, loss."""
    total = None if math.isinf(trainer.total) else trainer.total
    interval = 0.1 if sys.stderr.isatty() else 10  # in seconds; every redrawing is a line of a log file
    return tqdm(
        total=total,
        initial=trainer.step,
        unit="step",
        disable=quiet,
        dynamic_ncols=True,
        mininterval=interval,
    )


def show(bar: tqdm, trainer: Trainer) -> None:
    """One step further on the bar; its figures a few times a second."""
    bar.update()
    if trainer.step % 10 == 0 and not bar.disable:
        bar.total = trainer.planned_steps()
        speed = trainer.losses.all_weight / trainer.elapsed()
        figures = f"loss {trainer.losses.mean():.3f}, {speed:,.0f} tokens/s"
        if trainer.history:
            figures += f", dev error {100 * trainer.history[-1]['dev_error_rate']:.1f} %"
        bar.set_postfix_str(figures, refresh=False)


def table(rows: list[dict]) -> str:
    """Rows with the same keys as CSV text."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
