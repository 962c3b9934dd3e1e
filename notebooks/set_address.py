"""Give the project another repository address, in pyproject.toml and everywhere it is repeated: badges, set-up cells.

python notebooks/set_address.py owner/name
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACES = ["pyproject.toml", "CITATION.cff", "README.md", "notebooks/**/*.ipynb"]


def address(root=ROOT):
    """The "owner/name" that pyproject.toml gives: the one place that counts."""
    return re.search(r'^Repository = "https://github\.com/([^"]+)"', (root / "pyproject.toml").read_text(), re.M)[1]


def set_address(new, root=ROOT):
    """Replace the address in all its places; returns the files that changed. ValueError unless it is "owner/name"."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", new):
        raise ValueError(f"{new!r} is no repository; give owner/name")
    old, changed = address(root), []
    for path in (path for place in PLACES for path in sorted(root.glob(place))):
        text = path.read_text()
        replaced = re.sub(rf"(?<![\w.-]){re.escape(old)}(?![\w-])", new, text)
        if replaced != text:
            path.write_text(replaced)
            changed.append(path)
    return changed


if __name__ == "__main__":
    try:
        for path in set_address(*sys.argv[1:2] or [""]):
            print(f"changed {path.relative_to(ROOT)}")
    except ValueError as error:
        sys.exit(str(error))
