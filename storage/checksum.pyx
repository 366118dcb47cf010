"""CRC32C, the checksum of everything on disk; by the processor's instruction where it has one.

`crc32c(b, seed=crc32c(a)) == crc32c(a + b)`, and the seed of nothing is 0. The portable form
gives the same numbers, so that files may move between machines.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t, uint32_t


cdef extern from *:
    """
    #include <stddef.h>
    #include <stdint.h>
    #include <string.h>

    static uint32_t pythia_crc_table[8][256];

    /* The reflected Castagnoli polynomial, for eight bytes at a time. */
    static void pythia_crc_prepare(void) {
        for (uint32_t byte = 0; byte < 256; byte++) {
            uint32_t crc = byte;
            for (int bit = 0; bit < 8; bit++)
                crc = (crc >> 1) ^ (0x82f63b78u & (0u - (crc & 1)));
            pythia_crc_table[0][byte] = crc;
        }
        for (int slice = 1; slice < 8; slice++)
            for (uint32_t byte = 0; byte < 256; byte++) {
                uint32_t crc = pythia_crc_table[slice - 1][byte];
                pythia_crc_table[slice][byte] = (crc >> 8) ^ pythia_crc_table[0][crc & 255];
            }
    }

    static uint32_t pythia_crc_portable(uint32_t crc, const uint8_t *data, size_t size) {
        crc = ~crc;
        while (size >= 8) {
            crc ^= (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16
                | (uint32_t)data[3] << 24;
            crc = pythia_crc_table[7][crc & 255] ^ pythia_crc_table[6][crc >> 8 & 255]
                ^ pythia_crc_table[5][crc >> 16 & 255] ^ pythia_crc_table[4][crc >> 24]
                ^ pythia_crc_table[3][data[4]] ^ pythia_crc_table[2][data[5]]
                ^ pythia_crc_table[1][data[6]] ^ pythia_crc_table[0][data[7]];
            data += 8;
            size -= 8;
        }
        while (size--) crc = (crc >> 8) ^ pythia_crc_table[0][(crc ^ *data++) & 255];
        return ~crc;
    }

    #if defined(__x86_64__)
    #include <nmmintrin.h>
    __attribute__((target("sse4.2")))
    static uint32_t pythia_crc_hardware(uint32_t seed, const uint8_t *data, size_t size) {
        uint64_t crc = ~seed, word;
        while (size >= 8) {
            memcpy(&word, data, 8);
            crc = _mm_crc32_u64(crc, word);
            data += 8;
            size -= 8;
        }
        while (size--) crc = _mm_crc32_u8((uint32_t)crc, *data++);
        return ~(uint32_t)crc;
    }
    static int pythia_crc_has_hardware(void) { return __builtin_cpu_supports("sse4.2") != 0; }
    #elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
    #include <arm_acle.h>
    static uint32_t pythia_crc_hardware(uint32_t seed, const uint8_t *data, size_t size) {
        uint32_t crc = ~seed;
        uint64_t word;
        while (size >= 8) {
            memcpy(&word, data, 8);
            crc = __crc32cd(crc, word);
            data += 8;
            size -= 8;
        }
        while (size--) crc = __crc32cb(crc, *data++);
        return ~crc;
    }
    static int pythia_crc_has_hardware(void) { return 1; }
    #else
    static uint32_t pythia_crc_hardware(uint32_t seed, const uint8_t *data, size_t size) {
        return pythia_crc_portable(seed, data, size);
    }
    static int pythia_crc_has_hardware(void) { return 0; }
    #endif
    """
    void pythia_crc_prepare() noexcept nogil
    uint32_t pythia_crc_portable(uint32_t seed, const uint8_t *data, size_t size) noexcept nogil
    uint32_t pythia_crc_hardware(uint32_t seed, const uint8_t *data, size_t size) noexcept nogil
    int pythia_crc_has_hardware() noexcept nogil


pythia_crc_prepare()
cdef bint _has_hardware = pythia_crc_has_hardware()
IS_HARDWARE = bool(_has_hardware)


cdef uint32_t crc32c_of(uint32_t seed, const uint8_t *data, size_t size) noexcept nogil:
    """The checksum of some bytes after those that gave the seed; cannot fail."""
    if _has_hardware:
        return pythia_crc_hardware(seed, data, size)
    return pythia_crc_portable(seed, data, size)


def crc32c(data, uint32_t seed=0):
    """Give the checksum of `data`, or of what gave `seed` followed by `data`."""
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    seed = crc32c_of(seed, <const uint8_t *>view.buf, view.len)
    PyBuffer_Release(&view)
    return seed


def crc32c_portable(data, uint32_t seed=0):
    """Give the same checksum without the processor's help."""
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    seed = pythia_crc_portable(seed, <const uint8_t *>view.buf, view.len)
    PyBuffer_Release(&view)
    return seed
