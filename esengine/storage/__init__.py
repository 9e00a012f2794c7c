"""Files that survive: writing aside and renaming, and checkpoints.

Modules: `files` (atomic writes, checksums, bounded reads), `checkpoint` (a search's state on disk).
"""
