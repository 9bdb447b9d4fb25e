"""The benchmarks: `pytest benchmarks`, and the programs ratios, instructions and latency."""
