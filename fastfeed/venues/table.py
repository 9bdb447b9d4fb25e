"""The capability table: which venue gives what, written from the venues' own files.

`python -m fastfeed.venues.table > docs/capabilities.md` writes the page anew; a test holds the page against this.
"""

from __future__ import annotations

from collections.abc import Iterator

from fastfeed.instrument import Kind
from fastfeed.venues import VENUES, load
from fastfeed.venues.spec import CHANNELS, Channel, Product

__all__ = ["capability_table"]

_HEAD = """\
# What each venue gives

Written by `python -m fastfeed.venues.table` from the venues' files; do not edit.

The first word of a cell is the default form, the others are asked for by the options `book` and `trades`. Marks:
*derived*, the book's top published as bbo with its flag set; *REST*, the book's snapshot comes by request; *unchained*,
a lost message cannot be seen and the book is held against a fresh snapshot every `verify_s` seconds; *login*, needs
credentials.
"""


def capability_table() -> str:
    """Return the page."""
    offered = {row.name for venue in VENUES for product in load(venue).PRODUCTS for row in product.channels}
    channels = [name for name in CHANNELS if name in offered]
    lines = [_HEAD, _row(["venue", "product", "kind", *channels]), _row(["---"] * (3 + len(channels)))]
    for venue in VENUES:
        for product in load(venue).PRODUCTS:
            for kind in product.kinds:
                cells = [" / ".join(_forms(product, name, kind)) or "-" for name in channels]
                lines.append(_row([venue, product.name, kind, *cells]))
    for venue in VENUES:
        lines += ["", f"## {venue}", ""]
        for product in load(venue).PRODUCTS:
            lines += _details(product)
    return "\n".join(lines).rstrip() + "\n"


def _forms(product: Product, name: str, kind: Kind) -> Iterator[str]:
    for row in product.channels:
        if row.name == name and kind in row.kinds:
            marks = {
                "derived": row.derived,
                "REST": row.by_request,
                "unchained": not row.chained,
                "login": row.login,
            }
            found = ", ".join(word for word, is_so in marks.items() if is_so)
            yield f"{row.form or 'yes'} (*{found}*)" if found else row.form or "yes"


def _details(product: Product) -> Iterator[str]:
    yield _row(["product", "channel", "form", "kinds", "streams", "note"])
    yield _row(["---"] * 6)
    for row in product.channels:
        streams = ", ".join(f"`{topic}`" for topic in row.topics) or "-"
        yield _row([product.name, row.name, row.form or "-", _kinds(product, row), streams, row.note or "-"])
    if product.bars:
        yield ""
        yield f"Bars of {product.name}: {', '.join(product.bars)}."
    yield ""


def _kinds(product: Product, row: Channel) -> str:
    found = [kind for kind in product.kinds if kind in row.kinds]
    return "all" if len(found) == len(product.kinds) else ", ".join(found)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


if __name__ == "__main__":
    print(capability_table(), end="")
