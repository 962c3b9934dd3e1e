"""The MNIST variants and the gland nets as studies: the report's rows, and what a run of segmentation keeps."""

import dataclasses
from functools import partial
from math import exp
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from sklearn.metrics import f1_score

from kit import models, reports, studies, training
from kit.datasets import Dataset, Split
from kit.reports import glands, mnist_cnn
from kit.studies import Experiment, Study

MNIST, GLANDS = reports.get("mnist-cnn"), reports.get("glands")


def row(study, name):
    return next(experiment for experiment in study.experiments if experiment.name.startswith(name))


def test_mnist_has_the_reports_nine_rows():
    assert all(e.watch == "test" for e in MNIST.experiments)
    reported = [(e.reported["accuracy"], e.epochs, e.batch_size) for e in MNIST.experiments if e.of is None]
    assert reported == [
        (0.9726, 60, 30), (0.9722, 60, 30), (0.9855, 60, 100), (0.9687, 60, 100), (0.9869, 15, 100),
        (0.9880, 10, 100), (0.9889, 10, 100), (0.9904, 10, 100), (0.9911, 10, 100),
    ]  # fmt: skip


def test_the_parameters_of_the_mnist_nets():
    convolutions = (3 * 3 * 1 * 8 + 8) + (3 * 3 * 8 * 16 + 16) + (3 * 3 * 16 * 32 + 32)
    dense = {units: (7 * 7 * 32 * units + units) + (units * 10 + 10) for units in (10, 50, 200)}
    norms = 4 * (8 + 16 + 32)
    expected = {
        "1.1 MLP in Keras": 784 * 128 + 128 + 128 * 64 + 64 + 64 * 10 + 10,
        "1.2": convolutions + dense[10], "1.3": convolutions + dense[10], "1.4": convolutions + dense[10],
        "1.5 model 1": convolutions + dense[50], "1.5 model 2": convolutions + dense[10] + norms,
        "1.5 model 3": convolutions + dense[10], "1.5 model 4": convolutions + dense[200],
    }  # fmt: skip
    assert (expected["1.1 MLP in Keras"], expected["1.2"]) == (109_386, 21_688)  # the report's
    for name, count in expected.items():
        experiment = row(MNIST, name)
        assert experiment.build((28, 28, 1), 10).count_params() == count
        assert experiment.reported.get("parameters", count) == count
    by_hand = row(MNIST, "1.1 MLP by hand")
    assert by_hand.build((28, 28, 1), 10).hidden == (128, 64) and by_hand.reported["parameters"] == 109_386


def test_the_optimizers_of_the_mnist_rows():
    made = [e.optimizer() for e in MNIST.experiments if e.optimizer and e.of is None]
    assert [type(optimizer).__name__ for optimizer in made] == ["SGD"] * 3 + ["Adam"] * 5
    rates = [float(optimizer.learning_rate) for optimizer in made]
    assert rates == pytest.approx([0.01, 0.005, 0.005, 0.001, 0.003, 0.003, 0.003, 0.003])
    assert made[3].epsilon == 1e-8
    last = 0.0001 + (0.003 - 0.0001) * exp(-1)  # after 10 epochs of 600 steps
    assert [float(mnist_cnn.schedule()(6000))] == pytest.approx([last])
    assert [isinstance(o._learning_rate, training.ExponentialFall) for o in made[4:]] == [False, False, True, True]


def test_the_readings_of_batch_normalization():
    name = "1.5 model 2: batch normalization"
    printed, quicker, behind = (
        {row.name: row for row in mnist_cnn.STUDY.experiments}[name + rest].build((28, 28, 1), 10)
        for rest in ("", ", momentum 0.9", " behind ReLU")
    )
    momenta = [[x.momentum for x in net.layers if hasattr(x, "momentum")] for net in (printed, quicker, behind)]
    assert momenta == [[0.99] * 3, [0.9] * 3, [0.99] * 3]
    kinds = [[type(layer).__name__ for layer in net.layers] for net in (printed, quicker, behind)]
    assert kinds[0] == kinds[1] and kinds[0][:4] == ["Conv2D", "BatchNormalization", "ReLU", "MaxPooling2D"]
    assert kinds[2][:3] == ["Conv2D", "MaxPooling2D", "BatchNormalization"] and kinds[2].count("ReLU") == 0
    assert kinds[2][6:9] == ["Conv2D", "BatchNormalization", "Flatten"]
    assert {net.count_params() for net in (printed, quicker, behind)} == {21_688 + 4 * (8 + 16 + 32)}


def test_the_readings_of_the_mlp():
    read = {e.name: e for e in MNIST.experiments if e.of}
    by_hand, in_keras = read["1.1 MLP by hand: tanh"], read["1.1 MLP in Keras: tanh"]
    assert by_hand.build((28, 28, 1), 10).activation == "tanh"
    assert [layer.activation.__name__ for layer in in_keras.build((28, 28, 1), 10).layers[1:]] == [
        "tanh", "tanh", "softmax",
    ]  # fmt: skip
    for deviation in (0.01, 0.1, 1):
        net = read[f"1.1 MLP in Keras: weights of sd {deviation}"].build((28, 28, 1), 10)
        assert all(np.std(layer.kernel) == pytest.approx(deviation, rel=0.1) for layer in net.layers[1:])
    assert sum(row.of in ("1.1 MLP by hand", "1.1 MLP in Keras") for row in read.values()) == 5


def test_pooling_before_the_activation_is_the_same_function():
    after, before = (row(MNIST, name).build((28, 28, 1), 10) for name in ("1.2", "1.3"))
    before.set_weights(after.get_weights())
    x = np.random.default_rng(0).random((20, 28, 28, 1), np.float32)
    np.testing.assert_allclose(before(x), after(x), atol=1e-6)


def test_glands_has_the_reports_eight_nets():
    reported = {e.name: dict(e.reported) for e in GLANDS.experiments if e.reported}
    assert reported == {
        "2.1 baseline": {"dice": 0.76},
        "2.2 model 1: rotations": {"val_dice": 0.73},
        "2.2 model 2: falling rate": {"val_dice": 0.77},
        "2.2 model 3: batch normalization": {"val_dice": 0.84},
        "2.2 model 4: narrow waist": {"val_dice": 0.66},
        "2.2 model 5: batch normalization": {"val_dice": 0.94},
        "2.2 model 5, all images": {"dice": 0.82},
        "2.3 U-Net": {"dice": 0.83},
        "2.4 residual net": {"dice": 0.84},
    }
    assert {row(GLANDS, "2.1 baseline").epochs, row(GLANDS, "2.2 model 4").epochs} == {150, 100}
    for name, count in (("2.1 baseline", 27_586), ("2.2 model 4", 305_134)):  # derived: the report prints neither
        assert row(GLANDS, name).build((128, 128, 2), 2).count_params() == count
    skips, none = (row(GLANDS, name).build((128, 128, 2), 2) for name in ("2.4 residual", "2.4 without"))
    assert skips.count_params() == none.count_params()


def test_what_the_gland_nets_learn_from(monkeypatch):
    y = np.zeros((10, 4, 4, 1), np.uint8)
    y[:, 0] = 1
    x = np.random.default_rng(0).integers(0, 256, (10, 4, 4, 3)).astype(np.uint8)
    card = SimpleNamespace(name="glas", title="GlaS")
    loaded = Dataset(
        Split(x, y), None, Split(x, y), ("no", "yes"), "segmentation", card, "synthetic", {"test_b": Split(x, y)}
    )
    monkeypatch.setattr("kit.datasets.load", lambda name, source: loaded)
    assert glands.data().train.x.shape == (10, 4, 4, 2) and glands.colours().train.x.shape == (10, 4, 4, 3)
    assert (len(glands.validated().train.x), len(glands.validated().validation.x)) == (8, 2)
    assert (len(glands.turned().train.x), len(glands.turned().validation.x)) == (24, 2)
    assert (len(glands.turned_before().train.x), len(glands.turned_before().validation.x)) == (24, 6)
    assert len(glands.every_way().train.x) == 60 and glands.every_way().validation is None
    for made in (glands.data(), glands.colours(), glands.every_way(), glands.turned_before()):
        np.testing.assert_allclose(made.train.x.mean((0, 1, 2)), 0, atol=1e-5)
        np.testing.assert_allclose(made.train.x.std((0, 1, 2)), 1, atol=1e-5)
        assert made.extra["test_b"].x.shape == made.test.x.shape
    for load in (glands.validated, glands.turned, glands.turned_before):  # another seed holds other images back
        assert (load(seed=0).validation.x == load(seed=0).validation.x).all()
        assert (load(seed=0).validation.x != load(seed=1).validation.x).any()


def alike(data):
    """Which of the validation images are, turned by some quarters, among the training images."""
    known = {np.rot90(mask, turn).tobytes() for mask in data.train.y for turn in range(4)}
    return [mask.tobytes() in known for mask in data.validation.y]


def test_copies_made_before_the_split_leak_and_made_behind_it_do_not(monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (20, 8, 8, 3)).astype(np.uint8), rng.integers(0, 2, (20, 8, 8, 1)).astype(np.uint8)
    card = SimpleNamespace(name="glas", title="GlaS")
    loaded = Dataset(Split(x, y), None, Split(x, y), ("no", "yes"), "segmentation", card, "synthetic")
    monkeypatch.setattr("kit.datasets.load", lambda name, source: loaded)
    assert not any(alike(glands.turned())) and not any(alike(glands.validated()))
    assert np.mean(alike(glands.turned_before())) > 0.8


def test_the_readings_of_the_gland_nets():
    for name, data in (("1", glands.turned_before), ("2", glands.validated), ("4", glands.validated),
                       ("5", glands.turned_before)):  # fmt: skip
        assert row(GLANDS, f"2.2 model {name}").data is data
    assert all(e.seeds == (0, 1, 2, 3, 4) for e in GLANDS.experiments if e.metric == "val_dice")
    rates = {e.name: e.optimizer()._learning_rate for e in GLANDS.experiments if e.name.startswith("2.2 model")}
    falling = {name for name, rate in rates.items() if isinstance(rate, training.ExponentialFall)}
    assert falling == {name for name in rates if "falling" in name}  # models 3 to 5 have what their tables print
    assert float(rates["2.2 model 2: falling rate, to 0.0001"](100)) == pytest.approx(0.0001, rel=0.2)
    nowhere = np.zeros((3, 8, 8, 1))
    nowhere[:, :2] = 1
    everywhere = row(GLANDS, "2.2 model 4: narrow waist, gland").build((8, 8, 2), 2).predict(np.ones((3, 8, 8, 2)))
    assert np.allclose(training.dice(nowhere, everywhere), 2 * 16 / (16 + 64))


def test_the_narrower_initial_weights_are_those_of_pytorch():
    keras.utils.set_random_seed(0)
    net = row(GLANDS, "2.2 model 4: narrow waist, narrower").build((128, 128, 2), 2)
    fans = [9 * 2, 9 * 32, 9 * 64, 16 * 64, 9 * 64, 16 * 32, 9 * 32, 16 * 4, 4]  # a transposed one's: its filters
    for layer, fan in zip([layer for layer in net.layers if layer.weights], fans, strict=True):
        for weights in layer.get_weights():
            assert np.abs(weights).max() <= fan**-0.5
        assert np.abs(layer.kernel).max() > 0.7 * fan**-0.5 and np.any(layer.bias)
        if fan > 18:
            assert np.std(layer.kernel) == pytest.approx((3 * fan) ** -0.5, rel=0.1)


def test_a_run_of_segmentation_keeps_the_dice_of_every_split_and_image():
    rng = np.random.default_rng(0)

    def split(n):
        y = (rng.random((n, 8, 8, 1)) < 0.5).astype(np.uint8)
        return Split((y + 0.5 * rng.random((n, 8, 8, 1))).astype(np.float32), y)

    made = Dataset(
        split(12), split(4), split(6), ("no", "yes"), "segmentation", SimpleNamespace(title="Tiny"), "real",
        {"test_b": split(3)},
    )  # fmt: skip
    tiny = Study(
        name="tiny-masks", title="Tiny", data=lambda source: made, metric="dice",
        experiments=(
            Experiment(
                name="one", build=partial(models.encoder_decoder, widths=(4,)), epochs=2, batch_size=1000,
                optimizer=partial(keras.optimizers.Adam, 0.01), metrics=(training.dice,), reported={"val_dice": 0.5},
            ),
        ),
    )  # fmt: skip
    results = studies.run(tiny)
    (record,) = results.records
    assert record["status"] == "finished"
    assert set(record["metrics"]) == {
        f"{split}{name}" for split in ("", "val_", "train_", "test_b_") for name in ("loss", "dice")
    }
    assert len(record["dice_by_image"]) == len(record["object_f1_by_image"]) == 6
    assert np.mean(record["dice_by_image"]) == pytest.approx(record["metrics"]["dice"], abs=1e-4)
    assert results.table("val_dice").loc["one", "reported"] == 0.5
    assert results.table().loc["one", "verdict"] == "not comparable"  # the report gives no figure for the test split
    own = dataclasses.replace(tiny, experiments=[dataclasses.replace(tiny.experiments[0], metric="val_dice")])
    row = dataclasses.replace(results, study=own).table().loc["one"]
    assert (row.metric, row.reported, row.reproduced) == ("val_dice", 0.5, record["metrics"]["val_dice"])


def test_a_run_of_labels_is_judged_on_validation_where_the_test_labels_are_missing():
    rng = np.random.default_rng(0)

    def split(n, labelled=True):
        y = (rng.random((n, 3)) < 0.4).astype(np.uint8)
        return Split((y + 0.4 * rng.random((n, 3))).astype(np.float32), y if labelled else None)

    made = Dataset(
        split(200), split(60), split(30, labelled=False), ("a", "b", "c"), "multilabel", SimpleNamespace(title="Tiny"),
        "real",
    )  # fmt: skip

    def net(input_shape, labels):
        return keras.Sequential([keras.Input(input_shape), keras.layers.Dense(labels, "sigmoid")])

    tiny = Study(
        name="tiny-labels", title="Tiny", data=lambda source: made, metric="val_f1",
        experiments=(
            Experiment(
                name="one", build=net, epochs=20, optimizer=partial(keras.optimizers.Adam, 0.05),
                loss="binary_crossentropy", metrics=(partial(training.MultiLabelF1, name="f1"),),
            ),
        ),
    )  # fmt: skip
    results = studies.run(tiny)
    (record,) = results.records
    assert set(record["metrics"]) == {"val_loss", "val_f1", "train_loss", "train_f1"}
    true, predicted = results.labels("one")
    assert sorted(map(tuple, true)) == sorted(map(tuple, made.validation.y))
    score = f1_score(true, predicted, average="micro")
    assert 0.5 < score == pytest.approx(record["metrics"]["val_f1"], abs=1e-6)
    report = results.classification_report("one")
    assert list(report.index) == ["a", "b", "c", "micro avg", "macro avg", "weighted avg", "samples avg"]
    assert report.loc["micro avg", "f1-score"] == pytest.approx(score)
    assert list(report["support"][:3]) == list(made.validation.y.sum(0))
