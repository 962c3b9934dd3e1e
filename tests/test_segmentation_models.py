"""The segmentation nets: parameter counts with the sum written out, what crosses the net, bad input."""

import keras
import numpy as np
import pytest
from keras import layers

from kit import models

BUILDERS = [models.pool_upsample_net, models.encoder_decoder, models.unet, models.residual_net]


def conv(inputs, outputs, kernel=3):
    return (kernel * kernel * inputs + 1) * outputs


# of a net on two channels with two classes; and the filters that batch normalization, four numbers each, is behind
ENCODER_DECODER = (
    conv(2, 32) + conv(32, 64) + conv(64, 128)
    + conv(128, 64, 4) + conv(64, 64) + conv(64, 32, 4) + conv(32, 32) + conv(32, 4, 4)
    + conv(4, 2, 1)
)  # fmt: skip
BLOCKS = 2 * (conv(32, 32) + conv(64, 64) + conv(128, 128) + conv(64, 64) + conv(32, 32))
UNET = (
    conv(2, 32) + conv(32, 32) + conv(32, 64) + conv(64, 64) + conv(64, 128) + conv(128, 128)
    + conv(128, 64, 2) + conv(128, 64) + conv(64, 64)
    + conv(64, 32, 2) + conv(64, 32) + conv(32, 32)
    + conv(32, 2, 1)
)  # fmt: skip


@pytest.mark.parametrize(
    "builder, options, parameters",
    [
        (
            models.pool_upsample_net,
            {},
            conv(2, 8) + conv(8, 8, 4) + conv(8, 16) + conv(16, 16, 4) + conv(16, 32) + conv(32, 32, 4)
            + conv(32, 2, 1),
        ),
        (models.pool_upsample_net, {}, 27_586),  # the report's
        (models.pool_upsample_net, {"batch_norm": True}, 27_586 + 4 * (8 + 16 + 32)),
        (models.encoder_decoder, {}, ENCODER_DECODER),
        (models.encoder_decoder, {}, 305_134),  # the report's
        (models.encoder_decoder, {"batch_norm": True}, 305_134 + 4 * (32 + 64 + 128 + 64 + 32)),
        (models.encoder_decoder, {"widths": (5,)}, conv(2, 5) + conv(5, 4, 4) + conv(4, 2, 1)),
        (models.residual_net, {"batch_norm": False}, ENCODER_DECODER + BLOCKS),
        (models.residual_net, {"batch_norm": False, "skips": False}, ENCODER_DECODER + BLOCKS),
        (models.residual_net, {}, 305_134 + 479_872 + 4 * 3 * (32 + 64 + 128 + 64 + 32)),
        (models.residual_net, {"skips": False}, 305_134 + 479_872 + 4 * 3 * (32 + 64 + 128 + 64 + 32)),
        (models.unet, {"batch_norm": False}, UNET),
        (models.unet, {"batch_norm": False}, 286_720 + 179_488 + 66),
        (models.unet, {}, UNET + 4 * 2 * (32 + 64 + 128 + 64 + 32)),
        (
            models.unet,
            {"widths": [3, 4, 5, 6], "batch_norm": False},
            conv(2, 3) + conv(3, 3) + conv(3, 4) + conv(4, 4) + conv(4, 5) + conv(5, 5) + conv(5, 6) + conv(6, 6)
            + conv(6, 5, 2) + conv(10, 5) + conv(5, 5)
            + conv(5, 4, 2) + conv(8, 4) + conv(4, 4)
            + conv(4, 3, 2) + conv(6, 3) + conv(3, 3)
            + conv(3, 2, 1),
        ),
        (models.unet, {"widths": (5,), "batch_norm": False}, conv(2, 5) + conv(5, 5) + conv(5, 2, 1)),
    ],
)  # fmt: skip
def test_parameters(builder, options, parameters):
    model = builder((128, 128, 2), 2, **options)
    assert model.count_params() == parameters
    assert model.output_shape == (None, 128, 128, 2) and not model.compiled


def kinds(model):
    return [type(layer).__name__ for layer in model.layers]


def test_the_order_of_the_layers():
    convolution, up, output = ["Conv2D", "ReLU"], ["Conv2DTranspose"], ["Conv2D"]
    pool = ["MaxPooling2D"]
    assert kinds(models.pool_upsample_net((8, 8, 2), 2, widths=(2, 3))) == (
        ["InputLayer"] + (convolution + pool + up) * 2 + output
    )
    assert kinds(models.encoder_decoder((8, 8, 2), 2, widths=(2, 3))) == (
        ["InputLayer"] + (convolution + pool) * 2 + up + convolution + up + output
    )
    assert kinds(models.encoder_decoder((8, 8, 2), 2, widths=(2,), batch_norm=True)) == (
        ["InputLayer", "Conv2D", "BatchNormalization", "ReLU", "MaxPooling2D", *up, *output]
    )


@pytest.mark.parametrize("builder", BUILDERS)
def test_every_pixel_gets_probabilities(builder):
    """On images that are not square, with three classes."""
    images = np.random.default_rng(0).normal(size=(2, 8, 12, 1)).astype("float32")
    probabilities = np.asarray(builder((8, 12, 1), 3, widths=(4, 6))(images))
    assert probabilities.shape == (2, 8, 12, 3) and probabilities.min() >= 0
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-6)
    assert np.ptp(probabilities, axis=(1, 2)).min() > 0  # the pixels differ


@pytest.mark.parametrize("builder", BUILDERS)
def test_the_softmax_stays_in_float32_under_mixed_precision(builder):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = builder((8, 8, 1), 2, widths=(2, 3))
    finally:
        keras.config.set_dtype_policy(policy)
    assert model.layers[1].compute_dtype == "bfloat16"
    probabilities = np.asarray(model(np.ones((1, 8, 8, 1), "float32")))
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-6)  # bfloat16 would be off by a thousandth


def test_the_moving_statistics_are_ready_after_60_updates():
    """Then a net in use gives what it gave in training, on the same images; with 0.99 more than half would be left."""
    images = np.random.default_rng(0).normal(3, 2, size=(4, 8, 8, 1)).astype("float32")
    keras.utils.set_random_seed(0)
    model = models.encoder_decoder((8, 8, 1), 2, widths=(4,), batch_norm=True)
    before = np.asarray(model(images, training=False))
    for _ in range(60):
        training = np.asarray(model(images, training=True))
    after = np.asarray(model(images, training=False))
    assert np.abs(after - training).max() < 0.05 * np.abs(before - training).max()


@pytest.mark.parametrize("builder", BUILDERS)
def test_all_normalizations_have_that_momentum(builder):
    net = builder((8, 8, 1), 2, widths=(3, 4), batch_norm=True)
    momenta = [layer.momentum for layer in net.layers if type(layer) is layers.BatchNormalization]
    assert momenta and set(momenta) == {0.9}


def silence(silent):
    """Set the weights of these layers to zero."""
    for layer in silent:
        layer.set_weights([np.zeros_like(weights) for weights in layer.get_weights()])


@pytest.mark.parametrize("builder, crosses", [(models.unet, True), (models.encoder_decoder, False)])
def test_detail_crosses_the_unet(builder, crosses):
    """With silent transposed convolutions nothing comes up from below; only the concatenated maps are left."""
    images = np.random.default_rng(0).normal(size=(1, 8, 8, 1)).astype("float32")
    keras.utils.set_random_seed(0)
    model = builder((8, 8, 1), 2, widths=(4, 4), batch_norm=False)
    silence(layer for layer in model.layers if type(layer) is layers.Conv2DTranspose)
    assert (np.ptp(np.asarray(model(images))[0, 2:-2, 2:-2]) > 0.01) == crosses


def test_the_unet_joins_each_stage_to_its_counterpart():
    model = models.unet((16, 16, 1), 2, widths=(2, 3, 4))
    joined = [[maps.shape[1:] for maps in layer.input] for layer in model.layers if type(layer) is layers.Concatenate]
    assert joined == [[(8, 8, 3), (8, 8, 3)], [(16, 16, 2), (16, 16, 2)]]


def test_a_silent_block_passes_its_input_on():
    """So a residual net of one stage is then the encoder-decoder with its weights; without skips nothing passes."""
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype("float32")
    keras.utils.set_random_seed(0)
    plain = models.encoder_decoder((8, 8, 1), 2, widths=(3,))
    with_skips, without = (
        models.residual_net((8, 8, 1), 2, widths=(3,), batch_norm=False, skips=skips) for skips in (True, False)
    )
    for model in (with_skips, without):
        weighted = [layer for layer in model.layers if layer.weights]
        threes = [layer for layer in weighted if type(layer) is layers.Conv2D and layer.kernel_size == (3, 3)]
        blocks = [layer for index, layer in enumerate(threes) if index % 3]  # a stage's own, then the two of its block
        silence(blocks)
        others = [layer for layer in weighted if layer not in blocks]
        for layer, theirs in zip(others, [layer for layer in plain.layers if layer.weights], strict=True):
            layer.set_weights(theirs.get_weights())
    np.testing.assert_allclose(np.asarray(with_skips(images)), np.asarray(plain(images)), rtol=1e-5)
    assert np.ptp(np.asarray(plain(images))) > 0.01
    assert np.ptp(np.asarray(without(images))[..., 0]) == 0


@pytest.mark.parametrize("skips", [True, False])
def test_pooled_maps_cross_the_residual_net(skips):
    """With a silent first transposed convolution nothing comes up from below; only the added maps are left."""
    images = np.random.default_rng(0).normal(size=(1, 16, 16, 1)).astype("float32")
    keras.utils.set_random_seed(0)
    model = models.residual_net((16, 16, 1), 2, widths=(4, 6), skips=skips, batch_norm=False)
    silence([layer for layer in model.layers if type(layer) is layers.Conv2DTranspose][:1])
    assert (np.ptp(np.asarray(model(images))[..., 0]) > 0.01) == skips
    sums = [[maps.shape[1:] for maps in layer.input] for layer in model.layers if type(layer) is layers.Add]
    assert ([(8, 8, 4)] * 2 in sums) == skips and len(sums) == 4 * skips  # a block at each of three places, one across


@pytest.mark.parametrize(
    "builder, input_shape, message",
    [
        (models.pool_upsample_net, (30, 31, 2), r"input_shape=\(30, 31, 2\).* divide by 2: change 31 to 30 or 32$"),
        (models.encoder_decoder, (100, 100, 2), "divide by 8: change 100 to 96 or 104$"),
        (models.residual_net, (5, 20, 2), "divide by 8: change 5 to 8, 20 to 16 or 24$"),
        (models.unet, (128, 126, 2), "divide by 4: change 126 to 124 or 128$"),
    ],
)
def test_errors_name_the_nearest_sizes(builder, input_shape, message):
    with pytest.raises(ValueError, match=message) as error:
        builder(input_shape, 2)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("builder", BUILDERS)
@pytest.mark.parametrize(
    "arguments, options, message",
    [
        (((8, 8), 2), {}, r"input_shape=\(8, 8\); it must be \(height, width, channels\)"),
        (((None, None, 2), 2), {}, r"input_shape=\(None, None, 2\)"),
        (((8, 8, 2), 0), {}, "classes=0; all must be whole numbers"),
        (((8, 8, 2), 2), {"widths": ()}, r"widths=\(\).* at least one width"),
        (((8, 8, 2), 2), {"widths": (4, 0.5)}, r"widths=\(4, 0.5\)"),
    ],
    ids=str,
)
def test_errors_are_one_line(builder, arguments, options, message):
    with pytest.raises(ValueError, match=message) as error:
        builder(*arguments, **options)
    assert "\n" not in str(error.value)
