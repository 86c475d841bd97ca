/* tests/fuzz/fuzz.h
 *
 * What the fuzz targets share: the function that libFuzzer calls, and a
 * reader of its bytes, from which a target makes what it wants to try. Bytes
 * that are used up go on as zeros.
 *
 * A CHECK that fails ends the program, which libFuzzer reports as a crash.
 */
#ifndef SHAREDMAP_TESTS_FUZZ_FUZZ_H
#define SHAREDMAP_TESTS_FUZZ_FUZZ_H

#include "core/base/slice.h"
#include "core/check.h"

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static inline unsigned
take_byte(struct slice *input)
{
    if (input->size == 0) {
        return 0;
    }
    input->size -= 1;
    return *input->bytes++;
}

static inline struct slice
take_slice(struct slice *input, size_t size)
{
    struct slice taken = {input->bytes,
                          size < input->size ? size : input->size};
    // The address of nothing is NULL at the beginning, and stays it.
    if (taken.size > 0) {
        input->bytes += taken.size;
        input->size -= taken.size;
    }
    return taken;
}

#endif
