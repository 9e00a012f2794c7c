"""Learning a reward from demonstrations. `tabular` is exact, `partition` estimates what it computes from samples."""
