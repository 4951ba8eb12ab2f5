/* gcc 12's unwinder asks the C library where the unwind table of an address is, by a function that
   glibc 2.35 has and musl has not. This finds it the way older unwinders did. A static program has
   one object, so a list is not needed. The layout is that of glibc's <dlfcn.h>, documented in
   its manual ("Dynamic Linker Introspection"), on machines without eh_dbase: all 64-bit ones. */
#define _GNU_SOURCE
#include <link.h>
#include <stddef.h>

struct dl_find_object {
    unsigned long long flags;
    void *map_start;
    void *map_end;
    struct link_map *link_map;
    void *eh_frame;
    unsigned long long reserved[7];
};

struct search {
    ElfW(Addr) address;
    struct dl_find_object *found;
};

static int look(struct dl_phdr_info *object, size_t size, void *data)
{
    struct search *search = data;
    void *table = NULL;
    int is_here = 0;
    (void)size;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &object->dlpi_phdr[i];
        ElfW(Addr) start = object->dlpi_addr + header->p_vaddr;
        if (header->p_type == PT_GNU_EH_FRAME)
            table = (void *)start;
        if (header->p_type == PT_LOAD && search->address - start < header->p_memsz) {
            is_here = 1;
            search->found->map_start = (void *)start;
            search->found->map_end = (void *)(start + header->p_memsz);
        }
    }
    if (!is_here || table == NULL)
        return 0;
    search->found->flags = 0;
    search->found->link_map = NULL;
    search->found->eh_frame = table;
    return 1;
}

int _dl_find_object(void *address, struct dl_find_object *result)
{
    struct search search = { (ElfW(Addr))address, result };
    return dl_iterate_phdr(look, &search) == 1 ? 0 : -1;
}
