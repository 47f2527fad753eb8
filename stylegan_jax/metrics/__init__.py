"""The metrics of the papers as mathematics: arrays in, numbers out. No files, no flags, no networks."""
