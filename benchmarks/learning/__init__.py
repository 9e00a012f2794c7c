"""Reference learning results: what methods reach on known tasks, and after how many episodes."""
