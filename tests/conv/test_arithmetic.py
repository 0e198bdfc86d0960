"""Sizes and counts against what torch does and against brute force."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from upsample_lab.conv import arithmetic as A
from upsample_lab.conv import conv_matrix
from upsample_lab.conv.checks import as_pair
from upsample_lab.conv.geometry import Geometry

GEOMETRIES = list(itertools.product((1, 2, 5, 8), (1, 2, 3, 4), (1, 2, 3), (0, 1, 3), (1, 2)))


def torch_size(call: object, *args: int, **kwargs: int) -> int | None:
    """The size of what torch computes along one axis, or None where it refuses."""
    size, kernel_size, *_ = args
    image, weight = torch.zeros(1, 1, size, 1), torch.zeros(1, 1, kernel_size, 1)
    try:
        pairs = {name: (value, 0 if "padding" in name else 1) for name, value in kwargs.items()}
        return call(image, weight, **pairs).shape[2]
    except RuntimeError:
        return None


def ours(function: object, *args: int, **kwargs: int) -> int | None:
    try:
        return function(*args, **kwargs)
    except ValueError:
        return None


@pytest.mark.parametrize("padding", [0, 1, 3], ids="padding={}".format)
@pytest.mark.parametrize("stride", [1, 2, 3], ids="stride={}".format)
def test_output_sizes_and_refusals_are_torchs(stride: int, padding: int) -> None:
    compared = 0
    for size, kernel_size, dilation in itertools.product((1, 2, 5, 8), (1, 2, 3, 4), (1, 2)):
        geometry = {"stride": stride, "padding": padding, "dilation": dilation}
        assert ours(A.conv_output_size, size, kernel_size, **geometry) == torch_size(
            F.conv2d, size, kernel_size, **geometry
        )
        for output_padding in range(4):
            expected = torch_size(F.conv_transpose2d, size, kernel_size, **geometry, output_padding=output_padding)
            got = ours(A.conv_transpose_output_size, size, kernel_size, **geometry, output_padding=output_padding)
            assert got == expected, (size, kernel_size, geometry, output_padding)
            compared += expected is not None
    assert compared > 20


@pytest.mark.parametrize(("size", "kernel_size", "stride", "padding", "dilation"), GEOMETRIES)
def test_inverting_output_padding_restores_the_size(
    size: int, kernel_size: int, stride: int, padding: int, dilation: int
) -> None:
    if A.kernel_span(kernel_size, dilation) > size + 2 * padding:
        with pytest.raises(ValueError, match=rf"kernel_size={kernel_size} .* input_size={size}"):
            A.inverting_output_padding(size, kernel_size, stride, padding, dilation)
        return
    small = A.conv_output_size(size, kernel_size, stride, padding, dilation)
    extra = A.inverting_output_padding(size, kernel_size, stride, padding, dilation)
    assert 0 <= extra < stride
    assert A.conv_transpose_output_size(small, kernel_size, stride, padding, dilation, extra) == size


@pytest.mark.parametrize("scale", [2, 3, 4, 5])
@pytest.mark.parametrize("kernel_size", range(2, 9))
def test_exact_padding_gives_the_scale_times_the_size(kernel_size: int, scale: int) -> None:
    padding, output_padding = A.exact_padding(kernel_size, scale)
    assert 2 * padding - output_padding == kernel_size - scale
    assert padding >= 0
    assert 0 <= output_padding < scale
    geometry = {"stride": scale, "padding": padding, "output_padding": output_padding}
    assert torch_size(F.conv_transpose2d, 5, kernel_size, **geometry) == 5 * scale


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: A.conv_output_size(0, 3), "input_size=0 must be an integer of at least 1"),
        (lambda: A.conv_output_size(4, 0), "kernel_size=0 must be an integer of at least 1"),
        (lambda: A.conv_output_size(4, 3, stride=0), "stride=0 must be an integer of at least 1"),
        (lambda: A.conv_output_size(4, 3, padding=-1), "padding=-1 must be an integer of at least 0"),
        (lambda: A.conv_output_size(4, 3, dilation=1.5), "dilation=1.5 must be an integer of at least 1"),  # type: ignore[arg-type]
        (lambda: A.conv_output_size(True, 3), "input_size=True must be an integer of at least 1"),
        (lambda: A.conv_output_size(4, 7, padding=1), "spans 7 pixels, more than the padded input has"),
        (lambda: A.conv_transpose_output_size(4, 3, 2, output_padding=2), "output_padding=2 must be smaller than"),
        (lambda: A.conv_transpose_output_size(1, 3, padding=2), "leaves an output of -1 pixels"),
        (lambda: A.plan_sizes(28, 0), "stages=0 must be an integer of at least 1"),
        (lambda: A.plan_sizes(28, 3, scale=1), "scale=1 must be an integer of at least 2"),
    ],
)
def test_refusals_name_the_argument_in_one_line(call: object, message: str) -> None:
    with pytest.raises(ValueError, match="=") as refusal:
        call()
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


# ---------------------------------------------------------------------------------------------------- receptive field

STACKS = {
    "nothing": [],
    "one 3x3": [A.Axis(3)],
    "two 3x3 see 5": [A.Axis(3, 1, 1), A.Axis(3, 1, 1)],
    "strided encoder": [A.Axis(3, 2, 1), A.Axis(3, 2, 1), A.Axis(3, 2, 1)],
    "k4 s2": [A.Axis(4, 2, 1), A.Axis(4, 2, 1), A.Axis(3, 1, 1)],
    "stride above kernel": [A.Axis(2, 3), A.Axis(3, 1, 1)],
    "dilated": [A.Axis(3, 1, 2, 2), A.Axis(3, 2, 1), A.Axis(3, 1, 4, 4)],
    "unpadded": [A.Axis(5), A.Axis(3, 2), A.Axis(2, 2)],
}


@pytest.mark.parametrize("layers", STACKS.values(), ids=STACKS.keys())
def test_receptive_field_is_what_gradients_reach(layers: list[A.Axis]) -> None:
    """Every output pixel: the first and last input pixel with a gradient, clipped at the image, no pixel outside."""
    stack = nn.Sequential(
        *(nn.Conv1d(1, 1, layer.kernel_size, layer.stride, layer.padding, layer.dilation) for layer in layers)
    ).double()
    for parameter in stack.parameters():
        nn.init.constant_(parameter, 1.0)  # positive weights cannot cancel
    size = 47
    image = torch.ones(1, 1, size, dtype=torch.float64, requires_grad=True)
    output = stack(image)[0, 0]
    field = A.receptive_field(layers)
    inside = 0
    for index in range(len(output)):
        (gradient,) = torch.autograd.grad(output[index], image, retain_graph=True)
        seen = gradient[0, 0].nonzero().flatten().tolist()
        first, last = field.interval(index)
        assert last - first + 1 == field.size
        assert seen[0] >= first
        assert seen[-1] <= last
        if first >= 0 and last < size:
            assert (seen[0], seen[-1]) == (first, last)
            inside += 1
    assert inside > 0


@pytest.mark.parametrize("field", [A.receptive_field(STACKS["strided encoder"])])
def test_receptive_field_of_the_strided_encoder(field: A.ReceptiveField) -> None:
    assert field == A.ReceptiveField(size=15, stride=8, offset=-7)
    assert field.interval(1) == (1, 15)


# ------------------------------------------------------------------------------------------------------------- counts


@settings(max_examples=100, deadline=None)
@given(
    coarse=st.integers(1, 7),
    fine=st.integers(1, 12),
    kernel_size=st.integers(1, 5),
    stride=st.integers(1, 4),
    padding=st.integers(0, 5),
    dilation=st.integers(1, 3),
)
def test_tap_count_is_brute_force(
    coarse: int, fine: int, kernel_size: int, stride: int, padding: int, dilation: int
) -> None:
    pairs = itertools.product(range(coarse), range(kernel_size))
    expected = sum(0 <= i * stride + a * dilation - padding < fine for i, a in pairs)
    assert A.tap_count(coarse, fine, kernel_size, stride, padding, dilation) == expected


MAC_CASES = {
    "k3": (3, {}),
    "k3 same": (3, {"padding": 1}),
    "k4 s2 p1": (4, {"stride": 2, "padding": 1}),
    "k3 s2 p1": (3, {"stride": 2, "padding": 1}),
    "k2 s3 d2": (2, {"stride": 3, "dilation": 2}),
    "pairs": ((3, 2), {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2)}),
    "groups": (3, {"stride": 2, "padding": 1, "groups": 2}),
    "more padding than taps": (2, {"stride": 2, "padding": 3}),
}


@pytest.mark.parametrize(("kernel_size", "geometry"), MAC_CASES.values(), ids=MAC_CASES.keys())
def test_exact_macs_are_the_entries_of_the_convolution_matrix(kernel_size: object, geometry: dict) -> None:
    """With all weights 1, the Jacobian holds a one for each product with a real pixel: count them."""
    weight = torch.ones(6, 4 // geometry.get("groups", 1), *as_pair("kernel", kernel_size), dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian
    pairs = (as_pair(name, geometry.get(name, low)) for name, low in (("stride", 1), ("padding", 0), ("dilation", 1)))
    g = Geometry(*pairs, geometry.get("groups", 1))

    forwards = jacobian(lambda image: F.conv2d(image, weight, **geometry), torch.zeros(4, 6, 7, dtype=torch.float64))
    products = A.mac_count(weight.shape, (6, 7), tuple(forwards.shape[1:3]), g)
    assert forwards.sum() == products == len(conv_matrix(weight, (6, 7), **geometry).values())

    image = torch.zeros(6, 5, 5, dtype=torch.float64)
    backwards = jacobian(lambda image: F.conv_transpose2d(image, weight, **geometry), image)
    assert backwards.sum() == A.mac_count(weight.shape, tuple(backwards.shape[1:3]), (5, 5), g)


def test_borders_are_all_that_separates_exact_from_nominal() -> None:
    """Unpadded, each input pixel of a transposed convolution meets every weight: nothing is lost."""
    assert A.mac_count((3, 2, 4, 4), (16, 12), (7, 5), Geometry(stride=(2, 2))) == 7 * 5 * 3 * 2 * 16
    assert A.mac_count((1, 1, 3, 3), (8, 8), (8, 8), Geometry(padding=(1, 1))) == 22**2  # of 24²


# ------------------------------------------------------------------------------------------------------- size planner


@pytest.mark.parametrize(
    ("image_size", "stages", "scale"),
    [(28, 2, 2), (28, 3, 2), (32, 3, 2), (27, 3, 3), (28, 2, 3), (5, 2, 4), (9, 1, 2)],
)
def test_every_planned_layer_restores_the_size_and_none_is_missing(image_size: int, stages: int, scale: int) -> None:
    plan = A.plan_sizes(image_size, stages, scale, max_kernel_size=5)
    assert plan.encoder_sizes[0] == image_size == plan.decoder[-1].output_size
    for stage in plan.decoder:
        expected = set()
        for kernel_size, padding, output_padding in itertools.product(range(1, 6), range(5), range(scale)):
            if padding < kernel_size:
                geometry = {"stride": scale, "padding": padding, "output_padding": output_padding}
                if torch_size(F.conv_transpose2d, stage.input_size, kernel_size, **geometry) == stage.output_size:
                    expected.add(A.InverseOption(kernel_size, scale, padding, output_padding))
        assert expected == set(stage.options)
        assert stage.options


@pytest.mark.parametrize("option", A.plan_sizes(12, 1, 3, max_kernel_size=7).decoder[0].options, ids=str)
def test_flags_of_a_planned_layer_are_what_the_layer_does(option: A.InverseOption) -> None:
    """A constant image shows gaps and uneven overlap; a single bright pixel shows where the kernel lands."""
    weight = torch.ones(1, 1, option.kernel_size, dtype=torch.float64)

    def layer(image: torch.Tensor) -> torch.Tensor:
        return F.conv_transpose1d(
            image, weight, stride=option.stride, padding=option.padding, output_padding=option.output_padding
        )[0, 0]

    response = layer(torch.ones(1, 1, 9, dtype=torch.float64))
    interior = response[9:18]
    assert option.stride_divides_kernel == (interior.unique().numel() == 1)
    assert option.leaves_gaps == bool((response == 0).any())

    impulse = torch.zeros(1, 1, 9, dtype=torch.float64)
    impulse[..., 4] = 1
    landed = layer(impulse).nonzero().double()
    middle_of_its_cell = 4 * option.stride + (option.stride - 1) / 2
    assert landed.mean().item() - middle_of_its_cell == option.shift_px


def test_plan_of_the_trap_and_of_its_fixes() -> None:
    plan = A.plan_sizes(28, 3)
    assert plan.encoder_sizes == (28, 14, 7, 4)
    assert plan.upsampled_sizes == (4, 8, 16, 32)
    assert not plan.is_exact
    assert plan.shared_options == ()
    assert plan.exact_stage_count == 2
    assert plan.exact_image_sizes == (24, 32)
    assert A.InverseOption(3, 2, 1, 0) in plan.decoder[0].options
    assert A.InverseOption(3, 2, 1, 1) in plan.decoder[1].options
    assert A.InverseOption(4, 2, 2, 1) in plan.decoder[0].options


def test_plan_of_a_size_that_divides() -> None:
    plan = A.plan_sizes(28, 2)
    assert plan.is_exact
    assert plan.exact_image_sizes == (28,)
    assert plan.shared_options == plan.decoder[0].options
    even = [option for option in plan.shared_options if option.stride_divides_kernel and not option.leaves_gaps]
    assert [(o.kernel_size, o.padding, o.output_padding) for o in even] == [(2, 0, 0), (4, 1, 0), (6, 2, 0)]
    assert all(option.shift_px == 0 for option in even)
