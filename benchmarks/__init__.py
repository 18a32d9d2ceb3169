"""Measurements: what the client costs beside the bare gRPC call and beside tritonclient. See README.md."""
