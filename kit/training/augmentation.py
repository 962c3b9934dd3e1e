"""Augmentation: turned and mirrored copies of the training images, each with its mask."""

import numpy as np

QUARTER_TURNS = {-90: 3, 90: 1, 180: 2}
FLIPPED_AXES = {"horizontal": 2, "vertical": 1}


def augmented(x, y, *, rotations=(-90, 180), flips=()):
    """The images and masks, followed by a turned or mirrored copy of all of them for each rotation and flip.

    As it stands, model 1 of the gland report: three times the images. Hold out the validation images first: among
    the copies there would be some of the very images trained on.

    Args:
        x: images (n, height, width, channels).
        y: masks (n, height, width, channels), moved as their images are.
        rotations: degrees, counter-clockwise as one looks at the image: -90, 90, 180.
        flips: "horizontal" (left and right change places), "vertical" (top and bottom do).

    Returns:
        (x, y), each with n * (1 + number of rotations + number of flips) entries of the dtype given.

    Raises:
        ValueError: arrays that do not fit together, another rotation or flip, or a quarter turn of images that are
            not square.
    """
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim != 4 or y.ndim != 4 or x.shape[:3] != y.shape[:3]:
        raise ValueError(
            f"images {x.shape} and masks {y.shape}; both must be (n, height, width, channels), the first three the same"
        )
    for name, given, known in (("rotations", rotations, QUARTER_TURNS), ("flips", flips, FLIPPED_AXES)):
        if isinstance(given, str) or any(entry not in known for entry in given):
            raise ValueError(f"{name}={given!r}; it must be a tuple of {', '.join(map(repr, known))}")
    turns = [QUARTER_TURNS[degrees] for degrees in rotations]
    if x.shape[1] != x.shape[2] and any(turn != 2 for turn in turns):
        raise ValueError(
            f"rotations={rotations!r}; images of {x.shape[1]}x{x.shape[2]} pixels can be turned by 180 only"
        )

    def copies(images):
        turned = [np.rot90(images, turn, axes=(1, 2)) for turn in turns]
        mirrored = [np.flip(images, FLIPPED_AXES[direction]) for direction in flips]
        return np.concatenate([images, *turned, *mirrored])

    return copies(x), copies(y)
