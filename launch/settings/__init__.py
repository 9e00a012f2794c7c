"""Settings of a run: their groups, the flags and files that they come from, and what they are
checked for.

Modules: `config` (everything a run depends on), `methods` and `planners` (tables by name),
`parse_train` and `flags` (the command line), `settings_values` (settings as JSON), `as_command`
(settings as a command line), `search_space`.
"""
