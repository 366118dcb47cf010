"""What replies share: how numbers and strings of the protocol are written."""

from libc.stdint cimport uint8_t

# All of them fail by raising only.
cdef bytes pack_int(long long value)
cdef bytes pack_short(int value)
cdef bytes pack_string(str text)
cdef bytes pack_bytes(bytes data)
cdef bytes pack_short_bytes(bytes data)
cdef bytes pack_string_list(object texts)
