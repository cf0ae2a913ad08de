/*
 * The wall clock of one process, moved by a file: preloaded into processors and database servers by clock.rs.
 *
 * OUTBOX_CHAOS_CLOCK names a file with one signed 64-bit number, the seconds that the clock is ahead. It is mapped, so
 * a jump is seen at once. Only the wall clock moves: the monotonic one, and every wait, take as long as they are told
 * to. Waits until a time of day come with the moved time and are handed on with the real one.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *ahead;

__attribute__((constructor)) static void map_clock(void) {
    const char *path = getenv("OUTBOX_CHAOS_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *page = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (page != MAP_FAILED) ahead = page;
}

static int64_t seconds_ahead(void) { return ahead ? *ahead : 0; }

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = (int)syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += seconds_ahead();
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec precise;
    int failed = clock_gettime(CLOCK_REALTIME, &precise);
    if (!failed) *now = (struct timeval){precise.tv_sec, precise.tv_nsec / 1000};
    return failed;
}

time_t time(time_t *now) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (now) *now = precise.tv_sec;
    return precise.tv_sec;
}

int timespec_get(struct timespec *now, int base) {
    return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, now) == 0 ? base : 0;
}

/* Which clock a wait's deadline is of: nothing has been up for thirty years. */
static clockid_t real(const struct timespec *until, struct timespec *really) {
    *really = *until;
    if (until->tv_sec < 1000000000) return CLOCK_MONOTONIC;
    really->tv_sec -= seconds_ahead();
    return CLOCK_REALTIME;
}

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *until) {
    struct timespec really;
    clockid_t clock = real(until, &really);
    return pthread_cond_clockwait(condition, mutex, clock, &really);
}

/* The same under the names of C11, which the C library does not send through the ones above. */
int cnd_timedwait(cnd_t *condition, mtx_t *mutex, const struct timespec *until) {
    switch (pthread_cond_timedwait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, until)) {
    case 0: return thrd_success;
    case ETIMEDOUT: return thrd_timedout;
    default: return thrd_error;
    }
}

int pthread_mutex_timedlock(pthread_mutex_t *mutex, const struct timespec *until) {
    struct timespec really;
    clockid_t clock = real(until, &really);
    return pthread_mutex_clocklock(mutex, clock, &really);
}

int sem_timedwait(sem_t *semaphore, const struct timespec *until) {
    struct timespec really;
    clockid_t clock = real(until, &really);
    return sem_clockwait(semaphore, clock, &really);
}
