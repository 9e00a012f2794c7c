"""Runs as Slurm jobs: the script, submitting, what happens inside a job, and looking at it."""
