"""What a search is given: the settings that all libraries share, and the checks before anything is trained."""

import contextlib
import dataclasses
import importlib
import inspect
import warnings
from collections.abc import Callable
from pathlib import Path

import keras

from ..checks import whole
from ..studies.nets import quiet_retracing


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a search; `kit.search.talos`, `keras_tuner` and `optuna` take each by its name.

    A trial stops early by its val_loss, and its score is the objective in the epoch with the lowest val_loss, or in the
    last one without early stopping: never the peak of the objective, which would be a lucky epoch.

    objective: the metric of the validation images to search for: "val_accuracy", "val_loss", ...; the less the better
        where the name ends in "loss" or "error", else the more; or a pair that says so, ("val_micro_f1", "max").
    trials: at most so many; None is as many as the space has combinations. The quick profile runs two.
    optimizer: called for each trial with the learning rate, or with nothing where the space has none.
    loss: of a net that `build` does not compile: a name, a function or a `keras.losses.Loss`.
    metrics: of such a net: names, functions, or classes and partials that are called for each trial.
    batch_size: where the space has none.
    epochs: at most; the quick profile cuts them.
    patience: epochs without a lower val_loss before a trial stops; None runs all epochs. Where the space has none.
    validation_split: share in (0, 1) of the training images, the last ones, to judge by where the data has no
        validation split.
    seed: of the drawn combinations, and of the weights and batches of every trial.
    precision: Keras' dtype policy while a net is built.
    folder: for the records and the library's own files; None is `search` in $KIT_RUNS, else in `runs`.

    Raises ValueError, in one line, for a setting that cannot be.
    """

    objective: str | tuple[str, str] = "val_accuracy"  # kept as a pair
    trials: int | None = None
    optimizer: Callable = keras.optimizers.Adam
    loss: str | Callable = "sparse_categorical_crossentropy"
    metrics: tuple[str | Callable, ...] = ("accuracy",)
    batch_size: int = 32
    epochs: int = 100
    patience: int | None = 10
    validation_split: float = 0.1
    seed: int = 0
    precision: str = "float32"
    folder: str | Path | None = None

    def __post_init__(self):
        pair = self.objective
        if isinstance(pair, str):
            pair = pair, "min" if pair.endswith(("loss", "error")) else "max"
        if not (
            isinstance(pair, tuple) and len(pair) == 2 and str(pair[0]).startswith("val_") and pair[1] in ("min", "max")
        ):
            raise ValueError(
                f'objective={self.objective!r}; it must be a metric of the validation images, such as "val_accuracy", '
                'or a pair such as ("val_micro_f1", "max")'
            )
        object.__setattr__(self, "objective", pair)
        for name in ("trials", "batch_size", "epochs", "patience", "seed"):  # Keras Tuner and JSON want Python's own
            least, optional = int(name != "seed"), name in ("trials", "patience")
            object.__setattr__(self, name, whole(name, getattr(self, name), least, or_none=optional))
        if not callable(self.optimizer):
            raise ValueError(f"optimizer={self.optimizer!r}; it must be a class or a function, called for each trial")
        if isinstance(self.metrics, str) or any(isinstance(metric, keras.metrics.Metric) for metric in self.metrics):
            raise ValueError(f"metrics={self.metrics!r}; they must be names, functions or classes, called for each net")
        if not 0 < self.validation_split < 1:
            raise ValueError(f"validation_split={self.validation_split!r}; it must be a share in (0, 1)")
        keras.dtype_policies.get(self.precision)  # says what is right


def with_settings(search):
    """A search's function, its `**settings` spelt out in the signature, where `help` and editors look for them."""
    shown = inspect.signature(search)
    fields = [p.replace(annotation=p.empty) for p in inspect.signature(Settings).parameters.values()]
    search.__signature__ = shown.replace(parameters=[*shown.parameters.values()][:-1] + fields)
    return search


def taken(build, parameters):
    """(what `build` takes, what the optimizer is called with) of a trial's parameters."""
    rate = "learning_rate" in parameters and "learning_rate" not in inspect.signature(build).parameters
    handled = {"batch_size", "patience", *(["learning_rate"] if rate else [])}
    own = {name: value for name, value in parameters.items() if name not in handled}
    return own, [parameters["learning_rate"]] if rate else []


def check(build, space):
    """Raises a one-line ValueError for what cannot be searched."""
    if not isinstance(space, dict) or not space:
        raise ValueError(f'space={space!r}; it must be a dict of lists, such as {{"units": [64, 128]}}')
    for name, values in space.items():
        if not isinstance(values, list) or not values:
            raise ValueError(f"the space has {name!r}: {values!r}; it must be a list of at least one value")
    try:
        inspect.signature(build).bind("input_shape", "classes", **taken(build, space)[0])
    except TypeError as fault:
        raise ValueError(f"the space has {', '.join(space)}; build{inspect.signature(build)}: {fault}") from None


def load(library):
    """The imported search library, or a one-line ImportError that says how to install it."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "IProgress not found")  # of Optuna's progress bars, which are not shown
            return importlib.import_module(library)
    except ImportError as error:
        raise ImportError(
            f'kit.search.{library} needs {error.name or library}; install it with: pip install "course-kit[search]"'
        ) from None


@contextlib.contextmanager
def quiet(modules):
    """Without the warnings of `modules` (a pattern), and without TensorFlow's that each trial has a net of its own."""
    with quiet_retracing(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=modules)
        yield
