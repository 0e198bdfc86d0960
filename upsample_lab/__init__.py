"""A lab for one question: which upsampling layer should a decoder use?

    from upsample_lab import build_upsampler, passport

    layer = build_upsampler("deconv", in_channels=64, out_channels=32, scale=2)
    print(passport(layer, in_channels=64, scale=2).table())

What is handed on here is imported when it is first asked for: `import upsample_lab` imports no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from upsample_lab.conv import Conv2d as Conv2d
    from upsample_lab.conv import ConvTranspose2d as ConvTranspose2d
    from upsample_lab.conv import conv2d as conv2d
    from upsample_lab.conv import conv_matrix as conv_matrix
    from upsample_lab.conv import conv_transpose2d as conv_transpose2d
    from upsample_lab.doctor import assert_clean as assert_clean
    from upsample_lab.doctor import balance as balance
    from upsample_lab.doctor import diagnose as diagnose
    from upsample_lab.doctor import scan as scan
    from upsample_lab.doctor import swap as swap
    from upsample_lab.export import export_onnx as export_onnx
    from upsample_lab.passport import passport as passport
    from upsample_lab.registry import register as register
    from upsample_lab.resize import resize as resize
    from upsample_lab.trained import load_run as load_run
    from upsample_lab.upsamplers import build_upsampler as build_upsampler

__version__ = "0.1.0"

_HANDED_ON = {
    "Conv2d": "conv",
    "ConvTranspose2d": "conv",
    "assert_clean": "doctor",
    "balance": "doctor",
    "build_upsampler": "upsamplers",
    "conv2d": "conv",
    "conv_matrix": "conv",
    "conv_transpose2d": "conv",
    "diagnose": "doctor",
    "export_onnx": "export",
    "load_run": "trained",
    "passport": "passport",
    "register": "registry",
    "resize": "resize",
    "scan": "doctor",
    "swap": "doctor",
}  # name: the module of the package that it comes from


def __getattr__(name: str) -> object:
    if name not in _HANDED_ON:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_HANDED_ON[name]}")
    # `passport` and `resize` are modules too, whichever was imported first: these can be called as their functions.
    value: object = module if name == _HANDED_ON[name] else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HANDED_ON})
