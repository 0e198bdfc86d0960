"""What back-propagation leaves at the input: the same layer, read backwards."""

from __future__ import annotations

import torch

from upsample_lab.metrics.phases import interior
from upsample_lab.passport.probe import Probe
from upsample_lab.passport.record import GradientSide, frozen_array


def measure_gradient(probe: Probe) -> GradientSide:
    """The gradient of the output's sum at the operating point: even for an operator that treats all pixels alike.

    For a linear operator it is the column sums of its matrix. Raises ValueError where no gradient reaches the input.
    """
    image = torch.full(
        (1, probe.in_channels, probe.size, probe.size), probe.operating_point, dtype=probe.dtype, device=probe.device
    ).requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(probe.raw(image).sum(), image, allow_unused=True)
    gradient = torch.zeros_like(image) if gradient is None else gradient
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
