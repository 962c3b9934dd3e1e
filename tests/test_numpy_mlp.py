"""The hand-written net: its gradients by finite differences and in Keras, its training, scikit-learn's conventions."""

import keras
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, make_blobs
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import check_estimator

from kit.models.numpy_mlp import ACTIVATIONS, NumpyMLP, backward, forward, initial_weights, loss

# A rate of 0.1, fifty times the default, because the tests make fifty times fewer updates than the reports.
QUICK = {"hidden": (32,), "learning_rate": 0.1, "epochs": 15, "random_state": 0}


@pytest.fixture(scope="module")
def digits():
    images, labels = load_digits(return_X_y=True)
    return train_test_split((images / 16).astype(np.float32), labels, test_size=0.3, random_state=0, stratify=labels)


def batch(sizes, n, dtype):
    """Weights with biases that are not zero, and a batch that fits them."""
    rng = np.random.default_rng(0)
    coefs, intercepts = initial_weights(sizes, "he_uniform", rng)
    coefs = [w.astype(dtype) for w in coefs]
    intercepts = [rng.normal(0, 0.1, b.shape).astype(dtype) for b in intercepts]
    return rng.normal(size=(n, sizes[0])).astype(dtype), rng.integers(0, sizes[-1], n), coefs, intercepts


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_are_finite_differences(activation, dropout):
    # float64, so that the difference of two losses keeps enough digits.
    x, y, coefs, intercepts = batch((5, 4, 3, 3), 6, np.float64)

    def run():
        # The same generator each time drops the same outputs.
        return forward(x, coefs, intercepts, activation=activation, dropout=dropout, rng=np.random.default_rng(1))

    coef_gradients, intercept_gradients = backward(*run(), y, coefs, l1=0.02, l2=0.03)
    for weight, gradient in zip(coefs + intercepts, coef_gradients + intercept_gradients, strict=True):
        assert gradient.shape == weight.shape
        for place in np.ndindex(weight.shape):
            kept, step, losses = weight[place], 1e-6, []
            for weight[place] in (kept + step, kept - step):
                losses.append(loss(run()[0][-1], y, coefs, l1=0.02, l2=0.03))
            weight[place] = kept
            assert gradient[place] == pytest.approx((losses[0] - losses[1]) / (2 * step), abs=1e-7)


def keras_net(sizes, activation, l1, l2, coefs, intercepts, learning_rate):
    penalty = keras.regularizers.L1L2(l1, l2)
    net = keras.Sequential([keras.Input((sizes[0],))])
    for units in sizes[1:-1]:
        net.add(keras.layers.Dense(units, kernel_regularizer=penalty))
        net.add(
            keras.layers.LeakyReLU(negative_slope=0.1)
            if activation == "leaky_relu"
            else keras.layers.Activation(activation)
        )
    net.add(keras.layers.Dense(sizes[-1], kernel_regularizer=penalty))
    net.set_weights([array for pair in zip(coefs, intercepts, strict=True) for array in pair])
    net.compile(
        keras.optimizers.SGD(learning_rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return net


@pytest.mark.parametrize("l1, l2", [(0.0, 0.0), (0.001, 0.002)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_loss_and_gradients_are_those_of_keras(activation, l1, l2):
    sizes = (20, 16, 8, 5)
    x, y, coefs, intercepts = batch(sizes, 32, np.float32)
    layers, slopes = forward(x, coefs, intercepts, activation=activation)
    coef_gradients, intercept_gradients = backward(layers, slopes, y, coefs, l1=l1, l2=l2)
    # One step at rate 1 moves each weight by its gradient, on any back end.
    net = keras_net(sizes, activation, l1, l2, coefs, intercepts, learning_rate=1.0)
    keras_loss = net.train_on_batch(x, y)[0]
    assert loss(layers[-1], y, coefs, l1=l1, l2=l2) == pytest.approx(float(keras_loss), abs=1e-5)
    after = net.get_weights()
    pairs = (coef_gradients, coefs, after[::2]), (intercept_gradients, intercepts, after[1::2])
    for gradients, before, moved in pairs:
        for i, gradient in enumerate(gradients):
            np.testing.assert_allclose(gradient, before[i] - moved[i], atol=1e-5)


def test_history_is_that_of_keras(digits):
    x, x_val, y, y_val = digits
    # With all images in one batch their order does not matter, and both make the same three updates.
    mine = NumpyMLP((16,), learning_rate=0.5, batch_size=len(x), epochs=3, l2=0.001, random_state=0)
    mine.fit(x, y, validation_data=(x_val, y_val))
    start = initial_weights((64, 16, 10), "glorot_uniform", np.random.default_rng(0))
    net = keras_net((64, 16, 10), "relu", 0.0, 0.001, *start, learning_rate=0.5)
    history = net.fit(x, y, batch_size=len(x), epochs=3, validation_data=(x_val, y_val), verbose=0).history
    assert mine.history_.keys() == history.keys()
    for name, values in history.items():
        np.testing.assert_allclose(mine.history_[name], values, atol=1e-4)


def test_initial_weights_are_within_the_bounds_of_glorot_and_he():
    for initializer, bound in [("glorot_uniform", np.sqrt(6 / (300 + 100))), ("he_uniform", np.sqrt(6 / 300))]:
        (coef,), (intercept,) = initial_weights((300, 100), initializer, np.random.default_rng(0))
        assert coef.dtype == np.float32 and coef.shape == (300, 100) and not intercept.any()
        # Of 30,000 draws the largest falls short of the bound by less than a thousandth.
        assert 0.999 * bound < np.abs(coef).max() <= bound


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_learns_digits(digits, activation):
    x, x_test, y, y_test = digits
    mlp = NumpyMLP(**QUICK, activation=activation).fit(x, y)
    assert mlp.score(x_test, y_test) > 0.9
    assert mlp.history_["loss"][-1] < 0.5 * mlp.history_["loss"][0]
    assert [w.shape for w in mlp.coefs_] == [(64, 32), (32, 10)] and mlp.coefs_[0].dtype == np.float32
    assert mlp.n_features_in_ == 64 and mlp.iterations_ == 15 * 40  # 1,257 images are 40 batches of 32


def test_no_hidden_layer_is_softmax_regression(digits):
    x, x_test, y, y_test = digits
    assert NumpyMLP(**QUICK | {"hidden": ()}).fit(x, y).score(x_test, y_test) > 0.9


def test_a_seed_repeats_and_zero_is_a_seed(digits):
    x, _, y, _ = digits
    # Dropout, so that its draws too must come from the seed; one epoch is enough to differ.
    options = QUICK | {"epochs": 1, "dropout": 0.2}
    fits = [NumpyMLP(**options | {"random_state": seed}).fit(x, y).coefs_[0] for seed in (0, 0, 1, None, None)]
    assert np.array_equal(fits[0], fits[1])
    assert not np.array_equal(fits[0], fits[2]) and not np.array_equal(fits[3], fits[4])


def test_iterations_are_counted_in_updates(digits):
    x, _, y, _ = digits
    mlp = NumpyMLP(**QUICK | {"max_iterations": 50}).fit(x, y)
    assert mlp.iterations_ == 50 and len(mlp.history_["loss"]) == 2  # 40 batches an epoch
    # An update at a rate too small to move anything: the epoch's accuracy is that of 10 batches' 320 images.
    still = NumpyMLP(**QUICK | {"max_iterations": 10, "learning_rate": 1e-30}).fit(x, y)
    assert still.history_["accuracy"][0] * 320 == pytest.approx(round(still.history_["accuracy"][0] * 320))


def test_stops_when_validation_no_longer_improves_and_restores_the_best(digits):
    x, x_val, y, y_val = digits
    # A rate so high that the accuracy jumps about, so that the last epoch is not the best.
    mlp = NumpyMLP(**QUICK | {"learning_rate": 1.0, "epochs": 200, "patience": 3}).fit(x, y, (x_val, y_val))
    accuracy = mlp.history_["val_accuracy"]
    assert len(accuracy) == np.argmax(accuracy) + 1 + 3 < 200
    assert accuracy[-1] < max(accuracy) == pytest.approx(mlp.score(x_val, y_val))


def test_validation_fraction_is_held_out(digits):
    x, _, y, _ = digits
    mlp = NumpyMLP(**QUICK | {"epochs": 1, "validation_fraction": 0.2, "patience": 3}).fit(x, y)
    assert set(mlp.history_) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert mlp.iterations_ == 32  # 252 of 1,257 held out leave 1,005: 32 batches
    # Stratified: a class of one image cannot be both trained and validated on.
    with pytest.raises(ValueError, match="member"):
        clone(mlp).fit(x, np.where(np.arange(len(y)) == 0, 10, y))


def test_dropout_keeps_the_expected_activation():
    x, _, coefs, intercepts = batch((20, 50, 3), 4000, np.float32)
    whole = forward(x, coefs, intercepts, activation="tanh")[0][1]
    dropped = forward(x, coefs, intercepts, activation="tanh", dropout=0.2, rng=np.random.default_rng(0))[0][1]
    kept = dropped != 0
    np.testing.assert_allclose(dropped[kept], whole[kept] / 0.8, rtol=1e-5)
    assert kept.mean() == pytest.approx(0.8, abs=0.005)
    assert np.abs(dropped).mean() == pytest.approx(np.abs(whole).mean(), rel=0.01)


def test_dropout_acts_in_training_and_not_in_prediction(digits):
    x, x_test, y, _ = digits
    with_dropout = NumpyMLP(**QUICK, dropout=0.5).fit(x, y)
    assert np.array_equal(with_dropout.predict_proba(x_test), with_dropout.predict_proba(x_test))
    assert with_dropout.history_["loss"][-1] > 1.5 * NumpyMLP(**QUICK).fit(x, y).history_["loss"][-1]


def test_images_of_any_shape_are_flattened(digits):
    x, x_test, y, _ = digits
    flat = NumpyMLP(**QUICK).fit(x, y)
    square = NumpyMLP(**QUICK).fit(x.reshape(-1, 8, 8, 1), y)
    np.testing.assert_array_equal(flat.predict_proba(x_test), square.predict_proba(x_test.reshape(-1, 8, 8, 1)))
    np.testing.assert_allclose(flat.predict_proba(x_test).sum(axis=1), 1, atol=1e-5)


def test_classes_keep_their_names(digits):
    x, x_test, y, y_test = digits
    names = np.array([f"digit {9 - i}" for i in range(10)])
    mlp = NumpyMLP(**QUICK).fit(x, names[y])
    assert list(mlp.classes_) == sorted(names)
    assert mlp.score(x_test, names[y_test]) > 0.9


def test_scikit_learn_can_clone_validate_and_search(digits):
    x, _, y, _ = digits
    mlp = NumpyMLP(**QUICK | {"epochs": 5})
    assert clone(mlp).get_params() == mlp.get_params()
    assert cross_val_score(mlp, x, y, cv=3).min() > 0.8
    search = GridSearchCV(mlp, {"learning_rate": np.array([1e-6, 0.1]), "batch_size": [16, 32]}, cv=2).fit(x, y)
    assert search.best_params_["learning_rate"] == 0.1
    assert search.best_estimator_.coefs_[0].dtype == np.float32


@pytest.mark.filterwarnings("ignore")  # Checks that do not apply here are skipped with a warning.
def test_scikit_learn_finds_its_conventions_kept():
    check_estimator(NumpyMLP())


def test_learns_the_300_points_that_scikit_learn_asks_for_in_enough_updates():
    # The default rate and epochs are too few for its 83%, and so the net's tags say.
    x, y = make_blobs(n_samples=300, random_state=0)
    mlp = NumpyMLP(learning_rate=0.1, epochs=50, random_state=0)
    for kept in (y < 3, y < 2):
        assert mlp.fit(x[kept], y[kept]).score(x[kept], y[kept]) > 0.83
    assert get_tags(NumpyMLP()).classifier_tags.poor_score


@pytest.mark.parametrize(
    "option",
    [
        {"activation": "sigmoid"},
        {"initializer": "zeros"},
        {"hidden": 128},
        {"hidden": (0,)},
        {"hidden": (1.5,)},
        {"learning_rate": -0.1},
        {"learning_rate": 0},
        {"learning_rate": float("nan")},
        {"learning_rate": "fast"},
        {"dropout": 1.0},
        {"dropout": -0.1},
        {"l1": -1},
        {"l2": float("inf")},
        {"batch_size": 0},
        {"epochs": 2.5},
        {"max_iterations": 0},
        {"validation_fraction": 1},
        {"patience": 0},
        {"patience": 3},
    ],
)
def test_an_option_out_of_range_is_named_with_its_value(option, digits):
    x, _, y, _ = digits
    [(name, value)] = option.items()
    with pytest.raises(ValueError, match="would be right") as error:
        NumpyMLP(**option).fit(x, y)
    assert str(error.value).startswith(f"{name}={value!r}") and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda x, y: (np.where(x == x[3], np.nan, x), y), "NaN or infinity in"),
        (lambda x, y: (x, y[:-1]), "inconsistent numbers of samples"),
        (lambda x, y: (x, y + 0.5), "Unknown label type"),
        (lambda x, y: (x, np.eye(10)[y]), "1d array"),
        (lambda x, y: (x, y, (x[:, :9], y)), "9 features"),
        (lambda x, y: (x, y, (x, y + 1)), r"validation labels \[10\]"),
        (lambda x, y: (x[y != 4], y[y != 4], (x, y)), r"validation labels \[4\]"),
    ],
)
def test_bad_data_is_an_error_in_one_line(spoil, message, digits):
    x, _, y, _ = digits
    with pytest.raises(ValueError, match=message) as error:
        NumpyMLP(**QUICK).fit(*spoil(x, y))
    assert "\n" not in str(error.value)


def test_a_loss_that_goes_to_nan_is_an_error(digits):
    x, _, y, _ = digits
    with pytest.raises(ValueError, match=r"learning_rate=1e\+30"):
        NumpyMLP(**QUICK | {"learning_rate": 1e30}).fit(x, y)


def test_a_loss_that_goes_to_nan_after_a_good_epoch_leaves_the_best_weights(digits):
    x, x_val, y, y_val = digits
    # One update an epoch, and an L2 so strong that each update makes the weights a million times larger.
    options = QUICK | {"learning_rate": 1.0, "l2": 1e6, "batch_size": len(x), "patience": 10}
    mlp = NumpyMLP(**options).fit(x, y, validation_data=(x_val, y_val))
    assert not np.isfinite(mlp.history_["val_loss"][-1]) and len(mlp.history_["loss"]) < 10
    assert np.isfinite(mlp.predict_proba(x_val)).all()
