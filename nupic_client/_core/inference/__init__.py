"""Arrays in, arrays out: inputs, requests, results, embeddings, many at once."""
