"""MRI with three labels an image: the report's CNN and dense net, with flips, other losses, optimizers and batches.

Every row is judged on the validation split, which also says when to stop: the report's set has no other labels. So
its figures, and ours, are a little better than those of new images would be.

The report says which flips did best (horizontal for the CNN, both for the DNN) but gives figures of one CNN and two
DNNs only; they are put down to those flips, and the other rows change one thing each. It speaks of augmentation as of
more data, so copies are read beside flips that are random anew in each epoch. Its "accuracy" is read as the
share of single labels that are right: what Keras makes of "accuracy" here is how often the likeliest label is the same,
which has no meaning for an image with two labels or none.

Categorical cross-entropy takes the labels for classes that exclude each other: it makes the scores sum to 1 (on
TensorFlow by a softmax of what goes into the sigmoids), and an image without a label adds nothing to it. So nothing
tells a net that an image bears none.
"""

from dataclasses import replace
from functools import partial

import keras
import numpy as np
import pandas as pd
from keras import layers

from .. import datasets, models, training
from ..studies import Experiment, Study

BOTH = ("horizontal", "vertical")
LINES = ("label 1", "label 2", "label 3", "micro avg", "macro avg", "weighted avg", "samples avg")
COLUMNS = ("precision", "recall", "f1-score")
# The report's classification reports, a row each of LINES: precision, recall, F1.
CNN = (
    (0.91, 0.92, 0.92), (0.87, 0.87, 0.87), (0.85, 0.81, 0.83),
    (0.88, 0.88, 0.88), (0.88, 0.87, 0.87), (0.88, 0.88, 0.88), (0.43, 0.44, 0.42),
)  # fmt: skip
DNN = (
    (0.87, 0.94, 0.90), (0.81, 0.87, 0.84), (0.75, 0.52, 0.61),
    (0.83, 0.83, 0.83), (0.81, 0.77, 0.79), (0.83, 0.83, 0.82), (0.42, 0.42, 0.41),
)  # fmt: skip
DNN_SGD = (
    (0.89, 0.87, 0.88), (0.81, 0.84, 0.82), (0.72, 0.67, 0.69),
    (0.82, 0.82, 0.82), (0.80, 0.79, 0.80), (0.82, 0.82, 0.82), (0.38, 0.40, 0.38),
)  # fmt: skip


def data(source=None):
    """The images as they come, whole numbers from 0 to 255; labels of the test images, if there are any, left out."""
    whole = datasets.load("mri", source=source)
    return replace(whole, test=whole.test._replace(y=None))


def labelled_mirrored(source=None):
    """Each training image that bears a label is followed by its mirror image: 17,847 images in place of 12,000.

    Copies, because a layer of the net sees no labels.
    """
    once = data(source)
    return _mirrored(once, once.train.y.any(axis=1))


def all_mirrored(source=None):
    """Each training image is followed by its mirror image: 24,000 images."""
    once = data(source)
    return _mirrored(once, np.full(len(once.train.x), True))


def _mirrored(once, which):
    x, y = once.train
    order = np.repeat(np.arange(len(x)), 1 + which)
    second = np.append(False, order[1:] == order[:-1])
    x = x[order]
    x[second] = x[second, :, ::-1]
    return replace(once, train=once.train._replace(x=x, y=y[order]))


def on_pixels(input_shape, labels, *, build, flips=()):
    """The net that `build` makes, behind a layer that divides by 255 and layers that flip at random, in training only.

    flips: of "horizontal" (left and right change places) and "vertical" (top and bottom do); each image is flipped, or
        not, with probability one half, anew in each epoch.
    """
    # A layer each: Keras' "horizontal_and_vertical" flips both ways or neither, so that it turns by 180 degrees.
    flipping = [layers.RandomFlip(direction) for direction in flips]
    net = build(input_shape, labels)
    return keras.Sequential([keras.Input(input_shape), layers.Rescaling(1 / 255), *flipping, *net.layers])


def early_stopping():
    return keras.callbacks.EarlyStopping(patience=4, restore_best_weights=True)


def experiment(name, build, flips=(), report=None, *, optimizer=keras.optimizers.Adam, epochs=20, **options):
    """A row; `report` is what the report printed of it, a row each of LINES."""
    figures = {line: row[-1] for line, row in zip(LINES, report or ())}
    return Experiment(
        name=name,
        build=partial(on_pixels, build=build, flips=flips),
        optimizer=optimizer,
        epochs=epochs,
        callbacks=(early_stopping,),
        metrics=("binary_accuracy", training.MultiLabelF1, partial(training.MultiLabelF1, average="macro")),
        reported={f"val_{average}_f1": figures[f"{average} avg"] for average in ("micro", "macro") if figures},
        **{"batch_size": 64, "loss": "binary_crossentropy"} | options,
    )  # fmt: skip


cnn = partial(experiment, build=models.multilabel_cnn)
dnn = partial(experiment, build=models.multilabel_dnn)
SGD, Adam = partial(keras.optimizers.SGD, 0.01), keras.optimizers.Adam
FLIPS, UPDATES = ("horizontal",), 20 * 12_000  # images that a net sees in 20 epochs of the set as it is


def changed(name, **options):
    """A row that changes the report's CNN, with horizontal flips, in one thing."""
    return cnn(f"CNN, {name}", flips=FLIPS, **options)


STUDY = Study(
    name="mri",
    title="MRI: several labels an image, by a CNN and a dense net",
    data=data,
    metric="val_micro_f1",
    tolerance=0.005,  # the report tells 0.82 from 0.83, and prints no more than two decimals
    experiments=(
        cnn("CNN, no flips"),
        cnn("CNN, horizontal flips", flips=FLIPS, report=CNN),
        cnn("CNN, vertical flips", flips=("vertical",)),
        cnn("CNN, both flips", flips=BOTH),
        cnn("CNN, all images mirrored (copies)", data=all_mirrored),
        cnn("CNN, labelled images mirrored (copies)", data=labelled_mirrored),
        cnn("CNN, all mirrored, as many updates as without", data=all_mirrored, epochs=UPDATES // 24_000),
        cnn("CNN, labelled mirrored, as many updates", data=labelled_mirrored, epochs=round(UPDATES / 17_847)),
        changed("Poisson loss", loss="poisson"),
        changed("categorical cross-entropy", loss="categorical_crossentropy"),
        changed("SGD", optimizer=SGD),
        changed("RMSprop", optimizer=keras.optimizers.RMSprop),
        changed("batches of 80", batch_size=80),
        changed("no dropout", build=partial(models.multilabel_cnn, dropout=(0,) * 4, dense_dropout=0)),
        changed("dropout behind the flattening only", build=partial(models.multilabel_cnn, dropout=(0,) * 4)),
        changed("64 filters", build=partial(models.multilabel_cnn, filters=64)),
        changed("rate 0.0001", optimizer=partial(Adam, 0.0001)),
        changed("rate 0.01", optimizer=partial(Adam, 0.01)),
        dnn("DNN, no flips"),
        dnn("DNN, both flips", flips=BOTH, report=DNN),
        dnn("DNN, SGD", flips=BOTH, report=DNN_SGD, optimizer=SGD, epochs=50),
        dnn("DNN, horizontal flips", flips=FLIPS),
        dnn("DNN, batches of 80", flips=BOTH, batch_size=80),
        dnn("DNN, no dropout", flips=BOTH, build=partial(models.multilabel_dnn, dropout=0)),
        dnn("DNN, 100 units", flips=BOTH, build=partial(models.multilabel_dnn, units=100)),
    ),
)
REPORTED = {"CNN, horizontal flips": CNN, "DNN, both flips": DNN, "DNN, SGD": DNN_SGD}


def reports(results):
    """The report's classification reports beside ours, of the first seed: a DataFrame indexed by experiment and line.

    Columns: (precision, recall or f1-score; reported or reproduced), and (support, reproduced). What the report does
    not give is NaN. Rows of which no fit was finished are left out.
    """
    pairs, table = {}, results.table()
    for name in table.index[table.seeds > 0]:
        ours = results.classification_report(name)
        theirs = pd.DataFrame(REPORTED.get(name, np.nan), index=ours.index, columns=COLUMNS)
        pairs[name] = pd.concat({"reported": theirs, "reproduced": ours}, axis=1).swaplevel(axis=1)
    order = [(figure, whose) for figure in COLUMNS for whose in ("reported", "reproduced")]
    return pd.concat(pairs, names=["experiment", "line"])[[*order, ("support", "reproduced")]]
