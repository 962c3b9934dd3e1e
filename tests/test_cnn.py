"""The CNN builder: parameter counts with the sum written out, the order of its layers, bad input."""

import keras
import numpy as np
import pytest

from kit import models, training


@pytest.mark.parametrize(
    "options, parameters",
    [
        # the ladder on 28x28: a pooling with padding "same" halves and rounds up, 28 -> 14 -> 7 -> 4
        ({"filters": (32,)}, (9 * 1 + 1) * 32 + (14 * 14 * 32 + 1) * 10),
        ({"filters": (32, 64)}, (9 * 1 + 1) * 32 + (9 * 32 + 1) * 64 + (7 * 7 * 64 + 1) * 10),
        ({"filters": models.filter_ladder("large", 64)}, 640 + 73_856 + 295_168 + 40_970),
        (
            {"filters": (64, 128), "dense": (128,)},
            (9 * 1 + 1) * 64 + (9 * 64 + 1) * 128 + (7 * 7 * 128 + 1) * 128 + (128 + 1) * 10,
        ),
        # the tuned CNN of the comparison, "over 623 thousand"
        (
            {"filters": (64, 64), "kernel_size": 7, "dense": (128, 128)},
            (49 * 1 + 1) * 64 + (49 * 64 + 1) * 64 + (7 * 7 * 64 + 1) * 128 + (128 + 1) * 128 + (128 + 1) * 10,
        ),
        # the MNIST report's: pooled after the first two convolutions only, ten units before the ten outputs
        (
            {"filters": (8, 16, 32), "pool": (2, 2, None), "dense": (10,)},
            (9 * 1 + 1) * 8 + (9 * 8 + 1) * 16 + (9 * 16 + 1) * 32 + (7 * 7 * 32 + 1) * 10 + (10 + 1) * 10,
        ),
        # strides 1 and 2, kernels 5x5 and 3x3, as in the Talos space; without pooling 28 -> 28 -> 14
        (
            {"filters": (4, 8), "kernel_size": ((5, 5), 3), "strides": (1, 2), "pool": 0},
            (25 * 1 + 1) * 4 + (9 * 4 + 1) * 8 + (14 * 14 * 8 + 1) * 10,
        ),
        # "valid": 28 -> 26, pooled 13; a normalization has 4 numbers a filter, and the biases stay
        (
            {"filters": (4,), "padding": "valid", "batch_norm": True},
            (9 * 1 + 1) * 4 + 4 * 4 + (13 * 13 * 4 + 1) * 10,
        ),
    ],
    ids=str,
)
def test_parameters(options, parameters):
    model = models.cnn((28, 28, 1), 10, **options)
    assert model.count_params() == parameters
    assert model.output_shape == (None, 10) and not model.compiled


def test_the_counts_that_the_reports_print():
    assert models.cnn((28, 28, 1), 10, filters=(64, 128, 256)).count_params() == 410_634
    assert models.cnn((28, 28, 1), 10, filters=(64, 64), kernel_size=7, dense=(128, 128)).count_params() == 623_306
    mnist = models.cnn((28, 28, 1), 10, filters=(8, 16, 32), pool=(2, 2, 1), dense=(10,))
    assert mnist.count_params() == 21_688


def test_the_ladder_doubles():
    assert models.filter_ladder("small", 64) == (64,)
    assert models.filter_ladder("medium", 64) == (64, 128)
    assert models.filter_ladder("large", 32) == (32, 64, 128)
    with pytest.raises(ValueError, match="size='huge'; it must be one of small, medium, large"):
        models.filter_ladder("huge", 32)


def kinds(**options):
    return [type(layer).__name__ for layer in models.cnn((8, 8, 1), 3, filters=(2,), **options).layers]


def test_the_order_of_the_layers():
    assert kinds() == ["Conv2D", "MaxPooling2D", "Flatten", "Dense"]
    assert kinds(pool_before_activation=True) == ["Conv2D", "MaxPooling2D", "ReLU", "Flatten", "Dense"]
    assert kinds(batch_norm=True) == ["Conv2D", "BatchNormalization", "ReLU", "MaxPooling2D", "Flatten", "Dense"]
    assert kinds(pool=None, dense=(4, 4), dropout=0.2) == (
        ["Conv2D", "Flatten", "Dense", "Dropout", "Dense", "Dropout", "Dense"]
    )


@pytest.mark.parametrize("options", [{}, {"pool_before_activation": True}, {"batch_norm": True}], ids=str)
def test_every_convolution_is_rectified_once(options):
    model = models.cnn((8, 8, 1), 3, filters=(2, 2), **options)
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    fused = sum(layer.activation is keras.activations.relu for layer in convolutions)
    assert fused + sum(isinstance(layer, keras.layers.ReLU) for layer in model.layers) == len(convolutions) == 2


def test_pooling_and_relu_commute():
    """The largest of the rectified is the rectified largest: only the order, never the outcome, differs."""
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype("float32")
    first = models.cnn((8, 8, 1), 3, filters=(4,))
    second = models.cnn((8, 8, 1), 3, filters=(4,), pool_before_activation=True)
    second.set_weights(first.get_weights())
    np.testing.assert_allclose(np.asarray(first(images)), np.asarray(second(images)), rtol=1e-5)


def test_the_softmax_stays_in_float32_under_mixed_precision():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = models.cnn((8, 8, 1), 3, filters=(2,), dense=(4,))
    finally:
        keras.config.set_dtype_policy(policy)
    assert model.layers[0].compute_dtype == "bfloat16"
    probabilities = np.asarray(model(np.zeros((2, 8, 8, 1), "float32")))
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-6)  # bfloat16 would be off by a thousandth


def test_it_learns():
    """Two classes that only the orientation of stripes tells apart; 8x8 and two filters, so that seconds are enough."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 128)
    stripes = np.tile((np.arange(8) % 2).astype("float32"), (8, 1))
    x = np.where(y[:, None, None], stripes, stripes.T)[..., None] + rng.normal(0, 0.1, (128, 8, 8, 1)).astype("float32")
    keras.utils.set_random_seed(0)
    model = models.cnn((8, 8, 1), 2, filters=(4,))
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = training.fit(model, x.astype("float32"), y, epochs=4, seed=0, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] / 2 and history["accuracy"][-1] > 0.9


@pytest.mark.parametrize(
    "options, message",
    [
        ({"filters": ()}, r"filters=\(\).* at least one convolution"),
        ({"filters": (0,)}, r"filters=\(0,\)"),
        ({"dense": (2.5,)}, r"dense=\(2.5,\)"),
        ({"padding": "full"}, "padding='full'; it must be 'same' or 'valid'"),
        ({"dropout": 1}, "dropout=1; it must be a share"),
        ({"kernel_size": (3, 3, 3)}, r"kernel_size=\(3, 3, 3\); .* each of the 2 convolutions"),
        ({"kernel_size": 0}, "kernel_size=0; it must be a whole number of at least 1"),
        ({"strides": (1, 1.5)}, r"strides=\(1, 1.5\)"),
        ({"strides": None}, "strides=None"),
        ({"pool": -1}, "pool=-1; it must be a whole number of at least 0"),
        ({"pool": (2,)}, r"pool=\(2,\); .* each of the 2 convolutions"),
    ],
    ids=str,
)
def test_bad_options_are_one_line(options, message):
    with pytest.raises(ValueError, match=message) as error:
        models.cnn((8, 8, 1), 3, **options)
    assert "\n" not in str(error.value)


def test_an_image_needs_channels():
    with pytest.raises(ValueError, match=r"input_shape=\(8, 8\); it must be \(height, width, channels\)"):
        models.cnn((8, 8), 3)
