"""Whatever a network or a run is read from: checkpoints, official pickles, saved networks."""
