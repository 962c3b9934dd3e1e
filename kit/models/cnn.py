"""Convolutional nets: the Fashion-MNIST reports' filter ladders and tuned CNN, and the MNIST report's CNN."""

import keras
from keras import layers

LADDER = {"small": 1, "medium": 2, "large": 3}


def filter_ladder(size, first):
    """Filters of each convolution, doubling from `first`: filter_ladder("large", 32) == (32, 64, 128).

    size: "small", "medium" or "large": one, two or three convolutions. Raises ValueError for any other.
    """
    if size not in LADDER:
        raise ValueError(f"size={size!r}; it must be one of {', '.join(LADDER)}")
    return tuple(first * 2**step for step in range(LADDER[size]))


def cnn(
    input_shape,
    classes,
    *,
    filters=(32, 64),
    kernel_size=3,
    strides=1,
    padding="same",
    pool=2,
    pool_before_activation=False,
    dense=(),
    dropout=0.0,
    batch_norm=False,
):
    """Convolutions with ReLU and max pooling, dense layers, softmax: (batch, *input_shape) -> (batch, classes).

    The ladder's net with filters 64, 128, 256 on 28x28x1 images has 3*3*1*64 + 64 = 640, 3*3*64*128 + 128 = 73,856 and
    3*3*128*256 + 256 = 295,168 parameters in its convolutions; three poolings leave 4x4, so the output has
    4*4*256*10 + 10 = 40,970: 410,634 in all.

    Args:
        input_shape: (height, width, channels) of one image.
        classes: number of classes.
        filters: of each convolution, at least one.
        kernel_size: in pixels; for all convolutions one number, or an entry each (a number or (height, width)).
        strides: of the convolutions, in pixels, given as `kernel_size` is.
        padding: "same" or "valid", of convolutions and poolings.
        pool: side and stride in pixels of the max pooling after each convolution; one number for all, or an entry each;
            None, 0 or 1 for no pooling.
        pool_before_activation: convolution, pooling, ReLU rather than convolution, ReLU, pooling.
        dense: units of each dense layer (ReLU) between the flattened maps and the output.
        dropout: share dropped behind each dense layer, in [0, 1).
        batch_norm: normalize after each convolution, before the activation; the convolutions keep their biases.

    The softmax is computed in float32 under a mixed-precision policy too.

    Raises:
        ValueError: sizes or shares out of range, or a number of entries that is not that of the convolutions.
    """
    if not filters or any(not isinstance(size, int) or size < 1 for size in (*filters, *dense, classes)):
        raise ValueError(
            f"filters={filters!r}, dense={dense!r}, classes={classes!r}; all must be whole numbers of at least 1, "
            "and there must be at least one convolution"
        )
    if len(input_shape) != 3:
        raise ValueError(f"input_shape={input_shape!r}; it must be (height, width, channels)")
    if padding not in ("same", "valid"):
        raise ValueError(f"padding={padding!r}; it must be 'same' or 'valid'")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout={dropout!r}; it must be a share in [0, 1)")
    kernels = _each("kernel_size", kernel_size, len(filters))
    steps = _each("strides", strides, len(filters))
    pools = _each("pool", pool, len(filters), least=0)

    fused = not (batch_norm or pool_before_activation)
    model = keras.Sequential([keras.Input(input_shape)])
    for size, kernel, step, side in zip(filters, kernels, steps, pools):
        pooling = [layers.MaxPooling2D(side, padding=padding)] if side not in (None, 0, 1) else []
        block = [layers.Conv2D(size, kernel, step, padding, activation="relu" if fused else None)]
        block += [layers.BatchNormalization()] if batch_norm else []
        block += pooling if pool_before_activation else []
        block += [] if fused else [layers.ReLU()]
        block += [] if pool_before_activation else pooling
        for layer in block:
            model.add(layer)
    model.add(layers.Flatten())
    for units in dense:
        model.add(layers.Dense(units, "relu"))
        if dropout:
            model.add(layers.Dropout(dropout))
    model.add(layers.Dense(classes, "softmax", dtype="float32"))
    return model


def _each(name, value, count, least=1):
    """One entry a convolution, from one number for all or from `count` entries."""
    entries = tuple(value) if isinstance(value, list | tuple) else (value,) * count
    sides = [side for entry in entries for side in (entry if isinstance(entry, list | tuple) else (entry,))]
    if least == 0:
        sides = [side for side in sides if side is not None]
    if len(entries) != count or any(not isinstance(side, int) or side < least for side in sides):
        raise ValueError(
            f"{name}={value!r}; it must be a whole number of at least {least}, or an entry for each of the "
            f"{count} convolutions"
        )
    return entries
