"""The GlaS challenge's object measures, on masks whose figures can be worked out by hand."""

import numpy as np
import pytest

from kit.training import object_measures


def mask(*boxes):
    """A mask of 20x20 with rectangles (top, left, bottom, right)."""
    drawn = np.zeros((20, 20), "uint8")
    for top, left, bottom, right in boxes:
        drawn[top:bottom, left:right] = 1
    return drawn


ONE, OTHER = (2, 2, 6, 6), (10, 10, 14, 18)


@pytest.mark.parametrize(
    ("true", "predicted", "f1", "dice", "hausdorff"),
    [
        (mask(ONE, OTHER), mask(ONE, OTHER), 1, 1, 0),
        (mask(), mask(), 1, 1, 0),
        (mask(ONE), mask(), 0, 0, np.nan),
        (mask(), mask(ONE), 0, 0, np.nan),
        # Half of it: just enough to be found; Dice 2*8/(16+8), two columns of four beyond.
        (mask(ONE), mask((2, 2, 6, 4)), 1, 2 / 3, 2),
        # Less than half of it, so not found: Dice 2*4/(16+4), three columns beyond.
        (mask(ONE), mask((2, 2, 6, 3)), 0, 0.4, 3),
        # One of two is missing. True side: (16*1 + 32*0)/48, and the second's nearest is the first; predicted side: 1.
        (mask(ONE, OTHER), mask(ONE), 2 / 3, (1 / 3 + 1) / 2, (32 * np.hypot(8, 12) / 48 + 0) / 2),
        # Two objects grown into one of 48 + 64: it covers both, is matched to the larger alone.
        (mask((0, 0, 4, 4), (0, 8, 4, 18)), mask((0, 0, 4, 18)), 2 / 3, None, None),
    ],
)
def test_by_hand(true, predicted, f1, dice, hausdorff):
    found = object_measures(true, predicted)
    assert found["f1"] == pytest.approx(f1)
    if dice is not None:
        assert found["dice"] == pytest.approx(dice)
        assert found["hausdorff"] == pytest.approx(hausdorff, nan_ok=True)


def test_dice_over_pixels_does_not_see_that_objects_are_joined():
    true, joined = mask((0, 0, 4, 9), (0, 10, 4, 19)), mask((0, 0, 4, 19))
    pixels = 2 * (true & joined).sum() / (true.sum() + joined.sum())
    found = object_measures(true[..., None], joined[..., None])
    assert pixels > 0.95 and found["dice"] < 0.7 and found["f1"] == pytest.approx(2 / 3)
