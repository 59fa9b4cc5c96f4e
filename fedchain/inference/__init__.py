"""Requests over a finished model."""
