"""The optimizers against the papers' own algorithms and torch, and clipping by global norm.

No gradient check sees these: they are followed for several steps instead, and a set of wrong
Adams shows that the comparison would notice the classic mistakes.
"""

import math

import numpy as np
import pytest

from minis2s.nn.layer import Parameter
from minis2s.optim import (
    PIECE,
    SGD,
    Adam,
    AdamW,
    clip_global_norm,
    global_norm,
    gradient_pieces,
    pieces,
)

SHAPES = {"encoder.W": (5, 3), "encoder.b": (3,), "scale": (), "none": (0, 4), "deep": (2, 3, 4)}
STEPS = 7


def make_parameters(dtype=np.float64, seed=0, shapes=SHAPES) -> dict[str, Parameter]:
    rng = np.random.default_rng(seed)
    return {name: Parameter(np.array(rng.standard_normal(shape), dtype)) for name, shape in shapes.items()}


def make_gradients(steps=STEPS, seed=1, dtype=np.float64, shapes=SHAPES) -> list[dict[str, np.ndarray]]:
    """One set of gradients a step, of very different sizes."""
    rng = np.random.default_rng(seed)
    return [
        {
            name: np.array(rng.standard_normal(shape) * 10.0 ** rng.uniform(-3, 2), dtype)
            for name, shape in shapes.items()
        }
        for _ in range(steps)
    ]


def set_gradients(parameters, gradients):
    for name, p in parameters.items():
        p.grad[...] = gradients[name]


def follow(optimizer, gradients):
    """Take one step for each set of gradients; the weights after each step."""
    path = []
    for dp in gradients:
        set_gradients(optimizer.parameters, dp)
        optimizer.step()
        path.append({name: p.data.copy() for name, p in optimizer.parameters.items()})
    return path


def assert_same_path(path, reference, tolerance):
    assert len(path) == len(reference) > 0
    for t, (mine, theirs) in enumerate(zip(path, reference, strict=True), start=1):
        assert mine.keys() == theirs.keys()
        for name in mine:
            assert mine[name].shape == theirs[name].shape
            error = np.max(np.abs(mine[name] - theirs[name]), initial=0)
            assert error <= tolerance, f"{name} at step {t}: off by {error}"


# the papers' algorithms, for one array, written down as they stand there


def plain_sgd(theta, gradients, lr, momentum=0.0, weight_decay=0.0):
    """Sutskever et al. 2013, eqs. 1-2, with L2 regularisation in the gradient."""
    velocity = np.zeros_like(theta)
    for dp in gradients:
        gradient = dp + weight_decay * theta
        velocity = momentum * velocity - lr * gradient
        theta = theta + velocity
        yield theta


def plain_nesterov(theta, gradients, lr, momentum, nesterov, weight_decay=0.0):
    """Sutskever et al. 2013, eqs. 3-4; what is seen from outside is their look-ahead point."""
    assert nesterov
    velocity = np.zeros_like(theta)
    for dp in gradients:
        gradient = dp + weight_decay * (theta + momentum * velocity)
        velocity = momentum * velocity - lr * gradient
        theta = theta + velocity
        yield theta + momentum * velocity


def plain_adam(theta, gradients, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
    """Kingma and Ba 2015, algorithm 1; with Loshchilov and Hutter's decay when that is not 0."""
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    for t, dp in enumerate(gradients, start=1):
        m = betas[0] * m + (1 - betas[0]) * dp
        v = betas[1] * v + (1 - betas[1]) * dp**2
        m_hat = m / (1 - betas[0] ** t)
        v_hat = v / (1 - betas[1] ** t)
        theta = theta - lr * (m_hat / (np.sqrt(v_hat) + eps) + weight_decay * theta)
        yield theta


def follow_plain(plain, parameters, gradients, **options):
    """What `follow` returns, by one of the algorithms above."""
    paths = {n: list(plain(p.data, [dp[n] for dp in gradients], **options)) for n, p in parameters.items()}
    return [{n: path[t] for n, path in paths.items()} for t in range(len(gradients))]


CASES = {
    "sgd": (SGD, plain_sgd, {"lr": 0.02}),
    "sgd, decay": (SGD, plain_sgd, {"lr": 0.02, "weight_decay": 0.3}),
    "sgd, momentum": (SGD, plain_sgd, {"lr": 0.02, "momentum": 0.9}),
    "sgd, momentum, decay": (SGD, plain_sgd, {"lr": 0.02, "momentum": 0.7, "weight_decay": 0.3}),
    "nesterov": (SGD, plain_nesterov, {"lr": 0.02, "momentum": 0.9, "nesterov": True}),
    "nesterov, decay": (
        SGD,
        plain_nesterov,
        {"lr": 0.02, "momentum": 0.7, "nesterov": True, "weight_decay": 0.3},
    ),
    "adam": (Adam, plain_adam, {"lr": 0.05}),
    "adam, other betas": (Adam, plain_adam, {"lr": 0.05, "betas": (0.5, 0.8), "eps": 1e-2}),
    "adam, no memory": (Adam, plain_adam, {"lr": 0.05, "betas": (0.0, 0.0)}),
    "adamw": (AdamW, plain_adam, {"lr": 0.05, "weight_decay": 0.01}),
    "adamw, strong decay": (AdamW, plain_adam, {"lr": 0.05, "betas": (0.6, 0.9), "weight_decay": 0.9}),
}
each_case = pytest.mark.parametrize("case", CASES)


def make_optimizer(case, parameters):
    kind, _, options = CASES[case]
    return kind(parameters, **options)


@each_case
def test_each_optimizer_follows_the_algorithm_of_its_paper(case):
    kind, plain, options = CASES[case]
    parameters, gradients = make_parameters(), make_gradients()
    reference = follow_plain(plain, parameters, gradients, **options)
    assert_same_path(follow(kind(parameters, **options), gradients), reference, 1e-12)


@each_case
def test_each_optimizer_agrees_with_torch(case):
    torch = pytest.importorskip("torch")
    kind, _, options = CASES[case]
    parameters, gradients = make_parameters(), make_gradients()
    theirs = {name: torch.tensor(p.data, requires_grad=True) for name, p in parameters.items()}
    optimizer = getattr(torch.optim, kind.__name__)(theirs.values(), **options)
    reference = []
    for dp in gradients:
        for name, tensor in theirs.items():
            tensor.grad = torch.tensor(dp[name])
        optimizer.step()
        reference.append({name: tensor.detach().numpy().copy() for name, tensor in theirs.items()})
    assert_same_path(follow(kind(parameters, **options), gradients), reference, 1e-12)


@each_case
def test_float32_stays_float32_and_near_float64(case):
    gradients = make_gradients(dtype=np.float32)
    single, double = make_parameters(np.float32), make_parameters(np.float32)
    for p in double.values():
        p.data, p.grad = p.data.astype(np.float64), p.grad.astype(np.float64)
    optimizer = make_optimizer(case, single)
    path = follow(optimizer, gradients)
    for p in single.values():
        assert p.data.dtype == p.grad.dtype == np.float32
    for key, array in optimizer.state().items():
        assert key == "step" or array.dtype == np.float32
    assert_same_path(path, follow(make_optimizer(case, double), gradients), 1e-4)


@each_case
def test_arrays_are_changed_in_place_and_gradients_left_alone(case):
    parameters = make_parameters()
    before = {name: (p.data, p.grad, p.data.copy()) for name, p in parameters.items()}
    optimizer = make_optimizer(case, parameters)
    dp = make_gradients()[0]
    set_gradients(parameters, dp)
    for _ in range(3):
        optimizer.step()
    for name, p in parameters.items():
        data, grad, old = before[name]
        assert p.data is data and p.grad is grad
        assert np.array_equal(grad, dp[name])
        assert p.data.size == 0 or np.all(data != old)


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 5])
def test_pieces_are_views_that_meet_every_number_once(size):
    a, b = np.zeros((size, 1)), np.arange(size)
    for piece_a, piece_b in pieces(a, b):
        assert piece_a.size <= PIECE and np.shares_memory(piece_a, a) and np.shares_memory(piece_b, b)
        piece_a += 1 + piece_b
    assert a[:, 0].tolist() == list(range(1, size + 1))


def test_an_array_out_of_order_is_one_piece():
    a, b = np.zeros((300, 200), order="F"), np.zeros((300, 200))
    [(piece_a, piece_b)] = pieces(a, b)
    assert piece_a is a and piece_b is b


def several_pieces(rng):
    """Parameters of two and a half pieces, of one, and of none, with gradients."""
    parameters = {
        name: Parameter(rng.standard_normal(shape))
        for name, shape in {"large": (5, PIECE // 2), "small": (3, 4), "empty": (0, 2)}.items()
    }
    for p in parameters.values():
        p.grad[...] = rng.standard_normal(p.grad.shape)
    return parameters


def backwards(function, items):
    """A `spread` that takes the last piece first, as threads may."""
    return [function(item) for item in list(items)[::-1]][::-1]


@each_case
@pytest.mark.parametrize("max_norm", [1.0, np.inf])
def test_the_order_of_the_pieces_does_not_matter(case, max_norm):
    straight, turned = (several_pieces(np.random.default_rng(5)) for _ in range(2))
    assert len(gradient_pieces(straight)) == 4
    before = straight["large"].data.copy()
    for parameters, options in ((straight, {}), (turned, {"spread": backwards})):
        optimizer = make_optimizer(case, parameters)
        for _ in range(2):
            clip_global_norm(parameters, max_norm, **options)
            optimizer.step(**options)
    assert (straight["large"].data != before).all()
    for name, p in straight.items():
        assert np.array_equal(p.data, turned[name].data) and np.array_equal(p.grad, turned[name].grad), name


def test_running_arrays_share_no_memory_with_the_weights():
    parameters = make_parameters()
    optimizer = Adam(parameters, lr=0.1)
    own = list(optimizer.remembered().values())
    for p in parameters.values():
        assert not any(np.shares_memory(array, p.data) or np.shares_memory(array, p.grad) for array in own)


@each_case
def test_weights_that_are_not_contiguous_take_the_same_steps(case):
    gradients = make_gradients()
    straight, turned = make_parameters(), make_parameters()
    for p in turned.values():
        p.data, p.grad = np.array(p.data, order="F"), np.array(p.grad, order="F")
    assert not turned["deep"].data.flags.c_contiguous
    reference = follow(make_optimizer(case, straight), gradients)
    assert_same_path(follow(make_optimizer(case, turned), gradients), reference, 0)


@each_case
def test_state_continues_bit_for_bit(case):
    gradients = make_gradients(dtype=np.float32)
    whole = follow(make_optimizer(case, make_parameters(np.float32)), gradients)

    first = make_optimizer(case, make_parameters(np.float32))
    follow(first, gradients[:3])
    state = first.state()
    second = make_optimizer(case, make_parameters(np.float32, seed=9))
    for name, p in second.parameters.items():
        p.data[...] = first.parameters[name].data
    follow(first, gradients[3:])  # must not reach into the state that was taken
    second.load_state(state)
    assert second.steps == 3
    for mine, reference in zip(follow(second, gradients[3:]), whole[3:], strict=True):
        for name in mine:
            assert np.array_equal(mine[name], reference[name])


def test_state_is_a_copy_with_one_entry_for_each_running_array():
    parameters = make_parameters(shapes={"W": (2, 3), "b": (3,)})
    adam = Adam(parameters, lr=0.1)
    set_gradients(parameters, make_gradients(shapes={"W": (2, 3), "b": (3,)})[0])
    adam.step()
    state = adam.state()
    assert list(state) == ["step", "m/W", "m/b", "v/W", "v/b"]
    assert state["step"].shape == () and state["step"] == 1
    assert np.all(state["m/W"] != 0)
    state["m/W"][...] = 0
    assert np.all(adam.state()["m/W"] != 0)
    assert list(SGD(parameters, lr=0.1).state()) == ["step"]
    assert list(SGD(parameters, lr=0.1, momentum=0.5).state()) == ["step", "v/W", "v/b"]


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda state: state.pop("v/b"), "'v/b' is missing"),
        (lambda state: state.pop("step"), "'step' is missing"),
        (lambda state: state.update({"v/c": np.zeros(3)}), "'v/c' is unknown"),
        (lambda state: state.update({"v/b": np.zeros(4)}), r"'v/b' should have shape \(3,\), got \(4,\)"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(change, message):
    shapes = {"W": (2, 3), "b": (3,)}
    adam = Adam(make_parameters(shapes=shapes), lr=0.1)
    follow(adam, make_gradients(shapes=shapes))
    before = adam.state()
    state = {key: array + 1 for key, array in before.items()}
    change(state)
    with pytest.raises(ValueError, match=message):
        adam.load_state(state)
    for key, array in adam.state().items():
        assert np.array_equal(array, before[key])


def test_the_learning_rate_can_change_between_steps():
    gradients = make_gradients(steps=2)
    optimizer = Adam(make_parameters(), lr=0.5)
    start = {name: p.data.copy() for name, p in optimizer.parameters.items()}
    optimizer.lr = 0.0
    assert_same_path(follow(optimizer, gradients[:1]), [start], 0)
    optimizer.lr = np.float64(0.25)  # what a NumPy schedule would give
    moved = follow(optimizer, gradients[1:])[0]
    m_hat = {n: (0.09 * gradients[0][n] + 0.1 * gradients[1][n]) / (1 - 0.9**2) for n in start}
    v_hat = {
        n: (0.000999 * gradients[0][n] ** 2 + 0.001 * gradients[1][n] ** 2) / (1 - 0.999**2) for n in start
    }
    wanted = {n: start[n] - 0.25 * m_hat[n] / (np.sqrt(v_hat[n]) + 1e-8) for n in start}
    assert_same_path([moved], [wanted], 1e-12)


def test_adams_first_step_is_the_learning_rate_whatever_the_gradient():
    parameters = {"w": Parameter(np.zeros(5))}
    parameters["w"].grad[...] = [1e-3, -1e-3, 1.0, -50.0, 1e6]
    Adam(parameters, lr=0.01).step()
    assert np.max(np.abs(parameters["w"].data - [-0.01, 0.01, -0.01, 0.01, -0.01])) <= 1e-6


def test_adam_is_quiet_where_a_gradient_is_and_stays_zero():
    parameters = {"w": Parameter(np.ones(3, np.float32))}
    optimizer = Adam(parameters, lr=0.1)
    for _ in range(5):
        optimizer.step()
    assert np.array_equal(parameters["w"].data, np.ones(3))


@pytest.mark.parametrize("case", [case for case in CASES if case != "adam, no memory"])
def test_a_bowl_is_descended(case):
    target = np.array([3.0, -2.0])
    parameters = {"w": Parameter(np.zeros(2))}
    kind, _, options = CASES[case]
    optimizer = kind(parameters, **(options | ({"weight_decay": 0.0} if "weight_decay" in options else {})))
    for _ in range(400):
        parameters["w"].grad[...] = parameters["w"].data - target
        optimizer.step()
    assert np.max(np.abs(parameters["w"].data - target)) <= 1e-2


# wrong Adams: each differs from the right one by one mistake, and must be noticed


class AdamWith(Adam):
    """Adam written plainly, with places where a mistake can be put in."""

    def corrections(self):
        return 1 - self.betas[0] ** self.steps, 1 - self.betas[1] ** self.steps

    def root(self, v):
        return np.sqrt(v)

    def direction(self):
        return -1

    def remember(self, m, v):
        pass

    def update(self, p, dp, m, v):
        self.remember(m, v)
        m[...] = self.betas[0] * m + (1 - self.betas[0]) * dp
        v[...] = self.betas[1] * v + (1 - self.betas[1]) * dp**2
        first, second = self.corrections()
        p += self.direction() * self.lr * (m / first) / (self.root(v / second) + self.eps)


class NoBiasCorrection(AdamWith):
    def corrections(self):
        return 1.0, 1.0


class CountsFromZero(AdamWith):
    def corrections(self):
        with np.errstate(all="ignore"):
            return 1 - np.float64(self.betas[0]) ** (self.steps - 1), 1 - self.betas[1] ** (self.steps - 1)


class NoRoot(AdamWith):
    def root(self, v):
        return v


class BetasExchanged(AdamWith):
    def __init__(self, parameters, lr):
        super().__init__(parameters, lr, betas=(0.999, 0.9))


class LargeEps(AdamWith):
    def __init__(self, parameters, lr):
        super().__init__(parameters, lr, eps=1e-3)


class Uphill(AdamWith):
    def direction(self):
        return +1


class Forgetful(AdamWith):
    """Its running arrays begin anew at each step, as when they are keyed by the id of a new array."""

    def remember(self, m, v):
        m[...] = 0
        v[...] = 0


def worst_error_of_adam(kind, steps):
    shapes = {"w": (4, 3)}
    parameters, gradients = make_parameters(shapes=shapes), make_gradients(steps, shapes=shapes)
    reference = follow_plain(plain_adam, parameters, gradients, lr=0.05)
    with np.errstate(all="ignore"):
        path = follow(kind(parameters, 0.05), gradients)
    return max(np.max(np.abs(mine["w"] - theirs["w"])) for mine, theirs in zip(path, reference, strict=True))


@pytest.mark.parametrize("kind", [Adam, AdamWith])
def test_right_adams_pass_the_comparison(kind):
    assert worst_error_of_adam(kind, STEPS) <= 1e-12


@pytest.mark.parametrize(
    "kind", [NoBiasCorrection, CountsFromZero, NoRoot, BetasExchanged, LargeEps, Uphill, Forgetful]
)
def test_wrong_adams_are_noticed(kind):
    error = worst_error_of_adam(kind, STEPS)
    assert not error <= 1e-4  # nan is an error too


def test_one_step_would_not_be_enough_to_notice():
    # exchanged betas and a lost memory agree with Adam at step 1: hence several steps above
    for kind in (BetasExchanged, Forgetful):
        assert worst_error_of_adam(kind, 1) <= 1e-12


# clipping


def with_gradients(dtype=np.float64, **gradients) -> dict[str, Parameter]:
    parameters = {name: Parameter(np.zeros(np.shape(g), dtype)) for name, g in gradients.items()}
    set_gradients(parameters, gradients)
    return parameters


def test_the_norm_is_of_all_gradients_together():
    parameters = with_gradients(a=[[3.0, 0.0], [0.0, 4.0]], b=[12.0], c=np.zeros((0, 2)), d=84.0)
    assert global_norm(parameters) == 85.0  # 9 + 16 + 144 + 7056
    assert type(global_norm(parameters)) is float
    assert global_norm({}) == 0.0


@pytest.mark.parametrize("max_norm", [85.0, 85.1, 1e9, math.inf])
def test_gradients_at_or_below_the_limit_are_untouched(max_norm):
    parameters = with_gradients(a=[[3.0, 0.0], [0.0, 4.0]], b=[12.0], d=84.0)
    assert clip_global_norm(parameters, max_norm) == 85.0
    assert np.array_equal(parameters["a"].grad, [[3.0, 0.0], [0.0, 4.0]])
    assert np.array_equal(parameters["b"].grad, [12.0])
    assert parameters["d"].grad == 84.0


@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-14), (np.float32, 1e-6)])
def test_gradients_above_the_limit_get_exactly_that_norm_and_keep_their_direction(dtype, tolerance):
    gradients = make_gradients()[0]
    parameters = with_gradients(dtype, **gradients)
    arrays = {name: p.grad for name, p in parameters.items()}
    norm = math.sqrt(sum(float((g**2).sum()) for g in gradients.values()))
    limit = norm / 3
    assert abs(clip_global_norm(parameters, limit) / norm - 1) <= tolerance
    assert abs(global_norm(parameters) / limit - 1) <= tolerance
    for name, p in parameters.items():
        # one factor for all: neither by value nor array by array
        assert p.grad is arrays[name] and p.grad.dtype == dtype
        assert np.max(np.abs(p.grad - gradients[name] / 3), initial=0) <= tolerance


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_norm_that_is_not_finite_is_returned_and_changes_nothing(bad):
    parameters = with_gradients(a=[1.0, bad, 300.0], b=[500.0])
    norm = clip_global_norm(parameters, 1.0)
    assert math.isnan(norm) if math.isnan(bad) else norm == math.inf
    assert np.array_equal(parameters["a"].grad, [1.0, bad, 300.0], equal_nan=True)
    assert np.array_equal(parameters["b"].grad, [500.0])


def test_squares_beyond_the_dtype_count_as_infinite():
    parameters = with_gradients(np.float32, a=[1e30, 1.0])
    assert clip_global_norm(parameters, 1.0) == math.inf
    assert np.array_equal(parameters["a"].grad, np.array([1e30, 1.0], np.float32))


def test_clipping_belongs_after_the_last_micro_batch():
    first, second = make_gradients(steps=2, shapes={"w": (6,)})
    summed = with_gradients(w=first["w"] + second["w"])
    clip_global_norm(summed, 1.0)
    too_early = with_gradients(**first)
    clip_global_norm(too_early, 1.0)
    too_early["w"].grad += second["w"]
    clip_global_norm(too_early, 1.0)
    wanted = (first["w"] + second["w"]) / np.linalg.norm(first["w"] + second["w"])
    assert np.max(np.abs(summed["w"].grad - wanted)) <= 1e-14
    assert np.max(np.abs(too_early["w"].grad - wanted)) > 1e-3


@pytest.mark.parametrize("max_norm", [0, -1.0, math.nan])
def test_a_limit_must_be_above_zero(max_norm):
    with pytest.raises(ValueError, match="max_norm must be above 0"):
        clip_global_norm(with_gradients(a=[1.0]), max_norm)


# misuse


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda p: SGD({}, 0.1), "at least one parameter"),
        (lambda p: SGD(p, -0.1), "lr must be"),
        (lambda p: Adam(p, math.nan), "lr must be"),
        (lambda p: SGD(p, 0.1, momentum=1.0), "momentum must be"),
        (lambda p: SGD(p, 0.1, nesterov=True), "nesterov=True needs"),
        (lambda p: SGD(p, 0.1, weight_decay=-1), "weight_decay must be"),
        (lambda p: Adam(p, 0.1, betas=(0.9, 1.0)), "betas must be"),
        (lambda p: Adam(p, 0.1, betas=(0.9,)), "betas must be"),
        (lambda p: Adam(p, 0.1, eps=0.0), "eps must be"),
        (lambda p: AdamW(p, 0.1, weight_decay=math.inf), "weight_decay must be"),
    ],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make(make_parameters())


def test_a_model_cast_after_its_optimizer_was_made_is_noticed():
    parameters = make_parameters(np.float32)
    optimizer = Adam(parameters, lr=0.1)
    p = parameters["encoder.W"]
    p.data, p.grad = p.data.astype(np.float64), p.grad.astype(np.float64)
    with pytest.raises(ValueError, match="'encoder.W' is float64, the optimizer was made for float32"):
        optimizer.step()


def test_the_repr_names_the_settings():
    assert repr(SGD(make_parameters(), 0.1, momentum=0.9)) == (
        "SGD(lr=0.1, steps=0, momentum=0.9, nesterov=False, weight_decay=0.0)"
    )


# on a device


@each_case
def test_nothing_crosses_between_host_and_device_in_a_step(case, strict_xp):
    gradients = make_gradients(dtype=np.float32)
    on_host = make_parameters(np.float32)
    on_device = {name: Parameter(strict_xp.asarray(p.data)) for name, p in on_host.items()}
    host, device = make_optimizer(case, on_host), make_optimizer(case, on_device)
    for dp in gradients:
        set_gradients(on_host, dp)
        for name, p in on_device.items():
            p.grad[...] = strict_xp.asarray(dp[name])
        host.step()
        strict_xp.transfers.reset()
        device.step()
        assert strict_xp.transfers.events == []
        assert clip_global_norm(on_device, 0.5) == clip_global_norm(on_host, 0.5)
    for name, p in on_device.items():
        assert np.array_equal(strict_xp.asnumpy(p.data), on_host[name].data)
        assert np.array_equal(strict_xp.asnumpy(p.grad), on_host[name].grad)
    state = device.state()
    assert all(type(array) is np.ndarray for array in state.values())
    again = make_optimizer(case, on_device)
    again.load_state(state)
    for key, array in again.state().items():
        assert np.array_equal(array, state[key])


@pytest.mark.gpu
@each_case
def test_a_gpu_takes_the_same_steps(case, gpu):
    gradients = make_gradients(dtype=np.float32)
    on_host = make_parameters(np.float32)
    on_device = {name: Parameter(gpu.asarray(p.data)) for name, p in on_host.items()}
    host, device = make_optimizer(case, on_host), make_optimizer(case, on_device)
    for dp in gradients:
        set_gradients(on_host, dp)
        for name, p in on_device.items():
            p.grad[...] = gpu.asarray(dp[name])
        norms = clip_global_norm(on_device, 20.0), clip_global_norm(on_host, 20.0)
        assert abs(norms[0] / norms[1] - 1) <= 1e-5
        host.step()
        device.step()
    for name, p in on_device.items():
        assert p.data.dtype == np.float32
        assert np.max(np.abs(gpu.asnumpy(p.data) - on_host[name].data), initial=0) <= 1e-4
