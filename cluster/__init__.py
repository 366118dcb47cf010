"""Whose data it is: tokens, ring, replicas, gossip."""
