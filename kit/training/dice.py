"""The Dice coefficient of two-class segmentation: a metric, and a loss that can be differentiated."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("kit")
def dice(y_true, y_pred):
    """Dice (Sørensen-Dice) coefficient of each image: twice the pixels that both call foreground, over the sum of both.

    Give the function itself as a metric, `model.compile(..., metrics=[dice])`: Keras reports the mean over the images
    as `dice`, each image counting alike however the batches are cut. (Over all pixels of all images at once, an image
    with much foreground would weigh more, and the worst image could not be named.) It is not the object-wise Dice of
    the GlaS challenge, which pairs single glands. To watch it in a callback: `monitor="val_dice", mode="max"`.

    Args:
        y_true: masks (n, height, width, 1) of 0 and 1; what is not 1 is background.
        y_pred: probabilities (n, height, width, 2); a pixel is foreground where class 1 has the larger one.

    Returns:
        Tensor (n,), each in [0, 1]; 1 where mask and prediction are both empty.

    Raises:
        ValueError: other shapes.
    """
    y_true, y_pred = _checked(y_true, y_pred)
    mask = ops.cast(ops.equal(y_true[..., 0], 1), "float32")
    predicted = ops.cast(ops.greater(y_pred[..., 1], y_pred[..., 0]), "float32")
    both, sizes = _areas(mask, predicted)
    return ops.where(sizes > 0, 2 * both / ops.maximum(sizes, 1), 1.0)


@keras.saving.register_keras_serializable("kit")
def dice_loss(y_true, y_pred):
    """Soft Dice loss of each image: 1 - (2 sum(m p) + 1) / (sum(m) + sum(p) + 1), with mask m and probability p.

    The probability of class 1 stands where `dice` has the decision (Milletari et al. 2016, without their squares). The
    added 1 is one pixel's worth: an empty mask with an empty prediction has a loss of 0, and every gradient is finite.
    While much is predicted on an empty mask the gradient is small; the loss is for masks that mostly are not empty.

    Args:
        y_true: masks (n, height, width, 1) of 0 and 1; what is not 1 is background.
        y_pred: probabilities (n, height, width, 2), of background and foreground.

    Returns:
        Tensor (n,), each in [0, 1); Keras takes the mean of a batch.

    Raises:
        ValueError: other shapes.
    """
    y_true, y_pred = _checked(y_true, y_pred)
    mask = ops.cast(ops.equal(y_true[..., 0], 1), "float32")
    both, sizes = _areas(mask, ops.cast(y_pred[..., 1], "float32"))
    # keras.losses.Dice adds 1e-7 to the sum alone: an empty mask costs 1 whatever is predicted, with a gradient of 0.
    return 1 - (2 * both + 1) / (sizes + 1)


def _areas(mask, predicted):
    """Of each image, the area common to both and the sum of the two areas, in pixels."""
    return ops.sum(mask * predicted, (1, 2)), ops.sum(mask, (1, 2)) + ops.sum(predicted, (1, 2))


def _checked(y_true, y_pred):
    y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    if len(y_true.shape) != 4 or len(y_pred.shape) != 4 or (y_true.shape[-1], y_pred.shape[-1]) != (1, 2):
        raise ValueError(
            f"masks {tuple(y_true.shape)} and predictions {tuple(y_pred.shape)}; "
            "they must be (n, height, width, 1) and (n, height, width, 2)"
        )
    return y_true, y_pred
