"""OrganAMNIST: the official .npz file in all its ways of being wrong, the download that is resumed, the stand-in."""

import functools
import hashlib
import http.server
import io
import os
import pickle
import subprocess
import sys
import threading
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import kit.datasets
from kit.datasets import registry
from kit.datasets.card import File
from kit.datasets.synthetic import organs

COUNTS = {"train": 22, "val": 11, "test": 13}
OFFICIAL = {28: registry.ORGANAMNIST, 128: registry.ORGANAMNIST_128}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    monkeypatch.delenv("KIT_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "*")


def arrays(side):
    rng = np.random.default_rng(0)
    found = {}
    for name, n in COUNTS.items():
        found[f"{name}_images"] = rng.integers(0, 256, (n, side, side), np.uint8)
        found[f"{name}_labels"] = (np.arange(n, dtype=np.uint8) % 11)[:, None]
    return found


def npz(content):
    file = io.BytesIO()
    np.savez_compressed(file, **content)
    return file.getvalue()


@functools.cache
def official(side):
    """A file in the official form, to be taken for the official one."""
    return npz(arrays(side))


@pytest.fixture
def cards(monkeypatch):
    """organamnist with these files for the official ones, and nobody at its address."""
    found = {
        side: replace(
            card, address="http://127.0.0.1:9/", files=(File(card.files[0].name, f"md5:{md5(official(side))}"),)
        )
        for side, card in OFFICIAL.items()
    }
    monkeypatch.setattr(registry, "cards", (registry.MNIST, *found.values()))
    return found


def md5(content):
    return hashlib.md5(content).hexdigest()


@pytest.fixture
def folder(cards, tmp_path, monkeypatch):
    """$KIT_DATA/organamnist with both files."""
    folder = tmp_path / "data" / "organamnist"
    folder.mkdir(parents=True)
    for side, card in cards.items():
        (folder / card.files[0].name).write_bytes(official(side))
    monkeypatch.setenv("KIT_DATA", str(tmp_path / "data"))
    return folder


def load_error(kind, *said, side=28):
    """Expect a load to fail in one line that says these things, with no library's trace behind it."""
    with pytest.raises(kind) as caught:
        kit.datasets.load("organamnist", image_size=side)
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.__cause__ is None and (caught.value.__context__ is None or caught.value.__suppress_context__)
    for part in said:
        assert part in message, message
    kept = Path(os.environ["KIT_CACHE"])
    assert not [file for file in kept.rglob("*") if file.is_file() and file.suffix != ".part"]


# The file


@pytest.mark.parametrize("side", [28, 128])
def test_the_official_split_in_its_order(folder, side):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = kit.datasets.load("organamnist", image_size=side)
    assert data.origin == "real" and data.task == "multiclass"
    for split, key in {"train": "train", "validation": "val", "test": "test"}.items():
        x, y = getattr(data, split)
        assert x.shape == (COUNTS[key], side, side, 1) and x.dtype == np.uint8
        assert y.shape == (COUNTS[key],) and y.dtype == np.int64
        assert x.tobytes() == arrays(side)[f"{key}_images"].tobytes()
        assert y.tolist() == arrays(side)[f"{key}_labels"].ravel().tolist()


def test_the_card():
    small, large = OFFICIAL.values()
    assert small.classes[6] == "liver" and small.classes[1:3] == ("femur-left", "femur-right")
    assert len(small.classes) == 11 and sum(small.counts.values()) == 58_830
    assert [card.files for card in (small, large)] == [
        (("organamnist.npz", "md5:68e3f8846a6bd62f0c9bf841c0d9eacc"),),
        (("organamnist_128.npz", "md5:eeae80d0a227a8d099027e1b3cfd3b60"),),
    ]
    assert registry.find("organamnist") is small and registry.find("organamnist", 128) is large
    with pytest.raises(ValueError, match="image_size is 64; organamnist has images of 28 or 128 pixels"):
        kit.datasets.load("organamnist", image_size=64)


def test_at_128_the_images_stay_on_disk(folder):
    small, large = (kit.datasets.load("organamnist", image_size=side) for side in (28, 128))
    assert not is_mapped(small.train.x) and all(
        is_mapped(split.x) for split in (large.train, large.validation, large.test)
    )
    assert type(large.train.x) is np.ndarray and not large.train.x.flags.writeable
    unpacked = [file.relative_to(os.environ["KIT_CACHE"]) for file in Path(os.environ["KIT_CACHE"]).rglob("*.npy")]
    assert len(unpacked) == 3
    assert {str(file.parent) for file in unpacked} == {f"organamnist/organamnist_128-{md5(official(128))[:16]}"}
    taken = large.take(5, seed=0).scaled()  # what a Dataset does is done in memory
    assert taken.train.x.shape == (5, 128, 128, 1) and taken.train.x.flags.writeable


def is_mapped(array):
    while array is not None and not isinstance(array, np.memmap):
        array = array.base
    return array is not None


def test_unpacked_once_and_again_when_cut_short(folder):
    kit.datasets.load("organamnist", image_size=128)
    (file,) = Path(os.environ["KIT_CACHE"]).rglob("train_images.npy")
    first = file.stat().st_mtime_ns
    kit.datasets.load("organamnist", image_size=128)
    assert file.stat().st_mtime_ns == first
    os.truncate(file, 5000)
    data = kit.datasets.load("organamnist", image_size=128)
    assert data.train.x.tobytes() == arrays(128)["train_images"].tobytes()
    assert not list(file.parent.glob("*.part"))


def test_another_file_is_unpacked_beside_it(folder):
    kit.datasets.load("organamnist", image_size=128)
    (folder / "organamnist_128.npz").write_bytes(npz(arrays(128) | {"train_images": arrays(128)["train_images"][::-1]}))
    with pytest.warns(UserWarning, match="not verified"):
        data = kit.datasets.load("organamnist", image_size=128)
    assert np.array_equal(data.train.x[0, ..., 0], arrays(128)["train_images"][-1])


def test_without_room_to_unpack_the_images_are_in_memory(folder, tmp_path, monkeypatch):
    (tmp_path / "a file").write_text("in the way")
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "a file"))
    with pytest.warns(UserWarning, match="cannot unpack to .*; set KIT_CACHE to a folder with room") as caught:
        data = kit.datasets.load("organamnist", image_size=128)
    assert data.train.x.tobytes() == arrays(128)["train_images"].tobytes() and not is_mapped(data.train.x)
    assert caught[0].filename == __file__ and "\n" not in str(caught[0].message)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory in use from /proc")
def test_loading_does_not_take_the_memory_of_the_images(folder):
    """1,500 images of 128x128 are 24 MB, and twice as much when they are copied once; loading adds a few buffers."""
    one = np.random.default_rng(0).integers(0, 256, (1, 128, 128), np.uint8)
    many = {"train_images": np.repeat(one, 1500, axis=0), "train_labels": np.zeros((1500, 1), np.uint8)}
    (folder / "organamnist_128.npz").write_bytes(npz(arrays(128) | many))
    code = (
        "import re, warnings; warnings.simplefilter('ignore'); import kit.datasets\n"
        "def used(): return int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
        "kit.datasets.load('organamnist'); before = used()\n"
        "data = kit.datasets.load('organamnist', image_size=128); print((used() - before) / 1024)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert float(done.stdout) < 12, done  # MB


def test_unofficial_content_is_loaded_with_a_warning_and_said(folder):
    (folder / "organamnist.npz").write_bytes(npz(arrays(28) | {"more": np.zeros(1)}))
    with pytest.warns(
        UserWarning, match=r"organamnist is not verified: .*organamnist.npz has the content md5:"
    ) as caught:
        data = kit.datasets.load("organamnist")
    assert data.origin == "real, unverified"
    assert len(caught) == 1 and "\n" not in str(caught[0].message) and caught[0].filename == __file__


def without(name, side=28):
    return npz({key: array for key, array in arrays(side).items() if key != name})


def with_(side=28, **changed):
    return npz(arrays(side) | changed)


def damaged(side=28):
    """One byte of the images' compressed data is another."""
    content = bytearray(official(side))
    content[2000] ^= 1
    return bytes(content)


def cut_inside():
    """A whole archive, an array of which is shorter than its header says."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays(28).items():
            whole = io.BytesIO()
            np.save(whole, array)
            archive.writestr(f"{name}.npy", whole.getvalue()[: -5 if name == "val_images" else None])
    return file.getvalue()


@pytest.mark.parametrize("side", [28, 128])
@pytest.mark.parametrize(
    "content, said",
    [
        (lambda side: without("val_labels", side), ["lacks val_labels; it holds train_images, train_labels"]),
        (lambda side: npz({}), ["lacks train_images, train_labels"]),
        (lambda side: official(side)[: len(official(side)) // 2], ["is not a whole .npz file", "fetch it again from"]),
        (lambda side: b"<html>gone</html>", ["is not a whole .npz file"]),
        (lambda side: b"", ["is not a whole .npz file"]),
        (damaged, ["is not a whole .npz file"]),
        (lambda side: official(156 - side), ["train_images is uint8 of (22, ", "; it should be uint8 of (n, "]),
        (lambda side: with_(side, test_labels=np.zeros(13, np.uint8)), ["test_labels is uint8 of (13,)", "(13, 1)"]),
        (lambda side: with_(side, val_labels=np.zeros((12, 1), np.uint8)), ["uint8 of (12, 1)", "(11, 1)"]),
        (lambda side: with_(side, val_labels=np.zeros((11, 1))), ["val_labels is float64"]),
        (lambda side: with_(side, val_labels=np.full((11, 1), 11, np.uint8)), ["val_labels holds 11", "are 0 to 10"]),
        (lambda side: with_(side, val_labels=np.full((11, 1), -1)), ["val_labels holds -1", "are 0 to 10"]),
        (lambda side: with_(side, train_images=np.zeros((22, side, side), np.float32)), ["train_images is float32"]),
        (lambda side: with_(side, train_images=np.zeros((22, side, side, 3), np.uint8)), ["8, 3); "]),
        (lambda side: with_(side, train_images=np.zeros((0, side, side), np.uint8),
                            train_labels=np.zeros((0, 1), np.uint8)), ["train_images is uint8 of (0, "]),
    ],
)  # fmt: skip
def test_bad_files(folder, side, content, said):
    path = folder / registry.find("organamnist", side).files[0].name
    path.write_bytes(content(side))
    load_error(ValueError, str(path), *said, side=side)


def test_an_array_cut_short_inside_a_whole_archive(folder):
    (folder / "organamnist.npz").write_bytes(cut_inside())
    load_error(ValueError, "is not a whole .npz file")


@pytest.mark.parametrize("side", [28, 128])
def test_pickled_objects_are_never_loaded(folder, side, monkeypatch):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(folder / "sprung"),)

    trap = np.full(22, Trap(), object)
    path = folder / registry.find("organamnist", side).files[0].name
    for name in ("train_images", "test_labels"):
        path.write_bytes(with_(side, **{name: trap}))
        load_error(ValueError, f"{name} holds pickled objects, which are not loaded", side=side)
    assert not (folder / "sprung").exists()
    with pytest.raises(FileExistsError):  # the trap works
        (folder / "sprung").mkdir()
        pickle.loads(pickle.dumps(Trap()))


def test_a_missing_file_is_an_error_and_no_download(folder):
    (folder / "organamnist_128.npz").unlink()
    load_error(
        FileNotFoundError, str(folder), "lacks organamnist_128.npz", "http://127.0.0.1:9/", "synthetic", side=128
    )


# The download


class Handler(http.server.SimpleHTTPRequestHandler):
    """A server that sends a part where it is asked for one, and breaks off where the test says so."""

    def do_GET(self):
        asked = self.headers["Range"]
        served.append((self.path, asked, self.headers["User-Agent"]))
        if self.path[1:] not in files:
            self.send_error(404)
            return
        content = files[self.path[1:]]
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and ranges[0] else 0
        if asked and ranges[0] and start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if asked and ranges[0] else 200)
        if asked and ranges[0]:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", len(content) - start)
        self.end_headers()
        end = breaks.pop(0) if breaks else None
        self.wfile.write(content[start:end])

    def log_message(self, *args):
        pass


served, files, breaks, ranges = [], {}, [], [True]


@pytest.fixture
def server(cards, monkeypatch):
    """The address of both files, served from this machine."""
    served.clear(), breaks.clear(), files.clear()
    ranges[0] = True
    files.update({card.files[0].name: official(side) for side, card in cards.items()})
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
    address = f"http://127.0.0.1:{running.server_port}/"
    monkeypatch.setattr(registry, "cards", tuple(replace(card, address=address) for card in cards.values()))
    yield address
    running.shutdown()
    running.server_close()


def part():
    return Path(os.environ["KIT_CACHE"]) / "organamnist" / "organamnist.npz.part"


def test_the_download_is_quiet_and_kept(server, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = kit.datasets.load("organamnist")
        again = kit.datasets.load("organamnist")
    assert data.origin == again.origin == "real"
    assert len(served) == 1 and served[0][2].startswith("course-kit/")  # Zenodo turns Python's own name away
    assert again.train.x.tobytes() == data.train.x.tobytes() == arrays(28)["train_images"].tobytes()
    assert capfd.readouterr() == ("", "")
    assert [file.name for file in part().parent.iterdir()] == ["organamnist.npz"]
    assert is_mapped(kit.datasets.load("organamnist", image_size=128).train.x)


def test_a_broken_download_is_gone_on_with(server):
    breaks[:] = [9000, 12000]  # of the whole file
    load_error(FileNotFoundError, "broke off after 9,000 bytes, from where the next goes on", server, "synthetic")
    load_error(FileNotFoundError, "broke off after 12,000 bytes")
    assert part().read_bytes() == official(28)[:12000]
    assert kit.datasets.load("organamnist").origin == "real"
    assert [asked for _, asked, _ in served] == [None, "bytes=9000-", "bytes=12000-"]
    assert not part().exists() and (part().parent / "organamnist.npz").read_bytes() == official(28)


def test_a_server_that_sends_no_parts(server):
    breaks[:] = [9000]
    load_error(FileNotFoundError, "broke off after 9,000 bytes")
    ranges[0] = False
    assert kit.datasets.load("organamnist").origin == "real"
    assert (part().parent / "organamnist.npz").read_bytes() == official(28)


def test_a_part_that_was_whole_already(server):
    part().parent.mkdir(parents=True)
    part().write_bytes(official(28))
    assert kit.datasets.load("organamnist").origin == "real" and not part().exists()


def test_the_hash_is_checked_before_the_file_gets_its_name(server):
    other = with_(train_images=np.zeros((22, 28, 28), np.uint8))
    files["organamnist.npz"] = other
    load_error(ValueError, f"has the content md5:{md5(other)}, not the official md5:{md5(official(28))}", server)
    assert not list(part().parent.iterdir())
    part().write_bytes(b"something else")  # what a part began with counts too
    files["organamnist.npz"] = official(28)
    load_error(ValueError, "not the official")
    assert kit.datasets.load("organamnist").origin == "real"


def test_a_damaged_file_in_the_cache_is_set_aside_and_fetched_anew(server):
    kit.datasets.load("organamnist")
    kept = part().parent / "organamnist.npz"
    for bad in (official(28)[:5000], with_(train_images=np.zeros((22, 28, 28), np.uint8))):
        kept.write_bytes(bad)
        with pytest.warns(UserWarning, match="set aside as organamnist.npz.damaged, fetched anew") as caught:
            data = kit.datasets.load("organamnist")
        assert len(caught) == 1 and "\n" not in str(caught[0].message) and caught[0].filename == __file__
        assert data.origin == "real" and kept.read_bytes() == official(28)
        assert (kept.parent / "organamnist.npz.damaged").read_bytes() == bad


def test_no_network(cards):
    load_error(
        FileNotFoundError, "http://127.0.0.1:9/organamnist.npz", "refused", f"md5:{md5(official(28))}",
        "$KIT_DATA/organamnist", 'source="synthetic"',
    )  # fmt: skip


def test_file_gone_from_the_server(server):
    files.clear()
    load_error(FileNotFoundError, f"{server}organamnist.npz cannot be downloaded", "404", 'source="synthetic"')


# The stand-in


@pytest.fixture(scope="module")
def synthetic():
    return kit.datasets.load("organamnist", source="synthetic")


def test_form_and_imbalance(synthetic):
    assert synthetic.origin == "synthetic"
    sizes = {"train": 3456, "validation": 649, "test": 1778}  # a tenth of the official splits
    for split, count in sizes.items():
        x, y = getattr(synthetic, split)
        assert x.shape == (count, 28, 28, 1) and x.dtype == np.uint8 and y.dtype == np.int64
        assert abs(np.bincount(y) - np.array(organs._COUNTS[split]) / 10).max() < 1
        assert set(y[:200]) == set(range(11))  # in random order
    assert {split: sum(counts) for split, counts in organs._COUNTS.items()} == synthetic.card.counts
    rarest = {synthetic.classes[i] for i in np.argsort(np.bincount(synthetic.train.y))[:3]}
    assert rarest == {"femur-left", "femur-right", "heart"} and np.bincount(synthetic.train.y).argmax() == 6
    images = np.concatenate([synthetic.train.x, synthetic.validation.x, synthetic.test.x])
    assert len({image.tobytes() for image in images}) == len(images)
    assert 0.25 < images.mean() / 255 < 0.5 and images.max() == 255


def test_a_seed_decides_everything():
    first, same, other = (organs.organs([seed, 3], 3, 4, 28) for seed in (0, 0, 1))
    assert np.array_equal(first, same) and not np.array_equal(first, other)


def test_the_same_pictures_at_both_sizes():
    """Averaged to 4x4, which 28 and 128 pixels both divide into, little but the grain is left to differ."""
    for label in range(11):
        small, large = (organs.organs([0, label], label, 6, size).astype(float) for size in (28, 128))
        small, large = (x.reshape(6, 4, len(x[0]) // 4, 4, -1).mean(axis=(2, 4)) for x in (small, large))
        assert np.abs(small - large).max() < 12
        assert np.abs(small - large[::-1]).max() > 20


@pytest.mark.parametrize("left, right", [("femur-left", "femur-right"), ("kidney-left", "kidney-right"),
                                         ("lung-left", "lung-right")])  # fmt: skip
def test_left_and_right_differ_by_their_place_alone(left, right, synthetic):
    (place, *shape), (other, *same) = (organs._ORGANS[synthetic.classes.index(name)] for name in (left, right))
    assert shape == same and place[0] == -other[0] > 0 and place[1] == other[1]


def test_the_size_can_be_anything_and_one_picture_will_do():
    for label in range(11):
        (image,) = organs.organs([1, label], label, 1, 20)
        assert image.shape == (20, 20) and image.std() > 15


def test_there_is_something_to_learn_beyond_the_average_image(synthetic):
    """By the nearest average image of a class: better than always liver, far from done."""
    means = np.stack([synthetic.train.x[synthetic.train.y == label].mean(axis=0).ravel() for label in range(11)])
    x = synthetic.test.x.reshape(len(synthetic.test.x), -1).astype(float)
    right = (x @ means.T - (means**2).sum(axis=1) / 2).argmax(axis=1) == synthetic.test.y
    assert 0.3 < right.mean() < 0.7
