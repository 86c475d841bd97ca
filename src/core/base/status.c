/* core/base/status.c
 *
 * The message for each status code.
 *
 * Not here: which exception it becomes; see binding/errors.c.
 */
#include "core/base/status.h"

const char *
status_message(enum status status)
{
    switch (status) {
    case STATUS_OK:
        return "no error";
    case STATUS_NO_MEMORY:
        return "out of memory";
    case STATUS_SYSTEM:
        return "the operating system refused the operation";
    case STATUS_NO_SPACE:
        return "no space left for the snapshot";
    case STATUS_TOO_LARGE:
        return "the map is too large for a snapshot";
    case STATUS_NAME_EMPTY:
        return "the name must not be empty";
    case STATUS_NAME_HAS_NUL:
        return "the name must not contain NUL";
    case STATUS_NAME_TOO_LONG:
        return "the name is too long: as a file name it would have more than "
               "228 bytes";
    case STATUS_LABEL_TOO_LONG:
        return "the label is longer than 256 bytes of UTF-8";
    case STATUS_NAME_ABSENT:
        return "no map is published under this name";
    case STATUS_PATH_RESERVED:
        return "paths that end in .sharedmap~ are reserved for temporary files; "
               "choose another path";
    case STATUS_SHM_ABSENT:
        return "the directory where maps with a name live is absent";
    case STATUS_SHM_READ_ONLY:
        return "the directory where maps with a name live is not writable for "
               "this process";
    case STATUS_NAME_TAKEN:
        return "a map is already published under this name";
    case STATUS_NOT_REGULAR:
        return "not a regular file";
    case STATUS_FOREIGN_OWNER:
        return "the map belongs to another user, who is not trusted; owner= "
               "names a user to trust";
    case STATUS_UNMAPPED_OWNER:
        return "the uid of the map's owner stands for every user who is not "
               "mapped into this user namespace, so owner= does not trust it; "
               "map the owner into the namespace";
    case STATUS_OTHERS_MAY_WRITE:
        return "the map is writable by other users, so it is not trusted; take "
               "that permission away (chmod go-w), or publish it again";
    case STATUS_LOCK_TIMEOUT:
        return "timed out: another process holds the publish lock; try again";
    case STATUS_INTERRUPTED:
        return "interrupted";
    case STATUS_STALE:
        return "the published generation is not the expected one";
    case STATUS_UNCHANGED:
        return "no newer snapshot is published";
    case STATUS_EMPTY:
        return "not a sharedmap snapshot (it is empty)";
    case STATUS_NOT_A_SNAPSHOT:
        return "not a sharedmap snapshot (wrong magic number)";
    case STATUS_OTHER_VERSION:
        return "unsupported snapshot format version";
    case STATUS_OTHER_KIND:
        return "unknown snapshot kind or flags";
    case STATUS_TRUNCATED:
        return "the snapshot is truncated or too long: its size does not "
               "match its header";
    case STATUS_BAD_HEADER_CHECKSUM:
        return "the header checksum does not match";
    case STATUS_BAD_HEADER:
        return "a header field is out of range";
    case STATUS_BAD_REGION:
        return "a region lies outside the snapshot";
    case STATUS_BAD_REFERENCE:
        return "a reference points outside the records";
    case STATUS_BAD_RECORD:
        return "a record extends past the end of the records";
    case STATUS_RECORDS_OVERLAP:
        return "records overlap: their sizes add up to more than their region";
    case STATUS_BAD_VALUE:
        return "a value is not valid for its type";
    case STATUS_BAD_TEXT:
        return "a key or value is not valid UTF-8";
    case STATUS_BAD_ORDER:
        return "the keys are not in sorted order";
    case STATUS_BAD_HASH_INDEX:
        return "the hash index does not find every key";
    case STATUS_BAD_CHECKSUM:
        return "the content checksum does not match";
    case STATUS_BAD_DELTA:
        return "the newest delta is damaged, or the head leads elsewhere";
    case STATUS_BAD_RANK:
        return "a rank in a delta does not match what lies beneath";
    }
    return "unknown status";
}
