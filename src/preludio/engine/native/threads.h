/* The pool of threads of this process: a loop's items, shared out. All that the engine asks of the system but memory. */
#ifndef PRELUDIO_THREADS_H
#define PRELUDIO_THREADS_H

#include <stdint.h>

enum { MOST_WORKERS = 64 };

typedef void work(void *job, int item, int worker);
typedef void lead(void *job, int workers);

/* Takes the pool for some loops: how many workers there will be, the caller being number 0. It is 1 if another thread has the pool:
   nobody waits for it, the caller does all items alone. */
int team_begin(int wanted);

/* Calls `each(job, item, worker)` for the items 0 ... items - 1, in any order on any worker; back when all are done. */
void team_run(int workers, int items, work *each, void *job);

void team_end(int workers);

/* Takes the pool for a job that a helper leads: `led(job, workers)` runs its loops, while the caller goes on. A ticket; 0 if there is no
   helper or another thread has the pool: then nothing has begun. */
uint64_t team_hand_over(int wanted, lead *led, void *job);

/* Helps until that job is over, or does it alone if no helper has come to it. From any thread, but from one at a time. */
void team_join(uint64_t ticket);

/* Whether the job that is handed over still lacks the one that handed it over: a loop of smaller items leaves more to do for one that comes
   in its midst. */
int team_lacks_one(void);

/* Guards the lists of all engines (scratch memory, pages). Held for some instructions; a fork waits for it, so a child finds it free. */
void lists_lock(void);
void lists_unlock(void);

#endif
