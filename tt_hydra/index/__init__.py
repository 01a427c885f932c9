"""Nearest-neighbour indexes: specs, and FAISS behind the ``VectorIndex`` protocol."""
