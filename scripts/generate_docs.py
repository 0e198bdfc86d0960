"""Write what the documentation shows of the code: docs/upsamplers.md, and the tables in docs/passport.md and export.md.

python scripts/generate_docs.py              the pages; the tests ask for it when one is stale
python scripts/generate_docs.py --pictures   docs/images/passport-*.png too, which show times: about a minute
"""

import sys
from argparse import RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from upsample_lab.cli.main import OneLineParser, guarded

DOCS = Path(__file__).resolve().parents[1] / "docs"
REGISTRY = ("<!-- registry: begin -->", "<!-- registry: end -->")


def upsamplers_page(_: str) -> str:
    """docs/upsamplers.md, all of it."""
    from upsample_lab.cli.docs.upsamplers import upsamplers_page as page

    return page()


def passport_page(page: str) -> str:
    """docs/passport.md with its table of the registry measured again."""
    from upsample_lab.cli.docs.passport import registry_table

    return _with_table(page, registry_table())


def export_page(page: str) -> str:
    """docs/export.md with its table of what each layer is exported to."""
    from upsample_lab.export import registry_table

    with TemporaryDirectory() as folder:
        return _with_table(page, registry_table(Path(folder)))


def _with_table(page: str, table: str) -> str:
    begin, end = REGISTRY
    before, rest = page.split(begin)
    return f"{before}{begin}\n{table}\n{end}{rest.split(end)[1]}"


PAGES: dict[str, Callable[[str], str]] = {
    "upsamplers.md": upsamplers_page,
    "passport.md": passport_page,
    "export.md": export_page,
}


def main(words: Sequence[str] | None = None) -> int:
    parser = OneLineParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", action="store_true", help="draw docs/images/passport-*.png again")
    with_pictures = parser.parse_args(words).pictures
    for name, write in PAGES.items():
        path = DOCS / name
        path.write_text(write(path.read_text(encoding="utf-8")), encoding="utf-8")
        _tell(path)
    if with_pictures:
        from upsample_lab.cli.docs.passport import pictures

        for name, content in pictures():
            path = DOCS / "images" / f"{name}.png"
            path.write_bytes(content)
            _tell(path)
    return 0


def _tell(path: Path) -> None:
    print(f"wrote {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


if __name__ == "__main__":
    sys.exit(guarded(main))
