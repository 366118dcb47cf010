"""The protocol's ids of the types, for compiled modules."""

cdef enum:
    CUSTOM = 0x00
    ASCII = 0x01
    BIGINT = 0x02
    BLOB = 0x03
    BOOLEAN = 0x04
    COUNTER = 0x05
    DECIMAL = 0x06
    DOUBLE = 0x07
    FLOAT = 0x08
    INT = 0x09
    TIMESTAMP = 0x0B
    UUID = 0x0C
    TEXT = 0x0D
    VARINT = 0x0E
    TIMEUUID = 0x0F
    INET = 0x10
    DATE = 0x11
    TIME = 0x12
    SMALLINT = 0x13
    TINYINT = 0x14
    DURATION = 0x15
    LIST = 0x20
    MAP = 0x21
    SET = 0x22
    USER = 0x30
    TUPLE = 0x31
