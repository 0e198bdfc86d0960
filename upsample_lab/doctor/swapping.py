"""Swap: another upsampler in a layer's place, in anybody's model, with its weights carried over."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from upsample_lab.doctor.calls import Inputs, run_watched
from upsample_lab.doctor.convert import Spread, own_kernel, spread_of
from upsample_lab.doctor.matching import Source, energies, in_place_of, match_exactly, match_nearest
from upsample_lab.doctor.surgery import Change, copied, described, operated, picked
from upsample_lab.doctor.watcher import SiteCall
from upsample_lab.settings import ConfigError, choices, nearest
from upsample_lab.upsamplers import Algorithms, Upsampler, build_upsampler

Target = str | Upsampler | Mapping[str, Any]
"""A name, an upsampler that is made, or a name with options: `dict(name="nearest", kernel_size=5)`."""

INITS = ("match", "random")
KERNEL_SIZES = {"pixel_shuffle": (1, 3, 5, 7, 9), "deconv": (2, 3, 4, 5, 6, 7, 8)}
FUNCTION = "is a function that a forward calls, and no layer that could be replaced: change the forward"
FOREIGN = Algorithms("native", "native")
LARGEST_ERROR = 1e-3
"""Of the energy, between what the equations promise and what the layer gives: more, and it is no affine function."""


@dataclass(eq=False)
class Place:
    """A layer that can be replaced: one module, or a convolution and the pixel shuffle behind it.

    path      of the site; `conv` of the convolution before a shuffle, else empty
    channels  that go in and come out
    refusal   why it cannot be replaced, or nothing
    """

    path: str
    kind: str
    layer: nn.Module
    scale: int
    channels: tuple[int, int]
    conv: str = ""
    refusal: str = ""
    inputs: list[Tensor] = field(default_factory=list)


def swap(
    model: nn.Module,
    to: Mapping[str, Target] | Target,
    *,
    kinds: Collection[str] | None = None,
    init: str = "match",
    inputs: Inputs | None = None,
) -> nn.Module:
    """A copy of the model with other upsamplers of this package in the places of some of its layers.

        swap(model, {"up1": "nearest", "up2": dict(name="bilinear", kernel_size=5)}, inputs=images)
        swap(model, "nearest", kinds=("deconv",), inputs=images)

    With `init="match"` the new layer does what the old one did, as nearly as it can: exactly where it can be the same
    map (a transposed convolution as `pixel_shuffle`, and a convolution with its shuffle or a nearest resize with its
    convolution as `deconv`; their `kernel_size` is chosen for it unless it is given), and with the weights that are
    nearest in least squares on the activations that `inputs` bring to the layer where not. `changes(model)` tells the
    share of the layer's output energy that is kept, and the names of the parameters that are new, for an optimizer.
    The model's other parameters, their names, and the model that is given stay as they are.

    Args:
        model: any module. A layer that is used several times is replaced once, everywhere.
        to: by path, or one for all layers of `kinds`: an upsampler's name, a name with options, or an upsampler.
        kinds: of sites, as `find_sites` names them; None with a single `to` means all that can be replaced.
        init: match, or random for the upsampler's own start.
        inputs: what the model is called with: a tensor, a tuple of arguments, a dict of keyword arguments. Matching
            by least squares needs them; a batch of a few images is enough.

    Raises ConfigError, a ValueError, in one line: an unknown path, kind, name or option, a site that is no layer, a
    layer that the upsampler cannot stand in for, inputs that are missing or that the model cannot take.
    """
    if init not in INITS:
        raise ConfigError(f"swap: init={init!r}: must be one of {', '.join(INITS)}{nearest(str(init), INITS)}")
    cured = copied(model, "swap")
    places = swappable(cured, inputs)
    targets = _targets(places, to, kinds)
    each = [_replace(cured, places[path], target, init, inputs is not None) for path, target in targets.items()]
    return operated(model, cured, each, inputs)


def _targets(places: dict[str, Place], to: Any, kinds: Collection[str] | None) -> dict[str, Target]:
    """What each place becomes, in the order of the model."""
    if isinstance(to, Mapping) and kinds is None and ("name" not in to or "name" in places):
        refused = {path: place.refusal for path, place in places.items() if place.refusal}
        shuffles: dict[str, str] = {place.conv: path for path, place in places.items() if place.conv}
        named: dict[str, Target] = {shuffles.get(path) or path: target for path, target in to.items()}
        if len(named) < len(to):
            raise ConfigError(f"swap: {', '.join(map(repr, to))}: a convolution and the shuffle behind it are one site")
        able = {path: place for path, place in places.items() if not place.refusal}
        return {path: named[path] for path in picked("swap", able, named, refused)}
    if isinstance(to, Mapping) and "name" not in to:
        raise ConfigError("swap: with kinds= one upsampler is needed for all: a name, or dict(name=…, options)")
    known = sorted({place.kind for place in places.values()})
    for kind in (kinds := [kinds] if isinstance(kinds, str) else list(kinds or known)):
        if kind not in known:
            has = ", ".join(known) or "no site"
            raise ConfigError(f"swap: kinds={kind}: the model has {has}{nearest(kind, known)}")
    chosen = {path: place for path, place in places.items() if place.kind in kinds}
    replaceable = [path for path, place in chosen.items() if not place.refusal]
    if not replaceable:
        reasons = "; ".join(f"{path!r} {place.refusal}" for path, place in chosen.items())
        raise ConfigError(f"swap: nothing to replace: {reasons or 'no site'}")
    return dict.fromkeys(replaceable, to)


# ----------------------------------------------------------------------------------------------------------------------
# Where


def swappable(model: nn.Module, inputs: Inputs | None = None) -> dict[str, Place]:
    """The sites of a model by path, with the activations that come to them where inputs are given."""
    if inputs is None:
        return _by_type(model)
    found = _by_call(model, inputs)
    _record(model, inputs, found)
    return found


def _by_type(model: nn.Module) -> dict[str, Place]:
    found = {}
    inside: set[nn.Module] = set()
    for path, module in model.named_modules():
        if isinstance(module, Upsampler):
            inside.update(module.modules())
            found[path] = Place(path, "upsampler", module, module.scale, (module.in_channels, module.out_channels))
        elif isinstance(module, nn.ConvTranspose2d) and max(module.stride) > 1 and module not in inside:
            found[path] = _deconv(path, module)
        elif isinstance(module, nn.Upsample):
            found[path] = Place(path, "resize", module, 0, (0, 0), refusal="needs inputs=, which tell its channels")
        elif isinstance(module, nn.Sequential):
            for (before, conv), (name, shuffle) in pairwise(module.named_children()):
                if isinstance(shuffle, nn.PixelShuffle) and isinstance(conv, nn.Conv2d):
                    place = _shuffle(_joined(path, name), _joined(path, before), conv, shuffle)
                    found[place.path] = place
    return found


def _by_call(model: nn.Module, inputs: Inputs) -> dict[str, Place]:
    found: dict[str, Place] = {}
    convs: dict[str, set[str]] = {}

    def visit(call: SiteCall) -> None:
        convs.setdefault(call.path, set()).add(call.conv)
        if call.path not in found and len(call.scale) == 2:
            found[call.path] = _place(model, call)

    run_watched(model, inputs, visit)
    for path, several in convs.items():
        if len(several) > 1 and path in found:
            found[path].refusal = f"takes several convolutions' outputs by turns: {', '.join(sorted(several))}"
    return found


def _place(model: nn.Module, call: SiteCall) -> Place:
    channels = (call.input.shape[-3] if call.input.dim() in (3, 4) else 0, call.output.shape[-3])
    if ":" in call.path:
        return Place(call.path, call.kind, model, 0, channels, refusal=FUNCTION)
    module = model.get_submodule(call.path)
    if isinstance(module, Upsampler):
        return Place(call.path, "upsampler", module, module.scale, channels)
    if isinstance(module, nn.ConvTranspose2d):
        return _deconv(call.path, module)
    if isinstance(module, nn.PixelShuffle):
        conv = model.get_submodule(call.conv) if call.conv and ":" not in call.conv else None
        if isinstance(conv, nn.Conv2d):
            return _shuffle(call.path, call.conv, conv, module)
        return Place(call.path, call.kind, module, 0, channels, refusal="has no convolution right before it")
    if isinstance(module, nn.Upsample):
        scale = int(call.scale[0])
        even = call.scale == (scale, scale) and scale > 1 and module.size is None
        refusal = "" if even else f"enlarges by {call.scale}, and not both axes by one whole factor"
        return Place(call.path, "resize", module, scale, channels, refusal=refusal)
    refusal = f"is a {type(module).__name__}, which no upsampler here can stand in for"
    return Place(call.path, call.kind, module, 0, channels, refusal=refusal)


def _deconv(path: str, module: nn.ConvTranspose2d) -> Place:
    down, right = module.stride
    refusal = "" if down == right > 1 else f"has stride {module.stride}, and upsamplers enlarge both axes alike"
    return Place(path, "deconv", module, down, (module.in_channels, module.out_channels), refusal=refusal)


def _shuffle(path: str, conv_path: str, conv: nn.Conv2d, shuffle: nn.PixelShuffle) -> Place:
    s = shuffle.upscale_factor
    channels, layer = (conv.in_channels, conv.out_channels // s**2), nn.Sequential(conv, shuffle)
    return Place(path, "pixel_shuffle", layer, s, channels, conv_path)


def _record(model: nn.Module, inputs: Inputs, places: dict[str, Place]) -> None:
    """Keep what comes to each layer in a forward pass."""
    handles = []
    for place in places.values():
        if place.refusal:
            continue
        first = place.layer[0] if isinstance(place.layer, nn.Sequential) else place.layer

        def keep(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], place: Place = place) -> None:
            image, *more = [*args, *kwargs.values()]
            if any(value is not None for value in more):
                place.refusal = "is called with more than its input, such as an output_size"
            place.inputs.append((image if image.dim() == 4 else image[None]).detach().clone())

        handles.append(first.register_forward_pre_hook(keep, with_kwargs=True))
    try:
        run_watched(model, inputs, lambda _: None)
    finally:
        for handle in handles:
            handle.remove()


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


# ----------------------------------------------------------------------------------------------------------------------
# What


def _replace(model: nn.Module, place: Place, target: Target, init: str, has_inputs: bool) -> Change:
    """Put an upsampler in a place of the model, and tell what came of it."""
    try:
        source = _source(place)
        upsampler = _built(target, source, init)
        layer, kept = in_place_of(source, upsampler), None
        if init == "match":
            kept = _matched(source, layer, upsampler, place.inputs if has_inputs else None)
    except ValueError as error:
        raise ConfigError(f"swap: {place.path!r}: {error}") from None
    was = described(place.layer)
    like = next(iter([*place.layer.parameters(), *model.parameters()]), torch.zeros(()))
    layer = layer.to(like.device, like.dtype).train(place.layer.training)
    old = {name for name, _ in model.named_parameters()}
    _put(model, place, layer)
    now = described(upsampler) if layer is upsampler else f"{described(upsampler)} with {described(layer)}"
    own = {id(parameter) for parameter in layer.parameters()}
    new = tuple(name for name, parameter in model.named_parameters() if id(parameter) in own)
    gone = tuple(sorted(old - {name for name, _ in model.named_parameters()}))
    return Change(place.path, was, now, kept=kept, parameters=new, gone=gone)


def _put(model: nn.Module, place: Place, layer: nn.Module) -> None:
    """Wherever the old layer is, also where it is shared. A shuffle leaves its place, so that no name changes."""
    changed: list[tuple[nn.Module, nn.Module]] = [(place.layer, layer)]
    if place.conv:
        conv, shuffle = place.layer.children()
        changed = [(conv, layer), (shuffle, nn.Identity())]
    for old, new in changed:
        for parent in list(model.modules()):
            for name, child in parent._modules.items():
                if child is old:
                    parent._modules[name] = new


def _source(place: Place) -> Source:
    """The layer with its geometry, in float64 and in evaluation mode."""
    layer = copy.deepcopy(place.layer).double().eval()
    spread, exact = _spread(layer, any_bias=True), _spread(layer, any_bias=False) is not None
    if spread is None or place.kind in ("upsampler", "resize"):  # s times its input, and on half-pixel centres
        if place.kind in ("deconv", "pixel_shuffle"):
            spread_of(layer, any_bias=True)  # which raises the reason
        return Source(layer, *place.channels, place.scale, spread, exact)
    s, more = place.scale, spread.repeat
    shift = [spread.padding[a] - s * more[a] + (s - spread.weight.shape[2 + a]) // 2 for a in (0, 1)]
    extra = [spread.extra[a] + 2 * s * more[a] for a in (0, 1)]
    return Source(layer, *place.channels, s, spread, exact, (shift[0], shift[1]), (extra[0], extra[1]))


def _spread(layer: nn.Module, *, any_bias: bool) -> Spread | None:
    try:
        return spread_of(layer, any_bias=any_bias)
    except ValueError:
        return None


def _built(target: Target, source: Source, init: str) -> Upsampler:
    """The upsampler; where its kernel size is open, one with which it can be the same map."""
    sizes = (source.in_channels, source.out_channels, source.scale)
    if isinstance(target, Upsampler):
        if (target.in_channels, target.out_channels, target.scale) != sizes:
            needed = f"must take {sizes[0]} channels to {sizes[1]} at scale {sizes[2]}"
            raise ConfigError(f"{described(target)}: {needed}")
        return copy.deepcopy(target)
    if isinstance(target, str):
        target = {"name": target}
    if not isinstance(target, Mapping) or not isinstance(target.get("name"), str):
        raise ConfigError(f"{target!r}: must be an upsampler, its name, or dict(name=…, options)")
    options = dict(target)
    name = options.pop("name")
    if name in choices("upsample") and name == "unpool":
        raise ConfigError("unpool needs the positions of an encoder's maxima, which nothing here gives it")
    upsampler = build_upsampler(name, *sizes, algorithms=FOREIGN, **options)
    if init == "match" and "kernel_size" not in options and source.spread is not None and name in KERNEL_SIZES:
        default: Any = upsampler.kernel_size
        for size in (default, *KERNEL_SIZES[name]):
            if not options.get("phase_equal") and own_kernel(source.spread, name, size, source.shift) is not None:
                return build_upsampler(name, *sizes, algorithms=FOREIGN, kernel_size=size, **options)
    return upsampler


def _matched(source: Source, layer: nn.Module, upsampler: Upsampler, activations: Sequence[Tensor] | None) -> float:
    """Match the weights; returns the share of the energy that is kept, on the activations, or without them on noise."""
    device = next(source.layer.parameters(), torch.zeros(())).device
    layer.to(device, torch.float64).eval()
    exact = match_exactly(source, upsampler)
    if not exact:
        if not activations:
            raise ConfigError(
                f"no weights make {type(upsampler).__name__} the same map, and the nearest depend on your activations: "
                "give inputs=, or init='random'"
            )
        promised = match_nearest(source, layer, activations)
    seen = activations or [torch.randn(1, source.in_channels, 8, 8, dtype=torch.float64, device=device)]
    apart, whole = energies(source.layer, layer, seen)
    kept = 1 - apart / whole if whole else 1.0
    if not exact and abs(promised - kept) > LARGEST_ERROR:
        raise ConfigError(f"{type(upsampler).__name__} is no affine function of its last weights; use init='random'")
    return kept
