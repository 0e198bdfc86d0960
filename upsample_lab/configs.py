"""Where the values of the built-in options lie."""

from pathlib import Path

_PACKAGED = Path(__file__).parent / "_configs"  # where a wheel puts them
CONFIG_DIR = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).parents[1] / "configs"
