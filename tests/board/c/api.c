/* libcygnet without heap and operating system: models in flash, their handles and arena in static memory. A bundle's golden
 * examples and a run, errors in words; then the slot for updates from the field: a transfer that broke off is refused, and
 * its program, without the rest of the bundle, gives the bundle's bits. Semihosting carries output and exit code out of the
 * board. */
#include "cygnet.h"
#include <stdio.h>
#include <string.h>

__asm__(".section .rodata.bundle\n"
        ".balign 64\n"
        ".global bundle, bundle_end\n"
        "bundle: .incbin \"" BUNDLE "\"\n"
        "bundle_end:\n"
        ".balign 64\n"
        ".global slot, slot_end\n"
        "slot: .incbin \"" PROGRAM "\"\n"
        "slot_end:\n"
        ".text\n");
extern const uint8_t bundle[], bundle_end[], slot[], slot_end[];

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

/* Runs a model on a picture, and copies what it says; the number of bytes, 0 of what is no model. */
static size_t answer(const uint8_t *bytes, size_t length, uint8_t *to, size_t room) {
    cygnet_model *model = NULL;
    cygnet_session *session = NULL;
    cygnet_tensor input, output;
    size_t i;
    if (cygnet_model_init(model_memory, sizeof model_memory, bytes, length, &model) != CYGNET_OK ||
        cygnet_session_init(session_memory, sizeof session_memory, model, arena, sizeof arena, &session) != CYGNET_OK ||
        cygnet_session_input(session, 0, &input) != CYGNET_OK) {
        return 0;
    }
    for (i = 0; i < input.bytes / sizeof(float); i++) {
        ((float *)input.data)[i] = (float)(i % 17) / 16.0f;
    }
    if (cygnet_session_run(session) != CYGNET_OK || cygnet_session_output(session, 0, &output) != CYGNET_OK ||
        output.bytes > room) {
        return 0;
    }
    memcpy(to, output.data, output.bytes);
    return output.bytes;
}

/* A new model in flash replaces the old one when it is whole. */
static void update(void) {
    static uint8_t before[256], after[256];
    const size_t length = (size_t)(slot_end - slot);
    const size_t bytes = answer(bundle, (size_t)(bundle_end - bundle), before, sizeof before);
    CHECK(bytes > 0);
    CHECK(answer(slot, length - 64, after, sizeof after) == 0);
    CHECK(answer(slot, length, after, sizeof after) == bytes);
    CHECK(memcmp(before, after, bytes) == 0);
    printf("update: %u bytes of flash, %u of the answer\n", (unsigned)length, (unsigned)bytes);
}

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
    update();
    printf("test result: %s\n", failed ? "FAILED. 0 passed; 1 failed" : "ok. 1 passed; 0 failed");
    return failed;
}
