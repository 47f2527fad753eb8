"""The figures of the paper, drawn with any network."""
