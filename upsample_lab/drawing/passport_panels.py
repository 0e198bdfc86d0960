"""The panels of a passport's figure, each one idea on its own axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from upsample_lab.drawing.palette import BAD, FAINT, GOOD, INK, look_of
from upsample_lab.drawing.style import SIGNED, SMALL_PT, TEXT_PT, label
from upsample_lab.passport.impulse import WINDOW_PX
from upsample_lab.passport.record import Border, Record, Response
from upsample_lab.passport.table import db, macs_words, number, size

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EVEN_BELOW = 0.01  # DC-phase variation that is drawn as even
CROP_PX = 8  # input pixels of the enlarged part of the constant's response
MAX_LINES = 16  # channels drawn as lines of their own
DB_FLOOR = -60.0


def verdict_color(good: bool) -> str:
    return GOOD if good else BAD


def draw_flat(axes: Axes, passport: Record) -> None:
    """The middle of the response to a constant: a checkerboard, or nothing."""
    s = passport.subject.scale
    image = passport.responses.constant.output
    middle, half = image.shape[0] // 2 // s * s, min(CROP_PX, 64 // s) * s // 2
    crop = image[middle - half : middle + half, middle - half : middle + half]
    axes.imshow(crop, cmap="gray", vmin=0, vmax=2, interpolation="nearest", extent=(0, 2 * half, 2 * half, 0))
    variation = passport.gains.dc_phase_variation
    word = "stays flat" if variation < EVEN_BELOW else "becomes a checkerboard"
    label(axes, f"A flat area {word}", "output pixels", "")
    axes.set_yticks([])
    _caption(axes, f"relative DC-phase variation {variation:.3f}", verdict_color(variation < EVEN_BELOW))


def _caption(axes: Axes, text: str, color: str, at: tuple[float, float] = (0.03, 0.04), align: str = "left") -> None:
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 2.5}
    axes.text(*at, text, transform=axes.transAxes, color=color, fontsize=TEXT_PT, bbox=box, ha=align)


def draw_gains(axes: Axes, passport: Record) -> None:
    """Gain of each phase: a level line for each channel that is even, a zigzag for one that is not."""
    s, gain = passport.subject.scale, passport.gains.gain.reshape(passport.subject.out_channels, -1)
    level = float(np.sqrt((gain**2).mean())) or 1.0
    place = np.arange(s * s)
    even = passport.gains.dc_phase_variation < EVEN_BELOW
    strongest = np.argsort(-np.abs(gain).mean(axis=1))[:MAX_LINES]
    for channel in strongest:
        axes.plot(place, gain[channel] / level, color=FAINT, lw=0.9, zorder=1)
    taps = passport.gains.taps.ravel()
    axes.plot(
        place, np.sqrt((gain**2).mean(axis=0)) / level, "o", ms=8 if s <= 4 else 3, color=verdict_color(even), zorder=3
    )
    axes.axhline(0, color=FAINT, lw=0.8, ls=":")
    top = 1.25 * max(1.6, float(np.abs(gain[strongest]).max() / level))
    axes.set_ylim(min(-0.5, 1.35 * float(gain[strongest].min() / level)), top)
    if s <= 4:
        axes.set_xticks(place, [f"{p // s},{p % s}" for p in place])
        for p in range(s * s):
            axes.text(p, 0.985 * top, f"{taps[p]:.0f}", ha="center", va="top", fontsize=TEXT_PT, color=INK)
        axes.text(
            0.01, 1.0, "input pixels that it sees:", transform=axes.transAxes, fontsize=SMALL_PT, color=INK, va="bottom"
        )
    word = "the same gain" if even else "different gains"
    label(axes, "", "phase (row, column)", "gain / rms gain")
    axes.set_title(f"Phases have {word}\n", fontsize=11.5, color=INK, loc="left")
    _caption(axes, "dots: rms of all channels; lines: single ones", INK, (0.01, 0.02))


def draw_kernel(axes: Axes, passport: Record) -> None:
    """The response to one input pixel, with the input's grid, the ideal centre and the measured one."""
    i, s = passport.impulse, passport.subject.scale
    half = i.kernel.shape[0] / 2
    extent = (-half, half, half, -half)
    peak = float(np.abs(i.kernel).max()) or 1.0
    if i.kernel_is_signed:
        axes.imshow(i.kernel, cmap=SIGNED, vmin=-peak, vmax=peak, extent=extent, interpolation="nearest")
    else:
        axes.imshow(i.kernel, cmap="Oranges", vmin=0, vmax=peak, extent=extent, interpolation="nearest")
    shown = _shown_half(passport)
    for line in s * (np.arange(-WINDOW_PX, WINDOW_PX) + 0.5):
        axes.axhline(line, color=FAINT, lw=0.6)
        axes.axvline(line, color=FAINT, lw=0.6)
    axes.plot(0, 0, "+", color=INK, ms=12, mew=1.5)
    shift = i.shift_px
    centred = all(abs(value) < 0.2 for value in shift)
    if not centred and np.isfinite(shift).all():
        axes.plot(shift[1], shift[0], "x", color=BAD, ms=9, mew=2.2)
    axes.set_xlim(-shown, shown)
    axes.set_ylim(shown, -shown)
    kind = "" if i.kernel_is_signed else " (rms)"
    label(axes, f"One input pixel spreads to{kind}", "output pixels from its centre (+)", "output pixels")
    text = "centred" if centred else f"moved by {shift[0]:+.1f}, {shift[1]:+.1f} px (x)"
    _caption(axes, text, verdict_color(centred))


def _shown_half(passport: Record) -> float:
    """Half of the part of the kernel that is worth showing: its support and half an input pixel more."""
    i, s = passport.impulse, passport.subject.scale
    limit = i.kernel.shape[0] / 2
    return limit if i.support_px is None else min(limit, max(i.support_px) / 2 + 1.0 * s)


def draw_phases(axes: Axes, passport: Record) -> None:
    """Each phase's own filter: the kernel taken apart."""
    i, s = passport.impulse, passport.subject.scale
    shown = 7 if s <= 3 else 5
    cut = (i.kernel.shape[0] // s - shown) // 2 * s
    kernel = i.kernel[cut : i.kernel.shape[0] - cut, cut : i.kernel.shape[1] - cut]
    tiles = [[kernel[y::s, x::s] for x in range(s)] for y in range(s)]
    gap = np.full((shown, 1), np.nan)
    rows = [np.hstack([part for tile in row for part in (tile, gap)][:-1]) for row in tiles]
    line = np.full((1, rows[0].shape[1]), np.nan)
    mosaic = np.vstack([part for row in rows for part in (row, line)][:-1])
    peak = float(np.abs(kernel).max()) or 1.0
    low, colors = (-peak, SIGNED) if i.kernel_is_signed else (0.0, "Oranges")
    axes.imshow(mosaic, cmap=colors, vmin=low, vmax=peak, interpolation="nearest")
    places = [k * (shown + 1) + (shown - 1) / 2 for k in range(s)]
    axes.set_xticks(places, [str(k) for k in range(s)])
    axes.set_yticks(places, [str(k) for k in range(s)])
    label(
        axes,
        "The filter of each phase",
        f"column of the phase (tiles: {shown} x {shown} px)",
        "row of the phase",
    )


def draw_axes_response(axes: Axes, passport: Record) -> None:
    """Gain over frequency: the pass band to keep, the images to remove, the lines that a constant lands on."""
    f, s = passport.frequency, passport.subject.scale
    look = look_of(passport.subject.name.split()[0])
    axes.axvspan(0, 0.5, color=GOOD, alpha=0.07, lw=0)
    axes.axvspan(0.5, s / 2, color=BAD, alpha=0.07, lw=0)
    axes.plot(f.frequency, f.horizontal_db, color=look.color, lw=2, label="horizontal")
    axes.plot(f.frequency, f.vertical_db, color=INK, lw=1.2, ls="--", label="vertical")
    axes.plot(f.frequency, f.diagonal_db, color=FAINT, lw=1.2, ls=":", label="diagonal")
    top = max(6.0, float(max(f.horizontal_db.max(), f.vertical_db.max())) + 6)
    axes.set_xlim(0, s / 2)
    axes.set_ylim(DB_FLOOR, top)
    for multiple in range(1, s // 2 + 1):
        axes.axvline(multiple, color=BAD, lw=1, ls=":")
    axes.text(s // 2, DB_FLOOR + 1, "checkerboard ", rotation=90, ha="right", fontsize=SMALL_PT, color=BAD)
    axes.text(0.25, top - 1, "keep", ha="center", va="top", fontsize=TEXT_PT, color=GOOD)
    axes.text((0.5 + s / 2) / 2, top - 1, "remove", ha="center", va="top", fontsize=TEXT_PT, color=BAD)
    axes.legend(fontsize=SMALL_PT, frameon=False, loc="lower left")
    label(axes, "Gain over frequency", "cycles per input pixel", "gain over that at 0, dB")
    text = (
        f"images {db(f.image_rejection_db)} below the band\ndroop {round(min(f.droop_db), 1) + 0.0:.1f} dB at half band"
    )
    _caption(axes, text, INK, (0.03, 0.25))


def draw_plane_response(axes: Axes, passport: Record) -> None:
    """Gain over both frequencies; the square is the input's band."""
    f, s = passport.frequency, passport.subject.scale
    edge = s / 2
    image = axes.imshow(
        np.maximum(f.plane_db, DB_FLOOR), cmap="magma", vmin=DB_FLOOR, vmax=0, extent=(-edge, edge, edge, -edge)
    )
    axes.plot([-0.5, 0.5, 0.5, -0.5, -0.5], [-0.5, -0.5, 0.5, 0.5, -0.5], color="white", lw=1.2)
    label(axes, "Gain over both frequencies", "horizontal, cycles per input pixel", "vertical")
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.85)
    bar.set_label("dB", fontsize=TEXT_PT)
    bar.ax.tick_params(labelsize=SMALL_PT)


def draw_shift(axes: Axes, passport: Record) -> None:
    """Half-pixel equivariance over bandwidth."""
    e, look = passport.equivariance, look_of(passport.subject.name.split()[0])
    axes.plot(e.bandwidth, np.minimum(e.half_pixel_db, 80), color=look.color, marker=look.marker, lw=2)
    axes.axhline(0, color=FAINT, lw=0.8, ls=":")
    axes.set_ylim(min(-10.0, float(e.half_pixel_db.min()) - 3), 82)
    axes.set_xlim(0, 1)
    label(axes, "Moved by half an input pixel", "band of the image / Nyquist limit", "signal over error, dB")
    _caption(axes, f"moved by a whole one: {db(e.integer_db)}", verdict_color(e.integer_db > 100), (0.97, 0.9), "right")


def draw_border(axes: Axes, passport: Record) -> None:
    """The response to a constant from each border inwards."""
    b = passport.border
    place = np.arange(b.profile.shape[1]) + 0.5
    for side, style, row in zip(b.ratio, ("-", "--", "-.", ":"), b.profile, strict=True):
        axes.plot(place, row, ls=style, marker=".", color=BAD if side in b.fails else GOOD, label=side, lw=1.6)
    axes.axhline(1, color=FAINT, lw=0.8)
    low = min(0.5, float(b.profile.min()) - 0.1)
    axes.set_ylim(low, max(1.3, float(b.profile.max()) + 0.1))
    axes.set_xlim(0, b.profile.shape[1])
    axes.legend(fontsize=SMALL_PT, frameon=False, loc="lower right", ncols=2)
    label(axes, "A constant at the border", "input pixels from the border", "over the interior")
    text = f"fails: {', '.join(b.fails)}" if b.fails else f"even to {Border.TOLERANCE:.0%} on all sides"
    _caption(axes, text, verdict_color(not b.fails), (0.03, 0.9))


def draw_gradient(axes: Axes, passport: Record) -> None:
    """What back-propagating ones leaves at the input."""
    g = passport.gradient
    image = axes.imshow(g.relative, cmap=SIGNED, vmin=0, vmax=2, interpolation="nearest")
    label(axes, "Gradient at the input", "input pixels", "")
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.85)
    bar.set_label("over the interior's mean", fontsize=TEXT_PT)
    bar.ax.tick_params(labelsize=SMALL_PT)
    even = g.interior_variation < EVEN_BELOW
    _caption(
        axes,
        f"interior spread {number(g.interior_variation, '.3f')}, border {number(g.border_ratio, '.2f')}",
        verdict_color(even),
    )


def draw_response(axes: Axes, response: Response) -> None:
    """One test image after the upsampler, on the same grey scale in every passport."""
    axes.imshow(response.output, cmap="gray", vmin=-0.25, vmax=1.25, interpolation="nearest")
    label(axes, f"Response: {response.title}", "output pixels", "")
    axes.set_yticks([])


def draw_stages(axes: Axes, passport: Record) -> None:
    """Which stage's period the checkerboard has."""
    stages = passport.stages.stages
    place = np.arange(len(stages))
    shares = [100 * stage.share for stage in stages]
    blamed = [stage.name == passport.stages.culprit for stage in stages]
    axes.barh(place, shares, color=[BAD if bad else FAINT for bad in blamed])
    names = [f"{stage.name or 'whole'} (x{stage.scale})\nperiod {stage.period_px} px" for stage in stages]
    axes.set_yticks(place, names)
    axes.invert_yaxis()
    for p, (share, bad) in enumerate(zip(shares, blamed, strict=True)):
        axes.text(share + 1, p, f"{share:.0f} %{', the most' if bad else ''}", va="center", fontsize=TEXT_PT)
    axes.set_xlim(0, 175)
    label(axes, "The checkerboard by stage", "share of its energy, %", "")


def draw_cost(axes: Axes, passport: Record) -> None:
    """Time of both passes by dtype and memory format, and the counts."""
    cost = passport.cost
    assert cost is not None, "drawn only where cost was measured"
    place = np.arange(len(cost.timings))
    forward = np.array([t.forward_ms or 0.0 for t in cost.timings])
    backward = np.array([t.backward_ms or 0.0 for t in cost.timings])
    look = look_of(passport.subject.name.split()[0])
    axes.barh(place, forward, color=look.color, label="forward")
    axes.barh(place, backward, left=forward, color=look.color, alpha=0.4, label="backward")
    axes.set_yticks(place, [f"{t.dtype}\n{t.memory_format}" for t in cost.timings])
    axes.invert_yaxis()
    for p, (t, end) in enumerate(zip(cost.timings, forward + backward, strict=True)):
        text = "does not run" if t.forward_ms is None else f" {size(t.backward_peak_bytes)}"
        axes.text(end, p, text, va="center", fontsize=SMALL_PT, color=INK)
    axes.set_xlim(0, 1.35 * float((forward + backward).max() or 1))
    axes.legend(fontsize=SMALL_PT, frameon=False, loc="lower left", bbox_to_anchor=(0, 0.97), ncols=2, borderpad=0)
    shape = "x".join(map(str, cost.input_shape))
    label(axes, "", "ms; at the bars: peak memory of both", f"input {shape}")
    axes.set_title(
        f"{cost.parameter_count:,} parameters\n{', '.join(macs_words(cost))}\n",
        fontsize=11.5,
        color=INK,
        loc="left",
    )
