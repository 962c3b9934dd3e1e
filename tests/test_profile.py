"""The quick profile makes runs small and nothing else does; what a notebook begins with says where it runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny

from kit import machine, profile, progress


def test_full_is_the_default(monkeypatch):
    for value in (None, "full", ""):
        monkeypatch.delenv("KIT_PROFILE", raising=False)
        if value is not None:
            monkeypatch.setenv("KIT_PROFILE", value)
        data = tiny.data()
        assert (profile.name(), profile.epochs(100), profile.trials(50)) == ("full", 100, 50)
        assert profile.images(data) is data


@pytest.mark.parametrize("typed", ["qick", "Quick", "fast"])
def test_anything_else_is_an_error_in_one_line(typed, monkeypatch):
    monkeypatch.setenv("KIT_PROFILE", typed)
    with pytest.raises(ValueError, match=rf"^KIT_PROFILE is '{typed}'; it should be full or quick$"):
        profile.epochs(100)


def test_quick_cuts_but_never_adds(monkeypatch):
    monkeypatch.setenv("KIT_PROFILE", "quick")
    monkeypatch.setattr(profile, "QUICK_IMAGES", {"train": 50, "validation": 10, "test": 10_000})
    data = profile.images(tiny.data())
    assert (profile.name(), profile.epochs(100), profile.epochs(1)) == ("quick", 2, 1)
    assert len(data.train.x) == len(data.train.y) == 50 and len(data.test.x) == 100 and data.validation is None
    monkeypatch.setattr(profile, "QUICK_PIXELS", 8)  # of images of twice as many pixels there are half as many
    assert len(profile.images(tiny.data()).train.x) == 25


def test_the_description_says_everything():
    import keras

    said = machine.describe(tiny.data())
    for part in (
        "profile: full",
        "data: Tiny, real",
        f"back end: {keras.backend.backend()} on ",
        f"keras {keras.version()}",
        "python 3.",
    ):
        assert part in said
    assert "\n" not in said


@pytest.mark.parametrize("module", ["kit", "kit.datasets"])
def test_importing_is_quick_and_silent(module):
    import subprocess
    import sys

    code = (
        f"import sys, {module}\n"
        "print([name for name in ('tensorflow', 'jax', 'keras', 'matplotlib', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_notebook_is_watched_and_a_plain_process_is_not(monkeypatch):
    import sys
    from types import SimpleNamespace

    assert not progress.watched()
    for shell, watched in ((None, False), (SimpleNamespace(), False), (SimpleNamespace(kernel=1), True)):
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda shell=shell: shell))
        assert progress.watched() is watched


def test_at_the_start_only_the_lines_about_nothing_are_held_back(tmp_path):
    (tmp_path / "keras.py").write_text(
        "import os\n"
        "os.write(2, b'I0000 port.cc:153] oneDNN custom operations are on. You may see ...\\nout of memory\\n')\n"
    )
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(machine.__file__).parents[1])])}
    code = "import os, kit; kit.machine.start(); os.write(2, b'later\\n')"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "out of memory\nlater\n"


def test_keras_starts_without_a_word():
    code = "import kit; kit.machine.start(); import keras; keras.ops.zeros(2)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
