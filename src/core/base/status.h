/* core/base/status.h
 *
 * The status codes of the core. A function that can fail returns one of these
 * and fills its results only with STATUS_OK, unless its contract says
 * otherwise.
 *
 * The binding turns them into exceptions in one switch without a default, so
 * a new status code here does not compile until it has an exception there.
 */
#ifndef SHAREDMAP_CORE_BASE_STATUS_H
#define SHAREDMAP_CORE_BASE_STATUS_H

enum status {
    STATUS_OK = 0,

    // Resources and the operating system.
    STATUS_NO_MEMORY,
    STATUS_SYSTEM,     // errno says why a call of the system failed
    STATUS_NO_SPACE,   // the file system cannot take the snapshot
    STATUS_TOO_LARGE,  // sizes that no offset of the format can hold

    // Names and the files behind them.
    STATUS_NAME_EMPTY,
    STATUS_NAME_HAS_NUL,
    STATUS_NAME_TOO_LONG,
    STATUS_LABEL_TOO_LONG,
    STATUS_NAME_ABSENT,
    STATUS_NAME_TAKEN,
    STATUS_PATH_RESERVED,
    STATUS_SHM_ABSENT,     // the directory of all names is missing
    STATUS_SHM_READ_ONLY,  // likewise, errno says why
    STATUS_NOT_REGULAR,    // a directory, a FIFO, a symbolic link, ...
    STATUS_FOREIGN_OWNER,
    STATUS_UNMAPPED_OWNER,  // named, but it stands for any user
    STATUS_OTHERS_MAY_WRITE,
    STATUS_LOCK_TIMEOUT,
    STATUS_INTERRUPTED,  // by the caller
    STATUS_STALE,        // another version than expected is published
    STATUS_UNCHANGED,    // the name still refers to the same file

    // Bytes that are not what they should be: one status code for each check.
    STATUS_EMPTY,
    STATUS_NOT_A_SNAPSHOT,
    STATUS_OTHER_VERSION,
    STATUS_OTHER_KIND,
    STATUS_TRUNCATED,
    STATUS_BAD_HEADER_CHECKSUM,
    STATUS_BAD_HEADER,
    STATUS_BAD_REGION,
    STATUS_BAD_REFERENCE,
    STATUS_BAD_RECORD,
    STATUS_RECORDS_OVERLAP,
    STATUS_BAD_VALUE,
    STATUS_BAD_TEXT,
    STATUS_BAD_ORDER,
    STATUS_BAD_HASH_INDEX,
    STATUS_BAD_CHECKSUM,
    STATUS_BAD_DELTA,  // the header of a delta, or the head that led to it
    STATUS_BAD_RANK,
};

/* The message for a status code, without a full stop; never NULL. */
const char *
status_message(enum status status);

#endif
