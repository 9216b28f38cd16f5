/* Cygnet: runs model.cygnet bundles.
 *
 * Every function that can fail returns a status: CYGNET_OK, or a code that cygnet_status_text() puts into words and that
 * never changes its meaning. NULL and sizes out of range are errors, never crashes; a pointer that is not NULL must point
 * at what its function says.
 *
 * Threads: a model does not change and serves any number of threads. A session, with its arena and what
 * cygnet_session_input and cygnet_session_output show of it, belongs to one thread at a time, and to no interrupt while
 * another call runs; sessions of one model run at the same time. Making a session reads its model alone. All other
 * functions keep nothing, but for cygnet_last_error, which keeps its thread's.
 *
 * Microcontrollers: the library without the Rust feature `std` needs neither heap nor operating system. It has all
 * functions but those that say "Not on microcontrollers"; models and sessions lie in memory of the caller
 * (cygnet_model_init, cygnet_session_init). Those work everywhere.
 *
 * Written by cbindgen from bindings/c/src; bindings/c/tests/header.rs checks that it is current. */

#ifndef CYGNET_H
#define CYGNET_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/*
 Most dimensions of a tensor.
 */
#define CYGNET_MAX_RANK 8

/*
 An arena starts at a multiple of so many bytes.
 */
#define CYGNET_ARENA_ALIGNMENT 64

/*
 A model in memory starts at a multiple of so many bytes.
 */
#define CYGNET_MODEL_ALIGNMENT 16

/*
 Models and sessions in memory of the caller start at a multiple of so many bytes.
 */
#define CYGNET_HANDLE_ALIGNMENT 16

/*
 Bytes that hold a model on every machine: for memory that is sized when the application is compiled.
 */
#define CYGNET_MODEL_BYTES 512

/*
 Bytes that hold a session on every machine, its arena not counted: for memory that is sized when the application is
 compiled.
 */
#define CYGNET_SESSION_BYTES 512

/*
 Element type: IEEE 754 binary32.
 */
#define CYGNET_F32 1

/*
 Element type: IEEE 754 binary16.
 */
#define CYGNET_F16 2

/*
 Element type: bfloat16.
 */
#define CYGNET_BF16 3

/*
 Element type: IEEE 754 binary64.
 */
#define CYGNET_F64 4

/*
 Element type: signed 8-bit integer.
 */
#define CYGNET_I8 5

/*
 Element type: unsigned 8-bit integer.
 */
#define CYGNET_U8 6

/*
 Element type: signed 16-bit integer.
 */
#define CYGNET_I16 7

/*
 Element type: unsigned 16-bit integer.
 */
#define CYGNET_U16 8

/*
 Element type: signed 32-bit integer.
 */
#define CYGNET_I32 9

/*
 Element type: unsigned 32-bit integer.
 */
#define CYGNET_U32 10

/*
 Element type: signed 64-bit integer.
 */
#define CYGNET_I64 11

/*
 Element type: unsigned 64-bit integer.
 */
#define CYGNET_U64 12

/*
 Element type: boolean, one byte, 0 or 1.
 */
#define CYGNET_BOOL 13

/*
 A validated model. It does not change: any number of threads may use it at the same time.
 */
typedef struct cygnet_model cygnet_model;

/*
 A model with an arena to run in. One thread at a time may use it, and no interrupt while a call runs; sessions of one
 model may run at the same time.
 */
typedef struct cygnet_session cygnet_session;

/*
 Result of a call: `CYGNET_OK`, or what went wrong. Codes are stable. From 100 on they are those of the bundle reader
 (100 + its code), from 200 on of the program's validation, from 300 on of sessions and runs.
 */
typedef int cygnet_status;

/*
 An input or an output in its actual shape: dense, row-major, in the machine's byte order.
 */
typedef struct cygnet_tensor {
  /*
   The first element, in the arena. Outputs must not be written.
   */
  void *data;
  /*
   Bytes of all elements.
   */
  size_t bytes;
  /*
   Element type: a `CYGNET_` constant, or for types of one byte that C has no name for the code in FORMAT.md.
   */
  uint32_t dtype;
  /*
   Number of dimensions.
   */
  uint32_t rank;
  /*
   The dimensions; 0 beyond the rank.
   */
  size_t dims[CYGNET_MAX_RANK];
  /*
   The name in UTF-8, not terminated; lives as long as the model.
   */
  const char *name;
  /*
   Bytes of the name.
   */
  size_t name_length;
} cygnet_tensor;

/*
 The call succeeded.
 */
#define CYGNET_OK 0

/*
 A pointer that must not be NULL is NULL.
 */
#define CYGNET_NULL 1

/*
 The path is not UTF-8.
 */
#define CYGNET_PATH 2

/*
 The file cannot be read.
 */
#define CYGNET_IO 3

/*
 There is not enough memory.
 */
#define CYGNET_MEMORY 4

/*
 The model has no golden examples: a self-test would prove nothing.
 */
#define CYGNET_NO_EXAMPLES 5

/*
 A golden example does not fit the program.
 */
#define CYGNET_DAMAGED_EXAMPLE 6

/*
 An output differs from the golden example's.
 */
#define CYGNET_DIFFERS 7

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 Opens a bundle (`model.cygnet`) or a bare program (`program.cyg`) in memory and validates it; nothing is copied. The
 bytes start at a multiple of `CYGNET_MODEL_ALIGNMENT`, otherwise no session opens. On failure `*model` is NULL. Not on
 microcontrollers, which have `cygnet_model_init`.

 # Safety
 `bytes` is NULL or valid for reads of `length` bytes, which neither change nor go away before the model is closed.
 `model` is NULL or valid for a write.
 */
cygnet_status cygnet_model_open(const uint8_t *bytes, size_t length, struct cygnet_model **model);

/*
 Opens a bundle or a bare program from a file, by memory map where the system has it. On failure `*model` is NULL. Not on
 microcontrollers.

 # Safety
 `path` is NULL or a string with a final NUL. `model` is NULL or valid for a write. The file does not change before
 the model is closed.
 */
cygnet_status cygnet_model_open_path(const char *path,
                                     struct cygnet_model **model);

/*
 Closes a model that was opened; one of `cygnet_model_init` needs no closing. NULL is fine. Not on microcontrollers.

 # Safety
 `model` is NULL or came from an open that succeeded and was not closed yet; no session of it is open.
 */
void cygnet_model_close(struct cygnet_model *model);

/*
 Opens a session of a model in the caller's arena: `cygnet_model_arena_bytes` bytes or more, at a multiple of
 `CYGNET_ARENA_ALIGNMENT`. Nothing else is allocated but the small handle. On failure `*session` is NULL. Not on
 microcontrollers, which have `cygnet_session_init`.

 # Safety
 `model` is NULL or an open model that stays open until the session is closed. `arena` is NULL or valid for reads and
 writes of `arena_bytes` bytes, which nothing else touches before the session is closed, except through its tensors.
 `session` is NULL or valid for a write.
 */
cygnet_status cygnet_session_open(const struct cygnet_model *model,
                                  uint8_t *arena,
                                  size_t arena_bytes,
                                  struct cygnet_session **session);

/*
 Closes a session that was opened; the arena is the caller's again. One of `cygnet_session_init` needs no closing. NULL is
 fine. Not on microcontrollers.

 # Safety
 `session` is NULL or came from an open that succeeded and was not closed yet.
 */
void cygnet_session_close(struct cygnet_session *session);

/*
 Tells all that is known of this thread's last failure, such as the step or the operator; otherwise as
 `cygnet_status_text`. Empty when nothing has failed. Not on microcontrollers, which have `cygnet_session_error`.

 # Safety
 `text` is NULL or valid for writes of `capacity` bytes.
 */
size_t cygnet_last_error(char *text, size_t capacity);

/*
 Bytes of a model on this machine, at most `CYGNET_MODEL_BYTES`.
 */
size_t cygnet_model_bytes(void);

/*
 Makes a model in the caller's `memory`, `cygnet_model_bytes` or more at a multiple of `CYGNET_HANDLE_ALIGNMENT`, of a
 bundle or a bare program, which is validated and not copied: it may lie in flash, at a multiple of
 `CYGNET_MODEL_ALIGNMENT`. Nothing is allocated, and nothing is to be closed: the model ends with its memory. On failure
 `*model` is NULL.

 # Safety
 `memory` is NULL or valid for writes of `memory_bytes` bytes, which nothing else touches while the model is used.
 `bytes` is NULL or valid for reads of `length` bytes, which neither change nor go away while the model is used.
 `model` is NULL or valid for a write.
 */
cygnet_status cygnet_model_init(void *memory,
                                size_t memory_bytes,
                                const uint8_t *bytes,
                                size_t length,
                                struct cygnet_model **model);

/*
 Bytes that an arena of this model needs; 0 for NULL, `SIZE_MAX` when that many cannot be addressed.

 # Safety
 `model` is NULL or an open model.
 */
size_t cygnet_model_arena_bytes(const struct cygnet_model *model);

/*
 Number of inputs; 0 for NULL.

 # Safety
 `model` is NULL or an open model.
 */
size_t cygnet_input_count(const struct cygnet_model *model);

/*
 Number of outputs; 0 for NULL.

 # Safety
 `model` is NULL or an open model.
 */
size_t cygnet_output_count(const struct cygnet_model *model);

/*
 Bytes of a session on this machine, at most `CYGNET_SESSION_BYTES`; its arena is not part of it.
 */
size_t cygnet_session_bytes(void);

/*
 Makes a session in the caller's `memory`, `cygnet_session_bytes` or more at a multiple of `CYGNET_HANDLE_ALIGNMENT`, over
 the caller's arena: `cygnet_model_arena_bytes` bytes or more, at a multiple of `CYGNET_ARENA_ALIGNMENT`. Nothing is
 allocated, and nothing is to be closed: the session ends with its memory. On failure `*session` is NULL.

 # Safety
 `memory` is NULL or valid for writes of `memory_bytes` bytes. `model` is NULL or a model that is used for as long as the
 session. `arena` is NULL or valid for reads and writes of `arena_bytes` bytes. Nothing else touches the memory and the
 arena while the session is used, except through its tensors. `session` is NULL or valid for a write.
 */
cygnet_status cygnet_session_init(void *memory,
                                  size_t memory_bytes,
                                  const struct cygnet_model *model,
                                  uint8_t *arena,
                                  size_t arena_bytes,
                                  struct cygnet_session **session);

/*
 Tells all that is known of the session's last failure, such as the step or the operator; otherwise as
 `cygnet_status_text`. Empty when nothing has failed, and for NULL.

 # Safety
 `session` is NULL or a session that no other thread uses meanwhile. `text` is NULL or valid for writes of `capacity` bytes.
 */
size_t cygnet_session_error(const struct cygnet_session *session,
                            char *text,
                            size_t capacity);

/*
 Shows input `i` in its actual shape, to fill before each run: a run may overwrite its inputs.

 # Safety
 `session` is NULL or an open session. `tensor` is NULL or valid for a write.
 */
cygnet_status cygnet_session_input(struct cygnet_session *session, size_t i, struct cygnet_tensor *tensor);

/*
 Shows output `i` after a run. It stands until the next run or reset.

 # Safety
 As `cygnet_session_input`.
 */
cygnet_status cygnet_session_output(struct cygnet_session *session, size_t i, struct cygnet_tensor *tensor);

/*
 Gives input `i` its actual shape, where the model leaves dimensions open. Tensors shown before may have moved.

 # Safety
 `session` is NULL or an open session. `dims` is NULL (then `rank` must be 0) or valid for reads of `rank` elements.
 */
cygnet_status cygnet_session_set_input_shape(struct cygnet_session *session, size_t i, const size_t *dims, size_t rank);

/*
 Runs the model once on the inputs as they stand, then moves its states on. After a failure outputs and states are
 undefined: reset.

 # Safety
 `session` is NULL or an open session.
 */
cygnet_status cygnet_session_run(struct cygnet_session *session);

/*
 Sets every state to its initial value.

 # Safety
 `session` is NULL or an open session.
 */
cygnet_status cygnet_session_reset(struct cygnet_session *session);

/*
 Runs the bundle's golden examples on this very machine and compares the outputs; writes how many ran to `examples`
 when it is not NULL. States are as the last example left them: reset them before other use.

 # Safety
 `session` is NULL or an open session. `examples` is NULL or valid for a write.
 */
cygnet_status cygnet_session_self_test(struct cygnet_session *session, uint32_t *examples);

/*
 The version of this library, such as `0.1.0`.
 */
const char *cygnet_version(void);

/*
 Puts a status into words: writes them to `text` with a final NUL, cut to `capacity` bytes, and returns their whole
 length without the NUL. With NULL for `text` it only returns the length.

 # Safety
 `text` is NULL or valid for writes of `capacity` bytes.
 */
size_t cygnet_status_text(cygnet_status status, char *text, size_t capacity);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* CYGNET_H */
