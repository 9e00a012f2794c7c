"""Local ranks by mpirun, and the launch that this process is part of.

Modules: `local_ranks` (starts them), `start_watch` (sees a start that fails), `end_watch` (sees an
end that mpirun does not), `error_filter` (removes mpirun's messages about ranks that ended),
`caller` (objects and callbacks of a caller from Python), `mpi_needs` (what each MPI needs),
`slurm_allocation` (the resources of this Slurm job).
"""
