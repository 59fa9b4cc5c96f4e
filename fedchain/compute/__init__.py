"""Where bulk work runs: threads by default, any joblib backend by name."""
