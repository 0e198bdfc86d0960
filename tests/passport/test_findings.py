"""Each known defect is found, by measurement from outside or by inspection, and healthy modules are left in peace."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
from torch import nn

from upsample_lab.compose import compose_one
from upsample_lab.conv import exact_padding
from upsample_lab.models import ConvolutionalAutoencoder, build_model
from upsample_lab.passport import Finding, lint, passport
from upsample_lab.passport.isolation import isolated
from upsample_lab.passport.probe import Probe
from upsample_lab.passport.stages import measure_stages
from upsample_lab.settings import option_values
from upsample_lab.upsamplers import UPSAMPLERS, build_upsampler

from . import modules
from .modules import seeded

Make = Callable[[], nn.Module]


def defects(findings: tuple[Finding, ...]) -> set[str]:
    return {finding.code for finding in findings if finding.severity != "note"}


# name: (module, input channels, codes of its defects, words that one message and its fix hold)
CASES: dict[str, tuple[Make, int, set[str], str]] = {
    "deconv k3": (
        lambda: nn.ConvTranspose2d(8, 8, 3, 2, 1, 1),
        8,
        {"stride-does-not-divide-kernel", "unequal-phase-gains", "shift"},
        "1, 2 and 4 input pixels|kernel_size=4 with padding=1|0.5 px up and 0.5 px left",
    ),
    "deconv k4": (lambda: nn.ConvTranspose2d(8, 8, 4, 2, 1), 8, {"unequal-phase-gains"}, "init=bilinear"),
    "deconv k3 too small": (
        lambda: nn.ConvTranspose2d(8, 8, 3, 2, 1),
        8,
        {"wrong-output-size", "stride-does-not-divide-kernel", "unequal-phase-gains", "shift"},
        "becomes 63 x 63; scale 2 asks for 64 x 64|padding=1, output_padding=1",
    ),
    "icnr with bias": (modules.icnr, 4, {"untied-bias"}, "tie_bias=true"),
    "icnr without bias": (lambda: modules.icnr(bias=False), 4, set(), ""),
    "icnr, relu between": (
        lambda: nn.Sequential(modules.icnr_conv(4, 4, positive=True), nn.ReLU(), nn.PixelShuffle(2)),
        4,
        {"untied-bias"},
        "bias=False",
    ),
    "sub-pixel": (
        lambda: nn.Sequential(nn.Conv2d(4, 16, 3, padding=1), nn.PixelShuffle(2)),
        4,
        {"unequal-phase-gains"},
        "init=icnr",
    ),
    "pad-pool": (modules.pad_pool, 4, {"shift"}, "0.5 px down and 0.5 px right|Pad both sides alike"),
    "zero-padded blur": (modules.zero_padded_blur, 3, {"zero-padded-blur"}, "count_include_pad=False"),
    "zero-padded blur, functional": (modules.FunctionalBlur, 3, {"zero-padded-blur"}, "padding_mode='replicate'"),
    "blur with replicated border": (
        lambda: nn.Sequential(nn.Upsample(scale_factor=2), nn.ReplicationPad2d(1), nn.AvgPool2d(3, 1)),
        3,
        set(),
        "",
    ),
    "blur that does not count its padding": (
        lambda: nn.Sequential(nn.Upsample(scale_factor=2), nn.AvgPool2d(3, 1, 1, count_include_pad=False)),
        3,
        set(),
        "",
    ),
    "align_corners": (
        lambda: nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
        3,
        {"align-corners"},
        "magnified by 2.03|align_corners=False",
    ),
    "align_corners mixed": (
        modules.MixedCorners,
        3,
        {"mixed-align-corners", "align-corners"},
        "Use align_corners=False in all of them",
    ),
    "even kernel after the resize": (
        lambda: nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(4, 4, 2, padding="same")),
        4,
        {"shift"},
        "Centre the filter",
    ),
    "skewed filter": (
        lambda: modules.FixedFilter((0.05, 0.1, 0.85)), 3, {"shift"}, "0.8 px up and 0.8 px left|symmetric about"
    ),
    "skewed filter, one channel": (lambda: modules.FixedFilter((0.85, 0.1, 0.05)), 1, {"shift"}, "0.8 px down"),
    "symmetric filter": (lambda: modules.FixedFilter((0.25, 0.5, 0.25)), 3, set(), ""),
    "registered and never called": (modules.Unused, 3, set(), ""),
    "noise": (modules.Noisy, 3, {"not-repeatable"}, "evaluation mode"),
    "bilinear": (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), 3, set(), ""),
    "resize-convolution": (
        lambda: nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(4, 4, 3, padding=1)),
        4,
        set(),
        "",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "channels", "codes", "words"), CASES.values(), ids=CASES)
def test_defects_are_found_and_nothing_else(make: Make, channels: int, codes: set[str], words: str) -> None:
    findings = lint(seeded(make), channels, 2)
    assert codes <= defects(findings)
    if "not-repeatable" not in codes:  # whose other figures are noise
        assert defects(findings) == codes
    told = " ".join(f"{finding.message} {finding.fix}" for finding in findings)
    for word in filter(None, words.split("|")):
        assert word in told


def test_findings_name_the_layer() -> None:
    module = nn.Sequential(nn.Identity(), seeded(modules.pad_pool))
    (shift,) = [finding for finding in lint(module, 4, 2) if finding.code == "shift"]
    assert shift.where == "1.2"
    assert "inspected" in shift.seen


def test_what_is_computed_with_a_childs_weight_is_named_and_what_is_only_registered_is_not() -> None:
    borrowed = seeded(lambda: modules.Unused(borrow=True))
    findings = {finding.code: finding.where for finding in lint(borrowed, 3, 2)}
    assert findings["stride-does-not-divide-kernel"] == "spare"
    assert not [finding for finding in lint(seeded(modules.Unused), 3, 2) if finding.where == "spare"]


def test_learned_weights_that_move_the_image_beyond_chance_are_a_note() -> None:
    def biased() -> nn.Module:
        layer = nn.Conv2d(8, 8, 3, padding=1, padding_mode="replicate", bias=False)
        with torch.no_grad():
            layer.weight[..., 2, :] += 0.3  # looks a pixel further down, in all pairs of channels
        return nn.Sequential(nn.Upsample(scale_factor=2), layer)

    (note,) = lint(seeded(biased), 8, 2)
    assert (note.code, note.severity) == ("shift", "note")
    assert "up" in note.message
    for seed in range(8):  # random ones do not
        layers = seeded(lambda: nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(4, 4, 3, padding=1)), seed)
        assert "shift" not in {finding.code for finding in lint(layers, 4, 2)}


def test_both_figures_of_a_biased_layer_are_told_by_their_names() -> None:
    measured = passport(seeded(lambda: nn.ConvTranspose2d(8, 8, 3, 2, 1, 1)), 8, 2, cost=False)
    gains = measured.gains
    (told,) = [finding.message for finding in measured.findings if finding.code == "unequal-phase-gains"]
    assert f"{gains.weight_phase_variation:.3f} by the weights alone" in told
    assert f"{gains.dc_phase_variation:.3f} with the biases" in told
    assert re.search(rf"DC-phase variation, relative +{gains.dc_phase_variation:.4f}", measured.table())


def test_errors_come_first_and_notes_last() -> None:
    findings = lint(seeded(lambda: nn.ConvTranspose2d(8, 8, 3, 2, 1)), 8, 2)
    assert [finding.severity for finding in findings] == ["error", "defect", "defect", "defect", "note"]


def test_a_learned_layers_zero_padding_is_a_note() -> None:
    module = seeded(lambda: nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(4, 4, 3, padding=1)))
    (note,) = lint(module, 4, 2)
    assert (note.code, note.severity) == ("uneven-border", "note")


def test_the_border_says_where_it_fails() -> None:
    border = passport(modules.zero_padded_blur(), 3, 2, cost=False).border
    assert border.fails == ("top", "bottom", "left", "right")
    assert set(border.width_px.values()) == {1}
    assert border.ratio["top"] == pytest.approx((2 / 3 + 1) / 2)  # rows of one third less, and of all
    one_sided = passport(seeded(lambda: nn.ConvTranspose2d(8, 8, 3, 2, 1, 1)), 8, 2, cost=False).border
    assert one_sided.fails == ("bottom", "right")


def test_a_module_that_is_silent_at_the_operating_point_says_so() -> None:
    module = nn.Sequential(nn.ReLU(), nn.Upsample(scale_factor=2))
    assert [finding.code for finding in lint(module, 1, 2, operating_point=-1.0)] == ["no-response"]
    assert lint(module, 1, 2) == ()


@pytest.mark.parametrize(
    ("kernel_size", "stride"), [(3, 2), (5, 2), (7, 2), (2, 3), (4, 3), (5, 3), (6, 3), (2, 4), (6, 4)]
)
def test_the_kernels_that_are_advised_mend_what_they_are_advised_for(kernel_size: int, stride: int) -> None:
    padding, output_padding = exact_padding(kernel_size, stride)
    ailing = nn.ConvTranspose2d(2, 2, kernel_size, stride, padding, output_padding)
    findings = lint(ailing, 2, stride)
    fixes = [f.fix for f in findings if f.code in ("stride-does-not-divide-kernel", "shift")]
    advised = set(re.findall(r"kernel_size=(\d+) with padding=(\d+)", " ".join(fixes)))
    assert advised
    for size, pad in advised:
        mended = nn.ConvTranspose2d(2, 2, int(size), stride, int(pad))
        assert defects(lint(mended, 2, stride)) == {"unequal-phase-gains"}


# ----------------------------------------------------------------------------------------------------------------------
# Compositions


@pytest.mark.parametrize("guilty", [0, 1, 2])
def test_the_stage_that_makes_the_checkerboard_is_named(guilty: int) -> None:
    stages = [
        seeded(lambda: nn.ConvTranspose2d(4, 4, 4, 2, 1), stage)
        if stage == guilty
        else nn.Upsample(scale_factor=2, mode="bilinear")
        for stage in range(3)
    ]
    measured = passport(nn.Sequential(*stages), 4, 8, size=16, cost=False)
    assert measured.stages.culprit == str(guilty)
    assert [stage.period_px for stage in measured.stages.stages] == [8, 4, 2]
    shares = [stage.share for stage in measured.stages.stages]
    assert shares[guilty] > 0.9
    assert "checkerboard-stage" in defects(measured.findings)


def test_energy_of_random_transposed_stages_lies_at_the_long_periods() -> None:
    """Independent phases leave 1/4 of a pattern's energy to the next stage's mean: 3/4, 3/16 and 3/64 of 63/64."""
    shares = torch.zeros(3)
    for seed in range(4):
        with isolated(seeded(lambda: modules.decoder(3, 32), seed)) as twin:
            shares += torch.tensor([stage.share for stage in measure_stages(Probe(twin, 32, 8, 16, 0)).stages]) / 4
    torch.testing.assert_close(shares, torch.tensor([48, 12, 3]) / 63, atol=0.08, rtol=0)


def test_an_even_decoder_has_no_culprit() -> None:
    stages = nn.Sequential(*[nn.Upsample(scale_factor=2, mode="bilinear") for _ in range(2)])
    measured = passport(stages, 1, 4, size=16, cost=False)
    assert measured.stages.culprit == ""
    assert len(measured.stages.stages) == 2


# ----------------------------------------------------------------------------------------------------------------------
# Other people's modules, and our own


class Decoder(nn.Module):
    """The decoder half of the package's own model: `[N, C_latent, H, W] -> [N, C, 4·H, 4·W]`."""

    def __init__(self, upsample: str) -> None:
        super().__init__()
        config = compose_one("train", ["data=cifar10", "model.widths=[8,8]", f"upsample={upsample}"])
        self.model = build_model(config.model, config.upsample, config.conv, (3, 32, 32), seed=0)
        self.in_channels: int = config.model.latent_channels

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        assert isinstance(self.model, ConvolutionalAutoencoder)
        return self.model.decode_raw(input)


@pytest.mark.parametrize(("upsample", "named"), [("deconv", True), ("bilinear", False)])
def test_the_whole_decoder_of_our_model(upsample: str, named: bool) -> None:
    decoder = Decoder(upsample)
    stages = passport(decoder, decoder.in_channels, 4, size=16, cost=False).stages
    assert [stage.name for stage in stages.stages] == [f"model.decoder.{i}.upsampler" for i in range(2)]
    assert bool(stages.culprit) == named
    if not named:
        assert stages.phase_variation < 1e-6


class TestMonai:
    """Seen from outside in a released library: `UpSample(mode="pixelshuffle")` is ICNR, biased, with pad-pool."""

    @staticmethod
    def make(**options: object) -> nn.Module:
        blocks = pytest.importorskip("monai.networks.blocks")
        return seeded(lambda: blocks.UpSample(2, 4, 4, 2, **options))

    def test_pad_pool_moves_the_image_by_half_a_pixel(self) -> None:
        measured = passport(self.make(mode="pixelshuffle"), 4, 2, cost=False)
        assert measured.impulse.support_shift_px == (0.5, 0.5)
        assert defects(measured.findings) == {"shift"}

    def test_icnr_keeps_its_biases(self) -> None:
        findings = lint(self.make(mode="pixelshuffle", apply_pad_pool=False), 4, 2)
        assert defects(findings) == {"untied-bias"}

    def test_interpolation_aligns_corners(self) -> None:
        assert defects(lint(self.make(mode="nontrainable"), 4, 2)) == {"align-corners"}


KNOWN_DEFECTS = {"deconv": {"unequal-phase-gains"}}


@pytest.mark.parametrize("name", UPSAMPLERS)
def test_every_registered_upsampler_has_a_passport(name: str) -> None:
    module = seeded(lambda: build_upsampler(name, 16, 4))
    measured = passport(module, 16, 2, size=16, cost=False)
    assert measured.subject.wrong_sizes == ()
    assert measured.equivariance.integer_db > 60
    assert defects(measured.findings) == KNOWN_DEFECTS.get(name, set())
    assert measured.subject.linear == UPSAMPLERS[name].linear
    assert measured.to_json()
    assert measured.table()


def test_the_kernel_that_the_stride_does_not_divide_is_found_in_our_own_layer() -> None:
    options = {**option_values("upsample", "deconv"), "kernel_size": 3}
    options.pop("name")
    findings = lint(build_upsampler("deconv", 8, 8, **options), 8, 2)
    assert "stride-does-not-divide-kernel" in defects(findings)
    assert [f.where for f in findings if f.code == "stride-does-not-divide-kernel"] == ["conv"]
