"""The run directory: its files, who may write it, and how a run ended.

Modules: `run_directory`, `run_lock`, `metrics_file`, `failure_log`, `saving` (checkpoints in the
background), `outcomes` (exit statuses and final messages), `versions`, `charts` (PNG and
TensorBoard).
"""
