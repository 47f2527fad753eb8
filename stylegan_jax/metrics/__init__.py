"""The metrics of the papers as mathematics: arrays in, numbers out; and the training of classifiers for them."""
