"""The KServe v2 gRPC server: calls, requests, responses, limits and access."""
