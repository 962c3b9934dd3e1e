"""A multilayer perceptron written by hand: forward, back-propagation and mini-batch SGD in NumPy.

Three of the course's reports (Fashion-MNIST compared, MNIST, OrganAMNIST) train such a net before they turn to Keras.
The functions `initial_weights`, `forward`, `loss` and `backward` are the mathematics; the class `NumpyMLP` is the
training loop, behind scikit-learn's conventions, so that `cross_val_score` and `GridSearchCV` run on it.
"""

from itertools import pairwise
from math import ceil, inf, isfinite, sqrt
from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import train_test_split
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

# Each activation's output a = f(z), and its slope f'(z), written with a because the backward pass has that at hand.
ACTIVATIONS = {
    "relu": (lambda z: np.maximum(z, 0), lambda a: a > 0),
    "leaky_relu": (lambda z: np.maximum(z, 0.1 * z), lambda a: np.where(a > 0, 1, 0.1).astype(a.dtype)),
    "tanh": (np.tanh, lambda a: 1 - a * a),
}
# The bound of a uniform draw, from a layer's inputs and outputs, as Keras has it.
INITIALIZERS = {
    "glorot_uniform": lambda inputs, outputs: sqrt(6 / (inputs + outputs)),
    "he_uniform": lambda inputs, outputs: sqrt(6 / inputs),
}


def initial_weights(sizes, initializer, rng):
    """Kernels (inputs, outputs) drawn from `rng` and zero biases (outputs,), float32, for layers of these sizes."""
    coefs, intercepts = [], []
    for inputs, outputs in pairwise(sizes):
        bound = INITIALIZERS[initializer](inputs, outputs)
        coefs.append(rng.uniform(-bound, bound, (inputs, outputs)).astype(np.float32))
        intercepts.append(np.zeros(outputs, np.float32))
    return coefs, intercepts


def forward(x, coefs, intercepts, *, activation="relu", dropout=0.0, rng=None):
    """Run a batch x (n, features) through the net, in the precision of x and the weights.

    Returns `layers`, the output of every layer: [x, hidden layers ..., log-probabilities (n, classes)], and `slopes`,
    for each hidden layer the derivative of its output by its weighted sum. With dropout > 0 each hidden output is zero
    with that probability, drawn from the Generator `rng`, and those kept are divided by 1 - dropout, so that what the
    next layer expects to receive does not change and nothing need be done when predicting (inverted dropout).
    """
    value, slope = ACTIVATIONS[activation]
    layers, slopes = [x], []
    for coef, intercept in zip(coefs[:-1], intercepts[:-1], strict=True):
        a = value(layers[-1] @ coef + intercept)
        da = slope(a)
        if dropout:
            kept = np.where(rng.random(a.shape, np.float32) < dropout, 0, 1 / (1 - dropout)).astype(a.dtype)
            a, da = a * kept, da * kept
        layers.append(a)
        slopes.append(da)
    z = layers[-1] @ coefs[-1] + intercepts[-1]
    z -= z.max(axis=1, keepdims=True)  # Softmax is the same after a shift, and exp can no longer overflow.
    layers.append(z - np.log(np.exp(z).sum(axis=1, keepdims=True)))
    return layers, slopes


def loss(log_probabilities, y, coefs, *, l1=0.0, l2=0.0):
    """Mean cross-entropy of class numbers y (n,), in nats, plus Keras' l1 * sum |w| + l2 * sum w^2 over the kernels."""
    entropy = -float(log_probabilities[np.arange(len(y)), y].mean())
    if l1 or l2:
        entropy += sum(l1 * float(np.abs(w).sum()) + l2 * float(np.vdot(w, w)) for w in coefs)
    return entropy


def backward(layers, slopes, y, coefs, *, l1=0.0, l2=0.0):
    """The gradients of `loss` by the kernels and by the biases, two lists, from what `forward` returned for the batch.

    `delta` is the derivative of the loss by a layer's weighted sums. At the softmax it is (p - one-hot y) / n; a layer
    further down receives it through the transposed kernel and multiplies it with its own slope: the chain rule.
    """
    delta = np.exp(layers[-1])
    delta[np.arange(len(y)), y] -= 1
    delta /= len(y)
    coef_gradients, intercept_gradients = [], []
    for i in reversed(range(len(coefs))):
        gradient = layers[i].T @ delta
        if l1 or l2:
            gradient += l1 * np.sign(coefs[i]) + 2 * l2 * coefs[i]
        coef_gradients.insert(0, gradient)
        intercept_gradients.insert(0, delta.sum(axis=0))
        if i > 0:
            delta = (delta @ coefs[i].T) * slopes[i - 1]
    return coef_gradients, intercept_gradients


class NumpyMLP(ClassifierMixin, BaseEstimator):
    """A classifier of dense hidden layers with a softmax output, trained by mini-batch SGD on cross-entropy.

    Args:
        hidden: units of each hidden layer; () gives softmax regression.
        activation: of the hidden layers: relu, leaky_relu (slope 0.1) or tanh.
        initializer: of the kernels: glorot_uniform or he_uniform; biases begin at zero.
        learning_rate: of plain SGD, above 0.
        batch_size: images an update.
        epochs: passes over the images.
        max_iterations: when given, the number of updates to make in place of `epochs`; the last epoch may be a part.
        dropout: share of the hidden outputs dropped while training, in [0, 1).
        l1, l2: penalties on the kernels, added to the loss as `loss` says.
        validation_fraction: share of the images, stratified by class, that `fit` holds out to validate on.
        patience: stop after so many epochs without a better validation accuracy, and keep the best weights.
        random_state: an integer repeats weights, order and dropout; None draws new ones.

    After `fit`: `coefs_` [(inputs, units), ...], `intercepts_` [(units,), ...], `classes_`, `n_features_in_`,
    `iterations_` (the updates made) and `history_`, a list by epoch of loss and accuracy, averaged over the epoch's
    batches as Keras does, and of val_loss and val_accuracy when there is validation. All in float32.
    """

    def __init__(
        self,
        hidden=(128,),
        activation="relu",
        initializer="glorot_uniform",
        learning_rate=0.002,
        batch_size=32,
        epochs=10,
        max_iterations=None,
        dropout=0.0,
        l1=0.0,
        l2=0.0,
        validation_fraction=0.0,
        patience=None,
        random_state=None,
    ):
        self.hidden = hidden
        self.activation = activation
        self.initializer = initializer
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.max_iterations = max_iterations
        self.dropout = dropout
        self.l1 = l1
        self.l2 = l2
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        # Its checks ask for 83% on 300 points, in which the defaults make a hundred updates: they are for images.
        tags.classifier_tags.poor_score = True
        return tags

    def fit(self, X, y, validation_data=None):
        """Train on images X (n, ...) of any shape, flattened and not rescaled, with labels y (n,); returns self.

        Args:
            validation_data: (X, y) to validate on, in place of `validation_fraction`.

        Raises:
            ValueError: options out of range, NaN or infinity in X, labels that are not classes or do not match X in
                number, and a loss that goes to NaN before there are best weights to return to.
        """
        self._check_options()
        X, y = self._check_data(X, y, reset=True)
        self.classes_, y = np.unique(y, return_inverse=True)
        rng = np.random.default_rng(self.random_state)
        validation = None
        if validation_data is not None:
            X_val, y_val = self._check_data(*validation_data)
            unseen = np.setdiff1d(y_val, self.classes_).tolist()
            if unseen:
                raise ValueError(
                    f"validation labels {unseen}: some of {self.classes_.tolist()}, the training labels, would be right"
                )
            validation = X_val, np.searchsorted(self.classes_, y_val)
        elif self.validation_fraction:
            X, X_val, y, y_val = train_test_split(
                X, y, test_size=self.validation_fraction, stratify=y, random_state=int(rng.integers(2**31))
            )
            validation = X_val, y_val
        elif self.patience is not None:
            raise ValueError(
                f"patience={self.patience} needs validation: a validation_fraction such as 0.1, or "
                "validation_data, would be right"
            )
        sizes = (X.shape[1], *self.hidden, len(self.classes_))
        self.coefs_, self.intercepts_ = initial_weights(sizes, self.initializer, rng)
        # A loss that overflows ends the training, which says so better than NumPy's warnings.
        with np.errstate(over="ignore", invalid="ignore"):
            self._train(X, y, validation, rng)
        return self

    def _train(self, X, y, validation, rng):
        self.history_, self.iterations_ = {}, 0
        iterations = self.max_iterations or self.epochs * ceil(len(X) / self.batch_size)
        best_accuracy, best_weights, waited = -inf, None, 0
        while self.iterations_ < iterations and (self.patience is None or waited < self.patience):
            epoch = self._train_epoch(X, y, iterations - self.iterations_, rng)
            if validation:
                log_p = self._log_probabilities(validation[0])
                epoch["val_loss"] = loss(log_p, validation[1], self.coefs_, l1=self.l1, l2=self.l2)
                epoch["val_accuracy"] = float((log_p.argmax(axis=1) == validation[1]).mean())
            for name, value in epoch.items():
                self.history_.setdefault(name, []).append(value)
            if not all(map(isfinite, epoch.values())):
                if best_weights:
                    break
                raise ValueError(
                    f"epoch {len(self.history_['loss'])} gave {epoch} with learning_rate="
                    f"{self.learning_rate}: a smaller one, or images scaled to [0, 1], would be right"
                )
            if self.patience is not None:
                waited += 1
                if epoch["val_accuracy"] > best_accuracy:
                    best_accuracy, waited = epoch["val_accuracy"], 0
                    best_weights = [w.copy() for w in self.coefs_], [b.copy() for b in self.intercepts_]
        if best_weights:
            self.coefs_, self.intercepts_ = best_weights

    def _train_epoch(self, X, y, most, rng):
        """One pass over the images in a new order, of at most `most` updates; its mean loss and accuracy."""
        order = rng.permutation(len(X))
        seen, summed_loss, correct = 0, 0.0, 0
        for start in range(0, len(X), self.batch_size)[:most]:
            batch = order[start : start + self.batch_size]
            layers, slopes = forward(
                X[batch], self.coefs_, self.intercepts_, activation=self.activation, dropout=self.dropout, rng=rng
            )
            summed_loss += loss(layers[-1], y[batch], self.coefs_, l1=self.l1, l2=self.l2) * len(batch)
            correct += int((layers[-1].argmax(axis=1) == y[batch]).sum())
            seen += len(batch)
            of_coefs, of_intercepts = backward(layers, slopes, y[batch], self.coefs_, l1=self.l1, l2=self.l2)
            for weight, gradient in zip(self.coefs_ + self.intercepts_, of_coefs + of_intercepts, strict=True):
                gradient *= self.learning_rate
                weight -= gradient
            self.iterations_ += 1
        return {"loss": summed_loss / seen, "accuracy": correct / seen}

    def _log_probabilities(self, X):
        return forward(X, self.coefs_, self.intercepts_, activation=self.activation)[0][-1]

    def predict_proba(self, X):
        """Probabilities (n, classes), in the order of `classes_`, for images X (n, ...)."""
        check_is_fitted(self)
        return np.exp(self._log_probabilities(self._check_data(X)))

    def predict(self, X):
        """The likeliest class (n,) of each image of X (n, ...)."""
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]

    def _check_data(self, X, *y, reset=False):
        if getattr(X, "ndim", 2) > 2:
            X = X.reshape(len(X), -1)
        checked = validate_data(self, X, *y, reset=reset, dtype=np.float32, ensure_all_finite=False)
        X = checked[0] if y else checked
        strange = len(X) - np.isfinite(X).all(axis=1).sum()
        if strange:
            raise ValueError(f"X has NaN or infinity in {strange} of {len(X)} rows: finite numbers would be right")
        if y:
            check_classification_targets(checked[1])
        return checked

    def _check_options(self):
        count = "a whole number, 1 or more", lambda v: isinstance(v, Integral) and v >= 1
        share = "a number from 0 to below 1", lambda v: 0 <= v < 1
        penalty = "a number, 0 or more", lambda v: 0 <= v < inf
        rules = {
            "hidden": ("a tuple of units such as (128,)", lambda v: all(isinstance(u, Integral) and u >= 1 for u in v)),
            "activation": (f"one of {', '.join(ACTIVATIONS)}", ACTIVATIONS.__contains__),
            "initializer": (f"one of {', '.join(INITIALIZERS)}", INITIALIZERS.__contains__),
            "learning_rate": ("a number above 0", lambda v: 0 < v < inf),
            "batch_size": count,
            "epochs": count,
            "dropout": share,
            "l1": penalty,
            "l2": penalty,
            "validation_fraction": share,
        }
        rules |= {name: count for name in ("max_iterations", "patience") if getattr(self, name) is not None}
        for name, (right, fits) in rules.items():
            value = getattr(self, name)
            try:
                good = fits(value)
            except TypeError:  # Text or None where a number should be, a number where a tuple should be.
                good = False
            if not good:
                raise ValueError(f"{name}={value!r}: {right} would be right")
