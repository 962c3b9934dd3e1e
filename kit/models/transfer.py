"""Transfer learning: a net trained on ImageNet reads features, and a small new head learns to tell the classes."""

import hashlib
import inspect
import math
import os
import re
import warnings
from pathlib import Path

import keras
import numpy as np
from keras import layers

from .. import files, progress
from .mlp import mlp


def transfer(
    input_shape, classes, *, backbone="resnet50", hidden=(224,), weights="imagenet", enlarged_to=None, **options
):
    """A frozen backbone and a new head: (batch, *input_shape), pixels from 0 to 255 -> (batch, classes) probabilities.

    Two layers. "backbone" turns grey into three equal channels, prepares the pixels as this backbone was trained with
    them, and averages its last maps; its batch normalization stays in inference mode. "head" is `kit.models.mlp`. The
    report's, on the 2048 features of ResNet50, has 2048*224 + 224 + 224*11 + 11 = 461,451 parameters, and only they are
    trained. As the backbone stays as it is, its features can be computed once:

        model = transfer((128, 128, 1), 11)
        head = model.get_layer("head")
        head.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        kit.training.fit(head, features(model, data.train.x), data.train.y, epochs=37)

    Args:
        input_shape: (height, width, channels) of one image, as a Dataset has it when loaded: neither scaled nor
            standardized. 1 or 3 channels; most backbones take no image smaller than 32x32.
        classes: number of classes.
        backbone: a builder of `keras.applications`, in upper or lower case, such as "mobilenetv2".
        hidden: units of each hidden layer of the head; () for none.
        weights: "imagenet", downloaded through Keras; None for random ones; or the path of a file.
        enlarged_to: pixels a side that the images are brought to within the net (bilinear), where they are too small
            for the backbone; so they are kept as they are.
        **options: of the backbone's builder, such as `alpha=0.35` of MobileNetV2.

    Raises:
        ValueError: an unknown backbone, or a shape, sizes, options or weights that it does not take.
        FileNotFoundError: the weights cannot be downloaded; it says which file to put where.
    """
    if len(input_shape) != 3 or input_shape[-1] not in (1, 3):
        raise ValueError(f"input_shape={input_shape!r}; it must be (height, width, channels) with 1 or 3 channels")
    build, prepare = _find(backbone)
    sides = (enlarged_to, enlarged_to) if enlarged_to else tuple(input_shape[:2])
    net = _build(build, backbone, (*sides, 3), weights, options)
    net.trainable = False
    pixels = keras.Input(input_shape)
    sized = layers.Resizing(*sides)(pixels) if enlarged_to else pixels
    coloured = sized if input_shape[-1] == 3 else layers.Concatenate()([sized] * 3)
    read = keras.Model(pixels, net(prepare(coloured), training=False), name="backbone")
    head = mlp(read.output_shape[1:], classes, hidden=hidden)
    head = keras.Sequential([keras.Input(read.output_shape[1:]), *head.layers], name="head")
    return keras.Sequential([keras.Input(input_shape), read, head])


def features(model, x, *, batch_size=64):
    """What the backbone of a `transfer` model makes of images: float32 (n, features), to train the head on.

    Computed once, in batches, and kept in `features` in $KIT_CACHE (~/.cache/kit), under a name that holds a hash of
    the images and of the backbone's weights.

    Args:
        model: made by `transfer`.
        x: images (n, height, width, channels), uint8 from 0 to 255.

    Raises:
        ValueError: images that are not uint8, or not of the model's shape.
    """
    if x.dtype != np.uint8 or x.shape[1:] != model.input_shape[1:]:
        raise ValueError(
            f"x is {x.dtype} of {x.shape}; it must be images as loaded, uint8 of {('n', *model.input_shape[1:])}"
        )
    backbone = model.get_layer("backbone")
    path = _path(backbone, x)
    found = _read(path, (len(x), *backbone.output_shape[1:]))
    if found is None:
        found = np.empty((len(x), *backbone.output_shape[1:]), "float32")
        for start in progress.bar(iterable=range(0, len(x), batch_size), unit="batch"):
            found[start : start + batch_size] = backbone.predict_on_batch(np.asarray(x[start : start + batch_size]))
        _write(path, found)
    return found


def unfreeze(model):
    """Make the last stage of a `transfer` model's backbone trainable: what follows the last halving of the picture.

    Fine-tuning: train the head first, then unfreeze, compile the model again with a small learning rate (1e-5), and fit
    it on the images; its features are no longer fixed. Batch normalization stays as it is, in inference mode.
    """
    net = model.get_layer("backbone").layers[-1]
    sizes = [  # of the maps behind each layer that has weights
        math.prod(layer.output.shape[1:-1]) if layer.weights and len(layer.output.shape) == 4 else 0
        for layer in net.layers
    ]
    last = next(size for size in reversed(sizes) if size)
    first = max((i + 1 for i, size in enumerate(sizes) if size > last), default=0)
    net.trainable = True
    for i, layer in enumerate(net.layers):
        layer.trainable = i >= first and not isinstance(layer, layers.BatchNormalization)


def _find(name):
    """The builder of a backbone, and what prepares its pixels."""
    modules = [module for module in vars(keras.applications).values() if hasattr(module, "preprocess_input")]
    found = {
        key.lower(): (builder, module.preprocess_input)
        for module in modules
        for key, builder in vars(module).items()
        if key[0].isupper() and callable(builder)
    }
    if not isinstance(name, str) or name.lower() not in found:
        raise ValueError(f"backbone={name!r}; it must be one of {', '.join(sorted(found))}")
    return found[name.lower()]


def _build(build, name, input_shape, weights, options):
    """The net without its top, or a one-line error."""
    given = {"include_top": False, "weights": weights, "input_shape": input_shape, "pooling": "avg"}
    try:
        inspect.signature(build).bind(**given, **options)
    except TypeError as error:
        raise ValueError(f"backbone={name!r} with {options}: {error}") from None
    try:
        with warnings.catch_warnings():  # whether a path's weights are of this size is told by loading them
            warnings.filterwarnings("ignore", "`input_shape` is undefined or non-square")
            return build(**given, **options)
    except ValueError as error:
        raise ValueError(
            f"backbone={name!r} of images {input_shape}, weights={weights!r}: {' '.join(str(error).split())}"
        ) from None
    except Exception as error:  # Keras raises no finer one where a download fails
        failed = re.search(r"URL fetch failure on (\S+): (.*)", str(error))
        if not failed:
            raise
        address, reason = failed.groups()
        folder = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "models"
        raise FileNotFoundError(
            f"the ImageNet weights of {name} cannot be downloaded ({reason}): fetch {address} and put it into "
            f"{folder}, or pass weights=None for random ones"
        ) from None


def _path(backbone, x):
    """Where the features lie; the name holds a hash of all that they depend on."""
    net = backbone.layers[-1]
    digest = hashlib.sha256(f"{net.name} {keras.version()} {keras.backend.backend()} {x.shape}".encode())
    for array in (*net.get_weights(), x):
        digest.update(np.ascontiguousarray(array))
    return files.cache() / "features" / f"{net.name}-{digest.hexdigest()[:16]}.npy"


def _read(path, shape):
    """The features that are kept, or None; a damaged file is set aside with a warning."""
    if not path.exists():
        return None
    try:
        found = np.load(path, allow_pickle=False)
        if found.shape != shape or found.dtype != np.float32:
            raise ValueError(f"{found.dtype} of {found.shape}")
        return found
    except (OSError, EOFError, ValueError) as error:
        files.set_aside(path, error, "the features are made anew")
        return None


def _write(path, found):
    """Keep the features; where that fails, only a warning."""
    try:
        with files.writing(path) as part:
            np.save(part, found)
    except OSError as error:
        files.warn(
            f"the features are not kept: cannot write {path} ({error.strerror or error}); set KIT_CACHE to a folder "
            "with room"
        )
