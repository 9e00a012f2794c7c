"""The tests. Of several processes that share them, each has a shared memory of its own, in which it
looks for leftovers.
"""

import os

FOLDER = "ESENGINE_TESTS_FOLDER"
"""Names the folder in shared memory that the process which started the others made, and removes."""

if FOLDER in os.environ:  # before anything of esengine is imported
    os.environ["ESENGINE_SHM_ROOT"] = os.path.join(
        os.environ[FOLDER], os.environ["PYTEST_XDIST_WORKER"]
    )
    os.makedirs(os.environ["ESENGINE_SHM_ROOT"], exist_ok=True)
