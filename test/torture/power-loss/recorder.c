/*
 * Preloaded into a process under test: records what it does to the files below BELFRY_RECORD_ROOT, in the order in which the calls
 * return, into BELFRY_RECORD_LOG. One mutex around each call makes that order the true one.
 *
 *   record := kind u8 · pathBytes u16 · offset u64 · length u32 · path · bytes          (little-endian)
 *   kinds: 'w' write · 's' synced write (O_DSYNC) · 'f' file flushed · 'd' directory flushed · 't' truncated to offset
 *          'c' created · 'r' renamed, the bytes are the new path · 'u' removed · 'm' directory made
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS 4096
static char *paths[FDS];
static int synced[FDS], directory[FDS];
static ino_t inodes[FDS];
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static const char *root;
static int logfd = -1;

static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);

__attribute__((constructor)) static void begin(void) {
  real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
  real_write = dlsym(RTLD_NEXT, "write");
  real_writev = dlsym(RTLD_NEXT, "writev");
  root = getenv("BELFRY_RECORD_ROOT");
  const char *file = getenv("BELFRY_RECORD_LOG");
  int (*real_open)(const char *, int, ...) = dlsym(RTLD_NEXT, "open64");
  if (root && file) logfd = real_open(file, O_WRONLY | O_CREAT | O_APPEND, 0644);
}

static void note(char kind, const char *path, uint64_t offset, const void *bytes, uint32_t length) {
  uint16_t pathBytes = strlen(path);
  char head[15];
  head[0] = kind;
  memcpy(head + 1, &pathBytes, 2);
  memcpy(head + 3, &offset, 8);
  memcpy(head + 11, &length, 4);
  struct iovec parts[3] = {{head, 15}, {(void *)path, pathBytes}, {(void *)bytes, length}};
  if (real_writev(logfd, parts, 3) < 0) abort();
}

/* LMDB and Node give absolute paths. */
static int wanted(const char *path) {
  return logfd >= 0 && path && strncmp(path, root, strlen(root)) == 0 && !strstr(path, "lock");
}
/* libuv closes some descriptors by a system call of its own: a number that means another file by now is forgotten here. */
static const char *pathOf(int fd) {
  if (fd < 0 || fd >= FDS || !paths[fd]) return NULL;
  struct stat status;
  if (fstat(fd, &status) == 0 && status.st_ino == inodes[fd]) return paths[fd];
  paths[fd] = NULL;
  return NULL;
}

static int opened(int fd, const char *path, int flags, int existed) {
  if (fd < 0 || fd >= FDS || !wanted(path)) return fd;
  paths[fd] = strdup(path);
  synced[fd] = (flags & O_DSYNC) != 0;
  struct stat status;
  if (fstat(fd, &status) != 0) abort();
  directory[fd] = S_ISDIR(status.st_mode);
  inodes[fd] = status.st_ino;
  if (!existed && (flags & O_CREAT)) note('c', path, 0, "", 0);
  else if (flags & O_TRUNC) note('t', path, 0, "", 0);
  return fd;
}

#define OPEN(name)                                                      \
  int name(const char *path, int flags, ...) {                          \
    static int (*real)(const char *, int, ...);                         \
    if (!real) real = dlsym(RTLD_NEXT, #name);                          \
    va_list list;                                                       \
    va_start(list, flags);                                              \
    mode_t mode = (flags & O_CREAT) ? va_arg(list, int) : 0;            \
    va_end(list);                                                       \
    if (!wanted(path)) return real(path, flags, mode);                  \
    pthread_mutex_lock(&turn);                                          \
    int existed = access(path, F_OK) == 0;                              \
    int fd = opened(real(path, flags, mode), path, flags, existed);     \
    pthread_mutex_unlock(&turn);                                        \
    return fd;                                                          \
  }
OPEN(open)
OPEN(open64)

int close(int fd) {
  static int (*real)(int);
  if (!real) real = dlsym(RTLD_NEXT, "close");
  if (!pathOf(fd)) return real(fd);
  pthread_mutex_lock(&turn);
  paths[fd] = NULL;
  int result = real(fd);
  pthread_mutex_unlock(&turn);
  return result;
}

static ssize_t written(int fd, const void *bytes, size_t length, off_t offset) {
  pthread_mutex_lock(&turn);
  ssize_t result = real_pwrite(fd, bytes, length, offset);
  if (result > 0) note(synced[fd] ? 's' : 'w', paths[fd], offset, bytes, result);
  pthread_mutex_unlock(&turn);
  return result;
}
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
  return pathOf(fd) ? written(fd, bytes, length, offset) : real_pwrite(fd, bytes, length, offset);
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t offset) { return pwrite(fd, bytes, length, offset); }
ssize_t write(int fd, const void *bytes, size_t length) {
  if (!pathOf(fd)) return real_write(fd, bytes, length);
  pthread_mutex_lock(&turn);
  off_t offset = fcntl(fd, F_GETFL) & O_APPEND ? lseek(fd, 0, SEEK_END) : lseek(fd, 0, SEEK_CUR);
  ssize_t result = real_write(fd, bytes, length);
  if (result > 0) note(synced[fd] ? 's' : 'w', paths[fd], offset, bytes, result);
  pthread_mutex_unlock(&turn);
  return result;
}

static ssize_t writtenParts(int fd, const struct iovec *parts, int count, off_t offset, ssize_t result) {
  ssize_t left = result;
  for (int i = 0; i < count && left > 0; i++) {
    size_t length = parts[i].iov_len < (size_t)left ? parts[i].iov_len : (size_t)left;
    note(synced[fd] ? 's' : 'w', paths[fd], offset, parts[i].iov_base, length);
    offset += length;
    left -= length;
  }
  return result;
}
#define PWRITEV(name)                                                                    \
  ssize_t name(int fd, const struct iovec *parts, int count, off_t offset) {             \
    static ssize_t (*real)(int, const struct iovec *, int, off_t);                       \
    if (!real) real = dlsym(RTLD_NEXT, #name);                                           \
    if (!pathOf(fd)) return real(fd, parts, count, offset);                              \
    pthread_mutex_lock(&turn);                                                           \
    ssize_t result = writtenParts(fd, parts, count, offset, real(fd, parts, count, offset)); \
    pthread_mutex_unlock(&turn);                                                         \
    return result;                                                                       \
  }
ssize_t writev(int fd, const struct iovec *parts, int count) {
  if (!pathOf(fd)) return real_writev(fd, parts, count);
  pthread_mutex_lock(&turn);
  off_t offset = lseek(fd, 0, SEEK_CUR);
  ssize_t result = writtenParts(fd, parts, count, offset, real_writev(fd, parts, count));
  pthread_mutex_unlock(&turn);
  return result;
}
PWRITEV(pwritev)
PWRITEV(pwritev64)

/* A flush covers what was written before it began; what is written meanwhile may or may not be on the disk, and is recorded before it. */
#define FLUSH(name)                                                     \
  int name(int fd) {                                                    \
    static int (*real)(int);                                            \
    if (!real) real = dlsym(RTLD_NEXT, #name);                          \
    if (!pathOf(fd)) return real(fd);                                   \
    pthread_mutex_lock(&turn);                                          \
    int result = real(fd);                                              \
    if (result == 0) note(directory[fd] ? 'd' : 'f', paths[fd], 0, "", 0); \
    pthread_mutex_unlock(&turn);                                        \
    return result;                                                      \
  }
FLUSH(fsync)
FLUSH(fdatasync)

#define TRUNCATE(name)                                                  \
  int name(int fd, off_t length) {                                      \
    static int (*real)(int, off_t);                                     \
    if (!real) real = dlsym(RTLD_NEXT, #name);                          \
    if (!pathOf(fd)) return real(fd, length);                           \
    pthread_mutex_lock(&turn);                                          \
    int result = real(fd, length);                                      \
    if (result == 0) note('t', paths[fd], length, "", 0);               \
    pthread_mutex_unlock(&turn);                                        \
    return result;                                                      \
  }
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

int rename(const char *from, const char *to) {
  static int (*real)(const char *, const char *);
  if (!real) real = dlsym(RTLD_NEXT, "rename");
  if (!wanted(from)) return real(from, to);
  pthread_mutex_lock(&turn);
  int result = real(from, to);
  if (result == 0) note('r', from, 0, to, strlen(to));
  pthread_mutex_unlock(&turn);
  return result;
}
int unlink(const char *path) {
  static int (*real)(const char *);
  if (!real) real = dlsym(RTLD_NEXT, "unlink");
  if (!wanted(path)) return real(path);
  pthread_mutex_lock(&turn);
  int result = real(path);
  if (result == 0) note('u', path, 0, "", 0);
  pthread_mutex_unlock(&turn);
  return result;
}
int mkdir(const char *path, mode_t mode) {
  static int (*real)(const char *, mode_t);
  if (!real) real = dlsym(RTLD_NEXT, "mkdir");
  if (!wanted(path)) return real(path, mode);
  pthread_mutex_lock(&turn);
  int result = real(path, mode);
  if (result == 0) note('m', path, 0, "", 0);
  pthread_mutex_unlock(&turn);
  return result;
}
