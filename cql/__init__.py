"""What the bytes mean: frames, types, statements, plans."""
