"""What all calls share: flows of several steps, retries, credentials, which model a name means, questions to a server."""
