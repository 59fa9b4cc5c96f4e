"""Requests by id that go over the chain: judged, answered and closed there, each once."""
