"""What is made of finished runs: evaluations, films, failures, distances of rewards, exports, plots
and reports.

Modules: `evaluation`, `rendering`, `failures`, `reward_distance`. Packages: `exporting`,
`plotting`, `reporting`.
"""
