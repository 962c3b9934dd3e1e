"""What `fit` is given, made into arrays as Keras would make it, or refused in one line, or left to Keras."""

import functools
import math
import sys
from numbers import Number

import keras
import numpy as np

from .. import files

SPARSE = keras.losses.sparse_categorical_crossentropy


class LeftToKeras(Exception):
    """What is given is for `model.fit`: its message says why."""


def prepared(model, x, y, sample_weight, validation_data, validation_split, class_weight):
    """(training, validation): tuples of arrays, x alone, or with y, or with y and weights; validation may be None.

    Raises LeftToKeras for what are no arrays, and ValueError for what does not fit together.
    """
    if not 0 <= validation_split < 1:
        raise ValueError(f"validation_split={validation_split!r}; it must be a share in [0, 1)")
    if class_weight is not None and sample_weight is not None:
        raise ValueError("class_weight and sample_weight are both given; give one, weights of the classes in the other")
    training = _arrays(model, x, y, sample_weight, "x and y")
    validation = None
    if validation_data is not None:
        if not isinstance(validation_data, (tuple, list)):
            raise LeftToKeras(f"validation_data is a {type(validation_data).__name__}")
        if len(validation_data) not in (2, 3):
            raise ValueError(f"validation_data has {len(validation_data)} parts; it must be (x, y) or (x, y, weights)")
        validation = _arrays(model, *validation_data, *[None] * (3 - len(validation_data)), "validation x and y")
    elif validation_split:
        count = len(training[0])
        kept = math.floor(count * (1 - validation_split))
        if kept in (0, count):
            raise ValueError(f"validation_split={validation_split} leaves no images on one side of {count}")
        training, validation = (tuple(a[part] for a in training) for part in (slice(kept), slice(kept, None)))
    if class_weight is not None:
        training = (*training, _weights(training, class_weight))
    return training, validation


def _arrays(model, x, y, weights, name):
    """A tuple of arrays, floats in Keras' own precision, that fit together and the model."""
    if y is None and weights is not None:
        raise LeftToKeras("sample_weight without y")
    parts = {"x": x, "y": y, "sample_weight": weights}
    data = tuple(_array(part, what) for what, part in parts.items() if what == "x" or part is not None)
    shapes = " and ".join(str(array.shape) for array in data)
    if any(array.ndim == 0 or len(array) != len(data[0]) for array in data) or len(data[0]) == 0:
        raise ValueError(f"{name} have the shapes {shapes}; they need the same number of examples, not 0")
    takes = getattr(model, "input_shape", None)
    if takes and not any(_fits(shape, takes[1:]) for shape in _shapes_that_keras_takes(data[0].shape[1:])):
        raise ValueError(f"{name}: examples have the shape {data[0].shape[1:]}; the model takes {takes[1:]}")
    if data[0].dtype.kind == "f" and not np.isfinite(data[0].sum(dtype="float64")):
        count = data[0].size - int(np.isfinite(data[0]).sum())
        if count:
            files.warn(f"{name}: {count:,} of {data[0].size:,} values of x are NaN or infinite")
    if y is not None:
        _check_labels(model, *data[:2], name)
    return data


def _array(given, what):
    if keras.ops.is_tensor(given) and type(given).__name__ not in ("RaggedTensor", "SparseTensor"):
        given = keras.ops.convert_to_numpy(given)
    if given is None or isinstance(given, Number):
        raise ValueError(f"{what} is {given!r}; it must be an array")
    if isinstance(given, (list, tuple)) and not any(hasattr(part, "shape") for part in given):
        raise ValueError(f"{what} is a {type(given).__name__} of numbers; give an array: np.asarray({what})")
    pandas = sys.modules.get("pandas")
    if pandas and isinstance(given, pandas.DataFrame):
        given = given.to_numpy()
    elif pandas and isinstance(given, pandas.Series):
        given = given.to_numpy()[:, None]  # as Keras has it
    if not hasattr(given, "__array__") or hasattr(given, "todense"):
        raise LeftToKeras(f"{what} is a {type(given).__name__}")
    array = np.asarray(given)
    if array.dtype.kind not in "biuf":
        if what == "y":
            first = array.flat[0].item() if array.size else None
            raise ValueError(
                f"y holds {array.dtype}, such as {first!r}; it must hold numbers: "
                "np.unique(y, return_inverse=True) gives the classes and their numbers"
            )
        raise LeftToKeras(f"{what} holds {array.dtype}")
    return array.astype(keras.config.floatx(), copy=False) if array.dtype.kind == "f" else array


def _shapes_that_keras_takes(shape):
    """The shape, and what Keras makes of it where the last axis is missing or one too many."""
    yield shape
    yield (*shape, 1)
    if shape and shape[-1] == 1:
        yield shape[:-1]


def _fits(shape, wanted):
    return len(shape) == len(wanted) and all(w in (None, s) for s, w in zip(shape, wanted))


def _weights(data, class_weight):
    """The weight of each example, by its class; 1 for a class that is not named."""
    if len(data) < 2:
        raise ValueError("class_weight is given without y; the weights go by the classes in y")
    y = data[1]
    if y.ndim > 1:
        y = y.argmax(-1) if y.shape[-1] != 1 else y[..., 0]
    if y.ndim != 1:
        raise LeftToKeras("class_weight with more than a label an example")
    classes, places = np.unique(np.round(y).astype("int32"), return_inverse=True)
    return np.array([class_weight.get(int(c), 1.0) for c in classes], keras.config.floatx())[places]


def _check_labels(model, x, y, name):
    """ValueError where Keras' own sparse cross-entropy would refuse the labels on TensorFlow on a CPU.

    There it fails, elsewhere it goes on with NaN or with another class. A loss of the user's own is left alone.
    """
    sparse, ignored = _sparse_loss(model, y)
    if not sparse:
        return
    outputs = tuple(getattr(model, "output_shape", None) or model(keras.ops.convert_to_tensor(x[:1])).shape)
    if y.ndim not in (len(outputs) - 1, len(outputs)) or (y.ndim == len(outputs) and y.shape[-1] != 1):
        raise ValueError(
            f"{name}: labels have the shape {y.shape}; sparse_categorical_crossentropy takes class numbers, a shape of "
            f"{('n', *outputs[1:-1])}, and categorical_crossentropy takes one-hot ones"
        )
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        count = int((~np.isfinite(y)).sum())
        raise ValueError(f"{name}: {count:,} labels are NaN or infinite; they must be class numbers")
    counted = y if ignored is None else y[y != ignored]
    counted = np.trunc(counted) if y.dtype.kind == "f" else counted
    if counted.size and not (counted.min() >= 0 and counted.max() < outputs[-1]):
        raise ValueError(
            f"{name}: labels run from {counted.min():g} to {counted.max():g}; the model has {outputs[-1]} outputs"
        )


def _sparse_loss(model, y):
    """(whether the loss is Keras' own sparse cross-entropy, the class that it ignores or None)"""
    losses = keras.tree.flatten(getattr(model, "loss", None))
    loss, options = losses[0] if len(losses) == 1 else None, {}
    while isinstance(loss, functools.partial):
        loss, options = loss.func, loss.keywords | options
    if isinstance(loss, str):
        if loss.lower() in ("crossentropy", "ce"):  # Keras chooses by the shapes
            outputs = getattr(model, "output_shape", None)
            fewer = outputs and outputs[-1] != 1 and (y.ndim < len(outputs) or y.shape[-1] == 1)
            return bool(fewer), None
        loss = keras.losses.get(loss)
    if type(loss) is keras.losses.SparseCategoricalCrossentropy:
        return True, loss.get_config().get("ignore_class")
    return loss is SPARSE, options.get("ignore_class")
