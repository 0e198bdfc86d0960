"""Chapter 4: convolution as one matrix product: im2col, and col2im, the same product read backwards.

Write every patch that the kernel sees as a row of a matrix ``P`` (`[pixels, taps]`) and the kernel as a column ``w``.
Then

    y  = P(x) w          im2col: gather the patches, one product
    x' = Pᵀ(y wᵀ)        col2im: one product, then every tap is added back to the pixel it was gathered from
    w' = P(x)ᵀ y         the gradient for the weights: the patches again

`P` gathers (it copies pixels), so its transpose scatters (it adds to the same pixels): nothing else is needed to see
that the transposed convolution is the convolution read backwards.

>>> import torch
>>> x = torch.arange(1, 10).view(1, 1, 3, 3)
>>> w = torch.tensor([[[[1, 2], [3, 4]]]])
>>> gather_patches(x, (2, 2), (2, 2), Geometry()).tolist()
[[[1, 2, 4, 5], [2, 3, 5, 6], [4, 5, 7, 8], [5, 6, 8, 9]]]
>>> convolve(x, w, None, (2, 2), Geometry()).flatten().tolist()  # each row times (1, 2, 3, 4)
[37, 47, 67, 77]

The layout inside is channels-last, because then a tap is a run of neighbouring numbers. With groups, one such product
for each group.
"""

from __future__ import annotations

from torch import Tensor

from .geometry import Geometry, Pair


def pad(x: Tensor, padding: Pair) -> Tensor:
    """The image with its border of zeros, channels last in memory: `[N, C, H, W] -> [N, H + 2p, W + 2p, C]`."""
    n, c, h, w = x.shape
    top, left = padding
    out = x.new_zeros(n, h + 2 * top, w + 2 * left, c)
    out[:, top : top + h, left : left + w] = x.permute(0, 2, 3, 1)
    return out


def gather_patches(x: Tensor, kernel: Pair, size: Pair, g: Geometry) -> Tensor:
    """im2col: `[N, C, H, W] -> [groups, N·H_out·W_out, k_h·k_w·C/groups]`, row by row what the kernel sees."""
    (n, c, _, _), (h_out, w_out) = x.shape, size
    padded = pad(x, g.padding)
    row, pixel = padded.stride(1), padded.stride(2)
    patches = padded.as_strided(
        (g.groups, n, h_out, w_out, *kernel, c // g.groups),
        (
            c // g.groups,
            padded.stride(0),
            g.stride[0] * row,
            g.stride[1] * pixel,
            g.dilation[0] * row,
            g.dilation[1] * pixel,
            1,
        ),
    )
    return patches.reshape(g.groups, n * h_out * w_out, kernel[0] * kernel[1] * (c // g.groups))


def scatter_patches(patches: Tensor, size: Pair, g: Geometry) -> Tensor:
    """col2im, the transpose of `gather_patches`: each number is added to the pixel that it would be gathered from.

    `[groups, N, H_out, W_out, k_h, k_w, C/groups] -> [N, C, H, W]`, where ``size`` is `(H, W)`.
    """
    _, batch, h_out, w_out, kernel_h, kernel_w, c = patches.shape
    patches = patches.permute(4, 5, 1, 2, 3, 0, 6)
    (top, left), (h, w) = g.padding, size
    padded = patches.new_zeros(batch, h + 2 * top, w + 2 * left, g.groups, c)
    for u in range(kernel_h):
        for v in range(kernel_w):
            padded[:, g.places(0, u, h_out), g.places(1, v, w_out)] += patches[u, v]
    inside = padded[:, top : top + h, left : left + w].flatten(3)
    return inside.permute(0, 3, 1, 2)


def weight_matrix(weight: Tensor, groups: int) -> Tensor:
    """The kernel as matrices: `[C_out, C_in/groups, k_h, k_w] -> [groups, k_h·k_w·C_in/groups, C_out/groups]`."""
    out, c, kh, kw = weight.shape
    matrix = weight.reshape(groups, out // groups, c, kh, kw).permute(0, 3, 4, 2, 1)
    return matrix.reshape(groups, kh * kw * c, out // groups)


def pixel_matrix(y: Tensor, groups: int) -> Tensor:
    """An image as a matrix a group, one row a pixel: `[N, C, H, W] -> [groups, N·H·W, C/groups]`."""
    n, c, h, w = y.shape
    return y.permute(0, 2, 3, 1).reshape(n * h * w, groups, c // groups).transpose(0, 1)


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, size: Pair, g: Geometry) -> Tensor:
    """``y = P(x) w``: `[N, C_in, H, W] -> [N, C_out, H_out, W_out]`, where ``size`` is `(H_out, W_out)`."""
    y = gather_patches(x, (weight.shape[2], weight.shape[3]), size, g) @ weight_matrix(weight, g.groups)
    y = y.transpose(0, 1).reshape(x.shape[0], *size, weight.shape[0])
    if bias is not None:
        y = y + bias
    return y.permute(0, 3, 1, 2)


def convolve_transposed(y: Tensor, weight: Tensor, bias: Tensor | None, size: Pair, g: Geometry) -> Tensor:
    """``x' = Pᵀ(y wᵀ)``: `[N, C_out, H_out, W_out] -> [N, C_in, H, W]`, where ``size`` is `(H, W)`."""
    patches = pixel_matrix(y, g.groups) @ weight_matrix(weight, g.groups).transpose(1, 2)
    n, _, h_out, w_out = y.shape
    _, per_group, kernel_h, kernel_w = weight.shape
    x = scatter_patches(patches.view(g.groups, n, h_out, w_out, kernel_h, kernel_w, per_group), size, g)
    return x if bias is None else x + bias[:, None, None]


def weight_gradient(x: Tensor, y: Tensor, kernel: Pair, g: Geometry) -> Tensor:
    """``w' = P(x)ᵀ y``, as `[C_out, C_in/groups, k_h, k_w]`: what each tap saw, times what came of it."""
    out, c = y.shape[1], x.shape[1] // g.groups
    matrix = gather_patches(x, kernel, (y.shape[2], y.shape[3]), g).transpose(1, 2) @ pixel_matrix(y, g.groups)
    matrix = matrix.view(g.groups, *kernel, c, out // g.groups).permute(0, 4, 3, 1, 2)
    return matrix.reshape(out, c, *kernel)
