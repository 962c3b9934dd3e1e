"""`run`: fit every experiment of a study, once a seed, and keep what came out."""

import functools
import json
import sys
import time
from concurrent.futures import as_completed

import keras
import numpy as np
import sklearn.metrics
from tqdm import tqdm

from .. import profile, training
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
    data, _ = _data(study.data, source, profile.name())  # bad data is said before anything is trained
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
    value = record["metrics"][study.metric]
    return (
        f"{record['experiment']}, seed {record['seed']}: {study.metric} {value:.4f}, "
        f"{record['epochs']} epochs, {record['seconds']:.0f} s"
    )


@functools.lru_cache(maxsize=1)
def _data(load, source, profile_name):
    """The study's data in this profile, and their fingerprint; kept for the fits that follow."""
    data = profile.images(load(source))
    return data, ledger.fingerprint(data)


def _fit_once(study, experiment, seed, source, resume):
    """The record of one fit: from the ledger, or made now. A failure is a record too, and is not kept."""
    data, fingerprint = _data(study.data, source, profile.name())
    origin = {"experiment": experiment.name, "seed": seed, "origin": data.origin, "profile": profile.name()}
    try:
        model = _build(experiment, data, seed)
        callbacks = [make() for make in experiment.callbacks]
        epochs = profile.epochs(experiment.epochs)
        definition = {
            "model": model.get_config(),
            "optimizer": keras.optimizers.serialize(model.optimizer),
            "callbacks": [_called(make) for make in experiment.callbacks],
            "fit": [epochs, experiment.batch_size, experiment.validation_split, experiment.loss, experiment.metrics],
            "precision": experiment.precision,
            "data": fingerprint,
            "profile": profile.name(),
            "code": ledger.code(__file__),
            "computed on": [keras.backend.backend(), profile.device()],
        }
        path = ledger.path(study.name, experiment.name, seed, definition)
        record = ledger.read(path) if resume else None
        if record is None:
            record = origin | _train(model, experiment, data, seed, epochs, callbacks)
            ledger.write(path, record)
        return record
    except Exception as error:  # one bad row must not take the others with it
        said = (str(error).strip().splitlines() or [""])[0]
        return origin | {"status": f"failed: {type(error).__name__}: {said}"[:300]}


def _called(make):
    """A stable description of a `functools.partial`, a class or a function."""
    if isinstance(make, functools.partial):
        return [_called(make.func), make.args, make.keywords]
    return f"{make.__module__}.{make.__qualname__}"


def _build(experiment, data, seed):
    """The compiled model; with the same seed the same initial weights and, later, the same dropout masks."""
    keras.utils.clear_session()  # layers are numbered from one again: the same row has the same config
    keras.utils.set_random_seed(seed)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(experiment.precision)
    try:
        model = experiment.build(data.train.x.shape[1:], len(data.classes))
    finally:
        keras.config.set_dtype_policy(policy)
    model.compile(experiment.optimizer(), experiment.loss, metrics=list(experiment.metrics))
    return model


def _train(model, experiment, data, seed, epochs, callbacks):
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
        callbacks=[*callbacks, keras.callbacks.TerminateOnNaN(), watch],
        seed=seed,
        verbose=0,
    )
    losses = history.history["loss"]
    diverged = not np.isfinite(losses[-1])
    metrics = {} if diverged else model.evaluate(*data.test, batch_size=500, return_dict=True, verbose=0)
    record = {
        "status": f"diverged in epoch {len(losses)}" if diverged else "finished",
        "metrics": {name: float(value) for name, value in metrics.items()},
        "parameters": model.count_params(),
        "epochs": len(losses),
        "seconds": moments[-1] - moments[0],
        "seconds_per_epoch": float(np.median(np.diff(moments))),
        "history": {name: [float(f"{value:.5g}") for value in values] for name, values in history.history.items()},
        "engine": history.engine,
        "device": profile.device(),
        "versions": profile.versions(),
    }
    if data.task == "multiclass" and not diverged:
        predicted = model.predict(data.test.x, batch_size=500, verbose=0).argmax(-1)
        matrix = sklearn.metrics.confusion_matrix(data.test.y, predicted, labels=range(len(data.classes)))
        record["confusion_matrix"] = matrix.tolist()
    return json.loads(json.dumps(record))  # what a resumed run would read
