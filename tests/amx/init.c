/* The first process of the emulated machine: runs each line of /list, a program and its two words, and switches off. */

#include <stdio.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void) {
  char line[512], program[128], file[128], name[256];
  FILE *list = fopen("/list", "r");
  while (list && fgets(line, sizeof line, list)) {
    if (sscanf(line, "%127s %127s %255s", program, file, name) != 3) continue;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
      execl(program, program, file, name, (char *)NULL);
      _exit(9);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status)) printf("failed %s signal %d\n", name, WTERMSIG(status));
    else if (WEXITSTATUS(status)) printf("failed %s status %d\n", name, WEXITSTATUS(status));
  }
  printf("the end of all programs\n");
  fflush(stdout);
  sleep(1);
  reboot(RB_POWER_OFF);
}
