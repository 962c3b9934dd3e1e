"""How a row becomes a net: built, compiled, fitted and evaluated, into a record."""

import contextlib
import functools
import inspect
import json
import logging
import math
import time

import keras
import numpy as np
import sklearn.metrics

from .. import machine, profile, training
from ..models import numpy_mlp


@contextlib.contextmanager
def quiet_retracing():
    """Without TensorFlow's warning that each net is compiled anew."""
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def by_hand(model):
    return isinstance(model, numpy_mlp.NumpyMLP)


def usable(data):
    """The data in this profile; ValueError where pixels are NaN or infinite, with which no net can be judged."""
    data = profile.images(data)
    for name, split in {"training": data.train, "validation": data.validation, "test": data.test, **data.extra}.items():
        if split is not None and split.x.dtype.kind == "f" and not np.isfinite(split.x.sum(dtype="float64")):
            wrong = split.x.size - int(np.isfinite(split.x).sum())
            if wrong:
                raise ValueError(f"{data.card.title}: {wrong:,} values of the {name} images are NaN or infinite")
    return data


def build(experiment, data):
    """The compiled model (or the NumpyMLP); its seeds come from the `stream` that this is called within."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(experiment.precision)
    try:
        model = experiment.build(data.train.x.shape[1:], len(data.classes))
    finally:
        keras.config.set_dtype_policy(policy)
    if not by_hand(model):
        made = [m() if isinstance(m, (type, functools.partial)) else m for m in experiment.metrics]
        model.compile(experiment.optimizer(), experiment.loss, metrics=made)
    return model


def train(model, experiment, data, seed, epochs):
    """The record of a Keras model, fitted and evaluated: "accuracy" on the test split, "val_accuracy", and so on."""
    moments = []
    watch = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: moments.append(time.perf_counter()),
        on_epoch_end=lambda epoch, logs: moments.append(time.perf_counter()),
    )
    history = training.fit(
        model,
        *data.train,
        batch_size=experiment.batch_size,
        epochs=epochs,
        validation_split=experiment.validation_split,
        validation_data=None if experiment.validation_split else data.validation,
        callbacks=[*(make() for make in experiment.callbacks), keras.callbacks.TerminateOnNaN(), watch],
        seed=seed,
        verbose=0,
    )
    record = _record(history.history, model.count_params(), np.diff(moments), history.engine)
    if record["status"] == "finished":
        extra = {f"{name}_": split for name, split in data.extra.items()}
        splits = {"": data.test, "val_": data.validation, **extra}
        labelled = {prefix: split for prefix, split in splits.items() if split is not None and split.y is not None}
        for prefix, split in labelled.items():
            metrics = model.evaluate(*split, batch_size=experiment.batch_size, return_dict=True, verbose=0)
            record["metrics"] |= {prefix + name: float(value) for name, value in metrics.items()}
        judged = next(iter(labelled.values()))  # the test split, or validation where the test labels are not public
        predicted = model.predict(judged.x, batch_size=experiment.batch_size, verbose=0)
        record |= _errors(data, judged.y, predicted)
    return json.loads(json.dumps(record))  # what a resumed run would read


def train_by_hand(net, experiment, data, seed, epochs):
    """The record of a NumpyMLP, fitted and evaluated on the test split."""
    (x, y), validation = data.train, data.validation
    if experiment.validation_split:  # the last images, as Keras has it
        kept = math.floor(len(x) * (1 - experiment.validation_split))
        x, y, validation = x[:kept], y[:kept], (x[kept:], y[kept:])
    net.set_params(epochs=epochs, batch_size=experiment.batch_size, random_state=seed)
    start = time.perf_counter()
    try:
        net.fit(x, y, validation)
    except ValueError:
        if not getattr(net, "history_", None) or np.isfinite(net.history_["loss"][-1]):
            raise  # anything but a loss that went to NaN
    seconds = time.perf_counter() - start
    run = len(net.history_["loss"])
    parameters = sum(weights.size for weights in net.coefs_ + net.intercepts_)
    record = _record(net.history_, parameters, np.full(run, seconds / run), "NumPy")
    if record["status"] == "finished":
        probabilities = net.predict_proba(data.test.x)
        loss = sklearn.metrics.log_loss(data.test.y, probabilities, labels=net.classes_)
        accuracy = np.mean(net.classes_[probabilities.argmax(-1)] == data.test.y)
        record["metrics"] = {"loss": float(loss), "accuracy": float(accuracy)}
        functions = [metric for metric in experiment.metrics if inspect.isfunction(metric)]
        record["metrics"] |= {f.__name__: float(np.mean(f(data.test.y, probabilities))) for f in functions}
        record |= _errors(data, data.test.y, probabilities)
    return json.loads(json.dumps(record))


def _record(history, parameters, seconds, engine):
    """What the record of a fit holds of its training: `history` by metric, `seconds` by epoch."""
    run = len(history["loss"])
    return {
        "status": "finished" if np.isfinite(history["loss"][-1]) else f"diverged in epoch {run}",
        "metrics": {},
        "parameters": parameters,
        "epochs": run,
        "seconds": float(np.sum(seconds)),
        "seconds_per_epoch": float(np.median(seconds)),
        "history": {name: [float(f"{value:.5g}") for value in values] for name, values in history.items()},
        "engine": engine,
        "device": machine.device(),
        "versions": machine.versions(),
    }


def _errors(data, true, predicted):
    """Where a net errs: counts of (true class, predicted class); of (true set of labels, predicted set), each set as a
    binary number, label 1 the ones; or the Dice coefficient of each image."""
    if data.task == "segmentation":
        return {"dice_by_image": [round(float(value), 4) for value in training.dice(true, predicted)]}
    if data.task == "multiclass":
        matrix = sklearn.metrics.confusion_matrix(true, predicted.argmax(-1), labels=range(len(data.classes)))
        return {"confusion_matrix": matrix.tolist()}
    digits = 2 ** np.arange(len(data.classes))
    matrix = sklearn.metrics.confusion_matrix(
        true @ digits, (predicted >= 0.5) @ digits, labels=range(2 ** len(digits))
    )
    return {"label_sets": matrix.tolist()}
