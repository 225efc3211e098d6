#include "threads.h"

#if defined(__EMSCRIPTEN__) || defined(__wasm__)

int team_begin(int wanted) { return wanted > 0 ? 1 : 0; }

void team_run(int workers, int items, work *each, void *job) {
    (void)workers;
    for (int item = 0; item < items; item++) each(job, item, 0);
}

void team_end(int workers) { (void)workers; }

uint64_t team_hand_over(int wanted, lead *led, void *job) {
    (void)wanted, (void)led, (void)job;
    return 0;
}

void team_join(uint64_t ticket) { (void)ticket; }

int team_lacks_one(void) { return 0; }

void lists_lock(void) {}
void lists_unlock(void) {}

#else

#include <stdatomic.h>

/* ---- What is needed of the system: a thread, a lock, a bell, a clock. ---- */

#if defined(_WIN32)

#include <windows.h>

typedef SRWLOCK lock_t;
typedef CONDITION_VARIABLE bell_t;
#define LOCK_INIT SRWLOCK_INIT
#define BELL_INIT CONDITION_VARIABLE_INIT

static void lock(lock_t *l) { AcquireSRWLockExclusive(l); }
static void unlock(lock_t *l) { ReleaseSRWLockExclusive(l); }
static void bell_wait(bell_t *b, lock_t *l) { SleepConditionVariableSRW(b, l, INFINITE, 0); }
static void bell_ring(bell_t *b) { WakeAllConditionVariable(b); }

static int64_t now_ns(void) {
    LARGE_INTEGER count, frequency;
    QueryPerformanceCounter(&count);
    QueryPerformanceFrequency(&frequency);
    return (int64_t)((double)count.QuadPart * 1e9 / (double)frequency.QuadPart);
}

static void helper(int self);
static DWORD WINAPI helper_entry(LPVOID self) { return helper((int)(intptr_t)self), 0; }

static int thread_start(int self) {
    HANDLE thread = CreateThread(NULL, 0, helper_entry, (LPVOID)(intptr_t)self, 0, NULL);
    if (thread) CloseHandle(thread);
    return thread != NULL;
}

#else

#include <pthread.h>
#include <signal.h>
#include <time.h>

typedef pthread_mutex_t lock_t;
typedef pthread_cond_t bell_t;
#define LOCK_INIT PTHREAD_MUTEX_INITIALIZER
#define BELL_INIT PTHREAD_COND_INITIALIZER

static void lock(lock_t *l) { pthread_mutex_lock(l); }
static void unlock(lock_t *l) { pthread_mutex_unlock(l); }
static void bell_wait(bell_t *b, lock_t *l) { pthread_cond_wait(b, l); }
static void bell_ring(bell_t *b) { pthread_cond_broadcast(b); }

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void helper(int self);
static void *helper_entry(void *self) { return helper((int)(intptr_t)self), NULL; }

/* Signals stay with the threads of the program: Ctrl-C is Python's. */
static int thread_start(int self) {
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&thread, NULL, helper_entry, (void *)(intptr_t)self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!failed) pthread_detach(thread);
    return !failed;
}

#endif

#if defined(__x86_64__) || defined(__i386__)
static void breathe(void) { __builtin_ia32_pause(); }
#elif defined(__aarch64__)
static void breathe(void) { __asm__ volatile("isb"); } /* `yield` does nothing on most */
#else
static void breathe(void) {}
#endif

/* ---- The lock of the lists. ---- */

static atomic_flag lists = ATOMIC_FLAG_INIT;

void lists_lock(void) {
    while (atomic_flag_test_and_set_explicit(&lists, memory_order_acquire)) breathe();
}

void lists_unlock(void) { atomic_flag_clear_explicit(&lists, memory_order_release); }

/* ---- The pool. ----

   Each worker has a range of items that are its own. It claims them one by one, then those that others have not come to. So a worker that
   the system has taken off its core delays nobody (but by the one item in its hands), and items lie in order before the processor's
   prefetcher where nobody is late.

   The words below are all that a helper reads before it has claimed an item; with an item claimed, the loop cannot end, so what the
   leader wrote before it shared the items out stays as it is. A helper that was away for whole loops can do no harm: either its claim
   fails, or it is a claim on the loop that runs now.

   A job that is handed over is led by the first helper. Whoever handed it over is worker 0 once it joins, and away until then. The pool is
   released by the one that leaves last, so that no other job finds a worker 0 that is still about. */

enum { SPIN_NS = 50000, LOOK_AT_CLOCK = 32, FIRST_HELPER = 1 };

enum stage { OVER, OFFERED, LED, JOINED, STAGES }; /* of a job that is handed over: who is at it */

typedef struct {
    _Alignas(128) _Atomic uint64_t next_end; /* the next item to claim, and in the upper half the end */
} range_t;

static struct {
    range_t ranges[MOST_WORKERS];
    _Alignas(128) work *each;
    void *job;
    int leader;                   /* the worker that runs the loops */
    lead *led;                    /* what was handed over */
    void *led_job;
    int led_workers;
    _Alignas(128) _Atomic uint64_t handed; /* the last ticket, times STAGES, and its stage */
    _Alignas(128) _Atomic int size; /* workers there are, the leader included */
    _Alignas(128) _Atomic int helped; /* items of this loop that helpers have done */
    _Alignas(128) _Atomic int sleepers;
    _Atomic int leader_sleeps;
    atomic_flag taken;
    lock_t mutex;
    bell_t go, done;
} pool = {.size = 1, .taken = ATOMIC_FLAG_INIT, .mutex = LOCK_INIT, .go = BELL_INIT, .done = BELL_INIT};

static int has_items(int worker) {
    uint64_t range = atomic_load_explicit(&pool.ranges[worker].next_end, memory_order_acquire);
    return (uint32_t)range < range >> 32;
}

static int claim(int worker) {
    _Atomic uint64_t *word = &pool.ranges[worker].next_end;
    uint64_t range = atomic_load_explicit(word, memory_order_acquire);
    while ((uint32_t)range < range >> 32)
        if (atomic_compare_exchange_weak_explicit(word, &range, range + 1, memory_order_acq_rel, memory_order_acquire))
            return (int)(uint32_t)range;
    return -1;
}

/* Does what there is, its own first; how many items. Only who had an item of its own goes on to those of others: as long as that one is
   not reported the loop cannot end, so this worker is known to be one of the loop's. */
static int do_items(int self, int workers) {
    int done = 0, item;
    for (; (item = claim(self)) >= 0; done++) pool.each(pool.job, item, self);
    for (int turn = 1; done && turn < workers; turn++)
        for (int whose = (self + turn) % workers; (item = claim(whose)) >= 0; done++) pool.each(pool.job, item, self);
    return done;
}

static void help(int self) {
    int done = do_items(self, atomic_load(&pool.size));
    if (!done) return;
    atomic_fetch_add(&pool.helped, done);
    if (atomic_load(&pool.leader_sleeps)) {
        lock(&pool.mutex);
        bell_ring(&pool.done);
        unlock(&pool.mutex);
    }
}

/* Looks for a while, then sleeps, until there are items or `handed` is no longer at `stage`. */
static void wait_for_work(int self, uint64_t stage) {
    int64_t until = now_ns() + SPIN_NS;
    for (int i = 1; i % LOOK_AT_CLOCK || now_ns() < until; i++) {
        if (has_items(self) || atomic_load_explicit(&pool.handed, memory_order_acquire) != stage) return;
        breathe();
    }
    lock(&pool.mutex);
    atomic_fetch_add(&pool.sleepers, 1);
    while (!has_items(self) && atomic_load(&pool.handed) == stage) bell_wait(&pool.go, &pool.mutex);
    atomic_fetch_sub(&pool.sleepers, 1);
    unlock(&pool.mutex);
}

static void wake_sleepers(void) {
    atomic_thread_fence(memory_order_seq_cst);
    if (!atomic_load(&pool.sleepers)) return;
    lock(&pool.mutex);
    bell_ring(&pool.go);
    unlock(&pool.mutex);
}

static int move_on(uint64_t ticket, enum stage from, enum stage to) {
    uint64_t stage = ticket * STAGES + from;
    return atomic_compare_exchange_strong(&pool.handed, &stage, ticket * STAGES + to);
}

static void lead_job(uint64_t ticket, int self) {
    pool.leader = self;
    pool.led(pool.led_job, pool.led_workers);
    pool.leader = 0;
    if (move_on(ticket, LED, OVER)) {
        atomic_flag_clear(&pool.taken);
    } else { /* the one that joined releases the pool */
        atomic_store(&pool.handed, ticket * STAGES + OVER);
        wake_sleepers();
    }
}

static void helper(int self) {
    for (;;) {
        uint64_t stage = atomic_load(&pool.handed);
        int offered = self == FIRST_HELPER && stage % STAGES == OFFERED;
        if (offered && move_on(stage / STAGES, OFFERED, LED)) lead_job(stage / STAGES, self);
        help(self);
        wait_for_work(self, stage);
    }
}

uint64_t team_hand_over(int wanted, lead *led, void *job) {
    int workers = team_begin(wanted);
    if (workers <= 1) return 0;
    pool.led = led;
    pool.led_job = job;
    pool.led_workers = workers;
    uint64_t ticket = atomic_load(&pool.handed) / STAGES + 1;
    atomic_store(&pool.handed, ticket * STAGES + OFFERED);
    wake_sleepers();
    return ticket;
}

void team_join(uint64_t ticket) {
    if (move_on(ticket, OFFERED, OVER)) {
        pool.led(pool.led_job, pool.led_workers);
    } else if (move_on(ticket, LED, JOINED)) {
        while (atomic_load(&pool.handed) != ticket * STAGES + OVER) {
            help(0);
            wait_for_work(0, ticket * STAGES + JOINED);
        }
    } else {
        return;
    }
    atomic_flag_clear(&pool.taken);
}

int team_lacks_one(void) { return atomic_load_explicit(&pool.handed, memory_order_relaxed) % STAGES == LED; }

#if !defined(_WIN32)
/* No job is under way and no list is being changed while a process forks: whoever does it would not follow into the child. */
static void before_fork(void) {
    while (atomic_flag_test_and_set(&pool.taken)) breathe();
    lists_lock();
}

static void after_fork_in_parent(void) {
    lists_unlock();
    atomic_flag_clear(&pool.taken);
}

/* In a forked child there are no helpers, whatever they were doing; new ones start when they are needed. */
static void after_fork_in_child(void) {
    pthread_mutex_init(&pool.mutex, NULL);
    pthread_cond_init(&pool.go, NULL);
    pthread_cond_init(&pool.done, NULL);
    for (int worker = 0; worker < MOST_WORKERS; worker++) atomic_store(&pool.ranges[worker].next_end, 0);
    atomic_store(&pool.size, 1);
    atomic_store(&pool.sleepers, 0);
    atomic_store(&pool.leader_sleeps, 0);
    after_fork_in_parent();
}

__attribute__((constructor)) static void watch_forks(void) { pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child); }
#endif

int team_begin(int wanted) {
    if (wanted <= 1 || atomic_flag_test_and_set(&pool.taken)) return 1;
    if (wanted > MOST_WORKERS) wanted = MOST_WORKERS;
    int size = atomic_load(&pool.size);
    while (size < wanted && thread_start(size)) atomic_store(&pool.size, ++size);
    if (size > 1) return size < wanted ? size : wanted;
    atomic_flag_clear(&pool.taken);
    return 1;
}

void team_end(int workers) {
    if (workers > 1) atomic_flag_clear(&pool.taken);
}

static void wait_for_helpers(int items) {
    int64_t until = now_ns() + SPIN_NS;
    for (int i = 1; atomic_load_explicit(&pool.helped, memory_order_acquire) < items; i++) {
        breathe();
        if (i % LOOK_AT_CLOCK || now_ns() < until) continue;
        lock(&pool.mutex);
        atomic_store(&pool.leader_sleeps, 1);
        while (atomic_load(&pool.helped) < items) bell_wait(&pool.done, &pool.mutex);
        atomic_store(&pool.leader_sleeps, 0);
        unlock(&pool.mutex);
    }
}

void team_run(int workers, int items, work *each, void *job) {
    if (workers <= 1) {
        for (int item = 0; item < items; item++) each(job, item, 0);
        return;
    }
    pool.each = each;
    pool.job = job;
    atomic_store_explicit(&pool.helped, 0, memory_order_relaxed);
    for (int worker = workers - 1; worker >= 0; worker--) {
        uint64_t first = (uint64_t)((int64_t)items * worker / workers), end = (uint64_t)((int64_t)items * (worker + 1) / workers);
        atomic_store_explicit(&pool.ranges[worker].next_end, first | end << 32, memory_order_release);
    }
    wake_sleepers();
    int done = do_items(pool.leader, workers);
    if (done < items) wait_for_helpers(items - done);
}

#endif
