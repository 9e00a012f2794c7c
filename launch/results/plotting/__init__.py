"""Pictures of runs and of benchmarks, one kind a module: curves, the search's own figures, fitness,
spectra, benchmarks.
"""
