"""The course's figures: what the data are, how a fit went, where a net errs, what a report said beside what came out.

Every function returns its Figure and shows nothing. A notebook displays the Figure that a cell ends with, once;
`figure.savefig("name.png")` writes it. No style is set: yours, if you set one, is used.
"""

from .data import class_distribution, images
from .fits import curves, reported_beside_reproduced
from .nets import confusion_matrices, confusion_matrix, feature_maps, misclassified
from .segmentation import segmentations

__all__ = [
    "class_distribution", "confusion_matrices", "confusion_matrix", "curves", "feature_maps", "images",
    "misclassified", "reported_beside_reproduced", "segmentations",
]  # fmt: skip
