/* core/segment/system_platform.h
 *
 * The calls of the system in which platforms differ. On Linux they are in
 * system_linux.c, on other systems in system_portable.c: also on Linux with the
 * build switch SHAREDMAP_PORTABLE, so that it is tested there. Both files are
 * always compiled; one of them is empty then.
 *
 * For the files of core/segment only, which include system.h. What is the same
 * everywhere is in system.c.
 */
#ifndef SHAREDMAP_CORE_SEGMENT_SYSTEM_PLATFORM_H
#define SHAREDMAP_CORE_SEGMENT_SYSTEM_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__linux__) && !defined(SHAREDMAP_PORTABLE)
#define SYSTEM_IS_LINUX 1
#else
#define SYSTEM_IS_LINUX 0
#endif

/* "linux" or "portable". */
const char *
system_platform(void);

/* Where maps with a name live: without a slash at the end, the same as long as
 * the process lives. */
const char *
system_name_directory(void);

/* What to do when that directory is full, or when it is absent: part of a
 * sentence. */
const char *
system_name_advice(bool is_full);

/* Makes that directory where each user has one, and checks that no other user
 * can replace files in it. False with errno. */
bool
system_prepare_names(void);

/* The flag of open() that makes an unnamed file in a directory; 0 where no file
 * system has such files. */
int
system_unnamed_flag(void);

/* Whether a file can be given a path by its descriptor. */
bool
system_can_link(void);

/* Gives an open file that has no path this one, which must be free; false with
 * errno of linkat(). */
bool
system_link(int descriptor, const char *path);

/* Reserves the pages of that part of the file, beyond its end if need be. 0 or
 * an errno: EOPNOTSUPP, ENOSYS or EINVAL if only writing reserves. */
int
system_reserve(int descriptor, uint64_t offset, uint64_t size);

/* Puts what was written on the disk, as fsync() answers. */
int
system_sync_once(int descriptor);

/* Whether we are the owner of the open file. The system is asked, too: where
 * users are not mapped, all of them appear to be the same. */
bool
system_is_ours(int descriptor, uint32_t owner);

/* Whether files of several users appear to have this owner, as in a user
 * namespace all users do that are not mapped there. */
bool
system_is_any_user(uint32_t owner);

/* Maps a file to read, aligned for huge pages if it is large enough for one.
 * MAP_FAILED with errno. */
void *
system_map(int descriptor, uint64_t size);

/* Keeps a mapping from children that are forked from now on; false with errno. */
bool
system_hide_from_children(void *bytes, size_t size);

/* Asks the system to gather the pages of a mapped file into huge pages. Where
 * it cannot, everything stays as it is. */
void
system_use_huge_pages(void *bytes, size_t size);

/* The file that a word is in, borrowed. The path may lead elsewhere by now. */
struct word_file {
    const char *path;
    uint64_t device;
    uint64_t inode;
};

/* Sleeps while the word has the expected value, for so many nanoseconds at
 * most. Where the system wakes by files and not by words, it needs to know the
 * file; NULL, or a path that leads elsewhere, makes it poll there. True when
 * woken; false with errno: EAGAIN if the word has another value, ETIMEDOUT,
 * EINTR. */
bool
system_sleep_on(const _Atomic uint32_t *word, uint32_t expected,
                int64_t nanoseconds, const struct word_file *file);

/* Wakes as many that sleep on the word, in all processes, beginning with the one
 * that has slept longest. Where the system wakes by files, all that sleep on a
 * word of this open file; -1 if each of them polls. */
void
system_wake(_Atomic uint32_t *word, int count, int descriptor);

/* Fills 16 random bytes; false with errno. */
bool
system_random(unsigned char bytes[16]);

/* A descriptor that becomes readable when files of that directory appear,
 * disappear, or are closed by a publisher. -1 with errno. */
int
system_watch(const char *directory);

/* The next of the events that were read from such a descriptor, at `*at`, which
 * is advanced behind it: the name of the file, NULL without one.
 * `is_everything` says that events were dropped. */
const char *
system_watch_event(const unsigned char *events, size_t *at,
                   bool *is_everything);

#endif
