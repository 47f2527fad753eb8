"""Networks from one form of file to another."""
