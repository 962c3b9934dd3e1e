"""What makes shapes look like cloth before a camera: weaves, marks and seams, light, grain and damage."""

import numpy as np

from .canvas import SIZE, each, stroke

COLUMNS = np.arange(SIZE) - (SIZE - 1) / 2  # pixels from the axis


def photograph(rng, cloth):
    """Light and damage: a brightness a garment, shading from side to side, grain, now and then a part missing."""
    n = len(cloth)
    light = np.clip(rng.normal(0.75, 0.16, (n, 1)), 0.25, 1) * (1 + rng.normal(0, 0.012, (n, 1)) * COLUMNS)
    grain = rng.standard_normal(cloth.shape, np.float32)
    grain *= each(rng.uniform(0.02, 0.13, n))
    cloth *= grain + 1
    cloth *= light.astype(np.float32)[:, None, :]
    for image in np.flatnonzero(rng.random(n) < 0.04):
        x, y = rng.integers(0, SIZE - 7, 2)
        cloth[image, y : y + 7, x : x + 7] = 0
    return np.clip(cloth, 0, 1, out=cloth)


def weave(rng, cloth, plain, along, across, both, strength=0.5):
    """Give the cloth waves along x, across it, or both ways, or leave it plain; with these four probabilities."""
    kind = rng.choice(4, len(cloth), p=(plain, along, across, both))
    woven = np.flatnonzero(kind)
    waves = []
    for direction in (1, 2):
        pace, phase = rng.uniform(0.7, 2.2, (len(woven), 1)), rng.uniform(0, 2 * np.pi, (len(woven), 1))
        waves.append(np.where(kind[woven, None] & direction, np.sin(pace * COLUMNS + phase), 1).astype(np.float32))
    depth = each(rng.uniform(0.1, strength, len(woven)))
    cloth[woven] *= 1 - depth / 2 + (depth / 2 * waves[0][:, None, :]) * waves[1][:, :, None]


def mark(rng, image, line, width, share, low, high):
    """Darken a line on that share of the images by a factor drawn between low and high; below 0, lighten."""
    chosen = np.flatnonzero(rng.random(len(image)) < share)
    if len(chosen):
        width = np.broadcast_to(width, len(image))[chosen]
        image[chosen] *= 1 - each(rng.uniform(low, high, len(width))) * stroke(line[chosen], width)
    return image


def strap(rng, image, line, bright, width):
    """Lay a band of that brightness along a line, over the cloth and beyond it."""
    return np.maximum(image, each(bright) * stroke(line, width))
