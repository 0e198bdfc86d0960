"""The self-test as a whole: measured curves, claims that they break, and the table of claims for the documentation."""

from torch import Tensor
from torch.nn import functional as F

from upsample_lab.metrics.phases import phase_variance
from upsample_lab.metrics.spectrum import Orientation, line_energy_db
from upsample_lab.selftest.carriers import TITLES
from upsample_lab.selftest.probes import PROBES, MetricProbe, detection_curve, detection_limit

Curves = dict[tuple[str, str, int, Orientation], list[list[float]]]
"""(carrier, probe, period, orientation) -> the readings at amplitude 0 and at each of `AMPLITUDES`."""


def measure(carriers: dict[str, Tensor]) -> Curves:
    """Every probe on every carrier, period and orientation that it claims to see."""
    return {
        (carrier, name, period, orientation): detection_curve(probe, images, period, orientation)
        for carrier, images in carriers.items()
        for name, probe in PROBES.items()
        for period in probe.periods
        for orientation in probe.orientations
    }


def broken_claims(curves: Curves) -> list[str]:
    """One sentence for each metric that fires on clean images or misses what it claims to find."""
    failures = []
    for (carrier, name, period, orientation), curve in curves.items():
        probe = PROBES[name]
        where = f"{name}, {carrier}, period {period}, {orientation}"
        if not probe.relative and any(value > probe.threshold for value in curve[0]):
            failures.append(f"{where}: fires on clean images (reads {max(curve[0]):.3g} over {probe.threshold:g})")
        claim = probe.claims[carrier][period][probe.orientations.index(orientation)]
        limit = detection_limit(probe, curve)
        if claim is not None and (limit is None or limit > claim):
            found = "not found at all" if limit is None else f"found from {limit:g} on"
            failures.append(f"{where}: claims {claim:g} grey levels, {found}")
    return failures


def claims_table() -> str:
    """Markdown: what each metric claims to find, in grey levels, for horizontal / vertical / diagonal patterns."""
    carriers = list(TITLES)
    lines = [
        "| metric | pattern | found above | period | " + " | ".join(TITLES[carrier] for carrier in carriers) + " |",
        "|---|---|---|---|" + "---|" * len(carriers),
    ]
    for name, probe in PROBES.items():
        threshold = f"{'clean + ' if probe.relative else ''}{probe.threshold:g} {probe.unit}"
        for period in probe.periods:
            cells = [_claim_cell(probe, carrier, period) for carrier in carriers]
            lines.append(f"| `{name}` | {probe.condition} | {threshold} | {period} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _claim_cell(probe: MetricProbe, carrier: str, period: int) -> str:
    levels = ["above 16" if level is None else f"{level:g}" for level in probe.claims[carrier][period]]
    return levels[0] if len(set(levels)) == 1 else " / ".join(levels)


def measured_table(curves: Curves) -> str:
    """Plain text: the clean readings and the measured limit of each metric, pattern and carrier."""
    lines = [f"{'carrier':13}{'metric':20}{'period':>6}  {'orientation':12}{'clean (lowest, highest)':>28}  found from"]
    for (carrier, name, period, orientation), curve in curves.items():
        limit = detection_limit(PROBES[name], curve)
        clean = f"{min(curve[0]):.3g}, {max(curve[0]):.3g}"
        found = "not found" if limit is None else f"{limit:g} grey levels"
        lines.append(f"{carrier:13}{name:20}{period:6}  {orientation:12}{clean:>28}  {found}")
    return "\n".join(lines)


def jpeg_traces(images: Tensor) -> str:
    """Plain text: what the metrics find in clean images that went through JPEG, `[N, 3, H, W]`, plane by plane."""
    lines = ["clean JPEG images: plane, phase variance and p-value of a box blur's error at period 2, lines in dB"]
    for name, plane in luma_and_chroma(images).items():
        blurred = F.avg_pool2d(plane, 3, stride=1, padding=1, count_include_pad=False)
        phases = phase_variance(blurred - plane, 2)
        ratios = {p: {o: f"{db:.1f}" for o, db in row.items()} for p, row in line_energy_db(plane).items()}
        lines.append(f"{name:3} {phases.ratio:.1e} p={phases.p_value:.1e}  {ratios}")
    return "\n".join(lines)


def luma_and_chroma(images: Tensor) -> dict[str, Tensor]:
    """JPEG's own planes, `[N, 3, H, W] -> Y, Cb, Cr`, each `[N, 1, H, W]` (ITU-T T.871, without the offsets)."""
    red, green, blue = images.split(1, dim=1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return {"Y": luma, "Cb": (blue - luma) / 1.772, "Cr": (red - luma) / 1.402}
