"""One text: the request, its session, and how responses become text."""
