/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Assertions that print TAP and continue after a failure: one run shows every
 * fault, not only the first. For one thread: other threads collect their results,
 * and the main thread checks them.
 */
#ifndef T_H
#define T_H

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int t_passed, t_failed;

#if defined(__GNUC__)
__attribute__((format(printf, 4, 5)))
#endif
static inline int t_result(int good, const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	/* Unbuffered, so that a crash loses no output. */
	if (!t_passed && !t_failed)
		setvbuf(stdout, NULL, _IOLBF, 0);
	printf("%s %d - ", good ? "ok" : "not ok", t_passed + t_failed + 1);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	if (good) {
		t_passed++;
		putchar('\n');
	} else {
		t_failed++;
		printf(" (%s:%d)\n", file, line);
	}
	return good;
}

/* All assertions evaluate their arguments once and return whether the check passed. */
#define T_OK(cond) t_result(!!(cond), __FILE__, __LINE__, "%s", #cond)
#define T_OKF(cond, ...) t_result(!!(cond), __FILE__, __LINE__, __VA_ARGS__)
#define T_INT(got, want) t_int(__FILE__, __LINE__, #got, (long long)(got), (long long)(want))
#define T_STR(got, want) t_str(__FILE__, __LINE__, #got, (got), (want))
#define T_HAS(text, part) t_has(__FILE__, __LINE__, #text, (text), (part))

static inline int t_int(const char *file, int line, const char *what, long long got, long long want)
{
	if (got == want)
		return t_result(1, file, line, "%s is %lld", what, want);
	return t_result(0, file, line, "%s is %lld, not %lld", what, got, want);
}

/* A text for a TAP line: without line breaks; NULL is allowed. */
static inline const char *t_shown(const char *s, char *buf, size_t size)
{
	size_t i;

	if (!s)
		return "NULL";
	for (i = 0; i + 1 < size && s[i]; i++)
		buf[i] = (s[i] == '\n' || s[i] == '#') ? ' ' : s[i];
	buf[i] = '\0';
	return buf;
}

static inline int t_str(const char *file, int line, const char *what, const char *got, const char *want)
{
	int good = got && want ? !strcmp(got, want) : got == want;
	char a[1024], b[1024];

	if (good)
		return t_result(1, file, line, "%s is \"%s\"", what, t_shown(want, b, sizeof(b)));
	return t_result(0, file, line, "%s is \"%s\", not \"%s\"", what, t_shown(got, a, sizeof(a)),
			t_shown(want, b, sizeof(b)));
}

static inline int t_has(const char *file, int line, const char *what, const char *text, const char *part)
{
	char a[4096], b[1024];

	if (text && strstr(text, part))
		return t_result(1, file, line, "%s has \"%s\"", what, t_shown(part, b, sizeof(b)));
	return t_result(0, file, line, "%s has no \"%s\": \"%s\"", what, t_shown(part, b, sizeof(b)),
			t_shown(text, a, sizeof(a)));
}

/* Ends a test that cannot continue: all later checks would fail for the same reason. */
#define T_NEED(cond)                                                                                                   \
	do {                                                                                                           \
		if (!T_OK(cond)) {                                                                                     \
			printf("Bail out! %s:%d\n", __FILE__, __LINE__);                                               \
			exit(1);                                                                                       \
		}                                                                                                      \
	} while (0)

static inline int t_done(void)
{
	printf("1..%d\n# %d passed, %d failed\n", t_passed + t_failed, t_passed, t_failed);
	return t_failed ? 1 : 0;
}

#endif
