"""Immutable sorted files: blocks, index, filter, writer, reader."""
