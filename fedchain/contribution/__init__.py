"""Who contributed how much."""
