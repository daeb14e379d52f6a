"""Parts of two or more methods that segment."""
