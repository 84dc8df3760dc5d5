/* Shifts the wall clock of a process by SOAK_JUMP_S seconds from SOAK_JUMP_AT (seconds since 1970) on, as a clock that
   is set does. The monotonic clock goes on. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static time_t jump(time_t now) {
    const char *at = getenv("SOAK_JUMP_AT"), *by = getenv("SOAK_JUMP_S");
    return at && by && now >= atoll(at) ? (time_t)atoll(by) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *found) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, found);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) found->tv_sec += jump(found->tv_sec);
    return failed;
}

int gettimeofday(struct timeval *restrict found, void *restrict zone) {
    static int (*real)(struct timeval *, void *);
    if (!real) real = dlsym(RTLD_NEXT, "gettimeofday");
    int failed = real(found, zone);
    if (!failed) found->tv_sec += jump(found->tv_sec);
    return failed;
}

time_t time(time_t *found) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (found) *found = now.tv_sec;
    return now.tv_sec;
}
