/* libcygnet without heap and operating system: a bundle in flash, its handles and its arena in static memory. Golden examples,
 * a run, errors in words. Semihosting carries output and exit code out of the board. */
#include "cygnet.h"
#include <stdio.h>
#include <string.h>

__asm__(".section .rodata.bundle\n"
        ".balign 64\n"
        ".global bundle, bundle_end\n"
        "bundle: .incbin \"" BUNDLE "\"\n"
        "bundle_end:\n"
        ".text\n");
extern const uint8_t bundle[], bundle_end[];

#define ALIGNED(n) __attribute__((aligned(n)))
static uint8_t model_memory[CYGNET_MODEL_BYTES] ALIGNED(CYGNET_HANDLE_ALIGNMENT);
static uint8_t session_memory[CYGNET_SESSION_BYTES] ALIGNED(CYGNET_HANDLE_ALIGNMENT);
static uint8_t arena[ARENA_BYTES] ALIGNED(CYGNET_ARENA_ALIGNMENT);

static int failed = 0;

#define CHECK(condition)                                          \
    do {                                                          \
        if (!(condition)) {                                       \
            printf("line %d: %s is not so\n", __LINE__, #condition); \
            failed = 1;                                           \
        }                                                         \
    } while (0)

int main(void) {
    cygnet_model *model = NULL;
    cygnet_session *session = NULL;
    cygnet_tensor input, output;
    const size_t length = (size_t)(bundle_end - bundle);
    uint32_t examples = 0;
    char text[96];
    cygnet_status status;

    status = cygnet_model_init(model_memory, sizeof model_memory, bundle, length / 2, &model);
    cygnet_status_text(status, text, sizeof text);
    printf("half a bundle: %s\n", text);
    CHECK(status >= 100 && model == NULL);
    CHECK(cygnet_model_init(model_memory, sizeof model_memory, bundle, length, &model) == CYGNET_OK);
    CHECK(cygnet_model_arena_bytes(model) <= sizeof arena);
    CHECK(cygnet_session_init(session_memory, sizeof session_memory, model, arena, 64, &session) == 301);
    CHECK(cygnet_session_init(session_memory, sizeof session_memory, model, arena, sizeof arena, &session) == CYGNET_OK);
    status = cygnet_session_self_test(session, &examples);
    if (status != CYGNET_OK) {
        cygnet_session_error(session, text, sizeof text);
        printf("self-test: %s\n", text);
    }
    CHECK(status == CYGNET_OK && examples > 0);
    CHECK(cygnet_session_input(session, 1, &input) == 304);
    CHECK(cygnet_session_error(session, text, sizeof text) > 0);
    printf("input 1: %s\n", text);
    CHECK(cygnet_session_input(session, 0, &input) == CYGNET_OK);
    memset(input.data, 0, input.bytes);
    CHECK(cygnet_session_run(session) == CYGNET_OK);
    CHECK(cygnet_session_output(session, 0, &output) == CYGNET_OK && output.bytes > 0);
    printf("cygnet %s: %u examples, arena %u of %u bytes, model %u, session %u\n", cygnet_version(), (unsigned)examples,
        (unsigned)cygnet_model_arena_bytes(model), (unsigned)sizeof arena, (unsigned)cygnet_model_bytes(),
        (unsigned)cygnet_session_bytes());
    printf("test result: %s\n", failed ? "FAILED. 0 passed; 1 failed" : "ok. 1 passed; 0 failed");
    return failed;
}
