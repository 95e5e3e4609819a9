"""One algorithm a file, each a pure ``step(state, batch)``."""
