"""The parts of the benchmarks: each module has ``run(settings) -> Outcome``."""
