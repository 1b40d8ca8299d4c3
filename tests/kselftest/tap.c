// SPDX-License-Identifier: GPL-2.0-only
/*
 * What kselftest wants of a program and cmocka's TAP does not give: KTAP, and
 * an exit status that says passed, failed or skipped.  cmocka's is the number
 * of failures, of which four would be taken for a skip.
 *
 * Linked to a test it runs before main(): the test goes on in a child, of
 * which this process reads what it prints and how it ends.
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define FAILED	1
#define SKIPPED	4

/* "not ok 3 # SKIP name", as cmocka says it, is "ok 3 - name # SKIP" */
static int skip(const char *line)
{
	unsigned int number;
	int end = 0;

	if (sscanf(line, "not ok %u # SKIP %n", &number, &end) != 1 || !end)
		return 0;
	printf("ok %u - %s # SKIP\n", number, line + end);
	return 1;
}

/* Whatever is neither a result nor the plan is a remark */
static void translate(const char *line)
{
	if (!strncmp(line, "TAP version", 11))
		return;
	if (skip(line))
		return;
	if (strncmp(line, "ok ", 3) && strncmp(line, "not ok ", 7) &&
	    strncmp(line, "1..", 3) && *line != '#')
		fputs("# ", stdout);
	puts(line);
}

static int status_of(pid_t test)
{
	int status;

	if (waitpid(test, &status, 0) != test)
		return FAILED;
	if (WIFSIGNALED(status)) {
		printf("# ended by signal %d\n", WTERMSIG(status));
		return FAILED;
	}
	return WEXITSTATUS(status) ? FAILED : 0;
}

static void tell(pid_t test, FILE *said)
{
	int skipped = 0, status;
	char *line = NULL;
	size_t size = 0;
	ssize_t n;

	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("KTAP version 1");
	while ((n = getline(&line, &size, said)) > 0) {
		if (line[n - 1] == '\n')
			line[n - 1] = '\0';
		skipped |= !strncmp(line, "1..0 # SKIP", 11);
		translate(line);
	}
	free(line);
	status = status_of(test);
	fflush(stdout);
	_exit(!status && skipped ? SKIPPED : status);
}

__attribute__((constructor)) static void begin(void)
{
	int out[2];
	pid_t test;

	setenv("CMOCKA_MESSAGE_OUTPUT", "TAP", 1);
	test = pipe(out) ? -1 : fork();
	if (test < 0) {
		perror("# pipe or fork");
		_exit(FAILED);
	}
	if (test) {
		close(out[1]);
		tell(test, fdopen(out[0], "r"));
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(out[1], STDOUT_FILENO);
	close(out[0]);
	close(out[1]);
}
