"""Data: sources, feature schema, splits, featurizer, batches."""
