"""Files that survive a crash: they are written aside, flushed and renamed.

Modules: `files` (atomic writes, checksums, bounded reads) and `checkpoint` (the state of a search
on disk).
"""

from esengine.storage.checkpoint import (
    Checkpoint,
    checkpoints,
    load_checkpoint,
    load_newest,
    save_checkpoint,
)

__all__ = ["Checkpoint", "checkpoints", "load_checkpoint", "load_newest", "save_checkpoint"]
