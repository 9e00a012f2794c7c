"""Carrying a run out: problem and strategy from its settings, the loops, checkpoints and resuming.

Modules: `start_and_resume`, `run` (what a method gives to a run), `problem_from_settings`,
`initial_policy`, `loop`, `strategy_loop`, `noisy_best`, `goal_curriculum`, `imitation`,
`reward_learning`, `policy_gradient`, `metric_columns`, `restoring`, `replay`, `clocks`.
"""
