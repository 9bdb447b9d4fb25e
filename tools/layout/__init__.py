"""What is derived from the layout of shared memory: the C header and the page in docs/.

`python -m tools.layout` writes both anew, `python -m tools.layout --check` says whether they are current. Offsets and
sizes are the compiler's, as `fastfeed_core.records` knows them; types, names and comments stand in `records.pxd`; the
read side of the ring is cut out of `ring.h` and `wake.h`; the rest of the header stands in `*.part.h` of this folder.
"""
