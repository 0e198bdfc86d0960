"""Every numbered formula of docs/theory.md, evaluated in float64; its tables and quoted rows, compared.

`@formula(n)` ties a test to a formula; the last tests hold the page, its table and these tests together.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from upsample_lab.conv import arithmetic as A
from upsample_lab.conv import conv2d, conv_matrix, conv_transpose2d
from upsample_lab.explain.algebra import Derivation, Pixel, Sum, Weight

PAGE_PATH = Path(__file__).parents[2] / "docs" / "theory.md"
PAGE = PAGE_PATH.read_text(encoding="utf-8")

FORMULAS: dict[int, str] = {}

GEOMETRIES = [
    (4, 3, 1, 0),
    (5, 3, 2, 0),
    (6, 4, 2, 1),
    (7, 3, 2, 1),
    (5, 3, 1, 1),
    (8, 5, 3, 2),
    (5, 2, 3, 0),
    (3, 1, 2, 1),
]
geometries = pytest.mark.parametrize(
    ("n", "k", "s", "p"), GEOMETRIES, ids=["i{}-k{}-s{}-p{}".format(*geometry) for geometry in GEOMETRIES]
)
scales = pytest.mark.parametrize("s", [2, 3, 4], ids="s{}".format)


def formula(*numbers: int) -> Callable[[Callable], Callable]:
    """Say that a test evaluates these formulas of the page."""

    def register(test: Callable) -> Callable:
        for number in numbers:
            assert number not in FORMULAS, f"formula {number} has two tests"
            FORMULAS[number] = test.__name__
        return test

    return register


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def rand(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def same(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)


def matrix(weight: Tensor, n: int, s: int, p: int) -> Tensor:
    """The matrix of a convolution, as the Jacobian of PyTorch's: `[C_out·m·m, C_in·n·n]`."""
    image = torch.zeros(weight.shape[1], n, n, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda x: F.conv2d(x[None], weight, stride=s, padding=p)[0], image)
    return jacobian.reshape(-1, image.numel())


def case(n: int, k: int, s: int, p: int) -> tuple[Tensor, Tensor, Tensor, int, int]:
    """A kernel, an input, an output, and the sizes and output_padding that belong to a geometry."""
    m = A.conv_output_size(n, k, s, p)
    return rand(k, k), rand(n, n), rand(m, m), m, A.inverting_output_padding(n, k, s, p)


def conv(x: Tensor, w: Tensor, s: int = 1, p: int = 0) -> Tensor:
    """A convolution of one channel, by the package."""
    return conv2d(x[None, None], w[None, None], stride=s, padding=p)[0, 0]


def conv_transpose(y: Tensor, w: Tensor, s: int = 1, p: int = 0, q: int = 0) -> Tensor:
    """A transposed convolution of one channel, by the package."""
    return conv_transpose2d(y[None, None], w[None, None], stride=s, padding=p, output_padding=q)[0, 0]


def outer(v: Tensor) -> Tensor:
    return torch.outer(v, v)


# ------------------------------------------------------------------------------------- 1-7: convolution, sizes, resize


@formula(1)
def test_fully_connected_layers_need_a_million_million_weights() -> None:
    assert nn.Linear(1000**2, 1000**2, bias=False, device="meta").weight.numel() == 10**12
    assert 10**6 * 10**2 == 10**8
    assert nn.Conv2d(1, 1, 10, bias=False).weight.numel() == 100


@formula(2)
@pytest.mark.parametrize("stride", [1, 2])
def test_convolution_commutes_with_shifts(stride: int) -> None:
    image, weight = rand(16, 16), rand(3, 3)
    shifted = torch.roll(image, (2 * stride, stride), (0, 1))
    expected = torch.roll(conv(image, weight, stride), (2, 1), (0, 1))
    same(conv(shifted, weight, stride)[2:-2, 2:-2], expected[2:-2, 2:-2])


@formula(3)
@geometries
def test_convolution_is_its_definition(n: int, k: int, s: int, p: int) -> None:
    w, x, _, m, _ = case(n, k, s, p)
    expected = torch.zeros(m, m, dtype=torch.float64)
    for i, j, a, b in itertools.product(range(m), range(m), range(k), range(k)):
        row, col = i * s + a - p, j * s + b - p
        if 0 <= row < n and 0 <= col < n:
            expected[i, j] += w[a, b] * x[row, col]
    same(conv(x, w, s, p), expected)
    same(F.conv2d(x[None, None], w[None, None], stride=s, padding=p)[0, 0], expected)


@formula(4)
@pytest.mark.parametrize("d", [1, 2], ids="d{}".format)
@geometries
def test_output_size(n: int, k: int, s: int, p: int, d: int) -> None:
    n = max(n, d * (k - 1) + 1 - 2 * p)  # the dilated kernel must fit
    m = math.floor((n + 2 * p - d * (k - 1) - 1) / s) + 1
    assert F.conv2d(rand(1, 1, n, n), rand(1, 1, k, k), stride=s, padding=p, dilation=d).shape[-1] == m
    assert A.conv_output_size(n, k, s, p, d) == m


@formula(5)
@pytest.mark.parametrize("k", [1, 3, 5, 7])
def test_same_padding_does_not_down_sample(k: int) -> None:
    p = (k - 1) // 2
    for n in (1, 4, 9):
        assert A.conv_output_size(n, k, 1, p) == n
        image = rand(1, 1, n, n)
        for _ in range(4):
            image = conv2d(image, rand(1, 1, k, k), padding=p)
        assert image.shape[-1] == n
    assert A.conv_output_size(9, 3, 1, 0) < 9
    assert A.conv_output_size(9, 3, 2, 1) < 9


@formula(6)
def test_receptive_field_recursion_is_what_gradients_see() -> None:
    layers = [A.Axis(3, 1, 1), A.Axis(4, 2, 1), A.Axis(3, 1, 2, 2)]
    r, j, o = 1, 1, 0
    for layer in layers:
        r, o, j = r + layer.dilation * (layer.kernel_size - 1) * j, o - layer.padding * j, j * layer.stride
    assert A.receptive_field(layers) == A.ReceptiveField(r, j, o)
    stack = nn.Sequential(*(nn.Conv1d(1, 1, v.kernel_size, v.stride, v.padding, v.dilation) for v in layers)).double()
    for parameter in stack.parameters():
        nn.init.ones_(parameter)
    image = rand(1, 1, 40).requires_grad_()
    index = 9
    seen = torch.autograd.grad(stack(image)[0, 0, index], image)[0][0, 0].nonzero().flatten().tolist()
    assert (seen[0], seen[-1]) == (o + index * j, o + index * j + r - 1)

    assert A.receptive_field([A.Axis(3)] * 2).size == 5
    assert A.receptive_field([A.Axis(3)] * 3).size == 7
    assert A.receptive_field([A.Axis(3, 2, 1)] * 3).size == 15


@formula(7)
def test_channels_add_up() -> None:
    x, w, bias = rand(3, 6, 6), rand(4, 3, 3, 3), rand(4)
    expected = torch.stack([bias[o] + sum(conv(x[c], w[o, c]) for c in range(3)) for o in range(4)])
    same(conv2d(x, w, bias), expected)


@formula(8)
def test_parameters_do_not_depend_on_the_image() -> None:
    layer = nn.Conv2d(3, 8, 5)
    assert sum(v.numel() for v in layer.parameters()) == 8 * (3 * 25 + 1)


@formula(9)
@geometries
def test_stride_keeps_every_sth_pixel(n: int, k: int, s: int, p: int) -> None:
    w, x, *_ = case(n, k, s, p)
    same(conv(x, w, s, p), conv(x, w, 1, p)[::s, ::s])


@formula(10)
@scales
def test_average_pooling_is_a_convolution(s: int) -> None:
    x = rand(3, 3 * s, 3 * s)
    weight = torch.full((3, 1, s, s), 1 / s**2, dtype=torch.float64)
    same(conv2d(x, weight, stride=s, groups=3), F.avg_pool2d(x, s))


@formula(11)
@scales
def test_nearest_repeats(s: int) -> None:
    y = rand(5, 5)
    index = torch.arange(5 * s) // s
    same(y[index][:, index], F.interpolate(y[None, None], scale_factor=s, mode="nearest")[0, 0])


def bilinear_matrix(m: int, s: int) -> Tensor:
    """Formula 12 as a matrix of one axis."""
    rows = torch.zeros(m * s, m, dtype=torch.float64)
    for u in range(m * s):
        t = (u + 0.5) / s - 0.5
        low = math.floor(t)
        rows[u, min(max(low, 0), m - 1)] += 1 - (t - low)
        rows[u, min(max(low + 1, 0), m - 1)] += t - low
    return rows


@formula(12)
@scales
def test_bilinear_blends_the_two_nearest(s: int) -> None:
    y, rows = rand(5, 5), bilinear_matrix(5, s)
    same(rows @ y @ rows.T, bilinear(y[None, None], s)[0, 0])


def bilinear(y: Tensor, s: int) -> Tensor:
    return F.interpolate(y, scale_factor=s, mode="bilinear", align_corners=False)


# ---------------------------------------------------------------------------------------- 8-10: the matrix, transposed


@formula(13, 14)
@geometries
def test_matrix_holds_the_kernel_at_each_window(n: int, k: int, s: int, p: int) -> None:
    w, x, _, m, _ = case(n, k, s, p)
    c = torch.zeros(m * m, n * n, dtype=torch.float64)
    for i, j, u, v in itertools.product(range(m), range(m), range(n), range(n)):
        a, b = u - i * s + p, v - j * s + p
        if 0 <= a < k and 0 <= b < k:
            c[i * m + j, u * n + v] = w[a, b]
    same(c @ x.flatten(), conv(x, w, s, p).flatten())
    same(c, matrix(w[None, None], n, s, p))
    same(c, conv_matrix(w[None, None], (n, n), stride=s, padding=p).to_dense())
    values = [[0.0 if cell is None else w[cell].item() for cell in row] for row in Derivation(n, k, s, p).matrix]
    same(c, torch.tensor(values, dtype=torch.float64))


@formula(15)
@geometries
def test_transposed_convolution_is_the_transposed_matrix(n: int, k: int, s: int, p: int) -> None:
    w, _, y, m, q = case(n, k, s, p)
    z = torch.zeros(n, n, dtype=torch.float64)
    for u, v, i, j in itertools.product(range(n), range(n), range(m), range(m)):
        a, b = u - i * s + p, v - j * s + p
        if 0 <= a < k and 0 <= b < k:
            z[u, v] += w[a, b] * y[i, j]
    same((matrix(w[None, None], n, s, p).T @ y.flatten()).view(n, n), z)
    same((conv_matrix(w[None, None], (n, n), stride=s, padding=p).T @ y.flatten()).view(n, n), z)
    same(conv_transpose(y, w, s, p, q), z)
    same(F.conv_transpose2d(y[None, None], w[None, None], stride=s, padding=p, output_padding=q)[0, 0], z)


@formula(16)
@geometries
def test_gradient_of_a_convolution_is_the_transposed_convolution(n: int, k: int, s: int, p: int) -> None:
    w, x, grad, _, q = case(n, k, s, p)
    x.requires_grad_()
    (got,) = torch.autograd.grad(F.conv2d(x[None, None], w[None, None], stride=s, padding=p)[0, 0], x, grad)
    same(got, conv_transpose(grad, w, s, p, q))
    y = grad.clone().requires_grad_()
    upstream = rand(n, n)
    (got,) = torch.autograd.grad(
        F.conv_transpose2d(y[None, None], w[None, None], stride=s, padding=p, output_padding=q)[0, 0], y, upstream
    )
    same(got, conv(upstream, w, s, p))


@formula(17)
@geometries
def test_transposed_convolution_is_the_adjoint(n: int, k: int, s: int, p: int) -> None:
    w, x, y, _, q = case(n, k, s, p)
    same((conv(x, w, s, p) * y).sum(), (x * conv_transpose(y, w, s, p, q)).sum())


@formula(18, 19, 20)
@geometries
def test_zero_insertion_and_the_flipped_kernel_give_the_same(n: int, k: int, s: int, p: int) -> None:
    w, _, y, m, q = case(n, k, s, p)
    border = k - 1 - p
    size = (m - 1) * s + 1 + 2 * border + q
    inserted = torch.zeros(size, size, dtype=torch.float64)
    for i, j in itertools.product(range(m), range(m)):
        t, r = i * s + border, j * s + border
        if 0 <= t < size and 0 <= r < size:
            inserted[t, r] = y[i, j]
    flipped = torch.tensor([[w[k - 1 - a, k - 1 - b] for b in range(k)] for a in range(k)], dtype=torch.float64)
    same(conv(inserted, flipped), conv_transpose(y, w, s, p, q))
    assert Derivation(n, k, s, p).is_equal


@formula(21, 22)
@pytest.mark.parametrize("d", [1, 2], ids="d{}".format)
@geometries
def test_output_padding_is_what_the_floor_forgot(n: int, k: int, s: int, p: int, d: int) -> None:
    n = max(n, d * (k - 1) + 1 - 2 * p)  # the dilated kernel must fit
    m = A.conv_output_size(n, k, s, p, d)
    q = (n + 2 * p - d * (k - 1) - 1) % s
    assert (m - 1) * s - 2 * p + d * (k - 1) + 1 + q == n
    assert A.inverting_output_padding(n, k, s, p, d) == q
    assert A.conv_transpose_output_size(m, k, s, p, d, q) == n
    ones = torch.ones(1, 1, m, m, dtype=torch.float64)
    weight = torch.ones(1, 1, k, k, dtype=torch.float64)
    z = F.conv_transpose2d(ones, weight, stride=s, padding=p, output_padding=q, dilation=d)
    assert z.shape[-1] == n
    if q <= p and d == 1 and k >= s:
        assert bool((z > 0).all()), "the added rows hold real products"


@formula(23)
def test_channels_swap_their_roles() -> None:
    w, y = rand(4, 3, 3, 3), rand(4, 5, 5)  # four channels back to three
    swapped = w.flip(2, 3).transpose(0, 1)
    same(conv2d(y, swapped, padding=2), conv_transpose2d(y, w))
    c = matrix(w, 7, 1, 0)
    same((c.T @ y.flatten()).view(3, 7, 7), conv_transpose2d(y, w))


@formula(24)
@geometries
def test_each_phase_is_a_small_convolution(n: int, k: int, s: int, p: int) -> None:
    w, _, y, m, q = case(n, k, s, p)
    z = torch.zeros(n, n, dtype=torch.float64)
    for u, v, a, b in itertools.product(range(n), range(n), range(k), range(k)):
        (i, row_rest), (j, col_rest) = divmod(u + p - a, s), divmod(v + p - b, s)
        if row_rest == col_rest == 0 and 0 <= i < m and 0 <= j < m:
            z[u, v] += w[a, b] * y[i, j]
    same(z, conv_transpose(y, w, s, p, q))


@formula(25)
@pytest.mark.parametrize(("k", "s", "p"), [(3, 2, 1), (4, 2, 1), (5, 3, 1), (6, 3, 1)])
def test_phases_of_a_constant_image(k: int, s: int, p: int) -> None:
    w = rand(k)
    response = F.conv_transpose1d(torch.ones(1, 1, 12, dtype=torch.float64), w[None, None], stride=s, padding=p)[0, 0]
    for phase in range(s):
        taps = [a for a in range(k) if (a - phase - p) % s == 0]
        same(response[4 * s + phase], w[taps].sum())
    counts = {sum((a - phase - p) % s == 0 for a in range(k)) for phase in range(s)}
    assert (len(counts) == 1) == (k % s == 0)


# ------------------------------------------------------------------------------------------------ 11: is it an inverse?

HAAR = (
    torch.tensor([[[1, 1], [1, 1]], [[1, -1], [1, -1]], [[1, 1], [-1, -1]], [[1, -1], [-1, 1]]]).double()[:, None] / 2
)


def residual(x: Tensor, estimate: Tensor) -> float:
    """Formula 26."""
    return ((x - estimate).norm() / x.norm()).item()


@formula(26)
def test_residuals_are_the_pages() -> None:
    x = torch.arange(1, 17, dtype=torch.float64)
    c = matrix((outer(torch.tensor([1.0, 2, 1])).double() / 16)[None, None], 4, 1, 0)
    z = c.T @ (c @ x)
    mean, haar = matrix(HAAR[:1], 4, 2, 0), matrix(HAAR, 4, 2, 0)
    measured = [
        residual(x, z),
        residual(x, (x @ z) / (z @ z) * z),
        residual(x, torch.linalg.pinv(c) @ (c @ x)),
        residual(x, mean.T @ (mean @ x)),
        residual(x, haar.T @ (haar @ x)),
    ]
    table = PAGE.split("| estimate $")[1].split("\n\n")[0]
    stated = [float(number) for number in re.findall(r"\| (\d\.\d{3}) \|", table)]
    assert stated == [round(value, 3) for value in measured]


@formula(27)
def test_orthonormal_rows_make_a_projection() -> None:
    c = matrix(HAAR[:2], 6, 2, 0)
    same(c @ c.T, torch.eye(len(c), dtype=torch.float64))
    projection = c.T @ c
    same(projection @ projection, projection)
    y = rand(len(c))
    same(c @ (c.T @ y), y)
    x = rand(36)
    assert residual(x, projection @ x) > 0.1


@formula(28)
def test_a_square_orthogonal_matrix_is_inverted_by_its_transpose() -> None:
    c = matrix(HAAR, 6, 2, 0)
    same(c.T @ c, torch.eye(36, dtype=torch.float64))
    x = rand(1, 6, 6)
    same(conv_transpose2d(conv2d(x, HAAR, stride=2), HAAR, stride=2), x)


@formula(29)
@pytest.mark.parametrize(("n", "k", "s", "p"), [(4, 3, 1, 0), (5, 3, 2, 0), (6, 2, 2, 0)])
def test_least_squares_inverse_is_a_corrected_transpose(n: int, k: int, s: int, p: int) -> None:
    w, x, *_ = case(n, k, s, p)
    c = matrix(w[None, None], n, s, p)
    y = c @ x.flatten()
    estimate = c.T @ torch.linalg.solve(c @ c.T, y)
    same(estimate, torch.linalg.pinv(c) @ y)
    same(c @ estimate, y)
    z = c.T @ y
    best_scaled = (x.flatten() @ z) / (z @ z) * z
    assert residual(x.flatten(), estimate) <= residual(x.flatten(), best_scaled)


# ------------------------------------------------------------------------------------------------------------ 12: cost


@formula(30, 31)
@pytest.mark.parametrize(("k", "s"), [(3, 1), (3, 2), (4, 2), (5, 3), (2, 2)])
def test_costs_are_the_entries_of_the_matrix(k: int, s: int) -> None:
    """In the interior: a row of C for a convolution's pixel, a row of its transpose for a transposed one's."""
    c = matrix(torch.ones(2, 3, k, k, dtype=torch.float64), 7 * s + k, s, 0)
    m = A.conv_output_size(7 * s + k, k, s)
    of_y = c.count_nonzero(dim=1).view(2, m, m).sum(0)
    assert of_y.unique().tolist() == [2 * 3 * k * k]

    start = k * s  # a multiple of s inside, and one period of the phases from there
    of_z = c.count_nonzero(dim=0).view(3, 7 * s + k, 7 * s + k).sum(0)[start : start + s, start : start + s]
    assert Fraction(int(of_z.sum()), s * s) == Fraction(6 * k * k, s * s)


# --------------------------------------------------------------------------------------------------- 13: folding table


def convolve_full(first: Tensor, second: Tensor) -> Tensor:
    """The mathematician's full convolution of two vectors."""
    return F.conv1d(first[None, None], second.flip(0)[None, None], padding=len(second) - 1)[0, 0]


def short_filter(s: int) -> Tensor:
    """f of formula 33."""
    if s % 2:
        return torch.full((s,), 1 / s, dtype=torch.float64)
    return torch.tensor([1.0, *[2.0] * (s - 1), 1.0], dtype=torch.float64) / (2 * s)


def tent(s: int) -> Tensor:
    """T of formula 34."""
    size = 2 * s - s % 2
    return 1 - (torch.arange(size, dtype=torch.float64) - (size - 1) / 2).abs() / s


def nearest_folded(w: Tensor, s: int) -> Tensor:
    """V of formula 32, channels swapped: `[C_out, C_in, k, k]` to `[C_in, C_out, k+s-1, k+s-1]`."""
    box = torch.ones(w.shape[1], 1, s, s, dtype=torch.float64).repeat_interleave(w.shape[0], dim=0)
    flipped = w.flip(2, 3).transpose(0, 1).reshape(1, -1, *w.shape[2:])
    full = F.conv2d(flipped, box, padding=s - 1, groups=flipped.shape[1])
    return full.view(w.shape[1], w.shape[0], *full.shape[2:])


@formula(32)
@pytest.mark.parametrize("k", [1, 3, 5], ids="k{}".format)
@scales
def test_nearest_then_convolution_is_one_transposed_convolution(s: int, k: int) -> None:
    w, y = rand(4, 3, k, k), rand(3, 5, 5)
    padding = (k - 1) // 2
    index = torch.arange(5 * s) // s
    expected = conv2d(y[:, index][:, :, index], w, padding=padding)
    folded = nearest_folded(w, s)
    assert folded.shape[-1] == k + s - 1
    same(conv_transpose2d(y, folded, stride=s, padding=k - 1 - padding), expected)


@formula(33)
@scales
def test_bilinear_is_nearest_then_a_filter(s: int) -> None:
    f = short_filter(s)
    same(convolve_full(torch.ones(s, dtype=torch.float64), f), tent(s))
    y = rand(1, 1, 5, 5)
    repeated = F.interpolate(y, scale_factor=s, mode="nearest")
    margin = (len(f) - 1) // 2
    padded = F.pad(repeated, [margin] * 4, mode="replicate")
    same(conv2d(padded, outer(f)[None, None]), bilinear(y, s))


@formula(34)
@scales
def test_bilinear_is_a_depthwise_transposed_convolution(s: int) -> None:
    y = rand(1, 3, 5, 5)
    padded = F.pad(y, [1] * 4, mode="replicate")
    weight = outer(tent(s)).expand(3, 1, -1, -1)
    same(conv_transpose2d(padded, weight, stride=s, padding=s // 2 + s, groups=3), bilinear(y, s))


@formula(35)
@pytest.mark.parametrize("size", [1, 3, 5], ids="K{}".format)
@pytest.mark.parametrize("r", [2, 3], ids="r{}".format)
def test_sub_pixel_convolution_is_a_transposed_convolution(size: int, r: int) -> None:
    w, y = rand(2, r, r, 3, size, size), rand(3, 5, 5)  # [C_out, phase, phase, C_in, K, K]
    padding = (size - 1) // 2
    expected = F.pixel_shuffle(conv2d(y, w.reshape(-1, 3, size, size), padding=padding), r)
    interleaved = torch.zeros(3, 2, r * size, r * size, dtype=torch.float64)
    for a, b, row, col in itertools.product(range(size), range(size), range(r), range(r)):
        interleaved[:, :, r * (size - 1 - a) + row, r * (size - 1 - b) + col] = w[:, row, col, :, a, b].T
    same(conv_transpose2d(y, interleaved, stride=r, padding=r * (size - 1 - padding)), expected)


@formula(36)
def test_kernel_4_stride_2_is_a_sub_pixel_convolution_with_five_zeros_of_nine() -> None:
    v, y = rand(3, 2, 4, 4), rand(3, 5, 5)
    taps = {0: (3, 1, None), 1: (None, 2, 0)}
    w = torch.zeros(2, 2, 2, 3, 3, 3, dtype=torch.float64)
    for row, col, a, b in itertools.product(range(2), range(2), range(3), range(3)):
        from_row, from_col = taps[row][a], taps[col][b]
        if from_row is not None and from_col is not None:
            w[:, row, col, :, a, b] = v[:, :, from_row, from_col].T
    same(F.pixel_shuffle(conv2d(y, w.reshape(-1, 3, 3, 3), padding=1), 2), conv_transpose2d(y, v, stride=2, padding=1))
    for row, col in itertools.product(range(2), range(2)):
        assert (w[0, row, col, 0] == 0).sum() == 5


@formula(37)
@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@scales
def test_one_by_one_convolution_commutes_with_a_resize(s: int, mode: str) -> None:
    w, bias, y = rand(4, 3, 1, 1), rand(4), rand(1, 3, 5, 5)

    def resize(image: Tensor) -> Tensor:
        return F.interpolate(image, scale_factor=s, mode=mode)

    same(conv2d(resize(y), w, bias), resize(conv2d(y, w, bias)))


@formula(38)
@pytest.mark.parametrize("k", [3, 5], ids="k{}".format)
@scales
def test_bilinear_then_convolution_is_a_transposed_convolution_then_a_filter(s: int, k: int) -> None:
    w, y = rand(4, 3, k, k), rand(1, 3, 9, 9)
    padding, f = (k - 1) // 2, short_filter(s)
    expected = conv2d(bilinear(y, s), w, padding=padding)
    folded = conv_transpose2d(y, nearest_folded(w, s), stride=s, padding=k - 1 - padding)
    filtered = conv2d(folded, outer(f).expand(4, 1, -1, -1), padding=(len(f) - 1) // 2, groups=4)
    border = k + s
    inside = (slice(None), slice(None), slice(border, -border), slice(border, -border))
    assert expected[inside].numel() > 0
    same(filtered[inside], expected[inside])


@formula(39)
@pytest.mark.parametrize("k", [1, 3, 5], ids="k{}".format)
@scales
def test_any_resize_then_convolution_is_products_at_the_small_size_then_sums(s: int, k: int) -> None:
    w, y, p = rand(1, 1, k, k), rand(3, 3), k // 2
    for resize in (bilinear_matrix(3, s), rand(3 * s, 3)):
        shifted = [torch.zeros_like(resize) for _ in range(k)]  # A
        for a, o in itertools.product(range(k), range(3 * s)):
            if 0 <= o + a - p < 3 * s:
                shifted[a][o] = resize[o + a - p]
        total = sum(shifted[a] @ (w[0, 0, a, b] * y) @ shifted[b].T for a, b in itertools.product(range(k), range(k)))
        same(total, conv2d((resize @ y @ resize.T)[None, None], w, padding=p)[0, 0])  # type: ignore[arg-type]


@formula(40)
@pytest.mark.parametrize("k", [3, 5], ids="k{}".format)
@pytest.mark.parametrize("s", [2, 3])
def test_nearest_then_convolution_is_a_small_transposed_convolution_then_a_box(s: int, k: int) -> None:
    w, y = rand(4, 3, k, k), rand(1, 3, 5, 5)
    index = torch.arange(5 * s) // s
    expected = conv2d(y[:, :, index][:, :, :, index], w, padding=k // 2)
    small = conv_transpose2d(y, w.flip(2, 3).transpose(0, 1), stride=s)  # whole: as wide as the zeros and the kernel
    box = torch.ones(4, 1, s, s, dtype=torch.float64)
    inside = slice(k // 2, k // 2 + 5 * s)
    same(F.conv2d(small, box, padding=s - 1, groups=4)[:, :, inside, inside], expected)


def transposed_macs(kernel_size: int) -> Fraction:
    """Formula 31 for s = 2 and one channel."""
    return Fraction(kernel_size**2, 2**2)


def test_blurred_layers_would_cost_more_in_one_as_the_page_says() -> None:
    plain, larger = transposed_macs(4), transposed_macs(4 + 2)
    blur = 2 * 3  # taps, along each axis
    shuffled, blurred = transposed_macs(6), transposed_macs(6 + 2)
    assert f"{plain} → {larger} MACs, where the blur costs {blur} a channel" in PAGE
    assert f"instead of $s k$: {shuffled} → {blurred} |" in PAGE


def test_costs_in_the_folding_table() -> None:
    """MACs a pixel and pair of channels for s = 2, k = 3, as the table says."""
    folded, full = transposed_macs, Fraction(3**2)
    bilinear_taps = Fraction(2 * 2)  # two neighbours along each axis
    sub_pixel = full  # nine taps at the small size for each of the four pixels of the large one
    expected = [
        (full, folded(3 + 2 - 1)),
        (bilinear_taps, Fraction(len(short_filter(2)) ** 2)),
        (bilinear_taps, folded(len(tent(2)))),
        (sub_pixel, folded(2 * 3)),
        (folded(4), sub_pixel),
        (Fraction(1), Fraction(1, 4)),
        (full, folded(3 + 2 - 1)),
        (full, folded(3)),  # as many as the transposed convolution with the kernel itself
        (full, folded(3)),
    ]
    table = PAGE.split("## 13.")[1].split("\n\n")[2]
    stated = [(Fraction(a), Fraction(b)) for a, b in re.findall(r"\| ([\d.]+) → ([\d.]+)(?: a channel)? \|", table)]
    assert stated == expected


# -------------------------------------------------------------------------------------------------------- the page


def parse_sum(text: str) -> Sum:
    """`w₁₀y₀ + w₀₀y₂` as symbols."""
    total = Sum()
    for product in text.translate(str.maketrans("₀₁₂₃", "0123")).split(" + "):
        match = re.fullmatch(r"w(\d)(\d)y(\d)", product)
        assert match, product
        row, col, number = map(int, match.groups())
        total.add(Weight(row, col), Pixel("y", number))
    return total


def test_rows_quoted_on_the_page_are_the_symbols() -> None:
    quoted = re.findall(r"^\| row (\d) \| (.*) \|$", PAGE, flags=re.MULTILINE)
    assert len(quoted) == 3
    images = [Derivation(4, 3, 1, 0).transposed, Derivation(4, 3, 1, 0).transposed, Derivation(5, 3, 2, 0).transposed]
    for (number, row), image in zip(quoted, images, strict=True):
        assert [parse_sum(cell) for cell in row.split(" | ")] == list(image[int(number) - 1])


def test_corrections_on_the_page_hold() -> None:
    assert all(len(total) == 4 for row in Derivation(4, 3, 1, 0).transposed[1:3] for total in row[1:3])
    stride_2 = Derivation(5, 3, 2, 0)
    assert (len(stride_2.matrix), len(stride_2.matrix[0])) == (4, 25)
    assert len(stride_2.transposed[2][2]) == 4
    assert {len(total) for row in stride_2.transposed for total in row} == {1, 2, 4}
    assert PAGE.count("> **Often told wrongly.**") == 3


def test_way_out_of_the_trap_on_the_page_holds() -> None:
    assert A.plan_sizes(28, 3).encoder_sizes == (28, 14, 7, 4)
    assert A.conv_transpose_output_size(4, 4, 2, 2, output_padding=1) == 7


def test_every_formula_has_its_test() -> None:
    numbers = [int(number) for number in re.findall(r"\\tag\{(\d+)\}", PAGE)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert sorted(FORMULAS) == numbers


def test_table_of_tests_is_complete() -> None:
    table = PAGE.split("## Which test evaluates which formula")[1]
    rows = {int(number): name for number, name in re.findall(r"^\| (\d+) \| `(\w+)` \|$", table, flags=re.MULTILINE)}
    assert rows == FORMULAS


def test_pictures_links_and_displayed_formulas_are_sound() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", PAGE):
        assert (PAGE_PATH.parent / target).exists(), target
    headings = [line.lstrip("# ").lower() for line in PAGE.splitlines() if line.startswith("#")]
    anchors = {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}
    for anchor in re.findall(r"\]\(#([^)]+)\)", PAGE):
        assert anchor in anchors, anchor
    displayed = [line for line in PAGE.splitlines() if line.startswith("$$")]
    assert len(displayed) == len(FORMULAS)
    for line in displayed:
        assert line.endswith("$$")
        assert not re.search(r"\\[\\{},;!]", line), f"GitHub's Markdown eats this backslash: {line}"
        assert line.count("{") == line.count("}")
