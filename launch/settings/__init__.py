"""Settings of a run: their groups, the flags and files that they come from, and their checks.

Modules: `config` (everything that a run depends on, also as a command line) and in it
`train_settings` (what all methods share), composed of the groups in `groups` and `search_space`;
`methods` and `planners` (tables by name); `parse_train` and `flags` (the command line);
`settings_values` (settings from JSON and TOML).
"""
