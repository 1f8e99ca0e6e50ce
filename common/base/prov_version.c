/*
 * prov_version.c - what --version says: what was compiled in, and what was found at run time.
 */
#include "common/base/prov.h"
#include <archive.h>
#include <cblas.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <hdf5.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
/* jpeglib.h leans on what stdio.h and stddef.h define */
#include <jpeglib.h>
#include <png.h>
#include <zlib.h>

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

static void print_hdf5(void)
{
    unsigned major = 0, minor = 0, release = 0;
    H5get_libversion(&major, &minor, &release);
    printf("HDF5: %d.%d.%d, found %u.%u.%u\n", H5_VERS_MAJOR, H5_VERS_MINOR, H5_VERS_RELEASE, major,
           minor, release);
}

/* The library has no function that tells its version. */
static void print_jpeg(void)
{
#ifdef LIBJPEG_TURBO_VERSION
    printf("libjpeg-turbo: " TEXT(LIBJPEG_TURBO_VERSION) ", API %d\n", JPEG_LIB_VERSION);
#else
    printf("libjpeg: API %d\n", JPEG_LIB_VERSION);
#endif
}

static void print_openblas(void)
{
    char version[32] = "unknown version"; /* the header says " OpenBLAS 0.3.21 " */
    sscanf(OPENBLAS_VERSION, " OpenBLAS %31s", version);
    printf("OpenBLAS: %s, found %s\n", version, openblas_get_config());
}

static void print_cpu(void)
{
    struct utsname machine;
    printf("CPU: %s", uname(&machine) ? "unknown" : machine.machine);
#if defined(__x86_64__)
    __builtin_cpu_init();
#define PRINT_IF(name)                                                                             \
    if (__builtin_cpu_supports(name))                                                              \
    printf(" " name)
    PRINT_IF("sse4.2");
    PRINT_IF("avx");
    PRINT_IF("avx2");
    PRINT_IF("fma");
    PRINT_IF("avx512f");
    PRINT_IF("avx512bw");
    PRINT_IF("avx512dq");
    PRINT_IF("avx512vl");
    PRINT_IF("avx512bf16");
    unsigned a, b, c, d; /* bit 22 of EDX: tiles of bfloat16 */
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) && d & 1u << 22)
        printf(" amx-bf16");
#endif
    putchar('\n');
}

void prov_print_version(void)
{
    printf("%s (semppl-tools) " SEMPPL_VERSION "\n", prov_program());
    printf("compiler: " __VERSION__ "\n");
    print_hdf5();
    print_jpeg();
    printf("zlib: " ZLIB_VERSION ", found %s\n", zlibVersion());
    print_openblas();
    printf("libpng: " PNG_LIBPNG_VER_STRING ", found %s\n", png_get_libpng_ver(NULL));
    printf("libarchive: " ARCHIVE_VERSION_ONLY_STRING ", found %s\n", archive_version_details());
    print_cpu();
}
