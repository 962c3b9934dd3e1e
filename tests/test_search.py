"""Searches with the real libraries: the table, failures, seeds, a kill, bad input.

Trials are cut to two epochs of 200 images of 4x4 pixels: what is tested is which trials run and what becomes of them.
"""

import gc
import subprocess
import sys
import weakref
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tiny

from kit import search

TESTS = Path(__file__).parent
SPACE = {"units": [2], "kernel": [(1, 1), (3, 3)], "learning_rate": [0.1, 0.01]}


def net(input_shape, classes, *, units=2, kernel=(1, 1), fails=False):
    if fails:
        raise RuntimeError("no such net\nand a second line")
    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Conv2D(units, kernel, padding="same", activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(classes, "softmax"),
        ]
    )


@pytest.fixture(scope="module", autouse=True)
def quick_trials():
    """A trial here is mostly tracing and garbage collection: trace nothing, and collect none of the imports.

    The searches that are run in processes of their own trace their nets as usual.
    """
    gc.freeze()
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.run_functions_eagerly(True)
        yield
        tf.config.run_functions_eagerly(False)
    else:
        yield
    gc.unfreeze()


@pytest.fixture(params=["talos", "keras_tuner"])
def library(request):
    pytest.importorskip(request.param)
    return request.param


@pytest.fixture
def find(library, tmp_path):
    """Either search on the tiny data, for two epochs, with its files in a folder of the test."""
    options = {"epochs": 2, "patience": None, "optimizer": keras.optimizers.SGD, "folder": tmp_path / "search"}
    if library == "keras_tuner":
        options["tuner"] = "grid"
    found = partial(getattr(search, library), **options)
    return lambda build=net, space=SPACE, data=None, **changes: found(build, data or tiny.data(), space, **changes)


def fits(note):
    return note.read_text().count("\n") if note.exists() else 0


def outcome(result):
    return result.table.drop(columns="seconds")


def test_a_row_a_trial_and_no_noise(find, tmp_path, monkeypatch, capfd, caplog):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    result = find()
    table = result.table
    assert list(table.columns) == ["trial", *SPACE, "val_accuracy", "val_loss", "epochs", "seconds", "status"]
    assert list(table.trial) == list(range(1, 5)) and (table.status == "finished").all() and (table.epochs == 2).all()
    combinations = {(u, k, r) for u in SPACE["units"] for k in SPACE["kernel"] for r in SPACE["learning_rate"]}
    assert set(table[list(SPACE)].itertuples(index=False, name=None)) == combinations
    assert table.val_accuracy.between(0, 1).all() and (table.val_loss > 0).all() and (table.seconds > 0).all()
    row = table.loc[table.val_accuracy == table.val_accuracy.max()].sort_values("val_loss").iloc[0]
    assert result.best == {name: row[name] for name in SPACE}
    assert not list((tmp_path / "here").iterdir())  # the libraries' own files are in the folder
    assert capfd.readouterr().out == "" and not caplog.records


def test_the_librarys_own_object_says_the_same():
    pytest.importorskip("talos")
    pytest.importorskip("keras_tuner")
    import keras_tuner
    import talos

    options = {"epochs": 2, "patience": None, "optimizer": keras.optimizers.SGD}
    space = {"kernel": [(1, 1), (3, 3)], "learning_rate": [0.1, 0.01]}
    scanned = search.talos(net, tiny.data(), space, **options)
    assert isinstance(scanned.library, talos.Scan)
    np.testing.assert_allclose(scanned.library.data.val_accuracy, scanned.table.val_accuracy)
    np.testing.assert_allclose(scanned.library.data.val_loss, scanned.table.val_loss)
    tuned = search.keras_tuner(net, tiny.data(), space, tuner="grid", **options)
    assert isinstance(tuned.library, keras_tuner.GridSearch)
    assert tuned.library.oracle.get_best_trials()[0].score == pytest.approx(tuned.table.val_accuracy.max())
    # both trained the same nets from the same seed: the second search took them from the records of the first
    columns = ["kernel", "learning_rate"]
    theirs, ours = (outcome(r).drop(columns="trial").sort_values(columns) for r in (scanned, tuned))
    assert theirs.values.tolist() == ours.values.tolist()


@pytest.mark.parametrize("tuner", ["random", "bayesian", "hyperband"])
def test_the_other_tuners(tuner, recwarn):
    pytest.importorskip("keras_tuner")
    space = {"kernel": [(1, 1), (1, 3), (3, 1), (3, 3)]}
    trials = 4  # a Bayesian search draws three at random for each parameter, and then chooses
    result = search.keras_tuner(net, tiny.data(), space, tuner=tuner, trials=trials, epochs=3, patience=None)
    assert len(result.table) == trials and (result.table.status == "finished").all()
    assert set(result.table.kernel) <= set(space["kernel"])
    assert not [w for w in recwarn if "sklearn" in w.filename or "keras_tuner" in w.filename]
    if tuner == "hyperband":  # three epochs, divided by three: the first round has one each
        assert set(result.table.epochs) == {1, 3}
        best = result.table[result.table.epochs == 3].iloc[0]
        assert best.kernel in list(result.table.kernel[result.table.epochs == 1])
    else:
        assert (result.table.epochs == 3).all()


def test_bad_trials_are_rows_and_the_search_goes_on(find, capfd, recwarn):
    # Four raise and three diverge, more in a row than the three at which Keras Tuner gives up by itself.
    result = find(space={"learning_rate": [1e30, 1e29, 0.1, 1e28], "fails": [True, False]})
    table = result.table
    assert len(table) == 8
    assert (table.status[table.fails] == "failed: RuntimeError: no such net").all()
    diverged = ~table.fails & (table.learning_rate > 1)
    assert table.status[diverged].str.match(r"diverged in epoch \d$").all() and diverged.sum() == 3
    assert table.val_accuracy[table.status != "finished"].isna().all()
    assert result.best == {"learning_rate": 0.1, "fails": False}
    assert "Traceback" not in "".join(capfd.readouterr())
    assert not [w for w in recwarn if w.category is RuntimeWarning]


def test_a_search_without_a_finished_trial_has_no_best(find):
    result = find(space={"fails": [True]})
    assert result.best is None and len(result.table) == 1


def test_a_killed_search_goes_on_where_it_stopped(library, tmp_path):
    note, folder = tmp_path / "fits", tmp_path / "search"
    start = (
        "import sys; from functools import partial; import tiny; from kit import search\n"
        "assert not {'talos', 'keras_tuner', 'optuna'} & set(sys.modules), 'imported before it is needed'\n"
        f"search.{library}(partial(tiny.counted, note={str(note)!r}, killed_at=2), tiny.data(),"
        " {'hidden': [(2,), (3,)], 'batch_size': [32, 64]},"
        f" trials=2, epochs=2, folder={str(folder)!r})"
    )
    killed = subprocess.run([sys.executable, "-c", start], cwd=TESTS, capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr
    assert fits(note) == 2 and len(list(folder.glob("counted-*.json"))) == 1  # the second was killed

    space = {"hidden": [(2,), (3,)], "batch_size": [32, 64]}
    again = partial(getattr(search, library), partial(tiny.counted, note=str(note)), tiny.data(), space, epochs=2)
    result = again(trials=2, folder=folder)
    assert fits(note) == 2 + 1  # the second again
    assert len(result.table) == 2 and (result.table.status == "finished").all()
    whole = again(trials=2, folder=tmp_path / "other")
    pd.testing.assert_frame_equal(outcome(whole), outcome(result), rtol=1e-4)  # as if nothing had happened
    assert not list(folder.rglob("*.part"))


@pytest.mark.parametrize("library", ["keras_tuner"], indirect=True)  # what both share
def test_a_damaged_record_is_trained_again(find, tmp_path):
    space = {"units": [2]}
    first = find(space=space)
    (path,) = (tmp_path / "search").glob("net-*.json")
    path.write_text(path.read_text()[:50])
    with pytest.warns(UserWarning, match="is damaged"):
        again = find(space=space)
    assert outcome(again).equals(outcome(first))


def test_a_changed_setting_is_trained_anew(tmp_path):
    pytest.importorskip("keras_tuner")
    options = {"epochs": 2, "patience": None, "optimizer": keras.optimizers.SGD, "folder": tmp_path / "search"}
    changes = [{"epochs": 3}, {"batch_size": 64}, {"seed": 1}, {"validation_split": 0.2}, {"patience": 5},
               {"optimizer": keras.optimizers.Adam}, {"data": tiny.data().take(150, seed=0)}]  # fmt: skip
    for count, change in enumerate([{}, *changes, {}, changes[0]], 1):
        settings = {"data": tiny.data()} | options | change
        search.keras_tuner(net, space={"units": [2]}, tuner="grid", **settings)
        assert len(list((tmp_path / "search").glob("net-*.json"))) == min(count, 1 + len(changes)), change


def test_the_same_seed_searches_the_same_and_zero_is_a_seed(find, library, tmp_path):
    drawn = {"tuner": "random"} if library == "keras_tuner" else {}
    space = {"units": list(range(1, 40)), "learning_rate": [0.1, 0.01]}
    results = [find(space=space, trials=2, seed=seed, folder=tmp_path / str(i), **drawn)
               for i, seed in enumerate((0, 0, 1))]  # fmt: skip
    once, twice, other = map(outcome, results)
    assert once.equals(twice) and not once[list(space)].equals(other[list(space)])


def test_no_model_is_kept(find):
    alive = []

    def watched(input_shape, classes, **options):
        model = net(input_shape, classes, **options)
        alive.append(weakref.ref(model))
        return model

    result = find(build=watched, space={"units": [1, 2, 3]})
    keras.utils.clear_session()
    gc.collect()
    assert len(result.table) == len(alive) == 3 and not any(model() for model in alive[:-1])


def test_early_stopping_keeps_the_epoch_with_the_lowest_loss():
    pytest.importorskip("talos")
    result = search.talos(
        net, tiny.data(), {"units": [4], "learning_rate": [3.0]}, epochs=30, patience=2, optimizer=keras.optimizers.SGD
    )
    (row,) = result.table.to_dict("records")
    assert row["epochs"] == len(result.library.round_history[0]["val_loss"]) + 2 < 30
    assert row["val_loss"] == min(result.library.round_history[0]["val_loss"])


@pytest.mark.parametrize("library", ["keras_tuner"], indirect=True)  # what both share
def test_a_model_that_build_compiles_is_left_as_it_is(find):
    def compiled(input_shape, classes, *, learning_rate):
        model = net(input_shape, classes)
        model.compile(keras.optimizers.SGD(learning_rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
        seen.append((type(model.optimizer).__name__, float(model.optimizer.learning_rate)))
        return model

    seen = []
    result = find(build=compiled, space={"learning_rate": [0.5, 0.25]}, optimizer=keras.optimizers.Adam)
    assert (result.table.status == "finished").all() and sorted(seen) == [("SGD", 0.25), ("SGD", 0.5)]


@pytest.mark.parametrize("library", ["keras_tuner"], indirect=True)  # what both share
def test_the_datas_own_validation_split_is_used(find):
    data = tiny.data().hold_out(0.25, seed=0)
    first, second = (find(space={"units": [2]}, data=data, validation_split=share) for share in (0.1, 0.0))
    assert first.table.val_accuracy[0] == second.table.val_accuracy[0]
    correct = first.table.val_accuracy[0] * 50  # of the 50 images held out
    assert correct == pytest.approx(round(correct), abs=1e-3)


def test_the_quick_profile_cuts_trials_and_epochs_and_a_notebook_shows_one_bar(find, monkeypatch, capfd):
    monkeypatch.setenv("KIT_PROFILE", "quick")
    monkeypatch.setattr("kit.progress.watched", lambda: True)
    table = find(epochs=50).table
    assert len(table) == 2 and (table.epochs == 2).all()
    shown = capfd.readouterr().out.strip()
    assert "2/2" in shown and "\n" not in shown


def test_an_interrupt_ends_the_search(find):
    def interrupted(input_shape, classes):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find(build=interrupted, space={"batch_size": [32]})


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"space": {}}, "space={}; it must be a dict of lists"),
        ({"space": [("units", [2])]}, "it must be a dict of lists"),
        ({"space": {"units": []}}, r"'units': \[\]; it must be a list of at least one value"),
        ({"space": {"units": (1, 9, 4)}}, r"'units': \(1, 9, 4\); it must be a list"),
        ({"space": {"units": 64}}, "'units': 64; it must be a list"),
        (
            {"space": {"units": [2], "unit": [2]}},
            "build takes no unit; the space can have: batch_size, fails, kernel, learning_rate, patience, units",
        ),
        ({"trials": 0}, "trials=0; it must be a whole number of at least 1"),
        ({"trials": 1.5}, "trials=1.5"),
        ({"epochs": 0}, "epochs=0"),
        ({"patience": -1}, "patience=-1"),
        ({"seed": None}, "seed=None"),
        ({"validation_split": 0}, "validation_split=0; Tiny has no validation split"),
    ],
    ids=str,
)
def test_bad_input_is_one_line_before_anything_is_trained(changes, message, find):
    def never(input_shape, classes, *, units=2, kernel=1, fails=False):
        raise AssertionError("built")

    with pytest.raises(ValueError, match=message) as error:
        find(**{"build": never} | changes)
    assert "\n" not in str(error.value)


def test_an_unknown_tuner():
    with pytest.raises(ValueError, match="tuner='best'; it must be one of random, bayesian, hyperband, grid"):
        search.keras_tuner(net, tiny.data(), SPACE, tuner="best")


@pytest.mark.parametrize("name", ["talos", "keras_tuner"])
def test_a_missing_library_says_how_to_install_it(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf'kit.search.{name} needs {name}; .*pip install "course-kit\[search\]"'):
        getattr(search, name)(net, tiny.data(), SPACE)
