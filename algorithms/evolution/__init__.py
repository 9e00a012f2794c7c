"""Evolution strategies: ask for a population, learn from its fitness.

One file per strategy: `truncation_es`, `recombining_es`, `openai_es`, `ars`, `pgpe`, `snes`,
`cma_es`, `sep_cma_es`, `lm_ma_es`, `pycma`. Shared: `ranking`, `optimizers`, `genome_tree`,
`restarts`, `cma_coefficients`, `cma_termination`, `cma_warm_start`, `integer_margin`,
`matrix_square_roots`.
"""
