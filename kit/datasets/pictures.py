"""Pictures in files: opened by Pillow, none that could do harm, each fault a line that names the file."""

import contextlib
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

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
