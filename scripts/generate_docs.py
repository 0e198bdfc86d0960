"""Write the pages of the documentation that are made from the code: docs/upsamplers.md.

python scripts/generate_docs.py
"""

from pathlib import Path

from upsample_lab.upsamplers.table import upsamplers_page

PAGE = Path(__file__).resolve().parents[1] / "docs" / "upsamplers.md"


def main() -> None:
    PAGE.write_text(upsamplers_page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(Path.cwd()) if PAGE.is_relative_to(Path.cwd()) else PAGE}")


if __name__ == "__main__":
    main()
