"""Training algorithms, one folder each."""
