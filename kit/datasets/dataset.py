"""A dataset in memory: splits of NumPy arrays, and where they came from."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import NamedTuple

import numpy as np

from ..checks import whole
from .card import Card


class Split(NamedTuple):
    """Images and what is to be learned of them; unpacks into `x, y`."""

    x: np.ndarray
    y: np.ndarray | None

    def at(self, index):
        """The Split of these images: a slice, or an array of numbers or of True and False."""
        return Split(self.x[index], None if self.y is None else self.y[index])


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """What a model learns from. Its methods return a new Dataset and leave this one as it is.

    train, test: Split. `x` (n, height, width, channels), uint8 from 0 to 255 as loaded; one's own arrays may be
        (n, features) and of another dtype. For a multiclass task `y` is int64 (n,), an index into `classes`; for
        segmentation uint8 (n, height, width, 1), that of each pixel; for a multilabel task uint8 (n, labels) of 0 and
        1. None where the test labels are not known (mri).
    validation: Split, or None.
    classes: the names of the classes or labels.
    task: "multiclass", "multilabel" or "segmentation".
    card: what is known of the dataset (addresses, licence, citation).
    origin: "real" (its hashes are the official ones; for glas and mri, which have none, see `kit.datasets.glas.read`
        and `kit.datasets.mri.read`), "real, unverified", "own" (from_arrays, from_folder) or "synthetic", which is no
        evidence. Every result says it, and whatever a method makes of a Dataset keeps it.
    extra: what else the set brings to evaluate on, {name: Split}; of glas "test_b", of most sets nothing.
    """

    train: Split
    validation: Split | None
    test: Split
    classes: tuple[str, ...]
    task: str
    card: Card
    origin: str
    extra: Mapping[str, Split] = field(default_factory=dict)

    def __repr__(self):
        splits = ", ".join(f"{name} {split.x.shape} {split.x.dtype}" for name, split in self._splits().items())
        return f"Dataset {self.card.name} ({self.origin}), {self.task}, {len(self.classes)} classes: {splits}"

    def _splits(self):
        splits = {"train": self.train, "validation": self.validation, "test": self.test, **self.extra}
        return {name: split for name, split in splits.items() if split is not None}

    def hold_out(self, fraction, seed, stratify=True):
        """Move a random part of the training images into a validation split.

        fraction: of the training images, between 0 and 1; the number moved is rounded to a whole one.
        seed: a whole number; the same one moves the same images.
        stratify: keep the proportion of the classes (of the combinations of labels, for a multilabel task).
        Raises ValueError where there is a validation split already, or a part too small for its classes.
        """
        from sklearn.model_selection import train_test_split

        if self.validation is not None:
            raise ValueError(f"{self.card.name} has a validation split of {len(self.validation.x)} images already")
        count = len(self.train.x)
        if not isinstance(fraction, Real) or not 0 < fraction < 1 or not 0 < round(fraction * count) < count:
            raise ValueError(f"fraction is {fraction!r}; it should be between 0 and 1 and leave images on both sides")
        if stratify and self.task == "segmentation":
            raise ValueError("masks have no classes to stratify by: pass stratify=False")
        seed = whole("seed", seed, 0, 2**32 - 1)
        try:
            kept, held = train_test_split(
                np.arange(count),
                test_size=round(fraction * count),
                random_state=seed,
                stratify=self.train.y if stratify else None,
            )
        except ValueError as error:
            raise ValueError(f"cannot hold out {fraction!r} of {count} images by class: {error}") from None
        return replace(self, train=self.train.at(kept), validation=self.train.at(held))

    def take(self, n, seed):
        """Keep n of the training images, drawn at random without replacement by `seed`; the other splits stay whole.

        Raises ValueError unless n is from 1 to the number of training images.
        """
        count = len(self.train.x)
        n, seed = whole("n", n, 1, count), whole("seed", seed, 0, 2**32 - 1)
        chosen = np.random.default_rng(seed).choice(count, n, replace=False)
        return replace(self, train=self.train.at(chosen))

    def scaled(self):
        """Pixels as float32 in [0, 1]: the uint8 ones divided by 255."""
        if self.train.x.dtype != np.uint8:
            raise ValueError(f"pixels are {self.train.x.dtype}; scaled() takes them as loaded, uint8 from 0 to 255")
        return self.map(lambda x: np.divide(x, 255, dtype=np.float32))

    def standardized(self):
        """Pixels as float32, less the mean of the training pixels and divided by their standard deviation.

        Each channel (of flat x each feature) by its own two figures, which come from the training split alone and serve
        for all splits. Takes pixels as loaded or scaled; the outcome is the same. A channel of one value becomes 0.
        """
        axes = tuple(range(self.train.x.ndim - 1))
        mean = self.train.x.mean(axis=axes, dtype=np.float64)
        centred = np.subtract(self.train.x, mean, dtype=np.float32)
        sd = np.sqrt(np.square(centred, out=centred).mean(axis=axes, dtype=np.float64))
        if not np.any(sd > 0):
            raise ValueError("the training images are all of one brightness; they cannot be standardized")
        sd[sd == 0] = 1
        mean, sd = mean.astype(np.float32), sd.astype(np.float32)
        return self.map(lambda x: np.subtract(x, mean, dtype=np.float32) / sd)

    def map(self, function):
        """Put `function(x)` in place of the images `x` (n, ...) of every split; labels and origin stay as they are.

        function: gives a NumPy array of as many images, (n, ...), and leaves `x` itself as it is. It is called with the
            images of one split at a time, so what it learns of them (a mean) is not the same for all.
        Raises ValueError where it gives anything else.
        """
        changed = {name: split._replace(x=function(split.x)) for name, split in self._splits().items()}
        for name, (x, _) in changed.items():
            count = len(self._splits()[name].x)
            if not isinstance(x, np.ndarray) or x.shape[:1] != (count,):
                found = f"an array of {x.shape}" if isinstance(x, np.ndarray) else type(x).__name__
                raise ValueError(
                    f"function gives {found} for the {name} images; it must be a NumPy array of ({count}, ...)"
                )
        return replace(self, extra={name: changed.pop(name) for name in self.extra}, **changed)
