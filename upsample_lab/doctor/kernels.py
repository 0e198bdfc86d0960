"""The nearest kernels with which a flat area stays flat: in closed form, without training.

A transposed convolution with stride s is s² small convolutions, one for each phase of its output, and a convolution
before a pixel shuffle is s² whole ones. Where the kernels of an input and an output channel have the same sum in every
phase, a constant comes out constant. The nearest such kernel is an orthogonal projection.
"""

from __future__ import annotations

from torch import Tensor

from upsample_lab.conv.geometry import Pair
from upsample_lab.resize import remembered
from upsample_lab.upsamplers.deconv import phase_projection


def balanced(weight: Tensor, stride: Pair, dilation: Pair = (1, 1)) -> Tensor:
    """The nearest kernel of a transposed convolution whose phases have the same sum, `[C_in, C_out/groups, k_h, k_w]`.

    Nearest in least squares, for each pair of channels alone; in the weight's dtype, computed in float64, and
    differentiable. Padding, output padding and groups do not matter. The formula is `phase_projection`'s.

    Raises ValueError where an axis of the kernel is shorter than its stride: then some output pixels have no weights,
    and no kernel of that size leaves a flat area flat (nor one whose dilation shares a factor with the stride).
    """
    if weight.dim() != 4:
        raise ValueError(f"weight has the shape {list(weight.shape)}: must be [C_in, C_out/groups, k_h, k_w]")
    exact = weight.double()
    kernel = (weight.shape[2], weight.shape[3])
    projection = remembered(phase_projection, kernel, tuple(stride), tuple(dilation), like=exact.detach())
    return (exact.flatten(2) @ projection).unflatten(2, kernel).to(weight.dtype)


def balanced_shuffle(weight: Tensor, bias: Tensor | None, scale: int) -> tuple[Tensor, Tensor | None]:
    """The same for a convolution before a pixel shuffle: weight `[C_out·s², C_in/groups, k_h, k_w]`, bias `[C_out·s²]`.

    Channel `s²·c + p` is phase p of output channel c, as torch lays them out. The s² biases of a channel become their
    mean, the sums of the s² kernels of a pair of channels too, with the change spread evenly over the taps.

    Raises ValueError where s² does not divide the channels.
    """
    phases = scale**2
    if weight.dim() != 4 or weight.shape[0] % phases:
        raise ValueError(f"weight has the shape {list(weight.shape)}: must be [C_out·{phases}, C_in/groups, k_h, k_w]")
    kernels = weight.double().unflatten(0, (-1, phases))
    means = kernels.mean((3, 4), keepdim=True)
    even = (kernels + means.mean(1, keepdim=True) - means).flatten(0, 1).to(weight.dtype)
    if bias is None:
        return even, None
    return even, bias.double().unflatten(0, (-1, phases)).mean(1).repeat_interleave(phases).to(bias.dtype)
