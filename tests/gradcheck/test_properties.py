"""Property checks: planted forward mistakes are found and named, and the engine itself passes.

Every mistake here is one that a gradient check cannot see: backward, were it written, would agree
with the wrong forward. Each case says which property must fail and what the finding must name.
"""

import itertools
import time

import numpy as np
import pytest

from minis2s import functional as F
from minis2s.data.vocabulary import EOS
from minis2s.decode import beam_search
from minis2s.decode.hypothesis import Hypothesis, gnmt_penalty
from minis2s.functional import naive
from minis2s.functional.dropout import draw_dropout_mask
from minis2s.gradcheck.causes import CAUSES
from minis2s.gradcheck.properties import Finding, properties
from minis2s.gradcheck.properties.behaviour import surprise
from minis2s.gradcheck.properties.tree import MISTAKES, simple_beam
from minis2s.models import ModelConfig, Seq2Seq
from minis2s.nn import Dropout
from minis2s.nn.layer import Parameter
from minis2s.optim import SGD, Adam, AdamW, clip_global_norm


def make_model(seed=0, dtype=np.float32, **config) -> Seq2Seq:
    options = {"embed": 3, "hidden": 4} | config
    return Seq2Seq(ModelConfig(**options), 8, 9, rng=np.random.default_rng(seed), dtype=dtype)


def wrong(findings: list[Finding]) -> list[Finding]:
    return [f for f in findings if f.ok is False]


def finding(findings: list[Finding], check: str) -> Finding:
    (found,) = [f for f in findings if f.check == check]
    return found


def assert_named(findings: list[Finding], check: str, said: str, place: str = "") -> None:
    """The property fails, says so in one sentence, and names a known cause and the place."""
    found = finding(findings, check)
    assert found.ok is False, found
    assert said in found.says, found
    assert place in found.place, found
    for f in wrong(findings):
        assert f.cause in CAUSES, f
        assert "\n" not in f.says and "Traceback" not in f.says


# -- the engine passes -------------------------------------------------------------------------------

CONFIGS = [
    {"cell": cell, "attention": attention, "decoder": decoder, "input_feeding": feeding}
    for cell, attention, decoder, feeding in itertools.product(
        ("rnn", "lstm", "gru"), ("none", "general", "additive", "dot"), ("luong", "bahdanau"), (False, True)
    )
    if not (feeding and (decoder == "bahdanau" or attention == "none"))
    and not (attention == "none" and decoder == "bahdanau")
]
BODIES = itertools.cycle(
    {"layers": layers, "bidirectional": both, "dropout": dropout, "bridge": bridge}
    for layers, both, dropout, bridge in itertools.product(
        (1, 2), (True, False), (0.0, 0.3), ("copy", "projection", "zero")
    )
)


@pytest.mark.parametrize(
    "config", [config | next(BODIES) for config in CONFIGS], ids=lambda c: "-".join(map(str, c.values()))
)
def test_every_model_passes(config):
    findings = properties(make_model(seed=3, **config))
    assert wrong(findings) == []
    unjudged = {f.check for f in findings if f.ok is None}
    assert unjudged <= (
        {"attention on padding", "source is used"} if config["attention"] == "none" else set()
    )


def test_the_model_is_left_as_it_was():
    model = make_model(dropout=0.3)
    before, gradients = model.state(), {n: p.grad for n, p in model.parameters().items()}
    assert wrong(properties(model)) == []
    assert all(np.array_equal(model.state()[name], data) for name, data in before.items())
    assert all(p.data.dtype == np.float32 and p.grad is gradients[n] for n, p in model.parameters().items())
    assert model.decoder.dropout.p == 0.3
    assert "forward" not in vars(model.decoder.attention)


def test_a_tiny_model_takes_less_than_a_second():
    model = make_model(layers=2, decoder="bahdanau", attention="additive")
    times = []
    for _ in range(3):
        start = time.perf_counter()
        properties(model)
        times.append(time.perf_counter() - start)
    assert min(times) < 1


def test_a_larger_model_is_not_saturated():
    assert wrong(properties(make_model(embed=40, hidden=48))) == []


@pytest.mark.parametrize("name", sorted({*F.OPS} - {"linear", "embedding", "dropout", "tanh"}))
def test_every_operation_passes(name):
    assert wrong(properties(F.OPS[name])) == []
    assert wrong(properties((F.OPS[name].forward, F.OPS[name].backward), name)) == []
    if name in naive.OPS:
        assert wrong(properties(naive.OPS[name])) == []
    if name in ("rnn", "lstm", "gru"):
        findings = properties(F.OPS[name], step=F.OPS[f"{name}_step"])
        assert finding(findings, "step is sequence").ok
    if name in ("gru", "gru_step"):
        assert wrong(properties(F.OPS[name], reset_after=False)) == []


@pytest.mark.parametrize(
    ("make", "kind"), [(SGD, "sgd"), (SGD, "momentum"), (SGD, "nesterov"), (Adam, "adam"), (AdamW, "adamw")]
)
def test_every_optimizer_passes(make, kind):
    assert wrong(properties(make, kind)) == []
    assert wrong(properties(make, kind, lr=0.01)) == []
    if kind != "adam":
        assert wrong(properties(make, kind, weight_decay=0.2)) == []


def test_search_and_clipping_pass():
    assert wrong(properties(beam_search)) == []
    assert wrong(properties(clip_global_norm)) == []

    def accumulate(parameters, micro_batches, max_norm):
        for add in micro_batches:
            add()
        clip_global_norm(parameters, max_norm)

    assert wrong(properties(accumulate, "accumulation")) == []


# -- mistakes planted in a model ---------------------------------------------------------------------


def instead(owner, name):
    """Decorator: the function, which gets the original first, takes the place of ``owner.name``."""
    original = getattr(owner, name)

    def plant(function):
        setattr(owner, name, lambda *args, **options: function(original, *args, **options))

    return plant


def loss_of(model, value):
    """The model's loss becomes value(logits, batch); backward is left out of the question."""

    @instead(model, "loss")
    def loss(original, batch, **options):
        options = {k: v for k, v in options.items() if k in ("rng", "coins", "stepwise")}
        _, cache = original(batch, **options)
        logits, _ = model.forward(batch.src, batch.src_mask, batch.tgt_in, **options)
        return np.asarray(value(logits, batch)).astype(logits.dtype), cache


def attention_without_mask(m):
    @instead(m.decoder.attention, "forward")
    def forward(original, query, keys, memory, mask=None, **options):
        return original(query, keys, memory, None, **options)


def attention_mask_as_zeros(m):
    """Padded scores are set to 0 and not to something very small."""

    @instead(m.decoder.attention, "forward")
    def forward(original, query, keys, memory, mask=None, **options):
        _, cache = original(query, keys, memory, mask, **options)
        attention = m.decoder.attention
        op, weights = (F.dot_scores, []) if options.get("folded") else (attention.score_op, attention.weights())
        scores, _ = op.forward(query, keys, *(w.data for w in weights))
        weights, softmax = F.masked_softmax.forward(np.where(mask.T[None], scores, 0))
        context, weighted = F.weighted_sum.forward(weights, memory)
        return context, cache._replace(softmax=softmax, weighted_sum=weighted)


def attention_cut_after_softmax(m):
    @instead(m.decoder.attention, "forward")
    def forward(original, query, keys, memory, mask=None, **options):
        _, cache = original(query, keys, memory, None, **options)
        weights = cache.softmax.weights * mask.T[None]
        context, weighted = F.weighted_sum.forward(weights, memory)
        return context, cache._replace(softmax=cache.softmax._replace(weights=weights), weighted_sum=weighted)


def encoder_without_mask(m):
    @instead(m.encoder, "forward")
    def forward(original, src, mask=None, **options):
        return original(src, None, **options)


def one_direction_without_mask(m):
    @instead(m.encoder.rnn.layers[0].backwards, "forward")
    def forward(original, x, state=None, mask=None):
        return original(x, state, None)


def direction_not_turned_back(m):
    """The outputs of the layer that reads from right to left stay in its own order."""

    @instead(m.encoder.rnn.layers[0], "forward")
    def forward(original, x, state=None, mask=None):
        (hs, last), cache = original(x, state, mask)
        H = hs.shape[-1] // 2
        return (np.concatenate([hs[..., :H], hs[::-1, :, H:]], axis=-1), last), cache


def rows_mixed(m):
    @instead(m.encoder, "forward")
    def forward(original, src, mask=None, **options):
        (hs, last), cache = original(src, mask, **options)
        S, B, M = hs.shape
        return (hs.reshape(B, S, M).transpose(1, 0, 2).copy(), last), cache


def normalized_over_the_batch(m):
    @instead(m.decoder.output, "forward")
    def forward(original, x):
        return original(x - x.mean(axis=-2, keepdims=True))


def sees_the_future(m):
    @instead(m.decoder, "forward")
    def forward(original, values, mask, cells, tgt_in, **options):
        return original(values, mask, cells, np.concatenate([tgt_in[1:], tgt_in[-1:]]), **options)


def reads_no_input(m):
    @instead(m.decoder.embedding, "forward")
    def forward(original, ids):
        return original(np.zeros_like(ids))


def input_a_step_late(m):
    @instead(m.decoder, "forward")
    def forward(original, values, mask, cells, tgt_in, **options):
        return original(values, mask, cells, np.concatenate([tgt_in[:1], tgt_in[:-1]]), **options)


def state_not_handed_over(m):
    @instead(m.bridge, "forward")
    def forward(original, states):
        out, cache = original(states)
        return [tuple(np.zeros_like(s) for s in layer) for layer in out], cache


def state_not_handed_over_in_training(m):
    @instead(m.decoder, "forward")
    def forward(original, values, mask, cells, tgt_in, **options):
        return original(values, mask, [tuple(0 * s for s in layer) for layer in cells], tgt_in, **options)


def source_not_read(m):
    @instead(m.encoder.embedding, "forward")
    def forward(original, ids):
        return original(np.where(np.arange(len(ids))[:, None] == 1, 5, ids))


def state_of_last_batch(m):
    kept = [0.0]

    @instead(m.encoder, "forward")
    def forward(original, src, mask=None, **options):
        (hs, last), cache = original(src, mask, **options)
        last = [tuple(s + kept[0] for s in layer) for layer in last]
        kept[0] = last[0][0].mean()
        return (hs, last), cache


def dropout_in_evaluation(m):
    own = np.random.default_rng(0)

    @instead(m.decoder.dropout, "forward")
    def forward(original, x, *, rng=None):
        return original(x, rng=own)


def fixed_dropout_in_evaluation(m):
    @instead(m.decoder.dropout, "forward")
    def forward(original, x, *, rng=None):
        return original(x, rng=np.random.default_rng(0) if rng is None else rng)


def dropout_seeded_anew(m):
    for layer in dropouts(m):

        @instead(layer, "forward")
        def forward(original, x, *, rng=None):
            return original(x, rng=None if rng is None else np.random.default_rng(5))


def dropout_from_another_generator(m):
    own = np.random.default_rng(0)

    @instead(m.encoder.dropout, "forward")
    def forward(original, x, *, rng=None):
        return original(x, rng=None if rng is None else own)


def dropout_not_scaled(m):
    layer = m.decoder.dropout

    def forward(x, *, rng=None):
        if rng is None or layer.p == 0:
            return x, None
        out, cache = F.dropout.forward(x, draw_dropout_mask(x.shape, layer.p, rng), layer.p)
        return out * (1 - layer.p), cache

    layer.forward = forward


def one_mask_for_all_steps(m):
    layer, kept = m.decoder.dropout, {}

    @instead(m, "forward")
    def forward_of_model(original, *args, **options):
        kept.clear()
        return original(*args, **options)

    def forward(x, *, rng=None):
        if rng is None or layer.p == 0:
            return x, None
        size = x.shape[-2:]
        if size not in kept:
            kept[size] = draw_dropout_mask(size, layer.p, rng)
        return F.dropout.forward(x, np.broadcast_to(kept[size], x.shape), layer.p)

    layer.forward = forward


def dropout_forgotten(m):
    for layer in dropouts(m):
        layer.forward = lambda x, rng=None: (x, None)


def dropouts(m):
    return [m.encoder.dropout, m.encoder.rnn.dropout, m.decoder.dropout, m.decoder.cells.dropout]


def log_of_softmax(m):
    @instead(m, "step")
    def step(original, state, tokens):
        log_probs, state = original(state, tokens)
        return np.log(np.exp(log_probs)), state


def loss_without_shift(m):
    def value(logits, batch):
        p = np.exp(logits)
        p = np.take_along_axis(p / p.sum(-1, keepdims=True), batch.tgt_out[..., None], -1)[..., 0]
        return -np.log(p)[batch.tgt_mask].mean()

    loss_of(m, value)


def loss_of_log_softmax(m):
    def value(logits, batch):
        p = np.exp(logits - logits.max(-1, keepdims=True))
        p = np.take_along_axis(p / p.sum(-1, keepdims=True), batch.tgt_out[..., None], -1)[..., 0]
        return -np.log(p)[batch.tgt_mask].mean()

    loss_of(m, value)


def step_gives_logits(m):
    @instead(m, "step")
    def step(original, state, tokens):
        log_probs, state = original(state, tokens)
        return log_probs + 1.0, state


def step_forgets_state(m):
    @instead(m, "step")
    def step(original, state, tokens):
        log_probs, _ = original(state, tokens)
        return log_probs, state


def take_leaves_cells(m):
    @instead(m, "take")
    def take(original, state, index):
        taken = original(state, index)
        n = np.arange(len(index)) % state.memory.values.shape[1]
        return taken._replace(decoder=original(state, n).decoder)


def take_leaves_memory(m):
    @instead(m, "take")
    def take(original, state, index):
        taken = original(state, index)
        n = np.arange(len(index)) % state.memory.values.shape[1]
        return taken._replace(memory=original(state, n).memory)


def coins_ignored(m):
    @instead(m.decoder, "forward")
    def forward(original, *args, coins=None, **options):
        return original(*args, **options)


def coins_reversed(m):
    @instead(m.decoder, "forward")
    def forward(original, *args, coins=None, **options):
        return original(*args, coins=None if coins is None else ~coins, **options)


def worst_token_fed(m):
    @instead(m.decoder, "best_token")
    def best_token(original, attentional):
        return original(-attentional)


def float64_inside(m):
    @instead(m.encoder, "forward")
    def forward(original, src, mask=None, **options):
        (hs, last), cache = original(src, mask, **options)
        return (hs * np.float64(1.0) + np.zeros(hs.shape), last), cache


def batch_changed(m):
    @instead(m, "loss")
    def loss(original, batch, **options):
        result = original(batch, **options)
        batch.tgt_in[0] = EOS
        return result


def masked_mean(pick):
    def plant(m):
        def value(logits, batch):
            s = surprise(logits, batch.tgt_out)
            return pick(s, batch.tgt_mask)

        loss_of(m, value)

    plant.__name__ = pick.__name__
    return plant


def padding_counted(s, mask):
    return s.mean()


def divided_by_all_steps(s, mask):
    return (s * mask).sum() / mask.size


def divided_by_sentences(s, mask):
    return (s * mask).sum() / mask.shape[1]


def mean_of_means(s, mask):
    return ((s * mask).sum(0) / mask.sum(0)).mean()


def in_bits(s, mask):
    return s[mask].mean() / np.log(2)


def sign_of_the_loss(s, mask):
    return -s[mask].mean()


def target_not_shifted(m):
    loss_of(m, lambda logits, batch: surprise(logits, batch.tgt_in)[batch.tgt_mask].mean())


PLANTED = [
    (
        attention_without_mask,
        "attention on padding",
        "padded positions must get no attention",
        "attention weights",
    ),
    (
        attention_without_mask,
        "padding length, source",
        "of its weight to padded positions (source mask)",
        "attention weights",
    ),
    (attention_mask_as_zeros, "attention on padding", "they get up to", "attention weights"),
    (attention_cut_after_softmax, "attention on padding", "must sum to one", "attention weights"),
    (
        encoder_without_mask,
        "padding content, source",
        "this layer is given no mask",
        "last state of encoder layer 0",
    ),
    (
        one_direction_without_mask,
        "padding content, source",
        "output of encoder layer 0, right to left",
        "right to left",
    ),
    (direction_not_turned_back, "padding length, source", "moves the loss", "attention weights"),
    (rows_mixed, "batch order", "rows of the batch are mixed", "rows of the batch"),
    (rows_mixed, "batch-mates", "must not notice the others", ""),
    (normalized_over_the_batch, "batch-mates", "must not notice the others", "decoder"),
    (normalized_over_the_batch, "batch is the mean of singles", "alone and in a batch", ""),
    (sees_the_future, "causality", "sees the future", "decoder, from step 1 to step 0"),
    (reads_no_input, "causality", "does not read its input", "decoder"),
    (input_a_step_late, "causality", "a step late", "decoder"),
    (
        state_not_handed_over,
        "source is used",
        "must move the first state of decoder layer 0",
        "first state of decoder",
    ),
    (state_not_handed_over_in_training, "source is used", "not handed over alike", "decoder state"),
    (source_not_read, "source is used", "source token 1", "encoder layer 0"),
    (state_of_last_batch, "same batch again", "kept from call to call", "model state"),
    (dropout_in_evaluation, "evaluation without dropout", "dropout is active", "dropout"),
    (fixed_dropout_in_evaluation, "evaluation without dropout", "there must be no dropout", "dropout"),
    (dropout_seeded_anew, "training with dropout", "seeded anew", "dropout"),
    (dropout_from_another_generator, "training with dropout", "not all masks come from rng", "dropout"),
    (dropout_not_scaled, "training with dropout", "must be scaled by 2, got a factor 1", "decoder.dropout"),
    (one_mask_for_all_steps, "training with dropout", "a mask of its own", "decoder.dropout"),
    (dropout_forgotten, "training with dropout", "no dropout is active", "dropout"),
    (log_of_softmax, "extreme weights", "rounded to 0", "softmax of the logits"),
    (loss_without_shift, "extreme weights", "exp overflows", "softmax of the logits"),
    (loss_of_log_softmax, "extreme weights", "rounded to 0", "softmax of the logits"),
    (step_gives_logits, "step is forward", "the probabilities of a step sum to", "start"),
    (step_forgets_state, "step is forward", "from step 1 on", "state handed from step to step"),
    (take_leaves_cells, "take reorders", "must bring memory, mask and states", "take"),
    (take_leaves_memory, "take reorders", "must bring memory, mask and states", "take"),
    (coins_ignored, "free running", "the targets must not be read", "decoder input"),
    (coins_reversed, "free running", "must not be read", ""),
    (worst_token_fed, "free running", "the best token of a step must go into the next", "decoder input"),
    (float64_inside, "dtype kept", "must be float32, got float64", ""),
    (batch_changed, "inputs unchanged", "tgt_in was changed", "tgt_in"),
    (masked_mean(padding_counted), "value of the loss", "padding is counted like real tokens", "loss"),
    (masked_mean(padding_counted), "padding content, target", "only the loss (loss mask)", "loss"),
    (masked_mean(divided_by_all_steps), "value of the loss", "divided by all T x B steps", "loss"),
    (masked_mean(divided_by_all_steps), "padding length, target", "divided by all T x B steps", "loss"),
    (masked_mean(divided_by_sentences), "value of the loss", "divided by the number of sentences", "loss"),
    (masked_mean(mean_of_means), "value of the loss", "the mean of the sentences' means", "loss"),
    (masked_mean(mean_of_means), "batch is the mean of singles", "short ones count too much", "loss"),
    (masked_mean(in_bits), "value of the loss", "in bits", "loss"),
    (masked_mean(sign_of_the_loss), "value of the loss", "the sign is wrong", "loss"),
    (target_not_shifted, "value of the loss", "not shifted by a step", "loss"),
]


@pytest.mark.parametrize(
    ("plant", "check", "said", "place"), PLANTED, ids=lambda x: getattr(x, "__name__", None)
)
def test_a_mistake_in_a_model_is_found(plant, check, said, place):
    model = make_model(dropout=0.2)
    plant(model)
    findings = properties(model)
    assert_named(findings, check, said, place)


def test_a_source_that_cannot_be_used_is_not_judged():
    findings = properties(make_model(attention="none", bridge="zero"))
    assert finding(findings, "source is used").ok is None


def test_parallel_and_single_steps_must_agree():
    model = make_model()

    @instead(model.decoder, "step")
    def step(original, x, state, memory, **options):
        (a, after), cache = original(x, state, memory, **options)
        return (2 * a, after), cache

    findings = properties(model)
    assert_named(findings, "stepwise is parallel", "from step 0 on", "step of the decoder")
    assert_named(findings, "greedy is forced", "by teacher forcing", "start and step")


def test_an_error_in_a_model_is_one_sentence():
    model = make_model()

    @instead(model, "loss")
    def loss(original, batch, **options):
        raise KeyError("no such layer")

    findings = properties(model)
    first = wrong(findings)[0]
    assert "KeyError" in first.says and "no such layer" in first.says and "test_properties.py" in first.says
    assert sum("no such layer" in f.says for f in findings) == 1
    assert any(f.ok is None and "came again" in f.says for f in findings)
    assert properties(object(), "model")[0].ok is None


# -- mistakes planted in operations ------------------------------------------------------------------


def sigmoid(z):
    return 0.5 * np.tanh(0.5 * z) + 0.5


def student_lstm(order="ifog", g=np.tanh, squash=np.tanh, bias=0.0, gate=sigmoid, masks=True, state="handed"):
    """An LSTM as a student may write it, with a mistake to choose."""

    def forward(x, h0, c0, Wx, Wh, b, mask=None):
        h, c, hs = h0, c0, []
        for t in range(len(x)):
            z = dict(zip(order, np.split(x[t] @ Wx + h @ Wh + b, 4, axis=1)))
            i, f, o = gate(z["i"]), gate(z["f"] + bias), gate(z["o"])
            c_next = f * c + i * g(z["g"])
            h_next = o * squash(c_next)
            if state == "before":
                hs.append(h)
            if mask is not None and masks:
                real = mask[t][:, None]
                h_next = np.where(real, h_next, 0 if masks == "zero" else h)
                c_next = c_next if masks == "h only" else np.where(real, c_next, 0 if masks == "zero" else c)
            h, c = h_next, (c0 if state == "c lost" else c_next)
            if state != "before":
                hs.append(h)
            if state == "all lost":
                h, c = h0, c0
        return (np.stack(hs), h, c), None

    return forward


def overflowing(z):
    return np.exp(z) / (1 + np.exp(z))


def student_gru(change=""):
    def forward(x, h0, Wx, Wh, bx, bh, mask=None, reset_after=True):
        h, hs, H = h0, [], h0.shape[1]
        for t in range(len(x)):
            zx, zh = x[t] @ Wx + bx, h @ Wh + bh
            r, u = sigmoid(zx[:, :H] + zh[:, :H]), sigmoid(zx[:, H : 2 * H] + zh[:, H : 2 * H])
            if change == "order":
                r, u = u, r
            n = np.tanh(zx[:, 2 * H :] + r * zh[:, 2 * H :])
            if change == "before":
                n = np.tanh(zx[:, 2 * H :] + (r * h) @ Wh[:, 2 * H :] + bh[2 * H :])
            new = (1 - u) * n + u * h
            if change == "exchanged":
                new = u * n + (1 - u) * h
            h = new if mask is None else np.where(mask[t][:, None], new, h)
            hs.append(h)
        return (np.stack(hs), h), None

    return forward


def student_rnn(change=""):
    def forward(x, h0, Wx, Wh, b, mask=None):
        h, hs = h0, []
        x = x[::-1] if change == "backwards" else x
        for t in range(len(x)):
            z = x[t] @ Wx + h @ (Wh.T if change == "transposed" else Wh) + b
            if change == "batch mean":
                z = z - z.mean(axis=0)
            new = np.maximum(z, 0) if change == "relu" else np.tanh(z)
            h = new if mask is None else np.where(mask[t][:, None], new, h)
            hs.append(h)
        return (np.stack(hs), hs[0] if change == "first state" else h), None

    return forward


@pytest.mark.parametrize(
    ("function", "kind", "check", "said", "place"),
    [
        (
            student_lstm(order="ifgo"),
            "lstm",
            "formula",
            "gates in the order i, f, g, o; stated is i, f, o, g",
            "gates",
        ),
        (student_lstm(order="figo"), "lstm", "formula", "in the order f, i, g, o", "gates"),
        (student_lstm(order="ogfi", g=sigmoid), "lstm", "formula", "h[", ""),
        (student_lstm(order="ifgo", squash=lambda c: c), "lstm", "formula", "leaves out tanh in h", "gates"),
        (student_lstm(g=sigmoid), "lstm", "formula", "sigmoid in gate g, where tanh belongs", "g"),
        (
            student_lstm(squash=lambda c: c),
            "lstm",
            "formula",
            "leaves out tanh in h = o * tanh(c)",
            "tanh(c)",
        ),
        (student_lstm(bias=1.0), "lstm", "formula", "adds 1 to the forget gate", "f"),
        (student_lstm(masks=False), "lstm", "padding", "the mask is not used", "mask"),
        (student_lstm(masks="zero"), "lstm", "padding", "set to zero there, not handed on", "mask"),
        (student_lstm(masks="h only"), "lstm", "padding", "", "mask"),
        (student_lstm(state="c lost"), "lstm", "sequence", "c is not handed on", "c"),
        (student_lstm(state="all lost"), "lstm", "sequence", "every step starts from the initial state", "h"),
        (student_lstm(gate=overflowing), "lstm", "large inputs", "exp overflows", "activations"),
        (student_gru("order"), "gru", "formula", "in the order u, r, n; stated is r, u, n", "gates"),
        (
            student_gru("before"),
            "gru",
            "formula",
            "reset gate before the product with Wh; stated is after",
            "r",
        ),
        (student_gru("exchanged"), "gru", "formula", "u and 1 - u exchanged", "u"),
        (student_rnn("relu"), "rnn", "formula", "relu in place of tanh", "tanh"),
        (student_rnn("transposed"), "rnn", "formula", "the transposed Wh", "Wh"),
        (student_rnn("backwards"), "rnn", "sequence", "from right to left", "time"),
        (
            student_rnn("backwards"),
            "rnn",
            "past and future",
            "must not move earlier outputs",
            "from step 3 to step 1",
        ),
        (
            student_rnn("first state"),
            "rnn",
            "sequence",
            "h_last must be the state after the last step: it is the first",
            "h_last",
        ),
        (student_rnn("batch mean"), "rnn", "rows are independent", "must not notice the other rows", "rows"),
    ],
)
def test_a_mistake_in_a_recurrent_pair_is_found(function, kind, check, said, place):
    assert_named(properties(function, kind), check, said, place)


@pytest.mark.parametrize(
    ("function", "kind"), [(student_lstm(), "lstm"), (student_gru(), "gru"), (student_rnn(), "rnn")]
)
def test_the_same_functions_pass_without_a_mistake(function, kind):
    assert wrong(properties(function, kind)) == []


def test_another_stated_order_and_form():
    assert wrong(properties(student_lstm(order="ifgo"), "lstm", gates="ifgo")) == []
    assert wrong(properties(student_gru("before"), "gru", reset_after=False)) == []


def test_step_and_sequence_must_agree():
    findings = properties(student_lstm(g=sigmoid), "lstm", step=F.lstm_step)
    assert_named(findings, "step is sequence", "from step 0 on", "step")


def test_wrong_shapes_and_errors_of_a_pair_are_one_sentence():
    findings = properties(lambda x, h0, Wx, Wh, b, mask=None: (x, None), "rnn")
    assert "must return (out, cache)" in wrong(findings)[0].says
    findings = properties(lambda x, h0, Wx, Wh, b, mask=None: x @ Wh, "rnn")
    assert "ValueError" in wrong(findings)[0].says and "test_properties.py" in wrong(findings)[0].says


def softmax_with(mask_value=None, shift=True, axis=-1, cut=False):
    def forward(scores, mask=None):
        real = True if mask is None else mask.T[None]
        if mask_value is not None:
            scores = np.where(real, scores, mask_value)
        e = np.exp(scores - scores.max(axis=axis, keepdims=True)) if shift else np.exp(scores)
        weights = e / e.sum(axis=axis, keepdims=True)
        return (weights * real if cut else weights), None

    return forward


def cross_entropy_with(change=""):
    def forward(logits, targets, mask=None):
        mask = np.ones(targets.shape, dtype=bool) if mask is None else mask
        shifted = logits - (0 if change == "no shift" else logits.max(-1, keepdims=True))
        p = np.exp(shifted)
        p /= p.sum(-1, keepdims=True)
        p = np.take_along_axis(p, targets[..., None], -1)[..., 0]
        s = surprise(logits, targets)
        if change in ("log of softmax", "no shift"):
            s = -np.log(p)
        if change == "eps":
            s = -np.log(p + 1e-8)
        if change == "padding":
            return s.mean(), None
        if change == "batch":
            return (s * mask).sum() / mask.shape[1], None
        return np.asarray(np.where(mask, s, 0).sum() / max(mask.sum(), 1)).astype(logits.dtype), None

    return forward


def additive_without_tanh(query, keys, Wq, v):
    return (((query @ Wq)[:, None] + keys[None]) @ v).transpose(0, 2, 1), None


def attention_over_padding(query, keys, values, mask):
    scores, _ = F.dot_scores.forward(query, keys)
    return F.weighted_sum.forward(F.masked_softmax.forward(scores)[0], values)


def attention_of_keys(query, keys, values, mask):
    scores, _ = F.dot_scores.forward(query, keys)
    return F.weighted_sum.forward(F.masked_softmax.forward(scores, mask)[0], keys)


@pytest.mark.parametrize(
    ("function", "kind", "check", "said"),
    [
        (softmax_with(), "masked_softmax", "padding gets nothing", "the mask is not used"),
        (
            softmax_with(mask_value=0.0),
            "softmax",
            "padding gets nothing",
            "set to 0, which is no small score",
        ),
        (softmax_with(cut=True), "softmax", "padding gets nothing", "without dividing anew"),
        (softmax_with(mask_value=-np.inf), "softmax", "no real position", "0/0"),
        (softmax_with(mask_value=-1e9), "softmax", "no real position", "zero weights, they sum to 1"),
        (softmax_with(shift=False, cut=True), "softmax", "large scores", "exp overflows"),
        (softmax_with(axis=0), "softmax", "sums to one", "over the steps T"),
        (softmax_with(axis=1), "softmax", "sums to one", "over the batch"),
        (cross_entropy_with("no shift"), "cross_entropy", "large logits", "exp overflows"),
        (cross_entropy_with("log of softmax"), "cross_entropy", "large logits", "the logarithm of a softmax"),
        (
            cross_entropy_with("eps"),
            "cross_entropy",
            "large logits",
            "a small number added inside the logarithm",
        ),
        (cross_entropy_with("padding"), "cross_entropy", "mean over real tokens", "padding is counted"),
        (
            cross_entropy_with("batch"),
            "cross_entropy",
            "mean over real tokens",
            "divided by the number of sentences",
        ),
        (F.dot_scores, "scaled_dot_scores", "value", "not divided by the root of the size"),
        (F.scaled_dot_scores, "dot_scores", "value", "divided by the root of the size"),
        (lambda q, k, W: F.general_scores.forward(q, k, W.T), "general_scores", "value", "W is transposed"),
        (additive_without_tanh, "additive_scores", "value", "tanh is missing"),
        (lambda w, v: F.weighted_sum.forward(w, v[::-1]), "weighted_sum", "value", "from right to left"),
        (
            lambda w, v: F.weighted_sum.forward(w, np.roll(v, 1, 1)),
            "weighted_sum",
            "sentences are independent",
            "must not notice",
        ),
        (attention_over_padding, "attention", "value", "it looks at padding, which gets up to"),
        (attention_over_padding, "attention", "padding content", "must not matter"),
        (attention_of_keys, "attention", "value", "the keys are summed up"),
    ],
)
def test_a_mistake_around_a_softmax_is_found(function, kind, check, said):
    assert_named(properties(function, kind), check, said)


def test_a_loss_that_is_no_scalar():
    """Its shape is told, and no mistake is guessed from the brackets around its number."""
    scalar = cross_entropy_with()

    def in_brackets(*args):
        loss, cache = scalar(*args)
        return np.array([loss]), cache

    (finding,) = wrong(properties(in_brackets, "cross_entropy"))
    assert finding.check == "value"
    assert finding.says == "the loss must be a scalar (shape ()), got shape (1,)"

    def of_tokens(logits, targets, mask=None):
        return surprise(logits, targets), None

    findings = properties(of_tokens, "cross_entropy")
    (finding,) = wrong(findings)
    assert finding.says == "the loss must be a scalar (shape ()), got shape (4, 3)"
    assert "the loss is no scalar, it has shape (4, 3)" in {f.says for f in findings if f.ok is None}
    # in brackets a wrong number is still a wrong number
    padded = cross_entropy_with("padding")
    both = wrong(properties(lambda *args: (np.array([padded(*args)[0]]), None), "cross_entropy"))
    assert {"value", "mean over real tokens", "padding content"} <= {f.check for f in both}


def test_findings_show_as_one_line_each():
    findings = properties(F.lstm.forward, "lstm")
    assert isinstance(findings, list) and len(findings) > 5
    for shown in (str(findings), repr(findings)):
        lines = shown.splitlines()
        assert len(lines) == len(findings) and all(line.startswith("ok ") for line in lines)
    no_model = properties(object(), "model")
    assert str(no_model).startswith("not judged questions: the model cannot be asked")


def test_a_right_cross_entropy_passes():
    assert wrong(properties(cross_entropy_with(), "cross_entropy")) == []


# -- mistakes planted in optimizers ------------------------------------------------------------------


class StudentAdam:
    """Adam as a student may write it, with a mistake to choose."""

    mistake = ""

    def __init__(self, parameters, lr=0.1, betas=(0.9, 0.999), eps=1e-8):
        self.parameters, self.lr, self.betas, self.eps, self.t = parameters, lr, betas, eps, 0
        self.m = {name: np.zeros_like(p.data) for name, p in parameters.items()}
        self.v = {name: np.zeros_like(p.data) for name, p in parameters.items()}

    def step(self):
        (b1, b2), what = self.betas, self.mistake
        if what == "betas":
            b1, b2 = b2, b1
        self.t += what != "per parameter"
        for name, p in self.parameters.items():
            self.t += what == "per parameter"
            g, t = p.grad, self.t - (what == "from 0")
            if what == "in place":
                p.grad *= 2
                g = p.grad / 2
            if what == "reset":
                self.m[name], self.v[name] = 0 * g, 0 * g
            self.m[name] = b1 * self.m[name] + (1 - b1) * g
            self.v[name] = b2 * self.v[name] + (1 - b2) * (np.abs(g) if what == "abs" else g * g)
            m, v = self.m[name], self.v[name]
            if what != "no correction":
                m, v = m / (1 - np.float64(b1) ** t), v / (1 - np.float64(b2) ** t)
            if what == "corrected in place":
                self.m[name], self.v[name] = m, v
            eps = {"eps": 1e-3, "no eps": 0.0}.get(what, self.eps)
            below = (
                v + eps if what == "no root" else np.sqrt(v + eps) if what == "inside" else np.sqrt(v) + eps
            )
            step = self.lr * (self.lr if what == "lr twice" else 1) * m / below
            p.data += step if what == "plus" else -step
            if what == "zeroed":
                p.grad[...] = 0


class StudentMomentum:
    mistake = ""

    def __init__(self, parameters, lr=0.1, momentum=0.9):
        self.parameters, self.lr, self.momentum, self.v = parameters, lr, momentum, {}

    def step(self):
        for name, p in self.parameters.items():
            key = id(p.grad) if self.mistake == "by id" else name
            v, mu = self.v.get(key, np.zeros_like(p.grad)), self.momentum
            if self.mistake == "by id":
                self.v.clear()
                v = np.zeros_like(p.grad)
            self.v[key] = v = mu * v + (1 - mu if self.mistake == "dampening" else 1) * p.grad
            if self.mistake == "kept array":
                self.v[key] = v = self.v.setdefault((name, "first"), p.grad)
            p.data -= self.lr * (p.grad + mu * v if self.mistake == "nesterov" else v)


class LRReadOnce(SGD):
    def __init__(self, parameters, lr):
        super().__init__(parameters, lr)
        self.first = lr

    def step(self):
        self.lr = self.first
        super().step()


class CoupledDecay(Adam):
    def __init__(self, parameters, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1):
        super().__init__(parameters, lr, betas, eps)
        self.weight_decay = weight_decay

    def update(self, p, dp, m, v):
        super().update(p, dp + self.weight_decay * p, m, v)


def student(base, mistake):
    return type(base.__name__, (base,), {"mistake": mistake})


@pytest.mark.parametrize(
    ("make", "kind", "check", "said", "place"),
    [
        (student(StudentAdam, "no correction"), "adam", "rule", "no bias correction", "no bias correction"),
        (student(StudentAdam, "no correction"), "adam", "first step", "3.16 times", "first step"),
        (student(StudentAdam, "from 0"), "adam", "rule", "starts at t = 0", "t starts at 0"),
        (student(StudentAdam, "no root"), "adam", "rule", "divides by v, not by its root", "no root of v"),
        (
            student(StudentAdam, "betas"),
            "adam",
            "rule",
            "step 2 is the first that differs",
            "betas exchanged",
        ),
        (student(StudentAdam, "eps"), "adam", "rule", "has eps = 0.001; stated is 1e-08", "eps"),
        (student(StudentAdam, "inside"), "adam", "rule", "adds eps under the root", "eps inside the root"),
        (student(StudentAdam, "no eps"), "adam", "rule", "leaves out eps", "no eps"),
        (student(StudentAdam, "plus"), "adam", "rule", "the loss rises", "+ instead of -"),
        (student(StudentAdam, "per parameter"), "adam", "rule", "once for each parameter", "t per parameter"),
        (student(StudentAdam, "reset"), "adam", "rule", "starts m and v anew", "state reset"),
        (student(StudentAdam, "lr twice"), "adam", "rule", "multiplies by lr twice", "lr twice"),
        (student(StudentAdam, "abs"), "adam", "rule", "averages |g| in v", "no square"),
        (
            student(StudentAdam, "corrected in place"),
            "adam",
            "rule",
            "corrects them again",
            "corrected in place",
        ),
        (student(StudentAdam, "in place"), "adam", "gradients left alone", "changed in place", "gradient"),
        (student(StudentAdam, "zeroed"), "adam", "gradients left alone", "zeroed", "gradient"),
        (student(StudentMomentum, "by id"), "momentum", "rule", "", "state reset"),
        (student(StudentMomentum, "dampening"), "momentum", "rule", "(1 - momentum) * g", "dampening"),
        (student(StudentMomentum, "nesterov"), "momentum", "rule", "is nesterov, not momentum", "nesterov"),
        (student(StudentMomentum, ""), "nesterov", "rule", "is momentum, not nesterov", "momentum"),
        (
            student(StudentMomentum, "kept array"),
            "momentum",
            "gradients refilled",
            "refilled in place",
            "gradient",
        ),
        (LRReadOnce, "sgd", "lr of each step", "lr is read only once", "lr"),
        (CoupledDecay, "adamw", "rule", "adds the weight decay to the gradient", "decay coupled"),
        (Adam, "adamw", "rule", "has no weight decay", "no decay"),
        (AdamW, "adam", "rule", "", ""),
    ],
)
def test_a_mistake_in_an_optimizer_is_found(make, kind, check, said, place):
    settings = {"weight_decay": 0.1} if make is AdamW else {}
    assert_named(properties(make, kind, **settings), check, said, place)


def test_the_same_optimizers_pass_without_a_mistake():
    assert wrong(properties(StudentAdam, "adam")) == []
    assert wrong(properties(StudentMomentum, "momentum")) == []


def test_an_error_in_an_optimizer_is_one_sentence():
    class Broken(SGD):
        def step(self):
            raise AttributeError("no velocity")

    findings = properties(Broken, "sgd")
    assert "no velocity" in wrong(findings)[0].says and len(wrong(findings)) == 1


def clip_with(change):
    def clip(parameters: dict[str, Parameter], max_norm):
        norms = {name: np.sqrt((p.grad**2).sum()) for name, p in parameters.items()}
        norm = np.sqrt(sum(n**2 for n in norms.values()))
        used = {"sum of norms": sum(norms.values()), "no root": norm**2}.get(change, norm)
        if used > max_norm or change == "always":
            for name, p in parameters.items():
                if change == "value":
                    p.grad = np.clip(p.grad, -max_norm, max_norm)
                elif change == "each":
                    p.grad = p.grad * min(1, max_norm / norms[name])
                elif change != "nothing":
                    p.grad = p.grad * (max_norm / used)
        return max_norm if change == "after" and norm > max_norm else None if change == "none" else norm

    return clip


@pytest.mark.parametrize(
    ("change", "check", "said", "place"),
    [
        ("value", "above the limit", "clipping by value", "by value"),
        ("each", "above the limit", "each parameter is scaled by a norm of its own", "per parameter"),
        ("sum of norms", "above the limit", "the sum of the parameters' norms", "wrong norm"),
        ("no root", "above the limit", "the root is missing", "wrong norm"),
        ("nothing", "above the limit", "nothing is changed", "not in place"),
        ("always", "below the limit", "scaled up to the limit", "below the limit"),
        ("always", "zero gradients", "division by a norm of 0", "zero norm"),
        ("after", "returned norm", "the norm afterwards", "returned norm"),
        ("none", "returned norm", "got None", "returned norm"),
    ],
)
def test_a_mistake_in_clipping_is_found(change, check, said, place):
    assert_named(properties(clip_with(change), "clip"), check, said, place)


def test_clipping_before_the_accumulation_is_complete():
    def too_early(parameters, micro_batches, max_norm):
        for add in micro_batches:
            add()
            clip_global_norm(parameters, max_norm)

    findings = properties(too_early, "accumulation")
    assert_named(findings, "clipped when complete", "after every micro-batch", "clipped too early")


# -- mistakes planted in a beam search ---------------------------------------------------------------


def student_search(mistake=""):
    def search(model, src, src_mask, *, beam, max_length, length_penalty=0.0):
        out = []
        for n in src[0]:
            tokens, score = simple_beam(model, int(n), beam, length_penalty, max_length, mistake)
            finished = len(tokens) < max_length
            log_prob = score * gnmt_penalty(len(tokens) + finished, length_penalty)
            out.append([Hypothesis(tokens, score, log_prob, finished)])
        return out

    return search


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_search_is_found(mistake):
    findings = properties(student_search(mistake), "beam_search")
    place = mistake.removesuffix(", live")  # two ways to write one mistake
    assert place in {f.place for f in wrong(findings)}, wrong(findings)
    assert all(f.cause == "search" for f in wrong(findings))


def test_the_same_search_passes_without_a_mistake():
    assert wrong(properties(student_search(), "beam_search")) == []


def test_a_search_that_never_reorders_its_states():
    """Written with the model's own states: they are never taken along with the beam."""

    class Stuck:
        def __init__(self, model):
            self.model = model
            self.start, self.step = model.start, model.step

        def take(self, state, index):
            return self.model.take(state, np.arange(len(index)) % len(state))

    def search(model, src, src_mask, **options):
        return beam_search(Stuck(model), src, src_mask, **options)

    findings = properties(search, "beam_search")
    assert_named(findings, "narrow beam", "", "not reordered")
    assert_named(findings, "scores", "", "not reordered")


def test_sentences_that_are_mixed_in_a_search():
    def search(model, src, src_mask, **options):
        return beam_search(model, src, src_mask, **options)[::-1]

    assert_named(properties(search, "beam_search"), "batch of sentences", "are mixed", "sentences of a batch")


def test_finished_hypotheses_that_read_on():
    def search(model, src, src_mask, **options):
        model.step(model.start(src, src_mask), np.full(src.shape[1], EOS))
        return beam_search(model, src, src_mask, **options)

    assert_named(properties(search, "beam_search"), "endings", "must not grow", "ending")


# -- the entry ---------------------------------------------------------------------------------------


def test_kinds_are_guessed_or_asked_for():
    assert finding(properties(F.lstm), "formula").ok
    assert finding(properties(AdamW), "rule").ok
    with pytest.raises(ValueError, match="pass kind="):
        properties(lambda x: x)
    with pytest.raises(ValueError, match="kind must be one of"):
        properties(F.lstm, "transformer")


def test_a_finding_reads_as_a_line():
    (first, *_) = properties(F.rnn)
    assert str(first).startswith("ok") and "formula: one step" in str(first)
    assert str(Finding("x", False, "y")).startswith("WRONG")
    assert str(Finding("x", None, "y")).startswith("not judged")


def test_what_never_ends_is_stopped():
    def forward(x, h0, Wx, Wh, b, mask=None):
        while True:
            time.sleep(0.01)

    findings = properties(forward, "rnn", seconds=0.2)
    assert "too slow" in wrong(findings)[0].says


def test_dropout_layers_are_found_in_any_model():
    class Twice(Dropout):
        """A subclass of the engine's layer is one as well."""

    model = make_model()
    model.decoder.dropout = Twice(0.2)
    assert wrong(properties(model)) == []
