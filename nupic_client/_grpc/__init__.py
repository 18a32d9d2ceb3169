"""What the sync and the async shell share of gRPC: channel arguments, credentials and the meaning of a status."""
