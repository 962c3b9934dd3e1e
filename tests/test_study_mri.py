"""The study `mri`: rows that equal the report's, flips, mirrored copies, and the reports beside ours.

Trained are nets on 160 synthetic slices, two epochs each: enough to see that a row runs and what its record gives.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import sklearn.metrics
from keras import layers

from kit import models, reports, studies, training
from kit.datasets.dataset import Dataset
from kit.datasets.registry import MRI
from kit.datasets.synthetic import slices
from kit.reports import mri

pytestmark = pytest.mark.slow  # nearly every test trains

STUDY = reports.get("mri")
ROWS = {row.name: row for row in STUDY.experiments}
HORIZONTAL, VERTICAL, BOTH = ("horizontal",), ("vertical",), ("horizontal", "vertical")
# What may become of an image: the axes of (n, height, width, 3) that are turned round.
FLIPPED = {(): [()], HORIZONTAL: [(), 2], VERTICAL: [(), 1], BOTH: [(), 2, 1, (1, 2)]}


@pytest.fixture
def small(monkeypatch):
    """Synthetic slices, but few of them, and the quick profile's two epochs."""
    monkeypatch.setenv("KIT_PROFILE", "quick")
    splits = slices.generate(seed=0, train=160, validation=60, test=20)

    def load(name, *, source=None):
        assert name == "mri"
        return Dataset(**splits, classes=MRI.classes, task=MRI.task, card=MRI, origin=source or "real")

    monkeypatch.setattr(mri.datasets, "load", load)
    return load("mri")


# The rows


def test_the_reports_rows():
    assert STUDY.metric == "val_micro_f1" and len(ROWS) == 25
    micro = {name: row.reported["val_micro_f1"] for name, row in ROWS.items() if "val_micro_f1" in row.reported}
    assert micro == {"CNN, horizontal flips": 0.88, "DNN, both flips": 0.83, "DNN, SGD": 0.82}
    macro = [ROWS[name].reported["val_macro_f1"] for name in micro]
    assert macro == [0.87, 0.79, 0.80]
    cnn = (9 * 3 + 1) * 32 + 3 * (9 * 32 + 1) * 32 + (2 * 2 * 32 + 1) * 32 + (32 + 1) * 32 + (32 + 1) * 3
    dnn = (64 * 64 * 3 + 1) * 200 + 3 * (200 + 1) * 200 + (200 + 1) * 3
    assert (cnn, dnn) == (33_923, 2_579_003)
    for name, row in ROWS.items():
        model = row.build((64, 64, 3), 3)
        if name.endswith("filters"):
            assert model.count_params() == sum(
                (9 * maps + 1) * 64 for maps in (3, 64, 64, 64)
            ) + (2 * 2 * 64 + 1) * 32 + (32 + 1) * 32 + (32 + 1) * 3  # fmt: skip
        elif name.endswith("units"):
            assert model.count_params() == (64 * 64 * 3 + 1) * 100 + 3 * (100 + 1) * 100 + (100 + 1) * 3
        else:
            assert model.count_params() == {"CNN": cnn, "DNN": dnn}[name[:3]]
        assert "parameters" not in row.reported  # the report prints none
        # 20 epochs of 12,000 images are 10 of 24,000, and 13 of 17,847
        fewer = {"CNN, all mirrored, as many updates as without": 10, "CNN, labelled mirrored, as many updates": 13}
        assert row.epochs == fewer.get(name, 50 if name == "DNN, SGD" else 20)
        [stop] = [make() for make in row.callbacks]
        assert (stop.monitor, stop.patience, stop.restore_best_weights) == ("val_loss", 4, True)


def test_the_other_rows_change_one_thing_each():
    def settings(row):
        return {
            "flips": row.build.keywords["flips"], "loss": row.loss, "optimizer": type(row.optimizer()).__name__,
            "batch_size": row.batch_size, "data": row.data,
            "net": getattr(row.build.keywords["build"], "func", row.build.keywords["build"]).__name__,
            "options": getattr(row.build.keywords["build"], "keywords", {}),
        }  # fmt: skip

    def changed(name, base):
        base = settings(ROWS[base])
        return {key: value for key, value in settings(ROWS[name]).items() if value != base[key]}

    cnn, dnn = "CNN, horizontal flips", "DNN, both flips"
    assert settings(ROWS[cnn]) == {
        "flips": HORIZONTAL, "loss": "binary_crossentropy", "optimizer": "Adam", "batch_size": 64, "data": None,
        "net": "multilabel_cnn", "options": {},
    }  # fmt: skip
    assert changed("CNN, no flips", cnn) == {"flips": ()}
    assert changed("CNN, vertical flips", cnn) == {"flips": VERTICAL}
    assert changed("CNN, both flips", cnn) == {"flips": BOTH}
    for name, data in (("labelled", mri.labelled_mirrored), ("all", mri.all_mirrored)):
        assert changed(f"CNN, {name} images mirrored (copies)", cnn) == {"flips": (), "data": data}
    assert changed("CNN, no dropout", cnn) == {"options": {"dropout": (0,) * 4, "dense_dropout": 0}}
    assert changed("CNN, dropout behind the flattening only", cnn) == {"options": {"dropout": (0,) * 4}}
    assert changed("CNN, 64 filters", cnn) == {"options": {"filters": 64}}
    assert changed("DNN, horizontal flips", dnn) == {"flips": HORIZONTAL}
    assert changed("DNN, batches of 80", dnn) == {"batch_size": 80}
    assert changed("DNN, no dropout", dnn) == {"options": {"dropout": 0}}
    assert changed("DNN, 100 units", dnn) == {"options": {"units": 100}}
    assert changed("CNN, Poisson loss", cnn) == {"loss": "poisson"}
    assert changed("CNN, categorical cross-entropy", cnn) == {"loss": "categorical_crossentropy"}
    assert changed("CNN, SGD", cnn) == {"optimizer": "SGD"}
    assert changed("CNN, RMSprop", cnn) == {"optimizer": "RMSprop"}
    assert changed("CNN, batches of 80", cnn) == {"batch_size": 80}
    assert changed(dnn, cnn) == {"flips": BOTH, "net": "multilabel_dnn"}
    assert changed("DNN, no flips", dnn) == {"flips": ()}
    assert changed("DNN, SGD", dnn) == {"optimizer": "SGD"}
    rates = {name: round(float(row.optimizer().learning_rate), 6) for name, row in ROWS.items()}
    assert [name for name, rate in rates.items() if rate == 0.01] == ["CNN, SGD", "CNN, rate 0.01", "DNN, SGD"]
    assert set(rates.values()) == {0.0001, 0.001, 0.01} and rates["CNN, rate 0.0001"] == 0.0001


# The data


def test_the_labels_of_the_test_images_are_left_out(small):
    assert small.test.y is not None and mri.data().test.y is None
    assert mri.data().test.x is small.test.x and mri.data("synthetic").origin == "synthetic"


def test_a_labelled_image_is_followed_by_its_mirror_image(small):
    x, y = small.train
    data = mri.labelled_mirrored()
    at = 0
    for image, labels in zip(x, y):
        assert (data.train.x[at] == image).all() and (data.train.y[at] == labels).all()
        at += 1
        if labels.any():
            assert (data.train.x[at] == image[:, ::-1]).all() and (data.train.y[at] == labels).all()
            at += 1
    assert at == len(data.train.x) == len(data.train.y) == len(x) + y.any(axis=1).sum()
    assert data.validation.x is small.validation.x
    every = mri.all_mirrored().train
    assert (every.x[::2] == x).all() and (every.x[1::2] == x[:, :, ::-1]).all()
    assert (every.y == np.repeat(y, 2, axis=0)).all()


# Flips


def nothing(input_shape, labels):
    return keras.Sequential([keras.Input(input_shape), layers.Identity()])


@pytest.mark.parametrize("flips", FLIPPED, ids=str)
def test_flips_move_images_as_they_say_and_in_training_only(flips):
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).integers(0, 256, (64, 6, 6, 3), dtype=np.uint8)
    model = mri.on_pixels((6, 6, 3), 3, build=nothing, flips=flips)
    as_is = np.float32(x) / 255
    np.testing.assert_allclose(model(x, training=False), as_is, rtol=1e-6)
    np.testing.assert_allclose(model.predict(x, verbose=0), as_is, rtol=1e-6)
    moved = keras.ops.convert_to_numpy(model(x, training=True))
    same = np.array([np.isclose(moved, np.flip(as_is, axes)).all(axis=(1, 2, 3)) for axes in FLIPPED[flips]])
    assert (same.sum(axis=0) == 1).all()  # each image is moved in one of the ways, as a whole
    assert (same.sum(axis=1) >= 32 / len(same)).all()  # and each way is taken at least half as often as expected
    if flips:
        again = keras.ops.convert_to_numpy(model(x, training=True))
        assert (again != moved).any()
        keras.utils.set_random_seed(0)
        seeded = mri.on_pixels((6, 6, 3), 3, build=nothing, flips=flips)
        np.testing.assert_array_equal(seeded(x, training=True), moved)


def test_flips_are_drawn_anew_in_each_compiled_epoch():
    def bright_left(y_true, y_pred):
        return y_pred[:, 0]

    def left(input_shape, labels):  # the mean of the left half
        return keras.Sequential([
            keras.Input(input_shape), layers.Cropping2D(((0, 0), (0, 2))), layers.Flatten(),
            layers.Dense(1, kernel_initializer=keras.initializers.Constant(1 / 24)),
        ])  # fmt: skip

    keras.utils.set_random_seed(0)
    x = np.zeros((100, 4, 4, 3), np.uint8)
    x[:, :, :2] = 255
    model = mri.on_pixels((4, 4, 3), 1, build=left, flips=HORIZONTAL)
    model.compile(keras.optimizers.SGD(0.0), "mse", metrics=[bright_left])
    y = np.zeros((100, 1))
    history = training.fit(model, x, y, batch_size=32, epochs=3, validation_data=(x, y), seed=0, verbose=0)
    assert history.engine.startswith("compiled")
    shares = history.history["bright_left"]
    assert all(0.3 < share < 0.7 for share in shares) and len(set(shares)) > 1
    np.testing.assert_allclose(history.history["val_bright_left"], 1, rtol=1e-5)


@pytest.mark.weekly
@pytest.mark.skipif(
    not importlib.util.find_spec("jax") or os.environ.get("KERAS_BACKEND") == "jax", reason="JAX missing, or here"
)
def test_flips_on_jax():
    # TensorFlow cannot be found. (None in sys.modules would not do: Keras' flips look whether it stands there.)
    code = """if True:
        import sys, pytest
        class Missing:
            def find_spec(name, path, target=None):
                if name.partition(".")[0] == "tensorflow":
                    raise ModuleNotFoundError(name)
        sys.meta_path.insert(0, Missing)
        sys.exit(pytest.main(sys.argv[1:]))"""
    done = subprocess.run(
        [sys.executable, "-c", code, "-q", "-p", "no:cacheprovider", "-k", "flips_move or flips_are", __file__],
        env=os.environ | {"KERAS_BACKEND": "jax"}, cwd=Path(__file__).parent, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    assert "5 passed" in done.stdout


# Runs


def test_rows_run_and_stand_beside_the_report(small):
    names = ["CNN, horizontal flips", "CNN, labelled images mirrored (copies)", "DNN, SGD"]
    results = studies.run(STUDY, only=names, source="synthetic")
    table = results.table()
    assert list(table.index) == names and results.statuses().empty
    assert set(table.verdict) == {"not comparable"} and set(table.origin) == {"synthetic"}
    assert table.parameters.tolist() == [33_923, 33_923, 2_579_003] and table.reported_parameters.isna().all()
    assert table.reproduced.between(0, 1).all() and table.epochs.eq(2).all()
    history = results.histories()[names[0]]
    averages = ("binary_accuracy", "micro_f1", "macro_f1")
    assert set(history) == {f"{split}{name}" for split in ("", "val_") for name in ("loss", *averages)}
    for name in names:
        assert not any(key in results.records[0]["metrics"] for key in ("micro_f1", "loss"))  # test labels: none
        true, predicted = results.labels(name)
        assert true.sum(axis=0).tolist() == small.validation.y.sum(axis=0).tolist()
        score = sklearn.metrics.f1_score(true, predicted, average="micro", zero_division=0)
        assert score == pytest.approx(table.reproduced[name], abs=1e-6)

    reports = mri.reports(results)
    assert list(reports.index.get_level_values(0).unique()) == names
    assert list(reports.loc[names[0]].index) == list(mri.LINES)
    said = reports.xs("reported", axis=1, level=1)
    assert said.loc[(names[0], "label 3")].tolist() == [0.85, 0.81, 0.83]
    assert said.loc[(names[0], "samples avg")].tolist() == [0.43, 0.44, 0.42]
    assert said.loc[("DNN, SGD", "label 1")].tolist() == [0.89, 0.87, 0.88]
    assert said.loc[names[1]].isna().all(axis=None)
    ours = reports.xs("reproduced", axis=1, level=1)
    assert ours.loc["DNN, SGD"][["precision", "recall", "f1-score", "support"]].equals(
        results.classification_report("DNN, SGD").rename_axis("line")
    )
    for record in results.records[:1]:
        record["status"] = "diverged in epoch 1"
    assert list(mri.reports(results).index.get_level_values(0).unique()) == names[1:]


@pytest.mark.parametrize("name", ["CNN, Poisson loss", "CNN, categorical cross-entropy"])
def test_what_the_other_losses_make_of_several_labels(name, small):
    model = models.multilabel_dnn((64, 64, 3), 3)
    model.compile("sgd", ROWS[name].loss)
    x, true = small.train.x / 255, small.train.y.astype(float)
    loss = model.evaluate(x, true, verbose=0)
    score = model.predict(x, verbose=0).astype(float)
    # Three scores are made to sum to 1; on TensorFlow by a softmax of what goes into the sigmoids.
    sums_to_1 = score / (1 - score) if keras.backend.backend() == "tensorflow" else score
    sums_to_1 /= sums_to_1.sum(axis=1, keepdims=True)
    by_hand = {
        "poisson": (score - true * np.log(score)).mean(),
        "categorical_crossentropy": (-true * np.log(sums_to_1)).sum(axis=1).mean(),
    }
    assert loss == pytest.approx(by_hand[ROWS[name].loss], rel=1e-4)
