"""What pre-training is worth, on real images: no report's table, but the question that the organ report ends with.

A MobileNetV2 that was trained on ImageNet reads two sets. Sections of the colon are told benign from malignant, with 85
to learn from; and Fashion-MNIST with 4,000 of its training images, which are brought to 96 pixels within the net.
Beside the new head on the trained backbone stand the same head on an untrained one, the last stage fine-tuned, a small
net from nothing, and what takes no net at all. Epochs and rates were set beforehand: no image is held out, and nothing
is chosen.
"""

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import keras
from keras import layers, ops
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from .. import datasets, models, profile
from ..datasets import glas
from ..studies import Experiment, Study
from ..training import hooks

WEIGHTS = "mobilenet_v2_0.35_224_notop.weights.h5"  # in $KIT_DATA/weights, for want of Keras' own download
NET = partial(models.transfer, backbone="mobilenetv2", alpha=0.35, hidden=())


@keras.saving.register_keras_serializable("kit")
class BalancedAccuracy(keras.metrics.Metric):
    """The mean over the classes of the share of each that is right, as scikit-learn's `balanced_accuracy_score`.

    Labels (n,) or (n, 1), probabilities (n, classes). Classes that do not occur do not count.
    """

    def __init__(self, classes, name="balanced_accuracy", **options):
        super().__init__(name=name, **options)
        self.classes = classes
        self.right = self.add_variable((classes,), "zeros", name="right")
        self.there = self.add_variable((classes,), "zeros", name="there")

    def update_state(self, y_true, y_pred, sample_weight=None):
        true = ops.one_hot(ops.cast(ops.reshape(y_true, (-1,)), "int32"), self.classes)
        found = ops.one_hot(ops.argmax(y_pred, axis=-1), self.classes)
        weights = 1.0 if sample_weight is None else ops.reshape(sample_weight, (-1, 1))
        self.right.assign_add(ops.sum(true * found * weights, axis=0))
        self.there.assign_add(ops.sum(true * weights, axis=0))

    def result(self):
        shares = ops.where(self.there > 0, self.right / ops.maximum(self.there, 1e-12), 0.0)
        return ops.sum(shares) / ops.maximum(ops.sum(ops.cast(self.there > 0, "float32")), 1.0)

    def get_config(self):
        return {**super().get_config(), "classes": self.classes}


def sections(source=None):
    """GlaS at 256x256, RGB as loaded; y is 0 for benign and 1 for malignant. 85 images, 60 and 20 to test on."""
    data = datasets.load("glas", source=source, image_size=256)
    numbers = {split: (names == "malignant").astype("int64") for split, names in glas.grades(data).items()}
    extra = {name: split._replace(y=numbers[name]) for name, split in data.extra.items()}
    train, test = (getattr(data, name)._replace(y=numbers[name]) for name in ("train", "test"))
    return replace(data, train=train, test=test, extra=extra, classes=glas.GRADES, task="multiclass")


def garments(source=None):
    """Fashion-MNIST as loaded, with 4,000 of its training images."""
    return datasets.load("fashion_mnist", source=source).take(4000, seed=0)


def weights(origin):
    """(what `kit.models.transfer` takes, what to call it) for images of this origin.

    The file in $KIT_DATA, else Keras' own download; for synthetic images none, so that nothing is downloaded.
    """
    if origin.startswith("synthetic"):
        return None, "untrained"
    path = Path(os.environ.get("KIT_DATA") or "", "weights", WEIGHTS)
    return (str(path), WEIGHTS) if path.exists() else ("imagenet", "from ImageNet")


def named(source=None, *, images):
    """The images, with an origin that says which weights the net begins with."""
    data = images(source)
    return replace(data, origin=f"{data.origin}, MobileNetV2 {weights(data.origin)[1]}")


def read(source=None, *, images, size=None):
    """What the pre-trained backbone makes of the images: x is (n, 1280), by the training images centred and scaled."""
    data = named(source, images=images)
    return _read(data, weights(data.origin)[0], size)


def read_untrained(source=None, seed=0, *, images, size=None):
    """What an untrained backbone makes of them; its weights are drawn by the seed."""
    with hooks.stream(seed):
        return _read(images(source), None, size)


def _read(data, weights, size):
    data = profile.images(data)  # the quick profile would cut them only once all are computed
    net = NET(data.train.x.shape[1:], len(data.classes), weights=weights, enlarged_to=size)
    data = data.map(partial(models.features, net))
    # An untrained backbone's features are of the order of 1e-11, as its untrained normalizations leave each layer's
    # smaller than those of the layer before: so they are judged by what they tell and not by their size. One scale for
    # all, as features that hardly vary in 85 images would be magnified a thousandfold by a scale of their own.
    middle = data.train.x.mean(axis=0, dtype="float64")
    scale = (data.train.x - middle).std()
    return data.map(lambda features: ((features - middle) / scale).astype("float32"))


def fine_tuned(input_shape, classes, *, origin, size=None):
    """The pre-trained backbone with its last stage free to learn, and a new head."""
    net = NET(input_shape, classes, weights=weights(origin)[0], enlarged_to=size)
    models.unfreeze(net)
    return net


def head(input_shape, classes):
    """Softmax regression, on features of the order of 1.

    It begins with zeros, as its loss has one minimum: weights drawn for 1,280 features would stay as noise where a few
    images leave them open.
    """
    return models.mlp(input_shape, classes, hidden=(), initializer="zeros")


def small_cnn(input_shape, classes, **options):
    """Convolutions from nothing, on pixels from 0 to 255."""
    net = models.cnn(input_shape, classes, **options)
    return keras.Sequential([keras.Input(input_shape), layers.Rescaling(1 / 255), *net.layers])


def majority(input_shape, classes):
    """The commonest class of the training images, for each image."""
    return DummyClassifier(strategy="most_frequent")


def on_pixels(input_shape, classes):
    """Logistic regression on the pixels themselves, brought to [0, 1], with a penalty that lets it converge."""
    return make_pipeline(MaxAbsScaler(), LogisticRegression(C=0.1, max_iter=1000))


def experiment(name, build, data, *, classes, epochs=1, rate=0.001):
    return Experiment(
        name=name, build=build, data=data, epochs=epochs, optimizer=partial(keras.optimizers.Adam, rate),
        metrics=("accuracy", partial(BalancedAccuracy, classes)),
    )  # fmt: skip


def nets(what, images, *, classes, cnn, epochs, tuned, size=None):
    """The nets of one set; `epochs` are those of the heads and of the CNN, `tuned` those of the fine-tuning."""
    row, features = partial(experiment, classes=classes), {"images": images, "size": size}
    return (
        row(f"{what}: pre-trained, frozen", head, partial(read, **features), epochs=epochs),
        row(f"{what}: untrained, frozen", head, partial(read_untrained, **features), epochs=epochs),
        row(
            f"{what}: fine-tuned", partial(fine_tuned, size=size), partial(named, images=images), epochs=tuned,
            rate=1e-4,
        ),
        row(f"{what}: CNN from nothing", cnn, images, epochs=epochs),
    )  # fmt: skip


STUDY = Study(
    name="transfer",
    title="Pre-training: a MobileNetV2 from ImageNet on glands and on garments",
    data=sections,
    experiments=(
        *nets(
            "glands", sections, classes=2, cnn=partial(small_cnn, filters=(16, 32, 64), pool=4), epochs=100, tuned=30
        ),
        experiment("glands: majority", majority, sections, classes=2),
        *nets("garments", garments, classes=10, cnn=partial(small_cnn, filters=(32, 64)), epochs=30, tuned=10, size=96),
        experiment("garments: on pixels", on_pixels, garments, classes=10),
    ),
)
