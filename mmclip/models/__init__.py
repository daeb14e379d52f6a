"""Models, grouped by method: the table of contents."""
