"""What pre-training is worth: the rows, where the weights come from, balanced accuracy, and a run without a network."""

import warnings
from functools import partial

import keras
import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from kit import datasets, models, reports
from kit.reports import transfer
from kit.studies import describe


@pytest.fixture(scope="module")
def masks():
    """The stand-in at 256 pixels, which takes a while to make."""
    return datasets.load("glas", source="synthetic", image_size=256)


@pytest.fixture
def made_once(masks, monkeypatch):
    monkeypatch.setattr(datasets, "load", lambda name, *, source, image_size: masks)


ROWS = {row.name: row for row in transfer.STUDY.experiments}


def test_each_set_has_its_five_rows():
    kinds = ("pre-trained, frozen", "untrained, frozen", "fine-tuned", "CNN from nothing")
    assert set(ROWS) == {
        *(f"{what}: {kind}" for what in ("glands", "garments") for kind in kinds), "glands: majority",
        "garments: on pixels",
    }  # fmt: skip
    assert not any(row.validation_split or row.callbacks or row.reported for row in ROWS.values())
    rates = {name: float(row.optimizer().learning_rate) for name, row in ROWS.items()}
    assert {name for name, rate in rates.items() if rate == pytest.approx(1e-4)} == {
        "glands: fine-tuned", "garments: fine-tuned",
    }  # fmt: skip


def test_the_heads_and_the_small_nets():
    features = 1280  # of MobileNetV2, whatever its alpha up to 1
    for what, classes in (("glands", 2), ("garments", 10)):
        for kind in ("pre-trained", "untrained"):
            net = ROWS[f"{what}: {kind}, frozen"].build((features,), classes)
            assert net.count_params() == (features + 1) * classes
            assert not any(np.any(weights) for weights in net.get_weights())
    cnn = ROWS["glands: CNN from nothing"].build((256, 256, 3), 2)  # 256 -> 64 -> 16 -> 4
    assert cnn.count_params() == (27 + 1) * 16 + (144 + 1) * 32 + (288 + 1) * 64 + (4 * 4 * 64 + 1) * 2


def test_the_fine_tuned_net_learns_in_its_last_stage_and_its_head():
    net = ROWS["garments: fine-tuned"].build((28, 28, 1), 10, origin="synthetic, MobileNetV2 untrained")
    assert net.count_params() == 410_208 + (1280 + 1) * 10  # the data's own note says 410,208
    learning = sum(np.size(weights) for weights in net.trainable_variables)
    assert (1280 + 1) * 10 < learning < net.count_params() - 50_000
    assert net(np.zeros((1, 28, 28, 1), "uint8")).shape == (1, 10)
    assert describe.digest(net)  # or its fits would not be kept


@pytest.mark.parametrize("origin", ["real", "real, unverified", "synthetic"])
def test_the_weights_are_the_files_where_it_is_there(origin, monkeypatch, tmp_path):
    monkeypatch.setenv("KIT_DATA", str(tmp_path))
    synthetic = origin == "synthetic"
    assert transfer.weights(origin) == ((None, "untrained") if synthetic else ("imagenet", "from ImageNet"))
    file = tmp_path / "weights" / transfer.WEIGHTS
    file.parent.mkdir()
    file.touch()
    assert transfer.weights(origin) == ((None, "untrained") if synthetic else (str(file), transfer.WEIGHTS))


def test_weights_of_a_file_are_the_backbones(tmp_path):
    small = partial(models.transfer, (32, 32, 3), 2, backbone="MobileNetV2", alpha=0.35, hidden=())
    first = small(weights=None)
    path = tmp_path / "own.weights.h5"
    first.get_layer("backbone").layers[-1].save_weights(path)
    again = small(weights=str(path))
    for one, other in zip(first.get_layer("backbone").get_weights(), again.get_layer("backbone").get_weights()):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match=r"backbone='MobileNetV2' with {'alphas': 1}: .*unexpected keyword") as error:
        models.transfer((32, 32, 3), 2, backbone="MobileNetV2", weights=None, alphas=1)
    assert "\n" not in str(error.value)


def test_images_are_enlarged_within_the_net():
    net = models.transfer((28, 28, 1), 3, backbone="MobileNetV2", alpha=0.35, weights=None, enlarged_to=32)
    x = np.random.default_rng(0).integers(0, 256, (2, 28, 28, 1), np.uint8)
    large = np.asarray(keras.layers.Resizing(32, 32)(x))
    inner = net.get_layer("backbone").layers[-1]
    same = np.asarray(inner(np.repeat(large, 3, axis=-1) / 127.5 - 1, training=False))
    np.testing.assert_allclose(models.features(net, x), same, rtol=1e-3, atol=1e-3)


def test_features_are_centred_and_scaled_by_the_training_images_however_small_they_are():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (30, 32, 32, 3), np.uint8), np.arange(30) % 2
    own = datasets.from_arrays((x[:20], y[:20]), (x[20:], y[20:]))
    data = transfer.read_untrained(seed=0, images=lambda source: own)
    assert data.train.x.dtype == np.float32 and data.train.x.shape == (20, 1280)
    np.testing.assert_allclose(data.train.x.mean(axis=0), 0, atol=1e-4)
    assert data.train.x.std() == pytest.approx(1, rel=1e-3)
    assert data.train.x.std(axis=0).max() > 1.5  # one scale for all: they differ as much as before
    assert np.abs(data.test.x.mean(axis=0)).max() > 0.1  # not by themselves


@pytest.mark.slow
def test_the_sections_are_told_by_their_grades(masks, made_once):
    data = transfer.sections("synthetic")
    grades = datasets.glas.grades(masks)
    assert data.task == "multiclass" and data.classes == ("benign", "malignant")
    assert (data.train.x == masks.train.x).all() and data.train.x.dtype == np.uint8
    for split, name in ((data.train, "train"), (data.test, "test"), (data.extra["test_b"], "test_b")):
        assert [data.classes[label] for label in split.y] == list(grades[name])


def test_balanced_accuracy_is_scikit_learns():
    rng = np.random.default_rng(0)
    true, scores = rng.choice(3, 200, p=[0.7, 0.25, 0.05]), rng.random((200, 4), np.float32)
    metric = transfer.BalancedAccuracy(4)  # the fourth class does not occur
    for part in (slice(0, 150), slice(150, 200)):
        metric.update_state(true[part], scores[part])
    found = scores.argmax(1)
    shares = [np.mean(found[true == label] == label) for label in range(3)]
    assert float(metric.result()) == pytest.approx(np.mean(shares), rel=1e-5)
    four = np.where(found == 3, 0, found)  # scikit-learn's counts the classes that are there
    metric.reset_state()
    metric.update_state(true[:, None], np.eye(4)[four])
    assert float(metric.result()) == pytest.approx(balanced_accuracy_score(true, four), rel=1e-5)


@pytest.mark.slow
def test_it_runs_without_a_network_and_says_that_nothing_was_pre_trained(made_once, monkeypatch, tmp_path):
    monkeypatch.setenv("KIT_PROFILE", "quick")
    monkeypatch.setenv("KIT_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "cache"))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # that a fit is not kept, that it has not converged
        results = reports.run("transfer", source="synthetic", only=["glands: pre*", "glands: majority"])
    assert results.statuses().empty and all(record.get("kept", True) for record in results.records)
    table, balanced = results.table(), results.table("balanced_accuracy")
    assert set(table.verdict) == {"not comparable"} and balanced.reproduced["glands: majority"] == 0.5
    assert table.origin["glands: pre-trained, frozen"] == "synthetic, MobileNetV2 untrained"
    assert all("test_b_balanced_accuracy" in record["metrics"] for record in results.records)
