"""The MRI report's nets: the printed parameter counts with the sum written out, their layers, bad input."""

import keras
import numpy as np
import pytest

from kit import models


def test_the_parameters_of_the_report():
    # sides of the maps: 64 -> 62 -> 31 -> 29 -> 14 -> 12 -> 6 -> 4 -> 2
    convolutions = [(9 * 3 + 1) * 32, (9 * 32 + 1) * 32, (9 * 32 + 1) * 32, (9 * 32 + 1) * 32]
    dense = [(2 * 2 * 32 + 1) * 32, (32 + 1) * 32, (32 + 1) * 3]
    cnn = models.multilabel_cnn((64, 64, 3), 3)
    assert [layer.count_params() for layer in cnn.layers if layer.count_params()] == convolutions + dense
    assert cnn.count_params() == sum(convolutions + dense) == 33_923
    dnn = models.multilabel_dnn((64, 64, 3), 3)
    dense = [(64 * 64 * 3 + 1) * 200, (200 + 1) * 200, (200 + 1) * 200, (200 + 1) * 200, (200 + 1) * 3]
    assert [layer.count_params() for layer in dnn.layers if layer.count_params()] == dense
    assert dnn.count_params() == sum(dense) == 2_579_003


def layers_of(model):
    """Kinds of layers, a dropout with its share."""
    kinds = [(type(layer).__name__, getattr(layer, "rate", None)) for layer in model.layers]
    return [f"{kind} {rate}" if rate else kind for kind, rate in kinds]


def test_the_order_of_the_layers():
    rates = (0.25, 0.35, 0.25, 0.25)
    blocks = [kind for rate in rates for kind in ("Conv2D", "MaxPooling2D", f"Dropout {rate}")]
    dense = ["Dense", "Dropout 0.5"]
    cnn, dnn = models.multilabel_cnn((64, 64, 3), 3), models.multilabel_dnn((8, 8, 1), 2)
    assert layers_of(cnn) == [*blocks, "Flatten", *dense, *dense, "Dense"]
    assert layers_of(dnn) == ["Flatten", *dense, *dense, *dense, *dense, "Dense"]
    for model in (cnn, dnn):
        assert isinstance(model, keras.Sequential) and not model.compiled
        *hidden, output = [layer.activation.__name__ for layer in model.layers if layer.count_params()]
        assert set(hidden) == {"relu"} and output == "sigmoid"


@pytest.mark.parametrize("build", [models.multilabel_cnn, models.multilabel_dnn])
def test_each_label_is_decided_on_its_own(build):
    """The sum of a softmax's outputs would be 1. And 46 pixels a side are enough."""
    probabilities = np.asarray(build((46, 47, 1), 5)(np.random.default_rng(0).random((4, 46, 47, 1), np.float32)))
    assert probabilities.shape == (4, 5) and 0 < probabilities.min() and probabilities.max() < 1
    assert np.all(probabilities.sum(axis=1) > 1.5)


@pytest.mark.parametrize("build", [models.multilabel_cnn, models.multilabel_dnn])
def test_the_sigmoid_stays_in_float32_under_mixed_precision(build):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build((46, 46, 1), 2)
    finally:
        keras.config.set_dtype_policy(policy)
    assert model.layers[-2].compute_dtype == "bfloat16"
    assert model.compute_output_spec(keras.KerasTensor((1, 46, 46, 1))).dtype == "float32"


@pytest.mark.parametrize(
    "build, input_shape, labels, said",
    [
        (models.multilabel_cnn, (45, 64, 3), 3, r"input_shape=\(45, 64, 3\); .* 46 pixels"),
        (models.multilabel_cnn, (64, 64), 3, r"input_shape=\(64, 64\); it must be \(height, width, channels\)"),
        (models.multilabel_cnn, (64, 64, 3), 0, "labels=0, filters or units 32; all must be whole numbers"),
        (models.multilabel_dnn, (64, 64, 3), 2.0, "labels=2.0"),
        (models.multilabel_dnn, (64, None, 3), 3, r"input_shape=\(64, None, 3\)"),
    ],
)
def test_bad_sizes_are_one_line(build, input_shape, labels, said):
    with pytest.raises(ValueError, match=said) as error:
        build(input_shape, labels)
    assert "\n" not in str(error.value)


def test_bad_shares_are_one_line():
    with pytest.raises(ValueError, match="four shares, one behind each pooling"):
        models.multilabel_cnn((64, 64, 3), 3, dropout=(0.25,))
    for build, options in (
        (models.multilabel_cnn, {"dense_dropout": 1}), (models.multilabel_dnn, {"dropout": -0.1}),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"each must be a share in \[0, 1\)"):
            build((64, 64, 3), 3, **options)
