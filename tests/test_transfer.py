"""The transfer model: its head, what its backbone is fed, features computed once, fine-tuning, bad input.

Mostly on a backbone of two small stages in place of a net of `keras.applications`, which takes seconds to build.
"""

import importlib
import os
import urllib.error
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from kit import models, training

module = importlib.import_module("kit.models.transfer")  # `models.transfer` is its function
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 32, 32, 1), np.uint8)
LABELS = RNG.integers(0, 3, 40)


def small_net(include_top, weights, input_shape, pooling):
    """Two stages with batch normalization, each of which halves the picture."""
    assert not include_top and weights is None and pooling == "avg"
    x = pixels = keras.Input(input_shape)
    for stage in (1, 2):
        for block, strides in ((1, 2), (2, 1)):
            x = layers.ZeroPadding2D(1)(x)  # larger than the maps before it, but no halving
            x = layers.Conv2D(4, 3, strides, name=f"stage{stage}_block{block}_conv")(x)
            x = layers.BatchNormalization(momentum=0.5, name=f"stage{stage}_block{block}_bn")(x)
            x = layers.ReLU()(x)
    return keras.Model(pixels, layers.GlobalAveragePooling2D()(x), name="small")


@pytest.fixture
def small(monkeypatch):
    """Builds a transfer model on the small net, fed as the named net of `keras.applications` is."""

    def build(fed_like="resnet50", input_shape=(32, 32, 1), **options):
        _, prepare = module._find(fed_like)
        with monkeypatch.context() as patched:
            patched.setattr(module, "_find", lambda name: (small_net, prepare))
            return models.transfer(input_shape, 3, weights=None, **options)

    return build


def compiled(model, rate=0.01):
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def values(variables):
    return [np.array(variable) for variable in variables]


def features_folder():
    return Path(os.environ["KIT_CACHE"]) / "features"


@pytest.fixture(scope="module")
def resnet():
    return models.transfer((32, 32, 1), 11, weights=None)


def test_the_reports_head(resnet):
    assert sum(np.size(v) for v in resnet.trainable_variables) == 2048 * 224 + 224 + 224 * 11 + 11 == 461_451
    assert resnet.get_layer("head").count_params() == 461_451
    assert resnet.count_params() == 461_451 + 23_587_712  # ResNet50 without its top, as Keras documents it
    assert resnet.output_shape == (None, 11) and not resnet.compiled


@pytest.mark.parametrize("hidden, parameters", [((), 4 * 3 + 3), ((5, 6), 4 * 5 + 5 + 5 * 6 + 6 + 6 * 3 + 3)])
def test_the_width_of_the_head(small, hidden, parameters):
    assert small(hidden=hidden).get_layer("head").count_params() == parameters


@pytest.mark.parametrize("like", ["resnet50", "mobilenet", "densenet121", "efficientnetb0"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_back_bone_is_fed_as_it_was_trained(small, like, channels):
    """Against the four ways of the papers, written out: BGR less the means, to [-1, 1], standardized, left alone."""
    images = RNG.integers(0, 256, (5, 32, 32, channels), np.uint8)
    rgb = np.broadcast_to(images, (5, 32, 32, 3)).astype("float32")
    fed = {
        "resnet50": rgb[..., ::-1] - np.float32([103.939, 116.779, 123.68]),
        "mobilenet": rgb / 127.5 - 1,
        "densenet121": (rgb / 255 - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225]),
        "efficientnetb0": rgb,
    }[like]
    model = small(like, (32, 32, channels))
    net = model.get_layer("backbone").layers[-1]
    np.testing.assert_allclose(
        models.features(model, images), np.asarray(net(fed, training=False)), rtol=1e-4, atol=1e-4
    )


@pytest.fixture
def eagerly():
    """MobileNet takes longer to trace than to run a few times."""
    warnings.filterwarnings("ignore", "Even though the `tf.config", UserWarning)  # of tf.data
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.run_functions_eagerly(True)
        yield
        tf.config.run_functions_eagerly(False)
    else:
        yield


@pytest.mark.slow
def test_a_head_on_features_is_the_head_trained_through_the_frozen_net(eagerly):
    """MobileNet at 32x32, the smallest of the nets and pictures; 40 images, three epochs."""
    model = models.transfer((32, 32, 1), 3, backbone="MobileNet", hidden=(8,), weights=None)
    start, frozen = model.get_layer("head").get_weights(), model.get_layer("backbone").get_weights()
    x = models.features(model, IMAGES, batch_size=16)
    assert x.shape == (40, 1024) and x.dtype == np.float32
    head = compiled(model.get_layer("head"))
    short = training.fit(head, x, LABELS, batch_size=8, epochs=3, seed=0, verbose=0).history
    trained = head.get_weights()
    assert max(np.abs(a - b).max() for a, b in zip(trained, start)) > 0.01

    head.set_weights(start)
    through = training.fit(compiled(model), IMAGES, LABELS, batch_size=8, epochs=3, seed=0, verbose=0).history
    np.testing.assert_allclose(through["loss"], short["loss"], atol=1e-4)
    for ours, theirs in zip(trained, head.get_weights()):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    for before, after in zip(frozen, model.get_layer("backbone").get_weights()):
        assert np.array_equal(before, after)  # the moving means of batch normalization too
    np.testing.assert_allclose(model.predict(IMAGES, verbose=0), head.predict(x, verbose=0), atol=1e-5)


def test_a_saved_model_is_the_same(small, tmp_path):
    model = small()
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(IMAGES, verbose=0), model.predict(IMAGES, verbose=0), atol=1e-6)
    assert np.array_equal(models.features(again, IMAGES), models.features(model, IMAGES))
    assert len(list(features_folder().iterdir())) == 1


# The features, computed once


def test_features_are_computed_once(small, monkeypatch):
    model = small()
    first = models.features(model, IMAGES)
    (file,) = features_folder().iterdir()
    assert file.name.startswith("small-") and file.suffix == ".npy"
    never = monkeypatch.context()
    with never as patched:
        patched.setattr(keras.Model, "predict_on_batch", None)
        assert np.array_equal(models.features(model, IMAGES), first)
    models.features(model, IMAGES[:20])  # other images, other features
    changed = IMAGES.copy()
    changed[0, 0, 0] ^= 1
    assert not np.array_equal(models.features(model, changed)[0], first[0])
    assert len(list(features_folder().iterdir())) == 3
    net = model.get_layer("backbone").layers[-1]
    net.set_weights([weights * 1.1 for weights in net.get_weights()])
    assert not np.allclose(models.features(model, IMAGES), first)
    assert len(list(features_folder().iterdir())) == 4


def test_a_new_head_uses_the_same_features(small):
    first = small(hidden=(4,))
    second = small(hidden=(7, 5))
    second.get_layer("backbone").set_weights(first.get_layer("backbone").get_weights())
    models.features(first, IMAGES), models.features(second, IMAGES)
    assert len(list(features_folder().iterdir())) == 1


@pytest.mark.parametrize("damage", ["cut", "empty", "pickle", "other"])
def test_damaged_features_are_set_aside_and_made_anew(small, damage):
    model = small()
    first = models.features(model, IMAGES)
    (file,) = features_folder().iterdir()
    if damage == "cut":
        os.truncate(file, 200)
    elif damage == "empty":
        file.write_bytes(b"")
    else:
        np.save(file, np.full(3, None) if damage == "pickle" else first[1:])
    with pytest.warns(UserWarning, match=r"is damaged \(.+\); .* the features are made anew") as caught:
        assert np.array_equal(models.features(model, IMAGES), first)
    (said,) = (warning for warning in caught if warning.category is UserWarning)
    assert "\n" not in str(said.message) and said.filename == __file__
    assert np.array_equal(np.load(file), first) and file.with_name(f"{file.name}.damaged").exists()


def test_without_room_the_features_are_not_kept(small, tmp_path, monkeypatch):
    (tmp_path / "a file").write_text("in the way")
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "a file"))
    with pytest.warns(UserWarning, match="the features are not kept: cannot write .*; set KIT_CACHE") as caught:
        assert models.features(small(), IMAGES).shape == (40, 4)
    assert [warning.filename for warning in caught if warning.category is UserWarning] == [__file__]


# Fine-tuning


def trainable(model):
    net = model.get_layer("backbone").layers[-1]
    return {layer.name for layer in net.layers if layer.trainable and layer.weights}


def test_the_last_stage_is_unfrozen(resnet, small):
    assert not trainable(resnet)
    models.unfreeze(resnet)
    found = trainable(resnet)
    assert found == {f"conv5_block{block}_{i}_conv" for block in (1, 2, 3) for i in (1, 2, 3)} | {"conv5_block1_0_conv"}
    model = small()
    models.unfreeze(model)
    assert trainable(model) == {"stage2_block1_conv", "stage2_block2_conv"}


def test_fine_tuning_changes_the_last_stage_alone(small):
    model = small()
    net = model.get_layer("backbone").layers[-1]
    before = {layer.name: layer.get_weights() for layer in net.layers if layer.weights}
    models.unfreeze(model)
    history = training.fit(compiled(model, 0.01), IMAGES, LABELS, batch_size=8, epochs=3, seed=0, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    for layer in net.layers:
        if layer.weights:
            same = all(np.array_equal(old, new) for old, new in zip(before[layer.name], layer.get_weights()))
            assert same == (layer.name not in ("stage2_block1_conv", "stage2_block2_conv")), layer.name
    # in inference mode a picture's features do not depend on the pictures beside it
    one, many = (np.asarray(model(IMAGES[:n], training=True))[0] for n in (1, 40))
    np.testing.assert_allclose(one, many, atol=1e-5)


# Bad input


@pytest.mark.parametrize(
    "shape, options, message",
    [
        ((32, 32, 1), {"backbone": "resnet"}, "backbone='resnet'; it must be one of .*mobilenet, .*resnet50, .*vgg16"),
        ((32, 32, 1), {"backbone": None}, "backbone=None; it must be one of "),
        (
            (28, 28, 1),
            {"weights": None},
            r"backbone='resnet50' of images \(28, 28, 3\), weights=None: .*at least 32x32",
        ),
        ((32, 32, 2), {}, r"input_shape=\(32, 32, 2\); it must be \(height, width, channels\) with 1 or 3 channels"),
        ((32, 32), {}, r"input_shape=\(32, 32\)"),
        ((32, 32, 1), {"weights": "imagenets"}, "weights='imagenets': .*path to the weights file"),
    ],
)
def test_bad_models_are_one_line(shape, options, message):
    with pytest.raises(ValueError, match=message) as error:
        models.transfer(shape, 3, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "x, message",
    [
        (IMAGES / 255, r"x is float64 of \(40, 32, 32, 1\); it must be images as loaded, uint8 of \('n', 32, 32, 1\)"),
        (IMAGES[..., 0], r"x is uint8 of \(40, 32, 32\); it must be images as loaded"),
    ],
    ids=["scaled", "shape"],
)
def test_bad_images_are_one_line(small, x, message):
    with pytest.raises(ValueError, match=message):
        models.features(small(), x)


@pytest.mark.filterwarnings("ignore:`input_shape` is undefined")  # Keras, of MobileNet's weights
def test_no_network(monkeypatch, tmp_path):
    from keras.src.utils import file_utils

    def unreachable(*arguments):
        raise urllib.error.URLError(OSError(-3, "Temporary failure in name resolution"))

    monkeypatch.setattr(file_utils, "urlretrieve", unreachable)
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path / "keras"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    (tmp_path / "keras").mkdir()
    with pytest.raises(FileNotFoundError) as error:
        models.transfer((32, 32, 1), 3, backbone="MobileNet")
    message = str(error.value)
    assert "\n" not in message and "name resolution" in message and "weights=None" in message
    assert f"put it into {tmp_path / 'keras' / 'models'}" in message
    assert "fetch https://storage.googleapis.com/" in message and "mobilenet_1_0_224_tf_no_top.h5" in message
    assert error.value.__suppress_context__ and not list((tmp_path / "keras" / "models").iterdir())
