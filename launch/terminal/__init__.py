"""What people see of a run: a panel, plain lines, or a run followed by its files.

Modules: `panel`, `notebook`, `progress`, `choose_output`, `watch`.
"""
