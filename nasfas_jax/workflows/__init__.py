"""Tasks of a user, as functions with plain arguments that return values."""
