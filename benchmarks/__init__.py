"""`make bench`: the service as a process of its own, under load from this one."""
