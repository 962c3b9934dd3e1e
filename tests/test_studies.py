"""Studies: rows that equal the reports', the ledger, failures, tables and verdicts."""

import dataclasses
import itertools
import json
import multiprocessing
import os
import re
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tiny
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier
from sklearn.svm import LinearSVC

from kit import models, reports, search, studies
from kit.models.numpy_mlp import NumpyMLP
from kit.studies import Experiment, Results, Study, nets, running

ROOT = Path(__file__).parents[1]


@pytest.fixture
def note(tmp_path):
    return tmp_path / "fits"


def fits(note):
    return note.read_text().count("\n") if note.exists() else 0


@pytest.fixture
def untrained(note, monkeypatch):
    """Fits are noted and not made: for tests of what is fitted when."""

    def train(net, row, data, seed, *_):
        with note.open("a") as file:
            file.write(f"{row.name} {seed}\n")
        return {name: BASE[name] for name in ("status", "parameters", "epochs", "history", "family")} | {
            "metrics": {"accuracy": 0.5, "val_accuracy": 0.5}, "seconds": 1.0, "seconds_per_epoch": 1.0,
        }  # fmt: skip

    monkeypatch.setattr(nets, "train", train)


@pytest.mark.slow
def test_a_run_gives_a_row_an_experiment(note):
    results = studies.run(tiny.study(note), seeds=(0, 1))
    table = results.table()
    assert list(table.index) == ["first", "second", "third"]
    assert (
        list(table.columns)
        == (
            "metric reported reproduced low high seeds difference "
            "reported_parameters parameters epochs seconds_per_epoch origin verdict"
        ).split()
    )
    assert (table.parameters == table.reported_parameters).all() and (table.parameters == 16 * 8 + 8 + 8 * 3 + 3).all()
    assert (table.seeds == 2).all() and (table.epochs == 3).all() and (table.origin == "real").all()
    assert table.low.isna().all() and table.high.isna().all()  # two seeds have no interval
    assert table.difference.tolist() == pytest.approx((table.reproduced - 0.5).tolist())
    assert set(results.histories()["first"]) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    matrix = results.confusion_matrices()["first"]
    assert matrix.shape == (3, 3) and matrix.sum() == 100
    first = results.records[0]
    assert np.trace(matrix) / 100 == pytest.approx(first["metrics"]["accuracy"])
    assert results.classification_report("first").loc["accuracy", "f1-score"] == pytest.approx(np.trace(matrix) / 100)
    assert first["engine"].startswith("compiled") and first["versions"]["keras"] == keras.version()


def test_finished_fits_are_not_repeated(note, untrained):
    first = studies.run(tiny.study(note))
    assert fits(note) == 3
    again = studies.run(tiny.study(note))
    assert fits(note) == 3 and again.records == first.records
    studies.run(tiny.study(note), only="second", seeds=(0, 1))
    assert fits(note) == 4  # the new seed
    studies.run(tiny.study(note), only="second", resume=False)
    assert fits(note) == 5


@pytest.mark.parametrize(
    "change",
    [{"epochs": 4}, {"batch_size": 16}, {"optimizer": partial(keras.optimizers.SGD, 0.5)}, {"validation_split": 0.2},
     {"callbacks": (partial(keras.callbacks.EarlyStopping, patience=9),)}, {"precision": "mixed_bfloat16"}],
    ids=str,
)  # fmt: skip
def test_a_changed_experiment_is_fitted_anew(change, note, untrained):
    study = tiny.study(note)
    studies.run(study, only="first")
    changed = dataclasses.replace(study, experiments=(dataclasses.replace(study.experiments[0], **change),))
    studies.run(changed)
    assert fits(note) == 2


def test_changed_data_are_fitted_anew(note, untrained):
    studies.run(tiny.study(note), only="first")
    other = dataclasses.replace(tiny.study(note), data=lambda source: tiny.data(source).take(150, seed=0))
    studies.run(other, only="first")
    assert fits(note) == 2


CELL = """
import keras
from functools import partial

def loss(y_true, y_pred):
    return keras.losses.sparse_categorical_crossentropy(y_true, y_pred) * 1

def stop():
    return keras.callbacks.EarlyStopping("loss", patience=3)

def fall(epoch):
    return 0.1 / (epoch + 1)

class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.flat, self.hidden = keras.layers.Flatten(), keras.layers.Dense(4, "relu")
        self.out = keras.layers.Dense(3, "softmax")
    def call(self, x):
        return self.out(self.hidden(self.flat(x)))

def build(input_shape, classes):
    return Net()

callbacks = (stop, partial(keras.callbacks.LearningRateScheduler, fall))
"""


@pytest.mark.parametrize(
    "edits, made",
    [
        ({}, 1),  # the cell is run again as it is
        ({"* 1": "* 100"}, 2),
        ({"patience=3": "patience=9"}, 2),
        ({"Dense(4": "Dense(64"}, 2),
        ({"0.1 /": "0.2 /"}, 2),
    ],
)
def test_an_edited_cell_is_fitted_anew_and_one_that_is_run_again_is_not(edits, made, note, untrained):
    edited = CELL
    for old, new in edits.items():
        assert edited.count(old) == 1
        edited = edited.replace(old, new)
    for source in (CELL, edited):
        cell = {"__name__": "__main__"}
        exec(source, cell)
        row = Experiment(
            name="own", build=cell["build"], optimizer=keras.optimizers.SGD, loss=cell["loss"],
            callbacks=cell["callbacks"], epochs=1,
        )  # fmt: skip
        assert studies.run(dataclasses.replace(tiny.study(note), experiments=(row,))).statuses().empty
    assert fits(note) == made


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_stopped(note):
    code = f"import tiny; from kit import studies; studies.run(tiny.study({str(note)!r}, killed_at=2))"
    killed = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "tests", capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr
    assert fits(note) == 2  # one finished, one killed
    finished = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "tests", capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert fits(note) == 4  # the second again, and the third; the first from the ledger
    assert re.search(r"3/3 third, seed 0: accuracy", finished.stdout)
    assert not list(Path(note.parent).rglob("*.part"))


def test_a_record_cut_in_half_is_set_aside_and_the_fit_is_run_again(note, tmp_path):
    whole = studies.run(tiny.study(note), only="first")
    (path,) = (tmp_path / "runs" / "tiny").glob("first-*.json")
    path.write_text(path.read_text()[: path.stat().st_size // 2])
    with pytest.warns(UserWarning, match="is damaged .* set aside as .*damaged, the fit is run again"):
        again = studies.run(tiny.study(note), only="first")
    assert fits(note) == 2 and path.with_name(f"{path.name}.damaged").exists()
    assert again.records[0]["metrics"] == whole.records[0]["metrics"]


def test_one_failing_experiment_does_not_take_the_others_with_it(note):
    study = tiny.study(note)
    first, second, third = study.experiments
    study = dataclasses.replace(
        study,
        experiments=(
            dataclasses.replace(first, build=tiny.broken),
            dataclasses.replace(second, optimizer=partial(keras.optimizers.SGD, 1e30)),
            third,
        ),
    )
    results = studies.run(study)
    assert list(results.table().verdict[:2]) == ["failed", "failed"] and results.table().verdict["third"] != "failed"
    statuses = results.statuses().set_index("experiment").status
    assert statuses["first"] == "failed: MemoryError: no room for this net"
    assert 'raise MemoryError("no room' in results.records[0]["traceback"]
    with pytest.raises(MemoryError, match="no room"):
        studies.run(study, on_error="raise")
    assert statuses["second"].startswith("diverged in epoch")


def test_the_precision_reaches_the_net_and_goes_no_further(note):
    study = tiny.study(note)
    seen = []

    def build(input_shape, classes):
        seen.append(keras.config.dtype_policy().name)
        return tiny.models.mlp(input_shape, classes)

    build.__module__, build.__qualname__ = "tests", "build"
    changed = dataclasses.replace(study.experiments[0], build=build, precision="mixed_bfloat16")
    studies.run(dataclasses.replace(study, experiments=(changed,)))
    assert seen == ["mixed_bfloat16"] and keras.config.dtype_policy().name == "float32"


@pytest.mark.slow
def test_the_same_seed_gives_the_same_numbers(note):
    once, twice = (studies.run(tiny.study(note), only="first", seeds=(3,), resume=False).records[0] for _ in range(2))
    assert once["metrics"] == twice["metrics"] and once["history"] == twice["history"]
    other = studies.run(tiny.study(note), only="first", seeds=(4,)).records[0]
    assert other["history"] != once["history"]


@pytest.mark.slow
def test_an_executor_shares_the_fits_out(note):
    context = multiprocessing.get_context("spawn")  # a forked TensorFlow hangs
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        shared = studies.run(tiny.study(note), executor=executor)
    alone = studies.run(tiny.study(note), resume=False)
    assert [r["experiment"] for r in shared.records] == ["first", "second", "third"]
    for ours, theirs in zip(shared.records, alone.records):
        assert ours["metrics"]["loss"] == pytest.approx(theirs["metrics"]["loss"], abs=1e-5)


@pytest.mark.slow
def test_the_quick_profile_cuts_epochs_and_images_and_says_so(note, monkeypatch):
    monkeypatch.setenv("KIT_PROFILE", "quick")
    monkeypatch.setattr("kit.profile.QUICK_IMAGES", {"train": 100, "validation": 20, "test": 50})
    table = studies.run(tiny.study(note)).table()
    assert (table.epochs == 2).all() and (table.verdict == "not comparable").all()


def spoilt(source=None):
    data = tiny.data(source)
    x = data.test.x.copy()
    x[3, 0, 0] = np.nan
    return dataclasses.replace(data, test=data.test._replace(x=x))


def test_pixels_that_are_no_numbers_are_refused_before_anything_is_trained(note, tmp_path):
    study = dataclasses.replace(tiny.study(note), data=spoilt)
    for run in (
        lambda: studies.run(study),
        lambda: search.talos(models.mlp, spoilt(), {"hidden": [(2,)]}, folder=tmp_path),
    ):
        with pytest.raises(ValueError, match=r"^Tiny: 1 values of the test images are NaN or infinite$"):
            run()
    assert not note.exists()


def test_synthetic_data_are_never_compared(note, untrained):
    table = studies.run(tiny.study(note), source="synthetic").table()
    assert (table.origin == "synthetic").all() and (table.verdict == "not comparable").all()


BASE = {
    "status": "finished", "parameters": 163, "epochs": 3, "seconds_per_epoch": 1.0, "origin": "real", "profile": "full",
    "history": {"loss": [1.0]}, "data": "one", "family": "dense", "definition": "as it is",
}  # fmt: skip


def made_up(rows, *, metric="accuracy", tolerance=0.01, reported=0.5, more=(), **changes):
    """Results of rows whose seeds gave these values: {row: [value, ...]}."""
    experiments = [
        Experiment(name=name, build=models.mlp, reported={metric: reported, "parameters": 163}) for name in rows
    ]
    study = Study(
        name="made-up", title="Made up", data=tiny.data, experiments=(*experiments, *more), metric=metric,
        tolerance=tolerance,
    )  # fmt: skip
    records = [
        BASE | {"experiment": name, "seed": seed, "metrics": {metric: value}} | changes
        for name, values in rows.items()
        for seed, value in enumerate(values)
    ]
    return Results(study, ("a", "b", "c"), records)


def test_the_interval_is_that_of_one_more_run():
    row = made_up({"first": [0.50, 0.51, 0.52]}).table().loc["first"]
    # mean 0.51, sd 0.01; t(0.975, 2 degrees) = 4.3027; one more run scatters by sd * sqrt(1 + 1/3)
    assert row.reproduced == pytest.approx(0.51)
    assert row.high - row.reproduced == pytest.approx(4.3027 * 0.01 * (4 / 3) ** 0.5, rel=1e-4)
    for values in ([0.5], [0.5, 0.51]):
        few = made_up({"first": values}).table().loc["first"]
        assert np.isnan(few.low) and np.isnan(few.high) and few.seeds == len(values)


def test_the_interval_covers_one_more_run_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        *values, another = rng.normal(0.9, 0.01, 4)
        row = made_up({"first": values}).table().loc["first"]
        covered += row.low <= another <= row.high
    assert 0.92 < covered / 400 < 0.98


def test_rows_that_scatter_alike_share_their_scatter():
    alike = made_up({"first": [0.50, 0.51, 0.52], "second": [0.60, 0.62, 0.61], "third": [0.40, 0.41, 0.42]})
    table = alike.table()
    # pooled: sd 0.01 with 6 degrees, t(0.975, 6) = 2.4469
    assert (table.high - table.reproduced).tolist() == pytest.approx([2.4469 * 0.01 * (4 / 3) ** 0.5] * 3, rel=1e-4)
    other = dataclasses.replace(alike, records=[r | {"family": r["experiment"]} for r in alike.records])
    assert other.table().high["first"] - 0.51 == pytest.approx(4.3027 * 0.01 * (4 / 3) ** 0.5, rel=1e-4)
    first, *more = alike.study.experiments
    stopped = dataclasses.replace(first, callbacks=(keras.callbacks.TerminateOnNaN,))
    apart = dataclasses.replace(alike, study=dataclasses.replace(alike.study, experiments=(stopped, *more)))
    assert apart.table().high["first"] - 0.51 == pytest.approx(4.3027 * 0.01 * (4 / 3) ** 0.5, rel=1e-4)
    wild = made_up({"calm": [0.500, 0.501, 0.502, 0.501, 0.5], "wild": [0.1, 0.9, 0.5, 0.2, 0.8]}).table()
    assert wild.high["calm"] - wild.low["calm"] < 0.01  # Levene's test objects to pooling these


@pytest.mark.parametrize(
    "values, more, verdict",
    [
        ([0.505], {}, "reproduced"),
        ([0.49], {}, "reproduced"),  # 0.50 - 0.49 is more than 0.01 by the last bit of a float
        ([0.51], {}, "reproduced"),
        ([0.52], {}, "undecided"),  # from fewer than three seeds nothing else is said
        ([0.48, 0.48], {}, "undecided"),
        ([0.48, 0.51], {}, "reproduced"),
        ([0.521, 0.520, 0.519], {}, "better"),
        ([0.479, 0.480, 0.481], {}, "worse"),
        ([0.5145, 0.512, 0.5095], {}, "within scatter"),
        ([0.56, 0.50, 0.44 + 0.06], {}, "undecided"),  # the report lies within, but so would much else
        ([0.5], {"origin": "synthetic"}, "not comparable"),
        ([0.5], {"origin": "synthetic (a third)"}, "not comparable"),
        ([0.5], {"origin": "real, unverified"}, "reproduced"),
        ([0.5], {"origin": "own"}, "reproduced"),
        ([0.5], {"profile": "quick"}, "not comparable"),
        ([0.5], {"status": "diverged in epoch 2"}, "failed"),
    ],
)
def test_verdicts(values, more, verdict):
    assert made_up({"first": values}, **more).table().verdict["first"] == verdict


def test_no_verdict_contradicts_its_interval():
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(300):
        values = rng.normal(0.5 + rng.normal(0, 0.02), rng.choice([0.001, 0.01]), 3)
        row = made_up({"first": list(values)}).table().loc["first"]
        inside = row.low <= 0.5 <= row.high
        seen.add(row.verdict)
        assert {"better": not inside, "worse": not inside, "within scatter": inside}.get(row.verdict, True)
    assert seen == {"reproduced", "within scatter", "undecided", "better", "worse"}


def test_a_loss_is_better_when_it_is_lower_and_has_a_tenth_of_tolerance():
    for loss, verdict in ((1.05, "reproduced"), (0.8, "better"), (1.3, "worse")):
        losses = [loss, loss + 0.001, loss - 0.001]
        assert made_up({"first": losses}, metric="loss", reported=1.0).table().verdict["first"] == verdict
    tight = made_up({"first": [1.05, 1.051, 1.049]}, metric="loss", reported=1.0, tolerance={"loss": 0.02})
    assert tight.table().verdict["first"] == "worse"


def test_tolerances_are_the_studys():
    values = {"first": [0.5060, 0.5061, 0.5059]}
    assert made_up(values, tolerance=0.01).table().verdict["first"] == "reproduced"
    assert made_up(values, tolerance=0.002).table().verdict["first"] == "better"
    assert made_up(values, tolerance={"accuracy": 0.002}).table().verdict["first"] == "better"


def test_readings_stand_beside_the_row_that_they_read():
    reading = Experiment(name="read otherwise", build=models.mlp, of="first")
    results = made_up({"first": [0.6, 0.61, 0.6], "second": [0.5]}, more=(reading,))
    results.records.append(BASE | {"experiment": "read otherwise", "seed": 0, "metrics": {"accuracy": 0.5}})
    assert list(results.table().index) == ["first", "second"]
    beside = results.readings("first")
    assert list(beside.index) == ["first", "read otherwise"] and (beside.reported == 0.5).all()
    assert list(results.readings().index) == ["read otherwise"]
    assert list(beside.columns) == list(results.table().columns)
    with pytest.raises(ValueError, match=r"row='third'; made-up has: first; second"):
        results.readings("third")


def test_rows_of_one_name_and_readings_of_nothing_are_refused():
    row = Experiment(name="one", build=models.mlp)
    for rows, message in (
        ((row, row), "more than one row is called one"),
        ((dataclasses.replace(row, of="two"),), "'one' reads 'two', which is no printed row"),
    ):
        with pytest.raises(ValueError, match=message):
            Study(name="s", title="S", data=tiny.data, experiments=rows)


def test_saved_results_have_the_same_table_without_the_code(tmp_path):
    reading = Experiment(name="read otherwise", build=models.mlp, of="first")
    results = made_up({"first": [0.6, 0.61, 0.6], "second": [0.5]}, more=(reading,), tolerance={"accuracy": 0.002})
    results.records.append(
        BASE | {"experiment": "read otherwise", "seed": 0, "metrics": {"accuracy": 0.5, "loss": float("nan")}}
    )
    path = tmp_path / "results" / "made-up.json"
    results.save(path, trials=[{"units": 3}])
    loaded = Results.load(path)
    for ours, theirs in ((loaded.table(), results.table()), (loaded.readings(), results.readings())):
        assert ours.to_csv() == theirs.to_csv()
    assert loaded.classes == results.classes and loaded.study.title == "Made up"
    strict = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert strict["trials"] == [{"units": 3}]


def test_a_file_is_recorded_bit_by_bit(tmp_path):
    path = tmp_path / "made-up.json"
    whole = made_up({"first": [0.1, 0.2, 0.3], "second": [0.4, 0.5, 0.6]})

    def keep(chosen, **changes):
        part = dataclasses.replace(whole, records=[r | changes for r in whole.records if chosen(r)])
        part.merged(path).save(path)
        return Results.load(path, whole.study)

    first = keep(lambda r: r["experiment"] == "first" and r["seed"] == 0)
    assert first.missing() == {"second": [0]} and list(first.table().index) == ["first"]
    more = keep(lambda r: r["seed"] == 1)
    assert {(r["experiment"], r["seed"]) for r in more.records} == {("first", 0), ("first", 1), ("second", 1)}
    assert more.missing() == {"second": [0]}
    again = keep(lambda r: r["experiment"] == "first" and r["seed"] == 1, metrics={"accuracy": 0.9})
    assert again.table().reproduced["first"] == pytest.approx(0.5) and len(again.records) == 3
    changed = keep(lambda r: r["experiment"] == "first" and r["seed"] == 2, definition="otherwise")
    assert [(r["experiment"], r["seed"]) for r in changed.records] == [("second", 1), ("first", 2)]


@pytest.mark.slow
def test_only_full_finished_runs_are_recorded(note, tmp_path, monkeypatch):
    results = studies.run(tiny.study(note), only="first")
    results.save(tmp_path / "out" / "tiny.json")
    held = json.loads((tmp_path / "out" / "tiny.json").read_text())
    assert held["records"] == results.records and held["classes"] == ["dark", "grey", "bright"]
    broken = dataclasses.replace(results, records=[results.records[0] | {"status": "failed: no room"}])
    with pytest.raises(ValueError, match="only full, finished fits are recorded"):
        broken.save(tmp_path / "none.json")
    monkeypatch.setenv("KIT_PROFILE", "quick")
    with pytest.raises(ValueError, match=r"quick profile: first"):
        studies.run(tiny.study(note), only="first").save(tmp_path / "quick.json")
    assert [path.name for path in tmp_path.glob("*.json")] == []


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"study": "no-such-study"}, "study='no-such-study'; it must be a Study"),
        ({"only": "fourth"}, "no experiment of 'tiny' is called 'fourth'; it has: first; second; third"),
        ({"only": ["first", "x*"]}, "'x\\*'"),
        ({"seeds": ()}, "give at least one whole number"),
        ({"seeds": (0.5,)}, "seed=0.5; it must be a whole number of at least 0"),
        ({"on_error": "stop"}, "on_error='stop'; it must be record or raise"),
    ],
)
def test_bad_arguments_are_one_line(arguments, message, note):
    with pytest.raises(ValueError, match=message) as error:
        studies.run(**{"study": tiny.study(note)} | arguments)
    assert "\n" not in str(error.value)


def test_patterns_choose_rows(note):
    study = tiny.study(note)
    assert [e.name for e in study.select("*ir*")] == ["first", "third"]
    assert [e.name for e in study.select(["third", "first"])] == ["first", "third"]


def test_the_ladder_has_the_reports_thirty_rows():
    study = reports.get("fashion-ladder-mlp")
    assert len(study.experiments) == len({e.name for e in study.experiments}) == 30
    for experiment in study.experiments:
        size, units = experiment.name.split(",")[0].split()
        sizes = (784, *(int(units),) * (1 + ("small", "medium", "large").index(size)), 10)
        parameters = sum((before + 1) * after for before, after in itertools.pairwise(sizes))
        assert experiment.build((28, 28, 1), 10).count_params() == parameters, experiment.name
        assert "parameters" not in experiment.reported  # the report prints none
    reported = {e.name: (e.reported["loss"], e.reported["accuracy"]) for e in study.experiments}
    assert reported["small 64, SGD, Glorot"] == (0.451170, 0.8744)
    assert reported["large 128, SGD, He"] == (0.665122, 0.8841)
    assert reported["medium 128, Adam, Glorot"] == (1.126850, 0.8845)
    assert reported["large 64, Adam, dropout"] == reported["large 64, SGD, dropout"] == (0.357432, 0.8717)


def test_the_ladder_has_the_reports_ten_cnns():
    study = reports.get("fashion-ladder-cnn")
    assert len(study.experiments) == len({e.name for e in study.experiments}) == 10
    for experiment in study.experiments:
        maps, *dense = re.findall(r"[\d-]+", experiment.name)
        maps = (1, *map(int, maps.split("-")))
        side = -(-28 // 2 ** (len(maps) - 1))  # poolings round up: 28, 14, 7, 4
        units = (side * side * maps[-1], *map(int, dense), 10)
        convolutions = sum((3 * 3 * before + 1) * after for before, after in itertools.pairwise(maps))
        parameters = convolutions + sum((before + 1) * after for before, after in itertools.pairwise(units))
        assert experiment.build((28, 28, 1), 10).count_params() == parameters, experiment.name
        assert experiment.seeds == ((0, 1, 2, 3, 4) if experiment.name == "medium 64-128, dense 128" else ())
    reported = {e.name: e.reported for e in study.experiments}
    assert reported["large 64-128-256"] == {"accuracy": 0.9163, "loss": 0.471812, "parameters": 410_634}
    assert reported["large 32-64-128, dense 128"]["accuracy"] == 0.9177


def test_the_ladders_rows_are_trained_as_the_report_says():
    rows = {e.name: e for e in reports.get("fashion-ladder-mlp").experiments}
    sgd, adam = rows["small 64, SGD, He"].optimizer(), rows["small 64, Adam, Glorot"].optimizer()
    assert (float(sgd.learning_rate), sgd.momentum, sgd.nesterov) == (pytest.approx(0.01), 0.8, True)
    schedule = adam._learning_rate
    assert float(schedule(0)) == pytest.approx(0.001) and float(schedule(1_593_750)) == pytest.approx(0.0005)
    he = rows["small 64, SGD, He"].build((28, 28, 1), 10)
    assert type(he.layers[1].kernel_initializer).__name__ == "HeUniform"
    dropped = rows["medium 64, SGD, dropout"]
    kinds = [type(layer).__name__ for layer in dropped.build((28, 28, 1), 10).layers]
    assert kinds == ["Flatten", "Dropout", "Dense", "Dropout", "Dense", "Dropout", "Dense"]
    (stopping,) = (make() for make in dropped.callbacks)
    assert (stopping.monitor, stopping.patience) == ("val_loss", 10)
    assert all(e.batch_size == 32 and e.epochs == 100 and e.validation_split == 0.1 for e in rows.values())


def test_the_comparison_has_its_nine_nets():
    study = reports.get("fashion-compare")
    rows = {e.name: e for e in study.experiments}
    # Each by hand and in Keras, early and converged; weights of two deviations, of tanh and raw pixels of four, these
    # converged too; centred or not but for raw pixels; dropout of 0.5; and the CNN with 10,000 images, dropout, 60,000.
    assert len(rows) == len(study.experiments) == 8 * 2 * 2 + 6 * 2 + 2 * 4 * 2 + 7 + 2 + 3
    # one, two and three hidden layers of 128 units, or three of 256, written out
    counts = {
        "1 layer": (784 + 1) * 128 + (128 + 1) * 10,
        "2 layers": (784 + 1) * 128 + (128 + 1) * 128 + (128 + 1) * 10,
        "3 layers": (784 + 1) * 128 + 2 * (128 + 1) * 128 + (128 + 1) * 10,
        "3 layers of 256": (784 + 1) * 256 + 2 * (256 + 1) * 256 + (256 + 1) * 10,
    }
    for name, row in rows.items():
        net = row.build((28, 28, 1), 10)
        if name.startswith("CNN"):
            assert net.count_params() == 623_306
            assert row.seeds == ((0, 1, 2, 3, 4) if name == "CNN" else ())
        elif "Keras" in name:
            assert net.count_params() == counts[name.split(",")[0]], name
        else:
            assert (net.learning_rate, net.patience) == (0.002, 10 if "converged" in name else None)
            assert row.optimizer is None
    reported = {name: row.reported["accuracy"] for name, row in rows.items() if row.of is None}
    assert reported["3 layers, tanh: by hand"] == 0.5101 and len(reported) == 10
    assert rows["3 layers, tanh: Keras, converged"].of == "3 layers, tanh: by hand"
    minutes = [row.reported.get("seconds", 0) / 60 for name, row in rows.items() if row.of is None]
    assert minutes == [18, 0, 18, 56, 27, 48, 83, 28, 1, 0]
    assert (reported["CNN"], reported["CNN, 60,000 images"]) == (0.8576, 0.9001)
    # 281 updates an epoch: 2,000 of them, 1,000, and by the minutes 1000 * 56 / 18
    epochs = [rows[f"{net}: Keras"].epochs for net in ("1 layer, ReLU", "3 layers, ReLU", "3 layers, Leaky ReLU")]
    assert epochs == [7, 4, 11]


def test_the_comparisons_nets_are_the_same_by_hand_and_in_keras():
    rows = {e.name: e for e in reports.get("fashion-compare").experiments}
    x = np.random.default_rng(0).normal(size=(5, 28, 28, 1)).astype("float32")
    for name in ("3 layers, Leaky ReLU", "3 layers, tanh", "3 layers, dropout"):
        net, model = (rows[f"{name}: {how}"].build((28, 28, 1), 10) for how in ("by hand", "Keras"))
        net.set_params(epochs=1).fit(np.repeat(x, 20, axis=0), np.arange(100) % 10)
        model.set_weights([w for pair in zip(net.coefs_, net.intercepts_) for w in pair])
        np.testing.assert_allclose(model.predict(x, verbose=0), net.predict_proba(x), atol=1e-5)
        rates = {layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)}
        assert rates == ({net.dropout} if net.dropout else set())
    kinds = [type(layer).__name__ for layer in rows["3 layers, dropout: Keras"].build((28, 28, 1), 10).layers]
    assert kinds == ["Flatten", *["Dense", "Dropout"] * 3, "Dense"]  # not on the pixels


def test_the_comparisons_readings_change_one_thing_each():
    rows = {e.name: e for e in reports.get("fashion-compare").experiments}
    for name, row in rows.items():
        if "sd" in name:
            deviation = float(name.partition("sd ")[2].removesuffix(", converged"))
            kernels = [layer.kernel for layer in row.build((28, 28, 1), 10).layers if layer.weights]
            assert all(np.std(kernel) == pytest.approx(deviation, rel=0.1) for kernel in kernels)
            assert not any(np.array_equal(one, other) for one, other in itertools.combinations(kernels, 2))
        if name.endswith("converged") and "by hand" not in name:
            early = rows[name.removesuffix(", converged")]
            assert (row.build.keywords, row.data, row.of) == (early.build.keywords, early.data, early.of)
            assert (row.epochs, early.callbacks) == (500, ()) and row.callbacks
    half = rows["3 layers, dropout: Keras, 0.5"].build((28, 28, 1), 10).layers
    assert {layer.rate for layer in half if isinstance(layer, keras.layers.Dropout)} == {0.5}
    cnn = rows["CNN: dropout 0.2"].build((28, 28, 1), 10).layers
    assert [layer.rate for layer in cnn if isinstance(layer, keras.layers.Dropout)] == [0.2, 0.2]


@pytest.mark.slow
def test_the_comparisons_images():
    study = reports.get("fashion-compare")
    rows = {e.name: e for e in study.experiments}
    data, raw = study.data("synthetic"), rows["3 layers, raw pixels: by hand"].data("synthetic")
    plain, both = rows["3 layers, tanh: Keras, not centred"].data("synthetic"), rows["CNN"].data("synthetic")
    assert (plain.train.x.min(), plain.train.x.max()) == (0, 1) and (plain.train.y == data.train.y).all()
    assert (both.train.x == data.train.x).all() and (both.test.x == data.test.x).all()
    assert (both.extra["uncentred"].x == plain.test.x).all()
    assert len(data.train.x) == 10_000 and abs(data.train.x.mean()) < 1e-4 and data.test.x.min() < 0
    assert raw.train.x.dtype == "uint8" and (raw.train.y == data.train.y).all()
    assert len(rows["CNN, 60,000 images"].data("synthetic").train.x) == 12_000  # all that are synthetic
    own = {name for name, row in rows.items() if row.data}
    assert own == {name for name in rows if "raw" in name or "CNN" in name or "not centred" in name}


def numpy_net(input_shape, classes, **options):
    return NumpyMLP(hidden=(8,), **options)


@pytest.mark.slow
def test_a_hand_written_net_is_a_row_like_another(note):
    study = tiny.study(note)
    row = studies.Experiment(
        name="by hand", build=partial(numpy_net, learning_rate=0.5), epochs=6, batch_size=20, validation_split=0.1
    )
    study = dataclasses.replace(study, experiments=(row,))
    results = studies.run(study, seeds=(0, 1))
    data = tiny.data()
    alone = numpy_net(None, None, learning_rate=0.5, epochs=6, batch_size=20, random_state=1)
    alone.fit(data.train.x[:180], data.train.y[:180], (data.train.x[180:], data.train.y[180:]))
    record = results.records[1]
    assert record["metrics"]["accuracy"] == pytest.approx(alone.score(*data.test)) and alone.score(*data.test) > 0.5
    assert record["metrics"]["loss"] == pytest.approx(
        -np.log(alone.predict_proba(data.test.x)[range(100), data.test.y]).mean(), rel=1e-5
    )
    assert record["history"]["val_accuracy"] == pytest.approx(alone.history_["val_accuracy"], rel=1e-4)
    assert record["parameters"] == (16 + 1) * 8 + (8 + 1) * 3 and record["epochs"] == 6
    assert record["engine"] == "NumpyMLP.fit" and np.sum(record["confusion_matrix"]) == 100
    assert studies.run(study, seeds=(0, 1)).records == results.records  # from the ledger: the seconds are the same
    assert results.records[0]["metrics"] != record["metrics"]


def test_a_hand_written_net_that_diverges_says_when(note):
    wild = studies.Experiment(name="wild", build=partial(numpy_net, learning_rate=1e30), epochs=6)
    wrong = studies.Experiment(name="wrong", build=partial(numpy_net, learning_rate=-1), epochs=6)
    results = studies.run(dataclasses.replace(tiny.study(note), experiments=(wild, wrong)))
    statuses = results.statuses().set_index("experiment").status
    assert re.fullmatch(r"diverged in epoch \d", statuses["wild"])
    assert statuses["wrong"].startswith("failed: ValueError: learning_rate=-1: a number above 0")


@pytest.mark.slow
def test_a_row_may_have_data_of_its_own(note):
    study = tiny.study(note)
    own = dataclasses.replace(
        study.experiments[0], name="fewer", data=lambda source: tiny.data(source).take(20, seed=0)
    )
    results = studies.run(dataclasses.replace(study, experiments=(study.experiments[0], own)))
    whole, fewer = results.records
    assert fits(note) == 2 and whole["metrics"] != fewer["metrics"]

    def missing(source):
        raise FileNotFoundError("no such folder")

    absent = dataclasses.replace(own, data=missing)
    results = studies.run(dataclasses.replace(study, experiments=(study.experiments[0], absent)))
    assert results.statuses().status.item() == "failed: FileNotFoundError: no such folder"
    with pytest.raises(FileNotFoundError):  # nothing can be fitted: it is said at once
        studies.run(dataclasses.replace(study, experiments=(absent,)))


def test_each_dataset_is_loaded_once_and_only_one_is_held(note, untrained):
    loads = []

    def loader(number):
        def load(source):
            loads.append(number)
            return tiny.data(source).take(100 + number, seed=0)

        return load

    row = dataclasses.replace(tiny.study(note).experiments[0], epochs=1)
    rows = [dataclasses.replace(row, name=f"{place}", data=loader(place % 5)) for place in range(6)]
    rows[5] = dataclasses.replace(rows[5], data=rows[0].data)
    results = studies.run(dataclasses.replace(tiny.study(note), experiments=tuple(rows)), seeds=(0, 1))
    assert loads == [0, 1, 2, 3, 4]
    assert [(r["seed"], r["experiment"]) for r in results.records] == [(s, f"{p}") for s in (0, 1) for p in range(6)]
    assert not running._LOADED


def test_data_may_follow_the_seed(note, untrained):
    seen = note.with_name("seen")

    def load(source, seed):
        seen.open("a").write(f"{seed} ")
        return tiny.data(source).hold_out(0.2, seed=seed)

    study = dataclasses.replace(tiny.study(note), data=load)
    rows = [dataclasses.replace(study.experiments[0], validation_split=0.0, epochs=1, seeds=(0, 5))]
    results = studies.run(dataclasses.replace(study, experiments=tuple(rows)), seeds=(0, 1))
    assert seen.read_text() == "0 1 5 " and [r["seed"] for r in results.records] == [0, 1, 5]
    assert len({r["definition"] for r in results.records}) == 1  # one row, whatever the seed makes of it


def test_another_source_is_another_dataset(note, monkeypatch, untrained):
    origins = []
    for source in ("synthetic", "real"):
        monkeypatch.setenv("KIT_SOURCE", source)
        origins += [record["origin"] for record in studies.run(tiny.study(note), only="first").records]
    assert origins == ["synthetic", "real"]


def test_another_folder_of_data_is_another_dataset(note, monkeypatch, untrained):
    folders = []
    study = dataclasses.replace(
        tiny.study(note), data=lambda source: folders.append(os.environ["KIT_DATA"]) or tiny.data(source)
    )
    for folder in ("one", "other"):
        monkeypatch.setenv("KIT_DATA", folder)
        studies.run(study, only="first")
    assert folders == ["one", "other"]


@pytest.mark.parametrize(
    "judged, message",
    [
        ("acuracy", "'first' is judged by 'acuracy'; it has: loss, accuracy, val_loss, val_accuracy, train_loss"),
        ("val_f1", "'first' is judged by 'val_f1'"),
    ],
)
def test_a_misspelt_metric_is_found_before_training(judged, message, note):
    with pytest.raises(ValueError, match=message):
        studies.run(dataclasses.replace(tiny.study(note), metric=judged))
    assert fits(note) == 0


def test_a_metric_of_a_split_that_is_not_there_is_found_before_training(note):
    study = tiny.study(note)
    row = dataclasses.replace(study.experiments[0], validation_split=0.0, metric="val_accuracy")
    results = studies.run(dataclasses.replace(study, experiments=(row,)))
    assert "is judged by 'val_accuracy'; it has: loss, accuracy, train_loss" in results.statuses().status.item()
    assert fits(note) == 0


@pytest.mark.slow
def test_every_labelled_split_is_judged_by_the_same_metrics(note):
    study = dataclasses.replace(tiny.study(note), metric="val_accuracy")
    by_hand = Experiment(name="by hand", build=numpy_net, epochs=2, validation_split=0.1)
    results = studies.run(dataclasses.replace(study, experiments=(study.experiments[0], by_hand)))
    for record in results.records:
        assert set(record["metrics"]) == {f"{p}{m}" for p in ("", "val_", "train_") for m in ("loss", "accuracy")}
    assert results.table().reproduced.notna().all()
    net = results.records[0]
    assert net["metrics"]["val_accuracy"] == pytest.approx(net["history"]["val_accuracy"][-1], abs=1e-4)


@pytest.mark.slow
def test_a_metric_with_several_values_has_a_name_for_each(note):
    study = tiny.study(note)
    row = dataclasses.replace(
        study.experiments[0], metrics=(keras.metrics.F1Score,), loss="categorical_crossentropy", metric="f1_score_2"
    )
    one_hot = dataclasses.replace(study, data=one_hot_data, experiments=(row,))
    (record,) = studies.run(one_hot, on_error="raise").records
    assert {"f1_score_0", "f1_score_1", "f1_score_2"} < set(record["metrics"])


def one_hot_data(source=None):
    data = tiny.data(source)
    train, test = (split._replace(y=np.eye(3)[split.y]) for split in (data.train, data.test))
    return dataclasses.replace(data, task="multilabel", train=train, test=test)


@pytest.mark.slow
def test_any_classifier_is_a_row(note):
    rows = (
        Experiment(name="logistic", build=lambda *_: LogisticRegression(max_iter=500)),
        Experiment(name="network", build=lambda *_: MLPClassifier((8,), max_iter=300, learning_rate_init=0.01)),
        Experiment(name="forest", build=lambda *_: RandomForestClassifier(10)),
        Experiment(name="support", build=lambda *_: LinearSVC()),
    )
    results = studies.run(dataclasses.replace(tiny.study(note), experiments=rows), seeds=(1,), on_error="raise")
    records, data = {record["experiment"]: record for record in results.records}, tiny.data()
    flat = data.train.x.reshape(200, -1)
    alone, test = LogisticRegression(max_iter=500, random_state=1).fit(flat, data.train.y), data.test.x.reshape(100, -1)
    assert records["logistic"]["metrics"]["accuracy"] == pytest.approx(alone.score(test, data.test.y))
    assert records["logistic"]["parameters"] == 16 * 3 + 3 and records["forest"]["parameters"] is None
    assert records["network"]["parameters"] == 16 * 8 + 8 + 8 * 3 + 3 and records["network"]["epochs"] > 1
    assert all(record["metrics"]["accuracy"] > 0.6 for record in records.values())
    loss = log_loss(data.test.y, alone.predict_proba(test))
    assert records["logistic"]["metrics"]["loss"] == pytest.approx(loss, rel=1e-4)


def two_classes(source=None):
    data = tiny.data(source)
    train, test = (split._replace(y=(split.y > 0).astype(int)) for split in (data.train, data.test))
    return dataclasses.replace(data, classes=("dark", "bright"), train=train, test=test)


@pytest.mark.slow
def test_one_sigmoid_tells_two_classes(note):
    row = Experiment(
        name="sigmoid", build=sigmoid, optimizer=partial(keras.optimizers.SGD, 0.5), epochs=20,
        loss=keras.losses.BinaryCrossentropy(label_smoothing=0.01),
    )  # fmt: skip
    results = studies.run(dataclasses.replace(tiny.study(note), data=two_classes, experiments=(row,)))
    matrix = results.confusion_matrices()["sigmoid"]
    accuracy = results.records[0]["metrics"]["accuracy"]
    assert np.trace(matrix) / 100 == pytest.approx(accuracy) and accuracy > 0.7
    assert matrix.sum(axis=0).all()  # both classes are predicted


def sigmoid(input_shape, classes):
    return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dense(1, "sigmoid")])


def test_sets_of_twelve_labels_take_no_more_room_than_the_images():
    rng = np.random.default_rng(0)
    true, scores = rng.integers(0, 2, (300, 12)), rng.random((300, 12))
    many = dataclasses.replace(tiny.data(), task="multilabel", classes=tuple("abcdefghijkl"))
    held = nets.errors(many, true, scores)
    assert len(json.dumps(held)) < 30_000 and sum(count for *_, count in held["label_sets"]) == 300
    results = made_up({"first": [0.5]}, **held)
    results = dataclasses.replace(results, classes=many.classes)
    ours, found = results.labels("first")
    assert sorted(map(tuple, np.hstack([ours, found]))) == sorted(map(tuple, np.hstack([true, scores >= 0.5])))


@pytest.mark.slow
def test_the_best_and_the_last_weights_are_both_judged(note):
    stops = partial(keras.callbacks.EarlyStopping, "val_accuracy", patience=3)
    row = partial(Experiment, build=models.mlp, optimizer=partial(keras.optimizers.SGD, 0.3), epochs=8,
                  validation_split=0.1)  # fmt: skip
    restores = partial(stops, restore_best_weights=True)
    rows = (row(name="last", callbacks=(stops,)), row(name="best", callbacks=(restores,)))
    last, best = studies.run(dataclasses.replace(tiny.study(note), experiments=rows)).records
    assert last["weights"] == best["weights"] and last["weights"]["best"] != last["weights"]["last"]
    for record, which in ((last, "last"), (best, "best")):
        assert {name: record["metrics"][name] for name in ("loss", "accuracy")} == record["weights"][which]


@pytest.mark.slow
def test_curves_of_the_test_images_may_be_watched(note):
    row = Experiment(
        name="watched", build=models.mlp, optimizer=keras.optimizers.SGD, epochs=2, watch="test", metric="accuracy"
    )
    study = dataclasses.replace(tiny.study(note), experiments=(row, dataclasses.replace(row, name="not", watch=None)))
    watched, plain = studies.run(study).records
    assert set(watched["history"]) == {"loss", "accuracy", "test_loss", "test_accuracy"}
    assert watched["metrics"] == plain["metrics"]  # nothing is chosen by them
    assert watched["history"]["test_accuracy"][-1] == pytest.approx(watched["metrics"]["accuracy"], abs=1e-4)


def test_some_misclassified_images_are_named(note):
    record = studies.run(tiny.study(note), only="first").records[0]
    y = tiny.data().test.y
    wrong = 100 - np.trace(record["confusion_matrix"])
    assert len(record["misclassified"]) == min(wrong, nets.MISCLASSIFIED) > 0
    assert all(y[index] == true != found for index, true, found in record["misclassified"])


def test_what_cannot_be_described_is_fitted_and_not_kept(note, tmp_path):
    lock = threading.Lock()

    def build(input_shape, classes):
        with lock:
            return models.mlp(input_shape, classes)

    study = tiny.study(note)
    row = dataclasses.replace(study.experiments[0], build=build)
    with pytest.warns(UserWarning, match="first: .*lock.* is not kept"):
        (record,) = studies.run(dataclasses.replace(study, experiments=(row,))).records
    assert record["status"] == "finished" and record["kept"] is False
    assert not list((tmp_path / "runs").rglob("*.json"))


def test_a_record_that_cannot_be_written_stays_in_the_table(note, monkeypatch, untrained):
    def full(*_, **__):
        raise OSError(28, "no space left on device")

    monkeypatch.setattr("kit.studies.ledger.files.writing", full)
    with pytest.warns(UserWarning, match="no space left on device"):
        results = studies.run(tiny.study(note), only="first")
    assert results.table().seeds["first"] == 1 and results.records[0]["kept"] is False


def test_a_ledger_that_cannot_be_written_is_said_before_training(note, tmp_path):
    (tmp_path / "runs").write_text("a file, where the folder would be")
    with pytest.raises((OSError, ValueError)) as error:
        studies.run(tiny.study(note))
    assert "\n" not in str(error.value) and fits(note) == 0


STUDIES = [name for name in reports.names() if isinstance(reports.get(name), studies.Study)]


@pytest.mark.parametrize("name", STUDIES)
def test_recorded_results_are_whole_and_full(name):
    if not reports.results_path(name).exists():
        pytest.skip("nothing recorded yet")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = reports.recorded(name)
    table = pd.concat([results.table(), results.readings()])
    assert {*table.index, *results.missing()} == {e.name for e in results.study.experiments}
    for row in table[table.reported_parameters.notna()].itertuples():
        ours = {float(f"{row.parameters:.{digits}g}") for digits in (2, 6)}  # 2.7e5, 410,634
        assert row.reported_parameters in {*ours, row.parameters // 1000 * 1000}  # "over 623 thousand"
    assert all(record["profile"] == "full" for record in results.records)


@pytest.mark.parametrize("path", sorted((ROOT / "results").glob("*.json")), ids=lambda path: path.stem)
def test_recorded_results_are_strict_json(path):
    json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_a_file_of_kit_0_1_with_drawn_data_is_read_as_synthetic(note, tmp_path, untrained):
    results, path = studies.run(tiny.study(note), only="first", source="synthetic"), tmp_path / "old.json"
    results.save(path)
    text = path.read_text()
    assert text.count('"origin": "synthetic"') == 1
    path.write_text(text.replace('"origin": "synthetic"', '"origin": "drawn (a third)"'))
    assert [record["origin"] for record in Results.load(path).records] == ["synthetic (a third)"]
