"""The stand-ins: their form, their balance, and that there is something to learn in them, but not by one look."""

import numpy as np
import pytest

import kit.datasets
from kit.datasets.synthetic import canvas, generate
from kit.datasets.synthetic.digits import digits
from kit.datasets.synthetic.garments import garments


def test_a_filled_square_covers_its_area():
    square = canvas.points(2, (4.5, 6), (10.5, 6), (10.5, 9), (4.5, 9))
    coverage = canvas.fill(square)
    assert coverage.shape == (2, 28, 28)
    assert coverage[0].sum() == pytest.approx(6 * 3)
    assert coverage[0, 7, 3:12].tolist() == [0, 0.5, 1, 1, 1, 1, 1, 0.5, 0]
    assert np.array_equal(coverage, canvas.fill(square[:, ::-1]))  # either direction round


def test_an_outline_may_leave_the_canvas():
    assert canvas.fill(canvas.points(1, (-5, -5), (40, -5), (40, 40), (-5, 40))).min() == 1
    beyond = canvas.points(1, (40, -20), (60, 50))
    assert canvas.stroke(beyond, 2).max() == 0 and np.all(np.isfinite(canvas.stroke(beyond, 2)))


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_a_stroke_is_as_wide_as_asked(width):
    line = canvas.stroke(canvas.points(3, (14, 4), (14, 24)), np.full(3, width))
    assert line[:, 14].sum(axis=1) == pytest.approx(width, abs=0.2)
    assert line[:, :, :9].max() == 0 and line[:, :, 19:].max() == 0


def test_a_smooth_line_runs_through_its_points():
    points = canvas.points(1, (2, 3), (10, 20), (20, 4), (25, 25))
    curve = canvas.smooth(points, count=5)
    assert curve[0, ::5] == pytest.approx(points[0], abs=1e-4)
    straight = canvas.smooth(canvas.points(1, (0, 0), (3, 6), (6, 12), (9, 18)), count=3)
    assert straight[0, :, 0] == pytest.approx(np.arange(10), abs=1e-4)
    assert straight[0, :, 1] == pytest.approx(2 * np.arange(10), abs=1e-4)


@pytest.mark.parametrize("painter", [garments, digits])
def test_a_seed_decides_everything(painter):
    first, same, other = (generate(painter, seed=seed, train=100, test=50) for seed in (0, 0, 1))
    assert np.array_equal(first["train"].x, same["train"].x) and np.array_equal(first["test"].y, same["test"].y)
    assert not np.array_equal(first["train"].x, other["train"].x)
    assert len(first["train"].x) == 100 and np.bincount(first["test"].y).tolist() == [5] * 10


@pytest.mark.parametrize("painter", [garments, digits])
def test_one_image_of_each_can_be_drawn(painter):
    for seed in range(5):
        images, labels = painter(np.random.default_rng(seed), 1)
        assert images.shape == (10, 28, 28) and sorted(labels) == list(range(10))
        assert images.min() >= 0 and images.max() <= 1 and images.max(axis=(1, 2)).min() > 0.15


@pytest.fixture(scope="module", params=["fashion_mnist", "mnist"])
def synthetic(request):
    return kit.datasets.load(request.param, source="synthetic")


def test_form_and_balance(synthetic):
    assert synthetic.origin == "synthetic" and synthetic.validation is None
    for split, count in ((synthetic.train, 12_000), (synthetic.test, 2_000)):
        assert split.x.shape == (count, 28, 28, 1) and split.x.dtype == np.uint8 and split.y.dtype == np.int64
        assert np.bincount(split.y).tolist() == [count // 10] * 10
    assert len(np.unique(synthetic.train.y[:100])) == 10  # in random order
    images = np.concatenate([synthetic.train.x, synthetic.test.x]).reshape(14_000, -1)
    assert len({image.tobytes() for image in images}) == 14_000
    # Black ground, bright cloth or ink: the brightness of the real sets is 0.286 and 0.131 on average.
    low, high = {"fashion_mnist": (0.2, 0.32), "mnist": (0.1, 0.16)}[synthetic.card.name]
    assert low < images.mean() / 255 < high and images.max() > 250 and np.median(images) == 0


def test_there_is_something_to_learn_beyond_the_average_image(synthetic):
    """By the nearest average image of a class: far better than chance, far from done; the tops are the hardest."""
    means = np.stack([synthetic.train.x[synthetic.train.y == label].mean(axis=0).ravel() for label in range(10)])
    x = synthetic.test.x.reshape(2_000, -1).astype(float)
    guess = (x @ means.T - (means**2).sum(axis=1) / 2).argmax(axis=1)
    right = np.array([(guess == label)[synthetic.test.y == label].mean() for label in range(10)])
    assert 0.4 < right.mean() < 0.85
    assert right.min() > {"fashion_mnist": 0.15, "mnist": 0.35}[synthetic.card.name]
    if synthetic.card.name == "fashion_mnist":
        upper, others = right[[0, 2, 4, 6]], right[[1, 5, 7, 8, 9]]
        assert upper.mean() < others.mean() - 0.2


def test_one_top_in_thirty_is_mislabelled_and_nothing_else():
    _, labels = garments(np.random.default_rng(0), 100)
    wrong = (labels != np.repeat(np.arange(10), 100)).reshape(10, 100).sum(axis=1)
    assert wrong[[1, 5, 7, 8, 9]].sum() == 0 and 10 <= wrong.sum() <= 20  # of 500 tops
    assert np.bincount(labels).tolist() == [100] * 10
