"""What the painters share: outlines filled, lines stroked, poses and finishes, many small images at a time.

A shape is an array of points (n, p, 2), one outline or line of p points (x, y) for each of n images, in pixels of a
28x28 canvas, x to the right and y down. Coverage is float32 (n, 28, 28), 0 outside and 1 inside.
"""

import numpy as np

SIZE = 28
_LINES = 2  # scan lines a row of pixels: smooths the edges that run nearly along the rows
_BLUR = 0.85  # pixels, standard deviation of a pen's dot
_SPREAD = np.sqrt(_BLUR**2 + 1 / 6)  # the same once a dot is shared out among four pixels, which spreads it too
_DISTANCE = np.abs(np.arange(SIZE)[:, None] - np.arange(SIZE))
_KERNEL = np.where(_DISTANCE < 4, np.exp(-0.5 * (_DISTANCE / _BLUR) ** 2), 0).astype(np.float32)


def points(n, *vertices):
    """Stack vertices into a shape (n, p, 2); a vertex is a pair of numbers or of arrays (n,)."""
    flat = [np.broadcast_to(value, n) for vertex in vertices for value in vertex]
    return np.stack(flat, axis=1).astype(np.float32).reshape(n, -1, 2)


def mirrored(n, *vertices):
    """The closed outline (n, 2p, 2) whose right half, top to bottom, is given around the axis x = 14."""
    right = points(n, *vertices)
    left = right[:, ::-1] * np.float32([-1, 1])
    return np.concatenate([right, left], axis=1) + np.float32([SIZE / 2, 0])


def arc(n, x, y, width, height, start, end, count=9):
    """Points (n, count, 2) on an ellipse about (x, y); angles in degrees, 0 to the right and 90 down."""
    angles = np.radians(np.linspace(start, end, count))
    return points(n, *((x + width * np.cos(a), y + height * np.sin(a)) for a in angles))


def smooth(line, count=6):
    """The curve (n, q, 2) that runs through the points of a line (n, p, 2), `count` short straight pieces between two.

    A Catmull-Rom spline: through each point in the direction from the one before it to the one after.
    """
    ends = np.concatenate([2 * line[:, :1] - line[:, 1:2], line, 2 * line[:, -1:] - line[:, -2:-1]], axis=1)
    t = (np.arange(count) / count).astype(np.float32)[:, None]
    before, here, there, after = (ends[:, i : ends.shape[1] - 3 + i, None] for i in range(4))
    curve = here + t / 2 * (
        there - before + t * (2 * before - 5 * here + 4 * there - after + t * (3 * (here - there) + after - before))
    )
    return np.concatenate([curve.reshape(len(line), -1, 2), line[:, -1:]], axis=1)


def poses(rng, n, *, rotation, shear, scale, shift):
    """Draw n affine maps (n, 2, 3): standard deviations in degrees, as a slope, relative, and in pixels."""
    angle = np.radians(rng.normal(0, rotation, n))
    slope = rng.normal(0, shear, n)
    width, height = np.exp(rng.normal(0, scale, (2, n)))
    cos, sin = np.cos(angle), np.sin(angle)
    linear = np.stack([cos * width, (cos * slope - sin) * height, sin * width, (sin * slope + cos) * height])
    linear = linear.T.reshape(n, 2, 2)
    centre = np.full(2, SIZE / 2)
    moved = centre - linear @ centre + rng.normal(0, shift, (n, 2))
    return np.concatenate([linear, moved[:, :, None]], axis=2).astype(np.float32)


def place(shape, pose):
    """Move each image's points by its pose."""
    return shape @ pose[:, :, :2].transpose(0, 2, 1) + pose[:, None, :, 2]


def each(values):
    """One number an image, (n,), made ready to multiply images (n, 28, 28)."""
    return np.asarray(values, np.float32)[:, None, None]


def fill(outline):
    """Coverage of the inside of closed outlines, either direction round.

    Every edge adds, on each scan line that it crosses, its direction to all pixels right of the crossing; a running
    sum along the line then counts how often the outline goes round a pixel.
    """
    n, lines, side = len(outline), SIZE * _LINES, SIZE + 2
    y = ((np.arange(lines) + 0.5) / _LINES).astype(np.float32)
    start, end = outline, np.roll(outline, -1, axis=1)
    image, edge, line = np.nonzero((start[:, :, 1, None] <= y) != (end[:, :, 1, None] <= y))
    (x0, y0), (x1, y1) = start[image, edge].T, end[image, edge].T
    x = np.clip(x0 + (y[line] - y0) / (y1 - y0) * (x1 - x0), 0, SIZE)
    column = x.astype(np.int64)
    direction = np.sign(y1 - y0)
    later = direction * (x - column)
    cell = (image * lines + line) * side + column
    steps = np.bincount(np.concatenate([cell, cell + 1]), np.concatenate([direction - later, later]), n * lines * side)
    rounds = np.cumsum(steps.astype(np.float32).reshape(n, SIZE, _LINES, side)[..., :SIZE], axis=3)
    inside = np.minimum(np.abs(rounds), 1)
    return sum(inside[:, :, i] for i in range(_LINES)) / _LINES


def stroke(line, width):
    """Coverage of open lines drawn with a round pen; `width` in pixels, a number or an array (n,)."""
    n, side = len(line), SIZE + 3
    start, step = line[:, :-1], np.diff(line, axis=1)
    length = np.linalg.norm(step, axis=2)
    count = 1 + int(length.max() / _BLUR)  # dots a segment, closer together than they are wide
    along = ((np.arange(count) + 0.5) / count).astype(np.float32)[:, None]
    dots = (start[:, :, None] + step[:, :, None] * along).reshape(n, -1, 2)
    ink = np.repeat(length / count, count, axis=1)
    dots = np.clip(dots + 0.5, 0, SIZE + 1)  # what falls off the canvas lands in a margin, cut away below
    corner = dots.astype(np.int64)
    right, down = np.moveaxis(dots - corner, 2, 0)
    cell = (np.arange(n)[:, None] * side + corner[:, :, 1]) * side + corner[:, :, 0]
    # Each dot is shared out among the four pixels about it.
    steps = np.bincount(
        np.concatenate([cell, cell + 1, cell + side, cell + side + 1], axis=None),
        np.concatenate(
            [ink * (1 - right) * (1 - down), ink * right * (1 - down), ink * (1 - right) * down, ink * right * down],
            axis=None,
        ),
        n * side * side,
    )
    inked = steps.reshape(n, side, side)[:, 1:-2, 1:-2].astype(np.float32)
    # Blurred, a line becomes a ridge, exp(-d^2 / 2 s^2) high at the distance d: its height tells the distance.
    ridge = _KERNEL @ inked @ _KERNEL * (_SPREAD / (np.sqrt(2 * np.pi) * _BLUR**2))
    distance = _SPREAD * np.sqrt(-2 * np.log(np.clip(ridge, 1e-9, 1)))
    return np.clip((each(np.broadcast_to(width, n)) + 1) / 2 - distance, 0, 1)
