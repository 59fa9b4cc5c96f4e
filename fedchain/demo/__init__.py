"""The whole job on one machine: what `fedchain demo` runs."""
