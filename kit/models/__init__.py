"""Models: plain functions that return an uncompiled `keras.Model`, and an MLP written out in NumPy."""

from . import numpy_mlp
from .cnn import cnn, filter_ladder
from .keeping import load, save
from .mlp import large_mlp, medium_mlp, mlp, small_mlp
from .multilabel import multilabel_cnn, multilabel_dnn
from .segmentation import encoder_decoder, pool_upsample_net, residual_net, unet
from .transfer import features, transfer, unfreeze

__all__ = [
    "cnn",
    "encoder_decoder",
    "features",
    "filter_ladder",
    "large_mlp",
    "load",
    "medium_mlp",
    "mlp",
    "multilabel_cnn",
    "multilabel_dnn",
    "numpy_mlp",
    "pool_upsample_net",
    "residual_net",
    "save",
    "small_mlp",
    "transfer",
    "unet",
    "unfreeze",
]
