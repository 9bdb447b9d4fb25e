"""The compiled core: decoding, books, sequences, shared memory.

Everything here is Cython or C; it knows no event loop, no HTTP and no configuration. A consumer process imports
`attach`, `message`, `subscription` and `replica`, never `session` (the one module that needs the networking packages).
"""
