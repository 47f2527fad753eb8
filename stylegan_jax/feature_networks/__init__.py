"""Networks whose features the metrics compare, and the files that hold their weights."""
