"""Whose data it is: tokens, ring, replicas, order of schema changes."""
