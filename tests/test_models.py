"""Builders: shapes, parameter counts with the sum written out, bad input."""

import keras
import numpy as np
import pytest

from kit import models


@pytest.mark.parametrize(
    "build, units, parameters",
    [
        (models.small_mlp, 64, 784 * 64 + 64 + 64 * 10 + 10),
        (models.small_mlp, 128, 784 * 128 + 128 + 128 * 10 + 10),
        (models.medium_mlp, 64, 784 * 64 + 64 + 64 * 64 + 64 + 64 * 10 + 10),
        (models.medium_mlp, 128, 784 * 128 + 128 + 128 * 128 + 128 + 128 * 10 + 10),
        (models.large_mlp, 64, 784 * 64 + 64 + 2 * (64 * 64 + 64) + 64 * 10 + 10),
        (models.large_mlp, 128, 784 * 128 + 128 + 2 * (128 * 128 + 128) + 128 * 10 + 10),
    ],
)
def test_mlp_parameters(build, units, parameters):
    model = build((28, 28, 1), 10, units=units, dropout=0.2)
    assert model.count_params() == parameters
    assert model.output_shape == (None, 10) and not model.compiled


def test_mlp_gives_probabilities():
    probabilities = models.mlp((4, 4, 1), 3)(np.zeros((2, 4, 4, 1)))
    np.testing.assert_allclose(keras.ops.sum(probabilities, axis=-1), 1, rtol=1e-6)


def test_mlp_options_reach_every_layer():
    model = models.mlp((4, 4, 1), 3, hidden=(8, 8), activation="tanh", initializer="he_uniform", l1=0.1, l2=0.2)
    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    assert [layer.activation.__name__ for layer in dense] == ["tanh", "tanh", "softmax"]
    for layer in dense:
        assert type(layer.kernel_initializer).__name__ == "HeUniform"
        assert (float(layer.kernel_regularizer.l1), float(layer.kernel_regularizer.l2)) == pytest.approx((0.1, 0.2))
    assert models.mlp((4, 4, 1), 3, hidden=()).count_params() == 16 * 3 + 3


def test_an_initializer_draws_each_layer_anew():
    net = models.mlp((8,), 3, hidden=(8, 8), initializer=keras.initializers.RandomNormal(stddev=1.0))
    first, second, _ = (layer.kernel for layer in net.layers[1:])
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"hidden": (0,)}, r"hidden=\(0,\)"),
        ({"hidden": (1.5,)}, "whole number of units"),
        ({"dropout": 1.0}, "dropout=1.0; it must be a share"),
        ({"l2": -1}, "l2=-1; penalties cannot be negative"),
    ],
)
def test_mlp_refuses_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        models.mlp((4, 4, 1), 3, **options)
