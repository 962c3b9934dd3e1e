"""The scripts in CONTRIBUTING.md run as they stand."""

import io
import re
import runpy
import tarfile
from pathlib import Path

import numpy as np
import pytest

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()
SCRIPTS = dict(re.findall(r"^## (.+?)\n.*?^```python\n(.*?)^```", TEXT, re.M | re.S))
SAID = {
    "A dataset": r"Dataset cifar10 \(real, unverified\), multiclass, 10 classes: train \(15, 32, 32, 3\) float32",
    "A report": r"256 units +accuracy +0\.81 .*not comparable",
    "In a notebook": r"linear +0\.9\d+ .* 650 +own",
    "A search": r"4 +\d+ .*finished",
}


def cifar(folder):
    """The archive with three images a file in place of ten thousand."""
    folder.mkdir(parents=True)
    rows = np.random.default_rng(0).integers(0, 10, (3, 3073)).astype("uint8")
    with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz") as archive:
        for name in (*(f"data_batch_{part}.bin" for part in range(1, 6)), "test_batch.bin"):
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = rows.nbytes
            archive.addfile(info, io.BytesIO(rows.tobytes()))


@pytest.mark.slow
@pytest.mark.parametrize("title", SCRIPTS, ids=lambda title: title.partition(":")[0])
@pytest.mark.filterwarnings("ignore:cifar10 is not verified")
def test_a_script_runs_as_it_stands(title, tmp_path, monkeypatch, capsys):
    cifar(tmp_path / "data" / "cifar10")
    monkeypatch.setenv("KIT_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "script.py"
    script.write_text(SCRIPTS[title])
    runpy.run_path(str(script), run_name="__main__")
    said = next(pattern for start, pattern in SAID.items() if title.startswith(start))
    out = capsys.readouterr().out
    assert re.search(said, out, re.S), out


def test_no_script_is_longer_than_it_says():
    assert len(SCRIPTS) == len(SAID) == 4
    assert all(script.count("\n") < 40 for script in SCRIPTS.values())
