"""The run directory: its files, the lock of its writer, and how a run ended.

Modules: `run_directory`, `copied_files` (what a run begins from), `best_point`, `identity`,
`run_lock`, `metrics_file`, `rows` and `columns` (metrics), `json_lines` (failures), `saving`
(checkpoints in the background), `result` (for a caller from Python), `outcomes` (exit statuses and
final messages), `versions`, `charts` (PNG and TensorBoard), `trackers` (Weights & Biases, MLflow).
"""
