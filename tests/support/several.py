"""Program of the ranks of one launch: the command lines of a JSON file, one after the other, up to
the first that fails.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from esengine.launch.cli import main
from esengine.ranks.world import prepare_rank

prepare_rank()
for arguments in json.loads(Path(sys.argv[1]).read_text()):
    status = main(arguments)
    if status:
        sys.exit(f"{arguments} ended with {status}")
