// SPDX-License-Identifier: LGPL-2.1-or-later
/* The command line of nodedev, and the loop over standard input. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nodedev.h"

/* The first failure decides what the program exits with. */
static void note(int *status, int rc)
{
	if (*status == OK)
		*status = rc;
}

static bool must_stop(const struct nodedev *nd, int status)
{
	return nd->quit || (nd->stop_on_error && status != OK);
}

/* As in virsh, nothing of a script runs unless all of it is understood. */
static int run_script(struct nodedev *nd, struct script *s)
{
	int status = OK;
	size_t i;

	for (i = 0; i < s->count && status == OK; i++)
		status = check_command(s->commands[i]);
	if (status != OK)
		return status;
	for (i = 0; i < s->count && !must_stop(nd, status); i++)
		note(&status, run_command(nd, s->commands[i]));
	return status;
}

static int run_text(struct nodedev *nd, const char *text)
{
	struct script s;
	int rc = script_parse(&s, text);

	if (rc == OK)
		rc = run_script(nd, &s);
	script_free(&s);
	return rc;
}

/* A line as it would stand on a terminal, for --echo. */
static void echo(const char *line)
{
	fputs(PROMPT, stdout);
	print_safe(stdout, line);
	putchar('\n');
}

static int run_stdin(struct nodedev *nd)
{
	int status = OK, rc;
	char *line;

	nd->prompt = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	/* On a terminal it stands there already. */
	nd->echo = nd->echo && !nd->prompt;
	if (nd->prompt)
		puts("Type 'help' for the commands, 'quit' to leave.");
	while (!must_stop(nd, status)) {
		if (nd->prompt)
			fputs(PROMPT, stdout);
		fflush(stdout);
		rc = read_command_line(&line);
		if (rc != OK)
			return rc;
		if (!line) {
			if (nd->prompt)
				putchar('\n');
			break;
		}
		if (nd->echo)
			echo(line);
		note(&status, run_text(nd, line));
		free(line);
	}
	return nd->prompt ? OK : status;
}

static void log_to_stderr(int level, const char *message, void *data)
{
	static const char *const names[] = { "message", "error", "warning", "info", "debug" };

	(void)data;
	fprintf(stderr, "log %s: ", level >= MDEV_LOG_ERROR && level <= MDEV_LOG_DEBUG ? names[level] : names[0]);
	print_safe(stderr, message);
	fputc('\n', stderr);
}

/* Where a long option stands for a short one that takes a value, its value; else NULL. */
static const char *long_value(const char *arg, const char *name)
{
	size_t len = strlen(name);

	return strncmp(arg, name, len) || arg[len] != '=' ? NULL : arg + len + 1;
}

/* The value of an option that needs one: in the same word or the next. */
static const char *take_value(char ***argv, char letter, const char *name)
{
	char *arg = **argv;
	const char *value = long_value(arg, name);

	if (value)
		return value;
	if (arg[0] == '-' && arg[1] == letter && arg[2])
		return arg + 2;
	if (!(*argv)[1]) {
		complain("option %s needs a value; see 'nodedev --help'", arg);
		return NULL;
	}
	return *++*argv;
}

static bool is_option(const char *arg, char letter, const char *name)
{
	return !strcmp(arg, name) || (arg[0] == '-' && arg[1] == letter && !arg[2]);
}

/*
 * Reads the options before the first command. Returns -1 to go on from there,
 * or what the program exits with.
 */
static int read_options(struct nodedev *nd, char ***argv)
{
	for (; **argv && (**argv)[0] == '-' && (**argv)[1]; ++*argv) {
		const char *arg = **argv;

		if (!strcmp(arg, "--")) {
			++*argv;
			break;
		}
		if (is_option(arg, 'h', "--help")) {
			print_usage(stdout);
			return OK;
		} else if (is_option(arg, 'V', "--version")) {
			printf("nodedev (libmdev) %s\n", mdev_version());
			return OK;
		} else if (is_option(arg, 'q', "--quiet")) {
			nd->quiet = true;
		} else if (is_option(arg, 'v', "--verbose")) {
			nd->verbose = true;
		} else if (is_option(arg, 'e', "--stop-on-error")) {
			nd->stop_on_error = true;
		} else if (is_option(arg, 'x', "--echo")) {
			nd->echo = true;
		} else if (!strncmp(arg, "-c", 2) || !strcmp(arg, "--connect") || long_value(arg, "--connect")) {
			nd->uri = take_value(argv, 'c', "--connect");
			if (!nd->uri)
				return USAGE;
		} else if (!strcmp(arg, "--owner") || long_value(arg, "--owner")) {
			nd->owner = take_value(argv, '\0', "--owner");
			if (!nd->owner)
				return USAGE;
		} else {
			complain("unknown option '%s'; see 'nodedev --help'", arg);
			return USAGE;
		}
	}
	return -1;
}

int main(int argc, char **argv)
{
	struct nodedev nd = { .uri = getenv("MDEV_DEFAULT_URI") };
	struct script s;
	int status;

	/* A program may be started with no words at all, not even its name. */
	if (argc > 0)
		argv++;
	if (nd.uri && !*nd.uri)
		nd.uri = NULL;
	status = read_options(&nd, &argv);
	if (status < 0) {
		if (nd.verbose)
			mdev_set_log_handler(log_to_stderr, NULL, MDEV_LOG_DEBUG);
		if (*argv) {
			status = script_from_argv(&s, argv);
			if (status == OK)
				status = run_script(&nd, &s);
			script_free(&s);
		} else {
			status = run_stdin(&nd);
		}
	}
	mdev_conn_unref(nd.conn);
	/* A full disk or a closed pipe is a failure, too. */
	if (fflush(stdout) || ferror(stdout)) {
		complain("cannot write the output: %s", strerror(errno));
		if (status == OK)
			status = FAILED;
	}
	return status;
}
