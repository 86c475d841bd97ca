/* core/segment/leftover.c
 *
 * Clearing what a killed publisher left under a temporary name.
 *
 *     open -> lock, without waiting -> does the name still lead to it?
 *                  |                              |
 *                  in use: it stays               unlink
 *
 * While a file is locked, no publisher links another one under its name: each
 * first clears the name by the same steps. So what is unlinked is what was
 * locked.
 *
 * Not here: the lock of a map's name (lock.c), under which publishers use the
 * temporary name without digits.
 */
#define _GNU_SOURCE
#include "core/segment/leftover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/segment/fork.h"
#include "core/segment/lock.h"
#include "core/segment/system.h"
#include "core/snapshot/header.h"

static const char DIGITS[] = "0123456789abcdef";
enum { DIGIT_COUNT = 16 };

/* Locks an open file that still has the name; else `is_busy`. Fills what it
 * is. */
static enum status
claim(int descriptor, const char *temporary, const struct interrupt *interrupt,
      struct stat *opened, bool *is_busy)
{
    struct stat named;
    if (!system_stat(descriptor, opened, interrupt)) {
        return system_failure();
    }
    if (!S_ISREG(opened->st_mode)) {
        return STATUS_NOT_REGULAR;
    }
    enum status status = system_lock(descriptor, LOCK_PUBLISH, is_busy);
    if (status != STATUS_OK) {
        return status;
    }
    if (!system_stat_path(temporary, &named, interrupt)) {
        return system_failure();
    }
    // Rarely tested: its next publisher has to come at this very moment.
    *is_busy =
        named.st_dev != opened->st_dev || named.st_ino != opened->st_ino;
    return STATUS_OK;
}

/* Whether the file begins like a snapshot, or is a draft without its header,
 * which comes last. STATUS_INTERRUPTED. */
static enum status
check_draft(int descriptor, const struct interrupt *interrupt, bool *is_draft)
{
    struct snapshot_header header;
    static const struct snapshot_header unfinished;
    enum status status = system_read_header(descriptor, &header, interrupt);
    *is_draft = status == STATUS_OK
                && memcmp(&header, &unfinished, sizeof(header)) == 0;
    if (status == STATUS_OK) {
        status = snapshot_header_check_short(&header, sizeof(header));
    }
    *is_draft |= status == STATUS_EMPTY || status == STATUS_TRUNCATED;
    return status == STATUS_INTERRUPTED ? status : STATUS_OK;
}

static enum status
remove_file(const char *path, const struct interrupt *interrupt,
            bool *is_removed)
{
    int result;
    do {
        result = unlink(path);
    } while (result < 0 && system_repeats(interrupt));
    *is_removed = result == 0;
    return result == 0 ? STATUS_OK : system_failure();
}

/* Whether the path leads to that file, which is in the same directory. */
static bool
leads_to(const char *path, const struct stat *file,
         const struct interrupt *interrupt)
{
    struct stat named;
    return system_stat_path(path, &named, interrupt)
           && named.st_ino == file->st_ino;
}

/* A temporary name of the map itself is not in use, even if the map is locked:
 * a publisher has linked its draft to the free name `path`, and was killed or is
 * about to remove the other one. */
static enum status
clear(const char *temporary, const char *path, bool must_be_draft,
      const struct interrupt *interrupt, bool *is_cleared)
{
    struct fork_closed file;
    struct stat opened;
    bool is_busy = false, is_leftover = true;
    *is_cleared = false;
    if (!fork_closed_open(&file, temporary,
                          O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY,
                          interrupt))
    {
        enum status status = system_open_failure();
        // The name's next publisher may have been faster.
        *is_cleared = status == STATUS_NAME_ABSENT;
        return *is_cleared ? STATUS_OK : status;
    }
    enum status status =
        claim(file.descriptor, temporary, interrupt, &opened, &is_busy);
    if (is_busy) {
        is_leftover = path != NULL && leads_to(path, &opened, interrupt);
        status = STATUS_OK;
    }
    // Rarely tested: it is renamed, and another gets its name, at this moment.
    if (is_busy && is_leftover) {
        is_leftover = leads_to(temporary, &opened, interrupt);
    }
    if (is_leftover && status == STATUS_OK && must_be_draft) {
        status = check_draft(file.descriptor, interrupt, &is_leftover);
    }
    if (status == STATUS_OK && is_leftover) {
        status = remove_file(temporary, interrupt, is_cleared);
    }
    fork_closed_close_last(&file);
    return status;
}

enum status
leftover_clear(const char *temporary, const char *path,
               const struct interrupt *interrupt, bool *is_cleared)
{
    return clear(temporary, path, false, interrupt, is_cleared);
}

enum status
leftover_clear_locked(const char *temporary, const struct interrupt *interrupt,
                      bool *is_cleared)
{
    enum status status = clear(temporary, NULL, false, interrupt, is_cleared);
    return status == STATUS_NOT_REGULAR
               ? remove_file(temporary, interrupt, is_cleared)
               : status;
}

static DIR *
open_directory(const char *path, const struct interrupt *interrupt)
{
    char directory[SEGMENT_DIRECTORY_SIZE];
    DIR *entries;
    // Untested: no path that long has got here.
    if (!system_directory(path, directory)) {
        return NULL;
    }
    do {
        entries = opendir(directory);
    } while (entries == NULL && system_repeats(interrupt));
    return entries;
}

enum status
leftover_clear_digits(const char *path, const struct interrupt *interrupt)
{
    char temporary[TEMPORARY_PATH_SIZE];
    // Its digits are replaced by those that are found.
    (void)system_temporary_path(path, "~0123456789abcdef", temporary);
    char *digits = temporary + strlen(temporary) - DIGIT_COUNT;
    const char *slash = strrchr(temporary, '/');
    const char *name = slash != NULL ? slash + 1 : temporary;
    const size_t prefix = (size_t)(digits - name);
    DIR *entries = open_directory(path, interrupt);
    if (entries == NULL) {
        return errno == EINTR ? STATUS_INTERRUPTED : STATUS_OK;
    }
    enum status status = STATUS_OK;
    const struct dirent *entry;
    while (status != STATUS_INTERRUPTED && (entry = readdir(entries)) != NULL)
    {
        const char *found = entry->d_name;
        bool is_cleared;
        if (strncmp(found, name, prefix) == 0
            && strspn(found + prefix, DIGITS) == DIGIT_COUNT
            && found[prefix + DIGIT_COUNT] == '\0')
        {
            memcpy(digits, found + prefix, DIGIT_COUNT);
            status = clear(temporary, path, true, interrupt, &is_cleared);
        }
    }
    closedir(entries);
    return status == STATUS_INTERRUPTED ? status : STATUS_OK;
}

/* ---- leftovers of maps -------------------------------------------------- */

/* Fills the path of the map whose temporary file that is, and the temporary
 * file's own; false for every other file. */
static bool
paths_of_leftover(const char *file_name, char path[SEGMENT_PATH_SIZE],
                  char temporary[TEMPORARY_PATH_SIZE])
{
    unsigned char name[256];
    char owner[256];
    size_t size;
    const char *mark = strrchr(file_name, '~');
    if (mark == NULL || (size_t)(mark - file_name) >= sizeof(owner)) {
        return false;
    }
    size_t digits = strspn(mark + 1, DIGITS);
    if (mark[1 + digits] != '\0' || (digits != 0 && digits != DIGIT_COUNT)) {
        return false;
    }
    memcpy(owner, file_name, (size_t)(mark - file_name));
    owner[mark - file_name] = '\0';
    if (!segment_decode_name(owner, name, &size)) {
        return false;
    }
    // What was decoded can be encoded, and every name has room for a mark.
    (void)segment_path((struct slice){name, size}, path);
    (void)system_temporary_path(path, mark, temporary);
    return true;
}

enum status
segment_clear_leftover(const char *file_name, bool *is_cleared)
{
    char path[SEGMENT_PATH_SIZE], temporary[TEMPORARY_PATH_SIZE];
    struct holder holder;
    bool is_ours = false, is_busy = false;
    *is_cleared = false;
    if (!paths_of_leftover(file_name, path, temporary)) {
        return STATUS_OK;
    }
    // Publishers of older versions lock no draft, only the holder. One that is
    // not ours is locked, but neither written nor replaced.
    enum status status = holder_open(&holder, path, &is_ours, NULL);
    if (status == STATUS_OK) {
        status = holder_try_lock(&holder, path, LOCK_PUBLISH, &is_busy);
    }
    if (status == STATUS_OK || status == STATUS_NAME_ABSENT) {
        status = leftover_clear(temporary, path, NULL, is_cleared);
    }
    holder_close(&holder);
    return is_busy ? STATUS_OK : status;
}
