"""Pictures in files: opened by Pillow, none that could do harm, each fault a line that names the file."""

import contextlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image, ImageOps

from .. import progress

MOST_PIXELS = 2**26  # a picture of more is refused before it is decoded


@contextlib.contextmanager
def reading(path):
    """Whatever goes wrong within, a ValueError says it in one line: decoders raise errors of every kind."""
    try:
        if not path.is_file():  # a pipe would be waited for
            raise ValueError("it is no regular file")
        yield
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path} cannot be read as an image: {reason}") from None


@contextlib.contextmanager
def opened(path):
    """The picture in a file, a PIL.Image that is decoded when it is used; its errors are those of `reading`."""
    with reading(path), Image.open(path) as image:
        if image.width * image.height > MOST_PIXELS:
            raise ValueError(f"its {image.width}x{image.height} pixels are more than {MOST_PIXELS:,}")
        yield image


def decoded(function, paths, title):
    """`function(path)` of each, in their order, by several threads, with a progress bar where someone looks on."""
    with ThreadPoolExecutor() as threads:
        yield from progress.bar(iterable=threads.map(function, paths), total=len(paths), desc=title, unit="image")


def photograph(path, shape, *, on_white=False):
    """One's own picture as a net takes it: uint8 (height, width, channels), from 0 to 255.

    Args:
        path: of the picture, which is turned as its camera says.
        shape: (height, width, channels) of the net's input; 1 channel (grey) or 3.
        on_white: the picture shows one thing on a white ground: it is cut out, inverted, and fills the image in its own
            proportions, on black, as the garments of Fashion-MNIST were made. Else the whole picture is resized.

    Raises:
        ValueError: a file that cannot be read as a picture, another shape, or nothing on the ground.
    """
    if len(shape) != 3 or shape[2] not in (1, 3) or not all(shape):
        raise ValueError(f"shape={tuple(shape)}: (height, width, 1) or (height, width, 3) would be right")
    height, width, channels = shape
    with opened(path) as image:
        image = ImageOps.exif_transpose(image).convert("L" if channels == 1 else "RGB")
        if on_white:
            image = ImageOps.autocontrast(ImageOps.invert(image), cutoff=1)
            thing = image.convert("L").point(lambda value: 255 * (value > 64)).getbbox()
            if thing is None:
                raise ValueError("nothing stands out from its ground; one dark thing on white would be right")
            image = ImageOps.pad(image.crop(thing), (width, height), Image.Resampling.BILINEAR)
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(image).reshape(shape)
