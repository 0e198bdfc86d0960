"""Chapter 3: the convolution as a matrix, ``vec(conv2d(x)) = C vec(x)``, and the transposed convolution as ``Cᵀ``.

``C`` has a row for each output number and a column for each input number, `[C_out·H_out·W_out, C_in·H·W]`. Its entries
are the kernel's taps, each tap once for every output pixel at which it falls inside the image; taps that fall on the
padding are not stored, since they multiply nothing. A convolution is therefore a fully connected layer with nearly all
connections missing, and with the remaining ones sharing ``C_out·C_in·k²/groups`` values.

>>> import torch
>>> C = conv_matrix(torch.tensor([[[[1, 2], [3, 4]]]]), input_size=3)
>>> C.to_dense()
tensor([[1, 2, 0, 3, 4, 0, 0, 0, 0],
        [0, 1, 2, 0, 3, 4, 0, 0, 0],
        [0, 0, 0, 1, 2, 0, 3, 4, 0],
        [0, 0, 0, 0, 1, 2, 0, 3, 4]])
>>> y = C.to_dense() @ torch.arange(1, 10)
>>> y.tolist(), (C.to_dense().T @ y).tolist()
([37, 47, 67, 77], [37, 121, 94, 178, 500, 342, 201, 499, 308])

The three readings are

    y = C x                convolve
    x = Cᵀ y               convolve_transposed: the same entries, rows and columns exchanged
    w' = Σ y[row]·x[column] over the entries that hold the weight        weight_gradient

Where the entries are depends on the sizes only. It is worked out once for each shape and kept (`_KEPT`); the weights
are looked up again at every call.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import torch
from torch import Tensor

from .checks import as_geometry, as_pair, check_conv2d
from .definition import wide
from .followed import under_a_mode
from .geometry import Geometry, Pair
from .kept import Kept

MAX_MATRIX_BYTES = 2 << 30
"""Memory that one convolution matrix may take, in bytes, unless the caller says otherwise."""

_MAX_KEPT_BYTES = 1 << 30
_CHUNK_NUMBERS = 1 << 24  # products formed at a time where the product is made entry by entry


class Entries(NamedTuple):
    """The stored entries of a matrix, sorted by row: row, column, and the flat index of the weight there."""

    rows: Tensor
    columns: Tensor
    weights: Tensor
    shape: tuple[int, int]

    def transposed(self) -> Entries:
        """The entries of the transposed matrix, sorted by its own rows."""
        order = torch.argsort(self.columns, stable=True)
        return Entries(self.columns[order], self.rows[order], self.weights[order], self.shape[::-1])


def conv_matrix(
    weight: Tensor,
    input_size: int | tuple[int, int],
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    *,
    max_bytes: int = MAX_MATRIX_BYTES,
) -> Tensor:
    """The sparse matrix ``C`` with ``C @ x.flatten() == conv2d(x, weight).flatten()`` for an image `[C_in, H, W]`.

    ``weight`` is `[C_out, C_in/groups, k_h, k_w]`, ``input_size`` is `(H, W)`. Returns a coalesced COO tensor,
    `[C_out·H_out·W_out, C_in·H·W]`, differentiable with respect to ``weight``; ``C.T @ y`` is the transposed
    convolution. The stored entries are exactly the taps inside the image, weights that are zero included.

    Raises TypeError or ValueError for what `conv2d` refuses, RuntimeError where ``C`` needs more than ``max_bytes``.
    """
    size = as_pair("input_size", input_size)
    g = as_geometry(stride, padding, dilation, groups)
    if not isinstance(weight, Tensor) or weight.dim() != 4:
        got = list(weight.shape) if isinstance(weight, Tensor) else type(weight).__name__
        raise ValueError(f"conv_matrix: weight must be a tensor [C_out, C_in/groups, k_h, k_w], got {got}")
    if size[0] < 1 or size[1] < 1:
        raise ValueError(f"conv_matrix: input_size={size} must be at least 1 x 1")
    image = torch.empty(1, weight.shape[1] * max(g.groups, 0), *size, dtype=weight.dtype, device="meta")
    check_conv2d("conv_matrix", image, weight, None, g)
    output_size = g.output_size(size, (weight.shape[2], weight.shape[3]))
    entries = _entries(tuple(weight.shape), size, output_size, g, weight.device, max_bytes)
    indices, values = torch.stack((entries.rows, entries.columns)), weight.reshape(-1)[entries.weights]
    return torch.sparse_coo_tensor(
        indices, values, entries.shape, device=values.device, is_coalesced=True, check_invariants=False
    )


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, size: Pair, g: Geometry) -> Tensor:
    """``y = C x``: `[N, C_in, H, W] -> [N, C_out, H_out, W_out]`, where ``size`` is `(H_out, W_out)`."""
    entries = _kept_entries(weight.shape, (x.shape[2], x.shape[3]), size, g, x, transposed=False)
    y = _product(entries, weight, x.flatten(1)).view(x.shape[0], weight.shape[0], *size)
    return y if bias is None else y + bias[:, None, None]


def convolve_transposed(y: Tensor, weight: Tensor, bias: Tensor | None, size: Pair, g: Geometry) -> Tensor:
    """``x = Cᵀ y``: `[N, C_out, H_out, W_out] -> [N, C_in, H, W]`, where ``size`` is `(H, W)`."""
    entries = _kept_entries(weight.shape, size, (y.shape[2], y.shape[3]), g, y, transposed=True)
    x = _product(entries, weight, y.flatten(1)).view(y.shape[0], weight.shape[1] * g.groups, *size)
    return x if bias is None else x + bias[:, None, None]


def weight_gradient(x: Tensor, y: Tensor, kernel: Pair, g: Geometry) -> Tensor:
    """``w'``: for each weight, ``y[row]·x[column]`` summed over its entries and the batch."""
    shape = (y.shape[1], x.shape[1] // g.groups, *kernel)
    entries = _kept_entries(shape, (x.shape[2], x.shape[3]), (y.shape[2], y.shape[3]), g, x, transposed=False)
    dtype, x, y = x.dtype, wide(x.flatten(1)), wide(y.flatten(1))
    weight = x.new_zeros(shape).view(-1)
    if _sparse_kernels(x):
        nothing = x.new_zeros(entries.rows.shape)
        pairs = torch.sparse.sampled_addmm(_csr(entries, nothing), y.T, x, beta=0.0).values()
        weight.index_add_(0, entries.weights, pairs)
    else:
        for chunk in _chunks(entries, x.shape[0]):
            pairs = (y[:, entries.rows[chunk]] * x[:, entries.columns[chunk]]).sum(0)
            weight.index_add_(0, entries.weights[chunk], pairs)
    return weight.view(shape).to(dtype)


def _product(entries: Entries, weight: Tensor, x: Tensor) -> Tensor:
    """The matrix times each row of ``x``: `[N, columns] -> [N, rows]`."""
    values, wide_x = wide(weight.reshape(-1)[entries.weights]), wide(x)
    if _sparse_kernels(wide_x):
        return (_csr(entries, values) @ wide_x.T).T.to(x.dtype)
    y = wide_x.new_zeros(x.shape[0], entries.shape[0])
    for chunk in _chunks(entries, x.shape[0]):
        y.index_add_(1, entries.rows[chunk], values[chunk] * wide_x[:, entries.columns[chunk]])
    return y.to(x.dtype)


def _csr(entries: Entries, values: Tensor) -> Tensor:
    """Compressed rows: torch's products of this format are some 20 times faster than those of COO."""
    counts = torch.bincount(entries.rows, minlength=entries.shape[0]).cumsum(0)
    row_starts = torch.cat((counts.new_zeros(1), counts))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
        return torch.sparse_csr_tensor(
            row_starts, entries.columns, values, entries.shape, device=values.device, check_invariants=False
        )


def _sparse_kernels(x: Tensor) -> bool:
    """Whether torch's sparse products take this tensor: they know neither integers, nor tracing, nor empty batches."""
    real_device = x.device.type in ("cpu", "cuda") and type(x) is Tensor
    return real_device and x.numel() > 0 and x.dtype.is_floating_point and not torch.compiler.is_compiling()


def _chunks(entries: Entries, batch: int) -> list[slice]:
    if torch.compiler.is_compiling():
        return [slice(None)]  # a batch of unknown size cannot decide how long a loop is
    step = max(1, _CHUNK_NUMBERS // max(batch, 1))
    return [slice(start, start + step) for start in range(0, entries.rows.shape[0], step)]


def _entries(
    weight_shape: tuple[int, ...], size: Pair, output_size: Pair, g: Geometry, device: torch.device, max_bytes: int
) -> Entries:
    """The entries of ``C``: all combinations of a vertical tap, a horizontal tap, an output and an input channel."""
    out, per_group, kernel_h, kernel_w = weight_shape
    rows, columns = _taps(0, kernel_h, size, output_size, g), _taps(1, kernel_w, size, output_size, g)
    _check_memory(out * per_group * len(rows) * len(columns), weight_shape, size, max_bytes)
    p, u, i = torch.tensor(rows, dtype=torch.int64, device=device).view(1, 1, -1, 1, 3).unbind(4)
    q, v, j = torch.tensor(columns, dtype=torch.int64, device=device).view(1, 1, 1, -1, 3).unbind(4)
    o = torch.arange(out, device=device).view(-1, 1, 1, 1)
    c = torch.arange(per_group, device=device).view(1, -1, 1, 1)
    channel = o // max(out // g.groups, 1) * per_group + c
    row = (o * output_size[0] + p) * output_size[1] + q
    column = (channel * size[0] + i) * size[1] + j
    weight = ((o * per_group + c) * kernel_h + u) * kernel_w + v
    row, column, weight = (t.flatten() for t in torch.broadcast_tensors(row, column, weight))
    shape = (out * output_size[0] * output_size[1], per_group * g.groups * size[0] * size[1])
    order = torch.argsort(row * max(shape[1], 1) + column)
    return Entries(row[order], column[order], weight[order], shape)


def _taps(axis: int, kernel: int, size: Pair, output_size: Pair, g: Geometry) -> list[tuple[int, int, int]]:
    """Output pixel, tap and input pixel, for every tap of one axis that falls inside the image."""
    s, p, d = g.stride[axis], g.padding[axis], g.dilation[axis]
    met = [(q, u, q * s + u * d - p) for q in range(output_size[axis]) for u in range(kernel)]
    return [(output, tap, pixel) for output, tap, pixel in met if 0 <= pixel < size[axis]]


def _check_memory(count: int, weight_shape: tuple[int, ...], size: Pair, max_bytes: int) -> None:
    needed = count * (3 * 8 + 8)  # three indices and a value
    if needed > max_bytes:
        raise RuntimeError(
            f"the convolution matrix for weight {list(weight_shape)} and images of {size[0]} x {size[1]} has {count:,} "
            f"entries and would take {needed / 2**20:,.0f} MiB; the limit is {max_bytes / 2**20:,.0f} MiB. "
            "Use a smaller image, or an algorithm without the matrix (im2col, col2im)"
        )


_KEPT: Kept[Entries] = Kept(_MAX_KEPT_BYTES, lambda entries: 3 * 8 * entries.rows.numel())


def _kept_entries(
    weight_shape: tuple[int, ...], size: Pair, output_size: Pair, g: Geometry, x: Tensor, *, transposed: bool
) -> Entries:
    """The entries of ``C`` or ``Cᵀ`` for these sizes, worked out at the first call; the oldest are forgotten first."""

    def make() -> Entries:
        entries = _entries(tuple(weight_shape), size, output_size, g, x.device, MAX_MATRIX_BYTES)
        return entries.transposed() if transposed else entries

    if torch.compiler.is_compiling() or type(x) is not Tensor or under_a_mode():
        return make()  # a traced tensor must not outlive its trace
    return _KEPT.get((tuple(weight_shape), size, output_size, g, x.device, transposed), make)
