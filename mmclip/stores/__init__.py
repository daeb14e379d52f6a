"""What is computed once over a dataset and read in training."""
