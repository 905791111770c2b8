/* LD_PRELOAD library that counts heap calls into a shared file: MALLOC_COUNT_FILE (512 bytes or more).
 *
 * The file is mapped, so that a reader samples the counters of a running process without stopping it.
 * Slots, native 64-bit integers: malloc, calloc, realloc, aligned (posix_memalign, aligned_alloc,
 * memalign), free, bytes asked for. operator new is not hooked: libstdc++ gets its memory from malloc
 * or aligned_alloc and is counted there. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum slot { slot_malloc, slot_calloc, slot_realloc, slot_aligned, slot_free, slot_bytes, slot_count };

/* Counts go here until the file is mapped; what happens before that is start-up, nobody reads it. */
static _Atomic uint64_t early_counts[slot_count];
static _Atomic uint64_t* counts = early_counts;

static void* (*next_malloc)(size_t);
static void* (*next_calloc)(size_t, size_t);
static void* (*next_realloc)(void*, size_t);
static void (*next_free)(void*);
static int (*next_posix_memalign)(void**, size_t, size_t);
static void* (*next_aligned_alloc)(size_t, size_t);
static void* (*next_memalign)(size_t, size_t);

/* dlsym itself may allocate before the real functions are known; that is served from here and never
 * returned to the real allocator. */
static _Alignas(16) char bootstrap[65536];
static size_t bootstrap_used;
static int resolving;

static void* bootstrap_alloc(size_t size) {
    size = (size + 15) & ~(size_t)15;
    if (size > sizeof bootstrap - bootstrap_used) {
        errno = ENOMEM;
        return NULL;
    }
    void* p = bootstrap + bootstrap_used;
    bootstrap_used += size;
    return p;
}

static int is_bootstrap(const void* p) {
    return (const char*)p >= bootstrap && (const char*)p < bootstrap + sizeof bootstrap;
}

static void resolve(void) {
    if (next_malloc != NULL || resolving) return;
    resolving = 1;
    next_calloc = dlsym(RTLD_NEXT, "calloc");
    next_realloc = dlsym(RTLD_NEXT, "realloc");
    next_free = dlsym(RTLD_NEXT, "free");
    next_posix_memalign = dlsym(RTLD_NEXT, "posix_memalign");
    next_aligned_alloc = dlsym(RTLD_NEXT, "aligned_alloc");
    next_memalign = dlsym(RTLD_NEXT, "memalign");
    next_malloc = dlsym(RTLD_NEXT, "malloc");
    resolving = 0;
}

__attribute__((constructor)) static void map_counters(void) {
    resolve();
    const char* path = getenv("MALLOC_COUNT_FILE");
    if (path == NULL) return;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    void* page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (page != MAP_FAILED) counts = page;
}

static void count(enum slot which, size_t bytes) {
    atomic_fetch_add_explicit(&counts[which], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&counts[slot_bytes], bytes, memory_order_relaxed);
}

void* malloc(size_t size) {
    resolve();
    if (next_malloc == NULL) return bootstrap_alloc(size);
    count(slot_malloc, size);
    return next_malloc(size);
}

void* calloc(size_t n, size_t size) {
    resolve();
    /* The bootstrap area is static and handed out once, hence already zero. */
    if (next_malloc == NULL) return bootstrap_alloc(n * size);
    count(slot_calloc, n * size);
    return next_calloc(n, size);
}

void* realloc(void* p, size_t size) {
    resolve();
    if (next_malloc == NULL || is_bootstrap(p)) {
        void* fresh = malloc(size);
        if (fresh != NULL && p != NULL) {
            size_t rest = (size_t)(bootstrap + sizeof bootstrap - (char*)p);
            memcpy(fresh, p, size < rest ? size : rest);
        }
        return fresh;
    }
    count(slot_realloc, size);
    return next_realloc(p, size);
}

void free(void* p) {
    if (p == NULL || is_bootstrap(p)) return;
    resolve();
    if (next_free == NULL) return;
    count(slot_free, 0);
    next_free(p);
}

int posix_memalign(void** out, size_t alignment, size_t size) {
    resolve();
    count(slot_aligned, size);
    return next_posix_memalign(out, alignment, size);
}

void* aligned_alloc(size_t alignment, size_t size) {
    resolve();
    count(slot_aligned, size);
    return next_aligned_alloc(alignment, size);
}

void* memalign(size_t alignment, size_t size) {
    resolve();
    count(slot_aligned, size);
    return next_memalign(alignment, size);
}
