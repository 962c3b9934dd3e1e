"""How well single objects are found: the three measures of the GlaS challenge.

Sirinukunwattana et al. (2017), Gland segmentation in colon histology images: the GlaS challenge contest. Medical Image
Analysis 35, section 4. doi:10.1016/j.media.2016.08.008
"""

import numpy as np
from scipy.ndimage import distance_transform_edt
from skimage.measure import label


def object_measures(true, predicted):
    """Detection F1, object Dice (both in [0, 1], 1 is best) and object Hausdorff distance (pixels, 0 is best).

    An object is a connected region, its eight neighbours included. Detection: a predicted object is right if it covers
    at least half of the true one that it overlaps most. Dice and Hausdorff: each object with the one of the other mask
    that it overlaps most, weighted by its area, from the true objects and from the predicted ones, and the mean of the
    two. One that overlaps none has Dice 0 and the distance to the nearest in Hausdorff's sense. Where both masks are
    empty all is best; where one is, F1 and Dice are 0 and the distance is NaN.

    Args: true, predicted: masks of 0 and 1, (height, width) or (height, width, 1).
    Returns: {"f1": float, "dice": float, "hausdorff": float}.
    """
    sides = [label(np.asarray(mask).reshape(np.shape(mask)[:2]) > 0.5) for mask in (true, predicted)]
    counts = [side.max() for side in sides]
    if not all(counts):
        same = not any(counts)
        return {"f1": float(same), "dice": float(same), "hausdorff": 0.0 if same else np.nan}
    overlap = np.zeros(np.add(counts, 1), int)
    np.add.at(overlap, tuple(sides), 1)
    overlap = overlap[1:, 1:]  # of true object i and predicted object j, in pixels
    areas = [np.bincount(side.ravel())[1:] for side in sides]
    best = overlap.argmax(axis=0)
    found = len({t for p, t in enumerate(best) if 2 * overlap[t, p] >= areas[0][t]})
    dices = 2 * overlap / np.add.outer(*areas)
    away = [np.stack([distance_transform_edt(side != i + 1) for i in range(n)]) for side, n in zip(sides, counts)]
    # The farthest pixel of i from j: (true, predicted), and (predicted, true).
    there = np.array([away[1][:, sides[0] == i + 1].max(axis=1) for i in range(counts[0])])
    back = np.array([away[0][:, sides[1] == j + 1].max(axis=1) for j in range(counts[1])])
    distances = np.maximum(there, back.T)
    dice, distance = [], []
    for overlaps, dice_of, distance_of, area in (
        (overlap, dices, distances, areas[0]),
        (overlap.T, dices.T, distances.T, areas[1]),
    ):
        chosen, rows = overlaps.argmax(axis=1), np.arange(len(area))
        nearest = np.where(overlaps.any(axis=1), distance_of[rows, chosen], distance_of.min(axis=1))
        dice.append(np.average(dice_of[rows, chosen], weights=area))
        distance.append(np.average(nearest, weights=area))
    return {
        "f1": float(2 * found / sum(counts)),
        "dice": float(np.mean(dice)),
        "hausdorff": float(np.mean(distance)),
    }
