"""Multi-layer perceptrons: the Fashion-MNIST reports' nets of one, two and three hidden layers."""

import keras
from keras import layers


def mlp(
    input_shape,
    classes,
    *,
    hidden=(128,),
    activation="relu",
    initializer="glorot_uniform",
    dropout=0.0,
    l1=0.0,
    l2=0.0,
):
    """Flatten, the hidden layers, softmax: (batch, *input_shape) -> (batch, classes) probabilities.

    A net 784-128-128-10 has 784*128 + 128 + 128*128 + 128 + 128*10 + 10 = 118,282 parameters.

    Args:
        input_shape: of one image, (height, width, channels), or of one row of features, (features,).
        classes: number of classes.
        hidden: units of each hidden layer; () gives softmax regression.
        activation: of the hidden layers, any name or layer that Keras takes.
        initializer: of all kernels; the report compares "glorot_uniform" with "he_uniform".
        dropout: share of inputs dropped before each hidden layer and before the output, in [0, 1).
        l1, l2: penalties on all kernels, added to the loss (Keras' convention: l1 * sum|w| + l2 * sum w^2).

    Raises:
        ValueError: sizes or shares out of range.
    """
    if any(not isinstance(units, int) or units < 1 for units in (*hidden, classes)):
        raise ValueError(
            f"hidden={hidden!r}, classes={classes!r}; every layer needs a whole number of units, at least 1"
        )
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout={dropout!r}; it must be a share in [0, 1)")
    if l1 < 0 or l2 < 0:
        raise ValueError(f"l1={l1!r}, l2={l2!r}; penalties cannot be negative")

    def dense(units, activation):
        penalty = keras.regularizers.L1L2(l1, l2) if l1 or l2 else None
        # One initializer, made once, would give layers of one shape equal weights.
        own = initializer.clone() if isinstance(initializer, keras.initializers.Initializer) else initializer
        return layers.Dense(units, activation, kernel_initializer=own, kernel_regularizer=penalty)

    model = keras.Sequential([keras.Input(input_shape), layers.Flatten()])
    for units in hidden:
        if dropout:
            model.add(layers.Dropout(dropout))
        model.add(dense(units, activation))
    if dropout:
        model.add(layers.Dropout(dropout))
    model.add(dense(classes, "softmax"))
    return model


def small_mlp(input_shape, classes, *, units=128, **options):
    """One hidden layer of `units`; options as for `mlp`."""
    return mlp(input_shape, classes, hidden=(units,), **options)


def medium_mlp(input_shape, classes, *, units=128, **options):
    """Two hidden layers of `units`; options as for `mlp`."""
    return mlp(input_shape, classes, hidden=(units,) * 2, **options)


def large_mlp(input_shape, classes, *, units=128, **options):
    """Three hidden layers of `units`; options as for `mlp`."""
    return mlp(input_shape, classes, hidden=(units,) * 3, **options)
