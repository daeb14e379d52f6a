"""From names to embeddings, and the classifier that scores with them."""
