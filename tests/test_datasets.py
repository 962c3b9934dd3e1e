"""Ways in: the folder, the cache, the download; and everything that can be wrong with them."""

import gzip
import http.server
import os
import subprocess
import sys
import threading
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import kit.datasets
from kit.datasets import cache, registry
from kit.datasets.card import File
from kit.files import checksum

NAMES = [file.name for file in registry.FASHION_MNIST.files]
DATA = Path(os.environ.get("KIT_DATA") or "no data")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch, tmp_path):
    """Each test begins without data or source, with a cache of its own, and with no proxy before the local server."""
    for name in ("KIT_DATA", "KIT_SOURCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")


def idx_bytes(array):
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()


@pytest.fixture
def contents():
    """The unpacked content of the four files: 20 images to train, 10 to test."""
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 256, (20, 28, 28)), np.arange(20) % 10, rng.integers(0, 256, (10, 28, 28)), np.arange(10)]
    return dict(zip(NAMES, map(idx_bytes, arrays), strict=True))


@pytest.fixture
def card(contents, monkeypatch):
    """fashion_mnist, with these contents for its official ones and nobody at its address."""
    files = tuple(File(name, checksum(content, "sha256:")) for name, content in contents.items())
    card = replace(registry.FASHION_MNIST, files=files, counts={"train": 20, "test": 10}, address="http://127.0.0.1:9/")
    monkeypatch.setattr(registry, "cards", (card, registry.MNIST))
    return card


@pytest.fixture
def folder(card, contents, tmp_path, monkeypatch):
    """$KIT_DATA/fashion-mnist with the four files, gzipped."""
    folder = tmp_path / "data" / "fashion-mnist"
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / name).write_bytes(gzip.compress(content))
    monkeypatch.setenv("KIT_DATA", str(tmp_path / "data"))
    return folder


def load_error(kind, *said):
    """Expect load("fashion_mnist") to fail in one line that says these things, with no library's trace behind it."""
    with pytest.raises(kind) as caught:
        kit.datasets.load("fashion_mnist")
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.__cause__ is None and (caught.value.__context__ is None or caught.value.__suppress_context__)
    for part in said:
        assert part in message
    assert not Path(os.environ["KIT_CACHE"]).exists() or not list(Path(os.environ["KIT_CACHE"]).iterdir())


# The folder


def test_folder_gives_the_arrays_in_their_order(folder, contents):
    data = kit.datasets.load("fashion_mnist")
    assert data.origin == "real" and data.validation is None and data.task == "multiclass"
    assert data.train.x.shape == (20, 28, 28, 1) and data.test.x.shape == (10, 28, 28, 1)
    assert data.train.x.dtype == np.uint8 and data.train.y.dtype == np.int64
    assert data.train.x.tobytes() == contents[NAMES[0]][16:]
    assert data.train.y.tolist() == list(range(10)) * 2
    assert data.classes[9] == "Ankle boot" and data.card.licence.startswith("MIT")


def test_plain_files_serve_as_well_as_gzipped(folder, contents):
    for name in NAMES[1:]:
        (folder / name).unlink()
        (folder / name.removesuffix(".gz")).write_bytes(contents[name])
    assert kit.datasets.load("fashion_mnist").origin == "real"


def test_unofficial_content_is_loaded_with_a_warning_and_said(folder, contents):
    altered = bytearray(contents[NAMES[0]])
    altered[16] ^= 1
    (folder / NAMES[0]).write_bytes(gzip.compress(bytes(altered)))
    with pytest.warns(UserWarning, match=r"fashion_mnist is not verified: .*train-images.*sha256:.*official") as caught:
        data = kit.datasets.load("fashion_mnist")
    assert data.origin == "real, unverified" and "real, unverified" in repr(data)
    assert len(caught) == 1 and "\n" not in str(caught[0].message) and caught[0].filename == __file__


def test_missing_file_is_an_error_and_no_download(folder):
    (folder / NAMES[2]).unlink()
    load_error(FileNotFoundError, str(folder), NAMES[2], "http://127.0.0.1:9/", 'source="synthetic"')


def test_gzip_cut_short(folder):
    whole = (folder / NAMES[0]).read_bytes()
    (folder / NAMES[0]).write_bytes(whole[: len(whole) // 2])
    load_error(ValueError, NAMES[0], "not a whole gzip file", "fetch it again")


def test_no_gzip_file(folder):
    (folder / NAMES[0]).write_bytes(b"<html>gone</html>")
    load_error(ValueError, NAMES[0], "not a whole gzip file")


@pytest.mark.parametrize(
    "name, content, said",
    [
        (NAMES[0], idx_bytes(np.zeros((20, 28, 28)))[:-1], "15679 bytes of data where its header promises 15680"),
        (NAMES[0], idx_bytes(np.zeros((20, 28, 28)))[:9], "cut short"),
        (NAMES[0], b"", "begins with nothing"),
        (NAMES[0], idx_bytes(np.zeros(20)), "with 00000801; an IDX file of bytes in 3 dimensions begins with 00000803"),
        (NAMES[0], idx_bytes(np.zeros((20, 27, 28))), "holds images of 27x28; fashion_mnist has 28x28"),
        (NAMES[1], idx_bytes(np.zeros(19)), "20 images and"),
        (NAMES[1], idx_bytes(np.full(20, 10)), "holds the label 10; those of fashion_mnist are 0 to 9"),
    ],
)
def test_bad_idx(folder, name, content, said):
    (folder / name).write_bytes(gzip.compress(content))
    load_error(ValueError, name, said)


@pytest.mark.skipif(not (DATA / "fashion-mnist").exists(), reason="KIT_DATA holds no fashion-mnist")
def test_the_real_set_is_verified(monkeypatch):
    monkeypatch.setenv("KIT_DATA", str(DATA))
    data = kit.datasets.load("fashion_mnist", source="real")
    assert data.origin == "real"
    assert np.bincount(data.train.y).tolist() == [6000] * 10 and np.bincount(data.test.y).tolist() == [1000] * 10
    # The published mean and standard deviation of the training pixels.
    assert data.train.x.mean() / 255 == pytest.approx(0.2860406, abs=1e-6)
    assert data.train.x.std() / 255 == pytest.approx(0.3530242, abs=1e-6)
    held = data.hold_out(0.15, seed=0)
    assert np.bincount(held.train.y).tolist() == [5100] * 10 and np.bincount(held.validation.y).tolist() == [900] * 10


# Names and sources


def test_unknown_name_source_and_size():
    with pytest.raises(ValueError, match=r"unknown dataset 'fashion': known are fashion_mnist, mnist"):
        kit.datasets.load("fashion")
    with pytest.raises(ValueError, match=r"source is 'fake'; it should be real or synthetic"):
        kit.datasets.load("mnist", source="fake")
    with pytest.raises(ValueError, match=r"source is 'drawn'; it should be real or synthetic"):  # kit 0.1's word
        kit.datasets.load("mnist", source="drawn")
    with pytest.raises(ValueError, match=r"image_size is 32; mnist has images of 28 pixels"):
        kit.datasets.load("mnist", image_size=32)


def test_source_is_taken_from_the_environment(monkeypatch, card):
    one = kit.datasets.Split(np.zeros((1, 28, 28, 1), np.uint8), np.zeros(1, int))
    synthetic = {"train": one, "test": one}
    monkeypatch.setattr(registry, "cards", (replace(card, generate=lambda: synthetic),))
    monkeypatch.setenv("KIT_SOURCE", "synthetic")
    assert kit.datasets.load("fashion_mnist", image_size=28).origin == "synthetic"
    monkeypatch.setenv("KIT_SOURCE", "fake")
    with pytest.raises(ValueError, match=r"KIT_SOURCE is 'fake'"):
        kit.datasets.load("fashion_mnist")
    assert kit.datasets.load("fashion_mnist", source="synthetic").origin == "synthetic"


def test_import_is_light_and_silent():
    code = (
        "import sys, kit.datasets; print([heavy for heavy in ('tensorflow', 'tensorflow_datasets', 'keras', 'jax', "
        "'sklearn', 'matplotlib') if heavy in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert (run.stdout, run.stderr) == ("[]\n", "")


# The download and the cache


@pytest.fixture
def server(card, contents, tmp_path, monkeypatch):
    """The card's address, served from this machine: the folder to put files in, and the paths that were asked for."""
    served = tmp_path / "served"
    served.mkdir()
    for name, content in contents.items():
        (served / name).write_bytes(gzip.compress(content))
    asked = []

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=served)

        def log_message(self, *args):
            asked.append(self.path)

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
    address = f"http://127.0.0.1:{running.server_port}/"
    monkeypatch.setattr(registry, "cards", (replace(card, address=address),))
    yield served, asked
    running.shutdown()
    running.server_close()


def test_download_is_quiet_cached_and_in_order(server, contents, capfd):
    _, asked = server
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = kit.datasets.load("fashion_mnist")
    assert data.origin == "real" and data.train.x.tobytes() == contents[NAMES[0]][16:]
    assert capfd.readouterr() == ("", "")
    assert [file.name for file in Path(os.environ["KIT_CACHE"]).iterdir()] == ["fashion_mnist_28.npz"]
    asked.clear()
    again = kit.datasets.load("fashion_mnist")
    assert not asked and again.origin == "real"
    for split in ("train", "test"):
        for first, second in zip(getattr(data, split), getattr(again, split), strict=True):
            assert first.dtype == second.dtype and np.array_equal(first, second)


def test_a_folder_wins_over_the_cache(server, folder, contents):
    _, asked = server
    kit.datasets.load("fashion_mnist")
    assert not asked and not Path(os.environ["KIT_CACHE"]).exists()


def test_without_the_folder_kit_data_is_passed_over(server, monkeypatch, tmp_path):
    monkeypatch.setenv("KIT_DATA", str(tmp_path))
    assert kit.datasets.load("fashion_mnist").origin == "real"


def test_download_of_other_content(server, contents):
    served, _ = server
    altered = bytearray(contents[NAMES[1]])
    altered[-1] ^= 1
    (served / NAMES[1]).write_bytes(gzip.compress(bytes(altered)))
    load_error(ValueError, "not the official one", f"/{NAMES[1]} has the content sha256:", "fashion-mnist", "synthetic")


def test_download_cut_short(server):
    served, _ = server
    whole = (served / NAMES[0]).read_bytes()
    (served / NAMES[0]).write_bytes(whole[: len(whole) // 2])
    load_error(ValueError, "not the official one", f"{registry.cards[0].address}{NAMES[0]} is not a whole gzip file")


def test_download_whose_gzip_bytes_tfds_knows_otherwise(server, monkeypatch):
    from tensorflow_datasets.core.download import checksums

    address = registry.cards[0].address + NAMES[0]
    monkeypatch.setattr(checksums, "get_all_url_infos", lambda: {address: checksums.UrlInfo(1, "0" * 64, NAMES[0])})
    load_error(ValueError, address, "wrong SHA-256")


def test_tfds_knows_the_gzip_bytes_of_every_official_file():
    from tensorflow_datasets.core.download import checksums

    known = checksums.get_all_url_infos()
    for card in (registry.FASHION_MNIST, registry.MNIST):
        for file in card.files:
            assert len(known[card.address + file.name].checksum) == 64


def test_file_gone_from_the_server(server):
    served, _ = server
    (served / NAMES[0]).unlink()
    load_error(FileNotFoundError, "404", NAMES[0])
    (served / NAMES[0]).write_bytes(b"")
    (served / NAMES[3]).unlink()
    load_error(FileNotFoundError, "404", f"/{NAMES[3]} failed")


def test_no_network(card, monkeypatch, tmp_path):
    said = ["fashion_mnist cannot be downloaded", "http://127.0.0.1:9/", 'source="synthetic"']
    said += [part for file in card.files for part in file]
    load_error(FileNotFoundError, *said, "$KIT_DATA/fashion-mnist")
    monkeypatch.setenv("KIT_DATA", str(tmp_path))
    load_error(FileNotFoundError, *said, str(tmp_path / "fashion-mnist"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[:-100],
        lambda whole: b"",
        lambda whole: b"x" * 1000,
        lambda whole: whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:],
        lambda whole: whole.replace(b", }", b",  "),
    ],
)
def test_damaged_cache_is_set_aside_and_fetched_anew(server, damage):
    data = kit.datasets.load("fashion_mnist")
    file = cache.path(data.card)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.warns(UserWarning, match=r"is damaged .* set aside as fashion_mnist_28.npz.damaged") as caught:
        again = kit.datasets.load("fashion_mnist")
    assert len(caught) == 1 and "\n" not in str(caught[0].message) and caught[0].filename == __file__
    assert np.array_equal(again.train.x, data.train.x)
    assert sorted(entry.name for entry in file.parent.iterdir()) == [file.name, f"{file.name}.damaged"]


def test_cache_that_fails_half_way_leaves_nothing(card, monkeypatch):
    def full(*args, **arrays):
        args[0].write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.warns(UserWarning, match=r"loaded but not kept: .*No space left"):
        cache.write(card, {"train": kit.datasets.Split(np.zeros(1), np.zeros(1))})
    assert list(cache.path(card).parent.iterdir()) == []


def test_cache_needs_no_pickle(card):
    cache.path(card).parent.mkdir(parents=True)
    trap = np.empty(20, object)
    np.savez(cache.path(card), train_x=trap, train_y=trap, test_x=trap, test_y=trap)
    with pytest.warns(UserWarning, match=r"allow_pickle=False"):
        assert cache.read(card) is None
