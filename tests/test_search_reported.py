"""The reports' searches: their spaces, the best net beside the report's, what is recorded."""

import dataclasses
import inspect
import json
import math
import os
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tiny

from kit import models, reports, search, studies, training
from kit.__main__ import main
from kit.search.search import everything

pytestmark = pytest.mark.slow  # nearly every test trains


@pytest.fixture
def small(monkeypatch):
    """A search of three trials on the tiny data, registered under the name "small"; two epochs are enough to judge."""
    pytest.importorskip("talos")
    one = search.Search(
        name="small",
        title="Small",
        data=tiny.data,
        library=search.talos,
        build=net,
        space={"batch_size": [16], "learning_rate": [0.1, 1e30], "kernel": [(1, 1), (2, 2)]},
        settings=search.Settings(trials=3, epochs=2, validation_split=0.2),
        reported={"accuracy": 0.5},
    )
    tiny.register(monkeypatch, one)
    return one


def net(input_shape, classes, *, kernel):
    return models.cnn(input_shape, classes, filters=(2,), kernel_size=(kernel,), pool=None)


@pytest.fixture
def recorded_here(monkeypatch, tmp_path):
    monkeypatch.setattr(reports, "results_path", lambda name: tmp_path / f"{name}.json")
    return tmp_path / "small.json"


@pytest.mark.parametrize("name, size", [("fashion-ladder-mlp-talos", 108), ("fashion-ladder-cnn-talos", 864),
                                        ("fashion-compare-keras-tuner", 18)])  # fmt: skip
def test_the_spaces_are_the_reports(name, size):
    one = reports.get(name)
    assert math.prod(len(values) for values in one.space.values()) == size
    largest = {name: values[-1] for name, values in one.space.items()}
    experiment = one.best_study(largest, 7).experiments[0]
    model = experiment.build((28, 28, 1), 10)  # every parameter is the builder's, the optimizer's or fit's
    assert model.output_shape == (None, 10)
    assert float(experiment.optimizer().learning_rate) == pytest.approx(largest["learning_rate"])
    assert experiment.batch_size == largest.get("batch_size", 32)
    assert (experiment.epochs, experiment.callbacks, experiment.validation_split) == (7, (), 0)
    assert set(inspect.signature(one.build).parameters) - {"input_shape", "classes"} <= {*one.space, "dropout"}


def test_the_reports_best_nets():
    mlp, cnn = reports.get("fashion-ladder-mlp-talos"), reports.get("fashion-ladder-cnn-talos")
    best = mlp.build((28, 28, 1), 10, units=256, hidden_layers=3, dropout=0.2)
    assert best.count_params() == (784 + 1) * 256 + 2 * (256 + 1) * 256 + (256 + 1) * 10
    best = cnn.build(
        (28, 28, 1), 10, filters_1=128, kernel_1=(3, 3), strides_1=1, filters_2=64, kernel_2=(5, 5), strides_2=2,
        dense_units=128, dropout=0.2,
    )  # fmt: skip
    # 28 -> 28 -> pooled 14 -> stride 2: 7 -> pooled 4
    assert best.count_params() == 10 * 128 + (25 * 128 + 1) * 64 + (4 * 4 * 64 + 1) * 128 + (128 + 1) * 10
    assert (mlp.reported["accuracy"], cnn.reported["accuracy"]) == (0.8858, 0.9207)


def test_the_reports_five_best_are_rows_and_in_the_space():
    study, space = reports.get("fashion-ladder-cnn-top"), reports.get("fashion-ladder-cnn-talos").space
    printed = {row.name: row for row in study.experiments if row.reported}
    assert [row.reported["val_accuracy"] for row in printed.values()] == [
        0.928889, 0.926778, 0.926667, 0.926111, 0.925444,
    ]  # fmt: skip
    for row in study.experiments:
        net, rate = row.build.keywords, float(row.optimizer().learning_rate)
        assert set(net["filters"]) <= set(space["filters_1"])
        assert {(side, side) for side in net["kernel_size"]} <= set(space["kernel_1"])
        assert row.batch_size in space["batch_size"] and any(rate == pytest.approx(r) for r in space["learning_rate"])
        (stopping,) = [make() for make in row.callbacks] or [None]
        if "60,000" in row.name:
            assert (stopping, row.epochs, row.data.__name__) == (None, 12, "everything")
        else:
            assert (stopping.patience, stopping.monitor, row.data) == (5, "val_loss", None)
    best = next(iter(printed.values())).build((28, 28, 1), 10)
    # 28 -> 28 -> pooled 14 -> stride 2: 7 -> pooled 4; no dense layer
    assert best.count_params() == 10 * 128 + (25 * 128 + 1) * 64 + (4 * 4 * 64 + 1) * 10
    kinds = ["Conv2D", "MaxPooling2D", "Conv2D", "MaxPooling2D", "Flatten", "Dropout", "Dense"]
    assert [type(layer).__name__ for layer in best.layers] == kinds and best.layers[-2].rate == 0.2
    slower = {row.of: row for row in study.experiments if row.of}
    assert set(slower) == {name for name in printed if "rate 0.01" in name} and len(slower) == 2
    for name, row in slower.items():
        assert float(row.optimizer().learning_rate) == pytest.approx(0.001)
        assert row.build is printed[name].build and row.batch_size == printed[name].batch_size


def test_the_best_is_fitted_again_and_tested(small):
    found, results = reports.run("small", seeds=(0, 1))
    assert len(found.table) == 3 and found.best["learning_rate"] == 0.1
    (row,) = results.table().itertuples()
    assert row.Index == f"best: batch_size 16, learning_rate 0.1, kernel {found.best['kernel']}"
    assert (row.reported, row.seeds, row.origin) == (0.5, 2, "real") and 0 < row.reproduced < 1
    assert row.epochs == found.best_epoch <= 2
    assert "val_loss" not in results.records[0]["history"]  # trained on what the search validated on, too


def test_the_best_is_fitted_on_all_training_images():
    whole = tiny.data()
    for held in (whole, whole.hold_out(0.25, seed=0)):
        data = everything(lambda source, held=held: held)
        assert data.validation is None and len(data.train.x) == len(data.train.y) == len(whole.train.x)
        assert sorted(data.train.x.sum((1, 2, 3))) == pytest.approx(sorted(whole.train.x.sum((1, 2, 3))))
        assert data.test is whole.test


def test_the_best_epoch_is_that_of_the_lowest_validation_loss(small):
    found, _ = reports.run("small")
    trials = [json.loads(path.read_text()) for path in Path(os.environ["KIT_RUNS"], "search").glob("*.json")]
    wanted = {name: str(value) for name, value in found.best.items()}
    (best,) = (trial for trial in trials if trial["settings"] == wanted)
    assert found.best_epoch == len(best["history"]["val_loss"])
    assert best["metrics"]["val_loss"] == best["history"]["val_loss"][-1] == min(best["history"]["val_loss"])


def test_no_finished_trial_leaves_no_best(small, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(small.space, "learning_rate", [1e30])
    found, results = reports.run("small")
    assert found.best is None and results is None
    assert main(["run", "small"]) == 1
    assert "kit: small: no trial finished" in capsys.readouterr().err
    with pytest.raises(ValueError, match="no trial finished"):
        search.save(tmp_path / "none.json", found, results)


def test_what_is_recorded_is_what_was_found(small, recorded_here, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"run it with kit.reports.run\('small'\)"):
        reports.recorded("small")
    found, results = reports.run("small")
    search.save(recorded_here, found, results)
    again, results_again = reports.recorded("small")
    pd.testing.assert_frame_equal(again.table, found.table)
    assert (again.best, again.best_epoch) == (found.best, found.best_epoch) and again.library is None
    pd.testing.assert_frame_equal(results_again.table(), results.table())
    monkeypatch.setenv("KIT_PROFILE", "quick")
    with pytest.raises(ValueError, match="only full, finished fits are recorded"):
        search.save(recorded_here, *reports.run("small"))


def of_labels(source=None, *, public=True):
    """Two labels an image, bright and not dark; without `public`, those of the test images are not known."""
    data = tiny.data(source)
    train, test = (split._replace(y=np.stack([split.y > 1, split.y > 0], -1)) for split in (data.train, data.test))
    test = test if public else test._replace(y=None)
    return dataclasses.replace(data, train=train, test=test, classes=("bright", "not dark"), task="multilabel")


def written_in_a_notebook(**changes):
    """A Search over F1 as one would write it in a notebook: of lambdas, and of a class that no module has."""

    class Dense(keras.layers.Dense):
        pass

    def build(input_shape, labels, *, units):
        layers = [keras.layers.Flatten(), Dense(units, "relu"), Dense(labels, "sigmoid")]
        return keras.Sequential([keras.Input(input_shape), *layers])

    settings = search.Settings(
        objective="val_micro_f1", loss=keras.losses.BinaryCrossentropy(label_smoothing=0.1),
        metrics=(training.MultiLabelF1,), epochs=4, batch_size=20, patience=1, validation_split=0.25,
    )  # fmt: skip
    mine = {"name": "mine", "title": "Mine", "library": search.talos, "build": build, "settings": settings}
    space = {"units": [4], "learning_rate": [0.02, 1e30]}
    return search.Search(
        **mine | {"space": space, "data": lambda source=None: of_labels(), "reported": {"micro_f1": 0.7}} | changes
    )


def test_a_search_written_in_a_notebook_is_run_kept_and_read_without_its_code(tmp_path, recwarn):
    pytest.importorskip("talos")
    mine = written_in_a_notebook()
    found, results = search.run(mine)
    assert not [warning for warning in recwarn if "not kept" in str(warning.message)]
    (row,) = results.table().itertuples()
    assert (row.metric, row.reported, row.origin) == ("micro_f1", 0.7, "real") and 0 < row.reproduced <= 1
    (experiment,) = results.study.experiments
    assert experiment.loss is mine.settings.loss and (experiment.batch_size, experiment.precision) == (20, "float32")
    assert found.table.val_micro_f1.isna().sum() == 1  # that of the rate that diverges

    search.save(tmp_path / "mine.json", found, results)
    json.loads((tmp_path / "mine.json").read_text(), parse_constant=pytest.fail)  # NaN is not JSON
    again, results_again = search.load(tmp_path / "mine.json")
    pd.testing.assert_frame_equal(again.table, found.table)
    pd.testing.assert_frame_equal(results_again.table(), results.table())
    kept = ("best", "best_epoch", "objective", "direction")
    assert [getattr(again, name) for name in kept] == [getattr(found, name) for name in kept]


@pytest.mark.parametrize("held_out", [False, True])
def test_where_the_test_labels_are_not_public_the_best_is_judged_as_the_trials_were(held_out):
    pytest.importorskip("talos")

    def data(source=None):
        found = of_labels(public=False)
        return found.hold_out(0.3, seed=0) if held_out else found

    found, results = search.run(written_in_a_notebook(data=data, space={"units": [4]}, reported={"val_micro_f1": 0.9}))
    (row,) = results.table().itertuples()
    assert (row.metric, row.reported) == ("val_micro_f1", 0.9)
    assert row.reproduced == pytest.approx(found.table.val_micro_f1.max(), abs=1e-6)  # the same net, images and epochs


def test_the_command_line_runs_and_shows_searches(small, recorded_here, capsys):
    assert main(["run", "small", "--record", str(recorded_here)]) == 0
    out = capsys.readouterr().out
    assert "diverged in epoch" in out and "best: batch_size 16" in out and "metric: accuracy; origin: real" in out
    assert main(["show", "small"]) == 0
    out = capsys.readouterr().out
    assert "val_accuracy" in out and "best: batch_size 16" in out
    assert main(["show", "small", "--markdown"]) == 0
    assert capsys.readouterr().out.startswith("| | reported | reproduced |")
    for option in (["--only", "best*"], ["--jobs", "2"]):  # which are for studies
        assert main(["run", "small", *option]) == 2
        assert "small is a search" in capsys.readouterr().err


def test_an_unknown_name_and_a_name_for_a_search_are_one_line():
    with pytest.raises(ValueError, match="no study or search is called 'x'; there are: fashion-ladder-mlp, "):
        reports.run("x")
    with pytest.raises(ValueError, match=r"search='organ-cnn-optuna'; it must be a Search, such as kit.reports.get"):
        search.run("organ-cnn-optuna")
    with pytest.raises(ValueError, match=r"study='organ'; it must be a Study, such as kit.reports.get\('organ'\)"):
        studies.run("organ")


SEARCHES = [name for name in reports.names() if isinstance(reports.get(name), search.Search)]


@pytest.mark.parametrize("name", SEARCHES)
def test_recorded_searches_are_whole_and_full(name):
    if not reports.results_path(name).exists():
        pytest.skip("nothing recorded yet")
    one = reports.get(name)
    found, results = reports.recorded(name)
    assert len(found.table) == (one.settings.trials or math.prod(len(values) for values in one.space.values()))
    assert not found.table.duplicated(list(one.space)).any()
    for parameter, values in one.space.items():
        assert set(found.table[parameter]) <= set(values)
    row = found.best_first().iloc[0]
    assert found.table.val_accuracy.max() == row.val_accuracy and row.status == "finished"
    (tested,) = results.table().itertuples()
    assert tested.parameters == one.best_study(found.best, 1).experiments[0].build((28, 28, 1), 10).count_params()
    assert all(record["profile"] == "full" and record["origin"] == "real" for record in results.records)
    keras.utils.clear_session()
