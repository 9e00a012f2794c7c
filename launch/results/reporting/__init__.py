"""A run as one page of HTML: what it holds (`report`), and how that looks (`page`)."""
