/* core/segment/publish.c
 *
 * Giving a name to a finished file, taking a name away.
 *
 *     draft (no name) --------------------- link ---> name      name was free
 *
 *     draft (no name) --- link ---> name~ - rename -> name      name was held
 *                                  holder: head |= 1, just before
 *
 * A draft that has a temporary name is renamed from there.
 *
 * What the name points to is the truth; the mark is only a hint to check
 * the name again. A hint that comes early costs its reader one check. One
 * that came late would leave a reader on the old snapshot for ever, if we
 * were killed in between: hence first the store, then the rename.
 *
 * Not here: the draft until it is finished (draft.c); the lock of the name
 * (lock.c); clearing what others left (leftover.c); what is in the file
 * (core/publish.c).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/memory.h"
#include "core/segment/leftover.h"
#include "core/segment/lock.h"
#include "core/segment/segment.h"
#include "core/segment/system.h"
#include "core/snapshot/header.h"

/* ---- telling readers ---------------------------------------------------- */

/* On a disk the word is written: there a store may need a block that the disk
 * does not have, which is an error for write() and a SIGBUS for a store. */
static enum status
write_superseded(const struct holder *holder)
{
    const uint32_t word =
        atomic_load(holder_head_word(holder)) | HEAD_SUPERSEDED;
    return system_write(holder->file.descriptor,
                        offsetof(struct snapshot_header, head), &word,
                        sizeof(word), holder->interrupt);
}

static enum status
holder_mark_superseded(const struct holder *holder)
{
    if (holder->header != NULL && holder->is_read_only) {
        return write_superseded(holder);
    }
    if (holder->header != NULL) {
        atomic_fetch_or(holder_head_word(holder), HEAD_SUPERSEDED);
    }
    return STATUS_OK;
}

/* ---- steps of publishing ------------------------------------------------ */

static enum status
stamp(struct draft *draft, uint64_t generation,
      const struct publish_options *options, struct snapshot_header *header)
{
    header->generation = generation;
    header->published_at = system_time();
    snapshot_header_seal(header);
    enum status status = draft_write(draft, 0, header, sizeof(*header));
    if (status == STATUS_OK && options->is_durable) {
        status = system_sync(draft->file.descriptor, draft->interrupt);
    }
    return status;
}

/* Gives the draft a path, which must be free; false with errno of link(). */
static bool
link_draft(const struct draft *draft, const char *path)
{
    bool is_linked;
    do {
        is_linked = draft->temporary != NULL
                        ? link(draft->temporary, path) == 0
                        : system_link(draft->file.descriptor, path);
    } while (!is_linked && system_repeats(draft->interrupt));
    return is_linked;
}

/* Both again after a signal; false with errno. */
static bool
rename_path(const char *from, const char *to,
            const struct interrupt *interrupt)
{
    int result;
    do {
        result = rename(from, to);
    } while (result < 0 && system_repeats(interrupt));
    return result == 0;
}

static bool
unlink_path(const char *path, const struct interrupt *interrupt)
{
    int result;
    do {
        result = unlink(path);
    } while (result < 0 && system_repeats(interrupt));
    return result == 0;
}

/* Fills the path of a draft that has one. What other publishers of the name may
 * have left is cleared, under its lock. */
static enum status
use_temporary(const struct draft *draft, const char *path, const char *mark,
              char temporary[TEMPORARY_PATH_SIZE])
{
    bool is_cleared;
    enum status status = STATUS_OK;
    if (system_temporary_path(path, mark, temporary)) {
        status =
            leftover_clear_locked(temporary, draft->interrupt, &is_cleared);
    }
    snprintf(temporary, TEMPORARY_PATH_SIZE, "%s", draft->temporary);
    return status == STATUS_INTERRUPTED ? status : STATUS_OK;
}

/* Links the draft to a temporary name beside the name, and fills that path. It
 * is locked before, so it is not taken for a leftover. A leftover of a killed
 * publisher is cleared. If that is not possible, the file is another user's,
 * or is being cleared at this moment; then random digits follow the tilde. So
 * they do where a name is too long to have a temporary one of its own: another
 * name's publisher may be using that. */
static enum status
link_temporary(struct draft *draft, const char *path,
               const struct publish_options *options,
               char temporary[TEMPORARY_PATH_SIZE])
{
    enum status status;
    const char *mark = options->is_durable ? SAVED_MARK : "~";
    if (draft->temporary != NULL) {
        return use_temporary(draft, path, mark, temporary);
    }
    bool is_own = system_temporary_path(path, mark, temporary);
    draft_lock(draft);
    // Rarely tested: another user takes the name as soon as it is cleared.
    for (int attempt = 0; is_own && attempt < 2; attempt++) {
        if (link_draft(draft, temporary)) {
            return STATUS_OK;
        }
        if (errno != EEXIST) {
            return system_failure();
        }
        status = leftover_clear_locked(temporary, draft->interrupt, &is_own);
        if (status == STATUS_INTERRUPTED) {
            return status;
        }
    }
    status = leftover_clear_digits(path, draft->interrupt);
    if (status == STATUS_OK) {
        status = system_random_path(path, temporary);
    }
    if (status == STATUS_OK && !link_draft(draft, temporary)) {
        status = system_failure();
    }
    return status;
}

/* Makes the last link or rename as durable as the file itself. The name is
 * published already: that it is absent would be untrue, and so would be that
 * the publication was interrupted. So if the interrupt is due, that is an
 * error like any other. */
static enum status
sync_directory(const char *path, const struct interrupt *interrupt)
{
    char directory[SEGMENT_DIRECTORY_SIZE];
    int descriptor;
    // Untested: link() or rename() has refused a path that is as long.
    if (!system_directory(path, directory)) {
        return STATUS_SYSTEM;
    }
    do {
        descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    } while (descriptor < 0 && system_repeats(interrupt));
    if (descriptor < 0) {
        return STATUS_SYSTEM;
    }
    enum status status = system_sync(descriptor, interrupt);
    system_close(descriptor);
    return status == STATUS_INTERRUPTED ? STATUS_SYSTEM : status;
}

enum status
holder_check_expected(const struct holder *holder,
                      const struct expectation *expected)
{
    bool is_expected = (!expected->has_generation
                        || holder->generation == expected->generation)
                       && (!expected->has_id
                           || (holder->generation != 0
                               && memcmp(holder->unique_id, expected->id,
                                         sizeof(expected->id))
                                      == 0));
    return is_expected ? STATUS_OK : STATUS_STALE;
}

/* Gives the name of the holder to a finished draft, by a temporary name. */
static enum status
take_name(struct holder *holder, struct draft *draft, const char *path,
          const struct publish_options *options)
{
    char temporary[TEMPORARY_PATH_SIZE];
    enum status status = link_temporary(draft, path, options, temporary);
    if (status != STATUS_OK) {
        return status;
    }
    status = holder_mark_superseded(holder);
    if (status == STATUS_OK && !rename_path(temporary, path, draft->interrupt))
    {
        status = system_failure();
    }
    if (status != STATUS_OK) {
        // In a child that an interrupt forked it is the parent's.
        if (draft->file.descriptor >= 0) {
            system_unlink(temporary);
        }
        return status;
    }
    // The draft is the holder now, and others wait for its lock.
    memory_release(draft->temporary);
    draft->temporary = NULL;
    draft_unlock(draft);
    holder_wake_all(holder);
    return options->is_durable ? sync_directory(path, draft->interrupt)
                               : STATUS_OK;
}

void
holder_clear_leftover(const char *path)
{
    char temporary[TEMPORARY_PATH_SIZE];
    bool is_cleared;
    if (system_temporary_path(path, "~", temporary)) {
        // Names are in memory, where no signal interrupts a call.
        (void)leftover_clear_locked(temporary, NULL, &is_cleared);
    }
    // Untested: on Linux a killed publisher's draft has no name.
    if (system_unnamed_flag() == 0) {
        (void)leftover_clear_digits(path, NULL);
    }
}

enum status
holder_replace(struct holder *holder, struct draft *draft, const char *path,
               const struct publish_options *options,
               struct snapshot_header *header)
{
    enum status status = holder_check_expected(holder, &options->expected);
    if (status == STATUS_STALE) {
        header->generation = holder->generation;
    }
    if (status == STATUS_OK && options->expected.has_generation
        && options->expected.generation == 0)
    {
        // The name was expected to be free, and is not, if by no snapshot.
        return STATUS_NAME_TAKEN;
    }
    if (status != STATUS_OK) {
        return status;
    }
    // Publishers that wait do so for the name, not for this file.
    header->waiting_since = holder_waiting_since(holder);
    status =
        stamp(draft, generation_after(holder->generation), options, header);
    if (status != STATUS_OK) {
        return status;
    }
    return take_name(holder, draft, path, options);
}

enum status
holder_compact(struct holder *holder, struct draft *draft, const char *path,
               struct snapshot_header *header,
               const struct version_update *newer)
{
    struct publish_options options = {.mode = holder->mode};
    enum status status = STATUS_OK;
    header->waiting_since = holder_waiting_since(holder);
    if (newer->step == STEP_APPEND) {
        status = draft_append(draft, header->total_size + newer->begin,
                              newer->bytes, newer->size);
        header->head = newer->head;
    }
    if (status == STATUS_OK) {
        snapshot_header_seal(header);
        status = draft_write(draft, 0, header, sizeof(*header));
    }
    return status == STATUS_OK ? take_name(holder, draft, path, &options)
                               : status;
}

/* The name was free a moment ago. */
static enum status
take_free_name(struct draft *draft, const char *path,
               const struct publish_options *options,
               struct snapshot_header *header)
{
    enum status status =
        holder_check_expected(&HOLDER_EMPTY, &options->expected);
    if (status == STATUS_STALE) {
        header->generation = 0;
    }
    if (status == STATUS_OK) {
        status = stamp(draft, 1, options, header);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (!link_draft(draft, path)) {
        return errno == EEXIST ? STATUS_NAME_TAKEN : system_failure();
    }
    return options->is_durable ? sync_directory(path, draft->interrupt)
                               : STATUS_OK;
}

enum status
draft_publish(struct draft *draft, const char *path,
              const struct publish_options *options,
              struct snapshot_header *header)
{
    // The long wait for the disk comes before the lock; under it only the
    // header is new.
    enum status synced =
        options->is_durable
            ? system_sync(draft->file.descriptor, draft->interrupt)
            : STATUS_OK;
    if (synced != STATUS_OK) {
        return synced;
    }
    if (!options->force && expectation_is_any(&options->expected)) {
        return take_free_name(draft, path, options, header);
    }
    struct turn turn = turn_begin(&options->lock);
    turn.is_durable = options->is_durable;
    for (;;) {
        struct holder holder;
        enum status status = holder_lock_in_turn(&holder, path, &turn);
        if (status == STATUS_OK) {
            status = holder_replace(&holder, draft, path, options, header);
            holder_close(&holder);
            return status;
        }
        if (status != STATUS_NAME_ABSENT) {
            return status;
        }
        status = take_free_name(draft, path, options, header);
        if (status != STATUS_NAME_TAKEN) {
            return status;
        }
        // Another publisher was faster: now there is a holder.
        status = turn_wait(&turn, &HOLDER_EMPTY);
        if (status != STATUS_OK) {
            return status;
        }
    }
}

enum status
segment_remove(const char *path, const struct lock_options *options)
{
    struct holder holder;
    enum status status = holder_lock(&holder, path, options);
    if (status != STATUS_OK) {
        return status;
    }
    holder_clear_leftover(path);
    (void)holder_mark_superseded(&holder);  // names are in memory
    if (!unlink_path(path, holder.interrupt)) {
        status = system_failure();
    }
    else {
        holder_wake_all(&holder);
    }
    holder_close(&holder);
    return status;
}
