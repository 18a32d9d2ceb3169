"""Soak: mixed traffic with faults at random, for as long as one likes. See docs/explanation/soak.md."""
