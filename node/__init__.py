"""The process: sockets, shards, the clock, life and death."""
