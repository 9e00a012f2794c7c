"""The ranks of a launch and what connects them, over MPI.

Modules: `world` (the ranks, or one process), `launch_variables` (what the launcher said),
`mpi_library`, `assembly` and `agreement` (joining MPI, and steps of all ranks), `mailbox` and
`messages` (point-to-point messages), `values` (what is sent, as bytes of a known type), `guard`
(the parent of each rank, which reports its death), `births`, `successors` and `links` (processes in
place of dead workers), `node_memory` (arrays that the ranks of a node share), `shared_folder` (the
launch's folder in shared memory), `signals` (requests to stop), `watchdog` (the time limit of a
member) and `backoff`.
"""

from esengine.ranks.signals import StopRequest
from esengine.ranks.world import World

__all__ = ["StopRequest", "World"]
