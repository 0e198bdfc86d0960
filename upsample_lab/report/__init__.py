"""A comparison shown: one HTML page that needs nothing else, the same in Markdown, and its figures.

Imports no torch, unless a passport has to be measured.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from upsample_lab.compare.result import Comparison
from upsample_lab.report.markdown import FIGURES, report_markdown
from upsample_lab.report.material import gather
from upsample_lab.report.page import report_page

__all__ = ["write_report"]

PAGE, MARKDOWN = "report.html", "report.md"


def write_report(comparison: Comparison, folder: Path, *, passports: bool = True) -> list[Path]:
    """Write `report.html`, `report.md` and `figures/*.png`, `*.svg` into `folder`; returns their paths, page first.

    Everything is written elsewhere first and then moved into place, the page last, so that an error leaves the report
    that was there. Figures of an earlier report that this one has not are removed; other files in `folder` stay.

    passports   whether to measure the passports that are not kept in `folder` from an earlier report (seconds each)

    Raises OSError where the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    material = gather(comparison, folder, passports)
    contents: dict[str, bytes] = {}
    for chart in material.rendered:
        contents[f"{FIGURES}/{chart.drawing.name}.png"] = chart.png
        contents[f"{FIGURES}/{chart.drawing.name}.svg"] = chart.svg.encode()
    contents[MARKDOWN] = report_markdown(material).encode()
    contents[PAGE] = report_page(material).encode()
    with tempfile.TemporaryDirectory(prefix=".report-", dir=folder) as temporary:
        for name, content in contents.items():
            path = Path(temporary) / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        (folder / FIGURES).mkdir(exist_ok=True)
        for name in contents:
            os.replace(Path(temporary) / name, folder / name)
    for path in (folder / FIGURES).iterdir():
        if path.suffix in (".png", ".svg") and f"{FIGURES}/{path.name}" not in contents:
            path.unlink()
    return [folder / name for name in reversed(contents)]
