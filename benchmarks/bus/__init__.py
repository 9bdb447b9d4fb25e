"""The bus against what the machine can do: `python -m benchmarks.bus`."""
