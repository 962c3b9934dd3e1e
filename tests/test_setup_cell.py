"""The first cell of a notebook: it imports the kit, installs it where it is missing, or says in one line why not."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))


def setup_cell(path):
    return next("".join(c["source"]) for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "code")


CELL = setup_cell(ROOT / "notebooks" / "00_quickstart.ipynb")
KIT = next(line for line in CELL.splitlines() if line.startswith("KIT = "))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_all_notebooks_begin_alike(path):
    assert setup_cell(path) == CELL


def test_where_the_kit_is_the_cell_only_imports_it():
    done = run(sys.executable, CELL.replace(KIT, 'KIT = "no-such-kit"'))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def run(python, code, **settings):
    """Run code as a notebook alone in a folder would."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | settings
    return subprocess.run([python, "-c", code], capture_output=True, text=True, env=env, cwd=Path(python).parent)


@pytest.fixture
def colab(tmp_path):
    """A Python that has all that this one has, TensorFlow and Jupyter too, but for the kit."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    there = next((tmp_path / "venv").rglob("site-packages"))
    for part in Path(sysconfig.get_path("purelib")).iterdir():
        ours = part.name == "kit" or part.name.startswith(("course_kit", "_editable_impl_course_kit"))
        if not ours and not (there / part.name).exists():
            (there / part.name).symlink_to(part)
    return tmp_path / "venv" / "bin" / "python"


VERSIONS = """
from importlib import metadata
print(sorted((one.name.lower(), one.version) for one in metadata.distributions() if one.name != "course-kit"))
"""


@pytest.mark.slow
def test_where_it_is_missing_it_is_installed_and_nothing_else_changes(colab):
    before = run(colab, VERSIONS).stdout
    assert "tensorflow" in before and run(colab, "import kit").returncode
    local = CELL.replace(KIT, f'KIT = "course-kit[search] @ {ROOT.as_uri()}"')
    local += "\nprint(kit.__file__, kit.models.mlp((2,), 2).count_params())"
    done = run(colab, local, PIP_NO_BUILD_ISOLATION="0")  # built with what is there: a network is not needed
    assert done.returncode == 0 and done.stderr == "", done.stderr[-2000:]
    assert str(colab.parents[1]) in done.stdout and done.stdout.split()[-1] == str((2 + 1) * 128 + (128 + 1) * 2)
    assert run(colab, VERSIONS).stdout == before


@pytest.mark.slow
def test_where_it_cannot_be_had_one_line_says_what_to_do(colab, tmp_path):
    nowhere = f"course-kit[search] @ {(tmp_path / 'nowhere').as_uri()}"
    done = run(colab, CELL.replace(KIT, f'KIT = "{nowhere}"'))
    assert done.returncode == 1 and done.stdout == "" and done.stderr.count("\n") == 1
    assert nowhere in done.stderr and "ERROR: " in done.stderr and "pip install -e ." in done.stderr
