"""How a row becomes a net: built, described, fitted, and judged on every labelled split, into a record.

A net is a `KerasNet` or an `Estimator`. Both have a compiled Keras model and `inputs(x)`, what that model takes: of a
classifier it is the probabilities, which its model only passes on. So one path judges them, by the same metrics.
"""

import contextlib
import functools
import inspect
import itertools
import logging
import math
import time

import keras
import numpy as np
import sklearn.metrics
from sklearn.base import BaseEstimator

from .. import machine, profile, training

MISCLASSIFIED = 25  # images that a record lists


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


def usable(data):
    """The data in this profile; ValueError where pixels are NaN or infinite, with which no net can be judged."""
    data = profile.images(data)
    for name, split in {"training": data.train, "validation": data.validation, "test": data.test, **data.extra}.items():
        if split is not None and split.x.dtype.kind == "f" and not np.isfinite(split.x.sum(dtype="float64")):
            wrong = split.x.size - int(np.isfinite(split.x).sum())
            if wrong:
                raise ValueError(f"{data.card.title}: {wrong:,} values of the {name} images are NaN or infinite")
    return data


def made(metrics):
    """The metrics as `compile` takes them: classes and partials called."""
    return [m() if isinstance(m, (type, functools.partial)) else m for m in metrics]


class KerasNet:
    """A row's Keras model, compiled."""

    def __init__(self, model, experiment):
        if not model.compiled:
            model.compile(experiment.optimizer(), experiment.loss, metrics=made(experiment.metrics))
        self.model = model
        self.family = "convolutional" if any(len(kernel.shape) > 2 for kernel in model.weights) else "dense"

    def describe(self):
        """What does not depend on the seed; `initial` is what does."""
        config = None
        with contextlib.suppress(NotImplementedError):  # of a subclass, whose code says it
            config = self.model.get_config()
        return [type(self.model), config, type(self.model.optimizer), self.model.optimizer.get_config()]

    def initial(self):
        return self.model

    def parameters(self):
        return self.model.count_params()

    def inputs(self, x):
        return x

    def fit(self, train, validation, experiment, epochs, seed):
        """(history, seconds by epoch, engine, weights); `weights` are the best and the last, where a row stops early.

        The model has those that the row's callback leaves.
        """
        moments, last = [], []
        watch = keras.callbacks.LambdaCallback(
            on_train_begin=lambda logs: moments.append(time.perf_counter()),
            on_epoch_end=lambda epoch, logs: moments.append(time.perf_counter()),
            on_train_end=lambda logs: stopping and last.extend(self.model.get_weights()),
        )
        callbacks = [make() for make in experiment.callbacks]
        stopping = next((c for c in callbacks if isinstance(c, keras.callbacks.EarlyStopping)), None)
        if stopping:
            restores, stopping.restore_best_weights = stopping.restore_best_weights, True
        history = training.fit(
            self.model,
            *train,
            batch_size=experiment.batch_size,
            epochs=epochs,
            validation_data=validation,
            callbacks=[watch, *callbacks, keras.callbacks.TerminateOnNaN()],  # `watch` sees the last weights
            seed=seed,
            verbose=0,
        )
        weights = {}
        if stopping:
            weights = {"best": self.model.get_weights(), "last": last}
            if not restores:
                self.model.set_weights(last)
        engine, _, _ = history.engine.partition(", program")  # whose program it was depends on earlier fits
        return history.history, np.diff(moments), engine, weights


class Estimator:
    """A row's scikit-learn classifier, for images flattened, and a Keras model that passes its probabilities on."""

    def __init__(self, classifier, experiment, data):
        if data.task == "segmentation":
            raise ValueError(f"{type(classifier).__name__} gives an image one class; masks want a keras.Model")
        self.classifier, self.classes, self.family = classifier, len(data.classes), type(classifier).__name__
        self.model = keras.Sequential([keras.Input((self.classes,)), keras.layers.Identity()])
        self.model.compile(loss=experiment.loss, metrics=made(experiment.metrics))

    def describe(self):
        return self.classifier

    def initial(self):
        return None

    def parameters(self):
        names = ("coefs_", "intercepts_", "coef_", "intercept_")
        held = [getattr(self.classifier, name) for name in names if hasattr(self.classifier, name)]
        return sum(np.size(weights) for weights in keras.tree.flatten(held)) or None

    def inputs(self, x):
        """Probabilities (n, classes or labels); of a classifier that has none, 1 for what it predicts."""
        x = x.reshape(len(x), -1)
        if not hasattr(self.classifier, "predict_proba"):
            found = np.asarray(self.classifier.predict(x))
            return found.astype("float32") if found.ndim == 2 else np.eye(self.classes, dtype="float32")[found]
        found = self.classifier.predict_proba(x)
        if isinstance(found, list):  # a classifier a label
            return np.stack([label[:, -1] for label in found], axis=-1).astype("float32")
        scores = np.zeros((len(x), self.classes), "float32")
        known = np.asarray(self.classifier.classes_)
        scores[:, known if known.ndim == 1 and found.shape[1] == len(known) else slice(None)] = found
        return scores

    def fit(self, train, validation, experiment, epochs, seed):
        taken = self.classifier.get_params()
        ours = {"epochs": epochs, "batch_size": experiment.batch_size, "random_state": seed}
        if "max_iter" in taken and profile.name() == "quick":
            ours["max_iter"] = epochs
        self.classifier.set_params(**{name: value for name, value in ours.items() if name in taken})
        validates = "validation_data" in inspect.signature(self.classifier.fit).parameters
        start = time.perf_counter()
        try:
            self.classifier.fit(train.x.reshape(len(train.x), -1), train.y, *[_flat(validation)] * validates)
        except ValueError:
            if np.isfinite(getattr(self.classifier, "history_", {"loss": [0]})["loss"][-1]):
                raise  # anything but a loss that went to NaN
        seconds = time.perf_counter() - start
        history = getattr(self.classifier, "history_", None) or {"loss": getattr(self.classifier, "loss_curve_", [])}
        run = len(history["loss"]) or 1
        return history, np.full(run, seconds / run), f"{type(self.classifier).__name__}.fit", {}


def _flat(split):
    return split and (split.x.reshape(len(split.x), -1), split.y)


def build(experiment, data):
    """The row's net, compiled; its seeds come from the `stream` that this is called within."""
    policy, make = keras.config.dtype_policy(), experiment.build
    if "origin" in inspect.signature(make).parameters:
        make = functools.partial(make, origin=data.origin)
    keras.config.set_dtype_policy(experiment.precision)
    try:
        model = make(data.train.x.shape[1:], len(data.classes))
    finally:
        keras.config.set_dtype_policy(policy)
    if isinstance(model, BaseEstimator):
        return Estimator(model, experiment, data)
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"build gives a {type(model).__name__}; it must give a keras.Model or a scikit-learn classifier"
        )
    return KerasNet(model, experiment)


def splits(experiment, data):
    """(train, validation, {prefix of a metric: labelled Split to judge on}); the test split's prefix is ""."""
    train, validation = data.train, data.validation
    if experiment.validation_split:  # the last images, as Keras has it
        kept = math.floor(len(train.x) * (1 - experiment.validation_split))
        if not 0 < kept < len(train.x):
            raise ValueError(f"validation_split={experiment.validation_split}; it must leave images on both sides")
        train, validation = train.at(slice(kept)), train.at(slice(kept, None))
    if experiment.watch and validation is not None:
        raise ValueError(
            f"watch={experiment.watch!r} draws the curves of a split in place of validation, which is there"
        )
    extra = {f"{name}_": split for name, split in data.extra.items()}
    judged = {"": data.test, "val_": validation, "train_": train, **extra}
    return train, validation, {name: s for name, s in judged.items() if s is not None and s.y is not None}


def metric_names(experiment):
    """The names under which the row's loss and metrics are found, as far as they can be told before a net is there."""
    names = [m if isinstance(m, str) else getattr(m, "name", None) or m.__name__ for m in made(experiment.metrics)]
    return ("loss", *names)


def train(net, experiment, data, seed):
    """The record of a net, fitted and judged: metrics "accuracy" of the test split, "val_accuracy", and so on."""
    learned, validation, judged = splits(experiment, data)
    watched = validation
    if experiment.watch:
        watched = {"test": data.test, **data.extra}[experiment.watch]
    history, seconds, engine, weights = net.fit(learned, watched, experiment, profile.epochs(experiment.epochs), seed)
    if experiment.watch:
        history = {name.replace("val_", f"{experiment.watch}_", 1): values for name, values in history.items()}
    finite = not history["loss"] or np.isfinite(history["loss"][-1])
    record = {
        "status": "finished" if finite else f"diverged in epoch {len(seconds)}",
        "metrics": {},
        "parameters": net.parameters(),
        "family": net.family,
        "epochs": len(seconds),
        "seconds": float(np.sum(seconds)),
        "seconds_per_epoch": float(np.median(seconds)),
        "history": _curves(history),
        "engine": engine,
        "device": machine.device(),
        "versions": dict(machine.versions()),
    }
    if not finite:
        return record
    score = functools.partial(_score, net, experiment.batch_size)
    inputs = {name: net.inputs(split.x) for name, split in judged.items()}
    for name, split in judged.items():
        record["metrics"] |= {name + metric: value for metric, value in score(inputs[name], split.y).items()}
    first = next(iter(judged))  # the test split, or validation where the test labels are not public
    predicted = net.model.predict(inputs[first], batch_size=experiment.batch_size, verbose=0)
    record |= errors(data, judged[first].y, predicted)
    if weights:
        monitored = net.model.get_weights()
        record["weights"] = {}
        for which, values in weights.items():
            net.model.set_weights(values)
            record["weights"][which] = score(inputs[first], judged[first].y)
        net.model.set_weights(monitored)
    return record


def _score(net, batch_size, inputs, y):
    return _scalars(net.model.evaluate(inputs, y, batch_size=batch_size, return_dict=True, verbose=0))


def _scalars(found):
    """Each value by its name, six digits, which float32 is sure of; several are numbered, "f1_score_0" and so on."""
    named = {}
    for name, value in found.items():
        if np.ndim(value):
            value = {f"{name}_{place}": part for place, part in enumerate(np.ravel(value))}
        named |= _scalars(value) if isinstance(value, dict) else {name: float(f"{float(value):.6g}")}
    return named


def _curves(history):
    """{metric: values by epoch}"""
    epochs = [_scalars(dict(zip(history, values))) for values in zip(*history.values())]
    return {name: [epoch[name] for epoch in epochs] for name in (epochs[0] if epochs else ())}


def _rounded(values):
    return [round(float(value), 4) for value in values]


def errors(data, true, predicted):
    """Where a net errs: counts of (true class, predicted class), and some misclassified images; counts of (true set of
    labels, predicted set); or how well the objects of each mask were found.

    Of one output a class, or a single one for two classes: the probability of the second.
    """
    if data.task == "segmentation":
        glands = predicted.argmax(-1)
        objects = [training.object_measures(*pair) for pair in zip(true, glands)]
        return {"dice_by_image": _rounded(training.dice(true, predicted))} | {
            f"object_{name}_by_image": _rounded([image[name] for image in objects]) for name in objects[0]
        }
    if data.task == "multilabel":
        pairs = zip(np.asarray(true).astype(int).tolist(), (predicted >= 0.5).astype(int).tolist())
        counts = sorted((*pair, len(list(same))) for pair, same in itertools.groupby(sorted(pairs)))
        return {"label_sets": counts}
    true = np.ravel(true).astype(int)
    found = (predicted[:, 0] >= 0.5).astype(int) if predicted.shape[1] == 1 else predicted.argmax(-1)
    matrix = sklearn.metrics.confusion_matrix(true, found, labels=range(len(data.classes)))
    wrong = np.flatnonzero(found != true)[:MISCLASSIFIED]
    sample = [[int(index), int(true[index]), int(found[index])] for index in wrong]
    return {"confusion_matrix": matrix.tolist(), "misclassified": sample}
