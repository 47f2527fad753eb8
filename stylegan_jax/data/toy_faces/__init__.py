"""Toy faces: a data set of cartoon faces with known attributes, drawn by code."""
