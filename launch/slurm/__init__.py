"""Runs as Slurm jobs: the script, the submission, the supervision inside a job, and the status."""
