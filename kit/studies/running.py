"""`run`: fit every experiment of a study, once a seed, and keep what came out."""

import contextlib
import functools
import inspect
import json
import logging
import math
import sys
import time
from concurrent.futures import as_completed

import keras
import numpy as np
import sklearn.metrics
from tqdm import tqdm

from .. import profile, training
from ..models import numpy_mlp
from . import ledger
from .results import Results


def run(study, *, only=None, seeds=(0,), source=None, resume=True, executor=None):
    """Fit a study's experiments, each once a seed, and compare with the report.

    A finished fit is recorded at once in the ledger ($KIT_RUNS, else `runs`), so a killed run goes on where it stopped.
    A fit that fails or diverges becomes a row with that status; the others go on.

    Args:
        study: a Study (`kit.studies.get(name)`) or its name.
        only: a name or pattern of experiments, such as "small 64*", or several of them; None runs all.
        seeds: one fit each: initial weights, dropout and the order of the images follow from it. The data is the same.
        source: "real" or "drawn"; None takes $KIT_SOURCE, else "real".
        resume: take fits that the ledger holds as done; False runs them again.
        executor: a `concurrent.futures.Executor` to send the fits to; None runs them here, one after the other.

    Returns:
        Results, whatever the number of rows that failed.
    """
    if isinstance(study, str):
        from . import get

        study = get(study)
    seeds = list(seeds)
    if not seeds or any(not isinstance(seed, int) or seed < 0 for seed in seeds):
        raise ValueError(f"seeds={seeds!r}; give at least one whole number, such as (0, 1, 2)")
    experiments = study.select(only)
    loads = dict.fromkeys(experiment.data or study.data for experiment in experiments)
    data, *_ = [_data(load, source, profile.name())[0] for load in loads]  # bad data is said before anything is trained
    jobs = [(study, experiment, seed, source, resume) for seed in seeds for experiment in experiments]
    records = [None] * len(jobs)
    if executor is None:
        finished = ((index, _fit_once(*job)) for index, job in enumerate(jobs))
    else:
        futures = {executor.submit(_fit_once, *job): index for index, job in enumerate(jobs)}
        finished = ((futures[future], future.result()) for future in as_completed(futures))
    live = profile.watched()
    with tqdm(total=len(jobs), desc=study.name, unit="fit", file=sys.stdout, disable=not live) as bar:
        for count, (index, record) in enumerate(finished, 1):
            records[index] = record
            bar.set_postfix_str(_summary(study, record))
            bar.update()
            if not live:
                print(f"{count}/{len(jobs)} {_summary(study, record)}", flush=True)
    return Results(study, data.classes, records)


def _summary(study, record):
    if record["status"] != "finished":
        return f"{record['experiment']}, seed {record['seed']}: {record['status']}"
    metric = next(e.metric for e in study.experiments if e.name == record["experiment"]) or study.metric
    return (
        f"{record['experiment']}, seed {record['seed']}: {metric} {record['metrics'][metric]:.4f}, "
        f"{record['epochs']} epochs, {record['seconds']:.0f} s"
    )


@functools.lru_cache(maxsize=4)
def _data(load, source, profile_name):
    """The data in this profile, and their fingerprint; kept for the fits that follow."""
    data = profile.images(load(source))
    return data, ledger.fingerprint(data)


def _fit_once(study, experiment, seed, source, resume):
    """The record of one fit: from the ledger, or made now. A failure is a record too, and is not kept."""
    data, fingerprint = _data(experiment.data or study.data, source, profile.name())
    origin = {"experiment": experiment.name, "seed": seed, "origin": data.origin, "profile": profile.name()}
    try:
        with many_nets():
            return _recorded_fit(study, experiment, seed, resume, data, fingerprint, origin)
    except Exception as error:  # one bad row must not take the others with it
        said = (str(error).strip().splitlines() or [""])[0]
        return origin | {"status": f"failed: {type(error).__name__}: {said}"[:300]}


@contextlib.contextmanager
def many_nets():
    """Without TensorFlow's warning that each net is compiled anew."""
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _recorded_fit(study, experiment, seed, resume, data, fingerprint, origin):
    model = _build(experiment, data, seed)
    epochs = profile.epochs(experiment.epochs)
    definition = {
        "model": model.get_params() if _by_hand(model) else model.get_config(),
        "optimizer": None if _by_hand(model) else keras.optimizers.serialize(model.optimizer),
        "callbacks": [_called(make) for make in experiment.callbacks],
        "fit": [epochs, experiment.batch_size, experiment.validation_split],
        "compiled with": [_called(part) for part in (experiment.loss, *experiment.metrics)],
        "precision": experiment.precision,
        "data": fingerprint,
        "profile": profile.name(),
        "code": ledger.code(__file__, *([numpy_mlp.__file__] if _by_hand(model) else [])),
        "computed on": [keras.backend.backend(), profile.device()],
    }
    path = ledger.path(study.name, experiment.name, seed, definition)
    record = ledger.read(path) if resume else None
    if record is None:
        train = _train_by_hand if _by_hand(model) else _train
        record = origin | train(model, experiment, data, seed, epochs)
        ledger.write(path, record)
    return record


def _called(make):
    """A stable description of a name, a `functools.partial`, a class or a function."""
    if isinstance(make, str):
        return make
    if isinstance(make, functools.partial):
        return [_called(make.func), make.args, make.keywords]
    return f"{make.__module__}.{make.__qualname__}"


def _by_hand(model):
    return isinstance(model, numpy_mlp.NumpyMLP)


def _build(experiment, data, seed):
    """The compiled model (or the NumpyMLP); with the same seed the same initial weights and, later, dropout masks."""
    keras.utils.clear_session()  # layers are numbered from one again: the same row has the same config
    keras.utils.set_random_seed(seed)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(experiment.precision)
    try:
        model = experiment.build(data.train.x.shape[1:], len(data.classes))
    finally:
        keras.config.set_dtype_policy(policy)
    if not _by_hand(model):
        made = [m() if isinstance(m, (type, functools.partial)) else m for m in experiment.metrics]
        model.compile(experiment.optimizer(), experiment.loss, metrics=made)
    return model


def _train(model, experiment, data, seed, epochs):
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


def _train_by_hand(net, experiment, data, seed, epochs):
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
        "device": profile.device(),
        "versions": profile.versions(),
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
