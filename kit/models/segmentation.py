"""Segmentation nets of the gland report: each pixel's class, (batch, height, width, channels) -> (..., classes).

In all of them convolutions are 3x3 with ReLU, poolings 2x2 by the maximum, transposed convolutions without activation
(the report names ReLU for the 3x3 ones alone), and the output is a 1x1 convolution with softmax, computed in float32
under a mixed-precision policy too.
"""

import keras
from keras import layers

# Full-batch training makes one update an epoch. After 100 of them Keras' default of 0.99 leaves 0.99**100 = 37% of the
# moving averages at their initial values, and evaluation goes astray; 0.9 leaves nothing.
MOMENTUM = 0.9


def pool_upsample_net(input_shape, classes, *, widths=(8, 16, 32), batch_norm=False):
    """Of each width a convolution, a pooling and a transposed convolution (4x4, stride 2) back to full size.

    On two channels, with two classes: convolutions (9*2 + 1)*8 + (9*8 + 1)*16 + (9*16 + 1)*32 = 5,960, transposed ones
    (16*8 + 1)*8 + (16*16 + 1)*16 + (16*32 + 1)*32 = 21,560, output (32 + 1)*2 = 66: 27,586 parameters.

    Args:
        input_shape: (height, width, channels) of one image; height and width must be even.
        classes: number of classes.
        widths: filters of each convolution, at least one.
        batch_norm: normalize behind each 3x3 convolution; the convolutions keep their biases.

    Raises:
        ValueError: sizes out of range, or a height or width that the pooling does not divide.
    """
    inputs = x = _input(input_shape, classes, widths, poolings=1)
    for width in widths:
        x = layers.MaxPooling2D()(_convolution(x, width, batch_norm))
        x = _upsampling(x, width)
    return keras.Model(inputs, _output(x, classes))


def encoder_decoder(input_shape, classes, *, widths=(32, 64, 128), batch_norm=False):
    """The narrow-waist net: down by a convolution and a pooling of each width, up again by transposed convolutions.

    Upwards, for each width but the last in reverse, a transposed convolution (4x4, stride 2) and a convolution; at full
    size a transposed convolution to 4 filters, and the output. On two channels, with two classes: down (9*2 + 1)*32 +
    (9*32 + 1)*64 + (9*64 + 1)*128 = 92,960, up (16*128 + 1)*64 + (9*64 + 1)*64 + (16*64 + 1)*32 + (9*32 + 1)*32 =
    210,112, then (16*32 + 1)*4 = 2,052 and (4 + 1)*2 = 10: 305,134 parameters.

    Args:
        input_shape: (height, width, channels) of one image; height and width must divide by 2 for each width.
        classes: number of classes.
        widths: filters on the way down, at least one.
        batch_norm: normalize behind each 3x3 convolution; the convolutions keep their biases.

    Raises:
        ValueError: sizes out of range, or a height or width that the poolings do not divide.
    """
    return _waist(input_shape, classes, widths, batch_norm, lambda x, width: x)


def residual_net(input_shape, classes, *, widths=(32, 64, 128), skips=True, batch_norm=True):
    """The narrow-waist net with a residual block (He et al. 2016) behind each convolution, and skips across the net.

    A block is two convolutions of the same width, to which its input is added before the last ReLU. Across the net the
    maps that each pooling hands on are added to those that come back up at their size: in the narrow-waist net both
    have the same width, so that these skips too are identities. The report leaves its own drawing out.

    On two channels, with two classes: the 305,134 of `encoder_decoder`, and two convolutions in each block,
    2*((9*32 + 1)*32 + (9*64 + 1)*64 + (9*128 + 1)*128 + (9*64 + 1)*64 + (9*32 + 1)*32) = 479,872; a normalization has 4
    numbers a filter.

    Args:
        input_shape: (height, width, channels) of one image; height and width must divide by 2 for each width.
        classes: number of classes.
        widths: filters on the way down, at least one.
        skips: False leaves the additions out, and has the same parameters: what the skips are worth.
        batch_norm: normalize behind each 3x3 convolution; the convolutions keep their biases.

    Raises:
        ValueError: sizes out of range, or a height or width that the poolings do not divide.
    """

    def block(x, width):
        y = _convolution(x, width, batch_norm)
        y = _convolution(y, width, batch_norm, activate=False)
        return layers.ReLU()(layers.Add()([x, y]) if skips else y)

    return _waist(input_shape, classes, widths, batch_norm, block, across=skips)


def unet(input_shape, classes, *, widths=(32, 64, 128), batch_norm=True):
    """U-Net (Ronneberger et al. 2015): two convolutions a stage, each stage joined to its counterpart on the way up.

    The last width is that of the lowest stage, so there is one pooling less than widths; (64, 128, 256, 512, 1024) is
    the paper's net. Upwards a transposed convolution (2x2, stride 2) brings the maps to the width of the stage above,
    and that stage's own are put beside them. Convolutions are padded, which the paper's are not, so that the output has
    the input's size. On two channels, with two classes, without normalization: down (9*2 + 1)*32 +
    (9*32 + 1)*32 + (9*32 + 1)*64 + (9*64 + 1)*64 + (9*64 + 1)*128 + (9*128 + 1)*128 = 286,720, up (4*128 + 1)*64 +
    (9*128 + 1)*64 + (9*64 + 1)*64 + (4*64 + 1)*32 + (9*64 + 1)*32 + (9*32 + 1)*32 = 179,488, output (32 + 1)*2 = 66.

    Args:
        input_shape: (height, width, channels) of one image; height and width must divide by 2 for each pooling.
        classes: number of classes.
        widths: filters of each stage, from the full size down, at least one.
        batch_norm: normalize behind each 3x3 convolution; the convolutions keep their biases.

    Raises:
        ValueError: sizes out of range, or a height or width that the poolings do not divide.
    """
    inputs = x = _input(input_shape, classes, widths, poolings=len(widths) - 1)
    crossing = []
    for width in widths[:-1]:
        crossing.append(_convolution(_convolution(x, width, batch_norm), width, batch_norm))
        x = layers.MaxPooling2D()(crossing[-1])
    x = _convolution(_convolution(x, widths[-1], batch_norm), widths[-1], batch_norm)
    for width, beside in zip(widths[-2::-1], crossing[::-1]):
        x = layers.Concatenate()([beside, _upsampling(x, width, kernel_size=2)])
        x = _convolution(_convolution(x, width, batch_norm), width, batch_norm)
    return keras.Model(inputs, _output(x, classes))


def _waist(input_shape, classes, widths, batch_norm, block, across=False):
    """The narrow-waist net, with `block(x, width)` behind each convolution; `across` adds pooled maps on the way up."""
    inputs = x = _input(input_shape, classes, widths, poolings=len(widths))
    pooled = []
    for width in widths:
        x = layers.MaxPooling2D()(block(_convolution(x, width, batch_norm), width))
        pooled.append(x)
    for width, beside in zip(widths[-2::-1], pooled[-2::-1]):
        x = _upsampling(x, width)
        x = layers.Add()([beside, x]) if across else x
        x = block(_convolution(x, width, batch_norm), width)
    return keras.Model(inputs, _output(_upsampling(x, 4), classes))


def _convolution(x, width, batch_norm, activate=True):
    x = layers.Conv2D(width, 3, padding="same")(x)
    x = layers.BatchNormalization(momentum=MOMENTUM)(x) if batch_norm else x
    return layers.ReLU()(x) if activate else x


def _upsampling(x, width, kernel_size=4):
    return layers.Conv2DTranspose(width, kernel_size, strides=2, padding="same")(x)


def _output(x, classes):
    return layers.Conv2D(classes, 1, activation="softmax", dtype="float32")(x)


def _input(input_shape, classes, widths, poolings):
    """The input layer, or a one-line ValueError."""
    sizes = (*input_shape, *widths, classes)
    if len(input_shape) != 3 or not widths or any(not isinstance(size, int) or size < 1 for size in sizes):
        raise ValueError(
            f"input_shape={input_shape!r}; it must be (height, width, channels); widths={widths!r}, "
            f"classes={classes!r}; all must be whole numbers of at least 1, and there must be at least one width"
        )
    side = 2**poolings
    nearest = [
        f"{size} to {' or '.join(str(near) for near in (size // side * side, size // side * side + side) if near)}"
        for size in dict.fromkeys(input_shape[:2])
        if size % side
    ]
    if nearest:
        raise ValueError(
            f"input_shape={input_shape!r}; height and width must divide by {side}: change {', '.join(nearest)}"
        )
    return keras.Input(input_shape)
