"""One program serves all nets that are alike but for weights, seeds and rate; a net with parts of one's own keeps its.

Programs are counted by how often a step is traced: Python runs `train_step` only then.
"""

import contextlib
import gc
import os
import threading
import weakref

import keras
import numpy as np
import pytest
from keras import layers
from test_fit_equals_keras import CASES, LEFT_TO_KERAS, QUICK, build_two, outcome

from kit.training import clear_programs, dice_loss, fit, programs

BACKEND = keras.backend.backend()
pytestmark = [
    pytest.mark.skipif(BACKEND not in ("tensorflow", "jax"), reason="left to Keras"),
    pytest.mark.slow,
]
RANDOM = np.random.default_rng(0)
X, Y = RANDOM.random((40, 6), "float32"), RANDOM.integers(0, 3, 40)
SHARED = "program shared with an earlier fit"


@pytest.fixture(autouse=True)
def empty_store():
    clear_programs()
    yield
    clear_programs()


@pytest.fixture
def traced(monkeypatch):
    """A list that grows by an entry whenever a program is traced."""
    steps, original = [], keras.Model.train_step

    def train_step(self, *arguments):
        steps.append(type(self))
        return original(self, *arguments)

    monkeypatch.setattr(keras.Model, "train_step", train_step)
    return steps


def net(seed=0, rate=0.1, drop=0.4, units=4, optimizer=None, more=(), trainable=True, **settings):
    keras.utils.set_random_seed(seed)
    body = [keras.Input((6,)), layers.Dense(units, trainable=trainable), layers.Dropout(drop, seed=seed), *more]
    model = keras.Sequential([*body, layers.Dense(3, "softmax")])
    settings = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]} | settings
    model.compile(optimizer or keras.optimizers.Adam(rate), **settings)
    return model


def trained(model, **settings):
    settings = {"batch_size": 16, "verbose": 0, "seed": 0} | settings
    history = fit(model, X, Y, **settings)
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    return history, [np.asarray(variable) for variable in variables]


def unshared(model, **settings):
    """Trained by a program of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programs, "COUNT", 0)
        patch.setattr(programs, "BYTES", 0)
        return trained(model, **settings)


def assert_same(one, other):
    assert one[0].history == other[0].history
    for ours, theirs in zip(one[1], other[1], strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("change", [{}, {"seed": 1}, {"rate": 0.01}, {"seed": 2, "name": "mine"}], ids=str)
def test_a_net_that_is_alike_shares_and_is_trained_to_the_bit_as_by_its_own(change, traced):
    def build():
        named = {"optimizer": keras.optimizers.Adam(0.3, name=change["name"])} if "name" in change else {}
        return net(**{name: value for name, value in change.items() if name != "name"}, **named)

    settings = {"epochs": 2, "validation_split": 0.2}
    trained(net(), **settings)
    made = len(traced)
    got = trained(build(), **settings)
    assert len(traced) == made > 0 and got[0].engine.endswith(SHARED)
    expected = unshared(build(), **settings)
    assert len(traced) > made and "program of this net" in expected[0].engine
    assert_same(got, expected)
    assert any(np.abs(value).max() > 0 for value in got[1]) and len(set(got[0].history["loss"])) == 2


def test_validation_shares_its_program_too(monkeypatch):
    steps, original = [], keras.Model.test_step
    monkeypatch.setattr(keras.Model, "test_step", lambda self, *given: steps.append(1) or original(self, *given))
    for seed in (0, 1):
        trained(net(seed), validation_split=0.2)
    made = len(steps)
    trained(net(2), validation_split=0.2)
    assert len(steps) == made > 0


@pytest.mark.skipif(BACKEND != "tensorflow", reason="XLA wants to know the number of images")
def test_folds_of_other_sizes_share(traced):
    for count in (40, 33, 17):
        assert np.isfinite(fit(net(), X[:count], Y[:count], batch_size=16, verbose=0).history["loss"]).all()
    assert len(traced) == 1


DIFFERENT = {
    "a frozen layer": {"trainable": False},
    "another width": {"units": 5},
    "another rate of dropout": {"drop": 0.3},
    "another loss": {"loss": lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True)},
    "another metric": {"metrics": ["sparse_categorical_crossentropy"]},
    "no metric": {"metrics": None},
    "a weighted metric": {"weighted_metrics": ["accuracy"]},
    "weight of the loss": {"loss_weights": 0.5},
    "another optimizer": {"optimizer": "sgd"},
    "a schedule": {
        "optimizer": lambda: keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.1, 9, 0.5))
    },
    "weight decay": {"optimizer": lambda: keras.optimizers.Adam(0.1, weight_decay=0.1)},
    "moving averages": {"optimizer": lambda: keras.optimizers.Adam(0.1, use_ema=True)},
    "another batch size": {"batch_size": 8},
    "weights of the images": {"sample_weight": np.ones(40, "float32")},
}


@pytest.mark.parametrize("change", DIFFERENT.values(), ids=DIFFERENT)
def test_what_differs_does_not_share(change):
    trained(net())
    change = {name: value() if callable(value) else value for name, value in change.items()}
    of_fit = {name: change.pop(name) for name in ("batch_size", "sample_weight") if name in change}
    assert SHARED not in trained(net(**change), **of_fit)[0].engine
    assert trained(net(1))[0].engine.endswith(SHARED)


def test_what_a_config_does_not_hold_does_not_share():
    """Keras' config of a Huber loss has no delta, that of an optimizer none of what is left out of weight decay."""
    for delta in (1.0, 0.3):
        huber = net(loss=keras.losses.Huber(delta=delta), metrics=None)
        assert SHARED not in fit(huber, X, np.eye(3)[Y], verbose=0).engine
    for names in ([], ["bias"]):
        optimizer = keras.optimizers.AdamW(0.1)
        optimizer.exclude_from_weight_decay(var_names=names)
        assert SHARED not in trained(net(optimizer=optimizer))[0].engine


def relu(x):  # the name of one of Keras' own, which a config cannot tell from this
    return x * 0.5


class Own(layers.Dense):
    pass


OWN = {
    "a loss": lambda: net(loss=lambda y, p: keras.ops.mean(p, -1)),
    "a metric": lambda: net(metrics=[lambda y, p: keras.ops.mean(p, -1)]),
    "a Lambda": lambda: net(more=[layers.Lambda(lambda x: x * 2)]),
    "a layer's class": lambda: net(more=[Own(3)]),
    "an activation with a name of Keras'": lambda: net(more=[layers.Dense(3, relu)]),
    "a rate": lambda: net(optimizer=keras.optimizers.SGD(lambda: 0.1)),
}


@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`")
@pytest.mark.parametrize("build", OWN.values(), ids=OWN)
def test_a_net_with_parts_of_ones_own_compiles_once_and_for_itself(build, traced):
    trained(net(more=[layers.Dense(3, "relu")]))  # what the named activation could be taken for
    model, made = build(), len(traced)
    assert trained(model)[0].engine.endswith("program of this net")
    once = len(traced)
    assert trained(model)[0].engine.endswith("program of this net from an earlier fit")
    assert len(traced) == once > made
    assert trained(build())[0].engine.endswith("program of this net") and len(traced) > once
    model.compile("sgd", "sparse_categorical_crossentropy")
    trained(model)
    if BACKEND == "jax":
        return  # where Keras' optimizers take no other variables than they were built for
    model.layers[0].trainable = False
    before, made = np.asarray(model.layers[0].kernel), len(traced)
    trained(model)
    assert len(traced) > made and np.array_equal(before, np.asarray(model.layers[0].kernel))


def test_functions_of_the_kit_share(traced):
    masks, x = RANDOM.integers(0, 2, (8, 4, 4, 1)), RANDOM.random((8, 4, 4, 1), "float32")
    for _ in range(2):
        model = keras.Sequential([keras.Input((4, 4, 1)), layers.Conv2D(2, 1, activation="softmax")])
        model.compile("sgd", dice_loss)
        history = fit(model, x, masks, verbose=0)
    assert history.engine.endswith(SHARED)


class Meddling(keras.callbacks.Callback):
    """Notes and changes what a callback may."""

    def on_epoch_end(self, epoch, logs=None):
        self.seen = [*getattr(self, "seen", []), *map(np.copy, self.model.get_weights())]
        self.model.set_weights([weight / 2 for weight in self.model.get_weights()])
        self.model.optimizer.learning_rate = 0.0 if epoch else 0.05


def test_callbacks_see_and_change_the_net_itself():
    trained(net())
    watches = [Meddling(), Meddling()]
    weights = net().get_weights()
    got = trained(net(1), epochs=3, callbacks=[watches[0]])
    assert got[0].engine.endswith(SHARED)
    assert_same(got, unshared(net(1), epochs=3, callbacks=[watches[1]]))
    for ours, theirs in zip(*(watch.seen for watch in watches), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    third, second = watches[0].seen[-len(weights) :], watches[0].seen[-2 * len(weights) : -len(weights)]
    np.testing.assert_array_equal(third[0], second[0] / 2)  # a rate of 0 from then on


def test_early_stopping_restores_the_best_weights_of_the_net_itself():
    trained(net())
    stop = keras.callbacks.EarlyStopping(patience=1, restore_best_weights=True)
    model = net(1, rate=1.0)
    history, _ = trained(model, epochs=30, validation_data=(X, Y), callbacks=[stop])
    assert history.engine.endswith(SHARED) and len(history.history["loss"]) < 30
    assert model.evaluate(X, Y, verbose=0)[0] == pytest.approx(min(history.history["val_loss"]), abs=1e-5)


def test_a_second_fit_at_the_same_time_has_its_own_program():
    trained(net())
    both, engines = threading.Barrier(2, timeout=60), {}
    meet = keras.callbacks.LambdaCallback(on_train_begin=lambda logs: both.wait(), on_epoch_end=lambda *_: both.wait())

    def run(seed):
        engines[seed] = trained(models[seed], callbacks=[meet])

    models = [net(seed) for seed in (1, 2)]
    threads = [threading.Thread(target=run, args=[seed]) for seed in (0, 1)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert sorted(SHARED in result[0].engine for result in engines.values()) == [False, True]
    for i, seed in enumerate((1, 2)):
        assert_same(engines[i], unshared(net(seed)))


def test_a_fit_within_a_fit_does_not_wait_for_ever():
    inner = []
    within = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: inner.append(trained(net(5))[0].engine))
    trained(net(), callbacks=[within])
    assert inner[0].endswith("program of this net")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore")
def test_a_child_process_begins_with_none():
    trained(net())
    assert programs._store
    child = os.fork()
    if not child:
        os._exit(bool(programs._store) or programs._guard.locked())
    assert os.waitpid(child, 0)[1] == 0


def test_clear_session_and_clear_programs(traced):
    trained(net())
    made = len(traced)
    keras.backend.clear_session()
    assert trained(net(1))[0].engine.endswith(SHARED) and len(traced) == made
    clear_programs()
    assert SHARED not in trained(net(1))[0].engine and len(traced) > made


def test_the_store_is_bounded_and_the_least_used_goes_first(monkeypatch):
    monkeypatch.setattr(programs, "COUNT", 2)
    for units in (2, 3, 2, 4):
        trained(net(units=units))
    assert trained(net(units=2))[0].engine.endswith(SHARED)
    assert SHARED not in trained(net(units=3))[0].engine
    size = sum(entry.bytes for entry in programs._store.values())
    monkeypatch.setattr(programs, "BYTES", size - 1)
    trained(net(units=5))
    assert 0 < sum(entry.bytes for entry in programs._store.values()) < size
    monkeypatch.setattr(programs, "BYTES", 10)  # a net larger than the whole store
    assert trained(net(units=6))[0].engine.endswith("program of this net")


@pytest.mark.parametrize("broken", ["_key", "_twin", "_parts"])
def test_a_look_up_that_fails_leaves_the_fit_its_own_program(broken, monkeypatch):
    def fails(*_):
        raise RuntimeError("broken")

    monkeypatch.setattr(programs, broken, fails)
    got = trained(net(3))
    assert got[0].engine.endswith("program of this net")
    monkeypatch.undo()
    assert_same(got, unshared(net(3)))


def test_a_twin_that_is_described_otherwise_is_not_used(monkeypatch):
    monkeypatch.setattr(programs, "_twin", lambda model, batch: net(units=5))
    assert trained(net())[0].engine.endswith("program of this net")


def test_neither_net_nor_dropped_program_is_kept():
    model = net(1)
    trained(net()), trained(model)
    twin = weakref.ref(next(iter(programs._store.values())).program[0])
    model = weakref.ref(model)
    gc.collect()
    assert model() is None and twin() is not None
    clear_programs()
    gc.collect()
    assert twin() is None


def test_nothing_is_drawn_from_the_global_state():
    def weights_after(train):
        model = net(4)
        train(model)
        return keras.Sequential([keras.Input((3,)), layers.Dense(3)]).get_weights()[0]

    np.testing.assert_array_equal(weights_after(trained), weights_after(lambda model: None))


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in QUICK else pytest.mark.weekly) for n in CASES])
def test_a_shared_program_gives_what_a_programs_own_gives(name):
    """Over all nets, losses, optimizers and metrics."""
    if name in LEFT_TO_KERAS:
        pytest.skip("left to Keras")
    first, shared = build_two(name)
    outcome(fit, first)
    got = outcome(fit, shared)
    own = build_two(name)[0]
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(AttributeError):
        patch.setattr(programs, "BYTES", 0)
        expected = outcome(fit, own)
    assert "program of this net" in own.model.history.engine
    for key, values in expected.history.items():
        np.testing.assert_allclose(got.history[key], values, rtol=1e-6, atol=1e-6, err_msg=key)
    for ours, theirs in zip(got.weights, expected.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)
