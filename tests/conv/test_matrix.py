"""The convolution matrix: its entries, its products, its gradient, and its limit."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from upsample_lab.conv import conv2d, conv_matrix, conv_transpose2d, matrix
from upsample_lab.conv.kept import Kept

SHAPES = [
    ("plain", (1, 1, 3, 3), (4, 4), {}),
    ("stride", (1, 1, 3, 3), (5, 5), {"stride": 2}),
    ("padding", (2, 3, 3, 3), (4, 5), {"padding": 1}),
    ("groups", (4, 2, 2, 3), (5, 6), {"groups": 2, "padding": (1, 0), "dilation": (1, 2), "stride": (2, 1)}),
    ("depthwise", (3, 1, 3, 3), (5, 5), {"groups": 3, "padding": 2}),
]


@pytest.mark.parametrize(("shape", "size", "arguments"), [s[1:] for s in SHAPES], ids=[s[0] for s in SHAPES])
def test_c_times_x_is_the_convolution_and_its_transpose_the_transposed(shape, size, arguments) -> None:
    weight = torch.randn(shape, dtype=torch.float64)
    x = torch.randn(shape[1] * arguments.get("groups", 1), *size, dtype=torch.float64)
    c = conv_matrix(weight, size, **arguments)
    y = F.conv2d(x, weight, **arguments)
    assert c.shape == (y.numel(), x.numel())
    torch.testing.assert_close(c @ x.flatten(), y.flatten(), rtol=1e-13, atol=1e-13)
    back = (c.T @ y.flatten()).view_as(x)
    _, pull = torch.func.vjp(lambda x: F.conv2d(x, weight, **arguments), x)
    torch.testing.assert_close(back, pull(y)[0], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(("shape", "size", "arguments"), [s[1:] for s in SHAPES], ids=[s[0] for s in SHAPES])
def test_the_stored_entries_are_exactly_the_taps_inside_the_image(shape, size, arguments) -> None:
    """Ones everywhere: the number of entries in a row is the number of real pixels that its output sees."""
    c = conv_matrix(torch.ones(shape), size, **arguments)
    seen = F.conv2d(torch.ones(shape[1] * arguments.get("groups", 1), *size), torch.ones(shape), **arguments)
    assert torch.equal(torch.bincount(c.indices()[0], minlength=c.shape[0]), seen.flatten().long())
    assert torch.equal(c.to_dense(), c.coalesce().to_dense())
    assert c.values().numel() == int(seen.sum())
    assert conv_matrix(torch.zeros(shape), size, **arguments).values().numel() == int(seen.sum())
    order = c.indices()[0] * c.shape[1] + c.indices()[1]
    assert (order.diff() > 0).all()


def test_the_matrix_of_the_textbook() -> None:
    """4 x 4 image, 3 x 3 kernel: four rows of nine weights."""
    weight = torch.arange(1.0, 10.0).view(1, 1, 3, 3)
    dense = conv_matrix(weight, (4, 4)).to_dense()
    assert dense.shape == (4, 16)
    first = [1, 2, 3, 0, 4, 5, 6, 0, 7, 8, 9, 0, 0, 0, 0, 0]
    for row, shift in enumerate((0, 1, 4, 5)):
        assert dense[row].tolist() == ([0] * shift + first)[:16]
    assert conv_matrix(weight, (5, 5), stride=2).shape == (4, 25)


def test_the_weights_get_their_gradient_through_the_matrix() -> None:
    weight = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    x = torch.randn(3, 4, 4, dtype=torch.float64)
    y = torch.sparse.mm(conv_matrix(weight, (4, 4)), x.view(-1, 1))
    (ours,) = torch.autograd.grad(y.square().sum(), weight)
    (native,) = torch.autograd.grad(F.conv2d(x, weight).square().sum(), weight)
    torch.testing.assert_close(ours, native)


def test_the_limit_is_told_with_the_figure() -> None:
    with pytest.raises(RuntimeError, match=r"36,864 entries and would take 1 MiB; the limit is 0 MiB"):
        conv_matrix(torch.ones(8, 8, 3, 3), (10, 10), max_bytes=1 << 10)
    with pytest.raises(RuntimeError, match="limit is 2,048 MiB"):
        conv2d(torch.ones(1, 64, 224, 224), torch.ones(64, 64, 3, 3), padding=1, algorithm="matrix")
    with pytest.raises(RuntimeError, match="limit is 2,048 MiB"):
        conv_transpose2d(torch.ones(1, 64, 224, 224), torch.ones(64, 64, 3, 3), algorithm="matrix")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"input_size": (2, 2)}, "larger than the padded input"),
        ({"input_size": 0}, "input_size"),
        ({"input_size": 2.5}, "input_size"),
        ({"input_size": 5, "groups": 2}, "groups"),
        ({"input_size": 5, "stride": 0}, "stride"),
    ],
)
def test_what_conv2d_refuses_has_no_matrix(arguments, named) -> None:
    with pytest.raises((ValueError, TypeError), match=named):
        conv_matrix(torch.ones(1, 1, 3, 3), **arguments)
    with pytest.raises(ValueError, match="weight"):
        conv_matrix(torch.ones(3, 3), 5)


def test_kept_entries_are_bounded_and_hold_no_weights(monkeypatch) -> None:
    monkeypatch.setattr(matrix, "_KEPT", Kept(3 * 8 * 100, matrix._KEPT._size))
    for size in range(3, 9):
        x = torch.randn(1, 1, size, size)
        for weight in (torch.randn(1, 1, 3, 3), torch.randn(1, 1, 3, 3)):
            torch.testing.assert_close(conv2d(x, weight, algorithm="matrix"), F.conv2d(x, weight))
        kept = sum(entries.rows.numel() for entries in matrix._KEPT._values.values())
        assert len(matrix._KEPT) == 1 or kept <= 100
