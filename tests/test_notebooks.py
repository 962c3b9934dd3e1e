"""The notebooks: they run in the quick profile without a network, say what they must, and keep clean outputs."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SOLUTIONS = sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb"))
sys.path.insert(0, str(ROOT / "notebooks"))

from keep import code_hash  # noqa: E402
from set_address import address, set_address  # noqa: E402

# Pages that do not have all that a page shall have yet, and pages that were edited since they were run as a whole.
NOT_YET = ()
NOT_RUN = ("02", "03", "05", "06", "07", "08", "09")


def pages(but=()):
    """The notebooks as parameters; those named in `but` are expected to fail, and it is an error when they do not."""
    return pytest.mark.parametrize(
        "path", [pytest.param(p, marks=pytest.mark.xfail(strict=True)) if p.stem[:2] in but else p for p in NOTEBOOKS],
        ids=lambda path: path.stem,
    )  # fmt: skip


def cells(path, kind="code"):
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow", reason="once is enough")
@pytest.mark.parametrize(
    "path", [*NOTEBOOKS, *(pytest.param(path, marks=pytest.mark.weekly) for path in SOLUTIONS)],
    ids=lambda path: f"{path.parent.name}/{path.stem}",
)  # fmt: skip
def test_it_runs(path, tmp_path):
    """With nbmake, on synthetic data, with few epochs; in a copy, so that the kept outputs stay."""
    copy = shutil.copy(path, tmp_path)
    settings = {"KIT_PROFILE": "quick", "KIT_SOURCE": "synthetic", "KIT_RUNS": str(tmp_path / "runs")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbmake", "--nbmake-timeout=300", "--rootdir", str(tmp_path), copy],
        env=os.environ | settings, cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:]
    assert "1 passed" in done.stdout


@pages(but=NOT_RUN)
def test_its_kept_outputs_are_those_of_its_code(path):
    """`notebooks/keep.py` ran it as a whole, on an empty ledger, and no cell was edited since."""
    notebook = json.loads(path.read_text())
    counts = [cell["execution_count"] for cell in cells(path)]
    assert counts == list(range(1, len(counts) + 1))
    kept = notebook["metadata"]["kit"]
    assert kept["code"] == code_hash(notebook)
    minutes = math.ceil(kept["seconds"] / 60)
    said = f"| {minutes} minute{'s' * (minutes > 1)} ({kept['device']}) |"
    assert said in "".join(notebook["cells"][0]["source"])
    first = json.dumps(next(output for cell in cells(path) for output in cell["outputs"]))
    assert "profile: full | data: " in first and "back end: " in first


@pages()
def test_its_kept_outputs_are_clean(path):
    outputs = [output for cell in cells(path) for output in cell["outputs"]]
    text = json.dumps(outputs)
    assert not [o for o in outputs if o["output_type"] == "error" or o.get("name") == "stderr"]
    assert "Warning" not in text and not re.search(r"/(home|root|tmp|usr|content)/", text)
    assert path.stat().st_size < 5_000_000


@pages(but=NOT_YET)
def test_it_begins_and_ends_as_a_lesson(path):
    texts = ["".join(cell["source"]) for cell in cells(path, "markdown")]
    top = texts[0]
    assert "**Afterwards you know**" in top and top.count("\n- ") == 3
    assert "| time | data | before | next |" in top
    for link in re.findall(r"\]\(([\w/]+\.ipynb)\)", "\n".join(texts)):
        assert (path.parent / link).exists(), link
    whole = "\n".join(texts)
    found, references, exercises = map(whole.index, ("## What was found", "## References", "## Exercises"))
    assert found < references < exercises
    assert "](https://" in whole[references:exercises]
    asked = re.findall(r"^\d+\. ", whole[exercises:], re.M)
    solution = path.parent / "solutions" / path.name
    assert len(asked) >= 3 and f"](solutions/{path.name})" in whole[exercises:]
    solved = re.findall(r"^## \d+\. ", "\n".join("".join(c["source"]) for c in cells(solution, "markdown")), re.M)
    assert len(solved) == len(asked)


@pages(but=NOT_YET)
def test_each_figure_has_words_in_its_place(path):
    for cell in cells(path):
        if any("image/png" in output.get("data", {}) for output in cell["outputs"]):
            alt = cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "")
            assert len(alt) > 20, "".join(cell["source"])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_opens_in_colab_and_hides_no_setting(path):
    badge = "".join(cells(path, "markdown")[0]["source"])
    repository = address()
    assert f"https://colab.research.google.com/github/{repository}/blob/main/notebooks/{path.name}" in badge
    setup = "".join(cells(path)[0]["source"])
    assert f"git+https://github.com/{repository}" in setup and "find_spec" in setup
    source = "".join("".join(cell["source"]) for cell in cells(path))
    assert "KIT_PROFILE" not in source and "KIT_SOURCE" not in source
    assert all(len(cell["source"]) <= 32 for cell in cells(path))


def test_one_command_gives_a_fork_its_address(tmp_path):
    (tmp_path / "notebooks" / "solutions").mkdir(parents=True)
    for path in (ROOT / "pyproject.toml", ROOT / "README.md", *NOTEBOOKS, *SOLUTIONS):
        shutil.copy(path, tmp_path / path.relative_to(ROOT))
    old = address(tmp_path)
    changed = set_address("someone/their-kit", tmp_path)
    assert len(changed) == len(NOTEBOOKS) + len(SOLUTIONS) + 2 and address(tmp_path) == "someone/their-kit"
    assert not [path for path in changed if old in path.read_text()]
    with pytest.raises(ValueError, match="give owner/name"):
        set_address("https://github.com/someone/x", tmp_path)
