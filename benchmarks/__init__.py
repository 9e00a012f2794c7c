"""Where the project's published figures come from, one command each."""
