"""The cards: every dataset that `load` knows."""

from dataclasses import replace
from functools import partial

from . import glas, idx, mri, organ
from .card import Card, File
from .synthetic import generate, glands, organs, slices
from .synthetic.digits import digits
from .synthetic.garments import garments

FASHION_MNIST = Card(
    name="fashion_mnist",
    title="Fashion-MNIST",
    task="multiclass",
    classes=("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    image_shape=(28, 28, 1),
    counts={"train": 60_000, "test": 10_000},
    folder="fashion-mnist",
    address="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    files=(
        File("train-images-idx3-ubyte.gz", "sha256:c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
        File("train-labels-idx1-ubyte.gz", "sha256:bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
        File("t10k-images-idx3-ubyte.gz", "sha256:5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
        File("t10k-labels-idx1-ubyte.gz", "sha256:0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
    ),
    read=idx.read,
    generate=partial(generate, garments, seed=2017),
    licence="MIT, Zalando SE",
    citation="Xiao, Rasul, Vollgraf (2017). Fashion-MNIST: a novel image dataset for benchmarking machine learning "
    "algorithms. arXiv:1708.07747",
    homepage="https://github.com/zalandoresearch/fashion-mnist",
)

MNIST = Card(
    name="mnist",
    title="MNIST",
    task="multiclass",
    classes=tuple("0123456789"),
    image_shape=(28, 28, 1),
    counts={"train": 60_000, "test": 10_000},
    folder="mnist",
    address="https://storage.googleapis.com/cvdf-datasets/mnist/",
    files=(
        File("train-images-idx3-ubyte.gz", "md5:6bbc9ace898e44ae57da46a324031adb"),
        File("train-labels-idx1-ubyte.gz", "md5:a25bea736e30d166cdddb491f175f624"),
        File("t10k-images-idx3-ubyte.gz", "md5:2646ac647ad5339dbf082846283269ea"),
        File("t10k-labels-idx1-ubyte.gz", "md5:27ae3e4e09519cfbb04c329615203637"),
    ),
    read=idx.read,
    generate=partial(generate, digits, seed=1998),
    licence="CC BY-SA 3.0, Yann LeCun and Corinna Cortes",
    citation="LeCun, Bottou, Bengio, Haffner (1998). Gradient-based learning applied to document recognition. "
    "Proceedings of the IEEE 86(11), 2278-2324",
    homepage="http://yann.lecun.com/exdb/mnist/",
)

# Research only: no address, so that its user fetches it; and no hashes, for its makers publish none: `glas.read` says
# what is checked in their place.
GLAS = Card(
    name="glas",
    title="GlaS",
    task="segmentation",
    classes=("background", "gland"),
    image_shape=(128, 128, 3),
    counts={"train": 85, "test": 60, "test_b": 20},
    folder="glas",
    address="",
    files=(),
    read=glas.read,
    generate=partial(glands.generate, seed=2015, image_size=128),
    licence="research only, no commercial use; publications must cite the challenge's paper and "
    "10.1109/TMI.2015.2433900, where the set was first used",
    citation="Sirinukunwattana, Pluim, Chen, Qi, Heng, Guo, Wang, Matuszewski, Bruni, Sanchez, Böhm, Ronneberger, "
    "Ben Cheikh, Racoceanu, Kainz, Pfeiffer, Urschler, Snead, Rajpoot (2017). Gland segmentation in colon histology "
    "images: the GlaS challenge contest. Medical Image Analysis 35, 489-502. doi:10.1016/j.media.2016.08.008",
    homepage="https://warwick.ac.uk/fac/cross_fac/tia/data/glascontest/",
)
GLAS_OTHER_SIZES = tuple(
    replace(GLAS, image_shape=(size, size, 3), generate=partial(glands.generate, seed=2015, image_size=size))
    for size in (64, 256)
)

# Not public: its user brings a folder, and `mri.read` says what is checked in place of hashes.
MRI = Card(
    name="mri",
    title="MRI",
    task="multilabel",
    classes=("label 1", "label 2", "label 3"),
    image_shape=(64, 64, 3),
    counts={"train": 12_000, "validation": 3_000, "test": 5_000},
    folder="mri",
    address="",
    files=(),
    read=mri.read,
    generate=partial(slices.generate, seed=1973),
    licence="not public",
    citation="",
    homepage="",
)

ORGANAMNIST = Card(
    name="organamnist",
    title="OrganAMNIST",
    task="multiclass",
    classes=(
        "bladder", "femur-left", "femur-right", "heart", "kidney-left", "kidney-right", "liver", "lung-left",
        "lung-right", "pancreas", "spleen",
    ),
    image_shape=(28, 28, 1),
    counts={"train": 34_561, "validation": 6_491, "test": 17_778},
    folder="organamnist",
    address="https://zenodo.org/records/10519652/files/",
    files=(File("organamnist.npz", "md5:68e3f8846a6bd62f0c9bf841c0d9eacc"),),
    read=organ.read,
    generate=partial(organs.generate, seed=2023, image_size=28),
    licence="CC BY 4.0, the MedMNIST authors",
    citation="Yang, Shi, Wei, Liu, Zhao, Ke, Pfister, Ni (2023). MedMNIST v2: a large-scale lightweight benchmark for "
    "2D and 3D biomedical image classification. Scientific Data 10, 41. doi:10.1038/s41597-022-01721-8",
    homepage="https://medmnist.com",
    keep=True,
)  # fmt: skip
ORGANAMNIST_128 = replace(
    ORGANAMNIST,
    image_shape=(128, 128, 1),
    files=(File("organamnist_128.npz", "md5:eeae80d0a227a8d099027e1b3cfd3b60"),),
    read=partial(organ.read, mapped=True),
    generate=partial(organs.generate, seed=2023, image_size=128),
)

cards = (FASHION_MNIST, MNIST, GLAS, *GLAS_OTHER_SIZES, MRI, ORGANAMNIST, ORGANAMNIST_128)


def names():
    """The names that `load` takes."""
    return tuple(dict.fromkeys(card.name for card in cards))


def find(name, image_size=None):
    """The card of a dataset, or a card itself, in that image size (pixels a side) or its first. Raises ValueError."""
    known = [name] if isinstance(name, Card) else [card for card in cards if card.name == name]
    if not known:
        raise ValueError(f"unknown dataset {name!r}: known are {', '.join(names())}")
    sized = {None: known[0], **{card.image_shape[0]: card for card in known if card.image_shape}}
    if image_size not in sized:
        sizes = " or ".join(str(size) for size in sized if size)
        raise ValueError(f"image_size is {image_size!r}; {known[0].name} has images of {sizes or 'one size'} pixels")
    return sized[image_size]
