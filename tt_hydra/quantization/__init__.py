"""How vectors are stored in an index: specs only, no search library."""
