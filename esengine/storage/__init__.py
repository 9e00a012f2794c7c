"""Files that survive a crash: they are written aside, flushed and renamed.

Modules: `files` (atomic writes, checksums, bounded reads), `file_kinds` (what a file of another
program is), `numpy_files` and `hdf5_files` (arrays
within what the size of their file allows), and `checkpoint` (the state of a search on disk).
"""

from esengine.storage.checkpoint import (
    Checkpoint,
    checkpoints,
    load_checkpoint,
    load_newest,
    save_checkpoint,
)

__all__ = ["Checkpoint", "checkpoints", "load_checkpoint", "load_newest", "save_checkpoint"]
