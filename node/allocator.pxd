"""What the C library's allocator keeps of memory that was freed."""
