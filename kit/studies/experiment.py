"""What a study is made of: a report's table as data, each row an Experiment."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase

TOLERANCE = 0.01  # of a figure in [0, 1], where a study says nothing else
LOSS_TOLERANCE = 0.1  # of a loss, as a share of the reported one


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """One row of a report: how to build, compile and fit a net, and what the report gives for it.

    `build` gives an uncompiled `keras.Model` or any scikit-learn classifier, which gets the images flattened. Of the
    row's settings a classifier takes those that are parameters of its own (`epochs`, `batch_size`), and its
    `random_state` is the seed; it needs no optimizer. The row's loss and metrics judge it like a net.

    Everything that makes something is a function to be called for each fit: a `functools.partial` of a builder, of an
    optimizer class, of a callback class. So rows share nothing, and can be sent to another process.
    """

    name: str
    build: Callable  # (input_shape, classes[, origin]) -> uncompiled keras.Model, or scikit-learn classifier
    epochs: int = 1
    optimizer: Callable | None = None  # () -> keras.optimizers.Optimizer
    batch_size: int = 32
    validation_split: float = 0.0  # of the training images; with 0, the data's own validation split is used, if any
    callbacks: tuple[Callable, ...] = ()  # () -> keras.callbacks.Callback
    loss: object = "sparse_categorical_crossentropy"  # a name, a function or a keras.losses.Loss
    metrics: tuple[str | Callable, ...] = ("accuracy",)  # names, functions, or () -> keras.metrics.Metric
    precision: str = "float32"  # Keras' dtype policy while the model is built
    data: Callable | None = None  # (source) or (source, seed) -> kit.datasets.Dataset, where it is not the study's
    watch: str | None = None  # a split, such as "test", whose curves are drawn too; for rows that validate on nothing
    metric: str | None = None  # what the verdict is about, where it is not the study's
    reported: Mapping = dataclasses.field(default_factory=dict)  # accuracy (test), val_accuracy, parameters, ...
    seeds: tuple[int, ...] = ()  # fitted too whenever a run has several seeds: where a row needs more than others
    of: str | None = None  # the row whose reported figure this row reads otherwise


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """A report's table: `data(source)` gives the Dataset, and each experiment is one row.

    A row without `of` follows what the report prints, and has the verdict; it is fixed before anything is fitted. A
    row with `of` is another reading of that row. Raises ValueError for two rows of one name and for an unknown `of`.
    """

    name: str
    title: str
    data: Callable  # (source) or (source, seed) -> kit.datasets.Dataset
    experiments: tuple[Experiment, ...]
    metric: str = "accuracy"  # what the verdict is about; "val_accuracy" is that of the validation split
    tolerance: float | Mapping[str, float] = TOLERANCE  # how far from the report is the same, or that by metric

    def __post_init__(self):
        count = Counter(experiment.name for experiment in self.experiments)
        twice = [name for name, times in count.items() if times > 1]
        if twice:
            raise ValueError(f"{self.name}: more than one row is called {'; '.join(twice)}; names must differ")
        printed = {experiment.name for experiment in self.experiments if experiment.of is None}
        for experiment in self.experiments:
            if experiment.of is not None and experiment.of not in printed:
                raise ValueError(f"{self.name}: {experiment.name!r} reads {experiment.of!r}, which is no printed row")

    def select(self, only=None):
        """The experiments whose names match `only`: a name or pattern ("small 64*"), several of them, or None for all.

        Raises ValueError for a pattern that matches none.
        """
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

    def judged(self, experiment):
        """The name of the metric that a row's verdict is about."""
        return experiment.metric or self.metric

    def tolerated(self, metric, reported):
        """How far from the reported figure is the same: as the study says, else a tenth of a loss, else 0.01."""
        said = self.tolerance.get(metric) if isinstance(self.tolerance, Mapping) else self.tolerance
        if metric.endswith("loss") and not (isinstance(self.tolerance, Mapping) and said is not None):
            return LOSS_TOLERANCE * abs(reported)
        return TOLERANCE if said is None else said
