"""``esengine bench``: the engine's speed compared with the machine's limits and with plain code.

Modules: `command`, `figures` (the rows of a table); the subjects are in `kernels`, `rollouts` and
`training_runs` (scaling, profile). The benchmark of dispatch is `benchmarks.dispatch`, outside the
package.
"""
