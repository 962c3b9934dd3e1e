"""A trained net in a file that knows the names of its classes."""

import json
import tempfile
import zipfile
from pathlib import Path

import keras

from .. import files

CLASSES = "classes.json"  # within the .keras file, which is a zip; Keras passes it over


def save(path, model, classes):
    """Write a model as Keras does, with the names of its classes: `keras.models.load_model` reads the file too.

    Args:
        path: ending in .keras.
        model: a Keras model with one output, (batch, classes). Let it begin with what its images need, such as
            `layers.Rescaling(1 / 255)`, so that it takes pictures as they are.
        classes: the names, in the order of the outputs.

    Raises:
        ValueError: another ending, or names that do not fit the output.
    """
    if Path(path).suffix != ".keras":
        raise ValueError(f"path={str(path)!r}: a name that ends in .keras would be right")
    classes = [str(name) for name in classes]
    right = (None, len(classes))
    if model.output_shape != right:
        raise ValueError(f"{len(classes)} names for a net of output {model.output_shape}: {right} would be right")
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder, "model.keras")
        model.save(whole)
        with zipfile.ZipFile(whole, "a") as archive:
            archive.writestr(CLASSES, json.dumps(classes))
        with files.writing(path) as file:
            file.write(whole.read_bytes())


def load(path):
    """(model, classes) of a file that `save` wrote; classes are "0", "1", ... where Keras alone wrote it.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no .keras file, one of a layer that is neither Keras' nor the kit's, or a net that is no classifier.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} is not there: a file that kit.models.save wrote would be right")
    try:
        model = keras.models.load_model(path, compile=False)
        with zipfile.ZipFile(path) as archive:
            classes = json.loads(archive.read(CLASSES)) if CLASSES in archive.namelist() else None
    except Exception as error:  # Keras raises errors of every kind
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path} cannot be read as a Keras model: {reason}") from None
    shape = model.output_shape
    if len(shape) != 2 or not isinstance(shape[1], int):
        raise ValueError(f"{path} holds a net of output {shape}: a classifier's (batch, classes) would be right")
    return model, classes or [str(number) for number in range(shape[1])]
