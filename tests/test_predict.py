"""A net in a file with its classes' names, one's own photograph, and what `kit predict` says of it."""

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image, ImageDraw

from kit import datasets, models
from kit.__main__ import main


@pytest.fixture
def brightness(tmp_path):
    """A net that needs no training: the brighter a picture is on the right, the likelier "right"."""
    net = keras.Sequential([keras.Input((4, 4, 1)), layers.Rescaling(1 / 255), layers.Flatten()])
    net.add(layers.Dense(2, "softmax"))
    right = np.tile([-1, -1, 1, 1], 4)
    net.set_weights([np.stack([-right, right], axis=1), np.zeros(2)])
    models.save(tmp_path / "brightness.keras", net, ["left", "right"])
    return tmp_path / "brightness.keras", net


def test_the_net_comes_back_with_the_names_of_its_classes(brightness):
    path, net = brightness
    again, classes = models.load(path)
    assert classes == ["left", "right"]
    x = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 1), np.uint8)
    np.testing.assert_array_equal(again.predict(x, verbose=0), net.predict(x, verbose=0))
    np.testing.assert_array_equal(keras.models.load_model(path).predict(x, verbose=0), net.predict(x, verbose=0))


def test_a_file_of_keras_own_has_numbers_for_names(tmp_path, brightness):
    brightness[1].save(tmp_path / "plain.keras")
    assert models.load(tmp_path / "plain.keras")[1] == ["0", "1"]


def test_a_net_that_is_no_classifier_is_one_line(tmp_path, capsys):
    inputs = keras.Input((4, 4, 1))
    outputs = layers.Conv2D(2, 1)(inputs)
    keras.Model(inputs, outputs).save(tmp_path / "pixels.keras")
    keras.Model(inputs, [layers.Flatten()(outputs)] * 2).save(tmp_path / "two.keras")
    for name in ("pixels", "two"):
        assert main(["predict", str(tmp_path / f"{name}.keras"), "x.png"]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and "a classifier's (batch, classes) would be right" in said


def test_names_that_do_not_fit_are_refused_and_nothing_is_written(tmp_path, brightness):
    with pytest.raises(ValueError, match=r"3 names for a net of output \(None, 2\): \(None, 3\) would be right"):
        models.save(tmp_path / "three.keras", brightness[1], "abc")
    with pytest.raises(ValueError, match=r"ends in \.keras would be right"):
        models.save(tmp_path / "net.h5", brightness[1], "ab")
    assert [path.name for path in tmp_path.iterdir()] == ["brightness.keras"]


def test_a_garment_on_white_becomes_a_garment_on_black_that_fills_the_image(tmp_path):
    picture = Image.new("RGB", (300, 200), (250, 250, 245))
    ImageDraw.Draw(picture).rectangle((200, 40, 239, 119), fill=(30, 60, 90))  # 40 wide, 80 high, off the centre
    picture.save(tmp_path / "garment.png")
    x = datasets.photograph(tmp_path / "garment.png", (28, 28, 1), on_white=True)
    assert x.shape == (28, 28, 1) and x.dtype == np.uint8
    inside = x[:, :, 0] > 128
    assert inside[:, 8:20].all() and not inside[:, :6].any() and not inside[:, 22:].any()  # 14 of 28, in the middle
    plain = datasets.photograph(tmp_path / "garment.png", (28, 28, 3))
    assert plain.shape == (28, 28, 3) and plain[0, 0].tolist() == [250, 250, 245]


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 2), (None, 28, 1)])
def test_another_shape_is_refused(tmp_path, shape):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"\(height, width, 1\) or \(height, width, 3\) would be right"):
        datasets.photograph(tmp_path / "a.png", shape)


def test_the_command_names_the_likeliest_and_goes_on_past_what_it_cannot_read(tmp_path, brightness, capsys):
    dark_left = np.tile(np.array([0, 0, 255, 255], np.uint8), (4, 1))
    for name, pixels in (("right.png", dark_left), ("left.png", dark_left[:, ::-1])):
        Image.fromarray(pixels).save(tmp_path / name)
    (tmp_path / "text.png").write_text("no picture")
    Image.new("L", (8, 8), 255).save(tmp_path / "white.png")
    names = [str(tmp_path / name) for name in ("right.png", "text.png", "left.png")]
    assert main(["predict", str(brightness[0]), *names]) == 1
    said = capsys.readouterr()
    assert [line.partition(": ")[2].split()[0] for line in said.out.splitlines()] == ["right", "left"]
    assert said.err.count("\n") == 1 and "text.png cannot be read as an image" in said.err
    assert main(["predict", str(brightness[0]), str(tmp_path / "white.png"), "--on-white"]) == 1
    assert "nothing stands out from its ground" in capsys.readouterr().err
    assert main(["predict", str(brightness[0]), names[0]]) == 0


def test_no_file_and_no_model_are_one_line(tmp_path, capsys):
    (tmp_path / "bad.keras").write_text("no zip")
    assert main(["predict", str(tmp_path / "none.keras"), "x.png"]) == 1
    assert main(["predict", str(tmp_path / "bad.keras"), "x.png"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and "none.keras is not there" in said[0] and "bad.keras cannot be read" in said[1]
