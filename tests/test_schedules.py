"""The falling learning rate, against values worked out by hand."""

import keras
import numpy as np
import pytest

from kit.training import ExponentialFall, fit

# of 100 steps, from 0.003 to 0.0001: 0.0001 + 0.0029 * exp(-step / 100)
BY_HAND = {
    0: 0.003,  # exp(0) = 1
    50: 0.0001 + 0.0029 * 0.60653066,  # = 0.00185894
    100: 0.0001 + 0.0029 * 0.36787944,  # = 0.00116685
    500: 0.0001 + 0.0029 * 0.00673795,  # = 0.00011954
}


def values(schedule):
    return [float(schedule(step)) for step in BY_HAND]


def test_first_middle_and_last_step():
    assert values(ExponentialFall(total=100)) == pytest.approx(list(BY_HAND.values()), rel=1e-6)


def test_it_falls_and_stays_between_its_ends():
    rates = np.array([float(ExponentialFall(total=10, high=0.1, low=0.01)(step)) for step in range(200)])
    assert rates[0] == pytest.approx(0.1) and rates[-1] == pytest.approx(0.01)
    assert np.all(np.diff(rates[:100]) < 0) and rates.max() <= 0.1 + 1e-7 and rates.min() >= 0.01 - 1e-7


def test_serialized_it_is_the_same():
    schedule = ExponentialFall(total=100, high=0.02, low=0.001)
    again = ExponentialFall.from_config(schedule.get_config())
    through_keras = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))
    adam = keras.optimizers.Adam.from_config(keras.optimizers.Adam(schedule).get_config())
    assert type(adam._learning_rate) is type(through_keras) is ExponentialFall
    for other in (again, through_keras, adam._learning_rate):
        assert values(other) == values(schedule) and other.get_config() == schedule.get_config()


def test_the_optimizer_takes_these_steps():
    """A loss that is the weight itself has slope 1, so SGD subtracts the rates of steps 0 to 4 one after the other."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(ExponentialFall(total=2)), lambda y_true, y_pred: y_pred)
    # five images by two: three steps an epoch, the schedule goes on in the second
    fit(model, np.ones((5, 1)), np.zeros((5, 1)), batch_size=2, epochs=2, verbose=0)
    rates = 0.0001 + 0.0029 * np.exp(-np.arange(6) / 2)
    assert model.get_weights()[0].item() == pytest.approx(-rates.sum(), rel=1e-5)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"total": 0}, "total=0; it must be a number of steps above 0"),
        ({"total": 10, "low": 0.1}, "high=0.003, low=0.1; the rate must fall"),
        ({"total": 10, "low": -0.1}, "high=0.003, low=-0.1"),
    ],
    ids=str,
)
def test_bad_numbers_are_one_line(options, message):
    with pytest.raises(ValueError, match=message) as error:
        ExponentialFall(**options)
    assert "\n" not in str(error.value)
