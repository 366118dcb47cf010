"""The native protocol: segments, frames, requests, replies, faults."""
