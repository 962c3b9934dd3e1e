"""The searches with the real libraries: the table, failures, seeds, a kill, bad input, and what each has of its own.

Trials are cut to two epochs of one step, over 200 images of 4x4 pixels, or not trained at all, for each takes a third
of a second to compile: what is tested is which trials run and what becomes of them.
"""

import dataclasses
import gc
import inspect
import os
import subprocess
import sys
import threading
import weakref
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tiny

from kit import search, training
from kit.search.trials import Trials

pytestmark = pytest.mark.slow  # nearly every test trains
TESTS = Path(__file__).parent
LIBRARIES = ["talos", "keras_tuner", "optuna"]
SPACE = {"units": [2], "kernel": [(1, 1), (3, 3)], "learning_rate": [0.1, 0.01]}
OPTIONS = {"epochs": 2, "patience": None, "optimizer": keras.optimizers.SGD, "batch_size": 200}
HIDDEN = {"hidden": [(2,), (3,)], "batch_size": [60, 90]}  # of the search that is killed


def net(input_shape, classes, *, units=2, kernel=(1, 1), fails=""):
    if fails and fails != "by NaN":
        raise RuntimeError("no such net\nand a second line")
    first = keras.initializers.Constant(np.nan) if fails else "glorot_uniform"
    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Conv2D(units, kernel, padding="same", activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(classes, "softmax", kernel_initializer=first),
        ]
    )


def scored(input_shape, classes, *, score):
    """A net whose val_accuracy is `score` in each epoch, whatever the images."""
    layers = [keras.Input(input_shape), keras.layers.Identity(), keras.layers.Flatten()]  # Identity keeps XLA out
    model = keras.Sequential([*layers, keras.layers.Dense(classes, "softmax")])
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


@pytest.fixture(scope="module", autouse=True)
def nothing_to_collect_in_the_imports():
    """Keras Tuner, Talos and TensorFlow collect garbage in every trial."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def untrained(monkeypatch):
    """Nothing is trained: the epochs of a net pass in no time, each with the net's `score` if it has one."""

    def train(self, model, parameters, epochs, pruner=None):
        score = getattr(model, "score", 0.5)
        figures = {"val_accuracy": score, "val_loss": score}
        if pruner:
            pruner.set_model(model)
        for epoch in range(epochs):
            if pruner:
                pruner.on_epoch_end(epoch, figures)
                if pruner.pruned:
                    break
        return {
            "status": f"pruned in epoch {epoch + 1}" if pruner and pruner.pruned else "finished",
            "metrics": {name: figures[name] for name in self.figures},
            "parameters": 0,
            "epochs": epoch + 1,
            "best_epoch": epoch + 1,
            "seconds": 0.1,
            "history": {name: [score] * (epoch + 1) for name in ("loss", *figures)},
        }

    monkeypatch.setattr(Trials, "train", train)


def finder(library, folder):
    """A search with `library` on the tiny data, for two epochs, with its files in `folder`."""
    pytest.importorskip(library)
    options = OPTIONS | {"folder": folder} | ({"tuner": "grid"} if library == "keras_tuner" else {})
    found = partial(getattr(search, library), **options)
    return lambda build=net, space=SPACE, data=None, **changes: found(build, data or tiny.data(), space, **changes)


@pytest.fixture(params=LIBRARIES)
def library(request):
    return request.param


@pytest.fixture
def find(library, tmp_path):
    return finder(library, tmp_path / "search")


# What the libraries share but need be seen in one only.
in_one = pytest.mark.parametrize("library", ["keras_tuner"], indirect=True)


def fits(note):
    return note.read_text().count("\n") if note.exists() else 0


def outcome(result):
    return result.table.drop(columns="seconds")


def states(result):
    return [trial.state.name for trial in result.library.trials]


def check_own(result, library):
    """The library's own object says what our table says."""
    table, own = result.table, result.library
    if library == "talos":
        import talos

        assert isinstance(own, talos.Scan)
        np.testing.assert_allclose(own.data.val_accuracy, table.val_accuracy)
        np.testing.assert_allclose(own.data.val_loss, table.val_loss)
        report = talos.Analyze(own)
        assert report.high("val_accuracy") == pytest.approx(table.val_accuracy.max()) and report.rounds() == len(table)
    elif library == "keras_tuner":
        import keras_tuner

        assert isinstance(own, keras_tuner.GridSearch)
        assert own.oracle.get_best_trials()[0].score == pytest.approx(table.val_accuracy.max())
    else:
        import optuna

        assert isinstance(own, optuna.Study) and own.direction.name == "MAXIMIZE"
        assert [trial.value for trial in own.trials] == pytest.approx(list(table.val_accuracy))
        places = [SPACE["kernel"].index(kernel) for kernel in table.kernel]
        assert [trial.params["kernel"] for trial in own.trials] == places
        assert [trial.params["learning_rate"] for trial in own.trials] == list(table.learning_rate)
        assert all(len(trial.intermediate_values) == 2 for trial in own.trials)
        assert own.best_value == table.val_accuracy.max()


def test_a_row_a_trial_and_no_noise(find, library, tmp_path, monkeypatch, capfd, caplog, recwarn):
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
    assert not [w for w in recwarn if library in w.filename or library in str(w.category)]
    check_own(result, library)
    if library == "optuna":
        from optuna.importance import get_param_importances

        assert set(get_param_importances(result.library)) == set(SPACE)


def test_the_record_of_another_search_is_taken_and_reported(untrained, monkeypatch, tmp_path):
    scanned = finder("talos", tmp_path / "search")()
    monkeypatch.delattr(Trials, "train")  # the same nets, from the same seed
    tuned, studied = (finder(library, tmp_path / "search")() for library in ("keras_tuner", "optuna"))
    by = ["kernel", "learning_rate"]
    first, second, third = (r.table.drop(columns="trial").sort_values(by) for r in (scanned, tuned, studied))
    assert first.values.tolist() == second.values.tolist() == third.values.tolist()  # the seconds too
    check_own(tuned, "keras_tuner")
    check_own(studied, "optuna")


def test_bad_trials_are_rows_and_the_search_goes_on(find, library, capfd, recwarn):
    # Three raise and one diverges: one more in a row than those at which Keras Tuner gives up by itself.
    table = (result := find(space={"fails": ["here", "there", "everywhere", "by NaN", ""]})).table
    expected = dict.fromkeys(["here", "there", "everywhere"], "failed: RuntimeError: no such net")
    expected |= {"by NaN": "diverged in epoch 1", "": "finished"}
    assert dict(zip(table.fails, table.status)) == expected and len(table) == 5
    assert table.val_accuracy[table.status != "finished"].isna().all()
    assert result.best == {"fails": ""}
    assert "Traceback" not in "".join(capfd.readouterr())
    assert not [w for w in recwarn if w.category is RuntimeWarning]
    if library == "optuna":
        known = {"finished": "COMPLETE", "diverged": "PRUNED", "failed:": "FAIL"}
        assert states(result) == [known[status.split()[0]] for status in table.status]


def test_a_search_without_a_finished_trial_has_no_best(find):
    result = find(space={"fails": ["everywhere"]})
    assert result.best is None and len(result.table) == 1


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A folder a library, in which a search of two trials was killed within the second.

    One process imports Keras, which takes the longest, and then runs each search in a copy of itself.
    """
    folder = tmp_path_factory.mktemp("killed")
    start = f"""
import os, sys
from functools import partial
import tiny
from kit import search

libraries = {LIBRARIES}
assert not set(libraries) & set(sys.modules), "imported before it is needed"
for library in libraries:
    if child := os.fork():
        print(library, os.waitpid(child, 0)[1])
        continue
    folder = os.path.join({str(folder)!r}, library)
    build = partial(tiny.counted, note=folder + "-fits", killed_at=2)
    getattr(search, library)(build, tiny.data(), {HIDDEN}, trials=2, epochs=2, folder=folder)
    os._exit(1)
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KIT_")}
    command = [sys.executable, "-u", "-c", start]
    done = subprocess.run(command, cwd=TESTS, env=environment, capture_output=True, text=True)
    assert done.stdout.split() == [word for library in LIBRARIES for word in (library, "9")], done.stderr
    return folder


def test_a_killed_search_goes_on_where_it_stopped(library, killed, tmp_path):
    folder, note = killed / library, killed / f"{library}-fits"
    assert fits(note) == 2 and len(list(folder.glob("counted-*.json"))) == 1  # the second was killed
    if library == "optuna":
        next(folder.glob("counted-*.json")).unlink()  # the database alone knows the finished trial
    build = partial(tiny.counted, note=str(note), killed_at=2)  # the same, and two are behind it
    again = partial(getattr(search, library), build, tiny.data(), HIDDEN, epochs=2)
    result = again(trials=2, folder=folder)
    assert fits(note) == 2 + 1  # the second again
    assert (result.table.status == "finished").all() and list(result.table.trial) == [1, 2]
    if library == "optuna":
        assert states(result) == ["COMPLETE", "COMPLETE"]
    whole = again(trials=2, folder=tmp_path / "other")
    pd.testing.assert_frame_equal(outcome(whole), outcome(result), rtol=1e-4)  # as if nothing had happened
    assert not list(folder.rglob("*.part"))


@in_one
def test_a_damaged_record_is_trained_again(find, tmp_path):
    space = {"units": [2]}
    first = find(space=space)
    (path,) = (tmp_path / "search").glob("net-*.json")
    path.write_text(path.read_text()[:50])
    with pytest.warns(UserWarning, match="is damaged"):
        again = find(space=space)
    assert outcome(again).equals(outcome(first))


@in_one
def test_a_changed_setting_is_trained_anew(find, untrained, tmp_path):
    changes = [{"epochs": 3}, {"batch_size": 64}, {"seed": 1}, {"validation_split": 0.2}, {"patience": 5},
               {"optimizer": keras.optimizers.Adam}, {"data": tiny.data().take(150, seed=0)}]  # fmt: skip
    for count, change in enumerate([{}, *changes, {}, changes[0]], 1):
        find(space={"units": [2]}, **change)
        assert len(list((tmp_path / "search").glob("net-*.json"))) == min(count, 1 + len(changes)), change


def test_the_same_seed_searches_the_same(find, library, untrained, tmp_path):
    """Zero is a seed too, and NumPy's whole numbers are Python's."""
    drawn = {"tuner": "random"} if library == "keras_tuner" else {}
    space = {"score": [i / 100 for i in range(100)]}
    settings = {"trials": 3, "batch_size": 100, "epochs": 2, "patience": 5, "seed": 0}
    given = settings, {name: np.int64(value) for name, value in settings.items()}, settings | {"seed": np.int64(1)}
    once, twice, other = (
        outcome(find(build=scored, space=space, folder=tmp_path / str(i), **drawn, **numbers))
        for i, numbers in enumerate(given)
    )
    assert once.equals(twice) and not once[list(space)].equals(other[list(space)])
    assert len(once) == 3 and (once.status == "finished").all() and (other.status == "finished").all()
    records = [{path.name for path in (tmp_path / str(i)).glob("scored-*.json")} for i in range(3)]
    assert records[0] == records[1] and not records[0] & records[2]


def test_no_model_is_kept(find):
    alive = []

    def watched(input_shape, classes, **options):
        model = net(input_shape, classes, **options)
        alive.append(weakref.ref(model))
        return model

    with pytest.warns(UserWarning, match="watched: alive cannot be described.*; the trials are not kept") as said:
        result = find(build=watched, space={"units": [1, 2]})
    assert sum("cannot be described" in str(warning.message) for warning in said) == 1
    keras.utils.clear_session()
    gc.collect()
    assert len(result.table) == 2 and len(alive) >= 2 and not any(model() for model in alive[:-1])


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


@in_one
def test_a_model_that_build_compiles_is_left_as_it_is(find, untrained):
    def compiled(input_shape, classes, *, learning_rate):
        model = net(input_shape, classes)
        model.compile(keras.optimizers.SGD(learning_rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
        seen.append((type(model.optimizer).__name__, float(model.optimizer.learning_rate)))
        return model

    seen = []
    result = find(build=compiled, space={"learning_rate": [0.5, 0.25]}, optimizer=keras.optimizers.Adam)
    assert (result.table.status == "finished").all() and set(seen) == {("SGD", 0.25), ("SGD", 0.5)}


@in_one
def test_the_datas_own_validation_split_is_used(find):
    data = tiny.data().hold_out(0.25, seed=0)
    first, second = (find(space={"units": [2]}, data=data, validation_split=share) for share in (0.1, 0.5))
    assert first.table.val_accuracy[0] == second.table.val_accuracy[0]
    correct = first.table.val_accuracy[0] * 50  # of the 50 images held out
    assert correct == pytest.approx(round(correct), abs=1e-3)


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
            r"the space has units, unit; build\(.*, \*, units=2, kernel=1, .*\): got an unexpected .* 'unit'",
        ),
        ({"trials": 0}, "trials=0; it must be a whole number of at least 1"),
        ({"trials": 1.5}, "trials=1.5"),
        ({"epochs": 0}, "epochs=0"),
        ({"patience": -1}, "patience=-1"),
        ({"seed": None}, "seed=None"),
        ({"validation_split": 0}, r"validation_split=0; it must be a share in \(0, 1\)"),
        ({"objective": "accuracy"}, "objective='accuracy'; it must be a metric of the validation images, such as"),
        ({"objective": ("val_accuracy", "up")}, r"objective=\('val_accuracy', 'up'\); it must be a metric"),
        ({"objective": ("val_accuracy",)}, r"objective=\('val_accuracy',\); it must be a metric"),
        ({"optimizer": "adam"}, "optimizer='adam'; it must be a class or a function, called for each trial"),
        ({"metrics": "accuracy"}, "metrics='accuracy'; they must be names, functions or classes"),
        ({"metrics": [keras.metrics.AUC(name="auc")]}, r"metrics=\[<AUC name=auc>\]; they must be names"),
        ({"precision": "flot32"}, "Cannot convert 'flot32'"),
    ],
    ids=str,
)
def test_bad_input_is_one_line_before_anything_is_trained(changes, message, find):
    def never(input_shape, classes, *, units=2, kernel=1, fails=""):
        raise AssertionError("built")

    with pytest.raises(ValueError, match=message) as error:
        find(**{"build": never} | changes)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_missing_library_says_how_to_install_it(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf'kit.search.{name} needs {name}; .*pip install "course-kit\[search\]"'):
        getattr(search, name)(net, tiny.data(), SPACE)


# What is searched for, and with what.


def relabelled(task, classes, label):
    """The tiny data with y = label(images, classes 0 to 2)."""
    data = tiny.data()
    train, test = (split._replace(y=label(*split).astype("uint8")) for split in (data.train, data.test))
    return dataclasses.replace(data, train=train, test=test, classes=classes, task=task)


def labels():
    """Two labels an image: that it is bright, and that it is not dark."""
    return relabelled("multilabel", ("bright", "not dark"), lambda x, y: np.stack([y > 1, y > 0], -1))


def masks():
    return relabelled("segmentation", ("background", "bright"), lambda x, y: x > 0.5)


def labelling(input_shape, labels, *, units):
    layers = [keras.layers.Flatten(), keras.layers.Dense(units, "relu"), keras.layers.Dense(labels, "sigmoid")]
    return keras.Sequential([keras.Input(input_shape), *layers])


def masking(input_shape, classes, *, units):
    layers = [keras.layers.Dense(units, "relu"), keras.layers.Dense(classes, "softmax")]
    return keras.Sequential([keras.Input(input_shape), *layers])


# The objective, what else it takes, and what the best net must reach: the brightness says it all.
TASKS = {
    "labels": (labels, labelling, "val_micro_f1", {"loss": "binary_crossentropy", "metrics": [training.MultiLabelF1]}),
    "masks": (masks, masking, "val_dice", {"loss": training.dice_loss, "metrics": (training.dice,)}),
}


@pytest.mark.parametrize("task", TASKS)
def test_labels_and_masks_are_searched_by_their_own_metric(find, library, task):
    data, build, objective, settings = TASKS[task]
    space = {"units": [4], "learning_rate": [1e-7, 0.05]}
    settings = settings | {"epochs": 6, "batch_size": 20, "optimizer": keras.optimizers.Adam}
    result = find(build=build, space=space, data=data(), objective=objective, **settings)
    assert list(result.table.columns) == ["trial", *space, objective, "val_loss", "epochs", "seconds", "status"]
    assert (result.table.status == "finished").all() and result.table[objective].between(0, 1).all()
    assert result.best["learning_rate"] == 0.05 and result.objective == objective
    assert result.best_first().learning_rate.iloc[0] == 0.05


def test_the_lowest_loss_is_searched_for(find, library, untrained):
    """Nets whose loss and accuracy are one number."""
    found = find(build=scored, space={"score": [0.2, 0.7, 0.5]}, objective="val_loss")
    assert list(found.table.columns) == ["trial", "score", "val_loss", "epochs", "seconds", "status"]
    assert found.best == {"score": 0.2} and (found.objective, found.direction) == ("val_loss", "min")
    assert list(found.best_first().score) == [0.2, 0.5, 0.7]
    assert find(build=scored, space={"score": [0.2, 0.7, 0.5]}).best == {"score": 0.7}
    if library == "optuna":
        assert found.library.direction.name == "MINIMIZE" and found.library.best_value == 0.2
    elif library == "keras_tuner":
        assert found.library.oracle.get_best_trials()[0].score == 0.2
    else:
        assert found.library.data.val_loss.min() == 0.2


@in_one
def test_a_pair_says_which_is_better(find, untrained):
    """Of two scores the lower, where a pair says so."""
    found = find(build=scored, space={"score": [0.2, 0.7]}, objective=("val_accuracy", "min"))
    assert found.best == {"score": 0.2} and found.library.oracle.objective.direction == "min"
    assert list(found.best_first().score) == [0.2, 0.7]


def test_an_objective_that_no_net_has_is_one_line_before_anything_is_trained(find, monkeypatch):
    def train(*arguments, **options):
        raise AssertionError("trained")

    monkeypatch.setattr(training, "fit", train)
    with pytest.raises(
        ValueError, match=r"^objective='val_acuracy'; these nets have: val_accuracy, val_loss$"
    ) as error:
        find(space={"fails": ["here", ""]}, objective="val_acuracy")  # the first cannot be built
    assert "\n" not in str(error.value)


@in_one
def test_a_loss_with_options_classes_of_metrics_and_a_precision(find):
    def seen(input_shape, classes, *, units):
        policies.append(keras.config.dtype_policy().name)
        return net(input_shape, classes, units=units)

    def metric():
        made.append(keras.metrics.SparseCategoricalAccuracy(name="exact"))
        return made[-1]

    policies, made, before = [], [], keras.config.dtype_policy()
    loss = keras.losses.SparseCategoricalCrossentropy(reduction="sum")
    settings = {"loss": loss, "metrics": (partial(metric), "accuracy"), "precision": "mixed_bfloat16"}
    found = find(build=seen, space={"units": [1, 2]}, objective="val_exact", **settings)
    assert (found.table.status == "finished").all() and len(made) == len(policies) == 3  # one to learn the names by
    assert set(policies) == {"mixed_bfloat16"} and keras.config.dtype_policy() == before
    assert (found.table.val_loss > 5).all()  # the sum over the 20 images, each about log(3)
    with pytest.raises(ValueError, match="objective='val_f1'; these nets have: val_accuracy, val_exact, val_loss"):
        find(build=seen, space={"units": [1]}, objective="val_f1", **settings)


@pytest.mark.parametrize("name", LIBRARIES)
def test_help_shows_every_setting(name):
    shown = inspect.signature(getattr(search, name)).parameters
    assert list(shown)[:3] == ["build", "data", "space"]
    assert {n: shown[n].default for n in inspect.signature(search.Settings).parameters} == vars(search.Settings()) | {
        "objective": "val_accuracy"
    }
    with pytest.raises(TypeError, match="epoch"):
        getattr(search, name)(net, tiny.data(), SPACE, epoch=3)


# What is kept: by what it was made of.


def lossy(body):
    """A module's worth of code, with a loss of that body."""
    space = {"keras": keras, "net": net}
    exec(
        f"def loss(true, found): return {body} * keras.losses.sparse_categorical_crossentropy(true, found)\n"
        "def build(input_shape, classes, *, units): return net(input_shape, classes, units=units)",
        space,
    )
    return space


@in_one
def test_an_edited_loss_is_trained_anew(find):
    once, again, edited = (lossy(body) for body in ("1", "1", "100"))
    first, second, third = (
        find(build=space["build"], space={"units": [2]}, loss=space["loss"], epochs=1).table
        for space in (once, again, edited)
    )
    assert first.equals(second)  # the seconds too: it was not trained again
    assert third.val_loss[0] > 10 * first.val_loss[0]


def test_what_cannot_be_described_is_trained_and_not_kept(find, tmp_path):
    """A lock says nothing of what it does."""
    lock = threading.Lock()

    def locked(input_shape, classes, *, units):
        with lock:
            return net(input_shape, classes, units=units)

    for _ in range(2):
        with pytest.warns(UserWarning, match="locked: lock cannot be described.*the trials are not kept") as said:
            found = find(build=locked, space={"units": [1, 2]}, epochs=1)
        assert sum("not kept" in str(warning.message) for warning in said) == 1
        assert (found.table.status == "finished").all() and len(found.table) == 2
    assert not list((tmp_path / "search").glob("*.json"))


@in_one
def test_a_record_that_cannot_be_written_does_not_end_the_search(find, untrained, monkeypatch):
    def full(path, *arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kit.files.writing", full)
    with pytest.warns(UserWarning, match="cannot be written .No space left on device"):
        found = find(space={"units": [1, 2]})
    assert (found.table.status == "finished").all() and len(found.table) == 2


def test_a_failed_trial_leaves_its_traceback(find, untrained):
    found = find(space={"fails": ["here", ""]})
    (trial,) = found.table.trial[found.table.status != "finished"]
    assert list(found.failures) == [trial]
    assert 'raise RuntimeError("no such net' in found.failures[trial]
    assert found.best_first().trial.iloc[-1] == trial


# Talos: its record of a trial ends at the epoch at which the trial was judged.


@pytest.mark.parametrize("library", ["talos"], indirect=True)
def test_early_stopping_keeps_the_epoch_with_the_lowest_loss(find):
    result = find(space={"units": [4], "learning_rate": [3.0]}, epochs=30, patience=2, batch_size=32)
    (row,) = result.table.to_dict("records")
    assert row["epochs"] == len(result.library.round_history[0]["val_loss"]) + 2 < 30
    assert row["val_loss"] == min(result.library.round_history[0]["val_loss"])


# Keras Tuner: its other tuners, and the nets that a tuner gives.


@pytest.mark.parametrize("tuner", ["random", "bayesian", "hyperband"])
@in_one
def test_the_other_tuners(find, tuner, untrained, recwarn):
    space = {"kernel": [(1, 1), (1, 3), (3, 1), (3, 3)]}
    trials = np.int64(4)  # a Bayesian search draws three at random for each parameter, and then chooses
    result = find(space=space, tuner=tuner, trials=trials, epochs=3)
    assert len(result.table) == trials and (result.table.status == "finished").all()
    assert set(result.table.kernel) <= set(space["kernel"])
    assert not [w for w in recwarn if "sklearn" in w.filename or "keras_tuner" in w.filename]
    assert result.library.get_best_models()[0].layers[0].kernel_size in space["kernel"]
    if tuner == "hyperband":  # three epochs, divided by three: the first round has one each
        assert set(result.table.epochs) == {1, 3}
        best = result.table[result.table.epochs == 3].iloc[0]
        assert best.kernel in list(result.table.kernel[result.table.epochs == 1])
    else:
        assert (result.table.epochs == 3).all()


@in_one
def test_the_tuner_gives_the_nets_of_its_trials(find):
    def built(input_shape, classes, **options):
        seen.append(options)
        return net(input_shape, classes, **options)

    seen, data = [], tiny.data().hold_out(0.25, seed=0)
    space = {"kernel": [(1, 1), (3, 3)], "learning_rate": [0.3]}
    found = find(build=built, space=space, data=data, epochs=12, patience=2, batch_size=10)
    assert len(seen) == 1 + len(found.table) == 3  # one to learn the metrics' names, and those of the trials
    assert (found.table.epochs < 12).any()  # stopped early, judged before its last epoch

    tuner = found.library
    (best,) = tuner.get_best_hyperparameters()
    one, two = (tuner.hypermodel.build(best) for _ in range(2))
    assert one.layers[0].kernel_size == found.best["kernel"]
    assert float(one.optimizer.learning_rate) == pytest.approx(found.best["learning_rate"])
    for first, second in zip(one.get_weights(), two.get_weights()):
        np.testing.assert_array_equal(first, second)  # seeded as a trial

    accuracies = [model.evaluate(*data.validation, verbose=0)[1] for model in tuner.get_best_models(2)]
    assert accuracies == pytest.approx(sorted(found.table.val_accuracy, reverse=True), abs=1e-6)


@in_one
def test_the_tuner_has_no_net_of_a_trial_that_failed(find, untrained):
    tuner = find(space={"fails": ["everywhere", ""]}).library
    with pytest.raises(ValueError, match=r"trial \d+ failed: RuntimeError: no such net; ask for the nets of") as error:
        tuner.get_best_models(2)
    assert "\n" not in str(error.value)


def test_an_unknown_tuner():
    with pytest.raises(ValueError, match="tuner='best'; it must be one of random, bayesian, hyperband, grid"):
        search.keras_tuner(net, tiny.data(), SPACE, tuner="best")


# Optuna: what it prunes, the study and its database.

in_optuna = pytest.mark.parametrize("library", ["optuna"], indirect=True)


@in_optuna
def test_a_trial_below_the_median_is_pruned(find, untrained):
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


@in_optuna
def test_the_first_tenth_of_the_epochs_is_not_judged(find, untrained):
    table = find(build=worse_and_worse(), space={"units": [*range(7)]}, epochs=10).table
    assert list(table.status) == ["finished"] * 5 + ["pruned in epoch 2"] * 2


@in_optuna
def test_what_is_pruned_is_no_record_for_another_search(find, untrained, tmp_path):
    find(build=worse_and_worse(), space={"units": [*range(7)]}, epochs=3)
    assert len(list((tmp_path / "search").glob("*.json"))) == 5


@in_optuna
def test_pruning_ends_the_training(find, monkeypatch):
    import optuna

    monkeypatch.setattr(optuna.pruners, "MedianPruner", partial(optuna.pruners.MedianPruner, n_startup_trials=1))
    verbosity = optuna.logging.get_verbosity()
    table = find(build=worse_and_worse(), space={"units": [0, 1]}).table
    assert list(table.status) == ["finished", "pruned in epoch 1"] and list(table.epochs) == [2, 1]
    assert optuna.logging.get_verbosity() == verbosity


@in_optuna
def test_a_failed_trial_is_run_again_and_others_are_not(find, untrained, tmp_path):
    note, repaired = tmp_path / "built", tmp_path / "repaired"  # files, for a build that closes over less is another

    def mended(input_shape, classes, *, units):
        with note.open("a") as file:
            file.write(f"{units} ")
        if units == 3 and not repaired.exists():
            raise MemoryError("no room")
        return net(input_shape, classes, units=units)

    first = find(build=mended, space={"units": [1, 2, 3]})
    assert sorted(first.table.status)[0] == "failed: MemoryError: no room"
    repaired.touch()
    note.unlink()
    again = find(build=mended, space={"units": [1, 2, 3]})
    assert (again.table.status == "finished").all() and sorted(again.table.units) == [1, 2, 3]
    assert note.read_text().split() == ["1", "3"]  # one to learn the metrics' names, and the one that failed


@in_optuna
def test_values_that_are_equal_are_kept_apart(find, untrained):
    table = find(build=scored, space={"score": [1, True, 1.0]}).table
    assert len(table) == 3 and {type(value) for value in table.score} == {int, bool, float}


@in_optuna
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


@in_optuna
def test_a_search_is_carried_further(find, untrained):
    space = {"score": [round(0.1 * i, 1) for i in range(1, 9)]}
    few = find(build=scored, space=space, trials=3)
    more = find(build=scored, space=space, trials=6)
    assert more.table[:3].equals(few.table) and len(more.table) == 6 and not more.table.duplicated("score").any()
    assert find(build=scored, space=space, trials=3).table.equals(few.table)


@in_optuna
def test_the_trials_of_others_in_the_study_change_nothing(find, untrained, tmp_path):
    def others(trial):
        """Far better than ours, and more than those; some have a parameter of ours, some another, some fail."""
        trial.report(100.0, 0)
        if trial.number % 2:
            trial.suggest_categorical("score", space["score"])
        else:
            trial.suggest_float("other", 0, 1)
        return None if trial.number % 5 == 0 else 100.0

    space = {"score": [round(0.05 * i, 2) for i in range(1, 13)]}
    for times, trials in enumerate((3, 12), 1):
        found = find(build=scored, space=space, trials=trials)
        found.library.optimize(others, n_trials=10)  # the last time, with no combination left to try
        assert len(found.table) == trials and len(found.library.trials) == trials + 10 * times
    again = find(build=scored, space=space)
    whole = find(build=scored, space=space, folder=tmp_path / "other")
    assert again.table.equals(found.table) and outcome(whole).equals(outcome(again))
    assert (whole.table.status != "finished").any()  # by the median of ours


@in_optuna
def test_a_changed_setting_is_a_new_study(find, untrained, tmp_path):
    import optuna

    def uncompiled(input_shape, classes, *, score):
        model = net(input_shape, classes)
        model.score = score
        return model

    changes = [{"epochs": 3}, {"optimizer": keras.optimizers.Adam}, {"data": tiny.data().take(150, seed=0)}]
    for count, change in enumerate([{}, *changes, {}, changes[0]], 1):
        find(**{"build": uncompiled, "space": {"score": [0.5]}} | change)
        found = optuna.get_all_study_names(f"sqlite:///{tmp_path / 'search' / 'optuna.db'}")
        assert len(found) == min(count, 1 + len(changes)), change


@in_optuna
def test_a_damaged_database_is_set_aside(find, untrained, tmp_path):
    first = find(space={"units": [2, 3]})
    (tmp_path / "search" / "optuna.db").write_bytes(b"not a database" * 100)
    with pytest.warns(UserWarning, match=r"optuna.db is damaged \(.*\); set aside as optuna.db.damaged") as caught:
        again = find(space={"units": [2, 3]})
    assert outcome(again).equals(outcome(first)) and (tmp_path / "search" / "optuna.db.damaged").exists()
    (said,) = (warning for warning in caught if warning.category is UserWarning)
    assert said.filename == __file__ and "\n" not in str(said.message)
