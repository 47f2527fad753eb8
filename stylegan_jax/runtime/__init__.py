"""What a process needs from the machine: devices, XLA, threads, signals, locks, files that appear whole."""
