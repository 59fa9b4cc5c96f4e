"""What `fedchain bench` runs."""
