"""Long jobs over a dataset."""
