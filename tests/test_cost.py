"""Operations counted from shapes are those that a counter sees in a real step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from upsample_lab.benchmark.train import folds
from upsample_lab.benchmark.trainings import advance, make_training, random_images
from upsample_lab.cost import (
    ACTIVATION_PASSES,
    FLOPS_A_MAC,
    INPUT_PASSES,
    NORM_PASSES,
    OUTPUT_PASSES,
    Counter,
    count_macs_of_shape,
    step_bytes,
    step_flops,
)

BATCH = 4


def executed_flops(step: Callable[[], object]) -> int:
    with Counter() as done:
        step()
    return FLOPS_A_MAC * done.macs


def counted(tmp_path: Path, upsample: str, conv: str) -> tuple[float, float]:
    """Operations from the shapes, and those of an unfolded step."""
    unfolded = [f"upsample.fold={fold}" for fold in folds(upsample) if fold == "never"]
    words = [f"upsample={upsample}", f"conv={conv}", f"trainer.batch_size={BATCH}", "trainer.device=cpu", *unfolded]
    training = make_training(words, random_images(BATCH))
    found = training.model.layer_costs((1, 28, 28))
    return step_flops(found, BATCH), executed_flops(partial(advance, training, 1))


@pytest.mark.parametrize("conv", ["native", "custom"])
@pytest.mark.parametrize("upsample", ["deconv", "nearest"])
def test_shapes_and_counter_agree(tmp_path: Path, upsample: str, conv: str) -> None:
    from_shapes, done = counted(tmp_path, upsample, conv)
    assert from_shapes == pytest.approx(done, rel=0.01)  # an algorithm may multiply a border's zeros, or leave them out


def test_an_interpolation_counts_little_beside_the_convolution(tmp_path: Path) -> None:
    """Its formula counts three multiplications a pixel; how many products it really takes is the resize's affair."""
    from_shapes, done = counted(tmp_path, "bilinear", "native")
    assert from_shapes == pytest.approx(done, rel=0.05)


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("transposed", [False, True])
def test_groups_divide_the_operations(groups: int, transposed: bool) -> None:
    x = torch.randn(2, 4, 6, 6, requires_grad=True)
    weight = torch.randn(4, 4 // groups, 3, 3, requires_grad=True)
    function = torch.nn.functional.conv_transpose2d if transposed else torch.nn.functional.conv2d

    def step() -> None:
        function(x, weight, padding=1, groups=groups).sum().backward()

    assert executed_flops(step) == 3 * 2 * 2 * 36 * 9 * 4 * 4 / groups


def test_bytes_are_the_walks_of_every_layer(tmp_path: Path) -> None:
    words = ["model.widths=[8]", "model.latent_channels=2", f"trainer.batch_size={BATCH}", "trainer.device=cpu"]
    training = make_training(words, random_images(BATCH))
    found = training.model.layer_costs((1, 28, 28))
    image, half = 28**2, 14**2
    inputs = image + 8 * half + 2 * half + 8 * half + 8 * image
    normalised = 8 * half + 8 * half + 8 * image
    outputs = normalised + 2 * half + image
    numbers = INPUT_PASSES * inputs - image + OUTPUT_PASSES * outputs + (NORM_PASSES + ACTIVATION_PASSES) * normalised
    assert step_bytes(found, BATCH, 4) == 4 * BATCH * numbers


def test_counting_by_a_pass_leaves_each_part_in_its_own_mode() -> None:
    module = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3).eval())
    assert count_macs_of_shape(module, module, 1, 2, 6, 6) == 3 * 2 * 9 * 16
    assert [part.training for part in module.modules()] == [True, True, False]
    assert count_macs_of_shape(module.to("meta"), module, 1, 2, 6, 6) == 3 * 2 * 9 * 16
