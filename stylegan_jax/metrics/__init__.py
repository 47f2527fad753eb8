"""The metrics of the papers as mathematics: arrays in, numbers out. Each file also describes its metric (`kind`)."""
