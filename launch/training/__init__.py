"""Carrying a run out: problem and strategy from its settings, the loops, checkpoints and resuming.

Modules: `start_and_resume`, `problem_from_settings`, `initial_policy`, `loop` (searches),
`goal_curriculum`, `imitation`, `reward_learning`, `policy_gradient`, `metric_columns`, `restoring`,
`replay`, `stopwatch`, `time_limit`.
"""
