/*
 * fuzz_safetensors.c - any bytes as safetensors: listed and read whole, or refused.
 */
#include "tests/fuzz/tensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (n >= 2 && bytes[0] == 0x80) /* fuzz_pickle.c's */
        return 0;
    tensors_fuzz(bytes, n);
    return 0;
}
