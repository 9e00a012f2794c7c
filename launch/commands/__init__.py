"""The commands of ``esengine``, one a module: each has ``command(argv, stop)``, which returns the
exit status.
"""
