"""`fit`: what `model.fit` does, an epoch at a time in one compiled program."""

import math

import keras
import numpy as np
from sklearn.utils import check_random_state

from .. import progress
from . import compiled

BATCH_HOOKS = [
    f"on_{phase}batch_{moment}" for phase in ("", "train_", "test_") for moment in ("begin", "end")
]  # fmt: skip


def fit(
    model,
    x,
    y,
    *,
    batch_size=32,
    epochs=1,
    validation_data=None,
    validation_split=0.0,
    callbacks=(),
    shuffle=True,
    seed=None,
    verbose="auto",
):
    """Train a compiled Keras model as `model.fit` does, several times faster for small nets.

    Args:
        model: compiled `keras.Model` with one input and one output.
        x: images or features, (n, ...) of the model's input shape; integers are left to the model to convert.
        y: targets, (n,) or (n, ...).
        batch_size: examples a step; the last batch of an epoch takes what is left.
        epochs: passes over the data.
        validation_data: `(x, y)`, evaluated after each epoch; it overrides `validation_split`.
        validation_split: share in [0, 1), taken from the end of the data before shuffling.
        callbacks: Keras callbacks. All that acts at epochs works, TerminateOnNaN too (it looks after each epoch). A
            callback that acts at batches makes the whole call fall through to `model.fit`.
        shuffle: draw a new order each epoch.
        seed: of the shuffling; None draws from NumPy's global state, which `keras.utils.set_random_seed` sets. Initial
            weights and dropout masks are drawn from the seeds of the model's own layers. A fit that falls through to
            `model.fit` hands the seed to `keras.utils.set_random_seed`, for want of a finer way.
        verbose: 0 is quiet, 1 shows one progress bar for the fit, "auto" shows it in a terminal or a notebook.

    Returns:
        `keras.callbacks.History` with the keys of `model.fit`; its `engine` says how the epochs were run.

    Raises:
        ValueError: arrays, labels or settings that do not fit together, in one line.
    """
    x, y, validation_data = _checked(model, x, y, batch_size, epochs, validation_data, validation_split)
    callbacks = keras.tree.flatten(callbacks)
    reason = _why_not_compiled(model, callbacks)
    if reason:
        if seed is not None:
            keras.utils.set_random_seed(seed)
        history = model.fit(
            x, y, batch_size=batch_size, epochs=epochs, validation_data=validation_data, callbacks=callbacks,
            shuffle=shuffle, verbose=verbose,
        )  # fmt: skip
        history.engine = f"model.fit ({reason})"
        return history

    model._symbolic_build(
        data_batch=(x[:1], y[:1], None)
    )  # as train_on_batch does: metrics and optimizer get variables
    train, test, engine = getattr(compiled, keras.backend.backend())(model, batch_size)
    data = _on_device(x, y)
    validation_data = validation_data and _on_device(*validation_data)
    random = check_random_state(seed)
    order = np.arange(len(x), dtype="int32")

    callback_list = keras.callbacks.CallbackList(
        callbacks, add_history=True, model=model, epochs=epochs, steps=math.ceil(len(x) / batch_size), verbose=verbose
    )
    model.stop_training = False
    logs = None
    callback_list.on_train_begin()
    first_epoch = model._initial_epoch or 0  # where BackupAndRestore found that an earlier run stopped
    with progress.bar(show=_shows(verbose), total=epochs, initial=first_epoch, unit="epoch") as bar:
        for epoch in range(first_epoch, epochs):
            callback_list.on_epoch_begin(epoch)
            model.reset_metrics()
            train(data, random.permutation(order) if shuffle else order)
            logs = _results(model)
            for callback in callbacks:
                if isinstance(callback, keras.callbacks.TerminateOnNaN):
                    callback.on_batch_end(callback_list.params["steps"] - 1, logs)
            if validation_data:
                callback_list.on_test_begin()
                model.reset_metrics()
                test(validation_data)
                validation_logs = _results(model)
                callback_list.on_test_end(validation_logs)
                logs |= {f"val_{name}": value for name, value in validation_logs.items()}
            callback_list.on_epoch_end(epoch, logs)
            bar.set_postfix({name: f"{logs[name]:.4f}" for name in ("loss", "val_accuracy") if name in logs})
            bar.update()
            if model.stop_training:
                break
    if epochs > 0:
        model.optimizer.finalize_variable_values(model.trainable_variables)
    callback_list.on_train_end(logs)
    model.history.engine = engine
    return model.history


def _checked(model, x, y, batch_size, epochs, validation_data, validation_split):
    """The arrays as Keras would take them and the validation pair (or None), or a one-line ValueError."""
    if not getattr(model, "compiled", False):
        raise ValueError("the model is not compiled; call model.compile(optimizer, loss, metrics=[...]) first")
    for name, value, least in (("batch_size", batch_size, 1), ("epochs", epochs, 0)):
        if not isinstance(value, (int, np.integer)) or value < least:
            raise ValueError(f"{name}={value!r}; it must be a whole number of at least {least}")
    if not 0 <= validation_split < 1:
        raise ValueError(f"validation_split={validation_split!r}; it must be a share in [0, 1)")
    x, y = _checked_pair(model, x, y, "x and y")
    if validation_data is not None:
        if len(validation_data) != 2:
            raise ValueError(f"validation_data has {len(validation_data)} parts; it must be a pair (x, y)")
        return x, y, _checked_pair(model, *validation_data, "validation x and y")
    if validation_split:
        split_at = math.floor(len(x) * (1 - validation_split))
        if split_at in (0, len(x)):
            raise ValueError(f"validation_split={validation_split} leaves no images on one side of {len(x)}")
        return x[:split_at], y[:split_at], (x[split_at:], y[split_at:])
    return x, y, None


def _checked_pair(model, x, y, name):
    x, y = (
        array.astype(keras.config.floatx()) if array.dtype.kind == "f" else array for array in map(np.asarray, (x, y))
    )
    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y) or len(x) == 0:
        raise ValueError(
            f"{name} have the shapes {x.shape} and {y.shape}; they need the same number of examples, not 0"
        )
    expected = getattr(model, "input_shape", None)
    if expected and (len(expected) != x.ndim or any(e not in (None, s) for e, s in zip(expected[1:], x.shape[1:]))):
        raise ValueError(f"{name}: examples have the shape {x.shape[1:]}; the model takes {expected[1:]}")
    outputs = getattr(model, "output_shape", None)
    if outputs and model.loss == "sparse_categorical_crossentropy" and not (0 <= y.min() and y.max() < outputs[-1]):
        raise ValueError(f"{name}: labels run from {y.min()} to {y.max()}; the model has {outputs[-1]} outputs")
    return x, y


def _why_not_compiled(model, callbacks):
    """What keeps this fit from the compiled epoch, or None."""
    if not hasattr(compiled, keras.backend.backend()):
        return f"the {keras.backend.backend()} back end"
    if model.run_eagerly:
        return "run_eagerly"
    if keras.distribution.distribution() or getattr(model, "_distribute_strategy", None):
        return "a distribution strategy"
    acting = [type(callback).__name__ for callback in callbacks if _acts_at_batches(callback)]
    return f"{', '.join(acting)} at batches" if acting else None


def _acts_at_batches(callback):
    if type(callback) is keras.callbacks.TerminateOnNaN:
        return False
    if type(callback) in (keras.callbacks.ModelCheckpoint, keras.callbacks.BackupAndRestore):
        return callback.save_freq != "epoch"
    return any(
        hook in vars(callback) or getattr(type(callback), hook) is not getattr(keras.callbacks.Callback, hook)
        for hook in BATCH_HOOKS
    )


def _on_device(x, y):
    return keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(y)


def _results(model):
    return {name: float(value) for name, value in model.get_metrics_result().items()}


def _shows(verbose):
    return progress.watched() if verbose == "auto" else verbose != 0
