"""What a user does, as functions with plain arguments that return values."""
