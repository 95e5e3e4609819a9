"""What an architecture is: search spaces, supernet, genotype."""
