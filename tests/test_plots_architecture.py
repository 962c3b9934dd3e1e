"""The picture of a net: every layer with its settings, shape and parameters, and every way the data take."""

import keras
import pytest
from keras import layers
from matplotlib.patches import FancyArrowPatch, Rectangle

from kit import models, plots


def drawn(figure):
    """(texts, boxes, arcs) of each net in the figure."""
    for ax in figure.axes:
        texts = [text.get_text() for text in ax.texts if text.get_text()]
        boxes = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
        yield texts, boxes, [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]


def test_a_chain_has_a_box_a_layer_and_no_arc():
    net = keras.Sequential([
        keras.Input((8, 8, 1)),
        layers.Conv2D(4, 3, padding="same", use_bias=False),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dropout(0.0),
        layers.Dense(3, activation="softmax"),
    ])  # fmt: skip
    figure = plots.architecture(net, title="small net")
    [(texts, boxes, arcs)] = drawn(figure)
    assert len(boxes) == 5 and not arcs
    assert texts == [
        "Input", "8 x 8 x 1",
        "Conv2D 4, 3 x 3, BatchNormalization, ReLU (52)", "8 x 8 x 4",  # 36 of the kernel, 16 of the normalization
        "MaxPooling2D 2 x 2", "4 x 4 x 4",
        "Flatten, Dropout 0.0", "64",
        "Dense 3, softmax (195)", "3",
    ]  # fmt: skip
    assert figure.get_suptitle() == "small net" and figure.axes[0].get_title(loc="left") == "247 parameters"
    heights = [box.get_height() for box in boxes]
    assert heights[0] == heights[1] > heights[2] > heights[4]
    assert heights[3] == pytest.approx(heights[0])  # 64 numbers are a square of 8 x 8


def test_skips_are_arcs_from_where_they_leave_to_where_they_arrive():
    [(texts, boxes, arcs)] = drawn(plots.architecture(models.unet((16, 16, 2), 2, widths=(4, 8, 16))))
    assert len(arcs) == 2 and texts.count("Concatenate") == 2
    ends = sorted((arc.get_path().vertices[0][0], arc.get_path().vertices[-1][0]) for arc in arcs)
    centres = [box.get_x() + box.get_width() / 2 for box in boxes]
    words = [text for text in texts if " x " not in text or text.startswith(("Conv", "Max"))]
    joins = [centre for centre, word in zip(centres, words, strict=True) if word == "Concatenate"]
    # An arrow ends a little before what it points to.
    assert [end for _, end in sorted(ends, reverse=True)] == pytest.approx(joins, abs=0.05)
    [(_, _, within)] = drawn(plots.architecture(models.residual_net((16, 16, 2), 2, widths=(4, 8))))
    [(_, _, none)] = drawn(plots.architecture(models.residual_net((16, 16, 2), 2, widths=(4, 8), skips=False)))
    assert len(within) == 4 and not none  # a block a width but the lowest twice, and the skips across the net


def test_a_layer_that_is_a_net_is_one_box():
    inner = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(2, 3), layers.Flatten()], name="backbone")
    outer = keras.Sequential([keras.Input((8, 8, 1)), inner, layers.Dense(2)])
    [(texts, boxes, _)] = drawn(plots.architecture(outer))
    assert len(boxes) == 3 and "backbone: 2 layers (20)" in texts


def test_several_nets_stand_beside_each_other_and_long_ones_below_each_other():
    small = {f"small {units}": models.small_mlp((28, 28, 1), 10, units=units) for units in (64, 128)}
    first, second = plots.architecture(small).axes
    assert first.get_title(loc="left") == "small 64: 50,890 parameters"
    assert first.get_position().y0 == second.get_position().y0
    long = {name: models.unet((16, 16, 2), 2, widths=(4,) * 5) for name in "ab"}
    first, second = plots.architecture(long).axes
    assert first.get_position().x0 == pytest.approx(second.get_position().x0)


@pytest.mark.parametrize("thing", [None, 3, {}, {"a": None}, keras.Sequential([layers.Dense(2)]), layers.Dense(2)])
def test_what_is_no_built_net_is_refused_in_one_line(thing):
    with pytest.raises(ValueError, match="would be right") as caught:
        plots.architecture(thing)
    assert "\n" not in str(caught.value)
