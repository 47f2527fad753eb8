"""One training run: the host loop, and what it leaves in its folder."""
