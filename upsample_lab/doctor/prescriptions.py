"""Prescriptions: what mends a site, as torch code that can be pasted beside a model of anybody's.

In the code the model is `model`, and `torch` and `nn` are imported. The first prescription of a site keeps its weights.
"""

from __future__ import annotations

from dataclasses import dataclass

from upsample_lab.doctor.sites import Site


@dataclass(frozen=True)
class Prescription:
    """One way to mend a site.

    title    what it does, and what of the weights it keeps
    code     lines of Python; empty where the forward itself has to be edited, which `title` then says
    """

    title: str
    code: str

    def __str__(self) -> str:
        return f"# {self.title}\n{self.code}".rstrip()


def prescribe(site: Site) -> tuple[Prescription, ...]:
    """What mends a site that `find_sites` or a diagnosis found, the gentlest first."""
    found = []
    s = int(site.scale[0]) if len(site.scale) == 2 and site.scale[0] == site.scale[1] else 0
    if site.kind in ("deconv", "upsampler") and len(site.kernel_size) == 2 and not site.conv and site.weight:
        found.append(_even_phases(site))
    if site.kind == "pixel_shuffle" and site.conv and site.weight and s:
        found.append(_even_shuffle(site, s))
    if site.kind in ("deconv", "pixel_shuffle", "unpool") and s > 1:
        found += _resize_convolution(site, s)
    if site.kind in ("deconv", "pixel_shuffle", "upsampler") and ":" not in site.path + site.conv and s > 1:
        code = (
            f'from upsample_lab.doctor import swap\n\nmodel = swap(model, {{"{site.path}": "nearest"}}, inputs=images)'
        )
        found.append(Prescription("the same with weights that come nearest to the old ones on your images", code))
    if site.kind in ("resize", "grid_sample"):
        title = (
            f"no weights decide the phases here: smooth what comes out over {max(site.scale):g} pixels, or use "
            'F.interpolate(x, scale_factor=…, mode="bilinear", align_corners=False)'
        )
        found.append(Prescription(title, ""))
    return tuple(found)


def access(path: str) -> str:
    """A dotted path as an expression: `up.0.weight` is `model.up[0].weight`."""
    parts = (f"[{part}]" if part.isdigit() else f".{part}" for part in path.split(".") if part)
    return "model" + "".join(parts)


def _even_phases(site: Site) -> Prescription:
    (down, right), weight = (int(s) for s in site.scale), access(site.weight)
    return Prescription(
        f"keep the weights: the nearest kernel whose {down * right} phases have the same sum",
        f"""\
with torch.no_grad():
    phases = [{weight}[..., a::{down}, b::{right}] for a in range({down}) for b in range({right})]
    shares = [1 / (phase.shape[-2] * phase.shape[-1]) for phase in phases]
    sums = [phase.sum((-2, -1), keepdim=True) for phase in phases]
    common = sum(share * each for share, each in zip(shares, sums)) / sum(shares)
    for phase, share, each in zip(phases, shares, sums):
        phase += share * (common - each)""",
    )


def _even_shuffle(site: Site, s: int) -> Prescription:
    conv = access(site.conv) if ":" not in site.conv else ""
    lines = [
        "with torch.no_grad():",
        f"    kernels = {access(site.weight)}.unflatten(0, (-1, {s * s}))",
        "    means = kernels.mean((-2, -1), keepdim=True)",
        "    kernels += means.mean(1, keepdim=True) - means",
    ]
    if conv:
        lines += [
            f"    if {conv}.bias is not None:",
            f"        biases = {conv}.bias.unflatten(0, (-1, {s * s}))",
            "        biases.copy_(biases.mean(1, keepdim=True).expand_as(biases))",
        ]
    title = f"keep the weights: the nearest kernels with the same sum in the {s * s} phases, and one bias for them"
    return Prescription(title, "\n".join(lines))


def _resize_convolution(site: Site, s: int) -> list[Prescription]:
    """A resize and a convolution in a layer's place, with its output's size."""
    if ":" in site.path + site.conv or site.kind == "unpool":
        title = f'replace the call by F.interpolate(x, scale_factor={s}, mode="nearest") and a convolution, and train'
        return [Prescription(title, "")]
    c_in = site.in_channels // s**2 if site.kind == "pixel_shuffle" else site.in_channels
    if site.kind == "pixel_shuffle":
        return [_after_shuffle(site, s)]
    layers = [f'nn.Upsample(scale_factor={s}, mode="nearest")']
    down, right = (out - s * size for out, size in zip(site.out_size, site.in_size, strict=True))
    if down or right:
        kind = "ZeroPad2d" if max(down, right) <= 0 else "ReplicationPad2d"
        layers.append(f"nn.{kind}((0, {right}, 0, {down})),  # the size that it had")
    layers.append(f"nn.Conv2d({c_in}, {site.out_channels}, 3, padding=1)")
    body = "\n".join(f"    {layer}" if "#" in layer else f"    {layer}," for layer in layers)
    return [
        Prescription(
            "start anew without a checkerboard: a resize, then a convolution; train it",
            f"{access(site.path)} = nn.Sequential(\n{body}\n)",
        )
    ]


def _after_shuffle(site: Site, s: int) -> Prescription:
    conv = access(site.conv)
    return Prescription(
        "start anew without a checkerboard: a resize, then a convolution; train it",
        f"""\
{conv} = nn.Sequential(
    nn.Upsample(scale_factor={s}, mode="nearest"),
    nn.Conv2d({conv}.in_channels, {site.out_channels}, 3, padding=1),
)
{access(site.path)} = nn.Identity()""",
    )
