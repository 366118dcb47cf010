"""The columns of every system table, one paragraph per table.

A table is `name: column; column; ...`, a column `name type`, with `*` after the name of a component
of the partition key and `^` after a clustering column, each in key order. Driver and tool authors
read these tables by name: names, types and keys are those of Cassandra 5.0; the tables whose name
begins with `scylla_`, `computed_columns` and `versions` are those that drivers of ScyllaDB read;
`system_views.stalls` and `table_caches` are ours.
"""

from __future__ import annotations

from typing import Final

DEFINITIONS: Final[dict[str, str]] = {
    "system": """
IndexInfo: table_name* text; index_name^ text; value blob
available_ranges: keyspace_name* text; ranges set<blob>
available_ranges_v2: keyspace_name* text; full_ranges set<blob>; transient_ranges set<blob>
batches: id* timeuuid; mutations list<blob>; version int
built_views: keyspace_name* text; view_name^ text; status_replicated boolean
compaction_history: id* timeuuid; bytes_in bigint; bytes_out bigint; columnfamily_name text;
    compacted_at timestamp; compaction_properties frozen<map<text, text>>; keyspace_name text;
    rows_merged map<int, bigint>
local: key* text; bootstrapped text; broadcast_address inet; broadcast_port int; cluster_name
    text; cql_version text; data_center text; gossip_generation int; host_id uuid;
    listen_address inet; listen_port int; native_protocol_version text; partitioner text; rack
    text; release_version text; rpc_address inet; rpc_port int; schema_version uuid; tokens
    set<text>; truncated_at map<uuid, blob>
paxos: row_key* blob; cf_id^ uuid; in_progress_ballot timeuuid; in_progress_read_ballot
    timeuuid; most_recent_commit blob; most_recent_commit_at timeuuid;
    most_recent_commit_version int; proposal blob; proposal_ballot timeuuid; proposal_version
    int
paxos_repair_history: keyspace_name* text; table_name^ text; points
    frozen<list<frozen<tuple<blob, timeuuid>>>>
peer_events: peer* inet; hints_dropped map<timeuuid, int>
peer_events_v2: peer* inet; peer_port^ int; hints_dropped map<timeuuid, int>
peers: peer* inet; data_center text; host_id uuid; preferred_ip inet; rack text; release_version
    text; rpc_address inet; schema_version uuid; tokens set<text>
peers_v2: peer* inet; peer_port^ int; data_center text; host_id uuid; native_address inet;
    native_port int; preferred_ip inet; preferred_port int; rack text; release_version text;
    schema_version uuid; tokens set<text>
prepared_statements: prepared_id* blob; logged_keyspace text; query_string text
repairs: parent_id* timeuuid; cfids set<uuid>; coordinator inet; coordinator_port int;
    last_update timestamp; participants set<inet>; participants_wp set<text>; ranges set<blob>;
    repaired_at timestamp; started_at timestamp; state int
size_estimates: keyspace_name* text; table_name^ text; range_start^ text; range_end^ text;
    mean_partition_size bigint; partitions_count bigint
sstable_activity: keyspace_name* text; columnfamily_name* text; generation* int; rate_120m
    double; rate_15m double
sstable_activity_v2: keyspace_name* text; table_name* text; id* text; rate_120m double; rate_15m
    double
table_estimates: keyspace_name* text; table_name^ text; range_type^ text; range_start^ text;
    range_end^ text; mean_partition_size bigint; partitions_count bigint
top_partitions: keyspace_name* text; table_name^ text; top_type^ text; last_update timestamp;
    top frozen<list<frozen<tuple<text, bigint>>>>
transferred_ranges: operation* text; keyspace_name* text; peer^ inet; ranges set<blob>
transferred_ranges_v2: operation* text; keyspace_name* text; peer^ inet; peer_port^ int; ranges
    set<blob>
versions: key* text; build_id text; build_mode text; version text
view_builds_in_progress: keyspace_name* text; view_name^ text; start_token^ text; end_token^
    text; keys_built bigint; last_token text
""",
    "system_auth": """
cidr_groups: cidr_group* text; cidrs frozen<set<frozen<tuple<inet, smallint>>>>
cidr_permissions: role* text; cidr_groups frozen<set<text>>
identity_to_role: identity* text; role text
network_permissions: role* text; dcs frozen<set<text>>
resource_role_permissons_index: resource* text; role^ text
role_members: role* text; member^ text
role_permissions: role* text; resource^ text; permissions set<text>
roles: role* text; can_login boolean; is_superuser boolean; member_of set<text>; salted_hash
    text
""",
    "system_distributed": """
parent_repair_history: parent_id* timeuuid; columnfamily_names set<text>; exception_message
    text; exception_stacktrace text; finished_at timestamp; keyspace_name text; options
    map<text, text>; requested_ranges set<text>; started_at timestamp; successful_ranges
    set<text>
partition_denylist: ks_name* text; table_name* text; key^ blob
repair_history: keyspace_name* text; columnfamily_name* text; id^ timeuuid; coordinator inet;
    coordinator_port int; exception_message text; exception_stacktrace text; finished_at
    timestamp; parent_id timeuuid; participants set<inet>; participants_v2 set<text>;
    range_begin text; range_end text; started_at timestamp; status text
view_build_status: keyspace_name* text; view_name* text; host_id^ uuid; status text
""",
    "system_schema": """
aggregates: keyspace_name* text; aggregate_name^ text; argument_types^ frozen<list<text>>;
    final_func text; initcond text; return_type text; state_func text; state_type text
column_masks: keyspace_name* text; table_name^ text; column_name^ text; function_argument_nulls
    frozen<list<boolean>>; function_argument_types frozen<list<text>>; function_argument_values
    frozen<list<text>>; function_keyspace text; function_name text
columns: keyspace_name* text; table_name^ text; column_name^ text; clustering_order text;
    column_name_bytes blob; kind text; position int; type text
computed_columns: keyspace_name* text; table_name^ text; column_name^ text; computation blob
dropped_columns: keyspace_name* text; table_name^ text; column_name^ text; dropped_time
    timestamp; kind text; type text
functions: keyspace_name* text; function_name^ text; argument_types^ frozen<list<text>>;
    argument_names frozen<list<text>>; body text; called_on_null_input boolean; language text;
    return_type text
indexes: keyspace_name* text; table_name^ text; index_name^ text; kind text; options
    frozen<map<text, text>>
keyspaces: keyspace_name* text; durable_writes boolean; replication frozen<map<text, text>>
scylla_aggregates: keyspace_name* text; aggregate_name^ text; argument_types^
    frozen<list<text>>; reduce_func text; state_type text
scylla_keyspaces: keyspace_name* text; initial_tablets int; storage_options frozen<map<text,
    text>>; storage_type text
scylla_tables: keyspace_name* text; table_name^ text; cdc frozen<map<text, text>>; in_memory
    boolean; partitioner text; per_partition_rate_limit frozen<map<text, text>>; version uuid
tables: keyspace_name* text; table_name^ text; additional_write_policy text; allow_auto_snapshot
    boolean; bloom_filter_fp_chance double; caching frozen<map<text, text>>; cdc boolean;
    comment text; compaction frozen<map<text, text>>; compression frozen<map<text, text>>;
    crc_check_chance double; dclocal_read_repair_chance double; default_time_to_live int;
    extensions frozen<map<text, blob>>; flags frozen<set<text>>; gc_grace_seconds int; id uuid;
    incremental_backups boolean; max_index_interval int; memtable text;
    memtable_flush_period_in_ms int; min_index_interval int; read_repair text;
    read_repair_chance double; speculative_retry text
triggers: keyspace_name* text; table_name^ text; trigger_name^ text; options frozen<map<text,
    text>>
types: keyspace_name* text; type_name^ text; field_names frozen<list<text>>; field_types
    frozen<list<text>>
views: keyspace_name* text; view_name^ text; additional_write_policy text; allow_auto_snapshot
    boolean; base_table_id uuid; base_table_name text; bloom_filter_fp_chance double; caching
    frozen<map<text, text>>; cdc boolean; comment text; compaction frozen<map<text, text>>;
    compression frozen<map<text, text>>; crc_check_chance double; dclocal_read_repair_chance
    double; default_time_to_live int; extensions frozen<map<text, blob>>; gc_grace_seconds int;
    id uuid; include_all_columns boolean; incremental_backups boolean; max_index_interval int;
    memtable text; memtable_flush_period_in_ms int; min_index_interval int; read_repair text;
    read_repair_chance double; speculative_retry text; where_clause text
""",
    "system_traces": """
events: session_id* uuid; event_id^ timeuuid; activity text; source inet; source_elapsed int;
    source_port int; thread text
sessions: session_id* uuid; client inet; command text; coordinator inet; coordinator_port int;
    duration int; parameters map<text, text>; request text; started_at timestamp
""",
    "system_views": """
caches: name* text; capacity_bytes bigint; entry_count int; hit_count bigint; hit_ratio double;
    recent_hit_rate_per_second bigint; recent_request_rate_per_second bigint; request_count
    bigint; size_bytes bigint
clients: address* inet; port^ int; client_options frozen<map<text, text>>; connection_stage
    text; driver_name text; driver_version text; hostname text; keyspace_name text;
    protocol_version int; request_count bigint; ssl_cipher_suite text; ssl_enabled boolean;
    ssl_protocol text; username text
disk_usage: keyspace_name* text; table_name* text; mebibytes bigint
queries: thread_id* text; queued_micros bigint; running_micros bigint; task text
settings: name* text; value text
snapshots: name* text; keyspace_name^ text; table_name^ text; created_at timestamp; ephemeral
    boolean; expires_at timestamp; size_on_disk bigint; true_size bigint
sstable_tasks: keyspace_name* text; table_name^ text; task_id^ timeuuid; completion_ratio
    double; kind text; progress bigint; sstables int; target_directory text; total bigint;
    total_compressed bigint; unit text
stalls: shard* int; clock^ text; longest_ms double; longest_turn text; total_ms double; turns bigint
system_properties: name* text; value text
table_caches: keyspace_name* text; table_name^ text; row_hit_count bigint; row_hit_ratio double;
    row_partition_count bigint; row_request_count bigint
thread_pools: name* text; active_tasks int; active_tasks_limit int; blocked_tasks bigint;
    blocked_tasks_all_time bigint; completed_tasks bigint; pending_tasks int
""",
    "system_virtual_schema": """
columns: keyspace_name* text; table_name^ text; column_name^ text; clustering_order text;
    column_name_bytes blob; kind text; position int; type text
keyspaces: keyspace_name* text
tables: keyspace_name* text; table_name^ text; comment text
""",
}
