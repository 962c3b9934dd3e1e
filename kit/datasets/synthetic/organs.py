"""Synthetic organs: a stand-in for OrganAMNIST, windows on slices of a body, each about one of its eleven organs.

A slice shows skin, fat, muscle, spine and ribs, loops of gut here and there, and the organ that it is named after. A
kidney, a lung or a femur is drawn alike on either side: only its place in the body says whether it is the left or the
right one, and since the window wanders, that is a place beside the spine, not a place in the picture. Liver and spleen
are of one grey, and a loop of gut may be as round as a bladder. So a convolution does better than a dense net.
Measured at 28 pixels, three seeds each: softmax regression 0.58, 784-256-256-11 0.80, a net of two convolutions of 32
filters with 200 dense units 0.85.

Everything is an ellipse, now and then bent or dented. Lengths are in half widths of the body, x to the viewer's right
(the patient's left, as radiologists look at it) and y down to the back. A slice is laid out first and painted then, so
that it is the same at each image size but for its grain.
"""

import numpy as np

from ..dataset import Split
from .canvas import each

# Images of each class in the official splits; the synthetic ones have a tenth.
_COUNTS = {
    "train": (1956, 1390, 1357, 1474, 3963, 3817, 6164, 3919, 3929, 3031, 3561),
    "validation": (321, 233, 225, 392, 568, 637, 1033, 1033, 1009, 529, 511),
    "test": (1036, 784, 793, 785, 2064, 1965, 3285, 1747, 1813, 1622, 1884),
}


def generate(*, seed, image_size):
    """Draw the set: {split: Split}, x uint8 (n, s, s, 1), y int64 (n,), in random order."""
    splits = {}
    for number, (split, counts) in enumerate(_COUNTS.items()):
        tenths = np.diff(np.rint(np.cumsum([0, *counts]) / 10).astype(int))
        x = [organs([seed, number, label], label, n, image_size) for label, n in enumerate(tenths)]
        order = np.random.default_rng([seed, number]).permutation(tenths.sum())
        splits[split] = Split(np.concatenate(x)[order, ..., None], np.repeat(np.arange(len(tenths)), tenths)[order])
    return splits


def organs(seed, label, n, size):
    """Draw n pictures of an organ, the class of that number: uint8 (n, size, size). `seed` is a list of numbers."""
    rng, grain = np.random.default_rng([*seed, 0]), np.random.default_rng([*seed, 1])
    (x, y), (width, height), angle, paint = _ORGANS[label]
    x, y = x + rng.normal(0, 0.06, n), y + rng.normal(0, 0.06, n)
    width, height = np.exp(rng.normal(0, 0.12, (2, n))) * [[width], [height]]
    half = np.maximum(np.maximum(width, height) * rng.uniform(1.1, 2, n), 0.4)
    # The window lies off the organ, by chance and towards the middle of the body, but never so far that it loses it.
    away = [rng.normal(0, 0.18, n) - place * rng.uniform(0, 0.5, n) for place in (x, y)]
    middle = [place + np.clip(move, -0.6 * half, 0.6 * half) for place, move in zip((x, y), away)]
    ellipses = [*_surroundings(rng, n), *paint(rng, n, x, y, width, height, rng.normal(angle, 15, n))]
    dents, blotches = (_hills(rng, n, knots, size) for knots in (8, 20))
    images = _painted(ellipses, n, size, middle, half, rng.normal(0, 6, n), dents, blotches)
    contrast, light, noise = map(each, (rng.normal(1, 0.08, n), rng.normal(0, 0.02, n), rng.uniform(0.01, 0.05, n)))
    images *= contrast
    images += light + noise * grain.standard_normal(images.shape, np.float32)
    return np.rint(255 * np.clip(images, 0, 1, out=images)).astype(np.uint8)


def _hills(rng, n, knots, size):
    """Smooth noise (n, size, size) of mean 0 and standard deviation 1, its hills a `knots`th of the picture apart."""
    line = (np.arange(size, dtype=np.float32) + 0.5) / size * knots
    near = np.exp(-((line[:, None] - np.arange(-1, knots + 2, dtype=np.float32)) ** 2))
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    return near @ rng.standard_normal((n, knots + 3, knots + 3), np.float32) @ near.T


def _ellipse(x, y, width, height, grey, *, angle=0, bend=0, dent=0.1, blotch=0, where=True):
    """An ellipse in each of n bodies, its measures numbers or arrays (n,), `width` and `height` half of the whole.

    angle: in degrees. bend, dent: of the outline, relative to its size. grey: from 0 to 1. blotch: the standard
    deviation of the grey. where: in which bodies.
    """
    return x, y, np.where(where, width, np.nan), height, np.radians(angle), bend, dent, grey, blotch


def _painted(ellipses, n, size, middle, half, tilt, dents, blotches):
    """Brightness (n, size, size) from 0: windows about `middle` that reach `half` far, tilted in degrees.

    Each of the ellipses hides what it covers of those listed earlier.
    """
    measures = [[np.broadcast_to(measure, n) for measure in ellipse] for ellipse in ellipses]
    x, y, width, height, angle, bend, dent, grey, blotch = np.array(measures).transpose(1, 2, 0)
    tilt = np.radians(tilt)[:, None]
    x, y = ((place - centre[:, None]) / half[:, None] for place, centre in zip((x, y), middle))
    x, y = x * np.cos(tilt) - y * np.sin(tilt), x * np.sin(tilt) + y * np.cos(tilt)
    width, height, angle = width / half[:, None], height / half[:, None], angle + tilt

    # With u^2 + v^2 = 1 on the outline, its distance in pixels is about (1 - u^2 - v^2) times this.
    sharp = np.minimum(width, height) * size / 4
    scale = np.sqrt(sharp)
    u_x, u_y = np.cos(angle) / width * scale, np.sin(angle) / width * scale
    v_x, v_y = -np.sin(angle) / height * scale, np.cos(angle) / height * scale
    u_0, v_0 = -x * u_x - y * u_y, -x * v_x - y * v_y - 0.4 * bend * scale
    reach = 1.4 * np.maximum(width, height) + 4 / size
    left, right, top, bottom = (
        np.nan_to_num(np.clip((edge + 1) / 2 * size, 0, size)).astype(int)
        for edge in (x - reach, x + reach, y - reach, y + reach)
    )
    seen = np.nonzero((left < right) & (top < bottom))  # those of an image after those of the one before
    planes, finish = (u_x, u_y, u_0, v_x, v_y, v_0), (bend / scale, 2 * dent * sharp, sharp + 0.5, grey, blotch)
    rows = zip(seen[0], *(column[seen].tolist() for column in (left, right, top, bottom, *planes, *finish)))
    line = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1

    images = np.zeros((n, size, size), np.float32)
    for i, left, right, top, bottom, u_x, u_y, u_0, v_x, v_y, v_0, bend, dent, edge, grey, blotch in rows:
        here = np.s_[i, top:bottom, left:right]
        x, y = line[left:right], line[top:bottom, None]
        u = (x * u_x + u_0 + y * u_y) ** 2
        v = (x * v_x + v_0 + y * v_y + bend * u) ** 2
        inside = np.minimum(np.maximum(edge - (u + v + dent * dents[here]), 0), 1)
        images[here] += (blotch * blotches[here] + grey - images[here]) * inside
    return images


def _surroundings(rng, n):
    """From skin to spine, and the gut. This and the organs' painters yield ellipses."""
    fat, muscle, bone = rng.normal(0.25, 0.03, n), rng.normal(0.5, 0.03, n), rng.normal(0.85, 0.06, n)
    thick = rng.uniform(0.04, 0.16, n)
    yield _ellipse(0, 0, 1, 0.72, fat, dent=0.03)
    yield _ellipse(0, 0, 1 - thick, 0.72 - thick, muscle, dent=0.03, blotch=0.03)
    yield _ellipse(0, -0.03, 0.92 - thick, 0.6 - thick, fat, dent=0.05, blotch=0.03)
    first = rng.uniform(0, 60, n)
    for step in range(0, 360, 45):
        cos, sin = np.cos(np.radians(first + step)), np.sin(np.radians(first + step))
        along = np.degrees(np.arctan2(0.66 * cos, -0.96 * sin))
        yield _ellipse(cos * (0.96 - thick), sin * (0.66 - thick), 0.08, 0.022, bone, angle=along, dent=0)
    for side in (-1, 1):
        yield _ellipse(side * 0.22, 0.47, 0.17, 0.12, muscle, blotch=0.03)
    spine = rng.normal(0.33, 0.03, n)
    yield _ellipse(0, spine, 0.16, 0.13, bone, blotch=0.05)
    yield _ellipse(0, spine + 0.15, 0.06, 0.05, muscle, dent=0)
    yield _ellipse(rng.normal(0.04, 0.02, n), spine - 0.19, 0.055, 0.055, rng.uniform(0.5, 0.85, n), dent=0)
    loops = rng.integers(2, 8, n)
    for loop in range(7):
        x, y, size = rng.uniform(-0.6, 0.6, n), rng.uniform(-0.4, 0.25, n), rng.uniform(0.07, 0.17, n)
        width, height = size * rng.uniform(0.7, 1.4, (2, n))
        grey, angle, filled = rng.uniform(0.4, 0.65, n), rng.uniform(0, 180, n), rng.random(n) < 0.35
        yield _ellipse(x, y, width, height, grey, angle=angle, blotch=0.05, where=loop < loops)
        yield _ellipse(x, y - 0.3 * size, 0.6 * width, 0.6 * height, 0.04, where=(loop < loops) & filled)  # air


def _bladder(rng, n, x, y, width, height, angle):
    yield _ellipse(x, y, 1.12 * width, 1.12 * height, rng.normal(0.52, 0.03, n), angle=angle, dent=0.05)
    yield _ellipse(x, y, width, height, rng.normal(0.42, 0.04, n), angle=angle, dent=0.05)


def _femur(rng, n, x, y, width, height, angle):
    """A shell of hard bone about a softer head, in muscle."""
    yield _ellipse(x, y, 1.8 * width, 1.8 * height, rng.normal(0.5, 0.03, n), angle=angle, blotch=0.04)
    yield _ellipse(x, y, width, height, rng.uniform(0.85, 1, n), angle=angle, dent=0.05)
    inner, grey = rng.uniform(0.6, 0.8, n), rng.uniform(0.6, 0.8, n)
    yield _ellipse(x, y, inner * width, inner * height, grey, angle=angle, dent=0.05, blotch=0.06)


def _heart(rng, n, x, y, width, height, angle):
    """Two chambers, bright with contrast medium."""
    yield _ellipse(x, y, width, height, rng.normal(0.5, 0.04, n), angle=angle, blotch=0.03)
    bright, cos, sin = rng.uniform(0.5, 0.8, n), np.cos(np.radians(angle)), np.sin(np.radians(angle))
    for side in (-0.45, 0.4):
        across, along = rng.uniform(0.35, 0.5, (2, n))
        yield _ellipse(
            x + side * width * cos, y + side * width * sin, across * width, along * height, bright, angle=angle + 90
        )


def _kidney(rng, n, x, y, width, height, angle):
    """A bean, its hollow to one side or the other."""
    bend, bright = rng.choice([-1, 1], n) * rng.uniform(0.3, 0.6, n), rng.uniform(0.55, 0.95, n)
    yield _ellipse(x, y, width, height, bright, angle=angle, bend=bend, dent=0.06, blotch=0.03)
    yield _ellipse(x, y, 0.35 * width, 0.35 * height, bright - rng.uniform(0.1, 0.35, n), angle=angle, bend=bend)


def _liver(rng, n, x, y, width, height, angle):
    grey = rng.uniform(0.5, 0.75, n)
    yield _ellipse(x, y, width, height, grey, angle=angle, bend=rng.uniform(0.1, 0.5, n), dent=0.12, blotch=0.03)
    yield from _vessels(rng, n, x, y, 0.3 * width, 0.3 * height, grey + rng.normal(0, 0.12, n), most=4)


def _lung(rng, n, x, y, width, height, angle):
    yield _ellipse(x, y, width, height, rng.uniform(0, 0.06, n), angle=angle, dent=0.06)
    yield from _vessels(rng, n, x, y, 0.35 * width, 0.35 * height, rng.uniform(0.3, 0.6, n), most=8)


def _pancreas(rng, n, x, y, width, height, angle):
    bend, grey = rng.uniform(-0.5, 1.8, n), rng.uniform(0.45, 0.65, n)
    yield _ellipse(x, y, width, height, grey, angle=angle, bend=bend, dent=0.35, blotch=0.05)


def _spleen(rng, n, x, y, width, height, angle):
    bend, grey = rng.uniform(0.2, 0.8, n), rng.uniform(0.5, 0.75, n)
    yield _ellipse(x, y, width, height, grey, angle=angle, bend=bend, blotch=0.03)


def _vessels(rng, n, x, y, width, height, grey, *, most):
    """Up to so many, cut across, about a point."""
    count = rng.integers(most // 2, most + 1, n)
    for i in range(most):
        (right, down), radii = rng.normal(0, 1, (2, n)), rng.uniform(0.02, 0.055, (2, n))
        angle = rng.uniform(0, 180, n)
        yield _ellipse(x + right * width, y + down * height, *radii, grey, angle=angle, dent=0, where=i < count)


# Of each class, in their order: the middle, half the width and the height, the angle in degrees, the painter.
_ORGANS = (
    ((0, -0.1), (0.3, 0.22), 0, _bladder),
    ((0.55, 0.1), (0.17, 0.16), 0, _femur),
    ((-0.55, 0.1), (0.17, 0.16), 0, _femur),
    ((0.1, -0.18), (0.36, 0.27), 30, _heart),
    ((0.42, 0.2), (0.22, 0.14), 90, _kidney),
    ((-0.42, 0.2), (0.22, 0.14), 90, _kidney),
    ((-0.4, -0.08), (0.46, 0.4), 60, _liver),
    ((0.46, -0.03), (0.4, 0.34), 90, _lung),
    ((-0.46, -0.03), (0.4, 0.34), 90, _lung),
    ((0.08, -0.02), (0.34, 0.1), -15, _pancreas),
    ((0.58, 0.08), (0.3, 0.16), 70, _spleen),
)
