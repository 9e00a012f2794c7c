"""Running episodes: one file per family of environments.

Modules: `contract` (what a simulator offers), `stepped` (any environment, through gymnasium),
`vectorized`, and for compiled families the simulator with `*_rollouts` for its loops: `classic`
(with `lockstep`), `mujoco`, `maze`. `families` chooses. `dynamics` and `controls` are the planners'
view of an environment, `traces` are episodes that keep every step.
"""
