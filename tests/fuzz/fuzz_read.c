/* tests/fuzz/fuzz_read.c
 *
 * Bytes of a snapshot, opened and asked everything: as they are, and with
 * what shields the rest made right, namely magic, version, size and both
 * checksums. The label's 256 bytes and what is reserved before it are left
 * out of the input, so that it is made of what a reader looks at:
 *
 *     input       | 0 .. 159 | 512 ... |
 *     snapshot    | 0 .. 159 | zeros .. 511 | 512 ... |
 */
#include "fuzz/fuzz.h"
#include "hostile/interrogate.h"

enum { FIELDS_SIZE = 160 };

static const unsigned char magic[] = SNAPSHOT_MAGIC;

static void
read_image(struct image *image)
{
    struct version version;
    enum status verdict;
    if (version_open_newest(&version, image->bytes, image->size) == STATUS_OK)
    {
        // Writing what an update would make of it takes long.
        bool is_written = version.base.header.content_checksum % 16 == 0;
        interrogate(&version, &verdict, is_written);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct slice input = {bytes, size};
    struct slice fields = take_slice(&input, FIELDS_SIZE);
    struct image image = image_create(SNAPSHOT_HEADER_SIZE + input.size);
    slice_copy(image.bytes, fields);
    slice_copy(image.bytes + SNAPSHOT_HEADER_SIZE, input);
    read_image(&image);

    struct snapshot_header *header = image_header(&image);
    memcpy(header->magic, magic, sizeof(magic));
    header->version = SNAPSHOT_VERSION;
    header->total_size = image.size;
    image_reseal(&image);
    read_image(&image);
    image_destroy(&image);
    CHECK_EQUAL(memory_outstanding(), 0);
    return 0;
}
