"""An epoch of the hand-written MLP beside one of scikit-learn's MLPClassifier: same layers, batch, solver and images.

    python benchmarks/numpy_mlp.py [--images 20000] [--repeats 7]

784-128-64-10, ReLU, batch 32, plain SGD (no momentum, no penalty), float32 pixels drawn at random: what the pixels are
does not change the time. The two take turns, so that whatever else the machine does falls on both.
"""

import argparse
import statistics
import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from kit.models.numpy_mlp import NumpyMLP

EPOCHS = 2


def seconds_per_epoch(model, x, y):
    start = time.perf_counter()
    model.fit(x, y)
    return (time.perf_counter() - start) / EPOCHS


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()

    rng = np.random.default_rng(0)
    x = rng.random((arguments.images, 784), dtype=np.float32)
    y = rng.integers(0, 10, arguments.images)
    models = {
        "NumpyMLP": NumpyMLP((128, 64), learning_rate=0.002, batch_size=32, epochs=EPOCHS, random_state=0),
        "MLPClassifier": MLPClassifier(
            (128, 64),
            solver="sgd",
            learning_rate_init=0.002,
            batch_size=32,
            alpha=0.0,
            momentum=0.0,
            nesterovs_momentum=False,
            max_iter=EPOCHS,
            random_state=0,
        ),
    }
    # Two epochs are not meant to converge.
    warnings.simplefilter("ignore", ConvergenceWarning)
    seconds = {name: [] for name in models}
    for _ in range(arguments.repeats):
        for name, model in models.items():
            seconds[name].append(seconds_per_epoch(model, x, y))

    median = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"784-128-64-10, batch 32, {arguments.images:,} images, median of {arguments.repeats}\n")
    print(f"{'':14} {'s/epoch':>8} {'least':>8} {'most':>8}")
    for name, values in seconds.items():
        print(f"{name:14} {median[name]:8.3f} {min(values):8.3f} {max(values):8.3f}")
    ratio = median["NumpyMLP"] / median["MLPClassifier"]
    print(f"\nNumpyMLP takes {ratio:.2f} times as long as MLPClassifier (at most 1.5 is asked).")


if __name__ == "__main__":
    main()
