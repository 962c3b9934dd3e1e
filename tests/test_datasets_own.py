"""One's own data: arrays, a folder of pictures, a card and a reader; and all that can be wrong with them."""

import gzip
import http.server
import os
import struct
import sys
import threading
import zipfile
import zlib
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import kit.datasets
from kit.datasets import Card, File, Split, from_arrays, from_folder, idx, pictures
from kit.files import checksum

x = np.random.default_rng(0).integers(0, 256, (12, 6, 5, 3), np.uint8)
y = np.arange(12) % 3
flat = x.reshape(12, -1) / np.float32(255)


def own(labels, test=None, images=x, **options):
    return from_arrays((images, labels), (images, test), **options)


# Arrays


def test_arrays_are_taken_as_they_are():
    data = from_arrays((x, y), test=(x[:4], y[:4]), validation=(x[4:], y[4:]), title="Leaves")
    assert data.train.x is x and data.train.y is y and data.test.y.tolist() == [0, 1, 2, 0]
    assert (data.task, data.classes, data.origin) == ("multiclass", ("0", "1", "2"), "own")
    assert repr(data).startswith(
        "Dataset Leaves (own), multiclass, 3 classes: train (12, 6, 5, 3) uint8, validation (8,"
    )
    for made in (data.take(5, 0), data.scaled(), data.standardized(), data.map(np.negative)):
        assert made.origin == "own"
    assert own(y, y).hold_out(0.25, 0).origin == "own"
    assert own(y).test.y is None and own(y).hold_out(0.25, 0).test.y is None


def test_grey_images_get_their_last_axis_and_features_none():
    grey = own(y, images=x[..., 0])
    assert grey.train.x.shape == (12, 6, 5, 1) and np.shares_memory(grey.train.x, x)
    features = flat.copy()
    features[:, 7] = 0.25  # StandardScaler leaves such a column at 0 too
    data = own(y, images=features)
    assert data.train.x.shape == (12, 90) and data.train.x is features
    mean, sd = data.standardized().train.x.mean(axis=0), data.standardized().train.x.std(axis=0)
    assert mean == pytest.approx(0, abs=1e-5) and np.delete(sd, 7) == pytest.approx(1, abs=1e-5) and sd[7] == 0


@pytest.mark.parametrize(
    "labels, options, task, classes, expected",
    [
        (["b", "a", "c"] * 4, {}, "multiclass", ("a", "b", "c"), [1, 0, 2] * 4),
        (["b", "a", "c"] * 4, {"classes": ["c", "b", "a", "d"]}, "multiclass", ("c", "b", "a", "d"), [1, 2, 0] * 4),
        (pd.Series(["b", "a", "c"] * 4), {}, "multiclass", ("a", "b", "c"), [1, 0, 2] * 4),
        (pd.Series(["b", "a", "c"] * 4, dtype="category"), {}, "multiclass", ("a", "b", "c"), [1, 0, 2] * 4),
        (pd.Series([1, 0, 2] * 4, dtype="Int64"), {}, "multiclass", ("0", "1", "2"), [1, 0, 2] * 4),
        (y[:, None].astype(float), {}, "multiclass", ("0", "1", "2"), [0, 1, 2] * 4),
        (y > 0, {"classes": ("no", "yes")}, "multiclass", ("no", "yes"), [0, 1, 1] * 4),
        (np.eye(4)[y], {"task": "multiclass"}, "multiclass", ("0", "1", "2", "3"), [0, 1, 2] * 4),
        (np.eye(3)[y], {}, "multilabel", ("label 1", "label 2", "label 3"), np.eye(3)[y].tolist()),
        (pd.DataFrame([[0, 0], [1, 1]] * 6), {"classes": "pq"}, "multilabel", ("p", "q"), [[0, 0], [1, 1]] * 6),
        (y[:, None] > 0, {"task": "multilabel"}, "multilabel", ("label 1",), [[0], [1], [1]] * 4),
        (y[:, None] > 0, {"task": "multilabel", "classes": ["ill"]}, "multilabel", ("ill",), [[0], [1], [1]] * 4),
        (x[..., 0] > 100, {}, "segmentation", ("0", "1"), (x[..., :1] > 100).tolist()),
        (x[..., :1] // 64, {}, "segmentation", ("0", "1", "2", "3"), (x[..., :1] // 64).tolist()),
    ],
)  # fmt: skip
def test_labels_of_every_form(labels, options, task, classes, expected):
    data = own(labels, labels, **options)
    assert (data.task, data.classes) == (task, classes) == (data.card.task, data.card.classes)
    assert data.train.y.dtype == (np.int64 if task == "multiclass" else np.uint8)
    assert data.train.y.tolist() == data.test.y.tolist() == expected


def test_the_classes_are_those_of_all_splits():
    assert from_arrays((x, ["b", "c"] * 6), (x, ["a", "b"] * 6)).classes == ("a", "b", "c")


NAN = np.where(np.arange(90) == 5, np.nan, flat)


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda: from_arrays(x, (x, y)), r"train is ndarray; it must be a pair \(x, y\)"),
        (lambda: from_arrays((x, y), None), r"test is NoneType; it must be a pair"),
        (lambda: own(y[:5]), r"train has 12 images and labels of \(5,\)"),
        (lambda: own(y, y[:5]), r"test has 12 images and labels of \(5,\)"),
        (lambda: own(None), "train y is None; only test may be without labels"),
        (lambda: from_arrays((x, y), (x, y), validation=(x, None)), "validation y is None"),
        (lambda: own(y[:0], images=x[:0]), r"train x is uint8 of \(0, 6, 5, 3\); .* n above 0"),
        (lambda: own(y, images=y), r"train x is int64 of \(12,\); it must be numbers of"),
        (lambda: own(y, images=x.astype(str)), r"train x is <U3 of"),
        (lambda: own(y, images=NAN), r"train x holds 12 values that are NaN or infinite"),
        (lambda: own([0, 1], images=[[1], [1, 2]]), "train x cannot be made an array: setting an array element"),
        (lambda: from_arrays((x, y), (x[:, :4], y)), r"uint8 of \(6, 5, 3\)', 'test': 'uint8 of \(4, 5, 3\)'}; they"),
        (lambda: from_arrays((flat, y), (flat * 255 // 1, y)).scaled(), r"pixels are float32; scaled"),
        (lambda: from_arrays((flat, y), (flat.astype(float), y)), r"float32 of .*float64 of .*one shape and dtype"),
        (lambda: own(y + 1), "the labels hold 3; with 3 classes it must be a number from 0 to 2, or give more"),
        (lambda: own(y - 1), "the labels hold -1; with 3 classes"),
        (lambda: own(y + 0.5), "the labels hold 0.5; with 3 classes"),
        (lambda: own(y / np.where(y == 2, np.nan, 1)), "the labels hold nan; with 3 classes"),
        (lambda: own(y, classes=("a", "b")), "the labels hold 2; with 2 classes it must be a number from 0 to 1"),
        (lambda: own(y, y + 3, classes="abcd"), "the labels hold 4; with 4 classes"),
        (lambda: own(["a", "z"] * 6, classes=("a", "b")), "the labels hold 'z'; with 2 classes it must be one of a, b"),
        (lambda: own(["a", None] * 6), r"train y is object of \(12,\)"),
        (lambda: own(["a", "b"] * 6, y), r"'text of \(\)', 'test': 'numbers of \(\)'}; they must be of one"),
        (lambda: own(np.eye(3)[y], np.eye(4)[y]), r"numbers of \(3,\)', 'test': 'numbers of \(4,\)'}; they must be"),
        (lambda: own(y, classes="aab"), r"classes=\('a', 'a', 'b'\); it must be 3 names, each another"),
        (lambda: own(np.eye(3)[y], classes="ab"), r"classes=\('a', 'b'\); it must be 3 names"),
        (lambda: own(np.eye(3)[y] * 2), r"y is float64 of \(12, 3\) for images .* task='multilabel' it must be \(n, "),
        (lambda: own(np.ones((12, 3)), task="multiclass"), r"'multiclass' it must be .* with one 1 a row"),
        (lambda: own(y, task="segmentation"), r"'segmentation' it must be \(n, height, width\) or"),
        (lambda: own(x[:, :4, :, 0] > 9), r"y is bool of \(12, 4, 5\) for images of \(12, 6, 5, 3\); for task='se"),
        (lambda: own((x[..., 0] > 99) * 255), r"the labels hold 255; with 2 classes it must be a number from 0 to 1"),
        (lambda: own(y, task="regression"), "task='regression'; it must be multiclass, multilabel, segmen.* or None"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit_are_one_line(make, said):
    with pytest.raises(ValueError, match=said) as error:
        make()
    assert "\n" not in str(error.value)
    assert error.value.__cause__ is None and (error.value.__context__ is None or error.value.__suppress_context__)


def test_map_takes_arrays_of_as_many_images():
    data = own(y, y)
    assert data.map(lambda x: x[:, :3].astype(float)).test.x.shape == (12, 3, 5, 3) and data.test.x is x
    for function, said in [
        (
            lambda x: x[1:],
            r"function gives an array of \(11, 6, 5, 3\) for the train images; it must .* of \(12, \.\.\.\)",
        ),
        (lambda x: list(x), "function gives list for the train images"),
        (lambda x: x.sum(), "function gives uint64 for the train images"),
        (lambda x: None, "function gives NoneType for the train images"),
    ]:
        with pytest.raises(ValueError, match=said):
            data.map(function)


# A folder of pictures


def save(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(image, np.uint8)).save(path, **options)


def plain(value, size=(8, 8)):
    """A picture all of one brightness or colour."""
    return np.broadcast_to(np.uint8(value), (*size, *np.shape(value)))


@pytest.fixture
def animals(tmp_path):
    """A folder a class: ten grey pictures of cats, 0 to 9 bright, and ten of dogs, 100 to 109."""
    for i in range(10):
        save(tmp_path / "animals" / "cat" / f"{i}.png", plain(i))
        save(tmp_path / "animals" / "dog" / "young" / f"{i}.BMP", plain(100 + i))
    (tmp_path / "animals" / "cat" / "notes.txt").write_text("no picture")
    (tmp_path / "animals" / "cat" / "._0.png").write_text("what macOS leaves behind")
    return tmp_path / "animals"


def test_a_folder_a_class(animals):
    data = from_folder(animals, image_size=4)
    assert (data.task, data.classes, data.origin) == ("multiclass", ("cat", "dog"), "own")
    assert repr(data).startswith("Dataset animals (own)") and data.validation is None
    assert data.train.x.shape == (16, 4, 4, 1) and data.test.x.shape == (4, 4, 4, 1) and data.train.x.dtype == np.uint8
    assert np.bincount(data.train.y).tolist() == [8, 8] and np.bincount(data.test.y).tolist() == [2, 2]
    for images, labels in (data.train, data.test):
        assert np.array_equal(images[:, 0, 0, 0] >= 100, labels)
    both = np.concatenate([data.train.x, data.test.x])[:, 0, 0, 0]
    assert sorted(both) == [*range(10), *range(100, 110)]
    again, other, half = (from_folder(animals, image_size=4, **how) for how in ({}, {"seed": 1}, {"test": 0.5}))
    assert np.array_equal(again.test.x, data.test.x) and not np.array_equal(other.test.x, data.test.x)
    assert np.bincount(half.test.y).tolist() == [5, 5]
    drawn = [from_folder(animals, image_size=1, seed=seed).test.y for seed in range(8)]
    assert all(np.bincount(labels).tolist() == [2, 2] for labels in drawn)  # by chance once in 25


def test_splits_that_are_there_are_kept_in_order(tmp_path):
    for split, values in {"train": (3, 1, 2), "test": (9,), "validation": (7, 8)}.items():
        for i, value in enumerate(values):
            save(tmp_path / split / "a" / f"{i}.png", plain(value))
            save(tmp_path / split / "b" / f"{i}.png", plain((value, 0, 0)))  # in colour, so all become so
    data = from_folder(tmp_path, image_size=8)
    assert data.train.x.shape == (6, 8, 8, 3) and data.classes == ("a", "b")
    assert data.train.x[:, 0, 0].tolist() == [[3] * 3, [1] * 3, [2] * 3, [3, 0, 0], [1, 0, 0], [2, 0, 0]]
    assert data.train.y.tolist() == [0, 0, 0, 1, 1, 1] and data.validation.x[:, 0, 0, 0].tolist() == [7, 8, 7, 8]
    assert data.test.y.tolist() == [0, 1]
    save(tmp_path / "val" / "a" / "1.png", plain(1))
    with pytest.raises(ValueError, match=r"one of the folders train, validation, test, .*; val/a/1.png is elsewhere"):
        from_folder(tmp_path, image_size=8)


def test_pictures_are_made_small_and_masks_keep_their_numbers(tmp_path):
    stripes = np.arange(8) % 2 * 200 + np.zeros((8, 1))
    halves = (np.arange(8) >= 4) * 255 + np.zeros((8, 1))
    for i in range(4):
        save(tmp_path / "images" / f"{i}.png", stripes)
        save(tmp_path / "masks" / f"{i}.bmp", halves)
        save(tmp_path / "beside" / f"{i}.png", stripes)
        save(tmp_path / "beside" / f"{i}_anno.bmp", halves)
    for folder, masks in (("images", tmp_path / "masks"), ("beside", "{}_anno.bmp"), ("beside", "{}_anno")):
        data = from_folder(tmp_path / folder, image_size=4, masks=masks, test=0.25)
        assert (data.task, data.classes) == ("segmentation", ("0", "255"))
        assert data.train.x.shape == data.train.y.shape == (3, 4, 4, 1) and data.test.y.dtype == np.uint8
        assert data.test.y[0, 1, :, 0].tolist() == [0, 0, 1, 1]
        assert np.abs(data.test.x[0, 1, 1:3, 0].astype(int) - 100).max() < 20  # averages; the nearest pixel is 0 or 200


def test_a_table_of_classes_or_of_labels(animals, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("file, kind\ncat/9.png,NA\ndog/young/0.BMP,big\ncat/1.png,NA\ncat/2.png,big\n")
    data = from_folder(animals, image_size=8, labels=table, test=0.5)
    assert (data.task, data.classes) == ("multiclass", ("NA", "big")) and len(data.train.x) == len(data.test.x) == 2
    found = np.concatenate([data.train.x, data.test.x])[:, 0, 0, 0], np.concatenate([data.train.y, data.test.y])
    assert dict(zip(*found)) == {1: 0, 2: 1, 9: 0, 100: 1}
    table.write_text("file,ill,old\ncat/9.png,1,0\ndog/young/0.BMP,0,1\ncat/1.png,1,1\ncat/2.png,0,0\n")
    data = from_folder(animals, image_size=8, labels=str(table), test=0.25)
    assert (data.task, data.classes) == ("multilabel", ("ill", "old"))
    found = np.concatenate([data.train.x, data.test.x])[:, 0, 0, 0], np.concatenate([data.train.y, data.test.y])
    assert {value: labels.tolist() for value, labels in zip(*found)} == {1: [1, 1], 2: [0, 0], 9: [1, 0], 100: [0, 1]}


def test_other_kinds_of_picture(tmp_path):
    colours = Image.fromarray(plain((10, 200, 30))).quantize(4)
    for i, image in enumerate([colours, colours.convert("RGBA"), colours.convert("CMYK"), colours.convert("RGB")]):
        (tmp_path / "abcd"[i]).mkdir()
        image.save(tmp_path / "abcd"[i] / "x.tiff")
        image.save(tmp_path / "abcd"[i] / "y.tiff")
    data = from_folder(tmp_path, image_size=4, test=0.5)
    assert np.abs(data.train.x.astype(int) - (10, 200, 30)).max() <= 1


def link(animals):
    (animals / "cat" / "link.png").symlink_to("/etc/hostname")


def folder_link(animals):
    (animals / "mouse").symlink_to(animals / "cat")


def huge(animals):
    """A file of a few bytes that says it holds 4 billion pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 80_000, 50_000, 1, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + struct.pack(">I", 100) + b"IDAT"
    (animals / "cat" / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + b"\0" * 100)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and links of another kind")
@pytest.mark.parametrize(
    "damage, said",
    [
        (lambda a: (a / "cat" / "3.png").write_text("<html>"), "cat/3.png cannot be read as an image: cannot identify"),
        (lambda a: os.truncate(a / "cat" / "3.png", 45), "cat/3.png cannot be read as an image: "),
        (lambda a: (a / "cat" / "0.gif").mkdir(), None),
        (lambda a: (a / "cat" / "gone.png").symlink_to("nowhere"), "cat/gone.png cannot be read .* no regular file"),
        (link, "cat/link.png is a link to a folder or out of .*animals: put the pictures themselves there"),
        (folder_link, "mouse is a link to a folder or out of"),
        (huge, r"cat/huge.png cannot be read as an image: .*4000000000 pixels|80000x50000 pixels are more than"),
        (lambda a: Image.new("I;16", (4, 4)).save(a / "cat" / "x.png"), r"x.png .* mode I;16; .* 8 bits a channel"),
        (lambda a: save(a / "9.png", plain(1)), r"with labels, each in a folder of its class .*; 9.png is elsewhere"),
        (lambda a: (a / "train").mkdir(), "animals has one of the folders train and test; it should"),
        (lambda a: [(a / of).mkdir() for of in ("train", "test")], r"each in one of .*; cat/0.png is elsewhere"),
    ],
)  # fmt: skip
def test_a_bad_folder_is_one_line(animals, damage, said):
    damage(animals)
    if said is None:
        assert len(from_folder(animals, image_size=4).train.x) == 16
        return
    with pytest.raises(ValueError, match=said) as error:
        from_folder(animals, image_size=4)
    assert "\n" not in str(error.value) and (error.value.__context__ is None or error.value.__suppress_context__)


def test_a_huge_picture_is_not_decoded(animals, monkeypatch):
    save(animals / "cat" / "x.png", plain(0, (20, 20)))
    monkeypatch.setattr(pictures, "MOST_PIXELS", 399)
    with pytest.raises(ValueError, match=r"x.png cannot be read as an image: its 20x20 pixels are more than 399"):
        from_folder(animals, image_size=4)
    monkeypatch.setattr(pictures, "MOST_PIXELS", 400)
    assert len(from_folder(animals, image_size=4).train.x) == 17


@pytest.mark.parametrize(
    "table, said",
    [
        ("file,kind\ncat/77.png,a\n", "line 2: 'cat/77.png,a' should begin with the name of a picture in .*animals"),
        ("file,kind\n../animals/cat/1.png,a\n", "line 2: .* should begin with the name of a picture"),
        ("file,kind\ncat/1.png,a\n\ncat/1.png,b\n", "line 4: 'cat/1.png,b' should begin with a name that is not in"),
        ("file,kind\ncat/1.png,\n", "line 2: 'cat/1.png,' should have a class"),
        ("file,a,b\ncat/1.png,1,2\n", "line 2: 'cat/1.png,1,2' should have a 0 or 1 for each label"),
        ("file,a,b\ncat/1.png,1\n", "line 2: 'cat/1.png,1' should have 3 cells, as the first line"),
        ("file\ncat/1.png\n", "has the column file alone"),
        ("file,kind\n", "has no rows below"),
        ("", "is no table of comma-separated text"),
        (None, "labels.csv is no file; it should be a table"),
    ],
)  # fmt: skip
def test_a_bad_table_is_one_line(animals, tmp_path, table, said):
    if table is not None:
        (tmp_path / "labels.csv").write_text(table)
    with pytest.raises(ValueError, match=f"labels.csv.* {said}" if table is not None else said) as error:
        from_folder(animals, image_size=4, labels=tmp_path / "labels.csv")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "damage, said",
    [
        (lambda m: (m / "2.png").unlink(), "2.png and 0 more have no mask; masks='.*masks' should name it"),
        (lambda m: save(m / "2.bmp", plain(0)), "2.png and 2.bmp may both be a mask: keep one"),
        (lambda m: save(m / "2.png", plain(0, (8, 9))), r"2.png cannot .* a PNG of \(9, 8\) .* should be of \(8, 8\)"),
        (lambda m: save(m / "2.png", plain((0, 1, 2))), "2.png cannot .* mode RGB; .* one number a pixel"),
        (lambda m: (m / "2.png").rename(m / "2.jpg") and save(m / "2.jpg", plain(0)), "no JPEG, which blurs"),
        (lambda m: (m / "2.png").write_bytes(b""), "masks/2.png cannot be read as an image"),
    ],
)
def test_a_bad_mask_is_one_line(tmp_path, damage, said):
    for i in range(4):
        save(tmp_path / "images" / f"{i}.png", plain(i))
        save(tmp_path / "masks" / f"{i}.png", plain(i % 2))
    damage(tmp_path / "masks")
    with pytest.raises(ValueError, match=said) as error:
        from_folder(tmp_path / "images", image_size=4, masks=tmp_path / "masks")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "options, kind, said",
    [
        ({"image_size": 0}, ValueError, "image_size=0; it must be a whole number of at least 1"),
        ({"labels": "a.csv", "masks": "masks"}, ValueError, "labels='a.csv' and masks='masks'; it must be one of them"),
        ({"test": 1.5}, ValueError, "fraction is 1.5; it should be between 0 and 1"),
        ({"seed": -1}, ValueError, "seed=-1"),
        ({"path": "nowhere"}, FileNotFoundError, "nowhere is no folder"),
    ],
)
def test_bad_options_are_one_line(animals, options, kind, said):
    with pytest.raises(kind, match=said):
        from_folder(**{"path": animals, "image_size": 4} | options)
    for file in animals.rglob("*.*"):
        file.unlink()
    with pytest.raises(
        ValueError, match=r"animals should hold pictures with labels, each in a folder of its class .*; there is none"
    ):
        from_folder(animals, image_size=4)


def test_a_pipe_is_not_waited_for(animals):
    """The read of a pipe would wait for a writer: the error comes at once, in a thread that ends."""
    os.mkfifo(animals / "cat" / "pipe.png")
    caught = []

    def read():
        try:
            from_folder(animals, image_size=4)
        except ValueError as error:
            caught.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(20)
    if thread.is_alive():
        os.close(os.open(animals / "cat" / "pipe.png", os.O_RDWR))  # let it go on and end
    assert "cat/pipe.png cannot be read as an image: it is no regular file" in str(caught)


# A card and a reader: CIFAR-10 in its binary form, ten pictures a file in place of ten thousand

NAMES = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]


def read_cifar10(folder, card):
    """Each picture is a byte of its class and 3072 of its channels, red, green and blue, a row after the other."""
    paths = [folder / file.name for file in card.files]
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise FileNotFoundError(f"{missing[0]} is missing: unpack {card.homepage} there")
    rows = [np.fromfile(path, np.uint8).reshape(-1, 3073) for path in paths]
    x = [batch[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1) for batch in rows]
    y = [batch[:, 0].astype(np.int64) for batch in rows]
    splits = {"train": Split(np.concatenate(x[:5]), np.concatenate(y[:5])), "test": Split(x[5], y[5])}
    return splits, [complaint for file, path in zip(card.files, paths) for complaint in file.complaints(path)]


@pytest.fixture
def cifar10(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    folder = tmp_path / "data" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for name in NAMES:
        rows = rng.integers(0, 256, (10, 3073), np.uint8)
        rows[:, 0] = rng.permutation(10)
        (folder / name).write_bytes(rows.tobytes())
    monkeypatch.setenv("KIT_DATA", str(tmp_path / "data"))
    return Card(
        name="cifar10",
        title="CIFAR-10",
        classes=tuple("airplane automobile bird cat deer dog frog horse ship truck".split()),
        image_shape=(32, 32, 3),
        folder="cifar-10-batches-bin",
        files=tuple(File(name, checksum(folder / name, "sha256:")) for name in NAMES),
        read=read_cifar10,
        homepage="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    )


def test_a_card_of_ones_own_is_loaded(cifar10, tmp_path, monkeypatch):
    data = kit.datasets.load(cifar10)
    assert repr(data) == (
        "Dataset cifar10 (real), multiclass, 10 classes: train (50, 32, 32, 3) uint8, test (10, 32, 32, 3) uint8"
    )
    path = tmp_path / "data" / "cifar-10-batches-bin" / "data_batch_1.bin"
    content = path.read_bytes()
    assert data.train.x[0, 3, 5].tolist() == [content[1 + channel * 1024 + 3 * 32 + 5] for channel in range(3)]
    assert data.train.y[0] == content[0] and np.bincount(data.train.y).tolist() == [5] * 10
    assert kit.datasets.load(cifar10, image_size=32).card is cifar10
    path.write_bytes(content[:-1] + b"x")
    with pytest.warns(UserWarning, match=r"cifar10 is not verified: .*data_batch_1.bin has the content sha256:"):
        assert kit.datasets.load(cifar10).origin == "real, unverified"
    with pytest.raises(ValueError, match="cifar10 has no synthetic images"):
        kit.datasets.load(cifar10, source="synthetic")
    with pytest.raises(ValueError, match="image_size is 28; cifar10 has images of 32 pixels"):
        kit.datasets.load(cifar10, image_size=28)
    monkeypatch.delenv("KIT_DATA")
    with pytest.raises(FileNotFoundError, match=r"\$KIT_DATA/cifar-10-batches-bin/data_batch_1.bin is missing"):
        kit.datasets.load(cifar10)


def test_a_card_needs_a_name_and_a_title_alone():
    card = Card("mine", "Mine")
    for source in ("real", "synthetic"):
        with pytest.raises(ValueError, match=f"mine has no {source} images"):
            kit.datasets.load(card, source=source)
    with pytest.raises(ValueError, match="image_size is 8; mine has images of one size"):
        kit.datasets.load(card, image_size=8)


def test_one_meaning_of_a_hash(tmp_path):
    """What a .gz file unpacks to, whatever it is packed with; of any other file its bytes, archives too."""
    content = b"the content"
    (tmp_path / "plain").write_bytes(content)
    for packed in ("one.gz", "two.gz", "two.gz.part"):
        (tmp_path / packed).write_bytes(gzip.compress(content, mtime=hash(packed) % 2**31))
    with zipfile.ZipFile(tmp_path / "some.npz", "w") as archive:
        archive.write(tmp_path / "plain", "plain")
    official = File("one.gz", checksum(content, "sha256:"))
    for name in ("plain", "one.gz", "two.gz", "two.gz.part"):
        assert official.complaints(tmp_path / name) == []
    assert (
        File("some.npz", checksum((tmp_path / "some.npz").read_bytes(), "md5:")).complaints(tmp_path / "some.npz") == []
    )
    [complaint] = official.complaints(tmp_path / "some.npz")
    assert complaint.startswith(f"{tmp_path / 'some.npz'} has the content sha256:") and official.hash in complaint


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A folder that is served from this machine, and its address."""
    (tmp_path / "served").mkdir()
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "served")
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *args: None)
    monkeypatch.setenv("no_proxy", "*")
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
    yield tmp_path / "served", f"http://127.0.0.1:{running.server_port}/"
    running.shutdown()
    running.server_close()


def test_an_own_card_in_the_idx_form_is_downloaded_and_kept(served, tmp_path, monkeypatch):
    """As KMNIST would be: a card with addresses and hashes, the kit's own reader, no counts and no stand-in."""
    arrays = [np.arange(40).reshape(10, 2, 2), np.arange(10) % 2, np.arange(8).reshape(2, 2, 2), np.arange(2)]
    names = [f"{part}.gz" for part in ("train-images", "train-labels", "test-images", "test-labels")]
    files, (folder, address) = [], served
    for name, array in zip(names, arrays):
        content = (
            bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()
        )
        (folder / name).write_bytes(gzip.compress(content))
        files.append(File(name, checksum(content, "sha256:")))
    card = Card(
        "kana", "Kana", classes=("a", "i"), image_shape=(2, 2, 1), folder="kana", files=tuple(files), read=idx.read
    )
    card = replace(card, address=address)
    for _ in range(2):
        data = kit.datasets.load(card)
        assert data.origin == "real" and data.train.x[:, 1, 1, 0].tolist() == list(range(3, 40, 4))
        assert data.test.y.tolist() == [0, 1]
        (folder / names[0]).unlink(missing_ok=True)  # the second is from the cache
    for spoilt in (b"no gzip", gzip.compress(b"other"), gzip.compress(b"x" * 99)[:-9]):
        (folder / names[0]).write_bytes(spoilt)
        with pytest.raises(
            ValueError, match=r"of other is not the official one: http://.*/train-images.gz (has|is|begins)"
        ) as error:
            kit.datasets.load(replace(card, name="other"))
        assert "\n" not in str(error.value) and "synthetic" not in str(error.value)
    monkeypatch.setenv("KIT_DATA", str(tmp_path))
    (tmp_path / "kana").mkdir()
    with pytest.raises(FileNotFoundError, match=r"holds neither train-images.gz nor train-images: fetch .* into it$"):
        kit.datasets.load(card)
