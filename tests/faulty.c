/* Calls that fail when a test wants them to: loaded into the program under test by LD_PRELOAD.

   FAULTY_RULES holds rules, one a line, with tabs between the fields:
     kind  glob  but  first  last  action  switch
   The calls of that kind on paths that match `glob` and not `but` are counted, over all threads; those from the `first` to the
   `last` (0: for ever) meet the action, while the file `switch` is there (-: always). An action is the name of an
   error; `end` (a read gives 0 bytes), `half` (half of what was asked for is done), `flip` (a bit of what is read is
   another one, each time one elsewhere), `bad:FROM-TO` (a read that touches these bytes of the file gives EIO).
   FAULTY_LOG is appended "kind<TAB>path" for each call that any rule matches, with a ! before what failed. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define MOST 16
#define LONGEST 8192

enum action { FAIL, END, HALF, FLIP, BAD };

static struct rule {
    char kind[16], glob[PATH_MAX], but[PATH_MAX], gate[PATH_MAX];
    long first, last;
    enum action action;
    int error;
    long long from, to;
    atomic_long count;
} rules[MOST];
static int number;
static int log_to = -1;

static const struct { const char *name; int error; } ERRORS[] = {
    {"ENOSPC", ENOSPC}, {"EIO", EIO},       {"EROFS", EROFS},   {"EDQUOT", EDQUOT},
    {"ENODEV", ENODEV}, {"ENOENT", ENOENT}, {"EUCLEAN", EUCLEAN}, {"ELOOP", ELOOP},
    {"EMFILE", EMFILE},
};

static void parse_action(struct rule *rule, const char *word) {
    if (!strcmp(word, "end")) rule->action = END;
    else if (!strcmp(word, "half")) rule->action = HALF;
    else if (!strcmp(word, "flip")) rule->action = FLIP;
    else if (sscanf(word, "bad:%lld-%lld", &rule->from, &rule->to) == 2) rule->action = BAD, rule->error = EIO;
    else {
        for (size_t i = 0; i < sizeof ERRORS / sizeof *ERRORS; i++)
            if (!strcmp(word, ERRORS[i].name)) rule->error = ERRORS[i].error;
        if (!rule->error) {
            fprintf(stderr, "no such action: %s\n", word);
            _exit(99);
        }
    }
}

/* Also called in a process that was forked, and whose environment is another one. */
__attribute__((constructor)) void faulty_begin(void) {
    const char *text = getenv("FAULTY_RULES"), *log = getenv("FAULTY_LOG");
    number = 0;
    log_to = -1;
    if (log) log_to = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    for (; text && *text && number < MOST; text = strchr(text, '\n') ? strchr(text, '\n') + 1 : "") {
        struct rule *rule = &rules[number];
        memset(rule, 0, sizeof *rule);
        char action[64];
        if (sscanf(text, "%15[^\t]\t%4095[^\t]\t%4095[^\t]\t%ld\t%ld\t%63[^\t]\t%4095[^\n]", rule->kind, rule->glob, rule->but,
                   &rule->first, &rule->last, action, rule->gate) != 7) {
            fprintf(stderr, "not a rule: %s\n", text);
            _exit(99);
        }
        parse_action(rule, action);
        number++;
    }
}

static int is_wanted(const char *kind) {
    for (int i = 0; i < number; i++)
        if (!strcmp(rules[i].kind, kind)) return 1;
    return 0;
}

static void put_down(const char *kind, const char *path, int met) {
    char line[LONGEST];
    if (log_to >= 0) {
        int size = snprintf(line, sizeof line, "%s%s\t%s\n", met ? "!" : "", kind, path);
        syscall(SYS_write, log_to, line, size < (int)sizeof line ? size : (int)sizeof line);
    }
}

/* The rule that a call meets, NULL where it goes on as ever. `from` and `size` are what of a file is read. */
static struct rule *meet(const char *kind, const char *path, long long from, size_t size) {
    struct rule *met = NULL;
    int counted = 0;
    for (int i = 0; i < number; i++) {
        struct rule *rule = &rules[i];
        if (strcmp(rule->kind, kind) || fnmatch(rule->glob, path, 0) || !fnmatch(rule->but, path, 0)) continue;
        if (rule->action == BAD && (from > rule->to || from + (long long)size <= rule->from)) continue;
        counted = 1;
        long nth = atomic_fetch_add(&rule->count, 1) + 1;
        if (met || nth < rule->first || (rule->last && nth > rule->last)) continue;
        if (strcmp(rule->gate, "-") && syscall(SYS_faccessat, AT_FDCWD, rule->gate, F_OK)) continue;
        met = rule;
    }
    if (counted) put_down(kind, path, met != NULL);
    return met;
}

static void name_descriptor(int descriptor, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    long size = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    path[size > 0 ? size : 0] = 0;
}

static void name_at(int folder, const char *name, char *path) {
    if (*name == '/') {
        snprintf(path, LONGEST, "%s", name);
        return;
    }
    if (folder == AT_FDCWD) {
        if (!getcwd(path, PATH_MAX)) *path = 0;
    } else
        name_descriptor(folder, path);
    size_t size = strlen(path);
    snprintf(path + size, LONGEST - size, "/%s", name);
}

static struct rule *meet_descriptor(const char *kind, int descriptor, long long from, size_t size) {
    char path[LONGEST];
    if (!is_wanted(kind)) return NULL;
    int before = errno;
    name_descriptor(descriptor, path);
    if (from == -1) from = syscall(SYS_lseek, descriptor, 0, SEEK_CUR);
    struct rule *rule = meet(kind, path, from, size);
    errno = rule && rule->error ? rule->error : before;
    return rule;
}

static struct rule *meet_at(const char *kind, int folder, const char *name) {
    char path[LONGEST];
    if (!is_wanted(kind)) return NULL;
    int before = errno;
    name_at(folder, name, path);
    struct rule *rule = meet(kind, path, 0, 0);
    errno = rule && rule->error ? rule->error : before;
    return rule;
}

#define NEXT(type, name, ...)                            \
    static type (*next)(__VA_ARGS__);                    \
    if (!next) next = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

/* Opening. */

#define OPEN(name)                                                                               \
    int name(const char *path, int flags, ...) {                                                 \
        NEXT(int, #name, const char *, int, ...);                                                \
        va_list more;                                                                            \
        va_start(more, flags);                                                                   \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;                  \
        va_end(more);                                                                            \
        if (meet_at(flags & O_CREAT ? "create" : "open", AT_FDCWD, path)) return -1;             \
        return next(path, flags, mode);                                                          \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                             \
    int name(int folder, const char *path, int flags, ...) {                                     \
        NEXT(int, #name, int, const char *, int, ...);                                           \
        va_list more;                                                                            \
        va_start(more, flags);                                                                   \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;                  \
        va_end(more);                                                                            \
        if (meet_at(flags & O_CREAT ? "create" : "open", folder, path)) return -1;               \
        return next(folder, path, flags, mode);                                                  \
    }
OPENAT(openat)
OPENAT(openat64)

/* Writing. */

static size_t halve(struct rule *rule, size_t size) {
    return rule && rule->action == HALF && size > 1 ? size / 2 : size;
}

ssize_t write(int descriptor, const void *data, size_t size) {
    NEXT(ssize_t, "write", int, const void *, size_t);
    struct rule *rule = meet_descriptor("write", descriptor, 0, 0);
    if (rule && rule->action == FAIL) return -1;
    return next(descriptor, data, halve(rule, size));
}

#define PWRITE(name)                                                                             \
    ssize_t name(int descriptor, const void *data, size_t size, off64_t place) {                 \
        NEXT(ssize_t, #name, int, const void *, size_t, off64_t);                                \
        struct rule *rule = meet_descriptor("write", descriptor, 0, 0);                          \
        if (rule && rule->action == FAIL) return -1;                                             \
        return next(descriptor, data, halve(rule, size), place);                                 \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

#define ALLOCATE(name)                                                                           \
    int name(int descriptor, off64_t place, off64_t size) {                                      \
        NEXT(int, #name, int, off64_t, off64_t);                                                 \
        struct rule *rule = meet_descriptor("write", descriptor, 0, 0);                          \
        return rule && rule->action == FAIL ? rule->error : next(descriptor, place, size);       \
    }
ALLOCATE(posix_fallocate)
ALLOCATE(posix_fallocate64)

#define TRUNCATE(name)                                                                           \
    int name(int descriptor, off64_t size) {                                                     \
        NEXT(int, #name, int, off64_t);                                                          \
        return meet_descriptor("truncate", descriptor, 0, 0) ? -1 : next(descriptor, size);      \
    }
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

#define SYNC(name)                                                                               \
    int name(int descriptor) {                                                                   \
        NEXT(int, #name, int);                                                                   \
        return meet_descriptor("sync", descriptor, 0, 0) ? -1 : next(descriptor);                \
    }
SYNC(fsync)
SYNC(fdatasync)

/* Names. */

int rename(const char *from, const char *to) {
    NEXT(int, "rename", const char *, const char *);
    return meet_at("rename", AT_FDCWD, to) ? -1 : next(from, to);
}

int renameat(int there, const char *from, int here, const char *to) {
    NEXT(int, "renameat", int, const char *, int, const char *);
    return meet_at("rename", here, to) ? -1 : next(there, from, here, to);
}

int renameat2(int there, const char *from, int here, const char *to, unsigned flags) {
    NEXT(int, "renameat2", int, const char *, int, const char *, unsigned);
    return meet_at("rename", here, to) ? -1 : next(there, from, here, to, flags);
}

int mkdir(const char *path, mode_t mode) {
    NEXT(int, "mkdir", const char *, mode_t);
    return meet_at("mkdir", AT_FDCWD, path) ? -1 : next(path, mode);
}

int mkdirat(int folder, const char *path, mode_t mode) {
    NEXT(int, "mkdirat", int, const char *, mode_t);
    return meet_at("mkdir", folder, path) ? -1 : next(folder, path, mode);
}

int unlink(const char *path) {
    NEXT(int, "unlink", const char *);
    return meet_at("unlink", AT_FDCWD, path) ? -1 : next(path);
}

int unlinkat(int folder, const char *path, int flags) {
    NEXT(int, "unlinkat", int, const char *, int);
    return meet_at("unlink", folder, path) ? -1 : next(folder, path, flags);
}

/* Reading. */

static ssize_t spoil(struct rule *rule, char *data, ssize_t got) {
    if (rule && rule->action == FLIP && got > 0) data[(got / 2 + atomic_load(&rule->count)) % got] ^= 1;
    return got;
}

static int is_refused(struct rule *rule) {
    return rule && (rule->action == FAIL || rule->action == BAD);
}

ssize_t read(int descriptor, void *data, size_t size) {
    NEXT(ssize_t, "read", int, void *, size_t);
    struct rule *rule = meet_descriptor("read", descriptor, -1, size);
    if (is_refused(rule)) return -1;
    if (rule && rule->action == END) return 0;
    return spoil(rule, data, next(descriptor, data, halve(rule, size)));
}

ssize_t readv(int descriptor, const struct iovec *parts, int count) {
    NEXT(ssize_t, "readv", int, const struct iovec *, int);
    struct rule *rule = meet_descriptor("read", descriptor, -1, parts[0].iov_len);
    if (is_refused(rule)) return -1;
    if (rule && rule->action == END) return 0;
    if (rule && rule->action == HALF) {
        struct iovec one = {parts[0].iov_base, halve(rule, parts[0].iov_len)};
        return next(descriptor, &one, 1);
    }
    return spoil(rule, parts[0].iov_base, next(descriptor, parts, count));
}

#define PREAD(name)                                                                              \
    ssize_t name(int descriptor, void *data, size_t size, off64_t place) {                       \
        NEXT(ssize_t, #name, int, void *, size_t, off64_t);                                      \
        struct rule *rule = meet_descriptor("read", descriptor, place, size);                    \
        if (is_refused(rule)) return -1;                                                         \
        if (rule && rule->action == END) return 0;                                               \
        return spoil(rule, data, next(descriptor, data, size, place));                           \
    }
PREAD(pread)
PREAD(pread64)

#define READDIR(name, entry)                                                                     \
    struct entry *name(DIR *folder) {                                                            \
        NEXT(struct entry *, #name, DIR *);                                                      \
        return meet_descriptor("list", dirfd(folder), 0, 0) ? NULL : next(folder);               \
    }
READDIR(readdir, dirent)
READDIR(readdir64, dirent64)

#define STATAT(name, found)                                                                      \
    int name(int folder, const char *restrict path, struct found *restrict to, int flags) {      \
        NEXT(int, #name, int, const char *, struct found *, int);                                \
        return meet_at("stat", folder, path) ? -1 : next(folder, path, to, flags);               \
    }
STATAT(fstatat, stat)
STATAT(fstatat64, stat64)

#define STAT(name, found)                                                                        \
    int name(const char *restrict path, struct found *restrict to) {                             \
        NEXT(int, #name, const char *, struct found *);                                          \
        return meet_at("stat", AT_FDCWD, path) ? -1 : next(path, to);                            \
    }
STAT(stat, stat)
STAT(stat64, stat64)
STAT(lstat, stat)
STAT(lstat64, stat64)
