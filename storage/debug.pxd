"""Whether this is a debug build (`make debug`): a C constant, so that a release build holds none of
the checks that stand behind it.
"""

cdef extern from *:
    """
    #ifndef PYTHIA_DEBUG
    #define PYTHIA_DEBUG 0
    #endif
    """
    enum:
        PYTHIA_DEBUG
