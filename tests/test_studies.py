"""Studies: rows that equal the reports', the ledger, failures, tables and verdicts."""

import dataclasses
import json
import multiprocessing
import re
import subprocess
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
import tiny

from kit import models, reports, search, studies
from kit.models.numpy_mlp import NumpyMLP
from kit.studies import Results, ledger

ROOT = Path(__file__).parents[1]


@pytest.fixture
def note(tmp_path):
    return tmp_path / "fits"


def fits(note):
    return note.read_text().count("\n") if note.exists() else 0


@pytest.mark.slow
def test_a_run_gives_a_row_an_experiment(note):
    results = studies.run(tiny.study(note), seeds=(0, 1))
    table = results.table()
    assert list(table.index) == ["first", "second", "third"]
    assert (
        list(table.columns)
        == (
            "metric reported reproduced low high seeds "
            "reported_parameters parameters epochs seconds_per_epoch origin verdict"
        ).split()
    )
    assert (table.parameters == table.reported_parameters).all() and (table.parameters == 16 * 8 + 8 + 8 * 3 + 3).all()
    assert (table.seeds == 2).all() and (table.epochs == 3).all() and (table.origin == "real").all()
    assert ((table.low <= table.reproduced) & (table.reproduced <= table.high)).all()
    assert set(results.histories()["first"]) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    matrix = results.confusion_matrices()["first"]
    assert matrix.shape == (3, 3) and matrix.sum() == 100
    first = results.records[0]
    assert np.trace(matrix) / 100 == pytest.approx(first["metrics"]["accuracy"])
    assert results.classification_report("first").loc["accuracy", "f1-score"] == pytest.approx(np.trace(matrix) / 100)
    assert first["engine"].startswith("compiled") and first["versions"]["keras"] == keras.version()


@pytest.mark.slow
def test_finished_fits_are_not_repeated(note):
    first = studies.run(tiny.study(note))
    assert fits(note) == 3
    again = studies.run(tiny.study(note))
    assert fits(note) == 3 and again.records == first.records
    studies.run(tiny.study(note), only="second", seeds=(0, 1))
    assert fits(note) == 4  # the new seed
    studies.run(tiny.study(note), only="second", resume=False)
    assert fits(note) == 5


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [{"epochs": 4}, {"batch_size": 16}, {"optimizer": partial(keras.optimizers.SGD, 0.5)}, {"validation_split": 0.2},
     {"callbacks": (partial(keras.callbacks.EarlyStopping, patience=9),)}, {"precision": "mixed_bfloat16"}],
    ids=str,
)  # fmt: skip
def test_a_changed_experiment_is_fitted_anew(change, note):
    study = tiny.study(note)
    studies.run(study, only="first")
    changed = dataclasses.replace(study, experiments=(dataclasses.replace(study.experiments[0], **change),))
    studies.run(changed)
    assert fits(note) == 2


def test_changed_data_are_fitted_anew(note):
    studies.run(tiny.study(note), only="first")
    other = dataclasses.replace(tiny.study(note), data=lambda source: tiny.data(source).take(150, seed=0))
    studies.run(other, only="first")
    assert fits(note) == 2


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


@pytest.mark.parametrize("content", ["", "[]", "3", '{"experiment": "first"}', "\x00\x01"])
def test_no_damaged_record_is_trusted_or_fatal(content, tmp_path):
    path = tmp_path / "record.json"
    path.write_text(content)
    with pytest.warns(UserWarning, match="set aside"):
        assert ledger.read(path) is None
    assert ledger.read(path) is None  # and it is out of the way


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


@pytest.mark.slow
def test_synthetic_data_are_never_compared(note):
    table = studies.run(tiny.study(note), source="synthetic").table()
    assert (table.origin == "synthetic").all() and (table.verdict == "not comparable").all()


def results_of(values, *, metric="accuracy", status="finished", **more):
    """Results of one experiment whose seeds gave these values."""
    base = {
        "experiment": "first",
        "status": status,
        "parameters": 163,
        "epochs": 3,
        "seconds_per_epoch": 1.0,
        "origin": "real",
        "profile": "full",
    }
    records = [base | {"seed": seed, "metrics": {metric: value}} | more for seed, value in enumerate(values)]
    return Results(tiny.study("nowhere"), ("a", "b", "c"), records)


def test_the_interval_is_students_t():
    row = results_of([0.50, 0.51, 0.52]).table().loc["first"]
    # mean 0.51, sd 0.01, standard error 0.01 / sqrt(3); t(0.975, 2 degrees) = 4.3027
    assert row.reproduced == pytest.approx(0.51)
    assert row.high - row.reproduced == pytest.approx(4.3027 * 0.01 / 3**0.5, rel=1e-4)
    alone = results_of([0.5]).table().loc["first"]
    assert np.isnan(alone.low) and np.isnan(alone.high) and alone.seeds == 1


@pytest.mark.parametrize(
    "values, more, verdict",
    [
        ([0.505], {}, "reproduced"),
        ([0.4901], {}, "reproduced"),
        ([0.52], {}, "better"),
        ([0.48], {}, "worse"),
        ([0.48, 0.51], {}, "reproduced"),
        ([0.5], {"origin": "synthetic"}, "not comparable"),
        ([0.5], {"origin": "real, unverified"}, "reproduced"),
        ([0.5], {"profile": "quick"}, "not comparable"),
        ([0.5], {"status": "diverged in epoch 2"}, "failed"),
    ],
)
def test_verdicts(values, more, verdict):
    assert results_of(values, **more).table().verdict["first"] == verdict


def test_a_loss_is_better_when_it_is_lower():
    for loss, verdict in ((1.05, "reproduced"), (0.8, "better"), (1.3, "worse")):
        assert results_of([loss], metric="loss").table("loss").verdict["first"] == verdict


@pytest.mark.slow
def test_only_whole_full_runs_are_recorded(note, tmp_path, monkeypatch):
    results = studies.run(tiny.study(note))
    results.save(tmp_path / "out" / "tiny.json")
    held = json.loads((tmp_path / "out" / "tiny.json").read_text())
    assert held["records"] == results.records and held["classes"] == ["dark", "grey", "bright"]
    with pytest.raises(ValueError, match=r"missing: \['second', 'third'\]"):
        studies.run(tiny.study(note), only="first").save(tmp_path / "part.json")
    monkeypatch.setenv("KIT_PROFILE", "quick")
    with pytest.raises(ValueError, match=r"in the quick profile: .*first"):
        studies.run(tiny.study(note)).save(tmp_path / "quick.json")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"study": "no-such-study"}, "study='no-such-study'; it must be a Study"),
        ({"only": "fourth"}, "no experiment of 'tiny' is called 'fourth'; it has: first; second; third"),
        ({"only": ["first", "x*"]}, "'x\\*'"),
        ({"seeds": ()}, "give at least one whole number"),
        ({"seeds": (0.5,)}, "give at least one whole number"),
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
        model = experiment.build((28, 28, 1), 10)
        assert model.count_params() == experiment.reported["parameters"], experiment.name
    reported = {e.name: (e.reported["loss"], e.reported["accuracy"]) for e in study.experiments}
    assert reported["small 64, SGD, Glorot"] == (0.451170, 0.8744)
    assert reported["large 128, SGD, He"] == (0.665122, 0.8841)
    assert reported["medium 128, Adam, Glorot"] == (1.126850, 0.8845)
    assert reported["large 64, Adam, dropout"] == reported["large 64, SGD, dropout"] == (0.357432, 0.8717)


def test_the_ladder_has_the_reports_ten_cnns():
    study = reports.get("fashion-ladder-cnn")
    assert len(study.experiments) == len({e.name for e in study.experiments}) == 10
    for experiment in study.experiments:
        assert experiment.build((28, 28, 1), 10).count_params() == experiment.reported["parameters"], experiment.name
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
    assert len(rows) == len(study.experiments) == 8 * 2 * 2 + 2
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
            assert net.count_params() == row.reported["parameters"] == 623_306
        elif "Keras" in name:
            assert net.count_params() == counts[name.split(",")[0]], name
        else:
            assert (net.learning_rate, net.patience) == (0.002, 10 if "converged" in name else None)
            assert row.optimizer is None
    reported = {name: row.reported["accuracy"] for name, row in rows.items()}
    assert reported["3 layers, tanh: by hand"] == reported["3 layers, tanh: Keras, converged"] == 0.5101
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


@pytest.mark.slow
def test_the_comparisons_images():
    study = reports.get("fashion-compare")
    rows = {e.name: e for e in study.experiments}
    data, raw = study.data("synthetic"), rows["3 layers, raw pixels: by hand"].data("synthetic")
    assert len(data.train.x) == 10_000 and abs(data.train.x.mean()) < 1e-4 and data.test.x.min() < 0
    assert raw.train.x.dtype == "uint8" and (raw.train.y == data.train.y).all()
    assert len(rows["CNN, 60,000 images"].data("synthetic").train.x) == 12_000  # all that are synthetic
    own = {name for name, row in rows.items() if row.data}
    assert own == {name for name in rows if "raw" in name or "60,000" in name}


def numpy_net(input_shape, classes, **options):
    return NumpyMLP(hidden=(8,), **options)


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
    assert record["metrics"]["accuracy"] == alone.score(*data.test) > 0.5
    assert record["metrics"]["loss"] == pytest.approx(
        -np.log(alone.predict_proba(data.test.x)[range(100), data.test.y]).mean(), rel=1e-5
    )
    assert record["history"]["val_accuracy"] == pytest.approx(alone.history_["val_accuracy"], rel=1e-4)
    assert record["parameters"] == (16 + 1) * 8 + (8 + 1) * 3 and record["epochs"] == 6
    assert record["engine"] == "NumPy" and np.sum(record["confusion_matrix"]) == 100
    assert studies.run(study, seeds=(0, 1)).records == results.records  # from the ledger: the seconds are the same
    assert results.records[0]["metrics"] != record["metrics"]


def test_a_hand_written_net_that_diverges_says_when(note):
    wild = studies.Experiment(name="wild", build=partial(numpy_net, learning_rate=1e30), epochs=6)
    wrong = studies.Experiment(name="wrong", build=partial(numpy_net, learning_rate=-1), epochs=6)
    results = studies.run(dataclasses.replace(tiny.study(note), experiments=(wild, wrong)))
    statuses = results.statuses().set_index("experiment").status
    assert re.fullmatch(r"diverged in epoch \d", statuses["wild"])
    assert statuses["wrong"].startswith("failed: ValueError: learning_rate=-1: a number above 0")


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

    missing_one = dataclasses.replace(study, experiments=(study.experiments[1], dataclasses.replace(own, data=missing)))
    with pytest.raises(FileNotFoundError):
        studies.run(missing_one)
    assert fits(note) == 2  # it was said before anything was trained


STUDIES = [name for name in reports.names() if isinstance(reports.get(name), studies.Study)]


@pytest.mark.parametrize("name", STUDIES)
def test_recorded_results_are_whole_and_full(name):
    if not reports.results_path(name).exists():
        pytest.skip("nothing recorded yet")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = reports.recorded(name)
    table = results.table()
    assert list(table.index) == [e.name for e in results.study.experiments]
    stated = table.reported_parameters.notna()
    assert (table.parameters[stated] == table.reported_parameters[stated]).all()
    assert all(record["profile"] == "full" for record in results.records)
