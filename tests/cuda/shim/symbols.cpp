/*
 * symbols.cpp - what the symbol table of this plugin or program tells of its kernels.
 *
 * A static variable of a function is called _ZZ<function>E<name> where the function is _Z<function>
 * (Itanium C++ ABI, 5.1.6). Those that are thread-local are shared memory: see __shared__.
 */
#include "shim.h"
#include <cxxabi.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where it is loaded, and its thread-local variables on the calling thread. */
struct module {
    std::string file;
    uintptr_t base;
    char *variables;
};

static thread_local char volatile touched;
static thread_local char *variables; /* as in ours(), once known */

static int is_ours(struct dl_phdr_info *info, size_t, void *into)
{
    uintptr_t here = (uintptr_t)is_ours;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        uintptr_t start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
        if (info->dlpi_phdr[i].p_type == PT_LOAD && here >= start &&
            here - start < info->dlpi_phdr[i].p_memsz) {
            *(module *)into = { info->dlpi_name, info->dlpi_addr, (char *)info->dlpi_tls_data };
            return 1;
        }
    }
    return 0;
}

static module ours()
{
    module m = {};
    touched = 1; /* so that there are any */
    dl_iterate_phdr(is_ours, &m);
    return m;
}

struct symbol {
    std::string name;
    ElfW(Addr) value;
    size_t size;
};

/* Functions, and variables that are shared memory. */
static const std::vector<symbol> &symbols(int type)
{
    static std::vector<symbol> functions, shared;
    if (functions.empty()) {
        module m = ours();
        int fd = open(m.file.empty() ? "/proc/self/exe" : m.file.c_str(), O_RDONLY | O_CLOEXEC);
        struct stat st;
        if (fd < 0 || fstat(fd, &st) < 0)
            shim_die("the symbols of %s cannot be read", m.file.c_str());
        char *file = (char *)mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        const ElfW(Ehdr) *header = (const ElfW(Ehdr) *)file;
        const ElfW(Shdr) *sections = (const ElfW(Shdr) *)(file + header->e_shoff);
        for (int i = 0; i < header->e_shnum; i++) {
            if (sections[i].sh_type != SHT_SYMTAB)
                continue;
            const ElfW(Sym) *s = (const ElfW(Sym) *)(file + sections[i].sh_offset);
            const char *names = file + sections[sections[i].sh_link].sh_offset;
            for (size_t n = sections[i].sh_size / sizeof *s; n > 0; n--, s++) {
                symbol found = { names + s->st_name, s->st_value, s->st_size };
                if (ELF64_ST_TYPE(s->st_info) == STT_FUNC && s->st_value)
                    functions.push_back(found);
                if (ELF64_ST_TYPE(s->st_info) == STT_TLS && found.name.compare(0, 3, "_ZZ") == 0)
                    shared.push_back(found);
            }
        }
        munmap(file, (size_t)st.st_size);
        close(fd);
        if (functions.empty())
            shim_die("%s has no symbols", m.file.c_str());
    }
    return type == STT_FUNC ? functions : shared;
}

std::string shim_kernel(const void *kernel, size_t *bytes)
{
    uintptr_t base = ours().base;
    std::string name = "?";
    for (const symbol &s : symbols(STT_FUNC))
        if (base + s.value == (uintptr_t)kernel)
            name = s.name;
    *bytes = 0;
    for (const symbol &s : symbols(STT_TLS))
        if (s.name.compare(0, name.size() + 2, "_Z" + name.substr(1) + "E") == 0)
            *bytes += s.size;
    int status;
    char *words = abi::__cxa_demangle(name.c_str(), NULL, NULL, &status);
    if (words)
        name = words;
    free(words);
    return name;
}

void shim_fill_shared(int byte)
{
    if (!variables)
        variables = ours().variables;
    for (const symbol &s : symbols(STT_TLS))
        memset(variables + s.value, byte, s.size);
}
