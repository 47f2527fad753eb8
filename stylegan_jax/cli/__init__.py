"""What all commands share: how they start and end, and the flags that they have in common."""
