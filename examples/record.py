"""A recorder: batches of numpy arrays to files, one a kind and a batch. Parquet if pyarrow is there, else npz.

    python examples/record.py BUS FOLDER [--records N] [--format npz|parquet]

Files are FOLDER/KIND-POSITION.*, in the ring's order by name; `instruments.json` has what the mantissas mean. Started
again on the same folder it goes on where it was, if the ring still holds that place: `place.json` has it. What was lost
is said, exactly.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fastfeed

if TYPE_CHECKING:
    import numpy as np


def save(path: Path, array: np.ndarray[Any, Any], form: str) -> None:
    """Write one array under a name that appears when it is whole."""
    building = path.with_suffix(".part")
    with building.open("wb") as file:
        if form == "parquet":
            import pyarrow
            import pyarrow.parquet

            # Columns of bytes (trade ids) are tables of their own in numpy; Parquet wants them as one value a row.
            columns = {name: array[name] for name in array.dtype.names or ()}
            columns = {name: [bytes(v) for v in c] if c.ndim > 1 else c for name, c in columns.items()}
            pyarrow.parquet.write_table(pyarrow.table(columns), file)
        else:
            import numpy as np

            np.savez_compressed(file, data=array)
    building.rename(path.with_suffix(f".{form}"))


def start_of(folder: Path, bus: fastfeed.Bus) -> Any:
    """Where to go on: the place that was kept, if it is of this generation, else the oldest record."""
    place = folder / "place.json"
    if place.exists():
        generation, offset = json.loads(place.read_text())
        if generation == bus.generation:
            return fastfeed.Position(generation, offset)
    return "oldest"


def main(name: str, folder: Path, records: int | None, form: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    bus = fastfeed.open(name, timeout=10)
    try:
        reader = bus.reader(start=start_of(folder, bus))
    except LookupError:
        print("the ring no longer holds the place that was kept: a hole of unknown size")
        reader = bus.reader(start="oldest")
    rows = [{"name": each.name, "px_exp": each.px_exp, "sz_exp": each.sz_exp} for each in bus.instruments]
    (folder / "instruments.json").write_text(json.dumps(rows, indent=1))
    done = 0
    while records is None or done < records:
        at = reader.position.offset
        batch = reader.batch(65536 if records is None else records - done)
        if not batch:
            if bus.map.closed:
                break
            time.sleep(0.05)  # a recorder has time: larger batches cost less
            continue
        for kind, array in batch.items():
            save(folder / f"{kind}-{at:020}", array, form)
            done += len(array) if kind != "levels" else 0
        (folder / "place.json").write_text(json.dumps(reader.position))
    print(f"end records {done} lost {reader.lost}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("bus")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--records", type=int)
    parser.add_argument("--format", choices=("npz", "parquet"), default="npz")
    args = parser.parse_args()
    main(args.bus, args.folder, args.records, args.format)
