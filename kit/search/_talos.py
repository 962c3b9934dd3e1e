"""Talos over a plain space, trained through `fit`."""

import keras
import numpy as np

from .space import load, quiet
from .trials import Trials


def talos(
    build,
    data,
    space,
    *,
    trials=None,
    optimizer=keras.optimizers.Adam,
    loss="sparse_categorical_crossentropy",
    batch_size=32,
    epochs=100,
    patience=10,
    validation_split=0.1,
    seed=0,
    folder=None,
):
    """Search with `talos.Scan`: all combinations of the space, or a part of them, in random order.

    Each finished trial is recorded at once, so a search that is run again in the same folder, also after a kill, trains
    only what is missing. A trial that diverges or fails becomes a row with that status, and the search goes on.

    Args:
        build: (input_shape, classes, **parameters) -> keras.Model; an uncompiled one is compiled here.
        data: Dataset; trials are judged on its validation split, else on the last `validation_split` of the training
            images. The test split is not touched.
        space: a dict of lists, such as {"units": [64, 128], "kernel_size": [(3, 3), (5, 5)]}. `batch_size` goes to
            `fit`; `patience` replaces the one below; `learning_rate` goes to the optimizer, unless `build` names it;
            all others to `build`.
        trials: number of combinations, drawn at random by `seed`; None runs them all. The quick profile runs two.
        optimizer: called with the learning rate, or with nothing where the space has none.
        loss: of an uncompiled model.
        batch_size: where the space has none.
        epochs: at most; the quick profile cuts them.
        patience: epochs without a lower val_loss before a trial stops; None runs all epochs.
        validation_split: share in (0, 1), used where the data has no validation split.
        seed: of the drawn combinations, and of the weights and batches of every trial.
        folder: for the records and Talos's own files; None is `search` in $KIT_RUNS, else in `runs`.

    Returns:
        SearchResult; its `library` is the Scan. No model is kept: build the best again and fit it. TensorFlow and JAX
        keep what they have compiled, which is why memory grows by some MB a trial, as it does in a loop of
        `model.fit`; a search that is stopped and run again starts afresh and takes the finished trials as done.

    Raises:
        ValueError: a space or a setting that cannot be searched, in one line, before anything is trained.
        ImportError: Talos is not installed.
    """
    search = Trials(
        build, data, space, trials=trials, optimizer=optimizer, loss=loss, batch_size=batch_size, epochs=epochs,
        patience=patience, validation_split=validation_split, seed=seed, folder=folder,
    )  # fmt: skip
    library = load("talos")

    def model(x_train, y_train, x_val, y_val, parameters):
        return search.run(dict(parameters))["history"], None

    # Talos hashes what it is given several times a trial; the fingerprint stands for the images.
    stand_in = np.frombuffer(bytes.fromhex(search.fingerprint), "uint8")
    with quiet(r"talos\b"):
        scan = library.Scan(
            stand_in, stand_in, space, model, str(search.folder / "talos"), x_val=stand_in, y_val=stand_in,
            seed=search.seed, round_limit=search.count, reduction_metric="val_accuracy", save_weights=False,
            clear_session=False, disable_progress_bar=True,
        )  # fmt: skip
    if scan.status == "paused":  # Talos takes the interrupt for a wish to pause
        raise KeyboardInterrupt
    return search.result(scan)
