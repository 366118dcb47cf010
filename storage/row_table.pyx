"""Partitions of which all is known and that is one row or none: key and row in one piece each.

What a cached row takes beside its bytes are 8 bytes for their lengths and about 14 for its slot in
a hash table, instead of several objects. The slots are the clock's ring too: who looks for a victim
walks over them, and an entry's chances, the visits that it outlives, are in its tag.

A decorated key begins with its token, which is a hash; keys that somebody made to have the same one
fill a run of slots, and what would come more than PROBES_MAX slots behind its place is refused.
There are as many parts as it takes for none of them to grow in one long step. What order entries
come in depends on the keys and on what was done before, and not on the process.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

cdef enum:
    PARTS = 256                 # once there are SPLIT_AT entries
    SPLIT_AT = 4_096
    TOKEN_BYTE = 7              # of the key: which part it is in
    CAPACITY_MIN = 8
    PROBES_MAX = 256
    SLOT_BYTES = 14             # pointer and tag, at the mean fill
    ENTRY_HEAD = 8
    SMALL_MAX = 512             # pieces up to here have no header of the allocator's
    CHANCES = 3                 # the bits of a tag which count them
    USED = 4                    # the bit that makes the tag of an entry another than 0

cdef Py_ssize_t LENGTH_MAX = 0xFFFF


cdef inline uint64_t hash_of(const char* key, Py_ssize_t size) noexcept:
    """Of the token, mixed for the sake of keys that are none of ours; cannot fail."""
    cdef uint64_t mixed = 0
    memcpy(&mixed, key, min(size, 8))
    mixed ^= <uint64_t>size
    mixed = (mixed ^ (mixed >> 33)) * <uint64_t>0xFF51AFD7ED558CCD
    mixed = (mixed ^ (mixed >> 33)) * <uint64_t>0xC4CEB9FE1A85EC53
    return mixed ^ (mixed >> 33)


cdef inline uint8_t tag_of(uint64_t hash) noexcept:
    return <uint8_t>((hash << 3) | USED)


cdef inline uint32_t place_of(uint64_t hash, uint32_t capacity) noexcept:
    """Where an entry belongs: the order of slots is that of hashes, whatever the capacity."""
    return <uint32_t>(((hash >> 32) * capacity) >> 32)


cdef inline char* data_of(Entry* entry) noexcept:
    return <char*>entry + ENTRY_HEAD


cdef inline uint64_t hash_of_entry(Entry* entry) noexcept:
    return hash_of(data_of(entry), entry.key_bytes)


cdef inline Py_ssize_t bytes_of(Entry* entry) noexcept:
    """Of key, clustering and row."""
    return <Py_ssize_t>entry.key_bytes + entry.clustering_bytes + entry.row_bytes


cdef inline int number_of(Entry* entry) noexcept:
    """The part which an entry is in, once there are many."""
    return <uint8_t>data_of(entry)[TOKEN_BYTE] if entry.key_bytes > TOKEN_BYTE else 0


cdef Py_ssize_t cost_of_entry(Py_ssize_t data_bytes) noexcept:
    """What an entry with so many bytes of data takes, its slot included."""
    cdef Py_ssize_t size = ENTRY_HEAD + data_bytes
    if size > SMALL_MAX:
        size += 8
    return ((size + 15) & ~15) + SLOT_BYTES


cdef bytes key_of(Entry* entry):
    return PyBytes_FromStringAndSize(data_of(entry), entry.key_bytes)


cdef bytes clustering_of(Entry* entry):
    return PyBytes_FromStringAndSize(data_of(entry) + entry.key_bytes, entry.clustering_bytes)


cdef bytes row_of(Entry* entry):
    """The row; b"" if there is none."""
    return PyBytes_FromStringAndSize(
        data_of(entry) + entry.key_bytes + entry.clustering_bytes, entry.row_bytes
    )


cdef Entry* new_entry(bytes key, bytes clustering, bytes row) except NULL:
    """Raises MemoryError."""
    cdef Py_ssize_t key_bytes = len(key), clustering_bytes = len(clustering)
    cdef Entry* entry = <Entry*>PyMem_Malloc(
        ENTRY_HEAD + key_bytes + clustering_bytes + len(row)
    )
    if entry is NULL:
        raise MemoryError()
    entry.key_bytes = <uint16_t>key_bytes
    entry.clustering_bytes = <uint16_t>clustering_bytes
    entry.row_bytes = <uint32_t>len(row)
    memcpy(data_of(entry), PyBytes_AS_STRING(key), key_bytes)
    memcpy(data_of(entry) + key_bytes, PyBytes_AS_STRING(clustering), clustering_bytes)
    memcpy(data_of(entry) + key_bytes + clustering_bytes, PyBytes_AS_STRING(row), len(row))
    return entry


cdef int64_t slot_of(Part* part, const char* key, Py_ssize_t size) noexcept:
    """The slot of an entry; -1 if there is none with this key."""
    cdef uint64_t hash = hash_of(key, size)
    cdef uint8_t tag = tag_of(hash)
    cdef uint32_t slot
    if part.capacity == 0:
        return -1
    slot = place_of(hash, part.capacity)
    while part.tags[slot]:
        if (part.tags[slot] & ~CHANCES) == tag and part.entries[slot].key_bytes == size and (
            memcmp(data_of(part.entries[slot]), key, size) == 0
        ):
            return slot
        slot += 1
        if slot == part.capacity:
            slot = 0
    return -1


cdef Py_ssize_t lay(Part* part, Entry* entry, int chances) noexcept:
    """Puts an entry in the first free slot from its place on; gives how far away that is."""
    cdef uint64_t hash = hash_of_entry(entry)
    cdef uint32_t slot = place_of(hash, part.capacity)
    cdef Py_ssize_t away = 0
    while part.tags[slot]:
        away += 1
        slot += 1
        if slot == part.capacity:
            slot = 0
    part.entries[slot] = entry
    part.tags[slot] = <uint8_t>(tag_of(hash) | chances)
    part.count += 1
    return away


cdef bint resize(Part* part, uint32_t capacity) noexcept:
    """Gives a part another number of slots; whether there was memory for them."""
    cdef Part old = part[0]
    cdef uint32_t slot
    cdef char* memory = NULL
    if capacity:
        memory = <char*>PyMem_Malloc(capacity * (sizeof(Entry*) + 1))
        if memory is NULL:
            return False
        memset(memory, 0, capacity * (sizeof(Entry*) + 1))
    part.entries = <Entry**>memory
    part.tags = <uint8_t*>memory + capacity * sizeof(Entry*)
    part.capacity = capacity
    part.count = 0
    for slot in range(old.capacity):
        if old.tags[slot]:
            lay(part, old.entries[slot], old.tags[slot] & CHANCES)
    PyMem_Free(old.entries)
    return True


cdef uint32_t grown(uint32_t capacity) noexcept:
    return max(CAPACITY_MIN, capacity + capacity // 2)


cdef class RowTable:
    """Keys to one row each, with a clock over them."""

    def __cinit__(self):
        self.parts = <Part*>PyMem_Malloc(sizeof(Part))
        if self.parts is NULL:
            raise MemoryError()
        memset(self.parts, 0, sizeof(Part))
        self.parts_count = 1

    def __dealloc__(self):
        cdef Py_ssize_t number
        cdef uint32_t slot
        if self.parts is NULL:
            return
        for number in range(self.parts_count):
            for slot in range(self.parts[number].capacity):
                if self.parts[number].tags[slot]:
                    PyMem_Free(self.parts[number].entries[slot])
            PyMem_Free(self.parts[number].entries)
        PyMem_Free(self.parts)

    def __len__(self) -> int:
        return self.size

    cdef Part* part_of(self, bytes key) noexcept:
        """The part which has the key, or would have it."""
        if self.parts_count == 1 or PyBytes_GET_SIZE(key) <= TOKEN_BYTE:
            return self.parts
        return self.parts + <uint8_t>PyBytes_AS_STRING(key)[TOKEN_BYTE]

    cdef Entry* find(self, bytes key, bint is_read) noexcept:
        """The entry of a key, until the next change; NULL if there is none."""
        cdef Part* part
        cdef int64_t slot
        if self.size == 0:
            return NULL
        part = self.part_of(key)
        slot = slot_of(part, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
        if slot < 0:
            return NULL
        if is_read:
            part.tags[slot] = (part.tags[slot] & ~CHANCES) | READ
        return part.entries[slot]

    cdef Py_ssize_t put(self, bytes key, bytes clustering, bytes row, int chances) except -1:
        """Adds an entry for a key that has none; gives what it is charged, 0 if it is refused."""
        cdef Part* part
        cdef Entry* entry
        cdef Py_ssize_t away
        if len(key) > LENGTH_MAX or len(clustering) > LENGTH_MAX:
            return 0
        if self.parts_count == 1 and self.size >= SPLIT_AT:
            self.split()
        part = self.part_of(key)
        if (<uint64_t>part.count + 1) * 4 > <uint64_t>part.capacity * 3:
            if part is self.parts + self.hand_part:
                self.hand_slot += self.hand_slot // 2
            if not resize(part, grown(part.capacity)):
                raise MemoryError()
        entry = new_entry(key, clustering, row)
        away = lay(part, entry, chances)
        self.size += 1
        if away > PROBES_MAX:
            self.take(part, <uint32_t>slot_of(part, data_of(entry), entry.key_bytes))
            return 0
        return cost_of_entry(bytes_of(entry))

    cdef Py_ssize_t replace(self, bytes key, bytes row) except? -1:
        """Changes the row of a key that has an entry; gives by how much it is charged more."""
        cdef Part* part = self.part_of(key)
        cdef int64_t slot = slot_of(part, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
        cdef Entry* old
        cdef Entry* entry
        cdef Py_ssize_t growth
        assert slot >= 0, "what is replaced is there"
        old = part.entries[slot]
        if old.row_bytes == <uint32_t>len(row):
            memcpy(data_of(old) + old.key_bytes + old.clustering_bytes, PyBytes_AS_STRING(row),
                   old.row_bytes)
            return 0
        entry = new_entry(key, clustering_of(old), row)
        part.entries[slot] = entry
        growth = cost_of_entry(bytes_of(entry)) - cost_of_entry(bytes_of(old))
        PyMem_Free(old)
        return growth

    cdef Py_ssize_t remove(self, bytes key) except -1:
        """Takes the entry of a key out; gives what it was charged."""
        cdef Part* part = self.part_of(key)
        cdef int64_t slot = slot_of(part, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
        assert slot >= 0, "what is removed is there"
        return self.take(part, <uint32_t>slot)

    cdef Py_ssize_t step(self, bint spares) noexcept:
        """The hand comes by the next entry; gives what that was charged if it goes.

        0 if it is spared for its chances, of which it has one less now; -1 once all were passed.
        """
        cdef Part* part
        while self.hand_part < self.parts_count:
            part = self.parts + self.hand_part
            while self.hand_slot < part.capacity:
                if part.tags[self.hand_slot] == 0:
                    self.hand_slot += 1
                elif spares and part.tags[self.hand_slot] & CHANCES:
                    part.tags[self.hand_slot] -= 1
                    self.hand_slot += 1
                    return 0
                else:
                    return self.take(part, self.hand_slot)
            self.hand_slot = 0
            self.hand_part += 1
        self.hand_part = 0
        return -1

    cdef list hot(self, Py_ssize_t count_max, Py_ssize_t steps):
        """Some keys by which the hand came last, and whether each was read since; looks at so many
        slots at most.
        """
        cdef Py_ssize_t number = self.hand_part
        cdef int64_t slot = min(self.hand_slot, self.parts[number].capacity)
        cdef list found = []
        count_max = min(count_max, self.size)  # Once around the table.
        while steps > 0 and len(found) < count_max:
            steps -= 1
            slot -= 1
            if slot < 0:
                number = (number if number else self.parts_count) - 1
                slot = self.parts[number].capacity
            elif self.parts[number].tags[slot]:
                found.append((
                    key_of(self.parts[number].entries[slot]),
                    (self.parts[number].tags[slot] & CHANCES) >= READ,
                ))
        return found

    cdef Py_ssize_t take(self, Part* part, uint32_t slot) noexcept:
        """Frees an entry and closes its gap; gives what it was charged."""
        cdef Entry* entry = part.entries[slot]
        cdef Py_ssize_t cost = cost_of_entry(bytes_of(entry))
        cdef uint32_t next = slot, place
        PyMem_Free(entry)
        while True:
            next = next + 1 if next + 1 < part.capacity else 0
            if part.tags[next] == 0:
                break
            place = place_of(hash_of_entry(part.entries[next]), part.capacity)
            # What belongs behind the gap, up to where it lies, stays.
            if (slot < place <= next) if slot < next else (slot < place or place <= next):
                continue
            part.entries[slot] = part.entries[next]
            part.tags[slot] = part.tags[next]
            slot = next
        part.tags[slot] = 0
        part.count -= 1
        self.size -= 1
        if part.count == 0:
            resize(part, 0)
        # Slots stay until a part is empty: what the hand leaves lies side by side, and would be
        # a heap in fewer of them.
        return cost

    cdef int split(self) except -1:
        """Makes many parts of the one."""
        cdef Part old = self.parts[0]
        cdef Part* parts = <Part*>PyMem_Malloc(PARTS * sizeof(Part))
        cdef uint32_t[PARTS] counts
        cdef uint32_t slot
        cdef int number, made
        if parts is NULL:
            raise MemoryError()
        memset(parts, 0, PARTS * sizeof(Part))
        memset(counts, 0, sizeof(counts))
        for slot in range(old.capacity):
            if old.tags[slot]:
                counts[number_of(old.entries[slot])] += 1
        for number in range(PARTS):
            if counts[number] and not resize(parts + number, CAPACITY_MIN + 2 * counts[number]):
                for made in range(number):
                    PyMem_Free(parts[made].entries)
                PyMem_Free(parts)
                raise MemoryError()
        for slot in range(old.capacity):
            if old.tags[slot]:
                number = number_of(old.entries[slot])
                lay(parts + number, old.entries[slot], old.tags[slot] & CHANCES)
        PyMem_Free(old.entries)
        PyMem_Free(self.parts)
        self.parts = parts
        self.parts_count = PARTS
        self.hand_part = self.hand_slot = 0
        return 0

    # ---- the Python face, for tests -------------------------------------------------------------

    def get(self, bytes key not None) -> tuple[bytes, bytes] | None:
        """Clustering and row of a key; it was read."""
        cdef Entry* entry = self.find(key, True)
        return None if entry is NULL else (clustering_of(entry), row_of(entry))

    def add(self, bytes key not None, bytes clustering not None, bytes row not None) -> int:
        """See `put`."""
        return self.put(key, clustering, row, NEW)

    def change(self, bytes key not None, bytes row not None) -> int:
        """See `replace`."""
        return self.replace(key, row)

    def pop(self, bytes key not None) -> int:
        """See `remove`."""
        return self.remove(key)

    def evict(self, bint spares) -> int:
        """See `step`."""
        return self.step(spares)

    def keys(self):
        """All keys, in the order in which the hand comes by."""
        cdef Part* part
        found = []
        for number in range(self.parts_count):
            part = self.parts + <Py_ssize_t>number
            for slot in range(part.capacity):
                if part.tags[<uint32_t>slot]:
                    found.append(key_of(part.entries[<uint32_t>slot]))
        return iter(found)

    def count_bytes(self) -> int:
        """What all entries are charged."""
        total = 0
        for key in self.keys():
            total += cost_of_entry(bytes_of(self.find(key, False)))
        return total

    def check(self) -> None:
        """Asserts the invariants; slow."""
        cdef Part* part
        cdef Entry* entry
        cdef int64_t slot
        assert self.size == len(set(self.keys())), "each key has one entry"
        for number in range(self.parts_count):
            part = self.parts + <Py_ssize_t>number
            assert part.count <= part.capacity * 3 // 4, "some slots are free"
        for key in self.keys():
            part = self.part_of(key)
            slot = slot_of(part, PyBytes_AS_STRING(key), len(key))
            assert slot >= 0, "an entry is found by its key"
            entry = part.entries[slot]
            assert (part.tags[slot] & ~CHANCES) == tag_of(hash_of_entry(entry)), "tagged"
