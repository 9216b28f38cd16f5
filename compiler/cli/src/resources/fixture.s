@ A static library as the measurement's test expects it:
@   arm-none-eabi-as -mcpu=cortex-m4 fixture.s -o fixture.o && ar rcD fixture.a fixture.o
.syntax unified
.thumb

.section .text.model_run,"ax",%progbits
.global model_run
.type model_run,%function
model_run:
    push {r4, lr}
    sub sp, #24
    bl _RNvNtCs1_4demo5inner6middle
    add sp, #24
    pop {r4, lr}
    b.w tail

@ Deeper than what `model_run` calls only when the frame that is gone counted.
.section .text.tail,"ax",%progbits
.type tail,%function
tail:
    sub.w sp, sp, #1056
    add.w sp, sp, #1056
    bx lr

.section .text.middle,"ax",%progbits
.type _RNvNtCs1_4demo5inner6middle,%function
_RNvNtCs1_4demo5inner6middle:
    push {r4, r5, r6, r7, lr}
    sub.w sp, sp, #1024
    movw r0, #:lower16:table
    movt r0, #:upper16:table
    movw r1, #:lower16:arena
    movt r1, #:upper16:arena
    bl leaf
    add.w sp, sp, #1024
    pop {r4, r5, r6, r7, pc}

.section .text.leaf,"ax",%progbits
.type leaf,%function
leaf:
    sub sp, #8
    movw r0, #:lower16:weights
    movt r0, #:upper16:weights
    add sp, #8
    bx lr

@ Nothing calls it.
.section .text.unused,"ax",%progbits
.global unused
.type unused,%function
unused:
    sub.w sp, sp, #4096
    bl unused

.section .rodata._RNvCs1_4demo7WEIGHTS,"a",%progbits
weights: .space 64
.section .rodata.table,"a",%progbits
table: .word leaf, 1, 2, 3
.section .bss.arena,"aw",%nobits
arena: .space 128
