/* Start of a Cortex-M4F board in QEMU: the FPU, initialised data, semihosting, main. */
#include <stdint.h>
#include <stdlib.h>

extern uint32_t stack_top[], data_from[], data_begin[], data_end[], bss_begin[], bss_end[];
extern void initialise_monitor_handles(void);
extern int main(void);

void reset(void) {
    uint32_t *from = data_from, *to;
    *(volatile uint32_t *)0xE000ED88 |= 0xF << 20;
    for (to = data_begin; to < data_end;) {
        *to++ = *from++;
    }
    for (to = bss_begin; to < bss_end;) {
        *to++ = 0;
    }
    initialise_monitor_handles();
    exit(main());
}

void fault(void) {
    for (;;) {
    }
}

void _init(void) {
}

void _fini(void) {
}

__attribute__((section(".vectors"), used)) static const void *vectors[16] = {
    stack_top, reset, fault, fault, fault, fault, fault, 0, 0, 0, 0, fault, fault, 0, fault, fault,
};
