/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A host below a temporary root: folders, files and mdevctl's scripts. Include it after <libmdev.h> and the system's headers. */
#ifndef ROOT_H
#define ROOT_H

#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "t.h"

#define SCRIPTS "etc/mdevctl.d/scripts.d/"

static char root[128];

/* A path below the root; the next call overwrites it. */
static inline const char *below(const char *path)
{
	static char full[PATH_MAX];

	snprintf(full, sizeof(full), "%s/%s", root, path);
	return full;
}

/* Ends the test if a step that makes the host fails. */
static inline void root_need(int good, const char *path)
{
	if (good)
		return;
	printf("Bail out! cannot make %s/%s: %s\n", root, path, strerror(errno));
	exit(1);
}

/* Makes the folders above a path, and the file unless text is NULL. */
static inline void put(const char *path, const char *text, mode_t mode)
{
	char full[PATH_MAX];
	char *slash;
	FILE *stream;

	snprintf(full, sizeof(full), "%s/%s", root, path);
	for (slash = full + strlen(root) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
		*slash = '\0';
		root_need(mkdir(full, 0755) == 0 || errno == EEXIST, path);
	}
	if (text == NULL)
		return;
	stream = fopen(full, "w");
	root_need(stream && fputs(text, stream) >= 0 && fclose(stream) == 0 && chmod(full, mode) == 0, path);
}

static inline void put_link(const char *target, const char *path)
{
	put(path, NULL, 0);
	root_need(symlink(target, below(path)) == 0, path);
}

/* Makes the shell script callouts/NAME or notifiers/NAME with this body. */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
static inline void put_script(const char *name, const char *format, ...)
{
	char path[256], text[4096] = "#!/bin/sh\n";
	size_t start = strlen(text);
	va_list args;

	snprintf(path, sizeof(path), SCRIPTS "%s", name);
	va_start(args, format);
	vsnprintf(text + start, sizeof(text) - start, format, args);
	va_end(args);
	put(path, text, 0755);
}

/* An empty root in the folder of temporary files; NAME is the name of the test. */
static inline void make_root(const char *name)
{
	const char *folder = getenv("TMPDIR");

	snprintf(root, sizeof(root), "%s/%s.XXXXXX", folder ? folder : "/tmp", name);
	T_NEED(mkdtemp(root) != NULL && chmod(root, 0755) == 0);
}

/* A root with the folders of a host that has no devices. */
static inline void make_empty_host(const char *name)
{
	static const char *const paths[] = { "sys/x", "dev/x", "run/x", SCRIPTS "callouts/x", SCRIPTS "notifiers/x" };
	size_t i;

	make_root(name);
	for (i = 0; i < sizeof(paths) / sizeof(*paths); i++)
		put(paths[i], NULL, 0);
}

static inline void remove_root(void)
{
	char command[160];

	snprintf(command, sizeof(command), "rm -rf '%s'", root);
	T_INT(system(command), 0);
}

#endif
