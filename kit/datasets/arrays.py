"""One's own arrays as a Dataset."""

import numpy as np

from .card import Card
from .dataset import Dataset, Split

PIXELS = "segmentation"
LABELS = {
    "multiclass": "(n,) of class numbers or names, or (n, classes) with one 1 a row",
    "multilabel": "(n, labels) of 0 and 1",
    PIXELS: "(n, height, width) or (n, height, width, 1) of class numbers, one a pixel",
}


def from_arrays(train, test, *, validation=None, classes=None, task=None, title="own data"):
    """A Dataset of one's own arrays, its origin "own". They are neither written to nor copied without need.

    train, test, validation: pairs (x, y) of what NumPy makes arrays of (lists, pandas tables). x is (n, height, width,
        channels), (n, height, width), which gets its last axis, or (n, features); finite, of one dtype in all pairs.
        y is as `task` says; that of test may be None.
    classes: names of the classes or labels, in the order of their numbers. By default the labels' own where they are
        text, sorted; else "0", "1" ..., for a multilabel task "label 1", "label 2" ...
    task: "multiclass": y (n,) of class numbers from 0 or of text, or one-hot (n, classes); "multilabel": y (n, labels)
        of 0 and 1; "segmentation": y (n, height, width) or (n, height, width, 1) of class numbers. By default what
        the shape of the training y says, (n, labels) being multilabel.
    title: what a figure's heading says.

    Raises ValueError, in one line, for arrays that do not fit each other, the task or the classes.
    """
    if task not in (None, *LABELS):
        raise ValueError(f"task={task!r}; it must be {', '.join(LABELS)} or None")
    pairs = {"train": train, "validation": validation, "test": test}
    pairs = {name: _pair(name, pair) for name, pair in pairs.items() if name != "validation" or pair is not None}
    y = {name: y for name, (_, y) in pairs.items() if y is not None}
    images = {name: f"{x.dtype} of {x.shape[1:]}" for name, (x, _) in pairs.items()}
    labels = {name: f"{'text' if one.dtype.kind == 'U' else 'numbers'} of {one.shape[1:]}" for name, one in y.items()}
    for of, forms in (("images", images), ("labels", labels)):
        if len(set(forms.values())) > 1:
            raise ValueError(f"the {of} are {forms}; they must be of one shape and dtype in all")
    columns = y["train"].shape[1] if y["train"].ndim == 2 else 1
    task = task or {1: "multiclass", 2: "multiclass" if columns == 1 else "multilabel"}.get(y["train"].ndim, PIXELS)
    y = {name: _labels(name, labels, pairs[name].x, task) for name, labels in y.items()}
    if classes is None and (columns > 1 or task == "multilabel"):
        classes = range(columns) if task == "multiclass" else [f"label {i}" for i in range(1, columns + 1)]
    y, classes = _named(y, None if classes is None else tuple(map(str, classes)), task)
    splits = {name: Split(x, y.get(name)) for name, (x, _) in pairs.items()}
    card = Card(title, title, task=task, classes=classes, image_shape=splits["train"].x.shape[1:])
    return Dataset(splits["train"], splits.get("validation"), splits["test"], classes, task, card, "own")


def _pair(name, pair):
    """The arrays of a pair, fit for each other in number."""
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise ValueError(f"{name} is {type(pair).__name__}; it must be a pair (x, y)")
    x, y = _array(f"{name} x", pair[0]), pair[1]
    if x.dtype.kind not in "biuf" or x.ndim not in (2, 3, 4) or not x.size:
        raise ValueError(
            f"{name} x is {x.dtype} of {x.shape}; it must be numbers of (n, height, width, channels), (n, height, "
            "width) or (n, features), n above 0"
        )
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        raise ValueError(f"{name} x holds {np.sum(~np.isfinite(x)):,} values that are NaN or infinite")
    if y is None and name != "test":
        raise ValueError(f"{name} y is None; only test may be without labels")
    y = y if y is None else _array(f"{name} y", y)
    if y is not None and y.shape[:1] != x.shape[:1]:
        raise ValueError(f"{name} has {len(x)} images and labels of {y.shape}; it must have a label for each image")
    return Split(x[..., None] if x.ndim == 3 else x, y)


def _array(name, values):
    try:
        array = np.asarray(values)
        if array.dtype == object and len({type(value) for value in array.flat}) == 1:  # of pandas, such as text
            return np.array(array.tolist())
        return array
    except ValueError as error:
        raise ValueError(f"{name} cannot be made an array: {str(error).splitlines()[0]}") from None


def _labels(name, y, x, task):
    """Labels of the form that the task asks for: (n,), (n, labels) or (n, height, width, 1)."""
    if task == "multiclass" and y.ndim == 2:
        hot = y.shape[1] > 1 and np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all()
        y = y[:, 0] if y.shape[1] == 1 else y.argmax(axis=1) if hot else y
    fits = {
        "multiclass": y.ndim == 1 and y.dtype != object,
        "multilabel": y.ndim == 2 and np.isin(y, (0, 1)).all(),
        PIXELS: y.ndim > 2 and x.ndim == 4 and y.shape in (x.shape[:3], (*x.shape[:3], 1)),
    }
    if not fits[task]:
        raise ValueError(
            f"{name} y is {y.dtype} of {y.shape} for images of {x.shape}; for task={task!r} it must be {LABELS[task]}"
        )
    return y.reshape(*x.shape[:3], 1) if task == PIXELS else y


def _named(y, classes, task):
    """The labels {split: y} as numbers of the dtype that `Dataset` says, and the classes' names."""
    values = np.unique(np.concatenate([np.unique(labels) for labels in y.values()]))
    text = values.dtype.kind == "U"
    if classes is None:
        classes = tuple(map(str, values.tolist() if text else range(len(values))))
    count = y["train"].shape[1] if task == "multilabel" else len(classes)
    if len(set(classes)) < len(classes) or len(classes) != count or (task == PIXELS and count > 256):
        raise ValueError(f"classes={classes!r}; it must be {min(count, 256)} names, each another")
    if task != "multilabel":
        numbers = {value: i for i, value in enumerate(classes if text else range(count))}
        unknown = [value for value in values.tolist() if value not in numbers]
        if unknown:
            right = f"one of {', '.join(classes)}" if text else f"a number from 0 to {count - 1}, or give more classes"
            raise ValueError(f"the labels hold {unknown[0]!r}; with {count} classes it must be {right}")
    if text:
        y = {name: np.array([numbers[value] for value in labels.tolist()]) for name, labels in y.items()}
    dtype = np.int64 if task == "multiclass" else np.uint8
    return {name: labels.astype(dtype, copy=False) for name, labels in y.items()}, classes
