"""MRI: the user's folder in each accepted form, everything that can be wrong with it, its cache, and the stand-in."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import kit.datasets
from kit.datasets import mri, registry
from kit.datasets.synthetic import slices

HEAD = "id,label1,label2,label3"
UNVERIFIED = "ignore:mri is not verified:UserWarning"
pytestmark = pytest.mark.filterwarnings(UNVERIFIED)

rng = np.random.default_rng(0)
GREY = rng.integers(0, 256, (64, 64), np.uint8)
COLOUR = rng.integers(0, 256, (64, 64, 3), np.uint8)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """$KIT_DATA/mri: two images to train, one to validate, two to test, without test labels."""
    folder = tmp_path / "data" / "mri"
    tables = {
        "train": f"{HEAD}\n7,1,0,1\n03,0,0,0\n",
        "validation": f"{HEAD}\n7,0,1,0\n",
        "test": "id\nb\na\n",
    }
    for name, table in tables.items():
        (folder / name).mkdir(parents=True)
        (folder / f"{name}.csv").write_text(table)
    np.save(folder / "train" / "7.npy", COLOUR)
    Image.fromarray(GREY).save(folder / "train" / "03.png")
    np.save(folder / "validation" / "7.npy", GREY[..., None])
    Image.fromarray(COLOUR).save(folder / "test" / "a.png")
    np.save(folder / "test" / "b.npy", GREY)
    monkeypatch.setenv("KIT_DATA", str(tmp_path / "data"))
    return folder


def load_error(kind, *said):
    """Expect load("mri") to fail in one line that says these things, with no library's trace behind it."""
    with pytest.raises(kind) as caught:
        kit.datasets.load("mri")
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.__cause__ is None and (caught.value.__context__ is None or caught.value.__suppress_context__)
    for part in said:
        assert part in message


def equal(image, expected):
    return np.array_equal(image, np.broadcast_to(expected if expected.ndim == 3 else expected[..., None], (64, 64, 3)))


# The folder


def test_images_and_labels_in_the_order_of_the_tables():
    data = kit.datasets.load("mri")
    assert (data.task, data.classes) == ("multilabel", ("label 1", "label 2", "label 3"))
    assert data.train.x.shape == (2, 64, 64, 3) and data.train.x.dtype == data.train.y.dtype == np.uint8
    assert data.train.y.tolist() == [[1, 0, 1], [0, 0, 0]] and data.validation.y.tolist() == [[0, 1, 0]]
    assert equal(data.train.x[0], COLOUR) and equal(data.train.x[1], GREY) and equal(data.validation.x[0], GREY)
    assert data.test.y is None and equal(data.test.x[0], GREY) and equal(data.test.x[1], COLOUR)
    assert data.scaled().test.y is None and data.take(1, seed=0).test.y is None


def test_a_jpeg_serves_too(folder):
    smooth = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    for ending, colours in ((".jpg", smooth), (".JPG", np.stack([smooth] * 3, axis=-1))):
        for file in (folder / "validation").iterdir():
            file.unlink()
        Image.fromarray(colours).save(folder / "validation" / f"7{ending}", quality=95)
        found = kit.datasets.load("mri").validation.x[0].astype(int)
        assert np.abs(found - smooth[..., None]).max() < 8


def test_a_palette_is_looked_up(folder):
    few = GREY // 64 * 60
    (folder / "train" / "03.png").unlink()
    Image.fromarray(few).convert("P").convert("RGB").quantize(8).save(folder / "train" / "03.png")
    with Image.open(folder / "train" / "03.png") as image:
        assert image.mode == "P"
    assert equal(kit.datasets.load("mri").train.x[1], few)


def test_test_labels_where_there_are_any(folder):
    (folder / "test.csv").write_text(f"{HEAD}\nb,1,1,0\na,0,0,1\n")
    data = kit.datasets.load("mri")
    assert data.test.y.tolist() == [[1, 1, 0], [0, 0, 1]]


def test_the_columns_order_and_others_do_not_matter(folder):
    (folder / "train.csv").write_text("\ufefflabel3, label1 ,who,id,label2\n1,1,x,7,0\n\n0,0,y,03,0\n", "utf-8")
    (folder / "train" / "notes.txt").write_text("no image")
    (folder / "train" / "._7.png").write_text("what macOS leaves behind")
    assert kit.datasets.load("mri").train.y.tolist() == [[1, 0, 1], [0, 0, 0]]


def test_a_set_unlike_the_reports_is_said():
    with pytest.warns(UserWarning, match="mri is not verified") as caught:
        data = kit.datasets.load("mri")
    assert data.origin == "real, unverified" and len(caught) == 1
    message = str(caught[0].message)
    for said in (
        "train has 2 images, the report's 12000", "validation has 1 images, the report's 3000",
        "1 training images bear no label, the report's 6153", "0 validation images bear label1, the report's 1447",
    ):  # fmt: skip
        assert said in message


def test_a_set_like_the_reports_is_not(monkeypatch):
    monkeypatch.setattr(mri, "UNLABELLED", 1)
    monkeypatch.setattr(mri, "SUPPORT", (0, 1, 0))
    card = replace(registry.MRI, counts={"train": 2, "validation": 1, "test": 2})
    monkeypatch.setattr(registry, "cards", (card,))
    assert kit.datasets.load("mri").origin == "real"


# What can be wrong


def test_no_folder(folder, monkeypatch):
    shutil.rmtree(folder)
    said = ["train.csv", "id,label1,label2,label3", "ID.png, ID.jpg, ID.npy", 'source="synthetic"']
    load_error(FileNotFoundError, f"{folder / 'train.csv'} is missing", *said)
    monkeypatch.delenv("KIT_DATA")
    load_error(FileNotFoundError, "$KIT_DATA/mri/train.csv is missing", *said)


@pytest.mark.parametrize("gone", ["train.csv", "test.csv", "validation"])
def test_a_part_of_the_folder_missing(folder, gone):
    shutil.move(folder / gone, folder / "elsewhere")
    load_error(FileNotFoundError, f"{folder / gone} is missing", 'source="synthetic"')


@pytest.mark.parametrize(
    "name, table, said",
    [
        (
            "train",
            "id,label1,label3\n7,1,1\n03,0,0\n",
            "train.csv should have one column each of label2; it has id, label1, label3",
        ),
        (
            "train",
            "7,1,0,1\n03,0,0,0\n",
            "should have one column each of id, label1, label2, label3; it has 7, 1, 0, 1",
        ),
        ("train", "id\n7\n03\n", "train.csv should have one column each of label1, label2, label3"),
        ("train", "id,label1,label2,label3,id\n7,1,0,1,7\n", "train.csv should have one column each of id; it has id,"),
        ("test", "id,label1\nb,1\na,0\n", "test.csv should have one column each of label2, label3"),
        ("test", "name\nb\na\n", "test.csv should have one column each of id; it has name"),
        ("train", "", "train.csv is no table of comma-separated text: No columns"),
        ("train", "\n\n", "train.csv has no rows"),
        ("train", f"{HEAD}\n", "train.csv has no rows"),
        ("train", f"{HEAD}\n7,1,0,1\n\n03,0,2,0\n", "train.csv, line 4: '03,0,2,0' should have 0 or 1 as label2"),
        ("train", f"{HEAD}\n7,1,0,\n03,0,0,0\n", "train.csv, line 2: '7,1,0,' should have 0 or 1 as label3"),
        ("train", f"{HEAD}\n7,1,0\n03,0,0,0\n", "train.csv, line 2: '7,1,0' should have 4 cells, as the first line"),
        ("train", f"{HEAD}\n7,1,0,1,1\n03,0,0,0\n", "comma-separated text: Expected 4 fields in line 2, saw 5"),
        ("train", f"{HEAD}\n7,1,0,1\n03,0,0,0\n7,0,0,1\n", "line 4: '7,0,0,1' should have an id that is not in a line"),
        ("train", f"{HEAD}\n,1,0,1\n", "train.csv, line 2: ',1,0,1' should have an id"),
    ],
)
def test_a_bad_table(folder, name, table, said):
    (folder / f"{name}.csv").write_text(table)
    load_error(ValueError, said)


def test_a_table_that_is_none(folder):
    shutil.copy(folder / "train" / "03.png", folder / "train.csv")
    load_error(ValueError, "train.csv is no table of comma-separated text")


def test_an_id_without_a_file(folder):
    (folder / "train" / "03.png").unlink()
    load_error(FileNotFoundError, "train.csv, line 3: ", "train holds none of 03.png, 03.jpg, 03.npy")


def test_an_id_is_no_path(folder):
    (folder / "train.csv").write_text(f"{HEAD}\n7,1,0,1\n../validation/7,0,0,0\n")
    load_error(FileNotFoundError, "line 3")


def test_a_file_without_an_id(folder):
    np.save(folder / "test" / "c.npy", GREY)
    load_error(ValueError, f"{folder / 'test' / 'c.npy'} is not in {folder / 'test.csv'}: no row has the id 'c'")
    np.save(folder / "test" / "d.npy", GREY)
    load_error(ValueError, "c.npy is not in", "the id 'c' (2 such images)")


def test_two_files_of_an_id(folder):
    np.save(folder / "train" / "03.npy", GREY)
    load_error(ValueError, "train holds 03.npy and 03.png: one image an id")


@pytest.mark.parametrize(
    "image, said",
    [
        (COLOUR[:32], "uint8 of (32, 64, 3); it should be uint8 of (64, 64, 3), or grey"),
        (np.zeros((64, 64, 4), np.uint8), "uint8 of (64, 64, 4)"),
        (np.zeros(64 * 64 * 3, np.uint8), "uint8 of (12288,)"),
        (COLOUR / 255, "float64 of (64, 64, 3); it should be uint8"),
        (np.full((64, 64), None), "cannot be read as an image: Object arrays cannot be loaded"),
    ],
)
def test_an_array_of_another_form(folder, image, said):
    np.save(folder / "train" / "7.npy", image)
    load_error(ValueError, f"{folder / 'train' / '7.npy'} ", said)


@pytest.mark.parametrize("mode", ["RGBA", "I;16", "F"])
def test_an_image_of_another_kind(folder, mode):
    (folder / "train" / "03.png").unlink()
    file = folder / "train" / "03.png"
    Image.new(mode, (64, 64)).save(file, "TIFF" if mode == "F" else None)
    load_error(ValueError, f"{file} is ", "it should be uint8 of (64, 64, 3), or grey")


@pytest.mark.parametrize("name, size", [("03.png", 0), ("03.png", 60), ("03.png", 1000), ("7.npy", 60), ("7.npy", 500)])
def test_an_image_cut_short(folder, name, size):
    file = folder / "train" / name
    file.write_bytes(file.read_bytes()[:size])
    load_error(ValueError, f"{file} cannot be read as an image")


def test_an_array_that_promises_more_than_memory_holds(folder):
    file = folder / "train" / "7.npy"
    content = file.read_bytes()
    promised = b"(64, 64, 99999999999999), }"
    file.write_bytes(content.replace(b"(64, 64, 3), }" + b" " * (len(promised) - 14), promised))
    load_error(ValueError, f"{file} cannot be read as an image")


# The cache


def cached():
    return sorted(file.name for file in Path(os.environ["KIT_CACHE"]).iterdir())


def test_unchanged_files_are_decoded_once(monkeypatch):
    first = kit.datasets.load("mri")
    monkeypatch.setattr(mri, "_decode", None)
    again = kit.datasets.load("mri")
    for split in ("train", "validation", "test"):
        assert np.array_equal(getattr(first, split).x, getattr(again, split).x)
        assert np.array_equal(getattr(first, split).y, getattr(again, split).y)
    assert again.test.y is None and again.train.x.dtype == np.uint8


def change_pixels(folder):
    file = folder / "train" / "7.npy"
    status = file.stat()
    np.save(file, 255 - COLOUR)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))  # the same size, and the time set back


def change_order(folder):
    (folder / "train.csv").write_text(f"{HEAD}\n03,0,0,0\n7,1,0,1\n")


def change_name(folder):
    (folder / "train" / "03.png").rename(folder / "train" / "3.png")
    (folder / "train.csv").write_text(f"{HEAD}\n7,1,0,1\n3,0,0,0\n")


@pytest.mark.parametrize("change, first", [(change_pixels, 255 - COLOUR), (change_order, GREY), (change_name, COLOUR)])
def test_changed_files_are_decoded_anew(folder, change, first):
    kit.datasets.load("mri")
    before = cached()
    change(folder)
    assert equal(kit.datasets.load("mri").train.x[0], first)
    assert len(cached()) == 1 and cached() != before  # the old one is gone


def test_new_labels_are_seen_though_the_images_are_cached(folder):
    kit.datasets.load("mri")
    (folder / "train.csv").write_text(f"{HEAD}\n7,0,1,0\n03,0,0,0\n")
    assert kit.datasets.load("mri").train.y.tolist() == [[0, 1, 0], [0, 0, 0]]


def test_the_progress_bar_is_for_those_who_look_on(monkeypatch, capfd):
    kit.datasets.load("mri")
    assert capfd.readouterr() == ("", "")


# The submission


def test_a_submission_can_be_read_as_the_test_table(folder, tmp_path):
    data = kit.datasets.load("mri")
    path = tmp_path / "submission.csv"
    mri.write_submission(path, data, np.array([[0.9, 0.1, 0.2], [0.2, 0.3, 0.7]]) >= 0.5)
    assert path.read_bytes() == b"id,label1,label2,label3\nb,1,0,0\na,0,0,1\n"
    shutil.copy(path, folder / "test.csv")
    assert kit.datasets.load("mri").test.y.tolist() == [[1, 0, 0], [0, 0, 1]]
    first = replace(data, test=kit.datasets.Split(data.test.x[:1], None))  # as the quick profile has it
    mri.write_submission(path, first, [[0, 1, 0]])
    assert path.read_text().splitlines()[1:] == ["b,0,1,0"]


def test_what_is_no_submission(folder, tmp_path):
    data, path = kit.datasets.load("mri"), tmp_path / "submission.csv"
    with pytest.raises(ValueError, match=r"predicted is float64 of \(2, 3\); it should be 0 and 1 of \(2, 3\)"):
        mri.write_submission(path, data, np.full((2, 3), 0.5))
    with pytest.raises(ValueError, match=r"of \(1, 3\); it should be 0 and 1 of \(2, 3\)"):
        mri.write_submission(path, data, [[0, 1, 0]])
    (folder / "test.csv").write_text("id\nb\n")
    with pytest.raises(ValueError, match=r"test.csv has 1 rows, and the data 2 test images: load the data again"):
        mri.write_submission(path, data, np.zeros((2, 3)))
    assert not path.exists()


def test_a_submission_of_a_set_whose_folder_is_not_known_any_more(tmp_path, monkeypatch):
    data = kit.datasets.load("mri")
    monkeypatch.delenv("KIT_DATA")
    with pytest.raises(ValueError, match=r"^\$KIT_DATA/mri/test.csv is no file; it should be a table") as error:
        mri.write_submission(tmp_path / "submission.csv", data, np.zeros((2, 3)))
    assert "\n" not in str(error.value)


# The stand-in


@pytest.fixture(scope="module")
def synthetic():
    return slices.generate(seed=0, train=600, validation=150, test=90)


def test_the_labels_are_as_frequent_as_in_the_real_set():
    for n, unlabelled, counts in ((3_000, 1538, (1447, 1153, 684)), (12_000, 6153, (5788, 4612, 2736))):
        y = slices.labels(np.random.default_rng(0), n)
        assert y.shape == (n, 3) and y.dtype == np.uint8 and set(np.unique(y)) == {0, 1}
        assert y.sum(axis=0).tolist() == list(counts) and (~y.any(axis=1)).sum() == unlabelled
        labelled = y[y.any(axis=1)]
        assert abs(np.corrcoef(labelled[:, 1], labelled[:, 2])[0, 1]) < 0.05  # independent of each other
        assert 0.4 < y[: n // 2].any(axis=1).mean() < 0.6  # in random order


def test_form_of_the_synthetic(synthetic):
    for name, count in (("train", 600), ("validation", 150), ("test", 90)):
        x, y = synthetic[name]
        assert x.shape == (count, 64, 64, 3) and x.dtype == np.uint8 and y.shape == (count, 3) and y.dtype == np.uint8
        assert np.array_equal(x[..., 0], x[..., 1]) and np.array_equal(x[..., 0], x[..., 2])
        assert len({image.tobytes() for image in x}) == count
    x = synthetic["train"].x[..., 0]
    assert x[:, :3, :3].mean() < 20 and 80 < x[:, 24:40, 24:40].mean() < 150  # black corners, grey brain
    labelled = synthetic["train"].y.any(axis=1)
    covered = (x > 40).mean(axis=(1, 2))  # by the head: smaller near the crown, where labels are rare
    assert (
        covered[~labelled].mean() < covered[labelled].mean() - 0.05
        and covered[~labelled].max() > covered[labelled].mean()
    )


def test_a_seed_decides_everything(synthetic):
    same, other = (slices.generate(seed=seed, train=600, validation=150, test=90) for seed in (0, 1))
    for name, split in synthetic.items():
        assert all(np.array_equal(a, b) for a, b in zip(split, same[name]))
        assert not np.array_equal(split.x, other[name].x)


@pytest.mark.parametrize("label, sign", [(0, 1), (1, -1), (2, 1)])
def test_a_lesion_is_small_and_anywhere(label, sign):
    """The same heads, with one kind of lesion and with none."""
    heads = slices._lay(np.random.default_rng(0), np.ones(100, bool))
    without = slices._paint(np.random.default_rng(1), heads)
    image = without.copy()
    slices.LESIONS[label](np.random.default_rng(2), heads, image, np.arange(0, 100, 2))
    change = image - without
    assert not change[1::2].any()  # those not chosen
    touched = np.abs(change[::2]) > 0.05
    assert touched.any(axis=(1, 2)).all() and touched.mean(axis=(1, 2)).max() < 0.1
    assert np.sign(change[::2][touched].mean()) == sign
    assert touched.any(axis=(0, 1)).sum() > 30 and touched.any(axis=(0, 2)).sum() > 35  # columns and rows
    assert without[::2][touched].mean() > 0.3  # in the brain, not in the dark skull or outside


def test_load_and_a_submission_of_the_synthetic(monkeypatch, tmp_path):
    small = replace(registry.MRI, generate=lambda: slices.generate(seed=0, train=20, validation=10, test=4))
    monkeypatch.setattr(registry, "cards", (small,))
    data = kit.datasets.load("mri", source="synthetic")
    assert data.origin == "synthetic" and len(data.validation.x) == 10 and data.test.y.shape == (4, 3)
    mri.write_submission(tmp_path / "synthetic.csv", data, data.test.y)
    assert [row.split(",")[0] for row in (tmp_path / "synthetic.csv").read_text().split()] == ["id", "0", "1", "2", "3"]
