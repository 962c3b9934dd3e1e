"""Augmentation: where a pixel goes, worked out by hand, and that the mask always goes with its image."""

import numpy as np
import pytest

from kit.training import augmented


def one_pixel(row, column, height=4, width=4):
    image = np.zeros((1, height, width, 1), "float32")
    image[0, row, column] = 1
    return image


def place(image):
    return tuple(int(index) for index in np.argwhere(image[..., 0])[0])


@pytest.mark.parametrize(
    "move, expected",
    [
        # from the first row, second column of 4x4
        ({"rotations": (-90,)}, (1, 3)),  # clockwise: the first row becomes the last column
        ({"rotations": (90,)}, (2, 0)),  # counter-clockwise: the first row becomes the first column, read upwards
        ({"rotations": (180,)}, (3, 2)),
        ({"rotations": (), "flips": ("horizontal",)}, (0, 2)),
        ({"rotations": (), "flips": ("vertical",)}, (3, 1)),
    ],
    ids=str,
)
def test_a_pixel_and_its_mask_land_where_worked_out(move, expected):
    x, y = augmented(one_pixel(0, 1), one_pixel(0, 1).astype("uint8"), **move)
    assert len(x) == len(y) == 2
    assert place(x[0]) == place(y[0]) == (0, 1)
    assert place(x[1]) == place(y[1]) == expected


def test_the_report_has_three_times_the_images():
    """All images first, then all of them turned by -90 degrees, then all of them by 180."""
    x = np.concatenate([one_pixel(0, 1), one_pixel(2, 3)])
    turned, masks = augmented(x, x.astype("uint8"))
    assert [place(image) for image in turned] == [(0, 1), (2, 3), (1, 3), (3, 1), (3, 2), (1, 0)]
    assert turned.dtype == np.float32 and masks.dtype == np.uint8


def test_image_and_mask_always_agree():
    """The mask is what lies above the middle in the second of the three channels, before and after."""
    x = np.random.default_rng(0).random((5, 6, 6, 3), "float32")
    moved, masks = augmented(x, x[..., 1:2] > 0.5, rotations=(90, 180, -90), flips=("vertical", "horizontal"))
    assert moved.shape == (30, 6, 6, 3) and masks.shape == (30, 6, 6, 1)
    np.testing.assert_array_equal(masks, moved[..., 1:2] > 0.5)
    assert len({image.tobytes() for image in moved}) == 30  # no copy is another's


def test_oblong_images_can_be_turned_over_and_mirrored():
    x = one_pixel(0, 1, height=2, width=6)
    moved, _ = augmented(x, x, rotations=(180,), flips=("horizontal", "vertical"))
    assert [place(image) for image in moved] == [(0, 1), (1, 4), (0, 4), (1, 1)]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"x": np.zeros((2, 4, 6, 1)), "y": np.zeros((2, 4, 6, 1))}, r"rotations=\(-90, 180\); images of 4x6 pixels"),
        ({"y": np.zeros((2, 4, 5, 1))}, r"images \(2, 4, 4, 1\) and masks \(2, 4, 5, 1\)"),
        ({"y": np.zeros((3, 4, 4, 1))}, r"masks \(3, 4, 4, 1\)"),
        ({"y": np.zeros(2)}, r"masks \(2,\); both must be \(n, height, width, channels\)"),
        ({"rotations": (45,)}, r"rotations=\(45,\); it must be a tuple of -90, 90, 180"),
        ({"flips": ("sideways",)}, r"flips=\('sideways',\); it must be a tuple of 'horizontal', 'vertical'"),
        ({"flips": "horizontal"}, "flips='horizontal'; it must be a tuple"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_one_line(options, message):
    arguments = {"x": np.zeros((2, 4, 4, 1)), "y": np.zeros((2, 4, 4, 1))} | options
    with pytest.raises(ValueError, match=message) as error:
        augmented(**arguments)
    assert "\n" not in str(error.value)
