"""Make `python -m fastfeed` the same as the command `fastfeed`."""

from fastfeed.cli import main

raise SystemExit(main())
