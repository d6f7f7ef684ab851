# mypy: ignore-errors
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AddBlockRequest(_message.Message):
    __slots__ = ["client_address", "commit_blocks", "exclude_workers", "file_len", "inode_id", "last_block", "located", "path"]
    CLIENT_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    COMMIT_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_WORKERS_FIELD_NUMBER: _ClassVar[int]
    FILE_LEN_FIELD_NUMBER: _ClassVar[int]
    INODE_ID_FIELD_NUMBER: _ClassVar[int]
    LAST_BLOCK_FIELD_NUMBER: _ClassVar[int]
    LOCATED_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    client_address: ClientAddressProto
    commit_blocks: _containers.RepeatedCompositeFieldContainer[CommitBlockProto]
    exclude_workers: _containers.RepeatedScalarFieldContainer[int]
    file_len: int
    inode_id: int
    last_block: ExtendedBlockProto
    located: bool
    path: str
    def __init__(self, path: _Optional[str] = ..., commit_blocks: _Optional[_Iterable[_Union[CommitBlockProto, _Mapping]]] = ..., exclude_workers: _Optional[_Iterable[int]] = ..., located: bool = ..., client_address: _Optional[_Union[ClientAddressProto, _Mapping]] = ..., file_len: _Optional[int] = ..., last_block: _Optional[_Union[ExtendedBlockProto, _Mapping]] = ..., inode_id: _Optional[int] = ...) -> None: ...

class AssignWorkerRequest(_message.Message):
    __slots__ = ["block", "client_address", "exclude_workers", "path"]
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_WORKERS_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    block: ExtendedBlockProto
    client_address: ClientAddressProto
    exclude_workers: _containers.RepeatedScalarFieldContainer[int]
    path: str
    def __init__(self, path: _Optional[str] = ..., block: _Optional[_Union[ExtendedBlockProto, _Mapping]] = ..., exclude_workers: _Optional[_Iterable[int]] = ..., client_address: _Optional[_Union[ClientAddressProto, _Mapping]] = ...) -> None: ...

class AssignWorkerResponse(_message.Message):
    __slots__ = ["block"]
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    block: LocatedBlockProto
    def __init__(self, block: _Optional[_Union[LocatedBlockProto, _Mapping]] = ...) -> None: ...

class BlockLocationProto(_message.Message):
    __slots__ = ["storage_type", "worker_id"]
    STORAGE_TYPE_FIELD_NUMBER: _ClassVar[int]
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    storage_type: int
    worker_id: int
    def __init__(self, worker_id: _Optional[int] = ..., storage_type: _Optional[int] = ...) -> None: ...

class BlockReadRequest(_message.Message):
    __slots__ = ["chunk_size", "component_info", "drop_cache_len", "enable_read_ahead", "id", "len", "off", "read_ahead_len", "short_circuit"]
    CHUNK_SIZE_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_INFO_FIELD_NUMBER: _ClassVar[int]
    DROP_CACHE_LEN_FIELD_NUMBER: _ClassVar[int]
    ENABLE_READ_AHEAD_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    LEN_FIELD_NUMBER: _ClassVar[int]
    OFF_FIELD_NUMBER: _ClassVar[int]
    READ_AHEAD_LEN_FIELD_NUMBER: _ClassVar[int]
    SHORT_CIRCUIT_FIELD_NUMBER: _ClassVar[int]
    chunk_size: int
    component_info: ComponentInfoProto
    drop_cache_len: int
    enable_read_ahead: bool
    id: int
    len: int
    off: int
    read_ahead_len: int
    short_circuit: bool
    def __init__(self, id: _Optional[int] = ..., off: _Optional[int] = ..., len: _Optional[int] = ..., chunk_size: _Optional[int] = ..., short_circuit: bool = ..., enable_read_ahead: bool = ..., read_ahead_len: _Optional[int] = ..., drop_cache_len: _Optional[int] = ..., component_info: _Optional[_Union[ComponentInfoProto, _Mapping]] = ...) -> None: ...

class BlockReadResponse(_message.Message):
    __slots__ = ["id", "len", "path", "storage_type"]
    ID_FIELD_NUMBER: _ClassVar[int]
    LEN_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    STORAGE_TYPE_FIELD_NUMBER: _ClassVar[int]
    id: int
    len: int
    path: str
    storage_type: int
    def __init__(self, id: _Optional[int] = ..., len: _Optional[int] = ..., path: _Optional[str] = ..., storage_type: _Optional[int] = ...) -> None: ...

class BlockWriteRequest(_message.Message):
    __slots__ = ["block", "block_size", "chunk_size", "client_name", "component_info", "off", "pipeline_stream", "short_circuit"]
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    BLOCK_SIZE_FIELD_NUMBER: _ClassVar[int]
    CHUNK_SIZE_FIELD_NUMBER: _ClassVar[int]
    CLIENT_NAME_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_INFO_FIELD_NUMBER: _ClassVar[int]
    OFF_FIELD_NUMBER: _ClassVar[int]
    PIPELINE_STREAM_FIELD_NUMBER: _ClassVar[int]
    SHORT_CIRCUIT_FIELD_NUMBER: _ClassVar[int]
    block: ExtendedBlockProto
    block_size: int
    chunk_size: int
    client_name: str
    component_info: ComponentInfoProto
    off: int
    pipeline_stream: _containers.RepeatedCompositeFieldContainer[WorkerAddressProto]
    short_circuit: bool
    def __init__(self, block: _Optional[_Union[ExtendedBlockProto, _Mapping]] = ..., off: _Optional[int] = ..., block_size: _Optional[int] = ..., short_circuit: bool = ..., client_name: _Optional[str] = ..., chunk_size: _Optional[int] = ..., pipeline_stream: _Optional[_Iterable[_Union[WorkerAddressProto, _Mapping]]] = ..., component_info: _Optional[_Union[ComponentInfoProto, _Mapping]] = ...) -> None: ...

class BlockWriteResponse(_message.Message):
    __slots__ = ["block_size", "id", "off", "path", "storage_type"]
    BLOCK_SIZE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    OFF_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    STORAGE_TYPE_FIELD_NUMBER: _ClassVar[int]
    block_size: int
    id: int
    off: int
    path: str
    storage_type: int
    def __init__(self, id: _Optional[int] = ..., path: _Optional[str] = ..., off: _Optional[int] = ..., block_size: _Optional[int] = ..., storage_type: _Optional[int] = ...) -> None: ...

class ClientAddressProto(_message.Message):
    __slots__ = ["client_name", "hostname", "ip_addr", "port"]
    CLIENT_NAME_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    IP_ADDR_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    client_name: str
    hostname: str
    ip_addr: str
    port: int
    def __init__(self, client_name: _Optional[str] = ..., hostname: _Optional[str] = ..., ip_addr: _Optional[str] = ..., port: _Optional[int] = ...) -> None: ...

class CommitBlockProto(_message.Message):
    __slots__ = ["block_id", "block_len", "locations"]
    BLOCK_ID_FIELD_NUMBER: _ClassVar[int]
    BLOCK_LEN_FIELD_NUMBER: _ClassVar[int]
    LOCATIONS_FIELD_NUMBER: _ClassVar[int]
    block_id: int
    block_len: int
    locations: _containers.RepeatedCompositeFieldContainer[BlockLocationProto]
    def __init__(self, block_id: _Optional[int] = ..., block_len: _Optional[int] = ..., locations: _Optional[_Iterable[_Union[BlockLocationProto, _Mapping]]] = ...) -> None: ...

class CompleteFileRequest(_message.Message):
    __slots__ = ["client_name", "commit_blocks", "inode_id", "len", "only_flush", "path", "return_file_blocks", "set_attr_opts"]
    CLIENT_NAME_FIELD_NUMBER: _ClassVar[int]
    COMMIT_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    INODE_ID_FIELD_NUMBER: _ClassVar[int]
    LEN_FIELD_NUMBER: _ClassVar[int]
    ONLY_FLUSH_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    RETURN_FILE_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    SET_ATTR_OPTS_FIELD_NUMBER: _ClassVar[int]
    client_name: str
    commit_blocks: _containers.RepeatedCompositeFieldContainer[CommitBlockProto]
    inode_id: int
    len: int
    only_flush: bool
    path: str
    return_file_blocks: bool
    set_attr_opts: SetAttrOptsProto
    def __init__(self, path: _Optional[str] = ..., len: _Optional[int] = ..., client_name: _Optional[str] = ..., commit_blocks: _Optional[_Iterable[_Union[CommitBlockProto, _Mapping]]] = ..., only_flush: bool = ..., inode_id: _Optional[int] = ..., set_attr_opts: _Optional[_Union[SetAttrOptsProto, _Mapping]] = ..., return_file_blocks: bool = ...) -> None: ...

class CompleteFileResponse(_message.Message):
    __slots__ = ["file_blocks", "result"]
    FILE_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    file_blocks: FileBlocksProto
    result: bool
    def __init__(self, result: bool = ..., file_blocks: _Optional[_Union[FileBlocksProto, _Mapping]] = ...) -> None: ...

class ComponentInfoProto(_message.Message):
    __slots__ = ["capabilities", "component", "git_branch", "git_commit", "git_tag", "min_protocol_version", "protocol_version", "release_version"]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_FIELD_NUMBER: _ClassVar[int]
    GIT_BRANCH_FIELD_NUMBER: _ClassVar[int]
    GIT_COMMIT_FIELD_NUMBER: _ClassVar[int]
    GIT_TAG_FIELD_NUMBER: _ClassVar[int]
    MIN_PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    RELEASE_VERSION_FIELD_NUMBER: _ClassVar[int]
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    component: str
    git_branch: str
    git_commit: str
    git_tag: str
    min_protocol_version: int
    protocol_version: int
    release_version: str
    def __init__(self, component: _Optional[str] = ..., release_version: _Optional[str] = ..., git_commit: _Optional[str] = ..., git_tag: _Optional[str] = ..., git_branch: _Optional[str] = ..., protocol_version: _Optional[int] = ..., min_protocol_version: _Optional[int] = ..., capabilities: _Optional[_Iterable[str]] = ...) -> None: ...

class CreateFileOptsProto(_message.Message):
    __slots__ = ["block_size", "client_name", "create_flag", "create_parent", "file_type", "group", "mode", "owner", "replicas", "storage_policy", "sync_ufs_meta", "ufs_len", "x_attr"]
    class XAttrEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    BLOCK_SIZE_FIELD_NUMBER: _ClassVar[int]
    CLIENT_NAME_FIELD_NUMBER: _ClassVar[int]
    CREATE_FLAG_FIELD_NUMBER: _ClassVar[int]
    CREATE_PARENT_FIELD_NUMBER: _ClassVar[int]
    FILE_TYPE_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    STORAGE_POLICY_FIELD_NUMBER: _ClassVar[int]
    SYNC_UFS_META_FIELD_NUMBER: _ClassVar[int]
    UFS_LEN_FIELD_NUMBER: _ClassVar[int]
    X_ATTR_FIELD_NUMBER: _ClassVar[int]
    block_size: int
    client_name: str
    create_flag: int
    create_parent: bool
    file_type: int
    group: str
    mode: int
    owner: str
    replicas: int
    storage_policy: StoragePolicyProto
    sync_ufs_meta: bool
    ufs_len: int
    x_attr: _containers.ScalarMap[str, bytes]
    def __init__(self, create_flag: _Optional[int] = ..., create_parent: bool = ..., file_type: _Optional[int] = ..., replicas: _Optional[int] = ..., block_size: _Optional[int] = ..., x_attr: _Optional[_Mapping[str, bytes]] = ..., storage_policy: _Optional[_Union[StoragePolicyProto, _Mapping]] = ..., client_name: _Optional[str] = ..., mode: _Optional[int] = ..., owner: _Optional[str] = ..., group: _Optional[str] = ..., sync_ufs_meta: bool = ..., ufs_len: _Optional[int] = ...) -> None: ...

class CreateFileRequest(_message.Message):
    __slots__ = ["flags", "opts", "path"]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    OPTS_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    flags: int
    opts: CreateFileOptsProto
    path: str
    def __init__(self, path: _Optional[str] = ..., opts: _Optional[_Union[CreateFileOptsProto, _Mapping]] = ..., flags: _Optional[int] = ...) -> None: ...

class CreateFileResponse(_message.Message):
    __slots__ = ["file_status"]
    FILE_STATUS_FIELD_NUMBER: _ClassVar[int]
    file_status: FileStatusProto
    def __init__(self, file_status: _Optional[_Union[FileStatusProto, _Mapping]] = ...) -> None: ...

class DataHeaderProto(_message.Message):
    __slots__ = ["flush", "is_last", "offset"]
    FLUSH_FIELD_NUMBER: _ClassVar[int]
    IS_LAST_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    flush: bool
    is_last: bool
    offset: int
    def __init__(self, offset: _Optional[int] = ..., flush: bool = ..., is_last: bool = ...) -> None: ...

class DeleteRequest(_message.Message):
    __slots__ = ["path", "recursive"]
    PATH_FIELD_NUMBER: _ClassVar[int]
    RECURSIVE_FIELD_NUMBER: _ClassVar[int]
    path: str
    recursive: bool
    def __init__(self, path: _Optional[str] = ..., recursive: bool = ...) -> None: ...

class DeleteResponse(_message.Message):
    __slots__ = ["res"]
    RES_FIELD_NUMBER: _ClassVar[int]
    res: FreeResultProto
    def __init__(self, res: _Optional[_Union[FreeResultProto, _Mapping]] = ...) -> None: ...

class ExistsRequest(_message.Message):
    __slots__ = ["path"]
    PATH_FIELD_NUMBER: _ClassVar[int]
    path: str
    def __init__(self, path: _Optional[str] = ...) -> None: ...

class ExistsResponse(_message.Message):
    __slots__ = ["exists"]
    EXISTS_FIELD_NUMBER: _ClassVar[int]
    exists: bool
    def __init__(self, exists: bool = ...) -> None: ...

class ExtendedBlockProto(_message.Message):
    __slots__ = ["alloc_opts", "block_size", "file_type", "id", "storage_type"]
    ALLOC_OPTS_FIELD_NUMBER: _ClassVar[int]
    BLOCK_SIZE_FIELD_NUMBER: _ClassVar[int]
    FILE_TYPE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    STORAGE_TYPE_FIELD_NUMBER: _ClassVar[int]
    alloc_opts: FileAllocOptsProto
    block_size: int
    file_type: int
    id: int
    storage_type: int
    def __init__(self, id: _Optional[int] = ..., block_size: _Optional[int] = ..., storage_type: _Optional[int] = ..., file_type: _Optional[int] = ..., alloc_opts: _Optional[_Union[FileAllocOptsProto, _Mapping]] = ...) -> None: ...

class FileAllocOptsProto(_message.Message):
    __slots__ = ["len", "mode", "off", "truncate"]
    LEN_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    OFF_FIELD_NUMBER: _ClassVar[int]
    TRUNCATE_FIELD_NUMBER: _ClassVar[int]
    len: int
    mode: int
    off: int
    truncate: bool
    def __init__(self, truncate: bool = ..., off: _Optional[int] = ..., len: _Optional[int] = ..., mode: _Optional[int] = ...) -> None: ...

class FileBlocksProto(_message.Message):
    __slots__ = ["block_locs", "status"]
    BLOCK_LOCS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    block_locs: _containers.RepeatedCompositeFieldContainer[LocatedBlockProto]
    status: FileStatusProto
    def __init__(self, status: _Optional[_Union[FileStatusProto, _Mapping]] = ..., block_locs: _Optional[_Iterable[_Union[LocatedBlockProto, _Mapping]]] = ...) -> None: ...

class FileLockProto(_message.Message):
    __slots__ = ["acquire_time", "client_id", "end", "lock_flags", "lock_type", "owner_id", "pid", "start"]
    ACQUIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    LOCK_FLAGS_FIELD_NUMBER: _ClassVar[int]
    LOCK_TYPE_FIELD_NUMBER: _ClassVar[int]
    OWNER_ID_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    acquire_time: int
    client_id: str
    end: int
    lock_flags: int
    lock_type: int
    owner_id: int
    pid: int
    start: int
    def __init__(self, client_id: _Optional[str] = ..., owner_id: _Optional[int] = ..., pid: _Optional[int] = ..., acquire_time: _Optional[int] = ..., lock_type: _Optional[int] = ..., lock_flags: _Optional[int] = ..., start: _Optional[int] = ..., end: _Optional[int] = ...) -> None: ...

class FileResizeRequest(_message.Message):
    __slots__ = ["opts", "path"]
    OPTS_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    opts: FileAllocOptsProto
    path: str
    def __init__(self, path: _Optional[str] = ..., opts: _Optional[_Union[FileAllocOptsProto, _Mapping]] = ...) -> None: ...

class FileResizeResponse(_message.Message):
    __slots__ = ["file_blocks"]
    FILE_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    file_blocks: FileBlocksProto
    def __init__(self, file_blocks: _Optional[_Union[FileBlocksProto, _Mapping]] = ...) -> None: ...

class FileStatusProto(_message.Message):
    __slots__ = ["atime", "block_size", "children_num", "ctime", "file_type", "group", "id", "is_complete", "is_dir", "len", "mode", "mtime", "name", "nlink", "owner", "path", "replicas", "storage_policy", "target", "x_attr"]
    class XAttrEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    ATIME_FIELD_NUMBER: _ClassVar[int]
    BLOCK_SIZE_FIELD_NUMBER: _ClassVar[int]
    CHILDREN_NUM_FIELD_NUMBER: _ClassVar[int]
    CTIME_FIELD_NUMBER: _ClassVar[int]
    FILE_TYPE_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    IS_COMPLETE_FIELD_NUMBER: _ClassVar[int]
    IS_DIR_FIELD_NUMBER: _ClassVar[int]
    LEN_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    MTIME_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    NLINK_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    STORAGE_POLICY_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    X_ATTR_FIELD_NUMBER: _ClassVar[int]
    atime: int
    block_size: int
    children_num: int
    ctime: int
    file_type: int
    group: str
    id: int
    is_complete: bool
    is_dir: bool
    len: int
    mode: int
    mtime: int
    name: str
    nlink: int
    owner: str
    path: str
    replicas: int
    storage_policy: StoragePolicyProto
    target: str
    x_attr: _containers.ScalarMap[str, bytes]
    def __init__(self, id: _Optional[int] = ..., path: _Optional[str] = ..., name: _Optional[str] = ..., is_dir: bool = ..., mtime: _Optional[int] = ..., atime: _Optional[int] = ..., children_num: _Optional[int] = ..., is_complete: bool = ..., len: _Optional[int] = ..., replicas: _Optional[int] = ..., block_size: _Optional[int] = ..., file_type: _Optional[int] = ..., x_attr: _Optional[_Mapping[str, bytes]] = ..., storage_policy: _Optional[_Union[StoragePolicyProto, _Mapping]] = ..., owner: _Optional[str] = ..., group: _Optional[str] = ..., mode: _Optional[int] = ..., target: _Optional[str] = ..., nlink: _Optional[int] = ..., ctime: _Optional[int] = ...) -> None: ...

class FreeResultProto(_message.Message):
    __slots__ = ["bytes", "inodes"]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    INODES_FIELD_NUMBER: _ClassVar[int]
    bytes: int
    inodes: int
    def __init__(self, inodes: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class GetBlockLocationsRequest(_message.Message):
    __slots__ = ["path"]
    PATH_FIELD_NUMBER: _ClassVar[int]
    path: str
    def __init__(self, path: _Optional[str] = ...) -> None: ...

class GetBlockLocationsResponse(_message.Message):
    __slots__ = ["blocks"]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    blocks: FileBlocksProto
    def __init__(self, blocks: _Optional[_Union[FileBlocksProto, _Mapping]] = ...) -> None: ...

class GetFileStatusRequest(_message.Message):
    __slots__ = ["path"]
    PATH_FIELD_NUMBER: _ClassVar[int]
    path: str
    def __init__(self, path: _Optional[str] = ...) -> None: ...

class GetFileStatusResponse(_message.Message):
    __slots__ = ["status"]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: FileStatusProto
    def __init__(self, status: _Optional[_Union[FileStatusProto, _Mapping]] = ...) -> None: ...

class GetFilesystemInfoRequest(_message.Message):
    __slots__ = ["component_info"]
    COMPONENT_INFO_FIELD_NUMBER: _ClassVar[int]
    component_info: ComponentInfoProto
    def __init__(self, component_info: _Optional[_Union[ComponentInfoProto, _Mapping]] = ...) -> None: ...

class GetFilesystemInfoResponse(_message.Message):
    __slots__ = ["active_master", "allocatable_available", "allocatable_capacity", "available", "blacklist_workers", "block_num", "capacity", "compatibility", "decommission_workers", "fs_used", "inode_dir_num", "inode_file_num", "journal_nodes", "live_workers", "lost_workers", "non_fs_used", "reserved_bytes"]
    ACTIVE_MASTER_FIELD_NUMBER: _ClassVar[int]
    ALLOCATABLE_AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    ALLOCATABLE_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    BLACKLIST_WORKERS_FIELD_NUMBER: _ClassVar[int]
    BLOCK_NUM_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    COMPATIBILITY_FIELD_NUMBER: _ClassVar[int]
    DECOMMISSION_WORKERS_FIELD_NUMBER: _ClassVar[int]
    FS_USED_FIELD_NUMBER: _ClassVar[int]
    INODE_DIR_NUM_FIELD_NUMBER: _ClassVar[int]
    INODE_FILE_NUM_FIELD_NUMBER: _ClassVar[int]
    JOURNAL_NODES_FIELD_NUMBER: _ClassVar[int]
    LIVE_WORKERS_FIELD_NUMBER: _ClassVar[int]
    LOST_WORKERS_FIELD_NUMBER: _ClassVar[int]
    NON_FS_USED_FIELD_NUMBER: _ClassVar[int]
    RESERVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    active_master: str
    allocatable_available: int
    allocatable_capacity: int
    available: int
    blacklist_workers: _containers.RepeatedCompositeFieldContainer[WorkerInfoProto]
    block_num: int
    capacity: int
    compatibility: ServerCompatibilityInfoProto
    decommission_workers: _containers.RepeatedCompositeFieldContainer[WorkerInfoProto]
    fs_used: int
    inode_dir_num: int
    inode_file_num: int
    journal_nodes: _containers.RepeatedScalarFieldContainer[str]
    live_workers: _containers.RepeatedCompositeFieldContainer[WorkerInfoProto]
    lost_workers: _containers.RepeatedCompositeFieldContainer[WorkerInfoProto]
    non_fs_used: int
    reserved_bytes: int
    def __init__(self, active_master: _Optional[str] = ..., journal_nodes: _Optional[_Iterable[str]] = ..., inode_dir_num: _Optional[int] = ..., inode_file_num: _Optional[int] = ..., block_num: _Optional[int] = ..., capacity: _Optional[int] = ..., available: _Optional[int] = ..., fs_used: _Optional[int] = ..., non_fs_used: _Optional[int] = ..., reserved_bytes: _Optional[int] = ..., live_workers: _Optional[_Iterable[_Union[WorkerInfoProto, _Mapping]]] = ..., blacklist_workers: _Optional[_Iterable[_Union[WorkerInfoProto, _Mapping]]] = ..., decommission_workers: _Optional[_Iterable[_Union[WorkerInfoProto, _Mapping]]] = ..., lost_workers: _Optional[_Iterable[_Union[WorkerInfoProto, _Mapping]]] = ..., allocatable_capacity: _Optional[int] = ..., allocatable_available: _Optional[int] = ..., compatibility: _Optional[_Union[ServerCompatibilityInfoProto, _Mapping]] = ...) -> None: ...

class GetLockRequest(_message.Message):
    __slots__ = ["lock", "path"]
    LOCK_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    lock: FileLockProto
    path: str
    def __init__(self, path: _Optional[str] = ..., lock: _Optional[_Union[FileLockProto, _Mapping]] = ...) -> None: ...

class GetLockResponse(_message.Message):
    __slots__ = ["conflict"]
    CONFLICT_FIELD_NUMBER: _ClassVar[int]
    conflict: FileLockProto
    def __init__(self, conflict: _Optional[_Union[FileLockProto, _Mapping]] = ...) -> None: ...

class GetMountTableRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class GetMountTableResponse(_message.Message):
    __slots__ = ["mount_table"]
    MOUNT_TABLE_FIELD_NUMBER: _ClassVar[int]
    mount_table: _containers.RepeatedCompositeFieldContainer[MountInfoProto]
    def __init__(self, mount_table: _Optional[_Iterable[_Union[MountInfoProto, _Mapping]]] = ...) -> None: ...

class LinkRequest(_message.Message):
    __slots__ = ["dst_path", "src_path"]
    DST_PATH_FIELD_NUMBER: _ClassVar[int]
    SRC_PATH_FIELD_NUMBER: _ClassVar[int]
    dst_path: str
    src_path: str
    def __init__(self, src_path: _Optional[str] = ..., dst_path: _Optional[str] = ...) -> None: ...

class LinkResponse(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class ListOptionsProto(_message.Message):
    __slots__ = ["limit", "start_after"]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    START_AFTER_FIELD_NUMBER: _ClassVar[int]
    limit: int
    start_after: str
    def __init__(self, limit: _Optional[int] = ..., start_after: _Optional[str] = ...) -> None: ...

class ListOptionsRequest(_message.Message):
    __slots__ = ["options", "path"]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    options: ListOptionsProto
    path: str
    def __init__(self, path: _Optional[str] = ..., options: _Optional[_Union[ListOptionsProto, _Mapping]] = ...) -> None: ...

class ListOptionsResponse(_message.Message):
    __slots__ = ["statuses"]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    statuses: _containers.RepeatedCompositeFieldContainer[FileStatusProto]
    def __init__(self, statuses: _Optional[_Iterable[_Union[FileStatusProto, _Mapping]]] = ...) -> None: ...

class ListStatusRequest(_message.Message):
    __slots__ = ["need_location", "path"]
    NEED_LOCATION_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    need_location: bool
    path: str
    def __init__(self, path: _Optional[str] = ..., need_location: bool = ...) -> None: ...

class ListStatusResponse(_message.Message):
    __slots__ = ["statuses"]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    statuses: _containers.RepeatedCompositeFieldContainer[FileStatusProto]
    def __init__(self, statuses: _Optional[_Iterable[_Union[FileStatusProto, _Mapping]]] = ...) -> None: ...

class LocatedBlockProto(_message.Message):
    __slots__ = ["block", "has_spdk", "locs", "offset"]
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    HAS_SPDK_FIELD_NUMBER: _ClassVar[int]
    LOCS_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    block: ExtendedBlockProto
    has_spdk: bool
    locs: _containers.RepeatedCompositeFieldContainer[WorkerAddressProto]
    offset: int
    def __init__(self, block: _Optional[_Union[ExtendedBlockProto, _Mapping]] = ..., offset: _Optional[int] = ..., locs: _Optional[_Iterable[_Union[WorkerAddressProto, _Mapping]]] = ..., has_spdk: bool = ...) -> None: ...

class MkdirOptsProto(_message.Message):
    __slots__ = ["create_parent", "group", "mode", "owner", "storage_policy", "x_attr"]
    class XAttrEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    CREATE_PARENT_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    STORAGE_POLICY_FIELD_NUMBER: _ClassVar[int]
    X_ATTR_FIELD_NUMBER: _ClassVar[int]
    create_parent: bool
    group: str
    mode: int
    owner: str
    storage_policy: StoragePolicyProto
    x_attr: _containers.ScalarMap[str, bytes]
    def __init__(self, create_parent: bool = ..., mode: _Optional[int] = ..., x_attr: _Optional[_Mapping[str, bytes]] = ..., storage_policy: _Optional[_Union[StoragePolicyProto, _Mapping]] = ..., owner: _Optional[str] = ..., group: _Optional[str] = ...) -> None: ...

class MkdirRequest(_message.Message):
    __slots__ = ["opts", "path"]
    OPTS_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    opts: MkdirOptsProto
    path: str
    def __init__(self, path: _Optional[str] = ..., opts: _Optional[_Union[MkdirOptsProto, _Mapping]] = ...) -> None: ...

class MkdirResponse(_message.Message):
    __slots__ = ["flag", "status"]
    FLAG_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    flag: bool
    status: FileStatusProto
    def __init__(self, flag: bool = ..., status: _Optional[_Union[FileStatusProto, _Mapping]] = ...) -> None: ...

class MountInfoProto(_message.Message):
    __slots__ = ["cv_path", "write_type"]
    CV_PATH_FIELD_NUMBER: _ClassVar[int]
    WRITE_TYPE_FIELD_NUMBER: _ClassVar[int]
    cv_path: str
    write_type: int
    def __init__(self, cv_path: _Optional[str] = ..., write_type: _Optional[int] = ...) -> None: ...

class OpenFileRequest(_message.Message):
    __slots__ = ["flags", "opts", "path"]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    OPTS_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    flags: int
    opts: CreateFileOptsProto
    path: str
    def __init__(self, path: _Optional[str] = ..., opts: _Optional[_Union[CreateFileOptsProto, _Mapping]] = ..., flags: _Optional[int] = ...) -> None: ...

class OpenFileResponse(_message.Message):
    __slots__ = ["file_blocks"]
    FILE_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    file_blocks: FileBlocksProto
    def __init__(self, file_blocks: _Optional[_Union[FileBlocksProto, _Mapping]] = ...) -> None: ...

class RenameRequest(_message.Message):
    __slots__ = ["dst", "flags", "src"]
    DST_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    SRC_FIELD_NUMBER: _ClassVar[int]
    dst: str
    flags: int
    src: str
    def __init__(self, src: _Optional[str] = ..., dst: _Optional[str] = ..., flags: _Optional[int] = ...) -> None: ...

class RenameResponse(_message.Message):
    __slots__ = ["result"]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    result: bool
    def __init__(self, result: bool = ...) -> None: ...

class ServerCompatibilityInfoProto(_message.Message):
    __slots__ = ["blocked_versions", "compatibility_mode", "min_client_version", "min_worker_version", "server"]
    BLOCKED_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    COMPATIBILITY_MODE_FIELD_NUMBER: _ClassVar[int]
    MIN_CLIENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    MIN_WORKER_VERSION_FIELD_NUMBER: _ClassVar[int]
    SERVER_FIELD_NUMBER: _ClassVar[int]
    blocked_versions: _containers.RepeatedScalarFieldContainer[str]
    compatibility_mode: int
    min_client_version: str
    min_worker_version: str
    server: ComponentInfoProto
    def __init__(self, server: _Optional[_Union[ComponentInfoProto, _Mapping]] = ..., min_worker_version: _Optional[str] = ..., min_client_version: _Optional[str] = ..., compatibility_mode: _Optional[int] = ..., blocked_versions: _Optional[_Iterable[str]] = ...) -> None: ...

class SetAttrOptsProto(_message.Message):
    __slots__ = ["add_x_attr", "atime", "group", "mode", "mtime", "owner", "recursive", "remove_x_attr", "replicas", "ttl_action", "ttl_ms", "ufs_mtime"]
    class AddXAttrEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    ADD_X_ATTR_FIELD_NUMBER: _ClassVar[int]
    ATIME_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    MTIME_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    RECURSIVE_FIELD_NUMBER: _ClassVar[int]
    REMOVE_X_ATTR_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    TTL_ACTION_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    UFS_MTIME_FIELD_NUMBER: _ClassVar[int]
    add_x_attr: _containers.ScalarMap[str, bytes]
    atime: int
    group: str
    mode: int
    mtime: int
    owner: str
    recursive: bool
    remove_x_attr: _containers.RepeatedScalarFieldContainer[str]
    replicas: int
    ttl_action: int
    ttl_ms: int
    ufs_mtime: int
    def __init__(self, recursive: bool = ..., replicas: _Optional[int] = ..., owner: _Optional[str] = ..., group: _Optional[str] = ..., mode: _Optional[int] = ..., atime: _Optional[int] = ..., mtime: _Optional[int] = ..., ttl_ms: _Optional[int] = ..., ttl_action: _Optional[int] = ..., add_x_attr: _Optional[_Mapping[str, bytes]] = ..., remove_x_attr: _Optional[_Iterable[str]] = ..., ufs_mtime: _Optional[int] = ...) -> None: ...

class SetAttrRequest(_message.Message):
    __slots__ = ["opts", "path"]
    OPTS_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    opts: SetAttrOptsProto
    path: str
    def __init__(self, path: _Optional[str] = ..., opts: _Optional[_Union[SetAttrOptsProto, _Mapping]] = ...) -> None: ...

class SetAttrResponse(_message.Message):
    __slots__ = ["status"]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: FileStatusProto
    def __init__(self, status: _Optional[_Union[FileStatusProto, _Mapping]] = ...) -> None: ...

class SetLockRequest(_message.Message):
    __slots__ = ["lock", "path"]
    LOCK_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    lock: FileLockProto
    path: str
    def __init__(self, path: _Optional[str] = ..., lock: _Optional[_Union[FileLockProto, _Mapping]] = ...) -> None: ...

class SetLockResponse(_message.Message):
    __slots__ = ["conflict"]
    CONFLICT_FIELD_NUMBER: _ClassVar[int]
    conflict: FileLockProto
    def __init__(self, conflict: _Optional[_Union[FileLockProto, _Mapping]] = ...) -> None: ...

class StorageInfoProto(_message.Message):
    __slots__ = ["available", "block_num", "capacity", "dir_id", "dir_path", "failed", "fs_used", "non_fs_used", "reserved_bytes", "storage_id", "storage_type"]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    BLOCK_NUM_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    DIR_ID_FIELD_NUMBER: _ClassVar[int]
    DIR_PATH_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    FS_USED_FIELD_NUMBER: _ClassVar[int]
    NON_FS_USED_FIELD_NUMBER: _ClassVar[int]
    RESERVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    STORAGE_ID_FIELD_NUMBER: _ClassVar[int]
    STORAGE_TYPE_FIELD_NUMBER: _ClassVar[int]
    available: int
    block_num: int
    capacity: int
    dir_id: int
    dir_path: str
    failed: bool
    fs_used: int
    non_fs_used: int
    reserved_bytes: int
    storage_id: str
    storage_type: int
    def __init__(self, dir_id: _Optional[int] = ..., storage_id: _Optional[str] = ..., failed: bool = ..., capacity: _Optional[int] = ..., available: _Optional[int] = ..., fs_used: _Optional[int] = ..., non_fs_used: _Optional[int] = ..., reserved_bytes: _Optional[int] = ..., storage_type: _Optional[int] = ..., block_num: _Optional[int] = ..., dir_path: _Optional[str] = ...) -> None: ...

class StoragePolicyProto(_message.Message):
    __slots__ = ["state", "storage_type", "ttl_action", "ttl_ms", "ufs_mtime"]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STORAGE_TYPE_FIELD_NUMBER: _ClassVar[int]
    TTL_ACTION_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    UFS_MTIME_FIELD_NUMBER: _ClassVar[int]
    state: int
    storage_type: int
    ttl_action: int
    ttl_ms: int
    ufs_mtime: int
    def __init__(self, storage_type: _Optional[int] = ..., ttl_ms: _Optional[int] = ..., ttl_action: _Optional[int] = ..., ufs_mtime: _Optional[int] = ..., state: _Optional[int] = ...) -> None: ...

class SymlinkRequest(_message.Message):
    __slots__ = ["force", "group", "link", "mode", "owner", "target"]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    force: bool
    group: str
    link: str
    mode: int
    owner: str
    target: str
    def __init__(self, target: _Optional[str] = ..., link: _Optional[str] = ..., force: bool = ..., mode: _Optional[int] = ..., owner: _Optional[str] = ..., group: _Optional[str] = ...) -> None: ...

class SymlinkResponse(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class WorkerAddressProto(_message.Message):
    __slots__ = ["hostname", "ip_addr", "rpc_port", "web_port", "worker_id"]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    IP_ADDR_FIELD_NUMBER: _ClassVar[int]
    RPC_PORT_FIELD_NUMBER: _ClassVar[int]
    WEB_PORT_FIELD_NUMBER: _ClassVar[int]
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    hostname: str
    ip_addr: str
    rpc_port: int
    web_port: int
    worker_id: int
    def __init__(self, worker_id: _Optional[int] = ..., hostname: _Optional[str] = ..., ip_addr: _Optional[str] = ..., rpc_port: _Optional[int] = ..., web_port: _Optional[int] = ...) -> None: ...

class WorkerInfoProto(_message.Message):
    __slots__ = ["address", "available", "capacity", "component_info", "fs_used", "last_update", "non_fs_used", "reserved_bytes", "software_version", "startup_time_ms", "storage_map", "transfer_attempt_safe_output", "transfer_query_task", "transfer_report_target", "transfer_source_read_plan", "transfer_task_submit", "weight", "worker_session_id"]
    class StorageMapEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: StorageInfoProto
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[StorageInfoProto, _Mapping]] = ...) -> None: ...
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_INFO_FIELD_NUMBER: _ClassVar[int]
    FS_USED_FIELD_NUMBER: _ClassVar[int]
    LAST_UPDATE_FIELD_NUMBER: _ClassVar[int]
    NON_FS_USED_FIELD_NUMBER: _ClassVar[int]
    RESERVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_VERSION_FIELD_NUMBER: _ClassVar[int]
    STARTUP_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    STORAGE_MAP_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_ATTEMPT_SAFE_OUTPUT_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_QUERY_TASK_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_REPORT_TARGET_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_SOURCE_READ_PLAN_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_TASK_SUBMIT_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    WORKER_SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    address: WorkerAddressProto
    available: int
    capacity: int
    component_info: ComponentInfoProto
    fs_used: int
    last_update: int
    non_fs_used: int
    reserved_bytes: int
    software_version: str
    startup_time_ms: int
    storage_map: _containers.MessageMap[str, StorageInfoProto]
    transfer_attempt_safe_output: bool
    transfer_query_task: bool
    transfer_report_target: bool
    transfer_source_read_plan: bool
    transfer_task_submit: bool
    weight: int
    worker_session_id: str
    def __init__(self, address: _Optional[_Union[WorkerAddressProto, _Mapping]] = ..., capacity: _Optional[int] = ..., available: _Optional[int] = ..., fs_used: _Optional[int] = ..., non_fs_used: _Optional[int] = ..., last_update: _Optional[int] = ..., storage_map: _Optional[_Mapping[str, StorageInfoProto]] = ..., reserved_bytes: _Optional[int] = ..., weight: _Optional[int] = ..., worker_session_id: _Optional[str] = ..., transfer_task_submit: bool = ..., transfer_report_target: bool = ..., transfer_query_task: bool = ..., transfer_attempt_safe_output: bool = ..., transfer_source_read_plan: bool = ..., software_version: _Optional[str] = ..., startup_time_ms: _Optional[int] = ..., component_info: _Optional[_Union[ComponentInfoProto, _Mapping]] = ...) -> None: ...
