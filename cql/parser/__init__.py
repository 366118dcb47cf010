"""CQL text to a tree of values."""
