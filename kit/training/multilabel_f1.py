"""F1 of several labels an image: a metric for training, and thresholds chosen on the validation split."""

import keras
import numpy as np
from keras import ops

AVERAGES = ("micro", "macro")


@keras.saving.register_keras_serializable("kit")
class MultiLabelF1(keras.metrics.F1Score):
    """F1 score over all examples of an epoch, as scikit-learn's `f1_score(..., zero_division=0)`.

    Keras' own, with what it lacks: a score at the threshold counts as predicted, a label may have a threshold of its
    own, and one label's F1 is a scalar.

    Counts are added up over the batches and the score is formed from them at the end, so it does not depend on how the
    batches are cut; the mean of the batches' own scores would. One number a metric, as the curves need it: ask for a
    label's F1 with a metric each, `metrics=[MultiLabelF1(), *(MultiLabelF1(label=i) for i in range(3))]`. To watch it
    in a callback: `monitor="val_micro_f1", mode="max"`.

    Args:
        average: "micro" (the counts of all labels together, so that frequent labels weigh more) or "macro" (the mean of
            the labels' scores, a score with neither true nor predicted labels being 0).
        label: number of one label, from 0, whose score to give; then nothing is averaged.
        threshold: a label is predicted where its score is at least this; one for all labels, or one each (as
            `best_thresholds` gives).
        name: what the history calls it; by default "micro_f1", "macro_f1" or, of label 0, "label_0_f1".

    Called with y_true (n, labels) of 0 and 1 and y_pred (n, labels) of scores. The result is a scalar.

    Raises:
        ValueError: another average, a label or a threshold out of place, or arrays that are not both (n, labels).
    """

    def __init__(self, *, average="micro", label=None, threshold=0.5, name=None, dtype=None):
        if average not in AVERAGES:
            raise ValueError(f"average={average!r}; it must be {' or '.join(AVERAGES)}, or give label= a number")
        if label is not None and (isinstance(label, bool) or not isinstance(label, int | np.integer) or label < 0):
            raise ValueError(f"label={label!r}; it must be the number of a label, from 0")
        thresholds = np.asarray(threshold)
        if thresholds.dtype.kind not in "iuf" or thresholds.ndim > 1 or not np.all(np.isfinite(thresholds)):
            raise ValueError(f"threshold={threshold!r}; it must be a number, or one for each label")
        name = name or (f"{average}_f1" if label is None else f"label_{label}_f1")
        super().__init__(average, threshold=0.5, name=name, dtype=dtype)  # the threshold of what is predicted, 0 or 1
        self.label = None if label is None else int(label)
        self.thresholds = thresholds.tolist()

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch; an example counts as `sample_weight` (n,) says, by default once."""
        y_true, y_pred = ops.convert_to_tensor(y_true, self.dtype), ops.convert_to_tensor(y_pred, self.dtype)
        true, scores = tuple(y_true.shape), tuple(y_pred.shape)
        fit = len(true) == len(scores) == 2 and true[1] == scores[1] > (self.label or 0)
        if not fit or np.size(self.thresholds) not in (1, scores[1]):
            raise ValueError(
                f"y_true is {true} and y_pred {scores}, label={self.label}, threshold={self.thresholds}; both must be "
                "(n, labels), the label below their number, and thresholds one for all or one for each"
            )
        predicted = ops.cast(y_pred >= ops.convert_to_tensor(self.thresholds, self.dtype), self.dtype)
        columns = slice(None) if self.label is None else slice(self.label, self.label + 1)
        weight = None if sample_weight is None else ops.reshape(sample_weight, (-1,))
        super().update_state(y_true[:, columns], predicted[:, columns], weight)

    def result(self):
        """The score, a scalar; 0 before the first batch."""
        return super().result() if self.variables else ops.zeros((), self.dtype)

    def get_config(self):
        """What makes the same metric again."""
        return super().get_config() | {"label": self.label, "threshold": self.thresholds}


def best_thresholds(y_true, y_score):
    """Of each label, the threshold with the best F1 on these examples: (labels,) float64, to be used as `score >= it`.

    Give the validation split: thresholds chosen on the test split would make the test's F1 too good, and on the
    training split they would follow what the net has memorized. Each is one of the label's scores; of several
    as good as each other the nearest to 0.5; 0.5 for a label that no example bears.

    Args:
        y_true: (n, labels) of 0 and 1.
        y_score: (n, labels), such as the probabilities that `model.predict` gives.

    Raises:
        ValueError: arrays of other shapes or none of 0 and 1, or scores that are not finite.
    """
    y_true, y_score = np.asarray(y_true), np.asarray(y_score)
    if y_true.ndim != 2 or y_true.shape != y_score.shape or not y_true.size:
        raise ValueError(f"y_true is {y_true.shape} and y_score {y_score.shape}; both must be (n, labels), n above 0")
    if not np.isin(y_true, (0, 1)).all() or not np.isfinite(y_score).all():
        raise ValueError("y_true must be all 0 and 1, and y_score finite numbers")
    return np.array([_best_threshold(true, score) for true, score in zip(y_true.T, y_score.T)])


def _best_threshold(true, score):
    if not true.any():
        return 0.5
    order = np.argsort(-score, kind="stable")
    score, hits = score[order].astype(float), np.cumsum(true[order], dtype=float)
    last = np.append(score[1:] != score[:-1], True)  # equal scores are predicted together
    f1 = (2 * hits / (np.arange(1, len(score) + 1) + hits[-1]))[last]
    best = score[last][f1 == f1.max()]
    return best[np.abs(best - 0.5).argmin()]
