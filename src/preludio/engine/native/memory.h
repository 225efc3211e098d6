/* Aligned, zeroed memory in huge pages where the system has them; and how much of it is in use. */
#ifndef PRELUDIO_MEMORY_H
#define PRELUDIO_MEMORY_H

#include <stddef.h>
#include <stdint.h>

void *memory_get(size_t bytes); /* NULL if there is none */
void memory_free(void *memory, size_t bytes);
int64_t memory_in_use(void); /* bytes, of all engines and sessions of this process */

#endif
