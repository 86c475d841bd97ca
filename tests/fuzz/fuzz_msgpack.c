/* tests/fuzz/fuzz_msgpack.c
 *
 * Bytes are a container or not. The oracle says so in another way, with which
 * the objects of a container are built:
 *
 *     bytes --> msgpack_check()  ==  walk through the tokens, compare all keys
 *
 * They lie in an allocation of their own, which is exactly as large.
 */
#include "core/containers.h"
#include "fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    unsigned char *copy = malloc(size > 0 ? size : 1);
    CHECK(copy != NULL);
    slice_copy(copy, (struct slice){bytes, size});
    CHECK(container_agrees((struct slice){copy, size}));
    free(copy);
    return 0;
}
