"""Write the pages of the documentation that are made from the code: docs/upsamplers.md.

python scripts/generate_docs.py
"""

import sys
from argparse import RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path

from upsample_lab.cli.main import OneLineParser, guarded
from upsample_lab.upsamplers.table import upsamplers_page

PAGE = Path(__file__).resolve().parents[1] / "docs" / "upsamplers.md"


def main(words: Sequence[str] | None = None) -> int:
    OneLineParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter).parse_args(words)
    PAGE.write_text(upsamplers_page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(Path.cwd()) if PAGE.is_relative_to(Path.cwd()) else PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
