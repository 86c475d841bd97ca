/* core/snapshot/version_update.h
 *
 * The next version of a map: chooses between a new young delta, a fold and a
 * new base, and makes the delta.
 */
#ifndef SHAREDMAP_CORE_SNAPSHOT_VERSION_UPDATE_H
#define SHAREDMAP_CORE_SNAPSHOT_VERSION_UPDATE_H

#include "core/snapshot/merge.h"
#include "core/snapshot/version.h"

struct version_identity {
    uint64_t generation;
    unsigned char unique_id[16];
    uint64_t published_at;
};

enum version_step {
    STEP_NONE,    // the changes change nothing
    STEP_APPEND,  // the delta in `bytes`
    STEP_COPY,    // a delta is not possible, or would not pay: write a base
};

struct version_update {
    enum version_step step;
    unsigned char *bytes;  // owned; NULL unless it is STEP_APPEND
    uint64_t size;
    uint64_t begin;     // in the room
    uint32_t head;      // that leads to it
    bool is_full;       // a new base should follow soon
    bool is_over_base;  // it is the first delta, or a fold
};

/* What to do where a copy would pay, but a delta is possible. */
enum version_copying { COPY_IF_IT_PAYS, COPY_IF_NEEDED };

/* Fills the update, which the caller releases with version_update_release()
 * whatever the answer. Checks the bytes of the deltas that it copies.
 * STATUS_NO_MEMORY, STATUS_INTERRUPTED, what is wrong with the version.
 * O(deltas + changes * log n). */
enum status
version_update_prepare(struct version_update *update,
                       const struct version *version,
                       const struct changes *changes,
                       const struct version_identity *identity,
                       enum version_copying copying,
                       const struct interrupt *interrupt);

void
version_update_release(struct version_update *update);

#endif
