"""Requests by id that go straight from party to party: answering them, asking them, and the receipts that remain."""
