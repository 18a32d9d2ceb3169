"""The part that decides: pure code without I/O, threads, event loops or clocks."""
