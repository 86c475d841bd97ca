/* core/base/status.c
 *
 * The sentence for each ending.
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
        return "not enough memory";
    case STATUS_SYSTEM:
        return "the system refused the operation";
    case STATUS_NO_SPACE:
        return "no space left for the snapshot";
    case STATUS_TOO_LARGE:
        return "too large for a snapshot";
    case STATUS_NAME_EMPTY:
        return "a name must not be empty";
    case STATUS_NAME_HAS_NUL:
        return "a name must not contain NUL";
    case STATUS_NAME_TOO_LONG:
        return "the name is too long for a file name";
    case STATUS_LABEL_TOO_LONG:
        return "the label is longer than 256 bytes";
    case STATUS_NAME_ABSENT:
        return "no map is published under this name";
    case STATUS_PATH_RESERVED:
        return "paths that end in .sharedmap~ are those of files that are "
               "being saved";
    case STATUS_NAME_TAKEN:
        return "a map is already published under this name";
    case STATUS_NOT_REGULAR:
        return "not a regular file";
    case STATUS_FOREIGN_OWNER:
        return "the map belongs to another user";
    case STATUS_OTHERS_MAY_WRITE:
        return "other users may write to the map";
    case STATUS_LOCK_TIMEOUT:
        return "another process holds the publish lock";
    case STATUS_STALE:
        return "another generation is published than was expected";
    case STATUS_UNCHANGED:
        return "nothing newer is published";
    case STATUS_NOT_A_SNAPSHOT:
        return "not a sharedmap snapshot (wrong magic number)";
    case STATUS_OTHER_VERSION:
        return "a snapshot of another format version";
    case STATUS_OTHER_KIND:
        return "a snapshot of an unknown kind or with unknown flags";
    case STATUS_TRUNCATED:
        return "the snapshot's size is not what its header says";
    case STATUS_BAD_HEADER_CHECKSUM:
        return "the header's checksum does not match";
    case STATUS_BAD_HEADER:
        return "a field of the header is out of range";
    case STATUS_BAD_REGION:
        return "a region does not lie inside the snapshot";
    case STATUS_BAD_REFERENCE:
        return "a reference leads outside the records";
    case STATUS_BAD_RECORD:
        return "a record does not lie inside the records";
    case STATUS_BAD_VALUE:
        return "a value does not fit its type";
    case STATUS_BAD_TEXT:
        return "text is not UTF-8";
    case STATUS_BAD_ORDER:
        return "the keys are not in order";
    case STATUS_BAD_ORDER_INDEX:
        return "the order index does not fit the keys";
    case STATUS_BAD_HASH_INDEX:
        return "the hash index does not lead to every key";
    case STATUS_BAD_CHECKSUM:
        return "the checksum of the contents does not match";
    }
    return "unknown status";
}
