// SPDX-License-Identifier: LGPL-2.1-or-later
/* Strings, messages, tables and JSON. */

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "nodedev.h"

void *xrealloc(void *p, size_t size)
{
	p = realloc(p, size ? size : 1);
	if (!p) {
		fputs("error: out of memory\n", stderr);
		exit(FAILED);
	}
	return p;
}

char *xstrdup(const char *s)
{
	size_t size = strlen(s) + 1;

	return memcpy(xrealloc(NULL, size), s, size);
}

void buf_add(struct buf *b, const char *s, size_t len)
{
	if (len >= b->cap - b->len || !b->s) {
		b->cap = (b->len + len + 32) * 2;
		b->s = xrealloc(b->s, b->cap);
	}
	memcpy(b->s + b->len, s, len);
	b->len += len;
	b->s[b->len] = '\0';
}

void buf_puts(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

static void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	char *text;
	int len;

	va_copy(again, ap);
	len = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (len < 0)
		return;
	text = xrealloc(NULL, (size_t)len + 1);
	vsnprintf(text, (size_t)len + 1, fmt, ap);
	buf_add(b, text, (size_t)len);
	free(text);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(b, fmt, ap);
	va_end(ap);
}

void buf_free(struct buf *b)
{
	free(b->s);
	memset(b, 0, sizeof(*b));
}

/*
 * The length of the UTF-8 character at `s`, or 0 where there is none: no
 * stray, cut, overlong or surrogate sequence passes.
 */
static size_t utf8_len(const char *s)
{
	const unsigned char *u = (const unsigned char *)s;
	size_t len = u[0] < 0x80 ? 1 : u[0] >= 0xf0 ? 4 : u[0] >= 0xe0 ? 3 : 2;
	size_t i;

	if (u[0] >= 0x80 && (u[0] < 0xc2 || u[0] > 0xf4))
		return 0;
	for (i = 1; i < len; i++)
		if ((u[i] & 0xc0) != 0x80)
			return 0;
	if ((u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xed && u[1] > 0x9f) ||
	    (u[0] == 0xf0 && u[1] < 0x90) || (u[0] == 0xf4 && u[1] > 0x8f))
		return 0;
	return len;
}

#define REPLACEMENT "\xef\xbf\xbd"	/* U+FFFD */

/*
 * Names come from drivers and files. A control character in one must not
 * reach the terminal, where it could move the cursor or worse.
 */
static char *safe_text(const char *s)
{
	struct buf b = { 0 };
	size_t len;

	buf_puts(&b, "");
	for (; *s; s += len ? len : 1) {
		unsigned char c = (unsigned char)*s;

		len = utf8_len(s);
		if (c < 0x20 || c == 0x7f)
			buf_printf(&b, "\\x%02x", c);
		else if (len == 0 || (len == 2 && c == 0xc2 && (unsigned char)s[1] < 0xa0))
			buf_puts(&b, REPLACEMENT);
		else
			buf_add(&b, s, len);
	}
	return b.s;
}

void print_safe(FILE *out, const char *s)
{
	char *safe = safe_text(s);

	fputs(safe, out);
	free(safe);
}

void complain(const char *fmt, ...)
{
	struct buf b = { 0 };
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	fflush(stdout);
	fputs("error: ", stderr);
	print_safe(stderr, b.s ? b.s : "");
	fputc('\n', stderr);
	buf_free(&b);
}

int complain_mdev(int rc)
{
	const struct mdev_error *err = mdev_last_error();
	const char *message = err ? mdev_error_get_message(err) : NULL;

	complain("%s", message ? message : strerror(rc < 0 ? -rc : EIO));
	return FAILED;
}

void table_init(struct table *t, unsigned int columns, ...)
{
	va_list ap;
	unsigned int i;

	memset(t, 0, sizeof(*t));
	t->columns = columns;
	va_start(ap, columns);
	for (i = 0; i < columns; i++)
		table_cell(t, va_arg(ap, const char *));
	va_end(ap);
}

void table_cell(struct table *t, const char *text)
{
	if (t->used == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 64;
		t->cells = xrealloc(t->cells, t->cap * sizeof(*t->cells));
	}
	t->cells[t->used++] = safe_text(text && *text ? text : "-");
}

void table_number(struct table *t, int rc, unsigned int value)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", value);
	table_cell(t, rc < 0 ? NULL : text);
}

/* Characters, not bytes; wide ones count as one. */
static size_t width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

void table_print(struct table *t, bool header)
{
	size_t *widths = xrealloc(NULL, t->columns * sizeof(*widths));
	size_t i, pad, rule = 0;
	unsigned int column;

	memset(widths, 0, t->columns * sizeof(*widths));
	for (i = 0; i < t->used; i++)
		if (width(t->cells[i]) > widths[i % t->columns])
			widths[i % t->columns] = width(t->cells[i]);
	for (column = 0; column < t->columns; column++)
		rule += widths[column] + 3;

	for (i = header ? 0 : t->columns; i < t->used; i++) {
		column = (unsigned int)(i % t->columns);
		printf(" %s", t->cells[i]);
		/* Nothing follows the last column, so nothing pads it. */
		if (column + 1 == t->columns) {
			putchar('\n');
		} else {
			for (pad = width(t->cells[i]); pad < widths[column] + 2; pad++)
				putchar(' ');
		}
		if (i + 1 == t->columns) {
			for (pad = 0; pad < rule; pad++)
				putchar('-');
			putchar('\n');
		}
	}
	for (i = 0; i < t->used; i++)
		free(t->cells[i]);
	free(t->cells);
	free(widths);
}

static void json_quote(struct buf *b, const char *s)
{
	size_t len;

	buf_puts(b, "\"");
	for (; *s; s += len ? len : 1) {
		unsigned char c = (unsigned char)*s;

		len = utf8_len(s);
		if (c == '"' || c == '\\')
			buf_printf(b, "\\%c", c);
		else if (c == '\n')
			buf_puts(b, "\\n");
		else if (c == '\t')
			buf_puts(b, "\\t");
		else if (c < 0x20 || c == 0x7f)
			buf_printf(b, "\\u%04x", c);
		else if (len == 0)
			buf_puts(b, REPLACEMENT);
		else
			buf_add(b, s, len);
	}
	buf_puts(b, "\"");
}

/* The comma after the member before, the line, the key. */
static void json_member(struct json *j, const char *key)
{
	unsigned int i;

	if (j->depth) {
		if (!j->empty)
			buf_puts(&j->out, j->compact ? ", " : ",");
		if (!j->compact)
			buf_puts(&j->out, "\n");
		for (i = 0; i < j->depth && !j->compact; i++)
			buf_puts(&j->out, "  ");
	}
	if (key) {
		json_quote(&j->out, key);
		buf_puts(&j->out, ": ");
	}
	j->empty = false;
}

void json_open(struct json *j, const char *key, char bracket)
{
	json_member(j, key);
	buf_add(&j->out, &bracket, 1);
	j->depth++;
	j->empty = true;
}

void json_close(struct json *j, char bracket)
{
	unsigned int i;

	j->depth--;
	if (!j->empty && !j->compact) {
		buf_puts(&j->out, "\n");
		for (i = 0; i < j->depth; i++)
			buf_puts(&j->out, "  ");
	}
	buf_add(&j->out, &bracket, 1);
	j->empty = false;
}

void json_string(struct json *j, const char *key, const char *value)
{
	if (!value)
		return;
	json_member(j, key);
	json_quote(&j->out, value);
}

void json_number(struct json *j, const char *key, long long value)
{
	json_member(j, key);
	buf_printf(&j->out, "%lld", value);
}

void json_bool(struct json *j, const char *key, bool value)
{
	json_member(j, key);
	buf_puts(&j->out, value ? "true" : "false");
}

void json_raw(struct json *j, const char *key, const char *text)
{
	if (!text)
		return;
	json_member(j, key);
	buf_puts(&j->out, text);
}

void json_print(struct json *j)
{
	puts(j->out.s ? j->out.s : "");
	buf_free(&j->out);
}
