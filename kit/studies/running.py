"""`run`: fit every experiment of a study, once a seed, and keep what came out."""

import contextlib
import functools
import inspect
import multiprocessing
import os
import threading
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import fields, replace

from .. import files, profile, progress
from ..checks import whole
from ..datasets import sources
from ..training import hooks
from . import describe, ledger, nets
from .experiment import Study
from .results import Results

ON_ERROR = ("record", "raise")
NOT_DESCRIBED = {"name", "data", "metric", "reported", "seeds", "of"}  # what a fit does not depend on, and its data
_LOADING = threading.Lock()
_LOADED = {}  # the dataset of the fits at work: one, because some take hundreds of megabytes


def run(study, *, only=None, seeds=(0,), source=None, resume=True, executor=None, on_error="record"):
    """Fit a study's experiments, each once a seed, and compare with the report.

    A finished fit is recorded at once in the ledger ($KIT_RUNS, else `runs`), so a killed run goes on where it stopped.
    A fit that fails or diverges becomes a row with that status; the others go on. A fit whose parts cannot be
    described is not kept, and a warning says so.

    Args:
        study: a Study; of the reports, `kit.reports.get(name)`.
        only: a name or pattern of experiments, such as "small 64*", or several of them; None runs all.
        seeds: one fit each: initial weights, dropout and the order of the images follow from it; the data too where its
            function takes a `seed`. With several, a row's own `seeds` are fitted too.
        source: "real" or "synthetic"; None takes $KIT_SOURCE, else "real".
        resume: take fits that the ledger holds as done; False runs them again.
        executor: a `concurrent.futures.Executor` to send the fits to; None runs them here, one after the other. One of
            threads serves on TensorFlow and JAX; torch has one generator for all threads, and wants processes.
        on_error: "record" keeps the traceback of a fit that failed in its record; "raise" ends the run with the error.

    Returns:
        Results, whatever the number of rows that failed.

    Raises:
        ValueError: bad arguments, and a row that is judged by a metric which it has not, before anything is trained.
        OSError: the ledger cannot be written.
    """
    if not isinstance(study, Study):
        raise ValueError(f"study={study!r}; it must be a Study, such as kit.reports.get({str(study)!r})")
    if on_error not in ON_ERROR:
        raise ValueError(f"on_error={on_error!r}; it must be {' or '.join(ON_ERROR)}")
    seeds = [whole("seed", seed, 0) for seed in seeds]
    if not seeds:
        raise ValueError("seeds is empty; give at least one whole number, such as (0, 1, 2)")
    source = sources.resolve(source)
    rows = [replace(row, data=row.data or study.data, metric=study.judged(row)) for row in study.select(only)]
    for row in rows:
        _check_metric(row)
    ledger.writable(files.runs() / study.name)
    own = {row.name: row.seeds if len(seeds) > 1 else () for row in rows}
    every = dict.fromkeys([*seeds, *(seed for more in own.values() for seed in more)])
    jobs = [(row, seed) for seed in every for row in rows if seed in seeds or seed in own[row.name]]
    # One dataset at a time; and all seeds of a row together, for they share its compiled program.
    loads, names = [_which(row.data, seed) for row, seed in jobs], [row.name for row in rows]
    order = sorted(range(len(jobs)), key=lambda at: (loads.index(loads[at]), names.index(jobs[at][0].name)))
    row, seed = jobs[order[0]]
    data, _ = _data(row.data, seed, source)  # bad data is said before anything is trained
    fit = functools.partial(_fit_once, study=study.name, source=source, resume=resume, on_error=on_error)
    records = [None] * len(jobs)
    live = progress.watched()
    with contextlib.ExitStack() as stack:
        if not hooks.SEEDS_CAN_BE_LED:  # then they are a row's own only in a process of its own
            one = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1)
            executor = stack.enter_context(one)
        stack.callback(_LOADED.clear)
        if executor is None:
            finished = ((index, fit(*jobs[index])) for index in order)
        else:
            futures = {executor.submit(fit, *jobs[index]): index for index in order}
            finished = ((futures[future], future.result()) for future in as_completed(futures))
        bar = stack.enter_context(progress.bar(total=len(jobs), desc=study.name, unit="fit"))
        for count, (index, record) in enumerate(finished, 1):
            records[index] = record
            said = _summary(record, jobs[index][0].metric)
            bar.set_postfix_str(said)
            bar.update()
            if not live:
                print(f"{count}/{len(jobs)} {said}", flush=True)
    return Results(study, data.classes, records)


def _check_metric(row, prefixes=None):
    """ValueError unless the row has the metric; `prefixes` are those of its labelled splits, once they are known."""
    there = [prefix + name for prefix in prefixes or ("", "val_", "train_") for name in nets.metric_names(row)]
    plain, *right = [name.replace("_", "").lower() for name in (row.metric, *there)]
    if not any(plain.startswith(name) if prefixes else name in plain for name in right):
        raise ValueError(f"{row.name!r} is judged by {row.metric!r}; it has: {', '.join(there)}")


def _summary(record, judged):
    said = f"{record['experiment']}, seed {record['seed']}: "
    if record["status"] != "finished":
        return said + record["status"]
    return f"{said}{judged} {record['metrics'][judged]:.4f}, {record['epochs']} epochs, {record['seconds']:.0f} s"


def _which(load, seed):
    """What tells one dataset of a run from another: the function, and the seed where it takes one."""
    return load, seed if "seed" in inspect.signature(load).parameters else None


def _data(load, seed, source):
    """The data in this profile, and their fingerprint; kept for the fits that follow, as long as they take the same."""
    seed = _which(load, seed)[1]
    known = load if inspect.isfunction(load) else describe.digest(load)  # another process has another `partial`
    key = (known, seed, source, profile.name(), os.environ.get("KIT_DATA"), os.environ.get("KIT_CACHE"))
    with _LOADING, nets.quiet_retracing():
        if key not in _LOADED:
            _LOADED.clear()
            data = nets.usable(load(source) if seed is None else load(source, seed=seed))
            _LOADED[key] = data, ledger.fingerprint(data)
        return _LOADED[key]


def _fit_once(row, seed, *, study, source, resume, on_error):
    """The record of one fit: from the ledger, or made now. A failure is a record too, and is not kept."""
    origin = {"experiment": row.name, "seed": seed, "origin": source, "profile": profile.name()}
    try:
        data, fingerprint = _data(row.data, seed, source)
        origin["origin"] = data.origin
        with nets.quiet_retracing(), hooks.stream(seed):
            return _recorded_fit(row, study, resume, data, fingerprint, origin)
    except Exception as error:  # one bad row must not take the others with it
        if on_error == "raise":
            raise
        said = (str(error).strip().splitlines() or [""])[0]
        status = f"failed: {type(error).__name__}: {said}"[:300]
        return origin | {"status": status, "traceback": traceback.format_exc()}


def _recorded_fit(row, study, resume, data, fingerprint, origin):
    seed, folder = origin["seed"], files.runs() / study
    net = nets.build(row, data)
    _check_metric(row, list(nets.splits(row, data)[2]))
    settings = {field.name: getattr(row, field.name) for field in fields(row) if field.name not in NOT_DESCRIBED}
    settings |= {"epochs": profile.epochs(row.epochs), "profile": profile.name()}
    try:  # what all seeds of a row share, and what a seed makes of it
        origin["data"] = fingerprint if _which(row.data, seed)[1] is None else describe.digest(row.data)
        parts = [settings, net.describe(), origin["data"], data.origin, ledger.machinery(), ledger.surroundings()]
        origin["definition"] = describe.digest(parts)
        fit = ledger.Fit(study, row.name, seed, describe.digest([parts, fingerprint, net.initial()]))
    except describe.Undescribed as fault:
        files.warn(f"{row.name}: {fault}; what it gives is not kept")
        return origin | nets.train(net, row, data, seed) | {"kept": False}
    record = ledger.read(folder, fit) if resume else None
    if record is None:
        record, kept = ledger.write(folder, fit, origin | nets.train(net, row, data, seed))
        record |= {} if kept else {"kept": False}
    return record
