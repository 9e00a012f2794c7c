"""``esengine bench``: the engine's speed compared with the machine's limits and with plain code.

Modules: `command`, `figures` (the rows of a table); one module per subject: `kernels`, `rollouts`,
`scaling`, `profile`. The benchmark of dispatch is `benchmarks.dispatch`, outside the package.
"""
