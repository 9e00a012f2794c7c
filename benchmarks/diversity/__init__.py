"""Quality diversity beside pyribs' own loop: the sphere and the arm."""
