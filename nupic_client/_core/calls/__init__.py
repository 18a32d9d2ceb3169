"""The parts that all calls share: flows, retries, credentials, the model that a name means, questions to a server."""
