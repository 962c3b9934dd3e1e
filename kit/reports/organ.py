"""OrganAMNIST: MLPs and CNNs on CT slices of 28 and of 128 pixels, and a new head on a frozen ResNet50.

The report's MLPs were written by hand with plain SGD. Of their settings it gives those that its last search found best,
with L1 and L2: a learning rate of 0.0892, at most 90 epochs, and a patience of 8 with the best weights restored. Every
row takes epochs and patience from there, every MLP on scaled pixels the rate; the rates of raw bytes and of the 128
pixel nets are ours, as are SGD for the large CNN, Adam for the small one and for the head, and batches of 32.
"Normalized" is read as MedMNIST has it: to [-1, 1].

Synthetic data at 128 pixels are cut to a third, and the backbone of their last row is untrained, so that nothing is
downloaded. Their origin says both.
"""

from dataclasses import replace
from functools import partial

import keras
from keras import layers

from .. import datasets, models, profile
from ..models.numpy_mlp import NumpyMLP
from ..search import Search, Settings, optuna
from ..studies import Experiment, Study
from ..training import hooks

EPOCHS, PATIENCE, RATE = 90, 8, 0.0892
L1, L2 = 0.000183, 0.0015
BASE, BIG = (256, 256), (1024, 512, 256)


def data(source=None):
    """28 pixels, as they come: whole numbers from 0 to 255, in the official split."""
    return datasets.load("organamnist", source=source)


def normalized(source=None):
    """28 pixels, from -1 to 1, for a net that has no layer to do it."""
    return data(source).scaled().map(lambda x: 2 * x - 1)


def large(source=None):
    """128 pixels, as they come; the real ones stay on disk. Of synthetic ones a third of the training images."""
    whole = datasets.load("organamnist", source=source, image_size=128)
    if whole.origin != "synthetic":
        return whole
    return replace(whole.take(len(whole.train.x) // 3, seed=0), origin="synthetic (a third)")


def features(source=None):
    """What a frozen ResNet50 makes of the images of 128 pixels: x is (n, 2048). For synthetic ones it is untrained.

    Raises FileNotFoundError where the ImageNet weights cannot be downloaded.
    """
    pixels = profile.images(large(source))  # the quick profile would cut them only once all are computed
    synthetic = pixels.origin.startswith("synthetic")
    with hooks.stream(0):  # the untrained weights are the same at each call, so that the features are kept
        model = models.transfer(
            pixels.train.x.shape[1:], len(pixels.classes), weights=None if synthetic else "imagenet"
        )
    read = pixels.map(partial(models.features, model))
    return replace(read, origin=pixels.origin + ", ResNet50 untrained" * synthetic)


def on_pixels(input_shape, classes, *, build, lowest=-1, **options):
    """The net that `build` makes, behind a layer that brings pixels from 0 to 255 to [lowest, 1].

    So the images are kept as bytes, a quarter of the memory, and those of 128 pixels on disk.
    """
    net = build(input_shape, classes, **options)
    scaling = layers.Rescaling((1 - lowest) / 255, lowest)
    return keras.Sequential([keras.Input(input_shape), scaling, *net.layers])


def by_hand(input_shape, classes):
    """The base net in NumPy, with SGD."""
    return NumpyMLP(hidden=BASE, learning_rate=RATE, patience=PATIENCE)


def twice_softmaxed_loss(y_true, y_pred):
    """What the report printed as its loss: the cross-entropy of a second softmax, over the probabilities of the first.

    Probabilities lie in [0, 1], so that it cannot fall below ln(e + 10) - 1 = 1.543 with 11 classes, not even for a net
    that is always right; one that guesses has ln 11 = 2.398, as it has without.

    Args: y_true (n,) class numbers, y_pred (n, classes) probabilities. Returns (n,), in nats.
    """
    # Not Keras' own with from_logits=True: that looks behind the softmax and takes its input.
    y_true = keras.ops.cast(keras.ops.reshape(y_true, (-1, 1)), "int32")
    chosen = keras.ops.take_along_axis(y_pred, y_true, axis=-1)
    return keras.ops.logsumexp(y_pred, axis=-1) - chosen[:, 0]


def early_stopping():
    return keras.callbacks.EarlyStopping("val_accuracy", patience=PATIENCE, restore_best_weights=True)


sgd, sgd_large = partial(keras.optimizers.SGD, RATE), partial(keras.optimizers.SGD, 0.03)
adam = keras.optimizers.Adam


def experiment(name, build, optimizer, accuracy, loss, epochs, seconds, parameters, data=None):
    """A row: what is trained and how, then the columns of the report."""
    return Experiment(
        name=name,
        build=build,
        optimizer=optimizer,
        epochs=EPOCHS,
        callbacks=(early_stopping,),
        # The loss that Keras reports holds the penalties too, so the cross-entropy stands beside it.
        metrics=("accuracy", keras.metrics.sparse_categorical_crossentropy, twice_softmaxed_loss),
        data=data,
        reported={
            "accuracy": accuracy, "twice_softmaxed_loss": loss, "epochs": epochs, "seconds": seconds,
            "parameters": parameters,
        },
    )  # fmt: skip


def mlp(hidden=BASE, **options):
    return partial(on_pixels, build=models.mlp, hidden=hidden, **options)


def cnn(**options):
    return partial(on_pixels, build=models.cnn, **options)


at_128 = partial(experiment, data=large)
_base = experiment("MLP, base", mlp(), sgd, 0.716, 1.838, 8, 66, 270_000)
# Loaders give pixels in [0, 1], and the report leaves the normalization to [-1, 1] out.
_unscaled = experiment("MLP, base: no normalization", mlp(lowest=0), sgd, 0.654, 1.973, 10, 84, 270_000)
_cnn = experiment("CNN at 28 px", cnn(filters=(32, 32), dense=(200,)), adam, 0.856, 1.684, 17, 186, 330_000)
_large = at_128("MLP, base at 128 px", mlp(), sgd_large, 0.747, 1.837, 8, 96, 4_300_000)
_big = at_128("MLP, big at 128 px", mlp(BIG), sgd_large, 0.744, 1.882, 17, 195, 17_000_000)
_head = experiment(
    "ResNet50, new head", partial(models.mlp, hidden=(224,)), adam, 0.923, 1.625, 37, 1437, 460_000, features
)


def reading(row, difference, **changes):
    """Another reading of a row's figures."""
    return replace(row, name=f"{row.name}{difference}", reported={}, of=row.name, **changes)


def ours(row, difference, **changes):
    """A row of ours, which the report gives no figures for."""
    return replace(row, name=f"{row.name}{difference}", reported={}, **changes)


doubled = partial(reading, difference=", trained through two softmaxes", loss=twice_softmaxed_loss)
too_large = partial(ours, difference=": rate too large", optimizer=partial(keras.optimizers.SGD, 0.2))

STUDY = Study(
    name="organ",
    title="OrganAMNIST: MLPs, CNNs and a pre-trained net",
    data=data,
    # The report sets one and two hidden layers apart by 0.007. A tenth of its loss would be a third of its range.
    tolerance={"accuracy": 0.005, "twice_softmaxed_loss": 0.02},
    experiments=(
        experiment("MLP, no hidden layer", mlp(()), sgd, 0.597, 2.010, 7, 59, 8_600),
        experiment("MLP, 1 hidden layer", mlp((256,)), sgd, 0.709, 1.884, 15, 124, 200_000),
        _base,
        reading(_base, ": by hand", build=by_hand, optimizer=None, callbacks=(), data=normalized),
        experiment("MLP, base: Leaky ReLU", mlp(activation="leaky_relu"), sgd, 0.719, 1.852, 13, 110, 270_000),
        experiment("MLP, base: tanh", mlp(activation="tanh"), sgd, 0.706, 1.858, 21, 176, 270_000),
        experiment("MLP, base: L1 and L2", mlp(l1=L1, l2=L2), sgd, 0.753, 1.828, 15, 127, 270_000),
        _unscaled,
        reading(
            _unscaled, ", raw bytes", build=partial(models.mlp, hidden=BASE),
            optimizer=partial(keras.optimizers.SGD, 1e-4),
        ),
        _cnn,
        doubled(_cnn),
        _large,
        too_large(_large),  # the report's went to NaN after some epochs
        _big,
        too_large(_big),  # and this one did not
        # 9*24 + 24 and 9*24*24 + 24 of the convolutions, then 128*128*24*286 + 286, twice 286*286 + 286, 286*11 + 11
        at_128(
            "CNN at 128 px", cnn(filters=(24, 24), pool=None, dense=(286,) * 3), sgd_large, 0.871, 1.671, 28, 1170,
            110_000_000,
        ),
        _head,
        doubled(_head),
    ),
)  # fmt: skip


def searched_mlp(input_shape, classes, **penalties):
    """The base net of the study, on pixels as they come."""
    return on_pixels(input_shape, classes, build=models.mlp, hidden=BASE, **penalties)


def searched_cnn(input_shape, classes, *, channels, kernel_size, pool, dense_layers, units):
    """Two convolutions of so many channels, pooled or not, and so many dense layers of so many units."""
    return on_pixels(
        input_shape, classes, build=models.cnn, filters=(channels,) * 2, kernel_size=kernel_size, pool=pool,
        dense=(units,) * dense_layers,
    )  # fmt: skip


def searched_head(input_shape, classes, *, hidden_layers, units):
    """A head on the features of the frozen backbone."""
    return models.mlp(input_shape, classes, hidden=(units,) * hidden_layers)


RATES = [0.001, 0.003, 0.01, 0.03, RATE, 0.2]

MLP_OPTUNA = Search(
    name="organ-mlp-optuna",
    title="OrganAMNIST: the base MLP",
    data=data,
    library=optuna,
    build=searched_mlp,
    space={"learning_rate": RATES, "patience": [2, 4, 8]},
    settings=Settings(trials=12, epochs=EPOCHS, optimizer=keras.optimizers.SGD),  # 12 of 18
    reported={"accuracy": 0.716},
)

PENALTIES_OPTUNA = Search(
    name="organ-mlp-penalties-optuna",
    title="OrganAMNIST: the base MLP with L1 and L2",
    data=data,
    library=optuna,
    build=searched_mlp,
    space={
        "learning_rate": RATES,
        "l1": [0.0, 0.00002, 0.00006, L1, 0.0006],
        "l2": [0.0, 0.00015, 0.0005, L2, 0.005],
        "patience": [2, 4, 8],
    },
    settings=Settings(trials=30, epochs=EPOCHS, optimizer=keras.optimizers.SGD),  # 30 of 450
    reported={"accuracy": 0.753},
)

CNN_OPTUNA = Search(
    name="organ-cnn-optuna",
    title="OrganAMNIST: CNNs at 28 pixels",
    data=data,
    library=optuna,
    build=searched_cnn,
    space={
        "channels": [8, 16, 32, 64],
        "kernel_size": [3, 5],
        "pool": [1, 2],
        "dense_layers": [1, 2, 3],
        "units": [50, 100, 200, 286],
    },
    settings=Settings(trials=20, epochs=30, patience=5),  # 20 of 192
    reported={"accuracy": 0.856},
)

TRANSFER_OPTUNA = Search(
    name="organ-transfer-optuna",
    title="OrganAMNIST: the head on ResNet50",
    data=features,
    library=optuna,
    build=searched_head,
    space={"hidden_layers": [1, 2, 3], "units": [28, 56, 112, 224, 448]},
    settings=Settings(trials=10, epochs=EPOCHS, patience=PATIENCE),  # 10 of 15
    reported={"accuracy": 0.923},
)
