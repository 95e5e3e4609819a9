"""PyTorch implementations to compare with; the extra ``bench`` installs PyTorch."""
