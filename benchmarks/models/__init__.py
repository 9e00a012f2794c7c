"""Models that are learned from samples."""
