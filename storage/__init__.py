"""Where data lies: log, memtable, SSTables, cache."""
