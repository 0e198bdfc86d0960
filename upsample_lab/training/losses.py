"""The reconstruction losses."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from upsample_lab.models import Autoencoder


def reconstruction_loss(name: str, model: Autoencoder, raw: Tensor, images: Tensor) -> Tensor:
    """Mean over all pixels of `mse`, `l1` or `bce` between the model's raw output and the images, in float32.

    `bce` starts from the raw output: the logarithm of a sigmoid is exact where that of its rounded value is not.
    """
    if name == "bce":
        return F.binary_cross_entropy_with_logits(raw.float(), images)
    output = model.finish(raw)
    return F.l1_loss(output, images) if name == "l1" else F.mse_loss(output, images)
