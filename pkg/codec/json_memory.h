/*
 * jansson's memory. A value is a tree of some hundred small blocks that live for one request, more of a size
 * than malloc keeps at hand for a thread: so each thread keeps the small blocks that it gives back, up to a
 * bound, for its next value. A block is one of malloc's in any case, so who frees it, and with what, does not
 * matter, and values may exist before the call.
 */
#ifndef KATENA_CODEC_JSON_MEMORY_H
#define KATENA_CODEC_JSON_MEMORY_H

/* Once per process, before there are other threads. */
void json_memory_start(void);

#endif
