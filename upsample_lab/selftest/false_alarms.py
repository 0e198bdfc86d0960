"""How often `phase_p_value` is small where there is no pattern, and how often where there is one, by simulation."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from upsample_lab.metrics.phases import phase_means
from upsample_lab.metrics.sign_test import sign_blocks, sign_test
from upsample_lab.models import build_model
from upsample_lab.options import load_option
from upsample_lab.selftest.carriers import cifar10_jpeg_images
from upsample_lab.selftest.probes import GREY_LEVEL, checkerboard

LEVELS = (0.05, 0.01, 0.001)
NOISE_SIZE_PX = 16
TRAINING_STEPS = 150

DrawNoise = Callable[[int, int, torch.Generator], Tensor]
"""`(images, period, generator) -> [images, C, period, period]`: the phase means of a set drawn anew."""


class Case(NamedTuple):
    """One row of a table: what is drawn, how many images a set, which period."""

    title: str
    image_count: int
    period: int = 2


def noise(make: Callable[[Tensor], Tensor]) -> DrawNoise:
    """Sets of fresh images of RGB noise: `make` takes white noise, four pixels larger on each side."""

    def draw(count: int, period: int, generator: torch.Generator) -> Tensor:
        size = NOISE_SIZE_PX + 8
        images = make(torch.randn(count, 3, size, size, generator=generator))
        return phase_means(images[..., 4:-4, 4:-4], period)

    return draw


def _alike_in_colour(white: Tensor) -> Tensor:
    """Correlation 0.9 between any two channels."""
    return 0.9**0.5 * white[:, :1] + 0.1**0.5 * white


def _smooth(white: Tensor) -> Tensor:
    """A mean over 5 x 5 pixels: neighbours correlate by 0.8."""
    return F.avg_pool2d(white, 5, stride=1, padding=2)


def _high_pass(white: Tensor) -> Tensor:
    """What a mean over 3 x 3 pixels leaves: neighbours correlate negatively."""
    return white - F.avg_pool2d(white, 3, stride=1, padding=1)


NOISES: dict[str, DrawNoise] = {
    "white noise, RGB": noise(lambda white: white),
    "noise alike in R, G and B (0.9)": noise(_alike_in_colour),
    "smooth noise, alike in colour": noise(lambda white: _smooth(_alike_in_colour(white))),
    "high-pass noise, alike in colour": noise(lambda white: _high_pass(_alike_in_colour(white))),
}


def shifted(residuals: Tensor, pattern: Tensor | None = None) -> DrawNoise:
    """Sets out of real residuals `[N, C, H, W]`, each moved around by 0 to period − 1 pixels: no phase is special.

    A pattern is added after that.
    """

    @cache
    def means(period: int) -> Tensor:
        return phase_means(residuals, period)

    def draw(count: int, period: int, generator: torch.Generator) -> Tensor:
        chosen = means(period)[torch.randperm(len(residuals), generator=generator)[:count]]
        down, right = torch.randint(period, (2, count, 1), generator=generator)
        axis, image = torch.arange(period), torch.arange(count)[:, None, None]
        rows, columns = (axis + down) % period, (axis + right) % period
        moved = chosen[image, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
        return moved if pattern is None else moved + phase_means(pattern, period)

    return draw


def box_blur_residuals(images: Tensor) -> Tensor:
    """What a mean over 3 x 3 pixels takes away."""
    return F.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False) - images


def bilinear_residuals(images: Tensor) -> Tensor:
    """The error of the small model with `upsample=bilinear`, trained on these images for some steps."""
    _, channels, height, width = images.shape
    upsample, conv = load_option("upsample", "bilinear"), load_option("conv", "native")
    model = build_model(load_option("model", "small"), upsample, conv, (channels, height, width), seed=0)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(0)
    images = images.float()
    for _ in range(TRAINING_STEPS):
        batch = images[torch.randint(len(images), (64,), generator=generator)]
        optimizer.zero_grad()
        F.mse_loss(model(batch), batch).backward()
        optimizer.step()
    with torch.no_grad():
        output: Tensor = model.eval()(images)
    return output - images


RESIDUALS: dict[str, Callable[[Tensor], Tensor]] = {
    "CIFAR-10 (JPEG copy), error of a box blur": box_blur_residuals,
    "CIFAR-10 (JPEG copy), error of a trained bilinear model": bilinear_residuals,
}
NULL_CASES = (
    *(Case(title, *size) for title in NOISES for size in ((10,), (64,), (64, 4))),
    *(Case(title, *size) for title in RESIDUALS for size in ((10,), (64,), (256,), (64, 4))),
)
"""Sets without a pattern: noise, and real errors whose phases are made alike."""

PATTERN_LEVELS = {f"{levels:g} grey levels": levels for levels in (0.25, 0.5, 1.0)}
PATTERN_CASES = tuple(Case(title, count) for title in PATTERN_LEVELS for count in (10, 64, 256))
"""A diagonal checkerboard of known amplitude in the errors of a box blur."""


@cache
def draw_of(title: str, data_root: Path) -> DrawNoise:
    """What the rows of this title draw their sets from. Raises `FileNotFoundError` where its images are not there."""
    if title in NOISES:
        return NOISES[title]
    images = cifar10_jpeg_images(data_root).float()
    if title in RESIDUALS:
        return shifted(RESIDUALS[title](images))
    pattern = checkerboard(2, "diagonal", *images.shape[-2:]).float()
    return shifted(box_blur_residuals(images), PATTERN_LEVELS[title] * GREY_LEVEL * pattern)


def rejections(case: Case, data_root: Path, set_count: int) -> list[float]:
    """The share of sets whose p-value is at most each of `LEVELS`."""
    draw = draw_of(case.title, data_root)
    generator = torch.Generator().manual_seed(0)
    p_values = []
    for _ in range(set_count):
        means = draw(case.image_count, case.period, generator)
        p_values.append(sign_test(sign_blocks(means - means.mean(dim=(-2, -1), keepdim=True), 0)))
    return [sum(p <= level for p in p_values) / set_count for level in LEVELS]


def rejection_table(first_column: str, rows: Mapping[Case, Sequence[float]]) -> str:
    """Markdown: the share of sets with a p-value of at most 0.05, 0.01 and 0.001."""
    lines = [
        f"| {first_column} | images | period | " + " | ".join(f"p ≤ {level:g}" for level in LEVELS) + " |",
        "|---|---|---|" + "---|" * len(LEVELS),
    ]
    for case, shares in rows.items():
        cells = " | ".join(f"{share:.4f}" for share in shares)
        lines.append(f"| {case.title} | {case.image_count} | {case.period} | {cells} |")
    return "\n".join(lines)
