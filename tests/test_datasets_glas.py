"""GlaS: its folder and all that can be wrong with it, its stains and grades, its stand-in."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2hed
from sklearn.ensemble import HistGradientBoostingClassifier

import kit.datasets
from kit.datasets import Dataset, Split, glas, registry, sources
from kit.datasets.synthetic import glands

DATA = Path(os.environ.get("KIT_DATA") or "no data")
COUNTS = {"train": 11, "test": 3, "test_b": 2}
NAMES = [f"{of}_{i}" for of, count in (("train", 11), ("testA", 3), ("testB", 2)) for i in range(1, count + 1)]


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    monkeypatch.delenv("KIT_DATA", raising=False)


@pytest.fixture(scope="module")
def synthetic():
    return kit.datasets.load("glas", source="synthetic", image_size=64)


def image_of(number):
    """24 pixels wide, 16 high: its red all `number`, its green 0 and 200 in turn along a line, its blue noise."""
    image = np.random.default_rng(number).integers(0, 256, (16, 24, 3)).astype(np.uint8)
    image[..., 0], image[..., 1] = number, np.arange(24) % 2 * 200
    return image


def mask_of(number):
    """Two glands: of the number 1 the left third, of a high number the lower right corner."""
    mask = np.zeros((16, 24), np.uint8)
    mask[:, :8], mask[8:, 18:] = 1, 200 + number
    return mask


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """$KIT_DATA/glas in the official form, with 11 + 3 + 2 pairs of 24x16 pixels, to be loaded at 8x8."""
    card = replace(registry.GLAS, counts=COUNTS, image_shape=(8, 8, 3))
    monkeypatch.setattr(registry, "cards", (card, replace(card, image_shape=(4, 4, 3))))
    monkeypatch.setattr(glas, "_SIZE", (24, 16))
    folder = tmp_path / "data" / "glas"
    folder.mkdir(parents=True)
    for number, name in enumerate(NAMES):
        Image.fromarray(image_of(number)).save(folder / f"{name}.bmp")
        Image.fromarray(mask_of(number)).save(folder / f"{name}_anno.bmp")
    write_grades(folder)
    monkeypatch.setenv("KIT_DATA", str(tmp_path / "data"))
    return folder


def write_grades(folder, without=None, **other):
    """The table as it is handed out: unsorted, with blanks, two columns of grades; malignant every third."""
    rows = ["name,patient ID, grade (GlaS), grade (Sirinukunwattana et al. 2015)"]
    for number, name in reversed(list(enumerate(NAMES))):
        grade = other.get(name, "malignant" if number % 3 == 0 else "benign")
        rows += [f"{name},{number}, {grade}, healthy"] * (name != without)
    (folder / "Grade.csv").write_text("\n".join(rows) + "\n")


def load_error(kind, *said):
    with pytest.raises(kind) as caught:
        kit.datasets.load("glas")
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.__cause__ is None and (caught.value.__context__ is None or caught.value.__suppress_context__)
    for part in said:
        assert part in message


# The folder


def test_folder_gives_the_images_in_the_order_of_their_numbers(folder):
    data = kit.datasets.load("glas")
    assert data.origin == "real" and data.task == "segmentation" and data.classes == ("background", "gland")
    assert data.validation is None and list(data.extra) == ["test_b"]
    splits = {"train": data.train, "test": data.test, **data.extra}
    assert {name: split.x.shape for name, split in splits.items()} == {n: (c, 8, 8, 3) for n, c in COUNTS.items()}
    assert {name: split.y.shape for name, split in splits.items()} == {n: (c, 8, 8, 1) for n, c in COUNTS.items()}
    assert all(array.dtype == np.uint8 for split in splits.values() for array in split)
    reds = np.concatenate([split.x[..., 0] for split in splits.values()])
    assert np.array_equal(reds, np.broadcast_to(np.arange(16)[:, None, None], (16, 8, 8)))  # train_2 before train_10


def test_images_are_averaged_and_masks_are_not(folder):
    data = kit.datasets.load("glas")
    # A pixel of the small image covers two rows and three columns.
    blocks = image_of(4).reshape(8, 2, 8, 3, 3).mean(axis=(1, 3))
    assert np.abs(data.train.x[4] - blocks).max() < 0.501
    assert data.train.x[4, 0, :2, 1].tolist() == [67, 133]  # of 0 200 0 and 200 0 200
    # In the middle of these: rows 1, 3, ..., 15 and columns 1, 4, ..., 22.
    expected = np.zeros((8, 8), int)
    expected[:, :3], expected[4:, 6:] = 1, 1
    assert data.train.y[4, ..., 0].tolist() == expected.tolist()
    assert kit.datasets.load("glas", image_size=4).test.x.shape == (3, 4, 4, 3)


def test_averages_where_the_pixels_do_not_fit():
    line = np.repeat(np.uint8([[0, 90, 30]]), 3, axis=0)[..., None].repeat(3, axis=2)
    # Each of two pixels covers one and a half: (0 + 90 / 2) / 1.5 and (90 / 2 + 30) / 1.5.
    for image in (line, line.swapaxes(0, 1)):
        averaged = glas._averaged(image, 2)
        assert averaged[..., 0].tolist() in ([[30, 50], [30, 50]], [[30, 30], [50, 50]])
    # Enlarged: the middle one of three pixels covers a third of each of two.
    assert glas._averaged(np.uint8([[[0] * 3, [30] * 3]]), 3)[1, :, 2].tolist() == [0, 15, 30]


def test_a_mask_may_have_a_palette(folder):
    """An 8-bit bitmap may have colours for its numbers; the numbers count, and not whether their colours are black."""
    mask = Image.fromarray(mask_of(0))
    mask.putpalette([255, 255, 255] + [0, 0, 0] * 255)
    before = kit.datasets.load("glas").train.y
    mask.save(folder / "train_1_anno.bmp")
    assert np.array_equal(kit.datasets.load("glas").train.y, before)


def test_images_of_another_size_are_said(folder, monkeypatch):
    Image.fromarray(image_of(0)[:12]).save(folder / "train_1.bmp")  # some of the official images are smaller
    Image.fromarray(mask_of(0)[:12]).save(folder / "train_1_anno.bmp")
    assert kit.datasets.load("glas").origin == "real"
    monkeypatch.setattr(glas, "_SIZE", (775, 522))
    with pytest.warns(UserWarning, match=r"glas is not verified: 16 of 16 images in .*glas are .* 775x522") as caught:
        assert kit.datasets.load("glas").origin == "real, unverified"
    assert len(caught) == 1 and caught[0].filename == __file__


def test_without_the_folder_there_is_no_download(monkeypatch, tmp_path):
    monkeypatch.setattr(sources, "download", lambda card: pytest.fail("tried to download"))
    said = [registry.GLAS.homepage, "train_1.bmp to train_85.bmp", "testA_60.bmp", "testB_20.bmp", "train_1_anno.bmp"]
    said += ["Grade.csv", 'source="synthetic"']
    load_error(FileNotFoundError, "$KIT_DATA/glas", *said)
    monkeypatch.setenv("KIT_DATA", str(tmp_path))
    load_error(FileNotFoundError, str(tmp_path / "glas"), *said)
    (tmp_path / "glas").mkdir()
    (tmp_path / "glas" / "Grade.csv").write_text("name,grade\n")
    load_error(FileNotFoundError, f"{tmp_path / 'glas'} lacks 330 of the 331 files of glas", *said)
    assert not Path(os.environ["KIT_CACHE"]).exists()


def cut_short(folder):
    whole = (folder / "testA_2.bmp").read_bytes()
    (folder / "testA_2.bmp").write_bytes(whole[: len(whole) // 2])


def save(name, array):
    return lambda folder: Image.fromarray(np.array(array, np.uint8)).save(folder / name)


@pytest.mark.parametrize(
    "damage, kind, said",
    [
        (
            lambda f: (f / "train_5_anno.bmp").unlink(),
            FileNotFoundError,
            "of the 33 files of glas, the first train_5_anno.bmp: ask",
        ),
        (lambda f: (f / "train_5.bmp").unlink(), FileNotFoundError, "files of glas, the first train_5.bmp: ask for"),
        (save("train_12_anno.bmp", mask_of(0)), ValueError, "holds train_12_anno.bmp, no part of glas: train_1.bmp to"),
        (
            save("testA_1.bmp", image_of(0)[:, :-1]),
            ValueError,
            "testA_1.bmp is an array of (16, 23, 3) and testA_1_anno.bmp of (16, 24); they should",
        ),
        (
            save("testA_1_anno.bmp", image_of(0)),
            ValueError,
            "(16, 24, 3) and testA_1_anno.bmp of (16, 24, 3); they should be",
        ),
        (
            save("testB_2.bmp", mask_of(0)),
            ValueError,
            "testB_2.bmp is an array of (16, 24) and testB_2_anno.bmp of (16, 24); they should be RGB",
        ),
        (save("train_3_anno.bmp", np.zeros((16, 24))), ValueError, "train_3_anno.bmp has the values 0 to 0; it should"),
        (
            save("train_3_anno.bmp", np.arange(1, 385).reshape(16, 24) % 255 + 1),
            ValueError,
            "train_3_anno.bmp has the values 1 to 255; it should have both background (0) and glands",
        ),
        (cut_short, ValueError, "testA_2.bmp cannot be read as an image: image file is truncated"),
        (
            lambda f: (f / "testA_2_anno.bmp").write_text("<html>"),
            ValueError,
            "testA_2_anno.bmp cannot be read as an image",
        ),
        (lambda f: (f / "testA_2.bmp").write_bytes(b""), ValueError, "testA_2.bmp cannot be read as an image"),
        (
            lambda f: (f / "Grade.csv").unlink(),
            FileNotFoundError,
            "lacks 1 of the 33 files of glas, the first Grade.csv",
        ),
        (
            lambda f: (f / "Grade.csv").write_bytes(b""),
            ValueError,
            "Grade.csv is no table of comma-separated text: No columns",
        ),
        (lambda f: (f / "Grade.csv").write_bytes(b"\xff;\x00"), ValueError, "Grade.csv is no table of comma-separated"),
        (lambda f: (f / "Grade.csv").write_text("who,grade\nx,benign\n"), ValueError, "it should have name and grade"),
        (
            lambda f: (f / "Grade.csv").write_text("name,grade\ntrain_1\n"),
            ValueError,
            "Grade.csv, line 2: 'train_1' should have 2 cells",
        ),
        (lambda f: write_grades(f, without="train_10"), ValueError, "Grade.csv has no row for train_10"),
        (
            lambda f: write_grades(f, testB_1="adenoma"),
            ValueError,
            "Grade.csv gives testB_1 the grade 'adenoma'; it should",
        ),
    ],
)
def test_bad_input(folder, damage, kind, said):
    damage(folder)
    load_error(kind, str(folder), said)


# Grades


def test_grades_follow_the_images(folder):
    data = kit.datasets.load("glas")
    expected = ["malignant", "benign", "benign"] * 6
    found = glas.grades(data)
    assert {name: words.tolist() for name, words in found.items()} == {
        "train": expected[:11],
        "test": expected[11:14],
        "test_b": expected[14:16],
    }
    assert list(glas.grades(data.hold_out(0.2, 0, stratify=False))) == ["test", "test_b"]
    rows = [f"{i},{name}, {expected[i]}" for i, name in enumerate(NAMES)]
    (folder / "Grade.csv").write_text("\n".join(["\ufeffpatient ID,name,grade", *rows]), encoding="utf-8")
    assert np.array_equal(glas.grades(data)["test"], found["test"])


def test_the_synthetic_grades_are_as_many_as_the_real_ones(synthetic):
    counts = {name: [(words == grade).sum() for grade in glas.GRADES] for name, words in glas.grades(synthetic).items()}
    assert counts == {"train": [37, 48], "test": [33, 27], "test_b": [4, 16]}


# Stains, and what else is done with the splits


def dataset(x, **more):
    split = Split(np.asarray(x, np.uint8), np.zeros((len(x), 1, 1, 1), np.uint8))
    return Dataset(split, None, split, ("background", "gland"), "segmentation", registry.GLAS, "synthetic", **more)


def test_stains_of_pure_dyes():
    """Light that passed through one dye alone, by the absorptions of Ruifrok and Johnston."""
    thin, thick = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]]), np.array([[1.3, 1.4, 0.58], [0.14, 1.98, 0.22]])
    light = np.rint(255 * np.exp(-np.concatenate([thin, thick])))
    x = glas.stains(dataset(light[:, None, None])).train.x[:, 0, 0]
    haematoxylin, eosin = x.T
    assert haematoxylin[1] == pytest.approx(0, abs=5e-4) and eosin[0] == pytest.approx(0, abs=5e-4)
    assert haematoxylin[2] == pytest.approx(2 * haematoxylin[0], rel=0.02)
    assert eosin[3] == pytest.approx(2 * eosin[1], rel=0.02)
    assert haematoxylin[0] == pytest.approx(1 / np.log(1e6), rel=0.02)  # rgb2hed's unit of the absorption


def test_stains_of_every_split(synthetic):
    stained = glas.stains(synthetic.hold_out(0.2, 0, stratify=False))
    for name, count in {"train": 68, "validation": 17, "test": 60, "test_b": 20}.items():
        split = stained._splits()[name]
        assert split.x.shape == (count, 64, 64, 2) and split.x.dtype == np.float32
    assert stained.extra["test_b"].x[7] == pytest.approx(rgb2hed(synthetic.extra["test_b"].x[7])[..., :2], abs=1e-6)
    assert stained.extra["test_b"].y is synthetic.extra["test_b"].y and stained.origin == "synthetic"
    standardized = stained.standardized()
    assert standardized.train.x.mean(axis=(0, 1, 2), dtype=float) == pytest.approx([0, 0], abs=1e-4)
    assert standardized.train.x.std(axis=(0, 1, 2), dtype=float) == pytest.approx([1, 1], abs=1e-4)
    mean, sd = (getattr(stained.train.x, of)(axis=(0, 1, 2), dtype=float) for of in ("mean", "std"))
    assert standardized.extra["test_b"].x == pytest.approx((stained.extra["test_b"].x - mean) / sd, abs=1e-3)


def test_stains_refuses_what_is_not_as_loaded(synthetic):
    with pytest.raises(ValueError, match=r"images are float32 of 3 channels; stains\(\) takes them as loaded"):
        glas.stains(synthetic.scaled())
    with pytest.raises(ValueError, match=r"images are uint8 of 1 channels"):
        glas.stains(dataset(np.zeros((2, 4, 4, 1))))


def test_extra_splits_go_along():
    three = Split(np.full((3, 1, 1, 3), 255, np.uint8), np.ones((3, 1, 1, 1), np.uint8))
    data = dataset(np.arange(30).reshape(10, 1, 1, 3), extra={"test_b": three})
    assert repr(data).endswith("test (10, 1, 1, 3) uint8, test_b (3, 1, 1, 3) uint8")
    scaled = data.scaled()
    assert scaled.extra["test_b"].x.dtype == np.float32 and np.all(scaled.extra["test_b"].x == 1)
    assert scaled.extra["test_b"].y is three.y and data.extra["test_b"] is three
    assert data.hold_out(0.2, 0, stratify=False).take(3, 0).extra["test_b"] is three
    assert dataset(np.zeros((1, 1, 1, 3))).extra == {}


# The stand-in


@pytest.mark.slow
@pytest.mark.parametrize("size", [64, 128])
def test_synthetic_form(size):
    data = kit.datasets.load("glas", source="synthetic", image_size=size)
    assert data.origin == "synthetic" and list(data.extra) == ["test_b"]
    for split, count in ((data.train, 85), (data.test, 60), (data.extra["test_b"], 20)):
        assert split.x.shape == (count, size, size, 3) and split.y.shape == (count, size, size, 1)
        assert split.x.dtype == split.y.dtype == np.uint8
        shares = split.y.mean(axis=(1, 2, 3))
        assert split.y.max() == 1 and 0.1 < shares.min() and shares.max() < 0.95
        assert 0.45 < shares.mean() < 0.6  # real: 0.50, 0.49, 0.57


def test_sizes():
    assert [registry.find("glas", size).image_shape[:2] for size in (None, 64, 256)] == [
        (128, 128),
        (64, 64),
        (256, 256),
    ]
    with pytest.raises(ValueError, match=r"image_size is 100; glas has images of 128 or 64 or 256 pixels"):
        kit.datasets.load("glas", source="synthetic", image_size=100)


def section(seed, malignant, size):
    return glands._section(np.random.default_rng(seed), malignant, size)


@pytest.mark.parametrize("malignant", [False, True])
def test_a_seed_decides_the_scene_and_the_size_does_not(malignant):
    image, mask = section(3, malignant, 128)
    again, other = section(3, malignant, 128), section(4, malignant, 128)
    assert np.array_equal(image, again[0]) and np.array_equal(mask, again[1])
    assert not np.array_equal(image, other[0]) and not np.array_equal(mask, other[1])
    for size in (64, 256):
        same_image, same_mask = section(3, malignant, size)
        assert (glas._nearest(same_mask[..., 0], 32) == glas._nearest(mask[..., 0], 32)).mean() > 0.97
        small, same_small = (glas._averaged(of, 16).astype(float) for of in (image, same_image))
        assert np.abs(small - same_small).mean() < 8 and np.corrcoef(small.ravel(), same_small.ravel())[0, 1] > 0.95


def test_synthetic_images_differ(synthetic):
    images = np.concatenate([synthetic.train.x, synthetic.test.x, synthetic.extra["test_b"].x])
    assert len({image.tobytes() for image in images}) == 165


@pytest.mark.slow
def test_no_colour_tells_a_gland_but_its_surroundings_help(synthetic):
    x, y = synthetic.train.x, synthetic.train.y[..., 0] > 0
    pale = x.min(axis=-1) > 220
    assert 0.1 < pale.mean() < 0.25 and 0.35 < y[pale].mean() < 0.65  # a lumen here, glass and cracks there
    dark = x.astype(int).sum(axis=-1) < 350
    assert 0.05 < dark.mean() < 0.35 and 0.5 < y[dark].mean() < 0.8  # nuclei, here and there
    near = [np.roll(x.astype(np.float32), shift, axis) for shift in (-4, -2, 2, 4) for axis in (1, 2)]
    accuracy = []
    for features in (x[..., None, :], np.stack([x, *near], axis=-2)):
        pixels, gland = features.reshape(85, 4096, -1)[:, ::16], y.reshape(85, 4096)[:, ::16]
        classifier = HistGradientBoostingClassifier(max_iter=40, max_leaf_nodes=15, random_state=0)
        classifier.fit(pixels[:60].reshape(60 * 256, -1), gland[:60].ravel())
        accuracy.append(classifier.score(pixels[60:].reshape(25 * 256, -1), gland[60:].ravel()))
    assert accuracy[0] < 0.75 and accuracy[1] > accuracy[0] + 0.03


def test_the_stains_find_the_synthetic_nuclei():
    """The painter's amounts come back from the colours: more haematoxylin in the rims, none in the glass."""
    image, mask = section(3, False, 128)
    haematoxylin, eosin = np.moveaxis(rgb2hed(image)[..., :2], -1, 0)
    pale = image.min(axis=-1) > 235
    assert haematoxylin[pale].max() < 0.02 and eosin[pale].max() < 0.02
    inside = mask[..., 0] > 0
    core = inside.copy()
    for axis in (0, 1):
        for shift in (-1, 1, -2, 2):
            core &= np.roll(inside, shift, axis)
    rim = inside & ~core
    assert haematoxylin[rim].mean() > 1.3 * haematoxylin[~inside & ~pale].mean()


# The real set


@pytest.mark.skipif(not (DATA / "glas").exists(), reason="KIT_DATA holds no glas")
@pytest.mark.filterwarnings("ignore:glas is not verified")
def test_the_real_set(monkeypatch):
    monkeypatch.setenv("KIT_DATA", str(DATA))
    data = kit.datasets.load("glas", source="real", image_size=64)
    assert data.origin.startswith("real")
    for split, count in ((data.train, 85), (data.test, 60), (data.extra["test_b"], 20)):
        assert split.x.shape == (count, 64, 64, 3) and split.y.shape == (count, 64, 64, 1)
        assert np.unique(split.y).tolist() == [0, 1] and 0.45 < split.y.mean() < 0.6
    counts = {name: [(words == grade).sum() for grade in glas.GRADES] for name, words in glas.grades(data).items()}
    assert counts == {"train": [37, 48], "test": [33, 27], "test_b": [4, 16]}
