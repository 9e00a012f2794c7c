"""Local ranks by mpirun, and the launch that this process is part of.

Modules: `local_ranks` (starting them), `error_filter` (what of mpirun's output is shown),
`slurm_allocation`.
"""
