"""Differentiable training terms that act on what the artifact metrics see."""

from typing import Literal, get_args

import torch
from torch import Tensor

from upsample_lab.metrics._images import check_period
from upsample_lab.metrics.phases import interior, phase_means

KernelKind = Literal["transposed", "pixel_shuffle", "response"]

SPECTRAL_FLOOR = 1 / (255 * 12**0.5)
"""Magnitude at which the logarithm stops caring, in [0, 1] images: the rounding noise of 8 bits, in each bin."""


def phase_gain_penalty(
    weight_or_response: Tensor, scale: int | tuple[int, int], *, kind: KernelKind = "transposed"
) -> Tensor:
    """How unequal the phases' gains to a constant are: a scalar in [0, 1), 0 if and only if they are all equal.

    `mean Var_p G / mean G²`: the square of `dc_phase_variation`, with the gains `G[p]` of each pair of an input and an
    output channel for a kernel, so that at 0 *no* constant, in whatever mixture of channels, makes a checkerboard.
    Dividing by the mean square makes it blind to the kernel's scale: weight decay and learning rate act as before. All
    gains zero: 0.

    Args:
        weight_or_response: see `kind`.
        scale: `s`, the stride of the transposed convolution, the factor of the pixel shuffle, the response's period. A
            transposed convolution may have a stride for each axis, `(vertical, horizontal)`, one of which may be 1.
        kind: `transposed`: a kernel `[C_in, C_out / groups, k_h, k_w]` used with stride `s`; a phase's gain is the sum
            of every s-th tap. `pixel_shuffle`: the kernel `[C_out · s², C_in, k_h, k_w]` of the convolution before the
            shuffle; its biases make a checkerboard too, but are no gain. `response`: `[N, C, H, W]`, what any layer
            answers to a constant, biases and all.

    Raises:
        TypeError, ValueError: an unknown kind, a tensor that is not four-dimensional, a scale below 2, output channels
            that are no multiple of scale², a response smaller than the scale.
    """
    if kind not in get_args(KernelKind):
        raise ValueError(f"kind must be one of {', '.join(get_args(KernelKind))}, got {kind!r}")
    if weight_or_response.ndim != 4 or weight_or_response.numel() == 0:
        raise ValueError(f"{kind} needs a non-empty tensor of 4 dimensions, got {tuple(weight_or_response.shape)}")
    if kind == "transposed":
        gains = _transposed_gains(weight_or_response, scale)
    elif isinstance(scale, tuple):
        raise TypeError(f"scale must be one integer for {kind}, got {scale!r}")
    else:
        gains = _GAINS[kind](weight_or_response, scale)
    mean_square = gains.square().mean()
    return gains.var(dim=-1, correction=0).mean() / mean_square.clamp_min(torch.finfo(gains.dtype).tiny)


def _transposed_gains(weight: Tensor, scale: int | tuple[int, int]) -> Tensor:
    """`[C_in, C_out, k_h, k_w] -> [C_in, C_out, s_h·s_w]`. Phases past the kernel's end get no tap, so a gain of 0."""
    down, across = scale if isinstance(scale, tuple) else (scale, scale)
    for stride in {down, across} - {1} or {1}:
        check_period(stride, (stride, stride))
    height, width = weight.shape[-2:]
    padded = torch.nn.functional.pad(weight, (0, -width % across, 0, -height % down))
    return padded.unflatten(-1, (-1, across)).unflatten(-3, (-1, down)).sum((-4, -2)).flatten(-2)


def _pixel_shuffle_gains(weight: Tensor, scale: int) -> Tensor:
    """`[C_out · s², C_in, k_h, k_w] -> [C_out, C_in, s²]`."""
    check_period(scale, (scale, scale))
    if weight.shape[0] % scale**2:
        raise ValueError(f"pixel_shuffle needs a multiple of scale² = {scale**2} channels, got {weight.shape[0]}")
    return weight.sum(dim=(-2, -1)).unflatten(0, (-1, scale**2)).transpose(1, 2)


def _response_gains(response: Tensor, scale: int) -> Tensor:
    """`[N, C, H, W] -> [N, C, s²]`, of the interior."""
    check_period(scale, (response.shape[-2], response.shape[-1]))
    return phase_means(interior(response, scale), scale).flatten(-2)


_GAINS = {"pixel_shuffle": _pixel_shuffle_gains, "response": _response_gains}


def spectral_loss(output: Tensor, target: Tensor, *, floor: float = SPECTRAL_FLOOR) -> Tensor:
    """Mean squared distance of the log-magnitude spectra: `[N, C, H, W], [N, C, H, W] -> scalar`, in nepers².

    `mean (½ log(|F output|² + floor²) - ½ log(|F target|² + floor²))²` over images, channels and all bins of the
    orthonormal transform. The logarithm makes a faint line at a high frequency weigh as much as a loud low one; that is
    where checkerboards are, and where a pixel loss barely looks. Gradients flow through the transform into `output`
    (and `target`, if it asks for them); the floor keeps them finite where a bin is empty. The phase of the spectrum is
    not compared, so this term accompanies a pixel loss and does not replace it.

    The transform runs in float32 at least, also under autocast: half precision has no transform on the CPU.

    Args:
        floor: magnitude below which differences fade out; 0.0011 is the noise of 8-bit rounding in [0, 1] images.

    Raises:
        ValueError: shapes that differ or are not `[N, C, H, W]`, a floor that is not positive.
    """
    if output.ndim != 4 or output.shape != target.shape:
        raise ValueError(
            "output and target must have the same shape [N, C, H, W], "
            f"got {tuple(output.shape)} and {tuple(target.shape)}"
        )
    if not floor > 0:
        raise ValueError(f"floor must be positive, got {floor}")
    return (_log_magnitude(output, floor) - _log_magnitude(target, floor)).square().mean()


def _log_magnitude(images: Tensor, floor: float) -> Tensor:
    if images.dtype in (torch.float16, torch.bfloat16):
        images = images.float()
    spectrum = torch.fft.fft2(images, norm="ortho")
    return 0.5 * torch.log(spectrum.real.square() + spectrum.imag.square() + floor**2)
