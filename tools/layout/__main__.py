"""`python -m tools.layout [--check]`: write the C header and the layout page, or say whether they are current."""

from __future__ import annotations

import argparse
import sys

from tools.layout import header, page


def main(argv: list[str] | None = None) -> int:
    """Write what is not current; with --check only name it, and return 1 if there is any."""
    parser = argparse.ArgumentParser(prog="python -m tools.layout", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file is not current")
    check = parser.parse_args(argv).check
    stale = 0
    for path, text in ((header.PATH, header.render()), (page.PATH, page.render())):
        if path.exists() and path.read_text() == text:
            continue
        stale += 1
        print(f"{path}: {'not current' if check else 'written'}")
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
