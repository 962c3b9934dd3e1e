"""Talos over a plain space, trained through `fit`."""

import numpy as np

from .settings import load, quiet, with_settings
from .trials import Trials


@with_settings
def talos(build, data, space, **settings):
    """Search with `talos.Scan`: all combinations of the space, or a part of them drawn at random, in random order.

    Each finished trial is recorded at once, so a search that is run again in the same folder, also after a kill, trains
    only what is missing. A trial that diverges or fails becomes a row with that status, and the search goes on.

    Args:
        build: (input_shape, classes, **parameters) -> keras.Model; an uncompiled one is compiled here.
        data: Dataset; trials are judged on its validation split, else on the last `validation_split` of the training
            images. The test split is not touched.
        space: a dict of lists, such as {"units": [64, 128], "kernel_size": [(3, 3), (5, 5)]}. `batch_size` goes to
            `fit`; `patience` replaces that of the settings; `learning_rate` goes to the optimizer, unless `build` names
            it; all others to `build`.
        **settings: the fields of `kit.search.Settings`, which says what they are.

    Returns:
        SearchResult; its `library` is the Scan. No model is kept: build the best again and fit it. Trials of one net
        share what is compiled. Of different nets TensorFlow and JAX keep it, which is why memory grows by some MB a
        trial, as it does in a loop of `model.fit`; a search that is stopped and run again starts afresh and takes the
        finished trials as done.

    Raises:
        ValueError: a space, an objective or a setting that cannot be searched, in one line, before any training.
        ImportError: Talos is not installed.
    """
    library, search = load("talos"), Trials(build, data, space, settings)

    def model(x_train, y_train, x_val, y_val, parameters):
        return search.run(dict(parameters))["history"], None

    # Talos hashes what it is given several times a trial; the fingerprint stands for the images.
    stand_in = np.frombuffer(bytes.fromhex(search.fingerprint), "uint8")
    with quiet(r"talos\b"):
        scan = library.Scan(
            stand_in, stand_in, space, model, str(search.folder / "talos"), x_val=stand_in, y_val=stand_in,
            seed=search.seed, round_limit=search.count, reduction_metric=search.objective, save_weights=False,
            clear_session=False, disable_progress_bar=True,
        )  # fmt: skip
    if scan.status == "paused":  # Talos takes the interrupt for a wish to pause
        raise KeyboardInterrupt
    return search.result(scan)
