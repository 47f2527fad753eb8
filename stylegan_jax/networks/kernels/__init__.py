"""What is in the networks for speed alone: convolutions and elementwise passes whose derivatives stay fast."""
