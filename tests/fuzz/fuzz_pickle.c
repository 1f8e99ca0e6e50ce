/*
 * fuzz_pickle.c - any bytes as a pickle: listed and read whole, or refused. The first byte, which
 * says that it is one, is added.
 */
#include "tests/fuzz/tensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static uint8_t pickle[1 << 20];
    size_t head = n >= 1 && bytes[0] == 0x80 ? 0 : 2;
    if (n + head > sizeof pickle)
        return 0;
    memcpy(pickle, "\x80\x02", 2);
    memcpy(pickle + head, bytes, n);
    tensors_fuzz(pickle, n + head);
    return 0;
}
