"""Decoders: one module a venue, bytes to events."""
