"""Training: `fit`, an epoch as one compiled program; Dice, F1, a learning-rate schedule and augmentation beside it."""

from .augmentation import augmented
from .dice import dice, dice_loss
from .fit import fit
from .multilabel_f1 import MultiLabelF1, best_thresholds
from .objects import object_measures
from .programs import clear_programs
from .schedules import ExponentialFall

__all__ = [
    "ExponentialFall", "MultiLabelF1", "augmented", "best_thresholds", "clear_programs", "dice", "dice_loss", "fit",
    "object_measures",
]  # fmt: skip
