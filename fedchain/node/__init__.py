"""A party's node: configuration, the driver of its generators, jobs, requests, control socket."""
