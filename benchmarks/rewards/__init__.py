"""What learned rewards are shown on, in RESULTS.md, and how it is measured."""
