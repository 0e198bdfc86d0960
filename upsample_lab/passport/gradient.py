"""What back-propagation leaves at the input: the same layer, read backwards."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from upsample_lab.metrics.phases import interior
from upsample_lab.passport.probe import Probe
from upsample_lab.passport.record import GradientSide, frozen_array


def measure_gradient(probe: Probe) -> GradientSide:
    """The gradient of the output's sum at the operating point: even for an operator that treats all pixels alike.

    For a linear operator it is the column sums of its matrix. NaN where a forward pass leaves nothing to go back by.
    """
    image = probe.image(probe.size, probe.size).to(probe.device, probe.dtype, copy=True).requires_grad_()
    gradient = _gradient(probe, image)
    if gradient is None:
        undefined = torch.full(image.shape[1:], math.nan, dtype=torch.float64)
        return GradientSide(frozen_array(undefined[:, 0, 0]), frozen_array(undefined[0]), math.nan, math.nan)
    gradient = gradient[0].detach().cpu().double()
    inner = interior(gradient, 1)
    mean = inner.mean(dim=(1, 2))
    energy = mean.square().sum()
    if energy == 0:
        relative, variation = torch.zeros_like(gradient[0]), 0.0
    else:
        relative = (gradient * mean[:, None, None]).sum(dim=0) / energy
        variation = float((inner.var(dim=(1, 2), correction=0).sum() / energy).sqrt())
    ring = torch.ones_like(relative, dtype=torch.bool)
    ring[1:-1, 1:-1] = False
    return GradientSide(
        mean=frozen_array(mean),
        relative=frozen_array(relative),
        interior_variation=variation if variation > 1e-9 else 0.0,
        border_ratio=float(relative[ring].mean()),
    )


def _gradient(probe: Probe, image: Tensor) -> Tensor | None:
    """Of the output's sum; None where it cannot be had."""
    try:
        with torch.enable_grad():
            own = image.clone()  # which the module may write to
            (gradient,) = torch.autograd.grad(probe.raw(own).sum(), image, allow_unused=True)
    except Exception:  # no_grad, inference_mode, NumPy, or an operation without a derivative
        return None
    return torch.zeros_like(image) if gradient is None else gradient
