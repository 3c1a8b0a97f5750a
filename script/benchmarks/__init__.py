"""What script/bench runs: each row is a ratio, or a figure of one process, measured in one run on this machine."""
