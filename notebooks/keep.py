"""Run notebooks as a whole, each on an empty ledger, and keep their outputs; says how long each took.

python notebooks/keep.py notebooks/08_mnist_cnn.ipynb ...

Real data where KIT_DATA or a download gives them. The notebook's metadata then hold the seconds, the machine and the
hash of the code that was run, by which a test tells whether a cell was edited since; the header's minutes are set.
"""

import hashlib
import math
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

import kit
import kit.files


def code_hash(notebook):
    """Of the sources of all code cells, as a hexadecimal text."""
    sources = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return hashlib.sha256("\n\0".join(sources).encode()).hexdigest()[:16]


def tidied(outputs):
    """The outputs with a stream's parts in one, and of a progress bar the last state alone."""
    kept = []
    for output in outputs:
        if output["output_type"] == "stream" and kept and kept[-1].get("name") == output["name"]:
            kept[-1]["text"] += output["text"]
        else:
            kept.append(output)
    for output in kept:
        if output["output_type"] == "stream":
            lines = (line.rstrip("\r").rpartition("\r")[2] for line in output["text"].split("\n"))
            output["text"] = "\n".join(lines).lstrip("\n")
    return kept


def keep(path):
    """Run one notebook in its folder and write it back with its outputs; returns the seconds."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    with tempfile.TemporaryDirectory() as ledger:
        # That a copy is not the official one is said by the line that describes the data; the warning names a folder.
        known = ",".join(f"ignore:{name} is not verified:UserWarning" for name in kit.datasets.names())
        os.environ |= {"KIT_RUNS": ledger, "KIT_PROFILE": "full", "PYTHONWARNINGS": known}
        start = time.perf_counter()
        NotebookClient(notebook, timeout=None, resources={"metadata": {"path": str(path.parent)}}).execute()
        seconds = time.perf_counter() - start
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = tidied(cell.outputs)
    device, minutes = kit.machine.device(), math.ceil(seconds / 60)
    notebook.metadata["kit"] = {"seconds": round(seconds), "device": device, "code": code_hash(notebook)}
    said = f"| {minutes} minute{'s' * (minutes > 1)} ({device}) "
    header = notebook.cells[0]
    header.source = re.sub(r"^\| (not measured yet|\d+ minutes? \([^)]+\)) ", said, header.source, flags=re.M)
    with kit.files.writing(path, "w") as file:
        file.write(nbformat.writes(notebook) + "\n")
    return seconds


if __name__ == "__main__":
    kit.machine.start()
    for name in sys.argv[1:]:
        print(f"{name}: {keep(Path(name).resolve()):.0f} s", flush=True)
