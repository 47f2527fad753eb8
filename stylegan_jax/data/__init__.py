"""Data sets: readers, and the toy faces drawn by code."""
