"""The study `organ` and its searches: rows that equal the report's, data, the second loss, the fit that diverges.

Trained are small nets on 132 noisy images, two epochs each: enough to see that a row runs.
"""

import dataclasses
import importlib
import math
import re
from functools import partial
from itertools import pairwise
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest
from test_transfer import small_net

from kit import models, reports, search, studies
from kit.datasets import Dataset, Split
from kit.models.numpy_mlp import NumpyMLP
from kit.reports import organ

pytestmark = pytest.mark.slow  # nearly every test trains

transfer = importlib.import_module("kit.models.transfer")
STUDY = reports.get("organ")
ROWS = {row.name: row for row in STUDY.experiments}
CLASSES = tuple("abcdefghijk")


def images(side, origin):
    """Eleven classes that differ in brightness."""
    rng, y = np.random.default_rng(0), np.arange(132) % 11
    x = (rng.integers(0, 40, (132, side, side, 1)) + 20 * y[:, None, None, None]).astype(np.uint8)
    parts = (slice(88), slice(88, 110), slice(110, None))
    return Dataset(
        *(Split(x[part], y[part]) for part in parts),
        classes=CLASSES,
        task="multiclass",
        card=SimpleNamespace(title="Organs"),
        origin=origin,
    )


@pytest.fixture
def small(monkeypatch):
    """The set is small, the larger images have 32 pixels, two epochs are all, and so is a small backbone."""
    monkeypatch.setenv("KIT_PROFILE", "quick")

    def load(name, *, source=None, image_size=28):
        assert name == "organamnist"
        return images({28: 28, 128: 32}[image_size], source or "real")

    monkeypatch.setattr(organ.datasets, "load", load)
    _, prepare = transfer._find("resnet50")

    def net(weights, **options):
        if weights == "imagenet":
            raise Exception("URL fetch failure on https://weights.example/resnet50.h5: None -- no network")
        return small_net(weights=weights, **options)

    monkeypatch.setattr(transfer, "_find", lambda name: (net, prepare))


def mlp_parameters(*sizes):
    return sum((inputs + 1) * outputs for inputs, outputs in pairwise(sizes))


def test_the_reports_rows():
    expected = {  # accuracy, the printed loss, epochs
        "MLP, no hidden layer": (0.597, 2.010, 7),
        "MLP, 1 hidden layer": (0.709, 1.884, 15),
        "MLP, base": (0.716, 1.838, 8),
        "MLP, base: Leaky ReLU": (0.719, 1.852, 13),
        "MLP, base: tanh": (0.706, 1.858, 21),
        "MLP, base: L1 and L2": (0.753, 1.828, 15),
        "MLP, base: no normalization": (0.654, 1.973, 10),
        "MLP, base at 128 px": (0.747, 1.837, 8),
        "MLP, big at 128 px": (0.744, 1.882, 17),
        "CNN at 28 px": (0.856, 1.684, 17),
        "CNN at 128 px": (0.871, 1.671, 28),
        "ResNet50, new head": (0.923, 1.625, 37),
    }
    keys = ("accuracy", "twice_softmaxed_loss", "epochs")
    given = {name: tuple(row.reported[key] for key in keys) for name, row in ROWS.items() if row.reported}
    assert given == expected and ROWS["MLP, base: by hand"].of == "MLP, base"
    other = {name: row.of for name, row in ROWS.items() if name not in expected}
    assert other == {
        "MLP, base: by hand": "MLP, base", "MLP, base: no normalization, raw bytes": "MLP, base: no normalization",
        "CNN at 28 px, trained through two softmaxes": "CNN at 28 px",
        "ResNet50, new head, trained through two softmaxes": "ResNet50, new head",
        "MLP, base at 128 px: rate too large": None, "MLP, big at 128 px: rate too large": None,
    }  # fmt: skip
    assert len(STUDY.experiments) == len(ROWS) == 18


def test_the_parameters():
    wide = (9 + 1) * 24 + (9 * 24 + 1) * 24 + mlp_parameters(128 * 128 * 24, 286, 286, 286, 11)
    base = mlp_parameters(784, 256, 256, 11), 2.7e5
    of_base = {name: base for name in ROWS if name.startswith("MLP, base") and "128" not in name}
    counts = of_base | {  # ours, and what the report prints
        "MLP, no hidden layer": (mlp_parameters(784, 11), 8.6e3),
        "MLP, 1 hidden layer": (mlp_parameters(784, 256, 11), 2.0e5),
        "MLP, base at 128 px": (mlp_parameters(16384, 256, 256, 11), 4.3e6),
        "MLP, big at 128 px": (mlp_parameters(16384, 1024, 512, 256, 11), 1.7e7),
        "CNN at 28 px": (320 + (9 * 32 + 1) * 32 + mlp_parameters(7 * 7 * 32, 200, 11), 3.3e5),
        "CNN at 128 px": (wide, 1.1e8),
        "ResNet50, new head": (mlp_parameters(2048, 224, 11), 4.6e5),
    }
    assert [ours for ours, _ in counts.values()][-7:] == [
        8_635, 203_787, 4_263_179, 17_437_195, 325_579, 112_632_831, 461_451,
    ]  # fmt: skip
    assert base[0] == 269_579
    for name, row in ROWS.items():
        first = name if name in counts else re.split("(?<=px):|, trained", name)[0]
        ours, printed = counts[first]
        assert float(f"{ours:.2g}") == printed == row.reported.get("parameters", printed)
        if first == "CNN at 128 px":  # half a gigabyte: built for smaller images instead
            parts = row.build((8, 8, 1), 11).count_params(), 240 + 5208 + mlp_parameters(8 * 8 * 24, 286, 286, 286, 11)
            assert parts[0] == parts[1]
        elif "by hand" not in name:
            shape = (2048,) if "ResNet50" in name else (128, 128, 1) if "128" in name else (28, 28, 1)
            assert row.build(shape, 11).count_params() == ours, name


def test_the_rows_are_trained_as_the_report_says():
    for name, row in ROWS.items():
        assert row.epochs == 90 and row.batch_size == 32 and row.validation_split == 0, name
        if row.optimizer:
            (stopping,) = (make() for make in row.callbacks)
            kept = stopping.monitor, stopping.patience, stopping.restore_best_weights
            assert kept == ("val_accuracy", 8, True)
            assert type(row.optimizer()).__name__ == ("SGD" if "MLP" in name or "128" in name else "Adam"), name
    ours = {"MLP, base: no normalization, raw bytes", *(name for name in ROWS if "128 px" in name)}
    for name, row in ROWS.items():
        if name.startswith("MLP") and row.optimizer and name not in ours:
            optimizer = row.optimizer()
            assert (float(optimizer.learning_rate), optimizer.momentum) == (pytest.approx(0.0892), 0), name
    net = ROWS["MLP, base: by hand"].build((28, 28, 1), 11)
    assert (net.hidden, net.learning_rate, net.patience, net.l1, net.l2) == ((256, 256), 0.0892, 8, 0, 0)
    kinds = {name: [type(layer).__name__ for layer in ROWS[name].build((28, 28, 1), 11).layers] for name in
             ("MLP, base", "MLP, base: no normalization, raw bytes", "CNN at 28 px", "CNN at 128 px")}  # fmt: skip
    dense = ["Flatten", "Dense", "Dense", "Dense"]
    assert kinds["MLP, base"] == ["Rescaling", *dense] and kinds["MLP, base: no normalization, raw bytes"] == dense
    assert kinds["CNN at 28 px"] == ["Rescaling", *["Conv2D", "MaxPooling2D"] * 2, "Flatten", "Dense", "Dense"]
    assert kinds["CNN at 128 px"] == ["Rescaling", "Conv2D", "Conv2D", "Flatten", *["Dense"] * 4]
    for name, ends in (("MLP, base", (-1, 1)), ("MLP, base: no normalization", (0, 1))):
        first = ROWS[name].build((28, 28, 1), 11).layers[0]
        assert [float(first(np.float32(pixel))) for pixel in (0, 255)] == pytest.approx(ends)
    for name, row in ROWS.items():
        assert (row.loss is organ.twice_softmaxed_loss) == ("two softmaxes" in name)
    rates = [float(row.optimizer().learning_rate) for name, row in ROWS.items() if "too large" in name]
    assert rates == pytest.approx([0.2, 0.2])
    penalized = ROWS["MLP, base: L1 and L2"].build((28, 28, 1), 11).layers[2].kernel_regularizer
    assert (float(penalized.l1), float(penalized.l2)) == pytest.approx((0.000183, 0.0015))


def test_normalized_pixels_are_those_behind_the_first_layer(small):
    by_hand, pixels = organ.normalized("synthetic"), organ.data("synthetic")
    first = ROWS["MLP, base"].build((28, 28, 1), 11).layers[0]
    for split in ("train", "validation", "test"):
        x = getattr(by_hand, split).x
        np.testing.assert_allclose(x, np.asarray(first(getattr(pixels, split).x)), atol=1e-6)
        assert x.dtype == np.float32 and x.min() >= -1
    assert by_hand.origin == "synthetic"


def test_of_the_large_synthetic_images_a_third_and_of_the_real_ones_all(small):
    synthetic, real = organ.large("synthetic"), organ.large("real")
    assert [len(split.x) for split in (synthetic.train, synthetic.validation, synthetic.test)] == [29, 22, 22]
    assert synthetic.origin == "synthetic (a third)" and synthetic.train.x.dtype == np.uint8
    assert real.origin == "real" and len(real.train.x) == 88 and real.train.x.shape[1:] == (32, 32, 1)


def test_the_features_of_synthetic_images_are_an_untrained_nets_and_say_so(small, tmp_path):
    first, again = organ.features("synthetic"), organ.features("synthetic")
    assert first.origin == "synthetic (a third), ResNet50 untrained"
    assert first.train.x.shape == (29, 4) and first.test.x.shape == (22, 4) and (first.train.y >= 0).all()
    assert np.array_equal(first.train.x, again.train.x)
    assert len(list((tmp_path / "cache" / "features").glob("*.npy"))) == 3  # computed once


def test_without_the_weights_the_real_row_says_what_to_fetch_and_the_others_are_trained(small):
    results = reports.run("organ", source="real", only=["MLP, base", "ResNet50, new head"])
    (row,) = results.statuses().itertuples()
    assert row.experiment == "ResNet50, new head" and results.table().verdict["MLP, base"] != "failed"
    assert "fetch https://weights.example/resnet50.h5 and put it into" in row.status
    with pytest.raises(FileNotFoundError, match=r"fetch https://weights.example/resnet50.h5 and put it into") as error:
        reports.run("organ", source="real", only="ResNet50, new head")
    assert "\n" not in str(error.value)


def test_the_second_softmax_by_hand():
    perfect, uniform = np.eye(11, dtype="float32"), np.full((11, 11), 1 / 11, "float32")
    np.testing.assert_allclose(organ.twice_softmaxed_loss(np.arange(11), perfect), math.log(math.e + 10) - 1, rtol=1e-6)
    np.testing.assert_allclose(organ.twice_softmaxed_loss(np.arange(11), uniform), math.log(11), rtol=1e-6)
    assert math.log(math.e + 10) - 1 == pytest.approx(1.543, abs=5e-4)
    # two classes with 0.9 and 0.1: exp gives 2.4596 and 1.1052, so 0.6900 and 0.3100
    p = np.array([[0.9, 0.1], [0.9, 0.1]], "float32")
    np.testing.assert_allclose(organ.twice_softmaxed_loss(np.array([[0], [1]]), p), -np.log([0.69, 0.31]), atol=1e-4)


def test_the_second_softmax_within_a_compiled_net():
    """Keras' own losses look behind a softmax; this one must not."""
    keras.utils.set_random_seed(0)
    x, y = np.random.default_rng(0).normal(size=(50, 6)).astype("float32"), np.arange(50) % 4
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4, "softmax", kernel_regularizer="l2")])
    row = ROWS["MLP, base"]
    model.compile("sgd", row.loss, metrics=list(row.metrics))
    found = model.evaluate(x, y, return_dict=True, verbose=0)
    p = model.predict(x, verbose=0)
    once, twice = np.log(p), p - np.log(np.exp(p).sum(axis=1, keepdims=True))
    assert found["twice_softmaxed_loss"] == pytest.approx(-twice[range(50), y].mean(), rel=1e-5)
    assert found["sparse_categorical_crossentropy"] == pytest.approx(-once[range(50), y].mean(), rel=1e-5)
    assert found["loss"] > found["sparse_categorical_crossentropy"] + 0.01  # the penalty


def test_rows_run_on_synthetic_data_and_one_that_diverges_does_not_stop_them(small):
    rows = STUDY.select(["MLP, base", "MLP, base: by hand", "ResNet50, new head"])
    fast = partial(keras.optimizers.SGD, 1e30)  # the row's own rate takes the real number of updates
    wild = dataclasses.replace(ROWS["MLP, base at 128 px: rate too large"], optimizer=fast)
    study = dataclasses.replace(STUDY, experiments=(wild, *rows))
    results = studies.run(study, source="synthetic")
    (status,) = results.statuses().status
    assert re.fullmatch("diverged in epoch [12]", status)
    table = pd.concat([results.table(), results.readings()])
    assert table.verdict[wild.name] == "failed" and (table.verdict[1:] == "not comparable").all()
    assert table.reproduced[1:].notna().all()
    assert table.origin["MLP, base"] == "synthetic" and "untrained" in table.origin["ResNet50, new head"]
    assert table.parameters["MLP, base: by hand"] == table.parameters["MLP, base"] == 269_579
    losses, entropies = results.table("twice_softmaxed_loss"), results.table("sparse_categorical_crossentropy")
    assert (losses.reproduced[1:] > 1.543).all() and table.reported["MLP, base: by hand"] == 0.716
    assert entropies.reproduced[1:].notna().all()
    by_hand = next(r for r in results.records if r["experiment"] == "MLP, base: by hand")["metrics"]
    assert by_hand["sparse_categorical_crossentropy"] == pytest.approx(by_hand["loss"], rel=1e-4)
    assert results.confusion_matrices()["MLP, base"].shape == (11, 11)


def test_the_printed_loss_is_better_when_it_is_lower():
    record = {"experiment": "MLP, base", "status": "finished", "parameters": 1, "epochs": 1, "seconds_per_epoch": 1.0}
    record |= {"origin": "real", "profile": "full"}
    for loss, verdict in ((1.838, "reproduced"), (1.6, "better"), (2.2, "worse")):
        fits = [
            record | {"seed": seed, "metrics": {"twice_softmaxed_loss": loss + change}}
            for seed, change in enumerate((0, 0.001, -0.001))
        ]
        assert studies.Results(STUDY, CLASSES, fits).table("twice_softmaxed_loss").verdict["MLP, base"] == verdict
    synthetic = fits[0] | {"origin": "synthetic (a third)"}
    assert studies.Results(STUDY, CLASSES, [synthetic]).table("twice_softmaxed_loss").verdict.item() == "not comparable"


def test_the_numpy_row_is_a_numpy_mlp():
    row = ROWS["MLP, base: by hand"]
    assert isinstance(row.build((28, 28, 1), 11), NumpyMLP) and row.optimizer is None and row.data is organ.normalized


def test_recorded_the_cnn_beats_every_mlp():
    """At 28 pixels. On the 345 synthetic images of 128 pixels the large nets come out alike."""
    if not reports.results_path("organ").exists():
        pytest.skip("nothing recorded yet")
    accuracy = reports.recorded("organ").table().reproduced
    assert accuracy[accuracy.index.str.startswith("MLP")].max() + 0.05 < accuracy["CNN at 28 px"]


# The searches

SEARCHES = [name for name in reports.names() if name.startswith("organ-")]  # its study is "organ"


@pytest.mark.parametrize(
    "name, size",
    [("organ-mlp-optuna", 18), ("organ-mlp-penalties-optuna", 450), ("organ-cnn-optuna", 192),
     ("organ-transfer-optuna", 15)],
)  # fmt: skip
def test_the_spaces(name, size):
    one = reports.get(name)
    assert math.prod(len(values) for values in one.space.values()) == size > one.settings.trials
    assert one.library is search.optuna
    smallest, shape = {key: values[0] for key, values in one.space.items()}, (28, 28, 1)
    if name == "organ-transfer-optuna":
        shape = (2048,)
    row = one.best_study(smallest | {"patience": 3}, 7).experiments[0]
    assert row.build(shape, 11).output_shape == (None, 11)
    assert (row.epochs, row.callbacks) == (7, ())
    assert type(row.optimizer()).__name__ == ("SGD" if "mlp" in name else "Adam")
    assert float(row.optimizer().learning_rate) == pytest.approx(0.001)  # the first of the space, and Adam's own


def test_the_reports_settings_are_in_the_spaces():
    penalties = reports.get("organ-mlp-penalties-optuna").space
    assert 0.0892 in penalties["learning_rate"] and 8 in penalties["patience"]
    assert 0.000183 in penalties["l1"] and 0.0015 in penalties["l2"]
    net = reports.get("organ-cnn-optuna").build(
        (28, 28, 1), 11, channels=32, kernel_size=3, pool=2, dense_layers=1, units=200
    )
    assert net.count_params() == 325_579
    head = reports.get("organ-transfer-optuna").build((2048,), 11, hidden_layers=1, units=224)
    assert head.count_params() == 461_451
    assert set(SEARCHES) == {f"organ-{part}-optuna" for part in ("mlp", "mlp-penalties", "cnn", "transfer")}


def test_a_search_runs_and_its_best_is_fitted_again(small):
    pytest.importorskip("optuna")
    found, results = reports.run("organ-transfer-optuna", source="synthetic")
    assert len(found.table) == 2 and (found.table.status == "finished").all()
    (row,) = results.table().itertuples()
    assert row.Index == f"best: hidden_layers {found.best['hidden_layers']}, units {found.best['units']}"
    assert row.origin == "synthetic (a third), ResNet50 untrained" and row.reported == 0.923


def test_a_space_may_have_the_patience(small, monkeypatch):
    """On pure noise the validation loss soon rises, and a trial with less patience ends earlier."""
    pytest.importorskip("optuna")
    monkeypatch.delenv("KIT_PROFILE")
    noise = organ.data("synthetic")
    shuffled = np.random.default_rng(0).permutation(noise.train.y)
    noise = dataclasses.replace(noise, train=Split(noise.train.x, shuffled))
    found = search.optuna(
        models.mlp, noise, {"patience": [1, 6], "learning_rate": [0.001]}, epochs=12, optimizer=keras.optimizers.SGD
    )
    epochs = found.table.set_index("patience").epochs
    assert epochs[1] < epochs[6]
