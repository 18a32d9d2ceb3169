"""The real Triton Inference Server in the tests: its installation, its process and the models it serves."""
