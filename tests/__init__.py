"""The tests. Of several processes that share them, each has a shared memory of its own, in which it looks for leftovers."""

import os
import tempfile

if "PYTEST_XDIST_WORKER" in os.environ:  # before anything of esengine is imported
    os.environ["ESENGINE_SHM_ROOT"] = tempfile.mkdtemp(
        prefix="tests-of-esengine-", dir=os.environ.get("ESENGINE_SHM_ROOT", "/dev/shm")
    )
