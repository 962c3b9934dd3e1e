"""The notebooks: they run in the quick profile without a network, say what they must, and keep clean outputs."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
sys.path.insert(0, str(ROOT / "notebooks"))

from set_address import address, set_address  # noqa: E402


def cells(path, kind="code"):
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow", reason="once is enough")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
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


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_kept_outputs_come_from_one_clean_full_run(path):
    code = [cell for cell in cells(path) if "claim" not in cell["metadata"].get("tags", ())]  # those print nothing
    counts = [cell["execution_count"] for cell in code if cell["execution_count"]]  # 09 is run again as a whole later
    assert counts == sorted(counts) and counts[0] == 1 and counts[-1] <= len(cells(path))
    outputs = [output for cell in code for output in cell["outputs"]]
    text = json.dumps(outputs)
    assert not [o for o in outputs if o["output_type"] == "error" or o.get("name") == "stderr"]
    assert "Warning" not in text and not re.search(r"/(home|root|tmp|usr|content)/", text)
    first = next(output for cell in code for output in cell["outputs"])
    assert "profile: full | data: " in json.dumps(first) and "back end: " in json.dumps(first)
    assert path.stat().st_size < 5_000_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_opens_in_colab_and_hides_no_setting(path):
    badge = "".join(cells(path, "markdown")[0]["source"])
    repository = address()
    assert f"https://colab.research.google.com/github/{repository}/blob/main/notebooks/{path.name}" in badge
    setup = "".join(cells(path)[0]["source"])
    assert f"git+https://github.com/{repository}" in setup and "find_spec" in setup
    source = "".join("".join(cell["source"]) for cell in cells(path))
    assert "KIT_PROFILE" not in source and "KIT_SOURCE" not in source
    assert all(len(cell["source"]) <= 40 for cell in cells(path))


def test_one_command_gives_a_fork_its_address(tmp_path):
    (tmp_path / "notebooks").mkdir()
    for path in (ROOT / "pyproject.toml", ROOT / "README.md", *NOTEBOOKS):
        shutil.copy(path, tmp_path / path.relative_to(ROOT))
    old = address(tmp_path)
    changed = set_address("someone/their-kit", tmp_path)
    assert len(changed) == len(NOTEBOOKS) + 2 and address(tmp_path) == "someone/their-kit"
    assert not [path for path in changed if old in path.read_text()]
    with pytest.raises(ValueError, match="give owner/name"):
        set_address("https://github.com/someone/x", tmp_path)
