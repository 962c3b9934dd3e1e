"""A row's numbers follow from its seed, whatever else the process draws, and a run leaves the user's state alone."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import keras
import numpy as np
import pytest
import tiny
from keras import layers

from kit import search, studies, training
from kit.training import hooks

pytestmark = pytest.mark.slow  # nearly every test trains

SHAPE, CLASSES = (4, 4, 1), 3


def sequential(*stack):
    return keras.Sequential([keras.Input(SHAPE), *stack, layers.Flatten(), layers.Dense(CLASSES, "softmax")])


def loaded_weights(input_shape, classes, *, path):
    model = sequential(layers.Conv2D(2, 3))
    model.load_weights(path)
    return model


def shared_initializer(input_shape, classes):
    once = keras.initializers.GlorotUniform()
    return sequential(layers.Conv2D(2, 3, kernel_initializer=once), layers.Conv2D(2, 1, kernel_initializer=once))


def nested(input_shape, classes):
    inner = keras.Sequential([keras.Input(SHAPE), layers.Conv2D(2, 3), layers.Dropout(0.2)])
    return sequential(inner)


class Subclassed(keras.Model):
    """Its layers get their weights only when the first batch comes."""

    def __init__(self):
        super().__init__()
        self.hidden, self.drop, self.flat = layers.Conv2D(2, 3), layers.Dropout(0.2), layers.Flatten()
        self.out = layers.Dense(CLASSES, "softmax")

    def call(self, x, training=False):
        return self.out(self.flat(self.drop(self.hidden(x), training=training)))


def subclassed(input_shape, classes):
    return Subclassed()


def flipped(input_shape, classes):
    return sequential(layers.RandomFlip("horizontal"), layers.GaussianNoise(0.1))


BUILDS = [shared_initializer, nested, subclassed, flipped]


def augmented(source=None):
    data = tiny.data(source)
    masks = np.broadcast_to(data.train.y[:, None, None, None], data.train.x.shape)
    x, y = training.augmented(data.train.x, masks, rotations=(180,), flips=("horizontal",))
    return data.__class__(**vars(data) | {"train": data.train._replace(x=x, y=y[:, 0, 0, 0])})


def study(tmp_path):
    with hooks.stream(7):
        sequential(layers.Conv2D(2, 3)).save_weights(tmp_path / "net.weights.h5")
    loads = partial(loaded_weights, path=str(tmp_path / "net.weights.h5"))

    def row(name, build, **options):
        return studies.Experiment(name=name, build=build, optimizer=keras.optimizers.SGD, epochs=1, **options)

    rows = [row(build.__name__, build) for build in BUILDS]
    rows += [row("loaded", loads), row("augmented", shared_initializer, data=augmented)]
    return studies.Study(name="seeds", title="Seeds", data=tiny.data, experiments=tuple(rows))


def outcome(results):
    assert not len(results.statuses())
    kept = ("history", "metrics", "confusion_matrix")
    return sorted((r["experiment"], r["seed"], *(str(r[name]) for name in kept)) for r in results.records)


@pytest.fixture
def drawing():
    """Another thread draws from Python's and NumPy's global generators throughout, as Dask's worker does."""
    over = threading.Event()

    def draw():
        while not over.wait(0.001):
            random.random(), np.random.random()

    thread = threading.Thread(target=draw)
    thread.start()
    yield
    over.set()
    thread.join()


def test_the_same_seed_gives_the_same_numbers_whatever_else_is_drawn(tmp_path, request):
    run = partial(studies.run, study(tmp_path), seeds=(0, np.int64(1)), resume=False)
    alone = outcome(run())
    request.getfixturevalue("drawing")
    if keras.backend.backend() == "torch":  # has one generator for all threads, and draws from it to load data
        assert outcome(run()) == alone
    else:
        with ThreadPoolExecutor(2) as threads:
            assert outcome(run(executor=threads)) == alone
    first, second = (history for name, _, history, *_ in alone if name == "nested")
    assert first != second  # seeds 0 and 1


def test_loaded_weights_are_kept(tmp_path):
    (row,) = study(tmp_path).select("loaded")
    weights = []
    for seed in (0, 1):
        with hooks.stream(seed):
            weights.append(row.build(SHAPE, CLASSES).get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_run_leaves_the_users_random_state_names_and_policy_alone(tmp_path, monkeypatch):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        keras.utils.set_random_seed(3)
        _, number = [int(layers.Dense(1).name.rpartition("_")[2].replace("dense", "0")) for _ in range(2)]
        before = random.getstate(), np.random.get_state()[1].tolist()
        studies.run(study(tmp_path), only="flipped")
        assert (random.getstate(), np.random.get_state()[1].tolist()) == before
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
        assert layers.Dense(1).name == f"dense_{number + 1}"
    finally:
        keras.config.set_dtype_policy(policy)


def test_a_search_computes_in_its_precision_and_leaves_the_users_policy(tmp_path):
    pytest.importorskip("optuna")
    seen = []

    def build(input_shape, classes, *, filters):
        model = sequential(layers.Conv2D(filters, 3))
        seen.append(model.layers[0].compute_dtype)
        return model

    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        search.optuna(
            build, tiny.data(), {"filters": [1, 2]}, epochs=1, folder=tmp_path, precision="mixed_bfloat16"
        )
        assert set(seen) == {"bfloat16"} and keras.config.dtype_policy().name == "mixed_float16"
    finally:
        keras.config.set_dtype_policy(policy)


def test_unseeded_draws_of_keras_follow_the_stream_and_leave_the_threads_generator_where_it_was():
    found = []
    for seeds in ((), (4, 4, 5)):
        keras.utils.clear_session()
        keras.utils.set_random_seed(1)
        keras.random.uniform((2,))
        streams = []
        for seed in seeds:
            with hooks.stream(seed):
                streams.append(keras.random.uniform((2,)).__array__().tolist())
        found.append(keras.random.uniform((2,)).__array__().tolist())
    assert streams[0] == streams[1] != streams[2] and found[0] == found[1]


def test_a_keras_that_does_not_let_its_seeds_be_led_gets_a_process_a_row(tmp_path, monkeypatch, capsys):
    expected = outcome(studies.run(study(tmp_path), only="nested", resume=False))
    monkeypatch.setattr(hooks, "SEEDS_CAN_BE_LED", False)
    assert outcome(studies.run(study(tmp_path), only="nested", resume=False)) == expected
    with hooks.stream(0):  # what happens within such a process
        first = nested(SHAPE, CLASSES).get_weights()[0]
    monkeypatch.setattr(hooks, "SEEDS_CAN_BE_LED", True)
    with hooks.stream(0):
        np.testing.assert_array_equal(nested(SHAPE, CLASSES).get_weights()[0], first)
