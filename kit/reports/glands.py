"""Gland segmentation (GlaS at 128x128): the report's eight nets, full batch, by the Dice coefficient; and two of ours.

The report calls its input two-channelled: read as the two stains, haematoxylin and eosin. It turns its copies before it
splits, so that copies of training images stand among the validation images of models 1 and 5; the honest split is a
reading. Models 3 to 5 have the constant rate that their tables print; the text says of model 3 that the falling rate of
model 2 stays, which is a reading too. The U-Net and the residual net have no table, and so the falling rate. A net that
is judged on the test images learns from all training images; its curves on them are drawn, but choose nothing.

What is held out follows the seed, so that the interval of a row that is judged on it is over splits as well.
"""

from dataclasses import replace
from functools import partial

import keras
from keras import layers

from .. import datasets, models, training
from ..datasets.glas import stains
from ..studies import Experiment, Study

EPOCHS = 100
SEEDS = (0, 1, 2, 3, 4)  # of the rows that are judged on 17 images, or 51


def data(source=None):
    """GlaS at 128x128: the two stains, each less its mean and divided by its standard deviation in training."""
    return stains(datasets.load("glas", source=source)).standardized()


def colours(source=None):
    """The images in their own colours, standardized alike."""
    return datasets.load("glas", source=source).standardized()


def validated(source=None, seed=0):
    """A fifth of the training images held back: 68 to train with, 17 to validate on."""
    return _held_out(stains(datasets.load("glas", source=source)), seed)


def turned(source=None, seed=0):
    """Each of the 68 also rotated by -90 and by 180 degrees: 204 images to train with, 17 to validate on."""
    return _with_copies(validated(source, seed))


def turned_before(source=None, seed=0):
    """Copies first and split afterwards, as the report did: 204 images to train with, 51 to validate on.

    Nearly all of the 51 are turned copies of images among the 204, or these of them.
    """
    return _held_out(_with_copies(stains(datasets.load("glas", source=source))), seed)


def every_way(source=None):
    """All training images and five copies of each: turned by -90, 90 and 180 degrees, and mirrored both ways."""
    return _with_copies(data(source), rotations=(-90, 90, 180), flips=("horizontal", "vertical"))


def _held_out(data, seed):
    return data.hold_out(0.2, seed=seed, stratify=False).standardized()


def _with_copies(data, **copies):
    return replace(data, train=data.train._make(training.augmented(*data.train, **copies)))


def gland_everywhere(input_shape, classes):
    """A net that calls each pixel of each image gland, as one does that has learned only that it is likelier."""
    likelier = keras.initializers.Constant([0.0, 1.0])
    output = layers.Conv2D(classes, 1, activation="softmax", kernel_initializer="zeros", bias_initializer=likelier)
    return keras.Sequential([keras.Input(input_shape), output])


def drawn_narrower(input_shape, classes, *, build):
    """The net that `build` makes, with initial weights and biases uniform within 1 / sqrt(fan-in).

    PyTorch's default. Its kernels are those of `VarianceScaling(1/3, "fan_in", "uniform")`, with a third of the
    variance of Keras' default (Glorot's) where fan-in and fan-out are equal; Keras' biases are zero.
    """
    net = build(input_shape, classes)
    scaling = partial(keras.initializers.VarianceScaling, 1 / 3, "fan_in", "uniform")
    for layer in net.layers:
        if layer.weights:
            *sides, ins, _ = layer.kernel.shape  # of a transposed convolution fan-in is counted by its outputs
            bound = float(ins * sides[0] * sides[1]) ** -0.5
            layer.kernel.assign(scaling()(layer.kernel.shape))
            layer.bias.assign(keras.initializers.RandomUniform(-bound, bound)(layer.bias.shape))
    return net


def adam():
    return keras.optimizers.Adam(0.003)


def falling_adam(total=EPOCHS):
    """Adam with the MNIST part's schedule; its constant is the number of steps of the training, one an epoch."""
    return keras.optimizers.Adam(training.ExponentialFall(total=total, high=0.003, low=0.0001))


def cosine_adam():
    """Adam from 0.001 down to 0 along a cosine, for 40 epochs of 510 images in batches of 16."""
    return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.001, 40 * 32))


def experiment(
    name, build, dice=None, *, metric="dice", watch="test", optimizer=adam, epochs=EPOCHS, batch_size=1000, **options
):
    """A row: full-batch training (there are never 1000 images) on cross-entropy, judged by Dice."""
    return Experiment(
        name=name, build=build, metric=metric, watch=watch, optimizer=optimizer, epochs=epochs, batch_size=batch_size,
        metrics=(training.dice,), reported={} if dice is None else {metric: dice}, **options,
    )  # fmt: skip


# A row that is judged on the validation images.
change = partial(experiment, metric="val_dice", data=validated, watch=None, seeds=SEEDS)

baseline, waist = models.pool_upsample_net, models.encoder_decoder
normalized, normalized_waist = partial(baseline, batch_norm=True), partial(waist, batch_norm=True)
# A constant of a fifth: so the rate comes down to 0.0001, as the report says, and not to 0.0012 only.
falling_further = partial(falling_adam, EPOCHS / 5)

BASELINE, ALL = "2.1 baseline", "2.2 model 5, all images"
MODEL_1, MODEL_2, MODEL_3 = "2.2 model 1: rotations", "2.2 model 2: falling rate", "2.2 model 3: batch normalization"
MODEL_4, MODEL_5 = "2.2 model 4: narrow waist", "2.2 model 5: batch normalization"

STUDY = Study(
    name="glands",
    title="GlaS: glands segmented by nets from two convolutions' depth to a U-Net",
    data=data,
    metric="dice",
    tolerance=0.005,  # the report tells 0.83 from 0.84, and prints no more than two decimals
    experiments=(
        experiment(BASELINE, baseline, 0.76, epochs=150),
        experiment(f"{BASELINE}: RGB", baseline, epochs=150, data=colours, of=BASELINE),
        change(MODEL_1, baseline, 0.73, data=turned_before),
        change(f"{MODEL_1}, honest split", baseline, data=turned, of=MODEL_1),
        change(MODEL_2, baseline, 0.77, optimizer=falling_adam),
        change(f"{MODEL_2}, to 0.0001", baseline, optimizer=falling_further, of=MODEL_2),
        change(MODEL_3, normalized, 0.84),
        change(f"{MODEL_3}, falling rate", normalized, optimizer=falling_adam, of=MODEL_3),
        change(MODEL_4, waist, 0.66),
        change(f"{MODEL_4}, falling rate", waist, optimizer=falling_adam, of=MODEL_4),
        change(f"{MODEL_4}, narrower initial weights", partial(drawn_narrower, build=waist), of=MODEL_4),
        change(  # and it stays so
            f"{MODEL_4}, gland everywhere", gland_everywhere, optimizer=partial(keras.optimizers.SGD, 0.0), epochs=1,
            of=MODEL_4,
        ),
        change(MODEL_5, normalized_waist, 0.94, data=turned_before),
        change(f"{MODEL_5}, honest split", normalized_waist, of=MODEL_5),
        change(f"{MODEL_5}, honest split, falling rate", normalized_waist, optimizer=falling_adam, of=MODEL_5),
        experiment(ALL, normalized_waist, 0.82),
        experiment(f"{ALL}, falling rate", normalized_waist, optimizer=falling_adam, of=ALL),
        experiment("2.3 U-Net", models.unet, 0.83, optimizer=falling_adam),
        experiment("2.4 residual net", models.residual_net, 0.84, optimizer=falling_adam),
        experiment("2.4 without skips", partial(models.residual_net, skips=False), optimizer=falling_adam),
        experiment(
            "ours: deeper U-Net, copies, mini-batches", partial(models.unet, widths=(16, 32, 64, 128, 256)),
            data=every_way, loss=training.dice_loss, optimizer=cosine_adam, batch_size=16, epochs=40,
        ),
    ),
)  # fmt: skip
