"""Learning a policy from an expert's actions.

One file per method: `behavior_cloning`, `dagger`, `dart`, `plato`, `guided_policy_search`. Shared:
`aggregation` (the growing data set, and who labels).
"""
