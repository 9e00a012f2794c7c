"""What people see of a run: a panel, plain lines, or a run followed by its files.

Modules: `panel`, `progress`, `choose_output`, `watch`.
"""
