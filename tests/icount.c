/* A QEMU plugin that counts executed guest instructions by symbol, or by instruction.
 *
 * cc -O2 -shared -fPIC -o icount.so icount.c
 * qemu-aarch64 -plugin ./icount.so,out=FILE[,by=insn] PROGRAM
 *
 * FILE receives one line a symbol: count, tab, name; with by=insn one line an instruction: count, address, name, text.
 * QEMU's packages do not ship qemu-plugin.h, so the few functions used are declared here, as the public API documents
 * them. Counting is exact for one thread; with more the counters race. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { CB_NO_REGS = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned, void *), int flags, void *);
void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const char *qemu_plugin_insn_symbol(const struct qemu_plugin_insn *);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
char *qemu_plugin_insn_disas(const struct qemu_plugin_insn *);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

/* A run of instructions of one symbol in a translated block. */
struct span {
    struct span *next;
    char *symbol, *text;
    uint64_t address, instructions;
    uint64_t *executed;
};

static struct span *all;
static const char *out_path;
static bool by_instruction;

static void *take(size_t n) {
    void *p = calloc(1, n);
    if (!p) {
        abort();
    }
    return p;
}

static void executed(unsigned cpu, void *count) {
    (void)cpu;
    ++*(uint64_t *)count;
}

static void translated(plugin_id id, struct qemu_plugin_tb *block) {
    (void)id;
    uint64_t *count = take(sizeof *count);
    struct span *open = NULL;
    size_t n = qemu_plugin_tb_n_insns(block);
    for (size_t i = 0; i < n; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(block, i);
        const char *symbol = qemu_plugin_insn_symbol(insn);
        if (!symbol) {
            symbol = "?";
        }
        if (!open || by_instruction || strcmp(open->symbol, symbol) != 0) {
            open = take(sizeof *open);
            open->symbol = strdup(symbol);
            open->text = by_instruction ? qemu_plugin_insn_disas(insn) : NULL;
            open->address = qemu_plugin_insn_vaddr(insn);
            open->executed = count;
            open->next = all;
            all = open;
        }
        open->instructions++;
    }
    qemu_plugin_register_vcpu_tb_exec_cb(block, executed, CB_NO_REGS, count);
}

static int order(const void *a, const void *b) {
    const struct span *x = *(struct span *const *)a, *y = *(struct span *const *)b;
    if (by_instruction && x->address != y->address) {
        return x->address < y->address ? -1 : 1;
    }
    return by_instruction ? 0 : strcmp(x->symbol, y->symbol);
}

static void finish(plugin_id id, void *unused) {
    (void)id;
    (void)unused;
    size_t n = 0;
    for (struct span *s = all; s; s = s->next) {
        n++;
    }
    struct span **sorted = take((n + 1) * sizeof *sorted);
    n = 0;
    for (struct span *s = all; s; s = s->next) {
        sorted[n++] = s;
    }
    qsort(sorted, n, sizeof *sorted, order);
    FILE *f = out_path ? fopen(out_path, "w") : stderr;
    if (!f) {
        perror(out_path);
        exit(1);
    }
    for (size_t i = 0; i < n;) {
        uint64_t sum = 0;
        size_t j = i;
        for (; j < n && order(&sorted[i], &sorted[j]) == 0; j++) {
            sum += sorted[j]->instructions * *sorted[j]->executed;
        }
        if (sum && by_instruction) {
            fprintf(f, "%llu\t%llx\t%s\t%s\n", (unsigned long long)sum, (unsigned long long)sorted[i]->address,
                    sorted[i]->symbol, sorted[i]->text);
        } else if (sum) {
            fprintf(f, "%llu\t%s\n", (unsigned long long)sum, sorted[i]->symbol);
        }
        i = j;
    }
    if (f != stderr) {
        fclose(f);
    }
}

__attribute__((visibility("default"))) int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv) {
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "out=", 4) == 0) {
            out_path = strdup(argv[i] + 4);
        } else if (strcmp(argv[i], "by=insn") == 0) {
            by_instruction = true;
        } else {
            fprintf(stderr, "icount: unknown argument %s\n", argv[i]);
            return 1;
        }
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, finish, NULL);
    return 0;
}
