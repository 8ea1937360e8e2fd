"""A library to preload into a process: calls of the disk fail, or hang, where its rules say so.

A rule is a call, the name of an errno (or HANG), and a part of the path it is about.
"""

import errno
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

Rule = tuple[str, str, str]  # ("read", "EIO", "bad.jpg")
_SOURCE = r"""
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

/* 0 where no rule is about it; else the call has failed, and errno is set. */
static int fails(const char *call, const char *path) {
    const char *rules = getenv("FAILING_DISK");
    char copy[8192], *rule, *rest;
    if (!rules || !path) return 0;
    strncpy(copy, rules, sizeof copy - 1);
    copy[sizeof copy - 1] = 0;
    for (rule = strtok_r(copy, "\n", &rest); rule; rule = strtok_r(NULL, "\n", &rest)) {
        char name[32], part[PATH_MAX] = "";
        int code;
        if (sscanf(rule, "%31s %d %[^\n]", name, &code, part) < 2) continue;
        if (strcmp(name, call) || !strstr(path, part)) continue;
        while (code == 0) sleep(1000);
        errno = code;
        return 1;
    }
    return 0;
}

static int fails_at(const char *call, int fd) {
    char link[64], path[PATH_MAX];
    if (!getenv("FAILING_DISK")) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fails(call, path);
}

#define REAL(type, name) type = dlsym(RTLD_NEXT, name)

int link(const char *from, const char *to) {
    REAL(int (*real)(const char *, const char *), "link");
    return fails("link", to) ? -1 : real(from, to);
}
int linkat(int a, const char *from, int b, const char *to, int flags) {
    REAL(int (*real)(int, const char *, int, const char *, int), "linkat");
    return fails("link", to) ? -1 : real(a, from, b, to, flags);
}
int rename(const char *from, const char *to) {
    REAL(int (*real)(const char *, const char *), "rename");
    /* "replace" is refused where something has that name already */
    if (access(to, F_OK) == 0 && fails("replace", to)) return -1;
    return fails("rename", to) ? -1 : real(from, to);
}
int fsync(int fd) {
    REAL(int (*real)(int), "fsync");
    return fails_at("fsync", fd) ? -1 : real(fd);
}
ssize_t read(int fd, void *buffer, size_t length) {
    REAL(ssize_t (*real)(int, void *, size_t), "read");
    return fails_at("read", fd) ? -1 : real(fd, buffer, length);
}
ssize_t pread64(int fd, void *buffer, size_t length, off64_t offset) {
    REAL(ssize_t (*real)(int, void *, size_t, off64_t), "pread64");
    return fails_at("read", fd) ? -1 : real(fd, buffer, length, offset);
}
ssize_t write(int fd, const void *buffer, size_t length) {
    REAL(ssize_t (*real)(int, const void *, size_t), "write");
    return fails_at("write", fd) ? -1 : real(fd, buffer, length);
}
DIR *opendir(const char *path) {
    REAL(DIR *(*real)(const char *), "opendir");
    return fails("opendir", path) ? NULL : real(path);
}
static int opened(const char *call, const char *path, int flags, int mode) {
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, call);
    return fails("open", path) ? -1 : real(path, flags, mode);
}
int open(const char *path, int flags, ...) {
    va_list rest; va_start(rest, flags); int mode = va_arg(rest, int); va_end(rest);
    return opened("open", path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    va_list rest; va_start(rest, flags); int mode = va_arg(rest, int); va_end(rest);
    return opened("open64", path, flags, mode);
}
"""


def on_failing_disk(folder: Path, *rules: Rule) -> dict[str, str]:
    """The environment of a process to whom the disk fails as these rules say.

    Args:
        folder: where the library is built, unless it is there already.
        rules: of which the first that fits counts.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no cc to compile the library that lets calls fail")
    source, library = folder / "failing_disk.c", folder / "failing_disk.so"
    if not library.exists():
        source.write_text(f"#include <stdarg.h>\n{_SOURCE}")
        build = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
        subprocess.run(build, check=True)
    return {**os.environ, "LD_PRELOAD": str(library), "FAILING_DISK": as_text(*rules)}


def as_text(*rules: Rule) -> str:
    """Rules as the library reads them, which it does at each call."""
    codes: Mapping[str, int] = {"HANG": 0, **vars(errno)}
    return "\n".join(f"{call} {codes[name]} {part}" for call, name, part in rules)
