"""Writing a prepared data set: checking a source, making all sizes of each picture, shards."""
