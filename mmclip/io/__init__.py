"""Files that come from elsewhere: read with limits, and errors that name them."""
