"""The Dice coefficient and loss: masks worked out by hand, NumPy, and a net that learns by them, on each back end."""

import keras
import numpy as np
import pytest
from test_backends import needs_jax, on_jax

from kit import models
from kit.training import dice, dice_loss, fit


def mask(rows):
    return np.array([[[int(pixel == "#")] for pixel in row] for row in rows.split()], "uint8")


def certain(masks):
    """Probabilities (n, height, width, 2) of one who is sure of these masks."""
    return np.concatenate([1 - masks, masks], -1).astype("float32")


EMPTY, FULL = mask(".... ...."), mask("#### ####")
LEFT, RIGHT, TOP = mask("##.. ##.."), mask("..## ..##"), mask("#### ....")
DOT = mask("#... ....")


@pytest.mark.parametrize(
    "truth, prediction, expected",
    [
        (LEFT, LEFT, 1),
        (LEFT, RIGHT, 0),
        (LEFT, TOP, 0.5),  # 2 pixels in common, 4 and 4: 2*2/8
        (FULL, LEFT, 2 / 3),  # 4 in common, 8 and 4: 2*4/12
        (DOT, FULL, 2 / 9),  # 1 in common, 1 and 8: 2*1/9
        (EMPTY, EMPTY, 1),
        (EMPTY, DOT, 0),
        (DOT, EMPTY, 0),
    ],
)
def test_by_hand(truth, prediction, expected):
    values = np.asarray(dice(truth[None], certain(prediction[None])))
    assert values.shape == (1,) and values[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    "truth, probability, expected",
    [
        # on 8 pixels: 1 - (2 sum(m p) + 1) / (sum(m) + sum(p) + 1)
        (LEFT, LEFT, 0),
        (LEFT, RIGHT, 1 - 1 / 9),
        (LEFT, np.full((2, 4, 1), 0.5), 1 - 5 / 9),  # sum(m p) = 2, sum(m) = sum(p) = 4
        (LEFT, 0.25 * FULL, 1 - 3 / 7),  # sum(m p) = 1, sum(p) = 2
        (EMPTY, EMPTY, 0),
        (EMPTY, FULL, 1 - 1 / 9),
        (EMPTY, 0.5 * FULL, 1 - 1 / 5),
        (FULL, EMPTY, 1 - 1 / 9),
    ],
)
def test_the_loss_by_hand(truth, probability, expected):
    values = np.asarray(dice_loss(truth[None], certain(np.asarray(probability)[None])))
    assert values.shape == (1,) and values[0] == pytest.approx(expected, abs=1e-6)


@pytest.fixture
def drawn():
    """Eleven masks of very different sizes, two of them empty, and probabilities that are right more often than not."""
    rng = np.random.default_rng(0)
    share = np.array([0, 0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95, 1])
    masks = (rng.random((11, 12, 10, 1)) < share[:, None, None, None]).astype("uint8")
    foreground = np.clip(masks * 0.4 + rng.random(masks.shape) * 0.7, 0, 1)
    foreground[0] *= 0.4  # an empty mask with an empty prediction
    return masks, np.concatenate([1 - foreground, foreground], -1).astype("float32")


def in_numpy(masks, probabilities):
    scores = []
    for truth, guess in zip(masks[..., 0].astype(bool), probabilities.argmax(-1).astype(bool)):
        size = truth.sum() + guess.sum()
        scores.append(2 * (truth & guess).sum() / size if size else 1.0)
    return np.array(scores)


def test_against_numpy(drawn):
    expected = in_numpy(*drawn)
    assert expected[0] == 1 and expected[1] == 0 and len(np.unique(expected)) > 8  # the data tell errors apart
    np.testing.assert_allclose(np.asarray(dice(*drawn)), expected, rtol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 4, 32])
def test_the_batches_make_no_difference(drawn, batch_size):
    """A model that returns what it is given, so that Keras cuts the batches itself; 4 leaves a last partial one."""
    model = keras.Sequential([keras.Input((12, 10, 2)), keras.layers.Identity()])
    model.compile(loss=dice_loss, metrics=[dice])
    results = model.evaluate(drawn[1], drawn[0], batch_size=batch_size, return_dict=True, verbose=0)
    assert results["dice"] == pytest.approx(in_numpy(*drawn).mean(), rel=1e-5)
    assert results["loss"] == pytest.approx(np.asarray(dice_loss(*drawn)).mean(), rel=1e-5)


def squares(count, seed=0):
    """Noisy images of 8x8 with a bright rectangle each, the last two with none, and masks of the rectangles."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((count, 8, 8, 1), "uint8")
    for image in masks[:-2]:
        row, column = rng.integers(0, 4, 2)
        image[row : row + 4, column : column + rng.integers(3, 6)] = 1
    return (masks + rng.normal(0, 0.3, masks.shape)).astype("float32"), masks


def test_gradients_are_finite_for_empty_masks():
    """One step on nothing but empty masks moves every weight by a finite amount, and lowers the foreground."""
    x, masks = squares(6)
    keras.utils.set_random_seed(0)
    model = models.pool_upsample_net((8, 8, 1), 2, widths=(4,))
    model.compile(keras.optimizers.SGD(1.0), dice_loss)
    before, foreground = model.get_weights(), model.predict(x, verbose=0)[..., 1].sum()
    fit(model, x, np.zeros_like(masks), epochs=1, verbose=0)
    moves = [np.abs(new - old).max() for new, old in zip(model.get_weights(), before)]
    assert all(np.isfinite(move) and move > 0 for move in moves)
    assert model.predict(x, verbose=0)[..., 1].sum() < 0.99 * foreground


def test_a_net_learns_by_it(tmp_path):
    """Rectangles on 8x8 pixels and four filters, so that seconds are enough; then the net is saved and read back."""
    keras.utils.set_random_seed(0)
    model = models.pool_upsample_net((8, 8, 1), 2, widths=(4,))
    model.compile(keras.optimizers.Adam(0.03), dice_loss, metrics=[dice])
    unseen = squares(20, seed=1)
    history = fit(model, *squares(40), batch_size=10, epochs=12, validation_data=unseen, seed=0, verbose=0)
    assert history.engine.startswith("compiled")
    history = history.history
    assert history["loss"][-1] < history["loss"][0] / 2
    assert history["val_dice"][-1] > 0.85 > history["val_dice"][0] + 0.1
    assert history["val_dice"][-1] == pytest.approx(
        in_numpy(unseen[1], model.predict(unseen[0], verbose=0)).mean(), rel=1e-5
    )
    model.save(tmp_path / "net.keras")
    again = keras.saving.load_model(tmp_path / "net.keras")
    assert again.evaluate(*unseen, return_dict=True, verbose=0) == pytest.approx(
        model.evaluate(*unseen, return_dict=True, verbose=0)
    )


def test_keras_knows_both_by_name():
    for function in (dice, dice_loss):
        assert keras.saving.get_registered_name(function) == f"kit>{function.__name__}"
        config = keras.saving.serialize_keras_object(function)
        assert keras.saving.deserialize_keras_object(config) is function  # and not Keras' own dice


@pytest.mark.parametrize("function", [dice, dice_loss])
@pytest.mark.parametrize(
    "truth, prediction", [((2, 4, 4), (2, 4, 4, 2)), ((2, 4, 4, 1), (2, 4, 4, 1)), ((2, 4, 4, 2), (2, 4, 4, 2))]
)
def test_other_shapes_are_one_line(function, truth, prediction):
    with pytest.raises(ValueError, match=r"they must be \(n, height, width, 1\)") as error:
        function(np.zeros(truth), np.zeros(prediction))
    assert str(truth) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.weekly
@needs_jax
def test_on_jax_without_tensorflow():
    code = "import pytest; sys.exit(pytest.main(sys.argv[1:]))"
    wanted = "learns or gradients or numpy or steps"
    done = on_jax(code, "-q", "-p", "no:cacheprovider", "-k", wanted, "test_dice.py", "test_schedules.py")
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout and "skipped" not in done.stdout
