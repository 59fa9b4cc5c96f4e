"""Model shards and what follows from them alone."""
