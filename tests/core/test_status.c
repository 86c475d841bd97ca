/* tests/core/test_status.c
 *
 * The sentences that end up in exceptions.
 */
#include "core/base/status.h"

#include "core/check.h"

static void
test_every_status_has_a_message_of_its_own(void)
{
    for (int i = STATUS_OK; i <= STATUS_BAD_RANK; i++) {
        const char *message = status_message((enum status)i);
        CHECK(message != NULL);
        CHECK(strlen(message) > 0);
        CHECK(message[strlen(message) - 1] != '.');
        CHECK(strcmp(message, status_message((enum status) - 1)) != 0);
        for (int j = STATUS_OK; j < i; j++) {
            CHECK(strcmp(message, status_message((enum status)j)) != 0);
        }
    }
}

static void
test_unknown_status_has_a_message_too(void)
{
    CHECK(status_message((enum status)(STATUS_BAD_RANK + 1)) != NULL);
}

static const struct test tests[] = {
    TEST(test_every_status_has_a_message_of_its_own),
    TEST(test_unknown_status_has_a_message_too),
};

int
main(int count, char **words)
{
    return RUN_TESTS(tests, count, words);
}
