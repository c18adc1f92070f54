// SPDX-License-Identifier: LGPL-2.1-or-later
/* Splits text into commands and words by virsh's rules, and reads input. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nodedev.h"

/* A command line longer than this, or a document, is no honest one. */
#define MAX_LINE (1024 * 1024)
#define MAX_DOCUMENT (64 * 1024 * 1024)

static void add_command(struct script *s)
{
	s->commands = xrealloc(s->commands, (s->count + 1) * sizeof(*s->commands));
	s->commands[s->count] = xrealloc(NULL, sizeof(char *));
	s->commands[s->count++][0] = NULL;
}

/* `word` becomes the script's. */
static void add_word(struct script *s, bool *in_command, char *word)
{
	char ***command;
	size_t n = 0;

	if (!*in_command)
		add_command(s);
	*in_command = true;
	command = &s->commands[s->count - 1];
	while ((*command)[n])
		n++;
	*command = xrealloc(*command, (n + 2) * sizeof(char *));
	(*command)[n] = word;
	(*command)[n + 1] = NULL;
}

/*
 * Reads one word that begins at *pos. Single quotes keep everything, double
 * quotes everything but a backslash, which takes the next character as it is.
 * Returns the quote that was never closed, or 0.
 */
static char take_word(const char **pos, struct buf *word)
{
	const char *p = *pos;
	char quote = 0;

	buf_puts(word, "");
	for (; *p; p++) {
		if (quote != '\'' && *p == '\\' && p[1]) {
			p++;
			if (*p != '\n')
				buf_add(word, p, 1);
		} else if (quote && *p == quote) {
			quote = 0;
		} else if (!quote && (*p == '\'' || *p == '"')) {
			quote = *p;
		} else if (!quote && strchr(" \t\r\n;", *p)) {
			break;
		} else {
			buf_add(word, p, 1);
		}
	}
	*pos = p;
	return quote;
}

int script_parse(struct script *s, const char *text)
{
	bool in_command = false;
	struct buf word;
	char open_quote;

	memset(s, 0, sizeof(*s));
	while (*text) {
		if (*text == '\n' || *text == ';') {
			in_command = false;
			text++;
		} else if (*text == ' ' || *text == '\t' || *text == '\r') {
			text++;
		} else if (*text == '\\' && text[1] == '\n') {
			text += 2;
		} else if (*text == '#') {
			text += strcspn(text, "\n");
		} else {
			memset(&word, 0, sizeof(word));
			open_quote = take_word(&text, &word);
			if (open_quote) {
				buf_free(&word);
				complain("missing %c: a quote is open at the end of the command", open_quote);
				return USAGE;
			}
			add_word(s, &in_command, word.s);
		}
	}
	return OK;
}

int script_from_argv(struct script *s, char **argv)
{
	bool in_command = false;

	if (!argv[1])
		return script_parse(s, argv[0]);
	memset(s, 0, sizeof(*s));
	for (; *argv; argv++) {
		if (!strcmp(*argv, ";"))
			in_command = false;
		else
			add_word(s, &in_command, xstrdup(*argv));
	}
	return OK;
}

void script_free(struct script *s)
{
	size_t i;
	char **word;

	for (i = 0; i < s->count; i++) {
		for (word = s->commands[i]; *word; word++)
			free(*word);
		free(s->commands[i]);
	}
	free(s->commands);
	memset(s, 0, sizeof(*s));
}

/*
 * Adds one line of standard input, without its newline. Returns false at the
 * end of the input; `b` is larger than `max` when the line is too long.
 */
static bool add_line(struct buf *b, size_t max)
{
	char block[512];
	size_t n = 0;
	int c;

	buf_puts(b, "");
	while ((c = getchar()) != EOF && c != '\n') {
		block[n++] = (char)c;
		if (n == sizeof(block)) {
			buf_add(b, block, n);
			n = 0;
			if (b->len > max)
				return true;
		}
	}
	buf_add(b, block, n);
	return c == '\n' || b->len;
}

static bool continues(const struct buf *b)
{
	size_t n = 0;

	while (n < b->len && b->s[b->len - 1 - n] == '\\')
		n++;
	return n % 2;
}

int read_command_line(char **ret)
{
	struct buf b = { 0 };

	*ret = NULL;
	if (!add_line(&b, MAX_LINE)) {
		buf_free(&b);
		return OK;
	}
	/* The parser drops the backslash and the newline, where they are not quoted. */
	while (continues(&b) && b.len <= MAX_LINE) {
		buf_puts(&b, "\n");
		add_line(&b, MAX_LINE);
	}
	if (b.len > MAX_LINE || strlen(b.s) != b.len) {
		complain(b.len > MAX_LINE ? "standard input: a command line is longer than 1 MiB"
					  : "standard input: a command line has a NUL byte");
		buf_free(&b);
		return USAGE;
	}
	*ret = b.s;
	return OK;
}

static void read_stdin(struct nodedev *nd, struct buf *b)
{
	struct buf line = { 0 };

	if (nd->prompt)
		puts("Type the XML, then a line with just a dot.");
	buf_puts(b, "");
	while (b->len <= MAX_DOCUMENT && add_line(&line, MAX_DOCUMENT)) {
		if (nd->echo) {
			print_safe(stdout, line.s);
			putchar('\n');
		}
		if (line.len == 1 && line.s[0] == '.')
			break;
		buf_add(b, line.s, line.len);
		buf_puts(b, "\n");
		line.len = 0;
	}
	buf_free(&line);
}

static int read_file(const char *path, struct buf *b)
{
	FILE *in = fopen(path, "re");
	char block[4096];
	size_t n;
	int saved;

	if (!in)
		return -errno;
	buf_puts(b, "");
	while (b->len <= MAX_DOCUMENT && (n = fread(block, 1, sizeof(block), in)) > 0)
		buf_add(b, block, n);
	saved = ferror(in) ? errno : 0;
	fclose(in);
	return -saved;
}

char *read_document(struct nodedev *nd, const char *path)
{
	const char *shown = strcmp(path, "-") ? path : "standard input";
	struct buf b = { 0 };
	int rc = 0;

	if (shown != path)
		read_stdin(nd, &b);
	else
		rc = read_file(path, &b);
	if (rc < 0)
		complain("cannot read %s: %s", path, strerror(-rc));
	else if (b.len > MAX_DOCUMENT)
		complain("%s is larger than 64 MiB, so it is no device XML", shown);
	else if (strlen(b.s) != b.len)
		complain("%s has a NUL byte, so it is no XML", shown);
	else
		return b.s;
	buf_free(&b);
	return NULL;
}
