"""Train state, checkpoints, logging, progress."""
