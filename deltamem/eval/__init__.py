"""Published benchmarks and missing baselines, one command: python -m deltamem.eval."""
