"""Archives of quality diversity as files: the best solution of every kind of behaviour.

Modules: `repertoire` (what an archive holds) and `file` (its file, which is read without running
code).
"""

from esengine.repertoires.file import holds_archive, load_archive, save_archive
from esengine.repertoires.repertoire import Repertoire

__all__ = ["Repertoire", "holds_archive", "load_archive", "save_archive"]
