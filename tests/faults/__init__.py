"""Faults of networks and servers, one after the other, and what the client makes of each."""
