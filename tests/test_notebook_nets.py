"""Every net that a notebook's table judges is built on its page, as the study builds it.

A code cell that builds nets names them in its metadata, `"nets": {expression: "study: row"}`, and needs nothing but the
page's imports and the cells of its kind above it.
"""

import ast
import inspect
import json
import re
from pathlib import Path

import keras
import pytest

import kit
from kit.studies import Study

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def code_cells(path):
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


def plain(cell):
    """Its source without the lines that only IPython reads."""
    return re.sub(r"^([ \t]*)[%!].*$", r"\1pass", "".join(cell["source"]), flags=re.MULTILINE)


def nets(path):
    """[("study: row", a net of the page that is its, what makes the net)]"""
    names, built = {}, []
    for cell in code_cells(path):
        tree = ast.parse(plain(cell))
        named = cell["metadata"].get("nets", {})
        if not named:
            tree.body = [part for part in tree.body if isinstance(part, (ast.Import, ast.ImportFrom))]
        keras.utils.set_random_seed(0)
        exec(compile(tree, path.name, "exec"), names)
        for expression, rows in named.items():
            for row in [rows] if isinstance(rows, str) else rows:
                built.append((row, eval(expression, names), expression))
    return built


def studied(name):
    """(study, row) of "study: row"."""
    study, _, row = name.partition(": ")
    study = kit.reports.get(study)
    return study, next(one for one in study.experiments if one.name == row)


def names_within(layers):
    """The names of layers, and of those within nets among them, in order."""
    for layer in layers:
        yield layer["config"]["name"]
        yield from names_within(layer["config"].get("layers", []))


def anatomy(net):
    """What a net is, names aside: its layers' settings, and which takes its input from which; or its parameters."""
    if not isinstance(net, keras.Model):
        return {key: repr(value) for key, value in net.get_params().items() if key not in ("epochs", "random_state")}
    whole = keras.Model(net.inputs, net.outputs)
    config = whole.get_config()["layers"]
    numbers = {name: number for number, name in enumerate(names_within(config))}
    for layer, settings in zip(whole.operations, config, strict=True):
        if isinstance(layer, keras.layers.MaxPooling2D):  # where the pool divides the sides, both paddings are none
            divides = all(size % pool == 0 for size, pool in zip(layer.input.shape[1:3], layer.pool_size))
            settings["config"]["padding"] = None if divides else layer.padding

    def nameless(part):
        if isinstance(part, dict):
            own = {"inbound_nodes", "trainable", "layers", "batch_shape"} & set(part)  # a layer's; not a policy's
            return {
                key: nameless(value)
                for key, value in part.items()
                if not (key == "name" and own) and key not in ("build_config", "compile_config", "registered_name")
            }
        if isinstance(part, (list, tuple)):
            return [nameless(one) for one in part]
        return numbers.get(part, part) if isinstance(part, str) else part

    return [nameless(layer) for layer in config]


def as_the_study_builds(row, net):
    if not isinstance(net, keras.Model):
        made = row.build((1,), 1)
        return made.set_params(batch_size=row.batch_size) if "batch_size" in made.get_params() else made
    origin = {"origin": "synthetic"} if "origin" in inspect.signature(row.build).parameters else {}
    return row.build(net.input_shape[1:], net.output_shape[-1], **origin)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_each_net_of_the_page_is_the_studys(path):
    for name, net, expression in nets(path):
        _, row = studied(name)
        assert anatomy(net) == anatomy(as_the_study_builds(row, net)), (expression, name)
        if getattr(net, "optimizer", None):  # compiled on the page
            ours, theirs = net.optimizer.get_config(), row.optimizer().get_config()
            assert {**ours, "name": ""} == {**theirs, "name": ""}, (expression, name)


def recalled(path):
    """The names of the studies whose records a page shows."""
    pages = "".join("".join(cell["source"]) for cell in code_cells(path))
    names = sorted(set(re.findall(r'recorded\(\s*"([\w-]+)"', pages)))
    return [name for name in names if isinstance(kit.reports.get(name), Study)]


STUDIES = sorted({name for path in NOTEBOOKS for name in recalled(path)})
NOT_YET = ()


@pytest.mark.parametrize(
    "study", [pytest.param(one, marks=pytest.mark.xfail(strict=True)) if one in NOT_YET else one for one in STUDIES]
)
def test_each_row_of_a_table_is_built_on_a_page_that_shows_it(study):
    there = {name for path in NOTEBOOKS if study in recalled(path) for name, _, _ in nets(path)}
    rows = {f"{study}: {row.name}": row for row in kit.reports.get(study).experiments}
    assert {name for name in there if name.startswith(f"{study}: ")} <= set(rows)
    assert not {name for name, row in rows.items() if row.of is None} - there


def test_another_net_would_be_seen():
    _, row = studied("mnist-cnn: 1.2 CNN")
    right = kit.models.cnn((28, 28, 1), 10, filters=(8, 16, 32), pool=(2, 2, None), dense=(10,))
    assert anatomy(right) == anatomy(as_the_study_builds(row, right))
    for other in ({"pool": (2, 2, 2)}, {"dense": (11,)}, {"filters": (8, 16, 33)}, {"batch_norm": True}):
        options = {"filters": (8, 16, 32), "pool": (2, 2, None), "dense": (10,)} | other
        assert anatomy(kit.models.cnn((28, 28, 1), 10, **options)) != anatomy(right)
    with_skips, without = (kit.models.residual_net((16, 16, 2), 2, skips=skips) for skips in (True, False))
    assert anatomy(with_skips) != anatomy(without)
    assert anatomy(with_skips) == anatomy(kit.models.residual_net((16, 16, 2), 2))
