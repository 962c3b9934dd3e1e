"""Reads the IDX form of MNIST and Fashion-MNIST: a short header, then bytes (http://yann.lecun.com/exdb/mnist)."""

import gzip
import math
import zlib

import numpy as np

from .. import files
from .dataset import Split

_UNSIGNED_BYTE = 8


def read(folder, card):
    """Read the four IDX files of a folder, gzipped (`NAME.gz`) or plain (`NAME`).

    `card.files` are the images and labels for training, then those for testing. Returns the splits "train" and "test"
    and the complaints that `Card.read` asks for. Raises FileNotFoundError for a missing file, and ValueError for one
    that is cut short, is no gzip or IDX file, or does not fit the card or its companion.
    """
    contents, complaints = {}, []
    for file in card.files:
        path = _find(folder, file.name, card)
        contents[path] = _unpack(path, card)
        complaints += file.complaints(path, files.checksum(contents[path], file.hash))
    paths = list(contents)
    return {"train": _split(contents, *paths[:2], card), "test": _split(contents, *paths[2:], card)}, complaints


def parse(content, path, dimensions):
    """The array in an IDX file's bytes: uint8, with that number of dimensions."""
    header = 4 + 4 * dimensions
    magic = bytes([0, 0, _UNSIGNED_BYTE, dimensions])
    if content[:4] != magic:
        raise ValueError(
            f"{path} begins with {content[:4].hex() or 'nothing'}; an IDX file of bytes in {dimensions} "
            f"dimensions begins with {magic.hex()}"
        )
    if len(content) < header:
        raise ValueError(f"{path} is cut short: {len(content)} bytes, not even its header of {header}")
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", dimensions, offset=4))
    if len(content) != header + math.prod(shape):
        raise ValueError(
            f"{path} holds {len(content) - header} bytes of data where its header promises "
            f"{math.prod(shape)} ({' x '.join(map(str, shape))}): fetch it again"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _find(folder, name, card):
    plain = name.removesuffix(".gz")
    for path in (folder / f"{plain}.gz", folder / plain):
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"{folder} holds neither {plain}.gz nor {plain}: fetch {card.address}{name} into it{card.instead}"
    )


def _unpack(path, card):
    if path.suffix != ".gz":
        return path.read_bytes()
    try:
        with gzip.open(path) as file:
            return file.read()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(
            f"{path} is not a whole gzip file ({error}): fetch it again from {card.address}{path.name}"
        ) from None


def _split(contents, images_path, labels_path, card):
    images, labels = parse(contents[images_path], images_path, 3), parse(contents[labels_path], labels_path, 1)
    height, width, _ = card.image_shape
    if images.shape[1:] != (height, width):
        raise ValueError(
            f"{images_path} holds images of {images.shape[1]}x{images.shape[2]}; {card.name} has {height}x{width}"
        )
    if len(images) != len(labels):
        raise ValueError(
            f"{images_path} holds {len(images)} images and {labels_path} {len(labels)} labels; they should be as many"
        )
    if not len(images):
        raise ValueError(f"{images_path} holds no images")
    if labels.max() >= len(card.classes):
        raise ValueError(
            f"{labels_path} holds the label {labels.max()}; those of {card.name} are 0 to {len(card.classes) - 1}"
        )
    return Split(images[..., None].copy(), labels.astype(np.int64))
