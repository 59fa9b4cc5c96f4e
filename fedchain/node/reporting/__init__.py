"""A job as one page that anybody can open: what the chain tells of it, with pictures."""
