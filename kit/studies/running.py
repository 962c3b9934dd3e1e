"""`run`: fit every experiment of a study, once a seed, and keep what came out."""

import contextlib
import functools
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from numbers import Integral

import keras

from .. import machine, profile, progress
from ..datasets import sources
from ..models import numpy_mlp
from ..training import hooks
from . import ledger, nets
from .experiment import Study
from .results import Results


def run(study, *, only=None, seeds=(0,), source=None, resume=True, executor=None):
    """Fit a study's experiments, each once a seed, and compare with the report.

    A finished fit is recorded at once in the ledger ($KIT_RUNS, else `runs`), so a killed run goes on where it stopped.
    A fit that fails or diverges becomes a row with that status; the others go on.

    Args:
        study: a Study; of the reports, `kit.reports.get(name)`.
        only: a name or pattern of experiments, such as "small 64*", or several of them; None runs all.
        seeds: one fit each: initial weights, dropout and the order of the images follow from it. The data is the same.
        source: "real" or "synthetic"; None takes $KIT_SOURCE, else "real".
        resume: take fits that the ledger holds as done; False runs them again.
        executor: a `concurrent.futures.Executor` to send the fits to; None runs them here, one after the other. One of
            threads serves on TensorFlow and JAX; torch has one generator for all threads, and wants processes.

    Returns:
        Results, whatever the number of rows that failed.
    """
    if not isinstance(study, Study):
        raise ValueError(f"study={study!r}; it must be a Study, such as kit.reports.get({str(study)!r})")
    seeds = list(seeds)
    if not seeds or any(isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0 for seed in seeds):
        raise ValueError(f"seeds={seeds!r}; give at least one whole number, such as (0, 1, 2)")
    source, experiments = sources.resolve(source), study.select(only)
    loads = dict.fromkeys(experiment.data or study.data for experiment in experiments)
    data, *_ = [_data(load, source, profile.name())[0] for load in loads]  # bad data is said before anything is trained
    jobs = [(study, experiment, seed, source, resume) for seed in map(int, seeds) for experiment in experiments]
    records = [None] * len(jobs)
    live = progress.watched()
    with contextlib.ExitStack() as stack:
        if not hooks.SEEDS_CAN_BE_LED:  # then they are a row's own only in a process of its own
            one = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1)
            executor = stack.enter_context(one)
        if executor is None:
            finished = ((index, _fit_once(*job)) for index, job in enumerate(jobs))
        else:
            futures = {executor.submit(_fit_once, *job): index for index, job in enumerate(jobs)}
            finished = ((futures[future], future.result()) for future in as_completed(futures))
        bar = stack.enter_context(progress.bar(total=len(jobs), desc=study.name, unit="fit"))
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
    data = nets.usable(load(source))
    return data, ledger.fingerprint(data)


def _fit_once(study, experiment, seed, source, resume):
    """The record of one fit: from the ledger, or made now. A failure is a record too, and is not kept."""
    data, fingerprint = _data(experiment.data or study.data, source, profile.name())
    origin = {"experiment": experiment.name, "seed": seed, "origin": data.origin, "profile": profile.name()}
    try:
        with nets.quiet_retracing(), hooks.stream(seed):
            return _recorded_fit(study, experiment, seed, resume, data, fingerprint, origin)
    except Exception as error:  # one bad row must not take the others with it
        said = (str(error).strip().splitlines() or [""])[0]
        return origin | {"status": f"failed: {type(error).__name__}: {said}"[:300]}


def _recorded_fit(study, experiment, seed, resume, data, fingerprint, origin):
    model = nets.build(experiment, data)
    epochs = profile.epochs(experiment.epochs)
    definition = {
        "model": model.get_params() if nets.by_hand(model) else model.get_config(),
        "optimizer": None if nets.by_hand(model) else keras.optimizers.serialize(model.optimizer),
        "callbacks": [_called(make) for make in experiment.callbacks],
        "fit": [epochs, experiment.batch_size, experiment.validation_split],
        "compiled with": [_called(part) for part in (experiment.loss, *experiment.metrics)],
        "precision": experiment.precision,
        "data": fingerprint,
        "profile": profile.name(),
        "code": ledger.code(nets.__file__, *([numpy_mlp.__file__] if nets.by_hand(model) else [])),
        "computed on": [keras.backend.backend(), machine.device()],
    }
    path = ledger.path(study.name, experiment.name, seed, definition)
    record = ledger.read(path) if resume else None
    if record is None:
        train = nets.train_by_hand if nets.by_hand(model) else nets.train
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
