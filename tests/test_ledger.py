"""The ledger: what was made is described by what it does, and only whole records of the very fit are believed."""

import ast
import functools
import json
import math
import operator
import os
import random
import subprocess
import sys
import threading
import types
import warnings
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import sklearn
import sklearn.linear_model
import tiny

from kit import datasets, files, models, reports, training
from kit.reports import fashion_compare, organ
from kit.studies import describe, ledger
from kit.studies.describe import Undescribed, digest
from kit.training import hooks

HEAD = "import keras, functools\nfrom functools import partial\n"
LOSS = """
SCALE = 1.5
def inner(x, *, power=2): return x ** power
def helper(x): return inner(x, power=3) * SCALE
def f(y_true, y_pred): return helper(y_true - y_pred)
"""
NET = """
class Base(keras.Model):
    def call(self, x): return self.dense(x) + 1
class Net(Base):
    def __init__(self, units=4):
        super().__init__()
        self.dense = keras.layers.Dense(4)
def f(input_shape, classes): return Net()
"""
CALLBACK = "def f(): return keras.callbacks.EarlyStopping('val_loss', patience=3)"
FACTORY = """
def factory(n, offset=0):
    def made(x): return x * n + offset
    return made
f = factory(2)
"""
DECORATED = """
def twice(function):
    @functools.wraps(function)
    def wrapper(*a): return 2 * function(*a)
    return wrapper
@twice
def f(x): return x + 1
"""
LAMBDA = "g = [lambda x: x + 1, lambda x: x - 1]\nf = partial(g[0], 3)"
LIMITS = """
class Limits:
    top = 3
    def __init__(self): self.low, self.names = 0, {'a', 'b'}
    @property
    def width(self): return self.top - self.low
    @staticmethod
    def check(x): return x
limits = Limits()
def f(x): return x * limits.width
"""
WITHIN = """
def f(x):
    class Layer(keras.layers.Layer):
        def call(self, x): return [y for y in x if y not in {1, 2}]
    try: return Layer()(x)
    except ValueError: return None
"""
RECURSIVE = "def even(n): return n == 0 or odd(n - 1)\ndef odd(n): return n != 0 and even(n - 1)\nf = even"
CACHED = "@functools.lru_cache\ndef f(x): return x + 1"


def ran(source, name="notebook"):
    """What a cell of a notebook leaves as `f`: no file holds its source. Without a name there is no module either."""
    space = {"__name__": name} if name else {}
    exec(HEAD + source, space)
    return space["f"]


@pytest.mark.parametrize("name", ["notebook", "__main__", None])
@pytest.mark.parametrize(
    ("source", "old", "new"),
    [
        (LOSS, "return helper(y_true - y_pred)", "return 100 * helper(y_true - y_pred)"),
        (LOSS, "SCALE = 1.5", "SCALE = 1.6"),
        (LOSS, "x ** power", "x ** power + 1"),
        (LOSS, "y_true - y_pred", "y_pred - y_true"),
        (LOSS, "power=3", "power=3.0"),
        (CALLBACK, "patience=3", "patience=4"),
        (CALLBACK, "patience=3", "min_delta=3"),
        (CALLBACK, "EarlyStopping", "ReduceLROnPlateau"),
        (NET, "Dense(4)", "Dense(64)"),
        (NET, "units=4", "units=5"),
        (NET, "+ 1", "+ 2"),
        (NET, "class Net(Base)", "class Net(keras.Model)"),
        (FACTORY, "factory(2)", "factory(3)"),
        (FACTORY, "offset=0", "offset=1"),
        (FACTORY, "x * n", "x + n"),
        (DECORATED, "2 * function", "3 * function"),
        (DECORATED, "x + 1", "x + 2"),
        (DECORATED, "@twice\n", ""),
        (LAMBDA, "x + 1", "x + 2"),
        (LAMBDA, "g[0]", "g[1]"),
        (LAMBDA, ", 3)", ", 4)"),
        (LIMITS, "top = 3", "top = 4"),
        (LIMITS, "0, {'a'", "1, {'a'"),
        (LIMITS, "'b'}", "'c'}"),
        (LIMITS, "self.top - self.low", "self.low - self.top"),
        (LIMITS, "check(x): return x", "check(x): return -x"),
        (LIMITS, "@staticmethod", "@classmethod"),
        (WITHIN, "{1, 2}", "{1, 3}"),
        (WITHIN, "if y", "if not y"),
        (WITHIN, "except ValueError", "except TypeError"),
        (WITHIN, "return None", "return 0"),
        (RECURSIVE, "n != 0", "n != 1"),
        (CACHED, "x + 1", "x + 2"),
        ("def f(x):\n while True: pass", "True", "x"),
        ("def f(x):\n if x: return 1\n return 2", "if x", "if not x"),
        ("def f(x):\n for y in x:\n  if y: break\n return y", "break", "continue"),
    ],
    ids=lambda part: part.strip()[:30] if isinstance(part, str) else part,
)
def test_an_edit_of_what_runs_gives_another_description(source, old, new, name):
    assert source.count(old) == 1
    assert digest(ran(source, name)) == digest(ran(source, name))
    assert digest(ran(source, name)) != digest(ran(source.replace(old, new), name))


PLAIN = """
def f(x, y=3):
    z = 2
    def g(a, b=1, *args, c):
        return h(a, key=b) + (x if c else y)
    class K(object):
        n = 1
        def m(self): return self.n
    for w in [v for v in (x, y, z) if v and x]: h(w, w)
    return g(x, c=0), K
def h(a, key): return a
class C:
    size = 3
    def call(self): return f(1)
f.held = C
"""
WRITTEN = '''
def f(x: int, y: "float" = 3) -> tuple[int, type]:
    """What it is.

    And more."""
    z: int = 2  # a comment

    def g(a, b=1, *args, c):
        """Within."""
        return h(a, key=b) + (x if c else y)
    class K(object):
        n = 1
        def m(self):
            "Doc."
            return self.n

    for w in [
        v
        for v in (
            x,
            y,
            z)
        if v  # else not
        and x
    ]:
        h(w,
          w)

    return (
        g(x, c=0),
        K,
    )


def h(a: str, key: list) -> None:
    "Doc."
    return a


class C:
    """A class."""

    size: int = 3

    def call(self) -> "C":
        """Doc."""
        return f(1)


f.held = C
'''


def test_docstrings_comments_annotations_and_spaces_change_nothing():
    plain, later = digest(ran(PLAIN)), {"__name__": "notebook"}
    assert digest(ran(WRITTEN)) == plain != digest(ran(PLAIN.replace("n = 1", "n = 2")))
    exec("from __future__ import annotations\n" + WRITTEN, later)
    assert digest(later["f"]) == plain


def test_the_kits_own_code_is_told_from_itself_with_other_docstrings():
    source = Path(training.__file__).with_name("dice.py").read_text()
    source = source.replace('@keras.saving.register_keras_serializable("kit")', "")  # or Keras would take these for it
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.Module) and ast.get_docstring(node):
            node.body[0] = ast.Expr(ast.Constant("Other words."))
    spaces = [{"__name__": "cell"}, {"__name__": "cell"}, {"__name__": "cell"}]
    for space, code in zip(spaces, (source, ast.unparse(tree), source.replace(" + ", " - "))):
        exec(code, space)
    first, second, third = (digest(space["dice_loss"]) for space in spaces)
    assert first == second != third


def test_a_module_is_described_as_far_as_it_is_named(monkeypatch):
    helpers, deeper = types.ModuleType("own_helpers"), types.ModuleType("own_helpers.deeper")
    exec("def scaled(x): return x * FACTOR\nFACTOR = 2\nOTHER = 5", helpers.__dict__)
    exec("def g(x): return x", deeper.__dict__)
    helpers.deeper, helpers.__path__ = deeper, []
    monkeypatch.setitem(sys.modules, "own_helpers", helpers)
    monkeypatch.setitem(sys.modules, "own_helpers.deeper", deeper)
    ways = {
        "attribute": ran("import own_helpers\ndef f(x): return own_helpers.scaled(own_helpers.deeper.g(x))"),
        "alias": ran("import own_helpers as h\ndef f(x): return h.deeper.g(h.scaled(x))"),
        "name": ran("from own_helpers import scaled, deeper\ndef f(x): return deeper.g(scaled(x))"),
        "within": ran("def f(x):\n import own_helpers as h\n from own_helpers.deeper import g\n return h.scaled(g(x))"),
        "relative": ran("def f(x):\n from . import deeper, scaled\n return scaled(deeper.g(x))", "own_helpers.cell"),
        "whole": ran("import own_helpers\ndef f(x): return getattr(own_helpers, 'sca' + 'led')(x)"),
    }
    before = {way: digest(function) for way, function in ways.items()}
    monkeypatch.setattr(helpers, "OTHER", 6)
    assert {way for way, function in ways.items() if digest(function) != before[way]} == {"whole"}
    monkeypatch.setattr(helpers, "OTHER", 5)
    monkeypatch.setattr(helpers, "FACTOR", 3)
    assert all(digest(function) != before[way] for way, function in ways.items())
    monkeypatch.setattr(helpers, "FACTOR", 2)
    assert {way: digest(function) for way, function in ways.items()} == before
    exec("def g(x): return -x", deeper.__dict__)
    assert {way for way, f in ways.items() if digest(f) == before[way]} <= {"name"}  # has the old `deeper.g` no longer
    assert digest(ways["name"]) != before["name"]


KINDS = [
    None, True, False, 0, 1, 1.0, -0.0, 0.0, "1", b"1", bytearray(b"1"), 1j, math.nan, math.inf, -math.inf, 2**70, "",
    "nan", (), [], {}, set(), (1,), [1], {1: 2}, {2: 1}, {"1": 2}, {1}, {1.5}, (1, (2,)), ((1, 2),), slice(1), range(1),
    range(2), ..., NotImplemented, Path("a"), Path("b"), np.float32(1), np.float64(1), np.int64(1), np.array([1]),
    np.array([1.0]), np.array([[1]]), np.array(["a", None], object), np.array(["b", None], object), np.dtype("f4"),
    np.random.default_rng(0), np.random.default_rng(1), np.random.RandomState(0), np.random.RandomState(1),
    random.Random(0), random.Random(1), pd.Series([1, 2]), pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"b": [1, 2]}),
    pd.Series([1, 2], name="x"), pd.Series([1, 2], index=[1, 2]), operator.itemgetter(1), operator.itemgetter(2), len,
    np.mean, np.add, np.subtract, str.upper, str.lower, "a".join, "b".join, int, partial(len), partial(int, 2),
    partial(int, base=2), math, random.random, np.random.normal, sklearn.linear_model.LogisticRegression(),
    sklearn.linear_model.LogisticRegression(C=2), np.linalg, keras.ops.convert_to_tensor([1.0]), keras.Variable([2.0]),
    files.File if hasattr(files, "File") else files, datasets.Split, datasets.Split(1, 2), datasets.Split(2, 1),
]  # fmt: skip


def test_no_two_kinds_of_things_are_confused():
    digests = [digest(kind) for kind in KINDS]
    for index, one in enumerate(digests):
        assert digests.index(one) == index, f"{KINDS[index]!r} is described as {KINDS[digests.index(one)]!r}"
    random.random(), np.random.normal()  # what they are is not how often they were called
    assert digests == [digest(kind) for kind in KINDS]
    assert digest({3, 1, 2, "x"}) == digest({"x", 2, 1, 3}) and digest(frozenset("abc")) == digest(frozenset("cba"))
    rng = np.random.default_rng(0)
    rng.random()
    assert digest(rng) != digest(np.random.default_rng(0))
    json.dumps(describe.describe(KINDS), allow_nan=False)


def test_things_that_hold_themselves_are_described():
    ring, other = [1], [1]
    ring.append(ring)
    other.append([1, other])
    assert digest(ring) == digest(ring) != digest(other)
    node = types.SimpleNamespace(name="a")
    node.next = types.SimpleNamespace(name="b", next=node)
    first = digest(node)
    node.next.name = "c"
    assert digest(node) != first


def act(x):
    return keras.ops.relu(x) * 2


@pytest.mark.parametrize("number", [2, 3])
def test_keras_objects_are_their_configs_their_weights_and_own_code(number, monkeypatch):
    make = {
        "layer": lambda n: keras.layers.Dense(n),
        "optimizer": lambda n: keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.1, n, 0.5)),
        "loss": lambda n: keras.losses.Huber(delta=n),
        "own loss": lambda n: keras.src.losses.losses.LossFunctionWrapper(ran(f"def f(t, p): return t * p * {n}")),
        "metric": lambda n: keras.metrics.TopKCategoricalAccuracy(k=n),
        "own metric": lambda n: keras.metrics.MeanMetricWrapper(ran(f"def f(t, p): return t * p * {n}"), name="m"),
        "metric's option": lambda n: keras.metrics.MeanMetricWrapper(act, name="m", power=n),
        "callback": lambda n: keras.callbacks.EarlyStopping(patience=n),
        "plateau": lambda n: keras.callbacks.ReduceLROnPlateau(patience=n),
        "scheduler": lambda n: keras.callbacks.LearningRateScheduler(ran(f"def f(epoch): return 0.1 / {n}")),
        "own callback": lambda n: keras.callbacks.LambdaCallback(on_epoch_end=ran(f"f = lambda e, logs: {n}")),
        "regularizer": lambda n: keras.regularizers.L2(n),
        "activation": lambda n: keras.layers.Dense(3, activation=ran(f"def f(x): return x * {n}")),
        "lambda": lambda n: keras.layers.Lambda(ran(f"f = lambda x: x * {n}")),
        "own layer": lambda n: ran(f"""
class Own(keras.layers.Layer):
    def __init__(self, n): super().__init__(name="own"); self._private = n
    def call(self, x): return x * self._private
f = Own({n})"""),
        "own net": lambda n: ran(f"""
class Own(keras.Model):
    def __init__(self): super().__init__(name="own"); self.held = [keras.layers.Dense({n}, name="d")]
    def call(self, x): return self.held[0](x)
f = Own()"""),
        "functional": lambda n: models.mlp((3,), 2, hidden=(n,)),
    }

    def described():
        found = {}
        for name, one in make.items():
            with hooks.stream(0):  # layers are numbered from one
                found[name] = digest(one(number))
        return found

    first = described()
    assert described() == first
    assert len(set(first.values())) == len(first)
    was, number = first, number + 1
    again = described()
    assert not [name for name in was if again[name] == was[name]]


def test_weights_and_seeds_belong_to_a_net():
    keras.utils.set_random_seed(0)
    net = models.mlp((3,), 2, hidden=(4,))
    first = digest(net)
    net.layers[-1].bias.assign([0.0, 1.0])
    assert digest(net) != first
    assert digest(ran("class F:\n net = None\nf = F()")) != first
    metric = keras.metrics.Mean()
    fresh = digest(metric)
    metric.update_state([1.0])
    assert digest(metric) == fresh  # it is reset before it counts


SCRIPT = """
import sys; sys.path.insert(0, sys.argv[1])
junk = [bytearray(int(sys.argv[2])) for _ in range(int(sys.argv[2]))]  # other addresses
import random
import keras, numpy as np, sklearn.tree
from functools import partial
from kit import models, reports
from kit.studies.describe import describe, digest
import json, test_ledger
def falling(epoch): return 0.1 if epoch in {"a", "b", 1, 2, 3} else NAMES
NAMES = {"x", "y", "zebra", falling}
@keras.saving.register_keras_serializable("own")
class Own(keras.layers.Layer):
    def call(self, x): return x
    def get_config(self): return super().get_config() | {"function": falling, "at": object()}
random.seed(0); keras.utils.set_random_seed(0)
things = [partial(keras.callbacks.LearningRateScheduler, falling), keras.callbacks.LearningRateScheduler(falling),
          Own(), keras.Sequential([keras.Input((3,)), Own(), keras.layers.Dense(2), keras.layers.Dropout(0.5)]),
          *test_ledger.KINDS, *map(reports.get, reports.names()), test_ledger.ran(test_ledger.LIMITS)]
print(json.dumps([digest(thing) for thing in things]))
print(" at 0x" in json.dumps(describe(things)))
"""


@pytest.mark.slow
def test_another_process_gives_the_same_descriptions():
    here = str(Path(__file__).parent)
    started = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, here, seed], env=os.environ | {"PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE, text=True,
        )
        for seed in ("1", "77")
    ]  # fmt: skip
    first, second = (process.communicate()[0].splitlines() for process in started)
    assert json.loads(first[0]) == json.loads(second[0])
    assert len(json.loads(first[0])) > len(KINDS) and first[1] == "False"


@pytest.mark.parametrize("name", reports.names())
def test_every_row_of_the_reports_can_be_described(name):
    one = reports.get(name)
    for part in [one, *getattr(one, "experiments", ())]:
        assert digest(part) == digest(part)


def test_the_reports_own_functions_are_told_from_their_edits(monkeypatch):
    edits = [
        (organ.early_stopping, lambda: monkeypatch.setattr(organ, "PATIENCE", 9)),
        (organ.twice_softmaxed_loss, lambda: edited(organ.twice_softmaxed_loss, lambda y, p: p * 100)),
        (fashion_compare.data, lambda: edited(fashion_compare.centred, lambda data: data)),
        (organ.mlp((3,)), lambda: edited(models.mlp, lambda *shape, **options: None)),
    ]

    def edited(function, other):
        monkeypatch.setattr(function, "__code__", other.__code__)

    for thing, edit in edits:
        first = digest(thing)
        edit()
        assert digest(thing) != first
        monkeypatch.undo()
        assert digest(thing) == first


def test_another_version_of_a_library_gives_another_description(monkeypatch):
    things = [sklearn.linear_model.LogisticRegression(), ran("import sklearn\ndef f(x): return sklearn.clone(x)")]
    things += [ran("def f(x):\n from sklearn.base import clone\n return clone(x)"), sklearn]
    first = [digest(thing) for thing in things]
    monkeypatch.setattr(sklearn, "__version__", "0.1")
    assert not {digest(thing) for thing in things} & set(first)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: ran("import threading\nLOCK = threading.Lock()\ndef g(): LOCK\ndef f(): g()"), "g.LOCK .*lock"),
        (lambda: ran("class Held: pass\nheld = Held()\nheld.file = open('/dev/null')\ndef f(x): held"), "held.file"),
        (lambda:partial(len, key=(i for i in "abc")), "key .*generator"),
        (lambda: ran("import contextvars\nv = contextvars.ContextVar('v')\nf = lambda: v.get()"), "v .*ContextVar"),
        (lambda: threading.Lock(), "lock"),
        (lambda: np.frompyfunc(act, 1, 1), "ufunc"),
        (lambda: functools.reduce(lambda held, _: [held], range(100_000), []), "deep"),
    ],
)  # fmt: skip
def test_what_cannot_be_described_is_named(make, named):
    with pytest.raises(Undescribed, match=named) as caught:
        digest(make())
    assert "\n" not in str(caught.value)
    assert issubclass(Undescribed, ValueError)


def test_data_are_known_by_their_arrays():
    data = tiny.data()
    other = data.map(lambda x: x + (x == x.max()))
    assert digest(data) == digest(tiny.data()) != digest(other)
    assert ledger.fingerprint(data) == ledger.fingerprint(tiny.data()) != ledger.fingerprint(other)
    swapped = type(data)(**(vars(data) | {"train": data.test, "test": data.train}))
    renamed = type(data)(**(vars(data) | {"classes": ("grey", "dark", "bright")}))
    assert len({ledger.fingerprint(one) for one in (data, swapped, renamed)}) == 3


def test_surroundings_change_with_what_changes_the_numbers(monkeypatch):
    first = digest(ledger.surroundings())
    assert digest(ledger.surroundings()) == first
    monkeypatch.setenv("OMP_NUM_THREADS", "17")
    assert digest(ledger.surroundings()) != first
    monkeypatch.undo()
    keras.config.set_epsilon(1e-3)
    try:
        assert digest(ledger.surroundings()) != first
    finally:
        keras.config.set_epsilon(1e-7)
    known = ledger.machine.versions()
    for library in ("keras", keras.backend.backend()):
        monkeypatch.setattr(ledger.machine, "versions", lambda library=library: known | {library: "0.0.1"})
        assert digest(ledger.surroundings()) != first, library
    monkeypatch.undo()
    monkeypatch.setattr(ledger.platform, "python_version_tuple", lambda: ("3", "99", "0"))
    assert digest(ledger.surroundings()) != first


def test_the_machinery_is_code_without_docstrings(tmp_path):
    def hashed(text):
        ledger.machinery.cache_clear()
        (tmp_path / "more.py").write_text(text)
        return ledger.machinery(tmp_path / "more.py")

    first = hashed("def f(x):\n    return x\n")
    assert hashed('"""A module."""\n# c\ndef f(x):\n    """Doc."""\n\n    return (x)\n') == first
    assert hashed("def f(x):\n    return -x\n") != first
    ledger.machinery.cache_clear()


FIT = ledger.Fit("tiny", "First, 1.1: große Netze", 3, "0123456789abcdef")
RECORD = {
    "status": "finished", "metrics": {"accuracy": 0.9231, "loss": math.nan}, "parameters": 1234, "epochs": 2,
    "seconds": 1.5, "history": {"loss": [1.25, math.inf], "accuracy": [0.5, 0.75]}, "origin": "real",
    "profile": "full", "confusion_matrix": np.arange(4).reshape(2, 2), "note": "é \" \\ 中",
    "best": np.float32(0.5), "settings": {"rate": 0.1, "wide": True, "none": None},
}  # fmt: skip


@pytest.fixture
def kept(tmp_path):
    record, done = ledger.write(tmp_path, FIT, RECORD)
    assert done
    (path,) = tmp_path.iterdir()
    return record, path


def test_a_record_is_read_as_it_was_written(kept, tmp_path):
    record, path = kept
    assert ledger.read(tmp_path, FIT) == record  # NaN is one object
    assert record["metrics"]["accuracy"] == 0.9231 and math.isnan(record["metrics"]["loss"])
    assert record["history"]["loss"][0] == 1.25 and math.isnan(record["history"]["loss"][1])
    assert record["confusion_matrix"] == [[0, 1], [2, 3]] and record["note"] == RECORD["note"]
    assert {name: record[name] for name in FIT._fields} == FIT._asdict()
    assert "NaN" not in path.read_text() and path.name.isascii()
    assert path.name.startswith("first-1-1-gro-e-netze-seed3-")
    assert RECORD["metrics"]["loss"] is math.nan and "seed" not in RECORD  # what was given is as it was
    others = [FIT._replace(study="b"), FIT._replace(experiment="First  1.1 große Netze"), FIT._replace(seed=4)]
    others += [FIT._replace(description=FIT.description[::-1])]
    for other in others:
        assert ledger.read(tmp_path, other) is None
        assert ledger.write(tmp_path, other, RECORD)[1]
    assert len(list(tmp_path.iterdir())) == 5 and ledger.read(tmp_path, FIT) == record


def test_no_mutated_record_is_believed(kept, tmp_path, monkeypatch):
    record, path = kept
    whole, seed = path.read_bytes(), random.SystemRandom().randrange(2**32)
    rng, aside = random.Random(seed), []
    monkeypatch.setattr(files, "warn", aside.append)
    words = [b"NaN", b"Infinity", b"1e999", b"null", b"{}", b"[]", b"true", b"\xff", b"\x00", b'"', b"[" * 100_000]

    def mutated():
        content, at = bytearray(whole), rng.randrange(len(whole))
        way = rng.randrange(5)
        if way == 0:
            content[at] ^= 1 << rng.randrange(8)
        elif way == 1:
            del content[at : at + rng.choice([1, 2, 30, len(whole)])]
        elif way == 2:
            content[at:at] = rng.choice(words)
        elif way == 3:
            content[at] = rng.choice(b"0123456789")
        else:
            values = json.loads(whole)
            name = rng.choice(list(values))
            values[name] = rng.choice([None, [], {}, "", 0, 1, True, -1.5, values[rng.choice(list(values))]])
            values.pop(rng.choice(list(values)) if rng.random() < 0.3 else None, None)
            content = json.dumps(values).encode()
        return bytes(content)

    for number in range(600):
        path.write_bytes(mutated())
        aside.clear()
        found = ledger.read(tmp_path, FIT)
        assert found is None or found == record, f"seed {seed}, mutation {number}: {path.read_bytes()[:2000]}"
        assert (found is None) == (not path.exists()) == (len(aside) == 1), f"seed {seed}, mutation {number}"
        assert ledger.read(tmp_path, FIT) == found
    assert len(list(tmp_path.glob("*.damaged*"))) > 300  # each of them is still there
    assert ledger.write(tmp_path, FIT, RECORD) == (record, True)
    assert ledger.read(tmp_path, FIT) == record


def with_checksum(record):
    record = {name: value for name, value in record.items() if name != "checksum"}
    return json.dumps(record | {"checksum": ledger._checksum(record)})


@pytest.mark.parametrize(
    "change",
    [{"metrics": None}, {"metrics": {"accuracy": "0.9"}}, {"metrics": {"accuracy": True}}, {"metrics": [1]},
     {"history": {"loss": 1}}, {"history": []}, {"status": None}, {"parameters": 1.5}, {"epochs": "2"}, {"seed": "3"},
     {"seed": 3.0}, {"experiment": "second"}, {"study": "other"}, {"description": "0123"}, {"origin": 1},
     {"profile": None}, {"seconds": "1"}, {"parameters": True}],
    ids=str,
)  # fmt: skip
def test_a_record_of_another_fit_or_type_is_not_believed_though_its_checksum_agrees(change, kept, tmp_path):
    path = kept[1]
    path.write_text(with_checksum(json.loads(path.read_text()) | change))
    with pytest.warns(UserWarning, match="is damaged .* set aside"):
        assert ledger.read(tmp_path, FIT) is None
    assert not path.exists()


def test_a_row_that_diverged_needs_less(tmp_path):
    less = {name: value for name, value in RECORD.items() if name != "seconds"} | {"metrics": {}}
    assert ledger.write(tmp_path, FIT, less | {"status": "diverged in epoch 2"})[1]
    assert ledger.read(tmp_path, FIT)["status"] == "diverged in epoch 2"


@pytest.mark.parametrize("kind", ["directory", "pipe", "link in a ring", "large"])
def test_what_is_no_file_is_out_of_the_way(kind, kept, tmp_path, monkeypatch):
    record, path = kept
    if kind == "large":
        monkeypatch.setattr(ledger, "LIMIT", path.stat().st_size - 1)
    else:
        path.unlink()
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        if not hasattr(os, "mkfifo"):
            pytest.skip("no pipes here")
        os.mkfifo(path)
    elif kind == "link in a ring":
        path.symlink_to(path)
    with pytest.warns(UserWarning, match="the fit is run again"):
        assert ledger.read(tmp_path, FIT) is None
    monkeypatch.undo()
    assert ledger.write(tmp_path, FIT, RECORD) == (record, True) and ledger.read(tmp_path, FIT) == record


def test_a_record_that_cannot_be_opened_is_left_where_it_is(kept, tmp_path, monkeypatch):
    def refused(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched, pytest.warns(UserWarning, match="cannot be read .Permission denied"):
        patched.setattr(Path, "open", refused)
        assert ledger.read(tmp_path, FIT) is None
    assert ledger.read(tmp_path, FIT) == kept[0]
    kept[1].write_text("{")
    with monkeypatch.context() as patched, pytest.warns(UserWarning, match="cannot be set aside .Permission denied"):
        patched.setattr(os, "replace", refused)
        assert ledger.read(tmp_path, FIT) is None


def test_a_record_that_cannot_be_written_is_returned(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="cannot be written .* is not kept") as warned:
        record, kept = ledger.write(tmp_path / "file", FIT, RECORD)
    assert not kept and len(warned) == 1 and record == ledger.write(tmp_path, FIT, RECORD)[0]
    assert ledger.read(tmp_path / "file", FIT) is None
    with pytest.raises(OSError, match=r"^no record can be written into .*file") as caught:
        ledger.writable(tmp_path / "file")
    assert "\n" not in str(caught.value)
    with warnings.catch_warnings(action="error"):
        ledger.writable(tmp_path / "new" / "folder")
    assert list((tmp_path / "new" / "folder").iterdir()) == []
