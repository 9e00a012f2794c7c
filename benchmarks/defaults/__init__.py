"""Every search with its defaults on tasks that nobody tuned it on."""
