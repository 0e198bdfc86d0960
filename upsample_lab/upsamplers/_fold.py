"""A fixed resize and the convolution after it, computed in a cheaper order: `upsample.fold`.

Both are linear, so the two are one linear map, and which way it is computed is a question of speed alone. There are
four ways, equal in value and in every gradient but for rounding, borders included; the parameters are the
convolution's own:

    definition  the image is resized, and the large image convolved: C_in·C_out·k² MACs for an output pixel
    kernel      for nearest only: one transposed convolution, stride s, whose kernel is the convolution's own, convolved
                with s x s ones: C_in·C_out·(k + s - 1)²/s²
    taps        for any resize: products of the small image with every tap, then sums over pixels: C_in·C_out·k²/s², and
                what `_taps.py` says for the sums
    filter      where the resize is the same filter everywhere, all but fourier: one transposed convolution, stride s,
                with the convolution's own kernel, then that filter: C_in·C_out·k²/s² and L² a channel (`_filter.py`)

What cannot be folded, or would gain nothing, and runs by its definition whatever the setting:

    order=conv_first                  the convolution is at the small size already
    deconv, pixel_shuffle, unpool     there is no fixed resize to fold
    carafe, dysample                  their resizes depend on the image
    blur_deconv                       one larger transposed convolution, kernel k + 2⌊s/2⌋, costs (1 + 2⌊s/2⌋/k)² times
                                      the products (s = 2, k = 4: 9 instead of 4 for each pair of channels), where the
                                      blur costs 2·(s + 1) for each *output* channel; and it is exact only away from
                                      the border, which the blur repeats
    blur_pixel_shuffle                likewise: kernel s·k + 2⌊s/2⌋ instead of s·k (16 products instead of 9)

And what nobody may notice runs folded, nothing else: where the convolution has a hook, is pruned, normalised or
parametrized, was given another padding mode, or was replaced, it is called as the module that it is (`_can_fold`), and
so it is under export and other tools (`conv/followed.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import NamedTuple, TypeGuard

import torch
from torch import Tensor, nn

from upsample_lab.conv import (
    TRANSPOSED_TWIN,
    Conv2d,
    conv_transpose2d,
    followed_by_a_tool,
    is_channels_last,
    is_ordinary,
    keeps_size,
    without_autocast,
)
from upsample_lab.conv.fast.layout import format_of
from upsample_lab.resize import nearest_matrix, remembered
from upsample_lab.upsamplers._filter import as_interpolation, convolve_filtered
from upsample_lab.upsamplers._taps import convolve_resized, tap_matrices
from upsample_lab.upsamplers.base import Upsampler

FORMS = ("definition", "kernel", "taps", "filter")

# What a MAC of a folded form costs over one of the definition, forward and backward. Of `scripts/benchmark.py fold
# --convs native --folds kernel taps filter`, on one thread of an AVX2 processor, timed by its CPU clock, float32, NHWC,
# scale 2, kernel 3, batch 64: times as fast as the definition, and in brackets the quotient of the MACs.
#
#     channels, input      nearest by kernel    by taps        by filter    bilinear by taps    by filter
#     64 → 32, 7 x 7          1.91  (2.25)      2.27  (2.93)     2.32         2.34  (2.93)        1.25
#     32 → 32, 14 x 14        1.96  (2.25)      1.47  (1.63)     2.30         1.57  (1.63)        1.45
#     64 → 64, 16 x 16        2.11  (2.25)      2.01  (2.18)     2.79         2.13  (2.18)        1.88
#     128 → 64, 16 x 16       2.26  (2.25)      2.65  (3.00)     3.33         3.10  (3.00)        2.42
#
# MACs over times is 1.02 to 1.29, so one weight does for kernel and taps. What the filter costs is the straight line
# through those figures and bicubic's: a MAC of the transposed convolution as much as one of the definition; the filter
# as much as 50 MACs an output value and 4 a tap, since it is memory that it waits for. On two threads, larger images:
# bilinear 64 → 64, 64 x 64: taps 1.2, filter 2.8; nearest: kernel 2.7, filter 3.3. In NCHW the filter takes longer
# (nearest 32 → 32, 14 x 14: kernel 1.8, filter 1.3). bf16 and GPUs were not measured: there only what needs fewer
# products of the same kind is folded, nearest by its kernel.
FOLDED_WEIGHT = 1.15
FILTER_PASS, FILTER_TAP = 50.0, 4.0
NCHW_FILTER_WEIGHT = 2.0


class Foldable(Upsampler):
    """An upsampler with a fixed resize before a convolution; `fold` is `upsample.fold`: whether both are one map.

    The definition is what a class that is called directly computes.
    """

    fold: str = "never"


class Resize(NamedTuple):
    """A resize by a factor: of an image, and as the matrix `make(n, *arguments)`, `[s·n, n]`, of an axis."""

    scale: int
    image: Callable[[Tensor], Tensor]
    make: Callable[..., Tensor]
    arguments: tuple[Hashable, ...]


class FoldCase(NamedTuple):
    """What the choice of a form depends on.

    `size` and `channels_last` are the input's, `algorithm` is the convolution's, and `filter_size` the length of the
    filter of the form `filter`, None where that cannot be.
    """

    nearest: bool
    scale: int
    kernel_size: int
    in_channels: int
    size: tuple[int, int]
    dtype: torch.dtype
    device: str
    algorithm: str
    filter_size: int | None
    channels_last: bool


def resize_then_convolve(input: Tensor, resize: Resize, conv: nn.Module, setting: str) -> Tensor:
    """`conv(resize(x))`, `[N, C_in, H, W] -> [N, C_out, s·H, s·W]`, in the order that `setting` and `choose_form` say.

    Memory format: the input's. Raises what the definition raises: what it refuses is not folded.
    """
    if setting == "never" or not _can_fold(conv, input):
        unfolded: Tensor = conv(resize.image(input))
        return unfolded
    form = _form(input, resize, conv, setting)
    if form == "definition":
        output: Tensor = conv(resize.image(input))
        return output
    input, weight = _autocast(input), _autocast(conv.weight)
    if form == "kernel":
        return _transposed(input, weight, conv, resize.scale)
    if form == "filter":
        interpolation = as_interpolation(resize.make, resize.arguments, resize.scale)
        assert interpolation is not None
        output = convolve_filtered(input, weight, conv, interpolation)
        return _in_format_of(input, output)
    exact = torch.promote_types(input.dtype, torch.float32)  # sums over pixels are not to be rounded to bf16
    like = torch.empty(0, dtype=exact, device=input.device)
    rows, columns = (
        remembered(tap_matrices, resize.make, (size, *resize.arguments), conv.kernel_size[0], like=like)
        for size in input.shape[2:]
    )
    pixels = convolve_resized(input.permute(0, 2, 3, 1), weight, conv.bias, rows, columns)
    return _in_format_of(input, pixels.permute(0, 3, 1, 2))


def choose_form(layer: FoldCase) -> str:
    """The form with the fewest MACs for an output value, those of a folded one weighed as measured: `FOLDED_WEIGHT`."""
    if layer.algorithm not in ("native", "custom"):
        return "definition"  # which an algorithm that is chosen by its name is there to show
    k, s, height, width = layer.kernel_size, layer.scale, *layer.size
    costs = {"definition": float(layer.in_channels * k**2)}
    if layer.nearest:
        costs["kernel"] = FOLDED_WEIGHT * layer.in_channels * (k + s - 1) ** 2 / s**2
    if layer.device == "cpu" and layer.dtype in (torch.float32, torch.float64):  # elsewhere it was not measured
        costs["taps"] = FOLDED_WEIGHT * (layer.in_channels * k**2 / s**2 + k * width + k * k / s * height)
    if layer.filter_size and (layer.device, layer.dtype, layer.algorithm) == ("cpu", torch.float32, "native"):
        costs["filter"] = _filter_cost(layer)
    cheapest = "definition"
    for form, cost in costs.items():  # and not min(), whose key torch.compile takes for sizes that are no symbols only
        if cost < costs[cheapest]:
            cheapest = form
    return cheapest


def _filter_cost(layer: FoldCase) -> float:
    """MACs for an output value: small transposed convolution, filter, and what the outermost pixels cost."""
    k, s, taps = layer.kernel_size, layer.scale, layer.filter_size or 0
    smoothing = (FILTER_PASS + FILTER_TAP * taps**2) * (1.0 if layer.channels_last else NCHW_FILTER_WEIGHT)
    products = layer.in_channels * k**2 / s**2
    if layer.nearest:
        return products + smoothing
    p, outermost = k // 2, 0.0
    for size, across in (layer.size, layer.size[::-1]):
        products *= 1 + 2 * ((taps // 2 + p) // s) / size
        outermost += 2 * p / (s * size) * (2 * p * layer.in_channels * k / s + k * across)
    return products + smoothing + outermost


def nearest_kernel(weight: Tensor, scale: int) -> Tensor:
    """The kernel of the transposed convolution that equals nearest and then a convolution with zero padding k//2.

    `[C_out, C_in, k, k] -> [C_in, C_out, k + s - 1, k + s - 1]`, with stride s and padding k//2: along each axis the
    flipped kernel convolved with s ones, `V[v] = Σ_{0≤r<s} w[k - 1 - (v - r)]`. For a transposed convolution writes
    pixel i to `s·i + v - k//2`, and the convolution reads tap t at `o + t - k//2`, where i fills `s·i … s·i + s - 1`.
    The size is right without output padding: `(n - 1)s - 2·(k//2) + k + s - 1 = s·n`.
    """
    kernel_size = weight.shape[2]
    side = kernel_size + scale - 1
    with without_autocast(weight.device):
        spread = remembered(_spread, kernel_size, scale, like=weight.detach())
        return (weight.flatten(2) @ spread).transpose(0, 1).unflatten(2, (side, side))


def _spread(kernel_size: int, scale: int) -> Tensor:
    """The matrix `[k², (k + s - 1)²]`, float64, that flattened kernels are multiplied with in `nearest_kernel`."""
    place = torch.arange(kernel_size + scale - 1) - (kernel_size - 1 - torch.arange(kernel_size))[:, None]
    axis = ((place >= 0) & (place < scale)).to(torch.float64)
    return torch.kron(axis, axis)


def _transposed(input: Tensor, weight: Tensor, conv: Conv2d, scale: int) -> Tensor:
    """The form `kernel`."""
    kernel, padding = nearest_kernel(weight, scale), conv.kernel_size[0] // 2
    return _in_format_of(
        input, conv_transpose2d(input, kernel, conv.bias, scale, padding, algorithm=TRANSPOSED_TWIN[conv.algorithm])
    )


def _in_format_of(input: Tensor, output: Tensor) -> Tensor:
    return output.contiguous(memory_format=format_of(input))


def _can_fold(conv: nn.Module, input: Tensor) -> TypeGuard[Conv2d]:
    """Whether nobody can tell the orders apart, and both take the input; if not, the definition copes or refuses."""
    return (
        not followed_by_a_tool(input)
        and is_ordinary(conv, Conv2d)
        and keeps_size(conv, conv.weight)
        and input.dim() == 4
        and input.shape[1] == conv.in_channels
        and 0 not in input.shape[1:]
        and input.is_floating_point()
        and _autocast(input).dtype == _autocast(conv.weight).dtype
    )


def _form(input: Tensor, resize: Resize, conv: Conv2d, setting: str) -> str:
    nearest = resize.make is nearest_matrix
    height, width = input.shape[2:]
    interpolation = as_interpolation(resize.make, resize.arguments, resize.scale)
    if interpolation is not None and resize.scale * min(height, width) < conv.kernel_size[0] // 2:
        interpolation = None  # fewer rows than the borders need corrected
    if setting in FORMS:  # tests and benchmarks ask for one
        return "taps" if setting == "filter" and interpolation is None else setting
    if setting == "always":
        return "kernel" if nearest else "taps"
    return choose_form(
        FoldCase(
            nearest,
            resize.scale,
            conv.kernel_size[0],
            conv.in_channels,
            (height, width),
            _autocast(input).dtype,
            input.device.type,
            conv.algorithm,
            None if interpolation is None else len(interpolation.h),
            is_channels_last(input),
        )
    )


def _autocast(tensor: Tensor) -> Tensor:
    """In autocast's dtype where it is on, but for float64, as a convolution's arguments."""
    device = tensor.device.type
    if device == "meta" or not torch.is_autocast_enabled(device) or tensor.dtype == torch.float64:
        return tensor
    return tensor.to(torch.get_autocast_dtype(device))
