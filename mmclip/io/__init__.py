"""Files: reading and writing."""
