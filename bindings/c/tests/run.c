/* Runs the digit classifier on recorded pictures through the C interface, and its errors: tests/run.rs compiles this as C
 * and as C++. Arguments: the bundle, its pictures (raw f32), the expected probabilities (raw f32). */
#include "cygnet.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIXELS (28 * 28)
#define CLASSES 10

static int failed = 0;

#define CHECK(condition)                                                    \
    do {                                                                    \
        if (!(condition)) {                                                 \
            char text_[256];                                                \
            cygnet_last_error(text_, sizeof text_);                         \
            fprintf(stderr, "line %d: %s\n  last error: %s\n", __LINE__, #condition, text_); \
            failed = 1;                                                     \
        }                                                                   \
    } while (0)

/* The whole file, at a multiple of 64 bytes. */
static unsigned char *read_file(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    unsigned char *bytes;
    if (!file) {
        perror(path);
        exit(2);
    }
    fseek(file, 0, SEEK_END);
    *length = (size_t)ftell(file);
    rewind(file);
    bytes = (unsigned char *)aligned_alloc(64, (*length + 63) / 64 * 64);
    if (!bytes || fread(bytes, 1, *length, file) != *length) {
        perror(path);
        exit(2);
    }
    fclose(file);
    return bytes;
}

static void check_texts(void) {
    char text[64];
    int32_t status;
    CHECK(strcmp(cygnet_version(), CYGNET_EXPECTED_VERSION) == 0);
    for (status = -1; status < 400; status++) {
        size_t length = cygnet_status_text(status, NULL, 0);
        CHECK(length > 0);
        CHECK(cygnet_status_text(status, text, sizeof text) == length);
        CHECK(strlen(text) == (length < sizeof text ? length : sizeof text - 1));
    }
    memset(text, 'x', sizeof text);
    CHECK(cygnet_status_text(CYGNET_OK, text, 4) == strlen("success"));
    CHECK(strcmp(text, "suc") == 0 && text[4] == 'x');
    CHECK(cygnet_status_text(CYGNET_OK, text, 1) == strlen("success") && text[0] == 0);
}

static void check_errors(const unsigned char *bytes, size_t length, const char *path) {
    cygnet_model *model = NULL;
    cygnet_session *session = NULL;
    cygnet_tensor tensor;
    size_t arena_bytes, cut;
    unsigned char *arena, *copy;
    char text[256];
    CHECK(cygnet_model_open(NULL, 4, &model) == CYGNET_NULL && model == NULL);
    CHECK(cygnet_model_open(bytes, length, NULL) == CYGNET_NULL);
    CHECK(cygnet_model_open(bytes, (size_t)-1, &model) == CYGNET_MEMORY && model == NULL);
    CHECK(cygnet_model_open_path(NULL, &model) == CYGNET_NULL);
    CHECK(cygnet_model_open_path(path, NULL) == CYGNET_NULL);
    CHECK(cygnet_model_open_path("no such file", &model) == CYGNET_IO && model == NULL);
    CHECK(cygnet_last_error(text, sizeof text) > 0 && strstr(text, "system error"));
    CHECK(cygnet_model_open_path("\xff\xfe", &model) == CYGNET_PATH);
    CHECK(cygnet_model_arena_bytes(NULL) == 0 && cygnet_input_count(NULL) == 0 && cygnet_output_count(NULL) == 0);
    /* Every shorter file is refused. */
    copy = (unsigned char *)aligned_alloc(64, (length + 63) / 64 * 64);
    for (cut = 0; cut < length; cut += 61) {
        memcpy(copy, bytes, cut);
        CHECK(cygnet_model_open(copy, cut, &model) >= 100 && model == NULL);
    }
    free(copy);

    CHECK(cygnet_model_open(bytes, length, &model) == CYGNET_OK);
    arena_bytes = cygnet_model_arena_bytes(model);
    arena = (unsigned char *)aligned_alloc(CYGNET_ARENA_ALIGNMENT, (arena_bytes + 127) / 64 * 64);
    CHECK(cygnet_session_open(NULL, arena, arena_bytes, &session) == CYGNET_NULL && session == NULL);
    CHECK(cygnet_session_open(model, NULL, arena_bytes, &session) == CYGNET_NULL);
    CHECK(cygnet_session_open(model, arena, arena_bytes, NULL) == CYGNET_NULL);
    CHECK(cygnet_session_open(model, arena, arena_bytes - 1, &session) == 301 && session == NULL);
    CHECK(cygnet_session_open(model, arena + 8, arena_bytes, &session) == 302 && session == NULL);
    CHECK(cygnet_session_open(model, arena, arena_bytes, &session) == CYGNET_OK);
    CHECK(cygnet_session_input(NULL, 0, &tensor) == CYGNET_NULL);
    CHECK(cygnet_session_input(session, 0, NULL) == CYGNET_NULL);
    CHECK(cygnet_session_input(session, 1, &tensor) == 304);
    CHECK(cygnet_session_output(session, (size_t)-1, &tensor) == 304);
    CHECK(cygnet_session_set_input_shape(session, 0, NULL, 4) == CYGNET_NULL);
    CHECK(cygnet_session_set_input_shape(session, 0, tensor.dims, 1000000) == 306);
    CHECK(cygnet_session_set_input_shape(session, 0, NULL, 0) == 306);
    CHECK(cygnet_session_run(NULL) == CYGNET_NULL && cygnet_session_reset(NULL) == CYGNET_NULL);
    CHECK(cygnet_session_self_test(NULL, NULL) == CYGNET_NULL);
    cygnet_session_close(session);
    cygnet_session_close(NULL);
    cygnet_model_close(model);
    cygnet_model_close(NULL);
    free(arena);
}

static void check_digits(cygnet_model *model, const float *pictures, const float *expected) {
    static const size_t shape[4] = {1, 1, 28, 28};
    cygnet_session *session = NULL;
    cygnet_tensor input, output;
    uint32_t examples = 0;
    int digit, i;
    size_t arena_bytes = cygnet_model_arena_bytes(model);
    void *arena = aligned_alloc(CYGNET_ARENA_ALIGNMENT, (arena_bytes + 63) / 64 * 64);
    CHECK(arena_bytes > 0 && cygnet_input_count(model) == 1 && cygnet_output_count(model) == 1);
    CHECK(cygnet_session_open(model, (uint8_t *)arena, arena_bytes, &session) == CYGNET_OK);
    CHECK(cygnet_session_self_test(session, &examples) == CYGNET_OK && examples > 0);
    CHECK(cygnet_session_reset(session) == CYGNET_OK);
    CHECK(cygnet_session_set_input_shape(session, 0, shape, 4) == CYGNET_OK);
    for (digit = 0; digit < CLASSES; digit++) {
        const float *got;
        CHECK(cygnet_session_input(session, 0, &input) == CYGNET_OK);
        CHECK(input.dtype == CYGNET_F32 && input.rank == 4 && input.bytes == PIXELS * sizeof(float));
        CHECK(memcmp(input.dims, shape, sizeof shape) == 0 && input.dims[4] == 0);
        CHECK(input.name_length == strlen("image") && memcmp(input.name, "image", input.name_length) == 0);
        memcpy(input.data, pictures + digit * PIXELS, input.bytes);
        CHECK(cygnet_session_run(session) == CYGNET_OK);
        CHECK(cygnet_session_output(session, 0, &output) == CYGNET_OK);
        CHECK(output.dtype == CYGNET_F32 && output.rank == 2 && output.dims[0] == 1 && output.dims[1] == CLASSES);
        got = (const float *)output.data;
        for (i = 0; i < CLASSES; i++) {
            CHECK(fabsf(got[i] - expected[digit * CLASSES + i]) <= 1e-4f);
            CHECK(i == digit || got[i] < got[digit]);
        }
    }
    cygnet_session_close(session);
    free(arena);
}

/* Handles in memory of this program, as on microcontrollers. */
static void check_in_place(const unsigned char *bytes, size_t length, const float *picture, const float *expected) {
    static union {
        long double align;
        unsigned char bytes[CYGNET_MODEL_BYTES + CYGNET_HANDLE_ALIGNMENT];
    } model_memory, session_memory;
    const size_t model_size = cygnet_model_bytes(), session_size = cygnet_session_bytes();
    void *in_model = model_memory.bytes, *in_session = session_memory.bytes;
    cygnet_model *model = NULL;
    cygnet_session *session = NULL;
    cygnet_tensor input, output;
    uint32_t examples = 0;
    char text[128];
    size_t arena_bytes;
    unsigned char *arena;
    int i;
    CHECK(model_size > 0 && model_size <= CYGNET_MODEL_BYTES);
    CHECK(session_size > 0 && session_size <= CYGNET_SESSION_BYTES);
    CHECK(cygnet_model_init(NULL, model_size, bytes, length, &model) == CYGNET_NULL && model == NULL);
    CHECK(cygnet_model_init(in_model, model_size, NULL, length, &model) == CYGNET_NULL);
    CHECK(cygnet_model_init(in_model, model_size, bytes, length, NULL) == CYGNET_NULL);
    CHECK(cygnet_model_init(in_model, model_size - 1, bytes, length, &model) == CYGNET_MEMORY && model == NULL);
    CHECK(cygnet_model_init(model_memory.bytes + 8, model_size, bytes, length, &model) == CYGNET_MEMORY);
    CHECK(cygnet_model_init(in_model, model_size, bytes, length / 2, &model) >= 100 && model == NULL);
    CHECK(cygnet_model_init(in_model, model_size, bytes, length, &model) == CYGNET_OK && model == in_model);
    arena_bytes = cygnet_model_arena_bytes(model);
    arena = (unsigned char *)aligned_alloc(CYGNET_ARENA_ALIGNMENT, (arena_bytes + 63) / 64 * 64);
    CHECK(cygnet_session_init(NULL, session_size, model, arena, arena_bytes, &session) == CYGNET_NULL);
    CHECK(cygnet_session_init(in_session, session_size, NULL, arena, arena_bytes, &session) == CYGNET_NULL);
    CHECK(cygnet_session_init(in_session, session_size - 1, model, arena, arena_bytes, &session) == CYGNET_MEMORY);
    CHECK(cygnet_session_init(in_session, session_size, model, arena, arena_bytes - 1, &session) == 301);
    CHECK(session == NULL && cygnet_session_error(session, text, sizeof text) == 0 && text[0] == 0);
    CHECK(cygnet_session_init(in_session, session_size, model, arena, arena_bytes, &session) == CYGNET_OK);
    CHECK(session == in_session && cygnet_session_error(session, text, sizeof text) == 0);
    CHECK(cygnet_session_self_test(session, &examples) == CYGNET_OK && examples > 0);
    CHECK(cygnet_session_input(session, 1, &input) == 304);
    CHECK(cygnet_session_error(session, text, sizeof text) > 0 && text[0] != 0);
    CHECK(cygnet_session_input(session, 0, &input) == CYGNET_OK);
    memcpy(input.data, picture, input.bytes);
    CHECK(cygnet_session_run(session) == CYGNET_OK);
    CHECK(cygnet_session_output(session, 0, &output) == CYGNET_OK);
    for (i = 0; i < CLASSES; i++) {
        CHECK(fabsf(((const float *)output.data)[i] - expected[i]) <= 1e-4f);
    }
    free(arena);
}

int main(int argc, char **argv) {
    size_t length, n;
    unsigned char *bytes;
    float *pictures, *expected;
    cygnet_model *model = NULL;
    if (argc != 4) {
        return 2;
    }
    bytes = read_file(argv[1], &length);
    pictures = (float *)(void *)read_file(argv[2], &n);
    CHECK(n == CLASSES * PIXELS * sizeof(float));
    expected = (float *)(void *)read_file(argv[3], &n);
    CHECK(n == CLASSES * CLASSES * sizeof(float));
    check_texts();
    check_errors(bytes, length, argv[1]);
    check_in_place(bytes, length, pictures, expected);
    CHECK(cygnet_model_open(bytes, length, &model) == CYGNET_OK);
    check_digits(model, pictures, expected);
    cygnet_model_close(model);
    CHECK(cygnet_model_open_path(argv[1], &model) == CYGNET_OK);
    check_digits(model, pictures, expected);
    cygnet_model_close(model);
    free(bytes);
    free(pictures);
    free(expected);
    puts(failed ? "FAILED" : "ok");
    return failed;
}
