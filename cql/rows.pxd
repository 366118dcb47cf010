"""The struct of a page of rows."""

cimport cython

cdef class Result:
    cdef readonly tuple warnings     # texts for the client
    cdef readonly object tracing_id  # UUID, or None when there is no trace


@cython.final
cdef class Rows(Result):
    cdef readonly tuple columns           # of ColumnSpec
    cdef readonly Py_ssize_t row_count
    cdef readonly bytes data              # for each row and column an int32 length and the bytes
    cdef readonly bytes paging_state      # where the next page starts; None after the last
    cdef readonly bytes metadata_id       # of the columns; empty is computed by the reply
    cdef readonly bint metadata_changed   # the columns are not those announced by PREPARE
    cdef readonly bint is_conditional     # the answer of an IF: its columns are always sent


cdef inline Rows make_rows(tuple columns, Py_ssize_t row_count, bytes data, bytes metadata_id):
    """The last page of a SELECT, without the cost of a call from Python."""
    cdef Rows rows = Rows.__new__(Rows)
    rows.warnings = ()
    rows.columns = columns
    rows.row_count = row_count
    rows.data = data
    rows.metadata_id = metadata_id
    return rows
