"""What a study is made of: a report's table as data, each row an Experiment."""

import dataclasses
from collections.abc import Callable, Mapping


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """One row of a report: how to build, compile and fit a net, and what the report gives for it.

    A net that `build` gives as a `kit.models.numpy_mlp.NumpyMLP` trains itself, with the epochs, the batch size and the
    validation images of the row; its learning rate and its patience are its own.

    Everything that makes something is a function to be called for each fit: a `functools.partial` of a builder, of an
    optimizer class, of a callback class. So rows share nothing, and can be sent to another process.
    """

    name: str
    build: Callable  # (input_shape, classes) -> uncompiled keras.Model, or NumpyMLP
    epochs: int
    optimizer: Callable | None = None  # () -> keras.optimizers.Optimizer; a NumpyMLP needs none
    batch_size: int = 32
    validation_split: float = 0.0  # of the training images; with 0, the data's own validation split is used, if any
    callbacks: tuple[Callable, ...] = ()  # () -> keras.callbacks.Callback
    loss: str | Callable = "sparse_categorical_crossentropy"
    metrics: tuple[str | Callable, ...] = ("accuracy",)  # names, functions, or () -> keras.metrics.Metric
    precision: str = "float32"  # Keras' dtype policy while the model is built
    data: Callable | None = None  # (source) -> kit.datasets.Dataset, where it is not the study's
    metric: str | None = None  # what the verdict is about, where it is not the study's
    reported: Mapping = dataclasses.field(default_factory=dict)  # accuracy (test), val_accuracy, parameters, ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """A report's table: `data(source)` gives the Dataset, and each experiment is one row."""

    name: str
    title: str
    data: Callable  # (source) -> kit.datasets.Dataset
    experiments: tuple[Experiment, ...]
    metric: str = "accuracy"  # what the verdict is about; "val_accuracy" is that of the validation split

    def select(self, only=None):
        """The experiments whose names match `only`: a name or pattern ("small 64*"), several of them, or None for all.

        Raises ValueError for a pattern that matches none.
        """
        from fnmatch import fnmatchcase

        if only is None:
            return self.experiments
        patterns = [only] if isinstance(only, str) else list(only)
        for pattern in patterns:
            if not any(fnmatchcase(experiment.name, pattern) for experiment in self.experiments):
                raise ValueError(
                    f"no experiment of {self.name!r} is called {pattern!r}; "
                    f"it has: {'; '.join(experiment.name for experiment in self.experiments)}"
                )
        return tuple(e for e in self.experiments if any(fnmatchcase(e.name, pattern) for pattern in patterns))
