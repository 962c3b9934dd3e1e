"""F1 of several labels: against scikit-learn at any cut into batches, and inside the compiled epoch."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.metrics import f1_score

from kit import training
from kit.training import MultiLabelF1, best_thresholds

KINDS = [{"average": "micro"}, {"average": "macro"}, *({"label": i} for i in range(4))]


def scikit_learns(y_true, y_pred, average="micro", label=None):
    if label is not None:
        return f1_score(y_true, y_pred, average=None, zero_division=0)[label]
    return f1_score(y_true, y_pred, average=average, zero_division=0)


def in_batches(metric, rng, y_true, y_score):
    """The result once the examples were given in batches of random sizes."""
    cuts = np.sort(rng.choice(np.arange(1, len(y_true)), rng.integers(0, 9), replace=False))
    for true, score in zip(np.split(y_true, cuts), np.split(y_score, cuts)):
        metric.update_state(true, score)
    return float(metric.result())


def test_by_hand():
    y_true = [[1, 0, 0], [1, 1, 0], [0, 1, 0]]
    y_score = [[0.9, 0.1, 0.2], [0.2, 0.8, 0.1], [0.7, 0.5, 0.4]]
    # label 0: one hit, two true, two predicted: 2 * 1 / 4; label 1: all right; label 2: none true, none predicted: 0
    for kind, value in [({"label": 0}, 1 / 2), ({"label": 1}, 1), ({"label": 2}, 0), ({"average": "macro"}, 0.5)]:
        assert float(MultiLabelF1(**kind)(y_true, y_score)) == pytest.approx(value)
    assert float(MultiLabelF1()(y_true, y_score)) == pytest.approx(2 * 3 / (4 + 4))
    # at 0.75 one hit each for the labels 0 and 1, nothing else predicted
    assert float(MultiLabelF1(threshold=0.75)(y_true, y_score)) == pytest.approx(2 * 2 / (4 + 2))
    # only label 0 at another threshold: it loses the example scored 0.7
    assert float(MultiLabelF1(threshold=[0.75, 0.5, 0.5])(y_true, y_score)) == pytest.approx(2 * 3 / (4 + 3))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_it_is_scikit_learns_at_any_cut_into_batches(kind):
    rng = np.random.default_rng(0)
    metrics = {threshold: MultiLabelF1(**kind, threshold=threshold) for threshold in (0.5, 0.9)}
    for round in range(12):
        threshold = (0.5, 0.9)[round % 2]
        y_true = (rng.random((rng.integers(20, 500), 4)) < [0.5, 0.3, 0.1, 0.02]).astype(np.uint8)
        y_score = np.clip(rng.normal(0.4 + 0.2 * y_true, 0.3), 0, 1).astype(np.float32)
        if round % 4 == 0:
            y_true[:, 2] = 0  # no example bears the label
        if round % 6 == 0:
            y_score[:, 2] = 0  # nor is it predicted
        metric = metrics[threshold]
        metric.reset_state()
        expected = scikit_learns(y_true, y_score >= np.float32(threshold), **kind)
        assert in_batches(metric, rng, y_true, y_score) == pytest.approx(expected, abs=1e-6)


def test_examples_may_weigh_more_or_less():
    rng = np.random.default_rng(0)
    y_true, y_score, weight = rng.integers(0, 2, (50, 3)), rng.random((50, 3)), rng.random(50)
    for average in ("micro", "macro"):
        expected = f1_score(y_true, y_score >= 0.5, average=average, sample_weight=weight)
        assert float(MultiLabelF1(average=average)(y_true, y_score, weight)) == pytest.approx(expected, abs=1e-6)


def test_nothing_true_and_nothing_predicted_is_0():
    nothing = np.zeros((5, 3))
    for kind in KINDS[:3]:
        assert float(MultiLabelF1(**kind).result()) == 0
        assert float(MultiLabelF1(**kind)(nothing, nothing)) == 0


def fitted():
    """A net of three labels, trained with every metric, and its data: 70 rows in batches of 32, the last one short."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 6)).astype("float32")
    y = (x[:, :3] + rng.normal(0, 0.5, (100, 3)) > [0, 0.5, 1.5]).astype("uint8")
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Identity(), keras.layers.Dense(3, "sigmoid")])
    metrics = [MultiLabelF1(**kind) for kind in KINDS[:-1]] + [MultiLabelF1(threshold=[0.2, 0.3, 0.4], name="lower")]
    model.compile(keras.optimizers.Adam(0.1), "binary_crossentropy", metrics=metrics)
    history = training.fit(
        model, x[:70], y[:70], batch_size=32, epochs=3, validation_data=(x[70:], y[70:]), seed=0, verbose=0
    )
    return model, history, x, y


def test_inside_the_compiled_epoch():
    model, history, x, y = fitted()
    assert history.engine.startswith("compiled")
    score = np.asarray(model(x[70:]))
    expected = {
        "micro_f1": scikit_learns(y[70:], score >= 0.5),
        "macro_f1": scikit_learns(y[70:], score >= 0.5, "macro"),
        "lower": scikit_learns(y[70:], score >= np.float32([0.2, 0.3, 0.4])),
    } | {f"label_{i}_f1": scikit_learns(y[70:], score >= 0.5, label=i) for i in range(3)}
    found = {name: history.history[f"val_{name}"][-1] for name in expected}
    assert found == pytest.approx(expected, abs=1e-6)
    assert all(len(history.history[name]) == 3 for name in expected)
    assert history.history["micro_f1"][-1] > history.history["micro_f1"][0]
    assert model.evaluate(x[70:], y[70:], batch_size=7, return_dict=True, verbose=0)["micro_f1"] == pytest.approx(
        expected["micro_f1"], abs=1e-6
    )


def test_each_epoch_begins_anew():
    """With a learning rate of 0 each epoch gives the same score, in whatever order the examples come."""
    model, _, x, y = fitted()
    model.optimizer.learning_rate = 0.0
    scores = training.fit(model, x, y, batch_size=32, epochs=2, seed=1, verbose=0).history["macro_f1"]
    expected = scikit_learns(y, np.asarray(model(x)) >= 0.5, "macro")
    assert scores == pytest.approx([expected, expected], abs=1e-6)


@pytest.mark.weekly
@pytest.mark.skipif(
    not importlib.util.find_spec("jax") or keras.backend.backend() == "jax", reason="JAX missing, or here already"
)
def test_the_same_on_jax_without_tensorflow():
    code = "import sys; sys.modules['tensorflow'] = None; import pytest; sys.exit(pytest.main(sys.argv[1:]))"
    wanted = "hand or macro or compiled"
    done = subprocess.run(
        [sys.executable, "-c", code, "-q", "-p", "no:cacheprovider", "-k", wanted, Path(__file__).name],
        cwd=Path(__file__).parent, env=os.environ | {"KERAS_BACKEND": "jax"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout and "skipped" not in done.stdout


def test_it_is_saved_with_its_model(tmp_path):
    model, _, x, y = fitted()
    model.save(tmp_path / "net.keras")
    loaded = keras.models.load_model(tmp_path / "net.keras")
    wanted, found = (net.evaluate(x, y, return_dict=True, verbose=0) for net in (model, loaded))
    assert found == pytest.approx(wanted) and "lower" in found
    config = MultiLabelF1(label=2, threshold=[0.1, 0.2, 0.3], name="mine").get_config()
    again = MultiLabelF1.from_config(config)
    assert again.get_config() == config and (again.name, again.label, again.thresholds) == ("mine", 2, [0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    "options, said",
    [
        ({"average": None}, "average=None; it must be micro or macro, or give label="),
        ({"average": "weighted"}, "average='weighted'"),
        ({"label": -1}, "label=-1; it must be the number of a label, from 0"),
        ({"label": True}, "label=True"),
        ({"threshold": None}, "threshold=None; it must be a number, or one for each label"),
        ({"threshold": float("nan")}, "threshold=nan"),
    ],
    ids=str,
)
def test_bad_options_are_one_line(options, said):
    with pytest.raises(ValueError, match=said) as error:
        MultiLabelF1(**options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "options, y_true, y_score, said",
    [
        ({}, (5,), (5, 3), r"y_true is \(5,\) and y_pred \(5, 3\), .*; both must be \(n, labels\)"),
        ({}, (5, 2), (5, 3), r"y_true is \(5, 2\)"),
        ({"label": 3}, (5, 3), (5, 3), r"y_pred \(5, 3\), label=3, .*; .*, the label below their number"),
        ({"threshold": [0.5, 0.5]}, (5, 3), (5, 3), r"y_pred \(5, 3\), .* threshold=\[0.5, 0.5\]; .* one for each"),
    ],
    ids=str,
)
def test_arrays_that_do_not_fit(options, y_true, y_score, said):
    with pytest.raises(ValueError, match=said):
        MultiLabelF1(**options).update_state(np.zeros(y_true), np.zeros(y_score))


# Thresholds


def test_no_threshold_does_better_than_the_best():
    rng = np.random.default_rng(0)
    y_true = (rng.random((200, 3)) < [0.5, 0.2, 0.05]).astype("uint8")
    y_score = np.round(np.clip(rng.normal(0.3 + 0.2 * y_true, 0.2), 0, 1), 2).astype(np.float32)  # with equal scores
    found = best_thresholds(y_true, y_score)
    for i in range(3):
        scores = [f1_score(y_true[:, i], y_score[:, i] >= t, zero_division=0) for t in np.unique(y_score[:, i])]
        assert f1_score(y_true[:, i], y_score[:, i] >= found[i]) == pytest.approx(max(scores))
        assert float(MultiLabelF1(label=i, threshold=found)(y_true, y_score)) == pytest.approx(max(scores), abs=1e-6)
    at_half = f1_score(y_true, y_score >= 0.5, average="macro")
    assert f1_score(y_true, y_score >= found, average="macro") > at_half + 0.05


def test_thresholds_by_hand():
    y_true = np.array([[1, 0, 1, 1], [1, 0, 1, 0], [0, 0, 1, 0]])
    y_score = np.array([[0.4, 0.9, 0.2, 0.1], [0.3, 0.8, 0.1, 0.7], [0.2, 0.7, 0.7, 0.8]])
    # All right from 0.3 on; nothing to choose by; all of them, so the lowest; all three (1/2) beats two (0) and one (0)
    assert best_thresholds(y_true, y_score).tolist() == [0.3, 0.5, 0.1, 0.1]


def test_equal_scores_stand_or_fall_together():
    # at 0.6 one hit among four, of two: 2 * 1 / (4 + 2); at 0.3 all: 2 * 2 / (5 + 2)
    assert best_thresholds([[1], [0], [0], [0], [1]], [[0.6], [0.6], [0.6], [0.6], [0.3]]).tolist() == [0.3]


def test_of_equally_good_thresholds_the_nearest_to_a_half():
    # of the scores 0.9, 0.6, 0.2, 0.1 the first and the last are true: 2/3 with one of them, 2/3 with all four
    assert best_thresholds([[1], [0], [0], [1]], [[0.9], [0.6], [0.2], [0.1]]).tolist() == [0.9]
    assert best_thresholds([[1], [0], [0], [1]], [[0.99], [0.6], [0.2], [0.1]]).tolist() == [0.1]


@pytest.mark.parametrize(
    "y_true, y_score, said",
    [
        ([1, 0], [0.1, 0.2], r"y_true is \(2,\)"),
        ([[1, 0]], [[0.1]], r"y_true is \(1, 2\) and y_score \(1, 1\)"),
        (np.zeros((0, 3)), np.zeros((0, 3)), "n above 0"),
        ([[2]], [[0.1]], "must be all 0 and 1"),
        ([[1]], [[np.nan]], "finite"),
    ],
)
def test_thresholds_need_labels_and_scores(y_true, y_score, said):
    with pytest.raises(ValueError, match=said):
        best_thresholds(y_true, y_score)
