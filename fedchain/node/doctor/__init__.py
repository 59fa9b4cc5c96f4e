"""`fedchain node doctor`: looks at a node's files, chain, registry entry, data and peers, and changes nothing."""
