"""Which files to merge, and merging them."""
