"""Progress bars, where someone looks on."""

import sys

from tqdm import tqdm


def watched():
    """Whether someone looks on, in a terminal or a notebook: then a progress bar has a point."""
    ipython = sys.modules.get("IPython")
    return sys.stdout.isatty() or hasattr(ipython and ipython.get_ipython(), "kernel")


def bar(*, show=None, **options):
    """A `tqdm` bar, shown where someone looks on, or as `show` says."""
    return tqdm(file=sys.stdout, disable=not (watched() if show is None else show), **options)
