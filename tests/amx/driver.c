/* Runs one compiled program on memory from a file, in tile registers, and prints digests of what came of it.

   driver FILE NAME

   The file has eight words: bytes of state, arena, scratch, arguments, images and targets, the last argument of `run`,
   and whether the state is float32 alone (then every NaN counts as the same); then the six blocks. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096ul
enum { STATE, ARENA, SCRATCH, ARGUMENTS, IMAGES, TARGETS, LAST, FLOATS, WORDS };
enum { ARCH_REQ_XCOMP_PERM = 0x1023, TILE_DATA = 18 };

void run(void *, void *, void *, void *, long, long);

static uint64_t digest(const uint64_t *words, uint64_t bytes) {
  uint64_t found = 1469598103934665603u;
  for (uint64_t i = 0; i < bytes / 8; i++) found = (found ^ words[i]) * 1099511628211u;
  return found;
}

static void *block(FILE *file, uint64_t bytes) {
  uint64_t whole = (bytes + 2 * PAGE) / PAGE * PAGE;
  void *memory = aligned_alloc(PAGE, whole);
  if (!memory) exit(4);
  memset(memory, 0, whole);
  if (bytes && fread(memory, 1, bytes, file) != bytes) exit(3);
  return memory;
}

int main(int count, char **words) {
  uint64_t head[WORDS];
  void *blocks[LAST];
  FILE *file = count == 3 ? fopen(words[1], "rb") : NULL;
  if (!file || fread(head, sizeof *head, WORDS, file) != WORDS) return 2;
  for (int i = 0; i < LAST; i++) blocks[i] = block(file, head[i]);
  uint64_t *arguments = blocks[ARGUMENTS];
  if (head[IMAGES]) arguments[0] = (uint64_t)blocks[IMAGES];
  if (head[TARGETS]) arguments[1] = (uint64_t)blocks[TARGETS];
  if (syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA)) return 5;
  if (head[FLOATS])
    run(blocks[STATE], blocks[ARENA], blocks[SCRATCH], arguments, (long)head[LAST], 0);
  else
    run(blocks[STATE], blocks[ARENA], blocks[SCRATCH], arguments, 0, (long)head[LAST]);
  uint32_t *state = blocks[STATE];
  for (uint64_t i = 0; head[FLOATS] && i < head[STATE] / 4; i++)
    if ((state[i] & 0x7fffffff) > 0x7f800000) state[i] = 0x7fc00000;
  printf("result %s %016lx %016lx\n", words[2], digest(blocks[STATE], head[STATE]), digest(blocks[ARENA], head[ARENA]));
  return 0;
}
