"""What a Dataset's methods do, on arrays small enough to work out by hand."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from kit.datasets import Dataset, Split, registry


@pytest.fixture
def data():
    """100 training images, image i filled with i; 80 of class 0 and 20 of class 1. Test images of 255."""
    x = np.broadcast_to(np.arange(100, dtype=np.uint8)[:, None, None, None], (100, 2, 2, 1))
    y = (np.arange(100) >= 80).astype(np.int64)
    white = Split(np.full((10, 2, 2, 1), 255, np.uint8), np.zeros(10, int))
    return Dataset(
        train=Split(x, y),
        validation=None,
        test=white,
        classes=("a", "b"),
        task="multiclass",
        card=registry.MNIST,
        origin="synthetic",
    )


def test_hold_out_moves_a_stratified_part(data):
    held = data.hold_out(0.15, seed=0)
    assert np.bincount(held.train.y).tolist() == [68, 17] and np.bincount(held.validation.y).tolist() == [12, 3]
    both = np.concatenate([held.train.x, held.validation.x])[:, 0, 0, 0]
    assert sorted(both) == list(range(100))
    for x, y in (held.train, held.validation):
        assert np.array_equal(y, x[:, 0, 0, 0] >= 80)
    assert data.validation is None and len(data.train.x) == 100
    assert held.test is data.test and held.origin == "synthetic"


def test_hold_out_follows_its_seed(data):
    first, same, other = (data.hold_out(0.2, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first.validation.x, same.validation.x)
    assert not np.array_equal(first.validation.x, other.validation.x)


def test_hold_out_without_strata(data):
    counts = {tuple(np.bincount(data.hold_out(0.15, seed, stratify=False).validation.y)) for seed in range(5)}
    assert len(counts) > 1


def test_hold_out_of_60000_is_exact(data):
    zeros = np.zeros((60_000, 1, 1, 1), np.uint8)
    held = replace(data, train=Split(zeros, np.arange(60_000) % 10)).hold_out(0.15, seed=0)
    assert (len(held.train.x), len(held.validation.x)) == (51_000, 9_000)
    assert set(np.bincount(held.validation.y)) == {900}


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, 0.001, "0.15", None, float("nan")])
def test_hold_out_refuses_fractions(data, fraction):
    with pytest.raises(ValueError, match=r"fraction is .* between 0 and 1"):
        data.hold_out(fraction, seed=0)


@pytest.mark.parametrize("seed", [None, -1, 0.5, "0", True, 2**32])
def test_seeds_are_whole_numbers(data, seed):
    for call in (lambda: data.hold_out(0.5, seed), lambda: data.take(5, seed)):
        with pytest.raises(ValueError, match=r"seed=.*; it must be a whole number from 0 to 4294967295"):
            call()


def test_hold_out_refuses_what_it_cannot_do(data):
    with pytest.raises(ValueError, match=r"has a validation split of 50 images already"):
        data.hold_out(0.5, 0).hold_out(0.5, 0)
    with pytest.raises(ValueError, match=r"stratify=False"):
        replace(data, task="segmentation").hold_out(0.5, 0)
    with pytest.raises(ValueError, match=r"cannot hold out 0.01 of 100 images by class"):
        data.hold_out(0.01, seed=0)


def test_take_draws_without_replacement(data):
    taken = data.take(30, seed=0)
    drawn = taken.train.x[:, 0, 0, 0].tolist()
    assert len(set(drawn)) == 30 and taken.test is data.test
    assert np.array_equal(taken.train.y, np.array(drawn) >= 80)
    assert drawn == data.take(30, seed=0).train.x[:, 0, 0, 0].tolist()
    assert drawn != data.take(30, seed=1).train.x[:, 0, 0, 0].tolist()
    assert sorted(data.take(100, seed=0).train.x[:, 0, 0, 0]) == list(range(100))


@pytest.mark.parametrize("n", [0, -1, 101, 2.5, "3", True])
def test_take_refuses(data, n):
    with pytest.raises(ValueError, match=r"n=.*; it must be a whole number from 1 to 100"):
        data.take(n, seed=0)


def test_scaled(data):
    scaled = data.hold_out(0.2, 0).scaled()
    assert scaled.train.x.dtype == scaled.validation.x.dtype == scaled.test.x.dtype == np.float32
    assert np.all(scaled.test.x == 1)
    assert data.scaled().train.x[51, 0, 0, 0] == np.float32(0.2)
    assert data.train.x.dtype == np.uint8
    with pytest.raises(ValueError, match=r"float32; scaled.. takes them as loaded, uint8"):
        scaled.scaled()


def test_standardized_by_the_training_images(data):
    # Of 0 ... 99 the mean is 49.5 and the variance (100^2 - 1) / 12 = 833.25.
    for standardized in (data.standardized(), data.scaled().standardized()):
        assert standardized.train.x.dtype == standardized.test.x.dtype == np.float32
        assert standardized.train.x.mean() == pytest.approx(0, abs=1e-6)
        assert standardized.train.x.std() == pytest.approx(1, abs=1e-6)
        assert standardized.test.x[0, 0, 0, 0] == pytest.approx((255 - 49.5) / 833.25**0.5, rel=1e-5)


def test_standardized_by_channel(data):
    colours = np.zeros((4, 1, 1, 2), np.uint8)
    colours[:, 0, 0, 0], colours[:, 0, 0, 1] = [0, 2, 0, 2], [10, 30, 10, 30]
    split = Split(colours, np.zeros(4, int))
    standardized = replace(data, train=split, test=split).standardized()
    assert standardized.test.x[:, 0, 0, :].tolist() == [[-1, -1], [1, 1]] * 2


def test_standardized_refuses_one_brightness(data):
    with pytest.raises(ValueError, match=r"one brightness"):
        replace(data, train=data.test).standardized()


def test_a_dataset_is_frozen_and_says_what_it_is(data):
    with pytest.raises(FrozenInstanceError):
        data.origin = "real"
    assert repr(data.hold_out(0.15, 0)) == (
        "Dataset mnist (synthetic), multiclass, 2 classes: train (85, 2, 2, 1) uint8, validation (15, 2, 2, 1) uint8, "
        "test (10, 2, 2, 1) uint8"
    )
