"""The course's figures: what the data are, how a fit went, where a net errs, what a report said beside what came out.

Every function returns its Figure and shows nothing. A notebook displays the Figure that a cell ends with, once;
`figure.savefig("name.png")` writes it. No style is set: yours, if you set one, is used.
"""

from .architecture import architecture
from .data import class_distribution, images
from .fits import curve_panels, curves, reported_beside_reproduced
from .multilabel import label_combinations, label_confusion_matrices
from .nets import class_recall, confusion_matrices, confusion_matrix, feature_maps, misclassified
from .searches import hyperparameter_importance, optimization_history, parallel_coordinates
from .segmentation import segmentations

__all__ = [
    "architecture", "class_distribution", "class_recall", "confusion_matrices", "confusion_matrix", "curve_panels",
    "curves", "feature_maps", "hyperparameter_importance", "images", "label_combinations", "label_confusion_matrices",
    "misclassified", "optimization_history", "parallel_coordinates", "reported_beside_reproduced", "segmentations",
]  # fmt: skip
