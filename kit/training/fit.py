"""`fit`: what `model.fit` does, an epoch at a time in one compiled program."""

import math
from numbers import Integral

import keras
import numpy as np
from sklearn.utils import check_random_state

from .. import progress
from ..checks import whole
from . import compiled, hooks
from .arrays import LeftToKeras, prepared
from .programs import program_for

BATCH_HOOKS = [
    f"on_{phase}batch_{moment}" for phase in ("", "train_", "test_") for moment in ("begin", "end")
]  # fmt: skip
SEVERAL, STRATEGY = "several inputs or outputs", "a distribution strategy"


def fit(
    model, x=None, y=None, batch_size=None, epochs=1, verbose="auto", callbacks=None, validation_split=0.0,
    validation_data=None, shuffle=True, class_weight=None, sample_weight=None, initial_epoch=0, steps_per_epoch=None,
    validation_steps=None, validation_batch_size=None, validation_freq=1, *, seed=None,
):  # fmt: skip
    """Train a compiled Keras model as `model.fit` does, several times faster for small nets.

    All arguments of `keras.Model.fit`, with their defaults and their meaning, and a `seed`. Arrays for a model with one
    input and one output are trained on in a compiled epoch; all else falls through to `model.fit`: tf.data sets,
    generators, several inputs or outputs, numbers of steps, callbacks that act at batches, the torch back end.

    Args:
        model: compiled `keras.Model`.
        x: images or features, (n, ...) of the model's input shape; integers are left to the model to convert.
        y: targets, (n,) or (n, ...).
        validation_split: share in [0, 1), taken from the end of the data before shuffling.
        callbacks: all that acts at epochs works, TerminateOnNaN too (it looks after each epoch).
        seed: of the shuffling; None draws from NumPy's global state, which `keras.utils.set_random_seed` sets. Initial
            weights and dropout masks are drawn from the seeds of the model's own layers. For a fit that falls through,
            the global state is set by the seed and put back afterwards, for want of a finer way.
        verbose: 0 is quiet, 1 shows one progress bar for the fit, 2 prints a line an epoch, "auto" shows the bar in a
            terminal or a notebook.

    Returns:
        `keras.callbacks.History` with the keys of `model.fit`; its `engine` says how the epochs were run, and why.

    Raises:
        ValueError: arrays, labels or settings that do not fit together, in one line. What Keras on TensorFlow on a CPU
            refuses of labels is refused on every back end and device. NaN or infinity in x is a warning.
    """
    if not getattr(model, "compiled", False):
        raise ValueError("the model is not compiled; call model.compile(optimizer, loss, metrics=[...]) first")
    epochs, initial_epoch = whole("epochs", epochs, 0), whole("initial_epoch", initial_epoch, 0)
    batch_size = whole("batch_size", batch_size, 1, or_none=True)
    validation_batch_size = whole("validation_batch_size", validation_batch_size, 1, or_none=True)
    seed = whole("seed", seed, 0, or_none=True)
    if not isinstance(validation_freq, (Integral, list, tuple, set)) or validation_freq == 0:
        raise ValueError(f"validation_freq={validation_freq!r}; it must be a whole number or a list of epochs")
    validation_freq = int(validation_freq) if isinstance(validation_freq, Integral) else list(validation_freq)
    given = [] if callbacks is None else keras.tree.flatten(callbacks)
    shown = [_Bar()] if verbose == 1 or (verbose == "auto" and progress.watched()) else []
    reason = _why_not_compiled(model, given, steps_per_epoch, validation_steps, shuffle)
    try:
        data, validation = prepared(model, x, y, sample_weight, validation_data, validation_split, class_weight)
        if reason not in (SEVERAL, STRATEGY):
            compiled.build(model, [array[: batch_size or 32] for array in data])
    except LeftToKeras as left:
        reason = reason or left
    if not hasattr(compiled, keras.backend.backend()):
        reason = reason or f"the {keras.backend.backend()} back end"
    if reason:
        with hooks.globally(seed):
            history = model.fit(
                x, y, batch_size, epochs, 2 if verbose == 2 else 0,
                callbacks if isinstance(callbacks, keras.callbacks.CallbackList) else [*given, *shown],
                validation_split, validation_data, shuffle, class_weight, sample_weight, initial_epoch,
                steps_per_epoch, validation_steps, validation_batch_size, validation_freq,
            )  # fmt: skip
        history.engine = f"model.fit ({reason})"
        return history

    batch_size, count = batch_size or 32, len(data[0])
    data, validation = _on_device(data), validation and _on_device(validation)
    random, order = check_random_state(seed), np.arange(count, dtype="int32")
    shown += [keras.callbacks.ProgbarLogger()] if verbose == 2 else []
    watching = keras.callbacks.CallbackList(
        [*given, *shown], add_history=True, model=model, epochs=epochs, steps=math.ceil(count / batch_size),
        verbose=verbose,
    )  # fmt: skip
    model.stop_training = False
    logs = None
    watching.on_train_begin()
    with program_for(model, data, batch_size, max(epochs - initial_epoch, 0)) as (train, test, engine):
        # BackupAndRestore sets the model's own, where it found that an earlier run stopped.
        for epoch in range(getattr(model, "_initial_epoch", None) or initial_epoch, epochs):
            model.reset_metrics()
            watching.on_epoch_begin(epoch)
            logs = _results(model, train(model, data, random.permutation(order) if shuffle else order))
            for callback in given:
                if isinstance(callback, keras.callbacks.TerminateOnNaN):
                    callback.on_batch_end(watching.params["steps"] - 1, logs)
            if validation and _evaluates(epoch + 1, validation_freq):
                watching.on_test_begin()
                model.reset_metrics()
                found = _flat(_results(model, test(model, validation, validation_batch_size or batch_size)))
                watching.on_test_end(found)
                logs |= {f"val_{name}": value for name, value in found.items()}
            watching.on_epoch_end(epoch, logs)
            if model.stop_training:
                break
    if epochs > 0 and model.optimizer is not None:
        model.optimizer.finalize_variable_values(model.trainable_variables)
    watching.on_train_end(logs)
    model.history.engine = engine()
    return model.history


class _Bar(keras.callbacks.Callback):
    """One progress bar for a whole fit."""

    def on_train_begin(self, logs=None):
        self.bar = progress.bar(show=True, total=self.params["epochs"], unit="epoch")

    def on_epoch_end(self, epoch, logs=None):
        self.bar.set_postfix({name: f"{logs[name]:.4f}" for name in ("loss", "val_accuracy") if name in logs})
        self.bar.update(epoch + 1 - self.bar.n)

    def on_train_end(self, logs=None):
        self.bar.close()


def _why_not_compiled(model, callbacks, steps_per_epoch, validation_steps, shuffle):
    """What keeps this fit from the compiled epoch, whatever its data; or None."""
    limits = [getattr(keras.config, name, lambda: None)() for name in ("max_epochs", "max_steps_per_epoch")]
    takes = getattr(model, "input_shape", None)  # None where the model does not say
    ends = [getattr(model, name, None) for name in ("inputs", "outputs")]
    several = any(end and len(end) > 1 for end in ends) or isinstance(getattr(model, "output", None), dict)
    acting = [type(callback).__name__ for callback in callbacks if _acts_at_batches(callback)]
    reasons = {
        "run_eagerly": model.run_eagerly,
        "jit_compile=False": keras.backend.backend() == "jax" and not model.jit_compile,
        STRATEGY: keras.distribution.distribution() or getattr(model, "_distribute_strategy", None),
        "steps_per_epoch": steps_per_epoch is not None,
        "validation_steps": validation_steps is not None,
        "shuffle by batches": shuffle == "batch",
        "a limit of keras.config": any(limits),
        "a CallbackList": any(isinstance(callback, keras.callbacks.CallbackList) for callback in callbacks),
        SEVERAL: several,
        "a fixed batch size": type(takes) is tuple and takes and takes[0] is not None,
        f"{', '.join(acting)} at batches": acting,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _acts_at_batches(callback):
    if type(callback) is keras.callbacks.TerminateOnNaN:
        return False
    if type(callback) in (keras.callbacks.ModelCheckpoint, keras.callbacks.BackupAndRestore):
        return callback.save_freq != "epoch"
    return any(
        hook in vars(callback) or getattr(type(callback), hook) is not getattr(keras.callbacks.Callback, hook)
        for hook in BATCH_HOOKS
    )


def _evaluates(epoch, frequency):
    return epoch % frequency == 0 if isinstance(frequency, Integral) else epoch in frequency


def _on_device(data):
    return tuple(map(keras.ops.convert_to_tensor, data))


def _results(model, logs):
    """The metrics of an epoch; what the last step gave, where that is something else."""
    metrics = model.get_metrics_result()
    return dict(metrics if not logs or set(logs) == set(metrics) else logs)


def _flat(logs):
    """Results without the levels of metrics that give several in a dict, as `evaluate` returns them."""
    flat = {}
    for name, value in logs.items():
        flat |= _flat(value) if isinstance(value, dict) else {name: value}
    return flat
