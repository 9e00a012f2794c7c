// Makes the n-th system call on the files of one folder fail, write half, or kill the process.
//
// Preloaded (LD_PRELOAD) into a process that arms it by `injector_arm`. Calls that open, write,
// flush, rename, remove, cut or lock a file are counted if the file's path contains a mark.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static char mark[256];
static int target, code, forever, count;

// error: of errno, 0 to kill the process, -1 to write half of what is asked
void injector_arm(const char *part_of_path, int nth, int error, int and_all_later) {
  strncpy(mark, part_of_path, sizeof mark - 1);
  target = nth, code = error, forever = and_all_later, count = 0;
}

int injector_count(void) { return count; }

static int is_ours(const char *path) {
  char here[PATH_MAX];
  if (!mark[0] || !path) return 0;
  if (path[0] == '/' || !getcwd(here, sizeof here)) return strstr(path, mark) != NULL;
  return strstr(here, mark) != NULL;
}

static int is_our_file(int fd) {
  char link[64], path[PATH_MAX];
  if (!mark[0]) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t size = readlink(link, path, sizeof path - 1);
  if (size < 0) return 0;
  path[size] = 0;
  return is_ours(path);
}

static int is_ours_at(int fd, const char *path) {
  return fd == AT_FDCWD || (path && path[0] == '/') ? is_ours(path) : is_our_file(fd);
}

// Whether this call fails; it does not return if it is the one that kills. A full disk refuses only
// what needs room.
static int fails(int needs_room) {
  count++;
  if (code == ENOSPC && !needs_room) return 0;
  if (!(count == target || (forever && count > target))) return 0;
  if (code == 0) raise(SIGKILL);
  if (code < 0) return 0;
  errno = code;
  return 1;
}

static size_t written(size_t size) {
  return code < 0 && count == target && size > 1 ? size / 2 : size;
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define WRAP(name, parameters, ours, room, arguments) \
  int name parameters {                         \
    REAL(name);                                 \
    if ((ours) && fails(room)) return -1;       \
    return real arguments;                      \
  }

WRAP(fsync, (int fd), is_our_file(fd), 1, (fd))
WRAP(fdatasync, (int fd), is_our_file(fd), 1, (fd))
WRAP(ftruncate, (int fd, off_t size), is_our_file(fd), 0, (fd, size))
WRAP(ftruncate64, (int fd, off64_t size), is_our_file(fd), 0, (fd, size))
WRAP(flock, (int fd, int how), is_our_file(fd), 0, (fd, how))
WRAP(rename, (const char *a, const char *b), is_ours(a) || is_ours(b), 1, (a, b))
WRAP(unlink, (const char *path), is_ours(path), 0, (path))
WRAP(rmdir, (const char *path), is_ours(path), 0, (path))
WRAP(mkdir, (const char *path, mode_t mode), is_ours(path), 1, (path, mode))
WRAP(chmod, (const char *path, mode_t mode), is_ours(path), 0, (path, mode))
WRAP(unlinkat, (int fd, const char *path, int how), is_ours_at(fd, path), 0, (fd, path, how))
WRAP(link, (const char *a, const char *b), is_ours(b), 1, (a, b))
WRAP(linkat, (int x, const char *a, int y, const char *b, int how), is_ours_at(y, b),
     1, (x, a, y, b, how))

ssize_t write(int fd, const void *bytes, size_t size) {
  REAL(write);
  if (is_our_file(fd)) {
    if (fails(1)) return -1;
    size = written(size);
  }
  return real(fd, bytes, size);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at) {
  REAL(pwrite64);
  if (is_our_file(fd) && fails(1)) return -1;
  return real(fd, bytes, size, at);
}

ssize_t writev(int fd, const struct iovec *parts, int num_parts) {
  REAL(writev);
  if (is_our_file(fd) && fails(1)) return -1;
  return real(fd, parts, num_parts);
}

#define MODE                              \
  mode_t mode = 0;                        \
  if (flags & (O_CREAT | O_TMPFILE)) {    \
    va_list list;                         \
    va_start(list, flags);                \
    mode = va_arg(list, mode_t);          \
    va_end(list);                         \
  }

#define OPEN(name)                                    \
  int name(const char *path, int flags, ...) {        \
    REAL(name);                                       \
    MODE                                              \
    if (is_ours(path) && fails(flags & O_CREAT)) return -1; \
    return real(path, flags, mode);                   \
  }

#define OPENAT(name)                                          \
  int name(int fd, const char *path, int flags, ...) {        \
    REAL(name);                                               \
    MODE                                                      \
    if (is_ours_at(fd, path) && fails(flags & O_CREAT)) return -1; \
    return real(fd, path, flags, mode);                       \
  }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
