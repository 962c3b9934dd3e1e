"""Synthetic glands: a stand-in for GlaS, sections of the colon stained with haematoxylin and eosin.

A gland is a ring of epithelial cells, dark nuclei along its rim, about a pale lumen; between the glands lies pink
stroma. As in the real set colour alone tells little: the stroma has the same nuclei, now few, now crowded; the glass
beside the tissue, its cracks and its loose parts are as pale as a lumen; the strength of the stains varies from image
to image. Benign glands are regular and in an image of one size. Malignant ones are irregular, crowded and of all sizes,
with nuclei in many layers, a ragged lumen or none. Many touch.

Measured at 128x128 on test A (Dice, mean of the images): everything called gland 0.68, the best guess from a pixel's
colour 0.72, from its colour and that of its surroundings 0.77; the real set gives 0.64, 0.64, 0.68. A small U-Net at
64x64, 32 epochs: 0.84.

Lengths are in micrometres. An image has its own stream of random numbers, which lays out its scene before any pixel is
painted: the same scene at each image size.
"""

from functools import partial

import numpy as np

from ..dataset import Split

_FIELD = np.array([324, 480])  # height and width of what an image shows: 522x775 official pixels, made a square
_GRADED = {"train": (37, 48), "test": (33, 27), "test_b": (4, 16)}  # benign and malignant, as in the official set
# Optical density (natural logarithm) of red, green and blue for one unit of haematoxylin and of eosin: near those of
# Ruifrok and Johnston (2001), the eosin as warm as in the official images.
_STAINS = np.array([[0.65, 0.75, 0.30], [0.10, 0.92, 0.34]], np.float32)


def generate(*, seed, image_size):
    """Draw the set: {split: Split}, x uint8 (n, s, s, 3), y uint8 (n, s, s, 1), 1 in the glands and 0 elsewhere."""
    splits = {}
    for number, (split, words) in enumerate(grades().items()):
        pairs = (
            _section(np.random.default_rng([seed, number, i]), word == "malignant", image_size)
            for i, word in enumerate(words)
        )
        splits[split] = Split(*map(np.stack, zip(*pairs)))
    return splits


def grades():
    """The grades of the synthetic images: {split: array of words (n,)}, as many of each as in the official set."""
    mixed = {split: np.arange(sum(of) + 1) * of[1] // sum(of) for split, of in _GRADED.items()}
    return {split: np.where(np.diff(count) == 1, "malignant", "benign") for split, count in mixed.items()}


def _section(rng, malignant, size):
    """An image (size, size, 3) and its mask (size, size, 1)."""
    pixel = _FIELD / size
    y, x = ((np.arange(size, dtype=np.float32) + 0.5) * np.float32(length) for length in pixel)
    field = partial(_field, rng, y, x)

    def past(distance):
        """0 short of a border, 1 past it, in between within the pixel that it runs through."""
        return np.clip(distance / pixel.mean() + 0.5, 0, 1)

    def spots(scale, least, most):
        """The places, 1 there and 0 elsewhere, where smooth noise is above a bound drawn between two."""
        return past(15 * (field(scale) - rng.uniform(least, most)))

    outside = _outside_the_tissue(rng, y, x, field)
    depth, thick = _lay_glands(rng, malignant, y, x, field, outside)
    gland = past(depth)
    stroma = 1 - gland
    lumen = past(depth - thick - (7 if malignant else 3) * field(20))
    debris = spots(15, 0.5, 2.5) if malignant else 0
    cracks, cleft = spots(30, 1.6, 3), past(depth + 5) * spots(60, 0, 2)  # glands often come off their surroundings
    empty = np.maximum(stroma * np.maximum.reduce([past(outside), cracks, cleft]), lumen * (1 - debris))

    cells = gland * (1 - lumen)
    rim = gland * (1 - past(depth - rng.uniform(7, 10)))
    muscle = stroma * spots(120, 0.7, 2.5)
    within = np.maximum(0.95 * rim, cells * (rng.uniform(0.75, 0.95) if malignant else rng.uniform(0.03, 0.15)))
    crowd = np.clip(rng.uniform(0.1, 0.5) + 0.3 * field(50), 0.05, 0.95) * (1 - 0.7 * muscle) * past(-depth - 7)
    nuclei = _dots(rng, pixel, 5.5, 1.8, np.where(depth > 0, within, crowd) * (1 - empty))
    goblets = np.maximum(cells - rim, 0) * (rng.uniform(0, 0.3) if malignant else rng.uniform(0.3, 1))
    pale = _dots(rng, pixel, 12, 3.5, goblets + 0.8 * stroma * spots(40, 0.5, 2.5))

    angle = rng.uniform(0, np.pi)
    fibres = np.sin((y[:, None] * np.cos(angle) + x * np.sin(angle)) / 2.5 + 3 * field(40)) * field(25)
    haematoxylin = (
        rng.uniform(0.15, 0.4) * stroma + rng.uniform(0.15, 0.4) * cells + 0.2 * rim + rng.uniform(0.6, 1.1) * nuclei
    )
    eosin = (rng.uniform(0.35, 0.65) + 0.06 * fibres + 0.4 * muscle) * stroma + rng.uniform(0.35, 0.65) * gland
    eosin += 0.1 * field(12)
    tissue = (1 - 0.95 * empty) * (1 - 0.8 * np.clip(pale, 0, 1)) * np.exp(0.15 * field(6))
    amounts = np.stack([rng.uniform(0.7, 1.3) * haematoxylin * tissue, rng.uniform(0.6, 1.4) * eosin * tissue], axis=-1)
    stains = _STAINS * np.exp(rng.normal(0, 0.08, _STAINS.shape))
    amounts = np.maximum(amounts, 0) * (1 + 0.1 * rng.standard_normal(amounts.shape, np.float32))
    image = 250 * np.exp(-amounts.astype(np.float32) @ stains.astype(np.float32))
    return np.rint(np.clip(image, 0, 255)).astype(np.uint8), (depth > 0)[..., None].astype(np.uint8)


def _field(rng, y, x, scale):
    """Smooth noise (len(y), len(x)) of mean 0 and standard deviation 1, its hills about `scale` across."""
    weights = []
    for line, length in zip((y, x), _FIELD):
        knots = np.arange(-2 * scale, length + 2 * scale, scale, np.float32)
        near = np.exp(-(((line[:, None] - knots) / scale) ** 2))
        weights.append(near / np.linalg.norm(near, axis=1, keepdims=True))
    rows, columns = weights
    return rows @ rng.standard_normal((rows.shape[1], columns.shape[1]), np.float32) @ columns.T


def _outside_the_tissue(rng, y, x, field):
    """How far (size, size) a pixel lies outside the tissue, below 0 inside; three images in four are all tissue."""
    angle = rng.uniform(0, 2 * np.pi)
    inside = rng.uniform(0, 130) if rng.random() < 0.25 else 1e3  # from the middle to the edge
    middle_y, middle_x = _FIELD / 2
    return (y[:, None] - middle_y) * np.sin(angle) + (x - middle_x) * np.cos(angle) - inside + 12 * field(50)


def _lay_glands(rng, malignant, y, x, field, outside):
    """How deep (size, size) in a gland a pixel lies, below 0 outside; and how thick the wall of the nearest one is.

    Glands are ellipses, all stretched in one direction, on a loose lattice of triangles that lacks some; then the whole
    plane is bent. Where two overlap, they meet halfway.
    """
    pitch = rng.uniform(90, 170) if malignant else rng.uniform(75, 140)
    stretch = np.sqrt(rng.uniform(1, 3.5 if malignant else 2)) ** np.array([1, -1])
    angle = rng.uniform(0, np.pi)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    reach = np.arange(-12, 13)
    lattice = np.stack(np.meshgrid(reach * np.sqrt(0.75), reach.astype(float), indexing="ij"), axis=-1)
    lattice[1::2, :, 1] += 0.5
    lattice = lattice.reshape(-1, 2)
    count = len(lattice)
    lattice += rng.normal(0, 0.2 if malignant else 0.08, lattice.shape)
    centres = lattice * pitch * stretch @ turn + _FIELD / 2
    sizes = np.exp(rng.normal(0, 0.25 if malignant else 0.08, count)) * rng.uniform(0.38, 0.53 if malignant else 0.47)
    radii = sizes[:, None] * pitch * stretch * np.exp(rng.normal(0, 0.08, (count, 2)))
    solid = rng.random(count) < (0.3 if malignant else 0.1)
    thick = np.where(solid, np.inf, rng.uniform(0.5, 0.95, count) * radii.min(axis=1))
    kept = np.all((centres > -radii.max()) & (centres < _FIELD + radii.max()), axis=1)
    kept &= rng.random(count) < rng.uniform(0.6, 1)
    row, column = np.clip(centres / _FIELD * len(y), 0, len(y) - 1).astype(int).T
    kept &= outside[row, column] < -0.7 * radii.min(axis=1)  # the tissue's edge cuts no gland
    centres, radii, thick = centres[kept], radii[kept], thick[kept]

    bends = [(45, rng.uniform(8, 16)), (14, 3)] if malignant else [(45, rng.uniform(2, 6))]
    there = [line + sum(height * field(scale) for scale, height in bends) for line in (y[:, None], x)]
    away = [line - middle[:, None, None] for line, middle in zip(there, centres.T.astype(np.float32))]
    slopes = (turn[:, :, None] / radii.T[:, None]).astype(np.float32)[..., None, None]
    ratios = sum((down * away[0] + right * away[1]) ** 2 for down, right in slopes)
    nearest = ratios.argmin(axis=0)
    ratio = np.sqrt(np.take_along_axis(ratios, nearest[None], axis=0)[0])  # 0 in the middle of a gland, 1 at its rim
    slope = np.hypot(*np.gradient(ratio, y, x))
    return (1 - ratio) / np.maximum(slope, 1 / 150), thick[nearest]


def _dots(rng, pixel, spacing, width, chance):
    """Round dots, about 1 high, `width` their standard deviation; each there by its place's chance (size, size)."""
    from scipy import ndimage

    places = np.stack(np.mgrid[0 : _FIELD[0] : spacing, 0 : _FIELD[1] : spacing], axis=-1).reshape(-1, 2)
    places = (places + rng.uniform(0, spacing, places.shape)) / pixel
    strength, luck = rng.uniform(0.7, 1.2, len(places)), rng.random(len(places))
    within = np.all(places < len(chance), axis=1)
    row, column = places[within].astype(int).T
    strength = np.where(luck[within] < chance[row, column], strength[within], 0)
    dots = np.bincount(row * len(chance) + column, strength, chance.size).reshape(chance.shape).astype(np.float32)
    return ndimage.gaussian_filter(dots * (2 * np.pi * width**2 / pixel.prod()), width / pixel)
