/* Preloaded into a gateway: makes the disk under some of its files fail while a control file says so.
 *
 * FAULT_PATH     part of the path of the files that fail (".jsonl" for the ledger's segments)
 * FAULT_CONTROL  a file of "<call> <errno>", where call is write or fdatasync; empty or missing: nothing fails
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int wanted(int fd, const char *call)
{
    const char *part = getenv("FAULT_PATH"), *control = getenv("FAULT_CONTROL");
    char link[64], path[4096], name[32];
    int number = 0;
    ssize_t length;
    FILE *file;

    if (part == NULL || control == NULL)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    if (strstr(path, part) == NULL || (file = fopen(control, "r")) == NULL)
        return 0;
    if (fscanf(file, "%31s %d", name, &number) != 2 || strcmp(name, call) != 0)
        number = 0;
    fclose(file);
    return number;
}

ssize_t write(int fd, const void *data, size_t size)
{
    static ssize_t (*real)(int, const void *, size_t);
    int number = wanted(fd, "write");

    if (real == NULL)
        real = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    if (number) {
        if (size > 1)
            real(fd, data, size / 2); /* as a disk that fills up does: half of it is there */
        errno = number;
        return -1;
    }
    return real(fd, data, size);
}

int fdatasync(int fd)
{
    static int (*real)(int);
    int number = wanted(fd, "fdatasync");

    if (real == NULL)
        real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    if (number) {
        errno = number;
        return -1;
    }
    return real(fd);
}
