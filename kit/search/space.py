"""What can be searched, and with what: the checks before anything is trained."""

import contextlib
import importlib
import inspect
import warnings
from numbers import Integral

from ..studies.nets import quiet_retracing


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


def check(build, data, space, *, trials, batch_size, epochs, patience, validation_split, seed):
    """The whole numbers by name, NumPy's made Python's own, which Keras Tuner and JSON want; None stays.

    Raises a one-line ValueError for what cannot be searched, before anything is trained.
    """
    if not isinstance(space, dict) or not space:
        raise ValueError(f'space={space!r}; it must be a dict of lists, such as {{"units": [64, 128]}}')
    for name, values in space.items():
        if not isinstance(values, list) or not values:
            raise ValueError(f"the space has {name!r}: {values!r}; it must be a list of at least one value")
    taken = list(inspect.signature(build).parameters.values())[2:]  # after input_shape and classes
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken):
        known = {parameter.name for parameter in taken} | {"batch_size", "learning_rate", "patience"}
        unknown = [name for name in space if name not in known]
        if unknown:
            raise ValueError(f"build takes no {', '.join(unknown)}; the space can have: {', '.join(sorted(known))}")
    whole = {"trials": trials, "batch_size": batch_size, "epochs": epochs, "patience": patience, "seed": seed}
    for name, value in whole.items():
        least = 0 if name == "seed" else 1
        optional = name in ("trials", "patience") and value is None
        if not optional and (isinstance(value, bool) or not isinstance(value, Integral) or value < least):
            raise ValueError(f"{name}={value!r}; it must be a whole number of at least {least}")
    if data.validation is None and not 0 < validation_split < 1:
        raise ValueError(
            f"validation_split={validation_split!r}; {data.card.title} has no validation split, so it must be a share "
            "in (0, 1)"
        )
    return {name: value if value is None else int(value) for name, value in whole.items()}


def names(build, parameter):
    """Whether `build` has a parameter of that name, `**options` aside."""
    return parameter in inspect.signature(build).parameters


@contextlib.contextmanager
def quiet(modules):
    """Without the warnings of `modules` (a pattern), and without TensorFlow's that each trial has a net of its own."""
    with quiet_retracing(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=modules)
        yield
