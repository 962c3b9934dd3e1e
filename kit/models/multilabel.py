"""Nets of the MRI report: several labels an image, each with a sigmoid of its own, so that all, some or none apply."""

import keras
from keras import layers


def multilabel_cnn(input_shape, labels, *, filters=32, dropout=(0.25, 0.35, 0.25, 0.25), dense_dropout=0.5):
    """The report's CNN: (batch, *input_shape) -> (batch, labels), each output a probability on its own.

    Four times 32 filters of 3x3 (`valid`, ReLU), 2x2 max pooling, dropout 0.25 / 0.35 / 0.25 / 0.25; then twice 32
    dense units (ReLU) with dropout 0.5. On 64x64x3 images the maps' sides are 62, 31, 29, 14, 12, 6, 4, 2. With three
    labels: convolutions (9*3 + 1)*32 = 896 and 3 * (9*32 + 1)*32 = 27,744, dense (2*2*32 + 1)*32 = 4,128 and
    (32 + 1)*32 = 1,056, output (32 + 1)*3 = 99: 33,923 parameters.

    Args:
        input_shape: (height, width, channels) of one image, height and width at least 46.
        labels: number of labels.
        filters: of each convolution.
        dropout: share dropped behind each of the four poolings, in [0, 1).
        dense_dropout: share dropped behind each dense layer, in [0, 1).

    The sigmoid is computed in float32 under a mixed-precision policy too.

    Raises:
        ValueError: an image too small for four convolutions and poolings, or sizes out of range.
    """
    _check(input_shape, labels, filters, (*dropout, dense_dropout))
    if len(dropout) != 4:
        raise ValueError(f"dropout={dropout!r}; it must be four shares, one behind each pooling")
    if len(input_shape) != 3 or min(input_shape[:2]) < 46:
        raise ValueError(f"input_shape={input_shape!r}; it must be (height, width, channels), 46 pixels a side or more")
    model = keras.Sequential([keras.Input(input_shape)])
    for share in dropout:
        model.add(layers.Conv2D(filters, 3, activation="relu"))
        model.add(layers.MaxPooling2D())
        model.add(layers.Dropout(share))
    model.add(layers.Flatten())
    for _ in range(2):
        model.add(layers.Dense(32, "relu"))
        model.add(layers.Dropout(dense_dropout))
    model.add(layers.Dense(labels, "sigmoid", dtype="float32"))
    return model


def multilabel_dnn(input_shape, labels, *, units=200, dropout=0.5):
    """The report's dense net: (batch, *input_shape) -> (batch, labels), each output a probability on its own.

    Four times 200 dense units (ReLU) with dropout 0.5. On 64x64x3 images with three labels: (64*64*3 + 1)*200 =
    2,457,800, 3 * (200 + 1)*200 = 120,600, output (200 + 1)*3 = 603: 2,579,003 parameters.

    Args:
        input_shape: of one image.
        labels: number of labels.
        units: of each dense layer.
        dropout: share dropped behind each dense layer, in [0, 1).

    The sigmoid is computed in float32 under a mixed-precision policy too.

    Raises:
        ValueError: sizes or shares out of range.
    """
    _check(input_shape, labels, units, (dropout,))
    model = keras.Sequential([keras.Input(input_shape), layers.Flatten()])
    for _ in range(4):
        model.add(layers.Dense(units, "relu"))
        model.add(layers.Dropout(dropout))
    model.add(layers.Dense(labels, "sigmoid", dtype="float32"))
    return model


def _check(input_shape, labels, width, shares):
    if any(not isinstance(size, int) or size < 1 for size in (*input_shape, labels, width)):
        raise ValueError(
            f"input_shape={input_shape!r}, labels={labels!r}, filters or units {width!r}; all must be whole numbers of "
            "at least 1"
        )
    if any(not 0 <= share < 1 for share in shares):
        raise ValueError(f"dropout of {', '.join(map(str, shares))}; each must be a share in [0, 1)")
