"""Training and search algorithms, one per file, each a pure ``step(state, batch)``."""
