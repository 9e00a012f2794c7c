"""Quality diversity: an archive of the best solution of every kind of behaviour.

Modules: `settings` (what all methods share), `map_elites`, `cma_me` and `cma_mae` (the methods),
`archive` (elites by the cells of their measures), `thresholds` (what a solution has to exceed),
`emitters` (where new solutions come from) and `search` (the strategy); `trial_and_error` (which
elite works after a change) and its `gaussian_process`.
"""
