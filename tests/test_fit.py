"""`kit.training.fit` against Keras' own `fit`, on whatever back end Keras runs on."""

import contextlib
import logging
import math
import os
import random
from functools import partial

import keras
import numpy as np
import pytest
from keras import layers

from kit import models
from kit.training import compiled as engines
from kit.training import fit, hooks, programs

BACKEND = keras.backend.backend()
ENGINE = "compiled" if BACKEND in ("tensorflow", "jax") else f"model.fit (the {BACKEND} back end)"


@pytest.fixture
def data():
    """150 small images in three classes that differ in brightness: batches of 32 leave a last one of 22."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 150)
    x = rng.random((150, 8, 8, 1)) * 0.5 + y[:, None, None, None] * 0.25
    return x.astype("float32"), y


def plain_mlp():
    return models.mlp((8, 8, 1), 3, hidden=(16, 16))


def penalized_mlp():
    return models.mlp((8, 8, 1), 3, hidden=(16,), l1=1e-3, l2=1e-2)


def normalized_mlp():
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Flatten(),
            layers.Dense(16, "relu"),
            layers.BatchNormalization(),
            layers.Dense(3, "softmax"),
        ]
    )


def convolutional():
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(3, "softmax"),
        ]
    )


small_net = convolutional  # where any net will do: the quickest to compile

NETS = [plain_mlp, penalized_mlp, normalized_mlp, convolutional]


def compiled(model, optimizer=None):
    model.compile(
        optimizer or keras.optimizers.SGD(0.05, momentum=0.8, nesterov=True),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


@pytest.fixture
def xla_always(monkeypatch):
    """Dense nets run under XLA, however few the images."""
    monkeypatch.setattr(engines, "XLA_PAYS_FROM", 0)


@pytest.mark.slow
@pytest.mark.parametrize("build", NETS)
@pytest.mark.parametrize("examples", [128, 150, 20], ids=["full batches", "a last partial batch", "less than a batch"])
def test_equals_model_fit(build, examples, data, xla_always):
    x, y = (array[:examples] for array in data)
    ours, theirs = compiled(build()), compiled(build())
    theirs.set_weights(ours.get_weights())
    settings = {"epochs": 2, "validation_data": data, "shuffle": False, "verbose": 0}
    got = fit(ours, x, y, **settings)
    expected = theirs.fit(x, y, **settings)
    assert got.engine.startswith(ENGINE)
    assert list(got.history) == list(expected.history)
    for name, values in expected.history.items():
        np.testing.assert_allclose(got.history[name], values, atol=1e-4, err_msg=name)
    for ours_w, theirs_w in zip(ours.get_weights(), theirs.get_weights()):
        np.testing.assert_allclose(ours_w, theirs_w, atol=1e-4)


def test_training_moves_the_weights_and_the_loss_falls(data):
    """Guards the equality test: two fits that do nothing are equal too."""
    model = compiled(small_net())
    before = [weights.copy() for weights in model.get_weights()]
    losses = fit(model, *data, epochs=5, seed=0, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]
    assert all(np.abs(a - b).max() > 1e-3 for a, b in zip(before, model.get_weights()))


@pytest.mark.slow
def test_schedules_and_one_hot_targets_equal_model_fit(data):
    x, y = data[0], np.eye(3)[data[1]]
    histories = []
    weights = None
    for train in (fit, keras.Model.fit):
        schedule = keras.optimizers.schedules.InverseTimeDecay(0.01, decay_steps=5, decay_rate=1)
        model = small_net()
        model.compile(
            keras.optimizers.Adam(schedule),
            "categorical_crossentropy",
            metrics=["accuracy", keras.metrics.AUC(name="auc")],
        )
        weights = weights or model.get_weights()
        model.set_weights(weights)
        histories.append(train(model, x, y, epochs=2, validation_split=0.2, shuffle=False, verbose=0).history)
    assert (
        set(histories[0]) == set(histories[1]) == {f"{v}{m}" for v in ("", "val_") for m in ("loss", "accuracy", "auc")}
    )
    for name in histories[0]:
        np.testing.assert_allclose(histories[0][name], histories[1][name], atol=1e-4)


def test_integer_images_equal_model_fit(data):
    x = (data[0] * 255).astype("uint8")
    ours, theirs = compiled(small_net(), "adam"), compiled(small_net(), "adam")
    theirs.set_weights(ours.get_weights())
    got = fit(ours, x, data[1], shuffle=False, verbose=0).history["loss"]
    np.testing.assert_allclose(got, theirs.fit(x, data[1], shuffle=False, verbose=0).history["loss"], rtol=1e-4)


def test_the_same_seed_gives_the_same_numbers(data):
    def losses(seed):
        keras.utils.set_random_seed(0)
        model = compiled(models.mlp((8, 8, 1), 3, hidden=(), dropout=0.3))
        return fit(model, *data, epochs=2, seed=seed, verbose=0).history["loss"]

    assert losses(0) == losses(0)
    assert losses(0) != losses(1)
    assert losses(None) == losses(None)  # drawn from the global state that set_random_seed has set


def test_shuffle_draws_a_new_order_each_epoch(data):
    """With a learning rate of 0 the batches' losses sum up to the same; a net that remembers its last batch tells."""

    class Last(layers.Layer):
        def build(self, shape):
            self.last = self.add_weight(shape=(), initializer="zeros", trainable=False)

        def call(self, x, training=False):
            if training:
                self.last.assign(keras.ops.mean(x))
            return x

    model = keras.Sequential([keras.Input((8, 8, 1)), Last(), layers.Flatten(), layers.Dense(3, "softmax")])
    seen = []
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(float(model.layers[0].last)))
    fit(compiled(model), *data, epochs=3, seed=0, callbacks=[watch], verbose=0)
    assert len(set(seen)) == 3
    fit(compiled(model), *data, epochs=3, shuffle=False, callbacks=[watch], verbose=0)
    assert len(set(seen[3:])) == 1


def test_dropout_masks_are_fresh_at_every_step_and_right_in_scale():
    """The net passes its dropped-out inputs on; the metric counts zeros and the loss is their mean."""
    keras.utils.set_random_seed(0)
    x = np.ones((64, 1000), "float32")
    model = keras.Sequential(
        [keras.Input((1000,)), layers.Dropout(0.2), layers.Dense(1, use_bias=False, kernel_initializer="ones")]
    )
    model.compile(keras.optimizers.SGD(0.0), lambda y, prediction: prediction)
    means = fit(model, x, np.zeros((64, 1)), epochs=8, batch_size=8, verbose=0).history["loss"]
    assert len(set(means)) > 4  # sums of the same grid of values may coincide, eight times the same mask cannot
    # 64 sums of 1000 draws of 1.25 with probability 0.8: sd of an epoch's mean is 1.25 * sqrt(0.16 * 1000 / 64) = 2
    np.testing.assert_allclose(means, 1000, atol=10)


def test_early_stopping_restores_the_best_weights(data):
    x, y = data
    model = compiled(small_net(), keras.optimizers.SGD(2.0))
    stop = keras.callbacks.EarlyStopping(patience=2, restore_best_weights=True)
    history = fit(model, x, y, epochs=50, validation_split=0.2, callbacks=[stop], seed=0, verbose=0).history
    assert len(history["loss"]) < 50
    validation_loss = model.evaluate(x[120:], y[120:], verbose=0)[0]
    assert validation_loss == pytest.approx(min(history["val_loss"]), abs=1e-5)


def test_callbacks_that_act_at_epochs(data, tmp_path):
    calls = []

    class Own(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            calls.append("begin")

        def on_epoch_end(self, epoch, logs=None):
            calls.append((epoch, "val_loss" in logs))
            if epoch == 3:
                self.model.stop_training = True

        def on_train_end(self, logs=None):
            calls.append("end")

    model = compiled(small_net())
    history = fit(
        model, *data, epochs=9, validation_data=data, verbose=0,
        callbacks=[
            keras.callbacks.ModelCheckpoint(str(tmp_path / "{epoch}.keras")),
            keras.callbacks.CSVLogger(str(tmp_path / "log.csv")),
            keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=10),
            keras.callbacks.TerminateOnNaN(),
            Own(),
        ],
    )  # fmt: skip
    assert history.engine.startswith(ENGINE)
    assert calls == ["begin", (0, True), (1, True), (2, True), (3, True), "end"]
    assert (tmp_path / "4.keras").exists() and not (tmp_path / "5.keras").exists()
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 5
    # An improvement must exceed 10, so the rate halves after each epoch but the first.
    np.testing.assert_allclose(history.history["learning_rate"], [0.05, 0.05, 0.025, 0.0125], rtol=1e-6)


def test_a_callback_may_set_the_learning_rate(data):
    model = compiled(small_net())
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 if epoch == 0 else 0.0)
    snapshots = []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: snapshots.append(model.get_weights()[0].copy())
    )
    optimizer = keras.optimizers.SGD(0.05)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    fit(model, *data, epochs=3, callbacks=[schedule, watch], verbose=0)
    np.testing.assert_array_equal(snapshots[0], snapshots[2])


def test_a_run_that_turns_to_nan_is_stopped(data):
    x, y = data
    model = compiled(small_net(), keras.optimizers.SGD(1e30))
    history = fit(model, x, y, epochs=9, callbacks=[keras.callbacks.TerminateOnNaN()], verbose=0).history
    assert len(history["loss"]) < 9 and not np.isfinite(history["loss"][-1])


@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_batch_begin", "on_test_batch_end"])
def test_a_callback_that_needs_batches_gets_them_from_model_fit(hook, data):
    seen = []
    own = type("Own", (keras.callbacks.Callback,), {hook: lambda self, batch, logs=None: seen.append(batch)})
    history = fit(compiled(small_net()), *data, validation_data=data, callbacks=[own()], verbose=0)
    assert history.engine == "model.fit (Own at batches)"
    assert seen == [0, 1, 2, 3, 4]


def test_a_checkpoint_every_few_batches_gets_them_too(data, tmp_path):
    checkpoint = keras.callbacks.ModelCheckpoint(str(tmp_path / "{batch}.keras"), save_freq=2)
    lambdas = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)
    history = fit(compiled(small_net()), *data, callbacks=[checkpoint, lambdas], verbose=0)
    assert history.engine == "model.fit (ModelCheckpoint, LambdaCallback at batches)"
    assert len(list(tmp_path.iterdir())) == 2


def test_run_eagerly_falls_through(data):
    model = small_net()
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    assert fit(model, *data, verbose=0).engine == "model.fit (run_eagerly)"


def test_a_killed_run_goes_on_from_its_backup(data, tmp_path):
    class Killed(Exception):
        pass

    def kill(epoch, logs):
        if epoch == 2:
            raise Killed

    def run(*more):
        backup = keras.callbacks.BackupAndRestore(str(tmp_path))
        return fit(compiled(small_net()), *data, epochs=5, callbacks=[backup, *more], verbose=0)

    with pytest.raises(Killed):
        run(keras.callbacks.LambdaCallback(on_epoch_begin=kill))
    assert len(run().history["loss"]) == 3


def test_the_progress_bar(data, capsys):
    fit(compiled(small_net()), *data, epochs=2, validation_split=0.2, verbose=1)
    shown = capsys.readouterr().out
    assert "2/2" in shown and "loss=" in shown and "val_accuracy=" in shown
    fit(compiled(small_net()), *data, epochs=2, verbose=0)
    fit(compiled(small_net()), *data, epochs=2)  # "auto", and this is no terminal
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "change, message",
    [
        ({"y": np.zeros(149, int)}, r"shapes \(150, 8, 8, 1\) and \(149,\)"),
        ({"x": np.zeros((0, 8, 8, 1)), "y": np.zeros(0)}, "same number of examples, not 0"),
        ({"x": np.zeros((150, 9, 9, 1))}, r"shape \(9, 9, 1\); the model takes \(8, 8, 1\)"),
        ({"y": np.full(150, 3)}, "labels run from 3 to 3; the model has 3 outputs"),
        ({"batch_size": 0}, "batch_size=0; it must be a whole number of at least 1"),
        ({"epochs": 1.5}, "epochs=1.5"),
        ({"validation_split": 1.0}, "validation_split=1.0"),
        ({"validation_split": 0.001}, None),
        ({"validation_data": (1,) * 4}, "has 4 parts"),
    ],
)
def test_bad_input_is_one_line(change, message, data):
    arguments = {"x": data[0], "y": data[1], "verbose": 0} | change
    model = compiled(small_net())
    if message is None:
        fit(model, **arguments)  # 149 and 1: small, but a split
        return
    with pytest.raises(ValueError, match=message) as error:
        fit(model, **arguments)
    assert "\n" not in str(error.value)


def test_an_uncompiled_model_is_refused(data):
    with pytest.raises(ValueError, match="not compiled"):
        fit(small_net(), *data)


on_tensorflow = pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow's compilers")
on_a_cpu = pytest.mark.skipif(
    bool(os.environ.get("CUDA_VISIBLE_DEVICES")) or BACKEND not in ("tensorflow", "jax"), reason="the choice on a CPU"
)


def compiler(history):
    """How an epoch was compiled; whose program it was depends on the fits before."""
    return history.engine.split(", program")[0]


@on_a_cpu
def test_the_engine_fits_the_net(data, xla_always):
    """Dense nets run under XLA; convolutions on a CPU do not (they would be several times slower)."""
    engines = [compiler(fit(compiled(build()), *data, verbose=0)) for build in (plain_mlp, convolutional)]
    assert (
        engines
        == {
            "tensorflow": ["compiled epoch, TensorFlow with XLA", "compiled epoch, TensorFlow"],
            "jax": ["compiled epoch, JAX", "compiled steps, JAX"],
        }[BACKEND]
    )


@pytest.mark.slow
@on_tensorflow
@on_a_cpu
def test_the_compiler_is_chosen_by_net_images_and_epochs(data, monkeypatch):
    """XLA takes a second to compile: it pays from so many examples on, over all epochs that are asked for."""
    monkeypatch.setattr(engines, "XLA_PAYS_FROM", 450)
    stop = keras.callbacks.EarlyStopping("loss", patience=0, baseline=0.0)  # after the first epoch, whatever was asked
    for settings, xla in (
        ({"epochs": 2}, False), ({"epochs": 3}, True), ({"epochs": 3, "callbacks": stop}, True),
        ({"epochs": 3, "initial_epoch": 1}, False), ({"epochs": 3, "validation_split": 0.1}, False),
    ):  # fmt: skip
        engine = compiler(fit(compiled(plain_mlp()), *data, verbose=0, **settings))
        assert engine == "compiled epoch, TensorFlow" + " with XLA" * xla, settings


@on_tensorflow
@pytest.mark.parametrize("said, xla", [(True, True), (False, False), ("auto", True)])
def test_what_was_said_of_jit_compile_is_kept(said, xla, data, xla_always, tmp_path):
    model = plain_mlp()
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=said)
    assert compiler(fit(model, *data, verbose=0)).endswith(" with XLA") is xla
    if said == "auto":  # a saved model says what Keras chose, not that someone asked for it
        model.save(tmp_path / "net.keras")
        again = keras.models.load_model(tmp_path / "net.keras")
        assert compiler(fit(again, *data, verbose=0)).endswith(" with XLA")


@pytest.mark.skipif(BACKEND != "jax", reason="TensorFlow compiles without XLA instead")
def test_steps_that_are_not_to_be_compiled_are_left_to_keras(data):
    model = plain_mlp()
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
    assert fit(model, *data, verbose=0).engine == "model.fit (jit_compile=False)"


@on_tensorflow
def test_where_xla_cannot_compile_the_epoch_is_compiled_without(data, xla_always):
    import tensorflow as tf

    def in_python(y_true, y_pred):
        share = tf.numpy_function(lambda p: np.float32(p.argmax(-1).mean()), [y_pred], tf.float32)
        return tf.ensure_shape(share, ())

    ours, theirs = plain_mlp(), plain_mlp()
    theirs.set_weights(ours.get_weights())
    for model in (ours, theirs):
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=[in_python])
    history = fit(ours, *data, validation_data=data, shuffle=False, epochs=2, verbose=0)
    assert compiler(history) == "compiled epoch, TensorFlow, which XLA cannot compile"
    expected = theirs.fit(*data, validation_data=data, shuffle=False, epochs=2, verbose=0).history
    for name, values in expected.items():
        np.testing.assert_allclose(history.history[name], values, atol=1e-4, err_msg=name)


@on_tensorflow
def test_many_nets_are_fitted_without_a_warning(caplog):
    """TensorFlow counts the functions that are made at one place, and warns from the fifth on."""
    x, y = np.zeros((4, 3), "float32"), np.zeros(4, int)
    logging.getLogger("tensorflow").addHandler(caplog.handler)
    try:
        for _ in range(6):
            model = keras.Sequential([keras.Input((3,)), layers.Identity(), layers.Dense(2, "softmax")])
            model.compile("sgd", "sparse_categorical_crossentropy")
            fit(model, x, y, batch_size=4, verbose=0)
    finally:
        logging.getLogger("tensorflow").removeHandler(caplog.handler)
    assert not caplog.records


SPARSE = keras.losses.SparseCategoricalCrossentropy
LOSSES = {
    "name": "sparse_categorical_crossentropy",
    "class name": "SparseCategoricalCrossentropy",
    "object": SPARSE(),
    "logits": SPARSE(from_logits=True),
    "function": keras.losses.sparse_categorical_crossentropy,
    "partial": partial(keras.losses.sparse_categorical_crossentropy, from_logits=True),
    "list": [SPARSE()],
    "ce": "crossentropy",
}


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.flat, self.dense = layers.Flatten(), layers.Dense(3, "softmax")

    def call(self, x):
        return self.dense(self.flat(x))


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize(
    "wrong, said",
    [(3, "labels run from 0 to 3; the model has 3"), (-1, "labels run from -1 to 2"), (np.nan, "1 labels are NaN")],
)
def test_labels_are_checked_in_whatever_form_the_loss_was_given(loss, wrong, said, data):
    """Keras on TensorFlow on a CPU raises; under XLA, on a GPU and on JAX the loss would go on as if nothing were."""
    y = data[1].astype(type(wrong))
    y[7] = wrong
    model = plain_mlp()  # under XLA, where TensorFlow itself raises nothing
    model.compile("sgd", loss)
    for settings in ({}, {"validation_data": (data[0], y)}):
        with pytest.raises(ValueError, match=said) as error:
            fit(model, data[0], data[1] if settings else y, verbose=0, **settings)
        assert "\n" not in str(error.value) and str(error.value).startswith("validation") == bool(settings)


def test_labels_of_a_subclassed_net_are_checked_too(data):
    model = Subclassed()
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="labels run from 1 to 3; the model has 3 outputs"):
        fit(model, data[0], data[1] + 1, verbose=0)


def test_one_hot_labels_for_class_numbers_are_one_line(data):
    with pytest.raises(ValueError, match=r"labels have the shape \(150, 3\); .* takes one-hot"):
        fit(compiled(small_net()), data[0], np.eye(3)[data[1]], verbose=0)
    model = small_net()
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
    with pytest.raises(ValueError, match=r"cannot take y of \(32,\) for predictions of \(32, 3\)") as error:
        fit(model, *data, verbose=0)
    assert "\n" not in str(error.value)


def test_a_class_to_be_ignored_and_a_loss_of_ones_own_are_left_alone(data):
    y = np.where(np.arange(150) % 5, data[1], 255)
    model = small_net()
    model.compile("sgd", SPARSE(ignore_class=255))
    assert np.isfinite(fit(model, data[0], y, verbose=0).history["loss"]).all()
    model.compile("sgd", lambda y, prediction: keras.ops.mean(prediction, -1) * keras.ops.cast(y, "float32")[:, 0])
    assert fit(model, data[0], y[:, None], verbose=0).engine.startswith(ENGINE)


def test_pixels_that_are_no_numbers_are_counted_in_a_warning(data):
    x = data[0].copy()
    x[3, 0, 0], x[5, 1, 1] = np.nan, np.inf
    with pytest.warns(UserWarning, match="x and y: 2 of 9,600 values of x are NaN or infinite") as caught:
        fit(compiled(small_net()), x, data[1], verbose=0)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("shape, inputs", [((150,), (1,)), ((150, 8, 8), (8, 8, 1)), ((150, 8, 8, 1), (8, 8))])
def test_an_axis_of_one_may_be_missing_or_too_many(shape, inputs, data):
    x = data[0].reshape(150, -1)[:, : math.prod(shape[1:])].reshape(shape)
    stack = keras.Input(inputs), layers.Flatten(), layers.Dense(3, "softmax")
    ours, theirs = (compiled(keras.models.clone_model(keras.Sequential(stack))) for _ in range(2))
    theirs.set_weights(ours.get_weights())
    got = fit(ours, x, data[1], shuffle=False, verbose=0)
    assert got.engine.startswith(ENGINE)
    expected = theirs.fit(x, data[1], shuffle=False, verbose=0)
    np.testing.assert_allclose(got.history["loss"], expected.history["loss"], rtol=1e-4)


class Batches(keras.utils.PyDataset):
    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    def __len__(self):
        return 3

    def __getitem__(self, i):
        return self.x[i * 32 : i * 32 + 32], self.y[i * 32 : i * 32 + 32]


def test_a_py_dataset_and_numbers_of_steps_are_left_to_keras(data):
    model, batches = compiled(small_net()), Batches(*data)
    for reason, given in {
        "x is a Batches": {"x": batches},
        "validation_data is a Batches": {"validation_data": batches},
        "steps_per_epoch": {"steps_per_epoch": 2},
        "validation_steps": {"validation_data": data, "validation_steps": 2},
    }.items():
        arrays = {} if "x" in given else {"x": data[0], "y": data[1]}
        assert fit(model, **arrays, **given, verbose=0).engine == f"model.fit ({reason})"


@on_tensorflow
def test_a_data_set_of_tensorflow_is_left_to_keras(data):
    import tensorflow as tf

    batches = tf.data.Dataset.from_tensor_slices(data).batch(32)
    assert fit(compiled(small_net()), batches, verbose=0).engine.startswith("model.fit (x is a _BatchDataset")


def test_several_inputs_and_outputs_are_left_to_keras(data):
    x, y = data
    a, b = keras.Input((8, 8, 1)), keras.Input((8, 8, 1))
    flat = layers.Flatten()(layers.Add()([a, b]))
    two = keras.Model([a, b], [layers.Dense(3, "softmax", name="c")(flat), layers.Dense(1, name="d")(flat)])
    two.compile("sgd", ["sparse_categorical_crossentropy", "mse"])
    history = fit(two, [x, x], [y, y.astype("float32")], epochs=2, seed=0, verbose=0)
    assert history.engine == "model.fit (several inputs or outputs)" and len(history.history["c_loss"]) == 2


def test_a_recurrent_net_that_keeps_its_state_is_left_to_keras():
    model = keras.Sequential([keras.Input((5, 2), batch_size=8), layers.SimpleRNN(3, stateful=True), layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).random((16, 5, 2), "float32")
    assert fit(model, x, x[:, 0, :1], batch_size=8, shuffle=False, verbose=0).engine == "model.fit (a fixed batch size)"


@pytest.mark.parametrize(
    "change, message",
    [
        ({"y": np.array(["cat", "dog", "owl"] * 50)}, "y holds <U3, such as 'cat'; it must hold numbers"),
        ({"y": list(range(150))}, r"y is a list of numbers; give an array: np.asarray\(y\)"),
        ({"x": None}, "x is None; it must be an array"),
        ({"class_weight": {0: 2.0}, "sample_weight": np.ones(150)}, "class_weight and sample_weight are both given"),
        ({"sample_weight": np.ones(149)}, r"shapes \(150, 8, 8, 1\) and \(150,\) and \(149,\)"),
        ({"batch_size": True}, "batch_size=True; it must be a whole number of at least 1"),
        ({"initial_epoch": -1}, "initial_epoch=-1"),
        ({"validation_freq": 0.5}, "validation_freq=0.5; it must be a whole number or a list of epochs"),
        ({"seed": -1}, "seed=-1; it must be a whole number of at least 0"),
    ],
)
def test_what_does_not_fit_is_one_line(change, message, data):
    with pytest.raises(ValueError, match=message) as error:
        fit(compiled(small_net()), **{"x": data[0], "y": data[1], "verbose": 0} | change)
    assert "\n" not in str(error.value)


def test_integers_of_numpy_and_none_are_taken(data):
    given = {"epochs": np.int64(2), "callbacks": None, "seed": np.int64(3), "verbose": 0}
    none, of_numpy = (fit(the_same_net(), *data, size, **given).history["loss"] for size in (None, np.int32(32)))
    assert none == of_numpy


def the_same_net():
    keras.utils.set_random_seed(0)
    return compiled(small_net())


def seed_everything():
    keras.utils.clear_session()  # the generator of Keras' unseeded draws too, which 3.12's set_random_seed leaves alone
    keras.utils.set_random_seed(5)


def global_state():
    """What the user's own draws depend on."""
    state = [random.getstate(), np.random.get_state()[1].tolist(), keras.random.uniform((3,)).__array__().tolist()]
    with contextlib.suppress(ImportError):
        import tensorflow as tf

        state.append(tf.random.uniform((3,)).numpy().tolist())
    return state


@pytest.mark.slow
def test_a_seed_leaves_no_trace_in_the_global_state(data):
    """Whether the epoch is compiled or left to Keras, which shuffles by the global state."""
    seed_everything()
    expected = global_state()
    for settings in ({}, {"steps_per_epoch": 5}):
        losses = []
        for seed in (3, 3, 4):
            model = the_same_net()
            seed_everything()
            losses.append(fit(model, *data, seed=seed, verbose=0, **settings).history["loss"])
            assert global_state() == expected
        assert losses[0] == losses[1] != losses[2]


def test_where_all_is_left_to_keras_there_is_one_bar_too(data, capsys, monkeypatch):
    monkeypatch.delattr(engines, BACKEND, raising=False)  # as on torch
    history = fit(compiled(small_net()), *data, epochs=3, validation_split=0.2, verbose=1)
    assert history.engine == f"model.fit (the {BACKEND} back end)"
    shown = capsys.readouterr().out
    assert "3/3" in shown and "val_accuracy=" in shown and "Epoch 1" not in shown and "\n" not in shown.strip()


def test_verbose_2_prints_a_line_an_epoch(data, capsys):
    fit(compiled(small_net()), *data, epochs=2, verbose=2)
    shown = capsys.readouterr().out
    assert "Epoch 1/2" in shown and "Epoch 2/2" in shown and "loss: " in shown


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of TensorFlow's dropout")
@pytest.mark.parametrize("drops", [False, True])
def test_only_a_net_with_dropout_gets_the_other_generator(drops, data, monkeypatch):
    entered, plain = [], hooks.threefry_dropout
    monkeypatch.setattr(engines, "uses_xla", lambda *_: True)  # so few images are not worth it
    monkeypatch.setattr(hooks, "threefry_dropout", lambda: entered.append(True) or plain())
    programs.clear_programs()
    dropout = [layers.Dropout(0.5)] if drops else []
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), *dropout, layers.Dense(3, "softmax")])
    fit(compiled(model), *data, verbose=0)
    assert bool(entered) == drops
