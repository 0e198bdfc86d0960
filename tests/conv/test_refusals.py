"""What torch refuses is refused, in one line that names the argument; each case is first shown to be torch's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from upsample_lab.conv import CONV2D_ALGORITHMS, CONV_TRANSPOSE2D_ALGORITHMS, Conv2d, conv2d, conv_transpose2d

REFUSALS = (ValueError, TypeError, RuntimeError)


def tensors(**changes):
    made = {"input": torch.ones(2, 4, 8, 8), "weight": torch.ones(4, 4, 3, 3), "bias": torch.ones(4)}
    return made | changes


BOTH = [
    ("stride", {"stride": 2.0}, "stride"),
    ("stride-bool", {"stride": True}, "stride"),
    ("stride-bool-in-pair", {"stride": (True, 1)}, "stride"),
    ("stride-numpy-float", {"stride": np.float64(2)}, "stride"),
    ("stride-numpy-bool", {"stride": np.bool_(True)}, "stride"),
    ("stride-numpy-array", {"stride": np.array([2, 2])}, "stride"),
    ("stride-none", {"stride": None}, "stride"),
    ("stride-text", {"stride": "2"}, "stride"),
    ("stride-three", {"stride": (1, 1, 1)}, "stride"),
    ("stride-empty", {"stride": ()}, "stride"),
    ("stride-zero", {"stride": 0}, "stride"),
    ("stride-negative", {"stride": (1, -1)}, "stride"),
    ("padding-float", {"padding": 1.0}, "padding"),
    ("padding-negative", {"padding": -1}, "padding"),
    ("padding-three", {"padding": (1, 1, 1)}, "padding"),
    ("padding-name", {"padding": "full"}, "padding"),
    ("dilation-zero", {"dilation": 0}, "dilation"),
    ("dilation-three", {"dilation": [1, 1, 1]}, "dilation"),
    ("groups-zero", {"groups": 0}, "groups"),
    ("groups-negative", {"groups": -1}, "groups"),
    ("groups-bool", {"groups": True}, "groups"),
    ("groups-float", {"groups": 1.0}, "groups"),
    ("groups-no-divisor", {"groups": 3}, "groups=3"),
    ("bias-of-another-length", {"bias": torch.ones(5)}, "bias"),
    ("bias-of-length-one", {"bias": torch.ones(1)}, "bias"),
    ("bias-with-two-dimensions", {"bias": torch.ones(1, 4)}, "bias"),
    ("bias-number", {"bias": torch.ones(())}, "bias"),
    ("input-float64", {"input": torch.ones(2, 4, 8, 8).double()}, "float64"),
    ("weight-float64", {"weight": torch.ones(4, 4, 3, 3).double()}, "float64"),
    ("bias-float64", {"bias": torch.ones(4).double()}, "float64"),
    ("input-two-dimensions", {"input": torch.ones(8, 8)}, "input"),
    ("input-five-dimensions", {"input": torch.ones(1, 2, 4, 8, 8)}, "input"),
    ("input-other-channels", {"input": torch.ones(2, 5, 8, 8)}, "channels"),
    ("input-no-channels", {"input": torch.ones(2, 0, 8, 8)}, "channels"),
    ("input-no-pixels", {"input": torch.ones(2, 4, 0, 8), "padding": 2}, "pixels"),
    ("input-unbatched-no-pixels", {"input": torch.ones(4, 8, 0), "padding": 2}, "pixels"),
    ("input-numpy", {"input": np.ones((2, 4, 8, 8), np.float32)}, "input"),
    ("input-list", {"input": [1.0]}, "input"),
    ("weight-none", {"weight": None}, "weight"),
    ("weight-three-dimensions", {"weight": torch.ones(4, 4, 3)}, "weight"),
    ("weight-five-dimensions", {"weight": torch.ones(4, 4, 3, 3, 3)}, "weight"),
    ("weight-without-taps", {"weight": torch.ones(4, 4, 0, 3)}, "taps"),
    ("weight-without-first-channels", {"weight": torch.ones(0, 4, 3, 3)}, "channels"),
    ("input-sparse", {"input": torch.ones(2, 4, 8, 8).to_sparse()}, "dense"),
]
CONV2D = [
    ("same-with-stride", {"padding": "same", "stride": 2}, "same"),
    ("same-with-one-stride", {"padding": "same", "stride": (1, 2)}, "same"),
    ("kernel-larger-than-image", {"weight": torch.ones(4, 4, 9, 3)}, "larger than the padded input"),
    ("dilated-kernel-larger-than-image", {"dilation": 9}, "larger than the padded input"),
    ("kernel-larger-than-no-image", {"input": torch.ones(0, 4, 2, 2)}, "larger than the padded input"),
]
TRANSPOSED = [
    ("padding-same", {"padding": "same"}, "padding"),
    ("padding-valid", {"padding": "valid"}, "padding"),
    ("output-padding-of-stride", {"output_padding": 1}, "output_padding"),
    ("output-padding-of-stride-2", {"output_padding": 2, "stride": 2}, "output_padding"),
    ("output-padding-of-other-axis", {"output_padding": (0, 1), "stride": (2, 1)}, "output_padding"),
    ("output-padding-negative", {"output_padding": -1, "stride": 2}, "output_padding"),
    ("output-padding-three", {"output_padding": (0, 0, 0)}, "output_padding"),
    ("output-padding-bool", {"output_padding": True, "stride": 2}, "output_padding"),
    ("padding-eats-the-output", {"padding": 6}, "padding"),
    ("weight-without-output-channels", {"weight": torch.ones(4, 0, 3, 3), "bias": None}, "output channels"),
]


@pytest.mark.parametrize("algorithm", CONV2D_ALGORITHMS)
@pytest.mark.parametrize(("changes", "named"), [c[1:] for c in BOTH + CONV2D], ids=[c[0] for c in BOTH + CONV2D])
def test_conv2d_refuses(changes, named, algorithm) -> None:
    with pytest.raises((*REFUSALS, NotImplementedError)):
        F.conv2d(**tensors(**changes))
    with pytest.raises(REFUSALS, match=named) as caught:
        conv2d(**tensors(**changes), algorithm=algorithm)
    assert not isinstance(caught.value, NotImplementedError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("algorithm", CONV_TRANSPOSE2D_ALGORITHMS)
@pytest.mark.parametrize(
    ("changes", "named"), [c[1:] for c in BOTH + TRANSPOSED], ids=[c[0] for c in BOTH + TRANSPOSED]
)
def test_conv_transpose2d_refuses(changes, named, algorithm) -> None:
    with pytest.raises((*REFUSALS, NotImplementedError, IndexError)):
        F.conv_transpose2d(**tensors(**changes))
    with pytest.raises(REFUSALS, match=named) as caught:
        conv_transpose2d(**tensors(**changes), algorithm=algorithm)
    assert not isinstance(caught.value, NotImplementedError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [2, (2, 2), [2, 2], [2], (2,), np.int64(2), (np.int32(2), 2), torch.Size([2, 2]), torch.tensor(2)],
    ids=["int", "pair", "list", "one-in-list", "one-in-tuple", "numpy", "numpy-in-pair", "size", "tensor"],
)
@pytest.mark.parametrize("argument", ["stride", "padding", "dilation"])
def test_integers_of_every_kind_are_taken(argument, value) -> None:
    x, weight = torch.randn(2, 4, 8, 8), torch.randn(4, 4, 3, 3)
    for ours, torchs in ((conv2d, F.conv2d), (conv_transpose2d, F.conv_transpose2d)):
        torch.testing.assert_close(ours(x, weight, **{argument: value}), torchs(x, weight, **{argument: value}))


@pytest.mark.parametrize(("function", "near"), [(conv2d, "im2col"), (conv_transpose2d, "col2im")])
def test_an_unknown_algorithm_is_refused_with_the_nearest(function, near) -> None:
    with pytest.raises(ValueError, match=f"did you mean '{near}'"):
        function(torch.ones(1, 1, 3, 3), torch.ones(1, 1, 3, 3), algorithm=near[:-1])
    with pytest.raises(TypeError, match="algorithm"):
        function(torch.ones(1, 1, 3, 3), torch.ones(1, 1, 3, 3), algorithm=3)
    with pytest.raises(ValueError, match="unknown algorithm"):
        Conv2d(1, 1, 3, algorithm="fft")


def test_a_type_that_only_torchs_kernels_know_names_them() -> None:
    x, weight = torch.ones(1, 1, 3, 3, dtype=torch.complex32), torch.ones(1, 1, 3, 3, dtype=torch.complex32)
    with pytest.raises(TypeError, match=r"'custom' does not do torch.complex32; algorithm 'native' does"):
        conv2d(x, weight, algorithm="custom")
    assert conv2d(x, weight, algorithm="native").shape == (1, 1, 1, 1)


@pytest.mark.parametrize("dtype", [torch.bool, torch.float8_e4m3fn])
@pytest.mark.parametrize("function", [conv2d, conv_transpose2d])
def test_types_that_nobody_convolves_are_refused(function, dtype) -> None:
    with pytest.raises(TypeError, match="cannot be convolved"):
        function(torch.ones(1, 1, 3, 3).to(dtype), torch.ones(1, 1, 3, 3).to(dtype))
