"""Scores of a whole file of ids."""
