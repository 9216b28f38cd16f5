/* A packaged model from C and C++: golden examples, a run, the texts of its codes. Semihosting carries output and exit
 * code out of a board. */
#include "model.h"
#include <stdio.h>
#include <string.h>

int main(void) {
    int32_t status = model_self_test();
    int i, good = status == 0;
    printf("self-test: %s\n", model_status_text(status));
    memset(model_input(), 0, sizeof *model_input() * MODEL_INPUT_LEN);
    status = model_run();
    good = good && status == 0 && strcmp(model_status_text(status), "no error") == 0;
    good = good && strcmp(model_status_text(12345), "an unknown status") == 0;
    for (i = 0; i < MODEL_OUTPUT_LEN; i++) {
        printf("%g ", (double)model_output()[i]);
    }
    printf("\nmodel of %s, arena %d bytes, weights %d bytes\n", model_version(), MODEL_ARENA_BYTES, MODEL_WEIGHT_BYTES);
    printf("test result: %s\n", good ? "ok. 1 passed; 0 failed" : "FAILED. 0 passed; 1 failed");
    return !good;
}
