"""What people see of a run: a panel, lines, or a run followed by its files.

Modules: `panel`, `progress`, `choose_output`, `panel_outside_mpirun`, `metrics_follower`, `watch`,
`compile_notice`.
"""
