"""What tables seem to mean: ids, times, kinds of features, split. Each guess with what was seen, and a question where nothing decides."""
