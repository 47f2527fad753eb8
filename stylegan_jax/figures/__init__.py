"""Pictures for people: grids and files."""
