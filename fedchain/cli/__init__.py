"""The `fedchain` command."""
