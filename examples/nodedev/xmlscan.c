// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Finds tags, attributes and texts in XML that libmdev itself wrote. Not a
 * parser: what it is given is known to be well-formed, without comments,
 * CDATA or DOCTYPE. Anything else ends the search.
 */

#include <stdlib.h>
#include <string.h>

#include "nodedev.h"

bool xml_next(const char **pos, struct xml_tag *tag)
{
	const char *p = strchr(*pos, '<');
	char quote = 0;

	if (!p)
		return false;
	memset(tag, 0, sizeof(*tag));
	p++;
	if (*p == '/') {
		tag->end = true;
		p++;
	}
	tag->name = p;
	tag->name_len = strcspn(p, " \t\r\n/>");
	p += tag->name_len;
	tag->attrs = p;
	/* A '>' in a quoted value does not end the tag. */
	for (; *p && (quote || *p != '>'); p++) {
		if (quote && *p == quote)
			quote = 0;
		else if (!quote && (*p == '\'' || *p == '"'))
			quote = *p;
	}
	if (!*p)
		return false;
	tag->attrs_len = (size_t)(p - tag->attrs);
	tag->empty = tag->attrs_len && p[-1] == '/';
	tag->after = p + 1;
	*pos = tag->after;
	return true;
}

bool xml_is(const struct xml_tag *tag, const char *name)
{
	return tag->name_len == strlen(name) && !memcmp(tag->name, name, tag->name_len);
}

static void add_code_point(struct buf *b, unsigned long c)
{
	char u[4];

	if (c < 0x80) {
		u[0] = (char)c;
		buf_add(b, u, 1);
	} else if (c < 0x800) {
		u[0] = (char)(0xc0 | c >> 6);
		u[1] = (char)(0x80 | (c & 0x3f));
		buf_add(b, u, 2);
	} else if (c < 0x10000) {
		u[0] = (char)(0xe0 | c >> 12);
		u[1] = (char)(0x80 | (c >> 6 & 0x3f));
		u[2] = (char)(0x80 | (c & 0x3f));
		buf_add(b, u, 3);
	} else {
		u[0] = (char)(0xf0 | c >> 18);
		u[1] = (char)(0x80 | (c >> 12 & 0x3f));
		u[2] = (char)(0x80 | (c >> 6 & 0x3f));
		u[3] = (char)(0x80 | (c & 0x3f));
		buf_add(b, u, 4);
	}
}

/* One reference such as &lt; or &#10;; returns its length, 0 if it is none. */
static size_t unescape(struct buf *b, const char *s, size_t len)
{
	static const char *const known[][2] = {
		{ "&amp;", "&" }, { "&lt;", "<" }, { "&gt;", ">" }, { "&quot;", "\"" }, { "&apos;", "'" },
	};
	unsigned long code;
	char *end;
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		size_t n = strlen(known[i][0]);

		if (n <= len && !memcmp(s, known[i][0], n)) {
			buf_puts(b, known[i][1]);
			return n;
		}
	}
	if (len < 4 || s[1] != '#')
		return 0;
	code = s[2] == 'x' ? strtoul(s + 3, &end, 16) : strtoul(s + 2, &end, 10);
	if (*end != ';' || code == 0 || code > 0x10ffff || (size_t)(end - s) >= len)
		return 0;
	add_code_point(b, code);
	return (size_t)(end - s) + 1;
}

static char *unescaped(const char *s, size_t len)
{
	struct buf b = { 0 };
	size_t i, n;

	buf_puts(&b, "");
	for (i = 0; i < len; i += n) {
		n = s[i] == '&' ? unescape(&b, s + i, len - i) : 0;
		if (!n) {
			buf_add(&b, s + i, 1);
			n = 1;
		}
	}
	return b.s;
}

char *xml_attr(const struct xml_tag *tag, const char *name)
{
	const char *p = tag->attrs, *end = tag->attrs + tag->attrs_len;

	while (p < end) {
		const char *key, *value, *close;
		size_t key_len;

		p += strspn(p, " \t\r\n/");
		key = p;
		key_len = strcspn(p, " \t\r\n=>");
		p += key_len;
		p += strspn(p, " \t\r\n=");
		if (p >= end || (*p != '\'' && *p != '"'))
			return NULL;
		value = p + 1;
		close = memchr(value, *p, (size_t)(end - value));
		if (!close)
			return NULL;
		if (key_len == strlen(name) && !memcmp(key, name, key_len))
			return unescaped(value, (size_t)(close - value));
		p = close + 1;
	}
	return NULL;
}

char *xml_text(const struct xml_tag *tag)
{
	return unescaped(tag->after, tag->empty ? 0 : strcspn(tag->after, "<"));
}
