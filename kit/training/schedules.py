"""Learning-rate schedules that Keras lacks."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("kit")
class ExponentialFall(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate falling from `high` towards `low`: low + (high - low) * exp(-step / total).

    The MNIST and gland report prints the formula with exp(step / total), which would rise above `high`; its text says
    that the rate falls from 0.003 to 0.0001, and that is what this does. It starts at `high` and never quite reaches
    `low`: a share exp(-step / total) of the way is left, 37% after `total` steps, 5% after three times as many and
    0.7% after five times.

    Args:
        total: the printed formula's constant, in steps (batches), above 0. With the number of steps of the whole
            training the rate ends at low + 0.368 * (high - low), 0.00117 as printed; with a fifth of it, close to
            `low`.
        high: learning rate at step 0.
        low: learning rate that it falls towards, from 0 to `high`.

    Raises:
        ValueError: numbers out of range.
    """

    def __init__(self, *, total, high=0.003, low=0.0001):
        if not total > 0:
            raise ValueError(f"total={total!r}; it must be a number of steps above 0")
        if not 0 <= low <= high:
            raise ValueError(f"high={high!r}, low={low!r}; the rate must fall, and not below 0")
        self.total, self.high, self.low = total, high, low

    def __call__(self, step):
        return self.low + (self.high - self.low) * ops.exp(-ops.cast(step, "float32") / self.total)

    def get_config(self):
        return {"total": self.total, "high": self.high, "low": self.low}
