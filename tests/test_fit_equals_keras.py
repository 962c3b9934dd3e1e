"""`kit.training.fit` gives what `keras.Model.fit` gives: one table of nets, losses, optimizers, metrics and arguments.

Each case is a function that builds a compiled model with its data and the arguments of `fit`. It is called twice, so
that one build is trained by Keras and the other, from the same weights, by the kit. Compared are the history, the final
weights and what a callback sees at epochs.

Left out are faults of Keras itself: ScheduleFreeAdamW on TensorFlow; a second fit with use_ema=True on JAX; and a bias
directly before BatchNormalization, whose true gradient is 0, so that optimizers like Adam amplify round-off.
"""

import contextlib
from functools import partial
from typing import NamedTuple

import keras
import numpy as np
import pytest
from keras import layers, ops

from kit.training import compiled as compiled_epoch
from kit.training import fit

BACKEND = keras.backend.backend()
EXAMPLES = 40  # in batches of 16 they leave a last one of 8

RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(0, 3, EXAMPLES)
TOKENS = RANDOM.integers(1, 9, (EXAMPLES, 6)) * (np.arange(6) < RANDOM.integers(3, 7, (EXAMPLES, 1)))  # 0 pads the end
WEIGHTS = RANDOM.random(EXAMPLES).astype("float32") + 0.2
ONE_HOT = np.eye(3, dtype="float32")[LABELS]
TARGETS = {
    "classes": LABELS,
    "one-hot": ONE_HOT,
    "signs": 2 * ONE_HOT - 1,
    "values": (LABELS[:, None] + 0.5 + RANDOM.random((EXAMPLES, 3))).astype("float32"),
}


def data(*shape):
    """Examples of the shape; the classes differ in brightness."""
    noise = np.random.default_rng(1).random((EXAMPLES, *shape)) * 0.5
    return (noise + LABELS.reshape(-1, *[1] * len(shape)) * 0.25).astype("float32")


IMAGES, FEATURES, SEQUENCES, VOLUMES = data(4, 4, 1), data(6), data(6, 3), data(4, 4, 4, 1)
PIXELS = (IMAGES * 8).astype("uint8")


class Case(NamedTuple):
    model: keras.Model
    x: object
    y: object
    settings: dict
    tolerance: float


def case(model, x, y=LABELS, tolerance=1e-4, **settings):
    settings = {"batch_size": 16, "epochs": 2, "shuffle": False, "verbose": 0} | settings
    return Case(model, x, y, settings, tolerance)


def compiled(model, loss="sparse_categorical_crossentropy", optimizer=None, metrics=("accuracy",), **more):
    metrics = list(metrics) if isinstance(metrics, tuple) else metrics
    model.compile(optimizer or keras.optimizers.SGD(0.1, momentum=0.9), loss, metrics=metrics, **more)
    return model


def stack(*body, shape=(6,), dtype=None, outputs=3, last="softmax"):
    """A sequential net that ends with a dense layer."""
    flat = [] if len(shape) == 1 else [layers.Flatten()]
    return keras.Sequential([keras.Input(shape, dtype=dtype), *body, *flat, layers.Dense(outputs, last)])


def dense_net(**settings):
    return compiled(stack(layers.Dense(5, "tanh")), **settings)


def small_net(**settings):
    """A single layer: for what does not depend on the net."""
    return compiled(stack(), **settings)


@contextlib.contextmanager
def dtype_policy(name):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


# --- layers: each entry makes the body of a net, trained on examples of the group's shape


def branches(*names):
    """A dense layer for each activation, side by side, as a layer."""

    class Branches(layers.Layer):
        def build(self, shape):
            self.parts = [layers.Dense(4, name) for name in names]
            for part in self.parts:
                part.build(shape)

        def call(self, x):
            return ops.concatenate([part(x) for part in self.parts], axis=-1)

    return Branches()


FEATURE_LAYERS = {
    "Dense without bias": lambda: [layers.Dense(5, use_bias=False)],
    "EinsumDense": lambda: [layers.EinsumDense("ab,bc->ac", output_shape=5, bias_axes="c")],
    "activations relu to gelu": lambda: [branches("relu", "relu6", "leaky_relu", "elu", "celu", "selu", "gelu")],
    "activations sigmoids": lambda: [branches("sigmoid", "hard_sigmoid", "log_sigmoid", "sparse_sigmoid", "softsign")],
    "activations tanhs": lambda: [branches("tanh", "hard_tanh", "tanh_shrink", "hard_shrink", "soft_shrink", "linear")],
    "activations silus": lambda: [branches("silu", "hard_silu", "mish", "softplus", "squareplus", "sparse_plus")],
    "activations softmaxes": lambda: [branches("softmax", "log_softmax", "sparsemax", "exponential", "glu")],
    "activation with options": lambda: [
        layers.Dense(6), layers.Activation(partial(keras.activations.threshold, threshold=0.1, default_value=0.0)),
    ],
    "ReLU and LeakyReLU": lambda: [
        layers.Dense(5), layers.ReLU(max_value=1.0, negative_slope=0.1, threshold=0.05), layers.LeakyReLU(0.2),
    ],
    "PReLU": lambda: [layers.Dense(5), layers.PReLU(alpha_initializer="ones")],
    "ELU and Softmax": lambda: [layers.Dense(5), layers.ELU(0.5), layers.Softmax()],
    "Lambda": lambda: [layers.Lambda(lambda x: x**2), layers.Dense(4)],
    "LayerNormalization": lambda: [layers.Dense(5, "tanh"), layers.LayerNormalization()],
    "RMSNormalization and UnitNormalization": lambda: [
        layers.Dense(5, "tanh"), layers.RMSNormalization(), layers.Dense(4), layers.UnitNormalization(),
    ],
    "regularizers L1 and L2": lambda: [
        layers.Dense(5, kernel_regularizer="l1", bias_regularizer="l2"),
        layers.Dense(4, activity_regularizer=keras.regularizers.L1L2(0.01, 0.02)),
    ],
    "regularizers orthogonal and activity": lambda: [
        layers.Dense(5, kernel_regularizer=keras.regularizers.OrthogonalRegularizer(0.05)),
        layers.ActivityRegularization(0.01, 0.01),
    ],
    "constraints": lambda: [
        layers.Dense(5, kernel_constraint=keras.constraints.MaxNorm(0.7), bias_constraint="non_neg"),
        layers.Dense(4, kernel_constraint="unit_norm"),
        layers.Dense(4, kernel_constraint=keras.constraints.MinMaxNorm(0.3, 0.8, rate=0.7)),
    ],
    "initializers": lambda: [
        layers.Dense(5, kernel_initializer=name, bias_initializer=keras.initializers.Constant(0.1))
        for name in ("glorot_normal", "he_uniform", "lecun_normal", "orthogonal", "identity", "truncated_normal")
    ],
    "a frozen layer": lambda: [layers.Dense(5, trainable=False), layers.Dense(4, "relu")],
    "Discretization": lambda: [layers.Discretization([0.3, 0.6], output_mode="one_hot"), layers.Flatten()],
    "RepeatVector and TimeDistributed": lambda: [
        layers.RepeatVector(3), layers.TimeDistributed(layers.Dense(2, "tanh")), layers.Flatten(),
    ],
}  # fmt: skip

IMAGE_LAYERS = {
    "Conv2D strided, dilated": lambda: [
        layers.Conv2D(4, 2, strides=2), layers.Conv2D(4, 2, dilation_rate=2, padding="same", groups=2),
    ],
    "Conv2DTranspose": lambda: [layers.Conv2DTranspose(2, 3, strides=2, padding="same")],
    "DepthwiseConv2D": lambda: [layers.DepthwiseConv2D(2, depth_multiplier=2)],
    "SeparableConv2D": lambda: [layers.SeparableConv2D(3, 2, activation="relu")],
    "MaxPooling2D": lambda: [layers.Conv2D(3, 2, padding="same"), layers.MaxPooling2D()],
    "AveragePooling2D": lambda: [layers.Conv2D(3, 2, padding="same"), layers.AveragePooling2D(2)],
    "AdaptiveMaxPooling2D": lambda: [layers.Conv2D(3, 2), layers.AdaptiveMaxPooling2D(2)],
    "GlobalAveragePooling2D": lambda: [layers.Conv2D(3, 2), layers.GlobalAveragePooling2D()],
    "GlobalMaxPooling2D": lambda: [layers.Conv2D(3, 2), layers.GlobalMaxPooling2D(keepdims=True)],
    "GroupNormalization": lambda: [layers.Conv2D(4, 2), layers.GroupNormalization(2)],
    "UpSampling2D, ZeroPadding2D, Cropping2D": lambda: [
        layers.UpSampling2D(2), layers.ZeroPadding2D(1), layers.Cropping2D(((1, 2), (0, 1))), layers.Conv2D(2, 3),
    ],
    "Permute and Reshape": lambda: [layers.Permute((3, 1, 2)), layers.Reshape((2, 8)), layers.Dense(3)],
    "Resizing and CenterCrop": lambda: [layers.Resizing(6, 6), layers.CenterCrop(3, 3), layers.Conv2D(2, 2)],
    "PReLU with shared axes": lambda: [layers.Conv2D(2, 2), layers.PReLU(shared_axes=[1, 2])],
}  # fmt: skip

VOLUME_LAYERS = {
    "Conv3D": lambda: [layers.Conv3D(2, 2, activation="relu"), layers.MaxPooling3D()],
    "Conv3DTranspose": lambda: [layers.AveragePooling3D(2), layers.Conv3DTranspose(2, 2)],
    "UpSampling3D, ZeroPadding3D, Cropping3D": lambda: [
        layers.MaxPooling3D(), layers.UpSampling3D(2), layers.ZeroPadding3D(1), layers.Cropping3D(1),
        layers.GlobalAveragePooling3D(),
    ],
    "ConvLSTM2D": lambda: [layers.ConvLSTM2D(2, 2)],
}  # fmt: skip

SEQUENCE_LAYERS = {
    "Conv1D": lambda: [layers.Conv1D(3, 2, activation="relu"), layers.MaxPooling1D()],
    "Conv1D causal": lambda: [layers.Conv1D(3, 2, padding="causal", dilation_rate=2), layers.AveragePooling1D(2)],
    "Conv1DTranspose": lambda: [layers.Conv1DTranspose(2, 3, strides=2), layers.GlobalMaxPooling1D()],
    "SeparableConv1D": lambda: [layers.SeparableConv1D(3, 2), layers.GlobalAveragePooling1D()],
    "DepthwiseConv1D": lambda: [layers.DepthwiseConv1D(2)],
    "UpSampling1D, ZeroPadding1D, Cropping1D": lambda: [
        layers.UpSampling1D(2), layers.ZeroPadding1D(1), layers.Cropping1D((2, 1)), layers.Conv1D(2, 3),
    ],
    "SimpleRNN": lambda: [layers.SimpleRNN(4)],
    "LSTM, two layers": lambda: [layers.LSTM(3, return_sequences=True), layers.LSTM(3, go_backwards=True)],
    "GRU": lambda: [layers.GRU(4, return_sequences=True)],
    "GRU, reset before": lambda: [layers.GRU(4, reset_after=False, recurrent_activation="hard_sigmoid")],
    "Bidirectional": lambda: [layers.Bidirectional(layers.LSTM(3), merge_mode="ave")],
    "RNN of cells": lambda: [layers.RNN([layers.GRUCell(3), layers.SimpleRNNCell(3)])],
    "Masking": lambda: [layers.Masking(0.0), layers.SimpleRNN(4, unroll=True)],
    "TimeDistributed": lambda: [layers.TimeDistributed(layers.Dense(2, "tanh"))],
}  # fmt: skip

TOKEN_LAYERS = {
    "Embedding": lambda: [layers.Embedding(9, 4), layers.Flatten()],
    "Embedding with a mask": lambda: [layers.Embedding(9, 4, mask_zero=True), layers.LSTM(3)],
    "CategoryEncoding": lambda: [layers.CategoryEncoding(9, output_mode="count")],
    "Hashing": lambda: [layers.Hashing(7), layers.Embedding(7, 3), layers.Flatten()],
    "IntegerLookup": lambda: [
        layers.IntegerLookup(vocabulary=[1, 2, 3, 4, 5]), layers.Embedding(7, 3), layers.Flatten(),
    ],
}  # fmt: skip

# Evaluated too: what stands for its kind, and what acts otherwise in training.
EVALUATED_LAYERS = {
    "Dense": (FEATURES, lambda: [layers.Dense(5, "relu"), layers.Dense(4, "tanh")]),
    "Conv2D": (IMAGES, lambda: [layers.Conv2D(3, 3, activation="relu"), layers.Conv2D(3, 2, padding="same")]),
    "LSTM": (SEQUENCES, lambda: [layers.LSTM(4)]),
    "a nested model": (
        IMAGES,
        lambda: [
            keras.Sequential([layers.Conv2D(2, 2, activation="relu"), layers.MaxPooling2D()]), layers.Flatten(),
            keras.Sequential([layers.Dense(4, use_bias=False), layers.BatchNormalization()]),
        ],
    ),
    "BatchNormalization": (
        FEATURES, lambda: [layers.Dense(5, use_bias=False), layers.BatchNormalization(momentum=0.8)],
    ),
    "BatchNormalization without scale": (
        FEATURES,
        lambda: [
            layers.Dense(5, use_bias=False), layers.BatchNormalization(center=False, scale=False, epsilon=0.01),
        ],
    ),
    "BatchNormalization after Conv2D": (
        IMAGES, lambda: [layers.Conv2D(3, 2, use_bias=False), layers.BatchNormalization(), layers.ReLU()],
    ),
    "a frozen BatchNormalization": (FEATURES, lambda: [layers.Dense(5), layers.BatchNormalization(trainable=False)]),
    "SpectralNormalization": (FEATURES, lambda: [layers.SpectralNormalization(layers.Dense(5))]),
    "Dropout in a dense net": (FEATURES, lambda: [layers.Dense(8, "relu"), layers.Dropout(0.4, seed=1)]),
    "Dropout after Conv2D": (IMAGES, lambda: [layers.Conv2D(4, 2), layers.Dropout(0.4, seed=1)]),
    "Dropout with a noise shape": (
        IMAGES, lambda: [layers.Conv2D(4, 2), layers.Dropout(0.4, noise_shape=(None, 1, 1, 4), seed=1)],
    ),
    "SpatialDropout2D": (IMAGES, lambda: [layers.Conv2D(4, 2), layers.SpatialDropout2D(0.4, seed=1)]),
    "AlphaDropout": (IMAGES, lambda: [layers.Conv2D(4, 2), layers.AlphaDropout(0.2, seed=1)]),
    "GaussianNoise": (FEATURES, lambda: [layers.GaussianNoise(0.2, seed=1), layers.Dense(4)]),
    "GaussianDropout": (FEATURES, lambda: [layers.Dense(8), layers.GaussianDropout(0.2, seed=1)]),
    "RandomFlip": (IMAGES, lambda: [layers.RandomFlip(seed=1), layers.Conv2D(2, 2)]),
    "RandomTranslation": (IMAGES, lambda: [layers.RandomTranslation(0.3, 0.3, seed=1), layers.Conv2D(2, 2)]),
    "RandomBrightness, RandomContrast": (
        IMAGES,
        lambda: [layers.RandomBrightness(0.3, (0, 1), seed=1), layers.RandomContrast(0.3, (0, 1), seed=2)],
    ),
    "SimpleRNN with dropout": (
        SEQUENCES, lambda: [layers.SimpleRNN(4, dropout=0.3, recurrent_dropout=0.3, seed=1)],
    ),
}  # fmt: skip


def layer_case(body, x, evaluated=False):
    model = compiled(stack(*body(), shape=x.shape[1:], dtype=x.dtype.name))
    # JAX compiles each size of a batch; the many layers make do with one or two.
    return case(model, x, validation_split=0.2) if evaluated else case(model, x[:32], LABELS[:32])


# --- losses: the kind of target, the activation before the loss, and the loss

LOSSES = {
    "binary_crossentropy": ("one-hot", "sigmoid", lambda: "binary_crossentropy"),
    "binary_focal_crossentropy": ("one-hot", "sigmoid", lambda: "binary_focal_crossentropy"),
    "categorical_crossentropy": ("one-hot", "softmax", lambda: "categorical_crossentropy"),
    "categorical_focal_crossentropy": ("one-hot", "softmax", lambda: "categorical_focal_crossentropy"),
    "categorical_hinge": ("one-hot", "tanh", lambda: "categorical_hinge"),
    "circle": ("classes", "tanh", lambda: "circle"),
    "cosine_similarity": ("values", "tanh", lambda: "cosine_similarity"),
    "dice": ("one-hot", "softmax", lambda: "dice"),
    "hinge": ("signs", "tanh", lambda: "hinge"),
    "huber": ("values", None, lambda: "huber"),
    "kl_divergence": ("one-hot", "softmax", lambda: "kl_divergence"),
    "log_cosh": ("values", None, lambda: "log_cosh"),
    "mean_absolute_error": ("values", None, lambda: "mean_absolute_error"),
    "mean_absolute_percentage_error": ("values", None, lambda: "mean_absolute_percentage_error"),
    "mean_squared_error": ("values", None, lambda: "mse"),
    "mean_squared_logarithmic_error": ("values", "softplus", lambda: "mean_squared_logarithmic_error"),
    "poisson": ("values", "softplus", lambda: "poisson"),
    "sparse_categorical_crossentropy": ("classes", "softmax", lambda: "sparse_categorical_crossentropy"),
    "squared_hinge": ("signs", "tanh", lambda: "squared_hinge"),
    "tversky": ("one-hot", "softmax", lambda: "tversky"),
    "a class by its name": ("one-hot", "softmax", lambda: "KLDivergence"),
    "function sparse_categorical_crossentropy": (
        "classes", "softmax", lambda: keras.losses.sparse_categorical_crossentropy,
    ),
    "function binary_crossentropy": ("one-hot", "sigmoid", lambda: keras.losses.binary_crossentropy),
    "function with an option": ("values", None, lambda: partial(keras.losses.huber, delta=0.5)),
    "SparseCategoricalCrossentropy from logits": (
        "classes", None, lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    ),
    "SparseCategoricalCrossentropy ignoring a class": (
        "classes", "softmax", lambda: keras.losses.SparseCategoricalCrossentropy(ignore_class=1),
    ),
    "CategoricalCrossentropy smoothed": (
        "one-hot", None, lambda: keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
    ),
    "CategoricalCrossentropy summed": (
        "one-hot", "softmax", lambda: keras.losses.CategoricalCrossentropy(reduction="sum"),
    ),
    "CategoricalGeneralizedCrossEntropy": (
        "classes", "softmax", lambda: keras.losses.CategoricalGeneralizedCrossEntropy(q=0.7),
    ),
    "CategoricalFocalCrossentropy": (
        "one-hot", "softmax", lambda: keras.losses.CategoricalFocalCrossentropy(alpha=[0.2, 0.3, 0.5], gamma=1.5),
    ),
    "BinaryCrossentropy from logits": (
        "one-hot", None, lambda: keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.1),
    ),
    "BinaryFocalCrossentropy balanced": (
        "one-hot", "sigmoid", lambda: keras.losses.BinaryFocalCrossentropy(True, alpha=0.3, gamma=1.0),
    ),
    "MeanSquaredError summed": ("values", None, lambda: keras.losses.MeanSquaredError(reduction="sum")),
    "MeanAbsoluteError over weights": (
        "values", None, lambda: keras.losses.MeanAbsoluteError(reduction="mean_with_sample_weight"),
    ),
    "Huber": ("values", None, lambda: keras.losses.Huber(delta=0.3)),
    "Dice by example": ("one-hot", "softmax", lambda: keras.losses.Dice(axis=-1)),
    "Tversky": ("one-hot", "softmax", lambda: keras.losses.Tversky(alpha=0.3, beta=0.7)),
    "custom function": ("values", None, lambda: quartic_error),
    "custom function, a scalar": ("values", None, lambda: lambda y, p: ops.log(1 + ops.sum(ops.square(y - p)))),
    "custom class": ("values", None, lambda: WeightedError(scale=2.0)),
}  # fmt: skip


def quartic_error(y_true, y_pred):
    return ops.mean((y_true - y_pred) ** 4, axis=-1) / 10


class WeightedError(keras.losses.Loss):
    def __init__(self, scale, **options):
        super().__init__(**options)
        self.scale = scale

    def call(self, y_true, y_pred):
        return self.scale * ops.mean(y_true * ops.square(y_true - y_pred), axis=-1)


def loss_case(target, last, loss):
    slow = keras.optimizers.SGD(0.005) if target == "values" else None
    model = compiled(stack(last=last), loss(), slow, metrics=None)
    return case(model, FEATURES, TARGETS[target], sample_weight=WEIGHTS if "weights" in str(loss) else None)


# --- optimizers

OPTIMIZERS = {
    "SGD": lambda: keras.optimizers.SGD(0.1),
    "SGD, Nesterov": lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "RMSprop": lambda: keras.optimizers.RMSprop(0.01),
    "RMSprop, centered": lambda: keras.optimizers.RMSprop(0.01, momentum=0.5, centered=True),
    "Adam": lambda: keras.optimizers.Adam(0.01),
    "Adam, AMSGrad": lambda: keras.optimizers.Adam(0.01, beta_1=0.8, amsgrad=True),
    "AdamW": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
    "Adadelta": lambda: keras.optimizers.Adadelta(1.0, rho=0.9),
    "Adagrad": lambda: keras.optimizers.Adagrad(0.1),
    "Adamax": lambda: keras.optimizers.Adamax(0.01),
    "Adafactor": lambda: keras.optimizers.Adafactor(0.05),
    "Nadam": lambda: keras.optimizers.Nadam(0.01),
    "Ftrl": lambda: keras.optimizers.Ftrl(0.1, l1_regularization_strength=0.01),
    "Lion": lambda: keras.optimizers.Lion(0.01),
    "Lamb": lambda: keras.optimizers.Lamb(0.05),
    "Muon": lambda: keras.optimizers.Muon(0.01),
    "LossScaleOptimizer": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=16.0),
    "by its name": lambda: "rmsprop",
    "ExponentialDecay": lambda: keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.2, 2, 0.5)),
    "PiecewiseConstantDecay": lambda: keras.optimizers.SGD(
        keras.optimizers.schedules.PiecewiseConstantDecay([1, 3], [0.2, 0.1, 0.01])
    ),
    "PolynomialDecay": lambda: keras.optimizers.SGD(keras.optimizers.schedules.PolynomialDecay(0.2, 5, power=2.0)),
    "InverseTimeDecay": lambda: keras.optimizers.Adam(keras.optimizers.schedules.InverseTimeDecay(0.1, 2, 1.0)),
    "CosineDecay": lambda: keras.optimizers.SGD(
        keras.optimizers.schedules.CosineDecay(0.01, 4, warmup_target=0.2, warmup_steps=2)
    ),
    "CosineDecayRestarts": lambda: keras.optimizers.SGD(keras.optimizers.schedules.CosineDecayRestarts(0.2, 2)),
    "custom schedule": lambda: keras.optimizers.SGD(Halving()),
    "clipnorm": lambda: keras.optimizers.SGD(0.5, clipnorm=0.1),
    "clipvalue": lambda: keras.optimizers.SGD(0.5, clipvalue=0.05),
    "global_clipnorm": lambda: keras.optimizers.Adam(0.01, global_clipnorm=0.1),
    "weight_decay": lambda: keras.optimizers.SGD(0.1, momentum=0.5, weight_decay=0.1),
    "loss_scale_factor": lambda: keras.optimizers.SGD(0.1, loss_scale_factor=8.0),
    "use_ema": lambda: keras.optimizers.SGD(0.2, use_ema=True, ema_momentum=0.7),
    "use_ema, overwriting": lambda: keras.optimizers.Adam(
        0.02, use_ema=True, ema_momentum=0.7, ema_overwrite_frequency=2
    ),
    "gradient_accumulation_steps": lambda: keras.optimizers.SGD(0.2, gradient_accumulation_steps=2),
    "gradient_accumulation_steps of Adam": lambda: keras.optimizers.Adam(0.02, gradient_accumulation_steps=4),
}


class Halving(keras.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step):
        return 0.2 * 0.5 ** ops.cast(step, "float32")


def optimizer_case(optimizer):
    return case(dense_net(optimizer=optimizer(), metrics=None), FEATURES[:32], LABELS[:32])


def trained_before():
    """The optimizer goes on from where an earlier fit, with another batch size, left it."""
    model = dense_net(optimizer=keras.optimizers.Adam(0.01))
    model.fit(FEATURES, LABELS, batch_size=10, shuffle=False, verbose=0)
    return case(model, FEATURES)


def several_optimizers():
    """One optimizer for the first layer, another for the rest."""
    optimizers = keras.optimizers.OptimizerMap(keras.optimizers.Adam(0.01))
    optimizers["first/.*"] = keras.optimizers.SGD(0.1)
    model = stack(layers.Dense(5, "tanh", name="first"))
    return case(compiled(model, optimizer=keras.optimizers.MultiOptimizer(optimizers)), FEATURES)


# --- metrics: the kind of target, the activation before the loss, the metrics

METRICS = {
    "names, classes": ("classes", "softmax", lambda: ["accuracy", "sparse_categorical_crossentropy"]),
    "names, one-hot": (
        "one-hot", "softmax", lambda: ["acc", "categorical_crossentropy", "mse", "mae", "cosine_similarity"],
    ),
    "functions": ("one-hot", "softmax", lambda: [keras.metrics.categorical_accuracy, mean_confidence]),
    "top k": (
        "one-hot", "softmax", lambda: [keras.metrics.TopKCategoricalAccuracy(2), keras.metrics.CategoricalAccuracy()],
    ),
    "top k of classes": (
        "classes", "softmax",
        lambda: [keras.metrics.SparseTopKCategoricalAccuracy(2), keras.metrics.SparseCategoricalCrossentropy()],
    ),
    "AUC": (
        "one-hot", "sigmoid",
        lambda: [
            keras.metrics.AUC(20, name="roc"),
            keras.metrics.AUC(20, curve="PR", multi_label=True, num_labels=3, name="by_label"),
        ],
    ),
    "Precision and Recall": (
        "one-hot", "softmax",
        lambda: [
            keras.metrics.Precision(0.4, class_id=1), keras.metrics.Recall(top_k=2),
            keras.metrics.Precision([0.2, 0.4, 0.6], name="thresholds"),
        ],
    ),
    "counts": (
        "one-hot", "sigmoid",
        lambda: [
            keras.metrics.TruePositives(), keras.metrics.TrueNegatives(), keras.metrics.FalsePositives(),
            keras.metrics.FalseNegatives([0.3, 0.6]),
        ],
    ),
    "sensitivity and specificity": (
        "one-hot", "sigmoid",
        lambda: [
            keras.metrics.SensitivityAtSpecificity(0.6, 20), keras.metrics.SpecificityAtSensitivity(0.6, 20),
            keras.metrics.PrecisionAtRecall(0.6, 20), keras.metrics.RecallAtPrecision(0.4, 20),
        ],
    ),
    "F1Score, a vector": ("one-hot", "softmax", lambda: [keras.metrics.F1Score(average=None)]),
    "F1Score, averaged": (
        "one-hot", "softmax",
        lambda: [
            keras.metrics.F1Score("macro"), keras.metrics.F1Score("micro", name="micro"),
            keras.metrics.F1Score("weighted", threshold=0.4, name="weighted"),
        ],
    ),
    "FBetaScore": ("one-hot", "softmax", lambda: [keras.metrics.FBetaScore(None, beta=2.0), "accuracy"]),
    "MeanIoU": (
        "classes", "softmax",
        lambda: [
            keras.metrics.MeanIoU(3, sparse_y_pred=False),
            keras.metrics.IoU(3, target_class_ids=[0, 2], sparse_y_pred=False),
        ],
    ),
    "OneHotMeanIoU": (
        "one-hot", "softmax",
        lambda: [keras.metrics.OneHotMeanIoU(3), keras.metrics.OneHotIoU(3, [1]), keras.metrics.BinaryIoU()],
    ),
    "binary": (
        "one-hot", "sigmoid", lambda: [keras.metrics.BinaryAccuracy(threshold=0.4), keras.metrics.BinaryCrossentropy()],
    ),
    "hinges": (
        "signs", "tanh",
        lambda: [keras.metrics.Hinge(), keras.metrics.SquaredHinge(), keras.metrics.CategoricalHinge()],
    ),
    "regression": (
        "values", "softplus",
        lambda: [
            keras.metrics.RootMeanSquaredError(), keras.metrics.MeanAbsolutePercentageError(),
            keras.metrics.MeanSquaredLogarithmicError(), keras.metrics.LogCoshError(), keras.metrics.Poisson(),
        ],
    ),
    "R2Score, a vector": (
        "values", None,
        lambda: [keras.metrics.R2Score(class_aggregation=None), keras.metrics.R2Score(name="r2_mean")],
    ),
    "correlations": (
        "values", None, lambda: [keras.metrics.PearsonCorrelation(), keras.metrics.ConcordanceCorrelation()],
    ),
    "MeanMetricWrapper and KLDivergence": (
        "one-hot", "softmax",
        lambda: [keras.metrics.MeanMetricWrapper(mean_confidence, name="mean"), keras.metrics.KLDivergence()],
    ),
    "a dict": ("one-hot", "softmax", lambda: [Extremes(), "accuracy"]),
    "custom class": ("one-hot", "softmax", lambda: [LargestError()]),
    "custom class, a matrix": ("classes", "softmax", lambda: [Confusion()]),
}  # fmt: skip


def mean_confidence(y_true, y_pred):
    return ops.max(y_pred, axis=-1)


class LargestError(keras.metrics.Metric):
    def __init__(self, name="largest_error", **options):
        super().__init__(name=name, **options)
        self.largest = self.add_weight(name="largest", initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        error = ops.max(ops.abs(ops.cast(y_true, y_pred.dtype) - y_pred))
        self.largest.assign(ops.maximum(self.largest, ops.cast(error, "float32")))

    def result(self):
        return ops.convert_to_tensor(self.largest)


class Extremes(LargestError):
    """Its result is a dict, whose entries become entries of the history."""

    def result(self):
        return {"error": ops.convert_to_tensor(self.largest), "accord": 1 - self.largest}


class Confusion(keras.metrics.Metric):
    def __init__(self, name="confusion", **options):
        super().__init__(name=name, **options)
        self.counts = self.add_weight(name="counts", shape=(3, 3), initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true = ops.one_hot(ops.cast(ops.reshape(y_true, (-1,)), "int32"), 3)
        self.counts.assign_add(ops.matmul(ops.transpose(y_true), ops.one_hot(ops.argmax(y_pred, axis=-1), 3)))

    def result(self):
        return ops.convert_to_tensor(self.counts)


def metric_case(target, last, metrics):
    loss = "sparse_categorical_crossentropy" if target == "classes" else "mse"
    optimizer = keras.optimizers.SGD(0.05) if target == "values" else None
    model = compiled(stack(last=last), loss, optimizer, metrics())
    return case(model, FEATURES, TARGETS[target], validation_split=0.25)


# --- arguments of fit, for a small net with two metrics

ARGUMENTS = {
    "batch_size None": lambda: {"batch_size": None},
    "a batch larger than the data": lambda: {"batch_size": 64},
    "batches without a remainder": lambda: {"batch_size": 8},
    "a single example in the last batch": lambda: {"batch_size": 13},
    "batches of one": lambda: {"batch_size": 1},
    "validation_data": lambda: {"validation_data": (FEATURES[5:25], LABELS[5:25])},
    "validation_data, a list": lambda: {"validation_data": [FEATURES[5:25], LABELS[5:25]]},
    "validation_data, weighted": lambda: {"validation_data": (FEATURES[5:25], LABELS[5:25], WEIGHTS[:20])},
    "validation_split": lambda: {"validation_split": 0.3},
    "validation_split with sample_weight": lambda: {"validation_split": 0.3, "sample_weight": WEIGHTS},
    "validation_freq": lambda: {"validation_split": 0.3, "validation_freq": 2, "epochs": 3},
    "validation_freq, a list": lambda: {"validation_split": 0.3, "validation_freq": [1, 3], "epochs": 3},
    "validation_batch_size": lambda: {"validation_split": 0.5, "validation_batch_size": 7},
    "validation_steps": lambda: {"validation_split": 0.5, "validation_batch_size": 6, "validation_steps": 2},
    "steps_per_epoch": lambda: {"steps_per_epoch": 2, "epochs": 3},
    "sample_weight": lambda: {"sample_weight": WEIGHTS},
    "sample_weight of integers": lambda: {"sample_weight": np.arange(EXAMPLES) % 3},
    "class_weight": lambda: {"class_weight": {0: 0.5, 1: 1.0, 2: 3.0}},
    "class_weight of some": lambda: {"class_weight": {1: 2.0}},
    "class_weight with validation_split": lambda: {
        "class_weight": {0: 0.5, 1: 1.0, 2: 3.0}, "validation_split": 0.3,
    },
    "initial_epoch": lambda: {"initial_epoch": 1, "epochs": 3, "validation_split": 0.3},
    "EarlyStopping": lambda: {
        "epochs": 4, "validation_split": 0.3,
        "callbacks": [keras.callbacks.EarlyStopping(min_delta=9, patience=1, restore_best_weights=True)],
    },
    "LearningRateScheduler": lambda: {
        "callbacks": [keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 / (1 + epoch))],
    },
    "ReduceLROnPlateau": lambda: {
        "epochs": 3, "callbacks": [keras.callbacks.ReduceLROnPlateau("loss", factor=0.1, patience=1, min_delta=9)],
    },
    "a callback that sets weights": lambda: {"callbacks": [HalveWeights()]},
    "a callback at batches": lambda: {
        "callbacks": [keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)],
    },
    "TerminateOnNaN and History": lambda: {"callbacks": [keras.callbacks.TerminateOnNaN(), keras.callbacks.History()]},
}  # fmt: skip


class HalveWeights(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.set_weights([weight / 2 for weight in self.model.get_weights()])


def argument_case(arguments):
    model = small_net(weighted_metrics=[keras.metrics.SparseCategoricalCrossentropy(name="weighted")])
    return case(model, FEATURES, **arguments())


# --- single cases: nets of more than one path, models of an own class, kinds of data, settings of compile


def skip_connection():
    inputs = keras.Input((4, 4, 1))
    x = first = layers.Conv2D(3, 2, padding="same", activation="relu")(inputs)
    x = layers.Conv2D(3, 2, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU()(layers.Add()([x, first]))
    x = layers.Concatenate()([x, inputs])
    outputs = layers.Dense(3, "softmax")(layers.GlobalAveragePooling2D()(x))
    return case(compiled(keras.Model(inputs, outputs)), IMAGES, validation_split=0.2)


def merging_layers():
    inputs = keras.Input((6,))
    a, b = (layers.Dense(4, "tanh")(inputs) for _ in range(2))
    kinds = (layers.Add, layers.Subtract, layers.Multiply, layers.Average, layers.Maximum, layers.Minimum)
    merged = [kind()([a, b]) for kind in kinds] + [layers.Dot(axes=1, normalize=True)([a, b])]
    outputs = layers.Dense(3, "softmax")(layers.Concatenate()(merged))
    return case(compiled(keras.Model(inputs, outputs)), FEATURES)


def shared_layer():
    inputs = keras.Input((6, 3))
    shared = layers.Dense(4, "tanh")
    halves = [shared(inputs[:, :3]), shared(inputs[:, 3:])]
    outputs = layers.Dense(3, "softmax")(layers.Flatten()(layers.Subtract()(halves)))
    return case(compiled(keras.Model(inputs, outputs)), SEQUENCES)


def operations():
    """Operations of keras.ops in place of layers."""
    inputs = keras.Input((6, 3))
    x = ops.concatenate([ops.mean(inputs, axis=1), ops.max(inputs, axis=1) * 2 - 1], axis=-1)
    return case(compiled(keras.Model(inputs, layers.Dense(3, "softmax")(ops.tanh(x)))), SEQUENCES)


def attention(kind):
    inputs = keras.Input((6, 3))
    query, value = layers.Dense(4)(inputs), layers.Dense(4)(inputs)
    x = {
        "Attention": lambda: layers.Attention(use_scale=True)([query, value]),
        "AdditiveAttention": lambda: layers.AdditiveAttention()([query, value]),
        "MultiHeadAttention": lambda: layers.MultiHeadAttention(2, 3)(query, value, use_causal_mask=True),
    }[kind]()
    outputs = layers.Dense(3, "softmax")(layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x + query)))
    return case(compiled(keras.Model(inputs, outputs)), SEQUENCES)


def transformer():
    """Tokens with a mask through embedding, attention and a feed-forward block."""
    inputs = keras.Input((6,), dtype="int32")
    x = layers.Embedding(9, 4, mask_zero=True)(inputs)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 2)(x, x))
    x = layers.LayerNormalization()(x + layers.Dense(4)(layers.Dense(6, "gelu")(x)))
    outputs = layers.Dense(3, "softmax")(layers.GlobalAveragePooling1D()(x))
    return case(compiled(keras.Model(inputs, outputs)), TOKENS, validation_split=0.2)


def a_class_for_each_step():
    """Targets, weights and a mask by time step."""
    inputs = keras.Input((6,), dtype="int32")
    x = layers.Embedding(9, 4, mask_zero=True)(inputs)
    outputs = layers.Dense(3, "softmax")(layers.SimpleRNN(3, return_sequences=True)(x))
    model = compiled(keras.Model(inputs, outputs), weighted_metrics=["sparse_categorical_crossentropy"])
    weights = np.random.default_rng(2).random((EXAMPLES, 6)).astype("float32")
    return case(model, TOKENS, TOKENS % 3, sample_weight=weights)


def segmentation():
    """An encoder and decoder with a class for each pixel."""
    inputs = keras.Input((4, 4, 1))
    x = first = layers.Conv2D(3, 3, padding="same", activation="relu")(inputs)
    x = layers.Conv2DTranspose(3, 2, strides=2)(layers.MaxPooling2D()(x))
    x = layers.Concatenate()([x, first])
    model = keras.Model(inputs, layers.Conv2D(2, 1, activation="softmax")(x))
    metrics = [keras.metrics.MeanIoU(2, sparse_y_pred=False)]
    return case(compiled(model, metrics=metrics), IMAGES, (IMAGES[..., 0] > 0.5).astype("int32"), validation_split=0.2)


def two_inputs(make):
    inputs = {"image": keras.Input((4, 4, 1), name="image"), "row": keras.Input((6,), name="row")}
    merged = layers.Concatenate()([layers.Flatten()(inputs["image"]), layers.Dense(4, "tanh")(inputs["row"])])
    outputs = layers.Dense(3, "softmax")(merged)
    values = {"image": IMAGES, "row": FEATURES}
    if make is not dict:
        inputs, values = make(inputs.values()), make(values.values())
    return case(compiled(keras.Model(inputs, outputs)), values, validation_split=0.2)


def two_outputs(named, **settings):
    inputs = keras.Input((6,))
    x = layers.Dense(5, "tanh")(inputs)
    outputs = {"kind": layers.Dense(3, "softmax", name="kind")(x), "size": layers.Dense(3, name="size")(x)}
    losses = {"kind": "sparse_categorical_crossentropy", "size": "mse"}
    weights = {"kind": 0.3, "size": 2.0}
    metrics = {"kind": ["accuracy"], "size": ["mae", keras.metrics.R2Score(class_aggregation=None)]}
    y = {"kind": LABELS, "size": TARGETS["values"]}
    parts = [outputs, losses, weights, metrics, y]
    if not named:
        parts = [list(part.values()) for part in parts]
    outputs, losses, weights, metrics, y = parts
    model = compiled(keras.Model(inputs, outputs), losses, keras.optimizers.SGD(0.02), metrics, loss_weights=weights)
    return case(model, FEATURES, y, **settings)


def loss_weight_of_one_output():
    return case(small_net(loss_weights=0.3, optimizer=keras.optimizers.SGD(0.3)), FEATURES)


def an_output_without_a_loss():
    inputs = keras.Input((6,))
    x = layers.Dense(5, "tanh")(inputs)
    model = keras.Model(inputs, [layers.Dense(3, "softmax", name="kind")(x), layers.Dense(2, name="code")(x)])
    losses = ["sparse_categorical_crossentropy", None]
    return case(compiled(model, losses, metrics=None), FEATURES, [LABELS, np.zeros((EXAMPLES, 2))])


def model_in_model():
    inner_in = keras.Input((6,))
    inner = keras.Model(inner_in, layers.Dense(4, "tanh")(layers.Dense(5, "relu")(inner_in)) + inner_in[:, :4])
    outer_in = keras.Input((6,))
    outputs = layers.Dense(3, "softmax")(inner(outer_in) * inner(outer_in + 0.1))
    return case(compiled(keras.Model(outer_in, outputs)), FEATURES)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.first = layers.Dense(5, use_bias=False)
        self.normalize = layers.BatchNormalization()
        self.parts = [layers.Dense(4, "tanh"), layers.Dense(3, "softmax")]

    def call(self, x, training=False):
        x = ops.relu(self.normalize(self.first(x), training=training))
        for part in self.parts:
            x = part(x)
        return x


class WithoutTraining(keras.Model):
    def __init__(self):
        super().__init__()
        self.last = layers.Dense(3, "softmax")

    def call(self, inputs):
        return self.last(ops.concatenate([inputs, inputs**2], axis=-1))


def subclassed(cls, **settings):
    model = cls()
    model(FEATURES[:1])  # makes its weights
    return case(compiled(model, **settings), FEATURES, validation_split=0.2)


def unbuilt(model):
    return case(compiled(model), FEATURES, validation_split=0.2)


class Penalty(layers.Layer):
    def call(self, x):
        self.add_loss(0.1 * ops.mean(ops.square(x)))
        return x


class Tracked(layers.Layer):
    """Keeps the mean of what passes through as a metric."""

    def __init__(self):
        super().__init__()
        self.mean = keras.metrics.Mean(name="mean_input")

    def call(self, x):
        self.mean.update_state(ops.mean(x))
        return x


class Remembering(layers.Layer):
    """Adds what it keeps of earlier batches in training."""

    def build(self, shape):
        self.kept = self.add_weight(shape=shape[1:], initializer="zeros", trainable=False)

    def call(self, x, training=False):
        if training:
            self.kept.assign(0.5 * self.kept + ops.mean(x, axis=0))
        return x + self.kept


def added_loss():
    return case(compiled(stack(layers.Dense(5), Penalty())), FEATURES, validation_split=0.2)


def tracked_metric():
    return case(compiled(stack(layers.Dense(5), Tracked())), FEATURES, validation_split=0.2)


def kept_state():
    return case(compiled(stack(layers.Dense(5), Remembering())), FEATURES, validation_split=0.2)


def autoencoder():
    """No targets: the loss is added by a layer."""

    class Reconstruction(layers.Layer):
        def call(self, inputs):
            x, code = inputs
            self.add_loss(ops.mean(ops.square(x - code)))
            return code

    inputs = keras.Input((6,))
    outputs = Reconstruction()([inputs, layers.Dense(6)(layers.Dense(2, "tanh")(inputs))])
    return case(compiled(keras.Model(inputs, outputs), None, metrics=None), FEATURES, None)


def variational_autoencoder():
    class Sampling(layers.Layer):
        def __init__(self):
            super().__init__()
            self.seed = keras.random.SeedGenerator(1)

        def call(self, inputs):
            mean, log_variance = inputs
            self.add_loss(-0.05 * ops.mean(1 + log_variance - mean**2 - ops.exp(log_variance)))
            return mean + ops.exp(log_variance / 2) * keras.random.normal(ops.shape(mean), seed=self.seed)

    inputs = keras.Input((6,))
    x = layers.Dense(5, "tanh")(inputs)
    outputs = layers.Dense(6)(Sampling()([layers.Dense(2)(x), layers.Dense(2)(x)]))
    return case(compiled(keras.Model(inputs, outputs), "mse"), FEATURES, FEATURES)


class OwnLoss(Subclassed):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return super().compute_loss(x, y, y_pred, sample_weight, training) + 0.1 * ops.mean(ops.square(y_pred))


class OwnMetrics(Subclassed):
    def __init__(self):
        super().__init__()
        self.confidence = keras.metrics.Mean(name="confidence")

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        self.confidence.update_state(ops.max(y_pred, axis=-1))
        return super().compute_metrics(x, y, y_pred, sample_weight)


class ExtraValues(Subclassed):
    """Its steps return more than the metrics. On JAX a step takes the state first and returns it last."""

    def train_step(self, *arguments):
        return self.with_mean(super().train_step(*arguments), arguments[-1])

    def test_step(self, *arguments):
        return self.with_mean(super().test_step(*arguments), arguments[-1])

    def with_mean(self, result, batch):
        logs, *state = result if BACKEND == "jax" else (result,)
        logs = {**logs, "batch_mean": ops.mean(batch[0]), "batch_means": ops.mean(batch[0], axis=0)}
        return (logs, *state) if state else logs


class OneValue(Subclassed):
    """Its step returns less than the metrics."""

    def train_step(self, *arguments):
        result = super().train_step(*arguments)
        return ({"loss": result[0]["loss"]}, *result[1:]) if BACKEND == "jax" else {"loss": result["loss"]}


class HandWritten(Subclassed):
    """The loop of Keras' guide: an own gradient, own metrics, and nothing given to compile but the optimizer."""

    def __init__(self):
        super().__init__()
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.mae = keras.metrics.SparseCategoricalAccuracy(name="acc")

    @property
    def metrics(self):
        return [self.loss_tracker, self.mae]

    def train_step(self, data):
        import tensorflow as tf

        x, y = data
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = ops.mean(keras.losses.sparse_categorical_crossentropy(y, y_pred))
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        return self.noted(y, y_pred, loss)

    def test_step(self, data):
        x, y = data
        y_pred = self(x, training=False)
        return self.noted(y, y_pred, ops.mean(keras.losses.sparse_categorical_crossentropy(y, y_pred)))

    def noted(self, y, y_pred, loss):
        self.loss_tracker.update_state(loss)
        self.mae.update_state(y, y_pred)
        return {metric.name: metric.result() for metric in self.metrics}


class Adversarial(keras.Model):
    """Two nets, two optimizers, two losses, as in a GAN."""

    def __init__(self):
        super().__init__()
        self.generator = keras.Sequential([keras.Input((6,)), layers.Dense(6)])
        self.critic = keras.Sequential([keras.Input((6,)), layers.Dense(4, "tanh"), layers.Dense(1)])
        self.second_optimizer = keras.optimizers.Adam(0.02)

    def call(self, x):
        return self.critic(self.generator(x))

    def train_step(self, data):
        import tensorflow as tf

        x, _ = data
        with tf.GradientTape() as tape:
            gap = ops.mean(self.critic(self.generator(x))) - ops.mean(self.critic(x)) ** 2
        variables = self.critic.trainable_variables
        self.second_optimizer.apply_gradients(zip(tape.gradient(gap, variables), variables))
        with tf.GradientTape() as tape:
            loss = -ops.mean(self.critic(self.generator(x)))
        variables = self.generator.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
        return {"gap": gap, "generator_loss": loss}


class HandWrittenForJax(Subclassed):
    def loss_and_updates(self, trainable, non_trainable, x, y):
        y_pred, non_trainable = self.stateless_call(trainable, non_trainable, x, training=True)
        return ops.mean(keras.losses.sparse_categorical_crossentropy(y, y_pred)), non_trainable

    def train_step(self, state, data):
        import jax

        trainable, non_trainable, optimizer, metrics = state
        gradient = jax.value_and_grad(self.loss_and_updates, has_aux=True)
        (loss, non_trainable), gradients = gradient(trainable, non_trainable, *data)
        trainable, optimizer = self.optimizer.stateless_apply(optimizer, gradients, trainable)
        return {"loss": loss}, (trainable, non_trainable, optimizer, metrics)


def hand_written(cls, **settings):
    model = cls()
    model(FEATURES[:1])  # makes its weights
    model.compile(keras.optimizers.SGD(0.1))
    return case(model, FEATURES, **settings)


def partly_frozen():
    model = stack(layers.Dense(5, use_bias=False), layers.BatchNormalization(), layers.Dense(4, "tanh"))
    for layer in model.layers[:2]:
        layer.trainable = False
    return case(compiled(model, optimizer=keras.optimizers.Adam(0.01)), FEATURES)


def low_rank():
    model = stack(layers.Dense(5, "tanh"), layers.Dense(5))
    model.layers[0].enable_lora(2)
    return case(compiled(model), FEATURES)


def adapted():
    normalize = layers.Normalization()
    normalize.adapt(FEATURES)
    return case(compiled(stack(normalize, layers.Dense(4))), FEATURES, validation_split=0.2)


def stateful_recurrent():
    """The state goes on from batch to batch."""
    body = [layers.LSTM(3, stateful=True), layers.Dense(3, "softmax")]
    model = keras.Sequential([keras.Input(batch_shape=(8, 6, 3)), *body])
    return case(compiled(model), SEQUENCES, batch_size=8)


def connectionist():
    """The CTC loss: sequences of classes against shorter ones of labels."""
    inputs = keras.Input((6, 3))
    model = keras.Model(inputs, layers.Dense(4)(inputs))
    y = np.random.default_rng(2).integers(1, 4, (EXAMPLES, 2))
    return case(compiled(model, "ctc", keras.optimizers.SGD(0.05), metrics=None), SEQUENCES, y)


def in_policy(name, tolerance, *body, x=FEATURES, **settings):
    with dtype_policy(name):
        model = stack(*[make() for make in body], shape=x.shape[1:])
    # Not the accuracy: in few bits, which XLA keeps longer, an example or two may change sides.
    return case(compiled(model, metrics=["sparse_categorical_crossentropy"], **settings), x, tolerance=tolerance)


def in_float64():
    model = keras.Sequential(
        [keras.Input((6,)), layers.Dense(5, "tanh", dtype="float64"), layers.Dense(3, "softmax", dtype="float64")]
    )
    return case(compiled(model), FEATURES)


def integer_pixels():
    return case(compiled(stack(layers.Rescaling(1 / 8), layers.Dense(4), shape=(4, 4, 1))), PIXELS)


def integer_pixels_for_convolution():
    return case(compiled(stack(layers.Conv2D(2, 2), shape=(4, 4, 1)), optimizer=keras.optimizers.Adam(0.01)), PIXELS)


def pixels_of_a_declared_dtype():
    model = stack(layers.Rescaling(1 / 8), layers.Dense(4), shape=(4, 4, 1), dtype="uint8")
    return case(compiled(model), PIXELS, validation_split=0.2)


def one_output(y, **settings):
    loss, metrics = "binary_crossentropy", ("accuracy", keras.metrics.AUC(20, name="auc"))
    return case(compiled(stack(outputs=1, last="sigmoid"), loss, metrics=metrics), FEATURES, y, **settings)


def strings():
    inputs = keras.Input((1,), dtype="string")
    encode = layers.StringLookup(vocabulary=["dark", "grey"], output_mode="one_hot")
    model = keras.Model(inputs, layers.Dense(3, "softmax")(layers.Flatten()(encode(inputs))))
    return case(compiled(model), ops.convert_to_tensor(np.array(["dark", "grey", "bright"])[LABELS][:, None]))


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, i):
        part = slice(i * 16, (i + 1) * 16)
        return FEATURES[part], LABELS[part], WEIGHTS[part]


def generated():
    while True:
        yield from (batch[:2] for batch in map(Batches().__getitem__, range(3)))


def tf_dataset():
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((FEATURES, LABELS)).batch(16)


def pandas_frame():
    import pandas

    frame = pandas.DataFrame(FEATURES, columns=list("abcdef"))
    return case(small_net(), frame, pandas.Series(LABELS), validation_split=0.2)


def fed(x, **settings):
    """Data that bring their own targets and batches."""
    return case(small_net(), x, None, batch_size=None, **settings)


SINGLE = {
    "skip connection": skip_connection,
    "merging layers": merging_layers,
    "shared layer": shared_layer,
    "operations": operations,
    "Attention": lambda: attention("Attention"),
    "AdditiveAttention": lambda: attention("AdditiveAttention"),
    "MultiHeadAttention": lambda: attention("MultiHeadAttention"),
    "transformer": transformer,
    "a class for each step": a_class_for_each_step,
    "segmentation": segmentation,
    "two inputs, a list": lambda: two_inputs(list),
    "two inputs, a dict": lambda: two_inputs(dict),
    "two outputs, a list": lambda: two_outputs(False),
    "two outputs, a dict": lambda: two_outputs(True, validation_split=0.2),
    "two outputs, weighted": lambda: two_outputs(True, sample_weight={"kind": WEIGHTS, "size": WEIGHTS[::-1].copy()}),
    "an output without a loss": an_output_without_a_loss,
    "loss_weights of one output": loss_weight_of_one_output,
    "model in model": model_in_model,
    "subclassed": lambda: subclassed(Subclassed),
    "subclassed without training": lambda: subclassed(WithoutTraining),
    "subclassed, unbuilt": lambda: unbuilt(Subclassed()),
    "sequential, unbuilt": lambda: unbuilt(keras.Sequential([layers.Dense(4, "relu"), layers.Dense(3, "softmax")])),
    "add_loss": added_loss,
    "tracked metric": tracked_metric,
    "kept state": kept_state,
    "autoencoder": autoencoder,
    "variational autoencoder": variational_autoencoder,
    "compute_loss": lambda: subclassed(OwnLoss),
    "compute_metrics": lambda: subclassed(OwnMetrics),
    "train_step with extra values": lambda: subclassed(ExtraValues),
    "train_step with one value": lambda: subclassed(OneValue),
    "train_step by hand": lambda: hand_written(HandWritten, validation_split=0.2),
    "train_step with two optimizers": lambda: hand_written(Adversarial),
    "train_step by hand for JAX": lambda: hand_written(HandWrittenForJax),
    "partly frozen": partly_frozen,
    "low rank adaptation": low_rank,
    "adapted Normalization": adapted,
    "stateful LSTM": stateful_recurrent,
    "CTC": connectionist,
    "mixed_bfloat16": lambda: in_policy("mixed_bfloat16", 0.01, lambda: layers.Dense(5, "tanh")),
    "mixed_bfloat16, Conv2D": lambda: in_policy("mixed_bfloat16", 0.01, lambda: layers.Conv2D(3, 2), x=IMAGES),
    "mixed_float16": lambda: in_policy("mixed_float16", 0.002, lambda: layers.Dense(5, "tanh")),
    "bfloat16": lambda: in_policy("bfloat16", 0.01, lambda: layers.Dense(5, "tanh")),
    "float64": in_float64,
    "uint8 images": integer_pixels,
    "uint8 images, Conv2D": integer_pixels_for_convolution,
    "uint8 images, declared": pixels_of_a_declared_dtype,
    "targets of one output": lambda: one_output(LABELS > 0),
    "targets in a column": lambda: one_output((LABELS > 0).astype("float32")[:, None], validation_split=0.2),
    "targets of one output, class_weight": lambda: one_output((LABELS > 0) * 1, class_weight={0: 2.0, 1: 0.5}),
    "classes in a column": lambda: case(small_net(), FEATURES, LABELS[:, None]),
    "classes as floats": lambda: case(small_net(), FEATURES, LABELS.astype("float32")),
    "classes as uint8": lambda: case(small_net(), FEATURES, LABELS.astype("uint8")),
    "one-hot with class_weight": lambda: case(
        small_net(loss="categorical_crossentropy"), FEATURES, ONE_HOT, class_weight={0: 0.5, 1: 1.0, 2: 3.0}
    ),
    "one-hot with sample_weight": lambda: case(
        small_net(loss="categorical_crossentropy", weighted_metrics=["accuracy", keras.metrics.F1Score()]),
        FEATURES, ONE_HOT, sample_weight=WEIGHTS,
    ),
    "float64 data": lambda: case(small_net(), FEATURES.astype("float64"), LABELS),
    "int32 data": lambda: case(small_net(), (FEATURES * 4).astype("int32"), LABELS),
    "strings": strings,
    "tensors": lambda: case(small_net(), ops.convert_to_tensor(FEATURES), ops.convert_to_tensor(LABELS)),
    "pandas": pandas_frame,
    "PyDataset": lambda: fed(Batches(), validation_data=Batches()),
    "generator": lambda: fed(generated(), steps_per_epoch=3),
    "tf.data": lambda: fed(tf_dataset(), validation_data=tf_dataset()),
    "arrays, validated on tf.data": lambda: case(small_net(), FEATURES, validation_data=tf_dataset()),
    "several optimizers": several_optimizers,
    "trained before": trained_before,
    "run_eagerly": lambda: case(small_net(run_eagerly=True), FEATURES, validation_split=0.2),
    "jit_compile": lambda: case(dense_net(jit_compile=True), FEATURES, validation_split=0.2),
    "no jit_compile": lambda: case(dense_net(jit_compile=False), FEATURES, validation_split=0.2),
    "steps_per_execution": lambda: case(dense_net(steps_per_execution=2), FEATURES, validation_split=0.2),
    "no metrics": lambda: case(small_net(metrics=None), FEATURES, validation_split=0.2),
}  # fmt: skip

GROUPS = {
    "layer": {name: partial(layer_case, body, FEATURES) for name, body in FEATURE_LAYERS.items()}
    | {name: partial(layer_case, body, IMAGES) for name, body in IMAGE_LAYERS.items()}
    | {name: partial(layer_case, body, VOLUMES) for name, body in VOLUME_LAYERS.items()}
    | {name: partial(layer_case, body, SEQUENCES) for name, body in SEQUENCE_LAYERS.items()}
    | {name: partial(layer_case, body, TOKENS) for name, body in TOKEN_LAYERS.items()}
    | {name: partial(layer_case, body, x, True) for name, (x, body) in EVALUATED_LAYERS.items()},
    "loss": {name: partial(loss_case, *entry) for name, entry in LOSSES.items()},
    "optimizer": {name: partial(optimizer_case, entry) for name, entry in OPTIMIZERS.items()},
    "metric": {name: partial(metric_case, *entry) for name, entry in METRICS.items()},
    "argument": {name: partial(argument_case, entry) for name, entry in ARGUMENTS.items()},
    "model": SINGLE,
}
CASES = {f"{group}, {name}": build for group, cases in GROUPS.items() for name, build in cases.items()}

# Cases that stand for their kind; the others are left to `make test-all`.
QUICK = {
    "layer, Dense", "layer, Conv2D", "layer, LSTM", "model, skip connection", "model, subclassed",
    "metric, F1Score, a vector", "metric, a dict", "argument, sample_weight", "argument, class_weight",
    "model, train_step with extra values", "model, mixed_bfloat16", "loss, custom function",
}  # fmt: skip

NEEDS_TENSORFLOW = {
    "layer, Hashing": "hashing needs TensorFlow",
    "layer, IntegerLookup": "lookups need TensorFlow",
    "layer, RandomTranslation": "Keras on JAX does not compile it",
    "model, strings": "JAX has no strings",
    "model, tracked metric": "Keras on JAX keeps no metric from within a layer",
    "model, train_step by hand": "tf.GradientTape",
    "model, train_step with two optimizers": "tf.GradientTape",
    "model, float64": "JAX computes in float32",
    "model, tf.data": "data of TensorFlow",
    "model, arrays, validated on tf.data": "data of TensorFlow",
}
NOT_IN_THE_LOWEST = {  # Keras 3.12
    "layer, Discretization": "its one-hot output has another shape than it says",
    "layer, AdaptiveMaxPooling2D": "it has none",
    "optimizer, Muon": "it asks TensorFlow's variables for a path",
    "model, several optimizers": "it has no OptimizerMap",
}
LEFT_TO_KERAS = {
    "argument, steps_per_epoch", "argument, validation_steps", "argument, a callback at batches",
    "model, two inputs, a list", "model, two inputs, a dict", "model, two outputs, a list",
    "model, two outputs, a dict", "model, two outputs, weighted", "model, an output without a loss",
    "model, stateful LSTM", "model, strings", "model, PyDataset", "model, generator", "model, tf.data",
    "model, arrays, validated on tf.data", "model, run_eagerly", "model, no jit_compile",
}  # fmt: skip
UNDER_XLA = [
    "layer, Dense", "layer, BatchNormalization", "layer, LayerNormalization", "layer, Dropout in a dense net",
    "loss, sparse_categorical_crossentropy", "loss, dice", "loss, custom function", "optimizer, Adam",
    "optimizer, gradient_accumulation_steps", "optimizer, CosineDecay", "metric, F1Score, a vector", "metric, AUC",
    "metric, a dict", "argument, class_weight", "argument, sample_weight", "argument, validation_batch_size",
    "argument, a batch larger than the data", "argument, validation_freq", "model, uint8 images",
    "model, one-hot with sample_weight",  # not bfloat16, where another compiler's round-off moves the accuracy
]  # fmt: skip
NEEDS_JAX = {"model, train_step by hand for JAX": "jax.value_and_grad"}


class Watch(keras.callbacks.Callback):
    """Notes each call at epochs, with the keys of its logs."""

    def on_train_begin(self, logs=None):
        self.calls = [("train begin", None, list(logs or ()))]

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(("epoch begin", epoch, list(logs or ())))

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append(("epoch end", epoch, list(logs)))

    def on_test_begin(self, logs=None):
        self.calls.append(("test begin", None, list(logs or ())))

    def on_test_end(self, logs=None):
        self.calls.append(("test end", None, list(logs)))

    def on_train_end(self, logs=None):
        self.calls.append(("train end", None, list(logs)))


class Outcome(NamedTuple):
    history: dict
    epochs: list
    params: dict
    calls: list
    weights: list
    steps: int  # that the optimizer has made


def build_two(name):
    """Two builds of a case, alike in names, seeds and weights."""
    for needing, other in ((NEEDS_TENSORFLOW, "tensorflow"), (NEEDS_JAX, "jax")):
        if name in needing and BACKEND != other:
            pytest.skip(needing[name])
    if name in NOT_IN_THE_LOWEST and keras.version().startswith("3.12."):
        pytest.skip(NOT_IN_THE_LOWEST[name])
    cases = []
    for _ in range(2):
        keras.backend.clear_session(free_memory=False)  # or the names of metrics and layers go on counting
        keras.utils.set_random_seed(0)  # for the weights of models that are built within fit
        cases.append(CASES[name]())
    if cases[0].model.built:
        cases[1].model.set_weights(cases[0].model.get_weights())
    return cases


def weights_of(model):
    return [np.asarray(weight, "float64") for weight in model.get_weights()]


def outcome(train, case, **changes):
    settings = case.settings | changes
    watch = Watch()
    history = train(case.model, case.x, case.y, **settings | {"callbacks": [*settings.get("callbacks", []), watch]})
    steps = int(case.model.optimizer.iterations)
    return Outcome(history.history, history.epoch, history.params, watch.calls, weights_of(case.model), steps)


def assert_equal(got, expected, tolerance=1e-4, numbers=True):
    assert list(got.history) == list(expected.history)
    for part in ("epochs", "params", "calls", "steps"):
        assert getattr(got, part) == getattr(expected, part), part
    for name, values in expected.history.items():
        ours = got.history[name]
        assert [np.shape(value) for value in ours] == [np.shape(value) for value in values], name
        assert [isinstance(value, float) for value in ours] == [isinstance(value, float) for value in values], name
        if numbers:
            np.testing.assert_allclose(ours, values, atol=tolerance, rtol=tolerance, err_msg=name)
    assert [weight.shape for weight in got.weights] == [weight.shape for weight in expected.weights]
    for i, (ours, theirs) in enumerate(zip(got.weights, expected.weights)):
        if numbers:
            np.testing.assert_allclose(ours, theirs, atol=tolerance, rtol=tolerance, err_msg=f"weight {i}")


def assert_trained(before, expected, tolerance):
    """Two fits that do nothing are equal too, and so are two that end in NaN."""
    assert all(np.isfinite(values).all() for values in expected.history.values())
    if before:
        assert max(np.abs(a - b).max() for a, b in zip(before, expected.weights)) > 10 * tolerance


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in QUICK else pytest.mark.weekly) for n in CASES])
def test_equals_model_fit(name):
    ours, theirs = build_two(name)
    before = weights_of(theirs.model)
    expected = outcome(keras.Model.fit, theirs)
    got = outcome(fit, ours)
    assert_equal(got, expected, ours.tolerance)
    assert_trained(before, expected, ours.tolerance)
    if BACKEND in ("tensorflow", "jax") and name not in LEFT_TO_KERAS:
        assert ours.model.history.engine.startswith("compiled")  # or Keras would be compared with itself


@pytest.mark.weekly
@pytest.mark.skipif(BACKEND != "tensorflow", reason="on JAX all is under XLA")
@pytest.mark.parametrize("name", UNDER_XLA)
def test_equals_model_fit_under_xla(name, monkeypatch):
    """Dense nets for which, on TensorFlow, the kit would choose XLA if there were more examples."""
    monkeypatch.setattr(compiled_epoch, "XLA_PAYS_FROM", 0)
    ours, theirs = build_two(name)
    expected = outcome(keras.Model.fit, theirs)
    got = outcome(fit, ours)
    assert " with XLA" in ours.model.history.engine
    # Under XLA on a CPU the kit's dropout has another generator than TensorFlow's.
    assert_equal(got, expected, ours.tolerance, numbers="Dropout" not in name)


@pytest.mark.weekly
def test_a_second_fit_equals_too():
    ours, theirs = build_two("layer, BatchNormalization")
    for epochs in (1, 2):
        expected = outcome(keras.Model.fit, theirs, epochs=epochs)
        assert_equal(outcome(fit, ours, epochs=epochs), expected)


@pytest.mark.parametrize(
    "name, changes",
    [
        pytest.param("argument, sample_weight", {"sample_weight": None}, marks=pytest.mark.weekly),
        pytest.param("argument, class_weight", {"class_weight": {0: 0.5, 1: 1.0, 2: 2.9}}, marks=pytest.mark.weekly),
        pytest.param("layer, Dense", {"batch_size": 20}, marks=pytest.mark.weekly),  # two batches as well
        pytest.param("layer, Dense", {"shuffle": True}, marks=pytest.mark.weekly),
        ("layer, Dense", {}),  # but another learning rate
    ],
)
def test_the_comparison_sees_another_training(name, changes):
    ours, theirs = build_two(name)
    if not changes:
        theirs.model.optimizer.learning_rate = 0.101
    expected = outcome(keras.Model.fit, theirs, **changes)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_equal(outcome(fit, ours), expected)


def test_the_comparison_sees_each_part():
    """An outcome that was tampered with does not pass for itself."""
    true = outcome(fit, build_two("layer, Dense")[0])
    history, calls = true.history, true.calls
    tampered = {
        "another order": {"history": dict(reversed(history.items()))},
        "a key less": {"history": {name: values for name, values in history.items() if name != "val_loss"}},
        "an epoch less": {"history": {name: values[:1] for name, values in history.items()}},
        "another value": {"history": history | {"loss": [history["loss"][0], history["loss"][1] + 1e-3]}},
        "arrays for floats": {"history": history | {"loss": np.float32(history["loss"])}},
        "another number of epochs": {"epochs": [1, 2]},
        "other params": {"params": true.params | {"steps": 9}},
        "a call less": {"calls": calls[:2] + calls[3:]},
        "no keys in the logs": {"calls": [(*call[:2], []) for call in calls]},
        "another weight": {"weights": [*true.weights[:-1], true.weights[-1] + 1e-3]},
        "a weight less": {"weights": true.weights[:-1]},
        "a step more": {"steps": true.steps + 1},
    }
    assert_equal(true, true)
    for change in tampered.values():
        with pytest.raises(AssertionError):
            assert_equal(true._replace(**change), true)
