"""A net as a picture: what its layers are, what they hand on, and where the data take a second way."""

import math
import textwrap
from collections.abc import Mapping

from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.path import Path

from ._figure import COLORS, figure_of

STEP, WIDEST = 0.42, 12  # inches from box to box, and of a figure with nets beside each other
LETTER = 0.062  # inches of a letter of 8 points
# By what a layer is for, light and dark in turn, so that a print in grey tells them apart.
KINDS = {"Conv": COLORS[0], "Pooling": COLORS[1], "Dense": COLORS[2], "Input": "0.9", "Add": "0.3", "Concat": "0.3"}


def architecture(model, *, title=None):
    """Draw a net as a row of boxes, a box a layer, from the input on the left to the output on the right.

    Boxes of maps are as high as the root of their side says, those of vectors narrow and as high as a square with as
    many numbers would be. Above a box stands its output's shape where that changes, below it the layer with its
    settings, and its parameters in brackets. Layers that leave the shape as it is and hold no matrix (activations,
    normalization, dropout) share the box before them. Arcs are connections that pass over boxes.

    Keras' own `plot_model` needs the Graphviz programs, which pip does not install, and draws a column of tables.

    Args:
        model: a Sequential or functional model that is built; or a dict from the names of several to such models,
            which are drawn beside each other where a page has room, and else below each other.
        title: of the figure.

    Raises:
        ValueError: anything else, a model that is not built included.
    """
    several = isinstance(model, Mapping)
    if several and not model:
        raise ValueError("model is {}: a model, or a dict such as {'small 64': model}, would be right")
    rows = [_boxes(one) for one in (model.values() if several else [model])]
    widths, sizes = [max(2.6, STEP * len(boxes)) for boxes in rows], [_size(boxes) for boxes in rows]
    if sum(widths) <= WIDEST:  # a row of nets, with their middles at one height
        below, above = map(max, zip(*sizes, strict=True))
        shape, sizes = (1, len(rows)), [(below, above)] * len(rows)
        across, down = widths, [below + above]
    else:
        shape, widths = (len(rows), 1), [max(widths)] * len(rows)
        across, down = widths[:1], [below + above for below, above in sizes]
    figure, axes = figure_of(
        sum(across), sum(down) + 0.5 * shape[0] + 0.4 * bool(title), *shape,
        title=title, gridspec_kw={"width_ratios": across, "height_ratios": down},
    )  # fmt: skip
    names = [f"{name}: " for name in model] if several else [""]
    for ax, name, one, boxes, width, (below, above) in zip(
        axes.flat, names, model.values() if several else [model], rows, widths, sizes, strict=True
    ):
        _draw(ax, boxes)
        ax.set(xlim=(-STEP / 2, width - STEP / 2), ylim=(-below, above))  # inches
        said = textwrap.fill(f"{name}{one.count_params():,} parameters", int(width / LETTER / 1.2))
        ax.set_title(said, fontsize=9, loc="left")
        ax.axis("off")
    return figure


def _boxes(model):
    """[{"words", "shape", "kind", "before": numbers of the boxes it takes its input from}], inputs first."""
    import keras  # Here, because importing Keras chooses a back end.

    if not getattr(model, "inputs", None) or not getattr(model, "built", False):
        raise ValueError(
            f"model is a {type(model).__name__}: a Sequential or functional Keras model that begins with "
            "keras.Input would be right"
        )
    whole = keras.Model(model.inputs, model.outputs)
    sources = {layer["name"]: _sources(layer["inbound_nodes"]) for layer in whole.get_config()["layers"]}
    used = [source for before in sources.values() for source in before]
    boxes, box_of = [], {}
    for layer in whole.operations:
        shape, before = _shape(layer), [box_of[source] for source in sources[layer.name]]
        weights = layer.count_params() if hasattr(layer, "count_params") else 0
        small = not hasattr(layer, "layers") and all(len(weight.shape) < 2 for weight in getattr(layer, "weights", ()))
        if small and len(before) == 1 and used.count(*sources[layer.name]) == 1 and boxes[before[0]]["shape"] == shape:
            box_of[layer.name] = before[0]
            boxes[before[0]]["words"] += f", {_words(layer)}"
            boxes[before[0]]["weights"] += weights
        else:
            box_of[layer.name] = len(boxes)
            kind = next((color for word, color in KINDS.items() if word in type(layer).__name__), "0.7")
            boxes.append({"words": _words(layer), "weights": weights, "shape": shape, "kind": kind, "before": before})
    for box in boxes:
        box["words"] += f" ({box['weights']:,})" if box["weights"] else ""
    return boxes


def _sources(nodes):
    """The names of the layers whose outputs go into a layer, found in its serialized calls."""
    if isinstance(nodes, dict):
        return [nodes["keras_history"][0]] if "keras_history" in nodes else _sources(list(nodes.values()))
    return [name for node in nodes for name in _sources(node)] if isinstance(nodes, (list, tuple)) else []


def _shape(layer):
    output = layer.output[0] if isinstance(layer.output, (list, tuple)) else layer.output
    return tuple(output.shape[1:])


def _words(layer):
    """The layer's class and the settings that a reader asks for."""
    if hasattr(layer, "layers"):
        return f"{layer.name}: {len(layer.layers)} layers"
    config = layer.get_config()
    said = [config[key] for key in ("filters", "units", "kernel_size", "pool_size", "rate") if key in config]
    said = [" x ".join(map(str, one)) if isinstance(one, (list, tuple)) else str(one) for one in said]
    if "filters" in config and set(config["strides"]) != {1}:
        said.append(f"stride {config['strides'][0]}")
    if isinstance(config.get("activation"), str) and config["activation"] != "linear":
        said.append(config["activation"])
    return " ".join([type(layer).__name__.replace("InputLayer", "Input"), ", ".join(said)]).strip()


def _far(boxes):
    """(from, to) of the connections that pass over a box."""
    return [(before, i) for i, box in enumerate(boxes) for before in box["before"] if before < i - 1]


def _height(box):
    sides = box["shape"][:2]
    return 0.15 * max(math.prod(size or 1 for size in sides), 1) ** (1 / 4)


def _size(boxes):
    """(inches below the middle of a row, inches above it)"""
    half = max(_height(box) for box in boxes) / 2
    arcs = max((_rise(before, i) for before, i in _far(boxes)), default=0)
    above = max(_top(boxes, i) for i in range(len(boxes)))
    return half + 0.2 + LETTER * max(len(box["words"]) for box in boxes), above + arcs


def _top(boxes, i):
    """Inches from the middle of a row to above a box and the shape that is written there."""
    return _height(boxes[i]) / 2 + (0.1 + LETTER * len(_shape_words(boxes, i)) if _shape_words(boxes, i) else 0)


def _shape_words(boxes, i):
    new = i == 0 or boxes[i]["shape"] != boxes[i - 1]["shape"]
    return " x ".join(str(size or "any") for size in boxes[i]["shape"]) if new else ""


def _rise(before, i):
    return 0.25 * (i - before) ** 0.6


def _draw(ax, boxes):
    half = max(_height(box) for box in boxes) / 2
    upright = {"rotation": 90, "ha": "center", "in_layout": False}
    for i, box in enumerate(boxes):
        x, height, width = i * STEP, _height(box), 0.24 if len(box["shape"]) > 1 else 0.14
        ax.add_patch(Rectangle((x - width / 2, -height / 2), width, height, facecolor=box["kind"], edgecolor="0.2"))
        ax.text(x, -half - 0.08, box["words"], va="top", fontsize=8, **upright)
        ax.text(x, height / 2 + 0.05, _shape_words(boxes, i), va="bottom", fontsize=8, **upright)
        if i - 1 in box["before"]:
            ax.annotate("", (x - 0.12, 0), (x - STEP + 0.12, 0), arrowprops={"arrowstyle": "->", "lw": 0.8})
    for before, i in _far(boxes):
        (x, y), (to_x, to_y) = ((number * STEP, _top(boxes, number)) for number in (before, i))
        highest = max(y, to_y) + _rise(before, i)
        curve = Path([(x, y), (x, highest), (to_x, highest), (to_x, to_y)], [Path.MOVETO] + 3 * [Path.CURVE4])
        ax.add_patch(FancyArrowPatch(path=curve, arrowstyle="->", mutation_scale=8, shrinkA=0, shrinkB=0, lw=0.8))
