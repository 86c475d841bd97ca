/* core/segment_system.h
 *
 * What the two halves of core/segment share; nobody else includes it.
 */
#ifndef SHAREDMAP_CORE_SEGMENT_SYSTEM_H
#define SHAREDMAP_CORE_SEGMENT_SYSTEM_H

#include <stdbool.h>

#include "core/snapshot_format.h"
#include "core/status.h"

enum { SEGMENT_DIRECTORY_SIZE = 4096 };

/* Fills the descriptor, which the caller owns; neither creates nor follows
 * links nor blocks. STATUS_NAME_ABSENT, STATUS_NOT_REGULAR, STATUS_SYSTEM. */
enum status
system_open(const char *path, int flags, int *descriptor);

/* Leaves errno alone. */
void
system_close(int descriptor);

/* Fills the header, unchecked. STATUS_TRUNCATED, STATUS_SYSTEM. */
enum status
system_read_header(int descriptor, struct snapshot_header *header);

/* Fills the directory part of a path; false when it is too long. */
bool
system_directory(const char *path, char directory[SEGMENT_DIRECTORY_SIZE]);

#endif
