/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mdevctl's call-outs in a process that uses the library: their arguments, the
 * effect of a refusal, the flags that skip them, which process is
 * their parent and which file runs, that neither SIGCHLD nor any other child of
 * the process is affected, whatever the process does with either, and that a script
 * that cannot be run counts as a refusal.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <libmdev.h>

#include "root.h"

#define UUID "c60cc60c-0000-4222-8333-444444444441"

static const char device[] = "<device><parent>mtty</parent><capability type='mdev'><type id='mtty-1'/><uuid>" UUID
			     "</uuid></capability></device>";

static struct mdev_conn *conn;
static volatile sig_atomic_t deaths;

static void on_death(int sig)
{
	(void)sig;
	deaths++;
}

/* A script that writes its third and fourth pair of words to "log" and then runs body. */
static void script(const char *body)
{
	put_script("callouts/test", "[ $6 = capabilities ] && exit 2\necho $4 $6 $8 >>%s/log\n%s\n", root, body);
}

/* The calls since the last use of this function, in one line. */
static const char *calls(void)
{
	static char text[1024];
	FILE *f = fopen(below("log"), "r");
	size_t n = 0, i;

	if (f != NULL) {
		n = fread(text, 1, sizeof(text) - 1, f);
		fclose(f);
		unlink(below("log"));
	}
	text[n] = '\0';
	for (i = 0; i < n; i++)
		text[i] = text[i] == '\n' ? ',' : text[i];
	return text;
}

static int define(unsigned int flags)
{
	struct mdev_device *dev;
	int rc = mdev_conn_define_xml(conn, device, &dev, flags);

	if (rc == 0)
		mdev_device_unref(dev);
	return rc;
}

static int undefine(unsigned int flags)
{
	struct mdev_device *dev;
	int rc = mdev_conn_lookup_by_uuid(conn, UUID, &dev);

	if (rc < 0)
		return rc;
	rc = mdev_device_undefine(dev, flags);
	mdev_device_unref(dev);
	return rc;
}

static void what_they_hear(void)
{
	struct mdev_device *dev;

	script("exit 0");
	T_INT(define(0), 0);
	T_STR(calls(), "pre define none,post define success,");
	T_INT(define(0), 0);
	T_STR(calls(), "pre modify none,post modify success,");
	if (T_INT(mdev_conn_lookup_by_uuid(conn, UUID, &dev), 0)) {
		T_INT(mdev_device_set_autostart(dev, 1), 0);
		T_STR(calls(), "pre modify none,post modify success,");
		/* There is no such parent: the command fails after the scripts allow it, or before they run. */
		T_OK(mdev_device_start(dev, 0) < 0);
		calls();
		mdev_device_unref(dev);
	}
	T_INT(undefine(0), 0);
	T_STR(calls(), "pre undefine none,post undefine success,");
	/* With autostart it is still one action. */
	T_INT(define(MDEV_DEFINE_AUTOSTART), 0);
	T_STR(calls(), "pre define none,post define success,");
	T_INT(define(MDEV_DEFINE_AUTOSTART | MDEV_DEFINE_NO_CALLOUTS), 0);
	T_INT(undefine(MDEV_DEFINE_NO_CALLOUTS), 0);
	T_STR(calls(), "");
}

static void a_refusal(void)
{
	script("echo 'the queue is taken' >&2; exit 1");
	T_INT(define(0), -ECANCELED);
	T_INT(mdev_error_get_code(mdev_last_error()), MDEV_ERROR_CALLOUT);
	T_HAS(mdev_error_get_message(mdev_last_error()), "the queue is taken");
	T_STR(mdev_error_get_path(mdev_last_error()), below("etc/mdevctl.d/scripts.d/callouts/test"));
	T_STR(calls(), "pre define none,");
	T_INT(undefine(0), -ENODEV);
	T_INT(define(MDEV_DEFINE_NO_CALLOUTS), 0);
	T_INT(undefine(0), -ECANCELED);
	calls();
	T_INT(undefine(MDEV_DEFINE_NO_CALLOUTS), 0);
	T_STR(calls(), "");
	T_INT(define(~0U), -EINVAL);
}

/* Checks the number of calls in the log, and that all have the same parent process, which is not this process. */
static void one_parent(int expected)
{
	char *line, *text, *parent = NULL;
	int n = 0;

	text = strdup(calls());
	for (line = strtok(text, ","); line != NULL; line = strtok(NULL, ",")) {
		char *number = strrchr(line, ' ');

		if (parent == NULL)
			parent = number;
		T_STR(number, parent);
		T_OK(atoi(number) != (int)getpid());
		n++;
	}
	T_INT(n, expected);
	free(text);
}

/* s390-tools' ap-check takes a lock in pre with the id of its parent, and releases it in post only if the id is the same. */
static void one_parent_for_an_action(void)
{
	const char *log = "echo $4 $6 $PPID >>%s/log; exit %d\n";

	put_script("callouts/test", log, root, 0);
	put_script("callouts/other", log, root, 2);
	put_script("notifiers/test", log, root, 0);
	T_INT(define(0), 0);
	/* get of both scripts, pre of both, post, notify. */
	one_parent(6);
	T_INT(undefine(0), 0);
	one_parent(6);
	put_script("callouts/test", "[ $4 = get ] && exit 2; echo $4 $6 $PPID >>%s/log; [ $4 != pre ]\n", root);
	T_INT(define(0), -ECANCELED);
	/* get and pre of the other script, pre, notify. */
	one_parent(4);
	unlink(below("etc/mdevctl.d/scripts.d/callouts/other"));
	unlink(below("etc/mdevctl.d/scripts.d/notifiers/test"));
	T_OK(waitpid(-1, NULL, WNOHANG | __WALL) == -1 && errno == ECHILD);
}

/* The file that was checked is run, also if its path leads to another file by then. */
static void the_file_that_was_checked(void)
{
	const char *preload = getenv("LD_PRELOAD");
	char evil[256];

	if (preload != NULL && strstr(preload, "vgpreload") != NULL) {
		T_OKF(1, "the file that was checked runs # SKIP valgrind runs a descriptor by its former path");
		return;
	}
	snprintf(evil, sizeof(evil), "%s/evil", root);
	put_script("../../../evil", "echo evil >>%s/log; exit 1\n", root);
	put_script("callouts/test", "[ $6 = capabilities ] && { mv %s $MDEV_CALLOUT; exit 2; }; echo $4 $0 >>%s/log\n", evil,
		   root);
	T_INT(define(0), 0);
	T_STR(calls(), "pre /dev/fd/3,post /dev/fd/3,");
	T_INT(undefine(MDEV_DEFINE_NO_CALLOUTS), 0);
}

static void children_and_signals(void)
{
	struct sigaction old, own;
	int status;
	pid_t pid;

	script("exit 0");
	memset(&own, 0, sizeof(own));
	own.sa_handler = on_death;
	sigaction(SIGCHLD, &own, &old);
	T_INT(define(0), 0);
	T_INT(deaths, 0);
	T_OK(waitpid(-1, &status, WNOHANG) == -1 && errno == ECHILD);

	/* The library must not wait for an ended child of this process. */
	pid = fork();
	if (pid == 0)
		kill(getpid(), SIGKILL);
	T_OK(waitid(P_PID, (id_t)pid, &(siginfo_t){ 0 }, WEXITED | WNOWAIT) == 0);
	T_INT(undefine(0), 0);
	T_OK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	T_INT(deaths, 1);

	signal(SIGCHLD, SIG_IGN);
	T_INT(define(0), 0);
	script("exit 3");
	T_INT(undefine(0), -ECANCELED);
	T_INT(undefine(MDEV_DEFINE_NO_CALLOUTS), 0);
	sigaction(SIGCHLD, &old, NULL);
	calls();
}

/* A call-out inherits no descriptor of the process, also not one with the number of standard input. */
static void descriptors(void)
{
	char seen[256] = "";
	int leak = dup(1), kept = dup(0);
	FILE *f;

	script("ls /proc/self/fd | wc -l >$(dirname $MDEV_CALLOUT)/../seen; cat >/dev/null; exit 0");
	close(0);
	T_INT(define(0), 0);
	dup2(kept, 0);
	close(kept);
	close(leak);
	f = fopen(below("etc/mdevctl.d/scripts.d/seen"), "r");
	if (T_OK(f != NULL)) {
		T_OK(fgets(seen, sizeof(seen), f) != NULL);
		fclose(f);
		/* The three standard descriptors, the script itself, and the folder that ls lists. */
		T_INT(atoi(seen), 5);
	}
	T_INT(undefine(MDEV_DEFINE_NO_CALLOUTS), 0);
}

/*
 * If there are not enough descriptors to run a script, no action that the script refuses is done. The number that is
 * enough is not fixed: the test tries each number until the script runs, and refuses.
 */
static void few_descriptors(void)
{
	struct rlimit old, few = { 64, 64 };
	int kept[64], n, i, spare, rc = 0;

	script("exit 1");
	if (!T_INT(getrlimit(RLIMIT_NOFILE, &old), 0))
		return;
	few.rlim_max = old.rlim_max;
	T_INT(setrlimit(RLIMIT_NOFILE, &few), 0);
	for (spare = 0; spare < 32 && rc != -ECANCELED; spare++) {
		for (n = 0; n < 64 && (kept[n] = dup(1)) >= 0; n++)
			;
		for (i = 0; i < spare && n > 0; i++)
			close(kept[--n]);
		rc = define(0);
		while (n > 0)
			close(kept[--n]);
		if (!T_OK(rc < 0))
			printf("# defined with %d descriptors\n", spare);
		T_INT(undefine(MDEV_DEFINE_NO_CALLOUTS), -ENODEV);
	}
	T_INT(rc, -ECANCELED);
	T_OK(spare > 3);
	T_INT(setrlimit(RLIMIT_NOFILE, &old), 0);
	calls();
}

int main(void)
{
	char uri[256];

	make_empty_host("api-callout");
	snprintf(uri, sizeof(uri), "mdev:///system?root=%s", root);
	if (T_INT(mdev_conn_open(&conn, uri, 0), 0)) {
		what_they_hear();
		a_refusal();
		one_parent_for_an_action();
		the_file_that_was_checked();
		children_and_signals();
		descriptors();
		few_descriptors();
		mdev_conn_unref(conn);
	}
	remove_root();
	return t_done();
}
