"""The real Triton Inference Server on this machine: its installation, its process, and SmolLM2 inside it."""
