"""The Optuna search: its table, what it prunes, the database that a killed search goes on from, bad input.

Trials are cut to a few epochs of 200 images of 4x4 pixels: what is tested is which trials run and what becomes of them.
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
from kit.search.trials import Trials

optuna = pytest.importorskip("optuna")
TESTS = Path(__file__).parent
SPACE = {"units": [2], "kernel": [(1, 1), (3, 3)], "learning_rate": [0.1, 0.01]}


@pytest.fixture(scope="module", autouse=True)
def quick_trials():
    """A trial here is mostly tracing and garbage collection: trace nothing, and collect none of the imports."""
    gc.freeze()
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.run_functions_eagerly(True)
        yield
        tf.config.run_functions_eagerly(False)
    else:
        yield
    gc.unfreeze()


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


def scored(input_shape, classes, *, score):
    """A net whose val_accuracy is `score` in each epoch, whatever the images."""
    model = keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dense(classes, "softmax")])
    model.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy", metrics=[Score(score)])
    model.score = score
    return model


@keras.saving.register_keras_serializable("tests")
class Score(keras.metrics.Metric):
    def __init__(self, score, name="accuracy"):
        super().__init__(name=name)
        self.score = score

    def update_state(self, *arguments, **options):
        pass

    def result(self):
        return keras.ops.convert_to_tensor(self.score)

    def get_config(self):
        return {"score": self.score}


@pytest.fixture
def untrained(monkeypatch):
    """Nothing is trained: the epochs of a `scored` net pass in no time."""

    def train(self, model, batch_size, epochs, pruner):
        pruner.set_model(model)
        for epoch in range(epochs):
            pruner.on_epoch_end(epoch, {"val_accuracy": model.score})
            if pruner.pruned:
                break
        return {
            "status": f"pruned in epoch {epoch + 1}" if pruner.pruned else "finished",
            "metrics": {"val_accuracy": model.score, "val_loss": 1.0},
            "parameters": 0,
            "epochs": epoch + 1,
            "seconds": 0.1,
            "history": {"val_accuracy": [model.score] * (epoch + 1)},
        }

    monkeypatch.setattr(Trials, "_train", train)


@pytest.fixture
def find(tmp_path):
    """The search on the tiny data, for two epochs, with its files in a folder of the test."""
    options = {"epochs": 2, "patience": None, "optimizer": keras.optimizers.SGD, "folder": tmp_path / "search"}
    found = partial(search.optuna, **options, batch_size=200)  # one step an epoch
    return lambda build=net, space=SPACE, data=None, **changes: found(build, data or tiny.data(), space, **changes)


def outcome(result):
    return result.table.drop(columns="seconds")


def states(result):
    return [trial.state.name for trial in result.library.trials]


def test_a_row_a_trial_and_no_noise(find, tmp_path, monkeypatch, capfd, caplog, recwarn):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    verbosity = optuna.logging.get_verbosity()
    result = find()
    table = result.table
    assert list(table.columns) == ["trial", *SPACE, "val_accuracy", "val_loss", "epochs", "seconds", "status"]
    assert list(table.trial) == list(range(1, 5)) and (table.status == "finished").all() and (table.epochs == 2).all()
    combinations = {(u, k, r) for u in SPACE["units"] for k in SPACE["kernel"] for r in SPACE["learning_rate"]}
    assert set(table[list(SPACE)].itertuples(index=False, name=None)) == combinations
    assert table.val_accuracy.between(0, 1).all() and (table.val_loss > 0).all() and (table.seconds > 0).all()
    row = table.loc[table.val_accuracy == table.val_accuracy.max()].sort_values("val_loss").iloc[0]
    assert result.best == {name: row[name] for name in SPACE}
    assert not list((tmp_path / "here").iterdir())
    assert capfd.readouterr().out == "" and not caplog.records
    assert not [w for w in recwarn if "optuna" in w.filename or "optuna" in str(w.category)]
    assert optuna.logging.get_verbosity() == verbosity


def test_the_study_says_the_same(find):
    result = find()
    study = result.library
    assert isinstance(study, optuna.Study) and study.direction.name == "MAXIMIZE"
    assert [trial.value for trial in study.trials] == pytest.approx(list(result.table.val_accuracy))
    assert [trial.params["kernel"] for trial in study.trials] == [
        SPACE["kernel"].index(kernel) for kernel in result.table.kernel
    ]
    assert [trial.params["learning_rate"] for trial in study.trials] == list(result.table.learning_rate)
    assert all(len(trial.intermediate_values) == 2 for trial in study.trials)
    assert study.best_value == result.table.val_accuracy.max()
    assert set(optuna.importance.get_param_importances(study)) == {"units", "kernel", "learning_rate"}


def test_a_trial_below_the_median_is_pruned(find):
    """Scores come in the order of the draw; from the sixth trial on, those below the median of the finished are cut."""
    scores = [round(0.1 * i, 1) for i in range(1, 10)]
    result = find(build=scored, space={"score": scores})
    table, finished = result.table, []
    assert sorted(table.score) == scores
    for row in table.itertuples():
        if len(finished) >= 5 and row.score < np.median(finished):
            assert (row.status, row.epochs) == ("pruned in epoch 1", 1)
        else:
            assert (row.status, row.epochs) == ("finished", 2)
            finished.append(row.score)
        assert row.val_accuracy == pytest.approx(row.score)
    assert (table.status != "finished").any()  # a pruned trial cannot be the best
    assert result.best == {"score": 0.9}
    assert states(result) == ["COMPLETE" if status == "finished" else "PRUNED" for status in table.status]


def worse_and_worse():
    """A builder whose nets score less and less, in the order in which they are built; the first names the search."""
    scores = iter([0.9, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3])

    def build(input_shape, classes, *, units):
        return scored(input_shape, classes, score=next(scores))

    return build


def test_the_first_tenth_of_the_epochs_is_not_judged(find, untrained):
    table = find(build=worse_and_worse(), space={"units": [*range(7)]}, epochs=20).table
    assert list(table.status) == ["finished"] * 5 + ["pruned in epoch 3"] * 2


def test_what_is_pruned_is_no_record_for_another_search(find, untrained, tmp_path):
    find(build=worse_and_worse(), space={"units": [*range(7)]}, epochs=3)
    assert len(list((tmp_path / "search").glob("*.json"))) == 5


def test_the_record_of_another_search_is_taken_and_reported(find, tmp_path):
    pytest.importorskip("keras_tuner")
    options = {"epochs": 2, "patience": None, "optimizer": keras.optimizers.SGD, "batch_size": 200}
    options["folder"] = tmp_path / "search"
    theirs = search.keras_tuner(net, tiny.data(), SPACE, tuner="grid", **options)
    ours = find()
    by = ["kernel", "learning_rate"]
    assert ours.table.drop(columns="trial").sort_values(by).values.tolist() == (
        theirs.table.drop(columns="trial").sort_values(by).values.tolist()
    )  # the seconds too
    assert all(len(trial.intermediate_values) == 2 for trial in ours.library.trials)


def test_bad_trials_are_rows_and_the_search_goes_on(find, capfd, recwarn):
    result = find(space={"learning_rate": [1e30, 1e29, 0.1, 1e28], "fails": [True, False]}, batch_size=32)
    table = result.table
    assert len(table) == 8
    assert (table.status[table.fails] == "failed: RuntimeError: no such net").all()
    diverged = ~table.fails & (table.learning_rate > 1)
    assert table.status[diverged].str.match(r"diverged in epoch \d$").all() and diverged.sum() == 3
    assert table.val_accuracy[table.status != "finished"].isna().all()
    assert result.best == {"learning_rate": 0.1, "fails": False}
    assert "Traceback" not in "".join(capfd.readouterr())
    assert not [w for w in recwarn if w.category is RuntimeWarning]
    expected = {"finis": "COMPLETE", "diver": "PRUNED", "faile": "FAIL"}
    assert states(result) == [expected[status[:5]] for status in table.status]


def test_a_failed_trial_is_run_again_and_others_are_not(find):
    broken = {"yes": True}

    def mended(input_shape, classes, *, units):
        built.append(units)
        if broken["yes"] and units == 3:
            raise MemoryError("no room")
        return net(input_shape, classes, units=units)

    built = []
    first = find(build=mended, space={"units": [1, 2, 3]})
    assert sorted(first.table.status)[0] == "failed: MemoryError: no room"
    broken["yes"], built[:] = False, []
    again = find(build=mended, space={"units": [1, 2, 3]})
    assert (again.table.status == "finished").all() and sorted(again.table.units) == [1, 2, 3]
    assert built == [1, 3]  # one to name the search by, and the one that failed


def test_values_that_are_equal_are_kept_apart(find, untrained):
    table = find(build=scored, space={"score": [1, True, 1.0]}).table
    assert len(table) == 3 and {type(value) for value in table.score} == {int, bool, float}


def test_a_search_without_a_finished_trial_has_no_best(find):
    result = find(space={"fails": [True]})
    assert result.best is None and len(result.table) == 1


def test_no_combination_is_tried_twice_and_the_good_come_early(find, monkeypatch):
    """A hill over 100 combinations, of which 30 are tried, the first ten at random."""

    def run(self, parameters, pruner):
        score = 1 - (abs(parameters["units"] - 7) + abs(parameters["kernel"] - 3)) / 20
        record = {"status": "finished", "metrics": {"val_accuracy": score, "val_loss": 1.0}, "history": {}}
        self.add(parameters, record)
        return record

    monkeypatch.setattr(Trials, "run", run)
    space = {"units": [*range(1, 11)], "kernel": [*range(1, 11)]}
    table = find(space=space, trials=30).table
    assert len(table) == 30 and not table.duplicated(list(space)).any()
    assert table.val_accuracy[10:].mean() > table.val_accuracy[:10].mean() + 0.05
    assert table.val_accuracy.max() >= 0.95


def test_a_killed_search_goes_on_where_it_stopped(tmp_path):
    note, folder = tmp_path / "fits", tmp_path / "search"
    space = {"hidden": [(2,), (3,)], "batch_size": [32, 64]}
    start = (
        "import sys; from functools import partial; import tiny; from kit import search\n"
        "assert 'optuna' not in sys.modules, 'imported before it is needed'\n"
        f"search.optuna(partial(tiny.counted, note={str(note)!r}, killed_at=3), tiny.data(), {space!r},"
        f" trials=4, epochs=2, folder={str(folder)!r})"
    )
    killed = subprocess.run([sys.executable, "-c", start], cwd=TESTS, capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr
    assert note.read_text().count("\n") == 3 and len(list(folder.glob("counted-*.json"))) == 2

    again = partial(search.optuna, partial(tiny.counted, note=str(note)), tiny.data(), space, epochs=2)
    for record in folder.glob("counted-*.json"):
        record.unlink()  # the database alone knows the finished trials
    result = again(trials=4, folder=folder)
    assert note.read_text().count("\n") == 3 + 2  # the third again, and the fourth
    assert states(result) == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert (result.table.status == "finished").all() and list(result.table.trial) == [1, 2, 3, 4]
    whole = again(trials=4, folder=tmp_path / "other")
    pd.testing.assert_frame_equal(outcome(whole), outcome(result), rtol=1e-4)  # as if nothing had happened


def test_a_search_is_carried_further(find, untrained):
    space = {"score": [round(0.1 * i, 1) for i in range(1, 9)]}
    few = find(build=scored, space=space, trials=3)
    more = find(build=scored, space=space, trials=6)
    assert more.table[:3].equals(few.table) and len(more.table) == 6 and not more.table.duplicated("score").any()
    assert find(build=scored, space=space, trials=3).table.equals(few.table)


def test_a_changed_setting_is_a_new_study(find, untrained, tmp_path):
    def uncompiled(input_shape, classes, *, score):
        model = net(input_shape, classes)
        model.score = score
        return model

    changes = [{"epochs": 3}, {"optimizer": keras.optimizers.Adam}, {"data": tiny.data().take(150, seed=0)}]
    for count, change in enumerate([{}, *changes, {}, changes[0]], 1):
        find(**{"build": uncompiled, "space": {"score": [0.5]}} | change)
        found = optuna.get_all_study_names(f"sqlite:///{tmp_path / 'search' / 'optuna.db'}")
        assert len(found) == min(count, 1 + len(changes)), change


def test_the_same_seed_searches_the_same_and_zero_is_a_seed(find, untrained, tmp_path):
    space = {"score": [i / 100 for i in range(100)]}
    once, twice, other = (
        outcome(find(build=scored, space=space, trials=3, seed=seed, folder=tmp_path / str(i)))
        for i, seed in enumerate((0, 0, 1))
    )
    assert once.equals(twice) and not once[list(space)].equals(other[list(space)])


def test_a_damaged_database_is_set_aside(find, tmp_path):
    first = find(space={"units": [2, 3]})
    (tmp_path / "search" / "optuna.db").write_bytes(b"not a database" * 100)
    with pytest.warns(UserWarning, match=r"optuna.db is damaged \(.*\); set aside as optuna.db.damaged") as caught:
        again = find(space={"units": [2, 3]})
    assert outcome(again).equals(outcome(first)) and (tmp_path / "search" / "optuna.db.damaged").exists()
    (said,) = (warning for warning in caught if warning.category is UserWarning)
    assert said.filename == __file__ and "\n" not in str(said.message)


def test_no_model_is_kept(find):
    alive = []

    def watched(input_shape, classes, **options):
        model = net(input_shape, classes, **options)
        alive.append(weakref.ref(model))
        return model

    result = find(build=watched, space={"units": [1, 2, 3]})
    keras.utils.clear_session()
    gc.collect()
    assert len(result.table) == 3 and not any(model() for model in alive[:-1])


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
        ({"space": {"units": (1, 9, 4)}}, r"'units': \(1, 9, 4\); it must be a list"),
        ({"space": {"units": [2], "unit": [2]}}, "build takes no unit; the space can have: batch_size, "),
        ({"trials": 0}, "trials=0; it must be a whole number of at least 1"),
        ({"seed": None}, "seed=None"),
        ({"validation_split": 0}, "validation_split=0; Tiny has no validation split"),
    ],
    ids=str,
)
def test_bad_input_is_one_line_before_anything_is_trained(changes, message, find):
    def never(input_shape, classes, *, units=2):
        raise AssertionError("built")

    with pytest.raises(ValueError, match=message) as error:
        find(**{"build": never, "space": {"units": [2]}} | changes)
    assert "\n" not in str(error.value)


def test_a_missing_library_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r'kit.search.optuna needs optuna; .*pip install "course-kit\[search\]"'):
        search.optuna(net, tiny.data(), SPACE)
