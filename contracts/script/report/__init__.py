"""`make contracts-report`: what is measured of the contracts, as `name value` lines."""
