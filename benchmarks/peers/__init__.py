"""The engine beside other packages: the same work, the same machine, in turns. ``python
benchmarks/peers/run.py`` runs it.
"""
