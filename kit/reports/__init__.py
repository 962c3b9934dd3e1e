"""The five reports as data: their studies and searches by name, run, and recalled as `results/` records them."""

import importlib
from pathlib import Path

# Where each stands, how large it is, and its title: what `kit list` prints without a back end, which the modules load.
INDEX = {
    "fashion-ladder-mlp": ("fashion_ladder.MLP", "30 rows", "Fashion-MNIST: MLPs of one, two and three hidden layers"),
    "fashion-ladder-cnn": ("fashion_ladder.CNN", "10 rows", "Fashion-MNIST: CNNs of one, two and three convolutions"),
    "fashion-ladder-cnn-top": (
        "fashion_ladder.CNN_TOP", "8 rows", "Fashion-MNIST: the five best CNNs of the report's search"
    ),
    "fashion-compare": (
        "fashion_compare.STUDY", "72 rows", "Fashion-MNIST: MLPs written by hand, in Keras, and a tuned CNN"
    ),
    "mnist-cnn": (
        "mnist_cnn.STUDY", "16 rows", "MNIST: a net written by hand, and a CNN changed one thing at a time"
    ),
    "glands": ("glands.STUDY", "21 rows", "GlaS: glands segmented by nets from two convolutions' depth to a U-Net"),
    "organ": ("organ.STUDY", "18 rows", "OrganAMNIST: MLPs, CNNs and a pre-trained net"),
    "mri": ("mri.STUDY", "25 rows", "MRI: several labels an image, by a CNN and a dense net"),
    "transfer": ("transfer.STUDY", "10 rows", "Pre-training: a MobileNetV2 from ImageNet on glands and on garments"),
    "fashion-ladder-mlp-talos": ("fashion_ladder.MLP_TALOS", "108 trials", "Fashion-MNIST: MLPs, the whole grid"),
    "fashion-ladder-cnn-talos": (
        "fashion_ladder.CNN_TALOS", "60 trials", "Fashion-MNIST: CNNs, 60 of the 864 in the grid at random"
    ),
    "fashion-compare-keras-tuner": (
        "fashion_compare.KERAS_TUNER", "9 trials", "Fashion-MNIST, 10,000 images: the tuned CNN"
    ),
    "organ-mlp-optuna": ("organ.MLP_OPTUNA", "12 trials", "OrganAMNIST: the base MLP"),
    "organ-mlp-penalties-optuna": (
        "organ.PENALTIES_OPTUNA", "30 trials", "OrganAMNIST: the base MLP with L1 and L2"
    ),
    "organ-cnn-optuna": ("organ.CNN_OPTUNA", "20 trials", "OrganAMNIST: CNNs at 28 pixels"),
    "organ-transfer-optuna": ("organ.TRANSFER_OPTUNA", "10 trials", "OrganAMNIST: the head on ResNet50"),
}  # fmt: skip
_MODULES = {place.partition(".")[0] for place, _, _ in INDEX.values()}


def __getattr__(name):
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(sorted(_MODULES))}")


def names():
    """The names of the reports' studies, then of their searches."""
    return tuple(INDEX)


def get(name):
    """The Study or Search of that name; ValueError for an unknown one."""
    if name not in INDEX:
        raise ValueError(f"no study or search is called {name!r}; there are: {', '.join(INDEX)}")
    module, attribute = INDEX[name][0].split(".")
    return getattr(importlib.import_module(f"{__name__}.{module}"), attribute)


def run(name, **options):
    """Run the Study (as `kit.studies.run`) or the Search (as `kit.search.run`) of that name, with their options."""
    from .. import search, studies

    one = get(name)
    if isinstance(one, studies.Study):
        return studies.run(one, **options)
    foreign = options.keys() - {"seeds", "source"}
    if foreign:
        raise ValueError(f"{name} is a search, one trial after the other; it takes no {', '.join(sorted(foreign))}")
    return search.run(one, **options)


def recorded(name):
    """What `results/` holds of finished, full runs: the Results of a study; of a search (SearchResult, Results).

    The SearchResult has no library. FileNotFoundError where nothing is recorded yet.
    """
    from .. import search, studies

    one, path = get(name), results_path(name)
    if not path.exists():
        raise FileNotFoundError(
            f"no results are recorded for {name!r} in {path.name}; run it with kit.reports.run({name!r})"
        )
    return studies.Results.load(path, one) if isinstance(one, studies.Study) else search.load(path, one)


def results_path(name):
    """Where the recorded results of that name lie: beside the package in a checkout, within it when installed."""
    package = Path(__file__).parents[1]
    folder = package / "results"
    return (folder if folder.exists() else package.parent / "results") / f"{name}.json"
