"""Learning a reward from demonstrations.

One file per method: `gail`, `airl`, `guided_cost`. Shared: `settings`, `discriminator`,
`generators` (what makes policies), `partition_function`, `expert_steps`, `epic_distance`.
"""
