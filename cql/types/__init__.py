"""The CQL types: names, bytes, order, text."""
