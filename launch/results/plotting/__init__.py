"""Pictures of runs and of benchmarks.

Modules: `command` (the flags), `runs` (runs found in folders, and grouped), `figures` (what all
pictures share); one module for each kind of picture: `curves`, `search`, `rewards`, `benchmarks`.
"""
