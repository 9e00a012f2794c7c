"""MPI: the ranks of a launch and what connects them.

Modules: `world` (the ranks, or one process), `mailbox` and `messages` (point-to-point messages),
`node_memory` (arrays that the ranks of a node share), `shared_folder` (where a launch keeps them),
`signals`, `watchdog` (time-outs of members), `guard` (cleaning up after a killed launch).
"""
