"""Pictures for people: grids, files, and the figures of the paper."""
